"""MHEALTH: the raw files of the *Mobile Health* data set (UCI 319).

::

    conv2d data import mhealth MHEALTHDATASET OUT [--preset limbs]

SOURCE is the unpacked set with ``mHealth_subject1.log`` ...: 24 columns between tabs at 50 Hz without times. The chest
has an accelerometer and two leads of ECG only, the left ankle and the right lower arm also a gyroscope and a
magnetometer; in a data set all sensors have the same channels, hence presets:

========  ====================  =============  =====================================================================
preset    sensors               channels       remark
========  ====================  =============  =====================================================================
acc       chest, ankle, arm     acc            the default: every channel is there, trains as it is
limbs     ankle, arm            acc, gyr, mag  every channel is there, trains as it is
all       chest, ankle, arm     acc, gyr, mag  the chest's gyr and mag are NaN: reading refuses them (E-DATA-009) until
                                               ``data.channels`` or ``data.sensors`` selects what was measured
========  ====================  =============  =====================================================================

Accelerations are in m/s^2; the set's README says deg/s of the gyroscope, so it is multiplied by pi / 180, and a note
tells the largest value, since that unit could not be checked on a file. The magnetometer is in units of its own. The
ECG (mV) is kept in the quality columns ``ecg_1`` and ``ecg_2``. Label 0 becomes "not annotated".

Source: Banos et al., mHealthDroid, IWAAL 2014; the set's README.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from conv2d.data.importers.number_files import read_number_file, whole_numbers
from conv2d.data.importers.published import class_indices, find_root, part_of, write_recordings
from conv2d.data.importers.result import ImportResult, Progress
from conv2d.data.meta import DatasetMeta
from conv2d.data.recording import Recording
from conv2d.data.units import RADIANS
from conv2d.errors import DataError

RATE_HZ = 50.0
N_COLUMNS = 24
ACTIVITIES = {
    1: "standing_still", 2: "sitting_and_relaxing", 3: "lying_down", 4: "walking", 5: "climbing_stairs",
    6: "waist_bends_forward", 7: "frontal_elevation_of_arms", 8: "knees_bending", 9: "cycling", 10: "jogging",
    11: "running", 12: "jump_front_and_back",
}  # fmt: skip
PUBLISHED_SUBJECTS = 10
_FIRST_OF_SENSOR = {"chest": 0, "ankle": 5, "arm": 14}
_ECG = (3, 4)
_LABEL = 23
_NOT_MEASURED = tuple(f"chest/{kind}_{axis}" for kind in ("gyr", "mag") for axis in "xyz")
_KINDS = {"acc": ("acc",), "limbs": ("acc", "gyr", "mag"), "all": ("acc", "gyr", "mag")}
_SLOWEST_LEG = 60.0  # deg/s; a shank turns by several hundred in walking


def import_mhealth(
    source: str | Path,
    out: str | Path,
    mapping: None = None,
    *,
    preset: Literal["acc", "limbs", "all"] = "acc",
    progress: Progress | None = None,
) -> ImportResult:
    """Import the raw MHEALTH files; see the module. One recording is in memory at a time.

    Raises
    ------
    DataError
        E-DATA-016 with file and line: another number of columns, text, an unknown activity; E-DATA-009 a channel
        without value while its sensor has some.
    """
    root = find_root(source, "mHealth_subject*.log", "the MHEALTH folder with mHealth_subjectN.log")
    files = sorted(root.glob("mHealth_subject*.log"), key=lambda path: (len(path.name), path.name))
    sensors = ("ankle", "arm") if preset == "limbs" else ("chest", "ankle", "arm")
    channels = tuple(f"{kind}_{axis}" for kind in _KINDS[preset] for axis in "xyz")
    classes = tuple(ACTIVITIES.values())
    notes = part_of(PUBLISHED_SUBJECTS, len(files), "subjects")
    if preset == "all":
        notes.append(
            "the chest has no gyroscope and no magnetometer: select data.channels [acc_x, acc_y, acc_z] or "
            "data.sensors [ankle, arm] in an experiment"
        )
    else:
        left_out = "gyroscopes and magnetometers" if preset == "acc" else "the chest's accelerometer"
        notes.append(f"preset {preset} leaves out {left_out}, since all sensors of a data set have the same channels")
    units = {"acc": "m/s^2, gravity included", "gyr": "rad/s, if the published unit is deg/s", "mag": "as published"}
    meta = DatasetMeta(
        name="mhealth", rate_hz=RATE_HZ, sensors=sensors, channels=channels, classes=classes,
        title="Mobile health: chest, ankle and arm" if len(sensors) == 3 else "Mobile health: ankle and arm",
        units={kind: units[kind] for kind in _KINDS[preset]},
        citation="Banos et al., mHealthDroid: a novel framework for agile development of mobile health applications, "
        "IWAAL 2014",
        quality_columns=("ecg_1", "ecg_2"),
    )  # fmt: skip
    fastest = 0.0

    def recordings() -> Iterator[Recording]:
        nonlocal fastest
        for path in files:
            recording = _recording(path, sensors, channels, classes)
            if "gyr_x" in channels:
                gyr = recording.samples[3:6]
                fastest = max(fastest, float(np.nanmax(np.abs(gyr), initial=0)) / RADIANS)
            yield recording
        if "gyr_x" in channels:
            doubt = (
                "less than a walking leg reaches: the unit is probably another one, check it before using gyr"
                if fastest < _SLOWEST_LEG
                else "which a leg can reach"
            )
            notes.append(f"gyr is taken for deg/s as the README says; its largest value is {fastest:.4g}, {doubt}")

    return write_recordings(
        out, meta, recordings(), n_files=len(files), notes=notes, progress=progress, total=len(files),
        may_lack=_NOT_MEASURED,
    )  # fmt: skip


def _recording(path: Path, sensors: tuple[str, ...], channels: tuple[str, ...], classes: tuple[str, ...]) -> Recording:
    number = re.fullmatch(r"mHealth_subject(\d+)\.log", path.name)
    if number is None:
        raise DataError(f"E-DATA-016: {path} is not called like mHealth_subject1.log; rename it or move it away")
    block = read_number_file(path, N_COLUMNS)
    activities = whole_numbers(block, _LABEL, "the label")
    labels, unknown = class_indices(activities, ACTIVITIES, classes, nulls=[0])
    if unknown >= 0:
        raise DataError(
            f"E-DATA-016: {block.place(unknown)} has label {activities[unknown]}, the set's README names 0 to 12; "
            "correct the line"
        )
    n = block.n_rows
    samples = np.full((len(channels), len(sensors), n), np.nan, np.float32)
    for s, sensor in enumerate(sensors):
        first = _FIRST_OF_SENSOR[sensor]
        width = 3 if sensor == "chest" else len(channels)
        samples[:width, s] = block.columns[first : first + width]
    samples[3:6] *= np.float32(RADIANS)  # nothing where only acc is taken
    name = f"subject{int(number[1]):02d}"
    ecg = {f"ecg_{i + 1}": block.columns[column].astype(np.float32) for i, column in enumerate(_ECG)}
    return Recording(name, name, RATE_HZ, sensors, channels, np.arange(n) / RATE_HZ, samples, labels, classes, ecg)
