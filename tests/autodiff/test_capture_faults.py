"""`capture`: bad labels, NaN, infinite gradients and schedules at their end raise as eagerly, and training goes on."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.autodiff.twins import Training, batch, check_alike, mlp, run_batches, run_both, twins
from tinygrad_mlp import optim
from tinygrad_mlp.autodiff.capture import capture
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, IndexRangeError, NonFiniteError
from tinygrad_mlp.nn import functional as F


def bad_label(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    y.array[3] = 9
    return x, y


def not_a_number(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x.array[2, 1] = math.nan
    return x, y


@pytest.mark.parametrize("call", [0, 1, 2, 3], ids=["recorded", "compared", "replayed", "replayed again"])
@pytest.mark.parametrize(("spoil", "kind"), [(bad_label, IndexRangeError), (not_a_number, NonFiniteError)])
def test_a_bad_batch_raises_as_eagerly_and_the_next_good_one_goes_on(
    spoil: Any, kind: type[Exception], call: int
) -> None:
    """In the same state as eagerly: the masks of dropout that were drawn before the fault are drawn."""
    eager, other, captured = twins()
    for training in (eager, other):
        training.net[1].eval()  # else NaN stays in the running statistics, eagerly, too
    run_batches(eager, other, captured, *range(call))
    before = weights_and_state(other)
    x, y = spoil(*batch(40))
    with pytest.raises(kind) as expected:
        eager.step(x, y)
    with pytest.raises(kind) as got:
        captured(x, y)
    assert str(got.value) == str(expected.value)
    assert weights_and_state(other) == before == weights_and_state(eager)
    check_alike(eager, other)
    run_batches(eager, other, captured, 50, 51, 52, 53)
    assert len(captured.recordings) == 1


def weights_and_state(training: Training) -> dict[str, Any]:
    """What no bad batch may change; the rest (generator, gradients) is as eagerly."""
    names = [*training.net.state_dict(), *[name for name in training.state() if name[0].isdigit()]]
    state = training.state()
    return {name: state[name] for name in names if "running" not in name and "num_batches" not in name}


def test_a_bad_batch_at_the_second_call_leaves_a_recording_whose_kernels_can_be_listed() -> None:
    training = mlp()
    captured = capture(training.step)
    captured(*batch(0))
    with pytest.raises(IndexRangeError):
        captured(*bad_label(*batch(1)))
    (recording,) = captured.recordings
    assert len(recording.program.launches) == len(recording.program.calls) > 0


@pytest.mark.parametrize("call", [0, 1, 2, 3], ids=["recorded", "compared", "replayed", "replayed again"])
@pytest.mark.parametrize("index", [16, -17])
def test_a_bad_index_raises_as_eagerly_and_the_next_good_one_goes_on(index: int, call: int) -> None:
    """Of the kernels that are NumPy, which raise by themselves."""

    def step_of(training: Training) -> Callable[..., Any]:
        def step(x: Tensor, y: Tensor, rows: Tensor) -> Tensor:
            training.optimizer.zero_grad()
            loss = F.cross_entropy(training.net(x)[rows], y[rows])
            loss.backward()
            training.optimizer.step()
            return loss

        return step

    eager, other, captured = twins(step=step_of)
    for number in range(call):
        run_both(eager, other, captured, *batch(number), Tensor(np.array([0, 3, -1])))
    versions = [parameter.version for parameter in other.net.parameters()]
    texts: list[str] = []
    for training_step in (eager.step, captured):
        with pytest.raises(IndexRangeError, match=f"index {index} is out of bounds") as error:
            training_step(*batch(40), Tensor(np.array([0, index, 1])))
        texts.append(str(error.value))
    assert texts[0] == texts[1]
    check_alike(eager, other)
    assert [parameter.version for parameter in other.net.parameters()] == versions
    for number in range(3):
        run_both(eager, other, captured, *batch(50 + number), Tensor(np.array([number, 5, 6])))
    assert len(captured.recordings) == 1


def with_infinite_gradient(training: Training) -> Callable[..., Any]:
    """For a first number of 0 the loss is finite, and its derivative, of a square root at 0, infinite."""

    def step(x: Tensor, y: Tensor) -> Tensor:
        training.optimizer.zero_grad()
        bias = training.net[4].bias
        root = (x[0, 0].square() + (bias - bias.detach()).sum()).sqrt()
        loss = F.cross_entropy(training.net(x), y) + root
        loss.backward()
        training.optimizer.step()
        return loss

    return step


def zero_first(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    x.array[0, 0] = 0.0
    return x, y


@pytest.mark.parametrize("call", [0, 1, 2, 3], ids=["recorded", "compared", "replayed", "replayed again"])
def test_an_infinite_gradient_raises_as_eagerly_and_changes_no_weight(call: int) -> None:
    eager, other, captured = twins(step=with_infinite_gradient)
    run_batches(eager, other, captured, *range(call))
    before = weights_and_state(other)
    for training_step in (eager.step, captured):
        with pytest.raises(NonFiniteError):
            training_step(*zero_first(*batch(40)))
    assert weights_and_state(other) == before
    check_alike(eager, other)
    run_batches(eager, other, captured, 50, 51, 52)
    assert len(captured.recordings) == 1


def test_the_text_of_an_infinite_gradient_is_the_eager_one() -> None:
    eager, other, captured = twins(step=with_infinite_gradient)
    run_batches(eager, other, captured, 0, 1, 2)
    texts: list[str] = []
    for training_step in (eager.step, captured):
        with pytest.raises(NonFiniteError) as error:
            training_step(*zero_first(*batch(40)))
        texts.append(str(error.value))
    assert "is inf at index (0,)" in texts[0]
    assert texts[1] == texts[0]


def test_a_schedule_at_its_end_raises_as_eagerly() -> None:
    def make() -> Training:
        training = mlp()
        training.schedule = optim.OneCycleLR(training.optimizer, max_lr=0.1, total_steps=4)
        plain = training.step

        def step(x: Tensor, y: Tensor) -> Tensor:
            loss = plain(x, y)
            training.schedule.step()
            return loss

        training.step = step
        return training

    eager, other, captured = twins(make)
    run_batches(eager, other, captured, 0, 1, 2, 3)
    for _ in range(2):
        with pytest.raises(ArgumentError) as expected:
            eager.step(*batch(4))
        versions = [parameter.version for parameter in other.net.parameters()]
        with pytest.raises(ArgumentError) as got:
            captured(*batch(4))
        assert str(got.value) == str(expected.value)
        check_alike(eager, other)
        assert all(p.version > version for p, version in zip(other.net.parameters(), versions, strict=True))
