"""``conv2d``: the table of commands, and the entry point that turns every error into one sentence and an exit code."""

import signal
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Annotated, Any, ClassVar, NamedTuple

import typer
from typer.core import TyperCommand, TyperGroup

import conv2d
from conv2d.cli.errors import INTERRUPTED, report_error


class Entry(NamedTuple):
    """Where a command lives (``module:name`` of a function or of a typer app) and its line in the help."""

    target: str
    summary: str


COMMANDS: Mapping[str, Entry] = {
    "demo": Entry("conv2d.cli.demo:demo", "Simulate data, train, evaluate, write a report."),
    "data": Entry("conv2d.cli.data:app", "Data sets: import, join, audit, leaks, list, simulate."),
    "train": Entry("conv2d.cli.train:train", "Train on a data set and write a run."),
    "eval": Entry("conv2d.cli.eval:evaluate", "Evaluate a run on subjects that it has not seen."),
    "crossval": Entry("conv2d.cli.crossval:crossval", "Cross-validate an experiment by subject."),
    "bench": Entry("conv2d.cli.bench:bench", "Measure the core against its peers on this machine."),
    "run": Entry("conv2d.cli.run:run", "Apply a run to a recording: segments, predictions, picture."),
}


class CommandTable(TyperGroup):
    """A group that knows its commands by the table and imports one only when it is called or its help is asked for."""

    table: ClassVar[Mapping[str, Entry]] = {}

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names in the order of the table."""
        return list(self.table)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return what the help needs of a command, its summary, without importing it."""
        entry = self.table.get(cmd_name)
        return None if entry is None else TyperCommand(cmd_name, help=entry.summary)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[Any, Any, list[str]]:
        """Return the real command that the arguments name, imported now."""
        name, *rest = args
        if name not in self.table:
            close = get_close_matches(name, self.table, n=1)
            ctx.fail(f"unknown command {name!r}; " + (f"did you mean {close[0]!r}?" if close else _listed(self.table)))
        return name, _imported(name, self.table[name].target), rest


def build_app(table: Mapping[str, Entry]) -> typer.Typer:
    """Return the app whose commands are those of a table."""
    app = typer.Typer(
        cls=type("Commands", (CommandTable,), {"table": table}),
        add_completion=False,
        pretty_exceptions_enable=False,
        # Plain help: it is the same everywhere, and rich would take longer to import than all the rest.
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def conv2d_command(
        ctx: typer.Context,
        version: Annotated[bool, typer.Option("--version", help="Show the version and end.")] = False,
        debug: Annotated[
            bool, typer.Option("--debug", help="Show the traceback of an error (also CONV2D_DEBUG=1); goes anywhere.")
        ] = False,
    ) -> None:
        """Motion recordings of several sensors to codes, labelled timelines and honest probabilities."""
        if version:
            typer.echo(f"conv2d {conv2d.__version__}")
            raise typer.Exit
        if ctx.invoked_subcommand is None:
            typer.echo(ctx.get_help())
            raise typer.Exit(2)

    return app


app = build_app(COMMANDS)


def main(argv: Sequence[str] | None = None, *, app: typer.Typer = app) -> int:
    """Run one command line (without the program's name; that of the process by default) and return its exit code.

    0 done, 1 failed, 2 usage, 3 bad data or full disk, 4 gate failed, 5 not measurable here, 130 interrupted. Commands
    return nothing: they end otherwise by raising. Errors go to stderr in one sentence, with ``--json`` as an object.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    own = args[: args.index("--")] if "--" in args else args
    debug = "--debug" in own
    args = [arg for place, arg in enumerate(args) if place >= len(own) or arg != "--debug"]
    try:
        with _told_to_stop():
            code = typer.main.get_command(app).main(args=args, prog_name="conv2d", standalone_mode=False)
        sys.stdout.flush()  # a reader that has gone is noticed here, not after the end
        if code == INTERRUPTED:  # the parser has caught the interrupt and made an exit of it
            raise KeyboardInterrupt
    except (Exception, KeyboardInterrupt) as error:
        return report_error(error, json="--json" in own, debug=debug)
    return code if type(code) is int else 0


@contextmanager
def _told_to_stop() -> Iterator[None]:
    """Let a SIGTERM end the command as Ctrl-C does: what is half written is cleared away. Only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _imported(name: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    found = getattr(import_module(module), attribute)
    if isinstance(found, typer.Typer):
        group = typer.main.get_group(found)
        group.name = name
        return group
    single = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    single.command(name, context_settings={"help_option_names": ["-h", "--help"]})(found)
    return typer.main.get_command(single)


def _listed(table: Mapping[str, Entry]) -> str:
    return f"expected one of {', '.join(table)}"


if __name__ == "__main__":
    sys.exit(main())
