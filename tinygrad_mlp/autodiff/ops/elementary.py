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
def exp(x: Tensor) -> tuple[Array, Backward]:
    """e**x."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * out

    return apply_flat(kernels.exp, x), backward


@op
def exp2(x: Tensor) -> tuple[Array, Backward]:
    """2**x."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (out * math.log(2))

    return float_ufunc("exp2", np.exp2, x), backward


@op
def expm1(x: Tensor) -> tuple[Array, Backward]:
    """e**x - 1, accurate near 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (out + 1.0)

    return float_ufunc("expm1", np.expm1, x), backward


@op
def log(x: Tensor) -> tuple[Array, Backward]:
    """Natural logarithm: -inf at 0, NaN below."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / x

    return apply_flat(kernels.log, x), backward


@op
def log1p(x: Tensor) -> tuple[Array, Backward]:
    """log(1 + x), accurate near 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / (x + 1.0)

    return float_ufunc("log1p", np.log1p, x), backward


@op
def log2(x: Tensor) -> tuple[Array, Backward]:
    """Logarithm to base 2."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / (x * math.log(2))

    return float_ufunc("log2", np.log2, x), backward


@op
def sqrt(x: Tensor) -> tuple[Array, Backward]:
    """Square root, NaN below 0; its derivative is inf at 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad / (out * 2.0)

    return float_ufunc("sqrt", np.sqrt, x), backward


@op
def rsqrt(x: Tensor) -> tuple[Array, Backward]:
    """1 / sqrt(x)."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (out * out * out * -0.5)

    return apply_flat(kernels.rsqrt, x), backward


@op
def square(x: Tensor) -> tuple[Array, Backward]:
    """x**2."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * (x * 2.0)

    return apply_ufunc(np.square, array_of("square", x)), backward


@op
def reciprocal(x: Tensor) -> tuple[Array, Backward]:
    """1 / x."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return -grad * (out * out)

    return float_ufunc("reciprocal", np.reciprocal, x), backward


@op
def abs(x: Tensor) -> tuple[Array, Backward]:
    """|x|, with derivative 0 at 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * x.sign()

    return apply_ufunc(np.absolute, array_of("abs", x)), backward


@op
def sin(x: Tensor) -> tuple[Array, Backward]:
    """Sine of an angle in radians."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * x.cos()

    return float_ufunc("sin", np.sin, x), backward


@op
def cos(x: Tensor) -> tuple[Array, Backward]:
    """Cosine of an angle in radians."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return -grad * x.sin()

    return float_ufunc("cos", np.cos, x), backward


@op
def tanh(x: Tensor) -> tuple[Array, Backward]:
    """Hyperbolic tangent."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return tanh_backward(grad, out)

    return apply_flat(kernels.tanh, x), backward


@op
def tanh_backward(grad: Tensor, y: Tensor) -> tuple[Array, Backward]:
    """grad * (1 - y**2): the derivative of tanh where its result is y."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = tanh_backward(outer, y) if needs_grad(grad) else None
        by_y = outer * grad * (y * -2.0) if needs_grad(y) else None
        return by_grad, by_y

    return apply_flat(kernels.tanh_backward, grad, y), backward


@op
def erf(x: Tensor) -> tuple[Array, Backward]:
    """Error function, 2/sqrt(pi) times the integral of exp(-t**2) from 0 to x."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return grad * ((-(x * x)).exp() * (2 / math.sqrt(math.pi)))

    return apply_flat(kernels.erf, x), backward


@op
def sign(x: Tensor) -> tuple[Array, Backward]:
    """-1, 0 or 1 (NaN for NaN); its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(x)

    return apply_ufunc(np.sign, array_of("sign", x)), backward


@op
def floor(x: Tensor) -> tuple[Array, Backward]:
    """The greatest integer not above x; its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(x)

    return apply_ufunc(np.floor, array_of("floor", x)), backward


@op
def ceil(x: Tensor) -> tuple[Array, Backward]:
    """The least integer not below x; its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(x)

    return apply_ufunc(np.ceil, array_of("ceil", x)), backward


@op
def round(x: Tensor, decimals: int = 0) -> tuple[Array, Backward]:
    """x to `decimals` places (negative: to tens, hundreds, …), halves to the even neighbour; its gradient is 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return zero_gradient(x)

    return _rounded(array_of("round", x), decimals), backward


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
