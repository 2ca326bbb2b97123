"""Convolution and its gradients, on the multiply-add tile of `offset_tile`.

Images lie N, H, W, C, weights (kernel height, kernel width, input channels of a group, output channels). Nothing is
unrolled to a matrix: an image is copied to a buffer with a margin of zeros that stays in the cache, and tables say
where the pieces of each window stand in it (see `conv_tables`). The backward pass goes through the images once, for
the gradients of input, weight and bias together.

Images are shared out to threads in chunks that depend on their number alone. A sum over pixels and channels is one
chain of fused multiply-adds; those of the weight's gradient are one chain for each chunk, and the chunks are added in
order. So no bit depends on the number of threads.
"""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.approx import NONE, RELU
from tinygrad_mlp.kernels.conv_tables import (
    Geometry,
    forward_tables,
    input_gradient_tables,
    weight_gradient_tables,
)
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.elementwise import fill
from tinygrad_mlp.kernels.images import add_parts, add_pixels, masked_with_margin, with_margin
from tinygrad_mlp.kernels.launch import Array, device, kernel, launch, prange
from tinygrad_mlp.kernels.matmul import activate
from tinygrad_mlp.kernels.offset_tile import multiply_add_runs
from tinygrad_mlp.kernels.tile import MAX_VECTORS, VECTOR_BYTES
from tinygrad_mlp.kernels.winograd import fits_winograd, winograd, winograd_backward

__all__ = ["conv_backward", "conv_forward", "convolve", "convolve_backward"]

_FORWARD_CHUNKS = 64
# Each has a gradient of the weight of its own until they are added.
_BACKWARD_CHUNKS = 8
_WORK = 16  # see `matmul`


@device
def _multiply_groups(
    groups: int,
    a: Array,
    a_at: int,
    a_group: int,
    a_step: int,
    parts: Array,
    rows: Array,
    runs: Array,
    length: int,
    b: Array,
    b_runs: Array,
    b_step: int,
    bias: Array,
    floor: float,
    out: Array,
    out_at: int,
    out_rows: Array,
    columns: int,
    continued: bool,
) -> None:
    """All parts, groups and panels of one image. `columns` are those of a group; a_group is from one to the next.

    If `continued`, the sums go on from what stands in `out`.
    """
    side = VECTOR_BYTES // out.itemsize
    vectors = (columns + side - 1) // side
    panels = (vectors + MAX_VECTORS - 1) // MAX_VECTORS
    for task in range(parts.shape[0] * groups * panels):
        part, group, panel = task // (groups * panels), task // panels % groups, task % panels
        first, last = panel * vectors // panels, (panel + 1) * vectors // panels
        column = group * columns + first * side
        width = min(last * side, columns) - first * side
        # fmt: off
        multiply_add_runs(
            last - first, parts[part, 0], parts[part, 1], parts[part, 2], parts[part, 3], length,
            a, a_at + group * a_group, rows, runs, a_step, b, column, b_runs, b_step,
            bias, column, bias.size > 0, floor, out, out_at + column, out_rows, continued, width,
        )
        # fmt: on


@kernel(writes=("out",), parallel=True)
def convolve(
    x: Array,
    above: int,
    left: int,
    height: int,
    width: int,
    weight: Array,
    bias: Array,
    groups: int,
    parts: Array,
    rows: Array,
    out_rows: Array,
    runs: Array,
    weight_runs: Array,
    length: int,
    activation: int,
    out: Array,
) -> None:
    """Out (N, OH, OW, out channels) = activation(x (N, H, W, channels) convolved with weight + bias).

    weight (terms, out channels), bias (out channels,) or empty; the tables and the margin are those of
    `forward_tables`. A window that is not all in the image reads the margin's zeros.
    """
    images, channels, columns = x.shape[0], x.shape[3], weight.shape[1] // groups
    flat_x, flat_weight, flat_out = x.reshape(-1), weight.reshape(-1), out.reshape(-1)
    image_size, out_size = x.shape[1] * x.shape[2] * channels, out.shape[1] * out.shape[2] * out.shape[3]
    is_padded = height != x.shape[1] or width != x.shape[2]
    floor = out.dtype.type(0) if activation == RELU else out.dtype.type(-np.inf)
    chunks = min(images, _FORWARD_CHUNKS)
    for chunk in prange(chunks):
        buffer = np.zeros((height, width, channels) if is_padded else (0, 0, 0), x.dtype)
        for image in range(chunk * images // chunks, (chunk + 1) * images // chunks):
            source, source_at = flat_x, image * image_size
            if is_padded:
                with_margin(x[image], above, left, buffer)
                source, source_at = buffer.reshape(-1), 0
            # fmt: off
            _multiply_groups(
                groups, source, source_at, channels // groups, 1, parts, rows, runs, length,
                flat_weight, weight_runs, weight.shape[1], bias, floor,
                flat_out, image * out_size, out_rows, columns, False,
            )
            # fmt: on
            if activation > RELU:
                activate(flat_out[image * out_size : (image + 1) * out_size], activation)


@kernel(writes=("grad_x", "grad_weight", "grad_bias"), parallel=True)
def convolve_backward(
    grad: Array,
    out: Array,
    x: Array,
    weight: Array,
    groups: int,
    x_above: int,
    x_left: int,
    x_height: int,
    x_width: int,
    above: int,
    left: int,
    height: int,
    width: int,
    pixel_parts: Array,
    pixel_rows: Array,
    pixel_out_rows: Array,
    pixel_runs: Array,
    pixel_weight_runs: Array,
    pixel_length: int,
    tap_parts: Array,
    tap_rows: Array,
    tap_out_rows: Array,
    tap_runs: Array,
    tap_grad_runs: Array,
    pixel_step: int,
    grad_x: Array,
    grad_weight: Array,
    grad_bias: Array,
) -> None:
    """Gradients of a convolution whose output had the gradient `grad` (N, OH, OW, out channels).

    out:
        (N, OH, OW, out channels) if a ReLU follows that takes its slope from it, else empty.
    x, weight:
        (N, H, W, channels), empty unless grad_weight is wanted; (terms, channels), rotated as `input_gradient_tables`
        says, empty unless grad_x is wanted.
    x_above … pixel_step:
        Margins and tables, of `input_gradient_tables` (pixel_…) and `weight_gradient_tables` (tap_…); pixel_step is
        from one output pixel of a row to the next in the padded x.
    grad_x, grad_weight, grad_bias:
        (N, H, W, channels), (terms, out channels) and (out channels,); an empty one is not computed.
    """
    images, out_channels = grad.shape[0], grad.shape[3]
    channels = x.shape[3] if x.size else weight.shape[1]
    flat_x, flat_weight = x.reshape(-1), weight.reshape(-1)
    flat_grad_x, flat_grad_weight = grad_x.reshape(-1), grad_weight.reshape(-1)
    image_size = grad_x.size // images
    is_padded = x_height != x.shape[1] or x_width != x.shape[2]
    no_floor, nothing = grad.dtype.type(-np.inf), np.empty(0, grad.dtype)
    chunks = min(images, _BACKWARD_CHUNKS)
    weight_parts = np.empty((chunks, grad_weight.size), grad.dtype)
    bias_parts = np.zeros((chunks, grad_bias.size), grad.dtype)
    for chunk in prange(chunks):
        buffer = np.zeros((height, width, out_channels), grad.dtype)
        flat_buffer = buffer.reshape(-1)
        x_buffer = np.zeros((x_height, x_width, channels) if is_padded and x.size else (0, 0, 0), grad.dtype)
        pixel_sums = np.empty(grad_bias.size, grad.dtype)
        first, last = chunk * images // chunks, (chunk + 1) * images // chunks
        for image in range(first, last):
            if out.size:
                masked_with_margin(grad[image], out[image], above, left, buffer)
            else:
                with_margin(grad[image], above, left, buffer)
            if grad_bias.size:
                add_pixels(buffer, above, left, grad.shape[1], grad.shape[2], pixel_sums, bias_parts[chunk])
            if grad_x.size:
                # fmt: off
                _multiply_groups(
                    groups, flat_buffer, 0, out_channels // groups, 1, pixel_parts, pixel_rows,
                    pixel_runs, pixel_length, flat_weight, pixel_weight_runs, channels,
                    nothing, no_floor, flat_grad_x, image * image_size, pixel_out_rows, channels // groups, False,
                )
                # fmt: on
            if grad_weight.size:
                source, source_at = flat_x, image * x.shape[1] * x.shape[2] * channels
                if is_padded:
                    with_margin(x[image], x_above, x_left, x_buffer)
                    source, source_at = x_buffer.reshape(-1), 0
                # fmt: off
                _multiply_groups(
                    groups, source, source_at, channels // groups, pixel_step, tap_parts, tap_rows,
                    tap_runs, grad.shape[2], flat_buffer, tap_grad_runs, out_channels,
                    nothing, no_floor, weight_parts[chunk], 0, tap_out_rows, out_channels // groups, image > first,
                )
                # fmt: on
    add_parts(weight_parts, flat_grad_weight)
    add_parts(bias_parts, grad_bias)


def conv_forward(
    x: Array, weight: Array, bias: Array | None, geometry: Geometry, out: Array, activation: int = NONE
) -> None:
    """Compute out = activation(x convolved with weight + bias).

    Parameters
    ----------
    x, out:
        (N, H, W, channels) and (N, OH, OW, out_channels), both C-contiguous, float32 or float64 like all others.
    weight:
        (out_channels, channels of a group, kernel height, kernel width), fastest where memory holds it as (kernel
        height, kernel width, channels, out_channels).
    bias:
        (out_channels,), added to each pixel.
    geometry:
        Sizes and options.
    activation:
        One of NONE, RELU, TANH, SIGMOID of `kernels.approx`.
    """
    if out.size == 0:
        return
    matrix = _matrix(weight.transpose(2, 3, 1, 0))
    bias = np.empty(0, out.dtype) if bias is None else bias
    if fits_winograd(geometry, out.dtype):
        winograd(x, matrix, bias, geometry, activation, out)
        return
    tables = forward_tables(geometry)
    count = out.size * matrix.shape[0]
    # fmt: off
    launch(convolve, x, *tables.margin, matrix, bias, geometry.groups, *tables[1:], activation, out,
           work=count // _WORK, multiply_adds=count)
    # fmt: on


def conv_backward(
    grad: Array,
    out: Array | None,
    x: Array | None,
    weight: Array | None,
    geometry: Geometry,
    grad_x: Array | None,
    grad_weight: Array | None,
    grad_bias: Array | None,
) -> None:
    """Write the gradients of a convolution that are not None.

    Parameters
    ----------
    grad:
        Of the output, (N, OH, OW, out_channels), C-contiguous.
    out:
        The output, if a ReLU was fused; else None.
    x, weight:
        As in `conv_forward`; x may be None without grad_weight, weight without grad_x.
    geometry:
        Sizes and options.
    grad_x, grad_weight, grad_bias:
        (N, H, W, channels), C-contiguous; (kernel height, kernel width, channels of a group, out_channels),
        C-contiguous; (out_channels,).
    """
    if grad.size == 0:
        for array in (grad_x, grad_weight, grad_bias):
            if array is not None:
                launch(fill, array, 0.0)
        return
    nothing = np.empty(0, grad.dtype)
    no_image, no_matrix = nothing.reshape(0, 0, 0, 0), nothing.reshape(0, 0)
    mask = no_image if out is None else out
    images = no_image if grad_weight is None or x is None else x
    rotated = no_matrix if grad_x is None or weight is None else _rotated(weight, geometry)
    terms = geometry.kernel[0] * geometry.kernel[1] * geometry.group_channels
    into_x = no_image if grad_x is None else grad_x
    into_weight = no_matrix if grad_weight is None else grad_weight.reshape(terms, geometry.out_channels)
    into_bias = nothing if grad_bias is None else grad_bias
    if fits_winograd(geometry, grad.dtype):
        winograd_backward(grad, mask, images, rotated, geometry, into_x, into_weight, into_bias)
        return
    pixels = input_gradient_tables(geometry)
    taps = weight_gradient_tables(geometry, pixels.margin)
    launch(
        convolve_backward,
        grad,
        mask,
        images,
        rotated,
        geometry.groups,
        *taps.margin,
        *pixels.margin,
        *pixels[1:],
        *taps[1:-1],
        geometry.stride[1] * geometry.channels,
        into_x,
        into_weight,
        into_bias,
        work=grad.size * terms * 2 // _WORK,
        multiply_adds=grad.size * terms * 2,
    )


def _matrix(array: Array) -> Array:
    """(kernel height, kernel width, channels, columns) as (terms, columns)."""
    if not array.flags.c_contiguous:
        dense = np.empty(array.shape, array.dtype)
        launch(copy, array, dense)
        array = dense
    return array.reshape(-1, array.shape[3])


def _rotated(weight: Array, geometry: Geometry) -> Array:
    """The weight for the input's gradient: taps in reverse order, (taps · out channels of a group, channels)."""
    groups, kernel = geometry.groups, geometry.kernel
    apart = weight[:, :, ::-1, ::-1].reshape(groups, geometry.group_out_channels, geometry.group_channels, *kernel)
    # (groups, out, in, ky, kx) -> (ky, kx, out, groups, in)
    swapped = apart.transpose(3, 4, 1, 0, 2)
    dense = np.empty(swapped.shape, weight.dtype)
    launch(copy, swapped, dense)
    return dense.reshape(-1, geometry.channels)
