"""A delimited text file in blocks of whole records, each block knowing its first line, in bounded memory.

Compression (gzip, bzip2, zstandard) is known by the first bytes. Text of other encodings is turned into UTF-8 while it
passes. A record may hold line breaks within quotes; a quote counts only where a field begins, as in the parser.
"""

import codecs
import csv
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from conv2d.data.importers import text_faults

LONGEST_RECORD = 16 << 20  # bytes; one that is longer is no row of samples, and memory has to end somewhere
_BREAK = re.compile(rb"\r\n|\r(?=.)|\n", re.DOTALL)  # a last CR may be half of a CR LF
_BOM = b"\xef\xbb\xbf"
_COMPRESSED = ((b"\x1f\x8b", "gzip", ".gz"), (b"BZh", "bz2", ".bz2"), (b"\x28\xb5\x2f\xfd", "zstd", ".zst"))


@dataclass(frozen=True, eq=False)
class Block:
    """Whole records as UTF-8; ``first_line`` counts from 1. ``ends_file`` tells the last block."""

    text: bytes
    first_line: int
    delimiter: bytes
    ends_file: bool = False

    def line_of(self, row: int) -> int:
        """The line on which a record begins, blank lines being none; the end of the block for one behind it."""
        for line, _ in self._records():
            if row == 0:
                return line
            row -= 1
        return self.first_line + max(0, count_breaks(self.text) - 1)

    def line_at(self, offset: int) -> int:
        """The line in which a byte of the text stands."""
        return self.first_line + count_breaks(self.text[:offset])

    def record(self, row: int) -> bytes:
        """The first line of a record, without its line break; empty behind the end."""
        for _, text in self._records():
            if row == 0:
                return text
            row -= 1
        return b""

    def is_last_of_file(self, row: int) -> bool:
        """Whether a record is the file's last and has no line break after it, as where a copy was cut off."""
        return self.ends_file and self.text[-1:] not in b"\r\n" and not self.record(row + 1)

    def _records(self) -> Iterator[tuple[int, bytes]]:
        is_open = False
        for line, text in enumerate(self.text.splitlines(), self.first_line):
            if text and not is_open:
                yield line, text
            if is_open or b'"' in text:
                is_open = _stays_open(text, is_open, self.delimiter)


@dataclass(frozen=True, eq=False)
class Header:
    """The names of the columns and the line they stand in, with the lines that follow for a message."""

    names: list[str]
    line: int
    next_lines: list[str]


def open_blocks(
    path: Path, *, encoding: str, delimiter: str, skip_rows: int, block_bytes: int
) -> tuple[Header, Generator[Block, None, None]]:
    """The header of a file and the blocks of records after it, of about ``block_bytes`` each.

    Raises
    ------
    DataError
        E-DATA-016: no text, no header, bytes that are not of the encoding, a quote that is never closed, a record of
        more than 16 MB.
    OSError
        The file cannot be read.
    """
    blocks = _blocks(path, encoding, delimiter.encode(), skip_rows, block_bytes)
    first = next((b for b in blocks if b.text.strip(b"\r\n")), None)
    if first is None:
        raise text_faults.no_header(path, skip_rows)
    names, line, rest = _split_header(first, path)
    next_lines = [text.decode("utf8", "replace") for text in rest.text[:20_000].splitlines()[:50]]

    def all_blocks() -> Generator[Block, None, None]:
        yield rest
        yield from blocks

    return Header(names, line, next_lines), all_blocks()


def _split_header(block: Block, path: Path) -> tuple[list[str], int, Block]:
    at, line, begun, is_open = 0, block.first_line, block.first_line, False
    for text in block.text.splitlines(keepends=True):
        if not at and not text.strip(b"\r\n"):
            block = Block(block.text[len(text) :], block.first_line + 1, block.delimiter, block.ends_file)
            line = begun = block.first_line
            continue
        at += len(text)
        line += 1
        is_open = _stays_open(text, is_open, block.delimiter)
        if not is_open:
            break
    try:
        record = block.text[:at].decode("utf8").rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise text_faults.not_utf8(path, begun, error) from error
    limit = csv.field_size_limit(LONGEST_RECORD)
    try:
        names = next(csv.reader([record], delimiter=block.delimiter.decode()), [])
    finally:
        csv.field_size_limit(limit)
    return names, begun, Block(block.text[at:], line, block.delimiter, block.ends_file)


def _blocks(path: Path, encoding: str, delimiter: bytes, skip_rows: int, block_bytes: int) -> Iterator[Block]:
    rest, line, to_skip = b"", 1, skip_rows
    for chunk in _utf8(path, encoding, block_bytes):
        text = rest + chunk
        while to_skip and (found := _BREAK.search(text)):
            text, line, to_skip = text[found.end() :], line + 1, to_skip - 1
        if to_skip:
            rest = text[-1:]  # a line to be skipped may be of any length; its last byte may be half of a CR LF
            continue
        end = _end_of_records(text, delimiter)
        rest = text[end:]
        if len(rest) > LONGEST_RECORD:
            raise text_faults.endless_record(path, line + count_breaks(text[:end]), rest, delimiter)
        if end:
            yield Block(text[:end], line, delimiter)
            line += count_breaks(text[:end])
    if to_skip:
        return
    if rest and _open_at_end(rest, delimiter):
        raise text_faults.endless_record(path, line, rest, delimiter)
    yield Block(rest, line, delimiter, ends_file=True)


def _utf8(path: Path, encoding: str, size: int) -> Iterator[bytes]:
    """The text of a file as UTF-8, without a byte order mark at its beginning."""
    codec = codecs.lookup(encoding).name
    with _stream(path) as stream:
        chunk = stream.read(max(size, 4096))
        text_faults.refuse_other_formats(path, chunk)
        text_faults.refuse_other_encodings(path, chunk, codec)
        if codec in ("utf-8", "utf-8-sig", "ascii"):
            at_start = chunk.removeprefix(_BOM)
            for begin in range(0, len(at_start), size):
                yield at_start[begin : begin + size]
            while chunk := stream.read(size):
                yield chunk
            return
        decoder = codecs.getincrementaldecoder(encoding)()
        lines, first = 1, True
        while True:
            try:
                text = decoder.decode(chunk, final=not chunk)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(encoding, "ignore").encode("utf8", "replace")
                raise text_faults.not_of_encoding(path, encoding, lines + count_breaks(before), error) from error
            encoded = text.encode("utf8", "replace")
            lines += count_breaks(encoded)
            yield encoded.removeprefix(_BOM) if first else encoded
            if not chunk:
                return
            chunk, first = stream.read(size), False


def _stream(path: Path) -> Any:
    import pyarrow as pa

    with path.open("rb") as file:
        magic = file.read(4)
    for start, name, suffix in _COMPRESSED:
        if magic.startswith(start):
            return pa.input_stream(str(path), compression=name)
        if path.suffix.lower() == suffix and magic:
            raise text_faults.not_compressed(path, name)
    return path.open("rb")


def count_breaks(text: bytes) -> int:
    """Line breaks of any of the three kinds in a text."""
    # Breaks are many: comparing all bytes at once is several times as fast as bytes.count.
    feeds = int(np.count_nonzero(np.frombuffer(text, np.uint8) == ord("\n")))
    return feeds if b"\r" not in text else feeds + text.count(b"\r") - text.count(b"\r\n")


def _end_of_records(text: bytes, delimiter: bytes) -> int:
    """Where the last record that is whole for certain ends; 0 where none does."""
    end = text.rfind(b"\n") + 1
    if not end:  # lines of an old Macintosh; a last CR may be half of a CR LF
        end = text.rfind(b"\r", 0, len(text) - 1) + 1
    if b'"' not in text or text.count(b'"', 0, end) % 2 == 0:  # the usual cases, at the cost of a scan
        return end
    at = whole = 0
    is_open = False
    for line in text[:end].splitlines(keepends=True):
        at += len(line)
        if is_open or b'"' in line:
            is_open = _stays_open(line, is_open, delimiter)
        if not is_open:
            whole = at
    return whole


def _open_at_end(text: bytes, delimiter: bytes) -> bool:
    is_open = False
    for line in text.splitlines(keepends=True):
        if is_open or b'"' in line:
            is_open = _stays_open(line, is_open, delimiter)
    return is_open


def _stays_open(line: bytes, is_open: bool, delimiter: bytes) -> bool:
    """Whether a quote is open at the end of a line that begins within one (``is_open``) or at a field."""
    at = 0
    while (found := line.find(b'"', at)) >= 0:
        if is_open:
            doubled = line[found + 1 : found + 2] == b'"'
            is_open = doubled
            at = found + 1 + doubled
        else:
            is_open = found == 0 or line[found - 1 : found] == delimiter
            at = found + 1
    return is_open
