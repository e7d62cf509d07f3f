"""What a state emits: the protocol that a model of observations keeps to, and scores that were computed beforehand.

Two methods are enough for an emission model of your own::

    class Own:
        def log_likelihood(self, X):  # (T, K) float64: log density of each frame under each state
            ...

        def update(self, X, posteriors):  # posteriors (T, K): how much of each frame belongs to each state
            ...  # set the parameters that maximise (posteriors * log_likelihood).sum()

``X`` is what was given to ``HSMM.fit``, whole, whatever it is. A frame without data should score zeros. ``update`` may
also maximise the sum above plus a log prior of its own, which ``log_prior()`` then returns: what never falls is the sum
of both. Further methods are used where they are there:

- ``prepare(X, n_states)`` once before the first step of ``fit`` (constants that depend on the data);
- ``features(X, rng)`` (T, F) float64, NaN rows without data: what the frames are clustered by to find starts, after
  which ``update`` is called with the clusters. Without it the object's own parameters are the start;
- ``n_parameters`` for ``aic`` and ``bic``;
- ``sample(states, rng)`` for ``HSMM.sample``;
- ``to_dict()`` is not used: a model with emissions of your own is kept with pickle.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.protocol import BoolArray, FloatArray, IntArray, require_positive

EmissionName = Literal["gaussian", "categorical", "scores"]


@runtime_checkable
class EmissionModel(Protocol):
    """What every emission model has; see the module for what else is used where it is there."""

    def log_likelihood(self, X: Any) -> FloatArray:
        """Log density (T, K) of each frame under each state."""
        ...

    def update(self, X: Any, posteriors: FloatArray) -> None:
        """Set the parameters that are likeliest when frames belong to states in shares ``posteriors`` (T, K)."""
        ...


@dataclass(eq=False)
class StoredEmissions(ABC):
    """Base of the emission models that can be written into ``hsmm.json``: parameters, and arrays that were fitted."""

    KIND: ClassVar[str]
    ARRAYS: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def log_likelihood(self, X: Any) -> FloatArray:
        """Log density (T, K) of each frame under each state."""

    @abstractmethod
    def update(self, X: Any, posteriors: FloatArray) -> None:
        """Set the parameters that are likeliest when frames belong to states in shares ``posteriors`` (T, K)."""

    @abstractmethod
    def without(self, X: Any, has_data: BoolArray) -> Any:
        """X in which frames say nothing where ``has_data`` (T,) is False."""

    def log_prior(self) -> float:
        """Log density of the parameters under their prior, up to a constant; 0 without one."""
        return 0.0

    def get_params(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.init}

    def to_dict(self) -> dict[str, Any]:
        """Parameters and fitted arrays as plain JSON values, exact to the last bit."""
        return {"kind": self.KIND, "params": self.get_params(), "fitted": self._fitted_to_dict()}

    def _fitted_to_dict(self) -> dict[str, Any]:
        return {name: np.asarray(getattr(self, name)).tolist() for name in self.ARRAYS if hasattr(self, name)}

    def _fitted_from_dict(self, stored: dict[str, Any]) -> None:
        for name in self.ARRAYS:
            if name in stored:
                setattr(self, name, np.array(stored[name], dtype=np.float64))

    def _check_fitted(self, verb: str) -> None:
        if any(not hasattr(self, name) for name in self.ARRAYS):
            raise UsageError(f"E-TEMPORAL-001: {type(self).__name__} is not fitted, expected HSMM.fit() before {verb}")


@dataclass(eq=False)
class ScoreEmissions(StoredEmissions):
    """X itself is the log likelihoods (T, K) of the frames: only durations and transitions are learned.

    Args:
        weight: how much one frame counts; below 1 for overlapping windows, which err together.

    Example:
        >>> ScoreEmissions(weight=0.5).log_likelihood([[0.0, -2.0], [np.nan, 0.0]])
        array([[ 0., -1.],
               [ 0.,  0.]])
    """

    KIND: ClassVar[str] = "scores"

    weight: float = 1.0

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_positive(self.weight, "weight")

    n_parameters: ClassVar[int] = 0

    def log_likelihood(self, X: npt.ArrayLike) -> FloatArray:
        """Log likelihoods (T, K), zeros in a row with NaN."""
        scores = require_rows(X, scores=True)
        return np.asarray(np.where(np.isnan(scores).any(axis=1, keepdims=True), 0.0, self.weight * scores))

    def update(self, X: npt.ArrayLike, posteriors: FloatArray) -> None:
        """Nothing to learn."""

    def without(self, X: npt.ArrayLike, has_data: BoolArray) -> FloatArray:
        """X with NaN in frames without data."""
        return np.asarray(np.where(has_data[:, None], np.asarray(X, dtype=np.float64), np.nan))


def require_rows(X: npt.ArrayLike, *, scores: bool = False) -> FloatArray:
    """X (T,) or (T, F) as float64 (T, F); NaN is a missing value, and -inf may be a score.

    Raises:
        UsageError: no numbers, another shape, or infinite (E-TEMPORAL-021).
    """
    try:
        rows = np.asarray(X, dtype=np.float64)
    except (TypeError, ValueError) as problem:
        raise UsageError(f"E-TEMPORAL-021: X holds no numbers ({problem}), expected float (T, F)") from problem
    rows = rows[:, None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise UsageError(f"E-TEMPORAL-021: X has shape {rows.shape}, expected (T, F), recordings one after the other")
    infinite = np.isposinf(rows) if scores else np.isinf(rows)
    if bool(infinite.any()):
        row = int(infinite.any(axis=1).argmax())
        raise UsageError(
            f"E-TEMPORAL-021: X row {row} is infinite, expected finite numbers; NaN where there is no data"
        )
    return rows


def draw(probabilities: FloatArray, states: IntArray, rng: np.random.Generator) -> IntArray:
    """For each state (T,) a column of its row of probabilities (K, S)."""
    cumulative = np.cumsum(probabilities, axis=1)
    uniform = rng.random(len(states))
    drawn = np.empty(len(states), np.int64)
    for state in np.unique(states):
        own = states == state
        drawn[own] = np.searchsorted(cumulative[state] / cumulative[state, -1], uniform[own], side="right")
    clipped: IntArray = np.minimum(drawn, probabilities.shape[1] - 1)
    return clipped
