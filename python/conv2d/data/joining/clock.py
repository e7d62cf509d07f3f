"""The clock of a device against that of its host: offset and drift from pairs of stamps.

Each sample, or packet, has the device's stamp d and the host's h. The host's comes late: h = d + offset(d) + lateness,
with lateness >= 0, a heavy tail and whole bursts (radio, buffers). The offset therefore is the *lower envelope* of
h - d, fitted as a 5 % regression quantile by reweighted least squares (Koenker and Bassett 1978). Where the errors go
both ways, as between two clocks that are both read by hand or both drift, it is the median-like line of Huber (1964).
What no regression sees is the least latency of the link itself: a constant that stays in the offset.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

TAU = 0.05  # the regression quantile that stands for the lower envelope
SAME = 0.1  # periods apart that count as equal
KNOT_S = 3600.0  # the rate of a quartz follows its temperature, which changes over hours
_CURVE_S = 1200.0  # the residual is judged over spans of this length
_CURVE_FLOOR_S = 0.005
_SKEW = 0.3  # quantile skewness of the residuals above which they are lateness; 0 when symmetric, 0.56 exponential
_MAX_PAIRS = 5000
_MIN_PAIRS_A_KNOT = 10
_STEPS = 60

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Clock:
    """Host time of a device time: device + offset, the offset a line or a chain of lines through knots.

    ``knots`` are device seconds (k,), ``offsets`` the seconds to add there (k,); beyond the ends the outer lines go on.
    ``method`` is ``envelope``, ``huber``, or ``assumed`` where the rate was not measured but taken from elsewhere.
    ``residual_ms`` holds the 5, 50 and 95 % quantiles of host minus fitted time.
    """

    knots: Array
    offsets: Array
    method: str
    n_pairs: int
    residual_ms: tuple[float, float, float]

    def times(self, device: Array) -> Array:
        """Host seconds of device seconds (n,)."""
        return device + _chain(device, self.knots, self.offsets)

    @property
    def drift(self) -> float:
        """Seconds that the host gains in a second of the device, over the whole: 2e-5 is 20 ppm."""
        span = float(self.knots[-1] - self.knots[0])
        return float(self.offsets[-1] - self.offsets[0]) / span if span > 0 else 0.0


def fit_clock(device: Array, host: Array, *, period_s: float, drift: float | None = None) -> Clock:
    """Fit a clock to pairs of stamps in seconds, (n,) each, finite, at least one.

    A line, or, over more than an hour and a half and where a line leaves more than half of ``period_s`` (at least
    5 ms), a chain of lines with a knot each hour. With ``drift`` only the offset is fitted. Pairs with equal host
    stamps (within a tenth of ``period_s``) came in one packet and count once, by the last of them; more than 5000 are
    thinned to the least lateness (or the median) of consecutive blocks.

    Cost: O(n log n).

    Example
    -------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> device = np.arange(0, 3600, 5.0)
    >>> host = 7 + device * (1 + 25e-6) + rng.exponential(0.008, len(device))
    >>> clock = fit_clock(device, host, period_s=0.01)
    >>> clock.method, round(clock.drift * 1e6), round(float(clock.times(np.zeros(1))[0]), 2)
    ('envelope', 25, 7.0)
    """
    last = last_of_each_packet(device, host, SAME * period_s)
    x, y = device[last], host[last] - device[last]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    start, middle = float(x[0]), float(np.median(y))
    x, y = x - start, y - middle  # offsets of this century are 1e9 s, and microseconds matter
    ends = np.array([0.0, max(float(x[-1]), 1e-9)])
    slope = _slope(x, y) if drift is None else drift
    y = y - slope * x
    method, offsets, knots = _fit(x, y, ends, period_s, level_only=drift is not None)
    residual = y - _chain(x, knots, offsets)
    low, mid, high = (float(q) * 1e3 for q in np.quantile(residual, (0.05, 0.5, 0.95)))
    method = method if drift is None else "assumed"
    return Clock(knots + start, offsets + middle + slope * knots, method, len(x), (low, mid, high))


def last_of_each_packet(device: Array, host: Array, within_s: float = 0.0) -> NDArray[np.int64]:
    """Places of the latest device stamp of each run of equal host stamps: of a packet, the sample that waited least."""
    new = np.r_[True, np.abs(np.diff(host)) > within_s]
    order = np.lexsort((device, np.cumsum(new)))
    last: NDArray[np.int64] = order[np.r_[np.flatnonzero(new)[1:], len(host)] - 1]
    return last


def _fit(x: Array, y: Array, ends: Array, period_s: float, *, level_only: bool) -> tuple[str, Array, Array]:
    """Method, offsets and knots; ``y`` has no rough slope any more."""
    least_x, least_y = _thin(x, y, lowest=True)
    if level_only or len(x) < 3 or x[-1] <= 0:
        level = float(np.quantile(y, TAU)) if len(y) >= 20 else float(y.min())
        return "envelope", np.full(2, level), ends
    envelope = _regress(least_x, least_y, ends, envelope=True)
    low, mid, high = np.quantile(y - _chain(x, ends, envelope), (0.05, 0.5, 0.95))
    late = high - low > 1e-6 and (high + low - 2 * mid) / (high - low) > _SKEW
    px, py = (least_x, least_y) if late else _thin(x, y, lowest=False)
    offsets = envelope if late else _regress(px, py, ends, envelope=False)
    knots = ends
    if _is_curved(px, py - _chain(px, ends, offsets), max(period_s / 2, _CURVE_FLOOR_S), envelope=late):
        knots = _knots(px)
        offsets = _regress(px, py, knots, envelope=late)
    return "envelope" if late else "huber", offsets, knots


def _slope(x: Array, y: Array) -> float:
    half = len(x) // 2
    if half == 0:
        return 0.0
    span = float(np.median(x[-half:]) - np.median(x[:half]))
    return float(np.median(y[-half:]) - np.median(y[:half])) / span if span > 0 else 0.0


def _thin(x: Array, y: Array, *, lowest: bool) -> tuple[Array, Array]:
    """The lowest, or the median, pair of each of at most `_MAX_PAIRS` blocks of consecutive pairs."""
    if len(x) <= _MAX_PAIRS:
        return x, y
    block = np.arange(len(x)) * _MAX_PAIRS // len(x)
    order = np.lexsort((y, block))
    starts = np.searchsorted(block, np.arange(_MAX_PAIRS))
    counts = np.diff(np.r_[starts, len(x)])
    chosen = order[starts if lowest else starts + counts // 2]
    return x[chosen], y[chosen]


def _regress(x: Array, y: Array, knots: Array, *, envelope: bool) -> Array:
    """Values at the knots of the chain of lines nearest to the pairs, as a low quantile or by Huber's loss."""
    k = len(knots)
    left = np.clip(np.searchsorted(knots, x, "right") - 1, 0, k - 2)
    share = (x - knots[left]) / (knots[left + 1] - knots[left])
    spread = 1.4826 * float(np.median(np.abs(np.diff(y) - np.median(np.diff(y))))) + 1e-9
    values = np.full(k, float(np.quantile(y, TAU if envelope else 0.5)))
    for _ in range(_STEPS):
        residual = y - (values[left] * (1 - share) + values[left + 1] * share)
        if envelope:
            weight = np.where(residual >= 0, TAU, 1 - TAU) / np.maximum(np.abs(residual), 1e-3 * spread)
        else:
            scale = 1.4826 * float(np.median(np.abs(residual - np.median(residual)))) + 1e-12
            weight = np.minimum(1, 1.345 * scale / np.maximum(np.abs(residual), 1e-15))
        # A pair bears on two neighbouring knots only, so the normal equations come from three sums.
        outer = np.bincount(left, weight * (1 - share) ** 2, k) + np.bincount(left + 1, weight * share**2, k)
        inner = np.bincount(left, weight * share * (1 - share), k)[: k - 1]
        right_side = np.bincount(left, weight * (1 - share) * y, k) + np.bincount(left + 1, weight * share * y, k)
        normal = np.diag(outer) + np.diag(inner, 1) + np.diag(inner, -1)
        new: Array = np.linalg.lstsq(normal, right_side, rcond=None)[0]
        moved = float(np.max(np.abs(new - values)))
        values = new
        if moved < 1e-9:
            break
    return values


def _is_curved(x: Array, residual: Array, limit_s: float, *, envelope: bool) -> bool:
    if x[-1] <= 1.5 * KNOT_S:
        return False
    span = (x // _CURVE_S).astype(np.int64)
    borders = np.flatnonzero(np.diff(span)) + 1
    parts = [part for part in np.split(residual, borders) if len(part) >= _MIN_PAIRS_A_KNOT]
    return any(abs(float(np.quantile(part, TAU if envelope else 0.5))) > limit_s for part in parts)


def _knots(x: Array) -> Array:
    """A knot each hour, and at both ends of each stretch of pairs: what lies between two stretches holds no rate."""
    knots: list[float] = []
    for part in np.split(x, np.flatnonzero(np.diff(x) > KNOT_S / 2) + 1):
        if len(part) < _MIN_PAIRS_A_KNOT or part[-1] <= part[0]:
            continue
        pieces = max(1, round(float(part[-1] - part[0]) / KNOT_S))
        wanted = np.linspace(part[0], part[-1], pieces + 1)
        counts = np.histogram(part, wanted)[0]
        kept, since = [float(wanted[0])], 0
        for knot, count in zip(wanted[1:-1], counts[:-1], strict=True):
            since += int(count)
            if since >= _MIN_PAIRS_A_KNOT:
                kept.append(float(knot))
                since = 0
        knots += [*kept, float(wanted[-1])]
    return np.array(knots) if len(knots) > 1 else np.array([0.0, float(x[-1])])


def _chain(x: Array, knots: Array, values: Array) -> Array:
    """The chain of lines through the knots; the outer lines go on, where `np.interp` would go flat."""
    left = np.clip(np.searchsorted(knots, x, "right") - 1, 0, len(knots) - 2)
    slopes = np.diff(values) / np.diff(knots)
    chained: Array = values[left] + slopes[left] * (x - knots[left])
    return chained
