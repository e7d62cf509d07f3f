"""Files and folders written aside and renamed, so that what stands under a name is always whole."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conv2d.errors import DataError, UsageError


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write a JSON object; ValueError for NaN or infinity, which JSON does not have."""
    aside = path.with_name(path.name + ".partial")
    aside.write_text(json.dumps(values, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(aside, path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; DataError E-RUN-001 names a file that is missing, cut off or something else."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(
            f"E-RUN-001: {path} is missing; the folder is not what was expected or was not copied whole"
        ) from None
    except (OSError, ValueError) as error:
        raise DataError(f"E-RUN-001: {path} cannot be read as JSON ({error}); copy it again or make it anew") from None
    if not isinstance(values, dict):
        raise DataError(f"E-RUN-001: {path} holds a {type(values).__name__}, expected an object; make it anew")
    return values


def is_free(path: Path) -> bool:
    """Whether nothing stands under a path, or an empty folder."""
    return not path.exists() or (path.is_dir() and not any(path.iterdir()))


@contextmanager
def folder_aside(path: Path, *, mark: str, keep: bool = False) -> Iterator[Path]:
    """Give a folder ``<path>.partial`` to write into, and put it in the place of ``path`` at the end.

    A folder that stands there is replaced only when it is empty or holds the file ``mark``, by which it is known to be
    of the same kind. After an error the folder aside is removed; with ``keep`` it stays, and the next call goes on in
    it.

    Raises
    ------
    UsageError
        Something else stands under the path (E-OUT-001), before anything is written.
    """
    if not is_free(path) and not (path.is_dir() and (path / mark).is_file()):
        raise UsageError(
            f"E-OUT-001: {path} exists and is not a folder with {mark} in it, so it is not replaced; "
            "choose another --output"
        )
    aside = path.with_name(path.name + ".partial")
    if not keep and aside.exists():
        shutil.rmtree(aside)
    aside.mkdir(parents=True, exist_ok=True)
    try:
        yield aside
    except BaseException:
        if not keep:
            shutil.rmtree(aside, ignore_errors=True)
        raise
    _put(aside, path)


def _put(aside: Path, path: Path) -> None:
    old = path.with_name(path.name + ".replaced")
    if path.exists():
        os.replace(path, old)
    os.replace(aside, path)
    shutil.rmtree(old, ignore_errors=True)
