"""Non-wear: stretches in which a sensor lies somewhere, after van Hees et al. (2013, PLoS ONE 8:e61691).

A window of 60 minutes, moved by 15, is non-wear when two of its three axes have a standard deviation below 13 mg or a
range below 50 mg. With another window, as ``--nonwear-window`` gives, the rule has not been validated.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, named, not_applicable
from conv2d.data.audit.stream import Setting, Stream
from conv2d.data.audit.stretches import stretches

WINDOW_MINUTES = 60.0
PARTS = 4
"""Steps of a window: it moves by a quarter of itself."""

SD_G, RANGE_G = 0.013, 0.050
AXES = 2
LABELLED_S = 1.0


class Stretch(NamedTuple):
    """A sensor of a recording from ``start_s`` to ``end_s``, on the recording's clock."""

    recording: str
    sensor: str
    start_s: float
    end_s: float


class NonWear:
    """Standard deviation and range of quarter windows; O(n)."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.minutes = setting.nonwear_minutes or WINDOW_MINUTES
        self.rows: dict[str, dict[str, Any]] = {}
        self.off: list[Stretch] = []
        self.worn: list[Stretch] = []
        self._looked = self._short = 0
        self._labelled: dict[str, dict[str, float]] = {}  # recording -> seconds by label

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        rate = self.setting.rate_hz
        step = round(self.minutes * 60 * rate / PARTS)
        long_enough = step >= 5 and stream.n >= PARTS * step
        self._looked += long_enough
        self._short += not long_enough
        if not long_enough:
            return
        for vector in self.setting.of_kind("acc"):
            if vector.factor is None:
                continue
            mask = nonwear(stream.vector(vector), step, vector.factor)
            self._keep(stream, vector.sensor, mask)

    def _keep(self, stream: Stream, sensor: str, mask: NDArray[np.bool_]) -> None:
        period = 1 / self.setting.rate_hz
        for part, into in ((mask, self.off), (~mask, self.worn)):
            start, end = stretches(part)
            into += [
                Stretch(stream.name, sensor, float(stream.time_s[a]), float(stream.time_s[b - 1]) + period)
                for a, b in zip(start, end, strict=True)
            ]
        if not mask.any():
            return
        self.rows.setdefault(stream.name, {})[f"{sensor} not worn"] = float(mask.mean())
        labels = stream.labels[mask]
        counts = np.bincount(labels[labels >= 0], minlength=len(self.setting.meta.classes)) * period
        table = self._labelled.setdefault(stream.name, {})
        for name, seconds in zip(self.setting.meta.classes, counts.tolist(), strict=True):
            if seconds > LABELLED_S:
                table[name] = max(table.get(name, 0.0), seconds)

    def findings(self) -> Iterator[Finding]:
        """Stretches in which a sensor was not worn."""
        if not self.setting.of_kind("acc"):
            yield not_applicable("nonwear", "the set has no accelerometer with three axes")
            return
        if not self._looked:
            yield not_applicable(
                "nonwear",
                f"no recording lasts {self.minutes:g} minutes, which the rule needs; --nonwear-window takes a shorter "
                "window, for which it has not been validated",
            )
            return
        if not self.off:
            return
        hours = sum(stretch.end_s - stretch.start_s for stretch in self.off) / 3600
        names = tuple(dict.fromkeys(stretch.recording for stretch in self.off))
        labelled: dict[str, float] = {}
        for table in self._labelled.values():
            for name, seconds in table.items():
                labelled[name] = labelled.get(name, 0.0) + seconds
        longest = max(self.off, key=lambda stretch: stretch.end_s - stretch.start_s)
        unvalidated = self.minutes != WINDOW_MINUTES
        yield Finding(
            "nonwear", "confound" if labelled and not unvalidated else "note",
            f"not worn for {hours:.1f} h in {counted(len(self.off), 'stretch')} of {counted(len(names), 'recording')}, "
            f"the longest {longest.sensor} of {longest.recording} from {longest.start_s:.0f} to {longest.end_s:.0f} s"
            + (f"; {sum(labelled.values()) / 60:.0f} minutes of it are labelled {named(sorted(labelled))}"
               if labelled else "")
            + (f" (window of {self.minutes:g} minutes, not validated)" if unvalidated else ""),
            "a sensor on a table looks like deep rest: such time makes rest easy and budgets of time wrong",
            "leave these stretches out; nonwear.parquet and worn.csv of --output hold them",
            {"hours": hours, "window_minutes": self.minutes, "validated": not unvalidated, "labelled_s": labelled,
             "threshold_sd_g": SD_G, "threshold_range_g": RANGE_G, "recordings_too_short": self._short,
             "stretches": [stretch._asdict() for stretch in self.off]},
            names,
        )  # fmt: skip


def nonwear(samples: NDArray[np.float32], step: int, factor: float) -> NDArray[np.bool_]:
    """Which samples (3, n) lie in a window of 4 ``step`` that is non-wear; ``factor`` makes g of them.

    Windows begin at multiples of ``step``, and one ends at the last sample. NaN is left out; a window of nothing else
    is no non-wear but missing. O(n).
    """
    n = samples.shape[1]
    mask = np.zeros(n, bool)
    if not np.isfinite(samples).any(axis=1).all():
        return mask
    level = np.nanmedian(samples, axis=1)
    for offset in dict.fromkeys((0, n % step)):
        whole = (n - offset) // step
        parts = samples[:, offset : offset + whole * step].reshape(3, whole, step)
        known = np.isfinite(parts)
        count = known.sum(axis=2)
        # Around a level near the mean, squares lose no digits.
        values = np.where(known, parts - level[:, None, None], 0).astype(np.float64)
        sums, squares = values.sum(axis=2), (values**2).sum(axis=2)
        low = np.where(known, parts, np.inf).min(axis=2)
        high = np.where(known, parts, -np.inf).max(axis=2)
        for first in range(whole - PARTS + 1):
            part = slice(first, first + PARTS)
            m = count[:, part].sum(axis=1)
            if not m.all():
                continue
            mean = sums[:, part].sum(axis=1) / m
            sd = np.sqrt(np.maximum(squares[:, part].sum(axis=1) / m - mean**2, 0)) * factor
            reach = (high[:, part].max(axis=1) - low[:, part].min(axis=1)) * factor
            if ((sd < SD_G) | (reach < RANGE_G)).sum() >= AXES:
                mask[offset + first * step : offset + (first + PARTS) * step] = True
    return mask
