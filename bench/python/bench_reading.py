"""An hour of 18 channels at 100 Hz, from the file to its windows, beside pyarrow reading the same columns."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conv2d.data import Dataset
from conv2d.data.missing import fill_missing
from conv2d.data.simulate import simulate_dataset
from conv2d.data.windows import sliding, window_starts

RATE_HZ, WINDOW, HOP = 100.0, 100, 50


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return simulate_dataset(tmp_path_factory.mktemp("hour") / "dogs", n_subjects=1, minutes=120, rate_hz=RATE_HZ)


def windows(dataset: Dataset) -> np.ndarray:
    recording = dataset.load(dataset.table[0].recording)
    filled = fill_missing(recording.samples, RATE_HZ, 0.1, recording.time_s)
    return sliding(filled.samples, window_starts(recording.time_s, RATE_HZ, WINDOW, HOP), WINDOW)


def columns(dataset: Dataset) -> np.ndarray:
    path = dataset.recording_path(dataset.table[0].recording)
    table = pq.read_table(path, columns=[*dataset.meta.columns, "time_s", "label"])
    return np.stack([table[column].to_numpy() for column in dataset.meta.columns])


@pytest.mark.parametrize("peer", ["conv2d", "pyarrow"])
def test_reading(benchmark: BenchmarkFixture, hour: Dataset, peer: str) -> None:
    benchmark.group = "an hour of 18 channels at 100 Hz"
    read = benchmark((lambda: windows(hour)) if peer == "conv2d" else (lambda: columns(hour)))
    assert read.shape == ((7199, 9, 2, WINDOW) if peer == "conv2d" else (18, 360_000))
