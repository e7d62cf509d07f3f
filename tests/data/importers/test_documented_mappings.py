"""The mappings of the docs, read from files as users write them: every key does what the page says."""

import re
from pathlib import Path

import pytest

from conv2d.data import Dataset
from conv2d.data.importers.annotations.plan import read_label_plan
from conv2d.data.importers.mapping import Channel, read_mapping
from conv2d.data.importers.registry import import_dataset
from conv2d.data.joining.plan import read_plan
from conv2d.data.units import GRAVITY

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGES = {"import": 1, "annotations": 1, "devices": 1, "joining": 2, "data": 1}


def blocks(page):
    return re.findall(r"^```yaml\n(.*?)^```", (DOCS / f"{page}.md").read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def written(tmp_path):
    def write(page, which=0):
        path = tmp_path / "map.yaml"
        path.write_text(blocks(page)[which], encoding="utf-8")
        return path

    return write


def test_every_block_is_tested_here():
    assert {page: len(blocks(page)) for page in PAGES} == PAGES


@pytest.mark.parametrize("page", ["import", "data"])
def test_tables(written, page):
    mapping = read_mapping(written(page))
    assert mapping.channels == {"back/acc_x": Channel("ABack_x", GRAVITY)}
    assert mapping.label_map == {"<undefined>": None}
    assert (mapping.recording_columns, mapping.subject.column) == (("DogID", "TestNum"), "DogID")
    assert (mapping.time_column, mapping.rate_hz) == ("t_sec", 100.0)


def test_the_table_of_the_docs_is_imported(written, tmp_path):
    lines = ["DogID,TestNum,t_sec,ABack_x,Behavior_1"]
    lines += [f"16,1,{i / 100},{i % 2},{'<undefined>' if i < 20 else 'Walking'}" for i in range(50)]
    (tmp_path / "dogs.csv").write_text("\n".join(lines))
    result = import_dataset("csv", tmp_path / "dogs.csv", tmp_path / "out", written("import"))
    assert (result.labels, result.unlabelled_rows) == ({"Walking": 30}, 20)
    assert Dataset.open(tmp_path / "out").load("16_1").samples.max() == pytest.approx(GRAVITY)


def test_annotations(written):
    # Every key is shown on one block, and subject stands for BORIS.
    plan = read_label_plan(written("annotations"), "walks", lane_key="subject")
    assert plan.label_map == {"Walk": "walking", "Walk fast": "walking", "out of sight": None}
    assert plan.recordings == {"video_03": "rex_walk1", "video_04/bella": "bella_walk1", "trial": None}
    assert (plan.offset_s("video_03", "rex_walk1"), plan.lanes, plan.clip) == (2.5, ("rex",), True)
    assert (plan.classes, plan.priority) == (("walking", "sitting"), ("eating", "standing"))
    assert (plan.point_s, plan.unlabelled) == (0.5, "other")


def test_annotations_put_onto_recordings(written, tmp_path, makers, walks):
    events = [{"what": "Walk", "start": 1.0, "stop": 4.0}, {"what": "out of sight", "start": 5.0, "stop": 6.0}]
    events += [{"what": "sitting", "start": 8.0, "stop": 9.0}]
    (tmp_path / "events.tsv").write_text(makers.boris(events, obs="video_03"))
    path = written("annotations")
    text = re.sub(r"^recordings: .*", "recordings: {video_03: walk1}", path.read_text(), flags=re.M)
    path.write_text(text)
    result = import_dataset("boris", tmp_path / "events.tsv", tmp_path / "out", path, data=walks)
    assert (result.labels["walking"], result.labels["sitting"]) == (150, 50)
    assert Dataset.open(tmp_path / "out").load("walk1").classes == ("walking", "sitting", "other")
    path.write_text(re.sub(r"^unlabelled: .*\n", "", text, flags=re.M))
    import_dataset("boris", tmp_path / "events.tsv", tmp_path / "without", path, data=walks)
    recording = Dataset.open(tmp_path / "without").load("walk1")
    assert recording.classes == ("walking", "sitting")
    assert recording.labels[int(50 * (5.5 + 2.5))] == -1  # out of sight


def test_devices(written, tmp_path, makers):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw" / "dog7.cwa").write_bytes(makers.cwa())
    (tmp_path / "raw" / "cat7.cwa").write_bytes(b"is not read")
    import_dataset("cwa", tmp_path / "raw", tmp_path / "out", written("devices"))
    data = Dataset.open(tmp_path / "out")
    assert (data.meta.name, data.meta.sensors) == ("walks", ("collar",))
    assert [(row.recording, row.subject) for row in data.table] == [("dog7", "7")]


def test_joining(written):
    plan = read_plan(written("joining"))
    assert (plan.name, plan.rate_hz, list(plan.sensors)) == ("my_dogs", 100.0, ["neck", "back"])
    neck = plan.sensors["neck"]
    assert neck.channels["acc_x"].scale == GRAVITY
    assert neck.channels["gyr_x"].column == "gx"
    assert (neck.latency_s, plan.sensors["back"].rate_hz) == (0.004, 52.0)


def test_joining_of_data_sets(written):
    plan = read_plan(written("joining", 1))
    assert {name: str(source.dataset) for name, source in plan.sensors.items()} == {
        "wrist": "../imported_cwa", "back": "../imported_csv",
    }  # fmt: skip
