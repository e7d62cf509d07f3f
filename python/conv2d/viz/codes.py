"""How a code book is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from conv2d.viz.style import ACCENT, INK, check, figure_style, new_figure, save_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def code_usage_figure(
    counts: ArrayLike,
    *,
    codebook_size: int | None = None,
    perplexity: float | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw how often each code occurs, most frequent first, and what share of all occurrences the first ones make up.

    counts (Q,) occurrences of codes, in any order; unused ones may stand there as 0 or be left out. codebook_size is
    the number of codes that there are, Q where not given. perplexity (the effective number of codes) is marked. Raises
    UsageError for an empty or negative array, where no code occurs, and for a book smaller than what occurs.

    >>> code_usage_figure([5, 0, 3]).axes[0].get_title()
    '2 of 3 codes used'
    """
    used = np.asarray(counts, np.float64)
    check(
        used.ndim == 1 and bool((used >= 0).all()) and used.sum() > 0,
        f"counts of shape {used.shape}",
        "(codes,), some above 0",
    )
    ranked = -np.sort(-used)
    occurring = int((ranked > 0).sum())
    size = len(used) if codebook_size is None else codebook_size
    check(size >= occurring, f"{occurring} codes that occur in a book of {size}", "a book that holds them")
    with figure_style():
        figure = new_figure(title, (12.0, 5.0))
        left, right = figure.subplots(1, 2, width_ratios=[1.5, 1])
        left.stairs(ranked[:occurring], np.arange(occurring + 1) + 0.5, fill=True, color=ACCENT)
        left.set(
            xlabel="codes, most frequent first",
            ylabel="occurrences",
            yscale="log",
            xlim=(0.5, min(size, 4 * occurring) + 0.5),
        )
        left.set_title(f"{occurring} of {size} codes used")
        share = np.concatenate([[0], np.cumsum(ranked[:occurring]) / ranked.sum()])
        right.plot(np.arange(occurring + 1), share, color=ACCENT, linewidth=2)
        half = int(np.searchsorted(share, 0.5))
        right.set(
            xlabel="number of codes", ylabel="share of all occurrences", ylim=(0, 1.02), xlim=(0, max(occurring, 1))
        )
        right.set_title(f"{half} {'code makes' if half == 1 else 'codes make'} up half")
        if perplexity is not None:
            for axes in (left, right):
                axes.axvline(perplexity, color=INK, linestyle="--", linewidth=1.2, label=f"perplexity {perplexity:.1f}")
            right.legend(loc="lower right")
        for axes in (left, right):
            axes.grid()
        save_figure(figure, path)
    return figure
