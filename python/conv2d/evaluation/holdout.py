"""``conv2d eval``: a run judged on subjects that it has not seen."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conv2d.config import Config
from conv2d.data import Dataset
from conv2d.data.duplicates import is_seen, read_seen
from conv2d.data.meta import in_words
from conv2d.errors import DataError, GateFailed, UsageError
from conv2d.evaluation.baselines import STORED_BASELINES, load_baselines
from conv2d.evaluation.experiment import Experiment, is_simulated, open_experiment
from conv2d.evaluation.leak_audit import checks_made
from conv2d.evaluation.outputs import REPORT, write_outputs
from conv2d.evaluation.training import labelled_windows
from conv2d.files import refuse_foreign
from conv2d.logging.counters import take_counts
from conv2d.logging.progress import Progress
from conv2d.metrics.core import MetricsCalculator
from conv2d.tasks.behavior.corpus import Corpus, recording_hashes
from conv2d.tasks.behavior.fitted_run import COMMAND as FITTED_IN_PYTHON
from conv2d.tasks.behavior.measures import NOT_MEASURED, block, measure
from conv2d.tasks.behavior.model import BehaviorModel
from conv2d.training.provenance import provenance
from conv2d.training.run_directory import check_run


def evaluate_run(
    run: Path, data: Path | None, split: str, output: Path, progress: Progress, *, predictions: bool = True
) -> dict[str, Any]:
    """Apply a run to the subjects of a split and write the results folder; returns ``metrics.json``.

    Without ``data`` the run's own data set, as its config names it, is read again.

    Raises
    ------
    GateFailed
        A subject or a recording that the run was trained on is among those to be tested.
    DataError
        Nothing to test on: the split is empty, no recording is long enough, or no window has a label.
    """
    take_counts()  # counts are those of this call
    facts = check_run(run)
    model = BehaviorModel.load(run)
    refuse_foreign(output, mark=REPORT)
    with open_experiment(model.config, data) as experiment:
        if data is None and experiment.dataset.meta.name != facts["data_name"]:
            raise UsageError(
                f"E-EVAL-004: {run} was trained on data set {facts['data_name']}, its config leads to "
                f"{experiment.dataset.meta.name}; say with --data what to evaluate on"
            )
        subjects = experiment.split_subjects(split)
        alike = _refuse_seen(facts, model, experiment.dataset, subjects)
        data_sha256 = experiment.dataset.sha256()  # of what is read now, not of what lies there after the work
        with progress.task("reading recordings", 1):
            corpus = model.read(experiment.dataset, subjects)
        _refuse_copies(run, facts, corpus)
        if not len(corpus.windows(model.config.data.hop, model.config.data.label_rule, labelled=True)):
            raise DataError(
                f"E-EVAL-003: no window of {experiment.dataset.meta.name} has a label of "
                f"{in_words(list(model.classes))}, expected some to compare with; use conv2d run for recordings "
                "without labels"
            )
        with progress.task("decoding", 1):
            results = model.apply(corpus)
        config = model.config
        metrics = measure(
            results,
            hop=config.data.hop,
            classes=model.classes,
            levels=model.levels,
        )
        with progress.task("baselines", 1):
            metrics["baselines"] = stored_baselines(run, model, corpus)
        metrics["leak_audit"] = {
            "passed": True,  # what fails is refused above
            # The other checks need the training windows, which a run does not carry.
            **checks_made([("subjects", "fitted", "copies")]),
            "fitted": list(model.fitted()),
            "subjects_named_alike": alike,
        }
        metrics["data"] = data_block(experiment, corpus)
        metrics["provenance"] = provenance(
            config,
            data_sha256,
            config.seed,
            simulated=is_simulated(experiment.dataset),
            command="eval",
            split=split,
            data_name=experiment.dataset.meta.name,
            train_data_sha256=facts["data_sha256"],
            subjects=sorted({result.frames.subject for result in results}),
            train_subjects=facts["subjects"],
        )
        notes = [
            f"{len(metrics['per_subject'])} subjects; no more than a tenth of any recording of theirs stands, sample "
            "for sample, in what the run was trained on.",
            *corpus.notes,
        ]
        if alike:
            notes.append(
                f"{in_words(alike)} of {experiment.dataset.meta.name} is also the name of a subject of "
                f"{facts['data_name']}, which the run was trained on; they are taken for different subjects."
            )
        for note in notes[1:]:
            progress.say(f"note: {note}")
        with progress.task("report", 1):
            write_outputs(output, config, model.classes, results, metrics, notes, predictions=predictions)
    return metrics


def _refuse_seen(facts: dict[str, Any], model: BehaviorModel, dataset: Dataset, subjects: Sequence[str]) -> list[str]:
    """Refuse subjects that any part of the run has seen; return those that another data set only shares a name with."""
    alike = set(subjects) & set(facts["subjects"]).union(*model.fitted().values())
    if alike and facts["data_name"] == dataset.meta.name:
        raise GateFailed(
            f"E-EVAL-001: subject {in_words(sorted(alike))} was seen in training, expected only subjects that were "
            "not; use --split test, or data of other subjects"
        )
    return sorted(alike)


def _refuse_copies(run: Path, facts: dict[str, Any], corpus: Corpus) -> None:
    """Refuse recordings that the run has seen, whole or cut, whatever they and their subjects are called now."""
    whole, seen = set(facts["recordings"].values()), read_seen(run)
    hashes = recording_hashes(corpus)
    copies = [r.name for r in corpus.recordings if hashes[r.name] in whole or is_seen(r.samples, seen)]
    if copies:
        raise GateFailed(
            f"E-EVAL-002: recording {in_words(copies)} stands, sample for sample, in what the run was trained on, "
            "expected other recordings; leave it out"
        )


def stored_baselines(run: Path, model: BehaviorModel, corpus: Corpus) -> dict[str, Any]:
    """Window figures of the baselines of a run, on the same windows as the network's.

    One that the config asks for and that could not be fitted is NOT_MEASURED, as is each of a run that was saved from
    Python; the forest is never stored, so it is not among them.
    """
    windows, labels, _, _ = labelled_windows(corpus, model.preprocess, model.config)
    in_python = check_run(run).get("command") == FITTED_IN_PYTHON
    stored = {} if in_python else load_baselines(run / "baselines.safetensors")
    table: dict[str, Any] = {name: NOT_MEASURED for name in asked_baselines(model.config) if name in STORED_BASELINES}
    for name, baseline in stored.items():
        proba = baseline.predict_proba(windows)
        table[name] = block(MetricsCalculator(model.classes).compute_all(labels, proba.argmax(1), proba))
    return table


def asked_baselines(config: Config) -> tuple[str, ...]:
    """The baselines that a table must show: the majority, and those of the config."""
    return tuple(dict.fromkeys(("majority", *config.evaluation.baselines)))


def data_block(experiment: Experiment, corpus: Corpus) -> dict[str, Any]:
    """What the figures rest on."""
    return {
        "name": experiment.dataset.meta.name,
        "recordings": len(corpus.recordings),
        "too_short": list(corpus.too_short),
        "interpolated_share": corpus.interpolated_share,
        "missing_share": corpus.missing_share,
    }
