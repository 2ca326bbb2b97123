"""Elementwise kernels against float64 references: values, derivatives, layouts, kinks, infinities and NaN."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.ulp import every_exponent, np_erf, ulp_error
from tinygrad_mlp.errors import ArgumentError, NonFiniteError
from tinygrad_mlp.kernels import elementwise
from tinygrad_mlp.kernels.launch import Kernel, launch
from tinygrad_mlp.kernels.status import NOT_FINITE

Function = Callable[[Any], Any]
INF, NAN = math.inf, math.nan


def np_sigmoid(x: Any) -> Any:
    return np.exp(np.minimum(x, 0)) / (1 + np.exp(-np.abs(x)))


def np_softplus(x: Any) -> Any:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


class Activation(NamedTuple):
    kernel: Kernel
    backward: Kernel
    scalars: tuple[float, ...]
    reference: Function
    from_output: bool = False
    """Whether the derivative kernel takes the output, not the input."""


ACTIVATIONS = [
    Activation(elementwise.relu, elementwise.relu_backward, (), lambda x: np.maximum(x, 0), from_output=True),
    Activation(elementwise.leaky_relu, elementwise.leaky_relu_backward, (0.1,), lambda x: np.where(x > 0, x, 0.1 * x)),
    Activation(elementwise.elu, elementwise.elu_backward, (1.5,), lambda x: np.where(x > 0, x, 1.5 * np.expm1(x))),
    Activation(elementwise.gelu, elementwise.gelu_backward, (), lambda x: 0.5 * x * (1 + np_erf(x / math.sqrt(2)))),
    Activation(
        elementwise.gelu_tanh,
        elementwise.gelu_tanh_backward,
        (),
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    Activation(elementwise.silu, elementwise.silu_backward, (), lambda x: x * np_sigmoid(x)),
    Activation(elementwise.sigmoid, elementwise.sigmoid_backward, (), np_sigmoid, from_output=True),
    Activation(elementwise.tanh, elementwise.tanh_backward, (), np.tanh, from_output=True),
    Activation(elementwise.logsigmoid, elementwise.logsigmoid_backward, (), lambda x: -np_softplus(-x)),
    Activation(
        elementwise.softplus,
        elementwise.softplus_backward,
        (2.0, 10.0),
        lambda x: np.where(2 * x > 10, x, np_softplus(2 * x) / 2),
    ),
    Activation(
        elementwise.hardtanh, elementwise.hardtanh_backward, (-1.0, 1.5), lambda x: np.minimum(np.maximum(x, -1), 1.5)
    ),
]
FUNCTIONS: list[tuple[Kernel, tuple[float, ...], Function]] = [
    (elementwise.erf, (), np_erf),
    (elementwise.exp, (), np.exp),
    (elementwise.log, (), np.log),
    (elementwise.rsqrt, (), lambda x: 1 / np.sqrt(x)),
    (elementwise.clamp, (-0.5, 1.0), lambda x: np.minimum(np.maximum(x, -0.5), 1.0)),
    (elementwise.clamp, (-INF, 1.0), lambda x: np.minimum(x, 1.0)),
    (elementwise.clamp, (1.0, -1.0), lambda x: np.full_like(x, -1.0)),
    *((each.kernel, each.scalars, each.reference) for each in ACTIVATIONS),
]
DTYPES = [np.float32, np.float64]
TOLERANCE: dict[Any, float] = {np.float32: 1e-6, np.float64: 1e-13}

by_name = pytest.mark.parametrize("activation", ACTIVATIONS, ids=lambda each: each.kernel.name)
in_both_dtypes = pytest.mark.parametrize("dtype", DTYPES)


def run(kernel: Kernel, *arguments: Any) -> Any:
    """Launch into a new array shaped and typed like the first argument."""
    out = np.empty_like(arguments[0])
    launch(kernel, *arguments, out)
    return out


def numbers(shape: tuple[int, ...], dtype: Any, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(0, 3, shape).astype(dtype)


@in_both_dtypes
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (64,), (5, 0), (3, 5, 7), (1001,)])
@pytest.mark.parametrize(("kernel", "scalars", "reference"), FUNCTIONS)
def test_values(
    kernel: Kernel, scalars: tuple[float, ...], reference: Function, shape: tuple[int, ...], dtype: Any
) -> None:
    x = numbers(shape, dtype)
    if kernel.name in {"log", "rsqrt"}:
        x = np.asarray(np.abs(x))
    y = run(kernel, x, *scalars)
    expected = reference(x.astype(np.float64))
    assert y.dtype == dtype
    np.testing.assert_allclose(y, expected, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] / 5)


@in_both_dtypes
@by_name
def test_derivatives_against_central_differences(activation: Activation, dtype: Any) -> None:
    x, grad = numbers((301,), dtype), numbers((301,), dtype, seed=1)
    saved = run(activation.kernel, x, *activation.scalars) if activation.from_output else x
    result = run(activation.backward, grad, saved, *activation.scalars)
    step = 1e-5
    exact = x.astype(np.float64)
    slope = (activation.reference(exact + step) - activation.reference(exact - step)) / (2 * step)
    rtol, atol = (1e-7, 1e-9) if dtype == np.float64 else (2e-5, 2e-6)
    assert result.dtype == dtype
    np.testing.assert_allclose(result, grad * slope, rtol=rtol, atol=atol)


def test_gelu_error_in_ulps() -> None:
    rng = np.random.default_rng(4)
    x = np.concatenate([every_exponent(200), rng.uniform(-1, 6, 200_000).astype(np.float32)])
    x = x[x >= -1]
    exact = x.astype(np.float64)
    below = 0.5 * np.array([math.erfc(value) for value in -exact / math.sqrt(2)])
    error = ulp_error(run(elementwise.gelu, x), exact * below)
    assert error.max() <= 4


def test_gelu_error_in_the_left_tail() -> None:
    x = np.linspace(-20, -1, 100_001).astype(np.float32)
    exact = x.astype(np.float64)
    below = 0.5 * np.array([math.erfc(value) for value in -exact / math.sqrt(2)])
    assert np.abs(run(elementwise.gelu, x) - exact * below).max() <= 2e-7


# What PyTorch gives at the points x = NaN, inf, -inf, 0, and at the kinks.
SPECIAL_VALUES: list[tuple[Kernel, tuple[float, ...], list[float], list[float]]] = [
    (elementwise.relu, (), [NAN, INF, -INF, 0.0], [NAN, INF, 0.0, 0.0]),
    (elementwise.leaky_relu, (0.1,), [NAN, INF, -INF, 0.0], [NAN, INF, -INF, 0.0]),
    (elementwise.elu, (1.5,), [NAN, INF, -INF, 0.0], [NAN, INF, -1.5, 0.0]),
    (elementwise.gelu, (), [NAN, INF, -INF, 0.0], [NAN, INF, NAN, 0.0]),
    (elementwise.gelu_tanh, (), [NAN, INF, -INF, 0.0], [NAN, INF, NAN, 0.0]),
    (elementwise.silu, (), [NAN, INF, -INF, 0.0], [NAN, INF, NAN, 0.0]),
    (elementwise.sigmoid, (), [NAN, INF, -INF, 0.0], [NAN, 1.0, 0.0, 0.5]),
    (elementwise.tanh, (), [NAN, INF, -INF, 0.0], [NAN, 1.0, -1.0, 0.0]),
    (elementwise.logsigmoid, (), [NAN, INF, -INF, -200.0], [NAN, 0.0, -INF, -200.0]),
    (elementwise.softplus, (1.0, 20.0), [NAN, INF, -INF, 20.5], [NAN, INF, 0.0, 20.5]),
    (elementwise.hardtanh, (-1.0, 1.0), [NAN, INF, -INF, 0.5], [NAN, 1.0, -1.0, 0.5]),
    (elementwise.clamp, (-1.0, 1.0), [NAN, INF, -INF, 0.5], [NAN, 1.0, -1.0, 0.5]),
    (elementwise.clamp, (-INF, INF), [NAN, INF, -INF, 0.5], [NAN, INF, -INF, 0.5]),
    (elementwise.erf, (), [NAN, INF, -INF, 0.0], [NAN, 1.0, -1.0, 0.0]),
    (elementwise.exp, (), [NAN, INF, -INF, 0.0], [NAN, INF, 0.0, 1.0]),
    (elementwise.log, (), [NAN, INF, -1.0, 0.0], [NAN, INF, NAN, -INF]),
    (elementwise.rsqrt, (), [NAN, INF, -1.0, 0.0], [NAN, 0.0, NAN, INF]),
]
SPECIAL_SLOPES: list[tuple[Kernel, tuple[float, ...], list[float], list[float]]] = [
    (elementwise.relu_backward, (), [NAN, INF, 0.0, 1e-30], [1, 1, 0, 1]),
    (elementwise.leaky_relu_backward, (0.1,), [NAN, INF, -INF, 0.0], [0.1, 1, 0.1, 0.1]),
    (elementwise.elu_backward, (1.5,), [NAN, INF, -INF, 0.0], [NAN, 1, 0, 1.5]),
    (elementwise.gelu_backward, (), [NAN, 100.0, -100.0, 0.0], [NAN, 1, 0, 0.5]),
    (elementwise.gelu_tanh_backward, (), [NAN, 100.0, -100.0, 0.0], [NAN, 1, 0, 0.5]),
    (elementwise.silu_backward, (), [NAN, 100.0, -1000.0, 0.0], [NAN, 1, 0, 0.5]),
    (elementwise.sigmoid_backward, (), [NAN, 1.0, 0.0, 0.5], [NAN, 0, 0, 0.25]),
    (elementwise.tanh_backward, (), [NAN, 1.0, -1.0, 0.0], [NAN, 0, 0, 1]),
    (elementwise.logsigmoid_backward, (), [NAN, INF, -INF, 0.0], [NAN, 0, 1, 0.5]),
    (elementwise.softplus_backward, (1.0, 20.0), [NAN, INF, -INF, 0.0], [NAN, 1, 0, 0.5]),
    (elementwise.hardtanh_backward, (-1.0, 1.0), [NAN, INF, -1.0, 1.0], [0, 0, 0, 0]),
]


@in_both_dtypes
@pytest.mark.parametrize(("kernel", "scalars", "x", "expected"), SPECIAL_VALUES)
def test_special_values(
    kernel: Kernel, scalars: tuple[float, ...], x: list[float], expected: list[float], dtype: Any
) -> None:
    many = np.array(x * 10, dtype)  # long enough for the vector loop and the rest after it
    np.testing.assert_allclose(run(kernel, many, *scalars), np.array(expected * 10), rtol=1e-7, equal_nan=True)


@in_both_dtypes
@pytest.mark.parametrize(("kernel", "scalars", "x", "slopes"), SPECIAL_SLOPES)
def test_slopes_at_kinks_and_special_values(
    kernel: Kernel, scalars: tuple[float, ...], x: list[float], slopes: list[float], dtype: Any
) -> None:
    saved = np.array(x * 10, dtype)
    grad = np.full_like(saved, 2.0)
    result = run(kernel, grad, saved, *scalars)
    np.testing.assert_allclose(result, 2 * np.array(slopes * 10), rtol=1e-6, atol=1e-38, equal_nan=True)


@by_name
def test_layouts(activation: Activation) -> None:
    """F-ordered, transposed and strided inputs give the same numbers in whatever layout the output has."""
    x = numbers((6, 5, 4), np.float32)
    expected = run(activation.kernel, x, *activation.scalars)
    fortran = np.asfortranarray(x)
    strided = np.repeat(x, 2, axis=1)[:, ::2]
    channels_last = np.ascontiguousarray(x.transpose(0, 2, 1)).transpose(0, 2, 1)
    for view in (fortran, strided, channels_last, x[::-1].copy()[::-1]):
        for out in (np.empty_like(x), np.empty_like(fortran), np.empty_like(channels_last)):
            launch(activation.kernel, view, *activation.scalars, out)
            assert np.array_equal(out, expected)


@by_name
def test_derivatives_in_mixed_layouts(activation: Activation) -> None:
    x, grad = numbers((6, 5), np.float32), numbers((6, 5), np.float32, seed=1)
    expected = run(activation.backward, grad, x, *activation.scalars)
    out = np.empty((5, 6), np.float32).T
    launch(activation.backward, grad, np.asfortranarray(x), *activation.scalars, out)
    assert np.array_equal(out, expected)


@by_name
def test_in_place(activation: Activation) -> None:
    x = numbers((1001,), np.float32)
    expected = run(activation.kernel, x, *activation.scalars)
    launch(activation.kernel, x, *activation.scalars, x)
    assert np.array_equal(x, expected)


def test_shapes_that_differ_raise() -> None:
    with pytest.raises(ArgumentError, match=r"relu.*\(3,\).*\(4,\)"):
        launch(elementwise.relu, np.ones(4, np.float32), np.empty(3, np.float32))


@in_both_dtypes
@pytest.mark.parametrize("shape", [(), (0,), (3, 5)])
def test_fill(shape: tuple[int, ...], dtype: Any) -> None:
    out = np.full(shape, np.nan, dtype, order="F")
    launch(elementwise.fill, out, 1.5)
    assert np.array_equal(out, np.full(shape, 1.5, dtype))


@in_both_dtypes
@pytest.mark.parametrize("size", [0, 1, 5, 8192, 8193, 20_000])
def test_check_finite_accepts_finite_numbers(size: int, dtype: Any) -> None:
    x = np.resize(np.array([0.0, -0.0, np.finfo(dtype).max, np.finfo(dtype).min, 1e-42], dtype), size)
    launch(elementwise.check_finite, x)


@settings(deadline=None)  # the first example compiles
@given(st.data())
def test_check_finite_names_the_first_bad_element(data: st.DataObject) -> None:
    size = data.draw(st.sampled_from([1, 3, 33, 8192, 8193, 20_001]))
    positions = data.draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=3))
    x = np.ones(size, data.draw(st.sampled_from(DTYPES)))
    x[positions] = data.draw(st.sampled_from([NAN, INF, -INF]))
    with pytest.raises(NonFiniteError, match=rf"check_finite: element {min(positions)} of {size} is NaN or infinite"):
        launch(elementwise.check_finite, x)
    launch(elementwise.check_finite, np.ones(3, x.dtype))  # the error has been taken away


@pytest.mark.parametrize("position", [0, 250_000, 400_006])
def test_check_finite_on_several_threads(position: int) -> None:
    x = np.ones(400_007, np.float32)
    launch(elementwise.check_finite, x, work=x.size)
    x[[position, 400_006]] = NAN
    with pytest.raises(NonFiniteError, match=rf"check_finite: element {position} of 400007 is NaN or infinite"):
        launch(elementwise.check_finite, x, work=x.size)


def test_check_finite_keeps_an_earlier_error() -> None:
    status = np.array([NOT_FINITE, 5, 0, 9], np.int64)
    elementwise.check_finite.serial()(np.array([NAN]), status)
    assert status.tolist() == [NOT_FINITE, 5, 0, 9]
