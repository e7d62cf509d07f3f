"""Raw files hold the same animals as the data set, seen through clocks whose error is known."""

import csv
import json

import numpy as np
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from scipy import integrate, interpolate

from conv2d.data import Dataset
from conv2d.data.behavior_laws import BEHAVIORS
from conv2d.data.joining.join import join_sources
from conv2d.data.joining.plan import read_plan
from conv2d.data.simulate import CHANNELS, SENSORS, Clocks, Simulation, simulate_with_truth
from conv2d.data.simulation.raw import QUARTZ_PPM, simulate_raw
from conv2d.data.simulation.sensors import DRIFT_S, lost
from conv2d.errors import DataError, UsageError

OPTIONS = {"minutes": 6.0, "seed": 4, "rate_hz": 100.0}
CLOCKS = Clocks(resets_per_h=40, drift_ppm=60)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "raw"
    simulate_raw(folder, n_subjects=2, **OPTIONS, clocks=CLOCKS)
    return folder


def known_recordings():
    for number in range(2):
        yield from simulate_with_truth(number, **OPTIONS)


def rows_of(raw, sensor, name):
    table = pyarrow.csv.read_csv(raw / sensor / f"{name}.csv")
    true = pq.read_table(raw / "truth" / sensor / f"{name}.parquet")["time_s"].to_numpy()
    return {c: table[c].to_numpy() for c in table.column_names}, true


def test_device_stamps_follow_the_clock_in_the_truth(raw):
    truth = json.loads((raw / "truth.json").read_text())
    assert any(s["resets_s"] for r in truth["recordings"].values() for s in r.values())
    for name, sensors in truth["recordings"].items():
        for sensor, clock in sensors.items():
            rows, t = rows_of(raw, sensor, name)
            assert list(rows) == ["device_s", "host_s", *CHANNELS]
            assert len(t) == clock["n_rows"]
            w = 2 * np.pi / (3600 * clock["temperature_h"])

            def off(at, clock=clock, w=w):
                kelvin = clock["temperature_k"] * np.sin(w * at + clock["temperature_phase_rad"])
                return -1e-6 * QUARTZ_PPM * kelvin**2

            quartz = np.array([integrate.quad(off, 0, at, epsabs=1e-10)[0] for at in t[::2000]])
            device = clock["offset_s"] + t[::2000] * (1 + 1e-6 * clock["drift_ppm"]) + quartz
            stamps = rows["device_s"][::2000]
            pieces = np.searchsorted(clock["resets_s"], t)
            np.testing.assert_allclose(stamps[pieces[::2000] == 0], device[pieces[::2000] == 0], atol=2e-6)
            for piece in range(1, len(clock["resets_s"]) + 1):
                inside = rows["device_s"][pieces == piece]
                if len(inside):
                    assert inside[0] == 0  # it begins anew with the first sample after the reset
                    span = t[pieces == piece]
                    assert inside[-1] == pytest.approx(span[-1] - span[0], rel=3e-4)
            assert (np.diff(rows["device_s"])[np.diff(pieces) == 0] > 0).all()
            steps = np.diff(t) * clock["rate_hz"]
            np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)


def test_host_stamps_are_late_and_in_order(raw):
    late = []
    for sensor in SENSORS:
        for name in ("dog01_1", "dog02_2"):
            rows, t = rows_of(raw, sensor, name)
            assert (np.diff(rows["host_s"]) >= 0).all()
            late.append(rows["host_s"] - t)
    late = np.concatenate(late)
    assert late.min() == pytest.approx(CLOCKS.least_s, abs=1e-4)
    assert late.max() <= CLOCKS.late_s + 0.15
    assert np.mean(late > 0.1) == pytest.approx(CLOCKS.late_share * 0.7, rel=0.5)
    assert np.median(late) == pytest.approx(CLOCKS.least_s + CLOCKS.lateness_s, abs=0.004)


def test_the_samples_are_those_of_the_data_set_at_other_instants(raw):
    for known in known_recordings():
        t, animal = known.recording.time_s, known.animal
        for s, sensor in enumerate(SENSORS):
            rows, at = rows_of(raw, sensor, known.recording.name)
            inside = at < t[-1]
            for c, noise in ((0, 0.03), (2, 0.03), (4, 0.005), (7, 0.6)):
                there = interpolate.CubicSpline(t, known.movement.signals[c, s])(at)
                drift = np.interp(at, DRIFT_S * np.arange(known.drift.shape[-1]), known.drift[c, s])
                error = (rows[CHANNELS[c]] - there * animal.gain[c, s] - animal.offset[c, s] - drift)[inside]
                # The median is blind to corners of the curves, where a spline rings.
                assert 1.4826 * np.median(np.abs(error)) == pytest.approx(noise, rel=0.15)
                assert abs(np.mean(error)) < 6 * noise / np.sqrt(len(error))


def test_what_is_lost_is_what_the_data_set_lacks(raw):
    for known in known_recordings():
        for s, sensor in enumerate(SENSORS):
            _, at = rows_of(raw, sensor, known.recording.name)
            assert not lost(known.drop_outs[s], at).any()
            missing = np.isnan(known.recording.samples[0, s]).mean()
            clock = json.loads((raw / "truth.json").read_text())["recordings"][known.recording.name][sensor]
            assert 1 - len(at) / (known.recording.duration_s * clock["rate_hz"]) == pytest.approx(missing, abs=0.004)


def test_the_labels_are_those_of_the_data_set(raw):
    with (raw / "labels.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for known in known_recordings():
        labels = np.full(known.recording.n_samples, -1)
        for row in rows:
            if row["recording"] == known.recording.name:
                first, stop = (round(float(row[k]) * 100) for k in ("start_s", "end_s"))
                labels[first:stop] = BEHAVIORS.index(row["label"])
        np.testing.assert_array_equal(labels, known.recording.labels)


def test_the_mapping_joins_them_into_the_truth(tmp_path):
    """Sensors of 104 and 100 Hz with clocks off by seconds come together as they were measured, to the noise."""
    options = {"minutes": 6.0, "seed": 9, "rate_hz": 100.0, "simulation": Simulation(acc_noise=0.01)}
    simulate_raw(tmp_path / "raw", n_subjects=1, **options)
    assert set(read_plan(tmp_path / "raw" / "join.yaml").sensors) == set(SENSORS)
    join_sources(tmp_path / "raw", tmp_path / "joined", tmp_path / "raw" / "join.yaml")
    joined = Dataset.open(tmp_path / "joined")
    assert joined.meta.simulated
    assert joined.meta.classes == BEHAVIORS
    for known in simulate_with_truth(0, **options):
        recording = joined.load(known.recording.name)
        assert recording.subject == "dog01"
        at = recording.time_s + float(recording.meta["start"])
        inside = at < known.recording.time_s[-1]
        for s in range(len(SENSORS)):
            gain, offset = known.animal.gain[2, s], known.animal.offset[2, s]
            true = interpolate.CubicSpline(known.recording.time_s, known.movement.signals[2, s])(at) * gain + offset
            error = (recording.samples[2, s] - true)[inside & np.isfinite(recording.samples[2, s])]
            assert 1.4826 * np.median(np.abs(error)) < 0.05
            assert np.isfinite(recording.samples[2, s]).mean() > 0.9


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"neck_rate_hz": 5.0}, "raw sensors have 5 and 100 Hz, expected 10 or more"),
        ({"rate_sd": 0.5}, r"rate_sd is 0\.5, expected 0 to 0\.02"),
        ({"late_s": 0.0}, "late_s is 0, expected more where late_share is"),
        ({"drift_ppm": -3.0}, r"drift_ppm is -3\.0, expected 0 or more"),
    ],
)
def test_clocks_out_of_range_are_named(wrong, said):
    with pytest.raises(UsageError, match=f"^E-SIM-001: {said}"):
        Clocks(**wrong)


def test_an_interrupt_or_a_taken_folder_leaves_nothing_new(tmp_path):
    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate_raw(tmp_path / "raw", n_subjects=2, minutes=0.5, rate_hz=25, progress=stop)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "mine").touch()
    with pytest.raises(DataError, match="E-DATA-012"):
        simulate_raw(tmp_path / "raw", n_subjects=1, minutes=0.5, rate_hz=25)


def test_perfect_clocks_are_possible(tmp_path):
    clocks = Clocks(
        rate_sd=0, offset_s=0, drift_ppm=0, temperature_k=0, least_s=0, lateness_s=0, late_share=0, neck_rate_hz=25,
    )  # fmt: skip
    simulate_raw(tmp_path / "raw", n_subjects=1, minutes=0.5, rate_hz=25, clocks=clocks)
    rows, t = rows_of(tmp_path / "raw", "neck", "dog01_1")
    np.testing.assert_allclose(rows["device_s"], t, atol=1e-6)
    np.testing.assert_allclose(rows["host_s"], t, atol=1e-6)
