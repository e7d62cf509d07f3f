"""When each row was measured: clocks, packets, order, doubled rows, and the sentences where it cannot be told."""

import numpy as np
import pytest

from conv2d.data.joining.provenance import DUPLICATE, UNCERTAIN
from conv2d.data.joining.stamps import Stamps
from conv2d.data.joining.timing import time_samples
from conv2d.errors import DataError

EPOCH = 1.7e9


def stamps(device=None, host=None, repeated=None, **more):
    n = len(host if device is None else device)
    return Stamps(device, host, np.zeros(n, bool) if repeated is None else repeated, "back in recording r1", **more)


def arrivals(rng, true, late_s=0.008):
    """Host stamps in order of arrival: late, and from time to time held up until a stall is over."""
    late = 0.002 + rng.exponential(late_s, len(true))
    for begin in rng.uniform(0, true[-1], int(true[-1] / 60)):
        end = begin + rng.exponential(0.4)
        held = (true > begin) & (true < end)
        late[held] = np.maximum(late[held], end - true[held])
    return np.maximum.accumulate(EPOCH + true + late)


@pytest.mark.parametrize("seed", range(5))
def test_drift_reset_loss_and_bursts_leave_a_fifth_of_a_millisecond(seed):
    rng = np.random.default_rng(seed)
    true = np.arange(1800 * 104) / 104.1337
    device = true * (1 - 80e-6) + 3
    reset = int(rng.integers(60 * 104, 1700 * 104))
    device[reset:] = (true[reset:] - true[reset]) * (1 - 80e-6)
    kept = rng.random(len(true)) > 0.02
    timed = time_samples(stamps(device[kept], arrivals(rng, true)[kept], latency_s=0.002))
    error = timed.time_s - EPOCH - true[kept][timed.rows]
    assert np.abs(error).max() < 2e-4
    assert 1 / timed.period_s == pytest.approx(104.1337, rel=1e-6)
    (found,) = timed.facts["breaks"]
    assert found["reason"] == "device_back"
    assert abs(found["row"] - np.count_nonzero(kept[:reset])) <= 1
    assert [round(p["drift_ppm"], 1) for p in timed.facts["pieces"]] == [80.0, 80.0]
    # Sample numbers are those of the true samples, but for the leap at the reset.
    steps = np.diff(timed.index)
    assert np.array_equal(np.delete(steps, steps.argmax()), np.delete(np.diff(np.flatnonzero(kept)), steps.argmax()))


def test_a_change_of_daylight_saving_is_taken_out_and_told():
    rng = np.random.default_rng(0)
    true = np.arange(60_000) / 50
    host = arrivals(rng, true)
    host[30_000:] -= 3600
    timed = time_samples(stamps(true + 5, host))
    assert np.abs(timed.time_s - EPOCH - true - 0.002).max() < 1e-3
    assert timed.facts["breaks"][0]["reason"] == "zone"
    assert "a step of the host clock of zone or daylight saving by -3600.0" in timed.notes[0]
    host = arrivals(rng, true)
    host[30_000:] += 900  # or the device slept for a quarter of an hour, as the mapping says
    asleep = time_samples(stamps(true + 5, host, keep_steps=True))
    assert asleep.time_s[-1] - asleep.time_s[0] == pytest.approx(true[-1] + 900, abs=1e-2)
    assert time_samples(stamps(true + 5, host)).time_s[-1] == pytest.approx(EPOCH + true[-1], abs=1e-2)


def test_packets_with_one_stamp_are_spread_by_their_number():
    rng = np.random.default_rng(0)
    true = np.arange(36_000) / 99.87
    packet = np.arange(36_000) // 25
    last = true[np.minimum(packet * 25 + 24, 35_999)]
    host = EPOCH + last + 0.002 + rng.exponential(0.004, 1440)[packet]
    lost = (packet == 700) | (packet == 701)
    timed = time_samples(stamps(host=host[~lost], rate_hz=100.0, latency_s=0.002))
    error = timed.time_s - EPOCH - true[~lost]
    assert np.abs(error).max() < 3e-3
    assert 1 / timed.period_s == pytest.approx(99.87, abs=0.01)
    assert timed.facts["breaks"] == []
    assert timed.facts["lost_between_packets"] == {"samples": 50, "places": 1}
    np.testing.assert_array_equal(np.diff(timed.index), np.diff(np.flatnonzero(~lost)))
    # The same with a stamp in the last row of each packet only.
    sparse = np.where(np.arange(36_000) % 25 == 24, host, np.nan)
    again = time_samples(stamps(host=sparse[~lost], rate_hz=100.0, latency_s=0.002))
    np.testing.assert_allclose(again.time_s, timed.time_s, atol=1e-3)
    with pytest.raises(DataError, match=r"E-DATA-020: back in recording r1 has many rows with one stamp \(packets\)"):
        time_samples(stamps(host=host))


def test_a_counter_is_a_clock_of_unknown_rate():
    rng = np.random.default_rng(0)
    true = np.arange(60_000) / 103.0
    kept = rng.random(60_000) > 0.05
    timed = time_samples(
        stamps(np.arange(60_000)[kept] / 100.0, arrivals(rng, true)[kept], rate_hz=100.0, counts=True, latency_s=0.002)
    )
    assert np.abs(timed.time_s - EPOCH - true[kept]).max() < 1e-3
    assert timed.facts["rate_measured_hz"] == pytest.approx(103.0, rel=1e-5)
    with pytest.raises(
        DataError, match=r"E-DATA-020: .* counts 206 samples a second of the host, .* 100; correct rate"
    ):
        time_samples(stamps(np.arange(60_000) / 100.0, EPOCH + np.arange(60_000) / 206, rate_hz=100.0, counts=True))


def test_the_order_of_rows_does_not_matter():
    rng = np.random.default_rng(0)
    true = np.arange(20_000) / 50
    host = EPOCH + true + rng.exponential(0.005, 20_000)
    mixed = rng.permutation(20_000)
    for device in (true * (1 - 30e-6) + 9, None):
        straight = time_samples(stamps(device, host if device is not None else EPOCH + true))
        shuffled = time_samples(
            stamps(None if device is None else device[mixed], (host if device is not None else EPOCH + true)[mixed])
        )
        np.testing.assert_array_equal(mixed[shuffled.rows], straight.rows)
        np.testing.assert_allclose(shuffled.time_s, straight.time_s, atol=1e-6)
        assert "were sorted" in shuffled.notes[0]


def test_late_packets_come_back_to_their_place():
    true = np.arange(10_000) / 100
    order = np.arange(10_000)
    order[5000:5020], order[5020:5040] = order[5020:5040].copy(), order[5000:5020].copy()
    timed = time_samples(stamps(host=EPOCH + true[order]))
    np.testing.assert_array_equal(timed.rows, np.argsort(order))
    np.testing.assert_array_equal(timed.index, np.arange(10_000))


def test_doubled_rows_and_leaping_stamps_go():
    rng = np.random.default_rng(0)
    true = np.arange(10_000) / 100
    rows = np.sort(np.r_[np.arange(10_000), 777, 778, 4000])
    repeated = np.r_[False, np.diff(rows) == 0]
    device = (true + 5)[rows]
    timed = time_samples(stamps(device, arrivals(rng, true)[rows], repeated))
    assert timed.facts["rows_dropped"] == {"repeated": 3}
    np.testing.assert_array_equal(rows[timed.rows], np.arange(10_000))
    # The same time with other values: the first is kept and flagged.
    timed = time_samples(stamps(device, arrivals(rng, true)[rows]))
    assert timed.facts["rows_dropped"] == {"doubled": 3}
    assert np.flatnonzero(timed.flags & DUPLICATE).tolist() == [777, 778, 4000]
    device = true + 5
    device[3000] += 500.0
    timed = time_samples(stamps(device, arrivals(rng, true)))
    assert timed.facts["rows_dropped"] == {"stamp_leaps": 1}
    assert timed.time_s[-1] - timed.time_s[0] == pytest.approx(true[-1], abs=1e-3)


def test_a_sensor_at_rest_in_packets_is_not_taken_for_doubled_rows():
    host = EPOCH + np.repeat(np.arange(1, 201) * 0.25, 25)
    timed = time_samples(stamps(host=host, repeated=np.r_[False, np.diff(host) == 0], rate_hz=100.0))
    assert len(timed.rows) == 5000
    np.testing.assert_allclose(np.diff(timed.time_s), 0.01, atol=1e-6)


def test_jitter_is_averaged_out_and_loss_still_counted():
    rng = np.random.default_rng(0)
    for spread, bound in ((0.0005, 0.0003), (0.003, 0.0015)):
        true = np.arange(30_000) / 100
        kept = rng.random(30_000) > 0.01
        timed = time_samples(stamps(host=(EPOCH + true + rng.uniform(-spread, spread, 30_000))[kept]))
        error = timed.time_s - EPOCH - true[kept]
        assert np.abs(error[100:-100]).max() < bound
        np.testing.assert_array_equal(np.diff(timed.index), np.diff(np.flatnonzero(kept)))


def test_stamps_without_a_rate_are_taken_at_their_word():
    rng = np.random.default_rng(0)
    true = np.cumsum(rng.exponential(0.02, 5000) + 0.004)
    timed = time_samples(stamps(host=EPOCH + true))
    np.testing.assert_allclose(timed.time_s, EPOCH + true, atol=1e-6)
    assert "taken at its word" in timed.notes[-1]


def test_a_short_piece_borrows_its_rate():
    rng = np.random.default_rng(0)
    true = np.arange(40_000) / 100
    device = true * (1 - 150e-6)
    device[38_000:] -= device[38_000]  # twenty seconds after a restart
    timed = time_samples(stamps(device, arrivals(rng, true)))
    assert [p["method"] for p in timed.facts["pieces"]] == ["envelope", "assumed"]
    assert timed.facts["pieces"][1]["drift_ppm"] == pytest.approx(150, abs=1)
    assert (timed.flags & UNCERTAIN > 0).sum() == 2000
    assert np.abs(timed.time_s - EPOCH - true - 0.002).max() < 2e-3


def test_a_counter_of_sixteen_bits_wraps_into_pieces_or_is_unwrapped_before():
    rng = np.random.default_rng(0)
    true = np.arange(200_000) / 100
    counter = (np.arange(200_000) % 65_536) / 100.0
    timed = time_samples(stamps(counter, arrivals(rng, true), rate_hz=100.0, counts=True))
    assert len(timed.facts["pieces"]) == 4
    assert np.abs(timed.time_s - EPOCH - true - 0.002).max() < 2e-3


@pytest.mark.parametrize(
    ("device", "host", "told"),
    [
        (None, [1.0], r"has no two rows with a time"),
        (None, [1.0, np.nan], r"has no two rows with a time"),
        ([0.0, 1.0, 2.0], [np.nan, np.nan, 5.0], r"has no two rows with a host time"),
        (None, [5.0, 5.0, 5.0], r"packets|one time"),
        (np.arange(1000) * 1.0, np.arange(1000) * 1.01, r"takes 0.990099 s for a second of the host.*unit of device"),
        (None, np.r_[np.arange(5000), np.arange(5000) - 3600 + 5000] / 1.0, r"goes back by 3599 s at row 5000 from 0"),
        (None, np.r_[np.arange(500), np.arange(500) + 437.0], r"goes back by 62 s at row 500 from 0, and no second"),
    ],
)  # fmt: skip
def test_sentences(device, host, told):
    device = None if device is None else np.array(device)
    with pytest.raises(DataError, match=f"E-DATA-020: .*back in recording r1.*{told}"):
        time_samples(stamps(device, np.array(host)))


@pytest.mark.parametrize(
    ("scale", "told"), [(1e3, "1000 s .*device looks finer .* ms for s"), (1e-3, "0.001 s .*host")]
)
@pytest.mark.parametrize("seconds", [40, 300])
def test_wrong_units_are_refused_before_anything_is_merged(scale, told, seconds):
    true = np.arange(0, seconds, 0.01)
    host = arrivals(np.random.default_rng(0), true)
    with pytest.raises(DataError, match=f"E-DATA-020: a second of the host is {told}"):
        time_samples(stamps(true * scale + 7, host))
    with pytest.raises(DataError, match=r"takes 0.98\d+ s for a second of the host"):
        time_samples(stamps(true / 1.02, host))
    sparse = np.where(np.isin(np.arange(len(true)), (5, 3000)), host, np.nan)
    with pytest.raises(DataError, match=r"has 2 pairs of device and host time in \d+ rows, expected at least three"):
        time_samples(stamps(true, sparse))


def test_pauses_resets_and_late_stamps_are_no_wrong_unit():
    true = np.concatenate([np.arange(0, 60, 0.02) + 900 * k for k in range(8)])  # a minute of each quarter of an hour
    device = np.tile(np.arange(0, 60, 0.02), 8)
    timed = time_samples(stamps(device, EPOCH + true + np.random.default_rng(0).exponential(0.005, len(true))))
    assert np.abs(timed.time_s - EPOCH - true).max() < 2e-3


def test_a_small_leap_of_the_device_is_told_where_it_is_not_mended():
    rng = np.random.default_rng(0)
    true = np.arange(45_000) / 50
    device = true + np.where(true > 400, 0.1, 0.0)
    timed = time_samples(stamps(device, EPOCH + true + rng.exponential(0.005, len(true))))
    wrong = np.abs(timed.time_s - EPOCH - true) > 0.05
    assert (timed.flags[wrong] & UNCERTAIN > 0).mean() > 0.9
    assert "off the clock's line" in timed.notes[-1]


def test_rows_that_differ_in_a_burst_are_spread_by_number_and_drops_are_told():
    rng = np.random.default_rng(0)
    true = np.arange(0, 120, 0.01)
    late = rng.exponential(0.002, len(true))
    for first in rng.integers(0, len(true) - 50, 12):
        late[first : first + 40] = np.maximum(late[first : first + 40], true[first + 40] - true[first : first + 40])
    host = EPOCH + np.maximum.accumulate(true + late)
    timed = time_samples(stamps(host=host, rate_hz=100.0))
    assert len(timed.rows) == len(true)
    assert np.abs(timed.time_s - EPOCH - true).max() < 1e-3
    without = time_samples(stamps(host=host))
    lost = without.facts["rows_dropped"]["doubled"]
    assert any(note.startswith(f"{lost} rows have nearly the time of the row before") for note in without.notes)


def test_a_wrong_nominal_rate_is_refused():
    with pytest.raises(
        DataError, match=r"has 50 samples a second by the median step.* says rate_hz 100; correct rate_hz"
    ):
        time_samples(stamps(host=np.arange(1000) / 50, rate_hz=100.0))
