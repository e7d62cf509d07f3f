"""The interpolation against its definition, written out sample by sample."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.data.joining import resample as module
from conv2d.data.joining.provenance import BRIDGED, EDGE, MISSING
from conv2d.data.joining.resample import kaiser_kernel, resample


def continued(run, k):
    """The run's value at place k, beyond its ends by point reflection, over and over."""
    if len(run) == 1:
        return run[0]
    if k < 0:
        return 2 * run[0] - continued(run, -k)
    return 2 * run[-1] - continued(run, 2 * (len(run) - 1) - k) if k >= len(run) else run[k]


def reference(values, index, position, rate_in, rate_out, max_gap):
    """The sum over all samples of a run for each position, without table, chunk or packing; no short gaps filled."""
    kernel = kaiser_kernel(rate_in, rate_out)
    half, cutoff, beta = kernel.half, kernel.cutoff, 0.1102 * (module.ATTENUATION_DB - 8.7)
    runs = np.split(np.arange(len(index)), np.flatnonzero(np.diff(index) > max_gap) + 1)
    out = np.full((len(position), values.shape[1]), np.nan)
    for m, p in enumerate(position):
        for run in runs:
            first, last = index[run[0]], index[run[-1]]
            if not first <= p <= last:
                continue
            # The 2 * half taps around a point; at a sample itself they begin after the one that is half before it.
            base = min(int(np.floor(p)), max(int(last) - 1, int(first)))
            total, weight = np.zeros(values.shape[1]), 0.0
            for k in range(base - half + 1, base + half + 1):
                u = k - p
                w = cutoff * np.sinc(cutoff * u) * np.i0(beta * np.sqrt(max(0.0, 1 - (u / half) ** 2)))
                total, weight = total + w * continued(values[run], int(k - first)), weight + w
            out[m] = total / weight
    return out


@given(
    seed=st.integers(0, 2**32 - 1),
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    rate_out=st.sampled_from([0.21, 0.5, 0.9604, 1.0, 2.7]),
    channels=st.integers(1, 3),
)
@settings(max_examples=20)
def test_equals_the_sum_that_defines_it(seed, lengths, rate_out, channels):
    rng = np.random.default_rng(seed)
    index = np.concatenate([np.arange(n) + at for n, at in zip(lengths, np.cumsum([0, *lengths[:-1]]), strict=True)])
    index = index + np.repeat(np.arange(len(lengths)) * 7, lengths)  # gaps of eight between runs
    values = rng.normal(size=(len(index), channels))
    position = np.sort(np.r_[rng.uniform(-5, index[-1] + 5, 25), index[rng.integers(0, len(index), 5)]])
    got, how = resample(values, index, position, kaiser_kernel(1.0, rate_out), max_gap=2.5)
    expected = reference(values, index, position, 1.0, rate_out, 2.5)
    np.testing.assert_array_equal(np.isnan(got), np.isnan(expected))
    assert np.nanmax(np.abs(got - expected), initial=0) < 2e-4
    np.testing.assert_array_equal(how & MISSING > 0, np.isnan(expected).any(axis=1))


def tone_error_db(frequency, rate_in, rate_out, *, drop=0.0, seed=0):
    rng = np.random.default_rng(seed)
    index = np.arange(int(rate_in * 40))
    kept = np.sort(rng.permutation(index)[: round(len(index) * (1 - drop))]) if drop else index
    position = np.arange(rate_in * 2, rate_in * 38, rate_in / rate_out)
    kernel = kaiser_kernel(rate_in, rate_out)
    got, how = resample(
        np.sin(2 * np.pi * frequency / rate_in * kept)[:, None], kept, position, kernel, max_gap=2.5
    )  # fmt: skip
    wanted = np.sin(2 * np.pi * frequency / rate_in * position) if frequency < rate_out / 2 else 0
    error = got[:, 0] - wanted
    clean = (how == 0) & np.isfinite(error)
    return 20 * np.log10(np.sqrt(np.mean(error[clean] ** 2)) / np.sqrt(0.5))


@pytest.mark.parametrize(("rate_in", "rate_out"), [(104.1337, 50.0), (100.0, 99.98), (52.0, 100.0), (1000.0, 100.0)])
def test_passes_what_fits_the_lower_rate_and_no_alias(rate_in, rate_out):
    nyquist = min(rate_in, rate_out) / 2
    for share in (0.05, 0.4, 0.79):
        assert tone_error_db(share * nyquist, rate_in, rate_out) < -60
    if rate_in > 1.2 * rate_out:
        for frequency in np.linspace(nyquist * 1.001, rate_in / 2 * 0.999, 12):
            assert tone_error_db(frequency, rate_in, rate_out) < -60


def test_lost_samples_cost_little_where_they_are_flagged():
    assert tone_error_db(8.0, 104.1337, 100.0, drop=0.02) < -60


def test_constants_stay_exact_and_lines_to_the_filters_ripple():
    rng = np.random.default_rng(1)
    index = np.sort(rng.permutation(4000)[:3500])
    position = np.arange(0, 3999, 0.773)
    got, _ = resample(np.full((len(index), 2), 9.80665), index, position, kaiser_kernel(1, 0.9), max_gap=2.5)
    assert np.nanmax(np.abs(got - 9.80665)) < 1e-12
    got, _ = resample(index[:, None] * 1.0, index, position, kaiser_kernel(1, 0.9), max_gap=2.5)
    assert np.nanmax(np.abs(got[:, 0] - position)) < 5e-3  # of a step
    assert np.isfinite(got).mean() > 0.8


def test_missing_values_do_not_spread():
    rng = np.random.default_rng(2)
    values = rng.normal(size=(3000, 3))
    values[500:540, 1] = np.nan  # a long gap of one channel
    values[900, 2] = np.nan  # a lost value of another
    values[2990:, 0] = np.nan
    position = np.arange(0, 2999, 0.97)
    got, how = resample(values, np.arange(3000), position, kaiser_kernel(1, 1 / 0.97), max_gap=2.5)
    gap = (position > 499) & (position < 540)
    np.testing.assert_array_equal(np.isnan(got[:, 1]), gap)
    np.testing.assert_array_equal(np.isnan(got[:, 2]), np.zeros(len(position), bool))
    np.testing.assert_array_equal(np.isnan(got[:, 0]), position > 2989)
    np.testing.assert_array_equal(how & MISSING > 0, gap | (position > 2989))
    assert how[np.argmin(np.abs(position - 900))] & BRIDGED
    assert how[np.argmin(np.abs(position - 497))] & EDGE
    assert not how[np.argmin(np.abs(position - 700))]
    # The other channels are as if nothing had happened.
    alone, _ = resample(values[:, [2]], np.arange(3000), position, kaiser_kernel(1, 1 / 0.97), max_gap=2.5)
    np.testing.assert_array_equal(got[:, 2], alone[:, 0])


@given(seed=st.integers(0, 1000), cut=st.integers(1, 700), chunk=st.sampled_from([13, 64, 1 << 13]))
@settings(max_examples=15)
def test_the_whole_equals_its_parts(seed, cut, chunk):
    rng = np.random.default_rng(seed)
    index = np.cumsum(rng.choice([1, 1, 1, 1, 2, 5], 500))
    values = rng.normal(size=(500, 2)).astype(np.float32)
    values[rng.random((500, 2)) < 0.05] = np.nan
    position = np.sort(rng.uniform(index[0] - 3, index[-1] + 3, 700))
    kernel = kaiser_kernel(1, 0.8)
    whole, how = resample(values, index, position, kernel, max_gap=2.5)
    saved = module._CHUNK
    try:
        module._CHUNK = chunk
        parts = [resample(values, index, p, kernel, max_gap=2.5) for p in (position[:cut], position[cut:])]
    finally:
        module._CHUNK = saved
    np.testing.assert_allclose(np.concatenate([p[0] for p in parts]), whole, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(np.concatenate([p[1] for p in parts]), how)


def test_a_gap_is_filled_by_the_polynomial_through_its_neighbours():
    t = np.arange(200)
    curve = (1e-6 * (t - 90.0) ** 5 + 0.01 * (t - 100.0) ** 2)[:, None]
    kept = np.delete(t, 100)
    kernel = kaiser_kernel(1, 1)
    lost, _ = resample(curve[kept], kept, t[60:140].astype(float), kernel, max_gap=2)
    whole, _ = resample(curve, t, t[60:140].astype(float), kernel, max_gap=2)
    np.testing.assert_allclose(lost, whole, atol=1e-9)  # degree five needs the three samples on each side


def test_nothing_and_one_sample():
    kernel = kaiser_kernel(100, 50)
    got, how = resample(np.empty((0, 2)), np.empty(0, np.int64), np.array([0.0, 1.0]), kernel, max_gap=2)
    assert np.isnan(got).all()
    assert (how == MISSING).all()
    got, how = resample(np.array([[3.0]]), np.array([5]), np.array([4.9, 5.0, 5.1]), kernel, max_gap=2)
    np.testing.assert_allclose(got[:, 0], [np.nan, 3.0, np.nan], rtol=1e-12)
    assert resample(np.array([[3.0]]), np.array([5]), np.empty(0), kernel, max_gap=2)[0].shape == (0, 1)
