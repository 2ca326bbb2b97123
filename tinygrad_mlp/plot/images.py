"""Sheets of images: samples, augmented images, the most confident mistakes, the weights of a first layer."""
# matplotlib's stubs leave the types of keyword arguments open.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.plot.canvas import (
    Floats,
    Integers,
    blank_figure,
    check_classes,
    check_count,
    longest_line,
    message,
    percent,
    plain,
    styled,
    wrapped,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["as_images", "augmented", "mistakes", "samples", "sheet", "weights"]

_PREDICTED = "#B34700"  # vermilion, darker: it must be readable as small text


@styled
def samples(
    images: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    title: str = "Samples of each class",
    *,
    data: str = "",
    count: int = 10,
) -> Figure:
    """The first `count` images of each class, a row per class.

    `images` is (N, H, W), (N, 1, H, W), (N, 3, H, W), (N, H, W, 3) or (N, H·W) for square images. Bytes are drawn as
    they are; other numbers are scaled image by image to their own range. `labels` is (N,), whole numbers.

    Raises `ShapeError`, `DtypeError` or `IndexRangeError` when they do not fit.
    """
    check_count("samples", count)
    pictures = as_images("samples", images)
    numbers = check_classes("samples", "labels", labels, len(pictures), len(classes))
    height, width = pictures.shape[1:3]
    cells: list[Floats | None] = []
    for number in range(len(classes)):
        own = pictures[np.flatnonzero(numbers == number)[:count]]
        cells += [*own, *[None] * (count - len(own))]
    names = [wrapped(name) for name in classes]
    cell = max(0.6, 0.32 * width / height)  # inches: room for a name on two lines beside the lowest of images
    wide = cell * count + 0.075 * longest_line(names) + 0.25
    high = cell * height / width * len(classes) + 0.45
    figure = blank_figure(max(wide, 3.6), high, title, data, layout="compressed")
    ax = figure.subplots()
    ax.imshow(sheet(cells, count, pictures.shape[1:]), cmap="gray_r", vmin=0, vmax=1)
    ax.set_yticks([(height + 1) * row + (height - 1) / 2 for row in range(len(classes))], names)
    ax.set_xticks([])
    plain(ax)
    return figure


@styled
def augmented(
    images: ArrayLike,
    drawn: ArrayLike,
    labels: ArrayLike,
    classes: Sequence[str],
    title: str = "Augmented images",
    *,
    data: str = "",
    caption: str = "",
) -> Figure:
    """Images as they are, and in a row beside each what augmentation has made of it.

    `images` as for `samples`; `drawn` is (N, K, H, W) or (N, K, H, W, 3), K drawings of each; `labels` is
    (N,), whole numbers.

    Raises `ShapeError`, `DtypeError` or `IndexRangeError` when they do not fit.
    """
    pictures, drawings = as_images("augmented", images), np.asarray(drawn)
    if drawings.shape[:1] + drawings.shape[2:] != pictures.shape or not drawings.size:
        raise ShapeError(
            f"augmented: drawn has shape {drawings.shape}; expected {(len(pictures), 'K', *pictures.shape[1:])}, "
            "K drawings of each image"
        )
    numbers = check_classes("augmented", "labels", labels, len(pictures), len(classes))
    shape, count = pictures.shape[1:], drawings.shape[1]
    height, width, *channels = shape
    originals = sheet(list(pictures), 1, shape)
    beside = sheet(list(as_images("augmented", drawings.reshape(-1, *shape))), count, shape)
    gap = np.full((len(originals), width // 3, *channels), 1.0 if channels else 0.0)  # white
    whole = np.concatenate([originals, gap, beside], 1)
    names = [wrapped(classes[int(number)]) for number in numbers]
    cell = max(0.6, 0.32 * width / height)  # inches, as in `samples`
    wide = cell * whole.shape[1] / (width + 1) + 0.075 * longest_line(names) + 0.25
    figure = blank_figure(max(wide, 3.6), cell * height / width * len(names) + 0.9, title, data, caption, "compressed")
    ax = figure.subplots()
    ax.imshow(whole, cmap="gray_r", vmin=0, vmax=1)
    ax.set_facecolor("#DDDDDD")  # shows between the images, many of which end in white
    ax.set_yticks([(height + 1) * row + (height - 1) / 2 for row in range(len(names))], names)
    middle = whole.shape[1] - (beside.shape[1] + 1) / 2
    ax.set_xticks([(width - 1) / 2, middle], ["image", "as training draws it"])
    ax.xaxis.tick_top()
    plain(ax)
    return figure


@styled
def mistakes(
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    probabilities: ArrayLike,
    classes: Sequence[str],
    title: str = "Most confident mistakes",
    *,
    data: str = "",
    count: int = 24,
) -> Figure:
    """The `count` wrongly classified images that the net was surest of: true class above, prediction beneath.

    `images` as for `samples`; `labels` and `predictions` are (N,), whole numbers; `probabilities` is (N,), that of the
    predicted class, or (N, C).

    Raises `ShapeError`, `DtypeError` or `IndexRangeError` when they do not fit, `ArgumentError` for a probability
    outside 0 to 1.
    """
    check_count("mistakes", count)
    pictures = as_images("mistakes", images)
    true = check_classes("mistakes", "labels", labels, len(pictures), len(classes))
    predicted = check_classes("mistakes", "predictions", predictions, len(pictures), len(classes))
    certainty = _certainty(probabilities, predicted, len(classes))
    wrong = np.flatnonzero(true != predicted)
    if not wrong.size:
        return message(f"No mistakes: all {len(pictures):,} images are classified correctly.", title, data)
    shown = wrong[np.argsort(-certainty[wrong], kind="stable")][:count]

    names = [wrapped(name, 16) for name in classes]
    columns = min(6, max(4, len(shown)))
    rows = math.ceil(len(shown) / columns)
    breaks = np.array([name.count("\n") for name in names])
    lines = 3 + int(breaks[true[shown]].max()) + int(breaks[predicted[shown]].max())
    caption = (
        f"{wrong.size:,} of {len(pictures):,} are wrong; {len(shown)} shown. Above: true class. Beneath: prediction."
    )
    figure = blank_figure(1.22 * columns + 0.1, (1.3 + 0.15 * lines) * rows + 0.65, title, data, caption)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(shown) :]:
        ax.set_axis_off()
    for ax, index in zip(axes, shown, strict=False):
        words = f"→ {names[predicted[index]]}\n{percent(float(certainty[index]))}"
        _draw_mistake(ax, pictures[index], names[true[index]], words)
    return figure


def _certainty(probabilities: ArrayLike, predicted: Integers, number: int) -> Floats:
    """(N,) or (N, C) -> (N,): the probability of each predicted class."""
    certainty = np.asarray(probabilities, np.float64)
    length = len(predicted)
    if certainty.shape == (length, number):
        certainty = certainty[np.arange(length), predicted]
    if certainty.shape != (length,):
        raise ShapeError(
            f"mistakes: probabilities has shape {certainty.shape}; expected ({length},), those of the predicted "
            f"classes, or ({length}, {number})"
        )
    if not ((certainty >= 0) & (certainty <= 1 + 1e-5)).all():  # a float32 softmax may end a little above 1
        raise ArgumentError("mistakes: probabilities must lie in 0 to 1; take the softmax of logits first")
    return certainty


def _draw_mistake(ax: Axes, picture: Floats, above: str, beneath: str) -> None:
    ax.imshow(picture, cmap="gray_r", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])
    plain(ax)
    ax.set_title(above, fontsize=8, pad=3)
    ax.set_xlabel(beneath, fontsize=8, color=_PREDICTED, labelpad=3)


@styled
def weights(
    weight: ArrayLike,
    shape: tuple[int, int] = (28, 28),
    title: str = "First-layer weights",
    *,
    data: str = "",
    count: int = 100,
) -> Figure:
    """The incoming weights of the first `count` units, each as an image of `shape`, all on one colour scale around 0.

    `weight` is (out, in) with in = H·W, or (out, 1, H, W). The scale ends at the 99.8th percentile of the absolute
    values.

    Raises `ShapeError` when the weights of a unit do not make an image of that shape.
    """
    check_count("weights", count)
    array = np.asarray(weight, np.float64)
    if array.ndim < 2 or not array.size or array[0].size != shape[0] * shape[1]:
        raise ShapeError(
            f"weights: weight has shape {array.shape}; expected (out, {shape[0] * shape[1]}) "
            f"to draw images of shape {shape}"
        )
    filters = array.reshape(-1, *shape)[:count]  # (out, H, W)
    columns = math.ceil(math.sqrt(len(filters)))
    rows = math.ceil(len(filters) / columns)
    limit = float(np.percentile(np.abs(filters), 99.8)) or 1.0
    caption = f"The first {len(filters)} of {len(array)} units, row by row." if len(filters) < len(array) else ""
    side = min(max(0.6 * columns, 2.8), 6.0)
    high = side * (rows * shape[0]) / (columns * shape[1]) + 0.35 + 0.2 * bool(caption)
    figure = blank_figure(side + 0.95, high, title, data, caption, layout="compressed")
    ax = figure.subplots()
    image = ax.imshow(sheet(list(filters), columns, shape), cmap="RdBu_r", vmin=-limit, vmax=limit)
    ax.set(xticks=[], yticks=[])
    plain(ax)
    bar = figure.colorbar(image, ax=ax, extend="both", aspect=25, label="weight")
    bar.outline.set_visible(False)
    return figure


def sheet(pictures: Sequence[Floats | None], columns: int, shape: tuple[int, ...]) -> Floats:
    """Pictures of one shape (H, W) or (H, W, 3) row by row, with a pixel of nothing between them."""
    height, width, *channels = shape
    rows = math.ceil(len(pictures) / columns)
    nothing = 1.0 if channels else np.nan  # white; a NaN is not drawn
    sheet = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1, *channels), nothing)
    for index, picture in enumerate(pictures):
        if picture is not None:
            top, left = (height + 1) * (index // columns), (width + 1) * (index % columns)
            sheet[top : top + height, left : left + width] = picture
    return sheet


def as_images(caller: str, images: ArrayLike) -> Floats:
    """(N, H, W) or (N, H, W, 3), float64 between 0 and 1."""
    array: NDArray[Any] = np.asarray(images)
    if array.ndim == 2 and math.isqrt(array.shape[1]) ** 2 == array.shape[1]:
        side = math.isqrt(array.shape[1])
        array = array.reshape(len(array), side, side)
    elif array.ndim == 4 and array.shape[1] in (1, 3):
        array = array.transpose(0, 2, 3, 1)  # (N, C, H, W) -> (N, H, W, C)
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] != 3) or not array.size:
        raise ShapeError(
            f"{caller}: images has shape {np.shape(images)}; expected at least one image as (N, H, W), (N, 1, H, W), "
            "(N, 3, H, W), (N, H, W, 3), or (N, H*W) if they are square"
        )
    if array.dtype == np.uint8:
        return array / 255.0
    array = array.astype(np.float64)
    axes = tuple(range(1, array.ndim))
    low = array.min(axes, keepdims=True)
    span = array.max(axes, keepdims=True) - low
    return (array - low) / np.where(span > 0, span, 1.0)
