"""Import of a file of the shape of DogMoveData.csv (10,611,068 rows, 45 dogs, 62 recordings): seconds and memory.

::

    python bench/python/dogs.py FOLDER [--rows N]

FOLDER needs 4 GB. The file is made once (numbers on the grid of the sensors, texts in runs of seconds, two or three of
the columns in use) and stays there; the import runs in a process of its own, whose peak memory is measured, and the
rows of each label are compared with what was written.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

ROWS = 10_611_068
DOGS = [
    16, 18, 19, 20, 21, 22, 23, *range(25, 31), 33, 34, 36, 39, 41, *range(43, 50), *range(51, 62), 63, *range(65, 69),
    70, 72, 73, 74,
]  # fmt: skip
ONLY_SECOND_TEST = {19, 22, 58, 63, 66}
N_BOTH_TESTS = 17
SIGNALS = [f"{kind}{place}_{axis}" for kind in "AG" for place in ("Back", "Neck") for axis in "xyz"]
SEVEN = ["Galloping", "Lying chest", "Sitting", "Sniffing", "Standing", "Trotting", "Walking"]
POSTURES = [*SEVEN, "Playing", "Eating", "<undefined>", "<undefined>", "Synchronization"]
ADDED = ["Panting", "Tugging", "Shaking", "Carrying object", "<undefined>", "<undefined>", "<undefined>", "Sniffing"]
TASKS = [
    "<undefined>", "Task walk", "Task trot", "Task sit", "Task stand", "Task lie down", "Task play",
    "Task treat-search",
]  # fmt: skip
IMPORT = """
import json, sys
from conv2d.data.importers.dogs import import_dogs
print(json.dumps(import_dogs(sys.argv[1], sys.argv[2]).to_dict()))
"""


def pairs() -> list[tuple[int, int]]:
    both = [dog for dog in DOGS if dog not in ONLY_SECOND_TEST][:N_BOTH_TESTS]
    tests = {dog: [1, 2] if dog in both else [2] if dog in ONLY_SECOND_TEST else [1] for dog in DOGS}
    return [(dog, test) for dog in DOGS for test in tests[dog]]


def in_runs(rng: np.random.Generator, n: int, n_values: int) -> np.ndarray:
    """Values in runs of 1 to 8 s."""
    lengths = rng.integers(100, 800, n // 100 + 1)
    return np.repeat(rng.integers(0, n_values, len(lengths)), lengths)[:n]


def recording(rng: np.random.Generator, dog: int, test: int, n: int) -> tuple[pa.Table, np.ndarray]:
    """The rows of one recording, and how many have each of the seven alone."""
    columns: dict[str, object] = {"DogID": np.full(n, dog), "TestNum": np.full(n, test)}
    columns["t_sec"] = np.round(np.arange(n) / 100, 2)
    for name in SIGNALS:
        grid, spread = (1 / 2048, 0.5) if name[0] == "A" else (2000 / 32768, 60.0)
        columns[name] = np.round(np.rint(rng.normal(0, spread, n) / grid) * grid, 6)
    posture, added, swap = in_runs(rng, n, len(POSTURES)), in_runs(rng, n, len(ADDED)), in_runs(rng, n, 2)
    words = np.array([POSTURES, [*ADDED, *[""] * (len(POSTURES) - len(ADDED))]], dtype=object)
    vocabulary = sorted({*POSTURES, *ADDED})
    index = {word: i for i, word in enumerate(vocabulary)}
    first = np.array([index[w] for w in words[0]])[posture]
    second = np.array([index[w] for w in ADDED])[added]
    behaviors = np.stack(
        [np.where(swap, first, second), np.where(swap, second, first), np.full(n, index["<undefined>"])]
    )
    texts = pa.array(vocabulary)
    columns["Task"] = pa.array(TASKS).take(pa.array(in_runs(rng, n, len(TASKS))))
    for i, numbers in enumerate(behaviors):
        columns[f"Behavior_{i + 1}"] = texts.take(pa.array(numbers))
    columns["PointEvent"] = pa.array(["<undefined>", "Bark"]).take(pa.array((rng.random(n) < 0.003).astype(np.int8)))
    seven = np.array([index[word] for word in SEVEN])
    stands = (behaviors[:, :, None] == seven).any(axis=0)
    return pa.table(columns), stands[stands.sum(axis=1) == 1].sum(axis=0)


def generate(path: Path, rows: int) -> dict[str, int]:
    rng = np.random.default_rng(0)
    names = pairs()
    share = rng.uniform(0.6, 1.4, len(names))
    borders = np.rint(np.concatenate([[0], np.cumsum(share)]) / share.sum() * rows).astype(int)
    labels = np.zeros(len(SEVEN), int)
    options = pc.WriteOptions(include_header=False, quoting_style="none")
    with path.open("wb") as file:
        for i, (dog, test) in enumerate(names):
            table, seven = recording(rng, dog, test, int(borders[i + 1] - borders[i]))
            labels += seven
            if i == 0:
                file.write((",".join(table.column_names) + "\n").encode())
            pc.write_csv(table, file, options)
    return dict(zip(SEVEN, labels.tolist(), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=ROWS)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    table, told, out = (given.folder / name for name in (f"dogs{given.rows}.csv", f"dogs{given.rows}.json", "imported"))
    if not told.exists():
        begun = time.perf_counter()
        told.write_text(json.dumps(generate(table, given.rows)))
        print(f"made {table.stat().st_size / 1e9:.2f} GB in {time.perf_counter() - begun:.0f} s")
    shutil.rmtree(out, ignore_errors=True)
    begun = time.perf_counter()
    run = subprocess.run([sys.executable, "-c", IMPORT, table, out], stdout=subprocess.PIPE, check=True, text=True)
    seconds = time.perf_counter() - begun
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = json.loads(run.stdout)
    assert (result["n_rows"], result["labels"]) == (given.rows, json.loads(told.read_text())), result
    size = sum(file.stat().st_size for file in out.rglob("*.parquet"))
    print(
        f"{result['n_rows']} rows, {result['n_recordings']} recordings, {result['n_subjects']} dogs: {seconds:.1f} s "
        f"(processor {used.ru_utime + used.ru_stime:.1f} s), peak {used.ru_maxrss / 2**20:.2f} GB, "
        f"{size / 1e9:.2f} GB written, every label counted as made"
    )


if __name__ == "__main__":
    main()
