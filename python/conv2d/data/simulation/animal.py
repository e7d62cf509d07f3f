"""What makes one subject differ from the others: its body, how it wears the sensors, and who watches it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conv2d.data.behavior_laws import (
    BEHAVIORS,
    BREATH_PER_MIN,
    BREATH_POWER,
    MOTIONS,
    REFERENCE_KG,
    SHAKE_HZ,
    SHAKE_POWER,
    STRIDE_POWER,
)
from conv2d.data.simulation.parameters import SIZES, Simulation
from conv2d.data.simulation.randomness import Effect, Streams

SENSORS = ("neck", "back")
CHANNELS = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z", "mag_x", "mag_y", "mag_z")
UNITS = {"acc": "m/s^2, gravity included", "gyr": "rad/s", "mag": "microtesla"}
_AXIS_SD_DEG = 15.0  # between animals: phases of the axes of one sensor against each other

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Animal:
    """One subject with its sensors; drawn once, from generators of its own.

    Sensors come in the order of `SENSORS`, channels in that of `CHANNELS`, behaviours in that of `BEHAVIORS`.
    """

    mass_kg: float
    stride: float  # factor on the rates of its gaits, its mass included
    vigour: float  # factor on accelerations and amplitudes
    carriage_deg: float  # added to the pitch of the neck
    shake_hz: float
    breath_hz: float
    lag_deg: Array  # (behaviors,) of the neck behind the back, in degrees of the cycle of the vertical
    axis_phase: Array  # (2, 3) radians, added to the phases of pitch and fore-aft, roll and lateral, yaw
    asymmetry: float  # vertical acceleration at once a stride over that at twice
    mounting: Array  # (2, 3, 3) rotation from body to sensor, without the roll below
    roll_deg: Array  # (2,) of each sensor about the body's long axis
    gain: Array  # (9, 2)
    offset: Array  # (9, 2) in the unit of each channel
    observer_s: float  # by how much its boundaries are annotated late
    drop_outs: Array  # (2,) factor on how often each sensor's signal is lost


def draw_animal(settings: Simulation, streams: Streams) -> Animal:
    """Draw a subject; whether one group of parameters is 0 does not change what else is drawn."""
    body, gait = streams.of(Effect.BODY), streams.of(Effect.GAIT)
    median, spread = SIZES[settings.sizes]
    mass = median * float(np.exp(spread * body.standard_normal()))
    stride = float(np.exp(settings.stride_sd * body.standard_normal()))
    size = mass / REFERENCE_KG

    angles = streams.of(Effect.MOUNTING)
    tilt = settings.mounting_sd_deg * np.clip(angles.standard_normal((2, 3)), -3, 3)
    collar = settings.collar_roll_sd_deg * np.clip(angles.standard_normal(), -2, 2)
    upright = [rotation([0, 0, 1], np.deg2rad(yaw)) @ rotation([0, 1, 0], np.deg2rad(pitch)) for yaw, pitch, _ in tilt]

    sensors = streams.of(Effect.CALIBRATION)
    offset_sd = np.repeat([settings.acc_offset, settings.gyr_offset, settings.mag_offset], 3)[:, None]
    lag = np.array([MOTIONS[b].lag for b in BEHAVIORS])
    spread_of_loss = settings.drop_out_spread
    return Animal(
        mass_kg=mass,
        stride=stride * size**STRIDE_POWER,
        vigour=float(np.exp(settings.vigour_sd * body.standard_normal())),
        carriage_deg=settings.carriage_sd_deg * float(body.standard_normal()),
        shake_hz=SHAKE_HZ * size**SHAKE_POWER,
        breath_hz=BREATH_PER_MIN / 60 * mass**BREATH_POWER,
        lag_deg=lag + settings.lag_sd_deg * gait.standard_normal(len(BEHAVIORS)),
        axis_phase=np.deg2rad(_AXIS_SD_DEG) * gait.standard_normal((2, 3)),
        asymmetry=settings.asymmetry_sd * float(gait.standard_normal()),
        mounting=np.stack(upright),
        roll_deg=np.array([collar, tilt[1, 2]]),
        gain=1 + settings.gain_sd * sensors.standard_normal((9, 2)),
        offset=offset_sd * sensors.standard_normal((9, 2)),
        observer_s=settings.boundary_bias_s
        + settings.observer_sd_s * float(streams.of(Effect.OBSERVER).standard_normal()),
        # A log-normal factor with mean 1.
        drop_outs=np.exp(spread_of_loss * streams.of(Effect.RADIO).standard_normal(2) - spread_of_loss**2 / 2),
    )


def mounting_matrices(animal: Animal) -> Array:
    """Rotations (2, 3, 3) from the axes of the body (x ahead, y left, z up) to those of each sensor, roll included."""
    return np.stack(
        [m @ rotation([1, 0, 0], -np.deg2rad(r)) for m, r in zip(animal.mounting, animal.roll_deg, strict=True)]
    )


def rotation(axis: Array | list[int], angle: float) -> Array:
    """Rotation matrix (3, 3) about a unit axis by ``angle`` radians (Rodrigues).

    >>> rotation(np.array([0.0, 0.0, 1.0]), np.pi / 2).round(6) @ [1.0, 0.0, 0.0]
    array([0., 1., 0.])
    """
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    turned: Array = np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)
    return turned
