"""Dropout. The mask is not stored: seed and number of the draw are, and the way back draws the same numbers again."""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.checks import check_floats
from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.random import DropoutMask, Generator, apply_dropout, draw_dropout

__all__ = ["dropout", "random_dropout", "same_dropout"]


def dropout(input: Tensor, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """Each element becomes 0 with probability p, and the others are divided by 1 - p (Srivastava et al. 2014).

    Parameters
    ----------
    input:
        float32 or float64, of any shape.
    p:
        0 to 1, to within 2**-32.
    training:
        Without it, and for p = 0, the input is returned as it is.
    generator:
        Of the random numbers; by default the one that `tg.manual_seed` seeds.

    Raises
    ------
    ArgumentError
        p is no probability.
    DtypeError
        Integers.
    """
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"dropout: p must lie in 0 to 1, got {p}")
    check_floats("dropout", input=input)
    if not training or p == 0:
        return input
    return random_dropout(input, float(p), default_generator if generator is None else generator)


@op
def random_dropout(input: Tensor, p: float, generator: Generator) -> tuple[Array, Backward]:
    """Dropout with a mask drawn now."""
    array = np.empty_like(input.array)
    mask = draw_dropout(input.array, p, generator, array)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return same_dropout(grad, mask)

    return array, backward


@op
def same_dropout(input: Tensor, mask: DropoutMask) -> tuple[Array, Backward]:
    """Dropout with a mask that was drawn before: linear, and so its own derivative."""
    array = np.empty_like(input.array)
    apply_dropout(input.array, mask, array)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return same_dropout(grad, mask)

    return array, backward
