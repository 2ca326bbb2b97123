"""Choosing kernels against np.where."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mlp.kernels.choose import choose, choose_floats, put_number
from tinygrad_mlp.kernels.launch import launch

SHAPES = [(), (0,), (1,), (37,), (3, 4, 5)]


def draw(shape: tuple[int, ...], dtype: type, key: int) -> np.ndarray:
    return np.random.default_rng([31, key]).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_choose_floats_and_put_number(shape, dtype):
    x, y = draw(shape, dtype, 0), draw(shape, dtype, 1)
    x.reshape(-1)[::5] = np.nan  # a value that is not chosen must not touch the result
    condition = np.asarray(draw(shape, dtype, 2) > 0)
    out = np.full(shape, 7, dtype)
    launch(choose_floats, condition, x, y, out)
    np.testing.assert_array_equal(out, np.where(condition, x, y))
    for when in (True, False):
        launch(put_number, condition, when, 0.1, x, out)
        np.testing.assert_array_equal(out, np.where(condition == when, dtype(0.1), x))


def test_memory_orders_may_differ():
    x, condition = draw((4, 5), np.float64, 3), draw((4, 5), np.float64, 4) > 0
    out = np.empty((4, 5), order="F")
    launch(choose_floats, condition, x, np.asfortranarray(-x), out)
    np.testing.assert_array_equal(out, np.where(condition, x, -x))
    launch(put_number, np.broadcast_to(condition[0], (4, 5)), True, 2.0, x, out)
    np.testing.assert_array_equal(out, np.where(condition[0], 2.0, x))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.bool_, np.float32])
def test_choose_broadcasts_any_dtype(dtype):
    x, condition = (np.arange(12).reshape(3, 4) % 3).astype(dtype), np.array([True, False, True, False])
    out = np.empty((3, 4), dtype)
    launch(choose, condition, x, x[:1], out)
    np.testing.assert_array_equal(out, np.where(condition, x, x[:1]))
    launch(choose, condition, False, x, out)
    np.testing.assert_array_equal(out, np.where(condition, 0, x))
