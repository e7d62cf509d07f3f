"""Faults put into a simulated data set, each once and in a known place, for tests of what should find them.

=======  ============================================================================================================
scale    accelerometer of the neck of one subject too large by 7.6
swap     acc_x and acc_y of the neck exchanged, in every recording
mirror   gyr_x and gyr_y of the back with the wrong sign, in every recording
clip     accelerometer of the back cut at 1.5 g, in every recording
linear   neck without its gaps: every 7 s a fifth of a second is a straight line, in every recording
stuck    all channels of the back hold their value for 2 s, in one recording
copy     31 rows of the first recording of a subject stand at the beginning of its second one too
short    runs of one or two samples with another label inside of bouts, two in every recording
tied     one behaviour is annotated in the last subject alone, which has no other; needs 2 subjects
script   every recording runs through the same behaviours in the same order
hour     the clock jumps ahead by an hour in the middle of one recording
rate     the clock of one subject runs fast by 3 %: its samples are 3 % farther apart than declared
=======  ============================================================================================================

Faults in one subject choose different ones while there are any.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.behavior_laws import BEHAVIORS
from conv2d.data.recording import Recording
from conv2d.data.simulation.bouts import Integers
from conv2d.data.simulation.randomness import Effect, Streams
from conv2d.data.units import GRAVITY
from conv2d.errors import UsageError

KINDS = ("scale", "swap", "mirror", "clip", "linear", "stuck", "copy", "short", "tied", "script", "hour", "rate")
SCALE, RAIL, COPIED_ROWS, STUCK_S, LINE_S, LINE_EVERY_S, HOUR_S, STRETCH = 7.6, 1.5, 31, 2.0, 0.2, 7.0, 3600.0, 1.03
_NECK, _BACK = 0, 1
_OF_ONE_SUBJECT = ("scale", "stuck", "copy", "hour", "rate")


class Defects:
    """Puts faults into recordings as they come, subject by subject, and keeps their places.

    ``last_behaviors`` gives the true behaviours of the last subject, sample by sample; it is asked for ``tied`` alone.

    Raises
    ------
    UsageError
        E-SIM-002 for a name that is not in `KINDS` or stands twice, or a fault that needs more subjects.
    """

    def __init__(
        self, kinds: Sequence[str], n_subjects: int, rate_hz: float, seed: int, last_behaviors: Callable[[], Integers]
    ) -> None:
        """Choose where each fault goes."""
        for kind in kinds:
            if kind not in KINDS:
                raise UsageError(f"E-SIM-002: defect {kind!r} is not known, expected of {', '.join(KINDS)}; correct it")
            if list(kinds).count(kind) > 1:
                raise UsageError(f"E-SIM-002: defect {kind} is asked for twice, expected once each; leave one out")
        if "tied" in kinds and n_subjects < 2:
            raise UsageError("E-SIM-002: defect tied was asked for with 1 subject, expected 2 or more; add subjects")
        self.scripted = "script" in kinds
        self.places: list[dict[str, Any]] = []
        self._kinds = [k for k in _PUT if k in kinds]
        self._rate_hz = rate_hz
        self._seed = seed
        order = Streams(seed, 0).of(Effect.DEFECTS).permutation(n_subjects)
        local = [k for k in _OF_ONE_SUBJECT if k in kinds]
        self._subject_of = {kind: f"dog{order[i % n_subjects] + 1:02d}" for i, kind in enumerate(local)}
        self._last = f"dog{n_subjects:02d}"
        self._only_last = int(np.bincount(last_behaviors()).argmax()) if "tied" in kinds else -1
        self._kept: NDArray[np.float32] | None = None  # rows to be copied
        self._kept_from = ""
        if self.scripted:
            self.places.append({"kind": "script", "recordings": "all"})

    def put_into(self, recording: Recording) -> Recording:
        """The recording with its share of the faults; the one given is left as it is."""
        changed = replace(
            recording, samples=recording.samples.copy(), labels=recording.labels.copy(), time_s=recording.time_s.copy()
        )
        for kind in self._kinds:
            if self._subject_of.get(kind, recording.subject) == recording.subject:
                _PUT[kind](self, changed)
        return changed

    def _note(self, kind: str, recording: Recording, **place: Any) -> None:
        self.places.append({"kind": kind, "recording": recording.name, **place})

    def _span(self, first: int, stop: int) -> dict[str, Any]:
        return {"rows": [int(first), int(stop)], "start_s": float(first / self._rate_hz)}

    def _scale(self, recording: Recording) -> None:
        recording.samples[:3, _NECK] *= np.float32(SCALE)
        self._note("scale", recording, sensor="neck", channels=["acc_x", "acc_y", "acc_z"], factor=SCALE)

    def _swap(self, recording: Recording) -> None:
        recording.samples[[0, 1], _NECK] = recording.samples[[1, 0], _NECK]
        self._note("swap", recording, sensor="neck", channels=["acc_x", "acc_y"])

    def _mirror(self, recording: Recording) -> None:
        recording.samples[3:5, _BACK] *= -1
        self._note("mirror", recording, sensor="back", channels=["gyr_x", "gyr_y"])

    def _clip(self, recording: Recording) -> None:
        rail = np.float32(RAIL * GRAVITY)
        acc = recording.samples[:3, _BACK]
        share = float(np.mean(np.abs(acc) > rail))
        np.clip(acc, -rail, rail, out=acc)
        self._note(
            "clip", recording, sensor="back", channels=["acc_x", "acc_y", "acc_z"], rail=float(rail), share=share
        )

    def _linear(self, recording: Recording) -> None:
        width = max(round(LINE_S * self._rate_hz), 5)
        starts = np.arange(round(self._rate_hz), recording.n_samples - width - 1, round(LINE_EVERY_S * self._rate_hz))
        drawn = []
        for start in starts.tolist():
            ends = recording.samples[:, _NECK, [start, start + width]].astype(np.float64)
            if np.isfinite(ends).all():
                weights = np.arange(width + 1) / width
                line = ends[:, :1] + (ends[:, 1:] - ends[:, :1]) * weights
                recording.samples[:, _NECK, start : start + width + 1] = line
                drawn.append([start, start + width + 1])
        self._note("linear", recording, sensor="neck", rows=drawn)

    def _stuck(self, recording: Recording) -> None:
        if not _is_first(recording):
            return
        width = min(round(STUCK_S * self._rate_hz), recording.n_samples // 2)
        there = _whole(recording.samples[:, _BACK : _BACK + 1])
        start = recording.n_samples // 3
        start += int(np.argmax(there[start:-width]))
        recording.samples[:, _BACK, start : start + width] = recording.samples[:, _BACK, start, None]
        self._note("stuck", recording, sensor="back", **self._span(start, start + width))

    def _copy(self, recording: Recording) -> None:
        if _is_first(recording):
            start = _liveliest(recording.samples, COPIED_ROWS)
            self._kept = recording.samples[:, :, start : start + COPIED_ROWS].copy()
            self._kept_from = recording.name
            self._note("copy", recording, **self._span(start, start + COPIED_ROWS), role="copied from here")
        elif self._kept is not None:
            recording.samples[:, :, :COPIED_ROWS] = self._kept
            self._note("copy", recording, **self._span(0, COPIED_ROWS), role=f"copied from {self._kept_from}")

    def _short(self, recording: Recording) -> None:
        rng = Streams(self._seed, int(recording.subject[3:]), int(recording.name[-1])).of(Effect.DEFECTS)
        labels, around = recording.labels, round(self._rate_hz)
        runs = []
        for width in (1, 2):
            # A second of one label on both sides: no change within, and not the -1 of nobody.
            changes = np.concatenate([[0], np.cumsum(np.diff(labels) != 0)])
            inside = np.arange(around, recording.n_samples - around)
            inside = inside[(changes[inside + around] == changes[inside - around]) & (labels[inside] >= 0)]
            if len(inside):
                start = int(rng.choice(inside))
                other = int((labels[start] + rng.integers(1, len(BEHAVIORS))) % len(BEHAVIORS))
                labels[start : start + width] = other
                runs.append({**self._span(start, start + width), "label": BEHAVIORS[other]})
        self._note("short", recording, runs=runs)

    def _tied(self, recording: Recording) -> None:
        inside = recording.labels == self._only_last
        alone = recording.subject == self._last
        recording.labels[~inside if alone else inside] = -1
        self._note("tied", recording, behavior=BEHAVIORS[self._only_last], only_there=alone)

    def _hour(self, recording: Recording) -> None:
        if _is_first(recording):
            row = recording.n_samples // 2
            recording.time_s[row:] += HOUR_S
            self._note("hour", recording, **self._span(row, recording.n_samples), jump_s=HOUR_S)

    def _rate(self, recording: Recording) -> None:
        recording.time_s[:] *= STRETCH
        self._note("rate", recording, factor=STRETCH, true_rate_hz=self._rate_hz, shown_rate_hz=self._rate_hz / STRETCH)


# Signals come before labels and labels before times; the copy comes last among signals, so that it stays one.
_PUT: dict[str, Callable[[Defects, Recording], None]] = {
    "scale": Defects._scale,
    "swap": Defects._swap,
    "mirror": Defects._mirror,
    "clip": Defects._clip,
    "linear": Defects._linear,
    "stuck": Defects._stuck,
    "copy": Defects._copy,
    "short": Defects._short,
    "tied": Defects._tied,
    "hour": Defects._hour,
    "rate": Defects._rate,
}


def _is_first(recording: Recording) -> bool:
    return recording.name.endswith("_1")


def _whole(samples: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which rows of (C, S, n) samples have no missing value."""
    return np.asarray(np.isfinite(samples).all(axis=(0, 1)))


def _liveliest(samples: NDArray[np.float32], width: int) -> int:
    """Where the ``width`` rows without a missing sample begin that move most; rows that lie still prove no copy."""
    there = _whole(samples)
    change = np.abs(np.diff(np.where(there, samples[:3].sum(axis=(0, 1)), 0.0), prepend=0.0))
    sums, holes = (np.concatenate([[0.0], np.cumsum(v)]) for v in (change, ~there))
    movement = np.where(holes[width:] == holes[:-width], sums[width:] - sums[:-width], -1.0)
    return int(np.argmax(movement))
