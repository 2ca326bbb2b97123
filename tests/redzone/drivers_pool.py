"""Pools over images of every size."""

from __future__ import annotations

from typing import Any

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.redzone.drivers import SIZES, back, numbers

__all__ = ["large_pools", "pools"]


def pools(dtype: Any) -> None:
    """Batch, channels, height and width through all sizes; outputs too, whose side is half for windows of 2."""
    for size in SIZES:
        for place in range(4):
            shape = [size if axis == place else old for axis, old in enumerate((2, 3, 4, 5))]
            if 0 not in shape[2:]:
                x = numbers(*shape, dtype=dtype)
                back(F.max_pool2d(x, 3, 1, 1), F.avg_pool2d(x, 3, 1, 1), F.max_pool2d(x, 3, 2, 1, ceil_mode=True))
                back(F.max_pool2d(x, (1, 2), (2, 1), (0, 1)), F.adaptive_avg_pool2d(x, 3))
        back(F.max_pool2d(numbers(size, 3, 4, 5, dtype=dtype), 2), F.max_pool2d(numbers(2, size, 5, 4, dtype=dtype), 2))
        back(F.adaptive_avg_pool2d(numbers(2, 3, 4, 5, dtype=dtype), (size, 3)))
        back(F.adaptive_avg_pool2d(numbers(2, 3, 4, 5, dtype=dtype), (3, size)))
    for side in range(2, 2 * len(SIZES)):
        back(F.max_pool2d(numbers(2, 3, side, 5, dtype=dtype), 2), F.max_pool2d(numbers(2, 3, 4, side, dtype=dtype), 2))


def large_pools(dtype: Any, threads: int = 2) -> None:
    """Work that several threads share; sizes that no block, vector or number of threads divides."""
    tg.set_num_threads(threads)
    x = numbers(33, 17, 31, 29, dtype=dtype)
    back(F.max_pool2d(x, 2), F.max_pool2d(x, 3, 2, 1), F.avg_pool2d(x, 3, 2, 1), F.adaptive_avg_pool2d(x, 7))
