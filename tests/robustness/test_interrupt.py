"""An import that ends before its time, by whatever hand, leaves nothing under the name of its result."""

import json
import os
import resource
import signal
import subprocess
import sys
import time

import pytest
import yaml

from conv2d.data import Dataset
from conv2d.data.importers.csv_parquet import import_tables

from .good_table import COLUMNS, mapping_with

N = 400_000
MAPPING = mapping_with(label=..., recording="per_file", subject={"constant": "rex"})
COMMAND = "import sys; from conv2d.cli.main import main; sys.exit(main())"


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """A table whose import takes a second or so, and its mapping file."""
    folder = tmp_path_factory.mktemp("table")
    with (folder / "move.csv").open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        file.writelines(f"{i / 50:.2f},{i % 97},{i % 89},rex,1,sit\n" for i in range(N))
    (folder / "map.yaml").write_text(yaml.safe_dump(MAPPING))
    return folder


def begin(table, out, **options):
    """The command in a process group of its own, as a shell starts it."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "data", "import", "csv", table / "move.csv", out, "--map", table / "map.yaml",
         "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, **options,
    )  # fmt: skip


def wait_for_work(process, out, share):
    """Wait until the import has begun to write, and a while longer."""
    until = time.monotonic() + 60
    aside = out.with_name(out.name + ".writing")
    while not aside.exists() and process.poll() is None and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(0.3 * share)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL], ids=lambda s: s.name)
def test_an_import_that_is_ended_leaves_nothing_under_its_name(table, tmp_path, how, share):
    out = tmp_path / "out"
    process = begin(table, out)
    wait_for_work(process, out, share)
    os.killpg(process.pid, how)
    _, said = process.communicate(timeout=60)
    if process.returncode == 0 or out.exists():  # it was in its place before the signal came, and then it is whole
        assert Dataset.open(out).load("move").n_samples == N
        return
    left = {p.name for p in tmp_path.iterdir()}
    if how is not signal.SIGKILL:
        assert process.returncode == 130
        assert json.loads(said)["error"]["exit_code"] == 130
        assert left == set()
    else:
        assert process.returncode == -how
        assert left <= {"out.writing"}
    # What is left is in nobody's way: the same import goes through, and clears it.
    assert import_tables(table / "move.csv", out, MAPPING, kind="csv").n_rows == N
    assert {p.name for p in tmp_path.iterdir()} == {"out"}
    assert Dataset.open(out).load("move").n_samples == N


def limit_files(size):
    # Only in a child: a limit of the test process would end all that it writes after.
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


@pytest.mark.parametrize("size", [0, 1000, 300_000])
def test_a_disk_that_takes_no_more_is_told_and_nothing_is_left(table, tmp_path, size):
    """A limit of the size of files stands for a full disk: writing fails half-way."""
    process = begin(table, tmp_path / "out", preexec_fn=limit_files(size))
    _, said = process.communicate(timeout=60)
    error = json.loads(said.splitlines()[-1])["error"]
    assert process.returncode == 3, said
    assert error["code"] == "E-DATA-012"
    assert "File too large" in error["message"]
    assert "nothing was left" in error["message"]
    assert list(tmp_path.iterdir()) == []


def test_two_imports_to_one_place_do_not_mix(table, tmp_path):
    first = begin(table, tmp_path / "out")
    wait_for_work(first, tmp_path / "out", 0)
    second = begin(table, tmp_path / "out")
    _, said = second.communicate(timeout=60)
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert second.returncode in (2, 3)
    assert json.loads(said)["error"]["code"] in ("E-OUT-004", "E-DATA-012")
    assert Dataset.open(tmp_path / "out").load("move").n_samples == N
    assert {p.name for p in tmp_path.iterdir()} == {"out"}


READ = """
import json, os, sys
import pyarrow.csv
from conv2d.data.importers.mapping import read_mapping
from conv2d.data.importers.tables import find_files, read_pieces
if os.geteuid() == 0:  # permissions do not hold for root
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
mapping = read_mapping(json.loads(sys.argv[2]))
for path in find_files(sys.argv[1], "csv", None):
    list(read_pieces(path, "csv", mapping))
"""


@pytest.mark.parametrize(("source", "mode"), [("move.csv", 0o755), (".", 0o311)], ids=["file", "folder"])
def test_a_source_that_may_not_be_read(tmp_path, source, mode):
    (tmp_path / "move.csv").write_text("t,ax\n")
    (tmp_path / "move.csv").chmod(0)
    tmp_path.chmod(mode)
    done = subprocess.run(
        [sys.executable, "-c", READ, source, json.dumps(MAPPING)],
        capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    tmp_path.chmod(0o755)
    said = done.stderr.splitlines()[-1]
    assert "DataError: E-DATA-016" in said
    assert "Permission denied" in said
    assert "check it" in said or "check its permissions" in said
