"""Softmax, log-softmax, logsumexp, cross-entropy and negative log-likelihood against float64 NumPy references."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels import softmax
from tinygrad_mlp.kernels.launch import Kernel, launch
from tinygrad_mlp.kernels.status import BAD_LABEL

INF, NAN = math.inf, math.nan
IGNORE = -100
SHAPES = [(0, 3), (1, 1), (1, 5), (2, 0), (7, 10), (5, 33), (3, 1000)]
RTOL: dict[Any, float] = {np.float32: 2e-6, np.float64: 1e-13}

in_both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])
in_all_shapes = pytest.mark.parametrize("shape", SHAPES)


def numbers(shape: tuple[int, ...], dtype: Any, seed: int = 0, scale: float = 5) -> Any:
    return np.random.default_rng(seed).normal(0, scale, shape).astype(dtype)


def run(kernel: Kernel, *arguments: Any) -> Any:
    """Launch into a new array like the first argument."""
    out = np.empty_like(arguments[0])
    launch(kernel, *arguments, out)
    return out


def np_logsumexp(x: Any) -> Any:
    largest = x.max(1, initial=-INF)
    shift = np.where(np.isfinite(largest), largest, 0)
    with np.errstate(divide="ignore"):
        return shift + np.log(np.exp(x - shift[:, None]).sum(1))


def np_log_softmax(x: Any) -> Any:
    return x - np_logsumexp(x)[:, None]


def np_softmax(x: Any) -> Any:
    return np.exp(np_log_softmax(x))


def np_cross_entropy(logits: Any, labels: Any, weight: Any, smoothing: float) -> Any:
    """PyTorch's definition, sample by sample."""
    losses = np.zeros(len(labels))
    log_p = np_log_softmax(logits.astype(np.float64))
    for i, label in enumerate(labels):
        if label != IGNORE:
            losses[i] = -(1 - smoothing) * weight[label] * log_p[i, label]
            losses[i] -= smoothing / len(weight) * (weight * log_p[i]).sum()
    return losses


def central_differences(function: Callable[[Any], Any], x: Any, grad: Any, step: float = 1e-6) -> Any:
    """Derivative of sum(grad * function(x)) by each element of x, in float64."""
    result = np.empty_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        result[index] = ((function(up) - function(down)) * grad).sum() / (2 * step)
    return result


@in_both_dtypes
@in_all_shapes
def test_softmax_log_softmax_and_logsumexp(shape: tuple[int, int], dtype: Any) -> None:
    x = numbers(shape, dtype)
    exact = x.astype(np.float64)
    rtol = RTOL[dtype]
    np.testing.assert_allclose(run(softmax.softmax, x), np_softmax(exact), rtol=rtol * 5)
    np.testing.assert_allclose(run(softmax.log_softmax, x), np_log_softmax(exact), rtol=rtol, atol=rtol)
    out = np.empty(shape[0], dtype)
    launch(softmax.logsumexp, x, out)
    np.testing.assert_allclose(out, np_logsumexp(exact), rtol=rtol)


@in_both_dtypes
@in_all_shapes
def test_derivatives_of_softmax_and_log_softmax(shape: tuple[int, int], dtype: Any) -> None:
    x, grad = numbers(shape, dtype, scale=1), numbers(shape, dtype, seed=1)
    p = np_softmax(x.astype(np.float64))
    slope = p * (grad - (grad * p).sum(1, keepdims=True))
    log_slope = grad - p * grad.astype(np.float64).sum(1, keepdims=True)
    atol = RTOL[dtype] * max(shape[1], 1) ** 0.5
    y = run(softmax.softmax, x)
    np.testing.assert_allclose(run(softmax.softmax_backward, grad, y), slope, rtol=RTOL[dtype], atol=atol)
    y = run(softmax.log_softmax, x)
    np.testing.assert_allclose(run(softmax.log_softmax_backward, grad, y), log_slope, rtol=RTOL[dtype], atol=atol)


def test_derivatives_against_central_differences() -> None:
    x, grad = numbers((3, 7), np.float64, scale=1), numbers((3, 7), np.float64, seed=1)
    slope = central_differences(np_softmax, x, grad)
    np.testing.assert_allclose(run(softmax.softmax_backward, grad, run(softmax.softmax, x)), slope, atol=1e-8)
    slope = central_differences(np_log_softmax, x, grad)
    np.testing.assert_allclose(run(softmax.log_softmax_backward, grad, run(softmax.log_softmax, x)), slope, atol=1e-8)


@in_both_dtypes
def test_infinities_and_nan(dtype: Any) -> None:
    x = np.array([[0, -INF, 0], [-INF, -INF, -INF], [INF, 0, 0], [INF, -INF, 0], [NAN, 0, 0], [-INF, NAN, 0]], dtype)
    nan = [NAN] * 3
    np.testing.assert_array_equal(run(softmax.softmax, x), np.array([[0.5, 0, 0.5], nan, nan, nan, nan, nan], dtype))
    half = dtype(math.log(0.5))
    np.testing.assert_allclose(
        run(softmax.log_softmax, x), np.array([[half, -INF, half], nan, nan, nan, nan, nan]), rtol=1e-7
    )
    out = np.empty(6, dtype)
    launch(softmax.logsumexp, x, out)
    np.testing.assert_allclose(out, [math.log(2), -INF, INF, INF, NAN, NAN], rtol=1e-7)


@in_both_dtypes
def test_large_numbers_do_not_overflow(dtype: Any) -> None:
    x = np.array([[1e4, 1e4 + 1, 0], [-1e30, -1e30, -3e30]], dtype)
    expected = np.array([[1 / (1 + math.e), math.e / (1 + math.e), 0], [0.5, 0.5, 0]])
    np.testing.assert_allclose(run(softmax.softmax, x), expected, rtol=1e-6)
    assert np.isfinite(run(softmax.log_softmax, x)).all()


def test_inputs_in_any_layout() -> None:
    x = numbers((6, 5), np.float32)
    expected = run(softmax.softmax, x)
    out = np.empty((6, 5), np.float32)
    for view in (np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x[:, ::-1].copy()[:, ::-1]):
        launch(softmax.softmax, view, out)
        assert np.array_equal(out, expected)


def losses_of(logits: Any, labels: Any, weight: Any, smoothing: float) -> tuple[Any, Any]:
    losses, probabilities = np.empty(len(labels), logits.dtype), np.empty_like(logits)
    launch(softmax.cross_entropy, logits, labels, weight, IGNORE, smoothing, losses, probabilities)
    return losses, probabilities


def labelled(shape: tuple[int, int], dtype: Any) -> tuple[Any, Any, Any]:
    """Logits, labels (every third one ignored) and class weights."""
    labels = np.random.default_rng(2).integers(0, shape[1], shape[0])
    labels[2::3] = IGNORE
    return numbers(shape, dtype, scale=2), labels, np.random.default_rng(3).uniform(0.5, 2, shape[1]).astype(dtype)


@in_both_dtypes
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (1, 2), (9, 10), (4, 700), (900, 10)])
def test_cross_entropy(shape: tuple[int, int], smoothing: float, dtype: Any) -> None:
    logits, labels, weight = labelled(shape, dtype)
    losses, probabilities = losses_of(logits, labels, weight, smoothing)
    exact = logits.astype(np.float64)
    np.testing.assert_allclose(
        losses, np_cross_entropy(exact, labels, weight, smoothing), rtol=RTOL[dtype], atol=RTOL[dtype] / 10
    )
    np.testing.assert_allclose(probabilities, np_softmax(exact), rtol=RTOL[dtype])


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_derivative_of_cross_entropy(smoothing: float) -> None:
    logits, labels, weight = labelled((5, 7), np.float64)
    grad = numbers((5,), np.float64, seed=4)
    slope = central_differences(
        lambda x: np_cross_entropy(x, labels, weight, smoothing)[:, None], logits, grad[:, None]
    )
    for dtype, atol in ((np.float64, 1e-7), (np.float32, 1e-5)):
        small = [array.astype(dtype) for array in (logits, weight, grad)]
        _, probabilities = losses_of(small[0], labels, small[1], smoothing)
        out = np.empty_like(probabilities)
        launch(softmax.cross_entropy_backward, small[2], probabilities, labels, small[1], IGNORE, smoothing, out)
        assert out.dtype == dtype
        np.testing.assert_allclose(out, slope, atol=atol)
        assert not out[2].any()


def test_cross_entropy_where_a_logit_is_minus_infinity() -> None:
    logits, labels, weight = np.array([[0.0, -INF], [0.0, -INF]]), np.array([0, 1]), np.ones(2)
    losses, _ = losses_of(logits, labels, weight, 0.0)
    assert losses.tolist() == [0.0, INF]
    losses, _ = losses_of(logits, labels, weight, 0.1)
    assert losses.tolist() == [INF, INF]


def test_negative_labels_may_be_ignored_by_any_number() -> None:
    losses, probabilities = np.empty(2), np.empty((2, 3))
    launch(softmax.cross_entropy, np.zeros((2, 3)), np.array([-1, 1]), np.ones(3), -1, 0.0, losses, probabilities)
    np.testing.assert_allclose(losses, [0, math.log(3)])


@pytest.mark.parametrize("label", [3, -1, 2**40, -(2**40)])
def test_labels_out_of_range(label: int) -> None:
    labels = np.array([0, label, 7])
    logits, weight = np.zeros((3, 3), np.float32), np.ones(3, np.float32)
    losses, probabilities = np.full(3, 9, np.float32), np.full((3, 3), 9, np.float32)
    message = rf"label {label} at position 1 is out of range; labels must lie in 0 to 2"
    with pytest.raises(IndexRangeError, match=message):
        launch(softmax.cross_entropy, logits, labels, weight, IGNORE, 0.0, losses, probabilities)
    with pytest.raises(IndexRangeError, match=message):
        launch(softmax.nll_loss, logits, labels, weight, IGNORE, losses)
    assert (losses == 9).all()
    assert (probabilities == 9).all()


def test_an_earlier_error_stays_in_the_status() -> None:
    status = np.array([BAD_LABEL, 8, 5, 4], np.int64)
    softmax.nll_loss.serial()(np.zeros((1, 2)), np.array([9]), np.ones(2), IGNORE, np.empty(1), status)
    assert status.tolist() == [BAD_LABEL, 8, 5, 4]


@in_both_dtypes
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (9, 10)])
def test_nll_loss_and_its_derivative(shape: tuple[int, int], dtype: Any) -> None:
    log_p, labels, weight = labelled(shape, dtype)
    losses = np.empty(shape[0], dtype)
    launch(softmax.nll_loss, log_p, labels, weight, IGNORE, losses)
    grad = numbers((shape[0],), dtype, seed=4)
    out = np.full(shape, 9, dtype)
    launch(softmax.nll_loss_backward, grad, labels, weight, IGNORE, out)
    expected, slope = np.zeros(shape[0], dtype), np.zeros(shape, dtype)
    for i, label in enumerate(labels):
        if label != IGNORE:
            expected[i] = -weight[label] * log_p[i, label]
            slope[i, label] = -weight[label] * grad[i]
    np.testing.assert_array_equal(losses, expected)
    np.testing.assert_array_equal(out, slope)


@pytest.mark.parametrize("label", [3, -1, 2**40, -(2**63), 2**63 - 1])
def test_derivatives_check_labels_again(label: int) -> None:
    """The array may have been written to since the forward pass."""
    labels, out = np.array([0, label]), np.full((2, 3), 7.0)
    grad, probabilities, weight = np.ones(2), np.full((2, 3), 1 / 3), np.ones(3)
    with pytest.raises(IndexRangeError, match=f"cross_entropy_backward: label {label} at position 1"):
        launch(softmax.cross_entropy_backward, grad, probabilities, labels, weight, IGNORE, 0.1, out)
    with pytest.raises(IndexRangeError, match=f"nll_loss_backward: label {label} at position 1"):
        launch(softmax.nll_loss_backward, grad, labels, weight, IGNORE, out)
    assert (out == 7).all()


@pytest.mark.parametrize("kernel", [softmax.softmax, softmax.log_softmax])
def test_a_row_does_not_depend_on_the_others(kernel: Kernel) -> None:
    x = numbers((900, 10), np.float32)
    assert np.array_equal(run(kernel, x), np.concatenate([run(kernel, x[i : i + 50]) for i in range(0, 900, 50)]))
