"""``conv2d run``: timelines of recordings, annotated or not, whole or with holes."""

import csv
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import conv2d
from conv2d.cli.main import main
from conv2d.config import load_config
from conv2d.data import Dataset, Recording
from conv2d.errors import DataError, UsageError
from conv2d.evaluation.apply import apply_run
from conv2d.logging.counters import count
from conv2d.logging.progress import NullProgress
from conv2d.tasks.behavior.model import BehaviorModel

Rewrite = Callable[..., Dataset]
Change = Callable[[Recording], Recording]
WINDOW_S, STEP_S = 64 / 50, 1 / 50


@pytest.fixture(scope="module")
def model(trained_run: Path) -> BehaviorModel:
    return conv2d.load(trained_run)


@pytest.fixture
def apply(model: BehaviorModel, rewrite: Rewrite, tmp_path: Path) -> Callable[[Change], tuple[Recording, Any, Any]]:
    """Change a recording, run the model on it; the recording, its segments as rows and its frames."""

    def apply(change: Change) -> tuple[Recording, Any, Any]:
        data = rewrite(tmp_path / "data", lambda r: change(r) if r.name == "dog05_1" else None)
        apply_run(model, data.recording_path("dog05_1"), tmp_path / "out", NullProgress())
        rows = list(csv.DictReader((tmp_path / "out" / "segments.csv").read_text().splitlines()))
        for row in rows:
            row["start_s"], row["end_s"] = float(row["start_s"]), float(row["end_s"])  # type: ignore[assignment]
        return data.load("dog05_1"), rows, pq.read_table(tmp_path / "out" / "predictions.parquet").to_pandas()

    return apply


def check_cover(recording: Recording, rows: Any) -> None:
    """Every sample lies in exactly one segment."""
    inside = [(recording.time_s >= row["start_s"]) & (recording.time_s < row["end_s"]) for row in rows]
    assert (np.sum(inside, axis=0) == 1).all()
    assert all(row["start_s"] < row["end_s"] for row in rows)
    assert all(0 <= float(row["confidence"]) <= 1 for row in rows)


def test_a_recording_without_labels(apply: Any, tmp_path: Path) -> None:
    recording, rows, frames = apply(lambda r: replace(r, labels=np.full(r.n_samples, -1)))
    check_cover(recording, rows)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.yaml", "dog05_1.png", "log.jsonl", "predictions.parquet", "segments.csv", "timeline.json"
    ]  # fmt: skip
    facts = json.loads((tmp_path / "out" / "timeline.json").read_text())
    assert (facts["format"], facts["simulated"], facts["recordings"]) == ("conv2d-timeline/1", True, 1)
    assert facts["segments"] == len(rows)
    assert len(frames) * 8 / 50 == pytest.approx(recording.duration_s, abs=0.2)


def test_a_timeline_says_of_what_settings_code_and_file_it_is(
    model: BehaviorModel, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    file = simulated_dataset.recording_path("dog05_1")
    for place, sha256 in (
        (file, hashlib.sha256(file.read_bytes()).hexdigest()),
        (simulated_dataset.path, simulated_dataset.sha256()),
    ):
        count("left over", 7)
        apply_run(model, place, tmp_path / "out", NullProgress())
        facts = json.loads((tmp_path / "out" / "timeline.json").read_text())["provenance"]
        assert (facts["command"], facts["data_sha256"]) == ("run", sha256)
        assert load_config(tmp_path / "out" / "config.yaml").sha256() == facts["config_sha256"] == model.config.sha256()
        lines = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
        assert [line["event"] for line in lines] == ["fsq_config", "run", "counters"]
        for line in lines:
            assert (line["config_hash"], line["data_hash"]) == (facts["config_sha256"], sha256)
            assert (line["seed"], line["levels"]) == (0, [8, 5, 5, 5])
        assert lines[1]["recordings"] == (1 if place == file else len(simulated_dataset.table))
        assert set(lines[2]["counters"]) == {"samples_interpolated", "samples_missing"}


def test_labels_change_nothing(apply: Any) -> None:
    _, rows, frames = apply(lambda r: r)
    _, same_rows, same_frames = apply(lambda r: replace(r, labels=np.roll(r.labels, 400)))
    assert rows == same_rows
    assert frames.equals(same_frames)


def test_samples_that_are_missing_for_long_are_not_guessed_at(apply: Any) -> None:
    def lose(recording: Recording) -> Recording:
        samples = recording.samples.copy()
        samples[..., 500:1000] = np.nan
        return replace(recording, samples=samples)

    recording, rows, frames = apply(lose)
    check_cover(recording, rows)
    proba = frames[[name for name in frames if name.startswith("p_")]].to_numpy()
    time_s = frames["time_s"].to_numpy()
    lost = (time_s > 10 + WINDOW_S / 2) & (time_s < 20 - WINDOW_S / 2)
    assert len(np.unique(proba[lost], axis=0)) == 1  # the shares of the classes, which is all that is known
    assert len(np.unique(proba[~lost], axis=0)) > 50
    assert np.allclose(proba.sum(1), 1)


def test_a_sensor_that_fell_off(apply: Any) -> None:
    def take_off(recording: Recording) -> Recording:
        samples = recording.samples.copy()
        samples[:, 1] = np.nan
        return replace(recording, samples=samples)

    recording, rows, frames = apply(take_off)
    check_cover(recording, rows)
    proba = frames[[name for name in frames if name.startswith("p_")]].to_numpy()
    assert len(np.unique(proba, axis=0)) > 50  # the other sensor is still read


def test_both_sides_of_a_gap_of_the_clock_are_covered_and_the_gap_is_not(apply: Any) -> None:
    def pause(recording: Recording) -> Recording:
        return replace(recording, time_s=recording.time_s + 100.0 * (np.arange(recording.n_samples) >= 700))

    recording, rows, frames = apply(pause)
    check_cover(recording, rows)
    before = [row for row in rows if row["end_s"] <= 14 + 1e-9]
    after = [row for row in rows if row["start_s"] >= 114 - 1e-9]
    assert len(before) + len(after) == len(rows)
    assert before[-1]["end_s"] == pytest.approx(14)
    assert after[0]["start_s"] == pytest.approx(114)
    time_s = frames["time_s"].to_numpy()
    assert not ((time_s > 14) & (time_s < 114)).any()


def test_a_sample_lost_here_and_there_does_not_cut_a_segment(apply: Any) -> None:
    def skip(recording: Recording) -> Recording:
        return replace(recording, time_s=recording.time_s + STEP_S * (np.arange(recording.n_samples) >= 700))

    recording, rows, _ = apply(skip)
    check_cover(recording, rows)
    assert [row["start_s"] for row in rows[1:]] == [row["end_s"] for row in rows[:-1]]


def test_times_are_those_of_the_recording(apply: Any) -> None:
    _, rows, frames = apply(lambda r: r)
    _, late_rows, late_frames = apply(lambda r: replace(r, time_s=r.time_s + 1e6))
    assert [row["start_s"] + 1e6 for row in rows] == pytest.approx([row["start_s"] for row in late_rows], abs=1e-6)
    assert frames["time_s"].to_numpy() + 1e6 == pytest.approx(late_frames["time_s"].to_numpy(), abs=1e-6)


def test_a_whole_data_set_with_one_recording_that_is_too_short(
    model: BehaviorModel, rewrite: Rewrite, tmp_path: Path, capsys: pytest.CaptureFixture[str], trained_run: Path
) -> None:
    def shorten(recording: Recording) -> Recording | None:
        if recording.subject != "dog05":
            return None
        n = 63 if recording.name == "dog05_2" else 64
        time_s, labels = recording.time_s[:n], recording.labels[:n]
        return replace(recording, time_s=time_s, samples=recording.samples[..., :n].copy(), labels=labels)

    data = rewrite(tmp_path / "data", shorten)
    assert main(["run", str(trained_run), str(data.path), "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "1.3 s of 1 simulated recordings" in out
    assert "shorter than a window, so left out: dog05_2" in out
    rows = list(csv.DictReader((tmp_path / "out" / "segments.csv").read_text().splitlines()))
    assert {row["recording"] for row in rows} == {"dog05_1"}
    assert float(rows[-1]["end_s"]) == pytest.approx(WINDOW_S)
    with pytest.raises(DataError, match="E-EXP-002: none of the 1 recordings"):
        apply_run(model, data.recording_path("dog05_2"), tmp_path / "none", NullProgress())
    assert not (tmp_path / "none").exists()


def test_a_recording_is_found_from_wherever_one_stands(
    model: BehaviorModel, simulated_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(simulated_dataset.path / "recordings")
    assert apply_run(model, Path("dog05_1.parquet"), tmp_path / "out", NullProgress())["recordings"] == 1


def test_a_file_that_lies_alone_and_has_no_labels_is_a_recording(
    model: BehaviorModel, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    alone = tmp_path / "alone.parquet"
    table = pq.read_table(simulated_dataset.recording_path("dog05_1"))
    pq.write_table(table.drop_columns(["label"]), alone)
    summary = apply_run(model, alone, tmp_path / "out", NullProgress())
    apply_run(model, simulated_dataset.recording_path("dog05_1"), tmp_path / "inside", NullProgress())
    inside = (tmp_path / "inside" / "segments.csv").read_text()
    assert (tmp_path / "out" / "segments.csv").read_text().replace("alone", "dog05_1") == inside
    assert summary["recordings"] == 1


def test_one_recording_needs_no_other_and_a_foreign_label_is_left_out(
    model: BehaviorModel, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "recordings").mkdir(parents=True)
    for name in ("dataset.yaml", "recordings.csv"):
        (data / name).write_bytes((simulated_dataset.path / name).read_bytes())
    table = pq.read_table(simulated_dataset.recording_path("dog05_1"))
    odd = table.set_column(table.column_names.index("label"), "label", [["napping"] * table.num_rows])
    pq.write_table(odd, data / "recordings" / "dog05_1.parquet")
    corpus = model.read_file(data / "recordings" / "dog05_1.parquet")
    assert corpus.recordings[0].subject == "dog05"
    assert corpus.simulated
    assert (corpus.recordings[0].labels == -1).all()


def test_what_is_no_recording_is_said(model: BehaviorModel, simulated_dataset: Dataset, tmp_path: Path) -> None:
    cases = {
        tmp_path / "absent.parquet": "E-RUN-005: there is no recording",
        simulated_dataset.path / "recordings.csv": "E-DATA-004",
        tmp_path: "E-DATA-001",
    }
    for place, message in cases.items():
        with pytest.raises(DataError, match=message):
            apply_run(model, place, tmp_path / "out", NullProgress())
    assert not list(tmp_path.iterdir())


def test_results_and_runs_are_not_replaced_by_a_timeline(
    model: BehaviorModel, trained_run: Path, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    (tmp_path / "results").mkdir()
    for name in ("report.html", "segments.csv", "metrics.json"):
        (tmp_path / "results" / name).write_text("mine")
    for output in (tmp_path / "results", trained_run):
        with pytest.raises(UsageError, match="E-OUT-001"):
            apply_run(model, simulated_dataset.recording_path("dog05_1"), output, NullProgress())


def test_an_earlier_timeline_is_replaced(model: BehaviorModel, simulated_dataset: Dataset, tmp_path: Path) -> None:
    for name in ("dog05_1", "dog05_2"):
        apply_run(model, simulated_dataset.recording_path(name), tmp_path / "out", NullProgress())
    assert [path.name for path in (tmp_path / "out").glob("*.png")] == ["dog05_2.png"]
