"""Variance, standard deviation and norms, each made of sums, powers and roots, which bring the gradients.

`dim` and `keepdim` are those of the reductions in `reduce.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tinygrad_mlp.autodiff.methods import Dim
from tinygrad_mlp.autodiff.op import numpy_names
from tinygrad_mlp.autodiff.ops.checks import check_floats
from tinygrad_mlp.autodiff.ops.dims import element_count, several_dims
from tinygrad_mlp.autodiff.ops.reduce import amax, amin, mean, sum
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError

__all__ = ["METHODS", "norm", "std", "var"]


@numpy_names
def var(
    input: Tensor, dim: Dim = None, correction: int = 1, keepdim: bool = False, *, unbiased: bool | None = None
) -> Tensor:
    """Variance over the named dimensions: the sum of squared distances from the mean, over n - correction.

    `correction` 1 estimates the variance of what the elements were drawn from, 0 is their own; `unbiased` is the older
    name of the same choice, also as the only argument: `x.var(False)`. NaN where n - correction is 0. Raises
    `DtypeError` for integers.
    """
    return _variance("var", input, dim, correction, keepdim, unbiased)


def _variance(name: str, x: Tensor, dim: Dim, correction: int, keepdim: bool, unbiased: bool | None) -> Tensor:
    """Mean first, then the squared distances from it: sum(x**2) - n mean**2 would cancel."""
    check_floats(name, input=x)
    if isinstance(dim, bool) and unbiased is None:
        dim, unbiased = None, dim
    if unbiased is not None:
        correction = int(unbiased)
    dims = several_dims(name, dim, x.shape)
    distance = x - mean(x, dims, keepdim=True)
    freedom = element_count(x.shape, dims) - correction
    return sum(distance * distance, dims, keepdim) / float(freedom if freedom > 0 else 0)


@numpy_names
def std(
    input: Tensor, dim: Dim = None, correction: int = 1, keepdim: bool = False, *, unbiased: bool | None = None
) -> Tensor:
    """Standard deviation over the named dimensions, the root of `var`; its gradient is 0 where all elements agree.

    Raises `DtypeError` for integers.
    """
    return _root(_variance("std", input, dim, correction, keepdim, unbiased))


@numpy_names
def norm(input: Tensor, p: float | str = 2.0, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Vector norm over the named dimensions (all for None): (sum of |input|**p)**(1/p), with gradient 0 where it is 0.

    p = inf and -inf are the greatest and the least |input|, p = 0 counts the elements that are not 0; "fro" is 2.

    Raises
    ------
    DtypeError
        Integers.
    ArgumentError
        A p that is neither a number nor "fro".
    """
    check_floats("norm", input=input)
    power = 2.0 if p == "fro" else p
    if isinstance(power, str) or math.isnan(power):
        raise ArgumentError(f'norm: got p={p!r}, expected a number, inf, -inf or "fro"')
    dims = several_dims("norm", dim, input.shape)
    if power == 2:
        return _root(sum(input * input, dims, keepdim))
    if power == 1:
        return sum(input.abs(), dims, keepdim)
    if math.isinf(power):
        return (amax if power > 0 else amin)(input.abs(), dims, keepdim)
    if power == 0:
        return sum(input.sign().abs(), dims, keepdim)
    total = sum(_power(input.abs(), power), dims, keepdim)
    return _power(total, 1 / power)


def _root(x: Tensor) -> Tensor:
    """Square root whose gradient at 0 is 0, not inf."""
    zero = x == 0
    return x.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def _power(x: Tensor, exponent: float) -> Tensor:
    """x ** exponent for x at least 0, whose gradient at 0 is 0."""
    zero = x == 0
    return (x.masked_fill(zero, 1.0) ** exponent).masked_fill(zero, 0.0 if exponent > 0 else math.inf)


METHODS: dict[str, Callable[..., Any]] = {"var": var, "std": std, "norm": norm}
