"""Transposed convolutions: what a convolution does to gradients, done to images, which it enlarges.

A convolution adds up, for each output pixel, the pixels of its window; transposed, each input pixel is spread over a
window of the output. So `conv_transpose2d` is the input gradient of a convolution, an op that is there already.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import SupportsIndex, cast

from tinygrad_mlp.autodiff.ops.checks import check_floats, check_sizes
from tinygrad_mlp.autodiff.ops.conv import convolve_input_gradient
from tinygrad_mlp.autodiff.ops.pad import pad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.conv_tables import Geometry

__all__ = ["conv_transpose1d", "conv_transpose2d", "transposed_sizes"]

Sizes = int | Sequence[int]

_EXPECTED = {
    1: "(N, in, L) or (in, L), and (in, out / groups, kernel size)",
    2: "(N, in, H, W) or (in, H, W), and (in, out / groups, kernel height, kernel width)",
}


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Each pixel times the weight, spread over a window of a larger image, where windows add up; plus bias.

    Parameters
    ----------
    input:
        (N, in, H, W), or one image (in, H, W).
    weight:
        (in, out / groups, kernel height, kernel width); fastest where memory holds it as (kernel height, kernel width,
        out / groups, in), as `nn.ConvTranspose2d` stores it.
    bias:
        (out,), or None.
    stride, dilation:
        Steps from window to window of the output, and from tap to tap within one.
    padding:
        How many rows and columns are cut off on each side.
    output_padding:
        How many more there are below and to the right: with a stride several sizes of an image have convolutions of
        one size, and this says which of them is meant.
    groups:
        Input and output channels come in so many groups, and each sees its own alone.

    Each size is one number, or (vertical, horizontal).

    Returns
    -------
    Tensor
        (N, out, OH, OW), OH = (H - 1) stride - 2 padding + dilation (kernel height - 1) + output_padding + 1, and OW
        alike.

    Raises
    ------
    ShapeError
        Shapes do not fit, or nothing is left of the image.
    DtypeError
        Integers, or float32 with float64.
    ArgumentError
        A stride, dilation or number of groups below 1, a negative padding, groups that do not divide the channels, an
        output_padding that is not below the stride or the dilation.

    >>> images, weight = tg.randn(8, 16, 7, 7), tg.randn(16, 3, 4, 4)
    >>> tg.nn.functional.conv_transpose2d(images, weight, stride=2, padding=1).shape
    (8, 3, 14, 14)
    """
    return _spread("conv_transpose2d", 2, input, weight, bias, stride, padding, output_padding, groups, dilation)


def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    groups: int = 1,
    dilation: Sizes = 1,
) -> Tensor:
    """Of sequences: (N, in, L), or (in, L), and (in, out / groups, kernel size). All else is as in `conv_transpose2d`.

    It is a `conv_transpose2d` over images of height 1.
    """
    return _spread("conv_transpose1d", 1, input, weight, bias, stride, padding, output_padding, groups, dilation)


def transposed_sizes(
    name: str, dims: int, stride: Sizes, padding: Sizes, output_padding: Sizes, dilation: Sizes
) -> tuple[tuple[int, ...], ...]:
    """The four options, a number for each dimension. Raises `ArgumentError` as `conv_transpose2d`."""
    steps = check_sizes(name, "stride", stride, 1, dims)
    cut = check_sizes(name, "padding", padding, 0, dims)
    more = check_sizes(name, "output_padding", output_padding, 0, dims)
    apart = check_sizes(name, "dilation", dilation, 1, dims)
    if any(extra >= max(step, tap) for extra, step, tap in zip(more, steps, apart, strict=True)):
        raise ArgumentError(
            f"{name}: output_padding is {output_padding}, expected less than the stride, {stride}, or the dilation, "
            f"{dilation}"
        )
    return steps, cut, more, apart


def _spread(
    name: str,
    dims: int,
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    groups: int,
    dilation: Sizes,
) -> Tensor:
    """Check everything, and spread over images: a sequence is an image of height 1."""
    check_floats(name, input=input, weight=weight, bias=bias)
    options = transposed_sizes(name, dims, stride, padding, output_padding, dilation)
    _check_shapes(name, dims, input, weight, bias, groups)
    is_single = input.ndim == dims + 1
    if is_single:
        input = input.unsqueeze(0)
    if dims == 1:
        input, weight = input.unsqueeze(2), weight.unsqueeze(2)
        options = tuple((first, *option) for first, option in zip((1, 0, 0, 1), options, strict=True))
    steps, cut, more, apart = options
    size: list[int] = []
    margins: list[tuple[int, int]] = []
    beyond: list[int] = []  # rows and columns that no window reaches
    for pixels, taps, step, before, extra, tap in zip(
        input.shape[2:], weight.shape[2:], steps, cut, more, apart, strict=True
    ):
        after = max(before - extra, 0)
        margins.append((before, after))
        beyond.append(max(extra - before, 0))
        size.append((pixels - 1) * step + tap * (taps - 1) + 1 - before - after)
    if min(size) < 1:
        raise ShapeError(
            f"{name}: of input shape {input.shape} and weight shape {weight.shape}, padding {padding} leaves nothing"
        )
    channels = weight.shape[1] * groups
    geometry = Geometry(
        cast("tuple[int, int]", tuple(size)),
        channels,
        weight.shape[0],
        cast("tuple[int, int]", weight.shape[2:]),
        cast("tuple[int, int]", steps),
        cast("tuple[tuple[int, int], tuple[int, int]]", tuple(margins)),
        cast("tuple[int, int]", apart),
        groups,
    )
    out = convolve_input_gradient(input, weight, geometry)
    if any(beyond):
        out = pad(out, (0, beyond[1], 0, beyond[0]))
    if bias is not None:
        out = out + bias.reshape(channels, 1, 1)
    if dims == 1:
        out = out.squeeze(2)
    return out.squeeze(0) if is_single else out


def _check_shapes(name: str, dims: int, input: Tensor, weight: Tensor, bias: Tensor | None, groups: int) -> None:
    if input.ndim not in (dims + 1, dims + 2) or weight.ndim != dims + 2:
        raise ShapeError(f"{name}: input has shape {input.shape}, weight {weight.shape}; expected {_EXPECTED[dims]}")
    channels = input.shape[-1 - dims]
    if isinstance(groups, bool) or not isinstance(cast(object, groups), SupportsIndex) or groups < 1:
        raise ArgumentError(f"{name}: groups is {groups!r}, expected a whole number of at least 1")
    if channels != weight.shape[0] or channels % groups:
        raise ShapeError(
            f"{name}: the input has {channels} channels, expected the {weight.shape[0]} of weight's shape "
            f"{weight.shape}, in {groups} equal groups"
        )
    if bias is not None and bias.shape != (weight.shape[1] * groups,):
        raise ShapeError(
            f"{name}: bias has shape {bias.shape}, expected ({weight.shape[1] * groups},), since weight has shape "
            f"{weight.shape} and groups is {groups}"
        )
    if 0 in (*input.shape[-dims:], *weight.shape):
        raise ShapeError(f"{name}: input of shape {input.shape} or weight of shape {weight.shape} holds nothing")
