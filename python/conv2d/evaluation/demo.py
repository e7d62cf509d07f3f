"""``conv2d demo``: the whole job on data that the package simulates."""

import shutil
from pathlib import Path
from typing import Any

from conv2d.config import load_config
from conv2d.errors import UsageError
from conv2d.evaluation.experiment import Experiment, simulate
from conv2d.evaluation.holdout import evaluate_run
from conv2d.evaluation.training import train_run
from conv2d.files import is_free
from conv2d.logging.progress import Progress

DATA, RUN, RESULTS = "data", "run", "results"


def run_demo(output: Path, progress: Progress) -> tuple[dict[str, Any], Path]:
    """Simulate, train, evaluate on held-out animals; returns metrics and the path of the report.

    An earlier demo in the same folder is replaced; anything else there is refused.
    """
    ours = {DATA, RUN, RESULTS}
    if not is_free(output) and not (
        output.is_dir() and {entry.name.split(".")[0] for entry in output.iterdir()} <= ours
    ):
        raise UsageError(f"E-OUT-001: {output} exists and holds more than a demo; choose another --output")
    shutil.rmtree(output, ignore_errors=True)
    config = load_config("demo", [])
    with progress.task("simulating recordings", 1):
        dataset = simulate(config, output / DATA)
    train_run(Experiment(config, dataset), output / RUN, progress)
    metrics = evaluate_run(output / RUN, output / DATA, "test", output / RESULTS, progress)
    return metrics, output / RESULTS / "report.html"
