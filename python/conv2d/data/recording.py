"""One continuous stream of one subject, in memory."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Recording:
    """One continuous stream of one subject: samples of every sensor, their times and their labels.

    ``samples`` is float32 of shape (C, S, n): channel, sensor, time, contiguous along time so that windows can be
    views of it. NaN is a missing sample; a sensor that was absent is NaN throughout. ``time_s`` is float64 (n,),
    strictly increasing. ``labels`` is int64 (n,), an index into ``classes``; -1 is a sample without annotation or with
    a label that the caller left out. ``quality`` holds the further columns of the file, each (n,). ``meta`` is the
    recording's row of ``recordings.csv`` as text.

    Example
    -------
    >>> import numpy as np
    >>> from conv2d.data.recording import Recording
    >>> r = Recording("walk1", "rex", 50.0, ("back",), ("acc_x",), np.arange(100) / 50, np.zeros((1, 1, 100), "f4"),
    ...               np.zeros(100, np.int64), ("walking",))
    >>> r.n_samples, r.duration_s
    (100, 2.0)
    """

    name: str
    subject: str
    rate_hz: float
    sensors: tuple[str, ...]
    channels: tuple[str, ...]
    time_s: NDArray[np.float64]
    samples: NDArray[np.float32]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    quality: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the arrays belong together; ValueError names the one that does not."""
        n = len(self.time_s)
        expected = (len(self.channels), len(self.sensors), n)
        if self.samples.shape != expected:
            raise ValueError(
                f"samples of recording {self.name} have shape {self.samples.shape}, expected {expected} "
                "(channels, sensors, times)"
            )
        for what, length in (("labels", len(self.labels)), *((k, len(v)) for k, v in self.quality.items())):
            if length != n:
                raise ValueError(f"{what} of recording {self.name} has {length} values, expected {n}, one per time")

    @property
    def n_samples(self) -> int:
        """Number of samples in time."""
        return len(self.time_s)

    @property
    def duration_s(self) -> float:
        """Seconds from the first sample to one sampling period after the last; 0 when empty."""
        return float(self.time_s[-1] - self.time_s[0]) + 1 / self.rate_hz if len(self.time_s) else 0.0
