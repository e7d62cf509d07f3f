"""Tables on disk, CSV or Parquet, read in pieces of bounded size with the columns of a mapping."""

import glob
import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conv2d.data.file_kinds import why_no_parquet
from conv2d.data.importers import text_faults
from conv2d.data.importers.mapping import TableMapping
from conv2d.data.importers.text_blocks import Block, open_blocks
from conv2d.data.meta import clipped, in_words, nearest, one_line
from conv2d.errors import DataError

Kind = Literal["csv", "parquet"]
_BLOCK_BYTES = 4 << 20
_BATCH_ROWS = 1 << 16
_MOST_PARSERS = 4
_PATTERNS = {"csv": ("*.csv", "*.csv.gz"), "parquet": ("*.parquet",)}


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive rows of a file: ``numbers`` as float64 by column, ``texts`` by column, ``time`` in its unit.

    ``texts`` are dictionary arrays of pyarrow: trimmed, null where empty, no word twice in the dictionary. ``time`` is
    float64 (int64 where a Parquet file has whole numbers), or int64 nanoseconds for ISO 8601, or None without a column
    of time. ``first_row`` is what a message calls the first row: the line of a text file, the row from 0 of a Parquet
    file; with the ``block`` of text that the rows were read from a row's line is exact, whatever stands between.
    """

    path: Path
    first_row: int
    n_rows: int
    time: NDArray[Any] | None
    numbers: dict[str, NDArray[np.float64]]
    texts: dict[str, Any]
    block: Block | None = None

    def place(self, row: int) -> str:
        """Where a row of the piece stands, for a message."""
        if self.block is not None:
            return f"line {self.block.line_of(row)} of {self.path.name}"
        return f"{'row' if self.path.suffix == '.parquet' else 'line'} {self.first_row + row} of {self.path.name}"


def find_files(source: str | Path, kind: Kind, pattern: str | None) -> list[Path]:
    """The files of a source, sorted: a file, a folder (with ``pattern``, by default by suffix), or a glob pattern.

    Raises
    ------
    DataError
        E-DATA-016: there is none.
    """
    path = Path(source)
    if path.is_dir():
        if not os.access(path, os.R_OK | os.X_OK):
            raise DataError(f"E-DATA-016: {path} may not be listed (Permission denied); check its permissions")
        found = sorted({f for p in ((pattern,) if pattern else _PATTERNS[kind]) for f in path.glob(p) if f.is_file()})
        what = f"{path} has no file {pattern or ' or '.join(_PATTERNS[kind])}"
        if not pattern and (others := sorted({f.suffix for f in path.iterdir() if f.suffix and f.is_file()})):
            what += f" but files {in_words(['*' + o for o in others], 6)}"
    elif path.is_file():
        return [path]
    elif path.is_symlink():
        raise DataError(
            f"E-DATA-016: {path} is a link to {clipped(os.readlink(path))}, which leads to no file; mend it"
        )
    elif path.exists():
        raise DataError(
            f"E-DATA-016: {path} is neither a file nor a folder (a pipe or device); save it as a file first"
        )
    else:
        found = sorted(p for p in map(Path, glob.glob(str(source), recursive=True)) if p.is_file())
        what = f"{source} is neither a file, a folder nor a pattern that matches one"
    if not found:
        raise DataError(f"E-DATA-016: {what}; name the tables to import")
    return found


def read_pieces(path: Path, kind: Kind, mapping: TableMapping) -> Iterator[Piece]:
    """Read a file piece by piece, in its order; pieces are parsed ahead by a few threads.

    Raises
    ------
    DataError
        E-DATA-016: no such column (with the nearest name), a number or time that is none (with its line or row), a
        file that is not what it is said to be.
    """
    import pyarrow as pa

    try:
        with closing(_csv_pieces(path, mapping) if kind == "csv" else _parquet_pieces(path, mapping)) as pieces:
            yield from pieces
    except (pa.ArrowException, OSError, UnicodeError) as error:
        if kind == "parquet":
            raise _damaged_parquet(path, error) from error
        if isinstance(error, OSError):
            raise text_faults.unreadable(path, error) from error
        raise DataError(
            f"E-DATA-016: cannot read {path} as csv ({one_line(error)}); correct the file or the mapping"
        ) from error


def _csv_pieces(path: Path, mapping: TableMapping) -> Generator[Piece, None, None]:
    header, blocks = open_blocks(
        path, encoding=mapping.encoding, delimiter=mapping.delimiter, skip_rows=mapping.skip_rows,
        block_bytes=_BLOCK_BYTES,
    )  # fmt: skip
    for column in mapping.columns:
        if column not in header.names:
            raise text_faults.no_column(path, column, header.names, mapping.delimiter, header.line, header.next_lines)
        if header.names.count(column) > 1:
            raise text_faults.doubled_column(path, column, header.names.count(column))
    with closing(blocks):
        yield from _in_order(lambda block: _parse(path, header.names, block, mapping), blocks)


def _in_order(parse: Callable[[Block], Piece | None], blocks: Iterator[Block]) -> Iterator[Piece]:
    """Parse blocks on a few threads; what comes out, an error too, comes in the order of the blocks."""
    threads = min(_MOST_PARSERS, len(os.sched_getaffinity(0)))
    pool = ThreadPoolExecutor(threads, thread_name_prefix="parse")
    ahead: deque[Future[Piece | None]] = deque()
    late: Exception | None = None
    try:
        while True:
            try:
                block = next(blocks, None)
            except (DataError, OSError) as error:
                block, late = None, error  # what stands before it may have a fault of its own, to be told first
            if block is None:
                break
            ahead.append(pool.submit(parse, block))
            if len(ahead) > threads and (piece := ahead.popleft().result()) is not None:
                yield piece
        while ahead:
            if (piece := ahead.popleft().result()) is not None:
                yield piece
        if late is not None:
            raise late
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _parse(path: Path, names: Sequence[str], block: Block, mapping: TableMapping) -> Piece | None:
    import pyarrow as pa
    import pyarrow.csv as pc

    if not block.text[:1000].strip(b"\r\n") and not block.text.strip(b"\r\n"):
        return None
    if (zero := block.text.find(b"\0")) >= 0:
        raise text_faults.zero_byte(path, block.line_at(zero))
    # Without threads the parser knows the row of what it cannot read; the threads are ours.
    read = pc.ReadOptions(column_names=list(names), use_threads=False, block_size=len(block.text) + 1)
    split = pc.ParseOptions(delimiter=mapping.delimiter, newlines_in_values=b'"' in block.text)
    words = pa.dictionary(pa.int32(), pa.string())
    types = dict.fromkeys(mapping.text_columns, words) | dict.fromkeys(mapping.number_columns, pa.float64())
    if mapping.time_column is not None:
        types[mapping.time_column] = pa.string() if mapping.time_unit == "iso8601" else pa.float64()
    convert = pc.ConvertOptions(
        column_types=types, include_columns=list(mapping.columns), strings_can_be_null=True,
        null_values=sorted({*pc.ConvertOptions().null_values, *mapping.missing}), decimal_point=mapping.decimal,
    )  # fmt: skip
    try:
        table = pc.read_csv(pa.BufferReader(block.text), read, split, convert)
    except pa.ArrowInvalid as error:
        raise _csv_fault(path, names, block, mapping, str(error)) from error
    batch = table.combine_chunks().to_batches()
    return _piece(path, block.first_line, batch[0], mapping, block) if batch else None


def _csv_fault(path: Path, names: Sequence[str], block: Block, mapping: TableMapping, text: str) -> DataError:
    if found := re.search(r"Row #(\d+): Expected \d+ columns, got (\d+)", text):
        row = int(found[1]) - 1
        record = block.record(row).decode("utf8", "replace")
        return text_faults.wrong_width(
            path, block.line_of(row), int(found[2]), names, record, cut_off=block.is_last_of_file(row)
        )
    if found := re.search(
        r"column #(\d+): Row #(\d+): CSV conversion error to double: invalid value '(.*)'", text, re.DOTALL
    ):
        row = int(found[2]) - 1
        record = block.record(row).decode("utf8", "replace")
        return text_faults.no_number(
            path, block.line_of(row), names[int(found[1])], found[3], mapping.decimal, record, mapping.delimiter
        )
    try:
        block.text.decode("utf8")
    except UnicodeDecodeError as error:
        return text_faults.not_utf8(path, block.line_at(error.start), error)
    return DataError(
        f"E-DATA-016: cannot read {path} as csv from line {block.first_line} on ({one_line(text)}); correct the file "
        "or the mapping"
    )


def _parquet_pieces(path: Path, mapping: TableMapping) -> Generator[Piece, None, None]:
    import pyarrow.parquet as pq

    first = 0
    with pq.ParquetFile(path) as parquet:
        there = parquet.schema_arrow.names
        for column in mapping.columns:
            if column not in there:
                hint = nearest(column, there) or f"it has {in_words(there, 30)}"
                raise DataError(f"E-DATA-016: {path} has no column {column!r}; {hint}")
            if there.count(column) > 1:
                raise text_faults.doubled_column(path, column, there.count(column))
        for batch in parquet.iter_batches(batch_size=_BATCH_ROWS, columns=list(mapping.columns)):
            yield _piece(path, first, batch, mapping, None)
            first += batch.num_rows


def _damaged_parquet(path: Path, error: Exception) -> DataError:
    why, advice = why_no_parquet(path, error)
    return DataError(f"E-DATA-016: {path} cannot be read as a Parquet file ({why}); {advice}")


def _piece(path: Path, first_row: int, batch: Any, mapping: TableMapping, block: Block | None) -> Piece:
    numbers = {column: _numbers(path, column, batch.column(column)) for column in mapping.number_columns}
    texts = {column: _words(path, column, batch.column(column)) for column in mapping.text_columns}
    piece = Piece(path, first_row, batch.num_rows, None, numbers, texts, block)
    if mapping.time_column is None:
        return piece
    return replace(piece, time=_time(batch.column(mapping.time_column), piece, mapping))


def _numbers(path: Path, column: str, values: Any) -> NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.types as types

    if not (types.is_integer(values.type) or types.is_floating(values.type) or types.is_null(values.type)):
        raise DataError(
            f"E-DATA-016: column {column} of {path} is of type {values.type}, expected numbers; map another column"
        )
    numbers: NDArray[np.float64] = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return numbers


def _words(path: Path, column: str, values: Any) -> Any:
    """A column of text as a dictionary array: trimmed, null where empty, no word twice."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.types as types

    kind = values.type
    try:
        if types.is_binary(kind) or types.is_large_binary(kind):  # text that its writer did not mark as such
            values = values.cast(pa.string())
        elif types.is_nested(kind):
            raise pa.ArrowInvalid("nested")
    except pa.ArrowInvalid as error:
        raise DataError(
            f"E-DATA-016: column {column} of {path} is of type {kind}, expected text; map another column"
        ) from error
    if types.is_floating(kind):  # pandas writes a missing whole number as NaN, and the others as fractions
        whole = pc.all(pc.equal(pc.floor(values), values)).as_py() is not False
        values = pc.if_else(pc.is_nan(values), pa.scalar(None, kind), values)
        values = values.cast(pa.int64()) if whole else values
    encoded = values if types.is_dictionary(kind) else values.cast(pa.string()).dictionary_encode()
    encoded.validate(full=True)  # a damaged file may hold codes beyond its words, and words of no text
    words = encoded.dictionary.cast(pa.string()).to_pylist()
    trimmed = [word.strip() if word else "" for word in words]
    distinct = {word: code for code, word in enumerate(dict.fromkeys(word for word in trimmed if word))}
    if words == list(distinct) and encoded.dictionary.type == pa.string():
        return encoded
    codes = pa.array([distinct.get(word) for word in trimmed], pa.int32())
    return pa.DictionaryArray.from_arrays(codes.take(encoded.indices), pa.array(list(distinct), pa.string()))


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
        if types.is_integer(kind) and kind != pa.uint64():  # exact where a double is not: nanoseconds of this century
            exact: NDArray[np.int64] = column.cast(pa.int64()).to_numpy(zero_copy_only=False)
            return exact
        values: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
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
    try:
        # Nanoseconds as integers: a double could tell times of this century apart by no less than 256 ns.
        nanoseconds: NDArray[np.int64] = (
            column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64()).to_numpy(zero_copy_only=False)
        )
    except pa.ArrowInvalid as error:
        raise DataError(
            f"E-DATA-016: column {mapping.time_column} of {piece.path.name} has dates beyond 1677 to 2262 from "
            f"{piece.place(0)} on ({one_line(error)}); correct the clock's dates"
        ) from error
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
            f"E-DATA-016: column {mapping.time_column} is {clipped(text[bad].as_py())!r} in {piece.place(bad)}, "
            "expected an ISO 8601 time like 2024-05-13T14:44:00.250 (all with a zone or all without); correct it or "
            "set another unit"
        ) from error


def _is_date(text: Any, kind: Any) -> bool:
    import pyarrow as pa

    try:
        text.cast(kind)
    except pa.ArrowInvalid:
        return False
    return True
