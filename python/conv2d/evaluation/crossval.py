"""``conv2d crossval``: every subject predicted by models that have not seen it, pooled, with mean and spread."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.meta import in_words
from conv2d.data.splits import Fold, grouped_k_fold, leave_one_subject_out
from conv2d.evaluation.experiment import Experiment, is_simulated, with_seed
from conv2d.evaluation.holdout import data_block
from conv2d.evaluation.leak_audit import LeakAudit, audit_leaks
from conv2d.evaluation.outputs import REPORT, write_outputs
from conv2d.evaluation.training import fit_run_baselines, labelled_windows, model_of
from conv2d.files import refuse_foreign
from conv2d.logging.progress import Progress
from conv2d.metrics.core import MetricsCalculator
from conv2d.tasks.behavior.corpus import Corpus, read_corpus, select
from conv2d.tasks.behavior.measures import NOT_APPLICABLE, block, measure, spread
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
    over the subjects that have a labelled window; the others are named.

    Raises
    ------
    DataError
        Fewer such subjects than folds; whatever reading and training can raise.
    GateFailed
        The leak audit of a fold failed.
    """
    config = experiment.config
    refuse_foreign(output, mark=REPORT)
    seeds = tuple(seeds) if seeds else (config.seed,)
    experiments = [with_seed_of(experiment, seed) for seed in seeds]
    selection = select(config.data, experiment.dataset)
    with progress.task("reading recordings", 1):
        corpus = read_corpus(config, experiment.dataset, selection)
    labelled = corpus.windows(config.data.hop, config.data.label_rule, labelled=True)
    check_labels(labelled.label, selection.classes, corpus)
    subjects = corpus.subject_of(labelled)
    split = leave_one_subject_out(subjects.tolist()) if folds is None else grouped_k_fold(subjects, folds)
    unused = sorted(set(experiment.dataset.subjects) - set(subjects.tolist()))
    if unused:
        progress.say(f"note: {_in_no_fold(unused)}")
    runs = [_one_seed(one, corpus, split, progress) for one in experiments]
    pooled = runs[0]
    levels = _levels(experiment)
    measured = [_measure(run, experiment, selection.classes, levels) for run in runs]
    metrics = measured[0]
    metrics["baselines"] = {
        name: _baseline_block(np.concatenate(pooled.labels), np.concatenate(proba), selection.classes)
        for name, proba in pooled.baselines.items()
    }
    metrics["cross_validation"] = {
        "folds": pooled.folds,
        "over_folds": {**_spreads([fold["level"] for fold in pooled.folds]), "codes": _code_spreads(pooled.folds)},
        "seeds": list(seeds),
        "over_seeds": _spreads([run["level"] for run in measured]),
        "subjects_without_labelled_windows": unused,
        "warnings": list(dict.fromkeys(pooled.warnings)),
    }
    metrics["leak_audit"] = {
        "passed": all(audit.passed for audit in pooled.audits),
        "folds": [audit.to_dict() for audit in pooled.audits],
    }
    metrics["data"] = data_block(experiment, corpus)
    metrics["provenance"] = provenance(
        config,
        experiment.dataset.sha256(),
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
    if unused:
        notes.append(f"{_in_no_fold(unused)}.")
    notes += metrics["cross_validation"]["warnings"]
    notes += [f"Default {note}." for note in experiment.notes]
    with progress.task("report", 1):
        write_outputs(output, config, selection.classes, pooled.results, metrics, notes)
    return metrics


def _in_no_fold(subjects: Sequence[str]) -> str:
    return f"{in_words(subjects)}: no labelled window of the config's classes, so in no fold"


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
        model = model_of(task, fitted)
        results = model.apply(test)
        figures = measure(results, hop=config.data.hop, classes=classes, levels=model.levels)
        with progress.task("baselines and leak audit", 1):
            windows, labels, subjects, _ = labelled_windows(test, model.preprocess, config)
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


def _baseline_block(labels: NDArray[np.int64], proba: NDArray[np.float64], classes: Sequence[str]) -> dict[str, Any]:
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
