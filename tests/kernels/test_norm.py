"""Batch and layer normalisation against float64 NumPy references, derivatives against central differences."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_mlp.kernels import norm
from tinygrad_mlp.kernels.launch import launch

EPS = 1e-5
SHAPES = [(1, 1), (2, 1), (1, 5), (7, 3), (8, 16), (9, 16), (65, 10), (300, 33)]
RTOL: dict[Any, float] = {np.float32: 2e-6, np.float64: 1e-12}

in_both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
in_all_shapes = pytest.mark.parametrize("shape", SHAPES)


def numbers(shape: tuple[int, ...], dtype: Any, seed: int = 0, mean: float = 0, scale: float = 1) -> Any:
    return np.random.default_rng(seed).normal(mean, scale, shape).astype(dtype)


def inputs(shape: tuple[int, int], dtype: Any) -> tuple[Any, Any, Any, Any]:
    """x, grad, weight, bias."""
    x = numbers(shape, dtype, mean=2, scale=3)
    return x, numbers(shape, dtype, 1), numbers(shape[1:], dtype, 2, mean=1), numbers(shape[1:], dtype, 3)


def np_normalise(x: Any, axis: int) -> Any:
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + EPS)


def batch_norm(x: Any, weight: Any, bias: Any) -> Any:
    return np_normalise(x, 0) * weight + bias


def layer_norm(x: Any, weight: Any, bias: Any) -> Any:
    return np_normalise(x, 1) * weight + bias


def empty_like_each(*arrays: Any) -> list[Any]:
    """New arrays, filled with a number that no kernel may leave behind."""
    return [np.full_like(array, 1e30) for array in arrays]


def statistics(x: Any) -> tuple[Any, Any, Any]:
    mean, variance, inv_std = empty_like_each(*[np.empty(x.shape[1], x.dtype)] * 3)
    launch(norm.batch_norm_statistics, x, EPS, mean, variance, inv_std)
    return mean, variance, inv_std


def central_difference(function: Callable[..., Any], arguments: list[Any], which: int, grad: Any) -> Any:
    """Derivative of sum(grad * function(*arguments)) by each element of one argument, in float64."""
    x, step = arguments[which], 1e-5
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = list(arguments), list(arguments)
        up[which], down[which] = x.copy(), x.copy()
        up[which][index] += step
        down[which][index] -= step
        result[index] = ((function(*up) - function(*down)) * grad).sum() / (2 * step)
    return result


@in_both_dtypes
@in_all_shapes
def test_batch_norm_statistics(shape: tuple[int, int], dtype: Any) -> None:
    x = inputs(shape, dtype)[0]
    exact = x.astype(np.float64)
    mean, variance, inv_std = statistics(x)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=RTOL[dtype], atol=RTOL[dtype])
    np.testing.assert_allclose(variance, exact.var(0), rtol=RTOL[dtype], atol=RTOL[dtype] ** 2)
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(exact.var(0) + EPS), rtol=RTOL[dtype])


def test_statistics_of_many_rows_far_from_zero() -> None:
    """A one-pass variance (mean of squares less square of mean) has no right digit here."""
    x = numbers((100_003, 3), np.float32, mean=1000, scale=0.1)
    mean, variance, _ = statistics(x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=2e-7)
    np.testing.assert_allclose(variance, exact.var(0), rtol=2e-6)


@in_both_dtypes
@in_all_shapes
def test_batch_norm_forward(shape: tuple[int, int], dtype: Any) -> None:
    x, _, weight, bias = inputs(shape, dtype)
    mean, _, inv_std = statistics(x)
    (out,) = empty_like_each(x)
    launch(norm.batch_norm_forward, x, weight, bias, mean, inv_std, out)
    expected = batch_norm(*(array.astype(np.float64) for array in (x, weight, bias)))
    atol = RTOL[dtype] * (1 if shape[0] > 2 else 300)  # of one or two rows the variance may be as small as eps
    np.testing.assert_allclose(out, expected, rtol=RTOL[dtype], atol=atol)


@in_both_dtypes
@pytest.mark.parametrize("shape", [(2, 1), (7, 3), (17, 5)])
def test_batch_norm_backward(shape: tuple[int, int], dtype: Any) -> None:
    x, grad, weight, bias = inputs(shape, dtype)
    mean, _, inv_std = statistics(x)
    results = empty_like_each(x, weight, bias)
    launch(norm.batch_norm_backward, grad, x, weight, mean, inv_std, *results)
    exact = [array.astype(np.float64) for array in (x, weight, bias)]
    tolerance = 1e-7 if dtype == np.float64 else 1e-5
    for which, result in enumerate(results):
        assert result.dtype == dtype
        expected = central_difference(batch_norm, exact, which, grad)
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


@in_both_dtypes
@in_all_shapes
def test_batch_norm_backward_eval(shape: tuple[int, int], dtype: Any) -> None:
    x, grad, weight, bias = inputs(shape, dtype)
    mean, inv_std = numbers(shape[1:], dtype, 5), np.abs(numbers(shape[1:], dtype, 6))
    results = empty_like_each(x, weight, bias)
    launch(norm.batch_norm_backward_eval, grad, x, weight, mean, inv_std, *results)
    g, exact = grad.astype(np.float64), x.astype(np.float64)
    expected = [g * weight * inv_std, (g * (exact - mean) * inv_std).sum(0), g.sum(0)]
    for result, wanted in zip(results, expected, strict=True):
        np.testing.assert_allclose(result, wanted, rtol=RTOL[dtype], atol=RTOL[dtype] * 20)


def test_without_rows_parameters_have_no_gradient() -> None:
    x, grad, weight, bias = inputs((0, 3), np.float32)
    for backward in (norm.batch_norm_backward, norm.batch_norm_backward_eval):
        results = empty_like_each(x, weight, bias)
        launch(backward, grad, x, weight, bias, bias, *results)
        assert not results[1].any()
        assert not results[2].any()
    assert np.isnan(statistics(x)[0]).all()
    results, no_rows = empty_like_each(x, weight, bias), np.empty(0, np.float32)
    launch(norm.layer_norm_backward, grad, x, weight, no_rows, no_rows, *results)
    assert not results[1].any()
    assert not results[2].any()


@in_both_dtypes
def test_update_running(dtype: Any) -> None:
    running_mean, running_var = numbers((4,), dtype, 0), np.abs(numbers((4,), dtype, 1))
    mean, var = numbers((4,), dtype, 2), np.abs(numbers((4,), dtype, 3))
    expected_mean = 0.9 * running_mean.astype(np.float64) + 0.1 * mean
    expected_var = 0.9 * running_var.astype(np.float64) + 0.1 * (var * 5 / 4)
    launch(norm.update_running, running_mean, running_var, mean, var, 0.1, 5)
    np.testing.assert_allclose(running_mean, expected_mean, rtol=RTOL[dtype])
    np.testing.assert_allclose(running_var, expected_var, rtol=RTOL[dtype])


@in_both_dtypes
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (1, 5), (7, 2), (9, 16), (17, 33), (3, 1000)])
def test_layer_norm_forward(shape: tuple[int, int], dtype: Any) -> None:
    x, _, weight, bias = inputs(shape, dtype)
    out, mean, inv_std = empty_like_each(x, x[:, 0], x[:, 0])
    launch(norm.layer_norm_forward, x, weight, bias, EPS, out, mean, inv_std)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(1), rtol=RTOL[dtype], atol=RTOL[dtype])
    np.testing.assert_allclose(inv_std, 1 / np.sqrt(exact.var(1) + EPS), rtol=RTOL[dtype])
    np.testing.assert_allclose(out, layer_norm(exact, weight, bias), rtol=RTOL[dtype], atol=RTOL[dtype] * 5)


@in_both_dtypes
@pytest.mark.parametrize("shape", [(1, 5), (2, 3), (17, 5)])
def test_layer_norm_backward(shape: tuple[int, int], dtype: Any) -> None:
    x, grad, weight, bias = inputs(shape, dtype)
    out, mean, inv_std = empty_like_each(x, x[:, 0], x[:, 0])
    launch(norm.layer_norm_forward, x, weight, bias, EPS, out, mean, inv_std)
    results = empty_like_each(x, weight, bias)
    launch(norm.layer_norm_backward, grad, x, weight, mean, inv_std, *results)
    exact = [array.astype(np.float64) for array in (x, weight, bias)]
    tolerance = 1e-7 if dtype == np.float64 else 1e-5
    for which, result in enumerate(results):
        assert result.dtype == dtype
        expected = central_difference(layer_norm, exact, which, grad)
        np.testing.assert_allclose(result, expected, rtol=tolerance, atol=tolerance)


def test_inputs_in_any_layout() -> None:
    x, _, weight, bias = inputs((6, 4), np.float32)
    mean, variance, _ = statistics(x)
    for view in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        other_mean, other_variance, _ = statistics(view)
        assert np.array_equal(other_mean, mean)
        assert np.array_equal(other_variance, variance)
    rows = np.empty(6, np.float32)
    expected, out = empty_like_each(x, x)
    launch(norm.layer_norm_forward, x, weight, bias, EPS, expected, rows, rows.copy())
    launch(norm.layer_norm_forward, np.asfortranarray(x), weight, bias, EPS, out, rows, rows.copy())
    assert np.array_equal(out, expected)


def test_nan_and_infinity_reach_the_result() -> None:
    x, _, weight, bias = inputs((6, 3), np.float32)
    x[1, 0], x[2, 1] = np.nan, np.inf
    mean, _, inv_std = statistics(x)
    (out,) = empty_like_each(x)
    launch(norm.batch_norm_forward, x, weight, bias, mean, inv_std, out)
    assert np.isnan(out[:, 0]).all()
    assert np.isnan(out[2, 1])
    assert np.isfinite(out[:, 2]).all()
