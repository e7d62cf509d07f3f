"""More than the one most likely timeline: the k best, and those that are expected to be right about the most.

See docs/timelines.md for which to take when.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.protocol import Decoded, FloatArray
from conv2d_core import hsmm_expected_scores, hsmm_kbest, hsmm_mbr

Risk = Literal["sample", "segment"]


class ManyTimelines(ABC):
    """What HSMM and HMM can do beside :meth:`decode`."""

    n_states: int
    censoring: Literal["none", "right", "left", "both"]

    @abstractmethod
    def _scores(
        self, verb: str, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None, ends: bool
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Emissions (T, K), transitions (K, K), initial (K,) and durations (K, D) for the core, all checked."""

    def decode_kbest(
        self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None, *, k: int = 10, ends: bool = True
    ) -> list[Decoded]:
        """The k best timelines, in descending order of score; no two give every frame the same label.

        The first is that of :meth:`decode`. Fewer than ``k`` come back when there are fewer. The difference of two
        scores is the log ratio of their probabilities.

        Args:
            log_proba: (T, K) log probabilities.
            has_data: (T,) bool, or None when every frame has data.
            k: how many, at least 1.
            ends: whether the recording ends here.

        Raises:
            UsageError: k below 1, and as :meth:`decode`.

        Cost: that of :meth:`decode`, and O((D + K) log k) for each segment's boundary that one of them moves.
        """
        scores = self._scores("decode_kbest", log_proba, has_data, ends)
        if k < 1:
            raise UsageError(f"E-TEMPORAL-015: k is {k}, expected at least 1 timeline")
        # Touching segments of one label are one to whoever looks at labels, as in Decoded.
        totals, timelines = hsmm_kbest(*scores, k, self.censoring, "labels")
        return [
            Decoded(np.repeat(segments[:, 0], segments[:, 2] - segments[:, 1]), segments, float(total))
            for total, segments in zip(totals, timelines, strict=True)
        ]

    def decode_mbr(
        self,
        log_proba: npt.ArrayLike,
        has_data: npt.ArrayLike | None = None,
        *,
        risk: Risk = "sample",
        overlap: float = 0.5,
        ends: bool = True,
    ) -> Decoded:
        """The timeline that is expected to be right about the most, where :meth:`decode` gives the most likely one.

        It is always one that the model holds possible; ``smooth(...).argmax(axis=1)`` need not be.

        Args:
            log_proba: (T, K) log probabilities.
            has_data: (T,) bool, or None when every frame has data.
            risk: "sample" for the largest expected share of right frames, "segment" for the largest expected F1 of
                segments (see ``help(conv2d_core.hsmm_mbr)`` for what is exact).
            overlap: intersection over union from which a segment is right, 0.5 to 1, for "segment".
            ends: whether the recording ends here.

        Returns:
            Labels, segments, log score, and what the model expects of both kinds; accuracy and F1 of real recordings
            are as much lower as the model is wrong.

        Raises:
            UsageError: an unknown risk or an overlap outside 0.5 to 1, and as :meth:`decode`.

        Cost: a few times that of :meth:`smooth`.
        """
        scores = self._scores("decode_mbr", log_proba, has_data, ends)
        if risk not in get_args(Risk):
            raise UsageError(f"E-TEMPORAL-015: risk is {risk!r}, expected one of {', '.join(get_args(Risk))}")
        _check_overlap(overlap)
        labels, score, _, _ = hsmm_mbr(*scores, self.censoring, risk, overlap)
        accuracy, f1 = hsmm_expected_scores(*scores, labels, self.censoring, overlap)
        return replace(Decoded.of(labels, score), expected_accuracy=accuracy, expected_f1=f1)

    def expect(
        self,
        decoded: Decoded,
        log_proba: npt.ArrayLike,
        has_data: npt.ArrayLike | None = None,
        *,
        overlap: float = 0.5,
        ends: bool = True,
    ) -> Decoded:
        """A timeline of any origin, with what this model expects of it: ``expected_accuracy`` and ``expected_f1``.

        Args:
            decoded: T labels from 0 to K - 1.
            log_proba: (T, K) log probabilities.
            has_data: (T,) bool, or None when every frame has data.
            overlap: intersection over union from which a segment is right, 0.5 to 1.
            ends: whether the recording ends here.

        Raises:
            UsageError: labels of another length or out of range, an overlap outside 0.5 to 1, and as :meth:`decode`.

        Cost: a few times that of :meth:`smooth`.
        """
        scores = self._scores("expect", log_proba, has_data, ends)
        _check_overlap(overlap)
        labels = decoded.labels
        if len(labels) != len(scores[0]) or bool(((labels < 0) | (labels >= self.n_states)).any()):
            raise UsageError(
                f"E-TEMPORAL-015: got {len(labels)} labels for {len(scores[0])} frames, expected one each, "
                f"from 0 to {self.n_states - 1}"
            )
        accuracy, f1 = hsmm_expected_scores(*scores, labels, self.censoring, overlap)
        return replace(decoded, expected_accuracy=accuracy, expected_f1=f1)


def _check_overlap(overlap: float) -> None:
    if not 0.5 <= overlap <= 1:
        raise UsageError(f"E-TEMPORAL-015: overlap is {overlap}, expected 0.5 to 1")
