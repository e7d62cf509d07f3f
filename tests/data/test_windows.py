"""Windows against a plain loop over the rule that the results are scored by."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data import windows as windows_module
from conv2d.data.windows import label_windows, sliding, time_gaps, window_starts

RATE = 50.0


def plain_starts(time_s, rate_hz, window, hop):
    return [
        s
        for s in range(0, len(time_s) - window + 1, hop)
        if all(time_s[i + 1] - time_s[i] <= 1.5 / rate_hz for i in range(s, s + window - 1))
    ]


def plain_label(labels, rule):
    """The scorer's rule for centre and pure; for majority the most frequent, -1 last among equals."""
    if rule == "centre":
        labels = labels[[len(labels) // 2]]  # the only one looked at
        chosen = labels[0]
    elif rule == "pure":
        chosen = labels[0] if (labels == labels[0]).all() else -1
    else:
        values = sorted(set(labels.tolist()), key=lambda v: (-(labels == v).sum(), v < 0, v))
        chosen = values[0]
    return int(chosen), (labels == chosen).mean() if chosen >= 0 else 0.0


@st.composite
def clocks(draw):
    steps = draw(st.lists(st.sampled_from([1.0, 1.0, 1.0, 1.02, 1.4, 1.6, 40.0]), max_size=60))
    start = draw(st.floats(0, 1e5))
    return start + np.concatenate([[0.0], np.cumsum(steps)]) / RATE if draw(st.booleans()) else np.empty(0)


@given(clocks(), st.integers(1, 20), st.integers(1, 25))
def test_starts_are_those_of_a_plain_loop(time_s, window, hop):
    starts = window_starts(time_s, RATE, window, hop)
    assert starts.dtype == np.int64
    assert starts.tolist() == plain_starts(time_s, RATE, window, hop)


@given(st.lists(st.integers(-1, 3), min_size=1, max_size=60), st.integers(1, 12), st.integers(1, 9))
def test_labels_are_those_of_a_plain_loop(labels, window, hop):
    labels = np.array(labels, np.int64)
    starts = window_starts(np.arange(len(labels)) / RATE, RATE, window, hop)
    for rule in ("centre", "majority", "pure"):
        got, share = label_windows(labels, starts, window, rule)
        expected = [plain_label(labels[s : s + window], rule) for s in starts]
        assert got.dtype == np.int64
        assert got.tolist() == [label for label, _ in expected]
        np.testing.assert_allclose(share, [part for _, part in expected])


def test_majority_prefers_the_smallest_class_and_a_class_to_nothing():
    labels = np.array([2, 1, 1, 2, -1, -1, 3, 3])
    got, share = label_windows(labels, np.array([0, 4]), 4, "majority")
    assert got.tolist() == [1, 3]
    assert share.tolist() == [0.5, 0.5]


def test_a_window_masked_for_the_most_part_has_no_majority():
    got, share = label_windows(np.array([-1, -1, -1, 0, 1]), np.array([0]), 5, "majority")
    assert (got[0], share[0]) == (-1, 0.0)


def test_two_masked_classes_in_a_window_are_no_pure_window():
    assert label_windows(np.array([-1, -1]), np.array([0]), 2, "pure")[0].tolist() == [-1]


def test_a_gap_drops_only_the_windows_that_span_it():
    time_s = np.arange(30) / RATE
    time_s[10:] += 1.0
    assert window_starts(time_s, RATE, 5, 5).tolist() == [0, 5, 10, 15, 20, 25]
    assert window_starts(time_s, RATE, 5, 2).tolist() == [0, 2, 4, 10, 12, 14, 16, 18, 20, 22, 24]
    assert np.flatnonzero(time_gaps(time_s, RATE)).tolist() == [9]


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 9), st.integers(1, 3), st.integers(1, 2))
def test_sliding_is_a_view_with_the_samples_of_each_window(n, window, hop, n_channels, n_sensors):
    samples = np.arange(n_channels * n_sensors * n, dtype=np.float32).reshape(n_channels, n_sensors, n)
    starts = window_starts(np.arange(n) / RATE, RATE, window, hop)
    windows = sliding(samples, starts, window)
    assert windows.shape == (len(starts), n_channels, n_sensors, window)
    for i, s in enumerate(starts):
        np.testing.assert_array_equal(windows[i], samples[:, :, s : s + window])
    if len(starts):
        assert np.shares_memory(windows, samples)
        assert not windows.flags.writeable


@pytest.mark.parametrize("starts", [[0, 2, 7], [4, 2, 0], [3, 3]])
def test_sliding_over_uneven_starts(starts):
    samples = np.arange(24, dtype=np.float32).reshape(2, 1, 12)
    windows = sliding(samples, np.array(starts), 5)
    for i, s in enumerate(starts):
        np.testing.assert_array_equal(windows[i], samples[:, :, s : s + 5])


@pytest.mark.parametrize(("starts", "window"), [([-1], 3), ([8], 3), ([0], 11)])
def test_sliding_refuses_windows_outside(starts, window):
    with pytest.raises(ValueError, match="do not fit into 10 samples"):
        sliding(np.zeros((1, 1, 10), np.float32), np.array(starts), window)


@pytest.mark.parametrize(("window", "hop"), [(0, 1), (1, 0), (-3, 2)])
def test_window_and_hop_are_at_least_one(window, hop):
    with pytest.raises(ValueError, match=f"window is {window} and hop {hop} samples, expected 1 or more"):
        window_starts(np.arange(9) / RATE, RATE, window, hop)


def test_the_centre_counts_no_class(monkeypatch):
    """One look at each window, however many classes there are and however long the recording is."""

    def count(*_):
        raise AssertionError("counted")

    monkeypatch.setattr(windows_module, "_counts", count)
    got, share = label_windows(np.array([0, -1, 10**12, 0]), np.array([0, 1, 2]), 2, "centre")
    assert got.tolist() == [-1, 10**12, 0]
    assert share.tolist() == [0.0, 1.0, 1.0]


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule is 'center', expected centre, majority or pure"):
        label_windows(np.zeros(9, np.int64), np.array([0]), 3, "center")  # type: ignore[arg-type]


def test_a_recording_shorter_than_a_window_gives_none():
    starts = window_starts(np.arange(5) / RATE, RATE, 6, 1)
    labels, share = label_windows(np.zeros(5, np.int64), starts, 6)
    assert len(starts) == len(labels) == len(share) == 0
    assert sliding(np.zeros((2, 1, 5), np.float32), starts, 6).shape == (0, 2, 1, 6)
