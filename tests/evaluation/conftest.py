"""What the tests of the protocols share: an experiment that trains in a second, and simulated data sets changed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from conv2d.config import Config, apply_overrides
from conv2d.data import Dataset, Recording, write_dataset
from conv2d.evaluation import outputs

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def tiny_config(small_config: Config) -> Config:
    """Trains in a second and learns next to nothing."""
    return apply_overrides(
        small_config,
        [
            "training.epochs=2",
            "training.windows_per_epoch=128",
            "data.decode_hop=16",
            "evaluation.baselines=[majority]",
        ],
    )


@pytest.fixture(scope="session")
def rewrite(simulated_dataset: Dataset) -> Callable[..., Dataset]:
    """``rewrite(folder, change, **meta)``: the simulated set with each recording changed, or left out where None."""

    def rewrite(folder: Path, change: Callable[[Recording], Recording | None], **meta: Any) -> Dataset:
        loaded = (simulated_dataset.load(row.recording) for row in simulated_dataset.table)
        changed = [new for old in loaded if (new := change(old)) is not None]
        shutil.rmtree(folder, ignore_errors=True)
        write_dataset(folder, replace(simulated_dataset.meta, **meta), changed)
        return Dataset.open(folder)

    return rewrite


@pytest.fixture
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report of tables only: drawing takes longer than training, and pictures have tests of their own."""
    monkeypatch.setattr(outputs, "_figures", lambda *_: {})
    monkeypatch.setattr(outputs, "_worst_timelines", lambda *_: [])


@pytest.fixture(scope="session")
def contract() -> Path:
    """The folder with the programs that hold results against the contract; a test skips where it is absent."""
    path = REPOSITORY.parent / "shared" / "contract"
    if not (path / "check.py").is_file():
        pytest.skip(f"the programs of the contract are not at {path}")
    return path
