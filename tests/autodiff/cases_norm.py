"""Rows of the case table for batch norm with a fused activation."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from hypothesis import strategies as st

import tests.autodiff.drawn as draw
import tests.autodiff.references as ref
from tinygrad_mlp.autodiff.ops import norm
from tinygrad_mlp.autodiff.ops.group_norm import group_norm as group_norm_op
from tinygrad_mlp.autodiff.ops.norm_pool import batch_norm_pool
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.testing import Arguments, OpCase, arrays, arrays_of

__all__ = ["CHANNEL_NORMS"]


def training_relu(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return norm.batch_norm(x, weight=weight, bias=bias, training=True, activation="relu")


def inference_relu(*arguments: Any) -> Tensor:
    return norm.batch_norm(*arguments, activation="relu")


def pooled(x: np.ndarray, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    """Maxima of windows of 2 x 2 of what relu leaves of batch norm."""
    out = np.maximum(ref.batch_norm_training(x, weight, bias), 0)[..., : x.shape[2] // 2 * 2, : x.shape[3] // 2 * 2]
    return np.max([out[..., row::2, column::2] for row in (0, 1) for column in (0, 1)], axis=0)


@st.composite
def images(draw: st.DrawFn) -> Arguments:
    """(x, weight or None, bias or None), sides even and odd."""
    shape = tuple([draw(st.integers(low, high)) for low, high in ((1, 2), (1, 3), (2, 5), (2, 5))])
    x = draw(arrays(shape, distinct=True))
    weight, bias = draw(arrays_of(st.just(((shape[1],),) * 2)))
    return Arguments((x, *draw(st.sampled_from([(weight, bias), (weight, None), (None, bias), (None, None)]))))


def group_norm(x: np.ndarray, groups: int, weight: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    """One image and one group at a time."""
    out, size = np.empty(x.shape), x.shape[1] // groups
    for image, first in itertools.product(range(x.shape[0]), range(0, x.shape[1], size)):
        part = x[image, first : first + size]
        out[image, first : first + size] = (part - part.mean()) / np.sqrt(part.var() + 1e-5)
    shape = (-1, *[1] * (x.ndim - 2))
    return out * (1 if weight is None else weight.reshape(shape)) + (0 if bias is None else bias.reshape(shape))


@st.composite
def grouped(draw: st.DrawFn) -> Arguments:
    """(x, groups, weight or None, bias or None), each group of two values or more."""
    groups, size = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    pixels = draw(st.sampled_from([(2,), (1, 3), (2, 2), ()] if size > 1 else [(2,), (1, 3), (2, 2)]))
    x = draw(arrays((draw(st.integers(0, 3)), groups * size, *pixels), distinct=True))
    weight, bias = draw(arrays_of(st.just(((groups * size,),) * 2)))
    return Arguments((x, groups, *draw(st.sampled_from([(weight, bias), (weight, None), (None, bias), (None, None)]))))


CHANNEL_NORMS = [
    OpCase("group_norm", group_norm_op, group_norm, grouped(), rtol=1e-11, ulps=60, absolute=600),
    OpCase(
        "batch_norm relu training",
        training_relu,
        lambda *arguments: np.maximum(ref.batch_norm_training(*arguments), 0),
        draw.channel_batches(running=False),
        rtol=1e-11,
        ulps=60,
        absolute=600,
    ),
    OpCase(
        "batch_norm relu",
        inference_relu,
        lambda *arguments: np.maximum(ref.batch_norm(*arguments), 0),
        draw.channel_batches(running=True),
        ulps=8,
        absolute=30,
    ),
    OpCase(
        "batch_norm_pool",
        lambda x, weight, bias: batch_norm_pool(x, weight=weight, bias=bias),
        pooled,
        images(),
        rtol=1e-11,
        ulps=60,
        absolute=600,
    ),
]
