"""Cutting a recording into windows: where they start, their samples, times and labels.

A window is ``window`` consecutive samples of one recording; starts are 0, hop, 2 hop ... counted from the recording's
first sample, so that the place of a window depends on nothing but the recording and the hop.
"""

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

LabelRule = Literal["centre", "majority", "pure"]


def time_gaps(time_s: NDArray[np.float64], rate_hz: float) -> NDArray[np.bool_]:
    """Where the clock jumps: bool (n - 1,), true where a step is longer than 1.5 sampling periods.

    >>> import numpy as np
    >>> time_gaps(np.array([0.0, 0.1, 0.2, 0.5]), rate_hz=10.0)
    array([False, False,  True])
    """
    gaps: NDArray[np.bool_] = np.diff(time_s) > 1.5 / rate_hz
    return gaps


def window_starts(time_s: NDArray[np.float64], rate_hz: float, window: int, hop: int) -> NDArray[np.int64]:
    """First samples of the windows: multiples of ``hop`` whose window fits in and spans no gap of the clock.

    Parameters
    ----------
    time_s
        Times of the samples in seconds, float64 (n,), increasing.
    rate_hz
        Sampling rate; a step of more than 1.5 / rate_hz is a gap. NaN in the signals is no gap.
    window, hop
        Samples per window and between windows, 1 or more.

    Returns
    -------
    starts
        int64 (N,), ascending; empty where the recording is shorter than a window.

    Raises
    ------
    ValueError
        A window or hop below 1.

    Cost: O(n).

    Example
    -------
    >>> import numpy as np
    >>> time_s = np.arange(10) / 10.0
    >>> time_s[7:] += 5.0
    >>> window_starts(time_s, rate_hz=10.0, window=4, hop=2)
    array([0, 2])
    """
    if window < 1 or hop < 1:
        raise ValueError(f"window is {window} and hop {hop} samples, expected 1 or more of each")
    starts = np.arange(0, len(time_s) - window + 1, hop, dtype=np.int64)
    gaps = time_gaps(time_s, rate_hz)
    if not gaps.any():
        return starts
    before = np.concatenate([[0], np.cumsum(gaps)])  # gaps passed on the way to sample i
    within: NDArray[np.int64] = starts[before[starts + window - 1] == before[starts]]
    return within


def sliding(samples: NDArray[np.float32], starts: NDArray[np.int64], window: int) -> NDArray[np.float32]:
    """The samples of the windows, (N, C, S, T), in the dtype given: what ``encode_fsq`` and the baselines take.

    Where the starts are evenly spaced, as they are without gaps, this is a read-only view and costs nothing; otherwise
    it is a copy of O(N C S T). NaN passes through.

    Raises
    ------
    ValueError
        A start below 0 or a window that ends past the last sample.

    Example
    -------
    >>> import numpy as np
    >>> x = np.arange(6, dtype=np.float32).reshape(1, 1, 6)
    >>> sliding(x, np.array([0, 2]), window=4)[:, 0, 0]
    array([[0., 1., 2., 3.],
           [2., 3., 4., 5.]], dtype=float32)
    """
    n_channels, n_sensors, n = samples.shape
    if len(starts) == 0:
        return np.empty((0, n_channels, n_sensors, window), samples.dtype)
    first, last = int(starts.min()), int(starts.max())
    if first < 0 or last + window > n:
        raise ValueError(f"windows of {window} samples from {first} to {last} do not fit into {n} samples")
    views = np.lib.stride_tricks.sliding_window_view(samples, window, axis=2)
    steps = np.diff(starts)
    if len(steps) == 0:
        chosen = views[:, :, first : first + 1]
    elif steps[0] > 0 and (steps == steps[0]).all():
        chosen = views[:, :, first : last + 1 : int(steps[0])]
    else:
        chosen = views[:, :, starts]
    return chosen.transpose(2, 0, 1, 3)


def label_windows(
    labels: NDArray[np.int64], starts: NDArray[np.int64], window: int, rule: LabelRule = "centre"
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A label for each window, and the share of the samples looked at that carry this label.

    Parameters
    ----------
    labels
        int64 (n,), class indices; -1 is not annotated.
    starts, window
        As from `window_starts`.
    rule
        ``centre``: the label of sample start + window // 2, the only one looked at. ``majority``: the label that most
        samples carry, not being annotated competing like a class; among equals the smallest class index, and a class
        before -1. ``pure``: the label that all samples carry, otherwise -1.

    Returns
    -------
    labels, share
        int64 (N,) with -1 for windows without label, and float64 (N,) in 0..1, 0 where the label is -1.

    Raises
    ------
    ValueError
        Another rule.

    Cost: O(N) for ``centre``, O(n) for ``pure``, O(n K) for ``majority`` with K classes.

    Example
    -------
    >>> import numpy as np
    >>> y = np.array([0, 0, 0, 1, 1, -1, -1, -1])
    >>> label_windows(y, np.array([0, 4]), window=4, rule="majority")
    (array([ 0, -1]), array([0.75, 0.  ]))
    """
    if rule not in get_args(LabelRule):
        raise ValueError(f"rule is {rule!r}, expected centre, majority or pure")
    if len(starts) == 0:
        return np.empty(0, np.int64), np.empty(0)
    if rule == "majority":
        return _majority(labels, starts, window)
    if rule == "centre":
        chosen = labels[starts + window // 2]
    else:
        changes = np.concatenate([[0], np.cumsum(labels[1:] != labels[:-1])])
        alike = changes[starts + window - 1] == changes[starts]
        chosen = np.where(alike, labels[starts], -1)
    return chosen, (chosen >= 0).astype(np.float64)


def _majority(
    labels: NDArray[np.int64], starts: NDArray[np.int64], window: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    counts = _counts(labels, starts, window)  # column k counts class k, the last one the unannotated samples
    # argmax takes the first of equals: the smallest class, and -1 in the last column loses every tie.
    most = counts.argmax(axis=1)
    unlabelled = most == counts.shape[1] - 1
    share = np.where(unlabelled, 0.0, counts[np.arange(len(starts)), most] / window)
    return np.where(unlabelled, -1, most), share


def _counts(labels: NDArray[np.int64], starts: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    n_classes = max(int(labels.max()) + 1, 0)
    counts = np.empty((len(starts), n_classes + 1), np.int64)
    passed = np.zeros(len(labels) + 1, np.int64)
    for k in range(n_classes):
        np.cumsum(labels == k, out=passed[1:])
        counts[:, k] = passed[starts + window] - passed[starts]
    counts[:, n_classes] = window - counts[:, :n_classes].sum(axis=1)
    return counts
