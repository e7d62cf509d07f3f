"""The results folder: figures, predictions, segments, report, and the config and the log that they come with."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conv2d.config import Config
from conv2d.evaluation.log import begin_log
from conv2d.evaluation.report import write_report
from conv2d.files import folder_aside, write_json
from conv2d.logging.structured import log_counters
from conv2d.tasks.behavior.measures import headline
from conv2d.tasks.behavior.tables import write_predictions, write_segments
from conv2d.tasks.behavior.timeline import Result
from conv2d.viz.classification import confusion_figure, reliability_figure
from conv2d.viz.codes import code_usage_figure
from conv2d.viz.comparison import decoder_figure, per_subject_figure
from conv2d.viz.timeline import timeline_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

REPORT = "report.html"  # by it a results folder is known: a run has a metrics.json too, and must not be replaced
WORST_TIMELINES = 3  # recordings drawn in the report, of the worst subjects


def write_outputs(
    output: Path,
    config: Config,
    classes: Sequence[str],
    results: Sequence[Result],
    metrics: dict[str, Any],
    notes: Sequence[str],
    *,
    predictions: bool = True,
) -> None:
    """Write the folder aside and rename it; an earlier results folder under the same name is replaced.

    It holds ``metrics.json``, ``predictions.parquet`` (unless not wanted), ``segments.csv``, ``report.html``, the
    resolved ``config.yaml``, and ``log.jsonl``, into which the counters of the process are emptied.
    """
    metrics["headline"] = headline(metrics, config.evaluation.metrics)
    with folder_aside(output, mark=REPORT) as aside:
        if predictions:
            write_predictions(aside / "predictions.parquet", results, classes)
        write_segments(aside / "segments.csv", results, classes)
        write_report(
            aside / REPORT,
            title=f"{config.name}: {metrics['provenance']['command']}",
            metrics=metrics,
            figures=_figures(metrics, results, classes),
            notes=list(notes),
            timelines=_worst_timelines(metrics, results, classes),
            provenance=metrics["provenance"],
            simulated=bool(metrics["provenance"]["simulated"]),
        )
        (aside / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
        _write_log(aside, config, metrics, notes)
        write_json(aside / "metrics.json", metrics)


def _write_log(folder: Path, config: Config, metrics: dict[str, Any], notes: Sequence[str]) -> None:
    facts = metrics["provenance"]
    logger = begin_log(folder, config, data_sha256=facts["data_sha256"], seed=facts["seed"])
    for note in notes:
        logger.info("note", text=note)
    for fold in metrics.get("cross_validation", {}).get("folds", ()):
        window, segment = fold["level"]["window"], fold["level"]["segment"]
        figures = {"accuracy": window["accuracy"], "macro_f1": window["macro_f1"], "nll": window["nll"]}
        logger.info("fold", number=fold["fold"], test=fold["test"], **figures, **{"f1@50": segment["f1@50"]})
    logger.info(facts["command"], **metrics["headline"])
    log_counters()


def timeline_of(result: Result, classes: Sequence[str], *, title: str | None = None) -> "Figure":
    """The picture of one recording: signals, annotation where there is one, timeline, smoothed probabilities."""
    recording = result.recording
    truth = None
    if (recording.labels >= 0).any():
        truth = [(start_s, end_s, k) for k, _, _, start_s, end_s in result.spans(recording.labels) if k >= 0]
    return timeline_figure(
        recording.time_s,
        recording.samples,
        sensors=recording.sensors,
        channels=recording.channels,
        classes=classes,
        predicted=[(segment.start_s, segment.end_s, segment.label) for segment in result.segments()],
        truth=truth,
        proba=result.smoothed,
        proba_time_s=result.frames.time_s,
        proba_name="smoothed probability",
        title=title or f"{recording.name} (subject {recording.subject})",
    )


def _figures(metrics: dict[str, Any], results: Sequence[Result], classes: Sequence[str]) -> "dict[str, Figure]":
    window = metrics["level"]["window"]
    reliability = metrics["reliability"]
    figures = {
        "decoders": decoder_figure(
            {
                name: {
                    "accuracy": levels["sample"]["accuracy"],
                    "macro_f1": levels["sample"]["macro_f1"],
                    "f1@50": levels["segment"]["f1@50"],
                    "edit": levels["segment"]["edit"],
                }
                for name, levels in metrics["decoders"].items()
            },
            chosen=metrics["decoder"],
        ),
        "per_subject": per_subject_figure(
            {subject: figures["macro_f1"] for subject, figures in metrics["per_subject"].items()},
            pooled=window["macro_f1"],
        ),
        "confusion": confusion_figure(metrics["confusion"], classes),
        "reliability": reliability_figure(
            reliability["count"], reliability["confidence"], reliability["accuracy"], ece=window["ece"]
        ),
    }
    if isinstance(metrics["codes"], dict):
        codes = np.concatenate([result.frames.codes.ravel() for result in results if result.frames.codes is not None])
        # Counted over the codes that occur: a code book may have more codes than could ever be listed.
        counts = np.unique(codes, return_counts=True)[1]
        figures["codes"] = code_usage_figure(
            counts, codebook_size=metrics["codes"]["size"], perplexity=metrics["codes"]["perplexity"]
        )
    return figures


def _worst_timelines(
    metrics: dict[str, Any], results: Sequence[Result], classes: Sequence[str]
) -> "list[tuple[str, Figure]]":
    """For each of the worst subjects the recording with the largest share of wrong samples."""
    scores = {subject: figures["macro_f1"] for subject, figures in metrics["per_subject"].items()}
    drawn = []
    for subject in sorted(scores, key=lambda name: scores[name])[:WORST_TIMELINES]:
        own = [result for result in results if result.frames.subject == subject]
        worst = max(own, key=_wrong_share)
        text = f"subject {subject} (window macro-F1 {scores[subject]:.3f}), recording {worst.frames.recording}"
        drawn.append((text, timeline_of(worst, classes, title=text)))
    return drawn


def _wrong_share(result: Result) -> float:
    labelled = result.recording.labels >= 0
    if not labelled.any():
        return 0.0
    return float((result.sample_labels(result.decoder) != result.recording.labels)[labelled].mean())
