"""``Conv2dClassifier``: scikit-learn's own checks, the same training as ``conv2d train``, windows and recordings."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_classifiers_train, parametrize_with_checks

import conv2d
from conv2d import Conv2dClassifier, Dataset, Recording, cut_windows
from conv2d.config import Config
from conv2d.data.interchange.window_arrays import Windows
from conv2d.errors import ConfigError, DataError, GateFailed, UsageError
from conv2d.evaluation.apply import apply_run
from conv2d.evaluation.holdout import evaluate_run
from conv2d.logging.progress import NullProgress
from conv2d.tasks.behavior.classifier_arrays import lifted
from conv2d.tasks.behavior.in_memory import unmasked
from conv2d.tasks.behavior.model import BehaviorModel

# The simulated dogs are few: a rare class may be with one of them only, which is said and does no harm here.
pytestmark = pytest.mark.filterwarnings("ignore:class .* is absent from the training side:UserWarning")
UNGROUPED = "ignore:no groups were given:UserWarning"
QUICK: dict[str, Any] = {"epochs": 8, "width": 8, "inner_folds": 2, "n_threads": 1}
RATE, WINDOW = 50, 64


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def model(trained_run: Path) -> BehaviorModel:
    return conv2d.load(trained_run)


@pytest.fixture(scope="module")
def recordings(simulated_dataset: Dataset) -> list[Recording]:
    return list(simulated_dataset.load_all())


@pytest.fixture(scope="module")
def unseen(recordings: list[Recording]) -> list[Recording]:
    return [recording for recording in recordings if recording.subject in ("dog05", "dog06")]


@pytest.fixture(scope="module")
def windows(recordings: list[Recording]) -> Windows:
    return cut_windows(recordings, WINDOW)


@pytest.fixture(scope="module")
def on_recordings(simulated_dataset: Dataset, small_config: Config) -> Conv2dClassifier:
    """Fitted on what ``trained_run`` was trained on."""
    return Conv2dClassifier(small_config).fit(simulated_dataset)


def loudness(n: int = 90, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Windows (N, 3, 1, 32) whose class is how loud they are, labels, and three subjects."""
    rng = np.random.default_rng(seed)
    y = np.tile(["rest", "run"], n // 2)
    X = rng.normal(size=(n, 3, 1, 32)) * np.where(y == "run", 3.0, 0.3)[:, None, None, None]
    return X.astype(np.float32), y, np.repeat(["ann", "bob", "cid"], n // 3)


@pytest.fixture(scope="module")
def fitted() -> Conv2dClassifier:
    X, y, groups = loudness()
    return Conv2dClassifier(**QUICK).fit(X, y, groups=groups)


# scikit-learn's own checks


@pytest.mark.filterwarnings(UNGROUPED)
@parametrize_with_checks([Conv2dClassifier(epochs=5, calibrate=False, n_threads=1)], xfail_strict=True)
def test_scikit_learn_checks(estimator: Conv2dClassifier, check: Any) -> None:
    if check.func.__name__ == "check_array_api_input":
        pytest.skip("scikit-learn makes this check only where SCIPY_ARRAY_API is set, which SciPy must see first")
    check(estimator)


def test_the_checks_are_not_waved_through_by_a_tag() -> None:
    from sklearn.utils.estimator_checks import estimator_checks_generator

    assert len(list(estimator_checks_generator(Conv2dClassifier()))) >= 50


@pytest.mark.slow
@pytest.mark.filterwarnings(UNGROUPED)
@pytest.mark.parametrize("readonly", [False, True])
def test_the_default_parameters_are_good_enough_for_scikit_learn(readonly: bool) -> None:
    check_classifiers_train("Conv2dClassifier", Conv2dClassifier(n_threads=1), readonly_memmap=readonly)


# one trainer, one definition of a probability


def test_it_trains_what_the_command_trains(
    on_recordings: Conv2dClassifier, model: BehaviorModel, unseen: list[Recording], trained_run: Path, tmp_path: Path
) -> None:
    assert on_recordings.groups_ == ("dog01", "dog02", "dog03", "dog04")  # the others are marked test
    assert on_recordings.classes_.tolist() == list(model.classes)
    assert on_recordings.inner_split_ == "subject"
    assert np.array_equal(on_recordings.predict_proba(unseen), model.predict_proba(unseen))
    on_recordings.save(tmp_path / "run")
    shared = [
        "model.safetensors", "model.json", "preprocess.json", "calibration.json", "hsmm.json", "label_map.json",
        "config.yaml", "history.csv", "metrics.json", "inner_predictions.parquet", "seen.safetensors",
    ]  # fmt: skip
    for name in shared:
        assert (tmp_path / "run" / name).read_bytes() == (trained_run / name).read_bytes(), name
    assert {file.name for file in (tmp_path / "run").iterdir()} == {*shared, "provenance.json"}
    ours, theirs = (json.loads((run / "provenance.json").read_text()) for run in (tmp_path / "run", trained_run))
    assert ours["data_sha256"] == theirs["data_sha256"]
    assert ours["recordings"] == theirs["recordings"]


def test_recordings_in_memory_train_the_same_network(
    simulated_dataset: Dataset, recordings: list[Recording], unseen: list[Recording], small_config: Config
) -> None:
    classifier = Conv2dClassifier(small_config, epochs=1)
    from_files = clone(classifier).fit(simulated_dataset)
    seen = [recording for recording in recordings if recording.subject in from_files.groups_]
    subjects = [recording.subject for recording in seen]
    in_memory = clone(classifier).fit(seen, groups=subjects)  # as metadata routing hands them in
    assert in_memory.groups_ == from_files.groups_
    assert np.array_equal(in_memory.predict_proba(unseen), from_files.predict_proba(unseen))


def test_windows_have_the_probabilities_that_conv2d_run_writes(
    model: BehaviorModel, simulated_dataset: Dataset, unseen: list[Recording], tmp_path: Path
) -> None:
    recording = unseen[0]
    apply_run(model, simulated_dataset.recording_path(recording.name), tmp_path / "out", NullProgress())
    written = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pandas()
    proba = written[[f"p_{name}" for name in model.classes]].to_numpy()
    windows = cut_windows(recording, WINDOW, hop=8, labelled=False)
    whole = ~np.isnan(windows.X).any(axis=(1, 2, 3))
    rows = np.searchsorted(written["start_s"], windows.start_s[whole])
    assert np.array_equal(written["start_s"].to_numpy()[rows], windows.start_s[whole])
    assert whole.sum() > 100
    assert np.array_equal(model.predict_proba(windows.X[whole]), proba[rows])


@settings(max_examples=20)
@given(data=st.data())
def test_a_window_has_the_same_probabilities_whatever_stands_beside_it(data: st.DataObject, trained_run: Path) -> None:
    model = conv2d.load(trained_run)
    n = data.draw(st.integers(1, 70))
    X = np.random.default_rng(n).normal(0, 3, (n, 9, 2, WINDOW)).astype(np.float32)
    chosen = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=40)))
    assert np.array_equal(model.predict_proba(X)[chosen], model.predict_proba(X[chosen]))
    assert np.array_equal(model.encode(X).codes[chosen], model.encode(X[chosen]).codes)
    assert np.array_equal(model.encode(X).embeddings[chosen], model.encode(X[chosen]).embeddings)


def test_more_windows_than_are_looked_at_together(fitted: Conv2dClassifier, monkeypatch: pytest.MonkeyPatch) -> None:
    X, _, _ = loudness()
    proba = fitted.predict_proba(X)
    monkeypatch.setattr("conv2d.tasks.behavior.model.CHUNK", 7)
    assert np.array_equal(fitted.predict_proba(X), proba)


def test_frames_of_recordings_are_those_of_the_timeline(model: BehaviorModel, unseen: list[Recording]) -> None:
    timeline = model.predict_timeline(unseen)
    proba = model.predict_proba(unseen)
    assert np.array_equal(np.stack([timeline.frames[f"p_{name}"] for name in model.classes], 1), proba)
    assert np.array_equal(model.predict(unseen), np.asarray(model.classes)[proba.argmax(1)])
    codes = np.stack([timeline.frames[f"code_{place}"] for place in range(8)], 1)
    assert np.array_equal(model.encode(unseen).codes, codes)
    assert set(timeline.segments["recording"]) == {recording.name for recording in unseen}
    for recording in unseen:
        mine = timeline.segments["recording"] == recording.name
        assert timeline.segments["start_s"][mine][0] == recording.time_s[0]
        assert (timeline.segments["start_s"][mine][1:] == timeline.segments["end_s"][mine][:-1]).all()


def test_sensors_and_channels_are_picked_by_name(model: BehaviorModel, unseen: list[Recording]) -> None:
    recording = unseen[0]
    turned = replace(
        recording,
        sensors=recording.sensors[::-1],
        channels=recording.channels[::-1],
        samples=np.ascontiguousarray(recording.samples[::-1, ::-1]),
        classes=("unheard of", *recording.classes[::-1]),
        labels=np.where(recording.labels < 0, -1, len(recording.classes) - recording.labels),
    )
    assert np.array_equal(model.predict_proba(turned), model.predict_proba(recording))
    again = model.gather(turned).recordings[0]
    assert np.array_equal(again.labels, model.gather(recording).recordings[0].labels)


# runs, pickles


def test_a_saved_run_gives_the_same_numbers_and_can_be_judged(
    on_recordings: Conv2dClassifier, simulated_dataset: Dataset, unseen: list[Recording], tmp_path: Path
) -> None:
    opened = pickle.loads(pickle.dumps(on_recordings))
    opened.save(tmp_path / "run")
    loaded = conv2d.load(tmp_path / "run")
    assert np.array_equal(loaded.predict_proba(unseen), on_recordings.predict_proba(unseen))
    ours, theirs = (m.predict_timeline(unseen).segments.to_arrow() for m in (on_recordings, loaded))
    assert ours.equals(theirs)
    with pytest.raises(UsageError, match=r"E-OUT-002: .* a run is never overwritten"):
        opened.save(tmp_path / "run")
    metrics = evaluate_run(tmp_path / "run", simulated_dataset.path, "test", tmp_path / "results", NullProgress())
    assert set(metrics["baselines"].values()) == {"NOT_MEASURED"}
    assert "NOT_MEASURED" in (tmp_path / "results" / "report.html").read_text()
    accuracy = metrics["level"]["window"]["accuracy"]
    assert on_recordings.score(unseen) == pytest.approx(accuracy)


def test_pickles_hold_arrays_and_open_anywhere(fitted: Conv2dClassifier, tmp_path: Path) -> None:
    X, _, _ = loudness()
    stored = pickle.dumps(fitted)
    assert b"torch.storage" not in stored
    assert b"_rebuild_tensor" not in stored
    joblib.dump(fitted, tmp_path / "classifier.joblib")
    torch.manual_seed(5)
    before = torch.get_rng_state()
    opened = [pickle.loads(stored), joblib.load(tmp_path / "classifier.joblib", mmap_mode="r")]
    assert torch.equal(torch.get_rng_state(), before)
    for other in opened:
        assert np.array_equal(other.predict_proba(X), fitted.predict_proba(X))
    with pytest.raises(UsageError, match=r"E-API-025: the classifier was fitted on windows.* joblib\.dump"):
        fitted.save(tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_folds_in_other_processes_give_the_same_scores() -> None:
    X, y, groups = loudness()
    call = {"X": X, "y": y, "groups": groups, "cv": GroupKFold(3)}
    classifier = Conv2dClassifier(**QUICK, calibrate=False)
    assert np.array_equal(cross_val_score(classifier, n_jobs=2, **call), cross_val_score(classifier, **call))


def test_fitting_twice_gives_the_same_bits_and_leaves_the_caller_alone(fitted: Conv2dClassifier) -> None:
    X, y, groups = loudness()
    torch.manual_seed(11)
    np.random.seed(11)  # noqa: NPY002 (the caller's legacy generator is what must not move)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    torch.set_num_threads(2)
    again = Conv2dClassifier(**QUICK, random_state=0).fit(X, y, groups=groups)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1])  # type: ignore[index]  # noqa: NPY002
    assert np.array_equal(again.predict_proba(X), fitted.predict_proba(X))
    other = Conv2dClassifier(**QUICK, random_state=1).fit(X, y, groups=groups)
    assert not np.array_equal(other.predict_proba(X), fitted.predict_proba(X))
    drawn = [Conv2dClassifier(epochs=1, calibrate=False, random_state=np.random.RandomState(4)) for _ in range(2)]
    first, second = (classifier.fit(X, y).predict_proba(X) for classifier in drawn)
    assert np.array_equal(first, second)


# groups


def test_groups_hold_subjects_together_for_calibration(fitted: Conv2dClassifier) -> None:
    assert fitted.inner_split_ == "subject"
    assert fitted.groups_ == ("ann", "bob", "cid")
    assert fitted.notes_ == ()
    assert fitted.model_.fitted()["calibration"] == ("ann", "bob", "cid")


def test_without_groups_it_warns_and_remembers() -> None:
    X, y, _ = loudness()
    with pytest.warns(UserWarning, match="no groups were given, so the windows held out"):
        classifier = Conv2dClassifier(**QUICK).fit(X, y)
    assert classifier.inner_split_ == "time"
    assert "no groups were given" in classifier.notes_[0]
    assert classifier.groups_ == ()
    with pytest.warns(UserWarning, match=r"only 2 training subjects \(ann, bob\)"):
        two = Conv2dClassifier(**QUICK).fit(X, y, groups=np.tile(["ann", "bob"], 45))
    assert two.inner_split_ == "time"
    alone = Conv2dClassifier(epochs=1, calibrate=False).fit(X, y)  # nothing is held out, so there is nothing to say
    assert (alone.inner_split_, alone.notes_) == ("none", ())
    assert alone.model_.decoding.temperature.temperature_ == 1


@pytest.mark.filterwarnings(UNGROUPED)
def test_cross_validation_pipelines_and_searches() -> None:
    X, y, groups = loudness()
    classifier = Conv2dClassifier(**QUICK)
    scores = cross_val_score(classifier, X, y, groups=groups, cv=GroupKFold(3))
    assert scores.mean() > 0.9
    quick = Conv2dClassifier(epochs=1, calibrate=False)
    pipeline = make_pipeline(FunctionTransformer(lambda x: x[:, :2]), quick).fit(X, y)
    assert pipeline.predict_proba(X).shape == (90, 2)
    assert pipeline[-1].window_shape_ == (2, 1, 32)
    grid = {"width": np.array([4, 8]), "levels": [(8, 5, 5), "none"]}
    search = GridSearchCV(quick, grid, cv=GroupKFold(2))
    search.fit(X, y, groups=groups)
    assert set(search.best_params_) == {"width", "levels"}


def test_with_metadata_routing_groups_reach_fit_through_a_pipeline() -> None:
    X, y, _ = loudness()
    groups = np.repeat(list("abcdef"), 15)
    with config_context(enable_metadata_routing=True):
        quick = Conv2dClassifier(epochs=1, width=4, inner_folds=2)
        pipeline = make_pipeline(FunctionTransformer(), quick)
        done = cross_validate(pipeline, X, y, params={"groups": groups}, cv=GroupKFold(3), return_estimator=True)
        assert sorted(fold[-1].groups_ for fold in done["estimator"]) == [tuple("abde"), tuple("acdf"), tuple("bcef")]
        unasked = clone(quick).set_fit_request(groups=False)
        with pytest.warns(UserWarning, match="no groups were given"):
            cross_validate(make_pipeline(unasked), X, y, params={"groups": groups}, cv=GroupKFold(3))


def test_recordings_are_cross_validated_by_subject(recordings: list[Recording], small_config: Config) -> None:
    classifier = Conv2dClassifier(small_config, epochs=1)
    subjects = [recording.subject for recording in recordings]
    scores = cross_val_score(classifier, recordings, groups=subjects, cv=GroupKFold(2), error_score="raise")
    assert ((scores > 0) & (scores <= 1)).all()


def test_recordings_of_a_subject_that_was_seen_are_not_scored(
    on_recordings: Conv2dClassifier, recordings: list[Recording], unseen: list[Recording]
) -> None:
    with pytest.raises(GateFailed, match="E-API-024: subject dog01 was seen in training"):
        on_recordings.score([recordings[0], *unseen])
    bare = [replace(r, labels=np.full(r.n_samples, -1)) for r in unseen]
    with pytest.raises(DataError, match="E-EVAL-003: no window of the recordings has a label"):
        on_recordings.score(bare)


# what it learns


def test_labels_at_random_teach_nothing() -> None:
    X, _, _ = loudness(180)
    y = np.random.default_rng(1).integers(0, 2, 180)
    classifier = Conv2dClassifier(**QUICK).fit(X[:120], y[:120], groups=np.repeat(["a", "b", "c"], 40))
    assert classifier.score(X[120:], y[120:]) < 0.7
    assert np.abs(classifier.predict_proba(X[120:]) - 0.5).mean() < 0.3  # calibrated, it knows that it knows nothing


@pytest.mark.parametrize(
    "y",
    [
        np.tile([7, -1], 45),
        np.tile([True, False], 45),
        np.tile([0.0, 2.0], 45),
        np.tile(["", "a"], 45),
        np.array(["walk", "run"] * 45, dtype=object),
        np.tile(np.array(["é 'x': [1]", "\x1b, #"]), 45),
    ],
    ids=["integers", "bools", "floats", "an empty name", "objects", "odd characters"],
)
def test_labels_of_any_kind_come_back_as_they_were(y: np.ndarray) -> None:
    X, _, _ = loudness()
    classifier = Conv2dClassifier(**QUICK, calibrate=False).fit(X, y)
    assert np.array_equal(classifier.classes_, np.unique(y))
    assert (classifier.predict(X) == y).mean() > 0.9


def test_names_of_channels_make_vectors_and_a_rate_bridges_gaps(windows: Windows) -> None:
    X, y, groups = windows.X, windows.y, windows.groups
    settings: dict[str, Any] = {**QUICK, "epochs": 1, "levels": "none"}
    named = Conv2dClassifier(**settings, channels=windows.channels, sensors=windows.sensors, rate_hz=RATE)
    named.fit(X, y, groups=groups)
    scale = named.model_.preprocess.scale
    assert (scale[0] == scale[1]).all()
    assert (scale[1] == scale[2]).all()
    assert not named.model_.preprocess.offset[:6].any()
    assert named.model_.config.data.max_gap_s == 0.25
    nameless = Conv2dClassifier(**settings).fit(X, y, groups=groups)
    assert len(np.unique(nameless.model_.preprocess.scale)) == 18
    assert nameless.model_.config.data.max_gap_s == 0
    holed = X[:20].copy()
    holed[..., 30:34] = np.nan
    line = holed.copy()
    before, after = line[..., 29].astype(float), line[..., 34].astype(float)
    for step in range(4):
        line[..., 30 + step] = before + (step + 1) / 5 * (after - before)
    whole = ~np.isnan(line).any((1, 2, 3))
    assert whole.any()
    assert np.array_equal(named.predict_proba(holed)[whole], named.predict_proba(line)[whole])
    assert not np.array_equal(nameless.predict_proba(holed)[whole], nameless.predict_proba(line)[whole])


def test_a_window_without_data_has_the_class_shares(fitted: Conv2dClassifier) -> None:
    X, _, _ = loudness()
    X[3] = np.nan
    X[4, :, :, :17] = np.nan
    X[5, :, :, :16] = np.nan
    with pytest.warns(UserWarning, match="2 of 90 windows are without data, .*they get the class shares") as caught:
        proba = fitted.predict_proba(X)
    assert len(caught) == 1
    assert np.array_equal(proba[3], fitted.model_.decoding.prior)
    assert np.array_equal(proba[3], proba[4])
    assert not np.array_equal(proba[5], proba[4])
    assert np.isfinite(proba).all()


def test_an_experiment_can_be_a_file_a_dict_or_an_object(small_config: Config, tmp_path: Path) -> None:
    X, y, groups = loudness()
    wide = np.concatenate([X, X], axis=3)
    (tmp_path / "small.yaml").write_text(small_config.to_yaml())
    proba = []
    for config in (small_config, tmp_path / "small.yaml", str(tmp_path / "small.yaml"), small_config.model_dump()):
        classifier = clone(Conv2dClassifier(config, epochs=1, calibrate=False)).fit(wide, y, groups=groups)
        assert classifier.model_.config.training.windows_per_epoch == 768
        assert classifier.model_.config.training.epochs == 1
        proba.append(classifier.predict_proba(wide))
    assert all(np.array_equal(proba[0], other) for other in proba[1:])
    with pytest.raises(UsageError, match=r"E-API-020: X has windows of 32 samples, the config says .* 64"):
        Conv2dClassifier(small_config).fit(X, y, groups=groups)


def test_a_recording_too_short_is_named(model: BehaviorModel, unseen: list[Recording]) -> None:
    first = unseen[0]
    stub = replace(
        first, name="stub", time_s=first.time_s[:30], samples=first.samples[:, :, :30], labels=first.labels[:30],
        quality={},
    )  # fmt: skip
    with pytest.warns(UserWarning, match="recording stub is shorter than a window of 64 samples"):
        timeline = model.predict_timeline([stub, first])
    assert timeline.too_short == ("stub",)
    assert set(timeline.frames["recording"]) == {first.name}
    with pytest.raises(DataError, match="E-EXP-002"):
        model.predict_proba(stub)


# refusals

ARRAY = np.random.default_rng(0).normal(size=(30, 6, 2, 40)).astype(np.float32)


@pytest.mark.parametrize(
    ("X", "parameters", "message"),
    [
        (ARRAY.transpose(0, 3, 2, 1), {}, r"E-API-022: X has shape \(30, 40, 2, 6\), which is 40 channels of 6 samples"
         r".*give X\.transpose\(0, 3, 2, 1\)"),
        (ARRAY[:, :, 0].transpose(0, 2, 1), {}, r"E-API-022: .*give X\.transpose\(0, 2, 1\)"),
        (ARRAY[..., :7], {}, "8 samples or more"),
        (ARRAY[:, :, :, :, None], {}, r"E-API-022: X has shape \(30, 6, 2, 40, 1\), expected \(N, channels, sensors"),
        (ARRAY, {"channels": ["a"]}, r"E-API-028: channels is \['a'\], expected a name for each of the 6 channels"),
        (ARRAY, {"channels": list("abcdea")}, "E-API-028"),
        (ARRAY, {"sensors": "back"}, "E-API-028: sensors is 'back', expected a name for each of the 2"),
        (ARRAY, {"epochs": 0}, "training.epochs is 0; expected a whole number from 1"),
        (ARRAY, {"levels": "many"}, "type is 'many'"),
        (ARRAY, {"random_state": -3}, "seed is -3"),
        (ARRAY, {"config": {"training": {"epoch": 3}}}, "unknown key training.epoch; did you mean"),
        (ARRAY, {"config": {"training": {"epochs": object()}}}, "E-API-021: training.epochs is a object"),
        (ARRAY, {"config": 3}, "E-API-021: config is a int"),
        (ARRAY, {"config": "no such"}, "there is no experiment file 'no such'"),
    ],
)  # fmt: skip
def test_impossible_shapes_and_parameters(X: np.ndarray, parameters: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, ConfigError), match=message):
        Conv2dClassifier(**parameters).fit(X, np.tile([0, 1], 15))


def test_many_channels_are_believed_when_they_are_named() -> None:
    X = np.random.default_rng(0).normal(size=(20, 12, 9))
    classifier = Conv2dClassifier(epochs=1, calibrate=False, channels=np.array([f"emg{i}" for i in range(12)]))
    assert classifier.fit(X, np.tile([0, 1], 10)).window_shape_ == (12, 1, 9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.transpose(0, 3, 2, 1), r"E-API-002: X has shape \(90, 32, 1, 3\).*X\.transpose\(0, 3, 2, 1\) has"),
        (lambda X: X[:, :, 0].transpose(0, 2, 1), r"E-API-002: .*X\.transpose\(0, 2, 1\) has this shape"),
        (lambda X: X[..., :16], r"expected \(N, 3, 1, 32\), or \(N, 3, 32\), which is windows, channels, sensors"),
        (lambda X: X[0], r"E-API-002: X has shape \(3, 1, 32\)"),
        (lambda X: X.reshape(90, -1), "X has 96 features, but Conv2dClassifier is expecting 3 features"),
        (
            lambda X: np.where(np.isin(X, X[7, 0, 0, 0]), np.inf, X),
            "E-API-006: window 7 of X holds values that are infinite",
        ),
        (lambda X: X[:0], "0 sample"),
    ],
)
def test_windows_unlike_those_before_are_refused(fitted: Conv2dClassifier, change: Any, message: str) -> None:
    X, _, _ = loudness()
    assert np.array_equal(fitted.predict_proba(X[:, :, 0]), fitted.predict_proba(X.astype(np.float64)))
    with pytest.raises(ValueError, match=message):
        fitted.predict_proba(change(X))


def test_infinite_values_and_one_class_cannot_be_learned_from() -> None:
    X, y, groups = loudness()
    for bad in (np.inf, -np.inf, 1e300):
        for part in (X, X[:, :, 0], X[:, :, 0, 0]):
            holed = part.astype(np.float64)
            holed[3].flat[0] = bad
            holed[3].flat[1] = -bad
            with pytest.raises(DataError, match="E-API-006: window 3 of X holds values that are infinite or beyond"):
                Conv2dClassifier().fit(holed, y)
    with pytest.raises(DataError, match="E-API-026: y holds only one class, rest"):
        Conv2dClassifier().fit(X, np.full(90, "rest"))
    with pytest.raises(UsageError, match="E-API-029: groups have no value in row 4"):
        Conv2dClassifier().fit(X, y, groups=[*groups[:4], None, *groups[5:]])
    with pytest.raises(UsageError, match=r"E-API-029: groups are of shape \(90, 1\)"):
        Conv2dClassifier().fit(X, y, groups=groups[:, None])
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        Conv2dClassifier().fit(X, y, groups=groups[:-1])


def test_a_mask_is_a_missing_sample(fitted: Conv2dClassifier) -> None:
    X, y, _ = loudness()
    hidden = np.zeros(X.shape, bool)
    hidden[3:9, 1, 0, 4:9] = True
    spoilt = np.where(hidden, 1e6, X).astype(np.float32)
    masked = np.ma.masked_array(spoilt, hidden)
    holed = np.where(hidden, np.nan, X).astype(np.float32)
    expected = fitted.predict_proba(holed)
    assert np.array_equal(fitted.predict_proba(masked), expected)
    assert np.array_equal(fitted.predict_proba(masked[:, :, 0]), expected)
    assert np.array_equal(fitted.predict_proba(list(masked)), expected)
    assert np.array_equal(fitted.model_.predict_proba(masked), expected)
    assert np.array_equal(fitted.model_.encode(masked).codes, fitted.encode(holed).codes)
    settings: dict[str, Any] = {"epochs": 1, "calibrate": False}
    by_mask, by_nan = (Conv2dClassifier(**settings).fit(x, y).predict_proba(X) for x in (masked, holed))
    assert np.array_equal(by_mask, by_nan)
    whole = np.ma.masked_array(np.arange(24).reshape(3, 8), np.eye(3, 8, dtype=bool))
    assert np.isnan(unmasked(whole)).sum() == 3
    with pytest.raises(DataError, match="E-API-030: y has no value in row 2"):
        Conv2dClassifier().fit(X, np.ma.masked_array(np.tile([0, 1], 45), np.arange(90) == 2))
    with pytest.raises(UsageError, match="E-API-029: groups have no value in row 5"):
        Conv2dClassifier().fit(X, y, groups=np.ma.masked_array(np.repeat([1, 2, 3], 30), np.arange(90) == 5))


def test_a_channel_without_values_is_named() -> None:
    X, y, groups = loudness()
    for part in (X, X[:, :, 0], X[:, :, 0, 0]):
        dead = part.copy()
        dead[:, 1] = np.nan
        with pytest.raises(
            DataError,
            match=r"E-EXP-010: channel s0/c1 has no value in any of the 90 windows to train "
            r"on, and .* all its channels .* all 90 labelled .* without data; drop X\[:, 1\]$",
        ):
            Conv2dClassifier().fit(dead, y, groups=groups)  # fmt: skip
        still = part.copy()
        still[:, 2] = 1.5
        with pytest.raises(
            DataError, match=r"E-EXP-003: channel s0/c2 is 1\.5 in every window, .*; drop X\[:, 2\], or"
        ):
            Conv2dClassifier().fit(still, y, groups=groups)
    with pytest.raises(DataError, match=r"E-EXP-009: sensor s0 has no value in any of the 90 .*; give windows with"):
        Conv2dClassifier().fit(np.full_like(X, np.nan), y)
    two = np.concatenate([X, X], axis=2)
    two[:, :, 1] = np.nan
    with pytest.raises(DataError, match=r"E-EXP-009: sensor s1 has no value .*; drop X\[:, :, 1\]$"):
        Conv2dClassifier().fit(two, y)
    two[:, :, 1] = 3
    with pytest.raises(DataError, match=r"E-EXP-003: channel s1/c0 .*; drop X\[:, 0\] or X\[:, :, 1\], or repair"):
        Conv2dClassifier().fit(two, y)
    sparse = X.copy()
    sparse[::2, 0] = np.nan
    sparse[1::2, 1] = np.nan
    with pytest.raises(DataError, match=r"E-EXP-010: all 90 labelled windows are without data, .*; check X, or bridge"):
        Conv2dClassifier().fit(sparse, y)


def test_windows_without_data_are_counted_at_fit() -> None:
    X, y, _ = loudness()
    X[:7, 2] = np.nan  # one channel of the one sensor
    with pytest.warns(UserWarning, match="7 of 90 windows are without data, .*; they are left out"):
        classifier = Conv2dClassifier(epochs=1, calibrate=False).fit(X, y)
    assert len(classifier.notes_) == 1
    assert classifier.notes_[0].startswith("7 of 90 windows are without data")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1, "a"], "E-API-030: y holds 'a' and 1, expected labels of one kind"),
        (["a", 1.5], "E-API-030: y holds 'a' and 1.5, expected labels of one kind"),
        (["a", None], "E-API-030: y has no value in row 1"),
        ([None, 3], "E-API-030: y has no value in row 0"),
        (["a", float("nan")], "E-API-030: y has no value in row 1"),
    ],
)
def test_labels_missing_or_mixed_are_refused(y: list[Any], message: str) -> None:
    X, _, _ = loudness()
    for labels in (y * 45, tuple(y * 45), np.array(y * 45, dtype=object)):
        with pytest.raises(DataError, match=message):
            Conv2dClassifier().fit(X, labels)


@pytest.mark.parametrize("shape", [(30, 3, 1, 7), (30, 3, 7), (30, 7, 1, 3), (30, 7, 7)])
def test_no_transpose_is_advised_that_would_be_refused_again(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"E-API-022: .* with 8 samples or more; cut longer windows"):
        Conv2dClassifier().fit(np.zeros(shape), np.tile([0, 1], 15))


@settings(max_examples=60)
@given(channels=st.integers(1, 20), samples=st.integers(1, 20), named=st.booleans())
def test_an_advised_transpose_is_taken(channels: int, samples: int, named: bool) -> None:
    X = np.zeros((4, channels, 2, samples), np.float32)
    try:
        lifted(X, named=named)
    except UsageError as error:
        if "X.transpose(0, 3, 2, 1)" in str(error):
            lifted(X.transpose(0, 3, 2, 1), named=named)
        if "channels=" in str(error):
            lifted(X, named=True)


@pytest.mark.parametrize("rate_hz", [0, -1, float("nan"), "50"])
def test_a_rate_that_cannot_be_is_refused(rate_hz: Any, recordings: list[Recording]) -> None:
    X, y, _ = loudness()
    for part in ((X, y), (recordings,)):
        with pytest.raises(UsageError, match="E-API-017: rate_hz is"):
            Conv2dClassifier(rate_hz=rate_hz).fit(*part)


def test_recordings_come_from_whatever_gives_them(
    model: BehaviorModel, fitted: Conv2dClassifier, on_recordings: Conv2dClassifier, unseen: list[Recording]
) -> None:
    X, y, _ = loudness()
    for path in ("clean", Path("clean")):
        for verb in (Conv2dClassifier().fit, fitted.predict_proba, model.predict_proba, model.predict_timeline):
            with pytest.raises(UsageError, match=r"E-API-007: got the text or path 'clean'.*Dataset\.open\('clean'\)"):
                verb(path)
    expected = model.predict_proba(unseen)
    as_objects = np.empty(len(unseen), dtype=object)
    as_objects[:] = unseen
    for verb in (model.predict_proba, on_recordings.predict_proba):
        for part in (iter(unseen), (r for r in unseen), {r.name: r for r in unseen}.values(), as_objects):
            assert np.array_equal(verb(part), expected)
    codes = model.encode(unseen).codes
    assert np.array_equal(model.encode(iter(unseen)).codes, codes)
    assert np.array_equal(on_recordings.encode(iter(unseen)).codes, codes)
    assert on_recordings.score(iter(unseen)) == on_recordings.score(unseen)
    with pytest.raises(UsageError, match="E-API-001: got a generator of 0 recordings and 90 other things"):
        Conv2dClassifier().fit((x for x in X), y)
    with pytest.raises(UsageError, match="E-API-001: got a list_iterator that gives nothing"):
        model.predict_proba(iter([]))
    with pytest.raises(UsageError, match="E-API-007: got an xarray Dataset"):
        model.predict_proba(conv2d.to_xarray(unseen[0]))


def test_it_is_shown_in_a_notebook_without_a_warning(fitted: Conv2dClassifier) -> None:
    assert "Conv2dClassifier" in fitted._repr_html_()
    assert "Conv2dClassifier" in Conv2dClassifier()._repr_html_()


def test_verbs_out_of_order_and_of_the_other_kind(
    fitted: Conv2dClassifier, model: BehaviorModel, unseen: list[Recording], small_config: Config
) -> None:
    X, y, groups = loudness()
    for verb in ("predict", "predict_proba", "predict_timeline", "encode", "score", "save"):
        with pytest.raises(NotFittedError):
            getattr(Conv2dClassifier(), verb)(unseen)
    for verb in ("predict", "predict_timeline", "encode", "score"):
        with pytest.raises(UsageError, match=r"E-API-008: the model was fitted on windows.*conv2d\.cut_windows"):
            getattr(fitted, verb)(unseen)
    with pytest.raises(UsageError, match="E-API-007: got a ndarray, expected a recording"):
        model.predict_timeline(X)
    with pytest.raises(UsageError, match="E-API-001: got a list of 2 recordings and 1 other things"):
        model.predict_timeline([*unseen[:2], X])
    with pytest.raises(UsageError, match="E-API-023: y was given beside recordings"):
        Conv2dClassifier(small_config).fit(unseen, y)
    with pytest.raises(UsageError, match="E-API-023: groups was given"):
        Conv2dClassifier(small_config).fit(unseen, groups=groups)
    with pytest.raises(UsageError, match="E-API-027: calibrate is False"):
        Conv2dClassifier(small_config, calibrate=False).fit(unseen)


def test_recordings_unlike_those_before_are_refused(model: BehaviorModel, unseen: list[Recording]) -> None:
    first = unseen[0]
    other = [
        (replace(first, sensors=("neck", "tail")), "E-API-003: recording .* has no sensor back"),
        (replace(first, rate_hz=25.0, time_s=first.time_s * 2), "E-API-004: .* sampled at 25 Hz, expected 50 Hz"),
        (replace(first, time_s=first.time_s[::-1].copy()), "E-DATA-008"),
        (
            replace(first, samples=np.where(first.samples == first.samples[0, 0, 5], np.inf, first.samples)),
            "E-DATA-009",
        ),
        (replace(first, labels=np.full(first.n_samples, 99)), "E-DATA-010"),
    ]
    for recording, message in other:
        with pytest.raises(DataError, match=message):
            model.predict_proba(recording)
    with pytest.raises(DataError, match=r"E-API-005: recording .* is given more than once"):
        model.predict_proba([first, first])


# real recordings


@pytest.mark.real_data
def test_windows_of_people_by_subject(shared_data: Path) -> None:
    dataset = Dataset.open(shared_data / "hapt")
    people = dataset.subjects[:9]
    recordings = list(dataset.load_all(subjects=people))
    windows = cut_windows(recordings, 128, 128)
    classifier = Conv2dClassifier(
        channels=windows.channels, sensors=windows.sensors, rate_hz=windows.rate_hz, epochs=4, width=12,
        calibrate=False, n_threads=1,
    )  # fmt: skip
    scores = cross_val_score(
        classifier, windows.X, windows.y, groups=windows.groups, cv=GroupKFold(3), scoring="balanced_accuracy"
    )
    assert scores.min() > 0.25  # four epochs of a small network; of twelve classes chance is 0.083


@pytest.mark.real_data
def test_a_real_run_says_the_same_of_windows_as_conv2d_run_writes(shared_data: Path, tmp_path: Path) -> None:
    dataset = Dataset.open(shared_data / "hapt")
    recordings = list(dataset.load_all(subjects=dataset.subjects[:4]))
    values = {
        "training": {"windows_per_epoch": 256, "threads": 1},
        "data": {"window_size": 128},
    }
    classifier = Conv2dClassifier(values, epochs=1, width=8, inner_folds=2).fit(
        [r for r in recordings if r.subject != dataset.subjects[3]]
    )
    classifier.save(tmp_path / "run")
    model = conv2d.load(tmp_path / "run")
    recording = next(r for r in recordings if r.subject == dataset.subjects[3])
    apply_run(model, dataset.recording_path(recording.name), tmp_path / "out", NullProgress())
    written = pq.read_table(tmp_path / "out" / "predictions.parquet").to_pandas()
    windows = cut_windows(recording, 128, 8, labelled=False)
    rows = np.searchsorted(written["start_s"], windows.start_s)
    assert np.array_equal(written["start_s"].to_numpy()[rows], windows.start_s)
    proba = written[[f"p_{name}" for name in model.classes]].to_numpy()[rows]
    assert len(proba) > 1000
    assert np.array_equal(model.predict_proba(windows.X), proba)
    assert np.array_equal(classifier.predict_proba(windows.X), proba)
