"""How far long work is: bars on a terminal, plain lines elsewhere, nothing with ``--json``. Always on stderr."""

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO

from conv2d.logging.progress import NullProgress, Progress, Task

if TYPE_CHECKING:
    from rich.progress import Progress as RichBars
    from rich.progress import TaskID


def progress(*, json: bool = False, stream: TextIO | None = None, interval_s: float = 5.0) -> Progress:
    """Return what shows the progress of this command: ``with progress(json=json) as p: task = p.task("...", 20)``.

    Bars where the stream (stderr by default) is a terminal, elsewhere at most a line every ``interval_s`` seconds and
    task, nothing with ``json``.
    """
    stream = sys.stderr if stream is None else stream
    if json:
        return NullProgress()
    return Bars(stream) if stream.isatty() else Lines(stream, interval_s)


class Lines:
    """Progress as plain lines, for logs and pipes: one when a task begins, one now and then, one at its end."""

    def __init__(self, stream: TextIO, interval_s: float = 5.0, clock: Callable[[], float] = time.monotonic) -> None:
        """Write to ``stream``; ``clock`` gives seconds."""
        self.stream = stream
        self.interval_s = interval_s
        self.clock = clock
        self._open: list[_LineTask] = []

    def task(self, description: str, total: float | None = None) -> Task:
        """Begin a stretch of work."""
        task = _LineTask(self, description, total)
        self._open.append(task)
        return task

    def say(self, message: str) -> None:
        """Write a line."""
        print(message, file=self.stream, flush=True)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the tasks that are still open, unless an error ends them."""
        for task in self._open:
            if kind is None:
                task.done()


class _Task(ABC):
    """What both kinds of task share: to be over at the end of a ``with`` block, unless an error ends it."""

    @abstractmethod
    def done(self, *, note: str | None = None) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.done()


class _LineTask(_Task):
    def __init__(self, lines: Lines, description: str, total: float | None) -> None:
        self.lines, self.description, self.total = lines, description, total
        self.begun = self.shown = lines.clock()
        self.steps = 0.0
        self.over = False
        lines.say(f"{description} ...")

    def advance(self, n: float = 1, *, note: str | None = None) -> None:
        self.steps += n
        if self.lines.clock() - self.shown >= self.lines.interval_s:
            self.shown = self.lines.clock()
            of = f" {self.steps:g}/{self.total:g}" if self.total else f" {self.steps:g}"
            self.lines.say(f"{self.description}{of}{_noted(note)}")

    def done(self, *, note: str | None = None) -> None:
        if not self.over:
            self.over = True
            self.lines.say(f"{self.description} done in {self.lines.clock() - self.begun:.1f} s{_noted(note)}")


class Bars:
    """Progress as bars on a terminal, one a task."""

    def __init__(self, stream: TextIO) -> None:
        """Draw on ``stream``, a terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichBars

        self.bars = RichBars(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            console=Console(file=stream),
            # What goes to a pipe must not be caught and drawn above the bars.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._open: list[_BarTask] = []

    def task(self, description: str, total: float | None = None) -> Task:
        """Begin a stretch of work below those that are there."""
        task = _BarTask(self.bars, self.bars.add_task(description, total=total, note=""))
        self._open.append(task)
        return task

    def say(self, message: str) -> None:
        """Write a line above the bars."""
        self.bars.console.print(message, markup=False, highlight=False, soft_wrap=True)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Draw a last time; bars of tasks that an error has ended stay as they were."""
        for task in self._open:
            if kind is None:
                task.done()
        self.bars.stop()


class _BarTask(_Task):
    def __init__(self, bars: "RichBars", number: "TaskID") -> None:
        self.bars, self.number = bars, number

    def advance(self, n: float = 1, *, note: str | None = None) -> None:
        self.bars.advance(self.number, n)
        if note is not None:
            self.bars.update(self.number, note=note)

    def done(self, *, note: str | None = None) -> None:
        bar = self.bars.tasks[self.number]
        total = bar.completed or bar.total or 1  # work that ended early shows how far it came
        self.bars.update(self.number, total=total, completed=total)
        if note is not None:
            self.bars.update(self.number, note=note)


def _noted(note: str | None) -> str:
    return f"  {note}" if note else ""
