"""Bayes' rule on counts, a subject left out at a time, for many labellings of the same windows at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.leaks.inputs import Factor

Counts = NDArray[np.float32]
"""Windows by labelling, subject, value and class: (D, S, V, K), or without the axes that were summed over."""

Labellings = NDArray[np.integer[Any]]
"""Labels of the same windows, (D, N), the first row as they are."""

PRIOR = 1.0
"""Windows of each class that are taken to be spread over the values like all windows: unseen values say nothing."""

INNER_FOLDS = 8
_CELLS_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Reached:
    """What an input reaches: ``hits`` and ``support`` (D, S, K) by labelling, subject left out and class.

    ``chosen`` (D, S) is the factor that was read when this subject was left out.
    """

    hits: NDArray[np.float64]
    support: NDArray[np.float64]
    chosen: NDArray[np.int64]

    @property
    def pooled(self) -> NDArray[np.float64]:
        """Balanced accuracy over all subjects, (D,): the mean recall over the classes that occur."""
        return mean_recall(self.hits.sum(axis=1), self.support.sum(axis=1))

    @property
    def by_subject(self) -> NDArray[np.float64]:
        """Balanced accuracy of each subject over the classes that it shows, (D, S)."""
        return mean_recall(self.hits, self.support)

    @property
    def weighted_by_subject(self) -> NDArray[np.float64]:
        """The part of each subject in ``pooled``, (D, S): of its windows right, each class weighing one in all.

        Weighted by the subjects' windows in the same way, their mean is ``pooled``.
        """
        of_class = self.support.sum(axis=1, keepdims=True)
        weight = np.divide(1.0, of_class, out=np.zeros(of_class.shape), where=of_class > 0)
        part: NDArray[np.float64] = (self.hits * weight).sum(axis=2) / (self.support * weight).sum(axis=2)
        return part


def mean_recall(hits: NDArray[np.float64], support: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the last axis, the classes, of hits / support where there is support; NaN where there is none.

    >>> mean_recall(np.array([1.0, 0.0, 0.0]), np.array([2.0, 1.0, 0.0]))
    array(0.25)
    """
    there = support > 0
    recall = np.divide(hits, support, out=np.zeros(hits.shape), where=there)
    n = there.sum(axis=-1)
    total = recall.sum(axis=-1)
    mean: NDArray[np.float64] = np.divide(total, n, out=np.full(np.shape(n), np.nan), where=n > 0)
    return mean


def reach(
    factors: Sequence[Factor], labels: Labellings, group: NDArray[np.int64], n_groups: int, n_classes: int
) -> Reached:
    """Predict the class of each window from one factor, the group (subject) of the window left out.

    Parameters
    ----------
    factors
        What may be read; of several, that one which does best on the training subjects, a fold of them left out at a
        time, is chosen anew for every subject and labelling. So chance holds the gain of choosing, too.
    labels
        (D, N): labellings of the windows, all judged alike.
    group
        int64 (N,), what is left out at a time.

    The rule is argmax over classes of p(value given class), from counts with `PRIOR`: it has the best balanced accuracy
    that the factor allows. A class that training lacks is never predicted; a value that it lacks gives the commonest
    class. Cost O(D N) and O(D S V K) a factor; with several O(D S V K min(S, 8)).
    """
    shape = (len(labels), n_groups, n_classes)
    support = tally(labels, np.zeros(len(group), np.int64), 1, group, n_groups, n_classes)[:, :, 0]
    best = np.full(shape[:2], -np.inf)
    hits, chosen = np.zeros(shape), np.zeros(shape[:2], np.int64)
    for place, factor in enumerate(factors):
        counts = tally(labels, factor.code, factor.n_values, group, n_groups, n_classes)
        total = counts.sum(axis=1)
        score = _inner_scores(counts, total) if len(factors) > 1 else np.zeros(shape[:2])
        better = score > best
        best = np.where(better, score, best)
        chosen[better] = place
        for s in range(n_groups):
            found = _hits(counts[:, s], predicted_class(total - counts[:, s]))
            hits[:, s] = np.where(better[:, s, None], found, hits[:, s])
    return Reached(hits, support.astype(np.float64), chosen)


def reach_together(
    inputs: Sequence[tuple[Sequence[Factor], NDArray[np.int64]]],
    labels: Labellings,
    group: NDArray[np.int64],
    n_groups: int,
    n_classes: int,
) -> Reached:
    """As `reach`, from several inputs at once, taken to be independent given the class (naive Bayes).

    Each input stands with its factors and the one ``chosen`` (D, S) of them that it is read from, as `reach` gives it:
    all factors of an input would count the same knowledge several times. Cost O(D N K) an input.
    """
    shape = (len(labels), n_groups, n_classes)
    hits = np.zeros(shape)
    support = tally(labels, np.zeros(len(group), np.int64), 1, group, n_groups, n_classes)[:, :, 0]
    step = max(1, _CELLS_AT_ONCE // (len(group) * n_classes))
    for at in range(0, len(labels), step):
        some, part = labels[at : at + step], support[at : at + step]
        seen = part.sum(axis=1, keepdims=True) - part
        evidence = np.zeros((*some.shape, n_classes), np.float32)
        for factors, chosen in inputs:
            for place, factor in enumerate(factors):
                reads = chosen[at : at + step] == place
                if reads.any():
                    own_rows = factor.code if factor.code.ndim == 1 else factor.code[at : at + step]
                    _add_evidence(evidence, replace(factor, code=own_rows), some, group, reads, n_groups)
        for s in range(n_groups):
            own = np.flatnonzero(group == s)
            scores = np.where((seen[:, s] > 0)[:, None], evidence[:, own], -np.inf)
            right = scores.argmax(axis=2) == some[:, own]
            place_of = np.arange(len(some))[:, None] * n_classes + some[:, own]
            flat = np.bincount(place_of[right], minlength=len(some) * n_classes)
            hits[at : at + step, s] = flat.reshape(len(some), n_classes)
    return Reached(hits, support.astype(np.float64), np.zeros(shape[:2], np.int64))


def _add_evidence(
    evidence: Counts,
    factor: Factor,
    labels: Labellings,
    group: NDArray[np.int64],
    reads: NDArray[np.bool_],
    n_groups: int,
) -> None:
    """Add log p(value given class) to evidence (D, N, K) where ``reads`` (D, S): the subject is left out by it."""
    counts = tally(labels, factor.code, factor.n_values, group, n_groups, evidence.shape[2])
    total = counts.sum(axis=1)
    for s in np.flatnonzero(reads.any(axis=0)):
        rows, own = np.flatnonzero(reads[:, s]), np.flatnonzero(group == s)
        # A value that training lacks is as likely under every class: its constant changes nothing.
        table = np.log(_likelihood(total[rows] - counts[rows, s]) + np.float32(1e-12))
        alike = factor.code.ndim == 1
        read = table[:, factor.code[own]] if alike else table[np.arange(len(rows)), factor.code[rows, s]][:, None]
        evidence[np.ix_(rows, own)] += read


def tally(
    labels: Labellings,
    code: NDArray[np.int64],
    n_values: int,
    group: NDArray[np.int64],
    n_groups: int,
    n_classes: int,
) -> Counts:
    """Count windows by labelling, group, value and class: float32 (D, S, V, K). O(D N).

    ``code`` is (N,), or (D, S) with one value a group, another in each labelling.

    >>> tally(np.array([[0, 1, 1]]), np.array([0, 0, 1]), 2, np.zeros(3, int), 1, 2).tolist()
    [[[[1.0, 1.0], [0.0, 1.0]]]]
    """
    size = n_groups * n_values * n_classes
    out = np.empty((len(labels), size), np.float32)
    step = max(1, _CELLS_AT_ONCE // max(len(group), size))
    for at in range(0, len(labels), step):
        some = labels[at : at + step]
        own = code if code.ndim == 1 else code[at : at + step][:, group]
        flat = (np.arange(len(some)) * size)[:, None] + (group * n_values + own) * n_classes + some
        out[at : at + step] = np.bincount(flat.reshape(-1), minlength=len(some) * size).reshape(len(some), size)
    return out.reshape(len(labels), n_groups, n_values, n_classes)


def predicted_class(seen: Counts) -> NDArray[np.int64]:
    """The class for each value, (D, V), from training counts (D, V, K); see `reach`."""
    score = _likelihood(seen)
    of_class = seen.sum(axis=1, keepdims=True)
    # Far below any likelihood that a window has a part in: it decides between classes that know nothing of a value.
    score += np.float32(1e-9) * of_class / of_class.sum(axis=2, keepdims=True)
    score[np.broadcast_to(of_class == 0, score.shape)] = -1
    best: NDArray[np.int64] = score.argmax(axis=2)
    return best


def _likelihood(seen: Counts) -> Counts:
    """P(value given class), (D, V, K)."""
    of_class = seen.sum(axis=1, keepdims=True)
    of_value = seen.sum(axis=2, keepdims=True) / of_class.sum(axis=2, keepdims=True)
    likelihood: Counts = (seen + np.float32(PRIOR) * of_value) / (of_class + np.float32(PRIOR))
    return likelihood


def _hits(tested: Counts, predicted: NDArray[np.int64]) -> NDArray[np.float64]:
    """Windows of each class that are predicted right, (D, K), from test counts (D, V, K) and predictions (D, V)."""
    n_draws, _, n_classes = tested.shape
    right = np.take_along_axis(tested, predicted[..., None], axis=2)[..., 0]
    flat = np.arange(n_draws)[:, None] * n_classes + predicted
    counted = np.bincount(flat.reshape(-1), right.reshape(-1).astype(np.float64), n_draws * n_classes)
    return counted.reshape(n_draws, n_classes).astype(np.float64)


def _inner_scores(counts: Counts, total: Counts) -> NDArray[np.float64]:
    """How well the factor does on the training subjects of each subject left out, (D, S): pooled balanced accuracy.

    The training subjects are left out in at most `INNER_FOLDS` folds. One training subject is judged on itself.
    """
    n_draws, n_groups, _, n_classes = counts.shape
    fold = np.arange(n_groups) % INNER_FOLDS
    by_fold = np.stack([counts[:, fold == f].sum(axis=1) for f in range(fold.max() + 1)])
    scores = np.empty((n_draws, n_groups))
    for s in range(n_groups):
        training = total - counts[:, s]
        hits = np.zeros((n_draws, n_classes))
        for f, whole in enumerate(by_fold):
            tested = whole - counts[:, s] if fold[s] == f else whole
            if fold[s] == f and (fold == f).sum() == 1:
                continue
            hits += _hits(tested, predicted_class(training if n_groups == 2 else training - tested))
        scores[:, s] = mean_recall(hits, training.sum(axis=1).astype(np.float64))
    return scores
