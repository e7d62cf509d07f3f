"""One call gives every figure, and refuses what it cannot score."""

import json

import numpy as np
import pytest

from conv2d import metrics as m
from conv2d.errors import UsageError
from conv2d.metrics.core import MetricsCalculator


@pytest.fixture
def case():
    rng = np.random.default_rng(3)
    proba = rng.dirichlet(np.ones(4), size=200)
    return rng.integers(0, 3, 200), proba.argmax(axis=1), proba


def test_equals_the_single_functions(case):
    y, p, q = case
    all_of = MetricsCalculator().compute_all(y, p, q)
    assert all_of.accuracy == m.accuracy(y, p)
    assert all_of.macro_f1 == m.macro_f1(y, p, 4)
    assert all_of.balanced_accuracy == m.balanced_accuracy(y, p, 4)
    assert (all_of.nll, all_of.brier) == (m.nll(y, q), m.brier(y, q))
    assert (all_of.ece, all_of.mce) == (m.ece(y, q), m.mce(y, q))
    np.testing.assert_array_equal(all_of.support, np.bincount(y, minlength=4))
    assert np.isnan(all_of.per_class_f1[3])
    assert all_of.n == 200


def test_unlabelled_rows_are_dropped_everywhere(case):
    y, p, q = case
    masked = y.copy()
    masked[::3] = -1
    kept = masked >= 0
    got = MetricsCalculator().compute_all(masked, p, q, sets=q > 0.2)
    expected = MetricsCalculator().compute_all(y[kept], p[kept], q[kept], sets=(q > 0.2)[kept])
    assert got.to_dict() == expected.to_dict()
    assert got.n == kept.sum()


def test_sets_give_coverage_and_size():
    sets = np.array([[True, False], [True, True], [False, False]])
    got = MetricsCalculator().compute_all([0, 1, 0], [0, 1, 0], sets=sets)
    assert got.coverage == pytest.approx(2 / 3)
    assert got.mean_set_size == 1
    assert np.isnan(got.nll)


def test_to_dict_is_json_with_names_and_without_nan(case):
    y, p, q = case
    text = json.dumps(MetricsCalculator(class_names="abcd").compute_all(y, p, q).to_dict(), allow_nan=False)
    assert json.loads(text)["per_class"]["d"] == {"f1": None, "support": 0}
    nothing = MetricsCalculator().compute_all(np.full(3, -1), np.zeros(3, int), np.full((3, 2), 0.5)).to_dict()
    json.dumps(nothing, allow_nan=False)
    assert nothing["accuracy"] is None
    assert nothing["n"] == 0


def test_subjects():
    scores = m.per_subject_macro_f1([0, 1, 0, 1, 0], [0, 1, 0, 0, 1], ["b", "b", "b", "a", "a"], 3)
    assert scores == {"a": 0.0, "b": 1.0}
    assert list(scores) == ["a", "b"]
    assert m.worst_subject(scores) == ("a", 0.0)
    assert m.worst_subject({"z": 0.5, "c": 0.5}) == ("c", 0.5)
    with pytest.raises(UsageError, match="no subject was scored"):
        m.worst_subject({})


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (([0, 1], [0], None), "y_true has 2, y_pred has 1 rows"),
        (([0, 1], [0, 1], [[1.0, 0.0]]), "y_true has 2, y_prob has 1 rows"),
        (([0], [0], [[0.5, 0.6]]), "row 0 sums to 1.1"),
        (([0], [0], [[np.nan, 1.0]]), "row 0 holds NaN"),
        (([2], [0], [[0.5, 0.5]]), r"y_true\[0\] is 2, expected 0 to 1"),
        (([0], [0], [[0.5, 0.5]], [[True] * 3]), "y_prob has 2, sets has 3 classes"),
    ],
)
def test_errors_name_what_was_got(arguments, text):
    with pytest.raises(UsageError, match=text):
        MetricsCalculator().compute_all(*arguments)
