"""Reductions that NumPy does well: extremes, products, logic, and sums of integers, which are exact in any order."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.launch import Array, kernel

__all__ = ["accumulate_with", "argmax_of", "argmin_of", "reduce_with"]


@kernel(writes=("out",), compiled=False)
def reduce_with(ufunc: np.ufunc, x: Array, axes: tuple[int, ...], out: Array) -> None:
    """Reduce axes by np.add, np.multiply, np.maximum, np.logical_or …; `out` lacks these axes."""
    with np.errstate(all="ignore"):
        ufunc.reduce(x, axis=axes, out=out)


@kernel(writes=("out",), compiled=False)
def accumulate_with(ufunc: np.ufunc, x: Array, axis: int, out: Array) -> None:
    """Running result of a ufunc along one axis."""
    with np.errstate(all="ignore"):
        ufunc.accumulate(x, axis=axis, out=out)


@kernel(writes=("out",), compiled=False)
def argmax_of(x: Array, axis: int, out: Array) -> None:
    """Index of the first greatest element along one axis; `out` lacks this axis."""
    np.argmax(x, axis=axis, out=out)


@kernel(writes=("out",), compiled=False)
def argmin_of(x: Array, axis: int, out: Array) -> None:
    """Index of the first least element along one axis; `out` lacks this axis."""
    np.argmin(x, axis=axis, out=out)
