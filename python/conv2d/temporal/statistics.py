"""What labelled recordings tell about segments: how long, followed by what, and where that is not known.

Labels are frames; below 0 nobody annotated. An unlabelled span hides where a segment ends, so nothing may be learned
from its edges:

- A segment at the end of a recording lasted *at least* as long as it was seen. One at the start was under way
  already: what was seen is what remained of it.
- Between two different labels an unlabelled span hides at least one change, so both segments may reach up to its far
  side: their lengths are known as intervals. On each side at most half of what was seen is added, since annotators
  who leave out a doubtful edge still label most of a segment. The transition itself is counted only when the span is
  short (up to ``max_gap`` frames); a long one may hide a third segment.
- Between two runs of one label a short span is taken as part of one segment: that a change and the change back both
  fell unseen into it is the rarer story, and scoring joins such runs, too. Beyond a long span nothing is known: the
  first run has no seen end, the second no seen start.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics.segments import runs
from conv2d.temporal.protocol import BoolArray, IntArray

OPEN = np.iinfo(np.int64).max
"""Upper length of a segment whose end was not seen."""


@dataclass(frozen=True)
class SegmentStatistics:
    """Segments, changes and shares counted in labelled recordings, in frames.

    Attributes:
        n_states: K.
        state: (n,) label of each segment.
        lower: (n,) frames that it lasted at least, from its start or, without one, from where it was first seen.
        upper: (n,) frames that this lasted at most: more than ``lower`` when the change lies in an unlabelled span,
            ``OPEN`` when the end was not seen.
        started: (n,) bool, whether its start was seen.
        transitions: (K, K) changes from row to column, diagonal 0.
        initial: (K,) labels at the start of recordings (their first label, up to ``max_gap`` frames in).
        final: (K,) labels at the end of recordings, likewise; not of sequences that end before their recording does.
        frames: (K,) labelled frames.
    """

    n_states: int
    state: IntArray
    lower: IntArray
    upper: IntArray
    started: BoolArray
    transitions: IntArray
    initial: IntArray
    final: IntArray
    frames: IntArray

    def of_state(self, state: int) -> tuple[IntArray, IntArray, BoolArray]:
        """Lower and upper lengths of one state's segments, and whether they were seen to start."""
        own = self.state == state
        return self.lower[own], self.upper[own], self.started[own]


def count_segments(
    label_sequences: Sequence[npt.ArrayLike], n_states: int, max_gap: int, ends: Sequence[bool] | None = None
) -> SegmentStatistics:
    """Count segments, transitions and shares over recordings; O(frames).

    Args:
        label_sequences: (T,) int labels of each recording, below 0 where unlabelled.
        n_states: K.
        max_gap: longest unlabelled span, in frames, that counts as short (see the module).
        ends: whether each sequence ends where its recording does, None where all do.

    Raises:
        UsageError: no labelled frame at all, or a label that is no state (E-TEMPORAL-007).

    Example:
        >>> seen = count_segments([[0, 0, 1, 1, 1, -1, 0, 2]], n_states=3, max_gap=1)
        >>> seen.lower.tolist(), [int(u) if u != OPEN else None for u in seen.upper]
        ([2, 3, 1, 1], [2, 4, 1, None])
        >>> seen.started.tolist()
        [False, True, True, True]
        >>> seen.transitions.tolist()
        [[0, 1, 1], [1, 0, 0], [0, 0, 0]]
    """
    segments: list[tuple[int, int, int, bool]] = []
    transitions = np.zeros((n_states, n_states), np.int64)
    initial = np.zeros(n_states, np.int64)
    final = np.zeros(n_states, np.int64)
    frames = np.zeros(n_states, np.int64)
    for number, sequence in enumerate(label_sequences):
        table = runs(sequence)
        if len(table) and table[:, 0].max() >= n_states:
            raise UsageError(
                f"E-TEMPORAL-007: sequence {number} holds label {int(table[:, 0].max())}, expected 0 to {n_states - 1} "
                "or below 0 for unlabelled"
            )
        pieces = table[table[:, 0] >= 0]
        if not len(pieces):
            continue
        np.add.at(frames, pieces[:, 0], pieces[:, 2] - pieces[:, 1])
        joined = _join_short_gaps(pieces, max_gap)
        if joined[0][1] <= max_gap:
            initial[joined[0][0]] += 1
        if (ends is None or ends[number]) and table[-1, 2] - joined[-1][2] <= max_gap:
            final[joined[-1][0]] += 1
        # How far the segment may reach beyond what was labelled, on either side; OPEN when nobody knows.
        left = OPEN
        for position, (label, start, end) in enumerate(joined):
            right = OPEN
            if position + 1 < len(joined):
                following, next_start, _ = joined[position + 1]
                if following != label:
                    right = next_start - end
                    transitions[label, following] += right <= max_gap
            started, length = left != OPEN, end - start
            hidden = min(right, length // 2) + (min(left, length // 2) if started else 0)
            segments.append((label, length, OPEN if right == OPEN else length + hidden, started))
            left = right
    if not segments:
        raise UsageError(
            f"E-TEMPORAL-007: none of {len(label_sequences)} sequences has a labelled frame, expected at least one; "
            "pass the training labels"
        )
    state, lower, upper_, seen_start = np.array(segments, dtype=np.int64).T
    return SegmentStatistics(
        n_states, state, lower, upper_, seen_start.astype(bool), transitions, initial, final, frames
    )


def _join_short_gaps(pieces: IntArray, max_gap: int) -> list[tuple[int, int, int]]:
    """Join neighbours of one label whose unlabelled distance is at most ``max_gap``."""
    joined: list[tuple[int, int, int]] = []
    for label, start, end in pieces.tolist():
        if joined and joined[-1][0] == label and start - joined[-1][2] <= max_gap:
            joined[-1] = (label, joined[-1][1], end)
        else:
            joined.append((label, start, end))
    return joined
