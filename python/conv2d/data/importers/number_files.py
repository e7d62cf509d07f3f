"""Files of nothing but numbers between blanks or tabs, as published sets have them: read fast, and told by the line."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.text_faults import refuse_other_encodings, refuse_other_formats, unreadable
from conv2d.errors import DataError

_CHUNK_BYTES = 8 << 20
_HEAD_BYTES = 4096
_LONGEST_LINE = 1 << 20
_MISSING = ["NaN", "nan", "NAN", "-NaN", "-nan", "-NAN", "+NaN", "+nan"]
_INFINITE_FROM = (2 - 2**-24) * 2.0**127  # a float32 made of it is infinite


@dataclass(frozen=True, eq=False)
class NumberBlock:
    """Consecutive lines of a file: ``columns`` is float64 (column, line), NaN where the file says so."""

    path: Path
    first_line: int
    columns: NDArray[np.float64]

    @property
    def n_rows(self) -> int:
        """Number of lines."""
        return int(self.columns.shape[1])

    def place(self, row: int) -> str:
        """Where a row of the block stands, for a message."""
        return f"line {self.first_line + row} of {self.path.name}"


def read_numbers(path: Path, n_columns: int, use: Sequence[int] | None = None) -> Iterator[NumberBlock]:
    """Read a file of ``n_columns`` numbers a line, block by block, with the columns ``use`` (from 0; all by default).

    Blanks and tabs may stand around numbers and at both ends of a line, empty lines at the end of the file. NaN in any
    spelling is a missing value. Only the columns in ``use`` are converted, so text in others is not noticed. About
    100 MB/s; memory is bounded by a block of 8 MB of text.

    Raises
    ------
    DataError
        E-DATA-016 with file and line: a file that cannot be opened or is empty, another number of values, an empty line
        between others, something that is no finite number.
    """
    use = list(range(n_columns) if use is None else use)
    line = 1
    try:
        for text in _chunks(path):
            columns = _parse(text, n_columns, use)
            if columns is None:
                columns = _parse_slowly(text, n_columns, use, path, line)
            block = NumberBlock(path, line, columns)
            _refuse_huge(block, use)
            yield block
            line += block.n_rows
    except OSError as error:
        raise unreadable(path, error) from error
    if line == 1:
        raise DataError(f"E-DATA-016: {path} holds no line, expected {n_columns} numbers a line; copy the file again")


def read_number_file(path: Path, n_columns: int, use: Sequence[int] | None = None) -> NumberBlock:
    """Read a whole file as one block; see `read_numbers`."""
    blocks = [block.columns for block in read_numbers(path, n_columns, use)]
    return NumberBlock(path, 1, np.concatenate(blocks, axis=1))


def whole_numbers(block: NumberBlock, column: int, what: str) -> NDArray[np.int64]:
    """A column of a block as int64; DataError E-DATA-016 with the line of a value that is no whole number."""
    values = block.columns[column]
    whole = (np.floor(values) == values) & (np.abs(values) < 2**53)  # false at NaN
    if not whole.all():
        row = int(np.argmin(whole))
        raise DataError(
            f"E-DATA-016: {what} is {values[row]:g} in {block.place(row)}, expected a whole number; correct the line"
        )
    numbers: NDArray[np.int64] = values.astype(np.int64)
    return numbers


def _chunks(path: Path) -> Iterator[bytes]:
    """Whole lines, a few megabytes at a time; empty lines stay with what follows them, and go at the end of the "
    "file."""
    rest = b""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
        refuse_other_formats(path, head)
        try:
            refuse_other_encodings(path, head, "utf-8")
        except DataError as error:
            what = str(error).rpartition("; ")[0]
            raise DataError(f"{what}; copy the published file again, or save it as plain text") from None
        rest = head.removeprefix(b"\xef\xbb\xbf")
        while data := file.read(_CHUNK_BYTES):
            text = rest + data
            whole = text[: text.rfind(b"\n") + 1].rstrip()
            if not whole:
                if len(text) > _LONGEST_LINE + _CHUNK_BYTES:
                    raise DataError(
                        f"E-DATA-016: {path} has a line of more than {_LONGEST_LINE >> 20} MB, so it is no text file "
                        "of numbers; name the published file"
                    )
                rest = text
                continue
            end = text.index(b"\n", len(whole)) + 1
            yield text[:end]
            rest = text[end:]
    if rest.strip():
        yield rest.rstrip()


def _parse(text: bytes, n_columns: int, use: list[int]) -> NDArray[np.float64] | None:
    """The columns, or None where anything about the text is not plain; then `_parse_slowly` decides or complains."""
    import pyarrow as pa
    import pyarrow.csv as pc

    n_lines = text.count(b"\n") + (not text.endswith(b"\n"))
    text = text.replace(b"\t", b" ").lstrip(b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    text = text.replace(b"\n ", b"\n").replace(b" \n", b"\n").replace(b" \r\n", b"\r\n")
    names = [str(i) for i in range(n_columns)]
    wanted = [names[i] for i in use]
    try:
        table = pc.read_csv(
            pa.BufferReader(text),
            read_options=pc.ReadOptions(column_names=names, block_size=len(text) + 1),
            parse_options=pc.ParseOptions(delimiter=" ", quote_char=False),
            convert_options=pc.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.float64()), include_columns=wanted, null_values=_MISSING
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != n_lines:
        return None
    return np.stack([table[name].to_numpy() for name in wanted])


def _parse_slowly(text: bytes, n_columns: int, use: list[int], path: Path, first_line: int) -> NDArray[np.float64]:
    lines = text.decode("latin-1").removesuffix("\n").split("\n")
    columns = np.empty((len(use), len(lines)))
    for row, line in enumerate(lines):
        fields = line.split()
        where = f"line {first_line + row} of {path.name}"
        if len(fields) != n_columns:
            got = f"has {len(fields)} values" if fields else "is empty"
            advice = "copy the file again or correct the line"
            for mark, name in ((",", "commas"), (";", "semicolons")):
                if len(line.replace(mark, " ").split()) == n_columns:
                    advice = f"its values stand between {name}: put blanks there, or copy the published file again"
            raise DataError(f"E-DATA-016: {where} {got}, expected {n_columns} numbers between blanks; {advice}")
        for i, column in enumerate(use):
            columns[i, row] = _number(fields[column], column, where)
    return columns


def _number(field: str, column: int, where: str) -> float:
    try:
        if "_" in field:  # Python takes 1_000 for a number
            raise ValueError
        return float(field)
    except ValueError:
        raise DataError(
            f"E-DATA-016: value {column + 1} in {where} is {field[:40]!r}, expected a number like 0.5, or NaN; correct "
            "the line"
        ) from None


def _refuse_huge(block: NumberBlock, use: list[int]) -> None:
    huge = np.abs(block.columns) >= _INFINITE_FROM  # false at NaN
    if huge.any():
        i, row = (int(k) for k in np.argwhere(huge)[0])
        raise DataError(
            f"E-DATA-016: value {use[i] + 1} in {block.place(row)} is {block.columns[i, row]:g}, expected a number "
            "within float32, or NaN where none was measured; correct the line"
        )
