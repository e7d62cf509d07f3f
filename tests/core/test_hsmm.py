"""The HSMM kernels against brute force: every segmentation of tiny models, scored by the definition."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d_core import hsmm_filter, hsmm_forward_backward, hsmm_viterbi

NEVER = -np.inf
CENSORING = ["none", "right", "left", "both"]
Path = list[tuple[int, int, int]]  # state, start, end


@dataclass
class Case:
    emissions: np.ndarray
    transitions: np.ndarray
    initial: np.ndarray
    durations: np.ndarray

    @property
    def arguments(self) -> tuple[np.ndarray, ...]:
        return self.emissions, self.transitions, self.initial, self.durations

    def until(self, frames: int) -> "Case":
        return Case(self.emissions[:frames], self.transitions, self.initial, self.durations)


@st.composite
def cases(draw: st.DrawFn, *, whole: bool, max_frames: int = 6) -> Case:
    """Shapes and the share of -inf by hypothesis, scores by a seed; whole numbers add up exactly, and tie often."""
    frames = draw(st.sampled_from(range(1, max_frames + 1)))
    states, durations = draw(st.sampled_from([1, 2, 3, 3])), draw(st.sampled_from(range(1, 8)))
    never, rng = draw(st.sampled_from([0.0, 0.1, 0.3])), np.random.default_rng(draw(st.integers(0, 2**32)))

    def array(*shape: int) -> np.ndarray:
        scores = rng.integers(-2, 1, shape).astype(np.float64) if whole else rng.uniform(-5, 2, shape)
        return np.where(rng.random(shape) < never, NEVER, scores)

    case = Case(array(frames, states), array(states, states), array(states), array(states, durations))
    if states > 1 and draw(st.booleans()):
        np.fill_diagonal(case.transitions, NEVER)
    return case


def log_sum(values: list[float]) -> float:
    return float(np.logaddexp.reduce(values)) if values else NEVER


def segment_weight(log_durations: np.ndarray, length: int, *, cut_left: bool, cut_right: bool) -> float:
    """By the definition of censoring, from one row of log_durations."""
    if length > len(log_durations):
        return NEVER
    with np.errstate(divide="ignore"):
        survivor = [log_sum(list(log_durations[d:])) for d in range(len(log_durations))]  # P(duration > d)
    mean = log_sum(survivor)
    if cut_left and mean == NEVER:
        return NEVER
    if cut_left and cut_right:
        return log_sum(survivor[length - 1 :]) - mean
    if cut_left:
        return survivor[length - 1] - mean
    return survivor[length - 1] if cut_right else float(log_durations[length - 1])


def segmentations(case: Case, censoring: str) -> Iterator[tuple[Path, float]]:
    frames, states = case.emissions.shape
    left, right = censoring in ("left", "both"), censoring in ("right", "both")
    weight = {
        (k, start, end): segment_weight(
            case.durations[k], end - start, cut_left=left and start == 0, cut_right=right and end == frames
        )
        + float(np.sum(case.emissions[start:end, k]))
        for k in range(states)
        for start in range(frames)
        for end in range(start + 1, frames + 1)
    }

    def grow(path: Path, score: float) -> Iterator[tuple[Path, float]]:
        start = path[-1][2] if path else 0
        if start == frames:
            yield path, score
            return
        for k in range(states):
            entry = case.transitions[path[-1][0], k] if path else case.initial[k]
            for end in range(start + 1, frames + 1):
                total = score + entry + weight[k, start, end]
                if total > NEVER:  # what cannot happen adds nothing, and cannot win
                    yield from grow([*path, (k, start, end)], total)

    yield from grow([], 0.0)


def brute_force(case: Case, censoring: str) -> tuple[float, float, np.ndarray]:
    """(best score, log-likelihood, posteriors)."""
    scored = list(segmentations(case, censoring))
    if not scored:
        return NEVER, NEVER, np.zeros(0)
    evidence = log_sum([score for _, score in scored])
    posteriors = np.zeros(case.emissions.shape)
    for path, score in scored:
        for k, start, end in path:
            posteriors[start:end, k] += np.exp(score - evidence)
    return max(score for _, score in scored), evidence, posteriors


def path_score(case: Case, censoring: str, segments: np.ndarray) -> float:
    """Score of one given segmentation."""
    frames = len(case.emissions)
    score = 0.0
    for n, (k, start, end) in enumerate(segments.tolist()):
        score += case.initial[k] if n == 0 else case.transitions[segments[n - 1, 0], k]
        score += segment_weight(
            case.durations[k],
            end - start,
            cut_left=censoring in ("left", "both") and start == 0,
            cut_right=censoring in ("right", "both") and end == frames,
        )
        score += float(np.sum(case.emissions[start:end, k]))
    return score


@pytest.mark.parametrize("censoring", CENSORING)
@settings(max_examples=150, deadline=None)
@given(case=cases(whole=False))
def test_everything_equals_the_sum_over_all_segmentations(case: Case, censoring: str) -> None:
    best, evidence, posteriors = brute_force(case, censoring)
    if best == NEVER:
        for decode in (hsmm_viterbi, hsmm_forward_backward):
            with pytest.raises(ValueError, match=r"every state is impossible|no sequence of whole segments"):
                decode(*case.arguments, censoring)
        return
    states, score, segments = hsmm_viterbi(*case.arguments, censoring)
    assert score == pytest.approx(best, abs=1e-9)
    assert path_score(case, censoring, segments) == pytest.approx(best, abs=1e-9)
    np.testing.assert_array_equal(states, np.repeat(segments[:, 0], segments[:, 2] - segments[:, 1]))
    assert segments[0, 1] == 0
    assert segments[-1, 2] == len(states) == len(case.emissions)
    np.testing.assert_array_equal(segments[1:, 1], segments[:-1, 2])

    log_likelihood, shares = hsmm_forward_backward(*case.arguments, censoring)
    assert log_likelihood == pytest.approx(evidence, abs=1e-9)
    np.testing.assert_allclose(shares, posteriors, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("censoring", CENSORING)
@settings(max_examples=100, deadline=None)
@given(case=cases(whole=False))
def test_filtered_is_the_last_frame_of_every_prefix_right_censored(case: Case, censoring: str) -> None:
    frames = len(case.emissions)
    open_end = "both" if censoring in ("left", "both") else "right"
    prefixes = [brute_force(case.until(t + 1), open_end) for t in range(frames)]
    dead = next((t for t in range(frames) if prefixes[t][0] == NEVER), None)
    if dead is not None:
        with pytest.raises(ValueError, match=f"at frame {dead} of {frames} every state is impossible"):
            hsmm_filter(*case.arguments, censoring)
        return
    log_likelihood, filtered = hsmm_filter(*case.arguments, censoring)
    assert log_likelihood == pytest.approx(prefixes[-1][1], abs=1e-9)
    np.testing.assert_allclose(filtered, [shares[-1] for _, _, shares in prefixes], atol=1e-9, rtol=1e-9)


@settings(max_examples=300, deadline=None)
@given(case=cases(whole=True))
def test_ties_go_to_the_smallest_state_then_the_smallest_duration_from_the_end(case: Case) -> None:
    scored = list(segmentations(case, "none"))
    if not scored:
        return
    best = max(score for _, score in scored)
    winner = min(
        (path for path, score in scored if score == best),
        key=lambda path: [number for k, start, end in reversed(path) for number in (k, end - start)],
    )
    _, score, segments = hsmm_viterbi(*case.arguments)
    assert score == best
    assert [tuple(row) for row in segments.tolist()] == winner


@settings(max_examples=60, deadline=None)
@given(case=cases(whole=True, max_frames=4), frame=st.integers(0, 3))
def test_the_error_names_the_first_frame_that_nothing_explains(case: Case, frame: int) -> None:
    frames = len(case.emissions)
    case.emissions[frame % frames] = NEVER
    dead = next(t for t in range(frames) if not list(segmentations(case.until(t + 1), "right")))
    for call in (hsmm_viterbi, hsmm_forward_backward):
        with pytest.raises(ValueError, match=f"at frame {dead} of {frames} every state is impossible"):
            call(*case.arguments, "none")


def random_case(frames: int, states: int, durations: int, seed: int = 0) -> Case:
    rng = np.random.default_rng(seed)
    transitions = rng.dirichlet(np.ones(states), states)
    np.fill_diagonal(transitions, 0.0 if states > 1 else 1.0)
    with np.errstate(divide="ignore"):
        return Case(
            rng.normal(size=(frames, states)) * 3 - 500,
            np.log(transitions / transitions.sum(1, keepdims=True)),
            np.log(rng.dirichlet(np.ones(states))),
            np.log(rng.dirichlet(np.full(durations, 0.3), states)),
        )


@pytest.mark.parametrize("censoring", CENSORING)
@pytest.mark.parametrize("states", [1, 4])
def test_empty_and_single_frame(states: int, censoring: str) -> None:
    case = random_case(1, states, 5)
    nothing = hsmm_viterbi(*case.until(0).arguments, censoring)
    assert nothing[0].shape == (0,)
    assert nothing[1] == 0.0
    assert nothing[2].shape == (0, 3)
    for infer in (hsmm_forward_backward, hsmm_filter):
        log_likelihood, shares = infer(*case.until(0).arguments, censoring)
        assert log_likelihood == 0.0
        assert shares.shape == (0, states)
    best, evidence, posteriors = brute_force(case, censoring)
    assert hsmm_viterbi(*case.arguments, censoring)[1] == pytest.approx(best)
    log_likelihood, shares = hsmm_forward_backward(*case.arguments, censoring)
    assert log_likelihood == pytest.approx(evidence)
    np.testing.assert_allclose(shares, posteriors, atol=1e-12)


@pytest.mark.parametrize("censoring", CENSORING)
def test_long_recordings_stay_consistent(censoring: str) -> None:
    """Thousands of frames of large scores: probabilities add up, and the path's own parts add up to its score."""
    case = random_case(3000, 5, 60, seed=3)
    _, score, segments = hsmm_viterbi(*case.arguments, censoring)
    assert path_score(case, censoring, segments) == pytest.approx(score, rel=1e-12)
    log_likelihood, posteriors = hsmm_forward_backward(*case.arguments, censoring)
    assert log_likelihood > score
    assert posteriors.min() >= 0
    np.testing.assert_allclose(posteriors.sum(1), 1, atol=1e-12)
    if censoring in ("right", "both"):
        filtered_likelihood, filtered = hsmm_filter(*case.arguments, censoring)
        assert filtered_likelihood == pytest.approx(log_likelihood, rel=1e-12)
        np.testing.assert_allclose(filtered[-1], posteriors[-1], atol=1e-9)
        np.testing.assert_allclose(filtered.sum(1), 1, atol=1e-12)


def test_durations_of_one_frame_make_a_plain_hidden_markov_model() -> None:
    rng = np.random.default_rng(4)
    emissions, transitions, initial = (
        rng.normal(size=(40, 3)),
        np.log(rng.dirichlet(np.ones(3), 3)),
        np.log([0.2, 0.3, 0.5]),
    )
    forward = initial + emissions[0]
    best = forward.copy()
    for frame in emissions[1:]:
        forward = np.logaddexp.reduce(forward[:, None] + transitions, axis=0) + frame
        best = np.max(best[:, None] + transitions, axis=0) + frame
    for censoring in CENSORING:
        assert hsmm_viterbi(emissions, transitions, initial, np.zeros((3, 1)), censoring)[1] == pytest.approx(
            best.max()
        )
        assert hsmm_forward_backward(emissions, transitions, initial, np.zeros((3, 1)), censoring)[0] == pytest.approx(
            np.logaddexp.reduce(forward)
        )


@pytest.mark.parametrize("censoring", CENSORING)
def test_a_geometric_duration_is_a_hidden_markov_model_with_self_transitions(censoring: str) -> None:
    """The one model with a known answer for every kind of censoring: a geometric law has no memory."""
    rng = np.random.default_rng(5)
    frames, stay = 30, np.array([0.6, 0.3, 0.8])
    emissions, initial = rng.normal(size=(frames, 3)), np.log([0.2, 0.3, 0.5])
    leave = rng.dirichlet(np.ones(3), 3) * (1 - np.eye(3))
    leave /= leave.sum(1, keepdims=True)
    durations = np.log(stay)[:, None] * np.arange(400) + np.log1p(-stay)[:, None]  # 0.8^400 is below rounding
    plain = np.log(leave * (1 - stay)[:, None] + np.diag(stay))
    forward = initial + emissions[0]
    for frame in emissions[1:]:
        forward = np.logaddexp.reduce(forward[:, None] + plain, axis=0) + frame
    # In equilibrium the first segment is as long as any other; an end that is not cut off must also leave its state.
    if censoring in ("none", "left"):
        forward = forward + np.log1p(-stay)
    with np.errstate(divide="ignore"):
        log_likelihood, _ = hsmm_forward_backward(emissions, np.log(leave), initial, durations, censoring)
    assert log_likelihood == pytest.approx(np.logaddexp.reduce(forward), abs=1e-9)


@pytest.mark.parametrize("censoring", ["none", "right"])
def test_a_mirrored_recording_has_mirrored_posteriors(censoring: str) -> None:
    """The backward pass does on one side what the forward pass does on the other."""
    case = random_case(2000, 4, 80, seed=9)
    case.initial[:] = 0.0  # as at the end, where no state is preferred
    mirrored = Case(case.emissions[::-1], case.transitions.T, case.initial, case.durations)
    if censoring == "right":  # the mirror of a cut end is a cut start without its 1 / E[duration]
        mean = np.exp(case.durations) @ np.arange(1, 81)
        mirrored = Case(mirrored.emissions, mirrored.transitions, np.log(mean), mirrored.durations)
    other = {"none": "none", "right": "left"}[censoring]
    log_likelihood, posteriors = hsmm_forward_backward(*case.arguments, censoring)
    mirrored_likelihood, mirrored_posteriors = hsmm_forward_backward(*mirrored.arguments, other)
    assert mirrored_likelihood == pytest.approx(log_likelihood, rel=1e-12)
    np.testing.assert_allclose(mirrored_posteriors[::-1], posteriors, atol=1e-10)
    assert hsmm_viterbi(*mirrored.arguments, other)[1] == pytest.approx(hsmm_viterbi(*case.arguments, censoring)[1])


def test_far_tails_of_durations_are_not_lost() -> None:
    """A survivor taken from summed probabilities would be 0 where its logarithm is -800."""
    durations = np.full((1, 3), NEVER)
    durations[0, 0], durations[0, 2] = 0.0, -800.0
    assert hsmm_viterbi(np.zeros((2, 1)), [[NEVER]], [0.0], durations, "right")[1] == pytest.approx(-800.0)
    assert hsmm_forward_backward(np.zeros((2, 1)), [[NEVER]], [0.0], durations, "right")[0] == pytest.approx(-800.0)


def test_one_huge_score_leaves_the_others_their_digits() -> None:
    case = random_case(300, 3, 40, seed=6)
    case.emissions[:] += 500
    case.emissions[100, 0] = NEVER
    expected = hsmm_viterbi(*case.arguments, "both"), hsmm_forward_backward(*case.arguments, "both")
    case.emissions[100, 0] = -1e30  # as good as impossible
    got = hsmm_viterbi(*case.arguments, "both"), hsmm_forward_backward(*case.arguments, "both")
    np.testing.assert_array_equal(got[0][2], expected[0][2])
    assert got[1][0] == pytest.approx(expected[1][0], rel=1e-12)
    np.testing.assert_allclose(got[1][1], expected[1][1], atol=1e-12)


def test_frames_without_data_follow_the_model_alone() -> None:
    case = random_case(50, 3, 10, seed=7)
    case.emissions[:] = 0.0
    log_likelihood, _ = hsmm_forward_backward(*case.arguments, "both")
    assert log_likelihood == pytest.approx(0.0, abs=1e-9)  # all possible recordings together are certain


def test_other_dtypes_and_layouts_give_the_same() -> None:
    case = random_case(60, 3, 10, seed=8)
    expected = hsmm_viterbi(*case.arguments)
    strided = np.repeat(case.emissions, 2, axis=0)[::2]
    for emissions in (
        strided,
        np.asfortranarray(case.emissions),
        case.emissions.tolist(),
        case.emissions.astype(">f8"),
    ):
        got = hsmm_viterbi(emissions, case.transitions, case.initial, case.durations)
        np.testing.assert_array_equal(got[2], expected[2])
        assert got[1] == expected[1]
    single = hsmm_viterbi(*(array.astype(np.float32) for array in case.arguments))
    assert single[1] == pytest.approx(expected[1], rel=1e-6)


def test_threads_give_what_one_thread_gives() -> None:
    problems = [random_case(400, 4, 60, seed=seed) for seed in range(12)]

    def solve(case: Case) -> tuple[bytes, ...]:
        states, score, segments = hsmm_viterbi(*case.arguments, "both")
        log_likelihood, posteriors = hsmm_forward_backward(*case.arguments, "both")
        _, filtered = hsmm_filter(*case.arguments, "left")
        return (
            states.tobytes(),
            segments.tobytes(),
            posteriors.tobytes(),
            filtered.tobytes(),
            repr((score, log_likelihood)).encode(),
        )

    alone = [solve(case) for case in problems]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(solve, problems * 3)) == alone * 3
