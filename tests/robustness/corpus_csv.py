"""Broken CSV files and their mapping."""

import bz2
import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from .corpus import Broken, Given
from .good_table import N, good_rows, mapping_with, text_of

ONE_DOG = {"recording": "per_file", "subject": {"constant": "rex"}, "label": ...}
ISO = {"column": "t", "unit": "iso8601"}


def content(name: str, data: bytes, *words: str, file: str = "move.csv", **changes: Any) -> Broken:
    """A file of these bytes."""

    def make(folder: Path) -> Given:
        (folder / file).write_bytes(data)
        return Given(folder / file, mapping_with(**changes))

    return Broken(name, "csv", make, words)


def text(name: str, change: Callable[[str], str], *words: str, encoding: str = "utf8", **changes: Any) -> Broken:
    """The good table with its text changed."""
    return content(name, change(text_of(good_rows())).encode(encoding), *words, **changes)


def cell(name: str, row: int, values: dict[str, Any], *words: str, **changes: Any) -> Broken:
    """The good table with values of one row (from 0) changed."""
    rows = good_rows()
    rows[row].update(values)
    return content(name, text_of(rows).encode(), *words, **changes)


def column(name: str, values: dict[str, Callable[[int], Any]], *words: str, **changes: Any) -> Broken:
    """The good table with whole columns changed, by the row's index."""
    rows = good_rows()
    for i, row in enumerate(rows):
        row.update({c: value(i) for c, value in values.items()})
    return content(name, text_of(rows).encode(), *words, **changes)


def path(name: str, make: Callable[[Path], Path | str], *words: str, **changes: Any) -> Broken:
    """A source that is no plain file."""
    return Broken(name, "csv", lambda folder: Given(make(folder), mapping_with(**changes)), words)


def line(number: int, new: str) -> Callable[[str], str]:
    """Replace a line, counted from 1."""

    def change(table: str) -> str:
        lines = table.split("\n")
        lines[number - 1] = new
        return "\n".join(lines)

    return change


def cut(table: str) -> str:
    """A table without its last 12 characters: the last row lacks fields."""
    return table[:-12]


def iso(i: int, *, begin: str = "2024-10-27T02:59:59", back_from: int = N, zone: str = "") -> str:
    seconds = i / 50 - (3600 if i >= back_from else 0)
    time = np.datetime64(begin, "ms") + np.timedelta64(round(seconds * 1000), "ms")
    return f"{time}{zone}"


def write(folder: Path, name: str, table: str) -> Path:
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(table)
    return target


def two_files_of_one_name(folder: Path) -> str:
    for part in ("a", "b"):
        write(folder, f"{part}/dog1.csv", text_of(good_rows()[:60]))
    return f"{folder}/*/*.csv"


def link_loop(folder: Path) -> Path:
    (folder / "a.csv").symlink_to(folder / "b.csv")
    (folder / "b.csv").symlink_to(folder / "a.csv")
    return folder / "a.csv"


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "move.csv")
    return folder / "move.csv"


def dangling(folder: Path) -> Path:
    (folder / "move.csv").symlink_to(folder / "gone" / "move.csv")
    return folder / "move.csv"


def only_other_files(folder: Path) -> Path:
    write(folder, "move.xlsx", "x")
    return folder


GOOD = text_of(good_rows()).encode()
HEADER, *_ = GOOD.split(b"\n")
SEMICOLONS = text_of(good_rows(), ";")

FILES = [
    content("empty", b"", "E-DATA-016", "move.csv is empty (0 bytes)", "copy it again"),
    content("blank lines only", b"\n\n\r\n\n", "E-DATA-016", "holds blank lines only", "export it again"),
    content("header only", HEADER + b"\n", "E-DATA-016", "move.csv has no row of data", "name other tables"),
    content("header without line break", HEADER, "E-DATA-016", "move.csv has no row of data"),
    content("zero bytes only", bytes(5000), "E-DATA-016", "zero bytes", "card that failed", "copy it again"),
    content("utf-16 with mark", GOOD.decode().encode("utf-16"), "E-DATA-016", "UTF-16", "encoding: utf-16"),
    content(
        "utf-16 big endian", b"\xfe\xff" + GOOD.decode().encode("utf-16-be"), "E-DATA-016", "UTF-16",
        "encoding: utf-16"
    ),
    content("utf-16 without mark", GOOD.decode().encode("utf-16-le"), "E-DATA-016", "encoding: utf-16-le"),
    content("utf-16 said, utf-8 there", GOOD, "E-DATA-016", "one byte for a character", "encoding: utf8",
         encoding="utf-16"),
    content(
        "utf-16 cut within a character", GOOD.decode().encode("utf-16")[:-1], "E-DATA-016", f"line {N + 1}",
        "cut off",
        encoding="utf-16",
    ),
    text(
        "latin-1 label", lambda t: t.replace("walk", "läuft"), "E-DATA-016", "line 17 of move.csv", "0xe4", "läuft",
        "encoding: latin-1", encoding="latin-1",
    ),
    text(
        "latin-1 header", lambda t: t.replace("what", "Gerät", 1), "E-DATA-016", "line 1 of move.csv", "0xe4",
        "encoding: latin-1", encoding="latin-1",
    ),
    content(
        "byte outside of cp1252", GOOD.replace(b"sit", b"s\x81t", 1), "E-DATA-016", "line 2 of move.csv", "0x81",
        "none of cp1252", encoding="cp1252",
    ),
    content("gzip cut", gzip.compress(GOOD)[:-40], "E-DATA-016", "compressed and cut off", "copy it again",
         file="a.csv.gz"),
    content(
        "gzip damaged", gzip.compress(GOOD)[:60] + b"\xff" * 60 + gzip.compress(GOOD)[120:], "E-DATA-016",
        "compressed and damaged", "copy it again", file="a.csv.gz",
    ),
    content("gzip by name only", GOOD, "E-DATA-016", "named .gz but is not compressed", "rename it", file="a.csv.gz"),
    content("bzip2 cut", bz2.compress(GOOD)[:-40], "E-DATA-016", "compressed and cut off", "copy it again",
         file="a.csv.bz2"),
    content(
        "zstandard cut", pa.compress(GOOD * 50, "zstd", asbytes=True)[:-40], "E-DATA-016", "compressed and cut off",
        file="a.csv.zst",
    ),
    content("xlsx named csv", b"PK\x03\x04" + bytes(range(256)) * 8, "E-DATA-016", "ZIP archive", ".xlsx",
         "save the sheet as CSV"),
    content("xls named csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), "E-DATA-016", "Excel",
         "save the sheet as CSV"),
    content("parquet named csv", b"PAR1" + bytes(99) + b"PAR1", "E-DATA-016", "Parquet file",
         "conv2d data import parquet"),
    content("HDF5", b"\x89HDF\r\n\x1a\n" + bytes(99), "E-DATA-016", "HDF5", "export its table"),
    content("MATLAB", b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(90), "E-DATA-016", "MATLAB file",
         "export its table"),
    content("NumPy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8'}" + bytes(80), "E-DATA-016", "NumPy array",
         "write it as CSV"),
    content("SQLite", b"SQLite format 3\x00" + bytes(99), "E-DATA-016", "SQLite database", "export its table"),
    content("PDF", b"%PDF-1.7\n%\xe2\xe3", "E-DATA-016", "PDF document", "export the table"),
    content("Arrow", b"ARROW1\x00\x00" + bytes(50), "E-DATA-016", "Arrow file", "Parquet"),
    content("R data", b"RDX3\nX\n" + bytes(50), "E-DATA-016", "R data file", "write the table as CSV"),
    content("7z", b"7z\xbc\xaf\x27\x1c" + bytes(50), "E-DATA-016", "7z archive", "unpack it"),
    content(
        "web page of a failed download", b"<!DOCTYPE html>\n<html><title>404</title></html>\n", "E-DATA-016",
        "web page",
        "failed download", "get the file itself",
    ),
    content("XML", b'<?xml version="1.0"?><a/>', "E-DATA-016", "XML file", "get the file itself"),
    content(
        "Git LFS pointer", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "E-DATA-016",
        "Git LFS",
        "git lfs pull",
    ),
    content("git-annex pointer", b"/annex/objects/SHA256E-s1--0.csv\n", "E-DATA-016", "git-annex", "git annex get"),
    content("JSON", b'{"t": 1, "ax": 2}\n', "E-DATA-016", "'t'", "looks like JSON", "export the table as CSV"),
    content(
        "random bytes", np.random.default_rng(0).bytes(5000), "E-DATA-016", "binary file", "control characters",
        "export it as CSV",
    ),
    content("zero byte within", GOOD.replace(b"rex,2", b"re\0,2", 1), "E-DATA-016", "line 62 of move.csv",
         "zero byte", "power"),
    content("zero bytes at the end", GOOD + bytes(300), "E-DATA-016", f"line {N + 2} of move.csv", "zero byte",
         "delete"),
    content(
        "line without end", b"t,ax,ay,dog,run,what\n" + b"1" * (40 << 20), "E-DATA-016", "line 2 of move.csv",
        "longer than",
        "without a line break", "check what the file is",
    ),
    content(
        "header without end", b"abc," * (10 << 20), "E-DATA-016", "line 1 of move.csv", "longer than",
        "without a line break"
    ),
    path("folder without tables", only_other_files, "E-DATA-016", "has no file *.csv or *.csv.gz but files *.xlsx",
         "name the"),
    path("empty folder", lambda p: p, "E-DATA-016", "has no file *.csv", "name the tables"),
    path("nothing there", lambda p: p / "no.csv", "E-DATA-016", "neither a file, a folder nor a pattern",
         "name the tables"),
    path("pattern without match", lambda p: f"{p}/**/*.csv", "E-DATA-016", "nor a pattern that matches one"),
    path("link to nothing", dangling, "E-DATA-016", "is a link to", "leads to no file", "mend it"),
    path("links in a circle", link_loop, "E-DATA-016", "is a link to", "leads to no file", "mend it"),
    path("pipe", pipe, "E-DATA-016", "pipe", "save it as a file first"),
    path(
        "files of one name", two_files_of_one_name, "E-DATA-016", "two recordings come out as 'dog1'",
        "rename a file",
        **ONE_DOG,
    ),
    path(
        "file names without a subject", lambda p: write(p, "walk.csv", text_of(good_rows()[:60])), "E-DATA-016",
        "finds no subject in the file name walk.csv", "correct the expression",
        **ONE_DOG | {"subject": {"from_filename": r"dog(\d+)"}},
    ),
]  # fmt: skip

SHAPE = [
    content(
        "decimal commas", SEMICOLONS.replace(".", ",").encode(), "E-DATA-016", "'10,00' in line 2 of move.csv",
        'decimal: ","', delimiter=";",
    ),
    content(
        "decimal commas between commas", GOOD.replace(b".", b","), "E-DATA-016", "line 2 of move.csv", "9 fields",
        "the header has 6", "decimal comma", "';'",
    ),
    content("decimal points, commas said", SEMICOLONS.encode(), "E-DATA-016", "'10.00' in line 2", 'decimal: "."',
         delimiter=";", decimal=","),
    content("semicolons", SEMICOLONS.encode(), "E-DATA-016", "'t'", "one column with delimiter ','",
         "delimiter: ';'"),
    content("tabs", SEMICOLONS.replace(";", "\t").encode(), "E-DATA-016", "one column", r'delimiter: "\t"'),
    content("commas, tabs said", GOOD, "E-DATA-016", "one column", "delimiter: ','", delimiter="\t"),
    text("no header", lambda t: t.split("\n", 1)[1].replace("rex", "7").replace("sit", "1"), "E-DATA-016",
         "line 1 holds numbers",
         "add a line of names"),
    text("lines before the header", lambda t: "Logger 7\nSeries 3\n" + t, "E-DATA-016", "'t' in line 1",
         "stand in line 3",
         "skip_rows: 2"),
    text("header repeated", lambda t: t + t, "E-DATA-016", "column t is 't'", f"line {N + 2} of move.csv",
         "header is repeated",
         "delete that line"),
    text("line of units", lambda t: t.replace("\n", "\ns,g,g,-,-,-\n", 1), "E-DATA-016", "column t is 's' in line 2",
         "units",
         "delete it"),
    text("row too short", line(50, "10.94,0.48,9.548"), "E-DATA-016", "line 50 of move.csv has 3 fields",
         "header has 6",
         "mend or delete it"),
    text("row too long", line(50, "10.94,0.48,9.548,rex,1,sit,down"), "E-DATA-016",
         "line 50 of move.csv has 7 fields",
         "into quotes"),
    text("footer", lambda t: t + "end of recording\n", "E-DATA-016", f"line {N + 2} of move.csv has 1 field",
         "delete it"),
    text("delimiter at the end of lines", lambda t: t.replace("\n", ",\n").replace("what,", "what"), "E-DATA-016",
         "line 2 of move.csv has 7 fields", "a delimiter too many", "one more name"),
    text("cut off", cut, "E-DATA-016", f"line {N + 1} of move.csv", "last line, so the file is cut off",
         "copy it again"),
    text("quote not closed", lambda t: t.replace("rex,2", '"rex,2', 1), "E-DATA-016", "quote that opens in line 62",
         "close it"),
    content(
        "quote not closed for 40 MB", GOOD.replace(b"rex,2", b'"rex,2', 1) + GOOD * 12_000, "E-DATA-016",
        "quote that opens in line 62", "close it, or delete it",
    ),
    text("lines of an old Macintosh", lambda t: t.replace(",0.30,", ",o.30,", 1).replace("\n", "\r"), "E-DATA-016",
         "column ax is 'o.30' in line 32"),
    text("nothing after skip_rows", lambda t: t, "E-DATA-016", "no line after the 500", "correct skip_rows",
         skip_rows=500),
    text("column missing", lambda t: t.replace("ay", "ayy", 1), "E-DATA-016", "no column 'ay'", "did you mean ayy?"),
    text("column of other case", lambda t: t.replace("ay", "AY", 1), "E-DATA-016", "no column 'ay' but 'AY'",
         "write it"),
    text("column with blanks", lambda t: t.replace("ay", " ay", 1), "E-DATA-016", "no column 'ay' but ' ay'",
         "blanks"),
    text("column of another name", lambda t: t.replace("ay", "zzz", 1), "E-DATA-016",
         "'ay'; it has t, ax, zzz, dog, run, what"),
    text("column twice", lambda t: t.replace("ay", "ax", 1), "E-DATA-016", "column 'ax' 2 times",
         "rename all but one",
         channels={"back/acc_x": "ax"}),
    content(
        "a hundred thousand columns", b",".join(b"c%d" % i for i in range(100_000)) + b"\n", "E-DATA-016",
        "no column 't'",
        "99970 more",
    ),
]  # fmt: skip

NUMBERS = [
    cell("word for a number", 40, {"ay": "broken"}, "E-DATA-016", "column ay is 'broken' in line 42",
         "under missing"),
    cell("thousands separated", 40, {"ay": '"1,234.5"'}, "E-DATA-016", "'1,234.5' in line 42",
         "separators of thousands"),
    cell("thousands with blanks", 40, {"ay": "1 234"}, "E-DATA-016", "'1 234' in line 42", "separators of thousands"),
    cell("decimal comma in quotes", 40, {"ay": '"9,54"'}, "E-DATA-016", "'9,54' in line 42", 'decimal: ","'),
    cell("formula failed", 40, {"ay": "#DIV/0!"}, "E-DATA-016", "'#DIV/0!' in line 42", "formula has failed"),
    cell("number with its unit", 40, {"ay": "9.81 m/s2"}, "E-DATA-016", "'9.81 m/s2' in line 42",
         "without their unit"),
    cell("hexadecimal", 40, {"ay": "0x1F"}, "E-DATA-016", "'0x1F' in line 42"),
    cell("very long word", 40, {"ay": "x" * 5000}, "E-DATA-016", "xxx...' in line 42"),
    cell("infinite", 40, {"ay": "-inf"}, "E-DATA-016", "column ay is -inf in line 42", "within float32",
         "leave it empty"),
    cell("beyond float32", 40, {"ay": "1e39"}, "E-DATA-016", "column ay is 1e+39 in line 42", "within float32"),
    cell("beyond float64", 40, {"ay": "1e999"}, "E-DATA-016", "column ay is inf in line 42", "within float32"),
    cell(
        "beyond float32 by its scale", 40, {"ay": "1e38"}, "E-DATA-016", "column ay is 1e+38 in line 42",
        "within float32",
        channels={"back/acc_x": "ax", "back/acc_y": {"column": "ay", "scale": 100}},
    ),
    column("column without values", {"ay": lambda i: ""}, "E-DATA-009", "column ay (back/acc_y) has no value",
         "rex_1",
           "map 'back/acc_y:' to nothing"),
    column("no value at all", {"ay": lambda i: "", "ax": lambda i: "NaN"}, "E-DATA-009", "rex_1 has no value",
         "leave its rows"),
]  # fmt: skip

TIMES = [
    cell("time goes back", 40, {"t": "10.01"}, "E-DATA-016", "column t goes from 10.78 to 10.01 in line 42",
         "sort the rows"),
    cell("row doubled", 40, {"t": "10.78"}, "E-DATA-016", "from 10.78 to 10.78 in line 42", "drop the doubled rows"),
    cell("time empty", 40, {"t": ""}, "E-DATA-016", "column t is empty in line 42", "drop the row"),
    cell("time infinite", 40, {"t": "inf"}, "E-DATA-016", "column t is inf in line 42", "drop the row"),
    cell("time of day", 0, {"t": "14:44:00.250"}, "E-DATA-016", "'14:44:00.250' in line 2", "iso8601"),
    cell("date for seconds", 0, {"t": "2024-05-13 14:44:00"}, "E-DATA-016", "in line 2", "unit: iso8601"),
    column("whole seconds at 50 Hz", {"t": lambda i: 10 + i % 60 // 50}, "E-DATA-016", "from 10 to 10 in line 3",
         "rounded",
           "rate_hz"),
    column("recordings not told apart", {}, "E-DATA-016", "from 11.18 to 10 in line 62", "tell recordings apart",
         **ONE_DOG),
    column(
        "interleaved recordings", {"t": lambda i: f"{10 + i % 2 * 0.005 + i // 2 / 50:.3f}" if i % 7 else "10.2"},
        "E-DATA-016",
        "column t goes from", "tell recordings apart", **ONE_DOG,
    ),
    column("daylight saving", {"t": lambda i: iso(i, back_from=50)}, "E-DATA-016", "from 2024-10-27T02:59:59.980",
           "to 2024-10-27T02:00", "in line 52", "daylight saving", "UTC", time=ISO, **ONE_DOG),
    column(
        "daylight saving in milliseconds", {"t": lambda i: 1729994399000 + 20 * i - 3600_000 * (i >= 50)},
        "E-DATA-016",
        "in line 52", "daylight saving", time={"column": "t", "unit": "ms"}, **ONE_DOG,
    ),
    column("counter of 16 bits", {"t": lambda i: (65_000 + 20 * i) % 65_536}, "E-DATA-016", "in line 29", "2^16",
           time={"column": "t", "unit": "ms"}, **ONE_DOG),
    column("counter of 32 bits", {"t": lambda i: (2**32 - 1000 + 20 * i) % 2**32}, "E-DATA-016", "in line 52", "2^32",
           time={"column": "t", "unit": "ms"}, **ONE_DOG),
    column("milliseconds as seconds", {"t": lambda i: 20 * i}, "E-DATA-016", "0.05 samples per second",
         "in ms it would be 50",
           "correct the unit", **ONE_DOG),
    column("seconds as milliseconds", {"t": lambda i: i / 50}, "E-DATA-016", "5e+04 samples per second",
         "in s it would be 50",
           time={"column": "t", "unit": "ms"}, **ONE_DOG),
    column("seconds as milliseconds, rate given", {"t": lambda i: i / 50}, "E-DATA-007", "5e+04",
         "in s it would be 50",
           "unit of time", time={"column": "t", "unit": "ms"}, rate_hz=50, **ONE_DOG),
    column("microseconds since 1970 as milliseconds", {"t": lambda i: 1_700_000_000_000_000 + 20_000 * i},
         "E-DATA-016",
           "in us it would be 50", time={"column": "t", "unit": "ms"}, **ONE_DOG),
    column("days as Excel writes them", {"t": lambda i: repr(45425.61 + i / 50 / 86400)}, "E-DATA-016", "Excel", "50",
           "correct the unit", **ONE_DOG),
    column("another rate than given", {}, "E-DATA-007", "rex_1 has 50 samples", "the mapping says 100 Hz",
         rate_hz=100),
    column("recordings of two rates", {"t": lambda i: f"{i % 60 / (50 if i < 60 else 100):.2f}"}, "E-DATA-007",
           "rex_2 has 100", "the other recordings have 50 Hz", "import it apart"),
    content(
        "two rates within a recording",
        text_of([{**good_rows()[0], "t": i / 50 if i < 3000 else 60 + (i - 3000) / 100} for i in range(6002)]).encode(),
        "E-DATA-007", "rex_1 has", "50", "100", "expected one rate", "conv2d data join",
    ),
    column("dates of another order", {"t": lambda i: "13.05.2024 14:44:00"}, "E-DATA-016",
         "'13.05.2024 14:44:00' in line 2",
           "ISO 8601", time=ISO),
    column("hour that is none", {"t": lambda i: "2024-05-13T25:00:00"}, "E-DATA-016", "T25:00:00' in line 2",
         "ISO 8601", time=ISO),
    column("zone in some rows", {"t": lambda i: iso(i, zone="Z" if i < 30 else "")}, "E-DATA-016", "in line 32",
         "with a zone",
           time=ISO, **ONE_DOG),
    cell("date empty", 7, {"t": ""}, "E-DATA-016", "column t is empty in line 9", time=ISO),
    content("one row", text_of(good_rows()[:1]).encode(), "E-DATA-016", "no recording has two rows", "give rate_hz"),
]  # fmt: skip

WHO = [
    cell("subject empty", 40, {"dog": ""}, "E-DATA-016", "column dog is empty in line 42", "fill it in"),
    cell("recording empty", 40, {"run": " "}, "E-DATA-016", "column run is empty in line 42", "fill it in"),
    cell("subject changes", 40, {"dog": "bello"}, "E-DATA-016", "column dog changes", "'rex' to 'bello' in line 42",
         "into recording", recording={"columns": ["run"]}),
    content(
        "subject changes in a later file", text_of([*good_rows()[:60], {**good_rows()[0], "t": "12",
        "dog": "bello"}]).encode(),
        "E-DATA-016", "column dog changes", "line 62", recording="per_file",
    ),
    column("column of recordings.csv changes", {}, "E-DATA-016", "column ax changes", "in line 3",
         meta={"weight": "ax"}),
    column("recordings that meet", {"run": lambda i: "a b" if i < 60 else "a/b"}, "E-DATA-016",
         "come out as 'rex_a-b'", "rename"),
    column("recordings of names outside the folder", {"run": lambda i: "../x" if i < 60 else "..\\x"}, "E-DATA-016",
           "come out as 'rex_x'"),
    content(
        "a recording for each row",
        b"t,ax,ay,dog,run,what\n" + b"".join(b"%d,1,1,rex,%d,sit\n" % (i, i) for i in range(20_100)),
        "E-DATA-016", "20000 recordings of 1.0 rows", "line 20001 of move.csv", "take others",
    ),
    cell("label outside of classes", 40, {"what": "fly"}, "E-DATA-010", "'fly' in line 42",
         "classes names sit, walk", "add it",
         classes=["sit", "walk"]),
    column("numbers for labels", {"what": lambda i: i % 3}, "E-DATA-010", "label '0' in line 2",
         "map or null of label",
           classes=["sit", "walk"]),
    content(
        "a label for each row", text_of([{**good_rows()[0], "t": i / 50,
        "what": f"w{i}"} for i in range(1200)]).encode(),
        "E-DATA-010", "more than 1000 labels", "line 1002", "map another column",
    ),
]  # fmt: skip

CASES = [*FILES, *SHAPE, *NUMBERS, *TIMES, *WHO]
