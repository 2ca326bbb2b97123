"""Group norm: layouts, many pixels, no image, and refusals; values and gradients stand in the case table."""

from __future__ import annotations

import numpy as np
import pytest

from tests.autodiff.numeric import rng
from tinygrad_mlp import nn
from tinygrad_mlp.autodiff.gradcheck import gradcheck
from tinygrad_mlp.autodiff.ops.group_norm import group_norm
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError


def images(*shape: int) -> np.ndarray:
    return rng(0, *shape).normal(2, 3, size=shape).astype(np.float32)


def test_results_lie_channels_last_whatever_the_input_does():
    x = images(3, 6, 5, 4)
    last = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    ours, theirs = group_norm(Tensor(x), 3), group_norm(Tensor(last), 3)
    np.testing.assert_array_equal(ours.array, theirs.array)
    assert np.moveaxis(ours.array, 1, -1).flags.c_contiguous


@pytest.mark.parametrize("shape", [(3, 8, 28, 28), (2, 1, 40, 40), (2, 8, 1, 1), (5, 72)])
@pytest.mark.parametrize("mean", [0.0, 1000.0])
def test_many_pixels_in_float32(shape, mean):
    x = images(*shape) + np.float32(mean)
    groups = max(shape[1] // 4, 1)
    wide = x.astype(np.float64).reshape(shape[0], groups, -1)
    expected = (wide - wide.mean(2, keepdims=True)) / np.sqrt(wide.var(2, keepdims=True) + 1e-5)
    got = group_norm(Tensor(x), groups).array.reshape(expected.shape)
    np.testing.assert_allclose(got, expected, atol=2e-6 * (1 + mean / 10))


def test_no_image():
    x = Tensor(images(0, 4, 3, 3), requires_grad=True)
    layer = nn.GroupNorm(2, 4)
    out = layer(x)
    assert out.shape == x.shape
    out.sum().backward()
    assert x.grad.shape == x.shape
    assert not layer.weight.grad.array.any()


def test_refusals():
    x = Tensor(images(2, 6, 3, 3))
    with pytest.raises(ShapeError, match=r"the 6 channels of input of shape \(2, 6, 3, 3\) do not make 4 equal groups"):
        group_norm(x, 4)
    with pytest.raises(ShapeError, match=r"expected \(N, C\) or"):
        group_norm(Tensor(images(6)), 2)
    with pytest.raises(ShapeError, match=r"bias has shape \(5,\), expected \(6,\)"):
        group_norm(x, 2, bias=Tensor(images(5)))
    with pytest.raises(ShapeError, match=r"one value per group has no variance: input of shape \(1, 2\), 2 groups"):
        group_norm(Tensor(images(1, 2)), 2)
    for wrong in (0, -1, 1.5, True):
        with pytest.raises(ArgumentError, match="num_groups must be a whole number from 1"):
            group_norm(x, wrong)
    with pytest.raises(ArgumentError, match="eps must not be negative"):
        group_norm(x, 2, eps=-1.0)
    with pytest.raises(DtypeError, match="got int64"):
        group_norm(x.long(), 2)
    with pytest.raises(ArgumentError, match="GroupNorm: 6 channels do not make 4 equal groups"):
        nn.GroupNorm(4, 6)


def test_the_layer():
    layer = nn.GroupNorm(2, 4)
    assert repr(layer) == "GroupNorm(2, 4, eps=1e-05)"
    assert [name for name, _ in layer.named_parameters()] == ["weight", "bias"]
    x = Tensor(images(3, 4, 2))
    np.testing.assert_array_equal(layer(x).array, group_norm(x, 2).array)
    assert list(nn.GroupNorm(2, 4, affine=False).parameters()) == []


def test_without_weights_it_has_a_gradient() -> None:
    """Its rule gives gradients for weight and bias, too, which were left out here."""
    x = Tensor(np.random.default_rng(0).normal(size=(3, 4, 5)), requires_grad=True)
    assert gradcheck(lambda x: group_norm(x, 2), x)
    group_norm(x, 2).square().sum().backward()
    assert x.grad is not None
    assert x.grad.shape == x.shape
