"""The inner split: by subject where it can be, by blocks of time where it cannot, never with shared samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.inner_split import inner_split
from conv2d.errors import DataError

WINDOW = 20


def make(counts, hop=10, classes=3, seed=0):
    """Windows of one recording per subject; labels in long runs."""
    rng = np.random.default_rng(seed)
    subjects, starts, labels = [], [], []
    for i, n in enumerate(counts):
        subjects += [f"s{i}"] * n
        starts.append(np.arange(n) * hop)
        labels.append(np.repeat(rng.integers(0, classes, n // 7 + 1), 7)[:n])
    return np.array(subjects), np.concatenate(starts), np.concatenate(labels)


def split(subjects, starts, labels, k, classes=("a", "b", "c")):
    return inner_split(subjects, labels, classes, k, recordings=subjects, starts=starts, window=WINDOW)


@given(st.lists(st.integers(1, 40), min_size=3, max_size=12), st.integers(2, 6))
def test_by_subject_no_subject_stands_on_both_sides(counts, k):
    subjects, starts, labels = make(counts)
    inner = split(subjects, starts, labels, k)
    assert inner.by == "subject"
    assert len(inner.folds) == min(k, len(counts))
    held_out = np.concatenate([h for _, h in inner.folds])
    assert sorted(held_out.tolist()) == list(range(len(subjects)))
    for train, held in inner.folds:
        assert len(held)
        assert not set(subjects[train]) & set(subjects[held])
        assert len(train) + len(held) == len(subjects)


@given(st.lists(st.integers(60, 120), min_size=1, max_size=2), st.integers(2, 4), st.sampled_from([5, 10, 20, 40]))
def test_by_time_no_sample_stands_on_both_sides(counts, k, hop):
    subjects, starts, labels = make(counts, hop=hop)
    inner = split(subjects, starts, labels, k)
    assert inner.by == "time"
    assert "so the inner split is by blocks of time" in inner.warnings[0]
    assert sorted(np.concatenate([h for _, h in inner.folds]).tolist()) == list(range(len(subjects)))
    for train, held in inner.folds:
        for subject in set(subjects):
            a, b = starts[train][subjects[train] == subject], starts[held][subjects[held] == subject]
            assert np.abs(a[:, None] - b[None, :]).min(initial=WINDOW) >= WINDOW


def test_a_class_is_kept_on_both_sides_where_subjects_allow_it():
    # Balance alone would put the two subjects that have class c into one fold: they are the heaviest and the lightest.
    subjects = np.repeat(["s0", "s1", "s2", "s3"], [40, 30, 20, 10])
    labels = np.where(np.isin(subjects, ["s0", "s3"]) & (np.arange(100) % 2 == 0), 2, np.arange(100) // 2 % 2)
    inner = split(subjects, np.arange(100) * 10, labels, 2)
    for side in (s for fold in inner.folds for s in fold):
        assert {0, 1, 2} == set(labels[side].tolist())
    assert inner.warnings == ()


def test_a_class_of_one_subject_only_is_warned_of():
    subjects = np.repeat(["s0", "s1", "s2"], 10)
    labels = np.where(subjects == "s0", 1, 0)
    inner = split(subjects, np.arange(30) * 10, labels, 3, classes=("walk", "mount"))
    assert inner.warnings == (
        "class mount is absent from the training side of an inner fold, so its calibration is a guess",
    )


def test_by_time_a_class_in_two_places_is_put_on_both_sides_by_finer_blocks():
    labels = np.zeros(400, np.int64)
    labels[10:40] = labels[70:100] = 1  # both in the first of two blocks
    subjects = np.full(400, "rex")
    inner = split(subjects, np.arange(400) * 10, labels, 2, classes=("walk", "trot"))
    for side in (s for fold in inner.folds for s in fold):
        assert {0, 1} == set(labels[side].tolist())


def test_it_is_the_same_every_time():
    subjects, starts, labels = make([30, 22, 9, 41, 13])
    first, second = split(subjects, starts, labels, 3), split(subjects, starts, labels, 3)
    for a, b in zip(first.folds, second.folds, strict=True):
        np.testing.assert_array_equal(a[1], b[1])


def test_too_few_windows_for_blocks_of_time():
    with pytest.raises(DataError, match="E-DATA-013: 2 training windows of s0 are too few for 4 inner folds by time"):
        split(np.array(["s0", "s0"]), np.array([0, 10]), np.array([0, 1]), 4)


def test_one_inner_fold_is_no_split():
    with pytest.raises(DataError, match="asked for 1 inner folds, expected 2 or more"):
        split(*make([5, 5, 5]), 1)
