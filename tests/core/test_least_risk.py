"""Decoding for the least expected loss, against every timeline of tiny models and against simulated recordings."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.metrics.segments import runs, segment_counts
from conv2d_core import (
    hsmm_expected_scores,
    hsmm_kbest,
    hsmm_mbr,
    hsmm_viterbi,
)

from .test_hsmm import CENSORING, Case, cases, path_score, random_case, segmentations

Labels = tuple[int, ...]


def labels_of(segments: np.ndarray) -> Labels:
    return tuple(np.repeat(segments[:, 0], segments[:, 2] - segments[:, 1]).tolist())


def chances(case: Case, censoring: str) -> dict[Labels, float]:
    """Posterior probability of each possible sequence of labels."""
    weights: dict[Labels, float] = {}
    for path, score in segmentations(case, censoring):
        labels = tuple(k for k, start, end in path for _ in range(start, end))
        weights[labels] = weights.get(labels, 0.0) + float(np.exp(score))
    total = sum(weights.values())
    return {labels: weight / total for labels, weight in weights.items()}


def accuracy(labels: Labels, truths: dict[Labels, float]) -> float:
    return sum(p * float(np.mean(np.equal(labels, truth))) for truth, p in truths.items())


def accuracies(truths: dict[Labels, float]) -> dict[Labels, float]:
    """Of all possible timelines."""
    possible = np.array(list(truths))
    shares = [np.array(list(truths.values())) @ (possible == k) for k in range(possible.max() + 1)]
    return dict(zip(truths, np.mean(np.choose(possible, shares), axis=1).tolist(), strict=True))


def f1(labels: Labels, truths: dict[Labels, float], overlap: float) -> float:
    """2 E[right] / (runs + E[true runs]), by the metric of the evaluation."""
    right = sum(p * segment_counts(truth, labels, overlap).true_positive for truth, p in truths.items())
    return 2 * right / (len(runs(labels)) + sum(p * len(runs(truth)) for truth, p in truths.items()))


def best_f1(truths: dict[Labels, float], overlap: float) -> tuple[float, dict[Labels, float]]:
    """The best expected F1 of all possible timelines, and what is maximised to choose one of those nearly as good.

    The chance of each run to be right is summed over true runs first.
    """
    true_runs: dict[tuple[int, int, int], float] = {}
    for truth, p in truths.items():
        for run in map(tuple, runs(truth).tolist()):
            true_runs[run] = true_runs.get(run, 0.0) + p
    right: dict[tuple[int, int, int], float] = {}
    hits: dict[Labels, tuple[float, int]] = {}
    for labels in truths:
        chosen = [tuple(run) for run in runs(labels).tolist()]
        for k, start, end in chosen:
            if (k, start, end) not in right:
                right[k, start, end] = sum(
                    p
                    for (other, first, last), p in true_runs.items()
                    if other == k
                    and (min(end, last) - max(start, first)) / (max(end, last) - min(start, first)) >= overlap
                )
        hits[labels] = 2 * sum(right[run] for run in chosen), len(chosen)
    expected_runs = sum(true_runs.values())
    best = max(hit / (n + expected_runs) for hit, n in hits.values())
    gain = accuracies(truths)
    value = {labels: hit - best * n + 0.02 * expected_runs * gain[labels] for labels, (hit, n) in hits.items()}
    return best, value


@pytest.mark.parametrize("censoring", CENSORING)
@settings(max_examples=120, deadline=None)
@given(case=cases(whole=False))
def test_the_most_accurate_of_all_possible_timelines(case: Case, censoring: str) -> None:
    truths = chances(case, censoring)
    if not truths:
        with pytest.raises(ValueError, match=r"every state is impossible|no sequence of whole segments"):
            hsmm_mbr(*case.arguments, censoring)
        return
    states, score, segments, expected = hsmm_mbr(*case.arguments, censoring)
    labels = tuple(states.tolist())
    assert labels == labels_of(segments)
    assert labels in truths  # possible
    best = max(accuracies(truths).values())
    assert expected == pytest.approx(best, abs=1e-9)
    assert accuracy(labels, truths) == pytest.approx(best, abs=1e-9)
    same = [one for path, one in segmentations(case, censoring) if labels_of(np.array(path)) == labels]
    assert score == pytest.approx(max(same), abs=1e-9)
    assert path_score(case, censoring, segments) == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("overlap", [0.5, 0.7, 1.0])
@pytest.mark.parametrize("censoring", CENSORING)
@settings(max_examples=40, deadline=None)
@given(case=cases(whole=False, max_frames=5))
def test_the_best_segments_of_all_possible_timelines(case: Case, censoring: str, overlap: float) -> None:
    truths = chances(case, censoring)
    if not truths:
        with pytest.raises(ValueError, match=r"every state is impossible|no sequence of whole segments"):
            hsmm_mbr(*case.arguments, censoring, "segment", overlap)
        return
    states, score, segments, expected = hsmm_mbr(*case.arguments, censoring, "segment", overlap)
    labels = tuple(states.tolist())
    assert labels == labels_of(segments)
    assert labels in truths
    best, value = best_f1(truths, overlap)
    assert best - 0.01 <= expected <= best + 1e-4
    assert value[labels] >= max(value.values()) - 1e-3
    assert f1(labels, truths, overlap) == pytest.approx(expected, abs=1e-4)
    assert path_score(case, censoring, segments) == pytest.approx(score, abs=1e-9)


@pytest.mark.parametrize("overlap", [0.5, 0.6, 1.0])
@pytest.mark.parametrize("censoring", CENSORING)
@settings(max_examples=40, deadline=None)
@given(case=cases(whole=False, max_frames=5), seed=st.integers(0, 2**32))
def test_what_any_labels_are_expected_to_get_right(case: Case, seed: int, censoring: str, overlap: float) -> None:
    truths = chances(case, censoring)
    if not truths:
        return
    frames, states = case.emissions.shape
    labels = tuple(np.random.default_rng(seed).integers(0, states, frames).tolist())
    got = hsmm_expected_scores(*case.arguments, labels, censoring, overlap)
    assert got[0] == pytest.approx(accuracy(labels, truths), abs=1e-9)
    assert got[1] == pytest.approx(f1(labels, truths, overlap), abs=1e-4)


def simulate(seed: int, frames: int) -> tuple[np.ndarray, Case]:
    """A recording of four states in segments of typical lengths, each seen through noise, and the model it is from."""
    rng, states, lengths = np.random.default_rng(seed), 4, np.arange(1, 41)
    transitions = rng.dirichlet(np.ones(states), states)
    np.fill_diagonal(transitions, 0.0)
    transitions /= transitions.sum(1, keepdims=True)
    middle, spread = rng.uniform(5, 24, (states, 1)), rng.uniform(1, 8, (states, 1))
    durations = np.exp(-(((lengths - middle) / spread) ** 2) / 2) + 1e-4
    durations /= durations.sum(1, keepdims=True)
    truth: list[int] = []
    state = int(rng.integers(states))
    while len(truth) < frames:
        truth += [state] * int(rng.choice(lengths, p=durations[state]))
        state = int(rng.choice(states, p=transitions[state]))
    labels = np.array(truth[:frames])
    seen = np.eye(states)[labels] + 2 * rng.normal(size=(frames, states))
    emissions = -((seen[:, None] - np.eye(states)) ** 2).sum(axis=2) / 8
    with np.errstate(divide="ignore"):
        return labels, Case(emissions, np.log(transitions), np.full(states, -np.log(states)), np.log(durations))


@pytest.mark.parametrize("frames", [200, 400])  # exact, and over chosen places
def test_each_decision_wins_what_it_is_made_for(frames: int) -> None:
    """Against Viterbi on 60 simulated recordings: a mean gain whose 95 % interval lies above zero, in pairs."""
    gains, surprises = [], []
    for seed in range(60):
        truth, case = simulate(seed, frames)
        by_viterbi = hsmm_viterbi(*case.arguments, "right")[0]
        by_sample, _, _, accurate = hsmm_mbr(*case.arguments, "right")
        by_segment, _, _, expected = hsmm_mbr(*case.arguments, "right", "segment")
        gains.append(
            [
                np.mean(by_sample == truth) - np.mean(by_viterbi == truth),
                segment_counts(truth, by_segment, 0.5).f1 - segment_counts(truth, by_viterbi, 0.5).f1,
            ]
        )
        surprises.append([np.mean(by_sample == truth) - accurate, segment_counts(truth, by_segment, 0.5).f1 - expected])
    standard_error = np.std(gains, axis=0, ddof=1) / np.sqrt(len(gains))
    assert np.all(np.mean(gains, axis=0) - 1.96 * standard_error > 0)
    # What is expected is what comes: of the right model, over many recordings. A ratio of means is not the mean of
    # ratios, hence the slack.
    assert np.all(np.abs(np.mean(surprises, axis=0)) < 3 * np.std(surprises, axis=0, ddof=1) / np.sqrt(60) + 0.01)


@pytest.mark.parametrize("self_transitions", [False, True])
@pytest.mark.parametrize("censoring", CENSORING)
def test_a_decision_over_chosen_places_expects_no_less_than_the_others(censoring: str, self_transitions: bool) -> None:
    for seed in range(5):
        _, case = simulate(seed, 300 + 50 * seed)
        if self_transitions:
            np.fill_diagonal(case.transitions, -3.0)
        states, score, segments, expected = hsmm_mbr(*case.arguments, censoring, "segment")
        assert hsmm_expected_scores(*case.arguments, states, censoring)[1] == pytest.approx(expected, abs=1e-9)
        assert path_score(case, censoring, segments) == pytest.approx(score, rel=1e-9)
        for other in (hsmm_viterbi(*case.arguments, censoring)[0], hsmm_mbr(*case.arguments, censoring)[0]):
            accuracy, f1_of_other = hsmm_expected_scores(*case.arguments, other, censoring)
            assert expected >= f1_of_other - 0.01
            assert hsmm_mbr(*case.arguments, censoring)[3] >= accuracy - 1e-9


def test_matrices_of_transitions_a_frame_that_are_all_the_same_change_nothing() -> None:
    _, case = simulate(3, 120)
    np.fill_diagonal(case.transitions, -3.0)
    each = np.repeat(case.transitions[None], 120, axis=0)
    for risk in ("sample", "segment"):
        expected = hsmm_mbr(*case.arguments, "both", risk)
        got = hsmm_mbr(case.emissions, each, case.initial, case.durations, "both", risk)
        np.testing.assert_array_equal(got[0], expected[0])
        assert got[1] == pytest.approx(expected[1], rel=1e-12)
        assert got[3] == pytest.approx(expected[3], rel=1e-9)
    for distinct in ("segments", "labels"):
        scores, timelines = hsmm_kbest(*case.arguments, 50, "both", distinct)
        others, same = hsmm_kbest(case.emissions, each, case.initial, case.durations, 50, "both", distinct)
        np.testing.assert_allclose(others, scores, rtol=1e-12)
        assert [rows.tolist() for rows in same] == [rows.tolist() for rows in timelines]


@settings(max_examples=80, deadline=None)
@given(case=cases(whole=False, max_frames=5), seed=st.integers(0, 2**32))
def test_transitions_that_differ_by_frame_against_all_timelines(case: Case, seed: int) -> None:
    frames, states = case.emissions.shape
    rng = np.random.default_rng(seed)
    each = np.where(rng.random((frames, states, states)) < 0.2, -np.inf, rng.uniform(-3, 0, (frames, states, states)))
    arguments = (case.emissions, each, case.initial, case.durations)
    # Scored by the segments of a model without changes, and the changes added.
    free = Case(case.emissions, np.zeros((states, states)), case.initial, case.durations)
    scored = []
    for path, score in segmentations(free, "none"):
        changes = sum(each[path[n][1], path[n - 1][0], path[n][0]] for n in range(1, len(path)))
        if changes > -np.inf:
            scored.append((path, score + changes))
    if not scored:
        return
    scores, _ = hsmm_kbest(*arguments, 40)
    np.testing.assert_allclose(scores, sorted((score for _, score in scored), reverse=True)[:40], atol=1e-9)
    weights: dict[Labels, float] = {}
    best: dict[Labels, float] = {}
    for path, score in scored:
        labels = tuple(k for k, start, end in path for _ in range(start, end))
        weights[labels] = weights.get(labels, 0.0) + float(np.exp(score))
        best[labels] = max(best.get(labels, -np.inf), score)
    scores, _ = hsmm_kbest(*arguments, 40, distinct="labels")
    np.testing.assert_allclose(scores, sorted(best.values(), reverse=True)[:40], atol=1e-9)
    truths = {labels: weight / sum(weights.values()) for labels, weight in weights.items()}
    states_found, score, _, expected = hsmm_mbr(*arguments)
    assert expected == pytest.approx(max(accuracies(truths).values()), abs=1e-9)
    assert score == pytest.approx(best[tuple(states_found.tolist())], abs=1e-9)
    states_found, _, _, expected = hsmm_mbr(*arguments, risk="segment")
    assert best_f1(truths, 0.5)[0] - 0.01 <= expected <= best_f1(truths, 0.5)[0] + 1e-4
    assert f1(tuple(states_found.tolist()), truths, 0.5) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("censoring", CENSORING)
def test_empty_and_one_frame(censoring: str) -> None:
    case = random_case(1, 3, 5)
    for risk in ("sample", "segment"):
        states, score, segments, expected = hsmm_mbr(*case.until(0).arguments, censoring, risk)
        assert (states.shape, score, segments.shape, expected) == ((0,), 0.0, (0, 3), 1.0)
        states, _, segments, expected = hsmm_mbr(*case.arguments, censoring, risk)
        truths = chances(case, censoring)
        assert tuple(states.tolist()) == max(truths, key=lambda labels: truths[labels])
        assert expected == pytest.approx(max(truths.values()))
        assert segments.tolist() == [[states[0], 0, 1]]
    assert hsmm_expected_scores(*case.until(0).arguments, np.empty(0, np.int64), censoring) == (1.0, 1.0)


def test_what_cannot_be_used_is_refused() -> None:
    case = random_case(5, 2, 3)
    with pytest.raises(ValueError, match="risk is 'frame', expected 'sample' or 'segment'"):
        hsmm_mbr(*case.arguments, risk="frame")
    for overlap in (0.3, 1.5, np.nan):
        with pytest.raises(ValueError, match=r"overlap is .*, expected 0\.5 to 1"):
            hsmm_mbr(*case.arguments, risk="segment", overlap=overlap)
    with pytest.raises(TypeError, match="overlap is 'half', expected a real number"):
        hsmm_mbr(*case.arguments, overlap="half")
    with pytest.raises(ValueError, match=r"states has shape \(4,\), expected \(5,\)"):
        hsmm_expected_scores(*case.arguments, [0, 1, 0, 1])
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match=rf"states row 3 is {wrong}, expected 0 to 1"):
            hsmm_expected_scores(*case.arguments, [0, 1, 0, wrong, 1])
    with pytest.raises(TypeError, match=r"states has dtype float64, expected integers"):
        hsmm_expected_scores(*case.arguments, [0.0] * 5)
    with pytest.raises(ValueError, match="log_initial has shape"):
        hsmm_mbr(case.emissions, case.transitions, [0.0], case.durations)


def test_threads_give_what_one_thread_gives() -> None:
    problems = [simulate(seed, 150 + 50 * seed)[1] for seed in range(6)]

    def solve(case: Case) -> list[bytes]:
        return [
            part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
            for risk in ("sample", "segment")
            for part in hsmm_mbr(*case.arguments, "both", risk)
        ]

    alone = [solve(case) for case in problems]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(solve, problems * 2)) == alone * 2
