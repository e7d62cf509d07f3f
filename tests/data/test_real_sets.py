"""The real recordings: their windows are those that published figures were measured on."""

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from conv2d.config import Correction
from conv2d.data import Dataset
from conv2d.data.corrections import apply_corrections, check_corrections
from conv2d.data.missing import fill_missing
from conv2d.data.splits import grouped_k_fold, subjects_by_split
from conv2d.data.windows import label_windows, sliding, window_starts

pytestmark = pytest.mark.real_data

HAPT6 = ["WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING"]
TRANSITIONS = ["STAND_TO_SIT", "SIT_TO_STAND", "SIT_TO_LIE", "LIE_TO_SIT", "STAND_TO_LIE", "LIE_TO_STAND"]
STATES = ["SEATED", "STANDING_UP", "WALKING", "TURNING", "SITTING_DOWN"]
COWS = ["Walking", "Grazing", "Resting"]
# set, classes, window, hop, rule: windows per class, as counted by others with code of their own
COUNTS = {
    "hapt6": ("hapt", HAPT6, 128, 64, "pure", [1183, 1015, 924, 1253, 1382, 1379]),
    "hapt": (
        "hapt", HAPT6 + TRANSITIONS, 128, 64, "centre",
        [1363, 1271, 1177, 1421, 1548, 1546, 108, 86, 134, 119, 150, 116],
    ),
    "sp_sw_har": ("sp_sw_har", STATES, 100, 50, "centre", [244, 373, 1505, 705, 398]),
    "cows3": ("cow_imu2x9", COWS, 100, 50, "centre", [148, 981, 1032]),
    "cows": ("cow_imu2x9", [*COWS, "Standing"], 100, 50, "centre", [148, 981, 1032, 548]),
}  # fmt: skip


def labelled_windows(path, classes, window, hop, rule):
    labels, subjects = [], []
    for recording in Dataset.open(path).load_all(classes=classes):
        starts = window_starts(recording.time_s, recording.rate_hz, window, hop)
        label, _ = label_windows(recording.labels, starts, window, rule)
        labels.append(label[label >= 0])
        subjects += [recording.subject] * len(labels[-1])
    return np.concatenate(labels), np.array(subjects)


@pytest.mark.parametrize("task", COUNTS)
def test_windows_per_class(shared_data, task):
    name, classes, window, hop, rule, expected = COUNTS[task]
    labels, _ = labelled_windows(shared_data / name, classes, window, hop, rule)
    assert np.bincount(labels, minlength=len(classes)).tolist() == expected


@pytest.mark.parametrize("task", COUNTS)
def test_folds_are_those_of_scikit_learn(shared_data, task):
    name, classes, window, hop, rule, _ = COUNTS[task]
    _, subjects = labelled_windows(shared_data / name, classes, window, hop, rule)
    expected = [set(subjects[test]) for _, test in GroupKFold(5).split(subjects, groups=subjects)]
    assert [set(fold.test) for fold in grouped_k_fold(subjects, 5)] == expected


def test_the_subjects_are_those_described(shared_data):
    assert {n: len(Dataset.open(shared_data / n).subjects) for n in ("hapt", "sp_sw_har", "cow_imu2x9")} == {
        "hapt": 21,
        "sp_sw_har": 16,
        "cow_imu2x9": 10,
    }
    assert subjects_by_split(Dataset.open(shared_data / "hapt").table).keys() == {"train"}


def test_samples_are_those_of_the_file(shared_data):
    import pyarrow.parquet as pq

    data = Dataset.open(shared_data / "sp_sw_har")
    recording = data.load("s01_01", classes=STATES)
    table = pq.read_table(data.recording_path("s01_01"))
    for s, sensor in enumerate(recording.sensors):
        for c, channel in enumerate(recording.channels):
            np.testing.assert_array_equal(recording.samples[c, s], table[f"{sensor}/{channel}"].to_numpy())
    assert [STATES[i] for i in recording.labels] == table["label"].to_pylist()
    np.testing.assert_array_equal(recording.quality["gap_ms"], table["gap_ms"].to_numpy())


def test_flagged_cows_are_brought_to_one_gravity(shared_data):
    data = Dataset.open(shared_data / "cow_imu2x9")
    correction = Correction(where="mpu_acc_scale_suspect", columns=("mpu9250/acc_*",), divide=7.6)
    check_corrections(data.meta, data.table, [correction])
    flagged = [r.recording for r in data.table if r.meta["mpu_acc_scale_suspect"] == "True"]
    assert len(flagged) == 18
    norms = {}
    for recording in data.load_all(channels=["acc_x", "acc_y", "acc_z"]):
        corrected = apply_corrections(recording, [correction])
        assert (corrected is recording) == (recording.name not in flagged)
        norms[recording.name] = np.median(np.linalg.norm(corrected.samples[:, 1], axis=0))
    # One flagged bout, of a cow that shakes itself, agrees with the other sensor before it is divided.
    assert all(8 < norm < 12 for name, norm in norms.items() if name != "bout491")


def test_a_whole_set_is_cut_without_copies(shared_data):
    rows = 0
    for recording in Dataset.open(shared_data / "hapt").load_all():
        filled = fill_missing(recording.samples, recording.rate_hz, 0.25, recording.time_s)
        assert filled.samples is recording.samples
        starts = window_starts(recording.time_s, recording.rate_hz, 128, 8)
        assert np.shares_memory(sliding(filled.samples, starts, 128), recording.samples)
        rows += recording.n_samples
    assert rows == 797_484
