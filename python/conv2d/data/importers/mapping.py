"""The mapping file of an import: which column of a table is which channel, time, label, subject and recording."""

import codecs
import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from conv2d.data.importers.sources import pattern_of
from conv2d.data.meta import BASE_COLUMNS, clipped, one_line
from conv2d.data.yaml_text import parse_yaml
from conv2d.errors import ConfigError

TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9, "iso8601": 1e-9}
_KEYS = (
    "name", "title", "licence", "citation", "notes", "units", "rate_hz", "files", "delimiter", "decimal", "encoding",
    "skip_rows", "missing", "time", "channels", "label", "classes", "subject", "recording", "quality", "meta",
)  # fmt: skip


@dataclass(frozen=True)
class Channel:
    """A column of the table and what its numbers are multiplied by; without column the channel is missing (NaN)."""

    column: str | None
    scale: float = 1.0


@dataclass(frozen=True)
class Subject:
    """Where a recording's subject stands: exactly one of the three is given."""

    column: str | None = None
    constant: str | None = None
    from_filename: re.Pattern[str] | None = None


@dataclass(frozen=True)
class TableMapping:
    """A checked mapping; see `conv2d.data.importers.csv_parquet` for the file and its keys."""

    name: str
    channels: Mapping[str, Channel]  # by <sensor>/<channel>
    sensors: tuple[str, ...]
    channel_names: tuple[str, ...]
    subject: Subject
    rate_hz: float | None = None
    time_column: str | None = None
    time_unit: str = "s"
    label_column: str | None = None
    label_map: Mapping[str, str | None] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    recording_columns: tuple[str, ...] = ()  # empty: a file is a recording
    quality: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    files: str | None = None
    delimiter: str = ","
    decimal: str = "."
    encoding: str = "utf8"
    skip_rows: int = 0
    missing: tuple[str, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)  # title, licence, citation, notes, units

    @property
    def number_columns(self) -> tuple[str, ...]:
        """Columns read as numbers, time aside."""
        signals = [c.column for c in self.channels.values() if c.column is not None]
        return tuple(dict.fromkeys([*signals, *self.quality.values()]))

    @property
    def text_columns(self) -> tuple[str, ...]:
        """Columns read as text, time aside."""
        texts = [*self.recording_columns, self.subject.column, self.label_column, *self.meta.values()]
        return tuple(dict.fromkeys(t for t in texts if t is not None))

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the table must have."""
        time = [self.time_column] if self.time_column is not None else []
        return tuple(dict.fromkeys([*time, *self.number_columns, *self.text_columns]))


def read_mapping(source: str | Path | Mapping[str, Any]) -> TableMapping:
    """Read and check a mapping file, or a mapping that was loaded already.

    Raises
    ------
    ConfigError
        E-DATA-017: the file cannot be read, or a key of it is unknown, missing or off.
    """
    if isinstance(source, Mapping):
        return _parse(source, "the mapping")
    try:
        content = parse_yaml(Path(source).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"E-DATA-017: cannot open mapping {source} ({error.strerror}); give --map FILE") from error
    except ValueError as error:
        raise ConfigError(f"E-DATA-017: mapping {source} is not valid YAML ({one_line(error)}); mend it") from error
    if not isinstance(content, dict):
        raise ConfigError(f"E-DATA-017: mapping {source} holds no keys, expected name, channels, subject and others")
    return _parse(content, f"mapping {source}")


def _parse(content: Mapping[str, Any], where: str) -> TableMapping:
    _refuse_unknown(content, _KEYS, where)
    for key in ("name", "channels", "subject"):
        if not content.get(key):
            raise ConfigError(f"E-DATA-017: {where} has no key {key}; add it")
    channels, sensors, names = _channels(content["channels"], where)
    time = _group(content.get("time"), ("column", "unit"), f"time of {where}")
    label = _group(content.get("label"), ("column", "map", "null"), f"label of {where}")
    recording = content.get("recording", "per_file")
    if recording != "per_file":
        recording = _group(recording, ("columns",), f"recording of {where}")
    rate = content.get("rate_hz")
    if rate is not None and (isinstance(rate, bool) or not isinstance(rate, int | float) or not 0 < rate < 1e9):
        raise ConfigError(f"E-DATA-017: rate_hz of {where} is {_shown(rate)}, expected samples per second above 0")
    if not time and rate is None:
        raise ConfigError(f"E-DATA-017: {where} has neither time nor rate_hz; name the column of time or give the rate")
    for group, name in ((time, "time"), (label, "label")):
        if group and not group.get("column"):
            raise ConfigError(f"E-DATA-017: {name} of {where} has no key column; add it")
        if group and not isinstance(group["column"], str):
            raise ConfigError(
                f"E-DATA-017: column of {name} of {where} is {_shown(group['column'])}, expected a column's name; put "
                "it in quotes"
            )
    unit = str(time.get("unit", "s"))
    if unit not in TIME_UNITS:
        raise ConfigError(
            f"E-DATA-017: unit of time of {where} is {_shown(unit)}, expected one of {', '.join(TIME_UNITS)}"
        )
    encoding = str(content.get("encoding", "utf8"))
    try:
        "".encode(encoding)  # which only encodings of text can do; codecs.lookup also knows zip and hex
        codecs.getincrementaldecoder(encoding)
    except (LookupError, UnicodeError, ValueError) as error:
        raise ConfigError(
            f"E-DATA-017: encoding of {where} is {clipped(encoding)!r}, which Python does not know as one of text; "
            "utf8 and latin-1 are common"
        ) from error
    skip_rows = content.get("skip_rows", 0)
    if isinstance(skip_rows, bool) or not isinstance(skip_rows, int) or skip_rows < 0:
        raise ConfigError(f"E-DATA-017: skip_rows of {where} is {_shown(skip_rows)}, expected a whole number from 0 up")
    classes = content.get("classes")
    if classes is not None:
        classes = tuple(word.strip() for word in _texts(classes, "classes", where))
        if "" in classes or len(set(classes)) < len(classes):
            raise ConfigError(f"E-DATA-017: classes of {where} has a name twice or an empty one; keep each name once")
    files = pattern_of(content, where, code="E-DATA-017")
    delimiter, decimal = (_character(content, *key, where) for key in (("delimiter", ","), ("decimal", ".")))
    if delimiter == decimal and "decimal" in content:
        raise ConfigError(f"E-DATA-017: delimiter and decimal of {where} are both {decimal!r}; one of them must differ")
    return TableMapping(
        name=str(content["name"]),
        channels=channels,
        sensors=sensors,
        channel_names=names,
        subject=_subject(content["subject"], where),
        rate_hz=None if rate is None else float(rate),
        time_column=time.get("column"),
        time_unit=unit,
        label_column=label.get("column"),
        label_map=_label_map(label, where),
        classes=classes,
        recording_columns=() if recording == "per_file" else tuple(_texts(recording.get("columns"), "columns", where)),
        quality=_text_map(content.get("quality"), "quality", ("time_s", "label"), where),
        meta=_text_map(content.get("meta"), "meta", (*BASE_COLUMNS, "start"), where),
        files=files,
        delimiter=delimiter,
        decimal=decimal,
        encoding=encoding,
        skip_rows=skip_rows,
        missing=tuple(_texts(content.get("missing") or [], "missing", where)),
        about=_about(content, where),
    )


def _about(content: Mapping[str, Any], where: str) -> dict[str, Any]:
    about = {k: content[k] for k in ("title", "licence", "citation", "notes", "units") if content.get(k)}
    if not isinstance(about.get("units", {}), Mapping):
        raise ConfigError(
            f"E-DATA-017: units of {where} is {_shown(about['units'])}, expected a unit for each kind of channel"
        )
    return about


def _refuse_unknown(content: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    known = list(known)
    for key in content:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
            raise ConfigError(f"E-DATA-017: {where} has an unknown key {key!r}; {hint}")


def _group(value: Any, keys: tuple[str, ...], where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if isinstance(value, str):  # 'label: Behavior' is short for 'label: {column: Behavior}'
        value = {keys[0]: value}
    if not isinstance(value, Mapping):
        raise ConfigError(f"E-DATA-017: {where} is {_shown(value)}, expected the keys {', '.join(keys)}")
    _refuse_unknown(value, keys, where)
    return value


def _channels(value: Any, where: str) -> tuple[dict[str, Channel], tuple[str, ...], tuple[str, ...]]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"E-DATA-017: channels of {where} is {_shown(value)}, expected <sensor>/<channel>: column")
    channels: dict[str, Channel] = {}
    for key, entry in value.items():
        if not isinstance(key, str) or not re.fullmatch(r"[^/\s]+/[^/\s]+", key):
            raise ConfigError(f"E-DATA-017: channels of {where} has {key!r}, expected <sensor>/<channel>; rename it")
        group = _group(entry, ("column", "scale"), f"channel {key} of {where}")
        scale = group.get("scale", 1.0)
        if isinstance(scale, bool) or not isinstance(scale, int | float) or scale == 0 or not math.isfinite(scale):
            raise ConfigError(f"E-DATA-017: scale of channel {key} is {_shown(scale)}, expected a number other than 0")
        column = group.get("column")
        if entry is not None and not isinstance(column, str):
            raise ConfigError(
                f"E-DATA-017: column of channel {key} of {where} is {_shown(column)}, expected a column's name"
            )
        channels[key] = Channel(column, float(scale))
    sensors = tuple(dict.fromkeys(k.split("/")[0] for k in channels))
    names = tuple(dict.fromkeys(k.split("/")[1] for k in channels))
    for key in (f"{s}/{c}" for s in sensors for c in names):
        if key not in channels:
            raise ConfigError(
                f"E-DATA-017: channels of {where} lacks {key}, and all sensors must have the same channels; "
                f"map it, or write '{key}:' with nothing after it if it was not measured"
            )
    return channels, sensors, names


def _subject(value: Any, where: str) -> Subject:
    group = _group(value, ("column", "constant", "from_filename"), f"subject of {where}")
    if len(group) != 1:
        raise ConfigError(
            f"E-DATA-017: subject of {where} has {len(group)} keys, expected one of column, constant and from_filename"
        )
    key, given = next(iter(group.items()))
    if not isinstance(given, str | int) or isinstance(given, bool) or not str(given).strip():
        raise ConfigError(f"E-DATA-017: {key} of subject of {where} is {_shown(given)}, expected text; write it there")
    if "column" in group:
        return Subject(column=str(group["column"]))
    if "constant" in group:
        return Subject(constant=str(group["constant"]).strip())
    try:
        pattern = re.compile(str(group["from_filename"]))
    except re.error as error:
        raise ConfigError(f"E-DATA-017: from_filename of {where} is not a regular expression ({error})") from error
    if pattern.groups != 1:
        raise ConfigError(
            f"E-DATA-017: from_filename of {where} has {pattern.groups} groups, expected one around the subject"
        )
    return Subject(from_filename=pattern)


def _label_map(label: Mapping[str, Any], where: str) -> dict[str, str | None]:
    renamed = label.get("map") or {}
    if not isinstance(renamed, Mapping):
        raise ConfigError(
            f"E-DATA-017: map of label of {where} is {_shown(renamed)}, expected 'label in the table: class'"
        )
    for label_there, to in renamed.items():
        if to is not None and (isinstance(to, dict | list) or not str(to).strip()):
            raise ConfigError(
                f"E-DATA-017: map of label of {where} makes {_shown(to)} of {label_there!r}, expected a class, or null "
                "for rows that are not annotated"
            )
    mapped = {str(k): None if v is None else str(v).strip() for k, v in renamed.items()}
    return mapped | dict.fromkeys(_texts(label.get("null") or [], "null", where))


def _texts(value: Any, key: str, where: str) -> list[str]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list | tuple) or any(isinstance(v, dict | list) or v is None for v in values):
        raise ConfigError(f"E-DATA-017: {key} of {where} is {_shown(value)}, expected a list of names")
    return [str(v) for v in values]


def _text_map(value: Any, key: str, taken: tuple[str, ...], where: str) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(v, str) for v in value.values()):
        raise ConfigError(f"E-DATA-017: {key} of {where} is {_shown(value)}, expected 'name: column in the table'")
    for name in value:
        if name in taken or "/" in str(name):
            raise ConfigError(f"E-DATA-017: {key} of {where} has the name {name!r}, which is taken; rename it")
    return {str(k): v for k, v in value.items()}


def _character(content: Mapping[str, Any], key: str, default: str, where: str) -> str:
    value = content.get(key, default)
    if not isinstance(value, str) or len(value) != 1 or not value.isascii() or value in '"\r\n\0':
        raise ConfigError(f"E-DATA-017: {key} of {where} is {_shown(value)}, expected one character (ASCII, no quote)")
    return value


def _shown(value: Any) -> str:
    return clipped(repr(value))
