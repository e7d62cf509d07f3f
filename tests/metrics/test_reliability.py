"""Calibration errors against the contract's loop over bins."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.metrics import ece, mce, reliability, reliability_of


def reference_ece(y, q):
    predicted, conf = q.argmax(1), q.max(1)
    ok = predicted == y
    b = np.minimum((conf * 15).astype(int), 14)
    return sum(abs(ok[b == i].mean() - conf[b == i].mean()) * (b == i).mean() for i in range(15) if (b == i).any())


@settings(max_examples=100)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6), st.integers(1, 300), st.sampled_from([0.05, 0.5, 5.0]))
def test_ece_equals_the_contract(seed, k, n, concentration):
    rng = np.random.default_rng(seed)
    q = rng.dirichlet(np.full(k, concentration), size=n)
    y = rng.integers(0, k, n)
    assert ece(y, q) == pytest.approx(reference_ece(y, q), abs=1e-12)
    assert ece(y, q) <= mce(y, q) + 1e-12


def test_bins_are_equal_width_and_one_falls_into_the_last():
    table = reliability_of([1 / 15, 0.999, 1.0], [True, False, True])
    assert table.count.tolist() == [0, 1] + [0] * 12 + [2]
    assert table.accuracy[14] == 0.5
    assert np.isnan(table.accuracy[0])


def test_perfectly_calibrated_and_perfectly_wrong():
    rng = np.random.default_rng(0)
    p = rng.uniform(0.5, 1, 200_000)
    q = np.stack([p, 1 - p], axis=1)
    y = (rng.uniform(size=len(p)) > p).astype(int)
    assert ece(y, q) < 0.01
    sure = np.tile([1.0, 0.0], (10, 1))
    assert ece(np.ones(10, int), sure) == 1.0
    assert mce(np.ones(10, int), sure) == 1.0


def test_nothing_is_nan():
    table = reliability([], np.empty((0, 3)))
    assert np.isnan(table.ece)
    assert np.isnan(table.mce)
    assert table.count.sum() == 0


def test_errors():
    with pytest.raises(UsageError, match="n_bins is 0"):
        reliability([0], [[1.0, 0.0]], n_bins=0)
    with pytest.raises(UsageError, match="confidence has 1, correct has 2 rows"):
        reliability_of([0.5], [True, False])
