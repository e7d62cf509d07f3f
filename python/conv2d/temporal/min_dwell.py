"""A shortest stay: segments inside a recording that are shorter are given to a neighbour, without exception."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from conv2d.temporal.protocol import Decoded, check_format, held_argmax, require_positive
from conv2d.temporal.raw import FORMAT
from conv2d_core import min_dwell


@dataclass(frozen=True)
class MinDwell:
    """No segment in the inside of a recording is shorter than ``min_dwell_s``; a guarantee on any input.

    The shortest segment goes first, to the longer of its neighbours. The first and the last segment are cut off by the
    recording's ends and stay. Brings no new label, never adds transitions. O(T + n log n).

    Args:
        min_dwell_s: seconds that a segment lasts at least; rounded up to whole frames.
        frame_s: seconds between frames.

    Example:
        >>> import numpy as np
        >>> flicker = np.log([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.9, 0.1]])
        >>> MinDwell(min_dwell_s=1.0, frame_s=0.5).decode(flicker).labels.tolist()
        [0, 0, 0, 0, 0]
    """

    min_dwell_s: float
    frame_s: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_positive(self.min_dwell_s, "min_dwell_s")
        require_positive(self.frame_s, "frame_s")

    @property
    def frames(self) -> int:
        """Shortest stay in frames."""
        # The hair keeps 0.3 / 0.1 from becoming four frames.
        return max(1, int(np.ceil(self.min_dwell_s / self.frame_s - 1e-9)))

    def decode(self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None) -> Decoded:
        """Decode log probabilities (T, K); see :class:`~conv2d.temporal.protocol.Decoder`."""
        return Decoded.of(min_dwell(held_argmax(log_proba, has_data), self.frames))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"format": FORMAT, "kind": "min_dwell", "min_dwell_s": self.min_dwell_s, "frame_s": self.frame_s}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave."""
        stored = check_format(data, FORMAT, "min_dwell")
        return cls(min_dwell_s=float(stored["min_dwell_s"]), frame_s=float(stored["frame_s"]))
