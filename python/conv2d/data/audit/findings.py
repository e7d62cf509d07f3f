"""What an audit says: findings with level, evidence, meaning and remedy, and the list of checks that were made."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Level = Literal["fault", "confound", "note", "not_measured"]
Status = Literal["FOUND", "CLEAR", "NOT_MEASURED", "NOT_APPLICABLE"]
LEVELS: tuple[Level, ...] = ("fault", "confound", "note", "not_measured")

CHECKS = {
    "unreadable": "can every recording be loaded",
    "rate": "do the times give the declared rate",
    "clock_steps": "does the clock run backwards, stand still or jump by a quarter of an hour and its multiples",
    "gaps": "does the clock leave samples out",
    "jitter": "do the samples lie evenly",
    "overlap_in_time": "do recordings of a subject lie over one another in time",
    "interpolated": "are samples drawn by lines between others",
    "quality_column": "what do the set's own quality columns say",
    "doubled_within": "does a sensor repeat its last sample",
    "doubled_between": "does the same signal stand in two recordings",
    "doubled_label": "do doubled samples carry two labels",
    "placeholder": "does a number stand for missing samples",
    "missing": "how much is missing",
    "missing_by_class": "does what is missing give the class away",
    "stuck": "does a sensor stand still where it cannot",
    "saturated": "does a sensor run into the end of its range",
    "gravity": "does the accelerometer read gravity in the unit that is declared",
    "scale": "does a sensor read another scale in some recordings, days or subjects",
    "gain": "is gravity at rest one g",
    "gyr_scale": "does a gyroscope read another unit, or the clock another time, in some subjects",
    "mag_unit": "is the magnetic field one that the earth has",
    "calibration": "do still samples lie on the sphere of one g",
    "gyr_against_acc": "do gyroscope and accelerometer of a sensor have the same axes",
    "axes_between_sensors": "do the sensors have the same axes",
    "sensors_exchanged": "are the sensors of a subject exchanged",
    "orientation": "is a sensor worn in the same way everywhere",
    "nonwear": "is a sensor worn throughout",
    "rare_classes": "are there enough bouts and subjects of each class",
    "tied_classes": "can each class be told from the animal that shows it",
    "tied_columns": "does a column of recordings.csv or the date give the class away",
    "one_label": "do recordings hold more than one label",
    "unlabelled": "how much is annotated",
    "short_classes": "are the bouts long enough for the window",
    "short_recordings": "are the recordings long enough for the window",
    "short_runs": "are there runs of a label too short to be real",
    "contradiction": "does a label contradict its signal",
    "contradiction_candidates": "which labels would a simple model not believe",
    "scripted": "do recordings follow a script",
    "flag_columns": "do the set's own flags agree with what is found",
}
"""Every check by its id, as a question, in the order in which they are reported."""


@dataclass(frozen=True)
class Finding:
    """One thing that the audit has to say.

    ``level`` is ``fault`` (the data are wrong), ``confound`` (they are right and mislead an evaluation), ``note``, or
    ``not_measured`` with ``status`` NOT_MEASURED (it would make sense, but these data do not allow it) or
    NOT_APPLICABLE (it makes no sense here). ``evidence`` holds figures, value and threshold among them;
    ``recordings`` those concerned; ``remedy`` what to do, empty where there is nothing to do.
    """

    check: str
    level: Level
    title: str
    meaning: str = ""
    remedy: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    recordings: tuple[str, ...] = ()
    status: Status = "FOUND"

    def __post_init__(self) -> None:
        """Refuse a check that is not in the list, so that none is ever reported as clear by a slip of the pen."""
        if self.check not in CHECKS:
            raise ValueError(f"no check is called {self.check!r}, expected one of {', '.join(CHECKS)}")

    def to_dict(self) -> dict[str, Any]:
        """As JSON: plain numbers and text, null for what is not a number."""
        values = {
            "id": self.check, "level": self.level, "status": self.status, "title": self.title,
            "evidence": self.evidence, "n_recordings": len(self.recordings), "recordings": list(self.recordings),
            "meaning": self.meaning, "remedy": self.remedy,
        }  # fmt: skip
        return {name: as_json(value) for name, value in values.items()}


def not_measured(check: str, reason: str, **evidence: Any) -> Finding:
    """A check that makes sense but that these data do not allow."""
    return Finding(check, "not_measured", reason, evidence=evidence, status="NOT_MEASURED")


def not_applicable(check: str, reason: str) -> Finding:
    """A check that makes no sense here, such as one of two sensors where there is one."""
    return Finding(check, "not_measured", reason, status="NOT_APPLICABLE")


def sort_findings(findings: Iterable[Finding]) -> list[Finding]:
    """By level, and within a level in the order of `CHECKS`."""
    place = {name: index for index, name in enumerate(CHECKS)}
    return sorted(findings, key=lambda f: (LEVELS.index(f.level), place[f.check]))


def check_states(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """Each check with its status: FOUND, CLEAR, NOT_MEASURED or NOT_APPLICABLE."""
    states: dict[str, Status] = {}
    for finding in findings:
        if states.get(finding.check) != "FOUND":
            states[finding.check] = finding.status
    return [{"id": name, "question": text, "status": states.get(name, "CLEAR")} for name, text in CHECKS.items()]


def as_json(value: Any) -> Any:
    """Numpy numbers and arrays as plain ones, floats to six digits, NaN and infinity as None.

    >>> as_json({"a": np.float32(1) / 3, "b": np.array([1, 2]), "c": float("nan")})
    {'a': 0.333333, 'b': [1, 2], 'c': None}
    """
    if isinstance(value, Mapping):
        return {str(key): as_json(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return as_json(value.tolist())
    if isinstance(value, list | tuple | set | frozenset):
        return [as_json(inner) for inner in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def named(names: Sequence[str], limit: int = 6) -> str:
    """Names for a sentence, the first few of them.

    >>> named(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    shown = ", ".join(names[:limit])
    return f"{shown} and {len(names) - limit} more" if len(names) > limit else shown or "none"


def counted(n: int, what: str) -> str:
    """A number with its noun.

    >>> counted(1, "recording"), counted(1200, "recording")
    ('1 recording', '1,200 recordings')
    """
    return f"{n:,} {what if n == 1 else what + ('es' if what.endswith('h') else 's')}"
