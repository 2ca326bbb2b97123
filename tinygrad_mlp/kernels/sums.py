"""Accurate sums for kernels: pairwise, in blocks whose bounds depend on shapes alone, so always with the same bits.

Adding n numbers one after another rounds n times on the way; adding them as a tree, halves of halves, rounds log2(n)
times (Higham 1993, SIAM J. Sci. Comput. 14:783). Both forms here have trees no deeper than NumPy's pairwise sum.
"""

import numpy as np

from tinygrad_mlp.kernels.launch import Array, device, summing_device

__all__ = [
    "block_rows",
    "carry",
    "column_blocks",
    "column_stack",
    "column_totals",
    "pairwise_dot",
    "pairwise_sum",
    "start",
]

_BLOCK = 256  # numbers of a row that are added in one loop: 32 vector lanes of 8 and their tree
_BLOCK_ROWS = 8  # rows that are added one after another, column by column


@summing_device
def _block_sum(x: Array) -> float:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i]
    return total


@summing_device
def _block_dot(x: Array, y: Array) -> float:
    total = x.dtype.type(0)
    for i in range(x.size):
        total += x[i] * y[i]
    return total


@device
def pairwise_sum(x: Array) -> float:
    """Sum of a 1-d array, in its dtype."""
    if x.size <= _BLOCK:
        return _block_sum(x)
    half = (x.size // 2 + _BLOCK - 1) // _BLOCK * _BLOCK
    return pairwise_sum(x[:half]) + pairwise_sum(x[half:])


@device
def pairwise_dot(x: Array, y: Array) -> float:
    """Sum of the products of two 1-d arrays of one length and dtype."""
    if x.size <= _BLOCK:
        return _block_dot(x, y)
    half = (x.size // 2 + _BLOCK - 1) // _BLOCK * _BLOCK
    return pairwise_dot(x[:half], y[:half]) + pairwise_dot(x[half:], y[half:])


# Sums of columns. A kernel goes through its rows in blocks:
#
#     stack = column_stack(x, width)
#     for block in range(column_blocks(x)):
#         sums = start(stack)
#         ... add the rows of block_rows(x, block) to sums
#         carry(stack, block)
#     sums = column_totals(stack, column_blocks(x))
#
# stack[1 + k] holds the sum of 2**k finished blocks, or nothing: the k-th binary digit of the number of blocks tells.
# A new block is added as 1 is added to a binary counter, which builds the tree without knowing its size.


@device
def column_blocks(x: Array) -> int:
    """How many blocks the rows of x make."""
    return (x.shape[0] + _BLOCK_ROWS - 1) // _BLOCK_ROWS


@device
def block_rows(x: Array, block: int) -> Array:
    """The rows of one block, a view: (at most 8, columns)."""
    return x[block * _BLOCK_ROWS : (block + 1) * _BLOCK_ROWS]


@device
def column_stack(x: Array, width: int) -> Array:
    """Working space to add up `width` columns over the rows of x: (levels, width) in the dtype of x."""
    levels = 1
    blocks = column_blocks(x)
    while blocks > 0:
        levels += 1
        blocks >>= 1
    return np.empty((levels, width), x.dtype)


@device
def start(stack: Array) -> Array:
    """stack[0] set to 0, for the sums of the next block."""
    sums = stack[0]
    for c in range(sums.size):
        sums[c] = sums.dtype.type(0)
    return sums


@device
def carry(stack: Array, block: int) -> None:
    """Add the sums of block number `block`, which stand in stack[0], to the tree."""
    sums = stack[0]
    level = 1
    while block & 1:
        older = stack[level]
        for c in range(sums.size):
            sums[c] += older[c]
        level += 1
        block >>= 1
    place = stack[level]
    for c in range(sums.size):
        place[c] = sums[c]


@device
def column_totals(stack: Array, blocks: int) -> Array:
    """Sums of all `blocks` blocks, (width,): what the tree holds, smaller subtrees first, added up in stack[0]."""
    totals = start(stack)
    level = 1
    while blocks > 0:
        if blocks & 1:
            sums = stack[level]
            for c in range(totals.size):
                totals[c] += sums[c]
        level += 1
        blocks >>= 1
    return totals
