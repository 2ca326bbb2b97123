"""Optimizer steps over a flat run of parameters, one pass each; the moving average of weights; gradient clipping.

A run is a stretch of the optimizer's flat buffers: `weight`, `grad` and the optimizer's state, all 1-d and of one
length. Whatever may change from step to step stands in arrays, so that a recorded step follows every schedule:

- `options`, float64: the learning rate, `decay` (λ of all terms λ·w that are added to the gradient), `l1` (λ of
  λ·sign(w)), then the optimizer's own numbers in the order that its kernel states;
- `steps`, int64: how many steps each parameter of the run has made, all equal; a kernel counts on by itself.

Every step returns without writing while the status word is set: after a NaN nothing is updated. Steps go through their
run in blocks, which large runs (`launch(..., work=)`) share out among the threads.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_mlp.kernels.launch import Array, device, kernel, prange, select, summing_device

__all__ = [
    "OWN",
    "adadelta_step",
    "adagrad_step",
    "adam_step",
    "average_step",
    "clip_scale",
    "count_up",
    "finish_norm",
    "largest",
    "rmsprop_step",
    "sgd_averaged_step",
    "sgd_momentum_step",
    "sgd_step",
    "square_sum",
]

LR, DECAY, L1 = 0, 1, 2  # places in `options`
OWN = 3  # place of the first of the optimizer's own numbers

_BLOCK = 256  # gradients whose squares are added up in one loop
_LANES = 64  # greatest numbers that are kept side by side
_STEP_BLOCK = 8192  # elements that one thread takes at a time: a multiple of a cache line, and small beside 200,000


@device
def penalised(grad: Any, weight: Any, decay: Any, l1: Any) -> Any:
    """The gradient with its penalties: grad + decay·w + l1·sign(w), with sign(0) = 0."""
    return grad + decay * weight + select(weight == 0, weight, math.copysign(l1, weight))


@device
def blocks(x: Array) -> int:
    """How many blocks a run makes."""
    return (x.size + _STEP_BLOCK - 1) // _STEP_BLOCK


@device
def part(x: Array, block: int) -> Array:
    """One block of an array of the run, a view."""
    return x[block * _STEP_BLOCK : (block + 1) * _STEP_BLOCK]


@device
def count_step(steps: Array) -> None:
    """One more step for each parameter of the run."""
    for i in range(steps.size):
        steps[i] += 1


@kernel(writes=("weight", "steps"), parallel=True)
def sgd_step(weight: Array, grad: Array, options: Array, steps: Array, status: Array) -> None:
    """w ← w − lr·g."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay, l1 = number(options[LR]), number(options[DECAY]), number(options[L1])
    for block in prange(blocks(weight)):
        w, gradient = part(weight, block), part(grad, block)
        for i in range(w.size):
            w[i] -= rate * penalised(gradient[i], w[i], decay, l1)
    count_step(steps)


@kernel(writes=("weight", "velocity", "steps"), parallel=True)
def sgd_momentum_step(weight: Array, grad: Array, velocity: Array, options: Array, steps: Array, status: Array) -> None:
    """PyTorch's momentum: v ← μ·v + (1 − dampening)·g (v = g in the first step); w ← w − lr·v, Nesterov: g + μ·v.

    Own options: μ, dampening, Nesterov or not (1, 0).
    """
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay, l1 = number(options[LR]), number(options[DECAY]), number(options[L1])
    momentum, nesterov = number(options[OWN]), options[OWN + 2] != 0
    gain = number(1) if steps[0] == 0 else number(1 - options[OWN + 1])
    ahead = momentum if nesterov else number(1)  # the update is ahead·v + also·g
    also = number(1) if nesterov else number(0)
    for block in prange(blocks(weight)):
        w, gradient, v = part(weight, block), part(grad, block), part(velocity, block)
        for i in range(w.size):
            g = penalised(gradient[i], w[i], decay, l1)
            v[i] = momentum * v[i] + gain * g
            w[i] -= rate * (ahead * v[i] + also * g)
    count_step(steps)


@kernel(writes=("weight", "velocity", "steps"), parallel=True)
def sgd_averaged_step(weight: Array, grad: Array, velocity: Array, options: Array, steps: Array, status: Array) -> None:
    """Averaged momentum: Δ ← γ·Δ + (1 − γ)·lr·g, also in the first step; w ← w − Δ. Own option: γ."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    decay, l1, gamma = number(options[DECAY]), number(options[L1]), number(options[OWN])
    rate = number((1 - options[OWN]) * options[LR])
    for block in prange(blocks(weight)):
        w, gradient, v = part(weight, block), part(grad, block), part(velocity, block)
        for i in range(w.size):
            v[i] = gamma * v[i] + rate * penalised(gradient[i], w[i], decay, l1)
            w[i] -= v[i]
    count_step(steps)


@kernel(writes=("weight", "mean", "square", "steps"), parallel=True)
def adam_step(
    weight: Array, grad: Array, mean: Array, square: Array, options: Array, steps: Array, status: Array
) -> None:
    """Adam (Kingma & Ba 2015, algorithm 1), with AdamW's w ← w − lr·shrink·w before the step.

    Own options: β₁, β₂, ε, shrink.
    """
    if status[0] != 0:
        return
    number = weight.dtype.type
    decay, l1 = number(options[DECAY]), number(options[L1])
    beta1, beta2 = options[OWN], options[OWN + 1]
    step = steps[0] + 1
    rate = number(options[LR] / (1 - beta1**step))
    root = number(1 / math.sqrt(1 - beta2**step))
    kept = number(1 - options[LR] * options[OWN + 3])
    eps = number(options[OWN + 2])
    b1, b2, new1, new2 = number(beta1), number(beta2), number(1 - beta1), number(1 - beta2)
    for block in prange(blocks(weight)):
        w, gradient, m, v = part(weight, block), part(grad, block), part(mean, block), part(square, block)
        for i in range(w.size):
            g = penalised(gradient[i], w[i], decay, l1)
            m[i] = b1 * m[i] + new1 * g
            v[i] = b2 * v[i] + new2 * g * g
            w[i] = kept * w[i] - rate * m[i] / (math.sqrt(v[i]) * root + eps)
    count_step(steps)


@kernel(writes=("weight", "square", "mean", "velocity", "steps"), parallel=True)
def rmsprop_step(
    weight: Array,
    grad: Array,
    square: Array,
    mean: Array,
    velocity: Array,
    options: Array,
    steps: Array,
    status: Array,
) -> None:
    """RMSprop (Hinton 2012, lecture 6e; centered: Graves 2013, eq. 38 to 41), in PyTorch's form.

    Own options: α, ε, momentum, centered or not (1, 0). `mean` is touched only if centered, `velocity` only with
    momentum.
    """
    if status[0] != 0:
        return
    number = weight.dtype.type
    zero = number(0)
    rate, decay, l1 = number(options[LR]), number(options[DECAY]), number(options[L1])
    alpha, new = number(options[OWN]), number(1 - options[OWN])
    eps, momentum = number(options[OWN + 1]), number(options[OWN + 2])
    centered, moving = options[OWN + 3] != 0, options[OWN + 2] != 0
    for block in prange(blocks(weight)):
        w, gradient, s = part(weight, block), part(grad, block), part(square, block)
        m, v = part(mean, block), part(velocity, block)
        for i in range(w.size):
            g = penalised(gradient[i], w[i], decay, l1)
            s[i] = alpha * s[i] + new * g * g
            variance = s[i]
            if centered:
                m[i] = alpha * m[i] + new * g
                variance -= m[i] * m[i]
                variance = select(variance < zero, zero, variance)  # it may be rounded below 0
            change = g / (math.sqrt(variance) + eps)
            if moving:
                change += momentum * v[i]
                v[i] = change
            w[i] -= rate * change
    count_step(steps)


@kernel(writes=("weight", "total", "steps"), parallel=True)
def adagrad_step(weight: Array, grad: Array, total: Array, options: Array, steps: Array, status: Array) -> None:
    """Adagrad (Duchi, Hazan & Singer 2011): s ← s + g²; w ← w − lr/(1 + t·lr_decay)·g/(√s + ε).

    Own options: lr_decay, ε, the value that s starts from.
    """
    if status[0] != 0:
        return
    number = weight.dtype.type
    decay, l1, eps = number(options[DECAY]), number(options[L1]), number(options[OWN + 1])
    rate = number(options[LR] / (1 + steps[0] * options[OWN]))
    if steps[0] == 0:
        for i in range(total.size):
            total[i] = number(options[OWN + 2])
    for block in prange(blocks(weight)):
        w, gradient, s = part(weight, block), part(grad, block), part(total, block)
        for i in range(w.size):
            g = penalised(gradient[i], w[i], decay, l1)
            s[i] += g * g
            w[i] -= rate * g / (math.sqrt(s[i]) + eps)
    count_step(steps)


@kernel(writes=("weight", "square", "delta", "steps"), parallel=True)
def adadelta_step(
    weight: Array, grad: Array, square: Array, delta: Array, options: Array, steps: Array, status: Array
) -> None:
    """Adadelta (Zeiler 2012, algorithm 1), scaled by lr as in PyTorch. Own options: ρ, ε."""
    if status[0] != 0:
        return
    number = weight.dtype.type
    rate, decay, l1 = number(options[LR]), number(options[DECAY]), number(options[L1])
    rho, new, eps = number(options[OWN]), number(1 - options[OWN]), number(options[OWN + 1])
    for block in prange(blocks(weight)):
        w, gradient, s, d = part(weight, block), part(grad, block), part(square, block), part(delta, block)
        for i in range(w.size):
            g = penalised(gradient[i], w[i], decay, l1)
            s[i] = rho * s[i] + new * g * g
            change = math.sqrt(d[i] + eps) / math.sqrt(s[i] + eps) * g
            d[i] = rho * d[i] + new * change * change
            w[i] -= rate * change
    count_step(steps)


@kernel(writes=("counts",), flat=True)
def count_up(counts: Array) -> None:
    """One more: counts += 1."""
    count_step(counts)


@kernel(writes=("average",))
def average_step(average: Array, weight: Array, updates: Array, decay: float) -> None:
    """Moving average a ← d·a + (1 − d)·w in update number t = `updates[0]`, with d = min(decay, (1 + t)/(10 + t))."""
    number = average.dtype.type
    d = min(decay, (1 + updates[0]) / (10 + updates[0]))
    keep, take = number(d), number(1 - d)
    for i in range(average.size):
        average[i] = keep * average[i] + take * weight[i]


@summing_device
def _square_sum(values: Array) -> float:
    total = 0.0
    for i in range(values.size):
        wide = np.float64(values[i])
        total += wide * wide
    return total


@kernel(writes=("total",))
def square_sum(values: Array, total: Array) -> None:
    """Add Σ v² to a float64 array of one, in float64: float32 squares overflow from 2e19 on."""
    for start in range(0, values.size, _BLOCK):
        total[0] += _square_sum(values[start : start + _BLOCK])


@kernel(writes=("total",))
def largest(values: Array, total: Array) -> None:
    """Raise a float64 array of one to max |v|; a NaN makes it NaN for good."""
    peaks = np.zeros(_LANES, values.dtype)  # one in each lane: vectors are compared with vectors
    for start in range(0, values.size, _LANES):
        some = values[start : start + _LANES]
        for i in range(some.size):
            size, peak = abs(some[i]), peaks[i]
            peaks[i] = select((size <= peak) | math.isnan(peak), peak, size)
    for i in range(_LANES):
        if not peaks[i] <= total[0]:
            total[0] = total[0] if math.isnan(total[0]) else np.float64(peaks[i])


@kernel(writes=("norm", "result"))
def finish_norm(norm: Array, is_square: bool, result: Array) -> None:
    """The norm, of whose square a sum was made, or not; and the same in the dtype of `result`."""
    if is_square:
        norm[0] = math.sqrt(norm[0])
    result[0] = norm[0]


@kernel(writes=("values",))
def clip_scale(values: Array, norm: Array, max_norm: float) -> None:
    """Scale by max_norm / (norm + 1e-6) where that is below 1; where the norm is NaN or infinite, not at all."""
    scale = max_norm / (norm[0] + 1e-6)
    if scale < 1 and norm[0] < math.inf:
        factor = values.dtype.type(scale)
        for i in range(values.size):
            values[i] *= factor
