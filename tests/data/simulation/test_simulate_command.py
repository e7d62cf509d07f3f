"""``conv2d data simulate`` and its options."""

import json

import numpy as np
import pytest

from conv2d.cli.main import main
from conv2d.data import Dataset

SMALL = ["--subjects", "2", "--minutes", "0.5", "--rate", "25"]


def call(capsys, *arguments):
    code = main(["data", "simulate", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def test_levels_sizes_and_truth(tmp_path, capsys):
    quiet = [*SMALL, "--drop-outs", 0, "--label-noise", 0, "--drift", 0, "--sizes", "mixed"]
    code, out, _ = call(capsys, tmp_path / "a", *quiet, "--no-truth", "--json")
    assert code == 0
    result = json.loads(out)
    assert (result["simulated"], result["defects"], result["raw"]) == (True, [], None)
    data = Dataset.open(tmp_path / "a")
    assert not (data.path / "truth").exists()
    assert not any(np.isnan(r.samples).any() for r in data.load_all())
    assert any("sizes mixed" in note and "burst_share 0" in note for note in data.meta.notes)
    assert call(capsys, tmp_path / "b", *quiet)[0] == 0
    assert Dataset.open(tmp_path / "b").sha256() == data.sha256()
    parameters = json.loads((tmp_path / "b" / "truth.json").read_text())["parameters"]
    assert (parameters["acc_drift"], parameters["swapped_share"], parameters["sizes"]) == (0, 0, "mixed")


def test_defects_and_raw_files(tmp_path, capsys):
    code, out, _ = call(
        capsys, tmp_path / "dogs", *SMALL, "--defects", "stuck, hour", "--raw", tmp_path / "raw", "--seed", 5
    )
    assert code == 0
    assert "faults put in: stuck, hour" in out
    assert f"raw files of their sensors, each with its own clock, written to {tmp_path / 'raw'}" in out
    places = json.loads((tmp_path / "dogs" / "truth.json").read_text())["defects"]
    assert {p["kind"] for p in places} == {"stuck", "hour"}
    assert sorted(p.name for p in (tmp_path / "raw" / "neck").iterdir()) == [
        f"dog0{i}_{j}.csv" for i in (1, 2) for j in (1, 2)
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--defects", "scale,nope"], 2, "E-SIM-002: defect 'nope' is not known"),
        (
            ["--raw", "dogs/raw"],
            2,
            "E-SIM-001: raw files were to go to dogs/raw and the data set to dogs",
        ),
        (["--raw", "dogs"], 2, "E-SIM-001: raw files were to go to dogs"),
        (["--raw", "taken"], 3, "E-DATA-012: taken exists already"),
        (["--label-noise", "60"], 2, "E-SIM-001: swapped_share is 1.2, expected a share"),
        (["--sizes", "ponies"], 2, "--sizes"),
        (["--drift", "-1"], 2, "--drift"),
    ],
)
def test_what_is_off_is_said_before_anything_is_written(tmp_path, capsys, monkeypatch, arguments, code, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    found, out, err = call(capsys, "dogs", *SMALL, *arguments)
    assert (found, out) == (code, "")
    assert said in err
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]
