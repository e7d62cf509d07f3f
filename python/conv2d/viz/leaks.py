"""What trivial inputs reach beside chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from conv2d.viz.style import ACCENT, ALERT, INK, MUTED, check, figure_style, new_figure, plain, save_figure, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOURS = {"leak": ALERT, "in some subjects": "#E8A97E", "floor": ACCENT, "no leak": "#9AA5B1"}
_BAND = "#CFCFCF"


def leaks_figure(
    names: Sequence[str],
    verdicts: Sequence[str],
    reached: Sequence[float | None],
    chance: Sequence[float | None],
    bands: Sequence[tuple[float, float] | None],
    subjects: Sequence[ArrayLike],
    *,
    model: float | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw one bar an input: its balanced accuracy, the band of chance with its mean, and a dot for each subject.

    ``bands`` are the 5 % and 95 % quantiles of chance, ``subjects`` the balanced accuracies of single subjects,
    ``model`` that of a trained model, drawn as a line. An input that is None in ``reached`` shows its verdict instead.
    Raises UsageError where the sequences differ in length or are empty.

    >>> figure = leaks_figure(["position"], ["leak"], [0.5], [0.1], [(0.05, 0.15)], [[0.4, 0.6]])
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['position']
    """
    lengths = {len(names), len(verdicts), len(reached), len(chance), len(bands), len(subjects)}
    check(len(lengths) == 1 and bool(names), f"sequences of lengths {sorted(lengths)}", "one entry of each an input")
    with figure_style():
        figure = new_figure(title, (11.0, 1.9 + 0.42 * len(names)))
        axes = figure.subplots()
        for row, (value, middle, band, dots) in enumerate(zip(reached, chance, bands, subjects, strict=True)):
            if value is None or middle is None or band is None:
                axes.annotate(
                    verdicts[row].replace("_", " ").lower(), (0, row), xytext=(6, 0), textcoords="offset points",
                    va="center", fontsize=9, color=MUTED, style="italic",
                )  # fmt: skip
                continue
            axes.barh(row, value, height=0.46, color=_COLOURS.get(verdicts[row], MUTED), zorder=2)
            axes.barh(row, band[1] - band[0], left=band[0], height=0.8, color=_BAND, alpha=0.6, zorder=3)
            axes.vlines(middle, row - 0.4, row + 0.4, color=INK, linewidth=1.4, zorder=4)
            own = np.asarray(dots, np.float64)
            own = own[np.isfinite(own)]
            # Beside each other in a fixed pattern: many subjects share a value.
            height = row + 0.16 * np.sin(2.4 * np.arange(len(own)))
            axes.scatter(own, height, s=13, color="white", edgecolors=INK, linewidths=0.7, zorder=5, clip_on=False)
            axes.annotate(
                f"{value:.3f}  {verdicts[row]}", (1, row), xytext=(8, 0), textcoords="offset points", va="center",
                fontsize=9, color={"leak": ALERT, "in some subjects": ALERT, "floor": ACCENT}.get(verdicts[row], MUTED),
                annotation_clip=False,
            )  # fmt: skip
        if model is not None and math.isfinite(model):
            axes.axvline(model, color=INK, linestyle="--", linewidth=1.2)
        _legend(figure, model)
        axes.set_xlim(0, 1)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_yticks(range(len(names)), [plain(shorten(name.replace("_", " "), 30)) for name in names])
        axes.set_xlabel("balanced accuracy, subjects left out one at a time")
        axes.tick_params(left=False)
        axes.grid(axis="x")
        save_figure(figure, path)
    return figure


def _legend(figure: Figure, model: float | None) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles: list[Patch | Line2D] = [Patch(color=colour, label=verdict) for verdict, colour in _COLOURS.items()]
    handles += [
        Patch(color=_BAND, label="chance, 5 to 95 %"),
        Line2D([], [], color=INK, linewidth=1.4, label="mean of chance"),
        Line2D([], [], linestyle="", marker="o", markersize=4, color="white", markeredgecolor=INK, label="a subject"),
    ]
    if model is not None:
        handles.append(Line2D([], [], color=INK, linestyle="--", linewidth=1.2, label=f"model {model:.3f}"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
