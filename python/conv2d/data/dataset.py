"""The dataset folder ``conv2d-dataset/1``: opened, listed, loaded and hashed.

::

    dataset.yaml      format, name, title, rate_hz, sensors, channels, units, classes, licence, citation, notes
    recordings.csv    recording, subject, n_rows, rate_hz, optional split / start / anything else
    recordings/<recording>.parquet   time_s float64 | "<sensor>/<channel>" float32 ... | label string | quality columns
"""

import difflib
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from conv2d.data.meta import DatasetMeta, RecordingRow, in_words, read_meta, read_rows
from conv2d.data.recording import Recording
from conv2d.data.recording_file import read_recording
from conv2d.errors import DataError


class Dataset:
    """A dataset folder whose description has been read and checked; recordings are read on demand.

    Example
    -------
    >>> import tempfile, pathlib
    >>> from conv2d.data import Dataset
    >>> from conv2d.data.simulate import simulate_dataset
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     data = simulate_dataset(pathlib.Path(folder) / "dogs", n_subjects=3, minutes=0.5, seed=1)
    ...     recording = data.load(data.table[0].recording, sensors=["back"], channels=["acc_x", "acc_y", "acc_z"])
    >>> data.subjects
    ('dog01', 'dog02', 'dog03')
    >>> recording.samples.shape[:2]
    (3, 1)
    """

    def __init__(self, path: Path, meta: DatasetMeta, table: Sequence[RecordingRow]) -> None:
        """Use `Dataset.open`."""
        self.path = path
        self.meta = meta
        self.table = list(table)
        self._rows = {row.recording: row for row in self.table}

    @classmethod
    def open(cls, path: str | Path) -> "Dataset":
        """Read ``dataset.yaml`` and ``recordings.csv`` and see that every recording's file is there.

        Raises
        ------
        DataError
            One sentence with a code, see `conv2d.data`.
        """
        path = Path(path)
        if not path.is_dir():
            what = "is a file" if path.exists() else "does not exist"
            raise DataError(f"E-DATA-001: {path} {what}, expected the folder of a data set with dataset.yaml in it")
        meta = read_meta(path / "dataset.yaml")
        data = cls(path, meta, read_rows(path / "recordings.csv", meta))
        absent = [r.recording for r in data.table if not data.recording_path(r.recording).is_file()]
        if absent:
            raise DataError(
                f"E-DATA-004: {path / 'recordings'} lacks the file of recording {in_words(absent)}; "
                "put <recording>.parquet there or drop the row from recordings.csv"
            )
        return data

    @property
    def subjects(self) -> tuple[str, ...]:
        """All subjects, sorted."""
        return tuple(sorted({row.subject for row in self.table}))

    def recording_path(self, name: str) -> Path:
        """Where a recording's file lies."""
        return self.path / "recordings" / f"{name}.parquet"

    def row(self, name: str) -> RecordingRow:
        """The row of ``recordings.csv`` of a recording; DataError E-DATA-006 where there is none."""
        if name not in self._rows:
            raise DataError(
                f"E-DATA-006: asked for recording {name}, data set {self.meta.name} has {len(self.table)} others"
                f"{_nearest(name, self._rows)}; see recordings.csv"
            )
        return self._rows[name]

    def load(
        self,
        name: str,
        *,
        sensors: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
    ) -> Recording:
        """Read a recording, or the part of it that ``sensors`` and ``channels`` select, in the order asked for.

        ``classes`` are those that label integers index, by default all of ``dataset.yaml``. A label outside of them is
        masked (-1) like an unannotated sample; one that ``dataset.yaml`` does not name is an error. Classes that the
        data set lacks are allowed, since a set to be evaluated may hold fewer.

        Raises
        ------
        DataError
            E-DATA-004 to E-DATA-011, see `conv2d.data`.
        """
        row = self.row(name)
        sensors, channels = self.select(sensors, channels)
        recording = read_recording(
            self.recording_path(name),
            sensors=sensors,
            channels=channels,
            rate_hz=self.meta.rate_hz,
            known_classes=self.meta.classes,
            classes=classes,
            name=name,
            subject=row.subject,
            meta=row.meta,
        )
        if recording.n_samples != row.n_rows:
            raise DataError(
                f"E-DATA-011: the file of recording {name} has {recording.n_samples} rows, recordings.csv says "
                f"{row.n_rows}; copy the file again or correct n_rows"
            )
        return recording

    def load_all(
        self,
        *,
        sensors: Sequence[str] | None = None,
        channels: Sequence[str] | None = None,
        classes: Sequence[str] | None = None,
        subjects: Iterable[str] | None = None,
    ) -> Iterator[Recording]:
        """`load` every recording in the order of ``recordings.csv``, or those of ``subjects``, one at a time."""
        wanted = None if subjects is None else set(subjects)
        if wanted is not None and (unknown := sorted(wanted - set(self.subjects))):
            raise DataError(
                f"E-DATA-006: asked for subject {in_words(unknown)}, data set {self.meta.name} has "
                f"{in_words(self.subjects)}; correct the name"
            )
        for row in self.table:
            if wanted is None or row.subject in wanted:
                yield self.load(row.recording, sensors=sensors, channels=channels, classes=classes)

    def select(
        self, sensors: Sequence[str] | None = None, channels: Sequence[str] | None = None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Check a choice of sensors and channels; None means all. DataError E-DATA-006 names what is not there."""
        chosen = []
        for kind, asked, there in (("sensor", sensors, self.meta.sensors), ("channel", channels, self.meta.channels)):
            names = there if asked is None else tuple(asked)
            if not names:
                raise DataError(f"E-DATA-006: asked for no {kind}, expected at least one of {in_words(there)}")
            for name in names:
                if name not in there:
                    raise DataError(
                        f"E-DATA-006: asked for {kind} {name}{_of_sensor(kind, sensors)}, the data set has "
                        f"{in_words(there, 30)}; select with data.{kind}s"
                    )
                if names.count(name) > 1:
                    raise DataError(f"E-DATA-006: asked for {kind} {name} more than once; keep one in data.{kind}s")
            chosen.append(names)
        return chosen[0], chosen[1]

    def sha256(self) -> str:
        """Hash of the content: ``dataset.yaml``, ``recordings.csv`` and the recordings in that order; O(bytes)."""
        digest = hashlib.sha256()
        files = [self.path / "dataset.yaml", self.path / "recordings.csv"]
        for path in [*files, *(self.recording_path(r.recording) for r in self.table)]:
            try:
                with path.open("rb") as file:
                    # The hash of each file, not its bytes, so that moving bytes between two files shows.
                    digest.update(hashlib.file_digest(file, "sha256").digest())
            except OSError as error:
                raise DataError(f"E-DATA-001: cannot read {path} ({error.strerror}); check the data set") from error
        return digest.hexdigest()


def _of_sensor(kind: str, sensors: Sequence[str] | None) -> str:
    return f" of sensor {in_words(tuple(sensors))}" if kind == "channel" and sensors else ""


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(names), 1)
    return f" (did you mean {near[0]}?)" if near else ""
