"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import sgd_averaged_step, sgd_momentum_step, sgd_step
from tinygrad_mlp.optim.checks import check_absent, check_flag, check_range
from tinygrad_mlp.optim.groups import Parameters
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.run import Run

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent, with PyTorch's momentum or the averaged one.

    PyTorch's: v ← momentum·v + (1 − dampening)·g (v = g in the first step); w ← w − lr·v; with `nesterov`,
    w ← w − lr·(g + momentum·v) (Sutskever et al. 2013). With `averaged=True`: Δ ← momentum·Δ + (1 − momentum)·lr·g,
    also in the first step; w ← w − Δ, whose steps are shorter by the factor 1 − momentum. g includes the penalties.

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
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
        averaged: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        check_absent("SGD", maximize=maximize, differentiable=differentiable)
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

    def check_group(self, group: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` for an option out of range, or for options that exclude each other."""
        super().check_group(group)
        momentum = check_range("SGD", "momentum", group["momentum"])
        dampening = check_range("SGD", "dampening", group["dampening"], low=float("-inf"))
        nesterov = check_flag("SGD", "nesterov", group["nesterov"])
        if nesterov and (momentum == 0 or dampening != 0):
            raise ArgumentError("SGD: nesterov=True needs momentum > 0 and dampening = 0")
        if check_flag("SGD", "averaged", group["averaged"]):
            check_range("SGD", "momentum (averaged)", momentum, 0.0, 1.0)
            if nesterov or dampening != 0:
                raise ArgumentError("SGD: averaged=True goes with neither nesterov nor dampening")

    def numbers(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """Momentum, dampening, Nesterov or not."""
        return group["momentum"], group["dampening"], group["nesterov"]

    def update(self, run: Run, group: Mapping[str, Any]) -> None:
        """The kernel of the kind of momentum; without any, the state stays untouched."""
        if group["averaged"]:
            launch(sgd_averaged_step, run.weight, run.grad, *run.state, run.options, run.steps, work=run.weight.size)
        elif group["momentum"]:
            launch(sgd_momentum_step, run.weight, run.grad, *run.state, run.options, run.steps, work=run.weight.size)
        else:
            launch(sgd_step, run.weight, run.grad, run.options, run.steps, work=run.weight.size)
