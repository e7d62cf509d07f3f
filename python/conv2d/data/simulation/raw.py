"""Raw files of simulated sensors, each with its own clock, as a logger with a radio would leave them.

The animals, what they do and what is lost are those of the data set of the same seed; only the noise is drawn anew, as
the samples lie at other instants. The host's clock is the time axis of that data set.

::

    neck/<recording>.csv, back/<recording>.csv    device_s, host_s, acc_x .. mag_z; a row a sample that arrived
    labels.csv                                    recording, start_s, end_s, label; on the host's clock
    join.yaml                                     how `conv2d data join` reads them
    truth.json                                    the clocks
    truth/<sensor>/<recording>.parquet            time_s: when each row was measured, on the host's clock

A sample measured at ``t`` has the device stamp ``offset_s + (1 + 1e-6 drift_ppm) t - 0.034e-6 integral of (T - 25)^2``,
from 0 again after a reset, and the host stamp ``t`` plus lateness: at least ``least_s``, an exponential part, and for
those held back the time until they are let go. Host stamps do not decrease, since a radio keeps the order.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.behavior_laws import BEHAVIORS
from conv2d.data.meta import SIMULATED
from conv2d.data.recording import Recording
from conv2d.data.simulate import Simulated, check_call, simulate_with_truth
from conv2d.data.simulation.animal import CHANNELS, SENSORS, UNITS
from conv2d.data.simulation.curves import Array
from conv2d.data.simulation.movement import move
from conv2d.data.simulation.parameters import Clocks, Simulation
from conv2d.data.simulation.randomness import Effect, Streams
from conv2d.data.simulation.sensors import lost, measure
from conv2d.data.writer import new_dataset_folder
from conv2d.errors import DataError, UsageError
from conv2d.files import is_free, write_json

FORMAT = "conv2d-raw-truth/1"
QUARTZ_PPM = 0.034  # lost for each square kelvin from 25 degrees
SWING_H = 4.0
_FINE_HZ = 200.0  # at least so finely is a movement sampled before it is read off between the samples
_DIGITS = 6  # of stamps, in seconds


def simulate_raw(
    path: str | Path,
    *,
    n_subjects: int = 12,
    minutes: float = 5.0,
    rate_hz: float = 100.0,
    seed: int = 0,
    simulation: Simulation | None = None,
    clocks: Clocks | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write raw files of the animals that `simulate_dataset` simulates with the same arguments.

    ``path`` must be new or empty; UsageError E-SIM-001 and DataError E-DATA-012 as there. Cost: O(samples), about 10 s
    for an hour of both sensors.

    Example
    -------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     simulate_raw(pathlib.Path(folder) / "raw", n_subjects=1, minutes=0.5)
    ...     sorted(p.name for p in (pathlib.Path(folder) / "raw").iterdir())
    ['back', 'join.yaml', 'labels.csv', 'neck', 'truth', 'truth.json']
    """
    check_call(n_subjects, minutes, rate_hz, seed)
    simulation, clocks = simulation or Simulation(), clocks or Clocks()
    known: dict[str, Any] = {}
    with new_dataset_folder(Path(path)) as folder:
        for sensor in SENSORS:
            (folder / sensor).mkdir()
            (folder / "truth" / sensor).mkdir(parents=True)
        (folder / "labels.csv").write_text("recording,start_s,end_s,label\n", encoding="utf-8")
        for i in range(n_subjects):
            for part, simulated in enumerate(
                simulate_with_truth(i, minutes=minutes, rate_hz=rate_hz, seed=seed, simulation=simulation)
            ):
                streams = Streams(seed, i, part + 1)
                known[simulated.recording.name] = _write_recording(folder, simulated, simulation, clocks, streams)
            if progress is not None:
                progress(i + 1, n_subjects)
        (folder / "join.yaml").write_text(_mapping(clocks), encoding="utf-8")
        write_json(
            folder / "truth.json",
            {"format": FORMAT, "seed": seed, "minutes": minutes, "parameters": vars(clocks), "recordings": known},
        )


def refuse_raw_folder(path: Path, dataset: Path) -> None:
    """Refuse a folder of raw files that is taken (DataError E-DATA-012) or lies in the data set or around it.

    To be asked before the data set is simulated, not after it.
    """
    places = sorted((path.resolve(), dataset.resolve()), key=lambda p: len(p.parts))
    if places[1].is_relative_to(places[0]):
        raise UsageError(
            f"E-SIM-001: raw files were to go to {path} and the data set to {dataset}, expected two folders of which "
            "none is in the other; name another"
        )
    if not is_free(path):
        raise DataError(f"E-DATA-012: {path} exists already and is not overwritten; name another folder or remove it")


def _write_recording(
    folder: Path, simulated: Simulated, simulation: Simulation, clocks: Clocks, streams: Streams
) -> dict[str, Any]:
    recording = simulated.recording
    duration = recording.n_samples / recording.rate_hz
    # Whole multiples of the data set's rate, so that both sample the same bouts.
    fine_hz = recording.rate_hz * max(int(np.ceil(_FINE_HZ / recording.rate_hz)), 1)
    fine = move(simulated.animal, simulated.bouts, fine_hz, int(duration * fine_hz) + 8, simulation, streams).signals

    rng, noise = streams.of(Effect.CLOCK), streams.of(Effect.RAW_NOISE)
    known: dict[str, Any] = {}
    for s, sensor in enumerate(SENSORS):
        nominal = (clocks.neck_rate_hz, clocks.back_rate_hz)[s]
        rate, drift = nominal * (1 + clocks.rate_sd * rng.standard_normal()), clocks.drift_ppm * rng.standard_normal()
        offset, first, phase = clocks.offset_s * rng.uniform(-1, 1), rng.uniform(), rng.uniform(0, 2 * np.pi)
        t: Array = (first + np.arange(int(duration * rate), dtype=np.float64)) / rate
        t = t[(t < duration) & ~lost(simulated.drop_outs[s], t)]

        stamps = offset + t + 1e-6 * (drift * t - QUARTZ_PPM * _square_kelvin_s(t, clocks.temperature_k, phase))
        resets = _draw_resets(duration, clocks, streams, s)
        for row in np.searchsorted(t, resets):
            stamps[row:] -= stamps[row : row + 1]  # none where the reset comes after the last sample
        seen = _host_stamps(t, duration, clocks, streams, s)
        drift_of = simulated.drift[:, s]
        samples = measure(_between(fine[:, s], fine_hz, t), t, simulated.animal, s, drift_of, simulation, noise)
        numbers = {"device_s": stamps.round(_DIGITS), "host_s": seen.round(_DIGITS)}
        _write_csv(folder / sensor / f"{recording.name}.csv", {**numbers, **dict(zip(CHANNELS, samples, strict=True))})
        _write_times(folder / "truth" / sensor / f"{recording.name}.parquet", t)
        known[sensor] = {
            "nominal_rate_hz": nominal, "rate_hz": rate, "offset_s": offset, "drift_ppm": drift,
            "temperature_k": clocks.temperature_k, "temperature_h": SWING_H, "temperature_phase_rad": phase,
            "resets_s": resets.tolist(), "n_rows": len(t),
        }  # fmt: skip
    _write_labels(folder / "labels.csv", recording)
    return known


def _square_kelvin_s(t: Array, swing_k: float, phase: float) -> Array:
    """Integral from 0 of the squared distance from 25 degrees, for a sine of amplitude ``swing_k``."""
    w = 2 * np.pi / (3600 * SWING_H)
    return np.asarray(swing_k**2 * (t / 2 - (np.sin(2 * w * t + 2 * phase) - np.sin(2 * phase)) / (4 * w)))


def _draw_resets(duration: float, clocks: Clocks, streams: Streams, s: int) -> Array:
    rng = streams.of(Effect.RESETS).spawn(len(SENSORS))[s]
    return np.sort(rng.uniform(0, duration, rng.poisson(clocks.resets_per_h * duration / 3600)))


def _host_stamps(t: Array, duration: float, clocks: Clocks, streams: Streams, s: int) -> Array:
    late, held = (g.spawn(len(SENSORS))[s] for g in streams.of(Effect.LATENESS).spawn(2))
    seen = t + clocks.least_s + late.exponential(clocks.lateness_s, len(t))
    if clocks.late_share:
        # Held back for between half and all of late_s, three quarters on average.
        starts = held.uniform(0, duration, held.poisson(clocks.late_share * duration / (0.75 * clocks.late_s)))
        ends = starts + clocks.late_s * held.uniform(0.5, 1, len(starts))
        for first, stop, end in zip(np.searchsorted(t, starts), np.searchsorted(t, ends), ends, strict=True):
            seen[first:stop] = np.maximum(seen[first:stop], end + clocks.least_s)
    return np.asarray(np.maximum.accumulate(seen))


def _between(signals: Array, rate_hz: float, t: Array) -> Array:
    """Signals (9, n) read off at ``t``: the polynomial through the six samples about each instant (Lagrange)."""
    at = t * rate_hz
    first = np.clip(np.floor(at).astype(np.intp) - 2, 0, signals.shape[1] - 6)
    x = at - first
    found = np.zeros((len(signals), len(t)))
    for i in range(6):
        weight = np.ones(len(t))
        for j in range(6):
            if j != i:
                weight *= (x - j) / (i - j)
        found += weight * signals[:, first + i]
    return found


def _write_csv(path: Path, columns: dict[str, NDArray[Any]]) -> None:
    import pyarrow as pa
    from pyarrow import csv

    csv.write_csv(pa.table(columns), path, csv.WriteOptions(quoting_style="none"))


def _write_times(path: Path, t: Array) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"time_s": t}), path, use_dictionary=False)


def _write_labels(path: Path, recording: Recording) -> None:
    labels, rate_hz = recording.labels, recording.rate_hz
    starts = np.flatnonzero(np.diff(labels, prepend=-2))
    ends = np.append(starts[1:], len(labels))
    with path.open("a", encoding="utf-8") as file:
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            if labels[start] >= 0:
                file.write(f"{recording.name},{start / rate_hz:.6f},{end / rate_hz:.6f},{BEHAVIORS[labels[start]]}\n")


def _mapping(clocks: Clocks) -> str:
    import yaml

    rates = {"neck": clocks.neck_rate_hz, "back": clocks.back_rate_hz}
    content = {
        "name": "simulated_dogs_joined",
        "title": "Simulated dogs, joined from raw files: simulated data, no animal was recorded",
        "citation": SIMULATED,
        "units": dict(UNITS),
        "rate_hz": min(rates.values()) / 2,
        "sensors": {
            sensor: {
                "files": f"{sensor}/*.csv",
                "recording": {"from_filename": "^(.+)$"},
                "time": {"device": "device_s", "host": "host_s"},
                "rate_hz": rates[sensor],
                "latency_s": clocks.least_s,
                "channels": {channel: channel for channel in CHANNELS},
            }
            for sensor in SENSORS
        },
        "subject": {"from_filename": "^(.+)_[0-9]+$"},
        "label": {"files": "labels.csv", "recording": {"column": "recording"}, "column": "label"},
        "classes": list(BEHAVIORS),
    }
    return yaml.safe_dump(content, sort_keys=False)
