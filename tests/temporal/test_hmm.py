"""The HMM is the HSMM with geometric durations: same interface, same answers where both apply."""

import json

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.temporal import HMM


def viterbi(log_initial, log_transitions, emissions):
    """Plain Viterbi in numpy."""
    best = log_initial + emissions[0]
    back = []
    for row in emissions[1:]:
        step = best[:, None] + log_transitions
        back.append(step.argmax(axis=0))
        best = step.max(axis=0) + row
    path = [int(best.argmax())]
    for pointers in reversed(back):
        path.append(int(pointers[path[-1]]))
    return np.array(path[::-1]), best.max()


def forward(log_initial, log_transitions, emissions):
    """Filtered probabilities in linear space."""
    rows = []
    p = np.exp(log_initial)
    for number, row in enumerate(emissions):
        p = (p if number == 0 else p @ np.exp(log_transitions)) * np.exp(row)
        p = p / p.sum()
        rows.append(p)
    return np.array(rows)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_decoding_and_filtering_are_the_textbooks(k):
    rng = np.random.default_rng(k)
    model = HMM(k, 0.5, emission_weight=0.4).fit([np.repeat(rng.integers(0, k, 20), rng.integers(1, 9, 20))])
    log_proba = np.log(rng.dirichlet(np.ones(k), 80))
    emissions = model.emissions(log_proba)
    ended = emissions.copy()
    ended[-1] += model.log_final_
    path, score = viterbi(model.log_initial_, model.log_transitions_, ended)
    decoded = model.decode(log_proba)
    np.testing.assert_array_equal(decoded.labels, path)
    assert decoded.score == pytest.approx(score)
    np.testing.assert_allclose(
        model.filter(log_proba), forward(model.log_initial_, model.log_transitions_, emissions), atol=1e-9
    )
    np.testing.assert_allclose(np.exp(model.log_transitions_).sum(axis=1), 1)


def test_the_chance_to_stay_comes_from_the_time_at_risk():
    rng = np.random.default_rng(0)
    recordings = []
    for _ in range(200):
        labels = np.repeat(np.arange(60) % 2, rng.geometric(np.tile([1 / 8, 1 / 25], 30)))
        recordings.append(labels[200:500])
    stay = np.exp(np.diagonal(HMM(2, 1.0).fit(recordings).log_transitions_))
    np.testing.assert_allclose(1 / (1 - stay), [8, 25], rtol=0.05)


def test_stored_and_read_back():
    model = HMM(3, 0.5).fit([[0, 0, 1, 1, 2, 2, 0]], groups=["s"])
    again = HMM.from_dict(json.loads(json.dumps(model.to_dict(), allow_nan=False)))
    assert again.to_dict() == model.to_dict()
    scores = np.log(np.random.default_rng(0).dirichlet(np.ones(3), 20))
    assert again.decode(scores).score == model.decode(scores).score
    with pytest.raises(UsageError, match="unexpected keyword argument 'durations'"):
        HMM.from_dict(model.to_dict() | {"params": {"n_states": 3, "frame_s": 1.0, "durations": "poisson"}})
