"""Writing in place, and the rules that keep gradients right.

A write goes into the tensor's memory, which views of it and NumPy see, where no gradient is lost by it: under `no_grad`
(the hand-written `p -= lr * p.grad` trains), and for tensors that no graph is about. With grad on, a leaf that requires
grad raises, and where a graph is involved `x += y` rebinds the name to x + y. Every write bumps the version that
`backward` compares with what forward saw.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_mlp.autodiff.methods import Operand
from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import needs_grad
from tinygrad_mlp.autodiff.ops.arithmetic import add, div, floor_divide, mul, pow, remainder, scaled, sub
from tinygrad_mlp.autodiff.ops.broadcast import broadcasts_into, operands
from tinygrad_mlp.autodiff.ops.compare import and_operator, masked_fill, or_operator, xor_operator
from tinygrad_mlp.autodiff.tensor import Tensor, about_to_change
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, ShapeError
from tinygrad_mlp.kernels import update as kernels
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, launch

__all__ = [
    "METHODS",
    "add_",
    "addcdiv_",
    "addcmul_",
    "check_writable",
    "clamp_",
    "copy_",
    "count_up",
    "div_",
    "fill_",
    "iadd",
    "imul",
    "isub",
    "itruediv",
    "lerp_",
    "masked_fill_",
    "mul_",
    "sub_",
    "zero_",
]


def check_writable(name: str, x: Tensor, value: object = None) -> None:
    """Raise `GradientError` if a write to `x` now would lose a gradient, `ArgumentError` for read-only memory."""
    if not x.array.flags.writeable:
        raise ArgumentError(f"{name}: this tensor's memory is read-only (repeated by expand, or NumPy's); clone() it")
    about_to_change(x)
    if not grad_enabled.get():
        return
    if x.wants_grad:
        what = "a leaf that requires grad" if x.node is None else "a tensor that the graph needs"
        raise GradientError(
            f"{name}: {what} cannot be written in place; do it under `with tg.no_grad():`, or out of place"
        )
    if needs_grad(value):
        raise GradientError(
            f"{name}: the written value requires grad, which a write in place would lose; use the op out of place"
        )


def _write(name: str, ufunc: np.ufunc, x: Tensor, other: Operand) -> Tensor:
    """x.array = ufunc(x.array, other), in place."""
    check_writable(name, x, other)
    a, b = operands(name, x, other)
    if a is not x.array:
        raise DtypeError(
            f"{name}: the result would not fit into {x.dtype}; use the op out of place, or convert x first"
        )
    if not broadcasts_into(np.shape(b), a.shape):
        raise ShapeError(f"{name}: {np.shape(b)} does not broadcast into {a.shape}")
    launch(ufunc, a, b, a)
    x.counter[0] += 1
    return x


def add_(x: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """x += alpha * other in the memory of x."""
    return _write("add_", np.add, x, scaled(other, alpha))


def count_up(x: Tensor) -> None:
    """Add 1 to a tensor of counts, int64, by a kernel, with which steps can run one after the other in a loop."""
    check_writable("count_up", x)
    launch(kernels.count_up, x.array)
    x.counter[0] += 1


def sub_(x: Tensor, other: Operand, *, alpha: float = 1) -> Tensor:
    """x -= alpha * other in the memory of x."""
    return _write("sub_", np.subtract, x, scaled(other, alpha))


def addcmul_(x: Tensor, tensor1: Operand, tensor2: Operand, *, value: float = 1) -> Tensor:
    """x += value * tensor1 * tensor2 in the memory of x, as `v.mul_(0.999).addcmul_(g, g, value=0.001)` in Adam."""
    return add_(x, mul(tensor1, tensor2), alpha=value)


def addcdiv_(x: Tensor, tensor1: Operand, tensor2: Operand, *, value: float = 1) -> Tensor:
    """x += value * tensor1 / tensor2 in the memory of x."""
    return add_(x, div(tensor1, tensor2), alpha=value)


def lerp_(x: Tensor, end: Operand, weight: Operand) -> Tensor:
    """x += weight * (end - x) in the memory of x: a step towards `end`, as a moving average makes it."""
    return add_(x, mul(sub(end, x), weight))


def mul_(x: Tensor, other: Operand) -> Tensor:
    """x *= other in the memory of x."""
    return _write("mul_", np.multiply, x, other)


def div_(x: Tensor, other: Operand, *, rounding_mode: str | None = None) -> Tensor:
    """x /= other in the memory of x, floating-point only; `rounding_mode` as in `div`."""
    if x.dtype.kind != "f":
        raise DtypeError(f"div_: the quotient does not fit into {x.dtype}; use div")
    if rounding_mode is None:
        return _write("div_", np.divide, x, other)
    check_writable("div_", x, other)
    return copy_(x, div(x, other, rounding_mode=rounding_mode))


def copy_(x: Tensor, src: Operand, non_blocking: bool = False) -> Tensor:
    """Write the values of `src`, broadcast and converted, into x; `non_blocking` changes nothing."""
    check_writable("copy_", x, src)
    source = src.array if isinstance(src, Tensor) else np.asarray(src)
    try:
        launch(copy, source, x.array)
    except ValueError as error:
        raise ShapeError(f"copy_: {source.shape} does not broadcast into {x.shape}") from error
    x.counter[0] += 1
    return x


def fill_(x: Tensor, value: float) -> Tensor:
    """Set every element of x to one number."""
    return copy_(x, value)


def zero_(x: Tensor) -> Tensor:
    """Set every element of x to 0."""
    return copy_(x, 0.0)


def clamp_(x: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limit the elements of x to min..max, in place."""
    check_writable("clamp_", x)
    if min is not None:
        _write("clamp_", np.maximum, x, min)
    if max is not None:
        _write("clamp_", np.minimum, x, max)
    return x


def masked_fill_(x: Tensor, mask: Tensor | Array, value: float | Tensor) -> Tensor:
    """Write a number (or a 0-d tensor) into x wherever the bool mask, which broadcasts, holds."""
    check_writable("masked_fill_", x, value)
    return copy_(x, masked_fill(x, mask, value))


def _in_place(x: Tensor, other: Operand) -> bool:
    """Whether `x += other` writes into x, or rebinds the name, for a graph; a leaf that requires grad raises."""
    if not grad_enabled.get():
        return True
    if x.wants_grad and x.node is None:
        check_writable("in-place operator", x, other)
    return not (x.wants_grad or needs_grad(other))


def iadd(x: Tensor, other: Operand) -> Tensor:
    """x += other."""
    return add_(x, other) if _in_place(x, other) else add(x, other)


def isub(x: Tensor, other: Operand) -> Tensor:
    """x -= other."""
    return sub_(x, other) if _in_place(x, other) else sub(x, other)


def imul(x: Tensor, other: Operand) -> Tensor:
    """x *= other."""
    return mul_(x, other) if _in_place(x, other) else mul(x, other)


def itruediv(x: Tensor, other: Operand) -> Tensor:
    """x /= other."""
    return div_(x, other) if _in_place(x, other) else div(x, other)


def _assigning(sign: str, op: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An operator such as `x **= other` of an op that has no kernel which writes in place."""

    def operator(x: Tensor, other: Operand) -> Tensor:
        result = op(x, other)
        if result is NotImplemented or not _in_place(x, other):
            return result
        if (result.shape, result.dtype) != (x.shape, x.dtype):
            raise (DtypeError if result.shape == x.shape else ShapeError)(
                f"{sign}: a result of shape {result.shape} and dtype {result.dtype} does not fit into {x.shape}, "
                f"{x.dtype}; use the operator without ="
            )
        return copy_(x, result)

    return operator


METHODS: dict[str, Callable[..., Tensor]] = {
    "add_": add_,
    "sub_": sub_,
    "mul_": mul_,
    "div_": div_,
    "copy_": copy_,
    "fill_": fill_,
    "zero_": zero_,
    "addcmul_": addcmul_,
    "addcdiv_": addcdiv_,
    "lerp_": lerp_,
    "masked_fill_": masked_fill_,
    "clamp_": clamp_,
    "__iadd__": iadd,
    "__isub__": isub,
    "__imul__": imul,
    "__itruediv__": itruediv,
    "__ipow__": _assigning("**=", pow),
    "__ifloordiv__": _assigning("//=", floor_divide),
    "__imod__": _assigning("%=", remainder),
    "__iand__": _assigning("&=", and_operator),
    "__ior__": _assigning("|=", or_operator),
    "__ixor__": _assigning("^=", xor_operator),
}
