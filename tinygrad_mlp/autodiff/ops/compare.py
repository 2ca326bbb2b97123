"""Comparisons, logic on bools, and choosing: where, masked_fill, maximum, minimum, clamp.

Comparisons and logic give bool tensors without a gradient.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.methods import Operand
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.broadcast import apply_broadcast, operands, unbroadcast
from tinygrad_mlp.autodiff.ops.unary import apply_flat, array_of
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, check_reading, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels import elementwise as kernels
from tinygrad_mlp.kernels.choose import choose, choose_floats, put_number
from tinygrad_mlp.kernels.launch import Array, apply_ufunc, is_array, launch

__all__ = [
    "METHODS",
    "allclose",
    "and_operator",
    "clamp",
    "clamp_between",
    "clip",
    "eq",
    "equal",
    "ge",
    "gt",
    "isclose",
    "isfinite",
    "isinf",
    "isnan",
    "le",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "lt",
    "masked_fill",
    "maximum",
    "minimum",
    "ne",
    "or_operator",
    "where",
    "xor_operator",
]


def _compared(name: str, ufunc: np.ufunc, x: Operand, other: Operand) -> Tensor:
    return wrap(apply_broadcast(name, ufunc, *operands(name, x, other)))


def eq(input: Operand, other: Operand) -> Tensor:
    """input == other, element by element."""
    return _compared("eq", np.equal, input, other)


def ne(input: Operand, other: Operand) -> Tensor:
    """input != other, element by element."""
    return _compared("ne", np.not_equal, input, other)


def lt(input: Operand, other: Operand) -> Tensor:
    """input < other, element by element."""
    return _compared("lt", np.less, input, other)


def le(input: Operand, other: Operand) -> Tensor:
    """input <= other, element by element."""
    return _compared("le", np.less_equal, input, other)


def gt(input: Operand, other: Operand) -> Tensor:
    """input > other, element by element."""
    return _compared("gt", np.greater, input, other)


def ge(input: Operand, other: Operand) -> Tensor:
    """input >= other, element by element."""
    return _compared("ge", np.greater_equal, input, other)


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether both have the same shape and the same elements (a NaN equals nothing)."""
    check_reading("equal")
    a, b = array_of("equal", input), array_of("equal", other)
    return a.shape == b.shape and bool(eq(input, other).array.all())


def isclose(input: Operand, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Whether |input - other| <= atol + rtol |other|, element by element; with `equal_nan` two NaNs are close too."""
    close = _compared("isclose", np.equal, input, other)
    arrays = operands("isclose", input, other)
    dtype = next(array.dtype for array in arrays if is_array(array))
    a, b = [wrap(np.asarray(array, dtype)) for array in arrays]
    near = le((a - b).abs(), b.abs() * rtol + atol)  # |inf - b| and |a - inf| are inf, which no finite bound reaches
    close = logical_or(close, logical_and(near, isfinite(b)))
    return logical_or(close, logical_and(isnan(a), isnan(b))) if equal_nan else close


def allclose(input: Operand, other: Operand, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether all elements are close, as `isclose` says."""
    check_reading("allclose")
    return bool(isclose(input, other, rtol, atol, equal_nan).array.all())


def isfinite(input: Tensor) -> Tensor:
    """Whether each element is neither infinite nor NaN."""
    return wrap(apply_ufunc(np.isfinite, array_of("isfinite", input)))


def isnan(input: Tensor) -> Tensor:
    """Whether each element is NaN."""
    return wrap(apply_ufunc(np.isnan, array_of("isnan", input)))


def isinf(input: Tensor) -> Tensor:
    """Whether each element is inf or -inf."""
    return wrap(apply_ufunc(np.isinf, array_of("isinf", input)))


def logical_not(input: Tensor) -> Tensor:
    """Whether each element is 0 or False."""
    return wrap(apply_ufunc(np.logical_not, array_of("logical_not", input)))


def logical_and(input: Operand, other: Operand) -> Tensor:
    """Whether both elements are nonzero."""
    return _compared("logical_and", np.logical_and, input, other)


def logical_or(input: Operand, other: Operand) -> Tensor:
    """Whether at least one of both elements is nonzero."""
    return _compared("logical_or", np.logical_or, input, other)


def logical_xor(input: Operand, other: Operand) -> Tensor:
    """Whether exactly one of both elements is nonzero."""
    return _compared("logical_xor", np.logical_xor, input, other)


def _equal_operator(x: Tensor, other: Any) -> Any:
    """x == other; an object that is no operand (None, a string) is simply not equal."""
    return eq(x, other) if _is_operand(other) else NotImplemented


def _unequal_operator(x: Tensor, other: Any) -> Any:
    return ne(x, other) if _is_operand(other) else NotImplemented


def _is_operand(value: object) -> bool:
    return isinstance(value, (Tensor, np.ndarray, np.generic, int, float))


def _bitwise(symbol: str, ufunc: np.ufunc, *inputs: Operand) -> Tensor:
    """A bitwise operator: the logical one on bools, on the bits of integers; `DtypeError` on floats."""
    arrays = operands(symbol, *inputs) if len(inputs) == 2 else (array_of(symbol, inputs[0]),)
    for array in arrays:
        if isinstance(array, float) or (is_array(array) and array.dtype.kind == "f"):
            raise DtypeError(f"{symbol}: expected bools or integers, got floating-point; compare first, as in (x > 0)")
    return wrap(apply_broadcast(symbol, ufunc, *arrays) if len(arrays) == 2 else apply_ufunc(ufunc, *arrays))


def and_operator(x: Operand, other: Operand) -> Tensor:
    """x & other, of bools and integers."""
    return _bitwise("&", np.bitwise_and, x, other)


def or_operator(x: Operand, other: Operand) -> Tensor:
    """x | other, of bools and integers."""
    return _bitwise("|", np.bitwise_or, x, other)


def xor_operator(x: Operand, other: Operand) -> Tensor:
    """x ^ other, of bools and integers."""
    return _bitwise("^", np.bitwise_xor, x, other)


def _invert_operator(x: Tensor) -> Tensor:
    return _bitwise("~", np.invert, x)


@op
def where(condition: Tensor | Array, input: Operand, other: Operand) -> tuple[Array, Backward]:
    """The input where the bool condition holds, `other` elsewhere; all three broadcast.

    Raises
    ------
    DtypeError
        A condition that is not bool, or float32 with float64.
    ShapeError
        Shapes that do not broadcast.
    """
    mask = _mask("where", condition)
    a, b = operands("where", input, other)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_input = unbroadcast(masked_fill(grad, ~mask, 0.0), input) if needs_grad(input) else None
        grad_other = unbroadcast(masked_fill(grad, mask, 0.0), other) if needs_grad(other) else None
        return None, grad_input, grad_other

    return _chosen("where", mask.array, a, b), backward


@op
def masked_fill(input: Tensor, mask: Tensor | Array, value: float | Tensor) -> tuple[Array, Backward]:
    """The input with `value` (a number or a 0-d tensor) wherever the bool mask, which broadcasts to its shape, holds.

    Raises
    ------
    DtypeError
        A mask that is not bool, a fraction for an integer tensor, or float32 with float64.
    ShapeError
        A mask that does not broadcast to the shape of the input, or a value with dimensions.
    """
    array, number = operands("masked_fill", input, value)
    condition = _mask("masked_fill", mask)
    if array is not input.array:
        raise DtypeError(f"masked_fill: {value!r} does not fit into {input.dtype}")
    if np.ndim(number) > 0:
        raise ShapeError(
            f"masked_fill: value must be a number or a 0-d tensor, got shape {np.shape(number)}; use where"
        )

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_input = masked_fill(grad, condition, 0.0) if needs_grad(input) else None
        grad_value = masked_fill(grad, ~condition, 0.0).sum() if needs_grad(value) else None
        return grad_input, None, grad_value

    try:
        everywhere = _repeated(condition.array, array.shape)
    except ValueError as error:
        raise ShapeError(f"masked_fill: the mask {condition.shape} does not broadcast to {input.shape}") from error
    return _chosen("masked_fill", everywhere, number, array), backward


def _mask(name: str, condition: Tensor | Array) -> Tensor:
    """The condition as a Tensor. Raises `DtypeError` unless it is bool."""
    mask = condition if isinstance(condition, Tensor) else wrap(np.asarray(condition))
    if mask.dtype.kind != "b":
        raise DtypeError(f"{name}: the condition must be bool, got {mask.dtype}; compare first, as in (x > 0)")
    return mask


def _chosen(name: str, mask: Array, a: Any, b: Any) -> Array:
    """New array of a where the mask holds and b elsewhere, in the memory order of an operand of the result's shape."""
    shapes = mask.shape, np.shape(a), np.shape(b)
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as error:
        raise ShapeError(f"{name}: shapes {shapes[0]}, {shapes[1]} and {shapes[2]} do not broadcast") from error
    dtype = np.result_type(a, b)
    leader = next((array for array in (a, b, mask) if is_array(array) and array.shape == shape), None)
    out = np.empty(shape, dtype) if leader is None else np.empty_like(leader, dtype)
    condition = _repeated(mask, shape)
    if dtype.kind != "f" or not (is_array(a) or is_array(b)):
        launch(choose, condition, a, b, out)
    elif not is_array(a):
        launch(put_number, condition, True, float(a), _repeated(b, shape), out)
    elif not is_array(b):
        launch(put_number, condition, False, float(b), _repeated(a, shape), out)
    else:
        launch(choose_floats, condition, _repeated(a, shape), _repeated(b, shape), out)
    return out


def _repeated(array: Array, shape: tuple[int, ...]) -> Array:
    """The array seen in a shape to which it broadcasts."""
    return array if array.shape == shape else np.broadcast_to(array, shape)


@op
def maximum(input: Operand, other: Operand) -> tuple[Array, Backward]:
    """The greater of both elements; NaN if either is. At a tie each operand gets half of the gradient."""
    a, b = operands("maximum", input, other)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return _to_winners(grad, input, other, lt)

    return apply_broadcast("maximum", np.maximum, a, b), backward


@op
def minimum(input: Operand, other: Operand) -> tuple[Array, Backward]:
    """The lesser of both elements; NaN if either is. At a tie each operand gets half of the gradient."""
    a, b = operands("minimum", input, other)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        return _to_winners(grad, input, other, gt)

    return apply_broadcast("minimum", np.minimum, a, b), backward


def _to_winners(
    grad: Tensor, x: Operand, other: Operand, loses: Callable[[Operand, Operand], Tensor]
) -> tuple[Tensor | None, ...]:
    """Pass the gradient to the operand that does not lose to the other, half to each where they are equal."""
    shared = where(eq(x, other), grad * 0.5, grad)
    grad_x = unbroadcast(masked_fill(shared, loses(x, other), 0.0), x) if needs_grad(x) else None
    grad_other = unbroadcast(masked_fill(shared, loses(other, x), 0.0), other) if needs_grad(other) else None
    return grad_x, grad_other


def clamp(input: Tensor, min: Operand | None = None, max: Operand | None = None) -> Tensor:
    """The input limited to min..max (max where min > max); None is no limit, and limits that are tensors broadcast.

    The gradient passes where min <= input <= max. Raises `ArgumentError` if both limits are None or one is NaN.
    """
    array_of("clamp", input)
    if min is None and max is None:
        raise ArgumentError("clamp: both limits are None; give min, max or both")
    if input.dtype.kind == "f" and not any(isinstance(limit, (Tensor, np.ndarray)) for limit in (min, max)):
        low = -math.inf if min is None else float(min)
        high = math.inf if max is None else float(max)
        if math.isnan(low) or math.isnan(high):
            raise ArgumentError(f"clamp: a limit is NaN: min={min}, max={max}")
        return clamp_between(input, low, high)
    limited = input if min is None else where(_is_beyond(lt, input, min), min, input)
    return limited if max is None else where(_is_beyond(gt, limited, max), max, limited)


def _is_beyond(compare: Callable[[Operand, Operand], Tensor], x: Tensor, limit: Operand) -> Tensor:
    """Where the limit holds x back, or is NaN."""
    return logical_or(compare(x, limit), ne(limit, limit))


clip = clamp


@op
def clamp_between(x: Tensor, low: float, high: float) -> tuple[Array, Backward]:
    """`clamp` with numbers."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return where(logical_and(ge(x, low), le(x, high)), grad, 0.0)

    return apply_flat(kernels.clamp, x, low, high), backward


def _where_method(x: Tensor, condition: Tensor | Array, other: Operand) -> Tensor:
    """x where the condition holds, `other` elsewhere."""
    return where(condition, x, other)


METHODS: dict[str, Callable[..., Any]] = {
    "eq": eq,
    "ne": ne,
    "lt": lt,
    "le": le,
    "gt": gt,
    "ge": ge,
    "__eq__": _equal_operator,
    "__ne__": _unequal_operator,
    "__lt__": lt,
    "__le__": le,
    "__gt__": gt,
    "__ge__": ge,
    "isfinite": isfinite,
    "isnan": isnan,
    "isinf": isinf,
    "logical_not": logical_not,
    "logical_and": logical_and,
    "logical_or": logical_or,
    "logical_xor": logical_xor,
    "__and__": and_operator,
    "__rand__": and_operator,
    "__or__": or_operator,
    "__ror__": or_operator,
    "__xor__": xor_operator,
    "__rxor__": xor_operator,
    "__invert__": _invert_operator,
    "where": _where_method,
    "masked_fill": masked_fill,
    "maximum": maximum,
    "minimum": minimum,
    "clamp": clamp,
    "clip": clip,
    "equal": equal,
    "isclose": isclose,
    "allclose": allclose,
}
