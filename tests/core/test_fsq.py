"""FSQ against an independent numpy reference of its float32 definition."""

import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conv2d_core import (
    fsq_decode,
    fsq_encode,
    fsq_margin,
    fsq_quantize,
    fsq_thresholds,
    simd_path,
    simd_paths,
    use_simd_path,
)

F = np.float32
NAN = F(np.nan)
LEVELS = st.lists(st.integers(2, 16), min_size=1, max_size=5)


def reference_digits(z: np.ndarray, levels: int) -> np.ndarray:
    """The definition, every operation rounded to float32, tanh and atanh through float64."""
    half = F((levels - 1) * (1 + 1e-3) / 2)
    offset = F(0.5 if levels % 2 == 0 else 0.0)
    shift = F(np.arctanh(np.float64(offset) / np.float64(half)))
    with np.errstate(over="ignore"):  # the largest floats may overflow to inf when shifted, which saturates as well
        shifted = (z.astype(F) + shift).astype(F)
    bounded = np.tanh(shifted.astype(np.float64)).astype(F)
    return np.rint(((bounded * half).astype(F) - offset).astype(F)).astype(np.int64) + levels // 2


def reference_codes(z: np.ndarray, levels: list[int]) -> np.ndarray:
    basis = np.cumprod([1, *levels[:-1]])
    return sum(reference_digits(z[:, i], level) * basis[i] for i, level in enumerate(levels))


@settings(max_examples=200, deadline=None)
@given(st.data(), LEVELS)
def test_codes_equal_the_reference_on_any_float32(data: st.DataObject, levels: list[int]) -> None:
    z = data.draw(
        hnp.arrays(F, (data.draw(st.integers(0, 6)), len(levels)), elements=st.floats(width=32, allow_nan=False))
    )
    codes = fsq_encode(z, levels)
    assert codes.dtype == np.int32
    assert codes.shape == (len(z),)
    np.testing.assert_array_equal(codes, reference_codes(z, levels))


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 6, 7, 8, 15, 16, 64, 101, 254, 255])
def test_codes_equal_the_reference_around_every_threshold(levels: int) -> None:
    thresholds = fsq_thresholds(levels)
    assert thresholds.dtype == F
    assert thresholds.shape == (levels - 1,)
    assert np.all(np.diff(thresholds) > 0)
    around = np.concatenate([thresholds, np.nextafter(thresholds, F(np.inf)), np.nextafter(thresholds, F(-np.inf))])
    special = F([0.0, -0.0, np.inf, -np.inf, 1e-45, -1e-45, 1e-38, -1e-38, 3.4e38, -3.4e38])
    grid = np.linspace(-8, 8, 20001, dtype=F)
    z = np.concatenate([around, -around, special, grid])
    np.testing.assert_array_equal(fsq_encode(z[:, None], [levels]), reference_digits(z, levels))


@pytest.mark.parametrize("levels", [2, 5, 8, 255])
def test_a_digit_is_the_number_of_thresholds_at_or_below(levels: int) -> None:
    z = np.random.default_rng(levels).normal(size=500).astype(F)
    expected = np.searchsorted(fsq_thresholds(levels), z, side="right")
    np.testing.assert_array_equal(fsq_encode(z[:, None], [levels]), expected)


def test_infinity_saturates() -> None:
    np.testing.assert_array_equal(fsq_encode(F([[-np.inf, -np.inf], [np.inf, np.inf]]), [8, 5]), [0, 39])


def test_zero_lies_in_the_middle() -> None:
    np.testing.assert_array_equal(
        fsq_decode(fsq_encode(np.zeros((1, 4), F), [8, 5, 2, 3]), [8, 5, 2, 3]), np.zeros((1, 4))
    )


@settings(max_examples=100, deadline=None)
@given(LEVELS)
def test_decode_is_the_inverse_of_the_code_arithmetic(levels: list[int]) -> None:
    size = int(np.prod(levels))
    codes = np.unique(np.linspace(0, size - 1, 300).astype(np.int64))
    values = fsq_decode(codes, levels)
    assert values.dtype == F
    halves = np.array(levels) // 2
    digits = np.stack(np.unravel_index(codes, levels[::-1])[::-1], axis=1)  # first dimension least significant
    np.testing.assert_array_equal(values, ((digits - halves).astype(F) / halves.astype(F)).astype(F))


@settings(max_examples=200, deadline=None)
@given(st.data(), LEVELS)
def test_margin_is_the_distance_to_the_nearest_threshold(data: st.DataObject, levels: list[int]) -> None:
    z = data.draw(hnp.arrays(F, (data.draw(st.integers(0, 6)), len(levels)), elements=st.floats(-10, 10, width=32)))
    margins = fsq_margin(z, levels)
    assert margins.dtype == F
    expected = [min(np.abs(fsq_thresholds(level) - row[i]).min() for i, level in enumerate(levels)) for row in z]
    np.testing.assert_array_equal(margins, np.array(expected, F))


def test_margin_at_the_extremes() -> None:
    threshold = fsq_thresholds(8)[3]
    np.testing.assert_array_equal(fsq_margin(F([[threshold], [np.inf], [-np.inf]]), [8]), F([0, np.inf, np.inf]))
    assert fsq_margin(F([[np.inf, 0.0]]), [5, 5])[0] == np.abs(fsq_thresholds(5)).min()


def test_codes_are_int64_once_int32_cannot_hold_them() -> None:
    assert fsq_encode(np.zeros((1, 30), F), [2] * 30).dtype == np.int32
    assert fsq_encode(np.zeros((1, 31), F), [2] * 31).dtype == np.int64  # 2^31 codes
    top = fsq_encode(np.full((1, 63), np.inf, F), [2] * 63)
    assert top[0] == np.iinfo(np.int64).max
    np.testing.assert_array_equal(fsq_decode(top, [2] * 63), np.zeros((1, 63)))


def test_out_is_filled_and_returned() -> None:
    z = np.random.default_rng(0).normal(size=(7, 2)).astype(F)
    out = np.full(7, -1, np.int32)
    assert fsq_encode(z, [8, 5], out=out) is out
    np.testing.assert_array_equal(out, fsq_encode(z, [8, 5]))


def test_inputs_of_other_layouts_and_dtypes_give_the_same_codes() -> None:
    z = np.random.default_rng(1).normal(size=(50, 6)).astype(F)
    expected = fsq_encode(z[:, ::2].copy(), [8, 5, 3])
    np.testing.assert_array_equal(fsq_encode(z[:, ::2], [8, 5, 3]), expected)
    np.testing.assert_array_equal(fsq_encode(np.asfortranarray(z[:, ::2]), (8, 5, 3)), expected)
    np.testing.assert_array_equal(fsq_encode(z[:, ::2].astype(np.float64), np.array([8, 5, 3])), expected)
    np.testing.assert_array_equal(fsq_encode(z[:, ::2].tolist(), [8, 5, 3]), expected)
    np.testing.assert_array_equal(fsq_encode(z[:, ::2].astype(">f4"), [8, 5, 3]), expected)


@pytest.fixture(params=simd_paths())
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    before = simd_path()
    use_simd_path(request.param)
    yield request.param
    use_simd_path(before)


@pytest.mark.parametrize("levels", [[8, 6, 5], [8, 5, 5, 5], [7, 5, 5, 5, 5], [16, 16], [255, 3], [5], [2] * 40])
def test_every_path_gives_the_same_bits(path: str, levels: list[int]) -> None:
    rng = np.random.default_rng(2)
    z = rng.normal(0, 2, (1003, len(levels))).astype(F)
    z[rng.random(z.shape) < 0.02] = np.inf
    z[rng.random(z.shape) < 0.02] = -np.inf
    z[::50, -1] = np.nan
    codes, values, margins = fsq_quantize(z, levels, nan="sentinel")
    bad = np.isnan(z).any(1)
    digits = np.stack([np.searchsorted(fsq_thresholds(n), z[:, i], side="right") for i, n in enumerate(levels)], 1)
    basis = np.cumprod([1, *levels[:-1]])
    halves = np.array(levels) // 2
    np.testing.assert_array_equal(codes, np.where(bad, -1, digits @ basis))
    np.testing.assert_array_equal(values, np.where(bad[:, None], NAN, ((digits - halves) / halves).astype(F)))
    nearest = [np.abs(fsq_thresholds(n)[None] - z[:, i, None]).min(1) for i, n in enumerate(levels)]
    np.testing.assert_array_equal(margins, np.where(bad, NAN, np.min(nearest, axis=0)))
    np.testing.assert_array_equal(fsq_encode(z, levels, nan="sentinel"), codes)
    np.testing.assert_array_equal(fsq_margin(z, levels, nan="sentinel"), margins)
    np.testing.assert_array_equal(fsq_decode(codes, levels, nan="sentinel"), values)


@settings(max_examples=200, deadline=None)
@given(st.data(), LEVELS)
def test_quantize_is_encode_decode_and_margin_in_one(data: st.DataObject, levels: list[int]) -> None:
    shape = (data.draw(st.integers(0, 80)), len(levels))
    z = data.draw(hnp.arrays(F, shape, elements=st.floats(width=32, allow_nan=False), fill=st.just(F(0.5))))
    codes, values, margins = fsq_quantize(z, levels)
    np.testing.assert_array_equal(codes, fsq_encode(z, levels))
    np.testing.assert_array_equal(values, fsq_decode(codes, levels))
    np.testing.assert_array_equal(margins, fsq_margin(z, levels))
    assert (codes.dtype, values.dtype, margins.dtype) == (np.int32, F, F)
    assert (codes.shape, values.shape, margins.shape) == (shape[:1], shape, shape[:1])


@pytest.mark.parametrize("rows", [1, 40, 5000])
def test_out_may_share_memory_with_the_vectors(rows: int) -> None:
    for start, d in [(0, 3), (1, 3), (rows, 3), (0, 1), (2 * rows, 4)]:
        z = np.random.default_rng(rows).normal(size=(rows, d)).astype(F)
        levels = [8, 6, 5, 5][:d]
        expected = fsq_encode(z, levels)
        out = z.reshape(-1).view(np.int32)[start : start + rows]
        np.testing.assert_array_equal(fsq_encode(z, levels, out=out) if len(out) == rows else expected, expected)


def test_arrays_that_are_not_aligned_are_read_and_never_written() -> None:
    z = np.random.default_rng(3).normal(size=(20, 3)).astype(F)
    shifted = np.frombuffer(b"x" + z.tobytes(), np.uint8)[1:].view(F).reshape(20, 3)
    assert not shifted.flags.aligned
    expected = fsq_encode(z, [8, 6, 5])
    np.testing.assert_array_equal(fsq_encode(shifted, [8, 6, 5]), expected)
    np.testing.assert_array_equal(fsq_margin(shifted, [8, 6, 5]), fsq_margin(z, [8, 6, 5]))
    out = np.zeros(81, np.uint8)[1:].view(np.int32)
    with pytest.raises(ValueError, match="out is int32 of shape"):
        fsq_encode(z, [8, 6, 5], out=out)
    assert not out.any()


def test_levels_may_change_between_calls_in_any_form() -> None:
    z = np.random.default_rng(4).normal(size=(30, 2)).astype(F)
    levels = [2, 2]
    for first in range(2, 40):  # more than are kept
        levels[0] = first
        expected = np.searchsorted(fsq_thresholds(first), z[:, 0], side="right") + first * (
            z[:, 1] >= fsq_thresholds(2)[0]
        )
        for form in (levels, tuple(levels), np.array(levels), np.array(levels, np.int8), np.array([*levels, 9])[:2]):
            np.testing.assert_array_equal(fsq_encode(z, form), expected)
            np.testing.assert_array_equal(fsq_encode(z, [3, 3]), fsq_encode(z, (3, 3)))


def test_long_levels_and_no_rows() -> None:
    levels = [2, 3] * 19  # more than are kept
    z = np.random.default_rng(5).normal(size=(7, len(levels))).astype(F)
    assert fsq_encode(z, levels).dtype == np.int64
    np.testing.assert_array_equal(fsq_encode(z, levels), fsq_encode(z, tuple(levels)))
    for n in ([8, 6, 5], levels):
        codes, values, margins = fsq_quantize(np.zeros((0, len(n)), F), n)
        assert (codes.shape, values.shape, margins.shape) == ((0,), (0, len(n)), (0,))


def test_many_threads_encode_at_the_same_time() -> None:
    z = np.random.default_rng(6).normal(size=(20_000, 3)).astype(F)
    all_levels = [[8, 6, 5], [5, 5, 5], [9, 16, 3], [40, 2, 2], [3, 3, 3], [7, 7, 7]]
    expected = [fsq_encode(z, levels) for levels in all_levels]
    wrong: list[list[int]] = []

    def work() -> None:
        for _ in range(5):
            for levels, codes in zip(all_levels, expected, strict=True):
                if not np.array_equal(fsq_encode(z, levels), codes):
                    wrong.append(levels)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_calls_by_name_keep_what_they_are_given_alive() -> None:
    z = np.zeros((4, 2), F)
    out = np.zeros(4, np.int32)
    assert fsq_encode(z=z, levels=(8, 5), out=out, nan="raise") is out
    assert fsq_encode(levels=(8, 5), z=z.tolist(), out=None).tolist() == out.tolist() == [20] * 4
