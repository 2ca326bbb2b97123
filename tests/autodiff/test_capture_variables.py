"""`capture`: the variables that a step reads, in its module, around it, and in objects, are watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial, wraps
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.twins import bits
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import CaptureWarning, capture
from tinygrad_mlp.autodiff.tensor import Tensor

X = Tensor(np.arange(4, dtype=np.float32))
factor: Any = 1.0
unused = 0


@dataclass
class Options:
    factor: Any = 1.0
    inner: Any = field(default_factory=lambda: SimpleNamespace(factor=1.0))


class Experiment:
    """Its step reads `factor` in all the ways in which objects have values."""

    factor: Any = 1.0
    seen = 0

    def plain(self, x: Tensor) -> Tensor:
        return x * self.factor

    def by_method(self, x: Tensor) -> Tensor:
        return self._inner(x)

    def by_property(self, x: Tensor) -> Tensor:
        return x * self._doubled

    def _inner(self, x: Tensor) -> Tensor:
        return x * self.factor

    @property
    def _doubled(self) -> Any:
        return self.factor * 2

    @capture
    def step(self, x: Tensor) -> Tensor:
        return x * self.factor


def of_the_module(x: Tensor) -> Tensor:
    return x * factor


def by_a_helper(x: Tensor) -> Tensor:
    return of_the_module(x) + 1.0


@pytest.fixture(autouse=True)
def _factor() -> Iterator[None]:
    yield
    globals().update(factor=1.0, unused=0)
    Experiment.factor = 1.0


def set_factor(value: Any) -> None:
    globals()["factor"] = value


def around() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    held: Any = 1.0

    def put(value: Any) -> None:
        nonlocal held
        held = value

    return lambda x: x * held, put


def in_an_inner_function() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    held: Any = 1.0

    def put(value: Any) -> None:
        nonlocal held
        held = value

    def step(x: Tensor) -> Tensor:
        def scaled() -> Tensor:
            return x * held

        return scaled()

    return step, put


def in_an_object() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    options = Options()
    return lambda x: x * options.factor, lambda value: setattr(options, "factor", value)


def deep_in_an_object() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    options = Options()
    return lambda x: x * options.inner.factor, lambda value: setattr(options.inner, "factor", value)


def in_a_dict() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    options: dict[str, Any] = {"factor": 1.0}
    return lambda x: x * options["factor"], lambda value: options.update(factor=value)


def in_a_class() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    return lambda x: x * Experiment.factor, lambda value: setattr(Experiment, "factor", value)


def of_a_method(name: str) -> tuple[Callable[..., Any], Callable[[Any], None]]:
    experiment = Experiment()  # where the class has the first value, and the object the next ones
    return getattr(experiment, name), lambda value: setattr(experiment, "factor", value)


def of_a_partial() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    options = Options()
    return partial(lambda given, x: x * given.factor, options), lambda value: setattr(options, "factor", value)


def wrapped() -> tuple[Callable[..., Any], Callable[[Any], None]]:
    @tg.no_grad()
    def step(x: Tensor) -> Tensor:
        return x * factor

    @wraps(step)
    def outer(x: Tensor) -> Tensor:
        return step(x)

    return outer, set_factor


WAYS: dict[str, Callable[[], tuple[Callable[..., Any], Callable[[Any], None]]]] = {
    "of the module": lambda: (of_the_module, set_factor),
    "by a helper": lambda: (by_a_helper, set_factor),
    "around": around,
    "in an inner function": in_an_inner_function,
    "in an object": in_an_object,
    "deep in an object": deep_in_an_object,
    "in a dict": in_a_dict,
    "in a class": in_a_class,
    "of a method": lambda: of_a_method("plain"),
    "by another method": lambda: of_a_method("by_method"),
    "by a property": lambda: of_a_method("by_property"),
    "of a captured method": lambda: of_a_method("step"),
    "of a partial": of_a_partial,
    "wrapped": wrapped,
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("values", [(0.0, 0.25, 0.25, 1.0), (1, True, 1.0), (tg.ones(4), tg.zeros(4))])
def test_a_variable_that_changes_is_seen(way: Any, values: tuple[Any, ...]) -> None:
    step, put = way()
    eager = step.__wrapped__ if hasattr(step, "recordings") else step
    captured = step if hasattr(step, "recordings") else capture(step)
    for value in values:
        put(value)
        for _ in range(3):
            assert bits(captured(X)) == bits(eager(X))
    assert len(captured.recordings) == len({(type(value), id(value)) for value in values})


def test_an_argument_that_changes_inside_is_seen() -> None:
    options, captured = Options(), capture(lambda x, given: x * given["options"][0].factor)
    for value in (1.0, 2.0):
        options.factor = value
        for _ in range(3):
            assert captured(X, {"options": [options]}).tolist() == (X * value).tolist()
    assert len(captured.recordings) == 2


def test_a_net_and_an_optimizer_that_are_made_anew_are_the_ones_that_train() -> None:
    """As when a cell of a notebook runs again."""

    def step(x: Tensor) -> Tensor:
        optimizer.zero_grad()
        loss = net(x).square().sum()
        loss.backward()
        optimizer.step()
        return loss

    captured = capture(step)
    for _ in range(2):
        net = nn.Linear(4, 2)
        optimizer = optim.SGD(net.parameters(), lr=0.01)
        before = net.weight.array.copy()
        for _ in range(3):
            captured(X.reshape(1, 4))
        assert not np.array_equal(net.weight.array, before)
    assert len(captured.recordings) == 2


def test_variables_that_the_step_does_not_read_may_change() -> None:
    """Nor is an attribute of that name the variable, or a text the attribute."""
    options = SimpleNamespace(unused=2.0, other=0)
    captured = capture(lambda x: {"other": x * options.unused})
    for number in range(12):
        globals()["unused"] = number
        options.other = number
        captured(X)
    assert len(captured.recordings) == 1


def test_equal_plain_values_are_the_same() -> None:
    options = Options()
    captured = capture(lambda x: x * options.factor[0][1])
    for _ in range(5):
        options.factor = ((1, float("2.5")), "text")
        captured(X)
    assert len(captured.recordings) == 1


def test_a_step_that_changes_a_variable_stays_eager_and_names_it() -> None:
    experiment = Experiment()

    def step(x: Tensor) -> Tensor:
        experiment.seen += 1
        return x * 2.0

    captured = capture(step)
    with pytest.warns(CaptureWarning, match="it changes 'seen', which lies outside of it"):
        for _ in range(5):
            captured(X)
    assert experiment.seen == 5


def test_a_variable_that_is_always_another_is_named() -> None:
    step, put = in_an_object()
    captured = capture(step)
    with pytest.warns(CaptureWarning, match="recorded in 8 different ways; 'factor' has changed now"):
        for number in range(9):
            put(float(number))
            assert captured(X).tolist() == (X * float(number)).tolist()


def test_a_variable_that_is_gone_is_missed_as_eagerly() -> None:
    captured = capture(of_the_module)
    for _ in range(3):
        captured(X)
    del globals()["factor"]
    with pytest.raises(NameError):
        captured(X)


class Scaled(nn.Module):
    """Reads a variable of this module in `forward`, another in what that calls, and one in eval mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        output = self.scaled(self.linear(x))
        return output if self.training else output + offset

    def scaled(self, x: Tensor) -> Tensor:
        return x * factor


offset: Any = 0.0


@pytest.mark.parametrize(("name", "is_training"), [("factor", True), ("factor", False), ("offset", False)])
def test_what_the_forward_of_a_net_reads(name: str, is_training: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tg.manual_seed(0)
    net = nn.Sequential(Scaled(), nn.ReLU()).train(is_training)
    step = capture(net.forward)
    for value in (1.0, 1.0, 1.0, 2.5, 2.5, 2.5, 1.0):
        monkeypatch.setitem(globals(), name, value)
        assert bits(step(X)) == bits(net(X))
    assert len(step.recordings) == 2


def test_what_the_forward_of_a_net_does_not_read_is_not_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(Scaled(), nn.ReLU())
    step = capture(net.forward)
    for value in range(6):
        monkeypatch.setitem(globals(), "unused", value)
        step(X)
    assert len(step.recordings) == 1


def counting(x: Tensor) -> Tensor:
    globals()["unused"] = unused + 1
    return x * 2


class Counting(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return counting(x)


def test_a_forward_that_counts_stays_as_it_is() -> None:
    step = capture(Counting())
    with pytest.warns(CaptureWarning, match="'unused' has changed"):
        for calls in range(1, 30):
            before = unused
            step(X)
            assert unused - before >= 1, calls
    assert step.stays_eager
