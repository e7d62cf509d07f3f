"""All recordings of a corpus laid end to end, from which a window is one slice wherever it lies."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from conv2d.data import Recording
from conv2d.data.windows import time_gaps


def stretches(recording: Recording, window: int) -> list[tuple[int, int]]:
    """First and last + 1 sample of each stretch without a gap of the clock that is as long as a window."""
    edges = [0, *(np.flatnonzero(time_gaps(recording.time_s, recording.rate_hz)) + 1).tolist(), recording.n_samples]
    return [(a, b) for a, b in pairwise(edges) if b - a >= window]


class LaidOut:
    """A copy of all stretches end to end, with half a window of its end samples held on both sides of each.

    The held samples serve the frames that reach beyond a stretch. Cost: the corpus once more in memory.
    """

    def __init__(self, recordings: Sequence[Recording], window: int) -> None:
        self.half = window // 2 + 1
        lengths = [recording.n_samples for recording in recordings]
        self.first = np.concatenate([[0], np.cumsum(lengths)])[:-1].astype(np.int64)
        parts: list[NDArray[np.float32]] = []
        begins: list[int] = []  # of each stretch, counted over all recordings
        shifts: list[int] = []  # from there to its place among the padded stretches
        laid = 0
        for number, recording in enumerate(recordings):
            for begin, end in stretches(recording, window):
                held = ((0, 0), (0, 0), (self.half, self.half))
                parts.append(np.pad(recording.samples[:, :, begin:end], held, mode="edge"))
                begins.append(int(self.first[number]) + begin)
                shifts.append(laid + self.half - begins[-1])
                laid += end - begin + 2 * self.half
        self.begins, self.shifts = np.array(begins), np.array(shifts)
        samples = np.concatenate(parts, axis=2)
        there: NDArray[np.bool_] = np.logical_and.reduce(~np.isnan(samples), axis=0)
        # How many samples of each sensor are there before each one, so that a window is counted by one difference.
        self.there = np.concatenate([np.zeros((len(there), 1), np.int64), there.cumsum(axis=1)], axis=1)
        # A view: every run of `window` samples by its first one.
        self.runs = torch.from_numpy(samples).unfold(2, window, 1)

    def flat(self, recording: NDArray[np.int64], start: NDArray[np.int64]) -> Tensor:
        """Position of each window among the runs, (N,), from its recording and its first sample there."""
        at = self.first[recording] + start
        stretch = np.searchsorted(self.begins, at + self.half - 1, side="right") - 1  # that of its centre
        return torch.from_numpy(at + self.shifts[stretch])

    def windows(self, flat: Tensor) -> Tensor:
        """Windows (B, C, S, T) at some positions, in the data's units."""
        return self.runs[:, :, flat].permute(2, 0, 1, 3)

    def present(self, flat: Tensor) -> NDArray[np.bool_]:
        """Whether some sensor has at least half of its samples in the window, (B,)."""
        begin, window = flat.numpy(), self.runs.shape[3]
        enough = 2 * (self.there[:, begin + window] - self.there[:, begin]) >= window
        present: NDArray[np.bool_] = np.logical_or.reduce(enough, axis=0)
        return present
