"""Make tensors: from data, filled with a value, or counted up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike, check_device
from tinygrad_mlp.autodiff.dtypes import DtypeLike, as_dtype
from tinygrad_mlp.autodiff.ops.dims import given_size, sizes
from tinygrad_mlp.autodiff.ops.shape import to
from tinygrad_mlp.autodiff.ops.unary import array_of
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, is_array, launch

__all__ = [
    "arange",
    "array_like",
    "as_tensor",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "is_tensor",
    "linspace",
    "new_array",
    "ones",
    "ones_like",
    "tensor",
    "zeros",
    "zeros_like",
]


def tensor(
    data: Any, dtype: DtypeLike | None = None, requires_grad: bool = False, device: DeviceLike | None = None
) -> Tensor:
    """Copy numbers, nested lists, an ndarray or a Tensor into a new Tensor.

    Without `dtype`, Python floats become float32, integers int64 and bools bool; arrays and Tensors keep their dtype.

    Raises
    ------
    ShapeError
        Nested lists whose rows differ in length.
    DtypeError
        What is neither numbers nor bools, a dtype that Tensors do not hold, or `requires_grad` on integers.

    >>> tg.tensor([[1, 2], [3, 4]]), tg.tensor([0.5, 1], requires_grad=True)
    (tensor([[1, 2], [3, 4]]), tensor([0.5, 1.0], requires_grad=True))
    """
    check_device("tensor", device)
    if isinstance(data, Tensor):
        source = data.array
    else:
        try:
            source = np.asarray(data)
        except ValueError as error:
            raise ShapeError(f"tensor: the nested lists do not form an array: {error}") from None
    if source.dtype.kind not in "fiub":
        raise DtypeError(f"tensor: expected numbers or bools, got {type(data).__name__} of dtype {source.dtype}")
    found = np.dtype(np.float32) if source.dtype.kind == "f" and _is_python(data) else source.dtype
    out = np.empty_like(source, dtype=as_dtype("tensor", found if dtype is None else dtype), subok=False)
    launch(copy, source, out)
    return Tensor(out, requires_grad)


def _is_python(data: Any) -> bool:
    """Whether the first number in nested lists is Python's own; arrays and their elements have a dtype of their own."""
    while isinstance(data, (list, tuple)) and data:
        data = cast("Sequence[Any]", data)[0]
    return not isinstance(data, (np.ndarray, np.generic, Tensor))


def as_tensor(data: Any, dtype: DtypeLike | None = None, device: DeviceLike | None = None) -> Tensor:
    """A Tensor of the data without a copy where that is possible: Tensors stay what they are, ndarrays share memory."""
    check_device("as_tensor", device)
    if not isinstance(data, Tensor):
        if not is_array(data):
            return tensor(data, dtype)
        data = Tensor(data)
    return data if dtype is None else to(data, dtype)


def is_tensor(obj: object) -> bool:
    """Whether the object is a Tensor."""
    return isinstance(obj, Tensor)


def from_numpy(array: Array) -> Tensor:
    """A Tensor on the memory of an ndarray: a change of one is a change of the other.

    Raises `DtypeError` for a dtype that Tensors do not hold, such as float16 or objects.
    """
    return Tensor(array)


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A Tensor on the memory of another library's array in this computer's memory (PyTorch, JAX, CuPy on CPU...).

    Raises `DtypeError` for a dtype that Tensors do not hold.
    """
    return Tensor(np.from_dlpack(ext_tensor))


def _new(
    name: str,
    size: Sequence[Any],
    value: float | None,
    dtype: DtypeLike | None,
    requires_grad: bool,
    device: DeviceLike | None,
) -> Tensor:
    """A tensor of one value, or (None) of whatever memory holds."""
    out = new_array(name, size, dtype, device)
    if value is not None:
        launch(copy, np.asarray(value), out)
    return Tensor(out, requires_grad)


def new_array(name: str, size: Sequence[Any], dtype: DtypeLike | None, device: DeviceLike | None) -> Array:
    """Memory for a tensor of a size given as `(2, 3)` or `((2, 3),)`; float32 unless told otherwise.

    Raises `ShapeError` for a negative size, `ArgumentError` for another device than the CPU.
    """
    check_device(name, device)
    shape = sizes(name, size)
    if any(entry < 0 for entry in shape):
        raise ShapeError(f"{name}: sizes must not be negative, got {shape}")
    return np.empty(shape, as_dtype(name, np.float32 if dtype is None else dtype))


def zeros(
    *shape: int | Sequence[int],
    size: int | Sequence[int] | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Zeros, float32 unless told otherwise: `zeros(2, 3)` or `zeros((2, 3))`, also as `size=(2, 3)`."""
    return _new("zeros", given_size("zeros", shape, size), 0, dtype, requires_grad, device)


def ones(
    *shape: int | Sequence[int],
    size: int | Sequence[int] | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Ones, float32 unless told otherwise: `ones(2, 3)` or `ones((2, 3))`, also as `size=(2, 3)`."""
    return _new("ones", given_size("ones", shape, size), 1, dtype, requires_grad, device)


def empty(
    *shape: int | Sequence[int],
    size: int | Sequence[int] | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Memory as it is found, float32 unless told otherwise; write before you read. The size is given as for `zeros`."""
    return _new("empty", given_size("empty", shape, size), None, dtype, requires_grad, device)


def full(
    size: int | Sequence[int],
    fill_value: float,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """One value everywhere: float32 for a Python float, int64 for an integer, bool for a bool."""
    return _new("full", [size], fill_value, _dtype_of(fill_value) if dtype is None else dtype, requires_grad, device)


def _dtype_of(*numbers: float) -> type:
    """The dtype that Python numbers become together."""
    if any(isinstance(number, (float, np.floating)) for number in numbers):
        return np.float32
    return np.bool_ if all(isinstance(number, bool) for number in numbers) else np.int64


def _new_like(
    name: str, x: Tensor, value: float | None, dtype: DtypeLike | None, requires_grad: bool, device: DeviceLike | None
) -> Tensor:
    out = array_like(name, x, dtype, device)
    if value is not None:
        launch(copy, np.asarray(value), out)
    return Tensor(out, requires_grad)


def array_like(name: str, x: Tensor, dtype: DtypeLike | None, device: DeviceLike | None) -> Array:
    """Memory of the shape, and the memory order, of a tensor; of its dtype unless told otherwise."""
    check_device(name, device)
    array = array_of(name, x)
    return np.empty_like(array, dtype=array.dtype if dtype is None else as_dtype(name, dtype))


def zeros_like(
    input: Tensor, dtype: DtypeLike | None = None, requires_grad: bool = False, device: DeviceLike | None = None
) -> Tensor:
    """Zeros of the shape and (unless told otherwise) the dtype of the input."""
    return _new_like("zeros_like", input, 0, dtype, requires_grad, device)


def ones_like(
    input: Tensor, dtype: DtypeLike | None = None, requires_grad: bool = False, device: DeviceLike | None = None
) -> Tensor:
    """Ones of the shape and (unless told otherwise) the dtype of the input."""
    return _new_like("ones_like", input, 1, dtype, requires_grad, device)


def empty_like(
    input: Tensor, dtype: DtypeLike | None = None, requires_grad: bool = False, device: DeviceLike | None = None
) -> Tensor:
    """Memory as it is found, of the shape and (unless told otherwise) the dtype of the input."""
    return _new_like("empty_like", input, None, dtype, requires_grad, device)


def full_like(
    input: Tensor,
    fill_value: float,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """One value everywhere, of the shape and (unless told otherwise) the dtype of the input."""
    return _new_like("full_like", input, fill_value, dtype, requires_grad, device)


def arange(
    start: float | None = None,
    end: float | None = None,
    step: float = 1,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """The numbers from start up to but without end: `arange(5)`, `arange(1, 2, 0.25)`; int64, or float32 for floats.

    Without a start, it is 0. Raises `ArgumentError` for a step of 0 or one that leads away from the end.
    """
    if end is None:
        start, end = None, start
    if end is None:
        raise ArgumentError("arange: give the end: arange(end) or arange(start, end)")
    start = 0 if start is None else start
    if step == 0 or (end - start) / step < 0:
        raise ArgumentError(f"arange: a step of {step} does not lead from {start} to {end}")
    count = math.ceil((end - start) / step)
    values = start + np.arange(count) * step
    return _of_values(
        "arange", values, _dtype_of(start, end, step, 0) if dtype is None else dtype, requires_grad, device
    )


def linspace(
    start: float,
    end: float,
    steps: int,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """`steps` numbers from start to end, both included, evenly apart; float32 unless told otherwise."""
    if steps < 0:
        raise ArgumentError(f"linspace: steps must not be negative, got {steps}")
    return _of_values("linspace", np.linspace(start, end, steps), dtype, requires_grad, device)


def eye(
    n: int,
    m: int | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """The identity matrix, or n rows and m columns of it; float32 unless told otherwise."""
    columns = n if m is None else m
    if n < 0 or columns < 0:
        raise ShapeError(f"eye: sizes must not be negative, got {(n, columns)}")
    return _of_values("eye", np.eye(n, columns), dtype, requires_grad, device)


def _of_values(
    name: str, values: Array, dtype: DtypeLike | None, requires_grad: bool, device: DeviceLike | None
) -> Tensor:
    out = new_array(name, values.shape, dtype, device)
    launch(copy, values, out)
    return Tensor(out, requires_grad)
