"""From stamps to sample times: order, packets, doubled rows, clock pieces, and jitter, for one sensor of one recording.

Stamps say when a sample was written down. What resampling needs is when it was measured: regular, but for what is
missing. So rows without own stamp are spread over their packet, each piece between two breaks of a clock gets its own
line, doubled rows go, and the scatter of stamps about the sensor's own period is averaged out over a second.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.breaks import ZONE_S, Break
from conv2d.data.joining.clock import SAME, Clock
from conv2d.data.joining.drift import check_units
from conv2d.data.joining.numbering import count_samples, measure_period
from conv2d.data.joining.packets import Packets, spread_packets
from conv2d.data.joining.provenance import DUPLICATE, UNCERTAIN
from conv2d.data.joining.stamps import Stamps, Work
from conv2d.data.joining.steps import HostStep
from conv2d.data.joining.two_clocks import fit_pieces, off_the_line
from conv2d.errors import DataError

_PACKED = 0.2  # share of rows with the stamp of the row before, from which on stamps are those of packets
_HELD = 0.001  # share of rows within runs of nearly one stamp, from which on stamps were held up
_DOUBTFUL = 0.001  # share of rows with a guessed number that is told
_DROPPED = {
    "doubled": "have nearly the time of the row before and were left out (packets or bursts? then give rate_hz)",
    "overlapping": "lie in the time of the stretch before and were left out",
}
_RESET_S = 0.25  # a device whose own stamps go back by more began anew
_LATE_S = 1.0  # rows of a single clock that are late by less are put in their place

Array = NDArray[np.float64]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Timed:
    """Rows in order of time and when they were measured.

    ``rows`` (m,) are places in the input, ``time_s`` (m,) increasing host seconds, ``index`` (m,) increasing sample
    numbers on the sensor's own period, with a leap between pieces, ``flags`` (m,) bits of `provenance`. ``facts`` goes
    into ``joining.json``, ``notes`` to the user. ``steps`` are those of the host's clock that were taken out.
    """

    rows: Rows
    time_s: Array
    index: Rows
    period_s: float
    flags: NDArray[np.uint8]
    facts: dict[str, Any]
    notes: tuple[str, ...]
    steps: tuple[HostStep, ...] = ()


def time_samples(stamps: Stamps) -> Timed:
    """Find when each row was measured, in host seconds; see the module and `Timed`.

    Raises
    ------
    DataError
        E-DATA-020: less than two rows with a stamp, packets without a rate, a device that runs more than 1000 ppm off,
        or a clock that goes back with no second clock to say by how much.

    Cost: O(n log n).
    """
    n = len(stamps.repeated)
    base = stamps.device if stamps.device is not None else stamps.host
    assert base is not None
    two_clocks = stamps.device is not None and stamps.host is not None
    if stamps.device is not None and stamps.host is not None:
        check_units(stamps.device, stamps.host, stamps.where, stamps.rate_hz if stamps.counts else None)
    work = Work(np.arange(n), base, stamps.host if two_clocks else None)
    if _has_doubled_rows(base, stamps.repeated):
        work.keep(~stamps.repeated, "repeated")
    if stamps.rate_hz is None or stamps.device is not None:
        work.keep(np.isfinite(work.base), "without_stamp")
    if np.count_nonzero(np.isfinite(work.base)) < 2:
        raise DataError(f"E-DATA-020: {stamps.where} has no two rows with a time, expected a recording; leave it out")
    _order(work, stamps.where)
    pieces: list[tuple[slice, Clock]] = []
    breaks: list[Break] = []
    uncertain = np.zeros(len(work.rows), bool)
    packets: Packets | None = None
    if _in_packets(work.base, stamps):
        packets = _spread(work, stamps)
        work.base, breaks, pieces, uncertain = packets.time_s, packets.breaks, packets.pieces, packets.doubtful
    if work.host is not None:
        breaks, pieces = fit_pieces(work, stamps)
        uncertain |= off_the_line(work, pieces)
    elif packets is None:
        _settle_one_clock(work, stamps)
    time = work.base
    if work.host is not None:
        time = np.concatenate([clock.times(work.base[rows]) for rows, clock in pieces])
    for rows, clock in pieces:
        uncertain[rows] |= clock.method == "assumed"
    return _finish(work, stamps, time - stamps.latency_s, uncertain, pieces, breaks, packets)


def _order(work: Work, where: str) -> None:
    """Sort rows that are in no order of time, and drop single stamps that leap away and back."""
    clock = work.base if work.host is None else np.where(np.isfinite(work.host), work.host, -np.inf)
    known = clock[np.isfinite(clock)]
    # Two clocks agree on what is out of order; where one goes back alone it was set, or its stamps came late.
    n_back = min(int(np.count_nonzero(np.diff(c) < 0)) for c in (known, work.base[np.isfinite(work.base)]))
    if n_back > max(20, 0.01 * len(known)):
        if not np.isfinite(clock).all():
            raise DataError(
                f"E-DATA-020: rows of {where} go back in time {n_back} times and some have no stamp, expected the "
                "order of measuring; sort the file"
            )
        work.take(np.lexsort((work.base, clock)))
        work.notes.append(f"rows were in no order of time ({n_back} steps back) and were sorted")
    if len(work.base) >= 5 and np.isfinite(work.base).all():
        window = np.lib.stride_tricks.sliding_window_view(np.pad(work.base, 2, "reflect"), 5)
        step = float(np.median(np.abs(np.diff(work.base))))
        work.keep(np.abs(work.base - np.median(window, axis=1)) <= max(1.0, 10 * step), "stamp_leaps")


def _has_doubled_rows(base: Array, repeated: NDArray[np.bool_]) -> bool:
    """Whether equal rows are one row written twice, and not the samples of a packet from a sensor at rest."""
    equal = np.diff(base) == 0
    return (
        bool(equal.mean() <= _PACKED or (equal.mean() < 2 / 3 and repeated[1:][equal].all())) if len(equal) else False
    )


def _in_packets(base: Array, stamps: Stamps) -> bool:
    """Whether rows are to be told apart by their number: packets, or stamps that are held up in bursts."""
    if not np.isfinite(base).all():
        return True
    steps = np.abs(np.diff(base))
    if stamps.rate_hz is None:
        return bool(np.mean(steps == 0) > _PACKED)
    close = steps < SAME / stamps.rate_hz
    if np.mean(close) > _PACKED:
        return True
    # A row written twice makes one close step, a burst many in a row.
    held = close[2:] & close[1:-1] & close[:-2]
    return stamps.device is None and not stamps.steady and bool(held.sum() > max(10, _HELD * len(base)))


def _spread(work: Work, stamps: Stamps) -> Packets:
    """Times of rows by their number, with notes of what was lost."""
    if stamps.rate_hz is None:
        raise DataError(
            f"E-DATA-020: {stamps.where} has many rows with one stamp (packets) and no rate to part them by; give "
            "rate_hz of the sensor"
        )
    known = np.flatnonzero(np.isfinite(work.base))
    if work.host is None:
        _refuse_set_back(work.base[known], work.rows[known], stamps.where)
    packets = spread_packets(work.base, stamps.rate_hz, set_back_s=_LATE_S if work.host is None else _RESET_S)
    if packets.lost:
        work.notes.append(f"{packets.lost} samples were lost at {packets.places} places between packets")
    work.notes += packets.notes
    if np.mean(packets.doubtful) > _DOUBTFUL:
        work.notes.append(
            f"{np.mean(packets.doubtful):.1%} of the rows stand where it cannot be told how many were lost (uncertain)"
        )
    return packets


def _settle_one_clock(work: Work, stamps: Stamps) -> None:
    """Put late rows in their place; refuse a clock that was put back, since nothing tells what came after."""
    _refuse_set_back(work.base, work.rows, stamps.where)
    work.take(np.argsort(work.base, kind="stable"))


def _refuse_set_back(time: Array, rows: Rows, where: str) -> None:
    steps = np.diff(time)
    if len(steps) == 0 or -steps.min() <= _LATE_S:
        return
    place = int(np.argmin(steps))
    quarters = round(steps[place] / ZONE_S)
    named = " (a change of zone or daylight saving?)" if quarters and abs(steps[place] - quarters * ZONE_S) < 2 else ""
    raise DataError(
        f"E-DATA-020: time of {where} goes back by {-steps[place]:.6g} s at row {int(rows[place + 1])} "
        f"from 0{named}, and no second clock tells what came after; correct it, split the file there, or "
        "map both device and host time"
    )


def _finish(
    work: Work,
    stamps: Stamps,
    time: Array,
    uncertain: NDArray[np.bool_],
    pieces: list[tuple[slice, Clock]],
    breaks: list[Break],
    packets: Packets | None,
) -> Timed:
    spans = [rows for rows, _ in pieces] or [slice(0, len(time))]
    read = len(stamps.repeated)
    described = [
        {
            "first_row": int(work.rows[rows].min()),
            "last_row": int(work.rows[rows].max()),
            "offset_s": float(clock.offsets[0]),
            "drift_ppm": clock.drift * 1e6,
            "knots": len(clock.knots),
            "pairs": clock.n_pairs,
            "residual_ms": list(clock.residual_ms),
            "method": clock.method,
        }
        for rows, clock in pieces
    ]
    broken = [{"row": int(work.rows[b.row]), "step_s": b.step_s, "reason": b.reason} for b in breaks]
    period = measure_period(time, spans, stamps.rate_hz, stamps.where)
    counted = count_samples(time, spans, period, stamps.where)
    order, smooth = counted.order, counted.time
    flags = np.where(uncertain[order], UNCERTAIN, 0).astype(np.uint8)
    flags[counted.doubled] |= DUPLICATE
    jitter = float(np.quantile(np.abs(time[order] - smooth), 0.95))
    regular = float(np.quantile(np.abs(time[order] - smooth), 0.99)) <= period / 2
    if not regular:
        work.notes.append(
            f"stamps scatter by {jitter * 1e3:.1f} ms about any regular rate, so each is taken at its word"
        )
        smooth = time[order]
    for why, what in _DROPPED.items():
        if lost := counted.lost.get(why):
            work.notes.append(f"{lost} rows {what}")
    facts = {
        "clocks": 1 if work.host is None else 2,
        "rows_read": read,
        "rows_dropped": {**work.dropped, **counted.lost},
        "rate_nominal_hz": stamps.rate_hz,
        "rate_measured_hz": 1 / period,
        "jitter_ms": jitter * 1e3,
        "latency_s": stamps.latency_s,
        "pieces": described,
        "breaks": broken,
        "lost_between_packets": None if packets is None else {"samples": packets.lost, "places": packets.places},
    }
    return Timed(work.rows[order], smooth, counted.index, period, flags, facts, tuple(work.notes), tuple(work.steps))
