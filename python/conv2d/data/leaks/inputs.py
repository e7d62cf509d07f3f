"""The trivial inputs: for each window, what is known without looking at how anything moves, put into few values."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.data.leaks.table import LABEL, WindowTable
from conv2d.data.meta import BASE_COLUMNS

NOT_APPLICABLE = "NOT_APPLICABLE"
NOT_MEASURED = "NOT_MEASURED"

N_BINS, COARSE_BINS = 20, 5
"""Of numbers: fine bins, and coarse ones for what differs so much between subjects that fine ones tell them apart."""

MAX_VALUES = 32
"""Values of a text column; the rarer ones share the last."""

_STEPS_S = (2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 120.0, 240.0, 480.0, 900.0, 1800.0, 3600.0, 7200.0, 14400.0)
_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 0.999)


@dataclass(frozen=True, eq=False)
class Factor:
    """One property of a window as one of ``n_values`` values, int64 (N,).

    Or a property of subjects: (D, S), where D times the S subjects have exchanged theirs.
    """

    name: str
    code: NDArray[np.int64]
    n_values: int


@dataclass(frozen=True, eq=False)
class Input:
    """A trivial input: the factors that it may be read from, or the reason why there is none.

    ``absent`` is empty where there are factors, otherwise NOT_APPLICABLE or NOT_MEASURED. ``signal`` marks what is
    read from the samples themselves and is therefore no leak but a floor. ``n_constant`` is for `of_subjects`.
    """

    name: str
    factors: tuple[Factor, ...] = ()
    absent: str = ""
    reason: str = ""
    signal: bool = False
    n_constant: int = 0


def trivial_inputs(table: WindowTable) -> list[Input]:
    """Every input that is judged, in the order in which they are shown.

    Bins are fixed, or quantiles over all windows: they see no label. What is the same for all windows is left out, and
    an input of which nothing is left says so.
    """
    return [
        _sensors(table),
        _position(table),
        _time_of_day(table),
        _date(table),
        _recording(table),
        _columns(table),
        _quality(table),
        _channel_mean(table),
    ]


def of_subjects(given: Input, subject: NDArray[np.int64], exchanged: NDArray[np.int64]) -> Input:
    """What of an input belongs to subjects: factors with one value in half of them or more, as each one's commonest.

    A window that is unlike the others of its subject does not turn a property of the subject into one of windows.
    ``exchanged`` (D, S) says whose value each subject has in each draw. ``factors`` is empty where there is none, or
    where all subjects have the same value; ``n_constant`` is the number of subjects in whom one of them is constant.

    >>> site = Factor("site", np.array([0, 0, 1, 1, 1, 0, 0]), 2)
    >>> orders = np.array([[0, 1, 2], [1, 2, 0]])
    >>> of_subjects(Input("columns", (site,)), np.array([0, 0, 1, 1, 1, 1, 2]), orders).factors[0].code.tolist()
    [[0, 1, 0], [1, 0, 0]]
    """
    found, n_constant, n_subjects = [], 0, exchanged.shape[1]
    for factor in given.factors:
        counts = np.zeros((n_subjects, factor.n_values), np.int64)
        np.add.at(counts, (subject, factor.code), 1)
        commonest, constant = counts.argmax(axis=1), int(((counts > 0).sum(axis=1) == 1).sum())
        if 2 * constant >= n_subjects and len(np.unique(commonest)) > 1:
            found.append(Factor(factor.name, commonest[exchanged], factor.n_values))
            n_constant = max(n_constant, constant)
    return Input(given.name, tuple(found), signal=given.signal, n_constant=n_constant)


def categories(name: str, values: Sequence[str] | NDArray[np.str_], limit: int = MAX_VALUES) -> Factor:
    """Text as values in the order of how common they are; those beyond ``limit`` share the last one.

    >>> categories("source", ["b", "a", "b", "c"], limit=2).code
    array([0, 1, 0, 1])
    """
    names, code, counts = np.unique(np.asarray(values, dtype=str), return_inverse=True, return_counts=True)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(-counts, kind="stable")] = np.arange(len(names))
    return Factor(name, np.minimum(rank[code], limit - 1), min(len(names), limit))


def quantile_bins(name: str, values: ArrayLike, n_bins: int = N_BINS) -> Factor:
    """Numbers in bins with about as many windows in each; NaN is a value of its own.

    Where there are no more distinct numbers than bins, each is a bin.

    >>> quantile_bins("mean", [0.1, 0.2, 0.9, float("nan")], n_bins=2).code
    array([0, 1, 1, 2])
    """
    x = np.asarray(values, np.float64)
    known = x[~np.isnan(x)]
    distinct = np.unique(known)
    edges = (
        distinct[1:] if len(distinct) <= n_bins else np.unique(np.quantile(known, np.arange(1, n_bins) / n_bins))
    )  # a value on an edge belongs to the bin above it
    code = np.where(np.isnan(x), len(edges) + 1, np.searchsorted(edges, x, side="right"))
    return Factor(name, code.astype(np.int64), len(edges) + 2)


def _both_ways(name: str, values: ArrayLike) -> list[Factor]:
    return [quantile_bins(name, values), quantile_bins(name, values, COARSE_BINS)]


def _binned(name: str, values: NDArray[np.float64], edges: Sequence[float]) -> Factor:
    return Factor(name, np.searchsorted(np.asarray(edges), values, side="left").astype(np.int64), len(edges) + 1)


def _given(name: str, factors: Sequence[Factor], constant: str, *, signal: bool = False) -> Input:
    """The input of the factors that differ between windows; ``constant`` says what it means that none does."""
    varying = tuple(factor for factor in factors if factor.code.min() != factor.code.max())
    return Input(name, varying, "" if varying else NOT_APPLICABLE, "" if varying else constant, signal)


def _sensors(table: WindowTable) -> Input:
    which = np.unique(table.missing, axis=0, return_inverse=True)[1].reshape(-1)
    patterns = categories("which channels are missing", which.astype(str))
    share = _binned("share of samples missing", table.missing_share, _SHARES)
    return _given("sensors", [patterns, share], "no sensor is ever missing, or the same ones always are")


def _position(table: WindowTable) -> Input:
    if table.target != LABEL:
        reason = f"{table.target} is the same all through a recording, so no place in it can tell"
        return Input("position", absent=NOT_APPLICABLE, reason=reason)
    if table.one_label_each:
        return Input("position", absent=NOT_APPLICABLE, reason="every recording holds one label only")
    share = Factor("share of the recording", np.minimum((table.share * N_BINS).astype(np.int64), N_BINS - 1), N_BINS)
    from_start = _binned("seconds from its start", table.from_start_s, _STEPS_S)
    from_end = _binned("seconds to its end", table.from_end_s, _STEPS_S)
    return _given("position", [share, from_start, from_end], "every window lies at the same place of its recording")


def _time_of_day(table: WindowTable) -> Input:
    if absent := _without_start(table, "time_of_day"):
        return absent
    start_s = np.array([_seconds_of_day(start) for start in table.start])
    if (start_s == 0).all():
        reason = "every start is at midnight, so the dates are known and the hours are not"
        return Input("time_of_day", absent=NOT_MEASURED, reason=reason)
    hour = np.floor((start_s[table.recording] + table.from_start_s) / 3600).astype(np.int64) % 24
    factors = [Factor("hour", hour, 24), Factor("third hour", hour // 3, 8)]
    return _given("time_of_day", factors, "all windows are of one hour of the day")


def _date(table: WindowTable) -> Input:
    if absent := _without_start(table, "date"):
        return absent
    days = [start.date() for start in table.start if start is not None]
    month = categories("month", np.array([f"{day:%Y-%m}" for day in days])[table.recording])
    date = categories("date", np.array([day.isoformat() for day in days])[table.recording], limit=1000)
    weekday = categories("day of the week", np.array([f"{day:%a}" for day in days])[table.recording])
    return _given("date", [date, weekday, month], "all recordings are of one day")


def _without_start(table: WindowTable, name: str) -> Input | None:
    unknown = sum(start is None for start in table.start)
    if not unknown:
        return None
    if not any("start" in row.meta for row in table.rows):
        return Input(name, absent=NOT_MEASURED, reason="recordings.csv has no column start")
    reason = f"{unknown} of {len(table.start)} recordings have no start that is a date and time (ISO 8601)"
    return Input(name, absent=NOT_MEASURED, reason=reason)


def _seconds_of_day(start: dt.datetime | None) -> float:
    assert start is not None  # _without_start has looked
    return start.hour * 3600 + start.minute * 60 + start.second


def _recording(table: WindowTable) -> Input:
    length_s = np.array([row.n_rows / row.rate_hz for row in table.rows])
    first = np.array([np.flatnonzero(table.subject_of == s)[0] for s in table.subject_of])
    order = np.arange(len(table.rows)) - first
    of_subject = np.bincount(table.subject_of)[table.subject_of]
    factors = [
        *_both_ways("length", length_s[table.recording]),
        quantile_bins("rate", np.array([row.rate_hz for row in table.rows])[table.recording]),
        quantile_bins("order among the subject's recordings", order[table.recording]),
        quantile_bins("order as a share", (order / np.maximum(of_subject - 1, 1))[table.recording], COARSE_BINS),
    ]
    return _given("recording", factors, "recordings have one length and rate, and each subject has one")


def _columns(table: WindowTable) -> Input:
    used = {*BASE_COLUMNS, "split", "start", table.target}
    names = list(dict.fromkeys(name for row in table.rows for name in row.meta if name not in used))
    if not names:
        reason = "recordings.csv has no further column" + (" than the target" if table.target != LABEL else "")
        return Input("columns", absent=NOT_APPLICABLE, reason=reason)
    factors = []
    for name in names:
        values = [row.meta.get(name, "").strip() for row in table.rows]
        numbers = _numbers(values)
        if numbers is not None and len(np.unique(numbers)) > N_BINS:
            factors += _both_ways(name, numbers[table.recording])
        elif len(set(values)) <= max(2, len(values) / 2):  # else it names recordings, which no other subject shares
            factors.append(categories(name, np.array(values)[table.recording]))
    return _given("columns", factors, f"the further columns ({', '.join(names)}) are constant, or name each recording")


def _numbers(values: Sequence[str]) -> NDArray[np.float64] | None:
    try:
        return np.array([float(value) if value else np.nan for value in values])
    except ValueError:
        return None


def _quality(table: WindowTable) -> Input:
    if not table.quality_columns:
        return Input("quality", absent=NOT_APPLICABLE, reason="the recordings have no quality column")
    named = enumerate(table.quality_columns)
    factors = [factor for q, name in named for factor in _both_ways(name, table.quality[:, q])]
    return _given("quality", factors, f"the quality columns ({', '.join(table.quality_columns)}) are constant")


def _channel_mean(table: WindowTable) -> Input:
    means = [_without_gaps(table.means[:, f], table.subject) for f in range(len(table.columns))]
    factors = [factor for name, own in zip(table.columns, means, strict=True) for factor in _both_ways(name, own)]
    return _given("channel_mean", factors, "the mean of every channel is constant", signal=True)


def _without_gaps(means: NDArray[np.float64], subject: NDArray[np.int64]) -> NDArray[np.float64]:
    """A window without a mean takes one of the subject's others by lot, else of anybody's: drop-out is no posture.

    A value of its own for NaN would tell a label that goes with drop-out, as would leaving such windows out.
    """
    known = ~np.isnan(means)
    filled = means.copy()
    rng = np.random.default_rng(0)
    for s in np.unique(subject[~known]):
        own = subject == s
        source = means[known & own] if (known & own).any() else means[known]
        if len(source):
            filled[own & ~known] = rng.choice(source, int((own & ~known).sum()))
    return filled
