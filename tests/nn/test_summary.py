"""summary: rows, totals, and that it leaves the net as it was."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError


class Net(nn.Module):
    """Uses one layer twice, and another never."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 50), nn.BatchNorm1d(50), nn.ReLU())
        self.middle = nn.Linear(50, 50, bias=False)
        self.head = nn.Linear(50, 10)
        self.unused = nn.Linear(3, 4)
        self.scale = nn.Parameter(np.ones(10, np.float32))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.middle(self.middle(self.encoder(x)))) * self.scale


def test_rows_and_totals() -> None:
    net = Net()
    found = nn.summary(net, (784,))
    assert [(row.path, row.kind, row.output_shape, row.parameters, row.multiply_adds) for row in found.rows] == [
        ("", "Net", (1, 10), 10, 0),
        ("encoder.0", "Linear", (1, 50), 784 * 50 + 50, 784 * 50),
        ("encoder.1", "BatchNorm1d", (1, 50), 100, 0),
        ("encoder.2", "ReLU", (1, 50), 0, 0),
        ("middle", "Linear", (1, 50), 2500, 5000),
        ("head", "Linear", (1, 10), 510, 500),
        ("unused", "Linear", None, 16, 0),
    ]
    assert found.total_parameters == sum(parameter.numel() for parameter in net.parameters())
    assert found.multiply_adds == 784 * 50 + 5000 + 500
    assert found.input_shape == (1, 784)


def test_a_batch_size_scales_the_work() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 5))
    found = net.summary(input_size=(7, 3, 4))
    assert found.rows[1].output_shape == (7, 5)
    assert found.multiply_adds == 7 * 12 * 5


def test_shared_parameters_count_once() -> None:
    net = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    net[1].weight = net[0].weight
    found = nn.summary(net, (5,))
    assert [row.parameters for row in found.rows] == [30, 5]
    assert found.total_parameters == 35


def test_integers_go_into_an_embedding() -> None:
    found = nn.summary(nn.Sequential(nn.Embedding(100, 8), nn.Flatten()), (4,), dtype=np.int64)
    assert [row.output_shape for row in found.rows] == [(1, 4, 8), (1, 32)]


def test_it_prints_a_table() -> None:
    net = Net().double()
    net.head.requires_grad_(False)
    found = nn.summary(net, (784,))
    text = str(found)
    assert repr(found) == text
    lines = text.splitlines()
    assert "input (1, 784)" in lines[0]
    row = next(line for line in lines if "encoder.0" in line)
    assert [cell.strip() for cell in row.strip("│┃|").split("│")] == [
        "encoder.0",
        "Linear",
        "(1, 50)",
        "39,250",
        "39,200",
    ]
    assert any("unused" in line and "not called" in line for line in lines)
    assert any("total" in line and "42,386" in line and "44,700" in line for line in lines)
    assert lines[-1] == "510 parameters are frozen"


def test_the_net_stays_as_it_was() -> None:
    net = Net()
    net.encoder.eval()
    before = {name: tensor.array.copy() for name, tensor in net.state_dict().items()}
    modes = [module.training for module in net.modules()]
    nn.summary(net, input_size=(3, 784))
    with pytest.raises(ShapeError) as caught:
        nn.summary(net, (783,))
    assert caught.value.__notes__ == ["in net.encoder.0: Linear(784, 50), input (1, 783) float32"]
    assert [module.training for module in net.modules()] == modes
    assert not any(module._forward_hooks for module in net.modules())
    for name, tensor in net.state_dict().items():
        np.testing.assert_array_equal(tensor.array, before[name])


def test_exactly_one_shape() -> None:
    with pytest.raises(ArgumentError, match="either input_shape"):
        nn.summary(Net())
    with pytest.raises(ArgumentError, match="either input_shape"):
        nn.summary(Net(), (784,), input_size=(1, 784))
