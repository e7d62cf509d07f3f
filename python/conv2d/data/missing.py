"""Missing samples: short runs are bridged and flagged, long ones stay missing and are masked."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conv2d.data.windows import time_gaps


@dataclass(frozen=True, eq=False)
class Filled:
    """Samples after `fill_missing`, with what was done to them.

    ``samples`` (C, S, n) has NaN only where a run was too long. ``interpolated`` (n,) is true where any channel was
    filled, ``missing`` (S, n) where any channel of the sensor is still NaN. ``interpolated_share`` is the share of
    times that were filled, ``missing_share`` the share of (sensor, time) pairs that are missing; both 0 when n is 0.
    """

    samples: NDArray[np.float32]
    interpolated: NDArray[np.bool_]
    missing: NDArray[np.bool_]
    interpolated_share: float
    missing_share: float


def fill_missing(
    samples: NDArray[np.float32],
    rate_hz: float,
    max_gap_s: float,
    time_s: NDArray[np.float64] | None = None,
) -> Filled:
    """Fill runs of NaN up to ``max_gap_s`` seconds, per channel; longer runs stay NaN.

    Parameters
    ----------
    samples
        float32 (C, S, n), any n. It is never written to, and returned as it is where nothing is filled.
    rate_hz, max_gap_s
        A run of m samples lasts m / rate_hz seconds and is filled when that is at most ``max_gap_s``, which is 0 or
        more; 0 fills nothing.
    time_s
        Times (n,). With them a gap of the clock (see `conv2d.data.windows.time_gaps`) ends a run, as the ends of the
        recording do: values are never drawn across it.

    Inside, the line between the neighbours is taken; at an end the neighbour is held, since there is nothing to draw a
    line to. A run without any neighbour (a channel missing throughout) stays NaN however short.

    Cost: one pass, and O(number of NaN) in time and memory beyond it.

    Example
    -------
    >>> import numpy as np
    >>> x = np.array([[[1, np.nan, 3, np.nan, np.nan, np.nan, 7]]], np.float32)
    >>> filled = fill_missing(x, rate_hz=10.0, max_gap_s=0.2)
    >>> filled.samples[0, 0].tolist()
    [1.0, 2.0, 3.0, nan, nan, nan, 7.0]
    >>> filled.missing[0].sum(), filled.interpolated.sum()
    (np.int64(3), np.int64(1))
    """
    if not max_gap_s >= 0:
        raise ValueError(f"max_gap_s is {max_gap_s}, expected seconds from 0 up")
    n_channels, n_sensors, n = samples.shape
    # flatnonzero, since nonzero in two dimensions takes several times as long as all the rest.
    row, col = np.divmod(np.flatnonzero(np.isnan(samples)), max(n, 1))
    interpolated = np.zeros(n, bool)
    missing = np.zeros((n_sensors, n), bool)
    if len(row) == 0:
        return Filled(samples, interpolated, missing, 0.0, 0.0)

    # piece[i] numbers the stretch between two gaps of the clock that sample i lies in.
    piece = np.zeros(n, np.int64)
    if time_s is not None:
        piece[1:] = np.cumsum(time_gaps(time_s, rate_hz))
    opens = np.ones(len(row), bool)
    opens[1:] = (row[1:] != row[:-1]) | (col[1:] != col[:-1] + 1) | (piece[col[1:]] != piece[col[:-1]])
    run = np.cumsum(opens) - 1  # the run of each missing sample
    at = np.flatnonzero(opens)
    run_row, start = row[at], col[at]
    length = np.diff(np.append(at, len(row)))
    end = start + length
    before, after = np.maximum(start - 1, 0), np.minimum(end, n - 1)
    has_before = (start > 0) & (piece[before] == piece[start])
    has_after = (end < n) & (piece[after] == piece[start])
    # The slack makes 0.3 s at 10 Hz three samples whatever the binary fraction of 0.3.
    fills = (length <= max_gap_s * rate_hz + 1e-6) & (has_before | has_after)

    flat = samples.reshape(n_channels * n_sensors, n)
    at_before, at_after = flat[run_row, before].astype(np.float64), flat[run_row, after].astype(np.float64)
    left = np.where(has_before, at_before, at_after)
    right = np.where(has_after, at_after, left)
    weight = (col - start[run] + 1) / (length[run] + 1)
    value = left[run] + weight * (right - left)[run]
    done = fills[run]
    out = samples.copy() if done.any() else samples
    out.reshape(n_channels * n_sensors, n)[row[done], col[done]] = value[done]

    interpolated[col[done]] = True
    missing[row[~done] % n_sensors, col[~done]] = True
    return Filled(out, interpolated, missing, float(interpolated.mean()), float(missing.mean()))
