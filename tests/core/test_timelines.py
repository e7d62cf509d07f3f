"""k best timelines and decoding for the least expected loss, against every segmentation of tiny models."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d_core import hsmm_kbest, hsmm_viterbi

from .test_hsmm import CENSORING, NEVER, Case, Path, cases, path_score, random_case, segmentations


def joined(path: Path) -> Path:
    """Touching segments of one state as one."""
    runs: Path = []
    for k, start, end in path:
        if runs and runs[-1][0] == k:
            start = runs.pop()[1]
        runs.append((k, start, end))
    return runs


def from_the_end(path: Path) -> list[int]:
    """What decides between equal scores: final state, its duration, the state before it, its duration, and so on."""
    return [number for k, start, end in reversed(path) for number in (k, end - start)]


def ranked(case: Case, censoring: str, distinct: str) -> list[tuple[Path, float]]:
    """All timelines, best first."""
    best: dict[tuple[tuple[int, int, int], ...], float] = {}
    for path, score in segmentations(case, censoring):
        key = tuple(joined(path) if distinct == "labels" else path)
        best[key] = max(best.get(key, NEVER), score)
    return sorted(((list(key), score) for key, score in best.items()), key=lambda row: (-row[1], from_the_end(row[0])))


def as_paths(segments: list[np.ndarray]) -> list[Path]:
    return [[(k, start, end) for k, start, end in rows.tolist()] for rows in segments]


@pytest.mark.parametrize("distinct", ["segments", "labels"])
@pytest.mark.parametrize("censoring", CENSORING)
@settings(max_examples=80, deadline=None)
@given(case=cases(whole=False, max_frames=5), k=st.integers(1, 60))
def test_the_k_best_of_all_timelines(case: Case, k: int, censoring: str, distinct: str) -> None:
    expected = ranked(case, censoring, distinct)
    if not expected:
        with pytest.raises(ValueError, match=r"every state is impossible|no sequence of whole segments"):
            hsmm_kbest(*case.arguments, k, censoring, distinct)
        return
    scores, segments = hsmm_kbest(*case.arguments, k, censoring, distinct)
    got = as_paths(segments)
    assert len(got) == len(scores) == min(k, len(expected))
    np.testing.assert_allclose(scores, [score for _, score in expected[:k]], atol=1e-9)
    assert np.all(np.diff(scores) <= 0)
    assert len({tuple(path) for path in got}) == len(got)
    by_path = {tuple(path): score for path, score in expected}
    np.testing.assert_allclose(scores, [by_path[tuple(path)] for path in got], atol=1e-9)


@pytest.mark.parametrize("distinct", ["segments", "labels"])
@settings(max_examples=200, deadline=None)
@given(case=cases(whole=True, max_frames=5), k=st.integers(1, 200))
def test_equal_scores_come_in_a_fixed_order(case: Case, k: int, distinct: str) -> None:
    expected = ranked(case, "none", distinct)
    if not expected:
        return
    scores, segments = hsmm_kbest(*case.arguments, k, distinct=distinct)
    assert as_paths(segments) == [path for path, _ in expected[:k]]
    assert scores.tolist() == [score for _, score in expected[:k]]


@pytest.mark.parametrize("censoring", CENSORING)
@pytest.mark.parametrize("self_transitions", [False, True])
def test_the_first_is_that_of_viterbi(censoring: str, self_transitions: bool) -> None:
    for seed in range(6):
        case = random_case(400, 4, 50, seed)
        if self_transitions:
            np.fill_diagonal(case.transitions, -2.0)
        states, score, segments = hsmm_viterbi(*case.arguments, censoring)
        scores, ranked_segments = hsmm_kbest(*case.arguments, 30, censoring)
        assert scores[0] == score
        np.testing.assert_array_equal(ranked_segments[0], segments)
        assert np.all(np.diff(scores) <= 0)
        assert len({rows.tobytes() for rows in ranked_segments}) == 30
        for one, rows in zip(scores, ranked_segments, strict=True):
            assert path_score(case, censoring, rows) == pytest.approx(one, abs=1e-9)
        scores, runs = hsmm_kbest(*case.arguments, 30, censoring, "labels")
        assert scores[0] == score
        np.testing.assert_array_equal(np.repeat(runs[0][:, 0], np.diff(runs[0][:, 1:])[:, 0]), states)
        assert len({rows.tobytes() for rows in runs}) == 30
        assert all(before[0] != after[0] for rows in runs for before, after in pairwise(rows.tolist()))


def best_by_forbidding(case: Case, k: int, censoring: str) -> list[float]:
    """k best scores by Lawler's partition: solve again and again with what was found forbidden; for tests only.

    Models without self-transitions. A part of the timelines is given by the end of each: fixed last segments, and
    forbidden (state, start) for the segment before them.
    """
    frames, states = case.emissions.shape
    found: list[float] = []
    parts: list[tuple[float, Path, Path, frozenset[tuple[int, int]]]] = []

    def solve(tail: Path, banned: frozenset[tuple[int, int]]) -> None:
        stop = tail[0][1] if tail else frames
        best: tuple[float, Path] = (NEVER, [])
        ends: dict[tuple[int, int], tuple[float, Path]] = {}
        for end in range(1, stop + 1):
            for state in range(states):
                for length in range(1, min(end, case.durations.shape[1]) + 1):
                    start = end - length
                    if end == stop and (state, start) in banned:
                        continue
                    seen = float(case.emissions[start:end, state].sum() + case.durations[state, length - 1])
                    entries = [(case.initial[state], [])] if start == 0 else [
                        (ends[start, i][0] + case.transitions[i, state], ends[start, i][1])
                        for i in range(states) if (start, i) in ends
                    ]  # fmt: skip
                    for score, path in entries:
                        if score + seen > ends.get((end, state), (NEVER, []))[0]:
                            ends[end, state] = score + seen, [*path, (state, start, end)]
        rest = sum(
            (case.transitions[before[0], after[0]] for before, after in pairwise(tail)),
            sum(
                float(case.emissions[start:end, state].sum() + case.durations[state, end - start - 1])
                for state, start, end in tail
            ),
        )
        for state in range(states):
            if (stop, state) in ends:
                change = case.transitions[state, tail[0][0]] if tail else 0.0
                if ends[stop, state][0] + change + rest > best[0]:
                    best = ends[stop, state][0] + change + rest, ends[stop, state][1]
        if best[0] > NEVER:
            parts.append((best[0], best[1] + tail, tail, banned))

    solve([], frozenset())
    while parts and len(found) < k:
        parts.sort(key=lambda part: part[0])
        score, path, tail, banned = parts.pop()
        found.append(score)
        fixed = len(path) - len(tail)
        for index in range(fixed - 1, -1, -1):
            state, start, _ = path[index]
            solve(path[index + 1 :], (banned if index == fixed - 1 else frozenset()) | {(state, start)})
    return found


def test_many_timelines_against_lawlers_partition() -> None:
    case = random_case(24, 3, 8, seed=5)
    expected = best_by_forbidding(case, 60, "none")
    scores, _ = hsmm_kbest(*case.arguments, 60)
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_thousands_of_timelines_stay_in_order_and_distinct() -> None:
    case = random_case(300, 4, 40, seed=2)
    np.fill_diagonal(case.transitions, -1.0)
    for distinct in ("segments", "labels"):
        scores, segments = hsmm_kbest(*case.arguments, 3000, "both", distinct)
        assert len(scores) == 3000
        assert np.all(np.diff(scores) <= 0)
        assert len({rows.tobytes() for rows in segments}) == 3000
        fewer, _ = hsmm_kbest(*case.arguments, 100, "both", distinct)
        np.testing.assert_array_equal(fewer, scores[:100])


def test_a_hundred_thousand_segments_do_not_exhaust_the_stack() -> None:
    """One segment a frame: each next timeline asks every node before it."""
    frames = 100_000
    emissions = np.zeros((frames, 2))
    emissions[:, 1] = -1 - np.arange(frames) / frames
    scores, segments = hsmm_kbest(emissions, np.zeros((2, 2)), [0, 0], np.zeros((2, 1)), 3)
    np.testing.assert_array_equal(scores, [0, -1, -1 - 1 / frames])
    assert [int(rows[:, 0].sum()) for rows in segments] == [0, 1, 1]
    assert segments[2][1, 0] == 1


def test_long_stretches_of_one_label_are_one_timeline() -> None:
    """400 frames of one label in segments of at most 5: 10^100 segmentations, few timelines."""
    emissions = np.zeros((400, 2))
    emissions[:, 1] = -3.0
    emissions[200:, 1] = 0.0
    emissions[200:, 0] = -3.0
    scores, segments = hsmm_kbest(emissions, [[-1, -2], [-2, -1]], [0, 0], np.zeros((2, 5)), 3, distinct="labels")
    assert segments[0].tolist() == [[0, 0, 200], [1, 200, 400]]
    # 80 segments of five frames; one frame less on one side is one more segment on the other.
    assert scores[0] == pytest.approx(-78 - 2)
    assert {segments[n][0, 2].item() for n in (1, 2)} == {199, 201}


@pytest.mark.parametrize("distinct", ["segments", "labels"])
@pytest.mark.parametrize("censoring", CENSORING)
def test_empty_and_single(censoring: str, distinct: str) -> None:
    case = random_case(1, 3, 5)
    scores, segments = hsmm_kbest(*case.until(0).arguments, 4, censoring, distinct)
    assert scores.tolist() == [0.0]
    assert segments[0].shape == (0, 3)
    scores, segments = hsmm_kbest(*case.arguments, 10, censoring, distinct)
    expected = ranked(case, censoring, distinct)
    np.testing.assert_allclose(scores, [score for _, score in expected])
    assert as_paths(segments) == [path for path, _ in expected]


def test_what_cannot_be_used_is_refused() -> None:
    case = random_case(5, 2, 3)
    with pytest.raises(ValueError, match="k is 0, expected at least 1 timeline"):
        hsmm_kbest(*case.arguments, 0)
    with pytest.raises(ValueError, match="k is -3, expected at least 1"):
        hsmm_kbest(*case.arguments, -3)
    with pytest.raises(TypeError, match=r"k is 2\.5, expected an integer"):
        hsmm_kbest(*case.arguments, 2.5)
    with pytest.raises(ValueError, match="distinct is 'runs', expected 'segments' or 'labels'"):
        hsmm_kbest(*case.arguments, 2, distinct="runs")
    with pytest.raises(ValueError, match="log_initial has shape"):
        hsmm_kbest(case.emissions, case.transitions, [0.0], case.durations, 2)


def test_threads_give_what_one_thread_gives() -> None:
    problems = [random_case(300, 4, 40, seed=seed) for seed in range(8)]

    def solve(case: Case) -> tuple[bytes, ...]:
        scores, segments = hsmm_kbest(*case.arguments, 20, "both", "labels")
        return scores.tobytes(), *(rows.tobytes() for rows in segments)

    alone = [solve(case) for case in problems]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(solve, problems * 3)) == alone * 3
