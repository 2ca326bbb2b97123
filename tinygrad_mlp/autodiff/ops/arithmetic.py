"""Arithmetic on two operands that broadcast, and negation.

The scalar functions of two arguments stand with their partial derivatives; `unbroadcast` sums a gradient over the
dimensions along which its operand was repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, overload

import numpy as np

from tinygrad_mlp.autodiff.methods import Operand
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.broadcast import apply_broadcast, operands, swapped, unbroadcast
from tinygrad_mlp.autodiff.ops.checks import check_choice
from tinygrad_mlp.autodiff.ops.unary import zero_gradient
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError
from tinygrad_mlp.kernels.copy import converted
from tinygrad_mlp.kernels.launch import Array, apply_ufunc, is_array

__all__ = ["METHODS", "add", "div", "floor_divide", "mul", "neg", "pow", "remainder", "scaled", "sub"]


@op
def add(input: Operand, other: Operand, *, alpha: float = 1) -> tuple[Array, Backward]:
    """input + alpha * other."""
    a, b = operands("add", input, scaled(other, alpha))

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return unbroadcast(grad, input), unbroadcast(scaled(grad, alpha), other) if needs_grad(other) else None

    return apply_broadcast("add", np.add, a, b), backward


@op
def sub(input: Operand, other: Operand, *, alpha: float = 1) -> tuple[Array, Backward]:
    """input - alpha * other."""
    a, b = operands("sub", input, scaled(other, alpha))

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return unbroadcast(grad, input), unbroadcast(-scaled(grad, alpha), other) if needs_grad(other) else None

    return apply_broadcast("sub", np.subtract, a, b), backward


@overload
def scaled(operand: Tensor, alpha: float) -> Tensor: ...
@overload
def scaled(operand: Operand, alpha: float) -> Operand: ...
def scaled(operand: Operand, alpha: float) -> Operand:
    """alpha * operand; a Python number stays one, so that it still takes the dtype of what it meets."""
    if alpha == 1:
        return operand
    return mul(operand, alpha) if isinstance(operand, Tensor) or is_array(operand) else operand * alpha


@op
def mul(input: Operand, other: Operand) -> tuple[Array, Backward]:
    """input * other, element by element."""
    a, b = operands("mul", input, other)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_input = unbroadcast(grad * other, input) if needs_grad(input) else None
        grad_other = unbroadcast(grad * input, other) if needs_grad(other) else None
        return grad_input, grad_other

    return apply_broadcast("mul", np.multiply, a, b), backward


@op
def div(input: Operand, other: Operand, *, rounding_mode: str | None = None) -> tuple[Array, Backward]:
    """input / other; integers are divided as float32. 1/0 is inf and 0/0 is NaN, as in IEEE 754.

    With `rounding_mode` "floor" this is `floor_divide`, with "trunc" the quotient is rounded towards 0 in the same way.
    """
    if rounding_mode is not None:
        check_choice("div", "rounding_mode", rounding_mode, (None, "floor", "trunc"))
        return _whole_quotient("div", input, other, _floor if rounding_mode == "floor" else _trunc)
    a, b = operands("div", input, other)
    if _is_integer(a) and _is_integer(b):
        a = converted(np.asarray(a), np.float32)
        b = converted(np.asarray(b), np.float32)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_input = unbroadcast(grad / other, input) if needs_grad(input) else None
        # the derivative of input / other by other is -(input / other) / other
        grad_other = unbroadcast(-grad * out / other, other) if needs_grad(other) else None
        return grad_input, grad_other

    return apply_broadcast("div", np.divide, a, b), backward


def _is_integer(operand: Any) -> bool:
    """Whether an array or a Python number is an integer or a bool."""
    return operand.dtype.kind in "iub" if is_array(operand) else not isinstance(operand, float)


@op
def floor_divide(input: Operand, other: Operand) -> tuple[Array, Backward]:
    """input // other: the quotient rounded down; its gradient is 0.

    Integers stay integers, and raise where other is 0.
    """
    return _whole_quotient("floor_divide", input, other, _floor)


def _whole_quotient(
    name: str, input: Operand, other: Operand, divided: Callable[[str, Any, Any], Array]
) -> tuple[Array, Backward]:
    a, b = _divisible(name, input, other)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        zero = zero_gradient(grad)
        return unbroadcast(zero, input), unbroadcast(zero, other)

    return divided(name, a, b), backward


def _floor(name: str, a: Any, b: Any) -> Array:
    """a / b rounded down."""
    return apply_broadcast(name, np.floor_divide, a, b)


def _trunc(name: str, a: Any, b: Any) -> Array:
    """a / b rounded towards 0."""
    if not (_is_integer(a) and _is_integer(b)):
        return apply_ufunc(np.trunc, apply_broadcast(name, np.divide, a, b))
    rest = apply_broadcast(name, np.fmod, a, b)  # of the sign of a
    return apply_broadcast(name, np.floor_divide, apply_broadcast(name, np.subtract, a, rest), b)


@op
def remainder(input: Operand, other: Operand) -> tuple[Array, Backward]:
    """input % other = input - other (input // other), of the sign of other, as in Python.

    Integers raise where other is 0, floats give NaN.
    """
    a, b = _divisible("remainder", input, other)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_other = unbroadcast(-grad * floor_divide(input, other), other) if needs_grad(other) else None
        return unbroadcast(grad, input), grad_other

    return apply_broadcast("remainder", np.remainder, a, b), backward


def _divisible(name: str, x: Operand, y: Operand) -> tuple[Any, Any]:
    """The operands; `ArgumentError` for an integer division by 0, which has no result."""
    a, b = operands(name, x, y)
    if _is_integer(a) and _is_integer(b) and not np.all(b):
        raise ArgumentError(f"{name}: division of integers by 0; with .float() it gives inf or NaN")
    return a, b


@op
def pow(input: Operand, exponent: Operand) -> tuple[Array, Backward]:
    """input ** exponent.

    The derivative by the input is exponent·input^(exponent−1), 0 where the exponent is 0; that by the exponent is
    input^exponent·log(input), 0 where the input is 0 and the exponent at least 0. Raises `DtypeError` for integers to a
    negative power.
    """
    a, b = operands("pow", input, exponent)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_input = grad_exponent = None
        if needs_grad(input):
            slope = input ** (exponent - 1) * exponent
            zero = exponent == 0  # there input ** (0 - 1) * 0 may be NaN
            grad_input = unbroadcast(_zero_where(zero, grad * slope), input)
        if needs_grad(exponent):
            assert isinstance(exponent, Tensor)
            base = input if isinstance(input, Tensor) else Tensor(np.asarray(input, exponent.dtype))
            grad_exponent = unbroadcast(_zero_where((base == 0) * (exponent >= 0), grad * out * base.log()), exponent)
        return grad_input, grad_exponent

    return _power(a, b), backward


def _zero_where(condition: Any, x: Tensor) -> Tensor:
    """0 where the condition (a bool, or a bool Tensor or array that broadcasts) holds, else x."""
    if condition is False:
        return x
    return x.masked_fill(condition if isinstance(condition, Tensor) else Tensor(np.asarray(condition)), 0.0)


def _power(a: Any, b: Any) -> Array:
    """NumPy's general power is slow; the common exponents are one multiplication, root or division."""
    if not is_array(b) and is_array(a) and a.dtype.kind == "f":
        if b == 1:
            return apply_ufunc(np.positive, a)
        if b == 2:
            return apply_ufunc(np.square, a)
        if b == 0.5:
            return apply_ufunc(np.sqrt, a)
        if b == -1:
            return apply_ufunc(np.reciprocal, a)
    if _is_integer(a) and _is_integer(b) and np.any(np.asarray(b) < 0):
        raise DtypeError("pow: an integer to a negative power is no integer; convert the base with .float()")
    return apply_broadcast("pow", np.power, a, b)


@op
def neg(input: Tensor) -> tuple[Array, Backward]:
    """-input."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return -grad

    return apply_ufunc(np.negative, input.array), backward


METHODS: dict[str, Callable[..., Tensor]] = {
    "add": add,
    "sub": sub,
    "mul": mul,
    "div": div,
    "pow": pow,
    "neg": neg,
    "floor_divide": floor_divide,
    "remainder": remainder,
    "__add__": add,
    "__radd__": swapped(add),
    "__sub__": sub,
    "__rsub__": swapped(sub),
    "__mul__": mul,
    "__rmul__": swapped(mul),
    "__truediv__": div,
    "__rtruediv__": swapped(div),
    "__floordiv__": floor_divide,
    "__rfloordiv__": swapped(floor_divide),
    "__mod__": remainder,
    "__rmod__": swapped(remainder),
    "__pow__": pow,
    "__rpow__": swapped(pow),
    "__neg__": neg,
}
