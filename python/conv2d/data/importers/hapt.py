"""HAPT: the raw folder of *Smartphone-Based Recognition of Human Activities and Postural Transitions* (UCI 341).

::

    conv2d data import hapt "HAPT Data Set" OUT

SOURCE is the unpacked set, or its ``RawData``: ``acc_expNN_userNN.txt`` and ``gyro_expNN_userNN.txt`` hold three
columns x y z at 50 Hz without times, ``labels.txt`` the rows *experiment user activity start end*, samples counted from
1 and the end inclusive. Accelerations stay in g with gravity, angular rates in rad/s, as published. What no label
covers is not annotated. ``activity_labels.txt``, ``Train/subject_id_train.txt`` and ``Test/subject_id_test.txt`` are
read where they lie beside; without the first the published activities are taken, without both others there is no column
``split``. The recordings are those behind ``uci_har``: never train on one of the two sets and test on the other.

Source: Reyes-Ortiz et al., Transition-Aware Human Activity Recognition Using Smartphones, Neurocomputing 171 (2016).
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.number_files import read_number_file, whole_numbers
from conv2d.data.importers.published import find_root, part_of, write_recordings
from conv2d.data.importers.result import ImportResult, Progress
from conv2d.data.meta import DatasetMeta, in_words
from conv2d.data.recording import Recording
from conv2d.errors import DataError

RATE_HZ = 50.0
ACTIVITIES = (
    "WALKING", "WALKING_UPSTAIRS", "WALKING_DOWNSTAIRS", "SITTING", "STANDING", "LAYING", "STAND_TO_SIT",
    "SIT_TO_STAND", "SIT_TO_LIE", "LIE_TO_SIT", "STAND_TO_LIE", "LIE_TO_STAND",
)  # fmt: skip
CHANNELS = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z")
PUBLISHED_EXPERIMENTS = 61
_LONGEST_DIFFERENCE = 50  # samples; two loggers of one phone stop within a second, more is a file cut off
_FOLDER = "the raw HAPT folder"


class _Experiment(NamedTuple):
    number: int
    user: int
    acc: Path
    gyro: Path

    @property
    def name(self) -> str:
        return f"exp{self.number:02d}"


class _Span(NamedTuple):
    activity: int
    start: int  # from 0
    end: int  # exclusive
    place: str


def import_hapt(
    source: str | Path, out: str | Path, mapping: None = None, *, progress: Progress | None = None
) -> ImportResult:
    """Import the raw HAPT folder; see the module. One recording is in memory at a time.

    Where the two files of an experiment differ in length by up to a second, the shorter one ends in NaN and a note says
    so: labels count samples from the start, and nothing is cut or made up.

    Raises
    ------
    DataError
        E-DATA-016 with file and line: a file that is missing, cut off or not of three columns; a label outside of its
        recording, over another one, with an unknown activity or for an experiment that is not there.
    """
    root = find_root(source, "labels.txt", _FOLDER)
    experiments = _experiments(root)
    names = _activities(root)
    spans = _spans(root / "labels.txt", experiments, names)
    notes = part_of(PUBLISHED_EXPERIMENTS, len(experiments), "experiments")
    splits, absent = _splits(root)
    if absent:
        notes.append(f"without {in_words(absent)} there is no column split")
    if silent := [e.name for e in experiments if (e.number, e.user) not in spans]:
        notes.append(f"labels.txt has no row for {in_words(silent)}; all of it is not annotated")
    notes.append("same people and recordings as uci_har: never train on one and test on the other")

    def recordings() -> Iterator[Recording]:
        for experiment in experiments:
            samples = _samples(experiment, notes)
            labels = _labels(experiment, samples.shape[1], spans.get((experiment.number, experiment.user), []))
            n = samples.shape[1]
            split = {} if absent else {"split": splits.get(experiment.user, "")}
            yield Recording(
                experiment.name, f"p{experiment.user:02d}", RATE_HZ, ("waist",), CHANNELS, np.arange(n) / RATE_HZ,
                samples[:, None, :], labels, names, meta=split,
            )  # fmt: skip

    meta = DatasetMeta(
        name="hapt", rate_hz=RATE_HZ, sensors=("waist",), channels=CHANNELS, classes=names,
        title="Smartphone activities and postural transitions (raw recordings behind UCI HAR)",
        units={"acc": "g, gravity included", "gyr": "rad/s"},
        licence="cite the authors; no commercial use (the set's own README)",
        citation="Reyes-Ortiz et al., Transition-Aware Human Activity Recognition Using Smartphones, "
        "Neurocomputing 2016; Anguita et al., ESANN 2013",
    )  # fmt: skip
    return write_recordings(
        out,
        meta,
        recordings(),
        n_files=2 * len(experiments) + 1,
        notes=notes,
        progress=progress,
        total=len(experiments),
    )


def _experiments(root: Path) -> list[_Experiment]:
    found: dict[str, dict[tuple[int, int], Path]] = {"acc": {}, "gyro": {}}
    for path in sorted(root.rglob("*.txt")):  # some copies sort them into folders
        if match := re.fullmatch(r"(acc|gyro)_exp(\d+)_user(\d+)\.txt", path.name):
            key = (int(match[2]), int(match[3]))
            if key in found[match[1]]:
                raise DataError(f"E-DATA-016: {found[match[1]][key]} and {path} are the same recording; remove one")
            found[match[1]][key] = path
    for kind, other in (("acc", "gyro"), ("gyro", "acc")):
        for number, user in sorted(found[kind].keys() - found[other].keys()):
            path = found[kind][number, user]
            raise DataError(
                f"E-DATA-016: {path} is there and {other}_exp{number:02d}_user{user:02d}.txt is not, expected both; "
                "copy it there"
            )
    keys = sorted(found["acc"])
    if not keys:
        raise DataError(f"E-DATA-016: {root} has no acc_expNN_userNN.txt, expected {_FOLDER}; copy the files there")
    if doubled := [a for a, b in pairwise(keys) if a[0] == b[0]]:
        raise DataError(
            f"E-DATA-016: experiment {doubled[0][0]} in {root} belongs to two users, expected one; rename a file"
        )
    return [_Experiment(*key, found["acc"][key], found["gyro"][key]) for key in keys]


def _activities(root: Path) -> tuple[str, ...]:
    path = _beside(root, "activity_labels.txt")
    if path is None:
        return ACTIVITIES
    names: list[str] = []
    for line, text in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        fields = text.split()
        if fields and (len(fields) != 2 or fields[0] != str(len(names) + 1) or fields[1] in names):
            raise DataError(
                f"E-DATA-016: line {line} of {path.name} is {text[:60]!r}, expected '{len(names) + 1} NAME'; copy the "
                "file again"
            )
        names += fields[1:]
    return tuple(names)


def _spans(path: Path, experiments: list[_Experiment], names: tuple[str, ...]) -> dict[tuple[int, int], list[_Span]]:
    block = read_number_file(path, 5)
    columns = ("the experiment", "the user", "the activity", "the first sample", "the last sample")
    rows = zip(*(whole_numbers(block, i, what).tolist() for i, what in enumerate(columns)), strict=True)
    there = {(e.number, e.user) for e in experiments}
    spans: dict[tuple[int, int], list[_Span]] = {}
    for row, (number, user, activity, first, last) in enumerate(rows):
        place = block.place(row)
        if (number, user) not in there:
            raise DataError(
                f"E-DATA-016: {place} labels experiment {number} of user {user}, which has no file; copy "
                f"acc_exp{number:02d}_user{user:02d}.txt and its gyro file there, or drop the line"
            )
        if not 1 <= activity <= len(names):
            raise DataError(
                f"E-DATA-016: {place} has activity {activity}, expected 1 to {len(names)}; correct the line, or give "
                "the activity_labels.txt that belongs to it"
            )
        if not 1 <= first <= last:
            raise DataError(
                f"E-DATA-016: {place} goes from sample {first} to {last}, expected 1 or more and the end not before "
                "the start; correct the line"
            )
        spans.setdefault((number, user), []).append(_Span(activity - 1, first - 1, last, place))
    return spans


def _splits(root: Path) -> tuple[dict[int, str], list[str]]:
    """The split of each user, and which of the two files are not there."""
    splits: dict[int, str] = {}
    absent = []
    for split in ("train", "test"):
        path = _beside(root, f"{split.title()}/subject_id_{split}.txt")
        if path is None:
            absent.append(f"{split.title()}/subject_id_{split}.txt")
            continue
        for user in np.unique(whole_numbers(read_number_file(path, 1), 0, "the user")).tolist():
            if splits.setdefault(user, split) != split:
                raise DataError(
                    f"E-DATA-016: user {user} stands in subject_id_train.txt and in {path.name}, expected one of them; "
                    "copy the files again"
                )
    return splits, absent


def _beside(root: Path, name: str) -> Path | None:
    return next((p for p in (root / name, root.parent / name) if p.is_file()), None)


def _samples(experiment: _Experiment, notes: list[str]) -> NDArray[np.float32]:
    """Samples (6, n), the shorter of the two files filled up with NaN."""
    parts = [read_number_file(path, 3).columns for path in (experiment.acc, experiment.gyro)]
    lengths = [part.shape[1] for part in parts]
    short, long = sorted(lengths)
    if long - short > _LONGEST_DIFFERENCE:
        raise DataError(
            f"E-DATA-016: {experiment.acc.name} has {lengths[0]} lines and {experiment.gyro.name} {lengths[1]}, "
            "expected the same; one is cut off, copy it again"
        )
    if short < long:
        path = experiment.acc if lengths[0] == short else experiment.gyro
        notes.append(f"{path.name} is {long - short} samples shorter than its other file; they are missing (NaN)")
    samples = np.full((6, long), np.nan, np.float32)
    samples[:3, : lengths[0]], samples[3:, : lengths[1]] = parts
    return samples


def _labels(experiment: _Experiment, n: int, spans: list[_Span]) -> NDArray[np.int64]:
    labels = np.full(n, -1, np.int64)
    before: _Span | None = None
    for span in sorted(spans, key=lambda s: s.start):
        if span.end > n:
            raise DataError(
                f"E-DATA-016: {span.place} labels samples up to {span.end}, {experiment.name} has {n}; correct the "
                "line or copy its files again"
            )
        if before is not None and span.start < before.end:
            raise DataError(
                f"E-DATA-016: {before.place} labels {experiment.name} up to sample {before.end} and {span.place} from "
                f"{span.start + 1}, expected one label for a sample; correct one of them"
            )
        labels[span.start : span.end] = span.activity
        before = span
    return labels
