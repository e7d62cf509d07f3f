"""What the smoothing functions guarantee, on any input; and what they do, against a plain implementation."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d_core import hysteresis, median_filter, min_dwell, mode_filter, simd_path, simd_paths, use_simd_path

# Runs, rather than independent samples: what smoothing is made for, and where its corner cases are.
RUNS = st.lists(st.tuples(st.integers(-1, 5), st.integers(1, 6)), max_size=24)
SEQUENCES = RUNS.map(lambda runs: np.array([label for label, length in runs for _ in range(length)], np.int64))
DTYPES = (np.bool_, np.uint8, np.int8, np.int16, np.int32, np.int64)
ODD = st.integers(0, 12).map(lambda half: 2 * half + 1)


@pytest.fixture(params=simd_paths())
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    before = simd_path()
    use_simd_path(request.param)
    yield request.param
    use_simd_path(before)


def transitions(labels: np.ndarray) -> int:
    return int(np.sum(labels[1:] != labels[:-1]))


def lengths(labels: np.ndarray) -> list[int]:
    return [len(list(run)) for _, run in groupby(labels.tolist())]


def window(labels: np.ndarray, t: int, width: int) -> list[int]:
    return labels[np.clip(np.arange(t - width // 2, t + width // 2 + 1), 0, len(labels) - 1)].tolist()


def plain_mode_at(labels: np.ndarray, t: int, width: int) -> int:
    counts = Counter(window(labels, t, width))
    most = max(counts.values())
    tied = [label for label, count in counts.items() if count == most]
    return int(labels[t] if labels[t] in tied else min(tied))


def plain_mode(labels: np.ndarray, width: int) -> np.ndarray:
    return np.array([plain_mode_at(labels, t, width) for t in range(len(labels))], np.int64)


def plain_median_at(labels: np.ndarray, t: int, width: int) -> int:
    return int(sorted(window(labels, t, width))[width // 2])


def plain_median(labels: np.ndarray, width: int) -> np.ndarray:
    return np.array([plain_median_at(labels, t, width) for t in range(len(labels))], np.int64)


def merge_shortest(labels: np.ndarray, *, min_frames: int = 0, max_transitions: int | None = None) -> np.ndarray:
    """The rule of min_dwell, one merge at a time over a list of [label, length]."""
    runs = [[label, len(list(run))] for label, run in groupby(labels.tolist())]
    while len(runs) > 2:
        n = min(range(1, len(runs) - 1), key=lambda i: (runs[i][1], i))
        enough = max_transitions is None or len(runs) - 1 <= max_transitions
        if runs[n][1] >= min_frames and enough:
            break
        before, after = runs[n - 1], runs[n + 1]
        runs[n][0] = before[0] if before[1] >= after[1] else after[0]
        runs = [[label, sum(length for _, length in run)] for label, run in groupby(runs, key=lambda run: run[0])]
    return np.array([label for label, length in runs for _ in range(length)], np.int64)


@settings(max_examples=1500, deadline=None)
@given(labels=SEQUENCES, width=ODD)
def test_filters_bring_no_label_and_add_no_transition(labels: np.ndarray, width: int) -> None:
    for smoothed in (mode_filter(labels, width), median_filter(labels, width)):
        assert smoothed.shape == labels.shape
        assert set(smoothed) <= set(labels)
        assert transitions(smoothed) <= transitions(labels)


@settings(max_examples=1500, deadline=None)
@given(labels=SEQUENCES, min_frames=st.integers(1, 12))
def test_min_dwell_leaves_no_short_inner_segment(labels: np.ndarray, min_frames: int) -> None:
    smoothed = min_dwell(labels, min_frames)
    assert set(smoothed) <= set(labels)
    assert transitions(smoothed) <= transitions(labels)
    assert all(length >= min_frames for length in lengths(smoothed)[1:-1])
    np.testing.assert_array_equal(min_dwell(smoothed, min_frames), smoothed)
    if labels.size:
        assert (smoothed[0], smoothed[-1]) == (labels[0], labels[-1])


@settings(max_examples=500, deadline=None)
@given(labels=SEQUENCES, min_frames=st.integers(1, 12))
def test_min_dwell_merges_by_its_stated_rule(labels: np.ndarray, min_frames: int) -> None:
    np.testing.assert_array_equal(min_dwell(labels, min_frames), merge_shortest(labels, min_frames=min_frames))


@settings(max_examples=500, deadline=None)
@given(labels=SEQUENCES, width=ODD)
def test_filters_equal_the_plain_window(labels: np.ndarray, width: int) -> None:
    for smooth, plain in ((mode_filter, plain_mode), (median_filter, plain_median)):
        expected = merge_shortest(plain(labels, width), max_transitions=transitions(labels))
        np.testing.assert_array_equal(smooth(labels, width), expected)


@pytest.mark.parametrize(
    ("smooth", "plain", "width", "labels"),
    [
        (mode_filter, plain_mode, 11, [0, 0, 0, 2, 2, 1, 1, 1, 1, 1, 2, 2, 2, 2, 0, 0, 0]),
        (mode_filter, plain_mode, 9, [2, 3, 3, 3, 0, 0, 0, 1, 1, 1, 1, 0, 0, 3, 3, 3]),
        (mode_filter, plain_mode, 5, [0, 1, 2, 1, 0, 0, 1, 1, 0, 2]),
        (
            median_filter,
            plain_median,
            5,
            np.repeat([3, 4, 3, 4, 2, 4, 1, 3, 2, 1, 4, 0, 1, 2], [4, 3, 3, 4, 4, 4, 2, 1, 1, 1, 4, 4, 4, 1]),
        ),
    ],
)
def test_inputs_whose_plain_filter_gains_transitions_are_brought_back(smooth, plain, width, labels) -> None:  # type: ignore[no-untyped-def]
    labels = np.asarray(labels)
    raw = plain(labels, width)
    assert transitions(raw) > transitions(labels)
    smoothed = smooth(labels, width)
    assert transitions(smoothed) <= transitions(labels)
    np.testing.assert_array_equal(smoothed, merge_shortest(raw, max_transitions=transitions(labels)))


@settings(max_examples=500, deadline=None)
@given(labels=st.lists(st.sampled_from([0, 7]), max_size=60), width=ODD)
def test_with_two_labels_mode_and_median_are_one_filter(labels: list[int], width: int) -> None:
    sequence = np.array(labels, np.int64)
    np.testing.assert_array_equal(mode_filter(sequence, width), median_filter(sequence, width))
    np.testing.assert_array_equal(mode_filter(sequence, width), plain_mode(sequence, width))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_smoothed_apart_and_keep_their_dtype(dtype: type) -> None:
    labels = np.random.default_rng(0).integers(0, 4, (3, 50)).astype(dtype)  # of bools only two kinds are left
    for smooth, parameter in ((mode_filter, 5), (median_filter, 5), (min_dwell, 3)):
        smoothed = smooth(labels, parameter)
        assert smoothed.dtype == dtype
        np.testing.assert_array_equal(smoothed, [smooth(row, parameter) for row in labels])
        np.testing.assert_array_equal(smooth(labels[:, ::2], parameter), smooth(labels[:, ::2].copy(), parameter))


@pytest.mark.parametrize("shape", [(0,), (0, 5), (3, 0), (1,), (1, 1)])
def test_empty_and_single(shape: tuple[int, ...]) -> None:
    labels = np.full(shape, 4, np.int64)
    for smooth in (mode_filter, median_filter, min_dwell):
        np.testing.assert_array_equal(smooth(labels, 7), labels)


def test_extreme_labels_and_widths() -> None:
    limits = np.iinfo(np.int64)
    labels = np.array([limits.min, limits.max, limits.min, limits.min], np.int64)
    np.testing.assert_array_equal(median_filter(labels, 3), np.full(4, limits.min))
    labels = np.array([1, 1, 2, 3], np.int64)
    widest = limits.max  # odd; almost all of a window is then the two ends, one of them for each side of the sample
    np.testing.assert_array_equal(mode_filter(labels, widest), [1, 1, 1, 3])  # at 2 they tie: the smaller
    np.testing.assert_array_equal(min_dwell(labels, widest), [1, 1, 1, 3])


@settings(max_examples=500, deadline=None)
@given(
    p=st.lists(st.integers(0, 10).map(lambda tenths: tenths / 10), max_size=60),
    exit_=st.integers(0, 10).map(lambda tenths: tenths / 10),
    gap=st.integers(0, 4).map(lambda tenths: tenths / 10),
)
def test_hysteresis_holds_between_its_thresholds(p: list[float], exit_: float, gap: float) -> None:
    enter = exit_ + gap
    on = hysteresis(p, enter, exit_)
    assert on.dtype == np.bool_
    state, expected = False, []
    for value in p:
        state = value >= enter or (state and value >= exit_)
        expected.append(state)
    assert on.tolist() == expected
    assert transitions(on) <= transitions(np.array(p) >= enter)


def random_runs(rng: np.random.Generator, samples: int, low: int, high: int, longest: int) -> np.ndarray:
    return np.repeat(rng.integers(low, high, samples, endpoint=True), rng.integers(1, longest, samples, endpoint=True))[
        :samples
    ]


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_path_and_dtype_gives_the_plain_windows(dtype: type) -> None:
    rng = np.random.default_rng(0)
    limits = (0, 1) if dtype is np.bool_ else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    for samples in (1, 2, 5, 15, 16, 31, 63, 64, 65, 100, 129, 150):
        for low, high in ((0, 1), limits, (limits[1] // 2, limits[1] // 2 + limits[1] // 200)):
            width = int(rng.choice([1, 3, 5, 7, 9, 11, 13, 15, 17, 41, 401]))
            labels = random_runs(rng, samples, low, high, int(rng.integers(1, 8))).astype(dtype)
            for smooth, plain in ((mode_filter, plain_mode), (median_filter, plain_median)):
                expected = merge_shortest(plain(labels, width), max_transitions=transitions(labels))
                smoothed = smooth(labels, width)
                assert smoothed.dtype == dtype
                np.testing.assert_array_equal(smoothed, expected, err_msg=f"{smooth} {width} {low} {high} {samples}")
            min_frames = int(rng.integers(1, 7))
            np.testing.assert_array_equal(min_dwell(labels, min_frames), merge_shortest(labels, min_frames=min_frames))


@pytest.mark.parametrize("samples", [4095, 16385, 40_000])
@pytest.mark.parametrize("width", [3, 7, 15, 17, 101, 5001, 2**40 + 1])
def test_long_recordings_are_the_same_on_every_path_and_for_every_dtype(samples: int, width: int) -> None:
    rng = np.random.default_rng(width)
    narrow = random_runs(rng, samples, 0, 100, 40)
    wide = narrow * 10**9  # as different labels, more than a byte apart
    many = np.where(rng.random(samples) < 0.1, rng.integers(0, 2000, samples), narrow)  # more than a byte has values
    before = simd_path()
    for smooth in (mode_filter, median_filter):
        first = smooth(narrow, width)
        distinct = smooth(many, width)
        for path in simd_paths():
            use_simd_path(path)
            for dtype in DTYPES[1:]:
                np.testing.assert_array_equal(smooth(narrow.astype(dtype), width), first)
            np.testing.assert_array_equal(smooth(wide, width), first * 10**9)
            np.testing.assert_array_equal(smooth(many, width), distinct)
        use_simd_path(before)
        if width < 10_000 and transitions(distinct) < transitions(many):  # windows alone, nothing was merged
            plain = plain_mode_at if smooth is mode_filter else plain_median_at
            assert [distinct[t] for t in range(0, samples, 997)] == [
                plain(many, t, width) for t in range(0, samples, 997)
            ]


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("longest", [3, 12, 300])
def test_min_dwell_of_long_recordings_on_every_path(longest: int) -> None:
    rng = np.random.default_rng(longest)
    for dtype in DTYPES:
        labels = random_runs(rng, 9000, 0, 1 if dtype is np.bool_ else 5, longest).astype(dtype)
        for min_frames in (1, 2, 9, 70):
            smoothed = min_dwell(labels, min_frames)
            assert all(length >= min_frames for length in lengths(smoothed)[1:-1])
            short = labels[:300]
            np.testing.assert_array_equal(min_dwell(short, min_frames), merge_shortest(short, min_frames=min_frames))


@pytest.mark.parametrize("dtype", DTYPES)
def test_out_is_filled_and_may_be_the_labels_themselves(dtype: type) -> None:
    labels = random_runs(np.random.default_rng(1), 60_000, 0, 1, 9).astype(dtype)
    for smooth, parameter in ((mode_filter, 7), (median_filter, 51), (min_dwell, 6)):
        expected = smooth(labels, parameter)
        out = np.empty_like(labels)
        assert smooth(labels, parameter, out=out) is out
        np.testing.assert_array_equal(out, expected)
        same = labels.copy()
        assert smooth(same, parameter, out=same) is same
        np.testing.assert_array_equal(same, expected)
        shifted = np.concatenate([labels[:5], labels])  # out overlaps with labels, in part
        smooth(shifted[5:], parameter, out=shifted[:-5])
        np.testing.assert_array_equal(shifted[:-5], expected)
    rows = labels.reshape(6, -1)
    np.testing.assert_array_equal(mode_filter(rows, 7, out=np.empty_like(rows)), mode_filter(rows, 7))


@pytest.mark.usefixtures("path")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hysteresis_on_every_path(dtype: type) -> None:
    rng = np.random.default_rng(0)
    for samples in (0, 1, 63, 64, 65, 128, 191, 1000):
        for enter, exit_ in ((0.8, 0.4), (0.5, 0.5), (0.1, -0.1), (np.inf, -np.inf), (2.0, 0.3), (1e300, -1e300)):
            p = rng.random(samples).astype(dtype)
            p[rng.random(samples) < 0.02] = np.inf
            p[rng.random(samples) < 0.02] = -np.inf
            p[rng.random(samples) < 0.05] = dtype(exit_) if abs(exit_) < 1e30 else dtype(0)
            out = np.empty(samples, np.bool_)
            assert hysteresis(p, enter, exit_, out=out) is out
            state, expected = False, []
            for value in p.astype(np.float64).tolist():
                state = value >= enter or (state and value >= exit_)
                expected.append(state)
            assert out.tolist() == expected
            for row in rng.integers(0, samples, 3) if samples else ():
                missing = p.copy()
                missing[row:] = np.where(rng.random(samples - row) < 0.5, np.nan, missing[row:])
                missing[row] = np.nan
                with pytest.raises(ValueError, match=f"^p row {row} is nan, expected numbers$"):
                    hysteresis(missing, enter, exit_)


def test_float32_is_compared_with_the_thresholds_as_they_are() -> None:
    p = np.array([0.8, 0.5, 0.3, 0.5], np.float32)  # 0.8 is above the float64 0.8 as a float32, 0.3 above as well
    for enter in (0.8, float(p[0]), np.nextafter(float(p[0]), 1)):
        for exit_ in (0.3, float(p[2]), np.nextafter(float(p[2]), 1)):
            np.testing.assert_array_equal(hysteresis(p, enter, exit_), hysteresis(p.astype(np.float64), enter, exit_))


def test_other_dtypes_and_byte_orders() -> None:
    labels = np.array([1, 1, 2, 1, 1], ">i4")
    assert mode_filter(labels, 3).tolist() == [1] * 5
    assert mode_filter([True, False, True, True], 3).tolist() == [True] * 4
    assert hysteresis([1, 0, 1], 1, 1).tolist() == [True, False, True]
    assert hysteresis(np.array([1, 0], np.float16), 1, 1).tolist() == [True, False]


def test_threads_give_what_one_thread_gives() -> None:
    rng = np.random.default_rng(1)
    sequences = [np.repeat(rng.integers(0, 9, 200), rng.integers(1, 9, 200)) for _ in range(12)]

    def smooth(labels: np.ndarray) -> bytes:
        return mode_filter(labels, 9).tobytes() + median_filter(labels, 9).tobytes() + min_dwell(labels, 4).tobytes()

    alone = [smooth(labels) for labels in sequences]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(smooth, sequences * 3)) == alone * 3
