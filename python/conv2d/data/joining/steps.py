"""Steps of the host's clock that one sensor shows, taken out of its other sensors and labels too."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from conv2d.errors import DataError

if TYPE_CHECKING:
    from conv2d.data.joining.timing import Timed

_NEAR_S = 2.0  # stamps come late, and sensors of one host see a step at their own rows
_SAME_S = 60.0
_SMALL_S = 60.0  # a smaller step is one of setting the clock: no hour that is there twice
_HINT = "bring all to one zone (UTC is best), or say steps: keep where the sensor only slept for that long"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class HostStep:
    """The host's clock was set by ``step_s``: ``before_s`` stands in the last row before, ``after_s`` in the next."""

    before_s: float
    after_s: float
    step_s: float

    @property
    def text(self) -> str:
        """For messages."""
        return f"the step of the host clock by {self.step_s:.0f} s after {self.before_s:.3f} s"


def distinct(steps: Sequence[HostStep]) -> tuple[HostStep, ...]:
    """The steps of several sensors on one host, each once, in order of time.

    >>> len(distinct([HostStep(10.0, 3610.1, 3600.0), HostStep(10.3, 3610.2, 3600.01)]))
    1
    """
    found: list[HostStep] = []
    for step in sorted(steps, key=lambda s: s.before_s):
        if not any(_same(step, other) for other in found):
            found.append(step)
    return tuple(found)


def _same(one: HostStep, other: HostStep) -> bool:
    return abs(one.before_s - other.before_s) < _SAME_S and abs(one.step_s - other.step_s) < _NEAR_S


def settle_rows(host: Array, steps: Sequence[HostStep], where: str) -> Array:
    """Host times (n,) of rows that have no other clock, NaN kept, as if the host had never been set.

    Raises
    ------
    DataError
        E-DATA-020: the rows do not show the step, so that their clock is another.
    """
    known = np.flatnonzero(np.isfinite(host))
    settled = host.copy()
    for step in steps:
        raw = host[known]
        jumps = np.flatnonzero(np.diff(raw) < step.step_s / 2) + 1 if step.step_s < 0 else np.empty(0, np.int64)
        if step.step_s > 0:
            after = raw > step.after_s - _NEAR_S
            astray = bool(((raw > step.before_s + _NEAR_S) & ~after).any())
        elif len(jumps):
            after = np.arange(len(raw)) >= jumps[np.argmin(np.abs(raw[jumps] - step.after_s))]
            astray = False
        else:
            after = np.full(len(raw), bool(raw.min() > step.before_s))
            astray = bool(not after.any() and raw.max() > step.after_s and -step.step_s >= _SMALL_S)
        if astray:
            raise DataError(
                f"E-DATA-020: {where} does not show {step.text} that another sensor shows, expected one clock; {_HINT}"
            )
        settled[known[after]] -= step.step_s
    return settled


def settle_timed(timed: "Timed", steps: Sequence[HostStep], where: str) -> "Timed":
    """A sensor with two clocks, moved where it began after a step; one that runs through a step must show it.

    Raises
    ------
    DataError
        E-DATA-020: it runs through the step and does not show it, or began where it cannot be told.
    """
    first, last, moved = float(timed.time_s[0]), float(timed.time_s[-1]), 0.0
    for step in steps:
        if any(_same(step, own) for own in timed.steps):
            continue
        after = first > max(step.after_s, step.before_s) - _NEAR_S
        within = first > min(step.after_s, step.before_s) + _NEAR_S and not after
        through = first < step.before_s - 10 and last > step.before_s + 10
        if through or (within and abs(step.step_s) >= _SMALL_S):
            raise DataError(
                f"E-DATA-020: {where} does not show {step.text} that another sensor shows, expected one clock; {_HINT}"
            )
        moved += step.step_s if after else 0.0
    return replace(timed, time_s=timed.time_s - moved) if moved else timed


def settle_label(time_s: float, steps: Sequence[HostStep], where: str) -> float:
    """The time of a label on the host's clock, as if that had never been set.

    Raises
    ------
    DataError
        E-DATA-020: it lies in the hour that was left out, or in the one that was there twice.
    """
    moved = 0.0
    for step in steps:
        low, high = sorted((step.before_s, step.after_s))
        if abs(step.step_s) >= _SMALL_S and low + _NEAR_S < time_s < high - _NEAR_S:
            what = "was left out" if step.step_s > 0 else "was there twice"
            raise DataError(
                f"E-DATA-020: {where} has a label at {time_s:.3f} s, in the time that {what} by {step.text}; {_HINT}"
            )
        moved += step.step_s if time_s >= (high - _NEAR_S if step.step_s > 0 else high) else 0.0
    return time_s - moved
