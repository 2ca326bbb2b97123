"""Batch norm where several rows make a line: bounds of lines and blocks, and what is fused with it."""

from typing import Any

import numpy as np
import pytest

from tinygrad_mlp.kernels import elementwise, lanes, norm
from tinygrad_mlp.kernels.launch import launch

EPS = 1e-5
# Rows that make whole lines and blocks, one more, one less; channels of one line, of many, and of none.
SHAPES = [
    *[(rows, 1) for rows in (127, 128, 129, 16383, 16384, 16385)],
    *[(rows, 3) for rows in (128, 200, 5441, 10880)],
    *[(rows, 32) for rows in (127, 128, 511, 512, 513, 1031)],
    *[(rows, 200) for rows in (64, 65, 128, 129)],
    *[(130, 300), (130, 0), (0, 3), (64, 50)],
]

in_both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
in_all_shapes = pytest.mark.parametrize("shape", SHAPES)


def inputs(shape: tuple[int, int], dtype: Any) -> list[Any]:
    """x, grad, weight, bias, mean, inv_std."""
    rng = np.random.default_rng(shape[0])
    x, grad = rng.normal(3, 2, shape), rng.normal(0, 1, shape)
    weight, bias, mean, inv_std = (
        rng.normal(1, 1, shape[1]),
        rng.normal(0, 1, shape[1]),
        x[:1].sum(0),
        rng.uniform(0.3, 1, shape[1]),
    )
    return [array.astype(dtype) for array in (x, grad, weight, bias, mean, inv_std)]


def tolerance(dtype: Any) -> dict[str, float]:
    return {"rtol": 2e-5, "atol": 2e-5} if dtype == np.float32 else {"rtol": 1e-11, "atol": 1e-11}


@in_both_dtypes
@in_all_shapes
def test_statistics(shape: tuple[int, int], dtype: Any) -> None:
    if not shape[0]:
        return
    x = inputs(shape, dtype)[0]
    mean, variance, inv_std = np.full((3, shape[1]), 1e30, dtype)
    launch(norm.batch_norm_statistics, x, EPS, mean, variance, inv_std)
    exact, rtol = x.astype(np.float64), 4e-7 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(mean, exact.mean(0), rtol=rtol)
    np.testing.assert_allclose(variance, exact.var(0), rtol=4 * rtol)
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(exact.var(0) + EPS), rtol=4 * rtol)


@pytest.mark.parametrize("channels", [1, 3, 32, 300])
def test_a_constant_has_no_variance(channels: int) -> None:
    x = np.full((10_007, channels), np.float32(0.1))
    mean, variance, inv_std = np.full((3, channels), np.nan, np.float32)
    launch(norm.batch_norm_statistics, x, 0.0, mean, variance, inv_std)
    np.testing.assert_allclose(mean, 0.1, rtol=1e-6)
    assert (variance >= 0).all()
    assert (variance < 1e-15).all()


def test_statistics_keep_their_digits_far_from_zero() -> None:
    """Means of blocks are rounded: to 5e-4 here, where the numbers spread by 0.1."""
    x = np.random.default_rng(0).normal(10_000, 0.1, (50_003, 5)).astype(np.float32)
    mean, variance, inv_std = np.empty((3, 5), np.float32)
    launch(norm.batch_norm_statistics, x, EPS, mean, variance, inv_std)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=6e-8)
    np.testing.assert_allclose(variance, exact.var(0), rtol=2e-5)


@in_both_dtypes
@in_all_shapes
@pytest.mark.parametrize("training", [True, False])
def test_forward_and_backward(shape: tuple[int, int], dtype: Any, training: bool) -> None:
    x, grad, weight, bias, mean, inv_std = inputs(shape, dtype)
    out = np.full_like(x, 1e30)
    launch(norm.batch_norm_forward, x, weight, bias, mean, inv_std, out)
    exact_x, g, w, m, s = (array.astype(np.float64) for array in (x, grad, weight, mean, inv_std))
    z = (exact_x - m) * s
    np.testing.assert_allclose(out, z * w + bias, **tolerance(dtype))
    results = np.full_like(x, 1e30), np.full_like(weight, 1e30), np.full_like(weight, 1e30)
    kernel = norm.batch_norm_backward if training else norm.batch_norm_backward_eval
    launch(kernel, grad, x, weight, mean, inv_std, *results)
    count = max(shape[0], 1)
    inner = g - g.sum(0) / count - z * ((g * z).sum(0) / count) if training else g
    for result, expected in zip(results, (inner * w * s, (g * z).sum(0), g.sum(0)), strict=True):
        np.testing.assert_allclose(result, expected, **tolerance(dtype) | {"atol": tolerance(dtype)["atol"] * 20})


@in_both_dtypes
@in_all_shapes
@pytest.mark.parametrize("training", [True, False])
def test_relu_has_the_bits_of_a_kernel_of_its_own(shape: tuple[int, int], dtype: Any, training: bool) -> None:
    x, grad, weight, bias, mean, inv_std = inputs(shape, dtype)
    out, cut, fused = (np.full_like(x, 1e30) for _ in range(3))
    launch(norm.batch_norm_forward, x, weight, bias, mean, inv_std, out)
    launch(elementwise.relu, out, cut)
    launch(norm.batch_norm_relu_forward, x, weight, bias, mean, inv_std, fused)
    assert fused.tobytes() == cut.tobytes()
    passed = np.empty_like(grad)
    launch(elementwise.relu_backward, grad, cut, passed)
    separate, together = (
        [np.full_like(x, 1e30), np.full_like(weight, 1e30), np.full_like(weight, 1e30)] for _ in range(2)
    )
    backward = norm.batch_norm_backward if training else norm.batch_norm_backward_eval
    relu_backward = norm.batch_norm_relu_backward if training else norm.batch_norm_relu_backward_eval
    launch(backward, passed, x, weight, mean, inv_std, *separate)
    launch(relu_backward, grad, x, weight, bias, mean, inv_std, *together)
    for ours, theirs in zip(together, separate, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_nan_passes_relu() -> None:
    x, _, weight, bias, mean, inv_std = inputs((513, 32), np.float32)
    x[500, 7] = np.nan
    out = np.empty_like(x)
    launch(norm.batch_norm_relu_forward, x, weight, bias, mean, inv_std, out)
    assert np.argwhere(np.isnan(out)).tolist() == [[500, 7]]


@in_all_shapes
def test_lines_cover_all_numbers_once(shape: tuple[int, int]) -> None:
    """What the comments of `lanes` say, in Python: its functions are compiled into kernels elsewhere."""
    x = np.empty(shape, np.float32)
    width = lanes.lane_count(x)
    assert width % max(shape[1], 1) == 0
    bounds = [lanes.line_bounds(x, width, block) for block in range(lanes.block_count(x, width))]
    assert [first for first, _ in bounds] == [0, *[stop for _, stop in bounds]][: len(bounds)]
    if x.size:
        assert (bounds[-1][1] - 1) * width < x.size <= bounds[-1][1] * width
