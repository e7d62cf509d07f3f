"""The M step of durations: really a maximum, of what the core really scores, whatever is cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.temporal.durations import FittedLaw
from conv2d.temporal.laws import LAWS
from conv2d.temporal.learned_laws import (
    FLOOR,
    ExpectedLengths,
    categorical_law,
    law_of,
    law_of_mean,
    maximise_law,
    prior_lengths,
)


def by_definition(seen, log_pmf):
    """Expected log score from sums written out."""
    pmf, d = np.exp(log_pmf), len(log_pmf)
    survivor = np.array([pmf[n:].sum() for n in range(d)])
    tail = np.array([survivor[n:].sum() for n in range(d)])
    mean = (pmf * np.arange(1, d + 1)).sum()
    total = 0.0
    for n in range(d):
        total += seen.complete[n] * log_pmf[n] + seen.right[n] * np.log(survivor[n])
        total += seen.left[n] * np.log(survivor[n] / mean) + seen.both[n] * np.log(tail[n] / mean)
    return total


@st.composite
def expected(draw):
    d, rng = draw(st.integers(1, 30)), np.random.default_rng(draw(st.integers(0, 2**32)))
    return ExpectedLengths(*[rng.gamma(0.3, 10, d) * draw(st.booleans()) for _ in range(4)])


@settings(max_examples=100, deadline=None)
@given(seen=expected(), seed=st.integers(0, 2**32))
def test_the_score_is_the_definition(seen, seed):
    log_pmf = np.log(np.random.default_rng(seed).dirichlet(np.ones(len(seen.complete))) + 1e-9)
    log_pmf -= np.logaddexp.reduce(log_pmf)
    assert seen.log_likelihood(log_pmf[None])[0] == pytest.approx(by_definition(seen, log_pmf), rel=1e-9, abs=1e-9)


@settings(max_examples=150, deadline=None)
@given(seen=expected(), kind=st.sampled_from(LAWS), mean=st.floats(1, 40), strength=st.sampled_from([0.0, 3.0]))
def test_a_step_never_lowers_and_its_law_is_normalised(seen, kind, mean, strength):
    d = len(seen.complete)
    prior = prior_lengths(5.0, 2.0, strength, d) + (FLOOR if kind == "categorical" else 0)
    old = law_of_mean(kind, mean, d)
    new = maximise_law(kind, seen, prior, old)
    known = ExpectedLengths(seen.complete + prior, seen.left, seen.right, seen.both)
    before, after = known.log_likelihood(np.stack([old.log_pmf, new.log_pmf]))
    assert after >= before
    assert np.exp(new.log_pmf).sum() == pytest.approx(1.0, abs=1e-9)
    # The law is what its parameters say.
    if kind != "categorical":
        np.testing.assert_allclose(law_of(kind, new.parameters, d).log_pmf, new.log_pmf, rtol=1e-6, atol=1e-9)


TRUE = {
    "negative_binomial": {"mean": 20.0, "size": 4.0},
    "poisson": {"mean": 20.0},
    "geometric": {"mean": 12.0},
    "gaussian": {"mean": 22.0, "sd": 5.0},
}


@pytest.mark.parametrize("kind", sorted(TRUE))
@pytest.mark.parametrize("cut", ["none", "right", "left", "both"])
@pytest.mark.parametrize("d", [25, 80])
def test_counts_of_a_law_lead_back_to_it_also_where_it_is_cut_at_d(kind, cut, d):
    true = law_of(kind, TRUE[kind], d)
    pmf = np.exp(true.log_pmf)
    survivor = np.cumsum(pmf[::-1])[::-1]
    tail = np.cumsum(survivor[::-1])[::-1]
    # A lot of segments in exactly the shares that the law gives: only the law itself fits them best.
    seen = {"complete": 1e4 * pmf, "left": 0 * pmf, "right": 0 * pmf, "both": 0 * pmf}
    if cut == "right":
        seen["right"] = 3e3 * survivor
        # P(a segment is cut at d) for a cut anywhere: those that ended before are complete.
        seen["complete"] = 1e4 * pmf * np.arange(d, 0, -1)
        seen["right"] = 1e4 * survivor
    if cut in ("left", "both"):
        seen["left"] = 3e3 * survivor / survivor.sum()
    if cut == "both":
        # A look of one frame at a segment under way always sees one frame.
        seen["both"][0] = 500.0
        assert tail[0] == pytest.approx(survivor.sum())
    found = maximise_law(kind, ExpectedLengths(**seen), np.zeros(d), law_of_mean(kind, 5.0, d))
    for _ in range(3):
        found = maximise_law(kind, ExpectedLengths(**seen), np.zeros(d), found)
    if cut == "right":
        # All segments begin at frames 0 .. d - 1 before the cut: the same law to the last parameter.
        np.testing.assert_allclose(np.exp(found.log_pmf), pmf, atol=2e-4)
    for name, value in TRUE[kind].items():
        assert found.parameters[name] == pytest.approx(value, rel=0.01)


@pytest.mark.parametrize("kind", ["negative_binomial", "gaussian"])
def test_the_maximum_is_that_of_an_independent_optimiser(kind):
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(3)
    d = 60
    lengths = 1 + rng.negative_binomial(3, 3 / (3 + 15), 400).clip(0, d - 1)
    complete = np.bincount(lengths[:300] - 1, minlength=d).astype(float)
    right = np.bincount(rng.integers(1, lengths[300:350] + 1) - 1, minlength=d).astype(float)
    left = np.bincount(rng.integers(1, lengths[350:] + 1) - 1, minlength=d).astype(float)
    seen = ExpectedLengths(complete, left, right, np.zeros(d))
    found = law_of_mean(kind, 5.0, d)
    for _ in range(5):
        found = maximise_law(kind, seen, np.zeros(d), found)
    name = "size" if kind == "negative_binomial" else "sd"

    def loss(point):
        parameters = {"mean": 1 + np.exp(point[0]), name: np.exp(point[1])}
        return -by_definition(seen, law_of(kind, parameters, d).log_pmf)

    best = optimize.minimize(
        loss, [np.log(10), np.log(4)], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
    )
    assert by_definition(seen, found.log_pmf) == pytest.approx(-best.fun, abs=1e-4)


def test_a_categorical_law_without_cuts_is_the_shares():
    counts = np.array([0.0, 3.0, 1.0, 0.0])
    none = np.zeros(4)
    found = maximise_law(
        "categorical", ExpectedLengths(counts, none, none, none), none, law_of_mean("categorical", 2, 4)
    )
    np.testing.assert_allclose(np.exp(found.log_pmf), [0, 0.75, 0.25, 0], atol=1e-12)
    assert found.parameters["mean"] == pytest.approx(2.25)


def test_a_categorical_law_is_freed_of_the_bias_towards_long_segments():
    """Segments met under way are long ones more often: half of 2 and half of 6 frames are met in shares 1 : 3."""
    pmf = np.zeros(8)
    pmf[[1, 5]] = 0.5
    survivor = np.cumsum(pmf[::-1])[::-1]
    none = np.zeros(8)
    law = law_of_mean("categorical", 3.0, 8)
    seen = ExpectedLengths(none, 1e3 * survivor / survivor.sum(), none, none)
    for _ in range(300):
        law = maximise_law("categorical", seen, none, law)
    np.testing.assert_allclose(np.exp(law.log_pmf), pmf, atol=5e-3)


def test_what_nothing_was_seen_of_keeps_its_law():
    none = np.zeros(10)
    for kind in LAWS:
        law = law_of_mean(kind, 4.0, 10)
        kept = maximise_law(
            kind, ExpectedLengths(none, none, none, none), none + (FLOOR if kind == "categorical" else 0), law
        )
        if kind != "categorical":
            assert kept is law
        assert isinstance(kept, FittedLaw)
        assert np.isfinite(kept.log_pmf).all()


def test_a_prior_has_its_mean_spread_and_strength():
    prior = prior_lengths(40.0, 8.0, 5.0, 200)
    lengths = np.arange(1, 201)
    mean = (prior * lengths).sum() / prior.sum()
    assert prior.sum() == pytest.approx(5.0)
    assert mean == pytest.approx(40.0, abs=0.1)
    assert np.sqrt((prior * (lengths - mean) ** 2).sum() / prior.sum()) == pytest.approx(8.0, abs=0.1)


def test_a_law_of_given_probabilities_may_have_impossible_lengths():
    law = categorical_law(np.array([0.0, 1.0]))
    assert law.log_pmf.tolist() == [-np.inf, 0.0]
    assert law.parameters["mean"] == 2.0
