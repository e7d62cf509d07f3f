"""Which subjects of a data set may be trained on, and which are marked for something else."""

from conv2d.config import Config
from conv2d.data import Dataset
from conv2d.data.meta import in_words
from conv2d.data.splits import subjects_by_split
from conv2d.errors import DataError


def marked(config: Config, dataset: Dataset, split: str) -> tuple[str, ...]:
    """Subjects marked for a split by the ``split`` column or, for ``test``, by the config."""
    found = set(subjects_by_split(dataset.table).get(split, ()))
    if split == "test":
        found |= set(config.data.test_subjects) & set(dataset.subjects)
    return tuple(sorted(found))


def training_subjects(config: Config, dataset: Dataset) -> tuple[str, ...]:
    """All subjects but those marked ``test``; DataError where none is left, or one to be left out is not there."""
    _check_test_subjects(config, dataset)
    left_out = set(marked(config, dataset, "test"))
    subjects = tuple(s for s in dataset.subjects if s not in left_out)
    if not subjects:
        raise DataError(
            f"E-EXP-006: all {len(dataset.subjects)} subjects of {dataset.meta.name} are marked test, "
            "expected some to train on; change the split column or data.test_subjects"
        )
    return subjects


def _check_test_subjects(config: Config, dataset: Dataset) -> None:
    """A name that is not there would leave the subject that was meant among those to train on."""
    unknown = [name for name in config.data.test_subjects if name not in dataset.subjects]
    none_there = len(unknown) == len(config.data.test_subjects)
    if unknown and (none_there or dataset.meta.name == config.data.name):
        raise DataError(
            f"E-EXP-008: data.test_subjects names {in_words(unknown)}, data set {dataset.meta.name} has "
            f"{in_words(list(dataset.subjects))}; correct the list, or say data.test_subjects=[] to leave no one out"
        )
