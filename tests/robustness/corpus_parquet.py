"""Broken Parquet tables and mappings of an import."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from .corpus import Broken, Given
from .good_table import N, good_rows, mapping_with, text_of


def good() -> pa.Table:
    rows = good_rows()
    numbers = {c: pa.array([float(r[c]) for r in rows]) for c in ("t", "ax", "ay")}
    return pa.table({**numbers, **{c: pa.array([r[c] for r in rows]) for c in ("dog", "run", "what")}})


def table(name: str, change: Callable[[pa.Table], pa.Table], *words: str, **changes: Any) -> Broken:
    """The good table changed."""

    def make(folder: Path) -> Given:
        pq.write_table(change(good()), folder / "move.parquet")
        return Given(folder / "move.parquet", mapping_with(**changes))

    return Broken(name, "parquet", make, words)


def data(name: str, change: Callable[[bytes], bytes], *words: str) -> Broken:
    """The good file with its bytes changed."""

    def make(folder: Path) -> Given:
        pq.write_table(good(), folder / "move.parquet")
        (folder / "move.parquet").write_bytes(change((folder / "move.parquet").read_bytes()))
        return Given(folder / "move.parquet", mapping_with())

    return Broken(name, "parquet", make, words)


def mapping(name: str, *words: str, **changes: Any) -> Broken:
    """The good table with a mapping that is off."""

    def make(folder: Path) -> Given:
        (folder / "move.csv").write_text(text_of(good_rows()))
        return Given(folder / "move.csv", mapping_with(**changes))

    return Broken(f"mapping: {name}", "csv", make, words)


def mapping_file(name: str, content: bytes | None, *words: str) -> Broken:
    def make(folder: Path) -> Given:
        (folder / "move.csv").write_text(text_of(good_rows()))
        if content is not None:
            (folder / "map.yaml").write_bytes(content)
        return Given(folder / "move.csv", folder / "map.yaml")

    return Broken(f"mapping file: {name}", "csv", make, words)


def put(column: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    return lambda t: t.drop_columns([column]).append_column(column, pa.array(values))


def at(column: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(t: pa.Table) -> pa.Table:
        values = t[column].to_pylist()
        values[row] = value
        return put(column, values)(t)

    return change


def flip(content: bytes) -> bytes:
    """Bytes of the first column's pages are lost."""
    return content[:8] + b"\xff" * 200 + content[208:]


# Nine lines that unfold to 10^9 values.
BOMB = b"a0: &a0 [x]\n" + b"".join(
    b"a%d: &a%d [%s]\n" % (i, i, b", ".join([b"*a%d" % (i - 1)] * 10)) for i in range(1, 10)
)

TABLES = [
    data("empty", lambda b: b"", "E-DATA-016", "is empty (0 bytes)", "a Parquet file", "export it again"),
    data("cut", lambda b: b[: len(b) // 2], "E-DATA-016", "it is cut off", "PAR1", "export it again"),
    data("only the mark", lambda b: b"PAR1", "E-DATA-016", "Parquet", "copy"),
    data("pages damaged", flip, "E-DATA-016", "it is damaged", "copy or export it again"),
    data("footer damaged", lambda b: b[:-400] + b"\xff" * 380 + b[-20:], "E-DATA-016", "damaged",
         "copy or export it again"),
    data("text", lambda b: b"t,ax\n1,2\n", "E-DATA-016", "begins with 't,ax 1,2", "as a Parquet file",
         "conv2d data import csv"),
    data("ZIP archive", lambda b: b"PK\x03\x04" + bytes(99), "E-DATA-016", "ZIP archive", "as a Parquet file"),
    data("Git LFS pointer", lambda b: b"version https://git-lfs.github.com/spec/v1\n", "E-DATA-016", "git lfs pull"),
    table("no rows", lambda t: t.slice(0, 0), "E-DATA-016", "has no row of data"),
    table("column missing", lambda t: t.drop_columns(["ay"]), "E-DATA-016",
         "no column 'ay'; it has t, ax, dog, run, what"),
    table("column twice", lambda t: t.append_column("ax", t["ax"]), "E-DATA-016", "'ax' 2 times",
         "rename all but one"),
    table("signal as text", put("ay", ["9.5"] * N), "E-DATA-016", "column ay of", "of type string",
         "map another column"),
    table("signal as truth", put("ay", [True] * N), "E-DATA-016", "column ay of", "of type bool", "expected numbers"),
    table("signal as lists", put("ay", [[1.0, 2.0]] * N), "E-DATA-016", "column ay of", "list<", "expected numbers"),
    table("label as lists", put("what", [["a"]] * N), "E-DATA-016", "column what of", "list<", "expected text"),
    table("label of bytes that are no text", put("what", [b"\xff\xfe"] * N), "E-DATA-016", "column what of",
         "binary", "expected text"),
    table("time as dates", put("t", np.arange(N).astype("datetime64[ms]")), "E-DATA-016", "column t of",
         "timestamp[ms]",
          "set unit of time"),
    table("time as text", put("t", ["a"] * N), "E-DATA-016", "column t of", "of type string", "set unit of time"),
    table("numbers for dates", lambda t: t, "E-DATA-016", "column t is '10'", "row 0 of move.parquet", "ISO 8601",
          time={"column": "t", "unit": "iso8601"}),
    table("dates beyond nanoseconds", put("t", pa.array([10**12 + i for i in range(N)], pa.timestamp("s"))),
         "E-DATA-016",
          "1677 to 2262", "correct the clock", time={"column": "t", "unit": "iso8601"}),
    table("time goes back", at("t", 40, 10.01), "E-DATA-016", "from 10.78 to 10.01 in row 40 of move.parquet"),
    table("time null", at("t", 40, None), "E-DATA-016", "column t is empty in row 40 of move.parquet"),
    table("infinite", at("ay", 40, float("inf")), "E-DATA-016", "column ay is inf in row 40 of move.parquet",
         "within float32"),
    table("subject null", at("dog", 40, None), "E-DATA-016", "column dog is empty in row 40"),
]  # fmt: skip

MAPPINGS = [
    mapping_file("missing", None, "E-DATA-017", "cannot open mapping", "No such file", "--map FILE"),
    mapping_file("empty", b"", "E-DATA-017", "holds no keys", "expected name, channels"),
    mapping_file("no YAML", b"name: [dogs\nchannels: }", "E-DATA-017", "not valid YAML", "line 2", "mend it"),
    mapping_file("tabs", b"name: dogs\nchannels:\n\tback/acc_x: ax\n", "E-DATA-017", "not valid YAML", "line 3",
         "mend it"),
    mapping_file("latin-1", "name: H\u00fcnde".encode("latin-1"), "E-DATA-017", "not valid YAML", "mend it"),
    mapping_file("key twice", b"name: dogs\nchannels:\n  back/acc_x: ax\n  back/acc_x: ay\n", "E-DATA-017",
                 "key back/acc_x stands in line 3 and again in line 4", "mend it"),
    mapping_file("bomb of aliases", BOMB, "E-DATA-017", "unfolds to more than 100000 values", "mend it"),
    mapping_file("list in itself", b"name: &a [*a]", "E-DATA-017", "unfolds to more than", "mend it"),
    mapping_file("value not of its tag", b"name: !!int dogs", "E-DATA-017", "not valid YAML", "'dogs'", "mend it"),
    mapping_file("truth not of its tag", b"name: !!bool dogs", "E-DATA-017", "does not fit its tag", "mend it"),
    mapping_file("binary", bytes(range(256)), "E-DATA-017", "not valid YAML", "mend it"),
    mapping_file("list", b"- name\n- channels\n", "E-DATA-017", "holds no keys"),
    mapping("key misspelt", "E-DATA-017", "unknown key 'chanels'", "did you mean channels?", chanels={}),
    mapping("no channels", "E-DATA-017", "no key channels", "add it", channels={}),
    mapping("no subject", "E-DATA-017", "no key subject", "add it", subject=...),
    mapping("subject without a name", "E-DATA-017", "constant of subject", "None", "expected text",
         subject={"constant": None}),
    mapping("sensors of unlike channels", "E-DATA-017", "lacks neck/acc_y", "map it",
            channels={"back/acc_x": "ax", "back/acc_y": "ay", "neck/acc_x": "ax"}),
    mapping("column as a number", "E-DATA-017", "column of time", "is 3", "in quotes", time={"column": 3}),
    mapping("unit unknown", "E-DATA-017", "'minutes'", "expected one of s, ms", time={"column": "t",
         "unit": "minutes"}),
    mapping("neither time nor rate", "E-DATA-017", "neither time nor rate_hz", time=...),
    mapping("rate as text", "E-DATA-017", "rate_hz", "'50 Hz'", "above 0", rate_hz="50 Hz"),
    mapping("rate not finite", "E-DATA-017", "rate_hz", "inf", "above 0", rate_hz=float("inf")),
    mapping("encoding unknown", "E-DATA-017", "'utf9'", "utf8 and latin-1", encoding="utf9"),
    mapping("encoding of no text", "E-DATA-017", "'hex'", "utf8 and latin-1", encoding="hex"),
    mapping("delimiter by its name", "E-DATA-017", "'tab'", "one character", delimiter="tab"),
    mapping("delimiter not ASCII", "E-DATA-017", "'\u00a7'", "ASCII", delimiter="\u00a7"),
    mapping("delimiter and decimal alike", "E-DATA-017", "both ','", "must differ", decimal=","),
    mapping("missing as a number", "E-DATA-017", "missing", "-999", "expected a list", missing=-999),
    mapping("class twice", "E-DATA-017", "classes", "twice", "keep each name once", classes=["sit", "walk", "sit"]),
    mapping("label to nothing", "E-DATA-017", "map of label", "' '", "null", label={"column": "what",
         "map": {"sit": " "}}),
    mapping("scale of nothing", "E-DATA-017", "scale of channel back/acc_x is 0", "other than 0",
            channels={"back/acc_x": {"column": "ax", "scale": 0}}),
    mapping("scale not finite", "E-DATA-017", "scale of channel back/acc_x is nan", "other than 0",
            channels={"back/acc_x": {"column": "ax", "scale": float("nan")}}),
    mapping("files of another place", "E-DATA-017", "files", "'/etc/*'", "expected a pattern", files="/etc/*"),
]  # fmt: skip

CASES = [*TABLES, *MAPPINGS]
