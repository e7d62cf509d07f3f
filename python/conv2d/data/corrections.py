"""Known defects of a data set put right on loading, as the config lists them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Protocol

from conv2d.data.meta import DatasetMeta, RecordingRow, in_words
from conv2d.data.recording import Recording
from conv2d.errors import DataError

_TRUE, _FALSE = {"true", "1", "yes"}, {"false", "0", "no", ""}


class CorrectionLike(Protocol):
    """What a correction must have; the config's model and `Correction` both do."""

    @property
    def where(self) -> str | None:
        """Column of ``recordings.csv`` that is true for the recordings concerned; None for all."""

    @property
    def columns(self) -> Sequence[str]:
        """Patterns of ``<sensor>/<channel>``, such as ``mpu9250/acc_*``."""

    @property
    def divide(self) -> float:
        """What the values are divided by."""


@dataclass(frozen=True)
class Correction:
    """Divide ``columns`` by ``divide`` in the recordings whose flag ``where`` is true.

    Example
    -------
    >>> Correction(where="mpu_acc_scale_suspect", columns=("mpu9250/acc_*",), divide=7.6).divide
    7.6
    """

    where: str | None
    columns: Sequence[str]
    divide: float


def check_corrections(meta: DatasetMeta, table: Iterable[RecordingRow], corrections: Iterable[CorrectionLike]) -> None:
    """Refuse corrections that could never act: an unknown flag column, a flag that is no truth value, no such column.

    Raises
    ------
    DataError
        E-DATA-015, naming what the data set has.
    """
    rows = list(table)
    for correction in corrections:
        if correction.divide == 0:
            raise DataError("E-DATA-015: a correction divides by 0, expected another number; correct data.corrections")
        for pattern in correction.columns:
            if not any(fnmatchcase(c, pattern) for c in meta.columns):
                raise DataError(
                    f"E-DATA-015: a correction names column {pattern}, data set {meta.name} has "
                    f"{in_words(meta.columns, 18)}; correct data.corrections"
                )
        for row in rows:
            _is_flagged(row.recording, row.meta, correction.where)


def apply_corrections(recording: Recording, corrections: Iterable[CorrectionLike]) -> Recording:
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


def _is_flagged(name: str, meta: Mapping[str, str], where: str | None) -> bool:
    if where is None:
        return True
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
