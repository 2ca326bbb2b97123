"""Rows of the case table for images: memory orders."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tests.autodiff.references as ref
from tinygrad_mlp.autodiff.ops import shape
from tinygrad_mlp.testing import OpCase, arrays

__all__ = ["IMAGES"]


def channels_last(min_side: int = 0, max_side: int = 4) -> st.SearchStrategy[Any]:
    """(N, C, H, W) that lies N, H, W, C; channels and pixels now and then enough to fill a vector."""
    side = st.integers(min_side, max_side)
    pixels = st.tuples(st.integers(0, 2), side, side, st.sampled_from([0, 1, 3, 17]))
    return arrays(pixels, layouts=False).map(lambda memory: np.moveaxis(memory, -1, 1))


IMAGES = [
    OpCase("flatten images", lambda x: shape.flatten(x, 1), lambda x: ref.flatten(x, 1, -1), channels_last()),
    OpCase("contiguous images", shape.contiguous, np.copy, channels_last()),
]
