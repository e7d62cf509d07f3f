"""The choice of a SIMD path: by the environment, by hand, refused with a sentence; and that it changes no bit."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

import conv2d_core

CORPUS = Path(__file__).with_name("simd_corpus.py")
NAMES = ["scalar", "neon", "avx2", "avx512"]


@pytest.fixture
def simd_path() -> str:
    """These tests choose their paths themselves."""
    return conv2d_core.simd_path()


def run(program: str | Path, path: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "CONV2D_SIMD"}
    if path is not None:
        environment["CONV2D_SIMD"] = path
    arguments = [sys.executable, program] if isinstance(program, Path) else [sys.executable, "-c", program]
    return subprocess.run(arguments, capture_output=True, text=True, env=environment, check=False)


def refusal(path: str) -> str:
    done = run("import conv2d_core; conv2d_core.simd_path()", path)
    assert done.returncode == 1
    return done.stderr.strip().splitlines()[-1]


def test_scalar_is_always_there_and_first() -> None:
    paths = conv2d_core.simd_paths()
    assert paths[0] == "scalar"
    assert list(paths) == [name for name in NAMES if name in paths]
    assert ("neon" in paths) == (platform.machine() in ("aarch64", "arm64"))


@pytest.mark.parametrize("given", [None, ""])
def test_the_best_path_is_taken_where_none_is_named(given: str | None) -> None:
    done = run("import conv2d_core; print(conv2d_core.simd_path(), conv2d_core.simd_paths()[-1])", given)
    taken, best = done.stdout.split()
    assert taken == best


@pytest.mark.parametrize("path", conv2d_core.simd_paths())
def test_the_environment_chooses(path: str) -> None:
    assert run("import conv2d_core; print(conv2d_core.simd_path())", path).stdout.strip() == path


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx2 ", "scalar,avx2"])
def test_an_unknown_name_is_refused(name: str) -> None:
    known = ", ".join(conv2d_core.simd_paths())
    assert refusal(name) == f"ValueError: CONV2D_SIMD is '{name}', expected one of {known}"
    with pytest.raises(ValueError, match=f"^the SIMD path is '{name}', expected one of {known}$"):
        conv2d_core.use_simd_path(name)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in conv2d_core.simd_paths()])
def test_a_path_that_is_not_there_is_refused(name: str) -> None:
    lacks = f"is {name}, which this machine or build lacks, expected one of {', '.join(conv2d_core.simd_paths())}"
    assert refusal(name) == f"ValueError: CONV2D_SIMD {lacks}"
    before = conv2d_core.simd_path()
    with pytest.raises(ValueError, match=f"^the SIMD path {lacks}$"):
        conv2d_core.use_simd_path(name)
    assert conv2d_core.simd_path() == before


@pytest.mark.parametrize("kernel", ["fsq_encode([[0.0]], [8])", "median_filter([1, 2, 1], 3)"])
def test_a_wrong_environment_is_told_at_the_first_kernel_and_not_at_the_import(kernel: str) -> None:
    done = run(f"import conv2d_core\nprint('imported')\nconv2d_core.{kernel}\nprint(conv2d_core.simd_path())", "sse9")
    assert done.stdout.split() == ["imported"]
    assert done.stderr.strip().splitlines()[-1].startswith("ValueError: CONV2D_SIMD is 'sse9', expected one of ")


def test_every_path_gives_the_same_bits_in_a_process_of_its_own() -> None:
    shown = {path: run(CORPUS, path) for path in conv2d_core.simd_paths()}
    for path, done in shown.items():
        assert done.stderr == ""
        assert done.stdout.splitlines()[0] == f"path {path}"
    scalar = shown["scalar"].stdout.splitlines()[1:]
    assert len(scalar) > 20
    for path, done in shown.items():
        assert done.stdout.splitlines()[1:] == scalar, f"{path} differs from scalar"
