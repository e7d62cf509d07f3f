"""One step of fitting for each law of duration: expected counts of lengths in, the likeliest pmf out.

Source of the widest band of the smoothed histogram: Silverman, "Density estimation", 1986.
"""

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from conv2d.temporal.protocol import FloatArray, IntArray

Law = Literal["categorical", "negative_binomial", "poisson", "geometric", "gaussian"]
LAWS: tuple[Law, ...] = get_args(Law)


def moments(counts: FloatArray, support: IntArray) -> tuple[float, float]:
    """Mean and variance of weighted lengths."""
    total = counts.sum()
    mean = float((counts * support).sum() / total)
    return mean, float((counts * (support - mean) ** 2).sum() / total)


def histogram(counts: FloatArray, support: IntArray) -> tuple[FloatArray, dict[str, float]]:
    """The counts themselves."""
    return counts / counts.sum(), {"mean": moments(counts, support)[0]}


def smoothed_histogram(prior: FloatArray, counts: FloatArray, support: IntArray) -> tuple[FloatArray, dict[str, float]]:
    """Blur the observed counts with the Gaussian under which each segment is best foretold by the others.

    Widths from Silverman's, right for one bell, down to a sixteenth of it, right for two narrow ones far apart; never
    below half a frame. The prior is smooth already.
    """
    total = float(counts.sum())
    quartiles = np.searchsorted(np.cumsum(counts), [0.25 * total, 0.75 * total])
    # The quartiles keep one segment of a thousand times the length from blurring all others away.
    spread = min(moments(counts, support)[1] ** 0.5, float(quartiles[1] - quartiles[0]) / 1.34)
    widest = max(0.5, 1.06 * spread * total**-0.2)
    widths = sorted({max(0.5, widest / 2 ** (step / 2)) for step in range(9)}, reverse=True)
    spectrum = np.fft.rfft(counts, 2 * len(counts))
    best, best_score = widest, -np.inf
    for width in widths:
        blurred, peak = _blur(spectrum, len(counts), width)
        # Left out: one segment of this length, so its own kernel's peak is taken off.
        others = np.maximum(blurred - np.minimum(counts, 1) * peak, 0) + prior
        score = float((counts * np.log(np.maximum(others, 1e-9))).sum())
        if score > best_score:
            best, best_score = width, score
    blurred, _ = _blur(spectrum, len(counts), best)
    # What the kernel pushes below one frame or past the support comes back by scaling.
    pmf = prior + blurred * (total / blurred.sum())
    pmf /= pmf.sum()
    return pmf, {"mean": moments(pmf, support)[0], "width": float(best)}


def _blur(spectrum: npt.NDArray[np.complex128], size: int, width: float) -> tuple[FloatArray, float]:
    """Convolve (size,) counts, given by their spectrum at twice the size, with a Gaussian; also its peak's height."""
    offset = np.arange(2 * size)
    kernel = np.exp(-0.5 * (np.minimum(offset, 2 * size - offset) / width) ** 2)
    kernel /= kernel.sum()
    blurred: FloatArray = np.fft.irfft(spectrum * np.fft.rfft(kernel), 2 * size)[:size]
    return np.maximum(blurred, 0), float(kernel[0])


def geometric(counts: FloatArray, support: IntArray) -> tuple[FloatArray, dict[str, float]]:
    """Geometric law of the counts' mean."""
    mean = max(moments(counts, support)[0], 1 + 1e-9)
    pmf = (1 - 1 / mean) ** (support - 1) / mean
    return pmf / pmf.sum(), {"mean": mean}


def poisson(counts: FloatArray, support: IntArray) -> tuple[FloatArray, dict[str, float]]:
    """Length - 1 as a Poisson variable of the counts' mean."""
    mean = max(moments(counts, support)[0], 1 + 1e-9)
    # log pmf by the ratio of neighbours: x -> x + 1 multiplies by rate / (x + 1); no gamma function needed.
    log_pmf = np.cumsum(np.r_[0.0, np.log(mean - 1) - np.log(support[:-1])])
    return _softmax(log_pmf), {"mean": mean}


def negative_binomial_pmf(mean: float, size: float, support: IntArray) -> FloatArray:
    """Length - 1 as a negative binomial variable, cut at the end of the support."""
    failures = support[:-1] - 1
    ratio = np.log(failures + size) - np.log(failures + 1) + np.log((mean - 1) / (mean - 1 + size))
    return _softmax(np.cumsum(np.r_[0.0, ratio]))


def negative_binomial(counts: FloatArray, support: IntArray) -> tuple[FloatArray, dict[str, float]]:
    """Negative binomial law of the counts' mean and of the likeliest size."""
    mean = max(moments(counts, support)[0], 1 + 1e-6)

    def loss(log_size: float) -> float:
        pmf = negative_binomial_pmf(mean, float(np.exp(log_size)), support)
        return -float((counts * np.log(np.maximum(pmf, 1e-300))).sum())

    # From nearly a step at one frame (0.1) to nearly Poisson (1e4); the mean is the likelihood's own for any size.
    size = float(np.exp(minimise(loss, np.log(0.1), np.log(1e4))))
    return negative_binomial_pmf(mean, size, support), {"mean": mean, "size": size}


def gaussian(counts: FloatArray, support: IntArray) -> tuple[FloatArray, dict[str, float]]:
    """Normal law of the counts' mean and variance at whole frames from one on."""
    mean, variance = moments(counts, support)
    # Sheppard's correction: rounding to whole frames has added 1/12; below a third of a frame it is one column anyway.
    sd = max(variance - 1 / 12, 1 / 9) ** 0.5
    log_pmf = -0.5 * ((support - mean) / sd) ** 2
    return _softmax(log_pmf), {"mean": mean, "sd": sd}


def _softmax(log_pmf: FloatArray) -> FloatArray:
    pmf = np.exp(log_pmf - log_pmf.max())
    normalised: FloatArray = pmf / pmf.sum()
    return normalised


def minimise(loss: Callable[[float], float], low: float, high: float, tolerance: float = 1e-2) -> float:
    """Minimum of a function with one valley on [low, high] by golden section; an end counts as found, too."""
    ratio = (5**0.5 - 1) / 2
    a, b = low, high
    c, d = b - ratio * (b - a), a + ratio * (b - a)
    at_c, at_d = loss(c), loss(d)
    while b - a > tolerance:
        if at_c <= at_d:
            b, d, at_d = d, c, at_c
            c = b - ratio * (b - a)
            at_c = loss(c)
        else:
            a, c, at_c = c, d, at_d
            d = a + ratio * (b - a)
            at_d = loss(d)
    middle = (a + b) / 2
    return min((middle, low, high), key=loss)


STEPS: dict[Law, Callable[[FloatArray, IntArray], tuple[FloatArray, dict[str, float]]]] = {
    "categorical": histogram,
    "negative_binomial": negative_binomial,
    "poisson": poisson,
    "geometric": geometric,
    "gaussian": gaussian,
}
