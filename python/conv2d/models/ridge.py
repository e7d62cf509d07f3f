"""Ridge classifier in closed form: strength and temperature chosen on exact leave-out scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from conv2d.errors import DataError

ALPHAS = (1.0, 10.0, 100.0, 1e3, 1e4, 1e5)
"""Strengths tried, for standardised features: from almost none to almost nothing but the intercept."""

_TEMPERATURES = np.geomspace(0.1, 100.0, 301)
_LEFT_OUT = 3000  # windows whose leave-out scores are computed: the triangular solve for them is the dearest step


@dataclass(frozen=True)
class Ridge:
    """A fitted ridge classifier: scores are linear in the features, probabilities a softmax of scaled scores.

    weights (F, K) and intercept (K,) act on the features as they come (standardisation is folded in); ``present``
    (K,) tells the classes that the training data held: the others have probability 0, since nothing is known of them.
    ``alpha`` and ``temperature`` (the factor of the scores) are what :func:`fit_ridge` chose.
    """

    weights: NDArray[np.float64]
    intercept: NDArray[np.float64]
    present: NDArray[np.bool_]
    alpha: float
    temperature: float

    def scores(self, features: ArrayLike) -> NDArray[np.float64]:
        """Scores (N, K) of features (N, F): about +1 for the class that it is and -1 for the others."""
        result: NDArray[np.float64] = np.asarray(features, np.float64) @ self.weights + self.intercept
        return result

    def predict_proba(self, features: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (N, K) of features (N, F); each row sums to one, absent classes have 0."""
        out = np.zeros((len(np.asarray(features)), len(self.present)))
        out[:, self.present] = _softmax(self.temperature * self.scores(features)[:, self.present])
        return out

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to predict, as arrays."""
        return {
            "weights": self.weights,
            "intercept": self.intercept,
            "present": self.present,
            "alpha": np.float64(self.alpha).reshape(1),
            "temperature": np.float64(self.temperature).reshape(1),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.generic]]) -> Ridge:
        """The inverse of :meth:`state`, bit for bit."""
        return cls(
            weights=np.asarray(state["weights"], np.float64),
            intercept=np.asarray(state["intercept"], np.float64),
            present=np.asarray(state["present"], np.bool_),
            alpha=float(np.asarray(state["alpha"], np.float64)[0]),
            temperature=float(np.asarray(state["temperature"], np.float64)[0]),
        )


def fit_ridge(
    features: ArrayLike,
    y: ArrayLike,
    n_classes: int,
    *,
    groups: ArrayLike | None = None,
    alphas: tuple[float, ...] = ALPHAS,
) -> Ridge:
    """Fit one-against-rest ridge with +1/-1 targets, an unpenalised intercept and standardised features.

    Parameters
    ----------
    features, y:
        (N, F) finite numbers and (N,) class indices below ``n_classes``; at least two classes.
    groups:
        (N,) subjects. The scores that choose the strength and the temperature then leave out a whole subject at a
        time, which is what a new subject will meet; without groups (or with a single one) they leave out one window,
        which flatters where windows overlap.
    alphas:
        Strengths in rising order. The search starts in the middle and walks downhill, so a usual fit costs three
        factorisations; it assumes one valley, as the leave-out error of ridge has in practice.

    Returns
    -------
    A :class:`Ridge`. Same input, same result.

    The leave-out scores are exact, not refitted: with the hat matrix H of centred ridge (intercept included) the
    residuals of a left-out group g are (I - H_gg)^-1 (y - Hy)_g; only centre and scale of the features are kept from
    the whole. They are computed for whole groups, evenly spread over the groups, up to about 3,000 windows. The
    strength minimises their squared error, the temperature the NLL of softmax(temperature * score). Cost O(N F^2) once
    and O(F^3 + 3000 F^2) for each strength (N in place of F where windows are fewer), memory O(N F) of float64.

    >>> X = np.array([[0.0], [0.1], [0.9], [1.0]])
    >>> fit_ridge(X, [0, 0, 1, 1], 2).predict_proba([[0.05], [0.95]]).argmax(axis=1)
    array([0, 1])
    """
    x = np.array(features, np.float64)
    labels = np.asarray(y, np.int64)
    present = np.bincount(labels, minlength=n_classes) > 0
    if present.sum() < 2:
        raise DataError(
            f"E-MODEL-101: the training windows hold {int(present.sum())} of {n_classes} classes, a classifier needs "
            "at least 2; give recordings with more behaviours or choose other classes"
        )
    centre = x.mean(axis=0)
    scale = x.std(axis=0)
    # A feature that does not vary carries nothing; its deviation is rounding, and dividing by it would make it noise.
    scale[scale <= 1e-9 * np.maximum(np.abs(centre), 1.0)] = np.inf
    x -= centre
    x /= scale
    targets = np.where(labels[:, None] == np.flatnonzero(present), 1.0, -1.0)
    offset = targets.mean(axis=0)
    blocks = _blocks(groups, len(x))
    solver = _Solver(x, targets - offset, blocks)

    tried: dict[int, tuple[float, NDArray[np.float64], NDArray[np.float64]]] = {}

    def error(index: int) -> float:
        if index not in tried:
            weights, residuals = solver.solve(alphas[index])
            tried[index] = (float(np.square(residuals).mean()), weights, residuals)
        return tried[index][0]

    best = len(alphas) // 2
    for step in (-1, 1):
        while 0 <= best + step < len(alphas) and error(best + step) < error(best):
            best += step
    error(best)
    _, coefficients, residuals = tried[best]
    rows = solver.rows.numpy()
    index = (np.cumsum(present) - 1)[labels[rows]]
    temperature = _fit_temperature(targets[rows] - residuals, index)
    weights = np.zeros((x.shape[1], n_classes))
    intercept = np.zeros(n_classes)
    weights[:, present] = coefficients / scale[:, None]
    intercept[present] = offset - centre @ weights[:, present]
    return Ridge(weights, intercept, present, float(alphas[best]), temperature)


class _Solver:
    """Solves for one strength after another on the smaller side: F x F, or N x N where windows are fewer."""

    def __init__(self, x: NDArray[np.float64], targets: NDArray[np.float64], blocks: list[NDArray[np.int64]]) -> None:
        self.x, self.targets = torch.from_numpy(x), torch.from_numpy(targets)
        self.rows = torch.from_numpy(np.concatenate(blocks))
        self.sizes = [len(block) for block in blocks]
        self.primal = x.shape[0] >= x.shape[1]
        # numpy sees that a matrix times its own transpose is symmetric and does half the work; torch does not.
        self.gram = torch.from_numpy(x.T @ x if self.primal else x @ x.T)
        self.moments = self.x.T @ self.targets

    def solve(self, alpha: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Weights (F, K), and leave-out residuals (R, K) of ``rows``."""
        penalised = self.gram.clone()
        penalised.diagonal().add_(alpha)
        factor = torch.linalg.cholesky(penalised)
        if self.primal:
            weights = torch.cholesky_solve(self.moments, factor)
            half: torch.Tensor = torch.linalg.solve_triangular(factor, self.x[self.rows].T, upper=False)
            parts = torch.split(half, self.sizes, 1)
            blocks = (torch.eye(part.shape[1], dtype=torch.float64) - part.T @ part for part in parts)
        else:
            weights = self.x.T @ torch.cholesky_solve(self.targets, factor)
            # A solve against the identity: cholesky_inverse takes ten times as long.
            inverse = torch.cholesky_solve(torch.eye(len(factor), dtype=torch.float64), factor)
            blocks = (alpha * inverse[rows][:, rows] for rows in torch.split(self.rows, self.sizes))
        residuals = self.targets[self.rows] - self.x[self.rows] @ weights
        share = 1 / len(self.x)  # the intercept's part of the hat matrix
        left_out = [
            torch.linalg.solve(remainder - share, residual)
            for remainder, residual in zip(blocks, torch.split(residuals, self.sizes), strict=True)
        ]
        return weights.numpy(), torch.cat(left_out).numpy()


def _blocks(groups: ArrayLike | None, n: int) -> list[NDArray[np.int64]]:
    """Rows to leave out together: those of a group, or each by itself; whole blocks up to about ``_LEFT_OUT`` rows."""
    names, member = np.unique(np.arange(n) if groups is None else np.asarray(groups), return_inverse=True)
    if len(member) != n:
        raise DataError(f"E-MODEL-102: {len(member)} groups were given for {n} windows; give one subject a window")
    if len(names) < 2:
        names, member = np.arange(n), np.arange(n)
    wanted = max(2, round(len(names) * min(1.0, _LEFT_OUT / n)))
    chosen = np.unique(np.linspace(0, len(names) - 1, wanted).round().astype(np.int64))
    order = np.argsort(member, kind="stable")
    first = np.searchsorted(member[order], np.arange(len(names) + 1))
    return [order[first[index] : first[index + 1]] for index in chosen]


def _softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True))
    result: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return result


def _fit_temperature(scores: NDArray[np.float64], index: NDArray[np.int64]) -> float:
    """The factor of the grid with the least NLL; a grid, because NLL is flat near its minimum and never lies there."""
    shifted = scores - scores.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(scores)), index].mean()
    nll = [np.log(np.exp(t * shifted).sum(axis=1)).mean() - t * own for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(nll))])
