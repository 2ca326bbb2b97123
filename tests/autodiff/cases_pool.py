"""Rows of the case table for pooling: references that loop over windows and pixels one by one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tinygrad_mlp.autodiff.ops import pool
from tinygrad_mlp.testing import Arguments, OpCase, arrays

__all__ = ["POOL"]

Array = np.ndarray
Draw = st.DrawFn


def pair(value: Any) -> tuple[int, int]:
    return value if isinstance(value, tuple) else (value, value)


def starts(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> list[int]:
    """Where the windows of one axis begin: those that fit, and with `ceil_mode` one more that begins early enough."""
    extent = dilation * (kernel - 1) + 1
    found = []
    for start in itertools.count(-padding, stride):
        fits = start + extent <= size + padding
        is_last = not fits and ceil_mode and start < size and (not found or found[-1] + extent < size + padding)
        if not (fits or is_last):
            return found
        found.append(start)
    raise AssertionError


def pooled(x: Array, axes: list[list[range]], reduce: Callable[[Array, list[tuple[int, int]]], Any]) -> list[Array]:
    """What `reduce` makes of each window's pixels inside the image, given their plane and places; for all outputs."""
    planes = x.reshape(-1, *x.shape[-2:])
    shape = (len(planes), len(axes[0]), len(axes[1]))
    out: list[Array] = [np.zeros(shape), np.zeros(shape, np.int64)]
    for place in np.ndindex(shape):
        taps = itertools.product(*[axis[i] for axis, i in zip(axes, place[1:], strict=True)])
        inside = [(row, column) for row, column in taps if 0 <= row < x.shape[-2] and 0 <= column < x.shape[-1]]
        out[0][place], out[1][place] = reduce(planes[place[0]], inside)
    return [array.reshape(*x.shape[:-2], *shape[1:]) for array in out]


def max_pool2d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    def greatest(plane: Array, places: list[tuple[int, int]]) -> tuple[float, int]:
        row, column = max(places, key=lambda place: plane[place])  # the first of several
        return plane[row, column], row * x.shape[-1] + column

    options = zip(x.shape[-2:], *map(pair, (kernel_size, stride or kernel_size, padding, dilation)), strict=True)
    axes = [[range(start, start + k * d, d) for start in starts(n, k, s, p, d, ceil_mode)] for n, k, s, p, d in options]
    values, indices = pooled(x, axes, greatest)
    return (values, indices) if return_indices else values


def avg_pool2d(
    x: Array,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    sums, counts, padded = [], [], []
    for n, k, s, p in zip(x.shape[-2:], *map(pair, (kernel_size, stride or kernel_size, padding)), strict=True):
        windows = [range(start, start + k) for start in starts(n, k, s, p, 1, ceil_mode)]
        sums.append(windows)
        padded.append([len([i for i in window if i < n + p]) for window in windows])
        counts.append([len([i for i in window if 0 <= i < n]) for window in windows])
    total = pooled(x, sums, lambda plane, places: (sum(plane[place] for place in places), 0))[0]
    divisors = np.multiply.outer(*(padded if count_include_pad else counts))
    return total / (divisors if divisor_override is None else divisor_override)


def adaptive_avg_pool2d(x: Array, output_size: Any) -> Array:
    sizes = [n if wanted is None else wanted for n, wanted in zip(x.shape[-2:], pair(output_size), strict=True)]
    axes = [
        [range(math.floor(i * n / size), math.ceil((i + 1) * n / size)) for i in range(size)]
        for n, size in zip(x.shape[-2:], sizes, strict=True)
    ]
    return pooled(x, axes, lambda plane, places: (np.mean([plane[place] for place in places]), 0))[0]


def both(draw: Draw, low: int, high: int) -> Any:
    """One number for both axes, or one for each."""
    number = st.integers(low, high)
    return draw(st.one_of(number, st.tuples(number, number)))


@st.composite
def sliding(draw: Draw, size: tuple[int, int] = (1, 7), with_dilation: bool = True) -> Arguments:
    """Images and windows that fit them, few or many, side by side, overlapping or with gaps."""
    kernel, dilation = both(draw, 1, 3), both(draw, 1, 2) if with_dilation else 1
    extents = [d * (k - 1) + 1 for k, d in zip(pair(kernel), pair(dilation), strict=True)]
    padding = tuple([draw(st.integers(0, extent // 2)) for extent in extents])
    least = [max(extent - 2 * p, d, size[0]) for extent, p, d in zip(extents, padding, pair(dilation), strict=True)]
    height, width = (draw(st.integers(low, max(low, size[1]))) for low in least)
    leading = draw(st.sampled_from([(2, 3), (1, 1), (1, 2), (3,), (0, 2)]))
    options: dict[str, Any] = {
        "stride": draw(st.sampled_from([None, 1, 2, 3, (2, 1), (1, 3)])),
        "padding": padding,
        "ceil_mode": draw(st.booleans()),
    }
    if with_dilation:
        options["dilation"] = dilation
    else:
        options["count_include_pad"] = draw(st.booleans())
        options["divisor_override"] = draw(st.sampled_from([None, None, 3]))
    return Arguments((draw(arrays((*leading, height, width), distinct=True)), kernel), options)


@st.composite
def halving(draw: Draw) -> Arguments:
    """Images, of an even or odd size, and windows of 2 x 2 side by side; channels of one vector and of several."""
    channels = draw(st.sampled_from([1, 2, 5, 17, 40]))
    shape = (draw(st.integers(0, 2)), channels, draw(st.integers(2, 5)), draw(st.integers(2, 5)))
    return Arguments((draw(arrays(shape, distinct=True)), 2), {"ceil_mode": draw(st.booleans())})


@st.composite
def sharing(draw: Draw) -> Arguments:
    """Images and how many windows share them, or None for one of each pixel."""
    shape = (*draw(st.sampled_from([(2, 3), (1, 1), (2,), (0, 2)])), draw(st.integers(1, 6)), draw(st.integers(1, 6)))
    size = st.one_of(st.integers(0, 7), st.none())
    return Arguments((draw(arrays(shape)), draw(st.one_of(st.integers(1, 4), st.tuples(size, size)))))


POOL = [
    OpCase("max_pool2d", pool.max_pool2d, max_pool2d, sliding()),
    OpCase(
        "max_pool2d indices",
        partial(pool.max_pool2d, return_indices=True),
        partial(max_pool2d, return_indices=True),
        sliding(),
    ),
    OpCase("max_pool2d by half", pool.max_pool2d, max_pool2d, halving()),
    OpCase("avg_pool2d", pool.avg_pool2d, avg_pool2d, sliding(with_dilation=False), absolute=8),
    OpCase("adaptive_avg_pool2d", pool.adaptive_avg_pool2d, adaptive_avg_pool2d, sharing(), absolute=8),
]
