"""Recordings and windows from and to pandas, polars, arrow and xarray: round trips are exact, refusals say why."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import conv2d
from conv2d import Dataset, Recording, cut_windows, from_table, from_xarray, to_table, to_xarray
from conv2d.data.interchange.table import Table
from conv2d.data.interchange.xarray_arrays import is_data_array, window_array
from conv2d.errors import DataError, UsageError

pandas = pytest.importorskip("pandas")
polars = pytest.importorskip("polars")
xarray = pytest.importorskip("xarray")

CLASSES = ("walk", "run", "never seen")


def recording(n: int = 7, name: str = "walk1", subject: str = "rex", seed: int = 0) -> Recording:
    """Two sensors with two channels each, holes, unlabelled samples, a time that no decimal fraction holds."""
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(2, 2, n)).astype(np.float32)
    samples[rng.random(samples.shape) < 0.2] = np.nan
    return Recording(
        name, subject, 30.0, ("back", "neck"), ("acc_x", "gyr_x"), 1.1 + np.arange(n) / 30, samples,
        rng.integers(-1, 2, n), CLASSES, {"lost": rng.integers(0, 9, n), "note": np.array(["ä", None] * n)[:n]},
    )  # fmt: skip


def assert_same(a: Recording, b: Recording) -> None:
    assert (a.name, a.subject, a.rate_hz, a.sensors, a.channels, a.classes) == (
        b.name, b.subject, b.rate_hz, b.sensors, b.channels, b.classes,
    )  # fmt: skip
    assert a.samples.dtype == b.samples.dtype == np.float32
    assert a.samples.tobytes() == b.samples.tobytes() or np.array_equal(a.samples, b.samples, equal_nan=True)
    assert np.array_equal(a.time_s, b.time_s)
    assert np.array_equal(a.labels, b.labels)
    assert set(a.quality) == set(b.quality)
    for column in a.quality:
        assert a.quality[column].tolist() == b.quality[column].tolist()


TO = {
    "arrow": lambda table: table.to_arrow(),
    "pandas": lambda table: table.to_pandas(),
    "polars": lambda table: table.to_polars(),
    "table": lambda table: table,
    "polars by its own stream": lambda table: polars.DataFrame(table),
    "pandas with arrow types": lambda table: table.to_arrow().to_pandas(types_mapper=pandas.ArrowDtype),
}


@pytest.mark.parametrize("kind", TO)
@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=3))
def test_tables_round_trip(kind: str, lengths: list[int]) -> None:
    given = [recording(n, f"walk{i}", f"dog{i % 2}", seed=n + i) for i, n in enumerate(lengths)]
    given = [replace(r, quality={"lost": r.quality["lost"]}) for r in given]
    back = from_table(TO[kind](to_table(given)), classes=CLASSES, rate_hz=30.0)
    assert len(back) == len(given)
    for a, b in zip(given, back, strict=True):
        assert_same(a, b)


@given(n=st.integers(2, 30))
def test_xarray_round_trips(n: int) -> None:
    given = recording(n)
    given = replace(given, quality={"lost": given.quality["lost"]})
    array = to_xarray(given)
    assert array["samples"].dims == ("channel", "sensor", "time")
    assert_same(given, from_xarray(array))
    assert_same(given, from_xarray(array.transpose("time", "sensor", "channel")))
    bare = from_xarray(array["samples"], rate_hz=30.0, name="walk1", subject="rex")
    assert np.array_equal(bare.samples, given.samples, equal_nan=True)
    assert (bare.labels == -1).all()


def test_text_beside_the_signals_is_kept() -> None:
    (back,) = from_table(to_table(recording()), classes=CLASSES, rate_hz=30.0)
    assert back.quality["note"].tolist() == recording().quality["note"].tolist()


# what a user has


def frame(**columns: Any) -> Any:
    return pandas.DataFrame({"t": np.arange(6) / 50, "ax": np.arange(6.0), "ay": [1, 2, 3, 4, 5, 6], **columns})


NAMES = {"time_s": "t", "back/acc_x": "ax", "back/acc_y": "ay"}


def test_columns_by_other_names() -> None:
    table = frame(
        dog=[3, 3, 3, 4, 4, 4], behaviour=["a", None, "", "b", "a", float("nan")], trial=list("xxyxyy"), hr=60
    )
    table["t"] = [0, 0.02, 0, 0.04, 0.02, 0.04]
    table.loc[3, "dog"] = 3
    table.loc[2, "dog"] = 4
    first, second = from_table(table, {**NAMES, "subject": "dog", "recording": "trial", "label": "behaviour"})
    assert (first.name, first.subject, second.name, second.subject) == ("x", "3", "y", "4")
    assert first.samples[0, 0].tolist() == [0, 1, 3]
    assert second.samples[1, 0].tolist() == [3, 5, 6]
    assert (first.classes, first.labels.tolist(), second.labels.tolist()) == (("a", "b"), [0, -1, 1], [-1, 0, -1])
    assert (first.rate_hz, first.channels, list(first.quality)) == (50, ("acc_x", "acc_y"), ["hr"])


@pytest.mark.parametrize(
    "label",
    [
        pandas.Categorical(["b", "a", None, "a", "b", "b"], categories=["c", "b", "a"]),
        pandas.array(["b", "a", None, "a", "b", "b"], dtype="string"),
        np.array(["b", "a", "", "a", "b", "b"], dtype=object),
    ],
    ids=["categories", "text", "objects"],
)
def test_labels_of_each_kind_of_text(label: Any) -> None:
    for table in (frame(label=label), polars.from_pandas(frame(label=label))):
        (found,) = from_table(table, NAMES)
        assert found.classes == ("a", "b")
        assert found.labels.tolist() == [1, 0, -1, 0, 1, 1]
    (numbers,) = from_table(frame(label=[3, 3, 10, 3, 10, 10]), NAMES)
    assert (numbers.classes, numbers.labels.tolist()) == (("10", "3"), [1, 1, 0, 1, 0, 0])
    (none,) = from_table(frame(label=np.full(6, np.nan)), NAMES)
    assert (none.classes, none.labels.tolist()) == ((), [-1] * 6)


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_timestamps_become_seconds_and_the_beginning_is_kept(unit: str, zone: str | None) -> None:
    stamps = pandas.date_range("2024-03-31 01:59:58", periods=6, freq="1s", tz=zone).as_unit(unit)
    # clocks go forward in Berlin between these; the time that passed does not
    (found,) = from_table(frame(t=stamps), NAMES)
    assert found.time_s.tolist() == [0, 1, 2, 3, 4, 5]
    assert found.rate_hz == 1
    assert found.meta["start"].startswith("2024-03-31T01:59:58")
    (waited,) = from_table(frame(t=stamps - stamps[0]), NAMES)
    assert waited.time_s.tolist() == [0, 1, 2, 3, 4, 5]
    assert waited.meta == {}


def test_the_index_can_be_the_time_when_it_has_a_name() -> None:
    indexed = frame().set_index("t")
    (found,) = from_table(indexed, NAMES)
    assert found.time_s.tolist() == [i / 50 for i in range(6)]
    with pytest.raises(
        DataError, match=r"no column time_s .* no name: give it one with frame\.rename_axis\('time_s'\)"
    ):
        from_table(indexed.rename_axis(None), {k: v for k, v in NAMES.items() if k != "time_s"})


def test_without_a_time_the_rate_is_needed() -> None:
    signals = {k: v for k, v in NAMES.items() if k != "time_s"}
    (found,) = from_table(frame(), signals, rate_hz=20.0)
    assert found.time_s.tolist() == [0, 0.05, 0.1, 0.15, 0.2, 0.25]
    with pytest.raises(DataError, match=r"E-API-011: .*say which it is, with columns="):
        from_table(frame(), signals)


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        (polars.DataFrame({"a": [1]}).lazy(), {}, r"E-API-010: got a LazyFrame, .* call collect\(\) first"),
        ({"a": [1]}, {}, "E-API-010: got a dict, expected a pandas or polars DataFrame or an arrow table"),
        ("walk.csv", {}, "E-API-010: got a str, .* conv2d data import"),
        (xarray.DataArray(np.zeros(3)), {}, "E-API-010: got a DataArray, .* conv2d.from_xarray"),
        (frame()["ax"], {}, "E-API-010: got a Series, .* give the whole frame"),
        (frame().to_xarray(), {}, "E-API-010: got a Dataset"),
        (frame(), {**NAMES, "label": "behaviour"}, r"E-API-011: the table has no column behaviour \(it has"),
        (frame(), {"time_s": "t"}, "E-API-011: no column of the table is called <sensor>/<channel>"),
        (frame(), {"time_s": "t", "back/acc_x": "ax", "neck/gyr_x": "ay"}, "E-API-015: the table has no column "
         "back/gyr_x, neck/acc_x"),
        (pandas.concat([frame(), frame()], axis=1), NAMES, "E-API-012: the table has column ax, ay, t more than once"),
        (pa.table([[1.0], [2.0]], names=["a", "a"]), {}, "E-API-012: the table has column a more than once"),
        (frame(time_s=0), NAMES, "E-API-012: with columns= the table has column time_s more than once"),
        (frame(), {**NAMES, "back/acc_z": "ax"}, "E-API-012: columns= gives one column two names"),
        (frame(ax=list("abcdef")), NAMES, "E-API-013: column back/acc_x is of type .*string, expected numbers"),
        (frame(t=list("abcdef")), NAMES, "E-API-013: column time_s is of type .*string, expected seconds, timestamps"),
        (frame(label=[0.5] * 6), NAMES, "E-API-013: column label is of type double, expected text"),
        (frame(label=[True] * 6), NAMES, "E-API-013: column label is of type bool"),
        (frame(label=[1, "a", 2.5, None, (), {}]), NAMES, "E-API-013: the table has a column that is neither"),
        (frame(subject=[1.5] * 6), NAMES, "E-API-013: column subject is of type double"),
        (frame(subject=list("aabbbb")), NAMES, "E-API-014: recording recording is of the subjects a, b, expected one"),
        (frame(recording=["a", "b", None, "a", "b", "c"]), NAMES, "E-API-014: column recording has no value in row 2"),
        (frame(t=[0, 0.1, 0.2, 0.1, 0.4, 0.5]), NAMES, "E-DATA-008: time_s of recording .* from 0.2 to 0.1"),
        (frame(t=[0.0] * 6), NAMES, "E-API-011: the sampling rate cannot be told"),
        (frame(t=[0, 0.1, np.nan, 0.3, 0.4, 0.5]), NAMES, "E-DATA-008: time_s has rows without a time"),
        (frame(t=pandas.to_datetime(["2024"] * 5 + [None])), NAMES, "E-DATA-008: time_s has rows without a time"),
        (frame(ax=[0, 1, np.inf, 3, 4, 5]), NAMES, "E-DATA-009: channel back/acc_x .* infinite in row 2"),
        (frame(ax=[0, 1, 1e300, 3, 4, 5]), NAMES, "E-DATA-009: channel back/acc_x .* infinite in row 2"),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_read_are_refused_in_a_sentence(table: Any, columns: Any, message: str) -> None:
    with pytest.raises((DataError, UsageError), match=message) as caught:
        from_table(table, columns)
    assert "\n" not in str(caught.value)


def test_classes_that_are_given_are_all_there_may_be() -> None:
    with pytest.raises(DataError, match="E-DATA-010: the table has label b, classes= names a"):
        from_table(frame(label=list("aabbaa")), NAMES, classes=["a"])


def test_recordings_unlike_each_other_make_no_table() -> None:
    with pytest.raises(
        DataError, match="E-API-015: recording b has other sensors, channels or quality columns than walk1"
    ):
        to_table([recording(), replace(recording(name="b"), sensors=("back", "tail"))])
    with pytest.raises(DataError, match="E-API-015: got no recording"):
        to_table([])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x["samples"].rename(sensor="place"), "E-API-011: the array has the dimensions channel, place, time, "
         "expected channel, sensor, time"),
        (lambda x: x.rename(samples="acc"), r"E-API-011: the Dataset has no variable samples \(it has acc, label\)"),
        (lambda x: x["samples"].drop_vars("time"), "E-API-011: the array has no coordinate time"),
        (lambda x: x["samples"].astype(str), "E-API-013: the array is of type"),
        (lambda x: x.assign(label=("time", np.zeros(7))), "E-API-013: label is of type float64"),
        (lambda x: x.assign_attrs(classes=["walk"]), "E-DATA-010: the array has label run, classes names walk"),
        (lambda x: x.assign_coords(time=list("abcdefg")), "E-API-013: coordinate time is of type"),
        (lambda x: x.assign_coords(time=np.zeros(7)), "E-DATA-008"),
        (lambda x: np.zeros((2, 2, 7)), "E-API-010: got a ndarray, expected an xarray DataArray or Dataset"),
        (lambda x: frame(), "E-API-010: got a DataFrame, .* use conv2d.from_table"),
    ],
)  # fmt: skip
def test_arrays_that_cannot_be_read_are_refused_in_a_sentence(change: Any, message: str) -> None:
    array = to_xarray(replace(recording(), quality={}))
    with pytest.raises((DataError, UsageError), match=message):
        from_xarray(change(array))


def test_times_of_an_array_may_be_datetimes_and_its_sensor_unnamed() -> None:
    times = np.datetime64("2024-01-01T12:00:00", "ns") + np.arange(5) * np.timedelta64(20_000_000, "ns")
    array = xarray.DataArray(np.ones((5, 3), np.float32), {"time": times, "channel": list("abc")}, ("time", "channel"))
    found = from_xarray(array)
    assert (found.channels, found.sensors, found.rate_hz) == (("a", "b", "c"), ("s0",), 50)
    assert found.samples.shape == (3, 1, 5)
    assert found.time_s.tolist() == [0, 0.02, 0.04, 0.06, 0.08]
    assert found.meta["start"] == "2024-01-01T12:00:00.000000"


# windows


@given(n=st.integers(0, 40), window=st.integers(1, 9), hop=st.integers(1, 9), labelled=st.booleans())
def test_windows_are_cut_as_by_hand(n: int, window: int, hop: int, labelled: bool) -> None:
    given = [recording(n, "a", "rex", 1), recording(n + 3, "b", "bo", 2)]
    expected = [
        (
            r.samples[:, :, at : at + window],
            ([*r.classes, ""])[r.labels[at + window // 2]],
            r.subject,
            r.name,
            r.time_s[at],
        )
        for r in given
        for at in range(0, r.n_samples - window + 1, hop)
        if not labelled or r.labels[at + window // 2] >= 0
    ]
    if not expected:
        with pytest.raises(DataError, match="E-EXP-002: got 2 recordings without a"):
            cut_windows(given, window, hop, labelled=labelled)
        return
    windows = cut_windows(given, window, hop, labelled=labelled)
    x, y, groups, names, starts = zip(*expected, strict=True)
    assert np.array_equal(windows.X, np.stack(x), equal_nan=True)
    assert windows.y.tolist() == list(y)
    assert windows.groups.tolist() == list(groups)
    assert windows.recording.tolist() == list(names)
    assert windows.start_s.tolist() == list(starts)


def test_windows_never_cross_a_gap_of_the_clock() -> None:
    broken = recording(20)
    time = broken.time_s.copy()
    time[9:] += 3
    windows = cut_windows(replace(broken, time_s=time), 4, 1, labelled=False)
    assert len(windows) == 6 + 8


def test_windows_of_different_sensors_or_no_length_are_refused() -> None:
    with pytest.raises(DataError, match="E-API-015: recording b has acc_x, gyr_x of back, tail at 30 Hz, walk1 has"):
        cut_windows([recording(), replace(recording(name="b"), sensors=("back", "tail"))], 2)
    with pytest.raises(UsageError, match="E-API-016: hop is 0, expected a whole number"):
        cut_windows(recording(), 4, 0)
    with pytest.raises(DataError, match="E-EXP-002: got no recording"):
        cut_windows([], 4)


def test_windows_as_an_array_with_names_are_taken_by_name() -> None:
    windows = cut_windows(recording(20), 4)
    array = windows.to_xarray()
    assert array.coords["label"].values.tolist() == windows.y.tolist()
    turned = array.transpose("time", "window", "sensor", "channel").isel(channel=[1, 0])
    assert np.array_equal(window_array(turned, windows.channels, windows.sensors), windows.X, equal_nan=True)
    one = array.isel(sensor=1, drop=True)
    assert np.array_equal(window_array(one), windows.X[:, :, 1:], equal_nan=True)
    with pytest.raises(DataError, match="E-API-011: the array has no channel mag_x"):
        window_array(array, ["mag_x"])


# tables out


def test_results_as_every_kind_of_table() -> None:
    table = Table(pa.table({"label": ["a", None], "p": pa.array([0.25, float("nan")]), "n": [1, 2]}))
    assert pa.table(table).to_pydict()["label"] == ["a", None]
    assert polars.DataFrame(table).equals(table.to_polars(), null_equal=True)
    assert table.to_pandas()["label"].isna().tolist() == [False, True]
    array = table.to_xarray()
    assert array["label"].values.tolist() == ["a", ""]
    assert array["p"].dims == ("row",)
    assert repr(table) == "Table of 2 rows: label, p, n"
    with pytest.raises(KeyError, match="the table has no column 'q', it has label, p, n"):
        table["q"]


@pytest.mark.parametrize("library", ["pandas", "polars", "xarray"])
def test_a_library_that_is_absent_is_named(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UsageError, match=rf"E-API-010: to_{library} needs {library}, which is not installed"):
        getattr(Table(pa.table({"a": [1]})), f"to_{library}")()
    if library == "xarray":
        with pytest.raises(UsageError, match="E-API-010: to_xarray needs xarray"):
            to_xarray(recording())


def test_the_face_has_these_names() -> None:
    assert {"from_table", "to_table", "from_xarray", "to_xarray", "cut_windows", "Recording"} <= set(conv2d.__all__)
    assert conv2d.from_table is from_table


# what was once taken wrongly


def test_recordings_survive_a_netcdf_file(tmp_path: Path) -> None:
    pytest.importorskip("scipy")
    for classes in (CLASSES, ("walk", "run"), ("walk",)):
        given = recording(9)
        given = replace(given, classes=classes, labels=np.minimum(given.labels, len(classes) - 1))
        given = replace(given, quality={"lost": given.quality["lost"], "note": np.array(list("äbcdefghi"), object)})
        file = tmp_path / f"{len(classes)}.nc"
        to_xarray(given).to_netcdf(file, engine="scipy")
        with xarray.open_dataset(file, engine="scipy") as back:
            assert_same(given, from_xarray(back))
    windows = cut_windows(recording(20), 4)
    windows.to_xarray().to_netcdf(tmp_path / "windows.nc", engine="scipy")
    with xarray.open_dataarray(tmp_path / "windows.nc", engine="scipy") as array:
        assert np.array_equal(window_array(array, windows.channels), windows.X, equal_nan=True)
        assert array.coords["subject"].values.tolist() == windows.groups.tolist()
    Table(pa.table({"a": ["ä", None]})).to_xarray().to_netcdf(tmp_path / "table.nc", engine="scipy")
    with xarray.open_dataset(tmp_path / "table.nc", engine="scipy") as table:
        assert table["a"].values.tolist() == ["ä", ""]


def test_a_dataset_of_xarray_is_no_array() -> None:
    array = to_xarray(recording())
    assert is_data_array(array["samples"])
    assert not is_data_array(array)


@pytest.mark.parametrize("kind", ["pandas", "polars", "float32"])
def test_whole_numbers_with_gaps_are_labels(kind: str) -> None:
    table = frame(label=pandas.Series([1, 2, None, 1, 10, 10]).astype("float32" if kind == "float32" else float))
    (found,) = from_table(polars.DataFrame(table.to_dict("list")) if kind == "polars" else table, NAMES)
    assert found.classes == ("1", "10", "2")
    assert found.labels.tolist() == [0, 2, -1, 0, 1, 1]
    for bad in (1.5, np.inf):
        with pytest.raises(DataError, match="E-API-013: column label is of type double, expected text or whole"):
            from_table(frame(label=[1.0, None, 2.0, bad, 1.0, 1.0]), NAMES)


@pytest.mark.parametrize("rate_hz", [0, -50, float("nan"), float("inf"), "50", True])
def test_a_rate_is_a_number_above_zero(rate_hz: Any) -> None:
    with pytest.raises(UsageError, match=r"E-API-017: rate_hz is .*, expected a number above 0"):
        from_table(frame(), NAMES, rate_hz=rate_hz)
    with pytest.raises(UsageError, match="E-API-017"):
        from_xarray(to_xarray(recording()), rate_hz=rate_hz)
    with pytest.raises(UsageError, match="E-API-017"):
        from_xarray(to_xarray(recording()).assign_attrs(rate_hz=rate_hz))


def test_a_class_is_named_once() -> None:
    with pytest.raises(UsageError, match="E-API-018: classes names a more than once"):
        from_table(frame(label=list("aabbaa")), NAMES, classes=["a", "b", "a"])
    with pytest.raises(UsageError, match="E-API-018"):
        from_xarray(to_xarray(recording()), classes=["walk", "run", "run"])
    (one,) = from_table(frame(label=["walk"] * 6), NAMES, classes="walk")
    assert one.classes == ("walk",)


def test_recordings_come_from_whatever_gives_them(simulated_dataset: Dataset) -> None:
    given = [recording(9), recording(9, "b", seed=1)]
    expected = cut_windows(given, 4)
    for others in (iter(given), tuple(given), {r.name: r for r in given}.values()):
        assert np.array_equal(cut_windows(others, np.int64(4)).X, expected.X, equal_nan=True)
    table = to_table(recording for recording in given).to_pandas()
    pandas.testing.assert_frame_equal(table, to_table(given).to_pandas())
    loaded = list(simulated_dataset.load_all())
    assert len(to_table(simulated_dataset)) == sum(r.n_samples for r in loaded)
    for verb in (to_table, lambda x: cut_windows(x, 64)):
        for path in ("clean", Path("clean")):
            with pytest.raises(UsageError, match=r"E-API-007: got the text or path 'clean'.*Dataset\.open\('clean'\)"):
                verb(path)
        with pytest.raises(UsageError, match="E-API-001: got a list that holds a DataFrame, expected recordings only"):
            verb([*given, frame()])
        with pytest.raises(UsageError, match="E-API-001: got a int, expected a recording"):
            verb(3)


@pytest.mark.parametrize("bad", [64.0, "64", 0, -3, None])
def test_windows_are_whole_numbers_of_samples_long(bad: Any) -> None:
    with pytest.raises(UsageError, match=r"E-API-016: window_size is .*, expected a whole number of samples"):
        cut_windows(recording(), bad)
    if bad is not None:
        with pytest.raises(UsageError, match=r"E-API-016: hop is .*, expected a whole number of samples"):
            cut_windows(recording(), 4, bad)
