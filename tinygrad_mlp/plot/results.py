"""Results: confusion matrix, values with intervals, distributions."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.plot.canvas import (
    BLUE,
    INK,
    PALETTE,
    VERMILION,
    Floats,
    Integers,
    blank_figure,
    longest_line,
    note,
    percent,
    plain,
    styled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["bars_with_intervals", "confusion", "histogram"]

# Of a cell that holds all of its row; others let through what lies behind them, which may be light or dark.
_DEEP = "#08519C"
# The largest matrices whose cells hold a count and a per cent, and a count.
_PER_CENTS_UP_TO, _COUNTS_UP_TO = 15, 30


@styled
def confusion(matrix: ArrayLike, classes: Sequence[str], title: str = "Confusion matrix", *, data: str = "") -> Figure:
    """Counts of (true class, predicted class) as a heat map, each also in per cent of its row; recall at the side.

    `matrix` is (C, C), whole numbers, rows true, columns predicted. A cell's colour is its share of the row on a
    square-root scale, which keeps rare mistakes visible. Above 15 classes the per cents are left out, above 30 all
    numbers.

    Raises `ShapeError` when the matrix is not (C, C) for C class names, `DtypeError` unless it holds integers,
    `ArgumentError` for negative counts.
    """
    from matplotlib.colors import LinearSegmentedColormap, PowerNorm, to_rgba

    counts, number = _as_counts(matrix, len(classes)), len(classes)
    totals = counts.sum(1)
    shares = counts / np.maximum(totals, 1)[:, None]  # (C, C), each row adds up to 1 (a class that never occurs: to 0)
    right, total = int(np.trace(counts)), int(counts.sum())
    caption = (
        f"{right:,} of {total:,} right ({percent(right / total)}). Each row adds up to 100 %."
        if total
        else "No samples."
    )

    names = [wrapped(name, lines=2 if number <= 20 else 1) for name in classes]
    side = min(max(0.56 * number, 3.2), 9.0)
    cell = 72 * side / number  # points
    fontsize = min(9.0, 0.75 * cell)
    margin = 0.0085 * fontsize * longest_line(names)
    figure = blank_figure(side + margin + 1.5, side + 0.75 * margin + 1.2, title, data, caption)
    heat, bars = figure.subplots(1, 2, width_ratios=[side, 1.0], sharey=True)
    colors = LinearSegmentedColormap.from_list("shares", [to_rgba(_DEEP, 0), to_rgba(_DEEP, 1)])
    heat.imshow(shares, cmap=colors, norm=PowerNorm(0.5, 0, 1), aspect="auto")
    heat.set_xticks(range(number), names, fontsize=fontsize)
    heat.set_yticks(range(number), names, fontsize=fontsize)
    if 72 * margin > cell:  # the names are wider than their columns
        slant = 45 if number <= _COUNTS_UP_TO else 90
        anchor = {"va": "center"} if slant == 90 else {}
        heat.tick_params(axis="x", pad=2)
        for label in heat.get_xticklabels():
            label.set(rotation=slant, ha="right", rotation_mode="anchor", **anchor)
    heat.set(xlabel="predicted class", ylabel="true class")
    plain(heat)
    _write_cells(heat, counts, shares, cell)
    _draw_recall(bars, np.diagonal(shares), totals, fontsize)
    return figure


def _as_counts(matrix: ArrayLike, number: int) -> Integers:
    counts = np.asarray(matrix)
    if counts.shape != (number, number) or not number:
        raise ShapeError(
            f"confusion: matrix has shape {counts.shape} for {number} class names; expected ({number}, {number})"
        )
    if counts.dtype.kind not in "iu":
        raise DtypeError(
            f"confusion: matrix has dtype {counts.dtype}; expected whole numbers, how often each was taken for each"
        )
    if (counts < 0).any():
        raise ArgumentError(f"confusion: the lowest count is {counts.min()}; counts cannot be negative")
    return counts.astype(np.int64)


def _write_cells(ax: Axes, counts: Integers, shares: Floats, cell: float) -> None:
    """Each count that is not zero, with its share of the row beneath, while there is room; `cell` in points."""
    number = len(counts)
    if number > _COUNTS_UP_TO:
        return
    both = number <= _PER_CENTS_UP_TO
    fontsize = min(8.0, (0.19 if both else 0.33) * cell)
    for row, column in np.argwhere(counts):
        share = float(shares[row, column])
        words = f"{counts[row, column]}\n{percent(share)}" if both else f"{counts[row, column]}"
        color = "white" if share > 0.5 else INK
        ax.text(column, row, words, ha="center", va="center", fontsize=fontsize, linespacing=1.25, color=color)


def _draw_recall(ax: Axes, recall: Floats, totals: Integers, fontsize: float) -> None:
    ax.barh(range(len(recall)), recall, height=0.62, color=BLUE, alpha=0.35)
    for row, (value, total) in enumerate(zip(recall, totals, strict=True)):
        words = percent(float(value)) if total else "no samples"
        ax.text(0.04, row, words, va="center", fontsize=min(8.0, fontsize))
    ax.set_xlim(0, 1)
    ax.set_xticks([])
    ax.set_title("recall", fontsize=9)
    plain(ax)


@styled
def bars_with_intervals(
    names: Sequence[str],
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    title: str = "Results",
    *,
    data: str = "",
    label: str = "",
    reference: float | None = None,
    reference_name: str = "reference",
) -> Figure:
    """Values as dots, each on a bar from the lower to the upper end of its interval, one row per name.

    `values`, `low` and `high` are (N,) with low ≤ value ≤ high. `label` names the quantity and its unit. `reference`
    draws a vertical line to compare with. The axis need not start at 0: positions are read from it, not lengths.

    Raises `ShapeError` when lengths differ, `ArgumentError` when a value lies outside its interval.
    """
    middle, left, right = (np.asarray(array, np.float64) for array in (values, low, high))
    if not middle.shape == left.shape == right.shape == (len(names),) or not len(names):
        raise ShapeError(
            f"bars_with_intervals: {len(names)} names, values {middle.shape}, low {left.shape}, high {right.shape}; "
            "expected one of each per name, and at least one name"
        )
    inside = (left <= middle) & (middle <= right)
    if not inside.all():
        index = int(np.argmin(inside))
        raise ArgumentError(
            f"bars_with_intervals: {names[index]!r} has {middle[index]:g} outside {left[index]:g} to {right[index]:g}; "
            "low and high are the interval's ends, not distances"
        )
    figure = blank_figure(6.6, 0.36 * len(names) + 1.2, title, data)
    ax = figure.subplots()
    rows = np.arange(len(names))
    largest = float(np.abs([left, right]).max())
    decimals = min(max(3 - math.floor(math.log10(largest)), 0), 6) if largest > 0 else 0  # four digits in all
    ax.hlines(rows, left, right, color=BLUE, linewidth=5, alpha=0.35)
    ax.plot(middle, rows, "o", color=BLUE, markersize=6)
    for row, (value, start, stop) in enumerate(zip(middle, left, right, strict=True)):
        words = f"{value:,.{decimals}f}  [{start:,.{decimals}f}, {stop:,.{decimals}f}]"
        note(ax, words, (1, row), ("axes fraction", "data"), (6, 0), va="center_baseline")
    if reference is not None:
        ax.axvline(reference, color=VERMILION, linewidth=1.2, linestyle=(0, (4, 3)), zorder=1)
        words = f"{reference_name} {reference:g}"
        note(ax, words, (reference, 1), ("data", "axes fraction"), (0, 3), ha="center", fontsize=8, color=VERMILION)
    ax.set_yticks(rows, [wrapped(name, 30) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(label)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    return figure


@styled
def histogram(
    values: ArrayLike | Mapping[str, ArrayLike],
    title: str = "Distribution",
    *,
    data: str = "",
    label: str = "value",
    bins: int = 50,
) -> Figure:
    """How often values occur: of one array, or of several by name over the same bins.

    Arrays of any shape. Values that are not finite are left out, and a caption says how many.

    Raises `ArgumentError` when nothing finite is left.
    """
    from matplotlib.ticker import MaxNLocator

    given: Mapping[str, ArrayLike] = values if isinstance(values, Mapping) else {"": values}
    arrays = {name: np.asarray(array, np.float64).ravel() for name, array in given.items()}
    finite = {name: array[np.isfinite(array)] for name, array in arrays.items()}
    together = np.concatenate([np.empty(0), *finite.values()])
    if not together.size:
        raise ArgumentError("histogram: there is no finite value to count")
    left_out = sum(array.size for array in arrays.values()) - together.size
    figure = blank_figure(6.6, 3.2, title, data, f"Left out because not finite: {left_out:,}." if left_out else "")
    ax = figure.subplots()
    edges = np.histogram_bin_edges(together, bins)
    for index, (name, array) in enumerate(finite.items()):
        color = PALETTE[index % len(PALETTE)]
        counts = np.histogram(array, edges)[0]
        ax.stairs(counts, edges, color=color, fill=True, alpha=0.2)
        ax.stairs(counts, edges, color=color, linewidth=1.4, label=wrapped(name) or None)
    ax.set(xlabel=label, ylabel="count")
    ax.margins(x=0.01)
    ax.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    if isinstance(values, Mapping):
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure
