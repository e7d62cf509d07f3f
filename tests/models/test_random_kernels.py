"""Random kernels against a plain convolution, and as a classifier."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.data.dataset import Dataset
from conv2d.errors import DataError
from conv2d.models import random_kernels
from conv2d.models.random_kernels import KERNELS, RandomKernelClassifier, RandomKernelTransform


def reference(transform: RandomKernelTransform, window: np.ndarray) -> list[tuple[float, float]]:
    """For each feature the smallest and the largest share that rounding of responses near the bias allows."""
    c, s, t = window.shape
    x = (window.reshape(c * s, t).astype(np.float64) - transform.centre[:, None]) / transform.scale[:, None]
    x = np.nan_to_num(x)
    shares = []
    for row, dilation in enumerate(transform.dilations):
        weights = np.zeros(8 * dilation + 1)
        weights[::dilation] = -1 / 3
        weights[KERNELS[row % 84] * dilation] = 2 / 3
        signal = x[transform.channels[row]].sum(axis=0)
        if (row // 84 + row % 84) % 2 == 0:
            signal = np.pad(signal, 4 * dilation)
        response = np.correlate(signal, weights, mode="valid")
        for bias in transform.biases[transform.first[row] : transform.first[row + 1]]:
            gap = response - bias
            shares.append((float((gap > 1e-5).mean()), float((gap > -1e-5).mean())))
    return shares


@settings(max_examples=40)
@given(
    c=st.integers(1, 4), s=st.integers(1, 3), t=st.integers(9, 80), per=st.integers(1, 40), seed=st.integers(0, 10**6)
)
def test_features_are_the_shares_of_a_plain_convolution(c: int, s: int, t: int, per: int, seed: int) -> None:
    X = np.random.default_rng(seed).normal(size=(3, c, s, t)).astype(np.float32)
    X[0, 0, 0, : t // 3] = np.nan
    transform = RandomKernelTransform.fit(X, seed, n_features=84 * per)
    features = transform.transform(X)
    assert features.shape == (3, 84 * per)
    low, high = np.array(reference(transform, X[0])).T
    assert (features[0] >= low - 1e-6).all()
    assert (features[0] <= high + 1e-6).all()


def test_kernels_are_the_84_of_the_paper() -> None:
    assert len({tuple(kernel) for kernel in KERNELS.tolist()}) == 84
    transform = RandomKernelTransform.fit(np.random.default_rng(0).normal(size=(4, 6, 2, 100)), seed=0)
    assert len(transform.biases) == 3948
    assert transform.dilations.min() == 1
    assert 8 * transform.dilations.max() <= 99
    assert set(transform.channels.sum(1).tolist()) <= set(range(1, 10))
    assert transform.channels.any(axis=0).all()


def test_long_windows_are_counted_beyond_a_byte() -> None:
    X = np.random.default_rng(0).normal(size=(2, 1, 1, 700)).astype(np.float32)
    transform = RandomKernelTransform.fit(X, seed=0, n_features=84)
    low, high = np.array(reference(transform, X[1])).T
    features = transform.transform(X)[1]
    assert (features >= low - 1e-6).all()
    assert (features <= high + 1e-6).all()


def test_a_window_does_not_depend_on_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    X = np.random.default_rng(0).normal(size=(17, 2, 2, 40)).astype(np.float32)
    transform = RandomKernelTransform.fit(X, seed=0, n_features=840)
    whole = transform.transform(X)
    np.testing.assert_array_equal(transform.transform(X[5:6])[0], whole[5])
    monkeypatch.setattr(random_kernels, "_BLOCK_SAMPLES", 40 * 3)
    np.testing.assert_array_equal(transform.transform(X), whole)


def test_units_do_not_matter() -> None:
    X = np.random.default_rng(0).normal(size=(20, 3, 1, 32))
    scaled = X * np.array([1, 1000, 0.01])[:, None, None] + np.array([0, 50, 9.81])[:, None, None]
    plain = RandomKernelTransform.fit(X, seed=1, n_features=840).transform(X)
    np.testing.assert_allclose(
        RandomKernelTransform.fit(scaled, seed=1, n_features=840).transform(scaled), plain, atol=0.11
    )


def test_a_sensor_that_is_never_there_changes_nothing_but_noise() -> None:
    X = np.random.default_rng(0).normal(size=(20, 2, 2, 32)).astype(np.float32)
    X[:, :, 1] = np.nan
    transform = RandomKernelTransform.fit(X, seed=0, n_features=840)
    features = transform.transform(X)
    assert np.isfinite(features).all()
    X[:, :, 1] = 0  # what stands for it
    np.testing.assert_array_equal(transform.transform(X), features)


def waves(n: int, seed: int, n_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Windows whose class is a frequency, with noise, phase and amplitude of their own."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    phase = rng.uniform(0, 2 * np.pi, (n, 2, 1, 1))
    t = np.arange(48)
    X = rng.uniform(0.7, 1.5, (n, 1, 1, 1)) * np.sin(0.25 * (1 + y[:, None, None, None]) * t + phase)
    return (X + rng.normal(size=X.shape)).astype(np.float32), y


def test_classifier_beats_the_majority_and_shuffled_labels_do_not() -> None:
    X, y = waves(180, 0)
    Xt, yt = waves(120, 1)
    right = RandomKernelClassifier.fit(X, y, 3, seed=0, n_features=840).predict_proba(Xt)
    assert (right.argmax(1) == yt).mean() > 0.9
    assert -np.log(right[np.arange(120), yt]).mean() < 0.5
    # Every class gets each label equally often: a plain shuffle of three well-kept classes hits or misses all at once.
    rng = np.random.default_rng(0)
    shuffled = np.empty_like(y)
    for label in range(3):
        shuffled[y == label] = rng.permutation(np.arange(60) % 3)
    wrong = RandomKernelClassifier.fit(X, shuffled, 3, seed=0, n_features=840).predict_proba(Xt)
    assert abs((wrong.argmax(1) == yt).mean() - 1 / 3) < 0.12
    assert -np.log(wrong[np.arange(120), yt]).mean() < 1.2, "nor is it sure of what it does not know"


def test_same_seed_same_result_and_state_to_the_last_bit() -> None:
    X, y = waves(60, 2)
    first = RandomKernelClassifier.fit(X, y, 3, seed=4, n_features=420)
    second = RandomKernelClassifier.fit(X, y, 3, seed=4, n_features=420)
    other = RandomKernelClassifier.fit(X, y, 3, seed=5, n_features=420)
    proba = first.predict_proba(X)
    np.testing.assert_array_equal(second.predict_proba(X), proba)
    assert (other.predict_proba(X) != proba).any()
    np.testing.assert_array_equal(RandomKernelClassifier.from_state(first.state()).predict_proba(X), proba)


def test_what_cannot_be_used_is_said() -> None:
    X, y = waves(12, 0)
    with pytest.raises(DataError, match="E-MODEL-111: windows have 8 samples, random kernels need at least 9"):
        RandomKernelTransform.fit(X[..., :8], 0)
    with pytest.raises(DataError, match="E-MODEL-112: got no training window"):
        RandomKernelTransform.fit(X[:0], 0)
    with pytest.raises(DataError, match=r"E-MODEL-113: windows have the shape \(2, 1, 40\)"):
        RandomKernelTransform.fit(X, 0, 84).transform(X[..., :40])
    with pytest.raises(DataError, match="E-MODEL-114"):
        RandomKernelTransform.fit(X[0], 0)
    with pytest.raises(DataError, match="E-MODEL-101"):
        RandomKernelClassifier.fit(X, y * 0, 3, 0, n_features=84)


@pytest.mark.real_data
@pytest.mark.slow
def test_cows_are_told_apart_by_other_cows(shared_data) -> None:
    dataset = Dataset.open(shared_data / "cow_imu2x9")
    classes = ("Walking", "Grazing", "Resting")
    windows, labels, cows = [], [], []
    for row in dataset.table:
        recording = dataset.load(row.recording, channels=dataset.meta.channels[:6], classes=classes)
        for start in range(0, recording.samples.shape[2] - 99, 100):
            label = recording.labels[start + 50]
            if label >= 0:
                windows.append(recording.samples[..., start : start + 100])
                labels.append(label)
                cows.append(recording.subject)
    X, y, cow = np.stack(windows), np.array(labels), np.array(cows)
    test = np.isin(cow, np.unique(cow)[::3])
    model = RandomKernelClassifier.fit(X[~test], y[~test], 3, seed=0, groups=cow[~test])
    proba = model.predict_proba(X[test])
    assert (proba.argmax(1) == y[test]).mean() > 0.85
    assert -np.log(proba[np.arange(test.sum()), y[test]]).mean() < 0.5
