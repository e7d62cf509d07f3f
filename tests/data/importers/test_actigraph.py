"""ActiGraph archives: samples against a plain packing, gaps, damage, faults each with its sentence, garbage."""

import struct
import tracemalloc
import zipfile
from datetime import timedelta

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers.actigraph import Gt3xFile, _unpack_12, decode_ssp, import_gt3x
from conv2d.data.units import GRAVITY
from conv2d.errors import DataError


def load(out):
    data = Dataset.open(out)
    return data, [data.load(row.recording) for row in data.table]


def second_of(makers, when):
    return int((when - makers.EPOCH).total_seconds())


def parameters(makers, scale):
    return makers.gt3x_record(21, 0, struct.pack("<HHIHHI", 1, 10, 30, 0, 55, makers.ssp(scale)))


@pytest.mark.parametrize("kind", [0, 26])
@pytest.mark.parametrize("rate", [30, 100])
def test_samples_of_both_kinds_of_record(makers, tmp_path, kind, rate):
    rng = np.random.default_rng(kind + rate)
    truth = rng.integers(-2048, 2048, (3, rate, 3))
    pack = makers.pack_12 if kind == 0 else lambda s: s.astype("<i2").tobytes()
    base = second_of(makers, makers.NOON)
    log = b"".join(makers.gt3x_record(kind, base + k, pack(one)) for k, one in enumerate(truth))
    info = makers.gt3x_info(Sample_Rate=rate, Side="Left", Limb="Wrist")
    result = import_gt3x(makers.gt3x(tmp_path / "rex.gt3x", log, info=info), tmp_path / "out")
    data, (recording,) = load(tmp_path / "out")
    assert (result.rate_hz, result.n_rows, result.notes) == (rate, 3 * rate, ())
    assert (data.meta.sensors, data.meta.units) == (("left-wrist",), {"acc": "m/s^2"})
    assert recording.meta["start"] == "2024-05-01T12:00:00.000"
    assert (recording.meta["zone"], recording.meta["serial"]) == ("-05:00:00", "TAS1D00000001")
    np.testing.assert_allclose(recording.samples[:, 0].T, truth.reshape(-1, 3) / 256 * GRAVITY, rtol=1e-6)
    np.testing.assert_allclose(recording.time_s, np.arange(3 * rate) / rate, atol=1e-6)


@given(st.lists(st.tuples(*[st.integers(-2048, 2047)] * 3), max_size=9))
def test_twelve_bits_are_unpacked(makers, samples):
    raw = np.frombuffer(makers.pack_12(samples) if samples else b"", np.uint8)
    assert [tuple(s) for s in _unpack_12(raw).tolist()] == samples


@given(st.floats(1e-3, 1e6))
def test_numbers_of_the_serial_protocol(makers, value):
    assert decode_ssp(makers.ssp(value)) == pytest.approx(value, rel=1e-6)


def scale_of(path):
    chunk = next(Gt3xFile(path).chunks())
    return 256 / (chunk.samples[0, 2] / GRAVITY)


@pytest.mark.parametrize(
    ("serial", "in_info", "in_log", "expected"),
    [
        ("TAS1", "256.0", None, 256), ("TAS1", "128", 512.0, 512), ("TAS1", None, None, 256), ("NEO1", None, None, 341),
        ("CLE2", None, None, 341), ("MOS2", None, None, 256), ("XYZ1", None, 300.0, 300),
        ("XYZ1", "100,5", None, 100.5),
    ],
)  # fmt: skip
def test_where_the_scale_comes_from(makers, tmp_path, serial, in_info, in_log, expected):
    info = makers.gt3x_info(Serial_Number=serial, Acceleration_Scale=in_info)
    log = makers.gt3x_log(range(2), first=parameters(makers, in_log) if in_log else b"")
    assert scale_of(makers.gt3x(tmp_path / "a.gt3x", log, info=info)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("serial", "firmware", "xy"),
    [("MOS2A", "1.6.0", (20, -10)), ("MOS2A", "1.6.1", (10, 20)), ("TAS1A", "1.6.0", (10, 20))],
)
def test_the_axes_of_firmware_1_6_0_are_turned_back(makers, tmp_path, serial, firmware, xy):
    path = makers.gt3x(
        tmp_path / "a.gt3x", makers.gt3x_log([0]), info=makers.gt3x_info(Serial_Number=serial, Firmware=firmware)
    )
    chunk = next(Gt3xFile(path).chunks())
    np.testing.assert_allclose(chunk.samples[0] * 256 / GRAVITY, [*xy, 256], rtol=1e-6)


def test_idle_sleep_stays_a_gap(makers, tmp_path):
    base = second_of(makers, makers.NOON)
    asleep = makers.gt3x_record(3, base + 5, b"\x08") + makers.gt3x_record(3, base + 60, b"\x09")
    log = makers.gt3x_log(range(5)) + asleep + makers.gt3x_log(range(60, 64))
    result = import_gt3x(makers.gt3x(tmp_path / "a.gt3x", log), tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    np.testing.assert_allclose(recording.time_s, np.r_[np.arange(150) / 30, 60 + np.arange(120) / 30], atol=1e-6)
    assert any("gaps: 1, 55 s in all" in note for note in result.notes)


def test_what_is_no_sample_is_passed_over(makers, tmp_path):
    base = second_of(makers, makers.NOON)
    usb = makers.gt3x_record(26, base + 2, b"\x01") + makers.gt3x_record(0, base + 2, b"\x01")
    imu = makers.gt3x_record(25, base + 1, bytes(200))
    utc = makers.gt3x_record(6, base, b'{"MetadataType":"LocalTimeLog","UsedUtc":true,"UtcOffset":"-05:00:00"}')
    log = utc + makers.gt3x_log(range(2)) + bytes(7) + usb + imu + makers.gt3x_log(range(2, 4)) + bytes(3)
    result = import_gt3x(makers.gt3x(tmp_path / "a.gt3x", log), tmp_path / "out")
    assert result.n_rows == 120
    assert [note.removeprefix("a.gt3x: ") for note in result.notes] == [
        "its clock runs on UTC (local time is -05:00:00 of it)", "records of gyroscope and magnetometer, not read: 1",
    ]  # fmt: skip


def test_seconds_that_come_again_are_left_out(makers, tmp_path):
    log = makers.gt3x_log([0, 1, 1, 2, 4, 3, 5])
    result = import_gt3x(makers.gt3x(tmp_path / "a.gt3x", log), tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    assert sorted(set(recording.time_s.astype(int))) == [0, 1, 2, 4, 5]
    assert any("again or late, left out: 2" in note for note in result.notes)


def test_a_clock_set_back_begins_a_recording(makers, tmp_path):
    log = makers.gt3x_log(range(20)) + makers.gt3x_log(range(-3600, -3590)) + makers.gt3x_log(range(-9000, -8990))
    result = import_gt3x(makers.gt3x(tmp_path / "a.gt3x", log), tmp_path / "out")
    _, recordings = load(tmp_path / "out")
    assert [(r.name, r.n_samples) for r in recordings] == [("a", 600), ("a_2", 300), ("a_3", 300)]
    assert recordings[1].meta["start"] == "2024-05-01T11:00:00.000"
    assert sum("goes back" in note for note in result.notes) == 2


def test_a_second_of_more_or_fewer_samples_keeps_to_its_second(makers, tmp_path):
    base = second_of(makers, makers.NOON)
    record = lambda k, n: makers.gt3x_record(26, base + k, np.zeros((n, 3), "<i2").tobytes())  # noqa: E731
    log = record(0, 30) + record(1, 31) + record(2, 20) + record(3, 30)
    result = import_gt3x(makers.gt3x(tmp_path / "a.gt3x", log), tmp_path / "out")
    time_s = load(tmp_path / "out")[1][0].time_s
    assert np.bincount(time_s.astype(int)).tolist() == [30, 31, 20, 30]
    assert any("another number of samples than 30: 2" in note for note in result.notes)


def test_damage_costs_what_is_damaged(makers, tmp_path):
    records = [makers.gt3x_log([k]) for k in range(30)]
    records[4] = records[4][:50] + b"\xff" + records[4][51:]  # a byte changed
    records[9] = records[9][:100]  # the end is missing
    records[15] = b"\x1e\x1a\x1e\x00" + bytes(range(1, 60))  # something else instead
    records[20] = records[20][:6] + b"\xff\xff" + records[20][8:]  # a size that swallows what follows
    result = import_gt3x(makers.gt3x(tmp_path / "a.gt3x", b"".join(records)), tmp_path / "out")
    time_s = load(tmp_path / "out")[1][0].time_s
    assert sorted(set(time_s.astype(int))) == [k for k in range(30) if k not in (4, 9, 15, 20)]
    assert any("wrong checksum, left out: 1" in note for note in result.notes)
    assert any("belong to no record" in note for note in result.notes)


def test_the_old_form_has_no_stamps(makers, tmp_path):
    rng = np.random.default_rng(0)
    truth = rng.integers(-2000, 2000, (151, 3))
    info = makers.gt3x_info(Serial_Number="NEO1C04110003", Firmware="2.5.0", Acceleration_Scale=None)
    path = makers.gt3x(tmp_path / "a.gt3x", None, info=info, activity_bin=makers.pack_12(truth), log_txt="")
    result = import_gt3x(path, tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    assert result.n_rows == 151
    np.testing.assert_allclose(recording.samples[:, 0].T, truth / 341 * GRAVITY, rtol=1e-6)
    np.testing.assert_allclose(recording.time_s, np.arange(151) / 30, atol=1e-6)
    assert recording.meta["start"] == "2024-05-01T12:00:00.000"


def test_the_old_form_in_parts_is_one(makers, tmp_path, monkeypatch):
    truth = np.random.default_rng(2).integers(-2000, 2000, (1001, 3))
    path = makers.gt3x(tmp_path / "a.gt3x", None, activity_bin=makers.pack_12(truth))
    monkeypatch.setattr("conv2d.data.importers.actigraph._OLD_SAMPLES_AT_ONCE", 64)
    chunks = list(Gt3xFile(path).chunks())
    assert len(chunks) == 16
    np.testing.assert_allclose(np.concatenate([c.samples for c in chunks]), truth / 341 * GRAVITY, rtol=1e-6)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_info_in_any_encoding(makers, tmp_path, encoding):
    info = makers.gt3x_info(Subject_Name="Jürgen").encode(encoding)
    assert Gt3xFile(makers.gt3x(tmp_path / "a.gt3x", makers.gt3x_log([0]), info=info)).rate_hz == 30


def test_memory_does_not_grow_with_the_file(makers, tmp_path):
    """Four hours at 100 Hz are 1.4 million samples, 9 MB of records and 17 MB as they are written."""
    payload = np.zeros((100, 3), "<i2").tobytes()
    base = second_of(makers, makers.NOON)
    peaks = []
    for n in (3_000, 14_400):
        log = b"".join(makers.gt3x_record(26, base + k, payload) for k in range(n))
        path = makers.gt3x(tmp_path / f"a{n}.gt3x", log, info=makers.gt3x_info(Sample_Rate=100))
        reader = Gt3xFile(path)
        tracemalloc.start()
        assert sum(len(c.time_s) for c in reader.chunks()) == 100 * n
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 20e6


def broken(makers):
    log, good = makers.gt3x_log(range(3)), makers.gt3x_info()
    return {
        "no log": ({"log": None}, "neither log.bin nor activity.bin"),
        "no info": ({"log": log, "info": b"", "x": 1}, "Sample Rate ''"),
        "no rate": ({"log": log, "info": makers.gt3x_info(Sample_Rate=None)}, "Sample Rate ''"),
        "rate 0": ({"log": log, "info": makers.gt3x_info(Sample_Rate="0")}, "Sample Rate '0', expected"),
        "rate text": ({"log": log, "info": makers.gt3x_info(Sample_Rate="fast")}, "Sample Rate 'fast'"),
        "rate nan": ({"log": log, "info": makers.gt3x_info(Sample_Rate="nan")}, "Sample Rate 'nan'"),
        "scale 0": ({"log": log, "info": makers.gt3x_info(Acceleration_Scale="0")}, "Acceleration Scale '0'"),
        "scale nowhere": (
            {"log": log, "info": makers.gt3x_info(Serial_Number="XYZ", Acceleration_Scale=None)},
            "how many counts are one g",
        ),
        "scale of the log": ({"log": parameters(makers, 0.25) + log}, "0.25 counts for one g"),
        "no activity": ({"log": makers.gt3x_record(2, 5, b"\0\1")}, "holds no sample"),
        "empty log": ({"log": b""}, "holds no sample"),
        "only plugged in": ({"log": makers.gt3x_record(26, 5, b"\1")}, "holds no sample"),
        "text": ({"log": b"time,x,y,z\n" * 500}, "holds no sample"),
        "checksums": ({"log": bytes(b ^ (i % 189 == 60) for i, b in enumerate(log))}, "holds no sample"),
        "not calibrated": ({"log": log, "calibration_json": '{"isCalibrated": false}'}, "are not calibrated"),
        "calibration": ({"log": log, "calibration_json": "{isCalib"}, "no whole .gt3x archive"),
        "clock": ({"log": b"".join(makers.gt3x_log([-60 * k]) for k in range(110))}, "goes back more than 100 times"),
        "old start": (
            {"log": None, "activity_bin": b"\0" * 90, "info": makers.gt3x_info(Start_Date="soon")}, "Start Date 'soon'",
        ),
        "old start far": (
            {"log": None, "activity_bin": b"\0" * 90, "info": makers.gt3x_info(Start_Date="9" * 19)}, "ticks of 100 ns",
        ),
        "old and empty": ({"log": None, "activity_bin": b"", "info": good}, "holds no sample"),
    }  # fmt: skip


def test_broken_archives_have_their_sentence(makers, tmp_path, told):
    for name, (members, sentence) in broken(makers).items():
        members = dict(members)
        members.pop("x", None)
        path = makers.gt3x(tmp_path / "x.gt3x", members.pop("log"), **members)
        text = told(import_gt3x, path, error=DataError)
        assert text.startswith("E-DATA-018: "), name
        assert sentence in text, (name, text)
        assert "x.gt3x" in text


def test_archives_that_are_none(makers, tmp_path, told):
    whole = makers.gt3x(tmp_path / "good.gt3x", makers.gt3x_log(range(200))).read_bytes()
    path = tmp_path / "x.gt3x"
    for content in (b"", b"PK\3\4", whole[: len(whole) // 2], b"\0" * 300, b"time,x,y,z\n"):
        path.write_bytes(content)
        assert "is no whole .gt3x archive" in told(import_gt3x, path)
    damaged = bytearray(whole)
    damaged[60:90] = bytes(30)
    path.write_bytes(damaged)
    assert "cannot be unpacked to its end" in told(import_gt3x, path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("log.bin", makers.gt3x_log([0]))
    assert "has no info.txt" in told(import_gt3x, path)


def test_files_of_two_rates_do_not_go_together(makers, tmp_path, told):
    makers.gt3x(tmp_path / "a.gt3x", makers.gt3x_log(range(3)))
    makers.gt3x(tmp_path / "b.gt3x", makers.gt3x_log(range(3), rate=60), info=makers.gt3x_info(Sample_Rate=60))
    assert "E-DATA-007: b.gt3x was recorded at 60 Hz, a.gt3x at 30 Hz" in told(import_gt3x, tmp_path)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=15),
    st.integers(0, 2000),
    st.booleans(),
)
def test_garbage_is_told_or_read(makers, tmp_path_factory, changes, length, in_archive):
    """Any bytes of the records or of the archive changed, and cut off anywhere."""
    folder = tmp_path_factory.mktemp("garbage")
    content = bytearray(makers.gt3x_log(range(10), first=parameters(makers, 256.0)))
    if in_archive:
        content = bytearray(makers.gt3x(folder / "x.gt3x", bytes(content)).read_bytes())
    for at, byte in changes:
        content[at % len(content)] = byte
    content = bytes(content[: length or len(content)])
    path = folder / "x.gt3x"
    if in_archive:
        path.write_bytes(content)
    else:
        makers.gt3x(path, content)
    try:
        import_gt3x(path, folder / "out")
    except DataError:
        assert not (folder / "out").exists()
    else:
        for recording in load(folder / "out")[1]:
            assert (np.diff(recording.time_s) > 0).all()


def test_daylight_saving_changes_nothing(makers, tmp_path):
    """The clock of the monitor runs on over the night in which summer time ends."""
    begin = makers.NOON.replace(month=10, day=27, hour=2, minute=59, second=55)
    path = makers.gt3x(tmp_path / "a.gt3x", makers.gt3x_log(range(10), begin=begin))
    import_gt3x(path, tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    assert recording.duration_s == pytest.approx(10)
    assert recording.meta["start"] == (begin + timedelta()).isoformat() + ".000"
