"""MHEALTH files, written by the tests as the set's README describes them."""

import re

import numpy as np
import pytest

from conv2d.data import Dataset
from conv2d.data.importers.mhealth import ACTIVITIES, import_mhealth
from conv2d.errors import DataError

LINE = (
    "-9.8 0.01 0.3 0.004 0.005 2.18 -9.69 0.63 0.10 -0.84 -0.69 -0.37 -0.36 0.30 -8.65 -4.58 0.19 -0.45 -1.01 0.03 "
    "-2.35 -1.61 -0.03 0"
)


def write(folder, number, rows, separator="\t"):
    folder.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(f"{v:.8g}" for v in row) for row in rows]
    (folder / f"mHealth_subject{number}.log").write_text("\n".join(lines) + "\n")


def make_rows(labels, seed=0):
    rows = np.random.default_rng(seed).normal(size=(len(labels), 24)).round(5)
    rows[:, 23] = labels
    return rows


def test_a_line_as_described(tmp_path):
    (tmp_path / "mHealth_subject3.log").write_text(LINE.replace(" ", "\t") + "\n")
    import_mhealth(tmp_path, tmp_path / "all", preset="all")
    data = Dataset.open(tmp_path / "all")
    limbs = data.load("subject03", sensors=["ankle", "arm"]).samples[:, :, 0].T
    gyr = np.pi / 180 * np.array([[0.10, -0.84, -0.69], [-0.45, -1.01, 0.03]])
    expected = [[2.18, -9.69, 0.63, *gyr[0], -0.37, -0.36, 0.30], [-8.65, -4.58, 0.19, *gyr[1], -2.35, -1.61, -0.03]]
    np.testing.assert_allclose(limbs, expected, rtol=1e-6)
    chest = data.load("subject03", channels=["acc_x", "acc_y", "acc_z"]).samples[:, 0, 0]
    np.testing.assert_array_equal(chest, np.array([-9.8, 0.01, 0.3], "f4"))


def test_the_default_loads_as_it_is(tmp_path):
    rows = make_rows([0, 1, 1, 12])
    write(tmp_path, 1, rows)
    write(tmp_path, 10, make_rows([2, 2], 1), separator="  ")
    result = import_mhealth(tmp_path, tmp_path / "out")
    data = Dataset.open(tmp_path / "out")
    assert [r.recording for r in data.table] == ["subject01", "subject10"]
    recording = data.load("subject01")
    columns = [0, 1, 2, 5, 6, 7, 14, 15, 16]
    np.testing.assert_array_equal(recording.samples.transpose(1, 0, 2).reshape(9, 4), rows[:, columns].T.astype("f4"))
    np.testing.assert_array_equal(recording.quality["ecg_2"], rows[:, 4].astype("f4"))
    np.testing.assert_array_equal(recording.time_s, np.arange(4) / 50)
    assert recording.classes == tuple(ACTIVITIES.values())
    assert recording.labels.tolist() == [-1, 0, 0, 11]
    assert (result.n_rows, result.unlabelled_rows, result.labels["sitting_and_relaxing"]) == (6, 1, 2)
    assert any("leaves out gyroscopes and magnetometers" in note for note in result.notes)


def test_limbs_load_as_they_are_and_all_must_be_selected_from(tmp_path):
    write(tmp_path, 1, make_rows([1] * 4))
    import_mhealth(tmp_path, tmp_path / "limbs", preset="limbs")
    limbs = Dataset.open(tmp_path / "limbs").load("subject01")
    assert (limbs.sensors, limbs.samples.shape) == (("ankle", "arm"), (9, 2, 4))
    import_mhealth(tmp_path, tmp_path / "all", preset="all")
    everything = Dataset.open(tmp_path / "all")
    with pytest.raises(DataError, match=r"E-DATA-009: channel gyr_x of sensor chest .* select the other channels"):
        everything.load("subject01")
    np.testing.assert_array_equal(everything.load("subject01", sensors=["ankle", "arm"]).samples, limbs.samples)


def test_a_channel_without_values_is_refused_where_it_was_measured(tmp_path):
    text = (LINE + "\n").split()
    text[6] = "NaN"  # the ankle's acc_y
    (tmp_path / "mHealth_subject1.log").write_text("\t".join(text) + "\n")
    for preset in ("acc", "limbs", "all"):
        with pytest.raises(DataError, match="E-DATA-009: channel acc_y of sensor ankle in recording subject01 has no"):
            import_mhealth(tmp_path, tmp_path / "out", preset=preset)
        assert not (tmp_path / "out").exists()


def test_a_part_of_the_set_is_told(tmp_path):
    for number in range(1, 10):
        write(tmp_path, number, make_rows([*range(13)]))
    notes = import_mhealth(tmp_path, tmp_path / "a").notes
    assert notes[0] == "9 of the 10 published subjects are there"
    write(tmp_path, 10, make_rows([*range(13)]))
    assert not any("published" in note for note in import_mhealth(tmp_path, tmp_path / "b").notes)
    write(tmp_path, 11, make_rows([*range(13)]))
    assert import_mhealth(tmp_path, tmp_path / "c").notes[0] == "11 subjects are there, 10 were published"


@pytest.mark.parametrize(("largest", "told"), [(3.5, "the unit is probably another one"), (300.0, "a leg can reach")])
def test_the_doubtful_unit_is_told_with_its_figure(tmp_path, largest, told):
    rows = make_rows([1] * 4) / 10
    rows[:, 23] = 1
    rows[2, 9] = -largest
    write(tmp_path, 1, rows)
    notes = import_mhealth(tmp_path, tmp_path / "out", preset="limbs").notes
    assert any(f"its largest value is {largest:.4g}" in note and told in note for note in notes)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (LINE + "\n" + LINE[:-2], "line 2 of mHealth_subject1.log has 23 values, expected 24 numbers"),
        (LINE[:-1] + "13", "line 1 of mHealth_subject1.log has label 13, the set's README names 0 to 12"),
        (LINE[:-1] + "1.5", "the label is 1.5 in line 1 of mHealth_subject1.log"),
        (LINE.replace("2.18", "2,18"), "value 6 in line 1 of mHealth_subject1.log is '2,18'"),
        ("", "mHealth_subject1.log is empty"),
    ],
)
def test_files_that_cannot_be(tmp_path, text, told):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mHealth_subject1.log").write_text(text)
    with pytest.raises(DataError, match=re.escape(told)):
        import_mhealth(tmp_path / "set", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_folder_without_such_files(tmp_path):
    with pytest.raises(DataError, match=r"has no mHealth_subject\*.log in it, expected the MHEALTH folder"):
        import_mhealth(tmp_path, tmp_path / "out")
    (tmp_path / "mHealth_subjectX.log").write_text(LINE)
    with pytest.raises(DataError, match=r"is not called like mHealth_subject1.log"):
        import_mhealth(tmp_path, tmp_path / "out")
