"""Learning curves: loss, accuracy and learning rate against the epoch."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.plot.canvas import BLUE, MUTED, VERMILION, Floats, blank_figure, message, note, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["curves"]

Column: TypeAlias = tuple[Floats, Floats]  # the epochs in which a quantity was measured, and what was measured

_PARTS = (("train", "training", BLUE), ("val", "validation", VERMILION))
_KEYS = ("train_loss", "val_loss", "train_accuracy", "val_accuracy", "lr")
_NOT_MEASURED: Column = (np.empty(0), np.empty(0))
_DASHES = (0, (4, 3))


@styled
def curves(
    history: Mapping[str, Sequence[float | None]],
    title: str = "Learning curves",
    *,
    data: str = "",
    best: float | None = None,
    learning_rate: bool = True,
    log_loss: bool = False,
) -> Figure:
    """Loss, accuracy and learning rate against the epoch, for training and validation.

    `history` maps any of epoch, train_loss, val_loss, train_accuracy, val_accuracy (0 to 1) and lr to one number per
    epoch; without `epoch` they count from 1. None stands for "not measured" and is passed over; a NaN or an infinity
    breaks the curve, and a cross at the foot of the panel says so. `best` is the epoch to mark, by default that of the
    lowest validation loss (without one, of the highest validation accuracy). `learning_rate=False` leaves out its
    strip, `log_loss=True` makes the loss axis logarithmic.

    Raises `ArgumentError` when no known key is there or `best` is no epoch of it, `ShapeError` when lengths differ.
    """
    columns = _columns(history)
    panels = [name for name in ("loss", "accuracy") if f"train_{name}" in columns or f"val_{name}" in columns]
    strip = learning_rate and "lr" in columns
    heights = [2.2] * len(panels) + [0.6] * strip
    if not heights:
        return message("No epoch is finished yet.", title, data)
    finite = all(np.isfinite(values).all() for _, values in columns.values())
    caption = "" if finite else "×  the value of this epoch is not finite"
    figure = blank_figure(6.6, sum(heights) + 0.9, title, data, caption)
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for name, ax in zip(panels, axes, strict=False):
        _draw_panel(ax, name, columns, log=log_loss and name == "loss")
    if strip:
        _draw_learning_rate(axes[-1], columns["lr"])
    first, last = _set_epoch_axis(axes[-1], columns)
    best = _best_epoch(columns) if best is None else best
    if best is not None:
        if not first <= best <= last:
            raise ArgumentError(f"curves: best is epoch {best:g}; the history has the epochs {first:g} to {last:g}")
        place = 0.5 if first == last else (best - first) / (last - first)
        for ax in axes:
            ax.axvline(best, color=MUTED, linewidth=0.9, linestyle=_DASHES, zorder=1)
        for name, ax in zip(panels, axes, strict=False):
            _mark_best(ax, name, columns.get(f"val_{name}", _NOT_MEASURED), best, place)
    figure.align_ylabels()
    return figure


def _columns(history: Mapping[str, Sequence[float | None]]) -> dict[str, Column]:
    given = {name: history[name] for name in _KEYS if name in history}
    if not given:
        raise ArgumentError(f"curves: history has the keys {sorted(history)}; expected any of {', '.join(_KEYS)}")
    longest = max(len(values) for values in given.values())
    epochs = np.asarray(history.get("epoch", np.arange(1, longest + 1)), np.float64)
    columns: dict[str, Column] = {}
    for name, values in given.items():
        if len(values) != len(epochs):
            raise ShapeError(
                f"curves: {name!r} has {len(values)} values for {len(epochs)} epochs; "
                "use None where nothing was measured"
            )
        measured = np.array([value is not None for value in values], np.bool_)
        if measured.any():
            columns[name] = epochs[measured], np.array([value for value in values if value is not None], np.float64)
    return columns


def _best_epoch(columns: Mapping[str, Column]) -> float | None:
    for name, sign in (("val_loss", 1.0), ("val_accuracy", -1.0)):
        epochs, values = columns.get(name, _NOT_MEASURED)
        finite = np.isfinite(values)
        if finite.any():
            return float(epochs[finite][np.argmin(sign * values[finite])])
    return None


def _set_epoch_axis(ax: Axes, columns: Mapping[str, Column]) -> tuple[float, float]:
    """Whole epochs on the shared axis; returns the first and the last."""
    from matplotlib.ticker import MaxNLocator

    epochs = np.concatenate([column[0] for column in columns.values()])
    first, last = float(epochs.min()), float(epochs.max())
    margin = 0.5 if first == last else 0.02 * (last - first)
    ax.set_xlim(first - margin, last + margin)
    ax.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    ax.set_xlabel("epoch")
    return first, last


def _draw_panel(ax: Axes, name: str, columns: Mapping[str, Column], log: bool) -> None:
    """One quantity: a line for training, one for validation, each named at its right end."""
    ends: list[tuple[float, str, str]] = []
    for part, words, color in _PARTS:
        if f"{part}_{name}" not in columns:
            continue
        epochs, values = columns[f"{part}_{name}"]
        _draw_line(ax, epochs, values, words, color)
        shown = values[np.isfinite(values) & ((values > 0) | (not log))]
        if shown.size:
            ends.append((float(shown[-1]), words, color))
    ax.set_ylabel(name)
    if not ends:
        ax.set_yticks([])
        return
    if name == "accuracy":
        ax.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.6g} %")
    elif log:
        ax.set_yscale("log")
        ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    _name_lines(ax, ends)


def _draw_line(ax: Axes, epochs: Floats, values: Floats, label: str, color: str) -> None:
    finite = np.isfinite(values)
    padded = np.pad(finite, 1)
    alone = finite & ~padded[:-2] & ~padded[2:]  # no line reaches a value between two gaps: it needs a dot
    dots = np.flatnonzero(finite if len(values) <= 30 else alone)
    drawn = np.where(finite, values, np.nan)
    ax.plot(epochs, drawn, color=color, label=label, marker="o", markersize=3, markevery=dots.tolist())
    if not finite.all():
        gaps = epochs[~finite]
        foot = np.full(len(gaps), 0.0 if label == "training" else 0.04)  # two crosses of one epoch stand apart
        across = ax.get_xaxis_transform()  # x in epochs, y in fractions of the panel
        ax.plot(gaps, foot, "x", color=color, transform=across, clip_on=False, label=f"{label}: not finite")


def _name_lines(ax: Axes, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name beside its end; names of lines that end close together go one above, one below."""
    low, high = ax.get_ylim()
    heights = [float(ax.transScale.transform((1.0, value))[1]) for value in (low, high, *(end[0] for end in ends))]
    close = len(ends) == 2 and abs(heights[2] - heights[3]) < 0.1 * (heights[1] - heights[0])
    for rank, (value, words, color) in enumerate(sorted(ends)):
        alignment = ("top", "bottom")[rank] if close else "center_baseline"
        note(ax, words, (1, value), ("axes fraction", "data"), (6, 0), va=alignment, color=color)


def _mark_best(ax: Axes, name: str, validation: Column, best: float, place: float) -> None:
    """A ring on the validation curve at the best epoch, its value above the panel; `place` runs from 0 to 1."""
    epochs, values = validation
    at_best = values[epochs == best]
    words = f"best epoch {best:g}"
    if at_best.size and math.isfinite(at_best[0]):
        value = float(at_best[0])
        ax.plot(
            [best], [value], "o", markersize=7, markerfacecolor="none", markeredgecolor=VERMILION, markeredgewidth=1.4
        )
        words += f": validation {name} " + (f"{value:.4g}" if name == "loss" else f"{100 * value:.2f} %")
    side = "left" if place < 0.3 else "right" if place > 0.7 else "center"
    note(ax, words, (best, 1), ("data", "axes fraction"), (0, 3), ha=side, fontsize=8, color=MUTED)


def _draw_learning_rate(ax: Axes, column: Column) -> None:
    epochs, values = column
    _draw_line(ax, epochs, values, "learning rate", MUTED)
    finite = values[np.isfinite(values)]
    top = float(finite.max()) if finite.size else 0.0
    ax.set_ylim(0, 1.1 * top or 1.0)
    ax.set_yticks(*(([0, top], ["0", f"{top:.3g}"]) if top > 0 else ([0], ["0"])))
    note(ax, "learning rate", (1, 0.5), "axes fraction", (6, 0), va="center", color=MUTED)
