"""Pooling of sequences: MaxPool1d, AvgPool1d, AdaptiveAvgPool1d."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_mlp.autodiff.ops.checks import check_sizes
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.checks import check_flag
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.pool import check_window

__all__ = ["AdaptiveAvgPool1d", "AvgPool1d", "MaxPool1d"]

Size = int | Sequence[int]


class MaxPool1d(Module):
    """Maximum of each window of a sequence, each channel for itself: (N, C, L) -> (N, C, OL).

    Arguments and errors are those of `MaxPool2d`, with one number where that has a pair.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        check_sizes("MaxPool1d", "dilation", dilation, 1, 1)
        check_flag("MaxPool1d", "return_indices", return_indices)
        self.kernel_size, self.stride, self.padding = check_window(
            "MaxPool1d", 1, kernel_size, stride, padding, ceil_mode
        )
        self.dilation, self.return_indices, self.ceil_mode = dilation, return_indices, ceil_mode

    def forward(self, x: Tensor) -> Any:
        """(N, C, L) or (C, L); the maxima, with `return_indices` a pair."""
        return F.max_pool1d(
            x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices
        )

    def extra_repr(self) -> str:
        """`kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False`."""
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool1d(Module):
    """Mean of each window of a sequence, each channel for itself: (N, C, L) -> (N, C, OL).

    Arguments and errors are those of `AvgPool2d`, with one number where that has a pair.
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        check_flag("AvgPool1d", "count_include_pad", count_include_pad)
        self.kernel_size, self.stride, self.padding = check_window(
            "AvgPool1d", 1, kernel_size, stride, padding, ceil_mode
        )
        self.ceil_mode, self.count_include_pad = ceil_mode, count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) or (C, L)."""
        return F.avg_pool1d(x, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        """`kernel_size=2, stride=2, padding=0`."""
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool1d(Module):
    """Means of windows that share a sequence as evenly as may be: (N, C, L) -> (N, C, output_size).

    Raises `ArgumentError` for a size below 0; when called, `ShapeError` for another shape.
    """

    def __init__(self, output_size: Size) -> None:
        super().__init__()
        check_sizes("AdaptiveAvgPool1d", "output_size", output_size, 0, 1)
        self.output_size = output_size

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, L) or (C, L)."""
        return F.adaptive_avg_pool1d(x, self.output_size)

    def extra_repr(self) -> str:
        """`output_size=7`."""
        return f"output_size={self.output_size}"
