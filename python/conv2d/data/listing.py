"""Which data sets lie below a folder, and what each holds, without reading a signal."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conv2d.data.dataset import Dataset
from conv2d.data.meta import BASE_COLUMNS, RecordingRow, in_words, one_line
from conv2d.errors import DataError

DESCRIPTION = "dataset.yaml"


@dataclass(frozen=True)
class Listed:
    """A data set as a line of a list; ``fault`` is why it cannot be opened, and then nothing else is known."""

    path: Path
    name: str
    fault: str = ""
    title: str = ""
    subjects: int = 0
    recordings: int = 0
    hours: float = 0.0
    rate_hz: float = 0.0
    sensors: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    labelled_share: float | None = None
    simulated: bool = False

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        told: dict[str, Any] = {"path": str(self.path), "name": self.name}
        if self.fault:
            return told | {"fault": self.fault}
        return told | {
            "title": self.title, "subjects": self.subjects, "recordings": self.recordings, "hours": self.hours,
            "rate_hz": self.rate_hz, "sensors": list(self.sensors), "channels": list(self.channels),
            "classes": list(self.classes), "labelled_share": self.labelled_share, "simulated": self.simulated,
        }  # fmt: skip


@dataclass(frozen=True)
class ListedRecording:
    """A recording as a line of a list; ``labels`` are its classes in the order of how much of it they cover.

    ``labelled_share`` is None where it has no row. ``further`` holds the columns of recordings.csv that are not fixed.
    """

    subject: str
    recording: str
    seconds: float
    labelled_share: float | None
    labels: tuple[str, ...]
    further: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "subject": self.subject, "recording": self.recording, "seconds": self.seconds,
            "labelled_share": self.labelled_share, "labels": list(self.labels), **self.further,
        }  # fmt: skip


def find_datasets(path: Path) -> list[Path]:
    """The folders with a ``dataset.yaml`` at or below a path, sorted; what lies inside of one is not searched.

    Hidden folders and links to folders are passed over. Raises DataError E-DATA-001 where there is no such folder or no
    data set in it.
    """
    if not path.is_dir():
        what = "is a file" if path.exists() else "does not exist"
        raise DataError(f"E-DATA-001: {path} {what}, expected a data set or a folder with data sets below it")
    if not (found := sorted(_walk(path))):
        raise DataError(
            f"E-DATA-001: no folder at or below {path} has a {DESCRIPTION}, expected a data set; bring recordings of "
            "other forms into one with conv2d data import"
        )
    return found


def _walk(top: Path) -> Iterator[Path]:
    for folder, below, files in os.walk(top):
        if DESCRIPTION in files:
            below.clear()
            yield Path(folder)
        below[:] = [name for name in below if not name.startswith(".")]


def list_dataset(path: Path) -> Listed:
    """What a data set holds; one that cannot be opened has a ``fault`` instead. Reads labels, no signals."""
    try:
        data = Dataset.open(path)
        labelled = sum(sum(_labels(data, row).values()) for row in data.table)
    except DataError as error:
        return Listed(path, path.name, fault=one_line(error))
    meta, rows = data.meta, sum(row.n_rows for row in data.table)
    return Listed(
        path,
        meta.name,
        title=meta.title,
        subjects=len(data.subjects),
        recordings=len(data.table),
        hours=sum(row.n_rows / row.rate_hz for row in data.table) / 3600,
        rate_hz=meta.rate_hz,
        sensors=meta.sensors,
        channels=meta.channels,
        classes=meta.classes,
        labelled_share=labelled / rows if rows else None,
        simulated=meta.simulated,
    )


def list_recordings(data: Dataset) -> list[ListedRecording]:
    """The recordings of a data set by subject, in the order of ``recordings.csv``. Reads labels, no signals.

    Raises DataError (E-DATA-004, E-DATA-005) for a file that cannot be read.
    """
    listed = []
    for row in sorted(data.table, key=lambda row: row.subject):  # stable
        counts = _labels(data, row)
        share = sum(counts.values()) / row.n_rows if row.n_rows else None
        names = tuple(sorted(counts, key=lambda name: (-counts[name], name)))
        further = {key: value for key, value in row.meta.items() if key not in BASE_COLUMNS}
        listed.append(ListedRecording(row.subject, row.recording, row.n_rows / row.rate_hz, share, names, further))
    return listed


def _labels(data: Dataset, row: RecordingRow) -> dict[str, int]:
    """Rows of each label of a recording; null and the empty text are none."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
    import pyarrow.types as types

    path = data.recording_path(row.recording)
    try:
        with pq.ParquetFile(path) as file:
            if "label" not in file.schema_arrow.names:
                names = in_words(file.schema_arrow.names)
                raise DataError(
                    f"E-DATA-005: recording {row.recording} has no column label (it has {names}); add it, null where "
                    "nothing is annotated"
                )
        with pq.ParquetFile(path, read_dictionary=["label"]) as file:
            column = file.read(columns=["label"])["label"]
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"E-DATA-004: {path} of recording {row.recording} is truncated or not a Parquet file "
            f"({one_line(error)}); copy or export it again"
        ) from error
    if types.is_floating(column.type) or types.is_null(column.type):  # how tools write a column without any annotation
        return {}
    counted = pc.value_counts(column)
    values, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    return {str(value): count for value, count in zip(values, counts, strict=True) if value}
