"""The package is light to import: what reads tables, trains or draws is loaded when it is needed."""

import os
import subprocess
import sys

HEAVY = {"pyarrow", "yaml", "sklearn", "scipy", "pandas", "torch", "lightning", "matplotlib", "h5py"}
MODULES = (
    "conv2d.data, conv2d.data.corrections, conv2d.data.inner_split, conv2d.data.missing, conv2d.data.simulate, "
    "conv2d.data.splits, conv2d.data.windows, conv2d.data.importers.csv_parquet"
)


def test_the_data_package_needs_numpy_alone():
    script = f"import conv2d, sys; before = set(sys.modules); import {MODULES}; print(*set(sys.modules) - before)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert not HEAVY & {name.partition(".")[0] for name in run.stdout.split()}
