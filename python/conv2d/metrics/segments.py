"""Scores of a timeline as segments: F1 at an overlap, edit score, boundary error, time-scale ratio.

A segment is a run of one label. Unlabelled samples (truth below 0) are dropped from truth and prediction *after*
decoding and before runs are formed, so two runs of one label around an unlabelled span are one true segment. Counts of
the segment F1 are pooled over recordings; the edit score is the mean over recordings.
Source: Lea et al., "Temporal convolutional networks for action segmentation and detection", 2017 (F1@k, edit score).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics.checks import IntArray, as_labels, check_same_length

OVERLAPS = (0.10, 0.25, 0.50)


@dataclass(frozen=True)
class SegmentCounts:
    """Matched and unmatched segments at one overlap; adds up over recordings."""

    true_positive: int = 0
    false_positive: int = 0
    false_negative: int = 0

    def __add__(self, other: "SegmentCounts") -> "SegmentCounts":
        """Pool two recordings."""
        return SegmentCounts(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
        )

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); 0 when there is no segment at all."""
        total = 2 * self.true_positive + self.false_positive + self.false_negative
        return 2 * self.true_positive / max(total, 1)


@dataclass(frozen=True)
class SegmentScores:
    """Segment-level figures of a set of recordings; see :func:`score_segments`."""

    f1_10: float
    f1_25: float
    f1_50: float
    edit: float
    boundary_error_s: float
    boundaries_found: float
    time_scale_ratio: float
    predicted: int
    true: int

    def to_dict(self) -> dict[str, float | int | None]:
        """As the "segment" block of ``metrics.json``; NaN becomes None."""
        named = {
            "f1@10": self.f1_10, "f1@25": self.f1_25, "f1@50": self.f1_50, "edit": self.edit,
            "boundary_error_s": self.boundary_error_s, "boundaries_found": self.boundaries_found,
            "time_scale_ratio": self.time_scale_ratio,
        }  # fmt: skip
        return {key: None if np.isnan(value) else value for key, value in named.items()} | {
            "predicted": self.predicted,
            "true": self.true,
        }


def runs(labels: npt.ArrayLike) -> IntArray:
    """Runs of equal labels as (n, 3) int64: label, start, end (exclusive). O(T).

    Example:
        >>> runs([2, 2, 0]).tolist()
        [[2, 0, 2], [0, 2, 3]]
    """
    sequence = as_labels(labels, "labels")
    if not len(sequence):
        return np.empty((0, 3), np.int64)
    starts = np.r_[0, np.flatnonzero(sequence[1:] != sequence[:-1]) + 1]
    return np.stack([sequence[starts], starts, np.r_[starts[1:], len(sequence)]], axis=1).astype(np.int64)


def segment_counts(truth: npt.ArrayLike, pred: npt.ArrayLike, overlap: float) -> SegmentCounts:
    """Match predicted to true segments of one recording at an overlap (intersection over union).

    Predicted segments are taken in order of time; each takes the free true segment of its label with the largest
    overlap (the earlier one on a tie) and is a hit when that overlap reaches ``overlap``. Both arrays (T,) are already
    free of unlabelled samples. O(T + segments log segments).

    Raises:
        UsageError: lengths differ, or an overlap outside (0, 1].
    """
    true_labels, predicted = as_labels(truth, "truth"), as_labels(pred, "pred")
    check_same_length(truth=true_labels, pred=predicted)
    if not 0 < overlap <= 1:
        raise UsageError(f"E-METRIC-007: overlap is {overlap}, expected above 0 and at most 1")
    return _match(runs(true_labels), runs(predicted), overlap)


def _match(true_runs: IntArray, pred_runs: IntArray, overlap: float) -> SegmentCounts:
    # Only true runs that overlap in time can be taken; per class they are sorted and disjoint, hence one slice each.
    by_class: dict[int, tuple[IntArray, IntArray, list[bool]]] = {}
    for label in np.unique(true_runs[:, 0]):
        own = true_runs[true_runs[:, 0] == label]
        by_class[int(label)] = (own[:, 1], own[:, 2], [False] * len(own))
    hits = 0
    for label, start, end in pred_runs.tolist():
        if label not in by_class:
            continue
        starts, ends, taken = by_class[label]
        best, best_index = 0.0, -1
        for index in range(int(np.searchsorted(ends, start, "right")), int(np.searchsorted(starts, end, "left"))):
            if taken[index]:
                continue
            first, last = int(starts[index]), int(ends[index])
            share = (min(end, last) - max(start, first)) / (max(end, last) - min(start, first))
            if share > best:
                best, best_index = share, index
        if best_index >= 0 and best >= overlap:
            taken[best_index] = True
            hits += 1
    return SegmentCounts(hits, len(pred_runs) - hits, len(true_runs) - hits)


def edit_score(truth: npt.ArrayLike, pred: npt.ArrayLike) -> float:
    """1 - Levenshtein distance of the label orders / length of the longer one; 1 for two empty sequences.

    O(m n) in the numbers of segments, a row at a time.

    Example:
        >>> edit_score([0, 0, 1, 1], [0, 1, 1, 1])
        1.0
    """
    return _edit(runs(truth)[:, 0], runs(pred)[:, 0])


def _edit(a: IntArray, b: IntArray) -> float:
    if not len(a) and not len(b):
        return 1.0
    offsets = np.arange(len(b) + 1)
    row = offsets.copy()
    for label in a:
        best = row + 1
        best[1:] = np.minimum(best[1:], row[:-1] + (b != label))
        # Insertions chain along the row: min over j' <= j of best[j'] + (j - j').
        row = np.minimum.accumulate(best - offsets) + offsets
    return float(1 - row[-1] / max(len(a), len(b)))


def boundary_errors(truth: npt.ArrayLike, pred: npt.ArrayLike, rate_hz: float) -> tuple[npt.NDArray[np.float64], int]:
    """Distance from each true boundary to the nearest predicted one of the same change, in seconds.

    A true boundary is a change between two *labelled* neighbours (a change hidden in an unlabelled span has no known
    place). It is found when the prediction changes from the same label to the same label within the two true segments
    that it separates. O(T + boundaries log boundaries).

    Args:
        truth: (T,) labels, below 0 where unlabelled; whole recordings, nothing dropped.
        pred: (T,) predicted labels.
        rate_hz: samples a second.

    Returns:
        Errors of the boundaries that were found, and the number of true boundaries.

    Example:
        >>> boundary_errors([0, 0, 1, 1, 0], [0, 1, 1, 1, 1], rate_hz=2)
        (array([0.5]), 2)
    """
    true_runs, pred_runs = runs(truth), runs(pred)
    check_same_length(truth=as_labels(truth, "truth"), pred=as_labels(pred, "pred"))
    if not rate_hz > 0:
        raise UsageError(f"E-METRIC-008: rate_hz is {rate_hz}, expected samples a second above 0")
    places: dict[tuple[int, int], list[int]] = {}
    for before, after in zip(pred_runs[:-1].tolist(), pred_runs[1:].tolist(), strict=True):
        places.setdefault((before[0], after[0]), []).append(after[1])
    errors, total = [], 0
    for before, after in zip(true_runs[:-1].tolist(), true_runs[1:].tolist(), strict=True):
        if before[0] < 0 or after[0] < 0:
            continue
        total += 1
        candidates = np.asarray(places.get((before[0], after[0]), []), dtype=np.int64)
        candidates = candidates[(candidates > before[1]) & (candidates < after[2])]
        if len(candidates):
            errors.append(float(np.abs(candidates - after[1]).min()) / rate_hz)
    return np.asarray(errors, dtype=np.float64), total


def score_segments(truths: Sequence[npt.ArrayLike], preds: Sequence[npt.ArrayLike], rate_hz: float) -> SegmentScores:
    """Score decoded timelines of many recordings, a sequence each.

    Args:
        truths: (T,) labels of each recording, below 0 where unlabelled.
        preds: (T,) predicted labels of each recording; any number that is no class counts as a segment of its own.
        rate_hz: samples a second of both.

    Returns:
        F1 at overlaps .10, .25, .50 from pooled counts; edit = mean over recordings; ``boundary_error_s`` = median of
        :func:`boundary_errors` and ``boundaries_found`` their share; ``time_scale_ratio`` = mean predicted length of a
        segment / mean true length (below 1: too many segments); numbers of segments. Recordings without a labelled
        sample are left out. NaN where nothing was labelled.

    Raises:
        UsageError: differing numbers of recordings or lengths.

    Example:
        >>> scores = score_segments([[0, 0, 1, 1]], [[0, 1, 1, 1]], rate_hz=2)
        >>> scores.f1_50, scores.edit, scores.boundary_error_s, scores.predicted
        (1.0, 1.0, 0.5, 2)
    """
    if len(truths) != len(preds):
        raise UsageError(
            f"E-METRIC-002: {len(truths)} true and {len(preds)} predicted timelines, expected one each a recording"
        )
    pooled = [SegmentCounts() for _ in OVERLAPS]
    edits: list[float] = []
    errors: list[npt.NDArray[np.float64]] = []
    boundaries = n_pred = n_true = 0
    for true_values, pred_values in zip(truths, preds, strict=True):
        truth, pred = as_labels(true_values, "truth"), as_labels(pred_values, "pred")
        check_same_length(truth=truth, pred=pred)
        labelled = truth >= 0
        if not labelled.any():
            continue
        true_runs, pred_runs = runs(truth[labelled]), runs(pred[labelled])
        pooled = [counts + _match(true_runs, pred_runs, k) for counts, k in zip(pooled, OVERLAPS, strict=True)]
        edits.append(_edit(true_runs[:, 0], pred_runs[:, 0]))
        found, total = boundary_errors(truth, pred, rate_hz)
        errors.append(found)
        boundaries, n_pred, n_true = boundaries + total, n_pred + len(pred_runs), n_true + len(true_runs)
    nan = float("nan")
    found_errors = np.concatenate(errors) if errors else np.empty(0)
    f1 = [counts.f1 if edits else nan for counts in pooled]
    return SegmentScores(
        f1_10=f1[0],
        f1_25=f1[1],
        f1_50=f1[2],
        edit=float(np.mean(edits)) if edits else nan,
        boundary_error_s=float(np.median(found_errors)) if len(found_errors) else nan,
        boundaries_found=len(found_errors) / boundaries if boundaries else nan,
        # Both cover the same samples, so the ratio of mean lengths is the inverse ratio of counts.
        time_scale_ratio=n_true / n_pred if n_pred else nan,
        predicted=n_pred,
        true=n_true,
    )
