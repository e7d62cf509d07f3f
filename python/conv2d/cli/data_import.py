"""``conv2d data import``: recordings in other forms, brought into a dataset folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conv2d.cli.options import JSON
from conv2d.data.importers.registry import format_lines

if TYPE_CHECKING:
    from conv2d.data.importers.result import ImportResult
    from conv2d.logging.progress import Progress, Task

# The sign \b keeps the lines apart.
FORMATS_HELP = "\b\nFormats:\n" + "\n".join(f"  {line}" for line in format_lines())


def import_command(
    format: Annotated[str, typer.Argument(help="What the source is, see below.", show_default=False)],
    source: Annotated[str, typer.Argument(help="A file, a folder, or a pattern in quotes.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The dataset folder to write, new or empty.", show_default=False)],
    mapping: Annotated[
        Path | None, typer.Option("--map", help="Which column is what (csv, parquet), or names (devices, labels).")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="boris, elan: the data set whose recordings get the labels.")
    ] = None,
    preset: Annotated[str | None, typer.Option(help="What of a set is taken; the first is the default.")] = None,
    json: JSON = False,
) -> None:
    """Bring recordings in another form into a dataset folder."""
    from conv2d.cli.output import print_json
    from conv2d.cli.progress import progress
    from conv2d.data.importers.registry import import_dataset

    with progress(json=json) as shown:
        watched = _Watched(shown, f"importing {format}")
        result = import_dataset(format, source, out, mapping, preset=preset, data=data, progress=watched)
    if json:
        print_json(result.to_dict())
    else:
        _print(result)


class _Watched:
    """What an importer reports to: it says how much is done of how much."""

    def __init__(self, shown: "Progress", description: str) -> None:
        self._shown = shown
        self._description = description
        self._task: Task | None = None
        self._done = 0

    def __call__(self, done: int, total: int) -> None:
        if self._task is None:
            self._task = self._shown.task(self._description, total)
        self._task.advance(done - self._done)
        self._done = done


def _print(result: "ImportResult") -> None:
    origin = "measured" if result.rate_is_measured else "as declared"
    print(
        f"{result.n_recordings} recordings of {result.n_subjects} subjects, {result.n_rows} rows at "
        f"{result.rate_hz:g} Hz ({origin}), {result.unlabelled_rows} rows not annotated, written to {result.path}"
    )
    for label, rows in result.labels.items():
        print(f"  {label}: {rows} rows, {rows / result.rate_hz:.1f} s")
    for note in result.notes:
        print(f"note: {note}")
