"""Copy and convert."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.launch import Array, kernel, launch

__all__ = ["converted", "copy"]


@kernel(writes=("out",), compiled=False)
def copy(source: Array, out: Array) -> None:
    """Write `source`, broadcast and converted to the dtype of `out`."""
    np.copyto(out, source, casting="unsafe")


def converted(source: Array, dtype: np.dtype[np.generic] | type) -> Array:
    """A new array of another dtype with the same values and memory order."""
    out = np.empty_like(source, dtype=dtype)
    launch(copy, source, out)
    return out
