"""What functions cost as the size of their input grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from conv2d.viz.style import check, class_colours, figure_style, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def cost_figure(
    costs: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]],
    *,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw milliseconds against size, a panel for each axis that was changed, a line for each function.

    Parameters
    ----------
    costs:
        By axis ("T, frames") and function, pairs of a size and milliseconds, both positive.
    path:
        Where to save the figure as well.

    Both scales are logarithmic: a cost in proportion to the size has the slope of the dotted line. Raises UsageError
    without axes, and where a function has no pair.

    >>> figure = cost_figure({"T": {"Viterbi": [(1000, 0.1), (10_000, 1.0)]}})
    >>> figure.axes[0].get_xlabel()
    'T'
    """
    check(bool(costs), "no axis", "at least one")
    with figure_style():
        figure = new_figure(title)
        panels = figure.subplots(1, len(costs), squeeze=False)[0]
        for axes, (axis, functions) in zip(panels, costs.items(), strict=True):
            for (name, pairs), colour in zip(functions.items(), class_colours(len(functions)), strict=True):
                check(bool(pairs), f"no size of {name}", "at least one")
                sizes, times = zip(*pairs, strict=True)
                axes.plot(sizes, times, marker="o", color=colour, label=name)
                axes.plot(
                    [sizes[0], sizes[-1]], [times[0], times[0] * sizes[-1] / sizes[0]], ":", color=colour, linewidth=0.8
                )
            axes.set(xscale="log", yscale="log", xlabel=axis, ylabel="milliseconds")
            axes.grid(True)
        panels[0].legend(loc="upper left", frameon=False)
    save_figure(figure, path)
    return figure
