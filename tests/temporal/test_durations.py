"""Laws of duration: recovered from samples, from censored samples, and from segments met under way."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.temporal.durations import expected_counts, expected_counts_met, fit_durations, fit_law
from conv2d.temporal.laws import LAWS, minimise
from conv2d.temporal.statistics import OPEN, SegmentStatistics

DRAW = {
    "negative_binomial": lambda rng, n: 1 + rng.negative_binomial(5, 5 / (5 + 29), n),
    "poisson": lambda rng, n: 1 + rng.poisson(29, n),
    "geometric": lambda rng, n: rng.geometric(1 / 30, n),
    "gaussian": lambda rng, n: np.maximum(1, np.rint(rng.normal(30, 6, n)).astype(int)),
    "categorical": lambda rng, n: np.where(rng.uniform(size=n) < 0.5, rng.integers(8, 13, n), rng.integers(40, 61, n)),
}


def distance(law, lengths, max_duration):
    """Largest difference between the law's and the sample's distribution function."""
    empirical = np.bincount(np.minimum(lengths, max_duration), minlength=max_duration + 1)[1:] / len(lengths)
    return np.abs(np.cumsum(np.exp(law.log_pmf)) - np.cumsum(empirical)).max()


@pytest.mark.parametrize("kind", LAWS)
def test_recovers_the_law_from_complete_lengths(kind):
    rng = np.random.default_rng(0)
    lengths = DRAW[kind](rng, 4000)
    law = fit_law(kind, lengths, None, 200)
    assert distance(law, DRAW[kind](rng, 200_000), 200) < 0.05
    assert np.exp(law.log_pmf).sum() == pytest.approx(1)
    assert law.parameters["mean"] == pytest.approx(lengths.mean(), rel=0.01)


@pytest.mark.parametrize("kind", LAWS)
def test_recovers_the_law_from_censored_lengths(kind):
    rng = np.random.default_rng(1)
    lengths = DRAW[kind](rng, 4000)
    cut = rng.integers(1, 80, 4000)
    seen, open_end = np.minimum(lengths, cut), lengths > cut
    law = fit_law(kind, seen, np.where(open_end, OPEN, seen), 200)
    truth = DRAW[kind](rng, 200_000)
    assert distance(law, truth, 200) < 0.08
    naive = fit_law(kind, seen, None, 200)
    assert distance(law, truth, 200) < distance(naive, truth, 200)


@pytest.mark.parametrize("kind", LAWS)
def test_recovers_the_law_from_intervals(kind):
    rng = np.random.default_rng(2)
    lengths = DRAW[kind](rng, 4000)
    low = np.maximum(1, lengths - rng.integers(0, 5, 4000))
    law = fit_law(kind, low, low + 4, 200)
    assert distance(law, DRAW[kind](rng, 200_000), 200) < 0.08


@pytest.mark.parametrize("kind", LAWS)
def test_recovers_the_law_from_segments_met_under_way(kind):
    rng = np.random.default_rng(3)
    many = DRAW[kind](rng, 60_000)
    # What a recording that starts at a random moment meets: long ones more often, and only what remains of them.
    met = rng.choice(many, size=3000, p=many / many.sum())
    remaining = rng.integers(1, met + 1)
    fresh = DRAW[kind](rng, 1000)
    low = np.r_[remaining, fresh]
    started = np.arange(4000) >= 3000
    law = fit_law(kind, low, low, 300, started=started)
    truth = DRAW[kind](rng, 200_000)
    naive = fit_law(kind, low, low, 300)
    assert distance(law, truth, 300) < 0.12
    if kind != "geometric":
        # A geometric law has no memory: what remains is distributed as the whole.
        assert distance(law, truth, 300) < distance(naive, truth, 300)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(2, 12).flatmap(
        lambda size: st.tuples(
            st.lists(st.floats(0.01, 1), min_size=size, max_size=size),
            st.lists(st.tuples(st.integers(1, size), st.integers(0, size), st.booleans()), min_size=1, max_size=8),
        )
    )
)
def test_expected_counts_by_enumeration(case):
    weights, bounds = case
    pmf = np.array(weights) / np.sum(weights)
    size = len(pmf)
    low = np.array([b[0] for b in bounds])
    high = np.array([OPEN if b[2] else b[0] + b[1] for b in bounds])
    expected, expected_met = np.zeros(size), np.zeros(size)
    for first, last in zip(low, high, strict=True):
        lengths = np.arange(1, size + 1)
        inside = pmf * ((lengths >= first) & (lengths <= last))
        expected += inside / inside.sum()
        reached = pmf * np.array([sum(first <= d <= min(last, x) for d in range(1, size + 1)) for x in lengths])
        expected_met += reached / reached.sum()
    np.testing.assert_allclose(expected_counts(pmf, low, high), expected, atol=1e-9)
    np.testing.assert_allclose(expected_counts_met(pmf, low, high), expected_met, atol=1e-9)


def test_without_intervals_the_fixed_point_is_kaplan_meier():
    lengths = np.array([2, 3, 3, 5, 6, 6, 8])
    ended = np.array([True, True, False, True, False, True, True])
    pmf = np.full(10, 0.1)
    for _ in range(2000):
        pmf = expected_counts(pmf, lengths, np.where(ended, lengths, OPEN)) / len(lengths)
    survivor = 1.0
    for t in range(1, 9):
        # A segment cut at t may have ended just there, so it is at risk only before t.
        at_risk = ((lengths >= t) & ended).sum() + ((lengths > t) & ~ended).sum()
        survivor *= 1 - ((lengths == t) & ended).sum() / max(at_risk, 1)
        assert 1 - pmf[:t].sum() == pytest.approx(survivor, abs=1e-6)


def stats(segments, n_states):
    state, low, high, started = (np.array(column) for column in zip(*segments, strict=True))
    zeros = np.zeros((n_states, n_states), int)
    return SegmentStatistics(n_states, state, low, high, started.astype(bool), zeros, zeros[0], zeros[0], zeros[0])


@pytest.mark.parametrize("kind", LAWS)
def test_a_rare_class_gets_its_mean_and_the_pooled_spread(kind):
    rng = np.random.default_rng(4)
    common = [(0, n, n, True) for n in 1 + rng.negative_binomial(30, 30 / (30 + 39), 300)]
    rare = [(1, 100, 100, True), (1, 104, 104, True)]
    law = fit_durations(kind, stats(common + rare, 2), 300)[1]
    pmf = np.exp(law.log_pmf)
    mean = (pmf * np.arange(1, 301)).sum()
    assert 75 < mean < 120
    # Two segments of nearly one length do not make a law of one length (the geometric has no choice).
    sd = (pmf * (np.arange(1, 301) - mean) ** 2).sum() ** 0.5
    assert sd > 4
    assert np.isfinite(law.log_pmf).all()


@pytest.mark.parametrize("kind", LAWS)
def test_a_class_never_seen_to_end_lasts_about_as_long_as_it_was_watched(kind):
    segments = [(0, 10, 10, True)] * 20 + [(1, 500, OPEN, True)] * 4
    ended, endless = fit_durations(kind, stats(segments, 2), 100)
    assert endless.beyond > 0.9
    assert ended.beyond < 0.1
    assert endless.parameters["mean"] > 2000


def test_a_class_never_seen_at_all_gets_the_pooled_law():
    laws = fit_durations("categorical", stats([(0, n, n, True) for n in range(10, 30)], 3), 60)
    assert len(laws) == 3
    pmf = np.exp(laws[2].log_pmf)
    assert 14 < (pmf * np.arange(1, 61)).sum() < 25


def test_no_end_seen_anywhere():
    laws = fit_durations("negative_binomial", stats([(0, 50, OPEN, False), (1, 80, OPEN, False)], 2), 40)
    assert all(law.beyond > 0.8 for law in laws)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from(LAWS),
    st.lists(
        st.tuples(st.integers(0, 2), st.integers(1, 300), st.integers(0, 40), st.booleans(), st.booleans()),
        min_size=1,
        max_size=12,
    ),
    st.integers(1, 80),
)
def test_any_segments_give_proper_laws(kind, segments, max_duration):
    rows = [(k, low, OPEN if is_open else low + more, started) for k, low, more, is_open, started in segments]
    for law in fit_durations(kind, stats(rows, 3), max_duration):
        assert law.log_pmf.shape == (max_duration,)
        assert np.isfinite(law.log_pmf).all()
        assert np.exp(law.log_pmf).sum() == pytest.approx(1)
        assert 0 <= law.beyond <= 1


def test_segments_far_longer_than_the_support_do_not_break_it():
    law = fit_law("categorical", [5, 5, 5, 2_000_000], None, 50)
    assert law.beyond == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: fit_law("weibull", [1], None, 5), "got the duration law 'weibull', expected one of categorical"),
        (lambda: fit_law("poisson", [0], None, 5), "lengths below 1"),
        (lambda: fit_law("poisson", [3], [2], 5), "upper below lower"),
        (lambda: fit_law("poisson", [3], None, 0), "max_duration is 0 frames"),
        (lambda: fit_law("poisson", [], None, 5), "no segment and no base law"),
    ],
)
def test_errors_name_what_was_got(call, text):
    with pytest.raises(UsageError, match=text):
        call()


@given(st.floats(-3, 3))
def test_golden_section_finds_a_valley_or_an_end(bottom):
    found = minimise(lambda x: (x - bottom) ** 2, -1, 2)
    assert found == pytest.approx(min(max(bottom, -1), 2), abs=0.02)
