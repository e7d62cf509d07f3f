"""Axivity files: samples, times against the truth, faults each with its sentence, garbage."""

import sys
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers.axivity import CwaFile, import_cwa
from conv2d.data.importers.block_clock import fit_blocks
from conv2d.data.units import GRAVITY
from conv2d.errors import ConfigError, DataError

pytest.importorskip("actfast", reason="the extra devices is not installed")


def load(out):
    data = Dataset.open(out)
    return data, [data.load(row.recording) for row in data.table]


def write(tmp_path, content, name="CWA-DATA.CWA"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def times_of(path):
    return np.concatenate([c.time_s for c in CwaFile(path).chunks()])


def test_an_ax3_file_becomes_a_recording(makers, tmp_path):
    rng = np.random.default_rng(1)
    truth = rng.integers(-300, 300, (240, 3)) * 2  # an exponent of 1 drops the last bit
    blocks = [makers.cwa_block(truth[i : i + 120], i / 100, sequence=i) for i in (0, 120)]
    path = write(tmp_path, makers.cwa_header(note=b"_p=right+wrist&_sc=26") + b"".join(blocks))
    seen = []
    result = import_cwa(path, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    data, (recording,) = load(tmp_path / "out")
    assert (result.n_files, result.n_rows, result.rate_hz, seen) == (1, 240, 100.0, [(0, 3), (3, 3), (3, 3)])
    assert data.meta.sensors == ("right-wrist",)
    assert dict(data.meta.units) == {"acc": "m/s^2"}
    assert recording.subject == "CWA-DATA"
    assert recording.meta["start"] == "2024-05-01T12:00:00.000"
    assert (recording.meta["device"], recording.meta["serial"]) == ("AX3", "17")
    shift = 1 if np.abs(truth).max() < 1024 else 2
    expected = ((truth >> shift) << shift) / 256 * GRAVITY
    np.testing.assert_allclose(recording.samples[:, 0].T, expected, rtol=1e-6)
    np.testing.assert_allclose(recording.time_s, np.arange(240) / 100, atol=1e-4)
    assert (recording.labels == -1).all()
    np.testing.assert_allclose(recording.quality["temperature_c"], 261 * 75 / 256 - 50, rtol=1e-6)


def test_an_ax6_file_has_a_gyroscope_in_radians(makers, tmp_path):
    path = write(tmp_path, makers.cwa(5, ax6=True, device=11))
    import_cwa(path, tmp_path / "out")
    data, (recording,) = load(tmp_path / "out")
    assert recording.channels == ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z")
    assert data.meta.units["gyr"] == "rad/s"
    dps = 164 * 2000 / 32768
    np.testing.assert_allclose(recording.samples[:, 0, 0], [0, 0, GRAVITY, *np.deg2rad([dps, 0, -dps])], rtol=1e-6)


@pytest.mark.parametrize(("code", "dps"), [(0, 2000), (1, 4000), (5, 250)])
def test_the_range_of_each_block_counts(makers, tmp_path, code, dps):
    """Blocks of one file may differ in scale, of which actfast takes the first for all."""
    one = [[16384, 0, 0, 0, 0, 2048]] * 40
    first = makers.cwa_block(one, 0.0)
    other = makers.cwa_block(one, 0.4, scale=(2 << 13) | (code << 10))
    import_cwa(write(tmp_path, makers.cwa_header(ax6=True) + first + other), tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    np.testing.assert_allclose(recording.samples[3, 0, [0, 40]], np.deg2rad([1000, dps / 2]), rtol=1e-6)
    np.testing.assert_allclose(recording.samples[2, 0, [0, 40]], [GRAVITY, 2 * GRAVITY], rtol=1e-6)


@pytest.mark.parametrize("true_hz", [97.3, 98.9, 100.0, 101.6])
def test_times_follow_the_true_rate_not_the_nominal_one(makers, tmp_path, true_hz):
    """Stamps are a millisecond early or late; nominal steps from each of them would be 17 ms off within a block."""
    path = write(tmp_path, makers.cwa(300, true_hz=true_hz, jitter_s=1e-3))
    times = times_of(path) - (makers.NOON - makers.EPOCH).total_seconds()
    assert np.abs(times - np.arange(len(times)) / true_hz).max() < 1.2e-3
    assert np.abs(np.diff(times) * true_hz - 1).max() < 2e-3


def test_times_follow_a_rate_that_wanders(makers, tmp_path):
    """One per cent up and down over ten minutes: a straight line would be seconds off."""
    n = np.arange(60_000)
    true = np.cumsum(1 / (99 * (1 + 0.01 * np.sin(2 * np.pi * n / 60_000))))
    per = 120
    still = np.tile((0, 0, 256), (per, 1))
    blocks = [makers.cwa_block(still, true[min(i + per, len(n) - 1)], at=min(per, len(n) - 1 - i)) for i in n[::per]]
    times = times_of(write(tmp_path, makers.cwa_header() + b"".join(blocks)))
    times -= (makers.NOON - makers.EPOCH).total_seconds()
    assert np.abs(times - true).max() < 2e-3


def test_lost_blocks_stay_a_gap(makers, tmp_path):
    content = makers.cwa(40, true_hz=98.9, jitter_s=1e-3)
    cut = content[: 1024 + 10 * 512] + content[1024 + 13 * 512 :]
    damaged = bytearray(cut)
    damaged[1024 + 20 * 512 + 100] ^= 1
    result = import_cwa(write(tmp_path, bytes(damaged)), tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    kept = np.r_[0:1200, 1560:2760, 2880:4800]
    np.testing.assert_allclose(recording.time_s, kept / 98.9, atol=3e-3)
    assert any("1 of 37 blocks" in note for note in result.notes)
    assert any("gaps: 2, 4.9 s" in note for note in result.notes)
    assert list(Dataset.open(tmp_path / "out").meta.notes) == list(result.notes)


def test_a_clock_set_back_begins_a_recording(makers, tmp_path):
    still = np.tile((0, 0, 256), (120, 1))
    first = [makers.cwa_block(still, 1.2 * k) for k in range(10)]
    then = [makers.cwa_block(still, 1.2 * k, start=datetime(2000, 1, 1)) for k in range(5)]
    result = import_cwa(write(tmp_path, makers.cwa_header() + b"".join(first + then), "a.cwa"), tmp_path / "out")
    _, recordings = load(tmp_path / "out")
    assert [(r.name, r.subject, r.n_samples) for r in recordings] == [("a", "a", 1200), ("a_2", "a", 600)]
    assert recordings[1].meta["start"].startswith("2000-01-01T00:00:00")
    assert any("goes back" in note and "a_2" in note for note in result.notes)


def test_blocks_without_a_date_are_left_out(makers, tmp_path):
    still = np.tile((0, 0, 256), (120, 1))
    blocks = [makers.cwa_block(still, 1.2 * k, stamp=0 if k == 3 else None) for k in range(10)]
    blocks.append(b"\xff" * 512)
    content = makers.cwa_header() + b"".join(blocks) + b"AX" + bytes(50)
    result = import_cwa(write(tmp_path, content), tmp_path / "out")
    assert result.n_rows == 9 * 120
    assert any("2 of 11 blocks" in note for note in result.notes)
    assert any("ends within a block" in note and "52 bytes" in note for note in result.notes)


def test_a_folder_of_files(makers, tmp_path):
    folder = tmp_path / "raw"
    folder.mkdir()
    for name, place in (("dog1.cwa", b"_p=left+wrist"), ("dog2.CWA", b"_p=neck")):
        write(folder, makers.cwa(3, note=place), name)
    (folder / "notes.txt").write_text("nothing")
    mapping = {"name": "walks", "subject": {"from_filename": r"dog(\d)"}, "licence": "CC0", "notes": ["by hand"]}
    result = import_cwa(folder, tmp_path / "out", mapping)
    data, recordings = load(tmp_path / "out")
    assert [(r.name, r.subject, r.meta["location"]) for r in recordings] == [
        ("dog1", "1", "left wrist"), ("dog2", "2", "neck"),
    ]  # fmt: skip
    assert (data.meta.name, data.meta.sensors, data.meta.licence) == ("walks", ("axivity",), "CC0")
    assert data.meta.notes[0] == "by hand"
    assert any("left wrist, neck" in note for note in result.notes)


def test_two_passes_in_parts_are_one(makers, tmp_path, monkeypatch):
    """Decoding a few blocks at a time changes nothing."""
    path = write(tmp_path, makers.cwa(23, ax6=True, true_hz=99.0, jitter_s=1e-3, seed=4))
    whole = list(CwaFile(path).chunks())
    monkeypatch.setattr("conv2d.data.importers.axivity._BLOCKS_AT_ONCE", 4)
    parts = list(CwaFile(path).chunks())
    assert len(parts) == 6
    for field in ("time_s", "samples"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(c, field) for c in parts]), np.concatenate([getattr(c, field) for c in whole])
        )


def broken(makers):
    good = makers.cwa(4)
    still = np.tile((0, 0, 256), (120, 1))
    other_rate = makers.cwa_block(still, 4.8, rate_code=0x49)
    odd_layout = bytearray(makers.cwa_block(still, 0.0))
    odd_layout[25] = 0x12
    wrong_sum = bytearray(good)
    wrong_sum[1024 + 40 :: 512] = bytes(b ^ 1 for b in wrong_sum[1024 + 40 :: 512])
    many = makers.cwa_header() + b"".join(makers.cwa_block(still, -60.0 * k) for k in range(110))
    doubled = good + good[1024:]
    return {
        "empty": (b"", "does not begin with MD"),
        "text": (b"time,x,y,z\n1,2,3,4\n", "does not begin with MD"),
        "compressed": (b"\x1f\x8b\x08" + bytes(600), "unpacked if it was compressed"),
        "header cut": (good[:700], "ends within its header"),
        "header only": (good[:1024], "no block of samples"),
        "first block cut": (good[:1500], "no block of samples"),
        "zeros": (good[:1024] + bytes(4096), "no block of samples"),
        "checksums": (bytes(wrong_sum), "right checksum"),
        "no dates": (makers.cwa_header() + makers.cwa_block(still, 0, stamp=0), "valid time"),
        "two rates": (good + other_rate, "changes its rate, range or sensors in block 4"),
        "layout": (makers.cwa_header() + makers.seal(odd_layout), "stores its samples as 0x12"),
        "clock": (many, "goes back more than 100 times"),
        "old firmware": (makers.cwa_header() + makers.cwa_block(still, 0, rate_code=0), "no block of samples"),
        "too many samples": (makers.cwa_header() + _samples(makers, 121), "no block of samples"),
        "copied twice": (doubled, None),
    }


def _samples(makers, n):
    block = bytearray(makers.cwa_block(np.tile((0, 0, 256), (120, 1)), 0.0))
    block[28:30] = n.to_bytes(2, "little")
    return makers.seal(block)


def test_broken_files_have_their_sentence(makers, tmp_path, told):
    for name, (content, sentence) in broken(makers).items():
        path = write(tmp_path, content, "x.cwa")
        if sentence is None:  # readable after all: the clock was set back
            assert import_cwa(path, tmp_path / "twice").n_recordings == 2
            continue
        text = told(import_cwa, path, error=DataError)
        assert text.startswith("E-DATA-018: "), name
        assert sentence in text, (name, text)
        assert "x.cwa" in text


def test_progress_goes_on_within_a_file(makers, tmp_path, monkeypatch):
    monkeypatch.setattr("conv2d.data.importers.axivity._BLOCKS_AT_ONCE", 4)
    folder = tmp_path / "raw"
    folder.mkdir()
    for name in ("a.cwa", "b.cwa"):
        write(folder, makers.cwa(20), name)
    seen = []
    import_cwa(folder, tmp_path / "out", progress=lambda done, total: seen.append((done, total)))
    done = [d for d, _ in seen]
    assert {t for _, t in seen} == {24}  # kilobytes, begun ones counted
    assert (done[0], done[-1]) == (0, 24)
    assert done == sorted(done)
    assert len(set(done)) > 8


def test_files_that_do_not_go_together(makers, tmp_path, told):
    folder = tmp_path / "raw"
    folder.mkdir()
    write(folder, makers.cwa(3), "a.cwa")
    write(folder, makers.cwa(3, ax6=True), "b.cwa")
    assert "b.cwa has channels acc_x, acc_y, acc_z, gyr_x" in told(import_cwa, folder)
    still = np.tile((0, 0, 256), (120, 1))
    blocks = b"".join(makers.cwa_block(still, 2.4 * k, rate_code=0x49) for k in range(3))
    write(folder, makers.cwa_header() + blocks, "b.cwa")
    assert "E-DATA-007: b.cwa was recorded at 50 Hz, a.cwa at 100 Hz" in told(import_cwa, folder)
    (folder / "sub").mkdir()
    write(folder / "sub", makers.cwa(3), "a.cwa")
    assert "two files come out as recording 'a'" in told(import_cwa, str(folder / "**" / "a.cwa"))


def test_the_mapping_is_checked(makers, tmp_path, told):
    path = write(tmp_path, makers.cwa(3), "a.cwa")
    for mapping, sentence in (
        ({"sensors": "x"}, "unknown key 'sensors'; did you mean sensor?"),
        ({"sensor": "a/b"}, "expected a name without '/'"),
        ({"subject": "rex"}, "expected one of {constant: name}"),
        ({"subject": {"from_filename": "(.*"}}, "not a regular expression"),
        ({"subject": {"from_filename": "a"}}, "0 groups, expected one"),
        ({"title": ["x"]}, "title of the mapping is ['x'], expected text"),
        ({"name": True}, "name of the mapping is True, expected text; put it in quotes"),
        ({"files": "/etc/*"}, "files of the mapping is '/etc/*', expected a pattern of names in the folder"),
        ({"files": ""}, "files of the mapping is '', expected a pattern"),
        ({"files": 1}, "files of the mapping is 1, expected a pattern"),
    ):
        text = told(import_cwa, path, mapping, error=ConfigError)
        assert text.startswith("E-DATA-017: ")
        assert sentence in text
    assert "finds no subject in the file name a.cwa" in told(import_cwa, path, {"subject": {"from_filename": "b(.)"}})
    (tmp_path / "map.yaml").write_text("subject: {constant: rex}\nsensor: collar\n", encoding="utf-8")
    import_cwa(path, tmp_path / "out", tmp_path / "map.yaml")
    data, (recording,) = load(tmp_path / "out")
    assert (recording.subject, data.meta.sensors) == ("rex", ("collar",))


def test_nothing_is_there(tmp_path, told):
    assert "neither a file, a folder nor a pattern" in told(import_cwa, tmp_path / "no.cwa")
    empty = tmp_path / "raw"
    empty.mkdir()
    assert "has no file *.cwa" in told(import_cwa, empty)


def test_without_the_extra_one_sentence_says_what_to_install(makers, tmp_path, told, monkeypatch):
    path = write(tmp_path, makers.cwa(3), "a.cwa")
    monkeypatch.setitem(sys.modules, "actfast", None)
    assert "pip install 'conv2d[devices]'" in told(import_cwa, path)


@pytest.mark.parametrize("trouble", [ValueError("bad"), type("PanicException", (BaseException,), {})("overflow")])
def test_a_reader_that_gives_up_is_one_sentence(makers, tmp_path, told, monkeypatch, trouble):
    import actfast

    def read(path):
        raise trouble

    monkeypatch.setattr(actfast, "read", read)
    text = told(import_cwa, write(tmp_path, makers.cwa(3), "a.cwa"))
    assert text.startswith("E-DATA-018: actfast cannot read")
    assert str(trouble) in text


def test_a_reader_that_loses_samples_is_found_out(makers, tmp_path, told, monkeypatch):
    import actfast

    true_read = actfast.read
    path = write(tmp_path, makers.cwa(3), "a.cwa")

    def short(part):
        content = true_read(part)
        table = content["timeseries"]["high_frequency"]
        return {"timeseries": {"high_frequency": {k: v[:-1] for k, v in table.items()}}}

    monkeypatch.setattr(actfast, "read", short)
    assert "actfast gives 359 samples of blocks 0 to 2" in told(import_cwa, path)
    monkeypatch.setattr(actfast, "read", lambda part: {"timeseries": {"high_frequency": {"acceleration": []}}})
    assert "finds no acceleration" in told(import_cwa, path)


def test_an_interrupt_leaves_nothing(makers, tmp_path):
    path = write(tmp_path, makers.cwa(3), "a.cwa")

    def stop(done, total):
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_cwa(path, tmp_path / "out", progress=stop)
    assert [p.name for p in tmp_path.iterdir()] == ["a.cwa"]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 1024 + 6 * 512 - 1), st.integers(0, 255)), max_size=12), st.integers(0, 4096))
@example([], 0)
def test_garbage_is_told_or_read(makers, tmp_path_factory, changes, length):
    """Any bytes changed, with the checksum put right so that they are looked at, and cut off anywhere."""
    content = bytearray(makers.cwa(6))
    for at, byte in changes:
        content[at] = byte
        if at >= 1024:
            block = slice(1024 + (at - 1024) // 512 * 512, 1024 + (at - 1024) // 512 * 512 + 512)
            content[block] = makers.seal(content[block])
    folder = tmp_path_factory.mktemp("garbage")
    path = write(folder, bytes(content[: length or len(content)]), "x.cwa")
    try:
        import_cwa(path, folder / "out")
    except DataError:
        assert not (folder / "out").exists()
    else:
        for recording in load(folder / "out")[1]:
            assert (np.diff(recording.time_s) > 0).all()


@given(st.data())
@settings(max_examples=40)
def test_a_clock_of_blocks_increases_and_stays_near_its_stamps(data):
    n = np.array(data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=60)), np.int64)
    true_hz = data.draw(st.floats(95, 105))
    jitter = np.array(data.draw(st.lists(st.floats(-0.004, 0.004), min_size=len(n), max_size=len(n))))
    holes = np.array(data.draw(st.lists(st.sampled_from([0, 0, 0, 5.0]), min_size=len(n), max_size=len(n))))
    first = np.cumsum(n) - n
    stamps = first / true_hz + np.cumsum(holes) + jitter
    clock = fit_blocks(n, stamps, np.zeros(len(n), np.int64), 100.0, gap_s=1.0, back_s=1.0)
    assert clock.n_gaps == int((holes[1:] > 0).sum())
    for start in range(len(n)):
        times = clock.times(start, start + 1)
        assert len(times) == n[start]
        assert (np.diff(times) > 0).all()
        assert abs(times[0] - stamps[start]) < 0.06


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["ax3", "ax6"])
def test_a_real_file_against_another_reader(name):
    """Files of scikit-digital-health, which do not come with this package, and its own times and samples of them."""
    import os

    folder = Path(os.environ.get("CONV2D_DEVICE_FILES", "no such folder"))
    if not (folder / f"{name}_sample.cwa").is_file():
        pytest.skip("no real device files; set CONV2D_DEVICE_FILES to their folder")
    chunks = list(CwaFile(folder / f"{name}_sample.cwa").chunks())
    with np.load(folder / f"{name}_data.npz") as truth:
        samples = np.concatenate([c.samples for c in chunks])
        np.testing.assert_allclose(samples[:, :3] / GRAVITY, truth["accel"], atol=1e-6)
        off = np.abs(np.concatenate([c.time_s for c in chunks]) - truth["time"])
        assert off.max() < 1.3 / truth["fs"][0]  # it steps by whole samples at the edges of blocks
        if "gyro" in truth:
            np.testing.assert_allclose(np.rad2deg(samples[:, 3:]), truth["gyro"], atol=1e-3)
