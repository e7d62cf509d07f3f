"""No smoothing at all: the most likely class of each frame, to stand beside the others."""

from dataclasses import dataclass
from typing import Any, Self

import numpy.typing as npt

from conv2d.temporal.protocol import Decoded, check_format, held_argmax

FORMAT = "conv2d-smoothing/1"


@dataclass(frozen=True)
class Raw:
    """Argmax of each frame; frames without data keep the last class.

    Example:
        >>> import numpy as np
        >>> Raw().decode(np.log([[0.9, 0.1], [0.4, 0.6]])).labels.tolist()
        [0, 1]
    """

    def decode(self, log_proba: npt.ArrayLike, has_data: npt.ArrayLike | None = None) -> Decoded:
        """Decode log probabilities (T, K); see :class:`~conv2d.temporal.protocol.Decoder`."""
        return Decoded.of(held_argmax(log_proba, has_data))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {"format": FORMAT, "kind": "raw"}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """Rebuild what :meth:`to_dict` gave."""
        check_format(data, FORMAT, "raw")
        return cls()
