"""Rows of a table by index, and the way back: what an embedding does. Indexing in general is in `gather`."""

from __future__ import annotations

from tinygrad_mlp.kernels.launch import Array, kernel
from tinygrad_mlp.kernels.status import BAD_ROW

__all__ = ["gather_rows", "scatter_add_rows"]


@kernel(writes=("out",))
def gather_rows(table: Array, indices: Array, out: Array, status: Array) -> None:
    """out[i] = table[indices[i]]: table (V, D), indices (n,) int64 of 0 … V-1, out (n, D).

    Negative indices do not count from the end, as in PyTorch's embedding. An index out of range sets `status`, and
    nothing is written.
    """
    for i in range(indices.size):
        if indices[i] < 0 or indices[i] >= table.shape[0]:
            status[0], status[1], status[2], status[3] = BAD_ROW, i, indices[i], table.shape[0]
            return
    for i in range(indices.size):
        row, result = table[indices[i]], out[i]
        for j in range(row.size):
            result[j] = row[j]


@kernel(writes=("out",))
def scatter_add_rows(grad: Array, indices: Array, skip: int, out: Array, status: Array) -> None:
    """out = 0, then out[indices[i]] += grad[i] for rising i; the gradient of `gather_rows`.

    grad (n, D), indices (n,) int64, out (V, D). Rows of index `skip` are left out (an embedding's padding; -1: none).
    An index out of range sets `status`, and nothing is written.
    """
    for i in range(indices.size):
        if indices[i] < 0 or indices[i] >= out.shape[0]:
            status[0], status[1], status[2], status[3] = BAD_ROW, i, indices[i], out.shape[0]
            return
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
    for i in range(indices.size):
        if indices[i] == skip:
            continue
        row, result = grad[i], out[indices[i]]
        for j in range(row.size):
            result[j] += row[j]
