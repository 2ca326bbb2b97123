"""Embedding."""

from __future__ import annotations

import operator

import numpy as np

from tinygrad_mlp.autodiff.device import DeviceLike
from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn import init
from tinygrad_mlp.nn.checks import check_dtype, check_size
from tinygrad_mlp.nn.module import Module
from tinygrad_mlp.nn.parameter import Parameter

__all__ = ["Embedding"]


class Embedding(Module):
    """A table of vectors looked up by index: integers of any shape (…) -> (…, embedding_dim).

    Parameters
    ----------
    num_embeddings, embedding_dim:
        Shape of `weight`, which starts standard normal.
    padding_idx:
        Index of a row that starts as zeros and gets no gradient; negative ones count from the end.

    Raises
    ------
    ArgumentError
        A size below 1, or padding_idx out of range.
    DtypeError
        When called: indices that are no integers.
    IndexRangeError
        When called: an index outside 0 to num_embeddings - 1.
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        *,
        device: DeviceLike | None = None,
        dtype: DtypeLike | None = None,
        generator: Generator | None = None,
    ) -> None:
        super().__init__()
        self.num_embeddings = check_size("Embedding", "num_embeddings", num_embeddings)
        self.embedding_dim = check_size("Embedding", "embedding_dim", embedding_dim)
        self.padding_idx = None if padding_idx is None else self._checked_padding(padding_idx)
        kind = check_dtype("Embedding", dtype, device)
        self.weight = Parameter(np.empty((self.num_embeddings, self.embedding_dim), kind))
        self.reset_parameters(generator)

    def _checked_padding(self, index: int) -> int:
        rows = self.num_embeddings
        if not -rows <= operator.index(index) < rows:
            raise ArgumentError(f"Embedding: padding_idx must lie in {-rows} to {rows - 1}, got {index}")
        return operator.index(index) % rows

    def reset_parameters(self, generator: Generator | None = None) -> None:
        """Draw the table anew."""
        init.normal_(self.weight, generator=generator)
        if self.padding_idx is not None:
            with no_grad():
                self.weight[self.padding_idx] = 0.0

    def forward(self, x: Tensor) -> Tensor:
        """(…) integers -> (…, embedding_dim)."""
        return F.embedding(x, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        """`1000, 16`."""
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"
