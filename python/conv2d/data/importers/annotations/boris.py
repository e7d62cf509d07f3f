"""Labels from exports of BORIS, onto the recordings of a data set.

::

    conv2d data import boris SOURCE OUT --data DATASET [--map FILE]

SOURCE is a file, a folder or a pattern of "aggregated events" or "tabular events" exports, as TSV or CSV. Columns are
found by name, so that exports of different versions do; needed are ``Observation id`` (else the file's name counts),
``Behavior``, and ``Start (s)`` with ``Stop (s)``, or ``Time`` with ``Behavior type``. The keys of the mapping stand in
`conv2d.data.importers.annotations.labelled_copy`.

States become labels; modifiers and categories are not part of them. In a tabular export START and STOP of a state are
paired by observation, subject, behaviour and modifiers. Times are seconds of the observation; where the export names a
``Time offset (s)`` other than 0, a note says so and nothing is added.

Source: BORIS user guide, "Export events"; columns as of BORIS 8 and 10.
"""

import csv
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

from conv2d.data.importers.annotations.intervals import Annotation, Document, decode_text, read_bytes
from conv2d.data.importers.annotations.labelled_copy import write_labelled
from conv2d.data.importers.annotations.plan import CODE, read_label_plan
from conv2d.data.importers.registry import FORMATS
from conv2d.data.importers.result import ImportResult
from conv2d.data.importers.sources import find_sources
from conv2d.data.meta import in_words, one_line
from conv2d.errors import DataError

_HEADER_WITHIN = 60  # lines; old versions write a block about the observation first
_NOTHING = ("", "na", "nan", "none")
_FORMS = ({"behavior", "start (s)", "stop (s)"}, {"behavior", "time", "behavior type"})  # aggregated, tabular


def import_boris(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    *,
    data: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Copy the data set ``data`` to ``out`` with the labels of BORIS exports; see the module.

    Raises
    ------
    ConfigError, UsageError
        E-DATA-019: the mapping is off, or no data set is named.
    DataError
        E-DATA-019 with file and line: an export that cannot be read, a state without its end, labels that overlap.
        E-DATA-010, E-DATA-012.

    Example
    -------
    >>> import tempfile
    >>> from conv2d.data.simulate import simulate_dataset
    >>> folder = Path(tempfile.mkdtemp())
    >>> dogs = simulate_dataset(folder / "dogs", n_subjects=3, minutes=0.5, seed=1)
    >>> rows = ["Observation id,Subject,Behavior,Start (s),Stop (s)", f"{dogs.table[0].recording},rex,walk,1.0,4.5"]
    >>> _ = (folder / "events.csv").write_text("\\n".join(rows))
    >>> import_boris(folder / "events.csv", folder / "labelled", data=dogs.path).labels
    {'walk': 350}
    """
    plan = read_label_plan(mapping, data, lane_key="subject")
    files = find_sources(source, FORMATS["boris"].patterns, plan.files, code=CODE)
    documents: dict[str, Document] = {}
    for path in files:
        for document in read_boris(path):
            earlier = documents.setdefault(document.name, document)
            if earlier is not document:
                earlier.annotations += document.annotations
                earlier.notes += document.notes
    return write_labelled(
        list(documents.values()), files, out, plan, tool="BORIS", lane_key="subject", progress=progress
    )


@dataclass(frozen=True)
class _Event:
    """A row of a tabular export."""

    time_s: float
    kind: str
    key: tuple[str, ...]  # subject, behaviour, modifiers
    place: str


def read_boris(path: Path) -> list[Document]:
    """The observations of one export, in order of appearance.

    Raises
    ------
    DataError
        E-DATA-019, with the line.
    """
    header, rows, comma = _table(path)
    aggregated = "start (s)" in header
    documents: dict[str, Document] = {}
    events: dict[str, list[_Event]] = {}
    for where, row in rows:
        name = row.get("observation id", "") or path.stem
        document = documents.setdefault(name, Document(name, path, row.get("observation date", "")))
        if (offset := row.get("time offset (s)", "")).lower() not in _NOTHING and _is_other(offset, comma):
            note = f"{name} has a time offset of {offset} s in BORIS, which was not added; see offset_s"
            document.notes += [note] if note not in document.notes else []
        behavior = row["behavior"]
        if not behavior:
            raise DataError(f"{CODE}: {where} has no Behavior, expected the name of one; export the events again")
        modifiers = tuple(v for k, v in row.items() if k.startswith("modifier"))
        if aggregated:
            document.annotations.append(_aggregated(row, behavior, where, comma))
        else:
            kind = row["behavior type"].upper()
            if kind not in ("START", "STOP", "POINT"):
                raise DataError(
                    f"{CODE}: {where} has Behavior type {kind!r}, expected START, STOP or POINT; export it again"
                )
            time_s = _seconds(row["time"], "Time", where, comma)
            events.setdefault(name, []).append(
                _Event(time_s, kind, (row.get("subject", ""), behavior, *modifiers), where)
            )
    for name, found in events.items():
        documents[name].annotations += _paired(found, name)
    if not documents:
        raise DataError(f"{CODE}: {path} holds no event below its header, expected some; export the events again")
    return list(documents.values())


def _table(path: Path) -> tuple[tuple[str, ...], Iterator[tuple[str, dict[str, str]]], bool]:
    """Names of the columns in small letters, the rows with their place, and whether decimals may have commas."""
    text = decode_text(read_bytes(path)).replace("\r\n", "\n").replace("\r", "\n")
    lines = text.split("\n", _HEADER_WITHIN)
    for number, line in enumerate(lines[:_HEADER_WITHIN]):
        for delimiter in ("\t", ",", ";"):
            header = _header(line, delimiter)
            if any(form <= {*header} for form in _FORMS):
                if doubled := sorted({c for c in header if c and header.count(c) > 1}):
                    raise DataError(f"{CODE}: {path} has column {in_words(doubled)} more than once; rename all but one")
                rest = io.StringIO("\n".join(lines[number + 1 :]), newline="")  # without line end where it is cut
                return header, _rows(path, header, rest, delimiter, number + 1), delimiter != ","
    raise DataError(
        f"{CODE}: {path} has no header with Behavior and with Start (s) and Stop (s), or with Time and Behavior type, "
        "in its first lines; export aggregated or tabular events from BORIS as TSV or CSV"
    )


def _header(line: str, delimiter: str) -> tuple[str, ...]:
    try:
        return tuple(_column(name) for name in next(csv.reader([line], delimiter=delimiter), ()))
    except csv.Error:  # a field of more than 128 kB, in a file that is something else
        return ()


def _rows(
    path: Path, header: Sequence[str], rest: io.StringIO, delimiter: str, line: int
) -> Iterator[tuple[str, dict[str, str]]]:
    reader = csv.reader(rest, delimiter=delimiter)
    ends_whole = rest.getvalue().endswith("\n")
    needed = 1 + max(header.index(column) for form in _FORMS if form <= {*header} for column in form)
    while True:
        where = f"line {line + reader.line_num + 1} of {path.name}"
        try:
            values = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{CODE}: {where} cannot be read ({one_line(error)}); export the events again") from error
        if values is None:
            return
        if not any(v.strip() for v in values):
            continue
        # Editors strip trailing tabs; but a file that ends within a line may have lost digits of a time.
        is_cut = not ends_whole and rest.tell() == len(rest.getvalue())
        if len(values) < (len(header) if is_cut else needed):
            raise DataError(
                f"{CODE}: {where} has {len(values)} fields, the header has {len(header)}; export the events again"
            )
        yield where, {name: value.strip() for name, value in zip_longest(header, values[: len(header)], fillvalue="")}


def _column(name: str) -> str:
    plain = " ".join(name.strip().strip('"').lower().split()).replace("behaviour", "behavior")
    return "behavior type" if plain == "status" else plain  # as old versions call it


def _aggregated(row: Mapping[str, str], behavior: str, where: str, comma: bool) -> Annotation:
    start = _seconds(row["start (s)"], "Start (s)", where, comma)
    is_point = row.get("behavior type", "").upper() == "POINT"
    stop = start if is_point else _seconds(row["stop (s)"], "Stop (s)", where, comma)
    if stop < start:
        raise DataError(
            f"{CODE}: {where} has {behavior!r} from {start:g} to {stop:g} s, expected a stop after the start; "
            "correct it"
        )
    return Annotation(start, stop, behavior, row.get("subject", ""), where, is_point)


def _paired(events: Sequence[_Event], observation: str) -> list[Annotation]:
    """States made of START and STOP, and points, in order of time."""
    annotations = []
    running: dict[tuple[str, ...], _Event] = {}
    for event in _in_order(events):
        subject, behavior = event.key[:2]
        if event.kind == "POINT":
            annotations.append(Annotation(event.time_s, event.time_s, behavior, subject, event.place, is_point=True))
        elif event.kind == "START":
            if event.key in running:
                raise DataError(
                    f"{CODE}: {event.place} starts {behavior!r} at {event.time_s:g} s, which runs since "
                    f"{running[event.key].place}, expected its STOP first; fix unpaired events in BORIS and export "
                    "again"
                )
            running[event.key] = event
        else:
            start = running.pop(event.key, None)
            if start is None:
                raise DataError(
                    f"{CODE}: {event.place} stops {behavior!r} at {event.time_s:g} s, which was not started; fix "
                    "unpaired events in BORIS and export again"
                )
            annotations.append(Annotation(start.time_s, event.time_s, behavior, subject, start.place))
    for event in running.values():
        raise DataError(
            f"{CODE}: {event.place} starts {event.key[1]!r} at {event.time_s:g} s, which has no STOP in observation "
            f"{observation}; fix unpaired events in BORIS and export again"
        )
    return annotations


def _in_order(events: Sequence[_Event]) -> Iterator[_Event]:
    """Events by time; of those at one time first what stops a state that runs, last what stops one begun then."""
    running: dict[tuple[str, ...], int] = {}
    for _, at_once in groupby(sorted(events, key=lambda e: e.time_s), key=lambda e: e.time_s):
        first, middle, last = [], [], []
        for event in at_once:
            if event.kind != "STOP":
                middle.append(event)
            elif running.get(event.key, 0) > 0:
                running[event.key] -= 1
                first.append(event)
            else:
                last.append(event)
        for event in (*middle, *last):
            running[event.key] = running.get(event.key, 0) + (event.kind == "START") - (event.kind == "STOP")
        yield from (*first, *middle, *last)


def _seconds(text: str, column: str, where: str, comma: bool) -> float:
    try:
        value = float(text.replace(",", ".") if comma else text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        hint = (
            "correct it" if text.lower() not in _NOTHING else "observations of images have no times and cannot be used"
        )
        raise DataError(f"{CODE}: {where} has {column} {text!r}, expected seconds; {hint}")
    return value


def _is_other(offset: str, comma: bool) -> bool:
    try:
        return float(offset.replace(",", ".") if comma else offset) != 0
    except ValueError:
        return True
