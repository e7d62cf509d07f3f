"""Use of the code book against direct counting."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.metrics import code_usage, perplexity


@settings(max_examples=100)
@given(st.lists(st.integers(2, 6), min_size=1, max_size=4), st.integers(1, 30), st.integers(1, 8), st.integers(0, 999))
def test_against_direct_counting(levels, n, p, seed):
    rng = np.random.default_rng(seed)
    digits = np.stack([rng.integers(0, level, (n, p)) for level in levels], axis=-1)
    codes = (digits * np.cumprod([1, *levels[:-1]])).sum(axis=-1)
    use = code_usage(codes, levels)
    assert use.size == math.prod(levels)
    assert use.used == len(set(codes.ravel().tolist()))
    assert use.usage == use.used / use.size
    assert use.level_usage == tuple(len(set(digits[..., i].ravel().tolist())) / level for i, level in enumerate(levels))
    assert use.distinct_per_window == pytest.approx(np.mean([len(set(row)) for row in codes.tolist()]))
    assert 1 <= use.perplexity <= use.used + 1e-9
    assert use.n == n


def test_uniform_use_has_full_perplexity_and_collapse_has_one():
    assert code_usage(np.arange(240), [8, 6, 5]).perplexity == pytest.approx(240)
    assert code_usage(np.arange(240), [8, 6, 5]).level_perplexity == pytest.approx((8, 6, 5))
    collapsed = code_usage(np.full((10, 4), 7), [8, 6, 5])
    assert collapsed.perplexity == 1
    assert collapsed.distinct_per_window == 1
    assert perplexity([0, 0]) == 0


def test_a_lattice_larger_than_memory():
    assert code_usage(np.array([0, 8**20 - 1]), [8] * 20).used == 2


@pytest.mark.parametrize("codes", [[[240]], [[-1]], np.empty((0, 4), int), [[0.5]]])
def test_codes_outside_the_lattice(codes):
    with pytest.raises(UsageError, match="E-METRIC-010"):
        code_usage(codes, [8, 6, 5])
