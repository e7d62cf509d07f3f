"""Copies of signal across a split, found wherever they lie."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from conv2d.data.duplicates import (
    COPY_RUN,
    STRETCH,
    is_seen,
    read_seen,
    run_fingerprint,
    windows_with_copies,
    write_seen,
)
from conv2d.errors import DataError


def signal(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(2, 2, n)).astype(np.float32)


def brute_force(train: np.ndarray, test: np.ndarray, length: int) -> list[bool]:
    t = train.shape[3]
    seen = {window[..., a : a + length].tobytes() for window in train for a in range(t - length + 1)}
    return [any(window[..., a : a + length].tobytes() in seen for a in range(t - length + 1)) for window in test]


@given(offset=st.integers(0, 24), copied=st.integers(0, 24), length=st.integers(2, 24), seed=st.integers(0, 10**6))
def test_equals_brute_force_for_any_offset_and_length(offset: int, copied: int, length: int, seed: int) -> None:
    train = np.stack([signal(24, seed), signal(24, seed + 1)])
    test = np.stack([signal(24, seed + 2), signal(24, seed + 3)])
    copied = min(copied, 24 - offset)
    test[1, ..., 24 - copied :] = train[0, ..., offset : offset + copied]
    assert windows_with_copies(train, test, length).tolist() == brute_force(train, test, length)


def test_one_differing_channel_is_no_copy() -> None:
    train = signal(30, 0)[None]
    test = train.copy()
    test[0, 1, 1] += 1e-3
    assert not windows_with_copies(train, test, 8).any()
    assert windows_with_copies(train, train, 30).all()


def test_stuck_missing_and_constant_sensors_do_not_count() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((3, 1, 1, 40), 9.81, np.float32)
    gone = np.full((3, 1, 1, 40), np.nan, np.float32)
    step = flat.copy()
    step[..., 20:] = 9.83
    for still in (flat, gone, step):
        assert not windows_with_copies(still, still, 16).any()
    half = np.concatenate([gone, rng.normal(size=(3, 1, 1, 40)).astype(np.float32)], axis=2)
    assert windows_with_copies(half, half[1:2], 16).all(), "the sensor that is there is compared"


def test_the_kind_of_nan_and_of_zero_does_not_hide_a_copy() -> None:
    train = signal(20, 0)[None]
    train[0, 0, 0, 3:6] = np.nan
    train[0, 1, 0, 8] = 0.0
    test = train.copy()
    test[0, 0, 0, 3:6] = -np.float32(np.nan)
    test[0, 1, 0, 8] = -0.0
    assert windows_with_copies(train, test, 20).all()


def test_single_samples_can_be_compared() -> None:
    train, test = signal(10, 0)[None], signal(10, 1)[None]
    assert not windows_with_copies(train, test, 1).any()
    test[..., 4] = train[..., 9]
    assert windows_with_copies(train, test, 1).all()


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(DataError, match="E-EVAL-111"):
        windows_with_copies(np.zeros((1, 2, 1, 8)), np.zeros((1, 3, 1, 8)), 4)
    with pytest.raises(DataError, match="E-EVAL-112: copies of 9 samples were asked for in windows of 8"):
        windows_with_copies(np.zeros((1, 2, 1, 8)), np.zeros((1, 2, 1, 8)), 9)


@given(cut=st.integers(0, 400), seed=st.integers(0, 10**6))
def test_a_recording_that_was_cut_keeps_the_fingerprint_of_what_is_left(cut: int, seed: int) -> None:
    whole = signal(3000, seed)
    left = run_fingerprint(whole[:, :, cut : 3000 - cut // 2], 16)
    assert set(left) <= set(run_fingerprint(whole, 16))
    assert len(left) > 10


def test_what_was_seen_is_known_again_and_nothing_else(tmp_path: Path) -> None:
    write_seen(tmp_path, [signal(3000, 0), signal(2000, 1)])
    seen = read_seen(tmp_path)
    assert is_seen(signal(3000, 0)[:, :, 3:2900], seen)
    assert not is_seen(signal(3000, 2), seen)
    half_and_half = np.concatenate([signal(1000, 3), signal(2000, 1)[:, :, 500:1500]], axis=2)
    assert is_seen(half_and_half, seen)


@given(
    length=st.integers(60, 400),
    kept=st.integers(COPY_RUN + STRETCH - 1, 60),
    place=st.floats(0, 1),
    seed=st.integers(0, 10**6),
)
def test_a_short_copy_is_known_wherever_it_was_cut(length: int, kept: int, place: float, seed: int) -> None:
    whole = signal(length, seed)
    start = int(place * (length - kept))
    assert is_seen(whole[:, :, start : start + kept], run_fingerprint(whole, COPY_RUN))
    assert not is_seen(signal(kept, seed + 1), run_fingerprint(whole, COPY_RUN))


def test_a_short_copy_is_known_though_the_sensor_is_stuck_between() -> None:
    whole = signal(200, 5)
    whole[:, :, 60:90] = whole[:, :, 60:61]
    assert is_seen(whole[:, :, 45:105], run_fingerprint(whole, COPY_RUN))


def test_a_fingerprint_is_kept_in_every_stretch_and_stays_small() -> None:
    whole = signal(20_000, 6)
    seen = run_fingerprint(whole, COPY_RUN)
    assert len(seen) < 0.13 * 20_000  # a byte a sample: 2 of 17 runs
    for start in range(0, 19_000, 531):
        stretch = whole[:, :, start : start + COPY_RUN + STRETCH - 1]
        assert len(run_fingerprint(stretch, COPY_RUN)) == 1
        assert np.isin(run_fingerprint(stretch, COPY_RUN), seen).all()


def test_nothing_was_seen(tmp_path: Path) -> None:
    write_seen(tmp_path, [])
    assert not is_seen(signal(100, 0), read_seen(tmp_path))


@pytest.mark.parametrize("metadata", [None, {"format": "conv2d-seen/3"}])
def test_fingerprints_of_another_version_are_refused(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    # those of the first had no format, and one run in 64
    content = save({"runs": np.arange(5, dtype=np.uint64)}, metadata=metadata)
    (tmp_path / "seen.safetensors").write_bytes(content)
    with pytest.raises(DataError, match=r"E-RUN-002: .* this version reads 'conv2d-seen/2'; train again"):
        read_seen(tmp_path)


def test_stretches_that_hardly_move_are_no_fingerprint() -> None:
    stuck = np.repeat(signal(60, 0), 50, axis=2)
    assert len(run_fingerprint(stuck, 16)) == 0
    assert len(run_fingerprint(signal(10, 0), 16)) == 0


def test_a_damaged_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="E-RUN-001"):
        read_seen(tmp_path)
    write_seen(tmp_path, [signal(3000, 0)])
    file = tmp_path / "seen.safetensors"
    file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(DataError, match="E-RUN-001"):
        read_seen(tmp_path)
