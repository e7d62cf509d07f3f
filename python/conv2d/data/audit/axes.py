"""Gyroscope against accelerometer of one sensor: do both have the same axes.

Gravity seen from a body that turns obeys dg/dt = g x w. The signed permutation P of the gyroscope's axes for which
dA/dt = A x (P w) fits best tells how they lie in the accelerometer's frame. It needs one sensor and slow movement; what
is too fast or too quick is left out.
"""

from __future__ import annotations

import functools
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, named, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream, Vector
from conv2d.data.audit.stretches import moving_mean

SMOOTH_S = 0.6
FIT, LEAD = 0.1, 2.0
"""Explained share of the change of gravity by the best permutation, and times as much as by the second best."""

CONSENSUS, SUBJECTS = 0.8, 5
ALONE_FIT, ALONE_LEAD = 0.3, 2.0
"""The same for one subject that differs from the others, or a set of fewer subjects."""

GAIN_FACTOR = 5.0
TIMES, TIMES_OTHERS = 1.6, 2
"""Times that gravity turns faster or slower than the gyroscope says, in a set or in a subject against the median of so
many others or more; good fits of four sets lie between 0.7 and 1.1."""

GOOD_FAST, GOOD_SLOW = 0.6, 0.8
"""Explained share that such a fit needs: noise of the gyroscope lowers the factor, and never raises it."""

_NEAR_G, _QUICK_G = 0.05, 0.25  # of gravity: length of the smoothed vector, and what was smoothed away
_FEW = 50  # samples that a subject's fit needs
_OUTPUT_HZ = 20.0  # after smoothing, more samples say nothing new

IDENTITY = "+x +y +z"


def _permutations() -> dict[str, NDArray[np.float64]]:
    found = {}
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1.0, -1.0), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            name = " ".join(f"{'+' if sign > 0 else '-'}{'xyz'[axis]}" for sign, axis in zip(signs, order, strict=True))
            found[name] = matrix
    return found


PERMUTATIONS = _permutations()
"""The 48 signed permutations by name: ``+y -x +z`` has the second axis first."""


class Sums(NamedTuple):
    """What the fit of a linear map needs: Gram matrix (9, 9), right side (9,), square of the left side, samples."""

    gram: NDArray[np.float64]
    right: NDArray[np.float64]
    square: float
    n: int


class Fit(NamedTuple):
    """The best signed permutation, what it explains, the second best, and the gyroscope's factor under the best."""

    best: str
    score: float
    second: float
    identity: float
    gain: float


class GyrAgainstAcc:
    """Sums per sensor and subject; O(n) per recording."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.frames: dict[str, str] = {}  # sensor -> permutation that was found, for those decided
        self.odd: dict[str, set[str]] = defaultdict(set)  # sensor -> subjects whose axes differ
        self._pairs = [
            (acc, gyr) for acc in setting.of_kind("acc") for gyr in setting.of_kind("gyr") if acc.sensor == gyr.sensor
        ]
        self._sums: dict[str, dict[str, Sums]] = {acc.sensor: {} for acc, _ in self._pairs}
        self._names: dict[str, list[str]] = defaultdict(list)

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        self._names[stream.subject].append(stream.name)
        for acc, gyr in self._pairs:
            sums = motion_sums(
                stream.vector(acc), stream.vector(gyr), stream.time_s, self.setting.rate_hz, gyr.factor or 1.0
            )
            if sums is not None:
                have = self._sums[acc.sensor].get(stream.subject)
                self._sums[acc.sensor][stream.subject] = sums if have is None else _added(have, sums)

    def findings(self) -> Iterator[Finding]:
        """Sensors or subjects whose gyroscope lies otherwise than the accelerometer."""
        if not self._pairs:
            yield not_applicable("gyr_against_acc", "no sensor has both an accelerometer and a gyroscope of three axes")
        for _, gyr in self._pairs:
            yield from self._of_sensor(gyr)

    def _of_sensor(self, gyr: Vector) -> Iterator[Finding]:
        sensor = gyr.sensor
        by_subject = {who: sums for who, sums in self._sums[sensor].items() if sums.n >= _FEW}
        if not by_subject:
            yield not_measured("gyr_against_acc", f"{sensor} never turns slowly enough to follow gravity")
            return
        whole = best_permutation(_total(by_subject.values()))
        fits = {who: best_permutation(sums) for who, sums in by_subject.items()}
        yield from self._times(gyr, fits)
        votes = Counter(fit.best for fit in fits.values())
        decided = (
            whole.score >= FIT and whole.score >= LEAD * whole.second
            and votes[whole.best] >= CONSENSUS * len(fits) and len(fits) >= SUBJECTS
        ) or (
            whole.score >= ALONE_FIT and whole.score >= ALONE_LEAD * whole.second and len(fits) < SUBJECTS
            and votes[whole.best] == len(fits)
        )  # fmt: skip
        evidence = {
            "sensor": sensor, "axes": whole.best, "explained": whole.score, "second_best": whole.second,
            "identity": whole.identity, "subjects": len(fits), "votes": dict(votes), "gain": whole.gain,
            "threshold_explained": FIT, "threshold_lead": LEAD,
        }  # fmt: skip
        clear = {
            who: fit for who, fit in fits.items()
            if fit.score >= ALONE_FIT and fit.score >= ALONE_LEAD * fit.second
        }  # fmt: skip
        common = whole.best if decided else votes.most_common(1)[0][0]
        odd = {who: fit for who, fit in clear.items() if fit.best != common}
        majority = sum(fit.best == common for fit in clear.values()) >= 2
        if not decided and not (odd and majority):
            yield not_measured(
                "gyr_against_acc",
                f"{sensor}: the best of 48 ways explains {whole.score:.2f} of the change of gravity, the second best "
                f"{whole.second:.2f}, {votes[whole.best]} of {counted(len(fits), 'subject')} agree; too little to tell",
                **evidence,
            )
            return
        self.frames[sensor] = common
        if common != IDENTITY and decided:
            yield self._turned(sensor, whole, votes, len(fits), evidence)
        elif whole.gain > 0 and not 1 / GAIN_FACTOR < whole.gain < GAIN_FACTOR and whole.gain > 1:
            yield self._other_unit(gyr, whole.gain, evidence)
        if odd and majority:
            self.odd[sensor] = set(odd)
            yield self._odd_subjects(sensor, odd, common)

    def _times(self, gyr: Vector, fits: dict[str, Fit]) -> Iterator[Finding]:
        """Gravity that turns faster or slower than the gyroscope says, throughout or in some subjects."""
        good = {who: fit for who, fit in fits.items() if fit.score >= GOOD_FAST and fit.gain > 0}
        if not good:
            return
        middle = float(np.median([fit.gain for fit in good.values()]))
        least = float(np.median([fit.score for fit in good.values()]))
        if _is_off(middle, least):
            yield _other_times(
                gyr, f"gravity turns {middle:.2f} times as fast as {gyr.title} says", middle,
                {who: fit.gain for who, fit in good.items()}, [name for who in good for name in self._names[who]],
            )  # fmt: skip
        odd = {}
        for who, fit in good.items():
            others = [other.gain for name, other in good.items() if name != who]
            if len(others) >= TIMES_OTHERS and _is_off(fit.gain / float(np.median(others)), fit.score):
                odd[who] = fit.gain / float(np.median(others))
        if odd and len(odd) < len(good) / 2:
            factor = float(np.median(list(odd.values())))
            yield _other_times(
                gyr, f"in {named(sorted(odd))} gravity turns {factor:.2f} times as fast against {gyr.title} as in "
                f"{counted(len(good) - len(odd), 'other subject')}", factor, odd,
                [name for who in odd for name in self._names[who]],
            )  # fmt: skip

    def _turned(self, sensor: str, fit: Fit, votes: Counter[str], subjects: int, evidence: dict[str, Any]) -> Finding:
        return Finding(
            "gyr_against_acc", "fault",
            f"{sensor}: the gyroscope's axes are {fit.best} of the accelerometer's ({votes[fit.best]} of {subjects} "
            f"subjects; it explains {fit.score:.2f} of the change of gravity, equal axes {fit.identity:.2f})",
            "rotation augmentation, gravity filters and any angle computed from both are wrong for this sensor, and it "
            f"cannot share weights over sensors with one whose axes agree. {_explained(fit.best)}",
            _remedy(sensor, fit.best), evidence,
        )  # fmt: skip

    def _other_unit(self, gyr: Vector, gain: float, evidence: dict[str, Any]) -> Finding:
        factor = 1 / gain
        return Finding(
            "gyr_scale", "fault",
            f"{gyr.title} turns {gain:.3g} times slower than gravity does, by its declared unit "
            f"({gyr.unit or 'none'})" + (": it seems to be in rad/s" if 20 < gain < 160 else ""),
            "angles computed from it are off by this factor", "correct units in dataset.yaml",
            {**evidence, "factor": factor, "threshold": GAIN_FACTOR},
        )  # fmt: skip

    def _odd_subjects(self, sensor: str, odd: dict[str, Fit], common: str) -> Finding:
        who = sorted(odd)
        first = odd[who[0]]
        return Finding(
            "gyr_against_acc", "fault",
            f"{sensor}: in {named(who)} the gyroscope's axes are {first.best} of the accelerometer's, elsewhere "
            f"{common} (explained {first.score:.2f}, second best {first.second:.2f})",
            "this subject's signals are in other axes than those learnt from, so its error is the instrument's. "
            + _explained(first.best),
            "put the axes of these recordings right on import",
            {"sensor": sensor, "axes": {name: fit.best for name, fit in odd.items()}, "common": common,
             "explained": {name: fit.score for name, fit in odd.items()}, "threshold_explained": ALONE_FIT},
            tuple(name for subject in who for name in self._names[subject]),
        )  # fmt: skip


def motion_sums(
    acc: NDArray[np.float32], gyr: NDArray[np.float32], time_s: NDArray[np.float64], rate_hz: float, factor: float
) -> Sums | None:
    """The sums of one recording, acc and gyr (3, n), gyr times ``factor`` in rad/s; None where none can be used."""
    width = max(5, round(SMOOTH_S * rate_hz) | 1)
    n = acc.shape[1]
    if n < 4 * width + 5:
        return None
    missing = np.asarray(~(np.isfinite(acc).all(axis=0) & np.isfinite(gyr).all(axis=0)))
    missing[1:] |= ~(np.diff(time_s) < 1.5 / rate_hz)
    both = np.concatenate([acc, gyr]).astype(np.float64)
    if missing.any():
        both[:, missing] = 0.0
    smooth = moving_mean(moving_mean(both, width), width)
    slow, turn = smooth[:3], smooth[3:] * factor
    change = np.gradient(slow, axis=1) * rate_hz
    rest = np.asarray(((both[:3] - slow) ** 2).sum(axis=0))
    quick = np.sqrt(moving_mean(moving_mean(rest, width), width).clip(0))
    length = np.linalg.norm(slow, axis=0)
    near = moving_mean(missing.astype(np.float64), 4 * width + 1) > 0
    use: NDArray[np.bool_] = ~near
    use[: 2 * width] = False
    use[n - 2 * width :] = False
    if not use.any():
        return None
    gravity = float(np.median(length[use]))
    use &= (np.abs(length - gravity) < _NEAR_G * gravity) & (quick < _QUICK_G * gravity)
    at = np.flatnonzero(use)[:: max(1, int(rate_hz // _OUTPUT_HZ))]
    if len(at) < 5:
        return None
    a, w, d = slow[:, at] / gravity, turn[:, at], change[:, at] / gravity
    # With K the matrix of the cross product, D = K P w: sums of K'K (x) ww' and of K'D (x) w are all that is needed.
    k_gram = (a**2).sum(axis=0) * np.eye(3)[:, :, None] - a[:, None] * a[None]
    w_gram = w[:, None] * w[None]
    gram = np.einsum("abn,cdn->acbd", k_gram, w_gram, optimize=True).reshape(9, 9)
    right = (np.cross(d, a, axis=0) @ w.T).reshape(9)
    return Sums(gram, right, float((d**2).sum()), len(at))


def best_permutation(sums: Sums) -> Fit:
    """The signed permutation with the largest share explained, with a free positive factor."""
    scores, gains = {}, {}
    for name, matrix in PERMUTATIONS.items():
        flat = matrix.ravel()
        along, size = float(flat @ sums.right), float(flat @ sums.gram @ flat)
        scores[name] = along * abs(along) / (size * sums.square) if size > 0 and sums.square > 0 else 0.0
        gains[name] = along / size if size > 0 else 0.0
    first, second = sorted(scores, key=lambda name: -scores[name])[:2]
    return Fit(first, scores[first], max(scores[second], 0.0), scores[IDENTITY], gains[first])


def _is_off(factor: float, score: float) -> bool:
    """Whether a factor is beyond `TIMES` for so good a fit; what is beyond `GAIN_FACTOR` is another unit."""
    return TIMES < factor < GAIN_FACTOR or (score >= GOOD_SLOW and 1 / GAIN_FACTOR < factor < 1 / TIMES)


def _other_times(gyr: Vector, said: str, factor: float, gains: dict[str, float], names: list[str]) -> Finding:
    return Finding(
        "gyr_scale", "confound", f"{said}: time scale or gyroscope scale",
        "times or the rate are off by this factor (every second row kept, a rate declared that is not that of the "
        "samples), or the gyroscope's range is; durations and frequencies, or rotations, are not those of the others",
        "look up rate and range of the device; correct rate_hz or resample, or scale the gyroscope on import",
        {"vector": gyr.title, "factor": factor, "threshold": TIMES, "factor_by_subject": gains}, tuple(names),
    )  # fmt: skip


def _added(a: Sums, b: Sums) -> Sums:
    return Sums(a.gram + b.gram, a.right + b.right, a.square + b.square, a.n + b.n)


def _total(parts: Iterable[Sums]) -> Sums:
    return functools.reduce(_added, parts)


def _explained(name: str) -> str:
    """What kinds of mounting give a permutation: a mirrored accelerometer looks like a turned gyroscope."""
    if np.linalg.det(PERMUTATIONS[name]) < 0:
        return "No turning does this: an axis of the gyroscope is mirrored, or two are exchanged."
    return "The gyroscope is turned in its case, or an axis of the accelerometer is mirrored or exchanged with another."


def _remedy(sensor: str, name: str) -> str:
    parts = [f"gyr_{own} = {part.replace('+', '')[:-1]}gyr_{part[-1]}" for own, part in zip("xyz", name.split(),
                                                                                         strict=True)]  # fmt: skip
    return f"on import of {sensor}: {', '.join(parts)} (scale -1 and columns of the map)"
