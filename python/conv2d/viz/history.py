"""Curves of a training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.viz.style import ACCENT, ALERT, MUTED, check, figure_style, new_figure, plain, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIDES = {"train": ACCENT, "val": ALERT, "inner": ALERT, "valid": ALERT}
_PANELS = 9


def history_figure(
    history: Mapping[str, ArrayLike], *, epoch: str = "epoch", title: str | None = None, path: str | Path | None = None
) -> Figure:
    """Draw each column of a training history against the epoch, training and validation of one figure together.

    history maps column names to (E,) numbers, as ``history.csv`` holds them; NaN is a value that was not measured.
    ``train_loss`` and ``val_loss`` (or ``inner_loss``) share the panel ``loss``; the best validation value is marked,
    the smallest for losses, NLL, ECE and Brier, the largest otherwise. At most nine panels. Raises UsageError where the
    epoch is missing or lengths differ.

    >>> figure = history_figure({"epoch": [0, 1], "train_loss": [2, 1], "val_loss": [2.5, 1.5], "lr": [1e-3, 1e-4]})
    >>> [axes.get_title() for axes in figure.axes]
    ['loss', 'lr']
    """
    columns = {name: np.asarray(values, np.float64) for name, values in history.items()}
    check(epoch in columns, f"the columns {', '.join(columns)}", f"a column {epoch!r}")
    at = columns.pop(epoch)
    for name, values in columns.items():
        check(values.shape == at.shape, f"{name} of shape {values.shape}", f"{at.shape} like {epoch}")
    panels: dict[str, dict[str, NDArray[np.float64]]] = {}
    for name, values in columns.items():
        side, _, rest = name.partition("_")
        panel, series = (rest, side) if side in _SIDES and rest else (name, "")
        if np.isfinite(values).any():
            panels.setdefault(panel, {})[series] = values
    check(0 < len(panels) <= _PANELS, f"{len(panels)} different figures", f"1 to {_PANELS} with at least one number")
    with figure_style():
        figure = new_figure(title, (12.0, 3.6 if len(panels) <= 3 else 7.0))
        wide = min(len(panels), 3)
        grid = figure.subplots(-(-len(panels) // wide), wide, squeeze=False)
        for axes, (panel, lines) in zip(grid.flat, panels.items(), strict=False):
            for series, values in lines.items():
                known = np.isfinite(values)
                colour = _SIDES.get(series, MUTED)
                axes.plot(at[known], values[known], color=colour, marker="o", markersize=3, linewidth=1.4, label=series)
                if _SIDES.get(series) == ALERT:
                    lower = any(word in panel for word in ("loss", "nll", "ece", "brier"))
                    best = int((np.nanargmin if lower else np.nanargmax)(values))
                    axes.plot(at[best], values[best], "o", markersize=10, markerfacecolor="none", markeredgecolor=ALERT)
                    axes.annotate(
                        f"best {values[best]:.3g}",
                        (at[best], values[best]),
                        xytext=(0, 11 if lower else -17),
                        textcoords="offset points",
                        ha="center",
                        fontsize=8.5,
                    )
            if all(np.nanmin(values) > 0 and np.nanmax(values) > 50 * np.nanmin(values) for values in lines.values()):
                axes.set_yscale("log")
            axes.set_title(plain(panel))
            axes.xaxis.get_major_locator().set_params(integer=True)
            axes.margins(x=0.08, y=0.18)
            axes.grid()
            if any(lines):
                axes.legend(loc="best")
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        for column in range(wide):
            bottom = [axes for axes in grid[:, column] if axes.figure is not None][-1]
            bottom.set_xlabel("epoch")
        save_figure(figure, path)
    return figure
