"""What a command says at its end: a table for a person, one JSON object for a machine. Always on stdout."""

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object.

    Raises ``ValueError`` for NaN or infinity, which JSON does not have: what is not known is null or "NOT_MEASURED".

    >>> print_json({"accuracy": 0.9})
    {"accuracy": 0.9}
    """
    print(json.dumps(values, ensure_ascii=False, allow_nan=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str | None = None) -> None:
    """Print a table: the first column text, the others to the right; floats with three decimals, None as a dash.

    On a terminal it is drawn to its width; elsewhere every row is one line, however long.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title) if title else None, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for place, column in enumerate(columns):
        table.add_column(Text(column), justify="right" if place else "left", no_wrap=not sys.stdout.isatty())
    for row in rows:
        table.add_row(*(Text(_cell(value)) for value in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 10_000).print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)
