"""What importers of published sets share: finding the folder, writing recordings, counting, telling."""

import zipfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.result import ImportResult, Progress
from conv2d.data.importers.time_check import TimeCheck, gap_notes, refuse_two_rates
from conv2d.data.meta import DatasetMeta, in_words
from conv2d.data.recording import Recording
from conv2d.data.recording_file import check_time
from conv2d.data.writer import DatasetWriter
from conv2d.errors import DataError


def find_root(source: str | Path, marker: str, expected: str) -> Path:
    """The folder in which ``marker``, a name or pattern such as ``Protocol/*.dat``, is found: the source or below it.

    Looks two levels down, so that the set's own folder, the one around it and the one that holds that all do.

    Raises
    ------
    DataError
        E-DATA-016: nothing is there, an archive is, or two folders are that could be meant.
    """
    source = Path(source)
    if source.is_file():
        archive = "unpack it and name the folder" if zipfile.is_zipfile(source) else "name the folder around it"
        raise DataError(f"E-DATA-016: {source} is a file, expected {expected}; {archive}")
    if not source.is_dir():
        raise DataError(
            f"E-DATA-016: {source} does not exist, expected {expected}; name the folder of the unpacked set"
        )
    depth = len(Path(marker).parts)
    for level in ("", "*/", "*/*/"):
        found = sorted({p.parents[depth - 1] for p in source.glob(level + marker) if "__MACOSX" not in p.parts})
        if len(found) == 1:
            return found[0]
        if found:
            names = in_words([str(p.relative_to(source)) for p in found])
            raise DataError(f"E-DATA-016: {source} holds {expected} more than once ({names}); name one of them")
    raise DataError(
        f"E-DATA-016: {source} has no {marker} in it, expected {expected}; name the folder of the unpacked set"
    )


def write_recordings(
    out: str | Path,
    meta: DatasetMeta,
    recordings: Iterable[Recording],
    *,
    n_files: int,
    notes: list[str],
    progress: Progress | None = None,
    total: int = 0,
    only_classes_found: bool = False,
    may_lack: Collection[str] = (),
) -> ImportResult:
    """Write recordings as they come, one in memory at a time, and count rows, labels, gaps and missing sensors.

    ``notes`` may grow while ``recordings`` is iterated; they go into ``dataset.yaml`` and the result. ``progress`` is
    told of ``total`` recordings. Times and values are checked as reading will check them, and a clock that changes its
    rate is refused. ``may_lack`` names columns (``<sensor>/<channel>``) that the sensor does not measure.

    Raises
    ------
    DataError
        E-DATA-007, 008, 009 or 012.
    """
    counts = np.zeros(len(meta.classes), np.int64)
    rows = n_recordings = 0
    subjects: set[str] = set()
    with DatasetWriter(out, meta) as writer:
        if progress is not None:
            progress(0, total)
        for recording in recordings:
            notes += _missing_sensors(recording, may_lack)
            notes += _gaps(recording, meta.rate_hz)
            writer.add(recording)
            writer.finish(recording.name)
            counts += np.bincount(recording.labels[recording.labels >= 0], minlength=len(counts))
            rows += recording.n_samples
            n_recordings += 1
            subjects.add(recording.subject)
            if progress is not None:
                progress(n_recordings, total)
        found = [c for c, n in zip(meta.classes, counts, strict=True) if n or not only_classes_found]
        labels = {c: int(n) for c, n in zip(meta.classes, counts, strict=True) if c in found}
        if empty := [c for c, n in labels.items() if not n]:
            notes.append(f"no row is labelled {in_words(empty)}, though the set knows it")
        writer.meta = replace(writer.meta, classes=tuple(found), notes=(*meta.notes, *notes))
    return ImportResult(
        path=str(out),
        n_files=n_files,
        n_recordings=n_recordings,
        n_subjects=len(subjects),
        n_rows=rows,
        rate_hz=meta.rate_hz,
        rate_is_measured=False,
        unlabelled_rows=rows - int(counts.sum()),
        labels=labels,
        notes=tuple(notes),
    )


def part_of(published: int, found: int, what: str) -> list[str]:
    """A note where the set is not the whole published one.

    >>> part_of(9, 2, "subjects"), part_of(9, 9, "subjects")
    (['2 of the 9 published subjects are there'], [])
    """
    if found > published:
        return [f"{found} {what} are there, {published} were published"]
    return [f"{found} of the {published} published {what} are there"] if found < published else []


def class_indices(
    values: NDArray[np.int64], names: Mapping[int, str], classes: Sequence[str], nulls: Sequence[int] = ()
) -> tuple[NDArray[np.int64], int]:
    """Activity numbers as indices into ``classes``, -1 for those in ``nulls``; and the row of an unknown one, or -1."""
    labels = np.full(len(values), -1, np.int64)
    known = np.isin(values, list(nulls))
    for number, name in names.items():
        here = values == number
        labels[here] = classes.index(name)
        known |= here
    return labels, -1 if known.all() else int(np.argmin(known))


def _missing_sensors(recording: Recording, may_lack: Collection[str]) -> list[str]:
    has_data = np.asarray(np.isfinite(recording.samples).any(axis=2))
    if not has_data.any():
        raise DataError(f"E-DATA-009: recording {recording.name} has no value in any channel; leave its file out")
    found = []
    for s, sensor in enumerate(recording.sensors):
        if not has_data[:, s].any():
            found.append(f"sensor {sensor} of recording {recording.name} has no value")
            continue
        for c, channel in enumerate(recording.channels):
            if not has_data[c, s] and f"{sensor}/{channel}" not in may_lack:
                raise DataError(
                    f"E-DATA-009: channel {channel} of sensor {sensor} in recording {recording.name} has no value "
                    "though the sensor has data; copy its file again, or leave it out"
                )
    return found


def _gaps(recording: Recording, rate_hz: float) -> list[str]:
    check_time(recording.time_s, rate_hz, recording.name)
    clock = TimeCheck()
    clock.keep(np.diff(recording.time_s))
    clock.keep_stretches(recording.time_s)
    refuse_two_rates(recording.name, clock)
    return gap_notes({recording.name: clock}, rate_hz)
