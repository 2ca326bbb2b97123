"""Norms of channels, with what is fused with them; rows enough that several make a line of lanes."""

from __future__ import annotations

from typing import Any

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.redzone.drivers import SIZES, back, numbers, others, refusing_nothing
from tinygrad_mlp.autodiff.ops.norm_pool import batch_norm_pool

__all__ = ["channel_norms", "group_norms", "large_channel_norms", "norm_pools"]


def channel_norms(dtype: Any) -> None:
    """Rows and channels through all sizes, and channels once more with many rows."""
    for size in SIZES:
        (other,) = others()
        for rows, channels in ((size, other), (other, size), (200 + size, size)):
            running = [numbers(channels, dtype=dtype, grad=False) for _ in range(2)]
            affine = [numbers(channels, dtype=dtype) for _ in range(2)]
            for training in (True, False):
                with refusing_nothing(rows, channels):
                    x = numbers(rows, channels, dtype=dtype)
                    for activation in (None, "relu"):
                        back(F.batch_norm(x, *running, *affine, training=training, activation=activation))


def norm_pools(dtype: Any) -> None:
    """Batch and channels through all sizes, sides through those whose half is."""
    for size in SIZES[1:]:
        back(batch_norm_pool(numbers(size, 3, 4, 5, dtype=dtype)), batch_norm_pool(numbers(2, size, 5, 4, dtype=dtype)))
    for side in range(2, 2 * len(SIZES)):
        back(batch_norm_pool(numbers(2, 3, side, 5, dtype=dtype)), batch_norm_pool(numbers(2, 3, 4, side, dtype=dtype)))
    back(batch_norm_pool(numbers(2, 0, 4, 5, dtype=dtype)))


def group_norms(dtype: Any) -> None:
    """Batch, channels, groups and pixels through all sizes."""
    for size in SIZES:
        for images, channels, pixels, groups in ((size, 6, 5, 2), (3, size, 4, max(size, 1)), (2, 6, size, 3)):
            affine = [numbers(channels, dtype=dtype) for _ in range(2)]
            back(F.group_norm(numbers(images, channels, pixels, dtype=dtype), groups, *affine))
    back(F.group_norm(numbers(3, 0, 4, dtype=dtype), 1))


def large_channel_norms(dtype: Any, threads: int = 2) -> None:
    """Work that several threads share; sizes that no line, block or number of threads divides."""
    tg.set_num_threads(threads)
    for shape in ((33, 17, 31, 29), (100_003, 3)):
        x = numbers(*shape, dtype=dtype)
        running = [numbers(shape[1], dtype=dtype, grad=False) for _ in range(2)]
        for training in (True, False):
            for activation in (None, "relu"):
                back(F.batch_norm(x, *running, training=training, activation=activation))
    back(batch_norm_pool(numbers(33, 17, 31, 29, dtype=dtype)))
    back(F.group_norm(numbers(33, 18, 31, 29, dtype=dtype), 3))
