"""Group normalisation: of the channels of one image, or sample, that belong together.

Images are (N, P, C), pixels by channels, as they lie in memory; group g holds the channels from g C / G on. Threads
share the images. All arrays are of one dtype, float32 or float64; sums are pairwise (see `sums`).
"""

import math

import numpy as np

from tinygrad_mlp.kernels.lanes import add_up
from tinygrad_mlp.kernels.launch import Array, device, kernel, prange
from tinygrad_mlp.kernels.sums import block_rows, carry, column_blocks, column_stack, column_totals, start

__all__ = ["group_norm_backward", "group_norm_forward"]


@kernel(writes=("out", "mean", "inv_std"), parallel=True)
def group_norm_forward(
    x: Array, weight: Array, bias: Array, eps: float, out: Array, mean: Array, inv_std: Array
) -> None:
    """(x - mean) * inv_std * weight + bias, mean and variance of each group of each image (Wu & He 2018).

    x (N, P, C), weight, bias (C,) -> out (N, P, C), mean, inv_std (N, G).
    """
    channels, groups = weight.size, mean.shape[1]
    one, floor = x.dtype.type(1), x.dtype.type(eps)
    count = x.dtype.type(x.shape[1] * (channels // groups))
    for image in prange(x.shape[0]):
        pixels, target = x[image], out[image]
        center, scale = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
        for c in range(channels):
            center[c] = x.dtype.type(0)
        _spread(_differences(pixels, center), mean[image], center, count)
        _spread(_squares(pixels, center), inv_std[image], scale, count)
        for group in range(groups):
            inv_std[image, group] = one / math.sqrt(inv_std[image, group] + floor)
        for c in range(channels):
            scale[c] = inv_std[image, c // (channels // groups)] * weight[c]
        for p in range(pixels.shape[0]):
            row, result = pixels[p], target[p]
            for c in range(channels):
                result[c] = (row[c] - center[c]) * scale[c] + bias[c]


@device
def _differences(pixels: Array, center: Array) -> Array:
    """Sum of each channel's differences to `center`: (P, C), (C,) -> (C,)."""
    stack = column_stack(pixels, center.size)
    for block in range(column_blocks(pixels)):
        rows, sums = block_rows(pixels, block), start(stack)
        for p in range(rows.shape[0]):
            row = rows[p]
            for c in range(center.size):
                sums[c] += row[c] - center[c]
        carry(stack, block)
    return column_totals(stack, column_blocks(pixels))


@device
def _squares(pixels: Array, center: Array) -> Array:
    """Sum of the squares of each channel's differences to `center`: (P, C), (C,) -> (C,)."""
    stack = column_stack(pixels, center.size)
    for block in range(column_blocks(pixels)):
        rows, sums = block_rows(pixels, block), start(stack)
        for p in range(rows.shape[0]):
            row = rows[p]
            for c in range(center.size):
                sums[c] += (row[c] - center[c]) * (row[c] - center[c])
        carry(stack, block)
    return column_totals(stack, column_blocks(pixels))


@device
def _spread(totals: Array, means: Array, channels: Array, count: float) -> None:
    """Totals of channels (C,) to means of groups (G,), and those to all channels of the group (C,)."""
    size = totals.size // means.size
    for group in range(means.size):
        total = totals.dtype.type(0)
        for c in range(group * size, (group + 1) * size):
            total += totals[c]
        means[group] = total / count
        for c in range(group * size, (group + 1) * size):
            channels[c] = means[group]


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
def group_norm_backward(
    grad: Array,
    x: Array,
    weight: Array,
    mean: Array,
    inv_std: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Derivatives of group norm.

    grad_x = inv_std (h - mean of h - z * mean of (h z)), h = grad * weight, z = (x - mean) inv_std, means over groups.
    grad, x (N, P, C), weight (C,), mean, inv_std (N, G) -> grad_x (N, P, C), grad_weight, grad_bias (C,).
    """
    images, count, channels = x.shape
    groups = mean.shape[1]
    size = channels // groups
    share = x.dtype.type(1 / max(count * size, 1))
    found = np.empty((2, images, channels), x.dtype)
    sums, products = found[0], found[1]
    for image in prange(images):
        rows, arriving, target = x[image], grad[image], grad_x[image]
        center, scale = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
        offset, slope = np.empty(channels, x.dtype), np.empty(channels, x.dtype)
        for c in range(channels):
            center[c] = mean[image, c // size]
        totals = _gradient_totals(arriving, rows, center)
        for c in range(channels):
            sums[image, c], products[image, c] = totals[c], totals[channels + c] * inv_std[image, c // size]
            offset[c], slope[c] = weight[c] * sums[image, c], weight[c] * products[image, c]
        for group in range(groups):
            scaling, first, second = inv_std[image, group], x.dtype.type(0), x.dtype.type(0)
            for c in range(group * size, (group + 1) * size):
                first += offset[c]
                second += slope[c]
            for c in range(group * size, (group + 1) * size):
                scale[c] = scaling * weight[c]
                offset[c], slope[c] = scaling * share * first, scaling * scaling * share * second
        for p in range(count):
            row, g, result = rows[p], arriving[p], target[p]
            for c in range(channels):
                result[c] = scale[c] * g[c] - offset[c] - slope[c] * (row[c] - center[c])
    add_up(sums, grad_bias)
    add_up(products, grad_weight)


@device
def _gradient_totals(grad: Array, pixels: Array, center: Array) -> Array:
    """Sums over the pixels of grad, and of grad * (x - center): (P, C), (P, C), (C,) -> (2 C,)."""
    channels = center.size
    stack = column_stack(pixels, 2 * channels)
    for block in range(column_blocks(pixels)):
        rows, arriving, sums = block_rows(pixels, block), block_rows(grad, block), start(stack)
        for p in range(rows.shape[0]):
            row, g = rows[p], arriving[p]
            for c in range(channels):
                sums[c] += g[c]
                sums[channels + c] += g[c] * (row[c] - center[c])
        carry(stack, block)
    return column_totals(stack, column_blocks(pixels))
