"""Expected counts, segment and boundary posteriors: sum rules, and numpy on recordings too long for brute force."""

import re

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
    simd_path,
    simd_paths,
    use_simd_path,
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
    assert log_likelihood == pytest.approx(expected[0], rel=1e-12)
    np.testing.assert_allclose(posteriors, expected[1], atol=1e-11)

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


@pytest.mark.parametrize("censoring", CENSORING)
@pytest.mark.parametrize("durations", [1, 9, 40])
def test_transitions_by_frame(censoring: str, durations: int) -> None:
    """The same matrix for every frame is one matrix; a matrix that cuts the recording in two has its counts there."""
    emissions, transitions, initial, lengths = random_case(60, 3, durations, seed=6)
    repeated = np.repeat(transitions[None], 60, axis=0)
    repeated[0] = -np.inf  # not used
    one = hsmm_expected_counts(emissions, transitions, initial, lengths, censoring)
    many = hsmm_expected_counts(emissions, repeated, initial, lengths, censoring)
    assert many[0] == pytest.approx(one[0], rel=1e-13)
    for got, expected in zip(many[1:5], one[1:5], strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-11)

    repeated[30] = -np.inf
    repeated[30, 0, 1] = 0.0  # the only change at frame 30
    begins, ends = hsmm_boundary_posteriors(emissions, repeated, initial, lengths, censoring)
    assert begins[30, 0] == begins[30, 2] == ends[29, 1] == ends[29, 2] == 0
    assert begins[30, 1] == pytest.approx(ends[29, 0], abs=1e-12)
    posteriors = hsmm_forward_backward(emissions, repeated, initial, lengths, censoring)[1]
    np.testing.assert_allclose(posteriors.sum(1), 1, atol=1e-12)


def test_far_states_are_not_lost() -> None:
    """A state that is e^-20000 behind for a long time is the only one that can go on at last."""
    frames = 400
    emissions = np.zeros((frames, 2))
    emissions[:, 1] = -50.0
    emissions[-1, 0] = -np.inf
    transitions = np.array([[-np.inf, -np.inf], [-np.inf, -np.inf]])  # one segment, or none
    lengths = np.zeros((2, frames))
    log_likelihood, posteriors = hsmm_forward_backward(emissions, transitions, [0.0, 0.0], lengths)
    assert log_likelihood == pytest.approx(-50.0 * frames, rel=1e-12)
    np.testing.assert_array_equal(posteriors, np.tile([0.0, 1.0], (frames, 1)))


@pytest.mark.parametrize("censoring", CENSORING)
def test_transitions_far_apart_in_some_frames_are_not_impossible(censoring: str) -> None:
    """Weights cannot hold e^-2000 and 1 in one matrix; log scores can. The timeline is certain, and so its score."""
    emissions = np.zeros((9, 2))
    transitions = np.full((9, 2, 2), -np.inf)
    transitions[:, 0, 1], transitions[:, 1, 0] = -2000.0, 0.0
    lengths = np.array([[0.0] + [-np.inf] * 6] * 2)
    log_likelihood, posteriors = hsmm_forward_backward(emissions, transitions, [0.0, -np.inf], lengths, censoring)
    assert log_likelihood == pytest.approx(-2000.0 * 4, rel=1e-12)
    np.testing.assert_array_equal(posteriors, np.eye(2)[np.arange(9) % 2])
    counts = hsmm_expected_counts(emissions, transitions, [0.0, -np.inf], lengths, censoring)
    assert counts[0] == log_likelihood
    np.testing.assert_array_equal(counts[1], posteriors)
    np.testing.assert_allclose(counts[3], [[0, 4], [4, 0]], atol=1e-9)


@pytest.mark.parametrize("seed", range(300))
def test_what_has_a_best_timeline_has_a_likelihood(seed: int) -> None:
    """Scores of any size: whatever hsmm_viterbi finds a timeline for is possible, and is refused where it is."""
    rng = np.random.default_rng(seed)
    sizes = np.array([0.0, -1.0, 3.0, -700.0, -2000.0, -1e6, 1e18, -1e18, 1e200, -1e200, -np.inf])
    likely = rng.random(len(sizes)) ** 3
    frames, states = rng.choice([1, 2, 9, 17, 70]), rng.integers(1, 5)
    each_frame = (frames,) if rng.random() < 0.4 else ()
    shapes = ((frames, states), (*each_frame, states, states), (states,), (states, rng.choice([1, 3, 7, 40])))
    case = [rng.choice(sizes, p=likely / likely.sum(), size=shape) for shape in shapes]
    censoring = str(rng.choice(CENSORING))
    message = None
    try:
        hsmm_viterbi(*case, censoring)
    except ValueError as error:
        message = str(error)
    if message is not None:
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            hsmm_forward_backward(*case, censoring)
        return
    log_likelihood, posteriors = hsmm_forward_backward(*case, censoring)
    assert np.isfinite(log_likelihood)
    np.testing.assert_allclose(posteriors.sum(1), 1, atol=1e-9)
    counts = hsmm_expected_counts(*case, censoring)
    assert counts[0] == log_likelihood
    np.testing.assert_array_equal(counts[1], posteriors)


@pytest.mark.parametrize("censoring", CENSORING)
@pytest.mark.parametrize("durations", [1, 2, 30])
def test_counting_moves_no_posterior(censoring: str, durations: int) -> None:
    case = random_case(80, 3, durations, seed=10)
    log_likelihood, posteriors = hsmm_forward_backward(*case, censoring)
    counts = hsmm_expected_counts(*case, censoring)
    assert counts[0] == log_likelihood
    np.testing.assert_array_equal(counts[1], posteriors)


@pytest.mark.parametrize("spread", [30.0, 1000.0])
@pytest.mark.parametrize("durations", [1, 5, 60])
def test_emissions_far_apart_follow_the_most_likely_timeline(spread: float, durations: int) -> None:
    case = random_case(500, 4, durations, seed=7, spread=1.0)
    truth = np.repeat(np.arange(125) % 4, 4)
    case[0][:] = -0.5 * spread**2 * (truth[:, None] - np.arange(4)) ** 2
    states, score, segments = hsmm_viterbi(*case, "right")
    log_likelihood, posteriors = hsmm_forward_backward(*case, "right")
    assert log_likelihood >= score - 1e-9 * abs(score)
    np.testing.assert_array_equal(posteriors.argmax(1), states)
    np.testing.assert_allclose(posteriors.sum(1), 1, atol=1e-12)
    shares = hsmm_segment_posteriors(*case, segments, "right")
    counts = hsmm_expected_counts(*case, "right")
    # Scores of 10^8 leave single segments fewer digits.
    assert counts[4].sum() + counts[5]["right"].sum() >= shares.sum() * (1 - 1e-5)


def test_a_part_labelled_recording_follows_its_labels() -> None:
    case = random_case(300, 4, 30, seed=8, spread=1.0)
    free = hsmm_forward_backward(*case, "both")[1]
    labels = free.argmax(1)
    fixed = case[0].copy()
    for start in range(0, 300, 50):  # 20 of every 50 frames are labelled
        for t in range(start, start + 20):
            fixed[t, np.arange(4) != labels[t]] = -np.inf
    log_likelihood, posteriors = hsmm_forward_backward(fixed, *case[1:], "both")
    assert log_likelihood < hsmm_forward_backward(*case, "both")[0]
    for start in range(0, 300, 50):
        np.testing.assert_allclose(
            posteriors[np.arange(start, start + 20), labels[start : start + 20]], 1.0, atol=1e-12
        )
    states, _, _ = hsmm_viterbi(fixed, *case[1:], "both")
    assert (posteriors[np.arange(300), states] > 0).all()


def test_every_path_gives_the_same_bits() -> None:
    before = simd_path()
    try:
        for durations in (1, 30, 250):
            case = random_case(700, 11, durations, seed=9)
            results = []
            for name in simd_paths():
                use_simd_path(name)
                log_likelihood, posteriors, initial, transitions, counts, _ = hsmm_expected_counts(*case, "both")
                smooth = hsmm_forward_backward(*case, "both")
                arrays = (posteriors, initial, transitions, counts, smooth[1])
                results.append((log_likelihood, smooth[0], *(array.tobytes() for array in arrays)))
            assert results == results[:1] * len(results)
    finally:
        use_simd_path(before)
