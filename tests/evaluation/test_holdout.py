"""``conv2d eval``: figures as they are scored from outside, and nothing that the run has seen."""

import json
import shutil
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
from conv2d.data import Dataset, Recording
from conv2d.errors import DataError, GateFailed, UsageError
from conv2d.evaluation.baselines import load_baselines, save_baselines
from conv2d.evaluation.holdout import evaluate_run
from conv2d.logging.progress import NullProgress
from conv2d.tasks.behavior.model import BehaviorModel

Rewrite = Callable[..., Dataset]


def evaluate(run: Path, data: Dataset, output: Path, split: str = "test", **options: bool) -> dict[str, Any]:
    return evaluate_run(run, data.path, split, output, NullProgress(), **options)


def kept_apart(recording: Recording) -> Recording | None:
    """A data set of nothing but the dogs that the run has not seen, not marked in any way."""
    return replace(recording, meta={}) if recording.meta["split"] == "test" else None


def renamed(recording: Recording) -> Recording:
    return replace(recording, name=f"x{recording.name}", subject=f"x{recording.subject}")


@pytest.fixture(scope="module")
def unseen(rewrite: Rewrite, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return rewrite(tmp_path_factory.mktemp("unseen") / "data", kept_apart)


@pytest.fixture(scope="module")
def results(trained_run: Path, unseen: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("results") / "small"
    evaluate(trained_run, unseen, output, "all")
    return output


@pytest.fixture(scope="module")
def metrics(results: Path) -> dict[str, Any]:
    return json.loads((results / "metrics.json").read_text())


def test_the_results_hold_to_the_contract(contract: Path, unseen: Dataset, results: Path) -> None:
    check = subprocess.run(
        [sys.executable, contract / "check.py", unseen.path, results], capture_output=True, text=True, check=False
    )
    assert check.stdout == "the contract holds\n", check.stdout + check.stderr


def test_the_figures_are_those_scored_from_outside(
    contract: Path, unseen: Dataset, results: Path, metrics: dict[str, Any]
) -> None:
    score = subprocess.run(
        [sys.executable, contract / "score.py", unseen.path, results, "64", "32", "centre", "all"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    theirs = json.loads(score.stdout)
    window, sample, segment = (metrics["level"][name] for name in ("window", "sample", "segment"))
    ours = {name: window[name] for name in ("n", "accuracy", "macro_f1", "nll", "ece")}
    ours |= {f"sample_{name}": sample[name] for name in ("accuracy", "macro_f1")}
    ours |= {f"f1_{k}": segment[f"f1@{k}"] for k in (10, 25, 50)} | {"edit": segment["edit"], "missing": 0}
    ours |= {"worst": metrics["summary"]["worst_subject_macro_f1"]}
    assert {name: theirs[name] for name in ours} == pytest.approx(ours, abs=1e-6)
    assert theirs["worst_subject"] == metrics["summary"]["worst_subject"]


def test_frames_and_segments_cover_every_recording_without_overlap(unseen: Dataset, results: Path) -> None:
    frames = pq.read_table(results / "predictions.parquet").to_pandas()
    rows = [line.split(",") for line in (results / "segments.csv").read_text().splitlines()[1:]]
    for recording in (unseen.load(row.recording) for row in unseen.table):
        mine = frames[frames["recording"] == recording.name]
        time_s = mine["time_s"].to_numpy()
        assert np.allclose(np.diff(time_s), 8 / 50)
        assert time_s[0] - recording.time_s[0] < 0.65  # half a window
        assert recording.time_s[-1] - time_s[-1] < 0.65 + 8 / 50
        edges = [(float(start), float(end)) for name, start, end, *_ in rows if name == recording.name]
        assert [start for start, _ in edges[1:]] == [end for _, end in edges[:-1]]
        assert edges[0][0] == recording.time_s[0]
        assert edges[-1][1] == pytest.approx(recording.time_s[-1] + 1 / 50)


def test_the_same_again_gives_the_same_files_and_replaces_those_that_are_there(
    trained_run: Path, unseen: Dataset, results: Path, tmp_path: Path
) -> None:
    again = Path(shutil.copytree(results, tmp_path / "again"))
    (again / "left over").write_text("x")
    evaluate(trained_run, unseen, again, "all")
    files = sorted(path.name for path in again.iterdir())
    assert {"metrics.json", "predictions.parquet", "report.html", "segments.csv"} <= set(files)
    assert "left over" not in files
    others = [name for name in files if (again / name).read_bytes() != (results / name).read_bytes()]
    assert [name for name in others if name != "log.jsonl"] == []  # which has the time of day


def test_what_was_measured_says_where_it_comes_from(metrics: dict[str, Any], trained_run: Path, results: Path) -> None:
    facts, run = metrics["provenance"], json.loads((trained_run / "provenance.json").read_text())
    assert facts["simulated"] is True
    assert facts["subjects"] == ["dog05", "dog06"]
    assert facts["train_subjects"] == ["dog01", "dog02", "dog03", "dog04"]
    assert facts["config_sha256"] == run["config_sha256"]
    assert facts["train_data_sha256"] == run["data_sha256"] != facts["data_sha256"]
    assert list(metrics["baselines"]) == ["majority", "random_kernels"]
    assert metrics["codes"]["size"] == 8 * 5 * 5 * 5
    assert "Simulated data: no animal" in (results / "report.html").read_text()


def test_the_audit_claims_nothing_that_was_not_checked(metrics: dict[str, Any], results: Path) -> None:
    audit = metrics["leak_audit"]
    assert audit["checked"] == ["subjects", "fitted", "copies"]
    assert audit["not_measured"] == ["test_labels", "permuted_labels"]
    assert audit["fitted"] == ["network", "preprocess", "calibration", "decoders"]
    said = (results / "report.html").read_text().split("Checked: whether a subject")[1]
    assert "permuted" not in said.split("NOT_MEASURED: ")[0]
    assert "permuted" in said.split("NOT_MEASURED: ")[1]


@pytest.mark.usefixtures("without_figures")
def test_the_hash_is_of_the_data_that_were_read(
    trained_run: Path, rewrite: Rewrite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = rewrite(tmp_path / "data", kept_apart)
    before = data.sha256()
    decode = BehaviorModel.apply

    def overwrite(model: BehaviorModel, corpus: Any) -> Any:
        (data.path / "dataset.yaml").write_text((data.path / "dataset.yaml").read_text() + "\n# corrected\n")
        return decode(model, corpus)

    monkeypatch.setattr(BehaviorModel, "apply", overwrite)
    metrics = evaluate(trained_run, data, tmp_path / "out", "all")
    assert data.sha256() != before
    assert metrics["provenance"]["data_sha256"] == before


@pytest.mark.usefixtures("without_figures")
def test_a_baseline_that_was_asked_for_and_is_not_there_is_not_measured(
    trained_run: Path, unseen: Dataset, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    stored = load_baselines(run / "baselines.safetensors")
    save_baselines(run / "baselines.safetensors", {"majority": stored["majority"]})
    metrics = evaluate(run, unseen, tmp_path / "out", "all")
    assert metrics["baselines"]["random_kernels"] == "NOT_MEASURED"
    assert metrics["baselines"]["majority"]["n"] > 0
    assert "random_kernels" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.usefixtures("without_figures")
def test_predictions_can_be_left_out(trained_run: Path, simulated_dataset: Dataset, tmp_path: Path) -> None:
    evaluate(trained_run, simulated_dataset, tmp_path / "out", predictions=False)
    assert not (tmp_path / "out" / "predictions.parquet").exists()
    assert (tmp_path / "out" / "segments.csv").is_file()


# What the run has seen


@pytest.mark.parametrize("split", ["all", "train"])
def test_subjects_that_the_run_has_seen_are_refused_by_name(
    trained_run: Path, simulated_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], split: str
) -> None:
    args = ("eval", trained_run, "--data", simulated_dataset.path, "--split", split, "--output", tmp_path / "out")
    assert main([str(arg) for arg in args]) == 4
    shown = capsys.readouterr()
    assert "error: E-EVAL-001: subject dog01, dog02, dog03, dog04 was seen in training" in shown.err
    assert "Traceback" not in shown.err
    assert list(tmp_path.iterdir()) == []


def test_a_copy_under_other_names_is_refused_too(trained_run: Path, rewrite: Rewrite, tmp_path: Path) -> None:
    def copy_one(recording: Recording) -> Recording | None:
        if recording.subject in ("dog05", "dog06"):
            return renamed(recording)
        if recording.name == "dog03_2":
            # another file too: other labels, and written anew
            return replace(renamed(recording), labels=np.roll(recording.labels, 5))
        return None

    data = rewrite(tmp_path / "data", copy_one, name="other_dogs")
    with pytest.raises(GateFailed, match="E-EVAL-002: recording xdog03_2 stands, sample for sample"):
        evaluate(trained_run, data, tmp_path / "out", "all")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("start", [0, 401, 777, 1300])
def test_a_few_seconds_of_what_was_seen_are_refused(
    trained_run: Path, rewrite: Rewrite, tmp_path: Path, start: int
) -> None:
    def cut(recording: Recording) -> Recording | None:
        if recording.name != "dog03_1":
            return None
        part = slice(start, start + 70)
        return replace(
            renamed(recording),
            time_s=recording.time_s[part],
            samples=recording.samples[..., part],
            labels=np.zeros(70, np.int64),
            meta={},
        )

    data = rewrite(tmp_path / "data", cut, name="other_dogs")
    with pytest.raises(GateFailed, match="E-EVAL-002: recording xdog03_1 stands, sample for sample"):
        evaluate(trained_run, data, tmp_path / "out", "all")


@pytest.mark.usefixtures("without_figures")
def test_the_same_name_in_another_data_set_is_another_subject(
    trained_run: Path, rewrite: Rewrite, tmp_path: Path
) -> None:
    def rename(recording: Recording) -> Recording | None:
        return replace(recording, subject="dog01") if recording.subject == "dog06" else None

    with pytest.raises(GateFailed, match="E-EVAL-001: subject dog01 was seen"):
        evaluate(trained_run, rewrite(tmp_path / "data", rename), tmp_path / "out", "all")
    other = rewrite(tmp_path / "data", rename, name="other_dogs")
    assert evaluate(trained_run, other, tmp_path / "out", "all")["provenance"]["subjects"] == ["dog01"]


# What cannot be evaluated


def test_a_data_set_without_a_sensor_of_the_run(trained_run: Path, rewrite: Rewrite, tmp_path: Path) -> None:
    def take_off(recording: Recording) -> Recording:
        return replace(renamed(recording), sensors=("neck",), samples=np.ascontiguousarray(recording.samples[:, :1]))

    data = rewrite(tmp_path / "data", take_off, sensors=("neck",))
    with pytest.raises(DataError, match="E-DATA-006: asked for sensor back, the data set has neck"):
        evaluate(trained_run, data, tmp_path / "out", "all")


def test_sensors_and_channels_are_taken_by_name_not_by_place(
    trained_run: Path, rewrite: Rewrite, metrics: dict[str, Any], tmp_path: Path, without_figures: None
) -> None:
    def turn(recording: Recording) -> Recording | None:
        if recording.meta["split"] != "test":
            return None
        samples = np.ascontiguousarray(recording.samples[::-1, ::-1])
        return replace(recording, sensors=recording.sensors[::-1], channels=recording.channels[::-1], samples=samples)

    sensors, channels = ("back", "neck"), tuple(f"{kind}_{axis}" for kind in ("mag", "gyr", "acc") for axis in "zyx")
    classes = ("shaking", "trotting", "walking", "sniffing", "standing", "resting", "flying")
    data = rewrite(tmp_path / "data", turn, sensors=sensors, channels=channels, classes=classes)
    got = evaluate(trained_run, data, tmp_path / "out", "all")
    assert got["level"] == metrics["level"]
    assert got["per_class"] == metrics["per_class"]


@pytest.mark.parametrize(
    ("meta", "change", "message"),
    [
        ({"rate_hz": 100.0}, lambda r: replace(r, rate_hz=100.0, time_s=r.time_s / 2), "E-DATA-007: .* 100 Hz"),
        ({}, lambda r: replace(r, labels=np.full(r.n_samples, -1)), "E-EVAL-003: no window .* use conv2d run"),
        ({"classes": ("grazing",)}, lambda r: replace(r, classes=("grazing",), labels=np.zeros(r.n_samples, int)),
         "E-EVAL-003"),
        ({}, lambda r: replace(r, time_s=r.time_s[:60], samples=r.samples[..., :60], labels=r.labels[:60]),
         "E-EXP-002: none of the 4 recordings"),
        # windows at the hop that cross the gaps of the clock have no label, and no others are there
        ({}, lambda r: replace(r, time_s=r.time_s + (np.arange(r.n_samples) + 48) // 64), "E-EVAL-003"),
    ],
)  # fmt: skip
def test_nothing_to_compare_with(
    trained_run: Path, rewrite: Rewrite, tmp_path: Path, meta: dict[str, Any], change: Any, message: str
) -> None:
    data = rewrite(tmp_path / "data", lambda recording: (kept := kept_apart(recording)) and change(kept), **meta)
    with pytest.raises(DataError, match=message):
        evaluate(trained_run, data, tmp_path / "out", "all")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_a_split_that_marks_nobody_is_said(
    trained_run: Path, unseen: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("eval", trained_run, "--data", unseen.path, "--split", "test", "--output", tmp_path / "out")
    assert main([str(arg) for arg in args]) == 3
    said = capsys.readouterr().err
    assert "E-EXP-007: no subject of simulated_dogs is marked 'test' (none is marked at all); use --split all" in said
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_someone_else_is_refused_before_the_work(
    trained_run: Path, unseen: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conv2d.evaluation.holdout.measure", None)  # never reached
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="E-OUT-001"):
        evaluate(trained_run, unseen, tmp_path, "all")
    # the run itself, which holds a metrics.json of its own
    with pytest.raises(UsageError, match="E-OUT-001"):
        evaluate(trained_run, unseen, trained_run, "all")


@pytest.mark.parametrize("file", ["model.safetensors", "baselines.safetensors", "hsmm.json", "label_map.json"])
@pytest.mark.parametrize("damage", ["cut", "gone", "empty"])
@pytest.mark.usefixtures("without_figures")
def test_a_damaged_run_is_said_and_nothing_written(
    trained_run: Path, unseen: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, damage: str
) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    content = (run / file).read_bytes()
    (run / file).unlink()
    if damage != "gone":
        (run / file).write_bytes(content[: len(content) // 2] if damage == "cut" else b"{}")
    args = ("eval", run, "--data", unseen.path, "--split", "all", "--output", tmp_path / "out")
    assert main([str(arg) for arg in args]) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("error: E-")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_run_of_another_config_is_refused(trained_run: Path, unseen: Dataset, tmp_path: Path) -> None:
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("window_size: 64", "window_size: 32", 1))
    with pytest.raises(DataError, match="E-RUN-006"):
        evaluate(run, unseen, tmp_path / "out", "all")
