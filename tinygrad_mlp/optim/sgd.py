"""Stochastic gradient descent."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import sgd_averaged_step, sgd_momentum_step, sgd_step
from tinygrad_mlp.optim.optimizer import Optimizer, Parameters, Run, check_range

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's momentum or the averaged one.

    PyTorch's: v ← momentum·v + (1 − dampening)·g (v = g in the first step); w ← w − lr·v; with `nesterov`,
    w ← w − lr·(g + momentum·v). With `averaged=True`: Δ ← momentum·Δ + (1 − momentum)·lr·g, also in the first step;
    w ← w − Δ, whose steps are shorter by the factor 1 − momentum.

    Raises
    ------
    ArgumentError
        An option out of range; Nesterov without momentum or with dampening; averaged with either.
    """

    state_names: ClassVar[tuple[str, ...]] = ("momentum_buffer",)

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        averaged: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "momentum": momentum,
                "dampening": dampening,
                "weight_decay": weight_decay,
                "nesterov": nesterov,
                "averaged": averaged,
                "l1": l1,
                "l2": l2,
            },
        )

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_range("SGD", "momentum", group["momentum"])
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ArgumentError("SGD: nesterov=True needs momentum > 0 and dampening = 0")
        if group["averaged"]:
            check_range("SGD", "momentum (averaged)", group["momentum"], 0.0, 1.0)
            if group["nesterov"] or group["dampening"] != 0:
                raise ArgumentError("SGD: averaged=True goes with neither nesterov nor dampening")

    def update(self, run: Run, group: dict[str, Any]) -> None:
        momentum = float(group["momentum"])
        velocity = run.state["momentum_buffer"]
        if group["averaged"]:
            launch(sgd_averaged_step, run.weight, run.grad, velocity, run.lr, run.steps, momentum, run.decay, run.l1)
        elif momentum:
            launch(
                sgd_momentum_step,
                run.weight,
                run.grad,
                velocity,
                run.lr,
                run.steps,
                momentum,
                float(group["dampening"]),
                bool(group["nesterov"]),
                run.decay,
                run.l1,
            )
        else:
            launch(sgd_step, run.weight, run.grad, run.lr, run.steps, run.decay, run.l1)
