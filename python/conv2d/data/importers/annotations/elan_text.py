"""Tab-delimited text exports of ELAN; see `conv2d.data.importers.annotations.elan`."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

from conv2d.data.importers.annotations.intervals import Annotation, Document, decode_text, not_empty, read_bytes
from conv2d.data.importers.annotations.plan import CODE
from conv2d.data.meta import in_words
from conv2d.errors import DataError

_CLOCK = re.compile(r"(\d+):(\d\d):(\d\d(?:[.,]\d+)?)")
_QUOTED = ' \t"#'
_FORMS = ("msec", "ss.msec", "hh:mm:ss.ms")  # of a time in text exports, in the order of preference


def read_tab_export(path: Path) -> Document:
    """The annotations of a tab-delimited text export.

    Raises
    ------
    DataError
        E-DATA-019, with the line.
    """
    document = Document(path.stem, path)
    lines = decode_text(read_bytes(path)).splitlines()
    rows = [
        (n, line.split("\t")) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith(('"#', "#"))
    ]
    header = [name.strip() for name in rows[0][1]] if rows else []
    titled = any(name.startswith("Begin Time") for name in header)
    _one_file(path, [line.strip(_QUOTED) for line in lines if line.startswith(('"#', "#")) and _is_eaf(line)])
    n_empty = 0
    for start, stop, cells in _titled(path, header, rows[1:]) if titled else _untitled(document, rows):
        n_empty += not cells
        for where, tier, value in cells:
            if stop < start:
                raise DataError(
                    f"{CODE}: {where} goes from {start:g} to {stop:g} s, expected an end after its begin; correct it "
                    "in ELAN"
                )
            document.annotations.append(Annotation(start, stop, value, tier, where))
    if n_empty:
        document.notes.append(f"annotations of {path.name} without text, left out: {n_empty}")
    return not_empty(document)


def _is_eaf(text: str) -> bool:
    return text.strip(_QUOTED).lower().endswith(".eaf")


def _one_file(path: Path, named: Sequence[str]) -> None:
    """Refuse an export of several files: each has its own times."""
    if len(set(named)) > 1:
        raise DataError(
            f"{CODE}: {path} is an export of {len(set(named))} files, {in_words(sorted(set(named)))}, whose times all "
            "begin at 0, expected one; export them one by one, or import the .eaf files"
        )


_Row = tuple[float, float, list[tuple[str, str, str]]]  # start, stop, and (place, tier, label) of each label


def _titled(path: Path, header: Sequence[str], rows: Sequence[tuple[int, list[str]]]) -> Iterator[_Row]:
    for form in _FORMS:
        begin, end = f"Begin Time - {form}", f"End Time - {form}"
        if begin in header and end in header:
            break
    else:
        raise DataError(
            f"{CODE}: {path} has columns {in_words(header)}, expected Begin Time and End Time in one of "
            f"{', '.join(_FORMS)}; export it with those"
        )
    tiers = [i for i, name in enumerate(header) if not re.match(r"(Begin Time|End Time|Duration) - ", name)]
    for i in tiers.copy():
        column = [fields[i].strip() for _, fields in rows if i < len(fields) and fields[i].strip()]
        if column and all(_is_eaf(text) for text in column):
            _one_file(path, column)
            tiers.remove(i)
    for number, fields in rows:
        where = f"line {number} of {path.name}"
        if len(fields) <= max(header.index(begin), header.index(end)):
            raise DataError(f"{CODE}: {where} has {len(fields)} fields, the titles are {len(header)}; export it again")
        start, stop = (_time(fields[header.index(c)], form, where) for c in (begin, end))
        cells = [
            (where, header[i], " ".join(fields[i].split())) for i in tiers if i < len(fields) and fields[i].strip()
        ]
        yield start, stop, cells


def _untitled(document: Document, rows: Sequence[tuple[int, list[str]]]) -> Iterator[_Row]:
    path = document.path
    behind: list[tuple[str, ...]] = []
    for number, fields in rows:
        where = f"line {number} of {path.name}"
        fields = [text.strip() for text in fields]
        clocks = [i for i, text in enumerate(fields) if _CLOCK.fullmatch(text)]
        if len(clocks) < 2 or clocks[0] == 0:
            raise DataError(
                f"{CODE}: {where} has no begin and end as hh:mm:ss.ms behind a tier, and the file has no column "
                "titles; export it with 'separate column for each tier', save it as .eaf, or choose the files of a "
                "folder with files in the mapping"
            )
        start, stop, *_ = (_time(fields[i], "hh:mm:ss.ms", where) for i in clocks)
        label = clocks[-1] + 1
        last = _time(fields[clocks[-1]], "hh:mm:ss.ms", where)
        while label < len(fields) and _is_same(fields[label], last):  # the same time as ss.msec and msec
            label += 1
        behind.append(tuple(fields[label + 1 :]))
        value = " ".join("".join(fields[label : label + 1]).split())
        yield start, stop, [(where, fields[0], value)] if value else []
    for columns in zip_longest(*behind, fillvalue=""):
        if all(_is_eaf(text) for text in columns):
            _one_file(path, columns)
        elif len(set(columns)) > 1:
            i = next(i for i, text in enumerate(columns) if text != columns[0])
            raise DataError(
                f"{CODE}: {path} has further fields behind the annotations, {columns[0]!r} in line {rows[0][0]} and "
                f"{columns[i]!r} in line {rows[i][0]}, expected one annotation a line; export it with column titles, "
                "or save it as .eaf"
            )
        document.notes.append(f"{path.name} names {columns[0]!r} behind each annotation, which was left out")


def _is_same(text: str, seconds: float) -> bool:
    """Whether a field is a time as ss.msec or msec."""
    if not re.fullmatch(r"\d{1,12}([.,]\d{1,3})?", text):
        return False
    is_msec = "." not in text and "," not in text
    return abs(float(text.replace(",", ".")) / (1000 if is_msec else 1) - seconds) < 1e-6


def _time(text: str, form: str, where: str) -> float:
    text = text.strip()
    if form == "hh:mm:ss.ms":
        clock = _CLOCK.fullmatch(text)
        if clock:
            return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3].replace(",", "."))
    elif re.fullmatch(r"\d{1,12}([.,]\d*)?", text):
        return float(text.replace(",", ".")) / (1000 if form == "msec" else 1)
    raise DataError(f"{CODE}: {where} has the time {text!r}, expected {form}; export it again")
