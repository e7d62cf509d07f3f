"""Frame-wise scores against their definitions, written out one class or row at a time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.metrics import accuracy, balanced_accuracy, brier, confusion, macro_f1, nll, per_class_f1

labels = st.integers(2, 5).flatmap(
    lambda k: st.tuples(
        st.just(k), st.lists(st.tuples(st.integers(0, k - 1), st.integers(-2, k)), min_size=1, max_size=60)
    )
)


def reference_f1(y, p, n_classes):
    """The contract's definition, class by class."""
    out = []
    for k in range(n_classes):
        hits = ((p == k) & (y == k)).sum()
        total = (p == k).sum() + (y == k).sum()
        out.append(np.nan if (y == k).sum() == 0 else (2 * hits / total if total else 0.0))
    return np.array(out)


@given(labels)
def test_f1_equals_the_definition_exactly(case):
    k, pairs = case
    y, p = np.array(pairs).T
    np.testing.assert_array_equal(per_class_f1(y, p, k), reference_f1(y, p, k))
    assert macro_f1(y, p, k) == np.nanmean(reference_f1(y, p, k))
    assert accuracy(y, p) == (y == p).mean()


@given(labels)
def test_confusion_rows_sum_to_the_support(case):
    k, pairs = case
    y, p = np.array(pairs).T
    table = confusion(y, p, k)
    np.testing.assert_array_equal(table.sum(axis=1), np.bincount(y, minlength=k))
    expected = np.zeros((k, k + 1), int)
    for true, predicted in zip(y, p, strict=True):
        expected[true, predicted if 0 <= predicted < k else k] += 1
    np.testing.assert_array_equal(table, expected)


@given(labels)
def test_balanced_accuracy_is_mean_recall_of_present_classes(case):
    k, pairs = case
    y, p = np.array(pairs).T
    recall = [np.mean(p[y == c] == c) for c in np.unique(y)]
    assert balanced_accuracy(y, p, k) == pytest.approx(np.mean(recall), abs=1e-12)


def test_predicted_but_absent_class_is_not_averaged_in():
    # scikit-learn would count class 2 as a zero; the contract leaves it out.
    assert macro_f1([0, 0, 1, 1], [0, 2, 1, 1], n_classes=3) == pytest.approx((2 / 3 + 1) / 2)


@settings(max_examples=50)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 40))
def test_probability_scores(seed, k, n):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet(np.full(k, 0.1), size=n)
    y = rng.integers(0, k, n)
    assert nll(y, proba) == float(-np.log(np.clip(proba[np.arange(n), y], 1e-7, 1)).mean())
    one_hot = np.eye(k)[y]
    assert brier(y, proba) == pytest.approx(((proba - one_hot) ** 2).sum(axis=1).mean(), abs=1e-12)


def test_exact_zero_is_clipped_not_infinite():
    assert nll([0], [[0.0, 1.0]]) == pytest.approx(-np.log(1e-7))
    assert brier([0], [[0.0, 1.0]]) == 2.0


def test_nothing_to_score_is_nan():
    empty = np.empty(0, int)
    assert np.isnan(accuracy(empty, empty))
    assert np.isnan(macro_f1(empty, empty, 3))
    assert np.isnan(balanced_accuracy(empty, empty, 3))
    assert np.isnan(nll(empty, np.empty((0, 3))))
    assert np.isnan(brier(empty, np.empty((0, 3))))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: accuracy([0, 1], [0]), "y_true has 2, y_pred has 1 rows"),
        (lambda: accuracy([[0, 1]], [0]), r"y_true has shape \(1, 2\), expected \(N,\)"),
        (lambda: accuracy([0.5], [0]), "y_true holds float64 values, expected class indices"),
        (lambda: accuracy(["walk"], [0]), "y_true holds <U4 values, expected class indices"),
        (lambda: confusion([0, 3], [0, 0], 3), r"y_true\[1\] is 3, expected 0 to 2"),
        (lambda: macro_f1([-1], [0], 3), r"y_true\[0\] is -1, expected 0 to 2"),
        (lambda: nll([0, 0], [[0.5, 0.5], [0.5, 0.6]]), "row 1 sums to 1.1"),
        (lambda: nll([0, 0], [[0.5, 0.5], [np.nan, 1]]), "row 1 holds NaN"),
        (lambda: nll([0], [[3.0, -2.0]]), "apply a softmax to logits"),
        (lambda: nll([2], [[0.5, 0.5]]), r"y_true\[0\] is 2, expected 0 to 1"),
        (lambda: nll([0], [0.5, 0.5]), r"expected \(N, K\) probabilities"),
        (lambda: nll([], np.empty((0, 0))), "no column"),
    ],
)
def test_errors_name_what_was_got(call, text):
    with pytest.raises(UsageError, match=text):
        call()
