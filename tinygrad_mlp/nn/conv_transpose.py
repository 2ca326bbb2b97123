"""ConvTranspose1d and ConvTranspose2d: images and sequences enlarged by a weight, for decoders and generators."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike
from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_sizes
from tinygrad_mlp.autodiff.ops.conv_transpose import transposed_sizes
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn import init
from tinygrad_mlp.nn.checks import check_dtype, check_groups, check_size
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.parameter import Parameter

__all__ = ["ConvTranspose1d", "ConvTranspose2d"]

Sizes = int | Sequence[int]


class _ConvTranspose(Module):
    """What the two have in common."""

    weight: Parameter
    bias: Parameter | None

    _dims: int  # how many it enlarges
    _spread: Callable[..., Tensor]
    _shapes: str  # of its input, for messages

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
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
        options = transposed_sizes(layer, dims, stride, padding, output_padding, dilation)
        self.stride, self.padding, self.output_padding, self.dilation = options
        self.groups = check_groups(layer, groups, self.in_channels, self.out_channels)
        check_choice(layer, "padding_mode", padding_mode, ("zeros",))
        kind = check_dtype(layer, dtype, device)
        # Memory (kernel, out / groups, in) beneath (in, out / groups, kernel), the order in which kernels read it.
        stored = np.empty((*self.kernel_size, self.out_channels // self.groups, self.in_channels), kind)
        self.weight = Parameter(stored.transpose(dims + 1, dims, *range(dims)))
        self.register_parameter("bias", Parameter(np.empty(self.out_channels, kind)) if bias else None)
        self.reset_parameters(generator)

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw weight and bias anew."""
        init.kaiming_uniform_(self.weight, a=math.sqrt(5.0), generator=generator)  # gain √(1/3)
        if self.bias is not None:
            bound = 1.0 / math.sqrt(self._taps())
            init.uniform_(self.bias, -bound, bound, generator=generator)

    def _taps(self) -> int:
        """How many outputs each input reaches."""
        return self.out_channels // self.groups * math.prod(self.kernel_size)

    def forward(self, x: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """Enlarge; `output_size`, height and width, says what `output_padding` is to be."""
        if x.ndim not in (self._dims + 1, self._dims + 2) or x.shape[-1 - self._dims] != self.in_channels:
            expected = self._shapes.format(self.in_channels)
            raise ShapeError(f"{type(self).__name__}: input has shape {x.shape}, expected {expected}")
        more = self.output_padding if output_size is None else self._padding_for(x, output_size)
        spread = type(self)._spread
        return spread(x, self.weight, self.bias, self.stride, self.padding, more, self.groups, self.dilation)

    def _padding_for(self, x: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        """The output padding that gives this size."""
        layer = type(self).__name__
        wanted = check_sizes(layer, "output_size", tuple(output_size)[-self._dims :], 1, self._dims)
        least = self._sizes(x.shape[-self._dims :], (0,) * self._dims)
        more = tuple(size - low for size, low in zip(wanted, least, strict=True))
        most = tuple(max(pair) for pair in zip(self.stride, self.dilation, strict=True))
        if not all(0 <= extra < high for extra, high in zip(more, most, strict=True)):
            highest = tuple(low + high - 1 for low, high in zip(least, most, strict=True))
            raise ArgumentError(f"{layer}: output_size is {wanted}, expected from {least} to {highest} for {x.shape}")
        return more

    def _sizes(self, sizes: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
        """Output sizes for these input sizes."""
        every = zip(sizes, self.kernel_size, self.stride, self.padding, self.dilation, more, strict=True)
        return tuple((n - 1) * step - 2 * cut + tap * (k - 1) + extra + 1 for n, k, step, cut, tap, extra in every)

    def multiply_adds(self, output_shape: tuple[int, ...]) -> int:
        """out_channels / groups · kernel size for each element of the input."""
        sizes = output_shape[-self._dims :]
        least = self._sizes((1,) * self._dims, (0,) * self._dims)
        pixels = [(size - low) // step + 1 for size, low, step in zip(sizes, least, self.stride, strict=True)]
        images = math.prod(output_shape[: -self._dims - 1])
        return images * self.in_channels * math.prod(pixels) * self._taps()

    def extra_repr(self) -> str:
        """`16, 1, kernel_size=(4, 4), stride=(2, 2), padding=(1, 1)`."""
        text = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        zeros, ones = (0,) * self._dims, (1,) * self._dims
        settings = [
            ("padding", self.padding, zeros),
            ("output_padding", self.output_padding, zeros),
            ("dilation", self.dilation, ones),
            ("groups", self.groups, 1),
            ("bias", self.bias is not None, True),
        ]
        return text + "".join(f", {name}={value}" for name, value, default in settings if value != default)


class ConvTranspose2d(_ConvTranspose):
    """Each pixel times a weight, spread over a window of a larger image: (N, in_channels, H, W) -> (N, out, OH, OW).

    OH = (H - 1) stride - 2 padding + dilation (kernel height - 1) + output_padding + 1, and OW alike.

    Parameters
    ----------
    in_channels, out_channels:
        Of the images.
    kernel_size, stride, padding, output_padding, groups, dilation:
        As for `F.conv_transpose2d`.
    bias:
        Whether there is one.
    padding_mode:
        "zeros", the only one.
    device, dtype, generator:
        The CPU; of the parameters, float32 by default; of the starting values.

    Attributes
    ----------
    weight:
        (in_channels, out_channels / groups, kernel height, kernel width).
    bias:
        (out_channels,), or None.

    Both start uniform in ±1/√(out_channels / groups · kernel height · kernel width), PyTorch's default.

    Raises
    ------
    ArgumentError
        A size below 1, a negative padding, groups that do not divide the channels, an output_padding that is not below
        the stride or the dilation; when called: an output_size that cannot be reached.
    ShapeError
        When called: another number of channels or dimensions.

    >>> nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1)(tg.zeros(8, 16, 14, 14)).shape
    (8, 1, 28, 28)
    """

    _dims = 2
    _spread = F.conv_transpose2d
    _shapes = "(N, {0}, H, W) or ({0}, H, W)"


class ConvTranspose1d(_ConvTranspose):
    """Of sequences: (N, in_channels, L) -> (N, out_channels, OL).

    See `ConvTranspose2d`: all sizes are for one dimension.
    """

    _dims = 1
    _spread = F.conv_transpose1d
    _shapes = "(N, {0}, L) or ({0}, L)"
