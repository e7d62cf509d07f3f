"""A recording as an audit sees it, read even where loading refuses it, and what the channels of the set are."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.stretches import LabelRuns, label_runs
from conv2d.data.channels import triads
from conv2d.data.dataset import Dataset
from conv2d.data.meta import RATE_TOLERANCE, DatasetMeta, RecordingRow, is_file_name, read_meta, read_rows
from conv2d.data.units import GRAVITY, RADIANS
from conv2d.errors import DataError


@dataclass(frozen=True)
class Vector:
    """Three channels of one sensor that are the axes of one vector.

    ``kind`` is acc, gyr, mag or the name itself. ``factor`` turns values into g, rad/s or microtesla, by the unit that
    ``dataset.yaml`` declares; None where it declares none that is known.
    """

    sensor: str
    place: int
    name: str
    kind: str
    axes: tuple[int, int, int]
    unit: str
    factor: float | None

    @property
    def title(self) -> str:
        """``<sensor>/<vector>``."""
        return f"{self.sensor}/{self.name}"


@dataclass(frozen=True)
class Setting:
    """What all checks know: the description of the set, its vectors and the window that is to be used on it."""

    meta: DatasetMeta
    window: int
    vectors: tuple[Vector, ...]
    nonwear_minutes: float | None = None

    @property
    def rate_hz(self) -> float:
        """The declared rate."""
        return self.meta.rate_hz

    def of_kind(self, kind: str) -> list[Vector]:
        """The first vector of a kind of each sensor: a second accelerometer of other range says the same."""
        first = {v.sensor: v for v in reversed(self.vectors) if v.kind == kind}
        return sorted(first.values(), key=lambda v: v.place)


@dataclass(frozen=True, eq=False)
class Stream:
    """One recording: ``samples`` float32 (C, S, n) with NaN where missing, ``labels`` (n,) with -1 not annotated.

    ``refusal`` is the sentence with which loading refuses the recording, empty where it does not.
    """

    row: RecordingRow
    time_s: NDArray[np.float64]
    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    quality: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    refusal: str = ""

    @property
    def name(self) -> str:
        """The recording's name."""
        return self.row.recording

    @property
    def subject(self) -> str:
        """Its subject."""
        return self.row.subject

    @property
    def n(self) -> int:
        """Number of rows."""
        return len(self.time_s)

    @property
    def day(self) -> str:
        """The date of the column ``start``, empty where there is none."""
        begin = start_of(self.row)
        return "" if begin is None else str(np.datetime64(int(begin), "s"))[:10]

    def vector(self, vector: Vector) -> NDArray[np.float32]:
        """The samples of a vector (3, n)."""
        return self.samples[list(vector.axes), vector.place]

    def runs(self) -> LabelRuns:
        """The runs of one label."""
        return label_runs(self.labels)


def setting_of(meta: DatasetMeta, window: int, nonwear_minutes: float | None = None) -> Setting:
    """The vectors of a data set with their units."""
    found = []
    for place, sensor in enumerate(meta.sensors):
        for name, axes in triads(meta.channels):
            unit = _unit(meta, sensor, name)
            kind = _kind(name)
            found.append(Vector(sensor, place, name, kind, axes, unit, _factor(kind, unit)))
    return Setting(meta, window, tuple(found), nonwear_minutes)


def _kind(name: str) -> str:
    low = name.lower()
    return next((kind for kind in ("acc", "gyr", "mag") if low.startswith(kind)), name)


def _unit(meta: DatasetMeta, sensor: str, name: str) -> str:
    """The unit of a vector; ``mag: 'a: microtesla; b: raw counts'`` gives one to each sensor."""
    for key in (f"{sensor}/{name}", name, _kind(name)):
        if key in meta.units:
            text = meta.units[key]
            parts = dict(part.split(":", 1) for part in text.split(";") if ":" in part)
            by_sensor = {owner.strip(): unit.strip() for owner, unit in parts.items()}
            return by_sensor.get(sensor, "" if set(by_sensor) & set(meta.sensors) else text)
    return ""


def _factor(kind: str, unit: str) -> float | None:
    """What turns a unit into g, rad/s or microtesla.

    >>> _factor("acc", "m/s^2, gravity included"), _factor("acc", "mg"), _factor("gyr", "counts")
    (0.10197162129779283, 0.001, None)
    """
    word = unit.lower().replace("²", "^2").replace("µ", "u").replace("**", "^").split(",")[0].strip()
    known: dict[str, dict[str, float]] = {
        "acc": {"g": 1.0, "mg": 0.001, **dict.fromkeys(("m/s^2", "m/s2", "m s^-2", "m.s^-2"), 1 / GRAVITY)},
        "gyr": {
            **dict.fromkeys(("rad/s", "rad s^-1", "radians/s"), 1.0),
            **dict.fromkeys(("deg/s", "dps", "°/s", "degrees/s"), RADIANS),
            "mdps": RADIANS / 1000,
        },
        "mag": {
            **dict.fromkeys(("microtesla", "ut"), 1.0),
            **dict.fromkeys(("gauss", "gs"), 100.0), "milligauss": 0.1, "mgauss": 0.1, "nt": 0.001, "nanotesla": 0.001,
        },
    }  # fmt: skip
    return known.get(kind, {}).get(word)


def start_of(row: RecordingRow) -> float | None:
    """Seconds of the column ``start`` since 1970, None where it is absent or no date.

    >>> start_of(RecordingRow("a", "rex", 1, 1.0, {"start": "1970-01-02 00:00:01"}))
    86401.0
    """
    text = row.meta.get("start", "").strip().removesuffix("Z")
    try:
        stamp = np.datetime64(text.replace(" ", "T"), "ms")
    except ValueError:
        return None
    return None if np.isnat(stamp) else float(stamp.astype(np.int64)) / 1000


def open_for_audit(path: str | Path) -> tuple[Dataset, dict[str, str]]:
    """Open a data set of which some recordings are off; returns it with the sentence of each row that was left out.

    Raises
    ------
    DataError
        The description itself cannot be read, or no row of ``recordings.csv`` can.
    """
    path = Path(path)
    try:
        return Dataset.open(path), {}
    except DataError as error:
        if not (path.is_dir() and str(error).startswith(("E-DATA-003", "E-DATA-004", "E-DATA-007"))):
            raise
        meta = read_meta(path / "dataset.yaml")
        rows, refused = _rows_one_by_one(path / "recordings.csv", meta)
        if not rows:
            raise
        return Dataset(path, meta, rows), refused


def _rows_one_by_one(path: Path, meta: DatasetMeta) -> tuple[list[RecordingRow], dict[str, str]]:
    """The rows that can be read, and why the others cannot."""
    try:
        return list(read_rows(path, meta)), {}
    except DataError as error:
        whole = error
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = list(csv.DictReader(file, strict=True))
    except (OSError, csv.Error, UnicodeDecodeError):
        raise whole from None
    good: dict[str, RecordingRow] = {}
    refused: dict[str, str] = {}
    for line, cells in enumerate(table, start=2):
        fields = {key: value or "" for key, value in cells.items() if isinstance(key, str)}
        name, subject = fields.get("recording", ""), fields.get("subject", "").strip()
        label = name or f"line {line}"
        try:
            n_rows, rate = int(fields.get("n_rows", "")), float(fields.get("rate_hz", ""))
        except ValueError:
            refused[label] = f"E-DATA-003: n_rows or rate_hz in line {line} of {path} is no number; mend that line"
            continue
        if not is_file_name(name) or not subject or n_rows < 0 or name in good:
            refused[label] = f"E-DATA-003: line {line} of {path} names no recording or subject of its own; mend it"
            continue
        good[name] = RecordingRow(name, subject, n_rows, rate, fields)
        if not abs(rate / meta.rate_hz - 1) <= RATE_TOLERANCE:
            refused[label] = (
                f"E-DATA-007: line {line} of {path} gives {rate:g} Hz, dataset.yaml says {meta.rate_hz:g} Hz; resample "
                "the recording or put it into a data set of its own"
            )
    return list(good.values()), refused


def read_stream(data: Dataset, row: RecordingRow) -> Stream | str:
    """A recording as it loads, or as far as it can be read where loading refuses it, or the sentence why it cannot."""
    try:
        recording = data.load(row.recording)
    except DataError as error:
        return _read_raw(data, row, str(error))
    return Stream(row, recording.time_s, recording.samples, recording.labels, recording.quality)


def _read_raw(data: Dataset, row: RecordingRow, refusal: str) -> Stream | str:
    """Columns that are there and are numbers, whatever is off about them; the refusal where there are no times."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    meta = data.meta
    try:
        with pq.ParquetFile(data.recording_path(row.recording)) as file:
            table = file.read()
    except (pa.ArrowException, OSError):
        return refusal
    if len(set(table.column_names)) != table.num_columns:
        return refusal
    columns = {name: numbers for name in table.column_names if (numbers := _numbers(table[name])) is not None}
    if "time_s" not in columns or not set(columns) & set(meta.columns):
        return refusal
    n = table.num_rows
    samples = np.full((len(meta.channels), len(meta.sensors), n), np.nan, np.float32)
    with np.errstate(over="ignore"):
        for s, sensor in enumerate(meta.sensors):
            for c, channel in enumerate(meta.channels):
                samples[c, s] = columns.get(f"{sensor}/{channel}", np.nan)
    samples[np.isinf(samples)] = np.nan
    labels = np.full(n, -1, np.int64)
    if "label" in table.column_names:
        index = {name: i for i, name in enumerate(meta.classes)}
        labels[:] = [index.get(w, -1) if isinstance(w, str) else -1 for w in table["label"].to_pylist()]
    quality = {name: columns[name] for name in columns if name != "time_s" and "/" not in name}
    return Stream(row, columns["time_s"].astype(np.float64), samples, labels, quality, refusal)


def _numbers(column: Any) -> NDArray[Any] | None:
    import pyarrow.types as types

    kind = column.type
    if types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind):
        values: NDArray[Any] = column.to_numpy()
        return values if values.dtype != object else None
    return None
