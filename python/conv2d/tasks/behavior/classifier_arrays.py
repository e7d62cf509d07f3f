"""What ``Conv2dClassifier`` makes of arrays: windows of four axes, names of two of them, subjects."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from conv2d.data.interchange.xarray_arrays import numbered
from conv2d.errors import DataError, UsageError

SHORTEST = 8  # samples in a window: what the experiment file allows


def lifted(X: NDArray[np.float32], *, named: bool) -> NDArray[np.float32]:
    """(N, F), (N, C, T) or (N, C, S, T) as (N, C, S, T); UsageError for a shape that can be none of these."""
    if X.ndim == 2:
        return np.repeat(X[:, :, None, None], SHORTEST, axis=3)
    windows = X[:, :, None] if X.ndim == 3 else X
    if windows.ndim != 4:
        raise UsageError(
            f"E-API-022: X has shape {X.shape}, expected (N, channels, sensors, samples), (N, channels, samples) or "
            "(N, features); bring it into one of these"
        )
    channels, samples = windows.shape[1], windows.shape[3]
    if samples < SHORTEST or (channels > samples and not named):
        order = ", ".join(map(str, (0, *reversed(range(1, X.ndim)))))
        ways = []
        if channels >= SHORTEST and (samples <= channels or named):
            ways.append(f"where the channels come last, give X.transpose({order})")
        if samples >= SHORTEST:
            ways.append("where there are really so many channels, name them with channels=")
        raise UsageError(
            f"E-API-022: X has shape {X.shape}, which is {channels} channels of {samples} samples, expected "
            f"(N, channels, {'sensors, ' if X.ndim == 4 else ''}samples) with {SHORTEST} samples or more; "
            f"{', and '.join(ways) or 'cut longer windows'}"
        )
    return windows


def check_labels(y: Any) -> None:
    """DataError E-API-030 for labels of which one is missing, or that are text and numbers mixed; None passes."""
    if isinstance(y, np.ma.MaskedArray):
        _refuse_missing(np.ma.getmaskarray(y).ravel().tolist())
    given = y if isinstance(y, list | tuple) else np.asarray(y)
    if isinstance(given, np.ndarray) and (given.dtype != object or given.ndim != 1):
        return
    entries = list(given)
    _refuse_missing([_is_missing(entry) for entry in entries])
    texts = [isinstance(entry, str) for entry in entries]
    if any(texts) and not all(texts):
        text, other = entries[texts.index(True)], entries[texts.index(False)]
        raise DataError(
            f"E-API-030: y holds {text!r} and {other!r}, expected labels of one kind, all text or all numbers; convert "
            "them with [str(label) for label in y]"
        )


def _refuse_missing(missing: list[bool]) -> None:
    if any(missing):
        raise DataError(
            f"E-API-030: y has no value in row {missing.index(True)}, expected a label for each window; leave out the "
            "windows without"
        )


def _is_missing(value: Any) -> bool:
    """None, NaN and what pandas has for them."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def names_for(what: str, number: int, *wanted: Any) -> tuple[str, ...]:
    """Names of the channels or sensors of an array: the first that were given, or their numbers."""
    given = next((names for names in wanted if names is not None), "all")
    if isinstance(given, str) and given == "all":
        return numbered(what, number)
    names = numbered(what, given) if isinstance(given, int) else tuple(map(str, given))
    if isinstance(given, str) or len(names) != number or len(set(names)) < number:
        raise UsageError(
            f"E-API-028: {what} is {given!r}, expected a name for each of the {number} {what} of X; name each once"
        )
    return names


def subjects_of(groups: ArrayLike | None, n: int) -> NDArray[np.str_] | None:
    """The subject of each of ``n`` windows as text; None where nobody said."""
    if groups is None:
        return None
    given = np.asarray(groups)
    check_consistent_length(np.empty(n), given)
    masked = np.ma.getmaskarray(groups).ravel() if isinstance(groups, np.ma.MaskedArray) else np.zeros(given.size)
    missing = [bool(gone) or _is_missing(value) for gone, value in zip(masked, given.ravel().tolist(), strict=True)]
    if given.ndim != 1 or any(missing):
        what = f"are of shape {given.shape}" if given.ndim != 1 else f"have no value in row {missing.index(True)}"
        raise UsageError(f"E-API-029: groups {what}, expected a subject for each of the {n} windows; correct them")
    return given.astype(np.str_)
