"""Places where a clock was set: a restart of the device, a step of the host, a change of zone or daylight saving."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.clock import TAU, last_of_each_packet

ZONE_S = 900.0  # zones and daylight saving move wall clocks by multiples of a quarter of an hour
_ZONE_TOLERANCE_S = 2.0
_RUNS_ON_S = 5.0  # a device that moves by less between two stamps was not set
_BLOCK_S = 1.0
_SIDE = 9  # blocks on each side of a break that must agree
_LEVEL = 0.2  # quantile of the offset over those blocks

Array = NDArray[np.float64]


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
    times the usual scatter, both as 20 % quantiles of the least offset of each second: lateness, however long its
    bursts, does not last. At the ends of the recording fewer seconds do, one where the device goes back.

    Cost: O(n log n).

    Example
    -------
    >>> device = np.r_[np.arange(0, 60, 0.1), np.arange(0, 60, 0.1)]
    >>> find_breaks(device, 5 + np.arange(1200) * 0.1)
    [Break(row=600, step_s=60.0, reason='device_back')]
    """
    there = np.flatnonzero(np.isfinite(host))
    if len(there) < 4:
        return []
    pairs = np.sort(there[last_of_each_packet(device[there], host[there])])
    offset = host[pairs] - device[pairs]
    size = _pairs_a_block(host[pairs])
    starts = np.arange(0, len(pairs), size)
    jumps = np.diff(np.minimum.reduceat(offset, starts))
    if not len(jumps):
        return []
    # A counter whose nominal rate is off drifts by seconds within nine of them; what is asked for are steps beside it.
    offset = offset - float(np.median(jumps)) / size * np.arange(len(offset))
    lowest = np.minimum.reduceat(offset, starts)
    jumps = np.diff(lowest)
    tolerance = max(floor_s, 10 * 1.4826 / np.sqrt(2) * float(np.median(np.abs(jumps))))
    back = np.minimum.reduceat(np.diff(device[pairs], prepend=device[pairs[0]]), starts) < -tolerance
    suspects = np.flatnonzero(np.r_[False, np.abs(jumps) > tolerance / 2] | back)
    found: list[tuple[int, float, float]] = []  # block, level before, level after
    for block in suspects.tolist():
        before, after = lowest[max(0, block - _SIDE) : block], lowest[block : block + _SIDE]
        if min(len(before), len(after)) < (1 if back[block] else 3):
            continue
        a, b = float(np.quantile(before, _LEVEL)), float(np.quantile(after, _LEVEL))
        if abs(b - a) <= tolerance:
            continue
        if found and block - found[-1][0] <= _SIDE:
            if abs(b - a) > abs(found[-1][2] - found[-1][1]):
                found[-1] = (block, a, b)
            continue
        found.append((block, a, b))
    borders = np.r_[starts, len(pairs)]
    breaks = []
    for block, a, b in found:
        low, high = borders[max(0, block - 2)], borders[min(len(starts), block + 2)]
        pair = low + _split(offset[low:high], a, b)
        breaks.append(_name(device, host, pairs, int(pair), b - a))
    return breaks


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


def _name(device: Array, host: Array, pairs: NDArray[np.int64], pair: int, step_s: float) -> Break:
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
