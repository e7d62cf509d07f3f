"""``conv2d data join``: sensors with their own clocks and rates, from separate files, brought onto one clock."""

from pathlib import Path
from typing import Annotated

import typer

from conv2d.cli.options import JSON


def join_command(
    source: Annotated[Path, typer.Argument(help="The folder of the sensors' files.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The dataset folder to write, new or empty.", show_default=False)],
    mapping: Annotated[Path, typer.Option("--map", help="Which files and columns are what; see docs/joining.md.")],
    rate: Annotated[
        float | None, typer.Option(help="Samples per second; that of the mapping, else the lowest of the sensors.")
    ] = None,
    json: JSON = False,
) -> None:
    """Bring sensors of separate files onto one clock and rate, and tell how each sample came about."""
    from conv2d.cli.output import print_json, print_table
    from conv2d.cli.progress import progress
    from conv2d.data.joining.join import join_sources

    with progress(json=json) as shown:
        task = shown.task("joining recordings")
        result = join_sources(source, out, mapping, rate_hz=rate, progress=lambda done, total: task.advance())
    if json:
        print_json(result.to_dict())
        return
    origin = "as asked" if result.rate_is_given else "the lowest of the sensors"
    print(
        f"{result.n_recordings} recordings of {result.n_subjects} subjects, {result.n_rows} rows at "
        f"{result.rate_hz:g} Hz ({origin}), {result.unlabelled_rows} rows not annotated, written to {out}"
    )
    rows = []
    for name, told in result.sensors.items():
        drifts = told["drift_ppm"]
        between = f"{drifts[0]:.1f} to {drifts[-1]:.1f}" if drifts else "not measured"
        breaks = f"{told['breaks']} ({told['device_resets']} resets)" if told["breaks"] else "0"
        rows.append(
            (
                name, told["recordings"], f"{told['valid_share']:.2%}", f"{told['uncertain_share']:.2%}", between,
                told["rows_dropped"], told["samples_lost_between_packets"], breaks,
            )
        )  # fmt: skip
    print_table(
        ("sensor", "recordings", "valid", "uncertain", "drift, ppm", "rows dropped", "lost in packets", "breaks"), rows
    )
    for label, count in result.labels.items():
        print(f"  {label}: {count} rows, {count / result.rate_hz:.1f} s")
    for note in result.notes:
        print(f"  {note}")
