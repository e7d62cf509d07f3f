"""Transitions that differ by frame, (T, K, K): one matrix for the changes into each frame."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d_core import hsmm_expected_counts, hsmm_filter, hsmm_forward_backward, hsmm_viterbi

CALLS = (hsmm_viterbi, hsmm_forward_backward, hsmm_filter, hsmm_expected_counts)


def model(seed: int, frames: int, states: int, durations: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = [rng.normal(size=shape) for shape in ((frames, states), (frames, states, states), states)]
    return [*scores, np.log(rng.dirichlet(np.ones(durations), states))]


def timelines(frames: int, states: int, durations: int):
    """Every way to cut the frames into segments (state, start, end)."""
    for cuts in itertools.product([False, True], repeat=frames - 1):
        edges = [0, *[t + 1 for t, cut in enumerate(cuts) if cut], frames]
        if max(b - a for a, b in itertools.pairwise(edges)) <= durations:
            for path in itertools.product(range(states), repeat=len(edges) - 1):
                yield list(zip(path, edges[:-1], edges[1:], strict=True))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), frames=st.integers(1, 5), states=st.integers(1, 3), durations=st.integers(1, 6))
def test_every_timeline_scores_by_the_matrix_of_the_frame_it_changes_into(seed, frames, states, durations):
    emissions, order, initial, lengths = arguments = model(seed, frames, states, durations)
    scored = []
    for path in timelines(frames, states, durations):
        score = initial[path[0][0]]
        for number, (state, a, b) in enumerate(path):
            score += emissions[a:b, state].sum() + lengths[state, b - a - 1]
            score += order[a, path[number - 1][0], state] if number else 0.0
        scored.append((score, path))
    best, path = max(scored)
    evidence = np.logaddexp.reduce([score for score, _ in scored])
    _, score, segments = hsmm_viterbi(*arguments)
    assert score == pytest.approx(best, abs=1e-9)
    assert [tuple(row) for row in segments.tolist()] == path
    log_likelihood, posteriors, _, transitions, _, _ = hsmm_expected_counts(*arguments)
    assert log_likelihood == pytest.approx(evidence, abs=1e-9)
    expected = np.zeros((states, states))
    for score, path in scored:
        for (a, _, _), (b, _, _) in itertools.pairwise(path):
            expected[a, b] += np.exp(score - evidence)
    np.testing.assert_allclose(transitions, expected, atol=1e-9)
    np.testing.assert_allclose(hsmm_forward_backward(*arguments)[1], posteriors, atol=1e-9)


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("frames", "durations"), [(40, 7), (9, 1), (300, 100)])
def test_the_same_matrix_in_every_frame_is_one_matrix(call, frames, durations):
    emissions, order, initial, lengths = model(1, frames, 4, durations)
    repeated = np.repeat(order[:1], frames, axis=0)
    one, many = call(emissions, order[0], initial, lengths), call(emissions, repeated, initial, lengths)
    for a, b in zip(one[:2], many[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("call", CALLS)
def test_the_first_matrix_is_not_used_and_none_is_needed_without_frames(call):
    emissions, order, initial, lengths = model(2, 30, 3, 5)
    other = order.copy()
    other[0] = -np.inf
    for a, b in zip(
        call(emissions, order, initial, lengths)[:2], call(emissions, other, initial, lengths)[:2], strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert len(call(np.empty((0, 3)), np.empty((0, 3, 3)), initial, lengths)[0 if call is hsmm_viterbi else 1]) == 0


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ((4, 3, 2), r"log_transitions has shape \(4, 3, 2\), expected \(2, 2\) or \(4, 2, 2\), as log_emissions has"),
        ((5, 2, 2), r"log_transitions has shape \(5, 2, 2\), expected \(2, 2\) or \(4, 2, 2\)"),
        ((8, 1, 2), r"log_transitions has shape \(8, 1, 2\)"),
        ((8, 2), r"log_transitions has shape \(8, 2\), expected \(2, 2\) or \(4, 2, 2\), as log_emissions"),
        ((2,), r"log_transitions has shape \(2,\), expected \(K, K\) or \(T, K, K\)"),
        ((1, 4, 2, 2), r"log_transitions has shape \(1, 4, 2, 2\), expected \(K, K\) or \(T, K, K\)"),
    ],
)
def test_other_shapes_are_told(call, shape, told):
    with pytest.raises(ValueError, match=told):
        call(np.zeros((4, 2)), np.zeros(shape), np.zeros(2), np.zeros((2, 3)))


@pytest.mark.parametrize("call", CALLS)
def test_no_score_in_a_later_frame_is_told(call):
    order = np.zeros((4, 2, 2))
    order[2, 1, 0] = np.nan
    with pytest.raises(ValueError, match="log_transitions row 5, column 0 is nan"):
        call(np.zeros((4, 2)), order, np.zeros(2), np.zeros((2, 3)))
