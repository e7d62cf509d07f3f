"""Tuning: finds what helps on held-out groups, stays near chance on noise, and says what it tried."""

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.metrics import score_segments
from conv2d.temporal import DECODER_NAMES, LabelledSequence, MedianHysteresisPolicy, timeline_objective, tune_decoders


@pytest.fixture
def recordings(timeline, noisy, world):
    def make(seed, count, n_frames=400, shuffled=False):
        rng = np.random.default_rng(seed)
        out = []
        for number in range(count):
            labels = timeline(rng, *world, n_frames)
            scores = noisy(rng, rng.permutation(labels) if shuffled else labels, 3, strength=2.5)
            out.append(LabelledSequence(scores, labels, f"s{number % 4}"))
        return out

    return make


def test_every_decoder_beats_raw_on_new_recordings(recordings):
    fitted = tune_decoders(recordings(0, 24), n_states=3, frame_s=0.25)
    assert set(fitted) == set(DECODER_NAMES)
    test = recordings(1, 40)
    f1 = {
        name: score_segments(
            [s.labels for s in test], [decoder.decode(s.log_proba).labels for s in test], rate_hz=4
        ).f1_50
        for name, decoder in fitted.items()
    }
    assert all(value > f1["raw"] + 0.1 for name, value in f1.items() if name != "raw")
    assert f1["hsmm"] > max(f1["mode"], f1["min_dwell"], f1["median_hysteresis"]) + 0.03
    assert f1["hsmm"] > f1["hmm"] - 0.01
    # The simulated classifier's scores hold no class prior, so none is to be divided out.
    assert fitted.tuning["hmm"]["prior_power"] < 1
    assert fitted.subjects == ("s0", "s1", "s2", "s3")
    # Errors last for about ten frames, so a frame is worth far less than one.
    assert fitted.tuning["hsmm"]["emission_weight"] < 0.7
    assert not fitted.tuning["hsmm"]["at_limit"]
    assert fitted["hsmm"].emission_weight == fitted.tuning["hsmm"]["emission_weight"]


def test_the_same_input_gives_the_same_decoders(recordings):
    sequences = recordings(2, 6)
    first = tune_decoders(sequences, n_states=3, frame_s=0.25)
    assert first.to_dict() == tune_decoders(sequences, n_states=3, frame_s=0.25).to_dict()


def test_scores_without_information_stay_near_chance(recordings):
    fitted = tune_decoders(recordings(3, 12, shuffled=True), n_states=3, frame_s=0.25)
    test = recordings(4, 12, shuffled=True)
    truth = np.concatenate([s.labels for s in test])
    majority = np.bincount(truth).max() / len(truth)
    for name, decoder in fitted.items():
        labels = np.concatenate([decoder.decode(s.log_proba).labels for s in test])
        assert (labels == truth).mean() < majority + 0.08, name


def test_given_values_are_kept(recordings):
    fitted = tune_decoders(
        recordings(5, 4),
        n_states=3,
        frame_s=0.25,
        durations="poisson",
        transitions="uniform",
        max_duration_s=30,
        emission_weight=0.3,
        mode_window_s=1.75,
        min_dwell_s=0.6,
        median_hysteresis=MedianHysteresisPolicy(2, 3),
    )
    assert fitted["hsmm"].emission_weight == fitted["hmm"].emission_weight == 0.3
    assert (fitted["hsmm"].durations, fitted["hsmm"].transitions) == ("poisson", "uniform")
    assert fitted["hsmm"].log_durations_.shape == (3, 120)
    assert (fitted["mode"].window_s, fitted["min_dwell"].min_dwell_s) == (1.75, 0.6)
    assert fitted["median_hysteresis"] == MedianHysteresisPolicy(2, 3)
    assert "tried" not in fitted.tuning["hsmm"]


@pytest.mark.parametrize("groups", [["a"], ["a", "a"], ["a", "b"]])
def test_few_groups(recordings, groups):
    sequences = [
        LabelledSequence(s.log_proba, s.labels, group)
        for s, group in zip(recordings(6, len(groups)), groups, strict=True)
    ]
    assert set(tune_decoders(sequences, n_states=3, frame_s=0.25)) == set(DECODER_NAMES)


def test_unlabelled_recordings_and_frames_without_data(recordings):
    sequences = recordings(7, 6)
    masked = []
    for number, s in enumerate(sequences):
        labels, scores, has_data = s.labels.copy(), s.log_proba.copy(), np.ones(len(s.labels), bool)
        labels[50:120] = -1
        scores[200:210] = np.nan
        has_data[200:210] = False
        masked.append(LabelledSequence(scores, np.full_like(labels, -1) if number == 0 else labels, s.group, has_data))
    fitted = tune_decoders(masked, n_states=3, frame_s=0.25)
    assert fitted.tuning["hsmm"]["objective"] > fitted.tuning["raw"]["objective"]


def test_one_label_a_recording(noisy):
    rng = np.random.default_rng(8)
    sequences = []
    for number in range(24):
        labels = np.full(int(rng.integers(3, 300)), number % 3)
        sequences.append(LabelledSequence(noisy(rng, labels, 3, strength=1.5), labels, f"s{number % 6}"))
    fitted = tune_decoders(sequences, n_states=3, frame_s=0.5)
    kept = [len(fitted["hsmm"].decode(s.log_proba).segments) == 1 for s in sequences]
    assert np.mean(kept) > 0.9


def test_the_objective_is_the_mean_of_four():
    truth = np.array([0, 0, 0, 1, 1, 1, -1, 2])
    pred = np.array([0, 0, 1, 1, 1, 1, 0, 1])
    kept = truth >= 0
    scores = score_segments([truth], [pred], rate_hz=1)
    accuracy = (truth == pred)[kept].mean()
    macro = np.mean([2 * 2 / 5, 2 * 3 / 8, 0])
    assert timeline_objective([truth], [pred], 3) == pytest.approx((accuracy + macro + scores.f1_50 + scores.edit) / 4)


def test_errors_name_what_was_got():
    good = LabelledSequence(np.zeros((3, 2)), np.zeros(3, int), "a")
    with pytest.raises(UsageError, match="none of 0 sequences has a labelled frame"):
        tune_decoders([], n_states=2, frame_s=1)
    with pytest.raises(UsageError, match="sequence 1 of b has 2 labels for 3 frames"):
        tune_decoders([good, LabelledSequence(np.zeros((3, 2)), np.zeros(2, int), "b")], n_states=2, frame_s=1)
    with pytest.raises(UsageError, match=r"log_proba has shape \(3, 2\), expected \(T, 4\)"):
        tune_decoders([good], n_states=4, frame_s=1)
    with pytest.raises(UsageError, match="frame_s is 0"):
        tune_decoders([good], n_states=2, frame_s=0)
