"""Broken inputs: how each is made, what reads it, and the words that its sentence must have.

An entry makes its files in a folder that is its own and gives what the reader is called with. The first word is the
code of the error; the others say what was got, where, and what to do.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Given:
    """What a reader is called with: a path (or pattern), and a mapping where it takes one."""

    source: Path | str
    mapping: dict[str, Any] | Path | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Broken:
    """A broken input; ``reader`` is a key of READERS."""

    name: str
    reader: str
    make: Callable[[Path], Given]
    words: tuple[str, ...]

    @property
    def id(self) -> str:
        return f"{self.reader}: {self.name}"


def read_csv(given: Given, out: Path) -> None:
    from conv2d.data.importers.csv_parquet import import_tables

    import_tables(given.source, out, given.mapping, kind="csv")


def read_parquet(given: Given, out: Path) -> None:
    from conv2d.data.importers.csv_parquet import import_tables

    import_tables(given.source, out, given.mapping, kind="parquet")


def read_dataset(given: Given, out: Path) -> None:
    from conv2d.data import Dataset

    list(Dataset.open(given.source).load_all())


def read_alone(given: Given, out: Path) -> None:
    """As `conv2d run` reads a recording that is in no data set."""
    from conv2d.data.recording_file import read_recording

    read_recording(
        Path(given.source),
        sensors=["back"],
        channels=["acc_x", "acc_y"],
        rate_hz=50.0,
        known_classes=None,
        classes=["a"],
    )


def read_format(given: Given, out: Path) -> None:
    """Any other format of `conv2d data import`, named by the option ``format``."""
    from conv2d.data.importers.registry import import_dataset

    options = dict(given.options)
    import_dataset(options.pop("format"), given.source, out, given.mapping, **options)


def read_join(given: Given, out: Path) -> None:
    """As `conv2d data join`."""
    from conv2d.data.joining.join import join_sources

    join_sources(given.source, out, given.mapping)


READERS: dict[str, Callable[[Given, Path], None]] = {
    "csv": read_csv,
    "parquet": read_parquet,
    "dataset": read_dataset,
    "recording": read_alone,
    "format": read_format,
    "join": read_join,
}
