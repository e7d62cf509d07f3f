"""The behaviours of the dog file: a label a row from its three columns, and the windows of the paper."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.dog_table import MAX_TEXTS, Texts

# Windows by behaviour in Table 4 of Kumpulainen et al. (2021).
PUBLISHED_WINDOWS = {
    "Galloping": 776, "Lying chest": 11_062, "Sitting": 10_824, "Sniffing": 9_331, "Standing": 9_552, "Trotting": 6_646,
    "Walking": 6_403,
}  # fmt: skip
SEVEN = tuple(PUBLISHED_WINDOWS)
NO_BEHAVIORS = ("Synchronization", "Extra_Synchronization")
BEHAVIORS = (
    *SEVEN, "Bowing", "Carrying object", "Drinking", "Eating", "Jumping", "Pacing", "Panting", "Playing", "Shaking",
    "Tugging", *NO_BEHAVIORS,
)  # fmt: skip
ALIASES = {"Lying on chest": "Lying chest"}  # the paper's spelling, and the file's
WINDOW, HOP, SHARE = 200, 100, 0.75


def paper_windows(
    behaviors: NDArray[np.integer[Any]], task_defined: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Windows of one recording by the rule of Kumpulainen et al. (2021): their first rows and their behaviours.

    Windows of 200 samples (2 s) begin every 100 samples; those before the first one with a task throughout are dropped.
    A window has a behaviour where exactly one of the seven reaches a share of 75 %, counted over all three columns
    together; where none or two do, it is left out.

    Parameters
    ----------
    behaviors
        Integers (3, n): an index into `SEVEN` for each column and row, -1 for anything else.
    task_defined
        (n,), whether the row has a task.

    Returns
    -------
    starts, classes
        First row and index into `SEVEN` of each window that is kept, both int64.

    Cost: O(n). NaN in the signals plays no part.

    >>> columns = np.full((3, 500), -1)
    >>> columns[1, 100:400] = 3
    >>> paper_windows(columns, np.arange(500) >= 100)
    (array([100, 200]), array([3, 3]))
    """
    n = len(task_defined)
    starts = np.arange(0, n - WINDOW + 1, HOP)
    if len(starts) == 0:
        return starts, starts
    whole = _sums(task_defined, starts) == WINDOW
    if not whole.any():
        return starts[:0], starts[:0]
    starts = starts[int(np.argmax(whole)) :]
    reached = np.stack([_sums((behaviors == k).sum(axis=0), starts) >= SHARE * WINDOW for k in range(len(SEVEN))])
    single = reached.sum(axis=0) == 1
    return starts[single], np.argmax(reached[:, single], axis=0)


def _sums(values: NDArray[Any], starts: NDArray[np.int64]) -> NDArray[np.int64]:
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    sums: NDArray[np.int64] = total[starts + WINDOW] - total[starts]
    return sums


class DogLabels:
    """One label a row by a preset, and the count of what stood in the three columns together.

    A row's three texts make one number, its combination; a combination is looked at once, however many rows have it.
    """

    def __init__(self, preset: Literal["dogs7", "dogs_all"], texts: Texts) -> None:
        """``texts`` gives the words of the numbers that `combine` is given, and may grow."""
        self.classes: list[str] = {"dogs7": list(SEVEN), "dogs_all": []}[preset]
        self._preset = preset
        self._texts = texts
        self._label_of = np.full(MAX_TEXTS**3, -1, np.int16)
        self._rows = np.zeros(MAX_TEXTS**3, np.int64)

    def combine(self, behaviors: NDArray[np.uint8]) -> NDArray[np.int16]:
        """The combinations of rows (3, n), counted."""
        wide = behaviors.astype(np.int16)
        combinations: NDArray[np.int16] = (wide[0] * MAX_TEXTS + wide[1]) * MAX_TEXTS + wide[2]
        rows = np.bincount(combinations, minlength=len(self._rows))
        for new in np.flatnonzero((rows > 0) & (self._rows == 0)).tolist():
            self._label_of[new] = self._label(new)
        self._rows += rows
        return combinations

    def labels(self, combinations: NDArray[np.int16]) -> NDArray[np.int16]:
        """Indices into ``classes``, -1 where the preset gives no label."""
        return self._label_of[combinations]

    def of_seven(self, combinations: NDArray[np.int16]) -> NDArray[np.int8]:
        """What `paper_windows` takes: (3, n), indices into `SEVEN` or -1."""
        index = np.full(MAX_TEXTS, -1, np.int8)
        for number, word in enumerate(self._texts.words):
            word = ALIASES.get(word, word)
            if word in SEVEN:
                index[number] = SEVEN.index(word)
        return np.stack([index[part] for part in _parts(combinations)])

    def label_rows(self) -> dict[str, int]:
        """Rows by label: the seven in their order, or those found, sorted."""
        counts = dict.fromkeys(self.classes, 0)
        for combination in np.flatnonzero(self._rows).tolist():
            if self._label_of[combination] >= 0:
                counts[self.classes[self._label_of[combination]]] += int(self._rows[combination])
        return counts if self._preset == "dogs7" else dict(sorted(counts.items()))

    def two_of_seven(self) -> dict[str, int]:
        """Rows in which two or three of the seven stand, by which, most rows first."""
        counts: Counter[str] = Counter()
        for combination in np.flatnonzero(self._rows).tolist():
            several = self._words(combination) & set(SEVEN)
            if len(several) > 1:
                counts[" and ".join(sorted(several))] += int(self._rows[combination])
        return dict(counts.most_common())

    def _label(self, combination: int) -> int:
        words = self._words(combination) - {*NO_BEHAVIORS, self._texts.words[0]}
        if self._preset == "dogs7":
            words &= set(SEVEN)
            return self.classes.index(words.pop()) if len(words) == 1 else -1
        if not words:
            return -1
        label = "+".join(sorted(words))
        if label not in self.classes:
            self.classes.append(label)
        return self.classes.index(label)

    def _words(self, combination: int) -> set[str]:
        words = (self._texts.words[int(part)] for part in _parts(np.array(combination)))
        return {ALIASES.get(word, word) for word in words}


def _parts(combinations: NDArray[np.integer[Any]]) -> tuple[NDArray[Any], ...]:
    return combinations // MAX_TEXTS**2, combinations // MAX_TEXTS % MAX_TEXTS, combinations % MAX_TEXTS


def windows_beside_published(counts: NDArray[np.int64]) -> dict[str, dict[str, int]]:
    """Windows by behaviour, in this file and in the paper's Table 4, with their sums under ``all``."""
    found = dict(zip(SEVEN, counts.tolist(), strict=True))
    rows: Mapping[str, tuple[int, int]] = {name: (found[name], PUBLISHED_WINDOWS[name]) for name in SEVEN}
    total = (sum(found.values()), sum(PUBLISHED_WINDOWS.values()))
    return {name: {"here": here, "published": told} for name, (here, told) in {**rows, "all": total}.items()}
