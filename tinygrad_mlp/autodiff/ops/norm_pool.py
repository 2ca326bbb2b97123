"""Batch norm, ReLU and max pooling by half as one op: what a convolution is often followed by."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.activation import relu_backward
from tinygrad_mlp.autodiff.ops.channels import images_of, pixels_of
from tinygrad_mlp.autodiff.ops.norm import affine, batch_statistics, check_batch_norm, recorded_training_gradients
from tinygrad_mlp.autodiff.ops.pool import HALVING, Maxima, spread_maxima
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ShapeError
from tinygrad_mlp.kernels import norm_pool as kernels
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.memory import empty

__all__ = ["batch_norm_pool", "normalized_maxima"]


def batch_norm_pool(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """max_pool2d(relu(batch_norm(input)), 2) with the statistics of the batch: the same bits, and half of the memory.

    (N, C, H, W) -> (N, C, H // 2, W // 2). Arguments and errors are those of `batch_norm`; `ShapeError` also for other
    shapes and images of one row or column.
    """
    check_batch_norm(input, running_mean, running_var, weight, bias, eps)
    if input.ndim != 4 or min(input.shape[2:]) < 2:
        raise ShapeError(f"batch_norm_pool: input has shape {input.shape}, expected (N, C, H, W), H and W at least 2")
    running = None if running_mean is None or running_var is None else (running_mean, running_var)
    return normalized_maxima(input, weight, bias, float(eps), running, float(momentum))


@op
def normalized_maxima(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    eps: float,
    running: tuple[Tensor, Tensor] | None,
    momentum: float,
) -> tuple[Array, Backward]:
    """Maxima of windows of 2 x 2 of relu of what batch norm gives; moves the running statistics."""
    pixels = pixels_of(input.array)  # (N, H, W, C)
    images, height, width, channels = pixels.shape
    scale, shift = affine(channels, input.dtype, weight, bias)
    rows = pixels.reshape(images * height * width, channels)
    mean, inv_std = batch_statistics(input, rows, eps, running, momentum)
    out = empty((images, height // 2, width // 2, channels), pixels.dtype)
    taps = empty(out.shape, np.uint8)
    launch(kernels.norm_relu_pool_forward, pixels, scale, shift, mean, inv_std, out, taps, work=pixels.size)

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        if grad_enabled.get():
            places = np.empty_like(taps)
            launch(np.bitwise_and, taps, 3, places)  # of a maximum that relu has cut any, since its gradient is 0
            before = spread_maxima(relu_backward(grad, out), Maxima(HALVING, HALVING, places), input.shape)
            return recorded_training_gradients(before, input, weight, eps)
        results = empty(pixels.shape, pixels.dtype), np.empty_like(scale), np.empty_like(scale)
        arriving = pixels_of(grad.array)
        launch(
            kernels.norm_relu_pool_backward, arriving, taps, pixels, scale, mean, inv_std, *results, work=pixels.size
        )
        return wrap(images_of(results[0])), wrap(results[1]), wrap(results[2])

    return images_of(out), backward
