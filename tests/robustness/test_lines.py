"""The line that a sentence names is the line on which an editor shows the fault, whatever stands before it."""

import re

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from conv2d.data.importers import tables
from conv2d.data.importers.csv_parquet import import_tables
from conv2d.errors import DataError

from .good_table import COLUMNS, good_rows, mapping_with


def fault(kind, row):
    """The cells of a row with one fault."""
    cells = dict(row)
    if kind == "word":
        cells["ay"] = "broken"
    elif kind == "short":
        cells = {c: cells[c] for c in COLUMNS[:3]}
    elif kind == "long":
        cells["more"] = "x"
    elif kind == "infinite":
        cells["ay"] = "inf"
    elif kind == "time back":
        cells["t"] = "-5"
    elif kind == "no time":
        cells["t"] = ""
    elif kind == "zero byte":
        cells["what"] = "si\0t"
    elif kind == "latin-1":
        cells["what"] = "l\udce4uft"  # written as the byte 0xe4
    elif kind == "subject":
        cells["dog"] = "bello"
    return cells


FAULTS = ["word", "short", "long", "infinite", "time back", "no time", "zero byte", "latin-1", "subject"]


@st.composite
def faulty_files(draw):
    """Bytes, the mapping, the true line of the fault and its kind."""
    kind = draw(st.sampled_from(FAULTS))
    rows = good_rows()[:60]
    at = draw(st.integers(2, len(rows) - 1))
    before = draw(st.integers(0, 3))  # lines that skip_rows passes over
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    delimiter = draw(st.sampled_from([",", ";", "\t"]))
    quoted = draw(st.booleans())
    broken_over_lines = draw(st.sets(st.integers(0, at - 1), max_size=6)) if quoted else set()
    blank_before = draw(st.dictionaries(st.integers(0, at), st.integers(1, 3), max_size=5))
    mark = draw(st.booleans())
    lines = ['a "preamble' for _ in range(before)] + [delimiter.join(COLUMNS)]
    for i, row in enumerate(rows):
        lines += [""] * blank_before.get(i, 0)
        if i == at:
            true_line = len(lines) + 1
            row = fault(kind, row)
        cells = [f'"{v}"' if quoted and c in ("what", "dog") else v for c, v in row.items()]
        text = delimiter.join(cells)
        if i in broken_over_lines:
            text = (
                text.replace('"none"', f'"no{end}""ne"')
                .replace('"sit"', f'"s{end}it"')
                .replace('"walk"', f'"w{end}{end}k"')
            )
            lines += re.split(r"\r\n|\r|\n", text)
        else:
            lines.append(text)
    data = ("\ufeff" * mark + end.join(lines) + end).encode("utf8", "surrogateescape")
    mapping = mapping_with(delimiter=delimiter, skip_rows=before, recording={"columns": ["run"]})
    return data, mapping, true_line, kind


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(faulty_files(), st.sampled_from([64, 200, 700, 4 << 20]))
def test_the_line_of_a_fault_is_right(tmp_path_factory, faulty, block_bytes):
    data, mapping, true_line, kind = faulty
    folder = tmp_path_factory.mktemp("lines")
    (folder / "move.csv").write_bytes(data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_BLOCK_BYTES", block_bytes)
        with pytest.raises(DataError) as caught:
            import_tables(folder / "move.csv", folder / "out", mapping, kind="csv")
    named = re.search(r"line (\d+)", str(caught.value))
    assert named, str(caught.value)
    assert int(named[1]) == true_line, f"{kind}: {caught.value}"
    assert [p.name for p in folder.iterdir()] == ["move.csv"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([64, 200, 700, 4 << 20]), st.sampled_from(["\n", "\r\n", "\r"]))
def test_any_text_within_quotes_arrives(tmp_path_factory, data, block_bytes, end):
    """Line breaks, doubled quotes and delimiters within quotes, in blocks that end anywhere."""
    words = data.draw(st.lists(st.text("ab\",;'\u00e4 " + end, min_size=1), min_size=2, max_size=12))
    words = [w for w in words if w.strip()]
    assume(len(words) >= 2)
    lines = ["t,ax,what", *(f'{i},1,"{w.replace(chr(34), chr(34) * 2)}"' for i, w in enumerate(words))]
    folder = tmp_path_factory.mktemp("quotes")
    (folder / "move.csv").write_bytes((end.join(lines) + end).encode())
    mapping = {
        "name": "x", "rate_hz": 1, "channels": {"a/x": "ax"}, "label": "what", "subject": {"constant": "rex"},
        "time": {"column": "t", "unit": "s"},
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "_BLOCK_BYTES", block_bytes)
        result = import_tables(folder / "move.csv", folder / "out", mapping, kind="csv")
    expected: dict[str, int] = {}
    for word in words:
        expected[word.strip()] = expected.get(word.strip(), 0) + 1
    assert result.labels == dict(sorted(expected.items()))
