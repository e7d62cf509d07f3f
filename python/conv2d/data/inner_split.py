"""The split inside the training side: for early stopping, calibration and the weights of decoders.

By subject wherever that is possible. With one or two training subjects a subject cannot be spared, so contiguous blocks
of time take the place, and a warning says that the figures drawn from them are too good.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conv2d.data.meta import in_words
from conv2d.data.splits import assign_groups
from conv2d.errors import DataError

MIN_SUBJECTS = 3
_TRIALS = 200  # assignments of subjects to folds looked at; each costs microseconds
_BLOCKS_PER_FOLD = (1, 2, 4, 8)


@dataclass(frozen=True, eq=False)
class InnerSplit:
    """Inner folds over the training windows, each window held out in exactly one of them.

    ``folds`` are pairs (train, held out) of ascending window indices, int64. ``by`` says what was held together.
    ``warnings`` are sentences to be printed and stored; a split by subject with every class on both sides has none.
    """

    folds: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]
    by: Literal["subject", "time"]
    warnings: tuple[str, ...]


def inner_split(
    subjects: Sequence[str] | NDArray[Any],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    k: int,
    *,
    recordings: Sequence[str] | NDArray[Any],
    starts: NDArray[np.int64],
    window: int,
) -> InnerSplit:
    """Split the training windows into ``k`` inner folds, or as many as there are subjects if those are fewer.

    Parameters
    ----------
    subjects, recordings, starts, labels
        Subject, recording, first sample and label (index into ``classes``, -1 for none) of each window, (N,).
    k
        Number of folds, 2 or more.
    window
        Samples per window.

    By subject: of the balanced assignment of `grouped_k_fold` and 200 shuffled ones that is taken which leaves the
    fewest classes out of a training side, then out of a held-out side, then is the most even. By time (fewer than
    three subjects): each recording is cut into contiguous blocks that are dealt to the folds in turn, and windows that
    share a sample with a held-out one are left out of that fold's training side. Deterministic either way.

    Raises
    ------
    DataError
        E-DATA-013 where the windows are too few.
    """
    subjects, recordings = np.asarray(subjects, dtype=np.str_), np.asarray(recordings, dtype=np.str_)
    if k < 2:
        raise DataError(f"E-DATA-013: asked for {k} inner folds, expected 2 or more")
    names, subject = np.unique(subjects, return_inverse=True)
    if len(names) >= MIN_SUBJECTS:
        folds = _masks_to_folds(_by_subject(subject, labels, len(classes), min(k, len(names))))
        return InnerSplit(folds, "subject", _one_sided(folds, labels, classes))
    folds = _by_time(recordings, starts, labels, len(classes), k, window)
    if any(len(side) == 0 for fold in folds for side in fold):
        raise DataError(
            f"E-DATA-013: {len(starts)} training windows of {in_words(names.tolist())} are too few for {k} inner folds "
            "by time; record longer or lower the number of inner folds"
        )
    warning = (
        f"there are only {len(names)} training subjects ({in_words(names.tolist())}), so the inner split is by blocks "
        "of time: calibration and decoder weights see the same subjects on both sides and come out too confident"
    )
    return InnerSplit(folds, "time", (warning, *_one_sided(folds, labels, classes)))


def _masks_to_folds(fold: NDArray[np.int64]) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    return tuple((np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(int(fold.max()) + 1))


def _by_subject(subject: NDArray[np.int64], labels: NDArray[np.int64], n_classes: int, k: int) -> NDArray[np.int64]:
    n_subjects = int(subject.max()) + 1
    windows = np.bincount(subject)
    table = np.zeros((n_subjects, n_classes), np.int64)
    np.add.at(table, (subject[labels >= 0], labels[labels >= 0]), 1)
    rng = np.random.default_rng(0)
    best, best_cost = assign_groups(windows, k), None
    for trial in range(_TRIALS + 1):
        fold = assign_groups(windows, k) if trial == 0 else _shuffled_groups(windows, k, rng)
        held_out = np.stack([table[fold == i].sum(axis=0) for i in range(k)])
        present = table.sum(axis=0) > 0
        load = np.bincount(fold, weights=windows, minlength=k)
        cost = (
            int(((held_out == table.sum(axis=0)) & present).sum()),
            int(((held_out == 0) & present).sum()),
            float(load.max() - load.min()),
        )
        if best_cost is None or cost < best_cost:
            best, best_cost = fold, cost
    return best[subject]


def _shuffled_groups(weights: NDArray[np.int64], k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    order = rng.permutation(len(weights))
    fold = np.empty(len(weights), np.int64)
    load = np.zeros(k)
    fold[order[:k]] = np.arange(k)  # no fold stays empty
    load += weights[order[:k]]
    for group in order[k:]:
        lightest = int(np.argmin(load))
        load[lightest] += weights[group]
        fold[group] = lightest
    return fold


def _by_time(
    recordings: NDArray[Any],
    starts: NDArray[np.int64],
    labels: NDArray[np.int64],
    n_classes: int,
    k: int,
    window: int,
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    best: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...] = ()
    best_cost: tuple[int, ...] | None = None
    for blocks_per_fold in _BLOCKS_PER_FOLD:
        fold = np.empty(len(starts), np.int64)
        for name in np.unique(recordings):
            mine = np.flatnonzero(recordings == name)
            mine = mine[np.argsort(starts[mine], kind="stable")]
            fold[mine] = np.arange(len(mine)) * (k * blocks_per_fold) // len(mine) % k
        folds = tuple(_without_overlap(np.flatnonzero(fold == i), recordings, starts, window) for i in range(k))
        one_sided = sum(len(_missing(side, labels, n_classes)) for sides in folds for side in sides)
        kept = sum(len(train) for train, _ in folds)
        # Finer blocks put more classes on both sides, but each border costs windows: never more than half of them.
        cost = (int(2 * kept < (k - 1) * len(starts)), one_sided, blocks_per_fold)
        if best_cost is None or cost < best_cost:
            best, best_cost = folds, cost
    return best


def _without_overlap(
    held_out: NDArray[np.int64], recordings: NDArray[Any], starts: NDArray[np.int64], window: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    free = np.ones(len(starts), bool)
    free[held_out] = False
    for name in np.unique(recordings[held_out]):
        taken = np.sort(starts[held_out[recordings[held_out] == name]])
        mine = np.flatnonzero(recordings == name)
        after = np.searchsorted(taken, starts[mine])  # the first held-out window that starts no earlier
        next_start = taken[np.minimum(after, len(taken) - 1)]
        last_start = taken[np.maximum(after - 1, 0)]
        free[mine] &= (np.abs(next_start - starts[mine]) >= window) & (np.abs(starts[mine] - last_start) >= window)
    return np.flatnonzero(free), held_out


def _missing(side: NDArray[np.int64], labels: NDArray[np.int64], n_classes: int) -> list[int]:
    there = set(labels[side].tolist())
    return [c for c in range(n_classes) if c not in there and (labels == c).any()]


def _one_sided(
    folds: tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...], labels: NDArray[np.int64], classes: Sequence[str]
) -> tuple[str, ...]:
    lacking = sorted({c for train, _ in folds for c in _missing(train, labels, len(classes))})
    if not lacking:
        return ()
    names = in_words([classes[c] for c in lacking])
    return (f"class {names} is absent from the training side of an inner fold, so its calibration is a guess",)
