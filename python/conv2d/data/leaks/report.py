"""The whole of a leak audit of a data set: measured, put into words, tables and files."""

from __future__ import annotations

import csv
import io
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from conv2d.data.dataset import Dataset
from conv2d.data.leaks.identity import SPLIT_LEAKS, Identity, measure_identity
from conv2d.data.leaks.inputs import NOT_MEASURED
from conv2d.data.leaks.judge import judge
from conv2d.data.leaks.judgement import ALPHA, FLOOR, LEAK, MIN_EXCESS, MIN_SHARE, NO_LEAK, SOME, Judgement
from conv2d.data.leaks.meaning import MEANING, WORDS
from conv2d.data.leaks.script import Script, measure_script
from conv2d.data.leaks.table import LABEL, Cutting, read_table
from conv2d.data.meta import in_words

DRAWS = 399
MIN_DRAWS = 399
"""With fewer, the smallest p value, doubled for two levels and corrected for nine inputs, would be no small one."""

SCRIPT_DRAWS = 200
FEW_WINDOWS = 10
_TOLD = (LEAK, SOME, FLOOR)


@dataclass(frozen=True, eq=False)
class LeakReport:
    """What trivial inputs reach on a data set, one judgement an input, and how that was measured."""

    name: str
    path: str
    target: str
    classes: tuple[str, ...]
    cutting: Cutting
    window_s: float
    n_windows: int
    n_unlabelled: int
    n_recordings: int
    subjects: tuple[str, ...]
    inputs: tuple[Judgement, ...]
    script: Script
    identity: Identity
    draws: int
    one_label_each: bool
    provenance: Mapping[str, Any]

    @property
    def windows_per_recording(self) -> float:
        """Labelled windows of a recording that has some, on average."""
        return self.n_windows / self.n_recordings

    @property
    def leaks(self) -> list[str]:
        """The inputs that leak."""
        return [found.name for found in self.inputs if found.verdict == LEAK]

    @property
    def bar(self) -> Judgement | None:
        """Of all inputs measured, floor and ``together`` among them, the one that reaches most: a model's first bar."""
        measured = [found for found in self.inputs if found.balanced_accuracy is not None]
        return max(measured, key=lambda found: found.balanced_accuracy or 0.0, default=None)

    @property
    def unmeasured(self) -> list[str]:
        """The inputs that might leak and could not be measured, if none that might leak could; else nothing."""
        might = [found for found in self.inputs if found.name != "channel_mean"]
        judged = any(found.balanced_accuracy is not None for found in might)
        return [] if judged else [found.name for found in might if found.verdict == NOT_MEASURED]

    def share_of_model(self, model: float) -> dict[str, float]:
        """How much each leak or floor reaches by itself, as a share of what a model has above chance.

        Nothing for a model that is not above the chance of the input.
        """
        shares: dict[str, float] = {}
        for found in self.inputs:
            if found.verdict in _TOLD and found.excess is not None and found.chance is not None:
                above = model - found.chance
                shares |= {found.name: found.excess / above} if above > 0 else {}
        return shares

    def to_dict(self) -> dict[str, Any]:
        """For leaks.json and ``--json``."""
        return {
            "dataset": self.name,
            "path": self.path,
            "target": self.target,
            "classes": list(self.classes),
            "windows": {
                "seconds": self.window_s,
                "hop_seconds": self.window_s,
                "rule": self.cutting.rule,
                "origin": self.cutting.origin,
                "labelled": self.n_windows,
                "unlabelled": self.n_unlabelled,
            },
            "recordings": self.n_recordings,
            "subjects": list(self.subjects),
            "rule": {"p_holm_at_most": ALPHA, "excess_above": MIN_EXCESS, "share_of_subjects_above": MIN_SHARE},
            "draws": self.draws,
            "leaks": self.leaks,
            "bar": self.bar and {"input": self.bar.name, "balanced_accuracy": self.bar.balanced_accuracy},
            "inputs": {
                found.name: {**found.to_dict(), **self._meaning(found)} for found in self.inputs
            },
            "script": self.script.to_dict(),
            "identity": self.identity.to_dict(),
            "provenance": dict(self.provenance),
        }  # fmt: skip

    @staticmethod
    def _meaning(found: Judgement) -> dict[str, str]:
        return {"meaning": MEANING[found.name]} if found.verdict in _TOLD else {}

    def sentences(self) -> list[str]:
        """One for each leak and floor, the bar for a model, what order and identity say, and what was not measured."""
        told = []
        for found in self.inputs:
            if found.verdict in _TOLD:
                read = f" ({_names(found)})" if found.chosen else ""
                told.append(
                    f"{found.verdict}: {WORDS[found.name]}{read} reaches {found.balanced_accuracy:.3f} "
                    f"against {found.chance:.3f} by chance, above it in {found.subjects_above} of "
                    f"{found.measured_subjects} subjects; {MEANING[found.name]}"
                )
        told += [self._bar_sentence(), self._script_sentence(), self._identity_sentence()]
        if self.windows_per_recording < FEW_WINDOWS and not self.one_label_each:
            told.append(
                f"note: recordings have {self.windows_per_recording:.0f} labelled windows on average, so what these "
                "hit depends on a recording's length; give shorter ones with --window"
            )
        return [sentence for sentence in [*told, *self._unshown()] if sentence]

    def _unshown(self) -> list[str]:
        """Why an input has no figures or is no leak though beyond chance; inputs with one reason share a sentence."""
        alike: dict[tuple[str, str], list[str]] = {}
        for found in self.inputs:
            if found.excess is None or (found.beyond_chance and found.verdict == NO_LEAK):
                alike.setdefault((found.verdict, found.reason), []).append(WORDS[found.name])
        return [
            f"{verdict}: {'all inputs' if len(names) == len(self.inputs) else in_words(names, len(names))}: {reason}"
            for (verdict, reason), names in alike.items()
        ]

    def _bar_sentence(self) -> str:
        if self.bar is None:
            return ""
        return (
            f"bar: {WORDS[self.bar.name]} reaches most, {self.bar.balanced_accuracy:.3f}; a model of the same windows "
            "that reaches no more has shown no knowledge of motion"
        )

    def _script_sentence(self) -> str:
        if not self.script.reached:
            return ""
        figures = ", ".join(f"{value:.2f}" for value in self.script.reached.values())
        by_chance = ", ".join(f"{value:.2f}" for value in self.script.chance.values())
        what = {
            "scripted": "a script, so timelines are judged on an order that a decoder can know by heart",
            "ordered": "an order that a decoder may use",
            "no order": "no order beyond chance",
        }[self.script.verdict]
        contexts = " or ".join(str(k) for k in self.script.reached)
        return (
            f"{self.script.verdict}: the {contexts} segments before one tell its label with {figures} "
            f"({by_chance} in random order): {what}"
        )

    def _identity_sentence(self) -> str:
        found = self.identity
        tied = [f"{label} ({subject})" for label, subject in found.tied.items()]
        alone = f"; of one subject only: {in_words(tied)}" if tied and self.target != "subject" else ""
        names = (
            "which a random split would credit a model with"
            if found.verdict == SPLIT_LEAKS
            else "so names alone gain little, but neighbours in time are alike, and a random split still leaks by them"
        )
        return (
            f"identity: under a random split of windows the subject alone reaches {found.by_subject:.3f} and the "
            f"recording alone {found.by_recording:.3f}, against {found.chance:.3f}, {names}; subjects hold "
            f"{found.information_share:.0%} of the information on {self.target}; split by subject{alone}"
        )

    def to_csv(self) -> str:
        """A row an input for all subjects together, and one for each subject; empty where nothing was measured."""
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(
            ["input", "subject", "verdict", "balanced_accuracy", "chance", "chance_q05", "chance_q95", "excess", "p",
             "p_holm", "reason"]
        )  # fmt: skip
        for found in self.inputs:
            figures = [found.balanced_accuracy, found.chance, found.chance_low, found.chance_high, found.excess]
            shown = [_cell(value) for value in [*figures, found.p, found.p_holm]]
            rows.writerow([found.name, "all", found.verdict, *shown, found.reason])
            for subject, figure in (found.by_subject or {}).items():
                excess = _cell(figure.excess) if figure.measured else ""
                own = [_cell(figure.balanced_accuracy), _cell(figure.chance), "", "", excess, "", ""]
                rows.writerow([found.name, subject, "" if figure.measured else "NOT_MEASURED", *own, ""])
        return text.getvalue()


def measure_leaks(
    dataset: Dataset,
    target: str = LABEL,
    *,
    cutting: Cutting | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: Callable[[], object] = lambda: None,
) -> LeakReport:
    """What can be said of the target without looking at how anything moves; see `conv2d.data.leaks`.

    Parameters
    ----------
    dataset
        Where from; every recording is read once, one at a time.
    target
        ``label``, or a column of ``recordings.csv`` that is to be told instead, every recording having one value of it.
    cutting
        The windows; 2 s of all sensors by default, one after the other, labelled by their centre.
    draws
        Labellings that give chance, at least 399. The smallest p value is 1 / (1 + draws).
    seed
        The same seed gives the same figures.
    progress
        Called after each recording.

    Raises
    ------
    DataError
        E-DATA-023 where there is no such target, or fewer than two classes or subjects; else as `Dataset.load`.

    Cost: a pass over the data, and about O(draws N) a property read off N windows.

    Example
    -------
    >>> import tempfile, pathlib
    >>> from conv2d.data.leaks import measure_leaks
    >>> from conv2d.data.simulate import simulate_dataset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     dogs = simulate_dataset(pathlib.Path(folder) / "dogs", n_subjects=4, minutes=1, rate_hz=25, seed=1)
    ...     report = measure_leaks(dogs, draws=399)
    >>> report.leaks
    []
    """
    from conv2d import __version__
    from conv2d.errors import UsageError

    if draws < MIN_DRAWS:
        raise UsageError(
            f"got {draws} draws, expected {MIN_DRAWS} or more, so that p values can be small; ask for more"
        )
    cutting = cutting or Cutting.of(dataset)
    table = read_table(dataset, cutting, target, progress)
    return LeakReport(
        dataset.meta.name,
        str(dataset.path),
        target,
        tuple(table.classes[k] for k in np.unique(table.label)),
        cutting,
        cutting.window / dataset.meta.rate_hz,
        len(table.label),
        table.unlabelled,
        len(table.rows),
        table.subjects,
        tuple(judge(table, draws, seed)),
        measure_script(table, SCRIPT_DRAWS, seed),
        measure_identity(table, seed),
        draws,
        table.one_label_each,
        {
            "conv2d": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "data_sha256": dataset.sha256(),
            "seed": seed,
            "simulated": dataset.meta.simulated,
        },
    )


def _names(found: Judgement) -> str:
    return in_words(list(found.chosen or {}), 3)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
