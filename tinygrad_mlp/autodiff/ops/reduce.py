"""Reductions: many elements to one, over some dimensions or all.

`dim` is an integer, a sequence of them, or None for all; a reduced dimension disappears, or stays with size 1 under
`keepdim` (NumPy's names `axis` and `keepdims` will do). Sums of integers and bools are int64. Where there is a `dtype`,
the input is converted to it first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.methods import Dim
from tinygrad_mlp.autodiff.op import numpy_names, op
from tinygrad_mlp.autodiff.ops.checks import check_floats, reshaped
from tinygrad_mlp.autodiff.ops.compare import maximum, minimum
from tinygrad_mlp.autodiff.ops.dims import element_count, one_dim, several_dims
from tinygrad_mlp.autodiff.ops.shape import converts_input
from tinygrad_mlp.autodiff.ops.unary import array_of
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ShapeError
from tinygrad_mlp.kernels.copy import memory_order
from tinygrad_mlp.kernels.exact import accumulate_with, argmax_of, argmin_of, reduce_with
from tinygrad_mlp.kernels.launch import Array, Kernel, launch
from tinygrad_mlp.kernels.reduce import sum_axes

__all__ = [
    "METHODS",
    "ValuesIndices",
    "all",
    "amax",
    "amin",
    "any",
    "argmax",
    "argmin",
    "cumsum",
    "max",
    "mean",
    "min",
    "prod",
    "sum",
]


class ValuesIndices(NamedTuple):
    """What `max` and `min` along a dimension return: the extreme values, and where they stand."""

    values: Tensor
    indices: Tensor


@converts_input
@op
def sum(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DtypeLike | None = None
) -> tuple[Array, Backward]:
    """Sum over the named dimensions."""
    dims = several_dims("sum", dim, array_of("sum", input).shape)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return _spread(grad, input, dims)

    return _summed(input, dims, keepdim), backward


@converts_input
@op
def mean(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DtypeLike | None = None
) -> tuple[Array, Backward]:
    """Mean over the named dimensions; NaN of no elements. Raises `DtypeError` for integers: convert with .float()."""
    check_floats("mean", input=input)
    dims = several_dims("mean", dim, input.shape)
    count = element_count(input.shape, dims)
    scale = 1 / count if count else math.nan

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return _spread(grad * scale, input, dims)

    total = _summed(input, dims, keepdim)
    launch(np.multiply, total, scale, total)
    return total, backward


@converts_input
@op
def prod(
    input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: DtypeLike | None = None
) -> tuple[Array, Backward]:
    """Product over the named dimensions. Its derivative, the product of all others, is right where elements are 0."""
    dims = several_dims("prod", dim, array_of("prod", input).shape)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        spread = _spread(grad, input, dims)
        return spread * _product_of_others(input, dims) if element_count(input.shape, dims) > 1 else spread

    return _reduced(np.multiply, input, dims, keepdim, _sum_dtype(input.array)), backward


def _product_of_others(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """For each element the product of all others over `dims`."""
    order = [*[axis for axis in range(x.ndim) if axis not in dims], *dims]
    moved = x.permute(order)  # the reduced dimensions last
    rows = moved.reshape(-1, element_count(x.shape, dims))
    return _product_of_followers(rows).reshape(moved.shape).permute([order.index(axis) for axis in range(x.ndim)])


def _product_of_followers(rows: Tensor) -> Tensor:
    """For each element of (rows, n), n > 1, the product of the n - 1 that follow it when its row is closed to a ring.

    A window over the next 1, 2, 4, … elements doubles when it is multiplied by itself moved on by its width; the binary
    digits of n - 1 say which windows to join. There is no division, so that elements that are 0 do no harm.
    """
    remaining = rows.shape[1] - 1
    window, width = rows.roll(-1, 1), 1
    product, covered = None, 0
    while True:
        if remaining & 1:
            product = window if product is None else product * window.roll(-covered, 1)
            covered += width
        remaining >>= 1
        if not remaining:
            break
        window = window * window.roll(-width, 1)
        width *= 2
    assert product is not None
    return product


@op
def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> tuple[Array, Backward]:
    """Maximum over the named dimensions, NaN if one is NaN. Elements that share it share its gradient evenly."""
    dims = _dims_with_elements("amax", input, dim)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return _to_extremes(grad, input, out, dims)

    return _reduced(np.maximum, input, dims, keepdim), backward


@op
def amin(input: Tensor, dim: Dim = None, keepdim: bool = False) -> tuple[Array, Backward]:
    """Minimum over the named dimensions, NaN if one is NaN. Elements that share it share its gradient evenly."""
    dims = _dims_with_elements("amin", input, dim)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return _to_extremes(grad, input, out, dims)

    return _reduced(np.minimum, input, dims, keepdim), backward


def _to_extremes(grad: Tensor, x: Tensor, out: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The gradient of an extreme value, split evenly among the elements that have it."""
    kept = _kept(x.shape, dims)
    winners = x == out.reshape(kept)
    return grad.reshape(kept) / winners.sum(dims, keepdim=True) * winners


@numpy_names
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int64) of the first greatest element along `dim`, or in the flattened tensor; NaN counts as greatest.

    Raises `ShapeError` for a dim out of range or without elements.
    """
    return _index_of("argmax", argmax_of, input, dim, keepdim)


@numpy_names
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int64) of the first least element along `dim`, or in the flattened tensor; NaN counts as least.

    Raises `ShapeError` for a dim out of range or without elements.
    """
    return _index_of("argmin", argmin_of, input, dim, keepdim)


def _index_of(name: str, kernel: Kernel, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    shape = array_of(name, x).shape
    dims = _dims_with_elements(name, x, None if dim is None else one_dim(name, dim, shape))
    if len(dims) == 1:
        array, axis = x.array, dims[0]
    else:  # all dimensions, of a 0-d tensor too
        array, axis = reshaped(x.array, (x.array.size,)), 0
    out = np.empty(array.shape[:axis] + array.shape[axis + 1 :], np.int64)
    launch(kernel, array, axis, out)
    return wrap(out.reshape(_kept(shape, dims)) if keepdim else out)


@numpy_names
def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """Maximum of all elements, as `amax`; with a dim, maxima along it and their indices; or `maximum(input, other)`.

    Along a dimension the gradient goes to the one element whose index is returned, the first of several.

    >>> values, indices = tg.tensor([[1.0, 3.0, 2.0]]).max(dim=1)
    """
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    return amax(input, None, keepdim) if dim is None else _extremes_along("max", argmax, input, dim, keepdim)


@numpy_names
def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False) -> Any:
    """Minimum of all elements, as `amin`; with a dim, minima along it and their indices; or `minimum(input, other)`.

    Along a dimension the gradient goes to the one element whose index is returned, the first of several.
    """
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    return amin(input, None, keepdim) if dim is None else _extremes_along("min", argmin, input, dim, keepdim)


def _extremes_along(name: str, index_of: Callable[..., Tensor], x: Tensor, dim: int, keepdim: bool) -> ValuesIndices:
    shape = array_of(name, x).shape
    axis = one_dim(name, dim, shape)
    rows = x if shape else x.reshape(1)
    indices = index_of(rows, axis, keepdim=True)
    values = rows.take_along_dim(indices, axis)
    wanted = _kept(shape, (axis,)) if keepdim else (*shape[:axis], *shape[axis + 1 :])
    return ValuesIndices(values.reshape(wanted), indices.reshape(wanted))


@numpy_names
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether an element over the named dimensions is nonzero (NaN is); False of none."""
    dims = several_dims("any", dim, array_of("any", input).shape)
    return wrap(_reduced(np.logical_or, input, dims, keepdim, np.bool_))


@numpy_names
def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether all elements over the named dimensions are nonzero (NaN is); True of none."""
    dims = several_dims("all", dim, array_of("all", input).shape)
    return wrap(_reduced(np.logical_and, input, dims, keepdim, np.bool_))


@converts_input
@op
def cumsum(input: Tensor, dim: int, *, dtype: DtypeLike | None = None) -> tuple[Array, Backward]:
    """Running sum along `dim`."""
    array = array_of("cumsum", input)
    axis = one_dim("cumsum", dim, array.shape)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return cumsum(grad.flip(axis), axis).flip(axis) if input.ndim else grad

    out = np.empty(array.shape, _sum_dtype(array))
    launch(accumulate_with, np.add, array.reshape(array.shape or 1), axis, out.reshape(out.shape or 1))
    return out, backward


def _summed(x: Tensor, dims: tuple[int, ...], keepdim: bool) -> Array:
    """Sum of a Tensor's array over some dimensions."""
    out = _empty_result(x.array, dims, _sum_dtype(x.array))
    sum_axes(x.array, dims, out)
    return np.expand_dims(out, dims) if keepdim and x.ndim else out


def _reduced(ufunc: np.ufunc, x: Tensor, dims: tuple[int, ...], keepdim: bool, dtype: Any = None) -> Array:
    """Reduce a Tensor's array by a NumPy function of two arguments."""
    out = _empty_result(x.array, dims, x.dtype if dtype is None else dtype)
    launch(reduce_with, ufunc, x.array, dims, out)
    return np.expand_dims(out, dims) if keepdim and x.ndim else out


def _empty_result(array: Array, dims: tuple[int, ...], dtype: Any) -> Array:
    """Memory for the dimensions that are left, in the order in which the array has them."""
    kept = [axis for axis in range(array.ndim) if axis not in dims]
    if array.flags.c_contiguous:
        return np.empty([array.shape[axis] for axis in kept], dtype)
    order = [axis for axis in memory_order(array) if axis not in dims]
    out = np.empty([array.shape[axis] for axis in order], dtype)
    return out.transpose([order.index(axis) for axis in kept])


def _sum_dtype(array: Array) -> np.dtype[Any]:
    """Integers and bools are added up in int64."""
    return array.dtype if array.dtype.kind == "f" else np.dtype(np.int64)


def _kept(shape: tuple[int, ...], dims: tuple[int, ...]) -> tuple[int, ...]:
    """The shape with size 1 in the reduced dimensions."""
    return tuple([1 if axis in dims else size for axis, size in enumerate(shape)])


def _spread(grad: Tensor, x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """The gradient of a sum: that of the result, repeated over the reduced dimensions."""
    return grad.reshape(_kept(x.shape, dims)).expand(x.shape)


def _dims_with_elements(name: str, x: Tensor, dim: Dim) -> tuple[int, ...]:
    """The dimensions to reduce; `ShapeError` if there is nothing in them to choose from."""
    shape = array_of(name, x).shape
    dims = several_dims(name, dim, shape)
    if element_count(shape, dims) == 0:
        raise ShapeError(f"{name}: shape {shape} has no elements along dim {list(dims)}, so there is none to choose")
    return dims


METHODS: dict[str, Callable[..., Any]] = {
    "sum": sum,
    "mean": mean,
    "prod": prod,
    "amax": amax,
    "amin": amin,
    "argmax": argmax,
    "argmin": argmin,
    "max": max,
    "min": min,
    "any": any,
    "all": all,
    "cumsum": cumsum,
}
