"""Checks of the settings of layers: each raises, naming the layer, what it got and what it expected."""

from __future__ import annotations

import math
import operator
from typing import Any, SupportsFloat, SupportsIndex

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike, check_device
from tinygrad_mlp.autodiff.dtypes import DtypeLike, as_dtype
from tinygrad_mlp.errors import ArgumentError, DtypeError

__all__ = ["check_dtype", "check_flag", "check_groups", "check_number", "check_size"]


def check_size(layer: str, argument: str, value: object) -> int:
    """The value, a whole number of at least 1, as an int; else `ArgumentError`."""
    if isinstance(value, bool) or not isinstance(value, SupportsIndex) or operator.index(value) < 1:
        raise ArgumentError(f"{layer}: {argument} must be a whole number of at least 1, got {value!r}")
    return operator.index(value)


def check_number(
    layer: str, argument: str, value: object, low: float = -math.inf, high: float = math.inf, above: bool = False
) -> float:
    """The value, a finite number in low..high (greater than `low` if `above`), as a float; else `ArgumentError`."""
    number = float(value) if isinstance(value, SupportsFloat) and not isinstance(value, bool) else math.nan
    if not (math.isfinite(number) and low <= number <= high) or (above and number == low):
        if high < math.inf:
            expected = f"lie in {low:g} to {high:g}"
        elif low > -math.inf:
            expected = f"be {'greater than' if above else 'at least'} {low:g}"
        else:
            expected = "be a finite number"
        raise ArgumentError(f"{layer}: {argument} must {expected}, got {value!r}")
    return number


def check_flag(layer: str, argument: str, value: object) -> None:
    """Raise `ArgumentError` unless the value is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(
            f"{layer}: {argument} must be True or False, got {type(value).__name__}; a layer is made first and then "
            f"called: {layer}()(x)"
        )


def check_dtype(layer: str, dtype: DtypeLike | None, device: DeviceLike | None = None) -> np.dtype[Any]:
    """The dtype of a layer's parameters, float32 for None; `DtypeError` for integers.

    Raises `ArgumentError` for another device than the CPU.
    """
    check_device(layer, device)
    found = as_dtype(layer, np.float32 if dtype is None else dtype)
    if found.kind != "f":
        raise DtypeError(f"{layer}: parameters must be float32 or float64, got dtype {found}")
    return found


def check_groups(layer: str, groups: object, in_channels: int, out_channels: int) -> int:
    """The number of groups of a convolution; `ArgumentError` unless it divides both numbers of channels."""
    count = check_size(layer, "groups", groups)
    if in_channels % count or out_channels % count:
        raise ArgumentError(
            f"{layer}: groups is {groups}, expected a number that divides in_channels, {in_channels}, and "
            f"out_channels, {out_channels}"
        )
    return count
