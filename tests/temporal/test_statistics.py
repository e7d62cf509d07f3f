"""What may be learned of lengths and changes, and what the edges of labels must not tell."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.temporal.statistics import OPEN, count_segments


def rows(seen):
    return [
        (int(k), int(low), None if high == OPEN else int(high), bool(started))
        for k, low, high, started in zip(seen.state, seen.lower, seen.upper, seen.started, strict=True)
    ]


def test_only_inner_segments_have_both_ends():
    seen = count_segments([[0, 0, 1, 1, 1, 2]], 3, max_gap=0)
    assert rows(seen) == [(0, 2, 2, False), (1, 3, 3, True), (2, 1, None, True)]
    assert seen.transitions.tolist() == [[0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert seen.initial.tolist() == [1, 0, 0]
    assert seen.frames.tolist() == [2, 3, 1]


def test_a_short_gap_between_two_labels_is_an_interval_and_a_transition():
    seen = count_segments([[2, 0, 0, 0, 0, -1, 1, 1, 1, 1, 1, 1, 2]], 3, max_gap=1)
    assert rows(seen)[1:3] == [(0, 4, 5, True), (1, 6, 7, True)]
    assert seen.transitions[0, 1] == 1


def test_a_long_gap_between_two_labels_is_an_interval_of_half_the_length_without_a_transition():
    seen = count_segments([[2] + [0] * 4 + [-1] * 50 + [1] * 6 + [2]], 3, max_gap=10)
    assert rows(seen)[1:3] == [(0, 4, 6, True), (1, 6, 9, True)]
    assert seen.transitions[0, 1] == 0


def test_the_same_label_around_a_gap():
    short = count_segments([[1, 0, 0, -1, 0, 1]], 2, max_gap=1)
    assert rows(short)[1] == (0, 4, 4, True)
    long = count_segments([[1, 0, 0, -1, -1, 0, 1]], 2, max_gap=1)
    assert rows(long)[1:3] == [(0, 2, None, True), (0, 1, 1, False)]
    assert long.transitions.sum() == 2


def test_unlabelled_edges_hide_the_start_and_the_end():
    seen = count_segments([[-1, -1, 0, 0, 1, 1, -1]], 2, max_gap=1)
    assert rows(seen) == [(0, 2, 2, False), (1, 2, None, True)]
    assert seen.initial.tolist() == [0, 0]
    assert count_segments([[-1, 0]], 2, max_gap=1).initial.tolist() == [1, 0]


def test_one_label_a_recording_is_open_on_both_sides():
    seen = count_segments([[0] * 5, [1] * 7, [-1, -1]], 2, max_gap=3)
    assert rows(seen) == [(0, 5, None, False), (1, 7, None, False)]
    assert seen.transitions.sum() == 0


@settings(max_examples=200)
@given(st.lists(st.lists(st.integers(-1, 3), max_size=40), min_size=1, max_size=4), st.integers(0, 5))
def test_counts_are_consistent(sequences, max_gap):
    if not any(label >= 0 for sequence in sequences for label in sequence):
        with pytest.raises(UsageError, match="has a labelled frame"):
            count_segments(sequences, 4, max_gap)
        return
    seen = count_segments(sequences, 4, max_gap)
    assert (seen.upper >= seen.lower).all()
    assert (seen.lower >= 1).all()
    assert (np.diagonal(seen.transitions) == 0).all()
    flat = np.concatenate([np.array(sequence, int) for sequence in sequences])
    np.testing.assert_array_equal(seen.frames, np.bincount(flat[flat >= 0], minlength=4))
    # Every labelled frame lies in one segment; joined gaps may add unlabelled ones.
    assert seen.lower.sum() >= (flat >= 0).sum()
    # Recordings run backwards have the same segments and the opposite changes.
    back = count_segments([sequence[::-1] for sequence in sequences], 4, max_gap)
    np.testing.assert_array_equal(back.transitions, seen.transitions.T)
    np.testing.assert_array_equal(np.sort(back.lower), np.sort(seen.lower))


def test_a_label_that_is_no_state():
    with pytest.raises(UsageError, match="sequence 1 holds label 3, expected 0 to 2"):
        count_segments([[0], [3]], 3, 0)
