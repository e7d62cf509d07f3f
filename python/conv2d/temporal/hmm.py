"""Hidden Markov model: the HSMM's special case in which a class's law of duration is geometric.

Source: Rabiner, "A tutorial on hidden Markov models", 1989.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.durations import FittedLaw
from conv2d.temporal.em import Dynamics
from conv2d.temporal.emissions import EmissionModel
from conv2d.temporal.learning import Options, make_options
from conv2d.temporal.observed import ObservedModel
from conv2d.temporal.statistics import OPEN, SegmentStatistics


@dataclass(eq=False)
class HMM(ObservedModel):
    """A timeline as a Markov chain over frames: the same interface as HSMM, one number for each class's durations.

    The chance to leave a class in a frame is the number of segments seen to end there over the frames at risk, with
    half an end added (Jeffreys), so that recordings of one label each give a model that stays. A segment without a
    seen end counts as time at risk only. With an ``emission_model`` it is learned from observations instead, as a model
    of hmmlearn is (Baum-Welch; ``transmat_`` with staying on its diagonal). Runs in the native core as durations of one
    frame with self-transitions, O(T K^2).

    Args: as for :class:`~conv2d.temporal.hsmm.HSMM`, without those of durations. ``censoring`` makes no difference
    here (a geometric law has no memory) and is kept for the shared interface.

    Example:
        >>> model = HMM(n_states=2, frame_s=0.5).fit([[0] * 8 + [1] * 4 + [0] * 9 + [1] * 5])
        >>> model.log_durations_.shape
        (2, 1)
    """

    KIND: ClassVar[str] = "hmm"

    def _fit_dynamics(self, seen: SegmentStatistics) -> None:
        leave = np.full(self.n_states, 0.0)
        for state in range(self.n_states):
            low, high, _ = seen.of_state(state)
            ended = high < OPEN
            # An interval counts as its middle. A geometric law has no memory, so an unseen start does not matter.
            risk = low[~ended].sum() + (low[ended] + high[ended]).sum() / 2
            leave[state] = (ended.sum() + 0.5) / (risk + 1)
        self.log_durations_ = np.zeros((self.n_states, 1))
        self.log_transitions_ = self._log_transitions(seen, 1 - np.clip(leave, 1e-6, 0.5))

    @classmethod
    def of(
        cls,
        startprob: npt.ArrayLike,
        transmat: npt.ArrayLike,
        emissions: EmissionModel,
        *,
        frame_s: float,
        **params: Any,
    ) -> Self:
        """A model of known parameters: to sample from, to decode with, or to go on from by ``fit(warm_start=True)``.

        Args:
            startprob: (K,) probabilities of the first state.
            transmat: (K, K) probabilities of the next frame's state, staying on the diagonal.
            emissions: an emission model that can score, such as ``GaussianEmissions.of(means, covars)``.
            frame_s: seconds between frames.
            params: other parameters of the class.
        """
        k = len(np.asarray(startprob))
        model = cls(k, frame_s, emission_model=emissions, **params)
        laws = [FittedLaw(np.zeros(1), 0.0, {"mean": 1.0})] * k
        return model._set_known(startprob, transmat, laws, emissions)

    def _longest_segment(self, longest: int) -> int:
        return 1

    def _options(self, max_duration: int) -> Options:
        if self.transitions == "uniform":
            raise UsageError(
                "E-TEMPORAL-005: got transitions='uniform' with emission_model, expected 'learned' for an HMM"
            )
        return make_options(
            self.n_states,
            max_duration,
            "geometric",
            None,
            self.frame_s,
            pseudocount=self.transition_pseudocount,
            self_transition=0.0,
            censoring=self.censoring,
            learn_order=True,
        )

    def _dynamics(self) -> Dynamics:
        laws = [FittedLaw(np.zeros(1), 0.0, {"mean": 1.0})] * self.n_states
        return Dynamics(self.log_initial_, self.log_transitions_, laws)

    def _n_dynamics(self) -> int:
        return self.n_states - 1 + self.n_states * (self.n_states - 1)
