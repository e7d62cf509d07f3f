"""``audit.html``: an audit as one page that needs nothing else, with its figures."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conv2d.data.audit.between_sensors import BetweenSensors
from conv2d.data.audit.calibration import AutoCalibration
from conv2d.data.audit.doubled import Doubled
from conv2d.data.audit.findings import CHECKS, Finding, as_json, check_states
from conv2d.data.audit.label_runs import LabelRunChecks
from conv2d.data.audit.labels import Labels, components
from conv2d.data.audit.run import Audit, thresholds
from conv2d.data.audit.scale import Scale
from conv2d.data.meta import in_words
from conv2d.evaluation.report_html import facts, page, picture, table, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HEADINGS = {
    "fault": "Faults: data that are wrong",
    "confound": "Confounds: right, but they mislead an evaluation",
    "note": "Notes",
    "not_measured": "Not measured",
}

_RIBBONS = 1500  # recordings whose labels can be told apart as lines of a picture


def write_audit_page(audit: Audit, path: str | Path) -> None:
    """Write the page; needs matplotlib. A page of 384 recordings takes about 3 s."""
    Path(path).write_text(audit_page(audit), encoding="utf-8")


def audit_page(audit: Audit) -> str:
    """The page as text: findings by level, the class table, figures, every check with its status, thresholds."""
    summary = audit.summary
    levels = summary["levels"]
    cards = "".join(
        f'<div class="card"><strong>{value}</strong><span>{text(name)}</span></div>'
        for name, value in (
            ("faults", levels["fault"]), ("confounds", levels["confound"]), ("notes", levels["note"]),
            ("recordings", f"{summary['recordings']:,}"), ("subjects", f"{summary['subjects']:,}"),
            ("rows", f"{summary['rows']:,}"),
        )
    )  # fmt: skip
    simulated = '<p class="banner">Simulated data: no animal was recorded.</p>' if summary["simulated"] else ""
    opening = f'{simulated}<p class="soft">{text(audit.meta.title)}</p><div class="cards">{cards}</div>'
    sections = [(HEADINGS[level], _findings(audit.of_level(level))) for level in HEADINGS if level != "not_measured"]
    sections.append(("Classes by subject", _class_table(audit)))
    sections += [(name, picture(figure, caption, dense=True)) for name, caption, figure in audit_figures(audit)]
    sections.append((HEADINGS["not_measured"], _not_measured(audit.of_level("not_measured"))))
    sections.append(("Checks", _checks(audit)))
    sections.append(("Thresholds", facts(as_json(thresholds()))))
    return page(f"Audit of {audit.meta.name}", opening, sections)


def _findings(findings: list[Finding]) -> str:
    return "".join(_finding(finding) for finding in findings) or "<p>None.</p>"


def _finding(finding: Finding) -> str:
    values = finding.to_dict()
    parts = [f"<h3>{text(finding.title)}</h3>", f'<p class="soft">check {text(finding.check)}</p>']
    if finding.meaning:
        parts.append(f"<p>{text(finding.meaning)}.</p>")
    if finding.remedy:
        parts.append(f"<p><b>What to do:</b> {text(finding.remedy)}.</p>")
    if finding.recordings:
        named = text(in_words(finding.recordings, 12))
        every = (
            f"<details><summary>all {len(finding.recordings)}</summary>{text(', '.join(finding.recordings))}</details>"
        )
        parts.append(f'<p class="soft">Recordings: {named}</p>{every if len(finding.recordings) > 12 else ""}')
    evidence = {name: _flat(value) for name, value in values["evidence"].items()}
    if evidence:
        parts.append(f"<details><summary>figures</summary>{facts(evidence)}</details>")
    return "".join(parts)


def _flat(value: Any) -> Any:
    """Lists of objects as text, since a table of facts has one value a row."""
    if isinstance(value, list) and any(isinstance(entry, dict | list) for entry in value):
        return "; ".join(
            ", ".join(f"{k} {v}" for k, v in entry.items()) if isinstance(entry, dict) else str(entry)
            for entry in value
        )
    return value


def _not_measured(findings: list[Finding]) -> str:
    rows = "".join(f"<li>{text(f.check)} ({text(f.status)}): {text(f.title)}</li>" for f in findings)
    return f"<ul>{rows}</ul>" if rows else "<p>Everything was measured.</p>"


def _checks(audit: Audit) -> str:
    states = {entry["id"]: entry["status"] for entry in check_states(audit.findings)}
    return facts({f"{name}: {question}": states[name] for name, question in CHECKS.items()})


def _class_table(audit: Audit) -> str:
    header = ["class", "subjects", "bouts", "bouts with a window", "seconds", "median bout (s)", "shortest (s)",
              "longest (s)"]  # fmt: skip
    keys = ("subjects", "bouts", "bouts_with_a_window", "seconds", "median_bout_s", "shortest_bout_s", "longest_bout_s")
    rows = [(name, [as_json(row[key]) for key in keys]) for name, row in audit.table["classes"].items()]
    return table(header, rows) if rows else "<p>The set declares no class.</p>"


def audit_figures(audit: Audit) -> list[tuple[str, str, Figure]]:
    """Name, caption and figure of each picture that these data give."""
    from conv2d.viz import audit as draw
    from conv2d.viz import audit_sensors as draw_sensors

    found = []
    labels: Labels = audit.families[Labels]
    if labels.subjects and audit.meta.classes and labels.bouts.any():
        figure = draw.class_table_figure(
            labels.seconds, labels.bouts, labels.subjects, audit.meta.classes, groups=components(labels.bouts > 0)
        )
        caption = (
            "Seconds (colour) and bouts (figures) of each class by subject. An outlined block has no class and no "
            "subject in common with the rest: there the class cannot be told from the animal."
        )
        found.append(("Classes of each subject", caption, figure))
        ribbons = sorted(audit.families[LabelRunChecks].ribbons, key=lambda entry: entry[1])[:_RIBBONS]
        figure = draw.ribbons_figure(
            [(name, runs, n) for name, _, runs, n in ribbons], audit.meta.classes, groups=[r[1] for r in ribbons]
        )
        caption = (
            "Labels from the beginning to the end of each recording, all stretched to one width, by subject. Columns "
            "of one colour are a script."
        )
        found.append(("Labels by place in the recording", caption, figure))
    if (gravity := _gravity(audit)) is not None:
        caption = (
            "Median length of acceleration in each recording, in g. Gravity and movement give about 1; dotted lines "
            "are the threshold of the check scale; a single point near them may be vigorous movement."
        )
        found.append(("Gravity by recording", caption, draw_sensors.gravity_figure(*gravity)))
    found += _axes_figures(audit)
    calibration: AutoCalibration = audit.families[AutoCalibration]
    for title, fit in calibration.fits.items():
        figure = draw_sensors.sphere_figure(calibration.still[title], fit.scale, fit.offset)
        caption = f"Windows at rest of {title} before and after the calibration that they give. It is not applied."
        found.append((f"Calibration of {title}", caption, figure))
    shared = audit.families[Doubled].shared
    if len(shared):
        names = [row.recording for row in audit.rows]
        read = list(audit.families[Doubled].seen_earlier)
        subject = {row.recording: row.subject for row in audit.rows}
        figure = draw.shared_rows_figure(shared, read, [subject[name] for name in read])
        caption = f"Recordings, of {len(names)}, that share rows bit for bit. Lines part the subjects."
        found.append(("Rows that stand in two recordings", caption, figure))
    return found


def _gravity(audit: Audit) -> tuple[dict[str, np.ndarray], list[str]] | None:
    scale: Scale = audit.families[Scale]
    entries = {title: {one.recording: one for one in ones} for title, ones in scale.gravity.items() if ones}
    if not entries:
        return None
    group: dict[str, str] = {}
    for ones in entries.values():
        for name, one in ones.items():
            group[name] = f"{one.subject}{' ' + one.day if one.day else ''}"
    order = sorted(group, key=lambda name: group[name])
    units = {vector.title: scale.unit_of(vector) for vector in scale.accelerometers}
    readings = {
        title: np.array([ones[name].norm / units[title] if name in ones else np.nan for name in order])
        for title, ones in entries.items()
    }  # fmt: skip
    return readings, [group[name] for name in order]


def _axes_figures(audit: Audit) -> list[tuple[str, str, Figure]]:
    from conv2d.viz.audit_sensors import correlation_figure

    pairs: dict[tuple[str, str], dict[str, np.ndarray]] = defaultdict(dict)
    for (kind, first, second), entries in audit.families[BetweenSensors].correlations.items():
        pairs[first, second][kind] = np.median([matrix for _, _, matrix in entries], axis=0)
    caption = (
        "Correlation of each axis of one sensor (rows) with each of the other (columns), median over recordings. "
        "Sensors that move as one have one strong value in each row; a negative one is an axis that points the other "
        "way."
    )
    return [
        (f"Axes of {first} and {second}", caption, correlation_figure(tables, (first, second)))
        for (first, second), tables in pairs.items()
    ]
