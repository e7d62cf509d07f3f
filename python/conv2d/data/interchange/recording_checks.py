"""What a recording that comes from no file must fulfil, as one from a file does, and which things are recordings."""

import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np

from conv2d.data.dataset import Dataset
from conv2d.data.meta import in_words
from conv2d.data.recording import Recording
from conv2d.data.recording_file import check_time
from conv2d.errors import DataError, UsageError


def each_recording(given: Any) -> Iterator[Recording]:
    """The recordings of a recording, of an opened data set or of whatever gives one after the other.

    UsageError E-API-001 for anything else, E-API-007 for a path.
    """
    refuse_path(given)
    entries = given.load_all() if isinstance(given, Dataset) else [given] if isinstance(given, Recording) else given
    if not isinstance(entries, Iterable):
        raise UsageError(
            f"E-API-001: got a {type(given).__name__}, expected a recording, several of them or an opened data set; "
            "make recordings with conv2d.from_table"
        )
    for entry in entries:
        if not isinstance(entry, Recording):
            raise UsageError(
                f"E-API-001: got a {type(given).__name__} that holds a {type(entry).__name__}, expected recordings "
                "only; make recordings of tables with conv2d.from_table"
            )
        yield entry


def refuse_path(given: object) -> None:
    """UsageError E-API-007 for the path of a data set, which is to be opened first."""
    if isinstance(given, str | Path):
        raise UsageError(
            f"E-API-007: got the text or path {str(given)!r}, expected recordings, an opened data set or an array; "
            f"open it with conv2d.Dataset.open({str(given)!r})"
        )


def check_rate_hz(rate_hz: Any) -> None:
    """UsageError E-API-017 for what is no sampling rate; None is for the caller to fill in."""
    is_number = isinstance(rate_hz, Real) and not isinstance(rate_hz, bool | np.bool_)
    if rate_hz is not None and not (is_number and math.isfinite(rate_hz) and rate_hz > 0):
        raise UsageError(
            f"E-API-017: rate_hz is {rate_hz!r}, expected a number above 0, in samples per second; correct it, or "
            "leave it out"
        )


def class_names(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Names of classes as text, one name where it is one text; UsageError E-API-018 for a name that stands twice."""
    names = (classes,) if isinstance(classes, str) else tuple(str(name) for name in classes)
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(f"E-API-018: classes names {in_words(doubled)} more than once, expected each once; keep one")
    return names


def check_recording(recording: Recording) -> None:
    """Refuse what reading a file would refuse, and labels without a class.

    Raises
    ------
    DataError
        Times that are missing, do not increase or have another rate than declared (E-DATA-008, E-DATA-007); infinite
        values (E-DATA-009); a label that is no index into ``classes`` (E-DATA-010). NaN is a missing sample.
    """
    check_time(recording.time_s, recording.rate_hz, recording.name)
    if np.isinf(recording.samples).any():
        c, s, row = (int(i) for i in np.argwhere(np.isinf(recording.samples))[0])
        raise DataError(
            f"E-DATA-009: channel {recording.sensors[s]}/{recording.channels[c]} of recording {recording.name} is "
            f"infinite in row {row}, expected numbers within float32 or NaN for a missing sample; correct or blank it"
        )
    labels = recording.labels
    if len(labels) and not -1 <= labels.min() <= labels.max() < len(recording.classes):
        raise DataError(
            f"E-DATA-010: recording {recording.name} has labels from {labels.min()} to {labels.max()}, expected -1 "
            f"(none) to {len(recording.classes) - 1}, an index into its {len(recording.classes)} classes; correct them"
        )
