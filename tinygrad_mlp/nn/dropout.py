"""Dropout, Dropout1d, Dropout2d."""

from __future__ import annotations

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.checks import check_number
from tinygrad_mlp.nn.module import Module

__all__ = ["Dropout", "Dropout1d", "Dropout2d"]


class _Dropout(Module):
    """Zeros with probability p in training, the input in use."""

    def __init__(self, p: float = 0.5, inplace: bool = False, *, generator: Generator | None = None) -> None:
        super().__init__()
        self.p = check_number(type(self).__name__, "p", p, 0.0, 1.0)
        self.generator = generator

    def extra_repr(self) -> str:
        """`p=0.5`."""
        return f"p={self.p}"


class Dropout(_Dropout):
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

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.dropout(x, self.p, self.training, generator=self.generator)


class Dropout1d(_Dropout):
    """In training, set whole channels of sequences to 0 with probability p and scale the others.

    (N, C, L) or one sequence (C, L); see `Dropout2d`.

    Raises
    ------
    ArgumentError
        p is no number in 0 to 1.
    ShapeError
        When called: another number of dimensions.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        return F.dropout1d(x, self.p, self.training, generator=self.generator)


class Dropout2d(_Dropout):
    """In training, set whole channels of images to 0 with probability p and scale the others (Tompson et al. 2015).

    Pixels of a channel resemble their neighbours, so that dropping them one by one would take little away.
    (N, C, H, W); in use also one image (C, H, W). See `Dropout`.

    Raises
    ------
    ArgumentError
        p is no number in 0 to 1.
    ShapeError
        When called: another number of dimensions. In training three are refused, which PyTorch takes for (N, C, L), and
        others for (C, H, W).
    """

    def forward(self, x: Tensor) -> Tensor:
        """Of the shape of x."""
        if x.ndim == 2:
            raise ShapeError(
                f"Dropout2d: input has shape {x.shape}, expected images (N, C, H, W); for features (N, C) use "
                "nn.Dropout"
            )
        return F.dropout2d(x, self.p, self.training, generator=self.generator)
