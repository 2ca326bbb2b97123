"""Copy, convert, and look at an array in the order of its memory."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import Array, kernel, launch, memory_order

__all__ = ["converted", "copy", "flat_view", "is_dense", "memory_order"]


@kernel(writes=("out",), compiled=False)
def copy(source: Array, out: Array) -> None:
    """Write `source`, broadcast and converted to the dtype of `out`."""
    np.copyto(out, source, casting="unsafe")


def converted(source: Array, dtype: np.dtype[np.generic] | type) -> Array:
    """A new array of another dtype with the same values and memory order."""
    out = np.empty_like(source, dtype=dtype)
    launch(copy, source, out)
    return out


def is_dense(array: Array) -> bool:
    """Whether the array fills its memory without gaps, in some order of its axes."""
    return array.flags.forc or array.transpose(memory_order(array)).flags.c_contiguous


def flat_view(array: Array, order: list[int] | None = None) -> Array:
    """The same memory as 1-d (`order`: the axes' order of another array that it must agree with).

    Raises `ArgumentError` where that needs a copy: a write to it would be lost.
    """
    stored = array.transpose(memory_order(array) if order is None else order)
    if not stored.flags.c_contiguous:
        raise ArgumentError(
            f"flat_view: shape {array.shape}, strides {array.strides} is not dense in the order asked for"
        )
    return stored.reshape(-1)
