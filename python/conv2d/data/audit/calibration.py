"""Auto-calibration by gravity (van Hees et al. 2014, J Appl Physiol 117:738): offset and gain from still samples.

The means of windows at rest lie on the unit sphere if offset and gain of each axis are right. Those that bring them
closest to it are found by Gauss-Newton on the distance from the sphere, weighted down where it is large. Nothing is
applied: what is found is reported.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, not_applicable, not_measured
from conv2d.data.audit.scale import Scale
from conv2d.data.audit.stream import Setting, Stream, Vector
from conv2d.data.audit.stretches import blocks

STILL_G = 0.013
"""Standard deviation of each axis within a still window."""

SECONDS = (10.0, 2.0)
"""Of a window; the shorter ones where the longer do not cover the sphere."""

SAMPLES = 5
COVER_G = 0.3
"""Each axis must have still windows beyond it on both sides."""

WINDOWS = 10
ERROR_G = 0.010
"""Mean distance from the sphere that is good enough, before or after."""

_KEPT = 1000  # still windows kept of each recording and length, evenly spread
_SOFT_G = 0.005  # distances beyond count less and less


class Calibration(NamedTuple):
    """``g = scale * value + offset`` for each axis, the mean distance from the sphere before and after, in g."""

    scale: NDArray[np.float64]
    offset: NDArray[np.float64]
    before: float
    after: float
    condition: float


class AutoCalibration:
    """Means of still windows per sensor; O(n) per recording."""

    def __init__(self, setting: Setting, scale: Scale) -> None:
        self.setting = setting
        self.scale = scale
        self.still: dict[str, NDArray[np.float64]] = {}  # vector -> (windows, 3) in g, filled by findings
        self.fits: dict[str, Calibration] = {}
        self._means: dict[tuple[str, float], list[tuple[str, NDArray[np.float64]]]] = defaultdict(list)

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        for vector in self.setting.of_kind("acc"):
            if vector.factor is None:
                continue
            samples = stream.vector(vector)
            for seconds in SECONDS:
                length = max(round(seconds * self.setting.rate_hz), SAMPLES)
                parts = blocks(samples, length)
                if not parts.shape[1]:
                    continue
                means = parts.mean(axis=2)
                spread = np.sqrt(((parts - means[:, :, None]) ** 2).mean(axis=2))
                # NaN compares as not still; a sensor that hangs has no noise at all.
                still = ((spread * vector.factor < STILL_G) & (spread > 0)).all(axis=0)
                found = means[:, still].T * vector.factor
                if len(found):
                    kept = found[np.linspace(0, len(found) - 1, min(len(found), _KEPT)).astype(int)]
                    self._means[vector.title, seconds].append((stream.name, kept))

    def findings(self) -> Iterator[Finding]:
        """How far still windows are from the sphere, and what would bring them there."""
        vectors = self.setting.of_kind("acc")
        if not vectors:
            yield not_applicable("calibration", "the set has no accelerometer with three axes")
        for vector in vectors:
            if vector.factor is None:
                yield not_measured("calibration", f"the unit of {vector.title} is not known")
            else:
                yield from self._of_vector(vector)

    def _of_vector(self, vector: Vector) -> Iterator[Finding]:
        for seconds in SECONDS:
            entries = [
                (name, means) for name, means in self._means[vector.title, seconds]
                if name not in self.scale.off[vector.sensor]
            ]  # fmt: skip
            points = np.concatenate([np.empty((0, 3)), *(means for _, means in entries)])
            if len(points) < WINDOWS:
                continue
            self.still[vector.title] = points
            low, high = points.min(axis=0), points.max(axis=0)
            if (low < -COVER_G).all() and (high > COVER_G).all():
                yield from self._calibrated(vector, seconds, points, len(entries))
                return
        points = self.still.get(vector.title, np.empty((0, 3)))
        if not len(points):
            yield not_measured("calibration", f"{vector.title} has fewer than {WINDOWS} windows at rest")
            return
        low, high = points.min(axis=0), points.max(axis=0)
        lacking = [
            f"{axis} {low[i]:.2f} to {high[i]:.2f}" for i, axis in enumerate("xyz")
            if not (low[i] < -COVER_G and high[i] > COVER_G)
        ]  # fmt: skip
        norm = float(np.median(np.linalg.norm(points, axis=1)))
        yield not_measured(
            "calibration",
            f"{vector.title} at rest does not cover the sphere ({', '.join(lacking)} g; {COVER_G:g} is needed on both "
            f"sides): offsets cannot be told from gains; the length at rest is {norm:.3f} g",
            vector=vector.title, windows=len(points), norm_g=norm, low_g=low, high_g=high,
        )  # fmt: skip

    def _calibrated(
        self, vector: Vector, seconds: float, points: NDArray[np.float64], recordings: int
    ) -> Iterator[Finding]:
        fit = fit_sphere(points)
        self.fits[vector.title] = fit
        evidence = {
            "vector": vector.title, "windows": len(points), "window_s": seconds, "before_mg": 1000 * fit.before,
            "after_mg": 1000 * fit.after, "scale": fit.scale, "offset_mg": 1000 * fit.offset,
            "condition": fit.condition, "threshold_mg": 1000 * ERROR_G,
        }  # fmt: skip
        if fit.before <= ERROR_G:
            return
        if fit.after > ERROR_G:
            yield not_measured(
                "calibration",
                f"{vector.title}: still windows are {1000 * fit.before:.1f} mg off the sphere and no gain and offset "
                f"brings them closer than {1000 * fit.after:.1f} mg; perhaps they come from several devices",
                **evidence,
            )
            return
        gains = ", ".join(f"{s:.3f}" for s in fit.scale)
        offsets = ", ".join(f"{1000 * o:+.0f}" for o in fit.offset)
        yield Finding(
            "calibration", "note",
            f"{vector.title} is {1000 * fit.before:.1f} mg off at rest and {1000 * fit.after:.1f} mg after calibration "
            f"(gains {gains}, offsets {offsets} mg; {counted(len(points), 'window')} of {seconds:g} s in "
            f"{counted(recordings, 'recording')})",
            "gains and offsets tell devices apart, and through them subjects; thresholds in g are off by as much",
            "calibrate on import by device (scale and offset of the map), fitted on training subjects alone",
            evidence,
        )  # fmt: skip


def fit_sphere(points: NDArray[np.float64], rounds: int = 100) -> Calibration:
    """Gains and offsets that bring points (n, 3), in g, to length 1; n of 6 or more in different directions.

    Minimises sum of 2 s (sqrt(1 + r^2 / s) - 1) with r the distance from the sphere and s = 5 mg squared, by
    reweighted Gauss-Newton steps. ``condition`` is that of the last system: beyond some 100 gains and offsets are not
    told apart well.

    >>> rng = np.random.default_rng(0)
    >>> truth = rng.normal(size=(200, 3))
    >>> truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    >>> fit = fit_sphere((truth - [0.02, -0.01, 0.0]) / [0.95, 1.02, 1.0])
    >>> fit.scale.round(3).tolist(), fit.offset.round(3).tolist()
    ([0.95, 1.02, 1.0], [0.02, -0.01, 0.0])
    """
    scale, offset = np.ones(3), np.zeros(3)
    before = float(np.abs(np.linalg.norm(points, axis=1) - 1).mean())
    condition = np.inf
    for _ in range(rounds):
        moved = points * scale + offset
        length = np.linalg.norm(moved, axis=1)
        distance = length - 1
        unit = moved / np.maximum(length, 1e-12)[:, None]
        weight = np.sqrt(1 / np.sqrt(1 + (distance / _SOFT_G) ** 2))
        slope = np.concatenate([unit * points, unit], axis=1) * weight[:, None]
        step, _, _, singular = np.linalg.lstsq(slope, -distance * weight, rcond=None)
        condition = float(singular[0] / max(singular[-1], 1e-12))
        scale, offset = scale + step[:3], offset + step[3:]
        if np.abs(step).max() < 1e-9:
            break
    after = float(np.abs(np.linalg.norm(points * scale + offset, axis=1) - 1).mean())
    return Calibration(scale, offset, before, after, condition)
