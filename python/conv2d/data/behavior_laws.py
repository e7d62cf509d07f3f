"""The laws that simulated animals follow: how long each behaviour lasts, what follows it, and how it moves.

They are written here, apart from the simulator, so that tests and documentation can compare what was fitted with what
is true.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

BEHAVIORS = ("resting", "standing", "sniffing", "walking", "trotting", "shaking")
STEP_S = 0.1  # unit of the negative binomial laws


@dataclass(frozen=True)
class DurationLaw:
    """Seconds of a bout: ``shortest_s`` plus a random part, so that the whole has mean ``mean_s`` and s.d. ``sd_s``.

    The random part is gamma distributed, or 0.1 s times a negative binomial count (variance above the mean).

    >>> bool(DURATIONS["shaking"].sample(np.random.default_rng(0), 1000).min() > DURATIONS["shaking"].shortest_s)
    True
    """

    kind: Literal["gamma", "negative_binomial"]
    mean_s: float
    sd_s: float
    shortest_s: float

    def sample(self, rng: np.random.Generator, size: int) -> NDArray[np.float64]:
        """Draw ``size`` durations in seconds."""
        mean, variance = self.mean_s - self.shortest_s, self.sd_s**2
        if self.kind == "gamma":
            random_s: NDArray[np.floating[Any]] = rng.gamma(mean**2 / variance, variance / mean, size)
        else:
            mean, variance = mean / STEP_S, variance / STEP_S**2
            random_s = STEP_S * rng.negative_binomial(mean**2 / (variance - mean), mean / variance, size)
        return np.asarray(self.shortest_s + random_s, np.float64)


DURATIONS = {
    "resting": DurationLaw("gamma", mean_s=22.0, sd_s=9.0, shortest_s=5.0),
    "standing": DurationLaw("negative_binomial", mean_s=7.0, sd_s=3.5, shortest_s=1.5),
    "sniffing": DurationLaw("negative_binomial", mean_s=6.0, sd_s=3.0, shortest_s=1.5),
    "walking": DurationLaw("gamma", mean_s=11.0, sd_s=4.5, shortest_s=2.5),
    "trotting": DurationLaw("gamma", mean_s=8.0, sd_s=3.0, shortest_s=2.0),
    "shaking": DurationLaw("gamma", mean_s=2.2, sd_s=0.5, shortest_s=1.2),
}

# Row: from, column: to, in the order of BEHAVIORS. No bout follows one of its own kind.
TRANSITIONS = np.array(
    [
        [0.00, 0.65, 0.10, 0.00, 0.00, 0.25],
        [0.22, 0.00, 0.28, 0.33, 0.10, 0.07],
        [0.05, 0.30, 0.00, 0.50, 0.10, 0.05],
        [0.00, 0.28, 0.37, 0.00, 0.33, 0.02],
        [0.00, 0.18, 0.20, 0.60, 0.00, 0.02],
        [0.20, 0.45, 0.10, 0.20, 0.05, 0.00],
    ]
)
TRANSITIONS.flags.writeable = False


@dataclass(frozen=True)
class Motion:
    """How a behaviour moves. Angles in degrees, accelerations in m/s^2, rates in Hz, turns in degrees per second.

    Rates and amplitudes are those of an animal of `REFERENCE_KG`.
    """

    neck_pitch: float  # mean, nose up
    pitch_sd: float  # from bout to bout
    roll_sd: float  # from bout to bout
    fidget: float  # s.d. of slow irregular changes of posture within a bout, neck; the back has a third
    step_hz: float = 0.0  # strides per second
    step_acc: float = 0.0  # amplitude of the vertical acceleration on the back, twice per stride
    second: float = 0.0  # share of that amplitude at four times per stride: the four beats of a walk
    neck_gain: float = 1.0  # vertical acceleration of the neck over that of the back
    lag: float = 0.0  # of the neck behind the back, in degrees of the cycle of the vertical, two of which are a stride
    wander: float = 0.0  # s.d. of slow irregular changes of that lag within a bout
    sway: float = 0.0  # amplitude of roll and yaw, once per stride
    turn: float = 0.0  # s.d. of the rate of turning
    sniff_acc: float = 0.0  # amplitude of the quick head movements of sniffing
    shake: float = 0.0  # amplitude of the roll when shaking


# Resting and standing differ by little but posture, and sniffing animals take slow steps: the classes are not trivial.
# The head nods behind the trunk in a walk and is held stiffly in a trot; a sniffing head goes its own way.
MOTIONS = {
    "resting": Motion(neck_pitch=12, pitch_sd=11, roll_sd=10, fidget=3),
    "standing": Motion(neck_pitch=27, pitch_sd=9, roll_sd=4, fidget=6, turn=6),
    "sniffing": Motion(
        neck_pitch=-18, pitch_sd=12, roll_sd=5, fidget=9, step_hz=1.2, step_acc=0.7, second=0.25, lag=90, wander=180,
        sway=2, turn=20, sniff_acc=0.5,
    ),
    "walking": Motion(
        neck_pitch=14, pitch_sd=9, roll_sd=4, fidget=5, step_hz=1.6, step_acc=1.7, second=0.25, neck_gain=1.2, lag=90,
        wander=10, sway=4, turn=22,
    ),
    "trotting": Motion(
        neck_pitch=18, pitch_sd=8, roll_sd=4, fidget=4, step_hz=2.2, step_acc=5.0, second=0.1, lag=15, wander=5, sway=4,
        turn=18,
    ),
    "shaking": Motion(neck_pitch=8, pitch_sd=9, roll_sd=5, fidget=5, shake=22),
}  # fmt: skip

REFERENCE_KG = 25.0
SHAKE_HZ = 4.5  # of an animal of REFERENCE_KG
STRIDE_POWER, SHAKE_POWER = -0.15, -0.22  # of the body mass
BREATH_PER_MIN, BREATH_POWER = 53.5, -0.26  # of an animal of 1 kg

# What a swapped bout is taken for: behaviours that look alike. Nobody takes a trot or a shake for something else.
ALIKE = {"resting": "standing", "standing": "resting", "sniffing": "walking", "walking": "sniffing"}
