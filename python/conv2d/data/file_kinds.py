"""What a file is by its first bytes, for the sentence about one that is not what was expected."""

import os
import re
from pathlib import Path

from conv2d.data.meta import clipped, one_line

# What files begin with, what they are, and the way out.
_MAGIC = (
    (b"PK\x03\x04", "a ZIP archive, as .xlsx files are", "save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Office file", "save the sheet as CSV"),
    (b"PAR1", "a Parquet file", "import it with 'conv2d data import parquet'"),
    (b"\x89HDF", "an HDF5 file (or MATLAB 7.3)", "export its table as CSV or Parquet"),
    (b"MATLAB 5.0", "a MATLAB file", "export its table as CSV or Parquet"),
    (b"ARROW1", "an Arrow file", "write its table as Parquet"),
    (b"\x93NUMPY", "a NumPy array", "write it as CSV or Parquet"),
    (b"SQLite format 3", "an SQLite database", "export its table as CSV"),
    (b"%PDF", "a PDF document", "export the table as CSV"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"\xfd7zXZ", "an xz archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (b"RDX", "an R data file", "write the table as CSV"),
    (b"version https://git-lfs.github.com/spec", "a pointer to a file in Git LFS", "fetch it with 'git lfs pull'"),
    (b"/annex/objects/", "a pointer to a file in git-annex", "fetch it with 'git annex get'"),
)
_PAGES = re.compile(rb"\s*<(!doctype html|html|head|body|\?xml|!--)", re.IGNORECASE)


def kind_of(head: bytes) -> tuple[str, str] | None:
    """What a file that begins with these bytes is, and what to do about it; None for text and what is not known.

    >>> kind_of(b"PK\\x03\\x04...")
    ('a ZIP archive, as .xlsx files are', 'save the sheet as CSV, or unpack the archive')
    """
    for start, what, advice in _MAGIC:
        if head.startswith(start):
            return what, advice
    if found := _PAGES.match(head):
        what = "an XML file" if found[1].startswith(b"?") else "a web page, as a failed download leaves it"
        return what, "get the file itself"
    return None


def why_no_parquet(path: Path, error: Exception | None = None) -> tuple[str, str]:
    """Why a file cannot be read as Parquet, and what to do; ``error`` is what the reader said."""
    again = "copy or export it again"
    try:
        with path.open("rb") as file:
            head = file.read(4096)
            end = file.seek(0, os.SEEK_END)
            file.seek(max(0, end - 4))
            tail = file.read()
    except IsADirectoryError:
        return "it is a folder", "give the file in it"
    except OSError as problem:
        return f"it cannot be read, {problem.strerror}", "check it and its permissions"
    if not head:
        return "it is empty (0 bytes)", again
    if head.startswith((b"PAR1", b"PARE")):
        if end < 12 or tail not in (b"PAR1", b"PARE"):
            return "it is cut off, its end lacks the mark PAR1", again
        return f"it is damaged: {one_line(error or 'its content is off')}", again
    if kind := kind_of(head):
        return f"it is {kind[0]}", kind[1]
    if not head.strip(b"\0"):
        return f"it begins with {len(head)} zero bytes, as a download or card that failed leaves", again
    begins = clipped(head[:40].decode("utf8", "replace"))
    if begins.isprintable() and "\ufffd" not in begins:
        return f"it begins with {begins!r}", "import text with 'conv2d data import csv'"
    return "it lacks the mark PAR1 of such files", again
