"""Rows of the case table for padding, and for the memory orders of images."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tests.autodiff.drawn as draw
import tests.autodiff.references as ref
from tinygrad_mlp.autodiff.ops import pad, shape
from tinygrad_mlp.testing import Arguments, OpCase, arrays

__all__ = ["IMAGES"]


def channels_last(min_side: int = 0, max_side: int = 4) -> st.SearchStrategy[Any]:
    """(N, C, H, W) that lies N, H, W, C; channels and pixels now and then enough to fill a vector."""
    side = st.integers(min_side, max_side)
    pixels = st.tuples(st.integers(0, 2), side, side, st.sampled_from([0, 1, 3, 17]))
    return arrays(pixels, layouts=False).map(lambda memory: np.moveaxis(memory, -1, 1))


@st.composite
def padded_images(draw: st.DrawFn) -> Arguments:
    """Images, widths for their height and width, and a mode."""
    mode = draw(st.sampled_from(["constant", "reflect", "replicate", "circular"]))
    x = draw(channels_last(min_side=4, max_side=5))
    widths = draw(st.lists(st.integers(0 if mode == "reflect" else -1, 2), min_size=4, max_size=4))
    return Arguments((x, widths), {"mode": mode})


IMAGES = [
    OpCase("flatten images", lambda x: shape.flatten(x, 1), lambda x: ref.flatten(x, 1, -1), channels_last()),
    OpCase("contiguous images", shape.contiguous, np.copy, channels_last()),
    OpCase("pad", pad.pad, ref.pad, draw.constant_pads()),
    OpCase("pad modes", pad.pad, ref.pad, draw.border_pads()),
    OpCase("pad images", pad.pad, ref.pad, padded_images()),
]
