"""The recordings of an experiment in memory, prepared as the config says, and the windows in them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from conv2d.config import Config, Data, select_names
from conv2d.data import Dataset, Recording
from conv2d.data.corrections import apply_corrections, check_corrections
from conv2d.data.meta import RATE_TOLERANCE, DatasetMeta, in_words
from conv2d.data.missing import fill_missing
from conv2d.data.windows import label_windows, window_starts
from conv2d.errors import DataError
from conv2d.logging.counters import count
from conv2d.tasks.behavior.laid_out import LaidOut, stretches


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

    ``filled`` gives, for each recording, the share of its times that were interpolated and of its sensors' times that
    are missing. ``too_short`` names recordings in which no window fits; they give no frame and no segment. ``notes``
    are sentences for whoever asked for the corpus. ``source`` is the data set's name or a file's path.
    """

    recordings: tuple[Recording, ...]
    selection: Selection
    window: int
    rate_hz: float
    filled: tuple[tuple[float, float], ...]
    too_short: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = ""
    simulated: bool = False
    unit: ClassVar[str] = "recording"  # in sentences: what is counted, and what helps against gaps
    mend: ClassVar[str] = "check the recordings, or raise data.max_gap_s"

    @property
    def size(self) -> int:
        """Number of recordings, or of whatever ``unit`` is."""
        return len(self.recordings)

    def leave_out(self, sensor: int, channel: int | None = None) -> str:
        """How to leave out a channel, or a whole sensor, by number."""
        return f"leave it out with {'data.sensors' if channel is None else 'data.channels or data.sensors'}"

    @property
    def interpolated_share(self) -> float:
        """Share of all times at which a short run of missing samples was bridged."""
        return self._share(0)

    @property
    def missing_share(self) -> float:
        """Share of all times and sensors that are missing."""
        return self._share(1)

    def _share(self, column: int) -> float:
        length = [recording.n_samples for recording in self.recordings]
        return float(np.average([shares[column] for shares in self.filled], weights=length)) if length else 0.0

    @cached_property
    def laid_out(self) -> LaidOut:
        """The recordings end to end, for reading windows; made once, whoever reads them."""
        return LaidOut(self.recordings, self.window)

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, sorted."""
        return tuple(sorted({recording.subject for recording in self.recordings}))

    def of(self, subjects: Iterable[str]) -> "Corpus":
        """The part of the corpus that belongs to some subjects."""
        wanted = set(subjects)
        kept = [(r, shares) for r, shares in zip(self.recordings, self.filled, strict=True) if r.subject in wanted]
        return replace(self, recordings=tuple(r for r, _ in kept), filled=tuple(shares for _, shares in kept))

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

    def frames(self, hop: int, rule: str) -> Place:
        """Windows ``hop`` samples apart whose centres cover each recording from its first sample to its last.

        Those at an end, or beside a gap of the clock, reach beyond it by up to half a window, where the last sample is
        held; they have no label (-1), so that no figure at window level counts them. The others are those of
        ``windows``.
        """
        whole = self.windows(hop, rule)
        parts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for number, recording in enumerate(self.recordings):
            start = [
                hop * np.arange(-((self.window // 2 - first) // hop), (last - 1 - self.window // 2) // hop + 1)
                for first, last in stretches(recording, self.window)
            ]
            starts = np.concatenate(start)
            parts.append((np.full(len(starts), number), starts))
        recordings, starts = (np.concatenate(column) for column in zip(*parts, strict=True))
        label = np.full(len(starts), -1)
        offset = self.window + hop  # a key of recording and start in one number; starts may be negative
        longest = max(recording.n_samples for recording in self.recordings) + 2 * offset
        key = recordings * longest + starts + offset
        label[np.searchsorted(key, whole.recording * longest + whole.start + offset)] = whole.label
        return Place(recordings, starts, label)

    def training_windows(self, hop: int, rule: str) -> Place:
        """Labelled windows to train on, ``hop`` samples apart.

        With the rule ``centre`` they include those of ``frames`` that reach beyond an end, labelled by their centre:
        the network judges them when it decodes, and in short recordings they are many. The other rules ask about
        samples that are not there, so their windows end with the recording.
        """
        if rule != "centre":
            return self.windows(hop, rule, labelled=True)
        place = self.frames(hop, rule)
        first = np.cumsum([0, *(recording.n_samples for recording in self.recordings)])
        labels = np.concatenate([recording.labels for recording in self.recordings])
        label = labels[first[place.recording] + place.start + self.window // 2]
        return Place(place.recording, place.start, label)[label >= 0]

    def subject_of(self, place: Place) -> NDArray[np.str_]:
        """Subject of each window, (N,)."""
        names = np.array([recording.subject for recording in self.recordings], dtype=np.str_)
        return names[place.recording]


def select(data: Data, dataset: Dataset) -> Selection:
    """Resolve the config's sensors, channels and classes against a data set; DataError names what does not match."""
    return select_described(data, dataset.meta)


def select_described(data: Data, meta: DatasetMeta) -> Selection:
    """`select`, for data that are described and may lie in memory."""
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
    training: bool = True,
) -> Corpus:
    """Read and prepare the recordings of some subjects, or of all.

    A correction whose flag column the data set lacks is an error in ``training``; data that a model is applied to may
    lack it, which a note says, and no recording is corrected.

    Raises
    ------
    DataError
        A rate other than the config's; no recording as long as a window; whatever reading a recording can raise.
    """
    check_rate(config.data, dataset.meta)
    columns = {column for row in dataset.table for column in row.meta}
    corrections = [c for c in config.data.corrections if training or c.where in columns]
    check_corrections(dataset.meta, dataset.table, corrections)
    notes = tuple(
        f"recordings.csv of {dataset.meta.name} has no column {c.where}, so no recording is taken to need "
        f"the correction of {in_words(list(c.columns))}"
        for c in config.data.corrections
        if c not in corrections
    )
    chosen = {"sensors": selection.sensors, "channels": selection.channels, "classes": selection.classes}
    loaded = dataset.load_all(**chosen, subjects=subjects)
    corrected = (apply_corrections(recording, corrections) for recording in loaded)
    corpus = prepare(config.data, selection, corrected, dataset.meta.name)
    return replace(corpus, notes=notes, simulated=dataset.meta.simulated)


def check_rate(data: Data, meta: DatasetMeta) -> None:
    """Refuse data of another rate than the config's."""
    if abs(meta.rate_hz - data.sampling_rate) > RATE_TOLERANCE * data.sampling_rate:
        raise DataError(
            f"E-DATA-007: data set {meta.name} is sampled at {meta.rate_hz:g} Hz, the config says "
            f"data.sampling_rate {data.sampling_rate:g}; resample the data or use a config for that rate"
        )


def prepare(data: Data, selection: Selection, recordings: Iterable[Recording], source: str) -> Corpus:
    """Bridge short runs of missing samples and leave out what is shorter than a window; ``source`` names the data."""
    kept: list[Recording] = []
    shares: list[tuple[float, float]] = []
    too_short: list[str] = []
    for recording in recordings:
        if not stretches(recording, data.window_size):
            too_short.append(recording.name)
            continue
        filled = fill_missing(recording.samples, recording.rate_hz, data.max_gap_s, recording.time_s)
        count("samples_interpolated", int(filled.interpolated.sum()))
        count("samples_missing", int(filled.missing.sum()))
        kept.append(replace(recording, samples=filled.samples))
        shares.append((filled.interpolated_share, filled.missing_share))
    if not kept:
        raise DataError(
            f"E-EXP-002: none of the {len(too_short)} recordings of {source} is as long as a window of "
            f"{data.window_size} samples ({data.window_s:g} s); lower data.window_size or record longer"
        )
    rate_hz = kept[0].rate_hz
    return Corpus(tuple(kept), selection, data.window_size, rate_hz, tuple(shares), tuple(too_short), source=source)


def recording_hashes(corpus: Corpus) -> dict[str, str]:
    """Hash of each recording's samples, by name: by it a copy is known again under another name and in another file."""
    return {
        recording.name: hashlib.sha256(np.nan_to_num(recording.samples).tobytes()).hexdigest()
        for recording in corpus.recordings
    }
