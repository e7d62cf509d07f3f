"""The recordings of an experiment in memory, prepared as the config says, and the windows in them."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from conv2d.config import Config, Data, select_names
from conv2d.data import Dataset, Recording
from conv2d.data.corrections import apply_corrections, check_corrections
from conv2d.data.missing import fill_missing
from conv2d.data.windows import label_windows, window_starts
from conv2d.errors import DataError


@dataclass(frozen=True)
class Selection:
    """Which sensors, channels and classes of a data set an experiment uses, by name."""

    sensors: tuple[str, ...]
    channels: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Place:
    """Windows of a corpus: recording (N,), first sample (N,) and label (N,), -1 where a window has none."""

    recording: NDArray[np.int64]
    start: NDArray[np.int64]
    label: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, which: NDArray[np.int64] | NDArray[np.bool_]) -> "Place":
        return Place(self.recording[which], self.start[which], self.label[which])


@dataclass(frozen=True, eq=False)
class Corpus:
    """Prepared recordings; samples are NaN where they were missing for longer than the config bridges.

    ``interpolated_share`` and ``missing_share`` are shares of all samples. ``too_short`` names recordings in which no
    window fits; they give no frame and no segment.
    """

    recordings: tuple[Recording, ...]
    selection: Selection
    window: int
    rate_hz: float
    interpolated_share: float
    missing_share: float
    too_short: tuple[str, ...]

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, sorted."""
        return tuple(sorted({recording.subject for recording in self.recordings}))

    def of(self, subjects: Iterable[str]) -> "Corpus":
        """The part of the corpus that belongs to some subjects."""
        wanted = set(subjects)
        return replace(self, recordings=tuple(r for r in self.recordings if r.subject in wanted))

    def windows(self, hop: int, rule: str, *, labelled: bool = False) -> Place:
        """All windows ``hop`` samples apart, labelled by a rule; with ``labelled`` only those that have a label."""
        parts: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
        for number, recording in enumerate(self.recordings):
            start = window_starts(recording.time_s, recording.rate_hz, self.window, hop)
            label, _ = label_windows(recording.labels, start, self.window, rule)  # type: ignore[arg-type]
            if labelled:
                start, label = start[label >= 0], label[label >= 0]
            parts.append((np.full(len(start), number), start, label))
        if not parts:
            return Place(*(np.empty(0, np.int64) for _ in range(3)))
        return Place(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def subject_of(self, place: Place) -> NDArray[np.str_]:
        """Subject of each window, (N,)."""
        names = np.array([recording.subject for recording in self.recordings], dtype=np.str_)
        return names[place.recording]


def select(data: Data, dataset: Dataset) -> Selection:
    """Resolve the config's sensors, channels and classes against a data set; DataError names what does not match."""
    meta = dataset.meta
    return Selection(
        select_names("sensors", data.sensors, meta.sensors),
        select_names("channels", data.channels, meta.channels),
        select_names("classes", data.classes, meta.classes),
    )


def read_corpus(
    config: Config,
    dataset: Dataset,
    selection: Selection,
    subjects: Iterable[str] | None = None,
    *,
    recordings: Iterable[str] | None = None,
) -> Corpus:
    """Read and prepare recordings: those named, those of some subjects, or all.

    Raises
    ------
    DataError
        A rate other than the config's; no recording as long as a window; whatever reading a recording can raise.
    """
    data = config.data
    if abs(dataset.meta.rate_hz - data.sampling_rate) > 0.02 * data.sampling_rate:
        raise DataError(
            f"E-DATA-007: data set {dataset.meta.name} is sampled at {dataset.meta.rate_hz:g} Hz, the config says "
            f"data.sampling_rate {data.sampling_rate:g}; resample the data or use a config for that rate"
        )
    check_corrections(dataset.meta, dataset.table, data.corrections)
    kept: list[Recording] = []
    too_short: list[str] = []
    interpolated = missing = samples = 0.0
    for raw in _load(dataset, selection, subjects, recordings):
        recording = apply_corrections(raw, data.corrections)
        if not len(window_starts(recording.time_s, recording.rate_hz, data.window_size, 1)):
            too_short.append(recording.name)
            continue
        filled = fill_missing(recording.samples, recording.rate_hz, data.max_gap_s, recording.time_s)
        interpolated += filled.interpolated_share * recording.n_samples
        missing += filled.missing_share * recording.n_samples
        samples += recording.n_samples
        kept.append(replace(recording, samples=filled.samples))
    if not kept:
        raise DataError(
            f"E-EXP-002: none of the {len(too_short)} recordings of {dataset.meta.name} is as long as a window of "
            f"{data.window_size} samples ({data.window_s:g} s); lower data.window_size or record longer"
        )
    return Corpus(
        tuple(kept),
        selection,
        data.window_size,
        dataset.meta.rate_hz,
        interpolated / samples,
        missing / samples,
        tuple(too_short),
    )


def _load(
    dataset: Dataset, selection: Selection, subjects: Iterable[str] | None, recordings: Iterable[str] | None
) -> Iterator[Recording]:
    chosen = {"sensors": selection.sensors, "channels": selection.channels, "classes": selection.classes}
    if recordings is None:
        yield from dataset.load_all(**chosen, subjects=subjects)
        return
    for name in recordings:
        yield dataset.load(name, **chosen)
