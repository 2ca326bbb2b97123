"""`interpolate`: images and sequences of another size, each new pixel the nearest old one, or a mean of neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import numpy as np

from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats, check_sizes
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.launch import Array

__all__ = ["MODES", "interpolate"]

MODES = ("nearest", "linear", "bilinear")
_EVEN = {3: "linear", 4: "bilinear"}  # by the dimensions of the input


def interpolate(
    input: Tensor,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Tensor:
    """The input in another size.

    Parameters
    ----------
    input:
        (N, C, H, W) or (N, C, L).
    size, scale_factor:
        Of the result: one of the two; one number, or one for each dimension. A factor gives a size of
        floor(H · factor).
    mode:
        "nearest": the old pixel in which the new one begins. "bilinear", of sequences "linear": a mean of the two old
        ones beside the new one's middle, in each dimension, by distance.
    align_corners:
        Of the latter: whether the outermost middles of old and new pixels coincide, and not the outer edges.

    Raises
    ------
    ShapeError
        Another number of dimensions, or an input without pixels.
    ArgumentError
        Neither or both of size and scale_factor, one that is not positive, an unknown mode, or one that is not for this
        input, align_corners with "nearest".
    DtypeError
        Integers.

    >>> tg.nn.functional.interpolate(tg.arange(4.0).reshape(1, 1, 2, 2), scale_factor=2)[0, 0, 0].tolist()
    [0.0, 0.0, 1.0, 1.0]
    """
    check_floats("interpolate", input=input)
    if input.ndim not in _EVEN or 0 in input.shape[2:]:
        raise ShapeError(f"interpolate: input has shape {input.shape}, expected (N, C, H, W) or (N, C, L), with pixels")
    check_choice("interpolate", "mode", mode, MODES)
    if mode not in ("nearest", _EVEN[input.ndim]):
        raise ArgumentError(
            f"interpolate: mode {mode!r} is not for input of shape {input.shape}: use {_EVEN[input.ndim]!r}"
        )
    if mode == "nearest" and align_corners is not None:
        raise ArgumentError("interpolate: align_corners is for the modes 'linear' and 'bilinear'")
    sizes, steps = _sizes(input.shape[2:], size, scale_factor)
    for dim, (old, new, step) in enumerate(zip(input.shape[2:], sizes, steps, strict=True), start=2):
        if mode == "nearest":
            input = input.index_select(dim, Tensor(_nearest(old, new, step)))
        else:
            shares = Tensor(_shares(old, new, step, bool(align_corners), input.dtype))  # (old, new)
            input = (input.transpose(dim, -1) @ shares).transpose(dim, -1)
    return input


def _sizes(
    old: tuple[int, ...], size: int | Sequence[int] | None, factor: float | Sequence[float] | None
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """The new sizes, and how far apart the new pixels are, in old ones."""
    if (size is None) == (factor is None):
        raise ArgumentError(f"interpolate: got size={size} and scale_factor={factor}, expected one of them")
    if size is not None:
        new = check_sizes("interpolate", "size", size, 1, len(old))
        return new, tuple(before / after for before, after in zip(old, new, strict=True))
    factors = cast("list[float]", list(factor) if isinstance(factor, Sequence) else [factor] * len(old))
    usable = [isinstance(f, (int, float)) and 0 < f < math.inf for f in factors]  # pyright: ignore[reportUnnecessaryIsInstance]
    if len(factors) != len(old) or not all(usable):
        raise ArgumentError(
            f"interpolate: scale_factor is {factor!r}, expected a positive number, or {len(old)} of them"
        )
    new = tuple(math.floor(before * f) for before, f in zip(old, factors, strict=True))
    if min(new) < 1:
        raise ArgumentError(f"interpolate: scale_factor {factor} leaves nothing of {old}")
    return new, tuple(1 / f for f in factors)


@lru_cache(maxsize=64)
def _nearest(old: int, new: int, step: float) -> Array:
    """Which old pixel each new one is, (new,)."""
    return np.minimum(np.floor(np.arange(new) * step), old - 1).astype(np.int64)


@lru_cache(maxsize=64)
def _shares(old: int, new: int, step: float, align_corners: bool, dtype: np.dtype[Any]) -> Array:
    """Shares of the old pixels in each new one, (old, new)."""
    if align_corners:
        middles = np.arange(new) * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        middles = np.maximum((np.arange(new) + 0.5) * step - 0.5, 0.0)
    first = np.minimum(np.floor(middles).astype(np.int64), old - 1)
    second = np.minimum(first + 1, old - 1)
    share = middles - first  # of the second
    shares = np.zeros((old, new))
    np.add.at(shares, (first, np.arange(new)), 1 - share)
    np.add.at(shares, (second, np.arange(new)), share)
    return shares.astype(dtype)
