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
from conv2d.data.importers.time_check import STEPS_KEPT, TimeCheck, common_rate, increasing
from conv2d.data.meta import clipped, in_words
from conv2d.data.writer import DatasetWriter
from conv2d.errors import DataError

_FLUSH_ROWS = 1 << 16  # rows of one recording gathered before they are written
_PENDING_BYTES = 192 << 20  # of all recordings together that are held at most
_PARTS_MERGED = 32  # parts of a recording; where thousands alternate, a part is a few rows and its arrays' own size
_MOST_LABELS = 1000  # more are hardly names of behaviour, and each is kept in memory
_MANY_RECORDINGS = 20_000  # from here on recordings of a few rows each are taken for a mapping that is off
_LONGEST_NAME = 200  # bytes; file systems allow 255, and a name gets a suffix
_SEPARATOR = "\x1f"


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive rows of one recording: ``values`` (columns of the data set, rows), ``quality`` (columns, rows)."""

    time_s: NDArray[np.float64]
    values: NDArray[np.float32]
    quality: NDArray[np.float64]
    labels: NDArray[np.int32]


@dataclass(eq=False)
class Assembled:
    """One recording while its rows come in."""

    name: str
    key: str
    subject: str
    meta: Mapping[str, str]
    n_rows: int = 0
    clock: TimeCheck = field(default_factory=TimeCheck)
    has_data: NDArray[np.bool_] | None = None  # per column of the data set
    pending: list[Part] = field(default_factory=list)
    n_pending: int = 0


class Assembler:
    """Takes pieces in order; `finish` writes what is left and gives the rate."""

    def __init__(self, writer: DatasetWriter, mapping: TableMapping) -> None:
        """Rows go to ``writer``, which must be entered."""
        self.recordings: dict[str, Assembled] = {}
        self.label_rows: dict[str, int] = {}
        self._by_key: dict[str, Assembled] = {}
        self._writer = writer
        self._mapping = mapping
        self._classes: dict[str, int] = {c: i for i, c in enumerate(mapping.classes or ())}
        self._unfinished: dict[str, Assembled] = {}
        self._codes: dict[str, NDArray[np.int32]] = {}  # of the texts of the piece at hand, -1 where empty
        self._n_pending = 0
        self._n_rows = 0
        self._n_steps = 0
        row_bytes = 4 * len(mapping.channels) + 8 * len(mapping.quality) + 12
        self._most_pending = _PENDING_BYTES // row_bytes

    def take(self, piece: Piece) -> None:
        """Add the rows of a piece to their recordings."""
        if not piece.n_rows:
            return
        self._codes = {
            c: words.indices.fill_null(-1).to_numpy(zero_copy_only=False) for c, words in piece.texts.items()
        }
        labels = self._labels(piece)
        groups = list(self._rows_by_recording(piece))
        # Rows of one recording lie together from here on, so that every column is sorted once and not once a recording.
        order = groups[0][1] if len(groups) == 1 else np.concatenate([rows for _, rows in groups])
        in_order = len(groups) == 1
        values = self._values(piece, None if in_order else order)
        quality = np.array([piece.numbers[c] for c in self._mapping.quality.values()]).reshape(-1, piece.n_rows)
        if not in_order:
            quality, labels = quality[:, order], labels[order]
        at = 0
        for key, rows in groups:
            part = slice(at, at := at + len(rows))
            recording = self._recording(key, piece, rows)
            time_s = self._time(recording, piece, rows)
            taken = Part(time_s, values[:, part], quality[:, part], labels[part])
            if not in_order:  # a view would keep the rows of all recordings of the piece
                taken = Part(time_s, taken.values.copy(), taken.quality.copy(), taken.labels.copy())
            self._add(recording, taken)
        if self._n_pending > self._most_pending:
            # Down to a half, the fullest first: few long pieces are written faster than many short ones.
            for recording in sorted(self.recordings.values(), key=lambda r: -r.n_pending):
                if self._n_pending <= self._most_pending // 2:
                    break
                self._flush(recording)

    def end_of_file(self) -> None:
        """Write what is left of recordings that cannot go on in another file."""
        if not self._mapping.recording_columns:
            for name, recording in self._unfinished.items():
                self._flush(recording)
                self._writer.finish(name)
            self._unfinished.clear()

    def finish(self, source: str | Path) -> float:
        """Write the rest, check what only the whole shows, and return the rate in Hz."""
        if not self.recordings:
            raise DataError(f"E-DATA-016: {source} has no row of data, expected samples; name other tables")
        for name, recording in self.recordings.items():
            self._flush(recording)
            self._writer.finish(name)
            self._check_values(name, recording)
        clocks = {name: recording.clock for name, recording in self.recordings.items()}
        return common_rate(clocks, self._mapping.rate_hz, self._mapping.time_unit)

    def _add(self, recording: Assembled, part: Part) -> None:
        n = len(part.time_s)
        recording.pending.append(part)
        if len(recording.pending) >= _PARTS_MERGED:
            recording.pending = [_joined(recording.pending)]
        recording.n_rows += n
        recording.n_pending += n
        self._n_pending += n
        self._n_rows += n
        if recording.has_data is None or not recording.has_data.all():
            has_data = np.logical_not(np.isnan(part.values).all(axis=1))
            recording.has_data = has_data if recording.has_data is None else recording.has_data | has_data
        if recording.n_pending >= _FLUSH_ROWS:
            self._flush(recording)

    def _rows_by_recording(self, piece: Piece) -> Iterator[tuple[str, NDArray[np.int64]]]:
        columns = self._mapping.recording_columns
        if not columns:
            if piece.n_rows:
                yield str(piece.path), np.arange(piece.n_rows)
            return
        codes = np.zeros(piece.n_rows, np.int64)
        for column in columns:
            self._refuse_empty(piece, column, "the recording")
            codes = codes * len(piece.texts[column].dictionary) + self._codes[column]
        if (codes == codes[0]).all():
            groups = [np.arange(piece.n_rows)]
        else:
            order = np.argsort(codes, kind="stable")
            groups = np.split(order, np.flatnonzero(np.diff(codes[order])) + 1)
            groups.sort(key=lambda rows: int(rows[0]))  # recordings are listed in the order in which they begin
        for rows in groups:
            yield _SEPARATOR.join(piece.texts[c][int(rows[0])].as_py() for c in columns), rows

    def _recording(self, key: str, piece: Piece, rows: NDArray[np.int64]) -> Assembled:
        known = self._by_key.get(key)
        subject = self._subject(piece, rows, known)
        meta = {
            k: self._constant(piece, rows, column, known.meta[k] if known else None)
            for k, column in self._mapping.meta.items()
        }
        if known is not None:
            if known.subject != subject:
                raise DataError(
                    f"E-DATA-016: recording {known.name} belongs to subject {known.subject} and, in "
                    f"{piece.place(int(rows[0]))}, to {subject}; take another column into recording"
                )
            self._unfinished[known.name] = known
            return known
        name = self._name(key, piece.path)
        if name in self.recordings:
            other = self.recordings[name].key
            raise DataError(
                f"E-DATA-016: two recordings come out as {name!r} ({other.replace(_SEPARATOR, ' ')} and "
                f"{key.replace(_SEPARATOR, ' ')}); rename a file or take more columns into recording"
            )
        recording = Assembled(name, key, subject, meta)
        self.recordings[name] = self._by_key[key] = self._unfinished[name] = recording
        self._refuse_many_recordings(piece, rows)
        return recording

    def _refuse_many_recordings(self, piece: Piece, rows: NDArray[np.int64]) -> None:
        n = len(self.recordings)
        if n >= _MANY_RECORDINGS and self._n_rows < 10 * n:
            what = in_words(self._mapping.recording_columns) or "file"
            raise DataError(
                f"E-DATA-016: {n} recordings of {self._n_rows / n:.1f} rows on average come of recording by {what}, up "
                f"to {piece.place(int(rows[0]))}, expected columns that are constant within a recording; take others"
            )

    def _name(self, key: str, path: Path) -> str:
        parts = key.split(_SEPARATOR) if self._mapping.recording_columns else [file_stem(path)]
        name = "_".join(re.sub(r"[^\w.-]+", "-", part).lstrip(".-") or "x" for part in parts)
        if len(name.encode()) > _LONGEST_NAME:
            raise DataError(
                f"E-DATA-016: a recording of {path.name} is named {clipped(name)!r}, {len(name.encode())} bytes long, "
                f"expected {_LONGEST_NAME} at most; take another column into recording"
            )
        return name

    def _subject(self, piece: Piece, rows: NDArray[np.int64], known: Assembled | None) -> str:
        subject = self._mapping.subject
        if subject.column is not None:
            self._refuse_empty(piece, subject.column, "the subject")
            return self._constant(piece, rows, subject.column, known.subject if known else None)
        if subject.constant is not None:
            return subject.constant
        assert subject.from_filename is not None  # the mapping gives one of the three
        found = subject.from_filename.search(file_stem(piece.path))
        if found is None or not (found.group(1) or "").strip():
            raise DataError(
                f"E-DATA-016: from_filename {subject.from_filename.pattern!r} finds no subject in the file name "
                f"{piece.path.name}; correct the expression or the files to import"
            )
        return found.group(1).strip()

    def _constant(self, piece: Piece, rows: NDArray[np.int64], column: str, before: str | None) -> str:
        """The one value of a column in these rows, which is the one of the rows ``before`` them."""
        codes = self._codes[column][rows]
        words = piece.texts[column].dictionary
        first: str = words[int(codes[0])].as_py() if codes[0] >= 0 else ""
        other = codes != codes[0]
        if other.any() or before not in (None, first):
            i = 0 if before not in (None, first) else int(np.argmax(other))
            then = words[int(codes[i])].as_py() if codes[i] >= 0 else ""
            first = first if before is None else before
            raise DataError(
                f"E-DATA-016: column {column} changes within a recording from {clipped(first)!r} to {clipped(then)!r} "
                f"in {piece.place(int(rows[i]))}, expected one value; take the column into recording"
            )
        return first

    def _refuse_empty(self, piece: Piece, column: str, what: str) -> None:
        codes = self._codes[column]
        if codes.min() < 0:
            row = int(np.argmin(codes))
            raise DataError(f"E-DATA-016: column {column} is empty in {piece.place(row)}, expected {what}; fill it in")

    def _time(self, recording: Assembled, piece: Piece, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        mapping = self._mapping
        if piece.time is None:
            assert mapping.rate_hz is not None  # the mapping has a rate where it has no time
            return (recording.n_rows + np.arange(len(rows))) / mapping.rate_hz
        clock = recording.clock
        raw = piece.time if len(rows) == piece.n_rows else piece.time[rows]
        assert mapping.time_column is not None  # a piece has times where the mapping names their column
        steps = increasing(clock, raw, lambda row: piece.place(int(rows[row])), mapping.time_column, mapping.time_unit)
        self._n_steps += clock.keep(steps)
        if self._n_steps > STEPS_KEPT:
            limit = STEPS_KEPT // (2 * len(self.recordings))
            self._n_steps = sum(r.clock.keep_no_more_than(limit) for r in self.recordings.values())
        seconds: NDArray[np.float64] = (raw - clock.origin) * TIME_UNITS[mapping.time_unit]
        return seconds

    def _values(self, piece: Piece, order: NDArray[np.int64] | None) -> NDArray[np.float32]:
        """The signals as (columns of the data set, rows), scaled; rows in ``order`` where one is given."""
        columns = self._writer.meta.columns
        values = np.empty((len(columns), piece.n_rows), np.float32)
        for i, name in enumerate(columns):
            channel = self._mapping.channels[name]
            if channel.column is None:
                values[i] = np.nan
                continue
            numbers = piece.numbers[channel.column]
            with np.errstate(over="ignore"):  # beyond float32: infinite, and refused as such
                np.multiply(
                    numbers if order is None else numbers[order], channel.scale, out=values[i], casting="same_kind"
                )
            # fmax and fmin pass over NaN: two quick passes that make no mask.
            if np.isinf(np.fmax.reduce(values[i])) or np.isinf(np.fmin.reduce(values[i])):
                with np.errstate(over="ignore"):
                    row = int(np.argmax(np.isinf((numbers * channel.scale).astype(np.float32))))
                raise DataError(
                    f"E-DATA-016: column {channel.column} is {numbers[row]} in {piece.place(row)}, expected a number "
                    "within float32; correct it or leave it empty"
                )
        return values

    def _labels(self, piece: Piece) -> NDArray[np.int32]:
        column = self._mapping.label_column
        if column is None:
            return np.full(piece.n_rows, -1, np.int32)
        encoded = piece.texts[column]
        words = encoded.dictionary.to_pylist()
        codes = self._codes[column]
        counts = np.bincount(codes + 1, minlength=len(words) + 1)[1:]
        lookup = np.full(len(words) + 1, -1, np.int32)
        for code, word in enumerate(words):
            label = self._mapping.label_map.get(word, word)
            if label is None or not counts[code]:
                continue
            if self._mapping.classes is not None and label not in self._classes:
                raise DataError(
                    f"E-DATA-010: column {column} has label {clipped(label)!r} in "
                    f"{piece.place(int(np.argmax(codes == code)))}, classes names "
                    f"{in_words(self._mapping.classes, 30)}; add it there, or to map or null of label"
                )
            lookup[code] = self._classes.setdefault(label, len(self._classes))
            if len(self._classes) > _MOST_LABELS:
                raise DataError(
                    f"E-DATA-010: column {column} has more than {_MOST_LABELS} labels up to "
                    f"{piece.place(int(np.argmax(codes == code)))} ({clipped(label)!r} is one), expected names of "
                    "behaviour; map another column as label"
                )
            self.label_rows[label] = self.label_rows.get(label, 0) + int(counts[code])
        labels: NDArray[np.int32] = lookup[codes]  # -1 takes the last, which is -1
        return labels

    def _flush(self, recording: Assembled) -> None:
        parts = recording.pending
        if not parts:
            return
        rows = _joined(parts)
        clock, extra = recording.clock, dict(recording.meta)
        if clock.origin is not None:
            extra["start"] = self._start(clock.origin)
            clock.keep_stretches(rows.time_s)
        self._writer.append(
            recording.name, recording.subject, rows.time_s,
            dict(zip(self._writer.meta.columns, rows.values, strict=True)), rows.labels, list(self._classes),
            quality=dict(zip(self._mapping.quality, rows.quality, strict=True)), extra=extra,
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


def _joined(parts: list[Part]) -> Part:
    return Part(
        np.concatenate([p.time_s for p in parts]),
        np.concatenate([p.values for p in parts], axis=1),
        np.concatenate([p.quality for p in parts], axis=1),
        np.concatenate([p.labels for p in parts]),
    )


def file_stem(path: Path) -> str:
    """A file's name without the suffixes of tables and compression.

    >>> file_stem(Path("raw/dog3.csv.gz"))
    'dog3'
    """
    return re.sub(r"(\.(csv|tsv|txt|parquet))?(\.(gz|bz2|zst))?$", "", path.name)
