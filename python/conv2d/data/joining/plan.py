"""The mapping file of a join: which files hold which sensor, what its clocks are, and what to make of its columns."""

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from conv2d.config.base import Block, Listed, Name, Names, fault
from conv2d.data.meta import one_line
from conv2d.data.yaml_text import parse_yaml
from conv2d.errors import ConfigError

Unit = Literal["s", "ms", "us", "ns", "iso8601"]
Kind = Literal["signal", "linear", "nearest", "angle", "quaternion"]
_GUESSED = ("acc", "gyr", "mag", "pressure", "temp")  # kinds of channel that a low-pass filter suits


def _short(value: Any) -> Any:
    """A column's name is short for a group with the key column."""
    return {"column": value} if isinstance(value, str) else value


def _pattern(value: str) -> str:
    try:
        groups = re.compile(value).groups
    except re.error as error:
        raise fault("", f"is {value!r}, which is no regular expression ({error}); correct it") from error
    if groups != 1:
        raise fault("", f"is {value!r} with {groups} groups, expected one around the name")
    return value


class FromFile(Block):
    """A name taken from a file's name, without its suffix, by the one group of a regular expression."""

    from_filename: Name

    _checked = field_validator("from_filename")(_pattern)

    def find(self, stem: str) -> str | None:
        """The name, or None where the expression finds nothing."""
        found = re.search(self.from_filename, stem)
        return found.group(1) or None if found else None


class Device(Block):
    """The device's own time: a column in some unit, or of sample numbers; ``wrap`` is where a counter starts anew."""

    column: Name
    unit: Unit | Literal["samples"] = "s"
    wrap: Annotated[float, Field(gt=0)] | None = None


class Host(Block):
    """The time at which the host received a row, the clock that is common to all sensors."""

    column: Name
    unit: Unit = "s"
    steps: Literal["take_out", "keep"] = "take_out"


class Time(Block):
    """One or two clocks; ``offset_s`` is the common time at which a device without host time shows 0."""

    device: Annotated[Device, BeforeValidator(_short)] | None = None
    host: Annotated[Host, BeforeValidator(_short)] | None = None
    offset_s: float | None = None

    @model_validator(mode="after")
    def _check(self) -> "Time":
        if self.device is None and self.host is None:
            raise fault("", "names no column; expected device, host or both")
        if (self.host is None) != (self.offset_s is not None):
            raise fault("offset_s", "goes with device time alone, and is needed there; give host or offset_s")
        return self


class Channel(Block):
    """A column, what its numbers are multiplied by, and how it is interpolated."""

    column: Name
    scale: float = 1.0
    kind: Kind | None = None
    period: Annotated[float, Field(gt=0)] | None = None  # of an angle, after scaling: 360 or 6.2832

    @model_validator(mode="after")
    def _check(self) -> "Channel":
        if (self.kind == "angle") != (self.period is not None):
            raise fault("period", "goes with kind: angle, and is needed there (360 for degrees)")
        if self.scale == 0:
            raise fault("scale", "is 0; expected another number")
        return self


class Sensor(Block):
    """Where a sensor's rows are and how to read them: tables, or a sensor of a data set."""

    files: Name | None = None
    recording: FromFile | None = None
    time: Time | None = None
    channels: dict[str, Annotated[Channel, BeforeValidator(_short)]] = Field(default_factory=dict)
    dataset: Name | None = None
    sensor: Name | None = None
    rate_hz: Annotated[float, Field(gt=0)] | None = None
    latency_s: float = 0.0
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] = ","
    decimal: Annotated[str, Field(min_length=1, max_length=1)] = "."
    encoding: Name = "utf8"
    skip_rows: Annotated[int, Field(ge=0)] = 0
    missing: Names | None = None

    @model_validator(mode="after")
    def _check(self) -> "Sensor":
        if (self.files is None) == (self.dataset is None):
            raise fault("", "has files and dataset, or neither; expected one of them")
        if self.dataset is not None:
            for key in ("time", "channels"):
                if getattr(self, key):
                    raise fault(key, "does not go with dataset, which says it itself; leave it out")
            return self
        for key in ("time", "channels"):
            if not getattr(self, key):
                raise fault(key, "is missing; add it")
        if self.time and self.time.device and self.time.device.unit == "samples" and self.rate_hz is None:
            raise fault("rate_hz", "is missing; a device that counts samples needs it")
        for name, channel in self.channels.items():
            if "/" in name or not name.strip():
                raise fault(f"channels.{name}", "is no name of a channel; leave out '/'")
            if channel.kind is None and not name.startswith(_GUESSED):
                raise fault(
                    f"channels.{name}.kind",
                    f"is missing; only {', '.join(_GUESSED)} are known: signal (low-pass filtered), linear (counts), "
                    "nearest (states), angle or quaternion",
                )
        for stem in {n.rsplit("_", 1)[0] for n, c in self.channels.items() if c.kind == "quaternion"}:
            if any(f"{stem}_{part}" not in self.channels for part in "wxyz"):
                raise fault(f"channels.{stem}", f"is no whole quaternion; expected {stem}_w, _x, _y and _z")
        return self

    def kind(self, channel: str) -> Kind:
        """How a channel is interpolated."""
        return self.channels[channel].kind or "signal" if channel in self.channels else "signal"


class Subject(Block):
    """Where a recording's subject stands: exactly one of the three."""

    constant: Name | None = None
    from_filename: Name | None = None
    column: Name | None = None
    sensor: Name | None = None  # whose file has the column; the first sensor by default

    _checked = field_validator("from_filename")(lambda value: value if value is None else _pattern(value))

    @model_validator(mode="after")
    def _check(self) -> "Subject":
        if sum(v is not None for v in (self.constant, self.from_filename, self.column)) != 1:
            raise fault("", "has not exactly one of constant, from_filename and column")
        return self


class LabelRecording(Block):
    """To which recording a label belongs: by its file's name, or by a column."""

    from_filename: Name | None = None
    column: Name | None = None

    _checked = field_validator("from_filename")(lambda value: value if value is None else _pattern(value))


class Label(Block):
    """Labels: rows of start and end on the host's clock in files of their own, or a column of a sensor's rows."""

    files: Name | None = None
    recording: LabelRecording | None = None
    start: Name = "start_s"
    end: Name = "end_s"
    unit: Unit = "s"
    sensor: Name | None = None
    column: Name | None = None
    map: dict[str, str | None] = Field(default_factory=dict)
    null: Annotated[tuple[str, ...], Listed] = ()

    @model_validator(mode="after")
    def _check(self) -> "Label":
        if (self.files is None) == (self.sensor is None):
            raise fault("", "has files and sensor, or neither; expected one of them")
        return self

    def rename(self, label: str | None) -> str | None:
        """The class that a label stands for; None where it stands for nothing."""
        return None if label is None or label in self.null else self.map.get(label, label)


class JoinPlan(Block):
    """A checked mapping; `docs/joining.md` explains the keys."""

    name: Name
    title: str = ""
    licence: str = ""
    citation: str = ""
    notes: Annotated[tuple[str, ...], Listed] = ()
    units: dict[str, str] = Field(default_factory=dict)
    rate_hz: Annotated[float, Field(gt=0)] | None = None
    max_gap_s: Annotated[float, Field(ge=0)] | None = None
    span: Literal["common", "all"] = "common"
    sensors: Annotated[dict[str, Sensor], Field(min_length=1)]
    subject: Subject | None = None
    label: Label | None = None
    classes: Names | None = None

    @model_validator(mode="after")
    def _check(self) -> "JoinPlan":
        for name in self.sensors:
            if "/" in name or not name.strip():
                raise fault(f"sensors.{name}", "is no name of a sensor; leave out '/'")
        if self.subject is None and not any(s.dataset for s in self.sensors.values()):
            raise fault("subject", "is missing; splits are by subject, so say constant, from_filename or column")
        for key, group in (("subject", self.subject), ("label", self.label)):
            if group is None:
                continue
            if group.sensor is not None and group.sensor not in self.sensors:
                raise fault(f"{key}.sensor", f"is {group.sensor!r}; expected one of {', '.join(self.sensors)}")
            if group.column is None and isinstance(group, Label):
                source = self.sensors.get(group.sensor or "")
                if source is None or source.dataset is None:
                    raise fault("label.column", "is missing; name the column of the labels")
        return self


def read_plan(source: str | Path | Mapping[str, Any]) -> JoinPlan:
    """Read and check the mapping file of a join, or a mapping that was loaded already.

    Raises
    ------
    ConfigError
        E-DATA-021: the file cannot be read, or a key of it is unknown, missing or off.
    """
    where = "the mapping" if isinstance(source, Mapping) else f"mapping {source}"
    content = source if isinstance(source, Mapping) else _load(Path(source))
    try:
        return JoinPlan.model_validate(dict(content))
    except ValidationError as error:
        raise ConfigError(f"E-DATA-021: {_sentence(error, where)}") from error


def _load(path: Path) -> Mapping[str, Any]:
    try:
        content = parse_yaml(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"E-DATA-021: cannot open mapping {path} ({error.strerror}); give --map FILE") from error
    except ValueError as error:
        raise ConfigError(f"E-DATA-021: mapping {path} is not valid YAML ({one_line(error)}); mend it") from error
    if not isinstance(content, dict):
        raise ConfigError(f"E-DATA-021: mapping {path} holds no keys, expected name, sensors, subject and others")
    return content


def _sentence(error: ValidationError, where: str) -> str:
    faults = error.errors(include_url=False)
    first = next((f for f in faults if f["type"] == "extra_forbidden"), faults[0])
    place = [str(step) for step in first["loc"]]
    if first["type"] == "extra_forbidden":
        near = difflib.get_close_matches(place[-1], _keys(), 1)
        return f"{where} has an unknown key {'.'.join(place)!r}; {f'did you mean {near[0]}?' if near else 'remove it'}"
    if first["type"] == "missing":
        return f"{where} has no key {'.'.join(place)}; add it"
    if first["type"] == "conv2d_fault":
        key = ".".join(filter(None, [*place, first["ctx"]["key"]])) or "it"
        return f"{key} of {where} {first['msg']}"
    return f"{'.'.join(place)} of {where} is {first['input']!r}: {one_line(first['msg'])}; correct it"


def _keys() -> list[str]:
    blocks = (JoinPlan, Sensor, Time, Device, Host, Channel, Subject, Label, LabelRecording, FromFile)
    return sorted({name for block in blocks for name in block.model_fields})
