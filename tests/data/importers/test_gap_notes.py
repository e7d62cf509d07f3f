"""Gaps of a clock: counted as by hand however rows come, and told in the notes of a table's import."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers import time_check
from conv2d.data.importers.csv_parquet import import_csv
from conv2d.data.importers.time_check import TimeCheck, gap_notes

MAPPING = {"name": "tiny", "time": "t", "channels": {"back/acc_x": "ax"}, "subject": {"constant": "rex"}}


def times_with_gaps(n, gaps, rate_hz=50):
    steps = np.full(n - 1, 1 / rate_hz)
    for row, seconds in gaps.items():
        steps[row] += seconds
    return np.r_[0, np.cumsum(steps)]


def write(path, time_s):
    path.write_text("t,ax\n" + "\n".join(f"{t:.4f},{i}" for i, t in enumerate(time_s)))


@pytest.mark.parametrize("rate", [{}, {"rate_hz": 50}])
def test_gaps_of_a_table_are_told(tmp_path, rate):
    write(tmp_path / "rex.csv", times_with_gaps(300, {0: 3.0, 100: 0.5, 250: 0.011}))
    write(tmp_path / "bella.csv", times_with_gaps(300, {7: 0.009}))  # less than half a period is none
    notes = import_csv(tmp_path, tmp_path / "out", {**MAPPING, **rate}).notes
    told = [note for note in notes if "gap" in note]
    assert told == ["recording rex has 3 gaps of its clock, the longest 3.02 s, left as gaps"]
    assert Dataset.open(tmp_path / "out").meta.notes == notes


def test_many_recordings_with_gaps_get_one_note(tmp_path):
    for i in range(14):
        write(tmp_path / f"dog{i:02d}.csv", times_with_gaps(100, {50: 1.0 + i, 70: 0.1} if i else {}))
    told = [note for note in import_csv(tmp_path, tmp_path / "out", MAPPING).notes if "gap" in note]
    assert told == [
        "13 of 14 recordings have gaps of their clock, 26 in all, the longest 14.02 s in dog13, left as gaps"
    ]


@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(1, 30), st.integers(1, 20))
def test_gaps_are_counted_once_whatever_is_kept(seed, most_steps, piece, limit):
    rng = np.random.default_rng(seed)
    steps = np.full(300, 0.01)
    steps[: min(most_steps, limit)] = 0.01
    where = rng.choice(np.arange(min(most_steps, limit), 300), 9, replace=False)
    steps[where] = rng.uniform(0.02, 5, 9)
    check = TimeCheck()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_check, "_MOST_STEPS", most_steps)
        for at in range(0, 300, piece):
            check.keep(steps[at : at + piece])
            if rng.random() < 0.2:
                check.keep_no_more_than(limit)
    assert check.gaps(100.0) == (9, steps.max())
    assert gap_notes({"a": check, "b": TimeCheck()}, 100.0) == [
        f"recording a has 9 gaps of its clock, the longest {steps.max():.4g} s, left as gaps"
    ]
