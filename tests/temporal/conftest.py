"""A semi-Markov world with known laws, and noisy classifiers that look at it."""

import numpy as np
import pytest


def _timeline(rng, lengths, transitions, n_frames, state=None):
    """Labels (T,) of a semi-Markov chain met under way: ``lengths[k](rng)`` draws a length, rows of transitions."""
    labels = []
    state = rng.integers(len(lengths)) if state is None else state
    # A long run-in before the recording starts, so that its first segment is cut anywhere.
    while len(labels) < n_frames + 2000:
        labels += [state] * lengths[state](rng)
        state = rng.choice(len(lengths), p=transitions[state])
    start = int(rng.integers(1000, 1900))
    return np.array(labels[start : start + n_frames])


def _noisy(rng, labels, n_classes, strength=1.0, correlation=0.9):
    """Log probabilities (T, K) whose errors last, as those of overlapping windows do."""
    noise = rng.normal(size=(len(labels), n_classes))
    for t in range(1, len(noise)):
        noise[t] = correlation * noise[t - 1] + (1 - correlation**2) ** 0.5 * noise[t]
    logits = strength * np.eye(n_classes)[labels] + noise
    return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


@pytest.fixture
def timeline():
    return _timeline


@pytest.fixture
def noisy():
    return _noisy


@pytest.fixture
def world():
    """Three states with regular lengths of about 12, 30 and 60 frames and a preferred order."""
    lengths = [
        lambda rng: 1 + int(rng.negative_binomial(20, 20 / (20 + 11))),
        lambda rng: 1 + int(rng.negative_binomial(20, 20 / (20 + 29))),
        lambda rng: 1 + int(rng.negative_binomial(20, 20 / (20 + 59))),
    ]
    transitions = np.array([[0.0, 0.8, 0.2], [0.1, 0.0, 0.9], [0.7, 0.3, 0.0]])
    return lengths, transitions
