"""Order elements, and mark classes; plain NumPy."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels.launch import Array, kernel

__all__ = ["argsort", "one_hot"]


@kernel(writes=("out",), compiled=False)
def argsort(x: Array, axis: int, descending: bool, out: Array) -> None:
    """The indices that sort x along an axis, of equal elements the first first; NaN counts as the greatest."""
    if descending:
        # Of the reversed x the stable ascending order, reversed again: equal elements keep their order.
        reversed_order = np.argsort(np.flip(x, axis), axis, stable=True)
        np.subtract(x.shape[axis] - 1, np.flip(reversed_order, axis), out=out)
    else:
        np.copyto(out, np.argsort(x, axis, stable=True))


@kernel(writes=("out",), compiled=False)
def one_hot(labels: Array, out: Array) -> None:
    """out[..., c] = 1 where labels[...] is c, else 0."""
    classes = out.shape[-1]
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        first = tuple(int(i) for i in np.argwhere(outside)[0])
        raise IndexRangeError(
            f"one_hot: label {labels[first]} at {first} is out of range; labels must lie in 0 to {classes - 1}"
        )
    out.fill(0)
    np.put_along_axis(out, labels[..., np.newaxis].astype(np.int64), 1, -1)
