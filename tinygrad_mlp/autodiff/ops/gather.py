"""Gather elements along one dimension by an index tensor: gather, take_along_dim, index_select."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.dims import one_dim
from tinygrad_mlp.autodiff.ops.index import index_at
from tinygrad_mlp.autodiff.ops.shape import expand, reshape
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import DtypeError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.gather import gather_along, scatter_add_along
from tinygrad_mlp.kernels.launch import Array, launch

__all__ = ["METHODS", "gather", "index_select", "take_along_dim"]


@op
def gather(x: Tensor, dim: int, index: Tensor) -> tuple[Array, Backward]:
    """out[i, j, k] = x[i, index[i, j, k], k] for dim 1, and so on.

    The index has as many dimensions as x, and along the others at most its sizes; no negative indices.

    Raises
    ------
    ShapeError
        The shapes do not fit so.
    IndexRangeError
        An index is out of range.
    DtypeError
        The index does not hold integers.
    """
    axis = one_dim("gather", dim, x.shape)
    positions = _index_array("gather", index)
    longer = [d for d, (size, limit) in enumerate(zip(positions.shape, x.shape, strict=False)) if size > limit]
    if positions.ndim != x.ndim or any(d != axis for d in longer):
        raise ShapeError(
            f"gather: an index of shape {positions.shape} does not fit into {x.shape}; it needs as many dimensions, "
            f"and at most these sizes but along dim {axis}"
        )

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return scatter_along(grad, x.shape, axis, index)

    return _gathered(x.array, positions, axis), backward


@op
def scatter_along(x: Tensor, shape: tuple[int, ...], dim: int, index: Tensor) -> tuple[Array, Backward]:
    """Zeros, with x added where `gather` took it from."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return gather(grad, dim, index)

    out = np.empty(shape, x.dtype)
    if index.ndim:
        launch(scatter_add_along, x.array, index.array, dim, out)
    else:  # the one element of a 0-d tensor
        launch(copy, x.array, out)
    return out, backward


def _gathered(x: Array, positions: Array, axis: int) -> Array:
    if not x.ndim:
        x, positions = x.reshape(1), positions.reshape(1)
        out = np.empty((), x.dtype)
        launch(gather_along, x, positions, 0, out.reshape(1))
        return out
    out = np.empty_like(x, shape=positions.shape)
    launch(gather_along, x, positions, axis, out)
    return out


def _index_array(name: str, index: Tensor) -> Array:
    if index.dtype.kind not in "iu":
        raise DtypeError(f"{name}: the index must hold integers, got {index.dtype} {index.shape}")
    return index.array


def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with x and the indices broadcast against each other; without `dim` from the flattened x.

    `x.take_along_dim(x.argmax(1, keepdim=True), 1)` is the maximum along dim 1. Raises as `gather` does.
    """
    if dim is None:
        return gather(reshape(x, -1), 0, reshape(indices, -1))
    axis = one_dim("take_along_dim", dim, x.shape)
    if indices.ndim != x.ndim:
        raise ShapeError(f"take_along_dim: indices of shape {indices.shape} need as many dimensions as {x.shape}")
    both = [
        (1, 1) if d == axis else (size, other)
        for d, (size, other) in enumerate(zip(x.shape, indices.shape, strict=True))
    ]
    if any(size != other and 1 not in (size, other) for size, other in both):
        raise ShapeError(f"take_along_dim: {x.shape} and indices {indices.shape} do not broadcast outside dim {axis}")
    joined = [size if other == 1 else other for size, other in both]
    for_x, for_indices = list(joined), list(joined)
    if joined:
        for_x[axis], for_indices[axis] = x.shape[axis], indices.shape[axis]
    wide = x if list(x.shape) == for_x else expand(x, for_x)
    return gather(wide, axis, indices if list(indices.shape) == for_indices else expand(indices, for_indices))


def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """The entries of dimension `dim` that a 1-d (or 0-d) integer index names, in its order; no negative indices.

    Raises as `gather` does.
    """
    axis = one_dim("index_select", dim, x.shape)
    positions = _index_array("index_select", index)
    if positions.ndim > 1:
        raise ShapeError(f"index_select: the index must be 1-d, got shape {positions.shape}")
    count = x.shape[axis] if x.ndim else 1
    if positions.size and not 0 <= positions.min() <= positions.max() < count:
        worst = positions.min() if positions.min() < 0 else positions.max()
        raise IndexRangeError(
            f"index_select: index {worst} is out of range for dim {axis} of shape {x.shape}; expected 0 to {count - 1}"
        )
    return index_at(x, *[None] * axis, reshape(index, -1), *[None] * (x.ndim - axis - 1)) if x.ndim else reshape(x, ())


METHODS: dict[str, Any] = {
    "gather": gather,
    "take_along_dim": take_along_dim,
    "index_select": index_select,
}
