"""All frame-wise figures of one set of predictions in one call."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics import classification
from conv2d.metrics.calibration import N_BINS, Reliability, reliability
from conv2d.metrics.checks import FloatArray, IntArray, as_labels, as_proba, check_in_range, check_same_length


def _none_if_nan(value: float) -> float | None:
    return None if np.isnan(value) else value


@dataclass(frozen=True)
class Metrics:
    """Frame-wise figures; what needs probabilities or sets is NaN when they were not given."""

    accuracy: float
    macro_f1: float
    balanced_accuracy: float
    nll: float
    brier: float
    ece: float
    mce: float
    coverage: float
    mean_set_size: float
    n: int
    per_class_f1: FloatArray
    support: IntArray
    confusion: IntArray
    class_names: tuple[str, ...]
    reliability: Reliability | None = field(default=None, repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain figures as in ``metrics.json`` (NaN becomes None), with F1 and support by class name."""
        names = ("accuracy", "macro_f1", "balanced_accuracy", "nll", "brier", "ece", "mce", "coverage", "mean_set_size")
        out: dict[str, Any] = {name: _none_if_nan(getattr(self, name)) for name in names}
        return out | {
            "n": self.n,
            "per_class": {
                name: {"f1": _none_if_nan(float(f1)), "support": int(count)}
                for name, f1, count in zip(self.class_names, self.per_class_f1, self.support, strict=True)
            },
            "confusion": self.confusion.tolist(),
        }


class MetricsCalculator:
    """Computes every frame-wise figure at once.

    Args:
        class_names: names of the classes, in the order of the probability columns; numbers when left out.
        n_bins: bins of the calibration errors.

    Example:
        >>> calculator = MetricsCalculator()
        >>> metrics = calculator.compute_all([0, 1, 1], [0, 1, 0], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> print(f"Accuracy: {metrics.accuracy:.1%}, ECE: {metrics.ece:.3f}")
        Accuracy: 66.7%, ECE: 0.300
    """

    def __init__(self, class_names: Sequence[str] | None = None, n_bins: int = N_BINS) -> None:
        """Keep the names and the number of bins."""
        self.class_names = None if class_names is None else tuple(class_names)
        self.n_bins = n_bins

    def compute_all(
        self,
        y_true: npt.ArrayLike,
        y_pred: npt.ArrayLike,
        y_prob: npt.ArrayLike | None = None,
        sets: npt.ArrayLike | None = None,
    ) -> Metrics:
        """Score predictions against the truth.

        Args:
            y_true: (N,) class indices; rows below 0 are unlabelled and dropped everywhere.
            y_pred: (N,) predicted indices; a number that is no class is simply wrong.
            y_prob: (N, K) probabilities, rows summing to one, or None.
            sets: (N, K) bool prediction sets, or None; gives coverage (share of sets with the true class in them)
                and their mean size.

        Returns:
            Metrics over the labelled rows; NaN for every mean over none. O(N K).

        Raises:
            UsageError: lengths differ, rows do not sum to one, NaN, or labels beyond the classes; names the row.
        """
        truth, pred = as_labels(y_true, "y_true"), as_labels(y_pred, "y_pred")
        check_same_length(y_true=truth, y_pred=pred)
        labelled = truth >= 0
        proba = None if y_prob is None else as_proba(y_prob)
        if proba is not None:
            check_same_length(y_true=truth, y_prob=proba)
            proba = proba[labelled]
        in_set = None if sets is None else np.asarray(sets, dtype=bool)
        if in_set is not None:
            check_same_length(y_true=truth, sets=in_set)
            in_set = in_set[labelled]
        n_classes = self._n_classes(truth, pred, proba, in_set)
        truth, pred = truth[labelled], pred[labelled]
        check_in_range(truth, n_classes, "y_true")
        table = classification.confusion(truth, pred, n_classes)
        nan = float("nan")
        bins = None if proba is None else reliability(truth, proba, self.n_bins)
        filled_sets = in_set is not None and len(truth) > 0
        return Metrics(
            accuracy=classification.accuracy(truth, pred),
            macro_f1=classification.macro_f1(truth, pred, n_classes),
            balanced_accuracy=classification.balanced_accuracy(truth, pred, n_classes),
            nll=nan if proba is None else classification.nll(truth, proba),
            brier=nan if proba is None else classification.brier(truth, proba),
            ece=nan if bins is None else bins.ece,
            mce=nan if bins is None else bins.mce,
            coverage=float(in_set[np.arange(len(truth)), truth].mean()) if in_set is not None and filled_sets else nan,
            mean_set_size=float(in_set.sum(axis=1).mean()) if in_set is not None and filled_sets else nan,
            n=len(truth),
            per_class_f1=classification.per_class_f1(truth, pred, n_classes),
            support=table.sum(axis=1),
            confusion=table,
            class_names=self.class_names or tuple(str(k) for k in range(n_classes)),
            reliability=bins,
        )

    def _n_classes(
        self, truth: IntArray, pred: IntArray, proba: FloatArray | None, sets: npt.NDArray[np.bool_] | None
    ) -> int:
        given = {
            "class_names": None if self.class_names is None else len(self.class_names),
            "y_prob": None if proba is None else proba.shape[1],
            "sets": None if sets is None else (sets.shape[1] if sets.ndim == 2 else -1),
        }
        counts = {name: count for name, count in given.items() if count is not None}
        if len(set(counts.values())) > 1:
            got = ", ".join(f"{name} has {count}" for name, count in counts.items())
            raise UsageError(f"E-METRIC-005: {got} classes, expected the same number in each")
        if counts:
            return next(iter(counts.values()))
        return int(max(truth.max(initial=0), pred.max(initial=0))) + 1
