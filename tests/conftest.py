"""Fixtures shared by all tests: the real recordings beside the repository, and a small simulated data set."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from conv2d.config import Config, parse_config
from conv2d.data import Dataset
from conv2d.data.simulate import simulate_dataset
from conv2d.logging.progress import NullProgress

# A time limit per example would measure the load of the machine.
settings.register_profile("conv2d", deadline=None)
settings.load_profile("conv2d")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with the real sets (hapt, sp_sw_har, cow_imu2x9); a test that asks for it skips where it is absent."""
    given = os.environ.get("CONV2D_SHARED_DATA")
    path = Path(given) if given else REPOSITORY.parent / "shared" / "data"
    if not (path / "hapt" / "dataset.yaml").is_file():
        pytest.skip(f"the real recordings are not at {path}; set CONV2D_SHARED_DATA to their folder")
    return path


@pytest.fixture(scope="session")
def simulated_dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """A tiny simulated data set: 6 dogs (the last two marked test), a minute each, 50 Hz. Not to be written to."""
    return simulate_dataset(
        tmp_path_factory.mktemp("simulated") / "dogs", n_subjects=6, minutes=1.0, rate_hz=50.0, seed=3
    )


@pytest.fixture(scope="session")
def small_config(simulated_dataset: Dataset) -> Config:
    """An experiment on the simulated data that trains in seconds and still learns."""
    return parse_config(
        {
            "name": "small",
            "data": {"name": simulated_dataset.meta.name, "sampling_rate": 50, "window_size": 64, "decode_hop": 8},
            "model": {
                "architecture": {
                    "width": 12,
                    "quantization": {"levels": [8, 5, 5, 5], "positions": 8, "embedding_dim": 16},
                }
            },
            "training": {"epochs": 10, "windows_per_epoch": 768, "inner_folds": 2, "threads": 1},
            "evaluation": {"leak_permutations": 20, "folds": 2},
        }
    )


@pytest.fixture(scope="session")
def trained_run(simulated_dataset: Dataset, small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory trained on the dogs that are not marked test. Not to be written to."""
    from conv2d.evaluation.experiment import Experiment
    from conv2d.evaluation.training import train_run

    run = tmp_path_factory.mktemp("runs") / "small"
    train_run(Experiment(small_config, simulated_dataset), run, NullProgress())
    return run
