"""What a person sees of long work and of results, and what a machine gets instead."""

import io
import json
import math
import sys

import pytest

from conv2d.cli.output import print_json, print_table
from conv2d.cli.progress import Bars, Lines, progress
from conv2d.logging.progress import NullProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_the_kind_of_progress_follows_the_stream(monkeypatch):
    assert isinstance(progress(stream=io.StringIO()), Lines)
    assert isinstance(progress(stream=Terminal()), Bars)
    assert isinstance(progress(json=True, stream=Terminal()), NullProgress)
    monkeypatch.setattr(sys, "stderr", stream := io.StringIO())
    with progress() as shown:
        shown.say("hello")
    assert stream.getvalue() == "hello\n"


def test_lines_come_at_the_begin_now_and_then_and_at_the_end():
    stream, clock = io.StringIO(), Clock()
    with Lines(stream, interval_s=5, clock=clock) as shown:
        task = shown.task("training fold 1/5", 20)
        for step in range(20):
            clock.now += 1
            task.advance(note=f"loss {1 / (step + 1):.2f}")
        task.done(note="loss 0.05")
        task.done()
        open_end = shown.task("reading")
        clock.now += 6
        open_end.advance(3)
    assert stream.getvalue().splitlines() == [
        "training fold 1/5 ...",
        "training fold 1/5 5/20  loss 0.20",
        "training fold 1/5 10/20  loss 0.10",
        "training fold 1/5 15/20  loss 0.07",
        "training fold 1/5 20/20  loss 0.05",
        "training fold 1/5 done in 20.0 s  loss 0.05",
        "reading ...",
        "reading 3",
        "reading done in 6.0 s",
    ]


def test_a_task_ends_with_its_block_unless_an_error_ends_it():
    stream = io.StringIO()
    with Lines(stream, clock=Clock()) as shown, shown.task("good", 1) as task:
        task.advance()
    with pytest.raises(ValueError, match="x"), Lines(stream, clock=Clock()) as shown, shown.task("bad", 1):
        raise ValueError("x")
    assert stream.getvalue().splitlines() == ["good ...", "good done in 0.0 s", "bad ..."]


def test_bars_show_description_note_and_count():
    stream = Terminal()
    with Bars(stream) as shown:
        with shown.task("training [fold] 1/5", 4) as task:
            task.advance(3, note="loss [0.31]")
        shown.task("reading").advance()
        shown.say("a line [of its own]")
    text = stream.getvalue()
    for part in ("training [fold] 1/5", "loss [0.31]", "3/3", "reading", "a line [of its own]"):
        assert part in text


def test_bars_leave_piped_output_alone(monkeypatch):
    monkeypatch.setattr(sys, "stdout", piped := io.StringIO())
    stream = Terminal()
    with Bars(stream) as shown:
        shown.task("x", 1)
        print("result")
    assert piped.getvalue() == "result\n"
    assert "result" not in stream.getvalue()


def test_bars_let_an_error_through_and_stop():
    stream = Terminal()

    def work():
        with Bars(stream) as shown:
            shown.task("x", 3).advance()
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        work()
    assert "1/3" in stream.getvalue()


def test_a_table_off_a_terminal_has_a_line_a_row_however_long(capsys):
    long = "w" * 300
    print_table(["model", "macro-F1"], [["conv2d [fsq]", 0.91234], [long, None], ["n", 3]], title="window [level]")
    lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == "window [level]"
    assert any(line.startswith("conv2d [fsq]") and line.endswith("0.912") for line in lines)
    assert any(line.startswith(long) and line.endswith("-") for line in lines)
    assert any(line.startswith("n ") and line.endswith(" 3") for line in lines)
    assert "\x1b" not in "".join(lines)


def test_json_has_no_nan(capsys):
    print_json({"accuracy": 0.5, "subject": "Bär"})
    assert json.loads(capsys.readouterr().out) == {"accuracy": 0.5, "subject": "Bär"}
    with pytest.raises(ValueError, match="JSON compliant"):
        print_json({"accuracy": math.nan})
