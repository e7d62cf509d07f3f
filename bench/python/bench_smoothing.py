"""Smoothing against scipy where it has the filter, else against numpy."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conv2d_core import hysteresis, median_filter, min_dwell, mode_filter


def sequence(samples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.repeat(rng.integers(0, 8, samples), rng.integers(1, 12, samples))[:samples]


def numpy_mode(labels: np.ndarray, width: int) -> np.ndarray:
    """Counts by cumulative sums; ties go to the smallest label, so it agrees only where there are none."""
    padded = np.pad(labels, width // 2, mode="edge")[:, None] == np.arange(labels.max() + 1)
    sums = np.vstack([np.zeros(padded.shape[1], int), np.cumsum(padded, axis=0)])
    return np.argmax(sums[width:] - sums[:-width], axis=1)


@pytest.mark.parametrize("samples", [1000, 100_000])
@pytest.mark.parametrize("peer", ["conv2d", "scipy"])
def test_median(benchmark: BenchmarkFixture, samples: int, peer: str) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    benchmark.group = f"median_filter 7, {samples} samples"
    labels = sequence(samples)
    calls = {
        "conv2d": lambda: median_filter(labels, 7),
        "scipy": lambda: ndimage.median_filter(labels, 7, mode="nearest"),
    }
    assert benchmark(calls[peer]).shape == labels.shape


@pytest.mark.parametrize("samples", [1000, 100_000])
@pytest.mark.parametrize("peer", ["conv2d", "numpy"])
def test_mode(benchmark: BenchmarkFixture, samples: int, peer: str) -> None:
    benchmark.group = f"mode_filter 7, {samples} samples"
    labels = sequence(samples)
    smooth = mode_filter if peer == "conv2d" else numpy_mode
    assert benchmark(lambda: smooth(labels, 7)).shape == labels.shape


@pytest.mark.parametrize("samples", [1000, 100_000])
def test_min_dwell(benchmark: BenchmarkFixture, samples: int) -> None:
    benchmark.group = f"min_dwell 5, {samples} samples"
    labels = sequence(samples)
    assert benchmark(lambda: min_dwell(labels, 5)).shape == labels.shape


@pytest.mark.parametrize("samples", [1000, 100_000])
@pytest.mark.parametrize("peer", ["conv2d", "numpy"])
def test_hysteresis(benchmark: BenchmarkFixture, samples: int, peer: str) -> None:
    benchmark.group = f"hysteresis, {samples} samples"
    p = np.random.default_rng(0).random(samples)

    def numpy_hysteresis() -> np.ndarray:
        decided = np.where((p >= 0.8) | (p < 0.4), np.arange(samples), -1)
        last = np.maximum.accumulate(decided)
        return (last >= 0) & (p[last] >= 0.8)

    call = (lambda: hysteresis(p, 0.8, 0.4)) if peer == "conv2d" else numpy_hysteresis
    np.testing.assert_array_equal(benchmark(call), numpy_hysteresis())
