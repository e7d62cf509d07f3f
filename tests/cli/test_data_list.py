"""``conv2d data list``: what lies below a folder, and what a data set holds."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conv2d.cli.main import main
from conv2d.data import Dataset
from conv2d.data.listing import find_datasets, list_dataset, list_recordings


@pytest.fixture
def shelf(simulated_dataset, tmp_path):
    """Two whole sets, one of them deep, a broken one, and what is none."""
    for place in ("dogs", "deep/er/dogs", ".hidden/dogs", "dogs/inner", "broken"):
        shutil.copytree(simulated_dataset.path, tmp_path / place)
    (tmp_path / "broken" / "recordings.csv").write_text("recording,subject\n")
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "dataset.yml").write_text("no")
    return tmp_path


def run(capsys, *args):
    code = main(["data", "list", *map(str, args)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_data_sets_are_found_below_but_not_inside_another(shelf):
    found = [str(path.relative_to(shelf)) for path in find_datasets(shelf)]
    assert found == ["broken", "deep/er/dogs", "dogs"]


def test_the_list_of_a_folder(shelf, simulated_dataset, capsys):
    code, out, err = run(capsys, shelf, "--json")
    assert (code, err) == (0, "")
    broken, deep, dogs = json.loads(out)["datasets"]
    assert set(broken) == {"path", "name", "fault"}
    assert "E-DATA-003" in broken["fault"]
    assert {**deep, "path": ""} == {**dogs, "path": ""}
    assert (dogs["subjects"], dogs["recordings"], dogs["rate_hz"]) == (6, 12, 50)
    rows = [simulated_dataset.load(row.recording) for row in simulated_dataset.table]
    labelled = sum((r.labels >= 0).sum() for r in rows) / sum(r.n_samples for r in rows)
    assert dogs["labelled_share"] == pytest.approx(labelled)
    assert dogs["hours"] == pytest.approx(sum(r.n_samples for r in rows) / 50 / 3600)
    code, out, _ = run(capsys, shelf)
    assert code == 0
    assert "2 x 9" in out
    assert "broken cannot be opened: E-DATA-003" in out


def test_the_recordings_of_a_data_set(simulated_dataset, capsys):
    code, out, _ = run(capsys, simulated_dataset.path, "--json")
    told = json.loads(out)
    assert (code, told["subjects"], len(told["recordings"])) == (0, 6, 12)
    for listed in told["recordings"]:
        recording = simulated_dataset.load(listed["recording"])
        counts = np.bincount(recording.labels[recording.labels >= 0], minlength=len(recording.classes))
        assert listed["labels"] == [recording.classes[k] for k in np.argsort(-counts, kind="stable") if counts[k]]
        assert listed["labelled_share"] == pytest.approx((recording.labels >= 0).mean())
        assert listed["seconds"] == pytest.approx(recording.n_samples / 50)
        assert listed["split"] == recording.meta["split"]
    code, out, _ = run(capsys, simulated_dataset.path)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "dog0" in line.split("_")[0]]
    assert "labels, commonest first" in out


@pytest.mark.parametrize("labels", [None, "", 1.5])
def test_nothing_annotated_is_a_share_of_zero(simulated_dataset, tmp_path, labels):
    shutil.copytree(simulated_dataset.path, tmp_path / "set")
    data = Dataset.open(tmp_path / "set")
    for row in data.table:
        path = data.recording_path(row.recording)
        table = pq.read_table(path)
        value = {None: pa.nulls(len(table)), "": pa.array([""] * len(table))}
        column = value.get(labels, pa.array(np.full(len(table), np.nan)))
        pq.write_table(table.set_column(table.column_names.index("label"), "label", column), path)
    listed = list_dataset(tmp_path / "set")
    assert (listed.labelled_share, listed.fault) == (0, "")
    assert list_recordings(data)[0].labels == ()


def test_faults_are_one_sentence(tmp_path, simulated_dataset, capsys):
    (tmp_path / "raw").mkdir()
    code, out, err = run(capsys, tmp_path / "raw")
    assert (code, out) == (3, "")
    assert "E-DATA-001: no folder at or below" in err
    assert run(capsys, tmp_path / "nowhere")[0] == 3
    (tmp_path / "file").write_text("x")
    assert "is a file" in run(capsys, tmp_path / "file")[2]
    shutil.copytree(simulated_dataset.path, tmp_path / "cut")
    path = next((tmp_path / "cut" / "recordings").iterdir())
    path.write_bytes(path.read_bytes()[:400])
    code, _, err = run(capsys, tmp_path / "cut")
    assert (code, "E-DATA-004" in err) == (3, True)
    assert "E-DATA-004" in list_dataset(tmp_path / "cut").fault
    shutil.copy(next((simulated_dataset.path / "recordings").glob(path.name)), path)
    table = pq.read_table(path).drop_columns(["label"])
    pq.write_table(table, path)
    assert "E-DATA-005" in run(capsys, tmp_path / "cut")[2]
