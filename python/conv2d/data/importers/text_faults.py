"""What is wrong with a text file that should be a table: each function gives the sentence for one kind of fault."""

import csv
import re
from collections.abc import Sequence
from pathlib import Path

from conv2d.data.file_kinds import kind_of
from conv2d.data.meta import clipped, in_words, nearest
from conv2d.errors import DataError

_UTF16 = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}
_NUMBER = re.compile(r"[-+]?(\d+[.,]?\d*|[.,]\d+)([eE][-+]?\d+)?|nan|na|", re.IGNORECASE)
_DELIMITERS = {";": "';'", "\t": r'"\t"', ",": "','", "|": "'|'", " ": "' '"}


def refuse_other_formats(path: Path, head: bytes) -> None:
    """DataError where the first bytes of a file are those of something else than was expected."""
    if not head:
        raise DataError(f"E-DATA-016: {path} is empty (0 bytes), expected text; export or copy it again")
    if kind := kind_of(head):
        raise DataError(f"E-DATA-016: {path} is {kind[0]}, expected text; {kind[1]}")
    if not head.strip(b"\0"):
        raise DataError(
            f"E-DATA-016: {path} begins with {len(head)} zero bytes or more, as a download or card that failed leaves; "
            "copy it again"
        )


def refuse_other_encodings(path: Path, head: bytes, codec: str) -> None:
    """DataError where the first bytes of a text are of another encoding than Python's ``codec``, or no text at all."""
    wide = codec.startswith(("utf-16", "utf-32"))
    if not wide:
        _refuse_wide_text(path, head)
    elif b"\0" not in head and head[:2] not in _UTF16:
        raise DataError(
            f"E-DATA-016: {path} has one byte for a character, the mapping says encoding {codec}; set encoding: utf8"
        )


def _refuse_wide_text(path: Path, head: bytes) -> None:
    if head[:2] in _UTF16:
        raise DataError(
            f"E-DATA-016: {path} is UTF-16 text by its first two bytes; set encoding: utf-16 in the mapping"
        )
    even, odd = head[:1000:2].count(0), head[1:1000:2].count(0)
    if max(even, odd) > 0.4 * len(head[:1000]) / 2 and min(even, odd) < 0.1 * max(even, odd):
        name = "utf-16-le" if odd > even else "utf-16-be"
        raise DataError(
            f"E-DATA-016: {path} has a zero byte in every second place, as UTF-16 text; set encoding: {name} in the "
            "mapping"
        )
    sample = head[:4096]
    # Zero bytes alone are what a logger that lost its power leaves, which is told with its line.
    control = sum(sample.count(c) for c in (*range(1, 9), *range(14, 27), *range(28, 32)))
    if control > 0.05 * len(sample):
        raise DataError(
            f"E-DATA-016: {path} is a binary file ({control} of its first {len(sample)} bytes are control characters), "
            "expected text; export it as CSV, or name its format instead of csv"
        )


def zero_byte(path: Path, line: int) -> DataError:
    """The sentence for a zero byte within the text."""
    return DataError(
        f"E-DATA-016: line {line} of {path.name} holds a zero byte, as a logger that lost its power leaves; delete the "
        "damaged lines"
    )


def not_compressed(path: Path, name: str) -> DataError:
    """The sentence for a name of compression without it."""
    return DataError(
        f"E-DATA-016: {path} is named {path.suffix} but is not compressed with {name}; rename it, or copy it again"
    )


def unreadable(path: Path, error: OSError) -> DataError:
    """The sentence for a file that the system or a decompressor gives up on."""
    text = str(error)
    if "runcated" in text or "end of stream" in text or "nexpected end" in text:
        return DataError(
            f"E-DATA-016: {path} is compressed and cut off before its end, expected the whole file; copy it again"
        )
    if "inflate" in text or "bz2" in text.lower() or "zstd" in text.lower() or "ompress" in text:
        return DataError(f"E-DATA-016: {path} is compressed and damaged ({clipped(text)}); copy it again")
    return DataError(
        f"E-DATA-016: cannot read {path} ({error.strerror or clipped(text)}); check it and its permissions"
    )


def no_header(path: Path, skip_rows: int) -> DataError:
    """The sentence for a file without any line after those that are skipped."""
    if skip_rows:
        return DataError(
            f"E-DATA-016: {path} has no line after the {skip_rows} that skip_rows passes over; correct skip_rows"
        )
    return DataError(f"E-DATA-016: {path} holds blank lines only, expected a table with a header; export it again")


def not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> DataError:
    """The sentence for bytes that are not UTF-8."""
    byte = error.object[error.start]
    around = error.object[max(0, error.start - 10) : error.start + 10].decode("latin-1")
    return DataError(
        f"E-DATA-016: line {line} of {path.name} has byte 0x{byte:02x}, which is not UTF-8 text (in latin-1 it reads "
        f"{around!r}); set encoding: latin-1 (or what it was saved in) in the mapping"
    )


def not_of_encoding(path: Path, encoding: str, line: int, error: UnicodeDecodeError) -> DataError:
    """The sentence for bytes that are not of the encoding that the mapping says."""
    if error.end >= len(error.object) and "truncated" in error.reason:
        return DataError(
            f"E-DATA-016: {path} ends within a character of {encoding} in line {line}, so it is cut off; copy it again"
        )
    byte = error.object[error.start]
    return DataError(
        f"E-DATA-016: line {line} of {path.name} has byte 0x{byte:02x}, which is none of {encoding}; correct encoding "
        "in the mapping"
    )


def endless_record(path: Path, line: int, text: bytes, delimiter: bytes) -> DataError:
    """The sentence for a record that does not end: a quote that is never closed, or a line without end."""
    if text.startswith(b'"') or delimiter + b'"' in text[: 1 << 20]:
        return DataError(
            f"E-DATA-016: a quote that opens in line {line} of {path.name} is not closed; close it, or delete it"
        )
    return DataError(
        f"E-DATA-016: line {line} of {path.name} is longer than {len(text) >> 20} MB without a line break, expected a "
        f"row of samples; it begins with {clipped(text[:60].decode('utf8', 'replace'))!r}, so check what the file is"
    )


def no_column(
    path: Path, column: str, names: Sequence[str], delimiter: str, line: int, below: Sequence[str]
) -> DataError:
    """The sentence for a column that a header lacks, with the likeliest cause.

    ``line`` is that of the header, ``below`` the lines after it.
    """
    where = f"E-DATA-016: {path} has no column {column!r}"
    if len(names) == 1:
        for other, shown in _DELIMITERS.items():
            if other != delimiter and column in _fields(names[0], other):
                return DataError(
                    f"{where}, its header is one column with delimiter {delimiter!r}; set delimiter: {shown} in the "
                    "mapping"
                )
    for name in names[:2000]:
        if name.strip() == column:
            return DataError(f"{where} but {name!r}, with blanks around it; write it like that in the mapping")
        if name.casefold() == column.casefold():
            return DataError(f"{where} but {name!r}; write it like that in the mapping")
    for further, text in enumerate(below, 1):
        if column in (fields := _fields(text, delimiter)) and len(fields) > 1:
            return DataError(
                f"{where} in line {line}, the names of columns stand in line {line + further}; set skip_rows: "
                f"{line + further - 1} in the mapping"
            )
    if len(names) > 1 and all(_NUMBER.fullmatch(name.strip()) for name in names):
        return DataError(
            f"{where}, line {line} holds numbers where the names of columns were expected; add a line of names"
        )
    if names and names[0].lstrip().startswith(("{", "[")):
        return DataError(f"{where}, its first line {clipped(names[0])!r} looks like JSON; export the table as CSV")
    return DataError(f"{where}; {nearest(column, names) or f'it has {in_words(names, 30)}'}")


def doubled_column(path: Path, column: str, count: int) -> DataError:
    """The sentence for a column that stands in a header more than once."""
    return DataError(f"E-DATA-016: {path} has column {column!r} {count} times; rename all but one")


def wrong_width(path: Path, line: int, got: int, names: Sequence[str], text: str, *, cut_off: bool) -> DataError:
    """The sentence for a row with another number of fields than the header."""
    where = f"E-DATA-016: line {line} of {path.name} has {got} {'field' if got == 1 else 'fields'}"
    expected = f"the header has {len(names)}"
    if cut_off and got < len(names):
        return DataError(
            f"{where}, {expected}; it is the last line, so the file is cut off: copy it again or delete it"
        )
    if got == len(names) + 1 and not text[-1:].strip(",;\t| "):
        return DataError(f"{where}, {expected}; lines end with a delimiter too many: give the header one more name")
    if got > len(names) and text.count(",") >= got - 1 and got >= 1.5 * len(names):
        return DataError(
            f"{where}, {expected}; a decimal comma also parts fields: export with ';' between fields, or with decimal "
            "points"
        )
    advice = "mend or delete it" if got < len(names) else "put texts that hold a delimiter into quotes, or delete it"
    return DataError(f"{where} ({clipped(text)!r}), {expected}; {advice}")


def no_number(path: Path, line: int, column: str, value: str, decimal: str, record: str, delimiter: str) -> DataError:
    """The sentence for a number that is none, by what it looks like."""
    where = f"E-DATA-016: column {column} is {clipped(value)!r} in line {line} of {path.name}, expected a number"
    value = value.strip()
    advice = "correct it, or name it under missing in the mapping"
    fields = _fields(record, delimiter)
    if value == column.strip():
        advice = "the header is repeated there, as where files were put together: delete that line"
    elif decimal == "." and re.fullmatch(r"[-+]?\d*,\d+([eE][-+]?\d+)?", value):
        advice = 'set decimal: "," in the mapping, or take out separators of thousands'
    elif decimal == "," and re.fullmatch(r"[-+]?\d*\.\d+([eE][-+]?\d+)?", value):
        advice = 'set decimal: "." in the mapping, or take out separators of thousands'
    elif re.fullmatch(r"[-+]?\d{1,3}([,.' \u00a0\u202f]\d{3})+([.,]\d+)?", value):
        advice = "export the table without separators of thousands"
    elif value.startswith("#"):
        advice = "a spreadsheet's formula has failed there: correct the sheet and export it again"
    elif re.match(r"\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}", value):
        advice = "set unit: iso8601 under time in the mapping for dates like 2024-05-13T14:44:00.250"
    elif re.match(r"\d{1,2}:\d\d", value):
        advice = "export times as seconds, or with their date as in 2024-05-13T14:44:00.250 (unit: iso8601)"
    elif len(fields) > 1 and not any(re.search(r"\d", f) for f in fields):
        advice = "the line holds no number at all, as a line of units does: delete it, or pass over it with skip_rows"
    elif re.match(r"[-+]?[\d.,]+\s*\S", value):
        advice = "export numbers without their unit, or correct it"
    return DataError(f"{where}; {advice}")


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return [field.strip() for field in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return line.split(delimiter)
