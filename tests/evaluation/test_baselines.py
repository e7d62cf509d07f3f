"""Baselines: fitted by name, stored as tensors, honest about what they have not seen."""

import numpy as np
import pytest

from conv2d.errors import DataError, UsageError
from conv2d.evaluation.baselines import (
    BASELINES,
    STORED_BASELINES,
    StatisticsForest,
    fit_baselines,
    load_baselines,
    save_baselines,
)

CHANNELS = ["acc_x", "acc_y", "acc_z"]


def movements(n: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three kinds of movement by six subjects: rest, slow, fast, with a tilt of the sensor for each subject."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(n) % 3)
    subject = rng.integers(0, 6, n)
    t = np.arange(40)
    X = rng.normal(size=(n, 3, 1, 40)) * 0.3 + rng.normal(size=(6, 3, 1, 1))[subject]
    X += np.array([0, 1, 1])[y][:, None, None, None] * np.sin(np.array([0, 0.3, 0.9])[y][:, None, None, None] * t)
    return X.astype(np.float32), y, np.char.add("s", subject.astype(str))


@pytest.fixture(scope="module")
def fitted():
    X, y, subjects = movements(150, 0)
    return fit_baselines(BASELINES, X, y, 4, seed=0, channels=CHANNELS, groups=subjects)


def test_all_are_fitted_in_order_and_give_probabilities(fitted) -> None:
    X, y, _ = movements(90, 1)
    assert tuple(fitted) == BASELINES
    accuracy = {}
    for name, baseline in fitted.items():
        proba = baseline.predict_proba(X)
        assert proba.shape == (90, 4)
        np.testing.assert_allclose(proba.sum(1), 1, atol=1e-9)
        assert (proba >= 0).all()
        assert (proba[:, 3] == 0).all(), "a class without training windows has probability 0"
        accuracy[name] = (proba.argmax(1) == y).mean()
    assert accuracy["majority"] < 0.45
    assert accuracy["forest"] > 0.85
    assert accuracy["random_kernels"] > 0.85


@pytest.mark.parametrize("name", ["forest", "random_kernels"])
def test_shuffled_labels_fall_to_chance(name: str) -> None:
    X, y, _ = movements(90, 0)
    Xt, yt, _ = movements(90, 1)
    # Every class gets each label equally often: a plain shuffle of three well-kept classes hits or misses all at once.
    shuffled = np.empty_like(y)
    for label in range(3):
        shuffled[y == label] = np.random.default_rng(label).permutation(np.arange((y == label).sum()) % 3)
    proba = fit_baselines([name], X, shuffled, 3, seed=0, channels=CHANNELS)[name].predict_proba(Xt)
    assert abs((proba.argmax(1) == yt).mean() - 1 / 3) < 0.15


def test_same_seed_same_forest() -> None:
    X, y, _ = movements(60, 0)
    a, b, c = (StatisticsForest.fit(X, y, 3, seed, trees=20).predict_proba(X + 0.1) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


def test_windows_without_label_are_left_out() -> None:
    X, y, _ = movements(60, 0)
    some = np.where(np.arange(60) < 40, y, -1)
    a = fit_baselines(STORED_BASELINES, X, some, 3, seed=0)
    b = fit_baselines(STORED_BASELINES, X[:40], y[:40], 3, seed=0)
    for name in STORED_BASELINES:
        np.testing.assert_array_equal(a[name].predict_proba(X), b[name].predict_proba(X))


def test_a_missing_sensor_is_taken_by_all() -> None:
    X, y, _ = movements(60, 0)
    both = np.concatenate([X, X], axis=2)
    both[::2, :, 1] = np.nan
    for baseline in fit_baselines(BASELINES, both, y, 3, seed=0, channels=CHANNELS).values():
        assert np.isfinite(baseline.predict_proba(both)).all()


def test_stored_baselines_predict_the_same_to_the_last_bit(fitted, tmp_path) -> None:
    X, _, _ = movements(30, 2)
    path = tmp_path / "baselines.safetensors"
    save_baselines(path, {name: fitted[name] for name in STORED_BASELINES})
    again = load_baselines(path)
    assert tuple(again) == STORED_BASELINES
    for name, baseline in again.items():
        np.testing.assert_array_equal(baseline.predict_proba(X), fitted[name].predict_proba(X))
    assert [file.name for file in tmp_path.iterdir()] == ["baselines.safetensors"]


def test_a_forest_cannot_be_stored_and_leaves_nothing(fitted, tmp_path) -> None:
    with pytest.raises(UsageError, match="E-EVAL-105: the baseline 'forest' cannot be stored as tensors"):
        save_baselines(tmp_path / "baselines.safetensors", fitted)
    assert not list(tmp_path.iterdir())


def test_damaged_and_foreign_files_are_named(fitted, tmp_path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "baselines.safetensors"
    with pytest.raises(DataError, match="E-EVAL-106: there is no file"):
        load_baselines(path)
    save_baselines(path, {"majority": fitted["majority"]})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"E-EVAL-107: .* is not a readable safetensors file"):
        load_baselines(path)
    save_file({"a": np.zeros(2)}, path)
    with pytest.raises(DataError, match=r"E-EVAL-108: .* has the format None"):
        load_baselines(path)
    save_file({"a": np.zeros(2)}, path, metadata={"format": "conv2d-baselines/2", "names": "majority"})
    with pytest.raises(DataError, match="use the version that wrote it"):
        load_baselines(path)


def test_what_cannot_be_fitted_is_said() -> None:
    X, y, _ = movements(12, 0)
    with pytest.raises(UsageError, match="E-EVAL-101: 'svm' is no baseline, expected one of majority, random_kernels"):
        fit_baselines(["svm"], X, y, 3, 0)
    with pytest.raises(DataError, match="E-EVAL-102: got 12 windows with labels of shape"):
        fit_baselines(["majority"], X, y[:5], 3, 0)
    with pytest.raises(DataError, match="E-EVAL-103: labels run from 0 to 2, expected -1"):
        fit_baselines(["majority"], X, y, 2, 0)
    with pytest.raises(DataError, match="E-EVAL-104: the 4 labelled training windows hold 1 of 3 classes"):
        fit_baselines(["majority"], X, np.where(y == 1, 1, -1), 3, 0)
    with pytest.raises(DataError, match="E-EVAL-104: the 0 labelled training windows hold 0 of 3"):
        fit_baselines(["majority"], X, np.full(12, -1), 3, 0)


def test_two_windows_are_enough() -> None:
    X, _, _ = movements(2, 0)
    for baseline in fit_baselines(BASELINES, X, [0, 1], 2, seed=0).values():
        assert baseline.predict_proba(X).shape == (2, 2)
