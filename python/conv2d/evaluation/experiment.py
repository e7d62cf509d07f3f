"""An experiment on its data: which recordings, which subjects may be trained on, which are marked for testing."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from conv2d.config import Config, apply_overrides, default_config, load_config
from conv2d.data import Dataset
from conv2d.data.meta import in_words
from conv2d.data.simulate import simulate_dataset
from conv2d.data.splits import subjects_by_split
from conv2d.errors import ConfigError, DataError, UsageError
from conv2d.tasks.behavior.subjects import marked, training_subjects


@dataclass(frozen=True, eq=False)
class Experiment:
    """A config and the data set it is carried out on; ``notes`` say what was chosen on the way."""

    config: Config
    dataset: Dataset
    notes: tuple[str, ...] = ()

    def marked(self, split: str) -> tuple[str, ...]:
        """Subjects marked for a split by the ``split`` column or, for ``test``, by the config."""
        return marked(self.config, self.dataset, split)

    def training_subjects(self) -> tuple[str, ...]:
        """All subjects but those marked ``test``; DataError where none is left, or one to be left out is not there."""
        return training_subjects(self.config, self.dataset)

    def split_subjects(self, split: str) -> tuple[str, ...]:
        """Subjects of a split by name, or all; DataError where nothing is marked so."""
        if split == "all":
            return self.dataset.subjects
        subjects = self.marked(split)
        if not subjects:
            known = sorted({*subjects_by_split(self.dataset.table), *(["test"] if self.marked("test") else [])})
            raise DataError(
                f"E-EXP-007: no subject of {self.dataset.meta.name} is marked {split!r} "
                f"({'marked are ' + in_words(known) if known else 'none is marked at all'}); use --split all on other "
                "subjects than the run has seen, or mark some in recordings.csv or data.test_subjects"
            )
        return subjects


def read_experiment_config(
    path: str | Path | None, data: Path | None, overrides: Sequence[str]
) -> tuple[Config, tuple[str, ...]]:
    """Load an experiment file, or choose defaults for a data set and say which."""
    if path is not None:
        return load_config(path, list(overrides)), ()
    if data is None:
        raise UsageError("neither --config nor --data was given; give an experiment file, a data set, or both")
    config, reasons = default_config(Dataset.open(data).meta, list(overrides))
    return config, tuple(reasons)


@contextmanager
def open_experiment(config: Config, data: Path | None, notes: Sequence[str] = ()) -> Iterator[Experiment]:
    """Open the data that was named, else the config's own; simulated data live in a folder that goes away again."""
    if data is None and config.data.simulate is not None and config.data.path is None:
        with tempfile.TemporaryDirectory(prefix="conv2d-simulated-") as folder:
            yield Experiment(config, simulate(config, Path(folder) / "data"), tuple(notes))
        return
    place = data if data is not None else config.data.path
    if place is None:
        raise ConfigError(f"experiment {config.name} names no data (data.path), and --data was not given; give one")
    yield Experiment(config, Dataset.open(place), tuple(notes))


def simulate(config: Config, folder: Path) -> Dataset:
    """Write the data that the config simulates into a new folder."""
    settings = config.data.simulate
    assert settings is not None  # the caller has looked
    return simulate_dataset(
        folder,
        n_subjects=settings.subjects,
        minutes=settings.minutes,
        seed=settings.seed,
        rate_hz=config.data.sampling_rate,
    )


def is_simulated(dataset: Dataset) -> bool:
    """Whether recordings are simulated by this package, by what the data set says of itself."""
    return dataset.meta.simulated


def with_seed(config: Config, seed: int | None) -> Config:
    """The config under another seed."""
    return config if seed is None else apply_overrides(config, [f"seed={seed}"])
