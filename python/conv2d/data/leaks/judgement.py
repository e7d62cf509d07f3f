"""What is said of one trivial input: its figures, for whom they hold, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conv2d.data.leaks.chance import Level
from conv2d.data.leaks.inputs import NOT_MEASURED

ALPHA = 0.05
MIN_EXCESS = 0.05
MIN_SHARE = 0.8
"""A leak: p at most ``ALPHA`` after Holm, more than ``MIN_EXCESS`` above chance, ``MIN_SHARE`` of subjects above."""

LEAK, NO_LEAK, FLOOR, SOME = "leak", "no leak", "floor", "in some subjects"


@dataclass(frozen=True)
class SubjectFigure:
    """What an input reaches on one subject left out, and what chance does.

    Within subjects it is the balanced accuracy over the classes that the subject shows; ``measured`` is false where
    chance cannot differ: one label only, or the input is the same in all its windows. Between subjects windows weigh as
    in the figure of all subjects: one prediction a subject would have 1 / K of its own K classes, whichever it is.
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
    gives the factors that were read and for how many subjects left out. ``level`` says how labels were exchanged;
    ``tested`` holds the p values of all levels that were tried; ``p`` is that of the one shown, over its weight.
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
    tested: Mapping[Level, float] = field(default_factory=dict)
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
    def holds_in_subjects(self) -> bool:
        """Whether enough subjects lie above chance; between subjects one alone tells little, so all count at once."""
        return self.level == "between subjects" or self.subjects_above >= MIN_SHARE * self.measured_subjects

    @property
    def large(self) -> bool:
        """Whether it lies far enough above chance, and in enough subjects, be it likely or not."""
        return self.excess is not None and self.excess > MIN_EXCESS and self.holds_in_subjects

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
            "p_by_level": dict(self.tested),
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

    def with_verdict(self) -> Judgement:
        """Apply the rule; where one condition of it fails, the reason names that."""
        if self.p_holm is None or self.excess is None:
            return self
        if not self.beyond_chance:
            reason = f"p {self.p_holm:.3f} after Holm, expected at most {ALPHA}"
            return replace(self, verdict=NO_LEAK, reason=reason)
        if self.excess <= MIN_EXCESS:
            reason = f"beyond chance by {self.excess:.3f}, expected more than {MIN_EXCESS} for a leak"
            return replace(self, verdict=NO_LEAK, reason=reason)
        if not self.holds_in_subjects:
            reason = (
                f"beyond chance in {self.subjects_above} of {self.measured_subjects} subjects, expected "
                f"{100 * MIN_SHARE:.0f} % of them for a leak"
            )
            return replace(self, verdict=SOME, reason=reason)
        return replace(self, verdict=FLOOR if self.verdict == FLOOR else LEAK)


def best_of_levels(tried: Sequence[Judgement], weights: Sequence[float]) -> Judgement:
    """The judgement to be shown of one input that was tested at several levels, p over the weight of each.

    Weighted Bonferroni (Holm 1979): ``weights`` add up to 1 and see no label. Subjects weigh, so that a few who differ
    do not double the p value of all others.
    """
    tested = {each.level: each.p for each in tried if each.level is not None and each.p is not None}
    costly = [
        replace(each, p=min(1.0, (each.p or 0.0) / weight), tested=tested)
        for each, weight in zip(tried, weights, strict=True)
    ]
    # One that could be a leak stands before one that is only unlikely: either alone would have been shown.
    return min(costly, key=lambda each: (not (each.large and (each.p or 0.0) <= ALPHA), each.p, -(each.excess or 0.0)))
