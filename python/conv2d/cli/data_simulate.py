"""``conv2d data simulate``: animals whose true behaviour is known."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    sizes: Annotated[Literal["one_breed", "mixed"], typer.Option(help="Body masses of the dogs.")] = "one_breed",
    label_noise: Annotated[
        float, typer.Option(help="Factor on errors of boundaries and swapped bouts; 0 for none.", min=0)
    ] = 1.0,
    drift: Annotated[
        float, typer.Option(help="Factor on drifting offsets and the turning collar; 0 for none.", min=0)
    ] = 1.0,
    drop_outs: Annotated[float, typer.Option(help="Factor on how often samples are lost; 0 for none.", min=0)] = 1.0,
    defects: Annotated[
        str, typer.Option(help="Faults to put in, by commas; conv2d.data.simulation.defects has their names.")
    ] = "",
    truth: Annotated[bool, typer.Option(help="Write the truth beside the recordings.")] = True,
    raw: Annotated[
        Path | None,
        typer.Option(help="Also write a file per sensor, each with a clock of its own, here.", show_default=False),
    ] = None,
    json: JSON = False,
) -> None:
    """Simulate dogs with a neck and a back sensor whose true behaviour is known."""
    from conv2d.cli.output import print_json
    from conv2d.cli.progress import progress
    from conv2d.data.simulate import Simulation, simulate_dataset
    from conv2d.data.simulation.raw import refuse_raw_folder, simulate_raw

    simulation = Simulation(sizes=sizes).levels(label_noise=label_noise, drift=drift, drop_outs=drop_outs)
    faults = tuple(name.strip() for name in defects.split(",") if name.strip())
    chosen: dict[str, Any] = {
        "n_subjects": subjects, "minutes": minutes, "rate_hz": rate, "seed": seed, "simulation": simulation,
    }  # fmt: skip
    if raw is not None:
        refuse_raw_folder(raw, out)
    with progress(json=json) as shown:
        task = shown.task("simulating dogs", subjects)
        data = simulate_dataset(out, **chosen, truth=truth, defects=faults, progress=lambda done, n: task.advance())
        if raw is not None:
            files = shown.task("writing raw files", subjects)
            simulate_raw(raw, **chosen, progress=lambda done, n: files.advance())
    if json:
        print_json({**_summary(data, seed), "defects": list(faults), "raw": None if raw is None else str(raw)})
    else:
        rows = sum(row.n_rows for row in data.table)
        print(
            f"{len(data.table)} simulated recordings of {subjects} dogs, {rows} rows at {rate:g} Hz, seed {seed}, "
            f"written to {out}"
        )
        if raw is not None:
            print(f"raw files of their sensors, each with its own clock, written to {raw}")
        if faults:
            print(f"faults put in: {', '.join(faults)}")


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
