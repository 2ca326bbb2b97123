"""Which samples are meant: one position, or several by a slice, integers or a mask."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex, TypeAlias

import numpy as np
from numpy.typing import NDArray

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import DataError, DtypeError, IndexRangeError, ShapeError

__all__ = ["Indices", "absolute", "as_indices", "index_array", "single"]

Indices: TypeAlias = "slice | Sequence[int] | NDArray[Any] | Tensor"


def as_indices(indices: Indices, count: int, name: str) -> NDArray[np.int64]:
    """Positions (B,) int64 from a slice, integers or a mask (count,). Raises `DataError` where there are none."""
    rows = index_array(indices, count)
    if rows.size == 0:
        raise DataError(f"{name}: empty batch: the indices select none of {count} samples")
    return rows


def index_array(indices: Indices, count: int) -> NDArray[np.int64]:
    """The same of no samples, too, and with negative positions as they are. Raises `ShapeError`, `DtypeError`."""
    if isinstance(indices, slice):
        return np.arange(*indices.indices(count), dtype=np.int64)
    array = indices.array if isinstance(indices, Tensor) else np.asarray(indices)
    if array.dtype == np.int64 and array.ndim == 1:
        return array
    if array.ndim != 1:
        raise ShapeError(f"indices have shape {array.shape}, expected (B,)")
    if array.size == 0:
        return np.empty(0, np.int64)
    if array.dtype == np.bool_:
        if len(array) != count:
            raise ShapeError(f"the mask has {len(array)} entries, expected one for each of {count} samples")
        return np.flatnonzero(array)
    if array.dtype.kind not in "iu":
        raise DtypeError(f"indices are {array.dtype}, expected integers, a slice or a boolean mask")
    return array.astype(np.int64)


def absolute(indices: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Indices with negative ones counted from the end. Raises `IndexRangeError`."""
    outside = (indices < -count) | (indices >= count)
    if outside.any():
        raise IndexRangeError(f"index {indices[np.argmax(outside)]} is out of range for {count} samples")
    return np.where(indices < 0, indices + count, indices)


def single(index: SupportsIndex | Indices) -> int | None:
    """The position, if `index` is one integer; None if it selects several samples."""
    if isinstance(index, SupportsIndex) and getattr(index, "ndim", 0) == 0:
        return operator.index(index)
    return None
