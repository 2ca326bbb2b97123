"""Optimizer steps over a flat run of parameters, one pass each.

A run is a stretch of the optimizer's flat buffers: `weight`, `grad` and the optimizer's state, all 1-d and of one length.
`lr` (one element) and `steps` (int64, one count for each parameter in the run, all equal) are arrays, so that a recorded
step follows a schedule; a kernel increments the counts itself. Every kernel returns without writing while the status
word is set. `decay` and `l2` add λ·w to the gradient, `l1` adds λ·sign(w).
"""

from __future__ import annotations

import math
from typing import Any

from tinygrad_mlp.kernels.launch import Array, device, kernel, summing_device

__all__ = [
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "average_step",
    "clip_scale",
    "rmsprop_step",
    "sgd_averaged_step",
    "sgd_momentum_step",
    "sgd_step",
    "square_sum",
]


@device
def penalised(grad: Any, weight: Any, decay: Any, l1: Any) -> Any:
    """The gradient with its penalties: grad + decay·w + l1·sign(w), with sign(0) = 0."""
    sign = (weight > 0) * l1 - (weight < 0) * l1
    return grad + decay * weight + sign


@device
def count_step(steps: Array) -> None:
    """One more step for each parameter of the run."""
    for i in range(steps.size):
        steps[i] += 1


@kernel(writes=("weight", "steps"))
def sgd_step(weight: Array, grad: Array, lr: Array, steps: Array, decay: float, l1: float, status: Array) -> None:
    """w ← w − lr·g."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay_, l1_ = number(lr[0]), number(decay), number(l1)
    for i in range(weight.size):
        weight[i] -= rate * penalised(grad[i], weight[i], decay_, l1_)
    count_step(steps)


@kernel(writes=("weight", "velocity", "steps"))
def sgd_momentum_step(
    weight: Array,
    grad: Array,
    velocity: Array,
    lr: Array,
    steps: Array,
    momentum: float,
    dampening: float,
    nesterov: bool,
    decay: float,
    l1: float,
    status: Array,
) -> None:
    """PyTorch's momentum: v ← μ·v + (1 − dampening)·g (v = g in the first step); w ← w − lr·v, Nesterov: g + μ·v."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay_, l1_, mu = number(lr[0]), number(decay), number(l1), number(momentum)
    keep = number(0) if steps[0] == 0 else mu
    gain = number(1) if steps[0] == 0 else number(1 - dampening)
    ahead = mu if nesterov else number(1)  # the update is ahead·v, plus g for Nesterov
    also = number(1) if nesterov else number(0)
    for i in range(weight.size):
        g = penalised(grad[i], weight[i], decay_, l1_)
        velocity[i] = keep * velocity[i] + gain * g
        weight[i] -= rate * (ahead * velocity[i] + also * g)
    count_step(steps)


@kernel(writes=("weight", "velocity", "steps"))
def sgd_averaged_step(
    weight: Array,
    grad: Array,
    velocity: Array,
    lr: Array,
    steps: Array,
    momentum: float,
    decay: float,
    l1: float,
    status: Array,
) -> None:
    """Averaged momentum: Δ ← γ·Δ + (1 − γ)·lr·g, also in the first step; w ← w − Δ."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay_, l1_ = number((1 - momentum) * lr[0]), number(decay), number(l1)
    gamma = number(momentum)
    for i in range(weight.size):
        velocity[i] = gamma * velocity[i] + rate * penalised(grad[i], weight[i], decay_, l1_)
        weight[i] -= velocity[i]
    count_step(steps)


@kernel(writes=("weight", "mean", "square", "steps"))
def adam_step(
    weight: Array,
    grad: Array,
    mean: Array,
    square: Array,
    lr: Array,
    steps: Array,
    beta1: float,
    beta2: float,
    eps: float,
    shrink: float,
    decay: float,
    l1: float,
    status: Array,
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1); `shrink` is AdamW's decoupled decay, w ← w − lr·shrink·w before the step."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    step = steps[0] + 1
    rate = number(lr[0] / (1 - beta1**step))
    root = number(1 / math.sqrt(1 - beta2**step))
    kept = number(1 - lr[0] * shrink)
    b1, b2, one_b1, one_b2 = number(beta1), number(beta2), number(1 - beta1), number(1 - beta2)
    eps_, decay_, l1_ = number(eps), number(decay), number(l1)
    for i in range(weight.size):
        g = penalised(grad[i], weight[i], decay_, l1_)
        mean[i] = b1 * mean[i] + one_b1 * g
        square[i] = b2 * square[i] + one_b2 * g * g
        weight[i] = kept * weight[i] - rate * mean[i] / (math.sqrt(square[i]) * root + eps_)
    count_step(steps)


@kernel(writes=("weight", "square", "mean", "velocity", "steps"))
def rmsprop_step(
    weight: Array,
    grad: Array,
    square: Array,
    mean: Array,
    velocity: Array,
    lr: Array,
    steps: Array,
    alpha: float,
    eps: float,
    momentum: float,
    centered: bool,
    decay: float,
    l1: float,
    status: Array,
) -> None:
    """RMSprop (Hinton 2012, lecture 6e; centered: Graves 2013, eq. 38 to 41), in PyTorch's form."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay_, l1_, mu = number(lr[0]), number(decay), number(l1), number(momentum)
    a, one_a, eps_ = number(alpha), number(1 - alpha), number(eps)
    subtract = number(1) if centered else number(0)
    for i in range(weight.size):
        g = penalised(grad[i], weight[i], decay_, l1_)
        square[i] = a * square[i] + one_a * g * g
        mean[i] = a * mean[i] + one_a * g
        variance = square[i] - subtract * mean[i] * mean[i]
        velocity[i] = mu * velocity[i] + g / (math.sqrt(max(variance, number(0))) + eps_)
        weight[i] -= rate * velocity[i]
    count_step(steps)


@kernel(writes=("weight", "total", "steps"))
def adagrad_step(
    weight: Array,
    grad: Array,
    total: Array,
    lr: Array,
    steps: Array,
    lr_decay: float,
    eps: float,
    decay: float,
    l1: float,
    status: Array,
) -> None:
    """Adagrad (Duchi, Hazan & Singer 2011): s ← s + g²; w ← w − lr/(1 + t·lr_decay)·g/(√s + ε)."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay_, l1_, eps_ = number(lr[0] / (1 + steps[0] * lr_decay)), number(decay), number(l1), number(eps)
    for i in range(weight.size):
        g = penalised(grad[i], weight[i], decay_, l1_)
        total[i] += g * g
        weight[i] -= rate * g / (math.sqrt(total[i]) + eps_)
    count_step(steps)


@kernel(writes=("weight", "square", "delta", "steps"))
def adadelta_step(
    weight: Array,
    grad: Array,
    square: Array,
    delta: Array,
    lr: Array,
    steps: Array,
    rho: float,
    eps: float,
    decay: float,
    l1: float,
    status: Array,
) -> None:
    """Adadelta (Zeiler 2012, algorithm 1), scaled by lr as in PyTorch."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay_, l1_ = number(lr[0]), number(decay), number(l1)
    r, one_r, eps_ = number(rho), number(1 - rho), number(eps)
    for i in range(weight.size):
        g = penalised(grad[i], weight[i], decay_, l1_)
        square[i] = r * square[i] + one_r * g * g
        change = math.sqrt(delta[i] + eps_) / math.sqrt(square[i] + eps_) * g
        delta[i] = r * delta[i] + one_r * change * change
        weight[i] -= rate * change
    count_step(steps)


@kernel(writes=("average",))
def average_step(average: Array, weight: Array, decay: Array) -> None:
    """Exponential moving average: a ← decay·a + (1 − decay)·w, the decay in an array of one."""
    number = average.dtype.type
    keep, take = number(decay[0]), number(1 - decay[0])
    for i in range(average.size):
        average[i] = keep * average[i] + take * weight[i]


@summing_device
def _block_square_sum(values: Array, start: int, stop: int) -> float:
    total = values.dtype.type(0)
    for i in range(start, stop):
        total += values[i] * values[i]
    return total


@kernel(writes=("total",))
def square_sum(values: Array, total: Array) -> None:
    """Add Σ v² to a float64 array of one, block by block (a block's sum in the dtype of the values)."""
    for start in range(0, values.size, 256):
        total[0] += _block_square_sum(values, start, min(start + 256, values.size))


@kernel(writes=("values",))
def clip_scale(values: Array, square_total: Array, max_norm: float) -> None:
    """Scale by max_norm / (norm + 1e-6) where that is below 1; the norm is the root of `square_total`."""
    scale = max_norm / (math.sqrt(square_total[0]) + 1e-6)
    if scale < 1:
        factor = values.dtype.type(scale)
        for i in range(values.size):
            values[i] *= factor
