"""What long work reports to: a protocol, so that training and evaluation need not know who is watching."""

from types import TracebackType
from typing import Protocol


class Task(Protocol):
    """One stretch of work, such as the training of one fold: ``with progress.task("fold 1", 20) as task: ...``."""

    def advance(self, n: float = 1, *, note: str | None = None) -> None:
        """Say that ``n`` more steps are done; ``note`` is a short text such as "loss 0.31"."""

    def done(self, *, note: str | None = None) -> None:
        """Say that the stretch is over, however many steps were counted. Calling it twice does no harm."""

    def __enter__(self) -> "Task":
        """Begin; the work counts from when the task was made."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Say that the stretch is over, unless an error ends it."""


class Progress(Protocol):
    """Shows tasks while it is entered: ``with progress(...) as shown, shown.task("training", 20) as task: ...``."""

    def task(self, description: str, total: float | None = None) -> Task:
        """Begin a stretch of ``total`` steps, None where the number is not known."""

    def say(self, message: str) -> None:
        """Show a line of its own."""

    def __enter__(self) -> "Progress":
        """Begin to show."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop to show; what was raised inside goes on."""


class NullProgress:
    """Progress that nobody sees.

    >>> with NullProgress() as progress, progress.task("training", 2) as task:
    ...     task.advance(2, note="loss 0.31")
    """

    def task(self, description: str, total: float | None = None) -> Task:
        """Return a task that does nothing."""
        return _NullTask()

    def say(self, message: str) -> None:
        """Do nothing."""

    def __enter__(self) -> Progress:
        """Do nothing."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Do nothing."""


class _NullTask:
    def advance(self, n: float = 1, *, note: str | None = None) -> None:
        pass

    def done(self, *, note: str | None = None) -> None:
        pass

    def __enter__(self) -> Task:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
