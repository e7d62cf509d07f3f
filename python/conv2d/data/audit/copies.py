"""Rows that are alike, bit for bit, and the stretches that they make up."""

from collections import defaultdict
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from conv2d.data.duplicates import COPY_RUN, mix_bits

_STEP = np.uint64(0xD6E8FEB86659FD93)
_PAIRS = 2_000_000  # pairs of equal rows that are followed up; more are no copies but a signal that hardly varies


_T = TypeVar("_T", bound=np.generic)


class Copy(NamedTuple):
    """A stretch of rows that stands in two recordings, or twice in one.

    ``first`` and ``second`` number the recordings, ``at`` and ``again`` the first row of each place among all rows,
    ``conflicting`` counts rows with two labels.
    """

    first: int
    second: int
    at: int
    again: int
    rows: int
    conflicting: int


def row_hashes(samples: NDArray[np.float32]) -> NDArray[np.uint64]:
    """A hash of all channels of each row (C, S, n); 0 where the row is missing, all zero or as the one before."""
    n = samples.shape[2]
    flat = samples.reshape(samples.shape[0] * samples.shape[1], n)
    hashes = np.zeros(n, np.uint64)
    some = np.zeros(n, bool)
    for channel in flat:
        values: NDArray[np.float32] = channel + np.float32(0)  # -0 becomes 0
        absent = np.isnan(values)
        values[absent] = np.nan  # one NaN for all, whoever wrote it
        some |= ~absent & (values != 0)
        hashes = mix_bits(hashes + values.view(np.uint32).astype(np.uint64))
    same = np.zeros(n, bool)
    same[1:] = hashes[1:] == hashes[:-1]
    hashes[hashes == 0] = 1
    hashes[same | ~some] = 0
    return hashes


class Rows:
    """The hashes of all recordings behind each other, and which of them agree."""

    def __init__(
        self,
        hashes: list[NDArray[np.uint64]],
        labels: list[NDArray[np.int16]],
        places: list[NDArray[np.uint32]] | None = None,
    ) -> None:
        """Take the lists, and empty them, so that nothing is held twice; ``places`` are row numbers, else all rows."""
        lengths = [len(part) for part in hashes]
        self.first = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        self.n = int(self.first[-1])
        self.hash = _joined(hashes, self.n, np.dtype(np.uint64))
        self.label = _joined(labels, self.n, np.dtype(np.int16))
        self.place = None if places is None else _joined(places, self.n, np.dtype(np.uint32))

    def recording_of(self, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """The recordings that rows belong to."""
        return np.searchsorted(self.first, at, side="right") - 1

    def row(self, at: int) -> int:
        """The number of a row in its recording."""
        if self.place is not None:
            return int(self.place[at])
        return at - int(self.first[int(self.recording_of(np.array([at]))[0])])

    def count_by_recording(self, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """True values of a mask over all rows, by recording."""
        return np.bincount(self.recording_of(np.flatnonzero(mask)), minlength=len(self.first) - 1)

    def compare(self) -> tuple[list[Copy] | None, bool]:
        """Stretches that stand twice, and whether only runs could be compared; None where all is alike.

        Single rows are compared where rows of one recording are never alike by chance. Where they are, as coarse
        values at rest, only runs of 16 count, with at least half of their rows different from each other.
        """
        by_run = False
        pairs = self._pairs(self.hash)
        if pairs is None:
            by_run = True
            pairs = self._pairs(self._run_hashes())
            if pairs is None:
                return None, True
        copies = self._join(*pairs, COPY_RUN - 1 if by_run else 0)
        chance = sum(copy.first == copy.second and copy.rows < COPY_RUN for copy in copies)
        if by_run or chance > max(10, 1e-4 * self.n):
            return [copy for copy in copies if copy.rows >= COPY_RUN and self._varies(copy)], True
        return copies, False

    def _pairs(self, key: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
        """Places of equal keys, two by two; None where there are too many to follow."""
        ordered = np.sort(key)
        twice = np.unique(ordered[1:][(ordered[1:] == ordered[:-1]) & (ordered[1:] != 0)])
        del ordered  # of all rows; what follows is about those that agree
        if not len(twice):
            return np.empty(0, np.int64), np.empty(0, np.int64)
        place = np.minimum(np.searchsorted(twice, key), len(twice) - 1)
        kept = np.flatnonzero(twice[place] == key)
        order = kept[np.argsort(key[kept], kind="stable")]
        ordered = key[order]
        begin = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
        size = np.diff(np.append(begin, len(order)))
        if float((size.astype(np.float64) ** 2).sum()) > _PAIRS:
            return None
        first, second = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for start, count in zip(begin, size, strict=True):
            members = order[start : start + count]
            a, b = np.triu_indices(count, 1)
            first.append(members[a])
            second.append(members[b])
        return np.concatenate(first), np.concatenate(second)

    def _varies(self, copy: Copy) -> bool:
        part = self.hash[copy.at : copy.at + copy.rows]
        return 2 * len(np.unique(part)) >= len(part)

    def _run_hashes(self) -> NDArray[np.uint64]:
        """The hash of the run of rows that begins at each row, 0 where it hardly moves or leaves its recording."""
        length = COPY_RUN
        run = np.zeros(self.n, np.uint64)
        whole = self.n - length + 1
        if whole <= 0:
            return run
        for offset in range(length):
            run[:whole] = run[:whole] * _STEP + self.hash[offset : offset + whole]
        inside = np.zeros(self.n, bool)
        for begin, end in zip(self.first[:-1], self.first[1:], strict=True):
            inside[begin : max(begin, end - length + 1)] = True
        # Few different rows are a sensor at rest that flickers between two values.
        windows = np.lib.stride_tricks.sliding_window_view(self.hash, length)
        candidates = np.flatnonzero(inside[:whole])
        moving = np.zeros(self.n, bool)
        for part in np.array_split(candidates, max(1, len(candidates) // 200_000)):
            ordered = np.sort(windows[part], axis=1)
            different = (np.diff(ordered, axis=1) != 0).sum(axis=1) + 1
            moving[part] = (different >= length // 2) & (ordered[:, length // 2] != 0)
        run[run == 0] = 1
        run[~moving] = 0
        return run

    def _join(self, first: NDArray[np.int64], second: NDArray[np.int64], longer: int) -> list[Copy]:
        """Pairs of agreeing rows at one shift, joined to stretches; a run's hash stands for ``longer`` more rows."""
        if not len(first):
            return []
        low, high = np.minimum(first, second), np.maximum(first, second)
        a, b = self.recording_of(low), self.recording_of(high)
        order = np.lexsort((low, high - low, b, a))
        low, high, a, b = low[order], high[order], a[order], b[order]
        same = (np.diff(a) == 0) & (np.diff(b) == 0) & (np.diff(high - low) == 0) & (np.diff(low) == 1)
        begin = np.concatenate([[0], np.flatnonzero(~same) + 1])
        end = np.append(begin[1:], len(low))
        found = []
        for i, j in zip(begin, end, strict=True):
            rows = int(j - i) + longer
            x, y = self.label[low[i] : low[i] + rows], self.label[high[i] : high[i] + rows]
            conflicting = int(((x != y) & (x >= 0) & (y >= 0)).sum())
            found.append(Copy(int(a[i]), int(b[i]), int(low[i]), int(high[i]), rows, conflicting))
        return found

    def conflicts(self, copies: list[Copy], classes: tuple[str, ...]) -> tuple[dict[str, int], int]:
        """How many different rows carry two labels, by the two, and in all."""
        pairs: dict[int, set[int]] = defaultdict(set)
        for copy in copies:
            if not copy.conflicting:
                continue
            for begin in (copy.at, copy.again):
                where = slice(begin, begin + copy.rows)
                for key, label in zip(self.hash[where].tolist(), self.label[where].tolist(), strict=True):
                    if label >= 0:
                        pairs[key].add(label)
        counts: dict[str, int] = defaultdict(int)
        for labels in pairs.values():
            if len(labels) > 1:
                counts[" / ".join(sorted(classes[label] for label in labels))] += 1
        return dict(sorted(counts.items(), key=lambda item: -item[1])), sum(counts.values())


def _joined(parts: list[NDArray[_T]], n: int, kind: np.dtype[_T]) -> NDArray[_T]:
    """The parts behind each other; each is let go as soon as it is copied."""
    whole = np.empty(n, kind)
    end = n
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole
