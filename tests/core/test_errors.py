"""What the core refuses, and the sentence it refuses it with."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from conv2d_core import (
    fsq_decode,
    fsq_encode,
    fsq_margin,
    fsq_quantize,
    fsq_thresholds,
    hsmm_filter,
    hsmm_forward_backward,
    hsmm_viterbi,
    hysteresis,
    median_filter,
    min_dwell,
    mode_filter,
)

NAN, INF = float("nan"), float("inf")
Z = np.zeros((3, 2), np.float32)


def with_value(array: np.ndarray, place: tuple[int, ...], value: float) -> np.ndarray:
    changed = array.copy()
    changed[place] = value
    return changed


def read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: fsq_encode(with_value(Z, (2, 1), NAN), [8, 5]),
            ValueError,
            "z row 2, column 1 is nan, expected numbers",
        ),
        (
            lambda: fsq_margin(with_value(Z, (1, 0), NAN), [8, 5]),
            ValueError,
            "z row 1, column 0 is nan, expected numbers",
        ),
        (
            lambda: fsq_encode(Z, [8, 5, 5]),
            ValueError,
            "z has shape (3, 2), expected 3 columns, one for each entry of levels",
        ),
        (lambda: fsq_encode(Z[0], [8, 5]), ValueError, "z has shape (2,), expected (N, d)"),
        (lambda: fsq_encode(Z.astype(str), [8, 5]), TypeError, "z has dtype <U32, expected real numbers"),
        (lambda: fsq_encode(Z + 1j, [8, 5]), TypeError, "z has dtype complex64, expected real numbers"),
        (lambda: fsq_encode([[1, 2], [3]], [8, 5]), TypeError, "z is a list that is no array, expected real numbers"),
        (lambda: fsq_encode(Z, [8, 1]), ValueError, "levels holds 1, expected 2 to 255 in each dimension"),
        (lambda: fsq_encode(Z, [8, 256]), ValueError, "levels holds 256, expected 2 to 255 in each dimension"),
        (lambda: fsq_encode(Z, np.zeros(0, int)), ValueError, "levels is empty, expected one number of levels"),
        (lambda: fsq_encode(Z, [8.0, 5.0]), TypeError, "levels has dtype float64, expected integers"),
        (lambda: fsq_encode(Z, 8), ValueError, "levels has shape (), expected one number of levels for each dimension"),
        (lambda: fsq_encode(np.zeros((1, 64)), [2] * 64), ValueError, "levels make a lattice of more than 2^63 points"),
        (
            lambda: fsq_encode(Z, [8, 5], out=np.zeros(3, np.int64)),
            ValueError,
            "out is int64 of shape (3,), expected a writeable contiguous int32 array of shape (3,)",
        ),
        (lambda: fsq_encode(Z, [8, 5], out=np.zeros(4, np.int32)), ValueError, "out is int32 of shape (4,), expected"),
        (
            lambda: fsq_encode(Z, [8, 5], out=np.zeros(6, np.int32)[::2]),
            ValueError,
            "out is int32 of shape (3,), expected",
        ),
        (
            lambda: fsq_encode(Z, [8, 5], out=read_only(np.zeros(3, np.int32))),
            ValueError,
            "out is read-only int32 of shape (3,), expected a writeable",
        ),
        (
            lambda: fsq_encode(Z, [8, 5], out=[0, 0, 0]),
            ValueError,
            "out is list, expected a writeable contiguous int32",
        ),
        (
            lambda: fsq_quantize(with_value(Z, (1, 0), NAN), [8, 5]),
            ValueError,
            "z row 1, column 0 is nan, expected numbers",
        ),
        (lambda: fsq_quantize(Z, (8, 5, 5)), ValueError, "z has shape (3, 2), expected 3 columns, one for each entry"),
        (lambda: fsq_encode(Z, (8, 1)), ValueError, "levels holds 1, expected 2 to 255 in each dimension"),
        (lambda: fsq_encode(Z, (8, 2**70)), TypeError, "levels has dtype object, expected integers"),
        (lambda: fsq_encode(Z, (8, True)), ValueError, "levels holds 1, expected 2 to 255 in each dimension"),
        (lambda: fsq_encode(Z, (True, True)), TypeError, "levels has dtype bool, expected integers"),
        (lambda: fsq_encode(Z, ()), TypeError, "levels has dtype float64, expected integers"),
        (lambda: fsq_encode(Z, [8, 5], nan="zero"), ValueError, "nan is 'zero', expected 'raise' or 'sentinel'"),
        (lambda: fsq_encode(Z, [8, 5], nan=None), ValueError, "nan is None, expected 'raise' or 'sentinel'"),
        (lambda: fsq_margin(Z, [8, 5], nan=1), ValueError, "nan is 1, expected 'raise' or 'sentinel'"),
        (lambda: fsq_encode(Z), TypeError, "fsq_encode() lacks the argument 'levels'"),
        (lambda: fsq_encode(levels=[8, 5]), TypeError, "fsq_encode() lacks the argument 'z'"),
        (lambda: fsq_encode(Z, [8, 5], z=Z), TypeError, "fsq_encode() got two values for the argument 'z'"),
        (lambda: fsq_encode(Z, [8, 5], to=Z), TypeError, "fsq_encode() got an argument that it does not have, 'to'"),
        (
            lambda: fsq_encode(Z, [8, 5], None, "raise", 1),
            TypeError,
            "fsq_encode() got 5 arguments, expected at most 4",
        ),
        (lambda: fsq_decode([-2], [8, 5], nan="sentinel"), ValueError, "codes row 0 is -2, expected -1 to 39 for"),
        (
            lambda: fsq_decode(np.int32([0, 40]), [8, 5]),
            ValueError,
            "codes row 1 is 40, expected 0 to 39 for these levels",
        ),
        (lambda: fsq_decode([0, 40], [8, 5]), ValueError, "codes row 1 is 40, expected 0 to 39 for these levels"),
        (lambda: fsq_decode([-1], [8, 5]), ValueError, "codes row 0 is -1, expected 0 to 39 for these levels"),
        (lambda: fsq_decode([0.5], [8, 5]), TypeError, "codes has dtype float64, expected integers"),
        (lambda: fsq_decode([[0]], [8, 5]), ValueError, "codes has shape (1, 1), expected (N,)"),
        (lambda: fsq_thresholds(1), ValueError, "levels holds 1, expected 2 to 255"),
        (lambda: fsq_thresholds(8.0), TypeError, "levels is 8.0, expected an integer"),
        (lambda: mode_filter(np.zeros(3, int), 4), ValueError, "width is 4, expected an odd number of samples from 1"),
        (lambda: mode_filter(np.zeros(3, int), 3.0), TypeError, "width is 3.0, expected an integer"),
        (lambda: mode_filter(np.zeros(3, int), 2**70 + 1), ValueError, "expected an integer within 64 bits"),
        (
            lambda: median_filter(np.zeros(3, int), -3),
            ValueError,
            "width is -3, expected an odd number of samples from 1",
        ),
        (lambda: min_dwell(np.zeros(3, int), 0), ValueError, "min_frames is 0, expected at least 1"),
        (
            lambda: min_dwell(np.zeros(3), 2),
            TypeError,
            "labels has dtype float64, expected bool, uint8, int8, int16, int32 or int64",
        ),
        (
            lambda: min_dwell(np.zeros(3, np.uint32), 2),
            TypeError,
            "labels has dtype uint32, expected bool, uint8, int8",
        ),
        (lambda: min_dwell(np.array(0), 2), ValueError, "labels has shape (), expected (T,) or (B, T)"),
        (
            lambda: mode_filter(np.zeros(3, np.uint8), 3, out=np.zeros(3, bool)),
            ValueError,
            "out is bool of shape (3,), expected a writeable contiguous uint8 array of shape (3,)",
        ),
        (
            lambda: median_filter(np.zeros((2, 3), int), 3, out=np.zeros(6, int)),
            ValueError,
            "out is int64 of shape (6,)",
        ),
        (
            lambda: min_dwell(np.zeros(3, int), 2, out=read_only(np.zeros(3, int))),
            ValueError,
            "out is read-only int64 of shape (3,), expected a writeable",
        ),
        (lambda: hysteresis(np.zeros(2), 1, 0, out=np.zeros(4, bool)[::2]), ValueError, "out is bool of shape (2,)"),
        (lambda: hysteresis(np.zeros(2), 1, 0, out=[0, 0]), ValueError, "out is list, expected a writeable contiguous"),
        (
            lambda: min_dwell(np.zeros((1, 1, 1), int), 2),
            ValueError,
            "labels has shape (1, 1, 1), expected (T,) or (B, T)",
        ),
        (lambda: hysteresis([0.5, NAN], 0.6, 0.4), ValueError, "p row 1 is nan, expected numbers"),
        (lambda: hysteresis([0.5], 0.4, 0.6), ValueError, "expected enter >= exit"),
        (lambda: hysteresis([0.5], NAN, 0.6), ValueError, "expected enter >= exit"),
        (lambda: hysteresis([0.5], "high", 0.6), TypeError, "enter is 'high', expected a real number"),
        (lambda: hysteresis([[0.5]], 0.6, 0.4), ValueError, "p has shape (1, 1), expected (T,)"),
    ],
)
def test_one_sentence_says_what_was_got_and_expected(call: Callable[[], Any], error: type, message: str) -> None:
    with pytest.raises(error, match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


HSMM = {
    "log_emissions": np.zeros((4, 2)),
    "log_transitions": np.zeros((2, 2)),
    "log_initial": np.zeros(2),
    "log_durations": np.zeros((2, 3)),
    "censoring": "none",
}


@pytest.mark.parametrize("function", [hsmm_viterbi, hsmm_forward_backward, hsmm_filter])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"log_emissions": np.zeros(4)}, ValueError, "log_emissions has shape (4,), expected (T, K)"),
        ({"log_emissions": np.zeros((4, 0))}, ValueError, "log_emissions has no column, expected one for each state"),
        (
            {"log_transitions": np.zeros((3, 2))},
            ValueError,
            "log_transitions has shape (3, 2), expected (2, 2), as log_emissions has 2 columns",
        ),
        (
            {"log_initial": np.zeros(3)},
            ValueError,
            "log_initial has shape (3,), expected (2,), as log_emissions has 2 columns",
        ),
        ({"log_initial": np.zeros((2, 1))}, ValueError, "log_initial has shape (2, 1), expected (K,)"),
        (
            {"log_durations": np.zeros((3, 3))},
            ValueError,
            "log_durations has shape (3, 3), expected (2, D) with D of at least 1",
        ),
        (
            {"log_durations": np.zeros((2, 0))},
            ValueError,
            "log_durations has shape (2, 0), expected (2, D) with D of at least 1",
        ),
        (
            {"log_emissions": with_value(np.zeros((4, 2)), (3, 1), NAN)},
            ValueError,
            "log_emissions row 3, column 1 is nan",
        ),
        (
            {"log_emissions": with_value(np.zeros((4, 2)), (2, 0), INF)},
            ValueError,
            "log_emissions row 2, column 0 is inf",
        ),
        (
            {"log_transitions": with_value(np.zeros((2, 2)), (1, 0), INF)},
            ValueError,
            "log_transitions row 1, column 0 is inf",
        ),
        (
            {"log_initial": np.array([0, NAN])},
            ValueError,
            "log_initial row 1 is nan, expected a log score within +-1e200",
        ),
        (
            {"log_durations": with_value(np.zeros((2, 3)), (0, 2), -1e201)},
            ValueError,
            "log_durations row 0, column 2 is -1e+201",
        ),
        (
            {"log_emissions": np.zeros((4, 2), complex)},
            TypeError,
            "log_emissions has dtype complex128, expected real numbers",
        ),
        ({"log_initial": None}, TypeError, "log_initial has dtype object, expected real numbers"),
        ({"censoring": "start"}, ValueError, "censoring is 'start', expected 'none', 'right', 'left' or 'both'"),
        ({"censoring": 1}, ValueError, "censoring is 1, expected 'none', 'right', 'left' or 'both'"),
        (
            {"log_emissions": with_value(np.zeros((4, 2)), (2,), -INF)},
            ValueError,
            "at frame 2 of 4 every state is impossible, expected a finite score for at least one",
        ),
        ({"log_initial": np.full(2, -INF)}, ValueError, "at frame 0 of 4 every state is impossible"),
        ({"log_transitions": np.full((2, 2), -INF)}, ValueError, "at frame 3 of 4 every state is impossible"),
    ],
)
def test_hsmm_names_the_array_and_the_place(
    function: Callable[..., Any], change: dict[str, Any], error: type, message: str
) -> None:
    function(**HSMM)
    with pytest.raises(error, match=re.escape(message)) as caught:
        function(**{**HSMM, **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [hsmm_viterbi, hsmm_forward_backward])
def test_hsmm_says_when_only_the_end_does_not_fit(function: Callable[..., Any]) -> None:
    pairs = {**HSMM, "log_emissions": np.zeros((5, 2)), "log_durations": np.array([[-INF, 0.0], [-INF, 0.0]])}
    with pytest.raises(ValueError, match="no sequence of whole segments ends at frame 5"):
        function(**pairs)
    function(**{**pairs, "censoring": "right"})


def test_nothing_is_written_from_the_refused_row_on() -> None:
    out = np.full(3, -7, np.int32)
    with pytest.raises(ValueError, match="z row 1"):
        fsq_encode(with_value(Z, (1, 0), NAN), [8, 5], out=out)
    assert out.tolist() == [20, -7, -7]
