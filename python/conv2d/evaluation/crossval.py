"""``conv2d crossval``: every subject predicted by models that have not seen it, pooled, with mean and spread."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.config import Config
from conv2d.data.meta import in_words
from conv2d.data.splits import Fold, grouped_k_fold, leave_one_subject_out
from conv2d.evaluation.experiment import Experiment, is_simulated, with_seed
from conv2d.evaluation.holdout import asked_baselines, data_block
from conv2d.evaluation.leak_audit import (
    LeakAudit,
    Relabelled,
    audit_leaks,
    audit_split,
    checks_made,
    exchanged_labels,
)
from conv2d.evaluation.outputs import REPORT, write_outputs
from conv2d.evaluation.training import baseline_notes, fit_run_baselines, labelled_windows
from conv2d.files import refuse_foreign
from conv2d.logging.counters import take_counts
from conv2d.logging.progress import Progress
from conv2d.metrics.core import MetricsCalculator
from conv2d.tasks.behavior.corpus import Corpus, Place, read_corpus, select
from conv2d.tasks.behavior.laid_out import LaidOut
from conv2d.tasks.behavior.measures import NOT_APPLICABLE, NOT_MEASURED, block, measure, spread
from conv2d.tasks.behavior.model import BehaviorModel
from conv2d.tasks.behavior.task import BehaviorTask, check_labels
from conv2d.tasks.behavior.timeline import Result
from conv2d.training.fit import fit
from conv2d.training.provenance import provenance

HEADLINE = {
    "window": ("accuracy", "macro_f1", "nll", "ece"),
    "sample": ("accuracy", "macro_f1"),
    "segment": ("f1@50", "edit"),
}


@dataclass
class _Pooled:
    """Out-of-fold results of one seed."""

    results: list[Result] = field(default_factory=list)
    folds: list[dict[str, Any]] = field(default_factory=list)
    labels: list[NDArray[np.int64]] = field(default_factory=list)
    baselines: dict[str, list[NDArray[np.float64]]] = field(default_factory=dict)
    audits: list[LeakAudit] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def cross_validate(
    experiment: Experiment, folds: int | None, output: Path, progress: Progress, *, seeds: Sequence[int] | None = None
) -> dict[str, Any]:
    """Train and test ``folds`` times by subject (None: once for each subject) and write the results folder.

    Returns ``metrics.json``. The pooled figures, predictions and report are those of the first seed;
    ``cross_validation`` has mean and standard deviation over folds, and over seeds where there are several. Folds are
    over the subjects that have a labelled window; the others are named, and so are those that are marked ``test``,
    which take part like all others. What can be known of a leak before the first training is looked for before it.

    Raises
    ------
    DataError
        Fewer such subjects than folds; whatever reading and training can raise.
    GateFailed
        The leak audit of a fold failed.
    """
    take_counts()  # counts are those of this call
    config = experiment.config
    refuse_foreign(output, mark=REPORT)
    seeds = tuple(seeds) if seeds else (config.seed,)
    experiments = [with_seed_of(experiment, seed) for seed in seeds]
    data_sha256 = experiment.dataset.sha256()  # of what is read now, not of what lies there after the work
    selection = select(config.data, experiment.dataset)
    with progress.task("reading recordings", 1):
        corpus = read_corpus(config, experiment.dataset, selection)
    labelled = corpus.windows(config.data.hop, config.data.label_rule, labelled=True)
    check_labels(labelled.label, selection.classes, corpus)
    subjects = corpus.subject_of(labelled)
    split = leave_one_subject_out(subjects.tolist()) if folds is None else grouped_k_fold(subjects, folds)
    unused = sorted(set(experiment.dataset.subjects) - set(subjects.tolist()))
    remarks = [*_about_subjects(experiment, unused, set(subjects.tolist())), *baseline_notes(config)]
    for note in remarks:
        progress.say(f"note: {note}")
    _audit_splits(split, corpus, labelled, progress)
    runs = [_one_seed(one, corpus, split, progress) for one in experiments]
    pooled = runs[0]
    levels = _levels(experiment)
    measured = [_measure(run, experiment, selection.classes, levels) for run in runs]
    metrics = measured[0]
    metrics["baselines"] = {name: _baseline_block(pooled, name, selection.classes) for name in asked_baselines(config)}
    metrics["cross_validation"] = {
        "folds": pooled.folds,
        "over_folds": {**_spreads([fold["level"] for fold in pooled.folds]), "codes": _code_spreads(pooled.folds)},
        "seeds": list(seeds),
        "over_seeds": _spreads([run["level"] for run in measured]),
        "subjects_without_labelled_windows": unused,
        "notes": remarks,
        "warnings": list(dict.fromkeys(pooled.warnings)),
    }
    metrics["leak_audit"] = {
        "passed": all(audit.passed for audit in pooled.audits),
        **checks_made([audit.checked for audit in pooled.audits]),
        "folds": [audit.to_dict() for audit in pooled.audits],
    }
    metrics["data"] = data_block(experiment, corpus)
    metrics["provenance"] = provenance(
        config,
        data_sha256,
        seeds[0],
        simulated=is_simulated(experiment.dataset),
        command="crossval",
        folds=len(split),
        data_name=experiment.dataset.meta.name,
        subjects=sorted(set(subjects.tolist())),
    )
    notes = [
        f"{len(split)}-fold cross-validation by subject: each subject is predicted by a model that has not seen it."
    ]
    notes += [f"{note}." for note in remarks]
    notes += metrics["cross_validation"]["warnings"]
    notes += [f"Default {note}." for note in experiment.notes]
    with progress.task("report", 1):
        write_outputs(output, config, selection.classes, pooled.results, metrics, notes)
    return metrics


def _about_subjects(experiment: Experiment, unused: Sequence[str], used: set[str]) -> list[str]:
    """Sentences on subjects that one might expect to be treated otherwise."""
    notes = [f"{in_words(unused)}: no labelled window of the config's classes, so in no fold"] if unused else []
    marked = [subject for subject in experiment.marked("test") if subject in used]
    if marked:
        notes.append(
            "marked test, yet in the cross-validation, where each subject is tested by a model that has not seen it: "
            f"{in_words(marked)}"
        )
    return notes


def _audit_splits(split: Sequence[Fold], corpus: Corpus, labelled: Place, progress: Progress) -> None:
    """The audit of each fold before anything is trained: subjects, and copies in the signal as it was read."""
    laid_out = LaidOut(corpus.recordings, corpus.window)  # not that of the corpus, which would be kept to the end
    windows = laid_out.windows(laid_out.flat(labelled.recording, labelled.start)).numpy()
    subjects = corpus.subject_of(labelled)
    with progress.task("leak audit of the folds", len(split)) as step:
        for fold in split:
            train, test = (np.isin(subjects, side) for side in fold)
            audit_split(
                fold.train,
                fold.test,
                windows[train],
                labelled.label[train],
                subjects[train],
                windows[test],
                labelled.label[test],
                subjects[test],
            ).raise_if_failed()
            step.advance(1)


def _relabelled(config: Config, corpus: Corpus, fold: Fold, place: Place) -> Relabelled:
    """The data path of a fold once more, from the recordings on, with other labels on the test side.

    ``place`` is where the test windows stood before. Which windows are labelled depends on the labels under the rules
    ``majority`` and ``pure``, so only windows that are labelled both times can be compared.
    """
    recordings = tuple(
        replace(recording, labels=exchanged_labels(recording.labels, len(corpus.selection.classes), number))
        if recording.subject in fold.test
        else recording
        for number, recording in enumerate(corpus.recordings)
    )
    changed = replace(corpus, recordings=recordings)
    test, task = changed.of(fold.test), BehaviorTask(config, changed.of(fold.train))
    preprocess = task.fit_preprocess(task.whole())
    X_test, _, _, place_now = labelled_windows(test, preprocess, config)
    X_train, y_train, _, _ = labelled_windows(task.corpus, preprocess, config)
    longest = max(recording.n_samples for recording in recordings)
    was, now = (at.recording * longest + at.start for at in (place, place_now))
    _, before, after = np.intersect1d(was, now, return_indices=True)
    return Relabelled(X_train, y_train, X_test[after], before)


def with_seed_of(experiment: Experiment, seed: int) -> Experiment:
    """The same experiment under another seed."""
    return Experiment(with_seed(experiment.config, seed), experiment.dataset, experiment.notes)


def _one_seed(experiment: Experiment, corpus: Corpus, split: Sequence[Fold], progress: Progress) -> _Pooled:
    config, classes = experiment.config, corpus.selection.classes
    pooled = _Pooled()
    for number, fold in enumerate(split, 1):
        progress.say(f"fold {number}/{len(split)} (seed {config.seed}): tested on {in_words(list(fold.test))}")
        train, test = corpus.of(fold.train), corpus.of(fold.test)
        task = BehaviorTask(config, train)
        fitted = fit(task, config.training, seed=config.seed, progress=progress)
        model = BehaviorModel.trained(task, fitted.network, fitted.preprocess)
        results = model.apply(test)
        figures = measure(results, hop=config.data.hop, classes=classes, levels=model.levels)
        with progress.task("baselines and leak audit", 1):
            windows, labels, subjects, place = labelled_windows(test, model.preprocess, config)
            baselines = fit_run_baselines(
                config.evaluation.baselines, task.corpus, model.preprocess, config, len(classes)
            )
            for name, baseline in baselines.items():
                pooled.baselines.setdefault(name, []).append(baseline.predict_proba(windows))
            seen_windows, seen_labels, seen_subjects, _ = labelled_windows(task.corpus, model.preprocess, config)
            audit = audit_leaks(
                fold.train,
                fold.test,
                {**model.fitted(), **dict.fromkeys(baselines, tuple(sorted(set(seen_subjects.tolist()))))},
                seen_windows,
                seen_labels,
                seen_subjects,
                windows,
                labels,
                subjects,
                permutations=config.evaluation.leak_permutations,
                seed=config.seed,
                relabelled=_relabelled(config, corpus, fold, place),
            )
            audit.raise_if_failed()
        pooled.labels.append(labels)
        pooled.results += results
        pooled.audits.append(audit)
        for warning in task.warnings:
            progress.say(f"note: {warning}")
        pooled.warnings += task.warnings
        pooled.folds.append(
            {"fold": number, "test": list(fold.test), "level": figures["level"], "codes": figures["codes"]}
        )
        window, segment = figures["level"]["window"], figures["level"]["segment"]
        progress.say(
            f"fold {number}: window macro-F1 {window['macro_f1']:.3f}, NLL {window['nll']:.3f}, "
            f"timeline F1@50 {segment['f1@50']:.3f}"
        )
    return pooled


def _measure(
    run: _Pooled, experiment: Experiment, classes: Sequence[str], levels: Sequence[int] | None
) -> dict[str, Any]:
    data = experiment.config.data
    return measure(run.results, hop=data.hop, classes=classes, levels=levels)


def _baseline_block(pooled: _Pooled, name: str, classes: Sequence[str]) -> dict[str, Any] | str:
    """Pooled figures of a baseline; NOT_MEASURED where it could not be fitted in every fold."""
    of_folds = pooled.baselines.get(name, [])
    if len(of_folds) < len(pooled.labels):
        return NOT_MEASURED
    labels, proba = np.concatenate(pooled.labels), np.concatenate(of_folds)
    return block(MetricsCalculator(classes).compute_all(labels, proba.argmax(1), proba))


def _spreads(levels: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        name: {key: spread(level[name][key] for level in levels) for key in keys} for name, keys in HEADLINE.items()
    }


def _code_spreads(folds: Sequence[dict[str, Any]]) -> dict[str, Any] | str:
    """Of the code book of each fold by itself; the pooled block counts them all as one."""
    if not isinstance(folds[0]["codes"], dict):
        return NOT_APPLICABLE
    return {key: spread(fold["codes"][key] for fold in folds) for key in ("usage", "perplexity")}


def _levels(experiment: Experiment) -> tuple[int, ...] | None:
    quantization = experiment.config.model.architecture.quantization
    return quantization.levels if quantization.type == "fsq" else None
