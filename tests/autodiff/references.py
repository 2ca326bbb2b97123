"""What the ops of the case table compute, in plain NumPy, where it is more than one function of NumPy."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Array = np.ndarray


def reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    """A reduction of NumPy under PyTorch's argument names."""

    def reference(x: Array, dim: Any = None, keepdim: bool = False) -> Any:
        return function(x, axis=tuple(dim) if isinstance(dim, list) else dim, keepdims=keepdim)

    return reference


def along(function: Callable[..., Any], index_of: Callable[..., Any]) -> Callable[..., Any]:
    """Values and their indices along one dimension."""

    def reference(x: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
        return function(x, axis=dim, keepdims=keepdim), index_of(x, axis=dim, keepdims=keepdim)

    return reference


def var(x: Array, dim: Any = None, correction: int = 1, keepdim: bool = False) -> Any:
    return np.var(x, axis=dim, ddof=correction, keepdims=keepdim)


def norm(x: Array, p: float, dim: Any = None, keepdim: bool = False) -> Any:
    size = np.abs(x)
    if p == math.inf:
        return size.max(axis=dim, keepdims=keepdim)
    if p == -math.inf:
        return size.min(axis=dim, keepdims=keepdim)
    if p == 0:
        return (size != 0).sum(axis=dim, keepdims=keepdim).astype(float)
    return (size**p).sum(axis=dim, keepdims=keepdim) ** (1 / p)


def logsumexp(x: Array, axis: Any = None, keepdims: bool = False) -> Any:
    return np.log(np.exp(x).sum(axis=axis, keepdims=keepdims))


def softmax(x: Array, dim: int) -> Array:
    powers = np.exp(x)
    return powers / powers.sum(axis=dim, keepdims=True)


def squeeze(x: Array, dim: Any = None) -> Array:
    dims = range(x.ndim) if dim is None else [dim] if isinstance(dim, int) else dim
    return np.squeeze(x, tuple({axis % x.ndim for axis in dims if x.shape[axis] == 1}) if x.ndim else ())


def flatten(x: Array, start_dim: int, end_dim: int) -> Array:
    start, end = start_dim % max(x.ndim, 1), end_dim % max(x.ndim, 1)
    return x.reshape(*x.shape[:start], math.prod(x.shape[start : end + 1]), *x.shape[end + 1 :])


def expand(x: Array, *shape: int) -> Array:
    added = len(shape) - x.ndim
    return np.broadcast_to(x, [x.shape[i - added] if size == -1 else size for i, size in enumerate(shape)])


def pad(x: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    pairs = [(pad[i], pad[i + 1]) for i in range(0, len(pad), 2)][::-1]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs
    if not x.ndim:
        return x
    cut = x[tuple([slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths, strict=True)])]
    wider = [(max(a, 0), max(b, 0)) for a, b in widths]
    if mode == "constant":
        return np.pad(cut, wider, constant_values=0.0 if value is None else value)
    return np.pad(cut, wider, {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode])


def split(x: Array, split_size: int | Sequence[int], dim: int = 0) -> list[Array]:
    if isinstance(split_size, int):
        return np.split(x, list(range(split_size, x.shape[dim], split_size)), dim)
    return np.split(x, np.cumsum(split_size)[:-1], dim)


def chunk(x: Array, chunks: int, dim: int = 0) -> list[Array]:
    return split(x, max(-(-x.shape[dim] // chunks), 1), dim)


def assigned(x: Array, value: Array, index: Any) -> Array:
    out = x.copy()
    out[index] = value
    return out


def gather(x: Array, dim: int, index: Array) -> Array:
    out = np.empty(index.shape, x.dtype)
    for place in np.ndindex(index.shape):
        source = list(place)
        source[dim] = index[place]
        out[place] = x[tuple(source)]
    return out


def scatter(x: Array, dim: int, index: Array, src: Any) -> Array:
    out = x.copy()
    for place in np.ndindex(index.shape):
        target = list(place)
        target[dim] = index[place]
        out[tuple(target)] = src[place] if isinstance(src, np.ndarray) else src
    return out


def scatter_add(x: Array, dim: int, index: Array, src: Array) -> Array:
    out = x.copy()
    for place in np.ndindex(index.shape):
        target = list(place)
        target[dim] = index[place]
        out[tuple(target)] += src[place]
    return out


def take_along_dim(x: Array, indices: Array, dim: int | None = None) -> Array:
    if dim is None:
        return x.reshape(-1)[indices.reshape(-1)]
    return np.take_along_axis(x, indices, dim)


def sort(x: Array, dim: int, descending: bool) -> tuple[Array, Array]:
    order = np.argsort(-x if descending else x, axis=dim, kind="stable")
    return np.take_along_axis(x, order, dim), order


def topk(x: Array, k: int, dim: int, largest: bool) -> tuple[Array, Array]:
    values, order = sort(x, dim, largest)
    return np.take(values, range(k), dim), np.take(order, range(k), dim)


def sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def normal_distribution(x: Array) -> Array:
    return (1 + erf(x / math.sqrt(2))) / 2


erf = np.vectorize(math.erf, otypes=[float])


def gelu_tanh(x: Array) -> Array:
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def softplus(x: Array, beta: float = 1.0, threshold: float = 20.0) -> Array:
    return np.where(beta * x > threshold, x, np.log1p(np.exp(beta * x)) / beta)


ACTIVATIONS = {None: lambda x: x, "relu": lambda x: np.maximum(x, 0), "tanh": np.tanh, "sigmoid": sigmoid}


def linear(x: Array, weight: Array, bias: Array | None = None, activation: str | None = None) -> Array:
    return ACTIVATIONS[activation](x @ weight.T + (0 if bias is None else bias))


def batch_norm(x: Array, mean: Array, var: Array, weight: Array | None, bias: Array | None, eps: float = 1e-5) -> Array:
    mean, var, scale, shift = (
        default if array is None else array.reshape(-1, *[1] * (x.ndim - 2))
        for array, default in ((mean, 0.0), (var, 1.0), (weight, 1.0), (bias, 0.0))
    )
    return (x - mean) / np.sqrt(var + eps) * scale + shift


def batch_norm_training(x: Array, weight: Array | None, bias: Array | None) -> Array:
    dims = (0, *range(2, x.ndim))
    return batch_norm(x, x.mean(dims), x.var(dims), weight, bias)


def layer_norm(x: Array, shape: Sequence[int], weight: Array | None, bias: Array | None) -> Array:
    dims = tuple(range(x.ndim - len(shape), x.ndim))
    z = (x - x.mean(dims, keepdims=True)) / np.sqrt(x.var(dims, keepdims=True) + 1e-5)
    return z * (1 if weight is None else weight) + (0 if bias is None else bias)


def cosine_similarity(x: Array, y: Array) -> Array:
    return (x * y).sum(axis=1) / (norm(x, 2, 1) * norm(y, 2, 1))


def normalize(x: Array, p: float, dim: int) -> Array:
    return x / norm(x, p, dim, keepdim=True)


def reduced_loss(losses: Array, reduction: str, weights: Array | None = None) -> Any:
    if reduction == "mean":
        return losses.mean() if weights is None else losses.sum() / weights.sum()
    return losses.sum() if reduction == "sum" else losses


def cross_entropy(
    x: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    """As PyTorch's documentation states it, sample by sample."""
    if x.ndim == 1:
        found = cross_entropy(x[None], target[None], weight, ignore_index, reduction, label_smoothing)
        return found[0] if reduction == "none" else found
    logs = np.moveaxis(x - logsumexp(x, 1, keepdims=True), 1, -1)  # (N, …, C)
    classes = logs.shape[-1]
    scale = np.ones(classes) if weight is None else weight
    if target.dtype.kind == "f":
        smooth = np.moveaxis(target, 1, -1) * (1 - label_smoothing) + label_smoothing / classes
        losses = -(smooth * scale * logs).sum(-1)
        return losses.sum() / losses.size if reduction == "mean" else reduced_loss(losses, reduction)
    losses, weights = np.zeros(target.shape), np.zeros(target.shape)
    for place in np.ndindex(target.shape):
        label = target[place]
        if label != ignore_index:
            weights[place] = scale[label]
            hard, spread = -scale[label] * logs[place][label], -(scale * logs[place]).sum() / classes
            losses[place] = (1 - label_smoothing) * hard + label_smoothing * spread
    return reduced_loss(losses, reduction, weights)


def nll_loss(
    x: Array, target: Array, weight: Array | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Any:
    losses, weights = np.zeros(target.shape), np.zeros(target.shape)
    logs = np.moveaxis(x, 1, -1)
    for place in np.ndindex(target.shape):
        if target[place] != ignore_index:
            weights[place] = 1 if weight is None else weight[target[place]]
            losses[place] = -weights[place] * logs[place][target[place]]
    return reduced_loss(losses, reduction, weights)


def elementwise_loss(losses: Callable[..., Array]) -> Callable[..., Any]:
    """A loss of single elements, reduced."""

    def reference(x: Array, target: Array, weight: Array | None = None, reduction: str = "mean", **options: Any) -> Any:
        values = losses(x, target, **options)
        return reduced_loss(values if weight is None else values * weight, reduction)

    return reference


def huber(x: Array, target: Array, delta: float = 1.0) -> Array:
    distance = np.abs(x - target)
    return np.where(distance < delta, distance**2 / 2, delta * (distance - delta / 2))


def smooth_l1(x: Array, target: Array, beta: float = 1.0) -> Array:
    return huber(x, target, beta) / beta


def bce(p: Array, target: Array) -> Array:
    return -(target * np.log(p) + (1 - target) * np.log(1 - p))


def bce_with_logits(x: Array, target: Array, pos_weight: Array | float | None = None) -> Array:
    positive = 1.0 if pos_weight is None else pos_weight
    return positive * target * np.logaddexp(0, -x) + (1 - target) * np.logaddexp(0, x)


def kl_div(x: Array, target: Array, reduction: str = "mean", log_target: bool = False) -> Any:
    losses = np.exp(target) * (target - x) if log_target else target * (np.log(target) - x)
    if reduction == "batchmean":
        return losses.sum() / (x.shape[0] if x.ndim else 1)
    return reduced_loss(losses, reduction)
