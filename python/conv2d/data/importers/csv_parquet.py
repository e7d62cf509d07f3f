"""Any table of samples, CSV or Parquet, with a mapping that says which column is what.

::

    conv2d data import csv SOURCE OUT --map map.yaml

SOURCE is a file, a folder, or a pattern in quotes such as ``"raw/**/*.csv"``. ``map.yaml``::

    name: my_dogs                         # required
    title: Two sensors on dogs            # as are licence, citation, notes, units: copied into dataset.yaml
    files: "*.csv"                        # which files of a folder; by default all of the kind
    delimiter: ","                        # CSV only, as are decimal ("."), encoding (utf8) and skip_rows (0: lines
                                          #   before the header)
    missing: ["-999"]                     # further texts that mean "no value" (empty, NaN, NA, null ... always do)
    time: {column: t_sec, unit: s}        # s, ms, us, ns or iso8601; without time give rate_hz
    rate_hz: 100                          # without it the steps of time decide, and the result says so
    channels:                             # required; all sensors have the same channels
      back/acc_x: {column: ABack_x, scale: 9.80665}
      back/acc_y: ABack_y                 # short for {column: ABack_y}
      neck/acc_x: {column: ANeck_x, scale: 9.80665}
      neck/acc_y:                         # nothing: was not measured, becomes NaN
    label: {column: Behavior_1, map: {Galloping: running, Playing: null}, null: ["<undefined>"]}
                                          # labels outside of map keep their name; without label nothing is annotated
    classes: [running, walking]           # order of the classes; without it those found, sorted
    subject: {column: DogID}              # required; or {constant: rex} or {from_filename: "dog(\\d+)"}
    recording: {columns: [DogID, TestNum]}   # rows with equal values are one recording; or per_file (default)
    quality: {gap_ms: gap}                # further columns of numbers to keep: name: column
    meta: {test: TestNum}                 # columns of recordings.csv, constant within a recording: name: column

Rows keep their order within a recording, and its times must increase; ``time_s`` starts at 0, and what it started at
stands in the column ``start`` of ``recordings.csv``. A step longer than 1.5 sampling periods stays a gap, and a note
tells how many there are. Text is trimmed. Files are read in pieces, so that memory does not grow with their size.

Example
-------
>>> import pathlib, tempfile
>>> folder = pathlib.Path(tempfile.mkdtemp())
>>> rows = [f"{i / 50},{0.01 * i},{'sit' if i < 50 else 'walk'}" for i in range(100)]
>>> _ = (folder / "rex.csv").write_text("t,ax,what\\n" + "\\n".join(rows))
>>> mapping = {"name": "tiny", "time": {"column": "t", "unit": "s"}, "subject": {"from_filename": "(.*)"},
...            "channels": {"back/acc_x": {"column": "ax", "scale": 9.80665}}, "label": {"column": "what"}}
>>> result = import_tables(folder / "rex.csv", folder / "out", mapping, kind="csv")
>>> result.rate_hz, result.rate_is_measured, result.n_rows, result.labels
(50.0, True, 100, {'sit': 50, 'walk': 50})
>>> from conv2d.data import Dataset
>>> Dataset.open(folder / "out").load("rex").classes
('sit', 'walk')
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from conv2d.data.importers.assembly import Assembler
from conv2d.data.importers.mapping import TableMapping, read_mapping
from conv2d.data.importers.result import ImportResult, Progress
from conv2d.data.importers.tables import Kind, find_files, read_pieces
from conv2d.data.importers.time_check import gap_notes
from conv2d.data.meta import DatasetMeta, format_rate, in_words
from conv2d.data.writer import DatasetWriter

__all__ = ["ImportResult", "import_csv", "import_parquet", "import_tables"]


def import_csv(
    source: str | Path, out: str | Path, mapping: str | Path | Mapping[str, Any], *, progress: Progress | None = None
) -> ImportResult:
    """`import_tables` of CSV files."""
    return import_tables(source, out, mapping, kind="csv", progress=progress)


def import_parquet(
    source: str | Path, out: str | Path, mapping: str | Path | Mapping[str, Any], *, progress: Progress | None = None
) -> ImportResult:
    """`import_tables` of Parquet files."""
    return import_tables(source, out, mapping, kind="parquet", progress=progress)


def import_tables(
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any],
    *,
    kind: Kind,
    progress: Progress | None = None,
) -> ImportResult:
    """Import the tables of ``source`` as a dataset folder at ``out``, which must be new or empty; see the module.

    ``mapping`` is the path of a mapping file or its content, ``progress`` is called with (files done, files in all).
    After an error, an interrupt or a full disk nothing is left at ``out``. A row is read once; memory is bounded by
    the number of recordings whose rows are mixed in one file, not by the size of a file.

    Raises
    ------
    ConfigError
        E-DATA-017: the mapping is off.
    DataError
        E-DATA-007, 009, 010, 012 or 016, naming the file and line.
    """
    plan = read_mapping(mapping)
    files = find_files(source, kind, plan.files)
    # The rate and the classes may only be known after the last row; the writer takes them then.
    with DatasetWriter(out, _meta(plan)) as writer:
        assembler = Assembler(writer, plan)
        for done, path in enumerate(files):
            if progress is not None:
                progress(done, len(files))
            for piece in read_pieces(path, kind, plan):
                assembler.take(piece)
            assembler.end_of_file()
        if progress is not None:
            progress(len(files), len(files))
        rate_hz = assembler.finish(source)
        classes = plan.classes if plan.classes is not None else tuple(sorted(assembler.label_rows))
        notes = _notes(plan, assembler, rate_hz, classes)
        writer.meta = replace(writer.meta, rate_hz=rate_hz, classes=classes, notes=(*writer.meta.notes, *notes))
    recordings = assembler.recordings.values()
    return ImportResult(
        path=str(out),
        n_files=len(files),
        n_recordings=len(recordings),
        n_subjects=len({r.subject for r in recordings}),
        n_rows=sum(r.n_rows for r in recordings),
        rate_hz=rate_hz,
        rate_is_measured=plan.rate_hz is None,
        unlabelled_rows=sum(r.n_rows for r in recordings) - sum(assembler.label_rows.values()),
        labels={c: assembler.label_rows.get(c, 0) for c in classes},
        notes=notes,
    )


def _notes(plan: TableMapping, assembler: Assembler, rate_hz: float, classes: tuple[str, ...]) -> tuple[str, ...]:
    notes = []
    if plan.rate_hz is None:
        notes.append(
            f"the mapping gives no rate_hz; {format_rate(rate_hz)} Hz are what the steps of {plan.time_column} say"
        )
    if plan.label_column is None:
        notes.append("the mapping names no column of labels, so nothing is annotated")
    absent = [c for c in classes if not assembler.label_rows.get(c)]
    # A text in map that no row has is how a misspelt label shows: its rows keep another name.
    absent += sorted({c for c in plan.label_map.values() if c is not None} - {*classes, *absent})
    if absent:
        notes.append(f"no row is labelled {in_words(absent)}, which the mapping names")
    clocks = {name: recording.clock for name, recording in assembler.recordings.items()}
    return (*notes, *gap_notes(clocks, rate_hz))


def _meta(plan: TableMapping) -> DatasetMeta:
    about = plan.about
    notes = about.get("notes") or []
    return DatasetMeta(
        name=plan.name,
        rate_hz=plan.rate_hz or 1.0,
        sensors=plan.sensors,
        channels=plan.channel_names,
        classes=(),
        title=str(about.get("title") or ""),
        units={str(k): str(v) for k, v in (about.get("units") or {}).items()},
        licence=str(about.get("licence") or ""),
        citation=str(about.get("citation") or ""),
        notes=tuple(str(n) for n in (notes if isinstance(notes, list) else [notes])),
        quality_columns=tuple(plan.quality),
    )
