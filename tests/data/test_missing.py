"""Filling of missing samples against a loop over runs, one channel at a time."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conv2d.data.missing import fill_missing

RATE = 10.0


def plain_fill(values, limit, pieces):
    """One channel: each maximal run of NaN within a piece, filled when short and next to a value."""
    out, filled = values.astype(np.float64).copy(), np.zeros(len(values), bool)
    for first, last in pieces:
        i = first
        while i < last:
            if not np.isnan(values[i]):
                i += 1
                continue
            j = i
            while j < last and np.isnan(values[j]):
                j += 1
            left = values[i - 1] if i > first else None
            right = values[j] if j < last else None
            if j - i <= limit and (left is not None or right is not None):
                left, right = (right if left is None else left), (left if right is None else right)
                for k in range(i, j):
                    out[k] = left + (k - i + 1) / (j - i + 1) * (float(right) - float(left))
                    filled[k] = True
            i = j
    return out, filled


signals = hnp.arrays(
    np.float32,
    st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(0, 25)),
    elements=st.one_of(st.just(np.float32(np.nan)), st.floats(-100, 100, width=32)),
)


@given(signals, st.integers(0, 6), st.one_of(st.none(), st.integers(1, 24)))
def test_fills_as_a_plain_loop_does(samples, limit, gap_at):
    n_channels, n_sensors, n = samples.shape
    time_s, pieces = None, [(0, n)]
    if gap_at is not None and gap_at < n:
        time_s = np.arange(n) / RATE + 7.0 * (np.arange(n) >= gap_at)
        pieces = [(0, gap_at), (gap_at, n)]
    before = samples.copy()
    filled = fill_missing(samples, RATE, limit / RATE, time_s)
    np.testing.assert_array_equal(samples, before)  # the input is left as it was
    interpolated, missing = np.zeros(n, bool), np.zeros((n_sensors, n), bool)
    for c in range(n_channels):
        for s in range(n_sensors):
            expected, here = plain_fill(samples[c, s], limit, pieces)
            np.testing.assert_allclose(filled.samples[c, s], expected, rtol=1e-5, atol=1e-4)
            interpolated |= here
            missing[s] |= np.isnan(expected)
    np.testing.assert_array_equal(filled.interpolated, interpolated)
    np.testing.assert_array_equal(filled.missing, missing)
    assert filled.interpolated_share == pytest.approx(interpolated.mean() if n else 0.0)
    assert filled.missing_share == pytest.approx(missing.mean() if n else 0.0)


def test_values_that_are_there_never_change():
    rng = np.random.default_rng(0)
    samples = rng.normal(size=(3, 2, 200)).astype(np.float32)
    there = rng.random(samples.shape) > 0.3
    holed = np.where(there, samples, np.nan).astype(np.float32)
    np.testing.assert_array_equal(fill_missing(holed, RATE, 0.3).samples[there], samples[there])


def test_nothing_missing_costs_no_copy():
    samples = np.zeros((2, 1, 50), np.float32)
    filled = fill_missing(samples, RATE, 1.0)
    assert filled.samples is samples
    assert (filled.interpolated_share, filled.missing_share) == (0.0, 0.0)


def test_the_limit_is_inclusive_whatever_its_binary_fraction():
    samples = np.array([[[0, np.nan, np.nan, np.nan, 4]]], np.float32)
    assert fill_missing(samples, 10.0, 0.3).samples[0, 0].tolist() == [0, 1, 2, 3, 4]
    assert fill_missing(samples, 10.0, 0.29).missing.sum() == 3


def test_ends_hold_their_neighbour():
    samples = np.array([[[np.nan, 5, np.nan]]], np.float32)
    assert fill_missing(samples, RATE, 0.1).samples[0, 0].tolist() == [5, 5, 5]


def test_a_gap_of_the_clock_is_not_bridged():
    samples = np.array([[[0, np.nan, np.nan, 9]]], np.float32)
    time_s = np.array([0.0, 0.1, 60.0, 60.1])
    assert fill_missing(samples, RATE, 0.2, time_s).samples[0, 0].tolist() == [0, 0, 9, 9]
    assert fill_missing(samples, RATE, 0.2).samples[0, 0].tolist() == [0, 3, 6, 9]


def test_a_missing_sensor_stays_missing_and_the_other_is_untouched():
    samples = np.zeros((2, 2, 4), np.float32)
    samples[:, 1] = np.nan
    filled = fill_missing(samples, RATE, 10.0)
    assert filled.missing.tolist() == [[False] * 4, [True] * 4]
    assert (filled.missing_share, filled.interpolated_share) == (0.5, 0.0)


@pytest.mark.parametrize("limit", [-0.1, float("nan")])
def test_a_limit_that_is_no_duration_is_refused(limit):
    with pytest.raises(ValueError, match="expected seconds from 0 up"):
        fill_missing(np.zeros((1, 1, 3), np.float32), RATE, limit)
