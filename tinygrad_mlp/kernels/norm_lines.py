"""What batch norm does to the lines of one block: see `norm` for the formulas, and `lanes` for lines and blocks.

Lines `first` to `stop` - 1 of a 1-d array; all else is one number for each lane.
"""

import numpy as np

from tinygrad_mlp.kernels.lane_loops import (
    add_gradients,
    add_gradients_relu,
    add_lines,
    add_squares,
    scale_gradients,
    scale_gradients_relu,
    scale_lines,
    scale_lines_relu,
)
from tinygrad_mlp.kernels.launch import Array, device, select

__all__ = [
    "gradient_sums",
    "input_gradient",
    "lane_means",
    "lane_squares",
    "move_block",
    "normalize",
    "scale_gradient",
]


@device
def _whole_lines(size: int, first: int, stop: int, lanes: int) -> tuple[int, int]:
    """How many lines of a block are whole, and how many lanes stand behind them: fewer than a line."""
    whole = min(stop, size // lanes) - first
    return whole, min(stop * lanes, size) - (first + whole) * lanes


@device
def lane_means(x: Array, first: int, stop: int, sums: Array, means: Array) -> None:
    """Sum and mean of each lane over the lines of a block."""
    lanes, begin = sums.size, first * sums.size
    whole, rest = _whole_lines(x.size, first, stop, lanes)
    for j in range(lanes):
        sums[j] = x.dtype.type(0)
    add_lines(whole, lanes, lanes, x, begin, sums)
    add_lines(1, rest, lanes, x, begin + whole * lanes, sums)
    last, full, short = _lines_of_lanes(x.size, first, stop, lanes)
    for j in range(lanes):
        means[j] = sums[j] / x.dtype.type(max(full if j < last else short, 1))


@device
def _lines_of_lanes(size: int, first: int, stop: int, lanes: int) -> tuple[int, int, int]:
    """How many lanes the last line of a block has, how many lines those have, and how many the others."""
    return size - (stop - 1) * lanes, stop - first, stop - first - 1


@device
def lane_squares(x: Array, first: int, stop: int, means: Array, rests: Array, squares: Array) -> None:
    """Sums over the lines of a block of the differences to the lanes' means, and of their squares."""
    lanes, begin = means.size, first * means.size
    whole, rest = _whole_lines(x.size, first, stop, lanes)
    for j in range(lanes):
        rests[j], squares[j] = x.dtype.type(0), x.dtype.type(0)
    add_squares(whole, lanes, lanes, x, begin, means, rests, squares)
    add_squares(1, rest, lanes, x, begin + whole * lanes, means, rests, squares)


@device
def move_block(
    size: int, first: int, stop: int, center: Array, means: Array, rests: Array, sums: Array, squares: Array
) -> None:
    """From differences to the block's own means to those to `center`: their sums, and the sums of their squares."""
    lanes, zero = means.size, means.dtype.type(0)
    whole, full, short = _lines_of_lanes(size, first, stop, lanes)
    for j in range(lanes):
        lines = means.dtype.type(full if j < whole else short)
        rest = rests[j] / means.dtype.type(max(full if j < whole else short, 1))
        own = squares[j] - rest * rests[j]
        difference = means[j] - center[j] + rest
        sums[j] = lines * difference
        squares[j] = select(own < zero, zero, own) + sums[j] * difference


@device
def normalize(
    x: Array, first: int, stop: int, center: Array, scale: Array, shift: Array, relu: bool, out: Array
) -> None:
    """(x - center) * scale + shift, cut at 0 if `relu`."""
    lanes, begin = center.size, first * center.size
    whole, rest = _whole_lines(x.size, first, stop, lanes)
    end = begin + whole * lanes
    if relu:
        scale_lines_relu(whole, lanes, lanes, x, begin, out, begin, center, scale, shift)
        scale_lines_relu(1, rest, lanes, x, end, out, end, center, scale, shift)
    else:
        scale_lines(whole, lanes, lanes, x, begin, out, begin, center, scale, shift)
        scale_lines(1, rest, lanes, x, end, out, end, center, scale, shift)


@device
def gradient_sums(
    grad: Array,
    x: Array,
    first: int,
    stop: int,
    center: Array,
    scale: Array,
    shift: Array,
    relu: bool,
    sums: Array,
    products: Array,
) -> None:
    """Sums over the lines of a block of g and of g (x - mean)."""
    lanes, begin = center.size, first * center.size
    whole, rest = _whole_lines(x.size, first, stop, lanes)
    end = begin + whole * lanes
    for j in range(lanes):
        sums[j], products[j] = x.dtype.type(0), x.dtype.type(0)
    if relu:
        add_gradients_relu(whole, lanes, lanes, grad, begin, x, begin, center, scale, shift, sums, products)
        add_gradients_relu(1, rest, lanes, grad, end, x, end, center, scale, shift, sums, products)
    else:
        add_gradients(whole, lanes, lanes, grad, begin, x, begin, center, sums, products)
        add_gradients(1, rest, lanes, grad, end, x, end, center, sums, products)


@device
def input_gradient(
    grad: Array,
    x: Array,
    first: int,
    stop: int,
    center: Array,
    scale: Array,
    shift: Array,
    offset: Array,
    slope: Array,
    relu: bool,
    grad_x: Array,
) -> None:
    """Scale * (g - offset) - slope * (x - mean): the lines of a block, in training."""
    lanes, begin = center.size, first * center.size
    whole, rest = _whole_lines(x.size, first, stop, lanes)
    end = begin + whole * lanes
    if relu:
        # fmt: off
        scale_gradients_relu(whole, lanes, lanes, grad, begin, x, begin, grad_x, begin,
                             center, scale, shift, offset, slope)
        scale_gradients_relu(1, rest, lanes, grad, end, x, end, grad_x, end, center, scale, shift, offset, slope)
        # fmt: on
    else:
        scale_gradients(whole, lanes, lanes, grad, begin, x, begin, grad_x, begin, center, scale, offset, slope)
        scale_gradients(1, rest, lanes, grad, end, x, end, grad_x, end, center, scale, offset, slope)


@device
def scale_gradient(
    grad: Array, x: Array, first: int, stop: int, center: Array, scale: Array, shift: Array, relu: bool, grad_x: Array
) -> None:
    """Scale * g: the lines of a block, where the statistics are constants."""
    lanes, zero = center.size, x.dtype.type(0)
    for line in range(first, stop):
        begin = np.uint64(line * lanes)
        for j in range(np.uint64(min(lanes, x.size - line * lanes))):
            g = grad[begin + j]
            if relu:
                g = select((x[begin + j] - center[j]) * scale[j] + shift[j] <= zero, zero, g)
            grad_x[begin + j] = scale[j] * g
