"""Dropout."""

from __future__ import annotations

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.checks import check_number
from tinygrad_mlp.nn.module import Module

__all__ = ["Dropout"]


class Dropout(Module):
    """In training, set each element to 0 with probability p and scale the others by 1/(1 - p) (Srivastava et al. 2014).

    In use (after `eval()`) it returns its input.

    Parameters
    ----------
    p:
        0 to 1.
    inplace:
        Accepted, as scripts written for PyTorch pass it; the input is never written to.
    generator:
        Of the random numbers; by default the one that `tg.manual_seed` seeds.

    Raises
    ------
    ArgumentError
        p is no number in 0 to 1.
    """

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: Generator | None = None) -> None:
        super().__init__()
        self.p = check_number("Dropout", "p", p, 0.0, 1.0)
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.dropout(x, self.p, self.training, generator=self.generator)

    def extra_repr(self) -> str:
        """`p=0.5`."""
        return f"p={self.p}"
