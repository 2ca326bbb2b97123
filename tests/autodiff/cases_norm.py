"""Rows of the case table for batch norm with a fused activation."""

from __future__ import annotations

from typing import Any

import numpy as np

import tests.autodiff.drawn as draw
import tests.autodiff.references as ref
from tinygrad_mlp.autodiff.ops import norm
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.testing import OpCase

__all__ = ["CHANNEL_NORMS"]


def training_relu(x: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    return norm.batch_norm(x, weight=weight, bias=bias, training=True, activation="relu")


def inference_relu(*arguments: Any) -> Tensor:
    return norm.batch_norm(*arguments, activation="relu")


CHANNEL_NORMS = [
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
]
