"""Read and write along one dimension by an index tensor: gather, take_along_dim, index_select, scatter, scatter_add."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.methods import Operand
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.checks import check_number, check_tensor
from tinygrad_mlp.autodiff.ops.dims import one_dim
from tinygrad_mlp.autodiff.ops.index import index_at, slice_view
from tinygrad_mlp.autodiff.ops.inplace import add_, check_writable
from tinygrad_mlp.autodiff.ops.shape import expand, reshape
from tinygrad_mlp.autodiff.ops.unary import array_of
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.gather import check_positions, gather_along, put_along, scatter_add_along
from tinygrad_mlp.kernels.launch import Array, launch

__all__ = ["METHODS", "gather", "index_select", "scatter", "scatter_", "scatter_add", "scatter_add_", "take_along_dim"]


@op
def gather(input: Tensor, dim: int, index: Tensor) -> tuple[Array, Backward]:
    """out[i, j, k] = input[i, index[i, j, k], k] for dim 1, and so on.

    The index has as many dimensions as the input, and along the others at most its sizes; no negative indices.

    Raises
    ------
    ShapeError
        The shapes do not fit so.
    IndexRangeError
        An index is out of range.
    DtypeError
        The index does not hold integers.
    """
    axis, positions = _fitting_index("gather", input, dim, index)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return scatter_along(grad, input.shape, axis, index)

    return _gathered(input.array, positions, axis), backward


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


def _fitting_index(name: str, x: Tensor, dim: int, index: Tensor) -> tuple[int, Array]:
    """The dimension counted from the front, and the index, which elsewhere is at most as large as x."""
    axis = one_dim(name, dim, array_of(name, x).shape)
    positions = _index_array(name, index)
    longer = [d for d, (size, limit) in enumerate(zip(positions.shape, x.shape, strict=False)) if size > limit]
    if positions.ndim != x.ndim or any(d != axis for d in longer):
        raise ShapeError(
            f"{name}: an index of shape {positions.shape} does not fit into {x.shape}; it needs as many dimensions, "
            f"and at most these sizes but along dim {axis}"
        )
    return axis, positions


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
    positions = array_of(name, index)
    if positions.dtype.kind not in "iu":
        raise DtypeError(f"{name}: the index must hold integers, got {positions.dtype} {positions.shape}")
    return positions


def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """`gather` with the input and the indices broadcast against each other; without `dim` from the flattened input.

    `x.take_along_dim(x.argmax(1, keepdim=True), 1)` is the maximum along dim 1. Raises as `gather` does.
    """
    if dim is None:
        return gather(reshape(input, -1), 0, reshape(indices, -1))
    axis = one_dim("take_along_dim", dim, array_of("take_along_dim", input).shape)
    if indices.ndim != input.ndim:
        raise ShapeError(f"take_along_dim: indices of shape {indices.shape} need as many dimensions as {input.shape}")
    both = [
        (1, 1) if d == axis else (size, other)
        for d, (size, other) in enumerate(zip(input.shape, indices.shape, strict=True))
    ]
    if any(size != other and 1 not in (size, other) for size, other in both):
        raise ShapeError(
            f"take_along_dim: {input.shape} and indices {indices.shape} do not broadcast outside dim {axis}"
        )
    joined = [size if other == 1 else other for size, other in both]
    for_input, for_indices = list(joined), list(joined)
    if joined:
        for_input[axis], for_indices[axis] = input.shape[axis], indices.shape[axis]
    wide = input if list(input.shape) == for_input else expand(input, for_input)
    return gather(wide, axis, indices if list(indices.shape) == for_indices else expand(indices, for_indices))


def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The entries of dimension `dim` that a 1-d (or 0-d) integer index names, in its order; no negative indices.

    Raises as `gather` does.
    """
    axis = one_dim("index_select", dim, array_of("index_select", input).shape)
    positions = _index_array("index_select", index)
    if positions.ndim > 1:
        raise ShapeError(f"index_select: the index must be 1-d, got shape {positions.shape}")
    count = input.shape[axis] if input.ndim else 1
    launch(check_positions, "index_select", positions, count, f"dim {axis} of shape {input.shape}")
    if not input.ndim:
        return reshape(input, ())
    return index_at(input, *[None] * axis, reshape(index, -1), *[None] * (input.ndim - axis - 1))


def scatter(
    input: Tensor, dim: int, index: Tensor, src: Operand | None = None, *, value: float | None = None
) -> Tensor:
    """A copy of the input with out[i, index[i, j, k], k] = src[i, j, k] for dim 1, and so on.

    src is a tensor, or a number, also as `value=`. A src larger than the index is read as far as the index reaches. A
    place that the index names twice keeps the last value; the gradient of src is right only where no place is.

    `tg.zeros(N, 10).scatter(1, labels.unsqueeze(1), 1.0)` makes one-hot rows. Raises as `gather` does, and `DtypeError`
    if src has another dtype than the input.
    """
    src = _given("scatter", src, value)
    axis, _ = _fitting_index("scatter", input, dim, index)
    return put(input, _source("scatter", input, index, src), axis, index)


@op
def put(x: Tensor, values: Operand, dim: int, index: Tensor) -> tuple[Array, Backward]:
    """`scatter` of values of the shape of the index."""

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_x = put(grad, 0.0, dim, index) if needs_grad(x) else None
        return grad_x, gather(grad, dim, index) if needs_grad(values) else None

    array = np.empty_like(x.array)
    launch(copy, x.array, array)
    _write(values, array, dim, index.array)
    return array, backward


def scatter_(x: Tensor, dim: int, index: Tensor, src: Operand | None = None, *, value: float | None = None) -> Tensor:
    """`scatter` into the memory of x."""
    src = _given("scatter_", src, value)
    check_writable("scatter_", x, src)
    axis, positions = _fitting_index("scatter_", x, dim, index)
    _write(_source("scatter_", x, index, src), x.array, axis, positions)
    x.counter[0] += 1
    return x


def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of the input with out[i, index[i, j, k], k] += src[i, j, k] for dim 1, and so on; repeated indices add up.

    A src larger than the index is read as far as the index reaches. Raises as `scatter` does.
    """
    return input + _scattered("scatter_add", input, dim, index, src)


def scatter_add_(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """`scatter_add` into the memory of x."""
    return add_(x, _scattered("scatter_add_", x, dim, index, src))


def _scattered(name: str, x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    axis, _ = _fitting_index(name, x, dim, index)
    check_tensor(name, "src", src)
    return scatter_along(_source(name, x, index, src), x.shape, axis, index)


def _given(name: str, src: Operand | None, value: float | None) -> Operand:
    """src or value, of which there must be one. Raises `ArgumentError`, and `DtypeError` for a value that is none."""
    if (src is None) == (value is None):
        raise ArgumentError(f"{name}: give src, a tensor, or value, a number")
    if src is not None:
        return src
    if isinstance(value, Tensor):
        raise DtypeError(f"{name}: value is a Tensor, expected a number; a Tensor is given as src")
    assert value is not None
    return value


def _source(name: str, x: Tensor, index: Tensor, src: Any) -> Any:
    """What is written: a number, or a Tensor of the dtype of x, cut to the shape of the index."""
    if not isinstance(src, Tensor):
        check_number(name, "src", src)
        if x.dtype.kind != "f" and src != int(src):
            raise DtypeError(f"{name}: {src!r} does not fit into {x.dtype}")
        return src
    if src.dtype != x.dtype:
        raise DtypeError(f"{name}: src is {src.dtype}, expected {x.dtype} as the tensor; convert with .to({x.dtype})")
    if src.ndim != index.ndim or any(size < part for size, part in zip(src.shape, index.shape, strict=True)):
        raise ShapeError(f"{name}: src has shape {src.shape}, expected at least {index.shape}, the shape of the index")
    return src if src.shape == index.shape else slice_view(src, (*[slice(part) for part in index.shape], Ellipsis))


def _write(values: Operand, out: Array, axis: int, positions: Array) -> None:
    """Write a number or values of the shape of the index; the one element of a 0-d tensor has the place 0."""
    source = values.array if isinstance(values, Tensor) else np.asarray(values)
    launch(put_along, source, np.atleast_1d(positions), axis, out.reshape(1) if not out.ndim else out)


METHODS: dict[str, Any] = {
    "gather": gather,
    "take_along_dim": take_along_dim,
    "index_select": index_select,
    "scatter": scatter,
    "scatter_": scatter_,
    "scatter_add": scatter_add,
    "scatter_add_": scatter_add_,
}
