"""Functions of one number, element by element: powers and roots, exponentials, logarithms, circle functions, rounding.

Each stands with its derivative. Integers and bools count as float32 where the result is no integer.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.unary import apply_flat, array_of, float_ufunc, zero_gradient
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.kernels import elementwise as kernels
from tinygrad_mlp.kernels.copy import converted
from tinygrad_mlp.kernels.launch import Array, apply_ufunc

__all__ = [
    "METHODS",
    "abs",
    "ceil",
    "cos",
    "erf",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "log",
    "log1p",
    "log2",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sqrt",
    "square",
    "tanh",
    "tanh_backward",
]


@op
def exp(input: Tensor) -> tuple[Array, Backward]:
    """e**input."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * out

    return apply_flat(kernels.exp, input), backward


@op
def exp2(input: Tensor) -> tuple[Array, Backward]:
    """2**input."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (out * math.log(2))

    return float_ufunc("exp2", np.exp2, input), backward


@op
def expm1(input: Tensor) -> tuple[Array, Backward]:
    """e**input - 1, accurate near 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (out + 1.0)

    return float_ufunc("expm1", np.expm1, input), backward


@op
def log(input: Tensor) -> tuple[Array, Backward]:
    """Natural logarithm: -inf at 0, NaN below."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / input

    return apply_flat(kernels.log, input), backward


@op
def log1p(input: Tensor) -> tuple[Array, Backward]:
    """log(1 + input), accurate near 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / (input + 1.0)

    return float_ufunc("log1p", np.log1p, input), backward


@op
def log2(input: Tensor) -> tuple[Array, Backward]:
    """Logarithm to base 2."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / (input * math.log(2))

    return float_ufunc("log2", np.log2, input), backward


@op
def sqrt(input: Tensor) -> tuple[Array, Backward]:
    """Square root, NaN below 0; its derivative is inf at 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / (out * 2.0)

    return float_ufunc("sqrt", np.sqrt, input), backward


@op
def rsqrt(input: Tensor) -> tuple[Array, Backward]:
    """1 / sqrt(input)."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (out * out * out * -0.5)

    return apply_flat(kernels.rsqrt, input), backward


@op
def square(input: Tensor) -> tuple[Array, Backward]:
    """input**2."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (input * 2.0)

    return apply_ufunc(np.square, array_of("square", input)), backward


@op
def reciprocal(input: Tensor) -> tuple[Array, Backward]:
    """1 / input."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return -grad * (out * out)

    return float_ufunc("reciprocal", np.reciprocal, input), backward


@op
def abs(input: Tensor) -> tuple[Array, Backward]:
    """|input|, with derivative 0 at 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * input.sign()

    return apply_ufunc(np.absolute, array_of("abs", input)), backward


@op
def sin(input: Tensor) -> tuple[Array, Backward]:
    """Sine of an angle in radians."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * input.cos()

    return float_ufunc("sin", np.sin, input), backward


@op
def cos(input: Tensor) -> tuple[Array, Backward]:
    """Cosine of an angle in radians."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return -grad * input.sin()

    return float_ufunc("cos", np.cos, input), backward


@op
def tanh(input: Tensor) -> tuple[Array, Backward]:
    """Hyperbolic tangent."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return tanh_backward(grad, out)

    return apply_flat(kernels.tanh, input), backward


@op
def tanh_backward(grad: Tensor, y: Tensor) -> tuple[Array, Backward]:
    """grad * (1 - y**2): the derivative of tanh where its result is y."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = tanh_backward(outer, y) if needs_grad(grad) else None
        by_y = outer * grad * (y * -2.0) if needs_grad(y) else None
        return by_grad, by_y

    return apply_flat(kernels.tanh_backward, grad, y), backward


@op
def erf(input: Tensor) -> tuple[Array, Backward]:
    """Error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to the input."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * ((-(input * input)).exp() * (2 / math.sqrt(math.pi)))

    return apply_flat(kernels.erf, input), backward


@op
def sign(input: Tensor) -> tuple[Array, Backward]:
    """-1, 0 or 1 (NaN for NaN); its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(input)

    return apply_ufunc(np.sign, array_of("sign", input)), backward


@op
def floor(input: Tensor) -> tuple[Array, Backward]:
    """The greatest integer not above the input; its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(input)

    return apply_ufunc(np.floor, array_of("floor", input)), backward


@op
def ceil(input: Tensor) -> tuple[Array, Backward]:
    """The least integer not below the input; its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(input)

    return apply_ufunc(np.ceil, array_of("ceil", input)), backward


@op
def round(input: Tensor, decimals: int = 0) -> tuple[Array, Backward]:
    """The input to `decimals` places (negative: to tens, …), halves to the even neighbour; its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(input)

    return _rounded(array_of("round", input), decimals), backward


def _rounded(array: Array, decimals: int) -> Array:
    if array.dtype.kind != "f":
        return converted(array, array.dtype)
    if decimals == 0:
        return apply_ufunc(np.rint, array)
    if decimals > 0:
        scale = 10.0**decimals
        return apply_ufunc(np.divide, apply_ufunc(np.rint, apply_ufunc(np.multiply, array, scale)), scale)
    scale = 10.0**-decimals
    return apply_ufunc(np.multiply, apply_ufunc(np.rint, apply_ufunc(np.divide, array, scale)), scale)


METHODS: dict[str, Callable[..., Tensor]] = {
    "exp": exp,
    "exp2": exp2,
    "expm1": expm1,
    "log": log,
    "log1p": log1p,
    "log2": log2,
    "sqrt": sqrt,
    "rsqrt": rsqrt,
    "square": square,
    "reciprocal": reciprocal,
    "abs": abs,
    "__abs__": abs,
    "sin": sin,
    "cos": cos,
    "tanh": tanh,
    "erf": erf,
    "sign": sign,
    "floor": floor,
    "ceil": ceil,
    "round": round,
}
