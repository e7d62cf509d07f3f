"""Bayes' rule on counts against a plain loop over windows, subjects and classes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.leaks.bayes import PRIOR, mean_recall, reach, reach_together, tally
from conv2d.data.leaks.inputs import Factor


def plain_likelihoods(code, label, training, n_classes, value):
    """P(value given class) of each class from the training windows; None for a class without any."""
    share = np.mean(code[training] == value)
    found = []
    for k in range(n_classes):
        of_class = training & (label == k)
        n = of_class.sum()
        found.append(((code[of_class] == value).sum() + PRIOR * share) / (n + PRIOR) if n else None)
    return found


def plain_choice(scores, label, training):
    """The best class; where all are alike, the commonest."""
    known = [k for k, score in enumerate(scores) if score is not None]
    return max(known, key=lambda k: (round(scores[k], 6), (label[training] == k).sum(), -k))


def plain_reach(factors, label, group, n_classes):
    """Predicted labels, factors taken to be independent."""
    predicted = np.empty(len(label), np.int64)
    for i in range(len(label)):
        training = group != group[i]
        scores = np.zeros(n_classes)
        each = [plain_likelihoods(f.code, label, training, n_classes, f.code[i]) for f in factors]
        scores = [
            None if each[0][k] is None else float(np.prod([found[k] for found in each])) for k in range(n_classes)
        ]
        predicted[i] = plain_choice(scores, label, training)
    return predicted


def plain_recall(label, predicted, n_classes):
    return np.mean([(predicted[label == k] == k).mean() for k in range(n_classes) if (label == k).any()])


@st.composite
def cases(draw, n_factors=1):
    n_groups, n_classes = draw(st.integers(2, 4)), draw(st.integers(2, 4))
    n = draw(st.integers(n_groups, 25))
    ints = lambda high: np.array(draw(st.lists(st.integers(0, high - 1), min_size=n, max_size=n)))  # noqa: E731
    group = ints(n_groups)
    group[:n_groups] = np.arange(n_groups)
    factors = []
    for place in range(n_factors):
        n_values = draw(st.integers(1, 4))
        factors.append(Factor(f"f{place}", ints(n_values), n_values))
    return factors, ints(n_classes), group, n_groups, n_classes


@given(cases())
def test_one_factor_is_that_of_a_plain_loop(case):
    factors, label, group, n_groups, n_classes = case
    got = reach(factors, label[None], group, n_groups, n_classes)
    predicted = plain_reach(factors, label, group, n_classes)
    for s in range(n_groups):
        for k in range(n_classes):
            mine = (group == s) & (label == k)
            assert got.support[0, s, k] == mine.sum()
    # Ties of likelihoods that differ by rounding may fall either way: where there is none, all must agree.
    if not _tied(factors[0], label, group, n_classes):
        assert got.pooled[0] == pytest.approx(plain_recall(label, predicted, n_classes))


def _tied(factor, label, group, n_classes):
    for s in np.unique(group):
        training = group != s
        for value in np.unique(factor.code):
            scores = [x for x in plain_likelihoods(factor.code, label, training, n_classes, value) if x is not None]
            best = sorted(scores, reverse=True)
            if len(best) > 1 and best[0] - best[1] < 1e-5:
                return True
    return False


def test_several_factors_at_once_are_those_of_a_plain_loop():
    rng = np.random.default_rng(1)
    for _ in range(10):
        label, group = rng.integers(0, 3, 60), np.arange(60) % 4
        factors = [Factor(f"f{i}", (label + rng.integers(0, 3, 60)) % n, n) for i, n in enumerate((3, 5))]
        inputs = [([factor], np.zeros((1, 4), np.int64)) for factor in factors]
        got = reach_together(inputs, label[None], group, 4, 3).pooled[0]
        assert got == pytest.approx(plain_recall(label, plain_reach(factors, label, group, 3), 3))


def test_together_reads_the_factor_that_was_chosen():
    rng = np.random.default_rng(2)
    label, group = rng.integers(0, 3, 90), np.arange(90) % 3
    useful, useless = Factor("useful", label.copy(), 3), Factor("useless", rng.integers(0, 3, 90), 3)
    chosen = np.array([[1, 0, 1]])
    reached = reach_together([([useful, useless], chosen)], label[None], group, 3, 3)
    alone = [reach([factor], label[None], group, 3, 3).by_subject[0] for factor in (useful, useless)]
    np.testing.assert_allclose(reached.by_subject[0], [alone[1][0], alone[0][1], alone[1][2]])


@pytest.mark.parametrize("n_groups", [2, 3, 8, 9, 20])
def test_of_several_factors_the_useful_one_is_chosen(n_groups):
    rng = np.random.default_rng(n_groups)
    n = 40 * n_groups
    label, group = rng.integers(0, 3, n), np.arange(n) % n_groups
    flipped = np.where(rng.random(n) < 0.2, rng.integers(0, 3, n), label)
    name = Factor("name", rng.permutation(n), n)  # says every label of those seen, and nothing of others
    noise = Factor("noise", rng.integers(0, 3, n), 3)
    got = reach([noise, name, Factor("useful", flipped, 3)], label[None], group, n_groups, 3)
    if n_groups > 2:
        assert (got.chosen == 2).all()
        assert got.pooled[0] > 0.7
    alone = reach([noise, Factor("useful", flipped, 3)], label[None], group, n_groups, 3)
    assert (alone.chosen == 1).all()


def test_labellings_do_not_see_each_other():
    rng = np.random.default_rng(0)
    labels, group = rng.integers(0, 3, (6, 50)), np.arange(50) % 4
    factors = [Factor("a", rng.integers(0, 5, 50), 5), Factor("b", rng.integers(0, 2, 50), 2)]
    whole = reach(factors, labels, group, 4, 3)
    for d in range(6):
        one = reach(factors, labels[d : d + 1], group, 4, 3)
        np.testing.assert_array_equal(one.hits[0], whole.hits[d])
        np.testing.assert_array_equal(one.chosen[0], whole.chosen[d])


def test_blocks_of_labellings_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    labels, code, group = rng.integers(0, 3, (7, 30)), rng.integers(0, 4, 30), np.arange(30) % 3
    whole = tally(labels, code, 4, group, 3, 3)
    inputs = [([Factor("a", code, 4)], np.zeros((7, 3), np.int64))]
    together = reach_together(inputs, labels, group, 3, 3).hits
    moved = Factor("b", rng.integers(0, 4, (7, 3)), 4)
    of_subjects = tally(labels, moved.code, 4, group, 3, 3)
    both = [*inputs, ([moved], np.zeros((7, 3), np.int64))]
    together_moved = reach_together(both, labels, group, 3, 3).hits
    monkeypatch.setattr("conv2d.data.leaks.bayes._CELLS_AT_ONCE", 1)
    np.testing.assert_array_equal(tally(labels, moved.code, 4, group, 3, 3), of_subjects)
    np.testing.assert_array_equal(reach_together(both, labels, group, 3, 3).hits, together_moved)
    np.testing.assert_array_equal(tally(labels, code, 4, group, 3, 3), whole)
    inputs = [([Factor("a", code, 4)], np.zeros((7, 3), np.int64))]
    np.testing.assert_array_equal(reach_together(inputs, labels, group, 3, 3).hits, together)


def test_a_value_of_a_subject_may_be_another_in_each_labelling():
    rng = np.random.default_rng(4)
    group, label = np.sort(rng.integers(0, 5, 80)), rng.integers(0, 3, 80)
    codes = [rng.integers(0, n, (6, 5)) for n in (2, 4)]
    labels = np.broadcast_to(label, (6, 80))
    moved = [Factor("a", codes[0], 2), Factor("b", codes[1], 4)]
    whole = reach(moved, labels, group, 5, 3)
    together = reach_together([(moved, whole.chosen), ([moved[0]], np.zeros((6, 5), np.int64))], labels, group, 5, 3)
    for d in range(6):
        spread = [Factor(factor.name, factor.code[d][group], factor.n_values) for factor in moved]
        one = reach(spread, label[None], group, 5, 3)
        np.testing.assert_array_equal(one.hits[0], whole.hits[d])
        np.testing.assert_array_equal(one.chosen[0], whole.chosen[d])
        inputs = [(spread, one.chosen), ([spread[0]], np.zeros((1, 5), np.int64))]
        np.testing.assert_array_equal(reach_together(inputs, label[None], group, 5, 3).hits[0], together.hits[d])


def test_the_parts_of_subjects_make_up_the_whole():
    rng = np.random.default_rng(5)
    group, label = np.repeat(np.arange(4), [5, 10, 40, 25]), rng.integers(0, 4, 80)
    label[label == 3] = 2  # a class that does not occur
    got = reach([Factor("a", rng.integers(0, 3, 80), 3)], label[None], group, 4, 4)
    weight = 1 / np.bincount(label, minlength=4)[label]
    share = np.bincount(group, weight) / weight.sum()
    assert got.weighted_by_subject[0] @ share == pytest.approx(got.pooled[0])
    # One prediction a subject: its balanced accuracy is 1 / K of its own classes, its part in the whole is not.
    own = reach([Factor("who", group % 2, 2)], label[None], group, 4, 4)
    assert own.by_subject[0] == pytest.approx(1 / 3)
    assert len(np.unique(own.weighted_by_subject[0].round(6))) == 4


def test_a_class_that_training_lacks_is_never_predicted():
    label, group = np.array([0, 0, 1, 1, 2, 2]), np.array([0, 0, 0, 1, 1, 1])
    got = reach([Factor("a", np.array([0, 0, 1, 1, 2, 2]), 3)], label[None], group, 2, 3)
    assert got.hits[0, 1, 2] == 0


def test_recall_of_classes_that_do_not_occur_is_left_out():
    assert mean_recall(np.array([[2.0, 0, 0], [0, 0, 0]]), np.array([[4.0, 0, 1], [0, 0, 0]]))[0] == 0.25
    assert np.isnan(mean_recall(np.zeros((1, 3)), np.zeros((1, 3)))[0])
