"""Chance: the same labels in other places, so that what is left of their tie to an input is none."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from conv2d.data.leaks.table import WindowTable

Level = Literal["within subjects", "between subjects"]


def drawn_labels(table: WindowTable, draws: int, seed: int, level: Level = "within subjects") -> NDArray[np.int16]:
    """Labels in other places, int16 (1 + draws, N); row 0 holds the true ones.

    ``within subjects``: the label sequences of a subject's recordings move on by a random number of recordings, in the
    order of their starts and around the end, and each is then shifted around its recording by a random offset. A
    sequence that comes to a recording of another length is stretched to it. So runs, class shares and the order of
    bouts stay about as they are, for each subject; what they are tied to does not. Where recordings have one label
    each, the shift changes nothing and the rotation of recordings is all; where a subject has one recording, the shift.

    ``between subjects``: whole subjects exchange their label sequences. It is for a target that is constant within
    each subject, which nothing within subjects can tell from chance; for an input see `exchanged_subjects`.

    Only labelled windows move, among themselves. Cost O(draws N).

    >>> import numpy as np
    >>> from conv2d.data.leaks.chance import _shifted
    >>> _shifted(np.array([0, 0, 1, 2]), np.array([0, 4]), np.array([0]), np.array([1])).tolist()
    [0, 1, 2, 0]
    """
    rng = np.random.default_rng([seed, 0 if level == "within subjects" else 1])
    block = table.recording if level == "within subjects" else table.subject
    n_blocks = len(table.subject_of) if level == "within subjects" else len(table.subjects)
    order = np.argsort(block, kind="stable")  # windows stand by recording, and recordings by subject: no change
    bounds = np.concatenate([[0], np.cumsum(np.bincount(block, minlength=n_blocks))])
    lengths = np.diff(bounds)
    label = table.label[order]
    out = np.empty((1 + draws, len(label)), np.int16)
    out[0] = table.label
    first = np.searchsorted(table.subject_of, np.arange(len(table.subjects)))  # recordings stand by subject
    sizes = np.bincount(table.subject_of, minlength=len(table.subjects))
    rank = np.arange(len(table.subject_of)) - first[table.subject_of]
    for row in out[1:]:
        if level == "within subjects":
            steps = rng.integers(0, sizes)[table.subject_of]
            source = first[table.subject_of] + (rank + steps) % sizes[table.subject_of]
            offset = rng.integers(0, lengths[source])
        else:
            source, offset = rng.permutation(n_blocks), np.zeros(n_blocks, np.int64)
        row[order] = _shifted(label, bounds, source, offset)
    return out


def exchanged_subjects(n_subjects: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Whose property each subject has, (1 + draws, S); in row 0 everybody's own.

    It is chance for an input that is constant within subjects: the labels stay, so the size of a subject and the
    classes that are tied to it do, too, which an exchange of labels would change.
    """
    rng = np.random.default_rng([seed, 2])
    own = np.arange(n_subjects)
    return np.stack([own, *(rng.permutation(own) for _ in range(draws))])


def _shifted(
    label: NDArray[np.int64], bounds: NDArray[np.int64], source: NDArray[np.int64], offset: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Block b of the result is block ``source[b]`` of the labels, stretched to b's length and turned by ``offset``."""
    lengths = np.diff(bounds)
    block = np.repeat(np.arange(len(lengths)), lengths)
    within = np.arange(len(label)) - bounds[block]
    taken = lengths[source][block]
    stretched = within * taken // lengths[block]
    moved: NDArray[np.int64] = label[bounds[source][block] + (stretched + offset[block]) % taken]
    return moved


def p_value(values: NDArray[np.float64]) -> float:
    """Share of draws that reach what was seen, ``values[0]``, that itself counted: exact, never 0.

    >>> p_value(np.array([0.5, 0.1, 0.5, 0.2]))
    0.5
    """
    reached = values >= values[0] - 1e-9  # the same hits may be summed in another order
    return float(reached.sum() / len(values))


def holm(p_values: dict[str, float]) -> dict[str, float]:
    """P values corrected for their number (Holm 1979): the chance of any false alarm among them stays as asked.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'c': 0.06, 'b': 0.06}
    """
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, p_values[name] * (len(p_values) - rank)))
        corrected[name] = highest
    return corrected
