"""Frames: what the network says of every window of a recording, and the way from frames back to samples."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from conv2d.data import Recording
from conv2d.data.windows import time_gaps

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frames:
    """Windows of one recording, ascending in time.

    ``start`` (N,) first sample, below 0 for a frame that reaches beyond the beginning; ``start_s`` (N,) its time;
    ``piece`` (N,) number of the stretch between gaps of the clock; ``label`` (N,) of the window, -1 without one;
    ``logits`` (N, K) before calibration; ``codes`` (N, P) and ``margin`` (N,) float32, both None without quantisation;
    ``has_data`` (N,) false where too many samples were missing for the network to be believed.
    """

    recording: str
    subject: str
    window: int
    rate_hz: float
    start: NDArray[np.int64]
    start_s: FloatArray
    piece: NDArray[np.int64]
    label: NDArray[np.int64]
    logits: FloatArray
    codes: NDArray[np.int64] | None
    margin: NDArray[np.float32] | None
    has_data: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.start)

    @property
    def time_s(self) -> FloatArray:
        """Centre of each window in seconds."""
        return self.start_s + self.window / 2 / self.rate_hz

    @property
    def end_s(self) -> FloatArray:
        """End of each window in seconds."""
        return self.start_s + self.window / self.rate_hz

    def pieces(self, hop: int) -> list[slice]:
        """Runs of frames ``hop`` samples apart on one side of every gap of the clock."""
        breaks = np.flatnonzero((np.diff(self.start) != hop) | (np.diff(self.piece) != 0)) + 1
        edges = [0, *breaks.tolist(), len(self.start)]
        return [slice(a, b) for a, b in pairwise(edges) if b > a]


def piece_of_sample(recording: Recording) -> NDArray[np.int64]:
    """Number of the stretch between gaps of the clock that each sample lies in, (n,)."""
    return np.concatenate([[0], np.cumsum(time_gaps(recording.time_s, recording.rate_hz))]).astype(np.int64)


def centre_sample(recording: Recording, start: NDArray[np.int64], window: int) -> NDArray[np.int64]:
    """The sample at the centre of each window, (N,); the label rule ``centre`` looks at this one."""
    return np.clip(start + window // 2, 0, recording.n_samples - 1)


def start_times(recording: Recording, start: NDArray[np.int64], window: int) -> FloatArray:
    """Time of the first sample of each window; beyond an end as if sampling had gone on there."""
    time, centre = recording.time_s, centre_sample(recording, start, window)
    piece = piece_of_sample(recording)
    inside = np.maximum(start, np.searchsorted(piece, piece[centre]))  # the first sample that is really there
    times: FloatArray = time[inside] + (start - inside) / recording.rate_hz
    return times


def frame_of_sample(frames: Frames, recording: Recording) -> NDArray[np.int64]:
    """Index of the frame nearest to each sample, (n,): on the same side of a gap of the clock where one is there.

    A border between two frames lies half-way between their centres; samples before the first centre and after the last
    take the first and the last frame.
    """
    n = recording.n_samples
    centre = frames.start + frames.window / 2
    at = np.arange(n) + 0.5
    right = np.clip(np.searchsorted(centre, at), 1, max(len(frames) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(frames) - 1)
    piece = piece_of_sample(recording)
    here_left, here_right = frames.piece[left] == piece, frames.piece[right] == piece
    take_right = np.where(here_left == here_right, np.abs(centre[right] - at) < np.abs(centre[left] - at), here_right)
    return np.where(take_right, right, left)
