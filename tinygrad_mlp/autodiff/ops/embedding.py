"""Embedding: rows of a table by their numbers."""

from __future__ import annotations

from operator import index

import numpy as np

from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.checks import check_floats, check_tensor
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.index import gather_rows, scatter_add_rows
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.record import recorder

__all__ = ["embedding", "embedding_backward", "embedding_rows"]

_NOTHING = -1  # a number that no row has


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """weight[input]: the vector of each index.

    Parameters
    ----------
    input:
        Integers 0 to R - 1, of any shape.
    weight:
        (R, D).
    padding_idx:
        A row that gets no gradient; a negative one counts from the end.

    Returns
    -------
    Tensor
        (*input.shape, D).

    Raises
    ------
    IndexRangeError
        An index is no row.
    DtypeError
        Indices that are no integers, or a weight of integers.
    ShapeError
        The weight is no matrix.
    ArgumentError
        padding_idx is no row.
    """
    check_tensor("embedding", "input", input)
    check_floats("embedding", weight=weight)
    if input.dtype.kind not in "iu":
        raise DtypeError(f"embedding: input must hold integers, got {input.dtype} {input.shape}; convert with .long()")
    if weight.ndim != 2:
        raise ShapeError(f"embedding: weight has shape {weight.shape}, expected (rows, features)")
    frozen = _NOTHING if padding_idx is None else _padding_row(padding_idx, len(weight))
    vectors = embedding_rows(weight, input.long().reshape(-1), frozen)
    return vectors.reshape(*input.shape, weight.shape[1])


def _padding_row(padding_idx: int, rows: int) -> int:
    if not -rows <= index(padding_idx) < rows:
        raise ArgumentError(f"embedding: padding_idx must lie in {-rows} to {rows - 1}, got {padding_idx}")
    return index(padding_idx) % rows


@op
def embedding_rows(weight: Tensor, rows: Tensor, frozen: int) -> tuple[Array, Backward]:
    """weight[rows], (R, D) and (n,) -> (n, D); row `frozen` gets no gradient."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return embedding_backward(grad, rows, frozen, len(weight))

    out = np.empty((len(rows), weight.shape[1]), weight.dtype)
    try:
        launch(gather_rows, weight.array, rows.array, out)
    except IndexRangeError as error:
        raise _bad_index(weight.array, error) from None
    if (recording := recorder()) is not None:
        recording.explain(_bad_index)
    return out, backward


def _bad_index(_: Array, error: Exception) -> IndexRangeError:
    return IndexRangeError(f"embedding: {error}")


@op
def embedding_backward(x: Tensor, rows: Tensor, frozen: int, count: int) -> tuple[Array, Backward]:
    """Zeros (count, D), with x (n, D) added to the rows it came from, but to row `frozen`."""

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        gathered = embedding_rows(grad, rows, frozen)
        return gathered.masked_fill((rows == frozen).unsqueeze(1), 0.0)

    out = np.empty((count, x.shape[1]), x.dtype)
    launch(scatter_add_rows, x.array, rows.array, frozen, out)
    return out, backward
