"""Windows of UCI HAR, cut by the tests from signals that must come out again."""

import re

import numpy as np
import pytest

from conv2d.data import Dataset
from conv2d.data.importers.uci_har import import_uci_har
from conv2d.errors import DataError

SIGNALS = [f"{kind}_{axis}" for kind in ("total_acc", "body_gyro") for axis in "xyz"]


def make_signal(n_windows, seed):
    return np.random.default_rng(seed).normal(size=(6, 64 * (n_windows + 1))).astype(np.float32)


def cut(signal):
    n = signal.shape[1] // 64 - 1
    return np.stack([signal[:, 64 * i : 64 * i + 128] for i in range(n)], axis=1)


def write_split(folder, split, pieces):
    """Pieces: (subject, label, signal), one after the other."""
    inertial = folder / split / "Inertial Signals"
    inertial.mkdir(parents=True)
    windows = np.concatenate([cut(signal) for _, _, signal in pieces], axis=1)
    for name, rows in zip(SIGNALS, windows, strict=True):
        # As published: blanks in front, and an exponent of three digits.
        lines = [" " + " ".join(re.sub(r"e([+-])(\d\d)$", r"e\g<1>0\2", f"{v: .9e}") for v in row) for row in rows]
        (inertial / f"{name}_{split}.txt").write_text("\n".join(lines) + "\n")
    counts = [signal.shape[1] // 64 - 1 for _, _, signal in pieces]
    for name, values in (("subject", [p[0] for p in pieces]), ("y", [p[1] for p in pieces])):
        (folder / split / f"{name}_{split}.txt").write_text("".join(f"{v}\n" for v in np.repeat(values, counts)))


TRAIN = [(1, 5, make_signal(3, 0)), (1, 4, make_signal(1, 1)), (3, 4, make_signal(2, 2)), (3, 4, make_signal(2, 3))]
TEST = [(2, 1, make_signal(4, 4))]


@pytest.fixture
def folder(tmp_path):
    write_split(tmp_path / "UCI HAR Dataset", "train", TRAIN)
    write_split(tmp_path / "UCI HAR Dataset", "test", TEST)
    return tmp_path / "UCI HAR Dataset"


def test_signals_come_out_as_they_were_before_they_were_cut(folder, tmp_path):
    result = import_uci_har(folder, tmp_path / "out")
    data = Dataset.open(tmp_path / "out")
    told = [("p01_001", "p01", "train"), ("p01_002", "p01", "train"), ("p03_001", "p03", "train")]
    told += [("p03_002", "p03", "train"), ("p02_001", "p02", "test")]
    assert [(r.recording, r.subject, r.meta["split"]) for r in data.table] == told
    for (name, _, _), (_, label, signal) in zip(told, TRAIN + TEST, strict=True):
        recording = data.load(name)
        np.testing.assert_array_equal(recording.samples[:, 0], signal)
        assert set(recording.labels.tolist()) == {label - 1}
        np.testing.assert_array_equal(recording.time_s, np.arange(signal.shape[1]) / 50)
    assert data.row("p02_001").meta["windows"] == "4"
    assert result.n_rows == sum(signal.shape[1] for _, _, signal in TRAIN + TEST)
    assert result.notes[0].startswith("12 windows were joined into 5 recordings of one activity each; 1 windows")
    assert data.meta.units["acc"] == "g, gravity included"
    assert "same people and recordings as hapt: never train on one and test on the other" in result.notes
    assert "3 of the 30 published subjects are there" in result.notes
    assert "12 of the 10299 published windows are there" in result.notes
    assert set(result.notes) == set(data.meta.notes)


def test_one_label_or_subject_ends_a_stretch_though_the_signal_goes_on(tmp_path):
    signal = make_signal(3, 0)
    parts = [signal[:, :192], signal[:, 128:]]  # two windows, and one that continues them
    write_split(tmp_path / "a", "train", [(1, 1, parts[0]), (1, 2, parts[1])])
    write_split(tmp_path / "a", "test", [(3, 1, parts[0]), (4, 1, parts[1])])
    import_uci_har(tmp_path / "a", tmp_path / "out")
    lengths = [r.n_rows for r in Dataset.open(tmp_path / "out").table]
    assert lengths == [192, 128, 192, 128]


def test_one_channel_that_differs_ends_a_stretch(tmp_path):
    windows = make_signal(2, 0)
    for split, subject in (("train", 1), ("test", 2)):
        write_split(tmp_path / "a", split, [(subject, 1, windows)])
    path = tmp_path / "a" / "test" / "Inertial Signals" / "body_gyro_z_test.txt"
    first, second = path.read_text().splitlines()
    fields = second.split()
    fields[63] = "9.0"
    path.write_text("\n".join([first, " ".join(fields)]))
    import_uci_har(tmp_path / "a", tmp_path / "out")
    assert [r.n_rows for r in Dataset.open(tmp_path / "out").table] == [192, 128, 128]


def change(name, function):
    def spoil(folder):
        path = folder / name
        path.write_text(function(path.read_text()))

    return spoil


def without_last(separator):
    return lambda text: text.rstrip().rpartition(separator)[0]


SIGNAL = "train/Inertial Signals/total_acc_y_train.txt"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (change(SIGNAL, without_last(" ")), "line 8 of total_acc_y_train.txt has 127 values"),
        (change(SIGNAL, without_last("\n")), "total_acc_y_train.txt has 7 lines and subject_train.txt 8"),
        (change("train/y_train.txt", lambda t: t[:-2]), "y_train.txt has 7 lines and subject_train.txt 8"),
        (change("train/y_train.txt", lambda t: "7" + t[1:]), "line 1 of y_train.txt has label 7, expected 1 to 6"),
        (change("test/subject_test.txt", lambda t: "1\n" * 4), "subject 1 stands in subject_train.txt"),
        (lambda folder: (folder / SIGNAL).unlink(), "cannot read"),
        (lambda folder: (folder / "test" / "y_test.txt").unlink(), "cannot read"),
        (lambda folder: (folder / "train").rename(folder / "x"), "has no train/Inertial Signals in it"),
    ],
)
def test_files_that_cannot_be(folder, tmp_path, spoil, told):
    spoil(folder)
    with pytest.raises(DataError, match=re.escape(told)):
        import_uci_har(folder, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]
