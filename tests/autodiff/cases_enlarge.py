"""Rows of the case table for what enlarges or pools: transposed convolutions, other sizes, pooled sequences."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tests.autodiff import cases_pool
from tests.autodiff.cases_conv import pair
from tinygrad_mlp.autodiff.ops import conv_transpose, pool_lines, resize
from tinygrad_mlp.testing import Arguments, OpCase, arrays, arrays_of

__all__ = ["ENLARGE", "enlarged"]

Array = np.ndarray
Draw = st.DrawFn


def enlarged(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Array:
    """Each pixel added to its window, one by one, on a canvas whose margins are cut off in the end."""
    dims = weight.ndim - 2
    options = [pair(option, dims) for option in (stride, padding, output_padding, dilation)]
    if x.ndim == dims + 1:
        return enlarged(x[None], weight, bias, *options[:3], groups, options[3])[0]
    if dims == 1:
        steps, cut, more, apart = ((first, *option) for first, option in zip((1, 0, 0, 1), options, strict=True))
        return enlarged(x[:, :, None], weight[:, :, None], bias, steps, cut, more, groups, apart)[:, :, 0]
    steps, cut, more, apart = options
    in_group, out_group = len(weight) // groups, weight.shape[1]
    full = [
        (n - 1) * s + d * (k - 1) + 1 for n, s, d, k in zip(x.shape[2:], steps, apart, weight.shape[2:], strict=True)
    ]
    canvas = np.zeros((len(x), out_group * groups, *[size + extra for size, extra in zip(full, more, strict=True)]))
    for channel in range(len(weight)):
        first = channel // in_group * out_group
        for row, column in np.ndindex(*x.shape[2:]):
            for tap_y, tap_x in np.ndindex(*weight.shape[2:]):
                y, z = row * steps[0] + tap_y * apart[0], column * steps[1] + tap_x * apart[1]
                share = x[:, channel, row, column, None] * weight[channel, :, tap_y, tap_x]  # (N, out / groups)
                canvas[:, first : first + out_group, y, z] += share
    height, width = (size + extra - edge for size, extra, edge in zip(full, more, cut, strict=True))
    out = canvas[:, :, cut[0] : height, cut[1] : width]
    return out if bias is None else out + bias[:, None, None]


@st.composite
def spread(draw: Draw, dims: int) -> Arguments:
    """(input, weight, bias or None) and options, of which all but the strides leave something of the image."""
    number = partial(st.integers, 1)
    stride, dilation = (draw(number(3) | st.tuples(*[number(3)] * dims)) for _ in range(2))
    most = [max(both) for both in zip(pair(stride, dims), pair(dilation, dims), strict=True)]
    more = tuple(draw(st.integers(0, high - 1)) for high in most)
    kernel = tuple(draw(number(3)) for _ in range(dims))
    size = tuple(draw(number(3)) for _ in range(dims))
    every = zip(size, pair(stride, dims), pair(dilation, dims), kernel, more, strict=True)
    full = [(n - 1) * s + d * (k - 1) + 1 + extra for n, s, d, k, extra in every]
    cut = tuple(draw(st.integers(0, min(2, (length - 1) // 2))) for length in full)
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, out_channels = draw(number(2)) * groups, draw(number(2))
    leading = draw(st.sampled_from([(2,), (1,), (), (0,)]))
    shapes = ((*leading, channels, *size), (channels, out_channels, *kernel), (out_channels * groups,))
    x, weight, bias = draw(arrays_of(st.just(shapes), -2, 2))
    options = {"stride": stride, "padding": cut, "output_padding": more, "groups": groups, "dilation": dilation}
    return Arguments((x, weight, draw(st.sampled_from([bias, None]))), options)


def resized(
    x: Array, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Array:
    """Pixel by pixel, in one dimension after the other."""
    for axis in range(2, x.ndim):
        old = x.shape[axis]
        if size is None:
            factor = scale_factor if isinstance(scale_factor, (int, float)) else scale_factor[axis - 2]
            new, step = math.floor(old * factor), 1 / factor
        else:
            new = size if isinstance(size, int) else size[axis - 2]
            step = old / new
        lines = []
        for place in range(new):
            if mode == "nearest":
                lines.append(x.take(min(math.floor(place * step), old - 1), axis))
                continue
            at = max((place + 0.5) * step - 0.5, 0.0)
            if align_corners:
                at = place * (old - 1) / (new - 1) if new > 1 else 0.0
            below = min(math.floor(at), old - 1)
            above = min(below + 1, old - 1)
            lines.append((1 - (at - below)) * x.take(below, axis) + (at - below) * x.take(above, axis))
        x = np.stack(lines, axis)
    return x


@st.composite
def sizes(draw: Draw, modes: tuple[str, ...]) -> Arguments:
    dims = draw(st.sampled_from([1, 2]))
    mode = {"even": ("linear", "bilinear")[dims - 1]}.get(draw(st.sampled_from(modes)), "nearest")
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 2)), *[draw(st.integers(1, 5)) for _ in range(dims)])
    number = st.integers(1, 9)
    by = draw(
        st.fixed_dictionaries({"size": number | st.tuples(*[number] * dims)})
        | st.fixed_dictionaries({"scale_factor": st.sampled_from([1, 2, 3, 1.5, 2.25])})
    )
    options = {**by, "mode": mode}
    if mode != "nearest":
        options["align_corners"] = draw(st.sampled_from([None, False, True]))
    return Arguments((draw(arrays(shape)),), options)


@st.composite
def lines(draw: Draw, with_dilation: bool = True) -> Arguments:
    """Sequences and windows that fit them."""
    kernel, dilation = draw(st.integers(1, 3)), draw(st.integers(1, 2)) if with_dilation else 1
    extent = dilation * (kernel - 1) + 1
    padding = draw(st.integers(0, extent // 2))
    least = max(extent - 2 * padding, dilation, 1)
    length = draw(st.integers(least, least + 4))
    options: dict[str, Any] = {
        "stride": draw(st.sampled_from([None, 1, 2, (3,)])),
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
        ("dilation" if with_dilation else "count_include_pad"): dilation if with_dilation else draw(st.booleans()),
    }
    leading = draw(st.sampled_from([(2, 3), (1, 1), (3,), (0, 2)]))
    return Arguments(
        (draw(arrays((*leading, length), distinct=True)), draw(st.sampled_from([kernel, (kernel,)]))), options
    )


def of_rows(reference: Any) -> Any:
    """The reference for images, of images of height 1."""

    def of_lines(x: Array, kernel_size: Any, stride: Any = None, padding: int = 0, **options: Any) -> Any:
        (size,), margin = pair(kernel_size, 1), (0, padding)
        step = size if stride is None else pair(stride, 1)[0]
        if "dilation" in options:
            options["dilation"] = (1, options["dilation"])
        out = reference(x[..., None, :], (1, size), (1, step), margin, **options)
        return tuple(part[..., 0, :] for part in out) if isinstance(out, tuple) else out[..., 0, :]

    return of_lines


def shared(x: Array, output_size: Any) -> Array:
    return cases_pool.adaptive_avg_pool2d(x[..., None, :], (1, output_size))[..., 0, :]


@st.composite
def sharing(draw: Draw) -> Arguments:
    shape = (*draw(st.sampled_from([(2, 3), (2,), (0, 2)])), draw(st.integers(1, 6)))
    return Arguments((draw(arrays(shape)), draw(st.integers(0, 7) | st.none())))


ENLARGE = [
    OpCase("conv_transpose2d", conv_transpose.conv_transpose2d, enlarged, spread(2), absolute=60),
    OpCase("conv_transpose1d", conv_transpose.conv_transpose1d, enlarged, spread(1), absolute=60),
    OpCase("interpolate nearest", resize.interpolate, resized, sizes(("nearest",))),
    OpCase("interpolate evenly", resize.interpolate, resized, sizes(("even",)), absolute=16),
    OpCase("max_pool1d", pool_lines.max_pool1d, of_rows(cases_pool.max_pool2d), lines()),
    OpCase(
        "max_pool1d indices",
        partial(pool_lines.max_pool1d, return_indices=True),
        partial(of_rows(cases_pool.max_pool2d), return_indices=True),
        lines(),
    ),
    OpCase("avg_pool1d", pool_lines.avg_pool1d, of_rows(cases_pool.avg_pool2d), lines(with_dilation=False), absolute=8),
    OpCase("adaptive_avg_pool1d", pool_lines.adaptive_avg_pool1d, shared, sharing(), absolute=8),
]
