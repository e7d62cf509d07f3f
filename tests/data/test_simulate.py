"""The simulator keeps its laws, obeys geometry, and gives a task that is neither trivial nor hopeless."""

from itertools import pairwise

import numpy as np
import pytest

from conv2d.data import Dataset
from conv2d.data.behavior_laws import BEHAVIORS, DURATIONS, MOTIONS, TRANSITIONS
from conv2d.data.missing import fill_missing
from conv2d.data.simulate import (
    CHANNELS,
    GRAVITY,
    SENSORS,
    Simulation,
    draw_bouts,
    rigid_body,
    rotation,
    simulate_dataset,
    simulate_subject,
)
from conv2d.data.windows import label_windows, sliding, window_starts
from conv2d.errors import DataError, UsageError


def test_what_is_written(simulated_dataset):
    data = simulated_dataset
    assert data.meta.sensors == ("neck", "back")
    assert data.meta.channels == CHANNELS
    assert data.meta.classes == BEHAVIORS
    assert "simulated" in data.meta.title
    assert [r.meta["split"] for r in data.table] == ["train"] * 8 + ["test"] * 4
    assert {r.n_rows for r in data.table} == {1500}
    recordings = list(data.load_all())
    missing = np.mean([np.isnan(r.samples).mean() for r in recordings])
    unlabelled = np.mean(np.concatenate([r.labels for r in recordings]) < 0)
    assert 0 < missing < 0.1
    assert 0 < unlabelled < 0.3


def test_the_same_seed_gives_the_same_files_and_another_seed_others(tmp_path, simulated_dataset):
    again = simulate_dataset(tmp_path / "again", n_subjects=6, minutes=1.0, rate_hz=50.0, seed=3)
    other = simulate_dataset(tmp_path / "other", n_subjects=6, minutes=1.0, rate_hz=50.0, seed=4)
    assert again.sha256() == simulated_dataset.sha256()
    assert not np.array_equal(again.load("dog01_1").samples, other.load("dog01_1").samples, equal_nan=True)


def test_a_subject_does_not_depend_on_how_many_others_there_are(simulated_dataset):
    for recording in simulate_subject(4, minutes=1.0, rate_hz=50.0, seed=3):
        there = simulated_dataset.load(recording.name)
        np.testing.assert_array_equal(recording.samples, there.samples)
        np.testing.assert_array_equal(recording.labels, there.labels)


def test_progress_is_told(tmp_path):
    seen = []
    simulate_dataset(tmp_path / "x", n_subjects=2, minutes=0.5, rate_hz=25, progress=lambda *at: seen.append(at))
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_durations_follow_their_law(behavior):
    law = DURATIONS[behavior]
    drawn = law.sample(np.random.default_rng(0), 20_000)
    assert drawn.min() >= law.shortest_s
    assert drawn.mean() == pytest.approx(law.mean_s, rel=0.02)
    assert drawn.std() == pytest.approx(law.sd_s, rel=0.05)


def test_bouts_follow_the_laws():
    """Durations and successions of whole bouts inside long recordings, against the tables."""
    rng = np.random.default_rng(1)
    n, rate = 200_000, 10.0
    durations = {k: [] for k in range(len(BEHAVIORS))}
    counts = np.zeros_like(TRANSITIONS)
    first = np.zeros(len(BEHAVIORS))
    for _ in range(40):
        behaviors, ends = draw_bouts(rng, n, rate)
        assert ends[-1] == n
        lengths = np.diff(ends, prepend=0) / rate
        first[behaviors[0]] += 1
        np.add.at(counts, (behaviors[:-1], behaviors[1:]), 1)
        for k, seconds in zip(behaviors[1:-1], lengths[1:-1], strict=True):
            durations[int(k)].append(seconds)
    assert (np.diag(counts) == 0).all()
    np.testing.assert_allclose(counts / counts.sum(1, keepdims=True), TRANSITIONS, atol=0.02)
    for k, behavior in enumerate(BEHAVIORS):
        assert np.mean(durations[k]) == pytest.approx(DURATIONS[behavior].mean_s, rel=0.03)


def test_the_tables_are_whole():
    np.testing.assert_allclose(TRANSITIONS.sum(axis=1), 1)
    assert TRANSITIONS.shape == (len(BEHAVIORS),) * 2
    assert tuple(DURATIONS) == tuple(MOTIONS) == BEHAVIORS


def test_annotated_bouts_keep_their_order():
    """A boundary is annotated some tenths of a second off, never so far that a behaviour stands out of its turn."""
    for subject in range(6):
        # A bout that is taken for another may well stand out of its turn.
        recordings = simulate_subject(
            subject, minutes=10, rate_hz=25, seed=11, simulation=Simulation(swapped_share=0.0)
        )
        for recording in recordings:
            labels = recording.labels
            runs = labels[np.flatnonzero(np.diff(labels, prepend=-2))]
            pairs = [(a, b) for a, b in pairwise(runs) if a >= 0 and b >= 0]
            assert all(TRANSITIONS[a, b] > 0 for a, b in pairs)


def test_a_body_at_rest_feels_gravity_alone_and_does_not_turn():
    n = 50
    signals = rigid_body(np.full(n, 30.0), np.full(n, -20.0), np.full(n, 75.0), np.zeros((3, n)), 50.0)
    np.testing.assert_allclose(np.linalg.norm(signals[:3], axis=0), GRAVITY)
    np.testing.assert_allclose(signals[3:6], 0, atol=1e-12)
    # nose up by 30 degrees: half of gravity lies along the axis that points ahead
    np.testing.assert_allclose(signals[0], GRAVITY / 2)


def test_the_gyroscope_tells_how_gravity_and_field_turn():
    """A fixed vector seen from a turning body changes by v' = v x w: the three signals belong to one motion."""
    rate, t = 2000.0, np.arange(4000) / 2000.0
    pitch, roll, yaw = 20 * np.sin(3 * t), 30 * np.sin(5 * t + 1), 60 * t + 10 * np.sin(7 * t)
    signals = rigid_body(pitch, roll, yaw, np.zeros((3, len(t))), rate)
    up, turning, field = signals[:3], signals[3:6], signals[6:]
    for vector in (up, field):
        change = np.gradient(vector, axis=1) * rate
        expected = np.cross(vector, turning, axis=0)
        np.testing.assert_allclose(change[:, 5:-5], expected[:, 5:-5], atol=2e-3 * np.abs(vector).max())
    assert np.ptp(np.linalg.norm(field, axis=0)) < 1e-9


def test_rotation_keeps_lengths_and_angles():
    axis = np.array([1.0, -2.0, 0.5]) / np.linalg.norm([1.0, -2.0, 0.5])
    turn = rotation(axis, 0.7)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(turn @ axis, axis, atol=1e-12)
    assert np.trace(turn) == pytest.approx(1 + 2 * np.cos(0.7))


def test_sensors_read_physical_values(simulated_dataset):
    for recording in simulated_dataset.load_all():
        for s in range(len(SENSORS)):
            resting = recording.samples[:, s][:, recording.labels == BEHAVIORS.index("resting")]
            if resting.shape[1] < 100:
                continue
            assert np.nanmedian(np.linalg.norm(resting[:3], axis=0)) == pytest.approx(GRAVITY, abs=0.7)
            assert np.nanmedian(np.linalg.norm(resting[6:], axis=0)) == pytest.approx(49.2, abs=6)


@pytest.mark.parametrize(
    "wrong", [{"n_subjects": 0}, {"minutes": 0.1}, {"rate_hz": 10}, {"seed": -1}], ids=lambda w: next(iter(w))
)
def test_parameters_out_of_range(tmp_path, wrong):
    with pytest.raises(UsageError, match=r"expected 1 or more, 0\.5 or more, 25 or more and 0 or more"):
        simulate_dataset(tmp_path / "x", **wrong)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_exists_is_left_alone(simulated_dataset):
    before = simulated_dataset.sha256()
    with pytest.raises(DataError, match="E-DATA-012"):
        simulate_dataset(simulated_dataset.path, n_subjects=1, minutes=0.5)
    assert simulated_dataset.sha256() == before


def statistics(data: Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    features, labels, test = [], [], []
    for recording in data.load_all():
        window = int(recording.rate_hz)
        starts = window_starts(recording.time_s, recording.rate_hz, window, window // 2)
        label, _ = label_windows(recording.labels, starts, window)
        windows = sliding(fill_missing(recording.samples, recording.rate_hz, 0.2).samples, starts, window)
        keep = (label >= 0) & ~np.isnan(windows).any(axis=(1, 2, 3))
        windows = windows[keep].reshape(keep.sum(), -1, window)
        features.append(np.concatenate([windows.mean(2), windows.std(2), windows.min(2), windows.max(2)], axis=1))
        labels.append(label[keep])
        test.append(np.full(keep.sum(), recording.meta["split"] == "test"))
    return np.concatenate(features), np.concatenate(labels), np.concatenate(test)


@pytest.mark.slow
def test_a_forest_is_right_mostly_but_not_always_on_held_out_dogs(tmp_path):
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.metrics import f1_score

    x, y, test = statistics(simulate_dataset(tmp_path / "dogs", n_subjects=12, minutes=4, rate_hz=50, seed=5))
    forest = RandomForestClassifier(60, random_state=0, n_jobs=1).fit(x[~test], y[~test])
    score = f1_score(y[test], forest.predict(x[test]), average="macro")
    assert 0.8 < score < 0.98
    shuffled = np.random.default_rng(0).permutation(y[~test])
    chance = f1_score(y[test], forest.fit(x[~test], shuffled).predict(x[test]), average="macro")
    assert chance < 0.25
