"""Memory for large results, used again and again.

The operating system hands out large blocks of memory page by page, and clears each at its first use: in a training step
of a convolutional net that cost as much as the net's convolutions (6,000 pages a step, 52 ms instead of 20). So a large
block that no array needs any more is kept, and the next array that it fits gets it.

A block is free when the array that it was lent to, and every view of that array, is gone: nobody's numbers are ever
written over.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from tinygrad_mlp.kernels.launch import Array, memory_order

__all__ = ["SMALLEST", "empty", "empty_like", "is_block"]

SMALLEST = 1 << 18  # bytes; below that the allocator of the C library does as well
_KEPT = 1 << 28  # so many bytes of free blocks are kept at most
_ALIGNMENT = 64  # a line of the cache, and the widest vector: no load or store crosses a line


class _Blocks:
    """The free blocks, by size; sizes are rounded up, so that blocks fit for more than one shape.

    Blocks come back whenever an array dies, maybe in another Python thread, maybe in the midst of a lending: lists are
    changed by single calls alone, which nothing interrupts.
    """

    def __init__(self) -> None:
        self._free: dict[int, list[Array]] = {}
        self._lent: dict[int, weakref.ref[Array]] = {}

    def lend(self, size: int) -> Array:
        """An array of `size` bytes, on a free block of at most twice that, or on a new one."""
        block = self._fitting(size)
        # The base of this array is no array, so that NumPy makes it, and not the block, the base of all views of it.
        keeper = np.frombuffer(block.data, np.uint8, size)
        self._lent[id(block)] = weakref.ref(keeper, lambda _: self._take_back(block))
        return keeper

    def _fitting(self, size: int) -> Array:
        step = 1 << (size.bit_length() - 4)
        rounded = -(-size // step) * step  # by at most an eighth
        for fitting in range(rounded, 2 * size + 1, step):
            free = self._free.get(fitting)
            if free:
                try:
                    return free.pop()
                except IndexError:  # another thread took it between the two lines
                    continue
        memory = np.empty(rounded + _ALIGNMENT, np.uint8)
        start = -memory.ctypes.data % _ALIGNMENT
        return memory[start : start + rounded]

    def has_lent(self, block: object, keeper: Array) -> bool:
        """Whether a block was lent to this array."""
        lent = self._lent.get(id(block))
        return lent is not None and lent() is keeper

    def _take_back(self, block: Array) -> None:
        del self._lent[id(block)]
        if sum(size * len(free) for size, free in list(self._free.items())) + block.size <= _KEPT:
            self._free.setdefault(block.size, []).append(block)


_blocks = _Blocks()


def is_block(array: Array) -> bool:
    """Whether the array is the one to which a block was lent: all views of the block end there."""
    lender = getattr(array.base, "obj", None)
    return lender is not None and _blocks.has_lent(lender, array)


def empty(shape: Sequence[int], dtype: DTypeLike) -> Array:
    """`np.empty`: a C-contiguous array that is not initialised, from a free block if it is large."""
    kind = np.dtype(dtype)
    size = math.prod(shape) * kind.itemsize
    if size < SMALLEST:
        return np.empty(shape, kind)
    return _blocks.lend(size).view(kind).reshape(shape)


def empty_like(array: Array) -> Array:
    """`np.empty_like`: of the same shape, dtype and memory order."""
    if array.nbytes < SMALLEST:
        return np.empty_like(array)
    order = memory_order(array)
    back = [order.index(axis) for axis in range(array.ndim)]
    return empty([array.shape[axis] for axis in order], array.dtype).transpose(back)
