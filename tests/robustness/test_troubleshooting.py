"""The page of troubles quotes sentences that are really said, and codes that exist."""

import re
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PAGE = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (E-[A-Z]+-\d{3}) \*(.+?)\*(?:, as (E-[A-Z]+-\d{3}))? \|", PAGE, re.MULTILINE)


@pytest.fixture(scope="module")
def sources():
    """The package's code, with texts that were broken over lines joined again."""
    code = "\n".join(p.read_text(encoding="utf-8") for p in (REPOSITORY / "python" / "conv2d" / "data").rglob("*.py"))
    return re.sub(r"['\"]\s*\n\s*f?['\"]", "", code)


def test_the_table_is_found():
    assert len(ROWS) >= 30
    assert all(line.count("|") == 4 for line in PAGE.splitlines() if line.startswith("| E-"))


@pytest.mark.parametrize(("code", "words", "other"), ROWS)
def test_codes_and_words_are_those_of_the_package(sources, code, words, other):
    assert (other or code) in sources
    fixed = re.sub(r"\b\d+\b", "0", words)
    patterns = [words, fixed]
    known = re.sub(r"\{[^{}]*\}", "0", sources)
    known = known.replace("\\'", "'").replace('\\"', '"')
    assert any(p in text for p in patterns for text in (sources, known)), words
