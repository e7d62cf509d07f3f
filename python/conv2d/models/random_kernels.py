"""Random convolution kernels with a ridge classifier: the strong and cheap baseline that a network has to beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.errors import DataError
from conv2d.models.ridge import Ridge, fit_ridge

KERNEL_LENGTH = 9
KERNELS = np.array(list(combinations(range(KERNEL_LENGTH), 3)))
"""(84, 3): the places of weight 2 in each kernel; the other six have weight -1, so that a constant gives 0."""

_MAX_DILATIONS = 32
_MAX_CHANNELS = 9
_GOLDEN = (np.sqrt(5) + 1) / 2
_BLOCK_SAMPLES = (
    1 << 15
)  # samples of one channel worked on at once: 128 KiB an array, so that a block stays in the cache


@dataclass(frozen=True)
class RandomKernelTransform:
    """MiniRocket (Dempster, Schmidt and Webb 2021) for several channels: shares of positive responses to fixed kernels.

    Combination i = (dilation, kernel) convolves the sum of the channels in ``channels[i]`` and compares the response
    with ``biases[first[i]:first[i + 1]]``; a feature is the share of samples above the bias. Every other combination
    sees the window padded with zeros, the rest only places where the dilated kernel fits.

    centre, scale (C * S,) standardise each channel; NaN becomes the centre, that is 0. dilations (M,) int64, channels
    (M, C * S) bool, biases float32 (F,), first (M + 1,) int64; shape = (C, S, T) of the windows.
    """

    shape: tuple[int, int, int]
    centre: NDArray[np.float32]
    scale: NDArray[np.float32]
    dilations: NDArray[np.int64]
    channels: NDArray[np.bool_]
    biases: NDArray[np.float32]
    first: NDArray[np.int64]

    @classmethod
    def fit(cls, X: ArrayLike, seed: int, n_features: int = 4000) -> RandomKernelTransform:
        """Draw channel subsets, and take biases from quantiles of responses to windows of X (N, C, S, T).

        X must be training windows only. n_features is rounded down to a multiple of 84 (4000 gives 3948). Raises
        DataError for windows shorter than a kernel. Cost O(F * T), whatever N is.
        """
        windows = _flat_windows(X)
        n, n_channels, t = windows.shape
        if t < KERNEL_LENGTH:
            raise DataError(
                f"E-MODEL-111: windows have {t} samples, random kernels need at least {KERNEL_LENGTH}; "
                "choose a longer window or leave this baseline out"
            )
        if n == 0:
            raise DataError(
                "E-MODEL-112: got no training window, random kernels need at least 1; check classes and split"
            )
        rng = np.random.default_rng(seed)
        centre, scale = _channel_scale(windows)
        dilations, per_dilation = _dilations(t, max(1, n_features // len(KERNELS)))
        combination = np.repeat(dilations, len(KERNELS))
        counts = np.repeat(per_dilation, len(KERNELS))
        channels = np.zeros((len(combination), n_channels), bool)
        for row in channels:
            size = int(2 ** rng.uniform(0, np.log2(min(n_channels, _MAX_CHANNELS) + 1)))
            row[rng.choice(n_channels, size, replace=False)] = True
        first = np.concatenate([[0], np.cumsum(counts)])
        # A low-discrepancy sequence: every kernel gets other quantiles, and together they cover (0, 1) evenly.
        quantiles = (np.arange(1, first[-1] + 1) * _GOLDEN) % 1
        chosen = rng.integers(n, size=len(combination))
        unbiased = cls(
            np.asarray(X).shape[1:], centre, scale, combination, channels, np.zeros(first[-1], np.float32), first
        )
        biases = unbiased.biases.copy()
        for dilation in dilations:
            rows = np.flatnonzero(combination == dilation)
            examples, place = np.unique(chosen[rows], return_inverse=True)
            responses = _Responses(_standardise(windows[examples], centre, scale), int(dilation))
            for at, which in zip(rows, place, strict=True):
                response = unbiased._response(responses, int(at))[:, which]
                biases[first[at] : first[at + 1]] = np.quantile(response, quantiles[first[at] : first[at + 1]])
        return cls(unbiased.shape, centre, scale, combination, channels, biases, first)

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:
        """Features (N, F) in [0, 1] of windows X (N, C, S, T); what else stands in X does not matter to a window.

        Raises DataError where the windows have another shape than those of the fit. Cost O(N * T * F): about a third
        of a millisecond a window of 128 samples.
        """
        windows = _flat_windows(X)
        if np.asarray(X).shape[1:] != self.shape:
            raise DataError(
                f"E-MODEL-113: windows have the shape {np.asarray(X).shape[1:]} (channels, sensors, samples), the "
                f"kernels were fitted on {self.shape}; cut the same windows as for training"
            )
        out = np.empty((len(windows), len(self.biases)), np.float32)
        step = max(1, _BLOCK_SAMPLES // windows.shape[2])
        for start in range(0, len(windows), step):
            block = _standardise(windows[start : start + step], self.centre, self.scale)
            self._transform_block(block, out[start : start + step])
        return out

    def _transform_block(self, block: NDArray[np.float32], out: NDArray[np.float32]) -> None:
        responses: _Responses | None = None
        for row, dilation in enumerate(self.dilations):
            if responses is None or responses.dilation != dilation:
                responses = _Responses(block, int(dilation))
            response = self._response(responses, row)
            above = np.empty(response.shape, bool)
            for feature in range(self.first[row], self.first[row + 1]):
                np.greater(response, self.biases[feature], out=above)
                out[:, feature] = _count(above)
            out[:, self.first[row] : self.first[row + 1]] /= len(response)

    def _response(self, responses: _Responses, row: int) -> NDArray[np.float32]:
        """Response (time, windows) of combination ``row``; padded or not by turns, as in the paper."""
        kernel = row % len(KERNELS)
        padded = (row // len(KERNELS) + kernel) % 2 == 0
        return responses.of(KERNELS[kernel], np.flatnonzero(self.channels[row]), padded)

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to transform, as arrays."""
        return {
            "shape": np.asarray(self.shape, np.int64),
            "centre": self.centre,
            "scale": self.scale,
            "dilations": self.dilations,
            "channels": self.channels,
            "biases": self.biases,
            "first": self.first,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.generic]]) -> RandomKernelTransform:
        """The inverse of :meth:`state`, bit for bit."""
        c, s, t = np.asarray(state["shape"], np.int64).tolist()
        return cls(
            shape=(c, s, t),
            centre=np.asarray(state["centre"], np.float32),
            scale=np.asarray(state["scale"], np.float32),
            dilations=np.asarray(state["dilations"], np.int64),
            channels=np.asarray(state["channels"], np.bool_),
            biases=np.asarray(state["biases"], np.float32),
            first=np.asarray(state["first"], np.int64),
        )


class _Responses:
    """Responses of one block of windows at one dilation, built from shifted copies.

    A kernel has weight 2 at three places and -1 at six: its response is 3 * (sum of three shifted copies) - (sum of
    all nine), and the nine are the same for all 84. Divided by 3, which changes no comparison with a bias that was
    taken from the same quantity, two additions and a subtraction do the work of nine multiplications. Time runs
    first in memory, so that a shift is a contiguous view, and every window is computed alike whatever stands beside it.
    """

    def __init__(self, block: NDArray[np.float32], dilation: int) -> None:
        n, n_channels, t = block.shape
        self.dilation, self.length = dilation, t
        self.reach = dilation * (KERNEL_LENGTH // 2)
        self.padded = np.zeros((n_channels, t + 2 * self.reach, n), np.float32)
        self.padded[:, self.reach : self.reach + t] = block.transpose(1, 2, 0)
        self.third_of_all = np.zeros((n_channels, t, n), np.float32)
        for place in range(KERNEL_LENGTH):
            self.third_of_all += self.padded[:, place * dilation : place * dilation + t]
        self.third_of_all /= 3

    def of(self, heavy: NDArray[np.int64], channels: NDArray[np.int64], padded: bool) -> NDArray[np.float32]:
        if len(channels) == 1:
            source, all_places = self.padded[channels[0]], self.third_of_all[channels[0]]
        else:
            source = self.padded[channels[0]] + self.padded[channels[1]]
            all_places = self.third_of_all[channels[0]] + self.third_of_all[channels[1]]
            for channel in channels[2:]:
                source += self.padded[channel]
                all_places += self.third_of_all[channel]
        a, b, c = (source[place * self.dilation : place * self.dilation + self.length] for place in heavy)
        response: NDArray[np.float32] = a + b
        response += c
        response -= all_places
        return response if padded else response[self.reach : self.length - self.reach]


@dataclass(frozen=True)
class RandomKernelClassifier:
    """Random kernels, then ridge with a temperature: fitted in seconds, and hard to beat.

    >>> rng = np.random.default_rng(0)
    >>> y = np.arange(60) % 2
    >>> X = rng.normal(size=(60, 3, 1, 32)) + 3 * np.sin(np.arange(32) * (1 + y[:, None, None, None]))
    >>> model = RandomKernelClassifier.fit(X[:40], y[:40], n_classes=2, seed=0)
    >>> float((model.predict_proba(X[40:]).argmax(axis=1) == y[40:]).mean())
    1.0
    """

    transform: RandomKernelTransform
    ridge: Ridge

    @classmethod
    def fit(
        cls,
        X: ArrayLike,
        y: ArrayLike,
        n_classes: int,
        seed: int,
        *,
        groups: ArrayLike | None = None,
        n_features: int = 4000,
    ) -> RandomKernelClassifier:
        """Fit on training windows X (N, C, S, T), NaN where a sample is missing, with labels y (N,) in 0..n_classes-1.

        groups (N,) are the subjects, see :func:`conv2d.models.ridge.fit_ridge`. Raises DataError for one class or
        windows under nine samples. Same seed, same result.
        """
        transform = RandomKernelTransform.fit(X, seed, n_features)
        return cls(transform, fit_ridge(transform.transform(X), y, n_classes, groups=groups))

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """Probabilities (N, K) of windows X (N, C, S, T); classes absent from the training have 0."""
        return self.ridge.predict_proba(self.transform.transform(X))

    def state(self) -> dict[str, NDArray[np.generic]]:
        """Everything needed to predict, as arrays to be stored as tensors."""
        parts = (("transform", self.transform.state()), ("ridge", self.ridge.state()))
        return {f"{part}.{name}": array for part, arrays in parts for name, array in arrays.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[np.generic]]) -> RandomKernelClassifier:
        """The inverse of :meth:`state`, bit for bit."""

        def part(prefix: str) -> dict[str, NDArray[np.generic]]:
            return {name.removeprefix(prefix): array for name, array in state.items() if name.startswith(prefix)}

        return cls(RandomKernelTransform.from_state(part("transform.")), Ridge.from_state(part("ridge.")))


def _flat_windows(X: ArrayLike) -> NDArray[np.float32]:
    """(N, C, S, T) as (N, C * S, T); a view where it can be."""
    windows = np.asarray(X)
    if windows.ndim != 4:
        raise DataError(
            f"E-MODEL-114: windows have the shape {windows.shape}, expected (windows, channels, sensors, samples); "
            "cut them with conv2d.data.windows"
        )
    n, c, s, t = windows.shape
    return windows.reshape(n, c * s, t)


def _channel_scale(windows: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation of each channel over all training samples that are there; 0 and 1 for one that never is."""
    known = np.isfinite(windows)
    count = np.maximum(known.sum(axis=(0, 2), dtype=np.int64), 1)
    filled = np.where(known, windows, 0)
    centre = filled.sum(axis=(0, 2), dtype=np.float64) / count
    square = np.einsum("nct,nct->c", filled, filled, dtype=np.float64) / count
    variance = square - np.square(centre)
    scale = np.sqrt(np.where(variance > 1e-12 * np.maximum(square, 1e-12), variance, 1.0))
    return centre.astype(np.float32), scale.astype(np.float32)


def _standardise(
    windows: NDArray[np.float32], centre: NDArray[np.float32], scale: NDArray[np.float32]
) -> NDArray[np.float32]:
    block: NDArray[np.float32] = (windows.astype(np.float32) - centre[:, None]) / scale[:, None]
    return np.nan_to_num(block, copy=False, nan=0.0, posinf=0.0, neginf=0.0)


def _dilations(length: int, per_kernel: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dilations, exponential up to the longest that fits, and how many features each kernel takes at each."""
    slots = min(per_kernel, _MAX_DILATIONS)
    longest = np.log2((length - 1) / (KERNEL_LENGTH - 1))
    dilations, counts = np.unique(np.logspace(0, longest, slots, base=2).astype(np.int64), return_counts=True)
    features = (counts * (per_kernel / slots)).astype(np.int64)
    for index in range(per_kernel - int(features.sum())):
        features[index % len(features)] += 1
    return dilations, features


def _count(above: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of axis 0 are true, for each of axis 1: sums of bytes, in stretches that a byte can hold."""
    total = np.zeros(above.shape[1], np.int64)
    bytes_ = above.view(np.uint8)
    for start in range(0, len(bytes_), 255):
        total += np.add.reduce(bytes_[start : start + 255], axis=0, dtype=np.uint8)
    return total
