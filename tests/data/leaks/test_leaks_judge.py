"""Verdicts on sets whose truth is known: every leak is found, and nothing is found where there is none."""

import datetime as dt

import numpy as np
import pytest
from scipy.stats import binom

from conv2d.data.leaks.identity import measure_identity
from conv2d.data.leaks.inputs import NOT_APPLICABLE, NOT_MEASURED
from conv2d.data.leaks.judge import judge
from conv2d.data.leaks.judgement import ALPHA, FLOOR, LEAK, NO_LEAK, SOME

UNIFORM = np.full(3, 1 / 3)


def verdicts(table, draws=200, seed=0):
    return {found.name: found for found in judge(table, draws, seed)}


def leaking(found):
    return {name for name, each in found.items() if each.verdict == LEAK}


def spread(lengths, values):
    """One value a recording, for each of its windows."""
    return np.repeat(np.asarray(values), lengths)


def test_a_script_is_found_by_position(table_of, label_runs):
    rng = np.random.default_rng(0)
    script = [
        (f"s{s}", np.repeat([0, 1, 2], rng.integers(6, 10, 3))) for s in range(6) for _ in range(2)
    ]  # the same order in each, of other lengths
    found = verdicts(table_of(script))
    assert found["position"].verdict == LEAK
    assert found["position"].balanced_accuracy > 0.8
    assert found["position"].subjects_above == found["position"].measured_subjects == 6
    assert 0.2 < found["position"].chance < 0.45
    free = [(f"s{s}", label_runs(rng, 24, UNIFORM)) for s in range(6) for _ in range(2)]
    assert leaking(verdicts(table_of(free))) == set()


@pytest.mark.parametrize("per", ["stretch", "recording", "subject"])
def test_a_dead_sensor_that_goes_with_a_label_is_found(table_of, label_runs, per):
    rng = np.random.default_rng(1)
    if per == "stretch":  # off whenever the animal lies
        recordings = [(f"s{s}", label_runs(rng, 60, UNIFORM)) for s in range(5)]
        dead = np.concatenate([labels for _, labels in recordings]) == 2
        level = "within subjects"
    elif per == "recording":  # bouts of one label, the resting ones recorded by another device
        recordings = [(f"s{s}", np.full(8, rng.integers(0, 3))) for s in range(6) for _ in range(10)]
        dead = np.concatenate([labels for _, labels in recordings]) == 2
        level = "within subjects"
    else:  # patients and controls, measured in two places
        recordings = [(f"s{s:02d}", np.full(30, s % 2)) for s in range(12)]
        dead = np.concatenate([labels for _, labels in recordings]) == 1
        level = "between subjects"
    missing = np.stack([np.zeros(len(dead), bool), dead], axis=1)
    found = verdicts(table_of(recordings, missing=missing))
    assert found["sensors"].verdict == LEAK
    assert found["sensors"].level == level
    assert found["sensors"].excess > 0.2
    assert found["sensors"].chosen is not None
    alone = verdicts(table_of(recordings, missing=missing[rng.permutation(len(missing))]))
    assert alone["sensors"].verdict == NO_LEAK


@pytest.fixture
def two_sites(label_runs):
    """12 subjects that show all of four classes, two of them far more often at the subject's own site."""

    def recordings(kept=0.85):
        rng = np.random.default_rng(7)
        shares = [
            [kept / 2, kept / 2, 0.5 - kept / 2, 0.5 - kept / 2],
            [0.5 - kept / 2, 0.5 - kept / 2, kept / 2, kept / 2],
        ]
        found = [(f"s{s:02d}", label_runs(rng, 60, shares[s % 2])) for s in range(12) for _ in range(3)]
        return found, ["AB"[s % 2] for s in range(12) for _ in range(3)]

    return recordings


def test_what_is_constant_in_subjects_of_several_classes_is_found(table_of, two_sites):
    """One prediction a subject has a balanced accuracy of 1 / K on that subject, whichever class it is."""
    recordings, sites = two_sites()
    found = verdicts(table_of(recordings, columns={"site": sites}), draws=399)["columns"]
    assert (found.verdict, found.level, found.chosen) == (LEAK, "between subjects", {"site": 12})
    assert found.excess > 0.1
    assert found.measured_subjects == 12
    assert found.subjects_above >= 10
    rng = np.random.default_rng(0)
    by_lot = [site for site in rng.permutation(sites[::3]) for _ in range(3)]
    assert verdicts(table_of(recordings, columns={"site": by_lot}), draws=399)["columns"].verdict == NO_LEAK


def test_one_recording_that_differs_hides_no_leak(table_of, two_sites):
    recordings, sites = two_sites()
    whole = verdicts(table_of(recordings, columns={"site": sites}), draws=399)["columns"]
    sites[1] = "B"
    found = verdicts(table_of(recordings, columns={"site": sites}), draws=399)["columns"]
    assert (found.verdict, found.level, found.balanced_accuracy) == (LEAK, "between subjects", whole.balanced_accuracy)
    assert set(found.tested) == {"within subjects", "between subjects"}
    # 11 subjects speak between, 1 within: weights 11 / 12 and 1 / 12.
    assert found.p == pytest.approx(whole.p * 12 / 11)
    assert found.tested["between subjects"] == whole.p
    assert set(whole.tested) == {"between subjects"}


def test_a_leak_within_subjects_is_found_where_most_subjects_cannot_show_it(table_of, label_runs):
    """A sensor that dies whenever the label is 1, in 6 of 14 subjects, and works in all others."""
    rng = np.random.default_rng(3)
    recordings = [(f"s{s:02d}", label_runs(rng, 60, UNIFORM)) for s in range(14)]
    labels = np.concatenate([found for _, found in recordings])
    affected = np.repeat(np.arange(14) < 6, 60)
    missing = np.stack([affected & (labels == 1), np.zeros(len(labels), bool)], axis=1)
    found = verdicts(table_of(recordings, missing=missing), draws=399)["sensors"]
    assert (found.verdict, found.level, found.measured_subjects) == (LEAK, "within subjects", 6)


def test_what_holds_in_some_subjects_is_said_to(table_of, label_runs):
    rng = np.random.default_rng(9)
    recordings = [(f"s{s}", label_runs(rng, 90, UNIFORM, 6)) for s in range(6)]
    labels = np.concatenate([found for _, found in recordings])
    tied = np.repeat(np.arange(6) < 3, 90)
    # In the others it dies as often, whatever they do.
    missing = np.where(tied, labels == 1, np.roll(labels == 1, 45))
    found = verdicts(table_of(recordings, missing=np.stack([missing, missing], axis=1)), draws=399)["sensors"]
    assert found.verdict == SOME == "in some subjects"
    assert found.beyond_chance
    assert 3 <= found.subjects_above < 0.8 * found.measured_subjects
    assert found.reason == f"beyond chance in {found.subjects_above} of 6 subjects, expected 80 % of them for a leak"


def test_drop_out_is_no_posture(table_of, label_runs):
    """Every window of class 2 has no signal: the missing sensor says so, the mean of a channel does not."""
    rng = np.random.default_rng(11)
    recordings = [(f"s{s}", label_runs(rng, 60, UNIFORM)) for s in range(6)]
    labels = np.concatenate([found for _, found in recordings])
    for seen in (np.zeros(360), 3.0 * (labels == 1)):  # no posture at all; one that tells class 1
        means = seen[:, None] + np.random.default_rng(0).normal(size=(360, 2))
        means[labels == 2] = np.nan
        missing = np.stack([labels == 2] * 2, axis=1)
        found = verdicts(table_of(recordings, means=means, missing=missing), draws=399)
        assert found["sensors"].verdict == LEAK
        if not seen.any():
            assert found["channel_mean"].verdict == NO_LEAK
            assert abs(found["channel_mean"].excess) < 0.05
        else:
            assert found["channel_mean"].verdict == FLOOR
            # Class 1 and half of the rest at best, class 2 by luck.
            assert found["channel_mean"].balanced_accuracy < 0.75


def test_a_sensor_that_one_subject_lacks_is_no_posture(table_of, label_runs):
    rng = np.random.default_rng(12)
    recordings = [(f"s{s}", label_runs(rng, 60, UNIFORM)) for s in range(5)]
    means = rng.normal(size=(300, 2))
    means[:60, 0] = np.nan
    found = verdicts(table_of(recordings, means=means))["channel_mean"]
    assert found.verdict == NO_LEAK
    assert found.balanced_accuracy is not None
    assert verdicts(table_of(recordings, means=np.full((300, 2), np.nan)))["channel_mean"].verdict == NOT_APPLICABLE


def test_a_sensor_that_is_dead_in_some_subjects_is_judged_by_them(table_of, label_runs):
    rng = np.random.default_rng(3)
    recordings = [(f"s{s}", label_runs(rng, 80, UNIFORM)) for s in range(6)]
    labels = np.concatenate([found for _, found in recordings])
    affected = np.repeat([0, 0, 0, 1, 1, 1], 80).astype(bool)
    missing = np.stack([affected & (labels == 1), np.zeros(480, bool)], axis=1)
    found = verdicts(table_of(recordings, missing=missing))["sensors"]
    assert (found.verdict, found.measured_subjects, found.subjects_above) == (LEAK, 3, 3)
    assert found.to_dict()["by_subject"]["s0"]["excess"] == NOT_MEASURED


def test_the_hour_is_found(table_of):
    rng = np.random.default_rng(4)
    recordings, starts = [], []
    for s in range(6):
        for hour in range(8, 18):
            label = 0 if hour < 11 else 1 if hour < 15 else 2
            recordings.append((f"s{s}", np.full(int(rng.integers(4, 9)), label)))
            starts.append(dt.datetime(2024, 5, 1 + s, hour, int(rng.integers(0, 50))))
    found = verdicts(table_of(recordings, starts=starts))
    assert found["time_of_day"].verdict == LEAK
    assert found["time_of_day"].balanced_accuracy > 0.9
    assert found["date"].verdict == NO_LEAK
    assert found["position"].verdict == NOT_APPLICABLE
    assert LEAK in (found["recording"].verdict, found["together"].verdict)  # the order follows the hour
    shuffled = [recordings[i] for s in range(6) for i in 10 * s + rng.permutation(10)]
    assert leaking(verdicts(table_of(shuffled, starts=starts))) == set()


def test_a_label_that_says_who_is_no_leak_across_subjects(table_of, label_runs):
    """Each subject nearly has a class of its own, and signs of its own: a random split would do well, and only that."""
    rng = np.random.default_rng(5)
    recordings, means, places = [], [], []
    for s in range(6):
        shares = np.full(3, 0.02)
        shares[s % 3] = 0.96
        for _ in range(3):
            labels = label_runs(rng, 40, shares, longest=6)
            recordings.append((f"s{s}", labels))
            means.append(np.full((40, 2), float(s)))
            places.append(f"place {s}")
    table = table_of(recordings, means=np.concatenate(means), columns={"place": places})
    found = verdicts(table)
    assert leaking(found) == set()
    identity = measure_identity(table, 0)
    assert identity.verdict == "random split leaks"
    assert identity.by_subject > 0.8
    assert identity.information_share > 0.5


def test_a_target_that_is_the_subject_cannot_be_told_of_others(table_of):
    recordings = [(f"s{s}", np.full(20, s)) for s in range(4)]
    table = table_of(recordings, target="subject")
    found = verdicts(table)
    assert {each.verdict for each in found.values()} == {NOT_MEASURED}
    assert "every class of subject is of one subject only" in found["position"].reason
    identity = measure_identity(table, 0)
    assert (identity.information_share, identity.by_subject) == (pytest.approx(1), 1)
    assert set(identity.tied) == set(table.classes)


def test_too_few_labellings_are_no_measurement(table_of):
    columns = {"site": ["x", "y", "x", "y"]}
    found = verdicts(table_of([(f"s{s}", np.full(30, s % 2)) for s in range(4)], columns=columns))
    assert found["columns"].verdict == NOT_MEASURED
    assert "in 6 ways only, expected 40" in found["columns"].reason


def test_the_mean_of_a_channel_is_a_floor_and_no_leak(table_of, label_runs):
    rng = np.random.default_rng(6)
    recordings = [(f"s{s}", label_runs(rng, 60, UNIFORM)) for s in range(5)]
    labels = np.concatenate([found for _, found in recordings])
    means = np.stack([rng.normal(size=300), labels + 0.2 * rng.normal(size=300)], axis=1)
    found = verdicts(table_of(recordings, means=means))
    assert found["channel_mean"].verdict == FLOOR
    assert found["channel_mean"].chosen == {"neck/acc_x": 5}
    assert found["channel_mean"].balanced_accuracy > 0.8
    assert leaking(found) == set()
    assert found["together"].verdict != FLOOR


def test_a_flag_and_a_quality_column_are_found(table_of, label_runs):
    rng = np.random.default_rng(7)
    bouts = [(f"s{s}", np.full(6, rng.integers(0, 2))) for s in range(6) for _ in range(8)]
    columns = {
        "source": ["walks" if labels[0] else "rests" for _, labels in bouts],
        "split": ["train" if labels[0] else "test" for _, labels in bouts],
        "file": [f"f{i}" for i in range(len(bouts))],
    }
    found = verdicts(table_of(bouts, columns=columns))
    assert (found["columns"].verdict, found["columns"].chosen) == (LEAK, {"source": 6})
    columns["source"] = ["rests"] * len(bouts)
    found = verdicts(table_of(bouts, columns=columns))
    assert found["columns"].verdict == NOT_APPLICABLE  # split is never read, and a file's name is no property
    recordings = [(f"s{s}", label_runs(rng, 60, UNIFORM)) for s in range(5)]
    quality = np.concatenate([labels for _, labels in recordings]) * 20 + rng.normal(size=300)
    found = verdicts(table_of(recordings, quality=quality))
    assert (found["quality"].verdict, found["quality"].chosen) == (LEAK, {"gap_ms": 5})


def test_what_is_constant_or_absent_says_so(table_of, label_runs):
    rng = np.random.default_rng(8)
    recordings = [(f"s{s}", label_runs(rng, 40, UNIFORM)) for s in range(4)]
    found = verdicts(table_of(recordings))
    reasons = {name: (each.verdict, each.reason) for name, each in found.items()}
    assert reasons["sensors"] == (NOT_APPLICABLE, "no sensor is ever missing, or the same ones always are")
    assert reasons["time_of_day"] == (NOT_MEASURED, "recordings.csv has no column start")
    assert reasons["recording"][0] == reasons["columns"][0] == reasons["quality"][0] == NOT_APPLICABLE
    assert all(each.balanced_accuracy is None for each in found.values() if each.verdict.startswith("NOT_"))
    midnight = [dt.datetime(2024, 5, 1 + s) for s in range(4)]
    assert verdicts(table_of(recordings, starts=midnight))["time_of_day"].verdict == NOT_MEASURED
    partly = verdicts(table_of(recordings, starts=[*midnight[:3], None]))["date"]
    assert partly.verdict == NOT_MEASURED
    assert partly.reason == "1 of 4 recordings have no start that is a date and time (ISO 8601)"


@pytest.mark.slow
@pytest.mark.parametrize("one_label", [False, True])
def test_without_any_tie_p_values_are_even_and_alarms_are_as_rare_as_promised(random_table, one_label):
    """A set has a p of 0.05 after Holm 1 time in 20 at most: of 30 sets hardly ever more than 6."""
    n_sets, draws = 30, 399
    p_values, alarms, leaks = {}, 0, 0
    size = {"each": 8, "windows": 6} if one_label else {"each": 2, "windows": 16}
    for seed in range(n_sets):
        found = judge(random_table(seed, one_label=one_label, subjects=5, **size), draws, seed)
        measured = [each for each in found if each.p is not None]
        # Even halved between two levels, the least p must be able to raise an alarm.
        assert 2 * len(measured) / (1 + draws) <= ALPHA
        alarms += any(each.beyond_chance for each in measured)
        leaks += any(each.verdict == LEAK for each in measured)
        for each in measured:
            p_values.setdefault(each.name, []).append(each.p)
    assert leaks <= alarms <= binom.ppf(0.999, n_sets, ALPHA)
    assert len(p_values) >= 7
    for name, values in p_values.items():
        values = np.sort(values)
        n = len(values)
        # Kolmogorov's distance to the even distribution, at a level of 1 in 1000; ties and the doubling for two levels
        # only make p values larger.
        above = (np.arange(1, n + 1) / n - values).max()
        assert above < 1.95 / np.sqrt(n) + 1 / draws, name
        assert np.mean(values) < 0.7, name


def test_the_seed_gives_the_same_figures(random_table):
    table = random_table(3)
    first, second = ([found.to_dict() for found in judge(table, 200, 7)] for _ in range(2))
    assert first == second
    assert first != [found.to_dict() for found in judge(table, 200, 8)]
