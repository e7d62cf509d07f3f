"""The sampling rate that times show."""

import numpy as np
from numpy.typing import NDArray


def rate_of_steps(steps: NDArray[np.float64]) -> float:
    """Samples per second by the steps of time (n,) in seconds, all above 0; at least one.

    The mean of the steps within half of their median, which gaps do not change. The median alone is wrong where times
    are rounded: 64 Hz in whole milliseconds has steps of 15 and 16 ms, of which none is that of 64 Hz. Where the two
    are more than 20 % apart the median counts. O(n).

    >>> times = np.round(np.arange(1000) / 64, 3)
    >>> round(rate_of_steps(np.diff(times)), 2), round(1 / float(np.median(np.diff(times))), 2)
    (64.0, 62.5)
    """
    half = (len(steps) - 1) // 2
    middle = float(np.partition(steps, half)[half])  # a step that occurs: between two unlike ones there would be none
    mean = float(steps[np.abs(steps / middle - 1) < 0.5].mean())
    return 1 / (mean if abs(mean / middle - 1) < 0.2 else middle)


def round_rate(measured: float) -> float:
    """The rate that a measured one stands for: the whole number within 0.5 %, else four digits.

    >>> round_rate(99.98), round_rate(12.51)
    (100.0, 12.51)
    """
    whole = round(measured)
    return float(whole) if whole and abs(measured / whole - 1) < 0.005 else float(f"{measured:.4g}")
