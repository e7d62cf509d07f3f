"""``conv2d crossval``: every subject predicted by a model that has not seen it."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from conv2d.cli.main import main
from conv2d.config import Config, apply_overrides
from conv2d.data import Dataset, Recording
from conv2d.errors import ConfigError, DataError, GateFailed, UsageError
from conv2d.evaluation import crossval
from conv2d.evaluation.crossval import cross_validate
from conv2d.evaluation.experiment import Experiment
from conv2d.evaluation.leak_audit import CHECKS
from conv2d.logging.progress import NullProgress
from conv2d.tasks.behavior.corpus import Corpus

Rewrite = Callable[..., Dataset]


class Heard(NullProgress):
    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, message: str) -> None:
        self.said.append(message)


def validate(config: Config, data: Dataset, output: Path, folds: int, **options: Any) -> dict[str, Any]:
    return cross_validate(Experiment(config, data), folds, output, NullProgress(), **options)


def without_labels(recording: Recording) -> Recording:
    if recording.subject not in ("dog03", "dog06"):
        return recording
    return replace(recording, labels=np.full(recording.n_samples, -1))


@pytest.fixture(scope="module")
def data(rewrite: Rewrite, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Two of the six dogs are not annotated."""
    return rewrite(tmp_path_factory.mktemp("data") / "dogs", without_labels)


@pytest.fixture(scope="module")
def heard() -> Heard:
    return Heard()


@pytest.fixture(scope="module")
def output(tiny_config: Config, data: Dataset, heard: Heard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("crossval") / "results"
    cross_validate(Experiment(tiny_config, data), 2, path, heard, seeds=[0, 1])
    return path


@pytest.fixture(scope="module")
def metrics(output: Path) -> dict[str, Any]:
    return json.loads((output / "metrics.json").read_text())


def test_the_results_hold_to_the_contract_and_are_scored_alike(
    contract: Path, data: Dataset, output: Path, metrics: dict[str, Any]
) -> None:
    check = subprocess.run(
        [sys.executable, contract / "check.py", data.path, output], capture_output=True, text=True, check=False
    )
    assert check.stdout == "the contract holds\n", check.stdout + check.stderr
    score = subprocess.run(
        [sys.executable, contract / "score.py", data.path, output, "64", "32", "centre", "all"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(score.stdout)
    window, segment = metrics["level"]["window"], metrics["level"]["segment"]
    ours = {name: window[name] for name in ("n", "accuracy", "macro_f1", "nll", "ece")}
    ours |= {"sample_accuracy": metrics["level"]["sample"]["accuracy"], "f1_50": segment["f1@50"], "missing": 0}
    assert {name: theirs[name] for name in ours} == pytest.approx(ours, abs=1e-6)


def test_each_annotated_subject_is_tested_once_and_the_others_are_named(
    output: Path, metrics: dict[str, Any], heard: Heard
) -> None:
    validation = metrics["cross_validation"]
    tested = [subject for fold in validation["folds"] for subject in fold["test"]]
    assert sorted(tested) == ["dog01", "dog02", "dog04", "dog05"]
    assert validation["subjects_without_labelled_windows"] == ["dog03", "dog06"]
    assert "note: dog03, dog06: no labelled window of the config's classes, so in no fold" in heard.said
    assert sorted(metrics["per_subject"]) == sorted(tested)
    frames = pq.read_table(output / "predictions.parquet", columns=["subject"])
    assert sorted(frames["subject"].unique().to_pylist()) == sorted(tested)
    report = (output / "report.html").read_text()
    assert "dog03, dog06: no labelled window" in report
    assert "Simulated data: no animal" in report


def test_pooled_figures_are_not_means_but_mean_and_spread_are_there_too(metrics: dict[str, Any]) -> None:
    folds = [fold["level"]["window"] for fold in metrics["cross_validation"]["folds"]]
    window = metrics["level"]["window"]
    assert window["n"] == sum(fold["n"] for fold in folds)
    assert window["accuracy"] == pytest.approx(
        np.average([f["accuracy"] for f in folds], weights=[f["n"] for f in folds])
    )
    spread = metrics["cross_validation"]["over_folds"]["window"]["macro_f1"]
    assert spread["mean"] == pytest.approx(np.mean([fold["macro_f1"] for fold in folds]))
    assert spread["std"] == pytest.approx(np.std([fold["macro_f1"] for fold in folds], ddof=1))
    assert metrics["cross_validation"]["over_folds"]["codes"]["perplexity"]["mean"] >= 1


def test_several_seeds_are_spread_over_and_the_first_is_the_one_shown(metrics: dict[str, Any]) -> None:
    validation = metrics["cross_validation"]
    assert validation["seeds"] == [0, 1]
    over = validation["over_seeds"]["window"]["nll"]
    assert over["std"] > 0
    # two values: their mean and spread give both of them back
    both = over["mean"] + over["std"] / np.sqrt(2) * np.array([-1, 1])
    assert np.abs(both - metrics["level"]["window"]["nll"]).min() < 1e-9
    assert metrics["provenance"]["seed"] == 0


def test_the_audit_is_of_every_fold(metrics: dict[str, Any]) -> None:
    assert metrics["leak_audit"]["passed"] is True
    assert [fold["figures"]["windows_with_copies"] for fold in metrics["leak_audit"]["folds"]] == [0, 0]
    assert metrics["leak_audit"]["checked"] == list(CHECKS)
    assert metrics["leak_audit"]["not_measured"] == []


@pytest.mark.usefixtures("without_figures")
def test_labels_of_the_tested_are_nowhere_in_their_predictions(
    tiny_config: Config, simulated_dataset: Dataset, rewrite: Rewrite, tmp_path: Path
) -> None:
    def predictions(output: Path) -> Any:
        table = pq.read_table(output / "predictions.parquet").to_pandas()
        return table[table["subject"].isin(tested)]

    metrics = validate(tiny_config, simulated_dataset, tmp_path / "first", 2)
    tested = metrics["cross_validation"]["folds"][0]["test"]

    def confuse(recording: Recording) -> Recording:
        if recording.subject not in tested:
            return recording
        # the same samples are annotated, so the folds stay
        return replace(recording, labels=np.where(recording.labels >= 0, (recording.labels + 1) % 6, -1))

    validate(tiny_config, rewrite(tmp_path / "data", confuse), tmp_path / "second", 2)
    before = predictions(tmp_path / "first")
    assert before.equals(predictions(tmp_path / "second"))
    assert len(before) > 0


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("subjects", [2, 3])
def test_as_many_folds_as_subjects(tiny_config: Config, rewrite: Rewrite, tmp_path: Path, subjects: int) -> None:
    data = rewrite(tmp_path / "data", lambda r: r if int(r.subject[3:]) <= subjects else None)
    metrics = validate(tiny_config, data, tmp_path / "out", subjects)
    assert [len(fold["test"]) for fold in metrics["cross_validation"]["folds"]] == [1] * subjects
    by_time = [text for text in metrics["cross_validation"]["warnings"] if "blocks of time" in text]
    assert len(by_time) == subjects  # each fold is left with one or two subjects to train on
    with pytest.raises(DataError, match=f"E-DATA-013: {subjects + 1} folds need"):
        validate(tiny_config, data, tmp_path / "more", subjects + 1)


@pytest.mark.usefixtures("without_figures")
def test_a_class_that_one_subject_alone_shows(tiny_config: Config, rewrite: Rewrite, tmp_path: Path) -> None:
    def only_one_shakes(recording: Recording) -> Recording:
        labels = np.where(recording.labels == 5, 0, recording.labels)
        if recording.name == "dog02_1":
            labels[200:600] = 5
        return replace(recording, labels=labels)

    metrics = validate(tiny_config, rewrite(tmp_path / "data", only_one_shakes), tmp_path / "out", 3)
    assert metrics["per_class"]["shaking"]["f1"] == 0
    notes = [note for fold in metrics["leak_audit"]["folds"] for note in fold["notes"]]
    assert any("classes that no training window has" in note for note in notes)


@pytest.mark.usefixtures("without_figures")
def test_without_quantisation_codes_do_not_apply_but_all_baselines_do(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    config = apply_overrides(
        tiny_config, ["model.architecture.quantization.type=none", "evaluation.baselines=[random_kernels, forest]"]
    )
    metrics = validate(config, simulated_dataset, tmp_path / "out", 2)
    assert list(metrics["baselines"]) == ["majority", "random_kernels", "forest"]
    assert {block["n"] for block in metrics["baselines"].values()} == {metrics["level"]["window"]["n"]}
    assert metrics["codes"] == metrics["cross_validation"]["over_folds"]["codes"] == "NOT_APPLICABLE"
    columns = pq.read_schema(tmp_path / "out" / "predictions.parquet").names
    assert not [name for name in columns if name.startswith("code_") or name == "margin"]


def test_subjects_marked_test_take_part_and_are_named(output: Path, metrics: dict[str, Any], heard: Heard) -> None:
    note = (
        "marked test, yet in the cross-validation, where each subject is tested by a model that has not seen it: dog05"
    )
    assert f"note: {note}" in heard.said  # dog06 is marked too, and in no fold
    assert note in metrics["cross_validation"]["notes"]
    assert f"{note}." in (output / "report.html").read_text()


def test_subjects_that_the_config_marks_are_named_too(
    tiny_config: Config, rewrite: Rewrite, tmp_path: Path, without_figures: None
) -> None:
    data = rewrite(tmp_path / "data", lambda r: replace(r, meta={}))
    config = apply_overrides(tiny_config, ["data.test_subjects=[dog02, dog04]"])
    notes = validate(config, data, tmp_path / "out", 2)["cross_validation"]["notes"]
    assert any("has not seen it: dog02, dog04" in note for note in notes)
    assert not any("dog05" in note for note in notes)


@pytest.mark.usefixtures("without_figures")
def test_a_fold_of_unknown_classes_alone_has_no_permutation_test_and_goes_on(
    tiny_config: Config, rewrite: Rewrite, tmp_path: Path
) -> None:
    def only_it_shakes(recording: Recording) -> Recording:
        labels = np.where(recording.labels == 5, 0, recording.labels)
        return replace(recording, labels=np.full_like(labels, 5) if recording.subject == "dog01" else labels)

    output = tmp_path / "out"
    metrics = cross_validate(
        Experiment(tiny_config, rewrite(tmp_path / "data", only_it_shakes)), None, output, NullProgress()
    )
    audit = metrics["leak_audit"]
    assert [fold["figures"]["permuted_p_value"] == "NOT_MEASURED" for fold in audit["folds"]] == [True] + [False] * 5
    assert audit["not_measured"] == ["permuted_labels"]
    assert "NOT_MEASURED in one fold or more: whether a cheap model" in (output / "report.html").read_text()


@pytest.mark.usefixtures("without_figures")
def test_a_baseline_that_windows_are_too_short_for_is_not_measured(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    config = apply_overrides(
        tiny_config,
        ["data.window_size=8", "data.hop=8", "data.decode_hop=8", "model.architecture.quantization.positions=1",
         "training.train_hop=8", "evaluation.baselines=[random_kernels]"],
    )  # fmt: skip
    metrics = validate(config, simulated_dataset, tmp_path / "out", 2)
    assert list(metrics["baselines"]) == ["majority", "random_kernels"]
    assert metrics["baselines"]["random_kernels"] == "NOT_MEASURED"
    assert metrics["baselines"]["majority"]["n"] == metrics["level"]["window"]["n"]
    assert "random_kernels" in (tmp_path / "out" / "report.html").read_text()


# Leaks that are planted in the data path


def bear_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel of each window says what it is labelled."""
    cut = crossval.labelled_windows

    def leaking(*args: Any, **options: Any) -> Any:
        windows, labels, subjects, place = cut(*args, **options)
        windows[:, 0, 0, 0] += labels
        return windows, labels, subjects, place

    monkeypatch.setattr(crossval, "labelled_windows", leaking)


def encode_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """A channel of each sample is the mean of its class in the recording, whatever the class is called."""
    part_of = Corpus.of

    def encoded(recording: Recording) -> Recording:
        samples = recording.samples.copy()
        for label in np.unique(recording.labels):
            mine = recording.labels == label
            samples[0, 0, mine] += samples[0, 0, mine].mean()
        return replace(recording, samples=samples)

    def leaking(corpus: Corpus, subjects: Any) -> Corpus:
        part = part_of(corpus, subjects)
        return replace(part, recordings=tuple(encoded(recording) for recording in part.recordings))

    monkeypatch.setattr(Corpus, "of", leaking)


def slip_windows_in(monkeypatch: pytest.MonkeyPatch, factor: float) -> None:
    """Windows of the test side stand with their labels among the training ones, under the name of another subject."""
    cut, last = crossval.labelled_windows, []

    def leaking(corpus: Corpus, *args: Any, **options: Any) -> Any:
        windows, labels, subjects, place = cut(corpus, *args, **options)
        if not last:  # the test side is the first to be cut
            last.append((windows, labels))
            return windows, labels, subjects, place
        others, theirs = last.pop()
        windows = np.concatenate([windows, others * np.float32(factor)])
        return windows, np.concatenate([labels, theirs]), np.append(subjects, [subjects[0]] * len(theirs)), place

    monkeypatch.setattr(crossval, "labelled_windows", leaking)


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("rule", ["centre", "majority", "pure"])
@pytest.mark.parametrize(
    ("plant", "finding"),
    [
        (bear_labels, r"E-LEAK-006: .* 0 training windows, 0 training labels and [1-9]\d* test windows came out diff"),
        (encode_labels, r"E-LEAK-006: .* and [1-9]\d* test windows"),
        (lambda patch: slip_windows_in(patch, 1.0), r"E-LEAK-004: .* also stand on the training side"),
        (lambda patch: slip_windows_in(patch, 1.01), r"E-LEAK-006: .* [1-9]\d* training labels"),
    ],
)
def test_a_leak_in_the_data_path_is_found(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    plant: Callable[[pytest.MonkeyPatch], None], finding: str, rule: str,
) -> None:  # fmt: skip
    config = apply_overrides(tiny_config, [f"data.label_rule={rule}"])
    plant(monkeypatch)
    with pytest.raises(GateFailed, match=finding):
        validate(config, simulated_dataset, tmp_path / "out", 3)
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("rule", ["majority", "pure"])
def test_no_leak_is_found_where_none_is(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, rule: str
) -> None:
    config = apply_overrides(tiny_config, [f"data.label_rule={rule}"])
    audit = validate(config, simulated_dataset, tmp_path / "out", 2)["leak_audit"]
    assert audit["passed"]
    assert "test_labels" in audit["checked"]


@pytest.mark.usefixtures("without_figures")
def test_one_recording_under_two_names_fails_the_audit_before_the_training(
    tiny_config: Config, rewrite: Rewrite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossval, "fit", None)  # never reached
    noise = np.random.default_rng(0).normal(size=(9, 2, 1500)).astype(np.float32)

    def double(recording: Recording) -> Recording:
        return replace(recording, samples=noise) if recording.name in ("dog01_1", "dog02_1") else recording

    with pytest.raises(GateFailed, match=r"the leak audit failed: E-LEAK-004: .* consecutive samples"):
        validate(tiny_config, rewrite(tmp_path / "data", double), tmp_path / "out", 6)
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_written_or_drawn_is_refused_before_the_work(
    tiny_config: Config, simulated_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crossval, "fit", None)  # never reached
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="E-OUT-001"):
        validate(tiny_config, simulated_dataset, tmp_path, 2)
    with pytest.raises(ConfigError, match="seed is 4294967296"):
        validate(tiny_config, simulated_dataset, tmp_path / "out", 2, seeds=[2**32 - 1, 2**32])


@pytest.mark.usefixtures("without_figures")
def test_the_hash_is_of_the_data_that_were_read(
    tiny_config: Config, rewrite: Rewrite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rewrite(tmp_path / "data", lambda recording: recording)
    before, train = data.sha256(), crossval.fit

    def overwrite(*args: Any, **options: Any) -> Any:
        (data.path / "dataset.yaml").write_text((data.path / "dataset.yaml").read_text() + "\n# corrected\n")
        return train(*args, **options)

    monkeypatch.setattr(crossval, "fit", overwrite)
    metrics = validate(tiny_config, data, tmp_path / "out", 2)
    assert data.sha256() != before
    assert metrics["provenance"]["data_sha256"] == before


def test_the_command_takes_its_folds_from_the_experiment(
    simulated_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], without_figures: None
) -> None:
    tiny = ("training.epochs=1", "training.windows_per_epoch=128", "training.inner_folds=2", "training.threads=1",
            "evaluation.baselines=[majority]", "data.window_size=64", "evaluation.leak_permutations=20")  # fmt: skip
    data = ("--data", str(simulated_dataset.path), "--output", str(tmp_path / "out"), "--seed", "7")
    assert main(["crossval", *data, *tiny, "evaluation.folds=2"]) == 0
    shown = capsys.readouterr()
    assert "default data.hop: 32 samples, half a window" in shown.err
    assert "fold 2/2 (seed 7): tested on" in shown.err
    assert "windows (simulated data)" in shown.out
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["provenance"]["folds"] == 2
    assert "Default data.hop: 32 samples, half a window." in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("without_figures")
def test_leaving_out_one_subject_at_a_time(
    tiny_config: Config, data: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "tiny.yaml").write_text(tiny_config.to_yaml())
    args = ["crossval", "--config", tmp_path / "tiny.yaml", "--data", data.path, "--leave-one-out", "--json"]
    assert main([*map(str, args), "--output", str(tmp_path / "out")]) == 0
    folds = json.loads(capsys.readouterr().out)["cross_validation"]["folds"]
    assert [fold["test"] for fold in folds] == [["dog01"], ["dog02"], ["dog04"], ["dog05"]]
