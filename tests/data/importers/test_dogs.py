"""The dog file, written by the tests with the published columns, against a reader that goes row by row."""

import gzip
import re
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers import tables
from conv2d.data.importers.dog_labels import HOP, PUBLISHED_WINDOWS, SEVEN, SHARE, WINDOW
from conv2d.data.importers.dogs import import_dogs, paper_windows
from conv2d.errors import DataError

HEADER = (
    "DogID,TestNum,t_sec,ABack_x,ABack_y,ABack_z,ANeck_x,ANeck_y,ANeck_z,GBack_x,GBack_y,GBack_z,GNeck_x,GNeck_y,GNeck_z,"
    "Task,Behavior_1,Behavior_2,Behavior_3,PointEvent"
)
COLUMNS = HEADER.split(",")
NONE = "<undefined>"
PUBLISHED = (  # a row of the published file
    "16,1,0.01,0.041992,0.941895,-0.02002,-0.128906,-0.494141,-0.913086,-15.075685,-11.413575,4.821778,-3.90625,4.394532,"
    "16.540528,<undefined>,Synchronization,<undefined>,<undefined>,<undefined>"
)
ROW = PUBLISHED.split(",")
TEXTS = [
    "Walking",
    "Standing",
    "Sitting",
    "Panting",
    "Playing",
    "Synchronization",
    "Lying chest",
    "Galloping",
    NONE,
    NONE,
]


def make_rows(tests=((16, 1), (16, 2), (18, 2)), n=450, seed=0):
    """Rows with texts in runs, as lists of text."""
    rng = np.random.default_rng(seed)
    rows = []
    for dog, test in tests:
        texts = [np.repeat(rng.choice(TEXTS, n // 90 + 1), 90)[:n] for _ in range(3)]
        tasks = np.repeat(rng.choice([NONE, "Task sit", "Task play"], n // 50 + 1), 50)[:n]
        for i in range(n):
            numbers = [f"{v:.6f}" for v in rng.normal(size=12)]
            words = [tasks[i], *(text[i] for text in texts), "Bark" if i % 97 == 0 else NONE]
            rows.append([str(dog), str(test), f"{i / 100:g}", *numbers, *words])
    return rows


def write(path, rows, header=COLUMNS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(row) for row in [header, *rows]) + "\n")
    return path


def label_by_hand(row, preset):
    found = {t for t in row[16:19] if t not in (NONE, "", "Synchronization", "Extra_Synchronization")}
    if preset == "dogs7":
        found &= set(SEVEN)
        return found.pop() if len(found) == 1 else None
    return "+".join(sorted(found)) or None


def check(data, rows, preset):
    for recording in data.table:
        dog, test = recording.recording.removeprefix("dog").split("_")
        mine = [r for r in rows if r[:2] == [dog, test]]
        loaded = data.load(recording.recording)
        assert (loaded.subject, loaded.n_samples) == (f"dog{dog}", len(mine))
        numbers = np.array([r[2:15] for r in mine], float)
        np.testing.assert_array_equal(loaded.time_s, numbers[:, 0] - numbers[0, 0])
        scale = np.repeat([9.80665, 9.80665, np.pi / 180, np.pi / 180], 3)
        expected = (numbers[:, 1:] * scale).astype(np.float32).T.reshape(2, 2, 3, -1)  # acc, gyr x back, neck x axis
        np.testing.assert_array_equal(loaded.samples.reshape(2, 3, 2, -1), expected.transpose(0, 2, 1, 3))
        labels = [None if i < 0 else loaded.classes[i] for i in loaded.labels]
        assert labels == [label_by_hand(r, preset) for r in mine]
        tasks = {NONE: 0, "": 0, "Task sit": 3, "Task play": 6}
        assert loaded.quality["task"].tolist() == [tasks[r[15]] for r in mine]


@pytest.mark.parametrize("preset", ["dogs7", "dogs_all"])
@pytest.mark.parametrize("block", [1 << 20, 20_000])
def test_every_value_is_that_of_its_row(tmp_path, monkeypatch, preset, block):
    monkeypatch.setattr(tables, "_BLOCK_BYTES", block)
    rows = make_rows()
    write(tmp_path / "DogMoveData.csv", rows)
    result = import_dogs(tmp_path, tmp_path / "out", preset=preset)
    data = Dataset.open(tmp_path / "out")
    assert [r.recording for r in data.table] == ["dog16_1", "dog16_2", "dog18_2"]
    assert data.row("dog18_2").meta["test"] == "2"
    check(data, rows, preset)
    counts = Counter(label_by_hand(r, preset) for r in rows)
    assert result.unlabelled_rows == counts.pop(None, 0)
    assert {k: v for k, v in result.labels.items() if v} == counts
    assert (data.meta.classes == SEVEN) if preset == "dogs7" else (list(data.meta.classes) == sorted(counts))
    assert set(result.notes) == set(data.meta.notes)


def test_posture_beside_something_else_is_found_and_two_of_the_seven_are_counted(tmp_path):
    words = [
        ("Panting", "Sitting", NONE), (NONE, "Playing", "Galloping"), ("Walking", "Walking", "Sniffing"),
        ("Walking", "Walking", "Panting"), ("Walking", NONE, "Sniffing"), ("Synchronization", NONE, NONE), ("", "", ""),
    ]  # fmt: skip
    rows = [["16", "1", f"{i / 100}", *ROW[3:16], *w, NONE] for i, w in enumerate(words)]
    path = write(tmp_path / "DogMoveData.csv", rows)
    result = import_dogs(path, tmp_path / "a")
    loaded = Dataset.open(tmp_path / "a").load("dog16_1")
    names = [None if i < 0 else SEVEN[i] for i in loaded.labels]
    assert names == ["Sitting", "Galloping", None, "Walking", None, None, None]
    assert any(
        "2 rows with two of the seven behaviours are not annotated: Sniffing and Walking 2" in n for n in result.notes
    )
    result = import_dogs(path, tmp_path / "b", preset="dogs_all")
    assert result.labels == {
        "Galloping+Playing": 1, "Panting+Sitting": 1, "Panting+Walking": 1, "Sniffing+Walking": 2,
    }  # fmt: skip


def test_a_published_row_and_its_units(tmp_path):
    write(tmp_path / "DogMoveData.csv", [["16", "1", "0", *ROW[3:]], ROW])
    import_dogs(tmp_path, tmp_path / "out")
    recording = Dataset.open(tmp_path / "out").load("dog16_1")
    assert recording.sensors == ("back", "neck")
    acc = 9.80665 * np.array([[0.041992, 0.941895, -0.02002], [-0.128906, -0.494141, -0.913086]])
    gyr = np.pi / 180 * np.array([[-15.075685, -11.413575, 4.821778], [-3.90625, 4.394532, 16.540528]])
    np.testing.assert_allclose(recording.samples[:, :, 1].T, np.concatenate([acc, gyr], axis=1), rtol=1e-6)


def test_other_spellings_and_texts_are_told(tmp_path):
    words = [("Lying on chest", NONE, NONE), (" Walking ", NONE, NONE), ("Rolling", NONE, "Walking")]
    rows = [["16", "1", f"{i / 100}", *ROW[3:15], "Task fetch", *w, NONE] for i, w in enumerate(words)]
    write(tmp_path / "DogMoveData.csv", rows)
    result = import_dogs(tmp_path, tmp_path / "out")
    assert (result.labels["Lying chest"], result.labels["Walking"]) == (1, 2)
    assert any("not among the published texts of a behaviour: 'Lying on chest', 'Rolling'" in n for n in result.notes)
    assert any("not among the published texts of a task: 'Task fetch'" in n for n in result.notes)
    assert any("8 Task fetch" in n for n in result.notes)
    assert Dataset.open(tmp_path / "out").load("dog16_1").quality["task"].tolist() == [8, 8, 8]


def test_a_dog_spread_over_the_file_is_one_recording(tmp_path):
    rows = make_rows(((16, 1), (18, 1)), n=60)
    mixed = rows[:30] + rows[60:90] + rows[30:60] + rows[90:]
    write(tmp_path / "DogMoveData.csv", mixed)
    import_dogs(tmp_path, tmp_path / "out")
    check(Dataset.open(tmp_path / "out"), rows, "dogs7")


def test_rows_sorted_by_time_are_written_once(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 5_000)
    rows = make_rows(n=300)
    mixed = sorted(rows, key=lambda row: float(row[2]))  # a file sorted by t_sec: three recordings take turns
    write(tmp_path / "DogMoveData.csv", mixed)
    with monkeypatch.context() as patch:
        patch.setattr(pq, "ParquetFile", None)  # so is a file opened again, to copy what it has
        result = import_dogs(tmp_path, tmp_path / "out")
    check(Dataset.open(tmp_path / "out"), rows, "dogs7")
    write(tmp_path / "DogMoveData.csv", rows)
    in_order = import_dogs(tmp_path, tmp_path / "in_order")
    assert (result.labels, result.figures) == (in_order.labels, in_order.figures)


def test_a_clock_that_changes_its_rate_is_refused(tmp_path):
    rows = make_rows(((16, 1),), n=9000)
    times = np.r_[np.arange(6000) / 100, 60 + np.arange(3000) / 50].round(2)
    write(tmp_path / "DogMoveData.csv", [[*r[:2], f"{t:g}", *r[3:]] for t, r in zip(times, rows, strict=True)])
    with pytest.raises(
        DataError, match=r"E-DATA-007: recording dog16_1 has 100 samples per second, but 50 in 25% of it"
    ):
        import_dogs(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rows_before_the_gap", [1, 2, 3])
def test_the_rate_is_judged_by_the_whole_recording(tmp_path, monkeypatch, rows_before_the_gap):
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 400)  # two rows
    rows = make_rows(((16, 1),), n=60)
    for i, row in enumerate(rows):
        row[2] = f"{i / 100 + (7 if i >= rows_before_the_gap else 0):g}"
    write(tmp_path / "DogMoveData.csv", rows)
    result = import_dogs(tmp_path, tmp_path / "out")
    assert "recording dog16_1 has 1 gap of its clock, the longest 7.01 s, left as gaps" in result.notes
    check(Dataset.open(tmp_path / "out"), rows, "dogs7")


@pytest.mark.parametrize("source", ["a/b/set/DogMoveData.csv", "a/b/set", "a/b", "a"])
@pytest.mark.parametrize("packed", [False, True])
def test_the_folder_around_and_a_packed_file(tmp_path, source, packed):
    rows = make_rows(n=20)
    path = write(tmp_path / "a" / "b" / "set" / "DogMoveData.csv", rows)
    path.with_name("DogInfo.csv").write_text(INFO)
    if packed:
        path.with_name("DogMoveData.csv.gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        source = source.replace(".csv", ".csv.gz")
    told = []
    result = import_dogs(tmp_path / source, tmp_path / "out", progress=lambda done, total: told.append((done, total)))
    check(Dataset.open(tmp_path / "out"), rows, "dogs7")
    assert result.n_files == 2
    assert told
    assert all(0 <= done <= total for done, total in told)


@pytest.mark.parametrize("block", [1 << 20, 5_000])
def test_lines_are_counted_with_blank_ones(tmp_path, monkeypatch, block):
    monkeypatch.setattr(tables, "_BLOCK_BYTES", block)
    path = write(tmp_path / "DogMoveData.csv", make_rows())
    lines = path.read_text().splitlines()
    change(200, 5, "abc")(lines)
    path.write_text("\n".join([*lines[:40], "", "", *lines[40:160], "", *lines[160:]]) + "\n")
    with pytest.raises(DataError, match=r"column ABack_z is 'abc' in line 204 of DogMoveData.csv"):
        import_dogs(path, tmp_path / "out")
    path.write_text("\n".join(line for i, line in enumerate(lines) if i != 200) + "\n")
    path.with_name("DogInfo.csv").write_text(INFO + "\r\n\r\n16,again,1,1,1,1")
    with pytest.raises(DataError, match=r"line 5 of .*DogInfo.csv"):
        import_dogs(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda t: t.replace(",", ";").encode(), "its header is one column with delimiter ','"),
        (lambda t: t.replace("Walking", "Geh\xe4n").encode("latin-1"), "has byte 0xe4, which is not UTF-8 text"),
        (lambda t: t.encode("utf-16"), "is UTF-16 text by its first two bytes"),
    ],
)
def test_what_is_advised_needs_no_mapping(tmp_path, spoil, told):
    path = write(tmp_path / "DogMoveData.csv", make_rows())
    path.write_bytes(spoil(path.read_text()))
    with pytest.raises(DataError) as error:
        import_dogs(path, tmp_path / "out")
    what, _, advice = str(error.value).partition(told)
    assert what.startswith("E-DATA-016: ")
    assert advice.endswith(
        "; take DogMoveData.csv as it was published (UTF-8, commas, decimal points), or import the table as csv with "
        "--map"
    )
    assert "in the mapping" not in advice


def test_gaps_missing_values_and_a_missing_sensor(tmp_path):
    rows = make_rows(((16, 1),), n=50)
    for i, row in enumerate(rows):
        row[6:9] = row[12:15] = ["", "NaN", "nan"]
        row[2] = f"{i / 100 + (0.5 if i >= 20 else 0):g}"
    rows[7][3] = ""
    write(tmp_path / "DogMoveData.csv", rows)
    result = import_dogs(tmp_path, tmp_path / "out")
    recording = Dataset.open(tmp_path / "out").load("dog16_1")
    assert np.isnan(recording.samples[:, 1]).all()
    assert np.argwhere(np.isnan(recording.samples[:, 0])).tolist() == [[0, 7]]
    assert any("sensor neck of recording dog16_1 has no value" in note for note in result.notes)
    assert any("recording dog16_1 has 1 gap of its clock, the longest 0.51 s" in note for note in result.notes)


INFO = "DogID,Breed,Weight,Age months,Gender,NeuteringStatus\r\n16,Crossbreed,13,20,1,0\r\n"


def test_dog_info_becomes_columns_of_the_recordings(tmp_path):
    write(tmp_path / "DogMoveData.csv", make_rows(n=10))
    (tmp_path / "DogInfo.csv").write_bytes(INFO.encode())
    result = import_dogs(tmp_path, tmp_path / "out")
    data = Dataset.open(tmp_path / "out")
    told = {"breed": "Crossbreed", "weight": "13", "age_months": "20", "gender": "1", "neutering_status": "0"}
    assert told.items() <= data.row("dog16_2").meta.items()
    assert data.row("dog18_2").meta["breed"] == ""
    assert "DogInfo.csv has no row for dog18" in result.notes
    (tmp_path / "DogInfo.csv").write_text("DogID,Label,DogID \n016,Walking,x\n")
    import_dogs(tmp_path, tmp_path / "names")
    assert Dataset.open(tmp_path / "names").row("dog16_1").meta["dog_id"] == "x"
    check(Dataset.open(tmp_path / "names"), make_rows(n=10), "dogs7")
    for text in (INFO.replace("DogID", "Dog"), INFO + "16,again,1,1,1,1", INFO + "17,short"):
        (tmp_path / "DogInfo.csv").write_text(text)
        with pytest.raises(DataError, match=r"E-DATA-016: .*DogInfo.csv"):
            import_dogs(tmp_path, tmp_path / "again")
        assert not (tmp_path / "again").exists()


def windows_by_hand(texts, tasks):
    """The rule word for word: texts (n rows of three), tasks (n)."""
    found, begun = [], False
    for start in range(0, len(tasks) - WINDOW + 1, HOP):
        begun = begun or all(task != NONE for task in tasks[start : start + WINDOW])
        counts = Counter(text for row in texts[start : start + WINDOW] for text in row)
        reached = [name for name in SEVEN if counts[name] / WINDOW >= SHARE]
        if begun and len(reached) == 1:
            found.append((start, reached[0]))
    return found


@given(st.integers(0, 2**32 - 1), st.integers(0, 900), st.sampled_from([1, 50, 149, 150, 151, 400]))
def test_windows_of_the_paper(seed, n, run):
    rng = np.random.default_rng(seed)
    some = ["Walking", "Sitting", "Panting"]
    texts = np.stack([np.repeat(rng.choice(some, n // run + 1), run)[:n] for _ in range(3)], axis=1)
    tasks = np.repeat(rng.choice([NONE, "Task sit"], n // 120 + 1), 120)[:n]
    numbers = np.array([[SEVEN.index(t) if t in SEVEN else -1 for t in row] for row in texts], int).reshape(-1, 3).T
    starts, classes = paper_windows(numbers, tasks != NONE)
    assert [(s, SEVEN[c]) for s, c in zip(starts.tolist(), classes.tolist(), strict=True)] == windows_by_hand(
        texts, tasks
    )


def test_the_import_counts_the_windows_beside_the_published(tmp_path):
    rows = make_rows(n=1500, seed=5)
    write(tmp_path / "DogMoveData.csv", rows)
    result = import_dogs(tmp_path, tmp_path / "out")
    found = Counter()
    for key in (["16", "1"], ["16", "2"], ["18", "2"]):
        mine = [r for r in rows if r[:2] == key]
        found.update(name for _, name in windows_by_hand([r[16:19] for r in mine], [r[15] for r in mine]))
    assert sum(found.values()) > 5  # the case is not an empty one
    told = result.to_dict()["figures"]["paper_windows"]
    assert {k: v["here"] for k, v in told.items()} == {**{k: found[k] for k in SEVEN}, "all": sum(found.values())}
    assert {k: v["published"] for k, v in told.items()} == {**PUBLISHED_WINDOWS, "all": 54_594}


def change(row, column, text):
    def spoil(lines):
        fields = lines[row].split(",")
        fields[column] = text
        lines[row] = ",".join(fields)

    return spoil


def cut_field(row):
    def spoil(lines):
        lines[row] = lines[row].rpartition(",")[0]

    return spoil


def without_column(lines):
    lines[:] = [",".join(line.split(",")[:14] + line.split(",")[15:]) for line in lines]


@pytest.mark.parametrize("block", [1 << 20, 5_000])
@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (change(200, 5, "abc"), "column ABack_z is 'abc' in line 201 of DogMoveData.csv, expected a number"),
        (change(200, 0, ""), "column DogID is empty in line 201 of DogMoveData.csv"),
        (change(200, 0, "rex"), "column DogID is 'rex' in line 201 of DogMoveData.csv, expected a whole number"),
        (change(200, 2, ""), "column t_sec is empty in line 201 of DogMoveData.csv"),
        (
            change(200, 2, "1.5"),
            "t_sec goes from 1.98 to 1.5 in line 201 of DogMoveData.csv, expected increasing times within",
        ),
        (change(200, 2, "nan"), "column t_sec is empty in line 201 of DogMoveData.csv"),
        (change(200, 2, "inf"), "column t_sec is inf in line 201 of DogMoveData.csv, expected a time"),
        (change(200, 7, "1e39"), "column ANeck_y is 1e+39 in line 201 of DogMoveData.csv, expected a number within"),
        (cut_field(200), "line 201 of DogMoveData.csv has 19 fields ('16,1,1.99"),
        (change(200, 1, "1,1"), "line 201 of DogMoveData.csv has 21 fields ('16,1,1,1.99"),
        (without_column, "has no column 'GNeck_z'"),
        (change(0, 5, "ABack_y"), "has column 'ABack_y' 2 times"),
        (lambda lines: lines.__delitem__(slice(1, None)), "has no row of data"),
        (lambda lines: lines.clear(), "holds blank lines only"),
    ],
)
def test_files_that_cannot_be(tmp_path, monkeypatch, spoil, told, block):
    monkeypatch.setattr(tables, "_BLOCK_BYTES", block)
    path = write(tmp_path / "set" / "DogMoveData.csv", make_rows())
    lines = path.read_text().splitlines()
    spoil(lines)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=re.escape(told)) as error:
        import_dogs(path, tmp_path / "out")
    assert str(error.value).startswith("E-DATA-016: ")
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_clock_that_starts_anew_within_a_test(tmp_path):
    rows = make_rows(((16, 1), (16, 1)), n=30)
    write(tmp_path / "DogMoveData.csv", rows)
    with pytest.raises(
        DataError, match=r"t_sec goes from 0.29 to 0 in line 32 .*; sort the rows by DogID, TestNum and t_sec, and give"
    ):
        import_dogs(tmp_path, tmp_path / "out")


def test_another_rate_and_channels_without_values(tmp_path):
    rows = make_rows(((16, 1),), n=30)
    write(tmp_path / "DogMoveData.csv", [[*r[:2], f"{i / 50:g}", *r[3:]] for i, r in enumerate(rows)])
    with pytest.raises(
        DataError, match=r"E-DATA-007: recording dog16_1 has 50 samples per second .* expected 100 Hz; take Dog"
    ):
        import_dogs(tmp_path, tmp_path / "out")
    write(tmp_path / "DogMoveData.csv", [[*r[:4], "", *r[5:]] for r in rows])
    with pytest.raises(DataError, match=r"E-DATA-009: column ABack_y \(back/acc_y\) has no value in recording dog16_1"):
        import_dogs(tmp_path, tmp_path / "out")
    write(tmp_path / "DogMoveData.csv", [[*r[:3], *[""] * 12, *r[15:]] for r in rows])
    with pytest.raises(
        DataError, match=r"E-DATA-009: recording dog16_1 has no value in any channel; leave its rows out"
    ):
        import_dogs(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_text_column_of_free_text(tmp_path):
    rows = make_rows(((16, 1),), n=60)
    write(tmp_path / "DogMoveData.csv", [[*r[:17], f"remark {i}", *r[18:]] for i, r in enumerate(rows)])
    with pytest.raises(DataError, match=r"one of Behavior_1 to 3 has more than 31 different texts"):
        import_dogs(tmp_path, tmp_path / "out")


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match=r"has no DogMoveData.csv\* in it, expected DogMoveData.csv"):
        import_dogs(tmp_path, tmp_path / "out")
    (tmp_path / "DogMoveData.csv.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"holds DogMoveData.csv.zip, expected DogMoveData.csv .* unpack it"):
        import_dogs(tmp_path, tmp_path / "out")
    (tmp_path / "DogMoveData.csv").write_bytes(b"PK\x03\x04")
    with pytest.raises(DataError, match="a ZIP archive"):
        import_dogs(tmp_path, tmp_path / "out")
    (tmp_path / "DogMoveData.csv").write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        import_dogs(tmp_path, tmp_path / "out")
