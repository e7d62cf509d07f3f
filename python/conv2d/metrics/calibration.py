"""How far confidence is from being right: reliability table, expected and maximum calibration error.

Top label only: a row's confidence is its largest probability and it is right when that class is the true one.
Fifteen equal-width bins, bin = min(int(confidence * 15), 14), pooled over all rows.
Source: Guo et al., "On calibration of modern neural networks", 2017.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics.checks import BoolArray, FloatArray, IntArray, as_labels, as_proba, check_same_length

N_BINS = 15


@dataclass(frozen=True)
class Reliability:
    """One row a bin, lowest confidence first; empty bins have count 0 and NaN means."""

    count: IntArray
    confidence: FloatArray
    accuracy: FloatArray

    @property
    def ece(self) -> float:
        """Expected calibration error: mean |accuracy - confidence|, weighted by the rows in the bin; NaN if empty."""
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        gap = np.abs(self.accuracy[filled] - self.confidence[filled])
        return float((gap * (self.count[filled] / self.count.sum())).sum())

    @property
    def mce(self) -> float:
        """Maximum calibration error: the largest |accuracy - confidence| of any filled bin; NaN if empty."""
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        return float(np.abs(self.accuracy[filled] - self.confidence[filled]).max())


def reliability(y_true: npt.ArrayLike, y_prob: npt.ArrayLike, n_bins: int = N_BINS) -> Reliability:
    """Bin rows by the confidence of their top label.

    Args:
        y_true: (N,) class indices.
        y_prob: (N, K) probabilities; ties go to the lower class, as argmax does.
        n_bins: number of equal-width bins over [0, 1].

    Raises:
        UsageError: wrong shapes, NaN, rows that do not sum to one, or no bin.

    Example:
        >>> table = reliability([0, 1], [[0.9, 0.1], [0.7, 0.3]])
        >>> round(table.ece, 3), round(table.mce, 3)
        (0.4, 0.7)
    """
    truth, proba = as_labels(y_true, "y_true"), as_proba(y_prob)
    check_same_length(y_true=truth, y_prob=proba)
    if not len(truth):
        none = np.full(n_bins, np.nan)
        return Reliability(np.zeros(n_bins, np.int64), none, none.copy())
    return reliability_of(proba.max(axis=1), proba.argmax(axis=1) == truth, n_bins)


def reliability_of(confidence: npt.ArrayLike, correct: npt.ArrayLike, n_bins: int = N_BINS) -> Reliability:
    """The same from confidences (N,) and whether each was right (N,) bool, for scores that are not class rows.

    Example:
        >>> reliability_of([0.5, 1.0], [True, True], n_bins=2).count.tolist()
        [0, 2]
    """
    conf: FloatArray = np.asarray(confidence, dtype=np.float64)
    right: BoolArray = np.asarray(correct, dtype=bool)
    check_same_length(confidence=conf, correct=right)
    if n_bins < 1:
        raise UsageError(f"E-METRIC-006: n_bins is {n_bins}, expected at least 1")
    place = np.clip((conf * n_bins).astype(np.int64), 0, n_bins - 1)
    count = np.bincount(place, minlength=n_bins).astype(np.int64)
    mean_conf, mean_right = np.full(n_bins, np.nan), np.full(n_bins, np.nan)
    filled = count > 0
    mean_conf[filled] = np.bincount(place, weights=conf, minlength=n_bins)[filled] / count[filled]
    mean_right[filled] = np.bincount(place, weights=right.astype(np.float64), minlength=n_bins)[filled] / count[filled]
    return Reliability(count, mean_conf, mean_right)


def ece(y_true: npt.ArrayLike, y_prob: npt.ArrayLike, n_bins: int = N_BINS) -> float:
    """Expected calibration error of the top label; see :class:`Reliability`."""
    return reliability(y_true, y_prob, n_bins).ece


def mce(y_true: npt.ArrayLike, y_prob: npt.ArrayLike, n_bins: int = N_BINS) -> float:
    """Maximum calibration error of the top label; see :class:`Reliability`."""
    return reliability(y_true, y_prob, n_bins).mce
