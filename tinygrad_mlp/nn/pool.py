"""Pooling: MaxPool2d, AvgPool2d, AdaptiveAvgPool2d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_mlp.autodiff.ops.checks import check_pair, check_sizes
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.checks import check_flag
from tinygrad_mlp.nn.module import Module

__all__ = ["AdaptiveAvgPool2d", "AvgPool2d", "MaxPool2d", "check_window"]

Pair = int | Sequence[int]


class MaxPool2d(Module):
    """Maximum of each window of an image, each channel for itself: (N, C, H, W) -> (N, C, OH, OW).

    OH = (H + 2 padding - dilation (kernel_size - 1) - 1) // stride + 1, and OW alike.

    Parameters
    ----------
    kernel_size, stride, padding, dilation:
        A whole number, or one for height and one for width; the stride is kernel_size if None.
    return_indices:
        Return the maxima and, as int64, where in their image they were: row · W + column.
    ceil_mode:
        Also the last window that no longer fits, if it begins inside the image or the padding before it.

    Raises
    ------
    ArgumentError
        A size, stride or dilation below 1, padding below 0; when called: padding above half of the window.
    ShapeError
        When called: another shape, or a window larger than the padded image.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        dilation: Pair = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        check_pair("MaxPool2d", "dilation", dilation, 1)
        check_flag("MaxPool2d", "return_indices", return_indices)
        self.kernel_size, self.stride, self.padding = check_window(
            "MaxPool2d", 2, kernel_size, stride, padding, ceil_mode
        )
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def forward(self, x: Tensor) -> Any:
        """(N, C, H, W) or (C, H, W); the maxima, with `return_indices` a pair."""
        return F.max_pool2d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def halves(self) -> bool:
        """Whether its windows are whole ones of 2 x 2 side by side, and it returns the maxima alone."""
        pairs = [value in (2, (2, 2), [2, 2]) for value in (self.kernel_size, self.stride)]
        is_plain = self.padding in (0, (0, 0), [0, 0]) and self.dilation in (1, (1, 1), [1, 1])
        return all(pairs) and is_plain and not (self.ceil_mode or self.return_indices)

    def extra_repr(self) -> str:
        """`kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False`."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """Mean of each window of an image, each channel for itself: (N, C, H, W) -> (N, C, OH, OW).

    OH = (H + 2 padding - kernel_size) // stride + 1, and OW alike.

    Parameters
    ----------
    kernel_size, stride, padding:
        A whole number, or one for height and one for width; the stride is kernel_size if None.
    ceil_mode:
        Also the last window that no longer fits, if it begins inside the image or the padding before it.
    count_include_pad:
        Whether the padding, which is 0, counts in the number that the sum is divided by.
    divisor_override:
        What to divide by instead.

    Raises
    ------
    ArgumentError
        A size or stride below 1, padding below 0, divisor_override 0; when called: padding above half of the window.
    ShapeError
        When called: another shape, or a window larger than the padded image.
    """

    def __init__(
        self,
        kernel_size: Pair,
        stride: Pair | None = None,
        padding: Pair = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        check_flag("AvgPool2d", "count_include_pad", count_include_pad)
        self.kernel_size, self.stride, self.padding = check_window(
            "AvgPool2d", 2, kernel_size, stride, padding, ceil_mode
        )
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        if divisor_override == 0:
            raise ArgumentError("AvgPool2d: divisor_override must not be 0")
        self.divisor_override = divisor_override

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W)."""
        return F.avg_pool2d(
            x,
            self.kernel_size,
            self.stride,
            self.padding,
            self.ceil_mode,
            self.count_include_pad,
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        """`kernel_size=2, stride=2, padding=0`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """Means of windows that share an image as evenly as pixels allow: (N, C, H, W) -> (N, C, *output_size).

    Parameters
    ----------
    output_size:
        Height and width of the result, or one number for both; None for that of the input.

    Raises
    ------
    ArgumentError
        A size below 0.
    ShapeError
        When called: another shape.

    >>> nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())(tg.ones(2, 3, 7, 7)).shape
    (2, 3)
    """

    def __init__(self, output_size: int | None | Sequence[int | None]) -> None:
        super().__init__()
        sizes = list(output_size) if isinstance(output_size, Sequence) else [output_size] * 2
        check_pair("AdaptiveAvgPool2d", "output_size", [0 if size is None else size for size in sizes], 0)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W)."""
        return F.adaptive_avg_pool2d(x, self.output_size)

    def extra_repr(self) -> str:
        """`output_size=(None, 7)`."""
        return f"output_size={self.output_size}"


def check_window(
    layer: str, dims: int, kernel_size: Pair, stride: Pair | None, padding: Pair, ceil_mode: bool
) -> tuple[Pair, Pair, Pair]:
    """The settings as given, the stride filled in; `ArgumentError` unless they are sizes in so many dimensions."""
    check_sizes(layer, "kernel_size", kernel_size, 1, dims)
    if stride is not None:
        check_sizes(layer, "stride", stride, 1, dims)
    check_sizes(layer, "padding", padding, 0, dims)
    check_flag(layer, "ceil_mode", ceil_mode)
    return kernel_size, kernel_size if stride is None else stride, padding
