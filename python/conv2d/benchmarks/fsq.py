"""FSQ encoding against torch.compile, against copying as many bytes, and one call against an empty one."""

from collections.abc import Callable, Iterator
from math import atanh
from typing import Any

import numpy as np
from numpy.typing import NDArray

import conv2d_core
from conv2d.benchmarks.measure import Absent, Row, compare
from conv2d_core import fsq_encode

PART = "fsq"
LATTICES = ((8, 6, 5), (8, 5, 5, 5))


def vectors(rows: int, levels: tuple[int, ...]) -> NDArray[np.float32]:
    """Standard normal values, one column a dimension."""
    return np.random.default_rng(0).normal(size=(rows, len(levels))).astype(np.float32)


def torch_encode(z: NDArray[np.float32], levels: tuple[int, ...]) -> Callable[[], Any]:
    """The formula of the quantiser, compiled by torch for these shapes, on one thread.

    Raises
    ------
    Absent
        torch is not installed, or cannot compile here (it needs a C++ compiler).
    """
    try:
        import torch
    except ImportError:
        raise Absent("torch is not installed") from None
    half = [(level - 1) * (1 + 1e-3) / 2 for level in levels]
    offset = [0.5 if level % 2 == 0 else 0.0 for level in levels]
    halves, offsets = torch.tensor(half), torch.tensor(offset)
    shifts = torch.tensor([atanh(o / h) for o, h in zip(offset, half, strict=True)])
    middles = torch.tensor([level // 2 for level in levels], dtype=torch.float32)
    basis = torch.tensor(np.cumprod([1, *levels[:-1]]), dtype=torch.float32)

    def codes(points: Any) -> Any:
        digits = torch.round(torch.tanh(points + shifts) * halves - offsets) + middles
        return (digits * basis).sum(-1).to(torch.int32)

    compiled, points = torch.compile(codes, dynamic=False), torch.from_numpy(z)

    def encode() -> Any:
        with torch.inference_mode():
            return compiled(points)

    try:
        agreeing = float(np.mean(encode().numpy() == fsq_encode(z, levels)))
    except Exception as error:  # a backend that does not build here raises whatever it likes
        said = str(error).strip() or type(error).__name__
        raise Absent(f"torch.compile does not run here: {said.splitlines()[0]}") from error
    if agreeing < 0.9999:  # the formula may round a tie to the other side
        raise Absent(f"torch.compile gives other codes for {1 - agreeing:.1%} of the vectors")
    return encode


def rows(seconds: float, *, quick: bool) -> Iterator[Row]:
    """All rows of this part."""
    for levels in LATTICES:
        yield from _against_torch(levels, 10_000 if quick else 100_000, seconds)
    for levels in LATTICES:
        for count in (100_000,) if quick else (100_000, 2_000_000):
            yield _against_copy(levels, count, seconds)
    for levels in LATTICES:
        yield _one_call(levels, seconds)


def _against_torch(levels: tuple[int, ...], count: int, seconds: float) -> Iterator[Row]:
    z = vectors(count, levels)
    size = f"{count:,} vectors, levels {list(levels)}"
    try:
        import torch
    except ImportError:
        yield Row(PART, "encode", size, "torch.compile", "faster", 13, 20, reason="torch is not installed")
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        encode = torch_encode(z, levels)
        out = np.empty(count, np.int32)
        ours, theirs = compare(lambda: fsq_encode(z, levels, out=out), encode, seconds)
        ratio = theirs.median_ms / ours.median_ms
        yield Row(PART, "encode", size, "torch.compile", "faster", 13, 20, ours, theirs, ratio)
    except Absent as absent:
        yield Row(PART, "encode", size, "torch.compile", "faster", 13, 20, reason=str(absent))
    finally:
        torch.set_num_threads(threads)


def _against_copy(levels: tuple[int, ...], count: int, seconds: float) -> Row:
    """The copy reads and writes as many bytes as the encoder: what it takes is the least that encoding can."""
    z, out = vectors(count, levels), np.empty(count, np.int32)
    source = np.ones((z.nbytes + out.nbytes) // 2, np.uint8)
    target = np.empty_like(source)
    ours, theirs = compare(lambda: fsq_encode(z, levels, out=out), lambda: np.copyto(target, source), seconds)
    share = theirs.median_ms / ours.median_ms
    size = f"{count:,} vectors, levels {list(levels)}, {(z.nbytes + out.nbytes) / 1e6:.1f} MB"
    return Row(
        PART, "share of the copy bandwidth", size, "a copy of as many bytes", "share", 0.75, 0.9, ours, theirs, share
    )


def _one_call(levels: tuple[int, ...], seconds: float) -> Row:
    count = 64 // len(levels)
    z, out = vectors(count, levels), np.empty(count, np.int32)
    empty = vars(conv2d_core)["_empty_call"]  # no part of the public surface
    ours, theirs = compare(lambda: fsq_encode(z, levels, out), lambda: empty(z, levels, out), seconds)
    size = f"{count} vectors, levels {list(levels)}"
    more = 1e6 * (ours.median_ms - theirs.median_ms)
    return Row(
        PART, "one call over an empty one", size, "an empty pybind11 call", "nanoseconds", 100, None, ours, theirs, more
    )
