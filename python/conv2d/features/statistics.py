"""Simple statistics of a window: what a cheap model sees, for the forest baseline and the leak audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.data.channels import triads
from conv2d.errors import DataError

STATISTICS = (
    "mean",
    "std",
    "min",
    "max",
    "q25",
    "median",
    "q75",
    "rms",
    "crossing_rate",
    "lag1_autocorrelation",
    "dominant_frequency",
    "low_band_share",
)
"""The statistics of one series, in the order of their columns."""

LOW_BAND = 0.05
"""Upper end of the low band, in cycles per sample (2.5 Hz at 50 Hz): posture and gait below, impact above."""

_CHUNK_SAMPLES = (
    1 << 19
)  # samples worked on at once: 2 MiB of float32 for the series and about as much for each temporary


def statistic_names(channels: Sequence[str], sensors: Sequence[str]) -> list[str]:
    """Names of the columns of :func:`window_statistics`: ``<sensor>/<channel>/<statistic>``, norms after channels.

    >>> statistic_names(["acc_x"], ["wrist"])[:2]
    ['wrist/acc_x/mean', 'wrist/acc_x/std']
    """
    rows = [*channels, *(f"{stem}_norm" for stem, _ in triads(channels))]
    return [f"{sensor}/{row}/{statistic}" for row in rows for sensor in sensors for statistic in STATISTICS]


def window_statistics(X: ArrayLike, channels: Sequence[str] | None = None) -> NDArray[np.float32]:
    """Twelve statistics of each channel, and of the norm of each triad when the channels are named.

    Parameters
    ----------
    X:
        (N, C, S, T) windows, any unit, T >= 1. NaN marks missing samples.
    channels:
        C names; those that end in ``_x``, ``_y``, ``_z`` give one norm for each triad and sensor.

    Returns
    -------
    float32 (N, F) with F = (C + triads) * S * 12, columns as :func:`statistic_names` says. ``crossing_rate`` is the
    share of steps at which the series crosses its mean, ``dominant_frequency`` the strongest bin of the spectrum
    without its mean (cycles per sample), ``low_band_share`` the share of that power at or below ``LOW_BAND``. A
    constant series has rate, autocorrelation, frequency and share 0. A series with NaN in it has NaN for all twelve:
    what to make of a missing sensor is for the model to decide.

    Raises DataError where X has not four axes, where names and channels differ in number, and for infinite samples.
    Cost O(N * C * S * T log T), in blocks, so that memory stays at a few MiB beside the result.

    >>> X = np.zeros((2, 3, 1, 8), np.float32)
    >>> X[1, 0, 0] = [1, -1, 1, -1, 1, -1, 1, -1]
    >>> F = window_statistics(X, ["acc_x", "acc_y", "acc_z"])
    >>> F.shape
    (2, 48)
    >>> dict(zip(STATISTICS, F[1, :12].tolist()))["dominant_frequency"]
    0.5
    """
    windows = np.asarray(X)
    if windows.ndim != 4 or windows.shape[3] == 0:
        raise DataError(
            f"E-FEATURE-001: windows have the shape {windows.shape}, expected (windows, channels, sensors, samples) "
            "with at least one sample; cut them with conv2d.data.windows"
        )
    n, n_channels, n_sensors, n_samples = windows.shape
    if channels is not None and len(channels) != n_channels:
        raise DataError(
            f"E-FEATURE-002: {len(channels)} channel names were given for windows with {n_channels} channels; "
            "name each channel once"
        )
    norms = triads(channels) if channels is not None else []
    rows = n_channels + len(norms)
    out = np.empty((n, rows * n_sensors, len(STATISTICS)), np.float32)
    step = max(1, _CHUNK_SAMPLES // max(rows * n_sensors * n_samples, 1))
    for start in range(0, n, step):
        block = windows[start : start + step].astype(np.float32)
        if np.isinf(block).any():
            raise DataError(
                f"E-FEATURE-003: an infinite sample stands in windows {start} to {start + len(block) - 1}, expected "
                "finite numbers or NaN; mark missing samples with NaN"
            )
        lengths = [np.sqrt(np.square(block[:, list(axes)]).sum(axis=1, keepdims=True)) for _, axes in norms]
        series = np.concatenate([block, *lengths], axis=1) if lengths else block
        out[start : start + step] = _series_statistics(
            series.reshape(len(block) * rows * n_sensors, n_samples)
        ).reshape(len(block), rows * n_sensors, len(STATISTICS))
    return out.reshape(n, rows * n_sensors * len(STATISTICS))


def _series_statistics(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """The twelve statistics of each row of x (M, T)."""
    m, t = x.shape
    out = np.zeros((m, len(STATISTICS)), np.float32)
    mean = x.mean(axis=1)
    centred = x - mean[:, None]
    energy = np.einsum("mt,mt->m", centred, centred)
    ordered = np.sort(x, axis=1)
    out[:, 0] = mean
    out[:, 1] = np.sqrt(energy / t)
    out[:, 2], out[:, 3] = ordered[:, 0], ordered[:, -1]
    for column, share in ((4, 0.25), (5, 0.5), (6, 0.75)):
        out[:, column] = _quantile(ordered, share)
    out[:, 7] = np.sqrt(np.square(mean) + energy / t)
    # The mean of a constant series is off by a rounding error, and so would everything be that is relative to it.
    moving = energy > t * np.square(1e-6 * np.maximum(np.abs(ordered[:, 0]), np.abs(ordered[:, -1])))
    if t > 1:
        above = centred > 0
        out[:, 8] = np.where(moving, (above[:, 1:] != above[:, :-1]).mean(axis=1), 0)
        lagged = np.einsum("mt,mt->m", centred[:, 1:], centred[:, :-1])
        out[:, 9] = np.divide(lagged, energy, out=np.zeros_like(energy), where=moving)
        spectrum = np.fft.rfft(centred, axis=1)[:, 1:]
        power: NDArray[Any] = np.square(spectrum.real) + np.square(spectrum.imag)
        frequency = np.fft.rfftfreq(t)[1:]
        total = power.sum(axis=1)
        out[:, 10] = np.where(moving, frequency[power.argmax(axis=1)], 0)
        low = power[:, frequency <= LOW_BAND].sum(axis=1)
        out[:, 11] = np.divide(low, total, out=np.zeros_like(total), where=moving)
    out[np.isnan(mean)] = np.nan
    return out


def _quantile(ordered: NDArray[np.float32], share: float) -> NDArray[np.float32]:
    """Linear quantile of rows already in order (np.quantile sorts again and is ten times slower on short rows)."""
    place = share * (ordered.shape[1] - 1)
    low = int(place)
    high = min(low + 1, ordered.shape[1] - 1)
    between: NDArray[np.float32] = ordered[:, low] + np.float32(place - low) * (ordered[:, high] - ordered[:, low])
    return between
