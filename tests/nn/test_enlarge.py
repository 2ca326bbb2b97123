"""ConvTranspose1d, ConvTranspose2d, Upsample, pooling of sequences, PReLU: settings, starting values, errors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.cases_enlarge import enlarged
from tinygrad_mlp import nn, optim
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.random import Generator
from tinygrad_mlp.nn import functional as F

RNG = np.random.default_rng(0)


def tensor(*shape: int, dtype: type = np.float64) -> Tensor:
    return Tensor(RNG.standard_normal(shape).astype(dtype))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stride": 2, "padding": 1, "output_padding": 1},
        {"kernel_size": (3, 2), "stride": (2, 3), "padding": (0, 1), "dilation": (1, 2), "output_padding": (1, 2)},
        {"kernel_size": 2, "groups": 2, "bias": False},
    ],
)
def test_conv_transpose2d_passes_its_settings_on(options: dict[str, Any]) -> None:
    options = {"kernel_size": 3, **options}
    layer = nn.ConvTranspose2d(4, 6, dtype=np.float64, generator=Generator(0), **options)
    x = tensor(2, 4, 3, 5)
    bias = None if layer.bias is None else layer.bias.array
    named = {name: value for name, value in options.items() if name not in ("kernel_size", "bias")}
    expected = enlarged(x.array, layer.weight.array, bias, **named)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    assert layer.multiply_adds(layer(x).shape) == x.numel() * layer.weight.numel() // 4


def test_conv_transpose1d_passes_its_settings_on() -> None:
    layer = nn.ConvTranspose1d(4, 2, 3, stride=2, padding=1, output_padding=1, dilation=2, dtype=np.float64)
    x = tensor(2, 4, 5)
    expected = enlarged(x.array, layer.weight.array, layer.bias.array, 2, 1, 1, 1, 2)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    assert repr(layer) == (
        "ConvTranspose1d(4, 2, kernel_size=(3,), stride=(2,), padding=(1,), output_padding=(1,), dilation=(2,))"
    )


@pytest.mark.parametrize("options", [{"stride": 2, "padding": 1}, {"stride": 3}, {"stride": 2, "groups": 2}])
def test_it_is_the_transpose_of_a_convolution(options: dict[str, Any]) -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, with the same weight."""
    weight, x = tensor(4, 6 // options.get("groups", 1), 3, 3), tensor(2, 6, 7, 9)
    y = tensor(*F.conv2d(x, weight, **options).shape)
    back = F.conv_transpose2d(y, weight, **options)
    more = tuple(size - found for size, found in zip(x.shape[2:], back.shape[2:], strict=True))
    back = F.conv_transpose2d(y, weight, output_padding=more, **options)
    assert back.shape == x.shape
    assert (F.conv2d(x, weight, **options) * y).sum().item() == pytest.approx((x * back).sum().item())


def test_an_output_size_says_what_the_padding_is() -> None:
    layer = nn.ConvTranspose2d(1, 1, 3, stride=2, padding=1)
    x = tg.zeros(2, 1, 4, 5)
    assert layer(x).shape == (2, 1, 7, 9)
    assert layer(x, output_size=(8, 9)).shape == layer(x, output_size=[2, 1, 8, 9]).shape == (2, 1, 8, 9)
    with pytest.raises(ArgumentError, match=r"output_size is \(9, 9\), expected from \(7, 9\) to \(8, 10\)"):
        layer(x, output_size=(9, 9))


def test_it_starts_as_pytorchs() -> None:
    layer = nn.ConvTranspose2d(64, 32, 5, generator=Generator(1))
    bound = 1 / math.sqrt(32 * 25)
    assert layer.weight.shape == (64, 32, 5, 5)
    assert 0.99 * bound < abs(layer.weight.array).max() <= bound and abs(layer.bias.array).max() <= bound
    assert layer.weight.array.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert layer.weight.array.transpose(2, 3, 1, 0).flags.c_contiguous


def test_an_autoencoder_learns_and_a_captured_step_is_the_same() -> None:
    def losses(is_captured: bool) -> list[float]:
        tg.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.PReLU(4),
            nn.ConvTranspose2d(4, 4, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2, mode="bilinear"),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 1, 3, padding=1),
        )
        optimizer = optim.Adam(net.parameters(), lr=1e-2)
        x = tg.rand(8, 1, 8, 8)

        def step(x: Tensor) -> Tensor:
            optimizer.zero_grad()
            loss = F.mse_loss(net(x), x)
            loss.backward()
            optimizer.step()
            return loss

        run = tg.capture(step) if is_captured else step
        return [run(x).item() for _ in range(40)]

    eager = losses(False)
    assert eager[-1] < 0.5 * eager[0]
    assert losses(True) == eager


def test_pools_of_sequences() -> None:
    x = tg.tensor([[[1.0, 3.0, 2.0, 5.0, 4.0]]])
    assert nn.MaxPool1d(2)(x).tolist() == [[[3.0, 5.0]]]
    values, places = nn.MaxPool1d(3, stride=2, return_indices=True)(x)
    assert (values.tolist(), places.tolist()) == ([[[3.0, 5.0]]], [[[1, 3]]])
    assert nn.AvgPool1d(2, stride=1)(x).tolist() == [[[2.0, 2.5, 3.5, 4.5]]]
    assert nn.AdaptiveAvgPool1d(1)(x).tolist() == [[[3.0]]]
    assert repr(nn.MaxPool1d(2)) == "MaxPool1d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)"


def test_prelu_learns_a_slope_for_each_channel() -> None:
    layer = nn.PReLU(3, init=0.5, dtype=np.float64)
    x = -abs(tensor(2, 3, 4))
    layer(x).sum().backward()
    np.testing.assert_allclose(layer.weight.grad.array, x.array.sum((0, 2)))
    assert set(layer.state_dict()) == {"weight"}


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: nn.ConvTranspose2d(3, 4, 3, groups=2), ArgumentError, "groups is 2, expected a number that divides"),
        (
            lambda: nn.ConvTranspose2d(3, 4, 3, output_padding=1),
            ArgumentError,
            "output_padding is 1, expected less",
        ),
        (lambda: nn.ConvTranspose2d(3, 4, 3, padding_mode="reflect"), ArgumentError, "padding_mode"),
        (lambda: nn.ConvTranspose1d(3, 4, (3, 3)), ArgumentError, "kernel_size must be .* a tuple of one such"),
        (
            lambda: F.conv_transpose2d(tg.ones(1, 2, 3, 3), tg.ones(3, 2, 2, 2)),
            ShapeError,
            "the input has 2 channels",
        ),
        (lambda: F.conv_transpose2d(tg.ones(1, 2, 1, 1), tg.ones(2, 1, 2, 2), padding=1), ShapeError, "leaves nothing"),
        (
            lambda: F.conv_transpose2d(tg.ones(1, 2, 3, 3), tg.ones(2, 3, 2, 2), tg.ones(2)),
            ShapeError,
            r"bias has shape \(2,\), expected \(3,\)",
        ),
        (lambda: F.conv_transpose2d(tg.ones(1, 2, 3, 3), tg.ones(2, 3, 2, 2).double()), DtypeError, "do not mix"),
        (lambda: F.conv_transpose2d(tg.ones(2, 3), tg.ones(2, 3, 2, 2)), ShapeError, r"expected \(N, in, H, W\) or"),
        (lambda: F.max_pool1d(tg.ones(1, 2, 3), 3, padding=2), ArgumentError, "more than half of the window of 3"),
        (lambda: F.avg_pool1d(tg.ones(1, 2, 0), 1), ShapeError, "with L of at least 1"),
        (nn.Upsample, ArgumentError, "size=None and scale_factor=None, expected one of them"),
        (lambda: F.interpolate(tg.ones(1, 1, 2, 2), 3, mode="linear"), ArgumentError, "use 'bilinear'"),
        (lambda: F.interpolate(tg.ones(1, 1, 2, 2), 3, align_corners=True), ArgumentError, "align_corners is for"),
        (lambda: F.interpolate(tg.ones(1, 1, 2, 2), scale_factor=0.1), ArgumentError, "leaves nothing of"),
        (lambda: F.interpolate(tg.ones(1, 1, 2, 2), scale_factor=-1), ArgumentError, "expected a positive number"),
        (lambda: F.interpolate(tg.ones(1, 1, 2, 2), 2, mode="bicubic"), ArgumentError, "bicubic"),
    ],
)
def test_wrong_input(call: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        call()
