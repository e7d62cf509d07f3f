"""Labels from ELAN: tiers, times without a time, text exports, faults each with its sentence, garbage."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.data.importers.annotations.elan import import_elan, read_eaf
from conv2d.data.importers.annotations.elan_text import read_tab_export
from conv2d.errors import ConfigError, DataError


def write(tmp_path, text, name="walk1.eaf", encoding="utf-8"):
    path = tmp_path / name
    path.write_bytes(text.encode(encoding))
    return path


def label(tmp_path, text, walks, mapping=None, name="walk1.eaf", out="out", encoding="utf-8"):
    result = import_elan(write(tmp_path, text, name, encoding), tmp_path / out, mapping, data=walks)
    return result, Dataset.open(tmp_path / out)


def times(path):
    return [(a.start_s, a.stop_s, a.label) for a in read_eaf(path).annotations]


def test_annotations_label_their_samples(makers, tmp_path, walks, runs):
    text = makers.eaf({"behaviour": [(1000, 4500, "walk"), (4500, 6000, " sit \n down "), (7000, 8000, "")]})
    result, data = label(tmp_path, text, walks)
    assert runs(data.load("walk1")) == [
        (None, 0.0, 0.98), ("walk", 1.0, 4.48), ("sit down", 4.5, 5.98), (None, 6.0, 19.98),
    ]  # fmt: skip
    assert result.labels == {"sit down": 75, "walk": 175}
    assert "annotations of walk1.eaf without text, left out: 1" in result.notes
    assert "ELAN file walk1.eaf (sha256 " in data.meta.notes[1]


def test_tiers(makers, tmp_path, walks, told):
    text = makers.eaf({"rex": [(0, 2000, "walk")], "bella": [(0, 3000, "sit")], "notes": []})
    path = write(tmp_path, text)
    assert "walk1 of walk1.eaf has tier 'rex', 'bella' for recording walk1, expected one" in told(
        import_elan, path, data=walks
    )
    assert import_elan(path, tmp_path / "a", {"tier": "bella"}, data=walks).labels == {"sit": 150}
    both = {"recordings": {"walk1/rex": "walk1", "walk1/bella": "walk2"}}
    result = import_elan(path, tmp_path / "b", both, data=walks)
    assert result.labels == {"sit": 150, "walk": 100}
    text = told(import_elan, path, {"tier": "rax"}, data=walks, error=ConfigError)
    assert "tier of the mapping names 'rax', which is not there; did you mean rex?" in text


def test_times_that_were_not_set_lie_evenly(makers, tmp_path):
    slots = {"t1": 1000, "t5": 9000, "t2": None, "t3": None, "other": 5000, "t4": 4000}
    chain = [("t1", "t2", "a"), ("t2", "t3", "b"), ("t3", "t4", "c"), ("t4", "t5", "d")]
    path = write(tmp_path, makers.eaf({"tier": chain, "other": [("other", "t5", "x")]}, slots=slots))
    assert times(path)[:4] == [(1, 2, "a"), (2, 3, "b"), (3, 4, "c"), (4, 9, "d")]
    assert "times of walk1.eaf that lie evenly between those set by hand: 2" in read_eaf(path).notes


def test_annotations_that_refer_to_others_have_their_times(makers, tmp_path):
    tiers = {"who": [("a4", "of rex")], "what": [("a3", "x")], "posture": [(1000, 2000, "up"), (3000, 5000, "down")]}
    path = write(tmp_path, makers.eaf(tiers))
    assert {(a.lane, a.start_s, a.stop_s) for a in read_eaf(path).annotations} == {
        ("who", 3, 5), ("what", 1, 2), ("posture", 1, 2), ("posture", 3, 5),
    }  # fmt: skip
    chained = {"a": [(1000, 2000, "x")], "b": [("a1", "y")], "c": [("a2", "z")]}
    assert [a[:2] for a in times(write(tmp_path, makers.eaf(chained)))] == [(1, 2)] * 3


def test_a_second_medium_is_told(makers, tmp_path):
    document = read_eaf(write(tmp_path, makers.eaf({"t": [(0, 1000, "a")]}, origin=1500)))
    assert document.notes == ["walk1.eaf begins a medium at 1500 ms; nothing was shifted"]


def test_utf_16_and_other_signs(makers, tmp_path):
    text = makers.eaf({"Verhalten für rex": [(0, 1000, "gähnen &amp; &#228;sen")]})
    text = text.replace('encoding="UTF-8"', 'encoding="UTF-16"')
    assert times(write(tmp_path, text, encoding="utf-16")) == [(0, 1, "gähnen & äsen")]


TITLED = (
    "\ufeff" + '"#file:///v.eaf"\r\n'
    "Begin Time - hh:mm:ss.ms\tBegin Time - ss.msec\tEnd Time - hh:mm:ss.ms\tEnd Time - ss.msec\t"
    "Duration - ss.msec\tposture\tgaze\r\n"
    "00:00:01.000\t1.0\t00:00:03.500\t3.5\t2.5\twalk\t\r\n"
    "00:00:03.500\t3.5\t00:00:04.000\t4.0\t0.5\tsit\tleft\r\n"
    "\r\n"
)
UNTITLED = (
    "posture\trex\t00:00:01.000\t1.0\t00:00:03.500\t3.5\t00:00:02.500\t2.5\twalk\r\n"
    "gaze\t\t01:00:00.000\t3600.0\t01:00:01.250\t3601.25\t00:00:01.250\t1.25\tleft\r\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_text_exports_with_titles(tmp_path, encoding):
    text = TITLED if encoding == "utf-8" else TITLED[1:]
    found = read_tab_export(write(tmp_path, text, "walk1.txt", encoding)).annotations
    assert [(a.lane, a.start_s, a.stop_s, a.label) for a in found] == [
        ("posture", 1, 3.5, "walk"), ("posture", 3.5, 4, "sit"), ("gaze", 3.5, 4, "left"),
    ]  # fmt: skip
    assert found[0].place == "line 3 of walk1.txt"


def test_text_exports_without_titles(tmp_path):
    found = read_tab_export(write(tmp_path, UNTITLED, "walk1.txt")).annotations
    assert [(a.lane, a.start_s, a.stop_s, a.label) for a in found] == [
        ("posture", 1, 3.5, "walk"), ("gaze", 3600, 3601.25, "left"),
    ]  # fmt: skip


ROW = "posture\trex\t00:00:01.000\t00:00:03.500\t00:00:02.500"


@pytest.mark.parametrize(
    ("rows", "labels"),
    [
        ("{}\twalk\tv.eaf\n{}\tsit\tv.eaf", ["walk", "sit"]),  # the export's column of file names
        ("{}\t2.500\t2500\twalk\n{}\t2.500\t2500\t12\n", ["walk", "12"]),
        ("{}\twalk\t\t\n{}\tsit", ["walk", "sit"]),
        ("{}\t\n{}\n{}\tsit", ["sit"]),  # two without text, one of them stripped of its tab
        ("{}\t7\n", ["7"]),
    ],
)
def test_the_label_of_a_line_without_titles(tmp_path, rows, labels):
    found = read_tab_export(write(tmp_path, rows.replace("{}", ROW), "walk1.txt"))
    assert [a.label for a in found.annotations] == labels
    assert ("walk1.txt names 'v.eaf' behind each annotation, which was left out" in found.notes) == ("v.eaf" in rows)
    told = "annotations of walk1.txt without text, left out: 2"
    assert (told in found.notes) == (rows.count("{}") == 3)


MERGED = {
    "without titles": "{}\twalk\tC:\\a.eaf\n{}\tsit\tC:\\b.eaf\n".replace("{}", ROW),
    "a column": "Begin Time - msec\tEnd Time - msec\tt\tFile\n1\t5\twalk\ta.eaf\n2\t3\tsit\tb.eaf",
    "lines between": '"#file:///a.eaf"\n{}\twalk\n"#file:///b.eaf"\n{}\tsit'.replace("{}", ROW),
}


@pytest.mark.parametrize("name", MERGED)
def test_an_export_of_several_files_is_refused(tmp_path, walks, told, name):
    text = told(import_elan, write(tmp_path, MERGED[name], "walk1.txt"), {"tier": "t"}, data=walks, error=DataError)
    assert "walk1.txt is an export of 2 files" in text


def test_a_column_of_one_file_is_no_tier(tmp_path, walks):
    text = "Begin Time - msec\tEnd Time - msec\tt\tFile\n0\t5000\twalk\ta.eaf\n5000\t6000\tsit\ta.eaf"
    assert label(tmp_path, text, walks, name="walk1.txt")[0].labels == {"sit": 50, "walk": 250}


def test_files_of_a_folder(makers, tmp_path, walks, told):
    folder = tmp_path / "elan"
    folder.mkdir()
    write(folder, makers.eaf({"t": [(0, 1000, "a")]}))
    write(folder, "How we annotated.", "readme.txt")
    text = told(import_elan, folder, data=walks)
    assert "line 1 of readme.txt" in text
    assert "choose the files of a folder with files in the mapping" in text
    assert import_elan(folder, tmp_path / "out", {"files": "*.eaf"}, data=walks).n_files == 1
    text = told(import_elan, folder, {"files": "*.EAFF"}, data=walks)
    assert "has no file *.EAFF" in text


def test_names_that_no_annotation_has_are_told(makers, tmp_path, walks):
    path = write(tmp_path, makers.eaf({"t": [(0, 1000, "walk"), (1000, 2000, "sit"), (2000, 3000, "out")]}))
    mapping = {
        "map": {"wlak": "walking", "sit": "sitting"}, "null": ["ouut", "out"], "priority": ["sit", "walk"],
        "classes": ["walk", "sitting", "runing", "other"], "unlabelled": "other",
    }  # fmt: skip
    assert import_elan(path, tmp_path / "out", mapping, data=walks).notes[:4] == (
        "no annotation is called 'wlak', which map or null of the mapping names (did you mean 'walk'?)",
        "no annotation is called 'ouut', which map or null of the mapping names (did you mean 'out'?)",
        "no annotation is called 'sit', which priority of the mapping names (did you mean 'sitting'?)",
        "no annotation is called 'runing', which classes of the mapping names",
    )


@pytest.mark.parametrize(
    "line", ["map: {walk: no}", "map: {walk: 2024-05-01}", "recordings: {walk1: yes}", "null: [walk, no]", "tier: on"]
)
def test_words_that_yaml_takes_for_something_else(makers, tmp_path, walks, told, line):
    mapping = tmp_path / "map.yaml"
    mapping.write_text(line)
    path = write(tmp_path, makers.eaf({"no": [(0, 1000, "walk")]}))
    text = told(import_elan, path, mapping, data=walks, error=ConfigError)
    assert text.startswith("E-DATA-019: ")
    assert text.endswith("put it in quotes")


def test_keys_that_yaml_takes_for_something_else(makers, tmp_path, walks):
    mapping = tmp_path / "map.yaml"
    mapping.write_text("map: {no: 'yes', 1: one, null: nothing}\noffset_s: {on: 0.0}\nrecordings: {on: walk1}")
    text = makers.eaf({"t": [(0, 1000, "no"), (1000, 2000, "1"), (2000, 4000, "null")]})
    result = import_elan(write(tmp_path, text, "on.eaf"), tmp_path / "out", mapping, data=walks)
    assert result.labels == {"nothing": 100, "one": 50, "yes": 50}


@pytest.mark.parametrize(
    ("form", "begin", "end"),
    [("msec", "1000", "3500"), ("ss.msec", "1,0", "3,5"), ("hh:mm:ss.ms", "0:00:01", "0:00:03.5")],
)  # fmt: skip
def test_text_exports_in_one_form_of_time(tmp_path, walks, form, begin, end):
    text = f"Begin Time - {form}\tEnd Time - {form}\tposture\n{begin}\t{end}\twalk\n"
    result, _ = label(tmp_path, text, walks, name="walk1.txt")
    assert result.labels == {"walk": 125}


def test_a_folder_of_files(makers, tmp_path, walks):
    folder = tmp_path / "elan"
    folder.mkdir()
    write(folder, makers.eaf({"t": [(0, 1000, "a")]}), "walk1.EAF")
    write(folder, makers.eaf({"t": [(0, 2000, "b")]}), "walk2.eaf")
    result = import_elan(folder, tmp_path / "out", data=walks)
    assert (result.n_files, result.labels, result.notes) == (2, {"a": 50, "b": 100}, ())


def test_two_files_of_one_name(makers, tmp_path, walks, told):
    folder = tmp_path / "elan"
    folder.mkdir()
    write(folder, makers.eaf({"t": [(0, 1000, "a")]}))
    write(folder, TITLED, "walk1.txt")
    assert "are both called walk1; name one of them" in told(import_elan, folder, data=walks)


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
FAR = '<!DOCTYPE a SYSTEM "file:///etc/passwd">'


def broken(makers):
    one = {"t": [(0, 1000, "a")]}
    whole = makers.eaf(one)
    slot = lambda **slots: makers.eaf({"t": [("t1", "t2", "a")]}, slots=slots)  # noqa: E731
    return {
        "empty": ("", "is not whole XML"),
        "cut": (whole[: len(whole) // 2], "is not whole XML"),
        "other XML": ("<svg/>", "holds <svg>, expected <ANNOTATION_DOCUMENT>"),
        "text": ("time,x,y,z\n1,2,3,4\n", "is not whole XML"),
        "binary": ("\0\x01\x02" * 300, "is not whole XML"),
        "unknown encoding": (whole.replace("UTF-8", "UTF-77"), "is not whole XML"),
        "entity bomb": (makers.eaf({"t": [(0, 1000, "&b;")]}, head=BOMB), "has a DOCTYPE"),
        "file of the system": (makers.eaf(one, head=FAR), "has a DOCTYPE"),
        "unknown entity": (makers.eaf({"t": [(0, 1000, "&b;")]}), "is not whole XML"),
        "frames": (makers.eaf(one, units="PAL-frames"), "counts time in PAL-frames, expected milliseconds"),
        "no annotation": (makers.eaf({"t": []}), "holds no annotation with text"),
        "no text": (makers.eaf({"t": [(0, 1000, " ")]}), "holds no annotation with text"),
        "no slot": (slot(t1=0), "refers to time slot 't2', which is not there"),
        "words": (slot(t1="soon", t2=1000), "has the time 'soon', expected whole milliseconds"),
        "fraction": (slot(t1="0.5", t2=1000), "has the time '0.5'"),
        "endless number": (slot(t1="1" * 5000, t2=1000), "expected whole milliseconds"),
        "backwards": (slot(t1=2000, t2=1000), "annotation 'a1' in tier 't' of walk1.eaf goes from 2 to 1 s"),
        "no time at all": (slot(t1=None, t2=None), "has no time and no neighbour with one"),
        "time of one side": (slot(t1=1000, t2=None), "has no time and no neighbour with one"),
        "circle of slots": (
            makers.eaf(
                {"t": [("t1", "t2", "a"), ("t2", "t3", "b"), ("t3", "t2", "c")]},
                slots={"t1": 0, "t2": None, "t3": None},
            ),
            "has no time and no neighbour with one",
        ),
        "nobody's reference": (makers.eaf(one | {"r": [("a9", "x")]}), "refers to annotation 'a9', which is not there"),
        "circle of references": (makers.eaf(one | {"r": [("a3", "x")], "s": [("a2", "y")]}), "which is not there"),
        "divided": (makers.eaf(one | {"r": [("a1", "x"), ("a1", "y")]}), "tier 'r' of walk1.eaf divides"),
        "beyond the end": (makers.eaf({"t": [(0, 60_000, "a")]}), "recording walk1 lasts from 0 to 20.000 s"),
        "overlap": (makers.eaf({"t": [(0, 2000, "a"), (1000, 3000, "b")]}), "'a' (annotation a1 of walk1.eaf) and 'b'"),
    }  # fmt: skip


def test_broken_files_have_their_sentence(makers, tmp_path, walks, told):
    for name, (text, sentence) in broken(makers).items():
        answer = told(import_elan, write(tmp_path, text), data=walks, error=DataError)
        assert answer.startswith("E-DATA-019: "), name
        assert sentence in answer, (name, answer)
        assert len(answer) < 6000


BROKEN_TEXTS = {
    "has no begin and end as hh:mm:ss.ms behind a tier, and": "posture\trex\t1.0\t3.5\twalk",
    "expected Begin Time and End Time in one of msec, ss.msec, hh:mm:ss.ms": "Begin Time - frames\tposture\n1\twalk",
    "line 2 of walk1.txt has the time 'now', expected msec": "Begin Time - msec\tEnd Time - msec\tt\nnow\t5\twalk",
    "line 2 of walk1.txt has 1 fields, the titles are 3": "Begin Time - msec\tEnd Time - msec\tt\n5",
    "line 2 of walk1.txt goes from 5 to 4 s": "Begin Time - ss.msec\tEnd Time - ss.msec\tt\n5\t4\twalk",
    "holds no annotation with text": "Begin Time - msec\tEnd Time - msec\tt\n5\t6\t\n",
    "walk1.txt holds no annotation": "",
}


@pytest.mark.parametrize("sentence", BROKEN_TEXTS)
def test_broken_texts_have_their_sentence(tmp_path, walks, told, sentence):
    answer = told(import_elan, write(tmp_path, BROKEN_TEXTS[sentence], "walk1.txt"), data=walks, error=DataError)
    assert answer.startswith("E-DATA-019: ")
    assert sentence in answer


@given(st.lists(st.booleans(), min_size=1, max_size=12), st.lists(st.integers(1, 5000), min_size=13, max_size=13))
def test_a_chain_of_times_is_that_of_a_slow_reference(tmp_path_factory, makers, known, steps):
    """Slots with and without a time in one chain: those without are spaced evenly between the next ones with."""
    slot_times = np.cumsum(steps)[: len(known) + 1].tolist()
    given_times = [
        slot_times[0],
        *(t if k else None for t, k in zip(slot_times[1:-1], known, strict=False)),
        slot_times[-1],
    ]
    expected = np.interp(
        range(len(given_times)), [i for i, t in enumerate(given_times) if t is not None],
        [t for t in given_times if t is not None],
    )  # fmt: skip
    chain = [(f"s{i}", f"s{i + 1}", "x") for i in range(len(given_times) - 1)]
    text = makers.eaf({"t": chain[::-1]}, slots={f"s{i}": t for i, t in enumerate(given_times)})
    found = times(write(tmp_path_factory.mktemp("chain"), text))[::-1]
    np.testing.assert_allclose([t[0] for t in found] + [found[-1][1]], expected / 1000)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 900), st.integers(0, 255)), max_size=6), st.integers(0, 900), st.booleans())
def test_garbage_is_told_or_read(makers, tmp_path_factory, walks, changes, length, is_text):
    slots = {"t1": 0, "t2": None, "t3": 3000}
    tiers = {"t": [("t1", "t2", "a"), ("t2", "t3", "b")], "r": [("a1", "c")]}
    content = bytearray((TITLED if is_text else makers.eaf(tiers, slots=slots)).encode())
    for at, byte in changes:
        content[at % len(content)] = byte
    folder = tmp_path_factory.mktemp("garbage")
    path = folder / ("walk1.txt" if is_text else "walk1.eaf")
    path.write_bytes(bytes(content[: length or len(content)]))
    try:
        import_elan(path, folder / "out", {"recordings": {}, "priority": ["a", "b", "c"]}, data=walks)
    except DataError:
        assert not (folder / "out").exists()
    else:
        assert Dataset.open(folder / "out").load("walk1").n_samples == 1000
