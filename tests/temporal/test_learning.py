"""Learning without labels: the likelihood never falls, known models come back, hmmlearn takes the same path."""

import itertools
import json
import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.metrics import runs
from conv2d.temporal import HMM, HSMM, CategoricalEmissions, GaussianEmissions, decoder_from_dict
from conv2d.temporal.laws import LAWS
from conv2d_core import hsmm_expected_counts

ORDER = np.array([[0.0, 0.8, 0.2], [0.1, 0.0, 0.9], [0.7, 0.3, 0.0]])
LAWS_OF = {
    "negative_binomial": [{"mean": 10, "size": 5}, {"mean": 30, "size": 10}, {"mean": 16, "size": 2}],
    "poisson": [{"mean": 10}, {"mean": 30}, {"mean": 16}],
    "geometric": [{"mean": 6}, {"mean": 18}, {"mean": 10}],
    "gaussian": [{"mean": 10, "sd": 2}, {"mean": 30, "sd": 5}, {"mean": 20, "sd": 3}],
}


def gaussian_world(kind="negative_binomial", **params):
    emissions = GaussianEmissions.of([[0.0, 0.0], [2.0, 1.0], [4.0, -1.0]], np.ones((3, 2)))
    options = {"frame_s": 0.1, "max_duration_s": 9.0, "self_transition": 0.0} | params
    if kind == "categorical":
        pmf = np.exp(gaussian_world().log_durations_)
        return HSMM.of(np.full(3, 1 / 3), ORDER, pmf, emissions, frame_s=0.1, self_transition=0.0)
    return HSMM.of(np.full(3, 1 / 3), ORDER, LAWS_OF[kind], emissions, durations=kind, **options)


def matched(model, truth):
    """The permutation of the model's states under which they come closest to the true ones."""
    distance = np.square(model[:, None] - truth[None]).sum(axis=2)
    k = len(truth)
    return list(min(itertools.permutations(range(k)), key=lambda order: sum(distance[order[j], j] for j in range(k))))


def assert_never_falls(model):
    history = np.array(model.monitor_.history)
    assert len(history) > 1
    assert (np.diff(history) >= 0).all()
    np.testing.assert_array_less(np.abs(history), np.inf)


# The likelihood never falls


class Counts:
    """Emissions of one's own: Poisson counts, from the two methods of the protocol alone."""

    def __init__(self, rates):
        self.rates = np.array(rates, dtype=float)

    def log_likelihood(self, X):
        return np.asarray(X)[:, None] * np.log(self.rates) - self.rates

    def update(self, X, posteriors):
        self.rates = np.maximum(posteriors.T @ X, 1e-6) / np.maximum(posteriors.sum(axis=0), 1e-6)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), seed=st.integers(0, 2**32), law=st.sampled_from(LAWS))
def test_the_penalised_likelihood_never_falls(data, seed, law):
    rng = np.random.default_rng(seed)
    k = data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.sampled_from([0, 1, 7, 40, 90]), min_size=1, max_size=4).filter(sum))
    n = sum(lengths)
    states = np.repeat(rng.integers(0, k, n), rng.integers(1, 15, n))[:n]
    kind = data.draw(st.sampled_from(["diag", "full", "spherical", "tied", "codes", "own", "scores"]))
    if kind == "codes":
        emissions = CategoricalEmissions(pseudocount=data.draw(st.sampled_from([0.0, 2.0])))
        X = np.stack([(states + (rng.random(n) < 0.3)) % 5, rng.integers(-1, 3, n)], axis=1)
    elif kind == "own":
        emissions, X = Counts(1 + np.arange(k)), rng.poisson(3 * states + 1)
    elif kind == "scores":
        emissions, X = "scores", rng.normal(size=(n, k)) + 2 * np.eye(k)[states]
    else:
        emissions = GaussianEmissions(kind, prior_frames=data.draw(st.sampled_from([0.0, 3.0])))
        X = rng.normal(size=(n, 2)) + 2 * states[:, None]
        if n > 1:
            X[1:][rng.random((n - 1, 2)) < 0.1] = np.nan
    model = HSMM(
        k,
        0.5,
        emission_model=emissions,
        durations=law,
        max_duration_s=data.draw(st.sampled_from([0.5, 1.0, 12.0])),
        censoring=data.draw(st.sampled_from(["right", "both"])),
        self_transition=data.draw(st.sampled_from([1e-3, 0.2])),
        transition_pseudocount=data.draw(st.sampled_from([0.0, 1.0])),
        duration_prior_s=data.draw(st.sampled_from([None, {"mean": 3.0, "sd": 1.0, "strength": 4.0}])),
        n_init=2,
        n_iter=15,
        tol=1e-9,
    )
    labels = np.where(rng.random(n) < 0.1, states, -1) if data.draw(st.booleans()) and kind != "own" else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.fit(X, lengths, labels)
    assert_never_falls(model)
    pmf = np.exp(model.log_durations_)
    np.testing.assert_allclose(pmf.sum(axis=1), 1)
    np.testing.assert_allclose(model.startprob_.sum(), 1)
    np.testing.assert_allclose(model.transmat_.sum(axis=1), 1)
    # What the history ends with is the likelihood of what is kept.
    if labels is None:
        assert model.score(X, lengths) == pytest.approx(model.monitor_.log_likelihoods[-1], rel=1e-9)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("censoring", ["none", "right", "left", "both"])
def test_the_likelihood_never_falls_with_every_law_and_end(law, censoring):
    world = gaussian_world()
    X, _, _ = world.sample(1500, random_state=2)
    model = HSMM(
        3, 0.1, emission_model="gaussian", durations=law, censoring=censoring, max_duration_s=5.0, n_iter=30, tol=1e-6,
        transition_pseudocount=0.0, n_init=1,
    ).fit(X, [500] * 3)  # fmt: skip
    assert_never_falls(model)
    # Without priors what is maximised is the likelihood itself (but for the floor of categorical laws).
    np.testing.assert_allclose(model.monitor_.history, model.monitor_.log_likelihoods, atol=1e-4)


def test_an_update_that_is_no_maximum_is_taken_back_and_told():
    class Wrong(Counts):
        def update(self, X, posteriors):
            self.rates = self.rates[::-1] * 3

    X = np.random.default_rng(0).poisson(np.repeat([1, 8], 30))
    with pytest.warns(UserWarning, match=r"E-TEMPORAL-024: step 1 took the likelihood from .* update\(\) of Wrong"):
        model = HSMM(2, 1.0, emission_model=Wrong([1.0, 8.0])).fit(X)
    assert model.emissions_.rates.tolist() == [1.0, 8.0]
    assert model.score(X) == pytest.approx(model.monitor_.log_likelihoods[-1])


# Known models come back


@pytest.mark.parametrize("law", [*LAWS])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_simulated_model_is_recovered(law, seed):
    world = gaussian_world(law)
    X, states, _ = world.sample(8000, random_state=seed)
    lengths = [2000] * 4
    model = HSMM(
        3, 0.1, emission_model="gaussian", durations=law, max_duration_s=9.0, self_transition=0.0, random_state=seed
    ).fit(X, lengths)
    order = matched(model.means_, world.means_)
    np.testing.assert_allclose(model.means_[order], world.means_, atol=0.1)
    np.testing.assert_allclose(model.covars_[order], world.covars_, atol=0.1)
    np.testing.assert_allclose(model.transmat_[np.ix_(order, order)], ORDER, atol=0.1)
    # A few hundred segments: geometric lengths spread as much as their mean.
    tolerance = 0.2 if law == "geometric" else 0.12
    np.testing.assert_allclose(model.mean_durations_s_[order], world.mean_durations_s_, rtol=tolerance)
    if law in ("negative_binomial", "gaussian"):
        name = {"negative_binomial": "size", "gaussian": "sd"}[law]
        found = [model.duration_laws_[state][name] for state in order]
        ratios = np.array(found) / [law[name] for law in world.duration_laws_]
        assert (np.abs(np.log(ratios)) < np.log(1.7)).all()
    relabelled = np.argsort(order)[model.predict(X, lengths)]
    assert (relabelled == states).mean() > 0.97
    # At least as likely as the truth, which is one of the models that it chose from.
    assert model.score(X, lengths) > world.score(X, lengths) - 1


@pytest.mark.parametrize("seed", [0, 1])
def test_codes_of_two_positions_are_recovered(seed):
    rng = np.random.default_rng(seed)
    tables = [rng.dirichlet(np.full(40, 0.3), 3), rng.dirichlet(np.full(6, 0.5), 3)]
    world = HSMM.of(
        np.full(3, 1 / 3), ORDER, LAWS_OF["negative_binomial"], CategoricalEmissions.of(*tables),
        frame_s=0.1, max_duration_s=9.0, durations="negative_binomial",
    )  # fmt: skip
    X, states, _ = world.sample(12_000, random_state=seed)
    model = HSMM(3, 0.1, emission_model=CategoricalEmissions([40, 6]), max_duration_s=9.0).fit(X)
    order = matched(model.emissionprob_[0], tables[0])
    for found, table in zip(model.emissionprob_, tables, strict=True):
        np.testing.assert_allclose(found[order], table, atol=0.03)
    np.testing.assert_allclose(model.mean_durations_s_[order], world.mean_durations_s_, rtol=0.12)
    assert (np.argsort(order)[model.predict(X)] == states).mean() > 0.97


def test_emissions_of_ones_own_are_learned():
    laws = [{"mean": 10, "size": 5}, {"mean": 20, "size": 5}]
    rng = np.random.default_rng(0)
    world = HSMM.of([0.5, 0.5], 1 - np.eye(2), laws, Counts([1.0, 6.0]), frame_s=1.0, max_duration_s=60.0)
    with pytest.raises(UsageError, match=r"E-TEMPORAL-025: Counts cannot be drawn from"):
        world.sample(10)
    world.emissions_.sample = lambda states, rng: rng.poisson(np.array([1.0, 6.0])[states])
    X, states, _ = world.sample(4000, random_state=1)
    model = HSMM(2, 1.0, emission_model=Counts([2.0, 3.0]), max_duration_s=60.0).fit(X)
    np.testing.assert_allclose(model.emissions_.rates, [1.0, 6.0], atol=0.2)
    assert (model.predict(X) == states).mean() > 0.95
    np.testing.assert_allclose(model.mean_durations_s_, [10, 20], rtol=0.15)
    with pytest.raises(UsageError, match=r"E-TEMPORAL-025: emissions of Counts cannot be stored"):
        model.to_dict()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    with pytest.raises(UsageError, match="has no n_parameters"):
        model.aic(X)
    assert rng is not None


def test_noise_without_segments_is_no_better_explained_by_durations():
    """Frames in random order: the learned timeline must not claim structure that shuffling has destroyed."""
    world = gaussian_world()
    X, _, _ = world.sample(3000, random_state=0)
    shuffled = np.random.default_rng(0).permutation(X)
    options = {"emission_model": "gaussian", "max_duration_s": 9.0, "n_init": 2}
    whole, noise = HSMM(3, 0.1, **options).fit(X), HSMM(3, 0.1, **options).fit(shuffled)
    assert whole.score(X) > noise.score(shuffled) + 500
    one = HSMM(1, 0.1, emission_model=GaussianEmissions("full"), max_duration_s=9.0).fit(shuffled)
    assert noise.score(shuffled) < one.score(shuffled) + 0.12 * len(X)


def test_information_criteria_find_the_number_of_states():
    X, _, _ = gaussian_world().sample(3000, random_state=4)
    models = {k: HSMM(k, 0.1, emission_model="gaussian", max_duration_s=9.0).fit(X) for k in (2, 3, 4)}
    assert min(models, key=lambda k: models[k].bic(X)) == 3
    # 2 free numbers a law, K - 2 a row, K - 1 starts, a mean and a variance a feature.
    assert models[3].n_parameters == 6 + 3 + 2 + 12
    assert models[3].aic(X) == pytest.approx(2 * 23 - 2 * models[3].score(X))


# hmmlearn


def hmm_start(rng, k):
    return rng.dirichlet(np.ones(k)), rng.dirichlet(np.ones(k) * 2, k)


@pytest.mark.parametrize("covariance_type", ["diag", "full", "spherical", "tied"])
@pytest.mark.parametrize("seed", [0, 1])
def test_an_hmm_takes_the_path_of_hmmlearn(covariance_type, seed):
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    rng = np.random.default_rng(seed)
    k, lengths = 3, [200, 1, 150]
    states = np.repeat(rng.integers(0, k, 60), rng.integers(1, 14, 60))[: sum(lengths)]
    X = rng.normal(size=(sum(lengths), 2)) + 1.5 * states[:, None]
    startprob, transmat = hmm_start(rng, k)
    means = rng.normal(size=(k, 2)) + 1.5 * np.arange(k)[:, None]
    covars = {
        "diag": np.ones((k, 2)), "full": np.repeat(np.eye(2)[None], k, axis=0), "spherical": np.ones(k),
        "tied": np.eye(2),
    }[covariance_type]  # fmt: skip
    # 0 priors: hmmlearn adds 1e-2 to every variance otherwise.
    peer = hmmlearn.GaussianHMM(
        k, covariance_type, n_iter=15, tol=-np.inf, init_params="", min_covar=1e-9, covars_prior=0.0,
        covars_weight={"diag": 1.0, "spherical": 1.0, "full": 0.0, "tied": 0.0}[covariance_type],
    )  # fmt: skip
    peer.startprob_, peer.transmat_, peer.means_, peer.covars_ = startprob, transmat, means, covars
    peer.fit(X, lengths)
    own = HMM.of(
        startprob, transmat, GaussianEmissions.of(means, covars, covariance_type, variance_floor=1e-9), frame_s=1.0,
        transition_pseudocount=0.0, n_iter=15, tol=1e-12,
    ).fit(X, lengths, warm_start=True)  # fmt: skip
    if covariance_type in ("full", "tied"):
        # hmmlearn divides these by max(weight - dims, 0) + counts all the same; its history must be comparable.
        assert np.isfinite(peer.monitor_.history).all()
    steps = min(len(peer.monitor_.history), len(own.monitor_.history))
    np.testing.assert_allclose(own.monitor_.history[:steps], list(peer.monitor_.history)[:steps], rtol=1e-7)
    assert steps >= 15
    np.testing.assert_allclose(own.transmat_, peer.transmat_, atol=1e-4)
    assert own.score(X, lengths) == pytest.approx(peer.score(X, lengths), rel=1e-8)


def test_an_hmm_of_codes_takes_the_path_of_hmmlearn_and_an_hsmm_of_one_frame_too():
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    rng = np.random.default_rng(5)
    codes = np.repeat(rng.integers(0, 5, 80), rng.integers(1, 8, 80))
    startprob, transmat = hmm_start(rng, 2)
    table = rng.dirichlet(np.ones(5), 2)
    peer = hmmlearn.CategoricalHMM(2, n_iter=12, tol=-np.inf, init_params="")
    peer.startprob_, peer.transmat_, peer.emissionprob_ = startprob, transmat, table
    peer.fit(codes[:, None])
    emissions = CategoricalEmissions.of(table, pseudocount=0.0)
    options = {"frame_s": 1.0, "transition_pseudocount": 0.0, "n_iter": 12, "tol": 1e-12}
    own = HMM.of(startprob, transmat, emissions, **options)
    semi = HSMM.of(startprob, transmat, np.ones((2, 1)), emissions, **options)
    assert own.score(codes) == pytest.approx(peer.monitor_.history[0])
    for model in (own, semi):
        model.fit(codes, warm_start=True)
        np.testing.assert_allclose(model.monitor_.history[:12], list(peer.monitor_.history)[:12], rtol=1e-8)
        np.testing.assert_allclose(model.monitor_.history[12], peer.score(codes[:, None]), rtol=1e-8)
        np.testing.assert_allclose(model.emissionprob_, peer.emissionprob_, atol=1e-6)
        np.testing.assert_array_equal(model.predict(codes), peer.predict(codes[:, None]))


# Labels, gaps, priors, transitions that change


def test_with_all_labels_one_step_counts():
    rng = np.random.default_rng(0)
    states = np.repeat([0, 1, 2, 1, 0, 2, 1, 0], [5, 7, 4, 6, 5, 3, 8, 4])
    X = rng.normal(size=(len(states), 1)) + 5 * states[:, None]
    model = HSMM(
        3, 1.0, emission_model="gaussian", durations="poisson", max_duration_s=20, self_transition=0.0,
        transition_pseudocount=0.0, censoring="none",
    ).fit(X, labels=states)  # fmt: skip
    assert model.monitor_.converged
    assert model.monitor_.iter == 2  # one that counts, one that gains nothing
    np.testing.assert_allclose(model.transmat_, [[0, 0.5, 0.5], [2 / 3, 0, 1 / 3], [0, 1, 0]], atol=1e-9)
    np.testing.assert_allclose(model.startprob_, [1, 0, 0], atol=1e-9)
    np.testing.assert_allclose(model.means_[:, 0], [X[states == s].mean() for s in range(3)])
    lengths = [[5, 5, 4], [7, 6, 8], [4, 3]]
    found = [law["mean"] for law in model.duration_laws_]
    np.testing.assert_allclose(found, [np.mean(own) for own in lengths], rtol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_a_few_labels_name_the_states_and_stay_as_they_are(seed):
    world = gaussian_world()
    X, states, _ = world.sample(4000, random_state=seed)
    labels = np.full(len(states), -1)
    for state in range(3):
        place = np.flatnonzero(states == state)[20:40]
        labels[place] = state
    model = HSMM(3, 0.1, emission_model="gaussian", max_duration_s=9.0).fit(X, labels=labels)
    assert_never_falls(model)
    # No permutation to be found: the names are those of the labels.
    assert (model.predict(X) == states).mean() > 0.97
    # A wrong label is a fact, too: the frame keeps it.
    wrong = labels.copy()
    place = int(np.flatnonzero(labels == 0)[5])
    wrong[place] = 2
    other = HSMM(3, 0.1, emission_model="gaussian", max_duration_s=9.0, n_iter=3).fit(X, labels=wrong)
    scores = other.emissions(X)
    scores[place, [0, 1]] = -np.inf
    posteriors = hsmm_expected_counts(
        scores, other.log_transitions_, other.log_initial_, other.log_durations_, other.censoring
    )[1]
    assert posteriors[place, 2] == pytest.approx(1.0)


def test_frames_without_data_are_neither_learned_nor_scored():
    world = gaussian_world()
    X, states, _ = world.sample(3000, random_state=0)
    gone = np.zeros(len(X), bool)
    gone[100:160] = gone[2000:2005] = True
    wild = X.copy()
    wild[gone] = np.inf
    holes = X.copy()
    holes[gone] = np.nan
    options = {"emission_model": "gaussian", "max_duration_s": 9.0, "n_init": 2}
    by_nan = HSMM(3, 0.1, **options).fit(holes)
    assert (by_nan.emissions(holes)[gone] == 0).all()
    np.testing.assert_allclose(np.sort(by_nan.means_[:, 0]), [0, 2, 4], atol=0.2)
    order = matched(by_nan.means_, world.means_)
    assert (np.argsort(order)[by_nan.predict(holes)] == states)[~gone].mean() > 0.97
    assert by_nan.score(wild, has_data=~gone) == pytest.approx(by_nan.score(holes))
    by_mask = HSMM(3, 0.1, **options).fit(wild, has_data=~gone)
    assert by_mask.monitor_.history == by_nan.monitor_.history
    codes = (states * 2).astype(int)
    codes[gone] = 10**9
    masked = HSMM(3, 0.1, emission_model="categorical", max_duration_s=9.0, n_init=2).fit(codes, has_data=~gone)
    assert masked.emissionprob_.shape == (3, 5)
    assert (masked.emissions(codes, ~gone)[gone] == 0).all()


def test_a_strong_prior_in_seconds_decides_and_a_weak_one_gives_way():
    X, _, _ = gaussian_world().sample(4000, random_state=0)

    def means(strength, mean=4.0):
        prior = {"mean": mean, "sd": 0.5, "strength": strength}
        model = HSMM(
            3, 0.1, emission_model="gaussian", max_duration_s=9.0, duration_prior_s=prior, durations="gaussian"
        )
        model.fit(X)
        assert_never_falls(model)
        return np.sort(model.mean_durations_s_)

    np.testing.assert_allclose(means(1e6), 4.0, atol=0.05)
    np.testing.assert_allclose(means(1e-3), np.sort(means(1e-3, mean=1.0)), rtol=0.1)
    assert means(1e-3)[0] < 1.4


def test_one_prior_a_state_stays_with_its_state():
    X, states, _ = gaussian_world().sample(6000, random_state=0)
    prior = {"mean": [1.0, 3.0, 1.6], "sd": [0.4, 1.0, 1.0], "strength": [20, 20, 0]}
    labels = np.where(np.arange(len(X)) < 300, states, -1)
    model = HSMM(3, 0.1, emission_model="gaussian", max_duration_s=9.0, duration_prior_s=prior).fit(X, labels=labels)
    np.testing.assert_allclose(model.mean_durations_s_, [1.0, 3.0, 1.6], rtol=0.15)
    assert model.get_params()["duration_prior_s"] == prior
    again = decoder_from_dict(json.loads(json.dumps(model.to_dict())))
    assert again.duration_prior_s == prior


def test_transitions_that_change_by_frame_are_used_for_learning_decoding_and_sampling():
    """By day 0 -> 1 -> 2, by night 0 -> 2 -> 1; emissions of 1 and 2 are the same, so that only the order tells."""
    rng = np.random.default_rng(0)
    n = 4000
    day = (np.arange(n) // 500) % 2 == 0
    cycle = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]) * 0.98 + 0.01
    cycle[np.diag_indices(3)] = 0
    cycle /= cycle.sum(axis=1, keepdims=True)
    with np.errstate(divide="ignore"):
        order = np.log(np.where(day[:, None, None], cycle, cycle.T))
    emissions = GaussianEmissions.of([[0.0], [3.0], [3.0]], np.ones((3, 1)))
    laws = [{"mean": 10, "size": 50}] * 3
    world = HSMM.of(np.full(3, 1 / 3), cycle, laws, emissions, frame_s=1.0, max_duration_s=40.0)
    X, states, segments = world.sample(n, random_state=0, log_transitions=order)
    changes = np.zeros((2, 3, 3))
    for (a, _, end), (b, _, _) in itertools.pairwise(segments.tolist()):
        changes[int(day[end]), a, b] += 1
    assert changes[1, 0, 1] > 0.9 * changes[1, 0].sum()
    assert changes[0, 0, 2] > 0.9 * changes[0, 0].sum()
    with_order = (world.predict(X, log_transitions=order) == states).mean()
    assert with_order > 0.9 > 0.75 > (world.predict(X) == states).mean()
    assert world.score(X, log_transitions=order) > world.score(X) + 3
    model = HSMM.of(
        np.full(3, 1 / 3), cycle, [{"mean": 20, "size": 1}] * 3, emissions, frame_s=1.0, max_duration_s=40.0
    )
    model.fit(X, log_transitions=order, warm_start=True)
    assert_never_falls(model)
    np.testing.assert_allclose(model.mean_durations_s_, 10, rtol=0.15)
    assert model.smooth(X, log_transitions=order).shape == model.filter(X, log_transitions=order).shape == (n, 3)
    assert rng is not None


def test_recordings_are_chains_of_their_own():
    world = gaussian_world()
    X, _, _ = world.sample(900, random_state=0)
    lengths = [300, 0, 600]
    assert world.score(X, lengths) == pytest.approx(world.score(X[:300]) + world.score(X[300:]))
    decoded = world.decode(X, lengths=lengths)
    apart = [world.decode(X[:300]), world.decode(X[300:])]
    np.testing.assert_array_equal(decoded.labels, np.concatenate([part.labels for part in apart]))
    np.testing.assert_array_equal(
        decoded.segments, np.concatenate([apart[0].segments, apart[1].segments + np.array([0, 300, 300])])
    )
    assert decoded.score == pytest.approx(apart[0].score + apart[1].score)
    for verb in ("smooth", "filter"):
        together = getattr(world, verb)(X, lengths=lengths)
        np.testing.assert_array_equal(
            together, np.concatenate([getattr(world, verb)(X[:300]), getattr(world, verb)(X[300:])])
        )


def test_threads_and_repetition_change_no_bit_and_seeds_do():
    X, _, _ = gaussian_world().sample(2000, random_state=0)
    options = {"emission_model": "gaussian", "max_duration_s": 9.0, "n_iter": 12}
    models = [HSMM(3, 0.1, n_jobs=jobs, **options).fit(X, [500] * 4) for jobs in (1, 1, 3)]
    for other in models[1:]:
        np.testing.assert_array_equal(models[0].log_durations_, other.log_durations_)
        np.testing.assert_array_equal(models[0].means_, other.means_)
        assert models[0].monitor_.history == other.monitor_.history
    seeded = HSMM(3, 0.1, random_state=7, n_init=1, **options).fit(X, [500] * 4)
    assert seeded.monitor_.history[0] != models[0].monitor_.history[0]


def test_fit_leaves_the_emissions_it_was_given_alone():
    given_emissions = GaussianEmissions("spherical")
    X, _, _ = gaussian_world().sample(500, random_state=0)
    model = HSMM(2, 0.1, emission_model=given_emissions, n_iter=3).fit(X)
    assert not hasattr(given_emissions, "means_")
    assert model.covars_.shape == (2,)


# Sampling


@pytest.mark.parametrize("law", LAWS)
def test_a_sample_has_the_models_durations_order_and_emissions(law):
    world = gaussian_world(law)
    X, states, segments = world.sample(60_000, random_state=1)
    assert (segments[0, 1], segments[-1, 2]) == (0, 60_000)
    np.testing.assert_array_equal(segments[1:, 1], segments[:-1, 2])
    np.testing.assert_array_equal(states, np.repeat(segments[:, 0], segments[:, 2] - segments[:, 1]))
    inner = segments[1:-1]
    lengths = inner[:, 2] - inner[:, 1]
    pmf = np.exp(world.log_durations_)
    for state in range(3):
        own = lengths[inner[:, 0] == state]
        shares = np.bincount(own - 1, minlength=90) / len(own)
        # Kolmogorov-Smirnov at a level of one in thousands.
        assert np.abs(np.cumsum(shares - pmf[state])).max() < 2 / np.sqrt(len(own))
        followed = segments[1:, 0][segments[:-1, 0] == state]
        np.testing.assert_allclose(np.bincount(followed, minlength=3) / len(followed), ORDER[state], atol=0.05)
        np.testing.assert_allclose(X[states == state].mean(axis=0), world.means_[state], atol=0.05)


def test_the_first_segment_of_a_sample_is_met_under_way_only_where_the_start_is_cut():
    emissions = GaussianEmissions.of([[0.0], [1.0]], np.ones((2, 1)))
    pmf = np.zeros((2, 10))
    pmf[:, 9] = 1.0
    for censoring, expected in [("both", 5.5), ("left", 5.5), ("right", 10.0), ("none", 10.0)]:
        model = HSMM.of([0.5, 0.5], 1 - np.eye(2), pmf, emissions, frame_s=1.0, censoring=censoring)
        first = [model.sample(30, random_state=seed)[2][0, 2] for seed in range(400)]
        assert np.mean(first) == pytest.approx(expected, abs=0.6)


def test_samples_are_the_same_for_a_seed_and_empty_for_no_frames():
    world = gaussian_world()
    np.testing.assert_array_equal(world.sample(100, random_state=3)[0], world.sample(100, random_state=3)[0])
    assert (world.sample(100, random_state=3)[0] != world.sample(100, random_state=4)[0]).any()
    X, states, segments = world.sample(0, random_state=0)
    assert (X.shape, states.shape, segments.shape) == ((0, 2), (0,), (0, 3))


# Storage


@pytest.mark.parametrize("emissions", ["gaussian", "categorical", "scores", GaussianEmissions("full", prior_frames=2)])
def test_a_learned_model_comes_back_to_the_last_bit(emissions):
    rng = np.random.default_rng(0)
    if emissions == "categorical":
        X = np.repeat(rng.integers(0, 9, 40), 5)
    elif emissions == "scores":
        X = np.log(rng.dirichlet(np.ones(2), 200))
    else:
        X = rng.normal(size=(200, 3))
    model = HSMM(2, 0.5, emission_model=emissions, max_duration_s=10.0, n_iter=5).fit(X, groups=["ann"])
    again = decoder_from_dict(json.loads(json.dumps(model.to_dict())))
    assert isinstance(again, HSMM)
    assert json.dumps(again.to_dict()) == json.dumps(model.to_dict())
    np.testing.assert_array_equal(again.smooth(X), model.smooth(X))
    assert again.score(X) == model.score(X)
    assert again.subjects_ == ("ann",)
    assert again.monitor_.converged == model.monitor_.converged
    # It can be learned on: the same steps from the same place.
    for one in (again, model):
        one.fit(X, warm_start=True)
    assert again.monitor_.history == model.monitor_.history
    for broken in ({"emissions": None}, {"emissions": {"kind": "gaussian"}}, {"monitor": {}}):
        with pytest.raises(UsageError, match="E-TEMPORAL-006"):
            HSMM.from_dict(model.to_dict() | broken)


OLD = {
    "hsmm": {
        "format": "conv2d-hsmm/1", "kind": "hsmm",
        "params": {"n_states": 2, "frame_s": 0.5, "transitions": "learned", "transition_pseudocount": 1.0,
                   "emission_weight": 0.1, "prior_power": 1.0, "max_gap_s": 10.0, "censoring": "both",
                   "durations": "categorical", "max_duration_s": 1.0, "shrinkage": 4.0, "self_transition": 0.001},
        "class_log_prior": [-0.5500463369192721, -0.8602012652231115],
        "log_initial": [-0.2876820724517809, -1.3862943611198906], "log_final": [0.0, 0.0],
        "log_transitions": [[-2.7140756945994013, -0.06856386519351038], [-0.03062565383568518, -3.5011910073870807]],
        "log_durations": [[-0.5, -0.9327521295671886], [-0.25, -1.5087138339570212]], "subjects": ["a"],
        "duration_laws": [{"mean": 4.0, "width": 0.5, "beyond": 0.06}, {"mean": 3.2, "width": 1.2, "beyond": 0.03}],
    },
    "hmm": {
        "format": "conv2d-hsmm/1", "kind": "hmm",
        "params": {"n_states": 2, "frame_s": 0.5, "transitions": "learned", "transition_pseudocount": 1.0,
                   "emission_weight": 0.1, "prior_power": 1.0, "max_gap_s": 10.0, "censoring": "both"},
        "class_log_prior": [-0.5500463369192721, -0.8602012652231115],
        "log_initial": [-0.2876820724517809, -1.3862943611198906], "log_final": [0.0, 0.0],
        "log_transitions": [[-0.3746934494414107, -1.1631508098056809], [-1.3862943611198906, -0.2876820724517809]],
        "log_durations": [[0.0], [0.0]], "subjects": ["a"],
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", sorted(OLD))
def test_files_from_before_there_was_learning_open_and_are_written_as_they_were(kind):
    model = decoder_from_dict(json.loads(json.dumps(OLD[kind])))
    assert model.emission_model is None
    assert model.to_dict() == OLD[kind]
    assert model.decode(np.log([[0.9, 0.1], [0.2, 0.8]])).labels.shape == (2,)
    for asked in ("sample(5)", "n_parameters"):
        with pytest.raises(UsageError, match=r"E-TEMPORAL-025: .* was fitted from labels, expected emission_model="):
            eval(f"model.{asked}")
    assert not hasattr(model, "means_")


# Large codebooks and odd shapes


def test_a_codebook_of_65536_symbols():
    rng = np.random.default_rng(0)
    n, size = 6000, 65_536
    states = np.repeat(np.arange(200) % 2, 30)
    # Half of the book each; nearly every code occurs once, so only their sum over a segment tells.
    X = rng.integers(0, size // 2, n) // 40 * 40 + states * (size // 2)
    model = HSMM(2, 1.0, emission_model=CategoricalEmissions(size), max_duration_s=60.0).fit(X)
    assert model.emissionprob_.shape == (2, size)
    np.testing.assert_allclose(model.emissionprob_.sum(axis=1), 1)
    accuracy = (model.predict(X) == states).mean()
    assert max(accuracy, 1 - accuracy) > 0.97
    # A code never seen has a probability, and the same in all states.
    unseen = int(np.setdiff1d(np.arange(size), X)[0])
    assert np.isfinite(model.emissions([unseen])).all()


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("k", [1, 3])
def test_hardly_any_frames(n, k):
    X = np.arange(n, dtype=float)[:, None]
    model = HSMM(k, 1.0, emission_model="gaussian").fit(X)
    assert model.predict(X).shape == (n,)
    assert_never_falls(model)
    codes = HSMM(k, 1.0, emission_model="categorical").fit(np.arange(n))
    assert np.isfinite(codes.score(np.arange(n)))


def test_frames_that_are_all_alike_do_not_collapse():
    model = HSMM(3, 1.0, emission_model="gaussian", max_duration_s=5.0).fit(np.full((50, 2), 7.0))
    assert np.isfinite(model.score(np.full((50, 2), 7.0)))
    assert (model.covars_ > 0).all()


def test_scores_learn_durations_alone():
    world = gaussian_world()
    X, states, _ = world.sample(6000, random_state=0)
    model = HSMM(3, 0.1, emission_model="scores", max_duration_s=9.0).fit(world.emissions(X))
    np.testing.assert_allclose(model.mean_durations_s_, world.mean_durations_s_, rtol=0.15)
    np.testing.assert_allclose(model.transmat_, ORDER, atol=0.12)
    assert (model.predict(world.emissions(X)) == states).mean() > 0.97


def test_uniform_transitions_are_not_learned():
    X, _, _ = gaussian_world().sample(1000, random_state=0)
    model = HSMM(3, 0.1, emission_model="gaussian", transitions="uniform", self_transition=0.1, n_iter=5).fit(X)
    np.testing.assert_allclose(model.transmat_, np.full((3, 3), 0.45) - 0.35 * np.eye(3))
    assert_never_falls(model)


# Errors


@pytest.mark.parametrize(
    ("params", "told"),
    [
        (
            {"emission_model": "gauss"},
            "E-TEMPORAL-020: emission_model is 'gauss', expected one of gaussian, categorical",
        ),
        ({"emission_model": GaussianEmissions}, "E-TEMPORAL-020"),
        ({"emission_model": object()}, "or an object with log_likelihood"),
        ({"emission_model": "gaussian", "n_init": 0}, "n_init is 0"),
        ({"emission_model": "gaussian", "n_iter": 1.5}, "n_iter is 1.5, expected a whole number"),
        ({"emission_model": "gaussian", "tol": 0}, "tol is 0"),
        ({"emission_model": "gaussian", "transition_pseudocount": -1}, "transition_pseudocount is -1"),
        ({"transition_pseudocount": 0}, "transition_pseudocount is 0"),
        ({"self_transition": 0}, "self_transition is 0"),
        ({"duration_prior_s": {"mean": 1.0}}, "got duration_prior_s without emission_model"),
        ({"emission_model": "gaussian", "duration_prior_s": {"sd": 1.0}}, "expected a dict with 'mean'"),
        ({"emission_model": "gaussian", "duration_prior_s": {"mean": [1.0, 2.0]}}, "'mean' of duration_prior_s"),
        ({"emission_model": "gaussian", "duration_prior_s": {"mean": -1.0}}, "expected a number above 0, or 3"),
        ({"emission_model": "gaussian", "durations": "weibull"}, "durations is 'weibull'"),
    ],
)
def test_parameters_that_make_no_sense(params, told):
    with pytest.raises(UsageError, match=told):
        HSMM(3, 0.1, **params)


ROWS = np.zeros((10, 2))


@pytest.mark.parametrize(
    ("X", "options", "told"),
    [
        (np.zeros((0, 2)), {}, "X has no frames"),
        (5, {}, "E-TEMPORAL-021: X is int, expected an array"),
        (np.zeros((2, 2, 2)), {}, "X has shape"),
        (np.array([["a"]]), {}, "X holds no numbers"),
        (np.where(np.eye(10, 2), np.inf, 0.0), {}, "X row 0 is infinite"),
        (np.where(np.eye(10, 2), -np.inf, 0.0), {}, "X row 0 is infinite"),
        (np.full((10, 2), np.nan), {}, "column 0 of X has no value at all"),
        (ROWS, {"lengths": [4, 5]}, "E-TEMPORAL-022: lengths are"),
        (ROWS, {"lengths": [-1, 11]}, "E-TEMPORAL-022: lengths are"),
        (ROWS, {"lengths": [5.0, 5.0]}, "E-TEMPORAL-022: lengths are"),
        (ROWS, {"labels": np.zeros(9, int)}, "labels are int64 of shape"),
        (ROWS, {"labels": np.zeros(10)}, "labels are float64"),
        (ROWS, {"labels": np.arange(10)}, "label 9 of frame 9 is no state, expected -1 to 2"),
        (ROWS, {"groups": ["a", "b"]}, "E-TEMPORAL-009: got 2 groups for 1 recordings"),
        (ROWS, {"has_data": np.ones(10)}, "E-TEMPORAL-002: has_data is float64"),
        (ROWS, {"log_transitions": np.zeros((3, 3))}, "log_transitions have shape"),
        (ROWS, {"warm_start": True}, "E-TEMPORAL-001"),
    ],
)
def test_observations_that_cannot_be(X, options, told):
    with pytest.raises(UsageError, match=told):
        HSMM(3, 0.1, emission_model="gaussian").fit(X, **options)


@pytest.mark.parametrize(
    ("X", "params", "told"),
    [
        (np.zeros(5), {}, "expected integer codes"),
        (np.array([0, 3]), {"n_symbols": 3}, "X row 1 holds code 3, expected below 3; pass n_symbols"),
        (np.array([[0, 1]]), {"n_symbols": [2, 2, 2]}, "n_symbols is"),
        (np.array([2**40]), {}, "number those that occur with numpy.unique"),
    ],
)
def test_codes_that_cannot_be(X, params, told):
    with pytest.raises(UsageError, match=told):
        HSMM(2, 0.1, emission_model=CategoricalEmissions(**params)).fit(X)


def test_other_misuse_is_told():
    X, _, _ = gaussian_world().sample(300, random_state=0)
    model = HSMM(3, 0.1, emission_model="gaussian", n_iter=2)
    with pytest.raises(UsageError, match=r"E-TEMPORAL-001: HSMM is not fitted, expected fit\(\) before score\(\)"):
        model.score(X)
    model.fit(X)
    with pytest.raises(UsageError, match="X has 3 features, expected 2 as in training"):
        model.predict(np.zeros((4, 3)))
    with pytest.raises(UsageError, match=r"has_data is int64 .* pass the frames of each recording as lengths="):
        model.decode(X, [100, 200])
    with pytest.raises(UsageError, match="covars has shape"):
        GaussianEmissions.of([[0.0]], [1.0])
    with pytest.raises(UsageError, match="not positive"):
        GaussianEmissions.of([[0.0]], [[0.0]])
    with pytest.raises(UsageError, match="emissionprob 0 of shape"):
        CategoricalEmissions.of([[0.5, 0.6]])
    with pytest.raises(UsageError, match="a law of duration_laws lacks 'size'"):
        gaussian_world(max_duration_s=4.0).of([1.0], [[1.0]], [{"mean": 3}], GaussianEmissions.of([[0.0]], [[1.0]]),
                                             frame_s=1.0, max_duration_s=9.0)  # fmt: skip
    with pytest.raises(UsageError, match="transmat of shape"):
        HMM.of([0.5, 0.5], np.ones((2, 2)), GaussianEmissions.of([[0.0], [1.0]], np.ones((2, 1))), frame_s=1.0)
    with pytest.raises(UsageError, match="expected 'learned' for an HMM"):
        HMM(2, 0.1, emission_model="gaussian", transitions="uniform").fit(X)
    short = HSMM(2, 1.0, emission_model="gaussian", max_duration_s=3.0, self_transition=0.0)
    with pytest.raises(UsageError, match=r"E-TEMPORAL-023: recording 0 of 1 has no timeline .* max_duration_s"):
        short.fit(np.zeros((10, 1)), labels=np.zeros(10, int))

    class Crooked(Counts):
        def log_likelihood(self, X):
            return np.zeros((len(X), 5))

    with pytest.raises(
        UsageError, match=r"log_likelihood\(\) of the emissions gave shape \(10, 5\), expected \(10, 2\)"
    ):
        HSMM(2, 1.0, emission_model=Crooked([1.0, 2.0])).fit(np.zeros(10))


def test_learning_goes_on_from_other_recordings_with_the_same_longest_duration():
    X, _, _ = gaussian_world().sample(700, random_state=0)
    model = HSMM(3, 0.1, emission_model="gaussian", n_iter=3).fit(X[:300])
    assert model.log_durations_.shape == (3, 300)
    model.fit(X[300:], warm_start=True)
    assert model.log_durations_.shape == (3, 300)
    uniform = HSMM(3, 0.1, emission_model="gaussian", self_transition=0.0, n_iter=2).fit(X).with_uniform_transitions()
    np.testing.assert_allclose(uniform.transmat_, (1 - np.eye(3)) / 2)


def test_a_state_that_nothing_may_follow_is_told():
    emissions = GaussianEmissions.of([[0.0], [1.0]], np.ones((2, 1)))
    model = HSMM.of([0.5, 0.5], 1 - np.eye(2), np.array([[1.0], [1.0]]), emissions, frame_s=1.0)
    model.log_transitions_ = np.array([[-np.inf, -np.inf], [0.0, -np.inf]])
    with pytest.raises(UsageError, match="E-TEMPORAL-025: the sample came to a state that nothing may follow"):
        model.sample(10, random_state=0)


@pytest.mark.parametrize("kind", [HSMM, HMM])
def test_observations_without_an_emission_model_are_told(kind):
    for arguments in ([ROWS], [ROWS, [5, 5]]):
        with pytest.raises(UsageError, match=r"E-TEMPORAL-026: .* expected an emission_model to learn them by"):
            kind(2, 0.1).fit(*arguments)
    with pytest.raises(UsageError, match="E-TEMPORAL-026"):
        kind(2, 0.1).fit(np.arange(10), lengths=[10])


def test_segments_of_the_decoded_timeline_are_the_runs_of_its_labels():
    world = gaussian_world()
    X, _, _ = world.sample(500, random_state=0)
    decoded = world.decode(X)
    np.testing.assert_array_equal(decoded.segments, runs(decoded.labels))
