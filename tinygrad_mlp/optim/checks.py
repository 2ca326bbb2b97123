"""Checks of options: each raises `ArgumentError`, naming whose option it is, what it got and what it expected."""

from __future__ import annotations

import operator
from typing import Any, SupportsIndex, cast

import numpy as np

from tinygrad_mlp.errors import ArgumentError

__all__ = ["TORCH_ALONE", "check_absent", "check_count", "check_flag", "check_range"]

_ABSENT = {
    "amsgrad": "lower the learning rate by a schedule instead",
    "differentiable": "write the step with ops, on gradients of tg.grad(loss, parameters, create_graph=True)",
    "maximize": "call backward() on the negative loss",
}
TORCH_ALONE = {*_ABSENT, "capturable", "foreach", "fused"}
"""Arguments of PyTorch's optimizers that are refused here, or change nothing."""


def check_range(
    owner: str, name: str, value: object, low: float = 0.0, high: float = float("inf"), closed: bool = False
) -> float:
    """The value as a float if low <= value < high (`closed`: <= high); NaN and infinity never are."""
    if isinstance(value, int | float | np.number) and not isinstance(value, bool):
        number = float(cast(Any, value))
        if low <= number < high or (closed and number == high):
            return number
    if high == float("inf"):
        expected = f"at least {low:g}" if low > -high else ""
    else:
        expected = f"in [{low:g}, {high:g}{']' if closed else ')'}"
    raise ArgumentError(f"{owner}: {name}={value!r}, expected a finite number {expected}".rstrip())


def check_count(owner: str, name: str, value: object, low: int = 1) -> int:
    """The value as an int if it is a whole number of at least `low`."""
    if isinstance(value, SupportsIndex) and not isinstance(value, bool):
        number = operator.index(value)
        if number >= low:
            return number
    raise ArgumentError(f"{owner}: {name}={value!r}, expected a whole number of at least {low}")


def check_flag(owner: str, name: str, value: object) -> bool:
    """The value if it is True or False."""
    if isinstance(value, bool | np.bool_):
        return bool(cast(Any, value))
    raise ArgumentError(f"{owner}: {name}={value!r}, expected True or False")


def check_absent(owner: str, **options: bool) -> None:
    """Raise `ArgumentError` for an option of PyTorch's that is set, and is not here."""
    for name, value in options.items():
        if check_flag(owner, name, value):
            raise ArgumentError(f"{owner}: there is no {name} here; {_ABSENT[name]}")
