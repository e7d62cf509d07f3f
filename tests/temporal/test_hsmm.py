"""The HSMM: exact against enumeration, recovered from simulation, sound where labels are few, cut or missing."""

import itertools
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.metrics import runs, score_segments
from conv2d.temporal import HMM, HSMM, Raw
from conv2d.temporal.laws import LAWS


def every_segmentation(n_frames, n_states, max_duration):
    """All ways to cut T frames into segments (state, start, end) of 1 .. D frames, neighbours of any state."""
    for cuts in itertools.product([False, True], repeat=n_frames - 1):
        edges = [0, *[t + 1 for t, cut in enumerate(cuts) if cut], n_frames]
        if max(b - a for a, b in itertools.pairwise(edges)) > max_duration:
            continue
        for states in itertools.product(range(n_states), repeat=len(edges) - 1):
            yield list(zip(states, edges[:-1], edges[1:], strict=True))


def score_of(model, emissions, segments):
    """Log score of one segmentation with both edges cut, from the definition."""
    pmf = np.exp(model.log_durations_)
    survivor = np.cumsum(pmf[:, ::-1], axis=1)[:, ::-1]
    mean = (pmf * np.arange(1, pmf.shape[1] + 1)).sum(axis=1)
    total = model.log_initial_[segments[0][0]]
    for number, (state, start, end) in enumerate(segments):
        first, last, length = number == 0, number == len(segments) - 1, end - start
        if first and last:
            weight = survivor[state, length - 1 :].sum() / mean[state]
        elif first:
            weight = survivor[state, length - 1] / mean[state]
        elif last:
            weight = survivor[state, length - 1]
        else:
            weight = pmf[state, length - 1]
        total += np.log(weight) + emissions[start:end, state].sum()
        if last:
            total += model.log_final_[state]
        else:
            total += model.log_transitions_[state, segments[number + 1][0]]
    return total


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 3), st.integers(1, 5), st.sampled_from(LAWS))
def test_decode_and_smooth_by_enumeration(seed, k, n_frames, law):
    rng = np.random.default_rng(seed)
    labels = [np.repeat(rng.integers(0, k, 8), rng.integers(1, 4, 8)) for _ in range(2)]
    model = HSMM(k, 1.0, durations=law, max_duration_s=5, emission_weight=0.7).fit(labels)
    log_proba = np.log(rng.dirichlet(np.ones(k), n_frames))
    emissions = model.emissions(log_proba)
    all_of = list(every_segmentation(n_frames, k, 5))
    scores = np.array([score_of(model, emissions, segments) for segments in all_of])
    decoded = model.decode(log_proba)
    assert decoded.score == pytest.approx(scores.max(), abs=1e-9)
    best = all_of[int(scores.argmax())]
    if (scores > scores.max() - 1e-9).sum() == 1:
        np.testing.assert_array_equal(decoded.labels, np.concatenate([[s] * (b - a) for s, a, b in best]))
    weights = np.exp(scores - scores.max())
    posterior = np.zeros((n_frames, k))
    for segments, weight in zip(all_of, weights, strict=True):
        for state, a, b in segments:
            posterior[a:b, state] += weight / weights.sum()
    np.testing.assert_allclose(model.smooth(log_proba), posterior, atol=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 4), st.integers(1, 30))
def test_filter_never_looks_ahead_and_ends_where_smoothing_does(seed, k, n_frames):
    rng = np.random.default_rng(seed)
    model = HSMM(k, 1.0).fit([np.repeat(rng.integers(0, k, 12), rng.integers(1, 6, 12))])
    log_proba = np.log(rng.dirichlet(np.ones(k), n_frames))
    filtered = model.filter(log_proba)
    cut = n_frames // 2 + 1
    np.testing.assert_allclose(filtered[:cut], model.filter(log_proba[:cut]), atol=1e-9)
    np.testing.assert_allclose(filtered.sum(axis=1), 1)
    last = filtered[-1] * np.exp(model.log_final_)  # only who looks back knows that the recording ends here
    np.testing.assert_allclose(last / last.sum(), model.smooth(log_proba)[-1], atol=1e-9)


@pytest.mark.parametrize("law", LAWS)
def test_recovers_a_simulated_chain(law, timeline, world):
    lengths, transitions = world
    rng = np.random.default_rng(0)
    recordings = [timeline(rng, lengths, transitions, 600) for _ in range(60)]
    model = HSMM(3, 0.5, durations=law).fit(recordings)
    learned = np.exp(model.log_transitions_)
    np.fill_diagonal(learned, 0)
    np.testing.assert_allclose(learned / learned.sum(axis=1, keepdims=True), transitions, atol=0.06)
    grid = np.arange(1, model.log_durations_.shape[1] + 1)
    for k, draw in enumerate(lengths):
        sample = np.array([draw(rng) for _ in range(20_000)])
        pmf = np.exp(model.log_durations_[k])
        assert (pmf * grid).sum() == pytest.approx(sample.mean(), rel=0.1)
        if law in ("categorical", "negative_binomial", "gaussian"):
            cumulative = np.cumsum(np.bincount(np.minimum(sample, len(grid)), minlength=len(grid) + 1)[1:]) / len(
                sample
            )
            assert np.abs(np.cumsum(pmf) - cumulative).max() < 0.1
    stationary = np.bincount(np.concatenate(recordings), minlength=3) / 36_000
    np.testing.assert_allclose(np.exp(model.class_log_prior_), stationary, atol=1e-3)


def test_unlabelled_spans_do_not_shorten_the_law(timeline, world):
    lengths, transitions = world
    rng = np.random.default_rng(1)
    recordings = [timeline(rng, lengths, transitions, 600) for _ in range(60)]
    whole = HSMM(3, 0.5, durations="negative_binomial", max_gap_s=2).fit(recordings)
    masked = []
    for recording in recordings:
        labels = recording.copy()
        for start in rng.integers(0, 600, 6):
            labels[start : start + 25] = -1
        masked.append(labels)
    partly = HSMM(3, 0.5, durations="negative_binomial", max_gap_s=2).fit(masked)
    for k in range(3):
        mean = whole.duration_laws_[k]["mean"]
        assert partly.duration_laws_[k]["mean"] == pytest.approx(mean, rel=0.2)
    # Taking each labelled piece for a whole segment would make the long ones far shorter.
    table = np.concatenate([runs(labels) for labels in masked])
    pieces = (table[:, 2] - table[:, 1])[table[:, 0] == 2]
    assert pieces.mean() < 0.65 * mean


def test_decoding_beats_the_raw_argmax_and_the_true_order_helps(timeline, noisy, world):
    lengths, transitions = world
    rng = np.random.default_rng(2)
    train = [timeline(rng, lengths, transitions, 600) for _ in range(30)]
    test = [timeline(rng, lengths, transitions, 600) for _ in range(15)]
    scores = [noisy(rng, labels, 3, strength=2.5) for labels in test]
    hsmm = HSMM(3, 0.5, emission_weight=0.2).fit(train)
    decoders = {
        "raw": Raw(),
        "hmm": HMM(3, 0.5, emission_weight=0.2).fit(train),
        "hsmm": hsmm,
        "uniform": hsmm.with_uniform_transitions(),
    }
    f1 = {
        name: score_segments(test, [decoder.decode(s).labels for s in scores], rate_hz=2).f1_50
        for name, decoder in decoders.items()
    }
    assert f1["hsmm"] > f1["hmm"] + 0.1 > f1["raw"] + 0.2
    assert f1["hsmm"] > f1["uniform"] > f1["raw"] + 0.2


def test_scores_without_information_fall_to_chance(timeline, noisy, world):
    lengths, transitions = world
    rng = np.random.default_rng(3)
    train = [timeline(rng, lengths, transitions, 600) for _ in range(30)]
    test = [timeline(rng, lengths, transitions, 600) for _ in range(30)]
    model = HSMM(3, 0.5, emission_weight=0.2).fit(train)
    hits = [(model.decode(noisy(rng, rng.permutation(labels), 3)).labels == labels).mean() for labels in test]
    shares = np.bincount(np.concatenate(train), minlength=3) / 18_000
    assert np.mean(hits) < shares.max() + 0.08


def test_one_label_a_recording_stays_one_label():
    rng = np.random.default_rng(4)
    train = [np.full(n, k) for n, k in zip(rng.integers(5, 900, 40), rng.integers(0, 3, 40), strict=True)]
    model = HSMM(3, 0.5).fit(train)
    for n in (1, 7, 400, 3000):
        truth = int(rng.integers(3))
        proba = np.full((n, 3), 0.15)
        proba[:, truth] = 0.7
        # Every tenth frame is wrong, and so is a stretch of twenty.
        proba[::10] = np.roll(proba[::10], 1, axis=1)
        proba[100:120] = np.roll(proba[100:120], 1, axis=1)
        assert len(model.decode(np.log(proba)).segments) == 1
    labels = model.decode(np.log(proba)).labels
    assert labels[0] == truth


@pytest.mark.parametrize("law", LAWS)
def test_a_recording_far_longer_than_anything_seen_is_not_forced_to_switch(law):
    labels = np.r_[np.zeros(20, int), np.ones(30, int), np.zeros(22, int), np.ones(28, int), np.zeros(9, int)]
    train = [labels, 1 - labels] * 4
    model = HSMM(2, 1.0, durations=law, emission_weight=0.5).fit(train)
    n = 20 * model.log_durations_.shape[1]
    decoded = model.decode(np.log(np.tile([0.05, 0.95], (n, 1))))
    assert decoded.segments.tolist() == [[1, 0, n]]


def test_segments_beyond_the_bound_go_on():
    train = [np.r_[np.zeros(50, int), np.ones(50, int), np.zeros(50, int), np.ones(50, int), np.zeros(50, int)]] * 4
    model = HSMM(2, 1.0, max_duration_s=10, emission_weight=1.0).fit(train)
    assert model.log_durations_.shape == (2, 10)
    truth = train[0]
    proba = np.where(truth[:, None] == np.arange(2), 0.9, 0.1)
    np.testing.assert_array_equal(model.decode(np.log(proba)).labels, truth)


def test_frames_without_data_say_nothing():
    model = HSMM(2, 1.0, emission_weight=1.0).fit([np.repeat([0, 1, 0, 1], 10)])
    proba = np.tile([0.9, 0.1], (30, 1))
    proba[10:20] = np.nan
    has_data = np.ones(30, bool)
    has_data[10:20] = False
    assert (model.emissions(np.log(proba), has_data)[10:20] == 0).all()
    assert model.smooth(np.log(proba), has_data).shape == (30, 2)
    with pytest.raises(UsageError, match="log_proba row 10 holds NaN"):
        model.decode(np.log(proba))


def test_an_exact_zero_is_no_veto():
    lengths = np.random.default_rng(9).integers(10, 60, (2, 12))
    train = [np.repeat(np.arange(12) % 2, lengths[0]), np.repeat(1 - np.arange(12) % 2, lengths[1])]
    model = HSMM(2, 1.0, emission_weight=0.1).fit(train)
    proba = np.tile([0.1, 0.9], (40, 1))
    proba[20] = [1, 0]
    with np.errstate(divide="ignore"):
        decoded = model.decode(np.log(proba))
    assert decoded.segments.tolist() == [[1, 0, 40]]


@pytest.mark.parametrize("k", [1, 2, 5])
@pytest.mark.parametrize("n_frames", [0, 1, 2])
def test_smallest_recordings(k, n_frames):
    model = HSMM(k, 0.1).fit([[0], [k - 1] * 3])
    log_proba = np.full((n_frames, k), -np.log(k))
    decoded = model.decode(log_proba)
    assert decoded.labels.shape == (n_frames,)
    assert len(decoded.segments) == min(n_frames, 1)
    assert model.smooth(log_proba).shape == (n_frames, k)
    assert model.filter(log_proba).shape == (n_frames, k)


@pytest.mark.parametrize("law", LAWS)
def test_stored_and_read_back_to_the_last_bit(law, timeline, noisy, world):
    rng = np.random.default_rng(5)
    recordings = [timeline(rng, *world, 300) for _ in range(4)]
    model = HSMM(3, 0.5, durations=law).fit(recordings, groups=["b", "a", "a", "b"])
    again = HSMM.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert again.to_dict() == model.to_dict()
    assert again.subjects_ == ("a", "b")
    scores = noisy(rng, recordings[0], 3)
    assert again.decode(scores).score == model.decode(scores).score
    np.testing.assert_array_equal(again.smooth(scores), model.smooth(scores))


def test_uniform_transitions_keep_the_durations_and_forget_the_order(timeline, world):
    rng = np.random.default_rng(6)
    recordings = [timeline(rng, *world, 300) for _ in range(10)]
    derived = HSMM(3, 0.5).fit(recordings).with_uniform_transitions()
    direct = HSMM(3, 0.5, transitions="uniform").fit(recordings)
    np.testing.assert_allclose(derived.log_transitions_, direct.log_transitions_)
    np.testing.assert_allclose(derived.log_initial_, direct.log_initial_)
    np.testing.assert_array_equal(derived.log_final_, direct.log_final_)
    np.testing.assert_array_equal(derived.log_durations_, direct.log_durations_)
    off = np.exp(derived.log_transitions_)[~np.eye(3, dtype=bool)].reshape(3, 2)
    np.testing.assert_allclose(off[:, 0], off[:, 1])
    assert derived.get_params() == direct.get_params()


def test_where_recordings_end_counts_only_as_far_as_it_is_no_chance(timeline, world):
    stopped = HSMM(2, 1.0).fit([[0] * 30 + [1] * 5] * 20)
    assert np.exp(stopped.log_final_[1]) == pytest.approx(7, rel=0.1)
    doubtful = np.log([[0.9, 0.1]] * 20 + [[0.45, 0.55]] * 4)
    assert stopped.decode(doubtful).labels[-1] == 1
    # a stretch before a gap of the clock ends no recording: not when learning, and not when decoding
    assert stopped.decode(doubtful, ends=False).labels[-1] == 0
    assert stopped.smooth(doubtful, ends=False)[-1, 1] < stopped.smooth(doubtful)[-1, 1]
    np.testing.assert_allclose(stopped.smooth(doubtful, ends=False)[-1], stopped.filter(doubtful)[-1], atol=1e-9)
    gaps = HSMM(2, 1.0).fit([[0] * 30 + [1] * 5] * 20, ends=[False] * 20)
    np.testing.assert_array_equal(gaps.log_final_, np.zeros(2))
    unseen = HSMM(2, 1.0, max_gap_s=3).fit([[0] * 30 + [1] * 5 + [-1] * 4] * 20)
    np.testing.assert_array_equal(unseen.log_final_, np.zeros(2))
    few = HSMM(2, 1.0).fit([[0] * 30 + [1] * 5] * 9)
    np.testing.assert_array_equal(few.log_final_, np.zeros(2))
    rng = np.random.default_rng(0)
    any_time = HSMM(3, 1.0).fit([timeline(rng, *world, 500) for _ in range(300)])
    assert np.abs(any_time.log_final_).max() < 0.4


def test_another_weight_leaves_the_original_alone():
    model = HSMM(2, 1.0, emission_weight=0.1).fit([[0, 0, 1, 1]])
    other = model.with_emissions(0.5, prior_power=0.0)
    assert (model.emission_weight, model.prior_power) == (0.1, 1.0)
    scores = np.log([[0.3, 0.7]])
    np.testing.assert_allclose(other.emissions(scores), 0.5 * scores)
    np.testing.assert_allclose(model.emissions(scores), 0.1 * (scores - model.class_log_prior_))


FITTED = HSMM(2, 1.0).fit([[0, 0, 1, 1, 0]])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: HSMM(2, 1.0).decode([[0.0, 0.0]]), r"HSMM is not fitted, expected fit\(\) before decode\(\)"),
        (lambda: HSMM(2, 1.0).smooth([[0.0, 0.0]]), r"before smooth\(\)"),
        (lambda: HSMM(2, 1.0).to_dict(), r"before to_dict\(\)"),
        (lambda: HSMM(2, 1.0).with_uniform_transitions(), r"before with_uniform_transitions\(\)"),
        (lambda: HSMM(0, 1.0), "n_states is 0"),
        (lambda: HSMM(2, 0.0), "frame_s is 0.0, expected a finite number above 0"),
        (lambda: HSMM(2, 1.0, durations="weibull"), "durations is 'weibull', expected one of categorical"),
        (lambda: HSMM(2, 1.0, transitions="some"), "transitions is 'some', expected one of learned, uniform"),
        (lambda: HSMM(2, 1.0, censoring="x"), "censoring is 'x'"),
        (lambda: HSMM(2, 1.0, emission_weight=-1), "emission_weight is -1"),
        (lambda: HSMM(2, 1.0, prior_power=2), "prior_power is 2"),
        (lambda: HSMM(2, 1.0, max_gap_s=-1), "max_gap_s is -1"),
        (lambda: HSMM(2, 1.0, self_transition=0), "self_transition is 0"),
        (lambda: HSMM(2, 1.0).fit([[-1, -1]]), "none of 1 sequences has a labelled frame"),
        (lambda: HSMM(2, 1.0).fit([[0, 2]]), "sequence 0 holds label 2"),
        (lambda: HSMM(2, 1.0).fit([[0, 1]], groups=["a", "b"]), "got 2 groups for 1 sequences"),
        (lambda: FITTED.decode([[0.0, 0.0, 0.0]]), r"log_proba has shape \(1, 3\), expected \(T, 2\)"),
        (lambda: FITTED.decode([[0.9, 0.1]]), "expected log probabilities"),
        (lambda: FITTED.decode([[-0.7, -0.7]], [1]), r"has_data is int64 of shape \(1,\), expected bool"),
        (lambda: HSMM.from_dict(FITTED.to_dict() | {"format": "conv2d-hsmm/2"}), "'conv2d-hsmm/2'.*expected 'conv2d-h"),
        (lambda: HSMM.from_dict(FITTED.to_dict() | {"kind": "hmm"}), "kind 'hmm', expected"),
        (lambda: HSMM.from_dict([]), "format 'list'"),
        (lambda: HSMM.from_dict(FITTED.to_dict() | {"log_initial": [0.0]}), "expected 2 states in each"),
        (lambda: HSMM.from_dict({k: v for k, v in FITTED.to_dict().items() if k != "subjects"}), "cannot be read"),
        (lambda: HSMM.from_dict({k: v for k, v in FITTED.to_dict().items() if k != "duration_laws"}), "cannot be read"),
    ],
)
def test_errors_name_what_was_got(call, text):
    with pytest.raises(UsageError, match=text):
        call()
