"""RMSprop."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import rmsprop_step
from tinygrad_mlp.optim.optimizer import Optimizer, Parameters, Run, check_range

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6e): the gradient divided by the root of its running mean square.

    s ← αs + (1−α)g²; w ← w − lr·g/(√s + eps); with `centered`, the running variance in place of s (Graves 2013); with
    `momentum`, v ← momentum·v + g/(√s + eps); w ← w − lr·v.
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
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
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

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_range("RMSprop", "alpha", group["alpha"], 0.0, 1.0)
        check_range("RMSprop", "eps", group["eps"])
        check_range("RMSprop", "momentum", group["momentum"])

    def update(self, run: Run, group: dict[str, Any]) -> None:
        launch(
            rmsprop_step,
            run.weight,
            run.grad,
            run.state["square_avg"],
            run.state["grad_avg"],
            run.state["momentum_buffer"],
            run.lr,
            run.steps,
            float(group["alpha"]),
            float(group["eps"]),
            float(group["momentum"]),
            bool(group["centered"]),
            run.decay,
            run.l1,
        )
