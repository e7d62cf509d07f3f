"""What is written as truth can be found again in the recordings."""

import csv
import itertools
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from scipy import stats

from conv2d.data import Dataset
from conv2d.data.behavior_laws import ALIKE, BEHAVIORS, DURATIONS, MOTIONS, STEP_S
from conv2d.data.simulate import (
    CHANNELS,
    GRAVITY,
    SENSORS,
    Simulation,
    draw_bouts,
    simulate_dataset,
    simulate_with_truth,
)
from conv2d.errors import DataError

RATE = 50.0


@pytest.fixture(scope="module")
def dogs(tmp_path_factory):
    """Eight dogs of all sizes, ten minutes each, with the truth."""
    return simulate_dataset(
        tmp_path_factory.mktemp("truth") / "dogs",
        n_subjects=8, minutes=10, rate_hz=RATE, seed=12, simulation=Simulation(sizes="mixed"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def truth(dogs):
    return json.loads((dogs.path / "truth.json").read_text())


@pytest.fixture(scope="module")
def bouts(dogs):
    with (dogs.path / "truth" / "bouts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    words = {"recording", "behavior", "label"}
    return [{k: v if k in words else float(v) for k, v in row.items()} for row in rows]


def true_rows(dogs, name):
    return pq.read_table(dogs.path / "truth" / f"{name}.parquet")


def filled(signal):
    there = np.isfinite(signal)
    return np.interp(np.arange(len(signal)), np.flatnonzero(there), signal[there])


def upward(recording, sensor, rows):
    """Acceleration along gravity, without it, over rows; None where more than a tenth is missing."""
    acc = recording.samples[:3, SENSORS.index(sensor), rows]
    if np.isnan(acc).mean() > 0.1:
        return None
    acc = np.stack([filled(a) for a in acc])
    mean = acc.mean(axis=1)
    up = mean @ acc / np.linalg.norm(mean)
    return up - up.mean()


def gait_bouts(dogs, bouts, behavior):
    """(bout, its rows) of a gait that lasts, without the half second in which it begins and ends."""
    recordings = {r.name: r for r in dogs.load_all()}
    for bout in bouts:
        if bout["behavior"] == behavior and bout["end_s"] - bout["start_s"] > 7:
            rows = slice(int((bout["start_s"] + 0.5) * RATE), int((bout["end_s"] - 0.5) * RATE))
            yield bout, recordings[bout["recording"]], rows


@pytest.mark.parametrize("behavior", BEHAVIORS)
def test_whole_bouts_last_as_the_law_says(behavior):
    """Kolmogorov and Smirnov against the law, over the bouts that no end has cut."""
    law = DURATIONS[behavior]
    rng, rate, lasted = np.random.default_rng(3), 1000.0, []
    for _ in range(60):
        behaviors, ends = draw_bouts(rng, 2_000_000, rate)
        lengths = np.diff(ends, prepend=0) / rate
        lasted.extend(lengths[1:-1][behaviors[1:-1] == BEHAVIORS.index(behavior)])
    mean, variance = law.mean_s - law.shortest_s, law.sd_s**2
    assert len(lasted) > 200
    if law.kind == "gamma":
        exact = stats.gamma(mean**2 / variance, scale=variance / mean, loc=law.shortest_s)
        assert stats.kstest(lasted, exact.cdf).pvalue > 1e-3
    else:
        mean, variance = mean / STEP_S, variance / STEP_S**2
        counts = np.round((np.array(lasted) - law.shortest_s) / STEP_S).astype(int)
        exact = stats.nbinom(mean**2 / (variance - mean), mean / variance)
        edges = exact.ppf(np.linspace(0.1, 0.9, 9))
        seen = np.bincount(np.searchsorted(edges, counts), minlength=10)
        expected = np.diff(np.concatenate([[0], exact.cdf(edges), [1]])) * len(counts)
        assert stats.chisquare(seen, expected).pvalue > 1e-3


@pytest.mark.parametrize("behavior", ["walking", "trotting"])
@pytest.mark.parametrize("sensor", SENSORS)
def test_the_spectrum_shows_the_stride_rate(dogs, bouts, behavior, sensor):
    errors, n = [], 0
    for bout, recording, rows in gait_bouts(dogs, bouts, behavior):
        up = upward(recording, sensor, rows)
        if up is None:
            continue
        power = np.abs(np.fft.rfft(up * np.hanning(len(up)), 8 * len(up))) ** 2
        frequency = np.fft.rfftfreq(8 * len(up), 1 / RATE)
        power[frequency < 1] = 0
        errors.append(frequency[power.argmax()] / 2 - bout["stride_hz"])
        n += 1
    assert n > 20
    # A second beat or a swaying head tops the spectrum now and then; a wrong rate would do so always.
    assert np.median(np.abs(errors)) < 0.05
    assert np.mean(np.abs(errors) < 0.15) > 0.9


@pytest.mark.parametrize("behavior", ["walking", "trotting"])
def test_the_cross_spectrum_shows_how_far_the_neck_lags(dogs, bouts, behavior):
    errors, lags = [], []
    for bout, recording, rows in gait_bouts(dogs, bouts, behavior):
        neck, back = (upward(recording, sensor, rows) for sensor in SENSORS)
        if neck is None or back is None:
            continue
        spectra = [np.fft.rfft(x * np.hanning(len(x))) for x in (neck, back)]
        near = np.abs(np.fft.rfftfreq(len(neck), 1 / RATE) - 2 * bout["stride_hz"]) < 0.4
        cross = np.sum((spectra[1] * np.conj(spectra[0]))[near])
        errors.append(np.angle(cross * np.exp(-1j * np.deg2rad(bout["lag_deg"])), deg=True))
        lags.append(bout["lag_deg"])
    assert len(errors) > 20
    assert np.abs(np.median(errors)) < 10
    assert np.median(np.abs(errors)) < 15
    # The gaits differ: the head nods well behind the trunk in a walk and goes with it in a trot.
    assert np.mean(lags) == pytest.approx(MOTIONS[behavior].lag, abs=20)


def test_phases_in_the_file_are_those_of_the_signal(dogs):
    """Averaged over strides the back rises once each half stride, highest at phase 0."""
    for recording in dogs.load_all(subjects=["dog02", "dog05"]):
        rows = true_rows(dogs, recording.name)
        trotting = np.array(rows["label"].to_pylist()) == "trotting"
        for sensor in SENSORS:
            up = np.linalg.norm(recording.samples[:3, SENSORS.index(sensor)], axis=0) - GRAVITY
            use = trotting & np.isfinite(up)
            if use.sum() < 20 * RATE:
                continue
            phase = rows[f"{sensor}_stride_phase_rad"].to_numpy()[use]
            twice = np.mean(up[use] * np.exp(-2j * phase))
            assert np.abs(np.angle(twice, deg=True)) < 25
            assert np.abs(twice) > 3 * np.abs(np.mean(up[use] * np.exp(-3j * phase)))


@pytest.mark.parametrize("s", [0, 1])
def test_mounting_gain_and_offset_are_found_from_gravity_on_a_table(s):
    """Six faces give the affine map from gravity to the reading: gain times mounting, and the offset."""
    settings = Simulation(table_s=60, gain_sd=0.05, acc_offset=0.3).levels(drop_outs=0)
    for number in range(3):
        known = next(simulate_with_truth(number, minutes=4, rate_hz=RATE, seed=1, simulation=settings))
        still = known.recording.time_s > 61
        pitch, roll = np.deg2rad(known.movement.pitch_deg[s][still]), np.deg2rad(known.movement.roll_deg[s][still])
        turned = np.deg2rad(known.movement.turned_deg[s][still])
        up = GRAVITY * np.stack(
            [np.sin(pitch), np.cos(pitch) * np.sin(roll + turned), np.cos(pitch) * np.cos(roll + turned)]
        )
        read = known.recording.samples[:3, s][:, still]
        found = np.linalg.lstsq(np.vstack([up, np.ones(up.shape[1])]).T, read.T, rcond=None)[0].T
        gain = np.linalg.norm(found[:, :3], axis=1)
        np.testing.assert_allclose(gain, known.animal.gain[:3, s], atol=2e-3)
        np.testing.assert_allclose(found[:, :3] / gain[:, None], known.animal.mounting[s], atol=2e-3)
        drift = known.drift[:3, s, 6:].mean(axis=-1)
        np.testing.assert_allclose(found[:, 3] - drift, known.animal.offset[:3, s], atol=0.03)


def test_mounting_is_found_from_gravity_while_animals_rest(dogs, truth):
    """The mean reading at rest is the mounting applied to the mean direction of gravity, to a degree or two."""
    for name, subject in truth["subjects"].items():
        for s, sensor in enumerate(SENSORS):
            known = subject["sensors"][sensor]
            seen, expected = [], []
            for recording in dogs.load_all(subjects=[name]):
                rows = true_rows(dogs, recording.name)
                rest = np.isin(np.array(rows["label"].to_pylist()), ["resting", "standing"])
                rest &= np.isfinite(recording.samples[0, s])
                pitch, roll, turned = (
                    rows[f"{sensor}_{angle}_deg"].to_numpy()[rest] for angle in ("pitch", "roll", "turned")
                )
                p, r = np.deg2rad(pitch), np.deg2rad(roll + turned - known["roll_deg"])
                seen.append(recording.samples[:3, s][:, rest])
                expected.append(np.stack([np.sin(p), np.cos(p) * np.sin(r), np.cos(p) * np.cos(r)]))
            acc, up = (np.concatenate(x, axis=1).mean(axis=1) for x in (seen, expected))
            acc = acc - [known["offset"][c] for c in CHANNELS[:3]]
            there = known["mounting"] @ up
            angle = np.arccos(acc @ there / np.linalg.norm(acc) / np.linalg.norm(there))
            assert np.rad2deg(angle) < 2


def test_observers_err_as_the_file_says(dogs, truth, bouts):
    clipped_sd = np.clip(stats.norm.ppf((np.arange(10_000) + 0.5) / 10_000), -2, 2).std()
    shifts = {}
    for bout in bouts:
        subject = truth["recordings"][bout["recording"]]["subject"]
        last = bout["end_s"] == pytest.approx(300)
        if not last:
            shifts.setdefault(subject, []).append(bout["end_annotated_late_s"])
    for subject, seconds in shifts.items():
        late = truth["subjects"][subject]["observer_late_s"]
        assert np.mean(seconds) == pytest.approx(late, abs=4 * 0.2 / np.sqrt(len(seconds)))
        assert np.abs(np.array(seconds) - late).max() <= 0.4 + 1e-6
    assert np.std(np.concatenate([np.array(s) - np.mean(s) for s in shifts.values()])) == pytest.approx(
        0.2 * clipped_sd, rel=0.1
    )


def test_boundaries_lie_where_the_file_says(dogs, truth, bouts):
    recordings = {r.name: r for r in dogs.load_all()}
    found = missed = 0
    for before, after in itertools.pairwise(bouts):
        if before["recording"] != after["recording"] or before["label"] == after["label"]:
            continue
        labels = recordings[before["recording"]].labels
        at = round((before["end_s"] + before["end_annotated_late_s"]) * RATE)
        pair = [labels[at - 1], labels[at]]
        if -1 in pair:
            missed += 1
            continue
        assert pair == [BEHAVIORS.index(before["label"]), BEHAVIORS.index(after["label"])]
        found += 1
    assert found > 20 * missed / 10


def test_swapped_bouts_are_those_that_look_alike_and_as_many_as_asked_for():
    settings = Simulation(swapped_share=0.3, boundary_sd_s=0, boundary_bias_s=0, observer_sd_s=0, unlabelled_per_min=0)
    swapped = eligible = 0
    for number in range(30):
        for known in simulate_with_truth(number, minutes=10, rate_hz=25, seed=8, simulation=settings):
            true, given = known.bouts.behaviors, known.annotation.given
            for a, b in zip(true, given, strict=True):
                assert a == b or ALIKE[BEHAVIORS[a]] == BEHAVIORS[b]
            swapped += int((true != given).sum())
            eligible += int(np.isin(true, [BEHAVIORS.index(b) for b in ALIKE]).sum())
            wrong = known.recording.labels != known.truth
            np.testing.assert_array_equal(wrong, (true != given)[known.bout])
    assert stats.binomtest(swapped, eligible, 0.3).pvalue > 1e-3


def test_missed_bouts_are_short_and_part_of_the_one_before(tmp_path):
    settings = Simulation(missed_share=0.5, swapped_share=0.0)
    missed = short = 0
    for number in range(25):
        for known in simulate_with_truth(number, minutes=20, rate_hz=25, seed=8, simulation=settings):
            lengths = np.diff(known.bouts.ends_s, prepend=0)
            for i in known.annotation.missed:
                assert lengths[i] < 1.5
                assert known.annotation.given[i] == known.annotation.given[i - 1]
            missed += len(known.annotation.missed)
            short += int((lengths[1:] < 1.5).sum())
    assert stats.binomtest(missed, short, 0.5).pvalue > 1e-3


def test_drop_outs_are_where_the_file_says_and_as_many_as_asked_for(dogs, truth):
    for recording in dogs.load_all():
        rows = true_rows(dogs, recording.name)
        for s, sensor in enumerate(SENSORS):
            gone = rows[f"{sensor}_lost"].to_numpy(zero_copy_only=False)
            np.testing.assert_array_equal(np.isnan(recording.samples[:, s]), np.broadcast_to(gone, (9, len(gone))))
            assert truth["recordings"][recording.name]["lost_share"][sensor] == pytest.approx(gone.mean())
    settings = Simulation(gaps_per_min=0.0, burst_share=0.02, drop_out_spread=0.3)
    shares = [
        np.isnan(known.recording.samples[0]).mean()
        for number in range(40)
        for known in simulate_with_truth(number, minutes=10, rate_hz=25, seed=3, simulation=settings)
    ]
    assert np.mean(shares) == pytest.approx(0.02, rel=0.1)
    dead = Simulation(gaps_per_min=0.0, burst_share=0.0, dead_share=0.4)
    last = [
        known.recording.samples[0, :, -1]
        for number in range(60)
        for known in simulate_with_truth(number, minutes=0.5, rate_hz=25, seed=3, simulation=dead)
    ]
    assert stats.binomtest(int(np.isnan(last).sum()), np.size(last), 0.4).pvalue > 1e-3


def test_true_labels_drift_and_laws_are_written(dogs, truth, bouts):
    assert truth["format"] == "conv2d-truth/1"
    assert truth["parameters"]["sizes"] == "mixed"
    assert set(truth["laws"]["durations"]) == set(BEHAVIORS)
    assert truth["defects"] == []
    known = next(simulate_with_truth(3, minutes=10, rate_hz=RATE, seed=12, simulation=Simulation(sizes="mixed")))
    rows = true_rows(dogs, "dog04_1")
    assert rows["label"].to_pylist() == [BEHAVIORS[b] for b in known.truth]
    np.testing.assert_array_equal(rows["bout"].to_numpy(), known.bout)
    drift = pq.read_table(dogs.path / "truth" / "dog04_1.drift.parquet")
    np.testing.assert_allclose(drift["back/gyr_y"].to_numpy(), known.drift[4, 1])
    own = [b for b in bouts if b["recording"] == "dog04_1"]
    assert [b["behavior"] for b in own] == [BEHAVIORS[b] for b in known.bouts.behaviors]
    swapped = [int(b["bout"]) for b in own if b["label"] != b["behavior"]]
    assert swapped == truth["recordings"]["dog04_1"]["swapped_bouts"]


def test_who_reads_the_data_set_does_not_see_the_truth(tmp_path):
    options = {"n_subjects": 2, "minutes": 0.5, "rate_hz": 25, "seed": 9}
    with_truth = simulate_dataset(tmp_path / "a", **options)
    without = simulate_dataset(tmp_path / "b", **options, truth=False)
    assert with_truth.sha256() == without.sha256()
    assert sorted(p.name for p in without.path.iterdir()) == ["dataset.yaml", "recordings", "recordings.csv"]
    columns = pq.read_schema(with_truth.recording_path("dog01_1")).names
    assert columns == ["time_s", *with_truth.meta.columns, "label"]
    assert with_truth.load("dog01_1").quality == {}


def test_what_is_interrupted_leaves_neither_data_nor_truth(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_dataset(tmp_path / "x", n_subjects=2, minutes=0.5, rate_hz=25, progress=stop)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match="E-DATA-012"):
        simulate_dataset(__file__, n_subjects=1, minutes=0.5, rate_hz=25)


def test_no_channel_is_at_fault_by_default(dogs: Dataset):
    """Neither wrong scales nor copied rows nor held values: what an audit would call a fault."""
    seen = set()
    for recording in dogs.load_all():
        gravity = np.nanmedian(np.linalg.norm(recording.samples[:3], axis=0), axis=1) / GRAVITY
        assert ((gravity > 0.9) & (gravity < 1.1)).all()
        for s in range(len(SENSORS)):
            rows = recording.samples[:, s].T[np.isfinite(recording.samples[0, s])]
            hashes = {row.tobytes() for row in rows}
            assert len(hashes) == len(rows)
            assert not hashes & seen
            seen |= hashes


def test_gravity_turns_as_the_gyroscope_of_the_same_sensor_says(dogs: Dataset):
    """Of all signed permutations of the gyroscope's axes the true one explains the accelerometer best, by far."""
    signs = np.array(list(itertools.product([-1, 1], repeat=3)))
    orders = list(itertools.permutations(range(3)))
    width = int(0.6 * RATE)
    for s in range(len(SENSORS)):
        product, size = np.zeros((2, len(orders), len(signs)))
        for recording in dogs.load_all():
            signals = np.stack([filled(x) for x in recording.samples[:6, s]])
            for _ in range(2):
                signals = np.stack([np.convolve(x, np.ones(width) / width, "valid") for x in signals])
            change, acc, gyr = np.gradient(signals[:3], axis=1) * RATE, signals[:3], signals[3:]
            for i, order in enumerate(orders):
                for j, sign in enumerate(signs):
                    expected = np.cross(acc, sign[:, None] * gyr[list(order)], axis=0)
                    product[i, j] += np.vdot(change, expected)
                    size[i, j] += np.vdot(expected, expected)
        score = np.sign(product) * product**2 / size  # the variance that each explains, up to a factor
        best, second = np.sort(score.ravel())[::-1][:2]
        assert score[0, -1] == best
        assert best > 1.5 * second
