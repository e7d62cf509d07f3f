"""Laws of how long a segment lasts, in frames, fitted from lengths that are partly known only as bounds.

Five laws: ``categorical`` (kernel-smoothed histogram), ``negative_binomial``, ``poisson`` (both of length - 1),
``geometric`` and ``gaussian`` (discretised, cut below one frame). Each is fitted by expectation-maximisation over
lengths that are exact, intervals, or open above (Turnbull's self-consistency, which without intervals is Kaplan-Meier),
and over what remained of segments that were under way when a recording began.
Classes with few segments lean on a law with the pooled spread and nearly their own mean; a class that was
never seen to end gets a geometric law from the time at risk, all that can be said.

The last column of a pmf (D) means "D or longer".
Source: Turnbull, "The empirical distribution function with arbitrarily grouped, censored and truncated data", 1976.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.laws import LAWS, STEPS, Law, geometric, negative_binomial_pmf, smoothed_histogram
from conv2d.temporal.protocol import BoolArray, FloatArray, IntArray
from conv2d.temporal.statistics import OPEN, SegmentStatistics

FLOOR = 1e-12
"""No length up to D is impossible: a path must always exist, also for K = 2 and T = 1."""
ITERATIONS = 100
TOLERANCE = 1e-5
SMALLEST_MASS = 1e-250
SUPPORT_LIMIT = 20_000
"""Frames that a law is computed on at most; longer segments count as that long."""


@dataclass(frozen=True)
class FittedLaw:
    """A law on 1 .. D frames.

    Attributes:
        log_pmf: (D,) float64, sums to one in probability; the last column is "D or longer".
        beyond: probability of lasting longer than D.
        parameters: what the law was fitted to, e.g. mean and size; shown, not needed to decode.
    """

    log_pmf: FloatArray
    beyond: float
    parameters: dict[str, float]


def fit_law(
    kind: Law,
    lower: npt.ArrayLike,
    upper: npt.ArrayLike | None,
    max_duration: int,
    *,
    started: npt.ArrayLike | None = None,
    base: FloatArray | None = None,
    shrinkage: float = 0.0,
) -> FittedLaw:
    """Fit one law to the lengths of one state's segments.

    Args:
        kind: one of ``LAWS``.
        lower: (n,) int frames, at least 1.
        upper: (n,) int frames, ``OPEN`` for a length only known from below; None when every length is exact.
        max_duration: D.
        started: (n,) bool, False where the segment was under way when it was first seen; None when all were seen to
            start.
        base: pmf of any length that the law is shrunk towards, or None.
        shrinkage: how many segments the base counts as.

    Raises:
        UsageError: unknown law, lengths below 1 or crossed bounds, or nothing to fit to (E-TEMPORAL-008).

    Example:
        >>> law = fit_law("geometric", [2, 2, 5], None, max_duration=100)
        >>> round(law.parameters["mean"], 3)
        3.0
    """
    low = np.asarray(lower, dtype=np.int64)
    high = low if upper is None else np.asarray(upper, dtype=np.int64)
    fresh = np.ones(low.shape, bool) if started is None else np.asarray(started, dtype=bool)
    if kind not in LAWS:
        raise UsageError(f"E-TEMPORAL-008: got the duration law {kind!r}, expected one of {', '.join(LAWS)}")
    if max_duration < 1:
        raise UsageError(f"E-TEMPORAL-008: max_duration is {max_duration} frames, expected at least 1")
    shapes_differ = low.ndim != 1 or not low.shape == high.shape == fresh.shape
    if shapes_differ or bool((low < 1).any()) or bool((high < low).any()):
        raise UsageError("E-TEMPORAL-008: got lengths below 1 or upper below lower, expected 1 <= lower <= upper (n,)")
    weight = shrinkage if base is not None else 0.0
    if not len(low) and weight == 0:
        raise UsageError("E-TEMPORAL-008: got no segment and no base law, expected one of them")
    # Open lengths need room for their tail beyond what was seen.
    size = max(max_duration, min(4 * int(low.max(initial=1)), SUPPORT_LIMIT)) + 1
    prior = weight * _resize(base, size) if base is not None and weight > 0 else np.zeros(size)
    step = STEPS[kind]
    support = np.arange(1, size + 1)
    # A broad start: what no observation speaks about keeps its shape.
    pmf, parameters = geometric(prior + np.bincount(np.minimum(low, size) - 1, minlength=size), support)
    for _ in range(ITERATIONS):
        updated, parameters = step(prior + _unbiased_counts(pmf, low, high, fresh, weight, support), support)
        change = np.abs(updated - pmf).sum()
        pmf = updated
        if change < TOLERANCE:
            break
    if kind == "categorical" and len(low):
        counts = _unbiased_counts(pmf, low, high, fresh, weight, support)
        pmf, parameters = smoothed_histogram(prior, counts, support)
    return _lump(pmf, max_duration, parameters)


def fit_durations(
    kind: Law, statistics: SegmentStatistics, max_duration: int, shrinkage: float = 4.0
) -> list[FittedLaw]:
    """Fit a law to every state; rare ones lean on the pooled spread. O(K iterations (n + D)).

    Args:
        kind: one of ``LAWS``.
        statistics: counted segments.
        max_duration: D in frames.
        shrinkage: how many segments the pooled spread counts as.
    """
    seen = statistics
    ended = seen.upper < OPEN
    if not ended.any():
        # Not one end was seen anywhere: half an end over all the time at risk (Jeffreys), the same for every state.
        return [_geometric_of_mean(max(2.0 * float(seen.lower.sum()), 2.0), max_duration)] * seen.n_states
    pooled_rate = float(ended.sum()) / float(seen.lower.sum())
    observed = [seen.of_state(k) for k in range(seen.n_states)]
    ends = [int((high < OPEN).sum()) for _, high, _ in observed]
    pooled = fit_law("negative_binomial", seen.lower, seen.upper, max_duration, started=seen.started).parameters
    own = {
        k: fit_law("negative_binomial", low, high, max_duration, started=started).parameters
        for k, (low, high, started) in enumerate(observed)
        if ends[k]
    }
    # The size of a negative binomial says how regular lengths are whatever their mean, so it is what classes share.
    regular = {k: ends[k] for k in own if ends[k] >= 2}
    size = pooled["size"]
    if regular:
        size = float(np.exp(sum(n * np.log(own[k]["size"]) for k, n in regular.items()) / sum(regular.values())))
    laws = []
    for k, (low, high, started) in enumerate(observed):
        if len(low) and not ends[k]:
            # Never seen to end: one end at the pooled rate on top of its own time at risk.
            laws.append(_geometric_of_mean(max(float(low.sum()) + 1 / pooled_rate, 2.0), max_duration))
            continue
        log_mean = np.log(pooled["mean"])
        if k in own:
            log_mean = (ends[k] * np.log(own[k]["mean"]) + log_mean) / (ends[k] + 1)
        mean = max(float(np.exp(log_mean)), 1 + 1e-6)
        base = negative_binomial_pmf(mean, size, np.arange(1, max(max_duration, int(8 * mean)) + 2))
        laws.append(fit_law(kind, low, high, max_duration, started=started, base=base, shrinkage=shrinkage))
    return laws


def _unbiased_counts(
    pmf: FloatArray, lower: IntArray, upper: IntArray, started: BoolArray, prior_weight: float, support: IntArray
) -> FloatArray:
    """Expected number of segments of each length, freed of the bias towards long ones; sums to n.

    A segment that was under way when the recording began is a length-biased draw: long ones are met more often. With
    m segments seen to start and n met under way, the law's likelihood equation is p(x) ~ c(x) / (m + n x / mean) for
    expected counts c (Vardi, "Empirical distributions in selection bias models", 1985).
    """
    counts = expected_counts(pmf, lower[started], upper[started])
    n_met = int((~started).sum())
    if not n_met:
        return counts
    n_fresh = len(lower) - n_met
    counts = counts + expected_counts_met(pmf, lower[~started], upper[~started])
    mean = float((pmf * support).sum())
    counts = counts / (n_fresh + prior_weight + n_met * support / mean)
    scaled: FloatArray = counts * (len(lower) / counts.sum())
    return scaled


def expected_counts(pmf: FloatArray, lower: IntArray, upper: IntArray) -> FloatArray:
    """Expected number of segments of each length, given bounds on each and a law (M,); sums to n. O(n + M).

    A segment whose bounds the law gives no mass (or that lie beyond M) counts at its lower bound.
    """
    size = len(pmf)
    first, last = np.minimum(lower, size) - 1, np.minimum(upper, size) - 1
    cumulative = np.r_[0.0, np.cumsum(pmf)]
    mass = cumulative[last + 1] - cumulative[first]
    # 1 / mass on [first, last] for each segment, by differences; exact lengths are added apart to stay exact.
    spread = (mass > SMALLEST_MASS) & (last > first)
    rate = np.zeros(size + 1)
    np.add.at(rate, first[spread], 1 / mass[spread])
    np.add.at(rate, last[spread] + 1, -1 / mass[spread])
    counts: FloatArray = pmf * np.maximum(np.cumsum(rate)[:-1], 0) + np.bincount(first[~spread], minlength=size)
    return counts


def expected_counts_met(pmf: FloatArray, lower: IntArray, upper: IntArray) -> FloatArray:
    """The same for segments met under way, of which the remaining time is bounded; sums to n. O(n + M).

    A remaining time d has weight P(X >= d), so a length x is met with as many of the d in [lower, upper] as x reaches.
    """
    size = len(pmf)
    first, last = np.minimum(lower, size) - 1, np.minimum(upper, size) - 1
    survivor = np.cumsum(pmf[::-1])[::-1]
    cumulative = np.r_[0.0, np.cumsum(survivor)]
    mass = cumulative[last + 1] - cumulative[first]
    reachable = mass > SMALLEST_MASS
    rate = np.zeros(size + 1)
    np.add.at(rate, first[reachable], 1 / mass[reachable])
    np.add.at(rate, last[reachable] + 1, -1 / mass[reachable])
    # Twice summed, the differences are ramps that rise from first to last and then stay.
    ramps = np.cumsum(np.maximum(np.cumsum(rate)[:-1], 0))
    counts: FloatArray = pmf * ramps + np.bincount(first[~reachable], minlength=size)
    return counts


def _resize(pmf: FloatArray, size: int) -> FloatArray:
    """Bring a pmf to ``size`` columns; what lies beyond is put on the last."""
    resized = np.zeros(size)
    inside = min(size, len(pmf))
    resized[:inside] = pmf[:inside]
    resized[-1] += pmf[inside:].sum()
    return resized


def _lump(pmf: FloatArray, max_duration: int, parameters: dict[str, float]) -> FittedLaw:
    beyond = float(pmf[max_duration:].sum())
    columns = np.maximum(_resize(pmf, max_duration), FLOOR)
    return FittedLaw(np.log(columns / columns.sum()), min(beyond, 1.0), parameters)


def _geometric_of_mean(mean: float, max_duration: int) -> FittedLaw:
    stay = 1 - 1 / mean
    support = np.arange(max_duration)
    pmf = stay**support / mean
    # "D or longer": stay ** (D - 1).
    pmf[-1] = stay ** (max_duration - 1)
    columns = np.maximum(pmf, FLOOR)
    return FittedLaw(np.log(columns / columns.sum()), float(stay**max_duration), {"mean": mean})
