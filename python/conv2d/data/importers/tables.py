"""Tables on disk, CSV or Parquet, read in pieces of bounded size with the columns of a mapping."""

import difflib
import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.mapping import TableMapping
from conv2d.data.meta import in_words, one_line
from conv2d.errors import DataError

Kind = Literal["csv", "parquet"]
_BLOCK_BYTES = 8 << 20
_BATCH_ROWS = 1 << 16
_PATTERNS = {"csv": ("*.csv", "*.csv.gz"), "parquet": ("*.parquet",)}


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive rows of a file: ``numbers`` as float64 by column, ``texts`` as text or None, ``time`` in its unit.

    ``time`` is float64, or int64 nanoseconds for ISO 8601, or None without a column of time. ``first_row`` is what a
    message calls the first row: the line of a CSV file, the row from 0 of a Parquet file.
    """

    path: Path
    first_row: int
    n_rows: int
    time: NDArray[Any] | None
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, Any]  # pyarrow arrays

    def place(self, row: int) -> str:
        """Where a row of the piece stands, for a message."""
        return f"{'row' if self.path.suffix == '.parquet' else 'line'} {self.first_row + row} of {self.path.name}"


def find_files(source: str | Path, kind: Kind, pattern: str | None) -> list[Path]:
    """The files of a source, sorted: a file, a folder (with ``pattern``, by default by suffix), or a glob pattern."""
    path = Path(source)
    if path.is_dir():
        found = sorted({f for p in ((pattern,) if pattern else _PATTERNS[kind]) for f in path.glob(p) if f.is_file()})
        what = f"{path} has no file {pattern or ' or '.join(_PATTERNS[kind])}"
    elif path.is_file():
        return [path]
    else:
        found = sorted(p for p in map(Path, glob.glob(str(source), recursive=True)) if p.is_file())
        what = f"{source} is neither a file, a folder nor a pattern that matches one"
    if not found:
        raise DataError(f"E-DATA-016: {what}; name the tables to import")
    return found


def read_pieces(path: Path, kind: Kind, mapping: TableMapping) -> Iterator[Piece]:
    """Read a file piece by piece.

    Raises
    ------
    DataError
        E-DATA-016: no such column (with the nearest name), a number or time that is none (with its row), a file that
        is not what it is said to be.
    """
    import pyarrow as pa

    try:
        first = 0 if kind == "parquet" else mapping.skip_rows + 2
        for batch in _csv_batches(path, mapping) if kind == "csv" else _parquet_batches(path, mapping):
            yield _piece(path, first, batch, mapping)
            first += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeError) as error:
        encoding = f" with encoding {mapping.encoding}" if kind == "csv" else ""
        raise DataError(
            f"E-DATA-016: cannot read {path} as {kind}{encoding}: {one_line(error)}; correct the file or the mapping"
        ) from error


def _csv_batches(path: Path, mapping: TableMapping) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.csv as pc

    # Without threads the parser knows the line of a number that is none.
    read = pc.ReadOptions(
        encoding=mapping.encoding, skip_rows=mapping.skip_rows, block_size=_BLOCK_BYTES, use_threads=False
    )
    parse = pc.ParseOptions(delimiter=mapping.delimiter)
    with pc.open_csv(path, read_options=read, parse_options=parse) as head:
        header = head.schema.names
    _require(path, header, mapping)
    time_is_text = mapping.time_unit == "iso8601"
    types = {c: pa.string() for c in mapping.text_columns} | {c: pa.float64() for c in mapping.number_columns}
    if mapping.time_column is not None:
        types[mapping.time_column] = pa.string() if time_is_text else pa.float64()
    null_values = sorted({*pc.ConvertOptions().null_values, *mapping.missing})
    convert = pc.ConvertOptions(
        column_types=types, include_columns=list(mapping.columns), null_values=null_values, strings_can_be_null=True,
        decimal_point=mapping.decimal,
    )  # fmt: skip
    try:
        with pc.open_csv(path, read_options=read, parse_options=parse, convert_options=convert) as reader:
            yield from reader
    except pa.ArrowInvalid as error:
        found = re.search(
            r"CSV column #(\d+): Row #(\d+): CSV conversion error to double: invalid value (.*)", str(error)
        )
        if found is None:
            raise
        raise DataError(
            f"E-DATA-016: column {header[int(found[1])]} is {found[3]} in line {found[2]} of {path.name}, expected a "
            "number; correct it, or name it under missing (or set decimal) in the mapping"
        ) from error


def _parquet_batches(path: Path, mapping: TableMapping) -> Iterator[Any]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        _require(path, file.schema_arrow.names, mapping)
        yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=list(mapping.columns))


def _require(path: Path, there: Sequence[str], mapping: TableMapping) -> None:
    for column in mapping.columns:
        if column not in there:
            near = difflib.get_close_matches(column, list(there), 1)
            hint = f"did you mean {near[0]}?" if near else f"it has {in_words(list(there), 30)}"
            raise DataError(f"E-DATA-016: {path} has no column {column!r}; {hint}")
        if there.count(column) > 1:
            raise DataError(f"E-DATA-016: {path} has column {column!r} {there.count(column)} times; rename all but one")


def _piece(path: Path, first_row: int, batch: Any, mapping: TableMapping) -> Piece:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    numbers = {}
    for column in mapping.number_columns:
        values = batch.column(column)
        if not (types.is_integer(values.type) or types.is_floating(values.type) or types.is_null(values.type)):
            raise DataError(
                f"E-DATA-016: column {column} of {path} is of type {values.type}, expected numbers; map another column"
            )
        numbers[column] = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    texts = {}
    for column in mapping.text_columns:
        text = pc.utf8_trim_whitespace(batch.column(column).cast(pa.string()))
        texts[column] = pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
    piece = Piece(path, first_row, batch.num_rows, None, numbers, texts)
    if mapping.time_column is None:
        return piece
    time = _time(batch.column(mapping.time_column), piece, mapping)
    return Piece(path, first_row, batch.num_rows, time, numbers, texts)


def _time(column: Any, piece: Piece, mapping: TableMapping) -> NDArray[Any]:
    import pyarrow as pa
    import pyarrow.types as types

    kind = column.type
    if column.null_count:
        row = int(np.argmax(column.is_null().to_numpy(zero_copy_only=False)))
        raise DataError(
            f"E-DATA-016: column {mapping.time_column} is empty in {piece.place(row)}, expected a time; drop the row"
        )
    if mapping.time_unit != "iso8601":
        if not (types.is_integer(kind) or types.is_floating(kind)):
            raise DataError(
                f"E-DATA-016: column {mapping.time_column} of {piece.path} is of type {kind}, expected numbers in "
                f"{mapping.time_unit}; set unit of time in the mapping (iso8601 for dates)"
            )
        values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
        finite = np.isfinite(values)
        if not finite.all():
            row = int(np.argmin(finite))
            raise DataError(
                f"E-DATA-016: column {mapping.time_column} is {values[row]} in {piece.place(row)}, expected a time; "
                "drop the row"
            )
        return values
    if not types.is_timestamp(kind):
        column = _parse_dates(column, piece, mapping)
    # Nanoseconds as integers: a double could tell times of this century apart by no less than 256 ns.
    nanoseconds: NDArray[np.int64] = (
        column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_numpy(zero_copy_only=False)
    )
    return nanoseconds


def _parse_dates(column: Any, piece: Piece, mapping: TableMapping) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = column.cast(pa.string())
    if len(text) == 0:
        return text.cast(pa.timestamp("ns"))
    zoned = pc.match_substring_regex(text, r"(Z|[+-]\d\d:?\d\d)$")
    kind = pa.timestamp("ns", "UTC") if zoned[0].as_py() else pa.timestamp("ns")
    try:
        return text.cast(kind)
    except pa.ArrowInvalid as error:
        bad = next(i for i in range(len(text)) if not _is_date(text[i], kind))
        raise DataError(
            f"E-DATA-016: column {mapping.time_column} is {text[bad].as_py()!r} in {piece.place(bad)}, expected an ISO "
            "8601 time like 2024-05-13T14:44:00.250 (all with a zone or all without); correct it or set another unit"
        ) from error


def _is_date(text: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
