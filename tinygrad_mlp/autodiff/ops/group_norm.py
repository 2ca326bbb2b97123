"""Group norm: each image normalised over groups of its channels."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.channels import images_of, pixels_of
from tinygrad_mlp.autodiff.ops.checks import check_floats
from tinygrad_mlp.autodiff.ops.norm import affine, channel_layout, normalized_gradient
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels import group_norm as kernels
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.memory import empty

__all__ = ["group_norm"]


@op
def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> tuple[Array, Backward]:
    """(input - mean) / sqrt(variance + eps) * weight + bias, over groups of channels of each image (Wu & He 2018).

    Parameters
    ----------
    input:
        (N, C) or (N, C, d1, …).
    num_groups:
        How many groups of C / num_groups channels each there are.
    weight, bias:
        (C,), or None for 1 and 0.
    eps:
        Added to the variance.

    Raises
    ------
    ShapeError
        Shapes do not fit, num_groups does not divide C, or there is but one value in all.
    DtypeError
        Integers, or float32 with float64.
    ArgumentError
        num_groups below 1, or eps is negative.
    """
    check_floats("group_norm", input=input, weight=weight, bias=bias)
    _check_group_norm(input, num_groups, weight, bias, eps)
    pixels = pixels_of(input.array)
    images, channels = pixels.shape[0], pixels.shape[-1]
    rows = pixels.reshape(images, math.prod(pixels.shape[1:-1]), channels)  # (N, P, C)
    scale, shift = affine(channels, input.dtype, weight, bias)
    out = empty(rows.shape, rows.dtype)
    mean, inv_std = np.empty((images, num_groups), rows.dtype), np.empty((images, num_groups), rows.dtype)
    launch(kernels.group_norm_forward, rows, scale, shift, float(eps), out, mean, inv_std, work=rows.size)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        if grad_enabled.get():
            grad_x, grad_weight, grad_bias = _recorded_gradients(grad, input, num_groups, weight, float(eps))
            return grad_x, None, grad_weight, grad_bias
        results = empty(rows.shape, rows.dtype), np.empty_like(scale), np.empty_like(scale)
        arriving = pixels_of(grad.array).reshape(rows.shape)
        launch(kernels.group_norm_backward, arriving, rows, scale, mean, inv_std, *results, work=rows.size)
        return wrap(images_of(results[0].reshape(pixels.shape))), None, wrap(results[1]), wrap(results[2])

    return images_of(out.reshape(pixels.shape)), backward


def _check_group_norm(input: Tensor, num_groups: int, weight: Tensor | None, bias: Tensor | None, eps: float) -> None:
    if isinstance(num_groups, bool) or not isinstance(num_groups, int) or num_groups < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise ArgumentError(f"group_norm: num_groups must be a whole number from 1, got {num_groups!r}")
    if input.ndim < 2:
        raise ShapeError(f"group_norm: input has shape {input.shape}, expected (N, C) or (N, C, d1, …)")
    channels = input.shape[1]
    if channels % num_groups:
        raise ShapeError(
            f"group_norm: the {channels} channels of input of shape {input.shape} do not make {num_groups} equal groups"
        )
    for argument, tensor in (("weight", weight), ("bias", bias)):
        if tensor is not None and tensor.shape != (channels,):
            raise ShapeError(
                f"group_norm: {argument} has shape {tensor.shape}, expected ({channels},), since input of shape "
                f"{input.shape} has {channels} channels"
            )
    if input.numel() == num_groups:
        raise ShapeError(
            f"group_norm: one value per group has no variance: input of shape {input.shape}, {num_groups} groups"
        )
    if eps < 0:
        raise ArgumentError(f"group_norm: eps must not be negative, got {eps}")


def _recorded_gradients(
    grad: Tensor, input: Tensor, groups: int, weight: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The formula of `kernels.group_norm_backward` made of ops."""
    dims, broadcast = channel_layout(input)
    if not input.numel():
        return grad, (grad * input).sum(dims), grad.sum(dims)
    grouped = (input.shape[0], groups, input.numel() // (input.shape[0] * groups))
    centered = input.reshape(grouped) - input.reshape(grouped).mean(2, keepdim=True)
    inv_std = (centered.square().mean(2, keepdim=True) + eps).rsqrt()
    z = centered * inv_std
    h = grad if weight is None else grad * weight.reshape(broadcast)
    grad_x = normalized_gradient(h.reshape(grouped), z, [2]) * inv_std
    return grad_x.reshape(input.shape), (grad * z.reshape(input.shape)).sum(dims), grad.sum(dims)
