"""One recording after the other: its sensors' streams on one grid, with labels, subject and an account."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.labels import Intervals
from conv2d.data.joining.lag import lags_by_signal
from conv2d.data.joining.plan import JoinPlan
from conv2d.data.joining.provenance import MISSING, UNCERTAIN, count_how
from conv2d.data.joining.sampling import SAME_RATE, Sampled, sample_sensor
from conv2d.data.joining.stamps import Stamps
from conv2d.data.joining.steps import HostStep, distinct, settle_rows, settle_timed
from conv2d.data.joining.streams import Source, Stream, Vocabulary
from conv2d.data.joining.timing import Timed, time_samples
from conv2d.data.meta import RATE_TOLERANCE, DatasetMeta, in_words
from conv2d.data.recording import Recording
from conv2d.errors import DataError

_LEAST_OVERLAP = 0.1  # of the shorter of two sensors
_ABSURD = 10  # times the rows that were measured
_SURELY_SMALL = 10_000
_LEFT_OUT_S = 1.0  # more is told
_LABEL_REACH = 1.0  # periods of the slower rate within which a row's label is taken

_COUNTED = ("recordings", "valid", "rows", "dropped", "breaks", "resets", "lost", "uncertain")

Array = NDArray[np.float64]


class Joiner:
    """Joins one recording after the other and keeps count."""

    def __init__(
        self,
        plan: JoinPlan,
        sources: Mapping[str, Source],
        words: Vocabulary,
        intervals: Intervals | None,
        rate_hz: float,
    ) -> None:
        self.plan, self.sources, self.words, self.intervals, self.rate_hz = plan, sources, words, intervals, rate_hz
        self.channels = tuple(dict.fromkeys(c for s in sources.values() for c in s.channels))
        self.notes: list[str] = []
        self.subjects: set[str] = set()
        self.n_rows = self.n_recordings = 0
        self.label_rows: dict[str, int] = {}
        self.counts = {s: dict.fromkeys(_COUNTED, 0) for s in sources}
        self.drifts: dict[str, list[float]] = {s: [] for s in sources}

    def meta(self) -> DatasetMeta:
        """What ``dataset.yaml`` says, with the classes met so far."""
        plan = self.plan
        units = dict(plan.units) | {"how": "bits, see joining.json", "gap_ms": "ms between the source's rows around"}
        notes = [*plan.notes, f"Joined by conv2d from {len(self.sources)} sensors; joining.json tells how."]
        for sensor, source in self.sources.items():
            if lacking := [c for c in self.channels if c not in source.channels]:
                notes.append(f"{sensor} has no {in_words(lacking)}: NaN throughout.")
        return DatasetMeta(
            name=plan.name,
            rate_hz=self.rate_hz,
            sensors=tuple(self.sources),
            channels=self.channels,
            classes=tuple(self.words.words) if self.words.fixed else tuple(sorted(self.words.words)),
            title=plan.title,
            units=units,
            licence=plan.licence,
            citation=plan.citation,
            notes=tuple(notes),
            quality_columns=tuple(f"{s}_{what}" for s in self.sources for what in ("how", "gap_ms")),
        )

    def join(self, name: str) -> tuple[Recording, dict[str, Any]]:
        """A recording and what ``joining.json`` says of it; DataError as of `join_sources`."""
        streams: dict[str, Stream] = {}
        timed: dict[str, Timed] = {}
        waiting: dict[str, Stamps] = {}  # what has no clock but the host's waits for those that show its steps
        for sensor, source in self.sources.items():
            if name in source.recordings():
                stamps, streams[sensor] = source.load(name)
                if stamps.device is not None or stamps.steady:
                    timed[sensor] = time_samples(stamps)
                else:
                    waiting[sensor] = stamps
                del stamps
        steps = distinct([step for t in timed.values() for step in t.steps])
        for sensor in list(timed) if steps else ():
            if timed[sensor].facts["clocks"] == 2:
                timed[sensor] = settle_timed(timed[sensor], steps, f"{sensor} in recording {name}")
        for sensor in list(waiting):
            stamps = waiting.pop(sensor)
            if steps and stamps.host is not None:
                stamps = replace(stamps, host=settle_rows(stamps.host, steps, stamps.where))
            timed[sensor] = time_samples(stamps)
            del stamps
        timed = {sensor: timed[sensor] for sensor in self.sources if sensor in timed}
        grid, facts = self._grid(name, timed)
        facts = {
            "start": _start(
                grid[0], dated=any(s.dated for s in streams.values()), zoned=any(s.zoned for s in streams.values())
            ),
            **facts,
        }
        labels = self._labels(name, streams, timed, grid, steps)
        subject = self._subject(name, streams)
        samples = np.full((len(self.channels), len(self.sources), len(grid)), np.nan, np.float32)
        quality: dict[str, NDArray[np.generic]] = {}
        facts["sensors"] = {}
        for place, (sensor, source) in enumerate(self.sources.items()):
            if sensor not in streams:
                quality[f"{sensor}_how"] = np.full(len(grid), MISSING, np.uint8)
                quality[f"{sensor}_gap_ms"] = np.full(len(grid), np.nan, np.float32)
                facts["sensors"][sensor] = {"missing": True, "how": count_how(np.full(len(grid), MISSING, np.uint8))}
                self.notes.append(f"{name}: no {sensor}, NaN throughout")
                continue
            # The rows go as soon as they are on the grid: they are the larger part of the memory.
            sampled = self._sensor(name, sensor, streams.pop(sensor), timed.pop(sensor), grid, facts["sensors"])
            samples[[self.channels.index(c) for c in source.channels], place] = sampled.values.T
            quality[f"{sensor}_how"], quality[f"{sensor}_gap_ms"] = sampled.how, sampled.gap_ms
        self._check_values(name, samples)
        facts["lag_by_signal"] = lags_by_signal(samples, tuple(self.sources), self.channels, self.rate_hz)
        facts["subject"] = subject
        self.subjects.add(subject)
        self.n_recordings += 1
        self.n_rows += len(grid)
        for word, code in self.words.words.items():
            self.label_rows[word] = self.label_rows.get(word, 0) + int(np.count_nonzero(labels == code))
        recording = Recording(
            name, subject, self.rate_hz, tuple(self.sources), self.channels, np.arange(len(grid)) / self.rate_hz,
            samples, labels, tuple(self.words.words), quality, {"start": facts["start"]},
        )  # fmt: skip
        return recording, facts

    def _grid(self, name: str, timed: Mapping[str, Timed]) -> tuple[Array, dict[str, Any]]:
        """The common times: whole periods from a sample of a sensor that has this rate already, if one does."""
        starts = {s: float(t.time_s[0]) for s, t in timed.items()}
        ends = {s: float(t.time_s[-1]) for s, t in timed.items()}
        overlap = min(ends.values()) - max(starts.values())
        shortest = min(ends[s] - starts[s] for s in timed)
        if len(timed) > 1 and overlap < _LEAST_OVERLAP * shortest:
            spans = ", ".join(f"{s} from {starts[s]:.3f} to {ends[s]:.3f} s" for s in timed)
            raise DataError(
                f"E-DATA-020: the sensors of recording {name} do not overlap ({spans} on the host's clock), expected "
                f"at least {_LEAST_OVERLAP:.0%} of the shorter; correct the columns or units of time, or offset_s"
            )
        common = self.plan.span == "common"
        low = max(starts.values()) if common else min(starts.values())
        high = min(ends.values()) if common else max(ends.values())
        rates = {s: 1 / t.period_s for s, t in timed.items()}
        anchor = starts[
            next((s for s, r in rates.items() if abs(r / self.rate_hz - 1) <= SAME_RATE), next(iter(timed)))
        ]
        first = anchor + np.ceil((low - anchor) * self.rate_hz - 1e-4) / self.rate_hz
        n = int(np.floor((high - first) * self.rate_hz + 1e-4)) + 1
        if n < 1:
            raise DataError(
                f"E-DATA-020: recording {name} is shorter than a sample at {self.rate_hz:g} Hz, expected a recording; "
                "leave it out"
            )
        expected = max(len(t.rows) * t.period_s * self.rate_hz for t in timed.values())
        if n > max(_ABSURD * expected, _SURELY_SMALL):
            raise DataError(
                f"E-DATA-020: recording {name} would have {n} rows at {self.rate_hz:g} Hz for {expected:.0f} that were "
                "measured, so a clock leaps somewhere in it; correct the time (wrap of a counter, a date, a unit), or "
                "split the files at the leap"
            )
        left_out = {
            s: max(0.0, first - starts[s]) + max(0.0, ends[s] - (first + (n - 1) / self.rate_hz)) for s in timed
        }
        for sensor, seconds in left_out.items():
            if seconds > _LEFT_OUT_S:
                self.notes.append(
                    f"{name}: {seconds:.1f} s of {sensor} lie outside the span of all sensors (span: all keeps them)"
                )
        grid = first + np.arange(n) / self.rate_hz
        return grid, {"first_s": float(first), "n_rows": n, "seconds_left_out": left_out}

    def _sensor(
        self, name: str, sensor: str, stream: Stream, timed: Timed, grid: Array, facts: dict[str, Any]
    ) -> Sampled:
        spec = self.plan.sensors[sensor]
        in_order = len(timed.rows) == len(stream.values) and bool((np.diff(timed.rows) == 1).all())
        sampled = sample_sensor(
            stream.values if in_order else stream.values[timed.rows], timed, grid, self.rate_hz,
            kinds={c: spec.kind(c) for c in stream.channels},
            periods={c: v.period for c, v in spec.channels.items() if v.period is not None},
            max_gap_s=self.plan.max_gap_s,
        )  # fmt: skip
        notes = list(timed.notes)
        if not np.isfinite(stream.values).any():
            notes.append("no row has a value in any channel, NaN throughout")
        if 1 / timed.period_s < self.rate_hz * (1 - RATE_TOLERANCE):
            notes.append(
                f"measured at {1 / timed.period_s:.4g} Hz, so it holds nothing above {0.5 / timed.period_s:.4g} Hz"
            )
        self.notes += [f"{name}: {sensor}: {note}" for note in notes]
        counts = self.counts[sensor]
        counts["recordings"] += 1
        counts["rows"] += len(grid)
        counts["dropped"] += sum(timed.facts["rows_dropped"].values())
        counts["breaks"] += len(timed.facts["breaks"])
        counts["resets"] += sum(b["reason"] == "device_back" for b in timed.facts["breaks"])
        counts["lost"] += (timed.facts["lost_between_packets"] or {"samples": 0})["samples"]
        counts["uncertain"] += int(np.count_nonzero(sampled.how & UNCERTAIN))
        counts["valid"] += int(np.count_nonzero(sampled.how & MISSING == 0))
        if timed.facts["clocks"] == 2:
            self.drifts[sensor] += [p["drift_ppm"] for p in timed.facts["pieces"] if p["method"] != "assumed"]
        facts[sensor] = {"files": list(stream.files), **timed.facts, **sampled.facts, "notes": notes}
        return sampled

    def _check_values(self, name: str, samples: NDArray[np.float32]) -> None:
        has_data: NDArray[np.bool_] = np.asarray(np.isfinite(samples).any(axis=2))
        if not has_data.any():
            raise DataError(f"E-DATA-009: recording {name} has no value in any channel; leave its files out")
        for place, (sensor, source) in enumerate(self.sources.items()):
            own = [c for c in source.channels if not has_data[self.channels.index(c), place]]
            if own and len(own) < len(source.channels):
                raise DataError(
                    f"E-DATA-009: {in_words(own)} of {sensor} has no value in recording {name} though the sensor has; "
                    "correct the file, or leave the channel out of the mapping"
                )

    def _labels(
        self,
        name: str,
        streams: Mapping[str, Stream],
        timed: Mapping[str, Timed],
        grid: Array,
        steps: Sequence[HostStep],
    ) -> NDArray[np.int64]:
        if self.intervals is not None:
            labels, outside = self.intervals.at(name, grid, steps)
            if outside:
                self.notes.append(
                    f"{name}: {outside} of {self.intervals.count(name)} labels lie wholly outside of the recording, "
                    f"which runs from {grid[0]:.3f} to {grid[-1]:.3f} s of the host"
                )
            return labels
        label = self.plan.label
        if label is None or label.sensor is None or label.sensor not in streams:
            return np.full(len(grid), -1, np.int64)
        stream, clock = streams[label.sensor], timed[label.sensor]
        assert stream.labels is not None
        after = np.clip(np.searchsorted(clock.time_s, grid), 1, len(clock.time_s) - 1)
        nearer = np.where(grid - clock.time_s[after - 1] <= clock.time_s[after] - grid, after - 1, after)
        reach = _LABEL_REACH * max(clock.period_s, 1 / self.rate_hz)
        labels = stream.labels[clock.rows[nearer]]
        return np.where(np.abs(clock.time_s[nearer] - grid) <= reach, labels, -1)

    def _subject(self, name: str, streams: Mapping[str, Stream]) -> str:
        rule = self.plan.subject
        if rule is not None and rule.constant is not None:
            return rule.constant
        found: dict[str, str] = {}
        for sensor, stream in streams.items():
            if rule is not None and rule.from_filename is not None:
                for stem in self.sources[sensor].stems(name):
                    match = re.search(rule.from_filename, stem)
                    if match and match.group(1):
                        found[match.group(1)] = stem
            elif stream.subject:
                found[stream.subject] = sensor
        if len(found) != 1:
            said = " and ".join(f"{s!r} (by {by})" for s, by in sorted(found.items())) or "no subject"
            raise DataError(
                f"E-DATA-016: recording {name} has {said}, expected one; correct subject in the mapping or the files"
            )
        return next(iter(found))


def _start(first_s: float, *, dated: bool, zoned: bool) -> str:
    """The host time of the first sample, as importers write it; with its zone, UTC, where stamps told theirs."""
    if dated:
        text = str(np.datetime_as_string(np.datetime64(round(first_s * 1e6), "us"), unit="auto"))
        return f"{text if 'T' in text else text + 'T00:00'}Z" if zoned else text
    return repr(round(float(first_s), 9))
