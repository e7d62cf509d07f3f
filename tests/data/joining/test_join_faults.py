"""What one sensor says of its clock must hold for the others and for the labels, or be refused; nothing goes untold."""

import json

import numpy as np
import pytest

from conv2d.cli.main import main
from conv2d.data import Dataset
from conv2d.data.joining.join import join_sources
from conv2d.data.joining.provenance import BRIDGED, CLIPPED
from conv2d.errors import DataError

BEGAN = 10_000.0


def write(folder, name, **columns):
    rows = zip(*columns.values(), strict=True)
    lines = [",".join("" if v != v else str(v) for v in row) for row in rows]
    (folder / name).write_text("\n".join([",".join(columns), *lines]) + "\n")


def sensor(file, *, device=False, channels=None, **time):
    clocks = {"host": {"column": "h", **time}, **({"device": "d"} if device else {})}
    return {"files": file, "time": clocks, "channels": channels or {"acc_x": "ax"}}


def mapping(sensors, **more):
    return {"name": "x", "subject": {"constant": "s"}, "sensors": sensors, **more}


def day(folder, step, *, others_step=True, labels=()):
    """Ten minutes at 50 Hz in the middle of which the host is set by ``step``; returns the true times."""
    rng = np.random.default_rng(0)
    t = np.arange(0, 600, 0.02)
    wall = BEGAN + t + np.where(t >= 300, step, 0.0)
    write(folder, "a.csv", d=t, h=wall + rng.exponential(0.003, len(t)), ax=np.sin(t))
    write(folder, "b.csv", h=wall if others_step else BEGAN + t, ax=np.sin(t))
    write(folder, "c.csv", d=t + 77, h=(wall if others_step else BEGAN + t), ax=np.sin(t))
    names = ["start_s", "end_s", "label"]
    write(folder, "labels.csv", **dict(zip(names, map(list, zip(*labels, strict=True)), strict=True)))
    return t


def test_a_step_of_the_host_is_taken_out_of_every_sensor_and_of_the_labels(tmp_path):
    after = BEGAN + 3600
    day(tmp_path, 3600.0, labels=[(BEGAN + 100, BEGAN + 150, "walk"), (after + 400, after + 450, "rest"),
                                  (BEGAN + 290, after + 310, "turn")])  # fmt: skip
    sensors = {"a": sensor("a.csv", device=True), "b": sensor("b.csv"), "c": sensor("c.csv", device=True)}
    plan = mapping(sensors, label={"files": "labels.csv", "column": "label"})
    join_sources(tmp_path, tmp_path / "out", plan)
    recording = Dataset.open(tmp_path / "out").load("x")
    t = float(recording.meta["start"]) - BEGAN + recording.time_s
    assert t[-1] == pytest.approx(600, abs=0.1)
    for place in range(3):
        np.testing.assert_allclose(recording.samples[0, place], np.sin(t), atol=2e-3)
    for word, begin, end in (("walk", 100, 150), ("rest", 400, 450), ("turn", 290, 310)):
        at = t[recording.labels == recording.classes.index(word)]
        assert (at[0], at[-1]) == (pytest.approx(begin, abs=0.03), pytest.approx(end, abs=0.03))


@pytest.mark.parametrize("other", ["b", "c"])
def test_a_sensor_that_does_not_show_the_step_is_refused(tmp_path, other):
    day(tmp_path, 3600.0, others_step=False, labels=[(BEGAN, BEGAN + 1, "walk")])
    sensors = {"a": sensor("a.csv", device=True), other: sensor(f"{other}.csv", device=other == "c")}
    with pytest.raises(DataError, match=f"E-DATA-020: {other} in recording x does not show the step .* by 3600 s"):
        join_sources(tmp_path, tmp_path / "out", mapping(sensors))
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(("step", "at", "told"), [(3600.0, 1500.0, "was left out"), (-3600.0, -2000.0, "there twice")])
def test_a_label_in_an_hour_that_is_not_one_is_refused(tmp_path, step, at, told):
    day(tmp_path, step, labels=[(BEGAN + 100 if step > 0 else BEGAN + at - 5, BEGAN + at, "walk")])
    plan = mapping({"a": sensor("a.csv", device=True)}, label={"files": "labels.csv", "column": "label"})
    with pytest.raises(DataError, match=f"E-DATA-020: recording x has a label at .*{told} by the step"):
        join_sources(tmp_path, tmp_path / "out", plan)


def test_labels_outside_are_told_and_long_ones_that_overlap_refused(tmp_path):
    t = np.arange(0, 60, 0.02)
    write(tmp_path, "a.csv", h=BEGAN + t, ax=np.sin(t))
    plan = mapping({"a": sensor("a.csv")}, label={"files": "labels.csv", "column": "label"})
    write(tmp_path, "labels.csv", start_s=[5.0, BEGAN + 5], end_s=[9.0, BEGAN + 9], label=["walk", "rest"])
    result = join_sources(tmp_path, tmp_path / "out", plan)
    assert any(note.startswith("x: 1 of 2 labels lie wholly outside of the recording") for note in result.notes)
    write(tmp_path, "labels.csv", start_s=[BEGAN + 1, BEGAN + 2, BEGAN + 5], end_s=[BEGAN + 9, BEGAN + 3, BEGAN + 6],
          label=["walk", "walk", "rest"])  # fmt: skip
    with pytest.raises(DataError, match=r"E-DATA-016: two labels of recording x overlap from 10005.000 to 10006.000"):
        join_sources(tmp_path, tmp_path / "two", plan)


def test_only_signals_are_clipped_and_filled_states_are_bridged(tmp_path):
    t = np.arange(0, 100, 0.01)
    kept = ~np.isin(np.arange(len(t)), (1000, 2000, 3000))
    write(tmp_path, "a.csv", h=t[kept], door=(np.sin(t / 5) > 0).astype(int)[kept], temp=np.minimum(t, 50)[kept],
          n=np.floor(t)[kept], ax=np.clip(3 * np.sin(t), -2, 2)[kept])  # fmt: skip
    states = {"door": {"column": "door", "kind": "nearest"}, "count": {"column": "n", "kind": "linear"}}
    for name, channels, bit in (("s", states | {"temp": "temp"}, 0), ("r", {"acc_x": "ax"}, CLIPPED)):
        join_sources(tmp_path, tmp_path / name, mapping({"a": sensor("a.csv", channels=channels)}, rate_hz=50))
        how = Dataset.open(tmp_path / name).load("x").quality["a_how"]
        assert (how & CLIPPED).max() == bit
    join_sources(tmp_path, tmp_path / "b", mapping({"a": sensor("a.csv", channels=states)}, rate_hz=60))
    recording = Dataset.open(tmp_path / "b").load("x")
    at = recording.time_s[recording.quality["a_how"] & BRIDGED > 0]
    assert 3 <= len(at) <= 6
    assert np.abs(at[:, None] - np.array([10.0, 20.0, 30.0])).min(axis=1).max() < 0.01


def test_the_start_has_a_date_where_the_host_has_one_and_keeps_its_zone(tmp_path):
    t = np.arange(0, 60, 0.02)
    dates = (np.datetime64("2024-05-17T10:00:00") + (t * 1e3).astype("timedelta64[ms]")).astype(str)
    write(tmp_path, "a.csv", d=dates, h=t + 5, ax=np.sin(t))
    device = {"device": {"column": "d", "unit": "iso8601"}, "host": "h"}
    write(tmp_path, "b.csv", h=np.round((t + 1.7158e9) * 1e3), ax=np.sin(t))
    write(tmp_path, "c.csv", h=[d + "+02:00" for d in dates], ax=np.sin(t))
    write(tmp_path, "d.csv", h=dates, ax=np.sin(t))
    expected = {"a": "5.0", "b": "2024-05-15T19:06:40Z", "c": "2024-05-17T08:00Z", "d": "2024-05-17T10:00"}
    for name, start in expected.items():
        one = sensor(f"{name}.csv", unit={"b": "ms", "c": "iso8601", "d": "iso8601"}.get(name, "s"))
        one = one | ({"time": device} if name == "a" else {})
        join_sources(tmp_path, tmp_path / f"out_{name}", mapping({name: one}))
        got = Dataset.open(tmp_path / f"out_{name}").load("x").meta["start"]
        assert got == start or float(got) == pytest.approx(float(start), abs=1e-6)


def test_a_result_that_is_mostly_nothing_is_refused(tmp_path):
    t = np.arange(0, 60, 0.02)
    write(tmp_path, "a.csv", h=np.where(t < 1, t, t + 2**32 / 1e3), ax=np.sin(t))
    with pytest.raises(DataError, match=r"E-DATA-020: recording x would have 2147\d+ rows at 50 Hz for 3000"):
        join_sources(tmp_path, tmp_path / "out", mapping({"a": sensor("a.csv")}))


def test_an_empty_sensor_a_lost_file_and_what_was_dropped_are_told(tmp_path, capsys):
    t = np.arange(0, 600, 0.02)
    device = np.where(t < 300, t, t - 300)
    write(tmp_path, "a.csv", d=device, h=t + BEGAN, ax=np.sin(t))
    write(tmp_path, "b.csv", h=t + BEGAN, ax=np.full(len(t), np.nan))
    sensors = {"a": sensor("a.csv", device=True), "b": sensor("b.csv")}
    (tmp_path / "map.yaml").write_text(json.dumps(mapping(sensors)))
    arguments = ["data", "join", str(tmp_path), str(tmp_path / "out"), "--map", str(tmp_path / "map.yaml")]
    assert main([*arguments, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["sensors"]["a"]["device_resets"] == told["sensors"]["a"]["breaks"] == 1
    assert "x: b: no row has a value in any channel, NaN throughout" in told["notes"]
    arguments[3] = str(tmp_path / "again")
    assert main(arguments) == 0
    assert "1 (1 resets)" in capsys.readouterr().out
    (tmp_path / "b.csv").unlink()
    with pytest.raises(DataError, match=r"E-DATA-016: .* no file b.csv.* it is sensors.b.files of the mapping"):
        join_sources(tmp_path, tmp_path / "none", mapping(sensors))
