"""Batch norm, layer norm and normalize against NumPy, their gradients, running statistics and refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.ops.norm import batch_norm, layer_norm, normalize
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, ShapeError

SHAPES = [(4, 3), (2, 3, 2), (2, 3, 2, 2), (3, 1), (1, 2, 2)]


def draw(*shape: int, seed: int = 0) -> np.ndarray:
    return rng(seed, *shape).normal(size=shape)


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def column(v: np.ndarray, ndim: int) -> np.ndarray:
    return v.reshape(1, -1, *[1] * (ndim - 2))


def reference(x, mean, var, weight, bias, eps=1e-5):
    mean, var, weight, bias = (column(v, x.ndim) for v in (mean, var, weight, bias))
    return (x - mean) / np.sqrt(var + eps) * weight + bias


def batch_axes(x: np.ndarray) -> tuple[int, ...]:
    return (0, *range(2, x.ndim))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("layout", [np.asarray, channels_last])
def test_batch_norm_in_training(shape, layout):
    x, channels = layout(draw(*shape) * 2 + 1), shape[1]
    weight, bias = draw(channels, seed=1), draw(channels, seed=2)
    mean, var = Tensor(draw(channels, seed=3)), Tensor(draw(channels, seed=4) ** 2)
    old_mean, old_var = mean.array.copy(), var.array.copy()
    axes = batch_axes(x)
    got = batch_norm(Tensor(x), mean, var, Tensor(weight), Tensor(bias), training=True, momentum=0.25, eps=1e-3)
    expected = reference(x, x.mean(axes), x.var(axes), weight, bias, 1e-3)
    np.testing.assert_allclose(got.array, expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(mean.array, 0.75 * old_mean + 0.25 * x.mean(axes), rtol=1e-12)
    np.testing.assert_allclose(var.array, 0.75 * old_var + 0.25 * x.var(axes, ddof=1), rtol=1e-12)
    assert mean.version == var.version == 1
    if layout is channels_last:
        assert got.array.strides == channels_last(got.array).strides
    without = batch_norm(Tensor(x), weight=Tensor(weight), bias=Tensor(bias), eps=1e-3)
    np.testing.assert_array_equal(without.array, got.array)  # no running statistics: those of the batch


@pytest.mark.parametrize("shape", SHAPES)
def test_batch_norm_in_evaluation(shape):
    x, channels = draw(*shape), shape[1]
    weight, bias = draw(channels, seed=1), draw(channels, seed=2)
    mean, var = Tensor(draw(channels, seed=3)), Tensor(draw(channels, seed=4) ** 2)
    got = batch_norm(Tensor(x), mean, var, Tensor(weight), Tensor(bias))
    np.testing.assert_allclose(got.array, reference(x, mean.array, var.array, weight, bias), rtol=1e-11, atol=1e-13)
    plain = batch_norm(Tensor(x), mean, var)
    np.testing.assert_allclose(
        plain.array, reference(x, mean.array, var.array, np.ones(channels), np.zeros(channels)), rtol=1e-11, atol=1e-13
    )
    assert mean.version == var.version == 0


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("training", [True, False])
def test_batch_norm_gradients(shape, training):
    channels = shape[1]
    mean, var = draw(channels, seed=3), draw(channels, seed=4) ** 2 + 0.5

    def function(x, weight=None, bias=None):
        return batch_norm(x, Tensor(mean.copy()), Tensor(var.copy()), weight, bias, training, eps=1e-2)

    x, weight, bias = draw(*shape), draw(channels, seed=1), draw(channels, seed=2)
    check_gradients(function, x, weight, bias)
    check_gradients(function, channels_last(x))


def test_batch_norm_twice_before_backward():
    mean, var = Tensor(np.zeros(3)), Tensor(np.ones(3))
    weight = Tensor(np.ones(3), requires_grad=True)
    out = batch_norm(Tensor(draw(4, 3)), mean, var, weight, training=True)
    again = batch_norm(out, mean, var, weight, training=True)
    (again * Tensor(draw(4, 3))).sum().backward()
    assert weight.grad is not None
    frozen = batch_norm(Tensor(draw(4, 3)), mean, var, weight)
    with no_grad():
        mean.fill_(0.0)
    with pytest.raises(GradientError, match="changed in place"):
        frozen.sum().backward()


def test_batch_norm_in_float32_with_a_far_mean():
    x = (draw(1000, 2) + 1000).astype(np.float32)
    got = batch_norm(Tensor(x))
    assert got.dtype == np.float32
    wide = x.astype(np.float64)
    np.testing.assert_allclose(got.array, (wide - wide.mean(0)) / wide.std(0), atol=2e-3)


@pytest.mark.parametrize("shape", [(1, 3), (0, 3), (1, 3, 1), (0, 3, 4)])
def test_batch_norm_needs_two_values_per_channel(shape):
    with pytest.raises(ShapeError, match=r"at least two values per channel, got [01] .*drop_last"):
        batch_norm(Tensor(draw(*shape)), Tensor(np.zeros(3)), Tensor(np.ones(3)), training=True)
    assert batch_norm(Tensor(draw(*shape)), Tensor(np.zeros(3)), Tensor(np.ones(3))).shape == shape


def test_batch_norm_errors():
    x, ones = Tensor(draw(4, 3)), Tensor(np.ones(3))
    with pytest.raises(ShapeError, match=r"weight has shape \(4,\), expected \(3,\)"):
        batch_norm(x, ones, ones, Tensor(np.ones(4)))
    with pytest.raises(ShapeError, match=r"running_var has shape \(2,\)"):
        batch_norm(x, ones, Tensor(np.ones(2)))
    with pytest.raises(ShapeError, match=r"expected \(N, C\)"):
        batch_norm(ones, ones, ones)
    with pytest.raises(DtypeError, match="do not mix"):
        batch_norm(x, ones.float(), ones.float())
    with pytest.raises(DtypeError, match="got int64"):
        batch_norm(x.long(), ones, ones)
    with pytest.raises(ArgumentError, match="both running_mean and running_var"):
        batch_norm(x, ones)
    with pytest.raises(ArgumentError, match="eps"):
        batch_norm(x, eps=-1.0)


# layer norm

LAYERS = [((4, 3), (3,)), ((2, 3, 4), (4,)), ((2, 3, 4), (3, 4)), ((5,), (5,)), ((2, 2, 1), (1,)), ((0, 3), (3,))]


@pytest.mark.parametrize(("shape", "normalized"), LAYERS)
def test_layer_norm(shape, normalized):
    x, weight, bias = draw(*shape), draw(*normalized, seed=1), draw(*normalized, seed=2)
    axes = tuple(range(len(shape) - len(normalized), len(shape)))
    z = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-3)
    got = layer_norm(Tensor(x), normalized, Tensor(weight), Tensor(bias), 1e-3)
    np.testing.assert_allclose(got.array, z * weight + bias, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(layer_norm(Tensor(x), normalized, eps=1e-3).array, z, rtol=1e-10, atol=1e-12)
    turned = np.asfortranarray(x)
    np.testing.assert_array_equal(layer_norm(Tensor(turned), normalized, Tensor(weight), Tensor(bias), 1e-3).array, got)


@pytest.mark.parametrize(("shape", "normalized"), [layer for layer in LAYERS if 0 not in layer[0]])
def test_layer_norm_gradients(shape, normalized):
    x, weight, bias = draw(*shape), draw(*normalized, seed=1), draw(*normalized, seed=2)
    check_gradients(lambda x, w, b: layer_norm(x, normalized, w, b, 1e-2), x, weight, bias)
    check_gradients(lambda x: layer_norm(x, normalized, eps=1e-2), x)


def test_layer_norm_takes_one_integer_and_parameters_by_name():
    weight, bias = Tensor(np.ones(3), requires_grad=True), Tensor(np.zeros(3), requires_grad=True)
    x = Tensor(draw(4, 3))
    layer_norm(x, 3, bias=bias, weight=weight).sum().backward()
    np.testing.assert_array_equal(bias.grad.array, np.full(3, 4.0))
    assert weight.grad is not None


def test_layer_norm_errors():
    x = Tensor(draw(4, 3))
    for shape in [(4,), (3, 4), (), (2, 4, 3)]:
        with pytest.raises(ShapeError, match="normalized_shape"):
            layer_norm(x, shape)
    with pytest.raises(ShapeError, match=r"bias has shape \(4,\)"):
        layer_norm(x, (3,), None, Tensor(np.ones(4)))
    with pytest.raises(DtypeError, match="do not mix"):
        layer_norm(x, (3,), Tensor(np.ones(3, np.float32)))
    with pytest.raises(ArgumentError, match="eps"):
        layer_norm(x, 3, eps=-1.0)


# normalize


@settings(max_examples=30, deadline=None)
@given(st.sampled_from([1.0, 2.0, 3.0, float("inf")]), st.integers(-3, 2))
def test_normalize(p, dim):
    x = draw(2, 3, 4)
    got = normalize(Tensor(x), p, dim)
    np.testing.assert_allclose(got.array, x / np.linalg.norm(x, p, dim, keepdims=True), rtol=1e-12)


def test_normalize_gradients():
    check_gradients(normalize, draw(3, 2))
    check_gradients(lambda x: normalize(x, 3.0, 0), draw(3, 2))
    x = Tensor(np.zeros((1, 2)), requires_grad=True)
    out = normalize(x, eps=0.5)
    assert not out.array.any()
    out.sum().backward()
    np.testing.assert_array_equal(x.grad.array, [[2.0, 2.0]])


def test_normalize_errors():
    with pytest.raises(ShapeError, match="dim"):
        normalize(Tensor(draw(3)), dim=1)
    with pytest.raises(DtypeError, match="int64"):
        normalize(Tensor(np.ones((2, 2), np.int64)))


@pytest.mark.parametrize("training", [True, False])
def test_relu_fused_with_batch_norm(training):
    x, mean, var = draw(3, 4, 5, 6), draw(4, seed=1), draw(4, seed=2) ** 2
    weight, bias = draw(4, seed=3), draw(4, seed=4)

    def run(fused):
        leaves = [Tensor(array.copy(), requires_grad=True) for array in (x, weight, bias)]
        running = Tensor(mean.copy()), Tensor(var.copy())
        out = batch_norm(leaves[0], *running, *leaves[1:], training, activation="relu" if fused else None)
        out = out if fused else out.relu()
        out.backward(Tensor(draw(*x.shape, seed=5)))
        return [out.array, *[leaf.grad.array for leaf in leaves], *[each.array for each in running]]

    for together, apart in zip(run(True), run(False), strict=True):
        np.testing.assert_array_equal(together, apart)
    with pytest.raises(ArgumentError, match=r"unknown activation 'tanh'; expected one of None, 'relu'"):
        batch_norm(Tensor(x), activation="tanh")
