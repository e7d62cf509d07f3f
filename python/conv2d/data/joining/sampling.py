"""One sensor's rows brought onto the common grid, each channel after its kind, and how each sample came about."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.kinds import Interpolator, nearest_row
from conv2d.data.joining.numbering import PIECE_GAP
from conv2d.data.joining.plan import Kind
from conv2d.data.joining.provenance import (
    BRIDGED,
    CLIPPED,
    COPIED,
    DUPLICATE,
    EDGE,
    MISSING,
    RESAMPLED,
    UNCERTAIN,
    count_how,
)
from conv2d.data.joining.resample import ATTENUATION_DB, kaiser_kernel
from conv2d.data.joining.timing import Timed

SAME_RATE = 50e-6  # relative; nearer rates, with samples within a hundredth of a period of the grid, are copied
_ON_GRID = 0.01
GAP_PERIODS = 2.5  # by default one lost sample is filled, whatever the rate
_RAIL = 0.999
_SLOW = ("temp", "pressure")

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sampled:
    """A sensor on the grid: ``values`` float32 (m, C), ``how`` uint8 (m,), ``gap_ms`` float32 (m,)."""

    values: NDArray[np.float32]
    how: NDArray[np.uint8]
    gap_ms: NDArray[np.float32]
    facts: dict[str, Any]


def sample_sensor(
    values: NDArray[np.float32],
    timed: Timed,
    grid: Array,
    rate_hz: float,
    *,
    kinds: dict[str, Kind],
    periods: dict[str, float],
    max_gap_s: float | None = None,
) -> Sampled:
    """Values of a sensor's rows (n, C), in the order of ``timed``, at the times of ``grid`` (m,).

    ``kinds`` says for each channel in order: ``signal`` is filtered, ``linear`` runs straight between samples,
    ``nearest`` takes the nearest one, ``angle`` goes round its period (of ``periods``), ``quaternion`` is filtered with
    one sign and brought to length 1. NaN in gaps longer than ``max_gap_s`` (two and a half periods) and beyond the
    ends. A piece that lies on the grid already is copied, bit by bit.

    Cost: time of `resample`; memory of the values besides those of the result.
    """
    gap_s = GAP_PERIODS * timed.period_s if max_gap_s is None else max_gap_s
    position = np.interp(grid, timed.time_s, timed.index)
    # `np.interp` holds the ends; a time beyond them has a position beyond them.
    position += np.minimum(0, grid - timed.time_s[0]) / timed.period_s
    position += np.maximum(0, grid - timed.time_s[-1]) / timed.period_s
    there = np.isfinite(values)
    used = there.any(axis=0)
    out = np.full((len(grid), len(kinds)), np.nan, np.float32)
    row, copied = _on_grid(timed, grid, position, rate_hz)
    out[copied] = values[row[copied]]
    kernel = kaiser_kernel(1 / timed.period_s, rate_hz)
    # Where a copied row lacks some channels, these alone are filled.
    lacking = np.isnan(out[:, used]).any(axis=1)
    rest = np.flatnonzero(~copied | lacking)
    how: NDArray[np.uint8] = np.where(copied, COPIED, RESAMPLED).astype(np.uint8)
    if len(rest):
        interpolator = Interpolator(kinds, periods, kernel, timed.period_s, gap_s)
        got, flags = interpolator.interpolate(values, timed.index, timed.time_s, grid[rest], position[rest])
        if copied.any():
            got = np.where(np.isnan(out[rest]), got, out[rest])
        out[rest] = got
        how[rest] |= flags & np.where(copied[rest], BRIDGED, BRIDGED | EDGE).astype(np.uint8)
    wide = max(timed.period_s, 1 / rate_hz) * (1 + 1e-6)
    how |= np.where(_near(timed.time_s, _clipped(values[:, _rails(kinds)]), grid, wide), CLIPPED, 0).astype(np.uint8)
    how |= np.where(_near(timed.time_s, timed.flags & DUPLICATE > 0, grid, wide), DUPLICATE, 0).astype(np.uint8)
    nearest = nearest_row(timed.time_s, grid)
    how |= timed.flags[nearest] & np.uint8(UNCERTAIN)
    missing = np.isnan(out[:, used]).any(axis=1) | (not used.any())
    how[missing] = MISSING
    some = there.any(axis=1)
    facts = {
        "filter": {
            "kind": "kaiser_sinc",
            "cutoff_hz": kernel.cutoff / (2 * timed.period_s),
            "taps": 2 * kernel.half,
            "attenuation_db": ATTENUATION_DB,
        },
        "max_gap_s": gap_s,
        "upsampled": bool(rate_hz * timed.period_s > 1 + SAME_RATE),
        "how": count_how(how),
    }
    return Sampled(out, how, _gap_ms(timed.time_s[some], grid), facts)


def _on_grid(timed: Timed, grid: Array, position: Array, rate_hz: float) -> tuple[NDArray[np.int64], Mask]:
    """For each grid time the row on it, and whether it may be copied: its piece lies on the grid throughout."""
    number = np.rint(position).astype(np.int64)
    row = np.clip(np.searchsorted(timed.index, number), 0, len(timed.index) - 1)
    exact = (timed.index[row] == number) & (np.abs(timed.time_s[row] - grid) < _ON_GRID / rate_hz)
    copied = np.zeros(len(grid), bool)
    if abs(timed.period_s * rate_hz - 1) > SAME_RATE:
        return row, copied
    begins = np.flatnonzero(np.r_[True, np.diff(timed.index) >= PIECE_GAP])
    for first, end in zip(begins, np.r_[begins[1:], len(timed.index)], strict=True):
        within = slice(*np.searchsorted(grid, timed.time_s[[first, end - 1]] + np.array([-1, 1]) * _ON_GRID / rate_hz))
        off = np.abs(position[within] - number[within])
        if len(off) and off.max() < _ON_GRID:
            copied[within] = exact[within]
    return row, copied


def _rails(kinds: dict[str, Kind]) -> list[int]:
    """Channels that may stand at the end of a range: a state, a quaternion or a plateau of temperature does not."""
    return [i for i, (c, kind) in enumerate(kinds.items()) if kind == "signal" and not c.startswith(_SLOW)]


def _clipped(values: NDArray[np.float32]) -> Mask:
    """Rows at the end of a channel's range: a pile of values there, and two of them in a row.

    The tail of a signal thins out towards its largest value; where at least five values lie within a thousandth of it,
    three times as many as in the next two hundredths, the sensor could not go further.
    """
    clipped = np.zeros(len(values), bool)
    for column in values.T:
        size = np.abs(column)
        top = float(np.nanmax(size)) if np.isfinite(size).any() else 0.0
        if top == 0 or np.nanmin(column) == np.nanmax(column):
            continue
        for sign in (1, -1):
            rail = sign * column >= _RAIL * top
            below = (sign * column >= 0.98 * top) & ~rail
            if rail.sum() >= max(5, 3 * below.sum()) and (rail[1:] & rail[:-1]).any():
                clipped |= rail
    return clipped


def _near(time: Array, marked: Mask, grid: Array, width: float) -> Mask:
    """Whether a marked row lies within ``width`` seconds of each grid time."""
    if not marked.any():
        return np.zeros(len(grid), bool)
    at = time[marked]
    near: Mask = np.searchsorted(at, grid + width, "right") > np.searchsorted(at, grid - width)
    return near


def _gap_ms(time: Array, grid: Array) -> NDArray[np.float32]:
    """Distance between the rows around each grid time, in ms; NaN before the first and after the last."""
    if len(time) < 2:
        return np.full(len(grid), np.nan, np.float32)
    after = np.clip(np.searchsorted(time, grid, "right"), 1, len(time) - 1)
    gap = (time[after] - time[after - 1]) * 1e3
    outside = (grid < time[0] - 1e-6) | (grid > time[-1] + 1e-6)
    return np.where(outside, np.nan, gap).astype(np.float32)
