"""Conv1d, Conv2d: what they compute, starting values, memory, states, fusion, settings that are refused."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import tinygrad_mlp as tg
from tests.autodiff.cases_conv import convolved
from tests.autodiff.test_cases import names_in_graph
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, CheckpointError, DtypeError, ShapeError
from tinygrad_mlp.kernels.random import Generator

RNG = np.random.default_rng(0)
MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # ours and NumPy's


def tensor(*shape: int, dtype: type = np.float64) -> Tensor:
    return Tensor(RNG.standard_normal(shape).astype(dtype))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2), "dilation": (1, 2)},
        {"kernel_size": 2, "padding": "same", "groups": 2},
        {"kernel_size": 2, "padding": "valid", "bias": False},
    ],
)
def test_conv2d_passes_its_settings_on(options: dict[str, Any]) -> None:
    options = {"kernel_size": 3, **options}
    layer = nn.Conv2d(4, 6, dtype=np.float64, generator=Generator(0), **options)
    x = tensor(2, 4, 7, 8)
    bias = None if layer.bias is None else layer.bias.array
    named = {name: options[name] for name in ("stride", "padding", "dilation", "groups") if name in options}
    expected = convolved(x.array, layer.weight.array, bias, **named)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer(x[0]).detach().numpy(), expected[0], rtol=1e-10, atol=1e-12)
    assert layer(x[:0]).shape == (0, *expected.shape[1:])


@pytest.mark.parametrize("options", [{}, {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}])
def test_conv1d_passes_its_settings_on(options: dict[str, Any]) -> None:
    layer = nn.Conv1d(4, 6, 3, dtype=np.float64, **options)
    x = tensor(2, 4, 9)
    assert layer.weight.shape == (6, 4 // layer.groups, 3)
    expected = convolved(x.array, layer.weight.array, layer.bias.array, **options)
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("padding", [1, (2, 1), "same", "valid"])
def test_padding_modes(mode: str, padding: Any) -> None:
    layer = nn.Conv2d(2, 3, (4, 2), padding=padding, padding_mode=mode, dilation=(1, 2), dtype=np.float64)
    x = tensor(2, 2, 6, 5)
    # An even window of 4 with "same": one before, two after.
    widths = {"same": ((1, 2), (1, 1)), "valid": ((0, 0), (0, 0)), 1: ((1, 1), (1, 1)), (2, 1): ((2, 2), (1, 1))}
    padded = np.pad(x.array, ((0, 0), (0, 0), *widths[padding]), MODES[mode])
    expected = convolved(padded, layer.weight.array, layer.bias.array, dilation=(1, 2))
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    sequences = nn.Conv1d(2, 3, 3, padding="same", padding_mode=mode, dtype=np.float64)
    x = tensor(2, 2, 6)
    padded = np.pad(x.array, ((0, 0), (0, 0), (1, 1)), MODES[mode])
    expected = convolved(padded, sequences.weight.array, sequences.bias.array)
    np.testing.assert_allclose(sequences(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_conv_starts_uniform_in_one_over_root_fan_in() -> None:
    for layer, fan_in in (
        (nn.Conv2d(64, 256, 3, groups=2, generator=Generator(1)), 32 * 9),
        (nn.Conv1d(64, 512, 7, generator=Generator(1)), 64 * 7),
    ):
        bound = 1 / math.sqrt(fan_in)
        for values in (layer.weight.array, layer.bias.array):
            assert 0.97 * bound < abs(values).max() <= bound
            assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.1)


def test_conv_starts_the_same_from_the_same_seed() -> None:
    first, second, other = (nn.Conv2d(2, 3, 3, generator=Generator(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.weight.array, second.weight.array)
    np.testing.assert_array_equal(first.bias.array, second.bias.array)
    assert not np.array_equal(first.weight.array, other.weight.array)
    tg.manual_seed(9)
    default = nn.Conv2d(2, 3, 3).weight.array
    tg.manual_seed(9)
    np.testing.assert_array_equal(nn.Conv2d(2, 3, 3).weight.array, default)


def test_conv_stores_its_weight_the_way_kernels_read_it() -> None:
    layer, sequences = nn.Conv2d(4, 6, (2, 3), groups=2), nn.Conv1d(4, 6, 5)
    assert layer.weight.shape == (6, 2, 2, 3)
    for each in (layer, copy.deepcopy(layer), copy.deepcopy(layer).double()):
        assert each.weight.array.transpose(2, 3, 1, 0).flags.c_contiguous
    assert sequences.weight.array.transpose(2, 1, 0).flags.c_contiguous
    layer(tensor(2, 4, 5, 5, dtype=np.float32)).sum().backward()
    assert layer.weight.grad.array.strides == layer.weight.array.strides


def test_states_move_both_ways() -> None:
    layer, other = (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv1d(2, 4, 5)) for _ in range(2))
    state = {name: np.ascontiguousarray(value.numpy()) for name, value in layer.state_dict().items()}
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    other.load_state_dict(state)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), state[name])
    assert other[0].weight.array.transpose(2, 3, 1, 0).flags.c_contiguous
    state["0.weight"] = state["0.weight"].transpose(1, 0, 2, 3)
    with pytest.raises(CheckpointError, match=r"0\.weight: got shape \(3, 8, 3, 3\), expected \(8, 3, 3, 3\)"):
        other.load_state_dict(state)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.Sigmoid])
def test_a_fused_activation_has_the_bits_of_one_that_runs_by_itself(activation: type[nn.Module]) -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3, padding=1), activation(), nn.Conv2d(5, 2, 2), activation(), nn.Flatten(2), nn.Conv1d(2, 3, 4)
    )
    net.append(activation())
    x = tg.randn(4, 3, 6, 5, requires_grad=True)

    def run() -> list[bytes]:
        x.grad = None
        net.zero_grad()
        out = net(x)
        out.square().sum().backward()
        return [tensor.array.tobytes() for tensor in (out, x.grad, *[parameter.grad for parameter in net.parameters()])]

    fused = run()
    assert not {"relu", "tanh", "sigmoid"} & set(names_in_graph([net(x)]))
    calls: list[str] = []
    for module in net:
        module.register_forward_hook(lambda module, args, out: calls.append(type(module).__name__))
    assert run() == fused
    assert calls.count(activation.__name__) == 3


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (nn.Conv2d(1, 32, 3), "Conv2d(1, 32, kernel_size=(3, 3), stride=(1, 1))"),
        (
            nn.Conv2d(2, 4, (3, 1), 2, "valid", 2, 2, False, "reflect"),
            "Conv2d(2, 4, kernel_size=(3, 1), stride=(2, 2), padding=valid, dilation=(2, 2), groups=2, bias=False, "
            "padding_mode=reflect)",
        ),
        (nn.Conv1d(2, 4, 3, padding=1), "Conv1d(2, 4, kernel_size=(3,), stride=(1,), padding=(1,))"),
    ],
)
def test_repr(layer: nn.Module, text: str) -> None:
    assert repr(layer) == text


@pytest.mark.parametrize(
    ("make", "error", "match"),
    [
        (lambda: nn.Conv2d(0, 3, 3), ArgumentError, "Conv2d: in_channels must be a whole number of at least 1, got 0"),
        (lambda: nn.Conv2d(3, 2.0, 3), ArgumentError, "Conv2d: out_channels must be a whole number"),
        (
            lambda: nn.Conv2d(3, 3, 0),
            ArgumentError,
            "Conv2d: kernel_size must be a whole number from 1, or a pair of such, got 0",
        ),
        (
            lambda: nn.Conv1d(3, 3, (3, 3)),
            ArgumentError,
            r"Conv1d: kernel_size must be .* a tuple of one such, got \(3, 3\)",
        ),
        (lambda: nn.Conv2d(3, 3, 2.5), ArgumentError, "Conv2d: kernel_size must be .*, got 2.5"),
        (lambda: nn.Conv2d(3, 3, 3, stride=0), ArgumentError, "Conv2d: stride must be a whole number from 1, .* got 0"),
        (
            lambda: nn.Conv2d(3, 3, 3, stride=(1, -1)),
            ArgumentError,
            r"Conv2d: stride must be a whole number from 1, .* got \(1, -1\)",
        ),
        (
            lambda: nn.Conv2d(3, 3, 3, dilation=0),
            ArgumentError,
            "Conv2d: dilation must be a whole number from 1, .* got 0",
        ),
        (
            lambda: nn.Conv2d(3, 3, 3, padding=-1),
            ArgumentError,
            "Conv2d: padding must be a whole number from 0, .* got -1",
        ),
        (lambda: nn.Conv2d(3, 3, 3, padding="full"), ArgumentError, "Conv2d: unknown padding 'full'"),
        (lambda: nn.Conv2d(3, 3, 3, 2, "same"), ArgumentError, r"Conv2d: padding 'same' with stride \(2, 2\)"),
        (
            lambda: nn.Conv2d(3, 4, 3, groups=2),
            ArgumentError,
            "groups is 2, expected a number that divides in_channels, 3",
        ),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ArgumentError, "Conv2d: groups is 2, .* and out_channels, 3"),
        (lambda: nn.Conv2d(4, 3, 3, groups=0), ArgumentError, "Conv2d: groups must be a whole number of at least 1"),
        (lambda: nn.Conv2d(3, 3, 3, padding_mode="mirror"), ArgumentError, "Conv2d: unknown padding_mode 'mirror'"),
        (lambda: nn.Conv2d(3, 3, 3, dtype=np.int64), DtypeError, "Conv2d: parameters must be float32 or float64"),
    ],
)
def test_settings_that_are_refused(make: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        make()


@pytest.mark.parametrize(
    ("layer", "shape", "match"),
    [
        (nn.Conv2d(3, 4, 3), (2, 4, 5, 5), r"Conv2d: input has shape \(2, 4, 5, 5\), expected \(N, 3, H, W\) or \(3,"),
        (nn.Conv2d(3, 4, 3), (3, 5), r"Conv2d: input has shape \(3, 5\), expected"),
        (nn.Conv1d(3, 4, 3), (2, 3, 5, 5), r"Conv1d: input has shape \(2, 3, 5, 5\), expected \(N, 3, L\) or \(3, L\)"),
        (
            nn.Conv2d(3, 4, 5, padding=1),
            (2, 3, 4, 2),
            r"the kernel \(5, 5\), .* is larger than the padded input \(6, 4\)",
        ),
        (nn.Conv1d(3, 4, 3, dilation=2), (2, 3, 4), r"the kernel \(3,\), with dilation \(2,\), is larger than"),
        (nn.Conv2d(3, 4, 3, padding=3, padding_mode="reflect"), (2, 3, 3, 9), r"mode 'reflect' cannot pad dim 2"),
    ],
)
def test_shapes_that_are_refused_name_the_path(layer: nn.Module, shape: tuple[int, ...], match: str) -> None:
    with pytest.raises(ShapeError, match=match) as caught:
        nn.Sequential(nn.Identity(), layer)(tensor(*shape, dtype=np.float32))
    assert caught.value.__notes__ == [f"in net.1: {layer!r}, input {shape} float32"]


def test_summary_counts_multiply_adds() -> None:
    net = nn.Sequential(
        nn.Conv2d(4, 8, 3, stride=2, padding=1, groups=2), nn.ReLU(), nn.Flatten(2), nn.Conv1d(8, 2, 5, padding="same")
    )
    found = nn.summary(net, (4, 10, 9))
    assert [row.multiply_adds for row in found.rows] == [8 * 5 * 5 * 2 * 9, 0, 0, 2 * 25 * 8 * 5]
    assert [row.output_shape for row in found.rows] == [(1, 8, 5, 5), (1, 8, 5, 5), (1, 8, 25), (1, 2, 25)]
