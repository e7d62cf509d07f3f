"""Options that several commands share, each said once."""

from pathlib import Path
from typing import Annotated

import typer

OVERRIDES = Annotated[
    list[str] | None, typer.Argument(help="key=value ... on top of the experiment.", show_default=False)
]
CONFIG = Annotated[Path | None, typer.Option(help="Experiment file, or the name of a packaged one (demo).")]
DATA = Annotated[Path | None, typer.Option(help="Data set folder; data.path of the experiment by default.")]
SEED = Annotated[int | None, typer.Option(min=0, max=2**32 - 1, help="Seed; that of the experiment by default.")]
JSON = Annotated[bool, typer.Option("--json", help="Print one JSON object and no progress.")]
