"""Temperature scaling: one number that makes a classifier's probabilities neither too sure nor too shy.

Source: Guo et al., "On calibration of modern neural networks", 2017.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError

FORMAT = "conv2d-temperature/1"

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(eq=False)
class TemperatureScaling:
    """Divide logits by a temperature fitted by log loss on subjects that the classifier has not seen.

    The loss is convex in 1 / temperature, so Newton's method with bisection finds its one minimum. A temperature at a
    bound is no fit but a symptom: at the lower one the classifier was stopped far too early or separates the fitting
    data perfectly, at the upper one it knows nothing; ``at_bound_`` says so. The predicted class never changes.

    Args:
        low: smallest temperature.
        high: largest temperature.
        by_subject: every subject weighs the same, however many windows it has.

    Attributes:
        temperature_: the fitted temperature; above 1 softens, below 1 sharpens.
        at_bound_: whether it stands at ``low`` or ``high``.
        nll_before_, nll_after_: log loss in nats on the fitting data, at temperature 1 and at the fitted one.
        n_: rows that were used.
        subjects_: subjects that were seen.

    Example:
        >>> import numpy as np
        >>> rng = np.random.default_rng(0)
        >>> logits = rng.normal(size=(2000, 3))
        >>> y = [rng.choice(3, p=p) for p in np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)]
        >>> scaling = TemperatureScaling().fit(4 * logits, y)
        >>> bool(3.5 < scaling.temperature_ < 4.5), scaling.at_bound_
        (True, False)
    """

    low: float = 0.05
    high: float = 20.0
    by_subject: bool = False

    temperature_: float = field(init=False)
    at_bound_: bool = field(init=False)
    nll_before_: float = field(init=False)
    nll_after_: float = field(init=False)
    n_: int = field(init=False)
    subjects_: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Check the bounds."""
        if not (np.isfinite(self.high) and 0 < self.low < self.high):
            raise UsageError(f"E-CALIB-001: low is {self.low} and high {self.high}, expected 0 < low < high")

    def fit(self, logits: npt.ArrayLike, y: npt.ArrayLike, groups: Sequence[str] | None = None) -> Self:
        """Fit the temperature.

        Args:
            logits: (N, K) scores before the softmax; log probabilities serve as well.
            y: (N,) class indices; rows below 0 are unlabelled and left out.
            groups: (N,) subject of each row; needed with ``by_subject``.

        Raises:
            UsageError: shapes that do not match, NaN, labels beyond K, no labelled row, or ``by_subject`` without
                groups (E-CALIB-002, -003).

        Cost: O(N K) a step, about ten steps.
        """
        scores, truth = _check(logits), np.asarray(y)
        if truth.dtype.kind not in "iu" or truth.shape != (len(scores),):
            raise UsageError(
                f"E-CALIB-002: y is {truth.dtype} of shape {truth.shape}, expected integers ({len(scores)},) as logits"
            )
        if groups is not None and len(groups) != len(scores):
            raise UsageError(f"E-CALIB-002: got {len(groups)} groups for {len(scores)} rows, expected one each")
        if groups is None and self.by_subject:
            raise UsageError("E-CALIB-003: by_subject is set but no groups were given, expected groups= in fit()")
        labelled = truth >= 0
        if not labelled.any():
            raise UsageError(f"E-CALIB-003: none of {len(scores)} rows is labelled, expected at least one")
        scores, truth = scores[labelled], truth[labelled].astype(np.int64)
        if truth.max() >= scores.shape[1]:
            raise UsageError(f"E-CALIB-002: y holds {truth.max()}, expected 0 to {scores.shape[1] - 1} or below 0")
        names = None if groups is None else np.asarray(groups, dtype=str)[labelled]
        weights = np.full(len(truth), 1 / len(truth))
        if self.by_subject and names is not None:
            _, member, sizes = np.unique(names, return_inverse=True, return_counts=True)
            weights = 1 / (sizes[member] * len(sizes))
        # Largest score of a row = 0: no overflow at any temperature.
        scores = scores - scores.max(axis=1, keepdims=True)
        inverse = _minimise(scores, truth, weights, 1 / self.high, 1 / self.low)
        self.temperature_ = 1 / inverse
        self.at_bound_ = inverse in (1 / self.high, 1 / self.low)
        self.nll_before_ = _loss(scores, truth, weights, 1.0)
        self.nll_after_ = _loss(scores, truth, weights, inverse)
        self.n_ = len(truth)
        self.subjects_ = () if names is None else tuple(np.unique(names).tolist())
        return self

    @classmethod
    def identity(cls) -> Self:
        """A temperature of 1 that nothing was fitted on: `transform` is the softmax."""
        scaling = cls()
        scaling.temperature_, scaling.at_bound_, scaling.n_, scaling.subjects_ = 1.0, False, 0, ()
        scaling.nll_before_ = scaling.nll_after_ = float("nan")
        return scaling

    def transform(self, logits: npt.ArrayLike) -> FloatArray:
        """Probabilities (N, K) float64 of logits (N, K): softmax(logits / temperature). O(N K)."""
        self._check_fitted("transform")
        return _softmax(_check(logits) / self.temperature_)

    def _check_fitted(self, verb: str) -> None:
        if not hasattr(self, "temperature_"):
            raise UsageError(f"E-CALIB-004: TemperatureScaling is not fitted, expected fit() before {verb}()")

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        self._check_fitted("to_dict")
        return {
            "format": FORMAT,
            "low": self.low,
            "high": self.high,
            "by_subject": self.by_subject,
            "temperature": self.temperature_,
            "at_bound": self.at_bound_,
            "nll_before": self.nll_before_,
            "nll_after": self.nll_after_,
            "n": self.n_,
            "subjects": list(self.subjects_),
        }

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave.

        Raises:
            UsageError: unknown format version, or missing fields (E-CALIB-005).
        """
        got = data.get("format") if isinstance(data, dict) else type(data).__name__
        if got != FORMAT:
            raise UsageError(f"E-CALIB-005: got a temperature of format {got!r}, expected {FORMAT!r}; calibrate again")
        try:
            scaling = cls(float(data["low"]), float(data["high"]), bool(data["by_subject"]))
            scaling.temperature_ = float(data["temperature"])
            scaling.at_bound_ = bool(data["at_bound"])
            scaling.nll_before_, scaling.nll_after_ = float(data["nll_before"]), float(data["nll_after"])
            scaling.n_ = int(data["n"])
            scaling.subjects_ = tuple(str(subject) for subject in data["subjects"])
        except (KeyError, TypeError, ValueError) as problem:
            raise UsageError(
                f"E-CALIB-005: the stored temperature cannot be read ({problem}), expected what to_dict() wrote"
            ) from problem
        return scaling


def _check(logits: npt.ArrayLike) -> FloatArray:
    scores = np.asarray(logits, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise UsageError(f"E-CALIB-002: logits have shape {scores.shape}, expected (N, K)")
    bad = ~np.isfinite(scores).all(axis=1)
    if bad.any():
        raise UsageError(
            f"E-CALIB-002: logits row {int(bad.argmax())} holds NaN or infinity, expected finite scores; "
            "drop frames without data first"
        )
    return scores


def _softmax(scores: FloatArray) -> FloatArray:
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    proba: FloatArray = weights / weights.sum(axis=1, keepdims=True)
    return proba


def _loss(scores: FloatArray, truth: IntArray, weights: FloatArray, inverse: float) -> float:
    """Mean log loss of softmax(inverse * scores); rows of scores have maximum 0."""
    scaled = inverse * scores
    log_total = np.log(np.exp(scaled).sum(axis=1))
    return float((weights * (log_total - scaled[np.arange(len(truth)), truth])).sum())


def _slope(scores: FloatArray, truth: IntArray, weights: FloatArray, inverse: float) -> tuple[float, float]:
    """First and second derivative of the loss by the inverse temperature: mean score - true score, and variance."""
    proba = _softmax(inverse * scores)
    mean = (proba * scores).sum(axis=1)
    variance = (proba * (scores - mean[:, None]) ** 2).sum(axis=1)
    return float((weights * (mean - scores[np.arange(len(truth)), truth])).sum()), float((weights * variance).sum())


def _minimise(scores: FloatArray, truth: IntArray, weights: FloatArray, low: float, high: float) -> float:
    """Inverse temperature of least loss in [low, high]; exactly a bound when the loss falls towards it."""
    at = min(max(1.0, low), high)
    if not scores.any():
        # Constant logits: every temperature is as good, so leave them alone.
        return at
    if _slope(scores, truth, weights, low)[0] >= 0:
        return low
    if _slope(scores, truth, weights, high)[0] <= 0:
        return high
    for _ in range(100):
        first, second = _slope(scores, truth, weights, at)
        low, high = (at, high) if first < 0 else (low, at)
        step = at - first / second if second > 0 else (low + high) / 2
        # Newton from afar may leave the bracket; then halve it.
        if not low < step < high:
            step = (low + high) / 2
        if abs(step - at) <= 1e-10 * at:
            break
        at = step
    return at
