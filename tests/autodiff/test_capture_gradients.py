"""`capture`: gradients after replays, those that a step adds to, and version counters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.test_capture import inputs
from tests.autodiff.twins import Training, batch, mlp, plain_step, run_batches, run_both, twins
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import capture
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import GradientError
from tinygrad_mlp.kernels.observe import observed
from tinygrad_mlp.kernels.record import Recorder
from tinygrad_mlp.nn import functional as F

# Gradients and versions


def no_optimizer(training: Training) -> Callable[..., Any]:
    def step(x: Tensor, y: Tensor) -> Tensor:
        training.net.zero_grad()
        loss = F.cross_entropy(training.net(x), y)
        loss.backward()
        return loss

    return step


@pytest.mark.parametrize("step", [None, no_optimizer], ids=["optimizer", "no optimizer"])
def test_gradients_are_the_eager_ones_also_when_batches_of_two_sizes_take_turns(step: Any) -> None:
    eager, other, captured = twins(step=step)
    for number in range(9):  # `run_both` compares gradients
        run_both(eager, other, captured, *batch(number, size=16 if number % 3 else 10))
    assert len(captured.recordings) == 2


def large_mlp() -> Training:
    """Its first gradient is large enough for the optimizer to lend memory for it."""
    tg.manual_seed(4)
    net = nn.Sequential(nn.Linear(300, 240), nn.ReLU(), nn.Linear(240, 10))
    training = Training(net, optim.Adam(net.parameters()), tg.Generator(0))
    training.step = plain_step(training)
    return training


@pytest.mark.parametrize("step", [None, no_optimizer], ids=["optimizer", "no optimizer"])
def test_gradients_in_memory_that_the_optimizer_lends_are_the_eager_ones(step: Any) -> None:
    eager, other, captured = twins(large_mlp, step)
    for number in range(9):
        run_both(eager, other, captured, *inputs((256 if number % 3 else 300, 300), number))
        if number == 5:
            for training in (eager, other):
                training.step(*inputs((16, 300), number))  # an eager step between replays
    assert len(captured.recordings) == 2


def test_no_gradient_is_copied_in_a_replay() -> None:
    training = mlp()
    step = observed(recorder := Recorder())(training.step)
    step(*batch(0))
    names = [call.launch.name for call in recorder.calls]
    assert names.count("copy") == len(list(training.net.parameters()))  # into the optimizer's buffer
    captured = capture(training.step)
    captured(*batch(0))
    assert "copy" not in [call.launch.name for call in captured.recordings[0].program.calls]


def test_a_product_with_a_part_of_a_gradient_is_one_with_the_gradient_of_its_own_step() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        def step(x: Tensor, y: Tensor) -> Any:
            training.optimizer.zero_grad()
            loss = F.cross_entropy(training.net(x), y)
            loss.backward()
            product = training.net[0].weight.grad[1:] @ x.T
            training.optimizer.step()
            return loss, product

        return step

    run_batches(*twins(step=step_of), *range(4))


def test_an_eager_step_may_come_between_replays() -> None:
    eager, other, captured = twins()
    for number in range(9):
        run_batches(eager, other, captured, number)
        for training in (eager, other):
            training.step(*batch(90 + number))
    assert len(captured.recordings) == 1


@pytest.mark.parametrize("step", [None, no_optimizer], ids=["optimizer", "no optimizer"])
def test_gradients_may_be_forgotten_or_replaced_between_calls(step: Any) -> None:
    eager, other, captured = twins(step=step)
    for number in range(8):
        run_both(eager, other, captured, *batch(number))
        for training in (eager, other):
            if number % 2:
                training.net.zero_grad()
            else:
                training.net[0].weight.grad = Tensor(np.full((20, 12), 9.0, np.float32))
                training.net[4].bias.grad = None
    assert len(captured.recordings) == 1


def test_a_graph_made_before_a_replay_that_changes_the_weights_raises_in_its_backward() -> None:
    eager, other, captured = twins()
    run_batches(eager, other, captured, 0, 1, 2)
    x, y = batch(3)
    loss = F.cross_entropy(other.net(x), y)
    versions = [parameter.version for parameter in other.net.parameters()]
    captured(x, y)
    assert all(p.version > version for p, version in zip(other.net.parameters(), versions, strict=True))
    with pytest.raises(GradientError, match="in place"):
        loss.backward()


def test_a_step_without_optimizer_and_one_for_evaluation() -> None:
    eager, other, captured = twins(step=no_optimizer)
    run_batches(eager, other, captured, 0, 1, 2, 3)
    assert len(captured.recordings) == 1

    other.net.eval()
    evaluate = capture(lambda x: other.net(x).argmax(1))
    with tg.no_grad():
        for number in range(4):
            x, _ = batch(number)
            np.testing.assert_array_equal(evaluate(x).array, other.net(x).argmax(1).array)
            assert not evaluate.stays_eager
            with tg.no_grad():
                other.net[4].bias.mul_(-3.0)  # evaluation sees the weights as they are
    assert len(evaluate.recordings) == 1


def test_a_step_may_train_by_hand() -> None:
    def run(step: Callable[..., Any], weight: Tensor) -> list[float]:
        return [step(*(t for t in batch(number)[:1])).item() for number in range(6)] + weight.tolist()

    def make() -> tuple[Callable[..., Any], Tensor]:
        weight = Tensor(np.linspace(-1, 1, 12, dtype=np.float32), requires_grad=True)

        def step(x: Tensor) -> Tensor:
            loss = (x * weight).square().mean()
            loss.backward()
            with tg.no_grad():
                weight.sub_(weight.grad, alpha=0.5)
            weight.grad = None
            return loss

        return step, weight

    step, weight = make()
    twin, other = make()
    captured = capture(twin)
    assert run(captured, other) == run(step, weight)
    assert len(captured.recordings) == 1


def test_weights_may_be_changed_by_hand_before_the_optimizer_changes_them() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step

        def step(x: Tensor, y: Tensor) -> Tensor:
            with tg.no_grad():
                training.net[0].weight.mul_(0.99)
            return plain(x, y)

        return step

    eager, other, captured = twins(step=step_of)
    run_batches(eager, other, captured, 0, 1, 2)


# Gradients that a step adds to


def adding(training: Training) -> Callable[..., Any]:
    """A step that leaves it to others to forget gradients, and to make a step of the optimizer."""

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(training.net(x), y)
        loss.backward()
        return loss

    return step


def test_gradients_add_up_over_calls_as_eagerly() -> None:
    eager, other, captured = twins(step=adding)
    for number in range(12):
        run_batches(eager, other, captured, number)
        if number % 3 == 2:
            for training in (eager, other):
                training.optimizer.step()
                training.optimizer.zero_grad()
    assert not captured.stays_eager
    assert len(captured.recordings) <= 3


def test_two_backward_passes_of_one_step_add_up() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        add = adding(training)

        def step(x: Tensor, y: Tensor) -> Tensor:
            training.optimizer.zero_grad()
            loss = add(x, y) + add(x * 0.5, y)
            training.optimizer.step()
            return loss

        return step

    eager, other, captured = twins(step=step_of)
    run_batches(eager, other, captured, 0, 1, 2, 3)
    assert len(captured.recordings) == 1


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("where", ["before", "after", "outside"])
@pytest.mark.parametrize("whose", ["net", "optimizer"])
def test_gradients_are_forgotten_where_the_step_forgets_them(whose: str, where: str, to_none: bool) -> None:
    """Those that come from elsewhere between two calls are added to, unless the step forgets them first."""

    def forget(training: Training, now: str) -> None:
        if now == where:
            getattr(training, whose).zero_grad(set_to_none=to_none)

    def step_of(training: Training) -> Callable[..., Any]:
        add = adding(training)

        def step(x: Tensor, y: Tensor) -> Tensor:
            forget(training, "before")
            loss = add(x, y)
            training.optimizer.step()
            forget(training, "after")
            return loss

        return step

    eager, other, captured = twins(step=step_of)
    for number in range(10):
        run_batches(eager, other, captured, number)
        for training in (eager, other):
            forget(training, "outside")
            if number in (4, 5):
                training.net[4].weight.square().sum().backward()
    assert not captured.stays_eager
    assert len(captured.recordings) <= (1 if where == "before" and to_none else 4)


def test_a_leaf_made_in_the_step_is_no_reason_to_record_anew() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        plain = training.step

        def step(x: Tensor, y: Tensor) -> Tensor:
            near = x.detach().requires_grad_()
            F.cross_entropy(training.net(near), y).backward()
            return plain(x + 0.1 * near.grad.sign(), y)  # the fast gradient sign method

        return step

    eager, other, captured = twins(step=step_of)
    run_batches(eager, other, captured, 0, 1, 2, 3)
    assert len(captured.recordings) == 1


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.ModuleList([nn.Linear(12, 4), nn.Linear(12, 4)])

    def forward(self, x: Tensor, which: int) -> Tensor:
        return self.heads[which](x)


def two_heads() -> Training:
    tg.manual_seed(3)
    net = TwoHeads()
    return Training(net, optim.SGD(net.parameters(), lr=0.1), tg.Generator(0))


def test_gradients_of_parameters_that_another_recording_uses_are_forgotten_with_the_rest() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        def step(x: Tensor, y: Tensor, which: int) -> Tensor:
            training.net.zero_grad()
            loss = F.cross_entropy(training.net(x, which), y)
            loss.backward()
            return loss

        return step

    eager, other, captured = twins(two_heads, step_of)
    for number in range(8):
        run_both(eager, other, captured, *batch(number), which=number % 2)
    assert len(captured.recordings) == 2


def test_an_eager_pass_adds_to_the_gradient_of_a_replay() -> None:
    """A large gradient lies in the optimizer's memory, which the eager pass must not write its own into first."""
    net = nn.Linear(300, 300)  # large enough for memory of the optimizer's
    optimizer = optim.SGD(net.parameters(), lr=0.0)
    x = tg.randn(4, 300)

    def step(x: tg.Tensor) -> tg.Tensor:
        optimizer.zero_grad()
        loss = (net(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    captured = tg.capture(step)
    for _ in range(4):
        captured(x)
    assert net.weight.grad is not None
    once = net.weight.grad.array.copy()
    assert np.abs(once).max() > 0
    z = tg.randn(4, 300)
    (other,) = tg.autograd.grad((net(z) ** 2).mean(), net.weight)
    (net(z) ** 2).mean().backward()
    np.testing.assert_array_equal(net.weight.grad.array, once + other.array)
    captured(x)
    np.testing.assert_array_equal(net.weight.grad.array, once)
