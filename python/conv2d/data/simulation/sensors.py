"""What real sensors make of a movement: gain, offset, drift, noise, and samples that are lost."""

import numpy as np
from numpy.typing import NDArray

from conv2d.data.simulation.animal import CHANNELS, SENSORS, Animal
from conv2d.data.simulation.curves import Array
from conv2d.data.simulation.parameters import Simulation
from conv2d.data.simulation.randomness import Effect, Streams

DRIFT_S = 10.0  # between the instants at which the random walk of an offset steps; a line in between


def draw_drift(duration_s: float, settings: Simulation, streams: Streams) -> Array:
    """What comes on top of the offsets, (9, 2, knots), at instants `DRIFT_S` apart from 0, where it is 0."""
    per_root_min = np.repeat([settings.acc_drift, settings.gyr_drift, settings.mag_drift], 3)[:, None, None]
    shape = (int(duration_s / DRIFT_S) + 2, len(CHANNELS), len(SENSORS))  # time first: a longer recording goes on
    walk = np.cumsum(np.moveaxis(streams.of(Effect.DRIFT).standard_normal(shape), 0, -1), axis=-1)
    walk -= walk[..., :1]
    return np.asarray(walk * np.sqrt(DRIFT_S / 60) * per_root_min)


def measure(
    signals: Array, t: Array, animal: Animal, s: int, drift: Array, settings: Simulation, noise: np.random.Generator
) -> NDArray[np.float32]:
    """What sensor ``s`` gives, (9, n), for ideal signals of that shape at the instants ``t``; ``drift`` (9, knots)."""
    sd = np.repeat([settings.acc_noise, settings.gyr_noise, settings.mag_noise], 3)
    at = DRIFT_S * np.arange(drift.shape[-1])
    samples = noise.standard_normal(signals.shape, np.float32)
    for c, ideal in enumerate(signals):
        shown = ideal * animal.gain[c, s] + animal.offset[c, s] + np.interp(t, at, drift[c])
        samples[c] = shown + sd[c] * samples[c]
    return samples


def draw_drop_outs(animal: Animal, duration_s: float, settings: Simulation, streams: Streams) -> list[Array]:
    """Per sensor the spans (k, 2) in seconds without samples, ordered by their start; they may overlap."""
    bursts, gaps, death = (streams.of(e) for e in (Effect.BURSTS, Effect.GAPS, Effect.DEATH))
    spans = []
    for s in range(len(SENSORS)):
        often = duration_s * animal.drop_outs[s]
        number = bursts.poisson(often * settings.burst_share / settings.burst_s) if settings.burst_share else 0
        starts = [bursts.uniform(0, duration_s, number)]
        lengths = [bursts.exponential(settings.burst_s, number)]
        number = gaps.poisson(often * settings.gaps_per_min / 60)
        starts.append(gaps.uniform(0, duration_s, number))
        lengths.append(gaps.uniform(*settings.gap_s, number))
        dies, at = death.uniform(size=2)
        if dies < settings.dead_share:
            # Half a second is left at least, since a sensor without any sample is no sensor.
            starts.append(np.array([max(at * duration_s, 0.5)]))
            lengths.append(np.array([duration_s]))
        start, length = np.concatenate(starts), np.concatenate(lengths)
        order = np.argsort(start)
        spans.append(np.column_stack([start, start + length])[order])
    return spans


def lost(spans: Array, t: Array) -> NDArray[np.bool_]:
    """Which instants ``t`` (increasing) fall into spans (k, 2), whose ends are exclusive."""
    change = np.zeros(len(t) + 1, np.int64)
    np.add.at(change, np.searchsorted(t, spans[:, 0]), 1)
    np.add.at(change, np.searchsorted(t, spans[:, 1]), -1)
    inside: NDArray[np.bool_] = np.cumsum(change[:-1]) > 0
    return inside
