"""``conv2d data list``: the data sets below a folder, or the recordings of one."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from conv2d.cli.options import JSON

if TYPE_CHECKING:
    from conv2d.data.listing import Listed, ListedRecording


def list_command(
    path: Annotated[Path, typer.Argument(help="A data set, or a folder with data sets below it.", show_default=False)],
    json: JSON = False,
) -> None:
    """List the data sets below a folder, or the recordings of one data set by subject."""
    from conv2d.cli.output import print_json
    from conv2d.data import Dataset
    from conv2d.data.listing import find_datasets, list_dataset, list_recordings

    found = find_datasets(path)
    if found != [path]:
        sets = [list_dataset(folder) for folder in found]
        if json:
            print_json({"path": str(path), "datasets": [each.to_dict() for each in sets]})
        else:
            _print_datasets(sets, path)
        return
    recordings = list_recordings(Dataset.open(path))
    whole = list_dataset(path)
    if json:
        print_json({**whole.to_dict(), "recordings": [each.to_dict() for each in recordings]})
    else:
        _print_recordings(whole, recordings)


def _print_datasets(sets: "list[Listed]", path: Path) -> None:
    from conv2d.cli.output import print_table

    rows: list[list[Any]] = []
    for each in sets:
        if each.fault:
            continue
        size = f"{len(each.sensors)} x {len(each.channels)}"
        share = None if each.labelled_share is None else f"{each.labelled_share:.0%}"
        figures = [each.subjects, each.recordings, f"{each.hours:.2f}", f"{each.rate_hz:g}", size, len(each.classes)]
        rows.append([each.name, *figures, share, _below(each.path, path)])
    columns = ["data set", "subjects", "recordings", "hours", "Hz", "sensors x channels", "classes", "labelled"]
    if rows:
        print_table([*columns, "folder"], rows)
    for each in sets:
        if each.fault:
            print(f"{_below(each.path, path)} cannot be opened: {each.fault}")


def _print_recordings(whole: "Listed", recordings: "list[ListedRecording]") -> None:
    from conv2d.cli.output import print_table

    simulated = " (simulated)" if whole.simulated else ""
    print(
        f"{whole.name}{simulated}: {whole.subjects} subjects, {whole.recordings} recordings, {whole.hours:.2f} h at "
        f"{whole.rate_hz:g} Hz; sensors {', '.join(whole.sensors)}; channels {', '.join(whole.channels)}"
    )
    further = list(dict.fromkeys(name for each in recordings for name in each.further))
    rows: list[list[Any]] = []
    for place, each in enumerate(recordings):
        first = place == 0 or recordings[place - 1].subject != each.subject
        share = None if each.labelled_share is None else f"{each.labelled_share:.0%}"
        labels = ", ".join(each.labels[:3]) + (f" and {len(each.labels) - 3} more" if len(each.labels) > 3 else "")
        own = [each.further.get(name) or None for name in further]
        rows.append([each.subject if first else "", each.recording, f"{each.seconds:.1f}", share, *own, labels])
    print_table(["subject", "recording", "seconds", "labelled", *further, "labels, commonest first"], rows)


def _below(folder: Path, path: Path) -> str:
    return "." if folder == path else str(folder.relative_to(path))
