"""The times of a table judged while its rows pass: do they increase, and at what rate."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.mapping import TIME_UNITS
from conv2d.data.meta import RATE_TOLERANCE, format_rate
from conv2d.data.rate import rate_of_steps, round_rate
from conv2d.errors import DataError

STEPS_KEPT = 4 << 20  # steps of time that rates are judged by, of all recordings together
_MOST_STEPS = 100_000  # of one recording
_STRETCH = 1000  # steps of a stretch whose rate is compared with that of the others
_USUAL_RATES = (0.5, 20_000.0)  # Hz; what is measured outside is a wrong unit far more often than a rate
_EXCEL_DAY = 86_400.0
_GAP = 1.5  # periods; the next window begins behind a longer step
_GAPS_NAMED = 12  # recordings with gaps that get a note each; of more there is one for all


@dataclass(eq=False)
class TimeCheck:
    """What is kept of one recording's time."""

    origin: Any = None  # its first and last time so far, in the table's unit
    last: Any = None
    steps: list[NDArray[np.float64]] = field(default_factory=list)  # in seconds
    n_steps: int = 0
    stretches: list[NDArray[np.float64]] = field(default_factory=list)  # median step of each stretch, in seconds
    n_gaps: int = 0  # among the steps that are not kept
    longest_s: float = 0.0
    _shortest_gap_s: float = 0.0  # while steps are not kept

    def keep(self, steps: NDArray[np.float64]) -> int:
        """Add steps in seconds; returns how many are kept of them."""
        n = max(0, _MOST_STEPS - self.n_steps)
        kept = steps[:n]
        if len(kept):
            self.steps.append(kept.copy())
            self.n_steps += len(kept)
        self._pass(steps[n:])
        return len(kept)

    def _pass(self, steps: NDArray[np.float64]) -> None:
        """Count the gaps among steps that are not kept, by the rate of those that are."""
        if not len(steps):
            return
        if not self._shortest_gap_s:
            rate_hz = self.rate_hz()
            assert rate_hz is not None  # only what is beyond the kept ones is not kept
            self._shortest_gap_s = _GAP / rate_hz
        gaps = steps[steps > self._shortest_gap_s]
        if len(gaps):
            self.n_gaps += len(gaps)
            self.longest_s = max(self.longest_s, float(gaps.max()))

    def keep_no_more_than(self, limit: int) -> int:
        """Forget steps beyond the first ``limit``, as those of other recordings need the room; returns what is left."""
        if self.n_steps > limit:
            steps = np.concatenate(self.steps)
            self._pass(steps[limit:])
            self.steps = [steps[:limit].copy()]
            self.n_steps = limit
        return self.n_steps

    def keep_stretches(self, time_s: NDArray[np.float64]) -> None:
        """Note the rates of stretches of rows that follow one another."""
        n = (len(time_s) - 1) // _STRETCH
        if n > 0:
            steps = np.diff(time_s[: n * _STRETCH + 1])
            self.stretches.append(np.median(steps.reshape(n, _STRETCH), axis=1))

    def rate_hz(self) -> float | None:
        """Samples per second by the steps kept; None without any."""
        if not self.n_steps:
            return None
        return rate_of_steps(np.concatenate(self.steps))

    def gaps(self, rate_hz: float) -> tuple[int, float]:
        """How many steps are longer than one and a half periods of ``rate_hz``, and the longest of them in seconds."""
        steps = np.concatenate([np.zeros(0), *self.steps])
        steps = steps[steps > _GAP / rate_hz]
        return self.n_gaps + len(steps), max(self.longest_s, float(steps.max(initial=0)))


def gap_notes(clocks: Mapping[str, TimeCheck], rate_hz: float) -> list[str]:
    """A sentence for each recording whose clock has gaps, or one for all of them where they are many."""
    gaps = {name: found for name, clock in clocks.items() if (found := clock.gaps(rate_hz))[0]}
    if len(gaps) > _GAPS_NAMED:
        worst = max(gaps, key=lambda name: gaps[name][1])
        return [
            f"{len(gaps)} of {len(clocks)} recordings have gaps of their clock, {sum(n for n, _ in gaps.values())} in "
            f"all, the longest {gaps[worst][1]:.4g} s in {worst}, left as gaps"
        ]
    return [
        f"recording {name} has {n} gap{'s' * (n > 1)} of its clock, the longest {longest:.4g} s, left as gaps"
        for name, (n, longest) in gaps.items()
    ]


def increasing(
    clock: TimeCheck, raw: NDArray[Any], place: Callable[[int], str], column: str, unit: str
) -> NDArray[np.float64]:
    """The steps before each row in seconds, one fewer for the first rows; ``clock`` moves on to the last.

    ``place(row)`` names a row of ``raw`` for a message.

    Raises
    ------
    DataError
        E-DATA-016: a time that is not after the one before, with the likeliest cause.
    """
    if clock.origin is None:
        clock.origin = raw[0]
    before = raw if clock.last is None else np.concatenate([np.asarray([clock.last], raw.dtype), raw])
    steps = np.diff(before)
    if len(steps) and steps.min() <= 0:
        i = int(np.argmax(steps <= 0)) + 1
        raise _not_increasing(clock, before, i, place(i - len(before) + len(raw)), column, unit)
    clock.last = raw[-1]
    in_seconds: NDArray[np.float64] = steps * TIME_UNITS[unit]
    return in_seconds


def _not_increasing(clock: TimeCheck, times: NDArray[Any], i: int, place: str, column: str, unit: str) -> DataError:
    earlier, later = times[i - 1], times[i]
    back_s = float(earlier - later) * TIME_UNITS[unit]
    dated = unit == "iso8601" or float(clock.origin) * TIME_UNITS[unit] > 3e8
    where = (
        f"E-DATA-016: column {column} goes from {_shown(earlier, unit)} to {_shown(later, unit)} in {place}, expected "
        "increasing times within a recording"
    )
    if back_s == 0:
        share = float(np.mean(np.diff(times) == 0))
        if share > 0.2:
            return DataError(
                f"{where}; {share:.0%} of the rows thereabouts repeat the time before, so it is rounded: export more "
                "digits, or leave out time and give rate_hz"
            )
        return DataError(
            f"{where}; drop the doubled rows, or name the columns that tell recordings apart under recording"
        )
    if dated and any(abs(back_s - hour) < 60 for hour in (3600, 7200)):
        return DataError(
            f"{where}; that is about an hour back, as where daylight saving ends: export UTC, or times with their zone"
        )
    for bits in (16, 24, 32):
        if float(earlier) < 2**bits <= float(earlier) * 1.01 and float(later) < 0.01 * 2**bits:
            return DataError(f"{where}; the counter starts anew at 2^{bits}: add 2^{bits} from there on")
    return DataError(f"{where}; sort the rows or name the columns that tell recordings apart under recording")


def _shown(time: Any, unit: str) -> str:
    if unit == "iso8601":
        return str(np.datetime_as_string(np.datetime64(int(time), "ns"), unit="auto"))
    return str(int(time)) if float(time).is_integer() else str(time)


def common_rate(clocks: Mapping[str, TimeCheck], given: float | None, unit: str) -> float:
    """The rate of all recordings, in Hz: the one ``given``, else the median of theirs, rounded by `round_rate`.

    Raises
    ------
    DataError
        E-DATA-016 where there is none to measure or it is far from any in use, E-DATA-007 where a recording has
        another one, or two of them.
    """
    rates = {name: rate for name, clock in clocks.items() if (rate := clock.rate_hz()) is not None}
    if given is None and not rates:
        raise DataError("E-DATA-016: no recording has two rows, so there is no rate to measure; give rate_hz")
    # One that is there: between recordings of two rates there is none.
    rate = round_rate(sorted(rates.values())[(len(rates) - 1) // 2]) if given is None else given
    low, high = _USUAL_RATES
    if given is None and not low <= rate <= high:
        raise DataError(
            f"E-DATA-016: the median step of time makes {rate:.4g} samples per second with unit {unit}, expected "
            f"{low:g} to {high:g}{_likely_unit(rate, unit)}; correct the unit of time, or give rate_hz if it is true"
        )
    for name, measured in rates.items():
        if abs(measured / rate - 1) > RATE_TOLERANCE:
            where = "the other recordings have" if given is None else "the mapping says"
            raise DataError(
                f"E-DATA-007: recording {name} has {measured:.4g} samples per second by the median step of its "
                f"time, {where} {format_rate(rate)} Hz{_likely_unit(measured, unit, rate)}; correct rate_hz or the "
                "unit of time, or import it apart"
            )
    for name, clock in clocks.items():
        refuse_two_rates(name, clock)
    return rate


def refuse_two_rates(name: str, clock: TimeCheck) -> None:
    """DataError E-DATA-007 where the stretches of a recording have one rate here and another there."""
    if not clock.stretches:
        return
    stretches = np.concatenate(clock.stretches)
    middle = np.sort(stretches)[len(stretches) // 2]  # one of them: halves of two rates have their mean between
    other = np.abs(stretches / middle - 1) > 0.2
    # A stretch with losses has longer steps too; two rates are told by many stretches that agree on another one.
    if other.sum() >= 2 and other.mean() >= 0.1:
        second = np.median(stretches[other])
        if np.mean(np.abs(stretches[other] / second - 1) < 0.05) > 0.9:
            raise DataError(
                f"E-DATA-007: recording {name} has {1 / middle:.4g} samples per second, but {1 / second:.4g} in "
                f"{other.mean():.0%} of it, expected one rate; import the parts as recordings of their own, or bring "
                "them to one rate with 'conv2d data join'"
            )


def _likely_unit(measured: float, unit: str, rate: float | None = None) -> str:
    """The unit with which the measured rate would be near ``rate``, or a usual one, for a message."""
    names = {**{u: f for u, f in TIME_UNITS.items() if u != "iso8601"}, "days (as Excel writes)": _EXCEL_DAY}
    for name, factor in names.items():
        would = measured * TIME_UNITS[unit] / factor
        fits = 5 <= would <= 1000 if rate is None else abs(would / rate - 1) < RATE_TOLERANCE
        if name != unit and fits:
            return f" (in {name} it would be {would:.4g} Hz)"
    return ""
