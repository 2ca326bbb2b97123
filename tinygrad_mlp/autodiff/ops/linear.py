"""Matrix products and the linear layer.

`matmul` follows NumPy's and PyTorch's rule: the last two dimensions are matrices, those before them broadcast, and a
1-d operand is a row on the left or a column on the right. `linear` is one kernel forward (product, bias, activation)
and one pass backward for the gradients of weight and bias.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.grad_memory import gradient_array
from tinygrad_mlp.autodiff.methods import Operand
from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.activation import relu_backward, sigmoid_backward
from tinygrad_mlp.autodiff.ops.broadcast import operands, swapped, unbroadcast
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats, check_tensor, reshaped, rows_of
from tinygrad_mlp.autodiff.ops.elementary import tanh_backward
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import DtypeError, ShapeError
from tinygrad_mlp.kernels import elementwise
from tinygrad_mlp.kernels import matmul as kernels
from tinygrad_mlp.kernels.approx import NONE, RELU, SIGMOID, TANH
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.memory import empty, empty_like

__all__ = ["ACTIVATIONS", "METHODS", "SLOPES", "bmm", "dot", "linear", "matmul", "mm", "mv", "outer"]

ACTIVATIONS: dict[str | None, int] = {None: NONE, "relu": RELU, "tanh": TANH, "sigmoid": SIGMOID}
"""What `linear` can fuse behind its product."""


@op
def matmul(input: Operand, other: Operand) -> tuple[Array, Backward]:
    """input @ other: (…, M, K) @ (…, K, N) -> (…, M, N); leading dimensions broadcast, a 1-d one is a row or a column.

    Raises
    ------
    ShapeError
        A scalar operand, inner sizes that differ, or leading dimensions that do not broadcast.
    DtypeError
        float32 with float64, or two integer operands.
    """
    a, b = operands("matmul", input, other)
    batch = _batch_shape(np.shape(a), np.shape(b))
    if a.dtype.kind != "f":
        raise DtypeError(f"matmul: got {a.dtype} @ {b.dtype}, expected float32 or float64; convert with .float()")

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        left = input if isinstance(input, Tensor) else wrap(a)
        right = other if isinstance(other, Tensor) else wrap(b)
        if left.ndim == 1:
            grad = grad.unsqueeze(-2 if right.ndim > 1 else 0)  # (…, N) -> (…, 1, N)
        if right.ndim == 1:
            grad = grad.unsqueeze(-1)  # (…, M) -> (…, M, 1)
        grad_input = _left_gradient(grad, right, left) if needs_grad(input) else None
        grad_other = _right_gradient(grad, left, right) if needs_grad(other) else None
        return grad_input, grad_other

    return _product(a, b, batch), backward


def _left_gradient(grad: Tensor, right: Tensor, left: Tensor) -> Tensor | None:
    """d/dx of x @ y, given grad (…, M, N): grad @ yᵀ."""
    matrices = right.unsqueeze(-1) if right.ndim == 1 else right
    product = grad @ matrices.transpose(-1, -2)  # (…, M, N) @ (…, N, K) -> (…, M, K)
    return unbroadcast(product.squeeze(-2) if left.ndim == 1 else product, left)


def _right_gradient(grad: Tensor, left: Tensor, right: Tensor) -> Tensor | None:
    """d/dy of x @ y, given grad (…, M, N): xᵀ @ grad."""
    matrices = left.unsqueeze(0) if left.ndim == 1 else left
    if right.ndim <= 2:  # one matrix met every row: the sum over the batch is part of the product
        rows = math.prod(grad.shape[:-1])
        flat = matrices.reshape(rows, matrices.shape[-1])
        product = flat.transpose(0, 1) @ grad.reshape(rows, grad.shape[-1])  # (K, rows) @ (rows, N) -> (K, N)
    else:
        product = matrices.transpose(-1, -2) @ grad  # (…, K, M) @ (…, M, N) -> (…, K, N)
    return unbroadcast(product.squeeze(-1) if right.ndim == 1 else product, right)


def _batch_shape(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, ...]:
    """The broadcast leading dimensions of x @ y, or `ShapeError`."""
    if len(x) == 0 or len(y) == 0:
        raise ShapeError(f"matmul: got shapes {x} and {y}; a scalar has no matrix product, use *")
    inner = y[-2] if len(y) > 1 else y[-1]
    if x[-1] != inner:
        raise ShapeError(
            f"matmul: shapes {x} and {y} do not fit: the last dimension of the first is {x[-1]}, "
            f"the {'second to last' if len(y) > 1 else 'only'} dimension of the second {inner}"
        )
    try:
        return np.broadcast_shapes(x[:-2], y[:-2])
    except ValueError as error:
        raise ShapeError(f"matmul: leading dimensions {x[:-2]} and {y[:-2]} do not broadcast") from error


def _product(a: Array, b: Array, batch: tuple[int, ...]) -> Array:
    """a @ b, whose leading dimensions broadcast to `batch`."""
    left = a[None] if a.ndim == 1 else a  # (K,) -> (1, K)
    right = b[:, None] if b.ndim == 1 else b  # (K,) -> (K, 1)
    rows, columns = left.shape[-2], right.shape[-1]
    out = np.empty((*batch, rows, columns), a.dtype)
    if right.ndim == 2:
        kernels.matmul(rows_of(left), right, rows_of(out))
    else:
        count = math.prod(batch)
        kernels.batched_matmul(_stack(left, batch), _stack(right, batch), out.reshape(count, rows, columns))
    if a.ndim == 1:
        out = out[..., 0, :]
    return out[..., 0] if b.ndim == 1 else out


def _stack(array: Array, batch: tuple[int, ...]) -> Array:
    """(…, M, K) as (B, M, K), B the size of the whole batch, or 1 if there is but one matrix."""
    matrix = array.shape[-2:]
    if math.prod(array.shape[:-2]) == 1:
        return array.reshape(1, *matrix)
    return reshaped(np.broadcast_to(array, (*batch, *matrix)), (math.prod(batch), *matrix))


def _of_dims(name: str, x: Tensor, x_dims: int, y: Tensor, y_dims: int) -> Tensor:
    """x @ y for operands of exactly these numbers of dimensions."""
    check_tensor(name, "first argument", x)
    check_tensor(name, "second argument", y)
    if x.ndim != x_dims or y.ndim != y_dims:
        raise ShapeError(f"{name}: got shapes {x.shape} and {y.shape}, expected {x_dims}-d and {y_dims}-d; @ takes any")
    return matmul(x, y)


def mm(input: Tensor, mat2: Tensor) -> Tensor:
    """Product of two matrices, (M, K) @ (K, N) -> (M, N). Raises `ShapeError` for other shapes."""
    return _of_dims("mm", input, 2, mat2, 2)


def bmm(input: Tensor, mat2: Tensor) -> Tensor:
    """Products of stacked matrices, (B, M, K) @ (B, K, N) -> (B, M, N). Raises `ShapeError` if the Bs differ."""
    if input.shape[:1] != mat2.shape[:1]:
        raise ShapeError(f"bmm: batches of {input.shape} and {mat2.shape} differ; x @ y broadcasts")
    return _of_dims("bmm", input, 3, mat2, 3)


def mv(input: Tensor, vec: Tensor) -> Tensor:
    """Matrix times vector, (M, K) @ (K,) -> (M,). Raises `ShapeError` for other shapes."""
    return _of_dims("mv", input, 2, vec, 1)


def dot(input: Tensor, tensor: Tensor) -> Tensor:
    """Inner product of two vectors, (K,) and (K,) -> (). Raises `ShapeError` for other shapes."""
    return _of_dims("dot", input, 1, tensor, 1)


def outer(input: Tensor, vec2: Tensor) -> Tensor:
    """All products of two vectors' elements, (M,) and (N,) -> (M, N). Raises `ShapeError` for other shapes."""
    check_tensor("outer", "first argument", input)
    check_tensor("outer", "second argument", vec2)
    if input.ndim != 1 or vec2.ndim != 1:
        raise ShapeError(f"outer: got shapes {input.shape} and {vec2.shape}, expected two vectors")
    return input.unsqueeze(1) * vec2.unsqueeze(0)


@op
def linear(
    input: Tensor, weight: Tensor, bias: Tensor | None = None, activation: str | None = None
) -> tuple[Array, Backward]:
    """activation(input @ weightᵀ + bias) in one kernel.

    Parameters
    ----------
    input:
        (…, in).
    weight:
        (out, in). Fastest where memory holds it as (in, out), as `nn.Linear` stores it; the gradient comes in the
        memory order of the weight.
    bias:
        (out,), or None.
    activation:
        None, "relu", "tanh" or "sigmoid".

    Returns
    -------
    Tensor
        (…, out).

    Raises
    ------
    ShapeError
        The shapes do not fit.
    DtypeError
        Integers, or float32 with float64.
    ArgumentError
        Unknown activation.
    """
    if not _fits(input, weight, bias) or activation not in ACTIVATIONS:
        _raise_unfit(input, weight, bias, activation)
    x, weight_array = input.array, weight.array

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        if grad_enabled.get():
            before = grad if activation is None else SLOPES[activation](grad, out)
            return _recorded_gradients(before, input, weight, bias)
        return _fused_gradients(grad.array, out.array, activation, input, weight, bias)

    array = empty((*x.shape[:-1], weight_array.shape[0]), x.dtype)
    bias_array = None if bias is None else bias.array
    # (rows, in) @ (in, out) -> (rows, out)
    kernels.matmul(rows_of(x), weight_array.T, rows_of(array), bias_array, ACTIVATIONS[activation])
    return array, backward


def _fits(x: Tensor, weight: Tensor, bias: Tensor | None) -> bool:
    """Whether these are Tensors of one floating-point dtype and of shapes that go together."""
    if not (isinstance(x, Tensor) and isinstance(weight, Tensor)):  # pyright: ignore[reportUnnecessaryIsInstance]
        return False
    a, b = x.array, weight.array
    if b.ndim != 2 or a.ndim == 0 or a.shape[-1] != b.shape[1] or a.dtype != b.dtype or a.dtype.kind != "f":
        return False
    if bias is None:
        return True
    return isinstance(bias, Tensor) and bias.array.shape == b.shape[:1] and bias.array.dtype == a.dtype  # pyright: ignore[reportUnnecessaryIsInstance]


def _raise_unfit(x: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None) -> None:
    """Say what is wrong with the arguments of `linear`."""
    check_floats("linear", input=x, weight=weight, bias=bias)
    check_choice("linear", "activation", activation, tuple(ACTIVATIONS))
    if weight.ndim != 2:
        raise ShapeError(f"linear: weight has shape {weight.shape}, expected (out, in)")
    out_features, in_features = weight.shape
    if x.ndim == 0 or x.shape[-1] != in_features:
        raise ShapeError(
            f"linear: input has shape {x.shape}, expected (…, {in_features}), since weight has shape (out, in) = "
            f"{weight.shape}"
        )
    if bias is not None and bias.shape != (out_features,):
        raise ShapeError(
            f"linear: bias has shape {bias.shape}, expected ({out_features},), since weight has shape (out, in) = "
            f"{weight.shape}"
        )


# Gradient in front of the fused activation, from the one behind it and the output: as ops, and their kernels.
SLOPES = {"relu": relu_backward, "tanh": tanh_backward, "sigmoid": sigmoid_backward}
_SLOPE_KERNELS = {
    "relu": elementwise.relu_backward,
    "tanh": elementwise.tanh_backward,
    "sigmoid": elementwise.sigmoid_backward,
}


def _recorded_gradients(
    grad: Tensor, x: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients made of ops, so that they can be differentiated."""
    grad_x = grad_weight = grad_bias = None
    rows = math.prod(x.shape[:-1])
    flat = grad.reshape(rows, weight.shape[0])
    if needs_grad(x):
        grad_x = grad @ weight  # (…, out) @ (out, in) -> (…, in)
    if needs_grad(weight):
        grad_weight = flat.transpose(0, 1) @ x.reshape(rows, weight.shape[1])  # (out, rows) @ (rows, in) -> (out, in)
    if needs_grad(bias):
        grad_bias = flat.sum(0)
    return grad_x, grad_weight, grad_bias


def _fused_gradients(
    grad: Array, out: Array, activation: str | None, input: Tensor, weight: Tensor, bias: Tensor | None
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Gradients straight from the kernels: the gradients of weight and bias in one pass over grad."""
    if activation is not None:
        slope = empty_like(out)
        launch(_SLOPE_KERNELS[activation], grad, out, slope)
        grad = slope
    grad_x = grad_weight = grad_bias = None
    x, flat = input.array, rows_of(grad)
    if input.wants_grad:
        input_array = empty(x.shape, x.dtype)
        kernels.matmul(flat, weight.array, rows_of(input_array))  # (rows, out) @ (out, in) -> (rows, in)
        grad_x = wrap(input_array)
    bias_array = gradient_array(bias) if bias is not None and bias.wants_grad else None
    if weight.wants_grad:
        weight_array = gradient_array(weight)
        # (in, rows) @ (rows, out) -> (in, out)
        kernels.weight_and_bias_gradient(rows_of(x), flat, weight_array.T, bias_array)
        grad_weight = wrap(weight_array)
        grad_bias = None if bias_array is None else wrap(bias_array)
    elif bias_array is not None:
        grad_bias = wrap(flat).sum(0)
    return grad_x, grad_weight, grad_bias


METHODS: dict[str, Callable[..., Any]] = {
    "matmul": matmul,
    "mm": mm,
    "bmm": bmm,
    "mv": mv,
    "dot": dot,
    "outer": outer,
    "__matmul__": matmul,
    "__rmatmul__": swapped(matmul),
}
