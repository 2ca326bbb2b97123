"""The text of an array as PyTorch prints it: four digits, columns aligned, large arrays by their borders."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_mlp.kernels.launch import Array

__all__ = ["array_text"]

_DIGITS = 4
_SUMMARIZE_ABOVE = 1000  # elements
_BORDER = 3  # entries shown at each end of a dimension then


def array_text(array: Array, indent: int) -> str:
    """Nested brackets, for lines that begin `indent` columns in."""
    if not array.size:
        return "[]"
    shown = _borders(array) if array.size > _SUMMARIZE_ABOVE else array
    sized = shown.reshape(-1)
    number: Callable[[Any], str] = str
    if array.dtype.kind == "f":
        sized = sized[np.isfinite(sized) & (sized != 0)]  # as in PyTorch, only these make room
        number = _float_format(sized)
    width = max([len(number(value)) for value in sized.tolist()], default=0)

    def aligned(value: Any) -> str:
        return number(value.item()).rjust(width)

    text = np.array2string(
        array,
        separator=", ",
        prefix=" " * indent,
        max_line_width=80,
        threshold=_SUMMARIZE_ABOVE,
        edgeitems=_BORDER,
        formatter={"all": aligned},
    )
    return text.replace(", ...,", ",  ...,")


def _borders(array: Array) -> Array:
    """The elements that a summary shows."""
    for axis, size in enumerate(array.shape):
        if size > 2 * _BORDER:
            array = np.take(array, [*range(_BORDER), *range(-_BORDER, 0)], axis)
    return array


def _float_format(sized: Array) -> Callable[[float], str]:
    """One format for all: `1.`, `0.5000`, or `5.0000e-01` where sizes differ too much for the digits."""
    sizes = np.abs(sized, dtype=np.float64)
    low, high = (float(sizes.min()), float(sizes.max())) if sizes.size else (1.0, 1.0)
    whole = bool((sizes == np.ceil(sizes)).all())
    powers = high / low > 1000 or high > 1e8 or (low < 1e-4 and not whole)

    def text(value: float) -> str:
        if not math.isfinite(value):
            return str(value)
        if powers:
            return f"{value:.{_DIGITS}e}"
        return f"{value:.0f}." if whole else f"{value:.{_DIGITS}f}"

    return text
