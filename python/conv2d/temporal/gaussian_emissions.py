"""Gaussian emissions: a mean and a covariance for each state, kept from collapsing onto single frames."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.emissions import StoredEmissions, require_rows
from conv2d.temporal.protocol import BoolArray, FloatArray, IntArray, require_positive

CovarianceType = Literal["diag", "full", "spherical", "tied"]
PIECE = 4096
SMALLEST_COUNT = 1e-8
"""Frames that a state needs for its parameters to say anything; with fewer it keeps those it has."""


@dataclass(eq=False)
class GaussianEmissions(StoredEmissions):
    """Features (T, F) normal around each state's mean.

    A missing value is NaN. With "diag" and "spherical" a row counts by the features that it has; with "full" and
    "tied" a row with a NaN counts as no data. A row without data scores zeros.

    Args:
        covariance_type: "diag", "full", "spherical" (one variance a state) or "tied" (one full covariance for all).
        variance_floor: no direction of a covariance falls below this share of each feature's variance over all frames.
        prior_frames: frames that the variance over all frames counts as in each state's covariance (a prior).
        weight: how much one frame counts; below 1 for overlapping windows, which err together.

    Attributes:
        means_: (K, F).
        covars_: "diag" (K, F), "full" (K, F, F), "spherical" (K,), "tied" (F, F).

    Sources: Bishop, "Pattern recognition and machine learning", 2006, 9.2; the floor by eigenvalues is the exact
    maximum under it (Won et al., "Condition-number-regularized covariance estimation", 2013), so EM stays monotone.

    Example:
        >>> own = GaussianEmissions.of(means=[[0.0], [3.0]], covars=[[1.0], [4.0]])
        >>> own.log_likelihood([[0.0], [np.nan]]).round(3)
        array([[-0.919, -2.737],
               [ 0.   ,  0.   ]])
    """

    KIND: ClassVar[str] = "gaussian"
    ARRAYS: ClassVar[tuple[str, ...]] = ("means_", "covars_", "scales_")

    covariance_type: CovarianceType = "diag"
    variance_floor: float = 1e-3
    prior_frames: float = 0.0
    weight: float = 1.0

    means_: FloatArray = field(init=False, repr=False)
    covars_: FloatArray = field(init=False, repr=False)
    scales_: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Check the parameters."""
        allowed = get_args(CovarianceType)
        if self.covariance_type not in allowed:
            raise UsageError(
                f"E-TEMPORAL-005: covariance_type is {self.covariance_type!r}, expected one of {', '.join(allowed)}"
            )
        require_positive(self.weight, "weight")
        require_positive(self.variance_floor, "variance_floor")
        if not self.prior_frames >= 0:
            raise UsageError(f"E-TEMPORAL-005: prior_frames is {self.prior_frames}, expected 0 or more")

    @classmethod
    def of(
        cls,
        means: npt.ArrayLike,
        covars: npt.ArrayLike,
        covariance_type: CovarianceType = "diag",
        variance_floor: float = 1e-3,
        prior_frames: float = 0.0,
        weight: float = 1.0,
    ) -> Self:
        """Emissions of known means (K, F) and covariances, shaped as in ``covars_``; to sample from, or to go on from.

        Raises:
            UsageError: shapes that do not fit, or a covariance that is not positive definite (E-TEMPORAL-020).
        """
        made = cls(covariance_type, variance_floor, prior_frames, weight)
        made.means_ = require_rows(means)
        made.covars_ = np.array(covars, dtype=np.float64)
        k, f = made.means_.shape
        shape = {"diag": (k, f), "full": (k, f, f), "spherical": (k,), "tied": (f, f)}[covariance_type]
        if made.covars_.shape != shape:
            raise UsageError(
                f"E-TEMPORAL-020: covars has shape {made.covars_.shape}, expected {shape} for {covariance_type!r} "
                f"and means {(k, f)}"
            )
        whole = covariance_type in ("full", "tied")
        smallest = np.linalg.eigvalsh(made.covars_) if whole else made.covars_
        if not (np.isfinite(made.means_).all() and np.isfinite(made.covars_).all() and np.min(smallest) > 0):
            raise UsageError(
                "E-TEMPORAL-020: got means or covars that are infinite or not positive, expected variances"
            )
        made.scales_ = np.sqrt(made._variances().mean(axis=0))
        return made

    def prepare(self, X: npt.ArrayLike, n_states: int) -> None:
        """Measure each feature's spread over all frames, which the floor and the prior are shares of."""
        rows = require_rows(X)
        empty = np.isnan(rows).all(axis=0)
        if empty.any():
            column = int(empty.argmax())
            raise UsageError(f"E-TEMPORAL-021: column {column} of X has no value at all, expected some; leave it out")
        spread = np.nanstd(rows, axis=0)
        # A feature that never changes tells states apart by nothing; any scale of its own size will do.
        self.scales_ = np.where(spread > 0, spread, np.maximum(np.abs(np.nanmean(rows, axis=0)), 1.0))
        if hasattr(self, "means_") and self.means_.shape != (n_states, rows.shape[1]):
            raise UsageError(
                f"E-TEMPORAL-020: the emissions have means {self.means_.shape}, expected ({n_states}, {rows.shape[1]})"
            )

    def without(self, X: npt.ArrayLike, has_data: BoolArray) -> FloatArray:
        """X with NaN in frames without data."""
        rows = np.asarray(X, dtype=np.float64)
        rows = rows[:, None] if rows.ndim == 1 else rows
        return np.asarray(np.where(has_data[:, None], rows, np.nan))

    def features(self, X: npt.ArrayLike, rng: np.random.Generator) -> FloatArray:
        """The features, each over its spread."""
        return np.asarray(require_rows(X) / self.scales_)

    def log_likelihood(self, X: npt.ArrayLike) -> FloatArray:
        """Log densities (T, K) times the weight; O(T K F), O(T K F^2) with full covariances."""
        self._check_fitted("log_likelihood()")
        rows = self._rows(X)
        missing = np.isnan(rows)
        gaps = bool(missing.any())
        by_feature = self.covariance_type in ("diag", "spherical")
        roots, constants = self._precision_roots()
        out = np.empty((len(rows), len(self.means_)))
        for piece in _pieces(len(rows)):
            for state, mean in enumerate(self.means_):
                off = rows[piece] - mean
                if gaps:
                    off[missing[piece]] = 0.0
                whitened = off * roots[state] if by_feature else off @ roots[state]
                np.einsum("tf,tf->t", whitened, whitened, out=out[piece, state])
        if not gaps:
            out += constants.sum(axis=1)
        elif by_feature:
            out += ~missing @ constants.T
        else:
            out += constants.sum(axis=1)
            out[missing.any(axis=1)] = 0.0
        out *= -0.5 * self.weight
        # A row without data is a sum of nothing: 0.0, not -0.0.
        out += 0.0
        return out

    def _precision_roots(self) -> tuple[FloatArray, FloatArray]:
        """What whitens each state's features, (K, F) or (K, F, F), and the constants of its density (K, F)."""
        log_two_pi = np.log(2 * np.pi)
        if self.covariance_type in ("diag", "spherical"):
            variances = self._variances()
            return 1 / np.sqrt(variances), log_two_pi + np.log(variances)
        k, f = self.means_.shape
        lower = np.broadcast_to(np.linalg.cholesky(self.covars_), (k, f, f))
        constants = log_two_pi + 2 * np.log(np.diagonal(lower, axis1=1, axis2=2))
        return np.swapaxes(np.linalg.inv(lower), 1, 2), constants

    def update(self, X: npt.ArrayLike, posteriors: FloatArray) -> None:
        """Likeliest means and covariances, above the floor; O(T K F), O(T K F^2) with full covariances."""
        rows = require_rows(X)
        shares = np.asarray(posteriors, dtype=np.float64) * self.weight
        k, f = shares.shape[1], rows.shape[1]
        if not hasattr(self, "means_"):
            self.means_ = np.repeat(np.nanmean(rows, axis=0)[None], k, axis=0)
            self.covars_ = self._pooled(k, f)
        if self.covariance_type in ("diag", "spherical"):
            self._update_variances(rows, shares)
        else:
            self._update_covariances(rows, shares)

    def _update_variances(self, rows: FloatArray, shares: FloatArray) -> None:
        seen = ~np.isnan(rows)
        filled = np.where(seen, rows, 0.0)
        counts = shares.T @ seen
        means = np.where(counts > SMALLEST_COUNT, (shares.T @ filled) / np.maximum(counts, SMALLEST_COUNT), self.means_)
        squares = np.zeros(means.shape)
        for piece in _pieces(len(rows)):
            for state, mean in enumerate(means):
                off = np.where(seen[piece], rows[piece] - mean, 0.0)
                squares[state] += shares[piece, state] @ np.square(off, out=off)
        pooled = np.square(self.scales_)
        if self.covariance_type == "diag":
            squares, total = squares + self.prior_frames * pooled, counts + self.prior_frames
            fresh = np.maximum(squares / np.maximum(total, SMALLEST_COUNT), self.variance_floor * pooled)
            self.covars_ = np.where(total > SMALLEST_COUNT, fresh, self.covars_)
        else:
            # One number for all features: the floor is that of the widest, the prior their average.
            sums = squares.sum(axis=1) + self.prior_frames * pooled.sum()
            totals = counts.sum(axis=1) + self.prior_frames * len(pooled)
            fresh = np.maximum(sums / np.maximum(totals, SMALLEST_COUNT), self.variance_floor * pooled.max())
            self.covars_ = np.where(totals > SMALLEST_COUNT, fresh, self.covars_)
        self.means_ = means

    def _update_covariances(self, rows: FloatArray, shares: FloatArray) -> None:
        whole = ~np.isnan(rows).any(axis=1)
        rows, shares = rows[whole], shares[whole]
        counts = shares.sum(axis=0)
        means = np.where(
            counts[:, None] > SMALLEST_COUNT,
            (shares.T @ rows) / np.maximum(counts, SMALLEST_COUNT)[:, None],
            self.means_,
        )
        scatter = np.zeros((len(means), rows.shape[1], rows.shape[1]))
        for piece in _pieces(len(rows)):
            for state, mean in enumerate(means):
                off = rows[piece] - mean
                scatter[state] += (off * shares[piece, state, None]).T @ off
        prior = self.prior_frames * np.diag(np.square(self.scales_))
        if self.covariance_type == "tied":
            total = counts.sum() + self.prior_frames
            if total > SMALLEST_COUNT:
                self.covars_ = self._above_floor((scatter.sum(axis=0) + prior) / total)
        else:
            for state, count in enumerate(counts + self.prior_frames):
                if count > SMALLEST_COUNT:
                    self.covars_[state] = self._above_floor((scatter[state] + prior) / count)
        self.means_ = means

    def _above_floor(self, covariance: FloatArray) -> FloatArray:
        scale = np.outer(self.scales_, self.scales_)
        values, vectors = np.linalg.eigh((covariance + covariance.T) / (2 * scale))
        if values[0] >= self.variance_floor:
            return covariance
        floored: FloatArray = (vectors * np.maximum(values, self.variance_floor)) @ vectors.T * scale
        return (floored + floored.T) / 2

    def log_prior(self) -> float:
        """Of the covariances: ``prior_frames`` frames that vary as all frames do."""
        if self.prior_frames == 0:
            return 0.0
        pooled = np.square(self.scales_)
        if self.covariance_type in ("diag", "spherical"):
            variances = self._variances()
            return float(-0.5 * self.prior_frames * (np.log(variances) + pooled / variances).sum())
        total = 0.0
        for covariance in self.covars_ if self.covariance_type == "full" else [self.covars_]:
            log_determinant = float(np.linalg.slogdet(covariance)[1])
            total += log_determinant + float(np.trace(np.linalg.solve(covariance, np.diag(pooled))))
        return -0.5 * self.prior_frames * total

    def sample(self, states: IntArray, rng: np.random.Generator) -> FloatArray:
        """Draw features (T, F) for each state."""
        self._check_fitted("sample()")
        noise = rng.standard_normal((len(states), self.means_.shape[1]))
        if self.covariance_type in ("diag", "spherical"):
            return np.asarray(self.means_[states] + noise * np.sqrt(self._variances())[states])
        if self.covariance_type == "tied":
            return np.asarray(self.means_[states] + noise @ np.linalg.cholesky(self.covars_).T)
        roots = np.linalg.cholesky(self.covars_)
        return np.asarray(self.means_[states] + np.einsum("tij,tj->ti", roots[states], noise))

    @property
    def n_parameters(self) -> int:
        """Numbers that are learned."""
        k, f = self.means_.shape
        covariances = {"diag": k * f, "spherical": k, "full": k * f * (f + 1) // 2, "tied": f * (f + 1) // 2}
        return int(k * f + covariances[self.covariance_type])

    def _variances(self) -> FloatArray:
        """Variance of each feature in each state, (K, F)."""
        if self.covariance_type == "diag":
            return self.covars_
        if self.covariance_type == "spherical":
            return np.repeat(self.covars_[:, None], self.means_.shape[1], axis=1)
        diagonal = np.diagonal(self.covars_, axis1=-2, axis2=-1)
        return np.asarray(np.broadcast_to(diagonal, self.means_.shape))

    def _pooled(self, k: int, f: int) -> FloatArray:
        pooled = np.square(self.scales_)
        shapes = {
            "diag": np.repeat(pooled[None], k, axis=0),
            "spherical": np.full(k, pooled.mean()),
            "tied": np.diag(pooled),
            "full": np.repeat(np.diag(pooled)[None], k, axis=0),
        }
        return shapes[self.covariance_type]

    def _rows(self, X: npt.ArrayLike) -> FloatArray:
        rows = require_rows(X)
        if rows.shape[1] != self.means_.shape[1]:
            raise UsageError(
                f"E-TEMPORAL-021: X has {rows.shape[1]} features, expected {self.means_.shape[1]} as in training"
            )
        return rows


def _pieces(n_frames: int) -> Iterator[slice]:
    """Pieces of the frames, so that what is computed on the way stays in the cache."""
    return (slice(start, start + PIECE) for start in range(0, n_frames, PIECE))
