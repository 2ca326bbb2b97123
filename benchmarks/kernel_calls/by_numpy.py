"""The calls of the kernel table in NumPy, in place wherever that saves memory traffic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.kernel_calls import operands
from benchmarks.kernel_calls.operands import Array
from benchmarks.kernel_calls.sweep import Call, commands
from benchmarks.workloads import IMAGES

__all__ = ["COMMANDS"]


def _matmul(form: str, m: int, k: int, n: int) -> Call:
    a, b = operands.matrices(form, m, k, n)
    out = np.empty((m, n), np.float32)
    return Call(partial(np.matmul, a, b, out=out), lambda: [out])


def _sigmoid(x: Array) -> Array:
    out = np.negative(x)
    np.exp(out, out=out)
    out += 1
    return np.reciprocal(out, out=out)


def _softplus(x: Array) -> Array:
    """log(1 + eˣ) = max(x, 0) + log(1 + e^-|x|): np.logaddexp(0, x) does the same ten times slower."""
    out = np.abs(x)
    np.negative(out, out=out)
    np.exp(out, out=out)
    np.log1p(out, out=out)
    out += np.maximum(x, 0)
    return out


_ELEMENTWISE: dict[str, Callable[[Array], Array]] = {
    "exp": np.exp,
    "tanh": np.tanh,
    "sigmoid": _sigmoid,
    "log": np.log,
    "softplus": _softplus,
    "relu": partial(np.maximum, np.float32(0)),
}  # NumPy has no erf, and so no gelu


def _elementwise(operation: str, shape: Sequence[int]) -> Call | None:
    if operation not in _ELEMENTWISE:
        return None
    call = partial(_ELEMENTWISE[operation], operands.elementwise_input(operation, shape))
    return Call(call, lambda: [call()])


def _reduction(operation: str, dim: int | None, shape: Sequence[int]) -> Call:
    x = operands.elementwise_input(operation, shape)
    call = partial({"sum": np.sum, "mean": np.mean}[operation], x, axis=dim)
    return Call(call, lambda: [call()])


def _loss(rows: int) -> Call:
    logits, labels = operands.logits_and_labels(rows)
    positions = np.arange(rows)
    grad = np.empty_like(logits)

    def make() -> float:
        shifted = logits - logits.max(1, keepdims=True)
        np.exp(shifted, out=grad)
        total = grad.sum(1, keepdims=True)
        loss = (np.log(total[:, 0]) - shifted[positions, labels]).mean()
        np.divide(grad, total, out=grad)
        grad[positions, labels] -= 1
        np.divide(grad, rows, out=grad)
        return float(loss)

    return Call(make, lambda: [grad])


def _dropout(shape: Sequence[int]) -> Call:
    x = operands.elementwise_input("dropout", shape)
    generator, uniform, out = np.random.default_rng(0), np.empty_like(x), np.empty_like(x)

    def make() -> None:
        generator.random(out=uniform, dtype=np.float32)
        np.multiply(x, uniform >= 0.3, out=out)
        np.multiply(out, np.float32(1 / 0.7), out=out)

    return Call(make, list)


class _Flat:
    """A net's parameters and gradients, each end to end in one array, and scratch memory."""

    def __init__(self, net: str) -> None:
        pairs = operands.parameters(net)
        self.shapes = [value.shape for value, _ in pairs]
        self.weight = np.concatenate([value.reshape(-1) for value, _ in pairs])
        self.grad = np.concatenate([grad.reshape(-1) for _, grad in pairs])
        self.scratch, self.change = np.empty_like(self.weight), np.empty_like(self.weight)

    def parts(self) -> list[Array]:
        ends = np.cumsum([math.prod(shape) for shape in self.shapes])
        return np.split(self.weight, ends[:-1])


def _momentum(flat: _Flat) -> Callable[[], None]:
    velocity, scratch = np.zeros_like(flat.weight), flat.scratch

    def step() -> None:
        np.multiply(velocity, 0.9, out=velocity)
        np.add(velocity, flat.grad, out=velocity)
        np.multiply(velocity, 1e-4, out=scratch)
        np.subtract(flat.weight, scratch, out=flat.weight)

    return step


def _adam(flat: _Flat) -> Callable[[], None]:
    mean, square = np.zeros_like(flat.weight), np.zeros_like(flat.weight)
    scratch, change = flat.scratch, flat.change
    steps = itertools.count(1)

    def step() -> None:
        number = next(steps)
        np.multiply(mean, 0.9, out=mean)
        np.multiply(flat.grad, 1 - 0.9, out=scratch)
        np.add(mean, scratch, out=mean)
        np.multiply(square, 0.999, out=square)
        np.multiply(flat.grad, flat.grad, out=scratch)
        np.multiply(scratch, 1 - 0.999, out=scratch)
        np.add(square, scratch, out=square)
        np.sqrt(square, out=scratch)
        np.multiply(scratch, 1 / math.sqrt(1 - 0.999**number), out=scratch)
        np.add(scratch, 1e-8, out=scratch)
        np.divide(mean, scratch, out=change)
        np.multiply(change, 1e-4 / (1 - 0.9**number), out=change)
        np.subtract(flat.weight, change, out=flat.weight)

    return step


def _optimizer(optimizer: str, net: str) -> Call:
    flat = _Flat(net)
    return Call({"momentum": _momentum, "Adam": _adam}[optimizer](flat), flat.parts)


def _batch(rows: int) -> Call:
    pixels, labels = operands.images(), np.zeros(IMAGES, np.int64)
    drawn = operands.drawn_rows(rows)
    turns = itertools.cycle(drawn)

    def batch(indices: Array) -> tuple[Any, Any]:
        x = np.subtract(pixels[indices], np.float32(operands.MEAN), dtype=np.float32)
        np.multiply(x, np.float32(1 / operands.STD), out=x)
        return x, labels[indices]

    return Call(lambda: batch(next(turns)), lambda: [batch(drawn[0])[0]])


COMMANDS = commands(
    {
        "matmul": _matmul,
        "elementwise": _elementwise,
        "reduction": _reduction,
        "loss": _loss,
        "dropout": _dropout,
        "optimizer": _optimizer,
        "batch": _batch,
    }
)
