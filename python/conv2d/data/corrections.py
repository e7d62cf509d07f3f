"""Known defects of a data set put right on loading, as the config lists them."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from conv2d.data.meta import DatasetMeta, RecordingRow, in_words
from conv2d.data.recording import Recording
from conv2d.errors import DataError

if TYPE_CHECKING:
    from conv2d.config import Correction

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}


def check_corrections(meta: DatasetMeta, table: Iterable[RecordingRow], corrections: "Iterable[Correction]") -> None:
    """Refuse corrections that could never act: an unknown flag column, a flag that is no truth value, no such column.

    Raises
    ------
    DataError
        E-DATA-015, naming what the data set has.
    """
    rows = list(table)
    for correction in corrections:
        for pattern in correction.columns:
            if not any(fnmatchcase(c, pattern) for c in meta.columns):
                raise DataError(
                    f"E-DATA-015: a correction names column {pattern}, data set {meta.name} has "
                    f"{in_words(meta.columns, 18)}; correct data.corrections"
                )
        for row in rows:
            _is_flagged(row.recording, row.meta, correction.where)


def apply_corrections(recording: Recording, corrections: "Iterable[Correction]") -> Recording:
    """The recording with its corrections applied, in their order; the same object where none concerns it.

    Columns that were not loaded are passed over (`check_corrections` finds misspelt ones); NaN stays NaN. O(samples
    corrected) plus one copy.

    Raises
    ------
    DataError
        E-DATA-015 where the flag column is absent or its value is not true or false.
    """
    samples = None
    for correction in corrections:
        if not _is_flagged(recording.name, recording.meta, correction.where):
            continue
        for s, sensor in enumerate(recording.sensors):
            for c, channel in enumerate(recording.channels):
                if any(fnmatchcase(f"{sensor}/{channel}", pattern) for pattern in correction.columns):
                    samples = recording.samples.copy() if samples is None else samples
                    samples[c, s] /= correction.divide
    return recording if samples is None else replace(recording, samples=samples)


def _is_flagged(name: str, meta: Mapping[str, str], where: str) -> bool:
    if where not in meta:
        raise DataError(
            f"E-DATA-015: a correction depends on column {where}, recordings.csv has {in_words(list(meta))}; "
            "correct data.corrections"
        )
    value = meta[where].strip().lower()
    if value not in _TRUE | _FALSE:
        raise DataError(
            f"E-DATA-015: column {where} of recording {name} is {meta[where]!r}, a correction expects true or false; "
            "correct recordings.csv"
        )
    return value in _TRUE
