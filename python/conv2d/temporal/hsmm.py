"""Hidden semi-Markov model: segments with explicit durations, fitted from labelled recordings.

Source: Yu, "Hidden semi-Markov models", Artificial Intelligence 2010.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from conv2d.errors import UsageError
from conv2d.temporal.durations import FittedLaw, fit_durations
from conv2d.temporal.laws import LAWS, Law
from conv2d.temporal.model import SegmentModel
from conv2d.temporal.protocol import FloatArray, require_positive
from conv2d.temporal.statistics import SegmentStatistics

MAX_DURATION_FRAMES = 400
"""Bound of the automatic D: decoding costs O(T K D), and longer segments go on by a self-transition."""


@dataclass(eq=False)
class HSMM(SegmentModel):
    """A timeline as a chain of segments, each with a length drawn from its class's law.

    Fitted by counting in labelled recordings, so no gradient and no restarts. Unlabelled spans and the edges of
    recordings hide where segments end: those lengths count as bounds only (see
    :mod:`conv2d.temporal.statistics`), and decoding treats both edges of a recording as cut.

    A segment may last longer than D, the largest length in the law: it may be followed by another segment of its own
    class, with the probability that a segment outlasts D (at least ``self_transition``), and the timeline joins the
    two. Strictly only a segment of length D should be allowed to go on; here one of any length may, at that small
    price. So a recording far longer than any in training is never forced to switch, and recordings of one label each
    give a model that stays.

    Args:
        n_states: K, the number of classes.
        frame_s: seconds between frames.
        transitions: "learned", or "uniform": every other class equally likely next and every class at the start,
            which shows what a learned order (a script, perhaps) brings.
        transition_pseudocount: changes added to each row of counts, spread over the other classes.
        emission_weight: trust in one frame, well below 1 for overlapping windows; tuned by
            :func:`conv2d.temporal.tuning.tune_decoders`.
        prior_power: how much of the class prior is divided out of a frame's probabilities, 0 to 1; below 1 for a
            classifier trained on balanced classes.
        max_gap_s: longest unlabelled span across which a change is counted.
        censoring: which edges of a recording cut segments: "both" (a recording starts and stops at any time),
            "left", "right" or "none".
        durations: "categorical", "negative_binomial", "poisson", "geometric" or "gaussian".
        max_duration_s: longest segment of the laws; None takes a quarter more than the longest seen, at most 400
            frames.
        shrinkage: segments that the pooled spread counts as when a class's law is fitted.
        self_transition: smallest probability that a segment goes on beyond D.

    Attributes:
        duration_laws_: parameters of each class's law, for reports; in frames.

    Example:
        >>> import numpy as np
        >>> model = HSMM(n_states=2, frame_s=0.5, emission_weight=1.0).fit([[0] * 8 + [1] * 4 + [0] * 9 + [1] * 5])
        >>> noisy = np.log([[0.8, 0.2]] * 5 + [[0.3, 0.7]] + [[0.8, 0.2]] * 3 + [[0.1, 0.9]] * 4)
        >>> model.decode(noisy).segments.tolist()
        [[0, 0, 9], [1, 9, 13]]
    """

    KIND: ClassVar[str] = "hsmm"

    durations: Law = "categorical"
    max_duration_s: float | None = None
    shrinkage: float = 4.0
    self_transition: float = 1e-3

    duration_laws_: list[dict[str, float]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        super().__post_init__()
        if self.durations not in LAWS:
            raise UsageError(f"E-TEMPORAL-005: durations is {self.durations!r}, expected one of {', '.join(LAWS)}")
        if self.max_duration_s is not None:
            require_positive(self.max_duration_s, "max_duration_s")
        require_positive(self.shrinkage, "shrinkage")
        if not 0 < self.self_transition < 1:
            raise UsageError(f"E-TEMPORAL-005: self_transition is {self.self_transition}, expected between 0 and 1")

    def _fit_dynamics(self, seen: SegmentStatistics) -> None:
        if self.max_duration_s is not None:
            max_duration = max(1, round(self.max_duration_s / self.frame_s))
        else:
            max_duration = min(int(np.ceil(1.25 * seen.lower.max())) + 1, MAX_DURATION_FRAMES)
        laws = fit_durations(self.durations, seen, max_duration, self.shrinkage)
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
