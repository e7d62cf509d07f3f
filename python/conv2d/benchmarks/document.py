"""The measured rows as a page: a table, the machine, and figures of the cost."""

from collections.abc import Mapping, Sequence

from conv2d.benchmarks.measure import Row, Times

_VERDICTS = {"aim": "aim reached", "least": "reached", "missed": "**missed**", "": "", "NOT_MEASURED": "NOT_MEASURED"}
_UNITS = {"faster": "x", "times": "x", "nanoseconds": " ns", "share": "", "seconds": " s"}
_TITLES = {
    "hsmm": "Hidden semi-Markov models", "fsq": "Finite scalar quantisation", "smoothing": "Smoothing of labels",
    "stream": "Streaming",
}  # fmt: skip


def figure_text(row: Row, value: float | None) -> str:
    """A value of the row in its unit.

    >>> row = Row("fsq", "share", "", "a copy", "share", 0.75, 0.9)
    >>> figure_text(row, 0.8149)
    '81 %'
    """
    if value is None:
        return "-"
    if row.meaning == "share":
        return f"{100 * value:.0f} %"
    return f"{value:.3g}{_UNITS[row.meaning]}" if value < 1000 else f"{value:,.0f}{_UNITS[row.meaning]}"


def asked_text(row: Row) -> str:
    """What is asked of the row: at least (or at most), and the aim."""
    if row.least is None and row.aim is None:
        return "-"
    word = "" if row.meaning in ("faster", "share") else "<= "
    return " / ".join(word + figure_text(row, bound) for bound in (row.least, row.aim) if bound is not None)


def milliseconds(times: Times | None) -> str:
    """Median and least of the calls."""
    if times is None:
        return "-"
    return f"{_ms(times.median_ms)} ({_ms(times.least_ms)})"


def _ms(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f} ms"
    return f"{value:.3g} ms" if value >= 1e-3 else f"{1e6 * value:.0f} ns"


def document(
    rows: Sequence[Row], machine: Mapping[str, str], figures: Sequence[tuple[str, str]], *, quick: bool
) -> str:
    """The page in Markdown. ``figures`` are pairs of a caption and the path of a picture, seen from the page."""
    told = [
        "# Performance",
        "",
        "Written by `conv2d bench`. Kernel and peer run call by call in turns in one process; a ratio is that of their",
        "medians over the same data. Behind a median stands the least of the calls. Peers that are not installed are",
        "NOT_MEASURED. On a Raspberry Pi: not measured.",
        "",
    ]
    if quick:
        told += ["These figures come from `--quick`: small sizes, few calls. They say that everything runs.", ""]
    for part in dict.fromkeys(row.part for row in rows):
        told += [f"## {_TITLES[part]}", ""]
        told += ["| work | size | ours | peer | its time | figure | asked: at least / aim | |"]
        told += ["|---|---|---|---|---|---|---|---|"]
        for row in (row for row in rows if row.part == part):
            cells = [
                row.name, row.size, milliseconds(row.ours), row.peer, milliseconds(row.theirs),
                figure_text(row, row.figure) if row.figure is not None else "NOT_MEASURED",
                asked_text(row), _VERDICTS[row.reached],
            ]  # fmt: skip
            told.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
        notes = [f"- {row.name}, {row.size}: {row.reason}" for row in rows if row.part == part and row.reason]
        told += ["", *notes, *([""] if notes else [])]
    if figures:
        told += ["## How the cost grows", ""]
        for caption, path in figures:
            told += [f"![{caption}]({path})", ""]
    told += ["## The machine", "", "| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in machine.items())]
    return "\n".join(told) + "\n"
