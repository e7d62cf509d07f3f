"""Streaming at a billion frames, from fewer: what a core takes, and that its memory stays where it was."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from conv2d.benchmarks.hsmm import make_problem
from conv2d.benchmarks.measure import Row, Times
from conv2d_core import HsmmStream

PART = "stream"
BILLION = 1_000_000_000
_PIECE = 100_000


def resident_mb() -> float | None:
    """Memory of this process in megabytes; None where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * 4096 / 1e6


def rows(seconds: float, *, quick: bool) -> Iterator[Row]:
    """One row: K = 8, D = 200, pushed in pieces of 100,000 frames.

    A recording of a few pieces is pushed over and over. `seconds` bounds nothing here, since the frames are counted.
    """
    frames = 1_000_000 if quick else 10_000_000
    problem = make_problem(4 * _PIECE, 8, 200)
    pieces = np.split(problem.emissions, 4)
    stream = HsmmStream(problem.transitions, problem.initial, problem.durations, "right", check_frames=_PIECE)
    for piece in pieces:
        stream.push(piece)
    before = resident_mb()
    spent, turns = [], frames // _PIECE
    for turn in range(turns):
        begin = time.perf_counter()
        stream.push(pieces[turn % len(pieces)])
        spent.append(time.perf_counter() - begin)
    after = resident_mb()
    ours = Times(1e3 * float(np.median(spent)), 1e3 * min(spent), turns)
    figure = sum(spent) / frames * BILLION
    grown = "NOT_MEASURED" if before is None or after is None else f"{after - before:+.1f} MB"
    yield Row(
        PART, "10^9 frames streamed", f"K=8 D=200, one core, from {frames:,} frames", "none has it", "seconds", 90, 45,
        ours, None, figure, f"extrapolated from {frames:,} frames; memory {grown}; bench/soak runs all of them",
    )  # fmt: skip
