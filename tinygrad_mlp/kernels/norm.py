"""Batch normalisation over the columns and layer normalisation over the rows of 2-d arrays.

Batch norm takes (rows, C): samples of an MLP, or all pixels of all images, which lie N, H, W, C in memory. All arrays
are C-contiguous and of one dtype, float32 or float64. Variances are biased (divided by the count), from the squares of
differences to the mean; sums are pairwise (see `sums`). inv_std is 1 / sqrt(variance + eps).
"""

import math

import numpy as np

from tinygrad_mlp.kernels.launch import Array, device, kernel
from tinygrad_mlp.kernels.sums import (
    block_rows,
    carry,
    column_blocks,
    column_stack,
    column_totals,
    pairwise_dot,
    pairwise_sum,
    start,
)

__all__ = [
    "batch_norm_backward",
    "batch_norm_backward_eval",
    "batch_norm_forward",
    "batch_norm_statistics",
    "layer_norm_backward",
    "layer_norm_forward",
    "update_running",
]


@device
def _column_means(x: Array, out: Array) -> None:
    """Mean of each column: (rows, C) -> (C,)."""
    stack = column_stack(x, x.shape[1])
    for block in range(column_blocks(x)):
        rows, sums = block_rows(x, block), start(stack)
        for i in range(rows.shape[0]):
            row = rows[i]
            for c in range(sums.size):
                sums[c] += row[c]
        carry(stack, block)
    totals, count = column_totals(stack, column_blocks(x)), x.dtype.type(x.shape[0])
    for c in range(out.size):
        out[c] = totals[c] / count


@device
def _column_variances(x: Array, mean: Array, out: Array) -> None:
    """Mean of (x - mean)**2 in each column: (rows, C), (C,) -> (C,)."""
    stack = column_stack(x, x.shape[1])
    for block in range(column_blocks(x)):
        rows, sums = block_rows(x, block), start(stack)
        for i in range(rows.shape[0]):
            row = rows[i]
            for c in range(sums.size):
                sums[c] += (row[c] - mean[c]) * (row[c] - mean[c])
        carry(stack, block)
    totals, count = column_totals(stack, column_blocks(x)), x.dtype.type(x.shape[0])
    for c in range(out.size):
        out[c] = totals[c] / count


@kernel(writes=("mean", "variance", "inv_std"))
def batch_norm_statistics(x: Array, eps: float, mean: Array, variance: Array, inv_std: Array) -> None:
    """Mean, biased variance and inv_std of each column: x (rows, C) -> three times (C,); NaN where there is no row."""
    _column_means(x, mean)
    _column_variances(x, mean, variance)
    one, floor = x.dtype.type(1), x.dtype.type(eps)
    for c in range(mean.size):
        inv_std[c] = one / math.sqrt(variance[c] + floor)


@kernel(writes=("running_mean", "running_var"))
def update_running(
    running_mean: Array, running_var: Array, mean: Array, var: Array, momentum: float, count: int
) -> None:
    """Move the running statistics by `momentum` towards a batch's: all (C,), in place.

    `var` is the batch's biased variance over `count` rows; the running one is unbiased (divided by count - 1), as in
    PyTorch. One row has no unbiased variance: the result is then infinite or NaN, so a layer asks for two.
    """
    kind = mean.dtype.type
    new, old = kind(momentum), kind(1 - momentum)
    unbiased = kind(count) / kind(count - 1)
    for c in range(mean.size):
        running_mean[c] = old * running_mean[c] + new * mean[c]
        running_var[c] = old * running_var[c] + new * (unbiased * var[c])


@kernel(writes=("out",))
def batch_norm_forward(x: Array, weight: Array, bias: Array, mean: Array, inv_std: Array, out: Array) -> None:
    """(x - mean) * inv_std * weight + bias: x (rows, C), the others (C,) -> out (rows, C)."""
    for i in range(x.shape[0]):
        row, target = x[i], out[i]
        for c in range(weight.size):
            target[c] = (row[c] - mean[c]) * (inv_std[c] * weight[c]) + bias[c]


@device
def _parameter_gradients(
    grad: Array, x: Array, mean: Array, inv_std: Array, grad_weight: Array, grad_bias: Array
) -> None:
    """Column sums of grad * normalised x and of grad: (rows, C), (rows, C), (C,), (C,) -> (C,), (C,)."""
    channels = grad_weight.size
    stack = column_stack(x, 2 * channels)
    for block in range(column_blocks(x)):
        g_rows, x_rows = block_rows(grad, block), block_rows(x, block)
        sums = start(stack)
        for i in range(x_rows.shape[0]):
            g, row = g_rows[i], x_rows[i]
            for c in range(channels):
                sums[c] += g[c] * ((row[c] - mean[c]) * inv_std[c])
                sums[channels + c] += g[c]
        carry(stack, block)
    totals = column_totals(stack, column_blocks(x))
    for c in range(channels):
        grad_weight[c], grad_bias[c] = totals[c], totals[channels + c]


@kernel(writes=("grad_x", "grad_weight", "grad_bias"))
def batch_norm_backward(
    grad: Array,
    x: Array,
    weight: Array,
    mean: Array,
    inv_std: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Derivatives of batch norm whose mean and variance are those of x itself (training).

    grad_x = weight inv_std (grad - mean of grad - z * mean of (grad z)), z = (x - mean) inv_std, means over the rows
    (Ioffe & Szegedy 2015). grad, x (rows, C), the others (C,) -> grad_x (rows, C), grad_weight (C,), grad_bias (C,).
    """
    _parameter_gradients(grad, x, mean, inv_std, grad_weight, grad_bias)
    share = x.dtype.type(1 / max(x.shape[0], 1))
    for i in range(x.shape[0]):
        g, row, target = grad[i], x[i], grad_x[i]
        for c in range(weight.size):
            z = (row[c] - mean[c]) * inv_std[c]
            target[c] = weight[c] * inv_std[c] * (g[c] - share * grad_bias[c] - z * (share * grad_weight[c]))


@kernel(writes=("grad_x", "grad_weight", "grad_bias"))
def batch_norm_backward_eval(
    grad: Array,
    x: Array,
    weight: Array,
    mean: Array,
    inv_std: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Derivatives of batch norm with constant (running) statistics: grad_x = grad * weight * inv_std.

    grad, x (rows, C), the others (C,) -> grad_x (rows, C), grad_weight (C,), grad_bias (C,).
    """
    _parameter_gradients(grad, x, mean, inv_std, grad_weight, grad_bias)
    for i in range(x.shape[0]):
        g, target = grad[i], grad_x[i]
        for c in range(weight.size):
            target[c] = g[c] * (weight[c] * inv_std[c])


@kernel(writes=("out", "mean", "inv_std"))
def layer_norm_forward(
    x: Array, weight: Array, bias: Array, eps: float, out: Array, mean: Array, inv_std: Array
) -> None:
    """(x - mean) * inv_std * weight + bias, mean and variance of each row (Ba et al. 2016).

    x (rows, D), weight (D,), bias (D,) -> out (rows, D), mean (rows,), inv_std (rows,).
    """
    rows, features = x.shape
    count, one, floor = x.dtype.type(features), x.dtype.type(1), x.dtype.type(eps)
    for i in range(rows):
        row, target = x[i], out[i]
        center = pairwise_sum(row) / count
        for j in range(features):
            target[j] = row[j] - center
        scale = one / math.sqrt(pairwise_dot(target, target) / count + floor)
        for j in range(features):
            target[j] = target[j] * scale * weight[j] + bias[j]
        mean[i] = center
        inv_std[i] = scale


@kernel(writes=("grad_x", "grad_weight", "grad_bias"))
def layer_norm_backward(
    grad: Array,
    x: Array,
    weight: Array,
    mean: Array,
    inv_std: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Derivatives of layer norm.

    grad_x = inv_std (h - mean of h - z * mean of (h z)), h = grad * weight, z = (x - mean) inv_std, means over the row.
    grad, x (rows, D), weight (D,), mean, inv_std (rows,) -> grad_x (rows, D), grad_weight (D,), grad_bias (D,).
    """
    features = weight.size
    count = x.dtype.type(features)
    z = np.empty(features, x.dtype)
    stack = column_stack(x, 2 * features)
    for block in range(column_blocks(x)):
        g_rows, x_rows, h_rows = block_rows(grad, block), block_rows(x, block), block_rows(grad_x, block)
        centers, scales = block_rows(mean, block), block_rows(inv_std, block)
        sums = start(stack)
        for i in range(x_rows.shape[0]):
            g, row, h = g_rows[i], x_rows[i], h_rows[i]
            for j in range(features):
                z[j] = (row[j] - centers[i]) * scales[i]
                h[j] = g[j] * weight[j]
                sums[j] += g[j] * z[j]
                sums[features + j] += g[j]
            offset = pairwise_sum(h) / count
            slope = pairwise_dot(h, z) / count
            for j in range(features):
                h[j] = scales[i] * (h[j] - offset - z[j] * slope)
        carry(stack, block)
    totals = column_totals(stack, column_blocks(x))
    for j in range(features):
        grad_weight[j], grad_bias[j] = totals[j], totals[features + j]
