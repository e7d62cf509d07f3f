"""The package is light to import: what reads tables, trains or draws is loaded when it is needed."""

import os
import subprocess
import sys
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "python"
HEAVY = {
    "pyarrow", "yaml", "sklearn", "scipy", "pandas", "torch", "lightning", "matplotlib", "h5py", "polars", "xarray",
    "actfast",
}  # fmt: skip
APART = ("conv2d.data.augmentation", "conv2d.data.joining")  # torch by nature, and a plan read as experiments are


def modules() -> list[str]:
    paths = sorted((PACKAGE / "conv2d" / "data").rglob("*.py"))
    names = [".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__") for path in paths]
    return [name for name in names if not name.startswith(APART)]


def test_the_data_package_needs_numpy_alone():
    names = ", ".join(modules())
    script = f"import conv2d, sys; before = set(sys.modules); import {names}; print(*set(sys.modules) - before)"
    run = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert len(modules()) > 50
    assert not HEAVY & {name.partition(".")[0] for name in run.stdout.split()}
