"""Decoders beside each other, and subjects beside each other."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from conv2d.viz.style import (
    ACCENT,
    ALERT,
    INK,
    MUTED,
    SIZE,
    bar_labels,
    check,
    figure_style,
    new_figure,
    plain,
    save_figure,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DECODER_METRICS = ("accuracy", "macro_f1", "f1@50", "edit")


def decoder_figure(
    decoders: Mapping[str, Mapping[str, float | str | None]],
    *,
    metrics: Sequence[str] = DECODER_METRICS,
    chosen: str | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw decoders (rows) by metrics (panels) as bars with their values; the config's own decoder stands out.

    decoders maps each decoder to its figures in [0, 1] by metric; what is missing, None or text is written as it is
    (``NOT_MEASURED``) and has no bar. Raises UsageError without decoders or metrics, and for a ``chosen`` that is not
    among them.

    >>> figure = decoder_figure({"raw": {"edit": 0.5}, "hsmm": {"edit": "NOT_MEASURED"}}, metrics=["edit"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['0.500', 'NOT_MEASURED']
    """
    check(
        bool(decoders) and bool(metrics), f"{len(decoders)} decoders and {len(metrics)} metrics", "at least one of each"
    )
    check(chosen is None or chosen in decoders, f"chosen={chosen!r}", f"one of {', '.join(decoders)}")
    with figure_style():
        figure = new_figure(title, (12.0, 1.6 + 0.5 * len(decoders)))
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics, strict=True):
            raw = [decoders[name].get(metric) for name in decoders]
            values = [float(v) if isinstance(v, int | float) and math.isfinite(v) else math.nan for v in raw]
            labels = [
                f"{value:.3f}" if math.isfinite(value) else str("NOT_MEASURED" if v is None else v)
                for value, v in zip(values, raw, strict=True)
            ]
            colours = [ACCENT if name == chosen or chosen is None else "#7F8C99" for name in decoders]
            axes.barh(range(len(values)), np.nan_to_num(values), color=colours, height=0.72)
            axes.set_xlim(0, 1)
            bar_labels(axes, values, [plain(label) for label in labels], 9.0 / len(metrics))
            axes.set_title(plain(metric))
            axes.grid(axis="x")
            axes.tick_params(left=False)
        panels[0].set_yticks(range(len(decoders)), [plain(shorten(name, 30)) for name in decoders])
        panels[0].invert_yaxis()
        save_figure(figure, path)
    return figure


def per_subject_figure(
    scores: Mapping[str, float],
    *,
    metric: str = "macro-F1",
    pooled: float | None = None,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw one bar a subject, the worst on top and marked, with the mean over subjects and the pooled figure.

    scores maps subjects to figures in [0, 1]. A subject whose score is NaN (no labelled window) is named beneath
    and has no bar. The figure grows with the number of subjects. Raises UsageError where no score is a number.

    >>> figure = per_subject_figure({"s1": 0.9, "s2": 0.4})
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()]
    ['s2', 's1']
    """
    known = sorted((value, name) for name, value in scores.items() if math.isfinite(value))
    absent = sorted(name for name, value in scores.items() if not math.isfinite(value))
    check(bool(known), f"{len(scores)} scores without a number", "at least one number")
    values = [value for value, _ in known]
    mean = float(np.mean(values))
    with figure_style():
        figure = new_figure(title, (SIZE[0], max(3.0, 1.8 + 0.23 * len(known))))
        axes = figure.subplots()
        axes.barh(range(len(known)), values, color=[ALERT, *[ACCENT] * (len(known) - 1)], height=0.74)
        axes.set_xlim(0, 1)
        labels = [f"{values[0]:.3f}  worst subject", *(f"{value:.3f}" for value in values[1:])]
        bar_labels(axes, values, labels, 11.0)
        axes.axvline(mean, color=INK, linestyle="--", linewidth=1.2, label=f"mean over subjects {mean:.3f}")
        if pooled is not None:
            axes.axvline(pooled, color=MUTED, linestyle=":", linewidth=1.6, label=f"pooled {pooled:.3f}")
        axes.set_yticks(range(len(known)), [plain(shorten(name, 30)) for _, name in known])
        axes.set_ylim(len(known) - 0.4, -0.6)
        without = f"   (no labelled window: {shorten(', '.join(absent), 80)})" if absent else ""
        axes.set_xlabel(plain(f"{metric}{without}"))
        axes.tick_params(left=False)
        axes.grid(axis="x")
        figure.legend(loc="outside upper right", ncols=2)
        save_figure(figure, path)
    return figure
