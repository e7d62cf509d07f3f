"""A clean set gives neither fault nor confound; each defect that is put in gives its own finding and no other."""

from dataclasses import replace

import numpy as np
import pytest

from conv2d.data import Dataset, write_dataset
from conv2d.data.audit import audit_dataset
from conv2d.data.simulate import simulate_dataset
from conv2d.data.simulation.defects import KINDS

RATE = 50.0
NECK, BACK = 0, 1


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    """Eight dogs of four minutes, two recordings each, in memory."""
    data = simulate_dataset(tmp_path_factory.mktemp("clean") / "dogs", n_subjects=8, minutes=4, rate_hz=RATE, seed=3)
    return data.meta, list(data.load_all())


@pytest.fixture
def audited(clean, tmp_path):
    """Write the clean recordings as ``change`` makes them, audit them, and return the audit."""

    def run(change, **options):
        meta, recordings = clean
        copies = [
            replace(r, samples=r.samples.copy(), labels=r.labels.copy(), time_s=r.time_s.copy(), meta=dict(r.meta))
            for r in recordings
        ]
        changed = change(copies) or copies
        write_dataset(tmp_path / "dogs", meta, changed)
        return audit_dataset(tmp_path / "dogs", **options)

    return run


def serious(audit):
    return {(f.level, f.check) for f in audit.findings if f.level in ("fault", "confound")}


def only(audit, level, check):
    """The one finding there is; anything else that is serious fails."""
    assert serious(audit) == {(level, check)}, [f.title for f in audit.findings if f.level in ("fault", "confound")]
    found = [f for f in audit.findings if (f.level, f.check) == (level, check)]
    assert len(found) == 1
    return found[0]


def of_subject(recordings, subject):
    return [r for r in recordings if r.subject == subject]


def hole_free(recording, sensor, length):
    """First row of the liveliest stretch of a recording without a missing sample."""
    there = np.isfinite(recording.samples[:, sensor]).all(axis=0)
    motion = np.abs(np.diff(np.nan_to_num(recording.samples[:3, sensor]), axis=1)).sum(axis=0)
    score = np.convolve(motion, np.ones(length - 1), "valid")
    score[np.convolve(~there, np.ones(length), "valid") > 0] = -1
    return int(score.argmax())


@pytest.mark.parametrize("subjects", [1, 3, 8])
@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_invented_on_clean_data(tmp_path, subjects, seed):
    data = simulate_dataset(tmp_path / "dogs", n_subjects=subjects, minutes=1.5, rate_hz=RATE, seed=seed)
    audit = audit_dataset(data.path)
    assert serious(audit) == set(), [f.title for f in audit.findings if f.level in ("fault", "confound")]


EXPECTED = {
    "scale": ("fault", "scale"),
    "swap": ("fault", "gyr_against_acc"),
    "mirror": ("fault", "gyr_against_acc"),
    "clip": ("note", "saturated"),
    "linear": ("fault", "interpolated"),
    "stuck": ("fault", "stuck"),
    "copy": ("fault", "doubled_between"),
    "short": ("fault", "short_runs"),
    "tied": ("confound", "tied_classes"),
    "script": ("confound", "scripted"),
    "hour": ("fault", "clock_steps"),
    "rate": ("fault", "rate"),
}


def test_every_defect_of_the_simulator_is_expected():
    assert set(EXPECTED) == set(KINDS)


@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_a_simulated_defect_is_found_and_nothing_else(tmp_path, kind, seed):
    data = simulate_dataset(tmp_path / "dogs", n_subjects=8, minutes=4, rate_hz=RATE, seed=seed, defects=[kind])
    audit = audit_dataset(data.path)
    level, check = EXPECTED[kind]
    found = [f for f in audit.findings if f.check == check and f.level in (level, "fault")]
    assert found, [f.title for f in audit.findings]
    # The rows of a copy keep the labels of the place they were copied to.
    allowed = {("fault", check), (level, check), *([("fault", "doubled_label")] if kind == "copy" else [])}
    assert serious(audit) <= allowed


def test_one_sensor_of_one_day_that_reads_7_6_times_too_much(audited):
    def change(recordings):
        for r in of_subject(recordings, "dog04"):
            r.samples[:3, BACK] *= 7.6

    finding = only(audited(change), "fault", "scale")
    assert finding.recordings == ("dog04_1", "dog04_2")
    assert finding.evidence["factor"] == pytest.approx(7.6, rel=0.05)
    assert "back/acc" in finding.title
    assert "columns: ['back/acc_*'], divide: 7." in finding.remedy


def test_a_subject_in_g_where_the_others_are_in_metres(audited):
    def change(recordings):
        for r in of_subject(recordings, "dog02"):
            r.samples[:3] /= 9.80665

    audit = audited(change)
    assert serious(audit) == {("fault", "scale")}
    found = audit.of_level("fault")
    assert len(found) == 2, "both sensors"
    assert all("g where the others are in m/s^2" in f.title for f in found)


def test_a_whole_set_in_another_unit_than_declared(audited):
    def change(recordings):
        for r in recordings:
            r.samples[:3] /= 9.80665

    audit = audited(change)
    assert serious(audit) == {("fault", "gravity")}
    assert all("seems to be in g" in f.title for f in audit.of_level("fault"))


@pytest.mark.parametrize("subject", ["dog01", "dog07"])
def test_a_gyroscope_in_degrees_in_one_subject(audited, subject):
    def change(recordings):
        for r in of_subject(recordings, subject):
            r.samples[3:6, BACK] *= 180 / np.pi

    finding = only(audited(change), "fault", "gyr_scale")
    assert list(finding.evidence["factor"]) == [subject]
    assert "deg/s is to rad/s" in finding.title
    assert set(finding.recordings) == {f"{subject}_1", f"{subject}_2"}


def test_a_gyroscope_in_degrees_throughout(audited):
    def change(recordings):
        for r in recordings:
            r.samples[3:6] *= 180 / np.pi

    audit = audited(change)
    assert serious(audit) == {("fault", "gyr_scale")}


@pytest.mark.parametrize(("flip", "axes"), [((3,), "-x +y +z"), ((3, 5), "-x +y -z"), ((0,), "+x -y -z")])
def test_mirrored_axes(audited, flip, axes):
    def change(recordings):
        for r in recordings:
            r.samples[list(flip), NECK] *= -1

    finding = only(audited(change), "fault", "gyr_against_acc")
    assert (finding.evidence["sensor"], finding.evidence["axes"]) == ("neck", axes)


def test_exchanged_axes_of_a_gyroscope(audited):
    def change(recordings):
        for r in recordings:
            r.samples[[3, 4], NECK] = r.samples[[4, 3], NECK]

    finding = only(audited(change), "fault", "gyr_against_acc")
    assert finding.evidence["axes"] == "+y +x +z"
    assert "mirrored, or two are exchanged" in finding.meaning


def test_mirrored_axes_of_one_subject(audited):
    def change(recordings):
        for r in of_subject(recordings, "dog03"):
            r.samples[3, NECK] *= -1

    finding = only(audited(change), "fault", "gyr_against_acc")
    assert finding.evidence["axes"] == {"dog03": "-x +y +z"}
    assert set(finding.recordings) == {"dog03_1", "dog03_2"}


@pytest.mark.parametrize("kind", [slice(0, 3), slice(3, 6), slice(6, 9)], ids=["acc", "gyr", "mag"])
def test_sensors_on_one_body_whose_axes_differ(audited, kind):
    def change(recordings):
        noise = np.random.default_rng(0)
        for r in recordings:
            r.samples[:, BACK] = r.samples[:, NECK] + 0.01 * noise.normal(size=r.samples[:, NECK].shape)
            r.samples[kind, BACK] = r.samples[kind, BACK][[1, 0, 2]] * np.array([[1], [-1], [1]])

    audit = audited(change)
    found = [f for f in audit.of_level("fault") if f.check == "axes_between_sensors"]
    names = {0: "acc", 3: "gyr", 6: "mag"}
    if kind.start == 0:
        # The gyroscopes and magnetometers agree with each other, so they contradict the accelerometers.
        assert {f.evidence["kind"] for f in found} == {"gyr", "mag"}
    else:
        assert [f.evidence["kind"] for f in found] == [names[kind.start]]
        assert found[0].evidence["axes"] == "-y +x +z"
    if kind.start != 6:
        assert any("gravity says that it is back" in f.title for f in found)
        assert ("fault", "gyr_against_acc") in serious(audit)


def test_a_sensor_that_is_turned_as_a_whole_is_no_fault(audited):
    def change(recordings):
        noise = np.random.default_rng(0)
        for r in recordings:
            r.samples[:, BACK] = r.samples[:, NECK] + 0.01 * noise.normal(size=r.samples[:, NECK].shape)
            for k in (0, 3, 6):
                r.samples[k : k + 3, BACK] = r.samples[k : k + 3, BACK][[1, 0, 2]] * np.array([[1], [-1], [1]])

    audit = audited(change)
    assert serious(audit) == set()
    assert [f.level for f in audit.findings if f.check == "axes_between_sensors"] == ["note"]


def test_exchanged_sensors_of_one_subject(audited):
    def change(recordings):
        for r in of_subject(recordings, "dog06"):
            r.samples[:] = r.samples[:, ::-1].copy()

    finding = only(audited(change), "fault", "sensors_exchanged")
    assert set(finding.recordings) == {"dog06_1", "dog06_2"}


def test_rows_of_another_subject(audited):
    def change(recordings):
        a, b = of_subject(recordings, "dog01")[0], of_subject(recordings, "dog05")[1]
        start = hole_free(a, NECK, 31)
        b.samples[:, :, 1000:1031] = a.samples[:, :, start : start + 31]
        b.labels[1000:1031] = a.labels[start : start + 31]

    finding = only(audited(change), "fault", "doubled_between")
    assert finding.recordings == ("dog01_1", "dog05_2")
    assert (finding.evidence["pairs_across_subjects"], finding.evidence["rows_seen_earlier"]) == (1, 31)
    assert "a split by subject leaks them too" in finding.meaning


def test_a_few_rows_within_a_subject_are_a_note(audited):
    def change(recordings):
        a, b = of_subject(recordings, "dog01")
        b.samples[:, :, :5] = a.samples[:, :, -5:]
        b.labels[:5] = a.labels[-5:]

    audit = audited(change)
    assert serious(audit) == set()
    assert [f.evidence["rows_seen_earlier"] for f in audit.findings if f.check == "doubled_between"] == [5]


def test_a_file_joined_with_itself(audited):
    def change(recordings):
        r = recordings[4]
        r.samples[:, :, 3000:3400] = r.samples[:, :, 1000:1400]
        r.labels[3000:3400] = r.labels[1000:1400]

    finding = only(audited(change), "fault", "doubled_within")
    assert finding.evidence["copies"][0] == {"recording": "dog03_1", "first_row": 1000, "again": 3000, "rows": 400}


def test_held_samples(audited):
    def change(recordings):
        for r in recordings:
            r.samples[:, BACK, 1::10] = r.samples[:, BACK, 0::10]

    finding = only(audited(change), "fault", "doubled_within")
    assert finding.evidence["sensor"] == "back"
    assert finding.evidence["share"] == pytest.approx(0.1, abs=0.01)


def test_a_sensor_that_hangs_for_two_seconds(audited):
    def change(recordings):
        r = recordings[5]
        r.samples[:, NECK, 2000:2100] = r.samples[:, NECK, [hole_free(r, NECK, 2)]]

    audit = audited(change)
    assert serious(audit) == {("fault", "stuck")}
    assert {f.evidence["vector"] for f in audit.of_level("fault")} == {"neck/acc", "neck/gyr", "neck/mag"}
    assert all(f.evidence["longest_s"] == pytest.approx(2.0, abs=0.05) for f in audit.of_level("fault"))


def test_one_axis_that_is_dead_while_the_others_move(audited):
    def change(recordings):
        for r in of_subject(recordings, "dog08"):
            r.samples[4, BACK][np.isfinite(r.samples[4, BACK])] = 0.125

    audit = audited(change)
    assert ("fault", "stuck") in serious(audit)
    stuck = [f for f in audit.of_level("fault") if f.check == "stuck"]
    assert [f.evidence["vector"] for f in stuck] == ["back/gyr axis y"]


def test_a_range_that_is_too_small(audited):
    tops = []

    def change(recordings):
        rail = 0.9 * max(float(np.nanmax(np.abs(r.samples[2, BACK]))) for r in recordings)
        tops.append(rail)
        for r in recordings:
            np.clip(r.samples[2, BACK], -rail, rail, out=r.samples[2, BACK])

    audit = audited(change)
    assert serious(audit) == set()
    (finding,) = (f for f in audit.findings if f.check == "saturated")
    assert finding.evidence["rails"][0]["column"] == "back/acc_z"
    assert finding.evidence["rails"][0]["rail"] == pytest.approx(tops[0], rel=1e-3)


def test_a_range_that_cuts_much_is_a_fault(audited):
    def change(recordings):
        for r in recordings:
            np.clip(r.samples[3, NECK], -0.3, 0.3, out=r.samples[3, NECK])

    assert ("fault", "saturated") in serious(audited(change))


def test_lines_over_gaps(audited):
    def change(recordings):
        for r in recordings:
            for start in range(100, r.n_samples - 50, 400):
                x = r.samples[:, NECK]
                x[:, start : start + 12] = x[:, [start]] + np.arange(12) / 12 * (x[:, [start + 12]] - x[:, [start]])

    finding = only(audited(change), "fault", "interpolated")
    assert finding.evidence["sensor"] == "neck"
    assert finding.evidence["share"] == pytest.approx(13 / 400, rel=0.1)


def test_a_rate_that_was_doubled_by_lines(audited):
    def change(recordings):
        for r in recordings:
            x = r.samples[:, BACK]
            x[:, 1:-1:2] = (x[:, 0:-2:2] + x[:, 2::2]) / 2

    finding = only(audited(change), "fault", "interpolated")
    assert "rate was raised by drawing lines" in finding.title


def test_a_class_that_comes_from_one_dog_that_shows_others_too(audited):
    def change(recordings):
        for r in recordings:
            if r.subject != "dog02":
                r.labels[r.labels == 3] = -1

    finding = only(audited(change), "confound", "tied_classes")
    assert finding.evidence["classes"] == ["walking"]
    assert finding.evidence["subjects"] == ["dog02"]


def test_a_class_of_a_dog_that_shows_nothing_else(audited):
    def change(recordings):
        for r in recordings:
            own = r.subject == "dog02"
            r.labels[(r.labels != 4) if own else (r.labels == 4)] = -1

    finding = only(audited(change), "confound", "tied_classes")
    assert finding.title == "trotting comes only from dog02, who shows nothing else"


def test_runs_of_a_label_too_short_to_be_real(audited):
    def change(recordings):
        for r in recordings:
            start = int(np.flatnonzero(np.convolve(r.labels == 3, np.ones(40), "valid") == 40)[0])
            r.labels[start + 20 : start + 22] = 1

    finding = only(audited(change), "fault", "short_runs")
    assert finding.evidence["by_class"] == {"standing": 16}
    assert "standing between walking and walking" in finding.title


def test_labels_that_contradict_their_signal(audited):
    places = {}

    def change(recordings):
        for own, other in ((0, 4), (4, 0)):
            runs = []
            for r in recordings:
                edges = np.flatnonzero(np.diff(r.labels)) + 1
                for a, b in zip([0, *edges], [*edges, r.n_samples], strict=True):
                    good = np.isfinite(r.samples[:, :, a:b]).all()
                    if r.labels[a] == own and b - a > 6 * RATE and good and r.name not in places:
                        runs.append((r, int(a), int(b)))
            r, a, b = max(runs, key=lambda run: run[2] - run[1])
            r.labels[a:b] = other
            places[r.name] = (a / RATE, b / RATE)

    finding = only(audited(change), "fault", "contradiction")
    found = {run["recording"]: run for run in finding.evidence["runs"]}
    assert set(found) == set(places)
    for name, (start, _) in places.items():
        assert found[name]["start_s"] == pytest.approx(start, abs=0.05)


def test_a_clock_that_jumps_an_hour_or_runs_backwards(audited):
    def change(recordings):
        recordings[3].time_s[2000:] += 3600
        recordings[6].time_s[2000:] -= 3600

    finding = only(audited(change), "fault", "clock_steps")
    assert finding.recordings == ("dog02_2", "dog04_1")
    assert finding.evidence["clock_steps_s"] == [-3600, 3600]
    assert "E-DATA-008" in finding.evidence["loading_says"][0]


def test_three_percent_of_the_rate(audited):
    def change(recordings):
        recordings[2].time_s[:] *= 1.03

    finding = only(audited(change), "fault", "rate")
    assert finding.recordings == ("dog02_1",)
    assert finding.evidence["measured_hz"]["dog02_1"] == pytest.approx(RATE / 1.03)
    assert "E-DATA-007" in finding.evidence["loading_says"]


def test_a_clock_that_is_a_little_fast_is_a_note(audited):
    def change(recordings):
        for r in recordings:
            r.time_s[:] *= 1 + 500e-6

    audit = audited(change)
    assert serious(audit) == set()
    assert [f.evidence["relative"] for f in audit.findings if f.check == "rate"] == [pytest.approx(-500e-6, rel=0.01)]


def test_gaps_of_the_clock(audited):
    def change(recordings):
        recordings[1].time_s[1000:] += 0.4

    audit = audited(change)
    assert serious(audit) == set()
    (finding,) = (f for f in audit.findings if f.check == "gaps")
    assert finding.evidence["longest_s"] == pytest.approx(0.4)


def test_gaps_that_take_much_of_a_recording_are_a_fault(audited):
    def change(recordings):
        recordings[1].time_s[1000:] += 30

    finding = only(audited(change), "fault", "gaps")
    assert finding.recordings == ("dog01_2",)
    assert finding.evidence["share"]["dog01_2"] == pytest.approx(30 / 150)


@pytest.mark.parametrize(("sd", "found"), [(0.05, False), (0.4, True)])
def test_uneven_samples(audited, sd, found):
    def change(recordings):
        rng = np.random.default_rng(0)
        for r in recordings:
            r.time_s[:] = np.sort(r.time_s + np.clip(rng.normal(0, sd, r.n_samples), -0.9, 0.9) / RATE)
            r.time_s[1:] += np.maximum.accumulate(np.where(np.diff(r.time_s) <= 0, 1e-9, 0)).cumsum()

    audit = audited(change)
    assert ("fault", "jitter") in serious(audit) if found else serious(audit) == set()
    assert all(f.status == "FOUND" for f in audit.findings if f.check == "jitter")


def test_a_clock_that_wanders_is_not_uneven(audited):
    def change(recordings):
        for r in recordings:
            r.time_s[:] += 2 / RATE * np.sin(2 * np.pi * r.time_s / 120) + 0.01 / RATE * np.sin(
                7 * np.arange(r.n_samples)
            )

    audit = audited(change)
    assert serious(audit) == set()
    (finding,) = [f for f in audit.findings if f.check == "jitter"]
    assert (finding.level, finding.title.startswith("the clock of")) == ("note", True)


def test_recordings_that_lie_over_one_another(audited):
    def change(recordings):
        for r in recordings:
            r.meta["start"] = (
                f"2024-05-{int(r.subject[3:]):02d} 10:00:00"
                if r.name[-1] == "1"
                else (
                    f"2024-05-{int(r.subject[3:]):02d} 10:01:50"
                    if r.subject == "dog03"
                    else f"2024-05-{int(r.subject[3:]):02d} 12:00:00"
                )
            )

    finding = only(audited(change), "confound", "overlap_in_time")
    assert finding.recordings == ("dog03_1", "dog03_2")
    assert finding.evidence["longest_s"] == pytest.approx(10.0)


def test_a_sensor_that_is_lost_in_one_behaviour(audited):
    def change(recordings):
        rng = np.random.default_rng(0)
        for r in recordings:
            for start in rng.choice(np.flatnonzero(r.labels == 4), 6):
                r.samples[:, NECK, start : start + 25] = np.nan

    finding = only(audited(change), "confound", "missing_by_class")
    assert finding.title.startswith("neck is missing more often in trotting")


def test_a_sensor_worn_upside_down_by_some(audited):
    def change(recordings):
        for r in recordings:
            if r.subject in ("dog01", "dog02", "dog05"):
                r.samples[[0, 2, 3, 5, 6, 8], BACK] *= -1

    finding = only(audited(change), "confound", "orientation")
    assert (finding.evidence["sensor"], finding.evidence["subjects_with_both"]) == ("back", 0)
    assert len(finding.recordings) == 6


def test_a_column_that_gives_the_class_away(audited):
    def change(recordings):
        for i, r in enumerate(recordings):
            barn = i % 2 == 0
            r.meta["barn"] = "north" if barn else "south"
            r.labels[np.isin(r.labels, (0, 1, 2) if barn else (3, 4, 5))] = -1

    audit = audited(change)
    (finding,) = (f for f in audit.of_level("confound") if f.check == "tied_columns")
    assert finding.evidence["column"] == "barn"


def test_flags_are_compared_with_what_is_found(audited):
    def change(recordings):
        for r in recordings:
            wrong = r.subject == "dog05"
            r.samples[:3, NECK] *= 4.0 if wrong else 1.0
            r.meta["neck_scale_suspect"] = str(wrong or r.name == "dog01_1")

    audit = audited(change)
    assert serious(audit) == {("fault", "scale"), ("confound", "flag_columns")}
    (finding,) = (f for f in audit.findings if f.check == "flag_columns")
    assert (finding.evidence["confirmed"], finding.evidence["refuted"]) == (2, ["dog01_1"])


def test_non_wear_for_an_hour(clean, tmp_path):
    meta, recordings = clean
    rate, worn = 10.0, recordings[0]
    meta = replace(meta, rate_hz=rate)
    rng = np.random.default_rng(0)
    samples = np.tile(worn.samples[:, :, ::5], (1, 1, times := int(np.ceil(2.6 * 3600 * RATE / worn.n_samples))))
    samples += 0.001 * rng.standard_normal(samples.shape, dtype=np.float32)  # or it is a copy of itself
    labels = np.tile(worn.labels[::5], times)
    start, stop = round(0.5 * 3600 * rate), round(2.0 * 3600 * rate)
    still = np.array([0.1, 0.2, 9.8, 0, 0, 0, 20, 0, -45], np.float32)[:, None]
    samples[:, BACK, start:stop] = still + 0.01 * rng.standard_normal((9, stop - start), dtype=np.float32)
    labels[start:stop] = -1
    n = samples.shape[2]
    long = replace(worn, name="long", rate_hz=rate, samples=samples, labels=labels, time_s=np.arange(n) / rate)
    write_dataset(tmp_path / "dogs", meta, [long])
    audit = audit_dataset(tmp_path / "dogs")
    assert serious(audit) == set()
    (finding,) = (f for f in audit.findings if f.check == "nonwear")
    assert finding.level == "note"
    (stretch,) = audit.not_worn
    assert (stretch.recording, stretch.sensor) == ("long", "back")
    assert abs(stretch.start_s - 1800) <= 900
    assert abs(stretch.end_s - 7200) <= 900
    assert sum(s.end_s - s.start_s for s in audit.worn if s.sensor == "neck") == pytest.approx(n / rate)

    long.labels[start + 100 : stop - 100] = 0
    write_dataset(tmp_path / "labelled", meta, [long])
    audit = audit_dataset(tmp_path / "labelled")
    (finding,) = (f for f in audit.findings if f.check == "nonwear")
    assert finding.level == "confound"
    assert list(finding.evidence["labelled_s"]) == ["resting"]


def test_a_shorter_window_for_non_wear_says_that_it_is_not_validated(audited):
    def change(recordings):
        rng = np.random.default_rng(0)
        r = recordings[0]
        still = np.array([0.1, 0.2, 9.8, 0, 0, 0, 20, 0, -45], np.float32)[:, None]
        r.samples[:, NECK, 1000:5500] = still + 0.01 * rng.standard_normal((9, 4500), dtype=np.float32)

    audit = audited(change, nonwear_minutes=1)
    found = [f for f in audit.findings if f.check == "nonwear"]
    assert [f.level for f in found] == ["note"]
    assert "not validated" in found[0].title
    assert {s.recording for s in audit.not_worn if s.sensor == "neck"} >= {"dog01_1"}


def test_a_set_that_loading_refuses_is_audited_all_the_same(clean, tmp_path):
    meta, recordings = clean
    write_dataset(tmp_path / "dogs", meta, recordings)
    folder = tmp_path / "dogs" / "recordings"
    (folder / "dog01_1.parquet").write_bytes(b"PAR1 no more")
    (folder / "dog02_1.parquet").unlink()
    text = (tmp_path / "dogs" / "recordings.csv").read_text()
    (tmp_path / "dogs" / "recordings.csv").write_text(
        text.replace("dog03_1,dog03,6000,50,", "dog03_1,dog03,6001,50,").replace(
            "dog04_1,dog04,6000", "dog04_1,dog04,x"
        )
    )
    audit = audit_dataset(tmp_path / "dogs")
    finding = only(audit, "fault", "unreadable")
    assert set(finding.recordings) == {"dog01_1", "dog02_1", "dog03_1", "dog04_1"}
    codes = {name: sentence[:10] for name, sentence in finding.evidence["sentences"].items()}
    assert codes == {"dog01_1": "E-DATA-004", "dog02_1": "E-DATA-004", "dog03_1": "E-DATA-011",
                     "dog04_1": "E-DATA-003"}  # fmt: skip
    assert audit.recordings["dog03_1"]["rows"] == 6000, "it is looked at though it is refused"
    with pytest.raises(ValueError, match="E-DATA-00"):
        list(Dataset.open(tmp_path / "dogs").load_all())
