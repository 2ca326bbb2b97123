"""Pooling: layouts, layouts of results, indices, and refusals; values and gradients stand in the case table."""

from __future__ import annotations

import numpy as np
import pytest

from tests.autodiff.numeric import rng
from tinygrad_mlp.autodiff.ops.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

POOLS = [
    lambda x: max_pool2d(x, 2),
    lambda x: max_pool2d(x, 3, 2, 1),
    lambda x: avg_pool2d(x, (2, 3), padding=1),
    lambda x: adaptive_avg_pool2d(x, (3, 2)),
]


def images(*shape: int) -> np.ndarray:
    return rng(0, *shape).normal(size=shape).astype(np.float32)


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@pytest.mark.parametrize("pool", POOLS)
def test_results_and_gradients_lie_channels_last(pool):
    results = []
    for layout in (np.asarray, channels_last, lambda x: x[::-1, ::-1].copy()[::-1, ::-1]):
        x = Tensor(layout(images(2, 3, 7, 6)), requires_grad=True)
        out = pool(x)
        out.backward(Tensor(images(*out.shape)))
        for array in (out.array, x.grad.array):
            assert np.moveaxis(array, 1, -1).flags.c_contiguous
        results.append((out.array, x.grad.array))
    for out, grad in results[1:]:
        np.testing.assert_array_equal(out, results[0][0])
        np.testing.assert_array_equal(grad, results[0][1])


@pytest.mark.parametrize("pool", POOLS)
def test_one_image_and_no_image(pool):
    x = images(4, 3, 7, 6)
    np.testing.assert_array_equal(pool(Tensor(x[1])).array, pool(Tensor(x)).array[1])
    none = Tensor(x[:0], requires_grad=True)
    out = pool(none)
    assert out.shape == (0, *pool(Tensor(x)).shape[1:])
    out.sum().backward()
    assert none.grad.shape == none.shape


def test_indices_find_the_maxima():
    x = images(2, 3, 9, 8)
    values, indices = max_pool2d(Tensor(x), 3, 2, 1, return_indices=True)
    assert indices.dtype == np.int64
    assert not indices.requires_grad
    found = np.take_along_axis(x.reshape(2, 3, -1), indices.array.reshape(2, 3, -1), 2)
    np.testing.assert_array_equal(found.reshape(values.shape), values.array)


def test_windows_with_more_taps_than_a_byte_counts():
    x = Tensor(images(1, 2, 18, 17), requires_grad=True)
    out, index = max_pool2d(x, 17, 1, return_indices=True)
    assert index.array.max() > 255
    out.sum().backward()
    assert x.grad.array.sum() == 4


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d"])
def test_refusals(name):
    pool = {"max_pool2d": max_pool2d, "avg_pool2d": avg_pool2d}[name]
    x = Tensor(images(2, 3, 5, 6))
    for shape in ((5, 6), (1, 2, 3, 4, 5)):
        with pytest.raises(
            ShapeError, match=rf"{name}: input has shape \({shape[0]}, .*expected \(N, C, H, W\) or \(C, "
        ):
            pool(Tensor(images(*shape)), 2)
    with pytest.raises(ShapeError, match=rf"{name}: images of input shape \(2, 3, 0, 4\) hold no pixels"):
        pool(Tensor(images(2, 3, 0, 4)), 1)
    with pytest.raises(
        ShapeError, match=r"window of 6 x 8 pixels is larger than the padded image of 5 x 8: .*\(2, 3, 5, 6\)"
    ):
        pool(x, (6, 8), padding=(0, 1))
    for wrong in (0, -1, (2, 0), 2.0, (2, 2, 2), "2", True, None, []):
        with pytest.raises(ArgumentError, match=f"{name}: kernel_size must be a whole number from 1, or a pair"):
            pool(x, wrong)
    for wrong in (0, -2, (1, 0), 1.5):
        with pytest.raises(ArgumentError, match=f"{name}: stride must be a whole number from 1"):
            pool(x, 2, wrong)
    with pytest.raises(ArgumentError, match=f"{name}: padding must be a whole number from 0, .* got -1"):
        pool(x, 2, padding=-1)
    with pytest.raises(ArgumentError, match=r"padding 2 is more than half of the window: kernel_size 3.*3, 5, 6"):
        pool(x, 3, padding=2)
    with pytest.raises(DtypeError, match=f"{name}: input must be float32 or float64, got int64"):
        pool(x.long(), 2)


def test_refusals_of_max_pool2d():
    x = Tensor(images(2, 3, 1, 6))
    with pytest.raises(ArgumentError, match="dilation must be a whole number from 1"):
        max_pool2d(x, 2, dilation=0)
    with pytest.raises(ShapeError, match=r"steps over the whole image: dilation 2, padding 1, input .*3, 1, 6"):
        max_pool2d(x, (2, 1), padding=(1, 0), dilation=2)
    assert max_pool2d(Tensor(images(1, 1, 5, 5)), 2, padding=2, dilation=3).shape == (1, 1, 3, 3)  # half of 4


def test_refusals_of_averages():
    x = Tensor(images(2, 3, 5, 6))
    with pytest.raises(ArgumentError, match="divisor_override must not be 0"):
        avg_pool2d(x, 2, divisor_override=0)
    for wrong in (-1, (2, -1), (2, 2, 2), 1.5, (2,)):
        with pytest.raises(ArgumentError, match="adaptive_avg_pool2d: output_size must be a whole number from 0"):
            adaptive_avg_pool2d(x, wrong)
    with pytest.raises(ShapeError, match=r"expected \(N, C, H, W\)"):
        adaptive_avg_pool2d(Tensor(images(3, 4)), 1)
    assert adaptive_avg_pool2d(x, (None, 2)).shape == (2, 3, 5, 2)
