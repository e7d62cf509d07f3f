"""Smoothing in pieces: the outcome of the whole array, however it is cut, with bounded memory and exact restarts."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d_core import (
    HysteresisStream,
    MedianStream,
    MinDwellStream,
    ModeStream,
    hysteresis,
    median_filter,
    min_dwell,
    mode_filter,
)

RUNS = st.lists(st.tuples(st.integers(-1, 3), st.integers(1, 9)), max_size=30)
SEQUENCES = RUNS.map(lambda runs: np.array([label for label, length in runs for _ in range(length)], np.int64))
CUTS = st.lists(st.integers(0, 12), min_size=1, max_size=8)
ODD = st.integers(0, 12).map(lambda half: 2 * half + 1)
DTYPES = (np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64)


def in_pieces(stream: Any, labels: np.ndarray, cuts: list[int], restore: Callable[[], Any] | None = None) -> np.ndarray:
    """Push pieces of these lengths, over and over; with `restore` every piece goes to a new stream."""
    given, t, n, samples = [], 0, 0, 0
    while t < len(labels):
        length = cuts[n % len(cuts)] if any(cuts) else 1
        given.append(stream.push(labels[t : t + length]))
        t, n, samples = t + length, n + 1, samples + len(given[-1])
        assert stream.waiting == min(t, len(labels)) - samples
        if restore is not None:
            state = stream.save()
            stream = restore()
            stream.restore(state)
            assert stream.save() == state
    given.append(stream.flush())
    assert stream.waiting == 0
    return np.concatenate(given)


def transitions(labels: np.ndarray) -> int:
    return int(np.sum(labels[1:] != labels[:-1]))


def window(labels: np.ndarray, t: int, width: int) -> np.ndarray:
    return labels[np.clip(np.arange(t - width // 2, t + width // 2 + 1), 0, len(labels) - 1)]


def windows_alone(labels: np.ndarray, width: int, *, mode: bool) -> np.ndarray:
    smoothed = []
    for t in range(len(labels)):
        seen = window(labels, t, width)
        values, counts = np.unique(seen, return_counts=True)
        tied = values[counts == counts.max()] if len(values) else values
        smoothed.append((labels[t] if labels[t] in tied else tied[0]) if mode else np.sort(seen)[width // 2])
    return np.array(smoothed, labels.dtype)


@settings(max_examples=1500, deadline=None)
@given(labels=SEQUENCES, min_frames=st.integers(1, 12), cuts=CUTS)
def test_min_dwell_in_pieces_is_min_dwell(labels: np.ndarray, min_frames: int, cuts: list[int]) -> None:
    expected = min_dwell(labels, min_frames)
    np.testing.assert_array_equal(in_pieces(MinDwellStream(min_frames), labels, cuts), expected)
    again = in_pieces(MinDwellStream(min_frames), labels, cuts, restore=lambda: MinDwellStream(min_frames))
    np.testing.assert_array_equal(again, expected)


@pytest.mark.parametrize("min_frames", [2, 3, 4])
def test_min_dwell_in_pieces_is_min_dwell_on_every_short_sequence(min_frames: int) -> None:
    for n in range(1, 8):
        for labels in product(range(3), repeat=n):
            sequence = np.array(labels, np.uint8)
            expected = min_dwell(sequence, min_frames).tolist()
            assert in_pieces(MinDwellStream(min_frames), sequence, [1]).tolist() == expected


@pytest.mark.parametrize("kinds", [2, 3, 6])
def test_min_dwell_in_pieces_on_long_random_recordings(kinds: int) -> None:
    rng = np.random.default_rng(kinds)
    for round_ in range(60):
        lengths = rng.geometric(1 / rng.integers(2, 30), 400)
        labels = np.repeat(rng.integers(0, kinds, 400), lengths).astype(np.int32)
        min_frames = int(rng.integers(1, 40))
        cuts = rng.integers(0, 1 + 10 ** (round_ % 4), 7).tolist()
        np.testing.assert_array_equal(
            in_pieces(MinDwellStream(min_frames), labels, cuts), min_dwell(labels, min_frames)
        )


def test_min_dwell_gives_what_is_certain_at_once() -> None:
    stream = MinDwellStream(3)
    assert stream.push([1, 1]).tolist() == [1, 1]  # the first segment is never removed
    assert stream.push([2, 2]).tolist() == []
    assert stream.push([2]).tolist() == [2, 2, 2]  # long enough
    assert stream.push([1]).tolist() == []
    assert stream.push([2]).tolist() == [2, 2]  # between the same label on both sides it goes
    assert stream.push([1, 3, 3, 3, 3]).tolist() == []  # 5 samples of 2 before it, 4 of 3 so far
    assert stream.push([3]).tolist() == []
    assert stream.push([3]).tolist() == [3] * 7  # longer than what stands before it
    assert stream.waiting == 0


def test_what_waits_does_not_grow_with_the_recording() -> None:
    rng = np.random.default_rng(0)
    stream, most, sizes = MinDwellStream(8), 0, []
    for _ in range(400):
        labels = np.repeat(rng.integers(0, 5, 200), rng.integers(1, 9, 200)).astype(np.uint8)
        stream.push(labels)
        sizes.append(len(stream.save()))
        most = max(most, stream.waiting)
    # 13 bytes of kind, 1 of dtype, three words, and two words for each of at most 2 * 8 + 2 segments
    assert max(sizes) <= 14 + 24 + 16 * 18
    for stream in (ModeStream(9), MedianStream(9)):
        sizes = []
        for _ in range(50):
            stream.push(rng.integers(0, 5, 100).astype(np.uint8))
            assert stream.waiting == 4
            sizes.append(len(stream.save()))
        assert len(set(sizes)) == 1


@settings(max_examples=500, deadline=None)
@given(labels=SEQUENCES, width=ODD, cuts=CUTS, mode=st.booleans())
def test_windows_in_pieces_are_the_windows(labels: np.ndarray, width: int, cuts: list[int], mode: bool) -> None:
    kind, whole = (ModeStream, mode_filter) if mode else (MedianStream, median_filter)
    stream = kind(width)
    smoothed = in_pieces(stream, labels, cuts)
    np.testing.assert_array_equal(smoothed, windows_alone(labels, width, mode=mode))
    assert stream.gained == (transitions(smoothed) > transitions(labels))
    if not stream.gained:
        np.testing.assert_array_equal(smoothed, whole(labels, width))
    again = in_pieces(kind(width), labels, cuts, restore=lambda: kind(width))
    np.testing.assert_array_equal(again, smoothed)


def test_a_recording_that_gains_transitions_says_so() -> None:
    labels = np.array([0, 0, 0, 2, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0], np.uint8)
    stream = ModeStream(11)
    smoothed = in_pieces(stream, labels, [3])
    assert stream.gained
    assert transitions(smoothed) > transitions(labels) >= transitions(mode_filter(labels, 11))
    stream.push(labels[:1])  # the next recording
    assert not stream.gained


@settings(max_examples=300, deadline=None)
@given(labels=st.lists(st.integers(0, 1), max_size=60), width=ODD, cuts=CUTS)
def test_with_two_labels_the_streams_are_the_filters(labels: list[int], width: int, cuts: list[int]) -> None:
    sequence = np.array(labels, np.bool_)
    for kind in (ModeStream, MedianStream):
        stream = kind(width)
        smoothed = in_pieces(stream, sequence, cuts)
        assert not stream.gained
        np.testing.assert_array_equal(smoothed, mode_filter(sequence, width))


@settings(max_examples=300, deadline=None)
@given(p=st.lists(st.integers(0, 10).map(lambda tenths: tenths / 10), max_size=300), cuts=CUTS, f32=st.booleans())
def test_hysteresis_in_pieces_is_hysteresis(p: list[float], cuts: list[int], f32: bool) -> None:
    values = np.array(p, np.float32 if f32 else np.float64)
    stream, on, t, n = HysteresisStream(0.7, 0.3), [], 0, 0
    while t < len(values):
        length = cuts[n % len(cuts)] if any(cuts) else 1
        on += stream.push(values[t : t + length]).tolist()
        assert stream.on == (on[-1] if on else False)
        t, n = t + length, n + 1
        state = stream.save()
        stream = HysteresisStream(0.7, 0.3)
        stream.restore(state)
    assert on == hysteresis(values, 0.7, 0.3).tolist()
    stream.flush()
    assert not stream.on


def test_nan_leaves_the_switch_as_it_was() -> None:
    stream = HysteresisStream(0.8, 0.4)
    stream.push([0.9])
    with pytest.raises(ValueError, match="p row 1 is nan, expected numbers"):
        stream.push([0.1, float("nan")])
    assert stream.on
    assert stream.push([0.5]).tolist() == [True]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "whole"), [(ModeStream, mode_filter), (MinDwellStream, min_dwell)])
def test_labels_keep_their_dtype(kind: Any, whole: Any, dtype: type) -> None:
    labels = np.random.default_rng(0).integers(0, 2, 40).repeat(3).astype(dtype)
    smoothed = in_pieces(kind(5), labels, [7], restore=lambda: kind(5))
    assert smoothed.dtype == dtype
    np.testing.assert_array_equal(smoothed, whole(labels, 5))


def test_one_recording_after_the_other() -> None:
    for kind in (ModeStream, MedianStream, MinDwellStream):
        stream = kind(3)
        assert stream.flush().size == 0
        for dtype in (np.uint8, np.int64):
            assert in_pieces(stream, np.array([1, 1, 2, 2, 2, 1, 1], dtype), [2]).tolist() == [1, 1, 2, 2, 2, 1, 1]
        stream.push(np.zeros(3, np.int8))
        with pytest.raises(TypeError, match="labels has dtype int32, expected that of the first labels pushed"):
            stream.push(np.zeros(3, np.int32))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ModeStream(4), ValueError, "width is 4, expected an odd number of samples from 1"),
        (lambda: MedianStream(-1), ValueError, "width is -1, expected an odd number of samples from 1"),
        (lambda: ModeStream(3.0), TypeError, "width is 3.0, expected an integer"),
        (lambda: MinDwellStream(0), ValueError, "min_frames is 0, expected at least 1"),
        (lambda: HysteresisStream(0.4, 0.6), ValueError, "expected enter >= exit"),
        (lambda: HysteresisStream("high", 0.6), TypeError, "enter is 'high', expected a real number"),
        (lambda: ModeStream(3).push([[1]]), ValueError, r"labels has shape \(1, 1\), expected \(T,\)"),
        (lambda: ModeStream(3).push([0.5]), TypeError, "labels has dtype float64, expected bool, uint8"),
        (lambda: HysteresisStream(1, 0).push([[1]]), ValueError, r"p has shape \(1, 1\), expected \(T,\)"),
    ],
)
def test_what_cannot_be_used_is_refused(make: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def begun(kind: Any, *parameters: float) -> Any:
    stream = kind(*parameters)
    stream.push(np.array([1, 1, 1, 0, 1, 0, 0, 1, 1, 0], np.uint8))
    return stream


@pytest.mark.parametrize("make", [lambda: begun(ModeStream, 3), lambda: begun(MinDwellStream, 3),
                                  lambda: begun(HysteresisStream, 0.6, 0.4)])  # fmt: skip
def test_no_damaged_state_is_taken_or_breaks_anything(make: Callable[[], Any]) -> None:
    rng = np.random.default_rng(0)
    stream = make()
    state = stream.save()
    for cut in range(1, len(state)):
        try:
            stream.restore(state[:cut])
        except ValueError as error:
            assert "the saved state" in str(error)  # noqa: PT017
    stream.restore(state)
    for _ in range(3000):
        damaged = bytearray(state)
        damaged[rng.integers(len(damaged))] = rng.integers(256)
        fresh = make()
        try:
            fresh.restore(bytes(damaged))
        except ValueError as error:
            assert "the saved state" in str(error)  # noqa: PT017
            assert fresh.save() == state
    with pytest.raises(ValueError, match="the saved state"):
        make().restore(b"")


def test_a_state_belongs_to_one_kind_of_stream() -> None:
    with pytest.raises(ValueError, match="the saved state has a width of 3, expected 5 as in this stream"):
        ModeStream(5).restore(begun(ModeStream, 3).save())
    with pytest.raises(ValueError, match="the saved state is that of another statistic"):
        MedianStream(3).restore(begun(ModeStream, 3).save())
    with pytest.raises(ValueError, match="the saved state is of another kind"):
        MinDwellStream(3).restore(begun(ModeStream, 3).save())
    with pytest.raises(ValueError, match="the saved state has other thresholds"):
        HysteresisStream(0.7, 0.4).restore(begun(HysteresisStream, 0.6, 0.4).save())


def test_threads_may_share_a_stream() -> None:
    stream = MinDwellStream(3)
    with ThreadPoolExecutor(4) as pool:
        given = list(pool.map(lambda _: stream.push(np.ones(1000, np.int64)), range(100)))
    assert sum(map(len, given)) + len(stream.flush()) == 100_000
