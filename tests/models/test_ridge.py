"""Ridge in closed form against refitting, the long way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import DataError
from conv2d.models import ridge
from conv2d.models.ridge import Ridge, fit_ridge


def solve(x: np.ndarray, targets: np.ndarray, alpha: float) -> np.ndarray:
    """Ridge with an unpenalised intercept, as one augmented system; returns (F + 1, K), the intercept last."""
    a = np.hstack([x, np.ones((len(x), 1))])
    penalty = alpha * np.eye(a.shape[1])
    penalty[-1, -1] = 0
    return np.linalg.solve(a.T @ a + penalty, a.T @ targets)


def problem(n: int, f: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % k)
    x = rng.normal(size=(n, f)) + 0.8 * rng.normal(size=(k, f))[y]
    return x, y, rng.integers(0, 5, n)


@pytest.mark.parametrize(("n", "f"), [(60, 7), (30, 50)])
def test_scores_equal_ridge_solved_the_long_way(n: int, f: int) -> None:
    x, y, _ = problem(n, f, 3, 0)
    model = fit_ridge(x, y, 3, alphas=(10.0,))
    scaled = (x - x.mean(0)) / x.std(0)
    weights = solve(scaled, np.where(y[:, None] == np.arange(3), 1.0, -1.0), 10.0)
    np.testing.assert_allclose(model.scores(x), scaled @ weights[:-1] + weights[-1], atol=1e-9)


@settings(max_examples=40)
@given(n=st.integers(8, 40), f=st.integers(1, 40), grouped=st.booleans(), seed=st.integers(0, 10**6))
def test_leave_out_residuals_equal_refitting_without_each_group(n: int, f: int, grouped: bool, seed: int) -> None:
    x, y, groups = problem(n, f, 2, seed)
    targets = np.where(y[:, None] == np.arange(2), 1.0, -1.0)
    scaled = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    members = groups if grouped and len(np.unique(groups)) > 1 else np.arange(n)
    solver = ridge._Solver(scaled, targets - targets.mean(0), ridge._blocks(groups if grouped else None, n))
    rows = solver.rows.numpy()
    _, residuals = solver.solve(3.0)
    assert sorted(rows.tolist()) == list(range(n))
    for member in np.unique(members):
        out = members == member
        weights = solve(scaled[~out], targets[~out], 3.0)
        expected = targets[out] - (scaled[out] @ weights[:-1] + weights[-1])
        order = [int(np.flatnonzero(rows == row)[0]) for row in np.flatnonzero(out)]
        np.testing.assert_allclose(residuals[order], expected, atol=1e-7)


def test_many_windows_leave_out_whole_groups_spread_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ridge, "_LEFT_OUT", 40)
    groups = np.repeat(np.arange(10), 10)
    blocks = ridge._blocks(groups, 100)
    assert [np.unique(groups[block]).tolist() for block in blocks] == [[0], [3], [6], [9]]
    assert all(len(block) == 10 for block in blocks)


def test_temperature_has_the_least_nll_on_its_grid() -> None:
    rng = np.random.default_rng(0)
    index = rng.integers(0, 3, 500)
    scores = rng.normal(size=(500, 3)) + 2.0 * np.eye(3)[index]
    # With unit normal noise and a shift of 2 the posterior is softmax(2 * scores).
    assert ridge._fit_temperature(scores, index) == pytest.approx(2.0, rel=0.2)


def test_probabilities_are_honest_about_noise() -> None:
    rng = np.random.default_rng(1)
    y = rng.integers(0, 3, 400)
    model = fit_ridge(rng.normal(size=(400, 100)), y, 3)
    proba = model.predict_proba(rng.normal(size=(300, 100)))
    # The class shares reach log 3 = 1.0986; a ridge that believes itself would be far above.
    assert -np.log(proba[np.arange(300), rng.integers(0, 3, 300)]).mean() < 1.12
    assert model.alpha == max(ridge.ALPHAS)


def test_a_class_without_windows_has_probability_zero() -> None:
    x, y, _ = problem(50, 4, 2, 3)
    proba = fit_ridge(x, np.where(y == 1, 3, 0), 5).predict_proba(x)
    assert proba.shape == (50, 5)
    assert (proba[:, [1, 2, 4]] == 0).all()
    np.testing.assert_allclose(proba.sum(1), 1)


def test_features_that_do_not_vary_do_nothing() -> None:
    x, y, _ = problem(50, 4, 2, 4)
    wider = np.hstack([x, np.full((50, 1), 7.1), np.zeros((50, 1))])
    np.testing.assert_allclose(fit_ridge(wider, y, 2).predict_proba(wider), fit_ridge(x, y, 2).predict_proba(x))


def test_state_holds_everything() -> None:
    x, y, groups = problem(50, 4, 3, 5)
    model = fit_ridge(x, y, 3, groups=groups)
    again = Ridge.from_state(model.state())
    np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    assert (again.alpha, again.temperature) == (model.alpha, model.temperature)


def test_one_class_and_lengths_are_refused() -> None:
    x, y, _ = problem(20, 3, 2, 6)
    with pytest.raises(DataError, match="E-MODEL-101: the training windows hold 1 of 4 classes"):
        fit_ridge(x, np.zeros(20, int), 4)
    with pytest.raises(DataError, match="E-MODEL-102: 3 groups were given for 20 windows"):
        fit_ridge(x, y, 2, groups=["a", "b", "c"])
