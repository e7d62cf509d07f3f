"""The run directory: the same for the same seed, gone on with after a kill, and free of everything marked test."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import conv2d
from conv2d.config import Config, apply_overrides
from conv2d.data import Dataset, Recording
from conv2d.errors import DataError, UsageError
from conv2d.evaluation import training
from conv2d.evaluation.experiment import Experiment
from conv2d.evaluation.holdout import evaluate_run
from conv2d.evaluation.training import fit_run_baselines, labelled_windows, train_run
from conv2d.logging.counters import count
from conv2d.logging.progress import NullProgress
from conv2d.tasks.behavior.corpus import Corpus, read_corpus, select
from conv2d.tasks.behavior.preprocess import fit_preprocess

Rewrite = Callable[..., Dataset]
STAMPED = {"log.jsonl"}  # the one file with times in it
SAYS_DATA = {"provenance.json", *STAMPED}


class Heard(NullProgress):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def differing(first: Path, second: Path) -> set[str]:
    files = {path.name for path in first.iterdir()} | {path.name for path in second.iterdir()}
    return {name for name in files if (first / name).read_bytes() != (second / name).read_bytes()}


def logged(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def train(config: Config, dataset: Dataset, run: Path) -> Path:
    train_run(Experiment(config, dataset), run, NullProgress())
    return run


@pytest.fixture(scope="module")
def tiny_run(tiny_config: Config, simulated_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tiny_config, simulated_dataset, tmp_path_factory.mktemp("runs") / "tiny")


def test_the_same_seed_gives_the_same_files(
    tiny_run: Path, tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    assert differing(tiny_run, train(tiny_config, simulated_dataset, tmp_path / "again")) <= STAMPED
    other = train(apply_overrides(tiny_config, ["seed=1"]), simulated_dataset, tmp_path / "other")
    assert {"model.safetensors", "calibration.json", "metrics.json", "history.csv"} <= differing(tiny_run, other)


def test_nothing_in_a_run_hangs_on_those_marked_test(
    tiny_run: Path, tiny_config: Config, rewrite: Rewrite, tmp_path: Path
) -> None:
    def scramble(recording: Recording) -> Recording:
        if recording.meta["split"] != "test":
            return recording
        random = np.random.default_rng(0)
        noise = 1e3 * random.normal(size=recording.samples.shape).astype(np.float32)
        return replace(recording, samples=noise, labels=random.integers(-1, 6, recording.n_samples))

    other = train(tiny_config, rewrite(tmp_path / "scrambled", scramble), tmp_path / "run")
    assert differing(tiny_run, other) <= SAYS_DATA


def test_a_subject_without_a_labelled_window_is_left_out_of_everything(
    tiny_config: Config, rewrite: Rewrite, tmp_path: Path
) -> None:
    def unlabel(recording: Recording) -> Recording:
        if recording.subject != "dog02":
            return recording
        return replace(recording, labels=np.full(recording.n_samples, -1), samples=1e3 * recording.samples)

    def leave_out(recording: Recording) -> Recording | None:
        return None if recording.subject == "dog02" else recording

    one = train(tiny_config, rewrite(tmp_path / "unlabelled", unlabel), tmp_path / "one")
    two = train(tiny_config, rewrite(tmp_path / "without", leave_out), tmp_path / "two")
    facts = json.loads((one / "provenance.json").read_text())
    assert facts["subjects"] == ["dog01", "dog03", "dog04"]
    assert not [name for name in facts["recordings"] if name.startswith("dog02")]
    # shares of missing samples are those of all that was read
    assert differing(one, two) <= {"metrics.json", *SAYS_DATA}


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize(
    ("subjects", "classes"),
    [(["dog01"], "all"), (["dog01", "dog02"], "[walking, standing]"), (["dog01", "dog02", "dog03"], "all")],
)
def test_few_subjects_and_few_classes(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, subjects: list[str], classes: str
) -> None:
    others = [name for name in simulated_dataset.subjects if name not in subjects]
    config = apply_overrides(tiny_config, [f"data.test_subjects={others}", f"data.classes={classes}"])
    heard = Heard()
    train_run(Experiment(config, simulated_dataset), tmp_path / "run", heard)
    facts = json.loads((tmp_path / "run" / "provenance.json").read_text())
    by_time = [warning for warning in facts["warnings"] if "blocks of time" in warning]
    assert len(by_time) == (len(subjects) < 3)
    assert heard.said == [f"note: {warning}" for warning in facts["warnings"]]
    metrics = evaluate_run(tmp_path / "run", simulated_dataset.path, "test", tmp_path / "results", NullProgress())
    assert set(metrics["per_subject"]) <= set(others)
    assert metrics["level"]["window"]["n"] > 0


@pytest.mark.parametrize("law", ["categorical", "geometric", "gaussian"])
def test_every_law_of_durations_can_be_stored(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, law: str
) -> None:
    config = apply_overrides(tiny_config, [f"model.architecture.temporal.durations={law}"])
    model = conv2d.load(train(config, simulated_dataset, tmp_path / "run"))
    for result in model.apply(model.read(simulated_dataset, ["dog05"])):
        assert np.isfinite(result.smoothed).all()
        assert np.allclose(result.filtered.sum(1), 1)


@pytest.mark.parametrize("decoder", ["raw", "hmm", "median_hysteresis"])
def test_every_decoder_can_be_the_one_that_is_used(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, decoder: str
) -> None:
    config = apply_overrides(
        tiny_config,
        [
            f"model.architecture.temporal.type={decoder}",
            "data.window_size=32",
            "data.hop=16",
            "evaluation.baselines=[]",
        ],
    )
    model = conv2d.load(train(config, simulated_dataset, tmp_path / "run"))
    (first, *_) = model.apply(model.read(simulated_dataset, ["dog05"]))
    assert first.decoder == decoder
    assert np.array_equal(first.label, first.decoded[decoder])
    assert first.segments()[-1].end_s == pytest.approx(first.recording.time_s[-1] + 0.02)


@pytest.mark.usefixtures("without_figures")
def test_a_window_shorter_than_a_kernel_still_has_a_baseline(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    config = apply_overrides(
        tiny_config,
        [
            "data.window_size=8",
            "data.hop=8",
            "data.decode_hop=8",
            "evaluation.baselines=[random_kernels]",
            "model.architecture.quantization.positions=2",
            # Without shaking, which is too rare to be on both sides of each inner fold: that would be said as well.
            "data.classes=[resting, standing, sniffing, walking, trotting]",
        ],
    )
    heard = Heard()
    train_run(Experiment(config, simulated_dataset), tmp_path / "run", heard)
    metrics = evaluate_run(tmp_path / "run", simulated_dataset.path, "test", tmp_path / "results", NullProgress())
    assert [name for name, figures in metrics["baselines"].items() if isinstance(figures, dict)] == ["majority"]
    # neither is silent: one baseline more than was asked for, another one less
    expected = [
        "the baseline majority is fitted too, though evaluation.baselines does not name it",
        "the baseline random_kernels needs windows of 9 samples or more, data.window_size is 8, so it is left out",
    ]
    assert heard.said == [f"note: {note}" for note in expected]
    assert json.loads((tmp_path / "run" / "provenance.json").read_text())["warnings"] == expected
    assert [line["text"] for line in logged(tmp_path / "run") if line["event"] == "note"] == expected


def lost(corpus: Corpus) -> Corpus:
    """Without the first half of the first recording's samples, and without the second sensor of the second."""
    first, second = (recording.samples.copy() for recording in corpus.recordings[:2])
    first[..., : first.shape[2] // 2] = np.nan
    second[:, 1] = np.nan
    recordings = [replace(r, samples=x) for r, x in zip(corpus.recordings, (first, second), strict=False)]
    return replace(corpus, recordings=(*recordings, *corpus.recordings[2:]))


def test_baselines_see_a_missing_sample_as_missing_and_learn_from_no_window_without_data(
    tiny_config: Config, simulated_dataset: Dataset
) -> None:
    whole = read_corpus(tiny_config, simulated_dataset, select(tiny_config.data, simulated_dataset))
    preprocess, corpus = fit_preprocess(whole, norms=False), lost(whole)
    windows, labels, _, place = labelled_windows(corpus, preprocess, tiny_config)
    for window, recording, start in zip(windows, place.recording, place.start, strict=True):
        there = ~np.isnan(corpus.recordings[recording].samples[..., start : start + 64])
        assert (~np.isnan(window) == there).all()
    without = np.isnan(windows).mean(axis=(1, 2, 3)) > 0.5
    assert without.sum() > 5
    # all of them are judged, as the network is; only those with data are learned from
    names = ("majority", "random_kernels", "forest")
    fitted = fit_run_baselines(names, corpus, preprocess, tiny_config, len(corpus.selection.classes))
    shares = np.bincount(labels[~without], minlength=len(corpus.selection.classes)) / (~without).sum()
    assert fitted["majority"].predict_proba(windows)[0] == pytest.approx(shares)
    for baseline in fitted.values():
        proba = baseline.predict_proba(windows)
        assert np.isfinite(proba).all()
        assert np.allclose(proba.sum(1), 1)
    # a sensor that is missing is not a sensor that reads nothing
    forest = fitted["forest"].predict_proba(windows[place.recording == 1])
    assert not np.allclose(forest, fitted["forest"].predict_proba(np.nan_to_num(windows[place.recording == 1])))


@pytest.mark.usefixtures("without_figures")
def test_baselines_are_judged_on_the_windows_of_the_network(
    trained_run: Path, rewrite: Rewrite, tmp_path: Path
) -> None:
    def lose(recording: Recording) -> Recording:
        samples = recording.samples.copy()
        samples[..., :600] = np.nan
        return replace(recording, samples=samples)

    data = rewrite(tmp_path / "data", lose)
    metrics = evaluate_run(trained_run, data.path, "test", tmp_path / "results", NullProgress())
    n = metrics["level"]["window"]["n"]
    assert {name: metrics["baselines"][name]["n"] for name in ("majority", "random_kernels")} == {
        "majority": n, "random_kernels": n,
    }  # fmt: skip


def test_what_failed_work_has_counted_is_not_counted_again(
    tiny_run: Path, tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    count("samples_missing", 10**9)  # and never written down
    run = train(tiny_config, simulated_dataset, tmp_path / "run")
    counters = [line["counters"] for line in logged(run) if line["event"] == "counters"]
    assert counters == [line["counters"] for line in logged(tiny_run) if line["event"] == "counters"]
    assert counters[0]["samples_missing"] < 10**9


# Stopped and gone on with

KILLED = """
    import os, signal, sys
    from pathlib import Path
    from conv2d.config import load_config
    from conv2d.data import Dataset
    from conv2d.evaluation.experiment import Experiment
    from conv2d.evaluation.training import train_run
    from conv2d.logging.progress import NullProgress

    class Killer(NullProgress):
        # in the middle of the second network: its first epoch is stored, its second is over but not stored yet
        def task(self, description, total=None):
            task = super().task(description, total)
            if description == "training inner_2":
                task.steps = 0
                def advance(n=1, *, note=None):
                    task.steps += n
                    if task.steps == 2:
                        os.kill(os.getpid(), signal.SIGKILL)
                task.advance = advance
            return task

    data, config, run = map(Path, sys.argv[1:])
    train_run(Experiment(load_config(config), Dataset.open(data)), run, Killer())
"""


@pytest.fixture(scope="module")
def killed(tiny_config: Config, simulated_dataset: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training that was killed has left; to be copied."""
    folder = tmp_path_factory.mktemp("killed")
    (folder / "config.yaml").write_text(tiny_config.to_yaml())
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLED), simulated_dataset.path, folder / "config.yaml", folder / "run"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, capture_output=True, check=False,
    )  # fmt: skip
    assert process.returncode == -signal.SIGKILL, process.stderr.decode()
    assert not (folder / "run").exists()
    return folder / "run.partial"


@pytest.mark.parametrize("torn", [False, True])
def test_a_training_that_was_killed_ends_as_if_it_had_not_been(
    killed: Path, tiny_run: Path, tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, torn: bool
) -> None:
    partial = Path(shutil.copytree(killed, tmp_path / "run.partial"))
    stored = sorted(path.relative_to(partial).as_posix() for path in partial.glob("checkpoints/*/*"))
    assert stored == ["checkpoints/inner_1/last.ckpt", "checkpoints/inner_2/last.ckpt"]
    if torn:
        content = (partial / stored[0]).read_bytes()
        (partial / stored[0]).write_bytes(content[: len(content) // 2])
    assert differing(tiny_run, train(tiny_config, simulated_dataset, tmp_path / "run")) <= STAMPED
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("override", ["seed=1", "training.learning_rate=0.1"])
def test_a_stopped_training_of_something_else_is_not_gone_on_with(
    killed: Path, tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, override: str
) -> None:
    partial = Path(shutil.copytree(killed, tmp_path / "run.partial"))
    with pytest.raises(UsageError, match=r"E-OUT-003: .*partial holds a training that was stopped and was of another"):
        train(apply_overrides(tiny_config, [override]), simulated_dataset, tmp_path / "run")
    assert (partial / "checkpoints" / "inner_1" / "last.ckpt").is_file()
    shutil.rmtree(partial / "checkpoints")  # nothing would be lost now
    assert train(apply_overrides(tiny_config, [override]), simulated_dataset, tmp_path / "run").is_dir()


def test_a_stopped_training_on_other_data_is_not_gone_on_with(
    killed: Path, tiny_config: Config, rewrite: Rewrite, tmp_path: Path
) -> None:
    shutil.copytree(killed, tmp_path / "run.partial")
    data = rewrite(tmp_path / "data", lambda r: None if r.subject == "dog02" else r)
    with pytest.raises(UsageError, match="E-OUT-003"):
        train(tiny_config, data, tmp_path / "run")


def test_a_folder_of_someone_else_is_not_written_into(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"E-OUT-003: .*run\.partial holds other files"):
        train(tiny_config, simulated_dataset, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run.partial").iterdir()] == ["thesis.tex"]


def test_a_disk_that_is_full_at_the_end_loses_no_epoch(
    tiny_run: Path, tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_baselines", full)
        with pytest.raises(OSError, match="No space left"):
            train(tiny_config, simulated_dataset, tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["run.partial"]
    assert len(list((tmp_path / "run.partial").glob("checkpoints/*/last.ckpt"))) == 3
    assert differing(tiny_run, train(tiny_config, simulated_dataset, tmp_path / "run")) <= STAMPED


def test_what_fails_before_the_first_epoch_leaves_nothing(
    tiny_config: Config, rewrite: Rewrite, tmp_path: Path
) -> None:
    def stick(recording: Recording) -> Recording:
        samples = recording.samples.copy()
        samples[4, 1] = 1.5
        return replace(recording, samples=samples)

    with pytest.raises(DataError, match=r"E-EXP-003: channel back/gyr_y is 1\.5 in every recording"):
        train(tiny_config, rewrite(tmp_path / "data", stick), tmp_path / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
