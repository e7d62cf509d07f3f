"""The columns of recordings.csv: those that give the class away, and flags compared with what was found."""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, named, not_applicable
from conv2d.data.audit.labels import mutual_information
from conv2d.data.audit.stream import Setting, Stream, start_of
from conv2d.data.meta import BASE_COLUMNS

TIED, TIED_P = 0.1, 1e-3
"""Share of the label's entropy that a column tells beyond what chance gives, and how seldom chance does as well."""

_DRAWS = 2000
_BEST = 0.3  # overlap of a flag with a finding (intersection over union) from which the two are compared
_TRUE, _FALSE = {"true", "yes"}, {"false", "no", ""}
_COUNTS = re.compile(r"overlap|dup|double|shared|repeat", re.IGNORECASE)
_WORDS = {"scale": ("scale", "gain", "unit"), "doubled_between": ("overlap", "dup"), "saturated": ("clip", "satur")}


class Columns:
    """Labels by recording beside its row of recordings.csv."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._table: list[dict[str, str]] = []
        self._subjects: list[str] = []
        self._names: list[str] = []
        self._shares: list[NDArray[np.float64]] = []

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        row = {k: v for k, v in stream.row.meta.items() if k not in BASE_COLUMNS and k != "split"}
        begin = start_of(stream.row)
        if begin is not None:
            del row["start"]
            row |= {"date (of start)": stream.day, "hour (of start)": f"{int(begin // 3600 % 24):02d}"}
        self._table.append(row)
        self._subjects.append(stream.subject)
        self._names.append(stream.name)
        known = stream.labels[stream.labels >= 0]
        counts = np.bincount(known, minlength=len(self.setting.meta.classes))
        self._shares.append(counts / max(len(known), 1))  # each recording counts the same, however long

    def findings(
        self, found: Sequence[Finding] = (), seen_earlier: Mapping[str, int] | None = None
    ) -> Iterator[Finding]:
        """Columns that give the class away; flags beside ``found`` and ``seen_earlier`` (rows by recording)."""
        columns = list(dict.fromkeys(name for row in self._table for name in row))
        if not columns:
            yield not_applicable("tied_columns", "recordings.csv has no further columns")
            yield not_applicable("flag_columns", "recordings.csv has no further columns")
            return
        flags = {}
        for name in columns:
            values = [row.get(name, "") for row in self._table]
            words = {value.strip().lower() for value in values}
            if words <= _TRUE | _FALSE and words & _TRUE:
                flags[name] = {n for n, v in zip(self._names, values, strict=True) if v.strip().lower() in _TRUE}
            elif not _is_count(values):
                yield from self._tied(name, values)
        compared = False
        for name, flagged in flags.items():
            for finding in self._compared(name, flagged, found):
                compared = True
                yield finding
        for name in columns:
            values = [row.get(name, "") for row in self._table]
            if _COUNTS.search(name) and _is_count(values) and seen_earlier:
                compared = True
                yield self._counted(name, values, seen_earlier)
        if not compared:
            yield not_applicable("flag_columns", "recordings.csv has no flag or count that a check would give too")

    def _tied(self, name: str, values: list[str]) -> Iterator[Finding]:
        kinds, value = np.unique(values, return_inverse=True)
        shares = np.stack(self._shares)
        subjects, subject = np.unique(self._subjects, return_inverse=True)
        if not 2 <= len(kinds) <= len(values) / 2 or not shares.any():
            return
        by_subject = [set(value[subject == s].tolist()) for s in range(len(subjects))]
        constant = all(len(own) == 1 for own in by_subject)
        if constant and len(kinds) > len(subjects) / 2:
            return  # the subject under another name
        # What is the same for all recordings of a subject is drawn anew for subjects, else for recordings.
        unit = subject if constant else np.arange(len(values))
        totals = np.zeros((int(unit.max()) + 1, shares.shape[1]))
        np.add.at(totals, unit, shares)
        of_unit = np.zeros(len(totals), np.int64)
        of_unit[unit] = value
        told = _information(of_unit, totals, len(kinds))
        rng = np.random.default_rng(0)
        null = np.array([_information(rng.permutation(of_unit), totals, len(kinds)) for _ in range(_DRAWS)])
        p = float((1 + (null >= told).sum()) / (1 + _DRAWS))
        if p < TIED_P and told - null.mean() > TIED:
            yield Finding(
                "tied_columns", "confound",
                f"{name} tells {told:.0%} of what there is to know about the label ({null.mean():.0%} by chance)",
                "what differs between its values besides behaviour (place, season, device, time of day) can stand for "
                "the class",
                "record each class under several of its values, or give figures for each value apart",
                {"column": name, "information": told, "chance": float(null.mean()), "p": p, "threshold": TIED,
                 "threshold_p": TIED_P, "values": len(kinds),
                 "drawn_over": "subjects" if constant else "recordings"},
            )  # fmt: skip

    def _compared(self, name: str, flagged: set[str], found: Sequence[Finding]) -> Iterator[Finding]:
        """A flag beside the fault that it agrees with best, or that its name speaks of."""
        by_check: dict[str, set[str]] = defaultdict(set)
        for finding in found:
            if finding.level == "fault" and finding.recordings:
                by_check[finding.check] |= set(finding.recordings)
        spoken = [check for check, words in _WORDS.items() if any(word in name.lower() for word in words)]
        overlap = {c: len(flagged & own) / len(flagged | own) for c, own in by_check.items()}
        best = max(overlap, key=lambda c: (c in spoken, overlap[c]), default="")
        if not best or (overlap[best] < _BEST and best not in spoken):
            if spoken:
                yield self._flag(name, spoken[0], flagged, set())
            return
        yield self._flag(name, best, flagged, by_check[best])

    def _flag(self, name: str, check: str, flagged: set[str], own: set[str]) -> Finding:
        both, refuted, missed = sorted(flagged & own), sorted(flagged - own), sorted(own - flagged)
        return Finding(
            "flag_columns", "note" if not refuted and not missed else "confound",
            f"{name} marks {counted(len(flagged), 'recording')}: {len(both)} confirmed by the check {check}"
            + (f", not confirmed {named(refuted)}" if refuted else "")
            + (f", found beyond it {named(missed)}" if missed else ""),
            "a correction by this flag changes recordings that are right or leaves wrong ones as they are"
            if refuted or missed else "the flag and the signal agree",
            f"correct {name} in recordings.csv before it is used in data.corrections" if refuted or missed else "",
            {"column": name, "check": check, "flagged": len(flagged), "confirmed": len(both), "refuted": refuted,
             "beyond": missed},
            tuple(refuted + missed),
        )  # fmt: skip

    def _counted(self, name: str, values: list[str], counts: Mapping[str, int]) -> Finding:
        said = {n: int(float(v or 0)) for n, v in zip(self._names, values, strict=True)}
        differ = [n for n in self._names if said[n] != counts.get(n, 0)]
        return Finding(
            "flag_columns", "note",
            f"{name} counts {sum(said.values()):,} rows in {sum(v > 0 for v in said.values())} recordings, the audit "
            f"{sum(counts.values()):,} in {sum(v > 0 for v in counts.values())}; equal in "
            f"{len(said) - len(differ)} of {counted(len(said), 'recording')}",
            "the column and the signal agree" if not differ else "the column does not tell all",
            evidence={"column": name, "said": sum(said.values()), "found": sum(counts.values()), "differ": differ},
            recordings=tuple(differ),
        )  # fmt: skip


def _information(value: NDArray[np.int64], totals: NDArray[np.float64], n: int) -> float:
    one_of: NDArray[np.float64] = np.zeros((n, len(value)))
    one_of[value, np.arange(len(value))] = 1
    return mutual_information(one_of @ totals)


def _is_count(values: Sequence[str]) -> bool:
    try:
        numbers = [float(value) for value in values if value.strip()]
    except ValueError:
        return False
    return bool(numbers)
