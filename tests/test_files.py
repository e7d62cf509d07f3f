"""Files and folders written aside: whole or not there, and nothing of anyone else's is ever lost."""

import fcntl
import json
import math
from pathlib import Path

import pytest

from conv2d.errors import DataError, UsageError
from conv2d.files import folder_aside, is_free, read_json, refuse_foreign, write_json

MARK = "done.json"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(path: Path, text: str, **options: str) -> None:
    with folder_aside(path, mark=MARK, **options) as aside:
        (aside / "text").write_text(text)
        (aside / MARK).write_text("{}")


def stop(path: Path, error: BaseException, *files: str, **options: str) -> None:
    """Write some files, and fail."""
    with folder_aside(path, mark=MARK, **options) as aside:
        for file in files:
            (aside / file).parent.mkdir(exist_ok=True)
            (aside / file).write_text("x")
        raise error


def test_a_folder_appears_at_the_end_and_not_before(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "results"
    with folder_aside(path, mark=MARK) as aside:
        (aside / MARK).write_text("{}")
        assert not path.exists()
    assert names(path) == [MARK]
    assert names(path.parent) == ["results"]


def test_after_an_error_nothing_is_left_and_earlier_results_stay(tmp_path: Path) -> None:
    path = tmp_path / "results"
    with pytest.raises(KeyboardInterrupt):
        stop(path, KeyboardInterrupt(), "half")
    assert names(tmp_path) == []
    fill(path, "first")
    with pytest.raises(OSError, match="full"):
        stop(path, OSError("full"), "half")
    assert names(tmp_path) == ["results"]
    assert (path / "text").read_text() == "first"


@pytest.mark.parametrize("options", [{}, {"keep": "*"}])
def test_two_cannot_write_one_folder_at_a_time(tmp_path: Path, options: dict[str, str]) -> None:
    path = tmp_path / "results"
    with folder_aside(path, mark=MARK, **options) as aside:
        (aside / "text").write_text("mine")
        with pytest.raises(UsageError, match=r"E-OUT-004: .*results\.(writing|partial) is being written by another"):
            fill(path, "other", **options)
        (aside / MARK).write_text("{}")
    assert (path / "text").read_text() == "mine"
    fill(path, "later", **options)
    assert (path / "text").read_text() == "later"
    assert names(tmp_path) == ["results"]


def test_a_folder_that_another_has_just_finished_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results"
    lock = fcntl.flock

    def late(handle: int, how: int) -> None:
        (tmp_path / "results.writing").rename(path)  # the other's last step, between our opening and our lock
        lock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with pytest.raises(UsageError, match="E-OUT-004"):
        fill(path, "other")
    assert names(tmp_path) == ["results"]
    assert names(path) == []


def test_a_folder_of_the_same_kind_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "results"
    fill(path, "first")
    (path / "old").write_text("x")
    (tmp_path / "results.writing").mkdir()  # of a process that was killed
    fill(path, "second")
    assert names(path) == [MARK, "text"]
    assert (path / "text").read_text() == "second"
    assert names(tmp_path) == ["results"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_anything_else_is_refused_before_anything_is_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine"
    if kind == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match=r"E-OUT-001: .*mine exists and is not a folder with done\.json in it"):
        fill(path, "other")
    assert names(tmp_path) == ["mine"]


def test_a_place_where_no_folder_can_be_made_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(NotADirectoryError, match="/file'"):
        refuse_foreign(tmp_path / "file" / "deep" / "out", mark=MARK)
    monkeypatch.setattr("os.access", lambda path, _: Path(path) != tmp_path)  # an administrator may write anywhere
    with pytest.raises(PermissionError, match=str(tmp_path)):
        refuse_foreign(tmp_path / "new" / "out", mark=MARK)


def test_the_working_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "below").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here" / "below")
    for path in (Path(), Path(".."), tmp_path / "here"):
        with pytest.raises(UsageError, match=r"E-OUT-001: .* is the working directory or holds it"):
            refuse_foreign(path, mark=MARK)
    fill(Path("../beside"), "x")
    assert names(tmp_path / "here") == ["below", "beside"]


def test_a_link_goes_on_pointing_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    fill(tmp_path / "link", "first")
    fill(tmp_path / "link", "second")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "text").read_text() == "second"
    assert names(tmp_path) == ["disk", "link"]


def test_work_that_can_be_gone_on_with_stays_and_no_result_is_written_over_it(tmp_path: Path) -> None:
    path, full = tmp_path / "run", OSError("full")
    with pytest.raises(OSError, match="full"):
        stop(path, full, "log", "final/begun", keep="*/last")
    assert names(tmp_path) == []  # nothing reached that would be worth keeping
    with pytest.raises(OSError, match="full"):
        stop(path, full, "log", "final/last", keep="*/last")
    assert names(tmp_path) == ["run.partial"]
    with pytest.raises(OSError, match="full"):
        stop(path, full, "other")
    assert names(tmp_path) == ["run.partial"]
    with folder_aside(path, mark=MARK, keep="*/last") as aside:
        assert names(aside) == ["final", "log"]
    assert names(tmp_path) == ["run"]


def test_a_folder_that_stood_there_under_the_name_of_a_stopped_one_is_not_removed(tmp_path: Path) -> None:
    (tmp_path / "run.partial").mkdir()
    (tmp_path / "run.partial" / "thesis.tex").write_text("mine")
    with pytest.raises(OSError, match="full"):
        stop(tmp_path / "run", OSError("full"), keep="*/last")
    assert names(tmp_path / "run.partial") == ["thesis.tex"]


def test_free_is_what_is_not_there_or_empty(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    assert is_free(tmp_path / "absent")
    assert is_free(tmp_path / "empty")
    assert not is_free(tmp_path / "file")
    assert not is_free(tmp_path)


def test_json_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ä": 1.5})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"b": math.nan})
    assert read_json(tmp_path / "a.json") == {"ä": 1.5}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is missing"),
        (b'{"a": ', "cannot be read as JSON"),
        (b"\xff\xfe", "cannot be read as JSON"),
        (b"[1]", "holds a list, expected an object"),
    ],
)
def test_json_that_is_none_is_said(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DataError, match=f"E-RUN-001: .*a.json {message}") as caught:
        read_json(tmp_path / "a.json")
    assert json.dumps(str(caught.value)).count("\\n") == 0
