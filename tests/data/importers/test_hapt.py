"""The raw HAPT folder, written by the tests as it was published."""

import csv
import re
from itertools import pairwise

import numpy as np
import pytest
import yaml

from conv2d.data import Dataset
from conv2d.data.importers.hapt import ACTIVITIES, import_hapt
from conv2d.errors import DataError

N = 60


def write_numbers(path, columns):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(" ".join(f"{v:.9g}" for v in row) + "\n" for row in columns.T))


def write_hapt(folder, lengths=None, labels=("1 1 5 3 7",), seed=0):
    """A raw folder with experiments (number, user): (lines of acc, lines of gyro)."""
    rng = np.random.default_rng(seed)
    raw = folder / "RawData"
    raw.mkdir(parents=True)
    samples = {}
    for (number, user), (n_acc, n_gyro) in (lengths or {(1, 1): (N, N)}).items():
        acc, gyro = rng.normal(size=(3, n_acc)).astype("f4"), rng.normal(size=(3, n_gyro)).astype("f4")
        write_numbers(raw / f"acc_exp{number:02d}_user{user:02d}.txt", acc)
        write_numbers(raw / f"gyro_exp{number:02d}_user{user:02d}.txt", gyro)
        samples[number] = (acc, gyro)
    (raw / "labels.txt").write_text("\n".join(labels) + "\n")
    (folder / "activity_labels.txt").write_text("".join(f"{i} {name}\n" for i, name in enumerate(ACTIVITIES, 1)))
    return samples


def write_split(folder, **users):
    for split, numbers in users.items():
        path = folder / split.title() / f"subject_id_{split}.txt"
        path.parent.mkdir()
        path.write_text("".join(f"{n}\n" for n in numbers))


@pytest.mark.parametrize("source", ["set", "set/RawData", "."])
def test_samples_labels_and_names(tmp_path, source):
    told = write_hapt(tmp_path / "set", {(1, 1): (N, N), (21, 10): (30, 30)}, ["1 1 5 3 7", "1 1 12 8 60"])
    write_split(tmp_path / "set", train=[1, 1, 1], test=[10])
    result = import_hapt(tmp_path / source, tmp_path / "out")
    data = Dataset.open(tmp_path / "out")
    assert [(r.recording, r.subject, r.n_rows, r.meta["split"]) for r in data.table] == [
        ("exp01", "p01", N, "train"), ("exp21", "p10", 30, "test"),
    ]  # fmt: skip
    recording = data.load("exp01")
    np.testing.assert_array_equal(recording.samples[:, 0], np.concatenate(told[1]))
    np.testing.assert_array_equal(recording.time_s, np.arange(N) / 50)
    # Samples count from 1 and the end is inclusive: 3 to 7 are the indices 2 to 6.
    assert recording.labels.tolist() == [-1] * 2 + [4] * 5 + [11] * 53
    assert recording.classes == ACTIVITIES
    assert (result.n_rows, result.unlabelled_rows, result.labels["STANDING"]) == (N + 30, 32, 5)
    assert any("labels.txt has no row for exp21" in note for note in result.notes)
    assert set(result.notes) <= set(data.meta.notes)


def test_without_the_files_beside_it(tmp_path):
    write_hapt(tmp_path / "set")
    (tmp_path / "set" / "activity_labels.txt").unlink()
    result = import_hapt(tmp_path / "set", tmp_path / "out")
    data = Dataset.open(tmp_path / "out")
    assert data.meta.classes == ACTIVITIES
    assert "split" not in data.table[0].meta
    assert any("no column split" in note for note in result.notes)


@pytest.mark.parametrize(("there", "absent"), [("train", "Test/subject_id_test"), ("test", "Train/subject_id_train")])
def test_half_of_the_split_is_none(tmp_path, there, absent):
    write_hapt(tmp_path / "set")
    write_split(tmp_path / "set", **{there: [1]})
    result = import_hapt(tmp_path / "set", tmp_path / "out")
    assert "split" not in Dataset.open(tmp_path / "out").table[0].meta
    assert f"without {absent}.txt there is no column split" in result.notes


def test_a_part_of_the_set_and_its_other_publication_are_told(tmp_path):
    lengths = {(number, (number + 1) // 2): (2, 2) for number in range(1, 62)}
    write_hapt(tmp_path / "set", lengths, [f"{number} {user} 5 1 2" for number, user in lengths])
    write_split(tmp_path / "set", train=[1], test=[2])
    same = "same people and recordings as uci_har: never train on one and test on the other"
    result = import_hapt(tmp_path / "set", tmp_path / "out")
    assert [n for n in result.notes if "no row is labelled" not in n] == [same]
    assert same in Dataset.open(tmp_path / "out").meta.notes
    (tmp_path / "set" / "RawData" / "acc_exp61_user31.txt").unlink()
    (tmp_path / "set" / "RawData" / "gyro_exp61_user31.txt").unlink()
    labels = tmp_path / "set" / "RawData" / "labels.txt"
    labels.write_text("\n".join(labels.read_text().splitlines()[:-1]))
    assert "60 of the 61 published experiments are there" in import_hapt(tmp_path / "set", tmp_path / "part").notes


def test_names_of_activities_are_read(tmp_path):
    write_hapt(tmp_path / "set", labels=["1 1 2 1 3"])
    (tmp_path / "set" / "activity_labels.txt").write_text("1 REST\n2 MOVE\n")
    assert import_hapt(tmp_path / "set", tmp_path / "out").labels == {"REST": 0, "MOVE": 3}


def test_files_in_folders_of_their_own(tmp_path):
    told = write_hapt(tmp_path / "set")
    raw = tmp_path / "set" / "RawData"
    for kind in ("acc", "gyro"):
        (raw / kind.upper()).mkdir()
        (raw / f"{kind}_exp01_user01.txt").rename(raw / kind.upper() / f"{kind}_exp01_user01.txt")
    import_hapt(tmp_path / "set", tmp_path / "out")
    np.testing.assert_array_equal(Dataset.open(tmp_path / "out").load("exp01").samples[:3, 0], told[1][0])


def test_the_shorter_file_ends_in_nan_and_a_note_says_so(tmp_path):
    told = write_hapt(tmp_path / "set", {(1, 1): (N, N - 5)}, ["1 1 5 50 60"])
    result = import_hapt(tmp_path / "set", tmp_path / "out")
    samples = Dataset.open(tmp_path / "out").load("exp01").samples[:, 0]
    np.testing.assert_array_equal(samples[3:, : N - 5], told[1][1])
    assert np.isnan(samples[3:, N - 5 :]).all()
    assert not np.isnan(samples[:3]).any()
    assert any("gyro_exp01_user01.txt is 5 samples shorter than its other file" in note for note in result.notes)


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("1 1 5 3 61", "line 1 of labels.txt labels samples up to 61, exp01 has 60"),
        ("1 1 5 7 3", "line 1 of labels.txt goes from sample 7 to 3"),
        ("1 1 5 0 3", "line 1 of labels.txt goes from sample 0 to 3, expected 1 or more"),
        ("1 1 13 1 3", "line 1 of labels.txt has activity 13, expected 1 to 12"),
        ("1 1 0 1 3", "line 1 of labels.txt has activity 0, expected 1 to 12"),
        ("2 1 5 1 3", "line 1 of labels.txt labels experiment 2 of user 1, which has no file"),
        ("1 2 5 1 3", "line 1 of labels.txt labels experiment 1 of user 2, which has no file"),
        ("1 1 5 1 7\n1 1 4 7 9", "line 1 of labels.txt labels exp01 up to sample 7 and line 2 of labels.txt from 7"),
        ("1 1 5 7 9\n1 1 4 1 8", "line 2 of labels.txt labels exp01 up to sample 8 and line 1 of labels.txt from 7"),
        ("1 1 5 1", "line 1 of labels.txt has 4 values, expected 5 numbers"),
        ("1 1 5 1 3.5", "the last sample is 3.5 in line 1 of labels.txt, expected a whole number"),
        ("1 1 5 1 3\n\n1 1 4 4 5", "line 2 of labels.txt is empty"),
        ("", "labels.txt holds no line"),
        ("1 1 STANDING 1 3", "value 3 in line 1 of labels.txt is 'STANDING', expected a number"),
    ],
)
def test_labels_that_cannot_be(tmp_path, labels, told):
    write_hapt(tmp_path / "set", labels=[labels])
    with pytest.raises(DataError, match=re.escape(told)) as error:
        import_hapt(tmp_path / "set", tmp_path / "out")
    assert str(error.value).startswith("E-DATA-016: ")
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def remove(name):
    return lambda raw: (raw / name).unlink()


def rewrite(name, text):
    return lambda raw: (raw / name).write_text(text)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (remove("gyro_exp01_user01.txt"), "acc_exp01_user01.txt is there and gyro_exp01_user01.txt is not"),
        (remove("acc_exp01_user01.txt"), "gyro_exp01_user01.txt is there and acc_exp01_user01.txt is not"),
        (remove("labels.txt"), "has no labels.txt in it, expected the raw HAPT folder"),
        (rewrite("gyro_exp01_user01.txt", "1 2\n"), "line 1 of gyro_exp01_user01.txt has 2 values, expected 3"),
        (rewrite("gyro_exp01_user01.txt", ""), "gyro_exp01_user01.txt is empty"),
        (
            rewrite("gyro_exp01_user01.txt", "1 2 3\n" * 9),
            "has 60 lines and gyro_exp01_user01.txt 9, expected the same",
        ),
        (rewrite("acc_exp01_user01.txt", "1 2 3\n1 2 z\n"), "value 3 in line 2 of acc_exp01_user01.txt is 'z'"),
        (rewrite("../activity_labels.txt", "1 A\n3 B\n"), "line 2 of activity_labels.txt is '3 B', expected '2 NAME'"),
    ],
)
def test_files_that_cannot_be(tmp_path, spoil, told):
    write_hapt(tmp_path / "set", {(1, 1): (N, N)}, ["1 1 5 3 7"])
    spoil(tmp_path / "set" / "RawData")
    with pytest.raises(DataError, match=re.escape(told)):
        import_hapt(tmp_path / "set", tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["set"]


def test_a_long_difference_is_a_file_cut_off(tmp_path):
    write_hapt(tmp_path / "set", {(1, 1): (200, 149)})
    with pytest.raises(DataError, match=r"acc_exp01_user01.txt has 200 lines and gyro_exp01_user01.txt 149"):
        import_hapt(tmp_path / "set", tmp_path / "out")


def test_one_experiment_of_two_users_and_a_user_in_both_splits(tmp_path):
    write_hapt(tmp_path / "set", {(1, 1): (N, N), (1, 2): (N, N)})
    with pytest.raises(DataError, match=r"experiment 1 in .* belongs to two users"):
        import_hapt(tmp_path / "set", tmp_path / "out")
    write_hapt(tmp_path / "other")
    write_split(tmp_path / "other", train=[1], test=[1])
    with pytest.raises(DataError, match=r"user 1 stands in subject_id_train.txt and in subject_id_test.txt"):
        import_hapt(tmp_path / "other", tmp_path / "out")


def test_a_source_that_is_none(tmp_path):
    (tmp_path / "file.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    with pytest.raises(DataError, match="is a file, expected the raw HAPT folder; unpack it"):
        import_hapt(tmp_path / "file.zip", tmp_path / "out")
    with pytest.raises(DataError, match="does not exist, expected the raw HAPT folder"):
        import_hapt(tmp_path / "nothing", tmp_path / "out")
    write_hapt(tmp_path / "a" / "one")
    write_hapt(tmp_path / "a" / "two")
    with pytest.raises(DataError, match=r"more than once \(one.RawData, two.RawData\); name one"):
        import_hapt(tmp_path / "a", tmp_path / "out")


@pytest.mark.real_data
def test_real_recordings_written_raw_and_imported_are_the_same(tmp_path, shared_data):
    shared = Dataset.open(shared_data / "hapt")
    chosen = [shared.load(row.recording) for row in shared.table[:1] + shared.table[6:8]]
    raw = tmp_path / "HAPT Data Set" / "RawData"
    raw.mkdir(parents=True)
    labels = []
    for r in chosen:
        number, user = int(r.name[3:]), int(r.subject[1:])
        write_numbers(raw / f"acc_exp{number:02d}_user{user:02d}.txt", r.samples[:3, 0])
        write_numbers(raw / f"gyro_exp{number:02d}_user{user:02d}.txt", r.samples[3:, 0])
        borders = [0, *(np.flatnonzero(np.diff(r.labels)) + 1).tolist(), r.n_samples]
        for start, end in pairwise(borders):
            if r.labels[start] >= 0:
                labels.append(f"{number} {user} {r.labels[start] + 1} {start + 1} {end}")
    (raw / "labels.txt").write_text("\n".join(labels))
    write_split(raw.parent, train=sorted({int(r.subject[1:]) for r in chosen}), test=[31])
    import_hapt(tmp_path, tmp_path / "out")

    data = Dataset.open(tmp_path / "out")
    assert [(r.recording, r.subject, r.n_rows, r.meta["split"]) for r in data.table] == [
        (r.name, r.subject, r.n_samples, r.meta["split"]) for r in chosen
    ]
    for expected in chosen:
        found = data.load(expected.name)
        np.testing.assert_array_equal(found.samples, expected.samples)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_array_equal(found.time_s, expected.time_s)
    written = yaml.safe_load((tmp_path / "out" / "dataset.yaml").read_text())
    real = yaml.safe_load((shared_data / "hapt" / "dataset.yaml").read_text())
    same = ("format", "name", "title", "rate_hz", "sensors", "channels", "units", "classes", "licence", "citation")
    assert {k: written[k] for k in same} == {k: real[k] for k in same}
    with (shared_data / "hapt" / "recordings.csv").open() as file:
        assert set(next(csv.reader(file))) == set(data.table[0].meta)
