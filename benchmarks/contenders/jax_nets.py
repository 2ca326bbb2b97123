"""The nets of the workloads in jax: images (N, H, W, C), which suits XLA's CPU best, and kernels (H, W, in, out)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from benchmarks.contenders.common import Handout
from benchmarks.workloads import Layer, Workload, parameters_of

__all__ = ["apply", "make_parameters"]

_NORM_EPSILON = 1e-5  # PyTorch's


def _linear(x: Any, weight: Any, bias: Any) -> Any:
    return x @ weight + bias


def _conv(x: Any, weight: Any, bias: Any = 0.0, stride: int = 1) -> Any:
    pad = weight.shape[0] // 2
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, weight, (stride, stride), [(pad, pad)] * 2, dimension_numbers=layout) + bias


def _batch_norm(x: Any, weight: Any, bias: Any) -> Any:
    all_but_channels = (0, 1, 2)
    mean = x.mean(all_but_channels)
    centered = x - mean
    variance = jnp.square(centered).mean(all_but_channels)
    return centered * (lax.rsqrt(variance + _NORM_EPSILON) * weight) + bias


def _max_pool(x: Any, size: int) -> Any:
    window = (1, size, size, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, window, window, "VALID")


def _flatten(x: Any) -> Any:
    """In memory order; `make_parameters` has ordered the rows of the next layer's weight alike."""
    return x.reshape(len(x), -1)


def _residual(x: Any, *parameters: Any, stride: int) -> Any:
    conv1, scale1, shift1, conv2, scale2, shift2, *shortcut = parameters
    straight = jax.nn.relu(_batch_norm(_conv(x, conv1, stride=stride), scale1, shift1))
    straight = _batch_norm(_conv(straight, conv2), scale2, shift2)
    if shortcut:
        conv, scale, shift = shortcut
        x = _batch_norm(_conv(x, conv, stride=stride), scale, shift)
    return jax.nn.relu(straight + x)


_RULES: dict[str | int, Callable[..., Any]] = {
    "linear": _linear,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "sigmoid": jax.nn.sigmoid,
    "conv": _conv,
    "batch_norm": _batch_norm,
    "flatten": _flatten,
    "average_pool": lambda x: x.mean((1, 2)),
}


def _apply_layer(layer: Layer, x: Any, parameters: Sequence[Any]) -> Any:
    kind, *sizes = layer
    if kind == "max_pool":
        return _max_pool(x, int(sizes[0]))
    if kind == "residual":
        return _residual(x, *parameters, stride=int(sizes[2]))
    return _RULES[kind](x, *parameters)


def apply(layers: Sequence[Layer], parameters: Sequence[Sequence[Any]], x: Any) -> Any:
    """The logits of a batch; `parameters` as `make_parameters` returns them."""
    for layer, of_layer in zip(layers, parameters, strict=True):
        x = _apply_layer(layer, x, of_layer)
    return x


def make_parameters(workload: Workload, handout: Handout) -> list[list[Any]]:
    """The handed-out weights, layer by layer: (in, out) of linear layers, (H, W, in, out) of convolutions."""
    weights = iter(handout.weights)
    parameters: list[list[Any]] = []
    channels, flattened = 0, 0  # of the images; of those that have just been flattened
    for layer in workload.layers:
        parameters.append([jnp.asarray(_transposed(next(weights), flattened)) for _ in parameters_of(layer)])
        channels = int(layer[2]) if layer[0] in ("conv", "residual") else channels
        flattened = channels if layer[0] == "flatten" else 0
    return parameters


def _transposed(weight: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    if weight.ndim == 4:
        return weight.transpose(2, 3, 1, 0)
    if weight.ndim == 2 and channels:  # its columns are ordered C, H, W; the flattened images H, W, C
        pixels = weight.shape[1] // channels
        weight = weight.reshape(-1, channels, pixels).transpose(0, 2, 1).reshape(len(weight), -1)
    return weight.T
