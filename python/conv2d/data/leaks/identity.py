"""What it is worth to know who, or which recording: nothing across subjects, and much under a random split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.leaks.bayes import mean_recall, reach
from conv2d.data.leaks.inputs import Factor
from conv2d.data.leaks.table import WindowTable

FOLDS = 5
GAIN = 0.05
SPLIT_LEAKS, NAMES_SAY_LITTLE = "random split leaks", "names say little"


@dataclass(frozen=True)
class Identity:
    """What subject and recording tell of the label, where training has seen them.

    ``label_entropy_bits`` is H(label) over windows, ``information_bits`` I(subject; label), ``information_share`` their
    quotient, 0 where every subject shows the same mixture and 1 where the subject says the label. ``chance`` is what
    no knowledge at all reaches, 1 / K. ``by_subject`` and ``by_recording`` are the balanced accuracies that the name of
    the subject, or of the recording, reaches when windows are split at random into 5 folds. ``tied`` names the classes
    of which all windows are of one subject.
    """

    label_entropy_bits: float
    information_bits: float
    chance: float
    by_subject: float
    by_recording: float
    tied: dict[str, str]

    @property
    def information_share(self) -> float:
        """I(subject; label) / H(label)."""
        return self.information_bits / self.label_entropy_bits

    @property
    def verdict(self) -> str:
        """``random split leaks`` where a name gains more than 0.05, else ``names say little``.

        The latter is no leave for a random split: neighbours in time are alike, which no name shows.
        """
        gain = max(self.by_subject, self.by_recording) - self.chance
        return SPLIT_LEAKS if gain > GAIN else NAMES_SAY_LITTLE

    def to_dict(self) -> dict[str, Any]:
        """For leaks.json."""
        return {
            "verdict": self.verdict,
            "label_entropy_bits": self.label_entropy_bits,
            "information_bits": self.information_bits,
            "information_share": self.information_share,
            "random_split": {"chance": self.chance, "subject": self.by_subject, "recording": self.by_recording},
            "classes_of_one_subject": self.tied,
        }


def measure_identity(table: WindowTable, seed: int) -> Identity:
    """Count labels by subject and by recording; see `Identity`. O(N)."""
    joint = np.zeros((len(table.subjects), len(table.classes)))
    np.add.at(joint, (table.subject, table.label), 1)
    fold = np.random.default_rng([seed, 3]).permutation(len(table.label)) % min(FOLDS, len(table.label))
    present = joint.sum(axis=0) > 0
    tied = {
        table.classes[k]: table.subjects[int(joint[:, k].argmax())]
        for k in np.flatnonzero(present)
        if (joint[:, k] > 0).sum() == 1
    }
    return Identity(
        _entropy(joint.sum(axis=0)),
        max(0.0, _entropy(joint.sum(axis=0)) + _entropy(joint.sum(axis=1)) - _entropy(joint.reshape(-1))),
        float(mean_recall(np.eye(len(present))[np.flatnonzero(present)[0]], present.astype(np.float64))),
        _split_at_random(table, table.subject, fold),
        _split_at_random(table, table.recording, fold),
        tied,
    )


def _entropy(counts: NDArray[np.float64]) -> float:
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log2(shares)).sum()) + 0.0  # no negative zero


def _split_at_random(table: WindowTable, who: NDArray[np.int64], fold: NDArray[np.int64]) -> float:
    factor = Factor("name", who, int(who.max()) + 1)
    return float(reach([factor], table.label[None], fold, int(fold.max()) + 1, len(table.classes)).pooled[0])
