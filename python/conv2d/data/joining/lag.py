"""What the signals say of the join: the lag at which two sensors of one body turn most alike. Told, never applied."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conv2d.data.channels import triads

MAX_LAG_S = 1.5
_SMOOTHED_S = 0.1  # the envelope keeps what is below about 5 Hz


def lags_by_signal(
    samples: NDArray[np.float32], sensors: Sequence[str], channels: Sequence[str], rate_hz: float
) -> dict[str, dict[str, float]]:
    """The lag of each further sensor behind the first, by the correlation of their turning rates.

    ``samples`` is (C, S, n), NaN where missing. The size of the vector ``gyr`` of each sensor, smoothed over 0.1 s, is
    shifted by up to 1.5 s either way; ``lag_s`` is positive where the further sensor comes later, ``r`` the correlation
    there. Empty without the channels ``gyr_x``, ``gyr_y`` and ``gyr_z``, for less than 6 s, or where one hardly has
    data. A gait has a phase between its sensors, so that lags of 0.2 s with r above 0.6 are seen on one clock: only
    many recordings that agree say that an offset is left.

    Cost: O(n * lags).

    >>> rng = np.random.default_rng(0)
    >>> a = np.repeat(rng.normal(size=(3, 120)), 25, axis=1)
    >>> both = np.stack([a, np.roll(a, 10, axis=1)], axis=1).astype(np.float32)
    >>> lags_by_signal(both, ("neck", "back"), ("gyr_x", "gyr_y", "gyr_z"), 50.0)["back"]["lag_s"]
    0.2
    """
    found = dict(triads(channels))
    n, reach = samples.shape[2], round(MAX_LAG_S * rate_hz)
    if "gyr" not in found or n < 4 * reach or reach < 1:
        return {}
    envelopes: list[NDArray[np.float64] | None] = []
    width = max(1, round(_SMOOTHED_S * rate_hz))
    for place in range(len(sensors)):
        size = np.sqrt((samples[list(found["gyr"]), place].astype(np.float64) ** 2).sum(axis=0))
        there = np.isfinite(size)
        if there.mean() < 0.5 or size[there].std() == 0:
            envelopes.append(None)
            continue
        size = np.where(there, size - size[there].mean(), 0.0)
        envelopes.append(np.convolve(size, np.full(width, 1 / width), "same"))
    lags: dict[str, dict[str, float]] = {}
    first = envelopes[0]
    for sensor, other in zip(sensors[1:], envelopes[1:], strict=True):
        if first is None or other is None:
            continue
        middle = first[reach : n - reach]
        shifted = [other[reach + k : n - reach + k] for k in range(-reach, reach + 1)]
        r = np.array([middle @ part / np.sqrt((middle @ middle) * (part @ part) + 1e-30) for part in shifted])
        best = int(np.argmax(r))
        lags[sensor] = {"lag_s": round((best - reach) / rate_hz, 6), "r": round(float(r[best]), 4)}
    return lags
