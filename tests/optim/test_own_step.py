"""Optimizers whose step is written in Python, as in PyTorch: the same numbers as ours, state, checkpoints, errors."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import Tensor, data, nn, optim
from tinygrad_mlp.errors import ArgumentError, CheckpointError, NonFiniteError
from tinygrad_mlp.nn import functional as F


class Momentum(optim.Optimizer):
    """v ← μv + g; w ← w − lr·v, as one writes it for PyTorch."""

    def __init__(self, params: Any, lr: float = 0.1, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @tg.no_grad()
    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with tg.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["step"], state["velocity"] = 0, tg.zeros_like(parameter)
                state["step"] += 1
                state["velocity"].mul_(group["momentum"]).add_(parameter.grad)
                parameter.add_(state["velocity"], alpha=-group["lr"])
        return loss


def make_net(seed: int = 0) -> nn.Sequential:
    tg.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def batch(seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    return tg.tensor(rng.standard_normal((8, 6)).astype(np.float32)), tg.tensor(rng.integers(0, 3, 8))


def train(net: nn.Module, optimizer: optim.Optimizer, steps: range) -> None:
    for seed in steps:
        x, y = batch(seed)
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()


def weights(net: nn.Module) -> list[Any]:
    return [parameter.detach().numpy().copy() for parameter in net.parameters()]


def assert_same(a: nn.Module, b: nn.Module) -> None:
    for one, other in zip(weights(a), weights(b), strict=True):
        np.testing.assert_array_equal(one, other)


def test_momentum_is_that_of_sgd() -> None:
    ours, own = make_net(), make_net()
    train(ours, optim.SGD(ours.parameters(), lr=0.1, momentum=0.9), range(20))
    train(own, Momentum(own.parameters()), range(20))
    for a, b in zip(weights(ours), weights(own), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_a_step_on_data_writes_the_weights() -> None:
    class Plain(optim.Optimizer):
        def step(self) -> None:
            for group in self.param_groups:
                for parameter in group["params"]:
                    parameter.data -= group["lr"] * parameter.grad

    ours, own = make_net(), make_net()
    train(ours, optim.SGD(ours.parameters(), lr=0.1), range(5))
    train(own, Plain(own.parameters(), {"lr": 0.1}), range(5))
    for a, b in zip(weights(ours), weights(own), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_groups_schedules_and_a_closure() -> None:
    net = make_net()
    optimizer = Momentum([{"params": net[0].parameters(), "lr": 0.0}, {"params": net[2].parameters()}], lr=0.4)
    schedule = optim.StepLR(optimizer, step_size=1, gamma=0.5)
    before = weights(net)
    x, y = batch(0)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        return loss

    loss = optimizer.step(closure)
    assert loss is not None and loss.item() > 0
    schedule.step()
    assert [group["lr"] for group in optimizer.param_groups] == [0.0, 0.2]
    after = weights(net)
    assert np.array_equal(before[0], after[0]) and not np.array_equal(before[2], after[2])


@pytest.mark.parametrize("by_file", [False, True])
def test_a_state_dict_goes_on_with_the_same_bits(by_file: bool, tmp_path: Any) -> None:
    whole, parted = make_net(), make_net()
    train(whole, Momentum(whole.parameters()), range(9))
    optimizer = Momentum(parted.parameters(), lr=0.1)
    train(parted, optimizer, range(4))
    saved = optimizer.state_dict()
    if by_file:
        tg.save({"optimizer": saved}, tmp_path / "state.safetensors")
        saved = tg.load(tmp_path / "state.safetensors")["optimizer"]
    other = Momentum(parted.parameters(), lr=7.0)
    other.load_state_dict(saved)
    train(parted, other, range(4, 9))
    assert_same(whole, parted)
    first = next(parted.parameters())
    assert other.state[first]["step"] == 9 and optimizer.state[first]["step"] == 4


def test_parameters_that_join_leave_the_state_of_the_others() -> None:
    net = make_net()
    optimizer = Momentum(net[0].parameters())
    train(net, optimizer, range(2))
    optimizer.add_param_group({"params": net[2].parameters(), "lr": 0.01})
    train(net, optimizer, range(2, 3))
    assert [optimizer.state[parameter]["step"] for parameter in net.parameters()] == [3, 3, 1, 1]
    optimizer.state = {}
    assert optimizer.state_dict()["state"] == {}


def test_a_gradient_that_is_nan_is_noticed_before_the_step() -> None:
    net = make_net()
    optimizer = Momentum([(name, parameter) for name, parameter in net.named_parameters()])
    train(net, optimizer, range(1))
    before = weights(net)
    gradient = net[2].weight.grad
    assert gradient is not None
    gradient[1, 2] = float("nan")
    for step in (optimizer.step, lambda: optimizer.step(None), lambda: optimizer.step(closure=None)):
        with pytest.raises(
            NonFiniteError, match=r"Momentum.step: the gradient of 2.weight .* is nan at index \(1, 2\)"
        ):
            step()
    for a, b in zip(weights(net), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_captured_step_stays_eager_and_follows_the_rate() -> None:
    eager, captured = make_net(), make_net()
    optimizers = [Momentum(net.parameters()) for net in (eager, captured)]
    schedules = [optim.ExponentialLR(optimizer, gamma=0.7) for optimizer in optimizers]

    def make_step(net: nn.Module, optimizer: optim.Optimizer) -> Any:
        def step(x: Tensor, y: Tensor) -> Tensor:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            return loss

        return step

    plain = make_step(eager, optimizers[0])
    step = tg.capture(make_step(captured, optimizers[1]))
    with pytest.warns(UserWarning, match=r"Momentum.step is written in Python"):
        step(*batch(0))
    plain(*batch(0))
    for seed in range(1, 8):
        for schedule in schedules:
            schedule.step()
        assert plain(*batch(seed)).item() == step(*batch(seed)).item()
    assert_same(eager, captured)


def test_a_trainer_resumes_with_the_same_bits(tmp_path: Any, capsys: Any) -> None:
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, (60, 4, 4)).astype(np.uint8), rng.integers(0, 3, 60)
    train_data = data.ImageDataset(images, labels, classes=["a", "b", "c"], standardization="global")

    def run(epochs: int, folder: str, resume: bool = False) -> nn.Module:
        tg.manual_seed(3)
        net = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
        trainer = tg.Trainer(
            net, Momentum(net.parameters(), lr=0.05), epochs=epochs, batch_size=20, out=tmp_path / folder, resume=resume
        )
        trainer.fit(train_data)
        return net

    whole = run(4, "whole")
    run(2, "parted")
    parted = run(4, "parted", resume=True)
    assert_same(whole, parted)
    assert "written in Python" in "".join(capsys.readouterr())


def test_ours_with_a_step_around_theirs_have_their_kernel() -> None:
    class Clipped(optim.SGD):
        def step(self, closure: Any = None) -> Any:
            nn.utils.clip_grad_value_([p for group in self.param_groups for p in group["params"]], 0.01)
            return super().step(closure)

    net, plain = make_net(), make_net()
    train(net, Clipped(net.parameters(), lr=1.0), range(1))
    for a, b in zip(weights(net), weights(plain), strict=True):
        assert 0 < np.abs(a - b).max() <= 0.01 + 1e-6
    with pytest.raises(AttributeError, match="Clipped has no attribute 'state'"):
        _ = Clipped(make_net().parameters(), lr=1.0).state


def test_a_step_of_another_base_is_watched_too() -> None:
    class Steps:
        def step(self) -> None:
            raise AssertionError("the gradient is NaN")

    class Mixed(Steps, optim.Optimizer):
        pass

    parameter = nn.Parameter(tg.ones(2))
    parameter.grad = tg.tensor([1.0, float("nan")])
    with pytest.raises(NonFiniteError, match=r"Mixed.step: the gradient of parameter 0"):
        Mixed([parameter], {"lr": 0.1}).step()


def test_what_a_step_keeps_in_its_groups_and_beside_tensors_comes_back() -> None:
    class Counting(optim.Optimizer):
        def step(self) -> None:
            for group in self.param_groups:
                group["k"] = group.get("k", 0) + 1
                for parameter in group["params"]:
                    state = self.state[parameter]
                    state["count"], state["scale"], state["last"] = np.int64(group["k"]), np.float32(0.5), None
                    state["mean"] = tg.full_like(parameter, 0.25)

    parameter = nn.Parameter(tg.ones(2, 3))
    optimizer = Counting([parameter], {"lr": 0.1})
    optimizer.step()
    saved = optimizer.state_dict()
    saved["state"][0]["mean"] = saved["state"][0]["mean"].tolist()
    other = Counting([parameter], {"lr": 0.1})
    other.load_state_dict(json.loads(json.dumps(saved)))
    assert other.param_groups[0]["k"] == 1
    state = other.state[parameter]
    assert (state["count"], state["scale"], state["last"]) == (1, 0.5, None)
    assert tg.equal(state["mean"], tg.full((2, 3), 0.25))
    other.add_param_group({"params": [nn.Parameter(tg.zeros(1))]})
    assert other.state[parameter]["count"] == 1


def test_there_is_nothing_above_a_step_in_python() -> None:
    class Calls(optim.Optimizer):
        def step(self) -> None:
            super().step()

    with pytest.raises(NotImplementedError, match=r"Calls: Optimizer.step has nothing to do"):
        Calls([nn.Parameter(tg.ones(2))], {"lr": 0.1}).step()


def test_wrong_input() -> None:
    net = make_net()
    with pytest.raises(ArgumentError, match=r"Momentum: lr=-1.0, expected a finite number at least 0"):
        Momentum(net.parameters(), lr=-1.0)
    with pytest.raises(ArgumentError, match=r"Optimizer: its options \['rate'\] have no 'lr'"):
        optim.Optimizer(net.parameters(), {"rate": 1.0})
    with pytest.raises(ArgumentError, match=r"Momentum: unknown options \['nesterov'\]"):
        Momentum([{"params": net.parameters(), "nesterov": True}])
    optimizer = Momentum(net.parameters())
    train(net, optimizer, range(1))
    first = next(net.parameters())
    optimizer.state[first]["history"] = []
    with pytest.raises(ArgumentError, match=r"state\[parameter 0\]\['history'\] is a list; a checkpoint holds"):
        optimizer.state_dict()
    del optimizer.state[first]["history"]
    optimizer.state[tg.zeros(2)]["a"] = 1
    with pytest.raises(ArgumentError, match="state has a key that is none of its parameters"):
        optimizer.state_dict()
    small = Momentum(net[0].parameters())
    saved = small.state_dict() | {"state": {5: {"step": 1}}}
    with pytest.raises(CheckpointError, match="of a parameter 5, expected 0 to 1"):
        small.load_state_dict(saved)
