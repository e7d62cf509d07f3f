"""train, eval, crossval and run from the command line: what goes wrong is one sentence, and nothing half-written."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from conv2d.cli.main import main
from conv2d.config import Config, load_config
from conv2d.data import Dataset
from conv2d.logging.counters import count

TINY = """
name: tiny
data: {name: simulated_dogs, sampling_rate: 50, window_size: 64, decode_hop: 16}
model: {architecture: {width: 4, quantization: {positions: 4, embedding_dim: 8}}}
training: {epochs: 1, windows_per_epoch: 128, inner_folds: 2, threads: 1}
evaluation: {leak_permutations: 20, folds: 2, baselines: [majority]}
"""
Change = Callable[[Path], None]


@pytest.fixture
def place(tmp_path: Path, simulated_dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a copy of the simulated data set, to be broken, and an experiment that takes a second."""
    shutil.copytree(simulated_dataset.path, tmp_path / "dogs")
    (tmp_path / "tiny.yaml").write_text(TINY)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(autouse=True)
def without_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports of tables only: drawing takes longer than all the rest."""
    monkeypatch.setattr("conv2d.evaluation.outputs._figures", lambda *_: {})
    monkeypatch.setattr("conv2d.evaluation.outputs._worst_timelines", lambda *_: [])


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    code = main([str(arg) for arg in args])
    shown = capsys.readouterr()
    return code, shown.out, shown.err


def sentence(capsys: pytest.CaptureFixture[str], code: int, *args: object) -> str:
    """Run a command that must fail with a code, and return its only sentence."""
    got, out, err = run(capsys, *args)
    assert got == code, err
    assert out == ""
    assert "Traceback" not in err
    *progress, last = err.splitlines()
    assert not [line for line in progress if line.startswith("error")]
    assert last.startswith("error: ")
    return last


def edit(recording: str, change: Callable[[pa.Table], pa.Table]) -> Change:
    def apply(folder: Path) -> None:
        path = folder / "recordings" / f"{recording}.parquet"
        pq.write_table(change(pq.read_table(path)), path)

    return apply


def edit_all(change: Callable[[pa.Table], pa.Table]) -> Change:
    def apply(folder: Path) -> None:
        for path in sorted((folder / "recordings").iterdir()):
            edit(path.stem, change)(folder)

    return apply


def put(column: str, values: Callable[[np.ndarray], np.ndarray]) -> Callable[[pa.Table], pa.Table]:
    def apply(table: pa.Table) -> pa.Table:
        at = table.column_names.index(column)
        return table.set_column(at, column, pa.array(values(table[column].to_numpy())))

    return apply


def relabel(label: str | None, where: str | None = None) -> Callable[[pa.Table], pa.Table]:
    """All labels, or those that are ``where``, become another one or none."""

    def apply(table: pa.Table) -> pa.Table:
        labels = [label if where is None or old == where else old for old in table["label"].to_pylist()]
        return table.set_column(table.column_names.index("label"), "label", pa.array(labels, pa.string()))

    return apply


def keep_only(*labels: str) -> Callable[[pa.Table], pa.Table]:
    def apply(table: pa.Table) -> pa.Table:
        kept = pc.if_else(pc.is_in(table["label"], pa.array(labels)), table["label"], None)
        return table.set_column(table.column_names.index("label"), "label", kept)

    return apply


def without(sensor: str) -> Callable[[pa.Table], pa.Table]:
    def apply(table: pa.Table) -> pa.Table:
        for at, name in enumerate(table.column_names):
            if name.startswith(f"{sensor}/"):
                table = table.set_column(at, name, pa.array(np.full(len(table), np.nan, np.float32)))
        return table

    return apply


def recordings(change: Callable[[dict[str, str]], dict[str, str]]) -> Change:
    def apply(folder: Path) -> None:
        path = folder / "recordings.csv"
        rows = [change(row) for row in csv.DictReader(path.read_text().splitlines())]
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    return apply


def cut(name: str, share: float = 0.5) -> Change:
    def apply(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(len(content) * share)])

    return apply


def write(name: str, text: str) -> Change:
    def apply(folder: Path) -> None:
        (folder / name).write_text(text)

    return apply


def swapped(time_s: np.ndarray) -> np.ndarray:
    time_s = time_s.copy()
    time_s[[40, 41]] = time_s[[41, 40]]
    return time_s


def nothing(_: Path) -> None:
    pass


FIRST = "recordings/dog01_1.parquet"
BAD_DATA: dict[str, tuple[Change, list[str], str]] = {
    "missing column": (
        edit("dog01_1", lambda table: table.drop_columns(["neck/acc_x"])), [],
        "E-DATA-005: recording dog01_1 has no column neck/acc_x",
    ),
    "no label column": (edit("dog01_1", lambda table: table.drop_columns(["label"])), [], "has no column label"),
    "wrong rate": (
        edit("dog01_1", put("time_s", lambda t: 2 * t)), [], "E-DATA-007: recording dog01_1 has 25 samples per second"
    ),
    "rate of the config": (nothing, ["data.sampling_rate=100"], "sampled at 50 Hz, the config says"),
    "time that goes back": (
        edit("dog01_1", put("time_s", swapped)), [], "E-DATA-008: time_s of recording dog01_1 goes from 0.82 to 0.8"
    ),
    "time that is missing": (
        edit("dog01_1", put("time_s", lambda t: np.where(t == 0.5, np.nan, t))), [], "E-DATA-008"
    ),
    "channel without a value": (
        edit("dog01_1", put("neck/acc_x", lambda x: np.full_like(x, np.nan))), [],
        "E-DATA-009: channel acc_x of sensor neck in recording dog01_1 has no value",
    ),
    "infinite value": (edit("dog01_1", put("neck/acc_x", lambda x: np.full_like(x, np.inf))), [], "E-DATA-009"),
    "unknown label": (
        edit("dog01_1", relabel("swimming", "walking")), [], "E-DATA-010: recording dog01_1 has label 'swimming'"
    ),
    "no label at all": (edit_all(relabel(None)), [], "E-EXP-004: no window of the 8 recordings has a label"),
    "one class": (edit_all(keep_only("walking")), [], "E-EXP-005: every labelled window"),
    "one class asked for": (nothing, ["data.classes=[walking]"], "E-EXP-005: every labelled window"),
    "class that is not there": (nothing, ["data.classes=[resting, flying]"], "data.classes names 'flying'"),
    "sensor that is not there": (nothing, ["data.sensors=[neck, tail]"], "data.sensors names 'tail'"),
    "another number of channels": (nothing, ["data.channels=6"], "the experiment says 6 channels, the data set has 9"),
    "window longer than all": (
        nothing, ["data.window_size=2000", "data.decode_hop=1000"], "E-EXP-002: none of the 8 recordings"
    ),
    "truncated file": (cut(FIRST), [], "is truncated or not a Parquet file"),
    "empty file": (cut(FIRST, 0), [], "is truncated or not a Parquet file"),
    "foreign file": (write(FIRST, "time_s,label\n0,walking\n"), [], "E-DATA-004"),
    "rows lost": (edit("dog01_1", lambda table: table.slice(0, 900)), [], "has 900 rows, recordings.csv says 1500"),
    "no recording listed": (write("recordings.csv", "recording,subject,n_rows,rate_hz\n"), [], "lists no recording"),
    "empty table": (write("recordings.csv", ""), [], "E-DATA-003"),
    "no description": (write("dataset.yaml", ""), [], "E-DATA-002"),
    "all marked test": (recordings(lambda row: row | {"split": "test"}), [], "E-EXP-006: all 6 subjects"),
    "subject in two splits": (
        recordings(lambda row: row | {"split": "test" if row["recording"] == "dog01_1" else "train"}), [],
        "E-DATA-013: subject dog01 stands in split test and in train",
    ),
    "test subject that is not there": (
        nothing, ["data.test_subjects=[dog05, dgo06]"], "E-EXP-008: data.test_subjects names dgo06"
    ),
    "signal that never changes": (
        edit_all(put("back/gyr_z", lambda x: np.full_like(x, 3))), [], "E-EXP-003: channel back/gyr_z is 3"
    ),
    "sensor that nobody wore": (
        edit_all(without("neck")), [], "E-EXP-009: sensor neck has no value in any of the 8 recordings"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_DATA)
def test_bad_data_end_a_training_with_one_sentence_and_nothing_written(
    place: Path, capsys: pytest.CaptureFixture[str], case: str
) -> None:
    change, overrides, expected = BAD_DATA[case]
    change(place / "dogs")
    before = sorted(place.iterdir())
    said = sentence(capsys, 3, "train", "--config", "tiny.yaml", "--data", "dogs", "--output", "run", *overrides)
    assert expected in said
    assert sorted(place.iterdir()) == before


@pytest.mark.parametrize("case", ["truncated file", "one class", "no label at all"])
def test_bad_data_end_a_cross_validation_alike(place: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    change, overrides, expected = BAD_DATA[case]
    change(place / "dogs")
    before = sorted(place.iterdir())
    said = sentence(capsys, 3, "crossval", "--config", "tiny.yaml", "--data", "dogs", "--output", "cv", *overrides)
    assert expected.split(":")[0] in said
    assert sorted(place.iterdir()) == before


def test_fewer_subjects_than_folds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = ("crossval", "--config", "tiny.yaml", "--data", "dogs", "--folds", 7, "--output", "cv")
    assert "E-DATA-013: 7 folds need 7 subjects with labelled windows, there are 6" in sentence(capsys, 3, *args)
    assert not (place / "cv").exists()


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.epoch=1", "unknown key training.epoch; did you mean 'training.epochs'?"),
        ("model.architecture.temporal.type=viterbi", "model.architecture.temporal.type is 'viterbi'; expected"),
        ("model.architecture.quantization.levels=[8, 1]", "levels[1] is 1; expected a whole number from 2 to 255"),
        ("epochs", "expected key=value"),
    ],
)
def test_an_override_that_makes_no_sense(
    place: Path, capsys: pytest.CaptureFixture[str], override: str, expected: str
) -> None:
    args = ("train", "--config", "tiny.yaml", "--data", "dogs", "--output", "run", override)
    assert expected in sentence(capsys, 2, *args)
    assert not (place / "run").exists()


@pytest.mark.parametrize(
    ("args", "code", "expected"),
    [
        (("train",), 2, "neither --config nor --data was given"),
        (("train", "--config", "tiny.yaml"), 2, "experiment tiny names no data (data.path), and --data was not given"),
        (("train", "--config", "absent.yaml"), 2, "there is no experiment file 'absent.yaml'"),
        (("train", "--data", "absent"), 3, "E-DATA-001: absent does not exist"),
        (("train", "--data", "tiny.yaml"), 3, "E-DATA-001: tiny.yaml is a file"),
        (("train", "--config", "tiny.yaml", "--data", "dogs", "--seed", "-1"), 2, "seed"),
        (("crossval", "--config", "tiny.yaml", "--data", "dogs", "--folds", "1"), 2, "folds"),
        (("eval",), 2, "neither a run nor --config was given"),
        (("eval", "absent", "--data", "dogs"), 3, "E-RUN-003: absent is not a folder"),
        (("eval", "dogs", "--data", "dogs"), 3, "E-RUN-003: dogs has no provenance.json"),
        (("eval", "--config", "tiny.yaml", "--data", "dogs"), 3, "E-RUN-003: runs/tiny is not a folder"),
        (("run", "absent", "dogs"), 3, "E-RUN-003: absent is not a folder"),
    ],
)
def test_what_is_not_there_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], args: tuple[str, ...], code: int, expected: str
) -> None:
    before = sorted(place.iterdir())
    assert expected in sentence(capsys, code, *args)
    assert sorted(place.iterdir()) == before


def test_an_unknown_key_in_the_file_is_named_with_its_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "tiny.yaml").write_text(TINY + "evaluations: {}\n")
    said = sentence(capsys, 2, "train", "--config", "tiny.yaml", "--data", "dogs")
    assert "tiny.yaml:7: unknown key evaluations; did you mean 'evaluation'?" in said


@pytest.mark.parametrize("output", ["file", "full", "file/run"])
def test_a_run_is_never_written_over_anything(place: Path, capsys: pytest.CaptureFixture[str], output: str) -> None:
    (place / "file").write_text("mine")
    (place / "full").mkdir()
    (place / "full" / "mine").write_text("mine")
    args = ("train", "--config", "tiny.yaml", "--data", "dogs", "--output", output)
    said = sentence(capsys, 1 if output == "file/run" else 2, *args)
    assert ("/file: Not a directory; check the path" if output == "file/run" else f"E-OUT-002: {output} exists") in said
    assert (place / "file").read_text() == (place / "full" / "mine").read_text() == "mine"
    assert sorted(path.name for path in place.iterdir()) == ["dogs", "file", "full", "tiny.yaml"]


def test_an_error_is_one_json_object_with_json(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut(FIRST)(place / "dogs")
    code, out, err = run(capsys, "train", "--config", "tiny.yaml", "--data", "dogs", "--output", "run", "--json")
    assert (code, out) == (3, "")
    body = json.loads(err)["error"]
    assert (body["code"], body["exit_code"], body["kind"]) == ("E-DATA-004", 3, "DataError")


def test_every_command_prints_one_json_object_and_nothing_else(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def said(*args: object) -> dict[str, object]:
        code, out, err = run(capsys, *args, "--json")
        assert (code, err) == (0, "")
        assert out.count("\n") == 1
        values = json.loads(out)
        assert isinstance(values, dict)
        return values

    config = ("--config", "tiny.yaml", "--data", "dogs")
    trained = said("train", *config, "--output", "run")
    assert trained["run"] == "run"
    assert trained["data"]["subject_names"] == ["dog01", "dog02", "dog03", "dog04"]
    count("samples_missing", 10**9)  # by work that failed; `logged` looks for it
    evaluated = said("eval", "run", "--data", "dogs", "--output", "results", "--save-predictions")
    assert evaluated.pop("output") == "results"
    assert evaluated == json.loads((place / "results" / "metrics.json").read_text())
    assert logged(place / "results", evaluated) == ["fsq_config", "eval", "counters"]
    count("samples_missing", 10**9)
    crossed = said("crossval", *config, "--output", "cv")
    assert (crossed.pop("output"), crossed.pop("defaults")) == ("cv", [])
    assert crossed == json.loads((place / "cv" / "metrics.json").read_text())
    assert logged(place / "cv", crossed) == ["fsq_config", "fold", "fold", "crossval", "counters"]
    applied = said("run", "run", "dogs/recordings/dog05_1.parquet", "--output", "timeline")
    assert applied["recordings"] == 1
    assert applied["simulated"] is True
    assert sorted(path.name for path in (place / "timeline").iterdir()) == [
        "config.yaml", "dog05_1.png", "log.jsonl", "predictions.parquet", "segments.csv", "timeline.json"
    ]  # fmt: skip


def logged(folder: Path, metrics: Mapping[str, Any]) -> list[str]:
    """The events of a results folder's log, notes apart; each line must say where it belongs, as must the config."""
    facts, config = metrics["provenance"], load_config(folder / "config.yaml")
    assert config.sha256() == facts["config_sha256"]
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    for line in lines:
        assert (line["config_hash"], line["data_hash"]) == (facts["config_sha256"], facts["data_sha256"])
        assert (line["seed"], line["levels"]) == (facts["seed"], list(config.model.architecture.quantization.levels))
    *_, last, counters = lines
    assert last["macro_f1"] == metrics["level"]["window"]["macro_f1"]
    assert counters["counters"]["samples_missing"] < 10**9
    return [line["event"] for line in lines if line["event"] != "note"]


def test_a_person_is_told_what_was_chosen_and_that_it_is_simulated(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tiny = (
        "training.epochs=1", "training.windows_per_epoch=128", "training.inner_folds=2", "training.threads=1",
        "evaluation.baselines=[majority]", "data.window_size=64",
    )  # fmt: skip
    code, out, err = run(capsys, "train", "--data", "dogs", "--output", "run", *tiny)
    assert code == 0
    assert "default data.hop: 32 samples, half a window" in err
    assert "default data.sensors: all 2 (neck, back)" in err
    assert "data.window_size" not in err  # it was given
    assert "(simulated data)" in out
    assert out.splitlines()[-1] == "run written to run"
    code, out, _ = run(capsys, "eval", "run", "--data", "dogs", "--output", "results")
    assert code == 0
    assert "windows (simulated data)" in out
    assert "timelines (simulated data), * used" in out
    assert "hsmm *" in out
    assert "worst subject: dog0" in out
    code, out, _ = run(capsys, "run", "run", "dogs/recordings/dog01_1.parquet")
    assert code == 0
    assert "segments in 30.0 s of 1 simulated recordings" in out
    assert (place / "timelines" / "dog01_1" / "dog01_1.png").is_file()


def test_a_baseline_that_cannot_be_fitted_is_said_and_stands_in_the_table(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    quantization = "model.architecture.quantization.positions=2"
    short = (
        "data.window_size=8",
        "data.hop=8",
        "data.decode_hop=8",
        quantization,
        "evaluation.baselines=[random_kernels]",
    )
    code, _, err = run(capsys, "train", "--config", "tiny.yaml", "--data", "dogs", "--output", "run", *short)
    assert code == 0
    assert "note: the baseline random_kernels needs windows of 9 samples or more, data.window_size is 8" in err
    code, out, _ = run(capsys, "eval", "run", "--data", "dogs", "--output", "results")
    assert code == 0
    rows = {words[0]: words[1:] for line in out.splitlines() if (words := line.split())}
    assert rows["random_kernels"] == ["NOT_MEASURED"] * 5
    assert float(rows["majority"][0]) > 0


def test_an_experiment_that_simulates_needs_neither_data_nor_output(
    place: Path, capsys: pytest.CaptureFixture[str], small_config: Config
) -> None:
    text = TINY.replace("data: {", "data: {simulate: {subjects: 6, minutes: 1, seed: 3}, ")
    (place / "own.yaml").write_text(text.replace("name: tiny", "name: own"))
    assert run(capsys, "train", "--config", "own.yaml")[0] == 0
    assert (place / "runs" / "own" / "provenance.json").is_file()
    code, out, _ = run(capsys, "eval", "--config", "own.yaml", "--split", "test", "--json")
    assert code == 0
    metrics = json.loads(out)
    assert (metrics["output"], metrics["provenance"]["simulated"]) == ("reports/own", True)
    assert metrics["provenance"]["subjects"] == ["dog05", "dog06"]
    assert "Simulated data: no animal" in (place / "reports" / "own" / "report.html").read_text()
    # the same again: earlier results are replaced, and the run's own data are made anew
    assert json.loads(run(capsys, "eval", "runs/own", "--json")[1]) == metrics


def test_data_of_another_kind_are_not_put_in_for_those_of_the_run(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = (place / "dogs" / "dataset.yaml").read_text()
    (place / "dogs" / "dataset.yaml").write_text(description.replace("name: simulated_dogs", "name: other"))
    text = TINY.replace("data: {", "data: {simulate: {subjects: 6, minutes: 1, seed: 3}, ")
    (place / "own.yaml").write_text(text)
    assert run(capsys, "train", "--config", "own.yaml", "--data", "dogs", "--output", "run")[0] == 0
    said = sentence(capsys, 2, "eval", "run", "--output", "results")
    assert "E-EVAL-004: run was trained on data set other, its config leads to simulated_dogs" in said
