"""How long segments last, and what law was fitted to that."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from conv2d.viz.style import ALERT, MUTED, check, class_colours, figure_style, new_figure, plain, save_figure, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BINS = 24


def duration_figure(
    observed_s: Mapping[str, ArrayLike],
    fitted: Mapping[str, tuple[ArrayLike, ArrayLike]],
    *,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw, for each class, the observed durations of its segments and the fitted law, both as densities per second.

    Parameters
    ----------
    observed_s:
        The durations of the segments of each class, in seconds; an empty array is drawn as such.
    fitted:
        For each class the durations (D,) in seconds, rising, and their probabilities (D,); a class may lack one.
    path:
        Where to save the figure as well.

    The time axis ends where 99 % of both have passed; how many segments are longer is written, as is
    their number behind each name. Raises UsageError
    without classes, and where a law's arrays differ in length.

    >>> figure = duration_figure({"walk": [1.0, 2.0, 2.5]}, {"walk": ([1, 2, 3], [0.3, 0.5, 0.2])})
    >>> figure.axes[0].get_title()
    'walk (3)'
    """
    check(bool(observed_s), "no class", "at least one")
    names = list(observed_s)
    wide = 1 if len(names) == 1 else 2 if len(names) <= 4 else 3 if len(names) <= 9 else 4
    with figure_style():
        figure = new_figure(title)
        grid = figure.subplots(-(-len(names) // wide), wide, squeeze=False)
        for axes, name, colour in zip(grid.flat, names, class_colours(len(names)), strict=False):
            seconds = np.asarray(observed_s[name], np.float64)
            ends = [float(np.quantile(seconds, 0.99))] if len(seconds) else []
            if name in fitted:
                at, probability = (np.asarray(part, np.float64) for part in fitted[name])
                check(
                    at.shape == probability.shape and len(at) > 0,
                    f"a law of {at.shape} and {probability.shape}",
                    "one length",
                )
                ends.append(float(at[min(int(np.searchsorted(np.cumsum(probability), 0.99)), len(at) - 1)]))
                width = np.gradient(at) if len(at) > 1 else np.ones(1)
                axes.plot(at, probability / width, color=ALERT, linewidth=1.8, label="fitted law")
            end = 1.05 * max([end for end in ends if end > 0], default=1.0)
            if len(seconds):
                inside = seconds[seconds <= end]
                heights, edges = np.histogram(inside, bins=_BINS, range=(0, end))
                density = heights / (len(seconds) * (edges[1] - edges[0]))
                axes.stairs(density, edges, fill=True, color=colour, alpha=0.75, label="observed")
                if len(inside) < len(seconds):
                    text = f"{len(seconds) - len(inside)} longer, up to {seconds.max():.3g} s"
                    axes.text(0.98, 0.9, text, transform=axes.transAxes, ha="right", fontsize=8, color=MUTED)
            axes.set_title(plain(f"{shorten(name, 22)} ({len(seconds)})"), fontsize=9.5)
            axes.set_xlim(0, end)
            axes.set_ylim(bottom=0)
            axes.tick_params(labelsize=8)
            axes.grid()
        for axes in grid.flat[len(names) :]:
            axes.remove()
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower right", ncols=2)
        figure.supxlabel("duration (s)", fontsize=10)
        figure.supylabel("density (1/s)", fontsize=10)
        save_figure(figure, path)
    return figure
