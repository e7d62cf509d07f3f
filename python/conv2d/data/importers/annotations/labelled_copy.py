"""A copy of a data set in which the labels are those of annotations.

The importers `boris` and `elan` share this module and these keys of the mapping, all optional::

    data: walks                     # the data set, relative to the mapping file; or --data
    files: "*.eaf"                  # which files of a folder
    name: walks_labelled            # by default the name of the output folder; also title, notes
    recordings: {obs1: rex_walk1, obs2/bella: bella_walk1, trial: null}
                                    # observation (BORIS) or file without suffix (ELAN): recording; with /subject or
                                    #   /tier for one of several; null leaves it out. By default the names are equal
    subject: rex                    # BORIS: which subject or subjects count; tier for ELAN
    offset_s: 2.5                   # added to the annotations' times; or {obs1: 2.5}, by observation or recording
    map: {Walk: walking, Bark: null}
    null: [out of sight]            # labels that mean "not annotated"
    classes: [walking, sitting]     # their order; without it those found, sorted
    priority: [eating, standing]    # where two labels overlap, the first one named counts; otherwise that is an error
    points: ignore                  # or the seconds that a point of time is drawn out to, half of them before it
    unlabelled: other               # a class for what lies between the first and the last annotation without a label
    clip: true                      # cut what lies outside of a recording by more than a second, instead of refusing

Time 0 of the annotations is the first sample of the recording, plus ``offset_s``. Nothing is shifted by dates: where an
observation has a date and the recording a ``start``, a difference is told in the notes.

Samples, times and other columns are copied as they are, row group by row group; all labels that the data set had are
gone, also in recordings without annotations.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.dataset import Dataset
from conv2d.data.importers.annotations.intervals import Counts, Document, Placed, paint, place
from conv2d.data.importers.annotations.plan import CODE, LabelPlan
from conv2d.data.importers.result import ImportResult
from conv2d.data.meta import in_words, one_line
from conv2d.data.recording_file import check_time
from conv2d.data.writer import new_dataset_folder
from conv2d.errors import ConfigError, DataError


def write_labelled(
    documents: Sequence[Document],
    files: Sequence[Path],
    out: str | Path,
    plan: LabelPlan,
    *,
    tool: str,
    lane_key: str,
    progress: Callable[[int, int], None] | None = None,
) -> ImportResult:
    """Copy the data set of ``plan`` to ``out`` with the labels of ``documents``; see the module.

    Raises
    ------
    ConfigError
        E-DATA-019: the mapping names what is not there.
    DataError
        E-DATA-019: annotations do not fit the recordings; E-DATA-010 a label outside of classes; E-DATA-012.

    Cost: one pass over the data set; memory for the times of a recording and one row group.
    """
    data = Dataset.open(plan.data)
    counts = Counts()
    notes = [note for document in documents for note in document.notes]
    placed = _assign(documents, data, plan, lane_key, counts, notes)
    notes += _not_found(documents, plan)
    labels: dict[str, int] = {}
    n_rows = 0
    if progress is not None:
        progress(0, len(data.table))
    with new_dataset_folder(Path(out)) as folder:
        (folder / "recordings").mkdir()
        for done, row in enumerate(data.table):
            source = data.recording_path(row.recording)
            time_s = _times(source, row.recording, data.meta.rate_hz)
            codes, words = paint(placed.get(row.recording, []), time_s, data.meta.rate_hz, plan, row.recording, counts)
            _copy(source, folder / "recordings" / source.name, codes, words)
            for word, count in zip(words, np.bincount(codes[codes >= 0], minlength=len(words)), strict=True):
                labels[word] = labels.get(word, 0) + int(count)
            n_rows += len(codes)
            if progress is not None:
                progress(done + 1, len(data.table))
        if not any(labels.values()):
            raise DataError(
                f"{CODE}: no sample of {plan.data} gets a label from {in_words([f.name for f in files])}, expected "
                f"some; check {lane_key}, null, points and the recordings' times"
            )
        notes += _told(counts, len(data.table) - len(placed))
        classes = plan.classes if plan.classes is not None else tuple(sorted(w for w, n in labels.items() if n))
        if plan.unlabelled is not None and plan.unlabelled not in classes:
            classes = (*classes, plan.unlabelled)
        made = [f"labels from the {tool} file {f.name} (sha256 {_sha256(f)}), put onto {data.meta.name}" for f in files]
        meta = replace(
            data.meta, name=plan.name or Path(out).name, title=plan.title or data.meta.title, classes=classes,
            notes=(*data.meta.notes, *plan.notes, *made, *notes),
        )  # fmt: skip
        (folder / "dataset.yaml").write_text(meta.to_yaml(), encoding="utf-8")
        shutil.copyfile(data.path / "recordings.csv", folder / "recordings.csv")
    return ImportResult(
        path=str(out), n_files=len(files), n_recordings=len(data.table), n_subjects=len(data.subjects), n_rows=n_rows,
        rate_hz=data.meta.rate_hz, rate_is_measured=False, unlabelled_rows=n_rows - sum(labels.values()),
        labels={c: labels.get(c, 0) for c in classes}, notes=tuple(notes),
    )  # fmt: skip


def _assign(
    documents: Sequence[Document], data: Dataset, plan: LabelPlan, lane_key: str, counts: Counts, notes: list[str]
) -> dict[str, list[Placed]]:
    """Annotations by recording, shifted and renamed."""
    lanes = list(dict.fromkeys(lane for d in documents for lane in d.lanes))
    for lane in plan.lanes:
        _require(lane, lanes, f"{lane_key} of {plan.where}", f"the annotations have {lane_key}")
    keys = [d.name for d in documents] + [f"{d.name}/{lane}" for d in documents for lane in d.lanes]
    for key in plan.recordings:
        _require(key, keys, f"recordings of {plan.where}", "the annotations are of")
    names = [row.recording for row in data.table]
    for key in plan.offsets:
        _require(key, ["", *keys, *names], f"offset_s of {plan.where}", "expected an observation or recording of")
    placed: dict[str, list[Placed]] = {}
    for document in documents:
        taken: dict[str, list[str]] = {}
        for lane in document.lanes:
            if plan.lanes and lane not in plan.lanes:
                continue
            target = _target(document, lane, names, plan)
            if target is not None:
                taken.setdefault(target, []).append(lane)
        for target, of in taken.items():
            if len(of) > 1 and not plan.lanes:
                raise DataError(
                    f"{CODE}: {document.name} of {document.path.name} has {lane_key} "
                    f"{in_words([repr(o) for o in of])} for recording {target}, expected one; choose with "
                    f"{lane_key}, or give each its recording as 'recordings: {{{document.name}/{of[0]}: ...}}'"
                )
            offset = plan.offset_s(document.name, target)
            _compare_dates(document, data.row(target).meta.get("start", ""), target, offset, notes)
            found = [a for a in document.annotations if a.lane in of]
            placed.setdefault(target, []).extend(place(found, offset, plan, counts))
    return placed


def _not_found(documents: Sequence[Document], plan: LabelPlan) -> list[str]:
    """Notes on names in the mapping that no annotation has: they do nothing, as where they are misspelt."""
    there = {a.label for d in documents for a in d.annotations}
    classes = {to for label in there if (to := plan.label_map.get(label, label)) is not None} | {plan.unlabelled or ""}
    named = {"map or null": (plan.label_map, there), "priority": (plan.priority, classes)}
    named["classes"] = (plan.classes or (), classes)
    notes = []
    for key, (names, known) in named.items():
        for name in names:
            if name not in known:
                near = get_close_matches(name, sorted(known - {""}), 1)
                hint = f" (did you mean {near[0]!r}?)" if near else ""
                notes.append(f"no annotation is called {name!r}, which {key} of {plan.where} names{hint}")
    return notes


def _target(document: Document, lane: str, names: Sequence[str], plan: LabelPlan) -> str | None:
    """The recording that a lane belongs to; None where the mapping leaves it out."""
    for key in (f"{document.name}/{lane}", document.name):
        if key in plan.recordings:
            target = plan.recordings[key]
            if target is not None and target not in names:
                _require(target, names, f"recordings of {plan.where}", "the data set has")
            return target
    if document.name not in names:
        near = get_close_matches(document.name, names, 1)
        hint = f"did you mean {near[0]}" if near else f"it has {in_words(names)}"
        raise DataError(
            f"{CODE}: {document.path.name} annotates {document.name!r}, the data set has no recording of that name "
            f"({hint}); write 'recordings: {{{document.name}: RECORDING}}' in the mapping, or null to leave it out"
        )
    return document.name


def _require(name: str, there: Sequence[str], where: str, what: str) -> None:
    if name not in there:
        near = get_close_matches(name, there, 1)
        hint = f"did you mean {near[0]}?" if near else f"{what} {in_words([t for t in there if t])}"
        raise ConfigError(f"{CODE}: {where} names {name!r}, which is not there; {hint}")


def _compare_dates(document: Document, start: str, recording: str, offset: float, notes: list[str]) -> None:
    try:
        begun = datetime.fromisoformat(document.date).replace(tzinfo=None)
        difference = (begun - datetime.fromisoformat(start).replace(tzinfo=None)).total_seconds()
    except ValueError:
        return  # no date, or one of them is no date
    if abs(difference - offset) > 1.0:
        notes.append(
            f"{document.name} is dated {document.date}, recording {recording} starts {start}: {difference:.1f} s; "
            f"its times were shifted by offset_s = {offset:g} s alone"
        )


def _times(source: Path, name: str, rate_hz: float) -> NDArray[np.float64]:
    """The times of a recording's file, checked."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(source, columns=["time_s"])
    except (pa.ArrowException, OSError) as error:
        raise DataError(
            f"E-DATA-004: {source} is truncated or not a Parquet file ({one_line(error)}); copy or export it again"
        ) from error
    if table.num_columns != 1 or not pa.types.is_floating(table.schema.field(0).type):
        raise DataError(f"E-DATA-005: recording {name} has no column time_s of numbers, expected seconds; add it")
    time_s: NDArray[np.float64] = table.column(0).to_numpy().astype(np.float64, copy=False)
    check_time(time_s, rate_hz, name)
    return time_s


def _copy(source: Path, target: Path, codes: NDArray[np.int64], words: Sequence[str]) -> None:
    """A recording's file with another column of labels; everything else as it is."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(source) as file:
            schema = file.schema_arrow
            at = schema.get_field_index("label")
            field = pa.field("label", pa.string())
            schema = schema.append(field) if at < 0 else schema.set(at, field)
            with pq.ParquetWriter(target, schema) as writer:
                done = 0
                for group in range(file.num_row_groups):
                    table = file.read_row_group(group)
                    part = codes[done : done + table.num_rows]
                    label = pa.array(words, pa.string()).take(pa.array(part, mask=part < 0))
                    table = table.append_column(field, label) if at < 0 else table.set_column(at, field, label)
                    writer.write_table(table)
                    done += table.num_rows
    except pa.ArrowException as error:
        raise DataError(
            f"E-DATA-004: {source} is truncated or not a Parquet file ({one_line(error)}); copy or export it again"
        ) from error


def _told(counts: Counts, n_without: int) -> list[str]:
    told: Mapping[str, Any] = {
        "points of time left out (see points)": counts.points,
        "states without length, left out": counts.empty,
        "annotations that hold no sample": counts.without_sample,
        "annotations cut at the ends of their recording": counts.clipped,
        "recordings without annotation, now without labels": n_without,
    }
    return [f"{what}: {count}" for what, count in told.items() if count]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
