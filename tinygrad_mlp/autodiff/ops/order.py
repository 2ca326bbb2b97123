"""Order: sort, argsort, topk, unique; where elements are not 0: nonzero; labels: bincount, and one_hot."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.op import numpy_names
from tinygrad_mlp.autodiff.ops.dims import one_dim
from tinygrad_mlp.autodiff.ops.gather import gather
from tinygrad_mlp.autodiff.ops.index import slice_view
from tinygrad_mlp.autodiff.ops.reduce import ValuesIndices
from tinygrad_mlp.autodiff.ops.unary import array_of
from tinygrad_mlp.autodiff.tensor import Tensor, check_reading, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels import order
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, launch

__all__ = ["METHODS", "argsort", "bincount", "nonzero", "one_hot", "sort", "topk", "unique"]


@numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """The indices (int64) that sort the input along a dimension; equal elements keep their order, NaN is the greatest.

    `stable` is PyTorch's argument; the order is stable always.
    """
    return _argsorted("argsort", input, dim, descending)


def _argsorted(name: str, x: Tensor, dim: int, descending: bool) -> Tensor:
    array = array_of(name, x)
    axis = one_dim(name, dim, array.shape)
    out = np.empty(array.shape, np.int64)
    if array.ndim:
        launch(order.argsort, array, axis, bool(descending), out)
    else:
        launch(copy, np.zeros((), np.int64), out)
    return wrap(out)


@numpy_names
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> ValuesIndices:
    """The input in order along a dimension, and the indices (int64) of where each element stood; see `argsort`.

    The gradient of a value goes to the element that it was.
    """
    indices = _argsorted("sort", input, dim, descending)
    return ValuesIndices(gather(input, dim, indices), indices)


@numpy_names
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """The k largest (or smallest) elements along a dimension, in order, and their indices; of equal ones the first.

    `sorted` is PyTorch's argument; the result is sorted always. Raises `ShapeError` if there are fewer than k.
    """
    axis = one_dim("topk", dim, array_of("topk", input).shape)
    count = input.shape[axis] if input.ndim else 1
    if not 0 <= k <= count:
        raise ShapeError(f"topk: k must lie in 0 to {count}, the size of dim {axis} of shape {input.shape}; got {k}")
    indices = argsort(input, axis, descending=largest)
    if input.ndim:
        indices = slice_view(indices, (*[slice(None)] * axis, slice(k), Ellipsis))
    return ValuesIndices(gather(input, axis, indices), indices)


def nonzero(input: Tensor, as_tuple: bool = False) -> Any:
    """The indices (int64) of the elements that are not 0, in row-major order.

    (count, ndim), a row for each; with `as_tuple` one 1-d tensor for each dimension, as an index takes them.
    """
    check_reading("nonzero")
    array = array_of("nonzero", input)
    if as_tuple:
        return tuple([wrap(positions) for positions in np.nonzero(np.atleast_1d(array))])
    return wrap(np.argwhere(array))


def unique(input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False) -> Any:
    """The different elements of the input, ascending, (k,); without a gradient.

    With `return_inverse` also, for each element of the input, where it stands among them, and with `return_counts` how
    often each occurs: int64. `sorted` is PyTorch's argument; the result is sorted always.
    """
    check_reading("unique")
    found = np.unique(array_of("unique", input), return_inverse=return_inverse, return_counts=return_counts)
    if not isinstance(found, tuple):
        return wrap(found)
    values, *rest = found
    return (wrap(values), *[wrap(array.astype(np.int64, copy=False)) for array in rest])


def bincount(input: Tensor, *, minlength: int = 0) -> Tensor:
    """How often each of 0, 1, 2, … occurs among integer labels (N,), the input: int64, at least `minlength` entries.

    Raises
    ------
    DtypeError, ShapeError
        The labels are no integers, or not (N,).
    IndexRangeError
        A label is negative.
    """
    array = _label_array("bincount", input)
    if array.ndim != 1:
        raise ShapeError(f"bincount: expected labels (N,), got shape {array.shape}")
    check_reading("bincount")
    if array.size and array.min() < 0:
        raise IndexRangeError(f"bincount: label {array.min()} at position {array.argmin()} is negative")
    return wrap(np.bincount(array, minlength=minlength))


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """A tensor (...) of integer labels as int64 rows (..., num_classes) of zeros with a 1 at the label.

    Without `num_classes` there are as many classes as the largest label says.

    Raises
    ------
    DtypeError
        The labels are no integers.
    IndexRangeError
        A label is negative, or `num_classes` or more.
    ArgumentError
        There are no labels to tell the number of classes.
    """
    array = _label_array("one_hot", tensor)
    if num_classes == -1:
        if not tensor.array.size:
            raise ArgumentError("one_hot: without labels the number of classes is unknown; give num_classes")
        check_reading("one_hot without num_classes")
        num_classes = max(int(tensor.array.max()) + 1, 1)
    if num_classes < 1:
        raise ArgumentError(f"one_hot: num_classes must be at least 1, or -1 to count them; got {num_classes}")
    out = np.empty((*tensor.shape, num_classes), np.int64)
    launch(order.one_hot, array, out)
    return wrap(out)


def _label_array(name: str, labels: Tensor) -> Array:
    array = array_of(name, labels)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"{name}: labels must be integers, got {array.dtype} {array.shape}; convert with .long()")
    return array


METHODS: dict[str, Any] = {
    "argsort": argsort,
    "sort": sort,
    "topk": topk,
    "nonzero": nonzero,
    "unique": unique,
    "bincount": bincount,
}
