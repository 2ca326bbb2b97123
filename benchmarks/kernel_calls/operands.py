"""The numbers that all contenders compute with: the same for each, from seeds. NumPy only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks.kernel_calls.cases import parameter_shapes
from benchmarks.workloads import IMAGES

__all__ = [
    "MEAN",
    "STD",
    "drawn_rows",
    "elementwise_input",
    "image_numbers",
    "images",
    "kernel_numbers",
    "logits_and_labels",
    "matrices",
    "parameters",
]

MEAN, STD = 72.94, 90.02  # of the pixels of Fashion-MNIST

Array = np.ndarray[Any, np.dtype[Any]]


def _normal(shape: Sequence[int], seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def matrices(form: str, m: int, k: int, n: int) -> tuple[Array, Array]:
    """Factors (M, K) and (K, N) as a linear layer has them; T marks the one that lies transposed in memory."""
    a = _normal((m, k), 1) if form[0] == "N" else _normal((k, m), 1).T
    b = _normal((k, n), 2) if form[1] == "N" else _normal((n, k), 2).T
    return a, b


def elementwise_input(operation: str, shape: Sequence[int]) -> Array:
    """Normal numbers, as in front of a layer's activation; their sizes plus a little for the logarithm."""
    x = 2 * _normal(shape, 3)
    return np.abs(x) + np.float32(1e-3) if operation == "log" else x


def logits_and_labels(rows: int) -> tuple[Array, Array]:
    """(rows, 10) and (rows,)."""
    return 3 * _normal((rows, 10), 4), np.random.default_rng(5).integers(0, 10, rows)


def parameters(net: str) -> list[tuple[Array, Array]]:
    """Each parameter of a net, weights as (in, out), with a gradient."""
    shapes = parameter_shapes(net)
    return [(_normal(shape, 10 + i) / math.sqrt(shape[0]), _normal(shape, 30 + i)) for i, shape in enumerate(shapes)]


def image_numbers(shape: Sequence[int], seed: int) -> Array:
    """Normal numbers, (N, C, H, W) with memory N, H, W, C."""
    count, channels, height, width = shape
    return _normal((count, height, width, channels), 40 + seed).transpose(0, 3, 1, 2)


def kernel_numbers(outputs: int, inputs: int, size: int) -> Array:
    """A convolution's weight, (out, in, H, W) with memory H, W, in, out, as large as nets have it."""
    weight = _normal((size, size, inputs, outputs), 50) / np.float32(math.sqrt(inputs * size * size))
    return weight.transpose(3, 2, 0, 1)


def images() -> Array:
    """(N, 784) uint8, as many as a training part has."""
    return np.random.default_rng(6).integers(0, 256, (IMAGES, 784), np.uint8)


def drawn_rows(rows: int) -> list[Array]:
    """The images of 200 batches, taken in turn, so that they come from memory, not from a cache."""
    return list(np.random.default_rng(7).integers(0, IMAGES, (200, rows)))
