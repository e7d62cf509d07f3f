"""HSMM decoding against a loop over frames in numpy, at D = 1 against hmmlearn, and against itself as D grows.

pytest bench/python/bench_hsmm.py; hmmlearn is left out where it is not installed. `conv2d bench` takes the same calls
in turns, which is what ratios should be read from.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conv2d.benchmarks.hsmm import LAWS, make_problem, numpy_viterbi

SIZES = [(1000, 8, 50), (10_000, 8, 100), (100_000, 12, 200), (10_000, 64, 100)]


def run(benchmark: BenchmarkFixture, call: Callable[[], Any], rounds: int) -> Any:
    return benchmark.pedantic(call, rounds=rounds, iterations=1, warmup_rounds=1)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("peer", ["conv2d", "numpy"])
def test_viterbi(benchmark: BenchmarkFixture, size: tuple[int, int, int], peer: str) -> None:
    benchmark.group = f"hsmm_viterbi {size}"
    problem = make_problem(*size).uncensored()
    calls = {"conv2d": lambda: problem.viterbi()[1], "numpy": lambda: numpy_viterbi(problem)}
    score = run(benchmark, calls[peer], 30 if peer == "conv2d" else 3)
    assert score == pytest.approx(problem.viterbi()[1])


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("work", ["viterbi", "forward_backward"])
def test_forward_backward(benchmark: BenchmarkFixture, size: tuple[int, int, int], work: str) -> None:
    benchmark.group = f"forward-backward and Viterbi {size}"
    problem = make_problem(*size)
    run(benchmark, getattr(problem, work), 10)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("flat", [False, True], ids=["informative", "flat"])
@pytest.mark.parametrize("longest", [100, 10_000])
def test_growth(benchmark: BenchmarkFixture, law: str, flat: bool, longest: int) -> None:
    benchmark.group = f"hsmm_viterbi T=40000 K=8, {law}, {'flat' if flat else 'informative'}"
    problem = make_problem(40_000, 8, longest, law, flat=flat)
    run(benchmark, problem.viterbi, 5)
    benchmark.extra_info["nanoseconds_per_frame_and_state"] = benchmark.stats["median"] * 1e9 / (40_000 * 8)


@pytest.mark.parametrize("frames", [1000, 10_000, 100_000])
@pytest.mark.parametrize("peer", ["conv2d", "hmmlearn"])
@pytest.mark.parametrize("work", ["viterbi", "forward_backward"])
def test_single_frame_durations(benchmark: BenchmarkFixture, frames: int, peer: str, work: str) -> None:
    """D = 1 is a plain HMM; hmmlearn's kernels get the same scores, its forward-backward in its faster scaled form."""
    hmmc = pytest.importorskip("hmmlearn._hmmc", reason="hmmlearn is not installed")
    benchmark.group = f"D = 1, {work}, {frames} frames"
    problem = make_problem(frames, 8, 1).uncensored()
    initial, transitions, likelihoods = (
        np.exp(scores) for scores in (problem.initial, problem.transitions, problem.emissions)
    )

    def scaled() -> float:
        log_likelihood, forward, scaling = hmmc.forward_scaling(initial, transitions, likelihoods)
        posteriors = np.asarray(forward) * np.asarray(hmmc.backward_scaling(initial, transitions, likelihoods, scaling))
        posteriors /= posteriors.sum(axis=1, keepdims=True)
        return float(log_likelihood)

    calls = {
        ("conv2d", "viterbi"): lambda: problem.viterbi()[1],
        ("hmmlearn", "viterbi"): lambda: hmmc.viterbi(initial, transitions, problem.emissions)[0],
        ("conv2d", "forward_backward"): lambda: problem.forward_backward()[0],
        ("hmmlearn", "forward_backward"): scaled,
    }
    assert run(benchmark, calls[peer, work], 30) == pytest.approx(calls["conv2d", work]())
