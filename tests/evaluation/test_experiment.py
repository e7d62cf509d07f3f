"""Who may be trained on and who is tested, and which data an experiment is carried out on."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conv2d.config import Config, apply_overrides
from conv2d.data import Dataset, Recording
from conv2d.errors import ConfigError, DataError, UsageError
from conv2d.evaluation.experiment import (
    Experiment,
    is_simulated,
    open_experiment,
    read_experiment_config,
    with_seed,
)
from conv2d.tasks.behavior.corpus import read_corpus, recording_hashes, select

Rewrite = Callable[..., Dataset]
SIMULATING = ["data.simulate={subjects: 3, minutes: 0.5, seed: 1}"]


def test_those_marked_test_by_either_are_not_trained_on(tiny_config: Config, simulated_dataset: Dataset) -> None:
    experiment = Experiment(tiny_config, simulated_dataset)
    assert experiment.training_subjects() == ("dog01", "dog02", "dog03", "dog04")
    assert experiment.split_subjects("test") == ("dog05", "dog06")
    assert experiment.split_subjects("train") == ("dog01", "dog02", "dog03", "dog04")
    assert experiment.split_subjects("all") == simulated_dataset.subjects
    more = Experiment(apply_overrides(tiny_config, ["data.test_subjects=[dog02, dog05]"]), simulated_dataset)
    assert more.training_subjects() == ("dog01", "dog03", "dog04")
    assert more.split_subjects("test") == ("dog02", "dog05", "dog06")


def test_a_split_that_nobody_is_marked_for_is_said(
    tiny_config: Config, simulated_dataset: Dataset, rewrite: Rewrite, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"E-EXP-007: no subject .* is marked 'val' \(marked are test, train\)"):
        Experiment(tiny_config, simulated_dataset).split_subjects("val")
    unmarked = rewrite(tmp_path / "data", lambda recording: replace(recording, meta={}))
    with pytest.raises(DataError, match=r"is marked 'test' \(none is marked at all\); use --split all"):
        Experiment(tiny_config, unmarked).split_subjects("test")


def test_test_subjects_of_the_config_must_be_there_to_train_but_not_to_evaluate(
    tiny_config: Config, simulated_dataset: Dataset
) -> None:
    config = apply_overrides(tiny_config, ["data.test_subjects=[dog05, rex]"])
    with open_experiment(config, simulated_dataset.path) as experiment:
        with pytest.raises(DataError, match=r"E-EXP-008: data\.test_subjects names rex, data set simulated_dogs has"):
            experiment.training_subjects()
        assert experiment.split_subjects("all") == simulated_dataset.subjects


def test_simulated_data_say_so_wherever_they_come_from(
    tiny_config: Config, simulated_dataset: Dataset, rewrite: Rewrite, tmp_path: Path
) -> None:
    assert is_simulated(simulated_dataset)
    recorded = rewrite(tmp_path / "data", lambda recording: recording, citation="recorded by us")
    assert not is_simulated(recorded)
    # a config that can simulate does not make recorded data simulated
    with open_experiment(apply_overrides(tiny_config, SIMULATING), recorded.path) as experiment:
        assert not is_simulated(experiment.dataset)


def test_data_that_an_experiment_simulates_are_the_same_each_time_and_go_away(tiny_config: Config) -> None:
    config = apply_overrides(tiny_config, SIMULATING)
    hashes = set()
    for _ in range(2):
        with open_experiment(config, None, ["chosen"]) as experiment:
            hashes.add(experiment.dataset.sha256())
            assert experiment.notes == ("chosen",)
            assert experiment.dataset.subjects == ("dog01", "dog02", "dog03")
        assert not experiment.dataset.path.exists()
    assert len(hashes) == 1


def test_data_are_those_named_before_those_of_the_config(
    tiny_config: Config, simulated_dataset: Dataset, rewrite: Rewrite, tmp_path: Path
) -> None:
    other = rewrite(tmp_path / "data", lambda recording: recording)
    config = apply_overrides(tiny_config, [f"data.path={simulated_dataset.path}"])
    with open_experiment(config, None) as experiment:
        assert experiment.dataset.path == simulated_dataset.path
    with open_experiment(config, other.path) as experiment:
        assert experiment.dataset.path == other.path
    with pytest.raises(ConfigError, match=r"names no data \(data\.path\)"), open_experiment(tiny_config, None):
        pass


def test_without_a_config_defaults_are_chosen_and_explained(simulated_dataset: Dataset) -> None:
    config, notes = read_experiment_config(None, simulated_dataset.path, ["data.hop=64"])
    assert config.data.window_size == 128
    assert [note for note in notes if note.startswith("data.window_size: 128 samples (2.56 s at 50 Hz)")]
    assert not [note for note in notes if note.startswith("data.hop")]
    with pytest.raises(UsageError, match="neither --config nor --data was given"):
        read_experiment_config(None, None, [])


def test_a_seed_takes_the_place_of_that_of_the_config(tiny_config: Config) -> None:
    assert with_seed(tiny_config, None) is tiny_config
    assert with_seed(tiny_config, 5).seed == 5


def test_a_recording_is_known_by_its_samples(
    tiny_config: Config, simulated_dataset: Dataset, rewrite: Rewrite, tmp_path: Path
) -> None:
    def change(recording: Recording) -> Recording:
        samples = recording.samples.copy()
        if recording.name == "dog01_2":
            samples[0, 0, 700] += 1
        labels = np.full(recording.n_samples, -1)
        return replace(recording, name=f"x{recording.name}", subject="rex", samples=samples, labels=labels)

    def hashes(dataset: Dataset) -> dict[str, str]:
        return recording_hashes(read_corpus(tiny_config, dataset, select(tiny_config.data, dataset)))

    before, after = hashes(simulated_dataset), hashes(rewrite(tmp_path / "data", change))
    assert len(set(before.values())) == len(before)
    assert [name for name in before if before[name] != after[f"x{name}"]] == ["dog01_2"]
