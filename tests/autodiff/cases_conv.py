"""Rows of the case table for convolutions, and their reference: the definition, as loops over output pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_mlp.autodiff.ops import conv
from tinygrad_mlp.testing import Arguments, OpCase, arrays_of

__all__ = ["CONV", "convolved", "drawn_options"]

Array = np.ndarray
Draw = st.DrawFn

ACTIVATIONS: dict[str | None, Callable[[Array], Array]] = {
    None: lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}


def pair(value: Any, dims: int) -> tuple[int, ...]:
    return (value,) * dims if isinstance(value, int) else tuple(value)


def margins(padding: Any, kernel: tuple[int, ...], dilation: tuple[int, ...]) -> list[tuple[int, int]]:
    if padding == "valid":
        return [(0, 0)] * len(kernel)
    if padding == "same":
        totals = [step * (taps - 1) for step, taps in zip(dilation, kernel, strict=True)]
        return [(total // 2, total - total // 2) for total in totals]
    return [(zeros, zeros) for zeros in pair(padding, len(kernel))]


def convolved(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Array:
    """Each output pixel from its own window, for one or two dimensions."""
    dims = weight.ndim - 2
    if x.ndim == dims + 1:
        return convolved(x[None], weight, bias, stride, padding, dilation, groups, activation)[0]
    if dims == 1:
        stride, dilation = (1, *pair(stride, 1)), (1, *pair(dilation, 1))
        padding = padding if isinstance(padding, str) else (0, *pair(padding, 1))
        out = convolved(x[:, :, None], weight[:, :, None], bias, stride, padding, dilation, groups, activation)
        return out[:, :, 0]
    (step_y, step_x), (apart_y, apart_x) = pair(stride, 2), pair(dilation, 2)
    padded = np.pad(x, [(0, 0), (0, 0), *margins(padding, weight.shape[2:], (apart_y, apart_x))])
    reach_y, reach_x = apart_y * (weight.shape[2] - 1) + 1, apart_x * (weight.shape[3] - 1) + 1
    out_height, out_width = (padded.shape[2] - reach_y) // step_y + 1, (padded.shape[3] - reach_x) // step_x + 1
    out = np.zeros((len(x), len(weight), out_height, out_width))
    channels, group_out = weight.shape[1], len(weight) // groups
    for o in range(len(weight)):
        first = o // group_out * channels
        for y in range(out_height):
            for z in range(out_width):
                top, left = y * step_y, z * step_x
                window = padded[
                    :, first : first + channels, top : top + reach_y : apart_y, left : left + reach_x : apart_x
                ]
                out[:, o, y, z] = (window * weight[o]).sum((1, 2, 3))
    if bias is not None:
        out += bias[:, None, None]
    return ACTIVATIONS[activation](out)


@st.composite
def drawn_options(draw: Draw, dims: int) -> dict[str, Any]:
    """Stride, padding, dilation and groups that go together, in all the forms that they may take."""

    def sizes(low: int, high: int) -> Any:
        number = st.integers(low, high)
        return draw(number | st.tuples(*[number] * dims))

    padding = draw(st.sampled_from(["number", "number", "same", "valid"]))
    return {
        "stride": 1 if padding == "same" else sizes(1, 3),
        "padding": sizes(0, 2) if padding == "number" else padding,
        "dilation": sizes(1, 2),
        "groups": draw(st.sampled_from([1, 1, 2])),
    }


@st.composite
def convolutions(draw: Draw, dims: int, activations: bool = False) -> Arguments:
    """(input, weight, bias or None) and options, with images just as large as the window or larger."""
    options = draw(drawn_options(dims))
    groups = options["groups"]
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    channels, out_channels = draw(st.integers(1, 2)), draw(st.integers(1, 2)) * groups
    dilation = pair(options["dilation"], dims)
    zeros = margins(options["padding"], kernel, dilation)
    size = tuple(
        max(apart * (taps - 1) + 1 - sum(around), 1) + draw(st.integers(0, 2))
        for apart, taps, around in zip(dilation, kernel, zeros, strict=True)
    )
    leading = draw(st.sampled_from([(2,), (1,), (), (0,)]))
    shapes = ((*leading, channels * groups, *size), (out_channels, channels, *kernel), (out_channels,))
    x, weight, bias = draw(arrays_of(st.just(shapes), -2, 2))
    if activations:
        options["activation"] = draw(st.sampled_from(["tanh", "sigmoid"]))
    return Arguments((x, weight, draw(st.sampled_from([bias, None]))), options)


CONV = [
    OpCase("conv2d", conv.conv2d, convolved, convolutions(2), absolute=60),
    OpCase("conv2d activated", conv.conv2d, convolved, convolutions(2, activations=True), ulps=8, absolute=60),
    OpCase("conv1d", conv.conv1d, convolved, convolutions(1), absolute=60),
]
