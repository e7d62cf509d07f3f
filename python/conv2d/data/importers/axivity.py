"""Axivity AX3 and AX6 loggers, ``.cwa``.

::

    conv2d data import cwa SOURCE OUT [--map FILE]

SOURCE is a file, a folder or a pattern; each file becomes a recording. The keys of the mapping, all optional, stand in
`conv2d.data.importers.device_files`. Samples are decoded by ``actfast`` (``pip install 'conv2d[devices]'``), a few
thousand blocks at a time, so that memory does not grow with the file.

What comes out: ``acc_*`` in m/s^2 and, where the logger has one that was on, ``gyr_*`` in rad/s; ``temperature_c`` of
the logger, one value a block. A magnetometer and the light sensor are left out. ``start`` is the logger's clock, which
is that of the computer that set it up, without zone and without daylight saving time.

Times: a block has one stamp, and the true rate differs from the nominal one (98.9 instead of 100 Hz is usual). Samples
are timed by smoothed stamps (`conv2d.data.importers.block_clock`), not in nominal steps from each stamp as ``actfast``
does. Blocks with a wrong checksum or without a valid time are left out, leave a gap, and are counted in the notes. A
clock that is set back, as after an empty battery, begins a new recording ``<file>_2``.

Source: Open Movement, ``Docs/ax3/ax3-technical.md`` and ``cwa.h``.
"""

import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.actfast_reader import read_with_actfast
from conv2d.data.importers.block_clock import BlockClock, fit_blocks
from conv2d.data.importers.device_files import ACC, GYR, Chunk, import_device_files
from conv2d.data.importers.registry import FORMATS
from conv2d.data.importers.result import ImportResult
from conv2d.data.meta import format_rate
from conv2d.data.units import GRAVITY, RADIANS
from conv2d.errors import DataError

_HEADER, _BLOCK = 1024, 512
_BLOCKS_AT_ONCE = 2048
_FIELDS = np.dtype(
    [
        ("magic", "S2"), ("length", "<u2"), ("fraction", "<u2"), ("session", "<u4"), ("sequence", "<u4"),
        ("stamp", "<u4"), ("scale", "<u2"), ("temperature", "<u2"), ("events", "u1"), ("battery", "u1"), ("rate", "u1"),
        ("layout", "u1"), ("at", "<i2"), ("n", "<u2"), ("data", "V480"), ("checksum", "<u2"),
    ]
)  # fmt: skip
_KEPT = ("fraction", "stamp", "scale", "temperature", "rate", "layout", "at", "n")


def import_cwa(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Import ``.cwa`` files as a dataset folder at ``out``, which must be new or empty; see the module.

    Raises
    ------
    ConfigError
        E-DATA-017: the mapping is off.
    DataError
        E-DATA-018: a file cannot be read, holds no acceleration, or ``actfast`` is not installed. E-DATA-007: files of
        different rates. E-DATA-012: the output exists.

    Cost: two passes over each file, 4 s per day at 100 Hz; memory for 2048 blocks of samples.
    """
    return import_device_files(
        source, out, mapping, open_reader=CwaFile, maker="axivity", patterns=FORMATS["cwa"].patterns,
        quality=("temperature_c",), progress=progress,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class _Blocks:
    """The good blocks of a file, (B,) each: where they lie, how many samples they hold, and when."""

    where: NDArray[np.int64]  # number of the block in the file
    n: NDArray[np.int64]
    stamp_s: NDArray[np.float64]
    at: NDArray[np.int64]
    scale: NDArray[np.uint8]
    temperature: NDArray[np.float32]


class CwaFile:
    """One ``.cwa`` file; its header and its first good block are read at once, the rest by `chunks`."""

    def __init__(self, path: Path) -> None:
        """DataError E-DATA-018 where this is no such file or it has no good block."""
        self.path = path
        self.notes: list[str] = []
        with path.open("rb") as file:
            self._header = file.read(_HEADER)
            if self._header[:2] != b"MD":
                raise DataError(
                    f"E-DATA-018: {path} does not begin with MD as .cwa files of Axivity do; name another file, "
                    "unpacked if it was compressed"
                )
            if len(self._header) < _HEADER:
                raise DataError(f"E-DATA-018: {path} ends within its header; download it from the device again")
            first = next((blocks[good][0] for blocks, good in _blocks(file) if good.any()), None)
        if first is None:
            raise DataError(
                f"E-DATA-018: {path} holds no block of samples with a right checksum and a valid time, expected at "
                "least one; download it from the device again"
            )
        self._format = (int(first["rate"]), int(first["layout"]))
        self.rate_hz = 3200 / (1 << (15 - (self._format[0] & 15)))
        self.channels: tuple[str, ...] = _channels(path, self._format[1])
        hardware, low = struct.unpack_from("<BH", self._header, 4)
        high = struct.unpack_from("<H", self._header, 11)[0]
        note = self._header[64:512].split(b"\xff")[0].split(b"\0")[0].decode("latin-1").strip()
        self.location = parse_qs(note).get("_p", [""])[0].strip()
        self.facts = {
            "device": {0x64: "AX6", 0x00: "AX3", 0x17: "AX3", 0xFF: "AX3"}.get(hardware, "Axivity"),
            "serial": str(low | (high << 16 if high != 0xFFFF else 0)),
        }

    def chunks(self) -> Iterator[Chunk]:
        """Samples in the order of the file."""
        blocks = self._scan()
        # The step between blocks is 0.4 s or more at 100 Hz. A stamp jumps by a few samples, a lost block by all of
        # its.
        lost = float(np.median(blocks.n)) / self.rate_hz / 2
        clock = fit_blocks(blocks.n, blocks.stamp_s, blocks.at, self.rate_hz, gap_s=lost, back_s=lost)
        if clock.n_gaps:
            self.notes.append(f"gaps: {clock.n_gaps}, {clock.gap_s:.1f} s in all")
        if abs(clock.rate_hz / self.rate_hz - 1) > 5e-3:
            self.notes.append(f"sampled at {clock.rate_hz:.2f} Hz by its clock, nominally {format_rate(self.rate_hz)}")
        with tempfile.TemporaryDirectory() as folder, self.path.open("rb") as file:
            for start, stop in _groups(blocks, clock):
                samples = self._decode(file, blocks, start, stop, Path(folder) / "part.cwa")
                yield Chunk(
                    clock.times(start, stop), samples,
                    {"temperature_c": np.repeat(blocks.temperature[start:stop], blocks.n[start:stop])},
                    clock_went_back=bool(clock.went_back[start]), share=stop / len(blocks.n),
                )  # fmt: skip

    def _scan(self) -> _Blocks:
        kept: dict[str, list[NDArray[Any]]] = {name: [] for name in ("where", *_KEPT)}
        n_blocks = 0
        with self.path.open("rb") as file:
            file.seek(_HEADER)
            for blocks, good in _blocks(file):
                kept["where"].append(n_blocks + np.flatnonzero(good))
                for name in _KEPT:
                    kept[name].append(blocks[name][good])
                n_blocks += len(blocks)
            rest = (file.seek(0, 2) - _HEADER) % _BLOCK
        table = {name: np.concatenate(parts) for name, parts in kept.items()}
        where = table["where"]
        if rest:
            self.notes.append(f"the file ends within a block, {rest} bytes of it were left out")
        if n_blocks > len(where):
            self.notes.append(f"{n_blocks - len(where)} of {n_blocks} blocks are damaged or empty and were left out")
        formats = np.stack([table["rate"], table["layout"]], 1)
        other = np.flatnonzero((formats != np.array(self._format)).any(1))
        if len(other):
            raise DataError(
                f"E-DATA-018: {self.path} changes its rate, range or sensors in block {where[other[0]]}, expected one "
                "setting in a file; split the file there"
            )
        stamp, at = _stamps(table)
        return _Blocks(
            where, table["n"].astype(np.int64), stamp, at, (table["scale"] >> 10).astype(np.uint8),
            ((table["temperature"] & 0x3FF).astype(np.float32) * 75 / 256 - 50).astype(np.float32),
        )  # fmt: skip

    def _decode(self, file: Any, blocks: _Blocks, start: int, stop: int, part: Path) -> NDArray[np.float32]:
        """Samples of some good blocks, (n, C): actfast gets them as a file of their own, behind the header."""
        where = blocks.where[start:stop]
        file.seek(_HEADER + int(where[0]) * _BLOCK)
        raw = np.frombuffer(file.read(int(where[-1] - where[0] + 1) * _BLOCK), np.uint8).reshape(-1, _BLOCK)
        part.write_bytes(self._header + raw[where - where[0]].tobytes())
        table = read_with_actfast(part, self.path)
        n = int(blocks.n[start:stop].sum())
        signals = [table["acceleration"] * np.float32(GRAVITY)]
        if GYR[0] in self.channels:
            # Without a code of its range the maker's reader takes 2000 degrees a second, actfast 8000.
            part_of_range = 0.25 if not blocks.scale[start] & 7 else 1.0
            signals.append(table["gyroscope"] * np.float32(RADIANS * part_of_range))
        if any(s.shape != (n, 3) for s in signals):
            raise DataError(
                f"E-DATA-018: actfast gives {len(signals[0])} samples of blocks {where[0]} to {where[-1]} of "
                f"{self.path}, their headers say {n}; report this file"
            )
        return np.concatenate(signals, axis=1)


def _blocks(file: Any) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """All blocks from here on, a few thousand at a time, and which of them are good."""
    while raw := file.read(_BLOCKS_AT_ONCE * _BLOCK):
        blocks = np.frombuffer(raw[: len(raw) // _BLOCK * _BLOCK], _FIELDS)
        yield blocks, _is_good(blocks)


def _is_good(blocks: NDArray[Any]) -> NDArray[np.bool_]:
    words = blocks.view("<u2").reshape(-1, _BLOCK // 2)
    axes = np.where(blocks["layout"] & 15, blocks["layout"] >> 4, 2)  # packed samples take 4 bytes
    fits = blocks["n"] * axes.astype(np.uint32) * 2 <= 480
    # A rate of 0 is that of firmware before 2011, which wrote no checksum and no rate here.
    good: NDArray[np.bool_] = (
        (blocks["magic"] == b"AX") & (words.sum(1, dtype=np.uint16) == 0) & (blocks["rate"] != 0)
        & (blocks["n"] > 0) & fits & ~np.isnat(_dates(blocks["stamp"]))
    )  # fmt: skip
    return good


def _dates(stamp: NDArray[np.uint32]) -> NDArray[np.datetime64]:
    """Packed dates, bits YYYYYYMM MMDDDDDh hhhhmmmm mmssssss, as seconds; NaT where there is no such date."""
    bits = stamp.astype(np.int64)
    month, day = (bits >> 22) & 15, (bits >> 17) & 31
    hour, minute, second = (bits >> 12) & 31, (bits >> 6) & 63, bits & 63
    months = ((30 + (bits >> 26)) * 12 + month - 1).astype("datetime64[M]")
    days = months.astype("datetime64[D]") + (day - 1)
    wrong = (month < 1) | (month > 12) | (day < 1) | (days.astype("datetime64[M]") != months)
    wrong |= (hour > 23) | (minute > 59) | (second > 59)
    dates = days.astype("datetime64[s]") + (hour * 3600 + minute * 60 + second)
    return np.where(wrong, np.datetime64("NaT"), dates)


def _stamps(blocks: Mapping[str, NDArray[Any]]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Seconds of each block's stamp, and which of its samples that belongs to.

    Firmware that knows fractions of a second moves the sample's number back by what the fraction amounts to at the
    nominal rate, for readers that know none; this undoes it.
    """
    seconds = _dates(blocks["stamp"]).astype(np.int64).astype(np.float64)
    fraction = np.where(blocks["fraction"] & 0x8000, (blocks["fraction"].astype(np.int64) & 0x7FFF) << 1, 0)
    rate = (3200 >> (15 - (blocks["rate"] & 15)).astype(np.int64)).astype(np.int64)
    return seconds + fraction / 65536, blocks["at"].astype(np.int64) + ((fraction * rate) >> 16)


def _groups(blocks: _Blocks, clock: BlockClock) -> Iterator[tuple[int, int]]:
    """Runs of blocks that are decoded together: of one stretch and, since actfast takes one from the first, one "
    "scale."""
    apart = np.diff(blocks.where) > _BLOCKS_AT_ONCE  # so much else between them need not be read
    change = np.flatnonzero((np.diff(clock.stretch) != 0) | (np.diff(blocks.scale) != 0) | apart) + 1
    for start, stop in zip([0, *change], [*change, len(blocks.n)], strict=True):
        for at in range(int(start), int(stop), _BLOCKS_AT_ONCE):
            yield at, min(at + _BLOCKS_AT_ONCE, int(stop))


def _channels(path: Path, layout: int) -> tuple[str, ...]:
    axes, width = layout >> 4, layout & 15
    if (width == 0 and axes == 3) or (width == 2 and axes == 3):
        return ACC
    if width == 2 and axes in (6, 9):
        return (*ACC, *GYR)
    raise DataError(
        f"E-DATA-018: {path} stores its samples as 0x{layout:02x}, expected acceleration of an AX3 (0x30, 0x32) or an "
        "AX6 (0x62, 0x92); export it with the maker's software"
    )
