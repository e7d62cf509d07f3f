"""Samples numbered on the sensor's own period, doubled rows dropped, and the scatter of their stamps averaged out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.clock import SAME
from conv2d.errors import DataError

MAX_RATE_ERROR = 0.25  # of a nominal rate; the rate of a sensor chip may well be off by 5 %
PIECE_GAP = 1 << 20  # added to the sample number between pieces, so that no filter reaches across
_OVERLAP_S = 1.0
_JITTERY = 0.2  # periods by which steps scatter, from which on samples are counted one by one
_SMOOTHED_S = 1.0

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Counted:
    """Samples in order of time: their rows, numbers, smoothed times, and whether another row had the same time.

    ``lost`` counts the rows that were dropped, by reason.
    """

    order: Rows
    index: Rows
    time: Array
    doubled: NDArray[np.bool_]
    lost: Mapping[str, int]


def measure_period(time: Array, spans: Sequence[slice], rate_hz: float | None, where: str) -> float:
    """Host seconds from sample to sample: the mean over steps without loss, so that rounded stamps average out."""
    steps = np.concatenate([np.diff(np.sort(time[rows])) for rows in spans])
    steps = steps[steps > 0]
    if not len(steps):
        raise DataError(f"E-DATA-020: all rows of {where} have one time, expected a recording; correct it")
    rough = float(np.quantile(steps, 0.5, method="lower"))  # a step that is there, so that some are near it
    if rate_hz and abs(1 / (rough * rate_hz) - 1) > MAX_RATE_ERROR:
        raise DataError(
            f"E-DATA-020: {where} has {1 / rough:.4g} samples a second by the median step of its time, the "
            f"mapping says rate_hz {rate_hz:g}; correct rate_hz or the unit of time"
        )
    near = steps[steps < 1.5 * rough]
    near = near[near > 0.5 * rough]
    return float(near.mean())


def count_samples(time: Array, spans: Sequence[slice], period: float, where: str) -> Counted:
    """Order, number and smoothed time of the samples of all pieces (``spans`` of ``time``), in order of time.

    Raises
    ------
    DataError
        E-DATA-020: two pieces overlap by more than a second.
    """
    parts: list[tuple[Rows, Rows, Array, NDArray[np.bool_]]] = []
    lost = {"overlapping": 0, "doubled": 0}
    end, next_index = -np.inf, 0
    for rows in sorted(spans, key=lambda rows: float(time[rows].min())):
        order = rows.start + np.argsort(time[rows], kind="stable")
        fresh = time[order] > end + SAME * period
        overlap = int(np.count_nonzero(~fresh))
        lost["overlapping"] += overlap
        if overlap * period > _OVERLAP_S:
            raise DataError(
                f"E-DATA-020: two stretches of {where} overlap by {overlap * period:.1f} s on the host's clock, "
                "expected one after the other; split the file where a clock was set"
            )
        order = order[fresh]
        if not len(order):
            continue
        apart = np.r_[True, np.diff(time[order]) >= SAME * period]
        lost["doubled"] += int(np.count_nonzero(~apart))
        doubled = np.r_[~apart[1:], False][apart]
        order = order[apart]
        index = _number(time[order], period)
        parts.append((order, index + next_index, _smooth(time[order], index, period), doubled))
        end, next_index = float(time[order[-1]]), next_index + int(index[-1]) + PIECE_GAP
    orders, indices, smooths, doubles = zip(*parts, strict=True)
    return Counted(
        np.concatenate(orders), np.concatenate(indices), np.concatenate(smooths), np.concatenate(doubles),
        {why: n for why, n in lost.items() if n},
    )  # fmt: skip


def _number(time: Array, period: float) -> Rows:
    """The sample number of each time: steps rounded to periods, or one by one where steps scatter much."""
    steps = np.diff(time) / period
    whole = np.maximum(1, np.rint(steps)).astype(np.int64)
    if len(steps) == 0 or float(np.quantile(np.abs(steps - whole), 0.99)) <= _JITTERY:
        counted: Rows = np.r_[0, np.cumsum(whole)]
        return counted
    # A late stamp makes one long and one short step: what was rounded away must be carried on.
    numbers, number, expected = [0], 0, 0.0
    for at in (time[1:] - time[0]) / period:
        step = max(1, round(at - expected))
        number += step
        expected += step
        expected += 0.1 * (at - expected)
        numbers.append(number)
    return np.array(numbers)


def _smooth(time: Array, index: Rows, period: float) -> Array:
    """Times whose scatter about the regular ones is averaged over a second, but not across losses of ten samples."""
    scatter = time - time[0] - index * period
    stretch = np.flatnonzero(np.diff(index) > 10) + 1
    first = np.repeat(np.r_[0, stretch], np.diff(np.r_[0, stretch, len(time)]))
    last = np.repeat(np.r_[stretch, len(time)], np.diff(np.r_[0, stretch, len(time)])) - 1
    at = np.arange(len(time))
    # The same width on both sides, so that a slope is kept; less of it at the ends.
    width = np.minimum(np.minimum(at - first, last - at), max(1, round(_SMOOTHED_S / 2 / period)))
    sums = np.r_[0.0, np.cumsum(scatter)]
    mean = (sums[at + width + 1] - sums[at - width]) / (2 * width + 1)
    smooth: Array = time[0] + index * period + mean
    return smooth
