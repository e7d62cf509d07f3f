"""Whether two clocks can be what the mapping says: the units of their columns, and how fast one runs by the other."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from conv2d.data.joining.clock import Clock
from conv2d.data.joining.numbering import MAX_RATE_ERROR
from conv2d.errors import DataError

MAX_DRIFT = 1000e-6  # a quartz is off by 20 to 100 ppm; more is a wrong unit or rate
NOTED_DRIFT = 200e-6
_LAG = 100  # rows over which late stamps do not hide a wrong unit
_ROUGH = 1.5
_MANY_ROWS = 1000

Array = NDArray[np.float64]


def check_units(device: Array, host: Array, where: str, rate_hz: float | None = None) -> None:
    """Refuse two columns one of which runs half as fast again as the other, or that have hardly a pair.

    ``rate_hz`` is that of a device that counts samples. Looked at over a hundred rows each, so that neither late
    stamps, nor pauses, nor settings hide it; NaN is no stamp.

    Raises
    ------
    DataError
        E-DATA-020, with the unit that would fit.

    >>> check_units(np.arange(500) * 10.0, np.arange(500) * 0.01, "neck")
    Traceback (most recent call last):
    ...
    conv2d.errors.DataError: E-DATA-020: a second of the host is 1000 s of the device clock of neck...
    """
    known = np.flatnonzero(np.isfinite(device) & np.isfinite(host))
    if len(known) < 3:
        if len(device) >= _MANY_ROWS:
            raise DataError(
                f"E-DATA-020: {where} has {len(known)} pairs of device and host time in {len(device)} rows, expected "
                "at least three; correct the column or give offset_s instead of host"
            )
        return
    lag = max(1, min(_LAG, len(known) // 3))
    passed, moved = host[known[lag:]] - host[known[:-lag]], device[known[lag:]] - device[known[:-lag]]
    forward = (passed > 0) & (moved > 0)
    if not forward.any():
        return
    ratio = float(np.median(moved[forward] / passed[forward]))
    if 1 / _ROUGH <= ratio <= _ROUGH:
        return
    if rate_hz is not None:
        raise DataError(
            f"E-DATA-020: {where} counts {rate_hz * ratio:.4g} samples a second of the host, the mapping says rate_hz "
            f"{rate_hz:g}; correct rate_hz, or the unit of host"
        )
    power = round(float(np.log(ratio)) / np.log(1000))
    likely = ""
    if power and abs(ratio / 1000.0**power - 1) < 0.1:
        likely = ("ms for s", "us for s", "ns for s")[min(abs(power), 3) - 1]
        likely = f"; the column of {'device' if power > 0 else 'host'} looks finer than its unit says, as {likely}"
    raise DataError(
        f"E-DATA-020: a second of the host is {ratio:.4g} s of the device clock of {where}{likely}; expected one "
        "second, correct the unit of device or host"
    )


def check_drift(pieces: Sequence[tuple[Clock, float]], where: str, rate_hz: float | None) -> str | None:
    """A note where a clock drifts more than a quartz should; ``pieces`` are clocks and the seconds they span.

    ``rate_hz`` is that of a device that counts samples, whose rate is to be measured, else None.

    Raises
    ------
    DataError
        E-DATA-020: more than 1000 ppm and the scatter of the stamps explain, or a counter 25 % off its rate.
    """
    sure = [(clock.drift, (clock.residual_ms[2] - clock.residual_ms[0]) * 2e-3 / max(s, 1e-9)) for clock, s in pieces]
    if not sure:
        return None
    worst, slack = max(sure, key=lambda of: abs(of[0]) - of[1])
    if rate_hz is not None:
        if abs(worst) - slack > MAX_RATE_ERROR:
            raise DataError(
                f"E-DATA-020: {where} counts {rate_hz / (1 + worst):.4g} samples a second "
                f"of the host, the mapping says rate_hz {rate_hz:g}; correct rate_hz"
            )
        return None
    if abs(worst) - slack > MAX_DRIFT:
        raise DataError(
            f"E-DATA-020: the device clock of {where} takes {1 / (1 + worst):.6g} s for a second of the host, "
            f"expected one within {MAX_DRIFT * 1e6:.0f} ppm; correct the unit of device or host time"
        )
    if abs(worst) - slack > NOTED_DRIFT:
        return f"the device clock drifts by {worst * 1e6:.0f} ppm, more than a quartz should"
    return None
