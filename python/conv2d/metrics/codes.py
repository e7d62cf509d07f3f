"""How the lattice of codes is used: a code that nobody emits carries nothing."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError


@dataclass(frozen=True)
class CodeUsage:
    """Use of a code book of ``size`` codes; see :func:`code_usage`."""

    size: int
    used: int
    usage: float
    perplexity: float
    level_usage: tuple[float, ...]
    level_perplexity: tuple[float, ...]
    distinct_per_window: float
    n: int

    def to_dict(self) -> dict[str, Any]:
        """As the "codes" block of ``metrics.json``."""
        return asdict(self) | {
            "level_usage": list(self.level_usage),
            "level_perplexity": list(self.level_perplexity),
        }


def perplexity(counts: npt.ArrayLike) -> float:
    """exp of the entropy of ``counts``: the number of equally used values that would carry as much; 0 if all zero.

    Example:
        >>> round(perplexity([5, 5, 0]), 6)
        2.0
    """
    share = np.asarray(counts, dtype=np.float64)
    share = share[share > 0]
    if not len(share):
        return 0.0
    share = share / share.sum()
    return float(np.exp(-(share * np.log(share)).sum()))


def code_usage(codes: npt.ArrayLike, levels: Sequence[int]) -> CodeUsage:
    """Usage and perplexity of FSQ codes, overall and per dimension of the lattice.

    Args:
        codes: (N, P) or (N,) integers in 0 .. prod(levels) - 1; the first dimension is the least significant digit.
        levels: values per dimension.

    Returns:
        Codes used and their share; perplexity of the codes; the same per dimension (share of its levels ever taken,
        perplexity of its digits); mean number of distinct codes in a window of P. O(N P log(N P)).

    Raises:
        UsageError: no code, a code outside the lattice, or not integers (E-METRIC-010).

    Example:
        >>> use = code_usage([[0, 1], [0, 5]], levels=[2, 3])
        >>> use.used, use.usage, use.level_usage, use.distinct_per_window
        (3, 0.5, (1.0, 0.6666666666666666), 2.0)
    """
    table: npt.NDArray[Any] = np.asarray(codes)
    if table.dtype.kind not in "iu" or table.ndim not in (1, 2) or not table.size:
        raise UsageError(
            f"E-METRIC-010: codes are {table.dtype} of shape {table.shape}, expected integers (N, P) with N above 0"
        )
    table = table.reshape(len(table), -1).astype(np.int64)
    size = math.prod(levels)
    if bool((table < 0).any()) or bool((table >= size).any()):
        raise UsageError(
            f"E-METRIC-010: codes run from {table.min()} to {table.max()}, expected 0 to {size - 1} for levels "
            f"{list(levels)}; pass the levels that the codes were made with"
        )
    # The lattice may hold billions of codes: count those that occur, never the whole range.
    _, counts = np.unique(table, return_counts=True)
    rest = table.ravel()
    usages, perplexities = [], []
    for level in levels:
        digit_counts = np.bincount(rest % level, minlength=level)
        usages.append(float((digit_counts > 0).mean()))
        perplexities.append(perplexity(digit_counts))
        rest = rest // level
    ordered = np.sort(table, axis=1)
    distinct = 1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)
    return CodeUsage(
        size=size,
        used=len(counts),
        usage=len(counts) / size,
        perplexity=perplexity(counts),
        level_usage=tuple(usages),
        level_perplexity=tuple(perplexities),
        distinct_per_window=float(distinct.mean()),
        n=len(table),
    )
