"""``conv2d train``: a run directory from an experiment, written aside and renamed when it is whole."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.config import Config
from conv2d.data.duplicates import write_seen
from conv2d.data.meta import in_words
from conv2d.errors import UsageError
from conv2d.evaluation.baselines import Baseline, fit_baselines, save_baselines
from conv2d.evaluation.experiment import Experiment, is_simulated
from conv2d.evaluation.log import begin_log
from conv2d.files import folder_aside, is_free, read_json, write_json
from conv2d.logging.counters import count, take_counts
from conv2d.logging.progress import Progress
from conv2d.logging.structured import log_counters
from conv2d.models.random_kernels import KERNEL_LENGTH
from conv2d.tasks.behavior.corpus import Corpus, Place, read_corpus, recording_hashes, select
from conv2d.tasks.behavior.preprocess import Preprocess, WindowReader
from conv2d.tasks.behavior.run_files import trained_on
from conv2d.tasks.behavior.task import BehaviorTask
from conv2d.training.engine import CHECKPOINT, HistoryRow
from conv2d.training.fit import Fitted, fit
from conv2d.training.provenance import provenance
from conv2d.training.run_directory import FORMAT, MARK, write_history
from conv2d.viz.history import history_figure

CHECKPOINTS = "checkpoints"
REQUEST = "request.json"  # what a stopped training was asked for, so that only the same is gone on with


def train_run(experiment: Experiment, output: Path, progress: Progress) -> dict[str, Any]:
    """Train on the subjects that are not marked ``test`` and write the run directory; returns its metrics.

    A training that is stopped after an epoch leaves ``<output>.partial``; the same call goes on there. O(epochs).

    Raises
    ------
    UsageError
        Something stands at ``output``; a training stopped there was of another experiment.
    DataError
        The recordings cannot be used, see `conv2d.data` and `conv2d.tasks.behavior`.
    """
    take_counts()  # counts are those of this training
    config = experiment.config
    if not is_free(output):
        raise UsageError(
            f"E-OUT-002: {output} exists and a run is never overwritten; choose another --output or remove it"
        )
    corpus = read_training_corpus(experiment)
    task = BehaviorTask(config, corpus)
    data_sha256 = experiment.dataset.sha256()
    with folder_aside(output, mark=MARK, keep=f"{CHECKPOINTS}/*/{CHECKPOINT}") as aside:
        _same_request(aside, {"config_sha256": config.sha256(), "data_sha256": data_sha256})
        logger = begin_log(aside, config, data_sha256=data_sha256, seed=config.seed)
        _log_data(experiment, task, corpus)
        fitted = fit(task, config.training, seed=config.seed, progress=progress, folder=aside / CHECKPOINTS)
        notes = [*task.warnings, *baseline_notes(config)]
        for note in notes:
            progress.say(f"note: {note}")
            logger.info("note", text=note)
        with progress.task("baselines and files", 1):
            metrics = _write(experiment, task, fitted, aside)
            logger.info("trained", parameters=sum(p.numel() for p in fitted.network.parameters()), **_headline(metrics))
            log_counters()
            facts = provenance(
                config,
                data_sha256,
                config.seed,
                simulated=is_simulated(experiment.dataset),
                format=FORMAT,
                data_name=experiment.dataset.meta.name,
                subjects=list(task.corpus.subjects),
                recordings=recording_hashes(task.corpus),
                warnings=notes,
            )
            shutil.rmtree(aside / CHECKPOINTS)
            write_json(aside / MARK, facts)
            (aside / REQUEST).unlink()
    return metrics


def read_training_corpus(experiment: Experiment) -> Corpus:
    """Read the recordings of the subjects that may be trained on."""
    selection = select(experiment.config.data, experiment.dataset)
    return read_corpus(experiment.config, experiment.dataset, selection, experiment.training_subjects())


def labelled_windows(
    corpus: Corpus, preprocess: Preprocess, config: Config, *, with_data: bool = False
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.str_], Place]:
    """Scaled windows (N, C, S, T) at the evaluation hop that have a label, labels, subjects and places.

    A sample that is missing is NaN. By default the windows are those that the figures of the network stand on, some
    without data among them; ``with_data`` leaves these out, since there is nothing to learn from them.
    """
    place = corpus.windows(config.data.hop, config.data.label_rule, labelled=True)
    reader = WindowReader(corpus, preprocess)
    if with_data:
        place = place[reader.present(reader.flat(place))]
    windows = reader.scaled(reader.flat(place), missing=float("nan")).numpy()
    return windows, place.label, corpus.subject_of(place), place


def fit_run_baselines(
    names: tuple[str, ...], corpus: Corpus, preprocess: Preprocess, config: Config, classes: int
) -> dict[str, Baseline]:
    """Fit baselines on the training windows that have data.

    Not quite those of ``names``: the majority is always among them, and ``random_kernels`` is left out where a window
    is shorter than a kernel; `baseline_notes` says so.
    """
    windows, labels, subjects, _ = labelled_windows(corpus, preprocess, config, with_data=True)
    chosen = [name for name in dict.fromkeys(("majority", *names)) if name != "random_kernels" or _kernels_fit(config)]
    return fit_baselines(
        chosen, windows, labels, classes, config.seed, channels=corpus.selection.channels, groups=subjects
    )


def baseline_notes(config: Config) -> tuple[str, ...]:
    """Sentences on what is compared with otherwise than ``evaluation.baselines`` says; see `fit_run_baselines`."""
    names, notes = config.evaluation.baselines, []
    if "majority" not in names:
        notes.append("the baseline majority is fitted too, though evaluation.baselines does not name it")
    if "random_kernels" in names and not _kernels_fit(config):
        notes.append(
            f"the baseline random_kernels needs windows of {KERNEL_LENGTH} samples or more, data.window_size is "
            f"{config.data.window_size}, so it is left out"
        )
    return tuple(notes)


def _kernels_fit(config: Config) -> bool:
    return config.data.window_size >= KERNEL_LENGTH


def _write(experiment: Experiment, task: BehaviorTask, fitted: Fitted[Preprocess], folder: Path) -> dict[str, Any]:
    config = experiment.config
    metrics = dict(task.save(folder, fitted.network, fitted.preprocess))
    stored = tuple(name for name in config.evaluation.baselines if name != "forest")
    baselines = fit_run_baselines(stored, task.corpus, fitted.preprocess, config, len(task.classes))
    write_seen(folder, (recording.samples for recording in task.corpus.recordings))
    save_baselines(folder / "baselines.safetensors", baselines)
    (folder / "config.yaml").write_text(config.to_yaml(), encoding="utf-8")
    write_history(folder / "history.csv", fitted.history)
    history_figure(_curves(fitted.history), path=folder / "history.png", title=config.name)
    name, simulated = experiment.dataset.meta.name, is_simulated(experiment.dataset)
    metrics["data"] = trained_on(task.corpus, name, simulated=simulated)
    write_json(folder / "metrics.json", metrics)
    return metrics


def _curves(history: list[HistoryRow]) -> dict[str, list[float]]:
    """Loss and accuracy of the final network, and the mean held-out figures of the inner ones, by epoch."""
    final = [row for row in history if row["stage"] == "final"]
    curves: dict[str, list[float]] = {"epoch": [float(row["epoch"]) for row in final]}
    for column, name in (("loss", "train_loss"), ("accuracy", "train_accuracy"), ("learning_rate", "learning_rate")):
        curves[name] = [float(row[column]) for row in final]
    for column in ("held_out_nll", "held_out_macro_f1"):
        by_epoch = [[float(r[column]) for r in history if r["epoch"] == row["epoch"] and column in r] for row in final]
        curves[column] = [float(np.mean(values)) if values else float("nan") for values in by_epoch]
    return curves


def _headline(metrics: dict[str, Any]) -> dict[str, Any]:
    inner = metrics["inner_out_of_fold"]
    return {"inner_macro_f1": inner["macro_f1"], "inner_nll": inner["nll"], "inner_ece": inner["ece"]}


def _log_data(experiment: Experiment, task: BehaviorTask, corpus: Corpus) -> None:
    used = set(task.corpus.subjects)
    count("recordings", len(task.corpus.recordings))
    count("recordings_too_short", len(corpus.too_short))
    count("training_windows", len(task.pool))
    count("subjects", len(used))
    count("subjects_without_labelled_windows", len(set(experiment.training_subjects()) - used))


def unused_subjects(experiment: Experiment, used: tuple[str, ...]) -> str | None:
    """A sentence that names the subjects without a labelled window of the config's classes, None where all have one."""
    left = [s for s in experiment.training_subjects() if s not in set(used)]
    return f"no labelled window of the config's classes: {in_words(left)} (left out)" if left else None


def _same_request(aside: Path, request: dict[str, str]) -> None:
    """Refuse to go on in a folder that holds another training, or none; where no epoch was reached yet, begin anew."""
    if any(aside.iterdir()):
        known = read_json(aside / REQUEST) if (aside / REQUEST).is_file() else None
        if known is None or (known != request and any(aside.glob(f"{CHECKPOINTS}/*/{CHECKPOINT}"))):
            what = "a training that was stopped and was of another config, seed or data set" if known else "other files"
            raise UsageError(
                f"E-OUT-003: {aside} holds {what}; call the training again as it was, remove the folder, or choose "
                "another --output"
            )
    write_json(aside / REQUEST, request)
