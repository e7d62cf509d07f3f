"""What an audit of a data set shows of its labels and rows: classes by subject, label ribbons, shared rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.viz.style import (
    ALERT,
    EMPTY,
    INK,
    MUTED,
    check,
    class_colours,
    figure_style,
    new_figure,
    plain,
    save_figure,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RIBBON_BINS = 600
_NAMES = 60  # rows that can be named one by one
_CLASSES = 20  # classes that can be told apart; further ones are drawn as one
_OTHER = "#8C8C8C"
_LETTER, _ENTRY, _LINE = 0.075, 0.55, 0.21  # inches: of a legend's letter, what an entry has besides, its line


def class_table_figure(
    seconds: ArrayLike,
    bouts: ArrayLike,
    subjects: Sequence[str],
    classes: Sequence[str],
    *,
    groups: ArrayLike | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw how long each subject (rows) shows each class (columns), with the number of bouts in each cell.

    seconds, bouts (U, K), none negative. groups (U + K,): the connected component of each subject and class; those
    that are not of the largest are outlined and stand last, since such classes cannot be told from their subjects. Of
    more than 20 classes the longest 20 have a column each, the others one together. Raises UsageError for other shapes.

    >>> figure = class_table_figure([[60, 0], [0, 5]], [[3, 0], [0, 1]], ["rex", "zoe"], ["walk", "sit"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['3', '1']
    """
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    length, count = np.asarray(seconds, np.float64), np.asarray(bouts, np.int64)
    u, k = len(subjects), len(classes)
    check(length.shape == count.shape == (u, k) and u * k > 0, f"{length.shape} and {count.shape}", f"({u}, {k}) twice")
    group = np.zeros(u + k, np.int64) if groups is None else np.asarray(groups, np.int64)
    check(group.shape == (u + k,), f"groups of shape {group.shape}", f"({u + k},)")
    names = list(classes)
    if k > _CLASSES:
        kept, rest = most(length.sum(axis=0))
        names = [*(classes[c] for c in kept), f"{len(rest)} others"]
        length, count = (np.column_stack([x[:, kept], x[:, rest].sum(axis=1)]) for x in (length, count))
        group = np.concatenate([group[:u], group[u:][kept], [-1]])
        k = len(names)
    used = [g for g in dict.fromkeys(group.tolist()) if g >= 0]
    largest = max(used, key=lambda g: int(count[group[:u] == g].sum()), default=0)
    order = sorted(used, key=lambda g: g != largest)
    rows = np.array([i for g in [*order, -1] for i in np.flatnonzero(group[:u] == g)], np.int64)
    columns = np.array([i for g in [*order, -1] for i in np.flatnonzero(group[u:] == g)], np.int64)
    shown = length[rows][:, columns]
    with figure_style():
        figure = new_figure(title, (max(5.5, 2.6 + 0.62 * k), max(3.2, 1.9 + 0.27 * u)))
        axes = figure.subplots()
        filled = np.where(shown > 0, shown, np.nan)
        top = float(np.nanmax(filled)) if (shown > 0).any() else 1.0
        low = float(np.nanmin(filled)) if (shown > 0).any() else 1.0
        norm = LogNorm(min(low, top / 10), top)
        cmap = colormaps["Blues"].with_extremes(bad=EMPTY)
        image = axes.imshow(filled, cmap=cmap, norm=norm, aspect="auto")
        for i, row in enumerate(rows):
            for j, column in enumerate(columns):
                if count[row, column]:
                    dark = norm(max(length[row, column], norm.vmin or 1e-9)) > 0.55
                    axes.text(
                        j, i, f"{count[row, column]}", ha="center", va="center", fontsize=7.5,
                        color="white" if dark else INK,
                    )  # fmt: skip
        axes.set_xticks(range(k), [plain(shorten(names[c], 20)) for c in columns], rotation=40, ha="right",
                        rotation_mode="anchor")  # fmt: skip
        axes.set_yticks(range(u), [plain(shorten(subjects[r], 20)) for r in rows], fontsize=8 if u > 25 else 9)
        axes.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(u + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        for g in order[1:]:
            inside = np.flatnonzero(group[:u][rows] == g), np.flatnonzero(group[u:][columns] == g)
            if not len(inside[0]) or not len(inside[1]):
                continue
            y, x = int(inside[0].min()), int(inside[1].min())
            box = Rectangle(
                (x - 0.5, y - 0.5), len(inside[1]), len(inside[0]), fill=False, edgecolor=ALERT, linewidth=2.5
            )
            box.set_clip_on(False)
            axes.add_patch(box)
        bar = figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, label="seconds (figures: bouts)")
        bar.outline.set_visible(False)
        save_figure(figure, path)
    return figure


def most(weight: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The 20 places of most weight, and the others, both in their order.

    >>> most([1, 0, 2])
    (array([0, 1, 2]), array([], dtype=int64))
    """
    order = np.argsort(-np.asarray(weight, np.float64), kind="stable")
    return np.sort(order[:_CLASSES]), np.sort(order[_CLASSES:])


def run_names(owners: Sequence[str], room: float) -> tuple[list[float], list[str]]:
    """Middle and name of each run of equal names, those that find room where ``room`` of them fit."""
    begin = [i for i in range(len(owners)) if i == 0 or owners[i] != owners[i - 1]]
    ticks: list[float] = []
    names = []
    for a, b in zip(begin, [*begin[1:], len(owners)], strict=True):
        middle = (a + b - 1) / 2
        if not ticks or middle - ticks[-1] >= len(owners) / room:
            ticks.append(middle)
            names.append(plain(shorten(owners[a], 14)))
    return ticks, names


def ribbons_figure(
    recordings: Sequence[tuple[str, Sequence[tuple[int, int, int]], int]],
    classes: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw the labels of every recording as a ribbon from its beginning to its end, beneath each other.

    recordings: name, runs (first row, end, class index with -1 for not annotated) and number of rows. All ribbons have
    the same width, so that a script shows as columns of one colour. groups: the subject of each recording, written
    beside them where there are too many to be named. Of more than 20 classes, the 20 that last longest have a colour,
    by their place among these, and the others are grey. Raises UsageError without recordings.

    >>> figure = ribbons_figure([("a", [(0, 50, 0), (50, 100, 1)], 100)], ["sit", "walk"])
    >>> [text.get_text() for text in figure.axes[0].get_yticklabels()]
    ['a']
    """
    from matplotlib.colors import to_rgb
    from matplotlib.patches import Patch

    check(bool(recordings), "no recording", "one or more")
    length = np.zeros(len(classes))
    for _, runs, _ in recordings:
        for start, end, label in runs:
            if label >= 0:
                length[label] += end - start
    shown, rest = most(length)
    colours = np.array([to_rgb(_OTHER)] * len(classes) + [to_rgb(EMPTY)])
    colours[shown] = np.array([to_rgb(c) for c in class_colours(len(shown))]).reshape(-1, 3)
    image = np.empty((len(recordings), _RIBBON_BINS, 3))
    used: set[int] = set()
    gaps = False
    for i, (_, runs, n) in enumerate(recordings):
        row = np.full(_RIBBON_BINS, len(classes))
        for start, end, label in runs:
            if label >= 0:
                used.add(label)
                a = round(start / max(n, 1) * _RIBBON_BINS)
                row[a : max(round(end / max(n, 1) * _RIBBON_BINS), a + 1)] = label
        image[i] = colours[row]
        gaps |= bool((row == len(classes)).any())
    height = 0.2 * len(recordings) if len(recordings) <= _NAMES else min(9.0, 0.05 * len(recordings) + 3)
    handles = [Patch(facecolor=tuple(colours[c]), label=plain(shorten(classes[c], 24))) for c in shown if c in used]
    if others := used.intersection(rest.tolist()):
        handles.append(Patch(facecolor=_OTHER, label=f"other ({len(others)} classes)"))
    if gaps or not used:
        handles.append(Patch(facecolor=EMPTY, label="not annotated"))
    widest = _ENTRY + _LETTER * max(len(str(handle.get_label())) for handle in handles)
    per_line = max(1, min(len(handles), int(11.5 / widest)))
    with figure_style():
        figure = new_figure(title, (12.0, 1.4 + height + _LINE * -(-len(handles) // per_line)))
        axes = figure.subplots()
        axes.imshow(image, aspect="auto", interpolation="nearest", extent=(0, 1, len(recordings) - 0.5, -0.5))
        if len(recordings) <= _NAMES:
            axes.set_yticks(range(len(recordings)), [plain(shorten(r[0], 18)) for r in recordings], fontsize=7.5)
            axes.set_yticks(np.arange(len(recordings) - 1) + 0.5, minor=True)
            axes.grid(axis="y", which="minor", color="white", linewidth=1.2)
            axes.set_axisbelow(False)
        else:
            axes.set_ylabel(f"{len(recordings)} recordings")
            ticks, names = run_names(list(groups or [""] * len(recordings)), height * 6)
            axes.set_yticks(ticks, names, fontsize=8)
        axes.tick_params(which="both", length=0)
        axes.set_xlabel("place in the recording (0 its beginning, 1 its end)")
        axes.spines[:].set_visible(False)
        figure.legend(handles=handles, loc="outside lower center", ncols=per_line, columnspacing=1.2)
        save_figure(figure, path)
    return figure


def shared_rows_figure(
    pairs: ArrayLike,
    names: Sequence[str],
    subjects: Sequence[str],
    *,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw which recordings share rows: a square each way for every pair, darker the more rows they share.

    pairs (P, 3): index of the one, of the other, rows. Only recordings that share any are drawn, in their order; lines
    part the subjects, so that what is shared across subjects lies outside of the boxes on the diagonal. Raises
    UsageError without pairs.

    >>> figure = shared_rows_figure([(0, 1, 30)], ["a", "b", "c"], ["rex", "rex", "zoe"])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['a', 'b']
    """
    from matplotlib.colors import LogNorm

    table = np.asarray(pairs, np.int64).reshape(-1, 3)
    check(len(table) > 0 and len(names) == len(subjects), f"{len(table)} pairs", "one or more")
    involved = np.unique(table[:, :2])
    order = sorted(involved.tolist(), key=lambda i: (subjects[i], i))
    place = {index: n for n, index in enumerate(order)}
    n = len(order)
    rows: NDArray[np.float64] = np.full((n, n), np.nan)
    for a, b, count in table.tolist():
        rows[place[a], place[b]] = rows[place[b], place[a]] = count
    with figure_style():
        side = float(np.clip(2.5 + 0.09 * n, 4.5, 9.5))
        figure = new_figure(title, (side + 1.6, side))
        axes = figure.subplots()
        y, x = np.nonzero(np.isfinite(rows))
        size = float(np.clip((side * 60 / n) ** 2, 9, 220))
        marks = axes.scatter(
            x, y, c=rows[y, x], s=size, marker="s", cmap=_darker(), norm=LogNorm(1, max(float(np.nanmax(rows)), 10)),
            linewidths=0,
        )  # fmt: skip
        axes.set_xlim(-0.8, n - 0.2)
        axes.set_ylim(n - 0.2, -0.8)
        owners = [subjects[i] for i in order]
        begin = [i for i in range(n) if i == 0 or owners[i] != owners[i - 1]]
        for a in begin[1:]:
            axes.axhline(a - 0.5, color=MUTED, linewidth=0.6)
            axes.axvline(a - 0.5, color=MUTED, linewidth=0.6)
        if n <= 40:
            labels = [plain(shorten(names[i], 14)) for i in order]
            axes.set_yticks(range(n), labels, fontsize=8)
            axes.set_xticks(range(n), labels, fontsize=8, rotation=90)
        else:
            middle = [(a + b - 1) / 2 for a, b in zip(begin, [*begin[1:], n], strict=True)]
            labels = [plain(shorten(owners[a], 14)) for a in begin]
            axes.set_yticks(middle, labels, fontsize=8)
            axes.set_xticks(middle, labels, fontsize=8, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_xlabel(f"{n} recordings that share rows, by subject")
        axes.tick_params(length=0)
        axes.set_aspect("equal")
        bar = figure.colorbar(marks, ax=axes, fraction=0.04, pad=0.02, label="rows in common")
        bar.outline.set_visible(False)
        save_figure(figure, path)
    return figure


def _darker() -> Any:
    """Viridis from dark to green: its yellow does not stand out from white."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["viridis_r"](np.linspace(0.25, 1, 256)))
