"""Ops whose gradient is wrong, each in one way that rules written by hand go wrong; and one that is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.tensor import Tensor

N = 3  # all act on (N, N) matrices, the second of which is a vector (N,) in some

Rule = Callable[[Tensor, Tensor], Tensor]
Back = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Any, Any]]


def product_with(name: str, back: Back) -> Rule:
    """x * y with a way back of its own: `back(grad, out, x, y)`."""

    def rule(x, y):
        def backward(grad, out):
            return back(grad, out, x, y)

        return x.array * y.array, backward

    rule.__name__ = name
    return op(rule)


right = product_with("right", lambda grad, out, x, y: (grad * y, grad * x))


@op
def forgets_a_term(x, y):
    def backward(grad, out):
        return grad * y, grad * x

    return x.array * y.array + x.array, backward


@op
def sums_the_wrong_axis(x, y):
    def backward(grad, out):
        return grad * y, (grad * x).sum(1)

    return x.array * y.array, backward


@op
def transposed(x, y):
    def backward(grad, out):
        return grad @ y.T, grad.T @ x

    return x.array @ y.array, backward


@op
def off_by_one(x, y):
    def backward(grad, out):
        return grad * y, grad * x.roll(1, 0)  # the first should be rolled back

    return np.roll(x.array, 1, 0) * y.array, backward


@op
def last_row_left_out(x, y):
    def backward(grad, out):
        kept = np.ones((N, 1))
        kept[-1] = 0
        return grad * y, grad * x * Tensor(kept.astype(grad.dtype))

    return x.array * y.array, backward


@op
def one_element_wrong(x, y):
    def backward(grad, out):
        factor = np.ones((N, N))
        factor[1, 2] = 0.5
        return grad * y, grad * x * Tensor(factor.astype(grad.dtype))

    return x.array * y.array, backward


MATRIX, VECTOR = (N, N), (N,)

# name: (op, what it computes, shape of the second argument)
WRONG: dict[str, tuple[Rule, Callable[..., Any], tuple[int, ...]]] = {
    "sign": (product_with("sign", lambda g, out, x, y: (-g * y, -g * x)), np.multiply, MATRIX),
    "factor 2": (product_with("factor", lambda g, out, x, y: (g * y * 2, g * x * 2)), np.multiply, MATRIX),
    "0.1 % off": (product_with("off", lambda g, out, x, y: (g * y * 1.001, g * x * 1.001)), np.multiply, MATRIX),
    "wrong argument": (product_with("swapped", lambda g, out, x, y: (g * x, g * y)), np.multiply, MATRIX),
    "second argument alone": (product_with("second", lambda g, out, x, y: (g * y, g * y)), np.multiply, MATRIX),
    "output for input": (product_with("output", lambda g, out, x, y: (g * out, g * out)), np.multiply, MATRIX),
    "forgets the arriving gradient": (product_with("lost", lambda g, out, x, y: (y + 0, x + 0)), np.multiply, MATRIX),
    "zero": (product_with("zero", lambda g, out, x, y: (g * 0, g * 0)), np.multiply, MATRIX),
    "none": (product_with("none", lambda g, out, x, y: (None, None)), np.multiply, MATRIX),
    "NaN": (product_with("nan", lambda g, out, x, y: (g * np.nan, g * np.nan)), np.multiply, MATRIX),
    "forgets a term": (forgets_a_term, lambda x, y: x * y + x, MATRIX),
    "no unbroadcast": (product_with("wide", lambda g, out, x, y: (g * y, g * x)), np.multiply, VECTOR),
    "unbroadcast over the wrong axis": (sums_the_wrong_axis, np.multiply, VECTOR),
    "unbroadcast by mean": (
        product_with("mean", lambda g, out, x, y: (g * y, (g * x).mean(0))),
        np.multiply,
        VECTOR,
    ),
    "transposed": (transposed, np.matmul, MATRIX),
    "off by one": (off_by_one, lambda x, y: np.roll(x, 1, 0) * y, MATRIX),
    "last row left out": (last_row_left_out, np.multiply, MATRIX),
    "one element": (one_element_wrong, np.multiply, MATRIX),
}
