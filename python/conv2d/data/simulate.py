"""Simulated recordings: dogs with a neck and a back sensor whose true behaviour is known.

Made to try the whole chain without data and to test it against the truth; figures on them say nothing about animals.

An animal runs through the bouts of a semi-Markov chain (`conv2d.data.behavior_laws`). Each bout draws a posture and an
intensity; gait, sway, sniffing and shaking add to pitch, roll, heading and linear acceleration of each sensor. From
these the signals follow by rigid-body geometry: the accelerometer sees gravity and linear acceleration, the gyroscope
the angular velocity, the magnetometer the earth's field. Every subject has its own stride rate, carriage and vigour,
and wears each sensor at its own angle. Gain, offset and noise of the sensors come last.

What makes it like recordings: boundaries are annotated some tenths of a second off, some spans are not annotated,
sensors drop out for milliseconds or seconds (NaN), and a recording begins and ends in the middle of a bout.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.data.behavior_laws import BEHAVIORS, DURATIONS, MOTIONS, TRANSITIONS
from conv2d.data.dataset import Dataset
from conv2d.data.meta import SIMULATED, DatasetMeta
from conv2d.data.recording import Recording
from conv2d.data.writer import write_dataset
from conv2d.errors import UsageError

SENSORS = ("neck", "back")
CHANNELS = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z", "mag_x", "mag_y", "mag_z")
RECORDINGS_PER_SUBJECT = 2
MAX_MOUNTING_ANGLE_DEG = 20.0
BOUNDARY_SD_S = 0.12  # annotation error, cut at three s.d.
GRAVITY = 9.81
_FIELD = np.array([20.0, 0.0, -45.0])  # earth's field, microtesla: north, west, up
_NOISE = (0.12, 0.03, 0.6)  # s.d. in m/s^2, rad/s and microtesla
_SETTLE_S = 0.5  # time that a posture or gait takes to change

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Animal:
    """What makes one subject differ from the others; drawn once per subject."""

    stride: float  # factor on the rate of its gaits
    vigour: float  # factor on accelerations and amplitudes
    carriage_deg: float  # added to the pitch of the neck
    phase: Array  # (2, 3) phase of the gait per sensor and axis
    mounting: Array  # (2, 3, 3) rotation from body to sensor, per sensor
    offset: Array  # (9, 2) of the sensors, in the unit of each channel
    gain: Array  # (9, 2)


def simulate_dataset(
    path: str | Path,
    *,
    n_subjects: int = 12,
    minutes: float = 5.0,
    rate_hz: float = 100.0,
    seed: int = 0,
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
    progress
        Called with (subjects done, subjects in all).

    Raises
    ------
    UsageError
        A parameter out of its range.
    DataError
        E-DATA-012 where the folder holds something or cannot be written.

    Cost: O(samples); an hour of 18 channels at 100 Hz takes about 1 s.

    Example
    -------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = simulate_dataset(pathlib.Path(folder) / "dogs", n_subjects=3, minutes=0.5, seed=7)
    ...     [(row.subject, row.meta["split"]) for row in data.table][::2]
    [('dog01', 'train'), ('dog02', 'train'), ('dog03', 'test')]
    """
    if n_subjects < 1 or minutes < 0.5 or rate_hz < 25 or seed < 0:
        raise UsageError(
            f"asked to simulate {n_subjects} subjects of {minutes} minutes at {rate_hz} Hz with seed {seed}, expected "
            "1 or more, 0.5 or more, 25 or more and 0 or more; change what is lower"
        )
    meta = DatasetMeta(
        name="simulated_dogs",
        title="Simulated dogs with a neck and a back sensor: simulated data, no animal was recorded",
        rate_hz=float(rate_hz),
        sensors=SENSORS,
        channels=CHANNELS,
        classes=BEHAVIORS,
        units={"acc": "m/s^2, gravity included", "gyr": "rad/s", "mag": "microtesla"},
        licence="CC0 1.0; simulated",
        citation=SIMULATED,
        notes=(
            f"simulated with seed {seed}, {n_subjects} subjects, {minutes} minutes each",
            "the true duration and transition laws stand in conv2d.data.behavior_laws",
        ),
    )
    n_test = -(-n_subjects // 3) if n_subjects > 1 else 0

    def recordings() -> Iterator[Recording]:
        for i in range(n_subjects):
            split = "test" if i >= n_subjects - n_test else "train"
            yield from simulate_subject(i, minutes=minutes, rate_hz=rate_hz, seed=seed, split=split)
            if progress is not None:
                progress(i + 1, n_subjects)

    write_dataset(path, meta, recordings())
    return Dataset.open(path)


def simulate_subject(
    number: int, *, minutes: float = 5.0, rate_hz: float = 100.0, seed: int = 0, split: str = "train"
) -> list[Recording]:
    """The recordings of one simulated dog, in memory; parameters as in `simulate_dataset`."""
    rng = np.random.default_rng([seed, number])
    animal = _draw_animal(rng)
    name = f"dog{number + 1:02d}"
    n = round(minutes * 60 * rate_hz / RECORDINGS_PER_SUBJECT)
    recordings = []
    for part in range(RECORDINGS_PER_SUBJECT):
        bouts, ends = draw_bouts(rng, n, rate_hz)
        samples = _drop_out(_signals(animal, bouts, ends, rate_hz, rng), rate_hz, rng)
        labels = _annotate(bouts, ends, rate_hz, rng)
        recording = Recording(
            f"{name}_{part + 1}", name, float(rate_hz), SENSORS, CHANNELS, np.arange(n) / rate_hz, samples, labels,
            BEHAVIORS, meta={"split": split},
        )  # fmt: skip
        recordings.append(recording)
    return recordings


def draw_bouts(rng: np.random.Generator, n: int, rate_hz: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Behaviours and ends (samples, exclusive) of the bouts that fill ``n`` samples; both ends cut a bout."""
    behaviors: list[int] = []
    ends: list[int] = []
    # Time, not bouts, is cut at random: the first behaviour has the share of time that it takes in the long run.
    mean_s = np.array([DURATIONS[b].mean_s for b in BEHAVIORS])
    visits = np.linalg.matrix_power(TRANSITIONS, 64)[0]
    state = int(rng.choice(len(BEHAVIORS), p=visits * mean_s / (visits @ mean_s)))
    at = 0.0
    while at < n:
        duration = DURATIONS[BEHAVIORS[state]].sample(rng, 1)[0] * rate_hz
        at += duration * (rng.uniform(0.1, 1.0) if not behaviors else 1.0)
        behaviors.append(state)
        ends.append(min(round(at), n))
        state = int(rng.choice(len(BEHAVIORS), p=TRANSITIONS[state]))
    return np.array(behaviors), np.array(ends)


def _draw_animal(rng: np.random.Generator) -> Animal:
    tilt = np.clip(rng.normal(0, 9, 2), -MAX_MOUNTING_ANGLE_DEG, MAX_MOUNTING_ANGLE_DEG)
    mounting = np.stack(
        [
            rotation(axis / np.linalg.norm(axis), np.deg2rad(angle))
            for axis, angle in zip(rng.normal(size=(2, 3)), tilt, strict=True)
        ]
    )
    spread = np.repeat([0.15, 0.02, 1.5], 3)[:, None]  # m/s^2, rad/s, microtesla
    return Animal(
        stride=float(np.exp(rng.normal(0, 0.10))),
        vigour=float(np.exp(rng.normal(0, 0.20))),
        carriage_deg=float(rng.normal(0, 5)),
        phase=rng.uniform(0, 2 * np.pi, (2, 3)),
        mounting=mounting,
        offset=rng.normal(0, 1, (9, 2)) * spread,
        gain=rng.normal(1, 0.01, (9, 2)),
    )


def rotation(axis: Array, angle: float) -> Array:
    """Rotation matrix (3, 3) about a unit axis by ``angle`` radians (Rodrigues).

    >>> rotation(np.array([0.0, 0.0, 1.0]), np.pi / 2).round(6) @ [1.0, 0.0, 0.0]
    array([0., 1., 0.])
    """
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Array = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turned


def _signals(
    animal: Animal, bouts: NDArray[np.int64], ends: NDArray[np.int64], rate_hz: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    n, lengths = int(ends[-1]), np.diff(ends, prepend=0)

    def track(values: Array) -> Array:
        """One value per bout as a curve over time that changes within half a second."""
        return _smooth(np.repeat(values, lengths), rate_hz)

    def of(field: str) -> Array:
        return np.array([float(getattr(MOTIONS[BEHAVIORS[b]], field)) for b in bouts])

    intensity = animal.vigour * np.exp(rng.normal(0, 0.25, len(bouts)))
    pace = animal.stride * np.exp(rng.normal(0, 0.06, len(bouts)))
    stride = 2 * np.pi * np.cumsum(np.repeat(of("step_hz") * pace, lengths)) / rate_hz
    stride += 0.3 * _irregular(n, rate_hz, 1.0, rng)
    step, sway = track(of("step_acc") * intensity), track(of("sway") * intensity)
    shake = track(of("shake") * intensity) * np.sin(
        2 * np.pi * np.cumsum(np.repeat(rng.uniform(4.2, 5.8, len(bouts)), lengths)) / rate_hz
    )
    sniff = track(of("sniff_acc") * intensity) * (0.5 + np.abs(_irregular(n, rate_hz, 0.8, rng)))
    sniff_phase = 2 * np.pi * np.cumsum(5.0 + 0.6 * _irregular(n, rate_hz, 0.5, rng)) / rate_hz
    breath = np.sin(2 * np.pi * 0.4 * animal.stride * np.arange(n) / rate_hz)
    fidget = track(of("fidget"))
    heading = np.cumsum(track(of("turn")) * _irregular(n, rate_hz, 1.5, rng)) / rate_hz + rng.uniform(0, 360)
    lean = rng.normal(0, 1, len(bouts)) * of("roll_sd")

    samples = np.empty((len(CHANNELS), len(SENSORS), n), np.float32)
    for s, sensor in enumerate(SENSORS):
        neck = sensor == "neck"
        px, py, pz = animal.phase[s]
        slow = [fidget * (1.0 if neck else 1 / 3) * _irregular(n, rate_hz, 0.9, rng) for _ in range(3)]
        posture = rng.normal(0, 1, len(bouts)) * of("pitch_sd") * (1.0 if neck else 0.3)
        carried = of("neck_pitch") + animal.carriage_deg if neck else np.zeros(len(bouts))
        pitch = track(carried + posture) + slow[0] + 0.4 * sway * np.sin(2 * stride + px)
        roll = track(lean * (0.7 if neck else 1.0)) + slow[1] + sway * np.sin(stride + py)
        roll += shake * (1.0 if neck else 0.7)
        yaw = heading + (2.0 if neck else 0.3) * slow[2] + 0.5 * sway * np.sin(stride + pz)
        linear = np.stack(
            [
                0.55 * step * np.sin(2 * stride + px) + (0.6 * sniff * np.sin(sniff_phase) if neck else 0.0),
                0.45 * step * np.sin(stride + py),
                (1.15 if neck else 1.0) * step * (np.cos(2 * stride) + 0.25 * np.cos(4 * stride + pz))
                + (sniff * np.cos(sniff_phase) if neck else 0.05 * breath),
            ]
        )
        body = rigid_body(pitch, roll, yaw, linear, rate_hz)
        turned = np.concatenate([animal.mounting[s] @ body[i : i + 3] for i in (0, 3, 6)])
        noise = rng.standard_normal((9, n)) * np.repeat(_NOISE, 3)[:, None]
        samples[:, s] = turned * animal.gain[:, s, None] + animal.offset[:, s, None] + noise
    return samples


def rigid_body(pitch: Array, roll: Array, yaw: Array, linear: Array, rate_hz: float) -> Array:
    """What ideal sensors on a body read: (9, n) specific force m/s^2, angular velocity rad/s, field in microtesla.

    Body axes are x ahead, y left, z up; angles (n,) in degrees turn the body by yaw about z, then pitch (nose up), then
    roll. ``linear`` (3, n) is acceleration in body axes, without gravity.
    """
    p, r, y = np.deg2rad(pitch), np.deg2rad(roll), np.deg2rad(yaw)
    dp, dr, dy = (np.gradient(a) * rate_hz for a in (p, r, y))
    up = np.stack([np.sin(p), np.cos(p) * np.sin(r), np.cos(p) * np.cos(r)])
    rates = dy * up + np.stack([dr, -dp * np.cos(r), dp * np.sin(r)])
    ahead, left = _FIELD[0] * np.cos(y), -_FIELD[0] * np.sin(y)
    across, above = np.cos(p) * ahead + np.sin(p) * _FIELD[2], -np.sin(p) * ahead + np.cos(p) * _FIELD[2]
    field = np.stack([across, np.cos(r) * left + np.sin(r) * above, -np.sin(r) * left + np.cos(r) * above])
    return np.concatenate([GRAVITY * up + linear, rates, field])


def _smooth(values: Array, rate_hz: float) -> Array:
    width = 2 * max(round(_SETTLE_S * rate_hz / 2), 1) + 1
    padded = np.pad(values, width // 2 + 1, mode="edge")
    total = np.cumsum(padded)
    mean: Array = (total[width:] - total[:-width])[: len(values)] / width
    return mean


def _irregular(n: int, rate_hz: float, period_s: float, rng: np.random.Generator) -> Array:
    """A smooth random curve of about unit variance that changes on the scale of ``period_s``."""
    knots = np.arange(0, n + 2 * period_s * rate_hz, period_s * rate_hz)
    # A line between two normal values has two thirds of their variance on average.
    return _smooth(np.interp(np.arange(n), knots, rng.standard_normal(len(knots)) * np.sqrt(1.5)), rate_hz)


def _annotate(
    bouts: NDArray[np.int64], ends: NDArray[np.int64], rate_hz: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    n = int(ends[-1])
    shift = np.clip(rng.normal(0, BOUNDARY_SD_S, len(ends)), -3 * BOUNDARY_SD_S, 3 * BOUNDARY_SD_S)
    seen = np.clip(np.round(ends + shift * rate_hz).astype(np.int64), 0, n)
    seen[-1] = n
    # Bouts last at least 1.2 s and boundaries move by 0.36 s, so only a bout cut by an end can vanish: order is kept.
    labels = np.repeat(bouts, np.diff(np.maximum.accumulate(seen), prepend=0))
    for _ in range(rng.poisson(0.8 * n / rate_hz / 60)):
        start = int(rng.integers(n))
        labels[start : start + round(rng.uniform(2, 8) * rate_hz)] = -1
    return labels


def _drop_out(samples: NDArray[np.float32], rate_hz: float, rng: np.random.Generator) -> NDArray[np.float32]:
    n = samples.shape[2]
    for _ in range(rng.poisson(3.0 * n / rate_hz / 60)):
        seconds = rng.uniform(0.02, 0.1) if rng.uniform() < 0.8 else rng.uniform(0.5, 2.5)
        start = int(rng.integers(n))
        samples[:, int(rng.integers(2)), start : start + max(round(seconds * rate_hz), 1)] = np.nan
    return samples
