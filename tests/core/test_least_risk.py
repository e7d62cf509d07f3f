"""Decoding for the least expected loss, against every timeline of tiny models and against simulated recordings."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.metrics.segments import runs, segment_counts
from conv2d_core import (
    hsmm_expected_scores,
    hsmm_forward_backward,
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
