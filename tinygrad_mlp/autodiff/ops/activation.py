"""Activations: functions of one number that nets put between their layers.

Each is one kernel, and so is its derivative, which is an op of its own: `relu_backward(grad, y)` is grad * relu'(x),
and its derivative in turn is stated by ops. `inplace` is accepted, as scripts written for PyTorch pass it, and changes
nothing: an input is never written to.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats
from tinygrad_mlp.autodiff.ops.compare import where
from tinygrad_mlp.autodiff.ops.unary import apply_flat, zero_gradient
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels import elementwise as kernels
from tinygrad_mlp.kernels.launch import Array

__all__ = [
    "METHODS",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "gelu_tanh_backward",
    "hardtanh",
    "hardtanh_backward",
    "leaky_relu",
    "leaky_relu_backward",
    "logsigmoid",
    "logsigmoid_backward",
    "prelu",
    "relu",
    "relu_backward",
    "sigmoid",
    "sigmoid_backward",
    "silu",
    "silu_backward",
    "softplus",
    "softplus_backward",
]


@op
def relu(input: Tensor, inplace: bool = False) -> tuple[Array, Backward]:
    """max(input, 0), with derivative 0 at 0."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return relu_backward(grad, out)

    return apply_flat(kernels.relu, input), backward


@op
def relu_backward(grad: Tensor, y: Tensor) -> tuple[Array, Backward]:
    """Grad where the output y of relu is positive, else 0."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = relu_backward(outer, y) if needs_grad(grad) else None
        return by_grad, zero_gradient(y) if needs_grad(y) else None

    return apply_flat(kernels.relu_backward, grad, y), backward


@op
def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> tuple[Array, Backward]:
    """The input where it is positive, negative_slope * input elsewhere."""
    slope = float(negative_slope)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return leaky_relu_backward(grad, input, slope)

    return apply_flat(kernels.leaky_relu, input, slope), backward


@op
def leaky_relu_backward(grad: Tensor, x: Tensor, slope: float) -> tuple[Array, Backward]:
    """Grad where x is positive, slope * grad elsewhere."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = leaky_relu_backward(outer, x, slope) if needs_grad(grad) else None
        return by_grad, zero_gradient(x) if needs_grad(x) else None

    return apply_flat(kernels.leaky_relu_backward, grad, x, slope), backward


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """The input where it is positive, weight * input elsewhere (He et al. 2015, arXiv:1502.01852).

    The weight is (1,), or (C,) with a slope for each channel of an input (N, C, …). Raises `ShapeError` for others.
    """
    check_floats("prelu", input=input, weight=weight)
    channels = input.shape[1] if input.ndim > 1 else 1
    if weight.ndim != 1 or weight.shape[0] not in (1, channels):
        raise ShapeError(f"prelu: weight has shape {weight.shape}, expected (1,) or ({channels},) for {input.shape}")
    slope = weight if weight.shape[0] == 1 else weight.reshape(channels, *[1] * (input.ndim - 2))
    return where(input > 0, input, slope * input)


@op
def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> tuple[Array, Backward]:
    """The input where it is positive, alpha * (e**input - 1) elsewhere (Clevert et al. 2015, arXiv:1511.07289)."""
    factor = float(alpha)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return elu_backward(grad, input, factor)

    return apply_flat(kernels.elu, input, factor), backward


@op
def elu_backward(grad: Tensor, x: Tensor, alpha: float) -> tuple[Array, Backward]:
    """Grad where x is positive, grad * alpha * e**x elsewhere."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = elu_backward(outer, x, alpha) if needs_grad(grad) else None
        # below 0 e**x is its own derivative
        by_x = elu_backward(outer * grad, x, alpha).masked_fill(x >= 0, 0.0) if needs_grad(x) else None
        return by_grad, by_x

    return apply_flat(kernels.elu_backward, grad, x, alpha), backward


@op
def gelu(input: Tensor, approximate: str = "none") -> tuple[Array, Backward]:
    """input * Phi(input), Phi the standard normal distribution function (Hendrycks & Gimpel 2016, arXiv:1606.08415).

    `approximate="tanh"` is input/2 * (1 + tanh(sqrt(2/pi) (input + 0.044715 input**3))).
    Raises `ArgumentError` for other names.
    """
    check_choice("gelu", "approximate", approximate, ("none", "tanh"))
    exact = approximate == "none"

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return gelu_backward(grad, input) if exact else gelu_tanh_backward(grad, input)

    return apply_flat(kernels.gelu if exact else kernels.gelu_tanh, input), backward


@op
def gelu_backward(grad: Tensor, x: Tensor) -> tuple[Array, Backward]:
    """Grad * (Phi(x) + x phi(x)), phi the density of Phi."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = gelu_backward(outer, x) if needs_grad(grad) else None
        by_x = None
        if needs_grad(x):  # (Phi + x phi)' = phi (2 - x**2), since phi' = -x phi
            square = x * x
            density = (square * -0.5).exp() * (1 / math.sqrt(2 * math.pi))
            by_x = outer * grad * (density * (2.0 - square))
        return by_grad, by_x

    return apply_flat(kernels.gelu_backward, grad, x), backward


# gelu's tanh form is x * sigmoid(v) with v = x (_LINEAR + _CUBIC x**2).
_LINEAR = 2 * math.sqrt(2 / math.pi)
_CUBIC = 0.044715 * _LINEAR


@op
def gelu_tanh_backward(grad: Tensor, x: Tensor) -> tuple[Array, Backward]:
    """Grad times the derivative of gelu's tanh form."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = gelu_tanh_backward(outer, x) if needs_grad(grad) else None
        by_x = None
        if needs_grad(x):  # with s = sigmoid(v): (x s)'' = s (1 - s) (2 v' + x ((1 - 2s) v'**2 + v''))
            square = x * x
            s = (x * (square * _CUBIC + _LINEAR)).sigmoid()
            v_slope = square * (3 * _CUBIC) + _LINEAR
            v_curvature = x * (6 * _CUBIC)
            bend = x * ((1.0 - s * 2.0) * (v_slope * v_slope) + v_curvature)
            by_x = outer * grad * (s * (1.0 - s) * (v_slope * 2.0 + bend))
        return by_grad, by_x

    return apply_flat(kernels.gelu_tanh_backward, grad, x), backward


@op
def silu(input: Tensor, inplace: bool = False) -> tuple[Array, Backward]:
    """input * sigmoid(input), also called swish."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return silu_backward(grad, input)

    return apply_flat(kernels.silu, input), backward


@op
def silu_backward(grad: Tensor, x: Tensor) -> tuple[Array, Backward]:
    """Grad * s (1 + x (1 - s)), s = sigmoid(x)."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = silu_backward(outer, x) if needs_grad(grad) else None
        by_x = None
        if needs_grad(x):  # (x s)'' = s (1 - s) (2 + x (1 - 2s))
            s = x.sigmoid()
            by_x = outer * grad * (s * (1.0 - s) * (x * (1.0 - s * 2.0) + 2.0))
        return by_grad, by_x

    return apply_flat(kernels.silu_backward, grad, x), backward


@op
def sigmoid(input: Tensor) -> tuple[Array, Backward]:
    """1 / (1 + e**-input)."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return sigmoid_backward(grad, out)

    return apply_flat(kernels.sigmoid, input), backward


@op
def sigmoid_backward(grad: Tensor, y: Tensor) -> tuple[Array, Backward]:
    """grad * y (1 - y): the derivative of sigmoid where its result is y."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = sigmoid_backward(outer, y) if needs_grad(grad) else None
        by_y = outer * grad * (1.0 - y * 2.0) if needs_grad(y) else None
        return by_grad, by_y

    return apply_flat(kernels.sigmoid_backward, grad, y), backward


@op
def logsigmoid(input: Tensor) -> tuple[Array, Backward]:
    """log(sigmoid(input)), finite for every finite input."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return logsigmoid_backward(grad, input)

    return apply_flat(kernels.logsigmoid, input), backward


@op
def logsigmoid_backward(grad: Tensor, x: Tensor) -> tuple[Array, Backward]:
    """Grad * sigmoid(-x)."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = logsigmoid_backward(outer, x) if needs_grad(grad) else None
        by_x = -sigmoid_backward(outer * grad, x.sigmoid()) if needs_grad(x) else None
        return by_grad, by_x

    return apply_flat(kernels.logsigmoid_backward, grad, x), backward


@op
def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> tuple[Array, Backward]:
    """log(1 + e**(beta input)) / beta, and the input itself where beta input > threshold.

    Raises `ArgumentError` for beta 0.
    """
    if beta == 0:
        raise ArgumentError("softplus: beta is 0, expected a number to divide by")
    steepness, limit = float(beta), float(threshold)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return softplus_backward(grad, input, steepness, limit)

    return apply_flat(kernels.softplus, input, steepness, limit), backward


@op
def softplus_backward(grad: Tensor, x: Tensor, beta: float, threshold: float) -> tuple[Array, Backward]:
    """Grad * sigmoid(beta x), and grad itself where beta x > threshold."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = softplus_backward(outer, x, beta, threshold) if needs_grad(grad) else None
        by_x = None
        if needs_grad(x):
            scaled = x * beta
            curved = sigmoid_backward(outer * grad * beta, scaled.sigmoid())
            by_x = curved.masked_fill(scaled > threshold, 0.0)
        return by_grad, by_x

    return apply_flat(kernels.softplus_backward, grad, x, beta, threshold), backward


@op
def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> tuple[Array, Backward]:
    """The input cut to min_val..max_val, with derivative 0 at both ends.

    Raises `ArgumentError` unless min_val < max_val.
    """
    low, high = float(min_val), float(max_val)
    if not low < high:
        raise ArgumentError(f"hardtanh: min_val {min_val} must lie below max_val {max_val}")

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return hardtanh_backward(grad, input, low, high)

    return apply_flat(kernels.hardtanh, input, low, high), backward


@op
def hardtanh_backward(grad: Tensor, x: Tensor, low: float, high: float) -> tuple[Array, Backward]:
    """Grad where x lies strictly between low and high, else 0."""

    def backward(outer: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        by_grad = hardtanh_backward(outer, x, low, high) if needs_grad(grad) else None
        return by_grad, zero_gradient(x) if needs_grad(x) else None

    return apply_flat(kernels.hardtanh_backward, grad, x, low, high), backward


METHODS: dict[str, Callable[..., Tensor]] = {
    "relu": relu,
    "sigmoid": sigmoid,
    "silu": silu,
}
