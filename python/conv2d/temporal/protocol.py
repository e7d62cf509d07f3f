"""What every decoder takes and gives, so that they can stand beside each other in one table."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.metrics.segments import runs

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Decoded:
    """A timeline in frames.

    Attributes:
        labels: (T,) int64 class of each frame.
        segments: (n, 3) int64 label, first frame, frame after the last; neighbours differ in label.
        score: log score of the timeline under the model, NaN for a rule that has no model.
    """

    labels: IntArray
    segments: IntArray
    score: float = float("nan")

    @classmethod
    def of(cls, labels: npt.ArrayLike, score: float = float("nan")) -> "Decoded":
        """Wrap labels (T,) and find their segments."""
        sequence = np.asarray(labels, dtype=np.int64)
        return cls(sequence, runs(sequence), score)


class Decoder(Protocol):
    """Turns log probabilities of frames into a timeline."""

    def decode(self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None) -> Decoded:
        """Decode log probabilities (T, K) of one recording; ``has_data`` (T,) bool is False where no sensor spoke."""
        ...

    def to_dict(self) -> dict[str, Any]:
        """Everything that is needed to decode again, as plain JSON values."""
        ...


def check_log_proba(
    log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None, n_states: int | None = None
) -> tuple[FloatArray, BoolArray]:
    """Check log probabilities (T, K) and the mask (T,); frames without data may hold anything, NaN included.

    Raises:
        UsageError: wrong shapes, or NaN or positive values in a frame with data; names the row (E-TEMPORAL-002, -003).
    """
    scores = np.asarray(log_proba, dtype=np.float64)
    if scores.ndim != 2 or scores.shape[1] == 0 or (n_states is not None and scores.shape[1] != n_states):
        wanted = "K" if n_states is None else str(n_states)
        raise UsageError(f"E-TEMPORAL-002: log_proba has shape {scores.shape}, expected (T, {wanted}); one row a frame")
    mask = np.ones(len(scores), bool) if has_data is None else np.asarray(has_data)
    if mask.dtype != np.bool_ or mask.shape != (len(scores),):
        raise UsageError(
            f"E-TEMPORAL-002: has_data is {mask.dtype} of shape {mask.shape}, expected bool ({len(scores)},)"
        )
    # A rounding hair above zero is a probability of one; more is no log probability.
    bad = mask & ~(scores <= 1e-3).all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise UsageError(
            f"E-TEMPORAL-003: log_proba row {row} holds NaN or values above 0 ({scores[row].max():.4g}), expected log "
            "probabilities; take the log of a softmax, and mark frames without data in has_data"
        )
    return scores, mask


def held_argmax(log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None) -> IntArray:
    """Most likely class of each frame; a frame without data keeps the class of the last one with data.

    Frames before the first with data take its class. Ties go to the lower class.

    Raises:
        UsageError: not one frame has data (E-TEMPORAL-004).
    """
    scores, mask = check_log_proba(log_proba, has_data)
    if not len(scores):
        return np.empty(0, np.int64)
    if not mask.any():
        raise UsageError(
            f"E-TEMPORAL-004: none of {len(scores)} frames has data, expected at least one; leave the recording out"
        )
    source = np.maximum.accumulate(np.where(mask, np.arange(len(scores)), -1))
    source[source < 0] = mask.argmax()
    labels: IntArray = scores.argmax(axis=1)[source].astype(np.int64)
    return labels


def check_lengths(lengths: npt.ArrayLike | None, n_frames: int) -> tuple[int, ...]:
    """Frames of each recording; one recording without ``lengths``.

    Raises:
        UsageError: lengths that are no whole numbers, or do not add up to T (E-TEMPORAL-022).
    """
    if lengths is None:
        return (n_frames,)
    numbers = np.asarray(lengths)
    if numbers.dtype.kind not in "iu" or numbers.ndim != 1 or (numbers < 0).any() or int(numbers.sum()) != n_frames:
        raise UsageError(
            f"E-TEMPORAL-022: lengths are {lengths!r}, expected whole numbers that sum to the {n_frames} frames of X"
        )
    return tuple(int(n) for n in numbers)


def check_transitions(log_transitions: npt.ArrayLike | None, n_frames: int, n_states: int) -> FloatArray | None:
    """Transitions of each frame (T, K, K), or None.

    Raises:
        UsageError: another shape (E-TEMPORAL-022).
    """
    if log_transitions is None:
        return None
    given = np.asarray(log_transitions, dtype=np.float64)
    if given.shape != (n_frames, n_states, n_states):
        raise UsageError(
            f"E-TEMPORAL-022: log_transitions have shape {given.shape}, expected {(n_frames, n_states, n_states)}, a "
            "matrix for the changes into each frame"
        )
    return given


def require_positive(value: float, name: str) -> float:
    """Return ``value``, or raise UsageError (E-TEMPORAL-005) unless it is a finite number above zero."""
    if not (np.isfinite(value) and value > 0):
        raise UsageError(f"E-TEMPORAL-005: {name} is {value}, expected a finite number above 0")
    return float(value)


def check_format(data: Any, expected: str, kind: str) -> dict[str, Any]:
    """Return ``data`` when it is a mapping of format ``expected`` and kind ``kind``.

    Raises:
        UsageError: another or no format (E-TEMPORAL-006): files of an unknown version are never guessed at.
    """
    got = (data.get("format"), data.get("kind")) if isinstance(data, dict) else (type(data).__name__, None)
    if got != (expected, kind):
        raise UsageError(
            f"E-TEMPORAL-006: got a decoder of format {got[0]!r} and kind {got[1]!r}, expected {expected!r} and "
            f"{kind!r}; write it again with this version of conv2d"
        )
    checked: dict[str, Any] = data
    return checked
