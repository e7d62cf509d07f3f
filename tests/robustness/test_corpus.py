"""Every broken input of the corpus is refused in its own sentence, and nothing is left behind."""

import re
from collections import Counter

import pytest

from conv2d.errors import Conv2dError

from .corpus import READERS
from .corpus_csv import CASES as CSV
from .corpus_dataset import CASES as DATASETS
from .corpus_formats import CASES as FORMATS
from .corpus_parquet import CASES as PARQUET

CORPUS = [*CSV, *PARQUET, *DATASETS, *FORMATS]


@pytest.mark.parametrize("broken", CORPUS, ids=lambda b: b.id)
def test_a_broken_input_has_its_sentence(tmp_path, broken):
    (tmp_path / "in").mkdir()
    out = tmp_path / "work" / "out"
    out.parent.mkdir()
    given = broken.make(tmp_path / "in")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(Conv2dError) as caught:
        READERS[broken.reader](given, out)
    said = str(caught.value)
    for word in broken.words:
        assert word in said, said
    assert said.startswith(broken.words[0])
    check_sentence(said)
    assert sorted(tmp_path.rglob("*")) == before, "something was left behind"


def check_sentence(said):
    """A code, one line, what to do after what was got, and no more than can be read at a glance."""
    assert re.match(r"E-[A-Z]+-\d{3}: ", said), said
    assert "\n" not in said, said
    assert len(said) < 700, said
    assert "; " in said or ", expected" in said, said
    assert "Traceback" not in said, said


def test_the_corpus_is_large_and_no_entry_stands_twice():
    counts = Counter(b.id for b in CORPUS)
    assert max(counts.values()) == 1
    assert len(CORPUS) >= 100
