"""Pick categories at random by their weights."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.kernels.launch import Array, kernel

__all__ = ["pick", "pick_without_replacement"]


@kernel(writes=("out",), compiled=False)
def pick(weights: Array, uniform: Array, out: Array) -> None:
    """Categories (N, S) int64 by weights (N, C), each by a uniform number in [0, 1) of (N, S) float64.

    Each number is found on the axis on which the weights stand one after another.
    """
    for row in range(len(weights)):
        ends: Array = np.cumsum(weights[row], dtype=np.float64)
        last = np.flatnonzero(weights[row])[-1]  # rounding may put a number at the very end
        out[row] = ends.searchsorted(uniform[row] * ends[-1], side="right")
        np.minimum(out[row], last, out=out[row])


@kernel(writes=("out",), compiled=False)
def pick_without_replacement(weights: Array, uniform: Array, out: Array) -> None:
    """S different categories for each row, (N, S) int64, by weights (N, C) and uniform numbers (N, C) float64.

    A race: category i arrives after an exponential time of rate weight i, and the first S win (Efraimidis & Spirakis
    2006, "Weighted random sampling with a reservoir").
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        arrival: Array = np.log1p(-uniform) / -weights  # inf or NaN for weight 0: last in the order
    out[...] = np.argsort(arrival, axis=1, kind="stable")[:, : out.shape[1]]
