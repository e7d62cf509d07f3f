"""What ``Conv2dClassifier`` makes of arrays: windows of four axes, names of two of them, subjects."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from conv2d.data.interchange.xarray_arrays import numbered
from conv2d.errors import UsageError

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
        raise UsageError(
            f"E-API-022: X has shape {X.shape}, which is {channels} channels of {samples} samples, expected "
            f"(N, channels, {'sensors, ' if X.ndim == 4 else ''}samples) with {SHORTEST} samples or more; where the "
            f"channels come last, give X.transpose({order}), and where there are really so many, name them with "
            "channels="
        )
    return windows


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
    missing = [value is None or value != value for value in given.ravel().tolist()]
    if given.ndim != 1 or any(missing):
        what = f"are of shape {given.shape}" if given.ndim != 1 else f"have no value in row {missing.index(True)}"
        raise UsageError(f"E-API-029: groups {what}, expected a subject for each of the {n} windows; correct them")
    return given.astype(np.str_)
