"""Pairs of trainings that begin alike, for the tests of `capture`: one goes on eagerly, its twin by replays.

All that a training is lies in `state`: weights, buffers, the optimizer's state, schedule, moving average, generator,
gradients. Two trainings are equal if every bit of it is.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import tinygrad_mlp as tg
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import Captured, capture
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.nn import functional as F


@dataclass
class Training:
    """A net and what trains it; every random number comes from a generator of its own, so that twins do not mix."""

    net: Any
    optimizer: Any
    generator: tg.Generator
    step: Callable[..., Any] = field(init=False)
    schedule: Any = None
    average: Any = None

    def state(self) -> dict[str, Any]:
        """Copies of everything, as bytes where it is an array."""
        found: dict[str, Any] = {name: tensor.array.tobytes() for name, tensor in self.net.state_dict().items()}
        for position, entry in self.optimizer.state_dict()["state"].items():
            found.update({f"{position}.{name}": np.asarray(value).tobytes() for name, value in entry.items()})
        for index, group in enumerate(self.optimizer.param_groups):
            found[f"group {index}"] = {name: value for name, value in group.items() if name != "params"}
        for name, parameter in self.net.named_parameters():
            found[f"gradient of {name}"] = None if parameter.grad is None else parameter.grad.array.tobytes()
        found["generator"] = self.generator.get_state().tobytes()
        if self.schedule is not None:
            found["schedule"] = self.schedule.state_dict()
        if self.average is not None:
            state = self.average.state_dict()
            found["average"] = state["updates"], {name: value.tobytes() for name, value in state["average"].items()}
        return found


def plain_step(training: Training) -> Callable[..., Any]:
    """The usual one: forget the gradients, loss, backward, step. Gives the loss."""

    def step(x: Tensor, y: Tensor) -> Tensor:
        training.optimizer.zero_grad()
        loss = F.cross_entropy(training.net(x), y)
        loss.backward()
        training.optimizer.step()
        return loss

    return step


def mlp(momentum: float = 0.9) -> Training:
    """Two layers with dropout and batch norm between them, so that generator and running statistics go along."""
    tg.manual_seed(3)
    generator = tg.Generator(7)
    net = nn.Sequential(
        nn.Linear(12, 20), nn.BatchNorm1d(20), nn.Tanh(), nn.Dropout(0.3, generator=generator), nn.Linear(20, 4)
    )
    training = Training(net, optim.SGD(net.parameters(), lr=0.1, momentum=momentum), generator)
    training.step = plain_step(training)
    return training


def batch(number: int, size: int = 16, features: int = 12, dtype: Any = np.float32) -> tuple[Tensor, Tensor]:
    """A batch for `mlp`, another for each number."""
    rng = np.random.default_rng([70, number])
    return Tensor(rng.normal(size=(size, features)).astype(dtype)), Tensor(rng.integers(0, 4, size))


def twins(
    make: Callable[[], Training] = mlp, step: Callable[[Training], Callable[..., Any]] | None = None
) -> tuple[Training, Training, Captured[..., Any]]:
    """An eager training, one that is captured, and the captured step of that."""
    eager, other = make(), make()
    for training in (eager, other):
        if step is not None:
            training.step = step(training)
    return eager, other, capture(other.step)


def bits(value: Any) -> Any:
    """A result with every Tensor and array as its bytes, to compare bit for bit."""
    if isinstance(value, Tensor):
        return ("tensor", value.shape, value.dtype.str, value.array.tobytes())
    if isinstance(value, np.ndarray):
        return ("array", value.shape, value.dtype.str, value.tobytes())
    if isinstance(value, (tuple, list)):
        return type(value), [bits(item) for item in value]
    if isinstance(value, dict):
        return {name: bits(item) for name, item in value.items()}
    return value


def check_alike(eager: Training, other: Training) -> None:
    """Raise unless both are equal in every bit; say in what they differ."""
    ours, theirs = eager.state(), other.state()
    different = [name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)]
    if different:
        raise AssertionError(f"the captured training differs from the eager one in {sorted(different)}")


def run_both(eager: Training, other: Training, captured: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The next step of both, on the same arguments, after which they must be alike; its result."""
    expected = eager.step(*args, **kwargs)
    got = captured(*args, **kwargs)
    if bits(got) != bits(expected):
        raise AssertionError(f"got {got}, expected {expected}")
    check_alike(eager, other)
    return got


def run_batches(eager: Training, other: Training, captured: Callable[..., Any], *numbers: int) -> None:
    """`run_both` on the batches of these numbers."""
    for number in numbers:
        run_both(eager, other, captured, *batch(number))
