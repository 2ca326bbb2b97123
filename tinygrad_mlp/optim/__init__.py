"""Optimizers, learning-rate schedules, gradient clipping, averaged weights, under PyTorch's names."""

from typing import TYPE_CHECKING

from tinygrad_mlp.missing import getter
from tinygrad_mlp.nn.utils import clip_grad_norm_, clip_grad_value_
from tinygrad_mlp.optim import lr_scheduler
from tinygrad_mlp.optim.adagrad import Adadelta, Adagrad
from tinygrad_mlp.optim.adam import Adam, AdamW
from tinygrad_mlp.optim.average import ExponentialMovingAverage
from tinygrad_mlp.optim.compose import ChainedScheduler, SequentialLR
from tinygrad_mlp.optim.one_cycle import OneCycleLR
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.plateau import ReduceLROnPlateau
from tinygrad_mlp.optim.registry import OPTIMIZERS, SCHEDULES, make_optimizer, make_schedule
from tinygrad_mlp.optim.rmsprop import RMSprop
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
from tinygrad_mlp.optim.sgd import SGD

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "ChainedScheduler",
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "ExponentialMovingAverage",
    "LRScheduler",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "ReduceLROnPlateau",
    "SequentialLR",
    "StepLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
    "make_optimizer",
    "make_schedule",
]

if not TYPE_CHECKING:  # type checkers are to report unknown names too
    __getattr__ = getter(__name__, __all__)
