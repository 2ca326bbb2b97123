"""The moving average of weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CheckpointError, DtypeError, ShapeError


class Net(nn.Module):
    """A weight stored transposed, a running statistic, a counter."""

    def __init__(self, dtype: Any = np.float64) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.arange(6, dtype=dtype).reshape(3, 2).T)
        self.register_buffer("mean", Tensor(np.ones((), dtype)))
        self.register_buffer("count", Tensor(np.zeros((), np.int64)))


def test_the_average_follows_its_formula_and_buffers_go_along() -> None:
    net = Net()
    average = optim.ExponentialMovingAverage(net, decay=0.3)
    expected, mean = net.weight.array.copy(), 1.0
    rng = np.random.default_rng(0)
    for t in range(1, 8):
        net.weight.data = Tensor(np.asarray(rng.normal(size=(2, 3)), order="C" if t % 2 else "F"))
        net.mean.array[...] = t
        net.count.array[...] = 10 * t
        average.update()
        d = min(0.3, (1 + t) / (10 + t))
        expected = d * expected + (1 - d) * net.weight.array
        mean = d * mean + (1 - d) * t
    state = average.state_dict()
    assert state["updates"] == average.updates == 7
    np.testing.assert_allclose(state["average"]["weight"], expected, rtol=1e-14)
    np.testing.assert_allclose(state["average"]["mean"], mean, rtol=1e-14)
    assert state["average"]["count"] == 70


def test_applied_lends_the_average_and_gives_the_weights_back() -> None:
    net = Net(np.float32)
    optimizer = optim.SGD(net.parameters(), lr=1.0)
    average = optim.ExponentialMovingAverage(net, decay=0.5)
    net.weight.grad = Tensor(np.ones((2, 3), np.float32))
    optimizer.step()
    average.update()
    own, array = net.weight.array.copy(), net.weight.array
    with average.applied():
        np.testing.assert_allclose(net.weight.detach(), average.state_dict()["average"]["weight"])
        assert (net.weight.array > own).all()
    np.testing.assert_array_equal(net.weight.detach(), own)
    with pytest.raises(KeyError, match="validation"), average.applied():
        raise KeyError("validation")
    np.testing.assert_array_equal(net.weight.detach(), own)
    assert net.weight.array is array  # still the optimizer's memory


def test_a_state_dict_goes_on_bit_for_bit_and_is_a_copy() -> None:
    def walk(net: Net, average: optim.ExponentialMovingAverage, seed: int) -> None:
        for draw in np.random.default_rng(seed).normal(size=(5, 2, 3)):
            net.weight.array[...] = draw
            average.update()

    net, other = Net(), Net()
    average, resumed = optim.ExponentialMovingAverage(net), optim.ExponentialMovingAverage(other)
    walk(net, average, 1)
    state = average.state_dict()
    resumed.load_state_dict(state)
    state["average"]["weight"][:] = 0
    for each, its in ((net, average), (other, resumed)):
        walk(each, its, 2)
    np.testing.assert_equal(resumed.state_dict(), average.state_dict())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda state: state["average"].pop("weight"),
        lambda state: state["average"].update(bias=np.ones(2)),
        lambda state: state["average"].update(weight=np.ones((3, 2))),
        lambda state: state.pop("updates"),
    ],
)
def test_the_state_of_another_net_changes_nothing(spoil: Any) -> None:
    average = optim.ExponentialMovingAverage(Net())
    state = optim.ExponentialMovingAverage(Net()).state_dict()
    state["updates"] = 5
    spoil(state)
    with pytest.raises(CheckpointError, match=r"weight|bias|this one \['average'\]"):
        average.load_state_dict(state)
    assert average.updates == 0
    np.testing.assert_array_equal(average.state_dict()["average"]["weight"], Net().weight.detach())


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan"), "0.9"])
def test_impossible_decays(decay: Any) -> None:
    with pytest.raises(ArgumentError, match="ExponentialMovingAverage: decay="):
        optim.ExponentialMovingAverage(Net(), decay)


def test_a_net_that_changed_dtype_is_an_error() -> None:
    net = Net(np.float32)
    average = optim.ExponentialMovingAverage(net)
    net.double()
    with pytest.raises(DtypeError, match="weight was float32 and is now float64"):
        average.update()


def test_a_net_that_changed_shape_is_an_error() -> None:
    net = Net()
    average = optim.ExponentialMovingAverage(net)
    net.weight = nn.Parameter(tg.ones(2, 2, dtype=tg.float64))
    with pytest.raises(ShapeError, match=r"weight had shape \(2, 3\) and now has \(2, 2\); make the average after"):
        average.update()


def test_a_net_that_got_or_lost_a_layer_is_an_error_and_nothing_is_averaged() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    average = optim.ExponentialMovingAverage(net, decay=0.5)
    before = average.state_dict()
    with tg.no_grad():
        net[0].weight.fill_(7.0)
    net.append(nn.Linear(1, 1))
    with pytest.raises(ArgumentError, match=r"new are \['2.bias', '2.weight'\], gone are \[\]; make the average after"):
        average.update()
    del net[1:]
    with pytest.raises(ArgumentError, match=r"new are \[\], gone are \['1.bias', '1.weight'\]"):
        average.update()
    net.append(nn.Linear(3, 2))  # the last ones do not fit, and the first are not averaged
    with pytest.raises(ShapeError, match=r"1.weight had shape \(1, 3\) and now has \(2, 3\)"):
        average.update()
    np.testing.assert_equal(average.state_dict(), before)
