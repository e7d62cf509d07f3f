"""The leak audit: what must hold before a figure on held-out subjects may be believed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.errors import DataError, GateFailed, UsageError
from conv2d.evaluation.duplicates import COPY_RUN, windows_with_copies
from conv2d.features.statistics import window_statistics

FALSE_ALARM = 1e-4
"""Probability with which the permutation test fails clean data; a 20-fold cross-validation then fails once in 500."""

COPY_TOLERANCE = 0.001
"""Share of test windows that may hold a run of samples that also stands on the training side."""

_ALPHA = 10.0
_LABELLINGS_AT_ONCE = 10

Refit = Callable[[NDArray[np.int64]], NDArray[np.integer[Any]]]


@dataclass(frozen=True)
class LeakAudit:
    """What the audit found: ``findings`` fail it, ``notes`` do not, ``figures`` are what it measured."""

    findings: list[str]
    notes: list[str] = field(default_factory=list)
    figures: dict[str, float | int] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {"passed": self.passed, "findings": self.findings, "notes": self.notes, "figures": self.figures}

    def raise_if_failed(self) -> None:
        """Raise GateFailed with every finding in one sentence."""
        if self.findings:
            raise GateFailed(f"the leak audit failed: {'; '.join(self.findings)}")


def audit_leaks(
    train_subjects: Collection[str],
    test_subjects: Collection[str],
    fitted: Mapping[str, Collection[str]],
    X_train: ArrayLike,
    y_train: ArrayLike,
    groups_train: ArrayLike,
    X_test: ArrayLike,
    y_test: ArrayLike,
    groups_test: ArrayLike,
    permutations: int = 100,
    seed: int = 0,
    *,
    refit: Refit | None = None,
) -> LeakAudit:
    """Look for information that crosses from the test subjects to the training side.

    Parameters
    ----------
    train_subjects, test_subjects:
        The two sides of the split, as declared.
    fitted:
        Name of each fitted thing (normaliser, network, HSMM ...) and the subjects that it saw.
    X_train, X_test:
        Windows (N, C, S, T) and (M, C, S, T), raw or scaled alike on both sides; NaN where a sample is missing.
    y_train, y_test:
        Class indices, -1 where not labelled.
    groups_train, groups_test:
        The subject of each window.
    permutations:
        Labellings of the permutation test, at least 20.
    refit:
        The pipeline to test instead of ridge on simple statistics: given labels for the labelled training windows, it
        trains and returns the predicted class of each labelled test window. A pipeline that can reach the labels of the
        test side by any way of its own is found out here.

    The audit fails when

    1. a subject stands on both sides, as declared or by its windows;
    2. anything fitted saw a test subject;
    3. more than ``COPY_TOLERANCE`` of the test windows hold ``COPY_RUN`` consecutive samples that stand on the training
       side too, bit for bit and in all channels (the sides share no subject, so one recording went under two names;
       a few may be a quantised signal by chance, and are noted);
    4. with permuted training labels the cheap model still beats chance on the test side.

    The permutation test: for each labelling, the labels of the training windows are permuted among all of them and then
    the K class names are permuted too; the model is trained, and its balanced accuracy taken over the test windows of
    these K classes. By the symmetry of the names its expectation is exactly 1/K for any model that sees nothing but
    these labels, whatever the class shares and whatever the windows look like; without the second step it is not (a
    common class with ordinary windows is then found, and a rare one with extreme windows too, from shuffled labels).
    The labellings are independent given the data, so a one-sided t test of their mean against 1/K is honest: it fails
    clean data with probability ``FALSE_ALARM``.

    Raises DataError where a side has no labelled window or lengths differ, UsageError for too few permutations. Cost:
    one factorisation of F x F with F statistics, and hashes of all samples.

    >>> X = np.random.default_rng(0).normal(size=(80, 3, 1, 32))
    >>> y, subject = np.arange(80) % 2, np.repeat(["a", "b", "c", "d"], 20)
    >>> train, test = np.arange(60), np.arange(60, 80)
    >>> sides = X[train], y[train], subject[train], X[test], y[test], subject[test]
    >>> audit_leaks("abc", "d", {"normaliser": "abcd"}, *sides).findings
    ['E-LEAK-003: normaliser was fitted on the test subject d, expected training subjects only; fit it again without']
    """
    if permutations < 20:
        raise UsageError(f"E-LEAK-101: got permutations={permutations}, the test of their mean needs 20; ask for 100")
    train = _Side("training", X_train, y_train, groups_train)
    test = _Side("test", X_test, y_test, groups_test)
    findings: list[str] = []
    notes: list[str] = []
    figures: dict[str, float | int] = {"permutations": permutations}

    both = sorted(set(train_subjects) & set(test_subjects))
    if both:
        findings.append(
            f"E-LEAK-001: {_name(both)} on both sides of the split, expected disjoint sides; split by subject again"
        )
    strayed = sorted((train.subjects & set(test_subjects)) | (test.subjects & set(train_subjects)) - set(both))
    if strayed and strayed != both:
        findings.append(f"E-LEAK-002: windows of {_name(strayed)} on the other side than declared; cut both sides anew")
    for name, saw in sorted(fitted.items()):
        seen = sorted(set(saw) & set(test_subjects))
        if seen:
            findings.append(
                f"E-LEAK-003: {name} was fitted on the {_name(seen, 'test subject')}, expected training subjects only; "
                "fit it again without"
            )
    if not fitted:
        notes.append("nothing fitted was declared, so only subjects, copies and permuted labels were looked at")

    _audit_copies(train, test, findings, notes, figures)
    _audit_permutations(train, test, permutations, seed, refit, findings, notes, figures)
    return LeakAudit(findings, notes, figures)


class _Side:
    """One side of the split, checked."""

    def __init__(self, name: str, X: ArrayLike, y: ArrayLike, groups: ArrayLike) -> None:
        self.X, self.y, self.groups = np.asarray(X, np.float32), np.asarray(y, np.int64), np.asarray(groups)
        if not len(self.X) == len(self.y) == len(self.groups):
            raise DataError(
                f"E-LEAK-102: the {name} side has {len(self.X)} windows, {len(self.y)} labels and {len(self.groups)} "
                "subjects, expected one of each a window; pass arrays of one length"
            )
        if not (self.y >= 0).any():
            raise DataError(
                f"E-LEAK-103: the {name} side has no labelled window, expected some to audit; check classes and split"
            )
        self.subjects = {str(subject) for subject in np.unique(self.groups)}


def _name(subjects: list[str], noun: str = "subject") -> str:
    shown = ", ".join(subjects[:5]) + (f" and {len(subjects) - 5} more" if len(subjects) > 5 else "")
    return f"{noun}{'s' if len(subjects) > 1 else ''} {shown}"


def _audit_copies(
    train: _Side, test: _Side, findings: list[str], notes: list[str], figures: dict[str, float | int]
) -> None:
    window = train.X.shape[3]
    copies = windows_with_copies(train.X, test.X, min(COPY_RUN, window))
    count = int(copies.sum())
    figures["windows_with_copies"] = count
    figures["identical_windows"] = int(windows_with_copies(train.X, test.X[copies], window).sum()) if count else 0
    if not count:
        return
    subjects = [str(subject) for subject in np.unique(test.groups[copies])]
    text = (
        f"{count} of {len(copies)} test windows ({_name(subjects)}) hold {min(COPY_RUN, window)} consecutive samples "
        "that also stand on the training side"
    )
    if count > COPY_TOLERANCE * len(copies):
        findings.append(
            f"E-LEAK-004: {text}, expected at most {COPY_TOLERANCE:.1%}; find the recording that stands there twice"
        )
    else:
        notes.append(f"{text}, within the tolerance of {COPY_TOLERANCE:.1%}")


def _audit_permutations(
    train: _Side,
    test: _Side,
    permutations: int,
    seed: int,
    refit: Refit | None,
    findings: list[str],
    notes: list[str],
    figures: dict[str, float | int],
) -> None:
    from scipy.stats import ttest_1samp

    labels, truth = train.y[train.y >= 0], test.y[test.y >= 0]
    classes = np.unique(labels)
    known = np.isin(truth, classes)
    if len(classes) < 2 or not known.any():
        raise DataError(
            f"E-LEAK-104: the training side holds {len(classes)} classes, and {int(known.sum())} test windows are of "
            "these, expected at least 2 classes and 1 window; check classes and split"
        )
    if not known.all():
        notes.append(
            f"{int((~known).sum())} test windows are of classes that no training window has, and were left out"
        )
    train_windows, test_windows = train.X[train.y >= 0], test.X[test.y >= 0]
    rng = np.random.default_rng(seed)
    place = np.searchsorted(classes, labels)
    labellings = np.stack([rng.permutation(classes)[rng.permutation(place)] for _ in range(permutations)])
    ridge = _RidgeOnStatistics(train_windows, test_windows, classes)
    if refit is None:
        predictions = ridge.predict(labellings)
    else:
        predictions = np.stack([np.asarray(refit(labelling)) for labelling in labellings])
        if predictions.shape != (permutations, len(truth)):
            raise UsageError(
                f"E-LEAK-105: refit returned {predictions.shape[1:]} predictions for {len(truth)} labelled test "
                "windows; return one class index a window"
            )
    reached = np.array([_balanced_accuracy(truth[known], prediction[known]) for prediction in predictions])
    chance = 1 / len(classes)
    mean = float(reached.mean())
    # Labellings that all reach the same carry no spread to test with: there only the mean itself can speak.
    spread = float(reached.std())
    if spread > 1e-12:
        p_value = float(ttest_1samp(reached, chance, alternative="greater").pvalue)
    else:
        p_value = 0.0 if mean > chance + 1e-9 else 1.0
    figures["chance"] = chance
    figures["permuted_balanced_accuracy"] = mean
    figures["permuted_balanced_accuracy_sd"] = spread
    figures["permuted_p_value"] = p_value
    figures["cheap_model_balanced_accuracy"] = _balanced_accuracy(truth[known], ridge.predict(labels[None])[0][known])
    if p_value < FALSE_ALARM:
        findings.append(
            f"E-LEAK-005: trained on permuted labels, a cheap model reaches a balanced accuracy of {mean:.3f} on the "
            f"test side (p = {p_value:.1e}), expected {chance:.3f} by chance; find the way by which labels of the test "
            "side reach the training"
        )


class _RidgeOnStatistics:
    """One factorisation, any number of labellings."""

    def __init__(self, train: NDArray[np.float32], test: NDArray[np.float32], classes: NDArray[np.int64]) -> None:
        features = window_statistics(train).astype(np.float64)
        present = np.isfinite(features)
        count = np.maximum(present.sum(axis=0), 1)
        centre = np.where(present, features, 0).sum(axis=0) / count
        # A missing statistic counts as the mean of the training side, which is 0 once centred.
        centred = np.where(present, features - centre, 0)
        scale = np.sqrt(np.square(centred).sum(axis=0) / count)
        scale[scale < 1e-9] = np.inf
        self.train = centred / scale
        self.test = np.nan_to_num((window_statistics(test) - centre) / scale, nan=0.0)
        self.classes = classes
        gram = self.train.T @ self.train + _ALPHA * np.eye(self.train.shape[1])
        self.solved = np.linalg.solve(gram, self.train.T)

    def predict(self, labellings: NDArray[np.int64]) -> NDArray[np.int64]:
        """Predicted classes (P, M) for labellings (P, N) of the training windows."""
        out = np.empty((len(labellings), len(self.test)), np.int64)
        for start in range(0, len(labellings), _LABELLINGS_AT_ONCE):
            some = labellings[start : start + _LABELLINGS_AT_ONCE]
            targets = np.where(some[:, :, None] == self.classes, 1.0, -1.0)
            offset = targets.mean(axis=1, keepdims=True)
            scores = np.matmul(self.test, np.matmul(self.solved, targets - offset)) + offset
            out[start : start + len(some)] = self.classes[scores.argmax(axis=2)]
        return out


def _balanced_accuracy(truth: NDArray[np.int64], predicted: NDArray[Any]) -> float:
    """Mean recall over the classes that the truth holds."""
    return float(np.mean([(predicted[truth == label] == label).mean() for label in np.unique(truth)]))
