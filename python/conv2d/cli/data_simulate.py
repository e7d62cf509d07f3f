"""``conv2d data simulate``: animals whose true behaviour is known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conv2d.cli.options import JSON

if TYPE_CHECKING:
    from conv2d.data import Dataset


def simulate(
    out: Annotated[Path, typer.Argument(help="The dataset folder to write, new or empty.", show_default=False)],
    subjects: Annotated[int, typer.Option(help="Dogs; the last third is marked as test.", min=1)] = 12,
    minutes: Annotated[float, typer.Option(help="Recorded per dog, in two recordings.", min=0.5)] = 5.0,
    rate: Annotated[float, typer.Option(help="Samples per second.", min=25)] = 100.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples.", min=0)] = 0,
    json: JSON = False,
) -> None:
    """Simulate dogs with a neck and a back sensor whose true behaviour is known."""
    from conv2d.cli.output import print_json
    from conv2d.cli.progress import progress
    from conv2d.data.simulate import simulate_dataset

    with progress(json=json) as shown:
        task = shown.task("simulating dogs", subjects)
        data = simulate_dataset(
            out, n_subjects=subjects, minutes=minutes, rate_hz=rate, seed=seed, progress=lambda done, n: task.advance()
        )
    if json:
        print_json(_summary(data, seed))
    else:
        rows = sum(row.n_rows for row in data.table)
        print(
            f"{len(data.table)} simulated recordings of {subjects} dogs, {rows} rows at {rate:g} Hz, seed {seed}, "
            f"written to {out}"
        )


def _summary(data: "Dataset", seed: int) -> dict[str, object]:
    return {
        "path": str(data.path),
        "simulated": True,
        "seed": seed,
        "n_recordings": len(data.table),
        "n_subjects": len(data.subjects),
        "n_rows": sum(row.n_rows for row in data.table),
        "rate_hz": data.meta.rate_hz,
        "classes": list(data.meta.classes),
        "test_subjects": sorted({row.subject for row in data.table if row.meta["split"] == "test"}),
        "sha256": data.sha256(),
    }
