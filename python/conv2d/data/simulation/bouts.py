"""The bouts of a recording: which behaviour, until when."""

import numpy as np
from numpy.typing import NDArray

from conv2d.data.behavior_laws import BEHAVIORS, DURATIONS, TRANSITIONS

Integers = NDArray[np.int64]
_SCRIPT_S = 8.0  # seconds of a scripted recording for each bout of the script


def draw_bouts(rng: np.random.Generator, n: int, rate_hz: float) -> tuple[Integers, Integers]:
    """Behaviours and ends (samples, exclusive) of the bouts that fill ``n`` samples; both ends cut a bout.

    Cost: O(bouts).
    """
    behaviors: list[int] = []
    ends: list[int] = []
    # Time, not bouts, is cut at random: the first behaviour has the share of time that it takes in the long run.
    mean_s = np.array([DURATIONS[b].mean_s for b in BEHAVIORS])
    visits = np.linalg.matrix_power(TRANSITIONS, 64)[0]
    state = int(rng.choice(len(BEHAVIORS), p=visits * mean_s / (visits @ mean_s)))
    at = 0.0
    while not ends or ends[-1] < n:
        duration = DURATIONS[BEHAVIORS[state]].sample(rng, 1)[0] * rate_hz
        at += duration * (rng.uniform(0.1, 1.0) if not behaviors else 1.0)
        behaviors.append(state)
        ends.append(min(round(at), n))
        state = int(rng.choice(len(BEHAVIORS), p=TRANSITIONS[state]))
    return np.array(behaviors), np.array(ends)


def draw_scripted_bouts(
    script: np.random.Generator, rng: np.random.Generator, n: int, rate_hz: float
) -> tuple[Integers, Integers]:
    """Bouts in an order that ``script`` gives, the same for every recording; ``rng`` gives their lengths alone.

    The lengths are drawn from their laws and stretched together, so that the whole script fills ``n`` samples.
    """
    count = int(np.clip(n / rate_hz / _SCRIPT_S, 4, 20))
    behaviors = [int(script.integers(len(BEHAVIORS)))]
    while len(behaviors) < count:
        behaviors.append(int(script.choice(len(BEHAVIORS), p=TRANSITIONS[behaviors[-1]])))
    lengths = np.array([DURATIONS[BEHAVIORS[b]].sample(rng, 1)[0] for b in behaviors])
    ends = np.round(np.cumsum(lengths) * n / lengths.sum()).astype(np.int64)
    return np.array(behaviors), ends
