"""Two clocks of one sensor: the device's against the host's, a line for each piece between two settings."""

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.breaks import Break, find_breaks
from conv2d.data.joining.clock import Clock, fit_clock
from conv2d.data.joining.drift import check_drift
from conv2d.data.joining.stamps import Stamps, Work
from conv2d.data.joining.steps import HostStep
from conv2d.errors import DataError

_PIECE_S = 60.0  # a shorter piece, or one of less than three pairs, cannot measure its rate
_OFF_S = 0.04  # more than a fit of hours leaves; less than the least step that is taken for a break
_MIN_PAIRS = 20


def fit_pieces(work: Work, stamps: Stamps) -> tuple[list[Break], list[tuple[slice, Clock]]]:
    """Clocks of device against host time, one for each piece between two settings of the device's clock."""
    assert work.host is not None
    if np.count_nonzero(np.isfinite(work.host)) < 2:
        raise DataError(
            f"E-DATA-020: {stamps.where} has no two rows with a host time, expected pairs of device and host time; "
            "correct the column or give offset_s instead of host"
        )
    breaks = find_breaks(work.base, work.host)
    of_host = [b for b in breaks if b.of_host and not stamps.keep_steps]
    if of_host:
        raw, work.host = work.host, work.host.copy()
        for step in of_host:
            known_host = np.flatnonzero(np.isfinite(raw))
            at = int(np.searchsorted(known_host, step.row))
            first = slice(known_host[max(0, at - 1)], known_host[min(at, len(known_host) - 1)] + 1)
            work.steps.append(HostStep(float(raw[first][0]), float(raw[first][-1]), step.step_s))
            work.host[step.row :] -= step.step_s
            what = "of zone or daylight saving" if step.reason == "zone" else "backwards"
            work.notes.append(f"a step of the host clock {what} by {step.step_s:.3f} s was taken out")
    parts = _slices([b for b in breaks if b not in of_host], len(work.base))
    known = [np.flatnonzero(np.isfinite(work.host[rows])) + rows.start for rows in parts]
    period = 1 / stamps.rate_hz if stamps.rate_hz else max(float(np.median(np.abs(np.diff(work.base)))), 1e-6)
    clocks: list[Clock | None] = []
    for at in known:
        enough = len(at) >= 3 and np.ptp(work.base[at]) >= _PIECE_S
        clocks.append(fit_clock(work.base[at], work.host[at], period_s=period) if enough else None)
    measured = [i for i, clock in enumerate(clocks) if clock is not None]
    brief: list[tuple[Clock, float]] = []
    for i, at in enumerate(known):
        if clocks[i] is None:
            near = clocks[min(measured, key=lambda j: abs(j - i))] if measured else None
            drift = 0.0 if near is None else near.drift
            if not measured and len(at) >= 3:
                brief.append((fit_clock(work.base[at], work.host[at], period_s=period), float(np.ptp(work.base[at]))))
            clocks[i] = fit_clock(work.base[at], work.host[at], period_s=period, drift=drift)
    pieces = [(rows, clock) for rows, clock in zip(parts, clocks, strict=True) if clock is not None]
    sure = [(pieces[i][1], float(np.ptp(work.base[known[i]]))) for i in measured] or brief
    if note := check_drift(sure, stamps.where, stamps.rate_hz if stamps.counts else None):
        work.notes.append(note)
    return breaks, pieces


def off_the_line(work: Work, pieces: list[tuple[slice, Clock]]) -> NDArray[np.bool_]:
    """Rows of minutes whose least lateness lies off their clock: the device leapt by less than breaks are told from."""
    assert work.host is not None
    off = np.zeros(len(work.base), bool)
    for rows, clock in pieces:
        residual = work.host[rows] - clock.times(work.base[rows])
        at = np.flatnonzero(np.isfinite(residual))
        minute = (work.host[rows][at] // _PIECE_S).astype(np.int64)
        order = np.lexsort((residual[at], minute))
        begins = np.flatnonzero(np.r_[True, np.diff(minute[order]) > 0])
        counts = np.diff(np.r_[begins, len(order)])
        least = residual[at][order[begins + counts // 20]]
        wrong = (np.abs(least) > _OFF_S) & (counts >= _MIN_PAIRS)
        if len(begins) > 1 and wrong.any():
            found = minute[order[begins[wrong]]]
            off[rows] |= np.isin(np.floor(clock.times(work.base[rows]) / _PIECE_S).astype(np.int64), found)
    if off.any():
        work.notes.append(
            f"in {off.mean():.1%} of the rows the stamps lie more than {_OFF_S * 1e3:.0f} ms off the clock's line for "
            "a minute: it may have been set by less than can be told from lateness (uncertain)"
        )
    return off


def _slices(breaks: list[Break], n: int) -> list[slice]:
    borders = [0, *(b.row for b in breaks), n]
    return [slice(a, b) for a, b in pairwise(borders) if b > a]
