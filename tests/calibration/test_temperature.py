"""The temperature must be the minimum of the log loss, whatever the logits, and say when it is a bound."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.calibration import TemperatureScaling
from conv2d.errors import UsageError
from conv2d.metrics import ece, nll


def sample(rng, logits):
    p = np.exp(logits - logits.max(1, keepdims=True))
    cumulative = np.cumsum(p / p.sum(1, keepdims=True), axis=1)
    return (rng.uniform(size=(len(p), 1)) > cumulative[:, :-1]).sum(1)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(2, 200), st.floats(0.01, 100))
def test_no_temperature_on_a_grid_is_better(seed, k, n, scale):
    rng = np.random.default_rng(seed)
    logits = scale * rng.normal(size=(n, k))
    y = rng.integers(0, k, n)
    fitted = TemperatureScaling().fit(logits, y)
    grid = np.geomspace(fitted.low, fitted.high, 200)
    z = logits - logits.max(1, keepdims=True)
    losses = [(np.log(np.exp(z / t).sum(1)) - z[np.arange(n), y] / t).mean() for t in grid]
    assert fitted.nll_after_ <= min(losses) + 1e-9
    assert fitted.nll_after_ <= fitted.nll_before_ + 1e-12
    np.testing.assert_array_equal(fitted.transform(logits).argmax(1), logits.argmax(1))
    np.testing.assert_allclose(fitted.transform(logits).sum(1), 1)


@pytest.mark.parametrize("true_temperature", [0.3, 1.0, 3.0])
def test_recovers_the_temperature_that_made_the_labels(true_temperature):
    rng = np.random.default_rng(1)
    logits = 2 * rng.normal(size=(20_000, 4))
    y = sample(rng, logits)
    fitted = TemperatureScaling().fit(true_temperature * logits, y)
    assert fitted.temperature_ == pytest.approx(true_temperature, rel=0.05)
    assert not fitted.at_bound_
    after = fitted.transform(true_temperature * logits)
    assert ece(y, after) < 0.02
    assert nll(y, after) == pytest.approx(fitted.nll_after_, abs=1e-6)


def test_bounds_are_flagged_and_overflow_is_not_met():
    rng = np.random.default_rng(2)
    logits = 5 * rng.normal(size=(100, 3))
    perfect = TemperatureScaling().fit(logits, logits.argmax(1))
    assert (perfect.temperature_, perfect.at_bound_) == (pytest.approx(0.05), True)
    wrong = TemperatureScaling().fit(logits, logits.argmin(1))
    assert (wrong.temperature_, wrong.at_bound_) == (pytest.approx(20), True)
    huge = TemperatureScaling().fit(1e5 * logits, rng.integers(0, 3, 100))
    assert np.isfinite(huge.transform(1e5 * logits)).all()


def test_logits_that_say_nothing_are_left_alone():
    fitted = TemperatureScaling().fit(np.full((4, 3), 7.0), [0, 1, 2, 0])
    assert fitted.temperature_ == 1
    np.testing.assert_allclose(fitted.transform(np.full((1, 3), 7.0)), 1 / 3)


def test_subjects_weigh_the_same():
    rng = np.random.default_rng(3)
    logits = rng.normal(size=(1100, 3))
    y = sample(rng, logits)
    # Subject "a" is ten times as long and overconfident by four, "b" by one.
    seen = np.where(np.arange(1100)[:, None] < 1000, 4 * logits, logits)
    groups = ["a"] * 1000 + ["b"] * 100
    pooled = TemperatureScaling().fit(seen, y, groups)
    even = TemperatureScaling(by_subject=True).fit(seen, y, groups)
    repeated = TemperatureScaling().fit(
        np.r_[seen[:1000], np.tile(seen[1000:], (10, 1))], np.r_[y[:1000], np.tile(y[1000:], 10)]
    )
    assert even.temperature_ == pytest.approx(repeated.temperature_, rel=1e-6)
    assert even.temperature_ < pooled.temperature_
    assert even.subjects_ == ("a", "b")


def test_unlabelled_rows_are_left_out():
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(50, 3))
    y = rng.integers(0, 3, 50)
    masked = np.r_[y, np.full(10, -1)]
    padded = np.r_[logits, 100 * np.ones((10, 3))]
    assert TemperatureScaling().fit(padded, masked).temperature_ == TemperatureScaling().fit(logits, y).temperature_


def test_stored_and_read_back():
    rng = np.random.default_rng(5)
    logits = rng.normal(size=(50, 3))
    fitted = TemperatureScaling(by_subject=True).fit(logits, rng.integers(0, 3, 50), ["x"] * 50)
    again = TemperatureScaling.from_dict(json.loads(json.dumps(fitted.to_dict(), allow_nan=False)))
    assert again.to_dict() == fitted.to_dict()
    np.testing.assert_array_equal(again.transform(logits), fitted.transform(logits))


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: TemperatureScaling().transform([[0.0, 1.0]]), r"expected fit\(\) before transform\(\)"),
        (lambda: TemperatureScaling().to_dict(), r"expected fit\(\) before to_dict\(\)"),
        (lambda: TemperatureScaling(low=2, high=1), "low is 2 and high 1"),
        (lambda: TemperatureScaling().fit([0.0], [0]), r"logits have shape \(1,\)"),
        (lambda: TemperatureScaling().fit([[0.0, np.nan]], [0]), "row 0 holds NaN"),
        (lambda: TemperatureScaling().fit([[0.0, 1.0]], [2]), "y holds 2, expected 0 to 1"),
        (lambda: TemperatureScaling().fit([[0.0, 1.0]], [0.5]), "y is float64"),
        (lambda: TemperatureScaling().fit([[0.0, 1.0]], [-1]), "none of 1 rows is labelled"),
        (lambda: TemperatureScaling().fit([[0.0, 1.0]], [0], ["a", "b"]), "got 2 groups for 1 rows"),
        (lambda: TemperatureScaling(by_subject=True).fit([[0.0, 1.0]], [0]), "expected groups="),
        (lambda: TemperatureScaling.from_dict({"format": "conv2d-temperature/2"}), "'conv2d-temperature/2', expected"),
        (lambda: TemperatureScaling.from_dict({"format": "conv2d-temperature/1"}), "cannot be read"),
    ],
)
def test_errors_name_what_was_got(call, text):
    with pytest.raises(UsageError, match=text):
        call()
