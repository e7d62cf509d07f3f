"""The raw rows of one sensor in one recording, read from tables or from a data set: stamps, values, labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conv2d.data.dataset import Dataset
from conv2d.data.importers.assembly import file_stem
from conv2d.data.importers.mapping import TIME_UNITS, Channel, TableMapping
from conv2d.data.importers.mapping import Subject as NoSubject
from conv2d.data.importers.tables import Piece, find_files, read_pieces
from conv2d.data.joining.dates import has_zone, is_epoch, kind_of, read_start
from conv2d.data.joining.plan import JoinPlan, Sensor
from conv2d.data.joining.provenance import file_sha256
from conv2d.data.joining.stamps import Stamps
from conv2d.data.meta import in_words
from conv2d.errors import ConfigError, DataError

Array = NDArray[np.float64]


@dataclass(eq=False)
class Vocabulary:
    """Class names in the order in which they are met; with ``fixed`` no other may come."""

    words: dict[str, int] = field(default_factory=dict)
    fixed: bool = False

    def code(self, label: str | None, where: str) -> int:
        """The number of a class, -1 for None; DataError E-DATA-010 for a class that ``classes`` does not name."""
        if label is None:
            return -1
        if self.fixed and label not in self.words:
            raise DataError(
                f"E-DATA-010: {where} has label {label!r}, classes names {in_words(list(self.words), 30)}; add it "
                "there, or to map or null of label"
            )
        return self.words.setdefault(label, len(self.words))


@dataclass(frozen=True, eq=False)
class Stream:
    """A sensor's rows in one recording, but for their stamps: ``values`` float32 (n, C), NaN where a cell is empty."""

    values: NDArray[np.float32]
    channels: tuple[str, ...]
    dated: bool  # whether host time counts from 1970
    zoned: bool  # and whether that is known to be UTC
    subject: str | None = None
    labels: NDArray[np.int64] | None = None  # (n,), codes of the vocabulary
    files: tuple[Mapping[str, Any], ...] = ()


class Source(Protocol):
    """Where a sensor's streams come from; ``channels`` is known before the first is loaded."""

    channels: tuple[str, ...]
    rate_hz: float | None

    def recordings(self) -> tuple[str, ...]:
        """Names of the recordings that have the sensor."""

    def stems(self, recording: str) -> tuple[str, ...]:
        """Names of its files, without suffix, by which a subject may be told."""

    def load(self, recording: str) -> tuple[Stamps, Stream]:
        """Read a recording: stamps apart, as they are not needed any more once they are understood."""


def open_sources(folder: Path, plan: JoinPlan, words: Vocabulary) -> dict[str, Source]:
    """The source of each sensor of a plan, with its files found and named; nothing is read yet.

    Raises
    ------
    ConfigError
        E-DATA-021: files without a rule that tells their recordings apart.
    DataError
        E-DATA-016: no file, or one whose name the rule does not fit; E-DATA-001 to 006 for a data set.
    """
    sources: dict[str, Source] = {}
    for name, sensor in plan.sensors.items():
        opened: type[_DatasetSource | _TableSource] = _TableSource if sensor.dataset is None else _DatasetSource
        sources[name] = opened(folder, name, sensor, plan, words)
    return sources


def read_stamped(
    path: Path, options: TableMapping, stamps: Mapping[str, tuple[str, str]]
) -> Iterator[tuple[Piece, dict[str, Array]]]:
    """Pieces of a file as `read_pieces` gives them, with columns of time in seconds, NaN where a number is missing.

    ``stamps`` gives column and unit by name; a unit that is none of time (``samples``) leaves the numbers as they are.
    """
    kind = kind_of(path)
    dated = [column for column, unit in stamps.values() if unit == "iso8601"]
    numbers = {name: column for name, (column, unit) in stamps.items() if unit != "iso8601"}
    # A reading has one column of dates; for a second one the file is read again beside it.
    first, *others = [replace(options, time_column=column, time_unit="iso8601") for column in dated] or [options]
    first = replace(first, quality=numbers)
    others = [replace(other, channels={}, meta={}) for other in others]
    for pieces in zip(*(read_pieces(path, kind, plan) for plan in (first, *others)), strict=True):
        seconds = {n: pieces[0].numbers[c] * TIME_UNITS.get(stamps[n][1], 1.0) for n, c in numbers.items()}
        by_column = {c: piece.time for c, piece in zip(dated, pieces, strict=False)}
        for name, (column, unit) in stamps.items():
            if unit == "iso8601":
                seconds[name] = np.asarray(by_column[column], np.float64) * TIME_UNITS[unit]
        yield pieces[0], seconds


class _TableSource:
    def __init__(self, folder: Path, name: str, sensor: Sensor, plan: JoinPlan, words: Vocabulary) -> None:
        self.name, self.sensor, self.words = name, sensor, words
        self.channels, self.rate_hz = tuple(sensor.channels), sensor.rate_hz
        label, subject = plan.label, plan.subject
        self.label = label if label is not None and label.sensor == name else None
        owner = subject and (subject.sensor or next(n for n, s in plan.sensors.items() if s.dataset is None))
        self.subject_column = subject.column if subject and owner == name else None
        assert sensor.files is not None
        try:
            paths = find_files(folder, "csv", sensor.files)
        except DataError as error:
            raise DataError(
                f"{error}; it is sensors.{name}.files of the mapping, looked for in SOURCE of the join"
            ) from error
        self.paths: dict[str, list[Path]] = {}
        if sensor.recording is None and len(paths) > 1:
            raise ConfigError(
                f"E-DATA-021: sensors.{name}.files matches {len(paths)} files; say under recording how their names "
                'tell the recording, as in {from_filename: "' + name + '_(.*)"}'
            )
        for path in paths:
            found = plan.name if sensor.recording is None else sensor.recording.find(file_stem(path))
            if not found:
                raise DataError(
                    f"E-DATA-016: the name of {path.name} does not tell its recording by "
                    f"sensors.{name}.recording.from_filename; correct the expression or files"
                )
            self.paths.setdefault(found, []).append(path)
        self.options = TableMapping(
            name="x", channels={c: Channel(v.column) for c, v in sensor.channels.items()}, sensors=(), channel_names=(),
            subject=NoSubject(constant="x"), delimiter=sensor.delimiter, decimal=sensor.decimal,
            encoding=sensor.encoding, skip_rows=sensor.skip_rows, missing=sensor.missing or (),
        )  # fmt: skip

    def recordings(self) -> tuple[str, ...]:
        return tuple(self.paths)

    def stems(self, recording: str) -> tuple[str, ...]:
        return tuple(file_stem(path) for path in self.paths[recording])

    def load(self, recording: str) -> tuple[Stamps, Stream]:
        time = self.sensor.time
        assert time is not None
        clocks = {"device": time.device, "host": time.host}
        stamps = {name: (clock.column, clock.unit) for name, clock in clocks.items() if clock is not None}
        texts = [c for c in (self.label.column if self.label else None, self.subject_column) if c is not None]
        options = replace(self.options, meta={f"text{i}": c for i, c in enumerate(texts)})
        values = [np.empty((0, len(self.channels)), np.float32)]
        times: dict[str, list[Array]] = {name: [np.empty(0)] for name in stamps}
        labels = [np.empty(0, np.int64)]
        files = []
        subjects: set[str] = set()
        for path in self.paths[recording]:
            n_rows = 0
            for piece, seconds in read_stamped(path, options, stamps):
                n_rows += piece.n_rows
                values.append(np.stack([self._channel(piece, c) for c in self.channels], axis=1))
                for name, part in seconds.items():
                    times[name].append(part)
                if self.label is not None and self.label.column is not None:
                    labels.append(self._labels(piece.texts[self.label.column], path))
                if self.subject_column is not None:
                    subjects |= {w for w in piece.texts[self.subject_column].unique().to_pylist() if w is not None}
            files.append({"path": path.name, "sha256": file_sha256(path), "rows": n_rows})
        if len(subjects) > 1:
            raise DataError(
                f"E-DATA-016: column {self.subject_column} has {in_words(sorted(subjects))} in recording {recording}, "
                "expected one subject; split the files"
            )
        joined = np.concatenate(values)
        stamped = {name: np.concatenate(parts) for name, parts in times.items()}
        common = "host" if "host" in stamps else "device"
        dates = stamps[common][1] == "iso8601"
        dated = dates or is_epoch(stamped[common])
        zoned = dated and (not dates or has_zone(self.paths[recording][0], self.options, stamps[common][0]))
        stamps_of = self._stamps(stamped, joined, f"{self.name} in recording {recording}")
        return stamps_of, Stream(
            values=joined,
            channels=self.channels,
            dated=dated,
            zoned=zoned,
            subject=next(iter(subjects), None),
            labels=np.concatenate(labels) if self.label is not None else None,
            files=tuple(files),
        )

    def _channel(self, piece: Piece, channel: str) -> NDArray[np.float32]:
        group = self.sensor.channels[channel]
        with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such
            values = (piece.numbers[group.column] * group.scale).astype(np.float32)
        if np.isinf(values).any():
            row = int(np.argmax(np.isinf(values)))
            raise DataError(
                f"E-DATA-016: column {group.column} is {piece.numbers[group.column][row]} in {piece.place(row)}, "
                "expected a number within float32; correct it or leave it empty"
            )
        return values

    def _labels(self, words: Any, path: Path) -> NDArray[np.int64]:
        """Codes of a dictionary array of labels."""
        assert self.label is not None
        codes = [self.words.code(self.label.rename(w), path.name) for w in words.dictionary.to_pylist()]
        lookup = np.array([*codes, -1], np.int64)
        coded: NDArray[np.int64] = lookup[words.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)]
        return coded

    def _stamps(self, times: Mapping[str, Array], values: NDArray[np.float32], where: str) -> Stamps:
        time, sensor = self.sensor.time, self.sensor
        assert time is not None
        device, host, counts, steady = times.get("device"), times.get("host"), False, False
        if time.device is not None and device is not None:
            counts = time.device.unit == "samples"
            if time.device.wrap is not None:
                device = _unwrap(device, time.device.wrap * TIME_UNITS.get(time.device.unit, 1.0))
            if counts:
                device = device / (sensor.rate_hz or 1.0)
        if host is None:  # the declared offset makes the device's the common clock
            shifted: Array = (times["device"] if device is None else device) + (time.offset_s or 0.0)
            device, host, counts, steady = None, shifted, False, True
        base = host if device is None else device
        assert base is not None
        keep = time.host is not None and time.host.steps == "keep"
        return Stamps(
            device, host, _repeated(base, values), where, sensor.rate_hz, counts, keep, sensor.latency_s, steady
        )


class _DatasetSource:
    def __init__(self, folder: Path, name: str, sensor: Sensor, plan: JoinPlan, words: Vocabulary) -> None:
        self.name, self.sensor, self.words = name, sensor, words
        assert sensor.dataset is not None
        self.data = Dataset.open(folder / sensor.dataset)
        wanted = sensor.sensor or name
        self.data.select([wanted])
        self.place = self.data.meta.sensors.index(wanted)
        self.channels = self.data.meta.channels
        self.rate_hz: float | None = sensor.rate_hz or self.data.meta.rate_hz
        self.label = plan.label if plan.label is not None and plan.label.sensor == name else None
        self.names: dict[str, str] = {}
        for row in self.data.table:
            found = row.recording if sensor.recording is None else sensor.recording.find(row.recording)
            if not found or found in self.names:
                what = "tells no recording" if not found else f"tells the same recording as {self.names[found]}"
                raise DataError(
                    f"E-DATA-016: the name of recording {row.recording} of {sensor.dataset} {what} by "
                    f"sensors.{name}.recording.from_filename; correct the expression"
                )
            self.names[found] = row.recording

    def recordings(self) -> tuple[str, ...]:
        return tuple(self.names)

    def stems(self, recording: str) -> tuple[str, ...]:
        return (self.names[recording],)

    def load(self, recording: str) -> tuple[Stamps, Stream]:
        name = self.names[recording]
        source = self.data.load(name)
        start, dated, zoned = read_start(source.meta.get("start", ""), f"recording {name} of {self.sensor.dataset}")
        host = source.time_s + start
        values = np.ascontiguousarray(source.samples[:, self.place].T)
        labels = None
        if self.label is not None:
            codes = [self.words.code(self.label.rename(c), f"recording {name}") for c in source.classes]
            labels = np.array([*codes, -1], np.int64)[source.labels]
        path = self.data.recording_path(name)
        stamps = Stamps(
            None, host, _repeated(host, values), f"{self.name} in recording {recording}", self.rate_hz,
            latency_s=self.sensor.latency_s,
        )  # fmt: skip
        file = {"path": f"{self.sensor.dataset}/recordings/{path.name}", "sha256": file_sha256(path), "rows": len(host)}
        return stamps, Stream(values, self.channels, dated, zoned, source.subject, labels, (file,))


def _unwrap(counter: Array, wrap: float) -> Array:
    """A counter that starts anew at ``wrap``, as one that does not; NaN stays and is passed over."""
    there = np.isfinite(counter)
    unwrapped = counter.copy()
    unwrapped[there] = np.unwrap(counter[there], period=wrap)
    return unwrapped


def _repeated(base: Array, values: NDArray[np.float32]) -> NDArray[np.bool_]:
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    repeated: NDArray[np.bool_] = np.zeros(len(base), bool)
    repeated[1:] = same.all(axis=1) & (base[1:] == base[:-1])
    return repeated
