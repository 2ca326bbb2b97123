"""NumPy's reductions as kernels: they write where they are told, and are silent about infinities."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mlp.kernels.exact import accumulate_with, argmax_of, argmin_of, reduce_with
from tinygrad_mlp.kernels.launch import launch

X = np.random.default_rng(32).integers(-9, 9, (3, 4, 5))


@pytest.mark.parametrize("axes", [(0,), (1,), (0, 2), (0, 1, 2), ()])
@pytest.mark.parametrize("ufunc", [np.add, np.multiply, np.maximum, np.minimum])
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.float32, np.float64])
def test_reduce_with(ufunc, axes, dtype):
    x = X.astype(dtype)
    expected = ufunc.reduce(x, axis=axes, dtype=dtype)
    out = np.full(np.shape(expected), 77, dtype)
    launch(reduce_with, ufunc, x, axes, out)
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.float64])
def test_logic_of_numbers(dtype):
    x = np.array([[0, 1], [0, 0]]).astype(dtype)
    out = np.empty(2, np.bool_)
    launch(reduce_with, np.logical_or, x, (1,), out)
    assert out.tolist() == [True, False]
    launch(reduce_with, np.logical_and, x, (0,), out)
    assert out.tolist() == [False, False]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_accumulate_and_arguments_along_an_axis(axis):
    running = np.empty(X.shape, np.int64)
    launch(accumulate_with, np.add, X, axis, running)
    np.testing.assert_array_equal(running, np.cumsum(X, axis))
    index = np.empty(np.delete(X.shape, axis), np.int64)
    launch(argmax_of, X, axis, index)
    np.testing.assert_array_equal(index, np.argmax(X, axis))
    launch(argmin_of, X, axis, index)
    np.testing.assert_array_equal(index, np.argmin(X, axis))


def test_infinities_make_nan_without_a_warning():
    x = np.array([np.inf, -np.inf, 1e308, 1e308])
    out, running = np.empty(()), np.empty(4)
    launch(reduce_with, np.add, x, (0,), out)
    launch(accumulate_with, np.add, x, 0, running)
    assert np.isnan(out)
    np.testing.assert_array_equal(running, [np.inf, np.nan, np.nan, np.nan])
