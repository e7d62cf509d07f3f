"""Runs of what is true, runs of one label, and moving means: what several checks look at."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class LabelRuns(NamedTuple):
    """The runs of one label of a recording: class index (-1 not annotated), first sample, end (exclusive)."""

    label: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]


def stretches(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First place and end (exclusive) of each run of true.

    >>> stretches(np.array([True, True, False, True]))
    (array([0, 3]), array([2, 4]))
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    return edges[::2], edges[1::2]


def longest(mask: NDArray[np.bool_]) -> int:
    """Length of the longest run of true, 0 where there is none."""
    start, end = stretches(mask)
    return int((end - start).max(initial=0))


def label_runs(labels: NDArray[np.integer]) -> LabelRuns:
    """The runs of equal labels, those not annotated among them.

    >>> label_runs(np.array([-1, 2, 2]))
    LabelRuns(label=array([-1,  2]), start=array([0, 1]), end=array([1, 3]))
    """
    if not len(labels):
        empty = np.empty(0, np.int64)
        return LabelRuns(empty, empty, empty)
    turn = np.flatnonzero(labels[1:] != labels[:-1]) + 1
    start = np.concatenate([[0], turn])
    return LabelRuns(labels[start].astype(np.int64), start, np.append(turn, len(labels)))


def moving_mean(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Mean over ``width`` (odd) samples around each of the last axis, fewer at the ends; O(n)."""
    n, half = values.shape[-1], width // 2
    total = np.zeros((*values.shape[:-1], n + 1))
    np.cumsum(values, axis=-1, out=total[..., 1:])
    low, high = np.maximum(np.arange(n) - half, 0), np.minimum(np.arange(n) + half + 1, n)
    mean: NDArray[np.float64] = (total[..., high] - total[..., low]) / (high - low)
    return mean


def blocks(values: NDArray[np.floating], length: int) -> NDArray[np.float64]:
    """The last axis (n) as (n // length, length), in double precision; what is left over at the end is dropped."""
    whole = values.shape[-1] // length
    cut = values[..., : whole * length].astype(np.float64)
    return cut.reshape(*values.shape[:-1], whole, length)
