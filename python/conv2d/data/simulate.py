"""Simulated recordings: dogs with a neck and a back sensor whose true behaviour is known.

Made to try the whole chain without data and to test it against the truth; figures on them say nothing about animals.

An animal runs through the bouts of a semi-Markov chain (`conv2d.data.behavior_laws`). Each bout draws a posture, a pace
and an intensity; gait, sway, sniffing and shaking add to pitch, roll, heading and linear acceleration of each sensor.
From these the signals follow by rigid-body geometry: the accelerometer sees gravity and linear acceleration, the
gyroscope the angular velocity, the magnetometer the earth's field. Stride rates follow body mass, and the neck follows
the back by a lag that belongs to the gait. Each subject wears its sensors at its own angles, and its collar turns.
Gain, offset, drift and noise of the sensors come last.

What makes it like recordings: boundaries are annotated some tenths of a second off, now and then a bout is taken for
one that looks like it, some spans are not annotated, sensors drop out for milliseconds or seconds (NaN), and a
recording begins and ends in the middle of a bout. `conv2d.data.simulation.parameters.Simulation` has every parameter,
``docs/simulation.md`` the formulas.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from conv2d.data.behavior_laws import BEHAVIORS
from conv2d.data.dataset import Dataset
from conv2d.data.meta import SIMULATED, DatasetMeta
from conv2d.data.recording import Recording
from conv2d.data.simulation.animal import CHANNELS, SENSORS, UNITS, Animal, draw_animal, rotation
from conv2d.data.simulation.annotator import Annotation, annotate
from conv2d.data.simulation.bouts import Integers, draw_bouts, draw_scripted_bouts
from conv2d.data.simulation.curves import Array
from conv2d.data.simulation.defects import Defects
from conv2d.data.simulation.movement import Bouts, Movement, move, pace_bouts, rigid_body
from conv2d.data.simulation.parameters import Clocks, Simulation
from conv2d.data.simulation.randomness import Effect, Streams
from conv2d.data.simulation.sensors import draw_drift, draw_drop_outs, lost, measure
from conv2d.data.simulation.truth import TruthWriter
from conv2d.data.units import GRAVITY
from conv2d.data.writer import DatasetWriter
from conv2d.errors import UsageError

__all__ = [
    "CHANNELS",
    "GRAVITY",
    "RECORDINGS_PER_SUBJECT",
    "SENSORS",
    "Clocks",
    "Simulated",
    "Simulation",
    "draw_bouts",
    "rigid_body",
    "rotation",
    "simulate_dataset",
    "simulate_subject",
    "simulate_with_truth",
]

RECORDINGS_PER_SUBJECT = 2
_DEFAULTS = Simulation()


@dataclass(frozen=True)
class Simulated:
    """A simulated recording and the truth behind it; arrays over time have one value per row of the recording."""

    recording: Recording
    animal: Animal
    bouts: Bouts
    annotation: Annotation
    movement: Movement  # its signals are what ideal sensors would have read
    drift: Array  # (9, 2, knots) what came on top of the offsets, every `sensors.DRIFT_S` seconds
    drop_outs: list[Array]  # per sensor the spans (k, 2) without samples, in seconds

    @property
    def truth(self) -> Integers:
        """True behaviours (n,), into BEHAVIORS."""
        return self.bouts.behaviors[self.bout]

    @property
    def bout(self) -> Integers:
        """The number of the bout that each row lies in, (n,)."""
        at = np.searchsorted(np.round(self.bouts.ends_s * self.recording.rate_hz), np.arange(self.recording.n_samples),
                             side="right")  # fmt: skip
        return np.asarray(at, np.int64)


def simulate_dataset(
    path: str | Path,
    *,
    n_subjects: int = 12,
    minutes: float = 5.0,
    rate_hz: float = 100.0,
    seed: int = 0,
    simulation: Simulation = _DEFAULTS,
    truth: bool = True,
    defects: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Simulate dogs and write them as a dataset folder at ``path``, which must be new or empty.

    Parameters
    ----------
    n_subjects
        1 or more; the last third (rounded up, none of a single one) is marked ``test`` in the column ``split``.
    minutes
        Per subject, in two recordings; 0.5 or more.
    rate_hz
        25 or more, since shaking and sniffing reach 6 Hz and their harmonics.
    seed
        The same seed gives the same samples; a subject does not depend on how many others there are.
    simulation
        What is assumed of animals, sensors and observers.
    truth
        Write ``truth.json`` and the folder ``truth`` beside the recordings (`conv2d.data.simulation.truth`). Who reads
        the data set does not see them, and its hash does not depend on them.
    defects
        Faults to be put in, each once: names of `conv2d.data.simulation.defects.KINDS`.
    progress
        Called with (subjects done, subjects in all).

    Raises
    ------
    UsageError
        A parameter out of its range.
    DataError
        E-DATA-012 where the folder holds something or cannot be written.

    Cost: O(samples); an hour of 18 channels at 100 Hz takes about 2 s with its truth. One recording is in memory.

    Example
    -------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = simulate_dataset(pathlib.Path(folder) / "dogs", n_subjects=3, minutes=0.5, seed=7)
    ...     [(row.subject, row.meta["split"]) for row in data.table][::2]
    [('dog01', 'train'), ('dog02', 'train'), ('dog03', 'test')]
    """
    check_call(n_subjects, minutes, rate_hz, seed)
    changed = describe(simulation)
    meta = DatasetMeta(
        name="simulated_dogs",
        title="Simulated dogs with a neck and a back sensor: simulated data, no animal was recorded",
        rate_hz=float(rate_hz),
        sensors=SENSORS,
        channels=CHANNELS,
        classes=BEHAVIORS,
        units=UNITS,
        licence="CC0 1.0; simulated",
        citation=SIMULATED,
        notes=(
            f"simulated with seed {seed}, {n_subjects} subjects, {minutes} minutes each",
            "the true duration and transition laws stand in conv2d.data.behavior_laws",
            *([f"other than by default: {changed}"] if changed else []),
            *([f"faults were put in: {', '.join(defects)}"] if defects else []),
        ),
    )
    n = length(minutes, rate_hz)

    def last_behaviors() -> Integers:
        parts = (Streams(seed, n_subjects - 1, part + 1) for part in range(RECORDINGS_PER_SUBJECT))
        return np.concatenate([np.repeat(b, np.diff(e, prepend=0)) for b, e in (_bouts(p, n, rate_hz) for p in parts)])

    faults = Defects(defects, n_subjects, rate_hz, seed, last_behaviors)
    with DatasetWriter(path, meta) as writer:
        known = TruthWriter(writer.folder, seed, minutes, rate_hz, simulation) if truth else None
        for i in range(n_subjects):
            for simulated in simulate_with_truth(
                i, minutes=minutes, rate_hz=rate_hz, seed=seed, split=split_of(i, n_subjects), simulation=simulation,
                scripted=faults.scripted,
            ):  # fmt: skip
                recording = faults.put_into(simulated.recording)
                writer.add(recording)
                writer.finish(recording.name)
                if known is not None:
                    known.add(simulated)
            if progress is not None:
                progress(i + 1, n_subjects)
        if known is not None:
            known.finish(faults.places)
    return Dataset.open(path)


def simulate_subject(
    number: int,
    *,
    minutes: float = 5.0,
    rate_hz: float = 100.0,
    seed: int = 0,
    split: str = "train",
    simulation: Simulation = _DEFAULTS,
) -> list[Recording]:
    """The recordings of one simulated dog, in memory; parameters as in `simulate_dataset`, subjects count from 0."""
    known = simulate_with_truth(number, minutes=minutes, rate_hz=rate_hz, seed=seed, split=split, simulation=simulation)
    return [simulated.recording for simulated in known]


def simulate_with_truth(
    number: int,
    *,
    minutes: float = 5.0,
    rate_hz: float = 100.0,
    seed: int = 0,
    split: str = "train",
    simulation: Simulation = _DEFAULTS,
    scripted: bool = False,
) -> Iterator[Simulated]:
    """The recordings of one simulated dog with the truth behind them, one at a time; as in `simulate_dataset`.

    With ``scripted`` the behaviours follow one another in the same order in every recording of every subject.

    Example
    -------
    >>> first = next(simulate_with_truth(0, minutes=1, rate_hz=50))
    >>> bool((first.truth == first.recording.labels).mean() > 0.7)
    True
    """
    animal, name = draw_animal(simulation, Streams(seed, number)), f"dog{number + 1:02d}"
    n = length(minutes, rate_hz)
    if simulation.table_s > n / rate_hz / 2:
        raise UsageError(
            f"E-SIM-001: table_s is {simulation.table_s:g}, expected half of a recording at most, which has "
            f"{n / rate_hz:g} s; give less, or more minutes"
        )
    t = np.arange(n) / rate_hz
    for part in range(RECORDINGS_PER_SUBJECT):
        streams = Streams(seed, number, part + 1)
        behaviors, ends = _bouts(streams, n, rate_hz, scripted)
        bouts = pace_bouts(animal, behaviors, ends / rate_hz, simulation, streams)
        movement = move(animal, bouts, rate_hz, n, simulation, streams)
        drift = draw_drift(n / rate_hz, simulation, streams)
        drop_outs = draw_drop_outs(animal, n / rate_hz, simulation, streams)
        noise = streams.of(Effect.NOISE)
        samples = np.empty(movement.signals.shape, np.float32)
        for s, spans in enumerate(drop_outs):
            samples[:, s] = measure(movement.signals[:, s], t, animal, s, drift[:, s], simulation, noise)
            samples[:, s, lost(spans, t)] = np.nan
        annotation = annotate(animal, bouts, n, rate_hz, simulation, streams)
        recording = Recording(
            f"{name}_{part + 1}", name, float(rate_hz), SENSORS, CHANNELS, t, samples, annotation.labels, BEHAVIORS,
            meta={"split": split, "start": str(_start(Streams(seed, number), part, minutes))},
        )  # fmt: skip
        yield Simulated(recording, animal, bouts, annotation, movement, drift, drop_outs)


def check_call(n_subjects: int, minutes: float, rate_hz: float, seed: int) -> None:
    """Refuse what cannot be simulated: UsageError E-SIM-001."""
    if not (n_subjects >= 1 and 0.5 <= minutes < np.inf and 25 <= rate_hz < np.inf and seed >= 0):
        raise UsageError(
            f"E-SIM-001: asked to simulate {n_subjects} subjects of {minutes} minutes at {rate_hz} Hz with seed "
            f"{seed}, expected 1 or more, 0.5 or more, 25 or more and 0 or more, all finite; change what is not"
        )


def describe(simulation: Simulation) -> str:
    """The parameters that are not the default ones, in words."""
    fields = vars(simulation)
    return ", ".join(f"{k} {fields[k]}" for k, default in vars(_DEFAULTS).items() if fields[k] != default)


def length(minutes: float, rate_hz: float) -> int:
    """Rows of a recording of a subject that is recorded for so many minutes."""
    return round(minutes * 60 * rate_hz / RECORDINGS_PER_SUBJECT)


def split_of(number: int, n_subjects: int) -> str:
    """``test`` for the last third of the subjects, rounded up, unless there is one only."""
    n_test = -(-n_subjects // 3) if n_subjects > 1 else 0
    return "test" if number >= n_subjects - n_test else "train"


def _bouts(streams: Streams, n: int, rate_hz: float, scripted: bool = False) -> tuple[Integers, Integers]:
    rng = streams.of(Effect.BOUTS)
    if scripted:
        return draw_scripted_bouts(Streams(streams.seed, 0).of(Effect.SCRIPT), rng, n, rate_hz)
    return draw_bouts(rng, n, rate_hz)


def _start(subject: Streams, part: int, minutes: float) -> datetime:
    """When a recording began: each subject on a day of its own, with a pause between its recordings."""
    morning, pause = subject.of(Effect.DAY).uniform((0, 10), (240, 60))
    day = datetime(2024, 3, 4, 8) + timedelta(days=subject.subject)
    return day + timedelta(seconds=round(60 * morning) + part * round(60 * (minutes / 2 + pause)))
