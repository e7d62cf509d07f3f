"""Broken files of published sets, devices and annotation tools, and of sensors to be joined."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from ..data.importers import conftest as makers
from .corpus import Broken, Given
from .seeds import HAVE_DEVICES, SEEDS

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


def damaged(seed: str, name: str, damage: Callable[[Path], object], *words: str, **options: Any) -> Broken:
    """The seed of a format with its files damaged; ``options`` are added to those of the import."""

    def make(folder: Path) -> Given:
        (folder / "in").mkdir()
        given = SEEDS[seed][1](folder / "in")
        damage(folder / "in")
        return Given(given.source, given.mapping, given.options | options)

    return Broken(f"{seed}: {name}", SEEDS[seed][0], make, words)


def put(file: str, content: bytes | str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        (folder / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    return damage


def remove(file: str) -> Callable[[Path], object]:
    return lambda folder: (folder / file).unlink()


def bytes_of(file: str, change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda folder: (folder / file).write_bytes(change((folder / file).read_bytes()))


def replace(file: str, old: str, new: str, count: int = 1) -> Callable[[Path], object]:
    def change(data: bytes) -> bytes:
        assert old.encode() in data
        return data.replace(old.encode(), new.encode(), count)

    return bytes_of(file, change)


def line(file: str, number: int, change: Callable[[str], str]) -> Callable[[Path], object]:
    """Change a line, counted from 1."""

    def damage(folder: Path) -> None:
        lines = (folder / file).read_text().split("\n")
        lines[number - 1] = change(lines[number - 1])
        (folder / file).write_text("\n".join(lines))

    return damage


def field(file: str, number: int, index: int, new: str, separator: str = " ") -> Callable[[Path], object]:
    def change(text: str) -> str:
        fields = text.split(separator)
        fields[index] = new
        return separator.join(fields)

    return line(file, number, change)


ACC, GYRO, LABELS = "RawData/acc_exp01_user01.txt", "RawData/gyro_exp01_user01.txt", "RawData/labels.txt"
DOGS, PAMAP2, MHEALTH = "DogMoveData.csv", "Protocol/subject101.dat", "mHealth_subject1.log"
SIGNAL = "train/Inertial Signals/total_acc_y_train.txt"

PUBLISHED = [
    damaged("hapt", "gyroscope missing", remove(GYRO), "E-DATA-016", "gyro_exp01_user01.txt is not", "expected both"),
    damaged("hapt", "labels missing", remove(LABELS), "E-DATA-016", "labels.txt"),
    damaged("hapt", "empty file", put(ACC, b""), "E-DATA-016", "acc_exp01_user01.txt", "empty"),
    damaged("hapt", "number that is none", field(ACC, 7, 1, "x"), "E-DATA-016", "'x'",
            "line 7 of acc_exp01_user01.txt"),
    damaged("hapt", "value missing", field(ACC, 7, 1, ""), "E-DATA-016", "line 7 of acc_exp01_user01.txt"),
    damaged("hapt", "decimal commas", bytes_of(ACC, lambda b: b.replace(b".", b",")), "E-DATA-016",
            "line 1 of acc_exp01_user01"),
    damaged("hapt", "label beyond the end", replace(LABELS, "20 60", "20 99"), "E-DATA-016", "labels.txt", "99"),
    damaged("hapt", "label that ends before it begins", replace(LABELS, "20 60", "20 9"), "E-DATA-016", "labels.txt",
            "20"),
    damaged("hapt", "activity unknown", replace(LABELS, "1 1 5", "1 1 77"), "E-DATA-016", "labels.txt", "77"),
    damaged("hapt", "pointer of Git LFS", put(ACC, LFS), "E-DATA-016", "acc_exp01_user01.txt", "git lfs pull"),
    damaged("dogs", "column missing", replace(DOGS, "GNeck_z", "Neck_z"), "E-DATA-016", "GNeck_z"),
    damaged("dogs", "word for a number", field(DOGS, 9, 5, "x", ","), "E-DATA-016", "'x'", "line 9"),
    damaged("dogs", "line cut", line(DOGS, 9, lambda t: t[:40]), "E-DATA-016", "line 9"),
    damaged("dogs", "time goes back", field(DOGS, 9, 2, "0.01", ","), "E-DATA-016", "t_sec", "0.01", "9"),
    damaged("dogs", "semicolons", bytes_of(DOGS, lambda b: b.replace(b",", b";")), "E-DATA-016", "one column"),
    damaged("dogs", "empty", put(DOGS, b""), "E-DATA-016", "empty"),
    damaged("dogs", "web page", put(DOGS, b"<!DOCTYPE html><html>"), "E-DATA-016", "web page", "get the file itself"),
    damaged("pamap2", "column fewer", line(PAMAP2, 5, lambda t: t.rsplit(" ", 1)[0]), "E-DATA-016", "53", "54",
            "line 5 of subject101.dat"),
    damaged("pamap2", "decimal commas", bytes_of(PAMAP2, lambda b: b.replace(b".", b",")), "E-DATA-016",
            "subject101.dat", "line 1"),
    damaged("pamap2", "activity unknown", field(PAMAP2, 5, 1, "14"), "E-DATA-016", "14", "line 5"),
    damaged("pamap2", "time goes back", field(PAMAP2, 5, 0, "1.00"), "E-DATA-016", "subject101.dat", "line 5"),
    damaged("pamap2", "binary", put(PAMAP2, bytes(range(256)) * 20), "E-DATA-016", "subject101.dat"),
    damaged("mhealth", "label unknown", field(MHEALTH, 5, 23, "13", "\t"), "E-DATA-016", "13", "line 5"),
    damaged("mhealth", "column fewer", line(MHEALTH, 5, lambda t: t.rsplit("\t", 1)[0]), "E-DATA-016", "23", "24",
            "line 5"),
    damaged("mhealth", "empty line within", line(MHEALTH, 5, lambda t: ""), "E-DATA-016", "line 5"),
    damaged("uci_har", "signal missing", remove(SIGNAL), "E-DATA-016", "total_acc_y_train.txt"),
    damaged("uci_har", "value fewer", line(SIGNAL, 2, lambda t: t.rsplit(" ", 1)[0]), "E-DATA-016", "127", "128",
            "line 2"),
    damaged("uci_har", "subjects one short", put("train/subject_train.txt", "1\n1\n"), "E-DATA-016",
            "subject_train.txt", "2"),
    damaged("uci_har", "subject beyond numbers", put("train/subject_train.txt", "9" * 30 + "\n1\n1\n"), "E-DATA-016",
            "1e+30", "line 1 of subject_train.txt", "whole number"),
    damaged("uci_har", "activity unknown", put("train/y_train.txt", "5\n5\n9\n"), "E-DATA-016", "y_train.txt", "9"),
]  # fmt: skip


def without(archive: str, member: str) -> Callable[[Path], object]:
    def damage(folder: Path) -> None:
        with zipfile.ZipFile(folder / archive) as old:
            members = {n: old.read(n) for n in old.namelist() if n != member}
        with zipfile.ZipFile(folder / archive, "w") as new:
            for name, content in members.items():
                new.writestr(name, content)

    return damage


def backwards(folder: Path) -> None:
    pages = [makers.geneactiv_page(0, 60), makers.geneactiv_page(1, 0)]
    (folder / "rex.bin").write_bytes(makers.geneactiv_header() + b"".join(pages))


CWA, GT3X, GENEACTIV = "CWA-DATA.CWA", "rex.gt3x", "rex.bin"

DEVICES = [
    damaged("cwa", "empty", put(CWA, b""), "E-DATA-018", "CWA-DATA.CWA", "begin with MD"),
    damaged("cwa", "two letters", put(CWA, b"MD"), "E-DATA-018", "ends within its header", "download it"),
    damaged("cwa", "header only", bytes_of(CWA, lambda b: b[:1024]), "E-DATA-018", "no block of samples",
            "download it"),
    damaged("cwa", "text", put(CWA, b"t,ax,ay\n1,2,3\n"), "E-DATA-018", "CWA-DATA.CWA", "begin with MD"),
    damaged("cwa", "all checksums wrong", bytes_of(CWA, lambda b: b[:1024] + bytes(c ^ (i % 512 == 40) for i,
            c in enumerate(b[1024:]))),
            "E-DATA-018", "checksum"),
    damaged("cwa", "zero bytes", bytes_of(CWA, lambda b: bytes(len(b))), "E-DATA-018", "CWA-DATA.CWA",
            "begin with MD"),
    damaged("gt3x", "empty", put(GT3X, b""), "E-DATA-018", "no whole .gt3x archive", "copy or download"),
    damaged("gt3x", "archive cut", bytes_of(GT3X, lambda b: b[: len(b) // 2]), "E-DATA-018",
            "no whole .gt3x archive", "copy or download"),
    damaged("gt3x", "no log.bin", without(GT3X, "log.bin"), "E-DATA-018", "log.bin"),
    damaged("gt3x", "no info.txt", without(GT3X, "info.txt"), "E-DATA-018", "info.txt"),
    damaged("gt3x", "no activity", lambda p: makers.gt3x(p / GT3X, b""), "E-DATA-018", "holds no sample",
            "leave it out"),
    damaged("gt3x", "text", put(GT3X, b"Sample Rate: 30\n"), "E-DATA-018", "rex.gt3x"),
    damaged("geneactiv", "empty", put(GENEACTIV, b""), "E-DATA-018", "'Device Identity'", "name another"),
    damaged("geneactiv", "header only", put(GENEACTIV, makers.geneactiv_header()), "E-DATA-018", "'Recorded Data'",
            "download it"),
    damaged("geneactiv", "no calibration", put(GENEACTIV,
            makers.geneactiv_header(x_gain=None) + makers.geneactiv_page(0, 0)), "E-DATA-018", "x gain"),
    damaged("geneactiv", "gain of nothing", put(GENEACTIV,
            makers.geneactiv_header(x_gain="0") + makers.geneactiv_page(0, 0)), "E-DATA-018", "x gain"),
    damaged("geneactiv", "another file", put(GENEACTIV, bytes(range(256)) * 30), "E-DATA-018", "rex.bin"),
]  # fmt: skip

EVENTS, EAF = "events.tsv", "rex.eaf"

ANNOTATIONS = [
    damaged("boris", "empty", put(EVENTS, b""), "E-DATA-019", "events.tsv", "no header", "export"),
    damaged("boris", "no column Behavior", replace(EVENTS, "Behavior\t", "Act\t"), "E-DATA-019", "events.tsv",
            "Behavior", "export"),
    damaged("boris", "ends before it begins", put(EVENTS, makers.boris([{"what": "walk", "start": 2.0, "stop": 1.0}],
            obs="rex")),
            "E-DATA-019", "events.tsv"),
    damaged("boris", "states that overlap", put(EVENTS, makers.boris(
        [{"what": "walk", "start": 0.0, "stop": 1.0}, {"what": "sit", "start": 0.5, "stop": 1.5}], obs="rex")),
        "E-DATA-019", "walk", "sit"),
    damaged("boris", "observation of no recording", put(EVENTS, makers.boris([{"what": "walk", "start": 0.0,
            "stop": 1.0}], obs="cat")),
            "E-DATA-019", "cat"),
    damaged("boris", "start that is none", replace(EVENTS, "0.2", "soon"), "E-DATA-019", "soon"),
    damaged("elan", "empty", put(EAF, b""), "E-DATA-019", "rex.eaf", "not whole XML", "save it again"),
    damaged("elan", "cut", bytes_of(EAF, lambda b: b[: len(b) // 2]), "E-DATA-019", "rex.eaf", "not whole XML",
            "line 10"),
    damaged("elan", "slot that is not there", replace(EAF, 'TIME_SLOT_REF1="ts200"', 'TIME_SLOT_REF1="ts9"'),
            "E-DATA-019", "ts9"),
    damaged("elan", "bomb of entities", replace(EAF, "<ANNOTATION_DOCUMENT",
            '<!DOCTYPE a [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]><ANNOTATION_DOCUMENT'),
            "E-DATA-019", "rex.eaf"),
    damaged("elan", "no XML", put(EAF, b"walk 0 1\n"), "E-DATA-019", "rex.eaf"),
]  # fmt: skip


def joined(name: str, change: Callable[[dict[str, Any]], object], *words: str) -> Broken:
    """The seed of a join with its mapping changed."""

    def make(folder: Path) -> Given:
        given = SEEDS["join"][1](folder)
        mapping = yaml.safe_load(yaml.safe_dump(given.mapping))
        change(mapping)
        return Given(given.source, mapping)

    return Broken(f"join: {name}", "join", make, words)


NECK = "neck_rex.csv"

JOIN = [
    damaged("join", "one sensor's file missing", remove("back_rex.csv"), "E-DATA-016", "no file back_*.csv",
            "name the"),
    damaged("join", "column missing", replace(NECK, "host", "hist"), "E-DATA-016", "'host'", "did you mean hist?"),
    damaged("join", "word for a number", field(NECK, 9, 2, "x", ","), "E-DATA-016", "'x'", "line 9 of neck_rex.csv"),
    damaged("join", "line cut", line(NECK, 9, lambda t: t[:9]), "E-DATA-016", "line 9 of neck_rex.csv"),
    damaged("join", "empty", put(NECK, b""), "E-DATA-016", "neck_rex.csv is empty"),
    damaged("join", "header only", put(NECK, b"dev,host,ax\n"), "E-DATA-020", "neck in recording rex", "no two rows",
            "leave it out"),
    damaged("join", "sensors of other days", bytes_of(NECK, lambda b: b.replace(b",17000", b",18000")), "E-DATA-020",
            "do not overlap", "neck from 18", "back from 17", "offset_s"),
    damaged("join", "UTF-16", bytes_of(NECK, lambda b: b.decode().encode("utf-16")), "E-DATA-016", "neck_rex.csv",
            "encoding: utf-16"),
    joined("no sensors", lambda m: m.pop("sensors"), "E-DATA-021", "no key sensors", "add it"),
    joined("rate of nothing", lambda m: m.update(rate_hz=0), "E-DATA-021", "rate_hz", "is 0", "greater than 0"),
    joined("key misspelt", lambda m: m.update(sensor={}), "E-DATA-021", "unknown key 'sensor'", "did you mean"),
]  # fmt: skip

CASES = [*PUBLISHED, *(DEVICES if HAVE_DEVICES else []), *ANNOTATIONS, *JOIN]
