"""The times of samples that a device stored in blocks with one stamp each.

Devices sample by one oscillator and stamp blocks by another. The rate is off by up to a few per cent and wanders with
temperature, and a stamp comes some milliseconds early or late. Time in steps of the nominal rate from each stamp
jumps at the edges of blocks; a straight line through hours misses by seconds. So the stamps are smoothed: within a
stretch without gap a robust line, and on it the running median of what is left.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

_KNOT_BLOCKS = 4  # a knot of the smooth time has so many at least: medians of fewer are as jumpy as the stamps
_LINE_BLOCKS = 16  # fewer than that say less about their rate than the whole file does


@dataclass(frozen=True, eq=False)
class BlockClock:
    """Smoothed times of the samples of blocks.

    ``stretch`` is, for each block, the number of its stretch without gap; ``went_back`` is true for the first block
    after the clock was set back. ``rate_hz`` is the measured rate, ``n_gaps`` and ``gap_s`` count what is missing.
    """

    stretch: NDArray[np.int64]
    went_back: NDArray[np.bool_]
    rate_hz: float
    n_gaps: int
    gap_s: float
    _first: NDArray[np.int64]  # number of each block's first sample, counted over all blocks
    _n: NDArray[np.int64]
    _lines: list["_Line"]

    def times(self, start: int, stop: int) -> NDArray[np.float64]:
        """Seconds of all samples of the blocks ``start`` to ``stop``, which lie in one stretch: float64 (n,)."""
        index = np.arange(self._first[start], self._first[stop - 1] + self._n[stop - 1], dtype=np.float64)
        return self._lines[int(self.stretch[start])].at(index)


@dataclass(frozen=True, eq=False)
class _Line:
    """The time of sample x of a stretch: a + b x and what is left, which is known at knots."""

    a: float
    b: float
    knots: NDArray[np.float64]
    left: NDArray[np.float64]

    def at(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        times: NDArray[np.float64] = self.a + self.b * x + np.interp(x, self.knots, self.left)
        return times


def fit_blocks(
    n: NDArray[np.int64],
    stamp_s: NDArray[np.float64],
    at: NDArray[np.int64],
    nominal_hz: float,
    *,
    gap_s: float,
    back_s: float,
    measured_from: int = 1,
    smooth_s: float = 5.0,
) -> BlockClock:
    """Fit the clock of blocks in the order of the file.

    Parameters
    ----------
    n
        Samples of each block, int64 (B,), above 0.
    stamp_s
        Its stamp in seconds, float64 (B,).
    at
        Which sample, counted from the block's first, the stamp belongs to, int64 (B,); it may lie outside of the block.
    nominal_hz
        The rate that the device was set to; steps within 10 % of it tell the true one.
    gap_s, back_s
        A block that begins so much later or earlier than the one before ended begins a new stretch; earlier means that
        the clock was set back.
    measured_from
        Steps between blocks that it takes to believe the measured rate rather than the nominal one.
    smooth_s
        Seconds of stamps that one knot of the smooth time is the median of.

    Cost: O(B).

    Example
    -------
    >>> n, at = np.full(6, 100), np.zeros(6, np.int64)
    >>> clock = fit_blocks(n, np.array([0, 1.01, 2.02, 9, 10.01, 11.02]), at, 100.0, gap_s=0.5, back_s=0.5)
    >>> clock.n_gaps, round(clock.rate_hz, 2), clock.times(3, 6)[[0, -1]].round(3).tolist()
    (1, 99.01, [9.0, 12.02])
    """
    first = np.cumsum(n) - n
    x = (first + at).astype(np.float64)
    rate = _rate(x, stamp_s, nominal_hz, measured_from)
    begin = stamp_s - at / rate
    late = begin[1:] - (begin + n / rate)[:-1]
    gaps, back = late > gap_s, late < -back_s
    stretch = np.concatenate([[0], np.cumsum(gaps | back)])
    borders = np.flatnonzero(np.diff(stretch)) + 1
    lines: list[_Line] = []
    ended = -np.inf
    for i in np.split(np.arange(len(n)), borders):
        line = _line(x[i], stamp_s[i], rate, smooth_s)
        begun, last = line.at(np.array([first[i[0]], first[i[-1]] + n[i[-1]] - 1], np.float64))
        if i[0] and not back[i[0] - 1] and begun < ended + 1 / rate:
            # Coarse stamps can put the end of a stretch behind the begin of the next, where the gap is short.
            line = replace(line, a=line.a + ended + 1 / rate - begun)
            last += ended + 1 / rate - begun
        lines.append(line)
        ended = float(last)
    return BlockClock(
        stretch, np.concatenate([[False], back]), rate, int(gaps.sum()), float(late[gaps].sum()), first, n, lines
    )


def _rate(x: NDArray[np.float64], stamp_s: NDArray[np.float64], nominal_hz: float, measured_from: int) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        rates = np.diff(x) / np.diff(stamp_s)
    rates = rates[np.abs(rates / nominal_hz - 1) < 0.1]
    return float(np.median(rates)) if len(rates) >= measured_from else nominal_hz


def _line(x: NDArray[np.float64], y: NDArray[np.float64], rate: float, smooth_s: float) -> _Line:
    """A line through stamps of one stretch, and the medians of what it leaves."""
    b = 1 / rate
    if len(x) >= _LINE_BLOCKS:
        half = len(x) // 2
        b = float(np.median(y[-half:]) - np.median(y[:half])) / float(np.median(x[-half:]) - np.median(x[:half]))
    a = float(np.median(y - b * x))
    left = y - a - b * x
    per_knot = max(_KNOT_BLOCKS, int(np.ceil(smooth_s * len(x) / max(y[-1] - y[0], 1e-9))))
    if len(x) < 2 * per_knot:
        return _Line(a, b, np.array([x[0]]), np.array([np.median(left)]))
    parts = np.array_split(np.arange(len(x)), len(x) // per_knot)
    knots = np.array([x[i].mean() for i in parts])
    medians = np.array([np.median(left[i]) for i in parts])
    # Half a knot at either end lies outside of the first and last median, and keeps what is left there: a slope from
    # two medians would carry a step between them on.
    return _Line(a, b, knots, medians)
