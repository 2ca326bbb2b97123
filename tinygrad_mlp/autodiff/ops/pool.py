"""Pooling: the maxima and the means of windows of images.

Images are (N, C, H, W), or (C, H, W) for one; memory holds them as N, H, W, C, and the results lie so too. Each
backward is an op of its own, linear in the gradient, so that it can be differentiated in turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.channels import images_of, pixels_of
from tinygrad_mlp.autodiff.ops.checks import check_floats, check_pair
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels import pool as kernels
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.memory import empty
from tinygrad_mlp.kernels.pool import Taps

__all__ = [
    "HALVING",
    "Maxima",
    "adaptive_avg_pool2d",
    "average_windows",
    "avg_pool2d",
    "max_pool2d",
    "max_windows",
    "spread_maxima",
    "spread_means",
]

Pair = int | Sequence[int]
AdaptivePair = int | None | Sequence[int | None]


def max_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    dilation: Pair = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum of each window of an image, each channel for itself; the first of equal ones gets the gradient.

    Parameters
    ----------
    input:
        (N, C, H, W) or (C, H, W).
    kernel_size, stride, padding, dilation:
        A whole number, or one for height and one for width. The stride is kernel_size if None. Padding counts as minus
        infinity. Of a window's pixels, neighbours lie `dilation` apart.
    ceil_mode:
        Also the last window that no longer fits, if it begins inside the image or the padding before it.
    return_indices:
        Also where the maxima were, as row · W + column.

    Returns
    -------
    Tensor, or two
        (N, C, OH, OW), OH = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1 and OW alike; and int64
        indices of that shape. NaN counts as the greatest number.

    Raises
    ------
    ShapeError
        Other shapes, an image without pixels, a window larger than the padded image.
    ArgumentError
        A size, stride or dilation below 1, padding below 0 or above half of the window.
    DtypeError
        Integers.
    """
    images = _images("max_pool2d", input)
    rows, columns = _taps("max_pool2d", input, kernel_size, stride, padding, dilation)
    height, width = _out_size("max_pool2d", input, rows, columns, ceil_mode)
    for size, axis, count in ((input.shape[-2], rows, height), (input.shape[-1], columns, width)):
        if axis.dilation > size:
            _check_windows_hold_pixels(input.shape, size, axis, count)
    taps = empty((images.shape[0], height, width, images.shape[1]), _tap_dtype(rows, columns))
    places = Maxima(rows, columns, taps)
    out = max_windows(images, places)
    values = out if input.ndim == 4 else out.squeeze(0)
    if not return_indices:
        return values
    indices = places.indices(images.shape[3])
    return values, indices if input.ndim == 4 else indices.squeeze(0)


def avg_pool2d(
    input: Tensor,
    kernel_size: Pair,
    stride: Pair | None = None,
    padding: Pair = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Mean of each window of an image, each channel for itself.

    Parameters
    ----------
    input, kernel_size, stride, ceil_mode:
        As for `max_pool2d`; output shape and errors too.
    padding:
        Pixels that are 0.
    count_include_pad:
        Whether the padding counts in the number that the sum is divided by.
    divisor_override:
        What to divide by instead; not 0.
    """
    images = _images("avg_pool2d", input)
    rows, columns = _taps("avg_pool2d", input, kernel_size, stride, padding, 1)
    height, width = _out_size("avg_pool2d", input, rows, columns, ceil_mode)
    if divisor_override == 0:
        raise ArgumentError("avg_pool2d: divisor_override must not be 0")
    windows = _Windows(
        _sliding_windows(images.shape[2], height, rows, count_include_pad, divisor_override),
        _sliding_windows(images.shape[3], width, columns, count_include_pad, None if divisor_override is None else 1),
    )
    out = average_windows(images, windows)
    return out if input.ndim == 4 else out.squeeze(0)


def adaptive_avg_pool2d(input: Tensor, output_size: AdaptivePair) -> Tensor:
    """Means of windows that share an image as evenly as pixels allow.

    Parameters
    ----------
    input:
        (N, C, H, W) or (C, H, W).
    output_size:
        OH and OW, or one number for both; None for that of the input. Output row i is the mean of the input rows from
        i H // OH up to, not including, ceil((i + 1) H / OH).

    Returns
    -------
    Tensor
        (N, C, OH, OW) or (C, OH, OW).

    Raises
    ------
    ShapeError
        Other shapes, an image without pixels.
    ArgumentError
        A size below 0.
    DtypeError
        Integers.
    """
    images = _images("adaptive_avg_pool2d", input)
    given = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    known = [size if wanted is None else wanted for wanted, size in zip(given, input.shape[-2:], strict=False)]
    height, width = check_pair("adaptive_avg_pool2d", "output_size", (*known, *given[2:]), 0)
    windows = _Windows(_even_windows(images.shape[2], height), _even_windows(images.shape[3], width))
    out = average_windows(images, windows)
    return out if input.ndim == 4 else out.squeeze(0)


# What is asked for ---------------------------------------------------------------------------------------------------


def _images(name: str, input: Tensor) -> Tensor:
    """The input as (N, C, H, W)."""
    check_floats(name, input=input)
    if input.ndim not in (3, 4):
        raise ShapeError(f"{name}: input has shape {input.shape}, expected (N, C, H, W) or (C, H, W)")
    if 0 in input.shape[-2:]:
        raise ShapeError(f"{name}: images of input shape {input.shape} hold no pixels")
    return input if input.ndim == 4 else input.unsqueeze(0)


def _taps(
    name: str, input: Tensor, kernel_size: Pair, stride: Pair | None, padding: Pair, dilation: Pair
) -> tuple[Taps, Taps]:
    """Where windows look, along the height and along the width."""
    sizes = check_pair(name, "kernel_size", kernel_size, 1)
    strides = sizes if stride is None else check_pair(name, "stride", stride, 1)
    paddings, dilations = check_pair(name, "padding", padding, 0), check_pair(name, "dilation", dilation, 1)
    rows, columns = (Taps(*axis) for axis in zip(sizes, strides, paddings, dilations, strict=True))
    for axis in (rows, columns):
        if axis.padding > _extent(axis) // 2:
            raise ArgumentError(
                f"{name}: padding {padding} is more than half of the window: kernel_size {kernel_size}, dilation "
                f"{dilation}; input of shape {input.shape}"
            )
    return rows, columns


def _extent(axis: Taps) -> int:
    return axis.dilation * (axis.size - 1) + 1


def _out_size(name: str, input: Tensor, rows: Taps, columns: Taps, ceil_mode: bool) -> tuple[int, int]:
    """Height and width of the result."""
    height, width = (
        _count(size, axis, ceil_mode) for size, axis in zip(input.shape[-2:], (rows, columns), strict=True)
    )
    if height < 1 or width < 1:
        raise ShapeError(
            f"{name}: a window of {_extent(rows)} x {_extent(columns)} pixels is larger than the padded image of "
            f"{input.shape[-2] + 2 * rows.padding} x {input.shape[-1] + 2 * columns.padding}: input has shape "
            f"{input.shape}, padding is ({rows.padding}, {columns.padding})"
        )
    return height, width


def _count(size: int, axis: Taps, ceil_mode: bool) -> int:
    """How many windows an axis of this size has."""
    room = size + 2 * axis.padding - _extent(axis)
    if not ceil_mode:
        return room // axis.stride + 1
    count = -(-room // axis.stride) + 1
    return count - 1 if (count - 1) * axis.stride >= size + axis.padding else count  # it would begin behind the image


def _check_windows_hold_pixels(shape: tuple[int, ...], size: int, axis: Taps, count: int) -> None:
    """With a dilation above the size of the image a window that begins in the padding may step over all of it."""
    for window in range(count):
        start = window * axis.stride - axis.padding
        if not any(0 <= start + k * axis.dilation < size for k in range(axis.size)):
            raise ShapeError(
                f"max_pool2d: a window steps over the whole image: dilation {axis.dilation}, padding {axis.padding}, "
                f"input of shape {shape}"
            )


# Maxima --------------------------------------------------------------------------------------------------------------


class Maxima(NamedTuple):
    """Which tap of each window was the maximum: numbers (N, OH, OW, C), filled by `max_windows`."""

    rows: Taps
    columns: Taps
    taps: Array

    def indices(self, width: int) -> Tensor:
        """The maxima's places row · width + column in their images: (N, C, OH, OW), int64."""
        positions = np.empty(self.taps.shape, np.int64)
        launch(kernels.maximum_positions, self.taps, self.rows, self.columns, width, positions)
        return wrap(images_of(positions))


def _tap_dtype(rows: Taps, columns: Taps) -> np.dtype[Any]:
    return np.dtype(np.uint8 if rows.size * columns.size <= 256 else np.int32)


HALVING = Taps(size=2, stride=2, padding=0, dilation=1)


def _halves(places: Maxima, size: tuple[int, ...]) -> bool:
    """Whether these are whole windows of 2 x 2 side by side in images (N, H, W, C) of this size."""
    _, height, width, _ = places.taps.shape
    return places.rows == places.columns == HALVING and (height, width) == (size[1] // 2, size[2] // 2)


@op
def max_windows(input: Tensor, maxima: Maxima) -> tuple[Array, Backward]:
    """Maximum of each window: input (N, C, H, W) -> (N, C, OH, OW). Writes to `maxima` where they were."""
    pixels = pixels_of(input.array)  # (N, H, W, C)
    out = empty(maxima.taps.shape, pixels.dtype)  # (N, OH, OW, C)
    if _halves(maxima, pixels.shape):
        launch(kernels.max_pool_halving, pixels, out, maxima.taps, work=pixels.size)
    else:
        work = out.size * maxima.rows.size * maxima.columns.size
        launch(kernels.max_pool, pixels, maxima.rows, maxima.columns, out, maxima.taps, work=work)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return spread_maxima(grad, maxima, input.shape), None

    return images_of(out), backward


@op
def spread_maxima(grad: Tensor, maxima: Maxima, shape: tuple[int, ...]) -> tuple[Array, Backward]:
    """Each gradient at the pixel that was the maximum: (N, C, OH, OW) -> images of this shape, (N, C, H, W)."""
    images, channels, height, width = shape
    pixels, out = pixels_of(grad.array), empty((images, height, width, channels), grad.dtype)
    if _halves(maxima, out.shape):
        launch(kernels.max_pool_halving_backward, pixels, maxima.taps, out, work=out.size)
    else:
        launch(kernels.max_pool_backward, pixels, maxima.taps, maxima.rows, maxima.columns, out, work=out.size)

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        places = maxima.indices(width).flatten(2)
        return outer.flatten(2).gather(2, places).reshape(grad.shape), None, None

    return images_of(out), backward


# Means ---------------------------------------------------------------------------------------------------------------


class _Axis(NamedTuple):
    """Windows along one axis, as the kernels want them; shared, never written."""

    windows: Array
    """(3, count): where each begins, where it ends, what the sum is divided by."""
    covers: Array
    """(2, size): of the windows that hold a position, the first and the last + 1."""


class _Windows(NamedTuple):
    """The windows of an image: every one of the rows with every one of the columns."""

    rows: _Axis
    columns: _Axis


@lru_cache(maxsize=64)
def _sliding_windows(size: int, count: int, axis: Taps, count_padding: bool, divisor: int | None) -> _Axis:
    starts = np.arange(count) * axis.stride - axis.padding
    stops = np.minimum(starts + axis.size, size + axis.padding)  # in the padding behind the image, but no further
    padded = stops - starts
    starts, stops = np.maximum(starts, 0), np.minimum(stops, size)
    divisors = padded if count_padding else stops - starts
    return _axis(size, starts, stops, divisors if divisor is None else np.full(count, divisor))


@lru_cache(maxsize=64)
def _even_windows(size: int, count: int) -> _Axis:
    places = np.arange(count)
    starts, stops = places * size // max(count, 1), -(-(places + 1) * size // max(count, 1))
    return _axis(size, starts, stops, stops - starts)


def _axis(size: int, starts: Array, stops: Array, divisors: Array) -> _Axis:
    positions = np.arange(size)  # neither starts nor stops ever step back
    covers = np.stack([np.searchsorted(stops, positions, "right"), np.searchsorted(starts, positions, "right")])
    return _Axis(np.stack([starts, stops, divisors]).astype(np.int64), covers.astype(np.int64))


@op
def average_windows(input: Tensor, windows: _Windows) -> tuple[Array, Backward]:
    """Mean of each window: (N, C, H, W) -> (N, C, OH, OW)."""
    pixels = pixels_of(input.array)  # (N, H, W, C)
    images, height, width, channels = pixels.shape
    rows, columns = windows.rows.windows, windows.columns.windows
    out = empty((images, rows.shape[1], columns.shape[1], channels), pixels.dtype)
    launch(kernels.average_pool, pixels, rows, columns, out, work=max(pixels.size, out.size))

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return spread_means(grad, windows, (height, width)), None

    return images_of(out), backward


@op
def spread_means(grad: Tensor, windows: _Windows, size: tuple[int, int]) -> tuple[Array, Backward]:
    """Each gradient, divided as the sum was, at all pixels of its window: (N, C, OH, OW) -> (N, C, *size)."""
    pixels = pixels_of(grad.array)  # (N, OH, OW, C)
    out = empty((pixels.shape[0], *size, pixels.shape[3]), pixels.dtype)
    (rows, row_covers), (columns, column_covers) = windows
    launch(kernels.average_pool_backward, pixels, rows, columns, row_covers, column_covers, out, work=out.size)

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return average_windows(outer, windows), None, None

    return images_of(out), backward
