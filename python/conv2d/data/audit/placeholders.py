"""Numbers that stand for a missing sample, such as -999 in all channels at once."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted
from conv2d.data.audit.stream import Setting, Stream

ROWS = 3
CHANNELS = 3
BEYOND = 3.0
"""Times the range of all other values of a channel by which the number is outside of it, in `CHANNELS` of them."""


class Placeholders:
    """Looks for one number in all channels of a sensor, and takes it out; O(samples)."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self._rows: dict[tuple[str, float], dict[str, int]] = defaultdict(dict)  # sensor, number -> recording -> rows

    def take_out(self, stream: Stream) -> Stream:
        """The recording with NaN in place of such numbers, so that the other checks do not speak of them."""
        samples = stream.samples
        if samples.shape[0] < CHANNELS:
            return stream
        for place, sensor in enumerate(self.setting.meta.sensors):
            for value, at in placeholders(stream.samples[:, place]):
                self._rows[sensor, value][stream.name] = len(at)
                samples = samples.copy() if samples is stream.samples else samples
                samples[:, place, at] = np.nan
        return stream if samples is stream.samples else replace(stream, samples=samples)

    def findings(self) -> Iterator[Finding]:
        """Each number and sensor."""
        for (sensor, value), rows in self._rows.items():
            text = np.format_float_positional(np.float32(value), trim="-")
            yield Finding(
                "placeholder", "fault",
                f"{sensor} has {text} in all channels of {counted(sum(rows.values()), 'row')} in "
                f"{counted(len(rows), 'recording')}: it stands for a missing sample",
                "taken for a measurement, it sets the scale of every channel and gives away what is lost with it; the "
                "other checks looked at the set without these rows",
                f"import again with missing: ['{text}'] in the mapping, or write NaN in its place",
                {"sensor": sensor, "value": value, "rows_by_recording": rows, "threshold_rows": ROWS,
                 "threshold_ranges": BEYOND},
                tuple(rows),
            )  # fmt: skip


def placeholders(samples: NDArray[np.float32]) -> list[tuple[float, NDArray[np.int64]]]:
    """Numbers that stand in all channels (C, n) of `ROWS` rows or more and far outside of the rest, and their rows.

    Zero is none: a sensor that is off gives it. Where a recording has nothing else, nothing can be told. O(C n).

    >>> x = np.array([[0, 1, 2, -999, -999, -999]] * 3, np.float32)
    >>> placeholders(x)
    [(-999.0, array([3, 4, 5]))]
    """
    first = samples[0]
    alike = np.flatnonzero((samples == first).all(axis=0) & (first != 0))
    values, counts = np.unique(first[alike], return_counts=True)
    candidates = values[counts >= ROWS]
    if not len(candidates):
        return []
    rest = samples[:, ~((samples == first).all(axis=0) & np.isin(first, candidates))]
    rest = rest[np.isfinite(rest).any(axis=1)]
    if len(rest) < CHANNELS:
        return []
    low, high = np.fmin.reduce(rest, axis=1).astype(np.float64), np.fmax.reduce(rest, axis=1).astype(np.float64)
    reach = BEYOND * (high - low)
    return [
        (float(value), alike[first[alike] == value])
        for value in candidates
        if ((value < low - reach) | (value > high + reach)).sum() >= CHANNELS
    ]
