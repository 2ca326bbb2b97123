"""Convolutions with each of their sizes through 1 to 70: forward, and the gradients together and apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.redzone.drivers import SIZES, back, numbers

__all__ = ["convolutions", "large_convolutions"]

Sizes = tuple[int, int, int, int]  # N, C, H, W
Case = tuple[Sizes, int, tuple[int, int], dict[str, Any]]  # input, output channels, kernel, options


def cases(size: int) -> Iterator[Case]:
    padded = {"padding": 1}
    yield (size, 3, 3, 4), 2, (3, 3), padded
    yield (1, size, 3, 2), 5, (1, 1), {}
    yield (2, size, 2, 3), 17, (2, 2), padded
    yield (1, 2, 3, 3), size, (2, 2), {"stride": 2}
    yield (1, 3, size, 2), 4, (3, 3), padded
    yield (1, 1, 2, size), 9, (2, 3), {"padding": 2, "dilation": 2}
    yield (1, 1, 70, 2), 3, (size, 1), {}
    yield (1, 2, 1, 70), 3, (1, size), {}
    yield (1, 1, 71, 1), 2, (1, 1), {"stride": (size, 1)}
    yield (1, size, 2, 2), size, (2, 2), {"groups": size}
    yield (1, 2, size, 1), 3, (1, 1), {}
    yield (1, 3, 2, 2), size, (1, 1), {}
    # Winograd's
    yield (1, 16, 3, 1), 16, (3, 3), padded
    yield (size, 16, 3, 2), 16, (3, 3), padded
    yield (1, 16, size, 3), 17, (3, 3), padded
    yield (1, 17, 2, size), 16, (3, 3), {"padding": 2}
    if size >= 16:
        yield (2, size, 4, 3), 33, (3, 3), padded
        yield (1, 31, 3, 3), size, (3, 3), padded


def run(case: Case, dtype: Any) -> None:
    shape, out_channels, kernel, options = case
    weight = numbers(out_channels, shape[1] // options.get("groups", 1), *kernel, dtype=dtype)
    x, bias = numbers(*shape, dtype=dtype), numbers(out_channels, dtype=dtype)
    back(F.conv2d(x, weight, bias, **options, activation="relu"))
    back(F.conv2d(x, weight.detach(), **options), F.conv2d(x.detach(), weight, **options))


def convolutions(dtype: Any) -> None:
    for size in SIZES[1:]:
        for case in cases(size):
            run(case, dtype)
    back(F.conv2d(numbers(0, 3, 4, 4, dtype=dtype), numbers(2, 3, 3, 3, dtype=dtype)))


def large_convolutions(dtype: Any, threads: int = 2) -> None:
    """Work that several threads share."""
    tg.set_num_threads(threads)
    for shape, out_channels, kernel, options in (
        ((33, 17, 15, 13), 35, (3, 3), {"padding": 1}),
        ((33, 5, 31, 30), 35, (5, 3), {"stride": 2, "activation": "tanh"}),
    ):
        weight = numbers(out_channels, shape[1], *kernel, dtype=dtype)
        back(F.conv2d(numbers(*shape, dtype=dtype), weight, numbers(out_channels, dtype=dtype), **options))
    x = tg.Tensor(np.ones((64, 1, 28, 28), dtype))
    back(F.conv2d(x, numbers(32, 1, 3, 3, dtype=dtype), padding=1))
