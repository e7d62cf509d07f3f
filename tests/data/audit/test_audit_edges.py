"""Small and odd sets: each check works or says why it does not."""

import json
from dataclasses import replace

import numpy as np
import pytest

from conv2d.data import Recording, write_dataset
from conv2d.data.audit import audit_dataset, copies, doubled
from conv2d.data.audit.findings import CHECKS, Finding
from conv2d.data.meta import DatasetMeta
from conv2d.data.simulate import simulate_dataset
from conv2d.errors import DataError, UsageError


@pytest.fixture(scope="module")
def dogs(tmp_path_factory):
    data = simulate_dataset(tmp_path_factory.mktemp("dogs") / "dogs", n_subjects=3, minutes=1, rate_hz=50, seed=5)
    return data.meta, list(data.load_all())


def part(dogs, path, sensors=(0, 1), channels=range(9), rows=slice(None), keep=slice(None), labels=True):
    """Write a part of the simulated set and audit it."""
    meta, recordings = dogs
    names = tuple(meta.sensors[s] for s in sensors), tuple(meta.channels[c] for c in channels)
    classes = meta.classes if labels else ()
    cut = [
        Recording(
            r.name, r.subject, r.rate_hz, *names, r.time_s[rows],
            r.samples[list(channels)][:, list(sensors)][:, :, rows],
            r.labels[rows] if labels else np.full(len(r.time_s[rows]), -1), classes,
        )
        for r in recordings[keep]
    ]  # fmt: skip
    write_dataset(path, replace(meta, sensors=names[0], channels=names[1], classes=classes), cut)
    return audit_dataset(path)


def status(audit, check):
    return {f.status for f in audit.findings if f.check == check}


def sound(audit):
    """No fault, no confound, a status of every check, and JSON without NaN."""
    assert [f.title for f in audit.findings if f.level in ("fault", "confound")] == []
    told = json.loads(json.dumps(audit.to_dict(), allow_nan=False))
    assert [entry["id"] for entry in told["checks"]] == list(CHECKS)
    for finding in audit.findings:
        assert finding.title.strip()
        assert not finding.title.endswith(".")
        if finding.level in ("fault", "confound", "note"):
            assert finding.meaning
    return audit


def test_one_subject(dogs, tmp_path):
    audit = sound(part(dogs, tmp_path / "x", keep=slice(0, 2)))
    assert status(audit, "tied_classes") == {"NOT_MEASURED"}
    assert status(audit, "sensors_exchanged") == {"NOT_MEASURED"}


def test_one_recording(dogs, tmp_path):
    audit = sound(part(dogs, tmp_path / "x", keep=slice(0, 1)))
    assert status(audit, "doubled_between") == status(audit, "doubled_label") == {"NOT_APPLICABLE"}
    assert status(audit, "scripted") == {"NOT_MEASURED"}


def test_one_sensor(dogs, tmp_path):
    audit = sound(part(dogs, tmp_path / "x", sensors=(1,)))
    assert status(audit, "axes_between_sensors") == status(audit, "sensors_exchanged") == {"NOT_APPLICABLE"}


def test_accelerometer_alone(dogs, tmp_path):
    audit = sound(part(dogs, tmp_path / "x", sensors=(0,), channels=range(3)))
    for check in ("gyr_against_acc", "gyr_scale", "mag_unit"):
        assert status(audit, check) == {"NOT_APPLICABLE"}


@pytest.mark.parametrize("channels", [range(3, 6), (0, 1), (2,)])
def test_no_accelerometer_of_three_axes(dogs, tmp_path, channels):
    audit = sound(part(dogs, tmp_path / "x", channels=channels))
    for check in ("gravity", "scale", "gain", "calibration", "nonwear", "orientation"):
        assert status(audit, check) == {"NOT_APPLICABLE"}, check


def test_no_labels(dogs, tmp_path):
    audit = sound(part(dogs, tmp_path / "x", labels=False))
    for check in ("rare_classes", "tied_classes", "one_label", "short_runs", "scripted", "contradiction"):
        assert status(audit, check) == {"NOT_APPLICABLE"}, check


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_recordings_of_some_rows(dogs, tmp_path, n):
    # From a place where both sensors have data: a recording without any is refused by loading, rightly.
    start = max(int(np.isfinite(r.samples).all(axis=(0, 1)).argmax()) for r in dogs[1])
    audit = part(dogs, tmp_path / "x", rows=slice(start, start + n))
    assert {f.check for f in audit.findings if f.level in ("fault", "confound")} <= {"one_label", "tied_classes"}
    assert ("NOT_MEASURED" in status(audit, "rate")) == (n == 1)


def test_a_sensor_that_is_absent_throughout_and_one_that_is_absent_from_some(dogs, tmp_path):
    meta, recordings = dogs
    gone = [replace(r, samples=r.samples.copy()) for r in recordings]
    for r in gone[:2]:
        r.samples[:, 1] = np.nan
    write_dataset(tmp_path / "x", meta, gone)
    audit = sound(audit_dataset(tmp_path / "x"))
    (finding,) = (f for f in audit.findings if f.check == "missing" and f.evidence["sensor"] == "back")
    assert finding.evidence["absent"] == ["dog01_1", "dog01_2"]
    for r in gone:
        r.samples[:, 1] = np.nan
    write_dataset(tmp_path / "y", meta, gone)
    audit = audit_dataset(tmp_path / "y")
    (fault,) = audit.of_level("fault")
    assert (fault.check, fault.evidence["sensor"]) == ("missing", "back")
    assert "the set has no such sensor" in fault.title
    assert audit.of_level("confound") == []
    json.dumps(audit.to_dict(), allow_nan=False)


def test_units_that_are_not_declared_are_told_from_the_values(dogs, tmp_path):
    meta, recordings = dogs
    write_dataset(tmp_path / "x", replace(meta, units={}), recordings)
    audit = sound(audit_dataset(tmp_path / "x"))
    assert {f.level for f in audit.findings if f.check == "gravity"} == {"note"}
    assert all("taken to be in m/s^2" in f.title for f in audit.findings if f.check == "gravity")
    assert status(audit, "calibration") == {"NOT_MEASURED"}


def test_acceleration_without_gravity(dogs, tmp_path):
    meta, recordings = dogs
    flat = [replace(r, samples=r.samples.copy()) for r in recordings]
    for r in flat:
        for s in (0, 1):
            r.samples[:3, s] -= np.nanmean(r.samples[:3, s], axis=1, keepdims=True)
            r.samples[:3, s] *= 0.3
    write_dataset(tmp_path / "x", meta, flat)
    found = [f for f in audit_dataset(tmp_path / "x").findings if f.check == "gravity"]
    assert [f.level for f in found] == ["fault", "fault"]
    assert all("gravity was taken out" in f.title for f in found)
    write_dataset(tmp_path / "y", replace(meta, units=dict(meta.units, acc="m/s^2, gravity removed")), flat)
    assert {f.level for f in audit_dataset(tmp_path / "y").findings if f.check == "gravity"} == {"note"}


def unlabelled(meta, name, subject, samples):
    n = samples.shape[2]
    time_s = np.arange(n) / meta.rate_hz
    return Recording(name, subject, meta.rate_hz, meta.sensors, meta.channels, time_s, samples, np.full(n, -1), ())


def test_coarse_values_at_rest_are_neither_held_nor_stuck_nor_copied(tmp_path):
    """An activity monitor of 1/64 g that lies still flickers between two values and repeats itself by chance."""
    rng = np.random.default_rng(0)
    meta = DatasetMeta("coarse", 50.0, ("wrist",), ("acc_x", "acc_y", "acc_z"), (), units={"acc": "g"})

    def recording(i):
        moving = np.repeat(rng.random(60) < 0.3, 100)
        noise = rng.normal(0, np.where(moving, 0.3, 0.004), (3, 6000)) + np.array([[0.01], [0.2], [0.97]])
        samples = (np.round(noise * 64) / 64).astype(np.float32)[:, None]
        return Recording(
            f"r{i}",
            f"s{i // 2}",
            50.0,
            meta.sensors,
            meta.channels,
            np.arange(6000) / 50,
            samples,
            np.full(6000, -1),
            (),
        )

    write_dataset(tmp_path / "x", meta, [recording(i) for i in range(6)])
    audit = sound(audit_dataset(tmp_path / "x"))
    assert {f.level for f in audit.findings if f.check == "stuck"} <= {"note"}
    assert status(audit, "saturated") == set()


def test_a_copy_is_found_among_coarse_values_too(tmp_path):
    rng = np.random.default_rng(1)
    meta = DatasetMeta("coarse", 50.0, ("wrist",), ("acc_x", "acc_y", "acc_z"), (), units={"acc": "g"})
    samples = [(np.round(rng.normal(0, 0.05, (3, 1, 4000)) * 64) / 64).astype(np.float32) for _ in range(4)]
    samples[3][:, :, 500:600] = samples[0][:, :, 900:1000]
    write_dataset(
        tmp_path / "x",
        meta,
        [
            Recording(
                f"r{i}", f"s{i}", 50.0, meta.sensors, meta.channels, np.arange(4000) / 50, x, np.full(4000, -1), ()
            )
            for i, x in enumerate(samples)
        ],
    )
    audit = audit_dataset(tmp_path / "x")
    (finding,) = (f for f in audit.findings if f.check == "doubled_between")
    assert finding.level == "fault"
    assert finding.evidence["compared"] == "runs"
    (copy,) = finding.evidence["copies"]
    assert (copy["first"], copy["second"], copy["first_row"], copy["second_row"]) == ("r0", "r3", 900, 500)
    assert 100 <= copy["rows"] <= 104


def test_of_very_many_rows_a_part_is_compared_and_that_is_said(dogs, tmp_path, monkeypatch):
    meta, recordings = dogs
    changed = [replace(r, samples=r.samples.copy()) for r in recordings]
    changed[3].samples[:, :, 200:800] = changed[0].samples[:, :, 100:700]
    write_dataset(tmp_path / "x", meta, changed)
    monkeypatch.setattr(doubled, "ROWS_KEPT", 3000)
    audit = audit_dataset(tmp_path / "x")
    (finding,) = (f for f in audit.findings if f.check == "doubled_between")
    assert finding.level == "fault"
    factor = finding.evidence["one_row_in"]
    assert factor >= 2
    assert f"1 in {factor} was compared" in finding.title
    assert finding.evidence["rows_seen_earlier"] == pytest.approx(600, rel=0.4)


def test_nothing_can_be_told_where_all_rows_are_alike(tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "_PAIRS", 100)
    meta = DatasetMeta("alike", 50.0, ("wrist",), ("acc_x",), ())
    wave = np.tile(np.arange(8, dtype=np.float32), 100)[None, None]
    write_dataset(
        tmp_path / "x",
        meta,
        [
            Recording(
                f"r{i}", f"s{i}", 50.0, meta.sensors, meta.channels, np.arange(800) / 50, wave, np.full(800, -1), ()
            )
            for i in range(3)
        ],
    )
    audit = audit_dataset(tmp_path / "x")
    assert status(audit, "doubled_between") == status(audit, "doubled_label") == {"NOT_MEASURED"}


def test_a_mixed_rate_in_recordings_csv_is_a_finding(dogs, tmp_path):
    meta, recordings = dogs
    write_dataset(tmp_path / "x", meta, recordings)
    table = tmp_path / "x" / "recordings.csv"
    table.write_text(table.read_text().replace("dog02_1,dog02,1500,50,", "dog02_1,dog02,1500,25,"))
    audit = audit_dataset(tmp_path / "x")
    (finding,) = audit.of_level("fault")
    assert (finding.check, finding.recordings) == ("unreadable", ("dog02_1",))
    assert "25 Hz" in finding.title


def test_a_set_that_cannot_be_audited_is_bad_data(dogs, tmp_path):
    meta, recordings = dogs
    with pytest.raises(DataError, match=r"E-DATA-001: .*nowhere does not exist"):
        audit_dataset(tmp_path / "nowhere")
    write_dataset(tmp_path / "x", meta, recordings[:2])
    for file in (tmp_path / "x" / "recordings").iterdir():
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"E-DATA-022: none of the 2 recordings .* can be read"):
        audit_dataset(tmp_path / "x")
    (tmp_path / "x" / "recordings.csv").write_text("recording,subject\n")
    with pytest.raises(DataError, match="E-DATA-003"):
        audit_dataset(tmp_path / "x")


@pytest.mark.parametrize("options", [{"window_s": 0}, {"window_s": float("nan")}, {"nonwear_minutes": -1}])
def test_windows_must_be_above_0(dogs, tmp_path, options):
    write_dataset(tmp_path / "x", dogs[0], dogs[1][:1])
    with pytest.raises(UsageError, match="expected a number above 0"):
        audit_dataset(tmp_path / "x", **options)


def test_infinite_values_and_labels_that_are_not_declared_do_not_end_the_audit(dogs, tmp_path):
    meta, recordings = dogs
    bad = replace(recordings[0], samples=recordings[0].samples.copy())
    bad.samples[0, 0, 5] = np.inf
    write_dataset(tmp_path / "x", meta, [bad, *recordings[1:]])
    text = (tmp_path / "x" / "dataset.yaml").read_text()
    (tmp_path / "x" / "dataset.yaml").write_text(text.replace("- walking\n", ""))
    audit = audit_dataset(tmp_path / "x")
    (finding,) = audit.of_level("fault")
    codes = {sentence[:10] for sentence in finding.evidence["sentences"].values()}
    assert codes == {"E-DATA-009", "E-DATA-010"}


def test_a_check_that_is_not_in_the_list_is_refused():
    with pytest.raises(ValueError, match="no check is called 'typo'"):
        Finding("typo", "note", "x")


def test_the_columns_of_a_join_are_understood(dogs, tmp_path):
    """A sensor slower than the grid has no gap at each of its samples, and what is missing was not drawn."""
    meta, recordings = dogs
    joined = []
    for r in recordings:
        gap = np.full(r.n_samples, 90.0, np.float32)
        gap[100:400] = 2000.0
        samples = r.samples.copy()
        samples[:, 1, 100:400] = np.nan
        how = np.where(np.arange(r.n_samples) < 60, 4, 2).astype(np.uint8)
        how[100:400] = 32
        joined.append(replace(r, samples=samples, quality={"back_gap_ms": gap, "back_how": how}))
    write_dataset(tmp_path / "x", replace(meta, quality_columns=("back_gap_ms", "back_how")), joined)
    audit = sound(audit_dataset(tmp_path / "x"))
    (finding,) = (f for f in audit.findings if f.check == "quality_column")
    assert finding.title == "back_how: 4.0% bridged, 20.0% missing"
    joined[0].quality["back_gap_ms"][700:900] = 500.0
    write_dataset(tmp_path / "y", replace(meta, quality_columns=("back_gap_ms", "back_how")), joined)
    audit = audit_dataset(tmp_path / "y")
    found = [f for f in audit.findings if f.check == "quality_column" and f.level == "fault"]
    assert [(f.evidence["column"], f.evidence["rows"]) for f in found] == [("back_gap_ms", 200)]
