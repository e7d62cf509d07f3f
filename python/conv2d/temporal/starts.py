"""Where expectation-maximisation starts: frames clustered by the blocks that they lie in.

A block is a stretch much shorter than a segment, so most blocks lie in one state, and their averages tell states apart
better than single frames do. Seeds as in Arthur and Vassilvitskii, "k-means++", 2007.
"""

from collections.abc import Sequence

import numpy as np

from conv2d.temporal.protocol import BoolArray, FloatArray, IntArray

LLOYD_STEPS = 50
SHARPNESS = 0.9
"""How much of a frame belongs to the cluster of its block; the rest is spread, so that no state starts empty."""


def start_posteriors(
    features: FloatArray,
    lengths: Sequence[int],
    labels: IntArray,
    n_states: int,
    block: int,
    rng: np.random.Generator,
) -> FloatArray:
    """Shares (T, K) of the states in each frame, from k-means over averages of blocks; O(T F + blocks K F).

    Args:
        features: (T, F), rows with NaN are no data.
        lengths: frames of each recording; no block spans two.
        labels: (T,) int, the known state of a frame or below 0. A state with known frames is clustered around these.
        n_states: K.
        block: frames in a block.
        rng: what seeds are drawn with.
    """
    known = labels >= 0
    shares = np.full((len(features), n_states), (1 - SHARPNESS) / n_states)
    owner = np.concatenate([np.arange(n) // block for n in lengths]) if len(features) else np.empty(0, np.int64)
    starts = np.cumsum([0, *[-(-n // block) for n in lengths]])[:-1]
    owner = owner + np.repeat(starts, lengths)
    has_data: BoolArray = np.asarray(~np.isnan(features).any(axis=1))
    if has_data.any():
        spread = features[has_data].std(axis=0)
        scaled = np.where(has_data[:, None], features, 0.0) / np.where(spread > 0, spread, 1.0)
        n_blocks = int(owner[-1]) + 1
        counts = np.bincount(owner, weights=has_data, minlength=n_blocks)
        sums = np.stack([np.bincount(owner, weights=column, minlength=n_blocks) for column in scaled.T], axis=1)
        blocks = sums / np.maximum(counts, 1)[:, None]
        sure: IntArray = np.where(has_data, labels, -1)
        anchors = {int(state): scaled[sure == state].mean(axis=0) for state in np.unique(sure[sure >= 0])}
        centres = _cluster(blocks[counts > 0], anchors, n_states, rng)
        nearest = _distances(blocks, centres).argmin(axis=1)
        shares[np.arange(len(features)), nearest[owner]] += SHARPNESS
    else:
        shares += SHARPNESS / n_states
    shares[~has_data] = 0.0
    shares[known] = np.eye(n_states)[labels[known]]
    return shares


def mean_run(shares: FloatArray, lengths: Sequence[int]) -> float:
    """Mean frames of a run of one likeliest state, recordings apart."""
    states = shares.argmax(axis=1)
    ends = np.cumsum(lengths)
    changes = np.count_nonzero(np.diff(states)) - sum(
        states[end - 1] != states[end] for end in ends[:-1] if 0 < end < len(states)
    )
    return len(states) / max(1, int(changes) + sum(n > 0 for n in lengths))


def _cluster(points: FloatArray, anchors: dict[int, FloatArray], n_states: int, rng: np.random.Generator) -> FloatArray:
    """Centres (K, F): those of anchored states stay, the others are found by k-means."""
    centres = np.zeros((n_states, points.shape[1]))
    placed = sorted(anchors)
    for state in placed:
        centres[state] = anchors[state]
    free = [state for state in range(n_states) if state not in anchors]
    for state in free:
        if not placed:
            centres[state] = points[rng.integers(len(points))]
        else:
            nearest = _distances(points, centres[placed]).min(axis=1)
            total = nearest.sum()
            # With fewer different points than states the rest start on top of each other.
            centres[state] = points[rng.choice(len(points), p=nearest / total if total > 0 else None)]
        placed = [*placed, state]
    for _ in range(LLOYD_STEPS):
        nearest = _distances(points, centres).argmin(axis=1)
        moved = centres.copy()
        for state in free:
            own = nearest == state
            if own.any():
                moved[state] = points[own].mean(axis=0)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def _distances(points: FloatArray, centres: FloatArray) -> FloatArray:
    """Squared distances (N, K)."""
    out: FloatArray = np.stack([np.square(points - centre).sum(axis=1) for centre in centres], axis=1)
    return out
