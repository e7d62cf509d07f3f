"""The samples themselves: missing, standing still, or at the end of the range."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream
from conv2d.data.audit.stretches import longest, stretches

MISSING_NOTE = 0.05
ENDS = 0.1
"""Share of a recording, at its end, that a sensor is missing from to be called ended."""

STUCK_S, STUCK_SAMPLES = 1.0, 10
"""All three axes bit for bit the same for so long: noise never repeats three axes. Seen in good data: 0.4 s."""

STUCK_AXIS_S, STUCK_AXIS_SAMPLES = 5.0, 50
"""One axis, while the other two move."""

COARSE_G = 0.005
"""A step of the converter so large that an accelerometer at rest reads the same value for seconds."""

RAIL, BELOW_RAIL = 0.999, 0.98
RAIL_SAMPLES, RAIL_VISITS, RAIL_EXCESS = 5, 3, 3.0
"""Samples and separate visits within 0.1 % of the largest value, and times as many as in the 1.9 % below: a smooth tail
has fewer on top, a peak that passes through has 0.3 times as many. The same for samples that are the largest value bit
for bit, against the most frequent value below it."""

RAIL_STEP = 0.03
"""Of the largest value, by which half of the visits or more must begin: rest at a coarse value is no rail."""

RAIL_SHARE = 0.001
MISSING_RUN_S = 0.2
MISSING_RUNS = 20
MISSING_LIFT = 0.05
ALPHA = 1e-3
_DRAWS = 4000


def least_stuck(rate_hz: float) -> int:
    """Samples that all axes of a vector must be the same for to be called stuck."""
    return max(round(STUCK_S * rate_hz), STUCK_SAMPLES)


class Rail(NamedTuple):
    """How often a channel of a recording is at its largest value, within 0.1 %, and in the 1.9 % below."""

    name: str
    top: float
    on_top: int
    below: int
    visits: int
    same: int  # at the largest value bit for bit
    common: int  # at the most frequent value of those below
    step: float  # median by which visits begin


class Values:
    """Looks at each vector of each sensor; O(samples), and some counts are kept."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rows: dict[str, dict[str, Any]] = {}
        self._n = 0
        self._lengths: dict[str, int] = {}
        self._missing: dict[str, dict[str, tuple[int, float]]] = defaultdict(dict)
        self._absent: dict[str, list[str]] = defaultdict(list)
        self._ends: dict[str, dict[str, float]] = defaultdict(dict)  # sensor -> recording -> second of the last value
        self._stuck: dict[str, dict[str, tuple[int, bool]]] = defaultdict(dict)
        self._rails: dict[tuple[str, int], list[Rail]] = defaultdict(list)
        self._classes: dict[str, NDArray[np.float64]] = {}  # recording -> share of each class
        self._runs: dict[str, list[tuple[str, int]]] = defaultdict(list)  # sensor -> recording, class
        self._by_class: dict[str, NDArray[np.int64]] = {}  # sensor -> (K, 2): missing rows, rows

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        self._n += stream.n
        self._lengths[stream.name] = stream.n
        if not stream.n:
            return
        row = self.rows.setdefault(stream.name, {})
        self._look_for_missing(stream, row)
        for vector in self.setting.vectors:
            samples = stream.vector(vector)
            if not np.isfinite(samples).any():
                continue
            self._look_for_stuck(stream, vector.title, samples, vector.kind, vector.factor, row)
            for axis, values in zip(vector.axes, samples, strict=True):
                self._look_for_rails(stream.name, vector.sensor, axis, vector.place, values)

    def _look_for_missing(self, stream: Stream, row: dict[str, Any]) -> None:
        n_classes = len(self.setting.meta.classes)
        known = stream.labels[stream.labels >= 0]
        share = np.bincount(known, minlength=n_classes).astype(np.float64)
        self._classes[stream.name] = share
        for place, sensor in enumerate(self.setting.meta.sensors):
            absent = np.asarray(np.isnan(stream.samples[:, place]).any(axis=0))
            table = self._by_class.setdefault(sensor, np.zeros((n_classes, 2), np.int64))
            table[:, 1] += share.astype(np.int64)
            if not absent.any():
                continue
            count, run = int(absent.sum()), longest(absent) / self.setting.rate_hz
            row[f"{sensor} missing"] = count / stream.n
            if np.isnan(stream.samples[:, place]).all():
                self._absent[sensor].append(stream.name)
                continue
            self._missing[sensor][stream.name] = (count, run)
            gone = np.asarray(np.isnan(stream.samples[:, place]).all(axis=0))
            last = stream.n - int(gone[::-1].argmin())
            if stream.n - last > ENDS * stream.n:
                self._ends[sensor][stream.name] = row[f"{sensor} ends s"] = last / self.setting.rate_hz
            labels = stream.labels[absent]
            table[:, 0] += np.bincount(labels[labels >= 0], minlength=n_classes)
            start, end = stretches(absent)
            long = end - start >= MISSING_RUN_S * self.setting.rate_hz
            at = stream.labels[(start[long] + end[long] - 1) // 2]
            self._runs[sensor] += [(stream.name, int(label)) for label in at if label >= 0]

    def _look_for_stuck(
        self, stream: Stream, title: str, samples: NDArray[np.float32], kind: str, factor: float | None,
        row: dict[str, Any],
    ) -> None:  # fmt: skip
        same: NDArray[np.bool_] = samples[:, 1:] == samples[:, :-1]
        together = longest(np.asarray(same.all(axis=0)))
        if together:
            together += 1
        least = least_stuck(self.setting.rate_hz)
        if together >= least:
            steps = np.abs(np.diff(samples.astype(np.float64), axis=1))
            quantum = float(steps[steps > 0].min()) if (steps > 0).any() else 0.0
            coarse = kind == "acc" and factor is not None and quantum * factor > COARSE_G
            self._stuck[title][stream.name] = (together, coarse)
            row[f"{title} stuck s"] = together / self.setting.rate_hz
        least_axis = max(round(STUCK_AXIS_S * self.setting.rate_hz), STUCK_AXIS_SAMPLES)
        for axis in range(3):
            start, end = stretches(same[axis])
            for first, last in zip(start, end, strict=True):
                if last - first + 1 < least_axis:
                    continue
                moving = 1 - same[[a for a in range(3) if a != axis], first:last].mean(axis=1)
                if moving.min() > 0.5:
                    name = f"{title} axis {'xyz'[axis]}"
                    length = max(int(last - first) + 1, self._stuck[name].get(stream.name, (0, False))[0])
                    self._stuck[name][stream.name] = (length, False)
                    row[f"{name} stuck s"] = length / self.setting.rate_hz

    def _look_for_rails(self, name: str, sensor: str, axis: int, place: int, values: NDArray[np.float32]) -> None:
        column = f"{sensor}/{self.setting.meta.channels[axis]}"
        for sign in (1, -1):
            signed = values if sign == 1 else -values
            top = float(np.fmax.reduce(signed))
            if not top > 0:
                continue
            high = np.flatnonzero(signed >= BELOW_RAIL * top)
            level = signed[high]
            is_top = level >= RAIL * top
            on_top, below = high[is_top], np.sort(level[~is_top])
            begins = on_top[np.concatenate([[True], on_top[1:] - on_top[:-1] > 1])]
            inner = begins[begins > 0]
            steps = signed[inner] - signed[inner - 1]
            steps = steps[np.isfinite(steps)]
            turns = np.flatnonzero(np.concatenate([[True], below[1:] != below[:-1], [True]])) if len(below) else [0]
            self._rails[column, sign].append(
                Rail(
                    name, top, len(on_top), len(below), len(begins), int((level == level.max()).sum()),
                    int(np.diff(turns).max(initial=0)), float(np.sort(steps)[len(steps) // 2]) if len(steps) else 0.0,
                )
            )  # fmt: skip

    def findings(self) -> Iterator[Finding]:
        """What is missing, stuck or cut off."""
        yield from self._missing_findings()
        yield from self._missing_by_class()
        yield from self._stuck_findings()
        yield from self._saturated()

    def _missing_findings(self) -> Iterator[Finding]:
        for sensor in self.setting.meta.sensors:
            found, absent = self._missing[sensor], self._absent[sensor]
            if not found and not absent:
                continue
            if len(absent) == sum(n > 0 for n in self._lengths.values()):
                yield self._never_there(sensor, absent)
                continue
            rows = sum(count for count, _ in found.values())
            run = max((run for _, run in found.values()), default=0.0)
            heavy = [name for name, (count, _) in found.items() if count / self._lengths[name] > MISSING_NOTE]
            said = []
            if found:
                said.append(f"{sensor} lacks {rows / self._n:.2%} of the samples, at most {run:.3g} s in a row")
            said += [f"{sensor} is absent from {counted(len(absent), 'recording')}"] if absent else []
            said += [f"more than {MISSING_NOTE:.0%} of {counted(len(heavy), 'recording')}"] if heavy else []
            ends = self._ends[sensor]
            said += [f"it ends at {end:.4g} s of {self._seconds(name):.4g} in {name}" for name, end in
                     list(ends.items())[:3]]  # fmt: skip
            said += [f"and before its end in {counted(len(ends) - 3, 'other recording')}"] if len(ends) > 3 else []
            yield Finding(
                "missing", "note", "; ".join(said),
                "runs up to data.max_gap_s are filled by lines and flagged, longer ones become 0 after scaling",
                "set data.max_gap_s to what may be drawn by a line" if found else "",
                {"sensor": sensor, "rows": rows, "share": rows / self._n, "longest_s": run, "absent": absent,
                 "threshold": MISSING_NOTE, "ends_s": ends, "threshold_ends": ENDS},
                tuple(heavy) + tuple(absent),
            )  # fmt: skip

    def _seconds(self, name: str) -> float:
        return self._lengths[name] / self.setting.rate_hz

    def _never_there(self, sensor: str, absent: list[str]) -> Finding:
        return Finding(
            "missing", "fault", f"{sensor} has no value in any recording: the set has no such sensor",
            "every channel of it is 0 for a network, and checks of this sensor, or of it against others, say nothing",
            f"take {sensor} out of the sensors of dataset.yaml, or import again with the columns that belong to it",
            {"sensor": sensor, "rows": sum(self._lengths.values()), "share": 1.0, "absent": absent}, tuple(absent),
        )  # fmt: skip

    def _missing_by_class(self) -> Iterator[Finding]:
        classes = self.setting.meta.classes
        tested = False
        for sensor in self.setting.meta.sensors:
            runs = self._runs[sensor]
            if len(runs) < MISSING_RUNS or len(classes) < 2:
                continue
            tested = True
            weights = np.array([self._classes[name] for name, _ in runs])
            weights /= weights.sum(axis=1, keepdims=True)
            seen = np.bincount([label for _, label in runs], minlength=len(classes))
            expected = weights.sum(axis=0)
            use = expected > 0
            statistic = float(((seen - expected)[use] ** 2 / expected[use]).sum())
            # Where a loss of signal falls is drawn anew within its recording, without regard to the label.
            rng = np.random.default_rng(0)
            limits = np.cumsum(weights, axis=1)
            null = np.empty(_DRAWS)
            for draw in range(_DRAWS):
                at = (limits < rng.random(len(runs))[:, None]).sum(axis=1)
                counts = np.bincount(np.minimum(at, len(classes) - 1), minlength=len(classes))
                null[draw] = ((counts - expected)[use] ** 2 / expected[use]).sum()
            p = (1 + (null >= statistic).sum()) / (1 + _DRAWS)
            table = self._by_class[sensor]
            share = np.divide(table[:, 0], table[:, 1], out=np.full(len(classes), np.nan), where=table[:, 1] > 0)
            lift = share - table[:, 0].sum() / max(table[:, 1].sum(), 1)
            if p < ALPHA and np.nanmax(np.abs(lift)) > MISSING_LIFT:
                most = int(np.nanargmax(lift))
                yield Finding(
                    "missing_by_class", "confound",
                    f"{sensor} is missing more often in {classes[most]} ({share[most]:.1%}) than elsewhere",
                    "that a sensor is missing gives the class away, and will not do so where the sensor is better",
                    "compare with results on windows without missing samples (conv2d data leaks measures it)",
                    {"sensor": sensor, "share": dict(zip(classes, share, strict=True)), "p": p, "threshold": ALPHA,
                     "losses": len(runs)},
                )  # fmt: skip
        if not tested:
            if not any(self._missing.values()):
                yield not_applicable("missing_by_class", "nothing is missing for a while")
            else:
                yield not_measured("missing_by_class", f"fewer than {MISSING_RUNS} losses of signal under a label")

    def _stuck_findings(self) -> Iterator[Finding]:
        for title, found in self._stuck.items():
            worst = max(found, key=lambda name: found[name][0])
            coarse = all(flag for _, flag in found.values())
            seconds = found[worst][0] / self.setting.rate_hz
            yield Finding(
                "stuck", "note" if coarse else "fault",
                f"{title} gives the same value for {seconds:.3g} s in {worst}"
                + (f", and for long in {counted(len(found) - 1, 'other recording')}" if len(found) > 1 else ""),
                "values are so coarse that stillness explains it" if coarse else
                "noise never repeats all axes: the sensor hung, slept, or its last value was held",
                "" if coarse else "blank these samples on import (NaN), so that they count as missing",
                {"vector": title, "longest_s": seconds, "threshold_s": least_stuck(self.setting.rate_hz)
                 / self.setting.rate_hz, "seconds_by_recording": {n: c / self.setting.rate_hz for n, (c, _)
                                                                  in found.items()}},
                tuple(found),
            )  # fmt: skip

    def _saturated(self) -> Iterator[Finding]:
        by_sensor: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for (column, sign), entries in self._rails.items():
            rail = max(entry.top for entry in entries)
            touching = [entry for entry in entries if entry.top >= RAIL * rail]
            samples, below, visits = (sum(getattr(e, k) for e in touching) for k in ("on_top", "below", "visits"))
            same, common = (sum(getattr(e, k) for e in touching) for k in ("same", "common"))
            shared = len(touching) >= 2 and visits >= RAIL_SAMPLES
            alone = any(e.visits >= RAIL_VISITS and e.on_top > e.visits for e in touching)
            piled = samples >= max(RAIL_SAMPLES, RAIL_EXCESS * below)
            exact = same >= max(RAIL_SAMPLES, RAIL_EXCESS * common)
            jumps = float(np.median([e.step for e in touching])) >= RAIL_STEP * rail
            if (piled or exact) and (shared or alone) and jumps:
                by_sensor[column.partition("/")[0]].append(
                    {"column": column, "rail": sign * rail, "samples": samples, "below": below,
                     "share": samples / self._n, "recordings": [entry.name for entry in touching]}
                )  # fmt: skip
        for sensor, found in by_sensor.items():
            bad = any(entry["share"] > RAIL_SHARE for entry in found)
            said = ", ".join(f"{entry['column'].partition('/')[2]} at {entry['rail']:.4g}" for entry in found)
            samples = sum(entry["samples"] for entry in found)
            yield Finding(
                "saturated", "fault" if bad else "note",
                f"{sensor} is cut off: {said} ({counted(samples, 'sample')} within 0.1 % of these values, "
                f"{sum(entry['below'] for entry in found)} in the 1.9 % below)",
                "the peaks of vigorous classes are missing, and the cut itself may become the mark of a class",
                "set a wider range when recording; here, say for which classes it matters",
                {"sensor": sensor, "rails": found, "samples": samples, "threshold_share": RAIL_SHARE,
                 "threshold_excess": RAIL_EXCESS},
                tuple(dict.fromkeys(name for entry in found for name in entry["recordings"])),
            )  # fmt: skip
