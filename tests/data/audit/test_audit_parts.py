"""The parts of the checks against slow references."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conv2d.data.audit.axes import IDENTITY, PERMUTATIONS, best_permutation, motion_sums
from conv2d.data.audit.between_sensors import pair_axes
from conv2d.data.audit.calibration import fit_sphere
from conv2d.data.audit.columns import mutual_information
from conv2d.data.audit.contradictions import out_of_fold
from conv2d.data.audit.copies import Rows, row_hashes
from conv2d.data.audit.interpolated import straight
from conv2d.data.audit.label_runs import next_label
from conv2d.data.audit.labels import components
from conv2d.data.audit.nonwear import nonwear
from conv2d.data.audit.orientation import two_directions
from conv2d.data.audit.scale import _subject_effects
from conv2d.data.audit.stream import _factor, setting_of, start_of
from conv2d.data.audit.stretches import blocks, label_runs, longest, moving_mean, stretches
from conv2d.data.meta import DatasetMeta, RecordingRow

masks = hnp.arrays(bool, st.integers(0, 40))


@given(masks)
def test_stretches_are_the_runs_of_true(mask):
    start, end = stretches(mask)
    assert all(mask[a:b].all() and b > a for a, b in zip(start, end, strict=True))
    assert sum(end - start) == mask.sum()
    assert (start[1:] > end[:-1]).all()
    groups = [len(list(g)) for value, g in itertools.groupby(mask) if value]
    assert longest(mask) == max(groups, default=0)


@given(hnp.arrays(np.int64, st.integers(0, 40), elements=st.integers(-1, 2)))
def test_label_runs_rebuild_the_labels(labels):
    runs = label_runs(labels)
    assert np.repeat(runs.label, runs.end - runs.start).tolist() == labels.tolist()
    assert (runs.label[1:] != runs.label[:-1]).all()


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 3), st.integers(1, 30)), elements=st.floats(-9, 9)),
       st.integers(0, 6))  # fmt: skip
def test_moving_means(values, half):
    n = values.shape[1]
    slow = np.stack([values[:, max(0, i - half) : i + half + 1].mean(axis=1) for i in range(n)], axis=1)
    np.testing.assert_allclose(moving_mean(values, 2 * half + 1), slow, atol=1e-9)


def test_blocks_drop_what_is_left_over():
    assert blocks(np.arange(7.0), 3).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert blocks(np.zeros((3, 2), np.float32), 5).shape == (3, 0, 5)


@given(hnp.arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_components_are_what_can_be_reached(shown):
    n, k = shown.shape
    group = components(shown)
    reach = np.eye(n + k, dtype=bool)
    reach[:n, n:] |= shown
    reach[n:, :n] |= shown.T
    for _ in range(n + k):
        reach = (reach.astype(int) @ reach.astype(int)) > 0
    for i, j in itertools.combinations(range(n + k), 2):
        if group[i] >= 0 and group[j] >= 0:
            assert (group[i] == group[j]) == reach[i, j]
    assert ((group[:n] >= 0) == shown.any(axis=1)).all()
    assert ((group[n:] >= 0) == shown.any(axis=0)).all()


@given(hnp.arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)), elements=st.integers(0, 50)))
def test_mutual_information_is_a_share(counts):
    assert 0 <= mutual_information(counts) <= 1
    assert mutual_information(np.outer(counts.sum(axis=1), counts.sum(axis=0))) == pytest.approx(0, abs=1e-9)


def slow_copies(recordings):
    """Pairs (recording, row, recording, row) of rows that are alike, the plain way; held rows are none of them."""
    rows = [
        (i, t, r[:, :, t].tobytes())
        for i, r in enumerate(recordings)
        for t in range(r.shape[2])
        if t == 0 or (r[:, :, t] != r[:, :, t - 1]).any()
    ]
    return {(i, t, j, u) for (i, t, x), (j, u, y) in itertools.combinations(rows, 2) if x == y and i != j}


@given(st.integers(0, 2**32 - 1))
def test_copies_are_those_that_a_search_finds(seed):
    rng = np.random.default_rng(seed)
    recordings = [rng.normal(size=(2, 2, int(rng.integers(1, 40)))).astype(np.float32) for _ in range(4)]
    for _ in range(3):
        a, b = rng.choice(4, 2, replace=False)
        length = int(min(recordings[a].shape[2], recordings[b].shape[2], rng.integers(1, 12)))
        i, j = (int(rng.integers(recordings[k].shape[2] - length + 1)) for k in (a, b))
        recordings[b][:, :, j : j + length] = recordings[a][:, :, i : i + length]
    hashes = [row_hashes(r) for r in recordings]
    labels = [np.zeros(len(h), np.int16) for h in hashes]
    rows = Rows(hashes, labels)
    found, by_run = rows.compare()
    assert not by_run
    pairs = {
        (copy.first, rows.row(copy.at) + k, copy.second, rows.row(copy.again) + k)
        for copy in found for k in range(copy.rows) if copy.first != copy.second
    }  # fmt: skip
    assert pairs == slow_copies(recordings)


def test_rows_that_say_nothing_have_no_hash():
    x = np.random.default_rng(0).normal(size=(2, 1, 6)).astype(np.float32)
    x[:, :, 1] = x[:, :, 0]  # held
    x[:, :, 3] = 0
    x[:, :, 4] = np.nan
    assert (row_hashes(x) == 0).tolist() == [False, True, False, True, True, False]
    assert row_hashes(-x * 0)[0] == 0
    one, other = np.full((2, 1, 1), np.nan, np.float32), np.full((2, 1, 1), np.nan, np.float32)
    one[0], other[0] = 1, 1
    other[1] = -other[1]  # another NaN
    assert row_hashes(one) == row_hashes(other) != 0


def slow_straight(samples):
    n = samples.shape[1]
    zero = np.zeros(n, bool)
    for t in range(1, n - 1):
        second = samples[:, t + 1].astype(float) - 2 * samples[:, t].astype(float) + samples[:, t - 1].astype(float)
        flat = (np.abs(second) <= 3e-6 * np.maximum(1, np.abs(samples[:, t]))).all()
        zero[t] = flat and (samples[:, t + 1] != samples[:, t]).any()
    mask = np.zeros(n, bool)
    middles = 0
    for value, group in itertools.groupby(range(n), key=lambda t: zero[t]):
        places = list(group)
        if value and len(places) >= 4:
            mask[places[0] - 1 : places[-1] + 2] = True
        elif value:
            middles += len(places)
    return mask, middles


@given(st.integers(0, 2**32 - 1))
def test_straight_lines_are_those_that_a_search_finds(seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(3, 60)).astype(np.float32)
    for _ in range(3):
        a, length = int(rng.integers(40)), int(rng.integers(2, 15))
        x[:, a : a + length] = x[:, [a]] + np.arange(length) * rng.choice([0.0, 0.3], size=(3, 1))
    x[:, rng.integers(60)] = np.nan
    mask, middles = straight(x)
    expected, expected_middles = slow_straight(x)
    assert mask.tolist() == expected.tolist()
    assert middles == expected_middles


def test_a_sensor_without_values_has_no_lines():
    for x in (np.full((3, 20), np.nan), np.zeros((3, 20)), np.zeros((3, 1)), np.arange(20.0)[None]):
        mask, middles = straight(x.astype(np.float32))
        assert not mask.any()
        assert middles == 0


def body(rng, n=6000, rate=50.0):
    """Gravity and angular velocity of a body that turns slowly, by small steps of rotation."""
    steps = int(4 * rate)
    w = np.stack([np.convolve(rng.normal(0, 1, n), np.ones(steps) / steps, "same") * 6 for _ in range(3)])
    g = np.empty((3, n))
    g[:, 0] = [0, 0.6, 0.8]
    for t in range(1, n):
        g[:, t] = g[:, t - 1] + np.cross(g[:, t - 1], w[:, t - 1]) / rate
        g[:, t] /= np.linalg.norm(g[:, t])
    return g, w, np.arange(n) / rate


@pytest.mark.parametrize("name", [IDENTITY, "-x -y +z", "+y -x +z", "-z +y +x", "-x +y +z"])
def test_axes_of_a_gyroscope_are_told(name):
    rng = np.random.default_rng(3)
    g, w, time = body(rng)
    noisy = (g + rng.normal(0, 0.01, g.shape)).astype(np.float32)
    # The name tells which axis of the gyroscope stands for x, y and z of the accelerometer.
    seen = np.linalg.inv(PERMUTATIONS[name]) @ w
    fit = best_permutation(motion_sums(9.8 * noisy, seen.astype(np.float32), time, 50.0, 1.0))
    assert fit.best == name
    assert fit.score > 0.9
    assert fit.gain == pytest.approx(1, abs=0.1)
    degrees = motion_sums(noisy, np.rad2deg(seen).astype(np.float32), time, 50.0, 1.0)
    assert best_permutation(degrees).gain == pytest.approx(np.pi / 180, rel=0.1)


def test_sums_are_those_of_the_plain_formula():
    rng = np.random.default_rng(0)
    n = 7
    a, w, d = rng.normal(size=(3, 3, n))
    k = np.zeros((n, 3, 3))
    for t in range(n):
        x, y, z = a[:, t]
        k[t] = [[0, -z, y], [z, 0, -x], [-y, x, 0]]
    plain = np.einsum("nij,kn->nijk", k, w).reshape(n, 3, 9)
    k_gram = (a**2).sum(axis=0) * np.eye(3)[:, :, None] - a[:, None] * a[None]
    gram = np.einsum("abn,cdn->acbd", k_gram, w[:, None] * w[None]).reshape(9, 9)
    np.testing.assert_allclose(gram, np.einsum("nia,nib->ab", plain, plain), atol=1e-12)
    np.testing.assert_allclose((np.cross(d, a, axis=0) @ w.T).reshape(9), np.einsum("nia,in->a", plain, d), atol=1e-12)


def test_missing_samples_and_gaps_are_left_out_of_the_fit():
    g, w, time = body(np.random.default_rng(3))
    acc, gyr = g.astype(np.float32), w.astype(np.float32)
    acc[:, 2000:2300] = np.nan
    gyr[0, 3000] = np.nan
    time[4000:] += 100
    fit = best_permutation(motion_sums(acc, gyr, time, 50.0, 1.0))
    assert fit.best == IDENTITY
    assert fit.score > 0.9
    assert motion_sums(np.full_like(acc, np.nan), gyr, time, 50.0, 1.0) is None
    assert motion_sums(acc[:, :50], gyr[:, :50], time[:50], 50.0, 1.0) is None


@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([1.0, -1.0])] * 3))
def test_axes_of_two_sensors_are_paired(order, signs):
    table = np.zeros((3, 3))
    table[range(3), order] = 0.9 * np.array(signs)
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, (6, 3, 3))
    pairing = pair_axes(list(table + noise))
    assert np.array_equal(PERMUTATIONS[pairing.name] != 0, table != 0)
    assert (PERMUTATIONS[pairing.name] * table >= 0).all()
    assert pairing.agreement == 1


def test_calibration_survives_wrong_windows_and_tells_what_it_cannot_know():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(300, 3))
    truth /= np.linalg.norm(truth, axis=1, keepdims=True)
    scale, offset = np.array([0.93, 0.96, 1.01]), np.array([0.045, -0.02, 0.0])
    points = (truth - offset) / scale + rng.normal(0, 0.002, (300, 3))
    points[:20] *= 1.2
    fit = fit_sphere(points)
    np.testing.assert_allclose(fit.scale, scale, atol=0.004)
    np.testing.assert_allclose(fit.offset, offset, atol=0.004)
    assert fit.condition < 10
    flat = np.tile([0.1, 0.1, 0.98], (50, 1)) + rng.normal(0, 0.001, (50, 3))
    assert fit_sphere(flat).condition > 100


def slow_nonwear(x, step, factor):
    n = x.shape[1]
    mask = np.zeros(n, bool)
    for start in sorted({*range(0, n - 4 * step + 1, step), *range(n % step, n - 4 * step + 1, step)}):
        part = x[:, start : start + 4 * step].astype(float) * factor
        known = np.isfinite(part)
        if not known.any(axis=1).all():
            continue
        still = [p[k].std() < 0.013 or p[k].max() - p[k].min() < 0.05 for p, k in zip(part, known, strict=True)]
        if sum(still) >= 2:
            mask[start : start + 4 * step] = True
    return mask


@given(st.integers(0, 2**32 - 1), st.integers(2, 6))
def test_non_wear_is_what_a_search_finds(seed, step):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 0.3, (3, 90))
    a, b = sorted(rng.integers(0, 91, 2))
    x[: int(rng.integers(1, 4)), a:b] = rng.normal(0, 0.003)
    x[rng.random((3, 90)) < 0.1] = np.nan
    x[:, int(rng.integers(90)) :][:, :20] = np.nan
    x = x.astype(np.float32)
    assert nonwear(x, step, 1.0).tolist() == slow_nonwear(x, step, 1.0).tolist()


def test_non_wear_of_an_axis_without_values_is_missing():
    x = np.zeros((3, 100), np.float32)
    x[1] = np.nan
    assert not nonwear(x, 5, 1.0).any()


def test_two_directions_part_what_lies_apart():
    rng = np.random.default_rng(0)
    up, down = np.array([0, 0, 1.0]), np.array([0.3, 0, -0.95])
    points = np.concatenate([up + rng.normal(0, 0.1, (20, 3)), down + rng.normal(0, 0.1, (7, 3))])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    centres, group = two_directions(points)
    assert len({*group[:20]}) == len({*group[20:]}) == 1
    assert group[0] != group[-1]
    assert sorted((centres @ up).round(1)) == [-1.0, 1.0]
    same, _ = two_directions(np.tile(up, (5, 1)))
    np.testing.assert_allclose(same, np.tile(up, (2, 1)))


def test_scores_out_of_fold_do_not_see_their_subject():
    rng = np.random.default_rng(0)
    y = np.tile([0, 1], 30)
    x = rng.normal(size=(60, 4)) + 3 * y[:, None]
    subjects = np.repeat(np.arange(6), 10)
    right = out_of_fold(x, y, subjects, 2).argmax(axis=1)
    assert (right == y).mean() > 0.95
    turned = np.where(subjects == 2, 1 - y, y)
    assert (out_of_fold(x, turned, subjects, 2)[subjects == 2].argmax(axis=1) == y[subjects == 2]).all()
    alone = np.where(subjects == 0, 1, 0)
    assert np.isneginf(out_of_fold(x, alone, subjects, 2)[subjects == 0, 1]).all()


def test_the_next_label_is_learnt_on_others():
    script = tuple([0, 1, 2, 1, 0, 2] * 3)
    assert next_label([("a", script), ("b", script)], 3) == (30, 30)
    assert next_label([("a", script)], 2)[0] == 0


def test_a_subject_is_compared_by_class():
    # The one that only walks turns ten times as fast as one that only rests, and that is no unit.
    levels = {("a", 0): [0.0], ("b", 0): [0.1], ("c", 0): [0.0], ("a", 1): [2.3], ("b", 1): [2.2], ("d", 1): [2.4],
              ("c", 2): [9.0]}  # fmt: skip
    effects = _subject_effects(levels)
    assert set(effects) == {"a", "b", "c", "d"}
    assert max(abs(np.median(values)) for values in effects.values()) < 0.2


@pytest.mark.parametrize(
    ("kind", "unit", "factor"),
    [("acc", "g, gravity included", 1.0), ("acc", "m/s²", 1 / 9.80665), ("acc", "m/s**2", 1 / 9.80665),
     ("gyr", "deg/s", np.pi / 180), ("mag", "Gauss", 100.0), ("mag", "raw counts", None), ("acc", "", None)],
)  # fmt: skip
def test_units_are_understood(kind, unit, factor):
    assert _factor(kind, unit) == (None if factor is None else pytest.approx(factor))


def test_a_unit_can_be_given_for_each_sensor():
    meta = DatasetMeta(
        "x", 10.0, ("a", "b"), ("acc_x", "acc_y", "acc_z", "mag_x", "mag_y", "mag_z"), (),
        units={"acc": "g", "mag": "a: microtesla; b: raw counts", "b/acc": "m/s^2"},
    )  # fmt: skip
    units = {v.title: (v.kind, v.unit, v.factor) for v in setting_of(meta, 100).vectors}
    assert units["a/mag"] == ("mag", "microtesla", 1.0)
    assert units["b/mag"] == ("mag", "raw counts", None)
    assert units["a/acc"][1:] == ("g", 1.0)
    assert units["b/acc"][2] == pytest.approx(1 / 9.80665)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01 00:00:10", 10.0),
        ("1970-01-01T00:00:10Z", 10.0),
        ("1970-01-02", 86400.0),
        ("", None),
        ("soon", None),
    ],
)
def test_starts_are_dates_or_nothing(text, seconds):
    assert start_of(RecordingRow("a", "x", 1, 1.0, {"start": text})) == seconds
