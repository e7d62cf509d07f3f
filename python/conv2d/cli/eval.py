"""``conv2d eval``."""

from pathlib import Path
from typing import Annotated

import typer

from conv2d.cli.options import CONFIG, DATA, JSON
from conv2d.cli.output import print_json
from conv2d.cli.progress import progress
from conv2d.cli.summary import print_metrics


def evaluate(
    run: Annotated[
        Path | None, typer.Argument(help="Run directory; that of --config by default.", show_default=False)
    ] = None,
    config: CONFIG = None,
    data: DATA = None,
    split: Annotated[str, typer.Option(help="all, test, or another value of the split column.")] = "test",
    output: Annotated[Path | None, typer.Option(help="Results folder; reports/<run's name> by default.")] = None,
    save_predictions: Annotated[
        bool, typer.Option("--save-predictions/--no-save-predictions", help="Write predictions.parquet.")
    ] = True,
    json: JSON = False,
) -> None:
    """Evaluate a run on subjects that it has not seen: metrics.json, predictions, segments, report.html.

    Subjects that the run has seen are refused by name. Any data set with the same sensors and channels will do.
    """
    from conv2d.config import load_config
    from conv2d.errors import UsageError
    from conv2d.evaluation.holdout import evaluate_run

    if run is None and config is None:
        raise UsageError("neither a run nor --config was given; give the run directory, or the experiment it came from")
    settings = load_config(config, []) if config is not None else None
    place = run or (settings.output if settings is not None else Path())
    target = output or Path("reports") / (settings.name if settings is not None else place.resolve().name)
    with progress(json=json) as shown:
        own = place / "config.yaml"
        if settings is not None and own.is_file() and load_config(own).sha256() != settings.sha256():
            shown.say(f"note: {place} was trained with another version of {config}; the run's own config holds")
        metrics = evaluate_run(place, data, split, target, shown, predictions=save_predictions)
    if json:
        print_json({"output": str(target), **metrics})
        return
    print_metrics(metrics)
    print(f"results and report.html written to {target}")
