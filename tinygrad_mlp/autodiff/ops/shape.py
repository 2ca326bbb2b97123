"""Shape and dtype: the ops that look at the same numbers in another shape, and the copies and conversions.

Views share the memory (and the version) of their argument. PyTorch's `view` refuses what needs a copy; here memory may
be permuted beneath an ordinary shape (weights lie transposed, images channels-last), so `view` and `reshape` are one
op, which copies where memory leaves no other way.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, ParamSpec, cast

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike, check_device, names_device
from tinygrad_mlp.autodiff.dtypes import DtypeLike, as_dtype
from tinygrad_mlp.autodiff.methods import Dim
from tinygrad_mlp.autodiff.op import numpy_names, op
from tinygrad_mlp.autodiff.ops.broadcast import unbroadcast
from tinygrad_mlp.autodiff.ops.channels import images_of, lies_channels_last
from tinygrad_mlp.autodiff.ops.dims import given_size, one_dim, several_dims, sizes
from tinygrad_mlp.autodiff.ops.unary import array_of
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.copy import converted, copy
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.memory import empty, empty_like
from tinygrad_mlp.kernels.transpose import copy_across

__all__ = [
    "METHODS",
    "broadcast_to",
    "clone",
    "contiguous",
    "converts_input",
    "expand",
    "expand_as",
    "flatten",
    "permute",
    "repeat",
    "reshape",
    "squeeze",
    "t",
    "to",
    "transpose",
    "unsqueeze",
    "view",
    "view_as",
]


@op(view=True)
def reshape_view(x: Tensor, shape: tuple[int, ...]) -> tuple[Array, Backward]:
    """The same memory in another shape, where memory allows it."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return reshape(grad, x.shape)

    return x.array.reshape(shape, copy=False), backward


def reshape(input: Tensor, *lengths: int | Sequence[int], shape: int | Sequence[int] | None = None) -> Tensor:
    """The same elements, in row-major order, in another shape; one size may be -1, which stands for what is left.

    `x.reshape(2, 3)`, `x.reshape((2, 3))` or `x.reshape(shape=(2, 3))`, as with all that takes sizes or dims. Shares
    memory where that is possible, and copies where it is not. Raises `ShapeError` if the sizes do not fit.
    """
    given = given_size("reshape", lengths, shape, "shape")
    wanted = _filled_in(sizes("reshape", given), array_of("reshape", input).shape)
    return reshape_view(input if _fits_memory(input.array, wanted) else contiguous(input), wanted)


def view(input: Tensor, *lengths: int | Sequence[int], size: int | Sequence[int] | None = None) -> Tensor:
    """`reshape`. Where PyTorch would demand a contiguous tensor it copies: see this module's text."""
    return reshape(input, *given_size("view", lengths, size))


def _fits_memory(array: Array, shape: tuple[int, ...]) -> bool:
    if array.flags.c_contiguous:
        return True
    try:
        array.reshape(shape, copy=False)
    except ValueError:
        return False
    return True


def _filled_in(wanted: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """The wanted sizes with -1 replaced."""
    count = math.prod(shape)
    known = math.prod(size for size in wanted if size != -1)
    unknown = wanted.count(-1)
    if unknown == 1 and known > 0 and count % known == 0:
        return tuple([count // known if size == -1 else size for size in wanted])
    if unknown or known != count or any(size < 0 for size in wanted):
        raise ShapeError(f"reshape: {shape} ({count} elements) does not fit into {wanted}")
    return wanted


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Join the dimensions start_dim to end_dim into one; a 0-d tensor becomes 1-d.

    Raises `ShapeError` for a dimension out of range or a start after the end.
    """
    shape = array_of("flatten", input).shape
    start, end = one_dim("flatten", start_dim, shape), one_dim("flatten", end_dim, shape)
    if start > end:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {shape}")
    joined = math.prod(shape[start : end + 1])
    return reshape(input, (*shape[:start], joined, *shape[end + 1 :]))


@numpy_names
def squeeze(input: Tensor, dim: Dim = None) -> Tensor:
    """Without the dimensions of size 1, or without those of the named ones that have size 1."""
    dims = several_dims("squeeze", dim, array_of("squeeze", input).shape)
    return reshape(input, [size for position, size in enumerate(input.shape) if size != 1 or position not in dims])


@numpy_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new dimension of size 1 at position `dim`, -(ndim + 1) to ndim."""
    position = one_dim("unsqueeze", dim, (*array_of("unsqueeze", input).shape, 1))
    return reshape(input, (*input.shape[:position], 1, *input.shape[position:]))


@op(view=True)
def permute_view(x: Tensor, dims: tuple[int, ...]) -> tuple[Array, Backward]:
    """The same memory with its axes in another order."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return permute_view(grad, tuple([dims.index(dim) for dim in range(len(dims))]))

    return x.array.transpose(dims), backward


def permute(input: Tensor, *axes: int | Sequence[int], dims: Sequence[int] | None = None) -> Tensor:
    """The dimensions in another order: `images.permute(0, 2, 3, 1)`; shares memory.

    Raises `ArgumentError` unless each dimension is named once.
    """
    listed = sizes("permute", given_size("permute", axes, dims, "dims"))
    shape = array_of("permute", input).shape
    order = tuple([one_dim("permute", dim, shape) for dim in listed])
    if sorted(order) != list(range(input.ndim)):
        raise ArgumentError(
            f"permute: {listed} must name each of the {input.ndim} dimensions of shape {input.shape} once"
        )
    return permute_view(input, order)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two dimensions exchanged; shares memory."""
    shape = array_of("transpose", input).shape
    first, second = one_dim("transpose", dim0, shape), one_dim("transpose", dim1, shape)
    order = list(range(input.ndim))
    if order:
        order[first], order[second] = second, first
    return permute_view(input, tuple(order))


def t(input: Tensor) -> Tensor:
    """The transposed matrix; 0-d and 1-d tensors stay as they are. Raises `ShapeError` for 3 dimensions and more."""
    if array_of("t", input).ndim > 2:
        raise ShapeError(
            f"t: expected at most 2 dimensions, got shape {input.shape}; use transpose(dim0, dim1) or permute"
        )
    return permute_view(input, tuple(range(input.ndim))[::-1])


@op(view=True)
def expand_view(x: Tensor, shape: tuple[int, ...]) -> tuple[Array, Backward]:
    """The same memory repeated along dimensions of size 1 and new leading ones; not writable."""

    def backward(grad: Tensor, out: Tensor) -> Tensor | None:
        return unbroadcast(grad, x)

    return np.broadcast_to(x.array, shape), backward


def expand(input: Tensor, *lengths: int | Sequence[int], size: int | Sequence[int] | None = None) -> Tensor:
    """Repeat dimensions of size 1, and new leading ones, without copying; a size of -1 stays as it is.

    Raises `ShapeError` if a dimension of another size would have to change.
    """
    wanted = sizes("expand", given_size("expand", lengths, size))
    added = len(wanted) - array_of("expand", input).ndim
    full = tuple([input.shape[i - added] if new == -1 and i >= added >= 0 else new for i, new in enumerate(wanted)])
    fits = added >= 0 and all(old in (1, new) for old, new in zip(input.shape, full[added:], strict=True))
    if not fits or any(new < 0 for new in full):
        raise ShapeError(f"expand: {input.shape} cannot be repeated to {wanted}; only dimensions of size 1 can")
    return expand_view(input, full)


def broadcast_to(input: Tensor, size: Sequence[int]) -> Tensor:
    """`expand` to a size."""
    return expand(input, size)


def repeat(input: Tensor, *counts: int | Sequence[int], repeats: int | Sequence[int] | None = None) -> Tensor:
    """Copies side by side, so many along each dimension: (2, 3) repeated (4, 1) times is (8, 3). New ones come first.

    Raises `ShapeError` for fewer numbers than dimensions, or a negative one.
    """
    times = sizes("repeat", given_size("repeat", counts, repeats, "repeats"))
    added = len(times) - input.ndim
    if added < 0 or any(count < 0 for count in times):
        raise ShapeError(
            f"repeat: got {times} for shape {input.shape}, expected a count of at least 0 for each dimension"
        )
    shape = (1,) * added + input.shape
    pairs = list(zip(times, shape, strict=True))
    apart = reshape(input, [entry for size in shape for entry in (1, size)])  # (2, 3) -> (1, 2, 1, 3)
    spread = expand(apart, [entry for pair in pairs for entry in pair])  # -> (4, 2, 1, 3)
    joined = reshape(spread, [count * size for count, size in pairs])  # -> (8, 3)
    return joined if joined.array.flags.writeable else row_major(joined)  # nothing was copied yet


def view_as(x: Tensor, other: Tensor) -> Tensor:
    """`view` in the shape of another tensor."""
    return reshape(x, other.shape)


def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """`expand` to the shape of another tensor."""
    return expand(x, other.shape)


@op
def clone(input: Tensor) -> tuple[Array, Backward]:
    """A copy in memory of its own, in the same memory order; gradients pass through."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad

    array = empty_like(input.array)
    launch(copy, input.array, array)
    return array, backward


@op
def row_major(x: Tensor) -> tuple[Array, Backward]:
    """A copy in row-major memory order; the gradient of channels-last images comes back channels-last."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return channels_last(grad) if lies_channels_last(x.array) else grad

    array = empty(x.shape, x.dtype)
    copy_across(x.array, array)
    return array, backward


@op
def channels_last(x: Tensor) -> tuple[Array, Backward]:
    """A copy of (N, C, d1, …) that lies N, d1, …, C in memory."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad

    pixels = empty((x.shape[0], *x.shape[2:], x.shape[1]), x.dtype)
    array = images_of(pixels)
    copy_across(x.array, array)
    return array, backward


def contiguous(x: Tensor) -> Tensor:
    """The tensor itself if its memory is row-major, else a copy that is."""
    return x if x.array.flags.c_contiguous else row_major(x)


@op
def convert(x: Tensor, dtype: np.dtype[Any]) -> tuple[Array, Backward]:
    """A floating-point tensor in the other floating-point dtype; the gradient is converted back."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return convert(grad, x.dtype)

    return converted(x.array, dtype), backward


def to(
    x: Tensor,
    *target: DtypeLike | DeviceLike | Tensor,
    dtype: DtypeLike | None = None,
    device: DeviceLike | None = None,
    non_blocking: bool = False,
    copy: bool = False,
) -> Tensor:
    """The tensor in another dtype: `x.to(tg.float64)`, `x.to(other)`; itself if there is nothing to do.

    The CPU is accepted as device, and changes nothing. Integers and bools carry no gradient, so converting to them ends
    it. Raises `ArgumentError` for another device.
    """
    for entry in target:
        if isinstance(entry, Tensor):
            dtype = entry.dtype
        elif names_device(entry):
            device = cast(DeviceLike, entry)
        else:
            dtype = cast(DtypeLike, entry)
    check_device("to", device)
    wanted = x.dtype if dtype is None else as_dtype("to", dtype)
    if wanted == x.dtype:
        return clone(x) if copy else x
    return convert(x, wanted) if wanted.kind == x.dtype.kind == "f" else wrap(converted(x.array, wanted))


P = ParamSpec("P")


def converts_input(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Let an op convert its input to `dtype=` first, so that, say, float32 is added up in float64."""
    name, run = function.__name__, cast("Callable[..., Tensor]", function)

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Tensor:
        dtype = kwargs.pop("dtype", None)
        if dtype is None:
            return run(*args, **kwargs)
        x = args[0] if args else kwargs.pop("input", None)
        array_of(name, x)
        return run(to(x, as_dtype(name, dtype)), *args[1:], **kwargs)

    return call


def _type(x: Tensor, dtype: DtypeLike) -> Tensor:
    """In another dtype; the older name of `to`."""
    return to(x, dtype=dtype)


def _type_as(x: Tensor, other: Tensor) -> Tensor:
    """In the dtype of another tensor."""
    return to(x, other)


def _float(x: Tensor) -> Tensor:
    """In float32."""
    return to(x, np.dtype(np.float32))


def _double(x: Tensor) -> Tensor:
    """In float64."""
    return to(x, np.dtype(np.float64))


def _long(x: Tensor) -> Tensor:
    """In int64; floats are cut off towards 0."""
    return to(x, np.dtype(np.int64))


def _int(x: Tensor) -> Tensor:
    """In int32; floats are cut off towards 0."""
    return to(x, np.dtype(np.int32))


def _bool(x: Tensor) -> Tensor:
    """True where the element is not 0."""
    return to(x, np.dtype(np.bool_))


def _cpu(x: Tensor) -> Tensor:
    """The tensor itself: this package runs on the CPU."""
    return x


METHODS: dict[str, Any] = {
    "reshape": reshape,
    "view": view,
    "flatten": flatten,
    "squeeze": squeeze,
    "unsqueeze": unsqueeze,
    "permute": permute,
    "transpose": transpose,
    "t": t,
    "T": property(t),
    "expand": expand,
    "expand_as": expand_as,
    "view_as": view_as,
    "repeat": repeat,
    "broadcast_to": broadcast_to,
    "clone": clone,
    "contiguous": contiguous,
    "to": to,
    "type": _type,
    "type_as": _type_as,
    "float": _float,
    "double": _double,
    "long": _long,
    "int": _int,
    "bool": _bool,
    "cpu": _cpu,
}
