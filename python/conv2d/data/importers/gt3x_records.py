"""The records of a ``log.bin`` of ActiGraph, one after the other."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

import numpy as np

_SEPARATOR = 0x1E
_HEAD = struct.Struct("<BBIH")  # separator, kind, seconds, bytes of payload
_READ = 1 << 20
_LONGEST = _HEAD.size + 0xFFFF + 1


@dataclass(frozen=True, eq=False)
class Record:
    """One record: its kind, the second that it belongs to (since 1970, by the monitor's clock), and its content."""

    kind: int
    time: int
    payload: bytes


def read_records(log: IO[bytes], damage: dict[str, int]) -> Iterator[Record]:
    """Records whose checksum is right. ``damage`` counts the ``checksum`` failures and the ``bytes`` passed over.

    Zero bytes between records are normal. Where there is no record, the next one is looked for that has a right
    checksum and is followed by another, by zero or by the end: garbage is taken for a record once in 30,000 tries at
    most.

    Cost: O(bytes); memory for 2 MB.
    """
    buffer, at, ended, lost = b"", 0, False, False
    while True:
        if not ended and len(buffer) - at <= _LONGEST:
            more = log.read(_READ)
            ended = not more
            buffer, at = buffer[at:] + more, 0
            continue
        if at >= len(buffer):
            return
        if buffer[at] == 0:
            at += 1
            continue
        found, size, then = _record(buffer, at)
        if found is not None and (then in (None, 0, _SEPARATOR) or not lost):
            lost = False
            at += size
            yield found
        elif size and then in (None, _SEPARATOR) and not lost:  # damaged, but its length is right
            damage["checksum"] = damage.get("checksum", 0) + 1
            at += size
        else:
            lost = True
            following = buffer.find(_SEPARATOR, at + 1)
            following = following if following >= 0 else len(buffer)
            damage["bytes"] = damage.get("bytes", 0) + following - at
            at = following


def _record(buffer: bytes, at: int) -> tuple[Record | None, int, int | None]:
    """The record at a place if its checksum is right, its bytes, and the byte that follows it; None at the end.

    A size of 0 stands for no record at all: no separator, or cut off by the end.
    """
    if buffer[at] != _SEPARATOR or at + _HEAD.size >= len(buffer):
        return None, 0, None
    _, kind, time, n = _HEAD.unpack_from(buffer, at)
    end = at + _HEAD.size + n
    if end >= len(buffer):
        return None, 0, None
    then = buffer[end + 1] if end + 1 < len(buffer) else None
    parity = int(np.bitwise_xor.reduce(np.frombuffer(buffer, np.uint8, end - at, at)))
    right = (parity ^ buffer[end]) == 0xFF
    return (Record(kind, time, buffer[at + _HEAD.size : end]) if right else None), _HEAD.size + n + 1, then
