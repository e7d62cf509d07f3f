"""GENEActiv files: samples by the calibration, times, faults each with its sentence, garbage."""

import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers.geneactiv import GeneactivFile, import_geneactiv
from conv2d.data.units import GRAVITY
from conv2d.errors import DataError

pytest.importorskip("actfast", reason="the extra devices is not installed")


def load(out):
    data = Dataset.open(out)
    return data, [data.load(row.recording) for row in data.table]


def write(tmp_path, content, name="rex.bin"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_a_file_becomes_a_recording(makers, tmp_path):
    path = write(tmp_path, makers.geneactiv_header() + makers.geneactiv_page(0, 0.5, xyz=(256, -2048, 128), light=300))
    result = import_geneactiv(path, tmp_path / "out")
    data, (recording,) = load(tmp_path / "out")
    assert (result.n_rows, result.rate_hz, result.notes) == (300, 50.0, ())
    assert (data.meta.sensors, data.meta.units) == (("left-wrist",), {"acc": "m/s^2"})
    assert recording.meta["start"] == "2024-05-01T12:00:00.500"  # not the header's 2010-09-16
    assert {k: recording.meta[k] for k in ("device", "serial", "zone", "clock_drift_s")} == {
        "device": "GENEActiv", "serial": "000001", "zone": "GMT +02:00", "clock_drift_s": "-1.459",
    }  # fmt: skip
    # g = (100 raw - offset) / gain
    expected = np.array([25600 / 25600, (-204800 - 100) / 25600, 12800 / 12800]) * GRAVITY
    np.testing.assert_allclose(recording.samples[:, 0], np.tile(expected[:, None], 300), rtol=1e-6)
    np.testing.assert_allclose(recording.quality["light_lux"], 300 * 800 / 300)
    np.testing.assert_allclose(recording.quality["temperature_c"], 28.2, rtol=1e-6)
    np.testing.assert_allclose(recording.time_s, np.arange(300) / 50, atol=1e-6)


def test_every_number_of_twelve_bits(makers, tmp_path):
    values = np.random.default_rng(3).integers(-2048, 2048, (300, 3))
    digits = "".join(format((x & 4095) << 36 | (y & 4095) << 24 | (z & 4095) << 12, "012x") for x, y, z in values)
    header = makers.geneactiv_header(y_offset="0", z_gain="25600")
    path = write(tmp_path, header + makers.geneactiv_page(0, 0, digits=digits))
    chunk = next(GeneactivFile(path).chunks())
    np.testing.assert_allclose(chunk.samples, values / 256 * GRAVITY, rtol=1e-6)


def test_a_rate_that_is_no_whole_number(makers, tmp_path):
    """85.7 Hz are 300 samples in 3.5 s, 85.714: steps of 1/85.7 from each page would overlap."""
    pages = b"".join(makers.geneactiv_page(k, 3.5 * k, frequency="85.7") for k in range(40))
    path = write(tmp_path, makers.geneactiv_header(Measurement_Frequency="85,7 Hz") + pages)
    result = import_geneactiv(path, tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    assert result.rate_hz == 85.7
    np.testing.assert_allclose(recording.time_s, np.arange(12_000) * 3.5 / 300, atol=1e-6)


def test_a_late_page_leaves_a_gap_and_an_early_one_none(makers, tmp_path):
    late = b"".join(makers.geneactiv_page(k, t) for k, t in enumerate((0.0, 7.0, 13.0)))
    result = import_geneactiv(write(tmp_path, makers.geneactiv_header() + late), tmp_path / "late")
    recording = load(tmp_path / "late")[1][0]
    np.testing.assert_allclose(recording.time_s[[0, 299, 300, 899]], [0, 5.98, 7, 18.98], atol=1e-6)
    assert any("gaps: 1, 1.0 s in all" in note for note in result.notes)
    times = [6.0 * k - 0.5 * (k > 10) for k in range(20)]  # a stamp of whole half seconds that steps back once
    early = b"".join(makers.geneactiv_page(k, t) for k, t in enumerate(times))
    result = import_geneactiv(write(tmp_path, makers.geneactiv_header() + early), tmp_path / "early")
    recording = load(tmp_path / "early")[1][0]
    assert result.n_recordings == 1
    assert np.abs(recording.time_s[::300] - times).max() <= 0.5
    assert np.abs(np.diff(recording.time_s) * 50 - 1).max() < 0.05


@pytest.mark.parametrize("off", [20e-6, -20e-6, 50e-6, -50e-6, 0.0])
def test_a_sampler_that_drifts_leaves_no_gap(makers, tmp_path, off):
    """A day at 25 Hz without a gap, its stamps cut to half seconds: the drift moves them by a tick now and then."""
    times = np.floor(2 * (0.3 + 12 * np.arange(7200) * (1 + off))) / 2
    page = makers.geneactiv_page(0, 0, frequency="25.0")
    pages = [page.replace(b"12:00:00:000", _clock(t)).replace(b"05-01", _day(t)) for t in times]
    path = write(tmp_path, makers.geneactiv_header(Measurement_Frequency="25 Hz") + b"".join(pages))
    result = import_geneactiv(path, tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    assert (result.n_recordings, result.notes) == (1, ())
    assert np.abs(np.diff(recording.time_s) * 25 - 1).max() < 1e-3
    true = 12 * (1 + off) * np.arange(recording.n_samples) / 300
    assert np.abs(recording.time_s - true - np.median(recording.time_s - true)).max() < 0.5


def _clock(seconds):
    minutes = int(43200 + seconds) // 60 % 1440
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{int(seconds) % 60:02d}:{int(seconds % 1 * 1000):03d}".encode()


def _day(seconds):
    return b"05-02" if seconds >= 43200 else b"05-01"


def test_a_page_time_of_its_own_is_no_gap_and_no_clock_set_back(makers, tmp_path):
    """Pages have no checksum: one wrong digit in a time."""
    for at, wrong in ((4, 60.0), (4, -3600.0), (1, 11.0), (18, 26.0)):
        times = 6.0 * np.arange(20)
        times[at] = wrong
        pages = b"".join(makers.geneactiv_page(k, t) for k, t in enumerate(times))
        path = write(tmp_path, makers.geneactiv_header() + pages, f"page{at}at{wrong:g}.bin")
        result = import_geneactiv(path, tmp_path / path.stem)
        np.testing.assert_allclose(load(tmp_path / path.stem)[1][0].time_s, np.arange(6000) / 50, atol=1e-6)
        assert result.notes == (f"{path.name}: page times that the pages around them contradict, put between those: 1",)


def test_a_clock_set_back_begins_a_recording(makers, tmp_path):
    pages = b"".join(makers.geneactiv_page(k, t) for k, t in enumerate((0, 6, -5000, -4994, -4988)))
    result = import_geneactiv(write(tmp_path, makers.geneactiv_header() + pages), tmp_path / "out")
    assert [(r.name, r.n_samples) for r in load(tmp_path / "out")[1]] == [("rex", 600), ("rex_2", 900)]
    assert any("goes back" in note for note in result.notes)


def test_damaged_pages_are_left_out_and_counted(makers, tmp_path):
    page = makers.geneactiv_page
    good = [page(k, 6.0 * k) for k in range(6)]
    cut_within = page(6, 36, n=299)
    not_hex = page(7, 42, digits="00" * 1799 + "xy")
    no_time = page(8, 48, time="yesterday")
    no_day = page(8, 48, time="2024-02-30 12:00:00:000")
    headless = page(9, 54).replace(b"Recorded Data\r\n", b"")
    torn = page(10, 60)[:90]
    content = makers.geneactiv_header() + b"".join(
        [*good[:3], cut_within, not_hex, no_time, no_day, torn, *good[3:], headless, torn]
    )
    result = import_geneactiv(write(tmp_path, content), tmp_path / "out")
    recording = load(tmp_path / "out")[1][0]
    assert recording.n_samples == 1800
    np.testing.assert_allclose(recording.time_s, np.arange(1800) / 50, atol=1e-6)
    assert any("5 of 11 pages are cut or garbled" in note for note in result.notes)


def test_a_shorter_last_page_is_kept_and_a_shorter_first_one_is_not(makers, tmp_path):
    page = makers.geneactiv_page
    pages = page(0, 0, n=7) + b"".join(page(k, 6.0 * k) for k in (1, 2, 3)) + page(4, 24, n=20)
    path = write(tmp_path, makers.geneactiv_header() + pages)
    chunks = list(GeneactivFile(path).chunks())
    assert sum(len(c.time_s) for c in chunks) == 920


def test_line_ends_within_a_field_stay_out_of_the_table(makers, tmp_path):
    path = write(
        tmp_path, makers.geneactiv(Device_Unique_Serial_Code="00\r0\x850\x001", Device_Location_Code="left\rleg")
    )
    import_geneactiv(path, tmp_path / "out")
    data, (recording,) = load(tmp_path / "out")
    assert (recording.meta["serial"], recording.meta["location"]) == ("00 0 0 1", "left leg")
    assert data.meta.sensors == ("left-leg",)


def test_the_header_does_not_set_how_much_memory_is_taken(makers, tmp_path):
    """Of a header that announces 10^15 pages the reader below would reserve the memory, and end the process."""
    path = write(tmp_path, makers.geneactiv(3, Number_of_Pages=str(10**15)))
    assert import_geneactiv(path, tmp_path / "out").n_rows == 900


def test_decoding_in_parts_is_the_same(makers, tmp_path, monkeypatch):
    path = write(tmp_path, makers.geneactiv(7))
    whole = list(GeneactivFile(path).chunks())
    monkeypatch.setattr("conv2d.data.importers.geneactiv._PAGES_AT_ONCE", 2)
    parts = list(GeneactivFile(path).chunks())
    assert len(parts) == 4
    for field in ("time_s", "samples"):
        np.testing.assert_array_equal(
            np.concatenate([getattr(c, field) for c in parts]), np.concatenate([getattr(c, field) for c in whole])
        )


def broken(makers):
    header, page = makers.geneactiv_header, makers.geneactiv_page
    return {
        "empty": (b"", "does not begin with 'Device Identity'"),
        "other .bin": (bytes(range(256)) * 40, "other makers end in .bin too"),
        "text": (b"time,x,y,z\n1,2,3,4\n", "does not begin with 'Device Identity'"),
        "header only": (header(), "no line 'Recorded Data'"),
        "header cut": (header()[:300], "no line 'Recorded Data'"),
        "endless line": (b"Device Identity" + b"x" * 300_000, "no line 'Recorded Data'"),
        "endless header": (b"Device Identity\r\n" * 2000, "no line 'Recorded Data'"),
        "no gain": (header(x_gain=None) + page(0, 0), "'x gain' ''"),
        "gain 0": (header(y_gain="0") + page(0, 0), "'y gain' '0'"),
        "gain text": (header(z_gain="much") + page(0, 0), "'z gain' 'much'"),
        "gain of commas": (header(z_gain="25,6") + page(0, 0), "'z gain' '25,6'"),
        "no frequency": (header(Measurement_Frequency="") + page(0, 0), "Measurement Frequency ''"),
        "frequency 0": (header(Measurement_Frequency="0 Hz") + page(0, 0), "Measurement Frequency '0 Hz'"),
        "two frequencies": (header() + page(0, 0) + page(1, 6, frequency="100.0"), "from 50 to 100 Hz in page 1"),
        "no whole page": (header() + page(0, 0)[:500], "no whole page"),
        "pages without time": (header() + page(0, 0, time="") * 3, "no whole page"),
        "pages of another clock": (header() + b"".join(page(k, -60 * k) for k in range(110)), "more than 100 times"),
        "the page's words only": (header() + b"Recorded Data\r\n" * 50, "no whole page"),
    }


def test_broken_files_have_their_sentence(makers, tmp_path, told):
    for name, (content, sentence) in broken(makers).items():
        text = told(import_geneactiv, write(tmp_path, content, "x.bin"), error=DataError)
        assert text.startswith("E-DATA-018: "), name
        assert sentence in text, (name, text)
        assert "x.bin" in text


def test_without_the_extra_one_sentence_says_what_to_install(makers, tmp_path, told, monkeypatch):
    monkeypatch.setitem(sys.modules, "actfast", None)
    assert "pip install 'conv2d[devices]'" in told(import_geneactiv, write(tmp_path, makers.geneactiv()))


def test_clocks_that_agree_on_another_rate_rule(makers, tmp_path, told):
    """Pages of 300 samples each 6.3 s: 47.6 Hz, whatever the header says."""
    folder = tmp_path / "raw"
    folder.mkdir()
    pages = b"".join(makers.geneactiv_page(k, 6.3 * k) for k in range(30))
    write(folder, makers.geneactiv_header() + pages, "a.bin")
    result = import_geneactiv(folder, tmp_path / "out")
    assert (result.rate_hz, result.rate_is_measured) == (47.62, True)
    assert any("the clocks say 47.62 Hz, the headers 50" in note for note in result.notes)
    write(folder, makers.geneactiv(30), "b.bin")
    assert "E-DATA-007: recording" in told(import_geneactiv, folder)


@settings(max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 12_000), st.integers(0, 255)), max_size=15),
    st.integers(0, 12_000),
    st.sampled_from([1, 7, 97]),
)
def test_garbage_is_told_or_read(makers, tmp_path_factory, changes, length, step):
    content = bytearray(makers.geneactiv(3))
    for at, byte in changes:
        content[(at // step) % len(content)] = byte  # the header and the first page are hit more often
    folder = tmp_path_factory.mktemp("garbage")
    path = write(folder, bytes(content[: length or len(content)]))
    try:
        import_geneactiv(path, folder / "out")
    except DataError:
        assert not (folder / "out").exists()
    else:
        for recording in load(folder / "out")[1]:
            assert (np.diff(recording.time_s) > 0).all()
