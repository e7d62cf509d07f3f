"""The results folder: whole or not there, on a disk that is full too; pictures say what is true of the time."""

import errno
import json
import os
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
from conv2d.cli.main import main
from conv2d.data import Dataset, Recording
from conv2d.evaluation import apply, outputs
from conv2d.evaluation.outputs import timeline_of

Rewrite = Callable[..., Dataset]
FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def fail(*_: Any, **__: Any) -> None:
    raise FULL


@pytest.mark.usefixtures("without_figures")
@pytest.mark.parametrize("writer", ["write_predictions", "write_segments", "write_report", "write_json"])
def test_a_full_disk_leaves_earlier_results_as_they_were(
    trained_run: Path, simulated_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, writer: str,
) -> None:  # fmt: skip
    args = ["eval", str(trained_run), "--data", str(simulated_dataset.path), "--output", str(tmp_path / "out")]
    monkeypatch.setattr(outputs, writer, fail)
    assert main(args) == 3
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "error: the disk is full; free some space or choose another --output"
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("earlier")
    assert main(args) == 3
    assert [path.read_text() for path in (tmp_path / "out").iterdir()] == ["earlier"]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("writer", ["write_predictions", "write_segments", "write_json"])
def test_a_full_disk_leaves_no_half_timeline(
    trained_run: Path, simulated_dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writer: str
) -> None:
    monkeypatch.setattr(apply, writer, fail)
    recording = simulated_dataset.recording_path("dog05_1")
    assert main(["run", str(trained_run), str(recording), "--output", str(tmp_path / "out")]) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["eval", "run"])
def test_a_file_that_may_not_grow_leaves_nothing(
    trained_run: Path, simulated_dataset: Dataset, tmp_path: Path, command: str
) -> None:
    """No file may grow beyond 16 KiB, so the write itself fails; in a process of its own, whose output is a pipe."""
    script = """
        import resource, sys
        from conv2d.cli.main import main
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 14, 1 << 14))
        sys.exit(main(sys.argv[1:]))
    """
    given = ["--data", simulated_dataset.path] if command == "eval" else [simulated_dataset.recording_path("dog05_1")]
    arguments = [command, *map(str, [trained_run, *given]), "--output", str(tmp_path / "out")]
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.returncode == 1
    last = run.stderr.splitlines()[-1]
    assert last.startswith("error: ")
    assert "File too large" in last
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("output", ["thesis", "thesis/file.tex", "thesis/file.tex/out"])
@pytest.mark.parametrize("command", ["eval", "run", "crossval"])
def test_an_output_that_is_something_else_is_left_alone(
    trained_run: Path, simulated_dataset: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str,
    output: str, without_figures: None,
) -> None:  # fmt: skip
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "file.tex").write_text("mine")
    if command == "crossval":
        args = ["crossval", "--data", str(simulated_dataset.path)]
    elif command == "eval":
        args = ["eval", str(trained_run), "--data", str(simulated_dataset.path)]
    else:
        args = ["run", str(trained_run), str(simulated_dataset.recording_path("dog05_1"))]
    below = output.endswith("out")
    assert main([*args, "--output", str(tmp_path / output)]) == (1 if below else 2)
    shown = capsys.readouterr().err
    expected = f"error: {tmp_path}/thesis/file.tex: Not a directory; check the path" if below else "error: E-OUT-001: "
    assert shown.splitlines()[-1].startswith(expected)
    assert "reading" not in shown  # said at once, not after the work
    assert (tmp_path / "thesis" / "file.tex").read_text() == "mine"
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis", "file.tex"]


def test_a_picture_shows_annotation_and_timeline_and_neither_across_a_pause(
    trained_run: Path, rewrite: Rewrite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pause(recording: Recording) -> Recording | None:
        if recording.name != "dog05_1":
            return None
        labels = np.zeros(recording.n_samples, np.int64)
        labels[:100] = -1
        later = 60.0 * (np.arange(recording.n_samples) >= 700)
        return replace(recording, labels=labels, time_s=recording.time_s + later)

    drawn: dict[str, Any] = {}
    monkeypatch.setattr(outputs, "timeline_figure", lambda *_, **given: drawn.update(given))
    model = conv2d.load(trained_run)
    (result,) = model.apply(model.read(rewrite(tmp_path / "data", pause)))
    timeline_of(result, model.classes)
    truth = [(round(start, 6), round(end, 6), label) for start, end, label in drawn["truth"]]
    assert truth == [(2, 14, 0), (74, 90, 0)]
    assert not [segment for segment in drawn["predicted"] if segment[0] < 14 < 20 < segment[1]]
    assert sum(end - start for start, end, _ in drawn["predicted"]) == pytest.approx(30)
    assert drawn["title"] == "dog05_1 (subject dog05)"
    # without annotation there is no row for it
    unlabelled = replace(result.recording, labels=np.full(result.recording.n_samples, -1))
    timeline_of(replace(result, recording=unlabelled), model.classes)
    assert drawn["truth"] is None


def test_the_report_holds_every_picture_and_needs_nothing_else(
    trained_run: Path, simulated_dataset: Dataset, tmp_path: Path
) -> None:
    assert main(["eval", str(trained_run), "--data", str(simulated_dataset.path), "--output", str(tmp_path / "r")]) == 0
    metrics = json.loads((tmp_path / "r" / "metrics.json").read_text())
    text = (tmp_path / "r" / "report.html").read_text()
    for subject in metrics["per_subject"]:
        assert f"subject {subject} (window macro-F1" in text
    assert text.count("data:image/svg+xml;base64,") == 5
    assert text.count("data:image/png;base64,") == len(metrics["per_subject"])
    for outside in ("http://", "https://", "<script src", "<link"):
        assert outside not in text.replace("http://www.w3.org/", "")
