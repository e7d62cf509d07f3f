"""What the order of labels tells, and what it is worth to know who."""

import math

import numpy as np
import pytest

from conv2d.data.leaks.identity import measure_identity
from conv2d.data.leaks.script import measure_script


def test_a_script_is_told_by_the_segment_before(table_of):
    rng = np.random.default_rng(0)
    recordings = [(f"s{s}", np.repeat([0, 1, 2, 3, 0, 2], rng.integers(1, 5, 6))) for s in range(5) for _ in range(2)]
    script = measure_script(table_of(recordings), 100, 0)
    assert script.segments == 10 * 5
    # After 0 comes 1 or 2, after 2 comes 3 or nothing: two before make it certain.
    assert script.reached[2] == script.reached[3] == 1
    assert script.reached[1] < 1
    assert script.verdict == "scripted"
    assert max(script.p.values()) < 0.02


def test_a_random_order_is_no_script(table_of, label_runs):
    rng = np.random.default_rng(1)
    p_values, alarms = [], 0
    for seed in range(20):
        recordings = [(f"s{s}", label_runs(rng, 120, np.full(4, 0.25), 5)) for s in range(4)]
        script = measure_script(table_of(recordings), 80, seed)
        assert script.verdict in ("no order", "ordered")
        alarms += script.verdict == "ordered"
        assert script.chance[1] > 0.26  # neighbours differ, so that the one before tells something in any order
        p_values.append(script.p[1])
    assert 0.25 < np.mean(p_values) < 0.75
    assert alarms <= 3


def test_an_order_that_is_likely_but_not_certain(table_of):
    rng = np.random.default_rng(2)
    recordings = []
    for s in range(6):
        labels = [0]
        while len(labels) < 60:
            labels.append((labels[-1] + (1 if rng.random() < 0.7 else 2)) % 3)
        recordings.append((f"s{s}", labels))
    script = measure_script(table_of(recordings), 100, 0)
    assert script.verdict == "ordered"
    assert script.reached[1] == pytest.approx(0.7, abs=0.1)


def test_one_label_a_recording_has_no_order(table_of):
    script = measure_script(table_of([(f"s{s}", np.full(5, s % 2)) for s in range(8)]), 10, 0)
    assert script.verdict == "NOT_APPLICABLE"
    assert script.reason == "0 segments follow another in their recording, expected 20 or more"
    table = table_of([("a", [0, 1] * 30), ("b", [0, 1] * 30)], target="orientation")
    assert measure_script(table, 10, 0).reason == "orientation is the same all through a recording"


def test_one_subject_with_an_order_is_not_judged_by_itself(table_of):
    table = table_of([("a", [0, 1, 2] * 20), ("b", [0] * 10), ("c", [1] * 10)])
    assert measure_script(table, 10, 0).verdict == "NOT_APPLICABLE"


def test_information_is_that_of_its_definition(table_of, label_runs):
    rng = np.random.default_rng(3)
    recordings = [(f"s{s}", label_runs(rng, 50, rng.dirichlet(np.ones(3)))) for s in range(4)]
    table = table_of(recordings, n_classes=3)
    found = measure_identity(table, 0)
    n, information, entropy = len(table.label), 0.0, 0.0
    for k in range(3):
        share = (table.label == k).sum() / n
        entropy -= share * math.log2(share)
        for s in range(4):
            both = ((table.label == k) & (table.subject == s)).sum() / n
            if both:
                information += both * math.log2(both / (share * (table.subject == s).sum() / n))
    assert found.label_entropy_bits == pytest.approx(entropy)
    assert found.information_bits == pytest.approx(information)


def test_subjects_alike_give_nothing_away(table_of):
    found = measure_identity(table_of([(f"s{s}", [0, 1, 2] * 30) for s in range(4)]), 0)
    assert found.information_bits == pytest.approx(0, abs=1e-12)
    assert found.verdict == "names say little"
    assert found.chance == pytest.approx(1 / 3)
    assert found.tied == {}


def test_bouts_are_known_by_their_recording(table_of):
    rng = np.random.default_rng(4)
    table = table_of([(f"s{s}", np.full(10, rng.integers(0, 3))) for s in range(5) for _ in range(6)], n_classes=4)
    found = measure_identity(table, 0)
    assert found.by_recording > 0.99
    assert found.by_subject < 0.7
    assert found.chance == pytest.approx(1 / 3)  # a class of which there is no window is none


def test_classes_of_one_subject_are_named(table_of):
    table = table_of([("a", [0, 1, 2]), ("b", [0, 1, 1]), ("c", [0, 0, 0])])
    assert measure_identity(table, 0).tied == {"c": "a"}
