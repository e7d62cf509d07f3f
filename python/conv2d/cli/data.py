"""``conv2d data``: commands over data sets, one module each."""

import typer

from conv2d.cli.data_audit import audit
from conv2d.cli.data_import import FORMATS_HELP, import_command
from conv2d.cli.data_join import join_command
from conv2d.cli.data_leaks import leaks
from conv2d.cli.data_list import list_command
from conv2d.cli.data_simulate import simulate

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Data sets: import, join, audit, leaks, list, simulate.",
)
app.command("audit")(audit)
app.command("import", epilog=FORMATS_HELP)(import_command)
app.command("join")(join_command)
app.command("leaks")(leaks)
app.command("list")(list_command)
app.command("simulate")(simulate)
