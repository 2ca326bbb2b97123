"""Checks of arguments that linear, the norms and the losses share. Each raises, naming the op and the argument."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import SupportsIndex, cast

import numpy as np

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.memory import empty
from tinygrad_mlp.kernels.transpose import copy_across

__all__ = [
    "check_choice",
    "check_floats",
    "check_number",
    "check_pair",
    "check_sizes",
    "check_tensor",
    "reshaped",
    "rows_of",
]


def check_tensor(name: str, argument: str, value: object) -> None:
    """Raise `DtypeError` unless the value is a Tensor."""
    if not isinstance(value, Tensor):
        raise DtypeError(f"{name}: {argument} must be a Tensor, got {type(value).__name__}; tg.tensor(...) makes one")


def check_number(name: str, argument: str, value: object) -> None:
    """Raise `DtypeError` unless the value is a number."""
    if not isinstance(value, (bool, int, float, np.generic)):
        raise DtypeError(f"{name}: {argument} must be a Tensor or a number, got {type(value).__name__}")


def check_floats(name: str, **tensors: Tensor | None) -> None:
    """Raise `DtypeError` unless all are Tensors of one floating-point dtype; None stands for an argument left out."""
    leader = leader_dtype = None
    for argument, tensor in tensors.items():
        if tensor is None:
            continue
        check_tensor(name, argument, tensor)
        if tensor.dtype.kind != "f":
            raise DtypeError(
                f"{name}: {argument} must be float32 or float64, got {tensor.dtype}; convert with .float()"
            )
        if leader_dtype is None:
            leader, leader_dtype = argument, tensor.dtype
        elif tensor.dtype != leader_dtype:
            raise DtypeError(
                f"{name}: float32 and float64 do not mix: {leader} is {leader_dtype}, {argument} is {tensor.dtype}; "
                "convert one with .float() or .double()"
            )


def check_choice(name: str, argument: str, value: object, choices: tuple[object, ...]) -> None:
    """Raise `ArgumentError` listing the choices unless the value is one of them."""
    if value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise ArgumentError(f"{name}: unknown {argument} {value!r}; expected one of {listed}")


def check_sizes(name: str, argument: str, value: object, low: int, dims: int) -> tuple[int, ...]:
    """One whole number for the one or two dimensions, or one for each, as a tuple; `ArgumentError` below `low`."""
    if type(value) is int and value >= low:
        return (value,) * dims
    given = cast("Sequence[object]", value) if isinstance(value, (tuple, list)) else (value,) * dims
    numbers = [operator.index(n) for n in given if isinstance(n, SupportsIndex) and not isinstance(n, bool)]
    if len(given) == len(numbers) == dims and min(numbers) >= low:
        return tuple(numbers)
    several = "a pair of such" if dims == 2 else "a tuple of one such"
    raise ArgumentError(f"{name}: {argument} must be a whole number from {low}, or {several}, got {value!r}")


def check_pair(name: str, argument: str, value: object, low: int) -> tuple[int, int]:
    """`check_sizes` for height and width."""
    height, width = check_sizes(name, argument, value, low, 2)
    return height, width


def reshaped(array: Array, shape: tuple[int, ...]) -> Array:
    """The array in another shape: a view where its memory allows one, else a launched copy."""
    try:
        return array.reshape(shape, copy=False)
    except ValueError:
        dense = empty(array.shape, array.dtype)
        copy_across(array, dense)
        return dense.reshape(shape)


def rows_of(array: Array) -> Array:
    """(..., columns) as (rows, columns)."""
    if array.ndim == 2:
        return array
    return reshaped(array, (math.prod(array.shape[:-1]), array.shape[-1]))
