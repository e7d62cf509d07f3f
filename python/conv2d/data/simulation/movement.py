"""How a body moves through its bouts, and what ideal sensors on it would read.

Every curve is exact at any instant (`curves`), so that the same animal can be sampled at any rate.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conv2d.data.behavior_laws import BEHAVIORS, MOTIONS
from conv2d.data.simulation.animal import CHANNELS, SENSORS, Animal
from conv2d.data.simulation.bouts import Integers
from conv2d.data.simulation.curves import Array, cycles, irregular, slope, steps
from conv2d.data.simulation.parameters import Simulation
from conv2d.data.simulation.randomness import Effect, Streams
from conv2d.data.units import GRAVITY

_FIELD = np.array([20.0, 0.0, -45.0])  # earth's field, microtesla: north, west, up
_SLIP_S = 0.3  # seconds of activity that a slip takes
_FACES_DEG = np.array([(0.0, 0.0), (90.0, 0.0), (-90.0, 0.0), (0.0, 90.0), (0.0, -90.0), (0.0, 180.0)])  # pitch, roll


@dataclass(frozen=True)
class Bouts:
    """The bouts of a recording and what was drawn for each of them; arrays of one value per bout."""

    behaviors: Integers  # into BEHAVIORS
    ends_s: Array
    intensity: Array  # factor on amplitudes
    stride_hz: Array  # 0 where the behaviour is no gait
    lag_deg: Array  # of the neck behind the back, in degrees of the cycle of the vertical
    shake_hz: Array  # of the roll when shaking

    @property
    def starts_s(self) -> Array:
        """Where each begins, in seconds."""
        return np.concatenate([[0.0], self.ends_s[:-1]])

    def of(self, field: str) -> Array:
        """A field of `MOTIONS` for each bout."""
        table = np.array([float(getattr(MOTIONS[b], field)) for b in BEHAVIORS])
        return table[self.behaviors]


@dataclass(frozen=True)
class Movement:
    """What ideal sensors read, and the truth behind it, over ``n`` instants."""

    signals: Array  # (9, 2, n) by CHANNELS and SENSORS: m/s^2, rad/s, microtesla
    stride_phase: NDArray[np.float32]  # (2, n) radians in [0, 2 pi), NaN outside of gaits
    pitch_deg: NDArray[np.float32]  # (2, n) of the body under each sensor
    roll_deg: NDArray[np.float32]  # (2, n) of the body under each sensor
    turned_deg: NDArray[np.float32]  # (2, n) roll of each sensor about the body's long axis


def pace_bouts(animal: Animal, behaviors: Integers, ends_s: Array, settings: Simulation, streams: Streams) -> Bouts:
    """Draw for each bout how fast and how vigorous it is, and how far the neck lags."""
    rng = streams.of(Effect.BOUT_GAIT)
    intensity, pace, lag = rng.standard_normal((3, len(behaviors)))
    step_hz = np.array([MOTIONS[b].step_hz for b in BEHAVIORS])[behaviors]
    return Bouts(
        behaviors,
        ends_s,
        intensity=animal.vigour * np.exp(settings.intensity_sd * intensity),
        stride_hz=step_hz * animal.stride * np.exp(settings.pace_sd * pace),
        lag_deg=animal.lag_deg[behaviors] + settings.lag_bout_sd_deg * lag,
        shake_hz=animal.shake_hz * np.exp(settings.pace_sd * pace),
    )


def move(animal: Animal, bouts: Bouts, rate_hz: float, n: int, settings: Simulation, streams: Streams) -> Movement:
    """Sample the animal at ``n`` instants from 0 on; the bouts must reach as far.

    Cost: O(n), about 0.4 us per instant and channel.
    """
    t, duration, ends = np.arange(n) / rate_hz, float(bouts.ends_s[-1]), bouts.ends_s
    postures, curves = streams.of(Effect.POSTURE), streams.of(Effect.CURVES)

    def track(values: Array) -> Array:
        return steps(values, ends, t)

    def wave(period_s: float) -> Array:
        return irregular(t, period_s, duration, curves)

    intensity = bouts.intensity
    stride = 2 * np.pi * cycles(bouts.stride_hz, ends, t) + 0.3 * wave(1.0)
    lag = np.deg2rad(track(bouts.lag_deg) + track(bouts.of("wander")) * wave(1.5))
    step, sway = track(bouts.of("step_acc") * intensity), track(bouts.of("sway") * intensity)
    second, neck_gain = track(bouts.of("second")), track(bouts.of("neck_gain"))
    shake = track(bouts.of("shake") * intensity) * np.sin(2 * np.pi * cycles(bouts.shake_hz, ends, t))
    sniff = track(bouts.of("sniff_acc") * intensity) * (0.5 + np.abs(wave(0.8)))
    sniffs = 2 * np.pi * 5.0 * t + 1.5 * wave(0.5)
    breath = 0.05 * np.sin(2 * np.pi * animal.breath_hz * t)
    fidget = track(bouts.of("fidget"))
    turning = np.deg2rad(track(bouts.of("turn"))) * wave(1.5)
    heading = np.cumsum(turning) / rate_hz + postures.uniform(0, 2 * np.pi)
    lean, up, level = postures.standard_normal((3, len(intensity)))
    turned = _turned(animal, bouts, t, settings, streams)
    table, faces = _on_table(t, duration, settings, streams)

    gait = (bouts.stride_hz > 0)[np.minimum(np.searchsorted(ends, t, side="right"), len(ends) - 1)]
    moved = Movement(
        np.empty((len(CHANNELS), len(SENSORS), n)), *(np.empty((len(SENSORS), n), np.float32) for _ in range(4))
    )
    for s, sensor in enumerate(SENSORS):
        neck = sensor == "neck"
        px, py, pz = animal.axis_phase[s]
        slow = [fidget * wave(0.9) * (1.0 if neck else 1 / 3) for _ in range(3)]
        phase = stride - lag / 2 if neck else stride
        cos1, sin1 = np.cos(phase), np.sin(phase)
        cos2, sin2 = 2 * cos1**2 - 1, 2 * sin1 * cos1
        ahead = sin2 * np.cos(px) + cos2 * np.sin(px)
        across = sin1 * np.cos(py) + cos1 * np.sin(py)
        posture = (up if neck else 0.3 * level) * bouts.of("pitch_sd")
        carried = bouts.of("neck_pitch") + animal.carriage_deg if neck else np.zeros(len(intensity))
        pitch = track(carried + posture) + slow[0] + 0.4 * sway * ahead
        roll = track(lean * bouts.of("roll_sd") * (0.7 if neck else 1.0)) + slow[1] + sway * across
        roll += shake * (1.0 if neck else 0.7)
        yaw = np.rad2deg(heading) + (2.0 if neck else 0.3) * slow[2]
        yaw += 0.5 * sway * (cos1 * np.cos(pz) - sin1 * np.sin(pz))
        vertical = step * (cos2 + second * (2 * cos2**2 - 1) + animal.asymmetry * cos1)
        linear = np.stack([0.55 * step * ahead, 0.45 * step * across, neck_gain * vertical if neck else vertical])
        if neck:
            linear[0] += 0.6 * sniff * np.sin(sniffs)
            linear[2] += sniff * np.cos(sniffs)
        else:
            linear[2] += breath
        if table is not None:
            pitch += table * (faces[s, 0] - pitch)
            roll += table * (faces[s, 1] - roll)
            yaw += table * (yaw[0] - yaw)
            linear *= 1 - table
        moved.pitch_deg[s], moved.roll_deg[s], moved.turned_deg[s] = pitch, roll, turned[s]
        moved.stride_phase[s] = np.where(gait, np.mod(phase, 2 * np.pi), np.nan)
        # A collar that rolls about the neck is a body that rolls further, felt in axes that have rolled with it.
        about = np.deg2rad(turned[s])
        c, z = np.cos(about), np.sin(about)
        linear[1], linear[2] = c * linear[1] + z * linear[2], c * linear[2] - z * linear[1]
        body = rigid_body(pitch, roll + turned[s], yaw, linear, rate_hz)
        for first in (0, 3, 6):
            moved.signals[first : first + 3, s] = animal.mounting[s] @ body[first : first + 3]
    return moved


def rigid_body(pitch: Array, roll: Array, yaw: Array, linear: Array, rate_hz: float) -> Array:
    """What ideal sensors on a body read: (9, n) specific force m/s^2, angular velocity rad/s, field in microtesla.

    Body axes are x ahead, y left, z up; angles (n,) in degrees turn the body by yaw about z, then pitch (nose up), then
    roll. ``linear`` (3, n) is acceleration in body axes, without gravity.
    """
    p, r, y = np.deg2rad(pitch), np.deg2rad(roll), np.deg2rad(yaw)
    dp, dr, dy = (slope(a, rate_hz) for a in (p, r, y))
    (sp, cp), (sr, cr) = (np.sin(p), np.cos(p)), (np.sin(r), np.cos(r))
    up = np.stack([sp, cp * sr, cp * cr])
    rates = dy * up + np.stack([dr, -dp * cr, dp * sr])
    ahead, left = _FIELD[0] * np.cos(y), -_FIELD[0] * np.sin(y)
    across, above = cp * ahead + sp * _FIELD[2], -sp * ahead + cp * _FIELD[2]
    field = np.stack([across, cr * left + sr * above, -sr * left + cr * above])
    return np.concatenate([GRAVITY * up + linear, rates, field])


def _turned(animal: Animal, bouts: Bouts, t: Array, settings: Simulation, streams: Streams) -> Array:
    """Roll of each sensor about the body's long axis in degrees, (2, n); a collar turns when its animal moves."""
    active = bouts.behaviors != BEHAVIORS.index("resting")
    run = cycles(active.astype(float), bouts.ends_s, t)
    duration = float(bouts.ends_s[-1])

    # A stationary Ornstein-Uhlenbeck process, exact at its knots, which lie 5 s of activity apart.
    normal = streams.of(Effect.COLLAR).standard_normal(int(duration / 5) + 3)
    keep = np.exp(-5 / (60 * settings.collar_drift_min))
    knots = np.empty(len(normal))
    knots[0] = normal[0]
    for i in range(1, len(knots)):
        knots[i] = keep * knots[i - 1] + np.sqrt(1 - keep**2) * normal[i]
    collar = settings.collar_drift_deg * np.interp(run, 5.0 * np.arange(len(knots)), knots)

    slips = streams.of(Effect.SLIPS)
    for _ in range(slips.poisson(settings.slips_per_h * duration / 3600)):
        at, angle, sign = slips.uniform(0, duration), slips.uniform(30, 180), slips.choice([-1, 1])
        collar += sign * angle * np.clip((run - at) / _SLIP_S, 0, 1)
    return np.stack([animal.roll_deg[0] + collar, np.full(len(t), animal.roll_deg[1])])


def _on_table(t: Array, duration: float, settings: Simulation, streams: Streams) -> tuple[Array | None, Array]:
    """How far each instant is on the table, 0 to 1, and pitch and roll there, (2, 2, n); None where there is none."""
    if not settings.table_s:
        return None, np.empty((len(SENSORS), 2, 0))
    begin = duration - settings.table_s
    ends: Array = begin + settings.table_s / 6 * np.arange(1.0, 7.0)
    tilts = 5 * streams.of(Effect.TABLE).standard_normal((len(SENSORS), 2, 6))
    poses: Array = _FACES_DEG.T + tilts
    there = steps(np.array([0.0, 1.0]), np.array([begin, duration]), t)
    return there, np.stack([[steps(values, ends, t) for values in sensor] for sensor in poses])
