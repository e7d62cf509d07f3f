"""ActiGraph monitors, ``.gt3x``.

::

    conv2d data import gt3x SOURCE OUT [--map FILE]

SOURCE is a file, a folder or a pattern; each file becomes a recording. The keys of the mapping, all optional, stand in
`conv2d.data.importers.device_files`. The records are read as a stream, so that memory does not grow with the file; no
other package is needed.

What comes out: ``acc_*`` in m/s^2, from ACTIVITY (12 bits) and ACTIVITY2 (16 bits) records or from the
``activity.bin`` of firmware up to 2.5. Gyroscope and magnetometer of the GT9X Link (SENSOR_DATA), light, and the wear
sensor are left out, and the notes say so where SENSOR_DATA is there. ``start`` is the monitor's clock, normally that
of the computer that set it up, without zone; ``zone`` is the offset that ``info.txt`` names. A monitor set up through
a web portal may run on UTC: then a note says so.

Times: a record holds the samples of one second, which are spaced by the nominal rate. Idle sleep mode writes no
records; the time stays a gap and is not filled with the last value, as the maker's software does. Seconds that come
again, or up to 10 s late, are left out and counted; a clock that goes back further begins a new recording ``<file>_2``.

Source: ActiGraph, ``GT3X-File-Format`` and ``NHANES-GT3X-File-Format`` (descriptions of the format).
"""

import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.device_files import ACC, Chunk, import_device_files
from conv2d.data.importers.gt3x_records import Record, read_records
from conv2d.data.importers.registry import FORMATS
from conv2d.data.importers.result import ImportResult
from conv2d.data.meta import one_line
from conv2d.data.units import GRAVITY
from conv2d.errors import DataError

_ACTIVITY, _METADATA, _PARAMETERS, _SENSOR_DATA, _ACTIVITY2 = 0, 6, 21, 25, 26
_SECONDS_AT_ONCE = 512
_LATE_S = 10
_OLD_SAMPLES_AT_ONCE = 1 << 16  # even, since two samples share a byte
_INFO_BYTES = 1 << 20
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, ValueError, KeyError)


def import_gt3x(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Import ``.gt3x`` files as a dataset folder at ``out``, which must be new or empty; see the module.

    Raises
    ------
    ConfigError
        E-DATA-017: the mapping is off.
    DataError
        E-DATA-018: a file cannot be read or holds no acceleration. E-DATA-007: files of different rates. E-DATA-012:
        the output exists.

    Cost: one pass over each file, 6 s per day at 100 Hz; memory for 512 seconds of samples.

    Example
    -------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> with zipfile.ZipFile(folder / "rex.gt3x", "w") as archive:  # as of a GT3X+ of old firmware
    ...     archive.writestr("info.txt", "Serial Number: NEO1\\nSample Rate: 30\\nStart Date: 633423888000000000")
    ...     archive.writestr("activity.bin", bytes.fromhex("006008EBD007009EBF007008EBF0"))
    >>> result = import_gt3x(folder / "rex.gt3x", folder / "out")
    >>> result.n_rows, result.rate_hz
    (3, 30.0)
    """
    return import_device_files(
        source,
        out,
        mapping,
        open_reader=Gt3xFile,
        maker="actigraph",
        patterns=FORMATS["gt3x"].patterns,
        progress=progress,
    )


@dataclass(frozen=True, eq=False)
class _Second:
    """The samples of one record, (n, 3) integers in the order x y z."""

    time: int
    samples: NDArray[np.int16]
    scale: float  # counts in one g


class Gt3xFile:
    """One ``.gt3x`` file; ``info.txt`` is read at once, the records by `chunks`."""

    def __init__(self, path: Path) -> None:
        """DataError E-DATA-018 where this is no such file, or ``info.txt`` lacks what the samples mean."""
        self.path = path
        self.notes: list[str] = []
        self.channels: tuple[str, ...] = ACC
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                self._info = self._read_info(archive, names)
                self._refuse_uncalibrated(archive, names)
        except _DAMAGED as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"E-DATA-018: {path} is no whole .gt3x archive ({one_line(error)}); copy or download it again"
            ) from error
        self._log = next((n for n in ("log.bin", "activity.bin") if n in names), "")
        if not self._log:
            raise DataError(
                f"E-DATA-018: {path} has neither log.bin nor activity.bin in it, expected the records of a monitor; "
                "download it from the device again"
            )
        serial = self._info.get("Serial Number", "")
        self.rate_hz = self._number("Sample Rate", 1, 1000)
        self._scale = self._default_scale(serial)
        firmware = self._info.get("Firmware", "")
        self._rotated = serial.startswith("MOS") and firmware == "1.6.0"
        if self._rotated:
            self.notes.append("firmware 1.6.0 turns x and y by a quarter, which was undone")
        self.location = " ".join(filter(None, (self._info.get("Side"), self._info.get("Limb"))))
        facts = {"device": self._info.get("Device Type", ""), "serial": serial, "zone": self._info.get("TimeZone", "")}
        self.facts = {key: value for key, value in facts.items() if value}

    def chunks(self) -> Iterator[Chunk]:
        """Samples in the order of the file."""
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(self._log) as log:
                size = max(1, archive.getinfo(self._log).file_size)
                for chunk in self._old_chunks(log) if self._log == "activity.bin" else self._chunks(log):
                    yield replace(chunk, share=min(1.0, log.tell() / size))
        except _DAMAGED as error:
            if isinstance(error, DataError):
                raise
            raise DataError(
                f"E-DATA-018: {self._log} of {self.path} cannot be unpacked to its end ({one_line(error)}); copy or "
                "download it again"
            ) from error

    def _read_info(self, archive: zipfile.ZipFile, names: list[str]) -> dict[str, str]:
        if "info.txt" not in names:
            raise DataError(
                f"E-DATA-018: {self.path} has no info.txt in it, expected one with the sample rate; name another file"
            )
        with archive.open("info.txt") as file:
            raw = file.read(_INFO_BYTES)
        encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        info: dict[str, str] = {}
        for line in raw.decode(encoding, errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if colon:
                info.setdefault(key.strip(), value.strip())
        return info

    def _refuse_uncalibrated(self, archive: zipfile.ZipFile, names: list[str]) -> None:
        if "calibration.json" not in names:
            return
        with archive.open("calibration.json") as file:
            content = json.loads(file.read(_INFO_BYTES))
        if isinstance(content, dict) and content.get("isCalibrated") is False:
            raise DataError(
                f"E-DATA-018: the samples of {self.path} are not calibrated, as its calibration.json says, and this "
                "version applies no calibration; export raw data as CSV with the maker's software and import that"
            )

    def _number(self, key: str, low: float, high: float) -> float:
        text = self._info.get(key, "")
        try:
            value = float(text.replace(",", "."))
        except ValueError:
            value = -1.0
        if not low <= value <= high:
            raise DataError(
                f"E-DATA-018: info.txt of {self.path} has {key} {text!r}, expected a number from {low:g} to {high:g}; "
                "download it from the device again"
            )
        return value

    def _default_scale(self, serial: str) -> float | None:
        """Counts in one g where no PARAMETERS record gives it."""
        if self._log == "activity.bin":
            return 341.0
        if self._info.get("Acceleration Scale"):
            return self._number("Acceleration Scale", 1, 1e6)
        by_serial = {"NEO": 341.0, "CLE": 341.0, "MRA": 341.0, "MOS": 256.0, "TAS": 256.0}
        return by_serial.get(serial[:3])

    def _chunks(self, log: IO[bytes]) -> Iterator[Chunk]:
        batch: list[_Second] = []
        began_back = False
        for second, went_back in self._seconds(log):
            if batch and (went_back or len(batch) == _SECONDS_AT_ONCE):
                yield self._chunk(batch, began_back)
                batch = []
            if not batch:
                began_back = went_back
            batch.append(second)
        if batch:
            yield self._chunk(batch, began_back)

    def _chunk(self, batch: list[_Second], went_back: bool) -> Chunk:
        rate = self.rate_hz
        # A second of more samples than the rate is spaced closer; one of fewer leaves its end empty.
        n = np.array([len(s.samples) for s in batch])
        within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
        times = np.repeat([float(s.time) for s in batch], n) + within / np.repeat(np.maximum(n, rate), n)
        scale = np.repeat(np.array([GRAVITY / s.scale for s in batch], np.float32), n)
        samples = np.concatenate([s.samples for s in batch]) * scale[:, None]
        if self._rotated:
            samples = np.stack([samples[:, 1], -samples[:, 0], samples[:, 2]], 1)
        return Chunk(times, samples, clock_went_back=went_back)

    def _seconds(self, log: IO[bytes]) -> Iterator[tuple[_Second, bool]]:
        """Records of activity in order, without those that come again; true where the clock was set back."""
        last: int | None = None
        scale = self._scale
        n_again = n_gaps = n_missing = n_odd = n_imu = 0
        damage: dict[str, int] = {}
        for record in read_records(log, damage):
            if record.kind == _PARAMETERS:
                scale = self._scale_of(record) or scale
            elif record.kind == _METADATA:
                self._note_utc(record)
            elif record.kind == _SENSOR_DATA:
                n_imu += 1
            elif record.kind in (_ACTIVITY, _ACTIVITY2) and len(record.payload) > 1:  # one byte: plugged into USB
                if scale is None:
                    raise DataError(
                        f"E-DATA-018: {self.path} says nowhere how many counts are one g (no PARAMETERS record, no "
                        "Acceleration Scale, an unknown serial number); export it as CSV with the maker's software"
                    )
                samples = _unpack(record)
                if last is not None and last - _LATE_S <= record.time <= last:
                    n_again += 1
                    continue
                went_back = last is not None and record.time < last
                n_odd += len(samples) != round(self.rate_hz)
                if last is not None and record.time > last + 1:
                    n_gaps, n_missing = n_gaps + 1, n_missing + record.time - last - 1
                last = record.time
                yield _Second(record.time, samples, scale), went_back
        told = (
            (damage.get("checksum", 0), "records with a wrong checksum, left out"),
            (damage.get("bytes", 0), "bytes that belong to no record"),
            (n_again, "seconds that came again or late, left out"),
            (n_odd, f"seconds with another number of samples than {self.rate_hz:g}"),
            (n_imu, "records of gyroscope and magnetometer, not read"),
        )
        self.notes += [f"{what}: {count}" for count, what in told if count]
        if n_gaps:
            self.notes.append(f"gaps: {n_gaps}, {n_missing} s in all (idle sleep mode writes nothing)")

    def _scale_of(self, record: Record) -> float | None:
        """ACCEL_SCALE of a PARAMETERS record: pairs of address space, identifier and value."""
        for at in range(0, len(record.payload) - 7, 8):
            space, identifier, value = struct.unpack_from("<HHI", record.payload, at)
            if (space, identifier) == (0, 55):
                scale = decode_ssp(value)
                if not 1 <= scale <= 1e6:
                    raise DataError(
                        f"E-DATA-018: {self.path} gives {scale:g} counts for one g, expected 1 to 1000000; download it "
                        "from the device again"
                    )
                return scale
        return None

    def _note_utc(self, record: Record) -> None:
        if b"UsedUtc" in record.payload and re.search(rb'"UsedUtc\\*"\s*:\s*true', record.payload):
            self.notes.append(f"its clock runs on UTC (local time is {self.facts.get('zone', 'not known')} of it)")

    def _old_chunks(self, log: IO[bytes]) -> Iterator[Chunk]:
        """``activity.bin`` of old firmware: samples without a stamp, from the start date on."""
        assert self._scale is not None
        try:
            start = datetime(1, 1, 1) + timedelta(microseconds=int(self._info.get("Start Date", "")) // 10)
            start_s = (start - datetime(1970, 1, 1)).total_seconds()
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"E-DATA-018: info.txt of {self.path} has Start Date {self._info.get('Start Date')!r}, expected ticks "
                "of 100 ns since the year 1; download it from the device again"
            ) from error
        n_done = 0
        while raw := log.read(_OLD_SAMPLES_AT_ONCE * 9 // 2):
            samples = _unpack_12(np.frombuffer(raw, np.uint8))
            times = start_s + (n_done + np.arange(len(samples))) / self.rate_hz
            n_done += len(samples)
            yield Chunk(times, samples * np.float32(GRAVITY / self._scale))


def _unpack(record: Record) -> NDArray[np.int16]:
    """Samples of a record of activity, (n, 3) in the order x y z."""
    if record.kind == _ACTIVITY2:
        whole = len(record.payload) // 6 * 6
        return np.frombuffer(record.payload[:whole], "<i2").reshape(-1, 3)
    return _unpack_12(np.frombuffer(record.payload, np.uint8))


def _unpack_12(raw: NDArray[np.uint8]) -> NDArray[np.int16]:
    """Big-endian 12-bit numbers in the order y x z, as samples (n, 3) in the order x y z; an odd nibble is padding.

    >>> _unpack_12(np.frombuffer(bytes.fromhex("006008EBD007009EBF007008EBF0"), np.uint8)).tolist()
    [[8, 6, -323], [9, 7, -321], [8, 7, -321]]
    """
    n = len(raw) * 2 // 9
    triples = np.zeros(-(-len(raw) // 3) * 3, np.int32)
    triples[: len(raw)] = raw
    a, b, c = triples.reshape(-1, 3).T
    values = np.stack([(a << 4) | (b >> 4), ((b & 15) << 8) | c], 1).reshape(-1)[: 3 * n]
    values = np.where(values > 2047, values - 4096, values)
    return values.astype(np.int16).reshape(-1, 3)[:, [1, 0, 2]]


def decode_ssp(value: int) -> float:
    """A floating-point number of the Simple Serial Protocol: exponent in the top byte, fraction of 2^23 below.

    >>> decode_ssp(0x09400000)
    256.0
    """
    exponent = (value >> 24) - (256 if value >> 31 else 0)
    fraction = (value & 0xFFFFFF) - (1 << 24 if value & 0x800000 else 0)
    return float(np.ldexp(fraction / (1 << 23), exponent))
