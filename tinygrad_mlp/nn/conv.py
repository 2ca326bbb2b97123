"""Convolutions: Conv1d, Conv2d."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike
from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_sizes
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn import init
from tinygrad_mlp.nn.checks import check_dtype, check_groups, check_size
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.parameter import Parameter

__all__ = ["Conv1d", "Conv2d"]

Sizes = int | tuple[int, ...]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """A weight slid over all positions of the last dimensions, one or two."""

    weight: Parameter
    bias: Parameter | None

    _dims: int  # how many it slides over
    _convolve: Callable[..., Tensor]
    _shapes: str  # of its input, for messages

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        device: DeviceLike | None = None,
        dtype: DtypeLike | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        layer, dims = type(self).__name__, self._dims
        self.in_channels = check_size(layer, "in_channels", in_channels)
        self.out_channels = check_size(layer, "out_channels", out_channels)
        self.kernel_size = check_sizes(layer, "kernel_size", kernel_size, 1, dims)
        self.stride = check_sizes(layer, "stride", stride, 1, dims)
        self.dilation = check_sizes(layer, "dilation", dilation, 1, dims)
        self.groups = check_groups(layer, groups, self.in_channels, self.out_channels)
        check_choice(layer, "padding_mode", padding_mode, _PADDING_MODES)
        self.padding_mode = padding_mode
        self.padding: str | tuple[int, ...]
        if isinstance(padding, str):
            check_choice(layer, "padding", padding, ("same", "valid"))
            if padding == "same" and max(self.stride) > 1:
                raise ArgumentError(f"{layer}: padding 'same' with stride {self.stride}: only stride 1 keeps the size")
            self.padding = padding
        else:
            self.padding = check_sizes(layer, "padding", padding, 0, dims)
        kind = check_dtype(layer, dtype, device)
        # Memory (kernel, in / groups, out) beneath (out, in / groups, kernel).
        stored = np.empty((*self.kernel_size, self.in_channels // self.groups, self.out_channels), kind)
        self.weight = Parameter(stored.transpose(dims + 1, dims, *range(dims)))
        self.register_parameter("bias", Parameter(np.empty(self.out_channels, kind)) if bias else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5.0), generator=generator)  # gain √(1/3): ±1/√fan_in
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self._fan_in())
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def _fan_in(self) -> int:
        """How many inputs each output sees."""
        return self.in_channels // self.groups * math.prod(self.kernel_size)

    def forward(self, x: Tensor, activation: str | None = None) -> Tensor:
        """Convolve; `Sequential` passes on the activation that follows ("relu", …)."""
        if x.ndim not in (self._dims + 1, self._dims + 2) or x.shape[-1 - self._dims] != self.in_channels:
            expected = self._shapes.format(self.in_channels)
            raise ShapeError(f"{type(self).__name__}: input has shape {x.shape}, expected {expected}")
        padding = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._widths(), self.padding_mode), 0
        return type(self)._convolve(
            x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups, activation
        )

    def _widths(self) -> list[int]:
        """The padding as `F.pad` takes it: (before, after) of the last dimension first."""
        widths: list[int] = []
        for place in reversed(range(self._dims)):
            if self.padding == "same":
                total = self.dilation[place] * (self.kernel_size[place] - 1)
                widths += [total // 2, total - total // 2]
            else:
                widths += [0 if isinstance(self.padding, str) else self.padding[place]] * 2
        return widths

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """in_channels / groups · kernel size for each element of the output."""
        return math.prod(output_shape) * self._fan_in()

    def extra_repr(self) -> str:
        """`1, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)`."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        ones = (1,) * self._dims
        settings = [
            ("padding", self.padding, (0,) * self._dims),
            ("dilation", self.dilation, ones),
            ("groups", self.groups, 1),
            ("bias", self.bias is not None, True),
            ("padding_mode", self.padding_mode, "zeros"),
        ]
        return text + "".join(f", {name}={value}" for name, value, default in settings if value != default)


class Conv2d(_Conv):
    """A weight slid over images, plus bias: (N, in_channels, H, W) -> (N, out_channels, OH, OW), or without the N.

    Parameters
    ----------
    in_channels, out_channels:
        Of the images.
    kernel_size, stride, dilation:
        Size of the window, steps from window to window, and from tap to tap within one; one number, or (vertical,
        horizontal).
    padding:
        On each side; a number, (vertical, horizontal), "valid" for none, or "same" for an output of the input's size.
    groups:
        Input and output channels come in so many groups, and each sees its own alone.
    bias:
        Whether there is one.
    padding_mode:
        What stands in the padding: "zeros", "reflect", "replicate" or "circular", as in `F.pad`.
    generator:
        Of the starting values; by default the one that `tg.manual_seed` seeds.
    dtype:
        Of the parameters, float32 by default.

    Attributes
    ----------
    weight:
        (out_channels, in_channels / groups, kernel height, kernel width), a view of memory that holds it as (kernel
        height, kernel width, in_channels / groups, out_channels), in which order the kernels read it.
    bias:
        (out_channels,), or None.

    Both start uniform in ±1/√(in_channels / groups · kernel height · kernel width), PyTorch's default.

    Raises
    ------
    ArgumentError
        A size below 1, a negative padding, groups that do not divide the channels, "same" with a stride, an unknown
        padding mode.
    ShapeError
        When called: another number of channels or dimensions, or a kernel larger than the padded image.

    >>> nn.Conv2d(1, 32, 3, padding=1)
    Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))
    """

    _dims = 2
    _convolve = F.conv2d
    _shapes = "(N, {0}, H, W) or ({0}, H, W)"


class Conv1d(_Conv):
    """A weight slid over sequences, plus bias: (N, in_channels, L) -> (N, out_channels, OL), or without the N.

    See `Conv2d`: all sizes are for one dimension. The weight is (out_channels, in_channels / groups, kernel size).
    """

    _dims = 1
    _convolve = F.conv1d
    _shapes = "(N, {0}, L) or ({0}, L)"
