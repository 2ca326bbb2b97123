"""Convolution by 3 × 3 kernels with 2.25 times fewer multiplications: Winograd's F(2×2, 3×3).

Lavin & Gray 2016 (arXiv:1509.09308). The image is cut into tiles of 4 × 4 pixels that overlap by two; transformed (see
`winograd_transform`), the convolution is a product by each of 16 places: (tiles, channels) @ (channels, out channels),
which go through the multiply-add tile, and are transformed back to 2 × 2 output pixels. In float32 the error is that of
the direct sum (tests/kernels/test_conv.py measures both). An infinity in an image becomes NaN in its tiles.

Images are shared out to threads in chunks by their number alone. A chunk takes a few images at a time, so that there
are enough tiles for the products, and a block of tiles at a time, so that these stay in the cache.
"""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.approx import RELU
from tinygrad_mlp.kernels.conv_tables import Geometry
from tinygrad_mlp.kernels.images import add_parts, add_pixels, masked_with_margin, with_margin
from tinygrad_mlp.kernels.launch import Array, device, kernel, launch, prange
from tinygrad_mlp.kernels.matmul import activate
from tinygrad_mlp.kernels.tile import VECTOR_BYTES, add_products
from tinygrad_mlp.kernels.winograd_transform import (
    GRADIENT,
    INPUT,
    WEIGHT,
    WEIGHT_GRADIENT,
    transform,
    transform_output,
)

__all__ = ["fits_winograd", "winograd", "winograd_backward", "winograd_backward_kernel", "winograd_kernel"]

_CHANNELS = 16  # from so many on the products are worth the transforms; a vector of float32 has at most as many lanes
_TILES = 64  # in a block, at most
_PLACES = 16
_GAP = 16  # between places: at a power of two apart they would meet in the same lines of the cache
_CHUNKS, _BACKWARD_CHUNKS = 64, 8
_WORK = 16  # see `matmul`


def fits_winograd(geometry: Geometry, dtype: np.dtype[np.generic]) -> bool:
    """Whether a convolution may and should be done this way; float64 is for checks, and stays with the plain sum."""
    return (
        dtype == np.float32
        and geometry.kernel == (3, 3)
        and geometry.stride == geometry.dilation == (1, 1)
        and geometry.groups == 1
        and max(*geometry.padding[0], *geometry.padding[1]) <= 2
        and min(geometry.channels, geometry.out_channels) >= _CHANNELS
    )


@device
def _transform_weight(weight: Array, transformed: Array) -> None:
    """(3, 3, size) -> (16, size), size at least a vector."""
    side, size = VECTOR_BYTES // weight.itemsize, weight.shape[2]
    source, target = weight.reshape(-1), transformed.reshape(-1)
    for i in range(0, size, side):
        at = min(i, size - side)
        transform(WEIGHT, source, at, 3 * size, size, target, at, 4 * size, size)


@device
def _transform_tiles(
    images: Array, above: int, left: int, is_gradient: bool, columns: int, tiles: int, first: int, last: int, out: Array
) -> None:
    """Tiles `first` to `last` of images (images, height, width, channels) -> (16, tiles · channels + gap).

    An image has `tiles` of them, in rows of `columns`; the first lies `above` and `left`, and each one is two pixels
    from the next. Tiles of the input are 4 × 4 pixels, those of a gradient 2 × 2.
    """
    _, height, width, channels = images.shape
    side = VECTOR_BYTES // images.itemsize
    source, target, place = images.reshape(-1), out.reshape(-1), out.shape[1]
    for tile in range(first, last):
        image, y, x = tile // tiles, tile % tiles // columns * 2 + above, tile % tiles % columns * 2 + left
        at, out_at = ((image * height + y) * width + x) * channels, (tile - first) * channels
        for channel in range(0, channels, side):
            c = min(channel, channels - side)
            # fmt: off
            if is_gradient:
                transform(GRADIENT, source, at + c, width * channels, channels, target, out_at + c, 4 * place, place)
            else:
                transform(INPUT, source, at + c, width * channels, channels, target, out_at + c, 4 * place, place)
            # fmt: on


@device
def _output_tiles(
    products: Array, bias: Array, floor: float, columns: int, tiles: int, first: int, last: int, out: Array
) -> None:
    """(16, tiles · channels + gap) -> those tiles of out (images, height, width, channels)."""
    _, height, width, channels = out.shape
    side = VECTOR_BYTES // out.itemsize
    source, target, place = products.reshape(-1), out.reshape(-1), products.shape[1]
    for tile in range(first, last):
        image, y, x = tile // tiles, tile % tiles // columns * 2, tile % tiles % columns * 2
        at, out_at = (tile - first) * channels, ((image * height + y) * width + x) * channels
        for channel in range(0, channels, side):
            c = min(channel, channels - side)
            # fmt: off
            transform_output(source, at + c, 4 * place, place, bias, c, bias.size > 0, floor, target, out_at + c,
                             width * channels, channels, height - y, width - x)
            # fmt: on


@device
def _convolve_tiles(
    padded: Array, weight: Array, bias: Array, floor: float, transformed: Array, products: Array, out: Array
) -> None:
    """Some images with margins, (images, …, …, channels), to out (images, height, width, out channels).

    weight (16, channels · out channels) is transformed; `transformed` and `products` are room for a block of tiles.
    """
    images, height, width, out_channels = out.shape
    channels = padded.shape[3]
    columns = (width + 1) // 2
    tiles = (height + 1) // 2 * columns
    blocks = (images * tiles + _TILES - 1) // _TILES
    flat_weight, flat_transformed, flat_products = weight.reshape(-1), transformed.reshape(-1), products.reshape(-1)
    for block in range(blocks):
        first, last = _block_start(block, blocks, images * tiles), _block_start(block + 1, blocks, images * tiles)
        _transform_tiles(padded, 0, 0, False, columns, tiles, first, last, transformed)
        for place in range(_PLACES):
            # (tiles, channels) @ (channels, out channels) -> (tiles, out channels)
            # fmt: off
            add_products(last - first, channels, flat_transformed, place * transformed.shape[1], channels, 1,
                         flat_weight, place * weight.shape[1], out_channels, flat_products,
                         place * products.shape[1], out_channels, False)
            # fmt: on
        _output_tiles(products, bias, floor, columns, tiles, first, last, out)


@device
def _block_start(block: int, blocks: int, tiles: int) -> int:
    """The first tile of a block, a multiple of the 8 that the multiply-add tile takes at a time."""
    return min((block * tiles // blocks + 7) // 8 * 8, tiles)


@device
def _room(channels: int, like: Array) -> Array:
    """Room for a block of transformed tiles, (16, tiles · channels + gap)."""
    return np.empty((_PLACES, _TILES * channels + _GAP), like.dtype)


@device
def _images_at_once(height: int, width: int) -> int:
    """So many that they have tiles for a block."""
    return max(_TILES // ((height + 1) // 2 * ((width + 1) // 2)), 1)


@kernel(writes=("out",), parallel=True)
def winograd_kernel(x: Array, above: int, left: int, weight: Array, bias: Array, activation: int, out: Array) -> None:
    """Out (N, OH, OW, out channels) = activation(x (N, H, W, channels) convolved with weight + bias).

    weight (3, 3, channels · out channels), bias (out channels,) or empty; above and left are the margins of zeros.
    """
    images, channels = x.shape[0], x.shape[3]
    _, height, width, out_channels = out.shape
    floor = out.dtype.type(0) if activation == RELU else out.dtype.type(-np.inf)
    transformed_weight = np.empty((_PLACES, weight.shape[2]), weight.dtype)
    _transform_weight(weight, transformed_weight)
    at_once = _images_at_once(height, width)
    chunks = min((images + at_once - 1) // at_once, _CHUNKS)
    for chunk in prange(chunks):
        padded = np.zeros((at_once, (height + 1) // 2 * 2 + 2, (width + 1) // 2 * 2 + 2, channels), x.dtype)
        transformed, products = _room(channels, x), _room(out_channels, x)
        last = (chunk + 1) * images // chunks
        for first in range(chunk * images // chunks, last, at_once):
            count = min(at_once, last - first)
            for image in range(count):
                with_margin(x[first + image], above, left, padded[image])
            part = out[first : first + count]
            _convolve_tiles(padded, transformed_weight, bias, floor, transformed, products, part)
            if activation > RELU:
                activate(part.reshape(-1), activation)


@device
def _add_weight_gradient(
    padded: Array,
    grads: Array,
    above: int,
    left: int,
    height: int,
    width: int,
    images: int,
    transformed: Array,
    transformed_grads: Array,
    out: Array,
    continued: bool,
) -> None:
    """Add to out (16, channels · out channels) the products of transformed tiles of input and output gradient.

    padded (…, …, …, channels), grads (…, …, …, out channels), whose `height` x `width` pixels begin at (above, left).
    """
    channels, out_channels = padded.shape[3], grads.shape[3]
    columns = (width + 1) // 2
    tiles = (height + 1) // 2 * columns
    blocks = (images * tiles + _TILES - 1) // _TILES
    flat_out, flat_transformed, flat_grads = out.reshape(-1), transformed.reshape(-1), transformed_grads.reshape(-1)
    for block in range(blocks):
        first, last = block * images * tiles // blocks, (block + 1) * images * tiles // blocks
        _transform_tiles(padded, 0, 0, False, columns, tiles, first, last, transformed)
        _transform_tiles(grads, above, left, True, columns, tiles, first, last, transformed_grads)
        for place in range(_PLACES):
            # (channels, tiles) @ (tiles, out channels) -> (channels, out channels)
            # fmt: off
            add_products(channels, last - first, flat_transformed, place * transformed.shape[1], 1, channels,
                         flat_grads, place * transformed_grads.shape[1], out_channels, flat_out,
                         place * out.shape[1], out_channels, continued or block > 0)
            # fmt: on


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
def winograd_backward_kernel(
    grad: Array,
    out: Array,
    x: Array,
    x_above: int,
    x_left: int,
    weight: Array,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Gradients of a 3 × 3 convolution whose output had the gradient `grad` (N, OH, OW, out channels).

    out:
        (N, OH, OW, out channels) if a ReLU follows that takes its slope from it, else empty.
    x, x_above, x_left:
        (N, H, W, channels) and its margins; x is empty unless grad_weight is wanted.
    weight:
        (3, 3, out channels · channels), rotated; empty unless grad_x is wanted.
    grad_x, grad_weight, grad_bias:
        (N, H, W, channels), (3, 3, channels · out channels) and (out channels,); an empty one is not computed.
    """
    images, height, width, out_channels = grad.shape
    channels = x.shape[3] if x.size else grad_x.shape[3]
    in_height, in_width = (x.shape[1], x.shape[2]) if x.size else (grad_x.shape[1], grad_x.shape[2])
    above, left = 2 - x_above, 2 - x_left
    tall, wide = max(height, in_height), max(width, in_width)
    transformed_weight = np.empty((_PLACES, weight.shape[2]), weight.dtype)
    if grad_x.size:
        _transform_weight(weight, transformed_weight)
    at_once = _images_at_once(height, width)
    chunks = min((images + at_once - 1) // at_once, _BACKWARD_CHUNKS)
    weight_parts = np.empty((chunks, _PLACES, grad_weight.shape[2]), grad.dtype)
    bias_parts = np.zeros((chunks, grad_bias.size), grad.dtype)
    nothing, no_floor = np.empty(0, grad.dtype), grad.dtype.type(-np.inf)
    for chunk in prange(chunks):
        grads = np.zeros((at_once, tall + 5, wide + 5, out_channels), grad.dtype)
        padded = np.zeros((at_once if x.size else 0, tall + 5, wide + 5, channels), grad.dtype)
        transformed, transformed_grads = _room(channels, grad), _room(out_channels, grad)
        pixel_sums = np.empty(grad_bias.size, grad.dtype)
        start, last = chunk * images // chunks, (chunk + 1) * images // chunks
        for first in range(start, last, at_once):
            count = min(at_once, last - first)
            for image in range(count):
                if out.size:
                    masked_with_margin(grad[first + image], out[first + image], above, left, grads[image])
                else:
                    with_margin(grad[first + image], above, left, grads[image])
                if grad_bias.size:
                    add_pixels(grads[image], above, left, height, width, pixel_sums, bias_parts[chunk])
                if x.size:
                    with_margin(x[first + image], x_above, x_left, padded[image])
            if grad_x.size:
                # fmt: off
                _convolve_tiles(grads, transformed_weight, nothing, no_floor, transformed_grads, transformed,
                                grad_x[first : first + count])
                # fmt: on
            if x.size:
                # fmt: off
                _add_weight_gradient(padded, grads, above, left, height, width, count, transformed, transformed_grads,
                                     weight_parts[chunk], first > start)
                # fmt: on
    add_parts(bias_parts, grad_bias)
    if x.size:
        add_parts(weight_parts.reshape(chunks, -1), weight_parts[0].reshape(-1))
        side, size = VECTOR_BYTES // grad.itemsize, grad_weight.shape[2]
        source, target = weight_parts[0].reshape(-1), grad_weight.reshape(-1)
        for i in range(0, size, side):
            at = min(i, size - side)
            transform(WEIGHT_GRADIENT, source, at, 4 * size, size, target, at, 3 * size, size)


def winograd(x: Array, matrix: Array, bias: Array, geometry: Geometry, activation: int, out: Array) -> None:
    """`conv.conv_forward` of a convolution that fits; matrix (terms, out channels), bias (out channels,) or empty."""
    (above, _), (left, _) = geometry.padding
    weight = matrix.reshape(3, 3, -1)
    count = out.size * matrix.shape[0]
    # fmt: off
    launch(winograd_kernel, x, above, left, weight, bias, activation, out, work=count // _WORK, multiply_adds=count)
    # fmt: on


def winograd_backward(
    grad: Array,
    out: Array,
    x: Array,
    rotated: Array,
    geometry: Geometry,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """`conv.conv_backward` of a convolution that fits, with empty arrays for what is not wanted."""
    (above, _), (left, _) = geometry.padding
    count = grad.size * geometry.channels * 18
    # fmt: off
    launch(winograd_backward_kernel, grad, out, x, above, left, rotated.reshape(3, 3, -1), grad_x,
           grad_weight.reshape(3, 3, -1), grad_bias, work=count // _WORK, multiply_adds=count)
    # fmt: on
