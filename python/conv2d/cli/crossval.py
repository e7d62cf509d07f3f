"""``conv2d crossval``."""

from pathlib import Path
from typing import Annotated

import typer

from conv2d.cli.options import CONFIG, DATA, JSON, OVERRIDES, SEED
from conv2d.cli.output import print_json
from conv2d.cli.progress import progress
from conv2d.cli.summary import print_metrics


def crossval(
    overrides: OVERRIDES = None,
    config: CONFIG = None,
    data: DATA = None,
    folds: Annotated[
        int | None, typer.Option(min=2, help="Folds by subject; those of the experiment by default.")
    ] = None,
    leave_one_out: Annotated[bool, typer.Option("--leave-one-out", help="A fold for each subject instead.")] = False,
    output: Annotated[Path | None, typer.Option(help="Results folder; reports/<name>-crossval by default.")] = None,
    seed: SEED = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many seeds, counted up from --seed.")] = 1,
    json: JSON = False,
) -> None:
    """Cross-validate an experiment by subject and compare all decoders and baselines on the same windows.

    Without --config, defaults are chosen from the data set and said.
    """
    from conv2d.evaluation.experiment import open_experiment, read_experiment_config, with_seed

    settings, notes = read_experiment_config(config, data, overrides or [])
    settings = with_seed(settings, seed)
    # after the experiment has been read: what is wrong with it is said at once, before torch is imported
    from conv2d.evaluation.crossval import cross_validate

    target = output or Path("reports") / f"{settings.name}-crossval"
    with progress(json=json) as shown, open_experiment(settings, data, notes) as experiment:
        for note in notes:
            shown.say(f"default {note}")
        metrics = cross_validate(
            experiment,
            None if leave_one_out else folds or settings.evaluation.folds,
            target,
            shown,
            seeds=[settings.seed + number for number in range(seeds)],
        )
    if json:
        print_json({"output": str(target), "defaults": list(notes), **metrics})
        return
    print_metrics(metrics)
    print(f"results and report.html written to {target}")
