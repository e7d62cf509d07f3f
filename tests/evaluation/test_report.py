"""The report: offline, escaped, complete, and it does not flatter."""

import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from conv2d.evaluation.report import write_report
from conv2d.evaluation.report_html import facts, number, picture, table
from conv2d.viz.classification import confusion_figure
from conv2d.viz.comparison import decoder_figure, per_subject_figure
from conv2d.viz.timeline import timeline_figure

EVIL = "<script>alert(1)</script>\"'&"
VOID = {"meta", "img", "br", "link", "input"}


class Page(HTMLParser):
    """Text by section, tags with attributes, and whether every tag is closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.section = "head"
        self.text: dict[str, str] = {}
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "h2":
            self.section = ""

    def handle_endtag(self, tag) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data) -> None:
        if self.open and self.open[-1] == "h2":
            self.section = data
        self.text[self.section] = self.text.get(self.section, "") + " " + data


def window(**given) -> dict:
    block = dict.fromkeys(("accuracy", "macro_f1", "balanced_accuracy", "nll", "brier", "ece", "mce"), 0.5)
    return block | {"coverage": "NOT_MEASURED", "mean_set_size": "NOT_MEASURED", "n": 7136} | given


def segment(**given) -> dict:
    return {
        "f1@10": 0.9,
        "f1@25": 0.9,
        "f1@50": 0.9,
        "edit": 0.9,
        "boundary_error_s": None,
        "predicted": 4,
        "true": 5,
    } | given


def metrics(**given) -> dict:
    decoders = {
        name: {"sample": window(accuracy=i / 10), "segment": segment()} for i, name in enumerate(("raw", "hsmm"))
    }
    return {
        "level": {"window": window(macro_f1=0.806, nll=0.229), "sample": window(accuracy=0.945), "segment": segment()},
        "decoder": "hsmm",
        "decoders": decoders,
        "baselines": {"majority": window(macro_f1=0.04), "random_kernels": window(macro_f1=0.816)},
        "per_subject": {
            "p01": {"macro_f1": 0.9, "n": 5}, EVIL: {"macro_f1": 0.4, "n": 5}, "p02": {"macro_f1": None, "n": 0},
        },
        "summary": {"worst_subject": EVIL, "worst_subject_macro_f1": 0.4, "subjects": 3},
        "codes": {"used": 147, "perplexity": 53.21, "level_usage": [1.0, 0.87512]},
        "latency_ms": "NOT_MEASURED",
        "leak_audit": {
            "passed": True, "checked": ["copies"], "not_measured": ["permuted_labels"], "findings": [],
            "notes": ["a few copies"], "figures": {"chance": 0.25},
        },
        "provenance": {},
    } | given  # fmt: skip


def written(tmp_path, **given) -> tuple[str, Page]:
    path = tmp_path / "report.html"
    arguments = {
        "title": "t",
        "metrics": metrics(),
        "figures": {},
        "notes": [],
        "timelines": [],
        "provenance": {},
    } | given
    write_report(path, **arguments)
    assert [file.name for file in tmp_path.iterdir()] == ["report.html"]
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert page.open == []
    return html, page


@pytest.fixture(scope="module")
def timeline():
    time = np.arange(2000) / 50
    return timeline_figure(
        time, np.random.default_rng(0).normal(size=(3, 1, 2000)), sensors=["s"], channels=["x", "y", "z"],
        classes=["a", "b"], predicted=[(0, 40, 1)],
    )  # fmt: skip


def test_every_section_says_what_the_metrics_hold(tmp_path) -> None:
    _, page = written(tmp_path, notes=["Five folds."], provenance={"seed": 7, "packages": {"numpy": "2.4"}})
    assert "Five folds." in page.text["head"]
    for figure in ("0.806", "0.945", "0.900", "0.229", "0.500", "0.400"):
        assert figure in page.text["Summary"]
    assert (
        "does not beat the best baseline on single windows: macro-F1 0.806 against 0.816 of random_kernels"
        in (page.text["Summary"])
    )
    assert "7,136" in page.text["Levels"]
    assert "NOT_MEASURED: coverage, mean_set_size" in page.text["Levels"]
    assert "The timeline of this report is that of hsmm" in page.text["Decoders"]
    assert page.text["Baselines"].index("this network") < page.text["Baselines"].index("majority")
    subjects = page.text["Subjects"]
    assert subjects.index(EVIL) < subjects.index("p01") < subjects.index("p02"), "worst first, unknown last"
    assert "53.210" in page.text["Codes"]
    assert "1.000, 0.875" in page.text["Codes"]
    assert "NOT_MEASURED" in page.text["Latency"]
    assert "passed" in page.text["Leak audit"]
    assert "Checked: whether signal of one side was copied to the other." in page.text["Leak audit"]
    assert "a few copies" in page.text["Leak audit"]
    assert "packages.numpy  2.4" in re.sub(r"\s+", "  ", page.text["Provenance"])


def test_nothing_is_fetched_and_nothing_runs(tmp_path, timeline) -> None:
    figures = {
        "decoders": decoder_figure({"raw": {"edit": 0.5}}, metrics=["edit"]),
        "per_subject": per_subject_figure({"a": 0.5}),
        "confusion": confusion_figure(np.eye(3), ["a", "b", "c"]),
        "extra": per_subject_figure({"b": 0.5}),
    }
    html, page = written(tmp_path, figures=figures, timelines=[("worst & wide", timeline)])
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object")
        for name in ("src", "href"):
            assert not re.match(r"\s*(https?:)?//", attributes.get(name) or "")
        assert not any(name.startswith("on") for name in attributes)
    assert "url(" not in html
    assert "default-src 'none'" in html
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["src"].split(";")[0] for image in images].count("data:image/svg+xml") == 4
    assert images[-2]["alt"] == "extra"
    assert images[-1]["alt"] == "worst & wide"
    assert images[-1]["src"].startswith("data:image/png")
    for image in images:
        start = base64.b64decode(image["src"].split(",")[1])[:40]
        assert start.startswith((b"\x89PNG", b"<?xml"))
    assert "extra" in page.text["Further figures"]
    assert len(html) < 3_000_000


def test_everything_from_outside_is_escaped(tmp_path, timeline) -> None:
    html, page = written(
        tmp_path,
        title=EVIL,
        metrics=metrics(
            **{EVIL: {EVIL: EVIL}},
            decoder=EVIL,
            latency_ms=EVIL,
            decoders={EVIL: {"sample": {EVIL: EVIL}, "segment": {}}},
            baselines={EVIL: window(macro_f1=0.9)},
            per_class={EVIL: {EVIL: 1}},
            leak_audit={"passed": False, "folds": [{"findings": [EVIL], "notes": [EVIL], "figures": {EVIL: EVIL}}]},
            cross_validation={"folds": [{"fold": 1, "test": [EVIL], "level": {}}], "over_folds": {EVIL: EVIL}},
        ),
        figures={EVIL: per_subject_figure({EVIL: 0.5})},
        notes=[EVIL],
        timelines=[(EVIL, timeline)],
        provenance={EVIL: [EVIL]},
    )
    assert "<script" not in html
    assert "alert(1)</" not in html
    assert all(tag != "script" for tag, _ in page.tags)
    assert sum(text.count(EVIL) for text in page.text.values()) > 15, "it is shown, as text"


def test_simulated_data_are_called_so(tmp_path) -> None:
    assert "Simulated data" not in written(tmp_path)[0]
    assert "Simulated data: no animal or person was recorded." in written(tmp_path, simulated=True)[1].text["head"]


def test_a_failed_audit_is_seen(tmp_path) -> None:
    audit = {"passed": False, "folds": [{"findings": [], "figures": {"chance": 0.5}}, {"findings": ["E-LEAK-001: s1"]}]}
    html, page = written(tmp_path, metrics=metrics(leak_audit=audit))
    assert "failed" in page.text["Leak audit"]
    assert "E-LEAK-001: s1" in page.text["Leak audit"]
    assert '<p class="pass">' not in html
    assert "NOT_MEASURED" in written(tmp_path, metrics=metrics(leak_audit=None))[1].text["Leak audit"]


def test_the_audit_says_what_it_checked_and_no_more(tmp_path) -> None:
    _, page = written(tmp_path)
    said, left_out = page.text["Leak audit"].split("NOT_MEASURED: ")
    assert "passed what was checked" in said
    assert "permuted" not in said
    assert "subject" not in said
    assert left_out.startswith("whether a cheap model beats chance when the labels are permuted")
    every = {"passed": True, "checked": ["subjects", "copies"], "not_measured": []}
    said = written(tmp_path, metrics=metrics(leak_audit=every))[1].text["Leak audit"]
    assert "NOT_MEASURED" not in said
    assert "whether a subject stands on both sides; whether signal" in said
    of_folds = every | {"not_measured": ["fitted"], "folds": [{}]}
    assert (
        "NOT_MEASURED in one fold or more: whether anything fitted"
        in (written(tmp_path, metrics=metrics(leak_audit=of_folds))[1].text["Leak audit"])
    )


def test_an_audit_that_checked_nothing_has_not_passed(tmp_path) -> None:
    html, page = written(tmp_path, metrics=metrics(leak_audit={"passed": True, "findings": []}))
    assert '<p class="pass">' not in html
    assert "NOT_MEASURED" in page.text["Leak audit"]


def test_a_baseline_that_was_not_measured_keeps_its_row(tmp_path) -> None:
    baselines = {"majority": window(macro_f1=0.04), "random_kernels": "NOT_MEASURED"}
    _, page = written(tmp_path, metrics=metrics(baselines=baselines))
    row = page.text["Baselines"].split("random_kernels")[1].split()
    assert set(row) >= {"NOT_MEASURED"}
    assert "0.500" not in row
    assert "beats the best baseline on single windows: macro-F1 0.806 against 0.040 of majority" in page.text["Summary"]
    _, page = written(tmp_path, metrics=metrics(baselines={"forest": "NOT_MEASURED"}))
    assert "not compared with baselines" in page.text["Summary"]
    assert "forest" in page.text["Baselines"]


def test_folds_and_further_blocks_are_shown(tmp_path) -> None:
    folds = [{"fold": i, "test": ["p1", "p2"], "level": {"window": {"macro_f1": i / 4}}} for i in (1, 2)]
    validation = {"folds": folds, "over_folds": {"window": {"macro_f1": {"mean": 0.375, "std": 0.1768}}}}
    _, page = written(tmp_path, metrics=metrics(cross_validation=validation, data={"missing_share": 0.02}))
    assert "0.375 ± 0.177" in page.text["Folds"]
    assert "2: p1, p2" in page.text["Folds"]
    assert "data.missing_share" in page.text["Further"]


def test_metrics_that_lack_everything_still_make_a_report(tmp_path) -> None:
    _, page = written(tmp_path, metrics={})
    assert page.text["Summary"].count("NOT_MEASURED") >= 6
    assert "not compared with baselines" in page.text["Summary"]
    for section in ("Levels", "Decoders", "Baselines", "Subjects", "Codes", "Leak audit", "Latency"):
        assert "NOT_MEASURED" in page.text[section], section


def test_same_input_same_file(tmp_path, timeline) -> None:
    arguments = {"figures": {"per_subject": per_subject_figure({"a": 0.5})}, "timelines": [("x", timeline)]}
    assert written(tmp_path, **arguments)[0] == written(tmp_path, **arguments)[0]


def test_best_of_a_column_is_bold_only_where_there_is_one() -> None:
    html = table(
        ["model", "nll", "n", "ece"],
        [("a", [0.3, 5, 0.1]), ("b", [0.2, 9, 0.1]), ("c", ["NOT_MEASURED", None, 0.1])],
        best={"nll": False, "ece": False},
        own="b",
    )
    assert re.findall(r"<td class=best>([^<]*)", html) == ["0.200"]
    assert '<tr class=own><th scope="row">b</th>' in html


def test_numbers_are_written_as_they_are() -> None:
    assert number(1e-5) == "1.0e-05"
    assert number(0.0) == "0.000"
    assert number(True) == "yes"
    assert number(1234.5) == "1,234"
    assert number(float("nan")) == '<span class="absent">nan</span>'
    assert "<details><summary>60 values</summary>" in facts({"subjects": [f"p{i}" for i in range(60)]})
    assert facts({"a": []}).count("none") == 1


def test_dense_figures_become_pixels() -> None:
    figure = confusion_figure(np.random.default_rng(0).integers(1, 999, (12, 12)), [f"class {i}" for i in range(12)])
    assert "data:image/png" in picture(figure, "dense")
