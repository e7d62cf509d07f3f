"""Smoothing of a million labels against scipy, bottleneck, numba and numpy, on the same bytes.

Each function is measured with a new array for its outcome, as the peers give one, and (``conv2d_out``) with ``out=``.
"""

import heapq
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conv2d_core import MinDwellStream, ModeStream, hysteresis, median_filter, min_dwell, mode_filter

SAMPLES = [1000, 1_000_000]


def sequence(samples: int) -> np.ndarray:
    """Runs of 1 to 59 samples with one of 8 labels, as bytes: seconds of behaviours at a few frames a second."""
    rng = np.random.default_rng(0)
    return np.repeat(rng.integers(0, 8, samples), rng.integers(1, 60, samples))[:samples].astype(np.uint8)


def run(benchmark: BenchmarkFixture, call: Callable[[], Any]) -> Any:
    return benchmark.pedantic(call, rounds=30, iterations=1, warmup_rounds=2)


def numpy_mode(labels: np.ndarray, width: int) -> np.ndarray:
    """Counts by cumulative sums; ties go to the smallest label, so it agrees only where there are none."""
    padded = np.pad(labels, width // 2, mode="edge")[:, None] == np.arange(labels.max() + 1)
    sums = np.vstack([np.zeros(padded.shape[1], int), np.cumsum(padded, axis=0)])
    return np.argmax(sums[width:] - sums[:-width], axis=1)


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("peer", ["conv2d", "conv2d_out", "conv2d_int64", "ndimage", "medfilt", "bottleneck"])
def test_median(benchmark: BenchmarkFixture, samples: int, peer: str) -> None:
    benchmark.group = f"median_filter 7, {samples} samples"
    labels = sequence(samples)
    long, real, out = labels.astype(np.int64), labels.astype(np.float64), np.empty_like(labels)
    calls: dict[str, Callable[[], Any]] = {
        "conv2d": lambda: median_filter(labels, 7),
        "conv2d_out": lambda: median_filter(labels, 7, out=out),
        "conv2d_int64": lambda: median_filter(long, 7),
    }
    if peer == "bottleneck":  # trailing windows of doubles: the same values, three samples late
        bottleneck = pytest.importorskip("bottleneck", reason="bottleneck is not installed")
        calls[peer] = lambda: bottleneck.move_median(real, 7)
    elif peer in ("ndimage", "medfilt"):
        pytest.importorskip("scipy", reason="scipy is not installed")
        from scipy import ndimage, signal

        calls["ndimage"] = lambda: ndimage.median_filter(labels, 7, mode="nearest")
        calls["medfilt"] = lambda: signal.medfilt(labels, 7)
    smoothed = np.asarray(run(benchmark, calls[peer]))
    expected = median_filter(labels, 7)[3:-3]
    np.testing.assert_array_equal(smoothed[6:] if peer == "bottleneck" else smoothed[3:-3], expected)


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("peer", ["conv2d", "conv2d_out", "stream", "numpy"])
def test_mode(benchmark: BenchmarkFixture, samples: int, peer: str) -> None:
    benchmark.group = f"mode_filter 7, {samples} samples"
    labels = sequence(samples)
    out, stream = np.empty_like(labels), ModeStream(7)
    calls: dict[str, Callable[[], Any]] = {
        "conv2d": lambda: mode_filter(labels, 7),
        "conv2d_out": lambda: mode_filter(labels, 7, out=out),
        "stream": lambda: stream.push(labels),
        "numpy": lambda: numpy_mode(labels, 7),
    }
    assert run(benchmark, calls[peer]).size > 0


def numba_min_dwell() -> Callable[[np.ndarray, int], np.ndarray]:
    """The rule of `min_dwell` as one writes it for numba: runs in a linked list, the short inner ones in a heap."""
    numba = pytest.importorskip("numba", reason="numba is not installed")

    @numba.njit  # type: ignore[untyped-decorator]
    def merge(labels: np.ndarray, min_frames: int) -> np.ndarray:
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
        heap = [(n + 1, 0, 0)]
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
                after[left] = right
                grown = right
            if after[grown] < runs:
                before[after[grown]] = grown
                if grown > 0 and length[grown] < min_frames:
                    heapq.heappush(heap, (length[grown], starts[grown], grown))
        smoothed = np.empty_like(labels)
        for i in range(runs):
            if alive[i]:
                smoothed[starts[i] : starts[i] + length[i]] = kind[i]
        return smoothed

    return merge  # type: ignore[no-any-return]


def numba_forward_dwell() -> Callable[[np.ndarray, int], np.ndarray]:
    """Less work: from left to right, each short inner run takes the label before it."""
    numba = pytest.importorskip("numba", reason="numba is not installed")

    @numba.njit  # type: ignore[untyped-decorator]
    def forward(labels: np.ndarray, min_frames: int) -> np.ndarray:
        smoothed = np.empty_like(labels)
        n, start, label = len(labels), 0, labels[0]
        for t in range(1, n + 1):
            if t == n or labels[t] != labels[start]:
                if start == 0 or t == n or t - start >= min_frames:
                    label = labels[start]
                for i in range(start, t):
                    smoothed[i] = label
                start = t
        return smoothed

    return forward  # type: ignore[no-any-return]


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("peer", ["conv2d", "conv2d_out", "stream", "numba", "numba_forward"])
def test_min_dwell(benchmark: BenchmarkFixture, samples: int, peer: str) -> None:
    benchmark.group = f"min_dwell 5, {samples} samples"
    labels = sequence(samples)
    out, stream = np.empty_like(labels), MinDwellStream(5)
    calls: dict[str, Callable[[], Any]] = {
        "conv2d": lambda: min_dwell(labels, 5),
        "conv2d_out": lambda: min_dwell(labels, 5, out=out),
        "stream": lambda: stream.push(labels),
    }
    if peer.startswith("numba"):
        merge = numba_min_dwell() if peer == "numba" else numba_forward_dwell()
        calls[peer] = lambda: merge(labels, 5)
    smoothed = run(benchmark, calls[peer])
    if peer in ("conv2d_out", "numba"):
        np.testing.assert_array_equal(smoothed, min_dwell(labels, 5))


@pytest.mark.parametrize("samples", SAMPLES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("peer", ["conv2d", "conv2d_out", "numpy"])
def test_hysteresis(benchmark: BenchmarkFixture, samples: int, dtype: str, peer: str) -> None:
    benchmark.group = f"hysteresis, {samples} samples of {dtype}"
    p = np.random.default_rng(0).random(samples).astype(dtype)
    out = np.empty(samples, np.bool_)

    def numpy_hysteresis() -> np.ndarray:
        decided = np.where((p >= 0.8) | (p < 0.4), np.arange(samples), -1)
        last = np.maximum.accumulate(decided)
        return (last >= 0) & (p[last] >= 0.8)

    calls: dict[str, Callable[[], Any]] = {
        "conv2d": lambda: hysteresis(p, 0.8, 0.4),
        "conv2d_out": lambda: hysteresis(p, 0.8, 0.4, out=out),
        "numpy": numpy_hysteresis,
    }
    np.testing.assert_array_equal(run(benchmark, calls[peer]), numpy_hysteresis())
