"""Recordings from and to tables of pandas, polars and arrow."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.dataset import Dataset
from conv2d.data.interchange.recording_checks import check_rate_hz, check_recording, class_names, each_recording
from conv2d.data.interchange.table import Table
from conv2d.data.meta import in_words, one_line
from conv2d.data.recording import Recording
from conv2d.errors import DataError, UsageError

OWN = ("recording", "subject", "time_s", "label")
_NO_TIME = "E-DATA-008: time_s has rows without a time, expected one in each; drop or fill them"


def from_table(
    table: Any,
    columns: Mapping[str, str] | None = None,
    *,
    rate_hz: float | None = None,
    classes: Sequence[str] | None = None,
    name: str = "recording",
    subject: str | None = None,
) -> list[Recording]:
    """Read recordings from a table in memory, a row a sample.

    Parameters
    ----------
    table
        ``pandas.DataFrame``, ``polars.DataFrame``, ``pyarrow.Table``, `Table`, or whatever speaks arrow's C stream.
    columns
        What its columns are called where they are not called as in a data set folder, ours to theirs:
        ``{"time_s": "t", "back/acc_x": "ABack_x", "label": "Behavior_1", "subject": "DogID"}``. Signals are
        ``<sensor>/<channel>``; further columns of numbers or text go to ``quality``.
    rate_hz
        Samples per second; by default from the median step of the times. Without a column ``time_s`` it must be given.
    classes
        Names that the label integers index, in this order; by default those that occur, sorted.
    name, subject
        Of the one recording, where the table has no column ``recording`` or ``subject``. A recording without subject
        is of a subject of its own, called like it.

    ``time_s`` is seconds, or timestamps or durations, which become seconds since the recording's first sample (the
    timestamp itself is kept in ``meta["start"]``). Null and NaN are missing samples; a null or empty label is
    "not annotated", whole numbers (also as floats, which pandas makes of them where some are missing) become text. Rows
    of a recording keep their order. O(rows).

    Raises
    ------
    DataError
        E-API-011 to E-API-015, see `conv2d.data.interchange`; E-DATA-007 to E-DATA-010 as from a file.
    UsageError
        E-API-010: no table. E-API-017, E-API-018: a rate, or classes, that cannot be.

    Example
    -------
    >>> import pyarrow
    >>> table = pyarrow.table({"t": [0.0, 0.02, 0.04], "ax": [1.0, None, 3.0], "label": ["walk", None, "walk"]})
    >>> (recording,) = from_table(table, {"time_s": "t", "back/acc_x": "ax"}, subject="rex")
    >>> recording.samples[0, 0].tolist(), recording.labels.tolist(), recording.rate_hz
    ([1.0, nan, 3.0], [0, -1, 0], 50.0)
    """
    check_rate_hz(rate_hz)
    known_classes = None if classes is None else class_names(classes)
    arrow = _renamed(_to_arrow(table), columns or {})
    sensors, channels = _grid(arrow.column_names)
    rows = _rows_of_recordings(arrow, name)
    subjects = _subjects(arrow, rows, subject)
    labels, known = _labels(arrow, known_classes)
    time = _numbers_or_time(arrow, rate_hz, rows)
    if rate_hz is None:
        rate_hz = _rate([time[mine] for mine in rows.values()])
    started = _starts(arrow, rows)
    samples = np.stack([[_signal(arrow, f"{s}/{c}") for s in sensors] for c in channels])
    signals = {f"{s}/{c}" for s in sensors for c in channels}
    quality = {c: arrow[c].to_numpy() for c in arrow.column_names if c not in signals and c not in OWN}
    recordings = []
    for recording, mine in rows.items():
        recordings.append(
            Recording(
                recording, subjects[recording], float(rate_hz), sensors, channels, time[mine],
                np.ascontiguousarray(samples[:, :, mine]), labels[mine], known,
                {c: values[mine] for c, values in quality.items()}, started.get(recording, {}),
            )
        )  # fmt: skip
        check_recording(recordings[-1])
    return recordings


def to_table(recordings: Recording | Iterable[Recording] | Dataset) -> Table:
    """Recordings as one table, a row a sample: ``recording``, ``subject``, ``time_s``, signals, quality, ``label``.

    `from_table` reads it back as it was, given ``classes`` and ``rate_hz``, which a table does not hold; ``meta`` is
    left out. NaN stays NaN, a sample without annotation has a null label. O(samples).

    Raises
    ------
    DataError
        E-API-015: sensors, channels or quality columns that differ between the recordings, or no recording.
    UsageError
        E-API-001, E-API-007: other things than recordings.

    Example
    -------
    >>> walk = Recording("walk1", "rex", 50.0, ("back",), ("acc_x",), np.arange(2) / 50, np.ones((1, 1, 2), "f4"),
    ...                  np.array([0, -1]), ("walking",))
    >>> to_table(walk).to_arrow().to_pylist()[1]
    {'recording': 'walk1', 'subject': 'rex', 'time_s': 0.02, 'back/acc_x': 1.0, 'label': None}
    """
    import pyarrow as pa

    given = list(each_recording(recordings))
    if not given:
        raise DataError("E-API-015: got no recording, expected one or more to make a table of; give some")
    first = given[0]
    for other in given[1:]:
        if (other.sensors, other.channels, set(other.quality)) != (first.sensors, first.channels, set(first.quality)):
            raise DataError(
                f"E-API-015: recording {other.name} has other sensors, channels or quality columns than {first.name}, "
                "expected the same; make a table of each"
            )
    lengths = [recording.n_samples for recording in given]
    columns: dict[str, Any] = {
        "recording": pa.array(np.repeat([r.name for r in given], lengths).tolist(), pa.string()),
        "subject": pa.array(np.repeat([r.subject for r in given], lengths).tolist(), pa.string()),
        "time_s": pa.array(np.concatenate([r.time_s for r in given])),
    }
    for s, sensor in enumerate(first.sensors):
        for c, channel in enumerate(first.channels):
            columns[f"{sensor}/{channel}"] = pa.array(np.concatenate([r.samples[c, s] for r in given]))
    for column in first.quality:
        columns[column] = pa.array(np.concatenate([r.quality[column] for r in given]))
    words = [pa.array(r.classes, pa.string()).take(pa.array(r.labels, mask=r.labels < 0)) for r in given]
    columns["label"] = pa.concat_arrays(words)
    return Table(pa.table(columns))


def _to_arrow(table: Any) -> Any:
    import pyarrow as pa

    kind = type(table).__name__
    way = {
        "LazyFrame": "call collect() first",
        "DataArray": "use conv2d.from_xarray",
        "Dataset": "use conv2d.from_xarray",
        "Series": "give the whole frame",
        "str": "read the file first, or import it with conv2d data import",
    }.get(kind)
    if way is not None or not hasattr(table, "__arrow_c_stream__"):
        raise UsageError(
            f"E-API-010: got a {kind}, expected a pandas or polars DataFrame or an arrow table; "
            f"{way or 'make one of those of it'}"
        )
    names = [str(name) for name in getattr(table, "columns", [])] if not isinstance(table, pa.Table) else []
    names = names or list(getattr(table, "column_names", []))
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"E-API-012: the table has column {in_words(doubled)} more than once; keep one")
    try:
        return pa.table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"E-API-013: the table has a column that is neither numbers nor text nor times ({one_line(error)}); "
            "convert it"
        ) from error


def _renamed(arrow: Any, columns: Mapping[str, str]) -> Any:
    names = arrow.column_names
    if absent := [theirs for theirs in columns.values() if theirs not in names]:
        raise DataError(
            f"E-API-011: the table has no column {in_words(absent)} (it has {in_words(names)}); correct columns="
        )
    ours = {theirs: own for own, theirs in columns.items()}
    if len(ours) < len(columns):
        raise DataError("E-API-012: columns= gives one column two names, expected one each; keep one")
    renamed = [ours.get(name, name) for name in names]
    if doubled := sorted({name for name in renamed if renamed.count(name) > 1}):
        raise DataError(
            f"E-API-012: with columns= the table has column {in_words(doubled)} more than once; drop one of them"
        )
    return arrow.rename_columns(renamed)


def _grid(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    signals = [name for name in names if name.count("/") == 1 and all(name.split("/"))]
    if not signals:
        raise DataError(
            f"E-API-011: no column of the table is called <sensor>/<channel> (it has {in_words(names)}), expected "
            "signals; say which they are, with columns={'back/acc_x': 'ABack_x', ...}"
        )
    sensors = tuple(dict.fromkeys(name.split("/")[0] for name in signals))
    channels = tuple(dict.fromkeys(name.split("/")[1] for name in signals))
    if absent := [f"{s}/{c}" for s in sensors for c in channels if f"{s}/{c}" not in signals]:
        raise DataError(
            f"E-API-015: the table has no column {in_words(absent)}, expected each of the channels "
            f"{in_words(channels)} of each of the sensors {in_words(sensors)}; add it as NaN, or leave out the channel"
        )
    return sensors, channels


def _rows_of_recordings(arrow: Any, name: str) -> dict[str, NDArray[np.int64]]:
    if "recording" not in arrow.column_names:
        return {name: np.arange(arrow.num_rows)}
    words = _names(arrow, "recording")
    first: dict[str, int] = {}
    number = np.array([first.setdefault(word, len(first)) for word in words], np.int64)
    order = np.argsort(number, kind="stable")
    parts = np.split(order, np.flatnonzero(np.diff(number[order])) + 1) if len(order) else []
    return dict(zip(first, parts, strict=True))


def _subjects(arrow: Any, rows: Mapping[str, NDArray[np.int64]], subject: str | None) -> dict[str, str]:
    if "subject" not in arrow.column_names:
        return {recording: recording if subject is None else subject for recording in rows}
    words = np.array(_names(arrow, "subject"), dtype=object)
    found = {recording: sorted(set(words[mine])) for recording, mine in rows.items()}
    for recording, names in found.items():
        if len(names) > 1:
            raise DataError(
                f"E-API-014: recording {recording} is of the subjects {in_words(names)}, expected one; a table of "
                "several recordings needs a column recording"
            )
    return {recording: names[0] for recording, names in found.items() if names}


def _names(arrow: Any, column: str) -> list[str]:
    import pyarrow.types as types

    kind = arrow.schema.field(column).type
    inner = kind.value_type if types.is_dictionary(kind) else kind
    if not (_is_text(inner) or types.is_integer(inner)):
        raise DataError(f"E-API-013: column {column} is of type {kind}, expected text or whole numbers; convert it")
    words = arrow[column].to_pylist()
    if None in words:
        raise DataError(
            f"E-API-014: column {column} has no value in row {words.index(None)}, expected a name in each; fill it in"
        )
    return [str(word) for word in words]


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    views = getattr(types, "is_string_view", lambda _: False)
    return bool(types.is_string(kind) or types.is_large_string(kind) or views(kind))


def _labels(arrow: Any, classes: Sequence[str] | None) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    import pyarrow.types as types

    if "label" not in arrow.column_names:
        return np.full(arrow.num_rows, -1), tuple(classes or ())
    kind = arrow.schema.field("label").type
    inner = kind.value_type if types.is_dictionary(kind) else kind
    words = arrow["label"].to_pylist()
    if types.is_floating(inner):  # what pandas makes of whole numbers of which some are missing
        words = [None if word is None or word != word else word for word in words]
        whole = all(word is None or word.is_integer() for word in words)
        words = [None if word is None else int(word) for word in words] if whole else words
    else:
        whole = types.is_null(inner) or _is_text(inner) or types.is_integer(inner)
    if not whole:
        raise DataError(f"E-API-013: column label is of type {kind}, expected text or whole numbers; convert it")
    texts = [None if word is None or word == "" else str(word) for word in words]
    known = tuple(sorted({text for text in texts if text is not None}) if classes is None else classes)
    index: dict[str | None, int] = {None: -1, **{text: place for place, text in enumerate(known)}}
    if unknown := sorted({text for text in texts if text not in index and text is not None}):
        raise DataError(
            f"E-DATA-010: the table has label {in_words(unknown)}, classes= names {in_words(known)}; add it there or "
            "correct the label"
        )
    return np.array([index[text] for text in texts], np.int64), known


def _numbers_or_time(arrow: Any, rate_hz: float | None, rows: Mapping[str, NDArray[np.int64]]) -> NDArray[np.float64]:
    import pyarrow as pa
    import pyarrow.types as types

    if "time_s" not in arrow.column_names:
        if rate_hz is None:
            index = [name for name in arrow.column_names if name.startswith("__index_level_")]
            way = (
                "the frame's index has no name: give it one with frame.rename_axis('time_s')"
                if index
                else "say which it is, with columns={'time_s': ...}, or give rate_hz="
            )
            raise DataError(f"E-API-011: the table has no column time_s (it has {in_words(arrow.column_names)}); {way}")
        time = np.empty(arrow.num_rows)
        for mine in rows.values():
            time[mine] = np.arange(len(mine)) / rate_hz
        return time
    kind = arrow.schema.field("time_s").type
    if types.is_timestamp(kind) or types.is_duration(kind):
        column = arrow["time_s"]
        if column.null_count:
            raise DataError(_NO_TIME)
        ticks = column.cast(pa.int64()).to_numpy()
        per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        time = np.empty(arrow.num_rows)
        for mine in rows.values():
            time[mine] = (ticks[mine] - ticks[mine[:1]]) / per_second  # whole ticks: no digit is lost before this
        return time
    if not (types.is_integer(kind) or types.is_floating(kind)):
        raise DataError(
            f"E-API-013: column time_s is of type {kind}, expected seconds, timestamps or durations; convert it, for "
            "example with pandas.to_datetime"
        )
    time = np.asarray(arrow["time_s"].to_numpy(), np.float64)
    if np.isnan(time).any():
        raise DataError(_NO_TIME)
    return time


def _starts(arrow: Any, rows: Mapping[str, NDArray[np.int64]]) -> dict[str, dict[str, str]]:
    import pyarrow as pa
    import pyarrow.types as types

    if "time_s" not in arrow.column_names or not types.is_timestamp(arrow.schema.field("time_s").type):
        return {}
    zone = arrow.schema.field("time_s").type.tz
    stamps = arrow["time_s"].cast(pa.timestamp("us", zone), safe=False)
    return {
        recording: {"start": stamps[int(mine[0])].as_py().isoformat()} for recording, mine in rows.items() if len(mine)
    }


def _rate(times: Sequence[NDArray[np.float64]]) -> float:
    steps = np.concatenate([np.diff(time) for time in times])
    step = float(np.median(steps)) if len(steps) else 0.0
    if not step > 0:
        raise DataError(
            f"E-API-011: the sampling rate cannot be told from {sum(map(len, times))} times whose median step is "
            f"{step:g} s; sort the rows, or give rate_hz="
        )
    return float(f"{1 / step:.6g}")


def _signal(arrow: Any, column: str) -> NDArray[np.float32]:
    import pyarrow.types as types

    kind = arrow.schema.field(column).type
    if types.is_null(kind):
        return np.full(arrow.num_rows, np.nan, np.float32)
    if not (types.is_integer(kind) or types.is_floating(kind)):
        raise DataError(f"E-API-013: column {column} is of type {kind}, expected numbers; convert it")
    with np.errstate(over="ignore"):  # a double beyond float32 becomes infinite, and is refused as such
        return np.asarray(arrow[column].to_numpy(), np.float32)  # null comes as NaN
