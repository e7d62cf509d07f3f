"""hsmm_viterbi on every SIMD path, with transitions that differ by frame, and over many recordings at once."""

from collections.abc import Iterator
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d_core import hsmm_viterbi, hsmm_viterbi_many, simd_path, simd_paths, use_simd_path

NEVER = -np.inf
Model = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
Censoring = Literal["none", "right", "left", "both"]


@pytest.fixture
def every_path() -> Iterator[tuple[str, ...]]:
    before = simd_path()
    yield simd_paths()
    use_simd_path(before)


def best_score(
    emissions: np.ndarray, transitions: np.ndarray, initial: np.ndarray, durations: np.ndarray
) -> tuple[float, list[tuple[int, int, int]]]:
    """The recursion by the definition: every duration scored by its own emissions; ties as documented."""
    frames, states = emissions.shape
    matrices = np.broadcast_to(transitions, (frames, states, states))
    entered = np.full((frames, states), NEVER)
    ended = np.full((frames + 1, states), NEVER)
    lasted = np.zeros((frames + 1, states), dtype=int)
    entered[0] = initial
    for end in range(1, frames + 1):
        longest = min(end, durations.shape[1])
        for k in range(states):
            # Exact for whole scores, so that the order of adding does not matter.
            sums = np.cumsum(emissions[end - longest : end, k][::-1])
            scores = entered[end - longest : end, k][::-1] + sums + durations[k, :longest]
            lasted[end, k] = np.argmax(scores) + 1
            ended[end, k] = scores.max()
        if end < frames:
            entered[end] = (ended[end][:, None] + matrices[end]).max(0)
    path: list[tuple[int, int, int]] = []
    end, k = frames, int(np.argmax(ended[frames]))
    score = float(ended[frames, k])
    while score > NEVER and end > 0:
        start = end - int(lasted[end, k])
        path.insert(0, (k, start, end))
        if start > 0:
            k = int(np.argmax(ended[start] + matrices[start][:, k]))
        end = start
    return score, path


@st.composite
def problems(draw: st.DrawFn) -> Model:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    frames, states = draw(st.integers(1, 90)), draw(st.sampled_from([1, 2, 3, 4, 5, 8, 9, 12, 17, 25]))
    longest = draw(st.sampled_from([1, 2, 5, 9, 40, 64, 70, 120]))
    never = draw(st.sampled_from([0.0, 0.1, 0.4]))

    def scores(*shape: int) -> np.ndarray:
        return np.where(rng.random(shape) < never, NEVER, rng.integers(-3, 1, shape).astype(float))

    emissions = scores(frames, states)
    if draw(st.booleans()):  # a stretch where one state is known
        start, stop = sorted(rng.integers(0, frames + 1, 2))
        known = rng.integers(0, states)
        emissions[start:stop] = np.where(np.arange(states) == known, 0.0, NEVER)
    if draw(st.booleans()):  # beyond what sums are kept within
        emissions[rng.integers(0, frames), rng.integers(0, states)] -= 2.0**30
    transitions = scores(frames, states, states) if draw(st.booleans()) else scores(states, states)
    durations = scores(states, longest)
    if draw(st.booleans()):  # peaked, so that most durations are ruled out by bounds
        durations = -np.abs(np.arange(longest) - rng.integers(0, longest, (states, 1))).astype(float)
    return emissions, transitions, scores(states), durations


@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_every_path_gives_the_best_timeline(problem: Model) -> None:
    score, path = best_score(*problem)
    before = simd_path()
    try:
        for name in simd_paths():
            use_simd_path(name)
            if score == NEVER:
                with pytest.raises(ValueError, match=r"every state is impossible|no sequence of whole segments"):
                    hsmm_viterbi(*problem)
                continue
            states, got, segments = hsmm_viterbi(*problem)
            assert got == score
            assert [tuple(row) for row in segments.tolist()] == path
            np.testing.assert_array_equal(states, np.repeat(segments[:, 0], segments[:, 2] - segments[:, 1]))
    finally:
        use_simd_path(before)


def long_problem(law: str, flat: bool, grid: float) -> Model:
    """Durations so long that all bounds are used, on multiples of `grid`, of which every sum is exact."""
    rng = np.random.default_rng(7)
    frames, states, longest = 1500, 3, 700
    d = np.arange(1, longest + 1.0)
    centre = np.array([120.0, 260.0, 420.0])[:, None]
    durations = {
        "gaussian": -0.5 * ((d - centre) / 40.0) ** 2,
        "exponential": -d / centre,
        "uniform": np.where(d > 1.5 * centre, -5.0, 0.0),
        "peaks": -np.abs(d % 97 - 40.0) / 7.0 - d / centre,
        "gaps": np.where(d // 60 % 2 == 0, -0.5 * ((d - centre) / 90.0) ** 2, NEVER),
    }[law]
    emissions = np.zeros((frames, states))
    if not flat:
        emissions += rng.normal(scale=0.7, size=(frames, states))
        emissions[rng.integers(100, frames, 3), rng.integers(0, states, 3)] = NEVER
        emissions[700] -= [3e6, 1e6, 2e6]  # beyond what sums are kept within
    tables = emissions, rng.normal(size=(states, states)), rng.normal(size=states), durations
    return tuple(np.round(table / grid) * grid for table in tables)  # type: ignore[return-value]


@pytest.mark.parametrize("law", ["gaussian", "exponential", "uniform", "peaks", "gaps"])
@pytest.mark.parametrize("flat", [False, True], ids=["informative", "flat"])
@pytest.mark.parametrize("grid", [1.0, 2.0**-10])
def test_long_durations_give_the_best_timeline(every_path: tuple[str, ...], law: str, flat: bool, grid: float) -> None:
    problem = long_problem(law, flat, grid)
    score, path = best_score(*problem)
    for name in every_path:
        use_simd_path(name)
        _, got, segments = hsmm_viterbi(*problem)
        assert got == score
        assert [tuple(row) for row in segments.tolist()] == path


def random_problem(frames: int, states: int, longest: int, seed: int) -> Model:
    rng = np.random.default_rng(seed)
    transitions = np.log(rng.dirichlet(np.ones(states), states))
    durations = np.log(rng.dirichlet(np.full(longest, 0.5), states) + 1e-300)
    return rng.normal(size=(frames, states)) * 3 - 700, transitions, np.full(states, -np.log(states)), durations


@pytest.mark.parametrize("censoring", ["none", "right", "left", "both"])
@pytest.mark.parametrize(("states", "longest"), [(3, 1), (8, 40), (8, 500), (12, 200), (30, 90)])
def test_every_path_gives_the_same_bits(
    every_path: tuple[str, ...], states: int, longest: int, censoring: Censoring
) -> None:
    problem = random_problem(9000, states, longest, seed=states + longest)  # scores are taken back twice on the way
    results = []
    for name in every_path:
        use_simd_path(name)
        labels, score, segments = hsmm_viterbi(*problem, censoring)
        results.append((labels.tobytes(), score.hex(), segments.tobytes()))
    assert results == results[:1] * len(every_path)


def test_labelled_frames_change_nothing_but_what_they_forbid() -> None:
    """Where only the state of the best timeline stays possible, the best timeline stays the same."""
    problem = random_problem(3000, 6, 90, seed=3)
    emissions, model = problem[0], problem[1:]
    states, score, segments = hsmm_viterbi(emissions, *model, "right")
    labelled = np.random.default_rng(0).random(3000) < 0.7
    forbidden = np.where(labelled[:, None] & (np.arange(6) != states[:, None]), NEVER, emissions)
    again = hsmm_viterbi(forbidden, *model, "right")
    np.testing.assert_array_equal(again[2], segments)
    assert again[1] == pytest.approx(score, rel=1e-12)


def test_many_recordings_give_what_each_gives_alone() -> None:
    model = random_problem(1, 5, 30, seed=4)[1:]
    rng = np.random.default_rng(1)
    recordings = [rng.normal(size=(frames, 5)) for frames in (0, 1, 700, 30, 2000, 5)]
    alone = [hsmm_viterbi(recording, *model, "both") for recording in recordings]
    for threads in (0, 1, 3, 50):
        together = hsmm_viterbi_many(recordings, *model, "both", threads=threads)
        assert len(together) == len(alone)
        for got, expected in zip(together, alone, strict=True):
            np.testing.assert_array_equal(got[0], expected[0])
            np.testing.assert_array_equal(got[2], expected[2])
            assert got[1] == expected[1]
    assert hsmm_viterbi_many([], *model) == []


def test_results_outlive_later_calls() -> None:
    problem = random_problem(400, 4, 20, seed=5)
    first = hsmm_viterbi(*problem)
    copies = first[0].copy(), first[2].copy()
    for seed in range(6, 12):
        hsmm_viterbi(*random_problem(500, 4, 20, seed))
    np.testing.assert_array_equal(first[0], copies[0])
    np.testing.assert_array_equal(first[2], copies[1])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((5, 2, 2), r"log_transitions has shape \(5, 2, 2\), expected \(2, 2\) or \(6, 2, 2\), as log_emissions"),
        ((6, 2, 3), r"log_transitions has shape \(6, 2, 3\), expected"),
        ((12, 2), r"log_transitions has shape \(12, 2\), expected \(2, 2\) or \(6, 2, 2\)"),
        ((2,), r"log_transitions has shape \(2,\), expected \(K, K\) or \(T, K, K\)"),
    ],
)
def test_transitions_of_another_shape_are_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        hsmm_viterbi(np.zeros((6, 2)), np.zeros(shape), np.zeros(2), np.zeros((2, 3)))


def test_a_bad_value_is_named_wherever_it_lies() -> None:
    transitions = np.zeros((6, 2, 2))
    transitions[4, 1, 0] = np.nan
    with pytest.raises(ValueError, match="log_transitions row 9, column 0 is nan"):
        hsmm_viterbi(np.zeros((6, 2)), transitions, np.zeros(2), np.zeros((2, 3)))
    for frame, state, value in [(0, 0, np.nan), (37, 8, np.inf), (99, 3, -1e201), (50, 7, 1e201)]:
        emissions = np.zeros((100, 9))
        emissions[frame, state] = value
        with pytest.raises(ValueError, match=rf"log_emissions row {frame}, column {state} is "):
            hsmm_viterbi(emissions, np.zeros((9, 9)), np.zeros(9), np.zeros((9, 3)))
    with pytest.raises(ValueError, match="recording 1: log_emissions row 0, column 1 is nan"):
        hsmm_viterbi_many([np.zeros((1, 2)), [[0, np.nan]]], np.zeros((2, 2)), np.zeros(2), np.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"log_emissions\[1\] has shape \(2,\), expected \(T, K\)"):
        hsmm_viterbi_many([np.zeros((1, 2)), [0, 0]], np.zeros((2, 2)), np.zeros(2), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="threads is -1, expected a count"):
        hsmm_viterbi_many([], np.zeros((2, 2)), np.zeros(2), np.zeros((2, 3)), threads=-1)
