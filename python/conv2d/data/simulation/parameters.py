"""Everything that a simulation assumes, with its unit and its default."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from conv2d.errors import UsageError

SIZES = {"one_breed": (25.0, 0.15), "mixed": (22.0, 0.5)}  # median body mass in kg, s.d. of its logarithm
_SHARES = ("burst_share", "dead_share", "swapped_share", "missed_share", "late_share")
_PAIRS = ("gap_s", "unlabelled_s")


def _check(values: Any) -> None:
    for field in dataclasses.fields(values):
        value = getattr(values, field.name)
        if field.name == "sizes":
            if value not in SIZES:
                raise UsageError(f"E-SIM-001: sizes is {value!r}, expected {' or '.join(SIZES)}; name one of them")
            continue
        numbers = value if isinstance(value, tuple) else (value,)
        if any(isinstance(v, bool) or not isinstance(v, int | float) for v in numbers):
            raise UsageError(f"E-SIM-001: {field.name} is {value!r}, expected a number; give one")
        if (field.name != "boundary_bias_s" and any(v < 0 for v in numbers)) or not all(map(math.isfinite, numbers)):
            raise UsageError(f"E-SIM-001: {field.name} is {value!r}, expected 0 or more; give such a number")
        if field.name in _SHARES and value > 0.9:
            raise UsageError(f"E-SIM-001: {field.name} is {value!r}, expected a share from 0 to 0.9; give less")
        if field.name in _PAIRS and (len(numbers) != 2 or numbers[0] > numbers[1]):
            raise UsageError(f"E-SIM-001: {field.name} is {value!r}, expected the least and the most; give both")


@dataclass(frozen=True)
class Simulation:
    """What is assumed of animals, sensors and observers; the sources stand in ``docs/simulation.md``.

    Everything is 0 or more, except ``boundary_bias_s``. UsageError (E-SIM-001) names what is out of its range.

    Parameters
    ----------
    sizes
        Body masses: ``one_breed`` (log-normal, median 25 kg, 0.15) or ``mixed`` (median 22 kg, 0.5).
    stride_sd, vigour_sd
        Between animals of one mass: s.d. of the logarithm of the stride frequency, and of amplitudes.
    carriage_sd_deg
        Between animals: s.d. of the pitch of the neck.
    pace_sd, intensity_sd
        From bout to bout: s.d. of the logarithm of the stride frequency, and of amplitudes.
    lag_sd_deg, lag_bout_sd_deg
        S.d. of the lag of the neck behind the back between animals and between bouts, in degrees of the cycle of the
        vertical acceleration, which has two a stride; its mean stands in `behavior_laws.MOTIONS`.
    asymmetry_sd
        S.d. between animals of the vertical acceleration at once a stride, relative to that at twice.
    mounting_sd_deg
        S.d. of yaw and pitch of both sensors and of the roll of the one on the back, cut at three s.d.
    collar_roll_sd_deg
        S.d. of the roll of the collar about the neck between animals, cut at two s.d.
    collar_drift_deg, collar_drift_min
        The collar turns about that roll in a stationary process (Ornstein-Uhlenbeck) of this s.d., which forgets in
        so many minutes of activity.
    slips_per_h
        Slips of the collar by 30 to 180 degrees, which last; an hour of activity has so many.
    acc_noise, gyr_noise, mag_noise
        S.d. of white noise per sample: m/s^2, rad/s, microtesla.
    gain_sd
        S.d. of each channel's gain about 1.
    acc_offset, gyr_offset, mag_offset
        S.d. of each channel's offset: m/s^2, rad/s, microtesla.
    acc_drift, gyr_drift, mag_drift
        The offsets' random walk: s.d. after one minute, growing with the root of time.
    burst_share, burst_s
        Bursts of missing samples: their share of time in the mean subject, where overlaps count twice, and their mean
        length (exponential).
    gaps_per_min, gap_s
        Longer drop-outs of a sensor: number in a minute, shortest and longest (uniform).
    drop_out_spread
        S.d. between subjects and sensors of the logarithm of how often drop-outs occur.
    dead_share
        Share of sensors that are silent from some time in the recording on.
    boundary_sd_s, boundary_bias_s, observer_sd_s
        Error of annotated boundaries: s.d. within a subject (cut at two s.d.), mean (positive is late), and s.d. of
        that mean between subjects, as each is annotated by somebody else.
    swapped_share
        Share of bouts of resting, standing, sniffing and walking that are given the label that looks most alike.
    missed_share
        Share of bouts below 1.5 s that are missed: they get the label of the bout before.
    unlabelled_per_min, unlabelled_s
        Spans that nobody annotated: number in a minute, shortest and longest (uniform).
    table_s
        At the end of each recording both sensors lie on a table for so long, a sixth of it on each face; unlabelled.

    Example
    -------
    >>> Simulation(sizes="mixed").levels(drift=0).acc_drift
    0.0
    """

    sizes: str = "one_breed"
    stride_sd: float = 0.09
    vigour_sd: float = 0.2
    carriage_sd_deg: float = 5.0
    pace_sd: float = 0.06
    intensity_sd: float = 0.25
    lag_sd_deg: float = 20.0
    lag_bout_sd_deg: float = 10.0
    asymmetry_sd: float = 0.05
    mounting_sd_deg: float = 5.0
    collar_roll_sd_deg: float = 20.0
    collar_drift_deg: float = 6.0
    collar_drift_min: float = 3.0
    slips_per_h: float = 0.0
    acc_noise: float = 0.03
    gyr_noise: float = 0.005
    mag_noise: float = 0.6
    gain_sd: float = 0.015
    acc_offset: float = 0.15
    gyr_offset: float = 0.02
    mag_offset: float = 1.5
    acc_drift: float = 0.01
    gyr_drift: float = 0.002
    mag_drift: float = 0.2
    burst_share: float = 0.005
    burst_s: float = 0.06
    gaps_per_min: float = 0.3
    gap_s: tuple[float, float] = (0.5, 3.0)
    drop_out_spread: float = 0.5
    dead_share: float = 0.0
    boundary_sd_s: float = 0.2
    boundary_bias_s: float = 0.1
    observer_sd_s: float = 0.1
    swapped_share: float = 0.02
    missed_share: float = 0.0
    unlabelled_per_min: float = 0.8
    unlabelled_s: tuple[float, float] = (2.0, 8.0)
    table_s: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is out of its range."""
        _check(self)
        if self.burst_share and not self.burst_s:
            raise UsageError("E-SIM-001: burst_s is 0, expected more where burst_share is; give a length or no share")
        if not self.collar_drift_min:
            raise UsageError("E-SIM-001: collar_drift_min is 0, expected more; set collar_drift_deg to 0 instead")

    def levels(self, *, label_noise: float = 1.0, drift: float = 1.0, drop_outs: float = 1.0) -> "Simulation":
        """The same with whole groups of parameters multiplied; 0 switches a group off.

        ``label_noise``: boundaries, swapped and missed bouts. ``drift``: offsets and collar. ``drop_outs``: bursts,
        gaps and silent sensors.
        """
        groups = {
            "label_noise": (
                label_noise,
                ("boundary_sd_s", "boundary_bias_s", "observer_sd_s", "swapped_share", "missed_share"),
            ),
            "drift": (drift, ("acc_drift", "gyr_drift", "mag_drift", "collar_drift_deg", "slips_per_h")),
            "drop_outs": (drop_outs, ("burst_share", "gaps_per_min", "dead_share")),
        }
        changed: dict[str, Any] = {}
        for name, (factor, fields) in groups.items():
            if not (math.isfinite(factor) and factor >= 0):
                raise UsageError(f"E-SIM-001: {name} is {factor!r}, expected 0 or more; give such a factor")
            changed.update({f: getattr(self, f) * factor for f in fields})
        return dataclasses.replace(self, **changed)


@dataclass(frozen=True)
class Clocks:
    """What is assumed of the clocks and radios of raw files; UsageError (E-SIM-001) where one is out of its range.

    Parameters
    ----------
    neck_rate_hz, back_rate_hz
        Nominal samples per second of each sensor, 10 or more.
    rate_sd
        S.d. of a sensor's true rate about its nominal one, relative.
    offset_s
        A device's clock begins within so many seconds of the host's (uniform).
    drift_ppm
        S.d. of a device clock's error in rate, parts per million.
    temperature_k
        The sensors' temperature swings by so many kelvin about 25 degrees in four hours; their quartz loses 0.034 ppm
        for each square kelvin.
    resets_per_h
        Restarts of a device's clock from 0 in an hour.
    least_s, lateness_s
        Time from sample to host stamp: its least, and the mean of what comes on top (exponential).
    late_share, late_s
        Share of samples that are held back together, and for how long at most.
    """

    neck_rate_hz: float = 104.0
    back_rate_hz: float = 100.0
    rate_sd: float = 0.003
    offset_s: float = 2.0
    drift_ppm: float = 20.0
    temperature_k: float = 10.0
    resets_per_h: float = 0.0
    least_s: float = 0.002
    lateness_s: float = 0.008
    late_share: float = 0.05
    late_s: float = 0.4

    def __post_init__(self) -> None:
        """Refuse what is out of its range."""
        _check(self)
        if min(self.neck_rate_hz, self.back_rate_hz) < 10:
            raise UsageError(
                f"E-SIM-001: raw sensors have {self.neck_rate_hz:g} and {self.back_rate_hz:g} Hz, expected 10 or more; "
                "give higher rates"
            )
        if self.rate_sd > 0.02:
            raise UsageError(f"E-SIM-001: rate_sd is {self.rate_sd!r}, expected 0 to 0.02; give less")
        if self.late_share and not self.late_s:
            raise UsageError("E-SIM-001: late_s is 0, expected more where late_share is; give a time or no share")
