"""Baselines that stand in the same table as the network: what it must beat to be worth its cost."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.errors import DataError, UsageError
from conv2d.features.statistics import window_statistics
from conv2d.models.random_kernels import RandomKernelClassifier

BASELINE_FORMAT = "conv2d-baselines/1"


class Baseline(Protocol):
    """What the evaluation asks of a baseline."""

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (N, K) of windows X (N, C, S, T); classes absent from the training have 0."""
        ...


@dataclass(frozen=True)
class Majority:
    """The class shares of the training windows, whatever the window shows.

    >>> Majority.fit(np.zeros((3, 1, 1, 4)), [0, 0, 1], n_classes=3).predict_proba(np.zeros((1, 1, 1, 4))).round(2)
    array([[0.67, 0.33, 0.  ]])
    """

    shares: NDArray[np.float64]

    @classmethod
    def fit(cls, X: ArrayLike, y: ArrayLike, n_classes: int) -> Majority:
        """Count the labels y (N,); X is not looked at."""
        counts = np.bincount(np.asarray(y, np.int64), minlength=n_classes)
        return cls(counts / counts.sum())

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """The shares, once for each window of X (N, ...)."""
        return np.tile(self.shares, (len(np.asarray(X)), 1))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """The shares as a tensor."""
        return {"shares": self.shares}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.generic]]) -> Majority:
        """The inverse of :meth:`state`, bit for bit."""
        return cls(np.asarray(state["shares"], np.float64))


@dataclass(frozen=True)
class StatisticsForest:
    """A random forest on :func:`conv2d.features.statistics.window_statistics`; a missing sensor is NaN, which it takes.

    It lives in memory only (300 trees are no tensors), so ``crossval`` shows it and a stored run does not.
    """

    forest: Any
    n_classes: int
    channels: tuple[str, ...] | None

    @classmethod
    def fit(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        n_classes: int,
        seed: int,
        *,
        channels: Sequence[str] | None = None,
        trees: int = 300,
    ) -> StatisticsForest:
        """Grow ``trees`` trees on windows X (N, C, S, T) with labels y (N,); same seed, same forest."""
        from sklearn.ensemble import RandomForestClassifier

        names = None if channels is None else tuple(channels)
        forest = RandomForestClassifier(n_estimators=trees, n_jobs=2, random_state=seed)
        return cls(forest.fit(window_statistics(X, names), np.asarray(y, np.int64)), n_classes, names)

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Shares of the trees' votes (N, K); leaves are often pure, so exact zeros occur."""
        out = np.zeros((len(np.asarray(X)), self.n_classes))
        out[:, self.forest.classes_] = self.forest.predict_proba(window_statistics(X, self.channels))
        return out


class _Fit(Protocol):
    def __call__(
        self,
        X: NDArray[np.float32],
        y: NDArray[np.int64],
        n_classes: int,
        seed: int,
        channels: Sequence[str] | None,
        groups: NDArray[Any] | None,
    ) -> Baseline: ...


_FIT: dict[str, _Fit] = {
    "majority": lambda X, y, n_classes, seed, channels, groups: Majority.fit(X, y, n_classes),
    "random_kernels": lambda X, y, n_classes, seed, channels, groups: RandomKernelClassifier.fit(
        X, y, n_classes, seed, groups=groups
    ),
    "forest": lambda X, y, n_classes, seed, channels, groups: StatisticsForest.fit(
        X, y, n_classes, seed, channels=channels
    ),
}
_FROM_STATE: dict[str, Callable[[Mapping[str, NDArray[np.generic]]], Majority | RandomKernelClassifier]] = {
    "majority": Majority.from_state,
    "random_kernels": RandomKernelClassifier.from_state,
}

BASELINES = tuple(_FIT)
"""Every baseline by name."""

STORED_BASELINES = tuple(_FROM_STATE)
"""Those that a run stores and ``eval`` compares with."""


def fit_baselines(
    names: Collection[str],
    X: ArrayLike,
    y: ArrayLike,
    n_classes: int,
    seed: int,
    *,
    channels: Sequence[str] | None = None,
    groups: ArrayLike | None = None,
) -> dict[str, Baseline]:
    """Fit baselines on the training windows.

    Parameters
    ----------
    names:
        Of :data:`BASELINES`.
    X, y:
        (N, C, S, T) windows, NaN where a sample is missing, and (N,) class indices; windows labelled -1 are left out.
    n_classes:
        K of the config. A class without a training window gets probability 0 in every row.
    channels:
        C names, which give the forest the norms of the triads as well.
    groups:
        (N,) subjects, for scores that leave out one subject at a time (see :func:`conv2d.models.ridge.fit_ridge`).

    Returns
    -------
    The fitted baselines by name, in the order of ``names``. Raises UsageError for an unknown name, DataError for
    labels outside -1..K-1, for fewer than two classes, and for lengths that differ.

    >>> fitted = fit_baselines(["majority"], np.zeros((4, 3, 1, 16)), [0, 1, 1, -1], 2, seed=0)
    >>> fitted["majority"].predict_proba(np.zeros((1, 3, 1, 16))).round(2)
    array([[0.33, 0.67]])
    """
    for name in names:
        if name not in _FIT:
            raise UsageError(
                f"E-EVAL-101: {name!r} is no baseline, expected one of {', '.join(BASELINES)}; correct the name"
            )
    windows, labels = np.asarray(X), np.asarray(y, np.int64)
    members = None if groups is None else np.asarray(groups)
    if labels.shape != (len(windows),) or (members is not None and members.shape != labels.shape):
        raise DataError(
            f"E-EVAL-102: got {len(windows)} windows with labels of shape {labels.shape} and groups of shape "
            f"{None if members is None else members.shape}, expected one of each a window; pass arrays of one length"
        )
    if labels.size and not (labels.min() >= -1 and labels.max() < n_classes):
        raise DataError(
            f"E-EVAL-103: labels run from {labels.min()} to {labels.max()}, expected -1 (not labelled) to "
            f"{n_classes - 1}; index them into the config's classes"
        )
    kept = labels >= 0
    if len(np.unique(labels[kept])) < 2:
        raise DataError(
            f"E-EVAL-104: the {int(kept.sum())} labelled training windows hold {len(np.unique(labels[kept]))} of "
            f"{n_classes} classes, baselines need at least 2; give recordings with more behaviours or other classes"
        )
    windows, labels = windows[kept].astype(np.float32, copy=False), labels[kept]
    members = None if members is None else members[kept]
    return {name: _FIT[name](windows, labels, n_classes, seed, channels, members) for name in names}


def save_baselines(path: str | Path, baselines: Mapping[str, Baseline]) -> None:
    """Store the baselines that are tensors (majority, random kernels) in one safetensors file, replaced in one step.

    Raises UsageError for a baseline that cannot be stored.
    """
    from safetensors.numpy import save

    tensors: dict[str, NDArray[np.generic]] = {}
    for name, baseline in baselines.items():
        if not isinstance(baseline, Majority | RandomKernelClassifier):
            raise UsageError(
                f"E-EVAL-105: the baseline {name!r} cannot be stored as tensors, expected some of "
                f"{', '.join(STORED_BASELINES)}; leave it out"
            )
        for key, array in baseline.state().items():
            tensors[f"{name}/{key}"] = np.ascontiguousarray(array)
    path = Path(path)
    aside = path.with_name(f"{path.name}.partial")
    try:
        # One entry only: safetensors writes several in an order that changes from call to call.
        aside.write_bytes(save(tensors, metadata={"format": BASELINE_FORMAT}))
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def load_baselines(path: str | Path) -> dict[str, Majority | RandomKernelClassifier]:
    """Read what :func:`save_baselines` wrote; the predictions are the same to the last bit.

    Raises DataError where the file is missing, damaged, or of another format.
    """
    from safetensors import SafetensorError, safe_open

    path = Path(path)
    if not path.is_file():
        raise DataError(f"E-EVAL-106: there is no file {path}, expected the baselines of a run; train the run again")
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (it is no mapping)
    except SafetensorError as error:
        raise DataError(
            f"E-EVAL-107: {path} is not a readable safetensors file ({error}), expected baselines in the format "
            f"{BASELINE_FORMAT}; copy the run again"
        ) from error
    stored = {key.partition("/")[0] for key in tensors}
    names = [*(name for name in STORED_BASELINES if name in stored), *sorted(stored - set(STORED_BASELINES))]
    if metadata.get("format") != BASELINE_FORMAT or not set(names) <= set(_FROM_STATE):
        raise DataError(
            f"E-EVAL-108: {path} has the format {metadata.get('format')!r} with baselines {names}, expected "
            f"{BASELINE_FORMAT!r} with some of {', '.join(STORED_BASELINES)}; use the version that wrote it"
        )
    return {
        name: _FROM_STATE[name](
            {key.removeprefix(f"{name}/"): array for key, array in tensors.items() if key.startswith(f"{name}/")}
        )
        for name in names
    }
