"""Batch norm, ReLU and maxima of windows of 2 x 2 side by side, in one pass over the images.

These three behind a convolution are bound by memory: what lies between them is never written down. Images lie
N, H, W, C. The arithmetic, and its order, are those of `norm` and `pool`, so the bits are too. Of each window the
kernels keep which pixel was the maximum, or that ReLU has cut it; going back, the gradients of one block at a time
stand at their pixels, in the cache. (128 images of 28 x 28 x 32, two threads: 2.7 instead of 4.0 ms there and back.)
"""

import numpy as np

from tinygrad_mlp.kernels.lanes import add_up, block_count, lane_count, line_bounds, repeated
from tinygrad_mlp.kernels.launch import Array, device, kernel, prange, select
from tinygrad_mlp.kernels.norm_lines import gradient_sums, input_gradient, normalize
from tinygrad_mlp.kernels.pool import halve, keep_where
from tinygrad_mlp.kernels.pool_vectors import CUT, keep_pair, lanes_of, largest_normalized
from tinygrad_mlp.kernels.sums import stretch

__all__ = ["norm_relu_pool_backward", "norm_relu_pool_forward"]


@kernel(writes=("out", "taps"), parallel=True)
def norm_relu_pool_forward(
    x: Array, weight: Array, bias: Array, mean: Array, inv_std: Array, out: Array, taps: Array
) -> None:
    """Maxima of relu((x - mean) * inv_std * weight + bias), and where they were.

    x (N, H, W, C), weight, bias, mean, inv_std (C,) -> out, taps (N, H // 2, W // 2, C), taps uint8.
    """
    images, height, width, channels = x.shape
    out_height, out_width = out.shape[1], out.shape[2]
    flat_x, flat_out, flat_taps = x.reshape(-1), out.reshape(-1), taps.reshape(-1)
    factor, lanes = inv_std * weight, lanes_of(x)
    size, out_size = width * channels, out_width * channels  # of a row
    if channels >= lanes:
        for place in prange(images * out_height):
            line = int(np.int64(place))  # unsigned in parallel loops, where it would mix to floats
            upper, target = (line // out_height * height + line % out_height * 2) * size, line * out_size
            for _ in range(out_width):
                for c in range(0, channels, lanes):
                    channel = min(c, channels - lanes)  # the last vector is moved back to end with the pixel
                    at, below = upper + channel, upper + size + channel
                    # fmt: off
                    largest_normalized(flat_x, at, at + channels, below, below + channels, mean, factor, bias, channel,
                                       flat_out, flat_taps, target + channel)
                    # fmt: on
                upper, target = upper + 2 * channels, target + channels
        return
    center, scale, shift = repeated(mean, size), repeated(factor, size), repeated(bias, size)
    for place in prange(images * out_height):
        line = int(np.int64(place))
        pair, normalized = np.empty(2 * size, x.dtype), line // out_height * height + line % out_height * 2
        normalize(flat_x[normalized * size : (normalized + 2) * size], 0, 2, center, scale, shift, True, pair)
        for column in range(out_width):
            source, target = 2 * column * channels, line * out_size + column * channels
            halve(pair, source, size, channels, flat_out, flat_taps, target)
        _mark_cut(flat_out, flat_taps, line * out_size, out_size)


@device
def _mark_cut(out: Array, taps: Array, start: int, size: int) -> None:
    zero, cut = out.dtype.type(0), taps.dtype.type(CUT)
    for i in range(*stretch(start, size)):
        taps[i] = select(out[i] <= zero, cut, taps[i])


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
def norm_relu_pool_backward(
    grad: Array,
    taps: Array,
    x: Array,
    weight: Array,
    mean: Array,
    inv_std: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Derivatives, where mean and variance are those of x itself.

    grad, taps (N, H // 2, W // 2, C), x (N, H, W, C), the others (C,) -> grad_x (N, H, W, C), the others (C,).
    """
    rows = x.reshape(-1, max(weight.size, 1))
    lanes = lane_count(rows)
    blocks = block_count(rows, lanes)
    center, scale = repeated(mean, lanes), repeated(inv_std * weight, lanes)
    flat_x, target = x.reshape(-1), grad_x.reshape(-1)
    found = np.empty((2, blocks, lanes), x.dtype)
    sums, products = found[0], found[1]
    for block in prange(blocks):
        first, stop = line_bounds(rows, lanes, block)
        some = flat_x[first * lanes : stop * lanes]
        unpooled = _unpooled(grad, taps, x.shape, first * lanes, some.size)
        gradient_sums(unpooled, some, 0, stop - first, center, scale, scale, False, sums[block], products[block])
    add_up(sums, grad_bias)
    add_up(products, grad_weight)
    for c in range(grad_weight.size):
        grad_weight[c] *= inv_std[c]
    share = x.dtype.type(1 / max(rows.shape[0], 1))
    offset = repeated(share * grad_bias, lanes)
    slope = repeated(share * grad_weight * (inv_std * inv_std * weight), lanes)
    for block in prange(blocks):
        first, stop = line_bounds(rows, lanes, block)
        some, result = flat_x[first * lanes : stop * lanes], target[first * lanes : stop * lanes]
        unpooled = _unpooled(grad, taps, x.shape, first * lanes, some.size)
        input_gradient(unpooled, some, 0, stop - first, center, scale, scale, offset, slope, False, result)


@device
def _unpooled(grad: Array, taps: Array, shape: tuple[int, int, int, int], start: int, size: int) -> Array:
    """The gradients at the pixels that were maxima, for a stretch of the images' memory that begins with a pixel."""
    _, height, width, channels = shape
    out_height, out_width = grad.shape[1], grad.shape[2]
    flat_grad, flat_taps, out = grad.reshape(-1), taps.reshape(-1), np.empty(size, grad.dtype)
    lanes = lanes_of(grad)
    pixel, behind = start // channels, (start + size) // channels
    while pixel < behind:
        row, column = pixel // width, pixel % width  # rows of all images, numbered through
        image, row = row // height, row % height
        target = pixel * channels - start
        count = min(width - column, behind - pixel)  # up to the end of the row
        source = (image * out_height + row // 2) * out_width * channels
        covered = min(max(2 * out_width - column, 0), count) if row // 2 < out_height else 0
        i = column
        while i < column + covered:
            tap, at, pixel_target = row % 2 * 2 + i % 2, source + i // 2 * channels, target + (i - column) * channels
            if tap % 2 == 0 and i + 1 < column + covered and channels >= lanes:
                for c in range(0, channels, lanes):
                    channel = min(c, channels - lanes)
                    # fmt: off
                    keep_pair(flat_grad, flat_taps, at + channel, flat_taps.dtype.type(tap), out,
                              pixel_target + channel, pixel_target + channels + channel)
                    # fmt: on
                i += 2
            else:
                keep_where(flat_grad, flat_taps, at, channels, tap, out, pixel_target)
                i += 1
        for i in range(*stretch(target + covered * channels, (count - covered) * channels)):
            out[i] = out.dtype.type(0)
        pixel += count
    return out
