"""Classes by subject: the table, classes that cannot be told from the animal, and what the window leaves of them."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, named, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream

FEW_BOUTS = 5
FEW_SUBJECTS = 3
TIED_P = 1e-3
UNLABELLED = 0.05
ONE_LABEL = 0.8
SHORT_WINDOWS = 3.0


class Labels:
    """Counts by subject and class; O(runs) kept."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rows: dict[str, dict[str, Any]] = {}
        k = len(setting.meta.classes)
        self._samples: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(k, np.int64))
        self._bouts: dict[str, NDArray[np.int64]] = defaultdict(lambda: np.zeros(k, np.int64))
        self._whole: NDArray[np.int64] = np.zeros(k, np.int64)  # bouts that hold a window
        self._lengths: dict[int, list[NDArray[np.int64]]] = defaultdict(list)
        self._lengths_of: dict[str, int] = {}
        self._unlabelled: dict[str, int] = {}
        self._one_run: dict[str, bool] = {}

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        runs = stream.runs()
        k = len(self.setting.meta.classes)
        length = runs.end - runs.start
        said = runs.label >= 0
        label, length = runs.label[said], length[said]
        self._samples[stream.subject] += np.bincount(label, weights=length, minlength=k).astype(np.int64)
        self._bouts[stream.subject] += np.bincount(label, minlength=k)
        self._whole += np.bincount(label[length >= self.setting.window], minlength=k)
        for c in np.unique(label):
            self._lengths[int(c)].append(length[label == c])
        self._lengths_of[stream.name] = stream.n
        self._unlabelled[stream.name] = stream.n - int(length.sum())
        if len(label):
            self._one_run[stream.name] = len(label) == 1
        share = self._unlabelled[stream.name] / max(stream.n, 1)
        classes = self.setting.meta.classes
        self.rows[stream.name] = {
            "unlabelled": share, "bouts": len(label), "classes": [classes[c] for c in np.unique(label)]
        }  # fmt: skip

    @property
    def subjects(self) -> list[str]:
        """Subjects in the order of the table."""
        return sorted(self._samples)

    @property
    def seconds(self) -> NDArray[np.float64]:
        """Seconds by subject and class."""
        return np.stack([self._samples[s] for s in self.subjects]) / self.setting.rate_hz

    @property
    def bouts(self) -> NDArray[np.int64]:
        """Bouts by subject and class."""
        return np.stack([self._bouts[s] for s in self.subjects])

    def table(self) -> dict[str, Any]:
        """The class table for a report: bouts, seconds, windows and subjects of each class, and both by subject."""
        rate = self.setting.rate_hz
        bouts, seconds = self.bouts, self.seconds
        classes = {}
        for c, name in enumerate(self.setting.meta.classes):
            lengths = np.concatenate([np.empty(0, np.int64), *self._lengths[c]])
            classes[name] = {
                "subjects": int((bouts[:, c] > 0).sum()),
                "bouts": int(bouts[:, c].sum()),
                "bouts_with_a_window": int(self._whole[c]),
                "seconds": float(seconds[:, c].sum()),
                "median_bout_s": float(np.median(lengths)) / rate if len(lengths) else None,
                "shortest_bout_s": float(lengths.min()) / rate if len(lengths) else None,
                "longest_bout_s": float(lengths.max()) / rate if len(lengths) else None,
            }
        by_subject = {
            subject: {name: {"bouts": bouts[s, c], "seconds": seconds[s, c]}
                      for c, name in enumerate(self.setting.meta.classes) if bouts[s, c]}
            for s, subject in enumerate(self.subjects)
        }  # fmt: skip
        return {"classes": classes, "by_subject": by_subject, "window": self.setting.window}

    def findings(self) -> Iterator[Finding]:
        """What the labels allow and what they do not."""
        if not self._samples or not self.bouts.any():
            for check in ("rare_classes", "tied_classes", "one_label", "unlabelled", "short_classes"):
                yield not_applicable(check, "nothing is labelled")
        else:
            yield from self._rare()
            yield from self._tied()
            yield from self._one_label()
            yield from self._unlabelled_share()
            yield from self._short_classes()
        yield from self._short_recordings()

    def _rare(self) -> Iterator[Finding]:
        classes = self.setting.meta.classes
        bouts = self.bouts
        total, subjects = bouts.sum(axis=0), (bouts > 0).sum(axis=0)
        few = {classes[c]: int(total[c]) for c in np.flatnonzero((total > 0) & (total <= FEW_BOUTS))}
        many_subjects = len(self.subjects) >= FEW_SUBJECTS
        thin = {classes[c]: int(subjects[c]) for c in np.flatnonzero((total > 0) & (subjects < FEW_SUBJECTS))}
        absent = [classes[c] for c in np.flatnonzero(total == 0)]
        said = []
        if few:
            said.append("few bouts: " + ", ".join(f"{name} {n}" for name, n in sorted(few.items(), key=lambda x: x[1])))
        if thin and many_subjects:
            said.append(f"fewer than {FEW_SUBJECTS} subjects: " + ", ".join(f"{name} {n}" for name, n in thin.items()))
        if absent:
            said.append(f"declared and never used: {named(absent)}")
        if said:
            yield Finding(
                "rare_classes", "note", "; ".join(said),
                "a bout more or less that is found decides the class's F1, which counts in macro-F1 as much as that of "
                "the commonest class; a class of fewer subjects than folds is not tested in each",
                "leave such classes out of classes:, or give their figures with counts and without a mean",
                {"bouts": few, "subjects": thin, "unused": absent, "threshold_bouts": FEW_BOUTS,
                 "threshold_subjects": FEW_SUBJECTS},
            )  # fmt: skip
        elif not many_subjects:
            yield not_measured("rare_classes", f"{counted(len(self.subjects), 'subject')}: nothing to compare with")

    def _tied(self) -> Iterator[Finding]:
        classes = self.setting.meta.classes
        bouts = self.bouts
        shown = np.flatnonzero(bouts.sum(axis=1) > 0)
        if len(shown) < FEW_SUBJECTS:
            yield not_measured(
                "tied_classes", f"{counted(len(shown), 'subject')} with labels: each class would be tied to it"
            )
            return
        group = components(bouts > 0)
        seen = [g for g in np.unique(group[: len(self.subjects)]) if g >= 0]
        information = mutual_information(self.seconds)
        if len(seen) > 1:
            main = max(seen, key=lambda g: int(bouts[group[: len(self.subjects)] == g].sum()))
            for g in seen:
                if g == main:
                    continue
                own = [s for s, k in zip(self.subjects, group[: len(self.subjects)], strict=True) if k == g]
                tied = [c for c, k in zip(classes, group[len(self.subjects) :], strict=True) if k == g]
                yield Finding(
                    "tied_classes", "confound",
                    f"{named(tied)} {'comes' if len(tied) == 1 else 'come'} only from {named(own)}, "
                    f"{'who shows' if len(own) == 1 else 'who show'} nothing else",
                    "the class cannot be told from the animal: whatever marks these subjects marks the class, and no "
                    "test can tell the two apart",
                    f"leave {named(tied)} out of classes:, or report apart",
                    {"classes": tied, "subjects": own, "groups": len(seen), "information": information},
                )  # fmt: skip
        share = bouts.sum(axis=1) / bouts.sum()
        for c in np.flatnonzero((bouts > 0).sum(axis=0) == 1):
            if len(seen) > 1 and group[len(self.subjects) + c] != main:
                continue
            # Were the class everyone's, all of its bouts would fall to one subject with this probability.
            p = float((share ** bouts[:, c].sum()).sum())
            if p < TIED_P:
                owner = self.subjects[int(bouts[:, c].argmax())]
                yield Finding(
                    "tied_classes", "confound",
                    f"{classes[c]} comes only from {owner} ({counted(int(bouts[:, c].sum()), 'bout')}), beyond chance",
                    "a test by subject never sees this class in training and test, so it is never found",
                    f"leave {classes[c]} out of classes:, or record it from others",
                    {"classes": [classes[c]], "subjects": [owner], "p": p, "threshold": TIED_P,
                     "information": information},
                )  # fmt: skip

    def _one_label(self) -> Iterator[Finding]:
        n, one = len(self._one_run), sum(self._one_run.values())
        if one > ONE_LABEL * n:
            yield Finding(
                "one_label", "confound",
                f"{one} of {counted(n, 'labelled recording')} hold one label throughout",
                "boundaries, transitions and durations cannot be learnt or judged: segment scores are trivial and a "
                "decoder that never changes wins",
                "model.architecture.temporal.type: raw, and report window figures",
                {"share": one / n, "threshold": ONE_LABEL},
            )  # fmt: skip

    def _unlabelled_share(self) -> Iterator[Finding]:
        rows = sum(self._lengths_of.values())
        share = sum(self._unlabelled.values()) / max(rows, 1)
        each = [n / length for name, n in self._unlabelled.items() if (length := self._lengths_of[name])]
        if share > UNLABELLED:
            yield Finding(
                "unlabelled", "note",
                f"labels cover {1 - share:.1%} of the rows; {min(each):.0%} to {max(each):.0%} of a recording are not "
                "annotated",
                "what was left out is often what was hard to tell: figures on the rest are too good for a whole day",
                "say so with every figure; decoded timelines cover all of it, judged is what is annotated",
                {"labelled": 1 - share, "unlabelled": share, "least": min(each), "most": max(each),
                 "threshold": UNLABELLED},
            )  # fmt: skip

    def _short_classes(self) -> Iterator[Finding]:
        rate, window = self.setting.rate_hz, self.setting.window
        table = self.table()["classes"]
        short = {
            name: row["median_bout_s"] for name, row in table.items()
            if row["median_bout_s"] is not None and row["median_bout_s"] < SHORT_WINDOWS * window / rate
        }  # fmt: skip
        if short:
            none = [name for name in short if not table[name]["bouts_with_a_window"]]
            few = {name: table[name]["bouts_with_a_window"] for name in short
                   if 0 < table[name]["bouts_with_a_window"] <= FEW_BOUTS}  # fmt: skip
            listed = ", ".join(f"{name} {value:.2f}" for name, value in sorted(short.items(), key=lambda x: x[1]))
            yield Finding(
                "short_classes", "note",
                f"median bouts shorter than three windows of {window / rate:g} s: {listed} s"
                + (f"; no bout holds a whole window: {named(none, 12)}" if none else "")
                + (f"; few do: {', '.join(f'{name} {n}' for name, n in few.items())}" if few else ""),
                "label_rule: pure leaves little of them, and windows that are labelled by their centre hold other "
                "classes too",
                "a shorter data.window_size, or figures of these classes with their counts",
                {"median_s": short, "no_window": none, "few_windows": few, "window_s": window / rate,
                 "threshold_windows": SHORT_WINDOWS},
            )  # fmt: skip

    def _short_recordings(self) -> Iterator[Finding]:
        window = self.setting.window
        short = [name for name, n in self._lengths_of.items() if n < window]
        if short:
            classes: dict[str, int] = defaultdict(int)
            for name in short:
                for label in self.rows[name]["classes"]:
                    classes[label] += 1
            of = {c: int(n) for c, n in zip(self.setting.meta.classes, self.bouts.sum(axis=0), strict=True)}
            half = [name for name, n in classes.items() if 2 * n > of[name]]
            yield Finding(
                "short_recordings", "note",
                f"{len(short)} of {counted(len(self._lengths_of), 'recording')} are shorter than a window of {window} "
                f"samples" + (f"; more than half of the bouts of {named(half, 14)} are lost with them" if half else ""),
                "they give no window and no segment: they are skipped and counted, and with them the classes they hold",
                f"data.window_size below {window} samples, or leave these classes out",
                {"recordings": len(short), "threshold_samples": window, "recordings_by_class": dict(classes),
                 "classes_losing_half": half},
                tuple(short),
            )  # fmt: skip


def components(shown: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Connected components of the graph of subjects (rows) and classes (columns); -1 for what has no edge.

    Returns int64 (subjects + classes,).

    >>> components(np.array([[True, True, False], [False, False, True]]))
    array([0, 1, 0, 0, 1])
    """
    n, k = shown.shape
    group = np.where(shown.any(axis=1), np.arange(n), -1)
    while True:
        columns = np.array([group[shown[:, c]].min() if shown[:, c].any() else -1 for c in range(k)], np.int64)
        nearest = np.array([columns[shown[s]].min() if shown[s].any() else -1 for s in range(n)], np.int64)
        if (nearest == group).all():
            return np.concatenate([group, columns])
        group = nearest


def mutual_information(counts: NDArray[np.floating]) -> float:
    """What rows (U) tell about columns (V), as a share of the entropy of the columns: 0 nothing, 1 all."""
    p = counts / max(float(counts.sum()), 1e-300)
    expected = p.sum(axis=1, keepdims=True) * p.sum(axis=0)
    column = p.sum(axis=0)
    entropy = -float((column[column > 0] * np.log(column[column > 0])).sum())
    some = (p > 0) & (expected > 0)
    shared = float((p[some] * np.log(p[some] / expected[some])).sum())
    # A single column has an entropy of some roundings, of which nothing can be told.
    return min(max(shared / entropy, 0.0), 1.0) if entropy > 1e-12 else 0.0
