"""Values to JSON lines, and lines to a file: nothing that is not JSON, no line in halves."""

import errno
import json
import math
import os
from collections.abc import Mapping
from datetime import date, datetime
from enum import Enum
from pathlib import Path
from typing import Any

DEEPEST = 20


def to_json(values: Mapping[str, Any]) -> str:
    """Return values as one line of JSON.

    NaN and infinity, which JSON does not have, become null, and ``non_finite`` says where they stood. numpy and torch
    scalars and arrays become numbers and lists; anything else that JSON does not have becomes its text.

    >>> to_json({"loss": float("nan"), "levels": (8, 6, 5)})
    '{"loss": null, "levels": [8, 6, 5], "non_finite": {"loss": "nan"}}'
    """
    found: dict[str, str] = {}
    plain = {str(key): _plain(value, str(key), found, 0) for key, value in values.items()}
    if found:
        plain["non_finite"] = found
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def append_line(path: Path, line: str) -> None:
    """Append a line to a file in one write, so that several processes may share it.

    Nothing is kept open between lines. Raises ``OSError``, also when the disk holds only a part of the line.
    """
    data = f"{line}\n".encode("utf-8", "backslashreplace")
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
    try:
        if os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    finally:
        os.close(descriptor)


def open_log(path: Path) -> None:
    """Make a log that can be appended to: its folder, the file, and an end to a line that a crash cut short."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def _plain(value: Any, where: str, found: dict[str, str], depth: int) -> Any:
    if isinstance(value, bool | int | str) or value is None:
        # Subclasses (an Enum of text, a bool of numpy) are shed, so that json sees plain values.
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        if math.isfinite(value):
            return float(value)
        found[where] = str(float(value))
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if depth >= DEEPEST:
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, f"{where}.{key}", found, depth + 1) for key, inner in value.items()}
    if isinstance(value, set | frozenset):
        value = sorted(value, key=str)
    if isinstance(value, list | tuple):
        return [_plain(inner, f"{where}[{place}]", found, depth + 1) for place, inner in enumerate(value)]
    if callable(convert := getattr(value, "tolist", None)):  # numpy and torch, without importing either
        return _plain(convert(), where, found, depth + 1)
    if isinstance(value, Enum):
        return _plain(value.value, where, found, depth + 1)
    return str(value)
