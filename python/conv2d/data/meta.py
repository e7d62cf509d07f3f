"""``dataset.yaml`` and ``recordings.csv``: what a dataset folder says of itself."""

import csv
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from conv2d.data.yaml_text import parse_yaml
from conv2d.errors import DataError

FORMAT = "conv2d-dataset/1"
SIMULATED = "simulated by conv2d"  # the citation of simulated data, by which they are known
RATE_TOLERANCE = 0.02  # relative; clocks of cheap loggers drift by less, a wrong rate is off by far more
BASE_COLUMNS = ("recording", "subject", "n_rows", "rate_hz")
_KNOWN_KEYS = (
    "format", "name", "title", "rate_hz", "sensors", "channels", "units", "classes", "licence", "citation", "notes",
    "quality_columns",
)  # fmt: skip


@dataclass(frozen=True)
class DatasetMeta:
    """The content of ``dataset.yaml``: names, rate in Hz, and the order of sensors, channels and classes.

    ``extra`` keeps keys that this version does not know, so that reading and writing loses nothing.
    """

    name: str
    rate_hz: float
    sensors: tuple[str, ...]
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    title: str = ""
    units: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    citation: str = ""
    notes: tuple[str, ...] = ()
    quality_columns: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    format: str = FORMAT

    @property
    def columns(self) -> tuple[str, ...]:
        """The signal columns of every recording, ``<sensor>/<channel>``, sensor by sensor."""
        return tuple(f"{s}/{c}" for s in self.sensors for c in self.channels)

    @property
    def simulated(self) -> bool:
        """Whether this package has simulated the recordings, by what the data set says of itself."""
        return self.citation == SIMULATED

    def to_yaml(self) -> str:
        """The text of ``dataset.yaml``; `read_meta` gives the same object back."""
        import yaml

        known = {
            "format": self.format, "name": self.name, "title": self.title, "rate_hz": _plain(self.rate_hz),
            "sensors": list(self.sensors), "channels": list(self.channels), "units": dict(self.units),
            "classes": list(self.classes), "licence": self.licence, "citation": self.citation,
            "notes": list(self.notes), "quality_columns": list(self.quality_columns),
        }  # fmt: skip
        kept = {k: v for k, v in known.items() if v not in ("", [], {}) or k == "classes"}
        return yaml.safe_dump({**kept, **self.extra}, sort_keys=False, allow_unicode=True)


@dataclass(frozen=True)
class RecordingRow:
    """One row of ``recordings.csv``; ``meta`` holds all of its columns as text."""

    recording: str
    subject: str
    n_rows: int
    rate_hz: float
    meta: Mapping[str, str] = field(default_factory=dict)


def _plain(rate: float) -> int | float:
    return int(rate) if rate == int(rate) else rate


def format_rate(rate_hz: float) -> str:
    """A rate as it is written in files and messages: ``100``, not ``100.0``, and no digit lost."""
    return repr(_plain(rate_hz))


def in_words(names: Sequence[str], limit: int = 12) -> str:
    """Names for a message, the first ``limit`` of them."""
    shown = ", ".join(clipped(name) for name in names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "none"


def clipped(text: str, limit: int = 60) -> str:
    """A value of a file for a message: on one line, and no longer than ``limit`` characters."""
    line = " ".join(text.split()) if len(text.split()) > 1 else text.strip("\r\n")
    return line if len(line) <= limit else f"{line[: limit - 3]}..."


def nearest(name: str, names: Sequence[str]) -> str:
    """``did you mean ...?`` for the name most alike, or nothing; of very many names only the first are looked at."""
    near = difflib.get_close_matches(name, [n for n in names[:1000] if len(n) <= 200], 1)
    return f"did you mean {near[0]}?" if near else ""


def one_line(error: BaseException | str) -> str:
    """The text of a library's error squeezed into a sentence's space."""
    return " ".join(str(error).split()).rstrip(".")[:300]


def is_file_name(name: str) -> bool:
    """Whether a recording's name can be a file's name: no path, no hidden file, nothing outside the folder."""
    return bool(name) and name == name.strip() and not name.startswith(".") and not set(name) & set("/\\\0\n\r")


def read_meta(path: Path) -> DatasetMeta:
    """Read and check ``dataset.yaml``.

    Raises
    ------
    DataError
        E-DATA-001 where the file cannot be opened, E-DATA-002 where its content is off.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"E-DATA-002: {path} is not UTF-8 text ({one_line(error)}); save it as UTF-8") from error
    except OSError as error:
        raise DataError(f"E-DATA-001: cannot open {path} ({error.strerror}); give a {FORMAT} folder") from error
    try:
        content = parse_yaml(text)
    except ValueError as error:
        raise DataError(f"E-DATA-002: {path} is not valid YAML ({one_line(error)}); mend that place") from error
    if content is None:
        raise DataError(
            f"E-DATA-002: {path} is empty, expected keys such as format, name, rate_hz and sensors; mend it"
        )
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise DataError(f"E-DATA-002: {path} holds a {kind}, expected keys such as format, name, rate_hz and sensors")
    return _parse(content, path)


def _parse(content: dict[Any, Any], path: Path) -> DatasetMeta:
    if "format" not in content:
        raise DataError(f"E-DATA-002: {path} has no key format; add 'format: {FORMAT}' if it is such a data set")
    if content["format"] != FORMAT:
        raise DataError(
            f"E-DATA-002: {path} has format {content['format']!r}, this version reads {FORMAT!r}; "
            "convert the data set or use another version of conv2d"
        )
    for key in ("name", "rate_hz", "sensors", "channels", "classes"):
        if key not in content:
            raise DataError(f"E-DATA-002: {path} has no key {key}; add it")
    rate = content["rate_hz"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not math.isfinite(rate) or rate <= 0:
        raise DataError(f"E-DATA-002: rate_hz in {path} is {rate!r}, expected samples per second above 0")
    sensors, channels = _names(content, "sensors", path), _names(content, "channels", path)
    for key, names in (("sensors", sensors), ("channels", channels)):
        if not names:
            raise DataError(f"E-DATA-002: {key} in {path} is empty, expected at least one name")
        if slashed := [n for n in names if "/" in n]:
            raise DataError(
                f"E-DATA-002: {key} in {path} has {slashed[0]!r}, but '/' parts sensor from channel; rename it"
            )
    units = content.get("units") or {}
    notes = content.get("notes") or []
    if not isinstance(units, dict):
        raise DataError(f"E-DATA-002: units in {path} is {units!r}, expected a unit for each kind of channel")
    return DatasetMeta(
        name=str(content["name"]),
        rate_hz=float(rate),
        sensors=sensors,
        channels=channels,
        classes=_names(content, "classes", path),
        title=str(content.get("title") or ""),
        units={str(k): str(v) for k, v in units.items()},
        licence=str(content.get("licence") or ""),
        citation=str(content.get("citation") or ""),
        notes=tuple(str(n) for n in (notes if isinstance(notes, list) else [notes])),
        quality_columns=_names(content, "quality_columns", path) if content.get("quality_columns") else (),
        extra={str(k): v for k, v in content.items() if k not in _KNOWN_KEYS},
    )


def _names(content: dict[Any, Any], key: str, path: Path) -> tuple[str, ...]:
    names = content[key]
    if not isinstance(names, list):
        raise DataError(f"E-DATA-002: {key} in {path} is {names!r}, expected a list of names")
    for name in names:
        # YAML reads a bare yes, no, on or 12 as something else than text; such a class would never match a label.
        if not isinstance(name, str) or not name.strip():
            raise DataError(f"E-DATA-002: {key} in {path} has {name!r}, expected text; put it in quotes")
    if doubled := sorted({n for n in names if names.count(n) > 1}):
        raise DataError(f"E-DATA-002: {key} in {path} names {in_words(doubled)} more than once; keep one")
    return tuple(names)


def read_rows(path: Path, meta: DatasetMeta) -> tuple[RecordingRow, ...]:
    """Read and check ``recordings.csv``.

    Raises
    ------
    DataError
        E-DATA-001 where the file cannot be opened, E-DATA-003 where its content is off, E-DATA-007 where a
        recording's rate is not that of the data set.
    """
    try:
        with path.open("rb") as binary:
            _refuse_zero_bytes(binary, path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            header = list(reader.fieldnames or ())
            if absent := [c for c in BASE_COLUMNS if c not in header]:
                raise DataError(f"E-DATA-003: {path} {_why_no_list(header, absent)}")
            rows = [_row(row, reader.line_num, path, meta) for row in reader]
    except OSError as error:
        raise DataError(f"E-DATA-001: cannot open {path} ({error.strerror}); give a {FORMAT} folder") from error
    except UnicodeDecodeError as error:
        raise DataError(f"E-DATA-003: {path} is not UTF-8 text ({one_line(error)}); save it as UTF-8") from error
    except csv.Error as error:
        line = reader.line_num + 1
        what = "a quote is not closed" if "end of data" in str(error) else one_line(error)
        raise DataError(f"E-DATA-003: {path} is no CSV file from line {line} on ({what}); mend it") from error
    if not rows:
        raise DataError(f"E-DATA-003: {path} lists no recording, expected at least one row")
    seen: set[str] = set()
    for row in rows:
        if row.recording in seen:
            raise DataError(f"E-DATA-003: {path} lists recording {row.recording!r} more than once; rename one")
        seen.add(row.recording)
    return tuple(rows)


def _refuse_zero_bytes(file: IO[bytes], path: Path) -> None:
    for line, text in enumerate(file, 1):
        if b"\0" in text:
            raise DataError(
                f"E-DATA-003: line {line} of {path} holds a zero byte, as UTF-16 text and a full disk leave; save it "
                "as UTF-8 CSV, or copy it again"
            )


def _why_no_list(header: Sequence[str], absent: Sequence[str]) -> str:
    if not header:
        return f"is empty, expected the columns {', '.join(BASE_COLUMNS)}; copy it again"
    for delimiter in (";", "\t"):
        if len(header) == 1 and delimiter in header[0]:
            return f"has no column {in_words(absent)} but {delimiter!r} between fields; save it with commas"
    return f"has no column {in_words(absent)} (it has {in_words(header)}); add it"


def _row(row: dict[str | Any, str | Any], line: int, path: Path, meta: DatasetMeta) -> RecordingRow:
    where = f"line {line} of {path}"
    if None in row or None in row.values():
        raise DataError(f"E-DATA-003: {where} has another number of fields than the header; mend that line")
    name, subject = row["recording"], row["subject"].strip()
    if not is_file_name(name):
        raise DataError(
            f"E-DATA-003: {where} names recording {clipped(name)!r}, expected a plain file name without path; rename it"
        )
    if not subject:
        raise DataError(
            f"E-DATA-003: {where} gives recording {clipped(name)} no subject; splits are by subject, so name one"
        )
    try:
        n_rows = int(row["n_rows"])
    except ValueError:
        n_rows = -1
    if n_rows < 0:
        raise DataError(f"E-DATA-003: {where} has n_rows {clipped(row['n_rows'])!r}, expected a whole number from 0 up")
    try:
        rate = float(row["rate_hz"])
    except ValueError:
        rate = math.nan
    if not (math.isfinite(rate) and rate > 0):
        raise DataError(
            f"E-DATA-003: {where} has rate_hz {clipped(row['rate_hz'])!r}, expected samples per second above 0"
        )
    if abs(rate / meta.rate_hz - 1) > RATE_TOLERANCE:
        raise DataError(
            f"E-DATA-007: {where} gives recording {name} {format_rate(rate)} Hz, dataset.yaml says "
            f"{format_rate(meta.rate_hz)} Hz; resample the recording or put it into a data set of its own"
        )
    return RecordingRow(name, subject, n_rows, rate, dict(row))
