"""Adagrad and Adadelta: step sizes from the history of each weight's gradient."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import adadelta_step, adagrad_step
from tinygrad_mlp.optim.optimizer import Optimizer, Parameters, Run, check_range

__all__ = ["Adadelta", "Adagrad"]


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer 2011): s ← s + g²; w ← w − lr/(1 + t·lr_decay) · g/(√s + eps)."""

    state_names: ClassVar[tuple[str, ...]] = ("sum",)

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        eps: float = 1e-10,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps, "l1": l1, "l2": l2}
        )

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_range("Adagrad", "lr_decay", group["lr_decay"])
        check_range("Adagrad", "eps", group["eps"])

    def update(self, run: Run, group: dict[str, Any]) -> None:
        launch(
            adagrad_step,
            run.weight,
            run.grad,
            run.state["sum"],
            run.lr,
            run.steps,
            float(group["lr_decay"]),
            float(group["eps"]),
            run.decay,
            run.l1,
        )


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, algorithm 1): steps in the units of the weights, from running means of g² and Δw²."""

    state_names: ClassVar[tuple[str, ...]] = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "l1": l1, "l2": l2})

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_range("Adadelta", "rho", group["rho"], 0.0, 1.0)
        check_range("Adadelta", "eps", group["eps"])

    def update(self, run: Run, group: dict[str, Any]) -> None:
        launch(
            adadelta_step,
            run.weight,
            run.grad,
            run.state["square_avg"],
            run.state["acc_delta"],
            run.lr,
            run.steps,
            float(group["rho"]),
            float(group["eps"]),
            run.decay,
            run.l1,
        )
