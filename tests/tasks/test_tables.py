"""``predictions.parquet`` and ``segments.csv``: columns, times that lose nothing, runs that follow one another."""

import csv
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data import Recording
from conv2d.tasks.behavior.frames import Frames, frame_of_sample, piece_of_sample
from conv2d.tasks.behavior.tables import SEGMENT_COLUMNS, write_predictions, write_segments
from conv2d.tasks.behavior.timeline import Result, decode
from conv2d.temporal.min_dwell import MinDwell

CLASSES = ("rest, lying", "walk")
WINDOW = 4


def result_of(
    time_s: np.ndarray, label: np.ndarray, rate_hz: float, *, codes: int | None = 2, name: str = "7"
) -> Result:
    """A frame a sample, so that the timeline is what is given."""
    n = len(time_s)
    recording = Recording(
        name, "07", rate_hz, ("a",), ("x",), time_s, np.zeros((1, 1, n), np.float32), np.full(n, -1), CLASSES
    )
    start = np.arange(n) - WINDOW // 2
    proba = np.where(label[:, None] == np.arange(2), 0.75, 0.25)
    frames = Frames(
        name, "07", WINDOW, rate_hz, start, time_s - WINDOW / 2 / rate_hz, np.zeros(n, np.int64), np.full(n, -1),
        np.log(proba), None if codes is None else np.arange(n * codes).reshape(n, codes) + 2**40,
        None if codes is None else np.full(n, 0.5, np.float32), np.ones(n, bool),
    )  # fmt: skip
    to_sample = frame_of_sample(frames, recording)
    return Result(recording, frames, proba, proba[:, ::-1].copy(), proba, {"raw": label}, "raw", to_sample)


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def test_predictions_have_the_columns_of_the_contract(tmp_path: Path) -> None:
    result = result_of(np.arange(6) / 10, np.array([0, 0, 1, 1, 0, 0]), 10.0)
    write_predictions(tmp_path / "p.parquet", [result, result_of(np.arange(2) / 10, np.zeros(2, int), 10.0)], CLASSES)
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == [
        "recording", "subject", "time_s", "start_s", "end_s", "code_0", "code_1", "margin", "p_rest, lying", "p_walk",
        "filtered_rest, lying", "filtered_walk", "label", "set",
    ]  # fmt: skip
    assert len(table) == 8
    assert table["recording"].to_pylist() == ["7"] * 8  # text, though it looks like a number
    assert table["subject"].to_pylist() == ["07"] * 8
    assert table["label"].to_pylist()[:3] == ["rest, lying", "rest, lying", "walk"]
    assert table["code_1"].to_pylist()[:2] == [2**40 + 1, 2**40 + 3]
    assert set(table["set"].to_pylist()) == {""}
    assert table["p_walk"].to_pylist()[:3] == [0.25, 0.25, 0.75]
    assert table["filtered_walk"].to_pylist()[:3] == [0.75, 0.75, 0.25]
    assert np.allclose(np.subtract(table["end_s"], table["start_s"]), 0.4)


def test_without_quantisation_there_are_no_columns_for_codes(tmp_path: Path) -> None:
    write_predictions(
        tmp_path / "p.parquet", [result_of(np.arange(6) / 10, np.zeros(6, int), 10.0, codes=None)], CLASSES
    )
    assert not {"code_0", "margin"} & set(pq.read_schema(tmp_path / "p.parquet").names)


def test_segments_are_runs_with_their_confidence(tmp_path: Path) -> None:
    result = result_of(5 + np.arange(6) / 10, np.array([0, 0, 1, 1, 1, 0]), 10.0)
    write_segments(tmp_path / "s.csv", [result], CLASSES)
    rows = rows_of(tmp_path / "s.csv")
    assert tuple(rows[0]) == SEGMENT_COLUMNS
    assert [row["label"] for row in rows] == ["rest, lying", "walk", "rest, lying"]
    assert [float(row["start_s"]) for row in rows] == pytest.approx([5, 5.2, 5.5])
    assert [float(row["end_s"]) for row in rows] == pytest.approx([5.2, 5.5, 5.6])
    assert {row["confidence"] for row in rows} == {"0.750000"}
    assert {row["set"] + row["start_low_s"] + row["start_high_s"] for row in rows} == {""}


@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=60),
    st.sampled_from([10.0, 50.0, 33.3]),
    st.floats(-1e9, 1e9),
    st.dictionaries(st.integers(1, 59), st.floats(0.2, 1e4), max_size=3),
)
def test_written_segments_hold_every_sample_once_whatever_the_clock(
    tmp_path_factory: pytest.TempPathFactory, labels: list[int], rate: float, begin: float, pauses: dict[int, float]
) -> None:
    n = len(labels)
    time_s = begin + np.arange(n) / rate
    for at, length in pauses.items():
        time_s[at:] += length
    if n > 1 and np.diff(time_s).min() <= 0:
        return  # too far from zero for the clock to tell samples apart
    label = np.array(labels)
    path = tmp_path_factory.mktemp("segments") / "s.csv"
    write_segments(path, [result_of(time_s, label, rate)], CLASSES)
    rows = [(float(row["start_s"]), float(row["end_s"]), CLASSES.index(row["label"])) for row in rows_of(path)]
    inside = np.array([(time_s >= start) & (time_s < end) for start, end, _ in rows])
    assert (inside.sum(axis=0) == 1).all()
    assert np.array([rows[i][2] for i in inside.argmax(axis=0)]).tolist() == labels
    assert all(a[1] <= b[0] for a, b in pairwise(rows))
    # a pause longer than a window lies in no segment; a shorter one in the segment before it
    for a, b in pairwise(time_s):
        held = any(start <= a and b <= end for start, end, _ in rows) or any(end == b for _, end, _ in rows)
        assert held == (b - a <= WINDOW / rate)


class DwellOfThree:
    """A decoding whose only decoder asks for three frames, on probabilities as they are."""

    name = "min_dwell"
    decoders = {"min_dwell": MinDwell(0.3, 0.1)}  # noqa: RUF012

    class posterior:
        filter = smooth = staticmethod(lambda scores, _, ends=True: np.exp(scores))

    def calibrate(self, logits: np.ndarray, _: np.ndarray) -> np.ndarray:
        return np.exp(logits)

    def decode(self, _: str, scores: np.ndarray, has_data: np.ndarray, *, ends: bool) -> np.ndarray:
        return self.decoders["min_dwell"].decode(scores, has_data).labels

    def shortest_stay(self, _: str) -> int:
        return 3


@given(
    st.lists(st.integers(0, 1), min_size=1, max_size=60),
    st.dictionaries(st.integers(1, 59), st.sampled_from([0.25, 0.4, 3.0]), max_size=4),
)
def test_no_segment_inside_a_timeline_is_shorter_than_the_dwell(labels: list[int], gaps: dict[int, float]) -> None:
    time_s = np.arange(len(labels)) / 10
    for at, length in gaps.items():
        time_s[at:] += length
    given_result = result_of(time_s, np.array(labels), 10.0)
    frames = replace(given_result.frames, piece=piece_of_sample(given_result.recording))
    result = decode(given_result.recording, frames, DwellOfThree(), 1)  # type: ignore[arg-type]
    spans = result.spans(result.sample_labels("min_dwell"))
    for before, span, after in zip(spans, spans[1:], spans[2:], strict=False):
        if before[4] == span[3] and span[4] == after[3]:  # no pause on either side
            assert span[2] - span[1] >= 3
