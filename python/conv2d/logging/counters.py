"""Counts of what happened on the way, such as interpolated windows; they end up in the log as one event.

Counting needs no log and costs a lock and an addition, so any layer may do it. Counts are of this process only.
"""

import threading

_lock = threading.Lock()
_counts: dict[str, int] = {}


def count(name: str, n: int = 1) -> None:
    """Add ``n`` (a whole number, at least 0) to the counter of this name. Safe from any thread.

    Raises ``ValueError`` for a negative number: a counter only grows.
    """
    if n < 0:
        raise ValueError(f"counter {name!r} got {n}; expected a number of at least 0, since counters only grow")
    with _lock:
        _counts[name] = _counts.get(name, 0) + int(n)


def take_counts() -> dict[str, int]:
    """Return all counters by name, sorted, and begin again at nothing.

    Long work calls it at its beginning too, so that what an earlier one in this process has counted and not written
    down, since it failed, is not taken for its own.

    >>> _ = take_counts()
    >>> count("windows_interpolated", 3)
    >>> take_counts(), take_counts()
    ({'windows_interpolated': 3}, {})
    """
    with _lock:
        taken = dict(sorted(_counts.items()))
        _counts.clear()
        return taken
