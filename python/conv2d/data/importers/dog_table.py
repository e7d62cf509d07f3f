"""``DogMoveData.csv`` read as the table that it is, its texts as small numbers, and ``DogInfo.csv`` beside it."""

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conv2d.data.importers.mapping import Channel, Subject, TableMapping
from conv2d.data.importers.published import find_root
from conv2d.data.importers.result import Progress
from conv2d.data.importers.tables import Piece, read_pieces
from conv2d.data.meta import BASE_COLUMNS, clipped, one_line
from conv2d.data.units import GRAVITY, RADIANS
from conv2d.errors import DataError

TABLE_NAME = "DogMoveData.csv"
RATE_HZ = 100.0
# <sensor>/<channel>: column of the table, in g and deg/s
SIGNALS = {
    f"{sensor.lower()}/{channel}_{axis}": Channel(f"{letter}{sensor}_{axis}", unit)
    for sensor in ("Back", "Neck")
    for channel, letter, unit in (("acc", "A", GRAVITY), ("gyr", "G", RADIANS))
    for axis in "xyz"
}
BEHAVIOR_COLUMNS = ("Behavior_1", "Behavior_2", "Behavior_3")
TABLE = TableMapping(
    name="dogs",
    channels=SIGNALS,
    sensors=("back", "neck"),
    channel_names=tuple(dict.fromkeys(name.partition("/")[2] for name in SIGNALS)),
    subject=Subject(column="DogID"),
    rate_hz=RATE_HZ,
    time_column="t_sec",
    recording_columns=("DogID", "TestNum"),
    meta={column: column for column in ("Task", *BEHAVIOR_COLUMNS)},
)
UNDEFINED = "<undefined>"
MAX_TEXTS = 32  # different texts of one kind; the published file has 8 tasks and 20 behaviours
_ADVICE_ON_MAPPING = re.compile(
    r"\b(mapping|map|csv|rate_hz|under recording|into recording|the header)\b", re.IGNORECASE
)


class Texts:
    """Numbers for texts in order of appearance; 0 is `UNDEFINED` and the empty text."""

    def __init__(self, column: str, known: tuple[str, ...]) -> None:
        """``known`` get the numbers from 1; ``column`` is named in an error."""
        self.words = [UNDEFINED, *known]
        self._column = column
        self._number = {word: i for i, word in enumerate(self.words)} | {"": 0}

    def numbers(self, encoded: Any) -> NDArray[np.uint8]:
        """The numbers of a dictionary array of text."""
        lookup = np.array([self._of(word) for word in encoded.dictionary.to_pylist()] + [0], np.uint8)
        numbers: NDArray[np.uint8] = lookup[encoded.indices.fill_null(len(lookup) - 1).to_numpy(zero_copy_only=False)]
        return numbers

    def _of(self, word: str) -> int:
        word = word.strip()
        if word not in self._number:
            if len(self.words) == MAX_TEXTS:
                raise DataError(
                    f"E-DATA-016: {self._column} has more than {MAX_TEXTS - 1} different texts, {word[:40]!r} among "
                    "them; expected those of DogMoveData.csv, import another table as csv with a mapping"
                )
            self._number[word] = len(self.words)
            self.words.append(word)
        return self._number[word]


def find_table(source: str | Path) -> Path:
    """The file itself, or ``DogMoveData.csv`` (or ``.csv.gz``) in a folder or below; DataError E-DATA-016 if none."""
    path = Path(source)
    if path.is_file():
        return path
    root = find_root(path, TABLE_NAME + "*", TABLE_NAME)
    for name in (TABLE_NAME, TABLE_NAME + ".gz"):
        if (root / name).is_file():
            return root / name
    other = min(p.name for p in root.glob(TABLE_NAME + "*"))
    raise DataError(f"E-DATA-016: {root} holds {other}, expected {TABLE_NAME} or {TABLE_NAME}.gz; unpack it")


def read_dog_table(path: Path, progress: Progress | None = None) -> Iterator[Piece]:
    """The pieces of the table with the columns of `TABLE`; ``progress`` is told of megabytes of text read.

    Raises
    ------
    DataError
        E-DATA-016 with the line: as any table, and a dog or a test that is no whole number.
    """
    megabytes, read = path.stat().st_size >> 20, 0
    for piece in read_pieces(path, "csv", TABLE):
        for column in TABLE.recording_columns:
            _refuse_other_than_numbers(piece, column)
        yield piece
        read += 0 if piece.block is None else len(piece.block.text)
        if progress is not None:
            progress(read >> 20, max(megabytes, read >> 20))  # of a packed file there is more


def without_mapping(error: DataError) -> DataError:
    """The sentence about a table, where what it advises on a mapping does not help: this format takes none."""
    text = str(error).replace("the mapping says", "expected").replace("any mapped column", "any channel")
    told, _, advice = text.rpartition("; ")
    if not _ADVICE_ON_MAPPING.search(advice):
        return DataError(text)
    own = (
        f"take {TABLE_NAME} as it was published (UTF-8, commas, decimal points), or import the table as csv with --map"
    )
    if "expected increasing times" in told:
        own = "sort the rows by DogID, TestNum and t_sec, and give each test its TestNum"
    return DataError(f"{told}; {own}")


def dog_info(path: Path) -> dict[int, dict[str, str]]:
    """Columns of ``DogInfo.csv`` by dog, all text; nothing where there is no such file.

    ``Age months`` becomes ``age_months``, ``NeuteringStatus`` ``neutering_status``.
    """
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            rows = [(reader.line_num, row) for row in reader if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"E-DATA-016: {path} is not a UTF-8 CSV file ({one_line(error)}); save it as one or move it away"
        ) from error
    if not rows or rows[0][1][0].strip() != "DogID":
        raise DataError(f"E-DATA-016: {path} does not begin with the column DogID; correct it or move it away")
    names = [re.sub(r"\W+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())).lower() for name in rows[0][1]]
    info: dict[int, dict[str, str]] = {}
    for line, row in rows[1:]:
        if len(row) != len(names) or not row[0].strip().isdecimal() or int(row[0]) in info:
            raise DataError(
                f"E-DATA-016: line {line} of {path} is {','.join(row)[:60]!r}, expected {len(names)} fields with a "
                "DogID of its own; correct it or move the file away"
            )
        values = zip(names[1:], row[1:], strict=True)
        info[int(row[0])] = {k: v.strip() for k, v in values if k not in (*BASE_COLUMNS, "test", "start")}
    return info


def _refuse_other_than_numbers(piece: Piece, column: str) -> None:
    encoded = piece.texts[column]
    for code, word in enumerate(encoded.dictionary.to_pylist()):
        if not re.fullmatch(r"[0-9]{1,9}", word):
            row = int(np.argmax(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False) == code))
            raise DataError(
                f"E-DATA-016: column {column} is {clipped(word)!r} in {piece.place(row)}, expected a whole number; "
                "correct the line or copy the file again"
            )
