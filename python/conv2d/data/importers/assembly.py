"""Recordings put together from pieces of tables, checked while they pass and handed to the writer."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.mapping import TIME_UNITS, TableMapping
from conv2d.data.importers.tables import Piece
from conv2d.data.meta import RATE_TOLERANCE, format_rate, in_words
from conv2d.data.writer import DatasetWriter
from conv2d.errors import DataError

_FLUSH_ROWS = 1 << 16  # rows of one recording gathered before they are written
_PENDING_ROWS = 1 << 20  # rows of all recordings together that are held at most
_STEPS_KEPT = 100_000  # steps of time per recording that its rate is judged by
_SEPARATOR = "\x1f"


@dataclass(eq=False)
class Assembled:
    """One recording while its rows come in."""

    name: str
    key: str
    subject: str
    meta: Mapping[str, str]
    n_rows: int = 0
    origin: Any = None  # time of the first and the last row so far, in the table's unit
    last: Any = None
    steps: list[NDArray[np.float64]] = field(default_factory=list)
    n_steps: int = 0
    has_data: NDArray[np.bool_] | None = None  # per column of the data set
    pending: list[dict[str, NDArray[Any]]] = field(default_factory=list)
    n_pending: int = 0


class Assembler:
    """Takes pieces in order; `finish` writes what is left and gives the rate."""

    def __init__(self, writer: DatasetWriter, mapping: TableMapping) -> None:
        """Rows go to ``writer``, which must be entered."""
        self.recordings: dict[str, Assembled] = {}
        self.label_rows: dict[str, int] = {}
        self._writer = writer
        self._mapping = mapping
        self._classes: dict[str, int] = {c: i for i, c in enumerate(mapping.classes or ())}
        self._n_pending = 0

    def take(self, piece: Piece) -> None:
        """Add the rows of a piece to their recordings."""
        labels = self._labels(piece)
        for key, rows in self._rows_by_recording(piece):
            recording = self._recording(key, piece, rows)
            time_s = self._time(recording, piece, rows)
            part = self._signals(recording, piece, rows)
            part |= {f"quality {name}": piece.numbers[column][rows] for name, column in self._mapping.quality.items()}
            recording.pending.append({**part, "time_s": time_s, "label": labels[rows]})
            recording.n_rows += len(rows)
            recording.n_pending += len(rows)
            self._n_pending += len(rows)
            if recording.n_pending >= _FLUSH_ROWS:
                self._flush(recording)
        while self._n_pending > _PENDING_ROWS:
            self._flush(max(self.recordings.values(), key=lambda r: r.n_pending))

    def end_of_file(self) -> None:
        """Write what is left of recordings that cannot go on in another file."""
        if not self._mapping.recording_columns:
            for name, recording in self.recordings.items():
                if recording.n_pending:
                    self._flush(recording)
                self._writer.finish(name)

    def finish(self, source: str | Path) -> float:
        """Write the rest, check what only the whole shows, and return the rate in Hz."""
        if not self.recordings:
            raise DataError(f"E-DATA-016: {source} has no row of data, expected samples; name other tables")
        for name, recording in self.recordings.items():
            if recording.n_pending:
                self._flush(recording)
            self._writer.finish(name)
            self._check_values(name, recording)
        return self._rate()

    def _rows_by_recording(self, piece: Piece) -> Iterator[tuple[str, NDArray[np.int64]]]:
        columns = self._mapping.recording_columns
        if not columns:
            if piece.n_rows:
                yield str(piece.path), np.arange(piece.n_rows)
            return
        import pyarrow.compute as pc

        for column in columns:
            self._refuse_empty(piece, column, "the recording")
        keys = pc.binary_join_element_wise(*(piece.texts[c] for c in columns), _SEPARATOR).dictionary_encode()
        codes = keys.indices.to_numpy(zero_copy_only=False)
        order = np.argsort(codes, kind="stable")
        borders = np.flatnonzero(np.diff(codes[order])) + 1
        words = keys.dictionary.to_pylist()
        for rows in np.split(order, borders):
            if len(rows):
                yield words[codes[rows[0]]], rows

    def _recording(self, key: str, piece: Piece, rows: NDArray[np.int64]) -> Assembled:
        name = self._name(key, piece.path)
        subject = self._subject(piece, rows)
        meta = {k: self._constant(piece, rows, column) for k, column in self._mapping.meta.items()}
        recording = self.recordings.setdefault(name, Assembled(name, key, subject, meta))
        if recording.key != key:
            raise DataError(
                f"E-DATA-016: two recordings come out as {name!r} ({recording.key.replace(_SEPARATOR, ' ')} and "
                f"{key.replace(_SEPARATOR, ' ')}); rename a file or take more columns into recording"
            )
        if recording.subject != subject:
            raise DataError(
                f"E-DATA-016: recording {name} belongs to subject {recording.subject} and, in "
                f"{piece.place(int(rows[0]))}, to {subject}; take the subject's column into recording"
            )
        if recording.meta != meta:
            raise DataError(
                f"E-DATA-016: columns under meta change within recording {name} in {piece.place(int(rows[0]))}; "
                "take them into recording or leave them out"
            )
        return recording

    def _name(self, key: str, path: Path) -> str:
        parts = key.split(_SEPARATOR) if self._mapping.recording_columns else [file_stem(path)]
        return "_".join(re.sub(r"[^\w.-]+", "-", part).lstrip(".-") or "x" for part in parts)

    def _subject(self, piece: Piece, rows: NDArray[np.int64]) -> str:
        subject = self._mapping.subject
        if subject.column is not None:
            self._refuse_empty(piece, subject.column, "the subject")
            return self._constant(piece, rows, subject.column)
        if subject.constant is not None:
            return subject.constant
        assert subject.from_filename is not None  # the mapping gives one of the three
        found = subject.from_filename.search(file_stem(piece.path))
        if found is None or not found.group(1):
            raise DataError(
                f"E-DATA-016: from_filename {subject.from_filename.pattern!r} finds no subject in the file name "
                f"{piece.path.name}; correct the expression or the files to import"
            )
        return found.group(1)

    def _constant(self, piece: Piece, rows: NDArray[np.int64], column: str) -> str:
        values = piece.texts[column].take(rows)
        words = values.unique().to_pylist()
        if len(words) > 1:
            row = next(i for i, word in enumerate(values.to_pylist()) if word != words[0])
            raise DataError(
                f"E-DATA-016: column {column} changes within a recording from {words[0]!r} to {words[1]!r} in "
                f"{piece.place(int(rows[row]))}, expected one value; take the column into recording"
            )
        return words[0] or ""

    def _refuse_empty(self, piece: Piece, column: str, what: str) -> None:
        values = piece.texts[column]
        if values.null_count:
            row = int(np.argmax(values.is_null().to_numpy(zero_copy_only=False)))
            raise DataError(f"E-DATA-016: column {column} is empty in {piece.place(row)}, expected {what}; fill it in")

    def _time(self, recording: Assembled, piece: Piece, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        mapping = self._mapping
        if piece.time is None:
            assert mapping.rate_hz is not None  # the mapping has a rate where it has no time
            return (recording.n_rows + np.arange(len(rows))) / mapping.rate_hz
        raw = piece.time[rows]
        if recording.origin is None:
            recording.origin = raw[0]
        before = raw if recording.last is None else np.concatenate([[recording.last], raw])
        steps = np.diff(before)
        if (steps <= 0).any():
            i = int(np.argmax(steps <= 0)) + 1
            row = int(rows[i - len(before) + len(rows)])
            raise DataError(
                f"E-DATA-016: column {mapping.time_column} goes from {before[i - 1]} to {before[i]} in "
                f"{piece.place(row)}, expected increasing times within a recording; sort the rows or name the columns "
                "that tell recordings apart under recording"
            )
        recording.last = raw[-1]
        factor = TIME_UNITS[mapping.time_unit]
        if recording.n_steps < _STEPS_KEPT:
            recording.steps.append(steps * factor)
            recording.n_steps += len(steps)
        seconds: NDArray[np.float64] = (raw - recording.origin) * factor
        return seconds

    def _signals(self, recording: Assembled, piece: Piece, rows: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        columns = self._writer.meta.columns
        signals = {}
        has_data = np.zeros(len(columns), bool)
        for i, name in enumerate(columns):
            channel = self._mapping.channels[name]
            if channel.column is None:
                signals[name] = np.full(len(rows), np.nan, np.float32)
                continue
            with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such
                values = (piece.numbers[channel.column][rows] * channel.scale).astype(np.float32)
            infinite = np.isinf(values)
            if infinite.any():
                row = int(rows[int(np.argmax(infinite))])
                raise DataError(
                    f"E-DATA-016: column {channel.column} is {piece.numbers[channel.column][row]} in "
                    f"{piece.place(row)}, expected a number within float32; correct it or leave it empty"
                )
            has_data[i] = not np.isnan(values).all()
            signals[name] = values
        recording.has_data = has_data if recording.has_data is None else recording.has_data | has_data
        return signals

    def _labels(self, piece: Piece) -> NDArray[np.int64]:
        column = self._mapping.label_column
        if column is None:
            return np.full(piece.n_rows, -1, np.int64)
        encoded = piece.texts[column].dictionary_encode()
        words = encoded.dictionary.to_pylist()
        codes = encoded.indices.fill_null(len(words)).to_numpy(zero_copy_only=False)
        counts = np.bincount(codes, minlength=len(words) + 1)
        lookup = np.full(len(words) + 1, -1, np.int64)
        for code, word in enumerate(words):
            label = self._mapping.label_map.get(word, word)
            if label is None:
                continue
            if self._mapping.classes is not None and label not in self._classes:
                raise DataError(
                    f"E-DATA-010: column {column} has label {label!r} in {piece.place(int(np.argmax(codes == code)))}, "
                    f"classes names {in_words(self._mapping.classes, 30)}; add it there, or to map or null of label"
                )
            lookup[code] = self._classes.setdefault(label, len(self._classes))
            self.label_rows[label] = self.label_rows.get(label, 0) + int(counts[code])
        labels: NDArray[np.int64] = lookup[codes]
        return labels

    def _flush(self, recording: Assembled) -> None:
        parts = recording.pending
        joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        extra = dict(recording.meta)
        if recording.origin is not None:
            extra["start"] = self._start(recording.origin)
        self._writer.append(
            recording.name, recording.subject, joined["time_s"], joined, joined["label"], list(self._classes),
            quality={q: joined[f"quality {q}"] for q in self._mapping.quality}, extra=extra,
        )  # fmt: skip
        self._n_pending -= recording.n_pending
        recording.pending, recording.n_pending = [], 0

    def _start(self, origin: Any) -> str:
        if self._mapping.time_unit == "iso8601":
            return str(np.datetime_as_string(np.datetime64(int(origin), "ns"), unit="auto"))
        return repr(round(float(origin) * TIME_UNITS[self._mapping.time_unit], 9))

    def _check_values(self, name: str, recording: Assembled) -> None:
        columns = self._writer.meta.columns
        mapped = np.array([self._mapping.channels[c].column is not None for c in columns])
        has_data = np.asarray(recording.has_data)
        if not has_data.any():
            raise DataError(f"E-DATA-009: recording {name} has no value in any mapped column; leave its rows out")
        n_channels = len(self._writer.meta.channels)
        for i in np.flatnonzero(mapped & ~has_data):
            sensor = slice(i // n_channels * n_channels, (i // n_channels + 1) * n_channels)
            if has_data[sensor].any():  # otherwise the whole sensor is missing in this recording, which is allowed
                raise DataError(
                    f"E-DATA-009: column {self._mapping.channels[columns[i]].column} ({columns[i]}) has no value in "
                    f"recording {name} though its sensor has; correct the table, or map '{columns[i]}:' to nothing"
                )

    def _rate(self) -> float:
        given = self._mapping.rate_hz
        steps = {n: np.concatenate(r.steps) for n, r in self.recordings.items() if r.steps}
        rates = {name: 1 / float(np.median(s)) for name, s in steps.items() if len(s)}
        if given is None and not rates:
            raise DataError("E-DATA-016: no recording has two rows, so there is no rate to measure; give rate_hz")
        rate = round_rate(float(np.median(list(rates.values())))) if given is None else given
        for name, measured in rates.items():
            if abs(measured / rate - 1) > RATE_TOLERANCE:
                where = "the other recordings have" if given is None else "the mapping says"
                raise DataError(
                    f"E-DATA-007: recording {name} has {measured:.4g} samples per second by the median step of its "
                    f"time, {where} {format_rate(rate)} Hz; correct rate_hz or the unit of time, or import it apart"
                )
        return rate


def file_stem(path: Path) -> str:
    """A file's name without the suffixes of tables and compression.

    >>> file_stem(Path("raw/dog3.csv.gz"))
    'dog3'
    """
    return re.sub(r"(\.(csv|tsv|txt|parquet))?(\.(gz|bz2|zst))?$", "", path.name)


def round_rate(measured: float) -> float:
    """The rate that a measured one stands for: the whole number within 0.5 %, else four digits.

    >>> round_rate(99.98), round_rate(12.51)
    (100.0, 12.51)
    """
    whole = round(measured)
    return float(whole) if whole and abs(measured / whole - 1) < 0.005 else float(f"{measured:.4g}")
