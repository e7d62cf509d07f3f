"""GENEActiv loggers of Activinsights, ``.bin``.

::

    conv2d data import geneactiv SOURCE OUT [--map FILE]

SOURCE is a file, a folder or a pattern; each file becomes a recording. The keys of the mapping, all optional, stand in
`conv2d.data.importers.device_files`. Samples are decoded by ``actfast`` (``pip install 'conv2d[devices]'``), some
hundred pages at a time, so that memory does not grow with the file.

What comes out: ``acc_*`` in m/s^2, calibrated by the header; ``light_lux`` a sample and ``temperature_c`` a page; in
``recordings.csv`` the header's time zone as it stands there, and ``clock_drift_s`` where the maker's software noted it
at the download. The button is left out. ``start`` is the time of the first page by the device's clock, without zone and
without daylight saving time; the header's own start time is not used, as it is wrong after an empty battery.

Times: pages of 300 samples carry the time of their first one, to half a second, so that pages without a gap between
them may look half a second early or late. More than 0.75 s late is a gap, as early is a clock that was set back, which
begins a new recording ``<file>_2``; times within a stretch are smoothed (`conv2d.data.importers.block_clock`). Pages
that are cut or garbled are left out and counted in the notes, as are page times that only their own page bears out.

Source: GENEActiv user manual, description of the ``.bin`` file.
"""

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.actfast_reader import read_with_actfast
from conv2d.data.importers.block_clock import fit_blocks
from conv2d.data.importers.device_files import ACC, Chunk, import_device_files
from conv2d.data.importers.registry import FORMATS
from conv2d.data.importers.result import ImportResult
from conv2d.data.units import GRAVITY
from conv2d.errors import DataError

_PAGES_AT_ONCE = 256
_LONGEST_LINE = 1 << 16  # a page has 3600 digits in a line; what is longer is no text
_TICK_S = 0.5  # of the stamps
_OFF_S = 1.5 * _TICK_S  # a step between two stamps is up to a tick off by rounding alone
_SMOOTH_S = 3600.0  # a clock that is 20 ppm off moves its stamps by a tick in seven hours
_HEADER_LINES = 59  # as actfast counts them
_CALIBRATION = ("x gain", "x offset", "y gain", "y offset", "z gain", "z offset", "Volts", "Lux")
_DIGITS = re.compile(rb"(?:[0-9A-Fa-f]{12})+")
_TIME = re.compile(r"(\d{4})-(\d\d?)-(\d\d?) (\d\d?):(\d\d?):(\d\d?):(\d{3})")
_DRIFT = re.compile(r"clock drift\s*(-?\d+(?:[.,]\d+)?)\s*s")


def import_geneactiv(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Import GENEActiv files as a dataset folder at ``out``, which must be new or empty; see the module.

    Raises
    ------
    ConfigError
        E-DATA-017: the mapping is off.
    DataError
        E-DATA-018: a file cannot be read, holds no page, or ``actfast`` is not installed. E-DATA-007: files of
        different rates. E-DATA-012: the output exists.

    Cost: two passes over each file, 8 s per day at 100 Hz; memory for 256 pages of samples.
    """
    return import_device_files(
        source, out, mapping, open_reader=GeneactivFile, maker="geneactiv", patterns=FORMATS["geneactiv"].patterns,
        quality=("temperature_c", "light_lux"), progress=progress,
    )  # fmt: skip


@dataclass(eq=False)
class _Pages:
    """The good pages of a file: where their digits lie, how many samples they are, and when."""

    offset: list[int] = field(default_factory=list)
    n: list[int] = field(default_factory=list)
    time_s: list[float] = field(default_factory=list)
    temperature: list[float] = field(default_factory=list)
    n_bad: int = 0


class GeneactivFile:
    """One GENEActiv file; its header is read at once, the pages by `chunks`."""

    def __init__(self, path: Path) -> None:
        """DataError E-DATA-018 where this is no such file, or its header lacks what the samples mean."""
        self.path = path
        self.notes: list[str] = []
        self.channels: tuple[str, ...] = ACC
        with path.open("rb") as file:
            self._header = self._read_header(file)
            self._first_page = file.tell()
        for key in _CALIBRATION:
            value = self._header.get(key, "")
            if not re.fullmatch(r"[-+]?\d{1,9}", value) or (int(value) == 0 and "offset" not in key and key != "Lux"):
                raise DataError(
                    f"E-DATA-018: {path} has {key!r} {value!r} in its calibration data, expected a whole number; "
                    "download it from the device again"
                )
        self.rate_hz = self._frequency(self._header.get("Measurement Frequency", ""))
        self.location = self._header.get("Device Location Code", "")
        drift = _DRIFT.search(self._header.get("Extract Notes", ""))
        facts = {
            "device": self._header.get("Device Type", "") or "GENEActiv",
            "serial": self._header.get("Device Unique Serial Code", ""),
            "zone": self._header.get("Time Zone", ""),
            "clock_drift_s": drift[1].replace(",", ".") if drift else "",
        }
        self.facts = {key: value for key, value in facts.items() if value}

    def chunks(self) -> Iterator[Chunk]:
        """Samples in the order of the file."""
        pages = self._scan()
        if not pages.n:
            raise DataError(
                f"E-DATA-018: {self.path} holds no whole page of samples, expected at least one; leave it out"
            )
        n, temperature = np.array(pages.n, np.int64), np.array(pages.temperature, np.float32)
        time_s, n_alone = _without_outliers(np.array(pages.time_s), n / self.rate_hz)
        clock = fit_blocks(
            n, time_s, np.zeros(len(n), np.int64), self.rate_hz, gap_s=_OFF_S, back_s=_OFF_S, measured_from=8,
            smooth_s=_SMOOTH_S,
        )  # fmt: skip
        if n_alone:
            self.notes.append(f"page times that the pages around them contradict, put between those: {n_alone}")
        if pages.n_bad:
            self.notes.append(f"{pages.n_bad} of {pages.n_bad + len(n)} pages are cut or garbled and were left out")
        if clock.n_gaps:
            self.notes.append(f"gaps: {clock.n_gaps}, {clock.gap_s:.1f} s in all")
        borders = np.flatnonzero(np.diff(clock.stretch)) + 1
        with tempfile.TemporaryDirectory() as folder, self.path.open("rb") as file:
            for begin, end in zip([0, *borders], [*borders, len(n)], strict=True):
                for start in range(int(begin), int(end), _PAGES_AT_ONCE):
                    stop = min(start + _PAGES_AT_ONCE, int(end))
                    acc, light = self._decode(file, pages, start, stop, Path(folder) / "part.bin")
                    yield Chunk(
                        clock.times(start, stop), acc,
                        {"temperature_c": np.repeat(temperature[start:stop], n[start:stop]), "light_lux": light},
                        clock_went_back=bool(clock.went_back[start]), share=stop / len(n),
                    )  # fmt: skip

    def _read_header(self, file: BinaryIO) -> dict[str, str]:
        """Key and value of each line before the first page."""
        header: dict[str, str] = {}
        for number in range(500):
            at = file.tell()
            line = file.readline(_LONGEST_LINE)
            if number == 0 and not line.startswith(b"Device Identity"):
                raise DataError(
                    f"E-DATA-018: {self.path} does not begin with 'Device Identity' as GENEActiv files do (other "
                    "makers end in .bin too); name another file"
                )
            if line.strip() == b"Recorded Data":
                file.seek(at)
                return header
            # Empty fields are padded with NUL; names and places are in Latin-1.
            key, colon, value = line.decode("latin-1").replace("\0", " ").partition(":")
            if colon:
                header.setdefault(key.strip(), value.strip())
            if not line:
                break
        raise DataError(
            f"E-DATA-018: {self.path} has no line 'Recorded Data' behind its header, expected pages of samples; "
            "download it from the device again"
        )

    def _frequency(self, text: str) -> float:
        found = re.match(r"(\d{1,4}(?:[.,]\d+)?)", text)
        rate = float(found[1].replace(",", ".")) if found else 0.0
        if not rate > 0:
            raise DataError(
                f"E-DATA-018: {self.path} has Measurement Frequency {text!r} in its header, expected samples per "
                "second such as 85.7 Hz; download it from the device again"
            )
        return rate

    def _scan(self) -> _Pages:
        pages = _Pages()
        fields: dict[str, str] | None = None
        with self.path.open("rb") as file:
            offset = file.seek(self._first_page)
            while line := file.readline(_LONGEST_LINE):
                text = line.strip()
                if text == b"Recorded Data":
                    pages.n_bad += fields is not None
                    fields = {}
                elif fields is not None and b":" in text:
                    key, _, value = text.decode("latin-1").partition(":")
                    fields[key.strip()] = value.replace("\0", " ").strip()
                elif fields is not None and text:
                    self._take(pages, fields, text, offset + line.index(text[:1]))
                    fields = None
                offset += len(line)
        pages.n_bad += fields is not None
        return _of_one_length(pages)

    def _take(self, pages: _Pages, fields: Mapping[str, str], digits: bytes, offset: int) -> None:
        """Add a page if it is whole."""
        time_s = _seconds(fields.get("Page Time", ""))
        if time_s is None or not _DIGITS.fullmatch(digits):
            pages.n_bad += 1
            return
        rate = self._frequency(fields.get("Measurement Frequency", "") or str(self.rate_hz))
        if abs(rate / self.rate_hz - 1) > 0.02:
            raise DataError(
                f"E-DATA-018: {self.path} goes from {self.rate_hz:g} to {rate:g} Hz in page "
                f"{len(pages.n) + pages.n_bad}, expected one rate in a file; split the file there"
            )
        pages.offset.append(offset)
        pages.n.append(len(digits) // 12)
        pages.time_s.append(time_s)
        pages.temperature.append(_number(fields.get("Temperature", "")))

    def _decode(
        self, file: BinaryIO, pages: _Pages, start: int, stop: int, part: Path
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Acceleration (n, 3) and light (n,) of some good pages: actfast gets them as a file of their own."""
        lines = ["Device Identity", "Calibration Data", *(f"{key}:{int(self._header[key])}" for key in _CALIBRATION)]
        lines += ["", "Memory Status", f"Number of Pages:{stop - start}"]
        lines += [""] * (_HEADER_LINES - len(lines))
        for page in range(start, stop):
            file.seek(pages.offset[page])
            digits = file.read(12 * pages.n[page]).decode("ascii")
            lines += ["Recorded Data", "", "", "Page Time:2000-01-01 00:00:00:000", "", "", "", ""]
            lines += [f"Measurement Frequency:{self.rate_hz}", digits]
        part.write_text("\r\n".join(lines) + "\r\n", encoding="ascii", newline="")
        table = read_with_actfast(part, self.path)
        n = sum(pages.n[start:stop])
        if table["acceleration"].shape != (n, 3):
            raise DataError(
                f"E-DATA-018: actfast gives {len(table['acceleration'])} samples of pages {start} to {stop - 1} of "
                f"{self.path}, they have {n}; report this file"
            )
        return table["acceleration"] * np.float32(GRAVITY), table["light"]


def _of_one_length(pages: _Pages) -> _Pages:
    """Pages as long as most are, and a shorter last one; digits are missing within others."""
    n = np.array(pages.n, np.int64)
    usual = np.bincount(n).argmax() if len(n) else 0
    keep = (n == usual) | ((np.arange(len(n)) == len(n) - 1) & (n < usual))
    kept = np.flatnonzero(keep).tolist()
    return _Pages(
        [pages.offset[i] for i in kept], [pages.n[i] for i in kept], [pages.time_s[i] for i in kept],
        [pages.temperature[i] for i in kept], pages.n_bad + len(n) - len(kept),
    )  # fmt: skip


def _without_outliers(time_s: NDArray[np.float64], length_s: NDArray[np.float64]) -> tuple[NDArray[np.float64], int]:
    """Page times, with those replaced that lie off both neighbours while these follow one another without a gap.

    Pages have no checksum; a wrong digit would else be a gap and a clock that was set back.
    """
    off = np.abs(np.diff(time_s) - length_s[:-1]) > _OFF_S
    follow = np.abs(time_s[2:] - time_s[:-2] - length_s[:-2] - length_s[1:-1]) <= _OFF_S
    alone = np.flatnonzero(off[:-1] & off[1:] & follow) + 1
    mended = time_s.copy()
    mended[alone] = time_s[alone - 1] + length_s[alone - 1]
    return mended, len(alone)


def _seconds(text: str) -> float | None:
    """A page's time in seconds since 1970, None where it is none."""
    found = _TIME.fullmatch(text)
    try:
        parts = [int(g) for g in found.groups()] if found else []
        return (datetime(*parts[:6]) - datetime(1970, 1, 1)).total_seconds() + parts[6] / 1000  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None


def _number(text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        return float("nan")
