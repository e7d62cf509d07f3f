"""The labelled windows of a data set, and what is known of each without looking at how anything moves."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.corrections import apply_corrections, check_corrections
from conv2d.data.dataset import Dataset
from conv2d.data.meta import BASE_COLUMNS, RATE_TOLERANCE, RecordingRow, format_rate, in_words
from conv2d.data.recording import Recording
from conv2d.data.windows import LabelRule, label_windows, sliding, window_starts
from conv2d.errors import DataError

if TYPE_CHECKING:
    from conv2d.config import Correction, Data

LABEL = "label"
DEFAULT_WINDOW_S = 2.0
MAX_CLASSES = 50
"""Values that a column of ``recordings.csv`` may have to be a target; more are no classes but a measurement."""

_WINDOWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Cutting:
    """How windows are cut: ``window`` samples, as far apart as they are long, labelled by ``rule``.

    ``origin`` says in words where that comes from.
    """

    window: int
    rule: LabelRule
    sensors: tuple[str, ...]
    channels: tuple[str, ...]
    classes: tuple[str, ...]
    origin: str
    corrections: tuple[Correction, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset, data: Data | None = None, name: str = "", window_s: float | None = None) -> Cutting:
        """The windows of an experiment's ``data`` block, or 2 s of all sensors and classes where there is none.

        ``window_s`` is another length in seconds, a sample at least.

        Raises
        ------
        DataError
            The experiment names a rate, sensor, channel, class or correction that the data set has not.
        """
        meta = dataset.meta
        if data is None:
            window = max(1, round((window_s or DEFAULT_WINDOW_S) * meta.rate_hz))
            origin = "as asked" if window_s else "no experiment was given"
            return cls(window, "centre", meta.sensors, meta.channels, meta.classes, origin)
        from conv2d.config import select_names

        if abs(data.sampling_rate / meta.rate_hz - 1) > RATE_TOLERANCE:
            raise DataError(
                f"E-DATA-007: the experiment says {format_rate(data.sampling_rate)} Hz, data set {meta.name} has "
                f"{format_rate(meta.rate_hz)} Hz; give the experiment of this data set"
            )
        check_corrections(meta, dataset.table, data.corrections)
        return cls(
            max(1, round(window_s * meta.rate_hz)) if window_s else data.window_size,
            data.label_rule,
            select_names("sensors", data.sensors, meta.sensors),
            select_names("channels", data.channels, meta.channels),
            select_names("classes", data.classes, meta.classes),
            "as asked" if window_s else f"as experiment {name or data.name} says",
            data.corrections,
        )


@dataclass(frozen=True, eq=False)
class WindowTable:
    """N labelled windows of R recordings of S subjects, recordings in the order of their subjects and starts.

    ``label`` (N,) indexes ``classes``, ``recording`` (N,) the recordings; windows stand in the order of time.
    ``subject_of`` (R,) indexes ``subjects``. ``share``, ``from_start_s`` and ``from_end_s`` (N,) are the place of a
    window's centre in its recording. ``missing`` (N, F) is true where half of a channel's samples or more are NaN,
    ``missing_share`` (N,) the share of NaN, and ``means`` (N, F) the mean of each channel, NaN where all of it is.
    ``quality`` (N, Q) holds the means of the further columns of the recordings' files. ``start`` (R,) is the wall
    clock at which a recording begins, None where recordings.csv does not say. ``runs`` are the labels of each
    recording's segments in their order, unannotated stretches left out.
    """

    target: str
    classes: tuple[str, ...]
    subjects: tuple[str, ...]
    rows: tuple[RecordingRow, ...]
    subject_of: NDArray[np.int64]
    recording: NDArray[np.int64]
    label: NDArray[np.int64]
    share: NDArray[np.float64]
    from_start_s: NDArray[np.float64]
    from_end_s: NDArray[np.float64]
    missing: NDArray[np.bool_]
    missing_share: NDArray[np.float64]
    means: NDArray[np.float64]
    columns: tuple[str, ...]
    quality: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 0)))
    quality_columns: tuple[str, ...] = ()
    start: tuple[dt.datetime | None, ...] = ()
    runs: tuple[NDArray[np.int64], ...] = ()
    unlabelled: int = 0

    @property
    def subject(self) -> NDArray[np.int64]:
        """The subject of each window, (N,)."""
        return self.subject_of[self.recording]

    @property
    def one_label_each(self) -> bool:
        """Whether every recording holds windows of one label only, as bouts do."""
        joint = np.unique(np.stack([self.recording, self.label]), axis=1)
        return bool(joint.shape[1] == len(np.unique(joint[0])))

    @property
    def mostly_constant_in_subjects(self) -> bool:
        """Whether most subjects have windows of one label only: the target then says who rather than what."""
        joint = np.unique(np.stack([self.subject, self.label]), axis=1)
        return bool(2 * (np.bincount(joint[0]) > 1).sum() < len(self.subjects))


def read_table(
    dataset: Dataset,
    cutting: Cutting,
    target: str = LABEL,
    progress: Callable[[], object] = lambda: None,
) -> WindowTable:
    """Read a data set once, recording by recording, and keep what `WindowTable` names.

    ``target`` is ``label`` or a column of ``recordings.csv``, every window of a recording then having its value; an
    empty value is none. Memory: one recording, and some numbers a window. Cost O(samples).

    Raises
    ------
    DataError
        E-DATA-023: no such target; fewer than two classes or subjects have a window. Else as `Dataset.load`.
    """
    of_recording = None if target == LABEL else _column(dataset, target)
    classes = cutting.classes if of_recording is None else tuple(sorted({v for v in of_recording.values() if v}))
    rows = sorted(dataset.table, key=lambda row: (row.subject, _start(row) or dt.datetime.min))  # stable
    parts: list[dict[str, Any]] = []
    kept: list[RecordingRow] = []
    unlabelled = 0
    for row in rows:
        chosen = {"sensors": cutting.sensors, "channels": cutting.channels, "classes": cutting.classes}
        recording = apply_corrections(dataset.load(row.recording, **chosen), cutting.corrections)
        value = None if of_recording is None else of_recording[row.recording]
        constant = None if value is None else classes.index(value) if value else -1
        part = _windows(recording, cutting, constant)
        unlabelled += part.pop("unlabelled")
        if len(part["label"]):
            parts.append(part)
            kept.append(row)
        progress()
    subjects = tuple(sorted({row.subject for row in kept}))
    labels = np.concatenate([part["label"] for part in parts]) if parts else np.empty(0, np.int64)
    _check_enough(dataset, target, classes, labels, subjects)
    quality_columns = tuple(sorted({name for part in parts for name in part["quality"]}))
    return WindowTable(
        target=target,
        classes=classes,
        subjects=subjects,
        rows=tuple(kept),
        subject_of=np.array([subjects.index(row.subject) for row in kept]),
        recording=np.repeat(np.arange(len(parts)), [len(part["label"]) for part in parts]),
        label=labels,
        columns=tuple(f"{s}/{c}" for s in cutting.sensors for c in cutting.channels),
        quality=np.concatenate([_together(part["quality"], quality_columns, len(part["label"])) for part in parts]),
        quality_columns=quality_columns,
        start=tuple(_start(row) for row in kept),
        runs=tuple(part["runs"] for part in parts),
        unlabelled=unlabelled,
        **{
            name: np.concatenate([part[name] for part in parts])
            for name in ("share", "from_start_s", "from_end_s", "missing", "missing_share", "means")
        },
    )


def _windows(recording: Recording, cutting: Cutting, constant: int | None) -> dict[str, Any]:
    """What a recording gives: the labelled windows, as the fields of the table."""
    window, time_s = cutting.window, recording.time_s
    starts = window_starts(time_s, recording.rate_hz, window, window)
    label, _ = label_windows(recording.labels, starts, window, cutting.rule)
    if constant is not None:
        label = np.full(len(starts), constant, np.int64)
    labelled = label >= 0
    starts, unlabelled = starts[labelled], int((~labelled).sum())
    centre_s = time_s[starts] + window / 2 / recording.rate_hz
    first_s, length_s = (time_s[0] if len(time_s) else 0.0), max(recording.duration_s, 1 / recording.rate_hz)
    means, missing = _means(recording.samples, starts, window)
    quality = {}
    for name, values in recording.quality.items():
        columns, _ = _means(values.astype(np.float32)[None, None], starts, window)
        quality[name] = columns[:, 0]
    changes = np.concatenate([[True], recording.labels[1:] != recording.labels[:-1]])[: len(recording.labels)]
    runs = recording.labels[changes]
    return {
        "label": label[labelled],
        "unlabelled": unlabelled,
        "share": (centre_s - first_s) / length_s,
        "from_start_s": centre_s - first_s,
        "from_end_s": first_s + length_s - centre_s,
        "means": means,
        "missing": missing >= 0.5,
        "missing_share": missing.mean(axis=1) if missing.shape[1] else np.zeros(len(starts)),
        "quality": quality,
        "runs": runs[runs >= 0],
    }


def _means(
    samples: NDArray[np.float32], starts: NDArray[np.int64], window: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean (N, S C) of what is there in each window, NaN where nothing is, and share of NaN; sensor by sensor."""
    width = samples.shape[0] * samples.shape[1]
    means, missing = np.empty((len(starts), width)), np.empty((len(starts), width))
    for at in range(0, len(starts), _WINDOWS_AT_ONCE):
        block = sliding(samples, starts[at : at + _WINDOWS_AT_ONCE], window)  # (N, C, S, T)
        there = np.isfinite(block)
        counts = there.sum(axis=3)
        sums = np.where(there, block, 0).sum(axis=3, dtype=np.float64)
        mean = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        rows = slice(at, at + len(block))
        means[rows] = mean.transpose(0, 2, 1).reshape(len(block), width)
        missing[rows] = (1 - counts / window).transpose(0, 2, 1).reshape(len(block), width)
    return means, missing


def _together(quality: Mapping[str, NDArray[np.float64]], names: Sequence[str], n: int) -> NDArray[np.float64]:
    columns = [quality.get(name, np.full(n, np.nan)) for name in names]
    return np.stack(columns, axis=1) if columns else np.empty((n, 0))


def _start(row: RecordingRow) -> dt.datetime | None:
    """The wall clock of a recording's first sample as it is written, without its time zone."""
    try:
        return dt.datetime.fromisoformat(row.meta.get("start", "").strip()).replace(tzinfo=None)
    except ValueError:
        return None


def _column(dataset: Dataset, target: str) -> dict[str, str]:
    columns = list(dict.fromkeys(name for row in dataset.table for name in row.meta))
    usable = [name for name in columns if name not in BASE_COLUMNS or name == "subject"]
    if target not in usable:
        raise DataError(
            f"E-DATA-023: asked for the target {target}, data set {dataset.meta.name} has "
            f"{in_words([LABEL, *usable])}; name one of them with --target"
        )
    values = {row.recording: row.meta.get(target, "").strip() for row in dataset.table}
    if (found := len(set(values.values()) - {""})) > MAX_CLASSES:
        raise DataError(
            f"E-DATA-023: column {target} has {found} different values, expected at most {MAX_CLASSES} classes; "
            "name a column of classes with --target"
        )
    return values


def _check_enough(
    dataset: Dataset, target: str, classes: Sequence[str], labels: NDArray[np.int64], subjects: Sequence[str]
) -> None:
    shown = [classes[k] for k in np.unique(labels)]
    if len(shown) < 2:
        raise DataError(
            f"E-DATA-023: the windows of {dataset.meta.name} have {len(shown)} classes of {target} "
            f"({in_words(shown)}), expected 2 or more to tell apart; name another --target, or shorter windows"
        )
    if len(subjects) < 2:
        raise DataError(
            f"E-DATA-023: {dataset.meta.name} has labelled windows of {len(subjects)} subject ({in_words(subjects)}), "
            "expected 2 or more, as one is left out at a time; add recordings of others"
        )
