"""`capture`: tensors that a step makes and keeps, which a replay would not; and weights that get other memory."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.twins import bits
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.capture import CaptureWarning, capture
from tinygrad_mlp.autodiff.tensor import Tensor


class Meter:
    """Means by hand: a total that is made anew at each step, deep enough for nobody to watch it."""

    def __init__(self) -> None:
        self.parts = [SimpleNamespace(total=Tensor(np.zeros(3, np.float32)), seen=list[Tensor]())]

    def rebind(self, x: Tensor) -> None:
        self.parts[0].total = self.parts[0].total * 0.9 + x * 0.1

    def detach(self, x: Tensor) -> None:
        self.parts[0].total = (x * 2.0).detach()

    def append(self, x: Tensor) -> None:
        self.parts[0].seen.append(x * 2.0)

    def write(self, x: Tensor) -> None:
        with tg.no_grad():
            self.parts[0].total.mul_(0.9).add_(x * 0.1)

    def look(self, _: Tensor) -> None:
        self.parts[0].seen[:] = [self.parts[0].total.detach()]


@pytest.mark.parametrize("way", ["rebind", "detach", "append"])
def test_a_step_that_keeps_a_tensor_it_made_stays_eager(way: str) -> None:
    eager, other = Meter(), Meter()

    def step_of(meter: Meter) -> Callable[..., Any]:
        def step(x: Tensor) -> Tensor:
            y = x + 1.0
            getattr(meter, way)(y)
            return y

        return step

    step, captured = step_of(eager), capture(step_of(other))
    with pytest.warns(CaptureWarning, match="it keeps a tensor that it made; return it, or write it under no_grad"):
        for number in range(5):
            x = Tensor(np.full(3, number, np.float32))
            assert bits(captured(x)) == bits(step(x))
            assert bits(vars(other.parts[0])) == bits(vars(eager.parts[0]))


def test_a_result_that_the_step_keeps_is_its_own() -> None:
    kept: list[Tensor] = []

    def step(x: Tensor) -> Tensor:
        kept.append(x * 2.0)
        return kept[-1]

    captured = capture(step)
    with pytest.warns(CaptureWarning, match="it keeps a tensor that it made"):
        results = [captured(Tensor(np.full(2, number))) for number in range(3)]
    assert [one.tolist() for one in kept] == [one.tolist() for one in results] == [[0.0] * 2, [2.0] * 2, [4.0] * 2]


@pytest.mark.parametrize("way", ["write", "look"])
def test_a_step_may_keep_what_it_writes_in_place_and_views_of_what_was_there(way: str) -> None:
    eager, other = Meter(), Meter()
    captured = capture(getattr(other, way))
    for number in range(6):
        x = Tensor(np.full(3, number, np.float32))
        captured(x)
        getattr(eager, way)(x)
        assert bits(other.parts[0].total) == bits(eager.parts[0].total)
    assert len(captured.recordings) == 1


class Lazy(nn.Module):
    """Makes a constant at its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.scale: Any = None
        self.scales: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        if self.scale is None:
            self.scale = self.scales["twice"] = tg.ones(3) * 2.0
            self.scales["thrice"] = tg.ones(3) * 3.0
        return x * self.scale * self.scales["thrice"]


def test_a_module_may_keep_a_tensor_that_its_first_call_makes() -> None:
    net = Lazy()
    captured = capture(net)
    for number in range(5):
        assert captured(Tensor(np.full(3, number, np.float32))).tolist() == [6.0 * number] * 3
    assert len(captured.recordings) == 1


# Weights by `.data`


def test_weights_that_get_new_numbers_by_data_are_trained() -> None:
    def make() -> tuple[Tensor, Callable[..., Any]]:
        weight = tg.ones(3, requires_grad=True)

        def step(x: Tensor) -> Tensor:
            weight.grad = None
            loss = (weight * x).square().sum()
            loss.backward()
            weight.data -= weight.grad * 0.1
            return loss

        return weight, step

    (ours, step), (theirs, twin) = make(), make()
    captured = capture(twin)
    for number in range(6):
        x = Tensor(np.full(3, 0.1 * number, np.float32))
        assert bits(captured(x)) == bits(step(x))
        assert bits(theirs) == bits(ours)
    assert len(captured.recordings) == 2  # the first call found no gradient


def test_memory_that_was_there_before_given_by_data_stays_eager() -> None:
    """As an eager step leaves it: both tensors are then one."""
    weight, other = tg.ones(3), tg.zeros(3)

    def step(x: Tensor) -> Tensor:
        weight.data = other
        return weight * x

    captured = capture(step)
    with pytest.warns(CaptureWarning, match="it gives a tensor other memory, by `.data =`"):
        for number in range(3):
            other.fill_(number)
            assert captured(tg.ones(3)).tolist() == [number] * 3
    assert weight.array is other.array
