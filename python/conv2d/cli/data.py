"""``conv2d data``: commands over data sets, one module each."""

import typer

from conv2d.cli.data_import import import_command
from conv2d.cli.data_simulate import simulate

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Data sets: import, join, audit, leaks, list, simulate.",
)
app.command("import")(import_command)
app.command("simulate")(simulate)
