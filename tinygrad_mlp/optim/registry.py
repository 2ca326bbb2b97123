"""Optimizers and schedules by name, for settings that come as text."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, TypeVar, cast

from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.names import did_you_mean
from tinygrad_mlp.optim.adagrad import Adadelta, Adagrad
from tinygrad_mlp.optim.adam import Adam, AdamW
from tinygrad_mlp.optim.checks import TORCH_ALONE
from tinygrad_mlp.optim.groups import Parameters
from tinygrad_mlp.optim.one_cycle import OneCycleLR
from tinygrad_mlp.optim.optimizer import Optimizer
from tinygrad_mlp.optim.plateau import ReduceLROnPlateau
from tinygrad_mlp.optim.rmsprop import RMSprop
from tinygrad_mlp.optim.schedules import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    MultiStepLR,
    StepLR,
)
from tinygrad_mlp.optim.sgd import SGD

__all__ = ["OPTIMIZERS", "SCHEDULES", "make_optimizer", "make_schedule"]

Made = TypeVar("Made")

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "sgd": SGD,
    "adam": Adam,
    "adamw": AdamW,
    "adadelta": Adadelta,
    "rmsprop": RMSprop,
    "adagrad": Adagrad,
}
"""What `make_optimizer()` makes, by name."""

SCHEDULES: dict[str, type[LRScheduler] | type[ReduceLROnPlateau]] = {
    "step": StepLR,
    "multistep": MultiStepLR,
    "exponential": ExponentialLR,
    "cosine": CosineAnnealingLR,
    "onecycle": OneCycleLR,
    "linear": LinearLR,
    "plateau": ReduceLROnPlateau,
}
"""What `make_schedule()` makes, by name."""


def make_optimizer(name: str, params: Parameters, **options: Any) -> Optimizer:
    """The optimizer of this name, such as "adamw" (in any case); options go to its constructor.

    Raises `ArgumentError`, listing the names or the options, for one that is not known.

    >>> optimizer = optim.make_optimizer("sgd", net.parameters(), lr=0.1, momentum=0.9)
    """
    return _make("optimizer", OPTIMIZERS, name, params, options)


def make_schedule(name: str, optimizer: Optimizer, **options: Any) -> LRScheduler | ReduceLROnPlateau:
    """The schedule of this name, such as "cosine" (in any case); options go to its constructor.

    Raises `ArgumentError`, listing the names or the options, for one that is not known.

    >>> schedule = optim.make_schedule("cosine", optimizer, T_max=20)
    """
    return _make("schedule", SCHEDULES, name, optimizer, options)


def _make(kind: str, known: Mapping[str, type[Made]], name: str, subject: object, options: Mapping[str, Any]) -> Made:
    found = known.get(str(name).lower())
    if found is None:
        raise ArgumentError(f"unknown {kind} {name!r}{did_you_mean(str(name), known)}; known are {', '.join(known)}")
    try:
        signature(found).bind(subject, **options)
    except TypeError as error:
        names = [name for name in list(signature(found).parameters)[1:] if name not in TORCH_ALONE]
        raise ArgumentError(f"{found.__name__}: {error}; it takes {', '.join(names)}") from error
    return cast(Any, found)(subject, **options)
