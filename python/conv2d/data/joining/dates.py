"""Whether times are dates, since when they count, and whether they tell their zone."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.mapping import TableMapping
from conv2d.data.importers.tables import Kind, read_pieces
from conv2d.errors import DataError

_EPOCH_S = 1e9  # seconds since 1970 that are no time of a device: after 2001

Array = NDArray[np.float64]


def kind_of(path: Path) -> Kind:
    """Which reader a file needs, by its suffix: Parquet, or CSV for everything else."""
    return "parquet" if path.suffix == ".parquet" else "csv"


def is_epoch(time: Array) -> bool:
    """Whether seconds count from 1970."""
    known = time[np.isfinite(time)]
    return bool(len(known) and np.median(known) > _EPOCH_S)


def has_zone(path: Path, options: TableMapping, column: str) -> bool:
    """Whether the dates of a column tell their zone, by the first of them."""
    if kind_of(path) == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        kind = pq.read_schema(path).field(column).type
        if pa.types.is_timestamp(kind):
            return kind.tz is not None
    first = next(read_pieces(path, kind_of(path), replace(options, channels={}, meta={"date": column})), None)
    words = [] if first is None else first.texts[column].unique().to_pylist()
    return any(re.search(r"(Z|[+-]\d\d:?\d\d)$", word) for word in words if word)


def read_start(text: str, where: str) -> tuple[float, bool, bool]:
    """Seconds of a ``start`` as importers write it, a number or a date, and whether it is a date and has a zone."""
    try:
        number = float(text)
        return number, number > _EPOCH_S, number > _EPOCH_S
    except ValueError:
        pass
    try:
        date = datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"E-DATA-020: {where} has start {text!r}, expected seconds or an ISO 8601 time by which sensors can be "
            "brought together; add the column start to recordings.csv"
        ) from error
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp(), True, date.tzinfo is not None
