"""Figures of results that are known by hand: what counts at which level, and what was not measured says so."""

import json
import math

import numpy as np
import pytest

from conv2d.data import Recording
from conv2d.tasks.behavior.frames import Frames, frame_of_sample
from conv2d.tasks.behavior.measures import NOT_APPLICABLE, NOT_MEASURED, headline, measure, spread, window_truth
from conv2d.tasks.behavior.timeline import Result

RATE, WINDOW, HOP = 10.0, 10, 5
CLASSES = ("rest", "walk", "run")


def result_of(
    name: str,
    subject: str,
    labels: np.ndarray,
    window_label: list[int],
    predicted: list[int],
    decoded: list[int] | None = None,
    codes: bool = True,
) -> Result:
    """A recording with a frame every 5 samples, whose network is sure of ``predicted``."""
    n = len(labels)
    start = np.arange(len(window_label)) * HOP
    recording = Recording(
        name, subject, RATE, ("a",), ("x",), np.arange(n) / RATE, np.zeros((1, 1, n), np.float32), labels, CLASSES
    )
    proba = np.full((len(start), 3), 0.1)
    proba[np.arange(len(start)), predicted] = 0.8
    frames = Frames(
        name, subject, WINDOW, RATE, start, start / RATE, np.zeros(len(start), np.int64), np.array(window_label),
        np.log(proba), np.array([[p, 2] for p in predicted]) if codes else None,
        np.ones(len(start), np.float32) if codes else None, np.ones(len(start), bool),
    )  # fmt: skip
    own = np.array(predicted if decoded is None else decoded)
    return Result(
        recording, frames, proba, proba, proba, {"raw": np.array(predicted), "hsmm": own}, "hsmm",
        frame_of_sample(frames, recording),
    )  # fmt: skip


@pytest.fixture
def results() -> list[Result]:
    labels = np.array([0] * 20 + [1] * 20)
    return [
        # of the frames at 0, 5, ..., 30 those at 0, 10, 20 and 30 are windows; that at 10 is wrong
        result_of("a1", "a", labels, [0, 0, 0, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1]),
        result_of("b1", "b", np.array([-1] * 20 + [2] * 20), [-1, -1, -1, -1, 2, 2, 2], [0] * 4 + [2] * 3),
        result_of("b2", "b", np.full(20, -1), [-1] * 3, [1] * 3),
    ]


def test_windows_are_those_at_the_hop_that_have_a_label(results: list[Result]) -> None:
    label, proba, subjects = window_truth(results, hop=10)
    assert label.tolist() == [0, 0, 1, 1, 2, 2]
    assert proba.argmax(1).tolist() == [0, 1, 1, 1, 2, 2]
    assert subjects == ["a"] * 4 + ["b"] * 2
    assert len(window_truth(results, hop=5)[0]) == 10


def test_each_level_counts_what_it_says(results: list[Result]) -> None:
    metrics = measure(results, hop=10, classes=CLASSES, levels=(4, 4))
    window, sample, segment = (metrics["level"][name] for name in ("window", "sample", "segment"))
    assert (window["n"], window["accuracy"]) == (6, pytest.approx(5 / 6))
    assert window["nll"] == pytest.approx(-(5 * math.log(0.8) + math.log(0.1)) / 6)
    assert window["macro_f1"] == pytest.approx((2 / 3 + 4 / 5 + 1) / 3)
    # samples of the decoded timeline; those without annotation do not count
    assert sample["n"] == 60
    right = 0
    for result in results:
        centres = result.frames.start + WINDOW / 2
        for at, truth in enumerate(result.recording.labels):
            right += int(truth >= 0 and result.label[np.abs(centres - at - 0.5).argmin()] == truth)
    assert sample["accuracy"] == pytest.approx(right / 60)
    # b1 begins three samples late, which makes a fourth segment that is none
    assert (segment["true"], segment["predicted"], segment["f1@50"]) == (3, 4, pytest.approx(6 / 7))
    assert metrics["decoder"] == "hsmm"
    assert metrics["decoders"]["raw"]["sample"]["accuracy"] < sample["accuracy"]
    assert metrics["decoders"]["hsmm"] == {
        "sample": {**sample, **metrics["decoders"]["hsmm"]["sample"]},
        "segment": segment,
    }


def test_each_subject_and_the_worst_of_them(results: list[Result]) -> None:
    metrics = measure(results, hop=10, classes=CLASSES, levels=(4, 4))
    assert list(metrics["per_subject"]) == ["a", "b"]
    assert metrics["per_subject"]["a"]["n"] == 4
    assert metrics["per_subject"]["b"]["macro_f1"] == 1
    assert metrics["summary"]["worst_subject"] == "a"
    assert metrics["summary"]["worst_subject_macro_f1"] == metrics["per_subject"]["a"]["macro_f1"]
    assert metrics["summary"]["recordings"] == 3


def test_what_is_not_measured_says_so_and_everything_is_json(results: list[Result]) -> None:
    metrics = measure(results, hop=10, classes=CLASSES, levels=(4, 4))
    json.dumps(metrics, allow_nan=False)
    assert metrics["latency_ms"] == NOT_MEASURED
    assert metrics["level"]["window"]["coverage"] == metrics["level"]["segment"]["coverage"] == NOT_MEASURED
    assert metrics["decoders"]["raw"]["sample"]["nll"] is None
    assert metrics["codes"]["size"] == 16
    assert np.sum(metrics["confusion"]) == 6
    assert sum(metrics["reliability"]["count"]) == 6


def test_codes_do_not_apply_without_quantisation() -> None:
    plain = [result_of("a1", "a", np.array([0] * 15 + [1] * 15), [0, 0, 0, 1, 1], [0, 0, 1, 1, 1], codes=False)]
    metrics = measure(plain, hop=10, classes=CLASSES, levels=None)
    assert metrics["codes"] == NOT_APPLICABLE
    assert headline(metrics, ["usage", "perplexity"]) == {"usage": NOT_APPLICABLE, "perplexity": NOT_APPLICABLE}


def test_the_headline_is_what_the_experiment_asks_for(results: list[Result]) -> None:
    metrics = measure(results, hop=10, classes=CLASSES, levels=(4, 4))
    asked = headline(metrics, ["accuracy", "f1@50", "perplexity", "motif_count", "coverage"])
    assert list(asked) == ["accuracy", "f1@50", "perplexity", "motif_count", "coverage"]
    assert asked["accuracy"] == metrics["level"]["window"]["accuracy"]
    assert asked["f1@50"] == metrics["level"]["segment"]["f1@50"]
    assert asked["motif_count"] == asked["coverage"] == NOT_MEASURED


def test_spread_of_nothing_one_and_more() -> None:
    assert spread([]) == spread([None]) == {"mean": None, "std": None}
    assert spread([0.5, None]) == {"mean": 0.5, "std": None}
    assert spread([0.25, 0.75]) == {"mean": 0.5, "std": pytest.approx(math.sqrt(0.125))}
