"""Labels from BORIS: which sample gets which, onto which recording, faults each with its sentence, garbage."""

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers.annotations.boris import import_boris
from conv2d.errors import ConfigError, DataError, UsageError


def state(what, start, stop, **more):
    return {"what": what, "start": start, "stop": stop, **more}


def write(tmp_path, text, name="events.tsv", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def label(tmp_path, makers, events, walks, mapping=None, out="out", **how):
    result = import_boris(write(tmp_path, makers.boris(events, **how)), tmp_path / out, mapping, data=walks)
    return result, Dataset.open(tmp_path / out)


def test_states_label_their_samples_and_nothing_else_changes(makers, tmp_path, walks, runs):
    path = write(tmp_path, makers.boris([state("walk", 1.0, 4.5), state("sit", 4.5, 6.003), state("walk", 18, 20)]))
    seen = []
    result = import_boris(path, tmp_path / "out", data=walks, progress=lambda done, total: seen.append((done, total)))
    data = Dataset.open(tmp_path / "out")
    assert runs(data.load("walk1")) == [
        (None, 0.0, 0.98), ("walk", 1.0, 4.48), ("sit", 4.5, 6.0), (None, 6.02, 17.98), ("walk", 18.0, 19.98),
    ]  # fmt: skip
    assert (data.load("walk2").labels == -1).all()
    assert result.labels == {"sit": 76, "walk": 275}
    assert (result.n_rows, result.unlabelled_rows, seen) == (2000, 2000 - 351, [(0, 2), (1, 2), (2, 2)])
    assert result.notes == ("recordings without annotation, now without labels: 1",)
    assert data.meta.classes == ("sit", "walk")
    assert data.meta.name == "out"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert data.meta.notes[:2] == (
        "made up",
        f"labels from the BORIS file events.tsv (sha256 {digest}), put onto walks",
    )
    assert (data.path / "recordings.csv").read_bytes() == (walks / "recordings.csv").read_bytes()
    for name in ("walk1", "walk2"):
        before, after = (pq.ParquetFile(p / "recordings" / f"{name}.parquet") for p in (walks, data.path))
        assert after.num_row_groups == before.num_row_groups == 3
        assert after.schema_arrow == before.schema_arrow
        for column in ("time_s", "back/acc_x", "gap_ms"):  # bit by bit, NaN included
            was, is_now = (f.read([column])[column].to_numpy() for f in (before, after))
            assert was.tobytes() == is_now.tobytes()
        before.close()
        after.close()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 2000), st.sampled_from("abc")), min_size=1, max_size=8),
    st.floats(-0.5, 0.5),
    st.permutations("abc"),
)
def test_labels_are_those_of_a_slow_reference(makers, tmp_path_factory, walks, drawn, offset, order):
    states = [(min(a, b) / 100, max(a, b) / 100, what) for a, b, what in drawn]
    expected = []
    time_s = Dataset.open(walks).load("walk1").time_s
    for t in time_s:
        # To a microsecond, as times are decimal and samples binary.
        over = [what for a, b, what in states if a + offset <= t + 1e-6 and t + 1e-6 < b + offset]
        expected.append(min(over, key=order.index) if over else None)
    if not any(expected):
        return
    folder = tmp_path_factory.mktemp("reference")
    mapping = {"priority": list(order), "offset_s": offset}
    _, data = label(folder, makers, [state(w, a, b) for a, b, w in states], walks, mapping)
    recording = data.load("walk1")
    assert [recording.classes[i] if i >= 0 else None for i in recording.labels] == expected


def test_start_and_stop_are_paired(makers, tmp_path, walks, runs):
    one = {"what": "walk", "modifier": "slow"}
    events = [
        {**one, "kind": "START", "time": 1.0}, {"what": "bark", "kind": "POINT", "time": 1.5},
        {**one, "kind": "STOP", "time": 3.0}, {"what": "walk", "modifier": "fast", "kind": "START", "time": 3.0},
        {"what": "sit", "kind": "START", "time": 8.0},
        {"what": "walk", "modifier": "fast", "kind": "STOP", "time": 5.0},
        {"what": "sit", "kind": "STOP", "time": 9.0},
    ]  # fmt: skip
    result, data = label(tmp_path, makers, events, walks, columns=makers.BORIS_TABULAR)
    assert runs(data.load("walk1")) == [
        (None, 0.0, 0.98), ("walk", 1.0, 4.98), (None, 5.0, 7.98), ("sit", 8.0, 8.98), (None, 9.0, 19.98),
    ]  # fmt: skip
    assert "points of time left out (see points): 1" in result.notes


def test_a_stop_comes_before_a_start_of_the_same_time(makers, tmp_path, walks, runs):
    def event(kind, time, what="walk"):
        return {"what": what, "kind": kind, "time": time}

    events = [
        event("START", 1.0), event("START", 3.0), event("STOP", 3.0), event("STOP", 5.0),
        event("START", 6.0, "sit"), event("STOP", 6.0, "sit"),  # of no length
        event("START", 7.0), event("STOP", 8.0), event("STOP", 8.0), event("START", 8.0),  # and one behind another
    ]  # fmt: skip
    result, data = label(tmp_path, makers, events, walks, columns=makers.BORIS_TABULAR)
    assert runs(data.load("walk1"))[1:4] == [("walk", 1.0, 4.98), (None, 5.0, 6.98), ("walk", 7.0, 7.98)]
    assert "states without length, left out: 2" in result.notes


def test_tabs_that_an_editor_stripped(makers, tmp_path, walks, told):
    columns = ("Observation id", "Subject", "Behavior", "Start (s)", "Stop (s)", "Comment start", "Comment stop")
    text = makers.boris([state("walk", 1, 2), state("sit", 3, 4)], columns=columns)
    stripped = "\n".join(line.rstrip("\t") for line in text.splitlines()) + "\n"
    assert import_boris(write(tmp_path, stripped), tmp_path / "out", data=walks).labels == {"sit": 50, "walk": 50}
    # A file that ends within a line may have lost digits.
    assert "line 3 of events.tsv has 5 fields, the header has 7" in told(
        import_boris, write(tmp_path, stripped[:-1]), data=walks
    )
    short = stripped.replace("\t4\n", "\n")
    assert "line 3 of events.tsv has 4 fields" in told(import_boris, write(tmp_path, short), data=walks)


def test_what_is_dropped_need_not_be_a_class(makers, tmp_path, walks):
    events = [state("walk", 0, 5), state("bark", 6, 6, kind="POINT"), state("jump", 7, 7)]
    result, _ = label(tmp_path, makers, events, walks, {"classes": ["walk"]})
    assert (result.labels, result.notes[:2]) == (
        {"walk": 250}, ("points of time left out (see points): 1", "states without length, left out: 1"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding", "number"),
    [
        ("a.tsv", "\t", "utf-8-sig", str),
        ("a.csv", ",", "utf-8", str),
        ("a.csv", ";", "cp1252", lambda v: str(v).replace(".", ",")),
        ("a.tsv", "\t", "utf-16", lambda v: str(v).replace(".", ",")),
    ],
)
def test_the_forms_of_a_table(makers, tmp_path, walks, name, delimiter, encoding, number):
    text = makers.boris([state("gähnen", 1.5, 4.5)], delimiter=delimiter, number=number)
    result = import_boris(write(tmp_path, text, name, encoding), tmp_path / "out", data=walks)
    assert result.labels == {"gähnen": 150}


def test_an_old_export_with_lines_before_its_header(makers, tmp_path, walks):
    columns = ("Observation id", "Subject", "Behaviour", "Status", "Time", "Total length", "FPS")
    rows = ["walk1\trex\twalk\tSTART\t1\t20\t25", "walk1\trex\twalk\tSTOP\t2\t20\t25", ""]
    text = "\r\n".join(["Observation id\twalk1", "Media file(s)", "", "\t".join(columns), *rows])
    assert import_boris(write(tmp_path, text), tmp_path / "out", data=walks).labels == {"walk": 50}


def test_names_are_mapped_and_ordered(makers, tmp_path, walks):
    events = [state("Walk", 0, 5), state("Walk fast", 5, 6), state("out of sight", 6, 8), state("Sit", 8, 9)]
    mapping = {
        "map": {"Walk": "walking", "Walk fast": "walking", "Sit": None}, "null": "out of sight",
        "classes": ["walking", "sitting"], "name": "named", "title": "A title", "notes": "by me",
    }  # fmt: skip
    result, data = label(tmp_path, makers, events, walks, mapping)
    assert data.meta.classes == ("walking", "sitting")
    assert (data.meta.name, data.meta.title) == ("named", "A title")
    assert "by me" in data.meta.notes
    assert result.labels == {"walking": 300, "sitting": 0}


def test_which_recording(makers, tmp_path, walks, runs):
    events = [
        state("walk", 0, 5, obs="video A"),
        state("sit", 0, 5, obs="video A", who="bella"),
        state("x", 0, 5, obs="trial"),
    ]
    mapping = {
        "recordings": {"video A/rex": "walk1", "video A/bella": "walk2", "trial": None},
        "offset_s": {"walk2": 8, "": 1},
    }
    _, data = label(tmp_path, makers, events, walks, mapping)
    assert runs(data.load("walk1"))[1] == ("walk", 1.0, 5.98)
    # Time goes on over the gap of five seconds after ten: two seconds of samples, then none.
    assert runs(data.load("walk2")) == [(None, 0.0, 7.98), ("sit", 8.0, 9.98), (None, 15.0, 24.98)]


def test_one_of_several_subjects(makers, tmp_path, walks, told):
    events = [state("walk", 0, 5), state("sit", 0, 5, who="bella"), state("sit", 6, 7, who="")]
    path = write(tmp_path, makers.boris(events))
    text = told(import_boris, path, data=walks, error=DataError)
    assert "walk1 of events.tsv has subject 'rex', 'bella', '' for recording walk1, expected one" in text
    result = import_boris(path, tmp_path / "one", {"subject": "rex"}, data=walks)
    assert result.labels == {"walk": 250}
    result = import_boris(
        path, tmp_path / "two", {"subject": ["rex", "bella"], "priority": ["sit", "walk"]}, data=walks
    )
    assert result.labels == {"sit": 250}
    text = told(import_boris, path, {"subject": "rax"}, data=walks, error=ConfigError)
    assert "names 'rax', which is not there; did you mean rex?" in text


def test_points_and_what_is_not_labelled(makers, tmp_path, walks, runs):
    events = [state("walk", 2, 4), state("bark", 6, 6, kind="POINT"), state("bark", 9, 9, kind="POINT")]
    result, data = label(tmp_path, makers, events, walks, {"points": 0.5, "unlabelled": "other"})
    assert runs(data.load("walk1")) == [
        (None, 0.0, 1.98), ("walk", 2.0, 3.98), ("other", 4.0, 5.74), ("bark", 5.76, 6.24), ("other", 6.26, 8.74),
        ("bark", 8.76, 9.24), (None, 9.26, 19.98),
    ]  # fmt: skip
    assert result.labels["other"] == 88 + 125


def test_what_is_to_have_no_label_has_none(makers, tmp_path, walks, runs):
    events = [state("walk", 2, 4), state("out of sight", 5, 6), state("out of sight", 3, 3.5), state("walk", 8, 9)]
    _, data = label(tmp_path, makers, events, walks, {"null": "out of sight", "unlabelled": "other"})
    assert runs(data.load("walk1")) == [
        (None, 0.0, 1.98), ("walk", 2.0, 3.98), ("other", 4.0, 4.98), (None, 5.0, 5.98), ("other", 6.0, 7.98),
        ("walk", 8.0, 8.98), (None, 9.0, 19.98),
    ]  # fmt: skip


def test_an_overlap_names_both_and_a_priority_settles_it(makers, tmp_path, walks, told, runs):
    path = write(tmp_path, makers.boris([state("eat", 1, 4), state("stand", 2, 6), state("eat", 3, 5)]))
    text = told(import_boris, path, data=walks)
    assert "'eat' (line 2 of events.tsv) and 'stand' (line 3 of events.tsv) overlap in recording walk1" in text
    assert "from 2.000 to 4.000 s" in text
    assert "overlap" in told(import_boris, path, {"priority": ["eat"]}, data=walks)
    for order, expected in (
        (["eat", "stand"], [(None, 0.0, 0.98), ("eat", 1.0, 4.98), ("stand", 5.0, 5.98), (None, 6.0, 19.98)]),
        (["stand", "eat"], [(None, 0.0, 0.98), ("eat", 1.0, 1.98), ("stand", 2.0, 5.98), (None, 6.0, 19.98)]),
    ):
        out = tmp_path / order[0]
        import_boris(path, out, {"priority": order}, data=walks)
        assert runs(Dataset.open(out).load("walk1")) == expected


def test_what_reaches_out_of_the_recording(makers, tmp_path, walks, told):
    path = write(tmp_path, makers.boris([state("walk", 0, 5), state("sit", 15, 20.9)]))
    result = import_boris(path, tmp_path / "a", {"offset_s": -0.5}, data=walks)
    assert result.labels == {"sit": 275, "walk": 225}
    assert "annotations cut at the ends of their recording: 2" in result.notes
    text = told(import_boris, path, {"offset_s": 1}, data=walks)
    assert "has 'sit' from 16.000 to 21.900 s, recording walk1 lasts from 0 to 20.000 s; correct offset_s" in text
    assert "from -2.000 to 3.000 s" in told(import_boris, path, {"offset_s": -2}, data=walks)
    result = import_boris(path, tmp_path / "b", {"offset_s": 10, "clip": True}, data=walks)
    assert result.labels == {"walk": 250}
    assert "annotations that hold no sample: 1" in result.notes


def test_dates_are_told_and_shift_nothing(makers, tmp_path, walks, runs):
    result, data = label(tmp_path, makers, [state("walk", 0, 5, offset="2.5")], walks, date="2024-05-01 11:59:30")
    assert runs(data.load("walk1"))[0] == ("walk", 0.0, 4.98)
    assert any("2024-05-01T12:00:00.000: -30.0 s" in note and "offset_s = 0 s" in note for note in result.notes)
    assert any("time offset of 2.5 s in BORIS, which was not added" in note for note in result.notes)


def test_the_data_set_may_stand_in_the_mapping(makers, tmp_path, walks, told):
    path = write(tmp_path, makers.boris([state("walk", 0, 5)]))
    relative = tmp_path / "m" / "map.yaml"
    relative.parent.mkdir()
    (tmp_path / "m" / "walks").symlink_to(walks)
    relative.write_text(yaml.safe_dump({"data": "walks"}), encoding="utf-8")
    assert import_boris(path, tmp_path / "out", relative).labels == {"walk": 250}
    assert "no data set is named" in told(import_boris, path, error=UsageError)


BAD_MAPPINGS = {
    "unknown key 'priorities'; did you mean priority?": {"priorities": ["a"]},
    "unknown key 'tier'": {"tier": "a"},
    "points of the mapping is -1, expected seconds above 0": {"points": -1},
    "points of the mapping is 'yes'": {"points": "yes"},
    "offset_s of the mapping is '2 s', expected seconds": {"offset_s": "2 s"},
    "offset_s (walk1) of the mapping is nan": {"offset_s": {"walk1": float("nan")}},
    "names 'walk3', which is not there; did you mean walk": {"offset_s": {"walk3": 2}},
    "recordings of the mapping names 'obs9'": {"recordings": {"obs9": "walk1"}},
    "recordings of the mapping names 'walk9', which is not there": {"recordings": {"walk1": "walk9"}},
    "recordings of the mapping is ['walk1']": {"recordings": ["walk1"]},
    "map of the mapping makes ['a', 'b'] of 'walk', expected a name": {"map": {"walk": ["a", "b"]}},
    "clip of the mapping is 'yes'": {"clip": "yes"},
    "classes of the mapping has True": {"classes": [True]},
    "files of the mapping is '/etc/*', expected a pattern of names in the folder": {"files": "/etc/*"},
}


@pytest.mark.parametrize("sentence", BAD_MAPPINGS)
def test_the_mapping_is_checked(makers, tmp_path, walks, told, sentence):
    path = write(tmp_path, makers.boris([state("walk", 0, 5)]))
    text = told(import_boris, path, BAD_MAPPINGS[sentence], data=walks, error=ConfigError)
    assert text.startswith("E-DATA-019: ")
    assert sentence in text


def broken(makers):
    aggregated = makers.boris
    tabular = lambda *events: makers.boris(events, columns=makers.BORIS_TABULAR)  # noqa: E731
    start, stop = {"what": "walk", "kind": "START", "time": 1}, {"what": "walk", "kind": "STOP", "time": 2}
    short = "\r\n".join(aggregated([state("walk", 1, 2)]).split("\r\n")[:2]).rsplit("\t", 12)[0]
    return {
        "empty": ("", "has no header with Behavior"),
        "something else": ("time,x,y,z\n1,2,3,4\n", "has no header with Behavior"),
        "header only": (aggregated([]), "holds no event below its header"),
        "two columns": (aggregated([]).replace("Description", "Subject", 1), "column subject more than once"),
        "short line": (short, "line 2 of events.tsv has 12 fields, the header has 24"),
        "no behaviour": (aggregated([state("", 1, 2)]), "line 2 of events.tsv has no Behavior"),
        "no times": (aggregated([state("walk", "NA", "NA")]), "Start (s) 'NA', expected seconds; observations"),
        "no end": (aggregated([state("walk", 1, "")]), "line 2 of events.tsv has Stop (s) ''"),
        "words": (aggregated([state("walk", 1, "three")]), "Stop (s) 'three', expected seconds; correct it"),
        "infinite": (aggregated([state("walk", 1, "inf")]), "Stop (s) 'inf'"),
        "backwards": (aggregated([state("walk", 5, 2)]), "has 'walk' from 5 to 2 s, expected a stop after the start"),
        "not stopped": (tabular(start), "line 2 of events.tsv starts 'walk' at 1 s, which has no STOP"),
        "not started": (tabular(stop), "line 2 of events.tsv stops 'walk' at 2 s, which was not started"),
        "stop first": (tabular(start | {"time": 3}, stop), "stops 'walk' at 2 s, which was not started"),
        "started twice": (tabular(start, start | {"time": 1.5}, stop), "which runs since line 2 of events.tsv"),
        "other modifier": (tabular(start, stop | {"modifier": "slow"}), "which was not started"),
        "kind": (tabular(start | {"kind": "GO"}), "has Behavior type 'GO', expected START, STOP or POINT"),
        "no recording": (aggregated([state("walk", 1, 2, obs="walk_1")]), "of that name (did you mean walk1)"),
        "points only": (aggregated([state("bark", 1, 1, kind="POINT")]), "no sample of"),
        "no length": (aggregated([state("walk", 1, 1)]), "no sample of"),
        "endless field": (aggregated([state("walk", 1, 2)]) + '"' + "x" * 200_000, "line 3 of events.tsv cannot"),
        "binary": ("\0\x01\x02" * 3000, "has no header with Behavior"),
    }  # fmt: skip


def test_broken_exports_have_their_sentence(makers, tmp_path, walks, told):
    for name, (text, sentence) in broken(makers).items():
        answer = told(import_boris, write(tmp_path, text), data=walks, error=DataError)
        assert answer.startswith("E-DATA-019: "), name
        assert sentence in answer, (name, answer)


def test_other_things_that_are_not_there(makers, tmp_path, walks, told):
    assert "neither a file, a folder nor a pattern" in told(import_boris, tmp_path / "no.tsv", data=walks)
    path = write(tmp_path, makers.boris([state("walk", 0, 5)]))
    assert "E-DATA-001" in told(import_boris, path, data=tmp_path / "nowhere")
    text = told(import_boris, path, {"classes": ["sit"]}, data=walks)
    assert text.startswith("E-DATA-010: line 2 of events.tsv has label 'walk', classes names sit")
    with pytest.raises(DataError, match="E-DATA-012"):
        import_boris(path, walks, data=walks)


def test_a_damaged_recording_is_told(makers, tmp_path, walks, told):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(walks, copy)
    file = copy / "recordings" / "walk2.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    text = told(import_boris, write(tmp_path, makers.boris([state("walk", 0, 5)])), data=copy)
    assert text.startswith("E-DATA-004: ")


def test_several_exports_of_one_observation(makers, tmp_path, walks):
    folder = tmp_path / "exports"
    folder.mkdir()
    write(folder, makers.boris([state("walk", 0, 5)]), "a.tsv")
    write(folder, makers.boris([state("sit", 5, 6)], delimiter=","), "b.csv")
    result = import_boris(folder, tmp_path / "out", data=walks)
    assert (result.n_files, result.labels) == (2, {"sit": 50, "walk": 250})


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=8), st.integers(0, 900), st.booleans())
def test_garbage_is_told_or_read(makers, tmp_path_factory, walks, changes, length, tabular):
    pair = [{"what": "walk", "kind": kind, "time": t} for kind, t in (("START", 1), ("STOP", 2))]
    text = makers.boris(pair, columns=makers.BORIS_TABULAR) if tabular else makers.boris([state("walk", 1, 2)] * 3)
    content = bytearray(text.encode())
    for at, byte in changes:
        content[at % len(content)] = byte
    folder = tmp_path_factory.mktemp("garbage")
    path = folder / "events.tsv"
    path.write_bytes(bytes(content[: length or len(content)]))
    try:
        import_boris(path, folder / "out", data=walks)
    except DataError:
        assert not (folder / "out").exists()
    else:
        assert np.isfinite(Dataset.open(folder / "out").load("walk1").time_s).all()
