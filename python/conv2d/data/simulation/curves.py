"""Curves over time: exact at any instant, so that the same draws give the same curve at any sampling rate."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SETTLE_S = 0.5  # time that a posture or gait takes to change


def steps(values: Array, ends_s: Array, t: Array) -> Array:
    """One value per bout as a curve over ``t`` that moves from one to the next within half a second.

    The mean of the step function over `SETTLE_S` about each instant; before the first and after the last bout their
    values go on.
    """
    edges = np.concatenate([[-SETTLE_S], ends_s[:-1], [ends_s[-1] + SETTLE_S]])
    total = np.concatenate([[0.0], np.cumsum(values * np.diff(edges))])
    moved: Array = np.interp(t + SETTLE_S / 2, edges, total) - np.interp(t - SETTLE_S / 2, edges, total)
    return moved / SETTLE_S


def cycles(rates_hz: Array, ends_s: Array, t: Array) -> Array:
    """Cycles run by ``t`` where each bout has its rate: the integral of the step function."""
    edges = np.concatenate([[0.0], ends_s])
    return np.asarray(np.interp(t, edges, np.concatenate([[0.0], np.cumsum(rates_hz * np.diff(edges))])))


def irregular(t: Array, period_s: float, duration_s: float, rng: np.random.Generator) -> Array:
    """A smooth random curve of mean 0 and about unit variance that changes on the scale of ``period_s``.

    A uniform cubic B-spline with normal coefficients; how many are drawn depends on ``duration_s`` alone.
    """
    # The squares of the basis sum to 0.479 on average over a period.
    weights = rng.standard_normal(int(duration_s / period_s) + 5) / np.sqrt(0.479)
    at = t / period_s
    k = at.astype(np.intp)
    x = at - k
    # Within a period the curve is a polynomial; its four coefficients are drawn up per period, not per instant.
    a, b, c, d = (weights[i : len(weights) - 3 + i] for i in range(4))
    c0, c1 = (a + 4 * b + c) / 6, (c - a) / 2
    c2, c3 = (a - 2 * b + c) / 2, (d - a + 3 * (b - c)) / 6
    curve: Array = c0[k] + x * (c1[k] + x * (c2[k] + x * c3[k]))
    return curve


def slope(curve: Array, rate_hz: float) -> Array:
    """The derivative of a sampled curve per second: central differences of sixth order, simple ones at the ends.

    Plain differences lose a tenth of a motion of 6 Hz at 50 Hz; these lose two thousandths.
    """
    change: Array = np.gradient(curve)
    if len(curve) > 6:
        first, second, third = (
            curve[3 + i : len(curve) - 3 + i] - curve[3 - i : len(curve) - 3 - i] for i in (1, 2, 3)
        )
        change[3:-3] = 0.75 * first - 0.15 * second + third / 60
    return change * rate_hz
