"""A NaN or an infinity stopped training: say where it came from."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.autodiff.mode import anomaly_mode, enable_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import NonFiniteError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.train.evaluation import Loss

__all__ = ["first_cause"]


def first_cause(net: Module, loss: Loss, x: Tensor, y: Tensor, samples: Array) -> str:
    """Go through one batch again under `anomaly_mode()` and say what first held a NaN or an infinity.

    `samples` (B,) are the batch's positions in its data set. The caller has put the random generators back to where
    they were before the batch, so that dropout masks are the same. Gradients are left empty.
    """
    for name, tensor in (("input", x), ("target", y)):
        rows = _bad_rows(tensor.array)
        if rows.size:
            listed = ", ".join(str(samples[row]) for row in rows[:5]) + (", …" if rows.size > 5 else "")
            return f"the data themselves: the {name} of sample(s) {listed} holds a NaN or an infinity"
    net.zero_grad()
    try:
        with enable_grad(), anomaly_mode():
            loss(net(x), y).backward()
    except NonFiniteError as error:
        return str(error)
    finally:
        net.zero_grad()
    return "no op of this batch by itself; its gradients, or what is added to them, overflow when they are put together"


def _bad_rows(array: Array) -> Array:
    """Rows of (B, …) that hold a NaN or an infinity."""
    if array.dtype.kind != "f":
        return np.empty(0, np.int64)
    return np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(1))
