"""The clock of blocks against clocks whose truth is known: drift, jitter, rounded stamps, gaps, clocks set back."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.data.importers.block_clock import fit_blocks


def stretches_by_hand(n, stamps, at, rate, gap_s, back_s):
    """Block by block, as the docstring says: the number of each block's stretch, gaps, their seconds, sets back."""
    stretch, gaps, gap, back = [0], 0, 0.0, [False]
    for k in range(1, len(n)):
        ended = stamps[k - 1] - at[k - 1] / rate + n[k - 1] / rate
        late = stamps[k] - at[k] / rate - ended
        if late > gap_s:
            gaps, gap = gaps + 1, gap + late
        back.append(late < -back_s)
        stretch.append(stretch[-1] + (late > gap_s or back[-1]))
    return stretch, gaps, gap, back


@st.composite
def recordings(draw, jumps):
    """Blocks, their stamps, and the truth: when each sample was taken, and seconds lost before each block."""
    nominal = draw(st.sampled_from([25.0, 50.0, 100.0, 200.0]))
    n_blocks = draw(st.integers(1, 120))
    n = np.full(n_blocks, draw(st.sampled_from([40, 80, 120])), np.int64)
    n[-1] = draw(st.integers(1, int(n[-1])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    true = nominal * (1 + draw(st.floats(-0.03, 0.03)))
    jump = np.zeros(n_blocks)
    for _ in range(draw(st.integers(0, 3)) if n_blocks > 1 else 0):
        jump[draw(st.integers(1, n_blocks - 1))] = draw(st.sampled_from(jumps)) * n[0] / nominal
    first = np.cumsum(n) - n
    begins = 1000 + first / true + np.cumsum(jump)
    at = rng.integers(0, int(n[0]), n_blocks)
    stamps = begins + at / true + rng.uniform(-1, 1, n_blocks) * draw(st.floats(0, 0.02)) * n[0] / nominal
    times = np.repeat(begins, n) + (np.arange(n.sum()) - np.repeat(first, n)) / true
    return n, nominal, stamps, at, times, jump


@settings(max_examples=150)
@given(recordings(jumps=[1.0, 1.5, 40.0, -1.0, -3.0, -50.0]))
def test_stretches_and_times_are_the_true_ones(made):
    """Lost blocks and clocks set back are all found, nothing else is, and times are as near as the stamps are."""
    n, nominal, stamps, at, times, jump = made
    block_s = n[0] / nominal
    clock = fit_blocks(n, stamps, at, nominal, gap_s=block_s / 2, back_s=block_s / 2)
    np.testing.assert_array_equal(clock.stretch, np.cumsum(np.abs(jump) > 0.5 * block_s))
    np.testing.assert_array_equal(clock.went_back, jump < -0.5 * block_s)
    assert clock.n_gaps == (jump > 0.5 * block_s).sum()
    by_hand = stretches_by_hand(n, stamps, at, clock.rate_hz, block_s / 2, block_s / 2)
    assert (clock.stretch.tolist(), clock.n_gaps, pytest.approx(clock.gap_s), clock.went_back.tolist()) == by_hand
    borders = [0, *np.flatnonzero(np.diff(clock.stretch)) + 1, len(n)]
    whole = []
    for start, stop in pairwise(borders):
        whole.append(clock.times(start, stop))
        assert (np.diff(whole[-1]) > 0).all()
        parts = [clock.times(k, k + 1) for k in range(start, stop)]
        np.testing.assert_array_equal(np.concatenate(parts), whole[-1])
    # A line through few jittered stamps leans by their jitter, or by a rate that too few steps measured.
    assert np.abs(np.concatenate(whole) - times).max() < 0.15 * block_s


@settings(max_examples=60)
@given(
    st.sampled_from([10.0, 25.0, 40.0, 50.0, 66.7, 85.7, 100.0]),
    st.integers(1, 3000),
    st.floats(-200e-6, 200e-6),
    st.floats(0, 10),
    st.sampled_from([np.floor, np.round, np.ceil]),
)
def test_stamps_of_half_seconds_are_no_gaps(rate, n_pages, off, begin, rounded):
    """The sampler's drift moves a stamp by a whole tick now and then, to either side; nothing is lost by that."""
    true = rate * (1 + off)
    n = np.full(n_pages, 300, np.int64)
    stamps = rounded(2 * (begin + np.arange(n_pages) * 300 / true)) / 2
    clock = fit_blocks(
        n, stamps, np.zeros(n_pages, np.int64), rate, gap_s=0.75, back_s=0.75, measured_from=8, smooth_s=3600
    )
    assert (clock.n_gaps, clock.went_back.sum(), clock.stretch.max()) == (0, 0, 0)
    times = clock.times(0, n_pages)
    assert np.abs(times - begin - np.arange(len(times)) / true).max() < 1.0
    assert (np.diff(times) > 0).all()


@settings(max_examples=60)
@given(st.integers(2, 1500), st.floats(-200e-6, 200e-6), st.integers(0, 2**32 - 1))
def test_gaps_in_stamps_of_half_seconds(n_pages, off, seed):
    """Gaps longer than the threshold and a tick are found, none shorter than its rest; times always increase."""
    rng = np.random.default_rng(seed)
    gaps = np.zeros(n_pages)
    gaps[rng.integers(1, n_pages, 4)] = rng.uniform(0.1, 3, 4)
    begins = np.arange(n_pages) * 12 * (1 + off) + np.cumsum(gaps)
    n, at = np.full(n_pages, 300, np.int64), np.zeros(n_pages, np.int64)
    clock = fit_blocks(n, np.floor(2 * begins) / 2, at, 25.0, gap_s=0.75, back_s=0.75, measured_from=8, smooth_s=3600)
    found = np.flatnonzero(np.diff(clock.stretch)) + 1
    assert set(np.flatnonzero(gaps > 1.26)) <= set(found)
    assert (gaps[found] > 0.24).all()
    borders = [0, *found, n_pages]
    times = np.concatenate([clock.times(a, b) for a, b in pairwise(borders)])
    assert (np.diff(times) > 0).all()


def test_a_stretch_that_leans_over_the_next_one_keeps_the_order():
    """Three gaps too short to be seen bend the first stretch, so that its line ends behind the begin of the second."""
    gaps = np.zeros(437)
    gaps[[90, 100, 189, 256]] = 0.876, 0.735, 0.232, 0.877
    begins = np.arange(437) * 12 * (1 + 1.08658e-4) + np.cumsum(gaps)
    n, at = np.full(437, 300, np.int64), np.zeros(437, np.int64)
    clock = fit_blocks(n, np.floor(2 * begins) / 2, at, 25.0, gap_s=0.75, back_s=0.75, measured_from=8, smooth_s=3600)
    assert np.flatnonzero(np.diff(clock.stretch)).tolist() == [255]
    assert clock.times(256, 257)[0] - clock.times(255, 256)[-1] > 0.03


def test_an_hour_of_drift_and_a_rate_that_wanders():
    """A line through the hour is 0.2 s off in the middle; the smoothed times are as near as the jitter lets them."""
    n = np.full(3000, 120, np.int64)
    index = np.arange(n.sum())
    times = index / 98.9 + 0.2 * np.sin(np.pi * index / len(index)) ** 2
    rng = np.random.default_rng(5)
    at = rng.integers(0, 120, 3000)
    stamps = times[at + 120 * np.arange(3000)] + rng.uniform(-0.004, 0.004, 3000)
    clock = fit_blocks(n, stamps, at, 100.0, gap_s=0.6, back_s=0.6)
    assert clock.rate_hz == pytest.approx(98.9, rel=2e-3)
    assert np.abs(clock.times(0, 3000) - times).max() < 0.005


def test_one_stamp_far_off_moves_no_other():
    n, at = np.full(400, 100, np.int64), np.zeros(400, np.int64)
    stamps = np.arange(400.0)
    stamps[[57, 200, 399]] += 0.3  # no gap yet
    clock = fit_blocks(n, stamps, at, 100.0, gap_s=0.5, back_s=0.5)
    np.testing.assert_allclose(clock.times(0, 400), np.arange(40_000) / 100, atol=1e-3)


def test_too_few_steps_leave_the_nominal_rate():
    n, at, stamps = np.full(4, 100, np.int64), np.zeros(4, np.int64), np.arange(4) * 1.05
    assert fit_blocks(n, stamps, at, 100.0, gap_s=0.5, back_s=0.5, measured_from=4).rate_hz == 100.0
    assert fit_blocks(n, stamps, at, 100.0, gap_s=0.5, back_s=0.5, measured_from=3).rate_hz == pytest.approx(100 / 1.05)
    assert fit_blocks(n, stamps * 3, at, 100.0, gap_s=9, back_s=9).rate_hz == 100.0  # a rate so far off is no rate


def test_one_block_and_blocks_of_one_time():
    one = fit_blocks(np.array([5]), np.array([10.0]), np.array([2]), 10.0, gap_s=1, back_s=1)
    np.testing.assert_allclose(one.times(0, 1), 9.8 + np.arange(5) / 10)
    same = fit_blocks(np.full(3, 5), np.full(3, 10.0), np.zeros(3, np.int64), 10.0, gap_s=1, back_s=1)
    assert np.diff(same.times(0, 3)).min() > 0
