"""What is taken for what, and whether confidence means what it says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from conv2d.viz.style import (
    ACCENT,
    ALERT,
    EMPTY,
    INK,
    MUTED,
    check,
    figure_style,
    new_figure,
    plain,
    save_figure,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(
    counts: ArrayLike, classes: Sequence[str], *, title: str | None = None, path: str | Path | None = None
) -> Figure:
    """Draw a confusion matrix: truth in rows, prediction in columns, shares of the row with counts beneath.

    counts (K, K) non-negative; a class that never occurs has an empty row. Raises UsageError for other shapes.

    >>> figure = confusion_figure([[8, 2], [0, 5]], ["sit", "walk"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['80 %\\n8', '20 %\\n2', '0', '100 %\\n5']
    """
    from matplotlib import colormaps

    table = np.asarray(counts, np.float64)
    n = len(classes)
    check(
        table.shape == (n, n) and bool((table >= 0).all()),
        f"counts of shape {table.shape}",
        f"({n}, {n}), none negative",
    )
    total = table.sum(axis=1, keepdims=True)
    share = np.divide(table, total, out=np.full_like(table, np.nan), where=total > 0)
    size = 10.0 if n <= 6 else max(5.5, 10.0 - 0.35 * (n - 6))
    with figure_style():
        figure = new_figure(title, (9.5, 7.5))
        axes = figure.subplots()
        image = axes.imshow(share, cmap=colormaps["Blues"].with_extremes(bad=EMPTY), vmin=0, vmax=1, aspect="auto")
        for i in range(n):
            for j in range(n):
                # A zero is written small and grey: the eye should go to what is there.
                zero = not table[i, j]
                text = "0" if zero else f"{_percent(share[i, j])}\n{table[i, j]:.0f}"
                colour = MUTED if zero else ("white" if share[i, j] > 0.55 else INK)
                if total[i, 0] > 0:
                    axes.text(
                        j, i, text, ha="center", va="center", fontsize=size - 2 * zero, color=colour, linespacing=1.05
                    )
        names = [plain(shorten(name, 26)) for name in classes]
        axes.set_xticks(range(n), names, rotation=35, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(n), [f"{name} ({count:.0f})" for name, count in zip(names, total[:, 0], strict=True)])
        axes.set_xlabel("predicted")
        axes.set_ylabel("truth (windows or samples)")
        axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1.5)
        axes.tick_params(which="both", length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, fraction=0.035, pad=0.02, label="share of the true class")
        bar.outline.set_visible(False)
        save_figure(figure, path)
    return figure


def _percent(share: float) -> str:
    """Whole percent, but never 0 or 100 for what is not.

    >>> _percent(0.997), _percent(0.002), _percent(1.0)
    ('>99 %', '<1 %', '100 %')
    """
    if 0.995 <= share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


def reliability_figure(
    count: ArrayLike,
    confidence: ArrayLike,
    accuracy: ArrayLike,
    *,
    ece: float | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw how often the top label is right against how sure the model was, and how many frames each bin holds.

    count, confidence, accuracy (B,): frames, mean confidence and share right in B equal-width bins over [0, 1]; the
    means of an empty bin are not read. A point above the diagonal is too modest, one below too sure; its bar is the
    95 % interval of the share (Wilson 1927). Raises UsageError where lengths differ.

    >>> figure = reliability_figure([0, 10], [np.nan, 0.9], [np.nan, 0.7], ece=0.2)
    >>> figure.axes[0].get_title()
    'ECE 0.200'
    """
    frames, sure, right = (np.asarray(values, np.float64) for values in (count, confidence, accuracy))
    check(
        frames.ndim == 1 and len(frames) > 0 and frames.shape == sure.shape == right.shape,
        f"shapes {frames.shape}, {sure.shape} and {right.shape}",
        "one bin each",
    )
    filled = frames > 0
    n, p, x = frames[filled], right[filled], sure[filled]
    z = 1.96
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    with figure_style():
        figure = new_figure(title, (8.0, 7.5))
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1.15])
        upper.plot([0, 1], [0, 1], color=MUTED, linestyle="--", linewidth=1, label="as sure as right")
        upper.vlines(x, np.minimum(x, p), np.maximum(x, p), color=ALERT, linewidth=5, alpha=0.35, label="gap")
        low, high = np.maximum(p - (middle - half), 0), np.maximum(middle + half - p, 0)
        upper.errorbar(
            x, p, [low, high], fmt="o", color=ACCENT, markersize=6, elinewidth=1.2, label="share right, 95 % interval"
        )
        upper.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="share right")
        upper.grid()
        upper.legend(loc="upper left")
        if ece is not None:
            upper.set_title(f"ECE {ece:.3f}")
        bins = len(frames)
        lower.bar((np.arange(bins) + 0.5) / bins, frames, width=0.92 / bins, color=ACCENT)
        lower.set(xlabel="confidence of the top label", ylabel="frames")
        if filled.any():
            lower.set_yscale("log")
        lower.set_ylim(0.7, max(frames.max(initial=1) * 6, 10))
        for place, value in enumerate(frames):
            if value:
                lower.text(
                    (place + 0.5) / bins,
                    value * 1.25,
                    f"{value:.0f}",
                    ha="center",
                    va="bottom",
                    fontsize=7.5,
                    color=INK,
                )
        save_figure(figure, path)
    return figure
