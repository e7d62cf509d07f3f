"""Frame-wise scores from labels and probabilities: accuracy, F1, balanced accuracy, log loss, Brier score.

Labels are int indices (N,); ``y_true`` holds classes 0..K-1 only (drop rows that nobody annotated before), while
``y_pred`` may also hold other numbers ("no prediction"), which are simply wrong. All are O(N) and return NaN for N = 0.
"""

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics.checks import FloatArray, IntArray, as_labels, as_proba, check_in_range, check_same_length

NLL_CLIP = 1e-7
"""Smallest probability that the log loss sees: forests give exact zeros, whose loss would be infinite."""


def _pair(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> tuple[IntArray, IntArray]:
    truth, pred = as_labels(y_true, "y_true"), as_labels(y_pred, "y_pred")
    check_same_length(y_true=truth, y_pred=pred)
    return truth, pred


def accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike) -> float:
    """Share of rows whose prediction is the true class."""
    truth, pred = _pair(y_true, y_pred)
    return float((truth == pred).mean()) if len(truth) else float("nan")


def confusion(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, n_classes: int) -> IntArray:
    """Count rows by true and predicted class.

    Returns:
        (K, K + 1) int64, rows = truth, columns = prediction; the last column counts predictions that are none of the
        K classes, so that every row sums to the class's support.

    Example:
        >>> confusion([0, 0, 1], [0, 1, -1], n_classes=2).tolist()
        [[1, 1, 0], [0, 0, 1]]
    """
    truth, pred = _pair(y_true, y_pred)
    check_in_range(truth, n_classes, "y_true")
    column = np.where((pred >= 0) & (pred < n_classes), pred, n_classes)
    flat = np.bincount(truth * (n_classes + 1) + column, minlength=n_classes * (n_classes + 1))
    return flat.reshape(n_classes, n_classes + 1).astype(np.int64)


def per_class_f1(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, n_classes: int) -> FloatArray:
    """F1 of each class, NaN where the class does not occur in the truth.

    Unlike scikit-learn, a class that is predicted but never true is not counted as a zero: it costs the classes whose
    rows it took. Returns (K,) float64.

    Example:
        >>> per_class_f1([0, 0, 1], [0, 1, 1], n_classes=3).round(3).tolist()
        [0.667, 0.667, nan]
    """
    table = confusion(y_true, y_pred, n_classes)
    support = table.sum(axis=1)
    hits = np.diagonal(table)
    # Predictions of class k, from every true class.
    predicted = table[:, :n_classes].sum(axis=0)
    f1 = np.full(n_classes, np.nan)
    present = support > 0
    f1[present] = 2 * hits[present] / (predicted + support)[present]
    return f1


def macro_f1(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, n_classes: int) -> float:
    """Mean of :func:`per_class_f1` over the classes that occur in the truth."""
    return _mean_of_present(per_class_f1(y_true, y_pred, n_classes))


def balanced_accuracy(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, n_classes: int) -> float:
    """Mean recall over the classes that occur in the truth."""
    table = confusion(y_true, y_pred, n_classes)
    support = table.sum(axis=1)
    recall = np.full(n_classes, np.nan)
    np.divide(np.diagonal(table), support, out=recall, where=support > 0)
    return _mean_of_present(recall)


def _mean_of_present(values: FloatArray) -> float:
    # nanmean warns on an empty slice; "no class present" is a plain NaN here.
    return float("nan") if bool(np.isnan(values).all()) else float(np.nanmean(values))


def _truth_and_proba(y_true: npt.ArrayLike, y_prob: npt.ArrayLike) -> tuple[IntArray, FloatArray]:
    truth, proba = as_labels(y_true, "y_true"), as_proba(y_prob)
    check_same_length(y_true=truth, y_prob=proba)
    if proba.shape[1] == 0:
        raise UsageError("E-METRIC-003: y_prob has no column, expected one per class")
    check_in_range(truth, proba.shape[1], "y_true")
    return truth, proba


def nll(y_true: npt.ArrayLike, y_prob: npt.ArrayLike) -> float:
    """Mean negative log probability of the true class, in nats, probabilities clipped to [1e-7, 1]."""
    truth, proba = _truth_and_proba(y_true, y_prob)
    if not len(truth):
        return float("nan")
    return float(-np.log(np.clip(proba[np.arange(len(truth)), truth], NLL_CLIP, 1)).mean())


def brier(y_true: npt.ArrayLike, y_prob: npt.ArrayLike) -> float:
    """Brier score: squared error summed over the classes, averaged over rows; 0 (perfect) to 2.

    Source: Brier, "Verification of forecasts expressed in terms of probability", 1950 (the original, not the halved
    two-class form).
    """
    truth, proba = _truth_and_proba(y_true, y_prob)
    if not len(truth):
        return float("nan")
    of_truth = proba[np.arange(len(truth)), truth]
    # sum_k (p_k - [k = y])^2 = sum_k p_k^2 - 2 p_y + 1, without building the one-hot array.
    return float((np.einsum("nk,nk->n", proba, proba) - 2 * of_truth + 1).mean())
