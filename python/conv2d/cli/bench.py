"""``conv2d bench``: the core against its peers on this machine, as a table, a page and figures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conv2d.cli.options import JSON

if TYPE_CHECKING:
    from conv2d.benchmarks import Row

FIGURE = "images/costs.png"


def bench(
    output: Annotated[
        Path | None, typer.Option(help="Page to write, docs/performance.md; figures go to images/ beside it.")
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="hsmm, fsq, smoothing or stream; may be given several times.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small sizes, few calls: shows that everything runs, not how fast.")
    ] = False,
    json: JSON = False,
) -> None:
    """Measure the core against numpy, scipy, hmmlearn, torch.compile, bottleneck and numba, in turns in one process.

    A peer that is not installed leaves its row NOT_MEASURED. Some minutes; close what else uses the processor.
    """
    from conv2d.benchmarks import PARTS, machine_facts, run_benchmarks
    from conv2d.benchmarks.hsmm import costs
    from conv2d.benchmarks.run import QUICK_SECONDS, SECONDS
    from conv2d.cli.output import print_json
    from conv2d.cli.progress import progress
    from conv2d.errors import NotMeasurable, UsageError

    parts = list(dict.fromkeys(only or PARTS))
    unknown = [part for part in parts if part not in PARTS]
    if unknown:
        raise UsageError(f"--only is {unknown[0]}, expected one of {', '.join(PARTS)}")
    if output is not None and output.suffix != ".md":
        raise UsageError(f"--output is {output}, expected a page that ends with .md, such as docs/performance.md")
    if output is not None:
        _require_matplotlib()
    machine = machine_facts()
    grown: dict[str, Any] = {}
    with progress(json=json) as shown:
        with shown.task("measuring rows") as task:
            rows = run_benchmarks(parts, quick=quick, done=lambda row: task.advance(note=row.name))
        if "hsmm" in parts:
            with shown.task("measuring how the cost grows"):
                grown = costs(QUICK_SECONDS if quick else SECONDS, quick=quick)
    if output is not None:
        _write(output, rows, machine, grown, quick=quick)
    if json:
        print_json({"quick": quick, "machine": machine, "rows": [row.to_dict() for row in rows], "costs": grown})
    else:
        _print(rows, machine)
        if output is not None:
            print(f"written to {output}")
    if all(row.figure is None for row in rows):
        raise NotMeasurable(
            f"none of the {len(rows)} rows could be measured ({rows[0].reason}), expected one at least; install the "
            "peers with pip install 'conv2d[all]'"
        )


def _require_matplotlib() -> None:
    from importlib.util import find_spec

    from conv2d.errors import NotMeasurable

    if find_spec("matplotlib") is None:
        raise NotMeasurable("matplotlib is not installed, expected it for the figures; pip install 'conv2d[viz]'")


def _write(output: Path, rows: "list[Row]", machine: dict[str, str], grown: dict[str, Any], *, quick: bool) -> None:
    from conv2d.benchmarks.document import document
    from conv2d.viz.costs import cost_figure

    output.parent.mkdir(parents=True, exist_ok=True)
    figures = []
    if grown:
        picture = output.parent / FIGURE
        picture.parent.mkdir(exist_ok=True)
        axes = {
            "T": "T, frames (K=8, D=100)",
            "D": "D, longest duration (T=10,000, K=8)",
            "K": "K, states (T=10,000, D=100)",
        }
        cost_figure({axes[name]: found for name, found in grown.items()}, title="Cost of the decoder", path=picture)
        figures.append(("Milliseconds against frames, longest duration and states", FIGURE))
    output.write_text(document(rows, machine, figures, quick=quick), encoding="utf-8")


def _print(rows: "list[Row]", machine: dict[str, str]) -> None:
    from conv2d.benchmarks.document import asked_text, figure_text, milliseconds
    from conv2d.cli.output import print_table

    told: list[list[Any]] = []
    for row in rows:
        figure = "NOT_MEASURED" if row.figure is None else figure_text(row, row.figure)
        told.append(
            [f"{row.name}, {row.size}", milliseconds(row.ours), row.peer, milliseconds(row.theirs), figure,
             asked_text(row), row.reached]
        )  # fmt: skip
    print_table(["work", "ours", "peer", "its time", "figure", "at least / aim", ""], told)
    for row in rows:
        if row.reason:
            print(f"{row.name}, {row.size}: {row.reason}")
    print("; ".join(f"{name} {value}" for name, value in machine.items()))
