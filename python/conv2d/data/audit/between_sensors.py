"""Sensor against sensor: the same axes, and the same place."""

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.axes import IDENTITY, PERMUTATIONS, GyrAgainstAcc
from conv2d.data.audit.findings import Finding, counted, named, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream
from conv2d.data.audit.stretches import blocks

CORRELATION = 0.6
"""Of each axis with its partner, in the median over recordings; below, the sensors do not move as one."""

AGREEMENT = 0.9
RECORDINGS = 5
SUBJECTS = 5
SHORTEST_S = 6.0
SENSORS = 4
"""Sensors that are compared two by two; of more, the first ones."""

EXCHANGED = 0.5
"""A subject fits exchanged sensors when it is less than half as far from them as from those it has."""

SEPARABLE = 0.8
"""Share of the subjects that fit one of the two so clearly; below, the sensors are too much alike."""

_SPREAD = 0.2  # logarithm; floor of the spread of a feature between subjects


class Pairing(NamedTuple):
    """How the axes of one sensor pair with those of another: a signed permutation, and the weakest correlation."""

    name: str
    weakest: float
    agreement: float


class BetweenSensors:
    """Correlations of the same kind of vector in two sensors, per recording; O(n) each."""

    def __init__(self, setting: Setting, frames: GyrAgainstAcc) -> None:
        self.setting = setting
        self.frames = frames
        self.correlations: dict[tuple[str, str, str], list[tuple[str, str, NDArray[np.float64]]]] = defaultdict(list)
        self._features: dict[str, list[tuple[str, str, NDArray[np.float64]]]] = defaultdict(list)
        self._kinds = list(dict.fromkeys(v.kind for v in setting.vectors))
        by_kind = {kind: setting.of_kind(kind)[:SENSORS] for kind in self._kinds}
        self._pairs = [pair for vectors in by_kind.values() for pair in itertools.combinations(vectors, 2)]

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        if stream.n >= SHORTEST_S * self.setting.rate_hz:
            for first, second in self._pairs:
                both = np.concatenate([stream.vector(first), stream.vector(second)]).astype(np.float64)
                both = both[:, np.isfinite(both).all(axis=0)]
                if both.shape[1] < SHORTEST_S * self.setting.rate_hz:
                    continue
                both -= both.mean(axis=1, keepdims=True)
                spread = np.sqrt((both**2).sum(axis=1))
                if (spread > 0).all():
                    table = (both[:3] @ both[3:].T) / np.outer(spread[:3], spread[3:])
                    self.correlations[first.kind, first.sensor, second.sensor].append(
                        (stream.name, stream.subject, table)
                    )
        self._look_at_places(stream)

    def _look_at_places(self, stream: Stream) -> None:
        second = max(round(self.setting.rate_hz), 1)
        acc, gyr = ({v.sensor: v for v in self.setting.of_kind(kind)} for kind in ("acc", "gyr"))
        for sensor, vector in acc.items():
            if sensor not in gyr or stream.n < 10 * second:
                continue
            samples = np.concatenate([stream.vector(vector), stream.vector(gyr[sensor])])
            parts = blocks(samples, second)
            parts = parts[:, np.isfinite(parts).all(axis=(0, 2))]
            if parts.shape[1] < 10:
                continue
            mean = parts[:3].mean(axis=2)
            length = float(np.median(np.linalg.norm(mean, axis=0)))
            quick = float(np.median(parts[:3].std(axis=2).max(axis=0)))
            turn = float(np.median(np.linalg.norm(parts[3:].mean(axis=2), axis=0)))
            restless = float(np.median(parts[3:].std(axis=2).max(axis=0)))
            if min(length, quick, turn, restless) > 0:
                direction = 2 * mean.mean(axis=1) / length
                values = np.concatenate([direction, np.log([quick / length, turn, restless])])
                self._features[sensor].append((stream.name, stream.subject, values))

    def findings(self) -> Iterator[Finding]:
        """Sensors whose axes differ, and subjects whose sensors are exchanged."""
        if len(self.setting.meta.sensors) < 2:
            yield not_applicable("axes_between_sensors", "the set has one sensor")
            yield not_applicable("sensors_exchanged", "the set has one sensor")
            return
        if not self._pairs:
            yield not_applicable("axes_between_sensors", "no two sensors have vectors of the same kind")
        sensors = dict.fromkeys((a.sensor, b.sensor) for a, b in self._pairs)
        for first, second in sensors:
            yield from self._of_pair(first, second)
        yield from self._exchanged()

    def _of_pair(self, first: str, second: str) -> Iterator[Finding]:
        pairings: dict[str, Pairing] = {}
        unsure: dict[str, float] = {}
        for kind in self._kinds:
            entries = self.correlations.get((kind, first, second), [])
            if not entries:
                continue
            pairing = pair_axes([table for _, _, table in entries])
            if len(entries) >= RECORDINGS and pairing.weakest >= CORRELATION and pairing.agreement >= AGREEMENT:
                pairings[kind] = pairing
                yield from self._odd_subjects(kind, first, second, pairing.name)
            else:
                unsure[kind] = pairing.weakest
        if not pairings:
            reason = (
                f"{first} and {second} do not move as one: the weakest axis correlates by "
                + ", ".join(f"{value:.2f} ({kind})" for kind, value in unsure.items())
                if unsure else f"{first} and {second} have no recordings of {SHORTEST_S:g} s in common"
            )  # fmt: skip
            yield not_measured("axes_between_sensors", reason, weakest=unsure, threshold=CORRELATION)
            return
        acc = pairings["acc"].name if "acc" in pairings else IDENTITY
        for kind, pairing in pairings.items():
            # On one body all vectors turn together; rotation of the accelerometer's map is what the others should show.
            if pairing.name == acc and (kind != "acc" or acc == IDENTITY):
                continue
            yield self._finding(kind, first, second, pairing, acc)

    def _finding(self, kind: str, first: str, second: str, pairing: Pairing, acc: str) -> Finding:
        entries = self.correlations[kind, first, second]
        table = np.median([matrix for _, _, matrix in entries], axis=0)
        matrix = PERMUTATIONS[pairing.name]
        strength = ", ".join(
            f"{a}{'-' if table[i, j] < 0 else '+'}{'xyz'[j]} {table[i, j]:+.2f}"
            for i, (a, j) in enumerate(zip("xyz", np.abs(matrix).argmax(axis=1), strict=True))
        )
        turned = kind == "acc" and np.linalg.det(matrix) > 0
        culprit = [sensor for sensor in (first, second) if self.frames.frames.get(sensor, IDENTITY) != IDENTITY]
        known = [sensor for sensor in (first, second) if sensor in self.frames.frames]
        named_one = ""
        if kind in ("acc", "gyr") and culprit:
            named_one = f"; gravity says that it is {named(culprit)}"
        elif kind == "acc" and len(known) == 2 and not turned:
            named_one = "; gravity does not tell which"
        return Finding(
            "axes_between_sensors", "note" if turned else "fault",
            f"{kind} of {first} and {second} differ in their axes: those of {second} are {pairing.name} of those of "
            f"{first}" + (f", while the accelerometers say {acc}" if kind != "acc" else "") + named_one,
            "weights shared over sensors, the mean of sensors and rotation augmentation mix different axes"
            + ("; one sensor is mounted turned against the other" if turned else
               "; on one rigid body this cannot be, so an axis is mirrored, exchanged or turned in its case"),
            f"bring {culprit[0] if culprit else second} into the axes of the other on import (scale -1, columns)",
            {"kind": kind, "sensors": [first, second], "axes": pairing.name, "weakest": pairing.weakest,
             "agreement": pairing.agreement, "recordings": len(entries), "correlation": table, "pairs": strength,
             "threshold": CORRELATION, "threshold_agreement": AGREEMENT, "accelerometers": acc, "culprit": culprit},
        )  # fmt: skip

    def _odd_subjects(self, kind: str, first: str, second: str, common: str) -> Iterator[Finding]:
        entries = self.correlations[kind, first, second]
        by_subject: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for _, subject, table in entries:
            by_subject[subject].append(table)
        odd: dict[str, str] = {}
        for subject, tables in by_subject.items():
            own = pair_axes(tables)
            if own.weakest >= CORRELATION and own.agreement >= AGREEMENT and own.name != common:
                odd[subject] = own.name
        if odd and 2 * len(odd) < len(by_subject):
            who = sorted(odd)
            yield Finding(
                "axes_between_sensors", "fault",
                f"{kind} of {second}: in {named(who)} its axes are {odd[who[0]]} of those of {first}, elsewhere "
                f"{common}",
                "this subject's signals are in other axes than those learnt from, so its error is the instrument's",
                "put the axes of these recordings right on import",
                {"kind": kind, "sensors": [first, second], "axes": odd, "common": common, "threshold": CORRELATION},
                tuple(name for name, subject, _ in entries if subject in odd),
            )  # fmt: skip

    def _exchanged(self) -> Iterator[Finding]:
        sensors = [sensor for sensor, entries in self._features.items() if entries]
        if len(sensors) < 2:
            reason = "two sensors with accelerometer and gyroscope are needed"
            yield not_applicable("sensors_exchanged", reason)
            return
        measured = False
        for first, second in itertools.combinations(sensors[:SENSORS], 2):
            result = self._exchanged_pair(first, second)
            if isinstance(result, str):
                reason = result
                continue
            measured = True
            if result:
                who = tuple(result)
                yield Finding(
                    "sensors_exchanged", "fault",
                    f"{first} and {second} of {named(who)} seem to be exchanged: each looks like the other one does "
                    "elsewhere",
                    "the network reads this subject's one place as the other",
                    "exchange the columns of these recordings on import",
                    {"sensors": [first, second], "distance_exchanged_over_own": result, "threshold": EXCHANGED},
                    tuple(name for name, subject, _ in self._features[first] if subject in result),
                )  # fmt: skip
        if not measured:
            yield not_measured("sensors_exchanged", reason)

    def _exchanged_pair(self, first: str, second: str) -> dict[str, float] | str:
        """Subjects whose recordings all fit exchanged sensors better, with the ratio; or why it cannot be told.

        What is looked at is the difference of the two sensors, in which behaviour cancels and which an exchange turns
        into its opposite.
        """
        theirs = {name: values for name, _, values in self._features[second]}
        by_subject: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for name, subject, values in self._features[first]:
            if name in theirs:
                by_subject[subject].append(values - theirs[name])
        if len(by_subject) < SUBJECTS:
            return (
                f"{first} and {second} were worn together by {counted(len(by_subject), 'subject')}, fewer than "
                f"{SUBJECTS}"
            )
        middle = {subject: np.median(values, axis=0) for subject, values in by_subject.items()}
        ratios: dict[str, float] = {}
        sided: dict[str, bool] = {}
        for subject, differences in by_subject.items():
            others = np.stack([values for who, values in middle.items() if who != subject])
            centre = np.median(others, axis=0)
            # The median of distances, which one that is exchanged among the others hardly moves.
            spread = 1.4826 * np.median(np.abs(others - centre), axis=0) + _SPREAD
            each = [_exchanged_over_own(values, centre, spread) for values in differences]
            ratios[subject] = _exchanged_over_own(middle[subject], centre, spread)
            sided[subject] = all(ratio < 1 for ratio in each)
        told = [ratio < EXCHANGED or ratio > 1 / EXCHANGED for ratio in ratios.values()]
        if np.mean(told) < SEPARABLE:
            return f"{first} and {second} look alike, so that an exchange would not show"
        found = {who: ratio for who, ratio in ratios.items() if ratio < EXCHANGED and sided[who]}
        return found if 2 * len(found) < len(ratios) else f"{first} and {second} look alike"


def pair_axes(tables: list[NDArray[np.float64]]) -> Pairing:
    """The signed permutation that most of the correlation (3, 3) follows, by the median over recordings.

    Its name tells, for x, y and z of the first sensor, which axis of the second one it is.
    """
    middle = np.median(tables, axis=0)
    orders = list(itertools.permutations(range(3)))
    order = max(orders, key=lambda o: float(np.abs(middle[range(3), o]).sum()))
    values = middle[range(3), order]
    signs = np.where(values < 0, -1.0, 1.0)
    name = " ".join(f"{'+' if s > 0 else '-'}{'xyz'[axis]}" for s, axis in zip(signs, order, strict=True))
    agree = np.mean([[np.sign(t[i, j]) == s for i, (j, s) in enumerate(zip(order, signs, strict=True))]
                     for t in tables], axis=0)  # fmt: skip
    return Pairing(name, float(np.abs(values).min()), float(agree.min()))


def _exchanged_over_own(
    difference: NDArray[np.float64], centre: NDArray[np.float64], spread: NDArray[np.float64]
) -> float:
    """Distance from the opposite of what others show, over the distance from what they show."""
    own = float(np.linalg.norm((difference - centre) / spread))
    return float(np.linalg.norm((difference + centre) / spread)) / max(own, 1e-9)
