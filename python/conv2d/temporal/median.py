"""Mode filter, then a shortest stay: the policy for sequences of motifs or labels in frames.

Known by its old name, median hysteresis. Labels have no order, so the "median" is the mode; and the stay is held by
removing short segments, not by a counter that has to be outvoted: a counter that stands still while a label is held
can lock in for ever (three frames of A, then A to the end, whatever follows), and one pass of merging leaves short
segments behind. Neither can happen here.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from conv2d.errors import UsageError
from conv2d.temporal.protocol import Decoded, check_format, held_argmax
from conv2d.temporal.raw import FORMAT
from conv2d_core import min_dwell, mode_filter


@dataclass(frozen=True)
class MedianHysteresisPolicy:
    """Smooth sequences of integers: majority within ``window_size`` frames, then no stay below ``min_dwell`` frames.

    On any input: no segment between the first and the last one is shorter than ``min_dwell``, no label is new, there
    are never more transitions than before, and a label that stays is followed.

    Args:
        min_dwell: shortest stay in frames, at least 1.
        window_size: odd width of the majority vote in frames, at least 1.

    Example:
        >>> policy = MedianHysteresisPolicy(min_dwell=3, window_size=3)
        >>> policy.smooth([[4, 4, 4, 7, 4, 4, 9, 9, 9, 9]]).tolist()
        [[4, 4, 4, 4, 4, 4, 9, 9, 9, 9]]
    """

    min_dwell: int = 5
    window_size: int = 7

    def __post_init__(self) -> None:
        """Check the parameters."""
        if self.min_dwell < 1:
            raise UsageError(f"E-TEMPORAL-005: min_dwell is {self.min_dwell}, expected at least 1 frame")
        if self.window_size < 1 or self.window_size % 2 == 0:
            raise UsageError(
                f"E-TEMPORAL-005: window_size is {self.window_size}, expected an odd number of frames, 1 or more"
            )

    def smooth(self, motifs: npt.ArrayLike) -> npt.NDArray[np.signedinteger[Any]]:
        """Smooth (T,) or (B, T) integers, each row by itself.

        Returns:
            The same shape; int32 stays int32, everything else becomes int64. O(B T log K).

        Raises:
            UsageError: not integers, or another rank (E-TEMPORAL-010).
        """
        labels: npt.NDArray[Any] = np.asarray(motifs)
        if labels.ndim not in (1, 2) or (labels.dtype.kind not in "iu" and labels.size):
            raise UsageError(
                f"E-TEMPORAL-010: motifs are {labels.dtype} of shape {labels.shape}, expected integers (T,) or (B, T)"
            )
        if labels.dtype != np.int32:
            labels = labels.astype(np.int64)
        smoothed: npt.NDArray[np.signedinteger[Any]] = min_dwell(mode_filter(labels, self.window_size), self.min_dwell)
        return smoothed

    def decode(self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None) -> Decoded:
        """Smooth the argmax of log probabilities (T, K); see :class:`~conv2d.temporal.protocol.Decoder`."""
        return Decoded.of(self.smooth(held_argmax(log_proba, has_data)))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "format": FORMAT,
            "kind": "median_hysteresis",
            "min_dwell": self.min_dwell,
            "window_size": self.window_size,
        }

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave."""
        stored = check_format(data, FORMAT, "median_hysteresis")
        return cls(min_dwell=int(stored["min_dwell"]), window_size=int(stored["window_size"]))
