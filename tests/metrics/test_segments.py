"""Segment scores must equal the contract's algorithm, of which a literal copy stands here."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conv2d.errors import UsageError
from conv2d.metrics import SegmentCounts, boundary_errors, edit_score, runs, score_segments, segment_counts


def contract_runs(a):
    b = np.flatnonzero(np.r_[True, a[1:] != a[:-1], True])
    return [(a[s], s, e) for s, e in itertools.pairwise(b)]


def contract_counts(t, p, thr):
    true_runs, pred_runs = contract_runs(t), contract_runs(p)
    used = set()
    tp = 0
    for k, s, e in pred_runs:
        best, bi = 0, None
        for i, (kk, ss, ee) in enumerate(true_runs):
            if kk != k or i in used:
                continue
            iou = max(0, min(e, ee) - max(s, ss)) / (max(e, ee) - min(s, ss))
            if iou > best:
                best, bi = iou, i
        if best >= thr:
            tp += 1
            used.add(bi)
    return tp, len(pred_runs) - tp, len(true_runs) - tp


def contract_edit(t, p):
    a, b = [r[0] for r in contract_runs(t)], [r[0] for r in contract_runs(p)]
    row = np.arange(len(b) + 1)
    for i, x in enumerate(a, 1):
        prev, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            prev, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, prev + (x != y))
    return 1 - row[-1] / max(len(a), len(b), 1)


@st.composite
def timelines(draw):
    """Two label sequences of one length made of runs, so that overlaps of every size and ties occur."""
    k = draw(st.integers(1, 4))
    piece = st.tuples(st.integers(0, k), st.integers(1, 6))
    a = np.repeat(*np.array(draw(st.lists(piece, min_size=1, max_size=25))).T)
    b = np.repeat(*np.array(draw(st.lists(piece, min_size=1, max_size=25))).T) - draw(st.sampled_from([0, 0, 2]))
    n = min(len(a), len(b))
    return a[:n], b[:n]


@settings(max_examples=400)
@given(timelines(), st.sampled_from([0.1, 0.25, 0.5, 0.75, 1.0]))
def test_counts_equal_the_contract(case, overlap):
    truth, pred = case
    got = segment_counts(truth, pred, overlap)
    assert (got.true_positive, got.false_positive, got.false_negative) == contract_counts(truth, pred, overlap)


@settings(max_examples=200)
@given(timelines())
def test_edit_equals_the_contract(case):
    truth, pred = case
    assert edit_score(truth, pred) == contract_edit(truth, pred)
    assert edit_score(truth, truth) == 1


@given(timelines())
def test_runs_tile_the_sequence(case):
    sequence, _ = case
    table = runs(sequence)
    np.testing.assert_array_equal(np.repeat(table[:, 0], table[:, 2] - table[:, 1]), sequence)
    assert (table[1:, 0] != table[:-1, 0]).all()
    assert runs([]).shape == (0, 3)


@settings(max_examples=100)
@given(st.lists(timelines(), min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_pooling_over_recordings_with_unlabelled_samples(cases, seed):
    rng = np.random.default_rng(seed)
    truths, preds = [], []
    for truth, pred in cases:
        masked = truth.copy()
        masked[rng.uniform(size=len(truth)) < 0.3] = -1
        truths.append(masked)
        preds.append(pred)
    scores = score_segments(truths, preds, rate_hz=10)
    kept = [(t[t >= 0], p[t >= 0]) for t, p in zip(truths, preds, strict=True) if (t >= 0).any()]
    if not kept:
        assert np.isnan(scores.f1_50)
        assert np.isnan(scores.edit)
        return
    for got, overlap in zip((scores.f1_10, scores.f1_25, scores.f1_50), (0.1, 0.25, 0.5), strict=True):
        tp, fp, fn = np.sum([contract_counts(t, p, overlap) for t, p in kept], axis=0)
        assert got == 2 * tp / max(2 * tp + fp + fn, 1)
    assert scores.edit == np.mean([contract_edit(t, p) for t, p in kept])
    lengths = [np.mean([e - s for t, p in kept for _, s, e in contract_runs((t, p)[side])]) for side in (0, 1)]
    assert scores.time_scale_ratio == pytest.approx(lengths[1] / lengths[0])
    assert scores.predicted == sum(len(contract_runs(p)) for _, p in kept)


@settings(max_examples=200)
@given(timelines(), st.integers(0, 2**32 - 1))
def test_boundary_errors_by_brute_force(case, seed):
    truth, pred = case
    truth = truth.copy()
    truth[np.random.default_rng(seed).uniform(size=len(truth)) < 0.1] = -1
    table = contract_runs(truth)
    expected, total = [], 0
    for i in range(1, len(table)):
        (a, start, t), (b, _, end) = table[i - 1], table[i]
        if a < 0 or b < 0:
            continue
        total += 1
        near = [abs(u - t) / 4 for u in range(start + 1, end) if pred[u - 1] == a and pred[u] == b]
        if near:
            expected.append(min(near))
    errors, n = boundary_errors(truth, pred, rate_hz=4)
    assert n == total
    np.testing.assert_allclose(errors, expected)


def test_a_boundary_hidden_in_an_unlabelled_span_is_not_counted():
    errors, total = boundary_errors([0, 0, -1, 1, 1], [0, 0, 0, 1, 1], rate_hz=1)
    assert total == 0
    assert len(errors) == 0


def test_runs_of_one_label_around_a_gap_are_one_segment():
    scores = score_segments([[0, 0, -1, -1, 0, 1]], [[0, 0, 1, 2, 0, 1]], rate_hz=1)
    assert (scores.true, scores.predicted, scores.f1_50) == (2, 2, 1.0)


def test_perfect_and_hopeless():
    truth = np.repeat([0, 1, 2, 1], 10)
    perfect = score_segments([truth], [truth], rate_hz=5)
    assert (perfect.f1_50, perfect.edit, perfect.boundary_error_s, perfect.boundaries_found) == (1, 1, 0, 1)
    hopeless = score_segments([truth], [np.full(40, -2)], rate_hz=5)
    assert (hopeless.f1_10, hopeless.edit, hopeless.boundaries_found) == (0, 0, 0)
    assert np.isnan(hopeless.boundary_error_s)
    assert hopeless.to_dict()["boundary_error_s"] is None


def test_a_long_timeline_is_quick_enough_to_score_every_decoder():
    # Quadratic matching would take minutes here; the guard is the suite's own patience, no time is asserted.
    rng = np.random.default_rng(0)
    truth, pred = rng.integers(0, 4, (2, 60_000))
    counts = segment_counts(truth, pred, 0.5)
    assert counts.true_positive + counts.false_negative == len(runs(truth))


def test_counts_add_up():
    assert SegmentCounts(1, 2, 3) + SegmentCounts(1, 0, 0) == SegmentCounts(2, 2, 3)
    assert SegmentCounts().f1 == 0


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: segment_counts([0], [0, 1], 0.5), "truth has 1, pred has 2 rows"),
        (lambda: segment_counts([0], [0], 0), "overlap is 0"),
        (lambda: score_segments([[0]], [], 1), "1 true and 0 predicted timelines"),
        (lambda: boundary_errors([0], [0], 0), "rate_hz is 0"),
    ],
)
def test_errors_name_what_was_got(call, text):
    with pytest.raises(UsageError, match=text):
        call()
