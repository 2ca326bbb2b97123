"""Layers: what they compute, their starting values, their settings, and errors that name the module."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest

import tinygrad_mlp.nn.functional as F
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.capture import capture
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.random_state import manual_seed
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, IndexRangeError, ShapeError
from tinygrad_mlp.kernels.random import Generator

RNG = np.random.default_rng(0)


def tensor(*shape: int, dtype: type = np.float32) -> Tensor:
    return Tensor(RNG.standard_normal(shape).astype(dtype))


# Linear


def test_linear_computes_and_differentiates() -> None:
    layer = nn.Linear(4, 3, dtype=np.float64, generator=Generator(0))
    x = tensor(5, 4, dtype=np.float64)
    out = layer(x)
    np.testing.assert_allclose(out.detach().numpy(), x.array @ layer.weight.array.T + layer.bias.array, rtol=1e-12)
    out.sum().backward()
    np.testing.assert_allclose(layer.weight.grad.array, np.ones((3, 5)) @ x.array, rtol=1e-12)
    np.testing.assert_allclose(layer.bias.grad.array, [5, 5, 5])
    assert nn.Linear(4, 3)(tensor(2, 6, 4)).shape == (2, 6, 3)
    assert nn.Linear(4, 3)(tensor(4)).shape == (3,)


def test_linear_stores_its_weight_the_way_kernels_read_it() -> None:
    layer = nn.Linear(4, 3)
    assert layer.weight.shape == (3, 4)
    assert layer.weight.array.T.flags.c_contiguous
    copied = copy.deepcopy(layer)
    assert copied.weight.array.T.flags.c_contiguous
    assert layer.double().weight.array.T.flags.c_contiguous


def test_linear_starts_uniform_in_one_over_root_in() -> None:
    layer = nn.Linear(400, 300, generator=Generator(1))
    bound = 1 / math.sqrt(400)
    for values in (layer.weight.array, layer.bias.array):
        assert 0.98 * bound < abs(values).max() <= bound
        assert values.std() == pytest.approx(bound / math.sqrt(3), rel=0.05)


def test_layers_start_the_same_from_the_same_seed() -> None:
    for make in (lambda **options: nn.Linear(4, 3, **options), lambda **options: nn.Embedding(4, 3, **options)):
        first, second, other = (make(generator=Generator(seed)).weight.array for seed in (1, 1, 2))
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, other)
        manual_seed(9)
        first = make().weight.array
        second = make().weight.array
        manual_seed(9)
        np.testing.assert_array_equal(make().weight.array, first)
        assert not np.array_equal(first, second)


def test_linear_without_bias() -> None:
    layer = nn.Linear(4, 3, bias=False)
    assert layer.bias is None
    assert list(layer.state_dict()) == ["weight"]
    assert repr(layer) == "Linear(4, 3, bias=False)"
    layer.bias = nn.Parameter(np.ones(3, np.float32))
    assert list(layer.state_dict()) == ["weight", "bias"]
    assert repr(layer) == "Linear(4, 3)"


@pytest.mark.parametrize("size", [0, -1, 2.0, True, None, "3"])
def test_sizes_are_whole_numbers_of_at_least_one(size: object) -> None:
    for make, argument in [
        (lambda: nn.Linear(size, 3), "Linear: in_features"),
        (lambda: nn.Linear(3, size), "Linear: out_features"),
        (lambda: nn.BatchNorm1d(size), "BatchNorm1d: num_features"),
        (lambda: nn.BatchNorm2d(size), "BatchNorm2d: num_features"),
        (lambda: nn.LayerNorm([3, size]), "LayerNorm: normalized_shape"),
        (lambda: nn.Embedding(size, 3), "Embedding: num_embeddings"),
        (lambda: nn.Embedding(3, size), "Embedding: embedding_dim"),
        (lambda: nn.Unflatten(1, (size, 3)), "Unflatten: each size"),
    ]:
        with pytest.raises(ArgumentError, match=f"{argument} must be a whole number of at least 1, got {size!r}"):
            make()


def test_sizes_may_be_numpy_integers() -> None:
    layer = nn.Linear(np.int64(4), np.int32(3))
    assert type(layer.in_features) is int
    assert repr(layer) == "Linear(4, 3)"


def test_parameters_are_floats() -> None:
    for make in (lambda dtype: nn.Linear(2, 2, dtype=dtype), lambda dtype: nn.LayerNorm(2, dtype=dtype)):
        assert all(parameter.dtype == np.float64 for parameter in make("float64").parameters())
        with pytest.raises(DtypeError, match="parameters must be float32 or float64, got dtype int64"):
            make(np.int64)
        with pytest.raises(DtypeError, match="float16"):
            make(np.float16)


# Layers that reshape


def test_reshaping_layers() -> None:
    x = tensor(2, 3, 4, 5)
    assert nn.Identity(3, inplace=True)(x) is x
    np.testing.assert_array_equal(nn.Flatten()(x).array, x.array.reshape(2, 60))
    np.testing.assert_array_equal(nn.Flatten(0, 1)(x).array, x.array.reshape(6, 4, 5))
    np.testing.assert_array_equal(nn.Unflatten(1, (1, 3))(x).array, x.array[:, None])
    np.testing.assert_array_equal(nn.Unflatten(-2, (2, 2))(x).array, x.array.reshape(2, 3, 2, 2, 5))
    for dim, sizes in [(1, (2, 2)), (4, (1, 3)), (-5, (2,))]:
        with pytest.raises(ShapeError, match=r"Unflatten\(.*\): input has shape \(2, 3, 4, 5\), expected dimension"):
            nn.Unflatten(dim, sizes)(x)


# Activations


@pytest.mark.parametrize(
    ("layer", "expected", "text"),
    [
        (nn.ReLU(inplace=True), F.relu, "ReLU()"),
        (nn.LeakyReLU(), F.leaky_relu, "LeakyReLU(negative_slope=0.01)"),
        (nn.LeakyReLU(0.3, True), lambda x: F.leaky_relu(x, 0.3), "LeakyReLU(negative_slope=0.3)"),
        (nn.ELU(2), lambda x: F.elu(x, 2.0), "ELU(alpha=2.0)"),
        (nn.GELU(), F.gelu, "GELU(approximate='none')"),
        (nn.GELU("tanh"), lambda x: F.gelu(x, "tanh"), "GELU(approximate='tanh')"),
        (nn.SiLU(), F.silu, "SiLU()"),
        (nn.Sigmoid(), F.sigmoid, "Sigmoid()"),
        (nn.LogSigmoid(), F.logsigmoid, "LogSigmoid()"),
        (nn.Softplus(2, 1), lambda x: F.softplus(x, 2.0, 1.0), "Softplus(beta=2.0, threshold=1.0)"),
        (nn.Tanh(), F.tanh, "Tanh()"),
        (nn.Hardtanh(-0.5, 0.25), lambda x: F.hardtanh(x, -0.5, 0.25), "Hardtanh(min_val=-0.5, max_val=0.25)"),
        (nn.Softmax(dim=0), lambda x: F.softmax(x, 0), "Softmax(dim=0)"),
        (nn.LogSoftmax(-1), lambda x: F.log_softmax(x, -1), "LogSoftmax(dim=-1)"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,  # not where functions lie in memory
)
def test_activations(layer: nn.Module, expected: object, text: str) -> None:
    x = tensor(4, 5)
    before = x.array.copy()
    np.testing.assert_array_equal(layer(x).array, expected(x).array)
    np.testing.assert_array_equal(x.array, before)
    assert repr(layer) == text


def test_activations_by_name() -> None:
    for name, kind in nn.ACTIVATIONS.items():
        assert type(nn.activation(name)) is kind
    assert nn.activation("leaky_relu", negative_slope=0.2).negative_slope == 0.2
    with pytest.raises(ArgumentError, match=r"'tahn', did you mean 'tanh'\?; known are relu, leaky_relu"):
        nn.activation("tahn")
    with pytest.raises(ArgumentError, match="unknown activation None; known are"):
        nn.activation(None)


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: nn.LeakyReLU(math.nan), "LeakyReLU: negative_slope must be a finite number, got nan"),
        (lambda: nn.ELU("1"), "ELU: alpha must be a finite number, got '1'"),
        (lambda: nn.GELU("exact"), "GELU: unknown approximate 'exact'; expected one of 'none', 'tanh'"),
        (lambda: nn.Softplus(0), "Softplus: beta must be greater than 0, got 0"),
        (lambda: nn.Hardtanh(1, 1), "Hardtanh: max_val must be greater than 1, got 1"),
        (lambda: nn.Dropout(1.5), "Dropout: p must lie in 0 to 1, got 1.5"),
        (lambda: nn.Dropout(-0.1), "Dropout: p must lie in 0 to 1, got -0.1"),
        (lambda: nn.Dropout(True), "Dropout: p must lie in 0 to 1, got True"),
        (lambda: nn.BatchNorm1d(3, eps=-1), "BatchNorm1d: eps must be at least 0, got -1"),
        (lambda: nn.BatchNorm2d(3, momentum=2), "BatchNorm2d: momentum must lie in 0 to 1, got 2"),
        (lambda: nn.LayerNorm(3, eps=math.inf), "LayerNorm: eps must be at least 0, got inf"),
        (lambda: nn.LayerNorm(()), "LayerNorm: normalized_shape must hold at least one size"),
        (lambda: nn.Embedding(3, 2, padding_idx=3), "Embedding: padding_idx must lie in -3 to 2, got 3"),
    ],
)
def test_impossible_settings(make: object, match: str) -> None:
    with pytest.raises(ArgumentError, match=match):
        make()


# Dropout


def test_dropout_acts_in_training_only() -> None:
    layer = nn.Dropout(0.25, generator=Generator(0))
    x = Tensor(np.ones((100, 100), np.float32))
    out = layer(x).array
    assert set(np.unique(out)) == {0, np.float32(1 / 0.75)}
    assert np.mean(out == 0) == pytest.approx(0.25, abs=0.02)
    assert not np.array_equal(layer(x).array, out)
    layer.generator.manual_seed(0)
    np.testing.assert_array_equal(layer(x).array, out)
    np.testing.assert_array_equal(layer.eval()(x).array, x.array)
    assert repr(layer) == "Dropout(p=0.25)"


@pytest.mark.parametrize(("kind", "shape"), [(nn.Dropout1d, (9, 8, 5)), (nn.Dropout2d, (9, 8, 3, 2))])
def test_dropout_of_channels_acts_in_training_only(kind: type[nn.Dropout1d], shape: tuple[int, ...]) -> None:
    layer = kind(0.5, generator=Generator(0))
    x = Tensor(np.ones(shape, np.float32))
    channels = layer(x).array.reshape(72, -1)
    assert set(np.unique(channels)) == {0, 2}
    np.testing.assert_array_equal(channels.min(1), channels.max(1))
    assert layer.eval()(x) is x
    assert repr(layer) == f"{kind.__name__}(p=0.5)"


def test_dropout_draws_from_the_default_generator() -> None:
    x = tensor(20, 20)
    outs = []
    for seed in (1, 1, 2):
        manual_seed(seed)
        outs.append(nn.Dropout(0.5, inplace=True)(x).array)
    np.testing.assert_array_equal(outs[0], outs[1])
    assert not np.array_equal(outs[0], outs[2])


# Norms


@pytest.mark.parametrize(
    ("kind", "shape"), [(nn.BatchNorm1d, (8, 3)), (nn.BatchNorm1d, (4, 3, 5)), (nn.BatchNorm2d, (4, 3, 2, 2))]
)
def test_batch_norm_normalises_and_remembers(kind: type[nn.BatchNorm1d], shape: tuple[int, ...]) -> None:
    layer = kind(3, momentum=0.25, dtype=np.float64)
    with no_grad():
        layer.weight.copy_(np.array([1.0, 2.0, 3.0]))
        layer.bias.copy_(np.array([0.0, 1.0, 2.0]))
    x = tensor(*shape, dtype=np.float64)
    channels = np.moveaxis(x.array, 1, 0).reshape(3, -1)
    mean, variance = channels.mean(1), channels.var(1)
    column = (slice(None), *[None] * (len(shape) - 2))
    scale, shift = layer.weight.array[column], layer.bias.array[column]
    expected = (x.array - mean[column]) / np.sqrt(variance[column] + 1e-5) * scale + shift
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer.running_mean.array, 0.25 * mean)
    np.testing.assert_allclose(layer.running_var.array, 0.75 + 0.25 * channels.var(1, ddof=1))
    assert layer.num_batches_tracked.item() == 1
    assert layer.num_batches_tracked.dtype == np.int64
    layer.eval()
    running_mean, running_var = layer.running_mean.array.copy(), layer.running_var.array.copy()
    expected = (x.array - running_mean[column]) / np.sqrt(running_var[column] + 1e-5) * scale + shift
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_array_equal(layer.running_mean.array, running_mean)
    assert layer.num_batches_tracked.item() == 1
    layer.reset_parameters()
    assert layer.running_mean.tolist() == layer.bias.tolist() == [0, 0, 0]
    assert layer.running_var.tolist() == layer.weight.tolist() == [1, 1, 1]
    assert layer.num_batches_tracked.item() == 0


def test_batch_norm_with_momentum_none_averages_all_batches() -> None:
    layer = nn.BatchNorm1d(3, momentum=None, dtype=np.float64)
    batches = [tensor(6, 3, dtype=np.float64) for _ in range(4)]
    for batch in batches:
        layer(batch)
    np.testing.assert_allclose(layer.running_mean.array, np.mean([batch.array.mean(0) for batch in batches], 0))
    np.testing.assert_allclose(layer.running_var.array, np.mean([batch.array.var(0, ddof=1) for batch in batches], 0))
    layer.eval()
    assert layer(batches[0]).shape == (6, 3)


def test_batch_norm_without_running_statistics_or_affine() -> None:
    layer = nn.BatchNorm1d(3, affine=False, track_running_stats=False, dtype=np.float64)
    assert list(layer.state_dict()) == []
    x = tensor(6, 3, dtype=np.float64)
    for mode in (True, False):
        out = layer.train(mode)(x).array
        np.testing.assert_allclose(out.mean(0), 0, atol=1e-12)
        np.testing.assert_allclose(out.var(0), 1, rtol=1e-3)
    assert repr(layer) == "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=False, track_running_stats=False)"
    layer.momentum = None
    assert layer.train()(x).shape == (6, 3)
    layer.reset_parameters()


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_rest_while_they_are_not_tracked(momentum: float | None, captured: bool) -> None:
    layer = nn.BatchNorm1d(3, momentum=momentum, affine=False)
    if captured and momentum is None:
        layer.momentum = 0.5  # a mean over all batches cannot be captured

    def train(x: Tensor) -> Tensor:
        return layer(x)

    step = capture(train) if captured else train
    for _ in range(3):
        step(tensor(6, 3))
    buffers = [buffer.array.copy() for buffer in layer.buffers()]
    layer.track_running_stats = False
    for _ in range(3):
        out = step(tensor(6, 3))
    np.testing.assert_allclose(out.array.mean(0), 0, atol=1e-6)
    np.testing.assert_equal([buffer.array for buffer in layer.buffers()], buffers)
    x = tensor(6, 3)
    expected = (x.array - buffers[0]) / np.sqrt(buffers[1] + 1e-5)
    np.testing.assert_allclose(layer.eval()(x).array, expected, rtol=1e-5, atol=1e-6)
    layer.train().track_running_stats = True
    step(x)
    assert layer.num_batches_tracked.item() == 4


def test_running_statistics_that_are_not_tracked_rest_also_where_pooling_is_fused() -> None:
    net = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2))
    net[0].track_running_stats = False
    net(tensor(2, 3, 4, 4))
    assert net[0].running_mean.tolist() == [0, 0, 0]
    assert net[0].num_batches_tracked.item() == 0


def test_a_batch_that_fails_is_not_counted() -> None:
    layer = nn.BatchNorm1d(3)
    with pytest.raises(ShapeError) as caught:
        layer(tensor(1, 3))
    assert caught.value.__notes__[0].startswith("in BatchNorm1d(3, eps")
    assert layer.num_batches_tracked.item() == 0


def test_layer_norm() -> None:
    layer = nn.LayerNorm((3, 4), dtype=np.float64)
    with no_grad():
        layer.weight.copy_(RNG.standard_normal((3, 4)))
        layer.bias.copy_(RNG.standard_normal((3, 4)))
    x = tensor(5, 3, 4, dtype=np.float64)
    mean, variance = x.array.mean((1, 2), keepdims=True), x.array.var((1, 2), keepdims=True)
    expected = (x.array - mean) / np.sqrt(variance + 1e-5) * layer.weight.array + layer.bias.array
    np.testing.assert_allclose(layer(x).detach().numpy(), expected, rtol=1e-10, atol=1e-12)
    layer.reset_parameters()
    assert (layer.weight.array == 1).all()
    assert (layer.bias.array == 0).all()
    assert nn.LayerNorm(np.int64(4)).normalized_shape == (4,)
    for settings, names in [({"bias": False}, ["weight"]), ({"elementwise_affine": False}, [])]:
        layer = nn.LayerNorm(4, **settings)
        layer.reset_parameters()
        assert list(layer.state_dict()) == names
        assert layer(tensor(2, 4)).shape == (2, 4)
        name, value = next(iter(settings.items()))
        assert repr(layer) == f"LayerNorm((4,), eps=1e-05, {name}={value})"


# Embedding


def test_embedding() -> None:
    layer = nn.Embedding(5, 3, padding_idx=-1, dtype=np.float64, generator=Generator(0))
    assert layer.padding_idx == 4
    assert layer.weight.array[4].tolist() == [0, 0, 0]
    assert abs(layer.weight.array[:4]).min() > 0
    index = Tensor(np.array([[0, 4], [2, 0]]))
    out = layer(index)
    np.testing.assert_array_equal(out.detach().numpy(), layer.weight.array[index.array])
    out.sum().backward()
    np.testing.assert_array_equal(layer.weight.grad.array[:, 0], [2, 0, 1, 0, 0])
    assert repr(layer) == "Embedding(5, 3, padding_idx=4)"
    assert repr(nn.Embedding(5, 3)) == "Embedding(5, 3)"


# Errors name the module


@pytest.mark.parametrize(
    ("layer", "shape", "match"),
    [
        (nn.Linear(50, 10), (4, 49), r"input has shape \(4, 49\), expected \(…, 50\)"),
        (nn.Linear(50, 10), (), r"input has shape \(\), expected \(…, 50\)"),
        (nn.BatchNorm1d(50), (4, 49), r"BatchNorm1d: input has shape \(4, 49\), expected \(N, 50\) or \(N, 50, L\)"),
        (nn.BatchNorm1d(50), (50,), r"BatchNorm1d: input has shape \(50,\), expected"),
        (nn.BatchNorm1d(50), (4, 50, 2, 2), r"expected \(N, 50\) or \(N, 50, L\)"),
        (nn.BatchNorm2d(50), (4, 50), r"BatchNorm2d: input has shape \(4, 50\), expected \(N, 50, H, W\)"),
        (nn.BatchNorm2d(50), (4, 3, 50, 50), r"expected \(N, 50, H, W\)"),
        (nn.LayerNorm(50), (4, 49), r"input has shape \(4, 49\), expected"),
        (nn.Softmax(dim=2), (4, 49), "softmax"),
        (nn.Flatten(), (4,), "flatten"),
        (nn.Dropout2d(), (4, 49), r"Dropout2d: input has shape \(4, 49\).*for features \(N, C\) use nn\.Dropout\n"),
    ],
    ids=str,
)
def test_wrong_shapes_name_path_expected_and_got(layer: nn.Module, shape: tuple[int, ...], match: str) -> None:
    net = nn.Sequential(nn.Identity(), layer)
    with pytest.raises(ShapeError, match=match) as caught:
        net(tensor(*shape))
    assert caught.value.__notes__ == [f"in net.1: {layer!r}, input {shape} float32"]


@pytest.mark.parametrize(
    "layer", [nn.Linear(4, 4), nn.BatchNorm1d(4), nn.LayerNorm(4)], ids=lambda layer: type(layer).__name__
)
def test_mixed_dtypes_name_the_path(layer: nn.Module) -> None:
    with pytest.raises(DtypeError, match="float32 and float64 do not mix") as caught:
        nn.Sequential(layer)(tensor(3, 4, dtype=np.float64))
    assert caught.value.__notes__ == [f"in net.0: {layer!r}, input (3, 4) float64"]


def test_embedding_wants_integers_in_range() -> None:
    net = nn.Sequential(nn.Embedding(5, 3))
    with pytest.raises(DtypeError) as caught:
        net(tensor(3))
    assert caught.value.__notes__ == ["in net.0: Embedding(5, 3), input (3,) float32"]
    with pytest.raises(IndexRangeError) as caught:
        net(Tensor(np.array([5])))
    assert caught.value.__notes__ == ["in net.0: Embedding(5, 3), input (1,) int64"]
