"""Device files as recordings: one file is one recording, on the clock of the device.

The importers of `axivity`, `actigraph` and `geneactiv` share this module: which files, which subject, one rate and one
set of channels for all of them, a new recording where a clock goes back. Their mapping is optional; all of its keys::

    name: my_study                 # by default the name of the output folder
    title: Dogs with collars       # as are licence, citation and notes: copied into dataset.yaml
    files: "*.cwa"                 # which files of a folder
    subject: {from_filename: "dog(\\\\d+)"}   # or {constant: rex}; by default the file's name without suffix
    sensor: collar                 # by default where the device says that it was worn, else the maker's name
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.result import ImportResult
from conv2d.data.importers.sources import file_name, find_sources, pattern_of, read_keys, text_of, texts_of
from conv2d.data.meta import RATE_TOLERANCE, DatasetMeta, format_rate, in_words, one_line
from conv2d.data.rate import rate_of_steps, round_rate
from conv2d.data.writer import DatasetWriter
from conv2d.errors import ConfigError, DataError

ACC = ("acc_x", "acc_y", "acc_z")
GYR = ("gyr_x", "gyr_y", "gyr_z")
NO_TIMES_BACK = 100  # a clock that goes back more often is no clock
_KEYS = ("name", "title", "licence", "citation", "notes", "files", "subject", "sensor")
_STEPS_KEPT = 100_000


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive samples of a device file.

    ``time_s`` is float64 (n,), seconds since 1970 of the device's clock, whatever zone that is set to; increasing.
    ``samples`` is float32 (n, C) in m/s^2 and rad/s, ``quality`` further columns (n,). ``clock_went_back`` says that
    these samples begin a new recording. ``share`` of the file, 0 to 1, is read when they are.
    """

    time_s: NDArray[np.float64]
    samples: NDArray[np.float32]
    quality: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)
    clock_went_back: bool = False
    share: float = 0.0


class DeviceReader(Protocol):
    """A device file whose header was read; ``notes`` is complete when the last chunk was taken."""

    path: Path
    rate_hz: float  # nominal
    channels: tuple[str, ...]
    location: str  # where it was worn by its own account, or nothing
    facts: dict[str, str]  # further columns of recordings.csv
    notes: list[str]

    def chunks(self) -> Iterator[Chunk]:
        """The samples, in the order of the file."""


@dataclass(frozen=True)
class _Plan:
    name: str
    about: Mapping[str, Any]
    files: str | None
    sensor: str
    constant: str | None
    from_filename: re.Pattern[str] | None


@dataclass(eq=False)
class _Recording:
    name: str
    subject: str
    origin: float
    last: float
    n_rows: int = 0
    steps: list[NDArray[np.float64]] = field(default_factory=list)
    n_steps: int = 0


def import_device_files(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None,
    *,
    open_reader: Callable[[Path], DeviceReader],
    maker: str,
    patterns: Sequence[str],
    quality: tuple[str, ...] = (),
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Write the device files of ``source`` as a dataset folder at ``out``; see the module.

    Raises
    ------
    ConfigError
        E-DATA-017: the mapping is off.
    DataError
        E-DATA-018 a file that cannot be read or holds no sample; E-DATA-007 files of different rates; E-DATA-012.

    ``progress`` counts kilobytes of the files.
    """
    plan = _plan(mapping, Path(out))
    files = find_sources(source, patterns, plan.files, code="E-DATA-018")
    readers = [_opened(open_reader, path) for path in files]
    _check_alike(readers)
    first = readers[0]
    sensor, notes = _sensor(plan, readers, maker)
    meta = DatasetMeta(
        name=plan.name,
        rate_hz=first.rate_hz,
        sensors=(sensor,),
        channels=first.channels,
        classes=(),
        title=str(plan.about.get("title", "")),
        units={"acc": "m/s^2"} | ({"gyr": "rad/s"} if GYR[0] in first.channels else {}),
        licence=str(plan.about.get("licence", "")),
        citation=str(plan.about.get("citation", "")),
        quality_columns=quality,
    )
    taken: dict[str, _Recording] = {}
    sizes = [1 + (path.stat().st_size >> 10) for path in files]
    report = progress if progress is not None else lambda done, total: None
    report(0, sum(sizes))
    with DatasetWriter(out, meta) as writer:
        for number, (reader, size) in enumerate(zip(readers, sizes, strict=True)):
            before = sum(sizes[:number])
            _write(reader, writer, plan, taken, lambda share: report(before + int(share * size), sum(sizes)))  # noqa: B023
            report(before + size, sum(sizes))
            notes += [f"{reader.path.name}: {note}" for note in reader.notes]
        rate_hz, changed = _rate(taken, meta.rate_hz)
        notes += changed
        writer.meta = replace(meta, rate_hz=rate_hz, notes=(*plan.about.get("notes", ()), *notes))
    n_rows = sum(r.n_rows for r in taken.values())
    return ImportResult(
        path=str(out), n_files=len(files), n_recordings=len(taken), n_subjects=len({r.subject for r in taken.values()}),
        n_rows=n_rows, rate_hz=rate_hz, rate_is_measured=bool(changed), unlabelled_rows=n_rows, labels={},
        notes=tuple(notes),
    )  # fmt: skip


def _plan(mapping: str | Path | Mapping[str, Any] | None, out: Path) -> _Plan:
    code = "E-DATA-017"
    content, where = read_keys(mapping, _KEYS, code=code)
    about: dict[str, Any] = {k: text_of(content, k, where, code=code) for k in ("title", "licence", "citation")}
    about["notes"] = texts_of(content, "notes", where, code=code)
    sensor = text_of(content, "sensor", where, code=code)
    if sensor and not re.fullmatch(r"[^/\s]+", sensor):
        raise ConfigError(f"{code}: sensor of {where} is {sensor!r}, expected a name without '/' and spaces; rename it")
    subject = content.get("subject") or {}
    if not isinstance(subject, Mapping) or len(subject) > 1 or set(subject) - {"constant", "from_filename"}:
        raise ConfigError(
            f"{code}: subject of {where} is {subject!r}, expected one of {{constant: name}} and "
            "{from_filename: expression}; correct it, or leave it out where each file is a subject"
        )
    pattern = None
    if "from_filename" in subject:
        try:
            pattern = re.compile(str(subject["from_filename"]))
        except re.error as error:
            raise ConfigError(f"{code}: from_filename of {where} is not a regular expression ({error})") from error
        if pattern.groups != 1:
            raise ConfigError(
                f"{code}: from_filename of {where} has {pattern.groups} groups, expected one around the subject"
            )
    constant = text_of(subject, "constant", f"subject of {where}", code=code) or None
    name = text_of(content, "name", where, code=code, default=out.name or "devices")
    return _Plan(name, about, pattern_of(content, where, code=code), sensor, constant, pattern)


def _opened(open_reader: Callable[[Path], DeviceReader], path: Path) -> DeviceReader:
    try:
        return open_reader(path)
    except OSError as error:
        raise DataError(
            f"E-DATA-018: cannot read {path} ({error.strerror or one_line(error)}); check that it is there"
        ) from error


def _check_alike(readers: Sequence[DeviceReader]) -> None:
    first = readers[0]
    for reader in readers[1:]:
        if reader.channels != first.channels:
            raise DataError(
                f"E-DATA-018: {reader.path.name} has channels {in_words(reader.channels)}, {first.path.name} has "
                f"{in_words(first.channels)}, expected the same in one data set; import them apart"
            )
        if abs(reader.rate_hz / first.rate_hz - 1) > RATE_TOLERANCE:
            raise DataError(
                f"E-DATA-007: {reader.path.name} was recorded at {format_rate(reader.rate_hz)} Hz, {first.path.name} "
                f"at {format_rate(first.rate_hz)} Hz, expected one rate in a data set; import them apart"
            )


def _sensor(plan: _Plan, readers: Sequence[DeviceReader], maker: str) -> tuple[str, list[str]]:
    """The sensor's name: by the mapping, else where all devices say that they were worn, else the maker."""
    if plan.sensor:
        return plan.sensor, []
    places = {reader.location for reader in readers}
    if len(places) == 1 and places != {""}:
        return file_name(places.pop().lower()), []
    if len(places) > 1:
        worn = in_words(sorted(p or "nowhere in particular" for p in places))
        return maker, [f"the devices were worn on {worn}; the sensor is called {maker}, see the column location"]
    return maker, []


def _write(
    reader: DeviceReader,
    writer: DatasetWriter,
    plan: _Plan,
    taken: dict[str, _Recording],
    report: Callable[[float], None],
) -> None:
    stem = file_name(reader.path.stem)
    subject = _subject(plan, reader.path)
    recording: _Recording | None = None
    for chunk in _read(reader):
        if recording is None or chunk.clock_went_back:
            n_back = sum(name == stem or name.startswith(f"{stem}_") for name in taken) if recording else 0
            if n_back > NO_TIMES_BACK:
                raise DataError(
                    f"E-DATA-018: the clock of {reader.path.name} goes back more than {NO_TIMES_BACK} times, expected "
                    "time to pass; the file is damaged, download it from the device again"
                )
            name = f"{stem}_{n_back + 1}" if n_back else stem
            start = float(chunk.time_s[0])
            if name in taken:
                raise DataError(
                    f"E-DATA-018: two files come out as recording {name!r}, the second is {reader.path}; rename one"
                )
            if recording is not None:
                writer.finish(recording.name)
                reader.notes.append(
                    f"the clock goes back from {naive_iso(recording.last)} to {naive_iso(start)}; what follows is "
                    f"recording {name}"
                )
            recording = taken[name] = _Recording(name, subject, start, start)
        _append(recording, chunk, reader, writer)
        report(chunk.share)
    if recording is None:
        raise DataError(f"E-DATA-018: {reader.path} holds no sample, expected acceleration; leave it out")
    writer.finish(recording.name)


def _append(recording: _Recording, chunk: Chunk, reader: DeviceReader, writer: DatasetWriter) -> None:
    steps = np.diff(chunk.time_s, prepend=recording.last if recording.n_rows else [])
    if len(steps) and not steps.min() > 0:
        raise DataError(
            f"E-DATA-018: times of {reader.path.name} do not increase near {naive_iso(float(chunk.time_s[0]))}; "
            "the file is damaged, download it from the device again"
        )
    if recording.n_steps < _STEPS_KEPT:
        recording.steps.append(steps)
        recording.n_steps += len(steps)
    sensor = writer.meta.sensors[0]
    columns = {f"{sensor}/{c}": chunk.samples[:, i] for i, c in enumerate(reader.channels)}
    facts = {"start": naive_iso(recording.origin), **reader.facts, "location": reader.location}
    writer.append(
        recording.name, recording.subject, chunk.time_s - recording.origin, columns,
        np.full(len(chunk.time_s), -1, np.int64), (), quality=chunk.quality,
        extra={key: shown for key, value in facts.items() if (shown := _printable(value))},
    )  # fmt: skip
    recording.n_rows += len(chunk.time_s)
    recording.last = float(chunk.time_s[-1])


def _printable(text: str) -> str:
    """Text of a header in one line: a damaged one may hold line ends, which no table survives."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _read(reader: DeviceReader) -> Iterator[Chunk]:
    """The chunks of a reader; trouble with its file is told as such, not as one of the output."""
    chunks = reader.chunks()
    while True:
        try:
            chunk = next(chunks, None)
        except OSError as error:
            raise DataError(
                f"E-DATA-018: cannot read {reader.path} to its end ({one_line(error)}); copy the file again"
            ) from error
        if chunk is None:
            return
        if len(chunk.time_s):
            yield chunk


def _subject(plan: _Plan, path: Path) -> str:
    if plan.constant is not None:
        return plan.constant
    if plan.from_filename is None:
        return file_name(path.stem)
    found = plan.from_filename.search(path.stem)
    if found is None or not found.group(1):
        raise DataError(
            f"E-DATA-018: from_filename {plan.from_filename.pattern!r} finds no subject in the file name {path.name}; "
            "correct the expression or the files to import"
        )
    return found.group(1)


def _rate(taken: Mapping[str, _Recording], nominal: float) -> tuple[float, list[str]]:
    """The rate of the data set: the nominal one, or the measured one where all devices agree on another."""
    rates = {n: rate_of_steps(np.concatenate(r.steps)) for n, r in taken.items() if r.n_steps}
    if all(abs(rate / nominal - 1) <= RATE_TOLERANCE for rate in rates.values()):
        return nominal, []
    measured = round_rate(float(np.median(list(rates.values()))))
    for name, rate in rates.items():
        if abs(rate / measured - 1) > RATE_TOLERANCE:
            raise DataError(
                f"E-DATA-007: recording {name} has {rate:.4g} samples per second by its clock, the others have "
                f"{format_rate(measured)} and the headers say {format_rate(nominal)}, expected one rate in a data set; "
                "import it apart"
            )
    return measured, [f"the clocks say {format_rate(measured)} Hz, the headers {format_rate(nominal)}; the clocks rule"]


def naive_iso(seconds: float) -> str:
    """Seconds since 1970 of a clock without zone, as ISO 8601 without zone.

    >>> naive_iso(1714564800.25)
    '2024-05-01T12:00:00.250'
    """
    return datetime.fromtimestamp(round(seconds, 3), UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
