"""Labels of a join from files of their own: rows of start, end and label on the host's clock."""

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.assembly import file_stem
from conv2d.data.importers.mapping import Subject, TableMapping
from conv2d.data.importers.tables import find_files
from conv2d.data.joining.plan import JoinPlan
from conv2d.data.joining.steps import HostStep, settle_label
from conv2d.data.joining.streams import Vocabulary, read_stamped
from conv2d.errors import DataError

Array = NDArray[np.float64]


class Intervals:
    """The labelled spans of each recording: start, end (seconds of the host) and class, sorted, not overlapping."""

    def __init__(self, folder: Path, plan: JoinPlan, words: Vocabulary) -> None:
        """Read the files of ``plan.label``; DataError E-DATA-010 or 016 where they do not fit."""
        label = plan.label
        assert label is not None
        assert label.files is not None
        assert label.column is not None
        rule = label.recording
        found: dict[str, list[tuple[float, float, int]]] = {}
        try:
            paths = find_files(folder, "csv", label.files)
        except DataError as error:
            raise DataError(f"{error}; it is label.files of the mapping, looked for in SOURCE of the join") from error
        for path in paths:
            texts = {"label": label.column} | ({"recording": rule.column} if rule and rule.column else {})
            options = TableMapping(
                name="x", channels={}, sensors=(), channel_names=(), subject=Subject(constant="x"), meta=texts
            )
            columns = {"start": (label.start, label.unit), "end": (label.end, label.unit)}
            of_file = None if rule and rule.column else _name(path, rule.from_filename if rule else None, plan)
            for piece, seconds in read_stamped(path, options, columns):
                of_label = piece.texts[label.column].to_pylist()
                names = piece.texts[rule.column].to_pylist() if rule and rule.column else [of_file] * piece.n_rows
                rows = zip(seconds["start"].tolist(), seconds["end"].tolist(), of_label, names, strict=True)
                for row, (a, b, word, name) in enumerate(rows):
                    if not a <= b or name is None:
                        raise DataError(
                            f"E-DATA-016: the label in {piece.place(row)} runs from {a} to {b} s in recording {name}, "
                            "expected a start, an end after it and a recording; correct that row"
                        )
                    found.setdefault(name, []).append((a, b, words.code(label.rename(word), path.name)))
        self._spans = {name: sorted(spans) for name, spans in found.items()}
        for name, spans in self._spans.items():
            one = spans[0]
            for other in spans[1:]:
                if other[0] < one[1] - 1e-6 and one[2] != other[2]:
                    raise DataError(
                        f"E-DATA-016: two labels of recording {name} overlap from {other[0]:.3f} to "
                        f"{min(one[1], other[1]):.3f} s, expected one at a time; correct the labels"
                    )
                one = max(one, other, key=lambda span: span[1])  # a long span reaches beyond its neighbour

    def recordings(self) -> set[str]:
        """Recordings that have labels."""
        return set(self._spans)

    def at(self, recording: str, time: Array, steps: Sequence[HostStep] = ()) -> tuple[NDArray[np.int64], int]:
        """The class of each time (n,), -1 outside of every span, and how many spans lie wholly outside of the times.

        A span has its start and not its end. ``steps`` of the host's clock are taken out of the spans; DataError
        E-DATA-020 for one that begins or ends where a step leaves its time open.
        """
        labels = np.full(len(time), -1, np.int64)
        outside = 0
        for a, b, code in self._spans.get(recording, ()):
            start, end = (settle_label(t, steps, f"recording {recording}") for t in (a, b))
            labels[np.searchsorted(time, start) : np.searchsorted(time, end)] = code
            outside += bool(end < time[0] or start > time[-1])
        return labels, outside

    def count(self, recording: str) -> int:
        """How many spans a recording has."""
        return len(self._spans.get(recording, ()))


def _name(path: Path, pattern: str | None, plan: JoinPlan) -> str | None:
    if pattern is None:
        return plan.name
    found = re.search(pattern, file_stem(path))
    return found.group(1) if found else None
