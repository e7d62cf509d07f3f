"""Damage that is easily overlooked, or that makes checks speak of what is not there."""

from dataclasses import replace

import numpy as np
import pytest

from conv2d.data import write_dataset
from conv2d.data.audit import audit_dataset
from conv2d.data.audit.placeholders import placeholders
from conv2d.data.simulate import simulate_dataset

NECK, BACK = 0, 1


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Six dogs of three minutes, two recordings each, in memory."""
    path = tmp_path_factory.mktemp("clean") / "dogs"
    data = simulate_dataset(path, n_subjects=6, minutes=3, rate_hz=50, seed=7)
    return data.meta, list(data.load_all())


@pytest.fixture
def audited(clean, tmp_path):
    """Write the clean recordings as ``change`` makes them, audit them, and return the audit."""

    def run(change, **meta_changes):
        meta, recordings = clean
        copies = [
            replace(r, samples=r.samples.copy(), labels=r.labels.copy(), time_s=r.time_s.copy(), meta=dict(r.meta))
            for r in recordings
        ]
        write_dataset(tmp_path / "dogs", replace(meta, **meta_changes), change(copies) or copies)
        return audit_dataset(tmp_path / "dogs")

    return run


def cut(recording, rows):
    """A recording of its first rows."""
    return replace(
        recording, samples=recording.samples[:, :, rows], labels=recording.labels[rows], time_s=recording.time_s[rows]
    )


def serious(audit):
    return {(f.level, f.check) for f in audit.findings if f.level in ("fault", "confound")}


def status(audit, check):
    return {f.status for f in audit.findings if f.check == check}


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("which", [slice(0, 1), slice(None, None, 2), slice(0, 11)])
def test_recordings_of_no_row_and_of_one(audited, n, which):
    def change(recordings):
        start = {r.name: int(np.isfinite(r.samples).all(axis=(0, 1)).argmax()) for r in recordings}
        for i in range(len(recordings))[which]:
            r = recordings[i]
            recordings[i] = cut(r, slice(start[r.name], start[r.name] + n))

    audit = audited(change)
    assert {check for _, check in serious(audit)} <= {"unreadable", "one_label", "tied_classes"}
    assert len(audit.recordings) == 12


def of_subject(recordings, subject):
    return [r for r in recordings if r.subject == subject]


def turn(recording, sensor=BACK):
    """Half a turn about x."""
    for first in (0, 3, 6):
        recording.samples[first + 1 : first + 3, sensor] *= -1


@pytest.mark.parametrize("subject", ["dog01", "dog06"])
def test_a_sensor_that_one_subject_wears_upside_down(audited, subject):
    def change(recordings):
        for r in of_subject(recordings, subject):
            turn(r)

    audit = audited(change)
    assert serious(audit) == {("confound", "orientation")}
    (finding,) = audit.of_level("confound")
    assert finding.title.startswith(f"back is worn otherwise by {subject}")
    assert finding.recordings == (f"{subject}_1", f"{subject}_2")


def test_a_sensor_that_has_slipped_by_forty_degrees_is_worn_as_by_the_others(audited):
    c, s = np.cos(np.radians(40)), np.sin(np.radians(40))

    def change(recordings):
        for r in of_subject(recordings, "dog02"):
            for first in (0, 3, 6):
                y, z = r.samples[first + 1, BACK].copy(), r.samples[first + 2, BACK].copy()
                r.samples[first + 1, BACK], r.samples[first + 2, BACK] = c * y - s * z, s * y + c * z

    assert serious(audited(change)) == set()


def test_who_wears_a_sensor_otherwise_is_not_told_among_three(audited):
    def change(recordings):
        for r in of_subject(recordings, "dog01"):
            turn(r)
        return recordings[:6]

    assert "NOT_MEASURED" in status(audited(change), "orientation")


@pytest.mark.parametrize("n", [3, 10, 60])
def test_recordings_under_two_seconds_say_nothing_of_the_scale(audited, n):
    def change(recordings):
        for i, r in enumerate(recordings):
            r.samples[:3] *= 1.9
            start = int(np.isfinite(r.samples).all(axis=(0, 1)).argmax())
            recordings[i] = cut(r, slice(start, start + n))

    audit = audited(change)
    assert not {"scale", "gravity", "gain"} & {check for _, check in serious(audit)}
    assert status(audit, "scale") == status(audit, "gravity") == {"NOT_MEASURED"}


def test_times_of_another_rate_than_declared_are_no_gaps(clean, tmp_path):
    meta, recordings = clean
    write_dataset(tmp_path / "x", meta, recordings)
    for name in ("dataset.yaml", "recordings.csv"):
        file = tmp_path / "x" / name
        file.write_text(file.read_text().replace("rate_hz: 50", "rate_hz: 100").replace(",50,", ",100,"))
    audit = audit_dataset(tmp_path / "x")
    (finding,) = audit.of_level("fault")
    assert finding.check == "rate"
    assert "has 50 Hz" in finding.title
    assert status(audit, "gaps") == status(audit, "clock_steps") == set()


def test_a_gap_is_found_where_the_rate_is_another_too(clean, tmp_path):
    meta, recordings = clean
    late = [replace(r, time_s=r.time_s + 5.0 * (np.arange(r.n_samples) > 2000)) for r in recordings]
    write_dataset(tmp_path / "x", meta, late)
    for name in ("dataset.yaml", "recordings.csv"):
        file = tmp_path / "x" / name
        file.write_text(file.read_text().replace("rate_hz: 50", "rate_hz: 100").replace(",50,", ",100,"))
    audit = audit_dataset(tmp_path / "x")
    assert {check for _, check in serious(audit)} == {"rate", "gaps"}
    (finding,) = (f for f in audit.findings if f.check == "gaps")
    assert finding.evidence["gaps"] == 12
    assert finding.evidence["longest_s"] == pytest.approx(5.0, abs=0.001)


def test_every_second_row_of_a_subject_was_dropped(audited):
    def change(recordings):
        for i, r in enumerate(recordings):
            if r.subject == "dog03":
                recordings[i] = replace(cut(r, slice(None, None, 2)), time_s=r.time_s[: (r.n_samples + 1) // 2])

    audit = audited(change)
    found = [f for f in audit.findings if f.check == "gyr_scale"]
    assert serious(audit) == {("confound", "gyr_scale")}
    assert {f.recordings for f in found} == {("dog03_1", "dog03_2")}
    assert all(f.title.endswith("time scale or gyroscope scale") for f in found)
    assert found[0].evidence["factor"] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("factor", [2.0, 0.5])
def test_times_of_a_whole_set_that_are_off_by_a_factor(clean, tmp_path, factor):
    meta, recordings = clean
    rate = meta.rate_hz * factor
    changed = [replace(r, rate_hz=rate, time_s=r.time_s / factor) for r in recordings]
    write_dataset(tmp_path / "x", replace(meta, rate_hz=rate), changed)
    found = [f for f in audit_dataset(tmp_path / "x").findings if f.check == "gyr_scale"]
    assert found
    assert {f.level for f in found} == {"confound"}
    assert all(f.evidence["factor"] == pytest.approx(factor, rel=0.25) for f in found)
    assert len(found[0].recordings) == 12


@pytest.mark.parametrize("value", [-999.0, 1e6])
def test_a_number_that_stands_for_missing_samples(audited, value):
    def change(recordings):
        for r in recordings:
            for sensor in (NECK, BACK):
                r.samples[:, sensor, np.isnan(r.samples[:, sensor]).all(axis=0)] = value
            r.samples[:, NECK, 3000:3200] = value

    audit = audited(change)
    assert serious(audit) == {("fault", "placeholder")}
    found = audit.of_level("fault")
    assert {f.evidence["sensor"] for f in found} == {"neck", "back"} or len(found) == 1
    assert all(f.evidence["value"] == value for f in found)
    neck = next(f for f in found if f.evidence["sensor"] == "neck")
    assert min(neck.evidence["rows_by_recording"].values()) >= 200
    assert f"missing: ['{value:.0f}']" in neck.remedy
    assert status(audit, "stuck") == status(audit, "saturated") == set()


def test_zeros_and_rare_equal_channels_are_no_placeholders():
    rng = np.random.default_rng(0)
    x = rng.normal(0, 1, (6, 500)).astype(np.float32)
    x[:, 100:200] = 0.0
    assert placeholders(x) == []
    x[:, 300:302] = -999.0
    assert placeholders(x) == [], "two rows are a spike"
    x[:, 302] = -999.0
    x[:, 400:404] = 0.5
    ((value, at),) = placeholders(x)
    assert (value, at.tolist()) == (-999.0, [300, 301, 302])
    x[:, 410:414] = 12345.0
    assert [v for v, _ in placeholders(x)] == [-999.0, 12345.0]
    assert placeholders(np.full((6, 50), -999.0, np.float32)) == []
    assert placeholders(np.zeros((6, 0), np.float32)) == []
    assert placeholders(np.full((6, 9), np.nan, np.float32)) == []


def test_a_sensor_that_dies_is_said_to_end(audited):
    def change(recordings):
        recordings[2].samples[:, BACK, 2250:] = np.nan
        recordings[3].samples[:, BACK, recordings[3].n_samples - 100 :] = np.nan

    audit = audited(change)
    (finding,) = (f for f in audit.findings if f.check == "missing" and f.evidence["sensor"] == "back")
    assert finding.level == "note"
    assert "it ends at 45 s of 90 in dog02_1" in finding.title
    assert list(finding.evidence["ends_s"]) == ["dog02_1"]


def chain(rng, moves, n):
    """Labels of a first-order Markov chain."""
    order = [0]
    while len(order) < n:
        order.append(int(rng.choice(len(moves), p=moves[order[-1]])))
    return order


def relabelled(clean, path, orders, n_classes):
    """The clean recordings with other labels, runs of equal length."""
    meta, recordings = clean
    classes = tuple(f"c{i}" for i in range(n_classes))
    changed = []
    for r, order in zip(recordings, orders, strict=True):
        labels = np.repeat(order, -(-r.n_samples // len(order)))[: r.n_samples]
        changed.append(replace(r, labels=labels.astype(np.int64), classes=classes))
    write_dataset(path, replace(meta, classes=classes), changed)
    return audit_dataset(path)


@pytest.mark.parametrize("rare", [1, 2, 4])
@pytest.mark.parametrize("seed", range(3))
def test_two_labels_that_alternate_are_no_script(clean, tmp_path, seed, rare):
    rng = np.random.default_rng(seed)
    moves = np.zeros((2 + rare, 2 + rare))
    moves[0, 1], moves[0, 2:], moves[1:, 0] = 0.97, 0.03 / rare, 1
    audit = relabelled(clean, tmp_path / "x", [chain(rng, moves, 25 + i) for i in range(12)], 2 + rare)
    assert status(audit, "scripted") == set()


def test_four_labels_in_turn_are_a_script(clean, tmp_path):
    orders = [[(start + i) % 4 for i in range(20 + start)] for start in (0, 1, 2, 3) * 3]
    audit = relabelled(clean, tmp_path / "x", orders, 4)
    (finding,) = (f for f in audit.findings if f.check == "scripted")
    assert finding.evidence["labels_that_follow"] == pytest.approx(4, abs=0.1)
