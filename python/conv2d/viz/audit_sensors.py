"""What an audit of a data set shows of its sensors: gravity by recording, axes against axes, the unit sphere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from conv2d.viz.audit import run_names
from conv2d.viz.style import (
    ACCENT,
    ALERT,
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
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TWO = ("#0072B2", "#7FB2D5")  # neighbouring groups of recordings in turn


def gravity_figure(
    readings: Mapping[str, ArrayLike],
    groups: Sequence[str],
    *,
    limit: float = 1.5,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw the median length of each accelerometer's vector in g, recording by recording, a panel each.

    readings maps ``<sensor>/<vector>`` to (R,) values in g, NaN where a recording has none. groups (R,): the subject
    and day of each recording; equal ones should be neighbours, and are drawn in one colour. Beyond ``limit``, up or
    down, points are marked and their groups named. Raises UsageError where lengths differ.

    >>> figure = gravity_figure({"back/acc": [1.0, 1.02, 7.6]}, ["rex", "rex", "zoe 2024-05-17"])
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['zoe 2024-05-17']
    """
    check(
        bool(readings) and len(groups) > 0, f"{len(readings)} vectors, {len(groups)} recordings", "one of each or more"
    )
    kinds = list(dict.fromkeys(groups))
    turn = np.array([kinds.index(name) for name in groups]) % 2
    place = np.arange(len(groups))
    with figure_style():
        figure = new_figure(title, (12.0, 0.9 + 2.3 * len(readings)))
        panels = figure.subplots(len(readings), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, given) in zip(panels, readings.items(), strict=True):
            values = np.asarray(given, np.float64)
            check(values.shape == place.shape, f"{name} of shape {values.shape}", f"({len(place)},)")
            off = np.isfinite(values) & ((values > limit) | (values < 1 / limit))
            for side in (0, 1):
                here = (turn == side) & ~off
                axes.scatter(place[here], values[here], s=14, color=_TWO[side], linewidths=0)
            axes.scatter(place[off], values[off], s=22, color=ALERT, linewidths=0)
            axes.axhline(1, color=INK, linewidth=0.8)
            for bound in (limit, 1 / limit):
                axes.axhline(bound, color=MUTED, linewidth=0.8, linestyle=":")
            axes.set_yscale("log")
            known = values[np.isfinite(values) & (values > 0)]
            low, high = min(known.min(initial=1), 0.6), max(known.max(initial=1), 1.7)
            axes.set_ylim(low / 1.15, high * 1.3)
            ticks = [t for t in (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low / 1.15 <= t <= high * 1.3]
            axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
            axes.set_yticks([], minor=True)
            axes.set_ylabel(f"{plain(name)} (g)")
            for group in list(dict.fromkeys(np.asarray(groups)[off].tolist()))[:6]:
                members = [i for i in place[off] if groups[i] == group]
                axes.annotate(
                    plain(group), (float(np.mean(members)), float(np.max(values[members]))), xytext=(0, 5),
                    textcoords="offset points", ha="center", fontsize=8, color=ALERT,
                )  # fmt: skip
        _group_axis(panels[-1], groups, "recordings, by subject and day")
        for axes in panels:
            axes.grid(axis="x", which="minor")
        save_figure(figure, path)
    return figure


def _group_axis(axes: Axes, groups: Sequence[str], label: str) -> None:
    """Names of the runs of equal first words along x, those that find room."""
    owners = [name.split(" ")[0] for name in groups]
    ticks, names = run_names(owners, 45)
    axes.set_xlim(-1, len(owners))
    axes.set_xticks(ticks, names, rotation=45 if len(names) > 8 else 0, ha="right" if len(names) > 8 else "center",
                    rotation_mode="anchor")  # fmt: skip
    axes.set_xticks([i - 0.5 for i in range(1, len(owners)) if owners[i] != owners[i - 1]], minor=True)
    axes.tick_params(which="minor", length=0)
    axes.set_xlabel(label)


def correlation_figure(
    tables: Mapping[str, ArrayLike],
    sensors: tuple[str, str],
    *,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw how the axes of two sensors correlate: a block of 3 x 3 for each kind of vector, rows the first sensor.

    Sensors that move as one have one large value in each row and column; where it is off the diagonal axes are
    exchanged, where it is negative one is mirrored or turned. Raises UsageError for other shapes.

    >>> figure = correlation_figure({"acc": np.eye(3)}, ("neck", "back"))
    >>> figure.axes[0].get_title()
    'acc'
    """
    check(bool(tables), "no table", "one or more of shape (3, 3)")
    with figure_style():
        figure = new_figure(title, (max(4.5, 1.4 + 2.9 * len(tables)), 3.5))
        panels = figure.subplots(1, len(tables), squeeze=False)[0]
        image: Any = None
        for axes, (kind, given) in zip(panels, tables.items(), strict=True):
            table = np.asarray(given, np.float64)
            check(table.shape == (3, 3), f"{kind} of shape {table.shape}", "(3, 3)")
            image = axes.imshow(table, cmap="RdBu", vmin=-1, vmax=1)
            for i in range(3):
                for j in range(3):
                    strong = abs(table[i, j]) > 0.6
                    axes.text(
                        j, i, f"{table[i, j]:+.2f}", ha="center", va="center", fontsize=10,
                        color="white" if strong else INK, fontweight="bold" if strong else "normal",
                    )  # fmt: skip
            axes.set_xticks(range(3), list("xyz"))
            axes.set_yticks(range(3), list("xyz"))
            axes.set_title(plain(kind))
            axes.set_xlabel(plain(shorten(sensors[1], 20)))
            axes.tick_params(length=0)
            axes.spines[:].set_visible(False)
        panels[0].set_ylabel(plain(shorten(sensors[0], 20)))
        bar = figure.colorbar(image, ax=list(panels), fraction=0.03, pad=0.02, label="median correlation")
        bar.outline.set_visible(False)
        save_figure(figure, path)
    return figure


def sphere_figure(
    points: ArrayLike,
    scale: ArrayLike,
    offset: ArrayLike,
    *,
    title: str | None = None,
    path: str | Path | None = None,
) -> Figure:
    """Draw still windows (n, 3), in g, before and after ``scale * point + offset``: where they lie, how far off 1 g.

    Colour is the distance from the unit sphere in mg, the same in all panels. Raises UsageError for other shapes.

    >>> figure = sphere_figure(np.eye(3), np.ones(3), np.zeros(3))
    >>> [axes.get_title() for axes in figure.axes[:3]]
    ['before', '', 'mean distance 0.0 mg']
    """
    raw = np.asarray(points, np.float64)
    check(raw.ndim == 2 and raw.shape[1] == 3 and len(raw) > 0, f"points of shape {raw.shape}", "(n, 3)")
    moved = raw * np.asarray(scale, np.float64) + np.asarray(offset, np.float64)
    off = [1000 * (np.linalg.norm(p, axis=1) - 1) for p in (raw, moved)]
    reach = max(float(np.quantile(np.abs(off[0]), 0.98)), 1.0)
    with figure_style():
        figure = new_figure(title, (12.0, 6.4))
        panels = figure.subplots(2, 3, width_ratios=[1, 1, 1.3])
        for row, (name, where, distance) in enumerate(zip(("before", "after"), (raw, moved), off, strict=True)):
            for axes, (i, j) in zip(panels[row, :2], ((0, 1), (0, 2)), strict=True):
                turn = np.linspace(0, 2 * np.pi, 200)
                axes.plot(np.cos(turn), np.sin(turn), color=MUTED, linewidth=0.8)
                dots = axes.scatter(
                    where[:, i], where[:, j], c=distance, s=9, cmap="coolwarm", vmin=-reach, vmax=reach, linewidths=0
                )
                axes.set_aspect("equal")
                axes.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xlabel=f"{'xyz'[i]} (g)", ylabel=f"{'xyz'[j]} (g)")
            panels[row, 0].set_title(name)
            histogram = panels[row, 2]
            histogram.hist(
                np.clip(distance, -2 * reach, 2 * reach), bins=60, range=(-2 * reach, 2 * reach),
                color=ACCENT if row else ALERT,
            )  # fmt: skip
            histogram.axvline(0, color=INK, linewidth=0.8)
            histogram.set(xlabel="length minus 1 g (mg)", ylabel="still windows")
            histogram.set_title(f"mean distance {np.abs(distance).mean():.1f} mg", fontsize=10)
        bar = figure.colorbar(dots, ax=panels[:, :2], fraction=0.03, pad=0.02, label="length minus 1 g (mg)")
        bar.outline.set_visible(False)
        save_figure(figure, path)
    return figure
