"""The import of a CSV file that is larger than memory: seconds, rows per second, and the most memory it held.

    python bench/python/huge_csv.py [--gb 10] [--folder /tmp] [--interleaved 0]

The file is written to a folder beside which the data set is written too (about a third of its size), and both are
removed at the end. ``--interleaved 5000`` mixes the rows of so many recordings.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIGNALS = [f"{kind}{place}_{axis}" for kind in "AG" for place in ("Back", "Neck") for axis in "xyz"]
HEADER = ",".join(["recording", "t", *SIGNALS, "what"])
MAPPING = {
    "name": "huge",
    "time": {"column": "t", "unit": "s"},
    "channels": {
        f"{column[1:5].lower()}/{'acc' if column[0] == 'A' else 'gyr'}_{column[-1]}": column for column in SIGNALS
    },
    "label": {"column": "what"},
    "subject": {"column": "recording"},
    "recording": {"columns": ["recording"]},
}
ROWS_A_RECORDING = 360_000  # an hour at 100 Hz

IMPORT = """
import json, re, sys, time
from conv2d.data.importers.csv_parquet import import_tables
source, out, mapping = sys.argv[1:]
begin = time.perf_counter()
result = import_tables(source, out, json.loads(mapping), kind="csv")
seconds = time.perf_counter() - begin
peak = re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())
print(json.dumps({"seconds": seconds, "rows": result.n_rows, "recordings": result.n_recordings,
                  "peak_mb": int(peak[1]) / 1024}))
"""


def write_csv(path: Path, size: int, interleaved: int = 0) -> int:
    """Write a table of about ``size`` bytes; returns its rows."""
    values = np.random.default_rng(0).normal(size=(10_000, len(SIGNALS))).round(6)
    tails = [",".join(map(repr, row)) + f",{'sit' if i < 5000 else 'walk'}\n" for i, row in enumerate(values.tolist())]
    n = 0
    with path.open("w", buffering=1 << 20) as file:
        file.write(HEADER + "\n")
        while file.tell() < size:
            if interleaved:
                rows = (f"r{i % interleaved},{i // interleaved / 100:.2f},{t}" for i, t in enumerate(tails, n))
            else:
                rows = (
                    f"r{i // ROWS_A_RECORDING},{i % ROWS_A_RECORDING / 100:.2f},{t}" for i, t in enumerate(tails, n)
                )
            file.write("".join(rows))
            n += len(tails)
    return n


def measure(source: Path, out: Path) -> dict[str, float]:
    """Import in a process of its own: its seconds, rows, recordings and peak memory in MB."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, str(source), str(out), json.dumps(MAPPING)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def main() -> None:
    """Measure and print."""
    arguments = argparse.ArgumentParser(description="Import of a CSV file that is larger than memory.")
    arguments.add_argument("--gb", type=float, default=10.0)
    arguments.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    arguments.add_argument("--interleaved", type=int, default=0)
    given = arguments.parse_args()
    scratch = Path(tempfile.mkdtemp(prefix="huge_csv_", dir=given.folder))
    try:
        begin = time.perf_counter()
        rows = write_csv(scratch / "huge.csv", int(given.gb * 1e9), given.interleaved)
        size = (scratch / "huge.csv").stat().st_size
        print(f"{size / 1e9:.2f} GB, {rows} rows, written in {time.perf_counter() - begin:.0f} s")
        got = measure(scratch / "huge.csv", scratch / "out")
        print(
            f"{got['recordings']} recordings imported in {got['seconds']:.1f} s: {got['rows'] / got['seconds']:.0f} "
            f"rows/s, {size / 1e6 / got['seconds']:.0f} MB/s, at most {got['peak_mb']:.0f} MB of memory"
        )
    finally:
        shutil.rmtree(scratch)


if __name__ == "__main__":
    main()
