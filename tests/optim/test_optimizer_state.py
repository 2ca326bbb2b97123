"""State dicts of optimizers: going on from one is going on bit for bit, and what does not fit changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.optim import problem
from tinygrad_mlp import optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import CheckpointError
from tinygrad_mlp.nn import Parameter


def run(optimizer: optim.Optimizer, parameters: list[Parameter], steps: range) -> list[np.ndarray]:
    for step in steps:
        gradients = problem.gradients([parameter.detach().array for parameter in parameters])
        for position, (parameter, gradient) in enumerate(zip(parameters, gradients, strict=True)):
            parameter.grad = Tensor(np.asarray(gradient)) if problem.has_gradient(position, step) else None
        optimizer.step()
    return [parameter.array.copy() for parameter in parameters]


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    """As a checkpoint may keep it: arrays apart, the rest as JSON, whose keys are text and whose tuples are lists."""
    arrays: dict[str, np.ndarray] = {}

    def out(value: Any) -> Any:
        arrays[str(len(arrays))] = np.ascontiguousarray(value).reshape(value.shape)
        return {"array": str(len(arrays) - 1)}

    text = json.dumps(state, default=out)
    return json.loads(text, object_hook=lambda d: arrays[d["array"]] if set(d) == {"array"} else d)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", problem.OPTIMIZERS)
def test_going_on_from_a_state_dict_gives_the_same_bits(name: str, dtype: Any) -> None:
    make = problem.OPTIMIZERS[name]
    parameters = [Parameter(value) for value in problem.start(dtype)]
    optimizer = make(optim, parameters)
    run(optimizer, parameters, range(11))
    state = optimizer.state_dict()
    weights = [parameter.array.copy() for parameter in parameters]
    expected = run(optimizer, parameters, range(11, 22))
    again = [Parameter(value) for value in weights]
    resumed = make(optim, again)
    resumed.load_state_dict(through_json(state))
    for actual, wanted in zip(run(resumed, again, range(11, 22)), expected, strict=True):
        np.testing.assert_array_equal(actual, wanted)
    np.testing.assert_equal(resumed.state_dict(), optimizer.state_dict())


def test_a_state_dict_has_pytorchs_layout_and_is_a_copy() -> None:
    a, b, c = Parameter(np.ones((2, 3)).T), Parameter(np.ones(2)), Parameter(np.ones(1))
    optimizer = optim.Adam([{"params": [a, b], "lr": 0.5}, {"params": [c]}])
    a.grad = Tensor(np.full((3, 2), 2.0))
    optimizer.step()
    state = optimizer.state_dict()
    assert set(state["state"]) == {0}
    np.testing.assert_allclose(state["state"][0]["exp_avg"], np.full((3, 2), 0.2), rtol=1e-14)
    assert state["state"][0]["step"] == 1
    assert [group["params"] for group in state["param_groups"]] == [[0, 1], [2]]
    assert [group["lr"] for group in state["param_groups"]] == [0.5, 1e-3]
    state["state"][0]["exp_avg"][:] = 7
    state["param_groups"][0]["lr"] = 7
    np.testing.assert_allclose(optimizer.state_dict()["state"][0]["exp_avg"], np.full((3, 2), 0.2), rtol=1e-14)
    assert optimizer.param_groups[0]["lr"] == 0.5


def test_loading_resets_what_the_state_lacks_and_takes_the_options() -> None:
    a = Parameter(np.zeros(1))
    fresh = optim.SGD([a], lr=0.25, momentum=0.5)
    state = fresh.state_dict()
    optimizer = optim.SGD([a], lr=1.0, momentum=0.9)
    for _ in range(2):
        a.grad = Tensor(np.ones(1))
        optimizer.step()
    optimizer.load_state_dict(state)
    a.data = Tensor(np.zeros(1))
    optimizer.step()
    optimizer.step()
    assert a.item() == -0.25 * (1 + 1.5)


def test_loading_unequal_step_counts_parts_parameters_that_were_updated_as_one() -> None:
    """Adam corrects its moments by each parameter's own number of steps: 4 and 1."""
    a, b = Parameter(np.zeros(1)), Parameter(np.zeros(1))
    source = optim.Adam([a, b], lr=1.0, betas=(0.0, 0.5), eps=0.0)
    for gradient in (4.0, 4.0, 4.0):
        a.grad = Tensor(np.full(1, gradient))
        source.step()
    other = [Parameter(np.zeros(1)), Parameter(np.zeros(1))]
    optimizer = optim.Adam(other, lr=1.0, betas=(0.0, 0.5), eps=0.0)
    for parameter in other:
        parameter.grad = Tensor(np.ones(1))
    optimizer.step()
    optimizer.load_state_dict(source.state_dict())
    optimizer.step()
    second_moment = (16 * (1 / 4 + 1 / 8 + 1 / 16) + 1 / 2) / (1 - 1 / 16)
    np.testing.assert_allclose(other[0].item(), -1 - 1 / np.sqrt(second_moment), rtol=1e-14)
    np.testing.assert_allclose(other[1].item(), -2, rtol=1e-14)


def pair() -> list[Parameter]:
    return [Parameter(np.ones((2, 3), np.float32)), Parameter(np.ones(3, np.float32))]


def stepped(optimizer: optim.Optimizer) -> optim.Optimizer:
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad = Tensor(np.ones_like(parameter.array))
    optimizer.step()
    return optimizer


def spoil(path: list[Any], value: Any) -> dict[str, Any]:
    """A good state of an Adam with one entry replaced (or, by None, removed)."""
    state = stepped(optim.Adam(pair())).state_dict()
    place: Any = state
    for key in path[:-1]:
        place = place[key]
    if value is None:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return state


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: stepped(optim.SGD(pair(), momentum=0.9)).state_dict(), "another optimizer"),
        (lambda: stepped(optim.Adam(pair()[:1])).state_dict(), r"groups of \[1\] parameters .* into groups of \[2\]"),
        (lambda: stepped(optim.Adam([{"params": [p]} for p in pair()])).state_dict(), r"groups of \[1, 1\]"),
        (lambda: stepped(optim.Adam(pair()[::-1])).state_dict(), r"of weight has shape \(3,\), expected \(2, 3\)"),
        (lambda: {"state": {}}, r"this one \['state'\]"),
        (lambda: spoil(["state", 0, "exp_avg"], None), r"state of parameter 0 is \['exp_avg_sq', 'step'\], expected"),
        (lambda: spoil(["state", 0, "exp_avg"], np.ones(3)), r"exp_avg of weight has shape \(3,\), expected \(2, 3\)"),
        (lambda: spoil(["state", 5], {"exp_avg": 0, "exp_avg_sq": 0, "step": 1}), "parameter 5"),
        (lambda: spoil(["param_groups", 0, "lr"], None), "do not fit"),
        (lambda: spoil(["param_groups", 0, "lr"], -1.0), "impossible: Adam: lr=-1.0"),
        (lambda: spoil(["param_groups", 0, "momentum"], 0.9), "do not fit"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(make: Callable[[], dict[str, Any]], message: str) -> None:
    weight, bias = pair()
    optimizer = stepped(optim.Adam([("weight", weight), ("bias", bias)], lr=0.5))
    before = optimizer.state_dict()
    with pytest.raises(CheckpointError, match=message):
        optimizer.load_state_dict(make())
    np.testing.assert_equal(optimizer.state_dict(), before)


def test_a_state_loads_with_and_without_a_schedule() -> None:
    """A schedule keeps each group's `initial_lr` in the group."""
    first, second = optim.Adam(pair(), lr=0.5), optim.Adam(pair())
    optim.LinearLR(first, start_factor=0.5)
    second.load_state_dict(first.state_dict())
    assert second.param_groups[0]["lr"] == 0.25
    assert second.param_groups[0]["initial_lr"] == 0.5
    first.load_state_dict(optim.Adam(pair(), lr=1.0).state_dict())
    assert first.param_groups[0]["lr"] == 1.0
