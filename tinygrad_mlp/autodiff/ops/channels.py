"""Images between their logical shape, (N, C, H, W), and their memory, which the kernels want as N, H, W, C."""

from __future__ import annotations

import math

import numpy as np

from tinygrad_mlp.autodiff.ops.checks import reshaped
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.memory import empty
from tinygrad_mlp.kernels.transpose import copy_across

__all__ = ["channel_rows", "channels_second", "images_of", "lies_channels_last", "pixels_of"]


def lies_channels_last(images: Array) -> bool:
    """Whether (N, C, d1, …) lies N, d1, …, C in memory, and not row-major as well."""
    return images.ndim > 2 and not images.flags.c_contiguous and np.moveaxis(images, 1, -1).flags.c_contiguous


def pixels_of(images: Array) -> Array:
    """(N, C, d1, …) as (N, d1, …, C), C-contiguous: a view where memory lies so, else a launched copy."""
    pixels = images.transpose(0, *range(2, images.ndim), 1)
    if pixels.flags.c_contiguous:
        return pixels
    dense = empty(pixels.shape, images.dtype)
    copy_across(pixels, dense)
    return dense


def images_of(pixels: Array) -> Array:
    """(N, d1, …, C) as (N, C, d1, …), always a view."""
    return pixels.transpose(0, -1, *range(1, pixels.ndim - 1))


def channel_rows(images: Array) -> Array:
    """(N, C, d1, …) as (N · d1 · …, C); a view where memory lies N, d1, …, C."""
    pixels = images.transpose(0, *range(2, images.ndim), 1)
    return reshaped(pixels, (math.prod(pixels.shape[:-1]), pixels.shape[-1]))


def channels_second(rows: Array, shape: tuple[int, ...]) -> Array:
    """(N · d1 · …, C) as images of this shape, (N, C, d1, …), always a view."""
    return images_of(rows.reshape(shape[0], *shape[2:], shape[1]))
