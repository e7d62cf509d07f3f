"""What a person sees when a command fails: one sentence and an exit code, never a traceback unless asked for."""

import errno
import os
import re
import sys
import traceback
from collections.abc import Iterator
from typing import NamedTuple

from conv2d.errors import Conv2dError, DataError

FAILED, USAGE, BAD_DATA, INTERRUPTED = 1, 2, DataError.exit_code, 130
# Modules of the optional extras, by the name of the extra that brings them.
EXTRAS = {
    **dict.fromkeys(("torch", "lightning", "torchmetrics", "sklearn", "scipy", "safetensors"), "train"),
    **dict.fromkeys(("pandas", "h5py"), "data"),
    "matplotlib": "viz",
}


class Failure(NamedTuple):
    """An error as it is shown: its sentence, its exit code, the kind of error and whether it was expected."""

    message: str
    exit_code: int
    kind: str
    expected: bool = True


def report_error(error: BaseException, *, json: bool = False, debug: bool = False) -> int:
    """Show an error on stderr and return the exit code.

    ``json`` shows an object ``{"error": {"message", "kind", "code", "exit_code"}}`` instead of a sentence. ``debug``,
    or ``CONV2D_DEBUG=1`` in the environment, shows the traceback before it.
    """
    if isinstance(error, BrokenPipeError):
        # Who reads our output has seen enough. What Python would still flush at its end has to go somewhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    if debug := debug or os.environ.get("CONV2D_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error, file=sys.stderr)
    failure = describe(error)
    message = failure.message
    if not failure.expected and not debug:
        message += "; add --debug (or CONV2D_DEBUG=1) for the traceback"
    if json:
        from json import dumps

        code = re.search(r"\bE-[A-Z]+-\d+\b", message)
        body = {"message": message, "kind": failure.kind, "code": code and code[0], "exit_code": failure.exit_code}
        print(dumps({"error": body}), file=sys.stderr)
    else:
        print(f"error: {message}", file=sys.stderr)
    _log(failure)
    return failure.exit_code


def describe(error: BaseException) -> Failure:
    """Return the sentence, exit code and kind of an error, whoever raised it."""
    kind = type(error).__name__
    if isinstance(error, KeyboardInterrupt) or kind == "Abort":  # typer's own name for a closed prompt
        return Failure("interrupted; what was begun is not complete", INTERRUPTED, "KeyboardInterrupt")
    if full := _full_disk(error):
        return Failure(full, BAD_DATA, "DiskFull")
    if isinstance(error, Conv2dError):
        return Failure(_one_line(str(error)), error.exit_code, kind)
    if callable(form := getattr(error, "format_message", None)):  # the parser's errors, of typer or of click
        return Failure(_usage(error, _one_line(form())), USAGE, "UsageError")
    if isinstance(error, ModuleNotFoundError) and (extra := EXTRAS.get((error.name or "").partition(".")[0])):
        message = f"this needs {error.name}, which is not installed; install it with pip install 'conv2d[{extra}]'"
        return Failure(message, FAILED, kind)
    if isinstance(error, MemoryError):
        return Failure("out of memory; use fewer or shorter recordings at a time, or a machine with more", FAILED, kind)
    if isinstance(error, OSError) and error.strerror and error.filename:
        return Failure(f"{error.filename}: {error.strerror}; check the path and its permissions", FAILED, kind)
    message = _one_line(str(error)) or "no message"
    return Failure(f"unexpected {kind}: {message}", FAILED, kind, expected=False)


def _usage(error: BaseException, message: str) -> str:
    """Return a parser's message in the form of ours, with the command whose help tells more."""
    message = message.rstrip(".")
    message = message[:1].lower() + message[1:]
    path = getattr(getattr(error, "ctx", None), "command_path", None)
    return f"{message}; see '{path} --help'" if path and not message.endswith("?") else message


def _full_disk(error: BaseException) -> str | None:
    """Return the sentence for a full disk, which libraries often wrap into errors of their own."""
    for inner in _chain(error):
        full = isinstance(inner, OSError) and inner.errno in (errno.ENOSPC, errno.EDQUOT)
        if full or os.strerror(errno.ENOSPC) in str(inner):
            where = f" at {inner.filename}" if isinstance(inner, OSError) and inner.filename else ""
            return f"the disk is full{where}; free some space or choose another --output"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _log(failure: Failure) -> None:
    """Write the failure into the log of the run, where there is one already."""
    structured = sys.modules.get("conv2d.logging.structured")
    logger = structured.current_logger() if structured else None
    if logger is not None:
        try:
            logger.error("failed", message=failure.message, kind=failure.kind, exit_code=failure.exit_code)
        except OSError:
            return  # the disk is full, or the run's folder is gone: the person has been told already
