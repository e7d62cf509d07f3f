"""The audit of a data set: one pass over its recordings, each check in its turn, and all that comes of it."""

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from conv2d.data.audit import (
    axes,
    between_sensors,
    calibration,
    columns,
    contradictions,
    doubled,
    interpolated,
    label_runs,
    labels,
    nonwear,
    orientation,
    placeholders,
    scale,
    timing,
    values,
)
from conv2d.data.audit.axes import GyrAgainstAcc
from conv2d.data.audit.between_sensors import BetweenSensors
from conv2d.data.audit.calibration import AutoCalibration
from conv2d.data.audit.columns import Columns
from conv2d.data.audit.contradictions import Contradictions
from conv2d.data.audit.doubled import Doubled
from conv2d.data.audit.findings import LEVELS, Finding, as_json, check_states, counted, named, sort_findings
from conv2d.data.audit.interpolated import Interpolated
from conv2d.data.audit.label_runs import LabelRunChecks
from conv2d.data.audit.labels import Labels
from conv2d.data.audit.nonwear import NonWear, Stretch
from conv2d.data.audit.orientation import Orientation
from conv2d.data.audit.placeholders import Placeholders
from conv2d.data.audit.scale import Scale
from conv2d.data.audit.stream import Setting, Stream, open_for_audit, read_stream, setting_of
from conv2d.data.audit.timing import Timing
from conv2d.data.audit.values import Values
from conv2d.data.dataset import Dataset
from conv2d.data.meta import DatasetMeta, RecordingRow
from conv2d.errors import DataError, UsageError

WINDOW = 100
"""Samples of a window where none is given, as the experiments of this package have."""

_MODULES = (
    timing, interpolated, doubled, values, scale, axes, between_sensors, orientation, calibration, nonwear, labels,
    label_runs, contradictions, columns, placeholders,
)  # fmt: skip


class Family(Protocol):
    """A group of checks: sees each recording once, then says what it found."""

    def add(self, stream: Stream) -> None:
        """Look at one recording and keep what is needed of it."""

    def findings(self) -> Iterator[Finding]:
        """What was found, once all recordings have been seen."""


@dataclass(frozen=True, eq=False)
class Audit:
    """What came of an audit.

    ``findings`` stand by level, ``recordings`` has the figures of each recording by name, ``families`` the checks with
    what they keep for figures, by class. ``not_worn`` and ``worn`` are stretches of the sensors of recordings that are
    long enough to tell.
    """

    path: Path
    meta: DatasetMeta
    rows: tuple[RecordingRow, ...]
    window: int
    findings: tuple[Finding, ...]
    table: Mapping[str, Any]
    recordings: Mapping[str, Mapping[str, Any]]
    families: Mapping[type, Any]
    not_worn: tuple[Stretch, ...]
    worn: tuple[Stretch, ...]

    def of_level(self, level: str) -> list[Finding]:
        """The findings of one level."""
        return [finding for finding in self.findings if finding.level == level]

    @property
    def summary(self) -> dict[str, Any]:
        """Counts of what was looked at and of findings by level."""
        return {
            "name": self.meta.name,
            "simulated": self.meta.simulated,
            "recordings": len(self.rows),
            "subjects": len({row.subject for row in self.rows}),
            "rows": int(sum(row.get("rows", 0) for row in self.recordings.values())),
            "rate_hz": self.meta.rate_hz,
            "window_s": self.window / self.meta.rate_hz,
            "levels": {level: len(self.of_level(level)) for level in LEVELS},
        }

    def to_dict(self) -> dict[str, Any]:
        """Everything, as one JSON object without NaN."""
        result: dict[str, Any] = as_json(
            {
                "format": "conv2d-audit/1",
                "path": str(self.path),
                "summary": self.summary,
                "findings": [finding.to_dict() for finding in self.findings],
                "checks": check_states(self.findings),
                "classes": self.table,
                "recordings": self.recordings,
                "not_worn": [stretch._asdict() for stretch in self.not_worn],
                "thresholds": thresholds(),
            }
        )
        return result


def audit_dataset(
    path: str | Path,
    *,
    window_s: float | None = None,
    nonwear_minutes: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Audit:
    """Look for what is wrong with a data set, or right and misleading, and say what it means for an evaluation.

    Parameters
    ----------
    path
        A dataset folder; recordings that loading refuses are looked at as far as they can be read, and named.
    window_s
        Seconds of the windows that are to be cut, for what they leave of short bouts; by default 100 samples.
    nonwear_minutes
        Another window for non-wear than the validated 60 minutes, so that shorter recordings can be looked at.
    progress
        Called with (recordings done, recordings in all).

    Raises
    ------
    UsageError
        A window or minutes that are not above 0.
    DataError
        The folder cannot be opened (E-DATA-001 to 003), or no recording of it can be read (E-DATA-022).

    One recording is in memory at a time, 8 to 18 bytes a row and some statistics are kept; up to 10^8 rows are compared
    with each other. Cost O(rows channels + rows log rows), about 1 s for a million rows of 6 channels.

    Example
    -------
    >>> import pathlib, tempfile
    >>> from conv2d.data.simulate import simulate_dataset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = simulate_dataset(pathlib.Path(folder) / "dogs", n_subjects=3, minutes=1, rate_hz=50, seed=1)
    ...     audit = audit_dataset(data.path)
    >>> audit.of_level("fault"), audit.of_level("confound")
    ([], [])
    """
    for value, what in ((window_s, "a window of {} s"), (nonwear_minutes, "a non-wear window of {} minutes")):
        if value is not None and not 0 < value < math.inf:
            raise UsageError(f"got {what.format(value)}, expected a number above 0; change it")
    data, refused = open_for_audit(path)
    window = WINDOW if window_s is None else max(1, round(window_s * data.meta.rate_hz))
    setting = setting_of(data.meta, window, nonwear_minutes)
    families, numbers = _families(setting), Placeholders(setting)
    unreadable = _one_pass(data, families.values(), numbers, refused, progress)
    if len(unreadable) == len(data.table):
        name, sentence = next(iter(unreadable.items()))
        raise DataError(
            f"E-DATA-022: none of the {counted(len(data.table), 'recording')} of {data.path} can be read, so there is "
            f"nothing to audit; {name}: {sentence}"
        )
    findings = [*_unreadable(refused), *numbers.findings(), *_findings(families)]
    rows: dict[str, dict[str, Any]] = defaultdict(dict)
    for row in data.table:
        rows[row.recording]["subject"] = row.subject
        if row.recording in refused:
            rows[row.recording]["refused"] = refused[row.recording]
    for family in families.values():
        for name, figures in getattr(family, "rows", {}).items():
            rows[name] |= figures
    worn = families[NonWear]
    return Audit(
        data.path, data.meta, tuple(data.table), window, tuple(sort_findings(findings)), families[Labels].table(),
        rows, families, tuple(worn.off), tuple(worn.worn),
    )  # fmt: skip


def _families(setting: Setting) -> dict[type, Any]:
    """The checks in the order in which they speak: later ones ask earlier ones what they found."""
    frames, scales = GyrAgainstAcc(setting), Scale(setting)
    parts: tuple[Family, ...] = (
        Timing(setting), Interpolated(setting), Doubled(setting), Values(setting), scales, frames,
        BetweenSensors(setting, frames), Orientation(setting, frames), AutoCalibration(setting, scales),
        NonWear(setting), Labels(setting), LabelRunChecks(setting), Contradictions(setting), Columns(setting),
    )  # fmt: skip
    return {type(part): part for part in parts}


def _one_pass(
    data: Dataset,
    families: Any,
    numbers: Placeholders,
    refused: dict[str, str],
    progress: Callable[[int, int], None] | None,
) -> dict[str, str]:
    """Show each recording to each family; adds to ``refused`` and returns those that cannot be read at all."""
    unreadable = {}
    for done, row in enumerate(data.table, start=1):
        stream = read_stream(data, row)
        if isinstance(stream, str):
            unreadable[row.recording] = refused[row.recording] = stream
        else:
            if stream.refusal:
                refused.setdefault(row.recording, stream.refusal)
            stream = numbers.take_out(stream)
            for family in families:
                family.add(stream)
        if progress is not None:
            progress(done, len(data.table))
    return unreadable


def _findings(families: Mapping[type, Any]) -> list[Finding]:
    found: list[Finding] = []
    for kind, family in families.items():
        if kind is Columns:
            found += family.findings(found, families[Doubled].seen_earlier)
        else:
            found += family.findings()
    return found


def _unreadable(refused: Mapping[str, str]) -> Iterator[Finding]:
    """Recordings that loading refuses for a reason that no other check speaks of."""
    spoken = ("E-DATA-007: recording ", "E-DATA-008")  # the checks rate and clock_steps
    odd = {name: sentence for name, sentence in refused.items() if not sentence.startswith(spoken)}
    if odd:
        first = next(iter(odd))
        yield Finding(
            "unreadable", "fault",
            f"{counted(len(odd), 'recording')} cannot be loaded: {named(list(odd))}; {odd[first]}",
            "train and eval end with this sentence as soon as they come to the recording",
            "mend these files or drop their rows from recordings.csv",
            {"sentences": odd}, tuple(odd),
        )  # fmt: skip


def thresholds() -> dict[str, dict[str, Any]]:
    """Every threshold of every check, by module and name.

    >>> thresholds()["scale"]["FACTOR"]
    1.5
    """
    table = {}
    for module in _MODULES:
        named_values = {
            name: value for name, value in vars(module).items()
            if name.isupper() and not name.startswith("_") and isinstance(value, int | float | tuple)
        }  # fmt: skip
        table[module.__name__.rpartition(".")[2]] = named_values
    return table
