"""Files and folders written aside and renamed, so that what stands under a name is always whole."""

import errno
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
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


def refuse_foreign(path: Path, *, mark: str) -> None:
    """Refuse an output folder that may not be made or replaced: to be asked before the work, not after it.

    What stands under the path is replaced when it is an empty folder, or one that holds the file ``mark``, by which it
    is known to be of the same kind. The working directory is not: a shell would be left in a folder that is gone.

    Raises
    ------
    UsageError
        Something else stands there (E-OUT-001).
    OSError
        No folder can be made there, for the lack of permission or since a file stands above.
    """
    place = Path(os.path.realpath(path))
    if Path.cwd().is_relative_to(place):
        raise UsageError(
            f"E-OUT-001: {path} is the working directory or holds it, so it is not replaced; choose another --output"
        )
    above = next(parent for parent in place.parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK | os.X_OK):
        reason = errno.EACCES if above.is_dir() else errno.ENOTDIR
        raise OSError(reason, os.strerror(reason), str(above))
    if not is_free(place) and not (place.is_dir() and (place / mark).is_file()):
        raise UsageError(
            f"E-OUT-001: {path} exists and is not a folder with {mark} in it, so it is not replaced; "
            "choose another --output"
        )


@contextmanager
def folder_aside(path: Path, *, mark: str, keep: str | None = None) -> Iterator[Path]:
    """Give a folder to write into, and put it in the place of ``path`` at the end; see `refuse_foreign` for ``mark``.

    The folder is ``<path>.writing``, removed after an error. With ``keep`` it is ``<path>.partial``, which stays after
    an error where something in it matches this pattern, or it was there before: the next call goes on in it.

    Raises
    ------
    UsageError
        Before anything is written: something else stands under the path (E-OUT-001), or another process is writing
        there (E-OUT-004).
    """
    refuse_foreign(path, mark=mark)
    path = Path(os.path.realpath(path))  # a link goes on pointing to the folder, whatever is in it
    # Two names, so that no result is ever written over a training that can be gone on with.
    aside = path.with_name(f"{path.name}.{'partial' if keep else 'writing'}")
    found, held = aside.exists(), False
    try:
        aside.mkdir(parents=True, exist_ok=True)
        with _locked(aside):
            try:
                held = True
                if not keep:
                    _empty(aside)
                yield aside
                _put(aside, path)
            except BaseException:
                if not keep or not (found or any(aside.glob(keep))):
                    shutil.rmtree(aside, ignore_errors=True)
                raise
    except BaseException as error:
        if not (held or found or isinstance(error, UsageError)):  # an interrupt before the lock was ours
            with suppress(OSError):
                aside.rmdir()
        raise


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold a folder for this process; the lock ends with the process, however that ends."""
    taken = UsageError(
        f"E-OUT-004: {folder} is being written by another process, expected one at a time; wait for it or "
        "choose another --output"
    )
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise taken from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):  # some network file systems know no locks
                raise
        if not folder.exists() or not os.path.samestat(os.fstat(handle), folder.stat()):
            raise taken from None  # it was put in its place, or cleared away, before the lock was ours
        yield
    finally:
        os.close(handle)


def _empty(folder: Path) -> None:
    for child in folder.iterdir():
        shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()


def _put(aside: Path, path: Path) -> None:
    if not path.exists():
        os.replace(aside, path)
        return
    old = Path(tempfile.mkdtemp(prefix=f"{path.name}.replaced-", dir=path.parent))
    try:
        os.replace(path, old / path.name)
        try:
            os.replace(aside, path)
        except BaseException:
            os.replace(old / path.name, path)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
