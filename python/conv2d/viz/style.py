"""What all figures share: one colour a class, sizes, how a figure is begun and saved."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from conv2d.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CLASS_COLOURS = (
    "#0072B2",
    "#DDCC77",
    "#994455",
    "#33BBEE",
    "#228833",
    "#CC79A7",
    "#332288",
    "#F7F056",
    "#661100",
    "#FFAABB",
    "#AAAA00",
    "#222255",
)
"""Twelve colours from the palettes of Okabe and Ito (2008) and Tol (2021), chosen so that any two differ by more than
20 in CIELAB, to the common eye as well as to one without the red or the green cone."""

INK = "#222222"
MUTED = "#6B6B6B"
GRID = "#DDDDDD"
ACCENT = "#0072B2"
ALERT = "#D55E00"
EMPTY = "#EFEFEF"
SIGNAL = "#44546A"

SIZE = (12.0, 7.0)
"""Inches; 1200 x 700 pixels at ``DPI``."""

DPI = 100

_RC: dict[Any, Any] = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.labelsize": 10,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "figure.facecolor": "white",
}


def class_colours(n_classes: int) -> list[str]:
    """One colour for each class, by its place in the class list, the same in every figure.

    The first twelve are told apart by everyone; further ones are paler repeats, which only their labels tell apart.

    >>> class_colours(13)[0], class_colours(13)[12]
    ('#0072B2', '#73b1d5')
    """
    from matplotlib.colors import to_hex, to_rgb

    colours = list(CLASS_COLOURS[:n_classes])
    for index in range(len(colours), n_classes):
        turn, place = divmod(index, len(CLASS_COLOURS))
        fade = 1 - 0.55**turn
        red, green, blue = (part + fade * (1 - part) for part in to_rgb(CLASS_COLOURS[place]))
        colours.append(to_hex((red, green, blue)))
    return colours


def text_colour(background: str) -> str:
    """Black or white, whichever stands out more from the background (WCAG relative luminance).

    >>> text_colour("#F7F056"), text_colour("#222255")
    ('black', 'white')
    """
    from matplotlib.colors import to_rgb

    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in to_rgb(background)]
    return "black" if 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] > 0.179 else "white"


def plain(name: object) -> str:
    """A name as it stands: without this, matplotlib reads text between two dollar signs as a formula.

    >>> plain("cost_$")
    'cost_\\\\$'
    """
    return str(name).replace("$", r"\$")


def shorten(name: object, limit: int) -> str:
    """At most ``limit`` characters, the middle left out, since labels often differ at their ends.

    >>> shorten("WALKING_DOWNSTAIRS", 12)
    'WALKIN…TAIRS'
    """
    text = str(name)
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"


@contextmanager
def figure_style() -> Iterator[None]:
    """The style, for the time in which a figure is made; the settings of the caller's matplotlib stay as they are."""
    import matplotlib as mpl

    with mpl.rc_context(_RC):
        yield


def new_figure(title: str | None, size: tuple[float, float] = SIZE) -> Figure:
    """An empty figure with the layout engine that keeps labels apart; no global state of pyplot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    if title:
        figure.suptitle(plain(title), fontsize=13, fontweight="bold", color=INK)
    return figure


def save_figure(figure: Figure, path: str | Path | None) -> None:
    """Write the figure (format by the ending) and replace the file in one step; nothing where path is None."""
    if path is None:
        return
    path = Path(path)
    aside = path.with_name(f"{path.stem}.partial{path.suffix}")
    try:
        figure.savefig(aside)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def bar_labels(axes: Axes, values: Sequence[float], labels: Sequence[str], inches: float) -> None:
    """Write each label at the foot of its horizontal bar, or behind its end where the bar is short.

    At the foot, because lines that mark means cross the ends. The axes run from 0 to 1 and are about ``inches`` wide.
    """
    for place, (value, label) in enumerate(zip(values, labels, strict=True)):
        inside = value * inches > 0.2 + 0.075 * len(label)  # False for NaN
        axes.annotate(
            label,
            (value if np.isfinite(value) and not inside else 0.0, place),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=8.5,
            color="white" if inside else INK,
        )


def check(holds: bool, got: str, expected: str) -> None:
    """Raise UsageError where arrays do not fit together."""
    if not holds:
        raise UsageError(f"E-VIZ-001: got {got}, expected {expected}; pass arrays that belong together")
