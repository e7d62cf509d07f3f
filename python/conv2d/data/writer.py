"""Writing a dataset folder: aside, then renamed, so that a folder under its name is always whole."""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from conv2d.data.meta import BASE_COLUMNS, DatasetMeta, format_rate, is_file_name, one_line
from conv2d.data.recording import Recording
from conv2d.errors import DataError
from conv2d.files import folder_aside, is_free

_OPEN_FILES = 128  # recordings open at a time; systems allow a process 256 to 1024 files


@contextmanager
def new_dataset_folder(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` to write into, which takes its place at the end and goes when anything goes wrong.

    Raises
    ------
    DataError
        E-DATA-012 where something stands at ``path`` (it is never overwritten) or it cannot be written, a full disk
        among the causes.
    """
    if not is_free(path):
        raise DataError(f"E-DATA-012: {path} exists already and is not overwritten; name another folder or remove it")
    try:
        with folder_aside(path, mark="dataset.yaml") as aside:
            yield aside
    except OSError as error:
        raise DataError(
            f"E-DATA-012: cannot write {path} ({one_line(error)}); free space or name another folder, nothing was left"
        ) from error


class DatasetWriter(AbstractContextManager["DatasetWriter"]):
    """Writes recordings one after the other, or in pieces, into a folder that appears when the block ends well.

    ``meta`` may be replaced until the block ends, for what is known only after the last recording (its classes). The
    order of ``recordings.csv`` is that of the first piece of each recording.

    Example
    -------
    >>> import pathlib, tempfile
    >>> import numpy as np
    >>> from conv2d.data import Dataset, DatasetWriter, Recording
    >>> from conv2d.data.meta import DatasetMeta
    >>> meta = DatasetMeta("walks", 50.0, ("back",), ("acc_x",), ("walking",))
    >>> walk = Recording("walk1", "rex", 50.0, meta.sensors, meta.channels, np.arange(100) / 50,
    ...                  np.zeros((1, 1, 100), np.float32), np.zeros(100, np.int64), meta.classes)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with DatasetWriter(pathlib.Path(folder) / "walks", meta) as writer:
    ...         writer.add(walk)
    ...     Dataset.open(pathlib.Path(folder) / "walks").table[0].n_rows
    100
    """

    def __init__(self, path: str | Path, meta: DatasetMeta) -> None:
        """Nothing is written before the block is entered."""
        self.path = Path(path)
        self.meta = meta
        self._aside = new_dataset_folder(self.path)
        self._folder = self.path
        self._files: dict[str, Any] = {}
        self._rows: dict[str, dict[str, str]] = {}

    @property
    def folder(self) -> Path:
        """The folder that is written into: what else is put there while the block is open appears with the data set."""
        return self._folder

    def __enter__(self) -> Self:
        """Make the folder beside the final one."""
        self._folder = self._aside.__enter__()
        try:
            (self._folder / "recordings").mkdir()
        except BaseException as error:  # an interrupt too: the block is not entered yet, so nothing else clears up
            self._aside.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        """Finish the files and rename the folder, or remove it after an error."""
        try:
            self._close_files()
            if error is None:
                self._write_tables()
        except BaseException as late:
            # The first error is the cause; one that closing brings on top of it says nothing new.
            cause = late if error is None else error
            return self._aside.__exit__(type(cause), cause, cause.__traceback__)
        return self._aside.__exit__(kind, error, trace)

    def add(self, recording: Recording) -> None:
        """Write a whole recording; ValueError where its sensors, channels or labels are not those of the data set."""
        meta = self.meta
        if (recording.sensors, recording.channels) != (meta.sensors, meta.channels):
            raise ValueError(
                f"recording {recording.name} has {recording.sensors} x {recording.channels}, the data set has "
                f"{meta.sensors} x {meta.channels}; load it with those sensors and channels"
            )
        if recording.name in self._rows:
            raise ValueError(f"recording {recording.name} is added twice; rename one")
        if recording.n_samples and not -1 <= recording.labels.min() <= recording.labels.max() < len(recording.classes):
            raise ValueError(f"labels of recording {recording.name} are not within -1..{len(recording.classes) - 1}")
        extra = {k: v for k, v in recording.meta.items() if k not in BASE_COLUMNS}
        columns = {
            f"{s}/{c}": recording.samples[j, i] for i, s in enumerate(meta.sensors) for j, c in enumerate(meta.channels)
        }
        self.append(
            recording.name, recording.subject, recording.time_s, columns, recording.labels, recording.classes,
            quality=recording.quality, extra=extra,
        )  # fmt: skip

    def append(
        self,
        name: str,
        subject: str,
        time_s: NDArray[np.float64],
        columns: Mapping[str, NDArray[np.floating[Any]]],
        labels: NDArray[np.integer[Any]],
        classes: Sequence[str],
        *,
        quality: Mapping[str, NDArray[np.generic]] | None = None,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Write the next rows of a recording: ``columns`` by ``<sensor>/<channel>``, labels as indices into classes."""
        import pyarrow as pa

        if name not in self._rows:
            if not is_file_name(name):
                raise ValueError(f"recording name {name!r} cannot be a file's name; leave out path and dots in front")
            row = {"recording": name, "subject": subject, "n_rows": "0", **(extra or {})}
            for column, value in row.items():
                if any(character in value for character in "\r\n\0"):  # the table could not be read back
                    raise DataError(
                        f"E-DATA-003: {column} of recording {name} is {value!r}, expected one line of text; take the "
                        "line breaks out of it"
                    )
            self._rows[name] = row
        words = pa.array(classes, pa.string())
        codes = pa.array(labels.astype(np.int32), mask=labels < 0)
        text = words.take(codes)  # a null index gives a null label
        table = pa.table(
            {
                "time_s": pa.array(time_s, pa.float64()),
                **{c: pa.array(columns[c].astype(np.float32, copy=False)) for c in self.meta.columns},
                **{c: pa.array(v) for c, v in (quality or {}).items()},
                "label": text,
            }
        )
        self._file(name, table.schema).write_table(table)
        row = self._rows[name]
        row["n_rows"] = str(int(row["n_rows"]) + table.num_rows)

    def finish(self, name: str) -> None:
        """Close the file of a recording that gets no more rows; it may be left to the end."""
        if name in self._files:
            self._files.pop(name).close()

    def _file(self, name: str, schema: Any) -> Any:
        """The open file of a recording. The one unused for longest is closed where too many are open."""
        import pyarrow.parquet as pq

        if name in self._files:
            self._files[name] = self._files.pop(name)  # the last one is the latest used
            return self._files[name]
        if len(self._files) >= _OPEN_FILES:
            self.finish(next(iter(self._files)))
        path = self._folder / "recordings" / f"{name}.parquet"
        if not path.exists():
            self._files[name] = _parquet_writer(path, schema)
            return self._files[name]
        # A closed Parquet file cannot be added to: what it has is copied, piece by piece, before the new rows.
        earlier = path.rename(path.with_suffix(".earlier"))
        self._files[name] = _parquet_writer(path, schema)
        with pq.ParquetFile(earlier) as file:
            for group in range(file.num_row_groups):
                self._files[name].write_table(file.read_row_group(group))
        earlier.unlink()
        return self._files[name]

    def _close_files(self) -> None:
        while self._files:
            self._files.popitem()[1].close()

    def _write_tables(self) -> None:
        (self._folder / "dataset.yaml").write_text(self.meta.to_yaml(), encoding="utf-8")
        extras = dict.fromkeys(k for row in self._rows.values() for k in row if k not in BASE_COLUMNS)
        with (self._folder / "recordings.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [*BASE_COLUMNS, *extras], restval="", lineterminator="\n")
            writer.writeheader()
            for row in self._rows.values():
                writer.writerow({**row, "rate_hz": format_rate(self.meta.rate_hz)})


def _parquet_writer(path: Path, schema: Any) -> Any:
    import pyarrow.parquet as pq
    import pyarrow.types as types

    # Samples hardly ever repeat: a dictionary of them is larger than they are, and reading takes half as long again.
    return pq.ParquetWriter(path, schema, use_dictionary=[f.name for f in schema if not types.is_floating(f.type)])


def write_dataset(path: str | Path, meta: DatasetMeta, recordings: Iterable[Recording]) -> None:
    """Write ``recordings`` as a dataset folder at ``path``, which must be new or empty.

    Written aside and renamed: after an error, an interrupt or a full disk nothing is left. One recording is in
    memory at a time where ``recordings`` is a generator.

    Raises
    ------
    DataError
        E-DATA-012 where the folder holds something or cannot be written.
    """
    with DatasetWriter(path, meta) as writer:
        for recording in recordings:
            writer.add(recording)
            writer.finish(recording.name)
