"""Read and write elements by index; plain NumPy, with the indices checked here.

An index array of a kernel counts negative indices from the end only where its text says so. The scatter kernels add in
the order of the index, so that their bits are always the same.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels.launch import Array, kernel

__all__ = [
    "check_positions",
    "gather_along",
    "gather_at",
    "put_along",
    "put_at",
    "scatter_add_along",
    "scatter_add_at",
]


def _selector(indices: tuple[Array | None, ...]) -> tuple[Any, ...]:
    """NumPy's form of an index: None, a whole dimension here, is a new one there."""
    return tuple([slice(None) if index is None else index for index in indices])


def _positions(shape: tuple[int, ...]) -> Array:
    """The number of each element in row-major order."""
    return np.arange(math.prod(shape)).reshape(shape)


@kernel(writes=(), compiled=False)
def check_positions(name: str, positions: Array, count: int, where: str) -> None:
    """Raise `IndexRangeError` for positions outside 0 to count - 1; `name` says whose they are, `where` in what."""
    if positions.size and not 0 <= positions.min() <= positions.max() < count:
        worst = positions.min() if positions.min() < 0 else positions.max()
        raise IndexRangeError(f"{name}: index {worst} is out of range for {where}; expected 0 to {count - 1}")


@kernel(writes=("out",), compiled=False)
def gather_at(x: Array, out: Array, *indices: Array | None) -> None:
    """out = x[indices]: one integer array, or None for all of it, for each dimension of x; negative ones from the end.

    The arrays broadcast together, and their shape takes the place of their dimensions (the front, if these lie apart).
    """
    try:
        out[...] = x[_selector(indices)]
    except IndexError as error:
        raise IndexRangeError(f"indexing a tensor of shape {x.shape}: {error}") from None


@kernel(writes=("out",), compiled=False)
def scatter_add_at(values: Array, out: Array, *indices: Array | None) -> None:
    """out = 0, then out[indices] += values, each of repeated indices; the way back through `gather_at`. `out` is dense.

    One flat index for one flat array is what NumPy adds up fastest, five times faster than rows.
    """
    try:
        positions = _positions(out.shape)[_selector(indices)]
    except IndexError as error:  # the way there was clear: they were changed since
        raise IndexRangeError(f"gradient of indexing a tensor of shape {out.shape}: {error}") from None
    out.fill(0)
    np.add.at(out.reshape(-1), positions.reshape(-1), values.reshape(-1))


@kernel(writes=("out",), compiled=False)
def put_at(value: Array, out: Array, *indices: Array | None) -> None:
    """out[indices] = value, which broadcasts; of values for one place the last stays."""
    try:
        out[_selector(indices)] = value
    except IndexError as error:
        raise IndexRangeError(f"assigning into a tensor of shape {out.shape}: {error}") from None


@kernel(writes=("out",), compiled=False)
def gather_along(x: Array, index: Array, axis: int, out: Array) -> None:
    """out[i, j, k] = x[i, index[i, j, k], k] for axis 1, and so on; no negative indices.

    Along the other axes the index may be shorter than x.
    """
    _check_range(index, x.shape, axis)
    out[...] = np.take_along_axis(x[_front(index.shape, axis)], index, axis)


@kernel(writes=("out",), compiled=False)
def scatter_add_along(values: Array, index: Array, axis: int, out: Array) -> None:
    """out = 0, then out[i, index[i, j, k], k] += values[i, j, k] for axis 1, and so on; `out` is row-major.

    The way back through `gather_along`.
    """
    _check_range(index, out.shape, axis)
    out.fill(0)
    positions = np.take_along_axis(_positions(out.shape)[_front(index.shape, axis)], index, axis)
    np.add.at(out.reshape(-1), positions.reshape(-1), values.reshape(-1))


@kernel(writes=("out",), compiled=False)
def put_along(values: Array, index: Array, axis: int, out: Array) -> None:
    """out[i, index[i, j, k], k] = values[i, j, k] for axis 1, and so on, where values broadcasts to the index.

    Of values for one place the last one in row-major order stays.
    """
    _check_range(index, out.shape, axis)
    np.put_along_axis(out[_front(index.shape, axis)], index, values, axis)


def _front(shape: tuple[int, ...], axis: int) -> tuple[slice, ...]:
    """As many elements along each axis as `shape` has, but all along one."""
    return tuple([slice(None) if i == axis else slice(size) for i, size in enumerate(shape)])


def _check_range(index: Array, shape: tuple[int, ...], axis: int) -> None:
    count = shape[axis]
    outside = (index < 0) | (index >= count)
    if outside.any():
        first = tuple(int(i) for i in np.argwhere(outside)[0])
        raise IndexRangeError(
            f"index {index[first]} at {first} is out of range along dim {axis} of shape {shape}; indices must lie in "
            f"0 to {count - 1}"
        )
