"""RMSprop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import rmsprop_step
from tinygrad_mlp.optim.checks import check_absent, check_flag, check_range
from tinygrad_mlp.optim.groups import Parameters
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.run import Run

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6e): the gradient divided by the root of its running mean square.

    s ← αs + (1−α)g²; w ← w − lr·g/(√s + eps); with `centered`, the running variance in place of s (Graves 2013); with
    `momentum`, v ← momentum·v + g/(√s + eps); w ← w − lr·v.

    Raises `ArgumentError` for an option out of range: alpha in [0, 1), the others at least 0.
    """

    state_names: ClassVar[tuple[str, ...]] = ("square_avg", "grad_avg", "momentum_buffer")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        check_absent("RMSprop", maximize=maximize, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "alpha": alpha,
                "eps": eps,
                "weight_decay": weight_decay,
                "momentum": momentum,
                "centered": centered,
                "l1": l1,
                "l2": l2,
            },
        )

    def check_group(self, group: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` for an option out of range."""
        super().check_group(group)
        check_range("RMSprop", "alpha", group["alpha"], 0.0, 1.0)
        check_range("RMSprop", "eps", group["eps"])
        check_range("RMSprop", "momentum", group["momentum"])
        check_flag("RMSprop", "centered", group["centered"])

    def numbers(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """α, eps, momentum, centered or not."""
        return group["alpha"], group["eps"], group["momentum"], group["centered"]

    def update(self, run: Run, group: Mapping[str, Any]) -> None:
        """One pass over weights, gradients and the state in use."""
        launch(rmsprop_step, run.weight, run.grad, *run.state, run.options, run.steps, work=run.weight.size)
