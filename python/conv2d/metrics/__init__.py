"""Scores of predictions: frames, confidence, segments, codes, subjects. Plain numpy, nothing fitted."""

from conv2d.metrics.calibration import Reliability, ece, mce, reliability, reliability_of
from conv2d.metrics.classification import (
    accuracy,
    balanced_accuracy,
    brier,
    confusion,
    macro_f1,
    nll,
    per_class_f1,
)
from conv2d.metrics.codes import CodeUsage, code_usage, perplexity
from conv2d.metrics.core import Metrics, MetricsCalculator
from conv2d.metrics.segments import (
    SegmentCounts,
    SegmentScores,
    boundary_errors,
    edit_score,
    runs,
    score_segments,
    segment_counts,
)
from conv2d.metrics.subjects import per_subject_macro_f1, worst_subject

__all__ = [
    "CodeUsage",
    "Metrics",
    "MetricsCalculator",
    "Reliability",
    "SegmentCounts",
    "SegmentScores",
    "accuracy",
    "balanced_accuracy",
    "boundary_errors",
    "brier",
    "code_usage",
    "confusion",
    "ece",
    "edit_score",
    "macro_f1",
    "mce",
    "nll",
    "per_class_f1",
    "per_subject_macro_f1",
    "perplexity",
    "reliability",
    "reliability_of",
    "runs",
    "score_segments",
    "segment_counts",
    "worst_subject",
]
