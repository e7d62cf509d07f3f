"""``predictions.parquet`` (a row a frame) and ``segments.csv`` (a row a segment)."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from conv2d.tasks.behavior.timeline import Result

SEGMENT_COLUMNS = ("recording", "start_s", "end_s", "label", "confidence", "set", "start_low_s", "start_high_s")


def write_predictions(path: Path, results: Sequence[Result], classes: Sequence[str]) -> None:
    """Frames of the whole of each recording; ``set`` is empty, since this version makes no conformal sets."""
    import pyarrow as pa
    import pyarrow.parquet as pq

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
    pq.write_table(pa.table(columns), path)


def write_segments(path: Path, results: Sequence[Result], classes: Sequence[str]) -> None:
    """The timelines of the experiment's decoder; columns that this version does not fill are there and empty."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(SEGMENT_COLUMNS)
        for result in results:
            for segment in result.segments():
                confidence = f"{segment.confidence:.6f}"
                # times in full: a rounded start may lie behind its own first sample
                row = (segment.start_s, segment.end_s, classes[segment.label], confidence)
                writer.writerow((result.frames.recording, *row, "", "", ""))
