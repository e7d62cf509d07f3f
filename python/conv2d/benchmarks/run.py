"""The parts of the benchmark, and all of them in one run."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from conv2d.benchmarks import fsq, hsmm, smoothing, stream
from conv2d.benchmarks.machine import is_throttled
from conv2d.benchmarks.measure import Row

Part = Callable[..., Iterator[Row]]
PARTS: dict[str, Part] = {"hsmm": hsmm.rows, "fsq": fsq.rows, "smoothing": smoothing.rows, "stream": stream.rows}

QUICK_SECONDS, SECONDS = 0.2, 3.0


def run_benchmarks(
    parts: Sequence[str] = tuple(PARTS), *, quick: bool = False, done: Callable[[Row], None] = lambda row: None
) -> list[Row]:
    """Measure the rows of these parts one after the other; ``done`` is told each.

    ``quick`` takes small sizes and 0.2 seconds a row: what it gives says that everything runs, and little about speed.
    A row that was taken while the processor was throttled says so in its reason.

    Raises
    ------
    ValueError
        A part that is none.

    >>> [row.name for row in run_benchmarks(["stream"], quick=True)]
    ['10^9 frames streamed']
    """
    found = []
    for part in parts:
        if part not in PARTS:
            raise ValueError(f"the part is {part!r}, expected one of {', '.join(PARTS)}")
        before = is_throttled()
        for row in PARTS[part](QUICK_SECONDS if quick else SECONDS, quick=quick):
            after = is_throttled()
            if (before or after) and row.figure is not None:
                row = _marked(row)
            before = after
            found.append(row)
            done(row)
    return found


def _marked(row: Row) -> Row:
    return replace(row, reason="; ".join(filter(None, ["taken while the processor was THROTTLED", row.reason])))
