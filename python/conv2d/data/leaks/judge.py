"""Judging the trivial inputs: what each reaches beside chance, and whether that is a leak."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conv2d.data.leaks.bayes import Reached, reach, reach_together
from conv2d.data.leaks.chance import Level, drawn_labels, exchanged_subjects, holm, p_value
from conv2d.data.leaks.inputs import NOT_APPLICABLE, NOT_MEASURED, Input, of_subjects, trivial_inputs
from conv2d.data.leaks.judgement import FLOOR, NO_LEAK, Judgement, SubjectFigure, best_of_levels
from conv2d.data.leaks.table import WindowTable

MIN_LABELLINGS = 40
"""Different labellings that chance must have; with fewer no p value can be small."""

TOGETHER = "together"


def judge(table: WindowTable, draws: int, seed: int) -> list[Judgement]:
    """Judge every input of `trivial_inputs`, and all that are not read from the signal together.

    An input is tested within subjects where it varies there, and between them, by its commonest value in each, where it
    is constant in half of them or more: a leak at either level is one. Where both were tested, each p value is divided
    by the share of subjects that speak at its level.
    Leave one subject out, Bayes' rule on binned inputs, the same for ``draws`` labellings of chance. The same seed
    gives the same figures. Cost about O(draws N F) with F factors, some seconds for 10,000 windows.
    """
    if tied := _cannot_transfer(table):
        return [
            Judgement(name, NOT_MEASURED, tied) for name in [*(given.name for given in trivial_inputs(table)), TOGETHER]
        ]
    judging = _Judging(table, draws, seed)
    inputs = trivial_inputs(table)
    found = [judging.one(given) for given in inputs]
    found.append(judging.together([given for given in inputs if given.factors and not given.signal]))
    corrected = holm({each.name: each.p for each in found if each.p is not None})
    return [replace(each, p_holm=corrected.get(each.name)).with_verdict() for each in found]


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
        self._exchanged = exchanged_subjects(len(table.subjects), draws, seed)
        self._reached: dict[tuple[str, Level], Reached] = {}

    def labels(self, level: Level) -> tuple[NDArray[np.int16], int]:
        """Labellings (D, N), and how many of them are different.

        An input that is constant in subjects changes places itself, and the labels do not.
        """
        if level == "between subjects" and not self.table.mostly_constant_in_subjects:
            label = self.table.label.astype(np.int16)
            return np.broadcast_to(label, (1 + self.draws, len(label))), 1
        if level not in self._drawn:
            labels = drawn_labels(self.table, self.draws, self.seed, level)
            self._drawn[level] = labels, len({row.tobytes() for row in labels})
        return self._drawn[level]

    def one(self, given: Input) -> Judgement:
        """An input by itself, its verdict still open."""
        if not given.factors:
            return Judgement(given.name, given.absent, given.reason)
        at_levels = self._at_levels(given)
        return self._best(given, {level: [found] for level, found in at_levels.items()})

    def together(self, inputs: list[Input]) -> Judgement:
        """Several inputs at once, each read from the factor that it was read from by itself."""
        if len(inputs) < 2:
            reason = "fewer than two inputs are there to be taken together"
            return Judgement(TOGETHER, NOT_APPLICABLE, reason)
        at_levels = [self._at_levels(given) for given in inputs]
        parts: dict[Level, list[Input]] = {}
        if any("within subjects" in found for found in at_levels):
            parts["within subjects"] = inputs
        between = [found["between subjects"] for found in at_levels if "between subjects" in found]
        if len(between) > 1:
            parts["between subjects"] = between
        return self._best(Input(TOGETHER), parts)

    def _at_levels(self, given: Input) -> dict[Level, Input]:
        """The input as it is to be tested at each level: at one of them, or at both."""
        if self.table.mostly_constant_in_subjects:
            return {"between subjects": given}
        found: dict[Level, Input] = {"within subjects": given} if self._varying([given]).any() else {}
        constant = of_subjects(given, self.table.subject, self._exchanged)
        return found | ({"between subjects": constant} if constant.factors else {})

    def _best(self, given: Input, parts: Mapping[Level, list[Input]]) -> Judgement:
        """Of the levels at which chance can be drawn, the one that tells most; see `best_of_levels`."""
        ways = {level: self._ways(inputs, level) for level, inputs in parts.items()}
        enough = [level for level in parts if ways[level] >= MIN_LABELLINGS]
        if not enough:
            level = max(ways, key=lambda level: ways[level])
            reason = (
                f"the labels can be exchanged {level} in {ways[level]} ways only, expected {MIN_LABELLINGS} "
                "for a p value; more subjects or recordings are needed"
            )
            return Judgement(given.name, NOT_MEASURED, reason)
        subjects = [self._speaking(parts[level], level) for level in enough]
        weights = [n / sum(subjects) for n in subjects]
        return best_of_levels([self._figures(given, parts[level], level) for level in enough], weights)

    def _ways(self, inputs: list[Input], level: Level) -> int:
        """How many of the draws are different."""
        moved = [factor.code for given in inputs for factor in given.factors if factor.code.ndim == 2]
        return len(np.unique(np.concatenate(moved, axis=1), axis=0)) if moved else self.labels(level)[1]

    def _speaking(self, inputs: list[Input], level: Level) -> int:
        """How many subjects have a part in the p value at this level, whatever the labels are."""
        constant = max(given.n_constant for given in inputs)
        return constant or (
            int(self._varying(inputs).sum()) if level == "within subjects" else len(self.table.subjects)
        )

    def _figures(self, given: Input, inputs: list[Input], level: Level) -> Judgement:
        if given.factors:
            reached = self._reach(inputs[0], level)
            # Fine and coarse bins of one thing have one name.
            named = Counter(inputs[0].factors[place].name for place in reached.chosen[0].tolist())
            chosen = dict(named.most_common())
        else:
            read = [(part.factors, self._reach(part, level).chosen) for part in inputs]
            reached, chosen = reach_together(read, self.labels(level)[0], *self._subjects()), None
        if level == "within subjects":
            by_subject = reached.by_subject
            measured = self._varying(inputs) & ((reached.support[0] > 0).sum(axis=1) > 1)
        else:
            by_subject = reached.weighted_by_subject
            measured = np.ones(len(self.table.subjects), bool)
        pooled = reached.pooled
        # A class may fall out of a draw of a subject with few windows, but some class is always there: no NaN.
        chance = by_subject[1:].mean(axis=0)
        low, high = np.quantile(pooled[1:], [0.05, 0.95])
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
                for s, name in enumerate(self.table.subjects)
            },
        )

    def _varying(self, inputs: list[Input]) -> NDArray[np.bool_]:
        """The subjects (S,) within whom an input takes several values: only they change what is reached there."""
        factors = [factor for given in inputs for factor in given.factors]
        rows = [np.flatnonzero(self.table.subject == s) for s in range(len(self.table.subjects))]
        return np.array([any(np.ptp(factor.code[own]) > 0 for factor in factors) for own in rows])

    def _reach(self, given: Input, level: Level) -> Reached:
        key = given.name, level
        if key not in self._reached:
            self._reached[key] = reach(given.factors, self.labels(level)[0], *self._subjects())
        return self._reached[key]

    def _subjects(self) -> tuple[NDArray[np.int64], int, int]:
        return self.table.subject, len(self.table.subjects), len(self.table.classes)
