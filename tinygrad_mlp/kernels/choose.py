"""Choose between two values, element by element."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.launch import Array, kernel

__all__ = ["choose"]


@kernel(writes=("out",), compiled=False)
def choose(condition: Array, x: Array | float, y: Array | float, out: Array) -> None:
    """`x` where the condition holds, else `y`; all three broadcast to the shape of `out`."""
    np.copyto(out, y)
    np.copyto(out, x, where=condition)
