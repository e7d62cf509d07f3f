"""Drawing timelines from a hidden semi-Markov model."""

import numpy as np

from conv2d.errors import UsageError
from conv2d.temporal.protocol import FloatArray, IntArray


def sample_segments(
    log_initial: FloatArray,
    log_transitions: FloatArray,
    log_durations: FloatArray,
    n_frames: int,
    rng: np.random.Generator,
    *,
    under_way: bool,
) -> IntArray:
    """Segments (n, 3) int64 of state, first frame and frame after the last, that fill T frames; the last one is cut.

    Args:
        log_initial: (K,) log weights of the state at frame 0.
        log_transitions: (K, K) log weights from row to column, or (T, K, K), one matrix for changes into each frame.
        log_durations: (K, D) log weights.
        n_frames: T.
        rng: what is drawn with.
        under_way: whether the first segment was under way already (censoring "left" or "both"): what is seen of it is
            then d frames with probability P(length >= d) / E[length].

    Raises:
        UsageError: a state is reached that nothing may follow (E-TEMPORAL-025).

    Two neighbours may have one state where self-transitions are allowed. O(T K + D) at most.
    """
    initial, durations = _cumulative(log_initial[None])[0], _cumulative(log_durations)
    remaining = durations
    if under_way:
        survivor = np.cumsum(np.exp(log_durations - log_durations.max(axis=1, keepdims=True))[:, ::-1], axis=1)
        with np.errstate(divide="ignore"):
            remaining = _cumulative(np.log(survivor[:, ::-1]))
    varying = log_transitions.ndim == 3
    order = None if varying else _cumulative(log_transitions)
    segments, start = [], 0
    state = _draw(initial, rng)
    lengths = remaining
    while start < n_frames:
        end = min(n_frames, start + 1 + _draw(lengths[state], rng))
        segments.append((state, start, end))
        if end < n_frames:
            state = _draw(order[state] if order is not None else _cumulative(log_transitions[end])[state], rng)
        start, lengths = end, durations
    return np.array(segments, dtype=np.int64).reshape(-1, 3)


def _cumulative(log_weights: FloatArray) -> FloatArray:
    """Cumulative shares of rows of log weights, zeros for a row of nothing but -inf."""
    peak = log_weights.max(axis=1, keepdims=True)
    weights = np.exp(log_weights - np.where(np.isfinite(peak), peak, 0.0))
    sums = np.cumsum(weights, axis=1)
    shares: FloatArray = np.divide(sums, sums[:, -1:], out=np.zeros_like(sums), where=sums[:, -1:] > 0)
    return shares


def _draw(cumulative: FloatArray, rng: np.random.Generator) -> int:
    if cumulative[-1] == 0:
        raise UsageError(
            "E-TEMPORAL-025: the sample came to a state that nothing may follow, expected a row of transitions and of "
            "durations with some probability for each state that can be reached"
        )
    return min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(cumulative) - 1)
