"""Places where a clock was set: a restart of the device, a step of the host, a change of zone or daylight saving."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.clock import TAU, last_of_each_packet

ZONE_S = 900.0  # zones and daylight saving move wall clocks by multiples of a quarter of an hour
_ZONE_TOLERANCE_S = 2.0
_RUNS_ON_S = 5.0  # a device that moves by less between two stamps was not set
_BLOCK_S = 1.0
_SIDE = 9  # blocks on each side of a break that must agree
_LEVEL = 0.2  # quantile of the offset over those blocks
_SET_AHEAD_S = 60.0  # a device that leaps ahead by more from row to row, the host not, was set
_RETURNS_S = 60.0  # stamps that were held up come back to their level within this, or three times what they lag

Array = NDArray[np.float64]
Pairs = NDArray[np.int64]


@dataclass(frozen=True)
class Break:
    """A step of host minus device time of ``step_s`` seconds, first seen at row ``row``.

    ``reason`` is ``zone`` (the host moved by a multiple of a quarter of an hour while the device ran on), ``host_back``
    (the host went back while the device ran on), ``device_back`` (a restart or an overflow), ``device_ahead`` or
    ``pause`` (the device stood still, or the host was put forward: stamps cannot tell these apart).
    """

    row: int
    step_s: float
    reason: str

    @property
    def of_host(self) -> bool:
        """Whether the host's clock was set and the device ran on, so that the step can be taken out."""
        return self.reason in ("zone", "host_back")


def find_breaks(device: Array, host: Array, *, floor_s: float = 0.25) -> list[Break]:
    """Find the steps of ``host - device`` that last, rows in the order of measuring; NaN in ``host`` is no stamp.

    A step counts if the offset over nine seconds after it differs from that before by more than ``floor_s`` and ten
    times the usual scatter, both as 20 % quantiles of the least offset of each second. Lateness does not last: where
    the device runs on evenly and the offset comes back, stamps were held up, however long. A device that goes back
    from one row to the next, or a minute ahead of the host, is a break wherever that is, unless its rows came late.

    Cost: O(n log n).

    Example
    -------
    >>> device = np.r_[np.arange(0, 60, 0.1), np.arange(0, 60, 0.1)]
    >>> [(b.row, round(b.step_s, 6), b.reason) for b in find_breaks(device, 5 + np.arange(1200) * 0.1)]
    [(600, 60.0, 'device_back')]
    """
    there = np.flatnonzero(np.isfinite(host))
    if len(there) < 2:
        return []
    pairs = np.sort(there[last_of_each_packet(device[there], host[there])])
    if len(pairs) < 2:
        return []
    offset = host[pairs] - device[pairs]
    size = _pairs_a_block(host[pairs])
    jumps = np.diff(np.minimum.reduceat(offset, np.arange(0, len(pairs), size)))
    # A counter whose nominal rate is off drifts by seconds within nine of them; what is asked for are steps beside it.
    slope = float(np.median(jumps)) / size if len(jumps) >= 3 else 0.0
    level = offset - slope * np.arange(len(offset))
    scatter = 1.4826 / np.sqrt(2) * float(np.median(np.abs(jumps - slope * size))) if len(jumps) >= 3 else 0.0
    tolerance = max(floor_s, 10 * scatter)
    hard = _leaps(device[pairs], host[pairs], level, size, tolerance)
    breaks = [_name(device, host, pairs, pair, step) for pair, step in hard]
    borders = [0, *(pair for pair, _ in hard), len(pairs)]
    for low, high in pairwise(borders):
        for pair, step in _steps(level[low:high], size, tolerance):
            if _lasts(device, host, pairs[low:high], level[low:high], pair, step, tolerance):
                breaks.append(_name(device, host, pairs, low + pair, step))
    return sorted(breaks, key=lambda found: found.row)


def _leaps(device: Array, host: Array, level: Array, size: int, tolerance: float) -> list[tuple[int, float]]:
    """Pairs at which the device itself leaps, and by how much the offset steps there.

    A packet that comes again or late goes back too; the offset of the second after it is that of the second before.
    """
    moved, passed = np.diff(device), np.diff(host)
    suspects = np.flatnonzero((moved < -tolerance) | (moved - passed > _SET_AHEAD_S)) + 1
    found: list[tuple[int, float]] = []
    for pair in suspects.tolist():
        begin = max(found[-1][0] if found else 0, pair - size)
        before, after = level[begin:pair], level[pair : pair + size]
        step = float(after.min() - before.min())
        # Rows that came late once more end before a second is over, and then both minima agree.
        if abs(step) > tolerance and (step > 0) == (moved[pair - 1] < 0):
            found.append((pair, step))
    return found


def _steps(level: Array, size: int, tolerance: float) -> list[tuple[int, float]]:
    """Pairs from which on the offset has another level, between two leaps of the device."""
    starts = np.arange(0, len(level), size)
    lowest = np.minimum.reduceat(level, starts)
    suspects = np.flatnonzero(np.r_[False, np.abs(np.diff(lowest)) > tolerance / 2])
    found: list[tuple[int, float, float]] = []  # block, level before, level after
    for block in suspects.tolist():
        before, after = lowest[max(0, block - _SIDE) : block], lowest[block : block + _SIDE]
        if min(len(before), len(after)) < 3:
            continue
        a, b = float(np.quantile(before, _LEVEL)), float(np.quantile(after, _LEVEL))
        if abs(b - a) <= tolerance:
            continue
        if found and block - found[-1][0] <= _SIDE:
            if abs(b - a) > abs(found[-1][2] - found[-1][1]):
                found[-1] = (block, a, b)
            continue
        found.append((block, a, b))
    borders = np.r_[starts, len(level)]
    steps = []
    for block, a, b in found:
        low, high = int(borders[max(0, block - 2)]), int(borders[min(len(starts), block + 2)])
        steps.append((low + _split(level[low:high], a, b), b - a))
    return steps


def _lasts(device: Array, host: Array, pairs: Pairs, level: Array, pair: int, step: float, tolerance: float) -> bool:
    """Whether a step is one of a clock, and not stamps that were held up and came at last."""
    passed = np.diff(host[pairs])
    if step < 0:
        # A lower offset from even steps of the device, the host not going back, is the end of a delay.
        near = slice(max(0, pair - 3), pair + 2)
        leapt = np.diff(device[pairs])[near] - passed[near]
        return bool(leapt.max() > min(tolerance, -step) / 2)
    before = float(np.quantile(level[max(0, pair - 50) : pair], _LEVEL))
    until = host[pairs[pair]] + max(_RETURNS_S, 3 * step)
    end = pair + int(np.searchsorted(np.maximum.accumulate(host[pairs[pair:]]), until, "right"))
    set_back = np.flatnonzero(passed[pair : end - 1] < 0)  # a host that is set back has a break of its own there
    end = end if not len(set_back) else pair + int(set_back[0]) + 1
    ahead = np.flatnonzero(np.diff(device[pairs[pair:end]]) - passed[pair : end - 1] > max(tolerance, step / 2))
    end = end if not len(ahead) else pair + int(ahead[0]) + 1
    return not bool((level[pair:end] <= before + min(tolerance, step / 2)).any())


def _pairs_a_block(host: Array) -> int:
    steps = np.diff(host)
    steps = steps[steps > 0]
    mean = float(np.mean(steps[steps <= np.quantile(steps, 0.99)])) if len(steps) else _BLOCK_S
    return max(1, round(_BLOCK_S / mean))


def _split(offset: Array, before: float, after: float) -> int:
    """Where ``offset`` changes from one level to the other: the least loss of the regression quantile on both sides."""

    def loss(residual: Array) -> Array:
        return np.where(residual >= 0, TAU * residual, (TAU - 1) * residual)

    as_before = np.r_[0.0, np.cumsum(loss(offset - before))]
    as_after = np.r_[0.0, np.cumsum(loss(offset - after)[::-1])][::-1]
    # A break has a pair on each side of it.
    return 1 + int(np.argmin((as_before + as_after)[1:-1]))


def _name(device: Array, host: Array, pairs: Pairs, pair: int, step_s: float) -> Break:
    previous, row = int(pairs[pair - 1]), int(pairs[pair])  # what lies between them came in one packet with the second
    between = np.diff(device[previous : row + 1])
    moved, passed = float(device[row] - device[previous]), float(host[row] - host[previous])
    if between.min() < 0:
        return Break(previous + 1 + int(np.argmin(between)), step_s, "device_back")
    if step_s < 0 and passed >= 0:
        return Break(previous + 1 + int(np.argmax(between)), step_s, "device_ahead")
    runs_on = moved <= max(_RUNS_ON_S, 3 * float(np.median(np.diff(device[pairs]))))
    quarters = round(step_s / ZONE_S)
    if runs_on and quarters and abs(step_s - quarters * ZONE_S) <= _ZONE_TOLERANCE_S:
        return Break(previous + 1, step_s, "zone")
    return Break(previous + 1, step_s, "host_back" if passed < 0 else "pause")
