"""The order of labels: runs too short to be real, and recordings that follow a script."""

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np

from conv2d.data.audit.findings import Finding, counted, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream

SHORT_S, SHORT_SAMPLES, SHORT_SHARE = 0.25, 3, 0.1
"""A run between two other labels that is no longer than this, and than this share of its class's median."""

MANY = 3
SCRIPT_RUN_S = 0.15
SAME, SAME_OF, SAME_LENGTH, SAME_P = 0.3, 5, 4, 1e-4
"""Share of recordings with the commonest order of labels, of how many at least, how long it must be, and how seldom
that many agree by chance where each label depends on the last one alone."""

NEXT, CONTEXT, PREDICTIONS = 0.95, 3, 30
KINDS = 2.8
"""Labels that come next, as the exponential of the entropy of what follows: two that alternate, with a third one now
and then, tell each other without any script."""

POSITIONS = 40


class LabelRunChecks:
    """Keeps the runs of each recording; O(runs)."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.ribbons: list[tuple[str, str, list[tuple[int, int, int]], int]] = []
        """Recording, subject, runs (start, end, class) and rows."""

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        runs = stream.runs()
        kept = [(int(a), int(b), int(c)) for c, a, b in zip(*runs, strict=True)]
        self.ribbons.append((stream.name, stream.subject, kept, stream.n))

    def findings(self) -> Iterator[Finding]:
        """Runs that are too short, and scripts."""
        if not any(label >= 0 for _, _, runs, _ in self.ribbons for _, _, label in runs):
            yield not_applicable("short_runs", "nothing is labelled")
            yield not_applicable("scripted", "nothing is labelled")
            return
        yield from self._short()
        yield from self._scripted()

    def _short(self) -> Iterator[Finding]:
        lengths: dict[int, list[int]] = defaultdict(list)
        inner: list[tuple[str, int, int, str]] = []
        rate = self.setting.rate_hz
        limit = max(SHORT_SAMPLES, SHORT_S * rate)
        for name, _, runs, _ in self.ribbons:
            for place, (start, end, label) in enumerate(runs):
                if label < 0:
                    continue
                lengths[label].append(end - start)
                # Beside a stretch that is not annotated, or at an end, a run may have been cut.
                flanked = 0 < place < len(runs) - 1 and runs[place - 1][2] >= 0 and runs[place + 1][2] >= 0
                if flanked and end - start <= limit:
                    sides = f"{self._class(runs[place - 1][2])} and {self._class(runs[place + 1][2])}"
                    inner.append((name, start, place, sides))
        median = {label: float(np.median(values)) for label, values in lengths.items()}
        by_name = {name: runs for name, _, runs, _ in self.ribbons}
        short = []
        for name, start, place, sides in inner:
            _, end, label = by_name[name][place]
            if end - start < SHORT_SHARE * median[label]:
                short.append((name, start, end - start, self._class(label), sides))
        if not short:
            return
        kinds = Counter((what, sides) for *_, what, sides in short)
        (what, sides), n = kinds.most_common(1)[0]
        yield Finding(
            "short_runs", "fault" if len(short) >= MANY else "note",
            f"{counted(len(short), 'run')} of a label last {max(x[2] for x in short)} samples at most, between two "
            f"other labels; {n} of them are {what} between {sides}",
            "each counts as a segment: segment F1 and edit score are judged on them, and the duration law of the class "
            "gets a peak at one sample",
            f"merge runs shorter than {limit / rate:g} s into a neighbour before training",
            {"runs": len(short), "threshold_s": limit / rate, "threshold_share_of_median": SHORT_SHARE,
             "by_class": dict(Counter(x[3] for x in short)),
             "places": [{"recording": r, "start_s": s / rate, "samples": m, "label": w, "between": b}
                        for r, s, m, w, b in short]},
            tuple(dict.fromkeys(x[0] for x in short)),
        )  # fmt: skip

    def _class(self, label: int) -> str:
        return self.setting.meta.classes[label]

    def _scripted(self) -> Iterator[Finding]:
        sequences = [(subject, self._order(runs)) for _, subject, runs, _ in self.ribbons]
        sequences = [(subject, order) for subject, order in sequences if order]
        used = {label for _, order in sequences for label in order}
        long = [order for _, order in sequences if len(order) >= SAME_LENGTH]
        if len(used) < 3:
            yield not_applicable("scripted", "with fewer than three classes the next one follows from the last")
            return
        if max(map(len, (order for _, order in sequences))) < 2:
            yield not_applicable("scripted", "no recording holds two labels")
            return
        subjects = {subject for subject, _ in sequences}
        if len(sequences) < SAME_OF or len(subjects) < 2:
            yield not_measured(
                "scripted", f"{counted(len(sequences), 'recording')} of {counted(len(subjects), 'subject')}: too few"
            )
            return
        common, n = Counter(long).most_common(1)[0] if long else ((), 0)
        following = {context: next_label(sequences, context) for context in range(1, CONTEXT + 1)}
        kinds = _effective_labels([order for _, order in sequences])
        told = [
            k for k, (right, of) in following.items() if of >= PREDICTIONS and right / of > NEXT and kinds >= KINDS
        ]  # fmt: skip
        by_chance = _agreement_by_chance([order for _, order in sequences], common, n)
        same = n >= SAME * len(sequences) and by_chance < SAME_P
        if not same and not told:
            return
        position, classes = self._by_position()
        said = (
            [f"{n} of {counted(len(sequences), 'recording')} have the same order of {len(common)} labels"]
            if same
            else []
        )
        if told:
            right, of = following[told[0]]
            said.append(f"the last {counted(told[0], 'label')} tell the next in {right / of:.1%} of {of:,} cases")
        if position is not None:
            said.append(
                f"the place in the recording alone gives a balanced accuracy of {position:.2f} "
                f"(chance {1 / classes:.2f})"
            )
        yield Finding(
            "scripted", "confound", "; ".join(said),
            "transitions, durations and the place in a recording are learnt from the script, not from behaviour, and "
            "count in the results of a decoder",
            "report decoder hsmm_uniform_transitions as well, and give no input that tells the time in the recording",
            {"same_order": n, "recordings": len(sequences), "order": [self._class(c) for c in common],
             "next_label": {str(k): {"right": right, "of": of} for k, (right, of) in following.items()},
             "position_balanced_accuracy": position, "classes": classes, "p_same": by_chance,
             "threshold_same": SAME, "threshold_p": SAME_P, "threshold_next": NEXT,
             "labels_that_follow": kinds, "threshold_labels": KINDS},
        )  # fmt: skip

    def _order(self, runs: Sequence[tuple[int, int, int]]) -> tuple[int, ...]:
        """Classes in their order, without what is not annotated and without runs that are too short to be real."""
        order: list[int] = []
        for start, end, label in runs:
            if (
                label >= 0
                and (end - start) / self.setting.rate_hz >= SCRIPT_RUN_S
                and (not order or order[-1] != label)
            ):
                order.append(label)
        return tuple(order)

    def _by_position(self) -> tuple[float | None, int]:
        """Balanced accuracy of the likeliest class of each fortieth of a recording, learnt on other subjects."""
        k = len(self.setting.meta.classes)
        tables: dict[str, np.ndarray] = defaultdict(lambda: np.zeros((POSITIONS, k)))
        for _, subject, runs, n in self.ribbons:
            edges = np.linspace(0, n, POSITIONS + 1)
            for start, end, label in runs:
                if label >= 0:
                    tables[subject][:, label] += np.clip(np.minimum(edges[1:], end) - np.maximum(edges[:-1], start),
                                                         0, None)  # fmt: skip
        total = sum(tables.values())
        if len(tables) < 2 or isinstance(total, int):
            return None, k
        shown = total.sum(axis=0) > 0
        right = np.zeros(k)
        for table in tables.values():
            others = total - table
            likelihood = (others + 0.5) / (others.sum(axis=0) + 0.5 * POSITIONS)
            likelihood[:, others.sum(axis=0) == 0] = 0
            guess = likelihood.argmax(axis=1)
            right += np.bincount(guess, weights=table[np.arange(POSITIONS), guess], minlength=k)
        return float((right[shown] / total.sum(axis=0)[shown]).mean()), int(shown.sum())


def _effective_labels(orders: Sequence[tuple[int, ...]]) -> float:
    """Exponential of the entropy of the labels that follow another one, as if so many came equally often."""
    counts = np.array(list(Counter(label for order in orders for label in order[1:]).values()), np.float64)
    share = counts / counts.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def _agreement_by_chance(orders: Sequence[tuple[int, ...]], common: tuple[int, ...], n: int) -> float:
    """Bound on the probability that ``n`` recordings agree on some order as likely as ``common``.

    Labels follow a chain whose probabilities are counted in the recordings themselves, those that agree among them, so
    that the bound is on the safe side: what always follows by two is no script here.
    """
    if n < 2:
        return 1.0
    first = Counter(order[0] for order in orders)
    pairs = Counter(pair for order in orders for pair in itertools.pairwise(order))
    ends = Counter(order[-1] for order in orders)
    leaving = Counter(a for order in orders for a in order)
    log_p = math.log(first[common[0]] / len(orders)) + math.log(ends[common[-1]] / leaving[common[-1]])
    log_p += sum(math.log(pairs[pair] / leaving[pair[0]]) for pair in itertools.pairwise(common))
    # Any of the recordings may be the first of those that agree; n - 1 others follow it.
    tail = sum(
        math.exp(
            math.lgamma(len(orders)) - math.lgamma(k + 1) - math.lgamma(len(orders) - k)
            + k * log_p + (len(orders) - 1 - k) * math.log1p(-min(math.exp(log_p), 1 - 1e-12))
        )
        for k in range(n - 1, len(orders))
    )  # fmt: skip
    return min(1.0, len(orders) * tail)


def next_label(sequences: Sequence[tuple[str, tuple[int, ...]]], context: int) -> tuple[int, int]:
    """How often the last ``context`` labels tell the next one, learnt on other subjects: right, and of how many.

    >>> next_label([("a", (0, 1, 2)), ("b", (0, 1, 2)), ("c", (0, 1, 3))], 2)
    (2, 3)
    """
    tables: dict[str, dict[tuple[int, ...], Counter[int]]] = defaultdict(lambda: defaultdict(Counter))
    total: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for subject, order in sequences:
        for i in range(context, len(order)):
            tables[subject][order[i - context : i]][order[i]] += 1
            total[order[i - context : i]][order[i]] += 1
    right = of = 0
    for own in tables.values():
        for before, counts in own.items():
            others = total[before] - counts
            of += counts.total()
            if others:
                right += counts[max(sorted(others), key=lambda label: others[label])]
    return right, of
