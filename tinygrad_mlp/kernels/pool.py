"""Maxima and means of the windows of images.

Images lie N, H, W, C. Each output pixel looks at one window of its image, each channel for itself: the inner loops run
over the channels, and threads share the rows of all images. The backward kernels go through the pixels of the input
and gather from the windows that hold them, so that each element is written once, in an order that shapes alone decide.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinygrad_mlp.kernels.launch import Array, device, kernel, prange, select
from tinygrad_mlp.kernels.pool_vectors import keep_vector, lanes_of, largest_of_four
from tinygrad_mlp.kernels.sums import stretch

__all__ = [
    "Taps",
    "average_pool",
    "average_pool_backward",
    "halve",
    "keep_where",
    "max_pool",
    "max_pool_backward",
    "max_pool_halving",
    "max_pool_halving_backward",
    "maximum_positions",
]


class Taps(NamedTuple):
    """Where the windows of one axis look: window i at i * stride - padding + k * dilation, k from 0 to size - 1."""

    size: int
    stride: int
    padding: int
    dilation: int


# Pixels are given as the start of a stretch of 1-d memory: a view of each would cost more than a few channels take.


@device
def _copy_pixel(x: Array, source: int, channels: int, out: Array, taps: Array, target: int, tap: int) -> None:
    """The first pixel of a window is its maximum so far."""
    number = taps.dtype.type(tap)
    offset = np.uint64(source - target)  # differences wrap around, as they should
    for i in range(*stretch(target, channels)):
        out[i] = x[i + offset]
        taps[i] = number


@device
def _raise_maximum(x: Array, source: int, channels: int, out: Array, taps: Array, target: int, tap: int) -> None:
    """Take in one more pixel of a window: of equal numbers the first stays, NaN wins."""
    number = taps.dtype.type(tap)
    offset = np.uint64(source - target)
    for i in range(*stretch(target, channels)):
        value, best = x[i + offset], out[i]
        is_better = (value > best) | math.isnan(value)
        out[i] = select(is_better, value, best)
        taps[i] = select(is_better, number, taps[i])


@kernel(writes=("out", "taps"), parallel=True)
def max_pool(x: Array, row_taps: Taps, column_taps: Taps, out: Array, taps: Array) -> None:
    """Maxima of windows, and where they were: x (N, H, W, C) -> out (N, OH, OW, C), taps of that shape, integers.

    A tap is k_row * column_taps.size + k_column. What lies outside the image does not count; each window must hold a
    pixel.
    """
    images, height, width, channels = x.shape
    out_height, out_width = out.shape[1], out.shape[2]
    flat_x, flat_out, flat_taps = x.reshape(-1), out.reshape(-1), taps.reshape(-1)
    for place in prange(images * out_height):
        line = np.int64(place)  # unsigned in parallel loops, where it would mix to floats
        image, top = line // out_height, line % out_height * row_taps.stride - row_taps.padding
        for out_column in range(out_width):
            target = (line * out_width + out_column) * channels
            left = out_column * column_taps.stride - column_taps.padding
            is_first = True
            for k_row in range(row_taps.size):
                row = top + k_row * row_taps.dilation
                if row < 0 or row >= height:
                    continue
                for k_column in range(column_taps.size):
                    column = left + k_column * column_taps.dilation
                    if column < 0 or column >= width:
                        continue
                    source = ((image * height + row) * width + column) * channels
                    tap = k_row * column_taps.size + k_column
                    if is_first:
                        _copy_pixel(flat_x, source, channels, flat_out, flat_taps, target, tap)
                        is_first = False
                    else:
                        _raise_maximum(flat_x, source, channels, flat_out, flat_taps, target, tap)


@kernel(writes=("grad_x",), parallel=True)
def max_pool_backward(grad: Array, taps: Array, row_taps: Taps, column_taps: Taps, grad_x: Array) -> None:
    """Each gradient to the pixel that was the maximum: grad, taps (N, OH, OW, C) -> grad_x (N, H, W, C)."""
    images, height, width, channels = grad_x.shape
    out_height, out_width = grad.shape[1], grad.shape[2]
    flat_grad, flat_taps, flat_x = grad.reshape(-1), taps.reshape(-1), grad_x.reshape(-1)
    for place in prange(images * height):
        line = np.int64(place)
        image, row = line // height, line % height
        first_row, stop_row = _windows_at(row, row_taps, out_height)
        for column in range(width):
            target = (line * width + column) * channels
            for i in range(*stretch(target, channels)):
                flat_x[i] = flat_x.dtype.type(0)
            first_column, stop_column = _windows_at(column, column_taps, out_width)
            for out_row in range(first_row, stop_row):
                k_row = row + row_taps.padding - out_row * row_taps.stride
                if k_row % row_taps.dilation:
                    continue
                for out_column in range(first_column, stop_column):
                    k_column = column + column_taps.padding - out_column * column_taps.stride
                    if k_column % column_taps.dilation:
                        continue
                    tap = k_row // row_taps.dilation * column_taps.size + k_column // column_taps.dilation
                    source = ((image * out_height + out_row) * out_width + out_column) * channels
                    _add_where(flat_grad, flat_taps, source, channels, tap, flat_x, target)


@device
def _windows_at(position: int, axis: Taps, count: int) -> tuple[int, int]:
    """First and last + 1 of the windows between whose first and last tap the position lies."""
    place = position + axis.padding
    beyond = place - axis.dilation * (axis.size - 1)
    first = (beyond + axis.stride - 1) // axis.stride if beyond > 0 else 0
    return first, min(place // axis.stride + 1, count)


@device
def _add_where(grad: Array, taps: Array, source: int, channels: int, tap: int, out: Array, target: int) -> None:
    """Add the gradients of the channels whose maximum was this tap."""
    number, zero = taps.dtype.type(tap), grad.dtype.type(0)
    offset = np.uint64(source - target)
    for i in range(*stretch(target, channels)):
        out[i] += select(taps[i + offset] == number, grad[i + offset], zero)


@kernel(writes=("out", "taps"), parallel=True)
def max_pool_halving(x: Array, out: Array, taps: Array) -> None:
    """`max_pool` by windows of 2 x 2 that lie side by side, in one pass over each: OH = H // 2, OW = W // 2."""
    images, height, width, channels = x.shape
    out_height, out_width = out.shape[1], out.shape[2]
    flat_x, flat_out, flat_taps = x.reshape(-1), out.reshape(-1), taps.reshape(-1)
    for place in prange(images * out_height):
        line = np.int64(place)  # unsigned in parallel loops, where it would mix to floats
        upper = (line // out_height * height + line % out_height * 2) * width * channels
        for out_column in range(out_width):
            source = upper + 2 * out_column * channels
            target = (line * out_width + out_column) * channels
            halve(flat_x, source, width * channels, channels, flat_out, flat_taps, target)


@device
def halve(x: Array, source: int, line: int, channels: int, out: Array, taps: Array, target: int) -> None:
    """One window of 2 x 2, whose lower row lies `line` numbers behind the upper one."""
    lanes = lanes_of(x)
    if channels >= lanes:
        for c in range(0, channels, lanes):
            i = min(c, channels - lanes)  # the last vector is moved back to end with the pixel
            upper, lower = source + i, source + line + i
            largest_of_four(x, upper, upper + channels, lower, lower + channels, out, taps, target + i)
        return
    zero, one, two, three = taps.dtype.type(0), taps.dtype.type(1), taps.dtype.type(2), taps.dtype.type(3)
    first = np.uint64(source - target)
    second, third = first + np.uint64(channels), first + np.uint64(line)
    fourth = third + np.uint64(channels)
    for i in range(*stretch(target, channels)):
        best, tap, value = x[i + first], zero, x[i + second]
        is_better = (value > best) | math.isnan(value)
        best, tap, value = select(is_better, value, best), select(is_better, one, tap), x[i + third]
        is_better = (value > best) | math.isnan(value)
        best, tap, value = select(is_better, value, best), select(is_better, two, tap), x[i + fourth]
        is_better = (value > best) | math.isnan(value)
        out[i] = select(is_better, value, best)
        taps[i] = select(is_better, three, tap)


@kernel(writes=("grad_x",), parallel=True)
def max_pool_halving_backward(grad: Array, taps: Array, grad_x: Array) -> None:
    """`max_pool_backward` for windows of 2 x 2 that lie side by side: zero in a last row or column that none holds."""
    images, height, width, channels = grad_x.shape
    out_height, out_width = grad.shape[1], grad.shape[2]
    flat_grad, flat_taps, flat_x = grad.reshape(-1), taps.reshape(-1), grad_x.reshape(-1)
    for place in prange(images * height):
        line = np.int64(place)
        image, row = line // height, line % height
        target = line * width * channels
        covered = 2 * out_width if row // 2 < out_height else 0
        for column in range(covered):
            source = ((image * out_height + row // 2) * out_width + column // 2) * channels
            tap = row % 2 * 2 + column % 2
            keep_where(flat_grad, flat_taps, source, channels, tap, flat_x, target + column * channels)
        for i in range(*stretch(target + covered * channels, (width - covered) * channels)):
            flat_x[i] = flat_x.dtype.type(0)


@device
def keep_where(grad: Array, taps: Array, source: int, channels: int, tap: int, out: Array, target: int) -> None:
    """Write the gradients of the channels whose maximum was this tap, 0 for the others."""
    number, zero = taps.dtype.type(tap), grad.dtype.type(0)
    lanes = lanes_of(grad)
    if channels >= lanes:
        for c in range(0, channels, lanes):
            i = min(c, channels - lanes)
            keep_vector(grad, taps, source + i, number, out, target + i)
        return
    offset = np.uint64(source - target)
    for i in range(*stretch(target, channels)):
        out[i] = select(taps[i + offset] == number, grad[i + offset], zero)


@kernel(writes=("out",), compiled=False)
def maximum_positions(taps: Array, row_taps: Taps, column_taps: Taps, width: int, out: Array) -> None:
    """Places of the maxima in the plane of their channel, row * W + column: taps (N, OH, OW, C) -> out, int64."""
    k_row, k_column = np.divmod(taps.astype(np.int64), column_taps.size)
    _, out_height, out_width, _ = (int(size) for size in taps.shape)
    top = np.arange(out_height) * row_taps.stride - row_taps.padding
    left = np.arange(out_width) * column_taps.stride - column_taps.padding
    row = top[:, None, None] + k_row * row_taps.dilation
    np.add(row * width, left[:, None] + k_column * column_taps.dilation, out=out)


# Means. Windows of one axis are given as (3, count) int64: where each begins, where it ends (exclusive), and by how
# much the sum is divided (the product of both axes). `covers` (2, size) says which windows hold a position: the first,
# and the last + 1.


@kernel(writes=("out",), parallel=True)
def average_pool(x: Array, rows: Array, columns: Array, out: Array) -> None:
    """Means of windows: x (N, H, W, C), rows (3, OH), columns (3, OW) -> out (N, OH, OW, C)."""
    images, height, width, channels = x.shape
    out_height, out_width = out.shape[1], out.shape[2]
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    for place in prange(images * out_height):
        line = np.int64(place)  # unsigned in parallel loops, where it would mix to floats
        image, out_row = line // out_height, line % out_height
        for out_column in range(out_width):
            target = (line * out_width + out_column) * channels
            for i in range(*stretch(target, channels)):
                flat_out[i] = flat_out.dtype.type(0)
            for row in range(rows[0, out_row], rows[1, out_row]):
                for column in range(columns[0, out_column], columns[1, out_column]):
                    offset = np.uint64(((image * height + row) * width + column) * channels - target)
                    for i in range(*stretch(target, channels)):
                        flat_out[i] += flat_x[i + offset]
            divisor = flat_out.dtype.type(rows[2, out_row] * columns[2, out_column])
            for i in range(*stretch(target, channels)):
                flat_out[i] /= divisor


@kernel(writes=("grad_x",), parallel=True)
def average_pool_backward(
    grad: Array, rows: Array, columns: Array, row_covers: Array, column_covers: Array, grad_x: Array
) -> None:
    """Each gradient, divided as the sum was, to its window: grad (N, OH, OW, C) -> grad_x (N, H, W, C)."""
    images, height, width, channels = grad_x.shape
    out_height, out_width = grad.shape[1], grad.shape[2]
    flat_grad, flat_x = grad.reshape(-1), grad_x.reshape(-1)
    for place in prange(images * height):
        line = np.int64(place)
        image, row = line // height, line % height
        for column in range(width):
            target = (line * width + column) * channels
            for i in range(*stretch(target, channels)):
                flat_x[i] = flat_x.dtype.type(0)
            for out_row in range(row_covers[0, row], row_covers[1, row]):
                for out_column in range(column_covers[0, column], column_covers[1, column]):
                    offset = np.uint64(((image * out_height + out_row) * out_width + out_column) * channels - target)
                    divisor = flat_x.dtype.type(rows[2, out_row] * columns[2, out_column])
                    for i in range(*stretch(target, channels)):
                        flat_x[i] += flat_grad[i + offset] / divisor
