"""The schedules under the name of `torch.optim.lr_scheduler`; `optim` has them all, too."""

from typing import TYPE_CHECKING

from tinygrad_mlp.missing import getter
from tinygrad_mlp.optim.compose import ChainedScheduler, SequentialLR
from tinygrad_mlp.optim.one_cycle import OneCycleLR
from tinygrad_mlp.optim.plateau import ReduceLROnPlateau
from tinygrad_mlp.optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    StepLR,
)

__all__ = [
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
]

if not TYPE_CHECKING:  # type checkers are to report unknown names too
    __getattr__ = getter(__name__, __all__)
