"""Expected counts, segment and boundary posteriors: sum rules, and numpy on recordings too long for brute force."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d_core import (
    hsmm_boundary_posteriors,
    hsmm_expected_counts,
    hsmm_forward_backward,
    hsmm_segment_posteriors,
    hsmm_viterbi,
)

CENSORING = ["none", "right", "left", "both"]
Case = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_case(
    frames: int, states: int, durations: int, seed: int, *, never: float = 0.0, spread: float = 3.0
) -> Case:
    """Random scores; a share `never` of all entries but those of state 0 is impossible."""
    rng = np.random.default_rng(seed)

    def array(*shape: int) -> np.ndarray:
        scores = rng.normal(size=shape) * spread
        scores[rng.random(shape) < never] = -np.inf
        scores[..., 0] = np.where(np.isinf(scores[..., 0]), -1.0, scores[..., 0])
        return scores

    durations_ = array(durations, states).T.copy()
    durations_[0, 0] = -1.0
    return array(frames, states), array(states, states), array(states), durations_


@st.composite
def cases(draw: st.DrawFn) -> Case:
    frames, states = draw(st.integers(1, 40)), draw(st.integers(1, 5))
    durations = draw(st.integers(1, 60))
    never, spread = draw(st.sampled_from([0.0, 0.2])), draw(st.sampled_from([0.1, 3.0, 40.0]))
    return random_case(frames, states, durations, draw(st.integers(0, 2**32)), never=never, spread=spread)


@pytest.mark.parametrize("censoring", CENSORING)
@settings(max_examples=60)
@given(case=cases())
def test_counts_add_up(case: Case, censoring: str) -> None:
    frames, states = case[0].shape
    lengths = np.arange(1, case[3].shape[1] + 1)
    log_likelihood, posteriors, initial, transitions, durations, cut = hsmm_expected_counts(*case, censoring)
    begins, ends = hsmm_boundary_posteriors(*case, censoring)
    expected = hsmm_forward_backward(*case, censoring)
    assert log_likelihood == expected[0]
    np.testing.assert_array_equal(posteriors, expected[1])

    every = durations + cut["left"] + cut["right"] + cut["both"]
    np.testing.assert_allclose(every @ lengths, posteriors.sum(0), atol=1e-9 * frames)
    np.testing.assert_allclose(initial, begins[0], atol=1e-12)
    assert initial.sum() == pytest.approx(1)
    assert ends[-1].sum() == pytest.approx(1)
    np.testing.assert_allclose(every.sum(1), begins.sum(0), atol=1e-9 * frames)
    np.testing.assert_allclose(every.sum(1), ends.sum(0), atol=1e-9 * frames)
    np.testing.assert_allclose(transitions.sum(0), begins[1:].sum(0), atol=1e-9 * frames)
    np.testing.assert_allclose(transitions.sum(1), ends[:-1].sum(0), atol=1e-9 * frames)
    np.testing.assert_allclose(ends[:-1].sum(1), begins[1:].sum(1), atol=1e-9)  # what ends is followed
    # A state is entered and left: its posterior is what has begun less what has ended.
    np.testing.assert_allclose(
        posteriors, np.cumsum(begins, 0) - np.vstack([np.zeros(states), np.cumsum(ends, 0)[:-1]]), atol=1e-9 * frames
    )
    left, right = censoring in ("left", "both"), censoring in ("right", "both")
    assert cut["left"].sum() + cut["both"].sum() == pytest.approx(float(left))
    assert cut["right"].sum() + cut["both"].sum() == pytest.approx(float(right))
    if not (left and right):
        assert not cut["both"].any()


@pytest.mark.parametrize("censoring", CENSORING)
def test_segments_that_cover_a_frame_sum_to_its_posterior(censoring: str) -> None:
    case = random_case(30, 3, 12, seed=1, never=0.1)
    frames, states = case[0].shape
    segments = np.array([(k, s, e) for k in range(states) for s in range(frames) for e in range(s + 1, frames + 1)])
    shares = hsmm_segment_posteriors(*case, segments, censoring)
    assert shares[segments[:, 2] - segments[:, 1] > 12].max() == 0
    posteriors = np.zeros((frames, states))
    for (state, start, end), share in zip(segments, shares, strict=True):
        posteriors[start:end, state] += share
    np.testing.assert_allclose(posteriors, hsmm_forward_backward(*case, censoring)[1], atol=1e-12)
    begins, ends = hsmm_boundary_posteriors(*case, censoring)
    for t in range(frames):
        for k in range(states):
            state = segments[:, 0] == k
            assert begins[t, k] == pytest.approx(shares[state & (segments[:, 1] == t)].sum(), abs=1e-12)
            assert ends[t, k] == pytest.approx(shares[state & (segments[:, 2] == t + 1)].sum(), abs=1e-12)


def test_the_segments_of_a_certain_timeline_are_certain() -> None:
    case = random_case(200, 4, 30, seed=2)
    case[1][np.diag_indices(4)] = -np.inf  # or a segment could fall into two of its state
    segments = hsmm_viterbi(*case, "both")[2]
    case[0][:] = -1e5
    for state, start, end in segments:
        case[0][start:end, state] = 0.0
    np.testing.assert_allclose(hsmm_segment_posteriors(*case, segments, "both"), 1.0)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ([[0, 0, 1], [3, 0, 1]], "segments row 1 has state 3, expected 0 to 2, a column of log_emissions"),
        ([[0, 4, 4]], "segments row 0 has start 4 and end 4, expected 0 <= start < end <= 10, the rows of"),
        ([[0, -1, 4]], "segments row 0 has start -1 and end 4, expected"),
        ([[0, 0, 11]], "segments row 0 has start 0 and end 11, expected"),
        ([0, 0, 11], r"segments has shape \(3,\), expected \(N, 3\)"),
        ([[0, 1]], r"segments has shape \(1, 2\), expected \(N, 3\)"),
    ],
)
def test_segments_that_are_none(segments: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hsmm_segment_posteriors(*random_case(10, 3, 4, seed=3), segments)


def test_segments_must_be_integers() -> None:
    with pytest.raises(TypeError, match="segments has dtype float64, expected integers"):
        hsmm_segment_posteriors(*random_case(10, 3, 4, seed=3), np.zeros((1, 3)))


@pytest.mark.parametrize("censoring", CENSORING)
def test_an_empty_recording_has_no_counts(censoring: str) -> None:
    case = random_case(0, 2, 5, seed=4)
    log_likelihood, posteriors, initial, transitions, durations, cut = hsmm_expected_counts(*case, censoring)
    assert log_likelihood == 0.0
    assert posteriors.shape == (0, 2)
    for array, shape in (
        (initial, (2,)),
        (transitions, (2, 2)),
        (durations, (2, 5)),
        *((a, (2, 5)) for a in cut.values()),
    ):
        assert array.shape == shape
        assert not array.any()
    begins, ends = hsmm_boundary_posteriors(*case, censoring)
    assert begins.shape == ends.shape == (0, 2)
    assert hsmm_segment_posteriors(*case, np.zeros((0, 3), int), censoring).shape == (0,)
