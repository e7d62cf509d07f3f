"""k best timelines and decisions of least risk on the models that decode recordings."""

import re
from pathlib import Path

import numpy as np
import pytest

from conv2d.errors import UsageError
from conv2d.metrics.segments import runs
from conv2d.temporal import HMM, HSMM, Decoded
from conv2d.temporal.model import SegmentModel

LABELS = [[0] * 12 + [1] * 6 + [2] * 9 + [0] * 11 + [1] * 5 + [2] * 8, [1] * 7 + [2] * 10 + [0] * 13 + [1] * 6]


def noisy(seed: int, frames: int = 60) -> np.ndarray:
    """Log probabilities of a classifier that is right more often than not."""
    rng = np.random.default_rng(seed)
    truth = np.resize(LABELS[0], frames)
    scores = rng.normal(size=(frames, 3)) + np.eye(3)[truth]
    log_proba: np.ndarray = scores - np.logaddexp.reduce(scores, axis=1, keepdims=True)
    return log_proba


@pytest.fixture(params=[HMM, HSMM])
def model(request: pytest.FixtureRequest) -> SegmentModel:
    fitted: SegmentModel = request.param(n_states=3, frame_s=0.5, emission_weight=0.8).fit(LABELS)
    return fitted


def test_the_k_best_begin_with_the_decoded_one_and_differ_in_labels(model: SegmentModel) -> None:
    log_proba = noisy(1)
    best = model.decode(log_proba)
    ranked = model.decode_kbest(log_proba, k=25)
    assert len(ranked) == 25
    np.testing.assert_array_equal(ranked[0].labels, best.labels)
    assert ranked[0].score == pytest.approx(best.score, rel=1e-12)
    assert [one.score for one in ranked] == sorted((one.score for one in ranked), reverse=True)
    assert len({one.labels.tobytes() for one in ranked}) == 25
    for one in ranked:
        np.testing.assert_array_equal(one.segments, runs(one.labels))


def test_each_decision_expects_the_most_of_what_it_is_made_for(model: SegmentModel) -> None:
    for seed in range(5):
        log_proba = noisy(seed)
        others = [model.expect(one, log_proba) for one in model.decode_kbest(log_proba, k=50)]
        by_sample = model.decode_mbr(log_proba)
        by_segment = model.decode_mbr(log_proba, risk="segment")
        posteriors = model.smooth(log_proba)
        assert by_sample.expected_accuracy == pytest.approx(posteriors[np.arange(60), by_sample.labels].mean())
        assert by_sample.expected_accuracy <= posteriors.max(axis=1).mean() + 1e-9
        assert by_sample.expected_accuracy >= max(one.expected_accuracy for one in others) - 1e-9
        assert by_segment.expected_f1 >= max(one.expected_f1 for one in [*others, by_sample]) - 0.01
        for decision in (by_sample, by_segment):
            assert np.isfinite(decision.score)  # possible
            assert decision.score <= others[0].score + 1e-9
            np.testing.assert_array_equal(decision.segments, runs(decision.labels))


def test_frames_without_data_and_open_ends_count_as_in_decode(model: SegmentModel) -> None:
    log_proba, has_data = noisy(2), np.ones(60, bool)
    has_data[20:35] = False
    log_proba[20:35] = np.nan
    for ends in (True, False):
        best = model.decode(log_proba, has_data, ends=ends)
        ranked = model.decode_kbest(log_proba, has_data, k=3, ends=ends)
        np.testing.assert_array_equal(ranked[0].labels, best.labels)
        expected = model.expect(best, log_proba, has_data, ends=ends)
        assert model.decode_mbr(log_proba, has_data, ends=ends).expected_accuracy >= expected.expected_accuracy - 1e-9
        assert np.array_equal(expected.labels, best.labels)
        assert expected.score == best.score


def test_an_empty_recording_has_one_timeline(model: SegmentModel) -> None:
    nothing = np.empty((0, 3))
    assert [one.score for one in model.decode_kbest(nothing)] == [0.0]
    assert model.decode_mbr(nothing).labels.shape == (0,)
    assert model.decode_mbr(nothing, risk="segment").expected_f1 == 1.0


def test_nobody_asked_is_nan(model: SegmentModel) -> None:
    decoded = model.decode(noisy(3))
    assert np.isnan(decoded.expected_accuracy)
    assert np.isnan(decoded.expected_f1)


def test_what_cannot_be_used_is_refused(model: SegmentModel) -> None:
    log_proba = noisy(4)
    with pytest.raises(UsageError, match="E-TEMPORAL-015: k is 0, expected at least 1 timeline"):
        model.decode_kbest(log_proba, k=0)
    with pytest.raises(UsageError, match="E-TEMPORAL-015: risk is 'frame', expected one of sample, segment"):
        model.decode_mbr(log_proba, risk="frame")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"E-TEMPORAL-015: overlap is 0\.2, expected 0\.5 to 1"):
        model.decode_mbr(log_proba, risk="segment", overlap=0.2)
    for labels in ([0, 1], [3] * 60, [-1] * 60):
        with pytest.raises(UsageError, match=r"E-TEMPORAL-015: got \d+ labels for 60 frames, expected one each"):
            model.expect(Decoded.of(labels), log_proba)
    with pytest.raises(UsageError, match=r"E-TEMPORAL-001: HSMM is not fitted, expected fit\(\) before decode_mbr\(\)"):
        HSMM(n_states=3, frame_s=0.5).decode_mbr(log_proba)


def test_the_page_runs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "timelines.md").read_text(encoding="utf-8")
    (snippet,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(snippet, "docs/timelines.md", "exec"), names)
    accurate, likely = names["accurate"], names["likely"]
    assert isinstance(accurate, Decoded)
    assert isinstance(likely, Decoded)
    assert 0.5 < accurate.expected_accuracy <= 1
    assert accurate.score <= likely.score + 1e-9
