"""Sums over any axes of an array, pairwise, so that many float32 numbers add up without losing digits.

A compiled kernel sees three dimensions (outer, n, inner) and sums over the middle one. `sum_axes` brings any array and
any axes into that form, mostly without a copy: axes are taken in the order of memory, and neighbours that are both
reduced, or both kept, count as one. Other reductions (products, extremes) need no such care: see `exact`.
"""

from __future__ import annotations

import math

import numpy as np

from tinygrad_mlp.errors import DtypeError, ShapeError
from tinygrad_mlp.kernels.copy import copy, is_dense, memory_order
from tinygrad_mlp.kernels.exact import reduce_with
from tinygrad_mlp.kernels.launch import Array, kernel, launch
from tinygrad_mlp.kernels.sums import block_rows, carry, column_blocks, column_stack, column_totals, start, stretch_sum

__all__ = ["sum_axes", "sum_reduce"]


@kernel(writes=("out",))
def sum_reduce(x: Array, out: Array) -> None:
    """Out (outer, inner) = x (outer, n, inner) summed over the middle dimension; float32 or float64."""
    outer, n, inner = x.shape
    if inner == 1:
        flat = x.reshape(-1)
        for i in range(outer):
            out[i, 0] = stretch_sum(flat, i * n, n)
        return
    for i in range(outer):
        rows = x[i]
        stack = column_stack(rows, inner)
        for block in range(column_blocks(rows)):
            sums = start(stack)
            some = block_rows(rows, block)
            for r in range(some.shape[0]):
                row = some[r]
                for c in range(row.size):
                    sums[c] += row[c]
            carry(stack, block)
        totals = column_totals(stack, column_blocks(rows))
        for c in range(inner):
            out[i, c] = totals[c]


def sum_axes(x: Array, axes: tuple[int, ...], out: Array) -> None:
    """Sum x over some axes (0 or more, in 0 … ndim-1) into `out`, which has the axes that are left.

    Floats keep their dtype; the error is that of pairwise summation, about log2(n) roundings. Integers and bools are
    added up exactly in the dtype of `out`.

    Raises
    ------
    ShapeError
        `out` does not have the shape of the axes that are left.
    DtypeError
        x is float32 and `out` is not, or float64.

    >>> x, out = np.ones((2, 3, 4), np.float32), np.empty(3, np.float32)
    >>> sum_axes(x, (0, 2), out)
    >>> out.tolist()
    [8.0, 8.0, 8.0]
    """
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    if out.shape != tuple([x.shape[axis] for axis in kept]):
        raise ShapeError(f"sum_axes: got {x.shape} over axes {axes} into {out.shape}; expected the axes that are left")
    if x.dtype.kind != "f":
        launch(reduce_with, np.add, x, axes, out)
        return
    if x.dtype != out.dtype:
        raise DtypeError(f"sum_axes: got {x.dtype} into {out.dtype}; expected one dtype")
    if axes and x.flags.c_contiguous and out.flags.carray and list(axes) == list(range(axes[0], axes[-1] + 1)):
        first, stop = axes[0], axes[-1] + 1
        outer, n, inner = math.prod(x.shape[:first]), math.prod(x.shape[first:stop]), math.prod(x.shape[stop:])
        launch(sum_reduce, x.reshape(outer, n, inner), out.reshape(outer, inner))  # neighbours in memory: no search
        return
    if not is_dense(x):
        dense = np.empty(x.shape, x.dtype)
        launch(copy, x, dense)
        x = dense
    order = memory_order(x)
    values = x.transpose(order)  # a C-contiguous view
    groups = _groups(values.shape, [axis in axes for axis in order])
    target = out.transpose([kept.index(axis) for axis in order if axis in kept])  # out as memory would hold the result
    while any(reduced for reduced, _ in groups):
        last = max(i for i, (reduced, _) in enumerate(groups) if reduced)
        outer, n, inner = _size(groups[:last]), groups[last][1], _size(groups[last + 1 :])
        del groups[last]
        finished = target.flags.carray and not any(reduced for reduced, _ in groups)
        sums = target.reshape(outer, inner) if finished else np.empty((outer, inner), x.dtype)
        launch(sum_reduce, values.reshape(outer, n, inner), sums)
        if finished:
            return
        values = sums
    launch(copy, values.reshape(target.shape), target)


def _groups(shape: tuple[int, ...], reduced: list[bool]) -> list[tuple[bool, int]]:
    """Neighbouring axes of one kind as one: (whether reduced, size). Axes of size 1 are left out."""
    groups: list[tuple[bool, int]] = []
    for kind, size in zip(reduced, shape, strict=True):
        if size == 1:
            continue
        if groups and groups[-1][0] == kind:
            size *= groups.pop()[1]
        groups.append((kind, size))
    return groups


def _size(groups: list[tuple[bool, int]]) -> int:
    return math.prod([size for _, size in groups])
