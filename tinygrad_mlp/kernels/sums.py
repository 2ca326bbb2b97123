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
    "stretch",
    "stretch_dot",
    "stretch_sum",
]

_BLOCK = 256  # numbers of a row that are added in one loop: 32 vector lanes of 8 and their tree
_SHORT = 16  # so few that four chains add them up
_LEVELS = 56  # 2**56 blocks are more than fit into memory
_BLOCK_ROWS = 8  # rows that are added one after another, column by column


# Rows are given as a stretch of a 1-d array, since a view of each row costs more than the sum of a short one. Places
# are unsigned: a signed index may be negative, to be counted from the end, which stands in the way of vector code.


@device
def stretch(start: int, size: int) -> tuple[np.uint64, np.uint64]:
    """Start and stop of a stretch as loops want them."""
    return np.uint64(start), np.uint64(start + size)


@summing_device
def _block_sum(x: Array, start: int, size: int) -> float:
    total = x.dtype.type(0)
    for i in range(*stretch(start, size)):
        total += x[i]
    return total


@summing_device
def _block_dot(x: Array, y: Array, start: int, size: int) -> float:
    total = x.dtype.type(0)
    for i in range(*stretch(start, size)):
        total += x[i] * y[i]
    return total


@device
def _short_sum(x: Array, start: int, size: int) -> float:
    """Sum of a few numbers in four chains: vector code would take longer to start than to run."""
    first = x.dtype.type(0)
    second, third, fourth = first, first, first
    one, two, three = np.uint64(1), np.uint64(2), np.uint64(3)
    for i in range(np.uint64(start), np.uint64(start + size // 4 * 4), np.uint64(4)):
        first += x[i]
        second += x[i + one]
        third += x[i + two]
        fourth += x[i + three]
    for i in range(np.uint64(start + size // 4 * 4), np.uint64(start + size)):
        first += x[i]
    return (first + second) + (third + fourth)


@device
def _add_block(sums: Array, block: int, total: float) -> None:
    """Take in the sum of a block: sums[k] holds that of 2**k finished ones where bit k of their number is set."""
    level = 0
    while block & 1:
        total = sums[level] + total
        level += 1
        block >>= 1
    sums[level] = total


@device
def _all_blocks(sums: Array, blocks: int) -> float:
    """What `_add_block` has gathered, smaller subtrees first."""
    total = sums.dtype.type(0)
    for level in range(sums.size):
        if (blocks >> level) & 1:
            total = sums[level] + total
    return total


@device
def _long_sum(x: Array, start: int, size: int) -> float:
    blocks = (size + _BLOCK - 1) // _BLOCK
    sums = np.empty(_LEVELS, x.dtype)
    for block in range(blocks):
        first = block * _BLOCK
        _add_block(sums, block, _block_sum(x, start + first, min(_BLOCK, size - first)))
    return _all_blocks(sums, blocks)


@device
def stretch_sum(x: Array, start: int, size: int) -> float:
    """Sum of x[start : start + size], x 1-d, in its dtype."""
    if size <= _SHORT:
        return _short_sum(x, start, size)
    if size <= _BLOCK:
        return _block_sum(x, start, size)
    return _long_sum(x, start, size)


@device
def pairwise_sum(x: Array) -> float:
    """Sum of a 1-d array, in its dtype."""
    return stretch_sum(x, 0, x.size)


@device
def stretch_dot(x: Array, y: Array, start: int, size: int) -> float:
    """Sum of the products of the same stretch of two 1-d arrays of one dtype."""
    if size <= _BLOCK:
        return _block_dot(x, y, start, size)
    blocks = (size + _BLOCK - 1) // _BLOCK
    sums = np.empty(_LEVELS, x.dtype)
    for block in range(blocks):
        first = block * _BLOCK
        _add_block(sums, block, _block_dot(x, y, start + first, min(_BLOCK, size - first)))
    return _all_blocks(sums, blocks)


@device
def pairwise_dot(x: Array, y: Array) -> float:
    """Sum of the products of two 1-d arrays of one length and dtype."""
    return stretch_dot(x, y, 0, x.size)


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
