"""The signal, the timeline and the probabilities of one recording beneath each other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from conv2d.viz.style import (
    EMPTY,
    MUTED,
    SIGNAL,
    check,
    class_colours,
    figure_style,
    new_figure,
    plain,
    save_figure,
    shorten,
    text_colour,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BINS = 1200  # columns of pixels that the signal and the probabilities have at most
_ROWS = 14  # rows of signal that can be told apart; above that the norms of the triads are drawn
_WIDTH = 10.0  # inches that the axes have, about
_LABELS = 80

Segments = ArrayLike
"""(n, 3): start_s, end_s (exclusive) and class index of each segment."""


def timeline_figure(
    time_s: ArrayLike,
    samples: ArrayLike,
    *,
    sensors: Sequence[str],
    channels: Sequence[str],
    classes: Sequence[str],
    predicted: Segments,
    truth: Segments | None = None,
    proba: ArrayLike | None = None,
    proba_time_s: ArrayLike | None = None,
    proba_name: str = "probability",
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw a recording: its signals, ribbons of the true and the predicted segments, and the class probabilities.

    Parameters
    ----------
    time_s, samples:
        (n,) seconds, not falling, and (C, S, n) samples; NaN is a gap. Each row is scaled for itself; the figures at
        the right are its 0.5 % and 99.5 % quantiles, beyond which it is cut off. With more than 14 rows the norms of
        the triads stand for their three axes.
    sensors, channels, classes:
        S, C and K names.
    predicted, truth:
        (n, 3) arrays of start_s, end_s and class index; what truth does not cover is not annotated.
    proba, proba_time_s:
        (M, K) probabilities and the times of their frames (M,), drawn as a stack; a pause between frames of more than
        2.5 times the usual one stays empty.
    path:
        Where to save the figure as well.

    Returns
    -------
    The Figure, 1200 x 700 pixels. Raises UsageError where shapes do not belong together. Cost O(C S n): one hour of 12
    channels at 50 Hz takes about half a second, since no more is drawn than there are pixels.

    >>> figure = timeline_figure(
    ...     np.arange(100) / 50, np.zeros((1, 1, 100)), sensors=["wrist"], channels=["acc_x"],
    ...     classes=["sit", "walk"], predicted=[(0, 1.5, 0), (1.5, 2, 1)],
    ... )
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['', 'predicted']
    """
    time = np.asarray(time_s, np.float64)
    signal = np.asarray(samples, np.float32)
    check(
        signal.shape == (len(channels), len(sensors), len(time)) and len(time) > 0,
        f"samples of shape {signal.shape}, {len(channels)} channels, {len(sensors)} sensors and {len(time)} times",
        "samples of shape (channels, sensors, times)",
    )
    found = _segments(predicted, len(classes), "predicted")
    true = None if truth is None else _segments(truth, len(classes), "truth")
    colours = class_colours(len(classes))
    end = float(max(time[-1], found[:, 1].max(initial=time[0])))
    with figure_style():
        figure = new_figure(title)
        ribbons = 1 if true is None else 2
        heights = [4.6, *[0.42] * ribbons, *([1.7] if proba is not None else [])]
        panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        _draw_signal(panels[0], time, *_rows(signal, sensors, channels))
        if true is not None:
            _draw_ribbon(panels[1], true, "truth", classes, colours, (time[0], end))
        _draw_ribbon(panels[ribbons], found, "predicted", classes, colours, (time[0], end))
        if proba is not None:
            check(proba_time_s is not None, "proba without proba_time_s", "the time of each frame")
            _draw_probabilities(
                panels[-1], np.asarray(proba_time_s, np.float64), np.asarray(proba, np.float64), colours
            )
            panels[-1].set_ylabel(plain(proba_name))
        _time_axis(panels[-1], float(time[0]), end)
        _legend(figure, classes, colours, true, (float(time[0]), end))
        save_figure(figure, path)
    return figure


def _segments(segments: Segments, n_classes: int, name: str) -> NDArray[np.float64]:
    table = np.asarray(segments, np.float64)
    table = table.reshape(-1, 3) if table.size == 0 else table
    check(table.ndim == 2 and table.shape[1] == 3, f"{name} of shape {table.shape}", "(segments, 3)")
    index = table[:, 2]
    check(
        bool(((index >= 0) & (index < n_classes)).all()),
        f"{name} with class indices {index.min(initial=0):g} to {index.max(initial=0):g}",
        f"0 to {n_classes - 1}",
    )
    return table


def _rows(
    signal: NDArray[np.float32], sensors: Sequence[str], channels: Sequence[str]
) -> tuple[NDArray[np.float32], list[str]]:
    """The rows to draw, sensor by sensor, and their names."""
    from conv2d.data.channels import triads

    groups: list[tuple[str, tuple[int, ...]]] = [(name, (index,)) for index, name in enumerate(channels)]
    if len(groups) * len(sensors) > _ROWS:
        norms = triads(channels)
        covered = {axis for _, axes in norms for axis in axes}
        groups = [(f"|{stem}|", axes) for stem, axes in norms]
        groups += [(name, (index,)) for index, name in enumerate(channels) if index not in covered]
    rows = [
        signal[axes[0], sensor] if len(axes) == 1 else np.sqrt(np.square(signal[list(axes), sensor]).sum(axis=0))
        for sensor in range(len(sensors))
        for _, axes in groups
    ]
    return np.stack(rows), [f"{sensor}/{name}" for sensor in sensors for name, _ in groups]


def _draw_signal(axes: Axes, time: NDArray[np.float64], rows: NDArray[np.float32], names: list[str]) -> None:
    size = 9.0 if len(names) <= 12 else max(5.0, 9.0 * 14 / len(names))
    for place, row in enumerate(rows):
        known = row[np.isfinite(row)]
        # Every hundredth sample tells the range as well, and quantiles of an hour are what would take the time.
        thinned = known[:: max(1, len(known) // 20000)]
        low, high = np.quantile(thinned, [0.005, 0.995]) if len(known) else (0.0, 0.0)
        span = max(float(high - low), 1e-9 * max(abs(float(low)), abs(float(high)), 1.0))
        at, value = _envelope(time, row)
        axes.plot(at, 0.88 * np.clip((value - (low + high) / 2) / span, -0.5, 0.5) - place, lw=0.6, color=SIGNAL)
        text = f"{low:.3g} … {high:.3g}" if len(known) else "missing"
        axes.annotate(
            text,
            (1, -place),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            fontsize=size - 2,
            color=MUTED,
            annotation_clip=False,
        )
    axes.set_yticks(-np.arange(len(names)), [plain(shorten(name, 24)) for name in names], fontsize=size)
    axes.set_ylim(-len(names) + 0.45, 0.55)
    axes.tick_params(length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")


def _envelope(time: NDArray[np.float64], row: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The row as it is where it is short; else least and largest value of each column of pixels, with gaps as NaN."""
    if len(time) <= 2 * _BINS:
        step = np.diff(time)
        jumps = np.flatnonzero(step > 2.5 * np.median(step)) + 1 if len(step) else np.empty(0, np.int64)
        return np.insert(time, jumps, time[jumps]), np.insert(row.astype(np.float64), jumps, np.nan)
    edges = np.linspace(time[0], time[-1], _BINS + 1)
    first = np.searchsorted(time, edges[:-1])
    filled = np.flatnonzero(np.diff(np.append(first, len(time))) > 0)
    values = np.full((_BINS, 2), np.nan)
    values[filled, 0] = np.fmin.reduceat(row, first[filled])
    values[filled, 1] = np.fmax.reduceat(row, first[filled])
    return np.repeat((edges[:-1] + edges[1:]) / 2, 2), values.ravel()


def _draw_ribbon(
    axes: Axes,
    segments: NDArray[np.float64],
    name: str,
    classes: Sequence[str],
    colours: list[str],
    span: tuple[float, float],
) -> None:
    start, length, index = segments[:, 0], segments[:, 1] - segments[:, 0], segments[:, 2].astype(int)
    axes.set_facecolor(EMPTY)
    axes.broken_barh(list(zip(start, length, strict=True)), (0, 1), facecolors=[colours[i] for i in index], linewidth=0)
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.tick_params(bottom=False)
    axes.set_ylabel(name, rotation=0, ha="right", va="center")
    for side in axes.spines.values():
        side.set_visible(False)
    inch = _WIDTH / max(span[1] - span[0], 1e-9)
    wide = [i for i in np.argsort(-length)[:_LABELS] if length[i] * inch > 0.075 * len(classes[index[i]]) + 0.08]
    for i in wide:
        axes.text(
            start[i] + length[i] / 2,
            0.48,
            plain(classes[index[i]]),
            ha="center",
            va="center",
            fontsize=8,
            color=text_colour(colours[index[i]]),
            clip_on=True,
        )


def _draw_probabilities(axes: Axes, time: NDArray[np.float64], proba: NDArray[np.float64], colours: list[str]) -> None:
    check(
        proba.shape == (len(time), len(colours)) and len(time) > 0,
        f"proba of shape {proba.shape} at {len(time)} times",
        f"(times, {len(colours)}) with at least one time",
    )
    step = float(np.median(np.diff(time))) if len(time) > 1 else 1.0
    if len(time) > _BINS:
        # Means of neighbouring frames; frames on both sides of a pause never share one.
        part = np.concatenate([[0], np.cumsum(np.diff(time) > 2.5 * step)])
        group = np.cumsum(np.diff(np.arange(len(time)) * _BINS // len(time) + part * _BINS, prepend=0) > 0)
        first = np.flatnonzero(np.diff(group, prepend=-1))
        count = np.diff(np.append(first, len(time)))
        begin, finish = time[first], time[first + count - 1]
        proba = np.add.reduceat(proba, first, axis=0) / count[:, None]
    else:
        begin = finish = time
    left, right = begin - step / 2, finish + step / 2
    joined = left[1:] <= right[:-1] + 1.5 * step
    left[1:][joined] = right[:-1][joined] = (left[1:][joined] + right[:-1][joined]) / 2
    edges = np.stack([left, right], axis=1).ravel()
    stack = np.repeat(np.concatenate([np.zeros((len(proba), 1)), np.cumsum(proba, axis=1)], axis=1), 2, axis=0)
    pauses = 2 * np.flatnonzero(~joined) + 2
    edges, stack = np.insert(edges, pauses, edges[pauses]), np.insert(stack, pauses, np.nan, axis=0)
    for k, colour in enumerate(colours):
        axes.fill_between(edges, stack[:, k], stack[:, k + 1], color=colour, linewidth=0)
    axes.set_facecolor(EMPTY)
    axes.set_ylim(0, 1)
    axes.set_yticks([0, 0.5, 1])


def _time_axis(axes: Axes, start: float, end: float) -> None:
    axes.set_xlim(start, end if end > start else start + 1)
    if end - start < 600:
        axes.set_xlabel("time (s)")
        return
    from matplotlib.ticker import FuncFormatter, MultipleLocator

    step = next((s for s in (60, 120, 300, 600, 900, 1800, 3600) if (end - start) / s <= 12), 7200)
    while (end - start) / step > 12:
        step *= 2
    axes.xaxis.set_major_locator(MultipleLocator(step))

    def clock(value: float, _: Any) -> str:
        return f"{int(value) // 3600}:{int(value) % 3600 // 60:02d}:{int(value) % 60:02d}"

    axes.xaxis.set_major_formatter(FuncFormatter(clock))
    axes.set_xlabel("time (h:min:s)")


def _legend(
    figure: Figure,
    classes: Sequence[str],
    colours: list[str],
    truth: NDArray[np.float64] | None,
    span: tuple[float, float],
) -> None:
    from matplotlib.patches import Patch

    names = [plain(shorten(name, 34)) for name in classes]
    handles = [Patch(facecolor=colour, label=name) for colour, name in zip(colours, names, strict=True)]
    if truth is not None and (truth[:, 1] - truth[:, 0]).sum() < 0.995 * (span[1] - span[0]):
        handles.append(Patch(facecolor=EMPTY, edgecolor=MUTED, linewidth=0.5, label="not annotated"))
    widest = max(len(str(handle.get_label())) for handle in handles) * 0.085 + 0.55
    columns = max(1, min(len(handles), int(11.5 / widest)))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, columnspacing=1.2, handlelength=1.4)
