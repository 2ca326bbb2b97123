"""Dropout, and random numbers written in place.

Dropout's mask is not stored: seed and number of the draw are, and the way back draws the same numbers again.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.checks import check_floats
from tinygrad_mlp.autodiff.ops.inplace import check_writable, copy_
from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.launch import Array
from tinygrad_mlp.kernels.memory import empty_like
from tinygrad_mlp.kernels.random import DropoutMask, Generator, apply_dropout, draw_dropout

__all__ = ["METHODS", "dropout", "dropout1d", "dropout2d", "normal_", "random_dropout", "same_dropout", "uniform_"]


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Each element becomes 0 with probability p, and the others are divided by 1 - p (Srivastava et al. 2014).

    Parameters
    ----------
    input:
        float32 or float64, of any shape.
    p:
        0 to 1, to within 2**-32.
    training:
        Without it, and for p = 0, the input is returned as it is.
    inplace:
        Accepted, as scripts written for PyTorch pass it, and changes nothing.
    generator:
        Of the random numbers; by default the one that `tg.manual_seed` seeds.

    Raises
    ------
    ArgumentError
        p is no probability.
    DtypeError
        Integers.
    """
    _check_dropout("dropout", input, p)
    if not training or p == 0:
        return input
    return random_dropout(input, float(p), default_generator if generator is None else generator)


def dropout1d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`dropout` of whole channels of sequences: (N, C, L), or one sequence (C, L).

    Raises as `dropout` does, and `ShapeError` for other shapes.
    """
    _check_dropout("dropout1d", input, p)
    if input.ndim not in (2, 3):
        raise ShapeError(f"dropout1d: input has shape {input.shape}, expected (N, C, L) or (C, L)")
    return _dropped_channels(input, (*input.shape[:-1], 1), p, training, generator)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """`dropout` of whole channels of images (Tompson et al. 2015): (N, C, H, W).

    Raises as `dropout` does, and `ShapeError` for other shapes. In training three dimensions are one of them: PyTorch
    reads (N, C, L) where others mean one image (C, H, W).
    """
    _check_dropout("dropout2d", input, p)
    if input.ndim not in (3, 4):
        raise ShapeError(f"dropout2d: input has shape {input.shape}, expected (N, C, H, W)")
    if input.ndim == 3 and training and p > 0:
        raise ShapeError(
            f"dropout2d: input has shape {input.shape}, expected (N, C, H, W); for sequences (N, C, L) use dropout1d "
            "(nn.Dropout1d), and give one image (C, H, W) as x.unsqueeze(0)"
        )
    return _dropped_channels(input, (*input.shape[:2], 1, 1), p, training, generator)


def _dropped_channels(
    input: Tensor, channels: tuple[int, ...], p: float, training: bool, generator: Generator | None
) -> Tensor:
    """The input times a factor for each channel, for which `channels` is the shape."""
    if not training or p == 0:
        return input
    return input * dropout(wrap(np.ones(channels, input.dtype)), p, generator=generator)


def _check_dropout(name: str, input: Tensor, p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ArgumentError(f"{name}: p must lie in 0 to 1, got {p}")
    check_floats(name, input=input)


@op
def random_dropout(input: Tensor, p: float, generator: Generator) -> tuple[Array, Backward]:
    """Dropout with a mask drawn now."""
    array = empty_like(input.array)
    mask = draw_dropout(input.array, p, generator, array)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return same_dropout(grad, mask)

    return array, backward


@op
def same_dropout(input: Tensor, mask: DropoutMask) -> tuple[Array, Backward]:
    """Dropout with a mask that was drawn before: linear, and so its own derivative."""
    array = empty_like(input.array)
    apply_dropout(input.array, mask, array)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return same_dropout(grad, mask)

    return array, backward


def uniform_(x: Tensor, from_: float = 0.0, to: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill x with uniform numbers of from_..to. Raises `ArgumentError` if from_ > to, `DtypeError` for integers."""
    return _filled("uniform_", x, from_, to, generator or default_generator, Generator.fill_uniform)


def normal_(x: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fill x with normal numbers. Raises `ArgumentError` for a negative std, `DtypeError` for integers."""
    return _filled("normal_", x, mean, std, generator or default_generator, Generator.fill_normal)


def _filled(
    name: str,
    x: Tensor,
    first: float,
    second: float,
    generator: Generator,
    fill: Callable[[Generator, Array, float, float], None],
) -> Tensor:
    check_floats(name, tensor=x)
    check_writable(name, x)
    values = np.empty(x.shape, x.dtype)  # in logical order, whatever that of the tensor's memory
    fill(generator, values, first, second)
    return copy_(x, values)


METHODS: dict[str, Callable[..., Tensor]] = {
    "normal_": normal_,
    "uniform_": uniform_,
}
