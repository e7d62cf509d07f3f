"""Recordings and windows from and to xarray: dimensions are taken by their names, never by their order."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.interchange.recording_checks import check_rate_hz, check_recording, class_names
from conv2d.data.interchange.table import library, text_array
from conv2d.data.meta import in_words
from conv2d.data.recording import Recording
from conv2d.errors import DataError, UsageError

_RECORDING = ("channel", "sensor", "time")
_WINDOWS = ("window", *_RECORDING)


def is_data_array(x: object) -> bool:
    """Whether this is an ``xarray.DataArray``, told without importing xarray; a ``Dataset`` is none."""
    return not hasattr(x, "data_vars") and all(hasattr(x, name) for name in ("dims", "coords", "transpose", "values"))


def from_xarray(
    x: Any,
    *,
    rate_hz: float | None = None,
    classes: Sequence[str] | None = None,
    name: str | None = None,
    subject: str | None = None,
) -> Recording:
    """Read a recording from xarray.

    Parameters
    ----------
    x
        ``DataArray`` with the dimensions ``channel``, ``time`` and, unless there is one sensor, ``sensor``, in any
        order; or a ``Dataset`` with such a variable ``samples`` and, along ``time``, ``label`` (text, ``""`` for none)
        and quality columns. Names of channels and sensors, and the times (seconds, or datetime64), are the coordinates.
    rate_hz, classes, name, subject
        By default the attributes of these names (``classes`` a list, or a text with a name a line). Without them, the
        rate is that of the median step, the classes those that occur, sorted, and the recording, called "recording", is
        of a subject of its own.

    Raises
    ------
    DataError
        E-API-011 where dimensions or times are not as above, E-API-013 for labels that are no text; E-DATA-007 to -010
        as from a file.
    UsageError
        E-API-010: nothing of xarray. E-API-017, E-API-018: a rate, or classes, that cannot be.
    """
    variables = getattr(x, "data_vars", None)
    if variables is not None and "samples" not in variables:
        raise DataError(
            f"E-API-011: the Dataset has no variable samples (it has {in_words([str(v) for v in variables])}), "
            "expected one with the dimensions channel, sensor, time; rename it"
        )
    array = x if variables is None else variables["samples"]
    if not is_data_array(array):
        raise UsageError(
            f"E-API-010: got a {type(x).__name__}, expected an xarray DataArray or Dataset; use conv2d.from_table for "
            "tables"
        )
    samples, channels, sensors = _by_name(array, _RECORDING)
    facts = {**array.attrs, **x.attrs}
    declared = facts.get("rate_hz") if rate_hz is None else rate_hz
    check_rate_hz(declared)
    time_s, start = _times(array, samples.shape[2], declared)
    rate = _median_rate(time_s) if declared is None else declared
    known = facts.get("classes") if classes is None else classes
    if classes is None and isinstance(known, str):
        known = known.splitlines()
    words = x["label"].values if variables is not None and "label" in x else np.full(len(time_s), "")
    labels, known = _labels(words, known)
    others = [] if variables is None else [v for v in variables if v not in ("samples", "label")]
    quality = {str(v): x[v].values for v in others}
    called = str(name or facts.get("name") or "recording")
    recording = Recording(
        called, str(subject or facts.get("subject") or called), float(rate), sensors, channels, time_s,
        np.ascontiguousarray(samples, np.float32), labels, known, quality, start,
    )  # fmt: skip
    check_recording(recording)
    return recording


def to_xarray(recording: Recording) -> Any:
    """A recording as an ``xarray.Dataset``: ``samples`` (channel, sensor, time), ``label`` (time) as text, quality.

    Name, subject, rate and classes (a name a line) are attributes, so that `from_xarray` gives the same recording back,
    without ``meta``. ``to_netcdf`` writes it, also with SciPy's engine; in such a file a text without value (None, in a
    quality column) is "". UsageError E-API-010 where xarray is not installed.
    """
    xarray = library("xarray", "to_xarray")
    words = text_array([*recording.classes, ""])[recording.labels]
    variables = {column: ("time", values) for column, values in recording.quality.items()}
    return xarray.Dataset(
        {"samples": (_RECORDING, recording.samples), "label": ("time", words), **variables},
        {
            "channel": text_array(recording.channels), "sensor": text_array(recording.sensors),
            "time": recording.time_s,
        },
        {
            "name": recording.name, "subject": recording.subject, "rate_hz": recording.rate_hz,
            "classes": "\n".join(recording.classes),
        },
    )  # fmt: skip


def window_array(
    x: Any, channels: Sequence[str] | None = None, sensors: Sequence[str] | None = None
) -> NDArray[np.floating[Any]]:
    """A ``DataArray`` of windows as (N, C, S, T), its dimensions ``window, channel, sensor, time`` in any order.

    Where it names channels or sensors, and ``channels`` or ``sensors`` are given, those are picked in that order.
    DataError E-API-011 where dimensions or names are others.
    """
    array, own_channels, own_sensors = _by_name(x, _WINDOWS)
    for axis, dim, wanted, own in ((1, "channel", channels, own_channels), (2, "sensor", sensors, own_sensors)):
        if wanted is None or dim not in x.coords:
            continue
        if absent := [name for name in wanted if name not in own]:
            raise DataError(
                f"E-API-011: the array has no {dim} {in_words(absent)} (it has {in_words(own)}), expected "
                f"{in_words(tuple(wanted))}; rename its coordinate {dim}"
            )
        array = array.take([own.index(name) for name in wanted], axis=axis)
    return array


def names_of(x: Any) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Channels and sensors that a ``DataArray`` of windows names by its coordinates, None where it names none."""
    _, channels, sensors = _by_name(x, _WINDOWS)
    return channels if "channel" in x.coords else None, sensors if "sensor" in x.coords else None


def numbered(what: str, number: int) -> tuple[str, ...]:
    """Names for channels (c0, c1 ...) or sensors (s0, s1 ...) that have none."""
    return tuple(f"{what[0]}{i}" for i in range(number))


def _by_name(x: Any, dims: tuple[str, ...]) -> tuple[NDArray[Any], tuple[str, ...], tuple[str, ...]]:
    """Values with the dimensions in order, and the names of channels and sensors."""
    there = [str(dim) for dim in x.dims]
    if sorted(there) not in (sorted(dims), sorted(set(dims) - {"sensor"})):
        raise DataError(
            f"E-API-011: the array has the dimensions {in_words(there)}, expected {in_words(dims)} (sensor may be "
            "absent where there is one); name them with x.rename({...})"
        )
    if "sensor" not in there:
        x = x.expand_dims("sensor")
    x = x.transpose(*dims)
    values = np.asarray(x.values)
    if values.dtype.kind not in "fiu":
        raise DataError(f"E-API-013: the array is of type {values.dtype}, expected numbers; convert it")
    channels = _coordinate(x, "channel") or numbered("channels", x.sizes["channel"])
    sensors = _coordinate(x, "sensor") or numbered("sensors", x.sizes["sensor"])
    return values, channels, sensors


def _coordinate(x: Any, dim: str) -> tuple[str, ...]:
    return tuple(str(name) for name in x.coords[dim].values) if dim in x.coords else ()


def _times(x: Any, n: int, rate_hz: Any) -> tuple[NDArray[np.float64], dict[str, str]]:
    if "time" not in x.coords:
        if not rate_hz:
            raise DataError(
                "E-API-011: the array has no coordinate time, expected seconds or datetime64; add it, or give rate_hz="
            )
        return np.arange(n) / float(rate_hz), {}
    times = x.coords["time"].values
    if times.dtype.kind in "mM":
        start = {"start": str(times[0].astype("datetime64[us]"))} if times.dtype.kind == "M" and n else {}
        ticks = times.astype(times.dtype.str.replace("M8", "m8")) if times.dtype.kind == "M" else times
        unit = np.timedelta64(1, "s")
        return (ticks - ticks[:1]) / unit, start
    if times.dtype.kind not in "fiu":
        raise DataError(
            f"E-API-013: coordinate time is of type {times.dtype}, expected seconds or datetime64; convert it"
        )
    return times.astype(np.float64), {}


def _median_rate(time_s: NDArray[np.float64]) -> float:
    step = float(np.median(np.diff(time_s))) if len(time_s) > 1 else 0.0
    if not step > 0:
        raise DataError(
            f"E-API-011: the sampling rate cannot be told from {len(time_s)} times whose median step is {step:g} s; "
            "sort them, or give rate_hz="
        )
    return float(f"{1 / step:.6g}")


def _labels(words: NDArray[Any], classes: Any) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    if words.dtype.kind not in "UOT":
        raise DataError(f"E-API-013: label is of type {words.dtype}, expected text, '' for none; convert it")
    texts = ["" if word is None else str(word) for word in words.tolist()]
    known = class_names(sorted(set(texts) - {""}) if classes is None else classes)  # files keep one name as a text
    index = {"": -1, **{text: place for place, text in enumerate(known)}}
    if unknown := sorted(set(texts) - set(index)):
        raise DataError(
            f"E-DATA-010: the array has label {in_words(unknown)}, classes names {in_words(known)}; add it there or "
            "correct the label"
        )
    return np.array([index[text] for text in texts], np.int64), known
