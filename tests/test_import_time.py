"""What is light stays light: heavy libraries are not loaded before they are used, and every module can be imported."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import conv2d

ROOT = Path(__file__).parents[1]
HEAVY = [
    "torch", "lightning", "torchmetrics", "sklearn", "scipy", "matplotlib", "pandas", "pyarrow", "onnxruntime", "h5py",
    "polars", "xarray", "actfast",
]  # fmt: skip
LIGHT = [*HEAVY, "numpy", "pydantic", "structlog", "rich", "yaml"]


def loaded_after(code, names):
    """Names among those given that are loaded once a new interpreter has run a program."""
    program = f"import sys\n{code}\nprint('loaded:', *sorted(set({names!r}) & set(sys.modules)))"
    # Hooks of test tools would load libraries of their own.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("COV_", "PYTEST_"))}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].removeprefix("loaded:").split()


def test_import_conv2d_loads_nothing_that_is_not_needed():
    assert loaded_after("import conv2d", LIGHT) == []


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["data", "--help"], ["train", "--help"]])
def test_help_loads_nothing_heavy(args):
    assert loaded_after(f"from conv2d.cli.main import main\nassert main({args!r}) == 0", HEAVY) == []


def test_the_top_help_loads_no_command():
    names = [f"conv2d.cli.{name}" for name in ("data", "train", "eval", "crossval", "run", "bench", "demo")]
    assert loaded_after("from conv2d.cli.main import main\nassert main(['--help']) == 0", names) == []


def test_config_and_logging_load_nothing_heavy():
    code = "import conv2d.config, conv2d.logging.structured\nconv2d.config.load_config('demo').sha256()"
    assert loaded_after(code, HEAVY) == []


def test_the_log_is_not_the_standard_library_s():
    code = "import logging, conv2d.logging\nassert logging.getLogger and logging is not conv2d.logging"
    assert loaded_after(code, HEAVY) == []


def test_load_is_resolved_when_asked_for():
    assert "load" in dir(conv2d)
    assert "load" in conv2d.__all__
    with pytest.raises(
        AttributeError, match=r"module 'conv2d' has no attribute 'laod'; it has Conv2dClassifier, .*load"
    ):
        conv2d.laod  # noqa: B018
    from conv2d.tasks.load import load

    assert conv2d.load is load


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert conv2d.__version__ == project["version"]
