"""Writing: whole or not at all."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pyarrow.parquet as pq
import pytest

import conv2d.data.writer as writer_module
from conv2d.data import Dataset, DatasetWriter, Recording, write_dataset
from conv2d.data.meta import DatasetMeta
from conv2d.errors import DataError

META = DatasetMeta("x", 50.0, ("neck",), ("acc_x",), ("a", "b"))


def make_recording(name="r1", labels=None, n=20, **changes):
    labels = np.zeros(n, np.int64) if labels is None else labels
    values = {
        "name": name, "subject": "s", "rate_hz": 50.0, "sensors": META.sensors, "channels": META.channels,
        "time_s": np.arange(n) / 50, "samples": np.ones((1, 1, n), np.float32), "labels": labels,
        "classes": META.classes,
    }  # fmt: skip
    return Recording(**{**values, **changes})


def test_what_is_there_is_never_overwritten(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.tex").write_text("mine")
    write_dataset(tmp_path / "set", META, [make_recording()])
    for name in ("file", "folder", "set"):
        with pytest.raises(DataError, match=f"E-DATA-012: .*{name} exists already and is not overwritten"):
            write_dataset(tmp_path / name, META, [make_recording("r2")])
    assert (tmp_path / "file").read_text() == "mine"
    assert (tmp_path / "folder" / "thesis.tex").exists()
    assert [r.recording for r in Dataset.open(tmp_path / "set").table] == ["r1"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder", "set"]


def test_an_empty_folder_may_be_filled_and_parents_are_made(tmp_path):
    (tmp_path / "set").mkdir()
    write_dataset(tmp_path / "set", META, [make_recording()])
    write_dataset(tmp_path / "a" / "b" / "set", META, [make_recording()])
    assert Dataset.open(tmp_path / "set").sha256() == Dataset.open(tmp_path / "a" / "b" / "set").sha256()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, DataError])
def test_after_an_error_nothing_is_left(tmp_path, error):
    def recordings():
        yield make_recording()
        raise error("stop")

    with pytest.raises(error, match="stop"):
        write_dataset(tmp_path / "set", META, recordings())
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing(tmp_path):
    """A limit on the size of files stands for the full disk: writing fails half way through a recording."""
    script = """
        import resource, sys
        import numpy as np
        from conv2d.data import Recording, write_dataset
        from conv2d.data.meta import DatasetMeta
        from conv2d.errors import DataError
        n = 400_000
        meta = DatasetMeta("x", 50.0, ("neck",), ("acc_x",), ("a",))
        noise = np.random.default_rng(0).normal(size=(1, 1, n)).astype(np.float32)
        recording = Recording("r1", "s", 50.0, meta.sensors, meta.channels, np.arange(n) / 50, noise,
                              np.zeros(n, np.int64), meta.classes)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        try:
            write_dataset(sys.argv[1], meta, [recording])
        except DataError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "set")],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.stdout.startswith(f"E-DATA-012: cannot write {tmp_path / 'set'} (")
    assert "File too large" in run.stdout
    assert run.stdout.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"E-DATA-012: cannot write .*set"):
        write_dataset(tmp_path / "file" / "set", META, [make_recording()])


def test_recordings_that_do_not_fit(tmp_path):
    cases = {
        r"has \('back',\) x \('acc_x',\), the data set has \('neck',\) x \('acc_x',\)": [
            make_recording(sensors=("back",))
        ],
        "recording r1 is added twice": [make_recording(), make_recording()],
        r"labels of recording r1 are not within -1\.\.1": [make_recording(labels=np.full(20, 2))],
        "recording name '../r' cannot be a file's name": [make_recording("../r")],
    }
    for message, recordings in cases.items():
        with pytest.raises(ValueError, match=message):
            write_dataset(tmp_path / "set", META, recordings)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("changes", [{"subject": "re\rx"}, {"meta": {"start": "2024\n"}}])
def test_text_that_the_table_could_not_hold(tmp_path, changes):
    with pytest.raises(DataError, match=r"E-DATA-003: (subject|start) of recording r1 is .* expected one line of text"):
        write_dataset(tmp_path / "set", META, [make_recording(**changes)])
    assert list(tmp_path.iterdir()) == []


def test_labels_are_written_by_the_recording_s_own_classes(tmp_path):
    recording = make_recording(labels=np.array([0, 1, -1, 1]), n=4, classes=("b", "a"))
    write_dataset(tmp_path / "set", META, [recording])
    assert Dataset.open(tmp_path / "set").load("r1").labels.tolist() == [1, 0, -1, 0]


@pytest.mark.parametrize("open_files", [1, 2, 128])
def test_pieces_of_a_recording_are_joined_in_order(tmp_path, monkeypatch, open_files):
    monkeypatch.setattr(writer_module, "_OPEN_FILES", open_files)
    with DatasetWriter(tmp_path / "set", META) as writer:
        for first in range(0, 30, 10):
            time_s = np.arange(first, first + 10) / 50
            for name in ("r1", "r2"):
                writer.append(name, name, time_s, {"neck/acc_x": time_s}, np.full(10, first // 10 - 1), META.classes)
    data = Dataset.open(tmp_path / "set")
    assert [p.name for p in sorted((tmp_path / "set" / "recordings").iterdir())] == ["r1.parquet", "r2.parquet"]
    assert [r.n_rows for r in data.table] == [30, 30]
    for recording in data.load_all():
        np.testing.assert_allclose(recording.samples[0, 0], np.arange(30) / 50)
        assert recording.labels.tolist() == [-1] * 10 + [0] * 10 + [1] * 10


def test_columns_are_of_the_types_of_the_contract(tmp_path):
    write_dataset(tmp_path / "set", META, [make_recording(quality={"gap_ms": np.zeros(20, np.int16)})])
    schema = pq.read_schema(tmp_path / "set" / "recordings" / "r1.parquet")
    assert [(f.name, str(f.type)) for f in schema] == [
        ("time_s", "double"), ("neck/acc_x", "float"), ("gap_ms", "int16"), ("label", "string"),
    ]  # fmt: skip
