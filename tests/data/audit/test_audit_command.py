"""``conv2d data audit`` as a person and a machine call it."""

import csv
import json

import pyarrow.parquet as pq
import pytest

from conv2d.cli.main import main
from conv2d.data.audit.findings import CHECKS, LEVELS
from conv2d.data.simulate import simulate_dataset


@pytest.fixture(scope="module")
def dogs(tmp_path_factory):
    return simulate_dataset(
        tmp_path_factory.mktemp("dogs") / "dogs", n_subjects=3, minutes=1, rate_hz=50, seed=1, defects=["stuck"]
    ).path


def test_text_has_findings_by_level_with_what_they_mean(dogs, capsys):
    assert main(["data", "audit", str(dogs)]) == 0
    text = capsys.readouterr().out
    first = text.splitlines()[0]
    assert first.startswith("simulated_dogs: simulated data, 6 recordings of 3 subjects, 9,000 rows at 50 Hz: ")
    assert text.index("FAULTS") < text.index("NOTES") < text.index("NOT MEASURED") < text.index("CLEAR")
    assert "[stuck] back/acc gives the same value for 2" in text
    assert "means: noise never repeats all axes" in text
    assert "do: blank these samples on import" in text
    assert "bouts by subject" in text
    assert "dog03" in text


def test_json_is_one_object_with_all_there_is(dogs, capsys):
    assert main(["data", "audit", str(dogs), "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    told = json.loads(shown.out)
    assert told["format"] == "conv2d-audit/1"
    assert [entry["id"] for entry in told["checks"]] == list(CHECKS)
    assert set(told["summary"]["levels"]) == set(LEVELS)
    assert told["summary"]["levels"]["fault"] == sum(f["level"] == "fault" for f in told["findings"]) > 0
    for finding in told["findings"]:
        assert set(finding) == {"id", "level", "status", "title", "evidence", "n_recordings", "recordings", "meaning",
                                "remedy"}  # fmt: skip
    assert set(told["recordings"]) == {f"dog0{i}_{part}" for i in (1, 2, 3) for part in (1, 2)}
    assert told["recordings"]["dog01_1"]["rows"] == 1500
    assert told["classes"]["by_subject"]["dog01"]
    assert told["thresholds"]["values"]["STUCK_S"] == 1.0


def test_require_ends_with_4_where_a_fault_is_found(dogs, tmp_path, capsys):
    assert main(["data", "audit", str(dogs), "--require"]) == 4
    assert "expected none; the first: " in capsys.readouterr().err
    clean = simulate_dataset(tmp_path / "clean", n_subjects=1, minutes=0.5, rate_hz=50, seed=1)
    assert main(["data", "audit", str(clean.path), "--require"]) == 0


def test_a_folder_that_is_no_data_set_ends_with_3(tmp_path, capsys):
    assert main(["data", "audit", str(tmp_path / "none")]) == 3
    assert "E-DATA-001" in capsys.readouterr().err
    assert main(["data", "audit", str(tmp_path), "--json"]) == 3
    assert json.loads(capsys.readouterr().err)["error"]["exit_code"] == 3


def test_output_holds_the_page_the_figures_and_what_was_worn(dogs, tmp_path, capsys):
    out = tmp_path / "audit"
    assert main(["data", "audit", str(dogs), "--output", str(out), "--nonwear-window", "0.2", "--window", "2"]) == 0
    assert "written to" in capsys.readouterr().out
    assert {p.name for p in out.iterdir()} == {"audit.json", "audit.html", "nonwear.parquet", "worn.csv"}
    told = json.loads((out / "audit.json").read_text())
    assert told["summary"]["window_s"] == 2.0
    page = (out / "audit.html").read_text()
    assert "Simulated data: no animal was recorded." in page
    assert page.count("<img ") >= 4
    assert 'src="data:image/' in page
    assert "http://" not in page.replace("http-equiv", "")
    assert "https://" not in page
    table = pq.read_table(out / "nonwear.parquet")
    assert table.column_names == ["recording", "sensor", "start_s", "end_s"]
    assert table.num_rows == len(told["not_worn"])
    with (out / "worn.csv").open() as file:
        worn = list(csv.DictReader(file))
    assert {row["sensor"] for row in worn} <= {"neck", "back"}
    assert worn
    # The same folder again is replaced; one that holds something else is not.
    assert main(["data", "audit", str(dogs), "--output", str(out)]) == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    assert main(["data", "audit", str(dogs), "--output", str(tmp_path / "mine")]) == 2
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    assert not list(tmp_path.glob("*.writing"))


def test_a_name_with_markup_is_text_on_the_page(tmp_path):
    from conv2d.data.audit import audit_dataset
    from conv2d.evaluation.audit_report import audit_page

    data = simulate_dataset(tmp_path / "dogs", n_subjects=1, minutes=0.5, rate_hz=50, seed=1)
    meta = (data.path / "dataset.yaml").read_text()
    (data.path / "dataset.yaml").write_text(meta.replace("name: simulated_dogs", "name: <script>x</script>"))
    assert "<script>" not in audit_page(audit_dataset(data.path))
