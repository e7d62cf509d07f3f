"""Scores by subject: what one individual gets, and the worst of them."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics.checks import as_labels, check_same_length
from conv2d.metrics.classification import macro_f1


def per_subject_macro_f1(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, subjects: Sequence[str] | npt.NDArray[np.str_], n_classes: int
) -> dict[str, float]:
    """Macro-F1 of each subject over the classes that this subject shows; subjects in sorted order.

    Example:
        >>> per_subject_macro_f1([0, 1, 0], [0, 1, 1], ["a", "a", "b"], n_classes=2)
        {'a': 1.0, 'b': 0.0}
    """
    truth, pred, who = as_labels(y_true, "y_true"), as_labels(y_pred, "y_pred"), np.asarray(subjects, dtype=str)
    check_same_length(y_true=truth, y_pred=pred, subjects=who)
    return {str(name): macro_f1(truth[who == name], pred[who == name], n_classes) for name in np.unique(who)}


def worst_subject(scores: dict[str, float]) -> tuple[str, float]:
    """The subject with the lowest score, the first by name on a tie.

    Raises:
        UsageError: no subject at all.

    Example:
        >>> worst_subject({"a": 0.9, "b": 0.7})
        ('b', 0.7)
    """
    if not scores:
        raise UsageError("E-METRIC-009: no subject was scored, expected at least one; pass labelled frames")
    name = min(sorted(scores), key=lambda subject: scores[subject])
    return name, scores[name]
