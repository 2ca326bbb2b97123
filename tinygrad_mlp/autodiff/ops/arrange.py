"""Put tensors together, take them apart, move elements about.

cat, stack, split, chunk, unbind; flip, roll, tril, triu, diag, meshgrid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from tinygrad_mlp.autodiff.methods import Dim
from tinygrad_mlp.autodiff.op import needs_grad, numpy_names, op
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_tensor
from tinygrad_mlp.autodiff.ops.dims import given_size, one_dim, several_dims, sizes
from tinygrad_mlp.autodiff.ops.index import index_at, scatter_at, slice_view
from tinygrad_mlp.autodiff.ops.shape import expand, reshape, to, unsqueeze
from tinygrad_mlp.autodiff.ops.unary import array_of
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.choose import choose
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, launch

__all__ = [
    "METHODS",
    "cat",
    "chunk",
    "diag",
    "flip",
    "meshgrid",
    "roll",
    "split",
    "stack",
    "tril",
    "triu",
    "unbind",
]


def _part(dim: int, start: int | None, stop: int | None) -> tuple[Any, ...]:
    """The index of entries start to stop of one dimension."""
    return (*[slice(None)] * dim, slice(start, stop), Ellipsis)


@op
def concatenate(*tensors: Tensor, dim: int) -> tuple[Array, Backward]:
    """Tensors of one dtype, whose shapes agree but along `dim`, one after another."""
    ends = np.cumsum([tensor.shape[dim] for tensor in tensors]).tolist()
    parts = [_part(dim, start, end) for start, end in zip([0, *ends], ends, strict=False)]

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        pairs = zip(tensors, parts, strict=True)
        return tuple([slice_view(grad, part) if needs_grad(tensor) else None for tensor, part in pairs])

    first = tensors[0]
    array = np.empty_like(first.array, shape=(*first.shape[:dim], ends[-1], *first.shape[dim + 1 :]))
    for tensor, part in zip(tensors, parts, strict=True):
        launch(copy, tensor.array, array[part])
    return array, backward


@numpy_names
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along a dimension that they have; as in PyTorch, tensors of shape (0,) join anything.

    Raises `ShapeError` if the shapes differ elsewhere, `DtypeError` if float32 meets float64, `ArgumentError` for no
    tensors.
    """
    listed = _one_dtype("cat", tensors)
    kept = [tensor for tensor in listed if tensor.shape != (0,)] or listed[:1]
    first = kept[0]
    if not first.ndim:
        raise ShapeError("cat: 0-d tensors cannot be joined; use stack")
    axis = one_dim("cat", dim, first.shape)
    for position, tensor in enumerate(kept):
        if tensor.ndim != first.ndim or _without(tensor.shape, axis) != _without(first.shape, axis):
            raise ShapeError(
                f"cat: tensor {position} has shape {tensor.shape}, which differs from {first.shape} outside dim {axis}"
            )
    return concatenate(*kept, dim=axis)


@numpy_names
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension. Raises as `cat` does."""
    listed = _one_dtype("stack", tensors)
    shape = listed[0].shape
    for position, tensor in enumerate(listed):
        if tensor.shape != shape:
            raise ShapeError(f"stack: tensor {position} has shape {tensor.shape}, expected {shape} as the first")
    axis = one_dim("stack", dim, (*shape, 1))
    return concatenate(*[unsqueeze(tensor, axis) for tensor in listed], dim=axis)


def _one_dtype(name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """The tensors, integers and bools converted to the dtype of the others."""
    if not isinstance(tensors, Sequence):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without types
        raise DtypeError(f"{name}: expected a list or tuple of Tensors, got {type(tensors).__name__}")
    listed = list(tensors)
    if not listed:
        raise ArgumentError(f"{name}: expected at least one tensor")
    for position, tensor in enumerate(listed):
        check_tensor(name, f"element {position}", tensor)
    dtypes = {tensor.dtype for tensor in listed}
    if len(dtypes) == 1:
        return listed
    floating = {dtype for dtype in dtypes if dtype.kind == "f"}
    if len(floating) > 1:
        raise DtypeError(f"{name}: float32 and float64 do not mix; convert with .float() or .double()")
    common = floating.pop() if floating else np.result_type(*dtypes)
    return [to(tensor, common) for tensor in listed]


def _without(shape: tuple[int, ...], dim: int) -> tuple[int, ...]:
    return (*shape[:dim], *shape[dim + 1 :])


def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of so many entries each (the last may be shorter), or of the sections given, along a dimension.

    Raises `ShapeError` if sizes do not add up, `ArgumentError` for a size that is negative, or 0 where it cannot be.
    """
    axis = one_dim("split", dim, array_of("split", tensor).shape)
    _check_has_dims("split", tensor)
    count = tensor.shape[axis]
    if isinstance(split_size_or_sections, Sequence):
        lengths = sizes("split", [split_size_or_sections])
    elif split_size_or_sections > 0:
        whole, rest = divmod(count, split_size_or_sections)
        lengths = (split_size_or_sections,) * whole + ((rest,) if rest or not whole else ())
    elif split_size_or_sections == count == 0:
        lengths = (0,)
    else:
        raise ArgumentError(f"split: split_size_or_sections must be at least 1, got {split_size_or_sections}")
    if any(length < 0 for length in lengths) or sum(lengths) != count:
        raise ShapeError(
            f"split: sizes {lengths} must be at least 0 and add up to {count}, dim {axis} of {tensor.shape}"
        )
    bounds = zip(lengths, np.cumsum(lengths).tolist(), strict=True)
    return tuple([slice_view(tensor, _part(axis, end - length, end)) for length, end in bounds])


def _split_method(x: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """`split`, with the name that PyTorch's method has for the sizes."""
    return split(x, split_size, dim)


def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` views of one size (the last may be shorter) along a dimension, as PyTorch divides."""
    if chunks < 1:
        raise ArgumentError(f"chunk: chunks must be at least 1, got {chunks}")
    axis = one_dim("chunk", dim, array_of("chunk", input).shape)
    _check_has_dims("chunk", input)
    length = -(-input.shape[axis] // chunks)
    return split(input, length, axis) if length else split(input, [0] * chunks, axis)


def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """A view of each entry along a dimension, without that dimension."""
    axis = one_dim("unbind", dim, array_of("unbind", input).shape)
    _check_has_dims("unbind", input)
    return tuple([slice_view(input, (*[slice(None)] * axis, i, Ellipsis)) for i in range(input.shape[axis])])


def _check_has_dims(name: str, x: Tensor) -> None:
    if not x.ndim:
        raise ShapeError(f"{name}: a 0-d tensor cannot be taken apart")


@op
def flip(input: Tensor, *axes: int | Sequence[int], dims: int | Sequence[int] | None = None) -> tuple[Array, Backward]:
    """The order of the entries reversed along one or more dimensions, `x.flip(0)` or `x.flip(dims=(0, 1))`; a copy.

    Raises `ArgumentError` without dimensions, and for one named twice.
    """
    named = _flipped_dims(input, given_size("flip", axes, dims, "dims"))

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return flip(grad, named)

    array = np.empty_like(input.array)
    launch(copy, np.flip(input.array, named), array)
    return array, backward


def _flipped_dims(x: Tensor, given: Sequence[Any]) -> tuple[int, ...]:
    if not given:
        raise ArgumentError("flip: give the dimensions: flip(x, dims)")
    dims = given[0] if len(given) == 1 else given
    return several_dims("flip", dims, x.shape) if isinstance(dims, int) or dims else ()


@op
def roll_along(x: Tensor, shift: int, dim: int) -> tuple[Array, Backward]:
    """The entries of a dimension moved on by 0 <= shift < size; those pushed out come back in front."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return roll_along(grad, (x.shape[dim] - shift) % x.shape[dim], dim)

    array = np.empty_like(x.array)
    stay = x.shape[dim] - shift
    launch(copy, x.array[_part(dim, None, stay)], array[_part(dim, shift, None)])
    launch(copy, x.array[_part(dim, stay, None)], array[_part(dim, None, shift)])
    return array, backward


def roll(input: Tensor, shifts: int | Sequence[int], dims: Dim = None) -> Tensor:
    """Move entries on by `shifts` along `dims`, or through the flattened tensor; those pushed out come back in front.

    Raises `ArgumentError` unless there is one shift for each dimension.
    """
    array_of("roll", input)
    if dims is None:
        return reshape(roll(reshape(input, -1), shifts, 0), input.shape)
    steps, axes = sizes("roll", [shifts]), sizes("roll", [dims])
    if len(steps) != len(axes):
        raise ArgumentError(f"roll: got {len(steps)} shifts for {len(axes)} dims")
    for step, axis in zip(steps, axes, strict=True):
        dim = one_dim("roll", axis, input.shape)
        if input.array.size and input.ndim:
            input = roll_along(input, step % input.shape[dim], dim)
    return input


def tril(input: Tensor, diagonal: int = 0) -> Tensor:
    """The lower triangle of the last two dimensions, 0 above diagonal number `diagonal`."""
    return keep(input, np.tri(*_matrix_shape("tril", input), k=diagonal, dtype=bool))


def triu(input: Tensor, diagonal: int = 0) -> Tensor:
    """The upper triangle of the last two dimensions, 0 below diagonal number `diagonal`."""
    return keep(input, ~np.tri(*_matrix_shape("triu", input), k=diagonal - 1, dtype=bool))


def _matrix_shape(name: str, x: Tensor) -> tuple[int, int]:
    if array_of(name, x).ndim < 2:
        raise ShapeError(f"{name}: expected at least 2 dimensions, got shape {x.shape}")
    return x.shape[-2], x.shape[-1]


@op
def keep(x: Tensor, mask: Array) -> tuple[Array, Backward]:
    """The element of x where the mask, which broadcasts, is True, else 0 (also where x is NaN)."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return keep(grad, mask)

    array = np.empty_like(x.array)
    launch(choose, mask, x.array, np.zeros((), x.dtype), array)
    return array, backward


def diag(input: Tensor, diagonal: int = 0) -> Tensor:
    """Of a matrix its diagonal number `diagonal`; of a vector the square matrix that has it there, and 0 elsewhere.

    Raises `ShapeError` for other numbers of dimensions.
    """
    if array_of("diag", input).ndim not in (1, 2):
        raise ShapeError(f"diag: expected a vector or a matrix, got shape {input.shape}")
    down, right = max(-diagonal, 0), max(diagonal, 0)  # where the diagonal starts
    if input.ndim == 2:
        places = np.arange(max(min(input.shape[0] - down, input.shape[1] - right), 0))
        return index_at(input, wrap(places + down), wrap(places + right))
    places = np.arange(input.shape[0])
    side = input.shape[0] + abs(diagonal)
    return scatter_at(input, (side, side), wrap(places + down), wrap(places + right))


def meshgrid(*tensors: Tensor | Sequence[Tensor], indexing: str = "ij") -> tuple[Tensor, ...]:
    """The coordinates of a grid: of n vectors n tensors, the i-th of which varies along dimension i alone; views.

    `indexing="xy"` exchanges the first two dimensions, as NumPy does. Raises `ShapeError` unless all are vectors.
    """
    check_choice("meshgrid", "indexing", indexing, ("ij", "xy"))
    listed = list(tensors[0] if len(tensors) == 1 and isinstance(tensors[0], Sequence) else tensors)
    vectors = _one_dtype("meshgrid", cast("list[Tensor]", listed))
    if any(vector.ndim != 1 for vector in vectors):
        raise ShapeError(f"meshgrid: expected vectors, got shapes {[vector.shape for vector in vectors]}")
    order = list(range(len(vectors)))
    if indexing == "xy" and len(order) > 1:
        order[:2] = [1, 0]
    size = [vectors[axis].shape[0] for axis in order]
    grids: list[Tensor] = []
    for axis, vector in enumerate(vectors):
        along = [-1 if place == axis else 1 for place in order]
        grids.append(expand(reshape(vector, along), size))
    return tuple(grids)


METHODS: dict[str, Any] = {
    "diag": diag,
    "split": _split_method,
    "chunk": chunk,
    "unbind": unbind,
    "flip": flip,
    "roll": roll,
    "tril": tril,
    "triu": triu,
}
