"""``conv2d train``."""

from pathlib import Path
from typing import Annotated

import typer

from conv2d.cli.options import CONFIG, DATA, JSON, OVERRIDES, SEED
from conv2d.cli.output import print_json, print_table
from conv2d.cli.progress import progress


def train(
    overrides: OVERRIDES = None,
    config: CONFIG = None,
    data: DATA = None,
    output: Annotated[Path | None, typer.Option(help="Run directory to write; runs/<name> by default.")] = None,
    seed: SEED = None,
    json: JSON = False,
) -> None:
    """Train on a data set and write a run: weights, codes, decoders, calibration, baselines, curves, provenance.

    Without --config, defaults are chosen from the data set and said. Subjects marked "test" are left out. A training
    that is stopped goes on where it was when the same command is given again.
    """
    from conv2d.evaluation.experiment import open_experiment, read_experiment_config, with_seed

    settings, notes = read_experiment_config(config, data, overrides or [])
    settings = with_seed(settings, seed)
    # after the experiment has been read: what is wrong with it is said at once, before torch is imported
    from conv2d.evaluation.training import train_run, unused_subjects

    place = output or settings.output
    with progress(json=json) as shown, open_experiment(settings, data, notes) as experiment:
        for note in notes:
            shown.say(f"default {note}")
        metrics = train_run(experiment, place, shown)
        if left := unused_subjects(experiment, tuple(metrics["data"]["subject_names"])):
            shown.say(f"note: {left}")
    inner = metrics["inner_out_of_fold"]
    figures = {key: inner[key] for key in ("accuracy", "macro_f1", "nll", "ece")}
    if json:
        print_json({"run": str(place), "inner_out_of_fold": figures, "data": metrics["data"], "defaults": list(notes)})
        return
    simulated = " (simulated data)" if metrics["data"]["simulated"] else ""
    print_table(["inner folds, windows" + simulated, *figures], [[settings.name, *figures.values()]])
    print(f"run written to {place}")
