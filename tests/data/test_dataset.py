"""The dataset folder read and written; what is wrong with one is said in a sentence."""

import csv
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conv2d.data import Dataset, Recording, write_dataset
from conv2d.data.meta import DatasetMeta
from conv2d.data.recording_file import read_recording
from conv2d.errors import DataError

META = DatasetMeta(
    name="cattle",
    title="Two cows",
    rate_hz=50.0,
    sensors=("neck", "back"),
    channels=("acc_x", "mag_x"),
    classes=("walking", "resting", "grazing"),
    units={"acc": "m/s^2", "mag": "microtesla"},
    licence="none",
    citation="Doe 2020, doi 10.1/x",
    notes=("first", "second: with a colon"),
    quality_columns=("gap_ms",),
    extra={"null_label": "empty = not annotated"},
)
N = 120


def make_recording(name="r1", subject="cow1", n=N, seed=0, **meta):
    rng = np.random.default_rng(seed)
    samples = rng.normal(size=(2, 2, n)).astype(np.float32)
    samples[:, :, 5:7] = np.nan
    return Recording(
        name, subject, 50.0, META.sensors, META.channels, np.arange(n) / 50.0, samples, rng.integers(-1, 3, n),
        META.classes, quality={"gap_ms": rng.integers(0, 90, n).astype(np.int16)}, meta=meta,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A good data set of two recordings, to be broken by a test."""
    path = tmp_path / "cattle"
    write_dataset(path, META, [make_recording("r1", "cow1", split="train"), make_recording("r2", "cow2", seed=1)])
    return path


def rewrite_yaml(path, **changes):
    content = yaml.safe_load((path / "dataset.yaml").read_text())
    content = {k: v for k, v in {**content, **changes}.items() if v is not ...}
    (path / "dataset.yaml").write_text(yaml.safe_dump(content))


def rewrite_csv(path, row=0, **changes):
    with (path / "recordings.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[row].update(changes)
    columns = [c for c in rows[0] if rows[row][c] is not ...]
    with (path / "recordings.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def rewrite_parquet(path, name="r1", drop=(), **changes):
    file = path / "recordings" / f"{name}.parquet"
    table = pq.read_table(file)
    for column, values in changes.items():
        column = column.replace("__", "/")
        if callable(values):
            values = values(table[column].to_numpy(zero_copy_only=False).copy())
        table = table.drop_columns([column]).append_column(column, pa.array(values))
    pq.write_table(table.drop_columns(list(drop)), file)


def setting(value, *rows):
    def change(values):
        values[list(rows) if rows else slice(None)] = value
        return values

    return change


def swap(values):
    values[[40, 41]] = values[[41, 40]]
    return values


def truncate(path):
    file = path / "recordings" / "r1.parquet"
    file.write_bytes(file.read_bytes()[:-200])


def corrupt_middle(path):
    file = path / "recordings" / "r1.parquet"
    content = bytearray(file.read_bytes())
    content[8:400] = b"\xff" * 392
    file.write_bytes(bytes(content))


def append_line(text):
    def change(path):
        with (path / "recordings.csv").open("a") as file:
            file.write(text + "\n")

    return change


def double_column(path):
    file = path / "recordings" / "r1.parquet"
    table = pq.read_table(file)
    pq.write_table(table.append_column("label", table["label"]), file)


DEFECTS = {
    "no yaml": (lambda p: (p / "dataset.yaml").unlink(), "E-DATA-001: cannot open .*dataset.yaml .No such file"),
    "no csv": (lambda p: (p / "recordings.csv").unlink(), "E-DATA-001: cannot open .*recordings.csv .No such file"),
    "broken yaml": (
        lambda p: (p / "dataset.yaml").write_text("format: [conv2d"),
        "E-DATA-002: .* is not valid YAML .*line 1",
    ),
    "yaml of a list": (lambda p: (p / "dataset.yaml").write_text("- a"), "E-DATA-002: .* holds a list, expected keys"),
    "yaml not text": (
        lambda p: (p / "dataset.yaml").write_bytes(b"name: \xff\xfe"),
        "E-DATA-002: .* is not UTF-8 text",
    ),
    "another format": (
        lambda p: rewrite_yaml(p, format="conv2d-dataset/9"),
        "has format 'conv2d-dataset/9', this version reads 'conv2d-dataset/1'",
    ),
    "no format": (lambda p: rewrite_yaml(p, format=...), "E-DATA-002: .* has no key format"),
    "no sensors": (lambda p: rewrite_yaml(p, sensors=...), "E-DATA-002: .* has no key sensors; add it"),
    "empty sensors": (lambda p: rewrite_yaml(p, sensors=[]), "sensors in .* is empty, expected at least one"),
    "slash in sensor": (lambda p: rewrite_yaml(p, sensors=["a/b"]), "has 'a/b', but '/' parts sensor from channel"),
    "doubled class": (lambda p: rewrite_yaml(p, classes=["a", "b", "a"]), "classes in .* names a more than once"),
    "class that YAML reads as a truth value": (
        lambda p: rewrite_yaml(p, classes=["walking", True]),
        "classes in .* has True, expected text; put it in quotes",
    ),
    "classes no list": (lambda p: rewrite_yaml(p, classes="walking"), "is 'walking', expected a list of names"),
    "rate of zero": (lambda p: rewrite_yaml(p, rate_hz=0), "rate_hz in .* is 0, expected samples per second above 0"),
    "rate as text": (lambda p: rewrite_yaml(p, rate_hz="fast"), "rate_hz in .* is 'fast', expected samples per"),
    "units no mapping": (lambda p: rewrite_yaml(p, units=["g"]), "units in .* is .'g'., expected a unit for each"),
    "csv without subject": (
        lambda p: rewrite_csv(p, subject=...),
        r"E-DATA-003: .* has no column subject \(it has recording, n_rows, rate_hz, split\)",
    ),
    "no recording": (
        lambda p: (p / "recordings.csv").write_text("recording,subject,n_rows,rate_hz\n"),
        "E-DATA-003: .* lists no recording",
    ),
    "empty csv": (
        lambda p: (p / "recordings.csv").write_text(""),
        r"is empty, expected the columns recording, subject",
    ),
    "csv not text": (lambda p: (p / "recordings.csv").write_bytes(b"\xff\x00\xfe"), "line 1 of .* holds a zero byte"),
    "doubled recording": (
        append_line(f"r1,cow9,{N},50,train"),
        "E-DATA-003: .* lists recording 'r1' more than once",
    ),
    "line too short": (append_line("r3,cow3"), "line 4 of .* has another number of fields than the header"),
    "line too long": (append_line("r3,cow3,9,50,,x,y"), "line 4 of .* has another number of fields than the header"),
    "no subject": (lambda p: rewrite_csv(p, subject=" "), "line 2 of .* gives recording r1 no subject"),
    "path out of the folder": (
        lambda p: rewrite_csv(p, recording="../../secret"),
        "line 2 of .* names recording '../../secret', expected a plain file name without path",
    ),
    "absolute path": (lambda p: rewrite_csv(p, recording="/etc/passwd"), "expected a plain file name without path"),
    "windows path": (lambda p: rewrite_csv(p, recording="..\\x"), "expected a plain file name without path"),
    "n_rows no number": (lambda p: rewrite_csv(p, n_rows="many"), "has n_rows 'many', expected a whole number"),
    "n_rows negative": (lambda p: rewrite_csv(p, n_rows="-1"), "has n_rows '-1', expected a whole number"),
    "n_rows wrong": (
        lambda p: rewrite_csv(p, n_rows="121"),
        "E-DATA-011: the file of recording r1 has 120 rows, recordings.csv says 121",
    ),
    "recording's rate no number": (lambda p: rewrite_csv(p, rate_hz="nan"), "has rate_hz 'nan', expected samples per"),
    "recording's rate another": (
        lambda p: rewrite_csv(p, rate_hz="25"),
        "E-DATA-007: line 2 of .* gives recording r1 25 Hz, dataset.yaml says 50 Hz",
    ),
    "rate of the whole set wrong": (
        lambda p: (rewrite_yaml(p, rate_hz=100), rewrite_csv(p, 0, rate_hz="100"), rewrite_csv(p, 1, rate_hz="100")),
        "E-DATA-007: recording r1 has 50 samples per second by the median step of its time_s, 100 Hz are declared",
    ),
    "recording's file missing": (
        lambda p: (p / "recordings" / "r2.parquet").unlink(),
        "E-DATA-004: .*recordings lacks the file of recording r2;",
    ),
    "truncated": (truncate, "E-DATA-004: .*r1.parquet of recording r1 is truncated or not a Parquet file"),
    "empty file": (
        lambda p: (p / "recordings" / "r1.parquet").write_bytes(b""),
        "E-DATA-004: .*r1.parquet .*truncated",
    ),
    "foreign file": (
        lambda p: (p / "recordings" / "r1.parquet").write_text("time_s,acc\n0,1\n"),
        "E-DATA-004: .*r1.parquet of recording r1 is truncated or not a Parquet file",
    ),
    "corrupt pages": (corrupt_middle, "E-DATA-004: .*r1.parquet of recording r1 is truncated or not a Parquet file"),
    "signal column missing": (
        lambda p: rewrite_parquet(p, drop=["neck/mag_x"]),
        r"E-DATA-005: recording r1 has no column neck/mag_x \(it has time_s, neck/acc_x",
    ),
    "label column missing": (lambda p: rewrite_parquet(p, drop=["label"]), "E-DATA-005: .* has no column label"),
    "column doubled": (double_column, "E-DATA-005: recording r1 has column label more than once"),
    "signal as text": (
        lambda p: rewrite_parquet(p, neck__acc_x=["1.0"] * N),
        "E-DATA-005: column neck/acc_x of recording r1 is of type string, expected numbers",
    ),
    "labels as numbers": (
        lambda p: rewrite_parquet(p, label=[1] * N),
        "E-DATA-005: column label of recording r1 is of type int64, expected text",
    ),
    "labels as fractions": (
        lambda p: rewrite_parquet(p, label=[np.nan] * (N - 1) + [1.5]),
        "E-DATA-005: column label of recording r1 is of type double, expected text",
    ),
    "time as dates": (
        lambda p: rewrite_parquet(p, time_s=np.arange(N).astype("datetime64[ms]")),
        r"E-DATA-005: column time_s of recording r1 is of type timestamp\[ms\], expected numbers",
    ),
    "time missing in a row": (
        lambda p: rewrite_parquet(p, time_s=setting(np.nan, 17)),
        "E-DATA-008: recording r1 has time_s nan in row 17, expected seconds",
    ),
    "time going back": (
        lambda p: rewrite_parquet(p, time_s=swap),
        "E-DATA-008: time_s of recording r1 goes from 0.82 to 0.8 in row 41, expected increasing seconds",
    ),
    "time standing still": (
        lambda p: rewrite_parquet(p, time_s=setting(0.2, 11)),
        "E-DATA-008: time_s of recording r1 goes from 0.2 to 0.2 in row 11",
    ),
    "channel without a value": (
        lambda p: rewrite_parquet(p, back__mag_x=setting(np.nan)),
        "E-DATA-009: channel mag_x of sensor back in recording r1 has no value though the sensor has data; select the "
        "other channels with data.channels",
    ),
    "no sensor with a value": (
        lambda p: rewrite_parquet(p, **{c.replace("/", "__"): setting(np.nan) for c in META.columns}),
        "E-DATA-009: recording r1 has no value in any channel of neck, back",
    ),
    "infinite value": (
        lambda p: rewrite_parquet(p, back__acc_x=setting(np.inf, 99)),
        "E-DATA-009: column back/acc_x of recording r1 is infinite in row 99",
    ),
    "value beyond float32": (
        lambda p: rewrite_parquet(p, back__acc_x=lambda v: setting(1e300, 99)(v.astype(np.float64))),
        "E-DATA-009: column back/acc_x of recording r1 is infinite in row 99",
    ),
    "unknown label": (
        lambda p: rewrite_parquet(p, label=setting("flying", 30, 31)),
        "E-DATA-010: recording r1 has label 'flying' in row 30, dataset.yaml names walking, resting, grazing; add it",
    ),
}


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_defect_is_said_in_one_sentence(folder, defect):
    damage, message = DEFECTS[defect]
    damage(folder)
    with pytest.raises(DataError, match=message) as caught:
        list(Dataset.open(folder).load_all())
    text = str(caught.value)
    assert re.match(r"E-DATA-\d{3}: ", text)
    assert "\n" not in text
    assert caught.value.exit_code == 3


def test_a_file_and_a_missing_folder_are_no_data_set(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(DataError, match=r"E-DATA-001: .*x is a file, expected the folder of a data set"):
        Dataset.open(tmp_path / "x")
    with pytest.raises(DataError, match=r"E-DATA-001: .*y does not exist, expected the folder"):
        Dataset.open(tmp_path / "y")


def test_what_was_written_is_read_back(folder):
    data = Dataset.open(folder)
    assert data.meta == META
    assert data.subjects == ("cow1", "cow2")
    assert [(r.recording, r.subject, r.n_rows, r.rate_hz) for r in data.table] == [
        ("r1", "cow1", N, 50.0),
        ("r2", "cow2", N, 50.0),
    ]
    assert [r.meta["split"] for r in data.table] == ["train", ""]
    for got, expected in zip(
        data.load_all(), [make_recording("r1"), make_recording("r2", "cow2", seed=1)], strict=True
    ):
        np.testing.assert_array_equal(got.samples, expected.samples)
        np.testing.assert_array_equal(got.time_s, expected.time_s)
        np.testing.assert_array_equal(got.labels, expected.labels)
        np.testing.assert_array_equal(got.quality["gap_ms"], expected.quality["gap_ms"])
        assert (got.samples.dtype, got.labels.dtype) == (np.float32, np.int64)
        assert got.samples.flags.c_contiguous
        assert got.meta["recording"] == got.name


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    samples=hnp.arrays(np.float32, st.tuples(st.just(1), st.just(2), st.integers(0, 12)), elements=st.floats(width=32)),
    data=st.data(),
)
def test_any_recording_that_may_be_written_is_read_back(tmp_path_factory, samples, data):
    n = samples.shape[2]
    samples[np.isinf(samples)] = 0
    if n:
        samples[0, 0, 0] = 1.0  # something is measured
    labels = data.draw(hnp.arrays(np.int64, n, elements=st.integers(-1, 1)))
    meta = DatasetMeta("x", 20.0, ("ä b", "c"), ("x",), ('sitzt, oder "steht"', "läuft"))
    recording = Recording(
        "1", "007", 20.0, meta.sensors, meta.channels, np.arange(n) / 20, samples, labels, meta.classes
    )
    path = tmp_path_factory.mktemp("any") / "set"
    write_dataset(path, meta, [recording])
    read = Dataset.open(path)
    got = read.load("1")
    assert (read.meta, got.subject) == (meta, "007")
    np.testing.assert_array_equal(got.samples, samples)
    np.testing.assert_array_equal(got.labels, labels)


def test_sensors_and_channels_are_selected_in_the_order_asked_for(folder):
    data = Dataset.open(folder)
    whole = data.load("r1")
    part = data.load("r1", sensors=["back", "neck"], channels=["mag_x"])
    assert (part.sensors, part.channels) == (("back", "neck"), ("mag_x",))
    np.testing.assert_array_equal(part.samples, whole.samples[1:, ::-1])


def test_what_is_not_there_cannot_be_selected(folder):
    data = Dataset.open(folder)
    with pytest.raises(
        DataError,
        match=r"E-DATA-006: asked for channel gyr_x of sensor back, the data set has acc_x, mag_x; "
        r"select with data.channels",
    ):
        data.load("r1", sensors=["back"], channels=["acc_x", "gyr_x"])
    with pytest.raises(
        DataError, match=r"asked for sensor tail, the data set has neck, back; select with data.sensors"
    ):
        data.load("r1", sensors=["tail"])
    with pytest.raises(DataError, match="asked for channel acc_x more than once"):
        data.load("r1", channels=["acc_x", "acc_x"])
    with pytest.raises(DataError, match="asked for no sensor, expected at least one of neck, back"):
        data.load("r1", sensors=[])
    with pytest.raises(DataError, match=r"asked for recording r2b, .* has 2 others \(did you mean r2\?\)"):
        data.load("r2b")
    with pytest.raises(DataError, match="asked for subject cow7, data set cattle has cow1, cow2"):
        list(data.load_all(subjects=["cow1", "cow7"]))


def test_a_channel_left_out_may_be_without_values(folder):
    rewrite_parquet(folder, back__mag_x=setting(np.nan))
    assert Dataset.open(folder).load("r1", channels=["acc_x"]).samples.shape == (1, 2, N)


def test_a_missing_sensor_is_allowed(folder):
    rewrite_parquet(folder, back__mag_x=setting(np.nan), back__acc_x=setting(np.nan))
    samples = Dataset.open(folder).load("r1").samples
    assert np.isnan(samples[:, 1]).all()
    with pytest.raises(DataError, match=r"recording r1 has no value in any channel of back; .* data.sensors"):
        Dataset.open(folder).load("r1", sensors=["back"])


def test_labels_outside_the_classes_asked_for_are_masked(folder):
    data = Dataset.open(folder)
    whole = data.load("r1")
    part = data.load("r1", classes=["grazing", "walking", "trotting"])
    np.testing.assert_array_equal(part.labels, np.array([1, -1, 0, -1])[whole.labels])
    assert part.classes == ("grazing", "walking", "trotting")


@pytest.mark.parametrize(
    "labels",
    [
        pa.nulls(N),
        pa.array([None] * N, pa.string()),
        pa.array([np.nan] * N),
        pa.array([""] * N),
        pa.array([None] * N, pa.dictionary(pa.int8(), pa.string())),
    ],
    ids=["null", "string", "double", "empty", "dictionary"],
)
def test_a_recording_without_annotation(folder, labels):
    rewrite_parquet(folder, label=labels)
    assert (Dataset.open(folder).load("r1").labels == -1).all()


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_labels_of_any_text_type(folder, kind):
    words = ["walking", None, "grazing"] * (N // 3)
    rewrite_parquet(folder, label=pa.array(words, pa.string()).cast(kind))
    assert Dataset.open(folder).load("r1").labels[:3].tolist() == [0, -1, 2]


def test_labels_over_several_row_groups(folder):
    file = folder / "recordings" / "r1.parquet"
    before = Dataset.open(folder).load("r1").labels
    pq.write_table(pq.read_table(file), file, row_group_size=7)
    np.testing.assert_array_equal(Dataset.open(folder).load("r1").labels, before)
    rewrite_parquet(folder, label=setting("flying", 101))
    pq.write_table(pq.read_table(file), file, row_group_size=7)
    with pytest.raises(DataError, match="label 'flying' in row 101"):
        Dataset.open(folder).load("r1")


def test_a_word_in_the_dictionary_that_no_row_uses_is_no_label(folder):
    words = pa.DictionaryArray.from_arrays(pa.array([0] * N, pa.int8()), pa.array(["walking", "flying"]))
    rewrite_parquet(folder, label=words)
    assert (Dataset.open(folder).load("r1").labels == 0).all()


def test_a_clock_that_drifts_by_less_than_two_per_cent_is_no_error(folder):
    rewrite_parquet(folder, time_s=lambda t: t * 1.015)
    assert Dataset.open(folder).load("r1").rate_hz == 50.0
    rewrite_parquet(folder, time_s=lambda t: t * 1.03)
    with pytest.raises(DataError, match="E-DATA-007"):
        Dataset.open(folder).load("r1")


def test_a_gap_is_no_error(folder):
    rewrite_parquet(folder, time_s=lambda t: t + 3600 * (t > 1))
    assert Dataset.open(folder).load("r1").duration_s > 3600


@pytest.mark.parametrize("n", [0, 1])
def test_a_recording_of_no_or_one_sample(tmp_path, n):
    meta = DatasetMeta("x", 50.0, ("neck",), ("x",), ("a",))
    empty = Recording("r", "s", 50.0, ("neck",), ("x",), np.arange(n) / 50, np.zeros((1, 1, n), "f4"),
                      np.zeros(n, np.int64), ("a",))  # fmt: skip
    write_dataset(tmp_path / "x", meta, [empty])
    got = Dataset.open(tmp_path / "x").load("r")
    assert (got.n_samples, got.samples.shape, got.duration_s) == (n, (1, 1, n), n / 50)


def test_a_recording_that_lies_alone_needs_no_label(folder):
    rewrite_parquet(folder, drop=["label"])
    path = folder / "recordings" / "r1.parquet"
    how = {"sensors": ["neck"], "channels": ["acc_x"], "rate_hz": 50.0, "known_classes": ["a"]}
    recording = read_recording(path, **(how | {"known_classes": None}))
    assert (recording.name, set(recording.labels.tolist())) == ("r1", {-1})
    with pytest.raises(DataError, match="has no column label"):
        read_recording(path, **how)
    with pytest.raises(DataError, match=r"E-DATA-004: the file of recording r9 is missing \(.*r9.parquet\)"):
        read_recording(folder / "r9.parquet", **how)


def test_the_hash_follows_the_content_and_nothing_else(folder, tmp_path):
    before = Dataset.open(folder).sha256()
    moved = folder.rename(tmp_path / "moved")
    assert Dataset.open(moved).sha256() == before
    (moved / "readme.txt").write_text("not part of it")
    assert Dataset.open(moved).sha256() == before
    rewrite_parquet(moved, "r2", label=setting("walking", 3))
    changed = Dataset.open(moved).sha256()
    assert changed != before
    rewrite_csv(moved, subject="cow3")
    assert Dataset.open(moved).sha256() not in {before, changed}


def test_a_dataset_yaml_with_a_byte_order_mark_in_the_csv(folder):
    text = (folder / "recordings.csv").read_text()
    (folder / "recordings.csv").write_text(text, encoding="utf-8-sig")
    assert len(Dataset.open(folder).table) == 2


def test_a_recording_checks_its_arrays():
    with pytest.raises(ValueError, match=r"samples of recording r have shape \(1, 2, 3\), expected \(2, 1, 3\)"):
        Recording("r", "s", 1.0, ("a",), ("x", "y"), np.arange(3.0), np.zeros((1, 2, 3), "f4"), np.zeros(3, int), ())
    with pytest.raises(ValueError, match="labels of recording r has 2 values, expected 3"):
        Recording("r", "s", 1.0, ("a",), ("x",), np.arange(3.0), np.zeros((1, 1, 3), "f4"), np.zeros(2, int), ())
