"""A trained behaviour run: what it holds, that it loads as it was, that its codes are its own."""

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import conv2d
from conv2d.config import Config, apply_overrides
from conv2d.data import Dataset
from conv2d.errors import DataError, UsageError
from conv2d.features.fsq_contract import encode_fsq
from conv2d.logging.progress import NullProgress
from conv2d.tasks.behavior.corpus import read_corpus, select
from conv2d.tasks.behavior.model import BehaviorModel
from conv2d.tasks.behavior.source import class_chance
from conv2d.tasks.behavior.task import BehaviorTask
from conv2d.training.fit import fit
from conv2d_core import fsq_decode

FILES = {
    "config.yaml", "model.safetensors", "model.json", "preprocess.json", "hsmm.json", "calibration.json",
    "label_map.json", "history.csv", "history.png", "inner_predictions.parquet", "metrics.json", "provenance.json",
    "log.jsonl", "baselines.safetensors", "seen.safetensors",
}  # fmt: skip


@pytest.fixture(scope="module")
def model(trained_run: Path) -> BehaviorModel:
    return conv2d.load(trained_run)


def test_a_run_has_its_files_and_nothing_else(trained_run: Path) -> None:
    assert {file.name for file in trained_run.iterdir()} == FILES
    assert not trained_run.with_name("small.partial").exists()


def test_what_is_written_says_where_it_comes_from(trained_run: Path, simulated_dataset: Dataset) -> None:
    facts = json.loads((trained_run / "provenance.json").read_text())
    assert facts["data_sha256"] == simulated_dataset.sha256()
    assert facts["subjects"] == ["dog01", "dog02", "dog03", "dog04"]
    events = [json.loads(line) for line in (trained_run / "log.jsonl").read_text().splitlines()]
    assert {"fsq_config", "trained", "counters"} <= {event["event"] for event in events}
    assert all(event["config_hash"] == facts["config_sha256"] for event in events)
    assert all(event["levels"] == [8, 5, 5, 5] and event["seed"] == 0 for event in events)
    rows = list(csv.DictReader((trained_run / "history.csv").read_text().splitlines()))
    assert {row["stage"] for row in rows} == {"inner_1", "inner_2", "final"}


def test_the_run_beats_the_commonest_class_on_dogs_it_has_not_seen(
    model: BehaviorModel, simulated_dataset: Dataset
) -> None:
    results = model.apply(model.read(simulated_dataset, ["dog05", "dog06"]))
    truth = np.concatenate([result.recording.labels for result in results])
    decoded = np.concatenate([result.sample_labels("hsmm") for result in results])
    labelled = truth >= 0
    majority = np.bincount(truth[labelled]).max() / labelled.sum()
    assert (decoded == truth)[labelled].mean() > majority + 0.1  # six dogs, ten epochs: seeds differ by 0.1


def test_labels_at_random_teach_nothing(simulated_dataset: Dataset, small_config: Config) -> None:
    selection = select(small_config.data, simulated_dataset)
    corpus = read_corpus(small_config, simulated_dataset, selection)
    random = np.random.default_rng(0)
    # Whole stretches of one label, as real ones are, but saying nothing of the signal beneath them.
    shuffled = tuple(
        replace(r, labels=np.repeat(random.integers(0, len(r.classes), 1 + r.n_samples // 150), 150)[: r.n_samples])
        for r in corpus.recordings
    )
    train = replace(corpus, recordings=shuffled).of(["dog01", "dog02", "dog03", "dog04"])
    task = BehaviorTask(small_config, train)
    fitted = fit(task, small_config.training, seed=0, progress=NullProgress())
    score = task.score(fitted.network, fitted.preprocess, task.inner_parts()[0][1])
    unseen = BehaviorTask(small_config, replace(corpus, recordings=shuffled).of(["dog05", "dog06"]))
    place = unseen.corpus.windows(small_config.data.hop, "centre", labelled=True)
    accuracy = (unseen.predict(fitted.network, fitted.preprocess, place).logits.argmax(1) == place.label).mean()
    chance = np.bincount(place.label).max() / len(place)
    assert accuracy < chance + 0.1
    assert score  # the seen part was scored too


def test_loading_gives_the_same_probabilities(
    model: BehaviorModel, trained_run: Path, simulated_dataset: Dataset
) -> None:
    corpus = model.read(simulated_dataset, ["dog05"])
    again = conv2d.load(trained_run)
    for first, second in zip(model.apply(corpus), again.apply(corpus), strict=True):
        assert np.array_equal(first.proba, second.proba)
        assert np.array_equal(first.filtered, second.filtered)
        assert first.segments() == second.segments()


def test_codes_are_the_same_for_one_window_and_for_many(model: BehaviorModel) -> None:
    x = np.random.default_rng(1).normal(0, 3, (9, 9, 2, 64)).astype(np.float32)
    together = encode_fsq(x, levels=[8, 5, 5, 5], embedding_dim=16, model=model)
    assert together.codes.shape == (9, 8)
    assert together.codes.dtype == np.int32
    assert together.features.dtype == together.embeddings.dtype == np.float32
    assert together.embeddings.shape == (9, 16)
    alone = np.concatenate([encode_fsq(x[i : i + 1], model=model).codes for i in range(9)])
    assert np.array_equal(together.codes, alone)
    values = fsq_decode(together.codes.ravel(), [8, 5, 5, 5]).reshape(9, 8, 4).transpose(0, 2, 1).reshape(9, -1)
    assert np.allclose(together.features, values, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"levels": [8, 6, 5]}, r"levels are \[8, 6, 5\], the model was trained with \[8, 5, 5, 5\]"),
        ({"embedding_dim": 64}, "embedding_dim is 64, the model was trained with 16"),
    ],
)
def test_codes_of_another_contract_are_refused(
    model: BehaviorModel, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        encode_fsq(np.zeros((1, 9, 2, 64), np.float32), model=model, **arguments)


def test_a_window_of_another_shape_is_refused_by_name(model: BehaviorModel) -> None:
    with pytest.raises(
        UsageError, match=r"windows have shape \(1, 7, 2, 64\), the model was trained with \(B, 9, 2, 64\)"
    ):
        encode_fsq(np.zeros((1, 7, 2, 64), np.float32), model=model)


def test_a_missing_sensor_and_missing_samples_do_not_break_it(model: BehaviorModel) -> None:
    x = np.random.default_rng(1).normal(0, 3, (2, 9, 2, 64)).astype(np.float32)
    x[0, :, 1] = np.nan
    x[1, 3, 0, 5:9] = np.nan
    result = encode_fsq(x, model=model)
    assert np.isfinite(result.embeddings).all()


@pytest.mark.parametrize("file", sorted(FILES - {"log.jsonl", "history.csv", "history.png", "metrics.json"}))
def test_a_damaged_run_is_refused_in_one_sentence(trained_run: Path, tmp_path: Path, file: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained_run, copy)
    content = (copy / file).read_bytes()
    (copy / file).write_bytes(content[: len(content) // 2])
    if file in ("baselines.safetensors", "inner_predictions.parquet", "seen.safetensors"):
        assert conv2d.load(copy)  # not read to apply the model
        return
    with pytest.raises(DataError) as caught:
        conv2d.load(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "file",
    ["provenance.json", "model.json", "preprocess.json", "calibration.json", "hsmm.json", "label_map.json"],
)
def test_an_unknown_version_is_refused(trained_run: Path, tmp_path: Path, file: str) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained_run, copy)
    stored = json.loads((copy / file).read_text())
    stored["format"] = stored["format"].replace("/1", "/99")
    (copy / file).write_text(json.dumps(stored))
    with pytest.raises(DataError, match="/99"):
        conv2d.load(copy)


@pytest.mark.parametrize(
    ("file", "key", "value"),
    [
        ("label_map.json", "classes", ["one", "two"]),
        ("calibration.json", "prior", [0.5, 0.5]),
        ("calibration.json", "prior", [[0.5], [0.5, 0.5]]),
    ],
)
def test_files_of_another_number_of_classes_are_refused(
    trained_run: Path, tmp_path: Path, file: str, key: str, value: object
) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained_run, copy)
    (copy / file).write_text(json.dumps({**json.loads((copy / file).read_text()), key: value}))
    with pytest.raises(DataError, match="copy the run again"):
        conv2d.load(copy)


def test_windows_without_data_are_not_trained_on(simulated_dataset: Dataset, small_config: Config) -> None:
    corpus = read_corpus(small_config, simulated_dataset, select(small_config.data, simulated_dataset))
    whole = BehaviorTask(small_config, corpus)
    lost = corpus.recordings[0].samples.copy()
    lost[..., 1000:2000] = np.nan
    holed = replace(corpus, recordings=(replace(corpus.recordings[0], samples=lost), *corpus.recordings[1:]))
    task = BehaviorTask(small_config, holed)
    gone = set(zip(whole.pool.recording, whole.pool.start, strict=True)) - set(
        zip(task.pool.recording, task.pool.start, strict=True)
    )
    assert len(task.pool) + len(gone) == len(whole.pool)
    assert {recording for recording, _ in gone} == {0}
    start = np.array(sorted(start for _, start in gone))
    assert ((start > 1000 - 32) & (start < 2000 - 32)).all()
    assert np.diff(start).max() == 2
    # Without the last sample of a run, or a window whose second half begins behind it would have enough data.
    rest = [(r.labels == 0) & (np.append(r.labels[1:], 0) == 0) for r in corpus.recordings]
    only = tuple(
        replace(r, samples=np.where(kept, r.samples, np.nan).astype(np.float32))
        for r, kept in zip(corpus.recordings, rest, strict=True)
    )
    with pytest.raises(DataError, match="E-EXP-005: every labelled window with data is "):
        BehaviorTask(small_config, replace(corpus, recordings=only))
    empty = tuple(replace(r, samples=np.full_like(r.samples, np.nan)) for r in corpus.recordings)
    with pytest.raises(DataError, match="E-EXP-009"):
        BehaviorTask(small_config, replace(corpus, recordings=empty))


def test_decoding_by_the_one_decoder_asked_for_gives_the_same_timeline(
    model: BehaviorModel, simulated_dataset: Dataset
) -> None:
    corpus = model.read(simulated_dataset, ["dog05"])
    for alone, every in zip(model.apply(corpus, decoders=[]), model.apply(corpus), strict=True):
        assert set(alone.decoded) == {model.decoding.name}
        assert alone.segments() == every.segments()


def test_without_quantisation_there_are_no_codes(simulated_dataset: Dataset, small_config: Config) -> None:
    config = apply_overrides(small_config, ["model.architecture.quantization.type=none", "training.epochs=1"])
    corpus = read_corpus(config, simulated_dataset, select(config.data, simulated_dataset))
    task = BehaviorTask(config, corpus)
    place = corpus.windows(64, "centre")
    scores = task.predict(task.network().eval(), task.fit_preprocess(task.whole()), place)
    assert scores.codes is None
    assert scores.margin is None


def test_rare_classes_are_drawn_more_often_but_not_at_any_price() -> None:
    label = np.array([0] * 90 + [1] * 10)
    assert class_chance(label, 3, "none").tolist() == [1, 1, 1]
    assert class_chance(label, 3, "balanced") * [0.9, 0.1, 1] == pytest.approx([1, 1, 1])
    assert class_chance(label, 3, "sqrt")[2] == 1  # never seen: no weight can help


def test_with_two_subjects_the_inner_split_is_by_time_and_says_so(
    simulated_dataset: Dataset, small_config: Config
) -> None:
    selection = select(small_config.data, simulated_dataset)
    task = BehaviorTask(small_config, read_corpus(small_config, simulated_dataset, selection, ["dog01", "dog02"]))
    window = small_config.data.window_size
    for train, held_out in task.inner_parts():
        assert len(held_out) > 0
        for recording in np.unique(train.recording):
            seen = train.start[train.recording == recording]
            unseen = held_out.start[held_out.recording == recording]
            assert (np.abs(seen[:, None] - unseen[None]) >= window).all() or not len(unseen)
    assert "blocks of time" in task.warnings[0]
