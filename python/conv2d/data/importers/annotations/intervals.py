"""Annotations as intervals of time, and the label of each sample of a recording made of them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.annotations.plan import CODE, LabelPlan
from conv2d.data.meta import in_words
from conv2d.errors import DataError

LARGEST_FILE = 256 << 20  # bytes; annotations of a week by the second take a tenth of that
_OUTSIDE_S = 1.0  # so much of an annotation may lie outside of its recording without asking
_ROUNDING_S = 1e-6


@dataclass(frozen=True)
class Annotation:
    """One state from ``start_s`` to before ``stop_s``, or a point (then the two are equal), as the tool wrote it."""

    start_s: float
    stop_s: float
    label: str
    lane: str  # a subject of BORIS, a tier of ELAN
    place: str  # where it stands, for messages
    is_point: bool = False


@dataclass(eq=False)
class Document:
    """The annotations of one observation (BORIS) or file (ELAN), whose times count from its own start."""

    name: str
    path: Path
    date: str = ""  # as the tool wrote it
    annotations: list[Annotation] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def lanes(self) -> tuple[str, ...]:
        """Lanes that hold something, in order of appearance."""
        return tuple(dict.fromkeys(a.lane for a in self.annotations))


@dataclass(frozen=True)
class Placed:
    """An annotation with its class, in seconds from the first sample of its recording; None keeps it without label."""

    start_s: float
    stop_s: float
    label: str | None
    place: str


@dataclass(eq=False)
class Counts:
    """What was left out or cut, over all recordings."""

    points: int = 0
    empty: int = 0
    without_sample: int = 0
    clipped: int = 0


def read_bytes(path: Path) -> bytes:
    """The content of an annotation file; DataError where it cannot be read or is far too large for one."""
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise DataError(
                f"{CODE}: {path} has {path.stat().st_size >> 20} MB, expected annotations of at most "
                f"{LARGEST_FILE >> 20} MB; name the export of the annotation tool"
            )
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{CODE}: cannot read {path} ({error.strerror}); check that it is there") from error


def decode_text(raw: bytes) -> str:
    """Text of an export: UTF-8 or UTF-16 with their marks, else UTF-8, else Windows-1252."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def not_empty(document: Document) -> Document:
    """The document itself; DataError where it has no annotation."""
    if not document.annotations:
        raise DataError(f"{CODE}: {document.path} holds no annotation with text, expected labels; leave it out")
    return document


def place(annotations: Sequence[Annotation], offset_s: float, plan: LabelPlan, counts: Counts) -> list[Placed]:
    """Annotations renamed and shifted as the plan says; those that it drops are counted."""
    placed = []
    for a in annotations:
        label = plan.label_map.get(a.label, a.label)
        if label is None and a.is_point:
            continue
        start, stop = a.start_s + offset_s, a.stop_s + offset_s
        if a.is_point:
            if plan.point_s is None:
                counts.points += 1
                continue
            start, stop = start - plan.point_s / 2, stop + plan.point_s / 2
        elif not stop > start:
            counts.empty += 1
            continue
        if plan.classes is not None and label is not None and label not in plan.classes:
            raise DataError(
                f"E-DATA-010: {a.place} has label {label!r}, classes names {in_words(plan.classes, 30)}; add it "
                "there, or to map or null"
            )
        placed.append(Placed(start, stop, label, a.place))
    return placed


def paint(
    placed: Sequence[Placed],
    time_s: NDArray[np.float64],
    rate_hz: float,
    plan: LabelPlan,
    recording: str,
    counts: Counts,
) -> tuple[NDArray[np.int64], list[str]]:
    """The label of each sample as an index into the list of labels returned, int64 (n,); -1 where there is none.

    A sample has the label of the annotation that it lies in, start included and stop not. Where two of different labels
    meet, the plan's priority decides.

    Raises
    ------
    DataError
        E-DATA-019: two labels meet without a priority, or an annotation lies outside of the recording.
    """
    blank = [p for p in placed if p.label is None]
    placed = [p for p in placed if p.label is not None]
    words = list(dict.fromkeys([*(p.label or "" for p in placed), *([plan.unlabelled] if plan.unlabelled else [])]))
    rank = {label: i for i, label in enumerate(plan.priority)}
    owner = np.full(len(time_s), -1, np.int64)
    for i, p in enumerate(placed):
        start, stop = _samples(p, time_s, rate_hz, plan, recording, counts)
        if start == stop:
            counts.without_sample += 1
        owners = owner[start:stop]
        for j in np.unique(owners[owners >= 0]):
            other = placed[int(j)]
            if other.label == p.label:
                continue
            mine, theirs = rank.get(p.label or ""), rank.get(other.label or "")
            if mine is None or theirs is None:
                raise _overlap(other, p, recording)
            if mine < theirs:
                owners[owners == j] = -1
        owners[owners < 0] = i
    codes = np.array([words.index(p.label or "") for p in placed] + [-1], np.int64)[owner]
    if plan.unlabelled and placed:
        first, last = min(p.start_s for p in placed), max(p.stop_s for p in placed)
        inside = slice(*np.searchsorted(time_s - time_s[:1], np.array([first, last]) - _ROUNDING_S))
        free = codes < 0
        for p in blank:
            free[slice(*np.searchsorted(time_s - time_s[:1], np.array([p.start_s, p.stop_s]) - _ROUNDING_S))] = False
        codes[inside][free[inside]] = words.index(plan.unlabelled)
    return codes, words


def _samples(
    p: Placed, time_s: NDArray[np.float64], rate_hz: float, plan: LabelPlan, recording: str, counts: Counts
) -> tuple[int, int]:
    """First sample of an annotation and the one after its last, once it is seen to lie within the recording."""
    length = float(time_s[-1] - time_s[0]) + 1 / rate_hz if len(time_s) else 0.0
    outside = max(-p.start_s, p.stop_s - length)
    if outside > _OUTSIDE_S and not plan.clip:
        raise DataError(
            f"{CODE}: {p.place} has {p.label!r} from {p.start_s:.3f} to {p.stop_s:.3f} s, recording {recording} "
            f"lasts from 0 to {length:.3f} s; correct offset_s or the recording, or write 'clip: true' to cut what "
            "lies outside"
        )
    counts.clipped += outside > _ROUNDING_S
    start, stop = np.searchsorted(time_s - time_s[:1], np.array([p.start_s, p.stop_s]) - _ROUNDING_S)
    return int(start), int(stop)


def _overlap(first: Placed, second: Placed, recording: str) -> DataError:
    return DataError(
        f"{CODE}: {first.label!r} ({first.place}) and {second.label!r} ({second.place}) overlap in recording "
        f"{recording} from {max(first.start_s, second.start_s):.3f} to {min(first.stop_s, second.stop_s):.3f} s, "
        f"expected one label at a time; write 'priority: [{first.label}, {second.label}]' with the one that counts "
        "first, or drop one with null"
    )
