"""Where chance comes from: a generator for each effect of each recording of each subject."""

from enum import IntEnum
from typing import NamedTuple

import numpy as np


class Effect(IntEnum):
    """What is left to chance. The numbers are part of the seed: they are never given anew."""

    BODY = 1
    GAIT = 2
    MOUNTING = 3
    CALIBRATION = 4
    OBSERVER = 5
    RADIO = 6
    DAY = 7
    BOUTS = 8
    BOUT_GAIT = 9
    POSTURE = 10
    CURVES = 11
    COLLAR = 12
    SLIPS = 13
    TABLE = 14
    DRIFT = 15
    NOISE = 16
    BURSTS = 17
    GAPS = 18
    BOUNDARIES = 19
    SWAPS = 20
    MISSED = 21
    UNLABELLED = 22
    SCRIPT = 23
    DEFECTS = 24
    CLOCK = 25
    RESETS = 26
    LATENESS = 27
    RAW_NOISE = 28
    DEATH = 29


class Streams(NamedTuple):
    """The generators of one recording of one subject; ``recording`` 0 stands for what is drawn once per subject.

    >>> bool(Streams(3, 0).of(Effect.BODY).random() == Streams(3, 0).of(Effect.BODY).random())
    True
    """

    seed: int
    subject: int
    recording: int = 0

    def of(self, effect: Effect) -> np.random.Generator:
        """A new generator of an effect, at its beginning."""
        # A spawn key keeps seed, subject and effect apart; a plain list of numbers runs them together where the seed
        # needs more than 32 bits, and counts zeros at its end for nothing.
        key = (self.subject, int(effect), self.recording)
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
