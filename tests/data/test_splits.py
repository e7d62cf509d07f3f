"""Splits by subject, against scikit-learn's GroupKFold."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from conv2d.data.meta import RecordingRow
from conv2d.data.splits import Fold, grouped_k_fold, leave_one_subject_out, subjects_by_split
from conv2d.errors import DataError

groups = st.lists(st.sampled_from([f"s{i:02d}" for i in range(30)]), min_size=1, max_size=120)


@given(groups, st.integers(2, 7))
def test_folds_are_those_of_scikit_learn(windows, k):
    if len(set(windows)) < k:
        with pytest.raises(DataError, match=f"E-DATA-013: {k} folds need {k} subjects"):
            grouped_k_fold(windows, k)
        return
    folds = grouped_k_fold(windows, k)
    array = np.array(windows)
    for fold, (train, test) in zip(folds, GroupKFold(k).split(array, groups=array), strict=True):
        assert fold == (tuple(sorted(set(array[train].tolist()))), tuple(sorted(set(array[test].tolist()))))


@given(groups, st.integers(2, 5), st.randoms())
def test_folds_partition_the_subjects_whatever_the_order_of_windows(windows, k, random):
    if len(set(windows)) < k:
        return
    folds = grouped_k_fold(windows, k)
    assert sorted(s for fold in folds for s in fold.test) == sorted(set(windows))
    for fold in folds:
        assert fold.test
        assert set(fold.train) | set(fold.test) == set(windows)
        assert not set(fold.train) & set(fold.test)
    random.shuffle(windows)
    assert grouped_k_fold(windows, k) == folds


def test_one_fold_is_no_split():
    with pytest.raises(DataError, match="asked for 1 folds, expected 2 or more"):
        grouped_k_fold(["a", "b"], 1)


def test_leave_one_out_tests_each_subject_once():
    assert leave_one_subject_out(["b", "a", "c", "a"]) == [
        Fold(("b", "c"), ("a",)),
        Fold(("a", "c"), ("b",)),
        Fold(("a", "b"), ("c",)),
    ]
    with pytest.raises(DataError, match=r"E-DATA-013: leaving one subject out needs two or more, there is a;"):
        leave_one_subject_out(["a", "a"])


def row(name, subject, **meta):
    return RecordingRow(name, subject, 10, 50.0, meta)


def test_the_split_column():
    table = [row("r1", "b", split="train"), row("r2", "a", split="train"), row("r3", "c", split="test"), row("r4", "d")]
    assert subjects_by_split(table) == {"train": ("a", "b"), "test": ("c",)}
    assert subjects_by_split([row("r1", "a")]) == {}


def test_a_subject_in_two_splits_is_refused():
    with pytest.raises(DataError, match=r"subject a stands in split train and in test \(recording r2\)"):
        subjects_by_split([row("r1", "a", split="train"), row("r2", "a", split="test")])
