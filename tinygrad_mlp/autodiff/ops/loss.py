"""Losses that compare element by element. Input and target have exactly one shape: nothing broadcasts.

Every loss takes `reduction`: "mean" (the default), "sum", or "none" for one value per sample or element. The mean of an
empty batch raises `ArgumentError`; its sum is 0.
"""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.autodiff.mode import grad_enabled, no_grad
from tinygrad_mlp.autodiff.op import needs_grad, op
from tinygrad_mlp.autodiff.ops.activation import logsigmoid
from tinygrad_mlp.autodiff.ops.checks import check_choice, check_floats
from tinygrad_mlp.autodiff.tensor import Backward, Tensor
from tinygrad_mlp.errors import ArgumentError, GradientError, ShapeError
from tinygrad_mlp.kernels.launch import Array, apply_ufunc, launch
from tinygrad_mlp.kernels.loss import check_unit_interval

__all__ = [
    "REDUCTIONS",
    "binary_cross_entropy",
    "binary_cross_entropy_losses",
    "binary_cross_entropy_with_logits",
    "check_not_empty",
    "check_weight",
    "floored_log",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "mse_loss",
    "reduce_losses",
    "smooth_l1_loss",
]

REDUCTIONS = ("mean", "sum", "none")

_LOG_FLOOR = -100.0  # PyTorch's: the logarithm of a probability 0 counts as this
_VARIANCE_FLOOR = 1e-12  # and p (1 - p) in the derivative as no less than this


def _check_same_shape(name: str, input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        raise ShapeError(
            f"{name}: input has shape {input.shape}, target {target.shape}; they must be equal, since nothing "
            "broadcasts in a loss: reshape one of them"
        )


def _check_pair(name: str, input: Tensor, target: Tensor, reduction: str) -> None:
    """What all losses that compare element by element ask for."""
    check_choice(name, "reduction", reduction, REDUCTIONS)
    check_floats(name, input=input, target=target)
    _check_same_shape(name, input, target)


def check_weight(name: str, argument: str, weight: Tensor | None, shape: tuple[int, ...]) -> None:
    """A weight must broadcast into `shape` and want no gradient."""
    if weight is None:
        return
    if grad_enabled.get() and weight.wants_grad:
        raise GradientError(
            f"{name}: {argument} is a constant of the loss and has no gradient; pass {argument}.detach()"
        )
    try:
        fits = np.broadcast_shapes(weight.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"{name}: {argument} has shape {weight.shape}, which does not broadcast into {shape}")


def reduce_losses(name: str, losses: Tensor, reduction: str) -> Tensor:
    """Mean, sum, or the losses themselves."""
    if reduction == "none":
        return losses
    if reduction == "sum":
        return losses.sum()
    check_not_empty(name, losses)
    return losses.mean()


def check_not_empty(name: str, losses: Tensor) -> None:
    """Raise `ArgumentError` before a mean over nothing."""
    if losses.numel() == 0:
        raise ArgumentError(
            f"{name}: the mean over an empty batch (losses of shape {losses.shape}) does not exist; skip the batch, "
            "or use reduction='sum', which gives 0"
        )


def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """(input - target)², both of one shape. Raises `ShapeError`, `DtypeError`, `ArgumentError`."""
    _check_pair("mse_loss", input, target, reduction)
    return reduce_losses("mse_loss", (input - target).square(), reduction)


def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """|input - target|, both of one shape; derivative 0 where they are equal. Raises as `mse_loss`."""
    _check_pair("l1_loss", input, target, reduction)
    return reduce_losses("l1_loss", (input - target).abs(), reduction)


def smooth_l1_loss(input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0) -> Tensor:
    """d²/(2 beta) where |d| < beta, |d| - beta/2 elsewhere, d = input - target (Girshick 2015).

    beta = 0 is `l1_loss`. Raises as `mse_loss`, and `ArgumentError` for a negative beta.
    """
    if beta < 0:
        raise ArgumentError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    _check_pair("smooth_l1_loss", input, target, reduction)
    difference = input - target
    distance = difference.abs()
    if beta == 0:
        return reduce_losses("smooth_l1_loss", distance, reduction)
    near = difference.square() * (0.5 / beta)  # not of the distance, whose kink at 0 would hide the curvature there
    return reduce_losses("smooth_l1_loss", near.where(distance < beta, distance - 0.5 * beta), reduction)


def huber_loss(input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0) -> Tensor:
    """d²/2 where |d| < delta, delta (|d| - delta/2) elsewhere, d = input - target (Huber 1964).

    Raises as `mse_loss`, and `ArgumentError` unless delta is positive.
    """
    if not delta > 0:
        raise ArgumentError(f"huber_loss: delta must be positive, got {delta}")
    _check_pair("huber_loss", input, target, reduction)
    difference = input - target
    distance = difference.abs()
    far = (distance - 0.5 * delta) * delta
    return reduce_losses("huber_loss", (difference.square() * 0.5).where(distance < delta, far), reduction)


def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """Divergence of the distribution `target` from the one whose logarithm is `input`: target (log target - input).

    A target probability 0 contributes 0. With `log_target` the target is given as a logarithm too. `reduction` may also
    be "batchmean", the sum over the number of rows, which is the divergence's mathematical mean. Raises as `mse_loss`.
    """
    check_choice("kl_div", "reduction", reduction, (*REDUCTIONS, "batchmean"))
    _check_pair("kl_div", input, target, "sum" if reduction == "batchmean" else reduction)
    if log_target:
        losses = target.exp() * (target - input)
    else:
        losses = target * (target.masked_fill(target == 0, 1.0).log() - input)
    if reduction != "batchmean":
        return reduce_losses("kl_div", losses, reduction)
    check_not_empty("kl_div", losses)
    return losses.sum() / (input.shape[0] if input.ndim else 1)


@op
def binary_cross_entropy_losses(input: Tensor, target: Tensor) -> tuple[Array, Backward]:
    """-(t log p + (1 - t) log(1 - p)) for each element, logarithms cut at -100 as in PyTorch."""

    def backward(grad: Tensor, out: Tensor) -> tuple[Tensor | None, ...]:
        grad_input = grad_target = None
        if needs_grad(input):
            variance = ((1 - input) * input).clamp(min=_VARIANCE_FLOOR)
            grad_input = grad * (input - target) / variance
        if needs_grad(target):
            grad_target = grad * (floored_log(1 - input) - floored_log(input))
        return grad_input, grad_target

    with no_grad():
        losses = -(target * floored_log(input) + (1 - target) * floored_log(1 - input))
    return losses.array, backward


@op
def floored_log(x: Tensor) -> tuple[Array, Backward]:
    """Logarithm of probabilities, at least -100; the derivative is 0 where it is cut."""
    logs = apply_ufunc(np.log, x.array)
    launch(np.maximum, logs, _LOG_FLOOR, logs)

    def backward(grad: Tensor, out: Tensor) -> Tensor:
        cut = out <= _LOG_FLOOR
        return (grad / x.masked_fill(cut, 1.0)).masked_fill(cut, 0.0)

    return logs, backward


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """-(t log p + (1 - t) log(1 - p)) of probabilities p = `input` and t = `target`, both in 0 to 1 and of one shape.

    `weight` broadcasts into that shape and multiplies each loss. For logits, `binary_cross_entropy_with_logits` is more
    accurate. Raises as `mse_loss`, and `ArgumentError` for a value outside 0 to 1.
    """
    name = "binary_cross_entropy"
    _check_pair(name, input, target, reduction)
    check_floats(name, input=input, weight=weight)
    check_weight(name, "weight", weight, input.shape)
    launch(check_unit_interval, f"{name}: the probabilities in input", input.array)
    launch(check_unit_interval, f"{name}: the probabilities in target", target.array)
    losses = binary_cross_entropy_losses(input, target)
    return reduce_losses(name, losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """-(w t log s(x) + (1 - t) log(1 - s(x))), s the sigmoid, x = `input` and t = `target` of one shape, t in 0 to 1.

    `weight` multiplies each loss, `pos_weight` (w) the part of the positive class; both broadcast into the shape of the
    input. Accurate for any x, since 1 - s(x) = s(-x). Raises as `mse_loss`, and `ArgumentError` for a target outside
    0 to 1.
    """
    name = "binary_cross_entropy_with_logits"
    _check_pair(name, input, target, reduction)
    check_floats(name, input=input, weight=weight, pos_weight=pos_weight)
    check_weight(name, "weight", weight, input.shape)
    check_weight(name, "pos_weight", pos_weight, input.shape)
    launch(check_unit_interval, f"{name}: the probabilities in target", target.array)
    positive = target if pos_weight is None else target * pos_weight
    losses = -(positive * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    return reduce_losses(name, losses if weight is None else losses * weight, reduction)
