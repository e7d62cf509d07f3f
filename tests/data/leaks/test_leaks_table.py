"""Reading a data set into labelled windows, against plain loops over its samples."""

import numpy as np
import pytest

from conv2d.config import parse_config
from conv2d.data import Dataset, Recording, write_dataset
from conv2d.data.leaks import Cutting, measure_leaks
from conv2d.data.leaks.table import read_table
from conv2d.data.meta import DatasetMeta
from conv2d.errors import DataError, UsageError

CLASSES = ("walk", "rest", "eat")
RATE = 10.0


def make(name, subject, n, seed, *, label=None, quality=True, gap=None, missing=None):
    rng = np.random.default_rng(seed)
    time_s = 100.0 + np.arange(n) / RATE
    if gap:
        time_s[gap:] += 7.0
    samples = rng.normal(size=(3, 2, n)).astype(np.float32)
    if missing:
        samples[:, 1, missing[0] : missing[1]] = np.nan
    labels = np.repeat(rng.integers(-1, 3, -(-n // 15)), 15)[:n] if label is None else np.full(n, label)
    more = {"gap_ms": rng.random(n)} if quality else {}
    meta = {"place": "barn" if seed % 2 else "field", "start": f"2024-05-0{1 + seed % 3} 08:30:00"}
    return Recording(
        name, subject, RATE, ("back", "neck"), ("acc_x", "acc_y", "acc_z"), time_s, samples, labels, CLASSES, more, meta
    )


def write(path, recordings, name):
    meta = DatasetMeta(name, RATE, ("back", "neck"), ("acc_x", "acc_y", "acc_z"), CLASSES, quality_columns=("gap_ms",))
    write_dataset(path, meta, recordings)
    return Dataset.open(path)


@pytest.fixture
def dataset(tmp_path):
    recordings = [
        make("r3", "b", 205, 1),
        make("r1", "a", 170, 3, missing=(40, 95)),
        make("r2", "a", 133, 2, gap=57),
        make("r4", "b", 12, 4),  # shorter than a window
        make("r5", "c", 90, 5, quality=False),
        make("r6", "c", 90, 6, label=-1),
    ]
    return write(tmp_path / "set", recordings, "set")


def test_windows_are_those_of_a_plain_loop(dataset):
    cutting = Cutting.of(dataset)
    assert (cutting.window, cutting.rule) == (20, "centre")
    table = read_table(dataset, cutting)
    at = 0
    for r, row in enumerate(table.rows):
        recording = dataset.load(row.recording)
        n, time_s = recording.n_samples, recording.time_s
        for start in range(0, n - 19, 20):
            if np.diff(time_s[start : start + 20]).max() > 0.15 or recording.labels[start + 10] < 0:
                continue
            block = recording.samples[:, :, start : start + 20]
            assert table.label[at] == recording.labels[start + 10]
            assert (table.recording[at], table.subjects[table.subject[at]]) == (r, row.subject)
            length = time_s[-1] - time_s[0] + 0.1
            centre = time_s[start] - time_s[0] + 1.0
            assert table.share[at] == pytest.approx(centre / length)
            assert table.from_start_s[at] == pytest.approx(centre)
            assert table.from_end_s[at] == pytest.approx(length - centre)
            missing = np.isnan(block)
            assert table.missing_share[at] == pytest.approx(missing.mean())
            for f, column in enumerate(table.columns):
                sensor, channel = column.split("/")
                own = block[recording.channels.index(channel), recording.sensors.index(sensor)]
                known = own[~np.isnan(own)]
                assert table.missing[at, f] == (len(known) <= 10)
                if len(known):
                    assert table.means[at, f] == pytest.approx(known.mean(), abs=1e-6)
                else:
                    assert np.isnan(table.means[at, f])
            if row.recording == "r5":
                assert np.isnan(table.quality[at, 0])
            else:
                own = recording.quality["gap_ms"][start : start + 20].mean()
                assert table.quality[at, 0] == pytest.approx(own, abs=1e-6)
            at += 1
    assert at == len(table.label)
    assert (table.share >= 0).all()
    assert (table.share <= 1).all()


def test_recordings_stand_by_subject_and_start_and_empty_ones_are_left_out(dataset):
    table = read_table(dataset, Cutting.of(dataset))
    # r1 starts on the first of May, r2 on the third; r4 is too short and r6 has no label.
    assert [row.recording for row in table.rows] == ["r1", "r2", "r3", "r5"]
    assert table.subject_of.tolist() == [0, 0, 1, 2]
    assert (table.start[0].day, table.start[1].hour) == (1, 8)
    assert table.unlabelled > 0
    assert [runs.min() >= 0 for runs in table.runs] == [True] * 4


def test_a_column_can_be_the_target(dataset):
    table = read_table(dataset, Cutting.of(dataset), "place")
    assert table.classes == ("barn", "field")
    # r6 has no label, and a place.
    names = {row.recording: row.meta["place"] for row in table.rows}
    assert "r6" in names
    for r, row in enumerate(table.rows):
        assert {table.classes[k] for k in table.label[table.recording == r]} == {names[row.recording]}
    assert table.one_label_each


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("plaec", "E-DATA-023: asked for the target plaec, data set set has label, subject, place, start; name one"),
        ("n_rows", "E-DATA-023: asked for the target n_rows"),
    ],
)
def test_a_target_that_is_not_there(dataset, target, told):
    with pytest.raises(DataError) as error:
        measure_leaks(dataset, target)
    assert str(error.value).startswith(told)


def test_one_class_one_subject_and_too_many_values_are_refused(tmp_path):
    one = [make(f"r{i}", f"s{i}", 60, i, label=1) for i in range(3)]
    data = write(tmp_path / "class", one, "one")
    with pytest.raises(DataError, match=r"E-DATA-023: the windows of one have 1 classes of label \(rest\), expected 2"):
        measure_leaks(data)
    alone = [make(f"r{i}", "s", 60, i, label=i) for i in range(3)]
    data = write(tmp_path / "subject", alone, "alone")
    with pytest.raises(
        DataError, match=r"E-DATA-023: alone has labelled windows of 1 subject \(s\), expected 2 or more"
    ):
        measure_leaks(data)
    none = [make(f"r{i}", f"s{i}", 60, i, label=-1) for i in range(3)]
    data = write(tmp_path / "none", none, "none")
    with pytest.raises(DataError, match=r"E-DATA-023: the windows of none have 0 classes of label \(none\)"):
        measure_leaks(data)
    many = [make(f"r{i}", f"s{i}", 25, i) for i in range(51)]
    for i, recording in enumerate(many):
        recording.meta["place"] = f"place {i}"
    data = write(tmp_path / "many", many, "many")
    with pytest.raises(DataError, match="E-DATA-023: column place has 51 different values, expected at most 50"):
        measure_leaks(data, "place")
    with pytest.raises(UsageError, match="got 50 draws, expected 399 or more"):
        measure_leaks(data, draws=50)


def test_windows_are_those_of_an_experiment(dataset):
    data = {
        "name": "set", "sampling_rate": 10, "window_size": 30, "label_rule": "pure", "sensors": ["neck"],
        "channels": ["acc_y"], "classes": ["eat", "walk"],
        "corrections": [{"where": "flag", "columns": ["neck/*"], "divide": 2}],
    }  # fmt: skip
    for row in dataset.table:
        row.meta["flag"] = "True" if row.recording == "r3" else "False"
    settings = parse_config({"name": "x", "data": data}).data
    cutting = Cutting.of(dataset, settings, "x")
    assert (cutting.window, cutting.rule, cutting.sensors, cutting.channels) == (30, "pure", ("neck",), ("acc_y",))
    assert Cutting.of(dataset, settings, "x", window_s=1.5).window == 15
    assert Cutting.of(dataset, window_s=1.5).window == 15
    table = read_table(dataset, cutting)
    assert (table.classes, table.columns) == (("eat", "walk"), ("neck/acc_y",))
    r = [row.recording for row in table.rows].index("r3")
    first = table.means[table.recording == r][0, 0]
    recording = dataset.load("r3", sensors=["neck"], channels=["acc_y"], classes=["eat", "walk"])
    starts = [s for s in range(0, 176, 30) if len(set(recording.labels[s : s + 30])) == 1 and recording.labels[s] >= 0]
    assert first == pytest.approx(recording.samples[0, 0, starts[0] : starts[0] + 30].mean() / 2, abs=1e-6)
    with pytest.raises(DataError, match="E-DATA-007: the experiment says 50 Hz, data set set has 10 Hz"):
        Cutting.of(dataset, parse_config({"name": "x", "data": {**data, "sampling_rate": 50}}).data)
    with pytest.raises(DataError, match="neck2"):
        Cutting.of(dataset, parse_config({"name": "x", "data": {**data, "sensors": ["neck2"]}}).data)


def test_large_blocks_are_cut_alike(dataset, monkeypatch):
    whole = read_table(dataset, Cutting.of(dataset))
    monkeypatch.setattr("conv2d.data.leaks.table._WINDOWS_AT_ONCE", 2)
    again = read_table(dataset, Cutting.of(dataset))
    np.testing.assert_array_equal(whole.means, again.means)
    np.testing.assert_array_equal(whole.missing, again.missing)
