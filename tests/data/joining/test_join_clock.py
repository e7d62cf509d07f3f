"""The fit of a clock against clocks that are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.joining.breaks import find_breaks
from conv2d.data.joining.clock import fit_clock, last_of_each_packet


def lateness(rng, n):
    """Exponential, 8 ms, and in one of twenty a burst of 0.4 s."""
    return rng.exponential(0.008, n) + (rng.random(n) < 0.05) * rng.exponential(0.4, n)


def test_drift_and_offset_over_fifty_hours_of_late_stamps():
    drift, offset = [], []
    for seed in range(50):
        rng = np.random.default_rng(seed)
        device = np.sort(rng.uniform(0, 3600, 720))
        clock = fit_clock(device, device * (1 + 25e-6) + 0.2 + lateness(rng, 720), period_s=0.01)
        assert clock.method == "envelope"
        drift.append(clock.drift - 25e-6)
        offset.append(clock.times(np.array([1800.0]))[0] - 1800 * (1 + 25e-6) - 0.2)
    assert np.std(drift) < 0.15e-6  # least squares: 4.8e-6
    assert abs(np.mean(offset)) < 0.001  # least squares: 29 ms
    assert np.max(np.abs(offset)) < 0.002


def test_errors_to_both_sides_are_fitted_in_their_middle():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        device = np.arange(0, 7200, 10.0)
        error = rng.normal(0, 0.02, 720) + np.where(rng.random(720) < 0.02, rng.normal(0, 5, 720), 0)
        clock = fit_clock(device, 100 + device * (1 - 60e-6) + error, period_s=0.01)
        assert clock.method == "huber"
        assert abs(clock.drift + 60e-6) < 2e-6
        assert abs(clock.times(np.array([3600.0]))[0] - 100 - 3600 * (1 - 60e-6)) < 0.004


def test_many_pairs_are_thinned_without_loss():
    rng = np.random.default_rng(0)
    device = np.arange(360_000) / 100
    clock = fit_clock(device, 1.7e9 + device * (1 + 80e-6) + lateness(rng, len(device)), period_s=0.01)
    assert abs(clock.drift - 80e-6) < 1e-8
    assert np.abs(clock.times(device) - 1.7e9 - device * (1 + 80e-6)).max() < 5e-5
    assert clock.n_pairs > 300_000


def test_a_rate_that_follows_temperature_gets_a_knot_an_hour():
    rng = np.random.default_rng(0)
    device = np.arange(0, 8 * 3600, 10.0)
    rate = -0.034e-6 * (10 * np.sin(2 * np.pi * device / (8 * 3600)) + 10) ** 2
    true = device + np.cumsum(rate) * 10
    clock = fit_clock(device, true + lateness(rng, len(device)), period_s=0.01)
    assert len(clock.knots) == 9
    assert np.abs(clock.times(device) - true).max() < 0.006  # one line: 33 ms
    straight = fit_clock(device, device * (1 + 30e-6) + lateness(rng, len(device)), period_s=0.01)
    assert len(straight.knots) == 2


def test_knots_keep_off_hours_without_pairs():
    device = np.r_[np.arange(0, 3600, 10.0), np.arange(5 * 3600, 8 * 3600, 10.0)]
    true = device + 1e-9 * device**2
    clock = fit_clock(device, true, period_s=0.01)
    assert np.abs(clock.times(device) - true).max() < 0.01
    assert np.isfinite(clock.offsets).all()


def test_a_packet_counts_by_its_last_sample():
    device = np.arange(12_000) / 100
    host = np.repeat(device[19::20], 20) + 3.0  # twenty samples wait for the last of them
    clock = fit_clock(device, host, period_s=0.01)
    assert np.abs(clock.times(device) - device - 3.0).max() < 1e-9
    assert clock.n_pairs == 600


@given(st.lists(st.integers(1, 5), min_size=1, max_size=20), st.integers(0, 100))
def test_last_of_each_packet_by_definition(sizes, seed):
    device = np.random.default_rng(seed).normal(size=sum(sizes))
    host = np.repeat(np.arange(len(sizes)) * 1.0, sizes)
    expected = [
        at + int(np.argmax(device[at : at + n])) for at, n in zip(np.cumsum([0, *sizes[:-1]]), sizes, strict=True)
    ]
    assert last_of_each_packet(device, host).tolist() == expected


def test_beyond_the_ends_the_line_goes_on():
    device = np.arange(0, 600, 1.0)
    clock = fit_clock(device, device * (1 + 50e-6) + 2, period_s=1.0)
    far = np.array([-1000.0, 5000.0])
    np.testing.assert_allclose(clock.times(far), far * (1 + 50e-6) + 2, atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_few_pairs_give_a_clock(n):
    device = np.linspace(0, 100, n)
    clock = fit_clock(device, device + 7.0, period_s=0.01)
    np.testing.assert_allclose(clock.times(device), device + 7.0, atol=1e-9)
    level = fit_clock(device, device + 7.0, period_s=0.01, drift=40e-6)
    assert (level.drift == pytest.approx(40e-6)) or n == 1
    assert level.method == "assumed"


def stream(seed, n=720, step=5.0, ppm=30.0):
    rng = np.random.default_rng(seed)
    true = np.arange(n) * step + rng.uniform(0, step / 10, n)
    return rng, true, true * (1 + ppm * 1e-6) + 3


def test_resets_are_found_where_they_are_and_none_is_made_up():
    for seed in range(40):
        rng, true, device = stream(seed)
        host = true + 0.02 + lateness(rng, len(true))
        assert find_breaks(device, host) == []
        reset = int(rng.integers(20, 700))
        device[reset:] -= device[reset] - 7
        (found,) = find_breaks(device, host)
        assert (found.row, found.reason) == (reset, "device_back")


def test_a_reset_that_loses_no_time_worth_seeing_is_found_by_its_step():
    for seed in range(20):
        rng, true, device = stream(seed, n=36_000, step=0.1)
        host = true + 0.02 + rng.exponential(0.008, len(true))
        device[20_000:] += 0.8
        (found,) = find_breaks(device, host)
        assert abs(found.row - 20_000) <= 1
        assert found.reason == "device_ahead"
        assert found.step_s == pytest.approx(-0.8, abs=0.05)


def test_a_stall_of_seconds_is_late_and_no_break():
    for seed in range(10):
        rng, true, device = stream(seed, n=36_000, step=0.1)
        host = true + 0.02 + rng.exponential(0.008, len(true))
        waiting = (true > 1000) & (true < 1005)
        host[waiting] = np.maximum(host[waiting], 1005.0)
        assert find_breaks(device, host) == []


@pytest.mark.parametrize("step", [3600.0, -3600.0, 1800.0, 45 * 60.0])
def test_zones_and_daylight_saving_are_named(step):
    rng, true, device = stream(1, n=36_000, step=0.1)
    host = true + lateness(rng, len(true))
    host[12_345:] += step
    (found,) = find_breaks(device, host)
    assert (found.row, found.reason, found.of_host) == (12_345, "zone", True)
    assert found.step_s == pytest.approx(step, abs=0.01)


def test_a_pause_a_step_back_of_the_host_and_two_at_once_are_told_apart():
    rng, true, device = stream(2, n=36_000, step=0.1)
    host = true + rng.exponential(0.008, len(true))
    host[5000:] += 100.0  # the device stood still
    host[15_000:] -= 2.5  # the host was put back
    device[25_000:] -= device[25_000]  # the device started anew
    found = find_breaks(device, host)
    assert [(b.row, b.reason) for b in found] == [
        (5000, "pause"), (15_000, "host_back"), (25_000, "device_back"),
    ]  # fmt: skip
    assert [b.of_host for b in found] == [False, True, False]


def test_breaks_near_the_ends_and_sparse_stamps():
    rng, true, device = stream(3, n=36_000, step=0.1)
    host = true + rng.exponential(0.008, len(true))
    device[35_985:] -= device[35_985]  # a second and a half before the end
    assert [b.row for b in find_breaks(device, host)] == [35_985]
    host[np.arange(36_000) % 20 != 19] = np.nan  # a stamp a packet
    device = true + 3
    device[20_003:] -= device[20_003]
    assert [(b.row, b.reason) for b in find_breaks(device, host)] == [(20_003, "device_back")]
    assert find_breaks(device[:3], host[:3]) == []


@pytest.mark.parametrize("row", [1, 7, 50, 29_950, 29_998])
def test_a_device_that_goes_back_near_an_end_is_a_break(row):
    rng = np.random.default_rng(4)
    true = np.arange(30_000) / 100
    device = np.where(np.arange(30_000) < row, 4294.9 + true, true - true[row])
    (found,) = find_breaks(device, true + 50 + rng.exponential(0.005, len(true)))
    assert (found.row, found.reason) == (row, "device_back")


def test_two_resets_two_seconds_apart_are_two_breaks():
    rng = np.random.default_rng(5)
    true = np.arange(45_000) / 50
    device = true - np.where(true >= 300, 300.0, 0.0) - np.where(true >= 302, 2.0, 0.0)
    found = find_breaks(device, true + 50 + rng.exponential(0.005, len(true)))
    assert [(b.row, b.reason) for b in found] == [(15_000, "device_back"), (15_100, "device_back")]


def test_a_packet_that_comes_again_late_is_no_break():
    rng = np.random.default_rng(6)
    true = np.arange(30_000) / 100
    order = np.r_[np.arange(20_000), np.arange(19_600, 19_620), np.arange(20_000, 30_000)]  # four seconds late
    host = np.maximum.accumulate(np.r_[true[:20_000], np.full(20, true[20_000]), true[20_000:]])
    assert find_breaks(true[order], host + rng.exponential(0.005, len(order))) == []


@pytest.mark.parametrize("held", [2.0, 8.0, 12.0, 30.0, 120.0])
@pytest.mark.parametrize("speed", [2.0, 100.0])
@pytest.mark.parametrize("begin", [0.0, 400.0])
def test_an_outage_whose_rows_were_kept_is_late_and_no_break(held, speed, begin):
    rng = np.random.default_rng(7)
    true = np.arange(45_000) / 50
    host = true + rng.exponential(0.005, len(true))
    waiting = (true >= begin) & (true < begin + held * speed / (speed - 1))
    host[waiting] = begin + held + (true[waiting] - begin) / speed
    assert find_breaks(true + 3, np.maximum.accumulate(host)) == []
