"""The run directory: what ``train`` writes and everything else reads. No pickle; an unknown version is refused."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conv2d.errors import DataError
from conv2d.files import read_json

FORMAT = "conv2d-run/1"
MARK = "provenance.json"  # written last: a folder that has it is whole


def check_run(path: Path) -> dict[str, Any]:
    """Return ``provenance.json`` of a run directory; DataError where it is none or of an unknown version."""
    if not path.is_dir():
        raise DataError(f"E-RUN-003: {path} is not a folder, expected a run directory written by conv2d train")
    if not (path / MARK).is_file():
        raise DataError(
            f"E-RUN-003: {path} has no {MARK}, expected a run directory; a training that was stopped lies in "
            "<run>.partial, call conv2d train again to finish it"
        )
    facts = read_json(path / MARK)
    if facts.get("format") != FORMAT:
        raise DataError(
            f"E-RUN-002: {path} has format {facts.get('format')!r}, this version reads {FORMAT!r}; "
            "train again or use the version that wrote it"
        )
    return facts


def write_history(path: Path, rows: Sequence[dict[str, float | int | str]]) -> None:
    """``history.csv``: a row an epoch of each stage; held-out figures only where they were measured."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
