"""Smoothing of a million labels against scipy, bottleneck, numba and numpy."""

import heapq
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.benchmarks.measure import Absent, Row, alone, compare
from conv2d_core import hysteresis, median_filter, min_dwell, mode_filter

PART = "smoothing"
WIDTH, DWELL, ENTER, EXIT = 7, 5, 0.7, 0.3
Labels = NDArray[np.uint8]


def sequence(samples: int) -> Labels:
    """Runs of 1 to 59 samples with one of 8 labels: seconds of behaviours at a few frames a second."""
    rng = np.random.default_rng(0)
    return np.repeat(rng.integers(0, 8, samples), rng.integers(1, 60, samples))[:samples].astype(np.uint8)


def numpy_hysteresis(p: NDArray[np.float64]) -> NDArray[np.bool_]:
    """The switch of `hysteresis` by a running maximum over the samples that decide."""
    decided = np.where((p >= ENTER) | (p < EXIT), np.arange(len(p)), -1)
    last = np.maximum.accumulate(decided)
    return np.asarray((last >= 0) & (p[last] >= ENTER))


def plain_min_dwell(labels: Labels, min_frames: int) -> Labels:
    """The rule of `min_dwell` as one writes it for numba: runs in a linked list, the short inner ones in a heap."""
    n = len(labels)
    starts = np.empty(n + 1, np.int64)
    runs = 0
    for t in range(n):
        if t == 0 or labels[t] != labels[t - 1]:
            starts[runs] = t
            runs += 1
    starts[runs] = n
    kind = np.empty(runs, labels.dtype)
    length = np.empty(runs, np.int64)
    before = np.arange(-1, runs - 1)
    after = np.arange(1, runs + 1)
    heap = [(max(n, min_frames) + 1, 0, 0)]  # never taken out: what ends the loop
    for i in range(runs):
        kind[i] = labels[starts[i]]
        length[i] = starts[i + 1] - starts[i]
        if 0 < i < runs - 1 and length[i] < min_frames:
            heap.append((length[i], starts[i], i))
    heapq.heapify(heap)
    alive = np.ones(runs, np.bool_)
    while heap[0][0] < min_frames:
        size, start, i = heapq.heappop(heap)
        if not alive[i] or length[i] != size or starts[i] != start:
            continue
        left, right = before[i], after[i]
        alive[i] = False
        if kind[left] == kind[right]:
            length[left] += size + length[right]
            alive[right] = False
            after[left] = after[right]
            grown = left
        elif length[left] >= length[right]:
            length[left] += size
            after[left] = right
            grown = left
        else:
            starts[right] = start
            length[right] += size
            before[right] = left
            grown = right
        if after[grown] < runs:
            before[after[grown]] = grown
        if grown > 0:
            after[before[grown]] = grown
        if grown > 0 and after[grown] < runs and length[grown] < min_frames:
            heapq.heappush(heap, (length[grown], starts[grown], grown))
    smoothed = np.empty_like(labels)
    for i in range(runs):
        if alive[i]:
            smoothed[starts[i] : starts[i] + length[i]] = kind[i]
    return smoothed


def numba_min_dwell(labels: Labels) -> Callable[[], Any]:
    """`plain_min_dwell` compiled.

    Raises
    ------
    Absent
        numba is not installed, or its outcome differs.
    """
    try:
        numba = import_module("numba")
    except ImportError:
        raise Absent("numba is not installed") from None
    merge = numba.njit(plain_min_dwell)
    if not np.array_equal(merge(labels, DWELL), min_dwell(labels, DWELL)):
        raise Absent("the loop compiled by numba gives other labels")
    return lambda: merge(labels, DWELL)


def best_median(labels: Labels) -> tuple[str, Callable[[], Any]]:
    """The fastest median filter of scipy and bottleneck here.

    Raises
    ------
    Absent
        Neither is installed.
    """
    found: dict[str, Callable[[], Any]] = {}
    try:
        ndimage, signal = import_module("scipy.ndimage"), import_module("scipy.signal")
        found["scipy.ndimage"] = lambda: ndimage.median_filter(labels, WIDTH, mode="nearest")
        found["scipy.signal"] = lambda: signal.medfilt(labels, WIDTH)
    except ImportError:
        pass
    try:
        bottleneck, real = import_module("bottleneck"), labels.astype(np.float64)
        found["bottleneck"] = lambda: bottleneck.move_median(real, WIDTH)
    except ImportError:
        pass
    if not found:
        raise Absent("neither scipy nor bottleneck is installed")
    times = {name: alone(call, 0.3).median_ms for name, call in found.items()}
    best = min(times, key=lambda name: times[name])
    others = [name for name in ("scipy.ndimage", "bottleneck") if name not in found]
    return best + (f" ({', '.join(others)} not installed)" if others else ""), found[best]


def rows(seconds: float, *, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    samples = 100_000 if quick else 1_000_000
    size = f"{samples:,} labels"
    labels = sequence(samples)
    out = np.empty_like(labels)
    try:
        peer, median = best_median(labels)
        ours, theirs = compare(lambda: median_filter(labels, WIDTH, out=out), median, seconds)
        yield Row(PART, "median 7", size, peer, "faster", 58, None, ours, theirs, theirs.median_ms / ours.median_ms)
    except Absent as absent:
        yield Row(PART, "median 7", size, "scipy, bottleneck", "faster", 58, None, reason=str(absent))
    ours, theirs = compare(
        lambda: mode_filter(labels, WIDTH, out=out), lambda: median_filter(labels, WIDTH, out=out), seconds
    )
    ratio = ours.median_ms / theirs.median_ms
    yield Row(PART, "mode 7 over median 7", size, "own median 7", "times", 4, None, ours, theirs, ratio)
    try:
        ours, theirs = compare(lambda: min_dwell(labels, DWELL, out=out), numba_min_dwell(labels), seconds)
        yield Row(
            PART, "min-dwell", size, "numba", "faster", 1.8, None, ours, theirs, theirs.median_ms / ours.median_ms
        )
    except Absent as absent:
        yield Row(PART, "min-dwell", size, "numba", "faster", 1.8, None, reason=str(absent))
    p = np.random.default_rng(0).random(samples)
    if not np.array_equal(hysteresis(p, ENTER, EXIT), numpy_hysteresis(p)):
        raise AssertionError("the two switches differ, expected one outcome")
    on = np.empty(samples, np.bool_)
    ours, theirs = compare(lambda: hysteresis(p, ENTER, EXIT, out=on), lambda: numpy_hysteresis(p), seconds)
    ratio = theirs.median_ms / ours.median_ms
    yield Row(PART, "hysteresis", f"{samples:,} probabilities", "numpy", "faster", 100, None, ours, theirs, ratio)
