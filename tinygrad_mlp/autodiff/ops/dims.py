"""Reading `dim` arguments, and sizes and dims of any number: each raises an error that names the op."""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index
from typing import Any, cast

from tinygrad_mlp.errors import ArgumentError, ShapeError

__all__ = ["element_count", "given_size", "one_dim", "several_dims", "sizes"]


def one_dim(name: str, dim: Any, shape: tuple[int, ...]) -> int:
    """`dim` counted from the front. A 0-d tensor counts as having one dimension, as in PyTorch.

    Raises
    ------
    ArgumentError
        It is no integer; a bool is none, as it is an argument of another kind that has slipped in here.
    ShapeError
        It is out of range for the shape.
    """
    try:
        position = index(dim)
    except TypeError:
        raise ArgumentError(f"{name}: dim must be an integer, got {dim!r}") from None
    if dim is True or dim is False:
        raise ArgumentError(f"{name}: dim must be an integer, got {dim!r}; give other arguments by their names")
    ndim = len(shape) or 1
    if not -ndim <= position < ndim:
        raise ShapeError(f"{name}: dim {position} is out of range for shape {shape}; expected {-ndim} to {ndim - 1}")
    return position % ndim


def several_dims(name: str, dim: int | Sequence[int] | None, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The dimensions to reduce, ascending; None and an empty sequence stand for all of them.

    Raises as `one_dim` does, and `ArgumentError` if one is named twice.
    """
    if dim is None:
        return tuple(range(len(shape)))
    listed = tuple(dim) if isinstance(dim, Sequence) else (dim,)
    if not listed:
        return tuple(range(len(shape)))
    dims = sorted(one_dim(name, entry, shape) for entry in listed)
    if len(set(dims)) < len(dims):
        raise ArgumentError(f"{name}: dim {dim} names a dimension of shape {shape} twice")
    return tuple(dims) if shape else ()


def element_count(shape: tuple[int, ...], dims: tuple[int, ...]) -> int:
    """How many elements a reduction over `dims` makes into one."""
    return math.prod([shape[axis] for axis in dims])


def sizes(name: str, arguments: Sequence[Any]) -> tuple[int, ...]:
    """Sizes (or dims) given one by one or as one sequence: `reshape(2, 3)` and `reshape((2, 3))`.

    Raises `ArgumentError` for what is no integer.
    """
    given = arguments
    if len(arguments) == 1 and isinstance(arguments[0], Sequence):
        given = cast("Sequence[Any]", arguments[0])
    try:
        return tuple([index(size) for size in given])
    except TypeError:
        raise ArgumentError(f"{name}: expected integers, got {tuple(given)}") from None


def given_size(
    name: str, listed: Sequence[Any], size: int | Sequence[int] | None, keyword: str = "size"
) -> Sequence[Any]:
    """What `sizes` reads: arguments, or those of the keyword. Raises `ArgumentError` if both are there."""
    if size is None:
        return listed
    if listed:
        given = ", ".join(map(str, listed))
        raise ArgumentError(f"{name}: got {keyword} twice, as {given} and as {keyword}={size}")
    return [size]
