"""Several runs of several recipes: learning curves over seeds, and results beside published ones."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.plot.canvas import (
    BLUE,
    GRID,
    MUTED,
    PALETTE,
    VERMILION,
    Floats,
    blank_figure,
    message,
    note,
    styled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["against_published", "seed_curves"]

_PARTS = {"train": "training", "val": "validation"}
_QUANTITIES = ("loss", "accuracy")
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 2)), (0, (2, 1.5)), (0, (6, 2, 1.5, 2)))
_COLORS = PALETTE[:6]  # the yellow cannot be seen as a thin line


@styled
def seed_curves(
    curves: Mapping[str, Mapping[str, ArrayLike]], title: str = "Learning curves", *, data: str = ""
) -> Figure:
    """Loss and accuracy against the epoch: the mean over seeds as a line, on a band from the lowest to the highest.

    `curves` holds, by the name of a recipe, any of train_loss, val_loss, train_accuracy and val_accuracy (0 to 1), each
    (seeds, epochs), NaN where nothing was measured or a run had ended. From where the first run has ended, the line is
    drawn thin: a mean over those that went on. One recipe is drawn with training and validation in one panel; of
    several each part has a panel of its own, on the same axis.

    Raises `ShapeError` unless the arrays are (seeds, epochs).
    """
    arrays = {arm: {name: _checked(arm, name, values) for name, values in of.items()} for arm, of in curves.items()}
    measured = {name for of in arrays.values() for name, values in of.items() if np.isfinite(values).any()}
    quantities = [name for name in _QUANTITIES if {f"train_{name}", f"val_{name}"} & measured]
    if not quantities:
        return message("No epoch is finished yet.", title, data)
    figure = _one_recipe if len(arrays) == 1 else _several_recipes
    return figure(arrays, quantities, title, data)


def _checked(arm: str, name: str, values: ArrayLike) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 2:
        raise ShapeError(f"seed_curves: {name} of {arm!r} has shape {array.shape}; expected (seeds, epochs)")
    return array


def _one_recipe(arrays: Mapping[str, Mapping[str, Floats]], quantities: Sequence[str], title: str, data: str) -> Figure:
    (of,) = arrays.values()
    figure = blank_figure(9.2, 3.2, title, data)
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for ax, quantity in zip(panels, quantities, strict=True):
        for (part, words), color in zip(_PARTS.items(), (BLUE, VERMILION), strict=True):
            if f"{part}_{quantity}" in of:
                _draw(ax, of[f"{part}_{quantity}"], words, color, "-")
        _finish(ax, quantity, arrays)
        ax.set_xlabel("epoch")
        ax.legend(loc="best")
    return figure


def _several_recipes(
    arrays: Mapping[str, Mapping[str, Floats]], quantities: Sequence[str], title: str, data: str
) -> Figure:
    rows = -(-len(arrays) // 4)
    figure = blank_figure(9.2, 2.5 * len(quantities) + 0.7 + 0.2 * rows, title, data)
    panels = figure.subplots(len(quantities), 2, sharex=True, sharey="row", squeeze=False)
    for row, quantity in zip(panels, quantities, strict=True):
        for ax, (part, words) in zip(row, _PARTS.items(), strict=True):
            for place, (arm, of) in enumerate(arrays.items()):
                dashes = _DASHES[place // len(_COLORS) % len(_DASHES)]
                if f"{part}_{quantity}" in of:
                    _draw(ax, of[f"{part}_{quantity}"], wrapped(arm, 34, 1), _COLORS[place % len(_COLORS)], dashes)
            _finish(ax, quantity, arrays)
            ax.set_title(f"{quantity}, {words}", fontsize=9)
            ax.set_ylabel("")
    for ax in panels[-1]:
        ax.set_xlabel("epoch")
    handles = {label: line for ax in panels.flat for line, label in zip(*ax.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), loc="outside lower left", ncols=min(len(handles), 4))
    return figure


def _draw(ax: Axes, values: Floats, label: str, color: str, dashes: str | tuple[int, tuple[float, ...]]) -> None:
    """Band and mean of (seeds, epochs)."""
    there = np.isfinite(values)
    counts = there.sum(axis=0)
    shown = counts > 0
    if not shown.any():
        return
    epochs: Floats = np.arange(1, values.shape[1] + 1, dtype=np.float64)
    total = np.where(there, values, 0.0).sum(axis=0)
    mean = np.where(shown, total / np.maximum(counts, 1), np.nan)
    low, high = np.where(there, values, np.inf).min(axis=0), np.where(there, values, -np.inf).max(axis=0)
    ax.fill_between(epochs[shown], low[shown], high[shown], color=color, alpha=0.18, linewidth=0)
    whole = counts == len(values)
    marker = "o" if len(epochs) <= 12 else ""
    ax.plot(
        epochs, np.where(whole, mean, np.nan), color=color, linestyle=dashes, label=label, marker=marker, markersize=3
    )
    if not whole.all():  # the thin line begins where the other ends
        begun = ~whole
        begun[:-1] |= ~whole[1:]
        ax.plot(epochs, np.where(begun, mean, np.nan), color=color, linestyle=dashes, linewidth=0.8, alpha=0.8)


def _finish(ax: Axes, quantity: str, arrays: Mapping[str, Mapping[str, Floats]]) -> None:
    from matplotlib.ticker import MaxNLocator

    last = max(values.shape[1] for of in arrays.values() for values in of.values())
    margin = 0.5 if last == 1 else 0.02 * (last - 1)
    ax.set_xlim(1 - margin, last + margin)
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    ax.set_ylabel(quantity)
    if quantity == "accuracy":
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6g} %")


@styled
def against_published(
    names: Sequence[str],
    published: ArrayLike,
    values: ArrayLike,
    low: ArrayLike,
    high: ArrayLike,
    title: str = "Ours against published",
    *,
    data: str = "",
    label: str = "",
    decimals: int = 2,
    published_words: Sequence[str] = (),
) -> Figure:
    """Published numbers as diamonds beside ours, dots on a bar from the lower to the upper end of an interval.

    All are (N,), one row per name; low and high may be NaN where a single run has no interval. `label` names the
    quantity and its unit, `decimals` says how ours are written, and `published_words` how the others are, by default
    alike. The axis need not start at 0: positions are read from it, not lengths.

    Raises `ShapeError` when lengths differ, `ArgumentError` when a value lies outside its interval.
    """
    theirs, ours, left, right = (np.asarray(array, np.float64) for array in (published, values, low, high))
    if not theirs.shape == ours.shape == left.shape == right.shape == (len(names),) or not len(names):
        raise ShapeError(
            f"against_published: {len(names)} names, published {theirs.shape}, values {ours.shape}, low {left.shape}, "
            f"high {right.shape}; expected one of each per name, and at least one name"
        )
    outside = (ours < left) | (ours > right)
    if outside.any():
        index = int(np.argmax(outside))
        raise ArgumentError(
            f"against_published: {names[index]!r} has {ours[index]:g} outside {left[index]:g} to {right[index]:g}; "
            "low and high are the interval's ends, not distances"
        )
    figure = blank_figure(9.2, 0.37 * len(names) + 1.5, title, data)
    ax = figure.subplots()
    rows = np.arange(len(names))
    ax.hlines(rows, np.fmin(theirs, ours), np.fmax(theirs, ours), color=GRID, linewidth=1.2, zorder=1)
    ax.hlines(rows, left, right, color=BLUE, linewidth=6, alpha=0.3)
    ax.plot(ours, rows, "o", color=BLUE, markersize=6, label="ours: mean, and 95 % interval of one run")
    ax.plot(theirs, rows, "D", color=VERMILION, markersize=5.5, label="published")
    for row, ours_here in enumerate(ours):
        words = f"{ours_here:,.{decimals}f}", (published_words or [f"{one:,.{decimals}f}" for one in theirs])[row]
        note(ax, words[0], (1, row), ("axes fraction", "data"), (44, 0), va="center_baseline", ha="right", color=BLUE)
        note(
            ax,
            words[1],
            (1, row),
            ("axes fraction", "data"),
            (92, 0),
            va="center_baseline",
            ha="right",
            color=VERMILION,
        )
    for words, offset in (("ours", 44), ("published", 92)):
        note(ax, words, (1, 1), "axes fraction", (offset, 4), ha="right", fontsize=8, color=MUTED)
    ax.set_yticks(rows, [wrapped(name, 38) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel(label)
    ax.grid(visible=False, axis="y")
    ax.tick_params(axis="y", length=0)
    figure.legend(loc="outside lower left", ncols=2)
    return figure
