"""Raw, mode filter, shortest stay and the policy of both: what they promise holds on any input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.metrics import runs
from conv2d.temporal import MedianHysteresisPolicy, MinDwell, ModeFilter, Raw
from conv2d.temporal.median import MedianHysteresisPolicy as BySeedPath

sequences = st.lists(st.integers(0, 4), min_size=1, max_size=80).map(np.array)


def as_log_proba(labels, k=5):
    return np.log(np.where(labels[:, None] == np.arange(k), 0.8, 0.05))


@settings(max_examples=300)
@given(sequences, st.integers(1, 12), st.integers(0, 8))
def test_policy_keeps_its_promises(labels, min_dwell, half):
    smoothed = MedianHysteresisPolicy(min_dwell, 2 * half + 1).smooth(labels)
    assert smoothed.shape == labels.shape
    assert set(smoothed.tolist()) <= set(labels.tolist())
    assert len(runs(smoothed)) <= len(runs(labels))
    inner = runs(smoothed)[1:-1]
    assert (inner[:, 2] - inner[:, 1] >= min_dwell).all()


@settings(max_examples=100)
@given(sequences, st.floats(0.05, 5), st.floats(0.05, 1))
def test_min_dwell_is_a_guarantee_in_seconds(labels, min_dwell_s, frame_s):
    decoded = MinDwell(min_dwell_s, frame_s).decode(as_log_proba(labels))
    inner = decoded.segments[1:-1]
    assert ((inner[:, 2] - inner[:, 1]) * frame_s >= min_dwell_s - 1e-6).all()


def test_no_lock_in():
    # Three frames of A, then B for good: a counter that stands still while A is held would never leave A.
    labels = np.r_[np.zeros(3, int), np.ones(97, int)]
    smoothed = MedianHysteresisPolicy(min_dwell=5, window_size=7).smooth(labels)
    assert (smoothed[5:] == 1).all()


def test_batches_are_rows_apart_and_dtypes_are_kept():
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 4, (6, 50)).astype(np.int32)
    policy = MedianHysteresisPolicy()
    smoothed = policy.smooth(batch)
    assert smoothed.dtype == np.int32
    for row, expected in zip(batch, smoothed, strict=True):
        np.testing.assert_array_equal(policy.smooth(row), expected)
    assert policy.smooth(batch.astype(np.uint8)).dtype == np.int64
    assert policy.smooth(np.empty((3, 0), int)).shape == (3, 0)
    assert policy.smooth([]).shape == (0,)
    assert BySeedPath is MedianHysteresisPolicy


def test_seconds_become_frames():
    assert ModeFilter(0.1, 0.5).frames == 1
    assert ModeFilter(1.5, 0.5).frames == 3
    assert ModeFilter(2.0, 0.5).frames == 5
    assert MinDwell(0.3, 0.1).frames == 3
    assert MinDwell(0.31, 0.1).frames == 4
    assert MinDwell(0.01, 0.1).frames == 1


def test_frames_without_data_keep_the_last_class():
    labels = np.array([1, 1, 0, 0, 2, 2])
    scores = as_log_proba(labels)
    scores[[0, 3]] = np.nan
    has_data = np.array([False, True, True, False, True, True])
    for decoder in (Raw(), ModeFilter(0.5, 0.5), MinDwell(0.5, 0.5), MedianHysteresisPolicy(1, 1)):
        np.testing.assert_array_equal(decoder.decode(scores, has_data).labels, labels)
        assert decoder.decode(np.empty((0, 5))).labels.shape == (0,)
        with pytest.raises(UsageError, match="none of 6 frames has data"):
            decoder.decode(scores, np.zeros(6, bool))


@pytest.mark.parametrize(
    "decoder", [Raw(), ModeFilter(1.25, 0.25), MinDwell(1.25, 0.25), MedianHysteresisPolicy(3, 9)], ids=lambda d: d
)
def test_stored_and_read_back(decoder):
    assert type(decoder).from_dict(decoder.to_dict()) == decoder
    with pytest.raises(UsageError, match="expected 'conv2d-smoothing/1'"):
        type(decoder).from_dict(decoder.to_dict() | {"format": "conv2d-smoothing/2"})


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: MedianHysteresisPolicy(min_dwell=0), "min_dwell is 0, expected at least 1 frame"),
        (lambda: MedianHysteresisPolicy(window_size=4), "window_size is 4, expected an odd number"),
        (lambda: MedianHysteresisPolicy().smooth([0.5]), r"motifs are float64 of shape \(1,\), expected integers"),
        (lambda: MedianHysteresisPolicy().smooth(np.zeros((1, 1, 1), int)), r"shape \(1, 1, 1\)"),
        (lambda: ModeFilter(0, 1), "window_s is 0"),
        (lambda: MinDwell(1, float("nan")), "frame_s is nan"),
    ],
)
def test_errors_name_what_was_got(call, text):
    with pytest.raises(UsageError, match=text):
        call()
