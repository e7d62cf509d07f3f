"""The part that HMM and HSMM share: scores of frames in, timeline or posteriors out, through the native core."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics.segments import runs
from conv2d.temporal.protocol import (
    Decoded,
    FloatArray,
    check_format,
    check_lengths,
    check_log_proba,
    check_transitions,
    require_positive,
)
from conv2d.temporal.statistics import SegmentStatistics, count_segments
from conv2d.temporal.stream import HsmmStream
from conv2d_core import hsmm_filter, hsmm_forward_backward, hsmm_viterbi

FORMAT = "conv2d-hsmm/1"
LOG_PROBA_FLOOR = float(np.log(1e-7))
"""A frame may veto a class by this much at most: a forest's exact zero must not decide a timeline alone."""

FEWEST_ENDS = 10
"""Recordings whose end must be labelled before it is taken to say anything."""

Transitions = Literal["learned", "uniform"]
Censoring = Literal["none", "right", "left", "both"]


@dataclass(eq=False)
class SegmentModel(ABC):
    """Base of :class:`~conv2d.temporal.hsmm.HSMM` and :class:`~conv2d.temporal.hmm.HMM`; see there.

    Fitted attributes carry a trailing underscore: ``class_log_prior_`` (K,), ``log_initial_`` (K,),
    ``log_final_`` (K,), ``log_transitions_`` (K, K) from row to column, ``log_durations_`` (K, D), ``subjects_``.
    """

    KIND: ClassVar[str]

    n_states: int
    frame_s: float
    transitions: Transitions = "learned"
    transition_pseudocount: float = 1.0
    emission_weight: float = 0.1
    prior_power: float = 1.0
    max_gap_s: float = 10.0
    censoring: Censoring = "both"

    class_log_prior_: FloatArray = field(init=False, repr=False)
    log_initial_: FloatArray = field(init=False, repr=False)
    log_final_: FloatArray = field(init=False, repr=False)
    log_transitions_: FloatArray = field(init=False, repr=False)
    log_durations_: FloatArray = field(init=False, repr=False)
    subjects_: tuple[str, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        if self.n_states < 1:
            raise UsageError(f"E-TEMPORAL-005: n_states is {self.n_states}, expected at least 1")
        for name in ("frame_s", "emission_weight"):
            require_positive(getattr(self, name), name)
        self._check_pseudocount()
        if not self.max_gap_s >= 0:
            raise UsageError(f"E-TEMPORAL-005: max_gap_s is {self.max_gap_s}, expected 0 or more seconds")
        if not 0 <= self.prior_power <= 1:
            raise UsageError(f"E-TEMPORAL-005: prior_power is {self.prior_power}, expected 0 to 1")
        for name, allowed in (("transitions", get_args(Transitions)), ("censoring", get_args(Censoring))):
            if getattr(self, name) not in allowed:
                raise UsageError(
                    f"E-TEMPORAL-005: {name} is {getattr(self, name)!r}, expected one of {', '.join(allowed)}"
                )

    def _check_pseudocount(self) -> None:
        require_positive(self.transition_pseudocount, "transition_pseudocount")

    # Fitting

    def fit(
        self,
        label_sequences: Sequence[npt.ArrayLike],
        groups: Sequence[str] | None = None,
        ends: Sequence[bool] | None = None,
    ) -> Self:
        """Count segments, transitions and class shares in labelled recordings.

        Args:
            label_sequences: (T,) int labels per frame (``frame_s`` apart) of each recording, below 0 where nobody
                annotated; a frame's label is that of its window's centre sample.
            groups: subject of each sequence, remembered in ``subjects_`` so that an evaluation can refuse overlap.
            ends: whether each sequence ends where its recording does, None where all do; a stretch before a gap of
                the clock does not.

        Raises:
            UsageError: no labelled frame, a label that is no state, groups or ends of another length.

        Cost: O(frames) to count, then the duration laws.
        """
        for name, given in (("groups", groups), ("ends", ends)):
            if given is not None and len(given) != len(label_sequences):
                raise UsageError(
                    f"E-TEMPORAL-009: got {len(given)} {name} for {len(label_sequences)} sequences, expected one each"
                )
        max_gap = int(np.floor(self.max_gap_s / self.frame_s + 1e-9))
        seen = count_segments(label_sequences, self.n_states, max_gap, ends)
        # Half a frame each keeps the prior of a class finite that the training recordings lack.
        shares = seen.frames + 0.5
        # A class that was never seen is not a rare one: dividing by a tiny share would let it win where it is unlikely.
        shares = np.where(seen.frames > 0, shares, shares.max())
        self.class_log_prior_ = np.log(shares / shares.sum())
        self.log_initial_ = self._log_initial(seen)
        self.log_final_ = self._log_final(seen, shares / shares.sum())
        self._fit_dynamics(seen)
        self.subjects_ = tuple(sorted(set(groups))) if groups is not None else ()
        return self

    @abstractmethod
    def _fit_dynamics(self, seen: SegmentStatistics) -> None:
        """Set ``log_durations_`` and ``log_transitions_`` from what was counted."""

    def _log_initial(self, seen: SegmentStatistics) -> FloatArray:
        if self.transitions == "uniform":
            return np.full(self.n_states, -np.log(self.n_states))
        counts = seen.initial + self.transition_pseudocount / self.n_states
        log_initial: FloatArray = np.log(counts / counts.sum())
        return log_initial

    def _log_final(self, seen: SegmentStatistics, shares: FloatArray) -> FloatArray:
        """How much more often than its share of the time a recording ends in each class, as a log ratio.

        A recording that may stop at any time gives zeros: its end says nothing. Whoever stops it once the animal lies
        down makes the end a sign of lying.
        """
        if self.transitions == "uniform" or seen.final.sum() < FEWEST_ENDS:
            return np.zeros(self.n_states)
        counts = seen.final + self.transition_pseudocount * shares
        log_final: FloatArray = np.log(counts / counts.sum() / shares)
        return log_final

    def _log_transitions(self, seen: SegmentStatistics, stay: FloatArray) -> FloatArray:
        """Rows: ``stay`` on the diagonal, the rest shared out by counts with ``transition_pseudocount`` a row."""
        k = self.n_states
        if k == 1:
            return np.zeros((1, 1))
        off = ~np.eye(k, dtype=bool)
        counts = np.where(off, self.transition_pseudocount / (k - 1), 0.0)
        if self.transitions == "learned":
            counts = counts + seen.transitions
        leave = (1 - stay)[:, None] * counts / counts.sum(axis=1, keepdims=True)
        log_transitions: FloatArray = np.log(np.where(off, leave, stay[:, None]))
        return log_transitions

    # Use

    def emissions(self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None) -> FloatArray:
        """Scores of frames for the core: weight * (log p - power * log class prior), zeros where there is no data.

        Dividing the classifier's posterior by the class prior leaves a likelihood up to a constant (a power below one
        for a classifier trained with balanced classes, whose posterior holds less of the prior); the weight, far below
        one, makes up for windows that overlap and err together.

        Args:
            log_proba: (T, K) log probabilities of each frame's window alone, clipped at log 1e-7.
            has_data: (T,) bool; a frame without data says nothing about the class.
        """
        self._check_fitted("emissions")
        scores, mask = check_log_proba(log_proba, has_data, self.n_states)
        out = np.zeros(scores.shape)
        likelihood = np.maximum(scores[mask], LOG_PROBA_FLOOR) - self.prior_power * self.class_log_prior_
        out[mask] = self.emission_weight * likelihood
        return out

    def decode(
        self,
        log_proba: npt.ArrayLike,
        has_data: npt.ArrayLike | None = None,
        *,
        ends: bool = True,
        lengths: npt.ArrayLike | None = None,
        log_transitions: npt.ArrayLike | None = None,
    ) -> Decoded:
        """Most likely timeline (Viterbi); neighbouring segments of one label are one.

        Args:
            log_proba: (T, K) log probabilities, or what the emission model takes (see :meth:`emissions`).
            has_data: (T,) bool, or None when every frame has data.
            ends: whether the recording ends here; a stretch before a gap of the clock does not end it.
            lengths: frames of each recording where there are several, one after the other; they sum to T.
            log_transitions: (T, K, K) scores of changes into each frame, in place of what was fitted.

        Returns:
            Labels, segments and the log score, summed over recordings. T = 0 gives an empty timeline.

        Raises:
            UsageError: not fitted, wrong shapes, NaN in a frame with data.

        Cost: O(T K (D + K)).
        """
        self._check_fitted("decode")
        labels, segments, total = [np.empty(0, np.int64)], [np.empty((0, 3), np.int64)], 0.0
        for start, scores, order in self._recordings(log_proba, has_data, lengths, log_transitions, ends=ends):
            states, score, _ = hsmm_viterbi(
                scores, order, self.log_initial_, self.log_durations_, censoring=self.censoring
            )
            labels.append(np.asarray(states))
            segments.append(runs(states) + np.array([0, start, start]))
            total += float(score)
        return Decoded(np.concatenate(labels), np.concatenate(segments), total)

    def smooth(
        self,
        log_proba: npt.ArrayLike,
        has_data: npt.ArrayLike | None = None,
        *,
        ends: bool = True,
        lengths: npt.ArrayLike | None = None,
        log_transitions: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Posterior of each frame given the whole recording (forward-backward), (T, K) float64; O(T K (D + K)).

        Parameters as in :meth:`decode`.
        """
        self._check_fitted("smooth")
        parts = [np.empty((0, self.n_states))]
        for _, scores, order in self._recordings(log_proba, has_data, lengths, log_transitions, ends=ends):
            _, posteriors = hsmm_forward_backward(
                scores, order, self.log_initial_, self.log_durations_, censoring=self.censoring
            )
            parts.append(np.asarray(posteriors))
        return np.concatenate(parts)

    def filter(
        self,
        log_proba: npt.ArrayLike,
        has_data: npt.ArrayLike | None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        log_transitions: npt.ArrayLike | None = None,
    ) -> FloatArray:
        """Posterior of each frame given the past only, (T, K) float64; row t is the same however long the recording."""
        self._check_fitted("filter")
        parts = [np.empty((0, self.n_states))]
        for _, scores, order in self._recordings(log_proba, has_data, lengths, log_transitions, ends=False):
            _, filtered = hsmm_filter(scores, order, self.log_initial_, self.log_durations_, censoring=self.censoring)
            parts.append(np.asarray(filtered))
        return np.concatenate(parts)

    def _recordings(
        self,
        log_proba: npt.ArrayLike,
        has_data: npt.ArrayLike | None,
        lengths: npt.ArrayLike | None,
        log_transitions: npt.ArrayLike | None,
        *,
        ends: bool,
    ) -> Iterator[tuple[int, FloatArray, FloatArray]]:
        """First frame, scores (T, K) and transitions of each recording."""
        scores = self.emissions(log_proba, has_data)
        order = check_transitions(log_transitions, len(scores), self.n_states)
        start = 0
        for length in check_lengths(lengths, len(scores)):
            piece = slice(start, start + length)
            own = self.log_transitions_ if order is None else order[piece]
            yield start, self._ended(scores[piece], ends), own
            start += length

    def stream(
        self, *, max_lag_s: float | None = None, smoothed_lag_s: float | None = None, filtered: bool = False
    ) -> HsmmStream:
        """Decode a recording while it is made; see :class:`~conv2d.temporal.stream.HsmmStream`."""
        self._check_fitted("stream")
        return HsmmStream(self, max_lag_s=max_lag_s, smoothed_lag_s=smoothed_lag_s, filtered=filtered)

    def _ended(self, emissions: FloatArray, ends: bool) -> FloatArray:
        """Scores (T, K) in whose last frame, if the recording ends there, is added in which class recordings end."""
        if ends and len(emissions):
            emissions[-1] += self.log_final_
        return emissions

    def with_emissions(self, emission_weight: float, prior_power: float | None = None) -> Self:
        """A copy that weighs frames otherwise; nothing needs to be fitted again."""
        other = copy.copy(self)
        other.emission_weight = emission_weight
        other.prior_power = self.prior_power if prior_power is None else prior_power
        other.__post_init__()
        return other

    def _check_fitted(self, verb: str) -> None:
        if not hasattr(self, "log_transitions_"):
            raise UsageError(f"E-TEMPORAL-001: {type(self).__name__} is not fitted, expected fit() before {verb}()")

    # Storage

    def get_params(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.init}

    def to_dict(self) -> dict[str, Any]:
        """Parameters and everything fitted as plain JSON values, exact to the last bit."""
        self._check_fitted("to_dict")
        return {
            "format": FORMAT,
            "kind": self.KIND,
            "params": self.get_params(),
            "class_log_prior": self.class_log_prior_.tolist(),
            "log_initial": self.log_initial_.tolist(),
            "log_final": self.log_final_.tolist(),
            "log_transitions": self.log_transitions_.tolist(),
            "log_durations": self.log_durations_.tolist(),
            "subjects": list(self.subjects_),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave.

        Raises:
            UsageError: unknown format version or kind, unknown parameters, or arrays that do not fit together.
        """
        stored = check_format(data, FORMAT, cls.KIND)
        try:
            model = cls(**stored["params"])
            arrays = {
                name: np.array(stored[name], dtype=np.float64)
                for name in ("class_log_prior", "log_initial", "log_final", "log_transitions", "log_durations")
            }
            model.subjects_ = tuple(str(subject) for subject in stored["subjects"])
        except (KeyError, TypeError, ValueError) as problem:
            raise UsageError(
                f"E-TEMPORAL-006: the stored {cls.KIND} cannot be read ({problem}), expected what to_dict() wrote"
            ) from problem
        k = model.n_states
        shapes = {name: array.shape for name, array in arrays.items()}
        d = arrays["log_durations"].shape[-1]
        vectors = dict.fromkeys(("class_log_prior", "log_initial", "log_final"), (k,))
        if shapes != vectors | {"log_transitions": (k, k), "log_durations": (k, d)}:
            raise UsageError(
                f"E-TEMPORAL-006: the stored {cls.KIND} holds shapes {shapes}, expected {k} states in each"
            )
        model.class_log_prior_ = arrays["class_log_prior"]
        model.log_initial_ = arrays["log_initial"]
        model.log_final_ = arrays["log_final"]
        model.log_transitions_ = arrays["log_transitions"]
        model.log_durations_ = arrays["log_durations"]
        return model
