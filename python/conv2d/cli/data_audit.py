"""``conv2d data audit``: what is wrong with a data set, or right and misleading."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from conv2d.cli.options import JSON

if TYPE_CHECKING:
    from conv2d.data.audit import Audit

MARK = "audit.json"
_HEADINGS = {
    "fault": "FAULTS (data that are wrong)",
    "confound": "CONFOUNDS (right, but they mislead an evaluation)",
    "note": "NOTES",
    "not_measured": "NOT MEASURED",
}
_CLASSES = 16  # columns of the table of subjects that a page can hold


def audit(
    dataset: Annotated[Path, typer.Argument(help="The dataset folder.", show_default=False)],
    window: Annotated[
        float | None, typer.Option(help="Seconds of the windows to be cut; 100 samples by default.", show_default=False)
    ] = None,
    nonwear_window: Annotated[
        float | None,
        typer.Option(help="Minutes of the non-wear rule, where not the 60 it was validated for.", show_default=False),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Folder for audit.json, audit.html with figures, and non-wear.")
    ] = None,
    require: Annotated[bool, typer.Option("--require", help="End with 4 where a fault is found.")] = False,
    json: JSON = False,
) -> None:
    """Look for faults and confounds of a data set: clocks, copies, scales, axes, wear, labels, scripts.

    Each finding says what it means for an evaluation. Ends with 0 whatever is found, unless --require is given.
    """
    from conv2d.cli.output import print_json
    from conv2d.cli.progress import progress
    from conv2d.data.audit import audit_dataset
    from conv2d.errors import GateFailed
    from conv2d.files import refuse_foreign

    if output is not None:
        refuse_foreign(output, mark=MARK)
    with progress(json=json) as shown, shown.task("auditing recordings") as task:
        result = audit_dataset(
            dataset, window_s=window, nonwear_minutes=nonwear_window, progress=lambda done, n: task.advance()
        )
    if output is not None:
        _write(result, output)
    if json:
        print_json(result.to_dict())
    else:
        _print(result)
        if output is not None:
            print(f"\naudit.html, audit.json, nonwear.parquet and worn.csv written to {output}")
    faults = result.of_level("fault")
    if require and faults:
        raise GateFailed(
            f"the audit found {len(faults)} faults in {dataset}, expected none; the first: {faults[0].title}; "
            "mend the data or audit without --require"
        )


def _write(result: "Audit", output: Path) -> None:
    import csv

    import pyarrow as pa
    import pyarrow.parquet as pq

    from conv2d.evaluation.audit_report import write_audit_page
    from conv2d.files import folder_aside, write_json

    columns = ("recording", "sensor", "start_s", "end_s")
    with folder_aside(output, mark=MARK) as aside:
        write_json(aside / MARK, result.to_dict())
        write_audit_page(result, aside / "audit.html")
        kinds = (pa.string(), pa.string(), pa.float64(), pa.float64())
        schema = pa.schema(list(zip(columns, kinds, strict=True)))
        rows = [stretch._asdict() for stretch in result.not_worn]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), aside / "nonwear.parquet")
        with (aside / "worn.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            writer.writerows(result.worn)


def _print(result: "Audit") -> None:
    from textwrap import fill

    from conv2d.data.audit.findings import check_states, counted

    summary = result.summary
    levels = summary["levels"]
    simulated = "simulated data, " if summary["simulated"] else ""
    print(
        f"{summary['name']}: {simulated}{counted(summary['recordings'], 'recording')} of "
        f"{counted(summary['subjects'], 'subject')}, {summary['rows']:,} rows at {summary['rate_hz']:g} Hz: "
        f"{counted(levels['fault'], 'fault')}, {counted(levels['confound'], 'confound')}, "
        f"{counted(levels['note'], 'note')}"
    )
    clear = [state["id"] for state in check_states(result.findings) if state["status"] == "CLEAR"]
    for level, heading in _HEADINGS.items():
        findings = result.of_level(level)
        if not findings:
            continue
        print(f"\n{heading}")
        for finding in findings:
            status = f" {finding.status}" if level == "not_measured" else ""
            print(fill(f"[{finding.check}]{status} {finding.title}", 118, initial_indent="- ", subsequent_indent="  "))
            for what, told in (("means", finding.meaning), ("do", finding.remedy)):
                if told and level != "note":
                    print(fill(f"{what}: {told}", 118, initial_indent="    ", subsequent_indent="    "))
    print(fill(f"\nCLEAR: {', '.join(clear)}" if clear else "", 118, subsequent_indent="  ", replace_whitespace=False))
    _print_classes(result)


def _print_classes(result: "Audit") -> None:
    from conv2d.cli.output import print_table
    from conv2d.data.audit.findings import as_json

    classes = result.table["classes"]
    if not classes:
        return
    header = ("class", "subjects", "bouts", "with a window", "seconds", "median s", "shortest s", "longest s")
    keys = ("subjects", "bouts", "bouts_with_a_window", "seconds", "median_bout_s", "shortest_bout_s", "longest_bout_s")
    rows = [(name, *(as_json(row[key]) for key in keys)) for name, row in classes.items()]
    print_table(header, rows, title=f"classes (a window is {result.summary['window_s']:g} s)")
    names = list(classes)[:_CLASSES]
    by_subject = result.table["by_subject"]
    cells = [
        (subject, *(f"{row[name]['bouts']}" if name in row else "." for name in names))
        for subject, row in by_subject.items()
    ]
    short = [name if len(name) <= 10 else f"{name[:6]}~{name[-3:]}" for name in names]
    print_table(("bouts of", *short), cells, title="bouts by subject")
