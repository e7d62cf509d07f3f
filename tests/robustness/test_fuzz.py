"""Every reader is given files of changed bytes: it says what is wrong, or reads them, and leaves nothing else."""

import os
import shutil
import signal
from contextlib import contextmanager
from copy import deepcopy
from functools import cache

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from conv2d.data import Dataset
from conv2d.errors import Conv2dError, DataError

from .corpus import READERS, Given
from .good_table import good_rows, mapping_with, text_of
from .seeds import SEEDS
from .test_corpus import check_sentence

SECONDS = 30  # of one example; what takes longer hangs
EXAMPLES = int(os.environ.get("CONV2D_FUZZ_EXAMPLES", "25"))  # of each reader; thousands for a long search
WORDS = [
    b"\0", b"\n", b"\r", b'"', b",", b";", b"\t", b" ", b"-", b".", b"nan", b"inf", b"1e400", b"-1", b"9" * 30, b"0",
    b"\xff\xfe", b"\xef\xbb\xbf", b"\xe4", b"<", b"&", b"{", b"[", b": ", b"\n- ", b"*a", b"&a ", b"!!int ", b"None",
    b"\x80" * 5, b"\xff" * 8, b"\x7f\xff\xff\xff",
]  # fmt: skip


@st.composite
def changes(draw):
    """A few changes of bytes: kind, where (as a share of the length), and with what."""
    kind = st.sampled_from(["flip", "set", "insert", "delete", "cut", "copy", "lines"])
    share = st.floats(0, 1, exclude_max=True)
    return draw(
        st.lists(st.tuples(kind, share, share, st.sampled_from(WORDS), st.integers(0, 255)), min_size=1, max_size=4)
    )


def changed(data, steps):
    """The bytes after the changes."""
    data = bytearray(data)
    for kind, where, other, word, value in steps:
        at, to = int(where * len(data)), int(other * len(data))
        if kind == "flip" and data:
            data[at] ^= 1 << value % 8
        elif kind == "set" and data:
            data[at] = value
        elif kind == "insert":
            data[at:at] = word
        elif kind == "delete":
            del data[at : at + 1 + value % 60]
        elif kind == "cut":
            del data[at:]
        elif kind == "copy":
            data[at : at + value] = data[to : to + value]
        elif kind == "lines":
            lines = bytes(data).split(b"\n")
            i, j = int(where * len(lines)), int(other * len(lines))
            lines[i], lines[j] = lines[j], lines[i]
            data = bytearray(b"\n".join(lines))
    return bytes(data)


@contextmanager
def no_hang(what):
    def end(number, frame):
        raise AssertionError(f"{what} took more than {SECONDS} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Each seed, written when it is asked for, and put right again after each change."""

    @cache
    def written(name):
        folder = tmp_path_factory.mktemp("seed") / "in"
        folder.mkdir()
        return folder, SEEDS[name][1](folder)

    return written


def read_it(name, given_, out):
    """Give it to its reader; what that writes can be read again."""
    READERS[SEEDS[name][0]](given_, out)
    if not out.exists():
        return
    try:
        list(Dataset.open(out).load_all())
    except DataError as error:
        # A channel that was not measured is kept as a column without values, and has to be left out by its name.
        if not str(error).startswith("E-DATA-009"):
            raise AssertionError(f"was written and cannot be read: {error}") from error


@pytest.mark.parametrize("name", SEEDS)
def test_the_seed_itself_is_read(sources, tmp_path, name):
    read_it(name, sources(name)[1], tmp_path / "out")


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=changes(), which=st.floats(0, 1, exclude_max=True))
@example(steps=[("cut", 0.0, 0.0, b"", 0)], which=0.0)
@example(steps=[("cut", 0.5, 0.0, b"", 0)], which=0.0)
@example(steps=[("cut", 0.98, 0.0, b"", 0)], which=0.99)
@example(steps=[("insert", 0.5, 0.0, b"\0" * 300, 0)], which=0.0)
@example(steps=[("copy", 0.6, 0.2, b"", 255)], which=0.0)
def test_changed_bytes_are_told_or_read(sources, tmp_path_factory, name, steps, which):
    folder, source = sources(name)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    file = files[int(which * len(files))]
    whole = file.read_bytes()
    out = tmp_path_factory.mktemp("fuzz") / "out"
    file.write_bytes(changed(whole, steps))
    refused = False
    try:
        with no_hang(name):
            read_it(name, source, out)
    except Conv2dError as error:
        refused = True
        check_sentence(str(error))
    finally:
        file.write_bytes(whole)
    assert {p.name for p in out.parent.iterdir()} <= (set() if refused else {"out"})
    assert sorted(p for p in folder.rglob("*") if p.is_file()) == files
    shutil.rmtree(out.parent)


ODD = [
    None, 0, -1, 3.5, float("nan"), float("inf"), 10**30, True, "", " ", "t", "x" * 500, "a/b", "../x", "\0", "\n",
    "\u2603", "utf-16", "(.*)", "((((", [], {}, ["t"], ["t", "t"], [None], [["t"]], {"t": "t"}, {"": ""},
    {"column": "t"}, {"column": None}, {"columns": ["t"]}, {"a": {"b": {"c": 1}}},
]  # fmt: skip
WHOLE = mapping_with(
    title="x", licence="x", notes=["x"], units={"acc": "m/s^2"}, rate_hz=50, files="*.csv", delimiter=",", decimal=".",
    encoding="utf8", skip_rows=0, missing=["-999"], classes=["sit", "walk"], quality={"again": "ax"},
    meta={"test": "run"},
)  # fmt: skip


def places(value, path=()):
    """The path of every value within nested dicts."""
    for key, inner in value.items():
        yield (*path, key)
        if isinstance(inner, dict):
            yield from places(inner, (*path, key))


@settings(max_examples=10 * EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(list(places(WHOLE))), st.sampled_from(ODD)), min_size=1, max_size=3))
def test_any_value_of_a_mapping_is_told_or_used(tmp_path_factory, odd):
    folder = tmp_path_factory.mktemp("odd")
    (folder / "move.csv").write_text(text_of(good_rows()))
    mapping = deepcopy(WHOLE)
    for path, value in odd:
        within = mapping
        for key in path[:-1]:
            within = within.get(key) if isinstance(within, dict) else None
        if isinstance(within, dict):
            within[path[-1]] = value
    refused = False
    try:
        with no_hang("mapping"):
            read_it("csv", Given(folder / "move.csv", mapping), folder / "out")
    except Conv2dError as error:
        refused = True
        check_sentence(str(error))
    assert {p.name for p in folder.iterdir()} <= ({"move.csv"} if refused else {"move.csv", "out"})
    shutil.rmtree(folder)
