"""Corrections of known defects, applied on loading."""

import numpy as np
import pytest

from conv2d.config import Correction
from conv2d.data import Recording
from conv2d.data.corrections import apply_corrections, check_corrections
from conv2d.data.meta import DatasetMeta, RecordingRow
from conv2d.errors import DataError

META = DatasetMeta("cows", 10.0, ("bno055", "mpu9250"), ("acc_x", "acc_y", "gyr_x"), ())


def divide(where, column, by=7.6):
    return Correction(where=where, columns=(column,), divide=by)


SUSPECT = divide("suspect", "mpu9250/acc_*")


def make_recording(flag="True", sensors=META.sensors):
    samples = np.full((3, len(sensors), 4), 15.2, np.float32)
    return Recording("b1", "cow", 10.0, sensors, META.channels, np.arange(4) / 10, samples, np.zeros(4, int), (), {},
                     {"suspect": flag})  # fmt: skip


def test_only_the_columns_named_of_flagged_recordings_are_divided():
    recording = make_recording()
    corrected = apply_corrections(recording, [SUSPECT])
    expected = np.full((3, 2, 4), 15.2, np.float32)
    expected[:2, 1] = 2.0
    np.testing.assert_allclose(corrected.samples, expected)
    assert (recording.samples == np.float32(15.2)).all()
    assert corrected.meta == recording.meta


@pytest.mark.parametrize("flag", ["False", "false", "0", "no", ""])
def test_other_recordings_are_left_alone(flag):
    recording = make_recording(flag)
    assert apply_corrections(recording, [SUSPECT]) is recording


@pytest.mark.parametrize("flag", ["True", "true", "1", "yes", " TRUE "])
def test_flags_that_are_true(flag):
    assert apply_corrections(make_recording(flag), [SUSPECT]).samples.min() == 2.0


def test_corrections_follow_each_other():
    twice = apply_corrections(make_recording(), [SUSPECT, divide("suspect", "mpu9250/acc_x", 2.0)]).samples
    np.testing.assert_allclose(twice[0, 1], 1.0)


def test_a_sensor_that_was_not_loaded_is_passed_over():
    recording = make_recording(sensors=("bno055",))
    assert apply_corrections(recording, [SUSPECT]) is recording


@pytest.mark.parametrize(
    ("correction", "message"),
    [
        (divide("suspekt", "mpu9250/acc_*"), "depends on column suspekt, recordings.csv has suspect, age"),
        (divide("age", "mpu9250/acc_*"), "column age of recording b1 is '7', a correction expects true or"),
        (divide("suspect", "mpu9255/acc_*"), "names column mpu9255/acc_., data set cows has bno055/acc_x"),
    ],
)
def test_a_correction_that_could_never_act_is_refused(correction, message):
    table = [RecordingRow("b1", "cow", 4, 10.0, {"suspect": "True", "age": "7"})]
    with pytest.raises(DataError, match=f"E-DATA-015: .*{message}"):
        check_corrections(META, table, [correction])
    check_corrections(META, table, [SUSPECT])
