"""Adagrad and Adadelta: step sizes from the history of each weight's gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import adadelta_step, adagrad_step
from tinygrad_mlp.optim.checks import check_absent, check_range
from tinygrad_mlp.optim.groups import Parameters
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.run import Run

__all__ = ["Adadelta", "Adagrad"]


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan & Singer 2011): s ← s + g²; w ← w − lr/(1 + t·lr_decay) · g/(√s + eps), t from 0.

    s starts from `initial_accumulator_value`. Raises `ArgumentError` for an option below 0.
    """

    state_names: ClassVar[tuple[str, ...]] = ("sum",)

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        check_absent("Adagrad", maximize=maximize, differentiable=differentiable)
        super().__init__(
            params,
            {
                "lr": lr,
                "lr_decay": lr_decay,
                "weight_decay": weight_decay,
                "initial_accumulator_value": initial_accumulator_value,
                "eps": eps,
                "l1": l1,
                "l2": l2,
            },
        )

    def check_group(self, group: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` for an option out of range."""
        super().check_group(group)
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            check_range("Adagrad", name, group[name])

    def numbers(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """lr_decay, eps, the value that s starts from."""
        return group["lr_decay"], group["eps"], group["initial_accumulator_value"]

    def update(self, run: Run, group: Mapping[str, Any]) -> None:
        """One pass over weights, gradients and sums."""
        launch(adagrad_step, run.weight, run.grad, *run.state, run.options, run.steps, work=run.weight.size)


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, algorithm 1): steps in the units of the weights, from running means of g² and Δw².

    s ← ρs + (1−ρ)g²; Δ ← √(d + eps)/√(s + eps)·g; d ← ρd + (1−ρ)Δ²; w ← w − lr·Δ.

    Raises `ArgumentError` for an option out of range: rho in [0, 1), the others at least 0.
    """

    state_names: ClassVar[tuple[str, ...]] = ("square_avg", "acc_delta")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        foreach: bool | None = None,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        check_absent("Adadelta", maximize=maximize, differentiable=differentiable)
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "l1": l1, "l2": l2})

    def check_group(self, group: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` for an option out of range."""
        super().check_group(group)
        check_range("Adadelta", "rho", group["rho"], 0.0, 1.0)
        check_range("Adadelta", "eps", group["eps"])

    def numbers(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """ρ, eps."""
        return group["rho"], group["eps"]

    def update(self, run: Run, group: Mapping[str, Any]) -> None:
        """One pass over weights, gradients and both means."""
        launch(adadelta_step, run.weight, run.grad, *run.state, run.options, run.steps, work=run.weight.size)
