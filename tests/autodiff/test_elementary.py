"""Elementary functions: values, derivatives of both orders, layouts, dtypes, special numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tests.autodiff.layouts import LAYOUTS, laid_out
from tests.autodiff.numeric import check_gradients, derivative_of, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.ops import elementary
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import DtypeError


@dataclass(frozen=True)
class Case:
    name: str
    reference: Callable[[np.ndarray], np.ndarray]
    low: float = -2.0
    high: float = 2.0
    kinks: tuple[float, ...] = ()

    def __str__(self) -> str:
        return self.name

    @property
    def op(self) -> Callable[..., Tensor]:
        return getattr(elementary, self.name)

    def inputs(self, size: int = 120) -> np.ndarray:
        """Numbers of the domain, none nearer than 1e-3 to a kink."""
        values = rng(3).uniform(self.low, self.high, size)
        for kink in self.kinks:
            values = np.where(np.abs(values - kink) < 1e-3, kink + 0.1, values)
        return values


SMOOTH = [
    Case("exp", np.exp),
    Case("exp2", np.exp2),
    Case("expm1", np.expm1),
    Case("log", np.log, 0.1, 5),
    Case("log1p", np.log1p, -0.9, 5),
    Case("log2", np.log2, 0.1, 5),
    Case("sqrt", np.sqrt, 0.1, 5),
    Case("rsqrt", lambda x: 1 / np.sqrt(x), 0.1, 5),
    Case("square", np.square),
    Case("reciprocal", np.reciprocal, 0.2, 3),
    Case("sin", np.sin, -7, 7),
    Case("cos", np.cos, -7, 7),
    Case("tanh", np.tanh),
    Case("erf", np.vectorize(math.erf, otypes=[float])),
    Case("abs", np.abs, kinks=(0.0,)),
]
STEPS = [
    Case("sign", np.sign, kinks=(0.0,)),
    Case("floor", np.floor, kinks=(-2, -1, 0, 1, 2)),
    Case("ceil", np.ceil, kinks=(-2, -1, 0, 1, 2)),
    Case("round", np.rint, kinks=(-1.5, -0.5, 0.5, 1.5)),
]
ALL = SMOOTH + STEPS


@pytest.mark.parametrize("case", ALL, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values(case, layout):
    array = laid_out(layout, case.inputs())
    out = case.op(Tensor(array))
    assert out.dtype == np.float64 and out.shape == array.shape
    np.testing.assert_allclose(out.array, case.reference(array), rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_float32_stays_float32_and_close(case):
    array = case.inputs().astype(np.float32)
    out = case.op(Tensor(array))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.array, case.reference(array.astype(np.float64)), rtol=5e-7, atol=1e-7)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_is_a_method_too(case):
    array = case.inputs(6)
    np.testing.assert_array_equal(getattr(Tensor(array), case.name)().array, case.op(Tensor(array)).array)


@pytest.mark.parametrize("case", SMOOTH, ids=str)
@pytest.mark.parametrize("layout", ["0-d", "size 0", "C", "F", "broadcast"])
def test_gradients_of_both_orders(case, layout):
    check_gradients(case.op, laid_out(layout, case.inputs()))


@pytest.mark.parametrize("case", SMOOTH, ids=str)
def test_third_derivative(case):
    check_gradients(derivative_of(case.op), case.inputs(5))


@pytest.mark.parametrize("case", STEPS, ids=str)
def test_steps_have_zero_gradient_even_next_to_infinities(case):
    x = Tensor(np.array([-1.5, 0.0, 0.5, 2.0]), requires_grad=True)
    (found,) = grad(case.op(x), x, Tensor(np.array([1.0, np.inf, np.nan, 2.0])))
    np.testing.assert_array_equal(found.array, np.zeros(4))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_output_keeps_the_memory_order(case):
    array = laid_out("channels-last", case.inputs())
    assert case.op(Tensor(array)).array.strides == array.strides


@pytest.mark.parametrize("case", [c for c in SMOOTH if c.name not in ("square", "abs")], ids=str)
@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.bool_])
def test_integers_count_as_float32(case, dtype):
    array = np.array([1, 0, 1, 1]).astype(dtype)
    out = case.op(Tensor(array))
    assert out.dtype == np.float32
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(out.array, case.reference(array.astype(np.float64)), rtol=1e-6, atol=1e-7)


def test_functions_that_keep_integers():
    x = Tensor(np.array([-3, 0, 2]))
    for name, expected in {
        "square": [9, 0, 4],
        "abs": [3, 0, 2],
        "sign": [-1, 0, 1],
        "floor": [-3, 0, 2],
        "ceil": [-3, 0, 2],
        "round": [-3, 0, 2],
    }.items():
        out = getattr(elementary, name)(x)
        assert out.dtype == np.int64
        assert out.tolist() == expected
    rounded = elementary.round(x)
    rounded.array[0] = 7
    assert x.tolist() == [-3, 0, 2]


def test_rounding_half_to_even_and_decimals():
    assert elementary.round(Tensor(np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5]))).tolist() == [-2, -2, 0, 0, 2, 2]
    x = Tensor(np.array([1234.5678, -0.125]))
    np.testing.assert_allclose(elementary.round(x, decimals=2).array, [1234.57, -0.12], rtol=1e-15)
    np.testing.assert_allclose(x.round(-2).array, [1200, 0], rtol=1e-15)
    assert round(1234.5678, 2) == pytest.approx(x.round(2).array[0])


@pytest.mark.parametrize(
    ("name", "at", "value", "slope"),
    [
        ("log", 0.0, -np.inf, np.inf),
        ("log", -1.0, np.nan, -1.0),
        ("log1p", -1.0, -np.inf, np.inf),
        ("sqrt", 0.0, 0.0, np.inf),
        ("sqrt", -1.0, np.nan, np.nan),
        ("rsqrt", 0.0, np.inf, -np.inf),
        ("reciprocal", 0.0, np.inf, -np.inf),
        ("reciprocal", -0.0, -np.inf, -np.inf),
        ("exp", -np.inf, 0.0, 0.0),
        ("exp", np.inf, np.inf, np.inf),
        ("tanh", np.inf, 1.0, 0.0),
        ("tanh", -100.0, -1.0, 0.0),
        ("erf", np.inf, 1.0, 0.0),
        ("abs", 0.0, 0.0, 0.0),
        ("abs", -np.inf, np.inf, -1.0),
        ("square", -np.inf, np.inf, -np.inf),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_borders_of_the_domain(name, at, value, slope, dtype):
    x = Tensor(np.array([at], dtype), requires_grad=True)
    out = getattr(elementary, name)(x)
    (found,) = grad(out, x, Tensor(np.ones(1, dtype)))
    np.testing.assert_array_equal(out.detach().array, np.array([value], dtype))
    np.testing.assert_array_equal(found.array, np.array([slope], dtype))


@pytest.mark.parametrize("case", ALL, ids=str)
def test_nan_stays_nan(case):
    x = Tensor(np.array([np.nan, 1.0]))
    assert np.isnan(case.op(x).array).tolist() == [True, False]


def test_small_arguments_keep_their_digits():
    x = Tensor(np.array([1e-15, -1e-12]))
    np.testing.assert_allclose(elementary.expm1(x).array, [1e-15, -1e-12], rtol=1e-11)
    np.testing.assert_allclose(elementary.log1p(x).array, [1e-15, -1e-12], rtol=1e-11)


@pytest.mark.parametrize("case", ALL, ids=str)
def test_other_things_than_tensors_are_named(case):
    with pytest.raises(DtypeError, match=rf"{case.name}: expected a Tensor, got ndarray; tg.tensor"):
        case.op(np.ones(3))
