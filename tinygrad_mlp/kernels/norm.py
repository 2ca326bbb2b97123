"""Batch normalisation over the columns and layer normalisation over the rows of 2-d arrays.

Batch norm takes (rows, C): samples of an MLP, or all pixels of all images, which lie N, H, W, C in memory. All arrays
are C-contiguous and of one dtype, float32 or float64. Variances are biased (divided by the count), from the squares of
differences to the mean; sums are pairwise (see `sums`, and `lanes` for columns, whose blocks threads share). inv_std is
1 / sqrt(variance + eps).

The kernels with `relu` in their name cut the result at 0; those that go back find out again where that was, since x is
at hand and the result would be one more array to read.
"""

import math

import numpy as np

from tinygrad_mlp.kernels.lanes import add_up, block_count, lane_count, line_bounds, repeated
from tinygrad_mlp.kernels.launch import Array, kernel, prange, select
from tinygrad_mlp.kernels.norm_lines import (
    gradient_sums,
    input_gradient,
    lane_means,
    lane_squares,
    move_block,
    normalize,
    scale_gradient,
)
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
    "batch_norm_relu_backward",
    "batch_norm_relu_backward_eval",
    "batch_norm_relu_forward",
    "batch_norm_statistics",
    "layer_norm_backward",
    "layer_norm_forward",
    "update_running",
]


@kernel(writes=("mean", "variance", "inv_std"), parallel=True)
def batch_norm_statistics(x: Array, eps: float, mean: Array, variance: Array, inv_std: Array) -> None:
    """Mean, biased variance and inv_std of each column: x (rows, C) -> three times (C,); NaN where there is no row.

    One pass over memory: of each block the mean, and the squares of differences to it while the block is in the cache.
    The squares of differences to the mean of all are those and the squares of the blocks' own differences (Chan, Golub
    & LeVeque 1983, Am. Stat. 37:242). A mean is rounded, so what is left of the differences to it is taken in as well.
    """
    flat, lanes = x.reshape(-1), lane_count(x)
    blocks = block_count(x, lanes)
    found = np.empty((4, blocks, lanes), x.dtype)
    sums, means, rests, squares = found[0], found[1], found[2], found[3]
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        lane_means(flat, first, stop, sums[block], means[block])
        lane_squares(flat, first, stop, means[block], rests[block], squares[block])
    add_up(sums, mean)
    count, zero, one, floor = x.dtype.type(x.shape[0]), x.dtype.type(0), x.dtype.type(1), x.dtype.type(eps)
    for c in range(mean.size):
        mean[c] /= count
    center = repeated(mean, lanes)
    for block in range(blocks):
        first, stop = line_bounds(x, lanes, block)
        move_block(x.size, first, stop, center, means[block], rests[block], sums[block], squares[block])
    rest = np.empty_like(mean)
    add_up(sums, rest)
    add_up(squares, variance)
    for c in range(mean.size):
        step = rest[c] / count
        spread = variance[c] / count - step * step
        mean[c] += step
        variance[c] = select(spread < zero, zero, spread)
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


@kernel(writes=("out",), parallel=True)
def batch_norm_forward(x: Array, weight: Array, bias: Array, mean: Array, inv_std: Array, out: Array) -> None:
    """(x - mean) * inv_std * weight + bias: x (rows, C), the others (C,) -> out (rows, C)."""
    lanes = lane_count(x)
    center, scale, shift = repeated(mean, lanes), repeated(inv_std * weight, lanes), repeated(bias, lanes)
    flat, target = x.reshape(-1), out.reshape(-1)
    for block in prange(block_count(x, lanes)):
        first, stop = line_bounds(x, lanes, block)
        normalize(flat, first, stop, center, scale, shift, False, target)


@kernel(writes=("out",), parallel=True)
def batch_norm_relu_forward(x: Array, weight: Array, bias: Array, mean: Array, inv_std: Array, out: Array) -> None:
    """`batch_norm_forward`, and 0 where that is negative."""
    lanes = lane_count(x)
    center, scale, shift = repeated(mean, lanes), repeated(inv_std * weight, lanes), repeated(bias, lanes)
    flat, target = x.reshape(-1), out.reshape(-1)
    for block in prange(block_count(x, lanes)):
        first, stop = line_bounds(x, lanes, block)
        normalize(flat, first, stop, center, scale, shift, True, target)


# The derivatives. With g the gradient that arrives (0 where relu has cut), z = (x - mean) inv_std and means over rows:
#
#     grad_bias = sum of g, grad_weight = sum of g z,
#     grad_x = weight inv_std (g - mean of g - z * mean of (g z))    in training (Ioffe & Szegedy 2015),
#     grad_x = weight inv_std g                                      with constant statistics.
#
# grad, x (rows, C), the others (C,) -> grad_x (rows, C), grad_weight (C,), grad_bias (C,).


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
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
    """Derivatives of batch norm whose mean and variance are those of x itself (training)."""
    lanes = lane_count(x)
    blocks = block_count(x, lanes)
    center, scale = repeated(mean, lanes), repeated(inv_std * weight, lanes)
    flat_grad, flat_x, target = grad.reshape(-1), x.reshape(-1), grad_x.reshape(-1)
    found = np.empty((2, blocks, lanes), x.dtype)
    sums, products = found[0], found[1]
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        gradient_sums(flat_grad, flat_x, first, stop, center, scale, scale, False, sums[block], products[block])
    add_up(sums, grad_bias)
    add_up(products, grad_weight)
    for c in range(grad_weight.size):
        grad_weight[c] *= inv_std[c]
    share = x.dtype.type(1 / max(x.shape[0], 1))
    offset = repeated(share * grad_bias, lanes)
    slope = repeated(share * grad_weight * (inv_std * inv_std * weight), lanes)
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        input_gradient(flat_grad, flat_x, first, stop, center, scale, scale, offset, slope, False, target)


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
def batch_norm_relu_backward(
    grad: Array,
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    inv_std: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Derivatives of batch norm and relu, mean and variance those of x itself (training)."""
    lanes = lane_count(x)
    blocks = block_count(x, lanes)
    center, scale = repeated(mean, lanes), repeated(inv_std * weight, lanes)
    shift = repeated(bias, lanes)
    flat_grad, flat_x, target = grad.reshape(-1), x.reshape(-1), grad_x.reshape(-1)
    found = np.empty((2, blocks, lanes), x.dtype)
    sums, products = found[0], found[1]
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        gradient_sums(flat_grad, flat_x, first, stop, center, scale, shift, True, sums[block], products[block])
    add_up(sums, grad_bias)
    add_up(products, grad_weight)
    for c in range(grad_weight.size):
        grad_weight[c] *= inv_std[c]
    share = x.dtype.type(1 / max(x.shape[0], 1))
    offset = repeated(share * grad_bias, lanes)
    slope = repeated(share * grad_weight * (inv_std * inv_std * weight), lanes)
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        input_gradient(flat_grad, flat_x, first, stop, center, scale, shift, offset, slope, True, target)


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
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
    """Derivatives of batch norm with constant (running) statistics."""
    lanes = lane_count(x)
    blocks = block_count(x, lanes)
    center, scale = repeated(mean, lanes), repeated(inv_std * weight, lanes)
    flat_grad, flat_x, target = grad.reshape(-1), x.reshape(-1), grad_x.reshape(-1)
    found = np.empty((2, blocks, lanes), x.dtype)
    sums, products = found[0], found[1]
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        gradient_sums(flat_grad, flat_x, first, stop, center, scale, scale, False, sums[block], products[block])
    add_up(sums, grad_bias)
    add_up(products, grad_weight)
    for c in range(grad_weight.size):
        grad_weight[c] *= inv_std[c]
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        scale_gradient(flat_grad, flat_x, first, stop, center, scale, scale, False, target)


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
def batch_norm_relu_backward_eval(
    grad: Array,
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    inv_std: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Derivatives of batch norm and relu, with constant (running) statistics."""
    lanes = lane_count(x)
    blocks = block_count(x, lanes)
    center, scale = repeated(mean, lanes), repeated(inv_std * weight, lanes)
    shift = repeated(bias, lanes)
    flat_grad, flat_x, target = grad.reshape(-1), x.reshape(-1), grad_x.reshape(-1)
    found = np.empty((2, blocks, lanes), x.dtype)
    sums, products = found[0], found[1]
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        gradient_sums(flat_grad, flat_x, first, stop, center, scale, shift, True, sums[block], products[block])
    add_up(sums, grad_bias)
    add_up(products, grad_weight)
    for c in range(grad_weight.size):
        grad_weight[c] *= inv_std[c]
    for block in prange(blocks):
        first, stop = line_bounds(x, lanes, block)
        scale_gradient(flat_grad, flat_x, first, stop, center, scale, shift, True, target)


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
