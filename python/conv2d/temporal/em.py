"""Expectation-maximisation for hidden semi-Markov models: steps that never lower the (penalised) likelihood.

Source: Yu, "Hidden semi-Markov models", Artificial Intelligence 2010; Dempster, Laird and Rubin 1977.
"""

import copy
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from conv2d.errors import UsageError
from conv2d.temporal.durations import FittedLaw
from conv2d.temporal.emissions import EmissionModel
from conv2d.temporal.laws import Law
from conv2d.temporal.learned_laws import ExpectedLengths, maximise_law
from conv2d.temporal.protocol import BoolArray, FloatArray, IntArray
from conv2d_core import hsmm_expected_counts

ROUNDING = 1e-9
"""Share of a log likelihood by which two sums of the same terms may differ."""


@dataclass
class ConvergenceMonitor:
    """How the fit went, by the names that hmmlearn gives them.

    Attributes:
        history: what is maximised after each step, the start first: log likelihood plus log prior. It never falls.
        log_likelihoods: the log likelihood alone.
        tol: gain of a step below which the fit has converged.
        n_iter: steps at most.
    """

    tol: float
    n_iter: int
    history: list[float] = field(default_factory=list)
    log_likelihoods: list[float] = field(default_factory=list)

    @property
    def iter(self) -> int:
        """Steps done."""
        return max(0, len(self.history) - 1)

    @property
    def converged(self) -> bool:
        """Whether the last step gained less than ``tol``."""
        return len(self.history) > 1 and self.history[-1] - self.history[-2] < self.tol


@dataclass(frozen=True)
class Recordings:
    """What is learned from: observations of recordings one after the other.

    Attributes:
        X: observations, whatever the emission model takes.
        lengths: frames of each recording, their sum T.
        labels: (T,) int, the known state of a frame or below 0.
        has_data: (T,) bool, or None where every frame has what X says.
        log_transitions: (T, K, K) scores of changes into each frame, or None where they are learned.
    """

    X: Any
    lengths: tuple[int, ...]
    labels: IntArray
    has_data: BoolArray | None = None
    log_transitions: FloatArray | None = None

    def scores(self, emissions: EmissionModel, n_states: int) -> FloatArray:
        """Scores (T, K) of the frames: zeros without data, -inf for all states but the one that is known."""
        scores = np.asarray(emissions.log_likelihood(self.X), dtype=np.float64)
        if scores.shape != (len(self.labels), n_states):
            raise UsageError(
                f"E-TEMPORAL-022: log_likelihood() of the emissions gave shape {scores.shape}, expected "
                f"{(len(self.labels), n_states)}, a row a frame and a column a state"
            )
        known = self.labels >= 0
        if self.has_data is None and not known.any():
            return scores
        scores = scores.copy()
        if self.has_data is not None:
            scores[~self.has_data] = 0.0
        fixed = scores[known, self.labels[known]]
        scores[known] = -np.inf
        scores[known, self.labels[known]] = fixed
        return scores


@dataclass(frozen=True)
class Dynamics:
    """Start, order and durations: ``log_initial`` (K,), ``log_transitions`` (K, K) and a law for each state."""

    log_initial: FloatArray
    log_transitions: FloatArray
    laws: list[FittedLaw]

    @property
    def log_durations(self) -> FloatArray:
        """Log pmf of each state's lengths, (K, D)."""
        return np.stack([law.log_pmf for law in self.laws])


@dataclass(frozen=True)
class Prior:
    """What the M step adds to the counts, and what it leaves as it is.

    Attributes:
        kind: law of the durations.
        censoring: which ends of a recording cut segments.
        initial: (K,) starts added to the counts.
        transitions: (K, K) changes added to the counts.
        durations: (K, D) segments added to the counts.
        stay: probability of a self-transition, or None where it is learned, too.
        learn_order: whether start and transitions are learned at all.
    """

    kind: Law
    censoring: str
    initial: FloatArray
    transitions: FloatArray
    durations: FloatArray
    stay: float | None
    learn_order: bool = True

    def log_density(self, dynamics: Dynamics) -> float:
        """Log density of the dynamics under the prior, up to a constant."""
        total = weighed_sum(self.durations, dynamics.log_durations)
        if self.learn_order:
            total += weighed_sum(self.initial, dynamics.log_initial)
            total += weighed_sum(self.transitions, dynamics.log_transitions)
        return total

    def maximise(self, seen: "Expected", old: Dynamics, given_transitions: bool) -> Dynamics:
        """The M step of the dynamics."""
        laws = [
            maximise_law(
                self.kind,
                ExpectedLengths(seen.durations[k], seen.left[k], seen.right[k], seen.both[k]),
                self.durations[k],
                law,
            )
            if len(law.log_pmf) > 1
            else law
            for k, law in enumerate(old.laws)
        ]
        if not self.learn_order:
            return Dynamics(old.log_initial, old.log_transitions, laws)
        starts = seen.initial + self.initial
        log_initial = _log(starts / starts.sum())
        if given_transitions:
            return Dynamics(log_initial, old.log_transitions, laws)
        return Dynamics(log_initial, self._transitions(seen.transitions + self.transitions, old), laws)

    def _transitions(self, counts: FloatArray, old: Dynamics) -> FloatArray:
        k = len(counts)
        if k == 1:
            return old.log_transitions
        scale = 1.0
        if self.stay is not None:
            counts = np.where(np.eye(k, dtype=bool), 0.0, counts)
            scale = 1.0 - self.stay
        totals = counts.sum(axis=1, keepdims=True)
        rows = _log(scale * counts / np.where(totals > 0, totals, 1.0))
        if self.stay is not None:
            np.fill_diagonal(rows, float(_log(np.array(self.stay))))
        # A state that nothing was ever left from keeps its row.
        return np.where(totals > 0, rows, old.log_transitions)


@dataclass(frozen=True)
class Expected:
    """Counts expected over all recordings, summed in their order.

    Attributes:
        log_likelihood: of all recordings.
        posteriors: (T, K).
        initial: (K,), transitions (K, K), durations, left, right and both (K, D): see ``hsmm_expected_counts``.
    """

    log_likelihood: float
    posteriors: FloatArray
    initial: FloatArray
    transitions: FloatArray
    durations: FloatArray
    left: FloatArray
    right: FloatArray
    both: FloatArray


def expect(
    scores: FloatArray,
    lengths: Sequence[int],
    dynamics: Dynamics,
    censoring: Any,
    log_transitions: FloatArray | None = None,
    n_jobs: int = 1,
) -> Expected:
    """The E step over recordings, each a chain of its own; O(T K (K + D)), recordings shared out over threads.

    Raises:
        UsageError: no timeline explains a recording (E-TEMPORAL-023).
    """
    ends = np.cumsum(lengths)
    log_durations = dynamics.log_durations

    def one(number: int) -> tuple[Any, ...]:
        piece = slice(ends[number] - lengths[number], ends[number])
        order = dynamics.log_transitions if log_transitions is None else log_transitions[piece]
        try:
            return hsmm_expected_counts(scores[piece], order, dynamics.log_initial, log_durations, censoring)
        except ValueError as problem:
            raise UsageError(
                f"E-TEMPORAL-023: recording {number} of {len(lengths)} has no timeline under the model ({problem}); "
                "check its labels and X, or allow longer segments with max_duration_s or self_transition"
            ) from problem

    numbers = [number for number, length in enumerate(lengths) if length]
    if n_jobs > 1 and len(numbers) > 1:
        with ThreadPoolExecutor(n_jobs) as pool:
            parts = list(pool.map(one, numbers))
    else:
        parts = [one(number) for number in numbers]
    k, d = log_durations.shape
    sums = [np.zeros(k), np.zeros((k, k)), np.zeros((k, d)), np.zeros((k, d)), np.zeros((k, d)), np.zeros((k, d))]
    for _, _, initial, transitions, durations, cut in parts:
        for total, part in zip(
            sums, (initial, transitions, durations, cut["left"], cut["right"], cut["both"]), strict=True
        ):
            total += part
    posteriors = np.concatenate([np.empty((0, k)), *[part[1] for part in parts]])
    return Expected(float(sum(part[0] for part in parts)), posteriors, *sums)


@dataclass
class Learner:
    """One run of expectation-maximisation: where it stands, and how it got there.

    Attributes:
        recordings: what is learned from.
        prior: what is added to the counts.
        emissions: the emission model as it stands; changed in place by a step.
        dynamics: start, order and durations as they stand.
        monitor: the history.
        n_jobs: threads for the E step.
        seen: the counts expected under what stands.
    """

    recordings: Recordings
    prior: Prior
    emissions: EmissionModel
    dynamics: Dynamics
    monitor: ConvergenceMonitor
    n_jobs: int = 1
    seen: Expected = field(init=False)

    def __post_init__(self) -> None:
        """Score the start."""
        self._expect()

    @property
    def objective(self) -> float:
        """What is maximised: log likelihood plus log prior."""
        return self.monitor.history[-1]

    def run(self, n_iter: int) -> "Learner":
        """Do up to ``n_iter`` steps more, fewer once converged."""
        for _ in range(n_iter):
            if self.monitor.converged or not self._step():
                break
        return self

    def _step(self) -> bool:
        before = copy.deepcopy(self.emissions), self.dynamics, self.seen
        posteriors = self.seen.posteriors
        if self.recordings.has_data is not None:
            posteriors = np.where(self.recordings.has_data[:, None], posteriors, 0.0)
        self.emissions.update(self.recordings.X, posteriors)
        given = self.recordings.log_transitions is not None
        self.dynamics = self.prior.maximise(self.seen, self.dynamics, given)
        self._expect()
        last, now = self.monitor.history[-2:]
        if now >= last:
            return True
        if not now >= last - ROUNDING * (1 + abs(last)):
            warnings.warn(
                f"E-TEMPORAL-024: step {self.monitor.iter} took the likelihood from {last:.6g} to {now:.6g}, expected "
                f"it never to fall (the step was taken back): update() of {type(self.emissions).__name__} does not "
                "maximise log_likelihood() and log_prior()",
                stacklevel=4,
            )
        # Nothing but rounding is left to gain, or the step was none: what stood before is kept.
        self.emissions, self.dynamics, self.seen = before
        self.monitor.history[-1] = last
        self.monitor.log_likelihoods[-1] = self.monitor.log_likelihoods[-2]
        return False

    def _expect(self) -> None:
        known = self.recordings
        self.seen = expect(
            known.scores(self.emissions, len(self.dynamics.laws)),
            known.lengths,
            self.dynamics,
            self.prior.censoring,
            known.log_transitions,
            self.n_jobs,
        )
        own_prior = getattr(self.emissions, "log_prior", None)
        penalty = self.prior.log_density(self.dynamics) + (float(own_prior()) if own_prior is not None else 0.0)
        self.monitor.log_likelihoods.append(self.seen.log_likelihood)
        self.monitor.history.append(self.seen.log_likelihood + penalty)


def weighed_sum(weights: FloatArray, scores: FloatArray) -> float:
    """Sum of weights times scores, where a weight of zero takes nothing even of -inf."""
    counted = weights > 0
    return float((weights[counted] * scores[counted]).sum())


def _log(shares: FloatArray) -> FloatArray:
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(shares))
