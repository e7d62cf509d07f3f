"""The log of a run: every line is JSON, complete, and says in which run it was written."""

import errno
import json
import logging
import math
import os
import threading
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.logging import structured
from conv2d.logging.counters import count, take_counts
from conv2d.logging.jsonlines import append_line, to_json
from conv2d.logging.progress import NullProgress
from conv2d.logging.structured import bind_run, current_logger, log_counters, log_fsq_config, setup_logging


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No log and no counts of another test."""
    monkeypatch.setattr(structured, "_current", structured._Log())
    take_counts()


def refuse(constant):
    raise AssertionError(f"{constant} is not JSON")


def lines(file):
    return [json.loads(line, parse_constant=refuse) for line in Path(file).read_text("utf-8").splitlines()]


def test_a_line_has_time_level_event_run_and_fields(tmp_path):
    file = tmp_path / "runs" / "x" / "log.jsonl"  # folders are made
    logger = setup_logging(name="conv2d", output_file=file)
    bind_run(config_hash="ab12", seed=3, levels=[8, 6, 5], data_hash="cd34")
    logger.info("epoch", number=1, loss=0.5)
    (line,) = lines(file)
    assert list(line) == [
        "timestamp", "level", "logger", "event", "config_hash", "seed", "levels", "data_hash", "number", "loss",
    ]  # fmt: skip
    assert (line["level"], line["event"], line["logger"], line["levels"]) == ("info", "epoch", "conv2d", [8, 6, 5])
    assert line["timestamp"].endswith("Z")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(line["timestamp"])).total_seconds()) < 60


def test_the_calls_of_the_first_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    setup_logging(name="conv2d", output_file="training.log")
    log_fsq_config(levels=[8, 6, 5], embedding_dim=64, codebook_size=240)
    (line,) = lines("training.log")
    assert (line["event"], line["fsq_levels"], line["codebook_size"]) == ("fsq_config", [8, 6, 5], 240)
    with pytest.raises(UsageError, match=r"codebook_size=239, but levels \[8, 6, 5\] make 240 codes"):
        log_fsq_config(levels=[8, 6, 5], embedding_dim=64, codebook_size=239)


def test_only_levels_at_or_above_the_asked_one_are_written(tmp_path):
    logger = setup_logging(output_file=tmp_path / "log", level="WARNING")
    for write in (logger.debug, logger.info, logger.warning, logger.error):
        write("x")
    assert [line["level"] for line in lines(tmp_path / "log")] == ["warning", "error"]
    with pytest.raises(UsageError, match=r"log level 'warn' is not one of debug, .*; did you mean 'warning'\?"):
        setup_logging(output_file=tmp_path / "log", level="warn")


def test_a_second_setup_begins_a_new_run_and_doubles_nothing(tmp_path):
    first = setup_logging(output_file=tmp_path / "one")
    bind_run(seed=1)
    second = setup_logging(output_file=tmp_path / "two")
    second.info("b")
    first.info("a")
    third = setup_logging(output_file=tmp_path / "two")
    third.info("c")
    assert current_logger() is third
    assert [(line["event"], line.get("seed")) for line in lines(tmp_path / "one")] == [("a", 1)]
    assert [(line["event"], line.get("seed")) for line in lines(tmp_path / "two")] == [("b", None), ("c", None)]


def test_the_standard_library_is_left_alone(tmp_path):
    before = (list(logging.getLogger().handlers), logging.getLogger().level, set(logging.Logger.manager.loggerDict))
    setup_logging(output_file=tmp_path / "log").info("x")
    after = (list(logging.getLogger().handlers), logging.getLogger().level, set(logging.Logger.manager.loggerDict))
    assert after == before
    assert logging.__file__ is not None
    assert "conv2d" not in logging.__file__


def test_no_file_stays_open(tmp_path):
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("open files are listed on Linux only")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        setup_logging(output_file=tmp_path / "log").info("x")
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_log_follows_no_change_of_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    logger = setup_logging(output_file="log")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path / "sub")
    logger.info("x")
    assert len(lines(tmp_path / "log")) == 1


def test_a_line_cut_short_by_a_crash_is_ended_first(tmp_path):
    (tmp_path / "log").write_text('{"event": "whole"}\n{"event": "ha')
    setup_logging(output_file=tmp_path / "log").info("after")
    text = (tmp_path / "log").read_text().splitlines()
    assert text[1] == '{"event": "ha'
    assert json.loads(text[2])["event"] == "after"


def test_threads_write_whole_lines(tmp_path):
    logger = setup_logging(output_file=tmp_path / "log")

    def work(number):
        for step in range(100):
            logger.info("x" * 300, number=number, step=step)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted((line["number"], line["step"]) for line in lines(tmp_path / "log")) == [
        (n, step) for n in range(4) for step in range(100)
    ]


def test_a_short_write_is_a_full_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda descriptor, data: len(data) - 1)
    with pytest.raises(OSError, match="No space left") as caught:
        append_line(tmp_path / "log", "x")
    assert caught.value.errno == errno.ENOSPC


def test_reserved_names_are_kept_apart(tmp_path):
    logger = setup_logging(output_file=tmp_path / "log")
    logger.info("x", level=5, timestamp="never")
    (line,) = lines(tmp_path / "log")
    assert (line["level"], line["level_"], line["timestamp_"]) == ("info", 5, "never")
    with pytest.raises(UsageError, match="bind_run got level, which every line has already"):
        bind_run(level=3)


@pytest.mark.parametrize("verb", [bind_run, log_counters, lambda: log_fsq_config([2], 1, 2)])
def test_verbs_before_setup_say_what_is_missing(verb):
    with pytest.raises(UsageError, match=r"was called before setup_logging; call setup_logging\(output_file=...\)"):
        verb()


def test_counters_end_up_in_one_event(tmp_path):
    count("windows_interpolated", 3)  # before there is a log
    setup_logging(output_file=tmp_path / "log")
    count("windows_interpolated")
    count("recordings_skipped", 0)
    log_counters()
    log_counters()
    (line,) = lines(tmp_path / "log")
    assert line["event"] == "counters"
    assert line["counters"] == {"recordings_skipped": 0, "windows_interpolated": 4}
    with pytest.raises(ValueError, match="counter 'x' got -1; expected a number of at least 0"):
        count("x", -1)


def test_counting_from_threads_loses_nothing():
    threads = [threading.Thread(target=lambda: [count("x") for _ in range(1000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert take_counts() == {"x": 4000}


def test_an_exception_is_written_with_its_traceback(tmp_path):
    logger = setup_logging(output_file=tmp_path / "log")
    try:
        raise ValueError("seven")
    except ValueError:
        logger.exception("failed")
    (line,) = lines(tmp_path / "log")
    assert line["level"] == "error"
    assert "ValueError: seven" in line["exception"]


class Color(Enum):
    RED = "red"


def test_values_become_json():
    values = {
        "scalar": np.float32(0.5), "int": np.int64(3), "flag": np.bool_(True), "array": np.arange(3), "set": {2, 1},
        "path": Path("a/b"), "enum": Color.RED, "error": ValueError("x"), "nested": {1: (np.nan, [np.inf])},
        "zero_d": np.array(-np.inf), "bytes": b"x", "surrogate": "\udcff",
    }  # fmt: skip
    assert json.loads(to_json(values), parse_constant=refuse) == {
        "scalar": 0.5, "int": 3, "flag": True, "array": [0, 1, 2], "set": [1, 2], "path": "a/b", "enum": "red",
        "error": "x", "nested": {"1": [None, [None]]}, "zero_d": None, "bytes": "b'x'", "surrogate": "\udcff",
        "non_finite": {"nested.1[0]": "nan", "nested.1[1][0]": "inf", "zero_d": "-inf"},
    }  # fmt: skip


def test_text_that_is_no_unicode_does_not_stop_the_log(tmp_path):
    setup_logging(output_file=tmp_path / "log").info("bad name: \udcff\nsecond line")
    assert len((tmp_path / "log").read_bytes().splitlines()) == 1


def test_a_value_that_contains_itself_is_cut():
    loop = {}
    loop["again"] = loop
    assert json.loads(to_json({"loop": loop}))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "non_finite"), values))
def test_any_values_make_one_line_of_json_that_keeps_the_finite_ones(fields):
    def cleaned(value):
        if isinstance(value, float) and not math.isfinite(value):
            return None
        if isinstance(value, dict):
            return {key: cleaned(inner) for key, inner in value.items()}
        return [cleaned(inner) for inner in value] if isinstance(value, list) else value

    line = to_json(fields)
    assert "\n" not in line
    read = json.loads(line, parse_constant=refuse)
    read.pop("non_finite", None)
    assert read == cleaned(fields)


def test_progress_that_nobody_sees_lets_errors_through():
    def work():
        with NullProgress() as progress, progress.task("x", 3) as task:
            task.advance(note="y")
            progress.say("z")
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        work()
