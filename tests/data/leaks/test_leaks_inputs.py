"""Bins: what each input is read from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.leaks.inputs import MAX_VALUES, categories, quantile_bins, trivial_inputs


@given(st.lists(st.one_of(st.just(float("nan")), st.floats(-1e6, 1e6)), min_size=1, max_size=80), st.integers(2, 20))
def test_bins_keep_the_order_and_part_what_is_missing(values, n_bins):
    x = np.array(values)
    factor = quantile_bins("x", x, n_bins)
    assert factor.code.min() >= 0
    assert factor.code.max() < factor.n_values <= n_bins + 2
    known = ~np.isnan(x)
    for i in np.flatnonzero(known):
        for j in np.flatnonzero(known):
            if x[i] <= x[j]:
                assert factor.code[i] <= factor.code[j]
    assert not set(factor.code[known]) & set(factor.code[~known])
    if len(np.unique(x[known])) <= n_bins:
        assert len(np.unique(factor.code[known])) == len(np.unique(x[known]))


def test_bins_hold_about_as_many_each():
    counts = np.bincount(quantile_bins("x", np.random.default_rng(0).normal(size=2000), 20).code)
    assert counts[:20].tolist() == [100] * 20


@given(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=60), st.integers(1, 8))
def test_the_commonest_texts_keep_a_value_of_their_own(values, limit):
    factor = categories("x", values, limit)
    own = {value: {int(c) for v, c in zip(values, factor.code, strict=True) if v == value} for value in set(values)}
    assert all(len(codes) == 1 for codes in own.values())
    counts = {value: values.count(value) for value in own}
    for a in own:
        for b in own:
            if counts[a] > counts[b]:
                assert min(own[a]) <= min(own[b])
    assert factor.n_values == min(len(own), limit)
    assert factor.code.max() < factor.n_values


def test_the_values_of_a_column_are_few(table_of):
    n = 3 * MAX_VALUES
    recordings = [(f"s{r:03d}", [0, 1]) for r in range(n)]
    columns = {
        "number": [str(r * 0.5) for r in range(n)],
        "name": [f"file {r}" for r in range(n)],
        "kind": [f"k{r % 40}" for r in range(n)],
        "gap": ["" if r % 2 else "3" for r in range(n)],
        "same": ["x"] * n,
        "split": ["train"] * n,
        "start": ["?"] * n,
    }
    found = {given.name: given for given in trivial_inputs(table_of(recordings, columns=columns))}["columns"]
    assert {factor.name for factor in found.factors} == {"number", "kind", "gap"}
    assert all(factor.n_values <= MAX_VALUES for factor in found.factors)


def test_position_is_counted_from_both_ends(table_of):
    table = table_of([("a", [0] * 20 + [1] * 20), ("b", [0, 1, 1, 1])])
    found = {given.name: given for given in trivial_inputs(table)}["position"]
    share, start, end = (factor.code for factor in found.factors)
    assert share[:40].tolist() == np.repeat(np.arange(20), 2).tolist()
    assert share[40:].tolist() == [2, 7, 12, 17]
    assert start[40] == start[0]
    assert end[43] == end[39]
    assert (np.diff(start[:40]) >= 0).all()
    assert (np.diff(end[:40]) <= 0).all()


def test_hours_go_on_within_a_recording(table_of):
    import datetime as dt

    starts = [dt.datetime(2024, 5, 1, 23, 59, 50), dt.datetime(2024, 5, 2, 7)]
    table = table_of([("a", [0] * 10 + [1] * 10), ("b", [0, 1])], starts=starts)
    found = {given.name: given for given in trivial_inputs(table)}
    hour = next(factor for factor in found["time_of_day"].factors if factor.name == "hour")
    assert hour.code.tolist() == [23] * 5 + [0] * 15 + [7] * 2
    assert {factor.name for factor in found["date"].factors} == {"date", "day of the week"}


@pytest.mark.parametrize("value", ["", "one", "1.5"])
def test_a_column_may_hold_anything(table_of, value):
    columns = {"x": [value, "b", value, "b"]}
    recordings = [(f"s{r}", [0, 1]) for r in range(4)]
    found = {given.name: given for given in trivial_inputs(table_of(recordings, columns=columns))}["columns"]
    assert found.factors[0].code.tolist() in ([0, 0, 1, 1] * 2, [1, 1, 0, 0] * 2)
