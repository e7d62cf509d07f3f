"""What the metrics demand of their arrays, said once: lengths, integer labels, rows of probabilities."""

from typing import Any

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

ROW_SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may sum from one: float32 softmax over a few dozen classes stays far below."""


def as_labels(values: npt.ArrayLike, name: str) -> IntArray:
    """Return ``values`` as int64 labels (N,).

    Raises:
        UsageError: not one-dimensional, or not whole numbers (E-METRIC-001).
    """
    array: npt.NDArray[Any] = np.asarray(values)
    if array.ndim != 1:
        raise UsageError(f"E-METRIC-001: {name} has shape {array.shape}, expected (N,) class indices; flatten it first")
    if array.dtype.kind in "iub" or array.size == 0:
        return array.astype(np.int64, copy=False)
    if array.dtype.kind == "f" and bool(np.all(np.isfinite(array))) and bool(np.all(array == np.floor(array))):
        return array.astype(np.int64)
    raise UsageError(f"E-METRIC-001: {name} holds {array.dtype} values, expected class indices; map names to integers")


def check_same_length(**arrays: npt.NDArray[Any]) -> None:
    """Raise UsageError (E-METRIC-002) unless every array has as many rows as the first."""
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) > 1:
        got = ", ".join(f"{name} has {length}" for name, length in lengths.items())
        raise UsageError(f"E-METRIC-002: {got} rows, expected as many in each; pass arrays of the same frames")


def as_proba(values: npt.ArrayLike, name: str = "y_prob") -> FloatArray:
    """Return ``values`` as float64 probabilities (N, K).

    Raises:
        UsageError: wrong rank, NaN or infinite, outside [0, 1], or a row that does not sum to one; the row is named
            (E-METRIC-003, -004).
    """
    proba = np.asarray(values, dtype=np.float64)
    if proba.ndim != 2:
        raise UsageError(f"E-METRIC-003: {name} has shape {proba.shape}, expected (N, K) probabilities")
    bad = ~np.isfinite(proba).all(axis=1)
    if bad.any():
        raise UsageError(
            f"E-METRIC-004: {name} row {int(bad.argmax())} holds NaN or infinity, expected probabilities; "
            "drop frames without data first"
        )
    outside = ((proba < -1e-9) | (proba > 1 + ROW_SUM_TOLERANCE)).any(axis=1)
    off = outside | (np.abs(proba.sum(axis=1) - 1) > ROW_SUM_TOLERANCE)
    if off.any():
        row = int(off.argmax())
        raise UsageError(
            f"E-METRIC-004: {name} row {row} sums to {proba[row].sum():.4g} with values from {proba[row].min():.4g} "
            f"to {proba[row].max():.4g}, expected probabilities that sum to one; apply a softmax to logits"
        )
    return proba


def check_in_range(labels: IntArray, n_classes: int, name: str) -> None:
    """Raise UsageError (E-METRIC-005) when a label is not one of ``n_classes`` classes."""
    bad = (labels < 0) | (labels >= n_classes)
    if bad.any():
        row = int(bad.argmax())
        raise UsageError(
            f"E-METRIC-005: {name}[{row}] is {int(labels[row])}, expected 0 to {n_classes - 1}; "
            "drop unlabelled rows (-1) first"
        )
