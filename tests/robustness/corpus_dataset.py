"""Broken dataset folders, and recordings that lie alone as `conv2d run` reads them."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from conv2d.data import Recording, write_dataset
from conv2d.data.meta import DatasetMeta

from .corpus import Broken, Given

N = 100
META = DatasetMeta("dogs", 50.0, ("back",), ("acc_x", "acc_y"), ("sit", "walk"))


def good(folder: Path) -> Path:
    """A good data set of two recordings."""
    rng = np.random.default_rng(0)
    recordings = [
        Recording(name, name, 50.0, META.sensors, META.channels, np.arange(N) / 50,
                  rng.normal(size=(2, 1, N)).astype(np.float32), np.arange(N) // 25 % 3 - 1, META.classes)
        for name in ("rex", "bello")
    ]  # fmt: skip
    write_dataset(folder / "dogs", META, recordings)
    return folder / "dogs"


def folder(name: str, damage: Callable[[Path], object], *words: str) -> Broken:
    """The good data set, damaged."""

    def make(tmp: Path) -> Given:
        path = good(tmp)
        damage(path)
        return Given(path)

    return Broken(name, "dataset", make, words)


def alone(name: str, damage: Callable[[Path], object], *words: str) -> Broken:
    """One recording's file without its data set, damaged."""

    def make(tmp: Path) -> Given:
        path = good(tmp)
        damage(path)
        return Given(path / "recordings" / "rex.parquet")

    return Broken(name, "recording", make, words)


def in_yaml(**changes: Any) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        content = yaml.safe_load((path / "dataset.yaml").read_text()) | changes
        (path / "dataset.yaml").write_text(yaml.safe_dump({k: v for k, v in content.items() if v is not ...}))

    return damage


def yaml_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: (path / "dataset.yaml").write_bytes(content)


def in_csv(old: str, new: str) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        text = (path / "recordings.csv").read_text()
        assert old in text
        (path / "recordings.csv").write_text(text.replace(old, new, 1))

    return damage


def csv_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: (path / "recordings.csv").write_bytes(change((path / "recordings.csv").read_bytes()))


def in_file(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        file = path / "recordings" / "rex.parquet"
        file.write_bytes(change(file.read_bytes()))

    return damage


def in_table(change: Callable[[pa.Table], pa.Table]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        file = path / "recordings" / "rex.parquet"
        pq.write_table(change(pq.read_table(file)), file)

    return damage


def put(column: str, values: Any) -> Callable[[pa.Table], pa.Table]:
    return lambda t: t.drop_columns([column]).append_column(column, pa.array(values))


def at(column: str, row: int, value: Any) -> Callable[[pa.Table], pa.Table]:
    def change(t: pa.Table) -> pa.Table:
        values = t[column].to_pylist()
        values[row] = value
        return put(column, values)(t)

    return change


def without_rows(path: Path) -> None:
    in_table(lambda t: t.slice(0, N - 1))(path)


def circle(path: Path) -> None:
    (path / "recordings" / "rex.parquet").unlink()
    (path / "recordings" / "rex.parquet").symlink_to("rex.parquet")


def folder_for_file(path: Path) -> None:
    (path / "dataset.yaml").unlink()
    (path / "dataset.yaml").mkdir()


def nested_yaml(depth: int) -> bytes:
    return b"format: " + b"[" * depth + b"]" * depth


ABOUT = [
    Broken("nothing there", "dataset", lambda p: Given(p / "no"), ("E-DATA-001", "does not exist",
         "dataset.yaml in it")),
    Broken("empty folder", "dataset", lambda p: Given(p), ("E-DATA-001", "cannot open", "dataset.yaml",
         "No such file")),
    folder("dataset.yaml missing", lambda p: (p / "dataset.yaml").unlink(), "E-DATA-001", "dataset.yaml",
         "No such file"),
    folder("dataset.yaml a folder", folder_for_file, "E-DATA-001", "dataset.yaml", "Is a directory"),
    folder("dataset.yaml empty", yaml_bytes(b""), "E-DATA-002", "is empty", "expected keys such as format"),
    folder("dataset.yaml of zero bytes", yaml_bytes(bytes(300)), "E-DATA-002", "dataset.yaml", "not valid YAML"),
    folder("dataset.yaml in utf-16", lambda p: (p / "dataset.yaml").write_text(META.to_yaml(), encoding="utf-16"),
         "E-DATA-002",
           "is not UTF-8 text", "save it as UTF-8"),
    folder("dataset.yaml in latin-1", yaml_bytes("name: Kühe".encode("latin-1")), "E-DATA-002", "is not UTF-8",
         "0xfc"),
    folder("dataset.yaml not YAML", yaml_bytes(b"format: conv2d-dataset/1\nname: [a\nrate_hz: }"), "E-DATA-002",
           "not valid YAML", "line 3", "mend that place"),
    folder("dataset.yaml nested without end", yaml_bytes(nested_yaml(5000)), "E-DATA-002", "nested",
         "mend that place"),
    folder("dataset.yaml with a tag of Python", yaml_bytes(b"name: !!python/object/apply:os.system [ls]"),
         "E-DATA-002",
           "not valid YAML", "mend that place"),
    folder("dataset.yaml with a key twice", yaml_bytes(META.to_yaml().encode() + b"rate_hz: 25\n"), "E-DATA-002",
           "key rate_hz stands in line", "mend that place"),
    folder("another format", in_yaml(format="conv2d-dataset/2"), "E-DATA-002", "conv2d-dataset/2",
         "this version reads"),
    folder("no format", in_yaml(format=...), "E-DATA-002", "no key format", "add"),
    folder("no rate", in_yaml(rate_hz=...), "E-DATA-002", "no key rate_hz", "add it"),
    folder("rate as text", in_yaml(rate_hz="50 Hz"), "E-DATA-002", "rate_hz", "'50 Hz'", "above 0"),
    folder("rate not finite", in_yaml(rate_hz=float("nan")), "E-DATA-002", "rate_hz", "nan", "above 0"),
    folder("classes not quoted", in_yaml(classes=[True, "walk"]), "E-DATA-002", "classes", "True", "quotes"),
    folder("class twice", in_yaml(classes=["sit", "walk", "sit"]), "E-DATA-002", "sit more than once", "keep one"),
    folder("sensor with a slash", in_yaml(sensors=["back/left"]), "E-DATA-002", "'back/left'", "rename it"),
    folder("a date for a name", in_yaml(classes=[{"a": 1}]), "E-DATA-002", "classes", "expected text", "quotes"),
]  # fmt: skip

LISTS = [
    folder("recordings.csv missing", lambda p: (p / "recordings.csv").unlink(), "E-DATA-001", "recordings.csv",
         "No such file"),
    folder("recordings.csv empty", csv_bytes(lambda b: b""), "E-DATA-003", "is empty", "recording, subject, n_rows"),
    folder("recordings.csv without rows", csv_bytes(lambda b: b.split(b"\n")[0]), "E-DATA-003", "lists no recording"),
    folder("recordings.csv in utf-16", csv_bytes(lambda b: b.decode().encode("utf-16")), "E-DATA-003", "UTF-8",
         "zero byte"),
    folder("recordings.csv with zero bytes", csv_bytes(lambda b: b + bytes(50)), "E-DATA-003", "zero byte", "line 4"),
    folder("recordings.csv with semicolons", csv_bytes(lambda b: b.replace(b",", b";")), "E-DATA-003",
         "no column recording",
           "';'", "commas"),
    folder("recordings.csv compressed", csv_bytes(gzip.compress), "E-DATA-003", "line 1", "UTF-8"),
    folder("quote not closed", in_csv("bello", '"bello'), "E-DATA-003", "line 3", "quote"),
    folder("field too many", in_csv("bello,bello", "bello,bello,bello"), "E-DATA-003", "line 3", "number of fields",
         "mend"),
    folder("field too few", in_csv("bello,bello", "bello"), "E-DATA-003", "line 3", "number of fields", "mend"),
    folder("recording with a path", in_csv("bello,bello", "../bello,bello"), "E-DATA-003", "line 3", "'../bello'",
         "rename it"),
    folder("recording without a name", in_csv("bello,bello", ",bello"), "E-DATA-003", "line 3", "''", "rename it"),
    folder("recording twice", in_csv("bello,bello", "rex,bello"), "E-DATA-003", "'rex' more than once", "rename one"),
    folder("no subject", in_csv("bello,bello", "bello,"), "E-DATA-003", "line 3", "no subject", "name one"),
    folder("rows as text", in_csv("100", "many"), "E-DATA-003", "line 2", "'many'", "whole number"),
    folder("rows beyond numbers", in_csv("100", "9" * 5000), "E-DATA-003", "line 2", "whole number"),
    folder("another rate in the list", in_csv(",50", ",25"), "E-DATA-007", "line 2", "25 Hz", "50 Hz", "resample"),
    folder("rate in the list as text", in_csv(",50", ",fast"), "E-DATA-003", "line 2", "'fast'", "above 0"),
    folder("very long field", in_csv("rex", "x" * 200_000), "E-DATA-003", "recordings.csv", "131072"),
]  # fmt: skip

FILES = [
    folder("file missing", lambda p: (p / "recordings" / "rex.parquet").unlink(), "E-DATA-004",
         "lacks the file of recording rex"),
    folder("file a link to itself", circle, "E-DATA-004", "lacks the file of recording rex"),
    folder("file empty", in_file(lambda b: b""), "E-DATA-004", "rex", "is empty (0 bytes)", "copy"),
    folder("file cut", in_file(lambda b: b[:-50]), "E-DATA-004", "rex", "cut off", "copy"),
    folder("file of zero bytes", in_file(lambda b: bytes(len(b))), "E-DATA-004", "rex", "not a Parquet file", "copy"),
    folder("file damaged", in_file(lambda b: b[:8] + b"\xff" * 300 + b[308:]), "E-DATA-004", "rex", "damaged",
         "copy"),
    folder("label of bytes that are no text", in_file(lambda b: b.replace(b"walk", b"w\x80lk")), "E-DATA-004", "rex",
           "damaged"),
    folder("column of bytes that are no text", in_file(lambda b: b.replace(b"acc_y", b"a\x80\xffy_")), "E-DATA-004",
           "rex"),
    folder("pointer of Git LFS", in_file(lambda b: b"version https://git-lfs.github.com/spec/v1\n"), "E-DATA-004",
         "rex",
           "git lfs pull"),
    folder("a row fewer", without_rows, "E-DATA-011", "rex", "99", "100"),
    folder("column missing", in_table(lambda t: t.drop_columns(["back/acc_y"])), "E-DATA-005",
         "no column back/acc_y", "add it"),
    folder("column as text", in_table(put("back/acc_y", ["a"] * N)), "E-DATA-005", "back/acc_y", "string",
         "convert it"),
    folder("time goes back", in_table(at("time_s", 30, 0.01)), "E-DATA-008", "from 0.58 to 0.01 in row 30",
         "sort the rows"),
    folder("time null", in_table(at("time_s", 30, None)), "E-DATA-008", "nan in row 30", "drop the row"),
    folder("time in milliseconds", in_table(put("time_s", np.arange(N) * 20.0)), "E-DATA-007", "0.05 samples",
         "50 Hz"),
    folder("infinite", in_table(at("back/acc_y", 30, float("inf"))), "E-DATA-009", "back/acc_y", "row 30", "float32"),
    folder("channel without values", in_table(put("back/acc_y", [np.nan] * N)), "E-DATA-009", "acc_y of sensor back",
         "no value"),
    folder("label unknown", in_table(at("label", 30, "fly")), "E-DATA-010", "'fly' in row 30",
         "add it to its classes"),
    folder("labels as numbers", in_table(put("label", [1] * N)), "E-DATA-005", "label", "int64", "expected text"),
]  # fmt: skip

ALONE = [
    Broken("nothing there", "recording", lambda p: Given(p / "no.parquet"), ("E-DATA-004", "no", "missing")),
    Broken("a folder", "recording", lambda p: Given(p), ("E-DATA-004", "folder")),
    alone("empty", in_file(lambda b: b""), "E-DATA-004", "is empty (0 bytes)", "copy"),
    alone("a CSV file", in_file(lambda b: b"t,ax\n1,2\n"), "E-DATA-004", "not a Parquet file",
         "conv2d data import csv"),
    alone("cut", in_file(lambda b: b[: len(b) // 2]), "E-DATA-004", "cut off", "copy"),
    alone("sensor missing", in_table(lambda t: t.drop_columns(["back/acc_x"])), "E-DATA-005", "no column back/acc_x"),
    alone("time missing", in_table(lambda t: t.drop_columns(["time_s"])), "E-DATA-005", "no column time_s"),
    alone("another rate", in_table(put("time_s", np.arange(N) / 100)), "E-DATA-007", "100 samples", "50 Hz",
         "resample"),
    alone("row doubled", in_table(at("time_s", 30, 0.58)), "E-DATA-008", "from 0.58 to 0.58 in row 30", "doubled"),
]  # fmt: skip

CASES = [*ABOUT, *LISTS, *FILES, *ALONE]
