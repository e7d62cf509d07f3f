"""From frames back to samples: the nearest centre, never across a gap of the clock where it can be helped."""

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data import Recording
from conv2d.data.windows import window_starts
from conv2d.tasks.behavior.corpus import Corpus, Selection
from conv2d.tasks.behavior.frames import Frames, centre_sample, frame_of_sample, piece_of_sample, start_times
from conv2d.tasks.behavior.preprocess import Preprocess, WindowReader

RATE = 10.0


def recording_of(time_s: np.ndarray) -> Recording:
    n = len(time_s)
    samples = np.zeros((1, 1, n), np.float32)
    return Recording("r", "s", RATE, ("a",), ("x",), time_s, samples, np.zeros(n, np.int64), ("one",))


def corpus_of(recording: Recording, window: int) -> Corpus:
    selection = Selection(recording.sensors, recording.channels, recording.classes)
    return Corpus((recording,), selection, window, RATE, ((0.0, 0.0),))


def frames_of(recording: Recording, window: int, hop: int) -> Frames:
    place = corpus_of(recording, window).frames(hop, "centre")
    n = len(place)
    return Frames(
        "r", "s", window, RATE, place.start, start_times(recording, place.start, window),
        piece_of_sample(recording)[centre_sample(recording, place.start, window)], place.label,
        np.zeros((n, 1)), None, None, np.ones(n, bool),
    )  # fmt: skip


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
    assert [piece.stop - piece.start for piece in frames.pieces(5)] == [6, 6]
    chosen = frame_of_sample(frames, recording)
    assert (frames.piece[chosen[:30]] == 0).all()
    assert (frames.piece[chosen[30:]] == 1).all()


def test_a_stretch_without_a_window_takes_what_is_nearest() -> None:
    time_s = np.concatenate([np.arange(30), [100, 101, 102]]) / RATE
    recording = recording_of(time_s)
    frames = frames_of(recording, window=10, hop=5)
    assert (frame_of_sample(frames, recording)[30:] == len(frames) - 1).all()


def test_times_are_those_of_the_recording() -> None:
    recording = recording_of(5 + np.arange(20) / RATE)
    frames = frames_of(recording, window=10, hop=5)
    assert np.allclose(frames.start_s, [4.5, 5, 5.5, 6])
    assert np.allclose(frames.time_s, [5, 5.5, 6, 6.5])
    assert np.allclose(frames.end_s, [5.5, 6, 6.5, 7])


@given(st.integers(2, 12), st.integers(1, 6), st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_frames_cover_every_stretch_and_read_only_from_it(window: int, hop: int, lengths: list[int]) -> None:
    hop = min(hop, window)
    gaps = np.repeat(np.arange(len(lengths)) * 100.0, lengths)
    recording = recording_of(np.arange(sum(lengths)) / RATE + gaps)
    piece = piece_of_sample(recording)
    # Each sample says which stretch it is of, and where.
    values = (piece * 1000 + np.arange(len(piece))).astype(np.float32)
    recording = replace(recording, samples=values[None, None])
    corpus = corpus_of(recording, window)
    if max(lengths) < window:
        return
    place = corpus.frames(hop, "centre")
    assert (np.diff(place.start) > 0).all()
    one = np.ones((1, 1), np.float32)
    reader = WindowReader(corpus, Preprocess(0 * one, one, ("a",), ("x",), ("s",), False))
    read = reader.scaled(reader.flat(place)).numpy()[:, 0, 0]
    for start, row in zip(place.start, read, strict=True):
        mine = piece[start + window // 2]
        inside = np.flatnonzero(piece == mine)
        assert np.array_equal(row, values[np.clip(np.arange(start, start + window), inside[0], inside[-1])])
    whole = window_starts(recording.time_s, RATE, window, hop)
    assert set(whole) == set(place.start[place.label >= 0])
    centres = place.start + window // 2
    for number, length in enumerate(lengths):
        if length >= window:
            inside = np.flatnonzero(piece == number)
            mine = centres[piece[centres] == number]
            assert mine[0] - inside[0] < hop
            assert inside[-1] - mine[-1] < hop


def test_training_windows_reach_beyond_the_ends_under_the_rule_centre_alone() -> None:
    recording = recording_of(np.arange(30) / RATE)
    recording = replace(recording, labels=np.repeat([0, 1, -1], 10))
    corpus = corpus_of(recording, 8)
    place = corpus.training_windows(2, "centre")
    assert place.start.tolist() == list(range(-4, 16, 2))
    assert place.label.tolist() == [0] * 5 + [1] * 5
    pure = corpus.training_windows(2, "pure")
    assert pure.start.tolist() == [0, 2, 10, 12]
