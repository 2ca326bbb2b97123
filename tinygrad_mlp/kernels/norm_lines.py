"""What batch norm does to the lines of one block: see `norm` for the formulas, and `lanes` for lines and blocks.

Lines `first` to `stop` - 1 of a 1-d array; all else is one number for each lane.
"""

import numpy as np

from tinygrad_mlp.kernels.launch import Array, device, select

__all__ = ["gradient_sums", "input_gradient", "lane_means", "lane_squares", "move_block", "normalize"]


@device
def lane_means(x: Array, first: int, stop: int, sums: Array, means: Array) -> None:
    """Sum and mean of each lane over the lines of a block."""
    lanes = sums.size
    for j in range(lanes):
        sums[j] = x.dtype.type(0)
    for line in range(first, stop):
        begin = np.uint64(line * lanes)
        for j in range(np.uint64(min(lanes, x.size - line * lanes))):
            sums[j] += x[begin + j]
    whole, full, short = _lines_of_lanes(x.size, first, stop, lanes)
    for j in range(lanes):
        means[j] = sums[j] / x.dtype.type(max(full if j < whole else short, 1))


@device
def _lines_of_lanes(size: int, first: int, stop: int, lanes: int) -> tuple[int, int, int]:
    """How many lanes the last line of a block has, how many lines those have, and how many the others."""
    return size - (stop - 1) * lanes, stop - first, stop - first - 1


@device
def lane_squares(x: Array, first: int, stop: int, means: Array, rests: Array, squares: Array) -> None:
    """Sums over the lines of a block of the differences to the lanes' means, and of their squares."""
    lanes = means.size
    for j in range(lanes):
        rests[j], squares[j] = x.dtype.type(0), x.dtype.type(0)
    for line in range(first, stop):
        begin = np.uint64(line * lanes)
        for j in range(np.uint64(min(lanes, x.size - line * lanes))):
            difference = x[begin + j] - means[j]
            rests[j] += difference
            squares[j] += difference * difference


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
    lanes, zero = center.size, x.dtype.type(0)
    for line in range(first, stop):
        begin = np.uint64(line * lanes)
        for j in range(np.uint64(min(lanes, x.size - line * lanes))):
            y = (x[begin + j] - center[j]) * scale[j] + shift[j]
            out[begin + j] = select(relu & (zero > y), zero, y)


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
    lanes, zero = center.size, x.dtype.type(0)
    cut = np.empty(lanes if relu else 0, x.dtype)
    for j in range(lanes):
        sums[j], products[j] = zero, zero
    for line in range(first, stop):
        begin, width = np.uint64(line * lanes), np.uint64(min(lanes, x.size - line * lanes))
        if relu:
            for j in range(width):  # apart from the sums, or too many arrays stand in the way of vector code
                y = (x[begin + j] - center[j]) * scale[j] + shift[j]
                cut[j] = select(y <= zero, zero, grad[begin + j])
            for j in range(width):
                sums[j] += cut[j]
                products[j] += cut[j] * (x[begin + j] - center[j])
        else:
            for j in range(width):
                sums[j] += grad[begin + j]
                products[j] += grad[begin + j] * (x[begin + j] - center[j])


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
    training: bool,
    grad_x: Array,
) -> None:
    """Scale * (g - offset) - slope * (x - mean) in training, else scale * g, for the lines of a block."""
    lanes, zero = center.size, x.dtype.type(0)
    for line in range(first, stop):
        begin = np.uint64(line * lanes)
        for j in range(np.uint64(min(lanes, x.size - line * lanes))):
            g, difference = grad[begin + j], x[begin + j] - center[j]
            if relu:
                g = select(difference * scale[j] + shift[j] <= zero, zero, g)
            if training:
                grad_x[begin + j] = scale[j] * (g - offset[j]) - slope[j] * difference
            else:
                grad_x[begin + j] = scale[j] * g
