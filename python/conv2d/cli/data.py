"""``conv2d data``: import recordings into a dataset folder, or simulate one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from conv2d.data import Dataset

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Import recordings into a data set, or simulate one.",
)
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]


@app.command("import")
def import_command(
    kind: Annotated[Literal["csv", "parquet"], typer.Argument(help="What the tables are.", show_default=False)],
    source: Annotated[str, typer.Argument(help="A file, a folder, or a pattern in quotes.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The dataset folder to write, new or empty.", show_default=False)],
    mapping: Annotated[
        Path, typer.Option("--map", help="Which column is what; see conv2d.data.importers.csv_parquet.")
    ],
    json: Json = False,
) -> None:
    """Bring tables of samples into a dataset folder, as a mapping file says."""
    from conv2d.cli.output import print_json
    from conv2d.cli.progress import progress
    from conv2d.data.importers.csv_parquet import import_tables

    with progress(json=json) as shown:
        task = shown.task("importing files")
        result = import_tables(source, out, mapping, kind=kind, progress=lambda done, total: task.advance())
    if json:
        print_json(result.to_dict())
        return
    origin = "measured, as the mapping gives none" if result.rate_is_measured else "as the mapping says"
    print(
        f"{result.n_recordings} recordings of {result.n_subjects} subjects, {result.n_rows} rows at "
        f"{result.rate_hz:g} Hz ({origin}), {result.unlabelled_rows} rows not annotated, written to {out}"
    )
    for label, rows in result.labels.items():
        print(f"  {label}: {rows} rows, {rows / result.rate_hz:.1f} s")


@app.command()
def simulate(
    out: Annotated[Path, typer.Argument(help="The dataset folder to write, new or empty.", show_default=False)],
    subjects: Annotated[int, typer.Option(help="Dogs; the last third is marked as test.", min=1)] = 12,
    minutes: Annotated[float, typer.Option(help="Recorded per dog, in two recordings.", min=0.5)] = 5.0,
    rate: Annotated[float, typer.Option(help="Samples per second.", min=25)] = 100.0,
    seed: Annotated[int, typer.Option(help="The same seed gives the same samples.", min=0)] = 0,
    json: Json = False,
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
