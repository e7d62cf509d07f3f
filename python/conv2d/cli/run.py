"""``conv2d run``."""

from pathlib import Path
from typing import Annotated

import typer

from conv2d.cli.options import JSON
from conv2d.cli.output import print_json
from conv2d.cli.progress import progress


def run(
    run: Annotated[Path, typer.Argument(help="Run directory written by conv2d train.")],
    recording: Annotated[
        Path, typer.Argument(help="A recording's Parquet file in a data set, or the data set's folder.")
    ],
    output: Annotated[Path | None, typer.Option(help="Folder to write; timelines/<recording> by default.")] = None,
    json: JSON = False,
) -> None:
    """Apply a run to recordings: segments.csv, predictions.parquet, a picture of signal, timeline and probabilities."""
    import conv2d
    from conv2d.evaluation.apply import apply_run

    target = output or Path("timelines") / recording.resolve().stem
    with progress(json=json) as shown:
        summary = apply_run(conv2d.load(run), recording, target, shown)
    if json:
        print_json(summary)
        return
    what = "simulated recordings" if summary["simulated"] else "recordings"
    print(f"{summary['segments']} segments in {summary['seconds']:.1f} s of {summary['recordings']} {what}")
    if summary["too_short"]:
        print(f"shorter than a window, so left out: {', '.join(summary['too_short'])}")
    print(f"segments.csv, predictions.parquet and pictures written to {target}")
