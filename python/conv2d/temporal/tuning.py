"""Fit the decoders' counts on training labels and choose their few free numbers on out-of-fold probabilities.

What a decoder needs most is how far to trust a frame: neighbouring windows overlap and err together, so the weight of
the emissions is found, not assumed. Chosen are the mode filter's window, the shortest stay, and for HMM, HSMM and HSMM
with uniform transitions the emission weight and the power of the class prior. Counts (durations, transitions, priors)
come from the labels and are not searched over.

The objective is the mean of frame accuracy, macro-F1, segment F1@50 and edit score: each of them alone can be bought
at the price of the others (accuracy by ignoring rare classes, edit score by long smooth segments).

Models are scored on sequences of groups that their counts have not seen (three folds by group), as a decoder that knew
a recording's own order would be trusted too much; the final counts are of all groups.
"""

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from conv2d.errors import UsageError
from conv2d.metrics.classification import macro_f1
from conv2d.metrics.segments import score_segments
from conv2d.temporal.decoders import DecoderSet
from conv2d.temporal.hmm import HMM
from conv2d.temporal.hsmm import HSMM
from conv2d.temporal.laws import Law
from conv2d.temporal.median import MedianHysteresisPolicy
from conv2d.temporal.min_dwell import MinDwell
from conv2d.temporal.mode import ModeFilter
from conv2d.temporal.model import SegmentModel, Transitions
from conv2d.temporal.protocol import BoolArray, Decoder, FloatArray, IntArray, check_log_proba, require_positive
from conv2d.temporal.raw import Raw

N_FOLDS = 3
STEPS_PER_DECADE = 4
WEIGHT_RANGE = (1e-2, 10.0)
"""Weights that the search may reach; it starts at 0.1 and walks on while it gains."""
SMALLEST_GAIN = 0.002
"""A change of kind (not of degree) must gain this much, or the plain value stays: less is noise."""
LADDER_STEPS = 20
"""Filters and stays of up to 2 ** 9.5 frames."""
PRIOR_POWERS = (1.0, 0.5, 0.0)

ModelT = TypeVar("ModelT", bound=SegmentModel)


@dataclass(frozen=True)
class LabelledSequence:
    """One recording with out-of-fold probabilities.

    Attributes:
        log_proba: (T, K) log probabilities of a model that has not seen this recording's subject.
        labels: (T,) int label of each frame, below 0 where unlabelled.
        group: the subject.
        has_data: (T,) bool, or None when every frame has data.
        ends: whether the recording ends with the last frame.
    """

    log_proba: FloatArray
    labels: IntArray
    group: str
    has_data: BoolArray | None = None
    ends: bool = True

    def decoded_by(self, decoder: Decoder) -> IntArray:
        """Labels (T,) by a decoder."""
        if isinstance(decoder, SegmentModel):
            return decoder.decode(self.log_proba, self.has_data, ends=self.ends).labels
        return decoder.decode(self.log_proba, self.has_data).labels


def timeline_objective(truths: Sequence[IntArray], preds: Sequence[IntArray], n_states: int) -> float:
    """Mean of accuracy, macro-F1, F1@50 and edit score over the labelled frames of all sequences, 0 to 1.

    Example:
        >>> import numpy as np
        >>> timeline_objective([np.array([0, 0, 1, -1])], [np.array([0, 0, 1, 0])], n_states=2)
        1.0
    """
    truth, pred = np.concatenate(truths), np.concatenate(preds)
    labelled = truth >= 0
    segments = score_segments(truths, preds, rate_hz=1.0)
    parts = (
        float((truth == pred)[labelled].mean()),
        macro_f1(truth[labelled], pred[labelled], n_states),
        segments.f1_50,
        segments.edit,
    )
    return sum(parts) / len(parts)


def tune_decoders(
    sequences: Sequence[LabelledSequence],
    *,
    n_states: int,
    frame_s: float,
    durations: Law = "negative_binomial",
    max_duration_s: float | None = None,
    transitions: Transitions = "learned",
    emission_weight: float | None = None,
    mode_window_s: float | None = None,
    min_dwell_s: float | None = None,
    median_hysteresis: MedianHysteresisPolicy | None = None,
) -> DecoderSet:
    """Fit and tune every decoder.

    Args:
        sequences: training recordings with labels and out-of-fold probabilities.
        n_states: K.
        frame_s: seconds between frames.
        durations: law of the HSMM.
        max_duration_s: longest segment of its laws, None for automatic.
        transitions: of HMM and HSMM ("hsmm_uniform_transitions" is always uniform).
        emission_weight: of all three models; None searches (and searches the prior's power with it).
        mode_window_s: window of the mode filter; None searches.
        min_dwell_s: shortest stay; None searches.
        median_hysteresis: the policy in frames, not searched over; None takes its defaults.

    Returns:
        All decoders by name. ``tuning`` holds, for each, the objective, what was tried and what was chosen;
        ``at_limit`` is true where the best value is the last that the search may reach.

    Raises:
        UsageError: no labelled frame, or shapes that do not match (E-TEMPORAL-013).

    Cost: about 25 decodings of all sequences by the HSMM, O(frames K (D + K)) each; the rest is small beside it.
    """
    tuner = _Tuner(sequences, n_states, require_positive(frame_s, "frame_s"))
    tuner.keep("raw", Raw())
    tuner.keep("median_hysteresis", median_hysteresis or MedianHysteresisPolicy())
    tuner.rule("mode", lambda seconds: ModeFilter(seconds, frame_s), mode_window_s, _odd_ladder())
    tuner.rule("min_dwell", lambda seconds: MinDwell(seconds, frame_s), min_dwell_s, _ladder())
    tuner.model("hmm", tuner.fit(HMM(n_states, frame_s, transitions=transitions)), emission_weight)
    hsmms = tuner.fit(
        HSMM(n_states, frame_s, transitions=transitions, durations=durations, max_duration_s=max_duration_s)
    )
    tuner.model("hsmm", hsmms, emission_weight)
    uniform = [model.with_uniform_transitions() for model in hsmms]
    tuner.model("hsmm_uniform_transitions", uniform, emission_weight)
    return DecoderSet(tuner.decoders, frame_s, tuner.report, tuner.subjects)


class _Tuner:
    """The sequences to score on, and what has been found so far."""

    def __init__(self, sequences: Sequence[LabelledSequence], n_states: int, frame_s: float) -> None:
        self.n_states, self.frame_s = n_states, frame_s
        self.subjects = tuple(sorted({sequence.group for sequence in sequences}))
        self.sequences = [sequence for sequence in sequences if bool((np.asarray(sequence.labels) >= 0).any())]
        if not self.sequences:
            raise UsageError(
                f"E-TEMPORAL-013: none of {len(sequences)} sequences has a labelled frame, expected at least one; "
                "pass the training recordings"
            )
        self.truths: list[IntArray] = []
        for number, sequence in enumerate(self.sequences):
            scores, _ = check_log_proba(sequence.log_proba, sequence.has_data, n_states)
            if len(sequence.labels) != len(scores):
                raise UsageError(
                    f"E-TEMPORAL-013: sequence {number} of {sequence.group} has {len(sequence.labels)} labels for "
                    f"{len(scores)} frames, expected one each"
                )
            self.truths.append(np.asarray(sequence.labels, dtype=np.int64))
        self.fold = _folds(self.sequences)
        self.decoders: dict[str, Decoder] = {}
        self.report: dict[str, Any] = {}

    def objective(self, decoders: Sequence[Decoder]) -> float:
        """Score each sequence by its decoder."""
        preds = [sequence.decoded_by(decoder) for decoder, sequence in zip(decoders, self.sequences, strict=True)]
        return timeline_objective(self.truths, preds, self.n_states)

    def keep(self, name: str, decoder: Decoder) -> None:
        """Take a decoder as it is."""
        self.decoders[name] = decoder
        self.report[name] = {"objective": self.objective([decoder] * len(self.sequences))}

    def rule(
        self, name: str, make: Callable[[float], ModeFilter | MinDwell], given: float | None, ladder: list[int]
    ) -> None:
        """Choose the frames of a rule from a ladder, unless seconds are given."""
        if given is not None:
            self.keep(name, make(given))
            self.report[name]["seconds"] = given
            return
        count, last = len(self.sequences), len(ladder) - 1
        search = _Search(lambda p: self.objective([make(ladder[p] * self.frame_s)] * count), 0, last)
        best = search.best(start=4, stride=4)
        self.decoders[name] = make(ladder[best] * self.frame_s)
        self.report[name] = {
            "objective": search(best),
            "seconds": ladder[best] * self.frame_s,
            # One frame is no smoothing at all, which is an answer, not a limit.
            "at_limit": best == last,
            "tried": {f"{ladder[p] * self.frame_s:.6g}": value for p, value in sorted(search.seen.items())},
        }

    def fit(self, plain: ModelT) -> list[ModelT]:
        """Fit a model without each fold, and last of all on everything."""

        def fitted(kept: Sequence[int]) -> ModelT:
            given = [self.sequences[i] for i in kept]
            truths, groups, ends = [self.truths[i] for i in kept], [s.group for s in given], [s.ends for s in given]
            return copy.copy(plain).fit(truths, groups, ends)

        every = range(len(self.truths))
        folds = range(max(self.fold) + 1)
        return [*(fitted([i for i in every if self.fold[i] != fold] or every) for fold in folds), fitted(every)]

    def model(self, name: str, models: Sequence[SegmentModel], weight: float | None) -> None:
        """Choose how far a model trusts the frames; ``models`` as from :meth:`fit`."""

        def score(candidate: float, power: float) -> float:
            weighed = [model.with_emissions(candidate, power) for model in models[:-1]]
            return self.objective([weighed[fold] for fold in self.fold])

        if weight is not None:
            self.decoders[name] = models[-1].with_emissions(weight)
            self.report[name] = {"objective": score(weight, 1.0), "emission_weight": weight, "prior_power": 1.0}
            return
        low, high = (round(STEPS_PER_DECADE * math.log10(end)) for end in WEIGHT_RANGE)
        searches = {power: _Search(partial(_score_at, score, power), low, high) for power in PRIOR_POWERS}
        power = PRIOR_POWERS[0]
        best = searches[power].best(start=-STEPS_PER_DECADE, stride=2)
        # Which power is right does not hang on the weight, so one weight compares them.
        rival = max(PRIOR_POWERS[1:], key=lambda other: searches[other](best))
        if searches[rival](best) > searches[power](best) + SMALLEST_GAIN:
            power = rival
            best = searches[power].best(start=best, stride=1)
        self.decoders[name] = models[-1].with_emissions(_weight(best), power)
        self.report[name] = {
            "objective": searches[power](best),
            "emission_weight": _weight(best),
            "prior_power": power,
            "at_limit": best in (low, high),
            "tried": {
                f"prior power {p:g}": {f"{_weight(q):.4g}": value for q, value in sorted(search.seen.items())}
                for p, search in searches.items()
            },
        }


@dataclass
class _Search:
    """The best position of the grid low .. high, each scored once."""

    score: Callable[[int], float]
    low: int
    high: int
    seen: dict[int, float] = field(default_factory=dict)

    def __call__(self, position: int) -> float:
        if position not in self.seen:
            self.seen[position] = self.score(position)
        return self.seen[position]

    def even(self, position: int) -> float:
        """The score evened out with its neighbours': a lone peak, or the last step before a cliff, is luck."""
        near = [min(max(position + step, self.low), self.high) for step in (-1, 0, 0, 1)]
        return sum(self(p) for p in near) / len(near)

    def best(self, start: int, stride: int) -> int:
        """Walk from ``start`` while it gains, in strides that are halved; the last steps by the evened score."""
        at = min(max(start, self.low), self.high)
        while stride:
            near = [p for p in (at, at - stride, at + stride) if self.low <= p <= self.high]
            # The present place comes first and wins among equals, so a plateau ends the walk.
            best = max(near, key=self.even if stride == 1 else self)
            if best == at:
                stride //= 2
            at = best
        return at


def _score_at(score: Callable[[float, float], float], power: float, position: int) -> float:
    return score(_weight(position), power)


def _weight(position: int) -> float:
    return float(10 ** (position / STEPS_PER_DECADE))


def _ladder() -> list[int]:
    """Numbers of frames, two steps to the double."""
    return sorted({round(2 ** (step / 2)) for step in range(LADDER_STEPS)})


def _odd_ladder() -> list[int]:
    return sorted({2 * (frames // 2) + 1 for frames in _ladder() if frames != 2})


def _folds(sequences: Sequence[LabelledSequence]) -> list[int]:
    """Fold of each sequence: whole groups, the largest first into the emptiest; by sequence with a single group."""
    names = [sequence.group for sequence in sequences]
    if len(set(names)) == 1:
        names = [str(number) for number in range(len(sequences))]
    sizes: dict[str, int] = {}
    for name, sequence in zip(names, sequences, strict=True):
        sizes[name] = sizes.get(name, 0) + len(sequence.labels)
    filled = [0] * min(N_FOLDS, len(sizes))
    fold_of = {}
    for name in sorted(sizes, key=lambda key: (-sizes[key], key)):
        fold_of[name] = filled.index(min(filled))
        filled[fold_of[name]] += sizes[name]
    return [fold_of[name] for name in names]
