"""Splits by subject. A random split of windows does not exist here: neighbours share samples, and a subject's windows
resemble each other, so that such a split measures memory.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.meta import RecordingRow, in_words
from conv2d.errors import DataError


class Fold(NamedTuple):
    """Subjects to train on and subjects to test on, each sorted; they share none."""

    train: tuple[str, ...]
    test: tuple[str, ...]


def assign_groups(weights: NDArray[Any], k: int) -> NDArray[np.int64]:
    """Fold of each group: the heaviest group first, each to the fold that is lightest so far.

    Ties take the group that comes later and the fold of smaller number, as scikit-learn's GroupKFold does (1.9).
    """
    fold = np.empty(len(weights), np.int64)
    load = np.zeros(k)
    for group in np.argsort(weights, kind="stable")[::-1]:
        lightest = int(np.argmin(load))
        load[lightest] += weights[group]
        fold[group] = lightest
    return fold


def grouped_k_fold(groups: Sequence[str] | NDArray[Any], k: int) -> list[Fold]:
    """K folds of subjects with about equal numbers of windows.

    Parameters
    ----------
    groups
        The subject of each labelled window, (N,).
    k
        Number of folds, 2 or more.

    Deterministic: no seed, and the order of the windows does not matter. The same folds as scikit-learn's
    ``GroupKFold(k)`` on these windows.

    Raises
    ------
    DataError
        E-DATA-013 where there are fewer subjects than folds.

    Example
    -------
    >>> [fold.test for fold in grouped_k_fold(["a"] * 5 + ["b"] * 3 + ["c"] * 2, k=2)]
    [('a',), ('b', 'c')]
    """
    if k < 2:
        raise DataError(f"E-DATA-013: asked for {k} folds, expected 2 or more")
    subjects, counts = np.unique(np.asarray(groups, dtype=np.str_), return_counts=True)
    if len(subjects) < k:
        raise DataError(
            f"E-DATA-013: {k} folds need {k} subjects with labelled windows, there are {len(subjects)} "
            f"({in_words(subjects.tolist())}); ask for fewer folds or add subjects"
        )
    fold = assign_groups(counts, k)
    names = subjects.tolist()
    return [_fold(names, [s for s, f in zip(names, fold, strict=True) if f == i]) for i in range(k)]


def leave_one_subject_out(subjects: Iterable[str]) -> list[Fold]:
    """A fold for each subject, which is its test side; DataError E-DATA-013 with fewer than two.

    >>> leave_one_subject_out(["b", "a", "b"])
    [Fold(train=('b',), test=('a',)), Fold(train=('a',), test=('b',))]
    """
    names = sorted(set(subjects))
    if len(names) < 2:
        raise DataError(
            f"E-DATA-013: leaving one subject out needs two or more, there is {in_words(names)}; record more subjects"
        )
    return [_fold(names, [name]) for name in names]


def subjects_by_split(table: Iterable[RecordingRow]) -> dict[str, tuple[str, ...]]:
    """The subjects of each value of the ``split`` column, sorted; empty where the data set marks none.

    Recordings with an empty field stand in no split. DataError E-DATA-013 where a subject stands in two.

    >>> subjects_by_split([RecordingRow("r1", "a", 9, 50.0, {"split": "train"}),
    ...                    RecordingRow("r2", "b", 9, 50.0, {"split": "test"})])
    {'train': ('a',), 'test': ('b',)}
    """
    of: dict[str, str] = {}
    for row in table:
        split = row.meta.get("split", "").strip()
        if split and of.setdefault(row.subject, split) != split:
            raise DataError(
                f"E-DATA-013: subject {row.subject} stands in split {of[row.subject]} and in {split} (recording "
                f"{row.recording}); splits are by subject, so correct recordings.csv"
            )
    return {s: tuple(sorted(k for k, v in of.items() if v == s)) for s in dict.fromkeys(of.values())}


def _fold(names: Sequence[str], test: Sequence[str]) -> Fold:
    held_out = set(test)
    return Fold(tuple(n for n in names if n not in held_out), tuple(sorted(held_out)))
