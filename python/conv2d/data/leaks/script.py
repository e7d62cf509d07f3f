"""How far the order of the labels is fixed: what the segments before one tell of it, the signal unseen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.leaks.bayes import reach
from conv2d.data.leaks.chance import p_value
from conv2d.data.leaks.inputs import NOT_APPLICABLE, Factor
from conv2d.data.leaks.table import LABEL, WindowTable

CONTEXTS = (1, 2, 3)
SCRIPTED = 0.9
"""Balanced accuracy from which the order of the labels is called a script."""

ORDERED_EXCESS = 0.1
_MIN_SEGMENTS = 20


@dataclass(frozen=True)
class Script:
    """What the 1, 2 or 3 segments before tell of a segment's label: balanced accuracy, chance and p, by context.

    ``reached``, ``chance`` and ``p`` are empty where it does not apply, for the ``reason`` given.
    """

    reached: dict[int, float]
    chance: dict[int, float]
    p: dict[int, float]
    segments: int
    reason: str = ""

    @property
    def verdict(self) -> str:
        """``scripted``, ``ordered`` (beyond chance, as behaviour is), ``no order``, or NOT_APPLICABLE."""
        if not self.reached:
            return NOT_APPLICABLE
        if max(self.reached.values()) >= SCRIPTED:
            return "scripted"
        level = 0.05 / len(self.reached)  # any of them would do
        beyond = any(self.p[k] <= level and self.reached[k] - self.chance[k] > ORDERED_EXCESS for k in self.reached)
        return "ordered" if beyond else "no order"

    def to_dict(self) -> dict[str, Any]:
        """For leaks.json."""
        contexts = {
            str(k): {"balanced_accuracy": self.reached[k], "chance": self.chance[k], "p": self.p[k]}
            for k in self.reached
        }
        return {"verdict": self.verdict, "reason": self.reason, "segments": self.segments, "contexts": contexts}


def measure_script(table: WindowTable, draws: int, seed: int) -> Script:
    """Predict the label of each segment from those before it in the same recording, a subject left out at a time.

    An oracle: no model knows the labels before. It says how much a decoder that learns transitions may take from the
    order alone. Stretches without annotation are passed over, and equal neighbours are one segment. Chance: the
    segments of each recording in random order, equal neighbours joined again; where one class makes up most segments
    it lies some hundredths too low, which `ORDERED_EXCESS` allows for. O(draws segments).
    """
    if table.target != LABEL:
        return Script({}, {}, {}, 0, f"{table.target} is the same all through a recording")
    recording = np.repeat(np.arange(len(table.runs)), [len(runs) for runs in table.runs])
    label = np.concatenate([*table.runs, np.empty(0, np.int64)]).astype(np.int64)
    followed = int(_contexts(label, recording, 1)[0].sum())
    if followed < _MIN_SEGMENTS:
        reason = f"{followed} segments follow another in their recording, expected {_MIN_SEGMENTS} or more"
        return Script({}, {}, {}, followed, reason)
    rng = np.random.default_rng([seed, 2])
    values: dict[int, list[float]] = {k: [] for k in CONTEXTS}
    for draw in range(1 + draws):
        shuffled = label[np.lexsort((rng.random(len(label)), recording))] if draw else label
        keep = np.concatenate([[True], (shuffled[1:] != shuffled[:-1]) | (recording[1:] != recording[:-1])])
        for k in CONTEXTS:
            values[k].append(_predicted(table, shuffled[keep], recording[keep], k))
    columns = {k: np.array(found) for k, found in values.items() if not np.isnan(found).any()}
    return Script(
        {k: float(column[0]) for k, column in columns.items()},
        {k: float(column[1:].mean()) for k, column in columns.items()},
        {k: p_value(column) for k, column in columns.items()},
        followed,
    )


def _contexts(
    label: NDArray[np.int64], recording: NDArray[np.int64], k: int
) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which segments have k others before them, and those, (n, k)."""
    enough = np.zeros(len(label), bool)
    enough[k:] = recording[k:] == recording[: len(label) - k]
    at = np.flatnonzero(enough)
    return enough, np.stack([label[at - back] for back in range(1, k + 1)], axis=1)


def _predicted(table: WindowTable, label: NDArray[np.int64], recording: NDArray[np.int64], k: int) -> float:
    enough, before = _contexts(label, recording, k)
    subjects, group = np.unique(table.subject_of[recording[enough]], return_inverse=True)
    if len(subjects) < 2:
        return float("nan")
    code = np.zeros(len(before), np.int64)
    for column in before.T:
        code = code * len(table.classes) + column
    code = np.unique(code, return_inverse=True)[1].reshape(-1)
    factor = Factor("context", code, int(code.max()) + 1)
    return float(reach([factor], label[enough][None], group, len(subjects), len(table.classes)).pooled[0])
