"""UCI HAR: the windows of *Human Activity Recognition Using Smartphones* (UCI 240), joined again into recordings.

::

    conv2d data import uci_har "UCI HAR Dataset" OUT

SOURCE is the unpacked set: ``train`` and ``test`` with ``Inertial Signals/total_acc_x_train.txt`` ... (a window of 128
samples a line, 50 Hz), ``y_*.txt`` and ``subject_*.txt``. Two windows that follow each other share 64 samples. Windows
are joined while the last 64 samples of one equal the first 64 of the next in all six channels and both have the same
subject and label; each stretch so joined is a recording, since neither the time between stretches nor their order in
the day can be known. Simply put one after the other, every second sample would stand there twice.

``total_acc`` (g, gravity included) and ``body_gyro`` (rad/s) are taken. ``body_acc`` is not: it was made from
``total_acc`` by a filter over the whole signal. The column ``split`` is the published one. The recordings are those
behind HAPT: never train on one of the two sets and test on the other.

Source: Anguita et al., A Public Domain Dataset for Human Activity Recognition Using Smartphones, ESANN 2013.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.number_files import read_number_file, whole_numbers
from conv2d.data.importers.published import class_indices, find_root, part_of, write_recordings
from conv2d.data.importers.result import ImportResult, Progress
from conv2d.data.meta import DatasetMeta
from conv2d.data.recording import Recording
from conv2d.errors import DataError

RATE_HZ = 50.0
WINDOW = 128
HOP = 64
ACTIVITIES = {
    1: "WALKING", 2: "WALKING_UPSTAIRS", 3: "WALKING_DOWNSTAIRS", 4: "SITTING", 5: "STANDING", 6: "LAYING",
}  # fmt: skip
CHANNELS = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z")
_SIGNALS = tuple(f"{kind}_{axis}" for kind in ("total_acc", "body_gyro") for axis in "xyz")
_CLASSES = tuple(ACTIVITIES.values())
PUBLISHED_WINDOWS = 10_299
PUBLISHED_SUBJECTS = 30


def import_uci_har(
    source: str | Path, out: str | Path, mapping: None = None, *, progress: Progress | None = None
) -> ImportResult:
    """Import the windows of UCI HAR; see the module. The windows of one split are in memory, about 100 MB.

    Raises
    ------
    DataError
        E-DATA-016 with file and line: a file that is missing or has another number of lines than its fellows, a window
        of another length, an unknown label, a subject in both splits.
    """
    root = find_root(source, "train/Inertial Signals", 'the folder "UCI HAR Dataset" with train and test')
    notes: list[str] = []
    seen: dict[int, str] = {}
    counts: dict[int, int] = {}

    def recordings() -> Iterator[Recording]:
        n_windows = n_alone = n_pieces = 0
        for done, split in enumerate(("train", "test")):
            windows, subjects, labels = _windows(root, split)
            for subject in np.unique(subjects).tolist():
                if seen.setdefault(subject, split) != split:
                    raise DataError(
                        f"E-DATA-016: subject {subject} stands in subject_train.txt and subject_test.txt, expected one "
                        "of them; copy the files again"
                    )
            for first, last in stretches(windows, subjects, labels):
                subject = int(subjects[first])
                counts[subject] = counts.get(subject, 0) + 1
                samples = joined(windows[:, first:last])
                n = samples.shape[1]
                n_pieces += 1
                n_alone += last - first == 1
                yield Recording(
                    f"p{subject:02d}_{counts[subject]:03d}", f"p{subject:02d}", RATE_HZ, ("waist",), CHANNELS,
                    np.arange(n) / RATE_HZ, samples[:, None, :], np.full(n, labels[first]), _CLASSES,
                    meta={"split": split, "windows": str(last - first)},
                )  # fmt: skip
            n_windows += windows.shape[1]
            if progress is not None:
                progress(done + 1, 2)
        notes.append(
            f"{n_windows} windows were joined into {n_pieces} recordings of one activity each; {n_alone} windows "
            "continue no other and are continued by none"
        )
        notes.extend(part_of(PUBLISHED_SUBJECTS, len(seen), "subjects"))
        notes.extend(part_of(PUBLISHED_WINDOWS, n_windows, "windows"))
        notes.append("same people and recordings as hapt: never train on one and test on the other")

    meta = DatasetMeta(
        name="uci_har", rate_hz=RATE_HZ, sensors=("waist",), channels=CHANNELS, classes=_CLASSES,
        title="Smartphone activities, windows joined into stretches of one activity",
        units={"acc": "g, gravity included", "gyr": "rad/s"},
        licence="cite the authors; no commercial use (the set's own README)",
        citation="Anguita et al., A Public Domain Dataset for Human Activity Recognition Using Smartphones, ESANN 2013",
    )  # fmt: skip
    return write_recordings(out, meta, recordings(), n_files=16, notes=notes)


def stretches(
    windows: NDArray[np.float32], subjects: NDArray[np.int64], labels: NDArray[np.int64]
) -> list[tuple[int, int]]:
    """Where windows (channel, window, 128) follow each other: (first, last + 1) of each stretch.

    >>> signal = np.arange(3 * 64, dtype=np.float32)
    >>> windows = np.stack([signal[:128], signal[64:], signal[:128]])[None]
    >>> stretches(windows, np.ones(3, int), np.ones(3, int))
    [(0, 2), (2, 3)]
    """
    follows = (windows[:, :-1, HOP:] == windows[:, 1:, :-HOP]).all(axis=(0, 2))
    follows &= (subjects[:-1] == subjects[1:]) & (labels[:-1] == labels[1:])
    borders = [0, *(np.flatnonzero(~follows) + 1).tolist(), windows.shape[1]]
    return list(pairwise(borders))


def joined(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """The signal (channel, sample) of windows (channel, window, 128) that follow each other."""
    rest = windows[:, 1:, HOP:].reshape(len(windows), -1)
    return np.concatenate([windows[:, 0], rest], axis=1)


def _windows(root: Path, split: str) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Windows (6, n, 128), subjects (n,) and class indices (n,) of a split."""
    subjects = read_number_file(root / split / f"subject_{split}.txt", 1)
    n = subjects.n_rows
    y = read_number_file(root / split / f"y_{split}.txt", 1)
    activities = whole_numbers(y, 0, "the label")
    labels, unknown = class_indices(activities, ACTIVITIES, _CLASSES)
    if unknown >= 0:
        raise DataError(
            f"E-DATA-016: {y.place(unknown)} has label {activities[unknown]}, expected 1 to 6; correct the line"
        )
    windows = np.empty((len(_SIGNALS), n, WINDOW), np.float32)
    lengths = {y.path.name: y.n_rows}
    for i, signal in enumerate(_SIGNALS):
        block = read_number_file(root / split / "Inertial Signals" / f"{signal}_{split}.txt", WINDOW)
        lengths[block.path.name] = block.n_rows
        if block.n_rows == n:
            windows[i] = block.columns.T
    for name, length in lengths.items():
        if length != n:
            raise DataError(
                f"E-DATA-016: {name} has {length} lines and {subjects.path.name} {n}, expected one a window in both; "
                "copy the files again"
            )
    return windows, whole_numbers(subjects, 0, "the subject"), labels
