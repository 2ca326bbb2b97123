"""Losses as modules: each holds its settings and calls the function of `nn.functional`.

Input and target must have the same shape where both are values (nothing broadcasts in a loss). `reduction` is "mean",
"sum" or "none". What each computes and raises stands at its function.
"""

from __future__ import annotations

import operator
from inspect import Parameter, signature

from tinygrad_mlp.autodiff.ops.checks import check_choice
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.nn import functional as F
from tinygrad_mlp.nn.checks import check_number
from tinygrad_mlp.nn.module import Module

__all__ = [
    "BCELoss",
    "BCEWithLogitsLoss",
    "CrossEntropyLoss",
    "HuberLoss",
    "KLDivLoss",
    "L1Loss",
    "MSELoss",
    "NLLLoss",
    "SmoothL1Loss",
]

_REDUCTIONS = ("mean", "sum", "none")


class _Loss(Module):
    """Base: checks and holds the reduction."""

    _reductions: tuple[str, ...] = _REDUCTIONS

    def __init__(self, reduction: str = "mean") -> None:
        super().__init__()
        check_choice(type(self).__name__, "reduction", reduction, self._reductions)
        self.reduction = reduction

    def extra_repr(self) -> str:
        """The settings that are not the usual ones: `reduction='sum', label_smoothing=0.1`, `weight=[1.0, 2.0]`."""
        settings: list[str] = []
        for name, parameter in list(signature(type(self).__init__).parameters.items())[1:]:
            if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
                continue  # what a subclass passes on
            value = getattr(self, name, parameter.default)  # which a subclass may keep under another name, or not
            if isinstance(value, Tensor):
                settings.append(f"{name}={value.tolist()}")
            elif repr(value) != repr(parameter.default):  # an array has no one answer to !=
                settings.append(f"{name}={value!r}")
        return ", ".join(settings)


class CrossEntropyLoss(_Loss):
    """-log softmax(input)[target] of logits (N, C, …), for labels (N, …) or probabilities of the shape of the input.

    Parameters
    ----------
    weight:
        (C,), a factor for each class; a buffer.
    ignore_index:
        Samples with this label do not count.
    reduction:
        "mean" (weighted where there are weights), "sum" or "none".
    label_smoothing:
        0 to 1: the part of the target that is spread over all classes evenly.
    """

    weight: Tensor | None

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = operator.index(ignore_index)
        self.label_smoothing = check_number("CrossEntropyLoss", "label_smoothing", label_smoothing, 0.0, 1.0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits (N, C, …) and labels (N, …) -> a scalar, or (N, …) for reduction "none"."""
        return F.cross_entropy(
            input,
            target,
            weight=self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """-input[target] of log-probabilities (N, C, …); behind `LogSoftmax` it is `CrossEntropyLoss`."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = operator.index(ignore_index)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities (N, C, …) and labels (N, …) -> a scalar, or (N, …) for reduction "none"."""
        return F.nll_loss(input, target, weight=self.weight, ignore_index=self.ignore_index, reduction=self.reduction)


class MSELoss(_Loss):
    """(input - target)²."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or that shape for reduction "none"."""
        return F.mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """|input - target|."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or that shape for reduction "none"."""
        return F.l1_loss(input, target, reduction=self.reduction)


class SmoothL1Loss(_Loss):
    """d²/(2 beta) where |d| < beta, |d| - beta/2 elsewhere, d = input - target (Girshick 2015)."""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0) -> None:
        super().__init__(reduction)
        self.beta = check_number("SmoothL1Loss", "beta", beta, 0.0)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or that shape for reduction "none"."""
        return F.smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)


class HuberLoss(_Loss):
    """d²/2 where |d| < delta, delta (|d| - delta/2) elsewhere, d = input - target (Huber 1964)."""

    def __init__(self, reduction: str = "mean", delta: float = 1.0) -> None:
        super().__init__(reduction)
        self.delta = check_number("HuberLoss", "delta", delta, 0.0, above=True)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape -> a scalar, or that shape for reduction "none"."""
        return F.huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class BCELoss(_Loss):
    """-(t log p + (1 - t) log(1 - p)) of probabilities p and targets t. `weight` broadcasts to them; a buffer."""

    weight: Tensor | None

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean") -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Two tensors of one shape, in 0 to 1 -> a scalar, or that shape for reduction "none"."""
        return F.binary_cross_entropy(input, target, weight=self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`BCELoss` of sigmoid(input), more accurate. `pos_weight` is a factor for the positive targets; a buffer."""

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self, weight: Tensor | None = None, *, reduction: str = "mean", pos_weight: Tensor | None = None
    ) -> None:
        super().__init__(reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Logits and targets (in 0 to 1) of one shape -> a scalar, or that shape for reduction "none"."""
        return F.binary_cross_entropy_with_logits(
            input, target, weight=self.weight, reduction=self.reduction, pos_weight=self.pos_weight
        )


class KLDivLoss(_Loss):
    """target (log target - input): divergence of the distribution `target` from exp(input).

    With `log_target` the target is given as a logarithm too. `reduction="batchmean"`, the sum over the number of rows,
    is the divergence's mathematical mean.
    """

    _reductions = (*_REDUCTIONS, "batchmean")

    def __init__(self, reduction: str = "mean", *, log_target: bool = False) -> None:
        super().__init__(reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """Log-probabilities and probabilities of one shape -> a scalar, or that shape for reduction "none"."""
        return F.kl_div(input, target, reduction=self.reduction, log_target=self.log_target)
