"""Adam and AdamW."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import adam_step
from tinygrad_mlp.optim.checks import check_absent, check_range
from tinygrad_mlp.optim.groups import Parameters
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.run import Run

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1): steps of about lr, scaled by running moments of the gradient.

    m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; w ← w − lr·m̂/(√v̂ + eps), with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ).

    Raises `ArgumentError` for an option out of range: betas are two numbers in [0, 1), the others at least 0.
    """

    state_names: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        check_absent(type(self).__name__, amsgrad=amsgrad, maximize=maximize, differentiable=differentiable)
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "l1": l1, "l2": l2}
        )

    def check_group(self, group: Mapping[str, Any]) -> None:
        """Raise `ArgumentError` for an option out of range."""
        super().check_group(group)
        name = type(self).__name__
        check_range(name, "eps", group["eps"])
        betas: Any = group["betas"]
        if type(betas) not in (tuple, list) or len(betas) != 2:
            raise ArgumentError(f"{name}: betas={betas!r}, expected two numbers")
        check_range(name, "betas[0]", betas[0], 0.0, 1.0)
        check_range(name, "betas[1]", betas[1], 0.0, 1.0)

    def numbers(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """β₁, β₂, eps, and no decay beside the gradient's."""
        beta1, beta2 = group["betas"]
        return beta1, beta2, group["eps"], 0.0

    def update(self, run: Run, group: Mapping[str, Any]) -> None:
        """One pass over weights, gradients and both moments."""
        launch(adam_step, run.weight, run.grad, *run.state, run.options, run.steps, work=run.weight.size)


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): w ← w − lr·weight_decay·w before each step.

    `l2` is added to the gradient as in every optimizer; `weight_decay` is not.
    """

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        check_absent("AdamW", amsgrad=amsgrad, maximize=maximize, differentiable=differentiable)
        super().__init__(params, lr, betas, eps, weight_decay, l1=l1, l2=l2)

    def added_decay(self, group: Mapping[str, Any]) -> float:
        """None: the decay acts on the weights themselves."""
        return 0.0

    def numbers(self, group: Mapping[str, Any]) -> tuple[float, ...]:
        """β₁, β₂, eps, weight_decay."""
        beta1, beta2 = group["betas"]
        return beta1, beta2, group["eps"], group["weight_decay"]
