"""The leak audit: what must hold before a figure on held-out subjects may be believed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.data.duplicates import COPY_RUN, windows_with_copies
from conv2d.errors import DataError, GateFailed, UsageError
from conv2d.features.statistics import window_statistics

FALSE_ALARM = 1e-4
"""Probability with which the permutation test fails clean data; a 20-fold cross-validation then fails once in 500."""

COPY_TOLERANCE = 0.001
"""Share of test windows that may hold a run of samples that also stands on the training side."""

_ALPHA = 10.0
_LABELLINGS_AT_ONCE = 10

Refit = Callable[[NDArray[np.int64]], NDArray[np.integer[Any]]]

NOT_MEASURED = "NOT_MEASURED"

CHECKS = {
    "subjects": "whether a subject stands on both sides",
    "fitted": "whether anything fitted saw a test subject",
    "copies": "whether signal of one side was copied to the other",
    "test_labels": "whether a window, or a label that is trained on, changes with the labels of the test side",
    "permuted_labels": "whether a cheap model beats chance when the labels are permuted (it is given finished "
    "windows, so this says what chance is here, and nothing of the steps before)",
}
"""Every check by name, and the question that it answers."""


@dataclass(frozen=True)
class LeakAudit:
    """What the audit found: ``findings`` fail it, ``notes`` do not, ``figures`` are what it measured.

    ``checked`` names the checks of ``CHECKS`` that were made; one that was not is none that was passed.
    """

    findings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    figures: dict[str, float | int | str] = field(default_factory=dict)
    checked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing was found by the checks that were made."""
        return not self.findings

    def to_dict(self) -> dict[str, Any]:
        """For metrics.json."""
        return {
            "passed": self.passed,
            **checks_made([self.checked]),
            "findings": self.findings,
            "notes": self.notes,
            "figures": self.figures,
        }

    def raise_if_failed(self) -> None:
        """Raise GateFailed with every finding in one sentence."""
        if self.findings:
            raise GateFailed(f"the leak audit failed: {'; '.join(self.findings)}")


@dataclass(frozen=True, eq=False)
class Relabelled:
    """What the data path gives once more, after the labels of the test side were exchanged for others.

    ``X_train`` and ``y_train`` are the training windows at the evaluation hop. ``X_test`` (M', C, S, T) are test
    windows, and ``which`` (M',) says which of the audited test windows stands at the same place as each.
    """

    X_train: NDArray[np.float32]
    y_train: NDArray[np.int64]
    X_test: NDArray[np.float32]
    which: NDArray[np.int64]


def checks_made(audits: Sequence[Collection[str]]) -> dict[str, list[str]]:
    """The checks that each of some audits made, by name, and those that were not made everywhere.

    >>> checks_made([["subjects", "copies"], ["copies"]])["checked"]
    ['copies']
    """
    checked = [name for name in CHECKS if all(name in made for made in audits)]
    return {"checked": checked, "not_measured": [name for name in CHECKS if name not in checked]}


def exchanged_labels(labels: ArrayLike, n_classes: int, seed: int) -> NDArray[np.int64]:
    """Other labels for a recording, (n,): what is annotated stays so, and -1 stays -1.

    Each run of one label gets a label at random, the first one another for certain. So the names change, and also which
    stretches share one: statistics that were taken by label come out different, even those that do not depend on the
    names. UsageError for fewer than two classes. O(n).

    >>> exchanged_labels([-1, 0, 0, -1], n_classes=2, seed=0)
    array([-1,  1,  1, -1])
    """
    if n_classes < 2:
        raise UsageError(
            f"E-LEAK-106: got {n_classes} classes, expected 2 or more to exchange labels; name more classes"
        )
    old = np.asarray(labels, np.int64)
    annotated = old >= 0
    run = np.cumsum(np.concatenate([[0], (old[1:] != old[:-1]).astype(np.int64)]))[: len(old)]
    rng = np.random.default_rng(seed)
    shift = rng.integers(0, n_classes, int(run.max(initial=0)) + 1)
    if annotated.any():
        shift[run[annotated][0]] = rng.integers(1, n_classes)
    return np.where(annotated, (old + shift[run]) % n_classes, old)


def audit_split(
    train_subjects: Collection[str],
    test_subjects: Collection[str],
    X_train: ArrayLike,
    y_train: ArrayLike,
    groups_train: ArrayLike,
    X_test: ArrayLike,
    y_test: ArrayLike,
    groups_test: ArrayLike,
) -> LeakAudit:
    """Checks 1 and 3 of `audit_leaks`, which can be made before anything is fitted; parameters and errors as there."""
    train = _Side("training", X_train, y_train, groups_train)
    test = _Side("test", X_test, y_test, groups_test)
    return _together(_check_subjects(set(train_subjects), set(test_subjects), train, test), _check_copies(train, test))


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
    relabelled: Relabelled | None = None,
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
    relabelled:
        The data path run once more from other labels of the test side (see `exchanged_labels`); without it check 4 is
        not made.
    refit:
        The pipeline to test in check 5 instead of ridge on simple statistics: given labels for the labelled training
        windows, it trains and returns the predicted class of each labelled test window.

    The audit fails when

    1. a subject stands on both sides, as declared or by its windows;
    2. anything fitted saw a test subject;
    3. more than ``COPY_TOLERANCE`` of the test windows hold ``COPY_RUN`` consecutive samples that stand on the training
       side too, bit for bit and in all channels (the sides share no subject, so one recording went under two names;
       a few may be a quantised signal by chance, and are noted);
    4. any window of either side, or any label to train on, differs from that of ``relabelled``: a label of the test
       side then reaches what the model is trained or judged on;
    5. with permuted training labels the model of ``refit``, or else a cheap one, still beats chance on the test side.

    Check 4 is exact: it finds a test window that stands with its label among the training ones, a statistic that was
    taken with the help of test labels, and a channel that bears them, be it in one bit. It cannot find what was in the
    samples before the path begins, nor what happens inside a network after the windows are cut.

    Check 5, the permutation test: for each labelling, the labels of the training windows are permuted among all of them
    and then the K class names are permuted too; the model is trained, and its balanced accuracy taken over the test
    windows of these K classes. By the symmetry of the names its expectation is exactly 1/K for any model that sees
    nothing but these labels, whatever the class shares and whatever the windows look like; without the second step it
    is not (a common class with ordinary windows is then found, and a rare one with extreme windows too, from shuffled
    labels). The labellings are independent given the data, so a one-sided t test of their mean against 1/K is honest:
    it fails clean data with probability ``FALSE_ALARM``. Without ``refit`` the model sees finished windows and labels
    that are permuted right here, so by the same symmetry no leak ahead of it can show: the test then guards the cheap
    model alone, and gives the chance level to hold its accuracy against. With ``refit`` it finds a pipeline that
    reaches the labels of the test side by a way of its own. NOT_MEASURED where no test window is of a class that the
    training side has.

    Raises DataError where a side has no labelled window, the training side has one class only, or lengths differ;
    UsageError for too few permutations. Cost: one factorisation of F x F with F statistics, and hashes of all samples.

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
    return _together(
        _check_subjects(set(train_subjects), set(test_subjects), train, test),
        _check_fitted(fitted, set(test_subjects)),
        _check_copies(train, test),
        _check_test_labels(train, test, relabelled),
        _check_permutations(train, test, permutations, seed, refit),
    )


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


def _together(*parts: LeakAudit) -> LeakAudit:
    return LeakAudit(
        [finding for part in parts for finding in part.findings],
        [note for part in parts for note in part.notes],
        {name: figure for part in parts for name, figure in part.figures.items()},
        tuple(name for part in parts for name in part.checked),
    )


def _name(subjects: list[str], noun: str = "subject") -> str:
    shown = ", ".join(subjects[:5]) + (f" and {len(subjects) - 5} more" if len(subjects) > 5 else "")
    return f"{noun}{'s' if len(subjects) > 1 else ''} {shown}"


def _check_subjects(declared_train: set[str], declared_test: set[str], train: _Side, test: _Side) -> LeakAudit:
    findings = []
    both = sorted(declared_train & declared_test)
    if both:
        findings.append(
            f"E-LEAK-001: {_name(both)} on both sides of the split, expected disjoint sides; split by subject again"
        )
    strayed = sorted((train.subjects & declared_test) | (test.subjects & declared_train) - set(both))
    if strayed and strayed != both:
        findings.append(f"E-LEAK-002: windows of {_name(strayed)} on the other side than declared; cut both sides anew")
    return LeakAudit(findings, checked=("subjects",))


def _check_fitted(fitted: Mapping[str, Collection[str]], test_subjects: set[str]) -> LeakAudit:
    if not fitted:
        return LeakAudit(notes=["nothing fitted was declared, so what fitted things saw was not looked at"])
    seen = {name: sorted(set(saw) & test_subjects) for name, saw in sorted(fitted.items())}
    findings = [
        f"E-LEAK-003: {name} was fitted on the {_name(subjects, 'test subject')}, expected training subjects only; "
        "fit it again without"
        for name, subjects in seen.items()
        if subjects
    ]
    return LeakAudit(findings, checked=("fitted",))


def _check_copies(train: _Side, test: _Side) -> LeakAudit:
    window = train.X.shape[3]
    copies = windows_with_copies(train.X, test.X, min(COPY_RUN, window))
    count = int(copies.sum())
    identical = int(windows_with_copies(train.X, test.X[copies], window).sum()) if count else 0
    audit = LeakAudit(figures={"windows_with_copies": count, "identical_windows": identical}, checked=("copies",))
    if not count:
        return audit
    subjects = [str(subject) for subject in np.unique(test.groups[copies])]
    text = (
        f"{count} of {len(copies)} test windows ({_name(subjects)}) hold {min(COPY_RUN, window)} consecutive samples "
        "that also stand on the training side"
    )
    if count > COPY_TOLERANCE * len(copies):
        audit.findings.append(
            f"E-LEAK-004: {text}, expected at most {COPY_TOLERANCE:.1%}; find the recording that stands there twice"
        )
    else:
        audit.notes.append(f"{text}, within the tolerance of {COPY_TOLERANCE:.1%}")
    return audit


def _check_test_labels(train: _Side, test: _Side, relabelled: Relabelled | None) -> LeakAudit:
    if relabelled is None or not len(relabelled.which):
        return LeakAudit()
    windows = _differing(train.X, relabelled.X_train)
    labels = _differing(train.y, relabelled.y_train)
    tested = _differing(test.X[relabelled.which], relabelled.X_test)
    audit = LeakAudit(checked=("test_labels",))
    if windows or labels or tested:
        audit.findings.append(
            f"E-LEAK-006: after an exchange of labels on the test side {windows} training windows, {labels} training "
            f"labels and {tested} test windows came out different, expected none; find the step that reads labels of "
            "the test side"
        )
    return audit


def _differing(before: NDArray[Any], after: NDArray[Any]) -> int:
    """Rows that are not the same to the last bit, NaN being the same as NaN; all of them where the shapes differ."""
    if before.shape != after.shape:
        return max(len(before), len(after))
    missing = (before != before) & (after != after)  # NaN alone differs from itself
    differs = (before != after) & ~missing
    return int(differs.reshape(len(before), -1).any(axis=1).sum())


def _check_permutations(train: _Side, test: _Side, permutations: int, seed: int, refit: Refit | None) -> LeakAudit:
    labels, truth = train.y[train.y >= 0], test.y[test.y >= 0]
    classes = np.unique(labels)
    known = np.isin(truth, classes)
    if len(classes) < 2:
        raise DataError("E-LEAK-104: the training side holds 1 class, expected at least 2; check classes and split")
    if not known.any():
        note = f"no permutation test: all {len(truth)} test windows are of classes that no training window has"
        figures = ("permuted_balanced_accuracy", "permuted_p_value", "cheap_model_balanced_accuracy")
        return LeakAudit(notes=[note], figures=dict.fromkeys(figures, NOT_MEASURED))
    audit = LeakAudit(figures={"permutations": permutations}, checked=("permuted_labels",))
    if not known.all():
        audit.notes.append(
            f"{int((~known).sum())} test windows are of classes that no training window has, and were left out"
        )
    rng = np.random.default_rng(seed)
    place = np.searchsorted(classes, labels)
    labellings = np.stack([rng.permutation(classes)[rng.permutation(place)] for _ in range(permutations)])
    ridge = _RidgeOnStatistics(train.X[train.y >= 0], test.X[test.y >= 0], classes)
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
    chance, mean = 1 / len(classes), float(reached.mean())
    p_value = _p_above(reached, chance)
    audit.figures["chance"] = chance
    audit.figures["permuted_balanced_accuracy"] = mean
    audit.figures["permuted_balanced_accuracy_sd"] = float(reached.std())
    audit.figures["permuted_p_value"] = p_value
    true_labels = ridge.predict(labels[None])[0]
    audit.figures["cheap_model_balanced_accuracy"] = _balanced_accuracy(truth[known], true_labels[known])
    if p_value < FALSE_ALARM:
        audit.findings.append(
            f"E-LEAK-005: trained on permuted labels, {'a cheap model' if refit is None else 'the model'} reaches a "
            f"balanced accuracy of {mean:.3f} on the test side (p = {p_value:.1e}), expected {chance:.3f} by chance; "
            "find the way by which labels of the test side reach the training"
        )
    return audit


def _p_above(reached: NDArray[np.float64], chance: float) -> float:
    """One-sided p value of a mean above chance."""
    from scipy.stats import ttest_1samp

    # Values that are all the same carry no spread to test with: there only the mean itself can speak.
    if float(reached.std()) > 1e-12:
        return float(ttest_1samp(reached, chance, alternative="greater").pvalue)
    return 0.0 if float(reached.mean()) > chance + 1e-9 else 1.0


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
