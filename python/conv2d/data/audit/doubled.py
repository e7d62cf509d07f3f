"""The same samples twice: held by a sensor, or standing in two recordings, perhaps under two labels."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.copies import Copy, Rows, row_hashes
from conv2d.data.audit.findings import Finding, counted, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream, start_of
from conv2d.data.audit.stretches import stretches
from conv2d.data.audit.values import least_stuck
from conv2d.data.duplicates import COPY_RUN

HELD_SHARE, HELD_SHARE_ONE = 0.005, 0.02
"""Of the whole set, or of one recording; a phone that is late now and then holds 0.1 %."""

HELD_LIFT = 3.0
"""Times as many as if the channels of a sensor repeated independently of each other, second by second."""

ROWS_KEPT = 10**8
"""Rows whose hash is held; of a larger set those are compared whose hash ends in zeros, the same in every recording."""


class Doubled:
    """Keeps a hash of each row, 8 bytes, and compares all with all by sorting them."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rows: dict[str, dict[str, Any]] = {}
        self.shared: NDArray[np.int64] = np.empty((0, 3), np.int64)  # recording, recording, rows in common
        self.seen_earlier: dict[str, int] = {}  # rows of each recording that an earlier one has too
        self._held: dict[str, dict[str, tuple[int, int, float]]] = defaultdict(dict)
        self._names: list[str] = []
        self._order: list[tuple[str, float, str]] = []
        self._subjects: list[str] = []
        self._hashes: list[NDArray[np.uint64]] = []
        self._labels: list[NDArray[np.int16]] = []
        self._places: list[NDArray[np.uint32]] | None = None  # row numbers, once not all rows are kept
        self._zeros = np.uint64(0)
        self._kept = self._seen = 0
        self._lengths: dict[str, int] = {}

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        self._look_for_held(stream)
        begin = start_of(stream.row)
        self._names.append(stream.name)
        self._lengths[stream.name] = stream.n
        self._subjects.append(stream.subject)
        self._order.append((stream.subject, np.inf if begin is None else begin, stream.name))
        hashes = row_hashes(stream.samples)
        labels = stream.labels.astype(np.int16)
        if self._places is not None:
            place = np.flatnonzero(self._stays(hashes))
            hashes, labels = hashes[place], labels[place]
            self._places.append(place.astype(np.uint32))
        self._hashes.append(hashes)
        self._labels.append(labels)
        self._kept += len(hashes)
        self._seen += stream.n
        while self._kept > ROWS_KEPT:
            self._thin()

    def _stays(self, hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Rows that are kept of a set that is too large: by their content, so that copies stay on both sides."""
        return np.asarray((hashes & self._zeros == 0) & (hashes != 0))

    def _thin(self) -> None:
        """Halve what is kept by one more bit that has to be zero."""
        self._zeros = (self._zeros << np.uint64(1)) | np.uint64(1)
        if self._places is None:
            self._places = [np.arange(len(hashes), dtype=np.uint32) for hashes in self._hashes]
        keep = [self._stays(hashes) for hashes in self._hashes]
        self._hashes = [values[mask] for values, mask in zip(self._hashes, keep, strict=True)]
        self._places = [values[mask] for values, mask in zip(self._places, keep, strict=True)]
        self._labels = [values[mask] for values, mask in zip(self._labels, keep, strict=True)]
        self._kept = sum(map(len, self._hashes))

    def _look_for_held(self, stream: Stream) -> None:
        stuck = least_stuck(self.setting.rate_hz)
        second = max(round(self.setting.rate_hz), 10)
        for place, sensor in enumerate(self.setting.meta.sensors):
            samples = stream.samples[:, place]
            live = np.flatnonzero(np.isfinite(samples).any(axis=1))
            if len(live) < 2 or stream.n < 2:
                continue
            equal = [samples[c, 1:] == samples[c, :-1] for c in live]
            same = np.logical_and.reduce(equal)
            if not same.any():
                continue
            start, end = stretches(same)
            stuck_here = end - start + 1 >= stuck
            for first, last in zip(start[stuck_here], end[stuck_here], strict=True):
                same[first:last] = False
            count = int(same.sum())
            if not count:
                continue
            # What independent channels would do, second by second: at rest coarse values repeat without being held.
            edges = np.arange(0, len(same), second)
            width = np.diff(np.append(edges, len(same)))
            chance = np.prod([np.add.reduceat(e.astype(np.float64), edges) / width for e in equal], axis=0) @ width
            if count > HELD_LIFT * chance:
                run = int((end - start)[~stuck_here].max(initial=0)) + 1
                self._held[sensor][stream.name] = (count, run, float(chance))
                self.rows.setdefault(stream.name, {})[f"{sensor} rows held"] = count

    def findings(self) -> Iterator[Finding]:
        """What is doubled."""
        yield from self._held_findings()
        yield from self._twice()

    def _held_findings(self) -> Iterator[Finding]:
        if len(self.setting.meta.channels) < 2:
            yield not_applicable("doubled_within", "a sensor of one channel repeats its value by chance")
        for sensor, found in self._held.items():
            rows = sum(count for count, _, _ in found.values())
            run = max(run for _, run, _ in found.values())
            share = rows / max(self._seen, 1)
            heavy = [name for name, (count, _, _) in found.items() if count > HELD_SHARE_ONE * self._lengths[name]]
            bad = share > HELD_SHARE or bool(heavy)
            yield Finding(
                "doubled_within", "fault" if bad else "note",
                f"{sensor} repeats its last sample, in all channels at once, in {rows:,} rows ({share:.2%}) of "
                f"{counted(len(found), 'recording')}, at most {counted(run, 'row')} alike",
                "samples were held where one was late or lost, or the rate was raised by repeating: steps that no "
                "movement has" if bad else "too few to matter: a sample was late and the last one was given again",
                "import at the sensor's own rate, or blank the repeated samples" if bad else "",
                {"sensor": sensor, "rows": rows, "share": share, "longest": run, "threshold_share": HELD_SHARE,
                 "threshold_share_of_one": HELD_SHARE_ONE,
                 "rows_by_recording": {name: values[0] for name, values in found.items()}},
                tuple(heavy or found),
            )  # fmt: skip

    def _twice(self) -> Iterator[Finding]:
        if not self._names:
            return
        rows = Rows(self._hashes, self._labels, self._places)
        copies, by_run = rows.compare()
        factor = int(self._zeros) + 1
        thinned = f"; of {self._seen:,} rows 1 in {factor} was compared" if factor > 1 else ""
        if copies is None or (by_run and factor > 1):
            reason = f"rows are alike so often that copies cannot be told from chance{thinned}"
            yield not_measured("doubled_between", reason, rows=self._seen)
            yield not_measured("doubled_label", reason, rows=self._seen)
            return
        yield from self._within(
            [c for c in copies if c.first == c.second and c.rows * factor >= COPY_RUN], rows, factor
        )
        if len(self._names) < 2:
            yield not_applicable("doubled_between", "there is one recording")
            yield not_applicable("doubled_label", "there is one recording")
            return
        between = [copy for copy in copies if copy.first != copy.second]
        if between:
            yield from self._copy_findings(between, rows, by_run, thinned)

    def _within(self, copies: list[Copy], rows: Rows, factor: int) -> Iterator[Finding]:
        if not copies:
            return
        worst = max(copies, key=lambda copy: copy.rows)
        names = tuple(dict.fromkeys(self._names[copy.first] for copy in copies))
        yield Finding(
            "doubled_within", "fault",
            f"{counted(len(copies), 'stretch')} of {COPY_RUN} rows or more stand twice in the same recording, "
            f"{worst.rows * factor:,} rows of {self._names[worst.first]} from row {rows.row(worst.at)} on again at "
            f"row {rows.row(worst.again)}",
            "a file was joined with itself: bouts and durations are counted twice",
            "drop the second copy of these rows",
            {"rows": sum(copy.rows for copy in copies) * factor, "threshold_run": COPY_RUN,
             "copies": [{"recording": self._names[c.first], "first_row": rows.row(c.at), "again": rows.row(c.again),
                         "rows": c.rows * factor} for c in sorted(copies, key=lambda c: -c.rows)[:50]]},
            names,
        )  # fmt: skip

    def _copy_findings(self, copies: list[Copy], rows: Rows, by_run: bool, thinned: str) -> Iterator[Finding]:
        factor = int(self._zeros) + 1
        pairs: dict[tuple[int, int], int] = defaultdict(int)
        runs: dict[tuple[int, int], int] = defaultdict(int)
        for copy in copies:
            pairs[copy.first, copy.second] += copy.rows
            runs[copy.first, copy.second] = max(runs[copy.first, copy.second], copy.rows)
        self.shared = np.array([(a, b, n * factor) for (a, b), n in pairs.items()], np.int64)
        across = [pair for pair in pairs if self._subjects[pair[0]] != self._subjects[pair[1]]]
        long = [pair for pair, run in runs.items() if run * factor >= COPY_RUN]
        mask = np.zeros(rows.n, bool)
        for copy in copies:
            mask[copy.at : copy.at + copy.rows] = True
            mask[copy.again : copy.again + copy.rows] = True
        counts = rows.count_by_recording(mask) * factor
        for index, count in enumerate(counts):
            if count:
                self.rows.setdefault(self._names[index], {})["rows that stand elsewhere"] = int(count)
        concerned = tuple(self._names[i] for i in np.flatnonzero(counts))
        later, later_recordings = self._in_an_earlier_one(copies, rows, factor)
        worst = max(pairs, key=lambda pair: pairs[pair])
        where = (
            f"{counted(len(across), 'pair')} of recordings of different subjects among them"
            if across else "never across subjects"
        )  # fmt: skip
        yield Finding(
            "doubled_between", "fault" if across or long else "note",
            f"{later:,} rows in {counted(later_recordings, 'recording')} also stand in an earlier recording, {where}; "
            f"{self._names[worst[0]]} and {self._names[worst[1]]} share {pairs[worst] * factor:,}{thinned}",
            "a split by subject leaks them too: a test window can stand in training bit for bit" if across else
            "a split by recording or at random puts them on both sides; a split by subject does not",
            "drop one of each pair of recordings" if across else "split by subject, or cut the rows that come twice",
            {"rows_seen_earlier": later, "recordings_seen_earlier": later_recordings,
             "rows_both_ways": int(counts.sum()), "recordings_both_ways": len(concerned),
             "pairs": len(pairs), "pairs_across_subjects": len(across), "pairs_with_a_run": len(long),
             "threshold_run": COPY_RUN, "compared": "runs" if by_run else "rows", "one_row_in": factor,
             "copies": [
                 {"first": self._names[c.first], "first_row": rows.row(c.at), "second": self._names[c.second],
                  "second_row": rows.row(c.again), "rows": c.rows}
                 for c in sorted(copies, key=lambda c: -c.rows)[:50]
             ]},
            concerned,
        )  # fmt: skip
        conflicts = sum(copy.conflicting for copy in copies)
        if conflicts:
            by_pair, distinct = rows.conflicts(copies, self.setting.meta.classes)
            first = max(by_pair, key=lambda pair: by_pair[pair])
            yield Finding(
                "doubled_label", "fault",
                f"{distinct * factor:,} rows that stand in two recordings carry two labels, most often {first} "
                f"({by_pair[first] * factor:,})",
                "the same samples cannot be both: it bounds the accuracy that any method can reach there",
                "decide for one of the labels, or leave both unlabelled",
                {"rows": distinct * factor, "by_labels": {k: v * factor for k, v in by_pair.items()}},
                tuple(dict.fromkeys(self._names[i] for c in copies if c.conflicting for i in (c.first, c.second))),
            )  # fmt: skip

    def _in_an_earlier_one(self, copies: list[Copy], rows: Rows, factor: int) -> tuple[int, int]:
        """Rows that an earlier recording has too, by start within a subject and by name else; and in how many."""
        rank = np.empty(len(self._names), np.int64)
        rank[sorted(range(len(self._names)), key=lambda i: self._order[i])] = np.arange(len(self._names))
        mask = np.zeros(rows.n, bool)
        for copy in copies:
            late_first = rank[copy.first] > rank[copy.second]
            begin = copy.at if late_first else copy.again
            mask[begin : begin + copy.rows] = True
        self.seen_earlier = dict(zip(self._names, (rows.count_by_recording(mask) * factor).tolist(), strict=True))
        return int(mask.sum()) * factor, sum(count > 0 for count in self.seen_earlier.values())
