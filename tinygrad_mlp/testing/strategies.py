"""Hypothesis strategies for what ops are given: shapes, shapes that broadcast, arrays in any memory layout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_mlp.kernels.launch import Array

__all__ = ["arrays", "arrays_of", "broadcastable_shapes", "relaid", "shapes"]

Shape = tuple[int, ...]


def shapes(min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4) -> st.SearchStrategy[Shape]:
    """Shapes of arrays: 0-d, size 0 and size 1 among them unless the limits forbid it."""
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side)


def broadcastable_shapes(
    count: int = 2, min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 3
) -> st.SearchStrategy[tuple[Shape, ...]]:
    """`count` shapes that broadcast together."""
    drawn = hnp.mutually_broadcastable_shapes(
        num_shapes=count, min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side
    )
    return drawn.map(lambda shapes: shapes.input_shapes)


def arrays(
    shape: Shape | st.SearchStrategy[Shape] | None = None,
    low: float = -3.0,
    high: float = 3.0,
    *,
    away_from: Sequence[float] = (),
    distinct: bool = False,
    dtype: Any = np.float64,
    layouts: bool = True,
) -> st.SearchStrategy[Array]:
    """Arrays of numbers in low..high (whole ones, high excluded, for an integer dtype) in various memory layouts.

    Parameters
    ----------
    shape:
        A shape or a strategy for shapes; `shapes()` if None.
    low, high:
        The domain of the op.
    away_from:
        Kinks and jumps: no number is nearer to one of them than 0.05.
    distinct:
        No two numbers are nearer to each other than about half their mean distance: no ties.
    dtype:
        float64 holds numbers that float32 holds as well.
    layouts:
        Permuted, strided and reversed memory too; else row-major alone.
    """
    drawn = shapes() if shape is None else st.just(shape) if isinstance(shape, tuple) else shape
    one = drawn.map(lambda shape: (shape,))
    several = arrays_of(one, low, high, away_from=away_from, distinct=distinct, dtype=dtype, layouts=layouts)
    return several.map(lambda drawn: drawn[0])


@st.composite
def arrays_of(
    draw: st.DrawFn,
    shapes: st.SearchStrategy[tuple[Shape, ...]],
    low: float = -3.0,
    high: float = 3.0,
    *,
    away_from: Sequence[float] = (),
    distinct: bool = False,
    dtype: Any = np.float64,
    layouts: bool = True,
) -> tuple[Array, ...]:
    """Tuples of `arrays`, one for each shape; `distinct` numbers are so among all of them."""
    wanted = draw(shapes)
    sizes = [int(np.prod(shape)) for shape in wanted]
    # A seed, not the numbers one by one: shapes and layouts are what failing examples should be small in.
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    values = _values(rng, sum(sizes), low, high, away_from, distinct, np.dtype(dtype))
    parts = np.split(values, np.cumsum(sizes)[:-1])
    filled = [part.reshape(shape) for part, shape in zip(parts, wanted, strict=True)]
    return tuple([draw(_layouts(array)) if layouts else array for array in filled])


def _values(
    rng: np.random.Generator,
    count: int,
    low: float,
    high: float,
    away_from: Sequence[float],
    distinct: bool,
    dtype: np.dtype[Any],
) -> Array:
    if dtype.kind == "b":
        return rng.integers(0, 2, count).astype(dtype)
    if dtype.kind in "iu":
        return rng.integers(int(low), int(high), count).astype(dtype)
    if distinct:
        places = (rng.permutation(count) + rng.uniform(0.25, 0.75, count)) / max(count, 1)
    else:
        places = rng.uniform(0.0, 1.0, count)
    values = low + (high - low) * places
    for kink in away_from:
        distance = values - kink
        values = np.where(np.abs(distance) < 0.05, kink + np.where(distance < 0, -0.05, 0.05) + distance, values)
    return values.astype(np.float32).astype(dtype)


@st.composite
def _layouts(draw: st.DrawFn, array: Array) -> Array:
    """The array in memory that is row-major, permuted, or permuted, strided and reversed."""
    kind = draw(st.sampled_from(["row-major", "permuted", "strided"])) if array.ndim else "row-major"
    if kind == "row-major":
        return array
    order = draw(st.permutations(range(array.ndim)))
    steps = draw(st.lists(st.sampled_from([1, 2, -1]), min_size=array.ndim, max_size=array.ndim))
    if kind == "permuted":
        steps = [1] * array.ndim
    strides = [0] * array.ndim
    stride = array.itemsize
    for axis in order:
        strides[axis] = stride * steps[axis]
        stride *= max(array.shape[axis], 1) * abs(steps[axis])
    return _with_strides(array, tuple(strides), array.dtype)


def relaid(array: Array, dtype: Any = None) -> Array:
    """A copy, in another dtype if told so, that lies in memory with the same gaps and in the same order.

    The gaps hold NaN (in integers the greatest number), so that a kernel that reads them is found out.
    """
    kind = np.dtype(array.dtype if dtype is None else dtype)
    return _with_strides(array, tuple([stride // array.itemsize * kind.itemsize for stride in array.strides]), kind)


def _with_strides(array: Array, strides: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """A copy of the array in new memory with these strides."""
    reaches = [stride * (size - 1) for stride, size in zip(strides, array.shape, strict=True)] if array.size else []
    before = -sum(reach for reach in reaches if reach < 0)
    after = sum(reach for reach in reaches if reach > 0)
    filler: Any = np.nan if dtype.kind == "f" else True if dtype.kind == "b" else np.iinfo(dtype).max
    memory = np.full((before + after) // dtype.itemsize + 1, filler, dtype)
    out: Array = np.ndarray(array.shape, dtype, memory, before, strides)
    out[...] = array
    return out
