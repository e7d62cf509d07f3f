"""PAMAP2 files, written by the tests as the set's readme describes them."""

import re

import numpy as np
import pytest

from conv2d.data import Dataset
from conv2d.data.importers import number_files
from conv2d.data.importers.pamap2 import import_pamap2
from conv2d.errors import DataError

LINE = (  # a line of the published set
    "8.38 0 104 30 2.37223 8.60074 3.51048 2.43954 8.76165 3.35465 -0.0922174 0.0568115 -0.0158445 14.6806 -69.2128 "
    "-5.58905 1 0 0 0 31.8125 0.23808 9.80003 -1.68896 0.265304 9.81549 -1.41344 -0.00506495 -0.00678097 -0.00566295 "
    "0.47196 -51.0499 43.2903 1 0 0 0 30.3125 9.65918 -1.65569 -0.0997967 9.64689 -1.55576 0.310404 0.00830026 "
    "0.00925038 -0.0175803 -61.1888 -38.9599 -58.1438 1 0 0 0"
)


def make_rows(activities, first=8.38, seed=0):
    rows = np.random.default_rng(seed).normal(size=(len(activities), 54)).round(5)
    rows[:, 0] = np.round(first + np.arange(len(rows)) / 100, 2)
    rows[:, 1] = activities
    rows[1:, 2] = np.nan  # the heart rate comes at 9 Hz
    return rows


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [" ".join("NaN" if v != v else f"{v:.10g}" for v in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def test_a_published_line(tmp_path):
    path = tmp_path / "PAMAP2_Dataset" / "Protocol" / "subject101.dat"
    path.parent.mkdir(parents=True)
    path.write_text(LINE + "\n" + LINE.replace("8.38 0 104", "8.39 1 NaN") + "\n")
    result = import_pamap2(tmp_path, tmp_path / "out")
    recording = Dataset.open(tmp_path / "out").load("protocol_subject101")
    assert recording.sensors == ("hand", "chest", "ankle")
    expected = [
        [2.37223, 8.60074, 3.51048, -0.0922174, 0.0568115, -0.0158445, 14.6806, -69.2128, -5.58905],
        [0.23808, 9.80003, -1.68896, -0.00506495, -0.00678097, -0.00566295, 0.47196, -51.0499, 43.2903],
        [9.65918, -1.65569, -0.0997967, 0.00830026, 0.00925038, -0.0175803, -61.1888, -38.9599, -58.1438],
    ]
    for i in (0, 1):
        np.testing.assert_array_equal(recording.samples[:, :, i].T, np.array(expected, np.float32))
    np.testing.assert_array_equal(recording.quality["heart_rate_bpm"], np.array([104, np.nan], "f4"))
    np.testing.assert_allclose(recording.time_s, [0, 0.01], atol=1e-12)
    assert (recording.meta["start"], recording.labels.tolist(), recording.classes) == ("8.38", [-1, 0], ("lying",))
    assert (result.n_rows, result.unlabelled_rows, result.labels) == (2, 1, {"lying": 1})


def test_presets_and_both_folders(tmp_path):
    write(tmp_path / "Protocol" / "subject101.dat", make_rows([1, 1, 24]))
    write(tmp_path / "Protocol" / "subject102.dat", make_rows([3, 0, 4]))
    write(tmp_path / "Optional" / "subject101.dat", make_rows([9, 20, 20]))
    result = import_pamap2(tmp_path, tmp_path / "a")
    assert (result.n_recordings, result.n_subjects) == (2, 2)
    assert list(result.labels.items()) == [("lying", 2), ("standing", 1), ("walking", 1), ("rope_jumping", 1)]
    result = import_pamap2(tmp_path, tmp_path / "b", preset="all")
    assert (result.n_recordings, result.n_subjects, result.labels["playing_soccer"]) == (3, 2, 2)
    data = Dataset.open(tmp_path / "b")
    assert [(r.recording, r.subject) for r in data.table] == [
        ("protocol_subject101", "subject101"), ("protocol_subject102", "subject102"),
        ("optional_subject101", "subject101"),
    ]  # fmt: skip
    assert (
        data.load("optional_subject101").labels.tolist()
        == [data.meta.classes.index("watching_tv")] + [data.meta.classes.index("playing_soccer")] * 2
    )


def test_samples_across_blocks_with_lost_sensors_and_gaps(tmp_path, monkeypatch):
    monkeypatch.setattr(number_files, "_CHUNK_BYTES", 700)
    monkeypatch.setattr(number_files, "_HEAD_BYTES", 100)
    rows = make_rows([1] * 40)
    rows[10:14, 3:20] = np.nan  # the hand's radio link was lost
    rows[30:, 0] += 0.5
    write(tmp_path / "Protocol" / "subject109.dat", rows)
    result = import_pamap2(tmp_path, tmp_path / "out")
    recording = Dataset.open(tmp_path / "out").load("protocol_subject109")
    columns = [first + i for first in (3, 20, 37) for i in (1, 2, 3, 7, 8, 9, 10, 11, 12)]
    np.testing.assert_array_equal(
        recording.samples.transpose(1, 0, 2).reshape(27, 40), rows[:, columns].T.astype(np.float32)
    )
    np.testing.assert_allclose(recording.time_s, rows[:, 0] - rows[0, 0], atol=1e-12)
    assert any("hand 10 %" in note and "chest" not in note for note in result.notes)
    assert any("has 1 gap of its clock, the longest 0.51 s" in note for note in result.notes)


def spoiled(row, column, text):
    def spoil(path):
        lines = path.read_text().splitlines()
        fields = lines[row].split()
        fields[column] = text
        lines[row] = " ".join(f for f in fields if f)
        path.write_text("\n".join(lines) + "\n")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (spoiled(2, 53, ""), "line 3 of subject101.dat has 53 values, expected 54 numbers"),
        (spoiled(2, 53, "1 2"), "line 3 of subject101.dat has 55 values, expected 54 numbers"),
        (spoiled(1, 4, "0,5"), "value 5 in line 2 of subject101.dat is '0,5', expected a number"),
        (spoiled(3, 1, "14"), "line 4 of subject101.dat has activity 14, the set's readme names"),
        (spoiled(3, 1, "NaN"), "the activity is nan in line 4 of subject101.dat, expected a whole number"),
        (spoiled(2, 0, "8.39"), "the time is 8.39 s after 8.39 in line 3 of subject101.dat"),
        (spoiled(2, 0, "NaN"), "the time is nan s after 8.39 in line 3 of subject101.dat"),
        (spoiled(0, 0, "NaN"), "the time is nan s in line 1 of subject101.dat, expected increasing seconds"),
        (lambda path: path.write_text(""), "subject101.dat is empty"),
        (lambda path: path.rename(path.with_name("subjectX.dat")), "is not called like subject101.dat"),
        (lambda path: path.rename(path.with_name("a.dat")), "has no Protocol/subject*.dat in it"),
    ],
)
def test_files_that_cannot_be(tmp_path, spoil, told):
    path = tmp_path / "set" / "Protocol" / "subject101.dat"
    write(path, make_rows([1] * 6))
    spoil(path)
    with pytest.raises(DataError, match=re.escape(told)):
        import_pamap2(tmp_path / "set", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_columns_that_are_left_out_may_hold_anything(tmp_path):
    path = tmp_path / "Protocol" / "subject101.dat"
    write(path, make_rows([1] * 6))
    spoiled(2, 16, "invalid")(path)  # an orientation
    assert import_pamap2(tmp_path, tmp_path / "out").n_rows == 6


def test_another_rate_and_a_recording_without_values(tmp_path):
    rows = make_rows([1] * 6)
    rows[:, 0] = np.arange(6) / 50
    write(tmp_path / "Protocol" / "subject101.dat", rows)
    with pytest.raises(DataError, match="E-DATA-007: recording protocol_subject101 has 50 samples per second"):
        import_pamap2(tmp_path, tmp_path / "out")
    rows = make_rows([1] * 6)
    rows[:, 3:] = np.nan
    write(tmp_path / "Protocol" / "subject101.dat", rows)
    with pytest.raises(DataError, match="E-DATA-009: recording protocol_subject101 has no value in any channel"):
        import_pamap2(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_clock_that_changes_its_rate_is_refused(tmp_path):
    rows = make_rows([1] * 7000)
    rows[:, 0] = np.r_[np.arange(4000) / 100, 40 + np.arange(3000) / 50].round(2)
    write(tmp_path / "Protocol" / "subject101.dat", rows)
    with pytest.raises(
        DataError, match=r"E-DATA-007: recording protocol_subject101 has 100 samples per second, but 50"
    ):
        import_pamap2(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_channel_without_values_is_refused_and_a_sensor_without_is_not(tmp_path):
    rows = make_rows([1] * 6)
    rows[:, 28] = np.nan  # the chest's gyr_y
    write(tmp_path / "Protocol" / "subject101.dat", rows)
    with pytest.raises(DataError, match="E-DATA-009: channel gyr_y of sensor chest in recording protocol_subject101"):
        import_pamap2(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    rows[:, 20:37] = np.nan
    write(tmp_path / "Protocol" / "subject101.dat", rows)
    notes = import_pamap2(tmp_path, tmp_path / "out").notes
    assert "sensor chest of recording protocol_subject101 has no value" in notes
    assert np.isnan(Dataset.open(tmp_path / "out").load("protocol_subject101").samples[:, 1]).all()


def test_a_part_of_the_set_is_told(tmp_path):
    for number in range(101, 109):
        write(tmp_path / "Protocol" / f"subject{number}.dat", make_rows([1] * 3))
    write(tmp_path / "Optional" / "subject101.dat", make_rows([9] * 3))
    notes = import_pamap2(tmp_path, tmp_path / "a").notes
    assert [n for n in notes if "published" in n] == ["8 of the 9 published subjects of Protocol are there"]
    write(tmp_path / "Protocol" / "subject109.dat", make_rows([1] * 3))
    assert import_pamap2(tmp_path, tmp_path / "b").notes == ()
    notes = import_pamap2(tmp_path, tmp_path / "c", preset="all").notes
    assert notes == ("1 of the 5 published subjects of Optional are there",)
    assert Dataset.open(tmp_path / "c").meta.notes == notes


def test_preset_all_wants_the_second_folder(tmp_path):
    write(tmp_path / "Protocol" / "subject101.dat", make_rows([1] * 3))
    with pytest.raises(DataError, match=r"has no Optional/subject\*.dat, which preset all takes too"):
        import_pamap2(tmp_path, tmp_path / "out", preset="all")
