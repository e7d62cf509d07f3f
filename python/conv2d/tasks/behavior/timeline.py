"""Frames decoded: calibrated probabilities, filtered and smoothed posteriors, timelines in samples and seconds."""

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from conv2d.data import Recording
from conv2d.tasks.behavior.decoding import Decoding
from conv2d.tasks.behavior.frames import Frames, centre_sample, frame_of_sample
from conv2d_core import min_dwell

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Segment:
    """A run of one label; ``start_s`` and ``end_s`` in the recording's own time, ``confidence`` in 0 .. 1."""

    label: int
    start_s: float
    end_s: float
    confidence: float


@dataclass(frozen=True, eq=False)
class Result:
    """All that is known of one recording after decoding.

    ``proba`` (N, K): each window alone, calibrated. ``filtered`` (N, K): given the past only. ``smoothed`` (N, K):
    given the whole recording. ``decoded``: labels (N,) of every decoder by name. ``to_sample`` (n,): the frame of each
    sample.
    """

    recording: Recording
    frames: Frames
    proba: FloatArray
    filtered: FloatArray
    smoothed: FloatArray
    decoded: dict[str, NDArray[np.int64]]
    decoder: str
    to_sample: NDArray[np.int64]

    @property
    def label(self) -> NDArray[np.int64]:
        """Label of each frame, (N,), by the experiment's own decoder."""
        return self.decoded[self.decoder]

    def sample_labels(self, decoder: str) -> NDArray[np.int64]:
        """Label of each sample, (n,), by one of the decoders."""
        return self.decoded[decoder][self.to_sample]

    def segments(self) -> list[Segment]:
        """The timeline of the experiment's own decoder; confidence is the mean smoothed posterior of the label."""
        labels = self.sample_labels(self.decoder)
        posterior = self.smoothed[self.to_sample, labels]
        return [
            Segment(label, start_s, end_s, float(np.clip(posterior[a:b].mean(), 0, 1)))
            for label, a, b, start_s, end_s in self.spans(labels)
        ]

    def spans(self, labels: NDArray[np.int64]) -> list[tuple[int, int, int, float, float]]:
        """Runs of equal sample labels (n,): label, first, last + 1 sample, start and end in seconds.

        A run lasts until the next one begins. Only a pause of the clock that is longer than a window ends a run and
        belongs to none: nobody knows what went on there.
        """
        time, step = self.recording.time_s, 1 / self.recording.rate_hz
        pause = pauses(self.recording, self.frames.window)
        ends = np.append(np.where(pause, time[:-1] + step, time[1:]), time[-1] + step)
        edges = [0, *(np.flatnonzero(pause | (np.diff(labels) != 0)) + 1).tolist(), len(labels)]
        return [(int(labels[a]), a, b, float(time[a]), float(ends[b - 1])) for a, b in pairwise(edges)]


def pauses(recording: Recording, window: int) -> NDArray[np.bool_]:
    """Where the clock stands still for longer than a window, (n - 1,): there a timeline ends and another begins."""
    longer: NDArray[np.bool_] = np.diff(recording.time_s) > window / recording.rate_hz
    return longer


def decode(
    recording: Recording, frames: Frames, decoding: Decoding, hop: int, names: Collection[str] | None = None
) -> Result:
    """Decode a recording's frames by some decoders (None: all); the stretches beside a gap of the clock one by one."""
    proba = decoding.calibrate(frames.logits, frames.has_data)
    log_proba = np.log(np.maximum(proba, 1e-12))
    filtered, smoothed = np.empty_like(proba), np.empty_like(proba)
    wanted = [name for name in decoding.decoders if names is None or name in names]
    decoded = {name: np.empty(len(frames), np.int64) for name in wanted}
    for piece in frames.pieces(hop):
        scores, has_data = log_proba[piece], frames.has_data[piece]
        posterior, ends = decoding.posterior, piece.stop == len(frames)
        filtered[piece] = posterior.filter(scores, has_data)
        smoothed[piece] = posterior.smooth(scores, has_data, ends=ends)
        for name in wanted:
            decoded[name][piece] = decoding.decode(name, scores, has_data, ends=ends)
    for name, labels in decoded.items():
        if (shortest := decoding.shortest_stay(name)) is not None:
            # Beside a gap of the clock a stretch begins and ends with what it likes; the guarantee is the timeline's,
            # which only a pause ends.
            for part in _between_pauses(recording, frames):
                labels[part] = min_dwell(labels[part], shortest)
    return Result(
        recording, frames, proba, filtered, smoothed, decoded, decoding.name, frame_of_sample(frames, recording)
    )


def _between_pauses(recording: Recording, frames: Frames) -> list[slice]:
    """Runs of frames without a pause of the clock between their centres."""
    before = np.concatenate([[0], np.cumsum(pauses(recording, frames.window))])
    stretch = before[centre_sample(recording, frames.start, frames.window)]
    edges = [0, *(np.flatnonzero(np.diff(stretch)) + 1).tolist(), len(frames)]
    return [slice(a, b) for a, b in pairwise(edges)]
