"""How a sensor is worn: the direction of gravity in it, from recording to recording."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.axes import GyrAgainstAcc
from conv2d.data.audit.findings import Finding, counted, named, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream

APART_DEG = 90.0
"""Between the two ways of wearing; postures and carriage turn a sensor by less (seen: 23 to 61 degrees)."""

WITHIN_DEG = 45.0
SHARE = 0.1
RECORDINGS = 5
LEAST = 3
OTHERS, USUAL = 3, 0.8
"""Other subjects that one who wears it otherwise is held against, and the share of them that must be within WITHIN_DEG
of their middle."""


class Orientation:
    """The mean direction of acceleration of each recording and sensor."""

    def __init__(self, setting: Setting, frames: GyrAgainstAcc) -> None:
        self.setting = setting
        self.frames = frames
        self.rows: dict[str, dict[str, Any]] = {}
        self._directions: dict[str, list[tuple[str, str, NDArray[np.float64]]]] = defaultdict(list)
        self._columns: dict[str, dict[str, str]] = {}

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        self._columns[stream.name] = dict(stream.row.meta)
        for vector in self.setting.of_kind("acc"):
            samples = stream.vector(vector)
            good = np.isfinite(samples).all(axis=0)
            if not good.any():
                continue
            mean = samples[:, good].mean(axis=1, dtype=np.float64)
            length = float(np.linalg.norm(mean))
            if length > 0:
                self._directions[vector.sensor].append((stream.name, stream.subject, mean / length))
                self.rows.setdefault(stream.name, {})[f"{vector.sensor} gravity"] = mean / length

    def findings(self) -> Iterator[Finding]:
        """Sensors that are worn in two ways."""
        vectors = self.setting.of_kind("acc")
        if not vectors:
            yield not_applicable("orientation", "the set has no accelerometer with three axes")
        for vector in vectors:
            sensor = vector.sensor
            entries = [e for e in self._directions[sensor] if e[1] not in self.frames.odd.get(sensor, set())]
            if len(entries) < RECORDINGS:
                yield not_measured("orientation", f"{sensor} has {counted(len(entries), 'recording')}, fewer than 5")
                continue
            finding = self._of_sensor(sensor, entries) or self._of_subjects(sensor, entries)
            if finding is not None:
                yield finding

    def _of_sensor(self, sensor: str, entries: list[tuple[str, str, NDArray[np.float64]]]) -> Finding | None:
        directions = np.stack([direction for _, _, direction in entries])
        centres, group = two_directions(directions)
        apart = _angle(centres[0], centres[1])
        within = [np.median(_angles(directions[group == k], centres[k])) for k in (0, 1) if (group == k).any()]
        sizes = np.bincount(group, minlength=2)
        if apart <= APART_DEG or max(within) >= WITHIN_DEG or sizes.min() < max(LEAST, SHARE * len(entries)):
            return None
        subjects = [{who for (_, who, _), k in zip(entries, group, strict=True) if k == side} for side in (0, 1)]
        rare = int(np.argmin(sizes))
        column = self._column_that_agrees([name for name, _, _ in entries], group)
        both = len(subjects[0] & subjects[1])
        return Finding(
            "orientation", "confound",
            f"{sensor} is worn in two ways {apart:.0f} degrees apart: {sizes[1 - rare]} recordings and {sizes[rare]}"
            + (f", as the column {column} tells" if column else "")
            + f"; {counted(both, 'subject')} of {len(subjects[0] | subjects[1])} show both",
            "posture is read from the direction of gravity, so a network learns it for each way apart; with subjects "
            "who show one way only, the way tells the subject",
            "training.augmentation.rotation_deg: 180, or turn the axes of one group on import",
            {"sensor": sensor, "degrees": apart, "threshold_degrees": APART_DEG, "recordings": sizes,
             "directions": centres, "subjects": [len(s) for s in subjects], "subjects_with_both": both,
             "column": column},
            tuple(name for (name, _, _), k in zip(entries, group, strict=True) if k == rare),
        )  # fmt: skip

    def _of_subjects(self, sensor: str, entries: list[tuple[str, str, NDArray[np.float64]]]) -> Finding | None:
        """Subjects all of whose recordings are far from what is usual among the others."""
        by_subject: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
        for _, who, direction in entries:
            by_subject[who].append(direction)
        middle = {who: _middle(np.stack(directions)) for who, directions in by_subject.items()}
        if len(middle) <= OTHERS:
            return not_measured(
                "orientation",
                f"{sensor} is worn by {counted(len(middle), 'subject')}, too few to tell one who wears it otherwise",
                sensor=sensor,
            )
        odd: dict[str, float] = {}
        told = False
        for who, directions in by_subject.items():
            others = np.stack([direction for other, direction in middle.items() if other != who])
            centre = _middle(others)
            usual = int((_angles(others, centre) < WITHIN_DEG).sum())
            if usual < max(OTHERS, USUAL * len(others)):
                continue
            told = True
            nearest = float(_angles(np.stack(directions), centre).min())
            if nearest > APART_DEG:
                odd[who] = nearest
        if odd:
            return Finding(
                "orientation", "confound",
                f"{sensor} is worn otherwise by {named(sorted(odd))}: gravity is {min(odd.values()):.0f} degrees or "
                f"more from where it is in {counted(len(middle) - len(odd), 'other subject')}",
                "posture is read from the direction of gravity, so what was learnt on the others fails on this subject",
                "turn the axes of these recordings on import, or training.augmentation.rotation_deg: 180",
                {"sensor": sensor, "degrees": odd, "threshold_degrees": APART_DEG, "subjects": len(middle)},
                tuple(name for name, who, _ in entries if who in odd),
            )  # fmt: skip
        if not told:
            return not_measured(
                "orientation",
                f"{sensor}: gravity lies otherwise in each of {counted(len(middle), 'subject')}, so none can be told "
                "to wear it in another way",
                sensor=sensor,
            )
        return None

    def _column_that_agrees(self, names: list[str], group: NDArray[np.int64]) -> str | None:
        """A column of recordings.csv each of whose few values stands for one group."""
        for column in self._columns[names[0]]:
            values = [self._columns[name].get(column, "") for name in names]
            sides: dict[str, set[int]] = defaultdict(set)
            for value, side in zip(values, group.tolist(), strict=True):
                sides[value].add(side)
            if 2 <= len(sides) <= len(names) / 4 and all(len(side) == 1 for side in sides.values()):
                return column
        return None


def two_directions(directions: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Two centres (2, 3) of unit vectors (n, 3) and the nearer one of each, by spherical k-means.

    Begins with the direction farthest from the mean and the one farthest from that.
    """
    start = int(np.argmin(directions @ directions.mean(axis=0)))
    other = int(np.argmin(directions @ directions[start]))
    centres = directions[[start, other]].copy()
    group = np.zeros(len(directions), np.int64)
    for _ in range(50):
        nearest = (directions @ centres.T).argmax(axis=1)
        for k in (0, 1):
            if (nearest == k).any():
                mean = directions[nearest == k].mean(axis=0)
                centres[k] = mean / max(float(np.linalg.norm(mean)), 1e-12)
        if (nearest == group).all():
            break
        group = nearest
    return centres, group


def _middle(directions: NDArray[np.float64]) -> NDArray[np.float64]:
    """The direction (3,) of the median of unit vectors (n, 3), which a few that are turned do not move far."""
    median: NDArray[np.float64] = np.median(directions, axis=0)
    return median / max(float(np.linalg.norm(median)), 1e-12)


def _angle(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


def _angles(directions: NDArray[np.float64], centre: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.degrees(np.arccos(np.clip(directions @ centre, -1, 1)))
