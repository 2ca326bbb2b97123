"""Padding of images: ZeroPad2d, ReflectionPad2d, ReplicationPad2d, CircularPad2d."""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_mlp.autodiff.ops.dims import sizes
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.module import Module

__all__ = ["CircularPad2d", "ReflectionPad2d", "ReplicationPad2d", "ZeroPad2d"]


class _Pad2d(Module):
    """Rows and columns more at the borders of images: (N, C, H, W) or (C, H, W)."""

    _mode: str

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        layer = type(self).__name__
        widths = sizes(layer, [padding])
        self.padding = widths * 4 if isinstance(padding, int) else widths
        if len(self.padding) != 4:
            raise ArgumentError(f"{layer}: padding is {padding!r}, expected a number or (left, right, top, bottom)")

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, top + H + bottom, left + W + right)."""
        if x.ndim not in (3, 4):
            raise ShapeError(f"{type(self).__name__}: input has shape {x.shape}, expected (N, C, H, W) or (C, H, W)")
        return F.pad(x, self.padding, self._mode)

    def extra_repr(self) -> str:
        """`(1, 1, 1, 1)`."""
        return f"{self.padding}"


class ZeroPad2d(_Pad2d):
    """Zeros around images; `padding` is one width, or (left, right, top, bottom), and cuts off where negative.

    Raises `ArgumentError` for another number of widths and, when called, `ShapeError` for another number of dimensions
    or if more is cut off than there is.
    """

    _mode = "constant"


class ReflectionPad2d(_Pad2d):
    """Images mirrored at their border pixels; widths must be less than the image. See `ZeroPad2d`."""

    _mode = "reflect"


class ReplicationPad2d(_Pad2d):
    """The border pixels of images repeated. See `ZeroPad2d`."""

    _mode = "replicate"


class CircularPad2d(_Pad2d):
    """Images that go on at the other side; widths must not exceed the image. See `ZeroPad2d`."""

    _mode = "circular"
