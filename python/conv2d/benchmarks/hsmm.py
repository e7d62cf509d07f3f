"""HSMM decoding and posteriors against a loop in numpy, hmmlearn, and themselves at other sizes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from math import lgamma, log
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conv2d.benchmarks.measure import Row, Times, alone, compare
from conv2d_core import hsmm_forward_backward, hsmm_viterbi

PART = "hsmm"
LAWS = ("poisson", "negative_binomial", "gaussian", "uniform")
Array = NDArray[np.float64]
Update = Callable[[Row], None]


@dataclass(frozen=True)
class Problem:
    """Scores of a recording and a model: the arguments of the core's functions."""

    emissions: Array  # (T, K)
    transitions: Array  # (K, K)
    initial: Array  # (K,)
    durations: Array  # (K, D)

    censoring: Literal["none", "right"] = "right"

    @property
    def arguments(self) -> tuple[Array, Array, Array, Array, Literal["none", "right"]]:
        """As `hsmm_viterbi` takes them."""
        return self.emissions, self.transitions, self.initial, self.durations, self.censoring

    def uncensored(self) -> "Problem":
        """The same with whole segments at both ends, as peers have it."""
        return replace(self, censoring="none")

    def viterbi(self) -> Any:
        """What `hsmm_viterbi` gives."""
        return hsmm_viterbi(*self.arguments)

    def forward_backward(self) -> Any:
        """What `hsmm_forward_backward` gives."""
        return hsmm_forward_backward(*self.arguments)


def make_problem(frames: int, states: int, longest: int, law: str = "poisson", *, flat: bool = False) -> Problem:
    """Segments with durations of a law whose mean is a third of the longest, states one deviation apart.

    ``flat`` gives emissions that say nothing. No self-transitions, but for a longest duration of one frame.
    """
    rng = np.random.default_rng(1)
    mean = max(1.0, longest / 3)
    truth = np.zeros(frames, np.int64)
    start, state = 0, 0
    while start < frames:
        length = 1 + int(rng.poisson(mean))
        state = int(state + 1 + rng.integers(states - 1)) % states
        truth[start : start + length] = state
        start += length
    seen = (truth + rng.normal(size=frames))[:, None]
    emissions = np.zeros((frames, states)) if flat else -0.5 * (seen - np.arange(states)) ** 2
    transitions = np.full((states, states), -log(states - 1))
    if longest > 1:
        np.fill_diagonal(transitions, -np.inf)
    weights = np.array([log_weight(law, d, longest) for d in range(1, longest + 1)])
    return Problem(emissions, transitions, np.full(states, -log(states)), np.tile(weights, (states, 1)))


def log_weight(law: str, duration: int, longest: int) -> float:
    """Log weight of a duration in frames under a law whose mean is about a third of the longest.

    >>> log_weight("uniform", 3, 1)
    -0.0
    """
    count, mean = duration - 1, max(1.0, longest / 3)
    if law == "poisson":
        return count * log(mean) - mean - lgamma(count + 1)
    if law == "negative_binomial":  # variance: mean + mean^2 / size
        size = 4.0
        spread = lgamma(count + size) - lgamma(size) - lgamma(count + 1)
        return spread + size * log(size / (size + mean)) + count * log(mean / (size + mean))
    if law == "gaussian":
        return -0.5 * ((count - mean) / (0.3 * mean)) ** 2 - log(0.3 * mean)
    return -log(longest)


def numpy_viterbi(problem: Problem) -> float:
    """Score of the best path by a loop over frames, all durations of a frame at once: the peer to beat.

    Without censoring. O(T K (K + D)), as the core's.
    """
    frames, states = problem.emissions.shape
    longest = problem.durations.shape[1]
    sums = np.vstack([np.zeros(states), np.cumsum(problem.emissions, axis=0)])
    started = np.full((frames + 1, states), -np.inf)
    started[0] = problem.initial
    backwards = np.ascontiguousarray(problem.durations.T[::-1])
    ended = problem.initial
    for end in range(1, frames + 1):
        first = max(0, end - longest)
        ended = sums[end] + np.max(started[first:end] + backwards[longest - (end - first) :], axis=0)
        started[end] = np.max(ended[:, None] + problem.transitions, axis=0) - sums[end]
    return float(ended.max())


def rows(seconds: float, *, quick: bool) -> Iterator[Row]:
    """All rows of this part; with ``quick`` only the small sizes."""
    for (frames, states, longest), least, aim in (
        ((10_000, 8, 100), 290, 400),
        ((100_000, 12, 200), 127, 200),
        ((10_000, 64, 100), 42, 80),
    ):
        if quick and frames > 10_000:
            continue
        problem = make_problem(frames, states, longest)
        ours, theirs = compare(problem.uncensored().viterbi, partial(numpy_viterbi, problem), seconds)
        yield _faster("Viterbi", f"T={frames:,} K={states} D={longest}", "numpy loop", least, aim, ours, theirs)
    for frames in (10_000,) if quick else (10_000, 100_000):
        yield from _plain_hmm(frames, seconds)
    yield from _growth(seconds, quick=quick)
    size = (10_000, 8, 100) if quick else (100_000, 12, 200)
    problem = make_problem(*size)
    ours, theirs = compare(problem.forward_backward, problem.viterbi, seconds)
    text = f"T={size[0]:,} K={size[1]} D={size[2]}"
    ratio = ours.median_ms / theirs.median_ms
    yield Row(PART, "forward-backward over Viterbi", text, "own Viterbi", "times", 6, 3, ours, theirs, ratio)


def costs(seconds: float, *, quick: bool) -> dict[str, dict[str, list[tuple[float, float]]]]:
    """Milliseconds of Viterbi and forward-backward as T, D and K grow: by axis and function, (size, ms) pairs."""
    axes: dict[str, list[tuple[int, int, int]]] = {
        "T": [(frames, 8, 100) for frames in (1000, 3000, 10_000, 30_000, 100_000)],
        "D": [(10_000, 8, longest) for longest in (1, 10, 30, 100, 300, 1000, 3000)],
        "K": [(10_000, states, 100) for states in (2, 4, 8, 16, 32, 64)],
    }
    found: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for place, (axis, sizes) in enumerate(axes.items()):
        found[axis] = {"Viterbi": [], "forward-backward": []}
        for size in sizes[:3] if quick else sizes:
            problem = make_problem(*size)
            for name, call in (("Viterbi", problem.viterbi), ("forward-backward", problem.forward_backward)):
                found[axis][name].append((float(size[(0, 2, 1)[place]]), alone(call, seconds / 4).median_ms))
    return found


def _faster(name: str, size: str, peer: str, least: float, aim: float, ours: Times, theirs: Times) -> Row:
    return Row(PART, name, size, peer, "faster", least, aim, ours, theirs, theirs.median_ms / ours.median_ms)


def _plain_hmm(frames: int, seconds: float) -> Iterator[Row]:
    """D = 1 is a plain HMM; hmmlearn's own kernels get the same scores, so that neither side converts anything."""
    size = f"T={frames:,} K=8 D=1"
    try:
        hmmc = import_module("hmmlearn._hmmc")
    except ImportError:
        for name, least, aim in (("Viterbi at D = 1", 2, 4), ("forward-backward at D = 1", 1, 2)):
            yield Row(PART, name, size, "hmmlearn", "faster", least, aim, reason="hmmlearn is not installed")
        return
    problem = make_problem(frames, 8, 1)
    initial, transitions = np.exp(problem.initial), np.exp(problem.transitions)
    likelihoods = np.exp(problem.emissions)

    def scaled() -> tuple[float, Array]:  # what `implementation="scaling"` runs, up to the posteriors
        log_likelihood, forward, scaling = hmmc.forward_scaling(initial, transitions, likelihoods)
        backward = hmmc.backward_scaling(initial, transitions, likelihoods, scaling)
        posteriors = np.asarray(forward) * np.asarray(backward)
        posteriors /= posteriors.sum(axis=1, keepdims=True)
        return float(log_likelihood), posteriors

    plain = problem.uncensored()
    ours, theirs = compare(plain.viterbi, lambda: hmmc.viterbi(initial, transitions, problem.emissions), seconds)
    yield _faster("Viterbi at D = 1", size, "hmmlearn", 2, 4, ours, theirs)
    ours, theirs = compare(plain.forward_backward, scaled, seconds)
    yield _faster("forward-backward at D = 1", size, "hmmlearn, scaling", 1, 2, ours, theirs)


def _growth(seconds: float, *, quick: bool) -> Iterator[Row]:
    frames, states, short, long = (4000, 8, 100, 1000) if quick else (40_000, 8, 100, 10_000)
    for law in LAWS:
        for flat in (False, True):
            few = make_problem(frames, states, short, law, flat=flat)
            many = make_problem(frames, states, long, law, flat=flat)
            ours, theirs = compare(many.viterbi, few.viterbi, seconds)
            name = f"Viterbi, {law.replace('_', ' ')} durations, {'flat' if flat else 'informative'} emissions"
            least, aim = (None, None) if quick else (8, 4)
            size = f"T={frames:,} K={states}, D={long:,} over D={short}"
            ratio = ours.median_ms / theirs.median_ms
            yield Row(PART, name, size, "itself at the smaller D", "times", least, aim, ours, theirs, ratio)
