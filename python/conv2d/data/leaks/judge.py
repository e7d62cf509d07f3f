"""Judging the trivial inputs: what each reaches beside chance, and whether that is a leak."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.leaks.bayes import Reached, reach, reach_together
from conv2d.data.leaks.chance import Level, drawn_labels, holm, p_value
from conv2d.data.leaks.inputs import NOT_APPLICABLE, NOT_MEASURED, Input, trivial_inputs
from conv2d.data.leaks.table import WindowTable

ALPHA = 0.05
MIN_EXCESS = 0.05
MIN_SHARE = 0.8
"""A leak: p at most ``ALPHA`` after Holm, more than ``MIN_EXCESS`` above chance, ``MIN_SHARE`` of subjects above."""

MIN_LABELLINGS = 40
"""Different labellings that chance must have; with fewer no p value can be small."""

LEAK, NO_LEAK, FLOOR = "leak", "no leak", "floor"
TOGETHER = "together"


@dataclass(frozen=True)
class SubjectFigure:
    """What an input reaches on one subject left out, over the classes that it shows, and what chance does.

    ``measured`` is false where chance cannot differ: one label only, or the input is the same in all its windows.
    """

    balanced_accuracy: float
    chance: float
    measured: bool

    @property
    def excess(self) -> float:
        """How far above chance."""
        return self.balanced_accuracy - self.chance


@dataclass(frozen=True)
class Judgement:
    """One input: verdict, figures, and for whom it holds; figures are None where nothing was measured.

    ``chance`` is the mean over the draws, ``chance_low`` and ``chance_high`` their 5 % and 95 % quantiles. ``p`` is the
    share of draws that reach as much, ``p_holm`` that after Holm's correction over all inputs measured. ``chosen``
    gives the factors that were read and for how many subjects left out. ``level`` says how labels were exchanged.
    """

    name: str
    verdict: str
    reason: str = ""
    balanced_accuracy: float | None = None
    chance: float | None = None
    chance_low: float | None = None
    chance_high: float | None = None
    p: float | None = None
    p_holm: float | None = None
    level: Level | None = None
    chosen: dict[str, int] | None = None
    by_subject: dict[str, SubjectFigure] | None = None

    @property
    def excess(self) -> float | None:
        """Balanced accuracy above chance."""
        if self.balanced_accuracy is None or self.chance is None:
            return None
        return self.balanced_accuracy - self.chance

    @property
    def beyond_chance(self) -> bool:
        """Whether so much is unlikely by chance, be it ever so little."""
        return self.p_holm is not None and self.p_holm <= ALPHA

    @property
    def measured_subjects(self) -> int:
        """Subjects of whom chance could have given something else."""
        return sum(figure.measured for figure in (self.by_subject or {}).values())

    @property
    def subjects_above(self) -> int:
        """Those of them who lie above chance."""
        return sum(figure.measured and figure.excess > 1e-9 for figure in (self.by_subject or {}).values())

    def to_dict(self) -> dict[str, Any]:
        """For leaks.json; NOT_MEASURED and NOT_APPLICABLE have no figures."""
        told: dict[str, Any] = {"verdict": self.verdict, "reason": self.reason}
        if self.by_subject is None:
            return told
        return told | {
            "balanced_accuracy": self.balanced_accuracy,
            "chance": {"mean": self.chance, "q05": self.chance_low, "q95": self.chance_high, "level": self.level},
            "excess": self.excess,
            "p": self.p,
            "p_holm": self.p_holm,
            "subjects_above": self.subjects_above,
            "subjects_measured": self.measured_subjects,
            "chosen": self.chosen,
            "by_subject": {
                name: {
                    "balanced_accuracy": figure.balanced_accuracy,
                    "chance": figure.chance,
                    "excess": figure.excess if figure.measured else NOT_MEASURED,
                }
                for name, figure in self.by_subject.items()
            },
        }


def judge(table: WindowTable, draws: int, seed: int) -> list[Judgement]:
    """Judge every input of `trivial_inputs`, and all that are not read from the signal together.

    Leave one subject out, Bayes' rule on binned inputs, the same for ``draws`` labellings of chance. The same seed
    gives the same figures. Cost about O(draws N F) with F factors, some seconds for 10,000 windows.
    """
    if tied := _cannot_transfer(table):
        return [Judgement(given.name, NOT_MEASURED, tied) for given in trivial_inputs(table)]
    judging = _Judging(table, draws, seed)
    inputs = trivial_inputs(table)
    found = [judging.one(given) for given in inputs]
    found.append(judging.together([given for given in inputs if given.factors and not given.signal]))
    corrected = holm({each.name: each.p for each in found if each.p is not None})
    return [_with_verdict(replace(each, p_holm=corrected.get(each.name))) for each in found]


def _cannot_transfer(table: WindowTable) -> str:
    """Why the target cannot be predicted out of subject, or nothing."""
    pairs = np.unique(np.stack([table.label, table.subject]), axis=1)
    if np.bincount(pairs[0]).max() > 1:
        return ""
    return (
        f"every class of {table.target} is of one subject only, so it cannot be predicted for a subject that was left "
        "out; see what identity says"
    )


class _Judging:
    """Measures inputs against the same labellings, which are drawn once for each level."""

    def __init__(self, table: WindowTable, draws: int, seed: int) -> None:
        self.table, self.draws, self.seed = table, draws, seed
        self._drawn: dict[Level, tuple[NDArray[np.int16], int]] = {}
        self._reached: dict[tuple[str, Level], Reached] = {}

    def labels(self, level: Level) -> tuple[NDArray[np.int16], int]:
        """Labellings (D, N), and how many of them are different."""
        if level not in self._drawn:
            labels = drawn_labels(self.table, self.draws, self.seed, level)
            self._drawn[level] = labels, len({row.tobytes() for row in labels})
        return self._drawn[level]

    def one(self, given: Input) -> Judgement:
        """An input by itself, its verdict still open."""
        if not given.factors:
            return Judgement(given.name, given.absent, given.reason)
        level, varying = self._level([given])
        if too_few := self._too_few(given.name, level):
            return too_few
        return _figures(self.table, given, self._reach(given, level), level, varying)

    def together(self, inputs: list[Input]) -> Judgement:
        """Several inputs at once, each read from the factor that it was read from by itself."""
        if len(inputs) < 2:
            reason = "fewer than two inputs are there to be taken together"
            return Judgement(TOGETHER, NOT_APPLICABLE, reason)
        level, varying = self._level(inputs)
        if too_few := self._too_few(TOGETHER, level):
            return too_few
        parts = [(given.factors, self._reach(given, level).chosen) for given in inputs]
        reached = reach_together(parts, self.labels(level)[0], *self._subjects())
        return _figures(self.table, Input(TOGETHER), reached, level, varying)

    def _level(self, inputs: list[Input]) -> tuple[Level, NDArray[np.bool_]]:
        """How labels are to be exchanged, and of which subjects (S,) that can change what is reached."""
        subjects = range(len(self.table.subjects))
        varying = np.array([any(_varies(given, self.table.subject == s) for given in inputs) for s in subjects])
        if self.table.mostly_constant_in_subjects or not varying.any():
            return "between subjects", np.ones(len(varying), bool)
        return "within subjects", varying

    def _too_few(self, name: str, level: Level) -> Judgement | None:
        different = self.labels(level)[1]
        if different >= MIN_LABELLINGS:
            return None
        reason = (
            f"the labels can be exchanged {level} in {different} ways only, expected {MIN_LABELLINGS} for a p value; "
            "more subjects or recordings are needed"
        )
        return Judgement(name, NOT_MEASURED, reason)

    def _reach(self, given: Input, level: Level) -> Reached:
        key = given.name, level
        if key not in self._reached:
            self._reached[key] = reach(given.factors, self.labels(level)[0], *self._subjects())
        return self._reached[key]

    def _subjects(self) -> tuple[NDArray[np.int64], int, int]:
        return self.table.subject, len(self.table.subjects), len(self.table.classes)


def _figures(table: WindowTable, given: Input, reached: Reached, level: Level, varying: NDArray[np.bool_]) -> Judgement:
    pooled, by_subject = reached.pooled, reached.by_subject
    several = (reached.support[0] > 0).sum(axis=1) > 1
    measured = varying & (several if level == "within subjects" else True)
    # A class may fall out of a draw of a subject with few windows, but some class is always there: no NaN.
    chance = by_subject[1:].mean(axis=0)
    low, high = np.quantile(pooled[1:], [0.05, 0.95])
    chosen = None
    if given.factors:
        # Fine and coarse bins of one thing have one name.
        chosen = dict(Counter(given.factors[place].name for place in reached.chosen[0].tolist()).most_common())
    return Judgement(
        given.name,
        FLOOR if given.signal else NO_LEAK,
        balanced_accuracy=float(pooled[0]),
        chance=float(pooled[1:].mean()),
        chance_low=float(low),
        chance_high=float(high),
        p=p_value(pooled),
        level=level,
        chosen=chosen,
        by_subject={
            name: SubjectFigure(float(by_subject[0, s]), float(chance[s]), bool(measured[s]))
            for s, name in enumerate(table.subjects)
        },
    )


def _with_verdict(found: Judgement) -> Judgement:
    """Apply the rule; where one condition of it fails, the reason names that."""
    if found.p_holm is None or found.excess is None:
        return found
    beyond = f"p {found.p_holm:.3f} after Holm, expected at most {ALPHA}"
    if not found.beyond_chance:
        return replace(found, verdict=NO_LEAK, reason=beyond)
    if found.excess <= MIN_EXCESS:
        return replace(found, verdict=NO_LEAK, reason=f"beyond chance, but by {found.excess:.3f} only")
    if found.subjects_above < MIN_SHARE * found.measured_subjects:
        reason = f"beyond chance, but in {found.subjects_above} of {found.measured_subjects} subjects only"
        return replace(found, verdict=NO_LEAK, reason=reason)
    return replace(found, verdict=FLOOR if found.verdict == FLOOR else LEAK)


def _varies(given: Input, rows: NDArray[np.bool_]) -> bool:
    return any(len(np.unique(factor.code[rows])) > 1 for factor in given.factors)
