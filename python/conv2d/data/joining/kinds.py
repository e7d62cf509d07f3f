"""Interpolation by kind of channel: what is filtered, runs straight, goes round, or is one state or another."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.plan import Kind
from conv2d.data.joining.provenance import BRIDGED
from conv2d.data.joining.resample import Kernel, resample

Array = NDArray[np.float64]
_BLOCK = 1 << 15


@dataclass(frozen=True, eq=False)
class Interpolator:
    """Interpolates the channels of a sensor, each after its kind (`conv2d.data.joining.plan`).

    ``kinds`` are in the order of the channels, ``periods`` those of the angles, ``gap_s`` is the longest distance
    between samples that is filled.
    """

    kinds: Mapping[str, Kind]
    periods: Mapping[str, float]
    kernel: Kernel
    period_s: float
    gap_s: float

    def interpolate(
        self, values: NDArray[np.float32], index: NDArray[np.int64], time: Array, grid: Array, position: Array
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Values (m, C) and flags (m,) at grid times with their sample positions, from rows (n, C).

        Goes in blocks of 32768 grid times, each with the rows that reach into it.
        """
        out = np.full((len(grid), len(self.kinds)), np.nan, np.float32)
        flags = np.zeros(len(grid), np.uint8)
        turned = self._of_kind("angle")
        whole = [i for i in turned if np.nanmin(values[:, i], initial=np.inf) >= 0]  # angles from 0 on, not from -180
        for quat in self._quaternions():
            values = values.copy()
            values[:, quat] = _one_sign(values[:, quat])
        margin = self.kernel.half + int(np.ceil(self.gap_s / self.period_s)) + 8
        for start in range(0, len(grid), _BLOCK):
            block = slice(start, start + _BLOCK)
            low = np.searchsorted(index, position[block][0] - margin)
            high = np.searchsorted(index, position[block][-1] + margin, "right")
            rows = slice(int(low), int(high))
            self._filter(values[rows], index[rows], position[block], out[block], flags[block], whole)
            for kind in ("linear", "nearest"):
                for i in self._of_kind(kind):
                    out[block, i], gap = _between(
                        time[rows], values[rows, i].astype(np.float64), grid[block], self.gap_s,
                        nearest=kind == "nearest",
                    )  # fmt: skip
                    flags[block] |= np.where(gap > 1.5 * self.period_s, BRIDGED, 0).astype(np.uint8)
        return out, flags

    def _of_kind(self, kind: str) -> list[int]:
        return [i for i, k in enumerate(self.kinds.values()) if k == kind]

    def _quaternions(self) -> list[list[int]]:
        channels = list(self.kinds)
        stems = dict.fromkeys(channels[i].rsplit("_", 1)[0] for i in self._of_kind("quaternion"))
        return [[channels.index(f"{stem}_{part}") for part in "wxyz"] for stem in stems]

    def _filter(
        self,
        values: NDArray[np.float32],
        index: NDArray[np.int64],
        position: Array,
        out: NDArray[np.float32],
        flags: NDArray[np.uint8],
        whole: list[int],
    ) -> None:
        """Fill what the filter makes of one block: signals, angles as sine and cosine, quaternions by their parts."""
        plain, quats, channels = self._of_kind("signal"), self._quaternions(), list(self.kinds)
        turns = {i: 2 * np.pi / self.periods[channels[i]] for i in self._of_kind("angle")}
        parts = [values[:, plain].astype(np.float64)]
        parts += [of(values[:, [i]].astype(np.float64) * turn) for i, turn in turns.items() for of in (np.cos, np.sin)]
        parts += [values[:, quat].astype(np.float64) for quat in quats]
        together = np.hstack(parts)
        if not together.shape[1]:
            return
        got, how = resample(together, index, position, self.kernel, max_gap=self.gap_s / self.period_s + 1e-6)
        flags |= how
        out[:, plain] = got[:, : len(plain)]
        at = len(plain)
        for i, turn in turns.items():
            angle = np.arctan2(got[:, at + 1], got[:, at]) / turn
            out[:, i] = angle % self.periods[channels[i]] if i in whole else angle
            at += 2
        for quat in quats:
            part = got[:, at : at + 4]
            length = np.sqrt((part**2).sum(axis=1, keepdims=True))
            out[:, quat] = np.divide(part, length, out=np.full_like(part, np.nan), where=length > 1e-6)
            at += 4


def nearest_row(time: Array, grid: Array) -> NDArray[np.int64]:
    """The row nearest to each grid time, the earlier one of two."""
    after = np.clip(np.searchsorted(time, grid), 1, max(1, len(time) - 1))
    after = np.minimum(after, len(time) - 1)
    before = np.maximum(after - 1, 0)
    return np.where(grid - time[before] <= time[after] - grid, before, after)


def _between(time: Array, values: Array, grid: Array, gap_s: float, *, nearest: bool) -> tuple[Array, Array]:
    """Straight between samples, or the nearer of the two, where they are no further apart than ``gap_s``.

    And how far apart they are, 0 at a sample and where nothing is filled.
    """
    there = np.isfinite(values)
    out = np.full(len(grid), np.nan)
    gap = np.zeros(len(grid))
    if not there.any():
        return out, gap
    time, values = time[there], values[there]
    after = np.clip(np.searchsorted(time, grid), 1, max(1, len(time) - 1))
    after = np.minimum(after, len(time) - 1)
    before = np.maximum(after - 1, 0)
    within = (grid >= time[0] - 1e-9) & (grid <= time[-1] + 1e-9) & (time[after] - time[before] <= gap_s + 1e-9)
    on = (np.abs(grid - time[after]) < 1e-9) | (np.abs(grid - time[before]) < 1e-9)
    values = values[nearest_row(time, grid)] if nearest else np.interp(grid, time, values)
    out[within | on] = values[within | on]
    filled = within & ~on
    gap[filled] = (time[after] - time[before])[filled]
    return out, gap


def _one_sign(quaternion: NDArray[np.float32]) -> NDArray[np.float32]:
    """Quaternions (n, 4) with the signs that make neighbours near: q and -q are the same turn."""
    rows = np.flatnonzero(np.isfinite(quaternion).all(axis=1))
    turned = quaternion.copy()
    if len(rows) > 1:
        products = (quaternion[rows[1:]] * quaternion[rows[:-1]]).sum(axis=1)
        turned[rows[1:]] *= np.cumprod(np.where(products < 0, -1, 1))[:, None]
    return turned
