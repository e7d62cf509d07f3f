"""What looks unusual and is no fault: it is imported, and every value arrives."""

import bz2
import gzip

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers.csv_parquet import import_tables
from conv2d.data.rate import rate_of_steps

from .good_table import MAPPING, N, good_rows, mapping_with, text_of

GOOD = text_of(good_rows())


def check_good(out):
    data = Dataset.open(out)
    rows = good_rows()
    for run, part in (("1", rows[:60]), ("2", rows[60:])):
        recording = data.load(f"rex_{run}")
        np.testing.assert_allclose(recording.samples[0, 0], [float(r["ax"]) for r in part], rtol=1e-6)
        np.testing.assert_allclose(recording.samples[1, 0], [float(r["ay"]) for r in part], rtol=1e-6)
        labels = [recording.classes[i] if i >= 0 else "none" for i in recording.labels]
        assert labels == [r["what"] for r in part]


BYTES = {
    "byte order mark": ("move.csv", b"\xef\xbb\xbf" + GOOD.encode(), {}),
    "carriage returns and line feeds": ("move.csv", GOOD.replace("\n", "\r\n").encode(), {}),
    "carriage returns": ("move.csv", GOOD.replace("\n", "\r").encode(), {}),
    "no line break at the end": ("move.csv", GOOD.rstrip("\n").encode(), {}),
    "blank lines": ("move.csv", ("\n\n" + GOOD.replace("\n", "\n\n\r\n")).encode(), {}),
    "blanks around numbers": ("move.csv", GOOD.replace(",9.", ",  9.").encode(), {}),
    "quotes around everything": (
        "move.csv",
        "\n".join(",".join(f'"{v}"' for v in line.split(",")) for line in GOOD.splitlines()).encode(),
        {},
    ),
    "signs in front": ("move.csv", GOOD.replace(",9.", ",+9.").encode(), {}),
    "utf-16": ("move.csv", GOOD.encode("utf-16"), {"encoding": "utf-16"}),
    "utf-16 big endian": ("move.csv", GOOD.encode("utf-16-be"), {"encoding": "utf-16-be"}),
    "utf-32": ("move.csv", GOOD.encode("utf-32"), {"encoding": "utf-32"}),
    "gzip": ("move.csv.gz", gzip.compress(GOOD.encode()), {}),
    "gzip of two members": ("move.csv.gz", gzip.compress(GOOD[:999].encode()) + gzip.compress(GOOD[999:].encode()),
                            {}),
    "gzip that its name does not tell": ("move.csv", gzip.compress(GOOD.encode()), {}),
    "bzip2": ("move.csv.bz2", bz2.compress(GOOD.encode()), {}),
    "zstandard": ("move.csv.zst", pa.compress(GOOD.encode(), "zstd", asbytes=True), {}),
    "lines before the header": ("move.csv", ('Logger "7\n\n' + GOOD).encode(), {"skip_rows": 2}),
    "columns that nobody asks for": (
        "move.csv",
        GOOD.replace("\n", ',"a, b\xff""\n').replace('what,"a, b\xff""', "what,more").replace('b\xff""',
        'b\xff"""').encode("latin-1"),
        {"encoding": "latin-1"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BYTES)
def test_a_file_of_another_form_is_read(tmp_path, name):
    file, content, changes = BYTES[name]
    (tmp_path / file).write_bytes(content)
    import_tables(tmp_path / file, tmp_path / "out", mapping_with(**changes), kind="csv")
    check_good(tmp_path / "out")


def test_names_beyond_ascii(tmp_path):
    rows = [{**r, "dog": "Bärli/7 ⚑", "what": "läuft, schnell"} for r in good_rows()]
    text = text_of([{**r, "what": f'"{r["what"]}"'} for r in rows]).replace("ax", "Beschleunigung [m/s²]", 1)
    (tmp_path / "Kühe ⚑.csv").write_text(text, encoding="utf-8")
    mapping = mapping_with(channels={"rücken/acc_x": "Beschleunigung [m/s²]"})
    import_tables(tmp_path / "Kühe ⚑.csv", tmp_path / "Ausgabe ü", mapping, kind="csv")
    data = Dataset.open(tmp_path / "Ausgabe ü")
    assert data.subjects == ("Bärli/7 ⚑",)
    assert data.meta.classes == ("läuft, schnell",)
    assert [r.recording for r in data.table] == ["Bärli-7-_1", "Bärli-7-_2"]
    assert data.load("Bärli-7-_1").n_samples == 60


def timed(tmp_path, times, name="t", **changes):
    lines = ["t,ax", *(f"{t},1" for t in times)]
    (tmp_path / f"{name}.csv").write_text("\n".join(lines) + "\n")
    mapping = {
        "name": "x", "channels": {"a/x": "ax"}, "subject": {"constant": "rex"}, "time": {"column": "t", "unit": "s"},
    }  # fmt: skip
    result = import_tables(tmp_path / f"{name}.csv", tmp_path / f"{name}.out", mapping | changes, kind="csv")
    recording = Dataset.open(tmp_path / f"{name}.out").load(name)
    np.testing.assert_allclose(recording.time_s, np.asarray(times, float) - times[0], atol=1e-9)
    return result


@pytest.mark.parametrize("rate", [12.5, 25, 32, 50, 60, 64, 100, 128, 200, 256, 400])
def test_times_in_whole_milliseconds_give_the_true_rate(tmp_path, rate):
    """The median step of 64 Hz in whole milliseconds is 16 ms, which is 62.5 Hz."""
    times = np.round(np.arange(6000) / rate, 3)
    assert timed(tmp_path, times.tolist()).rate_hz == rate
    timed(tmp_path, times.tolist(), "given", rate_hz=rate)


def test_gaps_losses_and_jitter_are_no_second_rate(tmp_path):
    rng = np.random.default_rng(0)
    even = np.arange(20_000) / 50
    assert timed(tmp_path, (even + 500 * (even > 99)).tolist(), "gap").rate_hz == 50
    assert timed(tmp_path, even[rng.random(20_000) > 0.3].tolist(), "loss").rate_hz == 50
    thin = (even > 100) & (even < 140) & (np.arange(20_000) % 3 > 0)  # a tenth of the time at a third of the rate
    assert timed(tmp_path, even[~thin].tolist(), "thin").rate_hz == 50
    assert timed(tmp_path, np.sort(even + rng.uniform(-0.009, 0.009, 20_000)).tolist(), "jitter").rate_hz == 50


@settings(max_examples=200)
@given(st.floats(0.5, 1000), st.integers(2, 3000), st.floats(0, 0.2), st.integers(0, 2**32 - 1))
def test_the_rate_of_steps_is_that_of_the_clock(rate, n, lost, seed):
    """Rows may be lost and a gap may be there: the rate is that of the clock, as long as most rows are."""
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(n + 1) >= lost)
    times = kept / rate + 1000.0 * (kept > n // 2)
    steps = np.diff(times)
    if np.sum(np.abs(steps * rate - 1) < 1e-6) <= len(steps) / 2 or not len(steps):
        return
    assert rate_of_steps(steps) == pytest.approx(rate, rel=1e-6)


def test_rows_of_recordings_may_alternate_and_go_on_in_the_next_file(tmp_path):
    rows = good_rows()
    mixed = [row for pair in zip(rows[:60], rows[60:], strict=True) for row in pair]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text(text_of(mixed[:50]))
    (tmp_path / "in" / "b.csv").write_text(text_of(mixed[50:]))
    assert import_tables(tmp_path / "in", tmp_path / "out", MAPPING, kind="csv").n_rows == N
    check_good(tmp_path / "out")
