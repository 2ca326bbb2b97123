"""A residual block: two convolutions, and the input added to what they make."""

from __future__ import annotations

from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn.checks import check_size
from tinygrad_mlp.nn.container import Sequential
from tinygrad_mlp.nn.conv import Conv2d
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.norm import BatchNorm2d

__all__ = ["ResidualBlock"]


class ResidualBlock(Module):
    """relu(bn2(conv2(relu(bn1(conv1(x))))) + skip(x)): (N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride).

    The basic block of He et al. 2016 (arXiv:1512.03385, figure 5), with 3×3 convolutions without bias. The skip is x
    itself, or a 1×1 convolution and a batch norm (its option B) where stride or channels change the shape. Parameters
    have torchvision's names: conv1, bn1, conv2, bn2, downsample.0, downsample.1.

    Parameters
    ----------
    in_channels:
        Of the input.
    out_channels:
        Of the output; in_channels by default.
    stride:
        Of the first convolution; sizes are rounded up.
    generator:
        Of the starting values; by default the one that `tg.manual_seed` seeds.
    dtype:
        Of the parameters, float32 by default.

    Raises
    ------
    ArgumentError
        A size or stride below 1.
    ShapeError
        When called: another shape, or training with fewer than two values per channel.

    >>> nn.Sequential(nn.ResidualBlock(16), nn.ResidualBlock(16, 32, stride=2))
    """

    downsample: Sequential | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int | None = None,
        stride: int = 1,
        *,
        generator: Generator | None = None,
        dtype: DtypeLike | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = check_size("ResidualBlock", "in_channels", in_channels)
        out = self.in_channels if out_channels is None else check_size("ResidualBlock", "out_channels", out_channels)
        self.out_channels = out
        self.stride = check_size("ResidualBlock", "stride", stride)

        def convolution(channels: int, kernel_size: int, stride: int) -> Conv2d:
            padding = kernel_size // 2
            return Conv2d(channels, out, kernel_size, stride, padding, bias=False, generator=generator, dtype=dtype)

        self.conv1 = convolution(self.in_channels, 3, self.stride)
        self.bn1 = BatchNorm2d(out, dtype=dtype)
        self.conv2 = convolution(out, 3, 1)
        self.bn2 = BatchNorm2d(out, dtype=dtype)
        if self.stride == 1 and self.in_channels == out:
            self.downsample = None
        else:
            self.downsample = Sequential(convolution(self.in_channels, 1, self.stride), BatchNorm2d(out, dtype=dtype))

    def forward(self, x: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H/stride, W/stride)."""
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ShapeError(f"ResidualBlock: input has shape {x.shape}, expected (N, {self.in_channels}, H, W)")
        out = self.bn1(self.conv1(x), "relu")
        out = self.bn2(self.conv2(out))
        return (out + (x if self.downsample is None else self.downsample(x))).relu()
