"""Hidden semi-Markov model: segments with explicit durations, counted in labelled recordings or learned without labels.

Source: Yu, "Hidden semi-Markov models", Artificial Intelligence 2010.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.durations import FittedLaw, fit_durations
from conv2d.temporal.em import Dynamics
from conv2d.temporal.emissions import EmissionModel
from conv2d.temporal.laws import LAWS, Law
from conv2d.temporal.learned_laws import categorical_law, law_of
from conv2d.temporal.learning import DurationPrior, Options, check_prior, make_options
from conv2d.temporal.observed import ObservedModel
from conv2d.temporal.protocol import FloatArray, require_positive
from conv2d.temporal.statistics import SegmentStatistics

MAX_DURATION_FRAMES = 400
"""Bound of the automatic D: decoding costs O(T K D), and longer segments go on by a self-transition."""


@dataclass(eq=False)
class HSMM(ObservedModel):
    """A timeline as a chain of segments, each with a length drawn from its class's law.

    There are two ways to fit one, and ``emission_model`` says which:

    - **None** (the default): counted in labelled recordings, ``fit(label_sequences, groups, ends)``, and laid over the
      log probabilities of a classifier, ``decode(log_proba)``. No gradient and no restarts. Unlabelled spans and the
      edges of recordings hide where segments end: those lengths count as bounds only (see
      :mod:`conv2d.temporal.statistics`). It has the emission weight, the prior power and the shrinkage.
    - **"gaussian", "categorical", "scores" or an object**: learned from observations without labels, or with some,
      ``fit(X, lengths, labels)``, by expectation-maximisation with restarts; ``decode``, ``predict``, ``smooth``,
      ``filter``, ``score`` and ``sample`` then take and give observations. The names are those of hmmlearn
      (``monitor_``, ``means_``, ``covars_``, ``emissionprob_``, ``transmat_``, ``startprob_``), except that there is no
      ``predict_proba``: say ``smooth`` (given the whole recording) or ``filter`` (given the past).

    A segment may last longer than D, the largest length in the law: it may be followed by another segment of its own
    class, and the timeline joins the two. Fitted from labels, that has the probability that a segment outlasts D (at
    least ``self_transition``); learned, it has ``self_transition``. Strictly only a segment of length D should be
    allowed to go on; here one of any length may, at that small price. So a recording far longer than any in training
    is never forced to switch, and recordings of one label each give a model that stays.

    What is learned never falls: the log likelihood plus the log priors of transitions (``transition_pseudocount``),
    durations (``duration_prior_s``) and emissions. Laws are normalised on 1 .. D frames, and the survivor of segments
    that the ends of recordings cut is part of what is maximised. A D of one frame makes an HMM (:class:`HMM`), in which
    staying is learned.

    Args:
        n_states: K, the number of classes.
        frame_s: seconds between frames.
        transitions: "learned", or "uniform": every other class equally likely next and every class at the start,
            which shows what a learned order (a script, perhaps) brings.
        transition_pseudocount: changes added to each row of counts, spread over the other classes; 0 only where the
            model is learned from observations.
        emission_weight: trust in one frame, well below 1 for overlapping windows; tuned by
            :func:`conv2d.temporal.tuning.tune_decoders`. Of a classifier's probabilities only: emission models have a
            weight of their own.
        prior_power: how much of the class prior is divided out of a frame's probabilities, 0 to 1; below 1 for a
            classifier trained on balanced classes.
        max_gap_s: longest unlabelled span across which a change is counted.
        censoring: which edges of a recording cut segments: "both" (a recording starts and stops at any time),
            "left", "right" or "none".
        durations: "categorical", "negative_binomial", "poisson", "geometric" or "gaussian"; None takes "categorical"
            (smoothed) from labels, "negative_binomial" from observations.
        max_duration_s: longest segment of the laws; None takes a quarter more than the longest seen, at most 400
            frames, and from observations the longest recording, at most 400 frames.
        shrinkage: segments that the pooled spread counts as when a class's law is fitted from labels.
        self_transition: smallest probability that a segment goes on beyond D; from observations the probability
            itself, which may be 0.
        duration_prior_s: what is known of durations beforehand, in seconds:
            ``{"mean": 12.0, "sd": 4.0, "strength": 5}``, one number or one for each state, where ``strength`` is the
            number of segments that it counts as (``sd`` half the mean and ``strength`` 1 unless given). It is where
            learning starts, too.
        emission_model: see above, and :mod:`conv2d.temporal.emissions` for objects of your own.
        n_init: starts of the learning; each gets ten steps, and the best goes on.
        n_iter: steps at most.
        tol: gain in log likelihood below which it has converged.
        random_state: seed of the starts; None for others at every fit.
        n_jobs: threads, recordings shared out over them; the result is the same for any number.

    Attributes:
        duration_laws_: parameters of each class's law, for reports; in frames.
        emissions_: the learned emission model.
        monitor_: ``history`` of what was maximised, ``converged``, ``iter``, ``log_likelihoods``.

    Example:
        >>> import numpy as np
        >>> model = HSMM(n_states=2, frame_s=0.5, emission_weight=1.0).fit([[0] * 8 + [1] * 4 + [0] * 9 + [1] * 5])
        >>> noisy = np.log([[0.8, 0.2]] * 5 + [[0.3, 0.7]] + [[0.8, 0.2]] * 3 + [[0.1, 0.9]] * 4)
        >>> model.decode(noisy).segments.tolist()
        [[0, 0, 9], [1, 9, 13]]

        >>> rng = np.random.default_rng(0)
        >>> truth = np.tile(np.repeat([0, 1], [20, 10]), 20)
        >>> learned = HSMM(2, frame_s=0.1, emission_model="gaussian", max_duration_s=4.0)
        >>> learned.fit(rng.normal(3.0 * truth)[:, None]).mean_durations_s_.round(1).tolist()
        [2.0, 1.0]
        >>> learned.monitor_.converged
        True
    """

    KIND: ClassVar[str] = "hsmm"
    LEARNING: ClassVar[tuple[str, ...]] = (*ObservedModel.LEARNING, "duration_prior_s")

    durations: Law | None = None
    max_duration_s: float | None = None
    shrinkage: float = 4.0
    self_transition: float = 1e-3
    duration_prior_s: DurationPrior | None = field(default=None, kw_only=True)

    duration_laws_: list[dict[str, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        learned = self.emission_model is not None
        if self.durations is None:
            self.durations = "negative_binomial" if learned else "categorical"
        if self.durations not in LAWS:
            raise UsageError(f"E-TEMPORAL-005: durations is {self.durations!r}, expected one of {', '.join(LAWS)}")
        if self.max_duration_s is not None:
            require_positive(self.max_duration_s, "max_duration_s")
        require_positive(self.shrinkage, "shrinkage")
        if not 0 < self.self_transition < 1 and not (learned and self.self_transition == 0):
            raise UsageError(f"E-TEMPORAL-005: self_transition is {self.self_transition}, expected between 0 and 1")
        check_prior(self.duration_prior_s, self.n_states)
        if self.duration_prior_s is not None and not learned:
            raise UsageError(
                "E-TEMPORAL-005: got duration_prior_s without emission_model, expected both: see shrinkage"
            )

    @classmethod
    def of(
        cls,
        startprob: npt.ArrayLike,
        transmat: npt.ArrayLike,
        duration_laws: Sequence[Mapping[str, float]] | FloatArray,
        emissions: EmissionModel,
        *,
        frame_s: float,
        max_duration_s: float | None = None,
        **params: Any,
    ) -> Self:
        """A model of known parameters: to sample from, to decode with, or to go on from by ``fit(warm_start=True)``.

        Args:
            startprob: (K,) probabilities of the first state.
            transmat: (K, K) probabilities of the state after a segment of each.
            duration_laws: K mappings of parameters in frames, as in ``duration_laws_`` (``mean``; ``size`` for the
                negative binomial, ``sd`` for the Gaussian), or an array (K, D) of probabilities: categorical durations.
            emissions: an emission model that can score, such as ``GaussianEmissions.of(means, covars)``.
            frame_s: seconds between frames.
            max_duration_s: longest segment of the laws; None only where ``duration_laws`` are probabilities.
            params: other parameters of the class.

        Raises:
            UsageError: shapes that do not fit, or parameters that are missing (E-TEMPORAL-020).

        Example:
            >>> from conv2d.temporal.gaussian_emissions import GaussianEmissions
            >>> two = GaussianEmissions.of([[0.0], [3.0]], [[1.0], [1.0]])
            >>> laws = [{"mean": 20, "size": 9}, {"mean": 10, "size": 9}]
            >>> model = HSMM.of([0.5, 0.5], [[0, 1], [1, 0]], laws, two, frame_s=0.1, max_duration_s=5.0)
            >>> X, states, segments = model.sample(1000, random_state=0)
            >>> X.shape, states.shape, bool(model.score(X) > model.score(X[::-1] + 1.0))
            ((1000, 1), (1000,), True)
        """
        k = len(np.asarray(startprob))
        if isinstance(duration_laws, np.ndarray):
            params["durations"], max_duration_s = "categorical", duration_laws.shape[-1] * frame_s
        model = cls(k, frame_s, emission_model=emissions, max_duration_s=max_duration_s, **params)
        if isinstance(duration_laws, np.ndarray):
            pmf = duration_laws.astype(np.float64)
            if pmf.ndim != 2 or len(pmf) != k or not (pmf >= 0).all() or not np.allclose(pmf.sum(axis=1), 1):
                raise UsageError(
                    f"E-TEMPORAL-020: duration_laws of shape {pmf.shape} hold no probabilities, expected ({k}, D) with "
                    "rows that sum to 1"
                )
            return model._set_known(startprob, transmat, [categorical_law(row) for row in pmf], emissions)
        if max_duration_s is None or model.law == "categorical" or len(duration_laws) != k:
            raise UsageError(
                f"E-TEMPORAL-020: got {len(duration_laws)} duration_laws with durations={model.law!r} and "
                f"max_duration_s={max_duration_s}, expected {k} of a law that has parameters, and seconds"
            )
        try:
            frames = max(1, round(max_duration_s / frame_s))
            laws = [law_of(model.law, dict(law), frames) for law in duration_laws]
        except KeyError as problem:
            raise UsageError(
                f"E-TEMPORAL-020: a law of duration_laws lacks {problem}, expected the parameters of a {model.law} law"
            ) from problem
        return model._set_known(startprob, transmat, laws, emissions)

    @property
    def law(self) -> Law:
        """Law of the durations: what ``durations`` says, or stands for where it was None."""
        assert self.durations is not None
        return self.durations

    @property
    def mean_durations_s_(self) -> FloatArray:
        """Mean length (K,) of each state's segments under its law on 1 .. D, in seconds."""
        self._check_fitted("mean_durations_s_")
        pmf = np.exp(self.log_durations_)
        means: FloatArray = pmf @ np.arange(1, pmf.shape[1] + 1) / pmf.sum(axis=1) * self.frame_s
        return means

    def _longest_segment(self, longest: int) -> int:
        if self.max_duration_s is None:
            return min(longest, MAX_DURATION_FRAMES)
        return max(1, round(self.max_duration_s / self.frame_s))

    def _options(self, max_duration: int) -> Options:
        return make_options(
            self.n_states,
            max_duration,
            self.law,
            self.duration_prior_s,
            self.frame_s,
            pseudocount=self.transition_pseudocount,
            self_transition=self.self_transition,
            censoring=self.censoring,
            learn_order=self.transitions == "learned",
        )

    def _dynamics(self) -> Dynamics:
        rows = zip(self.log_durations_, self.duration_laws_, strict=True)
        laws = [FittedLaw(log_pmf, 0.0, parameters) for log_pmf, parameters in rows]
        return Dynamics(self.log_initial_, self.log_transitions_, laws)

    def _set_dynamics(self, dynamics: Dynamics) -> None:
        super()._set_dynamics(dynamics)
        self.duration_laws_ = [law.parameters for law in dynamics.laws]

    def _n_dynamics(self) -> int:
        k, d = self.log_durations_.shape
        own: dict[Law, int] = {
            "categorical": d - 1,
            "negative_binomial": 2,
            "gaussian": 2,
            "poisson": 1,
            "geometric": 1,
        }
        lengths = k * own[self.law] if d > 1 else 0
        if self.transitions == "uniform":
            return int(lengths)
        # A start, and of each row what is left of a distribution over the states that may follow.
        return int(lengths + k - 1 + k * max(0, k - 2 if d > 1 else k - 1))

    def _fit_dynamics(self, seen: SegmentStatistics) -> None:
        if self.max_duration_s is not None:
            max_duration = max(1, round(self.max_duration_s / self.frame_s))
        else:
            max_duration = min(int(np.ceil(1.25 * seen.lower.max())) + 1, MAX_DURATION_FRAMES)
        laws = fit_durations(self.law, seen, max_duration, self.shrinkage)
        self.log_durations_ = np.stack([law.log_pmf for law in laws])
        self.duration_laws_ = [law.parameters | {"beyond": law.beyond} for law in laws]
        self.log_transitions_ = self._log_transitions(seen, self._stay(laws))

    def _stay(self, laws: list[FittedLaw]) -> FloatArray:
        # Never certain: a state that cannot be left would hold every timeline that enters it.
        return np.clip([law.beyond for law in laws], self.self_transition, 0.999)

    def with_uniform_transitions(self) -> Self:
        """A copy that keeps the durations and forgets the order: see ``transitions="uniform"``."""
        self._check_fitted("with_uniform_transitions")
        other = self.with_emissions(self.emission_weight)
        other.transitions = "uniform"
        k = self.n_states
        other.log_initial_ = np.full(k, -np.log(k))
        other.log_final_ = np.zeros(k)
        if k > 1:
            stay = np.exp(np.diagonal(self.log_transitions_))
            leave = np.repeat(((1 - stay) / (k - 1))[:, None], k, axis=1)
            with np.errstate(divide="ignore"):  # a learned model may forbid to stay
                other.log_transitions_ = np.log(np.where(np.eye(k, dtype=bool), stay[:, None], leave))
        return other

    def to_dict(self) -> dict[str, Any]:
        """Parameters and everything fitted as plain JSON values, exact to the last bit."""
        return super().to_dict() | {"duration_laws": self.duration_laws_}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave; see the base class for errors."""
        model = super().from_dict(data)
        laws = data.get("duration_laws")
        if not isinstance(laws, list) or len(laws) != model.n_states:
            raise UsageError(
                f"E-TEMPORAL-006: the stored hsmm cannot be read (no law for each of {model.n_states} states in "
                "'duration_laws'), expected what to_dict() wrote"
            )
        model.duration_laws_ = [dict(law) for law in laws]
        return model
