"""``conv2d demo``."""

from pathlib import Path
from typing import Annotated

import typer

from conv2d.cli.options import JSON
from conv2d.cli.output import print_json
from conv2d.cli.progress import progress
from conv2d.cli.summary import print_metrics


def demo(
    output: Annotated[Path, typer.Option(help="Folder for data, run and report.")] = Path("conv2d-demo"),
    json: JSON = False,
) -> None:
    """Simulate animals with two sensors, train, evaluate on held-out animals, decode, and write a report.

    Everything is simulated: the figures say that the parts work, nothing about real animals.
    """
    from conv2d.evaluation.demo import run_demo

    with progress(json=json) as shown:
        metrics, report = run_demo(output, shown)
    if json:
        print_json({"output": str(output), "report": str(report), **metrics})
        return
    print_metrics(metrics)
    print(f"simulated data, run and results are in {output}; open {report}")
