"""Emissions of codes: how often each state says each symbol, for codebooks of a few symbols or of many thousands."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.emissions import StoredEmissions, draw
from conv2d.temporal.protocol import BoolArray, FloatArray, IntArray, require_positive

MOST_SYMBOLS = 2**24
PROJECTED = 24
"""Columns that symbols are projected on at random to cluster frames by; distances keep to about a fifth."""


@dataclass(eq=False)
class CategoricalEmissions(StoredEmissions):
    """Codes (T,) or (T, P) int, P positions that are independent given the state; below 0 is no data.

    Args:
        n_symbols: size of the codebook, one number or one a position; None takes the largest code of ``fit`` plus one.
        pseudocount: codes that each state has seen beforehand, spread as all codes are over all frames (each symbol
            half a time more, so that a code never seen in training has a probability, too). A prior.
        weight: how much one frame counts; below 1 for overlapping windows, which err together.

    Attributes:
        emissionprob_: (K, S) probability of each symbol, a list of such for several positions.

    Example:
        >>> own = CategoricalEmissions.of([[0.9, 0.1], [0.2, 0.8]])
        >>> np.exp(own.log_likelihood([0, 1, -1])).round(2)
        array([[0.9, 0.2],
               [0.1, 0.8],
               [1. , 1. ]])
    """

    KIND: ClassVar[str] = "categorical"

    n_symbols: int | Sequence[int] | None = None
    pseudocount: float = 1.0
    weight: float = 1.0

    probabilities_: list[FloatArray] = field(init=False, repr=False)
    base_: list[FloatArray] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_positive(self.weight, "weight")
        if not self.pseudocount >= 0:
            raise UsageError(f"E-TEMPORAL-005: pseudocount is {self.pseudocount}, expected 0 or more")

    @classmethod
    def of(cls, *emissionprob: npt.ArrayLike, pseudocount: float = 1.0, weight: float = 1.0) -> Self:
        """Emissions of known probabilities (K, S), one array a position; to sample from, or to go on from.

        Raises:
            UsageError: rows that are no probabilities, or positions with different K (E-TEMPORAL-020).
        """
        tables = [np.array(table, dtype=np.float64) for table in emissionprob]
        for position, table in enumerate(tables):
            whole = table.ndim == 2 and len(table) == len(tables[0]) and bool((table >= 0).all())
            if not whole or not np.allclose(table.sum(axis=1), 1):
                raise UsageError(
                    f"E-TEMPORAL-020: emissionprob {position} of shape {table.shape} is no table of probabilities, "
                    "expected (K, S) with rows that sum to 1"
                )
        made = cls([table.shape[1] for table in tables], pseudocount, weight)
        made.probabilities_ = tables
        made.base_ = [table.mean(axis=0) for table in tables]
        return made

    @property
    def emissionprob_(self) -> FloatArray | list[FloatArray]:
        """Probability of each symbol in each state, (K, S); a list for several positions."""
        self._check_fitted("emissionprob_")
        return self.probabilities_[0] if len(self.probabilities_) == 1 else self.probabilities_

    def prepare(self, X: npt.ArrayLike, n_states: int) -> None:
        """Count all codes, which the prior is spread as."""
        codes = _codes(X)
        sizes = self._sizes(codes)
        if hasattr(self, "probabilities_"):
            shapes = [table.shape for table in self.probabilities_]
            if shapes != [(n_states, size) for size in sizes]:
                raise UsageError(
                    f"E-TEMPORAL-020: the emissions have tables {shapes}, expected {n_states} states, {sizes} symbols"
                )
        self.base_ = []
        for column, size in zip(codes.T, sizes, strict=True):
            counts = np.bincount(column[column >= 0], minlength=size) + 0.5
            self.base_.append(counts / counts.sum())

    def without(self, X: npt.ArrayLike, has_data: BoolArray) -> IntArray:
        """X with -1 in frames without data."""
        return np.asarray(np.where(has_data[:, None], _codes(X), -1))

    def features(self, X: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        """Symbols as random vectors, rare ones longer: averages keep the chi-square distance of histograms."""
        codes = _codes(X)
        out = np.zeros((len(codes), PROJECTED))
        for column, base in zip(codes.T, self.base_, strict=True):
            # A symbol met a few times tells blocks apart by chance only.
            rare = np.sqrt(np.maximum(base, 5 / max(1, len(column))))
            table = rng.standard_normal((len(base), PROJECTED)) / rare[:, None]
            out += np.where((column >= 0)[:, None], table[np.maximum(column, 0)], 0.0)
        out[(codes < 0).all(axis=1)] = np.nan
        return out

    def log_likelihood(self, X: npt.ArrayLike) -> FloatArray:
        """Log probabilities (T, K) times the weight; O(T K P)."""
        self._check_fitted("log_likelihood()")
        codes = self._positions(X)
        out = np.zeros((len(codes), len(self.probabilities_[0])))
        for column, table in zip(codes.T, self.probabilities_, strict=True):
            with np.errstate(divide="ignore"):
                scores = np.log(table.T)[np.maximum(column, 0)]
            out += np.where((column >= 0)[:, None], scores, 0.0) if bool((column < 0).any()) else scores
        out *= self.weight
        return out

    def update(self, X: npt.ArrayLike, posteriors: FloatArray) -> None:
        """Likeliest probabilities, with the prior; O(T K P + K S)."""
        codes = self._positions(X)
        shares = np.asarray(posteriors, dtype=np.float64) * self.weight
        tables = []
        for position, (column, base) in enumerate(zip(codes.T, self.base_, strict=True)):
            seen = column >= 0
            column, own = (column, shares) if seen.all() else (column[seen], shares[seen])
            counts: FloatArray = np.stack([np.bincount(column, weights=w, minlength=len(base)) for w in own.T])
            counts = counts + self.pseudocount * base
            totals = counts.sum(axis=1, keepdims=True)
            # A state that has nothing keeps what it has.
            old = self.probabilities_[position] if hasattr(self, "probabilities_") else base[None]
            tables.append(np.where(totals > 0, counts / np.where(totals > 0, totals, 1.0), old))
        self.probabilities_ = tables

    def log_prior(self) -> float:
        """Of the probabilities: ``pseudocount`` codes seen beforehand."""
        if self.pseudocount == 0:
            return 0.0
        return self.pseudocount * sum(
            float((np.log(table) @ base).sum()) for table, base in zip(self.probabilities_, self.base_, strict=True)
        )

    def sample(self, states: IntArray, rng: np.random.Generator) -> IntArray:
        """Draw codes for each state: (T,), or (T, P) for several positions."""
        self._check_fitted("sample()")
        columns = [draw(table, states, rng) for table in self.probabilities_]
        return columns[0] if len(columns) == 1 else np.stack(columns, axis=1)

    @property
    def n_parameters(self) -> int:
        """Numbers that are learned."""
        return sum(len(table) * (table.shape[1] - 1) for table in self.probabilities_)

    def _sizes(self, codes: IntArray) -> list[int]:
        largest = codes.max(axis=0, initial=0) + 1
        if self.n_symbols is None:
            sizes = [int(size) for size in largest]
        else:
            given = np.atleast_1d(np.asarray(self.n_symbols, dtype=np.int64)).tolist()
            sizes = given * codes.shape[1] if len(given) == 1 else given
        if len(sizes) != codes.shape[1] or any(size < 1 for size in sizes):
            raise UsageError(f"E-TEMPORAL-020: n_symbols is {self.n_symbols}, expected 1 or {codes.shape[1]} sizes")
        if max(sizes) > MOST_SYMBOLS:
            raise UsageError(
                f"E-TEMPORAL-021: X holds code {int(codes.max())}, expected below {MOST_SYMBOLS}; number those "
                "that occur with numpy.unique(X, return_inverse=True)"
            )
        _require_below(codes, sizes)
        return sizes

    def _positions(self, X: npt.ArrayLike) -> IntArray:
        codes = _codes(X)
        sizes = [len(base) for base in self.base_]
        if codes.shape[1] != len(sizes):
            raise UsageError(f"E-TEMPORAL-021: X has {codes.shape[1]} positions, expected {len(sizes)} as in training")
        _require_below(codes, sizes)
        return codes

    def _check_fitted(self, verb: str) -> None:
        if not hasattr(self, "probabilities_"):
            raise UsageError(f"E-TEMPORAL-001: CategoricalEmissions is not fitted, expected HSMM.fit() before {verb}")

    def _fitted_to_dict(self) -> dict[str, Any]:
        self._check_fitted("to_dict()")
        return {
            "emissionprob": [table.tolist() for table in self.probabilities_],
            "base": [base.tolist() for base in self.base_],
        }

    def _fitted_from_dict(self, stored: dict[str, Any]) -> None:
        self.probabilities_ = [np.array(table, dtype=np.float64) for table in stored["emissionprob"]]
        self.base_ = [np.array(base, dtype=np.float64) for base in stored["base"]]

    def get_params(self) -> dict[str, Any]:
        """Constructor arguments."""
        sizes = self.n_symbols
        plain = sizes if sizes is None or isinstance(sizes, int) else [int(size) for size in sizes]
        return {"n_symbols": plain, "pseudocount": self.pseudocount, "weight": self.weight}


def _codes(X: npt.ArrayLike) -> IntArray:
    codes = np.asarray(X)
    codes = codes[:, None] if codes.ndim == 1 else codes
    if codes.dtype.kind not in "iu" or codes.ndim != 2 or codes.shape[1] == 0:
        raise UsageError(
            f"E-TEMPORAL-021: X is {codes.dtype} of shape {codes.shape}, expected integer codes (T,) or (T, P), "
            "below 0 where there is no data"
        )
    return codes.astype(np.int64, copy=False)


def _require_below(codes: IntArray, sizes: Sequence[int]) -> None:
    over = codes >= np.array(sizes)
    if over.any():
        row, position = (int(n) for n in np.argwhere(over)[0])
        raise UsageError(
            f"E-TEMPORAL-021: X row {row} holds code {int(codes[row, position])}, expected below {sizes[position]}; "
            "pass n_symbols"
        )
