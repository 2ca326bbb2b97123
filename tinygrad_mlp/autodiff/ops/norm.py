"""Normalisation: over the batch for each channel, over the features of each sample, and to unit length.

The kernels see (rows, C). An (N, C, H, W) image batch that lies N, H, W, C in memory is that without a copy, and the
result lies so too. The derivatives are fused kernels; under `create_graph` the same formula is made of ops.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.activation import relu_backward
from tinygrad_mlp.autodiff.ops.channels import channel_rows, channels_second
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats, reshaped
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, about_to_change, wrap
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels import elementwise
from tinygrad_mlp.kernels import norm as kernels
from tinygrad_mlp.kernels.launch import Array, Kernel, apply_ufunc, launch
from tinygrad_mlp.kernels.memory import empty

__all__ = [
    "affine",
    "batch_norm",
    "batch_norm_inference",
    "batch_norm_training",
    "batch_statistics",
    "channel_layout",
    "check_batch_norm",
    "cosine_similarity",
    "layer_norm",
    "normalize",
    "normalized_gradient",
    "recorded_training_gradients",
]


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    activation: str | None = None,
) -> Tensor:
    """(input - mean) / sqrt(variance + eps) * weight + bias for each channel (Ioffe & Szegedy 2015).

    Parameters
    ----------
    input:
        (N, C) or (N, C, d1, …).
    running_mean, running_var:
        (C,). In training they move, in place, towards the mean and the unbiased variance of the batch; else they are
        what is used.
    weight, bias:
        (C,), or None for 1 and 0.
    training:
        Use the mean and the biased variance of the batch (also done if there are no running statistics).
    momentum:
        The part of a running statistic that one batch replaces.
    eps:
        Added to the variance.
    activation:
        None or "relu", fused: the same bits as `relu` of the result, in fewer passes over memory.

    Raises
    ------
    ShapeError
        Shapes do not fit, or training with fewer than two values per channel, which have no variance.
    DtypeError
        Integers, or float32 with float64.
    ArgumentError
        Only one of the running statistics is given, eps is negative, or an unknown activation.
    """
    check_batch_norm(input, running_mean, running_var, weight, bias, eps)
    check_choice("batch_norm", "activation", activation, (None, "relu"))
    if running_mean is None or running_var is None:
        return batch_norm_training(input, weight, bias, float(eps), None, 0.0, activation)
    if training:
        running = (running_mean, running_var)
        return batch_norm_training(input, weight, bias, float(eps), running, float(momentum), activation)
    return batch_norm_inference(input, running_mean, running_var, weight, bias, float(eps), activation)


def check_batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
) -> None:
    """Raise what `batch_norm` raises for tensors that do not go together."""
    parameters = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias}
    check_floats("batch_norm", input=input, **parameters)
    if input.ndim < 2:
        raise ShapeError(f"batch_norm: input has shape {input.shape}, expected (N, C) or (N, C, d1, …)")
    channels = input.shape[1]
    for argument, tensor in parameters.items():
        if tensor is not None and tensor.shape != (channels,):
            raise ShapeError(
                f"batch_norm: {argument} has shape {tensor.shape}, expected ({channels},), since input of shape "
                f"{input.shape} has {channels} channels"
            )
    if (running_mean is None) != (running_var is None):
        raise ArgumentError("batch_norm: give both running_mean and running_var, or neither")
    if eps < 0:
        raise ArgumentError(f"batch_norm: eps must not be negative, got {eps}")


@op
def batch_norm_training(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    running: tuple[Tensor, Tensor] | None,
    momentum: float,
    activation: str | None = None,
) -> tuple[Array, Backward]:
    """Batch norm with the statistics of the batch.

    The running statistics, which it moves, come as a pair: they are no input of the derivative, so that a second
    forward pass before `backward` may move them again.
    """
    rows = channel_rows(input.array)  # (rows, C)
    scale, shift = affine(rows.shape[1], input.dtype, weight, bias)
    mean, inv_std = batch_statistics(input, rows, eps, running, momentum)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        if grad_enabled.get():
            before = grad if activation is None else relu_backward(grad, out)
            return recorded_training_gradients(before, input, weight, eps)
        kernel = kernels.batch_norm_backward if activation is None else kernels.batch_norm_relu_backward
        return _fused_channel_gradients(kernel, grad, input, rows, scale, shift, mean, inv_std)

    return _normalized(input, rows, scale, shift, mean, inv_std, activation), backward


@op
def batch_norm_inference(
    input: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    activation: str | None = None,
) -> tuple[Array, Backward]:
    """Batch norm with constant statistics."""
    rows = channel_rows(input.array)  # (rows, C)
    channels = rows.shape[1]
    scale, shift = affine(channels, input.dtype, weight, bias)
    mean, inv_std = running_mean.array, np.empty(channels, input.dtype)
    launch(elementwise.rsqrt, apply_ufunc(np.add, running_var.array, eps), inv_std)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        if grad_enabled.get():
            before = grad if activation is None else relu_backward(grad, out)
            grad_x, grad_weight, grad_bias = _recorded_inference_gradients(before, input, weight, mean, inv_std)
        else:
            kernel = kernels.batch_norm_backward_eval if activation is None else kernels.batch_norm_relu_backward_eval
            grad_x, grad_weight, grad_bias = _fused_channel_gradients(
                kernel, grad, input, rows, scale, shift, mean, inv_std
            )
        return grad_x, None, None, grad_weight, grad_bias

    return _normalized(input, rows, scale, shift, mean, inv_std, activation), backward


def batch_statistics(
    input: Tensor, rows: Array, eps: float, running: tuple[Tensor, Tensor] | None, momentum: float
) -> tuple[Array, Array]:
    """Mean and 1 / sqrt(variance + eps) of each channel; moves the running statistics."""
    count, channels = rows.shape
    if count < 2:
        raise ShapeError(
            f"batch_norm: training needs at least two values per channel, got {count} from input of shape "
            f"{input.shape}; use a larger batch (drop_last=True drops a last one of 1), or eval mode"
        )
    mean, variance, inv_std = (np.empty(channels, rows.dtype) for _ in range(3))
    launch(kernels.batch_norm_statistics, rows, eps, mean, variance, inv_std, work=rows.size)
    if running is not None:
        running_mean, running_var = running
        about_to_change(running_mean, running_var)
        launch(kernels.update_running, running_mean.array, running_var.array, mean, variance, momentum, count)
        running_mean.counter[0] += 1
        running_var.counter[0] += 1
    return mean, inv_std


def _normalized(
    input: Tensor, rows: Array, scale: Array, shift: Array, mean: Array, inv_std: Array, activation: str | None
) -> Array:
    """The result, of the input's shape."""
    out = empty(rows.shape, rows.dtype)
    kernel = kernels.batch_norm_forward if activation is None else kernels.batch_norm_relu_forward
    launch(kernel, rows, scale, shift, mean, inv_std, out, work=rows.size)
    return channels_second(out, input.shape)


def _fused_channel_gradients(
    kernel: Kernel,
    grad: Tensor,
    input: Tensor,
    rows: Array,
    scale: Array,
    shift: Array,
    mean: Array,
    inv_std: Array,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of input, weight (C,) and bias (C,) straight from a kernel."""
    results = empty(rows.shape, rows.dtype), np.empty_like(scale), np.empty_like(scale)
    constants = (scale, mean, inv_std) if kernel in _WITHOUT_BIAS else (scale, shift, mean, inv_std)
    launch(kernel, channel_rows(grad.array), rows, *constants, *results, work=rows.size)
    return wrap(channels_second(results[0], input.shape)), wrap(results[1]), wrap(results[2])


_WITHOUT_BIAS = (kernels.batch_norm_backward, kernels.batch_norm_backward_eval)


def affine(size: int, dtype: np.dtype[Any], weight: Tensor | None, bias: Tensor | None) -> tuple[Array, Array]:
    """Flat arrays of weight and bias, 1 and 0 where they are None."""
    scale = _constant(1.0, size, dtype) if weight is None else reshaped(weight.array, (size,))
    shift = _constant(0.0, size, dtype) if bias is None else reshaped(bias.array, (size,))
    return scale, shift


@lru_cache(maxsize=64)
def _constant(value: float, size: int, dtype: np.dtype[Any]) -> Array:
    """Shared, never written."""
    return np.full(size, value, dtype)


def _fused_gradients(
    kernel: Kernel, grad: Array, rows: Array, scale: Array, mean: Array, inv_std: Array
) -> tuple[Array, Array, Array]:
    """Gradients of rows (rows, C), weight (C,) and bias (C,)."""
    grad_x, grad_weight, grad_bias = empty(rows.shape, rows.dtype), np.empty_like(scale), np.empty_like(scale)
    launch(kernel, grad, rows, scale, mean, inv_std, grad_x, grad_weight, grad_bias)
    return grad_x, grad_weight, grad_bias


def recorded_training_gradients(
    grad: Tensor, input: Tensor, weight: Tensor | None, eps: float
) -> tuple[Tensor | None, ...]:
    """The formula of `kernels.batch_norm_backward` made of ops."""
    dims, shape = channel_layout(input)
    centered = input - input.mean(dims, keepdim=True)
    inv_std = (centered.square().mean(dims, keepdim=True) + eps).rsqrt()
    z = centered * inv_std
    scale = inv_std if weight is None else inv_std * weight.reshape(shape)
    grad_x = normalized_gradient(grad, z, dims) * scale
    return grad_x, (grad * z).sum(dims), grad.sum(dims)


def normalized_gradient(h: Tensor, z: Tensor, dims: list[int]) -> Tensor:
    """Derivative by x of z(x), x normalised over `dims`, times its standard deviation: h - mean h - z mean(h z)."""
    return h - h.mean(dims, keepdim=True) - z * (h * z).mean(dims, keepdim=True)


def _recorded_inference_gradients(
    grad: Tensor, input: Tensor, weight: Tensor | None, mean: Array, inv_std: Array
) -> tuple[Tensor, Tensor, Tensor]:
    """The formula of `kernels.batch_norm_backward_eval` made of ops."""
    dims, shape = channel_layout(input)
    factor = wrap(inv_std.reshape(shape))
    z = (input - wrap(mean).reshape(shape)) * factor
    grad_x = grad * (factor if weight is None else factor * weight.reshape(shape))
    return grad_x, (grad * z).sum(dims), grad.sum(dims)


def channel_layout(input: Tensor) -> tuple[list[int], tuple[int, ...]]:
    """The dimensions to reduce, and the shape in which (C,) broadcasts: [0, 2, …] and (1, C, 1, …)."""
    return [0, *range(2, input.ndim)], (1, input.shape[1], *[1] * (input.ndim - 2))


@op
def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> tuple[Array, Backward]:
    """(input - mean) / sqrt(variance + eps) * weight + bias, over the last dimensions of each sample (Ba et al. 2016).

    Parameters
    ----------
    input:
        (…, *normalized_shape).
    normalized_shape:
        The dimensions to normalise over.
    weight, bias:
        Of that shape, or None for 1 and 0.
    eps:
        Added to the variance.

    Raises
    ------
    ShapeError
        Shapes do not fit.
    DtypeError
        Integers, or float32 with float64.
    ArgumentError
        eps is negative.
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    check_floats("layer_norm", input=input, weight=weight, bias=bias)
    _check_layer_norm(input, shape, weight, bias, eps)
    size = math.prod(shape)
    rows = reshaped(input.array, (input.numel() // max(size, 1), size))
    scale, shift = affine(size, input.dtype, weight, bias)
    out = empty(rows.shape, rows.dtype)
    mean, inv_std = np.empty(len(rows), rows.dtype), np.empty(len(rows), rows.dtype)
    launch(kernels.layer_norm_forward, rows, scale, shift, float(eps), out, mean, inv_std)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        if grad_enabled.get():
            grad_x, grad_weight, grad_bias = _recorded_layer_gradients(grad, input, len(shape), weight, float(eps))
        else:
            flat = reshaped(grad.array, rows.shape)
            grads = _fused_gradients(kernels.layer_norm_backward, flat, rows, scale, mean, inv_std)
            grad_x, grad_weight, grad_bias = wrap(grads[0].reshape(input.shape)), wrap(grads[1]), wrap(grads[2])
        return grad_x, None, grad_weight.reshape(shape), grad_bias.reshape(shape)

    return out.reshape(input.shape), backward


def _check_layer_norm(
    input: Tensor, shape: tuple[int, ...], weight: Tensor | None, bias: Tensor | None, eps: float
) -> None:
    if not shape or input.shape[-len(shape) :] != shape:
        raise ShapeError(f"layer_norm: input has shape {input.shape}, expected (…, *normalized_shape) with {shape}")
    for argument, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.shape != shape:
            raise ShapeError(f"layer_norm: {argument} has shape {tensor.shape}, expected normalized_shape {shape}")
    if eps < 0:
        raise ArgumentError(f"layer_norm: eps must not be negative, got {eps}")


def _recorded_layer_gradients(
    grad: Tensor, input: Tensor, count: int, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The formula of `kernels.layer_norm_backward` made of ops, over the last `count` dimensions."""
    dims = list(range(input.ndim - count, input.ndim))
    centered = input - input.mean(dims, keepdim=True)
    inv_std = (centered.square().mean(dims, keepdim=True) + eps).rsqrt()
    z = centered * inv_std
    h = grad if weight is None else grad * weight
    grad_x = normalized_gradient(h, z, dims) * inv_std
    others = list(range(input.ndim - count))
    if not others:
        return grad_x, grad * z, grad
    return grad_x, (grad * z).sum(others), grad.sum(others)


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """Input divided by its p-norm along `dim`, or by eps where the norm is smaller.

    Raises `ShapeError` for a dim out of range and `DtypeError` for integers.

    >>> F.normalize(tg.tensor([[3.0, 4.0]]))
    tensor([[0.6000, 0.8000]])
    """
    check_floats("normalize", input=input)
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def cosine_similarity(x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Tensor:
    """Cosine of the angle between x1 and x2, which broadcast, along `dim`; norms below eps count as eps.

    Raises `ShapeError` for shapes that do not broadcast or a dim out of range, `DtypeError` for integers.

    >>> F.cosine_similarity(tg.tensor([[3.0, 4.0]]), tg.tensor([[4.0, 3.0]]))
    tensor([0.9600])
    """
    check_floats("cosine_similarity", x1=x1, x2=x2)
    lengths = x1.norm(2, dim, keepdim=True).clamp(min=eps) * x2.norm(2, dim, keepdim=True).clamp(min=eps)
    return (x1 * x2 / lengths).sum(dim)
