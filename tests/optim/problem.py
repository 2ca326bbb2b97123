"""What the stored trajectories were computed on: a small regression, differentiated by hand, and the cases.

`make_reference.py` runs the cases with PyTorch, the tests run them with this package: every case is a function of the
library, since names and arguments are the same. No test and no package but NumPy is needed here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

STEPS = 100
HALF_RATE_AT = 50  # from this step on the learning rate is half
EVERY = 5  # float32 trajectories are stored every 5 steps
GROUP_RATES = (0.1, 0.02)  # of the two groups on which schedules run

Case = Callable[[Any, Any], Any]


def start(dtype: Any) -> list[np.ndarray]:
    """Weight (2, 2), bias (2,) and a 0-d offset, to begin with."""
    rng = np.random.default_rng(7)
    return [rng.normal(size=shape).astype(dtype) for shape in ((2, 2), (2,), ())]


def gradients(values: list[np.ndarray]) -> list[np.ndarray]:
    """Of the loss mean((sum(tanh(x Wᵀ + b)) + c - y)²)/2 over 8 samples, by W, b and c."""
    rng = np.random.default_rng(8)
    weight, bias, offset = values
    x, y = rng.normal(size=(8, 2)).astype(weight.dtype), rng.normal(size=8).astype(weight.dtype)
    hidden = np.tanh(x @ weight.T + bias)  # (8, 2)
    slope = (hidden.sum(axis=1) + offset - y) / weight.dtype.type(8)  # (8,)
    slope_hidden = slope[:, None] * (1 - hidden * hidden)
    return [slope_hidden.T @ x, slope_hidden.sum(axis=0), slope.sum()]


def has_gradient(parameter: int, step: int) -> bool:
    """Whether this parameter has a gradient in this step: some pause, so that their step counts differ."""
    if parameter == 0:
        return not 40 <= step < 45
    return parameter != 1 or step % 7 != 3


OPTIMIZERS: dict[str, Case] = {
    "sgd": lambda lib, p: lib.SGD(p, lr=0.3),
    "sgd_decay": lambda lib, p: lib.SGD(p, lr=0.3, weight_decay=0.1),
    "sgd_momentum": lambda lib, p: lib.SGD(p, lr=0.1, momentum=0.9),
    "sgd_dampening": lambda lib, p: lib.SGD(p, lr=0.1, momentum=0.9, dampening=0.4, weight_decay=0.05),
    "sgd_nesterov": lambda lib, p: lib.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "sgd_nesterov_decay": lambda lib, p: lib.SGD(p, lr=0.1, momentum=0.8, nesterov=True, weight_decay=0.1),
    "adam": lambda lib, p: lib.Adam(p, lr=0.05),
    "adam_decay": lambda lib, p: lib.Adam(p, lr=0.05, weight_decay=0.1),
    "adam_betas": lambda lib, p: lib.Adam(p, lr=0.05, betas=(0.5, 0.9), eps=1e-2),
    "adamw": lambda lib, p: lib.AdamW(p, lr=0.05),
    "adamw_decay": lambda lib, p: lib.AdamW(p, lr=0.05, betas=(0.8, 0.95), weight_decay=0.5),
    "adadelta": lambda lib, p: lib.Adadelta(p),
    "adadelta_decay": lambda lib, p: lib.Adadelta(p, lr=0.5, rho=0.8, eps=1e-3, weight_decay=0.1),
    "rmsprop": lambda lib, p: lib.RMSprop(p),
    "rmsprop_decay": lambda lib, p: lib.RMSprop(p, lr=0.02, alpha=0.9, eps=1e-3, weight_decay=0.1),
    "rmsprop_momentum": lambda lib, p: lib.RMSprop(p, lr=0.01, momentum=0.8),
    "rmsprop_centered": lambda lib, p: lib.RMSprop(p, lr=0.01, alpha=0.9, centered=True),
    "rmsprop_all": lambda lib, p: lib.RMSprop(p, lr=0.01, momentum=0.5, centered=True, weight_decay=0.1, eps=1e-3),
    "adagrad": lambda lib, p: lib.Adagrad(p, lr=0.1),
    "adagrad_lr_decay": lambda lib, p: lib.Adagrad(p, lr=0.2, lr_decay=0.05),
    "adagrad_decay": lambda lib, p: lib.Adagrad(p, lr=0.1, weight_decay=0.1, initial_accumulator_value=0.5, eps=1e-3),
}

# Each gets the library, with optimizers and schedules in one namespace, and an SGD with momentum of two groups.
SCHEDULES: dict[str, Case] = {
    "step": lambda lib, o: lib.StepLR(o, 7, 0.5),
    "multistep": lambda lib, o: lib.MultiStepLR(o, [10, 30, 30, 80], gamma=0.3),
    "exponential": lambda lib, o: lib.ExponentialLR(o, 0.97),
    "cosine": lambda lib, o: lib.CosineAnnealingLR(o, T_max=STEPS, eta_min=1e-3),
    "cosine_wave": lambda lib, o: lib.CosineAnnealingLR(o, T_max=30),
    "constant": lambda lib, o: lib.ConstantLR(o, factor=0.5, total_iters=8),
    "linear": lambda lib, o: lib.LinearLR(o),
    "warm_up": lambda lib, o: lib.LinearLR(o, start_factor=0.01, end_factor=0.9, total_iters=20),
    "lambda": lambda lib, o: lib.LambdaLR(o, lambda step: 1 / (1 + step)),
    "lambdas": lambda lib, o: lib.LambdaLR(o, [lambda step: 0.9**step, lambda step: 1 - step / 200]),
    "one_cycle": lambda lib, o: lib.OneCycleLR(o, max_lr=0.5, total_steps=STEPS),
    "one_cycle_linear": lambda lib, o: lib.OneCycleLR(
        o, max_lr=[0.5, 0.1], epochs=10, steps_per_epoch=10, anneal_strategy="linear", pct_start=0.15, div_factor=10
    ),
    "one_cycle_three": lambda lib, o: lib.OneCycleLR(
        o, 0.5, STEPS, three_phase=True, base_momentum=0.7, max_momentum=0.9, final_div_factor=50
    ),
    "one_cycle_fixed": lambda lib, o: lib.OneCycleLR(o, max_lr=0.5, total_steps=STEPS, cycle_momentum=False),
    "warm_up_cosine": lambda lib, o: lib.SequentialLR(
        o, [lib.LinearLR(o, start_factor=0.1, total_iters=20), lib.CosineAnnealingLR(o, T_max=80)], milestones=[20]
    ),
    "three_in_turn": lambda lib, o: lib.SequentialLR(
        o, [lib.ConstantLR(o, 0.1, 4), lib.ExponentialLR(o, 0.9), lib.StepLR(o, 10)], milestones=[10, 50]
    ),
    "chained": lambda lib, o: lib.ChainedScheduler([lib.ExponentialLR(o, 0.97), lib.MultiStepLR(o, [20, 60])]),
}

PLATEAUS: dict[str, Case] = {
    "plateau": lambda lib, o: lib.ReduceLROnPlateau(o, patience=3),
    "plateau_relative": lambda lib, o: lib.ReduceLROnPlateau(o, factor=0.5, patience=2, threshold=0.05, cooldown=4),
    "plateau_absolute": lambda lib, o: lib.ReduceLROnPlateau(
        o, "max", 0.7, 1, threshold=0.1, threshold_mode="abs", min_lr=[1e-2, 1e-3], cooldown=1
    ),
}


def metric(step: int) -> float:
    """What the plateau schedules look at: falls, is noisy, is once NaN, and turns negative."""
    noise = float(np.random.default_rng(step).normal())
    return float("nan") if step == 33 else 2 * 0.96**step - 0.5 + 0.2 * noise
