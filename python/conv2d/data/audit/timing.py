"""The clock: rate, steps, gaps, jitter, and recordings that lie over one another in time."""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.audit.findings import Finding, counted, not_applicable, not_measured
from conv2d.data.audit.stream import Setting, Stream, start_of
from conv2d.data.meta import RATE_TOLERANCE
from conv2d.data.windows import time_gaps

RATE_NOTE = 200e-6
"""Relative; ten times what a quartz is off by. Below, times of whole milliseconds cannot tell."""

RATE_NOTE_S = 60.0  # seconds that a recording must have for its rate to be known so well
GAP_SHARE = 0.01
JITTER_SAMPLES = 0.5
"""Samples; beyond, the neighbour would be the nearer one."""

JITTER_S = 10.0
"""Seconds; within so long a clock runs evenly, whatever temperature makes of it over hours."""

GRID_SD = 1e-6
"""Samples; steps more even than this come from a computed grid and say nothing of the clock."""

QUARTER_HOUR_S = 900.0
STEP_TOLERANCE_S = 2.0
OVERLAP_PERIODS = 1.5

_PIECES = 50  # stretches between gaps whose jitter is looked at, the longest of each recording


class Timing:
    """Looks at the times of each recording; O(n) each and a few numbers kept."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rows: dict[str, dict[str, Any]] = {}
        self._spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
        self._median_rate: dict[str, float] = {}
        self._refused: dict[str, str] = {}

    def add(self, stream: Stream) -> None:
        """Look at one recording."""
        rate = self.setting.rate_hz
        time = stream.time_s
        steps = np.diff(time)
        row: dict[str, Any] = {"rows": stream.n, "seconds": stream.n / rate}
        self.rows[stream.name] = row
        if stream.refusal.startswith(("E-DATA-007", "E-DATA-008")):
            self._refused[stream.name] = stream.refusal
        begin = start_of(stream.row)
        if begin is not None and stream.n:
            self._spans[stream.subject].append((begin, begin + stream.n / rate, stream.name))
        if not len(steps):
            return
        known = np.isfinite(steps)
        steps = steps[known]
        if (steps > 0).any():
            self._median_rate[stream.name] = row["median_rate_hz"] = 1 / float(np.median(steps[steps > 0]))
            # A recording of another rate than declared is refused for that; its gaps are those of its own clock.
            if _is_refused(row["median_rate_hz"], rate):
                rate = row["median_rate_hz"]
        off = steps - 1 / rate
        jumps = np.abs(off) > QUARTER_HOUR_S / 2
        quarters = np.round(off / QUARTER_HOUR_S)
        clock = jumps & (np.abs(off - quarters * QUARTER_HOUR_S) <= STEP_TOLERANCE_S)
        gap = time_gaps(np.concatenate([[0.0], np.cumsum(steps)]), rate) & ~clock
        usual = (steps > 0) & ~gap & ~clock
        row |= {
            "missing_times": int((~known).sum()),
            "backward_steps": int((steps < 0).sum()),
            "equal_times": int((steps == 0).sum()),
            "clock_steps_s": np.unique(quarters[clock] * QUARTER_HOUR_S).tolist(),
            "gaps": int(gap.sum()),
            "longest_gap_s": float(off[gap].max(initial=0.0)),
            "gap_share": float(off[gap].sum() / (off[gap].sum() + stream.n / rate)),
        }
        if usual.any():
            row["rate_hz"] = float(usual.sum() / steps[usual].sum())
            # Times counted from 1970 have a grain of their own.
            grain = 4 * float(np.spacing(np.abs(time[np.isfinite(time)]).max())) * rate
            row["made_grid"] = bool(np.std(steps[usual] * rate) < max(GRID_SD, grain))
            if not row["made_grid"] and known.all() and not row["backward_steps"]:
                uneven = _unevenness(time, gap | clock, rate)
                if uneven is not None:
                    row["jitter_samples"], row["wander_samples"] = uneven

    def findings(self) -> Iterator[Finding]:
        """What the clocks say."""
        yield from self._rate()
        yield from self._clock_steps()
        yield from self._gaps()
        yield from self._jitter()
        yield from self._overlap()

    def _rate(self) -> Iterator[Finding]:
        declared = self.setting.rate_hz
        measured = self._median_rate
        if not measured:
            yield not_measured("rate", "no recording has two times")
            return
        wrong = [name for name, rate in measured.items() if _is_refused(rate, declared)]
        if wrong:
            worst = max(wrong, key=lambda name: abs(np.log(measured[name] / declared)))
            yield Finding(
                "rate", "fault",
                f"{counted(len(wrong), 'recording')} have another rate than the {declared:g} Hz declared: {worst} has "
                f"{measured[worst]:.4g} Hz",
                "windows of a number of samples last other times there, and so do segments and durations; loading "
                "refuses such a recording",
                "correct rate_hz in dataset.yaml, or resample these recordings",
                {"declared_hz": declared, "measured_hz": {n: measured[n] for n in wrong}, "threshold": RATE_TOLERANCE,
                 "loading_says": self._refused.get(worst, "")},
                tuple(wrong),
            )  # fmt: skip
        long = [n for n, r in self.rows.items() if n not in wrong and "rate_hz" in r and r["seconds"] >= RATE_NOTE_S]
        if long:
            off = float(np.median([self.rows[name]["rate_hz"] / declared - 1 for name in long]))
            if abs(off) > RATE_NOTE:
                yield Finding(
                    "rate", "note",
                    f"the clock gives {declared * (1 + off):.6g} Hz, {abs(off) * 1e6:.0f} ppm "
                    f"{'more' if off > 0 else 'less'} than declared",
                    f"{abs(off) * 3600:.2f} s an hour between times and rows; durations in seconds are off by as much",
                    evidence={"relative": off, "threshold": RATE_NOTE, "n_recordings": len(long)},
                )  # fmt: skip

    def _clock_steps(self) -> Iterator[Finding]:
        concerned = {
            name: row for name, row in self.rows.items()
            if row.get("backward_steps") or row.get("equal_times") or row.get("clock_steps_s")
            or row.get("missing_times")
        }  # fmt: skip
        if not concerned:
            return
        total = {
            key: int(sum(row[key] for row in concerned.values()))
            for key in ("backward_steps", "equal_times", "missing_times")
        }
        jumps = sorted({step for row in concerned.values() for step in row["clock_steps_s"]})
        said = [f"{n:,} {key.replace('_', ' ')}" for key, n in total.items() if n]
        if jumps:
            said.append("steps of " + ", ".join(f"{step / 3600:+g} h" for step in jumps))
        yield Finding(
            "clock_steps", "fault",
            f"the clock of {counted(len(concerned), 'recording')} is off: {', '.join(said)}",
            "a step of whole quarters of an hour is a change of time zone or of daylight saving, not a pause; times "
            "that fall or stand still are two clocks or two files in one, and loading refuses them",
            "import again in universal time; sort rows and drop the doubled ones; split a recording where its clock "
            "was set",
            {**total, "clock_steps_s": jumps, "loading_says": [self._refused[n] for n in concerned
                                                              if n in self._refused][:3]},
            tuple(concerned),
        )  # fmt: skip

    def _gaps(self) -> Iterator[Finding]:
        with_gaps = {name: row for name, row in self.rows.items() if row.get("gaps")}
        if not with_gaps:
            return
        worst = max(with_gaps, key=lambda name: with_gaps[name]["longest_gap_s"])
        heavy = [name for name, row in with_gaps.items() if row["gap_share"] > GAP_SHARE]
        n = int(sum(row["gaps"] for row in with_gaps.values()))
        yield Finding(
            "gaps", "fault" if heavy else "note",
            f"{counted(n, 'gap')} of the clock in {counted(len(with_gaps), 'recording')}, the longest "
            f"{with_gaps[worst]['longest_gap_s']:.3g} s in {worst}"
            + (f"; {counted(len(heavy), 'recording')} lack more than {GAP_SHARE:.0%} of their time" if heavy else ""),
            "no window crosses a gap, so recordings fall into pieces and those shorter than a window are lost",
            evidence={
                "gaps": n, "longest_s": with_gaps[worst]["longest_gap_s"], "threshold_share": GAP_SHARE,
                "share": {name: row["gap_share"] for name, row in with_gaps.items()},
            },
            recordings=tuple(heavy or with_gaps),
        )  # fmt: skip

    def _jitter(self) -> Iterator[Finding]:
        known = {name: row["jitter_samples"] for name, row in self.rows.items() if "jitter_samples" in row}
        made = [name for name, row in self.rows.items() if row.get("made_grid")]
        if not known:
            reason = (
                f"the times of {counted(len(made), 'recording')} are a computed grid (steps agree to {GRID_SD:g} "
                "samples); they do not tell when samples were taken"
                if made
                else "no recording has times enough"
            )
            yield not_measured("jitter", reason, made_grid=len(made))
            return
        wide = {name: value for name, value in known.items() if value > JITTER_SAMPLES}
        if wide:
            worst = max(wide, key=lambda name: wide[name])
            yield Finding(
                "jitter", "fault",
                f"samples of {counted(len(wide), 'recording')} lie unevenly: 1 in 100 is more than {wide[worst]:.2g} "
                f"samples off its place in {worst}",
                "a network reads samples as evenly spaced; frequencies are smeared",
                "resample onto an even grid (conv2d data join)",
                {"p99_samples": wide, "threshold": JITTER_SAMPLES}, tuple(wide),
            )  # fmt: skip

        wander = {
            name: self.rows[name]["wander_samples"]
            for name in known
            if name not in wide and self.rows[name]["wander_samples"] > JITTER_SAMPLES
        }
        if wander:
            worst = max(wander, key=lambda name: wander[name])
            yield Finding(
                "jitter", "note",
                f"the clock of {counted(len(wander), 'recording')} wanders, by up to {wander[worst]:.2g} samples from "
                f"an even grid in {worst}, though samples lie evenly within {JITTER_S:g} s",
                "windows are sound; rows do not tell the time over hours, the column time_s does",
                "go by time_s where recordings are compared with others",
                {"p99_samples": wander, "threshold": JITTER_SAMPLES}, tuple(wander),
            )  # fmt: skip

    def _overlap(self) -> Iterator[Finding]:
        if not self._spans:
            yield not_applicable("overlap_in_time", "recordings.csv has no column start with a date")
            return
        slack = OVERLAP_PERIODS / self.setting.rate_hz
        pairs: list[tuple[str, str, float]] = []
        for spans in self._spans.values():
            open_spans: list[tuple[float, float, str]] = []
            # A sweep over all, since a long recording may lie over many that follow.
            for begin, end, name in sorted(spans):
                open_spans = [span for span in open_spans if span[1] - begin > slack]
                pairs += [(other, name, min(end, stop) - begin) for _, stop, other in open_spans]
                open_spans.append((begin, end, name))
        if pairs:
            longest = max(pairs, key=lambda pair: pair[2])
            names = tuple(dict.fromkeys(name for pair in pairs for name in pair[:2]))
            yield Finding(
                "overlap_in_time", "confound",
                f"{counted(len(pairs), 'pair')} of recordings of one subject lie over one another in time, "
                f"{longest[0]} and {longest[1]} by {longest[2]:.1f} s",
                "the same moments stand on both sides of a split by recording; a split by subject keeps them together",
                "split by subject (the only kind that conv2d has), or merge these recordings",
                {"pairs": len(pairs), "longest_s": longest[2], "threshold_s": slack,
                 "overlaps": [{"first": a, "second": b, "seconds": s} for a, b, s in pairs]},
                names,
            )  # fmt: skip


def _is_refused(measured: float, declared: float) -> bool:
    """Whether loading refuses a recording of this rate."""
    return abs(measured / declared - 1) > RATE_TOLERANCE


def _unevenness(time: NDArray[np.float64], breaks: NDArray[np.bool_], rate: float) -> tuple[float, float] | None:
    """99 % quantile of the distance from an even grid, in samples: within `JITTER_S`, and over whole stretches."""
    edges = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(time)]])
    order = np.argsort(-np.diff(edges), kind="stable")[:_PIECES]
    window = max(round(JITTER_S * rate), 10)
    near, far = [], []
    for piece in order:
        part = time[edges[piece] : edges[piece + 1]]
        if len(part) < 10:
            continue
        far.append(_off_line(part[None]).ravel())
        whole = len(part) // window * window
        near.append(_off_line(part[:whole].reshape(-1, window)).ravel() if whole else far[-1])
    if not near:
        return None
    jitter, wander = (float(np.quantile(np.abs(np.concatenate(d)), 0.99)) * rate for d in (near, far))
    return jitter, wander


def _off_line(times: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of the times (B, n) in each row from the straight line through them, in seconds."""
    index = np.arange(times.shape[1]) - (times.shape[1] - 1) / 2
    centred = times - times.mean(axis=1, keepdims=True)
    slope = centred @ index / (index @ index)
    off: NDArray[np.float64] = centred - slope[:, None] * index
    return off
