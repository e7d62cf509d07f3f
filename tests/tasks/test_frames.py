"""From frames back to samples: the nearest centre, never across a gap of the clock where it can be helped."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data import Recording
from conv2d.data.windows import window_starts
from conv2d.tasks.behavior.frames import Frames, frame_of_sample

RATE = 10.0


def recording_of(time_s: np.ndarray) -> Recording:
    n = len(time_s)
    samples = np.zeros((1, 1, n), np.float32)
    return Recording("r", "s", RATE, ("a",), ("x",), time_s, samples, np.zeros(n, np.int64), ("one",))


def frames_of(recording: Recording, window: int, hop: int) -> Frames:
    start = window_starts(recording.time_s, RATE, window, hop)
    n = len(start)
    return Frames(
        "r", "s", window, RATE, start, recording.time_s[start], np.zeros((n, 1)), None, None, np.ones(n, bool)
    )


@given(st.integers(4, 20), st.integers(1, 6), st.integers(0, 60))
def test_every_sample_takes_the_nearest_centre(window: int, hop: int, extra: int) -> None:
    recording = recording_of(np.arange(window + extra) / RATE)
    frames = frames_of(recording, window, min(hop, window))
    chosen = frame_of_sample(frames, recording)
    centre = frames.start + window / 2
    distance = np.abs(centre[None] - (np.arange(window + extra) + 0.5)[:, None])
    assert np.allclose(distance[np.arange(len(chosen)), chosen], distance.min(1))
    assert (np.diff(chosen) >= 0).all()


def test_a_gap_of_the_clock_keeps_samples_on_their_side() -> None:
    time_s = np.concatenate([np.arange(30), np.arange(30) + 300]) / RATE
    recording = recording_of(time_s)
    frames = frames_of(recording, window=10, hop=5)
    assert [piece.stop - piece.start for piece in frames.pieces(5)] == [5, 5]
    chosen = frame_of_sample(frames, recording)
    assert (frames.start[chosen[:30]] < 30).all()
    assert (frames.start[chosen[30:]] >= 30).all()


def test_a_stretch_without_a_window_takes_what_is_nearest() -> None:
    time_s = np.concatenate([np.arange(30), [100, 101, 102]]) / RATE
    recording = recording_of(time_s)
    frames = frames_of(recording, window=10, hop=5)
    assert (frame_of_sample(frames, recording)[30:] == len(frames) - 1).all()


def test_times_are_those_of_the_recording() -> None:
    recording = recording_of(5 + np.arange(20) / RATE)
    frames = frames_of(recording, window=10, hop=10)
    assert np.allclose(frames.start_s, [5, 6])
    assert np.allclose(frames.time_s, [5.5, 6.5])
    assert np.allclose(frames.end_s, [6, 7])
