"""Adam and AdamW."""

from __future__ import annotations

from typing import Any, ClassVar

from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.update import adam_step
from tinygrad_mlp.optim.optimizer import Optimizer, Parameters, Run, check_range

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015, algorithm 1): steps of about lr, scaled by running moments of the gradient.

    m ← β₁m + (1−β₁)g; v ← β₂v + (1−β₂)g²; w ← w − lr·m̂/(√v̂ + eps), with m̂ = m/(1−β₁ᵗ), v̂ = v/(1−β₂ᵗ).
    """

    state_names: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay, "l1": l1, "l2": l2}
        )

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_range(type(self).__name__, "eps", group["eps"])
        for index, beta in enumerate(group["betas"]):
            check_range(type(self).__name__, f"betas[{index}]", beta, 0.0, 1.0)

    def update(self, run: Run, group: dict[str, Any]) -> None:
        beta1, beta2 = group["betas"]
        shrink = float(group["weight_decay"]) if self.decoupled_decay else 0.0
        launch(
            adam_step,
            run.weight,
            run.grad,
            run.state["exp_avg"],
            run.state["exp_avg_sq"],
            run.lr,
            run.steps,
            float(beta1),
            float(beta2),
            float(group["eps"]),
            shrink,
            run.decay,
            run.l1,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): w ← w − lr·weight_decay·w before each step."""

    decoupled_decay: ClassVar[bool] = True

    def __init__(
        self,
        params: Parameters,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        *,
        l1: float = 0.0,
        l2: float = 0.0,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, l1=l1, l2=l2)
