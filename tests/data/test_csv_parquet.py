"""The importer of tables: what comes out is a data set, or a sentence and nothing."""

import gzip
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers import assembly, tables
from conv2d.data.importers.assembly import file_stem
from conv2d.data.importers.csv_parquet import import_tables
from conv2d.data.rate import round_rate
from conv2d.errors import ConfigError, DataError

N = 40
MAPPING = {
    "name": "dogs",
    "title": "Two dogs",
    "units": {"acc": "m/s^2"},
    "notes": ["made for a test"],
    "time": {"column": "t_sec", "unit": "s"},
    "channels": {
        "back/acc_x": {"column": "ABack_x", "scale": 9.81},
        "back/acc_y": "ABack_y",
        "neck/acc_x": {"column": "ANeck_x", "scale": 9.81},
        "neck/acc_y": "ANeck_y",
    },
    "label": {"column": "Behavior", "map": {"Galloping": "running", "Playing": None}, "null": ["<undefined>"]},
    "subject": {"column": "DogID"},
    "recording": {"columns": ["DogID", "TestNum"]},
    "meta": {"test": "TestNum"},
    "quality": {"gap_ms": "gap"},
}


def make_rows(dogs=(1, 2), tests=(1, 2), n=N, rate=50.0, seed=0):
    rng = np.random.default_rng(seed)
    words = ["Galloping", "Walking", "<undefined>", "Playing", ""]
    signals = ("ABack_x", "ABack_y", "ANeck_x", "ANeck_y")
    return [
        {
            "DogID": dog,
            "TestNum": test,
            "t_sec": round(10.0 * test + i / rate, 6),
            **{column: round(float(value), 4) for column, value in zip(signals, rng.normal(size=4), strict=True)},
            "gap": int(rng.integers(0, 50)),
            "Behavior": words[i * len(words) // n],
            "Task": "ignored, with a comma",
        }
        for dog in dogs
        for test in tests
        for i in range(n)
    ]


def write_csv(path, rows, delimiter=",", decimal=".", header=True):
    def text(value):
        value = str(value).replace(".", decimal) if isinstance(value, float) else str(value)
        return f'"{value}"' if delimiter in value else value

    lines = [delimiter.join(rows[0])] if header else []
    lines += [delimiter.join(text(v) for v in row.values()) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def changed(**changes):
    return {k: v for k, v in {**MAPPING, **changes}.items() if v is not ...}


def check_against_rows(out, rows):
    """Every value of the data set is that of its row in the table."""
    data = Dataset.open(out)
    names = {"Galloping": "running", "Walking": "Walking"}
    for row in data.table:
        dog, test = row.recording.split("_")
        expected = [r for r in rows if (str(r["DogID"]), str(r["TestNum"])) == (dog, test)]
        recording = data.load(row.recording)
        assert (row.subject, row.meta["test"], row.n_rows) == (dog, test, len(expected))
        np.testing.assert_allclose(recording.time_s, [r["t_sec"] - expected[0]["t_sec"] for r in expected], atol=1e-9)
        assert float(row.meta["start"]) == pytest.approx(expected[0]["t_sec"])
        for s, sensor in enumerate(("Back", "Neck")):
            np.testing.assert_allclose(recording.samples[0, s], [9.81 * r[f"A{sensor}_x"] for r in expected], rtol=1e-5)
            np.testing.assert_allclose(recording.samples[1, s], [r[f"A{sensor}_y"] for r in expected], rtol=1e-5)
        np.testing.assert_array_equal(recording.quality["gap_ms"], [r["gap"] for r in expected])
        labels = [recording.classes[i] if i >= 0 else None for i in recording.labels]
        assert labels == [names.get(r["Behavior"]) for r in expected]
    return data


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_values_arrive_where_the_mapping_says(tmp_path, kind):
    rows = make_rows()
    source = tmp_path / f"move.{kind}"
    if kind == "csv":
        write_csv(source, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), source)
    result = import_tables(source, tmp_path / "out", MAPPING, kind=kind)
    data = check_against_rows(tmp_path / "out", rows)
    assert (data.meta.name, data.meta.title, data.meta.notes[0]) == ("dogs", "Two dogs", "made for a test")
    assert (data.meta.sensors, data.meta.channels) == (("back", "neck"), ("acc_x", "acc_y"))
    assert (data.meta.classes, data.meta.quality_columns) == (("Walking", "running"), ("gap_ms",))
    assert (data.meta.rate_hz, result.rate_hz, result.rate_is_measured) == (50.0, 50.0, True)
    assert (result.n_files, result.n_recordings, result.n_subjects, result.n_rows) == (1, 4, 2, 4 * N)
    assert result.labels == {"Walking": 32, "running": 32}
    assert result.unlabelled_rows == 96


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False), st.integers(200, 3000), st.integers(1, 40), st.integers(1, 200))
def test_mixed_rows_in_small_pieces_give_the_same(tmp_path_factory, random, block_bytes, flush_rows, pending_rows):
    """Recordings whose rows alternate, read in blocks that end anywhere and written in pieces of any size."""
    tmp_path = tmp_path_factory.mktemp("mixed")
    rows = make_rows(dogs=(1, 2, 3))
    queues = {}
    for row in rows:
        queues.setdefault((row["DogID"], row["TestNum"]), []).append(row)
    mixed = []
    while queues:
        key = random.choice(sorted(queues))
        mixed.append(queues[key].pop(0))
        if not queues[key]:
            del queues[key]
    source = write_csv(tmp_path / "move.csv", mixed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_BLOCK_BYTES", block_bytes)
        patch.setattr(assembly, "_FLUSH_ROWS", flush_rows)
        patch.setattr(assembly, "_PENDING_BYTES", pending_rows * 36)
        import_tables(source, tmp_path / "out", MAPPING, kind="csv")
    check_against_rows(tmp_path / "out", mixed)


def test_a_folder_of_files_each_a_recording(tmp_path):
    for dog in (3, 1):
        write_csv(tmp_path / f"dog{dog}_walk.csv", make_rows((dog,), (1,)))
    (tmp_path / "notes.txt").write_text("not a table")
    mapping = changed(recording="per_file", subject={"from_filename": r"dog(\d+)"}, rate_hz=50)
    result = import_tables(tmp_path, tmp_path / "out", mapping, kind="csv")
    data = Dataset.open(tmp_path / "out")
    assert [(r.recording, r.subject) for r in data.table] == [("dog1_walk", "1"), ("dog3_walk", "3")]
    assert (result.n_files, result.rate_is_measured) == (2, False)


def test_a_pattern_with_compressed_files_and_a_constant_subject(tmp_path):
    (tmp_path / "raw" / "a").mkdir(parents=True)
    plain = write_csv(tmp_path / "rex.csv", make_rows((1,), (1,)))
    with gzip.open(tmp_path / "raw" / "a" / "rex.csv.gz", "wb") as file:
        file.write(plain.read_bytes())
    mapping = changed(recording="per_file", subject={"constant": "rex"})
    import_tables(str(tmp_path / "raw" / "**" / "*.csv.gz"), tmp_path / "out", mapping, kind="csv")
    assert Dataset.open(tmp_path / "out").load("rex").subject == "rex"


def test_a_recording_may_go_on_in_the_next_file(tmp_path):
    rows = make_rows((1,), (1,))
    write_csv(tmp_path / "part1.csv", rows[:15])
    write_csv(tmp_path / "part2.csv", rows[15:])
    import_tables(tmp_path, tmp_path / "out", MAPPING, kind="csv")
    check_against_rows(tmp_path / "out", rows)


def test_semicolons_and_decimal_commas_and_lines_before_the_header(tmp_path):
    rows = make_rows((1,), (1,))
    source = write_csv(tmp_path / "move.csv", rows, delimiter=";", decimal=",")
    source.write_bytes("Gerät: Rücken\nSerie 7\n".encode("latin-1") + source.read_bytes())
    mapping = changed(delimiter=";", decimal=",", skip_rows=2, encoding="latin-1")
    import_tables(source, tmp_path / "out", mapping, kind="csv")
    check_against_rows(tmp_path / "out", rows)


@pytest.mark.parametrize(("unit", "factor"), [("ms", 1e3), ("us", 1e6), ("ns", 1e9)])
def test_units_of_time(tmp_path, unit, factor):
    rows = [{**r, "t_sec": round((1.7e9 + r["t_sec"]) * factor)} for r in make_rows((1,), (1,), rate=100.0)]
    source = write_csv(tmp_path / "move.csv", rows)
    import_tables(source, tmp_path / "out", changed(time={"column": "t_sec", "unit": unit}), kind="csv")
    recording = Dataset.open(tmp_path / "out").load("1_1")
    np.testing.assert_allclose(recording.time_s, np.arange(N) / 100, atol=1e-6)
    assert recording.rate_hz == 100.0
    assert float(recording.meta["start"]) == pytest.approx(1.7e9 + 10, abs=1e-3)


@pytest.mark.parametrize("zone", ["", "Z", "+02:00"])
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_dates_as_time(tmp_path, zone, kind):
    begin = np.datetime64("2024-05-13T14:44:00.250")
    times = begin + np.arange(N) * np.timedelta64(20, "ms")
    rows = [{**r, "t_sec": f"{t}{zone}"} for r, t in zip(make_rows((1,), (1,)), times, strict=True)]
    source = tmp_path / f"move.{kind}"
    if kind == "csv":
        write_csv(source, rows)
    else:
        pq.write_table(pa.Table.from_pylist(rows), source)
    import_tables(source, tmp_path / "out", changed(time={"column": "t_sec", "unit": "iso8601"}), kind=kind)
    recording = Dataset.open(tmp_path / "out").load("1_1")
    np.testing.assert_allclose(recording.time_s, np.arange(N) / 50, atol=1e-9)
    assert recording.meta["start"] == ("2024-05-13T12:44:00.250" if "+" in zone else "2024-05-13T14:44:00.250")


def test_timestamps_of_parquet(tmp_path):
    rows = make_rows((1,), (1,))
    table = pa.Table.from_pylist(rows).drop_columns(["t_sec"])
    times = np.datetime64("2024-05-13T14:44:00", "us") + np.arange(N) * np.timedelta64(20_000, "us")
    pq.write_table(table.append_column("t_sec", pa.array(times)), tmp_path / "move.parquet")
    mapping = changed(time={"column": "t_sec", "unit": "iso8601"})
    import_tables(tmp_path / "move.parquet", tmp_path / "out", mapping, kind="parquet")
    np.testing.assert_allclose(Dataset.open(tmp_path / "out").load("1_1").time_s, np.arange(N) / 50, atol=1e-9)
    with pytest.raises(
        DataError, match=r"column t_sec of .* is of type timestamp\[us\], expected numbers in s; set unit"
    ):
        import_tables(tmp_path / "move.parquet", tmp_path / "out2", MAPPING, kind="parquet")


def test_without_time_the_rate_gives_it(tmp_path):
    source = write_csv(tmp_path / "move.csv", make_rows((1, 2), (1,)))
    import_tables(source, tmp_path / "out", changed(time=..., rate_hz=25), kind="csv")
    for recording in Dataset.open(tmp_path / "out").load_all():
        np.testing.assert_allclose(recording.time_s, np.arange(N) / 25)
        assert "start" not in recording.meta


def test_missing_values_and_channels_become_nan(tmp_path):
    rows = make_rows((1,), (1,))
    rows[3]["ABack_x"], rows[4]["ABack_x"], rows[5]["ABack_x"] = "", "NaN", "-999"
    channels = {"back/acc_x": "ABack_x", "neck/acc_x": None}
    source = write_csv(tmp_path / "move.csv", rows)
    import_tables(source, tmp_path / "out", changed(channels=channels, missing=["-999"]), kind="csv")
    samples = Dataset.open(tmp_path / "out").load("1_1").samples
    assert np.flatnonzero(np.isnan(samples[0, 0])).tolist() == [3, 4, 5]
    assert np.isnan(samples[0, 1]).all()


def test_classes_may_be_given_with_their_order(tmp_path):
    source = write_csv(tmp_path / "move.csv", make_rows())
    result = import_tables(source, tmp_path / "out", changed(classes=["running", "Walking", "Lying"]), kind="csv")
    assert Dataset.open(tmp_path / "out").meta.classes == ("running", "Walking", "Lying")
    assert result.labels == {"running": 32, "Walking": 32, "Lying": 0}


def test_a_mapping_file_and_the_short_forms(tmp_path):
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(changed(label="Behavior", time="t_sec", recording=["DogID"])))
    source = write_csv(tmp_path / "move.csv", make_rows(tests=(1,)))
    with pytest.raises(ConfigError, match=r"recording of mapping .* is \['DogID'\], expected the keys columns"):
        import_tables(source, tmp_path / "out", tmp_path / "map.yaml", kind="csv")
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(changed(label="Behavior", time="t_sec", recording="DogID")))
    import_tables(source, tmp_path / "out", tmp_path / "map.yaml", kind="csv")
    assert Dataset.open(tmp_path / "out").meta.classes == ("<undefined>", "Galloping", "Playing", "Walking")


def edit(row, **values):
    def change(rows):
        rows[row].update(values)
        return rows

    return change


def everywhere(**values):
    return lambda rows: [{**r, **values} for r in rows]


def without(column):
    return lambda rows: [{k: v for k, v in r.items() if k != column} for r in rows]


BROKEN = {
    "column missing": (
        without("ANeck_x"),
        {},
        r"E-DATA-016: .*move.csv has no column 'ANeck_x'; did you mean ANeck_y\?",
    ),
    "column with an unlike name": (without("gap"), {}, "has no column 'gap'; it has DogID, TestNum, t_sec"),
    "number that is none": (
        edit(7, ANeck_y="1,5x"),
        {},
        "column ANeck_y is '1,5x' in line 9 of move.csv, expected a number",
    ),
    "infinite number": (edit(7, ABack_x="inf"), {}, "column ABack_x is inf in line 9 of move.csv, expected a number"),
    "time missing": (edit(11, t_sec=""), {}, "column t_sec is empty in line 13 of move.csv, expected a time"),
    "time not a number": (edit(11, t_sec="nan"), {}, "column t_sec is empty in line 13 of move.csv"),
    "time going back": (
        edit(30, t_sec=10.0),
        {},
        "column t_sec goes from 10.58 to 10 in line 32 of move.csv, expected increasing times within a recording",
    ),
    "time doubled": (edit(30, t_sec=10.58), {}, "column t_sec goes from 10.58 to 10.58 in line 32"),
    "recordings not told apart": (
        lambda rows: rows,
        {"recording": {"columns": ["Task"]}, "subject": {"constant": "rex"}, "meta": ...},
        "column t_sec goes from 20.78 to 10 in line 82 of move.csv",
    ),
    "recording empty": (
        edit(5, TestNum=""),
        {},
        "column TestNum is empty in line 7 of move.csv, expected the recording",
    ),
    "subject empty": (
        edit(5, DogID=""),
        {"recording": "per_file", "meta": ...},
        "column DogID is empty in line 7 of move.csv, expected the subject",
    ),
    "subject changes": (
        lambda rows: rows[:80] + [{**r, "DogID": 9, "t_sec": r["t_sec"] + 90} for r in rows[:9]],
        {"recording": {"columns": ["Task"]}, "meta": ...},
        "column DogID changes within a recording from '1' to '9' in line 82 of move.csv",
    ),
    "label outside of classes": (
        edit(3, Behavior="Flying"),
        {"classes": ["running", "Walking"]},
        "E-DATA-010: column Behavior has label 'Flying' in line 5 of move.csv, classes names running, Walking",
    ),
    "another rate than given": (
        lambda rows: rows,
        {"rate_hz": 100},
        "E-DATA-007: recording 1_1 has 50 samples per second .*, the mapping says 100 Hz",
    ),
    "one recording at another rate": (
        lambda rows: [{**r, "t_sec": r["t_sec"] * 2} if r["DogID"] == 2 and r["TestNum"] == 2 else r for r in rows],
        {},
        "E-DATA-007: recording 2_2 has 25 samples per second .*, the other recordings have 50 Hz",
    ),
    "wrong unit of time": (
        lambda rows: rows,
        {"time": {"column": "t_sec", "unit": "ms"}, "rate_hz": 50},
        r"E-DATA-007: recording 1_1 has 5e\+04 samples per second .*; correct rate_hz or the unit of time",
    ),
    "dates that are none": (
        everywhere(t_sec="2024-05-13 25:00"),
        {"time": {"column": "t_sec", "unit": "iso8601"}},
        "column t_sec is '2024-05-13 25:00' in line 2 of move.csv, expected an ISO 8601 time",
    ),
    "channel without values": (
        everywhere(ANeck_y=""),
        {},
        r"E-DATA-009: column ANeck_y \(neck/acc_y\) has no value in recording 1_1 though its sensor has",
    ),
    "nothing measured": (
        everywhere(ANeck_y="", ANeck_x="", ABack_x="", ABack_y=""),
        {},
        "E-DATA-009: recording 1_1 has no value in any mapped column",
    ),
    "one row, no rate": (lambda rows: rows[:1], {}, "E-DATA-016: no recording has two rows, .* give rate_hz"),
    "names that meet": (
        lambda rows: [{**r, "TestNum": "a b" if r["TestNum"] == 1 else "a/b"} for r in rows],
        {},
        r"E-DATA-016: two recordings come out as '1_a-b' \(1 a b and 1 a/b\); rename",
    ),
    "meta changes": (
        edit(3, gap=99),
        {"meta": {"gap": "gap"}, "quality": ...},
        "column gap changes within a recording from",
    ),
}


@pytest.mark.parametrize("defect", BROKEN)
def test_a_defect_of_a_table_is_said_and_nothing_is_left(tmp_path, defect):
    change, changes, message = BROKEN[defect]
    source = write_csv(tmp_path / "move.csv", change(make_rows()))
    with pytest.raises(DataError, match=message) as caught:
        import_tables(source, tmp_path / "out", changed(**changes), kind="csv")
    assert re.match(r"E-DATA-\d{3}: ", str(caught.value))
    assert "\n" not in str(caught.value)
    assert [p.name for p in tmp_path.iterdir()] == ["move.csv"]


@pytest.mark.parametrize(
    ("content", "kind", "message"),
    [
        (b"", "csv", r"E-DATA-016: .*x is empty \(0 bytes\), expected text"),
        (b"DogID,TestNum\n1\n", "csv", "E-DATA-016: .*(Expected 2 columns, got 1|has no column)"),
        (b"PAR1garbage", "parquet", "E-DATA-016: .*x cannot be read as a Parquet file .it is cut off"),
    ],
)
def test_files_that_are_no_tables(tmp_path, content, kind, message):
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(DataError, match=message):
        import_tables(tmp_path / "x", tmp_path / "out", MAPPING, kind=kind)
    assert not (tmp_path / "out").exists()


def test_an_encoding_that_does_not_fit(tmp_path):
    source = tmp_path / "move.csv"
    source.write_bytes(write_csv(source, make_rows()).read_text().replace("Walking", "Läuft").encode("latin-1"))
    with pytest.raises(DataError, match=r"line 10 of move.csv has byte 0xe4, which is not UTF-8 .*encoding: latin-1"):
        import_tables(source, tmp_path / "out", MAPPING, kind="csv")
    import_tables(source, tmp_path / "out", changed(encoding="latin-1"), kind="csv")
    assert Dataset.open(tmp_path / "out").meta.classes == ("Läuft", "running")


def test_a_column_named_twice(tmp_path):
    source = write_csv(tmp_path / "move.csv", make_rows())
    source.write_text(source.read_text().replace("Task", "gap", 1))
    with pytest.raises(DataError, match=r"move.csv has column 'gap' 2 times; rename all but one"):
        import_tables(source, tmp_path / "out", MAPPING, kind="csv")


def test_sources_without_a_table(tmp_path):
    for source, message in (
        (tmp_path, r"has no file \*.csv or \*.csv.gz; name the tables"),
        (tmp_path / "nothing.csv", "nothing.csv is neither a file, a folder nor a pattern that matches one"),
        (tmp_path / "*.csv", "is neither a file, a folder nor a pattern"),
    ):
        with pytest.raises(DataError, match=f"E-DATA-016: .*{message}"):
            import_tables(source, tmp_path / "out", MAPPING, kind="csv")
    write_csv(tmp_path / "move.csv", make_rows()[:1])
    (tmp_path / "move.csv").write_text((tmp_path / "move.csv").read_text().splitlines()[0] + "\n")
    with pytest.raises(DataError, match=r"E-DATA-016: .*move.csv has no row of data"):
        import_tables(tmp_path / "move.csv", tmp_path / "out", MAPPING, kind="csv")


def test_files_of_one_name_and_files_without_a_subject(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_csv(tmp_path / folder / "dog1.csv", make_rows((1,), (1,)))
    with pytest.raises(DataError, match="E-DATA-016: two recordings come out as 'dog1'"):
        import_tables(f"{tmp_path}/*/*.csv", tmp_path / "out", changed(recording="per_file"), kind="csv")
    with pytest.raises(DataError, match=r"from_filename 'cat\(.\)' finds no subject in the file name dog1.csv"):
        import_tables(tmp_path / "a", tmp_path / "out", changed(subject={"from_filename": "cat(.)"}), kind="csv")


def test_what_is_there_is_not_overwritten(tmp_path):
    source = write_csv(tmp_path / "move.csv", make_rows())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("")
    with pytest.raises(DataError, match=r"E-DATA-012: .*out exists already"):
        import_tables(source, tmp_path / "out", MAPPING, kind="csv")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine"]


def test_an_interrupt_leaves_nothing(tmp_path):
    source = write_csv(tmp_path / "move.csv", make_rows())

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_tables(source, tmp_path / "out", MAPPING, kind="csv", progress=interrupt)
    assert [p.name for p in tmp_path.iterdir()] == ["move.csv"]


def test_rates_are_rounded_to_what_they_stand_for():
    assert [round_rate(r) for r in (99.98, 100.4, 52.4, 3.906, 0.4, 25.001)] == [100.0, 100.0, 52.4, 3.906, 0.4, 25.0]


def test_stems_lose_the_suffixes_of_tables_only(tmp_path):
    assert [file_stem(tmp_path / n) for n in ("a.csv", "a.b.csv.gz", "a.parquet", "a.v2", "a.gz")] == [
        "a", "a.b", "a", "a.v2", "a",
    ]  # fmt: skip
