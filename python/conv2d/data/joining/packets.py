"""Rows that share the stamp of their packet, spread by number, with the packets that were lost on the way counted.

The stamp of a packet comes late, never early, and a lost packet lifts the stamps of all that follow by its length. So
the number of a sample is that of its row and what was lost before it: the lower envelope of what stamps run ahead of
rows, in whole packets. A line through numbers and stamps then gives the times.
"""

from collections import deque
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.breaks import Break
from conv2d.data.joining.clock import SAME, TAU, Clock, fit_clock, last_of_each_packet

_PAUSE_S = 10.0  # a longer gap parts two pieces: nothing says that the sensor's samples ran on evenly in it
_PIECE_S = 60.0  # a shorter piece cannot measure its rate
_NEAR_S = 2.0  # within this some packet came in time
_FAR_S = 60.0
_RECENT = 20  # packets that tell the level before a loss
_ONE_SIZE = 0.8  # share of packets of one size from which on losses are whole packets
_ROUNDS = 8
_PHASE_PACKETS = 64
_EARLY = 0.1  # packets by which no stamp is early, unless its number is wrong
_ALONE = 3  # fewer packets between two losses cannot tell lateness from loss
_APART = 1000e-6  # pieces of one sensor whose rates differ by more are doubtful

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Packets:
    """What the stamps of packets say.

    ``time_s`` (n,) are the times of all rows, ``pieces`` their clocks against the samples' numbers over the nominal
    rate, ``doubtful`` (n,) marks rows whose number is a guess, ``lost`` counts the samples that were lost between rows,
    ``places`` where that was.
    """

    time_s: Array
    pieces: list[tuple[slice, Clock]]
    breaks: list[Break]
    doubtful: NDArray[np.bool_]
    lost: int
    places: int
    notes: list[str]


def spread_packets(stamps: Array, rate_hz: float, *, set_back_s: float = 1.0) -> Packets:
    """Times of rows (n,) in the order of measuring, from stamps in seconds of which many are equal or NaN.

    The last row of a packet is at its stamp. Losses are counted in whole packets where four of five have one size, else
    in samples. Gaps of more than ten seconds, and stamps that go back by more than ``set_back_s``, part pieces; one of
    less than a minute borrows its rate. What cannot be counted is marked as doubtful and told.

    Cost: O(n log n), some 2 us a packet.

    Example
    -------
    >>> number = np.delete(np.arange(6000), np.arange(2000, 2010))  # a packet of ten is lost
    >>> found = spread_packets(5 + number // 10 * 0.1, 100.0)
    >>> found.lost, bool(np.abs(found.time_s - found.time_s[0] - number / 100).max() < 1e-6)
    (10, True)
    """
    n, period = len(stamps), 1 / rate_hz
    known = np.flatnonzero(np.isfinite(stamps))
    rows = np.sort(known[last_of_each_packet(known.astype(np.float64), stamps[known], SAME * period)])
    at = stamps[rows]
    sizes = np.diff(rows)
    common = int(np.bincount(sizes).argmax()) if len(sizes) else 1
    size = common if len(sizes) and float(np.mean(sizes == common)) >= _ONE_SIZE else 1
    cuts = _cuts(rows, at, period, set_back_s)
    borders = [0, *cuts, len(rows)]
    lost = np.zeros(len(rows), np.int64)
    clocks: list[Clock | None] = []
    for low, high in pairwise(borders):
        part = slice(low, high)
        lost[part], clock = _count(rows[part], at[part], period, size)
        clocks.append(clock)
    measured = [clock for clock in clocks if clock is not None]
    ends = [*(int(rows[cut - 1]) + 1 for cut in cuts), n]
    pieces: list[tuple[slice, Clock]] = []
    time_s, doubtful = np.empty(n), np.zeros(n, bool)
    notes: list[str] = []
    usual = float(np.median([clock.drift for clock in measured])) if measured else 0.0
    late_s, begin, places, total = 0.0, 0, 0, 0
    for clock, low, high, end in zip(clocks, borders[:-1], borders[1:], ends, strict=True):
        part, piece = slice(low, high), slice(begin, end)
        before = np.searchsorted(rows[part], np.arange(begin, end))
        of_row = lost[part][np.minimum(before, high - low - 1)]
        counter = _seconds(np.arange(begin, end) + of_row, period)
        pairs = _seconds(rows[part] + lost[part], period)
        if clock is None:
            clock = fit_clock(pairs, at[part], period_s=period, drift=usual)
        elif abs(clock.drift - usual) > _APART:
            doubtful[piece] = True
            notes.append(
                f"the rate from row {begin} to {end - 1} is {(clock.drift - usual) * 1e6:.0f} ppm off that of the rest"
            )
        residual = at[part] - clock.times(pairs)
        unsure = _unsure(residual, lost[part], np.diff(rows[part], prepend=begin - 1) > 2 * common, size * period)
        doubtful[piece] |= unsure[np.minimum(before, high - low - 1)]
        late_s = max(late_s, float(np.median(residual) - np.quantile(residual, TAU)))
        time_s[piece] = clock.times(counter)
        pieces.append((piece, clock))
        places += int(np.count_nonzero(np.diff(lost[part])))
        total += int(lost[part][-1] - lost[part][0])
        begin = end
    if late_s > size * period / 2 and places:
        doubtful[:] = True
        notes.append(
            f"stamps are late by {late_s * 1e3:.0f} ms, more than half a packet of {size * period * 1e3:.0f} ms, "
            "so that lost ones are counted roughly"
        )
    breaks = [
        Break(int(rows[cut - 1]) + 1, float(at[cut] - at[cut - 1]), "pause" if at[cut] > at[cut - 1] else "device_back")
        for cut in cuts
    ]
    return Packets(time_s, pieces, breaks, doubtful, total, places, notes)


def _seconds(numbers: Rows, period: float) -> Array:
    return numbers.astype(np.float64) * period


def _cuts(rows: Rows, at: Array, period: float, set_back_s: float) -> list[int]:
    """Packets that begin a piece: after a long gap that is not made good by what comes, or where stamps go back."""
    ahead = at - rows * period
    cuts = []
    for packet in (np.flatnonzero((np.diff(at) < 0) | (np.diff(ahead) > _PAUSE_S)) + 1).tolist():
        if at[packet] < at[packet - 1]:
            if at[packet - 1] - at[packet] > set_back_s:
                cuts.append(packet)
            continue
        until = at[packet] + min(_FAR_S, 3 * (at[packet] - at[packet - 1]))
        end = packet + max(1, int(np.searchsorted(at[packet:], until, "right")))
        if float(ahead[packet:end].min()) - ahead[packet - 1] > _PAUSE_S / 2:
            cuts.append(packet)
    return cuts


def _count(rows: Rows, at: Array, period: float, size: int) -> tuple[Rows, Clock | None]:
    """Samples lost before each packet of a piece, and the clock, or None where the piece is too short for a rate."""
    if len(rows) < 3 or at[-1] <= at[0]:
        return np.zeros(len(rows), np.int64), None
    rough = _rough_period(rows, at, period, size)
    lost = _track(_lowest_ahead(at - rows * rough, at, _NEAR_S), rough, size)
    clock = fit_clock(_seconds(rows + lost, period), at, period_s=period)
    for _ in range(_ROUNDS):
        length = size * period * (1 + clock.drift)
        residual = at - clock.times(_seconds(rows + lost, period))
        steps = np.rint(_lowest_ahead(residual, at, _NEAR_S) / length).astype(np.int64) * size
        # What came in time was measured before, so that no packet has a number beyond a later one's.
        corrected = np.minimum.accumulate((lost + steps)[::-1])[::-1]
        corrected -= corrected[0]
        if np.array_equal(corrected, lost):
            break
        lost = corrected
        clock = fit_clock(_seconds(rows + lost, period), at, period_s=period)
    return lost, clock if at[-1] - at[0] >= _PIECE_S else None


def _rough_period(rows: Rows, at: Array, period: float, size: int) -> float:
    """Seconds a sample, by the phase of steps between packets: whole packets that were lost do not move it.

    Packets further and further apart give it more and more exactly, each within the bounds of the last.
    """
    rough, lag = period, 1
    while lag < len(rows) and lag <= _PHASE_PACKETS:
        moved, numbers = at[lag:] - at[:-lag], rows[lag:] - rows[:-lag]
        length = size * rough
        turn = float(np.angle(np.mean(np.exp(2j * np.pi * (moved - numbers * rough) / length))))
        rough += turn / (2 * np.pi) * length / float(np.median(numbers))
        lag *= 2
    return rough


def _lowest_ahead(values: Array, at: Array, within_s: float) -> Array:
    """The least of ``values`` (n,) over the packets from each one on to ``within_s`` later."""
    lowest = np.empty(len(values))
    waiting: deque[int] = deque()  # places whose values rise; the first is the least
    value, time = values.tolist(), at.tolist()
    for i in range(len(value) - 1, -1, -1):
        while waiting and value[waiting[0]] >= value[i]:
            waiting.popleft()
        waiting.appendleft(i)
        while time[waiting[-1]] - time[i] > within_s:
            waiting.pop()
        lowest[i] = value[waiting[-1]]
    return lowest


def _track(level: Array, period: float, size: int) -> Rows:
    """Samples lost before each packet, by the steps of the level beside that of the packets before."""
    length = size * period
    lost = np.zeros(len(level), np.int64)
    recent: deque[float] = deque(maxlen=_RECENT)
    packets = 0
    for i, value in enumerate(level.tolist()):
        if recent:
            base = sorted(recent)[len(recent) // 5]
            packets += max(0, round((value - packets * length - base) / length))
        recent.append(value - packets * length)
        lost[i] = packets * size
    return lost


def _unsure(residual: Array, lost: Rows, many: NDArray[np.bool_], length: float) -> NDArray[np.bool_]:
    """Packets whose number is a guess.

    Few of them stand between two losses, their stamps are early or for seconds half a packet off the line, or they were
    held up beside a loss, which may have been before or after them.
    """
    begins = np.flatnonzero(np.r_[True, np.diff(lost) > 0])
    counts = np.diff(np.r_[begins, len(lost)])
    unsure = np.repeat(counts < _ALONE, counts) if len(begins) > 1 else np.zeros(len(lost), bool)
    unsure |= residual < -_EARLY * length
    unsure |= many & (np.diff(lost, prepend=lost[0]) > 0)  # several that came at once, and one of them is missing
    late = residual > length / 2
    runs = np.cumsum(np.r_[True, late[1:] != late[:-1]]) - 1
    beside = np.zeros(int(runs[-1]) + 1, bool)
    beside[runs[begins[1:]]] = beside[runs[begins[1:] - 1]] = True
    unsure |= late & beside[runs]
    width = min(len(residual), _RECENT)
    windows = np.lib.stride_tricks.sliding_window_view(residual, width)
    off = np.flatnonzero(np.abs(np.quantile(windows, 0.2, axis=1)) > length / 2)
    spread = np.zeros(len(residual) + 1, np.int64)
    np.add.at(spread, off, 1)
    np.add.at(spread, off + width, -1)
    unsure |= np.cumsum(spread)[:-1] > 0
    return unsure
