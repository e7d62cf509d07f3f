"""Two calls measured in turns, and what a row of the table holds."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Call = Callable[[], Any]
_SHORT_S = 20e-6
_MOST_CALLS = 20_000


class Absent(Exception):
    """A peer that is not installed, or cannot run here; the message says why."""


@dataclass(frozen=True)
class Times:
    """Milliseconds of a call: the median and the least of ``calls``."""

    median_ms: float
    least_ms: float
    calls: int


@dataclass(frozen=True)
class Row:
    """A figure of the table.

    ``meaning`` says what ``figure`` is and which way is better: ``"faster"`` the peer's median over ours (higher is
    better), ``"times"`` ours over the peer's (lower is better), ``"nanoseconds"`` ours less the peer's a call (lower is
    better), ``"share"`` the peer's over ours where the peer does the least there is to do (higher is better),
    ``"seconds"`` ours alone. ``figure`` is None where it was not measured; ``reason`` says why.
    """

    part: str
    name: str
    size: str
    peer: str
    meaning: Literal["faster", "times", "nanoseconds", "share", "seconds"]
    least: float | None
    aim: float | None
    ours: Times | None = None
    theirs: Times | None = None
    figure: float | None = None
    reason: str = ""

    @property
    def reached(self) -> str:
        """``"aim"``, ``"least"``, ``"missed"``, ``""`` where nothing is asked, or ``"NOT_MEASURED"``."""
        if self.figure is None:
            return "NOT_MEASURED"
        sign = 1.0 if self.meaning in ("faster", "share") else -1.0
        for word, bound in (("aim", self.aim), ("least", self.least)):
            if bound is not None and sign * self.figure >= sign * bound:
                return word
        return "missed" if self.least is not None or self.aim is not None else ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "part": self.part, "name": self.name, "size": self.size, "peer": self.peer, "meaning": self.meaning,
            "figure": "NOT_MEASURED" if self.figure is None else self.figure, "least": self.least, "aim": self.aim,
            "reached": self.reached, "ours": None if self.ours is None else vars(self.ours),
            "theirs": None if self.theirs is None else vars(self.theirs), "reason": self.reason,
        }  # fmt: skip


def compare(ours: Call, theirs: Call, seconds: float, fewest: int = 3) -> tuple[Times, Times]:
    """Call both in turns until ``seconds`` have passed, each ``fewest`` times at least, after one call to warm up.

    Calls of a few microseconds are timed in batches; the faster of the two is called several times a turn.
    """
    calls = (ours, theirs)
    batch, single = [1, 1], [0.0, 0.0]
    for n, call in enumerate(calls):
        call()
        while (spent := _seconds(call, batch[n])) < _SHORT_S and batch[n] < 1 << 16:
            batch[n] *= 2
        single[n] = spent
    turns = [max(1, min(20, int(max(single) / max(single[n], 1e-9)))) for n in range(2)]
    found: tuple[list[float], list[float]] = ([], [])
    begin = time.perf_counter()
    while len(found[0]) < _MOST_CALLS and (
        min(len(found[0]), len(found[1])) < fewest or time.perf_counter() - begin < seconds
    ):
        for n, call in enumerate(calls):
            for _ in range(turns[n]):
                found[n].append(_seconds(call, batch[n]) / batch[n])
    return _times(found[0], batch[0]), _times(found[1], batch[1])


def alone(call: Call, seconds: float, fewest: int = 3) -> Times:
    """Measure one call as `compare` does, without a peer."""
    call()
    found: list[float] = []
    begin = time.perf_counter()
    while len(found) < fewest or (time.perf_counter() - begin < seconds and len(found) < _MOST_CALLS):
        found.append(_seconds(call, 1))
    return _times(found, 1)


def _seconds(call: Call, batch: int) -> float:
    begin = time.perf_counter()
    for _ in range(batch):
        call()
    return time.perf_counter() - begin


def _times(seconds: list[float], batch: int) -> Times:
    return Times(1e3 * float(np.median(seconds)), 1e3 * min(seconds), len(seconds) * batch)
