"""What an observer writes down: boundaries some tenths of a second off, bouts taken for others, spans left out."""

from dataclasses import dataclass

import numpy as np

from conv2d.data.behavior_laws import ALIKE, BEHAVIORS
from conv2d.data.simulation.animal import Animal
from conv2d.data.simulation.bouts import Integers
from conv2d.data.simulation.curves import Array
from conv2d.data.simulation.movement import Bouts
from conv2d.data.simulation.parameters import Simulation
from conv2d.data.simulation.randomness import Effect, Streams

SHORT_S = 1.5  # bouts below may be missed
_ALIKE = np.array([BEHAVIORS.index(ALIKE.get(b, b)) for b in BEHAVIORS])


@dataclass(frozen=True)
class Annotation:
    """The labels of a recording and how they differ from the truth."""

    labels: Integers  # (n,) into BEHAVIORS, -1 where nobody annotated
    given: Integers  # (bouts,) what each bout was taken for
    shift_s: Array  # (bouts,) by how much the end of each was annotated late; 0 for the last
    missed: Integers  # bouts that were taken for a part of the one before
    unlabelled_s: Array  # (k, 2) spans, in seconds


def annotate(
    animal: Animal, bouts: Bouts, n: int, rate_hz: float, settings: Simulation, streams: Streams
) -> Annotation:
    """Annotate ``n`` samples. Boundaries stay in order; a bout whose ends cross vanishes from the labels."""
    m, seconds = len(bouts.behaviors), n / rate_hz
    jitter = np.clip(streams.of(Effect.BOUNDARIES).standard_normal(m), -2, 2)
    shift = animal.observer_s + settings.boundary_sd_s * jitter
    shift[-1] = 0.0
    seen = np.clip(np.round((bouts.ends_s + shift) * rate_hz).astype(np.int64), 0, n)
    seen[-1] = n

    swapped = streams.of(Effect.SWAPS).uniform(size=m) < settings.swapped_share
    given = np.where(swapped, _ALIKE[bouts.behaviors], bouts.behaviors)
    short = np.diff(bouts.ends_s, prepend=0.0) < SHORT_S
    missed = short & (streams.of(Effect.MISSED).uniform(size=m) < settings.missed_share)
    missed[0] = False
    for i in np.flatnonzero(missed):
        given[i] = given[i - 1]
    labels = np.repeat(given, np.diff(np.maximum.accumulate(seen), prepend=0))

    spans = streams.of(Effect.UNLABELLED)
    number = spans.poisson(settings.unlabelled_per_min * seconds / 60)
    starts = np.sort(spans.uniform(0, seconds, number))
    ends = np.minimum(starts + spans.uniform(*settings.unlabelled_s, number), seconds)
    if settings.table_s:
        starts, ends = np.append(starts, max(seconds - settings.table_s, 0)), np.append(ends, seconds)
    unlabelled = np.column_stack([starts, ends])
    for start, end in np.round(unlabelled * rate_hz).astype(np.int64):
        labels[start:end] = -1
    return Annotation(labels, given, shift, np.flatnonzero(missed), unlabelled)
