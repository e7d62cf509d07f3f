"""Majority vote in a sliding window: removes flicker, knows nothing of durations or order."""

from dataclasses import dataclass
from typing import Any, Self

import numpy.typing as npt

from conv2d.temporal.protocol import Decoded, check_format, held_argmax, require_positive
from conv2d.temporal.raw import FORMAT
from conv2d_core import mode_filter


@dataclass(frozen=True)
class ModeFilter:
    """Most frequent label within ``window_s`` seconds around each frame.

    The window is the odd number of frames nearest to ``window_s``, the wider of two equally near; ties keep the
    frame's own label. Brings no new label and never adds transitions. O(T log K).

    Args:
        window_s: width of the window in seconds.
        frame_s: seconds between frames.

    Example:
        >>> import numpy as np
        >>> flicker = np.log([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8], [0.9, 0.1], [0.9, 0.1]])
        >>> ModeFilter(window_s=1.5, frame_s=0.5).decode(flicker).labels.tolist()
        [0, 0, 0, 0, 0]
    """

    window_s: float
    frame_s: float

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_positive(self.window_s, "window_s")
        require_positive(self.frame_s, "frame_s")

    @property
    def frames(self) -> int:
        """Width of the window in frames, odd."""
        return 2 * int(self.window_s / self.frame_s / 2 + 1e-9) + 1

    def decode(self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None) -> Decoded:
        """Decode log probabilities (T, K); see :class:`~conv2d.temporal.protocol.Decoder`."""
        return Decoded.of(mode_filter(held_argmax(log_proba, has_data), self.frames))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"format": FORMAT, "kind": "mode", "window_s": self.window_s, "frame_s": self.frame_s}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave."""
        stored = check_format(data, FORMAT, "mode")
        return cls(window_s=float(stored["window_s"]), frame_s=float(stored["frame_s"]))
