"""Dropout: what it keeps, what it repeats, its gradients."""

from __future__ import annotations

import numpy as np
import pytest

from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.ops.random import dropout, dropout1d, dropout2d
from tinygrad_mlp.autodiff.random_state import default_generator, manual_seed
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.random import Generator


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_elements_are_zero_or_scaled(dtype, p):
    x = rng(1).uniform(1, 2, (200, 100)).astype(dtype)
    out = dropout(Tensor(x), p, generator=Generator(3)).array
    assert out.dtype == dtype
    kept = out != 0
    np.testing.assert_allclose(out[kept], x[kept] / (1 - p), rtol=1e-6)
    spread = np.sqrt(p * (1 - p) / x.size)
    assert abs((~kept).mean() - p) < 5 * spread
    for axis in (0, 1):  # and no row or column is favoured
        assert np.abs((~kept).mean(axis) - p).max() < 6 * np.sqrt(p * (1 - p) / x.shape[axis])


def test_same_seed_same_mask_and_each_call_another():
    x = Tensor(np.ones(1000))
    first, second = Generator(5), Generator(5)
    masks = [dropout(x, generator=first).array for _ in range(2)]
    np.testing.assert_array_equal(dropout(x, generator=second).array, masks[0])
    np.testing.assert_array_equal(dropout(x, generator=second).array, masks[1])
    assert (masks[0] != masks[1]).any()
    before = default_generator.get_state()
    try:
        manual_seed(5)
        np.testing.assert_array_equal(dropout(x).array, masks[0])
    finally:
        default_generator.set_state(before)


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1, 1), (3, 4), (2, 3, 2)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_gradient_uses_the_mask_of_the_forward_pass(shape, order):
    generator = Generator(7)
    x = Tensor(np.asarray(rng(2).uniform(1, 2, shape), order=order), requires_grad=True)
    out = dropout(x, 0.5, generator=generator)
    assert out.shape == shape
    dropout(x, 0.5, generator=generator)  # a later draw does not change what backward does
    out.sum().backward()
    np.testing.assert_allclose(x.grad.array, np.where(out.array != 0, 2.0, 0.0))


def test_gradients_of_any_order_and_layout():
    check_gradients(lambda x: dropout(x, 0.3, generator=Generator(1)).square(), rng(3).normal(size=(3, 4)))
    check_gradients(
        lambda x: dropout(x.transpose(0, 1), 0.3, generator=Generator(1)).square(), rng(3).normal(size=(3, 4))
    )
    check_gradients(lambda x: dropout(x[:, ::2], 0.3, generator=Generator(1)) * x[:, :2], rng(3).normal(size=(3, 4)))


def test_outside_training_and_for_p_0_nothing_happens():
    x = Tensor(np.ones(4))
    generator = Generator(1)
    assert dropout(x, 0.5, training=False, generator=generator) is x
    assert dropout(x, 0.0, generator=generator) is x
    assert generator.get_state().tolist() == [1, 0]


def test_p_1_drops_all_but_nan():
    x = Tensor(np.array([1.0, np.nan]), requires_grad=True)
    out = dropout(x, 1.0)
    assert out.array[0] == 0 and np.isnan(out.array[1])
    out[0].backward()
    np.testing.assert_array_equal(x.grad.array, [0.0, 0.0])


def test_errors():
    for p in (-0.1, 1.1, float("nan")):
        for training in (True, False):
            with pytest.raises(ArgumentError, match="p must lie in 0 to 1"):
                dropout(Tensor(np.ones(2)), p, training)
    with pytest.raises(DtypeError, match="got int64"):
        dropout(Tensor(np.ones(2, np.int64)))
    with pytest.raises(DtypeError, match="got ndarray"):
        dropout(np.ones(2))


@pytest.mark.parametrize(
    ("drop", "shape", "channel"),
    [(dropout2d, (50, 40, 3, 2), (0, 0)), (dropout1d, (50, 40, 6), (0,)), (dropout1d, (2000, 6), (0,))],
)
def test_whole_channels_are_zero_or_scaled(drop, shape, channel):
    images = Tensor(rng(1).uniform(1, 2, shape), requires_grad=True)
    out = drop(images, 0.3, generator=Generator(3))
    factors = out.array / images.array
    each = factors[(..., *channel)]
    np.testing.assert_allclose(factors, np.broadcast_to(each.reshape(*each.shape, *[1] * len(channel)), shape))
    dropped = each == 0
    np.testing.assert_allclose(each[~dropped], 1 / 0.7)
    assert abs(dropped.mean() - 0.3) < 5 * np.sqrt(0.21 / dropped.size)
    out.sum().backward()
    np.testing.assert_allclose(images.grad.array, factors)
    assert drop(images, 0.3, training=False) is images
    assert drop(images, 0.0) is images


def test_whole_channels_want_images_or_sequences():
    with pytest.raises(ShapeError, match=r"dropout2d: input has shape \(3, 4\), expected \(N, C, H, W\)"):
        dropout2d(Tensor(np.ones((3, 4))))
    with pytest.raises(ShapeError, match=r"dropout1d: input has shape \(3,\), expected \(N, C, L\) or \(C, L\)"):
        dropout1d(Tensor(np.ones(3)))
    for drop in (dropout1d, dropout2d):
        with pytest.raises(ArgumentError, match=f"{drop.__name__}: p must lie in 0 to 1"):
            drop(Tensor(np.ones((3, 4, 5))), 1.5)


def test_three_dimensions_are_not_guessed_at():
    """PyTorch's dropout2d reads (N, C, L); one image (C, H, W) has as many dimensions."""
    x = Tensor(np.ones((3, 4, 5)))
    with pytest.raises(ShapeError, match=r"\(N, C, L\) use dropout1d .*one image \(C, H, W\) as x.unsqueeze\(0\)"):
        dropout2d(x, 0.2)
    assert dropout2d(x, 0.2, training=False) is dropout2d(x, 0.0) is x
