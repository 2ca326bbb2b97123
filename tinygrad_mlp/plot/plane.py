"""A classifier of points in the plane: what it says everywhere."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.plot.canvas import MARKERS, PALETTE, Floats, blank_figure, check_classes, styled, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["decision_boundary"]

_RESOLUTION = 240  # points along each side of the drawn plane
_SHADE = 0.45  # strength of the background, so that the points stand out


@styled
def decision_boundary(
    predict: Callable[[Floats], ArrayLike],
    points: ArrayLike,
    labels: ArrayLike,
    title: str = "Decision boundary",
    *,
    data: str = "",
    classes: Sequence[str] | None = None,
) -> Figure:
    """What a classifier of points in the plane says everywhere, with the points it learnt from.

    `predict` maps float64 (M, 2) to class probabilities (M, C); the background mixes the classes' colours by them and
    lines mark where the most probable class changes. `points` is (N, 2), `labels` (N,), whole numbers.

    Raises `ShapeError`, `DtypeError` or `IndexRangeError` when they do not fit, `ArgumentError` for more than 8
    classes.
    """
    places = np.asarray(points, np.float64)
    if places.ndim != 2 or places.shape[1] != 2 or not len(places):
        raise ShapeError(f"decision_boundary: points has shape {places.shape}; expected (N, 2)")
    (left, bottom), (right, top) = places.min(0).tolist(), places.max(0).tolist()
    pad = 0.08 * (max(right - left, top - bottom) or 1.0)
    x: Floats = np.linspace(left - pad, right + pad, _RESOLUTION, dtype=np.float64)
    y: Floats = np.linspace(bottom - pad, top + pad, _RESOLUTION, dtype=np.float64)
    plane = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)  # (M, 2), x fastest
    output = np.asarray(predict(plane), np.float64)
    if output.ndim != 2 or len(output) != len(plane) or output.shape[1] < 2:
        raise ShapeError(
            f"decision_boundary: predict returned {output.shape} for points of shape {plane.shape}; "
            f"expected ({len(plane)}, C), the probabilities of two or more classes"
        )
    number = output.shape[1]
    if number > len(PALETTE):
        raise ArgumentError(f"decision_boundary: {number} classes, but only {len(PALETTE)} colours can be told apart")
    numbers = check_classes("decision_boundary", "labels", labels, len(places), number)
    names = [f"class {index}" for index in range(number)] if classes is None else list(classes)
    if len(names) != number:
        raise ShapeError(f"decision_boundary: {len(names)} class names for {number} classes")

    shape = min(max(float((y[-1] - y[0]) / (x[-1] - x[0])), 0.25), 2.0)
    figure = blank_figure(6.2, 4.6 * shape + 0.9, title, data, layout="compressed")
    ax = figure.subplots()
    _draw_background(ax, x, y, output)
    for index in range(number):
        own = places[numbers == index]
        ax.scatter(
            own[:, 0],
            own[:, 1],
            s=20,
            color=PALETTE[index],
            marker=MARKERS[index],
            edgecolor="white",
            linewidth=0.6,
            label=wrapped(names[index]),
        )
    ax.grid(visible=False)
    ax.set(xlabel="x₁", ylabel="x₂")
    ax.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def _draw_background(ax: Axes, x: Floats, y: Floats, output: Floats) -> None:
    """Mix the classes' colours by `output` (M, C); draw a line where the most probable class changes."""
    from matplotlib.colors import to_rgb

    number = output.shape[1]
    colors = np.array([to_rgb(color) for color in PALETTE[:number]])
    mixed = 1 - _SHADE * (1 - output @ colors)  # (M, C) @ (C, 3) -> (M, 3), between white and the colour
    picture = np.clip(mixed, 0, 1).reshape(len(y), len(x), 3)
    ax.imshow(picture, extent=(x[0], x[-1], y[0], y[-1]), origin="lower", interpolation="bilinear")
    for index in range(number if number > 2 else 1):
        lead = output[:, index] - np.delete(output, index, 1).max(1)  # > 0 where this class wins
        if lead.min() < 0 < lead.max():
            ax.contour(x, y, lead.reshape(len(y), len(x)), levels=[0.0], colors=["#222222"], linewidths=1.0)
