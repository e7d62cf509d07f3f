"""The table of formats, and ``conv2d data import`` as a person and a machine call it."""

import ast
import importlib.util
import inspect
import json
import re

import numpy as np
import pytest

from conv2d.cli.main import main
from conv2d.data import Dataset
from conv2d.data.importers.registry import FORMATS, import_dataset
from conv2d.errors import UsageError


@pytest.mark.parametrize("name", FORMATS)
def test_every_entry_leads_to_a_function_that_takes_what_the_table_says(name):
    entry = FORMATS[name]
    parameters = inspect.signature(entry.load()).parameters
    assert list(parameters)[:3] == ["source", "out", "mapping"]
    assert parameters["progress"].kind is inspect.Parameter.KEYWORD_ONLY
    assert (parameters["mapping"].default is inspect.Parameter.empty) == (entry.mapping == "needed")
    assert ("preset" in parameters) == bool(entry.presets)
    assert ("data" in parameters) == entry.needs_data
    if entry.presets:
        assert parameters["preset"].default == entry.presets[0]


@pytest.mark.parametrize("name", [n for n, entry in FORMATS.items() if entry.presets])
def test_the_docs_of_a_format_name_its_presets(name):
    module = FORMATS[name].target.partition(":")[0]
    spec = importlib.util.find_spec(module)
    with open(spec.origin, encoding="utf-8") as file:
        text = ast.get_docstring(ast.parse(file.read()))
    assert [preset for preset in FORMATS[name].presets if not re.search(rf"\b{preset}\b", text)] == []


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("HAPT", {}, "unknown format 'HAPT'; did you mean hapt?"),
        ("pamap", {}, "unknown format 'pamap'; did you mean pamap2?"),
        ("xlsx", {}, "unknown format 'xlsx'; expected one of csv, parquet, hapt"),
        ("csv", {}, "format csv needs a mapping that says which column is what; give --map FILE"),
        ("hapt", {"mapping": "map.yaml"}, "format hapt takes no mapping, its columns are known; leave out --map"),
        ("hapt", {"preset": "all"}, "format hapt has no preset 'all'; it has none; leave out --preset"),
        ("pamap2", {"preset": "optional"}, "format pamap2 has no preset 'optional'; it has protocol, all"),
        ("csv", {"mapping": "m", "data": "d"}, "format csv brings its own samples and takes no data set"),
        ("boris", {}, "format boris holds labels only; name the data set that they belong to with --data DATASET"),
    ],
)
def test_a_call_that_is_off_is_refused_before_anything_is_read(tmp_path, name, options, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        import_dataset(name, tmp_path / "nothing", tmp_path / "out", **options)
    assert list(tmp_path.iterdir()) == []


def test_help_lists_the_formats_and_their_presets(capsys):
    assert main(["data", "import", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, entry in FORMATS.items():
        line = next(line for line in lines if line.split()[:1] == [name])
        assert entry.summary in line
        assert all(preset in line for preset in entry.presets)


@pytest.fixture
def mhealth(tmp_path):
    rows = np.random.default_rng(0).normal(size=(100, 24)).round(4)
    rows[:, 23] = np.repeat([0, 4], 50)
    (tmp_path / "set").mkdir()
    np.savetxt(tmp_path / "set" / "mHealth_subject1.log", rows, delimiter="\t", fmt="%g")
    return tmp_path


def test_import_for_a_person(mhealth, capsys):
    out = mhealth / "out"
    assert main(["data", "import", "mhealth", str(mhealth / "set"), str(out), "--preset", "limbs"]) == 0
    captured = capsys.readouterr()
    assert "1 recordings of 1 subjects, 100 rows at 50 Hz (as declared), 50 rows not annotated" in captured.out
    assert "  walking: 50 rows, 1.0 s" in captured.out
    assert "note: preset limbs leaves out the chest's accelerometer" in captured.out
    assert "importing mhealth done" in captured.err
    assert Dataset.open(out).meta.sensors == ("ankle", "arm")


def test_import_for_a_machine(mhealth, capsys):
    call = ["data", "import", "mhealth", str(mhealth / "set"), str(mhealth / "out"), "--json"]
    assert main(call) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["n_rows"], result["labels"]["walking"], result["figures"]) == (100, 50, {})
    assert any("leaves out gyroscopes" in note for note in result["notes"])
    assert captured.err == ""
    assert main(call) == 3
    assert json.loads(capsys.readouterr().err)["error"]["code"] == "E-DATA-012"


def test_exit_codes(mhealth, capsys):
    assert main(["data", "import", "mhealt", str(mhealth / "set"), str(mhealth / "out")]) == 2
    assert "did you mean mhealth?" in capsys.readouterr().err
    (mhealth / "set" / "mHealth_subject1.log").write_text("1 2 3\n")
    assert main(["data", "import", "mhealth", str(mhealth / "set"), str(mhealth / "out")]) == 3
    assert "line 1 of mHealth_subject1.log has 3 values" in capsys.readouterr().err
    assert not (mhealth / "out").exists()


def test_an_interrupt_leaves_nothing(mhealth):
    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_dataset("mhealth", mhealth / "set", mhealth / "out", progress=interrupt)
    assert [p.name for p in mhealth.iterdir()] == ["set"]


def test_notes_of_a_table(tmp_path):
    rows = [f"{i / 50},{i},{'sit' if i < 20 else 'wlak'}" for i in range(40)]
    (tmp_path / "rex.csv").write_text("t,ax,what\n" + "\n".join(rows))
    mapping = {
        "name": "tiny", "time": "t", "channels": {"back/acc_x": "ax"}, "subject": {"constant": "rex"},
        "label": {"column": "what", "map": {"walk": "walking"}},
    }  # fmt: skip
    notes = import_dataset("csv", tmp_path, tmp_path / "out", mapping).notes
    assert any("the mapping gives no rate_hz; 50 Hz are" in note for note in notes)
    assert any("no row is labelled walking, which the mapping names" in note for note in notes)
    assert Dataset.open(tmp_path / "out").meta.notes == notes
    del mapping["label"]
    notes = import_dataset("csv", tmp_path, tmp_path / "two", {**mapping, "rate_hz": 50}).notes
    assert notes == ("the mapping names no column of labels, so nothing is annotated",)
