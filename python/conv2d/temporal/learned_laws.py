"""The M step for laws of duration: expected segments in, whole or cut by a recording's end, the likeliest law out.

A segment that the end of a recording cuts scores the survivor G(d) = P(length >= d), one that its start cuts
G(d) / E[length], and one cut by both the tail sum of G over E[length]. Every law lives on 1 .. D frames and is
normalised there, so its cut at D is part of what is maximised, not an approximation: the likelihood cannot fall.

Sources: Yu, "Hidden semi-Markov models", 2010; Vardi, "Empirical distributions in selection bias models", 1985, for
segments met under way.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from conv2d.temporal.durations import FittedLaw
from conv2d.temporal.laws import Law
from conv2d.temporal.protocol import FloatArray

FLOOR = 1e-9
"""Segments of every length that a categorical law has seen beforehand: no length is ever quite impossible."""
NEWTON_STEPS = 12
CATEGORICAL_STEPS = 8
SMALLEST_GAIN = 1e-10
STEP_SIZES = np.array([1.0, 0.5, 0.25, 0.0625, 0.004])


@dataclass(frozen=True)
class ExpectedLengths:
    """Expected segments of one state by the length seen, (D,) each: complete, and cut on the left, right or both."""

    complete: FloatArray
    left: FloatArray
    right: FloatArray
    both: FloatArray

    @property
    def total(self) -> float:
        """Expected number of segments."""
        return float(self.complete.sum() + self.left.sum() + self.right.sum() + self.both.sum())

    def log_likelihood(self, log_pmf: FloatArray) -> FloatArray:
        """Expected log score of the segments under each of the laws (M, D), as the core scores them; (M,). O(M D)."""
        scores = _weighed(log_pmf, self.complete)
        under_way = float(self.left.sum() + self.both.sum())
        if under_way == 0 and not self.right.any():
            return np.asarray(scores)
        survivor = np.logaddexp.accumulate(log_pmf[:, ::-1], axis=1)[:, ::-1]
        scores = scores + _weighed(survivor, self.left + self.right)
        if under_way > 0:
            tail = np.logaddexp.accumulate(survivor[:, ::-1], axis=1)[:, ::-1]
            # The sum of all survivors is the mean length.
            scores = scores + _weighed(tail, self.both) - under_way * tail[:, 0]
        return scores


def _weighed(scores: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted sums (M,) in which a weight of zero takes nothing even of -inf."""
    counted = weights > 0
    return np.asarray(scores[:, counted] @ weights[counted])


def law_of_mean(kind: Law, mean: float, max_duration: int) -> FittedLaw:
    """A broad law to start from, of about this mean in frames, on 1 .. D."""
    mean = float(np.clip(mean, 1.0 + 1e-3, max(1.0 + 1e-3, 0.9 * max_duration)))
    if kind == "categorical":
        return _categorical(geometric_log_pmf(np.array([[_logit(1 - 1 / mean)]]), max_duration)[0])
    starts: dict[Law, list[float]] = {
        "negative_binomial": [np.log(mean - 1), 0.0],
        "poisson": [np.log(mean - 1)],
        "geometric": [_logit(1 - 1 / mean)],
        "gaussian": [mean, np.log(max(mean / 2, 1.0))],
    }
    return _fitted(kind, _inside(kind, np.array(starts[kind]), max_duration), max_duration)


def maximise_law(kind: Law, seen: ExpectedLengths, prior: FloatArray, law: FittedLaw) -> FittedLaw:
    """The law of one kind that makes expected lengths likeliest, at least as likely as ``law``.

    Args:
        kind: one of ``LAWS``.
        seen: expected segments, as ``conv2d_core.hsmm_expected_counts`` gives them.
        prior: (D,) segments of each length that count as seen beforehand.
        law: where to start; kept where nothing was seen.

    Cost: O(D) for each of a few steps.
    """
    known = ExpectedLengths(seen.complete + prior, seen.left, seen.right, seen.both)
    if kind == "categorical":
        return _maximise_categorical(known, law)
    if known.total <= 0:
        return law
    size = len(law.log_pmf)

    def score(points: FloatArray) -> FloatArray:
        return known.log_likelihood(_LOG_PMF[kind](points, size))

    start = _coordinates(kind, law.parameters)
    best = _climb(kind, score, start, size)
    updated = _fitted(kind, best, size)
    # Parameters go through exp and log: the last bits of the law that is kept are those that were scored.
    gained = known.log_likelihood(np.stack([law.log_pmf, updated.log_pmf]))
    return updated if gained[1] >= gained[0] else law


def law_of(kind: Law, parameters: dict[str, float], max_duration: int) -> FittedLaw:
    """The law of these parameters, in frames, on 1 .. D; not for categorical laws, which have none.

    Raises:
        KeyError: a parameter is missing.
    """
    return _fitted(kind, _inside(kind, _coordinates(kind, parameters), max_duration), max_duration)


def prior_lengths(mean: float, sd: float, strength: float, max_duration: int) -> FloatArray:
    """Segments of each length that a prior counts as seen: ``strength`` in all, gamma distributed, on 1 .. D."""
    shape, scale = (mean / sd) ** 2, sd**2 / mean
    lengths = np.arange(1, max_duration + 1)
    log_pmf = (shape - 1) * np.log(lengths) - lengths / scale
    weights = np.exp(log_pmf - log_pmf.max())
    prior: FloatArray = strength * weights / weights.sum()
    return prior


# Laws on 1 .. D as functions of unbounded coordinates (M, P) -> (M, D)


def negative_binomial_log_pmf(points: FloatArray, max_duration: int) -> FloatArray:
    """Length - 1 negative binomial; coordinates log(mean - 1) and log(size)."""
    excess, size = np.exp(points[:, :1]), np.exp(points[:, 1:])
    below = np.arange(max_duration - 1)
    ratio = np.log(below + size) - np.log(below + 1) + points[:, :1] - np.log(excess + size)
    return _normalised(ratio)


def poisson_log_pmf(points: FloatArray, max_duration: int) -> FloatArray:
    """Length - 1 Poisson; coordinate log(mean - 1)."""
    return _normalised(points - np.log(np.arange(1, max_duration)))


def geometric_log_pmf(points: FloatArray, max_duration: int) -> FloatArray:
    """Geometric length; coordinate the logit of staying one frame more."""
    log_stay = -np.logaddexp(0.0, -points)
    return _normalised(np.repeat(log_stay, max_duration - 1, axis=1))


def gaussian_log_pmf(points: FloatArray, max_duration: int) -> FloatArray:
    """Normal density at whole frames; coordinates mean and log(sd)."""
    lengths = np.arange(1, max_duration + 1)
    log_pmf = -0.5 * ((lengths - points[:, :1]) / np.exp(points[:, 1:])) ** 2
    return _log_normalised(log_pmf)


def _normalised(ratio: FloatArray) -> FloatArray:
    """Log pmf (M, D) from the logs (M, D - 1) of p(d + 1) / p(d)."""
    return _log_normalised(np.concatenate([np.zeros((len(ratio), 1)), np.cumsum(ratio, axis=1)], axis=1))


def _log_normalised(log_pmf: FloatArray) -> FloatArray:
    shifted = log_pmf - log_pmf.max(axis=1, keepdims=True)
    normalised: FloatArray = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return normalised


_LOG_PMF: dict[Law, Callable[[FloatArray, int], FloatArray]] = {
    "negative_binomial": negative_binomial_log_pmf,
    "poisson": poisson_log_pmf,
    "geometric": geometric_log_pmf,
    "gaussian": gaussian_log_pmf,
}


def _logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def _bounds(kind: Law, size: int) -> tuple[FloatArray, FloatArray]:
    widest = np.log(10.0 * size)
    ends: dict[Law, list[tuple[float, float]]] = {
        # From nearly a step at one frame to nearly Poisson, as in conv2d.temporal.laws.
        "negative_binomial": [(np.log(1e-6), widest), (np.log(0.1), np.log(1e4))],
        "poisson": [(np.log(1e-6), widest)],
        "geometric": [(_logit(1e-6), _logit(1 - 1e-6))],
        # A mean outside 1 .. D with a spread to match would be another law in disguise.
        "gaussian": [(1.0, float(size)), (np.log(1 / 3), np.log(2.0 * size))],
    }
    low, high = np.array(ends[kind]).T
    return low, high


def _inside(kind: Law, point: FloatArray, size: int) -> FloatArray:
    low, high = _bounds(kind, size)
    return np.asarray(np.clip(point, low, high))


def _coordinates(kind: Law, parameters: dict[str, float]) -> FloatArray:
    mean = parameters["mean"]
    if kind == "gaussian":
        return np.array([mean, np.log(parameters["sd"])])
    if kind == "geometric":
        return np.array([_logit(1 - 1 / mean)])
    log_excess = np.log(max(mean - 1, 1e-6))
    return np.array([log_excess, np.log(parameters["size"])] if kind == "negative_binomial" else [log_excess])


def _fitted(kind: Law, point: FloatArray, size: int) -> FittedLaw:
    values = [float(np.exp(value)) for value in point]
    if kind == "gaussian":
        parameters = {"mean": float(point[0]), "sd": values[1]}
    elif kind == "negative_binomial":
        parameters = {"mean": 1 + values[0], "size": values[1]}
    else:
        parameters = {"mean": 1 + values[0]}
    return FittedLaw(_LOG_PMF[kind](point[None], size)[0], 0.0, parameters)


def _climb(kind: Law, score: Callable[[FloatArray], FloatArray], start: FloatArray, size: int) -> FloatArray:
    """A maximum near ``start`` by damped Newton steps with differences for derivatives; never below the start."""
    low, high = _bounds(kind, size)
    point = np.clip(start, low, high)
    n = len(point)
    value = float(score(point[None])[0])
    corners = np.array(np.meshgrid(*[[-1, 0, 1]] * n, indexing="ij")).reshape(n, -1).T
    for _ in range(NEWTON_STEPS):
        unit = np.ones(n)
        if kind == "gaussian":
            unit[0] = np.exp(point[1])
        step = 1e-3 * unit
        around = score(point + corners * step).reshape((3,) * n)
        slope, curvature = _derivatives(around, n)
        # In units of ``step``; a direction without a peak is walked along its slope.
        bend, axes = np.linalg.eigh(curvature)
        move = axes @ ((axes.T @ slope) / np.maximum(np.abs(bend), 1e-12)) * 1e-3
        length = float(np.linalg.norm(move))
        if not np.isfinite(length) or length == 0:
            break
        move *= min(1.0, 1.5 / length)
        candidates = np.clip(point + STEP_SIZES[:, None] * move * unit, low, high)
        values = score(candidates)
        best = int(values.argmax())
        if not values[best] > value:
            break
        gain = float(values[best]) - value
        point, value = candidates[best], float(values[best])
        if gain < SMALLEST_GAIN * (1 + abs(value)):
            break
    return point


def _derivatives(around: FloatArray, n: int) -> tuple[FloatArray, FloatArray]:
    """Slope (n,) and curvature (n, n) at the middle of a 3^n grid, in units of its step."""
    if n == 1:
        return np.array([around[2] - around[0]]) / 2, np.array([[around[2] - 2 * around[1] + around[0]]])
    slope = np.array([around[2, 1] - around[0, 1], around[1, 2] - around[1, 0]]) / 2
    mixed = (around[2, 2] - around[2, 0] - around[0, 2] + around[0, 0]) / 4
    return slope, np.array(
        [
            [around[2, 1] - 2 * around[1, 1] + around[0, 1], mixed],
            [mixed, around[1, 2] - 2 * around[1, 1] + around[1, 0]],
        ]
    )


# Categorical law: expectation-maximisation over the whole lengths of cut segments, each step in closed form


def categorical_law(pmf: FloatArray) -> FittedLaw:
    """The law of these probabilities (D,)."""
    with np.errstate(divide="ignore"):
        return _categorical(np.log(pmf))


def _categorical(log_pmf: FloatArray) -> FittedLaw:
    lengths = np.arange(1, len(log_pmf) + 1)
    return FittedLaw(log_pmf, 0.0, {"mean": float(np.exp(log_pmf) @ lengths)})


def _maximise_categorical(seen: ExpectedLengths, law: FittedLaw) -> FittedLaw:
    cut = bool(seen.left.any() or seen.right.any() or seen.both.any())
    best, best_score = law.log_pmf, float(seen.log_likelihood(law.log_pmf[None])[0])
    for _ in range(CATEGORICAL_STEPS if cut else 1):
        log_pmf = _categorical_step(seen, best)
        score = float(seen.log_likelihood(log_pmf[None])[0])
        if not score > best_score:
            break
        gain = score - best_score
        best, best_score = log_pmf, score
        if gain < SMALLEST_GAIN * (1 + abs(score)):
            break
    return _categorical(best)


def _categorical_step(seen: ExpectedLengths, log_pmf: FloatArray) -> FloatArray:
    pmf = np.exp(log_pmf)
    survivor = np.cumsum(pmf[::-1])[::-1]
    tail = np.cumsum(survivor[::-1])[::-1]
    whole = pmf * np.cumsum(_share(seen.right, survivor))
    met = pmf * (np.cumsum(_share(seen.left, survivor)) + np.cumsum(np.cumsum(_share(seen.both, tail))))
    fresh = seen.complete + whole
    n_fresh, n_met = float(fresh.sum()), float(met.sum())
    counts, lengths = fresh + met, np.arange(1, len(pmf) + 1)
    if n_met == 0:
        updated = counts / n_fresh
    else:
        mean = _unbiased_mean(counts, n_fresh, n_met)
        updated = counts / (n_fresh + n_met * lengths / mean)
    with np.errstate(divide="ignore"):
        log_updated: FloatArray = np.log(updated / updated.sum())
    return log_updated


def _share(counts: FloatArray, mass: FloatArray) -> FloatArray:
    return np.divide(counts, mass, out=np.zeros_like(counts), where=(counts > 0) & (mass > 0))


def _unbiased_mean(counts: FloatArray, n_fresh: float, n_met: float) -> float:
    """The mean for which counts / (n_fresh + n_met * length / mean), Vardi's equation, sums to one; it has one root."""
    lengths = np.arange(1, len(counts) + 1)
    low, high = 0.5, 2.0 * len(counts)
    for _ in range(100):
        middle = (low * high) ** 0.5
        if (counts / (n_fresh + n_met * lengths / middle)).sum() < 1:
            low = middle
        else:
            high = middle
        if high / low < 1 + 1e-14:
            break
    return float((low * high) ** 0.5)
