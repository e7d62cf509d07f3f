"""The same stretch of signal on both sides of a split: copies that a split by subject is meant to exclude."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.errors import DataError

COPY_RUN = 16
"""Consecutive samples, in all channels at once, that make a copy."""

STRETCH = 16
"""Consecutive runs of which a fingerprint keeps at least one: a copy of 31 samples, half a second or so, is known."""

SEEN = "seen.safetensors"
SEEN_FORMAT = "conv2d-seen/2"
_SEEN_SHARE = 0.1  # of a recording's fingerprint; by chance none of 64 bits agree

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio: multiples of it are spread over all bits
_STEP = np.uint64(0xD6E8FEB86659FD93)


def windows_with_copies(X_train: ArrayLike, X_test: ArrayLike, run_length: int) -> NDArray[np.bool_]:
    """Test windows that hold ``run_length`` consecutive samples which also stand, bit for bit, in a training window.

    X_train (N, C, S, T) and X_test (M, C, S, T) raw windows of the same channels; returns bool (M,). The run may lie
    anywhere in either window, so a copy is found whatever hop the windows were cut with. All channels of all sensors
    must agree. Runs that change at fewer than half of their steps (missing, stuck or saturated sensors, which agree
    by chance) do not count; ``run_length`` 1 compares single samples and counts all that are not missing.

    Cost O((N + M) T (C S + log)); compared through 64-bit hashes, so that a false hit has a probability of about
    (N T)(M T) / 2^64.

    >>> signal = np.random.default_rng(0).normal(size=(1, 1, 40)).astype(np.float32)
    >>> windows_with_copies(signal[None, ..., :30], signal[None, ..., 7:37], run_length=16)
    array([ True])
    """
    train, test = np.asarray(X_train, np.float32), np.asarray(X_test, np.float32)
    if train.ndim != 4 or train.shape[1:] != test.shape[1:]:
        raise DataError(
            f"E-EVAL-111: got training windows of shape {train.shape} and test windows of shape {test.shape}, expected "
            "(windows, channels, sensors, samples) of the same kind; cut both in the same way"
        )
    if not 1 <= run_length <= train.shape[3]:
        raise DataError(
            f"E-EVAL-112: copies of {run_length} samples were asked for in windows of {train.shape[3]}; "
            "ask for at least 1 and at most the window"
        )
    train_hash, train_moves = _runs(train, run_length)
    test_hash, test_moves = _runs(test, run_length)
    found = np.isin(test_hash, train_hash[train_moves]) & test_moves
    return np.asarray(found.any(axis=1))


def _runs(windows: NDArray[np.float32], run_length: int) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """Hash of each run (N, T - run_length + 1), and whether it moves enough to count."""
    n, _, _, t = windows.shape
    flat = windows.reshape(n, -1, t)
    sample = np.zeros((n, t), np.uint64)
    moves = np.zeros((n, t), np.int64)
    for channel in range(flat.shape[1]):
        # Adding 0 makes -0 into 0; every NaN becomes the same one, since its payload depends on who wrote the file.
        values: NDArray[np.float32] = flat[:, channel] + np.float32(0)
        values[np.isnan(values)] = np.nan
        bits = values.view(np.uint32)
        sample = mix_bits(sample + bits.astype(np.uint64))
        moves[:, 1:] |= bits[:, 1:] != bits[:, :-1]
    moves[:, 0] = 0
    places = t - run_length + 1
    run = np.zeros((n, places), np.uint64)
    for offset in range(run_length):
        run = run * _STEP + sample[:, offset : offset + places]
    if run_length == 1:
        return run, np.asarray(np.isfinite(flat).any(axis=1))
    total = np.cumsum(moves, axis=1)
    steps = total[:, run_length - 1 :] - total[:, :places]
    moving: NDArray[np.bool_] = 2 * steps >= run_length - 1
    return run, moving


def mix_bits(value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Spread every bit over all others (the finaliser of MurmurHash3); overflow wraps, as it must."""
    value = (value + _ODD) * _ODD
    value ^= value >> np.uint64(29)
    value *= _STEP
    value ^= value >> np.uint64(32)
    return value


def run_fingerprint(samples: NDArray[np.float32], run_length: int) -> NDArray[np.uint64]:
    """Hashes of some runs of samples, at least one in each stretch of ``STRETCH``, ascending and without doubles.

    samples (C, S, n) float32, NaN where missing. Of each ``STRETCH`` consecutive runs the one with the least hash is
    kept (winnowing, Schleimer, Wilkerson and Aiken 2003), 2 of ``STRETCH`` + 1 on average. The choice depends on the
    content of the stretch alone, so a recording that was cut, shifted or renamed keeps the fingerprint of what is left
    of it, as long as that is ``run_length + STRETCH - 1`` samples. Shorter ones keep all their runs. Runs that hardly
    move do not count and are passed over. O(C S n).
    """
    if samples.shape[2] < run_length:
        return np.empty(0, np.uint64)
    hashes, moves = _runs(samples[None], run_length)
    kept = hashes[moves]
    if len(kept) >= STRETCH:
        kept = np.lib.stride_tricks.sliding_window_view(kept, STRETCH).min(axis=1)
    return np.unique(kept)


def write_seen(folder: Path, recordings: Iterable[NDArray[np.float32]]) -> None:
    """Keep the fingerprints of recordings (C, S, n) in a run directory: about a byte a sample."""
    from safetensors.numpy import save

    parts = [np.empty(0, np.uint64), *(run_fingerprint(samples, COPY_RUN) for samples in recordings)]
    content = save({"runs": np.unique(np.concatenate(parts))}, metadata={"format": SEEN_FORMAT})
    (folder / SEEN).write_bytes(content)


def read_seen(folder: Path) -> NDArray[np.uint64]:
    """Read what ``write_seen`` wrote; DataError where the file is missing, damaged or of another format."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(folder / SEEN, framework="numpy") as file:
            found = (file.metadata() or {}).get("format")
            runs: NDArray[np.uint64] = file.get_tensor("runs") if found == SEEN_FORMAT else np.empty(0, np.uint64)
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"E-RUN-001: {folder / SEEN} is missing or damaged ({str(error).splitlines()[0]}); copy the run again"
        ) from error
    if found != SEEN_FORMAT:
        raise DataError(
            f"E-RUN-002: {folder / SEEN} has format {found!r}, this version reads {SEEN_FORMAT!r}; train again or use "
            "the version that wrote it"
        )
    return runs


def is_seen(samples: NDArray[np.float32], seen: NDArray[np.uint64]) -> bool:
    """Whether more than a tenth of a recording (C, S, n), bit for bit, stands in recordings that were seen.

    ``seen`` as ``read_seen`` gives it, ascending. A recording that was cut from one that was seen is known for sure
    where ``STRETCH`` of its runs move (31 samples, if all do), and by chance where fewer do. O(C S n + n log M) with M
    fingerprints that were seen.
    """
    mine = run_fingerprint(samples, COPY_RUN)
    if not len(mine) or not len(seen):
        return False
    place = np.minimum(np.searchsorted(seen, mine), len(seen) - 1)
    return float((seen[place] == mine).mean()) > _SEEN_SHARE
