"""Decoders on the labels of real recordings, seen through a simulated noisy classifier; held out by subject."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from conv2d.metrics import runs, score_segments
from conv2d.temporal import HSMM, Raw

SHARED = Path(os.environ.get("CONV2D_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
CASES = {
    "hapt": (
        8,
        12,
        "WALKING WALKING_UPSTAIRS WALKING_DOWNSTAIRS SITTING STANDING LAYING STAND_TO_SIT SIT_TO_STAND SIT_TO_LIE "
        "LIE_TO_SIT STAND_TO_LIE LIE_TO_STAND",
    ),
    "sp_sw_har": (5, 60, "SEATED STANDING_UP WALKING TURNING SITTING_DOWN"),
    "cow_imu2x9": (5, 400, "Walking Grazing Resting"),
}


def load(name):
    """Frame labels of each recording, their subjects, and seconds between frames."""
    parquet = pytest.importorskip("pyarrow.parquet")
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"needs the recordings of {name} in {SHARED}")
    step, count, names = CASES[name]
    classes = names.split()
    with (folder / "recordings.csv").open(newline="") as file:
        table = list(csv.DictReader(file))[:count]
    labels, subjects = [], []
    for row in table:
        column = parquet.read_table(folder / "recordings" / f"{row['recording']}.parquet", columns=["label"])["label"]
        index = {label: k for k, label in enumerate(classes)}
        frames = np.array([index.get(label, -1) for label in column.to_pylist()[::step]])
        if (frames >= 0).any():
            labels.append(frames)
            subjects.append(row["subject"])
    return labels, np.array(subjects), step / float(table[0]["rate_hz"]), len(classes)


def seen_through(noisy, rng, labels, k):
    """Scores of a classifier that in unlabelled spans believes in the nearest earlier label, with the same noise."""
    place = np.maximum.accumulate(np.where(labels >= 0, np.arange(len(labels)), -1))
    place[place < 0] = np.argmax(labels >= 0)
    return noisy(rng, labels[place], k, strength=3.0, correlation=0.8)


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("durations", ["categorical", "negative_binomial"])
def test_decoding_repairs_flicker_without_learning_the_gaps(name, durations, noisy):
    labels, subjects, frame_s, k = load(name)
    rng = np.random.default_rng(0)
    held_out = np.isin(subjects, np.unique(subjects)[::3])
    model = HSMM(k, frame_s, durations=durations).fit(
        [y for y, out in zip(labels, held_out, strict=True) if not out], list(subjects[~held_out])
    )
    assert not set(model.subjects_) & set(subjects[held_out])
    test = [y for y, out in zip(labels, held_out, strict=True) if out]
    scores = [seen_through(noisy, rng, y, k) for y in test]
    raw = score_segments(test, [Raw().decode(s).labels for s in scores], 1 / frame_s)
    decoded = score_segments(test, [model.decode(s).labels for s in scores], 1 / frame_s)
    assert decoded.f1_50 > max(0.85, raw.f1_50 + 0.1)
    assert decoded.edit > max(0.85, raw.edit + 0.1)
    assert 0.85 < decoded.time_scale_ratio < 1.15
    if name == "cow_imu2x9":
        # One label a bout: nothing was seen to end, so a timeline stays what it is.
        assert decoded.predicted <= 1.02 * decoded.true


@pytest.mark.real_data
def test_laws_agree_with_the_complete_segments():
    labels, subjects, frame_s, k = load("sp_sw_har")
    model = HSMM(k, frame_s).fit(labels, list(subjects))
    inner = np.concatenate([runs(y)[1:-1] for y in labels])
    # All but the first class, which is seen at the edges of recordings only.
    for state in range(1, k):
        lengths = (inner[:, 2] - inner[:, 1])[inner[:, 0] == state]
        assert model.duration_laws_[state]["mean"] == pytest.approx(lengths.mean(), rel=0.1)
        assert model.duration_laws_[state]["beyond"] < 0.01
