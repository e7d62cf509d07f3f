"""Memory of an import does not grow with the file: measured in children, by the most that each has held."""

import gzip
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from conv2d.data import Dataset

spec = importlib.util.spec_from_file_location(
    "huge_csv", Path(__file__).parents[2] / "bench" / "python" / "huge_csv.py"
)
huge_csv = importlib.util.module_from_spec(spec)
spec.loader.exec_module(huge_csv)

ENDLESS = """
import re, sys
from conv2d.data.importers.csv_parquet import import_tables
from conv2d.errors import DataError
mapping = {"name": "x", "rate_hz": 1, "channels": {"a/x": "x"}, "subject": {"constant": "rex"}}
try:
    import_tables(sys.argv[1], sys.argv[1] + ".out", mapping, kind="csv")
except DataError as error:
    print(error)
print(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1])
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(tmp_path):
    peak = {}
    for megabytes in (20, 200):
        source = tmp_path / f"{megabytes}.csv"
        rows = huge_csv.write_csv(source, megabytes * 1_000_000)
        got = huge_csv.measure(source, tmp_path / f"out{megabytes}")
        assert got["rows"] == rows
        peak[megabytes] = got["peak_mb"]
    assert peak[200] < 600
    assert peak[200] < peak[20] + 120  # what is read ahead and gathered, but not the file


@pytest.mark.slow
def test_memory_is_bounded_where_recordings_alternate(tmp_path):
    rows = huge_csv.write_csv(tmp_path / "mixed.csv", 60_000_000, interleaved=1000)
    got = huge_csv.measure(tmp_path / "mixed.csv", tmp_path / "out")
    assert (got["rows"], got["recordings"]) == (rows, 1000)
    assert got["peak_mb"] < 600
    assert sum(row.n_rows for row in Dataset.open(tmp_path / "out").table) == rows


@pytest.mark.parametrize("begin", [b"x\n", b"", b'x\n"'], ids=["line", "header", "quote"])
def test_half_a_gigabyte_without_a_line_break_is_refused_in_bounded_memory(tmp_path, begin):
    """Compressed, as its packed size says nothing of what it unfolds to."""
    with gzip.open(tmp_path / "x.csv.gz", "wb", compresslevel=1) as file:
        file.write(begin)
        for _ in range(32):
            file.write(b"1" * (16 << 20))
    done = subprocess.run(
        [sys.executable, "-c", ENDLESS, str(tmp_path / "x.csv.gz")], capture_output=True, text=True, check=True
    )
    said, peak_kb = done.stdout.splitlines()
    assert said.startswith("E-DATA-016: ")
    assert "longer than" in said or "not closed" in said
    assert int(peak_kb) < 400 * 1024
    assert [p.name for p in tmp_path.iterdir()] == ["x.csv.gz"]
