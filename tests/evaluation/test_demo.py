"""``conv2d demo``: the whole job from nothing, and nothing of anyone's is removed for it."""

import json
import shutil
from pathlib import Path

import pytest

from conv2d.cli.main import main
from conv2d.config import apply_overrides, load_config
from conv2d.data import Dataset
from conv2d.errors import UsageError
from conv2d.evaluation import demo
from conv2d.evaluation.demo import run_demo
from conv2d.logging.progress import NullProgress

SHORT = [
    "data.simulate={subjects: 4, minutes: 0.5, seed: 0}", "data.sampling_rate=50", "data.window_size=64",
    "data.hop=32", "data.decode_hop=16", "training.epochs=1", "training.windows_per_epoch=128",
    "training.batch_size=64", "training.inner_folds=2", "training.threads=1", "evaluation.baselines=[majority]",
]  # fmt: skip


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, without_figures: None) -> None:
    """The packaged experiment, but over in a second."""
    monkeypatch.setattr(demo, "load_config", lambda name, _: apply_overrides(load_config(name), SHORT))


@pytest.mark.usefixtures("short")
def test_the_demo_does_the_whole_job_and_says_that_it_is_simulated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == 0
    shown = capsys.readouterr()
    assert "windows (simulated data)" in shown.out
    last = shown.out.splitlines()[-1]
    assert last == "simulated data, run and results are in conv2d-demo; open conv2d-demo/results/report.html"
    assert sorted(path.name for path in Path("conv2d-demo").iterdir()) == ["data", "results", "run"]
    metrics = json.loads(Path("conv2d-demo/results/metrics.json").read_text())
    train = json.loads(Path("conv2d-demo/run/provenance.json").read_text())
    assert metrics["provenance"]["simulated"] is train["simulated"] is True
    assert not set(metrics["provenance"]["subjects"]) & set(train["subjects"])
    # once more, for a machine: the same figures, in the same place
    assert main(["demo", "--json"]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    again = json.loads(shown.out)
    assert (again.pop("output"), again.pop("report")) == ("conv2d-demo", "conv2d-demo/results/report.html")
    assert again == metrics


@pytest.mark.usefixtures("short")
@pytest.mark.parametrize("stopped", ["data.writing", "run.partial"])
def test_a_demo_that_was_stopped_is_begun_anew(tmp_path: Path, stopped: str, simulated_dataset: Dataset) -> None:
    (tmp_path / "demo" / stopped).mkdir(parents=True)
    (tmp_path / "demo" / stopped / "half").write_text("x")
    if stopped != "data.writing":
        shutil.copytree(simulated_dataset.path, tmp_path / "demo" / "data")
    run_demo(tmp_path / "demo", NullProgress())
    assert sorted(path.name for path in (tmp_path / "demo").iterdir()) == ["data", "results", "run"]


@pytest.mark.parametrize("theirs", ["data/dogs.csv", "data/recordings/a.parquet", "run/notes", "thesis.tex", "results"])
def test_a_folder_of_someone_else_is_refused_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    (tmp_path / "mine" / theirs).parent.mkdir(parents=True)
    (tmp_path / "mine" / theirs).write_text("mine")
    with pytest.raises(UsageError, match=r"E-OUT-001: .* holds something else than a demo"):
        run_demo(tmp_path / "mine", NullProgress())
    assert (tmp_path / "mine" / theirs).read_text() == "mine"


def test_a_data_set_of_someone_else_is_refused_even_under_the_names_of_a_demo(
    tmp_path: Path, simulated_dataset: Dataset
) -> None:
    shutil.copytree(simulated_dataset.path, tmp_path / "mine" / "data")
    description = tmp_path / "mine" / "data" / "dataset.yaml"
    description.write_text(description.read_text().replace("citation: simulated by conv2d", "citation: recorded by me"))
    with pytest.raises(UsageError, match="E-OUT-001"):
        run_demo(tmp_path / "mine", NullProgress())
    assert description.is_file()


def test_a_file_under_the_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "demo").write_text("mine")
    with pytest.raises(UsageError, match="E-OUT-001"):
        run_demo(tmp_path / "demo", NullProgress())
    assert (tmp_path / "demo").read_text() == "mine"
