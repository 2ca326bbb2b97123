"""Losses of classifiers: each sample has a label, or a probability for each class.

The per-sample losses come from one fused kernel, whose derivative is another; under `create_graph` the same derivative
is made of ops, so that it can be differentiated in turn.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import numpy as np

from tinygrad_mlp.autodiff.mode import grad_enabled
from tinygrad_mlp.autodiff.op import op
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats, check_tensor
from tinygrad_mlp.autodiff.ops.loss import REDUCTIONS, check_not_empty, check_weight, reduce_losses
from tinygrad_mlp.autodiff.tensor import Backward, Tensor, wrap
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels import softmax as kernels
from tinygrad_mlp.kernels.launch import Array, launch
from tinygrad_mlp.kernels.loss import label_targets, labelled_mean, share_of_mean

__all__ = ["cross_entropy", "cross_entropy_losses", "mean_cross_entropy", "mean_over_labels", "nll_loss", "nll_losses"]


@op
def cross_entropy_losses(
    input: Tensor, labels: Tensor, weight: Tensor, ignore_index: int, label_smoothing: float
) -> tuple[Array, Backward]:
    """Cross-entropy of each row of logits (N, C) with its label -> (N,); see `cross_entropy`."""
    settings = (labels.array, weight.array, ignore_index, label_smoothing)
    losses, probabilities = _losses_of_rows(input.array, *settings)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        if grad_enabled.get():
            return _recorded_gradient(grad.unsqueeze(1), input, *settings)
        return _gradient_of_rows(grad.array, probabilities, *settings)

    return losses, backward


@op
def mean_cross_entropy(
    input: Tensor, labels: Tensor, weight: Tensor, ignore_index: int, label_smoothing: float
) -> tuple[Array, Backward]:
    """The sum of `cross_entropy_losses` over the sum of their labels' weights, 0-d; NaN if all are ignored."""
    settings = (labels.array, weight.array, ignore_index, label_smoothing)
    losses, probabilities = _losses_of_rows(input.array, *settings)
    mean, total = np.empty(1, losses.dtype), np.empty(1, losses.dtype)
    launch(labelled_mean, losses, *settings[:3], mean, total)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        if grad_enabled.get():
            return _recorded_gradient(grad / wrap(total), input, *settings)
        share = np.empty(len(probabilities), total.dtype)
        launch(share_of_mean, grad.array.reshape(1), total, share)
        return _gradient_of_rows(share, probabilities, *settings)

    return mean.reshape(()), backward


def _losses_of_rows(
    logits: Array, labels: Array, weight: Array, ignore_index: int, label_smoothing: float
) -> tuple[Array, Array]:
    """The loss of each row, and the softmax of the rows."""
    losses, probabilities = np.empty(len(labels), logits.dtype), np.empty(logits.shape, logits.dtype)
    launch(kernels.cross_entropy, logits, labels, weight, ignore_index, label_smoothing, losses, probabilities)
    return losses, probabilities


def _gradient_of_rows(
    grad: Array, probabilities: Array, labels: Array, weight: Array, ignore_index: int, label_smoothing: float
) -> Tensor:
    """Derivative by the logits, of losses that have gradient `grad` (N,)."""
    result = np.empty(probabilities.shape, probabilities.dtype)
    launch(kernels.cross_entropy_backward, grad, probabilities, labels, weight, ignore_index, label_smoothing, result)
    return wrap(result)


def _recorded_gradient(
    grad: Tensor, input: Tensor, labels: Array, weight: Array, ignore_index: int, label_smoothing: float
) -> Tensor:
    """`_gradient_of_rows` made of ops: loss = -sum t log softmax(x), so its derivative is softmax(x) (sum t) - t."""
    targets = _targets(input.array, labels, weight, ignore_index, label_smoothing)  # (N, C)
    return grad * (input.softmax(1) * targets.sum(1, keepdim=True) - targets)


@op
def nll_losses(input: Tensor, labels: Tensor, weight: Tensor, ignore_index: int) -> tuple[Array, Backward]:
    """-weight[label] times each row's entry at its label, (N, C) -> (N,); see `nll_loss`."""
    logs, settings = input.array, (labels.array, weight.array, ignore_index)
    losses = np.empty(len(labels), logs.dtype)
    launch(kernels.nll_loss, logs, *settings, losses)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        if grad_enabled.get():
            return -grad.unsqueeze(1) * _targets(logs, *settings, 0.0)
        result = np.empty(logs.shape, logs.dtype)
        launch(kernels.nll_loss_backward, grad.array, *settings, result)
        return wrap(result)

    return losses, backward


def _targets(like: Array, labels: Array, weight: Array, ignore_index: int, label_smoothing: float) -> Tensor:
    """The matrix t of `kernels.loss.label_targets`, (N, C)."""
    targets = np.empty(like.shape, like.dtype)
    launch(label_targets, labels, weight, ignore_index, label_smoothing, targets)
    return wrap(targets)


@op
def mean_over_labels(losses: Tensor, labels: Tensor, weight: Tensor, ignore_index: int) -> tuple[Array, Backward]:
    """Sum of losses (N,) over the sum of their labels' weights, ignored samples left out; NaN if all are ignored."""
    mean, total = np.empty(1, losses.dtype), np.empty(1, losses.dtype)
    launch(labelled_mean, losses.array, labels.array, weight.array, ignore_index, mean, total)
    shape = losses.shape

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        return (grad / wrap(total.reshape(()))).expand(shape)

    return mean.reshape(()), backward


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target]: the usual loss of a classifier, from its logits.

    Parameters
    ----------
    input:
        Logits (N, C), (N, C, d1, …) or (C,).
    target:
        Labels 0 to C - 1, integers of shape (N,), (N, d1, …) or (); or class probabilities, floats of the shape of
        `input`.
    weight:
        (C,), the weight of each class. The mean is then the weighted one: over the sum of the labels' weights.
    ignore_index:
        Samples with this label count nothing.
    reduction:
        "mean", "sum" or "none".
    label_smoothing:
        e in 0 to 1: the target becomes (1 - e) target + e/C (Szegedy et al. 2016).

    Returns
    -------
    Tensor
        0-d, or with reduction="none" of the shape of the labels.

    Raises
    ------
    ShapeError, DtypeError
        Target and input do not fit, or labels are floats.
    IndexRangeError
        A label is no class.
    ArgumentError
        Unknown reduction, smoothing outside 0 to 1, or the mean of an empty batch.

    Example
    -------
    >>> F.cross_entropy(tg.tensor([[2.0, 0.0], [0.0, 2.0]]), tg.tensor([0, 1]))
    tensor(0.1269)
    """
    name = "cross_entropy"
    if not 0 <= label_smoothing <= 1:
        raise ArgumentError(f"{name}: label_smoothing must lie in 0 to 1, got {label_smoothing}")
    check_tensor(name, "target", target)
    class_weight = _class_weight(name, input, weight, reduction)
    if target.dtype.kind == "f" and target.shape == input.shape:
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    labels = _labels(name, input, target)
    arguments = (_class_rows(input), labels, class_weight, int(ignore_index), float(label_smoothing))
    if reduction == "mean":
        check_not_empty(name, labels)
        return mean_cross_entropy(*arguments)
    losses = cross_entropy_losses(*arguments)
    return reduce_losses(name, losses if reduction == "sum" else losses.reshape(target.shape), reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """-input[target], of log-probabilities (N, C), (N, C, d1, …) or (C,): `cross_entropy` behind `log_softmax`.

    `target`, `weight`, `ignore_index`, `reduction` and errors are those of `cross_entropy` with labels.
    """
    name = "nll_loss"
    check_tensor(name, "target", target)
    class_weight = _class_weight(name, input, weight, reduction)
    labels = _labels(name, input, target)
    losses = nll_losses(_class_rows(input), labels, class_weight, int(ignore_index))
    if reduction == "mean":
        check_not_empty(name, losses)
        return mean_over_labels(losses, labels, class_weight, int(ignore_index))
    return reduce_losses(name, losses if reduction == "sum" else losses.reshape(target.shape), reduction)


def _class_weight(name: str, input: Tensor, weight: Tensor | None, reduction: str) -> Tensor:
    """Check what all losses of classes ask for; the weight of each class, ones if none are given."""
    check_choice(name, "reduction", reduction, REDUCTIONS)
    check_tensor(name, "input", input)
    if input.dtype.kind in "iu":
        raise DtypeError(
            f"{name}: input must be float32 or float64, got {input.dtype} {input.shape}; the logits come first, the "
            f"labels second: {name}(net(x), labels)"
        )
    check_floats(name, input=input, weight=weight)
    if input.ndim == 0:
        raise ShapeError(f"{name}: input is a scalar, expected (N, C), (N, C, d1, …) or (C,)")
    classes = input.shape[_class_dim(input)]
    if weight is None:
        return wrap(_ones(classes, input.dtype))
    if weight.shape != (classes,):
        raise ShapeError(f"{name}: weight has shape {weight.shape}, expected ({classes},), one for each class")
    check_weight(name, "weight", weight, (classes,))
    return weight


@lru_cache(maxsize=64)
def _ones(size: int, dtype: np.dtype[Any]) -> Array:
    """Shared, never written."""
    return np.ones(size, dtype)


def _class_dim(input: Tensor) -> int:
    return 0 if input.ndim == 1 else 1


def _class_rows(input: Tensor) -> Tensor:
    """(N, C, d1, …) as (N * d1 * …, C); (C,) as (1, C)."""
    if input.ndim == 2:
        return input
    if input.ndim == 1:
        return input.unsqueeze(0)
    last = input.permute(0, *range(2, input.ndim), 1)
    return last.reshape(math.prod(last.shape[:-1]), last.shape[-1])


def _labels(name: str, input: Tensor, target: Tensor) -> Tensor:
    """The labels as one row of int64 (the same memory where that is possible), after a check of dtype and shape."""
    if target.dtype == np.int64 and input.ndim == 2 and target.shape == input.shape[:1]:
        return target  # the usual case
    dim = _class_dim(input)
    expected = (*input.shape[:dim], *input.shape[dim + 1 :])
    if target.dtype.kind not in "iu":
        message = f"{name}: labels must be integers of shape {expected}, got {target.dtype} {target.shape}"
        if name == "cross_entropy":
            message += f"; class probabilities must be floats of the shape of the input, {input.shape}"
        raise DtypeError(message + "; convert labels with .long()")
    if target.shape != expected:
        hint = "; use target.squeeze(1)" if target.shape == (*expected, 1) and len(expected) == 1 else ""
        if target.shape == input.shape:
            hint = f"; of one-hot rows take the labels, target.argmax({dim})"
        raise ShapeError(
            f"{name}: labels have shape {target.shape}, expected {expected} for input of shape {input.shape}{hint}"
        )
    return target.long().reshape(-1)


def _soft_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None, reduction: str, label_smoothing: float
) -> Tensor:
    """Cross-entropy with class probabilities; the mean is over samples, not over weights."""
    check_floats("cross_entropy", input=input, target=target)
    dim = _class_dim(input)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / input.shape[dim]
    if weight is not None:
        target = target * weight.reshape(-1, *[1] * (input.ndim - 1 - dim))
    losses = -(target * input.log_softmax(dim)).sum(dim)
    return reduce_losses("cross_entropy", losses, reduction)
