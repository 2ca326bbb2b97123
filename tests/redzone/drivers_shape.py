"""Images copied from one memory order to the other."""

from __future__ import annotations

from typing import Any

import tinygrad_mlp as tg
from tests.redzone.drivers import SIZES, back, numbers

__all__ = ["large_layouts", "layouts"]


def layouts(dtype: Any) -> None:
    """Batch, channels and pixels through all sizes, there and back."""
    for size in SIZES:
        for images, channels, pixels in ((size, 17, 18), (3, size, 35), (3, 33, size)):
            back(numbers(images, pixels, channels, dtype=dtype).permute(0, 2, 1).flatten(1))


def large_layouts(dtype: Any, threads: int = 2) -> None:
    """Work that several threads share; sizes that no block, vector or number of threads divides."""
    tg.set_num_threads(threads)
    back(numbers(7, 1021, 33, dtype=dtype).permute(0, 2, 1).flatten(1))
