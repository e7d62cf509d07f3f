"""Recordings cut into arrays of windows, with the subject of each: what estimators of scikit-learn take."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.dataset import Dataset
from conv2d.data.interchange.recording_checks import each_recording
from conv2d.data.interchange.table import library, text_array
from conv2d.data.meta import in_words
from conv2d.data.recording import Recording
from conv2d.data.windows import LabelRule, label_windows, sliding, window_starts
from conv2d.errors import DataError, UsageError


@dataclass(frozen=True, eq=False)
class Windows:
    """N windows of recordings.

    ``X`` float32 (N, C, S, T), NaN where a sample is missing; ``y`` text (N,), ``""`` without label; ``groups`` the
    subject of each, text (N,); ``recording`` its recording and ``start_s`` the time of its first sample, (N,).
    """

    X: NDArray[np.float32]
    y: NDArray[np.str_]
    groups: NDArray[np.str_]
    recording: NDArray[np.str_]
    start_s: NDArray[np.float64]
    channels: tuple[str, ...]
    sensors: tuple[str, ...]
    rate_hz: float

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.X)

    def to_xarray(self) -> Any:
        """As an ``xarray.DataArray`` (window, channel, sensor, time); all else are coordinates along ``window``."""
        coords = {
            "channel": text_array(self.channels), "sensor": text_array(self.sensors),
            "time": np.arange(self.X.shape[3]) / self.rate_hz,
            "label": ("window", text_array(self.y)), "subject": ("window", text_array(self.groups)),
            "recording": ("window", text_array(self.recording)),
            "start_s": ("window", self.start_s),
        }  # fmt: skip
        dims = ("window", "channel", "sensor", "time")
        return library("xarray", "to_xarray").DataArray(self.X, coords, dims, attrs={"rate_hz": self.rate_hz})


def cut_windows(
    recordings: Recording | Iterable[Recording] | Dataset,
    window_size: int,
    hop: int | None = None,
    *,
    rule: LabelRule = "centre",
    labelled: bool = True,
) -> Windows:
    """Cut recordings into windows of ``window_size`` samples, ``hop`` apart (default: half a window).

    Windows never cross a gap of the clock or two recordings. ``rule`` says which label a window has, see
    `conv2d.data.windows.label_windows`; with ``labelled`` those without one are left out. Cost: a copy of all windows.

    Raises
    ------
    DataError
        E-API-015: recordings of other sensors, channels or rates than the first; no window at all (E-EXP-002).
    UsageError
        E-API-016: a window or hop that is no whole number of samples, or below one. E-API-001, E-API-007: other things
        than recordings.

    Example
    -------
    >>> walk = Recording("walk1", "rex", 50.0, ("back",), ("acc_x",), np.arange(8) / 50, np.ones((1, 1, 8), "f4"),
    ...                  np.array([0, 0, 0, 0, 1, 1, 1, -1]), ("walk", "run"))
    >>> windows = cut_windows(walk, window_size=4)
    >>> windows.X.shape, windows.y.tolist(), windows.groups.tolist()
    ((3, 1, 1, 4), ['walk', 'run', 'run'], ['rex', 'rex', 'rex'])
    """
    for what, samples in (("window_size", window_size), ("hop", 1 if hop is None else hop)):
        if not isinstance(samples, int | np.integer) or samples < 1:
            raise UsageError(
                f"E-API-016: {what} is {samples!r}, expected a whole number of samples, 1 or more; correct it"
            )
    hop = max(1, window_size // 2) if hop is None else hop
    parts: list[tuple[NDArray[Any], ...]] = []
    first: Recording | None = None
    for recording in each_recording(recordings):
        first = first or recording
        mine, theirs = _kind(recording), _kind(first)
        if mine != theirs:
            raise DataError(
                f"E-API-015: recording {recording.name} has {mine}, {first.name} has {theirs}, expected the same; cut "
                "them apart, or load them with the same sensors and channels"
            )
        start = window_starts(recording.time_s, recording.rate_hz, window_size, hop)
        label, _ = label_windows(recording.labels, start, window_size, rule)
        if labelled:
            start, label = start[label >= 0], label[label >= 0]
        words = np.array([*recording.classes, ""], dtype=np.str_)[label]
        who = [np.full(len(start), text) for text in (recording.subject, recording.name)]
        parts.append((sliding(recording.samples, start, window_size), words, *who, recording.time_s[start]))
    if first is None or not sum(len(part[0]) for part in parts):
        what = "no recording" if first is None else f"{len(parts)} recordings"
        raise DataError(
            f"E-EXP-002: got {what} without a {'labelled ' if labelled else ''}window of {window_size} samples, "
            "expected some; choose a shorter window or record longer"
        )
    x, y, groups, names, start_s = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Windows(x, y, groups, names, start_s, first.channels, first.sensors, first.rate_hz)


def _kind(recording: Recording) -> str:
    return f"{in_words(recording.channels)} of {in_words(recording.sensors)} at {recording.rate_hz:g} Hz"
