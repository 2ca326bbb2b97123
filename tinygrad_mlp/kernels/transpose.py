"""Copies between memory orders: matrices transposed, as a channels-last image is when it becomes row-major.

NumPy copies element by element where the fastest axes of source and target differ. Here squares of one vector of rows
are transposed in registers, so that both sides are read and written by whole vectors.
"""

from __future__ import annotations

import math

from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, kernel, launch, memory_order, prange
from tinygrad_mlp.kernels.memory import empty_like
from tinygrad_mlp.kernels.tile import VECTOR_BYTES
from tinygrad_mlp.kernels.turned_tile import transpose_square

__all__ = ["copy_across", "in_order_of", "transpose_matrices"]

_STRIP = 512  # of the longer side: what one task transposes


@kernel(writes=("out",), parallel=True)
def transpose_matrices(x: Array, out: Array) -> None:
    """Out (count, columns, rows) = each matrix of x (count, rows, columns) transposed; float32 or float64.

    Rows and columns are at least as many as fill a vector.
    """
    count, rows, columns = x.shape
    source, target = x.reshape(-1), out.reshape(-1)
    side = VECTOR_BYTES // x.itemsize
    longer, shorter = max(rows, columns), min(rows, columns)
    strips = (longer + _STRIP - 1) // _STRIP
    for task in prange(count * strips):
        at, start = task // strips * rows * columns, task % strips * _STRIP
        # The shorter side is gone through within the longer one: what is half written stays in the cache.
        for place in range(start, min(start + _STRIP, longer), side):
            along = min(place, longer - side)  # the last square is moved back to end with the matrix
            for other in range(0, shorter, side):
                across = min(other, shorter - side)
                r, c = (along, across) if rows > columns else (across, along)
                transpose_square(source, at + r * columns + c, columns, target, at + c * rows + r, rows, side, side)


def copy_across(source: Array, out: Array) -> None:
    """Write `source` to `out`, of one shape and dtype, that lie in memory in different orders of their axes.

    By `transpose_matrices` where that is what it takes, and the matrices are not narrower than a vector.
    """
    matrices = _as_matrices(source, out)
    if matrices is None:
        launch(copy, source, out)
    else:
        launch(transpose_matrices, *matrices, work=out.size)


def in_order_of(like: Array, array: Array) -> Array:
    """A copy of the array that lies in memory as `like`, which has its shape and dtype."""
    dense = empty_like(like)
    copy_across(array, dense)
    return dense


def _as_matrices(source: Array, out: Array) -> tuple[Array, Array] | None:
    """Both as (count, rows, columns) and (count, columns, rows), C-contiguous; None if they do not lie so.

    (N, C, H, W) that lies N, H, W, C, to be row-major: (N, H·W, C) and (N, C, H·W).
    """
    if source.dtype != out.dtype or out.dtype.kind != "f" or out.size == 0:
        return None
    order = [axis for axis in memory_order(out) if out.shape[axis] > 1]
    source_order = [axis for axis in memory_order(source) if out.shape[axis] > 1]
    outer = 0
    while outer < len(order) and order[outer] == source_order[outer]:
        outer += 1
    if outer == len(order):
        return None
    middle = order.index(source_order[outer])  # out has outer, columns, rows; the source outer, rows, columns
    if source_order != [*order[:outer], *order[middle:], *order[outer:middle]]:
        return None
    units = [axis for axis in range(out.ndim) if out.shape[axis] == 1]
    target, stored = out.transpose(units + order), source.transpose(units + source_order)
    columns = math.prod([out.shape[axis] for axis in order[outer:middle]])
    rows = math.prod([out.shape[axis] for axis in order[middle:]])
    if min(rows, columns) * out.itemsize < VECTOR_BYTES or not (target.flags.carray and stored.flags.carray):
        return None
    return stored.reshape(-1, rows, columns), target.reshape(-1, columns, rows)
