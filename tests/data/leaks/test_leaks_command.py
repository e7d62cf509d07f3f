"""``conv2d data leaks`` as a person and a machine call it, on simulated animals and on the real sets."""

import csv
import json
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conv2d.cli.main import main
from conv2d.data import Dataset
from conv2d.data.leaks import Cutting, measure_leaks
from conv2d.data.simulate import simulate_dataset


@pytest.fixture
def scripted(simulated_dataset, tmp_path):
    """The simulated set, every recording labelled by its thirds."""
    folder = tmp_path / "scripted"
    shutil.copytree(simulated_dataset.path, folder)
    names = simulated_dataset.meta.classes
    for path in sorted((folder / "recordings").iterdir()):
        table = pq.read_table(path)
        labels = [names[min(3 * i // len(table), 2)] for i in range(len(table))]
        pq.write_table(table.set_column(table.column_names.index("label"), "label", pa.array(labels)), path)
    return folder


def run(capsys, *args):
    code = main(["data", "leaks", *map(str, args)])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def test_a_person_is_told_what_leaks_and_what_it_means(scripted, capsys):
    code, out, _ = run(capsys, scripted)
    assert code == 0
    assert "leak: the position in the recording (share of the recording) reaches" in out
    assert "labels follow the course of the recording, as in a script" in out
    assert "scripted: the 1 or 2" in out or "NOT_APPLICABLE" in out
    assert "(simulated)" in out
    assert "2 s (no experiment was given)" in out


def test_a_machine_gets_one_object(scripted, capsys):
    code, out, err = run(capsys, scripted, "--json", "--seed", 3, "--draws", 399)
    assert (code, err) == (0, "")
    told = json.loads(out, parse_constant=pytest.fail)
    assert "position" in told["leaks"]
    position = told["inputs"]["position"]
    assert position["verdict"] == "leak"
    assert position["balanced_accuracy"] > position["chance"]["q95"] > position["chance"]["mean"]
    assert set(position["by_subject"]) == set(told["subjects"])
    assert told["provenance"]["data_sha256"] == Dataset.open(scripted).sha256()
    assert told["draws"] == 399
    assert run(capsys, scripted, "--json", "--seed", 3, "--draws", 399)[1] == out


def test_files_hold_the_same_and_appear_whole(scripted, tmp_path, capsys):
    out = tmp_path / "audit"
    code, shown, _ = run(capsys, scripted, "--output", out, "--json")
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == ["leaks.csv", "leaks.json", "leaks.png"]
    assert json.loads((out / "leaks.json").read_text()) == json.loads(shown)
    rows = list(csv.DictReader((out / "leaks.csv").read_text().splitlines()))
    position = [row for row in rows if row["input"] == "position"]
    assert len(position) == 1 + 6
    told = json.loads(shown)["inputs"]["position"]
    assert float(position[0]["balanced_accuracy"]) == pytest.approx(told["balanced_accuracy"], rel=1e-5)
    assert (out / "leaks.png").read_bytes()[:4] == b"\x89PNG"
    assert run(capsys, scripted, "--output", out)[0] == 0  # its own folder is replaced
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    code, _, err = run(capsys, scripted, "--output", tmp_path / "other")
    assert (code, "E-OUT-001" in err) == (2, True)


def test_a_leak_can_be_an_error(scripted, simulated_dataset, capsys):
    code, _, err = run(capsys, scripted, "--require")
    assert code == 4
    assert "leaks label by position" in err
    assert run(capsys, simulated_dataset.path, "--require")[0] == 0


def test_a_leak_that_cannot_be_measured_is_no_pass(simulated_dataset, capsys):
    code, out, err = run(capsys, simulated_dataset.path, "--target", "subject", "--require")
    assert code == 5
    assert "none of the inputs that could leak was measured" in err
    assert "expected one at least" in err
    # One sentence for all of them, not one each.
    assert out.count("every class of subject is of one subject only") == 1
    assert "NOT_MEASURED: all inputs: every class of subject" in out


def test_a_model_is_held_against_the_inputs(scripted, tmp_path, capsys):
    names = Dataset.open(scripted).meta.classes
    (tmp_path / "run").mkdir()
    scores = {"balanced_accuracy": 0.9, "per_class": {name: {"f1": 0.5} for name in names}}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"inner_out_of_fold": scores}))
    code, out, _ = run(capsys, scripted, "--run", tmp_path / "run", "--json")
    told = json.loads(out)
    position = told["inputs"]["position"]
    expected = position["excess"] / (0.9 - position["chance"]["mean"])
    assert (code, told["model"]["share_of_model"]["position"]) == (0, pytest.approx(expected))
    # A results folder has the classes beside the level.
    metrics = {"level": {"window": {"balanced_accuracy": 0.9}}, "per_class": scores["per_class"]}
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    code, out, _ = run(capsys, scripted, "--run", tmp_path / "run")
    assert (code, "model: balanced accuracy 0.900" in out) == (0, True)
    del scores["per_class"][names[0]]
    (tmp_path / "run" / "metrics.json").write_text(json.dumps({"inner_out_of_fold": scores}))
    code, _, err = run(capsys, scripted, "--run", tmp_path / "run")
    assert (code, "E-DATA-023" in err, "give the run's experiment with --config" in err) == (2, True, True)
    (tmp_path / "run" / "metrics.json").write_text("{}")
    code, _, err = run(capsys, scripted, "--run", tmp_path / "run")
    assert (code, "holds no balanced accuracy of windows" in err) == (2, True)


def test_a_run_brings_its_windows(trained_run, simulated_dataset, capsys):
    code, out, _ = run(capsys, simulated_dataset.path, "--run", trained_run, "--json")
    told = json.loads(out)
    assert (code, told["windows"]["origin"]) == (0, "as experiment small says")
    metrics = json.loads((trained_run / "metrics.json").read_text())
    assert told["model"]["balanced_accuracy"] == metrics["inner_out_of_fold"]["balanced_accuracy"]


def test_windows_come_from_the_experiment(simulated_dataset, tmp_path, capsys):
    text = "name: x\ndata: {name: simulated, sampling_rate: 50, window_size: 64, sensors: [back], classes: all}\n"
    (tmp_path / "x.yaml").write_text(text)
    code, out, _ = run(capsys, simulated_dataset.path, "--config", tmp_path / "x.yaml", "--json")
    windows = json.loads(out)["windows"]
    assert (code, windows["seconds"], windows["origin"]) == (0, 1.28, "as experiment x says")
    code, out, _ = run(capsys, simulated_dataset.path, "--window", 0.5, "--json")
    assert json.loads(out)["windows"]["seconds"] == 0.5


def test_what_is_no_data_set_is_one_sentence(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    code, out, err = run(capsys, tmp_path / "raw")
    assert (code, out) == (3, "")
    assert "E-DATA-001" in err
    code, _, err = run(capsys, tmp_path, "--draws", 10)
    assert code == 2


def test_identity_is_all_there_is_to_say_of_the_subject(simulated_dataset, capsys):
    code, out, _ = run(capsys, simulated_dataset.path, "--target", "subject", "--json")
    told = json.loads(out)
    assert (code, told["leaks"]) == (0, [])
    assert told["identity"]["information_share"] == pytest.approx(1)
    assert {each["verdict"] for each in told["inputs"].values()} <= {"NOT_MEASURED", "NOT_APPLICABLE"}


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_nothing_leaks_on_simulated_animals(tmp_path, seed):
    data = simulate_dataset(tmp_path / "dogs", n_subjects=8, minutes=4, rate_hz=50, seed=seed)
    report = measure_leaks(data)
    assert report.leaks == []
    assert report.script.verdict != "scripted"


@pytest.mark.real_data
def test_the_real_sets_leak_as_is_known(shared_data):
    """Position: 0.53 against 0.09 (hapt) and 0.77 against 0.20 (sp_sw_har), as counted by others every half second."""
    hapt = measure_leaks(Dataset.open(shared_data / "hapt"))
    found = {each.name: each for each in hapt.inputs}
    assert found["position"].verdict == "leak"
    assert found["position"].balanced_accuracy == pytest.approx(0.528, abs=0.02)
    assert found["position"].chance == pytest.approx(0.086, abs=0.02)
    assert found["position"].subjects_above == 21
    assert found["time_of_day"].verdict == "NOT_MEASURED"
    assert hapt.script.verdict == "scripted"
    walks = Dataset.open(shared_data / "sp_sw_har")
    report = measure_leaks(walks, cutting=Cutting.of(walks, window_s=0.5))
    found = {each.name: each for each in report.inputs}
    assert found["position"].balanced_accuracy == pytest.approx(0.767, abs=0.03)
    assert found["position"].chance == pytest.approx(0.20, abs=0.02)
    assert found["columns"].verdict == "no leak"
    cows = measure_leaks(Dataset.open(shared_data / "cow_imu2x9"))
    found = {each.name: each for each in cows.inputs}
    assert (found["position"].verdict, found["sensors"].verdict) == ("NOT_APPLICABLE", "NOT_APPLICABLE")
    assert all(found[name].balanced_accuracy is not None for name in ("time_of_day", "date", "columns", "recording"))
    assert cows.identity.verdict == "random split leaks"
    assert cows.identity.tied["HeadNodding"] == "cow3819"
