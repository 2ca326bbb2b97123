"""What a convolution has learned: its filters, and what they make of images."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from tinygrad_mlp.errors import ShapeError
from tinygrad_mlp.plot.canvas import Floats, blank_figure, check_count, longest_line, plain, styled, wrapped
from tinygrad_mlp.plot.images import as_images, sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = ["feature_maps", "filters"]


@styled
def filters(
    weight: ArrayLike, title: str = "First-layer filters", *, data: str = "", count: int = 64, columns: int = 8
) -> Figure:
    """The first `count` filters of a convolution, `columns` in a row, all on one colour scale around 0.

    `weight` is (out, in, kH, kW), as `Conv2d.weight`; the input channels of a filter stand side by side.

    Raises `ShapeError` for another shape, `ArgumentError` for a count below 1.
    """
    check_count("filters", count)
    check_count("filters", columns)
    shown = _filters("filters", weight, count)  # (count, kH, in * kW)
    high, wide = shown.shape[1:]
    columns = min(columns, len(shown))
    rows = math.ceil(len(shown) / columns)
    total = len(np.asarray(weight))
    caption = f"The first {len(shown)} of {total} filters, row by row." if len(shown) < total else ""
    side = min(max(0.55 * columns * wide / high, 2.8), 7.0)
    height = side * rows * (high + 1) / (columns * (wide + 1)) + 0.4 + 0.2 * bool(caption)
    figure = blank_figure(side + 0.95, max(height, 1.6), title, data, caption, layout="compressed")
    ax = figure.subplots()
    image = _draw_sheet(ax, shown, columns)
    bar = figure.colorbar(image, ax=ax, aspect=25, label="weight")
    bar.outline.set_visible(False)
    return figure


@styled
def feature_maps(
    images: ArrayLike,
    maps: ArrayLike,
    weight: ArrayLike,
    names: Sequence[str] | None = None,
    title: str = "First-layer feature maps",
    *,
    data: str = "",
    count: int = 16,
) -> Figure:
    """What the first `count` filters of a convolution make of a few images: a row per image, a column per filter.

    Parameters
    ----------
    images:
        What the net was shown, in one of the shapes that `samples` takes.
    maps:
        (N, C, H', W'): the output of the convolution, or of the activation after it. All are drawn on one
        scale, which ends at the 99th percentile of the absolute values.
    weight:
        (C, in, kH, kW): the filters, which stand at the head of their columns.
    names:
        One for each image, such as its class.
    title, data, count:
        Title line, name of the data, and how many filters are shown at most.

    Raises `ShapeError` when they do not fit, `ArgumentError` for a count below 1.
    """
    check_count("feature_maps", count)
    pictures = as_images("feature_maps", images)
    heads = _filters("feature_maps", weight, count)  # (columns, kH, in * kW)
    answers = np.asarray(maps, np.float64)
    expected = (len(pictures), len(np.asarray(weight)))
    if answers.ndim != 4 or answers.shape[:2] != expected or not answers.size:
        raise ShapeError(
            f"feature_maps: maps has shape {answers.shape}; expected ({expected[0]}, {expected[1]}, H, W), "
            f"{expected[1]} maps of each of {expected[0]} images"
        )
    if names is not None and len(names) != len(pictures):
        raise ShapeError(f"feature_maps: {len(names)} names of {len(pictures)} images, expected one for each")
    answers = answers[:, :count]
    columns, (height, width) = answers.shape[1], answers.shape[2:]
    rows = len(answers)

    caption = f"The first {columns} of {expected[1]} filters, above their maps." if columns < expected[1] else ""
    labels = [wrapped(name) for name in names or ()]
    cell = 0.42
    wide = cell * (columns + 1) + 0.075 * longest_line(labels or [""]) + 1.3
    high = cell * (rows + 1) * height / width + 0.5 + 0.2 * bool(caption)
    figure = blank_figure(max(wide, 3.6), high, title, data, caption, layout="compressed")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, columns), height_ratios=(1, rows), wspace=0.01, hspace=0.01)

    seen = figure.add_subplot(grid[1, 0])  # the images, one beneath the other
    seen.imshow(sheet(list(pictures), 1, pictures.shape[1:]), cmap="gray_r", vmin=0, vmax=1)
    step = pictures.shape[1] + 1
    seen.set_xticks([])
    seen.set_yticks([step * row + step / 2 - 1 for row in range(len(labels))], labels)
    plain(seen)
    _draw_sheet(figure.add_subplot(grid[0, 1]), heads, columns)
    main = figure.add_subplot(grid[1, 1])
    image = _draw_sheet(main, answers.reshape(-1, height, width), columns, 99.0)  # a few are far above the rest
    rectified = answers.min() >= 0
    bar = figure.colorbar(image, ax=main, aspect=25, label="activation", extend="max" if rectified else "both")
    bar.outline.set_visible(False)
    if rectified:
        bar.ax.set_ylim(0, image.get_clim()[1])
    return figure


def _filters(caller: str, weight: ArrayLike, count: int) -> Floats:
    """(out, in, kH, kW) -> (count, kH, in * kW): the channels of a filter side by side."""
    array = np.asarray(weight, np.float64)
    if array.ndim != 4 or not array.size:
        raise ShapeError(f"{caller}: weight has shape {array.shape}; expected (out, in, kH, kW), as Conv2d.weight has")
    return array[:count].transpose(0, 2, 1, 3).reshape(min(count, len(array)), array.shape[2], -1)


def _draw_sheet(ax: Axes, cells: Floats, columns: int, percentile: float = 100.0) -> AxesImage:
    """Draw cells (N, H, W) row by row in colours around 0, up to a percentile of the absolute values."""
    limit = float(np.percentile(np.abs(cells), percentile)) or 1.0
    ax.set(xticks=[], yticks=[])
    plain(ax)
    return ax.imshow(sheet(list(cells), columns, cells.shape[1:]), cmap="RdBu_r", vmin=-limit, vmax=limit)
