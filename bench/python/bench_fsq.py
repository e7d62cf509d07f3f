"""FSQ against the same thresholds in numpy. Not collected by default: pytest bench/python/bench_*.py"""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conv2d_core import fsq_encode, fsq_thresholds

LEVELS = [8, 5, 5, 5]


def numpy_encode(z: np.ndarray, thresholds: list[np.ndarray], basis: np.ndarray) -> np.ndarray:
    digits = [np.searchsorted(thresholds[i], z[:, i], side="right") for i in range(z.shape[1])]
    return np.stack(digits, axis=1) @ basis


@pytest.mark.parametrize("rows", [1, 256, 100_000])
@pytest.mark.parametrize("peer", ["conv2d", "conv2d_out", "numpy"])
def test_encode(benchmark: BenchmarkFixture, rows: int, peer: str) -> None:
    benchmark.group = f"fsq_encode {rows} vectors"
    z = np.random.default_rng(0).normal(size=(rows, len(LEVELS))).astype(np.float32)
    thresholds, basis = [fsq_thresholds(level) for level in LEVELS], np.cumprod([1, *LEVELS[:-1]])
    out = np.empty(rows, np.int32)
    calls = {
        "conv2d": lambda: fsq_encode(z, LEVELS),
        "conv2d_out": lambda: fsq_encode(z, LEVELS, out=out),
        "numpy": lambda: numpy_encode(z, thresholds, basis),
    }
    np.testing.assert_array_equal(benchmark(calls[peer]), numpy_encode(z, thresholds, basis))
