"""Groups of parameters: their options, what may be changed in them, what may not."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.optim.parameters import parameter, random_parameter
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, UnknownAttributeError
from tinygrad_mlp.nn import Parameter

ALL = [optim.SGD, optim.Adam, optim.AdamW, optim.Adadelta, optim.RMSprop, optim.Adagrad]


def test_groups_have_their_own_options_and_the_defaults() -> None:
    a, b, c = parameter(2, grad=1), parameter(2, grad=1), parameter(grad=1)
    optimizer = optim.SGD([{"params": [a, b], "lr": 0.5}, {"params": c, "weight_decay": 1.0}], lr=0.25)
    optimizer.step()
    np.testing.assert_array_equal(a.detach(), [0.5, 0.5])
    np.testing.assert_array_equal(b.detach(), [0.5, 0.5])
    assert c.item() == 1 - 0.25 * (1 + 1)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.25]
    assert optimizer.param_groups[0]["params"] == [a, b]
    assert "group 1: 1 parameters, lr=0.25" in repr(optimizer)


def test_a_generator_and_a_lone_tensor_will_do() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    assert len(optim.SGD(net.parameters()).param_groups[0]["params"]) == 4
    a = parameter(2, grad=1)
    optim.SGD(a, lr=1.0).step()
    np.testing.assert_array_equal(a.detach(), [0, 0])


@pytest.mark.parametrize("kind", ALL)
def test_a_group_added_later_leaves_the_state_of_the_others(kind: type[optim.Optimizer]) -> None:
    def run(late: bool) -> list[np.ndarray]:
        a, b = random_parameter(3, 2, seed=1), random_parameter(4, seed=2)
        group = {"params": [b], "lr": 0.01}
        optimizer = kind([{"params": [a]}] if late else [{"params": [a]}, group], lr=0.1)
        gradient, b.grad = b.grad, None
        optimizer.step()
        if late:
            optimizer.add_param_group(group)
        b.grad = gradient
        for _ in range(3):
            optimizer.step()
        return [a.array.copy(), b.array.copy()]

    for at_once, later in zip(run(late=False), run(late=True), strict=True):
        np.testing.assert_array_equal(at_once, later)


def test_a_bad_group_added_later_changes_nothing() -> None:
    a, b = parameter(2, grad=1), parameter(2, grad=1)
    optimizer = optim.SGD([a], lr=1.0)
    for params in ([b, a], [b, Tensor(np.arange(3))], []):
        with pytest.raises((ArgumentError, DtypeError)):
            optimizer.add_param_group({"params": params})
    with pytest.raises(ArgumentError, match="'params'"):
        optimizer.add_param_group([b])  # pyright: ignore[reportArgumentType]
    assert len(optimizer.param_groups) == 1
    optimizer.add_param_group({"params": b})
    optimizer.step()
    np.testing.assert_array_equal(b.detach(), [0, 0])


def more(group: dict[str, Any], extra: Parameter) -> None:
    group["params"] += [extra]


@pytest.mark.parametrize(
    "change",
    [
        lambda group, extra: group["params"].append(extra),
        lambda group, extra: group["params"].extend([extra]),
        lambda group, extra: group["params"].insert(0, extra),
        lambda group, extra: group["params"].__setitem__(0, extra),
        lambda group, extra: group["params"].pop(),
        lambda group, extra: group["params"].__delitem__(slice(1)),
        lambda group, extra: group["params"].clear(),
        more,
    ],
)
def test_the_parameters_of_a_group_cannot_be_changed_without_effect(change: Any) -> None:
    a, b = parameter(2, grad=1), parameter(2, grad=1)
    optimizer = optim.SGD([a, b], lr=1.0)
    with pytest.raises(ArgumentError, match=r"keeps the parameters that it was given, .*; add parameters by"):
        change(optimizer.param_groups[0], parameter(3, grad=1))
    assert optimizer.param_groups[0]["params"] == [a, b]
    optimizer.step()
    assert a.tolist() == b.tolist() == [0, 0]
    copied = copy.deepcopy(optimizer.param_groups)  # which is the user's
    copied[0]["params"].append(a)
    assert len(copied[0]["params"]) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda groups, extra: groups.append({**groups[0], "params": [extra]}),
        lambda groups, extra: groups[0].update(params=[*groups[0]["params"], extra]),
        lambda groups, extra: groups[0].pop("params"),
        lambda groups, extra: groups.__delitem__(1),
        lambda groups, extra: groups.reverse(),
        lambda groups, extra: groups.clear(),
    ],
)
@pytest.mark.parametrize("captured", [False, True])
def test_groups_changed_by_hand_are_an_error_at_the_next_step(change: Any, captured: bool) -> None:
    a, b, extra = parameter(2, grad=1), parameter(2, grad=1), parameter(3, grad=1)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=1.0)

    def plain_step() -> None:
        optimizer.step()

    step = tg.capture(plain_step) if captured else plain_step
    for _ in range(3):
        step()
    change(optimizer.param_groups, extra)
    for use in (step, optimizer.state_dict, lambda: optimizer.add_param_group({"params": extra})):
        with pytest.raises(
            ArgumentError, match=r"SGD: param_groups have other parameters than at first; .* make a new"
        ):
            use()
    assert a.tolist() == b.tolist() == [-2, -2]
    assert extra.tolist() == [1, 1, 1]


def test_a_group_may_be_another_dict_with_the_same_parameters() -> None:
    a = parameter(2, grad=1)
    optimizer = optim.SGD([a], lr=1.0)
    optimizer.param_groups[0] = {**optimizer.param_groups[0], "lr": 0.5}
    optimizer.step()
    assert a.tolist() == [0.5, 0.5]


def test_there_is_no_state_to_set() -> None:
    a = parameter(1, grad=1)
    optimizer = optim.SGD([a], lr=1.0, momentum=0.5)
    optimizer.step()
    assert not hasattr(optimizer, "state")
    with pytest.raises(UnknownAttributeError, match=r"SGD has no attribute 'state'.*load_state_dict\(\{\*\*optimizer"):
        optimizer.state = {}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": {}})
    optimizer.step()
    assert a.tolist() == [-1]


def test_groups_may_have_names_and_the_base_rates_of_schedules() -> None:
    """As `SGD(old.param_groups)` after a schedule, and `last_epoch=` with a base rate, give them."""
    a = parameter(1, grad=1)
    old = optim.SGD([{"params": [a], "name": "head", "lr": 1.0}])
    optim.StepLR(old, 1).step()
    optimizer = optim.SGD(old.param_groups)
    group = optimizer.param_groups[0]
    assert (group["name"], group["lr"], group["initial_lr"]) == ("head", 0.1, 1.0)
    assert "name=head" in repr(optimizer)
    assert optim.StepLR(optimizer, 2, last_epoch=0).get_last_lr() == [1.0]
    other = optim.SGD([a])
    other.load_state_dict(optimizer.state_dict())
    assert other.param_groups[0]["name"] == "head"
    with pytest.raises(ArgumentError, match="SGD: initial_lr=-1, expected"):
        optim.SGD([{"params": [a], "initial_lr": -1}])
    with pytest.raises(ArgumentError, match=r"unknown options \['nam'\]"):
        optim.SGD([{"params": [a], "nam": "head"}])
