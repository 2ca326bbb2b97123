"""Where the rows and terms of a convolution and its two gradients stand in memory: tables for `multiply_add_runs`.

An image is (height, width, channels), its padding a margin of zeros around it in a larger buffer; weights are a matrix
of (kernel height · kernel width · input channels of a group) rows and one column for each output channel. All offsets
count elements. `groups` work alike, so the tables are those of the first; the kernels add where a group starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tinygrad_mlp.kernels.launch import Array

__all__ = ["Geometry", "Tables", "forward_tables", "input_gradient_tables", "weight_gradient_tables"]

Pair = tuple[int, int]


class Geometry(NamedTuple):
    """All that decides where things stand: sizes of one image, and the options of a convolution."""

    size: Pair
    """Height and width of the input."""
    channels: int
    out_channels: int
    kernel: Pair
    stride: Pair
    padding: tuple[Pair, Pair]
    """(above, below), (left, right)."""
    dilation: Pair
    groups: int

    @property
    def group_channels(self) -> int:
        """Input channels of a group."""
        return self.channels // self.groups

    @property
    def group_out_channels(self) -> int:
        """Output channels of a group."""
        return self.out_channels // self.groups

    @property
    def padded_size(self) -> Pair:
        """Height and width of the input with its margins."""
        (above, below), (left, right) = self.padding
        return self.size[0] + above + below, self.size[1] + left + right

    @property
    def out_size(self) -> Pair:
        """Height and width of the output."""
        height, width = (
            (padded - dilation * (kernel - 1) - 1) // stride + 1
            for padded, kernel, stride, dilation in zip(
                self.padded_size, self.kernel, self.stride, self.dilation, strict=True
            )
        )
        return height, width


class Tables(NamedTuple):
    """What `multiply_add_runs` is told of one image, as parts that each have some rows and some runs of their own."""

    margin: tuple[int, int, int, int]
    """Of the buffer that the image is copied to: rows above, columns to the left, height and width of the whole."""
    parts: Array
    """(parts, 4): first and last row, first and last run of each; the last ones are not included."""
    rows: Array
    out_rows: Array
    runs: Array
    weight_runs: Array
    length: int
    """Terms in a run."""


Terms = list[tuple[int, int]]


def _table(values: Iterable[int]) -> Array:
    return np.fromiter(values, np.int64)


def _parts(*parts: tuple[int, int, int, int]) -> Array:
    return np.array(parts, np.int64).reshape(-1, 4)


def _joined(terms: Terms, length: int) -> tuple[Terms, int]:
    """Runs joined where one goes on, in both operands, where the one before ends, if that leaves them of one length."""
    runs: list[tuple[int, int, int]] = []
    for source, weight in terms:
        if runs and (runs[-1][0] + runs[-1][2], runs[-1][1] + runs[-1][2]) == (source, weight):
            runs[-1] = (*runs[-1][:2], runs[-1][2] + length)
        else:
            runs.append((source, weight, length))
    if len({size for _, _, size in runs}) != 1:
        return terms, length
    return [(source, weight) for source, weight, _ in runs], runs[0][2]


@lru_cache(maxsize=256)
def forward_tables(geometry: Geometry) -> Tables:
    """Output pixels as rows; the pixels and channels of a window as terms."""
    (above, _), (left, _) = geometry.padding
    height, width = geometry.padded_size
    (out_height, out_width), (stride_y, stride_x) = geometry.out_size, geometry.stride
    channels, group_channels, columns = geometry.channels, geometry.group_channels, geometry.out_channels
    pixel = channels
    rows = [(y * stride_y * width + x * stride_x) * pixel for y in range(out_height) for x in range(out_width)]
    terms: Terms = [
        (
            (ky * geometry.dilation[0] * width + kx * geometry.dilation[1]) * pixel,
            (ky * geometry.kernel[1] + kx) * group_channels,
        )
        for ky in range(geometry.kernel[0])
        for kx in range(geometry.kernel[1])
    ]
    runs, length = _joined(terms, group_channels)
    return Tables(
        (above, left, height, width),
        _parts((0, len(rows), 0, len(runs))),
        _table(rows),
        np.arange(len(rows)) * columns,
        _table(source for source, _ in runs),
        _table(weight * columns for _, weight in runs),
        length,
    )


@lru_cache(maxsize=256)
def input_gradient_tables(geometry: Geometry) -> Tables:
    """Input pixels as rows; the output pixels and channels that they went into as terms.

    Output pixel (y · stride + ky · dilation - above) of a column used this input pixel: which taps ky have one depends
    on the pixel's place modulo the stride, so the places are parts of their own. The weights come rotated: taps in
    reverse order, (kernel height · kernel width · output channels of a group) rows, one column for each input channel.
    """
    (height, width), (out_height, out_width) = geometry.size, geometry.out_size
    reach = [_reach(geometry, axis) for axis in (0, 1)]
    buffer_height = reach[0][0] + out_height + reach[0][1]
    buffer_width = reach[1][0] + out_width + reach[1][1]
    pixel, columns = geometry.out_channels, geometry.channels
    rows: list[int] = []
    out_rows: list[int] = []
    runs: Terms = []
    parts: list[tuple[int, int, int, int]] = []
    length = geometry.group_out_channels
    taps = [[_taps(geometry, axis, place) for place in range(geometry.stride[axis])] for axis in (0, 1)]
    for place_y in range(min(geometry.stride[0], height)):
        for place_x in range(min(geometry.stride[1], width)):
            first_row, first_run = len(rows), len(runs)
            for j, y in enumerate(range(place_y, height, geometry.stride[0])):
                for i, x in enumerate(range(place_x, width, geometry.stride[1])):
                    rows.append(((reach[0][0] + j) * buffer_width + reach[1][0] + i) * pixel)
                    out_rows.append((y * width + x) * columns)
            runs += [
                ((y * buffer_width + x) * pixel, (rotated_y * geometry.kernel[1] + rotated_x) * length)
                for rotated_y, y in taps[0][place_y]
                for rotated_x, x in taps[1][place_x]
            ]
            parts.append((first_row, len(rows), first_run, len(runs)))
    if len(parts) == 1:
        runs, length = _joined(runs, length)
        parts = [(0, len(rows), 0, len(runs))]
    return Tables(
        (reach[0][0], reach[1][0], buffer_height, buffer_width),
        _parts(*parts),
        _table(rows),
        _table(out_rows),
        _table(source for source, _ in runs),
        _table(weight * columns for _, weight in runs),
        length,
    )


def _taps(geometry: Geometry, axis: int, place: int) -> list[tuple[int, int]]:
    """(number counted from the last tap, output pixel relative to the input pixel's) of the taps that meet a place."""
    kernel, stride, dilation = geometry.kernel[axis], geometry.stride[axis], geometry.dilation[axis]
    first = place + geometry.padding[axis][0]
    distances = [(rotated, first - (kernel - 1 - rotated) * dilation) for rotated in range(kernel)]
    return [(rotated, distance // stride) for rotated, distance in distances if distance % stride == 0]


def _reach(geometry: Geometry, axis: int) -> Pair:
    """How far before the first and behind the last output pixel the taps of all input pixels reach."""
    size, out_size, stride = geometry.size[axis], geometry.out_size[axis], geometry.stride[axis]
    first = last = 0
    for place in range(min(stride, size)):
        pixels = len(range(place, size, stride))
        for _, distance in _taps(geometry, axis, place):
            first, last = min(first, distance), max(last, distance + pixels - 1)
    return -first, max(last - (out_size - 1), 0)


@lru_cache(maxsize=256)
def weight_gradient_tables(geometry: Geometry, grad_margin: tuple[int, int, int, int]) -> Tables:
    """Taps and input channels as rows; output pixels as terms, one run for each row of the output.

    `weight_runs` stands for the runs in the gradient of the output, which lies in a buffer with the given margin.
    """
    (above, _), (left, _) = geometry.padding
    height, width = geometry.padded_size
    grad_above, grad_left, _, grad_width = grad_margin
    rows = [
        (ky * geometry.dilation[0] * width + kx * geometry.dilation[1]) * geometry.channels + channel
        for ky in range(geometry.kernel[0])
        for kx in range(geometry.kernel[1])
        for channel in range(geometry.group_channels)
    ]
    out_height, out_width = geometry.out_size
    lines = range(out_height)
    return Tables(
        (above, left, height, width),
        _parts((0, len(rows), 0, out_height)),
        _table(rows),
        np.arange(len(rows)) * geometry.out_channels,
        _table(y * geometry.stride[0] * width * geometry.channels for y in lines),
        _table(((grad_above + y) * grad_width + grad_left) * geometry.out_channels for y in lines),
        out_width,
    )
