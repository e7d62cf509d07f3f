"""Chance: labels that move, and what must stay where it is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.leaks.chance import drawn_labels, exchanged_subjects, holm, p_value


def test_the_first_row_is_the_truth_and_a_seed_gives_the_same_draws(random_table):
    table = random_table(0)
    for level in ("within subjects", "between subjects"):
        labels = drawn_labels(table, 20, 5, level)
        np.testing.assert_array_equal(labels[0], table.label)
        np.testing.assert_array_equal(labels, drawn_labels(table, 20, 5, level))
        assert (labels != drawn_labels(table, 20, 6, level)).any()
        assert len({row.tobytes() for row in labels}) > 15


def test_recordings_of_one_length_keep_their_runs_within_the_subject(table_of):
    rng = np.random.default_rng(0)
    recordings = [(f"s{s}", rng.integers(0, 3, 15)) for s in range(3) for _ in range(4)]
    table = table_of(recordings, n_classes=3)
    cyclic = {
        s: {tuple(np.roll(labels, k)) for subject, labels in recordings if subject == f"s{s}" for k in range(15)}
        for s in range(3)
    }
    for row in drawn_labels(table, 50, 0)[1:]:
        for r in range(12):
            assert tuple(row[table.recording == r]) in cyclic[r // 4]
        for s in range(3):  # every sequence is given once
            mine = table.subject == s
            np.testing.assert_array_equal(
                np.bincount(row[mine], minlength=3), np.bincount(table.label[mine], minlength=3)
            )


def test_one_recording_a_subject_is_only_shifted(table_of):
    rng = np.random.default_rng(0)
    recordings = [(f"s{s}", rng.integers(0, 4, 11 + s)) for s in range(3)]
    table = table_of(recordings, n_classes=4)
    seen = set()
    for row in drawn_labels(table, 100, 0)[1:]:
        for s in range(3):
            mine = tuple(row[table.recording == s])
            shifts = [tuple(np.roll(recordings[s][1], k)) for k in range(11 + s)]
            assert mine in shifts
            seen.add((s, shifts.index(mine)))
    assert len(seen) == 11 + 12 + 13  # every shift comes up


def test_bouts_of_one_label_stay_bouts_in_their_order(table_of):
    own = {"a": [0, 1, 2, 2, 1], "b": [1, 0]}
    recordings = [(s, np.full(3 + 2 * k, label)) for s, labels in own.items() for k, label in enumerate(labels)]
    table = table_of(recordings, n_classes=3)
    for row in drawn_labels(table, 60, 0)[1:]:
        names = [set(row[table.recording == r].tolist()) for r in range(7)]
        assert all(len(name) == 1 for name in names)
        order = [name.pop() for name in names]
        assert order[:5] in [np.roll(own["a"], k).tolist() for k in range(5)]
        assert order[5:] in [[1, 0], [0, 1]]


def test_between_subjects_whole_sequences_move(table_of):
    recordings = [(f"s{s}", np.full(4 + s, s % 3)) for s in range(6)]
    table = table_of(recordings)
    for row in drawn_labels(table, 30, 0, "between subjects")[1:]:
        labels = [set(row[table.recording == r].tolist()) for r in range(6)]
        assert all(len(found) == 1 for found in labels)
        assert sorted(found.pop() for found in labels) == [0, 0, 1, 1, 2, 2]


def test_properties_of_subjects_are_exchanged_whole():
    orders = exchanged_subjects(5, 300, 1)
    assert orders[0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(5), (301, 1)))
    assert len(np.unique(orders, axis=0)) > 90  # of 120
    np.testing.assert_array_equal(orders, exchanged_subjects(5, 300, 1))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_p_counts_draws_that_reach_as_much(values):
    values = np.array(values)
    assert p_value(values) == pytest.approx(np.mean([v >= values[0] - 1e-9 for v in values]))
    assert p_value(values) >= 1 / len(values)


@given(st.lists(st.floats(0.001, 1), max_size=8))
def test_holm_is_that_of_its_definition(values):
    corrected = holm({str(i): p for i, p in enumerate(values)})
    order = sorted(range(len(values)), key=lambda i: values[i])
    for place, i in enumerate(order):
        expected = max(min(1, (len(values) - j) * values[order[j]]) for j in range(place + 1))
        assert corrected[str(i)] == pytest.approx(expected)
