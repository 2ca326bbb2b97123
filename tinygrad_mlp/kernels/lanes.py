"""Columns of a matrix (rows, C) as lanes of long lines, for kernels that go through many rows of few channels.

A loop over three channels, or over 32, is over before vector code has begun. So several rows that lie one behind the
other in memory are taken as one line of some 256 lanes, and lane j belongs to channel j % C. What is known of channels
is repeated along the line, and what is found for lanes is added up to channels at the end. Lines come in blocks, which
stay in the cache while a kernel goes over them again, and which threads share. All bounds depend on the shape alone.

The last line may be a part of one; it is the last line of the last block.
"""

import numpy as np

from tinygrad_mlp.kernels.launch import Array, device
from tinygrad_mlp.kernels.sums import stretch

__all__ = ["BLOCK_LINES", "add_up", "block_count", "lane_count", "line_bounds", "repeated"]

BLOCK_LINES = 64
_LANES = 256  # 1 kB of float32: a block is 64 kB, and what is found of it a part of that that does not count
_MIN_LINES = 64  # a short matrix is not worth the adding up


@device
def lane_count(x: Array) -> int:
    """Lanes of a line of x (rows, C): a multiple of C; at least 1."""
    rows, channels = x.shape
    return max(channels * max(min(_LANES // max(channels, 1), rows // _MIN_LINES), 1), 1)


@device
def block_count(x: Array, lanes: int) -> int:
    """Blocks of lines that x makes."""
    size = BLOCK_LINES * lanes
    return (x.size + size - 1) // size


@device
def line_bounds(x: Array, lanes: int, block: int) -> tuple[int, int]:
    """First and last + 1 of the lines of a block, a part of one at the end included."""
    lines = (x.size + lanes - 1) // lanes
    first = int(np.int64(block)) * BLOCK_LINES  # in parallel loops numbers of blocks are unsigned, and mix to floats
    return first, min(first + BLOCK_LINES, lines)


@device
def repeated(values: Array, lanes: int) -> Array:
    """(C,) along a line: (lanes,); maybe `values` itself, which is not to be written."""
    if lanes == values.size:
        return values
    out = np.empty(lanes, values.dtype)
    channel = 0
    for lane in range(lanes if values.size else 0):
        out[lane] = values[channel]
        channel = channel + 1 if channel + 1 < values.size else 0
    return out


@device
def add_up(sums: Array, out: Array) -> None:
    """Sums (blocks, lanes) of all blocks by lane, and of the lanes by channel, into out (C,); changes `sums`.

    Neighbours are added first, then neighbouring sums, and so on: the error grows with the logarithm of their number.
    """
    blocks, lanes = sums.shape
    flat, channels = sums.reshape(-1), out.size
    _add_neighbours(flat, blocks, lanes)
    if blocks and channels:
        _add_neighbours(flat, lanes // channels, channels)
    for channel in range(channels):
        out[channel] = flat[channel] if blocks else out.dtype.type(0)


@device
def _add_neighbours(sums: Array, count: int, width: int) -> None:
    """Add up `count` stretches of `width` numbers, in the first."""
    step = 1
    while step < count:
        for i in range(0, count - step, 2 * step):
            offset = np.uint64(step * width)
            for j in range(*stretch(i * width, width)):
                sums[j] += sums[j + offset]
        step *= 2
