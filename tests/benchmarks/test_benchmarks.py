"""The benchmark compares like with like: peers give what kernels give, and a row says what was asked and reached."""

import json
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.benchmarks import Row, compare, hsmm, machine, run_benchmarks, smoothing
from conv2d.benchmarks import run as run_module
from conv2d.benchmarks.document import asked_text, document, figure_text
from conv2d.benchmarks.measure import Times
from conv2d.cli.main import main
from conv2d_core import hsmm_viterbi, hysteresis, min_dwell

FASTER = Row("hsmm", "Viterbi", "T=10", "numpy", "faster", 290, 400)
SLOWER = Row("hsmm", "forward-backward", "T=10", "Viterbi", "times", 6, 3)


@pytest.mark.parametrize("law", hsmm.LAWS)
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("shape", [(50, 3, 1), (60, 4, 10), (30, 3, 90)])
def test_the_loop_in_numpy_finds_the_score_of_the_kernel(law: str, flat: bool, shape: tuple[int, int, int]) -> None:
    problem = hsmm.make_problem(*shape, law, flat=flat)
    _, score, _ = hsmm_viterbi(*problem.uncensored().arguments)
    assert hsmm.numpy_viterbi(problem) == pytest.approx(score, rel=1e-12)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 9)), max_size=20), st.integers(1, 8))
def test_the_loop_for_numba_merges_as_the_kernel_does(segments: list[tuple[int, int]], frames: int) -> None:
    labels = np.repeat([label for label, _ in segments], [length for _, length in segments]).astype(np.uint8)
    if len(labels) > 0:
        np.testing.assert_array_equal(smoothing.plain_min_dwell(labels, frames), min_dwell(labels, frames))


@given(st.lists(st.sampled_from([0.0, 0.2, 0.3, 0.5, 0.7, 1.0]), min_size=1, max_size=60))
def test_the_switch_in_numpy_is_that_of_the_kernel(values: list[float]) -> None:
    p = np.array(values)
    expected = hysteresis(p, smoothing.ENTER, smoothing.EXIT)
    np.testing.assert_array_equal(smoothing.numpy_hysteresis(p), expected)


def test_two_calls_take_turns() -> None:
    order: list[str] = []
    ours, theirs = compare(lambda: order.append("a" * 1), lambda: order.append("b"), seconds=0.0, fewest=5)
    assert min(ours.calls, theirs.calls) >= 5
    assert 0 < ours.least_ms <= ours.median_ms
    turns = "".join(order)
    assert turns.count("ab") > 3  # neither is measured in one go


@pytest.mark.parametrize(
    ("row", "figure", "reached"),
    [
        (FASTER, 500.0, "aim"), (FASTER, 300.0, "least"), (FASTER, 289.9, "missed"), (FASTER, None, "NOT_MEASURED"),
        (SLOWER, 2.0, "aim"), (SLOWER, 5.0, "least"), (SLOWER, 6.1, "missed"),
        (Row("fsq", "call", "", "empty", "nanoseconds", 100, None), 90.0, "least"),
        (Row("fsq", "share", "", "copy", "share", 0.75, 0.9), 0.95, "aim"),
        (Row("hsmm", "small", "", "itself", "times", None, None), 2.0, ""),
    ],
)  # fmt: skip
def test_a_row_says_what_was_reached(row: Row, figure: float | None, reached: str) -> None:
    assert Row(**{**vars(row), "figure": figure}).reached == reached


def test_what_is_asked_is_written_with_its_direction() -> None:
    assert asked_text(FASTER) == "290x / 400x"
    assert asked_text(SLOWER) == "<= 6x / <= 3x"
    assert asked_text(Row("fsq", "call", "", "empty", "nanoseconds", 100, None)) == "<= 100 ns"
    assert asked_text(Row("hsmm", "small", "", "itself", "times", None, None)) == "-"
    assert figure_text(Row("fsq", "share", "", "copy", "share", None, None), 0.876) == "88 %"


def test_the_page_holds_every_row_and_why_one_is_missing() -> None:
    times = Times(1.5, 1.25, 10)
    measured = Row(**{**vars(FASTER), "figure": 333.0, "ours": times, "theirs": times})
    absent = Row(**{**vars(SLOWER), "reason": "hmmlearn is not installed"})
    page = document([measured, absent], {"cpu": "a processor"}, [("grown", "images/costs.png")], quick=True)
    assert "| Viterbi | T=10 | 1.5 ms (1.25 ms) | numpy | 1.5 ms (1.25 ms) | 333x | 290x / 400x | reached |" in page
    assert "| forward-backward | T=10 | - | Viterbi | - | NOT_MEASURED | <= 6x / <= 3x | NOT_MEASURED |" in page
    assert "- forward-backward, T=10: hmmlearn is not installed" in page
    assert "![grown](images/costs.png)" in page
    assert "| cpu | a processor |" in page
    assert "--quick" in page


def test_absent_peers_leave_rows_that_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_there(name: str) -> ModuleType:
        if name.split(".")[0] in ("hmmlearn", "scipy", "bottleneck", "numba"):
            raise ImportError(name)
        return import_module(name)

    for module in (hsmm, smoothing):
        monkeypatch.setattr(module, "import_module", nothing_there)
    rows = [*hsmm._plain_hmm(1000, 0.01), *smoothing.rows(0.01, quick=True)]
    reasons = {row.reason for row in rows if row.figure is None}
    assert reasons == {
        "hmmlearn is not installed", "neither scipy nor bottleneck is installed", "numba is not installed",
    }  # fmt: skip
    assert all(row.to_dict()["figure"] == "NOT_MEASURED" for row in rows if row.reason)
    assert [row.name for row in rows if row.figure is not None] == ["mode 7 over median 7", "hysteresis"]


def test_a_figure_taken_while_throttled_is_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    flags = tmp_path / "get_throttled"
    monkeypatch.setattr(machine, "_THROTTLED", flags)
    assert machine.is_throttled() is None
    assert machine.machine_facts()["throttled"] == "NOT_MEASURED"
    flags.write_text("50000\n")  # in the past only
    assert machine.is_throttled() is False
    flags.write_text("50004\n")
    assert machine.machine_facts()["throttled"] == "yes"

    def one_row(seconds: float, *, quick: bool) -> list[Row]:
        return [Row(**{**vars(FASTER), "figure": 1.0, "reason": "why"}), FASTER]

    monkeypatch.setitem(run_module.PARTS, "hsmm", one_row)
    measured, missing = run_benchmarks(["hsmm"])
    assert measured.reason == "taken while the processor was THROTTLED; why"
    assert missing.reason == ""


def test_a_part_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^the part is 'hmm', expected one of hsmm, fsq, smoothing, stream$"):
        run_benchmarks(["hmm"])


def test_the_command_writes_a_page_and_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    page = tmp_path / "docs" / "performance.md"
    arguments = ["bench", "--quick", "--only", "hsmm", "--only", "stream", "--json", "--output", str(page)]
    assert main(arguments) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["quick"] is True
    assert {row["part"] for row in told["rows"]} == {"hsmm", "stream"}
    assert sorted(told["costs"]) == ["D", "K", "T"]
    assert all(row["figure"] == "NOT_MEASURED" or row["figure"] > 0 for row in told["rows"])
    text = page.read_text()
    assert all(row["name"] in text for row in told["rows"])
    assert (page.parent / "images" / "costs.png").stat().st_size < 200_000


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--only", "hmm"], "--only is hmm, expected one of hsmm, fsq, smoothing, stream"),
        (["--output", "page.html"], "--output is page.html, expected a page that ends with .md"),
    ],
)
def test_a_wrong_call_ends_with_a_sentence(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    assert told in capsys.readouterr().err
