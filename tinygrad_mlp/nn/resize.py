"""Upsample: images and sequences of another size."""

from __future__ import annotations

from collections.abc import Sequence

from tinygrad_mlp.autodiff.ops.checks import check_choice
from tinygrad_mlp.autodiff.ops.resize import MODES
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.module import Module

__all__ = ["Upsample"]


class Upsample(Module):
    """The input in another size, by nearest pixels or means of neighbours; see `F.interpolate`.

    Raises `ArgumentError` for an unknown mode, for neither or both of size and scale_factor; when called as
    `F.interpolate` does.

    >>> nn.Upsample(scale_factor=2)(tg.zeros(8, 16, 7, 7)).shape
    (8, 16, 14, 14)
    """

    def __init__(
        self,
        size: int | Sequence[int] | None = None,
        scale_factor: float | Sequence[float] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        super().__init__()
        check_choice("Upsample", "mode", mode, MODES)
        if (size is None) == (scale_factor is None):
            raise ArgumentError(f"Upsample: got size={size} and scale_factor={scale_factor}, expected one of them")
        self.size, self.scale_factor, self.mode, self.align_corners = size, scale_factor, mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) or (N, C, L)."""
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        """`scale_factor=2, mode='nearest'`."""
        by = f"scale_factor={self.scale_factor}" if self.size is None else f"size={self.size}"
        return f"{by}, mode={self.mode!r}"
