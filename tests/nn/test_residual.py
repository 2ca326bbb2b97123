"""The residual block: its formula, its skip, its names."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, ShapeError
from tinygrad_mlp.kernels.random import Generator

RNG = np.random.default_rng(0)


def normalised(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    return F.batch_norm(x, weight=norm.weight, bias=norm.bias, training=True)


@pytest.mark.parametrize(("channels", "out", "stride"), [(3, None, 1), (3, 3, 2), (3, 5, 1), (4, 6, 2)])
def test_two_convolutions_and_a_skip(channels: int, out: int | None, stride: int) -> None:
    block = nn.ResidualBlock(channels, out, stride, dtype=np.float64, generator=Generator(0))
    for norm in (module for module in block.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.weight.data.uniform_(0.5, 1.5)
        norm.bias.data.normal_()
    x = Tensor(RNG.standard_normal((2, channels, 7, 6)), requires_grad=True)
    inner = normalised(F.conv2d(x, block.conv1.weight, stride=stride, padding=1), block.bn1).relu()
    expected = normalised(F.conv2d(inner, block.conv2.weight, padding=1), block.bn2)
    if stride == 1 and out in (None, channels):
        assert block.downsample is None
        expected = (expected + x).relu()
    else:
        shortcut, norm = block.downsample
        assert shortcut.weight.shape == (out, channels, 1, 1)
        expected = (expected + normalised(F.conv2d(x, shortcut.weight, stride=stride), norm)).relu()
    found = block(x)
    assert found.shape == (2, out or channels, -(-7 // stride), -(-6 // stride))
    np.testing.assert_allclose(found.detach().numpy(), expected.detach().numpy(), rtol=1e-10, atol=1e-12)
    weights = Tensor(RNG.standard_normal(found.shape))
    (found * weights).sum().backward()
    gradient, x.grad = x.grad, None
    (expected * weights).sum().backward()
    np.testing.assert_allclose(gradient.array, x.grad.array, rtol=1e-9, atol=1e-10)


def test_parameters_have_the_names_of_torchvision() -> None:
    def norm(name: str) -> list[str]:
        return [f"{name}.{entry}" for entry in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")]

    names = ["conv1.weight", *norm("bn1"), "conv2.weight", *norm("bn2")]
    assert list(nn.ResidualBlock(4).state_dict()) == names
    with_skip = nn.ResidualBlock(4, 8, stride=2)
    assert list(with_skip.state_dict()) == [*names, "downsample.0.weight", *norm("downsample.1")]


def test_starting_values_come_from_the_generator() -> None:
    first, second = (nn.ResidualBlock(2, 3, generator=Generator(4)) for _ in range(2))
    for name, value in first.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), second.state_dict()[name].numpy())


def test_work_is_that_of_its_convolutions() -> None:
    found = nn.summary(nn.ResidualBlock(4, 8, stride=2), (4, 6, 6))
    assert found.multiply_adds == 9 * (8 * 9 * 4 + 8 * 9 * 8 + 8 * 4)


def test_what_is_refused() -> None:
    for arguments, name in (((0,), "in_channels"), ((2, 0), "out_channels"), ((2, 2, 0), "stride")):
        with pytest.raises(ArgumentError, match=f"ResidualBlock: {name} must be a whole number of at least 1, got 0"):
            nn.ResidualBlock(*arguments)
    with pytest.raises(ShapeError, match=r"ResidualBlock: input has shape \(2, 3, 5, 5\)") as caught:
        nn.Sequential(nn.ResidualBlock(4))(Tensor(np.zeros((2, 3, 5, 5), np.float32)))
    assert caught.value.__notes__[0].startswith("in net.0: ResidualBlock, input (2, 3, 5, 5)")
