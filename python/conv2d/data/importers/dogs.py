"""Dogs: the file ``DogMoveData.csv`` of Vehkaoja et al. (Mendeley Data vxhx934tbn), 10.6 million rows of 45 dogs.

::

    conv2d data import dogs DogMoveData.csv OUT [--preset dogs_all]

SOURCE is the file, which may be packed with gzip, its folder or one around it; ``DogInfo.csv`` beside it gives columns
of ``recordings.csv``. The file is read as any table of ``conv2d data import csv``. A pair of
``DogID`` and ``TestNum`` is a recording (``dog16_1`` of the subject ``dog16``), with sensors ``back`` and ``neck`` at
100 Hz. Accelerations are brought from g to m/s^2, angular rates from deg/s to rad/s; the axes stay as the sensors lay,
and those of back and neck are not aligned.

Behaviour stands in three columns at once, posture and what is done in it, in no documented order: taking
``Behavior_1`` alone loses half of Sitting and Standing and most of Galloping. Presets:

- ``dogs7``: the one of the paper's seven behaviours that stands in any of the three columns; rows with two of them, or
  with none, are not annotated;
- ``dogs_all``: all that stands there, sorted and joined: ``Panting+Sitting``.

Neither takes ``Synchronization`` and ``Extra_Synchronization``, which are no behaviours. ``Task``, what the dog was
told to do, gives much of the behaviour away and is no channel: it is kept as the quality column ``task``, a number (the
key stands in the notes), for checks such as `paper_windows`. ``PointEvent`` (barks) is left out.

Source: Vehkaoja et al., Data in Brief 40 (2022) 107822; the rule of the windows: Kumpulainen et al., Applied Animal
Behaviour Science 241 (2021) 105393.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.assembly import Assembled, Assembler
from conv2d.data.importers.dog_labels import (
    BEHAVIORS,
    SEVEN,
    DogLabels,
    paper_windows,
    windows_beside_published,
)
from conv2d.data.importers.dog_table import (
    BEHAVIOR_COLUMNS,
    RATE_HZ,
    TABLE,
    Texts,
    dog_info,
    find_table,
    read_dog_table,
    without_mapping,
)
from conv2d.data.importers.mapping import TableMapping
from conv2d.data.importers.result import ImportResult, Progress
from conv2d.data.importers.tables import Piece
from conv2d.data.importers.time_check import gap_notes
from conv2d.data.meta import DatasetMeta, in_words
from conv2d.data.writer import DatasetWriter
from conv2d.errors import DataError

__all__ = ["import_dogs", "paper_windows"]

PUBLISHED_ROWS = 10_611_068
TASKS = ("Task walk", "Task trot", "Task sit", "Task stand", "Task lie down", "Task play", "Task treat-search")
_INFO = "DogInfo "  # in front of its columns, so that they are told from those of the table


def import_dogs(
    source: str | Path,
    out: str | Path,
    mapping: None = None,
    *,
    preset: Literal["dogs7", "dogs_all"] = "dogs7",
    progress: Progress | None = None,
) -> ImportResult:
    """Import ``DogMoveData.csv``; see the module. It is streamed, so that memory does not grow with the file.

    Rows of recordings may be mixed, as in a file sorted by time. The result's ``figures["paper_windows"]`` counts
    windows by the rule of the paper beside those of its Table 4.

    Raises
    ------
    DataError
        E-DATA-016 with the line: a missing column, text among numbers, times that do not increase within a recording;
        E-DATA-007 another rate, or two; E-DATA-009 a channel without any value while its sensor has some.
    """
    path = find_table(source)
    info = dog_info(path.with_name("DogInfo.csv"))
    rows = _Rows(preset, info)
    meta = DatasetMeta(
        name="dogs", rate_hz=RATE_HZ, sensors=TABLE.sensors, channels=TABLE.channel_names, classes=(),
        title="Dogs with a sensor on back and neck",
        units={"acc": "m/s^2, gravity included", "gyr": "rad/s"},
        licence="CC BY 4.0",
        citation="Vehkaoja et al., Description of movement sensor dataset for dog behavior classification, Data in "
        "Brief 40 (2022) 107822",
        quality_columns=("task",),
    )  # fmt: skip
    with DatasetWriter(out, meta) as writer:
        assembler = Assembler(writer, rows.mapping)
        try:
            for piece in read_dog_table(path, progress):
                assembler.take(rows.completed(piece))
            assembler.finish(path)
        except DataError as error:
            raise without_mapping(error) from error
        windows = windows_beside_published(rows.windows())
        notes = [*_notes(rows, preset), *_oddities(assembler.recordings)]
        subjects = {r.subject for r in assembler.recordings.values()}
        if info and (absent := sorted(subjects - {f"dog{number}" for number in info})):
            notes.append(f"DogInfo.csv has no row for {in_words(absent)}")
        counted = ", ".join(f"{name} {w['here']} ({w['published']})" for name, w in windows.items())
        notes.append(f"windows by the rule of the paper, and in brackets its Table 4: {counted}")
        label_rows = rows.labels.label_rows()
        writer.meta = replace(meta, classes=tuple(label_rows), notes=tuple(notes))
    return ImportResult(
        path=str(out),
        n_files=1 + bool(info),
        n_recordings=len(assembler.recordings),
        n_subjects=len(subjects),
        n_rows=rows.n,
        rate_hz=RATE_HZ,
        rate_is_measured=False,
        unlabelled_rows=rows.n - sum(label_rows.values()),
        labels=label_rows,
        notes=tuple(notes),
        figures={"paper_windows": windows},
    )


class _Rows:
    """Pieces of the file made into those of a plain table with one column of labels, and counted while they pass."""

    def __init__(self, preset: Literal["dogs7", "dogs_all"], info: Mapping[int, Mapping[str, str]]) -> None:
        self.n = 0
        self.tasks, self.behaviors = Texts("column Task", TASKS), Texts("one of Behavior_1 to 3", BEHAVIORS)
        self.labels = DogLabels(preset, self.behaviors)
        self._info = info
        self._info_columns = list(next(iter(info.values()), {}))
        # For the windows, three bytes a row: what stood in the three columns, and whether there was a task.
        self._combinations: dict[str, list[NDArray[np.int16]]] = defaultdict(list)
        self._task_defined: dict[str, list[NDArray[np.bool_]]] = defaultdict(list)

    @property
    def mapping(self) -> TableMapping:
        """What the completed pieces hold."""
        meta = {"test": "TestNum"} | {column: _INFO + column for column in self._info_columns}
        return replace(TABLE, label_column="label", quality={"task": "task"}, meta=meta)

    def completed(self, piece: Piece) -> Piece:
        """The piece with its label, its task as a number and what is known of its dogs."""
        import pyarrow as pa

        tasks = self.tasks.numbers(piece.texts["Task"])
        combinations = self.labels.combine(np.stack([self.behaviors.numbers(piece.texts[c]) for c in BEHAVIOR_COLUMNS]))
        labels = self.labels.labels(combinations).astype(np.int32)
        dogs = piece.texts["DogID"].indices
        numbers = [int(word) for word in piece.texts["DogID"].dictionary.to_pylist()]
        texts = {
            "DogID": _encoded(dogs, [f"dog{number}" for number in numbers]),
            "TestNum": piece.texts["TestNum"],
            "label": _encoded(pa.array(labels, mask=labels < 0), self.labels.classes),
        }
        for column in self._info_columns:
            known = [self._info.get(number, {}).get(column) or None for number in numbers]
            texts[_INFO + column] = _encoded(dogs, known)
        piece = replace(piece, numbers={**piece.numbers, "task": tasks.astype(np.float64)}, texts=texts)
        self.n += piece.n_rows
        for recording, rows in _by_recording(piece):
            self._combinations[recording].append(combinations[rows])
            self._task_defined[recording].append(tasks[rows] > 0)
        return piece

    def windows(self) -> NDArray[np.int64]:
        """Windows of each of the seven by the rule of the paper."""
        counts = np.zeros(len(SEVEN), np.int64)
        for key, parts in self._combinations.items():
            behaviors = self.labels.of_seven(np.concatenate(parts))
            _, classes = paper_windows(behaviors, np.concatenate(self._task_defined[key]))
            counts += np.bincount(classes, minlength=len(SEVEN))
        return counts


def _by_recording(piece: Piece) -> Iterator[tuple[str, Any]]:
    """The rows of each dog and test in a piece, in their order."""
    dogs, tests = (piece.texts[column] for column in TABLE.recording_columns)
    # An empty field, here -1, is refused when the recording is looked up.
    codes = [encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False) for encoded in (dogs, tests)]
    for dog, dog_word in enumerate(dogs.dictionary.to_pylist()):
        for test, test_word in enumerate(tests.dictionary.to_pylist()):
            rows = np.flatnonzero((codes[0] == dog) & (codes[1] == test))
            if len(rows):
                yield f"{dog_word} {test_word}", rows


def _encoded(codes: Any, words: Sequence[str | None]) -> Any:
    """A dictionary array of ``words`` by ``codes``, in whose dictionary no word stands twice."""
    import pyarrow as pa

    distinct = {word: code for code, word in enumerate(dict.fromkeys(word for word in words if word is not None))}
    index = pa.array([None if word is None else distinct[word] for word in words], pa.int32())
    return pa.DictionaryArray.from_arrays(index.take(codes), pa.array(list(distinct), pa.string()))


def _notes(rows: _Rows, preset: str) -> list[str]:
    labels, tasks = rows.labels, rows.tasks
    notes = [f"quality column task: {', '.join(f'{i} {word}' for i, word in enumerate(tasks.words))}"]
    if rows.n != PUBLISHED_ROWS:
        notes.append(f"the file has {rows.n} rows, the published one {PUBLISHED_ROWS}")
    if preset == "dogs7":
        several = labels.two_of_seven()
        named = ", ".join(f"{which} {n}" for which, n in several.items())
        if several:
            notes.append(f"{sum(several.values())} rows with two of the seven behaviours are not annotated: {named}")
        if absent := [label for label, n in labels.label_rows().items() if not n]:
            notes.append(f"no row is labelled {in_words(absent)}")
    for texts, known, column in ((rows.behaviors, BEHAVIORS, "a behaviour"), (tasks, TASKS, "a task")):
        if unknown := texts.words[len(known) + 1 :]:
            notes.append(f"not among the published texts of {column}: {', '.join(map(repr, unknown))}")
    return notes


def _oddities(recordings: Mapping[str, Assembled]) -> list[str]:
    notes = gap_notes({name: recording.clock for name, recording in recordings.items()}, RATE_HZ)
    for name, recording in recordings.items():
        for sensor, has_data in zip(
            TABLE.sensors, np.split(np.asarray(recording.has_data), len(TABLE.sensors)), strict=True
        ):
            if not has_data.any():
                notes.append(f"sensor {sensor} of recording {name} has no value")
    return notes
