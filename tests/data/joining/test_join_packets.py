"""Packets on one clock, some of them lost, against the times at which their samples were measured."""

import numpy as np
import pytest

from conv2d.data.joining.packets import spread_packets
from conv2d.data.joining.provenance import UNCERTAIN
from conv2d.data.joining.stamps import Stamps
from conv2d.data.joining.timing import time_samples

EPOCH = 1.7e9


def packets(loss, *, size=10, late=0.01, seed=0, seconds=600, rate=100.0, bursts=0, varied=False):
    """Stamps and true times of the rows that came, a packet's stamp being when its last row was received."""
    rng = np.random.default_rng([seed, size])
    true = np.arange(0, seconds, 1 / rate)
    sizes = rng.integers(1, 2 * size, len(true)) if varied else np.full(len(true), size)
    packet = np.repeat(np.arange(len(true)), sizes)[: len(true)]
    ends = true[np.r_[np.flatnonzero(np.diff(packet)), len(true) - 1]]
    lateness = rng.exponential(late, len(ends)) if late else np.zeros(len(ends))
    for begin in rng.uniform(0, seconds, bursts):
        over = begin + rng.exponential(0.5)
        held = (ends > begin) & (ends < over)
        lateness[held] = np.maximum(lateness[held], over - ends[held])
    came = (rng.random(len(ends)) >= loss)[packet]
    return EPOCH + np.maximum.accumulate(ends + lateness)[packet][came], true[came], int((~came).sum())


@pytest.mark.parametrize("loss", [0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.2])
@pytest.mark.parametrize("seed", range(3))
def test_lost_packets_do_not_move_the_rest(loss, seed):
    stamps, true, lost = packets(loss, seed=seed)
    found = spread_packets(stamps, 100.0)
    error = np.abs(found.time_s - EPOCH - true)
    assert np.quantile(error, 0.99) < 2e-3
    # A packet whose own lateness is half its length looks like a lost one; few are, and they are marked.
    assert np.mean(error > 0.02) < 0.01
    assert np.mean((error > 0.02) & ~found.doubtful) < 0.001
    assert found.doubtful.mean() < max(0.005, loss)
    assert abs(found.lost - lost) <= 0.01 * lost + 20
    assert len(found.pieces) == 1


@pytest.mark.parametrize("rate", [95.1, 99.87, 103.0, 104.9])
def test_a_rate_far_from_nominal_is_not_taken_for_loss(rate):
    for loss in (0.0, 0.05):
        stamps, true, _ = packets(loss, rate=rate, bursts=10, late=0.005)
        found = spread_packets(stamps, 100.0)
        error = np.abs(found.time_s - EPOCH - true)
        assert np.quantile(error, 0.98) < 2e-3
        assert np.mean((error > 0.02) & ~found.doubtful) < 0.01
        assert 100 / (1 + found.pieces[0][1].drift) == pytest.approx(rate, rel=2e-5)


def test_packets_of_any_size_and_single_rows():
    for case in ({"size": 25, "late": 0.005}, {"varied": True, "late": 0.002}, {"size": 1, "late": 0.001}):
        stamps, true, lost = packets(0.01, **case)
        found = spread_packets(stamps, 100.0)
        assert np.quantile(np.abs(found.time_s - EPOCH - true), 0.99) < 2e-3
        assert found.lost == pytest.approx(lost, rel=0.02)


def test_loss_that_cannot_be_told_from_lateness_is_marked_and_told():
    stamps, true, _ = packets(0.02, late=0.2)
    timed = time_samples(Stamps(None, stamps, np.zeros(len(true), bool), "back in recording r1", 100.0))
    assert (timed.flags & UNCERTAIN > 0).all()
    assert any("counted roughly" in note for note in timed.notes)


def test_a_long_gap_begins_a_piece_and_a_held_up_one_does_not():
    stamps, true, _ = packets(0.0, late=0.002)
    kept = (true < 200) | (true >= 260.0037)
    found = spread_packets(stamps[kept] + np.where(true[kept] > 200, 0.0037, 0.0), 100.0)
    assert [b.reason for b in found.breaks] == ["pause"]
    shifted = true[kept] + np.where(true[kept] > 200, 0.0037, 0.0)
    assert np.abs(found.time_s - EPOCH - shifted).max() < 2e-3
    held = stamps.copy()
    waiting = (true > 200) & (true < 260)
    held[waiting] = np.maximum(held[waiting], EPOCH + 260)
    found = spread_packets(held, 100.0)
    assert found.breaks == []
    assert found.lost == 0
    assert np.abs(found.time_s - EPOCH - true).max() < 2e-3


def test_the_account_says_what_was_lost():
    stamps, true, lost = packets(0.01)
    timed = time_samples(Stamps(None, stamps, np.zeros(len(true), bool), "back in recording r1", 100.0))
    assert timed.facts["lost_between_packets"]["samples"] == lost
    assert timed.notes[0].startswith(f"{lost} samples were lost at ")
    assert np.diff(timed.index).sum() == lost + len(true) - 1
