"""Recordings and windows that lie in memory, brought into the form that files are read into: a `Corpus`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import permutations
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conv2d.config import Correction, Data
from conv2d.data import Dataset, Recording
from conv2d.data.corrections import apply_corrections
from conv2d.data.interchange.recording_checks import check_recording, refuse_path
from conv2d.data.interchange.xarray_arrays import is_data_array, window_array
from conv2d.data.meta import RATE_TOLERANCE, DatasetMeta, in_words
from conv2d.errors import DataError, UsageError
from conv2d.tasks.behavior.corpus import Corpus, Selection, prepare
from conv2d.tasks.behavior.laid_out import LaidOut

ALL = "all windows"  # the one subject of windows whose subjects nobody named


def recordings_in(x: object) -> Dataset | list[Recording] | None:
    """What ``x`` holds where it is a recording, several of them or an opened data set; None where it is an array.

    A generator is read to its end, so what this gives is to be handed on, not ``x``.
    """
    refuse_path(x)
    if isinstance(x, Dataset):
        return x
    if isinstance(x, Recording):
        return [x]
    if hasattr(x, "data_vars"):
        raise UsageError(
            "E-API-007: got an xarray Dataset, expected recordings or windows; make a recording of it with "
            "conv2d.from_xarray, or give the one of its arrays that holds the windows"
        )
    entries = _entries(x)
    found = [entry for entry in entries if isinstance(entry, Recording)]
    if len(found) < len(entries) and (found or isinstance(x, Iterator)):
        raise UsageError(
            f"E-API-001: got a {type(x).__name__} of {len(found)} recordings and {len(entries) - len(found)} other "
            "things, expected recordings only; read the others first, with conv2d.from_table for example"
        )
    if not found and isinstance(x, Iterator):
        raise UsageError(f"E-API-001: got a {type(x).__name__} that gives nothing, expected recordings; make it anew")
    return found or None


def _entries(x: Any) -> list[Any]:
    """What may be recordings, one by one: those of anything that is no array, no table and no mapping."""
    if isinstance(x, np.ndarray) and x.dtype == object and x.ndim == 1:
        return list(x)
    is_array = any(hasattr(x, name) for name in ("__array__", "shape", "__arrow_c_stream__"))
    return list(x) if isinstance(x, Iterable) and not is_array and not isinstance(x, Mapping) else []


def describe(recordings: Sequence[Recording], name: str = "recordings") -> DatasetMeta:
    """What ``dataset.yaml`` would say of recordings in memory: sensors and channels of the first, all classes."""
    first = recordings[0]
    classes = tuple(dict.fromkeys(name for recording in recordings for name in recording.classes))
    return DatasetMeta(name, first.rate_hz, first.sensors, first.channels, classes)


def corpus_of_recordings(
    data: Data,
    selection: Selection,
    recordings: Sequence[Recording],
    corrections: Iterable[Correction],
    source: str = "recordings",
) -> Corpus:
    """Pick what was selected, by name, and prepare it.

    Raises
    ------
    DataError
        A sensor or channel that a recording lacks (E-API-003), another rate (E-API-004), two recordings of one name
        (E-API-005), times or values that `conv2d.data` refuses; no recording as long as a window.
    """
    names = [recording.name for recording in recordings]
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"E-API-005: recording {in_words(doubled)} is given more than once, expected a name of its own for each; "
            "rename one with dataclasses.replace(recording, name=...)"
        )
    fixes = tuple(corrections)
    picked = (apply_corrections(_pick(recording, data, selection), fixes) for recording in recordings)
    return prepare(data, selection, picked, source)


def _pick(recording: Recording, data: Data, selection: Selection) -> Recording:
    """The sensors, channels and classes of a selection in its order; a label that it does not name becomes -1."""
    check_recording(recording)
    if abs(recording.rate_hz - data.sampling_rate) > RATE_TOLERANCE * data.sampling_rate:
        raise DataError(
            f"E-API-004: recording {recording.name} is sampled at {recording.rate_hz:g} Hz, expected "
            f"{data.sampling_rate:g} Hz; resample it"
        )
    places = []
    for kind, wanted, there in (
        ("sensor", selection.sensors, recording.sensors),
        ("channel", selection.channels, recording.channels),
    ):
        if absent := [name for name in wanted if name not in there]:
            raise DataError(
                f"E-API-003: recording {recording.name} has no {kind} {in_words(absent)} (it has {in_words(there)}), "
                f"expected {in_words(wanted)}; rename its {kind}s, or add NaN for a sensor that was missing"
            )
        places.append([there.index(name) for name in wanted])
    samples, labels = recording.samples, recording.labels
    if (recording.sensors, recording.channels) != (selection.sensors, selection.channels):
        samples = samples[np.ix_(places[1], places[0])]
    if recording.classes != selection.classes:
        index = [selection.classes.index(c) if c in selection.classes else -1 for c in recording.classes]
        labels = np.array([*index, -1], np.int64)[labels]
    return replace(
        recording,
        sensors=selection.sensors,
        channels=selection.channels,
        classes=selection.classes,
        samples=np.ascontiguousarray(samples, np.float32),
        labels=labels,
    )


@dataclass(frozen=True, eq=False)
class WindowCorpus(Corpus):
    """Windows that were cut already: the recording of a subject is its windows with a gap of the clock after each.

    With ``hop`` and ``decode_hop`` as long as a window, frames and training windows are these windows and no others.
    """

    unit: ClassVar[str] = "window"
    mend: ClassVar[str] = "check X, or bridge short gaps with rate_hz= and data.max_gap_s"

    @property
    def size(self) -> int:
        """Number of windows."""
        return sum(recording.n_samples // self.window for recording in self.recordings)

    def leave_out(self, sensor: int, channel: int | None = None) -> str:
        """How to drop a channel, or a whole sensor, from X."""
        ways = [] if channel is None else [f"X[:, {channel}]"]
        ways += [f"X[:, :, {sensor}]"] if len(self.selection.sensors) > 1 else []
        return f"drop {' or '.join(ways)}" if ways else "give windows with values"

    @cached_property
    def laid_out(self) -> LaidOut:
        """The windows as they are: nothing lies beyond their ends."""
        return _LaidWindows(self.recordings, self.window)


class _LaidWindows(LaidOut):
    """Windows side by side, (C, S, N, T)."""

    def __init__(self, recordings: Sequence[Recording], window: int) -> None:
        channels, sensors, _ = recordings[0].samples.shape
        counts = [recording.n_samples // window for recording in recordings]
        self.first = np.concatenate([[0], np.cumsum(counts)])[:-1].astype(np.int64)
        samples = np.concatenate([recording.samples for recording in recordings], axis=2)
        cut = samples.reshape(channels, sensors, -1, window)
        self.enough = (2 * (~np.isnan(cut)).all(axis=0).sum(axis=2) >= window).any(axis=0)
        self.window = window
        self.runs = torch.from_numpy(cut)

    def flat(self, recording: NDArray[np.int64], start: NDArray[np.int64]) -> Tensor:
        """Number of each window, (N,)."""
        return torch.from_numpy(self.first[recording] + start // self.window)

    def present(self, flat: Tensor) -> NDArray[np.bool_]:
        """Whether some sensor has all its channels for at least half of the samples of the window, (B,)."""
        present: NDArray[np.bool_] = self.enough[flat.numpy()]
        return present


def corpus_of_windows(
    data: Data,
    selection: Selection,
    windows: NDArray[np.float32],
    labels: NDArray[np.int64] | None = None,
    groups: NDArray[np.str_] | None = None,
) -> WindowCorpus:
    """Windows (N, C, S, T) with labels (N,) and subjects (N,), each optional, as a corpus; O(N C S T).

    Missing samples are bridged within a window, as far as ``data.max_gap_s`` goes.
    """
    n, length = len(windows), windows.shape[3]
    labels = np.full(n, -1) if labels is None else labels
    groups = np.full(n, ALL) if groups is None else groups
    step = 1 / data.sampling_rate
    recordings = []
    for subject in np.unique(groups):
        mine = np.flatnonzero(groups == subject)
        samples = np.ascontiguousarray(windows[mine].transpose(1, 2, 0, 3)).reshape(*windows.shape[1:3], -1)
        time_s = (np.arange(len(mine))[:, None] * (2 * length) + np.arange(length)).ravel() * step
        recordings.append(
            Recording(
                str(subject), str(subject), data.sampling_rate, selection.sensors, selection.channels, time_s, samples,
                np.repeat(labels[mine], length), selection.classes,
            )
        )  # fmt: skip
    corpus = prepare(data, selection, recordings, "the windows")
    return WindowCorpus(**{field.name: getattr(corpus, field.name) for field in fields(corpus)})


def as_windows(x: object, selection: Selection, window: int) -> NDArray[np.float32]:
    """An array as windows (N, C, S, T) float32 like those of a model; (N, C, T) where it has one sensor.

    Raises
    ------
    UsageError
        E-API-002: another shape; the message says which order of the axes would fit, if one does.
    DataError
        E-API-006: infinite values.
    """
    if is_data_array(x):
        x = window_array(x, selection.channels, selection.sensors)
    array = np.asarray(unmasked(x))
    expected = (len(selection.channels), len(selection.sensors), window)
    given = array[:, :, None] if array.ndim == 3 and expected[1] == 1 else array
    if given.ndim != 4 or given.shape[1:] != expected:
        names = f"{in_words(selection.channels)} of {in_words(selection.sensors)}"
        short = f", or (N, {expected[0]}, {window})" if expected[1] == 1 else ""
        raise UsageError(
            f"E-API-002: X has shape {array.shape}, expected (N, {expected[0]}, {expected[1]}, {window}){short}, which "
            f"is windows, channels, sensors, samples ({names}); {_way_out(array, expected)}"
        )
    with np.errstate(over="ignore"):
        windows = np.ascontiguousarray(given, np.float32)
    refuse_infinite(windows)
    return windows


def unmasked(x: Any) -> Any:
    """Numbers with NaN where an array of ``numpy.ma``, or one in a list of such, is masked; all else as it is."""
    if isinstance(x, list | tuple) and any(isinstance(entry, np.ma.MaskedArray) for entry in x):
        x = np.ma.stack(x)
    if not isinstance(x, np.ma.MaskedArray) or x.dtype.kind not in "biufO":
        return x
    kind = x.dtype if x.dtype == object else np.result_type(x.dtype, np.float32)
    return np.ma.filled(x.astype(kind), np.nan)


def refuse_infinite(windows: NDArray[np.float32]) -> None:
    """DataError E-API-006 for windows, or rows of features, that hold an infinite value."""
    infinite = np.isinf(windows)
    if infinite.any():
        row = int(infinite.reshape(len(windows), -1).any(axis=1).argmax())
        raise DataError(
            f"E-API-006: window {row} of X holds values that are infinite or beyond float32, expected numbers, and NaN "
            "for a missing sample; correct or blank them"
        )


def _way_out(array: NDArray[np.generic], expected: tuple[int, int, int]) -> str:
    for order in permutations(range(1, array.ndim)):
        shape = tuple(array.shape[axis] for axis in order)
        wanted = expected if array.ndim == 4 else (expected[0], expected[2])
        if shape == wanted and (array.ndim == 4 or expected[1] == 1):
            return f"X.transpose({', '.join(map(str, (0, *order)))}) has this shape"
    return "cut windows like those, for example with conv2d.cut_windows"
