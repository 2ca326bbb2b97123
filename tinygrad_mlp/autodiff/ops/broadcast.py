"""What every op with two operands shares: dtypes that agree, shapes that broadcast, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from tinygrad_mlp.autodiff.methods import Operand
from tinygrad_mlp.autodiff.op import needs_grad
from tinygrad_mlp.autodiff.ops.channels import lies_channels_last
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import DtypeError, ShapeError
from tinygrad_mlp.kernels.copy import converted
from tinygrad_mlp.kernels.launch import Array, apply_ufunc, is_array, launch
from tinygrad_mlp.kernels.memory import empty_like
from tinygrad_mlp.kernels.transpose import in_order_of

__all__ = ["apply_broadcast", "broadcasts_into", "operands", "swapped", "unbroadcast"]


def operands(name: str, x: Operand, y: Operand) -> tuple[Any, Any]:
    """Arrays (or Python scalars, which never upcast) that may meet in one op.

    Integers and bools join floats in the floats' dtype; integers, arrays or Python's, meet a Python float in float32.

    Raises
    ------
    DtypeError
        float32 meets float64, or an operand is neither a Tensor, an ndarray nor a number.
    """
    a, b = _unwrap(name, x), _unwrap(name, y)
    if is_array(a):
        if not is_array(b):
            return _meet_scalar(a, b), b
        if a.dtype == b.dtype:
            return a, b
        if a.dtype.kind == b.dtype.kind == "f":
            raise DtypeError(
                f"{name}: float32 and float64 do not mix: got {a.dtype} {a.shape} and {b.dtype} {b.shape}; "
                "convert one with .float() or .double()"
            )
        if a.dtype.kind == "f":
            return a, converted(b, a.dtype)
        if b.dtype.kind == "f":
            return converted(a, b.dtype), b
        return a, b
    if is_array(b):
        return a, _meet_scalar(b, a)
    return np.asarray(a, np.float32 if isinstance(a, float) or isinstance(b, float) else None), b


def _unwrap(name: str, operand: Any) -> Any:
    if isinstance(operand, Tensor):
        return operand.array
    if is_array(operand):
        return operand
    if isinstance(operand, np.generic):
        return cast(Any, operand).item()
    if isinstance(operand, (bool, int, float)):
        return operand
    hint = "; tg.tensor(...) makes one of it" if isinstance(operand, (list, tuple)) else ""
    kind = type(cast(object, operand)).__name__
    raise DtypeError(f"{name}: expected a Tensor, an ndarray or a number, got {kind}{hint}")


def _meet_scalar(array: Array, scalar: float) -> Array:
    if isinstance(scalar, float) and array.dtype.kind != "f":
        return converted(array, np.float32)
    return array


# Their results have the dtype of floating-point operands.
_KEEPING_DTYPE = {np.add, np.subtract, np.multiply}


def apply_broadcast(name: str, ufunc: np.ufunc, a: Any, b: Any) -> Array:
    """Launch a binary ufunc; shapes that do not broadcast raise `ShapeError` naming the op.

    Where channels-last images meet row-major ones, the result lies as the first operand (NumPy makes it row-major).
    """
    if is_array(a) and is_array(b) and a.shape == b.shape and a.dtype == b.dtype:
        if a.strides != b.strides and b.flags.c_contiguous and lies_channels_last(a):
            b = in_order_of(a, b)
        if ufunc in _KEEPING_DTYPE and a.strides == b.strides and a.dtype.kind == "f":
            out = empty_like(a)
            launch(ufunc, a, b, out)
            return out
    try:
        return apply_ufunc(ufunc, a, b)
    except ValueError as error:
        if np.shape(a) == np.shape(b):
            raise
        raise ShapeError(f"{name}: shapes {np.shape(a)} and {np.shape(b)} do not broadcast") from error


def broadcasts_into(shape: tuple[int, ...], target: tuple[int, ...]) -> bool:
    """Whether a value of one shape can be written into another, which does not grow."""
    if shape == target:
        return True
    added = len(target) - len(shape)
    return added >= 0 and all(size in (1, wanted) for size, wanted in zip(shape, target[added:], strict=True))


def unbroadcast(grad: Tensor, operand: object) -> Tensor | None:
    """The gradient of a broadcast operand: summed over the dimensions along which it was repeated.

    None for an operand that wants no gradient.
    """
    if not isinstance(operand, Tensor) or not needs_grad(operand):
        return None
    if grad.shape == operand.shape:
        return grad
    added = grad.ndim - operand.ndim
    repeated = [dim for dim, size in enumerate(operand.shape, start=added) if size == 1 and grad.shape[dim] != 1]
    return grad.sum([*range(added), *repeated]).reshape(operand.shape)


def swapped(function: Callable[[Operand, Operand], Tensor]) -> Callable[[Operand, Operand], Tensor]:
    """The reflected operator: `2 - t` calls `Tensor.__rsub__(t, 2)`, which is sub(2, t)."""

    def reflected(x: Operand, y: Operand) -> Tensor:
        return function(y, x)

    return reflected
