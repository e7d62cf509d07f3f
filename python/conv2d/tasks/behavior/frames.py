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

    ``start`` (N,) first sample; ``time_s`` (N,) centre; ``logits`` (N, K) before calibration; ``codes`` (N, P) int32
    or int64 and ``margin`` (N,) float32, both None without quantisation; ``has_data`` (N,) false where too many
    samples were missing for the network to be believed.
    """

    recording: str
    subject: str
    window: int
    rate_hz: float
    start: NDArray[np.int64]
    start_s: FloatArray
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
        """Stretches of frames without a hole: a gap of the clock leaves out the windows across it."""
        breaks = np.flatnonzero(np.diff(self.start) != hop) + 1
        edges = [0, *breaks.tolist(), len(self.start)]
        return [slice(a, b) for a, b in pairwise(edges) if b > a]


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
    piece = np.concatenate([[0], np.cumsum(time_gaps(recording.time_s, recording.rate_hz))])
    here_left = piece[frames.start[left]] == piece
    here_right = piece[frames.start[right]] == piece
    take_right = np.where(here_left == here_right, np.abs(centre[right] - at) < np.abs(centre[left] - at), here_right)
    return np.where(take_right, right, left)
