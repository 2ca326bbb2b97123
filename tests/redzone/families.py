"""The drivers of all families of kernels: each family has its file, `drivers_….py`, and is listed here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.redzone import drivers, drivers_conv, drivers_norm, drivers_pool, drivers_shape

__all__ = ["DRIVERS", "large"]

DRIVERS: list[Callable[[Any], None]] = [
    *drivers.DRIVERS,
    drivers_norm.channel_norms,
    drivers_norm.norm_pools,
    drivers_norm.group_norms,
    drivers_pool.pools,
    drivers_conv.convolutions,
    drivers_shape.layouts,
]

# Called with a dtype and a number of threads.
LARGE: list[Callable[[Any, int], None]] = [
    drivers.large,
    drivers_norm.large_channel_norms,
    drivers_pool.large_pools,
    drivers_conv.large_convolutions,
    drivers_shape.large_layouts,
]


def large(dtype: Any, threads: int = 2) -> None:
    """Every parallel kernel with work that several threads share."""
    for driver in LARGE:
        driver(dtype, threads)
