"""The figures of a set of results at window, sample and segment level, as ``metrics.json`` holds them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.metrics.codes import code_usage
from conv2d.metrics.core import Metrics, MetricsCalculator
from conv2d.metrics.segments import score_segments
from conv2d.metrics.subjects import per_subject_macro_f1, worst_subject
from conv2d.tasks.behavior.timeline import Result

NOT_MEASURED = "NOT_MEASURED"
NOT_APPLICABLE = "NOT_APPLICABLE"
WINDOW_KEYS = (
    "accuracy", "macro_f1", "balanced_accuracy", "nll", "brier", "ece", "mce", "coverage", "mean_set_size", "n",
)  # fmt: skip
SETS = ("coverage", "mean_set_size")  # of conformal sets, which this version does not make

CODES = ("usage", "perplexity")

IntArray = NDArray[np.int64]


def window_truth(results: Sequence[Result], hop: int) -> tuple[IntArray, NDArray[np.float64], list[str]]:
    """Labels (N,), calibrated probabilities (N, K) and subjects of the labelled windows ``hop`` samples apart."""
    labels, proba, subjects = [], [], []
    for result in results:
        frames = result.frames
        keep = (frames.label >= 0) & (frames.start % hop == 0)
        labels.append(frames.label[keep])
        proba.append(result.proba[keep])
        subjects += [frames.subject] * int(keep.sum())
    return np.concatenate(labels), np.concatenate(proba), subjects


def block(metrics: Metrics) -> dict[str, Any]:
    """A window or sample block: figures that were not measured say so."""
    figures = metrics.to_dict()
    return {key: NOT_MEASURED if key in SETS else figures[key] for key in WINDOW_KEYS}


def sample_block(results: Sequence[Result], decoder: str, classes: Sequence[str], *, proba: bool) -> dict[str, Any]:
    """Sample level of one decoder; with ``proba`` also what needs probabilities, from the smoothed posteriors."""
    truth = np.concatenate([result.recording.labels for result in results])
    predicted = np.concatenate([result.sample_labels(decoder) for result in results])
    chance = np.concatenate([result.smoothed[result.to_sample] for result in results]) if proba else None
    return block(MetricsCalculator(classes).compute_all(truth, predicted, chance))


def segment_block(results: Sequence[Result], decoder: str) -> dict[str, Any]:
    """Segment level of one decoder."""
    scores = score_segments(
        [result.recording.labels for result in results],
        [result.sample_labels(decoder) for result in results],
        results[0].recording.rate_hz,
    )
    return {**scores.to_dict(), "coverage": NOT_MEASURED}


def codes_block(results: Sequence[Result], levels: Sequence[int] | None) -> dict[str, Any] | str:
    """Usage of the codes on these recordings, every frame counted."""
    if levels is None:
        return NOT_APPLICABLE
    return code_usage(np.concatenate([r.frames.codes for r in results if r.frames.codes is not None]), levels).to_dict()


def measure(
    results: Sequence[Result], *, hop: int, classes: Sequence[str], levels: Sequence[int] | None
) -> dict[str, Any]:
    """All blocks but those of baselines and provenance. Needs one labelled window at least. O(samples x decoders)."""
    truth, proba, subjects = window_truth(results, hop)
    decoder = results[0].decoder
    window = MetricsCalculator(classes).compute_all(truth, proba.argmax(1), proba)
    by_subject = per_subject_macro_f1(truth, proba.argmax(1), subjects, len(classes))
    worst, worst_f1 = worst_subject(by_subject)
    figures = window.to_dict()
    return {
        "level": {
            "window": block(window),
            "sample": sample_block(results, decoder, classes, proba=True),
            "segment": segment_block(results, decoder),
        },
        "decoder": decoder,
        "decoders": {
            name: {
                "sample": sample_block(results, name, classes, proba=False),
                "segment": segment_block(results, name),
            }
            for name in results[0].decoded
        },
        "per_class": figures["per_class"],
        # without the column of predictions that are no class: the network makes none
        "confusion": window.confusion[:, : len(classes)].tolist(),
        "reliability": _reliability(window),
        "per_subject": _per_subject(results, truth, proba, subjects, by_subject, classes),
        "summary": {
            "worst_subject": worst,
            "worst_subject_macro_f1": worst_f1,
            "mean_subject_macro_f1": float(np.mean(list(by_subject.values()))),
            "subjects": len(by_subject),
            "recordings": len(results),
        },
        "codes": codes_block(results, levels),
        "latency_ms": NOT_MEASURED,
    }


def headline(metrics: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The figures that the experiment asks for by name, from the window level, the segments and the codes."""
    known = {**metrics["level"]["segment"], **metrics["level"]["window"]}
    known |= metrics["codes"] if isinstance(metrics["codes"], dict) else dict.fromkeys(CODES, NOT_APPLICABLE)
    # A motif is a cluster of codes, and nothing is clustered in this version.
    return {name: NOT_MEASURED if name == "motif_count" else known[name] for name in names}


def _reliability(window: Metrics) -> dict[str, list[float]]:
    table = window.reliability
    assert table is not None  # probabilities were given
    return {
        "count": table.count.tolist(),
        "confidence": _or_zero(table.confidence),
        "accuracy": _or_zero(table.accuracy),
    }


def _or_zero(values: NDArray[np.float64]) -> list[float]:
    return [float(value) for value in np.nan_to_num(values)]


def _per_subject(
    results: Sequence[Result],
    truth: IntArray,
    proba: NDArray[np.float64],
    subjects: Sequence[str],
    by_subject: dict[str, float],
    classes: Sequence[str],
) -> dict[str, Any]:
    who = np.asarray(subjects)
    table = {}
    for subject, f1 in by_subject.items():
        mine = who == subject
        metrics = MetricsCalculator(classes).compute_all(truth[mine], proba[mine].argmax(1), proba[mine])
        own = [result for result in results if result.frames.subject == subject]
        scores = segment_block(own, own[0].decoder)
        table[subject] = {
            "macro_f1": f1,
            "accuracy": metrics.accuracy,
            "nll": metrics.nll,
            "ece": metrics.ece,
            "n": metrics.n,
            "segment_f1@50": scores["f1@50"],
            "sample_accuracy": sample_block(own, own[0].decoder, classes, proba=False)["accuracy"],
        }
    return table


def spread(values: Iterable[float | None]) -> dict[str, float | None]:
    """Mean and standard deviation (n - 1) of what was measured; None with nothing, or with one value for the spread."""
    known = np.array([value for value in values if value is not None], float)
    return {
        "mean": float(known.mean()) if len(known) else None,
        "std": float(known.std(ddof=1)) if len(known) > 1 else None,
    }
