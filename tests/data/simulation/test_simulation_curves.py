"""Curves are what they claim at any instant, whatever the rate at which they are asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.simulation.curves import SETTLE_S, cycles, irregular, slope, steps
from conv2d.data.simulation.randomness import Effect, Streams

lengths = st.lists(st.floats(0.1, 20), min_size=1, max_size=8)


@given(lengths, st.integers(0, 1000))
def test_steps_are_the_mean_of_half_a_second(lengths, seed):
    rng = np.random.default_rng(seed)
    ends, values = np.cumsum(lengths), rng.normal(0, 10, len(lengths))
    t = rng.uniform(0, ends[-1], 20)
    around = t[:, None] + SETTLE_S * ((np.arange(4000) + 0.5) / 4000 - 0.5)
    slow = values[np.minimum(np.searchsorted(ends, around, side="right"), len(ends) - 1)].mean(axis=1)
    np.testing.assert_allclose(steps(values, ends, t), slow, atol=0.02)


@given(lengths, st.integers(0, 1000))
def test_cycles_are_the_integral_of_the_rate(lengths, seed):
    rng = np.random.default_rng(seed)
    ends, rates = np.cumsum(lengths), rng.uniform(0, 3, len(lengths))
    t = np.linspace(0, ends[-1], 50)
    slow = [sum(r * np.clip(at - (e - w), 0, w) for r, e, w in zip(rates, ends, lengths, strict=True)) for at in t]
    np.testing.assert_allclose(cycles(rates, ends, t), slow, atol=1e-9)


@given(st.floats(1, 300), st.floats(0.3, 5), st.integers(2, 9))
def test_irregular_curves_do_not_depend_on_the_rate(duration, period, factor):
    t = np.arange(int(duration * 25)) / 25
    fine = np.arange(len(t) * factor) / (25 * factor)
    coarse = irregular(t, period, duration, np.random.default_rng(4))
    np.testing.assert_allclose(irregular(fine, period, duration, np.random.default_rng(4))[::factor], coarse, atol=1e-9)


def test_irregular_curves_have_unit_variance_and_no_corners():
    duration, rate = 4000.0, 50.0
    curve = irregular(np.arange(int(duration * rate)) / rate, 0.9, duration, np.random.default_rng(0))
    assert curve.mean() == pytest.approx(0, abs=0.05)
    assert curve.std() == pytest.approx(1, abs=0.03)
    # A corner would be a jump of the slope: its steps are of the order of the sampling period, and so is their bound.
    second = np.diff(curve, 2) * rate**2
    assert np.abs(np.diff(second)).max() < 0.1 * np.ptp(second)


def test_the_slope_is_exact_where_the_curve_is_a_polynomial_of_sixth_degree():
    rate = 20.0
    t = np.arange(60) / rate
    polynomial = np.polynomial.Polynomial([1, -2, 0.5, 3, -1, 0.2, 0.1])
    np.testing.assert_allclose(slope(polynomial(t), rate)[3:-3], polynomial.deriv()(t)[3:-3], rtol=1e-7)
    assert len(slope(np.array([1.0, 2.0]), 1.0)) == 2


def test_seeds_beyond_32_bits_subjects_and_effects_are_told_apart():
    """A plain list of numbers as a seed gives [7 + 2^32, 1] and [7, 1, 1] the same words, or nearly so."""
    seeds = [Streams(s, a, r) for s in (7, 7 + 2**32, 1) for a in (0, 1, 2) for r in (0, 1)]
    drawn = {float(streams.of(effect).random()) for streams in seeds for effect in Effect}
    assert len(drawn) == len(seeds) * len(Effect)
