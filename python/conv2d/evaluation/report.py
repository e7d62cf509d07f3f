"""``report.html``: one file that tells a reader without a computer scientist at hand how far a model can be trusted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conv2d.evaluation.leak_audit import CHECKS, NOT_MEASURED
from conv2d.evaluation.report_html import facts, flatten, number, page, picture, table, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EXPLAIN = {
    "accuracy": "share that is right",
    "macro_f1": "F1 of each class, averaged: rare classes count as much as common ones; 1 is best",
    "balanced_accuracy": "share that is right in each class, averaged over classes",
    "nll": "negative log-likelihood: how surprised the model is by the truth; 0 is best",
    "brier": "squared distance of the probabilities from the truth; 0 is best, 2 is worst",
    "ece": "expected calibration error: mean gap between confidence and share right; 0 is best",
    "mce": "the largest such gap of any bin",
    "coverage": "share of conformal sets that hold the truth",
    "mean_set_size": "classes in a conformal set, on average",
    "n": "how many were labelled and judged",
    "f1@10": "segments found: right class and an overlap (intersection over union) of at least 10 %",
    "f1@25": "the same with at least 25 % overlap",
    "f1@50": "the same with at least 50 % overlap",
    "edit": "order of the segments, whatever their length: 1 minus edits needed over the number of segments",
    "boundary_error_s": "seconds between a true boundary and the decoded one",
    "predicted": "segments in the decoded timelines",
    "true": "segments in the annotation",
}

_LARGER_IS_BETTER = {
    **dict.fromkeys(("accuracy", "macro_f1", "balanced_accuracy", "f1@10", "f1@25", "f1@50", "edit"), True),
    **dict.fromkeys(("nll", "brier", "ece", "mce", "boundary_error_s"), False),
}

_CARDS = (
    ("window", "macro_f1", "Window macro-F1", "each window judged alone, all classes counting the same; 1 is best"),
    ("sample", "accuracy", "Timeline accuracy", "share of annotated samples whose decoded label is right"),
    ("segment", "f1@50", "Segments found (F1@50)", "right class and at least half of the segment overlapping"),
    ("window", "nll", "Window NLL", "how surprised the probabilities are by the truth; 0 is best"),
    ("window", "ece", "Calibration error (ECE)", "mean gap between how sure the model is and how often it is right"),
)

_SECTIONS = {
    "decoders": "Decoders",
    "per_subject": "Subjects",
    "reliability": "Calibration",
    "confusion": "Confusion",
    "codes": "Codes",
    "duration": "Durations",
    "history": "Training",
}
"""What the name of a figure begins with, and the section where it stands."""

_CAPTIONS = {
    "decoders": "The same probabilities through each decoder; the one of this report is blue.",
    "per_subject": "Window macro-F1 of each subject over the classes that it shows, the worst on top.",
    "reliability": "How often the top label is right, against how sure the model was; frames in each bin beneath.",
    "confusion": "What is taken for what.",
    "codes": "How often each code occurs, and how many make up most of the occurrences.",
    "history": "The course of the training.",
}

_SHOWN = {
    *("level", "decoder", "decoders", "baselines", "per_subject", "per_class", "summary", "codes", "latency_ms"),
    *("confusion", "reliability", "cross_validation", "leak_audit", "provenance"),
}


def write_report(
    path: str | Path,
    *,
    title: str,
    metrics: Mapping[str, Any],
    figures: Mapping[str, Figure],
    notes: Sequence[str],
    timelines: Sequence[tuple[str, Figure]],
    provenance: Mapping[str, Any],
    simulated: bool = False,
) -> None:
    """Write one self-contained HTML file, readable offline, light or dark; the file is replaced in one step.

    Parameters
    ----------
    path, title:
        Where to write, and what to call it.
    metrics:
        The structure of ``metrics.json``; what is missing is shown as NOT_MEASURED, blocks that the report does
        not know are listed at its end.
    figures:
        By name; ``decoders``, ``per_subject``, ``reliability``, ``confusion``, ``codes``, ``duration`` and ``history``
        (or names that begin so) stand in their sections, others in one of their own.
    notes:
        Sentences for the head of the report.
    timelines:
        Caption and figure of recordings, of the worst subjects as a rule.
    provenance:
        Hashes, seed, versions, machine.
    simulated:
        Says in a banner that no animal or person was recorded.

    All text is escaped. Sparse figures go in as SVG, dense ones as PNG. Same input, same file.
    """
    by_section: dict[str, list[str]] = {}
    for name, figure in figures.items():
        section = next((title for start, title in _SECTIONS.items() if name.startswith(start)), "Further figures")
        by_section.setdefault(section, []).append(picture(figure, _CAPTIONS.get(name, name.replace("_", " "))))
    sections = [
        ("Summary", _summary(metrics)),
        ("Levels", _levels(metrics)),
        ("Decoders", _decoders(metrics)),
        ("Baselines", _baselines(metrics)),
        ("Subjects", _subjects(metrics)),
        ("Classes", _classes(metrics)),
        ("Calibration", _calibration(metrics)),
        ("Confusion", "<p>Rows are the truth; each cell gives the share of its row, and the count beneath.</p>"),
        ("Codes", _codes(metrics)),
        ("Durations", ""),
        ("Training", ""),
        ("Further figures", ""),
        ("Timelines", "".join(picture(figure, caption, dense=True) for caption, figure in timelines)),
        ("Folds", _folds(metrics)),
        ("Leak audit", _leak_audit(metrics)),
        ("Latency", _block_or_word(metrics.get("latency_ms", NOT_MEASURED))),
        ("Further", facts({name: value for name, value in metrics.items() if name not in _SHOWN})),
        ("Provenance", facts(provenance)),
    ]
    optional = {"Classes", "Confusion", "Durations", "Training", "Further figures", "Timelines", "Folds", "Further"}
    filled = []
    for name, content in sections:
        pictures = "".join(by_section.get(name, []))
        empty = not pictures and (not content or name == "Confusion" or (name == "Further" and set(metrics) <= _SHOWN))
        if not (name in optional and empty):
            filled.append((name, content + pictures))
    opening = '<p class="banner">Simulated data: no animal or person was recorded.</p>' if simulated else ""
    opening += "".join(f"<p>{text(note)}</p>" for note in notes)
    path = Path(path)
    aside = path.with_name(f"{path.name}.partial")
    try:
        aside.write_text(page(title, opening, filled), encoding="utf-8")
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _summary(metrics: Mapping[str, Any]) -> str:
    level = metrics.get("level", {})
    cards = [
        f'<div class="card">{text(label)}<strong>{number(level.get(block, {}).get(key, NOT_MEASURED))}</strong>'
        f"<span>{text(meaning)}</span></div>"
        for block, key, label, meaning in _CARDS
    ]
    summary = dict(metrics.get("summary", {}))
    worst, worst_f1 = summary.pop("worst_subject", NOT_MEASURED), summary.pop("worst_subject_macro_f1", NOT_MEASURED)
    cards.append(
        f'<div class="card">Worst subject: {text(worst)}<strong>{number(worst_f1)}</strong>'
        "<span>its window macro-F1: what a new individual may have to expect</span></div>"
    )
    lines = [_against_baselines(metrics)]
    if summary:
        further = "; ".join(
            f"{text(name.replace('_', ' '))} {number(value)}" for name, value in flatten(summary).items()
        )
        lines.append(f'<p class="soft">{further}</p>')
    return f'<div class="cards">{"".join(cards)}</div>{"".join(lines)}'


def _against_baselines(metrics: Mapping[str, Any]) -> str:
    """One sentence that does not flatter."""
    own = metrics.get("level", {}).get("window", {}).get("macro_f1")
    rivals = {
        name: block["macro_f1"]
        for name, block in _baseline_blocks(metrics).items()
        if isinstance(block.get("macro_f1"), int | float)
    }
    if not isinstance(own, int | float) or not rivals:
        return "<p>The network was not compared with baselines.</p>"
    best = max(rivals, key=lambda name: rivals[name])
    verdict = "beats" if own > rivals[best] else "equals" if own == rivals[best] else "does not beat"
    return (
        f"<p>The network {verdict} the best baseline on single windows: macro-F1 {number(float(own))} against "
        f"{number(float(rivals[best]))} of {text(best)}.</p>"
    )


def _levels(metrics: Mapping[str, Any]) -> str:
    level = metrics.get("level", {})
    out = [
        "<p>A window is judged alone, without smoothing; samples and segments are those of the decoded timeline.</p>"
    ]
    both = {name: level[name] for name in ("window", "sample") if isinstance(level.get(name), Mapping)}
    out.append(_comparison(both, "level", mark_best=False) if both else _word(NOT_MEASURED))
    if isinstance(level.get("segment"), Mapping):
        out.append(_comparison({"segment": level["segment"]}, "level", mark_best=False))
    return "".join(out)


def _decoders(metrics: Mapping[str, Any]) -> str:
    decoders = metrics.get("decoders")
    if not isinstance(decoders, Mapping) or not decoders:
        return _word(NOT_MEASURED)
    own = metrics.get("decoder")
    out = []
    for level, meaning in (("sample", "Share of samples"), ("segment", "Segments")):
        blocks = {name: block[level] for name, block in decoders.items() if isinstance(block.get(level), Mapping)}
        if blocks:
            out.append(f"<h3>{meaning}</h3>{_comparison(blocks, 'decoder', own=own)}")
    if own:
        out.insert(0, f"<p>The timeline of this report is that of {text(own)}; the best of each column is bold.</p>")
    return "".join(out)


def _baseline_blocks(metrics: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    baselines = metrics.get("baselines")
    if not isinstance(baselines, Mapping):
        return {}
    # One that was not measured has the word in place of its figures, and keeps its row.
    return {name: block.get("window", block) if isinstance(block, Mapping) else {} for name, block in baselines.items()}


def _baselines(metrics: Mapping[str, Any]) -> str:
    blocks = _baseline_blocks(metrics)
    if not blocks:
        return _word(NOT_MEASURED)
    own = metrics.get("level", {}).get("window", {})
    return "<p>On the same single windows, trained on the same subjects.</p>" + _comparison(
        {"this network": own, **blocks}, "model", own="this network"
    )


def _subjects(metrics: Mapping[str, Any]) -> str:
    subjects = metrics.get("per_subject")
    if not isinstance(subjects, Mapping) or not subjects:
        return _word(NOT_MEASURED)
    blocks = {name: flatten(block) for name, block in subjects.items()}

    def rank(name: str) -> tuple[bool, float, str]:
        score = blocks[name].get("macro_f1")
        known = isinstance(score, int | float)
        return not known, float(score) if isinstance(score, int | float) else 0.0, name

    ordered = {name: blocks[name] for name in sorted(blocks, key=rank)}
    return "<p>The worst first.</p>" + _comparison(ordered, "subject", mark_best=False)


def _classes(metrics: Mapping[str, Any]) -> str:
    classes = metrics.get("per_class")
    if not isinstance(classes, Mapping) or not all(isinstance(block, Mapping) for block in classes.values()):
        return ""
    return _comparison({name: flatten(block) for name, block in classes.items()}, "class", mark_best=False)


def _calibration(metrics: Mapping[str, Any]) -> str:
    window = metrics.get("level", {}).get("window", {})
    keys = ("nll", "brier", "ece", "mce", "coverage", "mean_set_size")
    return (
        "<p>A probability is honest when of all windows that are given, say, 80 %, four in five are right.</p>"
        + _comparison({"window": {key: window.get(key, NOT_MEASURED) for key in keys}}, "level", mark_best=False)
    )


def _codes(metrics: Mapping[str, Any]) -> str:
    return "<p>Perplexity is the number of equally frequent codes that would carry as much.</p>" + _block_or_word(
        metrics.get("codes", NOT_MEASURED)
    )


def _folds(metrics: Mapping[str, Any]) -> str:
    validation = metrics.get("cross_validation")
    if not isinstance(validation, Mapping):
        return ""
    rest = {name: value for name, value in validation.items() if name != "folds"}
    folds = [fold for fold in validation.get("folds", []) if isinstance(fold, Mapping)]
    blocks = {}
    for fold in folds:
        figures = flatten(fold.get("level", {}))
        tested = ", ".join(str(subject) for subject in fold.get("test", []))
        blocks[f"{fold.get('fold')}: {tested}"] = {
            f"{level} {key}": figures.get(f"{level}.{key}", NOT_MEASURED) for level, key, _, _ in _CARDS
        }
    return (
        "<p>Mean ± standard deviation.</p>"
        + facts(rest)
        + (_comparison(blocks, "fold", mark_best=False) if blocks else "")
    )


def _leak_audit(metrics: Mapping[str, Any]) -> str:
    audit = metrics.get("leak_audit")
    if not isinstance(audit, Mapping):
        return _word(NOT_MEASURED)
    passed, left_out = audit.get("passed"), audit.get("not_measured", [])
    verdict = (
        f'<p class="pass">passed{" what was checked" if left_out else ""}</p>'
        if passed is True and audit.get("checked")
        else f'<p class="fail">{"failed" if passed is False else NOT_MEASURED}</p>'
    )
    parts = [fold for fold in audit.get("folds", []) if isinstance(fold, Mapping)] or [audit]
    findings = [finding for part in parts for finding in part.get("findings", [])]
    remarks = list(dict.fromkeys(note for part in parts for note in part.get("notes", [])))
    items = "".join(f'<li class="fail">{text(finding)}</li>' for finding in findings)
    items += "".join(f"<li>{text(remark)}</li>" for remark in remarks)
    blocks = {
        (str(index) if len(parts) > 1 else "audit"): part["figures"]
        for index, part in enumerate(parts, 1)
        if isinstance(part.get("figures"), Mapping) and part["figures"]
    }
    shown = ("passed", "checked", "not_measured", "folds", "findings", "notes", "figures")
    rest = {name: value for name, value in audit.items() if name not in shown}
    return (
        verdict
        + _checks("Checked", audit.get("checked", []))
        + _checks(NOT_MEASURED + (" in one fold or more" if audit.get("folds") else ""), left_out)
        + (f"<ul>{items}</ul>" if items else "")
        + (_comparison(blocks, "fold" if len(parts) > 1 else "", mark_best=False) if blocks else "")
        + (facts(rest) if rest else "")
    )


def _checks(what: str, names: Sequence[str]) -> str:
    """The questions that an audit asked, or did not."""
    return f"<p>{what}: {text('; '.join(CHECKS.get(name, name) for name in names))}.</p>" if names else ""


def _comparison(
    blocks: Mapping[str, Mapping[str, Any]], corner: str, *, own: str | None = None, mark_best: bool = True
) -> str:
    """Blocks of figures as rows; a figure that none of them has is named beneath instead of filling a column."""
    keys = list(dict.fromkeys(key for block in blocks.values() for key in block))
    absent = [key for key in keys if all(block.get(key) in (None, NOT_MEASURED) for block in blocks.values())]
    columns = [key for key in keys if key not in absent]
    rows = [(name, [block.get(key, NOT_MEASURED) for key in columns]) for name, block in blocks.items()]
    body = table([corner, *columns], rows, explain=EXPLAIN, best=_LARGER_IS_BETTER if mark_best else None, own=own)
    return body + (f'<p class="soft">{NOT_MEASURED}: {text(", ".join(absent))}</p>' if absent else "")


def _block_or_word(value: Any) -> str:
    return facts(value) if isinstance(value, Mapping) else _word(value)


def _word(value: Any) -> str:
    return f"<p>{number(value)}</p>"
