"""``conv2d data import``: recordings in other forms, brought into a dataset folder."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from conv2d.cli.options import JSON


def import_command(
    kind: Annotated[Literal["csv", "parquet"], typer.Argument(help="What the tables are.", show_default=False)],
    source: Annotated[str, typer.Argument(help="A file, a folder, or a pattern in quotes.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The dataset folder to write, new or empty.", show_default=False)],
    mapping: Annotated[
        Path, typer.Option("--map", help="Which column is what; see conv2d.data.importers.csv_parquet.")
    ],
    json: JSON = False,
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
