"""Gravity as a yardstick: units, scales of sensors, days and subjects, and the gain at rest."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, named, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream, Vector
from conv2d.data.audit.stretches import blocks
from conv2d.data.units import GRAVITY, RADIANS

FACTOR = 1.5
"""Times one g that no movement gives: its mean over a second is gravity, and the median of its length is near it."""

MANY = 3
"""Recordings that must agree, unless they are all of a subject's day or another sensor on it says otherwise."""

LEAST_S = 2.0
"""Seconds with values that a recording needs to have a say; the mean over less is movement."""

GAIN = 0.02
GAIN_STILL_G = 0.03
"""Standard deviation of the length within a second, below which the sensor is at rest."""

GAIN_BLOCKS = 5
GYR_FACTOR, GYR_UNIT, GYR_CLASSES = 5.0, 20.0, 3
"""Animals that do the same differ in angular velocity by a factor of 2 to 3, a wrong unit makes 57. What lies between
is a fault where it is so in three classes or more."""

GYR_LIMIT = 40.0
"""rad/s; the widest range on the market is 2,000 degrees, 35 rad/s."""

FIELD = (20.0, 70.0)
"""Microtesla; the earth has 22 to 67."""


class Gravity(NamedTuple):
    """What one accelerometer reads in one recording, in the unit of the set."""

    recording: str
    subject: str
    day: str
    norm: float  # median of the length
    slow: float  # median of the length of the mean over a second
    rest: float  # median of the length over seconds at rest, NaN without
    rest_blocks: int


class Scale:
    """Medians of lengths per recording; O(n) each."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rows: dict[str, dict[str, Any]] = {}
        self.accelerometers = [v for v in setting.vectors if v.kind == "acc"]
        self.gravity: dict[str, list[Gravity]] = {v.title: [] for v in self.accelerometers}
        self.off: dict[str, set[str]] = defaultdict(set)  # sensor -> recordings whose scale is off
        self._gyr: dict[str, dict[tuple[str, int], list[float]]] = defaultdict(lambda: defaultdict(list))
        self._gyr_top: dict[str, list[tuple[str, float]]] = defaultdict(list)
        self._field: dict[str, list[float]] = defaultdict(list)
        self._subjects: dict[str, str] = {}

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        self._subjects[stream.name] = stream.subject
        for vector in self.setting.vectors:
            samples = stream.vector(vector)
            good = np.isfinite(samples).all(axis=0)
            if not good.any():
                continue
            part = samples if good.all() else samples[:, good]
            length = np.sqrt(np.einsum("ij,ij->j", part, part, dtype=np.float64))
            row = self.rows.setdefault(stream.name, {})
            if vector.kind == "acc":
                one = self._gravity(stream, part, length)
                if part.shape[1] >= LEAST_S * self.setting.rate_hz:
                    self.gravity[vector.title].append(one)
                factor = vector.factor or 1.0
                row |= {f"{vector.title} length": one.norm * factor, f"{vector.title} at rest": one.rest * factor}
            elif vector.kind == "gyr":
                row[f"{vector.title} length"] = float(np.median(length))
                self._gyr_top[vector.title].append((stream.name, float(np.quantile(length, 0.999))))
                labels = stream.labels[good]
                for label in np.unique(labels):
                    here = length[labels == label]
                    if len(here) >= self.setting.rate_hz and (middle := float(np.median(here))) > 0:
                        self._gyr[vector.title][stream.subject, int(label)].append(np.log(middle))
            elif vector.kind == "mag":
                self._field[vector.title].append(float(np.median(length)))

    def _gravity(self, stream: Stream, part: NDArray[np.float32], length: NDArray[np.float64]) -> Gravity:
        second = max(min(round(self.setting.rate_hz), part.shape[1]), 1)
        slow = np.linalg.norm(blocks(part, second).mean(axis=2), axis=0)
        lengths = blocks(length, second)
        level = float(np.median(length))
        still = lengths.std(axis=1) < GAIN_STILL_G * level if second >= 5 else np.zeros(len(lengths), bool)
        rest = float(np.median(lengths.mean(axis=1)[still])) if still.any() else float("nan")
        return Gravity(stream.name, stream.subject, stream.day, level, float(np.median(slow)), rest, int(still.sum()))

    def findings(self) -> Iterator[Finding]:
        """What is off about scales and units."""
        if not self.accelerometers:
            for check in ("gravity", "scale", "gain"):
                yield not_applicable(check, "the set has no accelerometer with three axes")
        for vector in self.accelerometers:
            yield from self._of_accelerometer(vector)
        yield from self._gyroscopes()
        yield from self._fields()

    def unit_of(self, vector: Vector) -> float:
        """One g in the unit of a vector: as declared, else as the median over the recordings says."""
        if vector.factor is not None:
            return 1 / vector.factor
        level = float(np.median([one.slow for one in self.gravity[vector.title]] or [1.0]))
        return min((1.0, GRAVITY, 1000.0), key=lambda unit: abs(np.log(max(level, 1e-9) / unit)))

    def _of_accelerometer(self, vector: Vector) -> Iterator[Finding]:
        entries = self.gravity[vector.title]
        if not entries:
            for check in ("gravity", "scale", "gain"):
                yield not_measured(check, f"{vector.title} has no recording with {LEAST_S:g} s of values")
            return
        unit = self.unit_of(vector)
        level = float(np.median([one.slow for one in entries])) / unit
        if not 1 / FACTOR < level < FACTOR:
            yield self._unit_finding(vector, level)
            unit *= level
        elif vector.factor is None:
            yield Finding(
                "gravity", "note",
                f"dataset.yaml declares no unit for {vector.title} that is known; it reads {level * unit:.4g}, so it "
                f"is taken to be in {_unit_name(unit)}",
                "without a unit, sets cannot be put together", "declare units in dataset.yaml",
                {"vector": vector.title, "level": level * unit},
            )  # fmt: skip
        yield from self._scale(vector, unit)
        yield from self._gain(vector, unit)

    def _unit_finding(self, vector: Vector, level: float) -> Finding:
        told = vector.unit or "no unit"
        meaning = next(
            (name for factor, name in ((1 / GRAVITY, "g"), (GRAVITY, "m/s^2"), (1000.0, "mg"), (1000 / GRAVITY, "mg"),
                                       (0.001, "g"))
             if 0.8 < level / factor < 1.25), "",
        )  # fmt: skip
        absent = level < 0.5 and not meaning
        declared = "gravity" in vector.unit.lower() and any(w in vector.unit.lower() for w in ("remov", "without"))
        return Finding(
            "gravity", "note" if absent and declared else "fault",
            f"{vector.title} reads {level:.3g} g at the median of all recordings, with {told} declared"
            + (f": it seems to be in {meaning}" if meaning else ": gravity was taken out" if absent else ""),
            "without gravity the posture is not in the signal" if absent else
            "gravity filters, thresholds in g and sets put together with this one are off by this factor",
            "" if absent else "correct units in dataset.yaml, or scale on import",
            {"vector": vector.title, "level_g": level, "threshold": FACTOR},
            tuple(one.recording for one in self.gravity[vector.title]),
        )  # fmt: skip

    def _scale(self, vector: Vector, unit: float) -> Iterator[Finding]:
        entries = self.gravity[vector.title]
        off = [one for one in entries if _is_off(one, unit)]
        by_day: dict[tuple[str, str], list[Gravity]] = defaultdict(list)
        days: dict[tuple[str, str], int] = defaultdict(int)
        for one in entries:
            days[one.subject, one.day] += 1
        for one in off:
            by_day[one.subject, one.day].append(one)
        sure: list[Gravity] = []
        unsure: list[Gravity] = []
        for key, part in by_day.items():
            told = len(part) >= MANY or len(part) == days[key] or all(self._contradicted(vector, one) for one in part)
            (sure if told else unsure).extend(part)
        for found, fault in ((sure, True), (unsure, False)):
            if not found:
                continue
            factor = float(np.median([one.norm for one in found])) / unit
            where = sorted({f"{one.subject}{' ' + one.day if one.day else ''}" for one in found})
            ratio = self._against_others(vector, [one.recording for one in found])
            if fault:
                self.off[vector.sensor] |= {one.recording for one in found}
            yield Finding(
                "scale", "fault" if fault else "note",
                f"{vector.title} reads {factor:.3g} times gravity in {counted(len(found), 'recording')} "
                f"({named(where, 3)}){_factor_name(factor)}",
                "what was learnt on the others does not hold there, and the error of these subjects is the "
                "instrument's; a shared scale is stretched by them",
                f"mark these recordings in a column of recordings.csv, say scale_{vector.sensor}, and set "
                f"data.corrections: [{{where: scale_{vector.sensor}, columns: ['{vector.title}_*'], "
                f"divide: {factor:.3g}}}]",
                {"vector": vector.title, "factor": factor, "threshold": FACTOR, "ratio_to_other_sensors": ratio,
                 "g_by_recording": {one.recording: one.norm / unit for one in found}, "where": where},
                tuple(one.recording for one in found),
            )  # fmt: skip

    def _against_others(self, vector: Vector, names: list[str]) -> dict[str, float]:
        """Median ratio of this sensor's length to that of each other one in the same recordings."""
        mine = {one.recording: one.norm for one in self.gravity[vector.title]}
        ratios = {}
        for other in self.accelerometers:
            theirs = {one.recording: one.norm for one in self.gravity[other.title]}
            both = [mine[name] / theirs[name] for name in names if name in theirs and theirs[name] > 0]
            if other.sensor != vector.sensor and both:
                ratios[other.title] = float(np.median(both))
        return ratios

    def _contradicted(self, vector: Vector, one: Gravity) -> bool:
        """Whether another sensor in the same recording reads gravity as it should."""
        for other in self.accelerometers:
            unit = self.unit_of(other)
            same = [x for x in self.gravity[other.title] if x.recording == one.recording]
            if other.sensor != vector.sensor and any(0.8 < x.norm / unit < 1.25 for x in same):
                return True
        return False

    def _gain(self, vector: Vector, unit: float) -> Iterator[Finding]:
        entries = [
            one for one in self.gravity[vector.title]
            if one.rest_blocks >= GAIN_BLOCKS and one.recording not in self.off[vector.sensor]
        ]  # fmt: skip
        if not entries:
            yield not_measured("gain", f"{vector.title} has no recording with {GAIN_BLOCKS} seconds at rest")
            return
        groups: dict[str, list[float]] = defaultdict(list)
        for one in entries:
            groups[f"{one.subject}{' ' + one.day if one.day else ''}"].append(one.rest / unit)
        middle = {name: float(np.median(values)) for name, values in groups.items()}
        whole = float(np.median(list(middle.values())))
        odd = {name: value for name, value in middle.items() if abs(value - 1) > GAIN}
        if odd:
            low, high = min(middle.values()), max(middle.values())
            yield Finding(
                "gain", "note",
                f"{vector.title} reads {whole:.3f} g at rest ({low:.3f} to {high:.3f} over {len(middle)} "
                f"{'subject-days' if any(one.day for one in entries) else 'subjects'})",
                "a few percent are usual for cheap sensors; a network that sees them can tell devices, and through "
                "them animals, apart",
                "calibrate on still samples (see the check calibration), or augment with a random scale",
                {"vector": vector.title, "median_g": whole, "threshold": GAIN, "g_at_rest": middle},
            )  # fmt: skip

    def _gyroscopes(self) -> Iterator[Finding]:
        vectors = [v for v in self.setting.vectors if v.kind == "gyr"]
        if not vectors:
            yield not_applicable("gyr_scale", "the set has no gyroscope with three axes")
        for vector in vectors:
            tops = self._gyr_top[vector.title]
            beyond = [name for name, top in tops if top * (vector.factor or 0.0) > GYR_LIMIT]
            effects = _subject_effects(self._gyr[vector.title])
            odd = {who: float(np.exp(np.median(values))) for who, values in effects.items()
                   if abs(np.median(values)) > np.log(GYR_FACTOR)}  # fmt: skip
            sure = any(
                abs(np.log(factor)) > np.log(GYR_UNIT) or len(effects[who]) >= GYR_CLASSES
                for who, factor in odd.items()
            )
            if not odd and len(beyond) > len(tops) / 2:
                yield Finding(
                    "gyr_scale", "fault",
                    f"{vector.title} is faster than {GYR_LIMIT:g} rad/s by its declared unit ({vector.unit}), which no "
                    "gyroscope reads: it seems to be in deg/s",
                    "rotations computed from it are 57 times too fast", "correct units in dataset.yaml",
                    {"vector": vector.title, "threshold": GYR_LIMIT, "rad_per_s": dict(tops)}, tuple(beyond),
                )  # fmt: skip
            elif odd:
                factor = float(np.median(list(odd.values())))
                unit = ""
                if GYR_UNIT < factor < 160:
                    unit = ", about what deg/s is to rad/s (57.3)"
                elif GYR_UNIT < 1 / factor < 160:
                    unit = ", about what rad/s is to deg/s (1/57.3)"
                yield Finding(
                    "gyr_scale", "fault" if sure else "note",
                    f"{vector.title} reads {factor:.3g} times as much in {named(sorted(odd))} as in other subjects "
                    f"that do the same{unit}",
                    "the subject is told by its instrument, and what was learnt on others fails on it",
                    f"mark these recordings in recordings.csv and set data.corrections with divide: "
                    f"{(1 / RADIANS if unit and factor > 1 else RADIANS if unit else factor):.5g}",
                    {"vector": vector.title, "factor": odd, "threshold": GYR_FACTOR},
                    tuple(name for name, subject in self._subjects.items() if subject in odd),
                )  # fmt: skip
            elif not effects:
                yield not_measured("gyr_scale", f"{vector.title} has no three subjects that do the same")

    def _fields(self) -> Iterator[Finding]:
        vectors = [v for v in self.setting.vectors if v.kind == "mag"]
        if not vectors:
            yield not_applicable("mag_unit", "the set has no magnetometer with three axes")
        for vector in vectors:
            if not self._field[vector.title]:
                continue
            level = float(np.median(self._field[vector.title]))
            if vector.factor is None:
                yield not_applicable("mag_unit", f"{vector.title} is in {vector.unit or 'no unit that is declared'}")
            elif not FIELD[0] < level * vector.factor < FIELD[1]:
                yield Finding(
                    "mag_unit", "note",
                    f"{vector.title} reads {level * vector.factor:.3g} microtesla at the median, the earth 22 to 67",
                    "iron nearby, an offset of the sensor, or another unit than declared",
                    evidence={"vector": vector.title, "microtesla": level * vector.factor, "threshold": FIELD},
                )  # fmt: skip


def _is_off(one: Gravity, unit: float) -> bool:
    high = one.norm > FACTOR * unit and one.slow > FACTOR * unit
    return high or (one.norm < unit / FACTOR and one.slow < unit / FACTOR)


def _unit_name(unit: float) -> str:
    return {1.0: "g", GRAVITY: "m/s^2", 1000.0: "mg"}[unit]


def _factor_name(factor: float) -> str:
    """What a factor is known for."""
    ranges = ((float(2**k), "another range of the sensor") for k in (1, 2, 3, -1, -2, -3))
    units = ((GRAVITY, "m/s^2 where the others are in g"), (1 / GRAVITY, "g where the others are in m/s^2"))
    known = (*units, (1000.0, "mg"), *ranges)
    name = next((text for value, text in known if abs(factor / value - 1) < 0.04), "")
    return f": {name}" if name else ""


def _subject_effects(levels: dict[tuple[str, int], list[float]]) -> dict[str, list[float]]:
    """How far each subject's level is from the median of two others or more, class by class; logarithms."""
    middle = {key: float(np.median(values)) for key, values in levels.items()}
    differences: dict[str, list[float]] = defaultdict(list)
    for (subject, label), value in middle.items():
        others = [v for (who, what), v in middle.items() if what == label and who != subject]
        if len(others) >= 2:
            differences[subject].append(value - float(np.median(others)))
    return dict(differences)
