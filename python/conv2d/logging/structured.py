"""The log of a run as JSON lines: when, how grave, what, in which run, and the fields of the event.

Each line is an object with ``timestamp`` (UTC, ISO 8601), ``level``, ``logger``, ``event``, then what ``bind_run`` has
bound (config hash, seed, levels, data hash), then the fields of the event.
"""

import logging
from collections.abc import MutableMapping, Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import structlog
from structlog.typing import FilteringBoundLogger

from conv2d.errors import UsageError
from conv2d.logging.counters import take_counts
from conv2d.logging.jsonlines import append_line, open_log, to_json

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
RESERVED = ("timestamp", "level", "logger", "event", "non_finite")


class _Log:
    """The log that is written at present. There is one of a process, as there is one run."""

    def __init__(self) -> None:
        self.logger: FilteringBoundLogger | None = None
        self.run: dict[str, Any] = {}


_current = _Log()


class _Writer:
    """What structlog calls with the finished line, under the name of the level."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def msg(self, line: str) -> None:
        append_line(self.path, line)

    debug = info = warning = error = critical = msg


def setup_logging(
    name: str = "conv2d", output_file: str | Path = "training.log", level: str = "info"
) -> FilteringBoundLogger:
    """Begin a log and return its logger: ``logger.info("event", field=1)`` appends a line to the file.

    The file and its folder are made where they are missing; a log that is there is continued. What was bound
    belongs to the log before; counters go on. No handler of the standard library is added and no file is kept open, so
    calling it again is harmless, and the loggers of earlier calls go on writing to their own files.

    ``level`` ("debug", "info", "warning" or "error") is the lowest that is written.

    Raises ``UsageError`` for another level and ``OSError`` where the file cannot be written.

    >>> import json, pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder) / "training.log"
    ...     logger = setup_logging(name="conv2d", output_file=file)
    ...     logger.info("epoch", number=1, loss=0.31)
    ...     line = json.loads(file.read_text())
    >>> line["level"], line["event"], line["number"], line["loss"]
    ('info', 'epoch', 1, 0.31)
    """
    if str(level).lower() not in LEVELS:
        close = get_close_matches(str(level).lower(), LEVELS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else "use one of them"
        raise UsageError(f"log level {level!r} is not one of {', '.join(LEVELS)}; {hint}")
    path = Path(output_file).absolute()  # the working directory may change under a long run
    open_log(path)
    run: dict[str, Any] = {}

    def finish(_: Any, method: str, event: MutableMapping[str, Any]) -> str:
        fields = {f"{key}_" if key in RESERVED else key: value for key, value in event.items() if key != "event"}
        head = {
            "timestamp": datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
            "level": method,
            "logger": name,
            "event": event.get("event"),
        }
        return to_json({**head, **run, **fields})

    logger: FilteringBoundLogger = structlog.wrap_logger(
        _Writer(path),
        processors=[structlog.processors.format_exc_info, finish],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[str(level).lower()]),
        cache_logger_on_first_use=False,
    )
    _current.logger, _current.run = logger, run
    return logger


def current_logger() -> FilteringBoundLogger | None:
    """Return the logger of the last ``setup_logging``, None where there was none."""
    return _current.logger


def bind_run(**fields: Any) -> None:
    """Add fields to every line of the present log from now on, such as config_hash, seed, levels, data_hash.

    A field that is bound again is replaced. Raises ``UsageError`` before ``setup_logging`` and for a reserved name.
    """
    _need_log("bind_run")
    if taken := [key for key in fields if key in RESERVED]:
        raise UsageError(f"bind_run got {', '.join(taken)}, which every line has already; use another name")
    _current.run.update(fields)


def log_fsq_config(levels: Sequence[int], embedding_dim: int, codebook_size: int) -> None:
    """Write down how codes are made: the levels of each dimension, their product, and the width of the embedding.

    Raises ``UsageError`` before ``setup_logging`` and where the codebook is not the product of the levels.
    """
    product = 1
    for count in levels:
        product *= int(count)
    if product != codebook_size:
        raise UsageError(
            f"log_fsq_config got codebook_size={codebook_size}, but levels {list(levels)} make {product} codes; "
            "pass their product"
        )
    _need_log("log_fsq_config").info(
        "fsq_config", fsq_levels=[int(n) for n in levels], embedding_dim=embedding_dim, codebook_size=codebook_size
    )


def log_counters() -> None:
    """Write all counters (see ``conv2d.logging.counters``) as one event and begin again; nothing where none counted.

    Raises ``UsageError`` before ``setup_logging``.
    """
    logger = _need_log("log_counters")
    if counters := take_counts():
        logger.info("counters", counters=counters)


def _need_log(verb: str) -> FilteringBoundLogger:
    if _current.logger is None:
        raise UsageError(f"{verb} was called before setup_logging; call setup_logging(output_file=...) first")
    return _current.logger
