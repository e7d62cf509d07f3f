"""What rows say of time, and what is left of them while their times are found."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.steps import HostStep

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Stamps:
    """What a sensor's rows say of time, in file order: seconds (n,), NaN where a row has no stamp.

    ``repeated`` marks rows that are bit by bit the row before, stamp and values. ``counts`` says that ``device`` is a
    sample counter times the nominal period, so that its rate is to be measured, not to be right. ``where`` names the
    sensor and recording in messages. ``steady`` says that ``host`` is a device's time with a declared offset, which no
    step of the host's clock reaches.
    """

    device: Array | None
    host: Array | None
    repeated: NDArray[np.bool_]
    where: str
    rate_hz: float | None = None
    counts: bool = False
    keep_steps: bool = False
    latency_s: float = 0.0
    steady: bool = False


@dataclass(eq=False)
class Work:
    """The rows that are left, with their stamps, while `conv2d.data.joining.timing` goes on."""

    rows: Rows
    base: Array  # the clock that orders samples: the device's, or the host's
    host: Array | None
    dropped: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    steps: list[HostStep] = field(default_factory=list)

    def keep(self, mask: NDArray[np.bool_], why: str) -> None:
        """Drop the rows outside of the mask."""
        lost = int(np.count_nonzero(~mask))
        if lost:
            self.dropped[why] = self.dropped.get(why, 0) + lost
            self.take(np.flatnonzero(mask))

    def take(self, order: Rows) -> None:
        """Take these rows in this order."""
        self.rows, self.base = self.rows[order], self.base[order]
        self.host = None if self.host is None else self.host[order]
