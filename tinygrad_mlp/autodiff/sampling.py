"""Random tensors.

Each call is one draw from its generator, whatever the size: the numbers depend on the seed, on how many draws came
before and on the position in row-major order, not on the memory order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.creation import array_like, new_array
from tinygrad_mlp.autodiff.device import DeviceLike
from tinygrad_mlp.autodiff.dtypes import DtypeLike
from tinygrad_mlp.autodiff.ops.broadcast import operands
from tinygrad_mlp.autodiff.ops.dims import given_size, sizes
from tinygrad_mlp.autodiff.ops.shape import to
from tinygrad_mlp.autodiff.ops.unary import array_of
from tinygrad_mlp.autodiff.random_state import default_generator
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.copy import converted, copy
from tinygrad_mlp.kernels.launch import Array, apply_ufunc, is_array, launch
from tinygrad_mlp.kernels.pick import pick, pick_without_replacement
from tinygrad_mlp.kernels.random import Generator

__all__ = [
    "bernoulli",
    "multinomial",
    "normal",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
]


def _floating(name: str, out: Array) -> Array:
    if out.dtype.kind != "f":
        raise DtypeError(f"{name}: expected float32 or float64, got {out.dtype}")
    return out


def _ordered(out: Array, fill: Callable[[Array], None], dtype: np.dtype[Any] | None = None) -> Array:
    """Fill an array through a row-major one (of the dtype that the generator writes) where it is none itself."""
    native = out.dtype if dtype is None else dtype
    drawn = out if out.flags.c_contiguous and out.dtype == native else np.empty(out.shape, native)
    fill(drawn)
    if drawn is not out:
        launch(copy, drawn, out)
    return out


def _uniform(name: str, out: Array, generator: Generator | None, requires_grad: bool) -> Tensor:
    return Tensor(_ordered(_floating(name, out), (generator or default_generator).fill_uniform), requires_grad)


def _normal(name: str, out: Array, generator: Generator | None, requires_grad: bool) -> Tensor:
    return Tensor(_ordered(_floating(name, out), (generator or default_generator).fill_normal), requires_grad)


def _integers(name: str, out: Array, low: Any, high: Any, generator: Generator | None) -> Tensor:
    first, stop = sizes(name, [low, high])

    def fill(array: Array) -> None:
        (generator or default_generator).fill_randint(array, first, stop)

    return Tensor(_ordered(out, fill, np.dtype(np.int64)))


def rand(
    *shape: int | Sequence[int],
    size: int | Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Uniform numbers in [0, 1), float32 unless told otherwise: `rand(2, 3)`, `rand((2, 3))` or `rand(size=(2, 3))`."""
    return _uniform("rand", new_array("rand", given_size("rand", shape, size), dtype, device), generator, requires_grad)


def randn(
    *shape: int | Sequence[int],
    size: int | Sequence[int] | None = None,
    generator: Generator | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Normal numbers of mean 0 and variance 1, float32 unless told otherwise; the size is given as for `rand`."""
    return _normal(
        "randn", new_array("randn", given_size("randn", shape, size), dtype, device), generator, requires_grad
    )


def randint(
    low: int = 0,
    high: int | Sequence[int] | None = None,
    size: int | Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DtypeLike | None = None,
    device: DeviceLike | None = None,
) -> Tensor:
    """Integers in [low, high), int64 unless told otherwise: `randint(10, (2, 3))` or `randint(5, 10, (2, 3))`.

    The size may be given as `size=(2, 3)`, too.
    Raises `ArgumentError` if there is no integer in the range.
    """
    if size is None:
        if not isinstance(high, Sequence):
            raise ArgumentError("randint: give the size as a sequence: randint(high, size) or randint(low, high, size)")
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    out = new_array("randint", [size], np.int64 if dtype is None else dtype, device)
    return _integers("randint", out, low, high, generator)


def randperm(
    n: int, *, generator: Generator | None = None, dtype: DtypeLike | None = None, device: DeviceLike | None = None
) -> Tensor:
    """0 to n - 1 in random order, int64 unless told otherwise."""
    out = new_array("randperm", [n], np.int64, device)
    (generator or default_generator).fill_permutation(out)
    shuffled = Tensor(out)
    return shuffled if dtype is None else to(shuffled, dtype)


def rand_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Uniform numbers in [0, 1), of the shape and (unless told otherwise) the dtype of the input."""
    return _uniform("rand_like", array_like("rand_like", input, dtype, device), generator, requires_grad)


def randn_like(
    input: Tensor,
    *,
    generator: Generator | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Normal numbers of mean 0 and variance 1, of the shape and (unless told otherwise) the dtype of the input."""
    return _normal("randn_like", array_like("randn_like", input, dtype, device), generator, requires_grad)


def randint_like(
    input: Tensor,
    low: int = 0,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: DtypeLike | None = None,
    device: DeviceLike | None = None,
) -> Tensor:
    """Integers in [low, high), or in [0, low), of the shape and (unless told otherwise) the dtype of the input."""
    first, stop = (0, low) if high is None else (low, high)
    return _integers("randint_like", array_like("randint_like", input, dtype, device), first, stop, generator)


def normal(
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: int | Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DtypeLike | None = None,
    requires_grad: bool = False,
    device: DeviceLike | None = None,
) -> Tensor:
    """Normal numbers: `normal(0, 0.01, (784, 10))`, or for tensors, which broadcast, one for each of their elements.

    Raises `ArgumentError` for a negative std, or numbers without a size; `DtypeError` for integers.
    """
    if isinstance(mean, Tensor) or isinstance(std, Tensor):
        return _normal_around(mean, std, generator)
    if size is None:
        raise ArgumentError("normal: give the size: normal(mean, std, size)")
    out = _floating("normal", new_array("normal", [size], dtype, device))
    (generator or default_generator).fill_normal(out, float(mean), float(std))
    return Tensor(out, requires_grad)


def _normal_around(mean: float | Tensor, std: float | Tensor, generator: Generator | None) -> Tensor:
    centre, width = operands("normal", mean, std)
    if np.any(width < 0):
        raise ArgumentError("normal: std must be 0 or more everywhere")
    dtype = next(array.dtype for array in (centre, width) if is_array(array))
    try:
        out = np.empty(np.broadcast_shapes(np.shape(centre), np.shape(width)), dtype)
    except ValueError:
        raise ShapeError(f"normal: shapes {np.shape(centre)} and {np.shape(width)} do not broadcast") from None
    (generator or default_generator).fill_normal(_floating("normal", out))
    launch(np.multiply, out, width, out)
    launch(np.add, out, centre, out)
    return Tensor(out)


def bernoulli(input: Tensor, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that each element of the input says, else 0; in the dtype of the input.

    Raises `ArgumentError` for what lies outside 0 to 1, `DtypeError` for integers.
    """
    array = _floating("bernoulli", array_of("bernoulli", input))
    if not np.all((array >= 0) & (array <= 1)):
        raise ArgumentError("bernoulli: probabilities must lie in 0 to 1")
    uniform = np.empty(array.shape)
    (generator or default_generator).fill_uniform(uniform)
    return Tensor(converted(apply_ufunc(np.less, uniform, array), array.dtype))


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices (int64) of categories, drawn with probabilities in proportion to their weights.

    Parameters
    ----------
    input:
        The weights, (C,) or rows (N, C), at least 0; they need not add up to 1.
    num_samples:
        S; the result is (S,) or (N, S).
    replacement:
        Whether a category may be drawn again; without it S may not exceed the number of weights above 0.
    generator:
        By default the one that `tg.manual_seed` seeds.

    Raises
    ------
    ArgumentError
        A weight that is negative or not finite, a row of zeros, or too few categories.
    ShapeError, DtypeError
        Weights of another shape, or integers.
    """
    array = _floating("multinomial", array_of("multinomial", input))
    if array.ndim not in (1, 2) or not array.shape[-1]:
        raise ShapeError(f"multinomial: expected weights (C,) or (N, C) with C at least 1, got shape {array.shape}")
    if not np.all(np.isfinite(array) & (array >= 0)):
        raise ArgumentError("multinomial: weights must be finite and at least 0")
    rows = np.atleast_2d(array)
    (count,) = sizes("multinomial", [num_samples])
    fewest = int((rows > 0).sum(axis=1).min(initial=rows.shape[1]))
    if count < 1 or fewest < (1 if replacement else count):
        raise ArgumentError(
            f"multinomial: {count} samples {'with' if replacement else 'without'} replacement from a row of {fewest} "
            "weights above 0"
        )
    uniform = np.empty((len(rows), count) if replacement else rows.shape)
    (generator or default_generator).fill_uniform(uniform)
    out = np.empty((len(rows), count), np.int64)
    launch(pick if replacement else pick_without_replacement, rows, uniform, out)
    return Tensor(out if array.ndim == 2 else out[0])
