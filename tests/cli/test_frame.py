"""The command line as a frame: the table of commands, exit codes, sentences, debug, JSON errors."""

import builtins
import errno
import json
import subprocess
import sys
import types
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

import conv2d
from conv2d.cli import main as frame
from conv2d.cli.main import COMMANDS, Entry, app, build_app, main
from conv2d.errors import ConfigError, Conv2dError, DataError, GateFailed, NotMeasurable
from conv2d.logging import structured
from conv2d.logging.structured import setup_logging

FAILURES = {
    "data": DataError("E-DATA-003: recording a has no column back/acc_x; expected 9 channels; check the importer"),
    "config": ConfigError("x.yaml:3: unknown key modl; did you mean 'model'?"),
    "gate": GateFailed("a subject stands on both sides"),
    "here": NotMeasurable("no camera here"),
    "own": Conv2dError("something of ours"),
    "interrupt": KeyboardInterrupt(),
    "full": OSError(errno.ENOSPC, "No space left on device", "runs/x/model.safetensors"),
    "quota": OSError(errno.EDQUOT, "Disk quota exceeded"),
    "wrapped": RuntimeError("PytorchStreamWriter failed writing file: No space left on device (os error 28)"),
    "denied": PermissionError(errno.EACCES, "Permission denied", "/locked/x"),
    "torch": ModuleNotFoundError("No module named 'torch.nn'", name="torch.nn"),
    "memory": MemoryError(),
    "bug": ZeroDivisionError("division\nby zero"),
    "silent": AssertionError(),
}


@pytest.fixture
def table(monkeypatch):
    """A table of commands of its own, in a module that is imported by name."""
    module = types.ModuleType("conv2d_test_commands")

    def fail(kind: str, as_json: Annotated[bool, typer.Option("--json")] = False) -> None:
        """Fail in a chosen way."""
        raise FAILURES[kind]

    def greet(
        words: Annotated[list[str] | None, typer.Argument()] = None, times: Annotated[int, typer.Option()] = 1
    ) -> None:
        """Greet."""
        print(*(words or ["hello"]) * times)

    def leave() -> None:
        """End with a code of its own."""
        raise typer.Exit(4)

    group = typer.Typer()

    @group.command("one")
    def one() -> None:
        """The only command of its group."""
        print("one")

    module.fail, module.greet, module.leave, module.group = fail, greet, leave, group
    monkeypatch.setitem(sys.modules, "conv2d_test_commands", module)
    return build_app(
        {
            "greet": Entry("conv2d_test_commands:greet", "Say hello."),
            "fail": Entry("conv2d_test_commands:fail", "Fail."),
            "leave": Entry("conv2d_test_commands:leave", "Leave."),
            "group": Entry("conv2d_test_commands:group", "Many."),
            "absent": Entry("conv2d_test_absent:x", "Not written yet."),
        }
    )


def test_help_shows_the_table_and_imports_no_command():
    before = set(sys.modules)
    result = CliRunner().invoke(app, ["--help"])
    assert result.exit_code == 0
    for name, entry in COMMANDS.items():
        assert f"  {name}" in result.output
        assert entry.summary in result.output  # whole, not cut at the width
    assert not {name for name in set(sys.modules) - before if name.startswith("conv2d.cli.")}


def test_help_shows_only_what_exists():
    assert list(COMMANDS) == ["demo", "data", "train", "eval", "crossval", "bench", "run"]
    assert all(entry.target.startswith("conv2d.cli.") for entry in COMMANDS.values())


def test_every_command_of_the_table_can_be_imported():
    for name in COMMANDS:
        result = CliRunner().invoke(app, [name, "--help"])
        assert result.exit_code == 0, (name, result.output, result.exception)
        assert f" {name} [OPTIONS]" in result.output


def test_without_a_command_there_is_help_and_a_usage_code(capsys):
    assert main([]) == 2
    assert "Commands:" in capsys.readouterr().out


def test_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"conv2d {conv2d.__version__}\n"


def test_commands_and_groups_run(table, capsys):
    assert main(["greet", "a", "--times", "2"], app=table) == 0
    assert main(["group", "one"], app=table) == 0
    assert capsys.readouterr().out == "a a\none\n"
    assert main(["leave"], app=table) == 4
    assert main(["greet", "--help"], app=table) == 0
    assert "usage: conv2d greet [options] [words]..." in capsys.readouterr().out.lower()
    assert main(["group", "-h"], app=table) == 0
    assert "The only command of its group." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        (["gret"], "error: unknown command 'gret'; did you mean 'greet'?\n"),
        (
            ["zzz"],
            "error: unknown command 'zzz'; expected one of greet, fail, leave, group, absent; see 'conv2d --help'\n",
        ),
        (["--jsn"], "error: no such option: --jsn; see 'conv2d --help'\n"),
        (["fail"], "error: missing argument 'kind'; see 'conv2d fail --help'\n"),
        (["greet", "--times"], "error: option '--times' requires an argument\n"),
        (["group", "two"], "error: no such command 'two'; see 'conv2d group --help'\n"),
    ],
)  # fmt: skip
def test_a_usage_error_is_one_sentence_and_code_2(table, capsys, args, sentence):
    assert main(args, app=table) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.lower() == sentence.lower()  # versions of the parser differ in the case of a name


def test_an_option_of_the_wrong_type_is_a_usage_error(table, capsys):
    assert main(["greet", "--times", "x"], app=table) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("error: invalid value for '--times'")
    assert shown.count("\n") == 1


@pytest.mark.parametrize(
    ("kind", "code", "sentence"),
    [
        ("data", 3, "E-DATA-003: recording a has no column back/acc_x; expected 9 channels; check the importer"),
        ("config", 2, "x.yaml:3: unknown key modl; did you mean 'model'?"),
        ("gate", 4, "a subject stands on both sides"),
        ("here", 5, "no camera here"),
        ("own", 1, "something of ours"),
        ("interrupt", 130, "interrupted; what was begun is not complete"),
        ("full", 3, "the disk is full at runs/x/model.safetensors; free some space or choose another --output"),
        ("quota", 3, "the disk is full; free some space or choose another --output"),
        ("wrapped", 3, "the disk is full; free some space or choose another --output"),
        ("denied", 1, "/locked/x: Permission denied; check the path and its permissions"),
        ("torch", 1, "this needs torch.nn, which is not installed; install it with pip install 'conv2d[train]'"),
        ("memory", 1, "out of memory; use fewer or shorter recordings at a time, or a machine with more"),
        ("bug", 1, "unexpected ZeroDivisionError: division by zero; add --debug (or CONV2D_DEBUG=1) for the traceback"),
        ("silent", 1, "unexpected AssertionError: no message; add --debug (or CONV2D_DEBUG=1) for the traceback"),
    ],
)
def test_every_error_has_its_sentence_and_code(table, capsys, monkeypatch, kind, code, sentence):
    monkeypatch.delenv("CONV2D_DEBUG", raising=False)
    assert main(["fail", kind], app=table) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == f"error: {sentence}\n"


def test_an_error_caused_by_a_full_disk_is_a_full_disk(table, capsys, monkeypatch):
    error = RuntimeError("could not save")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setitem(FAILURES, "bug", error)
    assert main(["fail", "bug"], app=table) == 3
    assert "the disk is full" in capsys.readouterr().err


def test_an_interrupt_is_130_though_the_parser_turns_it_into_an_exit(table, capsys):
    assert main(["fail", "interrupt"], app=table) == 130
    assert "interrupted" in capsys.readouterr().err


def test_with_json_an_error_is_an_object(table, capsys):
    assert main(["fail", "data", "--json"], app=table) == 3
    shown = capsys.readouterr()
    assert shown.out == ""
    body = json.loads(shown.err)["error"]
    assert (body["code"], body["exit_code"], body["kind"]) == ("E-DATA-003", 3, "DataError")
    assert body["message"].startswith("E-DATA-003: recording a")
    assert main(["fail", "bug", "--json"], app=table) == 1
    assert json.loads(capsys.readouterr().err)["error"]["code"] is None
    assert main(["gret", "--json"], app=table) == 2
    assert json.loads(capsys.readouterr().err)["error"]["kind"] == "UsageError"


@pytest.mark.parametrize("args", [["--debug", "fail", "bug"], ["fail", "bug", "--debug"], ["fail", "bug"]])
def test_debug_shows_the_traceback(table, capsys, monkeypatch, args):
    monkeypatch.setenv("CONV2D_DEBUG", "" if "--debug" in args else "1")
    assert main(args, app=table) == 1
    shown = capsys.readouterr().err
    assert "Traceback (most recent call last)" in shown
    assert shown.splitlines()[-1] == "error: unexpected ZeroDivisionError: division by zero"


def test_after_a_double_dash_nothing_is_ours(table, capsys):
    assert main(["greet", "--", "--debug"], app=table) == 0
    assert capsys.readouterr().out == "--debug\n"


def test_a_command_whose_module_is_missing_is_a_bug_of_ours(table, capsys, monkeypatch):
    monkeypatch.delenv("CONV2D_DEBUG", raising=False)
    assert main(["absent"], app=table) == 1
    assert "unexpected ModuleNotFoundError: No module named 'conv2d_test_absent'" in capsys.readouterr().err


def test_a_failure_is_written_into_the_log_of_the_run(table, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(structured, "_current", structured._Log())
    setup_logging(output_file=tmp_path / "log.jsonl")
    main(["fail", "gate"], app=table)
    line = json.loads((tmp_path / "log.jsonl").read_text())
    assert (line["level"], line["event"], line["exit_code"]) == ("error", "failed", 4)
    (tmp_path / "log.jsonl").unlink()
    tmp_path.rmdir()
    assert main(["fail", "gate"], app=table) == 4  # the folder is gone: the sentence still comes
    assert "a subject stands on both sides" in capsys.readouterr().err


def test_a_reader_that_goes_away_ends_the_command_quietly(tmp_path):
    script = tmp_path / "many.py"
    script.write_text(
        "import sys, types\n"
        "from conv2d.cli.main import Entry, build_app, main\n"
        "module = types.ModuleType('many_lines')\n"
        "def many() -> None:\n"
        "    for number in range(100_000):\n"
        "        print(number)\n"
        "module.many = many\n"
        "sys.modules['many_lines'] = module\n"
        "sys.exit(main(['many'], app=build_app({'many': Entry('many_lines:many', 'x')})))\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert error == b""


def test_the_entry_point_takes_the_arguments_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["conv2d", "--version"])
    assert main() == 0
    assert capsys.readouterr().out.startswith("conv2d ")


def test_frame_uses_no_rich_for_help(monkeypatch):
    real = builtins.__import__

    def without_rich(name, *args, **kwargs):
        assert not name.startswith("rich"), name
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_rich)
    assert CliRunner().invoke(frame.app, ["--help"]).exit_code == 0
