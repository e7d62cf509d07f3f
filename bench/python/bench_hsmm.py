"""HSMM decoding against a loop over frames in numpy, and at D = 1 against hmmlearn."""

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conv2d_core import hsmm_forward_backward, hsmm_viterbi

Problem = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def problem(frames: int, states: int, durations: int) -> Problem:
    rng = np.random.default_rng(0)
    transitions = rng.dirichlet(np.ones(states), states)
    if durations > 1:
        np.fill_diagonal(transitions, 0)
    with np.errstate(divide="ignore"):
        log_transitions = np.log(transitions / transitions.sum(1, keepdims=True))
    log_durations = np.log(rng.dirichlet(np.ones(durations), states))
    truth = np.repeat(rng.integers(0, states, frames), max(1, durations // 3))[:frames]
    emissions = -0.5 * (truth[:, None] + rng.normal(size=(frames, 1)) - np.arange(states)) ** 2
    return emissions, log_transitions, np.full(states, -np.log(states)), log_durations


def numpy_viterbi(
    log_emissions: np.ndarray, log_transitions: np.ndarray, log_initial: np.ndarray, log_durations: np.ndarray
) -> float:
    """Score of the best path, all durations of a frame at once."""
    (frames, states), longest = log_emissions.shape, log_durations.shape[1]
    sums = np.vstack([np.zeros(states), np.cumsum(log_emissions, axis=0)])
    started = np.full((frames + 1, states), -np.inf)
    started[0] = log_initial
    backwards = log_durations.T[::-1]
    for end in range(1, frames + 1):
        first = max(0, end - longest)
        ended = sums[end] + np.max(started[first:end] + backwards[longest - (end - first) :], axis=0)
        started[end] = np.max(ended[:, None] + log_transitions, axis=0) - sums[end]
    return float(ended.max())


@pytest.mark.parametrize("shape", [(1000, 8, 50), (10_000, 8, 100)], ids=str)
@pytest.mark.parametrize("peer", ["conv2d", "numpy"])
def test_viterbi(benchmark: BenchmarkFixture, shape: tuple[int, int, int], peer: str) -> None:
    benchmark.group = f"hsmm_viterbi {shape}"
    arguments = problem(*shape)
    call = (lambda: hsmm_viterbi(*arguments)[1]) if peer == "conv2d" else (lambda: numpy_viterbi(*arguments))
    assert benchmark(call) == pytest.approx(numpy_viterbi(*arguments))


@pytest.mark.parametrize("shape", [(1000, 8, 50), (10_000, 8, 100)], ids=str)
def test_forward_backward(benchmark: BenchmarkFixture, shape: tuple[int, int, int]) -> None:
    benchmark.group = f"hsmm_forward_backward {shape}"
    arguments = problem(*shape)
    _, posteriors = benchmark(lambda: hsmm_forward_backward(*arguments))
    np.testing.assert_allclose(posteriors.sum(1), 1)


@pytest.mark.parametrize("frames", [1000, 10_000])
@pytest.mark.parametrize("peer", ["conv2d", "hmmlearn"])
@pytest.mark.parametrize("work", ["viterbi", "forward_backward"])
def test_single_frame_durations(benchmark: BenchmarkFixture, frames: int, peer: str, work: str) -> None:
    """D = 1 is a plain HMM; hmmlearn's kernels get the same scores, its forward-backward in its faster scaled form."""
    hmmc = pytest.importorskip("hmmlearn._hmmc")
    benchmark.group = f"D = 1, {work}, {frames} frames"
    arguments = problem(frames, 8, 1)
    emissions, log_transitions, log_initial, _ = arguments
    initial, transitions, likelihoods = np.exp(log_initial), np.exp(log_transitions), np.exp(emissions)

    def scaled() -> float:
        log_likelihood, _, scaling = hmmc.forward_scaling(initial, transitions, likelihoods)
        hmmc.backward_scaling(initial, transitions, likelihoods, scaling)
        return float(log_likelihood)

    calls = {
        ("conv2d", "viterbi"): lambda: hsmm_viterbi(*arguments)[1],
        ("hmmlearn", "viterbi"): lambda: hmmc.viterbi(initial, transitions, emissions)[0],
        ("conv2d", "forward_backward"): lambda: hsmm_forward_backward(*arguments)[0],
        ("hmmlearn", "forward_backward"): scaled,
    }
    assert benchmark(calls[peer, work]) == pytest.approx(calls["conv2d", work]())
