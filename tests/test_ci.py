"""The gate on real recordings: a figure that another program finds otherwise fails it."""

import importlib.util
import json
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).parents[1] / ".ci" / "same_figures.py"
WINDOW = {"n": 12, "accuracy": 0.75, "macro_f1": 0.5, "nll": 0.6, "ece": 0.1}
SEGMENT = {"f1@10": 0.9, "f1@25": 0.8, "f1@50": 0.7, "edit": 0.6}
METRICS = {
    "level": {"window": WINDOW, "sample": {"accuracy": 0.8, "macro_f1": 0.7}, "segment": SEGMENT},
    "summary": {"worst_subject": "b", "worst_subject_macro_f1": 0.25},
}
SCORED = {
    **WINDOW, "missing": 0, "worst": 0.25, "worst_subject": "b", "sample_accuracy": 0.8, "sample_macro_f1": 0.7,
    "f1_10": 0.9, "f1_25": 0.8, "f1_50": 0.7, "edit": 0.6,
}  # fmt: skip


def compare(folder: Path, scored: dict[str, Any]) -> tuple[int, str]:
    (folder / "metrics.json").write_text(json.dumps(METRICS))
    done = subprocess.run(
        [sys.executable, SCRIPT, folder / "metrics.json"],
        input=json.dumps(scored) + "\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.returncode, done.stdout


def test_the_same_figures_pass(tmp_path: Path) -> None:
    code, shown = compare(tmp_path, {**SCORED, "nll": 0.6 + 1e-8})
    assert code == 0
    assert shown.splitlines()[-1] == "metrics.json has the same figures, within 1e-06"


def test_figures_of_other_windows_fail(tmp_path: Path) -> None:
    code, shown = compare(tmp_path, {**SCORED, "n": 13, "missing": 1})
    assert code == 1
    assert shown.splitlines()[1:] == [
        "1 labelled windows have no prediction, expected none",
        "level.window.n is 12, score.py finds n 13",
    ]


@pytest.mark.parametrize("name", [name for name in SCORED if name != "missing"])
def test_every_figure_is_compared(name: str) -> None:
    spec = importlib.util.spec_from_file_location("same_figures", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    same_figures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(same_figures)
    assert same_figures.differences(METRICS, SCORED) == []
    other = deepcopy(SCORED)
    other[name] = "c" if name == "worst_subject" else SCORED[name] + 2e-6
    assert len(same_figures.differences(METRICS, other)) == 1
