"""FSQ against numpy, torch, torch.compile and vector-quantize-pytorch, a copy of as many bytes, and an empty call.

pytest bench/python/bench_fsq.py; one thread each, all in one process. vector-quantize-pytorch is left out where it is
not installed.
"""

import importlib.util
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from math import atanh
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from conv2d_core import fsq_decode, fsq_encode, fsq_margin, fsq_quantize, fsq_thresholds

LATTICES = [(8, 6, 5), (8, 5, 5, 5)]
Encode = Callable[[np.ndarray, tuple[int, ...]], Callable[[], np.ndarray]]


def vectors(rows: int, levels: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(rows, len(levels))).astype(np.float32)


def conv2d_new(z: np.ndarray, levels: tuple[int, ...]) -> Callable[[], np.ndarray]:
    return lambda: fsq_encode(z, levels)


def conv2d_out(z: np.ndarray, levels: tuple[int, ...]) -> Callable[[], np.ndarray]:
    out = np.zeros(len(z), np.int32)
    return lambda: fsq_encode(z, levels, out=out)


def numpy_loop(z: np.ndarray, levels: tuple[int, ...]) -> Callable[[], np.ndarray]:
    thresholds, basis = [fsq_thresholds(level) for level in levels], np.cumprod([1, *levels[:-1]])

    def encode() -> np.ndarray:
        digits = [np.searchsorted(thresholds[i], z[:, i], side="right") for i in range(len(levels))]
        return np.stack(digits, axis=1) @ basis

    return encode


def torch_formula(z: np.ndarray, levels: tuple[int, ...], compiled: bool) -> Callable[[], np.ndarray]:
    import torch

    half = [(level - 1) * (1 + 1e-3) / 2 for level in levels]
    offset = [0.5 if level % 2 == 0 else 0.0 for level in levels]
    halves, offsets = torch.tensor(half), torch.tensor(offset)
    shifts = torch.tensor([atanh(o / h) for o, h in zip(offset, half, strict=True)])
    middles = torch.tensor([level // 2 for level in levels], dtype=torch.float32)
    basis = torch.tensor(np.cumprod([1, *levels[:-1]]), dtype=torch.float32)

    def codes(points: torch.Tensor) -> torch.Tensor:
        digits = torch.round(torch.tanh(points + shifts) * halves - offsets) + middles
        return (digits * basis).sum(-1).to(torch.int32)

    function, points = torch.compile(codes, dynamic=False) if compiled else codes, torch.from_numpy(z)
    return torch.inference_mode()(lambda: function(points).numpy())


def torch_eager(z: np.ndarray, levels: tuple[int, ...]) -> Callable[[], np.ndarray]:
    return torch_formula(z, levels, compiled=False)


def torch_compile(z: np.ndarray, levels: tuple[int, ...]) -> Callable[[], np.ndarray]:
    return torch_formula(z, levels, compiled=True)


def vector_quantize_pytorch(z: np.ndarray, levels: tuple[int, ...]) -> Callable[[], np.ndarray]:
    library = pytest.importorskip("vector_quantize_pytorch", reason="vector-quantize-pytorch is not installed")
    import torch

    quantizer, points = library.FSQ(levels=list(levels)).eval(), torch.from_numpy(z)[None]
    return torch.inference_mode()(lambda: quantizer(points)[1][0].numpy())


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("levels", LATTICES, ids=str)
@pytest.mark.parametrize("rows", [256, 100_000])
@pytest.mark.parametrize(
    "peer", [conv2d_out, conv2d_new, numpy_loop, torch_eager, torch_compile, vector_quantize_pytorch]
)
@pytest.mark.filterwarnings("ignore")  # of the peers
def test_encode(benchmark: BenchmarkFixture, rows: int, levels: tuple[int, ...], peer: Encode) -> None:
    benchmark.group = f"fsq_encode {list(levels)}, {rows} vectors"
    z = vectors(rows, levels)
    encode = peer(z, levels)
    encode()  # compiles, finds thresholds
    codes = benchmark(encode)
    assert np.mean(codes == fsq_encode(z, levels)) > 0.9999  # the formula may round a tie to the other side


@pytest.mark.parametrize("levels", LATTICES, ids=str)
@pytest.mark.parametrize("rows", [100_000, 2_000_000])
@pytest.mark.parametrize("what", ["encode", "copy", "margin", "quantize", "decode"])
def test_bandwidth(benchmark: BenchmarkFixture, rows: int, levels: tuple[int, ...], what: str) -> None:
    """The copy reads and writes as many bytes as the encoder: what it takes is the least that encoding can."""
    benchmark.group = f"fsq bandwidth {list(levels)}, {rows} vectors"
    z = vectors(rows, levels)
    codes = fsq_encode(z, levels)
    source = np.ones((z.nbytes + codes.nbytes) // 2, np.uint8)  # zeros would all lie in one page
    target = np.ones_like(source)
    calls: dict[str, Callable[[], object]] = {
        "encode": lambda: fsq_encode(z, levels, out=codes),
        "copy": lambda: np.copyto(target, source),
        "margin": lambda: fsq_margin(z, levels),
        "quantize": lambda: fsq_quantize(z, levels),
        "decode": lambda: fsq_decode(codes, levels),
    }
    benchmark(calls[what])
    benchmark.extra_info["gigabytes_per_second"] = (z.nbytes + codes.nbytes) / benchmark.stats["median"] / 1e9


@pytest.fixture(scope="module")
def empty_call(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The module of empty_call.cpp, built on the spot."""
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("there is no C++ compiler to build the empty call with")
    import pybind11

    target = tmp_path_factory.mktemp("empty") / f"empty_call{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [f"-I{pybind11.get_include()}", f"-I{sysconfig.get_paths()['include']}"]
    flags = ["-std=c++17", "-O3", "-DNDEBUG", "-shared", "-fPIC", "-fvisibility=hidden"]
    source = Path(__file__).with_name("empty_call.cpp")
    subprocess.run([compiler, *flags, *includes, str(source), "-o", str(target)], check=True)
    spec = importlib.util.spec_from_file_location("empty_call", target)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("levels", LATTICES, ids=str)
@pytest.mark.parametrize("what", ["empty_objects", "empty_arrays", "out", "new"])
def test_one_call(benchmark: BenchmarkFixture, empty_call: ModuleType, levels: tuple[int, ...], what: str) -> None:
    """64 values: what a call costs beside an empty one that is given the same arrays."""
    benchmark.group = f"fsq_encode {list(levels)}, one call for 64 values"
    z = vectors(64 // len(levels), levels)
    out = np.zeros(len(z), np.int32)
    function, arguments = {
        "empty_objects": (empty_call.objects, (z, levels, out)),
        "empty_arrays": (empty_call.arrays, (z, levels, out)),
        "out": (fsq_encode, (z, levels, out)),
        "new": (fsq_encode, (z, levels)),
    }[what]
    benchmark.pedantic(function, arguments, rounds=500, iterations=200, warmup_rounds=10)
