"""Files of numbers: the fast way gives what the slow one does, and whatever is off is told by its line."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conv2d.data.importers import number_files
from conv2d.data.importers.number_files import read_number_file, read_numbers, whole_numbers
from conv2d.errors import DataError

NUMBERS = st.floats(width=32, allow_infinity=False) | st.integers(-5, 5)
BLANKS = st.sampled_from([" ", "  ", "\t", " \t "])


@st.composite
def number_texts(draw):
    """Lines of three numbers, with blanks as published files have them, and what they mean."""
    rows = draw(st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=30))
    spell = draw(st.sampled_from(["{!r}", "{:.9e}", "{:+.9g}", "{: .12f}"]))
    nan = draw(st.sampled_from(["NaN", "nan", "-nan", "NAN", "Nan"]))
    lines = []
    for row in rows:
        fields = [nan if value != value else spell.format(value) for value in row]
        before, after = draw(st.sampled_from(["", " ", "\t"])), draw(st.sampled_from(["", " ", "  "]))
        lines.append(before + draw(BLANKS).join(fields) + after)
    end = draw(st.sampled_from(["\n", "\r\n"]))
    text = end.join(lines) + draw(st.sampled_from(["", end, end * 3, end + "  " + end]))
    expected = [[float(field) for field in line.split()] for line in lines]
    return text, np.array(expected).T


@given(number_texts(), st.integers(1, 40))
def test_any_spelling_is_read_in_blocks_of_any_size(tmp_path_factory, written, size):
    text, expected = written
    path = tmp_path_factory.mktemp("numbers") / "a.txt"
    path.write_bytes(text.encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(number_files, "_CHUNK_BYTES", size)
        patch.setattr(number_files, "_HEAD_BYTES", size)
        blocks = list(read_numbers(path, 3))
    assert [b.first_line for b in blocks] == list(np.cumsum([1] + [b.n_rows for b in blocks])[:-1])
    np.testing.assert_array_equal(np.concatenate([b.columns for b in blocks], axis=1), expected)


def test_only_columns_in_use_are_read_and_in_their_order(tmp_path):
    (tmp_path / "a.txt").write_text("1 2 text\n3 4 text\n")
    np.testing.assert_array_equal(read_number_file(tmp_path / "a.txt", 3, [1, 0]).columns, [[2, 4], [1, 3]])


def test_a_mark_of_utf8_is_no_number(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbf1 2\n")
    np.testing.assert_array_equal(read_number_file(tmp_path / "a.txt", 2).columns, [[1], [2]])


@pytest.mark.parametrize("good", [0, 3, 50])  # lines before the fault: in the first block and behind it
@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("1 2", r"line {n} of a.txt has 2 values, expected 3 numbers"),
        ("1 2 3 4", r"line {n} of a.txt has 4 values, expected 3 numbers"),
        ("", r"line {n} of a.txt is empty, expected 3 numbers"),
        ("1 x 3", r"value 2 in line {n} of a.txt is 'x', expected a number"),
        ("1 0,5 3", r"value 2 in line {n} of a.txt is '0,5', expected a number"),
        ("1 1_000 3", r"value 2 in line {n} of a.txt is '1_000', expected a number"),
        ("1 2 inf", r"value 3 in line {n} of a.txt is inf, expected a number within float32"),
        ("1 -1e39 3", r"value 2 in line {n} of a.txt is -1e+39, expected a number within float32"),
        ("1 2 \0", r"value 3 in line {n} of a.txt is '\x00', expected a number"),
        (
            "1,2,3",
            r"line {n} of a.txt has 1 values, expected 3 numbers between blanks; its values stand between commas",
        ),
        ("1; 2; 3", r"value 1 in line {n} of a.txt is '1;', expected a number"),
        ("1;2;3", r"expected 3 numbers between blanks; its values stand between semicolons"),
        ("1,2", r"line {n} of a.txt has 1 values, expected 3 numbers between blanks; copy the file again"),
        ('1 "2" 3', r"""value 2 in line {n} of a.txt is '"2"', expected a number"""),
    ],
)
def test_a_fault_is_told_with_its_line(tmp_path, monkeypatch, good, line, told):
    monkeypatch.setattr(number_files, "_CHUNK_BYTES", 64)
    monkeypatch.setattr(number_files, "_HEAD_BYTES", 16)
    (tmp_path / "a.txt").write_text("1.5 2.5 3.5\n" * good + line + "\n4 5 6\n")
    with pytest.raises(DataError, match=re.escape(told.format(n=good + 1))):
        list(read_numbers(tmp_path / "a.txt", 3))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is empty"),
        (b"\n \n\n", "holds no line, expected 3 numbers a line"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"<!DOCTYPE html><html>", "a web page"),
        (bytes(5000), "begins with 4096 zero bytes"),
        ("1 2 3\n".encode("utf-16"), "is UTF-16 text by its first two bytes; copy the published file again, or save"),
        ("1 2 3\n4 5 6\n".encode("utf-16-le"), "has a zero byte in every second place, as UTF-16 text; copy the pub"),
        (b"7" * 20_000_000, "has a line of more than 1 MB"),
    ],
)
def test_a_file_that_is_none_of_numbers(tmp_path, content, told):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=told):
        list(read_numbers(tmp_path / "a.txt", 3))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*a.txt \(No such file"):
        list(read_numbers(tmp_path / "a.txt", 3))


def test_whole_numbers(tmp_path):
    (tmp_path / "a.txt").write_text("1 2.5\n2.0 3\n-3 nan\n")
    block = read_number_file(tmp_path / "a.txt", 2)
    assert whole_numbers(block, 0, "the label").tolist() == [1, 2, -3]
    with pytest.raises(DataError, match=r"the label is 2.5 in line 1 of a.txt, expected a whole number"):
        whole_numbers(block, 1, "the label")
