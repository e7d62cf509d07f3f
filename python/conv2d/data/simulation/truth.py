"""The truth behind a simulated data set, written beside its recordings.

::

    truth.json                    laws, parameters, subjects, recordings, faults that were put in
    truth/bouts.csv               a row a bout: when, what, how fast, and what it was taken for
    truth/<recording>.parquet     row for row with the recording:
                                  label, bout, <sensor>_stride_phase_rad (NaN outside of gaits), <sensor>_pitch_deg and
                                  <sensor>_roll_deg of the body, <sensor>_turned_deg of the sensor about the body's long
                                  axis, <sensor>_lost (no samples)
    truth/<recording>.drift.parquet   time_s | "<sensor>/<channel>": what came on top of the offset, linear in between

What a sensor reads is ``gain * (mounting @ body) + offset + drift + noise``, channel by channel after the rotation;
``mounting`` in ``truth.json`` holds the roll at which the sensor was put on (``roll_deg``), ``turned_deg`` is that of
each moment.
Faults that were put in change recordings, never the truth.
"""

import csv
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.behavior_laws import BEHAVIORS, DURATIONS, MOTIONS, REFERENCE_KG, TRANSITIONS
from conv2d.data.simulation.animal import CHANNELS, SENSORS, Animal, mounting_matrices
from conv2d.data.simulation.parameters import Simulation
from conv2d.data.simulation.sensors import DRIFT_S, lost
from conv2d.files import write_json

if TYPE_CHECKING:
    from conv2d.data.simulate import Simulated

FORMAT = "conv2d-truth/1"
_BOUT_COLUMNS = (
    "recording", "bout", "behavior", "start_s", "end_s", "intensity", "stride_hz", "shake_hz", "lag_deg", "label",
    "end_annotated_late_s",
)  # fmt: skip


class TruthWriter:
    """Writes the truth of recordings one after the other into a folder that exists; `finish` writes ``truth.json``."""

    def __init__(self, folder: Path, seed: int, minutes: float, rate_hz: float, simulation: Simulation) -> None:
        """Make the folder ``truth``."""
        self._folder = folder
        self._subjects: dict[str, Any] = {}
        self._recordings: dict[str, Any] = {}
        self._head = {
            "format": FORMAT, "seed": seed, "minutes": minutes, "rate_hz": rate_hz,
            "parameters": dataclasses.asdict(simulation), "laws": _laws(),
        }  # fmt: skip
        (folder / "truth").mkdir()
        with (folder / "truth" / "bouts.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(_BOUT_COLUMNS)

    def add(self, simulated: "Simulated") -> None:
        """Write the truth of a recording."""
        recording, bouts, annotation = simulated.recording, simulated.bouts, simulated.annotation
        self._subjects[recording.subject] = _subject(simulated.animal)
        swapped = np.setdiff1d(np.flatnonzero(annotation.given != bouts.behaviors), annotation.missed)
        gone = [lost(spans, recording.time_s) for spans in simulated.drop_outs]
        self._recordings[recording.name] = {
            "subject": recording.subject,
            "swapped_bouts": swapped.tolist(),
            "missed_bouts": annotation.missed.tolist(),
            "unlabelled_s": annotation.unlabelled_s.round(6).tolist(),
            "drop_outs_s": dict(zip(SENSORS, (s.round(6).tolist() for s in simulated.drop_outs), strict=True)),
            "lost_share": dict(zip(SENSORS, (float(g.mean()) for g in gone), strict=True)),
        }
        self._write_bouts(simulated)
        moved = simulated.movement
        columns: dict[str, NDArray[Any]] = {"bout": simulated.bout.astype(np.int32)}
        for s, sensor in enumerate(SENSORS):
            columns[f"{sensor}_stride_phase_rad"] = moved.stride_phase[s]
            columns[f"{sensor}_pitch_deg"] = moved.pitch_deg[s]
            columns[f"{sensor}_roll_deg"] = moved.roll_deg[s]
            columns[f"{sensor}_turned_deg"] = moved.turned_deg[s]
            columns[f"{sensor}_lost"] = gone[s]
        _write(self._folder / "truth" / f"{recording.name}.parquet", columns, simulated.truth)
        drift = {"time_s": DRIFT_S * np.arange(simulated.drift.shape[-1])}
        for s, sensor in enumerate(SENSORS):
            drift.update({f"{sensor}/{channel}": simulated.drift[c, s] for c, channel in enumerate(CHANNELS)})
        _write(self._folder / "truth" / f"{recording.name}.drift.parquet", drift)

    def finish(self, defects: Sequence[Mapping[str, Any]]) -> None:
        """Write ``truth.json`` with the faults that were put in."""
        tables = {"subjects": self._subjects, "recordings": self._recordings, "defects": list(defects)}
        write_json(self._folder / "truth.json", {**self._head, **tables})

    def _write_bouts(self, simulated: "Simulated") -> None:
        bouts, annotation = simulated.bouts, simulated.annotation
        numbers = np.column_stack(
            [bouts.starts_s, bouts.ends_s, bouts.intensity, bouts.stride_hz, bouts.shake_hz, bouts.lag_deg]
        )
        with (self._folder / "truth" / "bouts.csv").open("a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            for i, row in enumerate(numbers.round(6).tolist()):
                true, given = BEHAVIORS[bouts.behaviors[i]], BEHAVIORS[annotation.given[i]]
                late = round(float(annotation.shift_s[i]), 6)
                writer.writerow([simulated.recording.name, i, true, *row, given, late])


def _laws() -> dict[str, Any]:
    return {
        "behaviors": list(BEHAVIORS),
        "durations": {b: dataclasses.asdict(DURATIONS[b]) for b in BEHAVIORS},
        "transitions": TRANSITIONS.tolist(),
        "motions": {b: dataclasses.asdict(MOTIONS[b]) for b in BEHAVIORS},
        "reference_kg": REFERENCE_KG,
    }


def _subject(animal: Animal) -> dict[str, Any]:
    mounting = mounting_matrices(animal)
    return {
        "mass_kg": animal.mass_kg,
        "stride_factor": animal.stride,
        "stride_hz": {b: MOTIONS[b].step_hz * animal.stride for b in BEHAVIORS if MOTIONS[b].step_hz},
        "shake_hz": animal.shake_hz,
        "breath_hz": animal.breath_hz,
        "vigour": animal.vigour,
        "carriage_deg": animal.carriage_deg,
        "asymmetry": animal.asymmetry,
        "lag_deg": {b: float(v) for b, v in zip(BEHAVIORS, animal.lag_deg, strict=True) if MOTIONS[b].step_hz},
        "observer_late_s": animal.observer_s,
        "sensors": {
            sensor: {
                "mounting": mounting[s].tolist(),
                "roll_deg": float(animal.roll_deg[s]),
                "gain": dict(zip(CHANNELS, animal.gain[:, s].tolist(), strict=True)),
                "offset": dict(zip(CHANNELS, animal.offset[:, s].tolist(), strict=True)),
                "drop_out_factor": float(animal.drop_outs[s]),
            }
            for s, sensor in enumerate(SENSORS)
        },
    }


def _write(path: Path, columns: Mapping[str, NDArray[Any]], behaviors: NDArray[np.int64] | None = None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array(values) for name, values in columns.items()}
    if behaviors is not None:
        arrays = {"label": pa.DictionaryArray.from_arrays(behaviors.astype(np.int8), list(BEHAVIORS)), **arrays}
    # Smooth floats have no dictionary worth the name.
    pq.write_table(pa.table(arrays), path, use_dictionary=["label", "bout"])
