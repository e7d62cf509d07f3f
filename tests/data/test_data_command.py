"""``conv2d data`` as a person and a machine call it."""

import json

import pytest
import yaml

from conv2d.cli.main import main
from conv2d.data import Dataset


@pytest.fixture
def table(tmp_path):
    lines = [f"{i / 50},{i},{'sit' if i < 30 else 'walk'}" for i in range(60)]
    (tmp_path / "rex.csv").write_text("t,ax,what\n" + "\n".join(lines))
    mapping = {
        "name": "tiny", "time": "t", "channels": {"back/acc_x": "ax"}, "label": "what", "subject": {"constant": "rex"},
    }  # fmt: skip
    (tmp_path / "map.yaml").write_text(yaml.safe_dump(mapping))
    return tmp_path


def test_import_tells_what_it_wrote_and_where_the_rate_is_from(table, capsys):
    out = table / "out"
    assert main(["data", "import", "csv", str(table / "rex.csv"), str(out), "--map", str(table / "map.yaml")]) == 0
    text = capsys.readouterr().out
    assert "1 recordings of 1 subjects, 60 rows at 50 Hz (measured)" in text
    assert "walk: 30 rows, 0.6 s" in text
    assert Dataset.open(out).load("rex").n_samples == 60


def test_import_for_machines(table, capsys):
    call = ["data", "import", "csv", str(table), str(table / "out"), "--map", str(table / "map.yaml"), "--json"]
    assert main(call) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["n_rows"], result["rate_is_measured"], result["labels"]) == (60, True, {"sit": 30, "walk": 30})
    assert captured.err == ""
    assert main(call) == 3
    error = json.loads(capsys.readouterr().err)["error"]
    assert (error["code"], error["exit_code"]) == ("E-DATA-012", 3)


def test_bad_data_ends_with_3_and_a_bad_mapping_with_2(table, capsys):
    (table / "map.yaml").write_text((table / "map.yaml").read_text().replace("what", "waht"))
    call = ["data", "import", "csv", str(table / "rex.csv"), str(table / "out"), "--map", str(table / "map.yaml")]
    assert main(call) == 3
    assert "has no column 'waht'; did you mean what?" in capsys.readouterr().err
    (table / "map.yaml").write_text("nam: x")
    assert main(call) == 2
    assert "unknown key 'nam'; did you mean name?" in capsys.readouterr().err
    assert main(["data", "import", "xlsx", "a", "b", "--map", "c"]) == 2
    assert not (table / "out").exists()


def test_simulate(tmp_path, capsys):
    out = str(tmp_path / "dogs")
    assert main(["data", "simulate", out, "--subjects", "3", "--minutes", "0.5", "--rate", "25", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["simulated"] is True
    assert (result["n_recordings"], result["test_subjects"]) == (6, ["dog03"])
    assert result["sha256"] == Dataset.open(out).sha256()
    assert main(["data", "simulate", str(tmp_path / "two"), "--subjects", "2", "--minutes", "0.5", "--rate", "25"]) == 0
    assert "4 simulated recordings of 2 dogs" in capsys.readouterr().out
    assert main(["data", "simulate", str(tmp_path / "bad"), "--rate", "1"]) == 2
