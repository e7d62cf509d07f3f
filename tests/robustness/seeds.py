"""One small valid source for every reader, to be broken by the tests."""

import gzip
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import yaml

from ..data.importers import conftest as makers
from .corpus import Given
from .corpus_dataset import good as good_dataset
from .corpus_parquet import good as good_table_of_parquet
from .good_table import MAPPING, good_rows, mapping_with, text_of

HAVE_DEVICES = find_spec("actfast") is not None


def seed_csv(folder: Path) -> Given:
    (folder / "move.csv").write_text(text_of(good_rows()))
    return Given(folder / "move.csv", MAPPING)


def seed_csv_quoted(folder: Path) -> Given:
    rows = [{**row, "what": f'"{row["what"]}"', "dog": '"r""ex"'} for row in good_rows()]
    (folder / "move.csv").write_text(text_of(rows, ";").replace("\n", "\r\n"))
    return Given(folder / "move.csv", mapping_with(delimiter=";", quality={"again": "ax"}, meta={"test": "run"}))


def seed_csv_dates(folder: Path) -> Given:
    begin = np.datetime64("2024-05-13T14:44:00.250")
    rows = [{**row, "t": str(begin + np.timedelta64(20 * i, "ms"))} for i, row in enumerate(good_rows())]
    (folder / "move.csv").write_text(text_of(rows), encoding="utf-16")
    return Given(folder / "move.csv", mapping_with(time={"column": "t", "unit": "iso8601"}, encoding="utf-16"))


def seed_csv_gz(folder: Path) -> Given:
    (folder / "move.csv.gz").write_bytes(gzip.compress(text_of(good_rows()).encode()))
    return Given(folder / "move.csv.gz", MAPPING)


def seed_mapping(folder: Path) -> Given:
    (folder / "map.yaml").write_text(yaml.safe_dump(mapping_with(skip_rows=0, missing=["-999"], notes=["a", "b"])))
    (folder.parent / "move.csv").write_text(text_of(good_rows()))
    return Given(folder.parent / "move.csv", folder / "map.yaml")


def seed_parquet(folder: Path) -> Given:
    pq.write_table(good_table_of_parquet(), folder / "move.parquet", compression="none")
    return Given(folder / "move.parquet", MAPPING)


def seed_dataset(folder: Path) -> Given:
    return Given(good_dataset(folder))


def seed_recording(folder: Path) -> Given:
    return Given(good_dataset(folder) / "recordings" / "rex.parquet")


def numbers(path: Path, rows: np.ndarray, separator: str = " ") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(separator.join(f"{v:.6g}" for v in row) + "\n" for row in rows))


def seed_hapt(folder: Path) -> Given:
    rng = np.random.default_rng(0)
    for kind in ("acc", "gyro"):
        numbers(folder / "RawData" / f"{kind}_exp01_user01.txt", rng.normal(size=(60, 3)))
    (folder / "RawData" / "labels.txt").write_text("1 1 5 3 7\n1 1 2 20 60\n")
    return Given(folder, options={"format": "hapt"})


def seed_dogs(folder: Path) -> Given:
    signals = ",".join(f"{k}{p}_{x}" for k in "AG" for p in ("Back", "Neck") for x in "xyz")
    words = "<undefined>,{},<undefined>,<undefined>,<undefined>"
    rng = np.random.default_rng(0)
    lines = [f"DogID,TestNum,t_sec,{signals},Task,Behavior_1,Behavior_2,Behavior_3,PointEvent"]
    for i in range(300):
        values = ",".join(f"{v:.5f}" for v in rng.normal(size=12))
        lines.append(
            f"{16 + i // 150},1,{i % 150 / 100:g},{values},{words.format('Walking' if i % 90 < 50 else 'Sitting')}"
        )
    (folder / "DogMoveData.csv").write_text("\n".join(lines) + "\n")
    return Given(folder / "DogMoveData.csv", options={"format": "dogs"})


def seed_pamap2(folder: Path) -> Given:
    rows = np.random.default_rng(0).normal(size=(60, 54)).round(4)
    rows[:, 0], rows[:, 1], rows[1:, 2] = np.arange(60) / 100 + 8.38, 4, np.nan
    numbers(folder / "Protocol" / "subject101.dat", rows)
    return Given(folder, options={"format": "pamap2"})


def seed_mhealth(folder: Path) -> Given:
    rows = np.random.default_rng(0).normal(size=(60, 24)).round(4)
    rows[:, 23] = np.arange(60) // 20
    numbers(folder / "mHealth_subject1.log", rows, "\t")
    return Given(folder, options={"format": "mhealth"})


def seed_uci_har(folder: Path) -> Given:
    rng = np.random.default_rng(0)
    for split, subject in (("train", 1), ("test", 2)):
        for name in (f"{kind}_{axis}" for kind in ("total_acc", "body_gyro") for axis in "xyz"):
            signal = rng.normal(size=256).round(5)
            numbers(
                folder / split / "Inertial Signals" / f"{name}_{split}.txt",
                np.stack([signal[64 * i : 64 * i + 128] for i in range(3)]),
            )
        (folder / split / f"subject_{split}.txt").write_text(f"{subject}\n" * 3)
        (folder / split / f"y_{split}.txt").write_text("5\n" * 3)
    return Given(folder, options={"format": "uci_har"})


def seed_cwa(folder: Path) -> Given:
    (folder / "CWA-DATA.CWA").write_bytes(makers.cwa(6))
    return Given(folder / "CWA-DATA.CWA", options={"format": "cwa"})


def seed_gt3x(folder: Path) -> Given:
    path = makers.gt3x(folder / "rex.gt3x", makers.gt3x_log(range(4)))
    return Given(path, options={"format": "gt3x"})


def seed_geneactiv(folder: Path) -> Given:
    (folder / "rex.bin").write_bytes(makers.geneactiv(2))
    return Given(folder / "rex.bin", options={"format": "geneactiv"})


def seed_boris(folder: Path) -> Given:
    events = [{"what": "walk", "start": 0.2, "stop": 0.9}, {"what": "sit", "start": 0.9, "stop": 1.5}]
    (folder / "events.tsv").write_text(makers.boris(events, obs="rex"))
    return Given(folder / "events.tsv", options={"format": "boris", "data": good_dataset(folder.parent)})


def seed_elan(folder: Path) -> Given:
    (folder / "rex.eaf").write_text(makers.eaf({"behaviour": [(200, 900, "walk"), (900, 1500, "sit")]}))
    return Given(folder / "rex.eaf", options={"format": "elan", "data": good_dataset(folder.parent)})


def seed_join(folder: Path) -> Given:
    sensors = {}
    for sensor, rate in (("neck", 50.0), ("back", 26.1)):
        t = np.arange(0, 20, 1 / rate)
        rows = "".join(f"{round(s * 1e6)},{1.7e9 + s:.4f},{np.sin(s):.5f}\n" for s in t)
        (folder / f"{sensor}_rex.csv").write_text("dev,host,ax\n" + rows)
        sensors[sensor] = {
            "files": f"{sensor}_*.csv", "recording": {"from_filename": f"{sensor}_(.*)"},
            "time": {"device": {"column": "dev", "unit": "us"}, "host": "host"}, "channels": {"acc_x": "ax"},
        }  # fmt: skip
    mapping = {"name": "tiny", "sensors": sensors, "subject": {"from_filename": "_(.*)"}, "rate_hz": 25}
    return Given(folder, mapping)


def seed_join_mapping(folder: Path) -> Given:
    (folder.parent / "raw").mkdir()
    given = seed_join(folder.parent / "raw")
    (folder / "map.yaml").write_text(yaml.safe_dump(given.mapping))
    return Given(given.source, folder / "map.yaml")


# Reader in READERS, and the function that writes its source into an empty folder.
SEEDS: dict[str, tuple[str, Callable[[Path], Given]]] = {
    "csv": ("csv", seed_csv),
    "csv with quotes": ("csv", seed_csv_quoted),
    "csv with dates": ("csv", seed_csv_dates),
    "csv.gz": ("csv", seed_csv_gz),
    "mapping": ("csv", seed_mapping),
    "parquet": ("parquet", seed_parquet),
    "dataset": ("dataset", seed_dataset),
    "recording": ("recording", seed_recording),
    "join": ("join", seed_join),
    "mapping of a join": ("join", seed_join_mapping),
    **{
        name: ("format", globals()[f"seed_{name}"])
        for name in ("hapt", "dogs", "pamap2", "mhealth", "uci_har", "boris", "elan")
    },
}
if HAVE_DEVICES:
    SEEDS |= {name: ("format", globals()[f"seed_{name}"]) for name in ("cwa", "gt3x", "geneactiv")}
