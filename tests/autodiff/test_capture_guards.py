"""`capture`: what makes it record anew, what makes it stay eager, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.twins import Training, batch, bits, mlp, run_batches, run_both, twins
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.capture import capture
from tinygrad_mlp.autodiff.tensor import Tensor


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = tg.get_num_threads()
    yield
    tg.set_num_threads(before)


# Changes that need another recording


def replace_parameter(training: Training) -> None:
    training.net[0].weight = nn.Parameter(np.full((20, 12), 0.01, np.float32))


def replace_data(training: Training) -> None:
    training.net[0].bias.data = Tensor(np.full(20, 0.5, np.float32))


def replace_module(training: Training) -> None:
    training.net[2] = nn.ReLU()


def append_module(training: Training) -> None:
    training.net.append(nn.Tanh())


def freeze(training: Training) -> None:
    training.net[0].requires_grad_(False)


def add_group(training: Training) -> None:
    free = nn.Parameter(np.ones(4, np.float32))
    training.net.register_parameter("free", free)
    training.optimizer.add_param_group({"params": [free], "lr": 0.5})


def load_steps(training: Training) -> None:
    """The state of an optimizer of which one parameter has made no step: it is split into other runs."""
    state = training.optimizer.state_dict()
    del state["state"][0]
    training.optimizer.load_state_dict(state)


CHANGES: dict[str, Callable[[Training], object]] = {
    "mode": lambda training: training.net.eval(),
    "mode of one module": lambda training: training.net[3].eval(),
    "parameter": replace_parameter,
    "memory of a parameter": replace_data,
    "module": replace_module,
    "one module more": append_module,
    "frozen": freeze,
    "p of dropout": lambda training: setattr(training.net[3], "p", 0.6),
    "momentum of batch norm": lambda training: setattr(training.net[1], "momentum", 0.5),
    "l1": lambda training: training.optimizer.param_groups[0].update(l1=0.1),
    "group": add_group,
    "state": load_steps,
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_net_or_optimizer_is_followed(change: Callable[[Training], object]) -> None:
    eager, other, captured = twins()
    run_batches(eager, other, captured, 0, 1, 2)
    for training in (eager, other):
        change(training)
    run_batches(eager, other, captured, 3, 4, 5)
    # The optimizer does not know the new parameter, whose gradients add up from the second call on.
    assert len(captured.recordings) == (3 if change is replace_parameter else 2)


def test_momentum_switched_on_is_followed_and_off_again() -> None:
    eager, other, captured = twins(lambda: mlp(momentum=0.0))
    run_batches(eager, other, captured, 0, 1, 2)
    for momentum in (0.9, 0.0, 0.5):
        for training in (eager, other):
            training.optimizer.param_groups[0]["momentum"] = momentum
        run_batches(eager, other, captured, 3, 4, 5)
    assert len(captured.recordings) == 2


def test_a_frozen_layer_may_be_thawed_and_each_way_of_running_keeps_its_recording() -> None:
    eager, other, captured = twins()
    for training in (eager, other):
        training.net[0].requires_grad_(False)
        training.optimizer.zero_grad()
    run_batches(eager, other, captured, 0, 1, 2)
    for training in (eager, other):
        training.net[0].requires_grad_(True)
    run_batches(eager, other, captured, 3, 4, 5)
    assert len(captured.recordings) == 2


def test_a_module_that_launched_nothing_while_it_was_recorded_is_watched() -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        drop = training.extra = nn.Dropout(0.5, generator=training.generator)  # pyright: ignore[reportAttributeAccessIssue]
        drop.eval()
        return drop

    eager, other, captured = twins(step=step_of)
    for number in range(3):
        run_both(eager, other, captured, batch(number)[0])
    for training in (eager, other):
        training.extra.train()  # pyright: ignore[reportAttributeAccessIssue]
    for number in range(3):
        run_both(eager, other, captured, batch(number)[0])


class Scaled(nn.Module):
    """A net with settings in a list and a dict, and a layer that it does not know as its part."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = [1.0, {"inner": 2.0}]
        self.hidden = SimpleNamespace(layer=nn.Dropout(0.0))

    def forward(self, x: Tensor) -> Tensor:
        scale: Any = self.scales
        return self.hidden.layer(x * scale[0] * scale[1]["inner"])


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net.scales.__setitem__(0, 3.0),
        lambda net: net.scales[1].update(inner=5.0),
        lambda net: setattr(net.hidden.layer, "p", 1.0),
        lambda net: setattr(net, "hidden", SimpleNamespace(layer=nn.Tanh())),
    ],
    ids=["list", "inner dict", "setting of a hidden layer", "hidden layer"],
)
def test_settings_in_lists_and_dicts_of_a_module_are_watched(change: Callable[[Any], object]) -> None:
    net = Scaled()
    captured = capture(net)
    with tg.no_grad():
        for _ in range(2):
            for number in range(3):
                x = batch(number)[0]
                assert bits(captured(x)) == bits(net(x))
            change(net)
    assert len(captured.recordings) == 2


def test_arguments_of_another_kind_are_recorded_anew() -> None:
    def step(x: Any, scale: Any = 1) -> Any:
        return (x if isinstance(x, Tensor) else Tensor(x)) * 2.0, type(x).__name__, np.shape(x), scale

    captured = capture(step)
    x = batch(0)[0]
    wide = np.zeros((24, 24), np.float32)
    wide[::2] = 1.0
    kinds: list[tuple[Any, ...]] = [
        (x,),
        (x[:5],),
        (batch(0, dtype=np.float64)[0],),
        (x.numpy(),),
        (Tensor(np.asfortranarray(x.numpy())),),
        (wide[::2, ::2],),
        (x, 1),
        (x, True),
    ]
    for call, arguments in enumerate([*kinds, *kinds]):
        assert bits(captured(*arguments)) == bits(step(*arguments))
        assert len(captured.recordings) == min(call + 1, len(kinds))


def test_strides_are_those_that_the_step_was_recorded_with() -> None:
    """A result is laid out as the argument is, also in a replay."""
    captured = capture(lambda x: x * 2.0)
    rows = batch(0)[0]
    columns = Tensor(np.asfortranarray(rows.numpy()))
    for x in (rows, columns, rows, columns):
        got = captured(x)
        assert got.array.strides == (x * 2.0).array.strides
        assert bits(got) == bits(x * 2.0)
    assert len(captured.recordings) == 2


@pytest.mark.parametrize("values", [(1, 2, 3), (1, True, 1.0), ("mean", "sum", None), ({"a": [1]}, {"a": [2]}, [])])
def test_a_changed_plain_argument_is_recorded_anew(values: tuple[Any, ...]) -> None:
    captured = capture(lambda x, value: (x * 1.0, value))
    for value in values * 3:
        got = captured(Tensor(np.ones(2)), value)[1]
        assert (type(got), got) == (type(value), value)
    assert len(captured.recordings) == 3


def test_a_net_as_argument_is_told_from_another() -> None:
    captured = capture(lambda net, x: net(x))
    nets = [nn.Linear(12, 4), nn.Linear(12, 4)]
    with tg.no_grad():
        for number in range(6):
            net, x = nets[number % 2], batch(number)[0]
            assert bits(captured(net, x)) == bits(net(x))
    assert len(captured.recordings) == 2


def test_another_thread_count_is_recorded_anew() -> None:
    if tg.get_num_threads() == 1:
        pytest.skip("this machine has one core")
    eager, other, captured = twins()
    run_batches(eager, other, captured, 0, 1, 2)
    tg.set_num_threads(1)
    run_batches(eager, other, captured, 3, 4, 5)
    assert len(captured.recordings) == 2


def test_another_grad_mode_is_recorded_anew() -> None:
    eager, other, captured = twins(step=lambda training: lambda x: training.net(x).requires_grad)
    run_both(eager, other, captured, batch(0)[0])
    with tg.no_grad():
        for number in range(3):
            run_both(eager, other, captured, batch(number)[0])
    for number in range(3):
        run_both(eager, other, captured, batch(number)[0])
    assert len(captured.recordings) == 2


def with_average(training: Training) -> Callable[..., Any]:
    training.average = optim.ExponentialMovingAverage(training.net, decay=0.99)
    plain = training.step

    def step(x: Tensor, y: Tensor) -> Tensor:
        loss = plain(x, y)
        training.average.update()
        return loss

    return step


def test_the_decay_of_an_average_is_followed() -> None:
    eager, other, captured = twins(step=with_average)
    run_batches(eager, other, captured, 0, 1, 2)
    for training in (eager, other):
        training.average.decay = 0.05
    run_batches(eager, other, captured, 3, 4, 5)
    assert len(captured.recordings) == 2


@pytest.mark.parametrize("change", ["frozen", "memory"])
def test_parameters_that_belong_to_no_module_are_watched(change: str) -> None:
    def make() -> tuple[list[Tensor], Callable[..., Any]]:
        weights = [Tensor(np.full(3, value, np.float32), requires_grad=True) for value in (1.0, 2.0)]

        def step(x: Tensor) -> Tensor:
            for weight in weights:
                weight.grad = None
            loss = (weights[0] * x + weights[1]).square().sum()
            loss.backward()
            return loss

        return weights, step

    (ours, step), (theirs, twin) = make(), make()
    captured = capture(twin)
    for number in range(6):
        x = Tensor(np.full(3, number, np.float32))
        assert bits(captured(x)) == bits(step(x))
        assert [bits(weight.grad) for weight in theirs] == [bits(weight.grad) for weight in ours]
        if number == 3:
            for weights in (ours, theirs):
                if change == "frozen":
                    weights[1].requires_grad_(False)
                else:
                    weights[1].data = Tensor(np.full(3, 5.0, np.float32))


ALL = [optim.SGD, optim.Adam, optim.AdamW, optim.Adadelta, optim.RMSprop, optim.Adagrad]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_optimizer_replays_and_its_options_are_followed(kind: type[optim.Optimizer]) -> None:
    def make() -> Training:
        training = mlp()
        first, last = training.net[:2].parameters(), training.net[4].parameters()
        training.optimizer = kind([{"params": first, "l2": 0.01}, {"params": last}], lr=0.01)
        return training

    eager, other, captured = twins(make)
    run_batches(eager, other, captured, 0, 1, 2, 3)
    assert len(captured.recordings) == 1
    for training in (eager, other):
        for group in training.optimizer.param_groups:
            switches = {name: True for name, value in group.items() if value is False}
            group.update(switches, lr=0.1, weight_decay=0.05, l1=0.01)
    run_batches(eager, other, captured, 4, 5, 6)
    assert len(captured.recordings) == 2


# Changes that a replay follows


def test_rates_and_weights_are_followed_without_another_recording() -> None:
    eager, other, captured = twins()
    run_batches(eager, other, captured, 0, 1, 2)
    for number in range(4):
        for training in (eager, other):
            training.optimizer.param_groups[0].update(lr=0.05 * number, momentum=0.5 + 0.1 * number)
            with tg.no_grad():
                training.net[4].bias.add_(0.5)
            training.net[1].running_mean.fill_(number)
            training.generator.manual_seed(number)
        run_batches(eager, other, captured, 3 + number, 4 + number)
    for training in (eager, other):
        training.net.load_state_dict(mlp().net.state_dict())
    run_batches(eager, other, captured, 0, 1)
    assert len(captured.recordings) == 1


@pytest.mark.parametrize("kind", [optim.OneCycleLR, optim.StepLR, optim.SequentialLR], ids=lambda kind: kind.__name__)
def test_a_schedule_inside_or_outside_of_the_step_is_followed(kind: Any) -> None:
    def step_of(training: Training) -> Callable[..., Any]:
        optimizer, plain = training.optimizer, training.step
        if kind is optim.OneCycleLR:
            training.schedule = kind(optimizer, max_lr=0.2, total_steps=30)
        elif kind is optim.StepLR:
            training.schedule = kind(optimizer, step_size=2, gamma=0.5)
        else:
            parts = [optim.LinearLR(optimizer, total_iters=3), optim.ExponentialLR(optimizer, 0.9)]
            training.schedule = kind(optimizer, parts, milestones=[3])

        def step(x: Tensor, y: Tensor) -> Tensor:
            loss = plain(x, y)
            training.schedule.step()
            return loss

        return step

    eager, other, captured = twins(step=step_of)
    for number in range(8):
        run_batches(eager, other, captured, number)
        for training in (eager, other):
            training.schedule.step()
    assert len(captured.recordings) == 1
