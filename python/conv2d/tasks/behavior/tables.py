"""``predictions.parquet`` (a row a frame) and ``segments.csv`` (a row a segment)."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from conv2d.tasks.behavior.timeline import Result

SEGMENT_COLUMNS = ("recording", "start_s", "end_s", "label", "confidence", "set", "start_low_s", "start_high_s")


def frames_table(results: Sequence[Result], classes: Sequence[str]) -> Any:
    """An arrow table of the frames of the whole of each recording; ``set`` is empty, this version makes none."""
    import pyarrow as pa

    frames = [result.frames for result in results]
    columns: dict[str, pa.Array] = {
        "recording": pa.array(np.repeat([f.recording for f in frames], [len(f) for f in frames])).cast(pa.string()),
        "subject": pa.array(np.repeat([f.subject for f in frames], [len(f) for f in frames])).cast(pa.string()),
        "time_s": pa.array(np.concatenate([f.time_s for f in frames])),
        "start_s": pa.array(np.concatenate([f.start_s for f in frames])),
        "end_s": pa.array(np.concatenate([f.end_s for f in frames])),
    }
    codes = [f.codes for f in frames if f.codes is not None]
    if codes:
        for place, column in enumerate(np.concatenate(codes).T):
            columns[f"code_{place}"] = pa.array(column)
        columns["margin"] = pa.array(np.concatenate([f.margin for f in frames if f.margin is not None]))
    proba = np.concatenate([result.proba for result in results])
    filtered = np.concatenate([result.filtered for result in results])
    columns |= {f"p_{name}": pa.array(proba[:, k]) for k, name in enumerate(classes)}
    columns |= {f"filtered_{name}": pa.array(filtered[:, k]) for k, name in enumerate(classes)}
    names = np.asarray(classes, dtype=object)
    columns["label"] = pa.array(names[np.concatenate([result.label for result in results])], type=pa.string())
    columns["set"] = pa.array([""] * len(proba), type=pa.string())
    return pa.table(columns)


def write_predictions(path: Path, results: Sequence[Result], classes: Sequence[str]) -> None:
    """Write `frames_table` as Parquet."""
    import pyarrow.parquet as pq

    pq.write_table(frames_table(results, classes), path)


def segments_table(results: Sequence[Result], classes: Sequence[str]) -> Any:
    """An arrow table of the timelines of the experiment's decoder; what this version does not fill is null."""
    import pyarrow as pa

    rows = [(result.frames.recording, segment) for result in results for segment in result.segments()]
    nothing = pa.nulls(len(rows))
    return pa.table(
        {
            "recording": pa.array([name for name, _ in rows], pa.string()),
            "start_s": pa.array([segment.start_s for _, segment in rows], pa.float64()),
            "end_s": pa.array([segment.end_s for _, segment in rows], pa.float64()),
            "label": pa.array([classes[segment.label] for _, segment in rows], pa.string()),
            "confidence": pa.array([segment.confidence for _, segment in rows], pa.float64()),
            "set": nothing.cast(pa.string()),
            "start_low_s": nothing.cast(pa.float64()),
            "start_high_s": nothing.cast(pa.float64()),
        }
    )


def write_segments(path: Path, results: Sequence[Result], classes: Sequence[str]) -> None:
    """Write `segments_table` as CSV; columns that this version does not fill are there and empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SEGMENT_COLUMNS)
        for row in segments_table(results, classes).to_pylist():
            # times in full: a rounded start may lie behind its own first sample
            writer.writerow(f"{row[c]:.6f}" if c == "confidence" else row[c] for c in SEGMENT_COLUMNS)
