"""Batch norm, ReLU and pooling in one kernel each way: the bits of the separate ones."""

from typing import Any

import numpy as np
import pytest

from tinygrad_mlp.kernels import norm, norm_pool, pool
from tinygrad_mlp.kernels.launch import launch

SHAPES = [(2, 4, 6, 3), (3, 5, 7, 17), (1, 2, 2, 1), (9, 28, 28, 32), (5, 15, 13, 70), (3, 2, 3, 300), (40, 7, 6, 1)]


def inputs(shape: tuple[int, ...], dtype: Any) -> list[Any]:
    """x, with many equal numbers, and weight, bias, mean, inv_std."""
    rng = np.random.default_rng(shape[-1])
    x = np.round(rng.normal(1, 2, shape), 1)
    constants = [rng.normal(size=shape[-1]) for _ in range(3)]
    return [array.astype(dtype) for array in (x, *constants, rng.uniform(0.3, 1, shape[-1]))]


def forward(x: Any, *constants: Any) -> tuple[Any, Any, Any]:
    """Maxima and taps by the fused kernel, and the maxima of separate ones."""
    images, height, width, channels = x.shape
    out = np.full((images, height // 2, width // 2, channels), 1e30, x.dtype)
    taps = np.full(out.shape, 99, np.uint8)
    launch(norm_pool.norm_relu_pool_forward, x, *constants, out, taps)
    normalized, expected, places = np.empty_like(x), np.empty_like(out), np.empty_like(taps)
    rows = x.reshape(-1, channels), normalized.reshape(-1, channels)
    launch(norm.batch_norm_relu_forward, rows[0], *constants, rows[1])
    launch(pool.max_pool_halving, normalized, expected, places)
    np.testing.assert_array_equal(taps, np.where(expected <= 0, 4, places))
    return out, taps, expected


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_bits_as_separate_kernels(shape: tuple[int, ...], dtype: Any) -> None:
    x, *constants = inputs(shape, dtype)
    out, taps, expected = forward(x, *constants)
    assert out.tobytes() == expected.tobytes()
    weight, _, mean, inv_std = constants
    grad = np.random.default_rng(1).normal(size=out.shape).astype(dtype)
    fused, separate = ([np.full_like(x, 1e30), np.empty_like(weight), np.empty_like(weight)] for _ in range(2))
    launch(norm_pool.norm_relu_pool_backward, grad, taps, x, weight, mean, inv_std, *fused)
    unpooled, rows = np.empty_like(x), (-1, shape[-1])
    launch(pool.max_pool_halving_backward, grad, taps, unpooled)
    arrays = [array.reshape(rows) for array in (unpooled, x, separate[0])]
    launch(norm.batch_norm_backward, *arrays[:2], weight, mean, inv_std, arrays[2], *separate[1:])
    for ours, theirs in zip(fused, separate, strict=True):
        assert ours.tobytes() == theirs.tobytes()


def test_nan_is_a_maximum_and_passes() -> None:
    x, *constants = inputs((2, 4, 6, 3), np.float32)
    x[1, 2, 3, 1] = np.nan
    out, taps, expected = forward(x, *constants)
    assert out.tobytes() == expected.tobytes()
    assert np.argwhere(np.isnan(out)).tolist() == [[1, 1, 1, 1]]
    assert taps[1, 1, 1, 1] == 1
