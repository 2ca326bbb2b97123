"""Indexing and index assignment as in PyTorch.

An index such as `x[0, mask, None, 2:]` has two parts. Integers, slices, None and Ellipsis make a view. Integer arrays,
and boolean masks, which stand for the integer arrays `nonzero(mask)`, then copy elements out of that view. Each part is
an op, and each has an op that goes the way back: zeros, with the gradient written or added where elements came from.
"""

from __future__ import annotations

import sys
from operator import index as as_integer
from types import CellType
from typing import Any, NamedTuple, cast

import numpy as np

from tinygrad_mlp.autodiff.methods import Index, Operand
from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.broadcast import broadcasts_into, unbroadcast
from tinygrad_mlp.autodiff.ops.inplace import check_writable
from tinygrad_mlp.autodiff.ops.shape import reshape, to
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, check_reading, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.gather import gather_at, put_at, scatter_add_at
from tinygrad_mlp.kernels.launch import Array, is_array, launch
from tinygrad_mlp.kernels.rows import take_rows

__all__ = ["METHODS", "getitem", "index_at", "setitem", "slice_view"]


class _Region(NamedTuple):
    """What an index selects: first a view, then (where there are arrays) elements of it."""

    view: tuple[Any, ...]
    """Integers, slices and None, one for each dimension of x, and an Ellipsis so that NumPy returns a view."""
    arrays: tuple[Tensor | None, ...]
    """For each dimension of the view an integer Tensor, or None for all of it; empty if there is no Tensor."""

    @property
    def is_whole(self) -> bool:
        """Whether the view is all of x."""
        return all(part is Ellipsis or part == slice(None) for part in self.view)


def _region(name: str, shape: tuple[int, ...], index: Index) -> _Region:
    """Read an index. Raises `IndexRangeError`, `ShapeError` (a mask) or `DtypeError` (an array of floats)."""
    given = cast("tuple[Any, ...]", index if isinstance(index, tuple) else (index,))
    items: list[Any] = [_as_item(name, item) for item in given]
    taken = sum(_dims_taken(item) for item in items)
    dots = [position for position, item in enumerate(items) if item is Ellipsis]
    if taken > len(shape) or len(dots) > 1:
        what = f"{taken} indices" if taken > len(shape) else "more than one ..."
        raise IndexRangeError(f"{name}: {what} for a tensor of shape {shape}")
    gap = dots[0] if dots else len(items)
    items[gap : gap + 1] = [slice(None)] * (len(shape) - taken)
    view: list[Any] = []
    arrays: list[Tensor | None] = []
    dim = 0
    for item in items:
        if isinstance(item, Tensor) and item.dtype == np.bool_:
            selected = _mask_indices(name, item, shape, dim)
            view.extend([slice(None)] * item.ndim if item.ndim else [None])
            arrays.extend(selected)
        elif isinstance(item, Tensor):
            view.append(slice(None))
            arrays.append(item)
        else:
            view.append(_checked_integer(name, item, shape, dim) if isinstance(item, int) else item)
            if not isinstance(item, int):
                arrays.append(None)
        dim += _dims_taken(item)
    return _Region((*view, Ellipsis), tuple(arrays) if any(array is not None for array in arrays) else ())


def _as_item(name: str, item: Any) -> Any:
    """One entry of an index as None, Ellipsis, slice, int or Tensor of integers or bools."""
    if item is None or item is Ellipsis:
        return item
    if isinstance(item, slice):
        return _as_slice(name, cast(Any, item))
    if isinstance(item, Tensor):
        tensor = item
    elif isinstance(item, (bool, np.bool_, np.ndarray, list, tuple, range)):
        array = np.asarray(cast(Any, item))
        tensor = wrap(array if array.size else array.astype(np.int64 if array.dtype.kind == "f" else array.dtype))
    else:
        try:
            return as_integer(item)
        except TypeError:
            raise DtypeError(
                f"{name}: {item!r} is no index; use integers, slices, None, ... or arrays of them"
            ) from None
    if tensor.dtype.kind not in "iub":
        raise DtypeError(f"{name}: an index array must hold integers or bools, got {tensor.dtype} {tensor.shape}")
    return as_integer(tensor) if tensor.ndim == 0 and tensor.dtype != np.bool_ else tensor


def _as_slice(name: str, item: Any) -> slice:
    bounds = (item.start, item.stop, item.step)
    try:
        start, stop, step = [None if bound is None else as_integer(bound) for bound in bounds]
    except TypeError:
        raise DtypeError(f"{name}: the bounds of a slice must be integers, got {item}") from None
    if step == 0:
        raise ArgumentError(f"{name}: the step of a slice cannot be 0")
    return slice(start, stop, step)


def _dims_taken(item: Any) -> int:
    """How many dimensions of x an entry of the index stands for."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, Tensor) and item.dtype == np.bool_ else 1


def _checked_integer(name: str, item: int, shape: tuple[int, ...], dim: int) -> int:
    size = shape[dim]
    if not -size <= item < size:
        raise IndexRangeError(
            f"{name}: index {item} is out of range for dim {dim} of shape {shape}; expected {-size} to {size - 1}"
        )
    return item


def _mask_indices(name: str, mask: Tensor, shape: tuple[int, ...], dim: int) -> list[Tensor]:
    """The integer arrays that a mask stands for; a single bool is a mask over a new dimension of size 1."""
    masked = shape[dim : dim + mask.ndim]
    if mask.shape != masked:
        raise ShapeError(f"{name}: a mask of shape {mask.shape} does not fit shape {shape} from dim {dim}: {masked}")
    check_reading("a mask as index")
    return [wrap(positions) for positions in np.nonzero(np.atleast_1d(mask.array))]


def getitem(x: Tensor, index: Index) -> Tensor:
    """x[index]: integers, slices, None and Ellipsis give a view; integer arrays and boolean masks give a copy.

    Raises
    ------
    IndexRangeError
        An index is out of range, or there are more indices than dimensions.
    ShapeError
        A mask has another shape than what it masks, or index arrays do not broadcast.
    DtypeError
        An index array holds floats.
    """
    rows = _row_numbers(index)
    if rows is not None and x.ndim:
        return index_at(x, rows)
    region = _region("getitem", x.shape, index)
    viewed = x if region.arrays and region.is_whole else slice_view(x, region.view)
    return index_at(viewed, *region.arrays) if region.arrays else viewed


def _row_numbers(index: Index) -> Tensor | None:
    """An index that is nothing but one row of integers, as a batch is drawn with."""
    if is_array(index):
        return wrap(index) if index.ndim == 1 and index.dtype.kind in "iu" else None
    return index if isinstance(index, Tensor) and index.ndim == 1 and index.dtype.kind in "iu" else None


@op(view=True)
def slice_view(x: Tensor, index: tuple[Any, ...]) -> tuple[Array, Backward]:
    """The part of x that integers, slices and None select; shares memory."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return embed(grad, x.array, index)

    return x.array[index], backward


@op
def embed(x: Tensor, like: Array, index: tuple[Any, ...]) -> tuple[Array, Backward]:
    """Zeros of the shape of `like`, with x where `slice_view` took it from."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return slice_view(grad, index)

    array = np.empty_like(like)
    launch(copy, np.zeros((), like.dtype), array)
    launch(copy, x.array, array[index])
    return array, backward


@op
def index_at(x: Tensor, *indices: Tensor | None) -> tuple[Array, Backward]:
    """The elements that integer Tensors, or None for all of a dimension, select; negative ones count from the end."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return scatter_at(grad, x.shape, *indices)

    arrays, source = _arrays(indices), x.array
    index = arrays[0]
    if len(arrays) == 1 and index is not None and index.ndim == 1 and _has_long_rows(source) and index.size:
        return take_rows(source, index), backward
    out = np.empty_like(source, shape=_selected_shape(x.shape, arrays))
    launch(gather_at, source, out, *arrays)
    return out, backward


@op
def scatter_at(x: Tensor, shape: tuple[int, ...], *indices: Tensor | None) -> tuple[Array, Backward]:
    """Zeros, with x added where `index_at` took it from; repeated indices add up."""

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return (index_at(grad, *indices),)

    out = np.empty(shape, x.dtype)
    launch(scatter_add_at, x.array, out, *_arrays(indices))
    return out, backward


_LONG_ROW = 256  # bytes from which fetching rows ahead pays


def _has_long_rows(x: Array) -> bool:
    return x.ndim > 1 and x.flags.c_contiguous and x.nbytes >= _LONG_ROW * x.shape[0] > 0


def _arrays(indices: tuple[Tensor | None, ...]) -> list[Array | None]:
    return [None if index is None else index.array for index in indices]


def _selected_shape(shape: tuple[int, ...], arrays: list[Array | None]) -> tuple[int, ...]:
    """Shape of x[arrays]: that of the arrays, broadcast, in the place of their dimensions (or in front)."""
    if len(arrays) == 1 and arrays[0] is not None:
        return (*arrays[0].shape, *shape[1:])
    dims = [dim for dim, array in enumerate(arrays) if array is not None]
    shapes = [array.shape for array in arrays if array is not None]
    try:
        joined = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ShapeError(f"getitem: index arrays of shapes {shapes} do not broadcast together") from None
    place = dims[0] if dims[-1] - dims[0] == len(dims) - 1 else 0
    kept = [size for dim, size in enumerate(shape) if dim not in dims]
    return (*kept[:place], *joined, *kept[place:])


def setitem(x: Tensor, index: Index, value: Operand) -> None:
    """x[index] = value; the value broadcasts and is converted to the dtype of x.

    Where no gradient is involved (or under `no_grad`) this writes into the memory of x. Where one is, x becomes the
    result of a recorded op in memory of its own, and a `backward()` through what was computed from x before raises;
    but the value may be made of parts of x, as in `x[t] = x[t - 1] * w` and `x[0] += v`.

    Raises
    ------
    GradientError
        x is a leaf that requires grad; or a gradient is involved and x shares its memory with another tensor, which
        would not see the change: `x[0][1] = v` must be `x[0, 1] = v`.
    IndexRangeError, ShapeError, DtypeError
        As for reading; or the value does not broadcast to what is selected.
    """
    region = _region("setitem", x.shape, index)
    source = value if isinstance(value, Tensor) else wrap(_as_array(value, x.dtype))
    selected = x.array[region.view].shape
    if region.arrays:
        selected = _selected_shape(selected, _arrays(region.arrays))
    while source.ndim > len(selected) and source.shape[0] == 1:
        source = reshape(source, source.shape[1:])
    if not broadcasts_into(source.shape, selected):
        raise ShapeError(f"setitem: a value of shape {source.shape} does not broadcast into {selected}")
    if grad_enabled.get() and (x.wants_grad or source.wants_grad):
        _rebind(x, region, source)
        return
    check_writable("setitem", x)
    _put(source.array, x.array, region.view, _arrays(region.arrays))
    x.counter[0] += 1


def _as_array(value: Any, dtype: np.dtype[Any]) -> Array:
    """Numbers, also in nested lists, in this dtype; an ndarray as it is."""
    if is_array(value):
        return value
    try:
        return np.asarray(value, dtype)
    except (OverflowError, TypeError, ValueError) as error:
        raise DtypeError(f"setitem: {value!r} does not fit into a tensor of {dtype}: {error}") from None


def _put(value: Array, out: Array, view: tuple[Any, ...], arrays: list[Array | None]) -> None:
    if arrays:
        launch(put_at, value, out[view], *arrays)
    else:
        launch(copy, value, out[view])


def _rebind(x: Tensor, region: _Region, value: Tensor) -> None:
    """Make x the result of `index_put`; a new Tensor takes the place of the old x in the graph."""
    if x.node is None:
        check_writable("setitem", x)
    parts = _parts_within(value, x)
    if _is_shared(x, beside=sum(part.counter is x.counter for part in parts)):
        raise GradientError(
            "setitem: a gradient is involved, and this tensor shares its memory with another one (a view of it, or its "
            "base), which would not see the change; write x[0, 1] = v, not x[0][1] = v, assign to a .clone(), or put "
            "parts together with tg.stack"
        )
    before = wrap(x.array)
    before.node, before.wants_grad, before.counter, before.hooks = x.node, x.wants_grad, x.counter, x.hooks
    for part in parts:
        if part.node is not None:
            part.node.inputs = tuple([before if tensor is x else tensor for tensor in part.node.inputs])
    after = index_put(before, to(value, x.dtype), region.view, *region.arrays)
    x.array, x.node, x.wants_grad, x.hooks = after.array, after.node, True, None
    # What was computed from x before recorded a smaller version, and raises in backward.
    x.counter = [before.counter[0] + 1]
    assert x.node is not None
    x.node.out_version = x.counter[0]


def _is_shared(x: Tensor, beside: int) -> bool:
    """Whether more living Tensors than so many look into the memory of x: all of them hold the same version counter."""
    return sys.getrefcount(x.counter) > 2 + beside  # one reference is that of x, one that of this call


def _parts_within(value: Tensor, x: Tensor) -> list[Tensor]:
    """The parts of x that the value was just computed from, `x[0]` in `x[0] = x[0] + v`, and nobody else can see.

    They keep the old memory, in which nothing changes, and so can be taken from the old x as well.
    """
    parts: list[Tensor] = []
    users = [value]
    for user in users:
        node = user.node
        if node is None or node.backward is None:
            continue
        cells = cast("tuple[CellType, ...]", getattr(node.backward, "__closure__", None) or ())
        for tensor in {id(tensor): tensor for tensor in node.inputs if tensor is not None and tensor is not x}.values():
            if tensor.counter is x.counter:
                held = sum(other is tensor for other in node.inputs) + sum(c.cell_contents is tensor for c in cells)
                if _references([tensor]) > held + 2:  # beside those of the node, this loop's name and the dict
                    continue
            elif not _copied_from(tensor, x):
                continue
            parts.append(tensor)
            users.append(tensor)
    return parts


def _references(carrier: list[Tensor]) -> int:
    """How many references there are to the one tensor of a list, beside the list."""
    return sys.getrefcount(carrier[0]) - 2  # one is the list's, one that of this call


def _copied_from(tensor: Tensor, x: Tensor) -> bool:
    """Whether integer arrays copied the tensor out of x or a view of it."""
    if tensor.node is None or tensor.node.name != "index_at":
        return False
    source = next(iter(tensor.node.inputs), None)
    return source is not None and source.counter is x.counter


@op
def index_put(x: Tensor, value: Operand, view: tuple[Any, ...], *indices: Tensor | None) -> tuple[Array, Backward]:
    """A copy of x with the value, which broadcasts, where the index (see `_Region`) says.

    The gradient of x is 0 there, that of the value is gathered from there.
    """

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_x = index_put(grad, 0.0, view, *indices) if needs_grad(x) else None
        if not needs_grad(value):
            return grad_x, None
        selected = slice_view(grad, view)
        return grad_x, unbroadcast(index_at(selected, *indices) if indices else selected, value)

    array = np.empty_like(x.array)
    launch(copy, x.array, array)
    source = value.array if isinstance(value, Tensor) else np.asarray(value, x.dtype)
    _put(source, array, view, _arrays(indices))
    return array, backward


METHODS: dict[str, Any] = {
    "__getitem__": getitem,
    "__setitem__": setitem,
}
