"""Each fault is put in once, where ``truth.json`` says, and nowhere else."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from conv2d.data import Dataset
from conv2d.data.behavior_laws import BEHAVIORS
from conv2d.data.recording_file import read_recording
from conv2d.data.simulate import CHANNELS, GRAVITY, SENSORS, simulate_dataset
from conv2d.data.simulation.defects import COPIED_ROWS, KINDS, RAIL, SCALE, STRETCH
from conv2d.errors import DataError, UsageError

OPTIONS = {"n_subjects": 4, "minutes": 2, "rate_hz": 50, "seed": 6}
NECK, BACK = 0, 1


@pytest.fixture(scope="module")
def clean(tmp_path_factory):
    return {r.name: r for r in simulate_dataset(tmp_path_factory.mktemp("clean") / "dogs", **OPTIONS).load_all()}


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """The recordings and the places of one fault, simulated once."""
    folder, made = tmp_path_factory.mktemp("faulty"), {}

    def find(kind):
        if kind not in made:
            data = simulate_dataset(folder / kind, **OPTIONS, defects=[kind])
            places = json.loads((data.path / "truth.json").read_text())["defects"]
            assert {p["kind"] for p in places} == {kind}
            assert any(kind in note for note in data.meta.notes)
            made[kind] = data, {r.recording: load(data, r) for r in data.table}, {p.get("recording"): p for p in places}
        return made[kind]

    return find


def load(data, row):
    """Read past the rate, which is one of the faults."""
    options = {"sensors": SENSORS, "channels": CHANNELS, "known_classes": BEHAVIORS, "name": row.recording}
    try:
        return read_recording(data.recording_path(row.recording), rate_hz=data.meta.rate_hz, **options)
    except DataError:
        return read_recording(data.recording_path(row.recording), rate_hz=data.meta.rate_hz / STRETCH, **options)


def compare(before, after, *, samples=True, labels=True, time=True):
    """What is said to be untouched is equal, bit by bit."""
    if samples:
        np.testing.assert_array_equal(before.samples, after.samples)
    if labels:
        np.testing.assert_array_equal(before.labels, after.labels)
    if time:
        np.testing.assert_array_equal(before.time_s, after.time_s)


def changed(before, after):
    """Which samples differ, NaN counting as equal to NaN."""
    same = (before.samples == after.samples) | (np.isnan(before.samples) & np.isnan(after.samples))
    return ~same


def test_a_scale_on_one_sensor_of_one_subject(clean, faulty):
    _, recordings, places = faulty("scale")
    assert len({clean[name].subject for name in places}) == 1
    assert len(places) == 2
    for name, before in clean.items():
        compare(before, recordings[name], samples=name not in places)
        if name in places:
            np.testing.assert_allclose(recordings[name].samples[:3, NECK], before.samples[:3, NECK] * SCALE, rtol=1e-6)
            assert not changed(before, recordings[name])[3:].any()
            assert not changed(before, recordings[name])[:, BACK].any()


def test_axes_exchanged_and_mirrored_everywhere(clean, faulty):
    _, recordings, places = faulty("swap")
    assert set(places) == set(clean)
    for name, before in clean.items():
        exchanged = before.samples.copy()
        exchanged[[0, 1], NECK] = exchanged[[1, 0], NECK]
        np.testing.assert_array_equal(recordings[name].samples, exchanged)
        compare(before, recordings[name], samples=False)
    _, recordings, _ = faulty("mirror")
    for name, before in clean.items():
        mirrored = before.samples.copy()
        mirrored[3:5, BACK] *= -1
        np.testing.assert_array_equal(recordings[name].samples, mirrored)


def test_an_accelerometer_cut_off(clean, faulty):
    _, recordings, places = faulty("clip")
    rail = np.float32(RAIL * GRAVITY)
    at_rail = 0
    for name, before in clean.items():
        cut = changed(before, recordings[name])
        assert not cut[3:].any()
        assert not cut[:, NECK].any()
        assert (np.abs(recordings[name].samples[:3, BACK][cut[:3, BACK]]) == rail).all()
        assert not (np.abs(recordings[name].samples[:3, BACK]) > rail).any()
        assert cut[:3, BACK].mean() == pytest.approx(places[name]["share"])
        at_rail += int(cut.sum())
    assert at_rail > 50


def test_straight_lines(clean, faulty):
    _, recordings, places = faulty("linear")
    rows = 0
    for name, before in clean.items():
        drawn = np.zeros(before.n_samples, bool)
        for first, stop in places[name]["rows"]:
            drawn[first:stop] = True
            line = recordings[name].samples[:, NECK, first:stop].astype(float)
            # Second differences are nothing but what float32 rounds off, 49 microtesla being the largest value.
            assert np.abs(np.diff(line, 2, axis=-1)).max() < 4 * 49 * 2**-24 * 2
            np.testing.assert_array_equal(line[:, [0, -1]], before.samples[:, NECK, [first, stop - 1]])
        assert not changed(before, recordings[name])[:, :, ~drawn].any()
        assert not changed(before, recordings[name])[:, BACK].any()
        rows += drawn.sum()
    assert rows / sum(r.n_samples for r in clean.values()) > 0.01


def test_a_sensor_that_is_stuck(clean, faulty):
    _, recordings, places = faulty("stuck")
    assert len(places) == 1
    for name, before in clean.items():
        touched = changed(before, recordings[name])
        if name in places:
            first, stop = places[name]["rows"]
            assert (stop - first) / before.rate_hz == 2
            held = recordings[name].samples[:, BACK, first:stop]
            assert np.isfinite(held).all()
            assert (held == held[:, :1]).all()
            touched[:, BACK, first:stop] = False
        assert not touched.any()


def test_rows_that_stand_in_two_recordings(clean, faulty):
    _, recordings, places = faulty("copy")
    (a, b) = sorted(places)
    assert clean[a].subject == clean[b].subject
    first, stop = places[a]["rows"]
    assert stop - first == COPIED_ROWS
    copied = recordings[b].samples[:, :, :COPIED_ROWS]
    np.testing.assert_array_equal(copied, recordings[a].samples[:, :, first:stop])
    assert np.isfinite(copied).all()
    assert np.std(copied[0], axis=-1).min() > 0.3  # rows that do not move would prove nothing
    for name, before in clean.items():
        touched = changed(before, recordings[name])
        if name == b:
            touched[:, :, :COPIED_ROWS] = False
        assert not touched.any()
        compare(before, recordings[name], samples=False)


def test_labels_too_short_to_be_real(clean, faulty):
    _, recordings, places = faulty("short")
    for name, before in clean.items():
        compare(before, recordings[name], labels=False)
        differs = np.flatnonzero(before.labels != recordings[name].labels)
        expected = [row for run in places[name]["runs"] for row in range(*run["rows"])]
        assert sorted(expected) == differs.tolist()
        for run in places[name]["runs"]:
            first, stop = run["rows"]
            around = recordings[name].labels[[first - 1, stop]]
            assert around[0] == around[1] >= 0
            assert BEHAVIORS[recordings[name].labels[first]] == run["label"] != BEHAVIORS[around[0]]


def test_a_class_tied_to_a_subject_that_shows_nothing_else(clean, faulty):
    _, recordings, places = faulty("tied")
    (behavior,) = {place["behavior"] for place in places.values()}
    k = BEHAVIORS.index(behavior)
    for name, before in clean.items():
        compare(before, recordings[name], labels=False)
        alone = before.subject == "dog04"
        assert places[name]["only_there"] is alone
        labels = recordings[name].labels
        np.testing.assert_array_equal(labels, np.where((before.labels == k) == alone, before.labels, -1))
    assert any((r.labels == k).any() for n, r in recordings.items() if clean[n].subject == "dog04")


def test_a_script(faulty):
    data, _, _ = faulty("script")
    orders = []
    for row in data.table:
        true = pq.read_table(data.path / "truth" / f"{row.recording}.parquet")
        labels = np.array(true["label"].to_pylist())
        orders.append((*labels[np.flatnonzero(labels[1:] != labels[:-1])], labels[-1]))
    assert len(set(orders)) == 1
    assert len(orders[0]) >= 4


def test_clocks(clean, faulty):
    _, recordings, places = faulty("hour")
    assert len(places) == 1
    for name, before in clean.items():
        compare(before, recordings[name], time=name not in places)
        if name in places:
            row = places[name]["rows"][0]
            np.testing.assert_array_equal(recordings[name].time_s[:row], before.time_s[:row])
            np.testing.assert_array_equal(recordings[name].time_s[row:], before.time_s[row:] + 3600)
    data, recordings, places = faulty("rate")
    assert len({clean[name].subject for name in places}) == 1
    for name, before in clean.items():
        compare(before, recordings[name], time=name not in places)
        if name in places:
            assert np.diff(recordings[name].time_s).mean() == pytest.approx(STRETCH / 50)
            with pytest.raises(DataError, match="E-DATA-007"):
                data.load(name)


def test_all_at_once_choose_different_subjects_and_leave_the_truth(tmp_path):
    options = {**OPTIONS, "n_subjects": 6}
    data = simulate_dataset(tmp_path / "all", **options, defects=[k for k in KINDS if k != "script"])
    plain = simulate_dataset(tmp_path / "none", **options)
    places = json.loads((data.path / "truth.json").read_text())["defects"]
    assert {p["kind"] for p in places} == set(KINDS) - {"script"}
    one_subject = {
        kind: {p["recording"][:5] for p in places if p["kind"] == kind}
        for kind in ("scale", "stuck", "copy", "hour", "rate")
    }
    assert all(len(subjects) == 1 for subjects in one_subject.values())
    assert len(set.union(*one_subject.values())) == 5
    for path in sorted((plain.path / "truth").iterdir()):
        assert (data.path / "truth" / path.name).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_single_short_recording_takes_any_fault(tmp_path, kind):
    options = {"n_subjects": 1, "minutes": 0.5, "rate_hz": 25, "seed": 1}
    if kind == "tied":
        with pytest.raises(UsageError, match=r"^E-SIM-002: defect tied was asked for with 1 subject, expected 2"):
            simulate_dataset(tmp_path / "x", **options, defects=[kind])
        assert list(tmp_path.iterdir()) == []
        return
    data = simulate_dataset(tmp_path / "x", **options, defects=[kind])
    assert isinstance(data, Dataset)
    assert json.loads((data.path / "truth.json").read_text())["defects"]


def test_names_that_are_not_known_or_stand_twice(tmp_path):
    with pytest.raises(UsageError, match=r"^E-SIM-002: defect 'sclae' is not known, expected of scale, swap, "):
        simulate_dataset(tmp_path / "x", **OPTIONS, defects=["sclae"])
    with pytest.raises(UsageError, match=r"^E-SIM-002: defect scale is asked for twice, expected once each"):
        simulate_dataset(tmp_path / "x", **OPTIONS, defects=["scale", "hour", "scale"])
    assert list(tmp_path.iterdir()) == []
