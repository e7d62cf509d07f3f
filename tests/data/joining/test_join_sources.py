"""From files of each sensor to one data set: against the truth, and the account of how it came about."""

import json
from dataclasses import replace
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest
import yaml

from conv2d.cli.main import main
from conv2d.data import Dataset, write_dataset
from conv2d.data.joining.join import join_sources
from conv2d.data.joining.provenance import COPIED, HOW, MISSING, RESAMPLED
from conv2d.errors import ConfigError, DataError

EPOCH = 1.7e9
CHANNELS = ("acc_x", "acc_y", "gyr_x")


def truth(t, sensor):
    """Tones and a chirp to 20 Hz, gravity on one axis."""
    phase = {"neck": 0.0, "back": 1.0}[sensor]
    chirp = np.sin(2 * np.pi * (0.5 * t + 19.5 * t**2 / (2 * 300)) + phase)
    return np.stack([9.81 + np.sin(2 * np.pi * 1.7 * t + phase), chirp, np.cos(2 * np.pi * 5.3 * t + phase)], axis=1)


def write(path, **columns):
    table = pa.table(columns)
    (pq.write_table if path.suffix == ".parquet" else pc.write_csv)(table, path)


def raw(folder, sensor, rec, *, rate, ppm=0.0, offset=3.0, begin=0.0, seconds=240, loss=0.0, reset=None, seed=0,
        late=0.005, suffix="csv", zone=None):  # fmt: skip
    """A sensor's file with device stamps in us and host stamps in s since 1970; returns its true times."""
    rng = np.random.default_rng([seed, len(sensor), len(rec)])
    true = begin + np.arange(int(seconds * rate)) / rate
    device = true * (1 - ppm * 1e-6) + offset
    if reset is not None:
        at = np.searchsorted(true, reset)
        device[at:] = (true[at:] - true[at]) * (1 - ppm * 1e-6)
    lateness = rng.exponential(late, len(true)) if late else np.zeros(len(true))
    burst = (true > begin + 100) & (true < begin + 100.4)
    lateness[burst] = np.maximum(lateness[burst], begin + 100.4 - true[burst]) if late else 0
    host = np.maximum.accumulate(EPOCH + true + lateness)
    if zone is not None:
        host = host + np.where(true > zone, 3600.0, 0.0)
    kept = rng.random(len(true)) >= loss
    x = truth(true, sensor)[kept]
    write(folder / f"{sensor}_{rec}.{suffix}", dev=np.round(device[kept] * 1e6).astype(np.int64), host=host[kept],
          **{f"c{i}": x[:, i] for i in range(3)})  # fmt: skip
    return true[kept]


def sensor_of(name, *, suffix="csv", **more):
    return {
        "files": f"{name}_*.{suffix}",
        "recording": {"from_filename": f"{name}_(.*)"},
        "time": {"device": {"column": "dev", "unit": "us"}, "host": "host"},
        "channels": {c: f"c{i}" for i, c in enumerate(CHANNELS)},
        **more,
    }


def mapping(**more):
    return {
        "name": "walks",
        "subject": {"from_filename": "_([a-z]+)"},
        "sensors": {"neck": sensor_of("neck"), "back": sensor_of("back")},
        **more,
    }


def began(recording):
    """Seconds since 1970; stamps since then give a date with its zone."""
    assert recording.meta["start"].endswith("Z")
    return datetime.fromisoformat(recording.meta["start"]).timestamp()


def errors(recording, sensor):
    """Error of each sample against the truth at its time, (n, C)."""
    t = began(recording) - EPOCH + recording.time_s
    return recording.samples[:, recording.sensors.index(sensor)].T - truth(t, sensor)


@pytest.fixture(scope="module")
def joined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("join")
    raw(folder, "neck", "rex", rate=104.1337, ppm=80, reset=120.0, loss=0.02)
    raw(folder, "back", "rex", rate=52.07, ppm=-35, offset=1000, begin=0.4, loss=0.01)
    result = join_sources(folder, folder / "out", mapping(rate_hz=50))
    return folder, result, Dataset.open(folder / "out")


def test_drift_reset_loss_and_bursts_come_out_within_tolerance(joined):
    _, result, data = joined
    recording = data.load("rex")
    assert result.rate_hz == 50
    assert recording.sensors == ("neck", "back")
    assert recording.duration_s == pytest.approx(239.6, abs=0.05)
    for sensor in recording.sensors:
        how, error = recording.quality[f"{sensor}_how"], errors(recording, sensor)
        clean = how == RESAMPLED
        assert clean.mean() > 0.8
        # 1 ms of a tone of 5.3 Hz is 0.033; the chirp reaches 20 Hz, 0.8 of what 50 Hz hold.
        assert np.abs(error[clean][:, 0]).max() < 0.004
        assert np.abs(error[clean][:, 2]).max() < 0.01
        assert np.sqrt(np.mean(error[clean][:, 1] ** 2)) < 0.02
        missing = how & MISSING > 0
        assert np.isnan(error[missing]).all()
        assert np.isfinite(error[~missing]).all()
        assert missing.mean() < 0.02


def test_the_account_says_what_was_done(joined):
    folder, result, data = joined
    told = json.loads((folder / "out" / "joining.json").read_text())
    assert told["format"] == "conv2d-joining/1"
    assert told["how"]["missing"]["bit"] == HOW["missing"]
    recording = data.load("rex")
    neck = told["recordings"]["rex"]["sensors"]["neck"]
    assert neck["files"][0]["path"] == "neck_rex.csv"
    assert neck["rate_measured_hz"] == pytest.approx(104.1337, rel=1e-5)
    assert [b["reason"] for b in neck["breaks"]] == ["device_back"]
    assert [p["method"] for p in neck["pieces"]] == ["envelope", "envelope"]
    assert all(p["drift_ppm"] == pytest.approx(80, abs=1) for p in neck["pieces"])
    assert neck["filter"]["cutoff_hz"] == pytest.approx(22.5)
    for sensor in ("neck", "back"):
        counted = told["recordings"]["rex"]["sensors"][sensor]["how"]
        assert counted == {n: int((recording.quality[f"{sensor}_how"] & b > 0).sum()) for n, b in HOW.items()}
    assert data.meta.quality_columns == ("neck_how", "neck_gap_ms", "back_how", "back_gap_ms")
    assert recording.quality["neck_how"].dtype == np.uint8
    gap = recording.quality["neck_gap_ms"]
    assert np.nanmedian(gap) == pytest.approx(1e3 / 104.1337, rel=1e-3)
    assert set(np.round(gap * 104.1337 / 1e3)) <= {1, 2, 3, 4}
    assert result.sensors["neck"]["drift_ppm"] == pytest.approx([80, 80], abs=1)
    assert result.sensors["back"]["valid_share"] > 0.98


def test_what_lies_above_the_new_rate_does_not_fold_down(tmp_path):
    t = np.arange(0, 60, 1 / 400)
    for sensor, frequency in (("neck", 35.0), ("back", 61.0)):
        x = np.sin(2 * np.pi * frequency * t)
        write(tmp_path / f"{sensor}_rex.csv", dev=np.round(t * 1e6), host=EPOCH + t, c0=x, c1=x, c2=x)
    join_sources(tmp_path, tmp_path / "out", mapping(rate_hz=50))
    samples = Dataset.open(tmp_path / "out").load("rex").samples
    assert 20 * np.log10(np.sqrt(np.mean(samples[:, :, 50:-50] ** 2)) / np.sqrt(0.5)) < -60


def test_what_lies_on_the_grid_is_copied_bit_by_bit(tmp_path):
    t = np.arange(6000) / 100
    for sensor, first in (("neck", 0), ("back", 70)):
        x = truth(t, sensor).astype(np.float32)[first:]
        x[500:510, 1] = np.nan
        write(tmp_path / f"{sensor}_rex.parquet", host=EPOCH + t[first:], **{f"c{i}": x[:, i] for i in range(3)})
    sensors = {s: sensor_of(s, suffix="parquet", time={"host": "host"}) for s in ("neck", "back")}
    result = join_sources(tmp_path, tmp_path / "out", mapping(sensors=sensors))
    recording = Dataset.open(tmp_path / "out").load("rex")
    assert (result.rate_hz, result.rate_is_given, recording.n_samples) == (100.0, False, 5930)
    for place, sensor in enumerate(recording.sensors):
        how = recording.quality[f"{sensor}_how"]
        expected = truth(t, sensor).astype(np.float32)[70:].T.copy()
        first = 430 if sensor == "neck" else 500
        expected[1, first : first + 10] = np.nan
        np.testing.assert_array_equal(recording.samples[:, place], expected)
        assert np.flatnonzero(how & MISSING).tolist() == list(range(first, first + 10))
        assert (np.delete(how, np.arange(first, first + 10)) == COPIED).all()


def test_a_data_set_joined_with_itself_is_itself(tmp_path, simulated_dataset):
    meta = simulated_dataset.meta
    recordings = list(simulated_dataset.load_all())[:3]
    dated = [replace(r, meta={"start": "2024-05-13T14:44:00.25"}) for r in recordings]
    write_dataset(tmp_path / "dated", meta, dated)
    sensors = {s: {"dataset": "dated", "sensor": s} for s in meta.sensors}
    result = join_sources(tmp_path, tmp_path / "out", {"name": "same", "sensors": sensors, "label": {"sensor": "neck"}})
    again = Dataset.open(tmp_path / "out")
    assert result.n_recordings == 3
    for r in recordings:
        copy = again.load(r.name)
        keep = np.isfinite(r.samples).all(axis=0)
        for place, sensor in enumerate(meta.sensors):
            how = copy.quality[f"{sensor}_how"]
            np.testing.assert_array_equal(copy.samples[:, place, keep[place]], r.samples[:, place, keep[place]])
            assert (how[keep[place]] == COPIED).all()
        assert [copy.classes[i] if i >= 0 else None for i in copy.labels] == [
            r.classes[i] if i >= 0 else None for i in r.labels
        ]
        assert copy.meta["start"].startswith("2024-05-13T14:44:00.25")
        assert copy.subject == r.subject
    undated = [replace(r, meta={}) for r in recordings]
    write_dataset(tmp_path / "undated", meta, undated)
    sensors = {s: {"dataset": "undated"} for s in meta.sensors}
    with pytest.raises(DataError, match=r"E-DATA-020: recording .* of undated has start '', expected seconds or"):
        join_sources(tmp_path, tmp_path / "two", {"name": "x", "sensors": sensors})


def test_a_file_in_parts_and_its_rows_in_any_order_give_the_same(tmp_path):
    raw(tmp_path, "neck", "rex", rate=100.02, ppm=50, loss=0.02)
    raw(tmp_path, "back", "rex", rate=51.3, ppm=-20)
    join_sources(tmp_path, tmp_path / "whole", mapping())
    whole = Dataset.open(tmp_path / "whole").load("rex")
    table = pc.read_csv(tmp_path / "neck_rex.csv")
    (tmp_path / "neck_rex.csv").unlink()
    pc.write_csv(table.slice(0, 9000), tmp_path / "neck_rex.part1.csv")
    pc.write_csv(table.slice(9000), tmp_path / "neck_rex.part2.csv")
    shuffled = pc.read_csv(tmp_path / "back_rex.csv")
    order = np.random.default_rng(0).permutation(shuffled.num_rows)
    pc.write_csv(shuffled.take(order), tmp_path / "back_rex.csv")
    parts = mapping()
    parts["sensors"]["neck"]["recording"] = {"from_filename": r"neck_([a-z]+)\."}
    result = join_sources(tmp_path, tmp_path / "parts", parts)
    again = Dataset.open(tmp_path / "parts").load("rex")
    np.testing.assert_allclose(again.samples, whole.samples, atol=1e-5)
    np.testing.assert_array_equal(again.quality["neck_how"], whole.quality["neck_how"])
    assert "rows were in no order of time" in " ".join(result.notes)


def test_one_clock_alone_offsets_zones_and_a_missing_sensor(tmp_path):
    for rec in ("rex", "bob"):
        raw(tmp_path, "neck", rec, rate=100, late=0.004, zone=100.0, ppm=40)
    raw(tmp_path, "back", "rex", rate=50, late=0.0, offset=-5.0, begin=-2.0)
    plan = mapping(rate_hz=50)
    plan["sensors"]["back"]["time"] = {"device": {"column": "dev", "unit": "us"}, "offset_s": EPOCH + 5}
    result = join_sources(tmp_path, tmp_path / "out", plan)
    data = Dataset.open(tmp_path / "out")
    assert "bob: no back, NaN throughout" in result.notes
    assert sum("zone or daylight saving" in note for note in result.notes) == 2
    rex, bob = data.load("rex"), data.load("bob")
    for sensor in ("neck", "back"):
        how, error = rex.quality[f"{sensor}_how"], errors(rex, sensor)
        assert np.abs(error[(how == RESAMPLED) | (how == COPIED)][:, 2]).max() < 0.02
    assert np.isnan(bob.samples[:, 1]).all()
    assert (bob.quality["back_how"] == MISSING).all()
    assert "the span of all sensors" in " ".join(result.notes)
    join_sources(tmp_path, tmp_path / "all", plan | {"span": "all"})
    everything = Dataset.open(tmp_path / "all").load("rex")
    assert everything.duration_s == pytest.approx(242.0, abs=0.1)
    assert (everything.quality["neck_how"][:100] == MISSING).all()
    assert np.isfinite(everything.samples[:, 1, :100]).all()


def test_labels_of_their_own_file_and_of_a_column(tmp_path):
    true = raw(tmp_path, "neck", "rex", rate=100, late=0.0)
    raw(tmp_path, "back", "rex", rate=50, late=0.0)
    (tmp_path / "labels.csv").write_text(
        "begin,stop,what,who\n"
        f"{EPOCH + 10},{EPOCH + 20},walk,rex\n{EPOCH + 20},{EPOCH + 30},Sit,rex\n{EPOCH + 40},{EPOCH + 50},?,rex\n"
        f"{EPOCH},{EPOCH + 9},walk,bob\n"
    )
    label = {
        "files": "labels.csv", "recording": {"column": "who"}, "start": "begin", "end": "stop", "column": "what",
        "map": {"Sit": "sit"}, "null": ["?"],
    }  # fmt: skip
    result = join_sources(tmp_path, tmp_path / "out", mapping(label=label, rate_hz=50))
    recording = Dataset.open(tmp_path / "out").load("rex")
    t = began(recording) - EPOCH + recording.time_s
    assert result.labels == {"sit": 500, "walk": 500}
    assert "labels of bob belong to no recording" in result.notes
    walk = recording.labels == recording.classes.index("walk")
    np.testing.assert_array_equal(walk, (t >= 10 - 1e-6) & (t < 20 - 1e-6))
    (tmp_path / "labels.csv").write_text(
        f"begin,stop,what,who\n{EPOCH},{EPOCH + 9},a,rex\n{EPOCH + 5},{EPOCH + 7},b,rex\n"
    )
    with pytest.raises(DataError, match=r"E-DATA-016: two labels of recording rex overlap from 1700000005.000 to"):
        join_sources(tmp_path, tmp_path / "two", mapping(label=label))
    table = pc.read_csv(tmp_path / "neck_rex.csv")
    words = np.where((true > 10) & (true < 20), "walk", "")
    pc.write_csv(table.append_column("act", pa.array(words)), tmp_path / "neck_rex.csv")
    by_column = mapping(label={"sensor": "neck", "column": "act"}, rate_hz=50)
    join_sources(tmp_path, tmp_path / "three", by_column)
    recording = Dataset.open(tmp_path / "three").load("rex")
    t = began(recording) - EPOCH + recording.time_s
    np.testing.assert_array_equal(recording.labels == 0, (t > 10 + 1e-6) & (t < 20 - 1e-6))


def test_kinds_of_channels(tmp_path):
    t = np.arange(0, 60, 1 / 97.3)
    half = 2 * np.pi * 0.4 * t / 2
    quaternion = np.stack([np.cos(half), np.sin(half), 0 * t, 0 * t])
    quaternion[:, (np.arange(len(t)) // 100) % 2 == 1] *= -1
    write(
        tmp_path / "neck.csv", t=t, on=(t % 2 > 1).astype(float), steps=np.floor(t * 1.9), heading=(t * 100) % 360,
        **dict(zip(("qw", "qx", "qy", "qz"), quaternion, strict=True)),
    )  # fmt: skip
    channels = {
        "contact": {"column": "on", "kind": "nearest"},
        "steps": {"column": "steps", "kind": "linear"},
        "heading": {"column": "heading", "kind": "angle", "period": 360},
        **{f"turn_{p}": {"column": f"q{p}", "kind": "quaternion"} for p in "wxyz"},
    }
    plan = {
        "name": "kinds", "rate_hz": 50, "subject": {"constant": "rex"},
        "sensors": {"neck": {"files": "neck.csv", "time": {"host": "t"}, "channels": channels}},
    }  # fmt: skip
    join_sources(tmp_path, tmp_path / "out", plan)
    recording = Dataset.open(tmp_path / "out").load("kinds")
    s = recording.time_s
    got = dict(zip(recording.channels, recording.samples[:, 0], strict=True))
    assert set(np.unique(got["contact"])) == {0.0, 1.0}
    assert (got["contact"] != (s % 2 > 1)).mean() < 0.03
    assert (np.diff(got["steps"]) >= -1e-6).all()
    turned = (got["heading"] - s * 100 + 180) % 360 - 180
    assert np.abs(turned[10:-10]).max() < 0.1
    assert ((got["heading"] >= 0) & (got["heading"] <= 360)).all()
    q = np.stack([got[f"turn_{p}"] for p in "wxyz"])
    np.testing.assert_allclose((q**2).sum(axis=0), 1, atol=1e-6)
    angle = 2 * np.pi * 0.4 * s / 2
    np.testing.assert_allclose(np.abs(q[0] * np.cos(angle) + q[1] * np.sin(angle)), 1, atol=1e-4)


def test_clipped_samples_are_flagged(tmp_path):
    t = np.arange(0, 60, 0.01)
    x = np.clip(3 * np.sin(2 * np.pi * 0.7 * t), -2, 2)
    write(tmp_path / "neck_rex.csv", t=t, c0=x, c1=np.sin(t), c2=np.cos(t))
    plan = mapping(rate_hz=50, sensors={"neck": sensor_of("neck", time={"host": "t"})})
    join_sources(tmp_path, tmp_path / "out", plan)
    recording = Dataset.open(tmp_path / "out").load("rex")
    flagged = recording.quality["neck_how"] & HOW["clipped"] > 0
    at_rail = np.abs(3 * np.sin(2 * np.pi * 0.7 * recording.time_s)) > 2
    assert flagged[at_rail].all()
    assert flagged.mean() < at_rail.mean() + 0.1


def test_nothing_is_left_and_the_sentence_says_why(tmp_path):
    raw(tmp_path, "neck", "rex", rate=100)
    raw(tmp_path, "back", "rex", rate=50, begin=1000.0)
    with pytest.raises(
        DataError, match=r"E-DATA-020: the sensors of recording rex do not overlap \(neck from 17.* to 17"
    ):
        join_sources(tmp_path, tmp_path / "out", mapping())
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(DataError, match=r"E-DATA-016: .*no folder, expected the one with the sensors' files"):
        join_sources(tmp_path / "neck_rex.csv", tmp_path / "out", mapping())
    plan = mapping()
    plan["sensors"]["neck"]["recording"] = {"from_filename": "x_(.*)"}
    with pytest.raises(DataError, match=r"E-DATA-016: the name of neck_rex.csv does not tell its recording by"):
        join_sources(tmp_path, tmp_path / "out", plan)
    with pytest.raises(DataError, match=r"E-DATA-016: recording rex has no subject, expected one"):
        join_sources(tmp_path, tmp_path / "out2", mapping(subject={"from_filename": "dog(.*)"}, span="all") | {
            "sensors": {"neck": sensor_of("neck")}})  # fmt: skip
    raw(tmp_path, "neck", "bob", rate=100)
    plan = mapping(sensors={"neck": sensor_of("neck")})
    del plan["sensors"]["neck"]["recording"]
    with pytest.raises(ConfigError, match=r"E-DATA-021: sensors.neck.files matches 2 files; say under recording"):
        join_sources(tmp_path, tmp_path / "out", plan)
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"sensrs": {}}, r"unknown key 'sensrs'; did you mean sensors\?"),
        ({"sensors": {}}, r"sensors of the mapping is \{\}"),
        ({"subject": None}, r"subject of the mapping is missing; splits are by subject"),
        ({"subject": {"constant": "a", "column": "b"}}, r"subject of the mapping has not exactly one of"),
        ({"label": {"sensor": "nek", "column": "x"}}, r"label.sensor of the mapping is 'nek'; expected one of"),
        ({"label": {"sensor": "neck"}}, r"label.column of the mapping is missing"),
        ({"rate_hz": -1}, r"rate_hz of the mapping is -1"),
        ({"span": "some"}, r"span of the mapping is 'some'"),
        ({"neck.time": {}}, r"sensors.neck.time of the mapping names no column"),
        ({"neck.time": {"device": "dev"}}, r"sensors.neck.time.offset_s of the mapping goes with device time alone"),
        ({"neck.time": {"host": {"column": "h", "unit": "h"}}}, r"time.host.unit of the mapping is 'h'"),
        ({"neck.time": {"device": {"column": "n", "unit": "samples"}, "host": "h"}}, r"neck.rate_hz of the m"),
        ({"neck.channels": {"foo": "c0"}}, r"neck.channels.foo.kind of the mapping is missing; only acc, gyr"),
        ({"neck.channels": {"a/b": "c0"}}, r"neck.channels.a/b of the mapping is no name"),
        ({"neck.channels": {"acc_x": {"column": "c0", "scale": 0}}}, r"scale of the mapping is 0"),
        ({"neck.channels": {"head": {"column": "c0", "kind": "angle"}}}, r"period of the mapping goes with kind"),
        ({"neck.channels": {"q_w": {"column": "c0", "kind": "quaternion"}}}, r"channels.q of the mapping is no whole"),
        ({"neck.dataset": "x"}, r"sensors.neck of the mapping has files and dataset"),
        ({"neck.recording": {"from_filename": "a"}}, r"is 'a' with 0 groups, expected one"),
        ({"neck.recording": {"from_filename": "("}}, r"is '\(', which is no regular expression"),
    ],
)  # fmt: skip
def test_mapping_sentences(tmp_path, change, told):
    plan = mapping()
    for key, value in change.items():
        if key.startswith("neck."):
            plan["sensors"]["neck"][key[5:]] = value
        else:
            plan[key] = value
    with pytest.raises(ConfigError, match=f"^E-DATA-021: .*{told}"):
        join_sources(tmp_path, tmp_path / "out", plan)


def test_the_command(tmp_path, capsys):
    raw(tmp_path, "neck", "rex", rate=100, ppm=30)
    raw(tmp_path, "back", "rex", rate=50)
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(mapping(), sort_keys=False))
    call = ["data", "join", str(tmp_path), str(tmp_path / "out"), "--map", str(tmp_path / "map.yaml")]
    assert main([*call, "--json", "--rate", "25"]) == 0
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert (told["rate_hz"], told["rate_is_given"], told["n_recordings"], captured.err) == (25, True, 1, "")
    assert main(call) == 3
    assert "E-DATA-012" in capsys.readouterr().err
    call[3] = str(tmp_path / "again")
    assert main(call) == 0
    text = capsys.readouterr().out
    assert "1 recordings of 1 subjects" in text
    assert "at 50 Hz (the lowest of the sensors)" in text
    (tmp_path / "map.yaml").write_text("nme: x")
    assert main(call) == 2
    assert "did you mean name?" in capsys.readouterr().err


@pytest.mark.real_data
def test_a_real_recording_taken_apart_comes_back(tmp_path, shared_data):
    data = Dataset.open(shared_data / "sp_sw_har")
    source = max((data.load(row.recording) for row in data.table[:20]), key=lambda r: r.n_samples)
    rng = np.random.default_rng(0)
    for place, (sensor, ppm, offset) in enumerate((("watch", 60.0, 12.0), ("phone", -45.0, 900.0))):
        device = source.time_s * (1 - ppm * 1e-6) + offset
        host = np.maximum.accumulate(EPOCH + source.time_s + 0.003 + rng.exponential(0.004, source.n_samples))
        x = source.samples[:, place]
        write(tmp_path / f"{sensor}_{source.name}.csv", dev=np.round(device * 1e6), host=host,
              **{c: x[i] for i, c in enumerate(source.channels)})  # fmt: skip
    sensors = {
        s: sensor_of(s, channels={c: c for c in source.channels}, latency_s=0.003) for s in ("watch", "phone")
    }  # fmt: skip
    join_sources(tmp_path, tmp_path / "out", mapping(sensors=sensors, subject={"constant": "s"}, rate_hz=100))
    joined = Dataset.open(tmp_path / "out").load(source.name)
    t = began(joined) - EPOCH + joined.time_s
    for place, sensor in enumerate(joined.sensors):
        told = json.loads((tmp_path / "out" / "joining.json").read_text())
        pieces = told["recordings"][source.name]["sensors"][sensor]["pieces"]
        assert len(pieces) == 1
        for c in range(len(source.channels)):
            original = source.samples[c, place].astype(float)
            expected = np.interp(t, source.time_s, original)
            error = joined.samples[c, place] - expected
            # What lies above 40 Hz goes; the rest is there to a tenth of its spread, at the right time.
            assert np.nanstd(error) < 0.1 * original.std()
            moved = np.interp(t + 0.02, source.time_s, original)
            assert np.nanstd(joined.samples[c, place] - moved) > np.nanstd(error)


def test_the_lag_between_sensors_is_told_and_not_applied(tmp_path, simulated_dataset):
    meta = simulated_dataset.meta
    source = simulated_dataset.load(simulated_dataset.table[0].recording, sensors=["back"])
    moved = np.roll(source.samples, 20, axis=2)  # 0.4 s later
    both = replace(
        source, sensors=("neck", "back"), samples=np.concatenate([source.samples, moved], axis=1), meta={"start": "0"}
    )  # fmt: skip
    write_dataset(tmp_path / "two", replace(meta, sensors=("neck", "back"), quality_columns=()), [both])
    sensors = {s: {"dataset": "two"} for s in both.sensors}
    join_sources(tmp_path, tmp_path / "out", {"name": "x", "sensors": sensors})
    told = json.loads((tmp_path / "out" / "joining.json").read_text())["recordings"][source.name]
    assert told["lag_by_signal"]["back"]["lag_s"] == pytest.approx(0.4)
    assert told["lag_by_signal"]["back"]["r"] > 0.9
    copy = Dataset.open(tmp_path / "out").load(source.name)
    keep = np.isfinite(both.samples)
    np.testing.assert_array_equal(copy.samples[keep], both.samples[keep])


def test_channels_without_a_value_are_refused(tmp_path):
    t = np.arange(0, 10, 0.01)
    write(tmp_path / "neck_rex.parquet", t=t, c0=t, c1=np.full(len(t), np.nan), c2=t)
    plan = mapping(sensors={"neck": sensor_of("neck", suffix="parquet", time={"host": "t"})})
    with pytest.raises(
        DataError, match=r"E-DATA-009: acc_y of neck has no value in recording rex though the sensor has"
    ):
        join_sources(tmp_path, tmp_path / "out", plan)
    nothing = np.full(len(t), np.nan)
    write(tmp_path / "neck_rex.parquet", t=t, c0=nothing, c1=nothing, c2=nothing)
    with pytest.raises(DataError, match=r"E-DATA-009: recording rex has no value in any channel"):
        join_sources(tmp_path, tmp_path / "out", plan)
    write(tmp_path / "neck_rex.parquet", t=t, c0=t, c1=t, c2=np.where(t == 5, np.inf, t))
    with pytest.raises(
        DataError, match=r"E-DATA-016: column c2 is inf in row 500 of neck_rex.parquet, expected a number"
    ):
        join_sources(tmp_path, tmp_path / "out", plan)
    assert not list(tmp_path.glob("out*"))


def test_dates_on_both_clocks_and_on_labels(tmp_path):
    t = np.arange(0, 120, 0.02)
    dates = (np.datetime64("2024-05-13T14:44:00") + (t * 1e9).astype("timedelta64[ns]")).astype("datetime64[us]")
    write(tmp_path / "neck_rex.csv", dev=(dates + np.timedelta64(90, "s")).astype(str), host=dates.astype(str),
          **{f"c{i}": np.sin(t + i) for i in range(3)})  # fmt: skip
    (tmp_path / "labels.csv").write_text("start,end,what\n2024-05-13T14:44:10,2024-05-13T14:44:20.5,walk\n")
    time = {"device": {"column": "dev", "unit": "iso8601"}, "host": {"column": "host", "unit": "iso8601"}}
    del (plan := mapping(sensors={"neck": sensor_of("neck", time=time)}))["sensors"]["neck"]["recording"]
    plan["label"] = {"files": "labels.csv", "start": "start", "end": "end", "unit": "iso8601", "column": "what"}
    result = join_sources(tmp_path, tmp_path / "out", plan | {"name": "rex"})
    recording = Dataset.open(tmp_path / "out").load("rex")
    assert recording.meta["start"].startswith("2024-05-13T14:44")
    assert result.labels == {"walk": 525}
    assert recording.time_s[np.argmax(recording.labels == 0)] == pytest.approx(10.0, abs=0.02)
    np.testing.assert_allclose(recording.samples[0, 0], np.sin(recording.time_s), atol=1e-4)
