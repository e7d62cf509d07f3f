"""The formats that can be imported: a table from name to function, each loaded when it is asked for."""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from conv2d.data.importers.result import ImportResult, Progress
from conv2d.errors import UsageError


@dataclass(frozen=True)
class Format:
    """One format: where its function lives (``module:name``) and what that function takes.

    The function's signature is ``(source, out, mapping=None, *, progress=None, **options) -> ImportResult``.
    ``patterns`` are the names of its files, ``presets`` what the option ``preset`` may be (the first is the default).
    """

    target: str
    summary: str
    mapping: Literal["needed", "allowed", "unused"]
    patterns: tuple[str, ...]
    presets: tuple[str, ...] = ()
    needs_data: bool = False

    def load(self) -> Callable[..., ImportResult]:
        """Return the function, imported now."""
        module, _, name = self.target.partition(":")
        found: Callable[..., ImportResult] = getattr(import_module(module), name)
        return found


_HERE = "conv2d.data.importers"
FORMATS: Mapping[str, Format] = {
    "csv": Format(
        f"{_HERE}.csv_parquet:import_csv", "Any CSV tables, as a mapping says", "needed", ("*.csv", "*.csv.gz")
    ),
    "parquet": Format(
        f"{_HERE}.csv_parquet:import_parquet", "Any Parquet tables, as a mapping says", "needed", ("*.parquet",)
    ),
    "hapt": Format(
        f"{_HERE}.hapt:import_hapt", "HAPT, its raw folder (phone at the waist, transitions)", "unused",
        ("acc_exp*_user*.txt", "gyro_exp*_user*.txt", "labels.txt"),
    ),
    "dogs": Format(
        f"{_HERE}.dogs:import_dogs", "Vehkaoja et al., dogs with back and neck sensor", "unused", ("DogMoveData.csv",),
        presets=("dogs7", "dogs_all"),
    ),
    "pamap2": Format(
        f"{_HERE}.pamap2:import_pamap2", "PAMAP2 (hand, chest, ankle)", "unused", ("subject1*.dat",),
        presets=("protocol", "all"),
    ),
    "mhealth": Format(
        f"{_HERE}.mhealth:import_mhealth", "MHEALTH (chest, ankle, arm)", "unused", ("mHealth_subject*.log",),
        presets=("acc", "limbs", "all"),
    ),
    "uci_har": Format(
        f"{_HERE}.uci_har:import_uci_har", "UCI HAR, its windows joined again", "unused", ("Inertial Signals/*.txt",)
    ),
    "cwa": Format(f"{_HERE}.axivity:import_cwa", "Axivity AX3 and AX6", "allowed", ("*.cwa",)),
    "gt3x": Format(f"{_HERE}.actigraph:import_gt3x", "ActiGraph", "allowed", ("*.gt3x",)),
    "geneactiv": Format(f"{_HERE}.geneactiv:import_geneactiv", "GENEActiv", "allowed", ("*.bin",)),
    "boris": Format(
        f"{_HERE}.annotations.boris:import_boris", "Labels from BORIS, onto a data set", "allowed", ("*.tsv", "*.csv"),
        needs_data=True,
    ),
    "elan": Format(
        f"{_HERE}.annotations.elan:import_elan", "Labels from ELAN, onto a data set", "allowed", ("*.eaf", "*.txt"),
        needs_data=True,
    ),
}  # fmt: skip


def import_dataset(
    format: str,
    source: str | Path,
    out: str | Path,
    mapping: str | Path | Mapping[str, Any] | None = None,
    *,
    preset: str | None = None,
    data: str | Path | None = None,
    progress: Progress | None = None,
) -> ImportResult:
    """Import ``source``, which is in one of `FORMATS`, as a dataset folder at ``out``, new or empty.

    ``mapping`` is a mapping file or its content, ``preset`` one of the format's presets, ``data`` the data set whose
    recordings get the labels (``boris`` and ``elan``). After an error or an interrupt nothing is left at ``out``.

    Raises
    ------
    UsageError
        No such format (the nearest name is told), or an option that the format does not know or lacks.
    DataError
        As the format's function says.
    """
    if format not in FORMATS:
        near = difflib.get_close_matches(format.lower(), FORMATS, 1)
        hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(FORMATS)}"
        raise UsageError(f"unknown format {format!r}; {hint}")
    entry = FORMATS[format]
    if mapping is None and entry.mapping == "needed":
        raise UsageError(f"format {format} needs a mapping that says which column is what; give --map FILE")
    if mapping is not None and entry.mapping == "unused":
        raise UsageError(f"format {format} takes no mapping, its columns are known; leave out --map")
    if preset is not None and preset not in entry.presets:
        expected = f"it has {', '.join(entry.presets)}" if entry.presets else "it has none; leave out --preset"
        raise UsageError(f"format {format} has no preset {preset!r}; {expected}")
    if data is not None and not entry.needs_data:
        raise UsageError(f"format {format} brings its own samples and takes no data set; leave out --data")
    if data is None and mapping is None and entry.needs_data:
        raise UsageError(
            f"format {format} holds labels only; name the data set that they belong to with --data DATASET or in the "
            "mapping"
        )
    options = {k: v for k, v in (("preset", preset), ("data", data)) if v is not None}
    return entry.load()(source, out, mapping, progress=progress, **options)


def format_lines() -> list[str]:
    """The formats for a person: name, summary, names of files, presets.

    >>> format_lines()[0]
    'csv        Any CSV tables, as a mapping says: *.csv, *.csv.gz.'
    """
    return [
        f"{name:10} {entry.summary}: {', '.join(entry.patterns)}."
        + (f" Presets: {', '.join(entry.presets)}." if entry.presets else "")
        for name, entry in FORMATS.items()
    ]
