"""Pooling kernels: ties, NaN and infinities, the short way against the general one, and many taps."""

from typing import Any

import numpy as np
import pytest

from tinygrad_mlp.kernels import pool
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.pool import Taps

PAIRS = Taps(2, 2, 0, 1)
NAN, INF = np.nan, np.inf

in_both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
in_both_ways = pytest.mark.parametrize("short", [True, False])


def maxima(x: Any, axis: Taps = PAIRS, short: bool = False, kind: Any = np.uint8) -> tuple[Any, Any]:
    """Maxima and taps of windows that all fit: x (N, H, W, C)."""
    count = [
        (size + 2 * axis.padding - axis.dilation * (axis.size - 1) - 1) // axis.stride + 1 for size in x.shape[1:3]
    ]
    shape = (x.shape[0], *count, x.shape[3])
    out, taps = np.full(shape, 1e30, x.dtype), np.full(shape, 99, kind)
    if short:
        launch(pool.max_pool_halving, x, out, taps)
    else:
        launch(pool.max_pool, x, axis, axis, out, taps)
    return out, taps


@in_both_ways
@pytest.mark.parametrize(
    ("window", "best", "tap"),
    [
        ([1, 1, 1, 1], 1, 0),  # the first of equal ones
        ([0, 2, 2, 1], 2, 1),
        ([-INF, -INF, -INF, -INF], -INF, 0),
        ([-INF, -INF, -1e38, -INF], -1e38, 2),
        ([1, INF, INF, 3], INF, 1),
        ([-0.0, 0.0, -1, -2], 0, 0),  # equal
        ([NAN, 5, INF, 1], NAN, 0),  # NaN is greater than any number
        ([5, 1, 2, NAN], NAN, 3),
        ([NAN, 1, NAN, INF], NAN, 2),  # of several the last, as in PyTorch
    ],
)
def test_which_pixel_is_the_maximum(window: list[float], best: float, tap: int, short: bool) -> None:
    x = np.array(window, np.float32).reshape(1, 2, 2, 1)
    out, taps = maxima(np.tile(x, (2, 1, 1, 19)), short=short)
    np.testing.assert_array_equal(out, np.full((2, 1, 1, 19), best, np.float32))
    assert (taps == tap).all()


@in_both_dtypes
@pytest.mark.parametrize(
    "shape", [(2, 4, 6, 3), (3, 5, 7, 17), (1, 2, 2, 1), (2, 3, 2, 64), (0, 4, 4, 3), (2, 4, 4, 0)]
)
def test_the_short_way_gives_the_same_bits(shape: tuple[int, ...], dtype: Any) -> None:
    x = np.random.default_rng(0).integers(-2, 3, shape).astype(dtype)
    for ours, theirs in zip(maxima(x, short=True), maxima(x), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    out, taps = maxima(x)
    short, general = np.full_like(x, 1e30), np.full_like(x, 1e30)
    launch(pool.max_pool_halving_backward, out, taps, short)
    launch(pool.max_pool_backward, out, taps, PAIRS, PAIRS, general)
    np.testing.assert_array_equal(short, general)
    assert short.sum() == out.sum()


@pytest.mark.parametrize(
    "axis", [Taps(3, 1, 1, 1), Taps(2, 3, 0, 1), Taps(3, 2, 2, 2), Taps(1, 1, 0, 1), Taps(2, 1, 1, 3)]
)
def test_each_gradient_goes_to_the_maximum(axis: Taps) -> None:
    x = np.random.default_rng(1).permutation(2 * 7 * 6 * 5).reshape(2, 7, 6, 5).astype(np.float32)
    out, taps = maxima(x, axis)
    grad = np.random.default_rng(2).integers(1, 9, out.shape).astype(np.float32)
    positions = np.empty(out.shape, np.int64)
    launch(pool.maximum_positions, taps, axis, axis, x.shape[2], positions)
    expected = np.zeros_like(x)
    for place in np.ndindex(out.shape):
        row, column = divmod(positions[place], x.shape[2])
        assert x[place[0], row, column, place[3]] == out[place]
        expected[place[0], row, column, place[3]] += grad[place]
    grad_x = np.full_like(x, 1e30)
    launch(pool.max_pool_backward, grad, taps, axis, axis, grad_x)
    np.testing.assert_array_equal(grad_x, expected)  # whole numbers: exact in any order


def test_more_taps_than_a_byte_counts() -> None:
    x = np.zeros((1, 20, 20, 2), np.float64)
    x[0, 19, 18] = 1
    axis = Taps(20, 1, 0, 1)
    out, taps = maxima(x, axis, kind=np.int32)
    assert out.tolist() == [[[[1, 1]]]]
    assert taps.tolist() == [[[[398, 398]]]]
    grad_x = np.full_like(x, 1e30)
    launch(pool.max_pool_backward, out, taps, axis, axis, grad_x)
    np.testing.assert_array_equal(grad_x, x)


@in_both_dtypes
def test_a_mean_of_equal_numbers_is_that_number(dtype: Any) -> None:
    x = np.full((2, 6, 6, 3), 0.1, dtype)
    windows = np.array([[0, 3], [3, 6], [3, 3]])
    out = np.empty((2, 2, 2, 3), dtype)
    launch(pool.average_pool, x, windows, windows, out)
    np.testing.assert_allclose(out, 0.1, rtol=4 * np.finfo(dtype).eps)


def test_nan_stays_in_its_window() -> None:
    x = np.ones((1, 4, 4, 2), np.float32)
    x[0, 1, 2, 1] = np.nan
    windows = np.array([[0, 2], [2, 4], [2, 2]])
    out = np.empty((1, 2, 2, 2), np.float32)
    launch(pool.average_pool, x, windows, windows, out)
    assert np.argwhere(np.isnan(out)).tolist() == [[0, 0, 1, 1]]
    assert np.nansum(out) == 7
