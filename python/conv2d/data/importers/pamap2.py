"""PAMAP2: the raw files of *PAMAP2 Physical Activity Monitoring* (UCI 231).

::

    conv2d data import pamap2 PAMAP2_Dataset OUT [--preset all]

SOURCE is the unpacked set with ``Protocol/subject101.dat`` ... and ``Optional/``: 54 columns between blanks at 100 Hz.
The preset ``protocol`` takes the first folder, ``all`` both. Sensors ``hand``, ``chest`` and ``ankle`` each get the
accelerometer of 16 g (m/s^2), the gyroscope (rad/s) and the magnetometer (uT); the accelerometer of 6 g saturates and
is "not precisely calibrated" with the other, and the orientation is "invalid in this data collection", so both stay
out, as do the temperatures. Missing values stay NaN: nothing is filled in. The heart rate (about 9 Hz, NaN in between)
is the quality column ``heart_rate_bpm``, no channel. Activity 0, "other", is transient and becomes "not annotated".
Classes are the published activities that stand in a row.

Source: Reiss and Stricker, Introducing a New Benchmarked Dataset for Activity Monitoring, ISWC 2012; the set's readme.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np

from conv2d.data.importers.number_files import NumberBlock, read_numbers, whole_numbers
from conv2d.data.importers.published import class_indices, find_root, part_of, write_recordings
from conv2d.data.importers.result import ImportResult, Progress
from conv2d.data.meta import DatasetMeta
from conv2d.data.recording import Recording
from conv2d.errors import DataError

RATE_HZ = 100.0
N_COLUMNS = 54
ACTIVITIES = {
    1: "lying", 2: "sitting", 3: "standing", 4: "walking", 5: "running", 6: "cycling", 7: "nordic_walking",
    9: "watching_tv", 10: "computer_work", 11: "car_driving", 12: "ascending_stairs", 13: "descending_stairs",
    16: "vacuum_cleaning", 17: "ironing", 18: "folding_laundry", 19: "house_cleaning", 20: "playing_soccer",
    24: "rope_jumping",
}  # fmt: skip
TRANSIENT = 0
PUBLISHED = {"Protocol": 9, "Optional": 5}  # files
SENSORS = ("hand", "chest", "ankle")
CHANNELS = tuple(f"{kind}_{axis}" for kind in ("acc", "gyr", "mag") for axis in "xyz")
_FIRST_OF_SENSOR = (3, 20, 37)  # each sensor: temperature, acc 16 g, acc 6 g, gyr, mag (three each), orientation (four)
_IN_SENSOR = (1, 2, 3, 7, 8, 9, 10, 11, 12)
_USED = (0, 1, 2, *(first + i for first in _FIRST_OF_SENSOR for i in _IN_SENSOR))


def import_pamap2(
    source: str | Path,
    out: str | Path,
    mapping: None = None,
    *,
    preset: Literal["protocol", "all"] = "protocol",
    progress: Progress | None = None,
) -> ImportResult:
    """Import the raw PAMAP2 files; see the module. One recording is in memory at a time, 0.4 GB for 450,000 rows.

    Recordings are called ``protocol_subject101``, since the same file name stands in both folders; ``start`` in
    ``recordings.csv`` is the first time stamp in seconds.

    Raises
    ------
    DataError
        E-DATA-016 with file and line: another number of columns, text, an unknown activity, times that do not increase;
        E-DATA-007 another rate than 100 Hz, or two; E-DATA-009 a channel without value while its sensor has some.
    """
    root = find_root(source, "Protocol/subject*.dat", "the PAMAP2 folder with Protocol/subject1NN.dat")
    folders = {"protocol": ["Protocol"], "all": ["Protocol", "Optional"]}[preset]
    files = [path for folder in folders for path in sorted((root / folder).glob("subject*.dat"))]
    if preset == "all" and not any(path.parent.name == "Optional" for path in files):
        raise DataError(
            f"E-DATA-016: {root} has no Optional/subject*.dat, which preset all takes too; copy it there or use preset "
            "protocol"
        )
    notes = [
        note
        for folder in folders
        for note in part_of(PUBLISHED[folder], sum(p.parent.name == folder for p in files), f"subjects of {folder}")
    ]
    classes = tuple(ACTIVITIES.values())
    meta = DatasetMeta(
        name="pamap2", rate_hz=RATE_HZ, sensors=SENSORS, channels=CHANNELS, classes=classes,
        title="Physical activity monitoring: hand, chest and ankle",
        units={"acc": "m/s^2, gravity included", "gyr": "rad/s", "mag": "uT"},
        citation="Reiss and Stricker, Introducing a New Benchmarked Dataset for Activity Monitoring, ISWC 2012",
        quality_columns=("heart_rate_bpm",),
    )  # fmt: skip

    def recordings() -> Iterator[Recording]:
        for path in files:
            yield _recording(path, classes, notes)

    return write_recordings(
        out, meta, recordings(), n_files=len(files), notes=notes, progress=progress, total=len(files),
        only_classes_found=True,
    )  # fmt: skip


def _recording(path: Path, classes: tuple[str, ...], notes: list[str]) -> Recording:
    number = re.fullmatch(r"subject(\d+)\.dat", path.name)
    if number is None:
        raise DataError(f"E-DATA-016: {path} is not called like subject101.dat; rename it or move it away")
    times, labels, heart, parts = [], [], [], []
    last = -np.inf
    for block in read_numbers(path, N_COLUMNS, _USED):
        _refuse_backwards(block, last)
        last = float(block.columns[0, -1])
        activities = whole_numbers(block, 1, "the activity")
        indices, unknown = class_indices(activities, ACTIVITIES, classes, nulls=[TRANSIENT])
        if unknown >= 0:
            raise DataError(
                f"E-DATA-016: {block.place(unknown)} has activity {activities[unknown]}, the set's readme names 0 to "
                "7, 9 to 13, 16 to 20 and 24; correct the line"
            )
        times.append(block.columns[0].copy())  # a view would keep the block
        labels.append(indices)
        heart.append(block.columns[2].astype(np.float32))
        parts.append(block.columns[3:].astype(np.float32))
    time_s = np.concatenate(times)
    samples = np.concatenate(parts, axis=1).reshape(len(SENSORS), len(CHANNELS), -1).transpose(1, 0, 2)
    name = f"{path.parent.name.lower()}_subject{number[1]}"
    missing = np.isnan(samples).all(axis=0).mean(axis=1)
    dropped = [f"{s} {100 * share:.2g} %" for s, share in zip(SENSORS, missing, strict=True) if share]
    if dropped:
        notes.append(f"in recording {name} rows are missing (NaN) where the radio link was lost: {', '.join(dropped)}")
    return Recording(
        name, f"subject{number[1]}", RATE_HZ, SENSORS, CHANNELS, time_s - time_s[0], samples, np.concatenate(labels),
        classes, {"heart_rate_bpm": np.concatenate(heart)}, {"start": repr(float(time_s[0]))},
    )  # fmt: skip


def _refuse_backwards(block: NumberBlock, last: float) -> None:
    times = np.concatenate([[last], block.columns[0]])
    forwards = times[1:] > times[:-1]  # false at NaN
    if not forwards.all():
        row = int(np.argmin(forwards))
        after = "" if np.isinf(times[row]) else f" after {times[row]:g}"
        raise DataError(
            f"E-DATA-016: the time is {times[row + 1]:g} s{after} in {block.place(row)}, expected increasing seconds; "
            "correct the line or copy the file again"
        )
