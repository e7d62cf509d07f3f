"""``conv2d demo``: the whole job on data that the package simulates."""

import shutil
from pathlib import Path
from typing import Any

from conv2d.config import load_config
from conv2d.data import Dataset
from conv2d.errors import DataError, UsageError
from conv2d.evaluation.experiment import Experiment, is_simulated, simulate
from conv2d.evaluation.holdout import evaluate_run
from conv2d.evaluation.training import train_run
from conv2d.files import is_free
from conv2d.logging.progress import Progress

DATA, RUN, RESULTS = "data", "run", "results"


def run_demo(output: Path, progress: Progress) -> tuple[dict[str, Any], Path]:
    """Simulate, train, evaluate on held-out animals; returns metrics and the path of the report.

    An earlier demo in the same folder is replaced, whole or not; anything else there is refused.
    """
    if not is_free(output) and not (output.is_dir() and _is_demo(output)):
        raise UsageError(f"E-OUT-001: {output} exists and holds something else than a demo; choose another --output")
    for entry in output.iterdir() if output.exists() else ():
        shutil.rmtree(entry)
    config = load_config("demo", [])
    with progress.task("simulating recordings", 1):
        dataset = simulate(config, output / DATA)
    train_run(Experiment(config, dataset), output / RUN, progress)
    metrics = evaluate_run(output / RUN, output / DATA, "test", output / RESULTS, progress)
    return metrics, output / RESULTS / "report.html"


def _is_demo(folder: Path) -> bool:
    """Whether a folder holds nothing but what a demo leaves, even one that was stopped; its data must be simulated."""
    names = {entry.name for entry in folder.iterdir()}
    if DATA not in names:
        return names == {f"{DATA}.writing"}
    try:
        dataset = Dataset.open(folder / DATA)
    except DataError:
        return False
    return is_simulated(dataset) and names <= {DATA, RUN, f"{RUN}.partial", RESULTS, f"{RESULTS}.writing"}
