"""Gradients and gradients of gradients against central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import tinygrad_mlp.autodiff.ops  # noqa: F401  attaches the methods
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.tensor import Tensor

_STEP = 1e-5


def rng(*key: int) -> np.random.Generator:
    return np.random.default_rng([20, *key])


def _differences(function: Callable[[Sequence[np.ndarray]], float], arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Central differences of a scalar function by every element."""
    results: list[np.ndarray] = []
    for position, array in enumerate(arrays):
        result = np.zeros(array.shape)
        for index in np.ndindex(array.shape):
            ends = []
            for step in (_STEP, -_STEP):
                moved = [other.copy(order="K") for other in arrays]
                moved[position][index] += step
                ends.append(function(moved))
            result[index] = (ends[0] - ends[1]) / (2 * _STEP)
        results.append(result)
    return results


def _assert_close(actual: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> None:
    scale = max((float(np.abs(array).max()) for array in expected if array.size), default=0.0)
    for got, want in zip(actual, expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-8 * max(scale, 1e-2))


def check_gradients(function: Callable[..., Tensor], *arrays: Any, second: bool = True) -> None:
    """Check d(sum of function * random weights)/d arrays, and (`second`) the derivative of that gradient.

    The second check runs the recorded (`create_graph`) rules and compares them with differences of the unrecorded ones.
    """
    inputs = [np.asarray(array, np.float64) for array in arrays]

    def scalar(tensors: Sequence[Tensor]) -> Tensor:
        out = function(*tensors)
        return (out * Tensor(rng(1).uniform(0.5, 1.5, out.shape))).sum()

    def tensors_of(values: Sequence[np.ndarray]) -> list[Tensor]:
        return [Tensor(value.copy(order="K"), requires_grad=True) for value in values]

    def gradients(values: Sequence[np.ndarray], create_graph: bool = False) -> list[np.ndarray]:
        tensors = tensors_of(values)
        found = grad(scalar(tensors), tensors, create_graph=create_graph)
        return [tensor.detach().array for tensor in found]

    first = gradients(inputs)
    _assert_close(first, _differences(lambda values: scalar([Tensor(value) for value in values]).item(), inputs))
    if not second:
        return
    for recorded, plain in zip(gradients(inputs, create_graph=True), first, strict=True):
        np.testing.assert_allclose(recorded, plain, rtol=1e-9, atol=1e-12)
    directions = [rng(2, position).uniform(0.5, 1.5, array.shape) for position, array in enumerate(inputs)]
    tensors = tensors_of(inputs)
    along = [
        (part * Tensor(direction)).sum()
        for part, direction in zip(grad(scalar(tensors), tensors, create_graph=True), directions, strict=True)
    ]
    total = along[0]
    for part in along[1:]:
        total = total + part
    if total.requires_grad:
        found = grad(total, tensors, allow_unused=True)
        actual = [np.zeros(t.shape) if part is None else part.array for t, part in zip(tensors, found, strict=True)]
    else:
        actual = [np.zeros(array.shape) for array in inputs]

    def along_directions(values: Sequence[np.ndarray]) -> float:
        return sum(float((g * d).sum()) for g, d in zip(gradients(values), directions, strict=True))

    _assert_close(actual, _differences(along_directions, inputs))


def derivative_of(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The gradient of function(x).sum() as a function of x, for `check_gradients`: orders two and three."""

    def gradient(x: Tensor) -> Tensor:
        x = x if x.requires_grad else Tensor(x.array, requires_grad=True)
        (found,) = grad(function(x).sum(), x, create_graph=True)
        assert found is not None
        return found

    return gradient
