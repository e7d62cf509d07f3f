"""Samples that were not measured: drawn by lines between others, or marked so by the set's own columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, not_applicable
from conv2d.data.audit.stream import Setting, Stream
from conv2d.data.audit.stretches import stretches
from conv2d.data.joining.provenance import HOW, MEANING, count_how

LINE_RUN = 4
"""Second differences of zero in a row, in all channels of a sensor: six samples on one line."""

LINE_TOLERANCE = 3e-6
"""Of the value, or of 1 where that is more: some roundings of float32."""

LINE_SHARE, LINE_SHARE_ONE = 0.005, 0.05
"""Of the whole set, or of one recording."""

UPSAMPLED_SHARE = 0.25
"""Samples that lie exactly between their neighbours without being part of a long line: every other one after a rate
was doubled by lines."""

QUALITY_SHARE = 0.01
GAP_MS = 50.0
GAP_PERIODS = 3.0
GAP_USUAL = 2.5
"""Times the usual distance of a recording: a sensor slower than the grid has no gap at each of its samples."""


_NOT_MEASURED = ("bridged", "edge", "clipped", "missing", "uncertain", "duplicate")


class Interpolated:
    """Looks for straight lines in all channels of a sensor at once; O(n) where there are none."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rows: dict[str, dict[str, Any]] = {}
        self._lines: dict[str, dict[str, int]] = {}  # sensor -> recording -> rows on lines
        self._middles: dict[str, int] = {}
        self._n = 0
        self._lengths: dict[str, int] = {}
        self._limit_ms = max(GAP_MS, GAP_PERIODS * 1000 / setting.rate_hz)
        self._beyond: dict[str, dict[str, tuple[int, float]]] = {}  # column -> recording -> rows beyond, largest
        self._how: dict[str, NDArray[np.int64]] = {}
        self._agree: dict[tuple[str, str], NDArray[np.int64]] = {}  # (sensor, column) -> both, on a line, beyond

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        self._n += stream.n
        self._lengths[stream.name] = stream.n
        on_line: dict[str, NDArray[np.bool_]] = {}
        row: dict[str, Any] = {}
        for place, sensor in enumerate(self.setting.meta.sensors):
            mask, middles = straight(stream.samples[:, place])
            on_line[sensor] = mask
            self._middles[sensor] = self._middles.get(sensor, 0) + middles
            if mask.any():
                self._lines.setdefault(sensor, {})[stream.name] = row[f"{sensor} rows on lines"] = int(mask.sum())
        for column, values in stream.quality.items():
            if column.endswith("_how") and values.dtype == np.uint8:
                counts = np.array(list(count_how(values).values()))
                self._how[column] = self._how.get(column, 0) + counts
            if "gap_ms" not in column:
                continue
            beyond = self._is_beyond(stream, column, values.astype(np.float64))
            row[f"{column} beyond {self._limit_ms:g}"] = int(beyond.sum())
            largest = float(values[beyond].max(initial=0.0))
            self._beyond.setdefault(column, {})[stream.name] = (int(beyond.sum()), largest)
            for sensor, mask in on_line.items():
                counts = np.array([(mask & beyond).sum(), mask.sum(), beyond.sum()])
                self._agree[sensor, column] = self._agree.get((sensor, column), 0) + counts
        if row:
            self.rows[stream.name] = row

    def _is_beyond(self, stream: Stream, column: str, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Rows that have a value though the samples behind it lie far apart."""
        known = values[np.isfinite(values)]
        if not len(known):
            return np.zeros(len(values), bool)
        owner = [s for s, sensor in enumerate(self.setting.meta.sensors) if column.startswith(f"{sensor}_")]
        samples = stream.samples[:, owner] if owner else stream.samples
        there = np.isfinite(samples).any(axis=(0, 1))
        return np.asarray(there & (values > max(self._limit_ms, GAP_USUAL * float(np.median(known)))))

    def findings(self) -> Iterator[Finding]:
        """Lines found, and what quality columns say."""
        for sensor in self.setting.meta.sensors:
            yield from self._of_sensor(sensor)
        if not self._beyond and not self._how:
            yield not_applicable("quality_column", "no column tells how a value came about (gap_ms, or _how of a join)")
        for column, by_recording in self._beyond.items():
            yield from self._of_column(column, by_recording)
        for column, counts in self._how.items():
            shares = dict(zip(HOW, (counts / max(self._n, 1)).tolist(), strict=True))
            told = {name: share for name, share in shares.items() if share > QUALITY_SHARE and name in _NOT_MEASURED}
            if told:
                yield Finding(
                    "quality_column", "note",
                    f"{column}: " + ", ".join(f"{share:.1%} {name}" for name, share in told.items()),
                    "; ".join(f"{name}: {MEANING[name]}" for name in told),
                    evidence={"column": column, "shares": shares, "threshold_share": QUALITY_SHARE},
                )  # fmt: skip

    def _of_sensor(self, sensor: str) -> Iterator[Finding]:
        found = self._lines.get(sensor, {})
        rows = sum(found.values())
        share = rows / max(self._n, 1)
        between = self._middles.get(sensor, 0) / max(self._n, 1)
        if between > UPSAMPLED_SHARE:
            yield Finding(
                "interpolated", "fault",
                f"{between:.0%} of the samples of {sensor} lie exactly between their neighbours: its rate was raised "
                "by drawing lines",
                "the declared rate is not that of the sensor, and half of the band is empty",
                "import at the sensor's own rate (conv2d data join resamples)",
                {"sensor": sensor, "share": between, "threshold": UPSAMPLED_SHARE},
            )  # fmt: skip
        if not rows:
            return
        agreement = {
            column: {"recall": both / beyond if beyond else None, "precision": both / max(lined, 1)}
            for (owner, column), (both, lined, beyond) in self._agree.items() if owner == sensor
        }  # fmt: skip
        said = "".join(
            f"; of those that {column} above {self._limit_ms:g} marks {values['recall']:.0%} were found, of those "
            f"found {values['precision']:.0%} are so marked"
            for column, values in agreement.items() if values["recall"] is not None
        )  # fmt: skip
        heavy = [name for name, count in found.items() if count > LINE_SHARE_ONE * self._lengths[name]]
        bad = share > LINE_SHARE or bool(heavy)
        yield Finding(
            "interpolated", "fault" if bad else "note",
            f"{share:.2%} of the samples of {sensor} lie on straight lines in all channels at once, "
            f"in {counted(len(found), 'recording')}{said if bad else ''}",
            "they were drawn over gaps, not measured: a network sees the lines, and a gap that comes with a behaviour "
            "gives it away",
            "blank these samples on import (NaN), so that data.max_gap_s decides about them",
            {"sensor": sensor, "rows": rows, "share": share, "threshold": LINE_SHARE,
             "threshold_of_one": LINE_SHARE_ONE, "against_columns": agreement,
             "rows_by_recording": found},
            tuple(found),
        )  # fmt: skip

    def _of_column(self, column: str, by_recording: dict[str, tuple[int, float]]) -> Iterator[Finding]:
        rows = sum(n for n, _ in by_recording.values())
        concerned = {name: n for name, (n, _) in by_recording.items() if n}
        largest = max(value for _, value in by_recording.values())
        share = rows / max(self._n, 1)
        if not rows:
            return
        yield Finding(
            "quality_column", "fault" if share > QUALITY_SHARE else "note",
            f"{column} is above {self._limit_ms:g} ms on {share:.2%} of the rows, in "
            f"{counted(len(concerned), 'recording')} of {len(by_recording)}, at most {largest:g} ms",
            "by the set's own account these samples lie between measured ones that far apart",
            f"blank samples with {column} > {self._limit_ms:g} on import, or say how results change without them",
            {"column": column, "rows": rows, "share": share, "largest_ms": largest, "threshold_ms": self._limit_ms,
             "threshold_share": QUALITY_SHARE, "rows_by_recording": concerned},
            tuple(concerned),
        )  # fmt: skip


def straight(samples: NDArray[np.float32]) -> tuple[NDArray[np.bool_], int]:
    """Which samples of a sensor (C, n) lie on a line of six or more in all channels, and how many lie between two.

    A line that does not move is no line but a sensor that stands still. The second figure counts samples that are the
    mean of their neighbours and not part of a line.
    """
    n = samples.shape[1]
    on_line = np.zeros(n, bool)
    live = np.isfinite(samples).any(axis=1)
    if n < 3 or live.sum() < 2:  # one channel alone can lie on a line by chance
        return on_line, 0
    middle = np.arange(1, n - 1)
    moves = np.zeros(n - 2, bool)
    for channel in samples[live]:
        # Few places are left after the first channel, so the others cost next to nothing.
        before, here, after = (channel[middle + k].astype(np.float64) for k in (-1, 0, 1))
        straight_here = np.abs(after - 2 * here + before) <= LINE_TOLERANCE * np.maximum(1.0, np.abs(here))
        moves = (moves[: len(middle)] | (after != here))[straight_here]
        middle = middle[straight_here]
    zero = np.zeros(n, bool)
    zero[middle[moves]] = True
    start, end = stretches(zero)
    long = end - start >= LINE_RUN
    for first, last in zip(start[long], end[long], strict=True):
        on_line[first - 1 : last + 1] = True
    return on_line, int((end - start)[~long].sum())
