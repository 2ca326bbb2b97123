"""Optimizers and schedules by name."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from tinygrad_mlp import optim
from tinygrad_mlp.errors import ArgumentError
from tinygrad_mlp.nn import Parameter


def test_every_optimizer_has_its_name() -> None:
    classes = {cls for _, cls in inspect.getmembers(optim, inspect.isclass) if issubclass(cls, optim.Optimizer)}
    assert set(optim.OPTIMIZERS.values()) == classes - {optim.Optimizer}
    for name, cls in optim.OPTIMIZERS.items():
        made = optim.make_optimizer(name, [Parameter(np.zeros(2))], lr=0.25)
        assert type(made) is cls
        assert made.param_groups[0]["lr"] == 0.25
        assert name == cls.__name__.lower()


def test_schedules_by_name() -> None:
    optimizer = optim.make_optimizer("AdamW", [Parameter(np.zeros(2))])
    schedule = optim.make_schedule("Cosine", optimizer, T_max=5)
    assert isinstance(schedule, optim.CosineAnnealingLR)
    assert schedule.T_max == 5
    assert isinstance(optim.make_schedule("plateau", optimizer, patience=2), optim.ReduceLROnPlateau)


def test_unknown_names_and_options_are_answered_with_the_known() -> None:
    parameters = [Parameter(np.zeros(2))]
    with pytest.raises(
        ArgumentError,
        match=r"unknown optimizer 'adm', did you mean 'adam' .*; known are sgd, adam, adamw, adadelta, rmsprop",
    ):
        optim.make_optimizer("adm", parameters)
    with pytest.raises(ArgumentError, match="unknown optimizer None; known are sgd"):
        optim.make_optimizer(None, parameters)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentError, match=r"Adam: .*'momentum'; it takes lr, betas, eps, weight_decay, l1, l2"):
        optim.make_optimizer("adam", parameters, momentum=0.9)
    optimizer = optim.make_optimizer("sgd", parameters)
    with pytest.raises(
        ArgumentError, match=r"unknown schedule 'cosin', did you mean 'cosine'.*known are step, multistep"
    ):
        optim.make_schedule("cosin", optimizer)
    with pytest.raises(ArgumentError, match=r"StepLR: missing .*'step_size'; it takes step_size, gamma"):
        optim.make_schedule("step", optimizer)
