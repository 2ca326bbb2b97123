"""Schedules: who owns the learning rate, state dicts, composition, errors. Their values: `test_reference.py`."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest

from tests.optim import problem
from tinygrad_mlp import optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CheckpointError
from tinygrad_mlp.nn import Parameter


def sgd(*rates: float, **options: Any) -> optim.SGD:
    return optim.SGD([{"params": [Parameter(np.zeros(1))], "lr": rate} for rate in rates or (1.0,)], **options)


def settings(optimizer: optim.Optimizer) -> list[Any]:
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


# Steps


def test_training_follows_the_schedule() -> None:
    optimizer = sgd(1.0)
    schedule = optim.StepLR(optimizer, step_size=2, gamma=0.5)
    w = optimizer.param_groups[0]["params"][0]
    for _ in range(5):
        w.grad = Tensor(np.ones(1))
        optimizer.step()
        schedule.step()
    assert w.item() == -(1 + 1 + 0.5 + 0.5 + 0.25)
    assert schedule.get_last_lr() == [0.25]
    assert schedule.last_epoch == 5


def test_a_step_before_the_optimizers_first_is_fine() -> None:
    schedule = optim.ExponentialLR(sgd(1.0), 0.5)
    schedule.step()
    assert schedule.get_last_lr() == [0.5]


def test_base_rates_are_those_of_the_first_schedule() -> None:
    optimizer = sgd(1.0, 0.5)
    optim.LinearLR(optimizer, start_factor=0.5)
    second = optim.ExponentialLR(optimizer, 0.5)
    assert second.base_lrs == [1.0, 0.5]
    assert second.get_last_lr() == [1.0, 0.5]


FRESH: dict[str, tuple[Any, float]] = {  # a new schedule, and what part of the learning rate it begins with
    "StepLR": (lambda optimizer: optim.StepLR(optimizer, 10), 1.0),
    "MultiStepLR": (lambda optimizer: optim.MultiStepLR(optimizer, [10]), 1.0),
    "ExponentialLR": (lambda optimizer: optim.ExponentialLR(optimizer, 0.5), 1.0),
    "CosineAnnealingLR": (lambda optimizer: optim.CosineAnnealingLR(optimizer, T_max=20), 1.0),
    "LinearLR": (lambda optimizer: optim.LinearLR(optimizer, start_factor=0.5), 0.5),
    "ConstantLR": (lambda optimizer: optim.ConstantLR(optimizer, factor=0.25), 0.25),
    "LambdaLR": (lambda optimizer: optim.LambdaLR(optimizer, lambda step: 0.75), 0.75),
}


@pytest.mark.parametrize("load", ["nothing", "before", "after"])
@pytest.mark.parametrize("name", FRESH)
def test_a_new_schedule_keeps_a_rate_that_was_set_since_the_last_one(name: str, load: str) -> None:
    """By hand, also before or after a state dict is saved and loaded."""
    make, part = FRESH[name]
    optimizer = sgd(0.1, 0.2)
    optim.StepLR(optimizer, 10)
    if load == "after":
        optimizer.param_groups[0]["lr"] = 0.001
    if load != "nothing":
        state = json.loads(json.dumps(optimizer.state_dict()))
        optimizer = sgd(0.7, 0.7)
        optimizer.load_state_dict(state)
    if load != "after":
        optimizer.param_groups[0]["lr"] = 0.001
    schedule = make(optimizer)
    assert schedule.base_lrs == [0.001, 0.2]
    assert schedule.get_last_lr() == [0.001 * part, 0.2 * part]
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.001, 0.2]
    schedule.step()  # which raises for a rate that it has not set


def test_a_rate_that_the_metric_lowered_is_kept_too() -> None:
    optimizer = sgd(1.0)
    optim.LinearLR(optimizer, start_factor=1.0)
    plateau = optim.ReduceLROnPlateau(optimizer, patience=0)
    for metric in (1.0, 2.0):
        plateau.step(metric)
    assert optim.CosineAnnealingLR(optimizer, T_max=20).get_last_lr() == [0.1]


def test_one_cycle_has_base_rates_of_its_own() -> None:
    optimizer = sgd(1.0, momentum=0.9)
    optim.StepLR(optimizer, 10)
    optimizer.param_groups[0]["lr"] = 0.25
    assert optim.OneCycleLR(optimizer, max_lr=0.5, total_steps=10).base_lrs == [0.5 / 25]
    assert optimizer.param_groups[0]["initial_lr"] == 0.5 / 25


def test_a_loaded_optimizer_gives_a_new_schedule_the_base_rates_of_the_saved_one() -> None:
    optimizer, other = sgd(1.0), sgd(0.5)
    first = optim.ExponentialLR(optimizer, 0.5)
    first.step()
    other.load_state_dict(optimizer.state_dict())
    for each in (optimizer, other):
        assert optim.StepLR(each, 10).base_lrs == [1.0]


def test_last_epoch_goes_on_without_a_state_dict() -> None:
    optimizer = sgd(1.0)
    with pytest.raises(ArgumentError, match="last_epoch=4, but group 0 has no 'initial_lr'"):
        optim.ExponentialLR(optimizer, 0.5, last_epoch=4)
    optimizer.param_groups[0]["initial_lr"] = 1.0
    schedule = optim.ExponentialLR(optimizer, 0.5, last_epoch=4)
    assert schedule.last_epoch == 5
    assert schedule.get_last_lr() == [0.5**5]


def test_a_rate_changed_by_something_else_is_an_error() -> None:
    optimizer = sgd(1.0)
    schedule = optim.StepLR(optimizer, 10)
    optimizer.param_groups[0]["lr"] = 0.5
    with pytest.raises(ArgumentError, match=r"StepLR: the learning rate was set to \[0.5\] since .* to \[1.0\]"):
        schedule.step()
    assert schedule.last_epoch == 0
    assert optimizer.param_groups[0]["lr"] == 0.5
    optimizer.param_groups[0]["lr"] = 1.0
    schedule.base_lrs = [0.5]
    schedule.step()
    assert schedule.get_last_lr() == [0.5]


def test_two_schedules_on_one_optimizer_do_not_silently_overwrite_each_other() -> None:
    optimizer = sgd(1.0)
    first, second = optim.ExponentialLR(optimizer, 0.9), optim.MultiStepLR(optimizer, [20])
    first.step()
    with pytest.raises(ArgumentError, match="ChainedScheduler"):
        second.step()


def test_a_group_added_later_must_be_told_to_the_schedule() -> None:
    optimizer = sgd(1.0)
    schedule = optim.ExponentialLR(optimizer, 0.5)
    optimizer.add_param_group({"params": Parameter(np.zeros(1)), "lr": 0.25})
    with pytest.raises(ArgumentError, match="has 2 groups, this schedule knows 1"):
        schedule.step()
    schedule.base_lrs.append(0.25)
    schedule.step()
    assert schedule.get_last_lr() == [0.5, 0.125]


def test_one_cycle_ends_with_total_steps() -> None:
    optimizer = sgd(1.0, momentum=0.9)
    schedule = optim.OneCycleLR(optimizer, max_lr=0.5, total_steps=10)
    for _ in range(10):  # PyTorch allows one step more than the batches need
        schedule.step()
    before = settings(optimizer)
    with pytest.raises(ArgumentError, match="step 11 of a schedule of 10; total_steps is the number of batches"):
        schedule.step()
    assert schedule.last_epoch == 10
    assert settings(optimizer) == before


@pytest.mark.parametrize("three_phase", [False, True])
@pytest.mark.parametrize("pct_start", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("total_steps", [1, 2, 10])
def test_one_cycle_stays_between_its_ends(total_steps: int, pct_start: float, three_phase: bool) -> None:
    """Also where a phase has no length."""
    optimizer = sgd(momentum=0.9)
    schedule = optim.OneCycleLR(optimizer, 0.5, total_steps, pct_start=pct_start, three_phase=three_phase)
    for step in range(total_steps):
        lr, momentum = settings(optimizer)[0]
        assert 0.5 / 25 / 1e4 * 0.999 <= lr <= 0.5 * 1.001
        assert 0.85 * 0.999 <= momentum <= 0.95 * 1.001
        if step < total_steps - 1:
            schedule.step()


# State dicts


@pytest.mark.parametrize("name", [*problem.SCHEDULES, *problem.PLATEAUS])
def test_a_schedule_goes_on_from_its_state(name: str) -> None:
    """Through JSON, at every phase of the schedules, into an optimizer with other rates."""
    case = (problem.SCHEDULES | problem.PLATEAUS)[name]

    def step(schedule: Any, number: int) -> None:
        schedule.step(*([problem.metric(number)] if name in problem.PLATEAUS else []))

    for stop in (0, 5, 35, 97):
        optimizer, other = (sgd(*rates, momentum=0.9) for rates in (problem.GROUP_RATES, problem.GROUP_RATES[::-1]))
        schedule, resumed = case(optim, optimizer), case(optim, other)
        for number in range(stop):
            step(schedule, number)
        resumed.load_state_dict(json.loads(json.dumps(schedule.state_dict(), allow_nan=False)))
        for number in range(stop, 100):
            assert settings(other) == settings(optimizer)
            step(schedule, number)
            step(resumed, number)
        assert resumed.state_dict() == schedule.state_dict()


@pytest.mark.parametrize("optimizer_first", [True, False])
def test_optimizer_and_schedule_are_loaded_in_any_order(optimizer_first: bool) -> None:
    optimizer = sgd(1.0)
    schedule = optim.CosineAnnealingLR(optimizer, 10)
    for _ in range(3):
        schedule.step()
    other = sgd(0.5)
    resumed = optim.CosineAnnealingLR(other, 10)
    loads = [
        lambda: other.load_state_dict(optimizer.state_dict()),
        lambda: resumed.load_state_dict(schedule.state_dict()),
    ]
    for load in loads if optimizer_first else loads[::-1]:
        load()
    schedule.step()
    resumed.step()
    assert resumed.get_last_lr() == schedule.get_last_lr()


def test_the_state_of_another_schedule_changes_nothing() -> None:
    optimizer = sgd(1.0)
    linear = optim.LinearLR(optimizer)
    schedule = optim.SequentialLR(optimizer, [linear, optim.StepLR(optimizer, 2)], [3])
    schedule.step()
    states: list[Any] = [
        optim.StepLR(sgd(1.0), 2).state_dict(),
        {"last_epoch": 3},
        {**schedule.state_dict(), "base_lrs": [1.0, 2.0]},
        {**schedule.state_dict(), "last_epoch": 2, "members": [linear.state_dict()]},
        {**schedule.state_dict(), "last_epoch": 2, "members": [linear.state_dict()] * 2},
    ]
    before = schedule.state_dict()
    for state in states:
        with pytest.raises(CheckpointError, match="expected"):
            schedule.load_state_dict(state)
    assert schedule.state_dict() == before
    plateau = optim.ReduceLROnPlateau(sgd(1.0))
    for state in ({"last_epoch": 3}, optim.ReduceLROnPlateau(sgd(1.0, 1.0)).state_dict()):
        with pytest.raises(CheckpointError, match="ReduceLROnPlateau: got the state"):
            plateau.load_state_dict(state)


# Composition


def test_sequential_counts_each_schedule_from_its_own_zero() -> None:
    optimizer = sgd(8.0)
    warm_up = optim.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    halving = optim.ExponentialLR(optimizer, 0.5)
    schedule = optim.SequentialLR(optimizer, [warm_up, halving], milestones=[3])
    seen = [schedule.get_last_lr()[0]]
    for _ in range(5):
        schedule.step()
        seen += schedule.get_last_lr()
    np.testing.assert_allclose(seen, [2, 4, 6, 8, 4, 2], rtol=1e-15)


def test_chained_schedules_multiply_and_may_hold_sequences() -> None:
    optimizer = sgd(8.0, momentum=0.9)
    members = [optim.StepLR(optimizer, 2, 0.5), optim.ConstantLR(optimizer, 0.25, total_iters=1)]
    sequence = optim.SequentialLR(optimizer, members, milestones=[4])
    schedule = optim.ChainedScheduler([sequence, optim.ExponentialLR(optimizer, 0.5)], optimizer)
    expected = [8, 8 / 2, 4 / 4, 4 / 8, 2 / 16, 8 / 32, 8 / 64]
    for rate in expected:
        assert schedule.get_last_lr() == [rate]
        schedule.step()


def test_a_member_is_not_stepped_by_itself() -> None:
    optimizer = sgd(1.0)
    member = optim.StepLR(optimizer, 1, 0.5)
    schedule = optim.ChainedScheduler([member, optim.ExponentialLR(optimizer, 0.5)])
    schedule.step()
    with pytest.raises(ArgumentError, match="StepLR: the learning rate was set"):
        member.step()


# Errors


def test_a_schedule_without_formula_says_so() -> None:
    with pytest.raises(NotImplementedError, match="LRScheduler has no rate"):
        optim.LRScheduler(sgd())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda o: optim.StepLR(o, 0), "StepLR: step_size=0, expected a whole number of at least 1"),
        (lambda o: optim.StepLR(o, -3), "step_size=-3"),
        (lambda o: optim.StepLR(o, 2.5), "step_size=2.5"),
        (lambda o: optim.StepLR(o, True), "step_size=True"),
        (lambda o: optim.StepLR(o, 2, gamma=-0.1), "gamma=-0.1"),
        (lambda o: optim.StepLR(o, 2, last_epoch=-2), "last_epoch=-2"),
        (lambda o: optim.MultiStepLR(o, [5, -1]), "milestones=-1"),
        (lambda o: optim.MultiStepLR(o, [5], gamma=math.nan), "gamma=nan"),
        (lambda o: optim.ExponentialLR(o, "0.9"), "gamma='0.9'"),
        (lambda o: optim.CosineAnnealingLR(o, 0), "T_max=0"),
        (lambda o: optim.CosineAnnealingLR(o, 5, eta_min=-1.0), "eta_min=-1.0"),
        (lambda o: optim.LinearLR(o, start_factor=1.5), r"start_factor=1.5, expected a finite number in \[0, 1\]"),
        (lambda o: optim.LinearLR(o, end_factor=-0.5), "end_factor=-0.5"),
        (lambda o: optim.LinearLR(o, total_iters=0), "total_iters=0"),
        (lambda o: optim.ConstantLR(o, factor=2), "factor=2"),
        (lambda o: optim.ConstantLR(o, total_iters=-1), "total_iters=-1"),
        (lambda o: optim.LambdaLR(o, [abs, abs]), "2 functions for 1 parameter groups"),
        (lambda o: optim.OneCycleLR(o, 0.1), "give total_steps, or epochs and steps_per_epoch"),
        (lambda o: optim.OneCycleLR(o, 0.1, epochs=5), "give total_steps"),
        (lambda o: optim.OneCycleLR(o, 0.1, epochs=5, steps_per_epoch=0), "steps_per_epoch=0"),
        (lambda o: optim.OneCycleLR(o, 0.1, -5), "total_steps=-5"),
        (lambda o: optim.OneCycleLR(o, -0.1, 5), "max_lr=-0.1"),
        (lambda o: optim.OneCycleLR(o, [0.1, 0.2], 5), "2 values of max_lr for 1 parameter groups"),
        (lambda o: optim.OneCycleLR(o, 0.1, 5, pct_start=1.2), "pct_start=1.2"),
        (lambda o: optim.OneCycleLR(o, 0.1, 5, anneal_strategy="cosine"), r"expected one of \['cos', 'linear'\]"),
        (lambda o: optim.OneCycleLR(o, 0.1, 5, div_factor=0), "div_factor=0, expected a number above 0"),
        (lambda o: optim.OneCycleLR(o, 0.1, 5, final_div_factor=-1), "final_div_factor=-1"),
        (lambda o: optim.OneCycleLR(o, 0.1, 5, max_momentum=1.0), "max_momentum=1.0"),
        (lambda o: optim.OneCycleLR(o, 0.1, 5, three_phase="yes"), "three_phase='yes'"),
        (lambda o: optim.SequentialLR(o, [], []), "0 schedules and 0 milestones"),
        (lambda o: optim.SequentialLR(o, [optim.LinearLR(o)], [5]), "1 schedules and 1 milestones"),
        (lambda o: optim.SequentialLR(o, [optim.LinearLR(o)] * 3, [5, 5]), "expected increasing numbers"),
        (lambda o: optim.SequentialLR(o, [optim.LinearLR(o)] * 3, [5, 2]), "expected increasing numbers"),
        (lambda o: optim.SequentialLR(o, [optim.LinearLR(sgd())], []), "belong to different optimizers"),
        (lambda o: optim.SequentialLR(o, [optim.ReduceLROnPlateau(o)], []), "ReduceLROnPlateau is no function"),
        (lambda o: optim.ChainedScheduler([]), "ChainedScheduler: got no schedules"),
        (lambda o: optim.ChainedScheduler([optim.LinearLR(o)], sgd()), "belong to different optimizers"),
        (lambda o: optim.ReduceLROnPlateau(o, "smallest"), "mode='smallest', expected 'min' or 'max'"),
        (lambda o: optim.ReduceLROnPlateau(o, threshold_mode="relative"), "threshold_mode='relative'"),
        (lambda o: optim.ReduceLROnPlateau(o, factor=1.0), r"factor=1.0, expected a finite number in \[0, 1\)"),
        (lambda o: optim.ReduceLROnPlateau(o, patience=-1), "patience=-1"),
        (lambda o: optim.ReduceLROnPlateau(o, cooldown=-1), "cooldown=-1"),
        (lambda o: optim.ReduceLROnPlateau(o, threshold=-1), "threshold=-1"),
        (lambda o: optim.ReduceLROnPlateau(o, min_lr=-1), "min_lr=-1"),
        (lambda o: optim.ReduceLROnPlateau(o, min_lr=[0.1, 0.1]), "2 values of min_lr for 1 parameter groups"),
        (lambda o: optim.ReduceLROnPlateau(o, eps=-1), "eps=-1"),
    ],
)
def test_impossible_settings_change_nothing(make: Any, message: str) -> None:
    optimizer = sgd(1.0)
    with pytest.raises(ArgumentError, match=message):
        make(optimizer)
    assert optimizer.param_groups[0]["momentum"] == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda net: optim.StepLR(net, 2),
        lambda net: optim.LambdaLR(net, abs),
        lambda net: optim.OneCycleLR(net, 0.1, 5),
        optim.ReduceLROnPlateau,
    ],
)
def test_what_is_no_optimizer(make: Any) -> None:
    with pytest.raises(ArgumentError, match="got a Parameter, expected an optimizer"):
        make(Parameter(np.zeros(1)))


def test_there_must_be_a_momentum_to_cycle() -> None:
    optimizer = optim.Adagrad([Parameter(np.zeros(1))])
    with pytest.raises(ArgumentError, match="Adagrad has no momentum to cycle; pass cycle_momentum=False"):
        optim.OneCycleLR(optimizer, 0.1, 5)
    assert "initial_lr" not in optimizer.param_groups[0]
    optim.OneCycleLR(optimizer, 0.1, 5, cycle_momentum=False)


def test_a_lambda_that_gives_no_rate_stops_the_optimizer() -> None:
    optimizer = sgd(1.0)
    schedule = optim.LambdaLR(optimizer, lambda step: 1.0 - step)
    w = optimizer.param_groups[0]["params"][0]
    w.grad = Tensor(np.ones(1))
    schedule.step()
    schedule.step()
    with pytest.raises(ArgumentError, match=r"SGD\.step: lr=-1.0"):
        optimizer.step()
    assert w.item() == 0


def test_plateau_waits_counts_and_takes_a_tensor() -> None:
    optimizer = sgd(1.0)
    schedule = optim.ReduceLROnPlateau(optimizer, factor=0.5, patience=1, min_lr=0.2)
    seen: list[float] = []
    for metric in (math.inf, 1.0, 1.0, math.nan, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5):
        schedule.step(Tensor(np.array(metric)))
        seen += schedule.get_last_lr()
    # inf is bad, 1 is best, two bad ones halve; 0.5 is best, and every second bad one halves, down to 0.2
    assert seen == [1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2]
    assert schedule.best == 0.5
