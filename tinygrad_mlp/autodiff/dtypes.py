"""The dtypes' names: NumPy dtypes under PyTorch's names, and the check of a `dtype=` argument."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from tinygrad_mlp.errors import DtypeError

__all__ = [
    "DtypeLike",
    "as_dtype",
    "bool",
    "double",
    "float",
    "float32",
    "float64",
    "int",
    "int32",
    "int64",
    "long",
    "uint8",
]

DtypeLike: TypeAlias = "np.dtype[Any] | type | str"

float32: np.dtype[Any] = np.dtype(np.float32)
float64: np.dtype[Any] = np.dtype(np.float64)
int32: np.dtype[Any] = np.dtype(np.int32)
int64: np.dtype[Any] = np.dtype(np.int64)
uint8: np.dtype[Any] = np.dtype(np.uint8)
bool: np.dtype[Any] = np.dtype(np.bool_)
# PyTorch's second names. Python's own types as `dtype=` mean what they mean there: float is float64, int is int64.
float = float32
double = float64
int = int32
long = int64


def as_dtype(name: str, dtype: DtypeLike) -> np.dtype[Any]:
    """The dtype that an argument names: `tg.float32`, `"float32"`, `np.float32`.

    Raises `DtypeError`, naming the op, for what is no dtype or one that a Tensor does not hold.
    """
    try:
        found = np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in "fiub" or found == np.float16 or found.itemsize > 8:
        raise DtypeError(f"{name}: dtype {dtype!r} is not supported; use tg.float32, tg.float64, an integer or tg.bool")
    return found
