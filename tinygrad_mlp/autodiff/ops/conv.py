"""Convolutions of images and of sequences.

`convolve` and its two gradients are three ops, each the derivative of the others, so that gradients can be
differentiated any number of times. Outside of that the three gradients of a convolution come from one kernel.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, SupportsIndex

import numpy as np

from tinygrad_mlp.autodiff.grad_memory import gradient_array
from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.channels import images_of, pixels_of
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats, check_sizes
from tinygrad_mlp.autodiff.ops.linear import ACTIVATIONS, SLOPES
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels import conv as kernels
from tinygrad_mlp.kernels.conv_tables import Geometry
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.memory import empty

__all__ = ["conv1d", "conv2d", "convolve", "convolve_input_gradient", "convolve_weight_gradient"]

Sizes = int | Sequence[int]
Padding = str | Sizes


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Tensor:
    """activation(weight slid over the images + bias): a cross-correlation, as PyTorch's `conv2d`.

    Parameters
    ----------
    input:
        (N, in, H, W), or one image (in, H, W). Fastest where memory holds it as N, H, W, in, which is how images come
        out of every layer of this package.
    weight:
        (out, in / groups, kernel height, kernel width); fastest where memory holds it as (kernel height, kernel width,
        in / groups, out), as `nn.Conv2d` stores it.
    bias:
        (out,), or None.
    stride, dilation:
        Steps from window to window, and from tap to tap within one; one number, or (vertical, horizontal).
    padding:
        Zeros on each side; a number, (vertical, horizontal), "valid" for none, or "same" for an output of the input's
        size, with the odd one below or to the right.
    groups:
        Input and output channels come in so many groups, and each sees its own alone.
    activation:
        None, "relu", "tanh" or "sigmoid", fused.

    Returns
    -------
    Tensor
        (N, out, OH, OW), OH = (H + 2 padding - dilation (kernel height - 1) - 1) // stride + 1, and OW alike. An empty
        batch gives an empty result.

    Raises
    ------
    ShapeError
        Shapes do not fit, or the kernel is larger than the padded image.
    DtypeError
        Integers, or float32 with float64.
    ArgumentError
        A stride, dilation or number of groups below 1, a negative padding, groups that do not divide the channels,
        "same" with a stride, an unknown activation.

    >>> images, weight = tg.randn(8, 3, 28, 28), tg.randn(16, 3, 5, 5)
    >>> tg.nn.functional.conv2d(images, weight, stride=2, padding=2).shape
    (8, 16, 14, 14)
    """
    return _convolved("conv2d", 2, input, weight, bias, stride, padding, dilation, groups, activation)


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Tensor:
    """activation(weight slid over the sequences + bias): (N, in, L), or (in, L), and (out, in / groups, kernel size).

    All else is as in `conv2d`, for one dimension; it is a `conv2d` over images of height 1.
    """
    return _convolved("conv1d", 1, input, weight, bias, stride, padding, dilation, groups, activation)


def _convolved(
    name: str,
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
    activation: str | None,
) -> Tensor:
    """Check everything, and convolve as images: a sequence is an image of height 1."""
    check_floats(name, input=input, weight=weight, bias=bias)
    check_choice(name, "activation", activation, tuple(ACTIVATIONS))
    shapes = input.shape, weight.shape, None if bias is None else bias.shape
    geometry = _geometry(name, dims, *shapes, *map(_hashable, (stride, padding, dilation)), groups)
    is_single = input.ndim == dims + 1
    if is_single:
        input = input.unsqueeze(0)
    if dims == 1:
        input, weight = input.unsqueeze(2), weight.unsqueeze(2)
    out = convolve(input, weight, bias, geometry, activation)
    if dims == 1:
        out = out.squeeze(2)
    return out.squeeze(0) if is_single else out


def _hashable(option: Any) -> Any:
    return tuple(option) if isinstance(option, list) else option  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


@lru_cache(maxsize=256)
def _geometry(
    name: str,
    dims: int,
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    bias: tuple[int, ...] | None,
    stride: Sizes,
    padding: Padding,
    dilation: Sizes,
    groups: int,
) -> Geometry:
    """Check shapes and options, once for each combination; of images, or of sequences as images of height 1."""
    if len(shape) not in (dims + 1, dims + 2) or len(weight) != dims + 2:
        raise ShapeError(f"{name}: input has shape {shape}, weight {weight}; expected {_EXPECTED[dims]}")
    steps, apart = (
        check_sizes(name, argument, value, 1, dims) for argument, value in (("stride", stride), ("dilation", dilation))
    )
    size, kernel = shape[-dims:], weight[2:]
    margins = _margins(name, padding, kernel, steps, apart)
    _check_groups(name, shape[-1 - dims], weight, bias, groups)
    if dims == 1:
        size, kernel, steps, apart, margins = (1, *size), (1, *kernel), (1, *steps), (1, *apart), ((0, 0), *margins)
    # fmt: off
    geometry = Geometry(size, shape[-1 - dims], weight[0], kernel, steps, margins, apart, groups)  # pyright: ignore[reportArgumentType]  pairs by now
    # fmt: on
    if min(geometry.out_size) < 1 or min(kernel) < 1:
        raise ShapeError(
            f"{name}: the kernel {kernel[-dims:]}, with dilation {apart[-dims:]}, is larger than the padded input "
            f"{geometry.padded_size[-dims:]} (input shape {shape}, weight shape {weight})"
        )
    return geometry


_EXPECTED = {
    1: "(N, in, L) or (in, L), and (out, in / groups, kernel size)",
    2: "(N, in, H, W) or (in, H, W), and (out, in / groups, kernel height, kernel width)",
}


def _margins(
    name: str, padding: Padding, kernel: tuple[int, ...], stride: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, int], ...]:
    """Zeros (before, after) in each dimension."""
    if not isinstance(padding, str):
        return tuple((zeros, zeros) for zeros in check_sizes(name, "padding", padding, 0, len(kernel)))
    check_choice(name, "padding", padding, ("same", "valid"))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if max(stride) > 1:
        raise ArgumentError(f"{name}: padding 'same' with stride {stride}: only stride 1 keeps the size")
    totals = [step * (taps - 1) for step, taps in zip(dilation, kernel, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def _check_groups(name: str, channels: int, weight: tuple[int, ...], bias: tuple[int, ...] | None, groups: int) -> None:
    out_channels, group_channels = weight[:2]
    if isinstance(groups, bool) or not isinstance(groups, SupportsIndex):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without types
        raise DtypeError(f"{name}: groups is {groups!r}, expected a whole number")
    if groups < 1 or channels % groups or out_channels % groups:
        raise ArgumentError(
            f"{name}: groups is {groups}, expected a number of at least 1 that divides the {channels} input channels "
            f"and the {out_channels} output channels"
        )
    if channels != group_channels * groups:
        raise ShapeError(
            f"{name}: the input has {channels} channels, expected {group_channels * groups}, since weight has shape "
            f"{weight} and groups is {groups}"
        )
    if bias is not None and bias != (out_channels,):
        raise ShapeError(f"{name}: bias has shape {bias}, expected ({out_channels},), since weight has shape {weight}")


@op
def convolve(
    input: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, activation: str | None
) -> tuple[Array, Backward]:
    """`conv2d` with all that it checks and works out done: (N, in, H, W) -> (N, out, OH, OW)."""
    x = pixels_of(input.array)
    bias_array = None if bias is None else bias.array
    array = empty((x.shape[0], *geometry.out_size, geometry.out_channels), x.dtype)
    kernels.conv_forward(x, weight.array, bias_array, geometry, array, ACTIVATIONS[activation])

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        if grad_enabled.get():
            before = grad if activation is None else SLOPES[activation](grad, out)
            grad_x = convolve_input_gradient(before, weight, geometry) if needs_grad(input) else None
            grad_weight = convolve_weight_gradient(input, before, geometry) if needs_grad(weight) else None
            return grad_x, grad_weight, before.sum((0, 2, 3)) if needs_grad(bias) else None
        if activation not in (None, "relu"):
            grad = SLOPES[activation](grad, out)
        mask = pixels_of(out.array) if activation == "relu" else None
        return _fused_gradients(pixels_of(grad.array), mask, x, input, weight, bias, geometry)

    return images_of(array), backward


def _fused_gradients(
    grad: Array,
    out: Array | None,
    x: Array,
    input: Tensor | None,
    weight: Tensor,
    bias: Tensor | None,
    geometry: Geometry,
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
    """Those gradients that are needed, in one pass over the images."""
    grad_x = empty((grad.shape[0], *geometry.size, geometry.channels), grad.dtype) if needs_grad(input) else None
    grad_weight = _weight_memory(weight) if needs_grad(weight) else None
    grad_bias = gradient_array(bias) if bias is not None and bias.wants_grad else None
    in_order = None if grad_weight is None else grad_weight.transpose(2, 3, 1, 0)
    kernels.conv_backward(grad, out, x, weight.array, geometry, grad_x, in_order, grad_bias)
    return (
        None if grad_x is None else wrap(images_of(grad_x)),
        None if grad_weight is None else wrap(grad_weight),
        None if grad_bias is None else wrap(grad_bias),
    )


def _weight_memory(weight: Tensor) -> Array:
    """Memory for the gradient of a weight that the kernel can write: (kH, kW, in, out) beneath (out, in, kH, kW)."""
    if weight.array.transpose(2, 3, 1, 0).flags.c_contiguous:
        return gradient_array(weight)
    out_channels, channels, height, width = weight.shape
    return np.empty((height, width, channels, out_channels), weight.dtype).transpose(3, 2, 0, 1)


@op
def convolve_input_gradient(grad: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Array, Backward]:
    """Gradient of `convolve` for its input: (N, out, OH, OW), (out, in / groups, kH, kW) -> (N, in, H, W)."""
    pixels = pixels_of(grad.array)
    array = empty((pixels.shape[0], *geometry.size, geometry.channels), pixels.dtype)
    kernels.conv_backward(pixels, None, None, weight.array, geometry, array, None, None)

    def backward(double: Tensor, out: Tensor) -> tuple[Tensor | None, Tensor | None]:
        grad_grad = convolve(double, weight, None, geometry, None) if needs_grad(grad) else None
        grad_weight = convolve_weight_gradient(double, grad, geometry) if needs_grad(weight) else None
        return grad_grad, grad_weight

    return images_of(array), backward


@op
def convolve_weight_gradient(input: Tensor, grad: Tensor, geometry: Geometry) -> tuple[Array, Backward]:
    """Gradient of `convolve` for its weight: (N, in, H, W), (N, out, OH, OW) -> (out, in / groups, kH, kW)."""
    array = np.empty((*geometry.kernel, geometry.group_channels, geometry.out_channels), grad.dtype)
    kernels.conv_backward(pixels_of(grad.array), None, pixels_of(input.array), None, geometry, None, array, None)

    def backward(double: Tensor, out: Tensor) -> tuple[Tensor | None, Tensor | None]:
        grad_input = convolve_input_gradient(grad, double, geometry) if needs_grad(input) else None
        grad_grad = convolve(input, double, None, geometry, None) if needs_grad(grad) else None
        return grad_input, grad_grad

    return array.transpose(3, 2, 0, 1), backward
