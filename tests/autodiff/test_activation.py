"""Activations: values, derivatives of three orders, kinks, layouts, arguments."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest

from tests.autodiff.layouts import LAYOUTS, laid_out
from tests.autodiff.numeric import check_gradients, derivative_of, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.ops import activation
from tinygrad_mlp.autodiff.ops.activation import elu, gelu, hardtanh, leaky_relu, logsigmoid, relu, silu, softplus
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError

erf = np.vectorize(math.erf, otypes=[float])


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@dataclass(frozen=True)
class Case:
    label: str
    op: Callable[[Tensor], Tensor]
    reference: Callable[[np.ndarray], np.ndarray]
    kinks: tuple[float, ...] = ()

    def __str__(self) -> str:
        return self.label

    def inputs(self, size: int = 120) -> np.ndarray:
        """Numbers from -4 to 4, none nearer than 1e-3 to a kink."""
        values = rng(9).uniform(-4, 4, size)
        for kink in self.kinks:
            values = np.where(np.abs(values - kink) < 1e-3, kink + 0.1, values)
        return values


CASES = [
    Case("relu", relu, lambda x: np.maximum(x, 0), (0,)),
    Case("leaky_relu", leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x), (0,)),
    Case("leaky_relu(0.3)", lambda x: leaky_relu(x, 0.3), lambda x: np.where(x > 0, x, 0.3 * x), (0,)),
    Case("elu", elu, lambda x: np.where(x > 0, x, np.expm1(x)), (0,)),
    Case("elu(1.7)", lambda x: elu(x, alpha=1.7), lambda x: np.where(x > 0, x, 1.7 * np.expm1(x)), (0,)),
    Case("gelu", gelu, lambda x: x * 0.5 * (1 + erf(x / math.sqrt(2)))),
    Case(
        "gelu(tanh)",
        lambda x: gelu(x, approximate="tanh"),
        lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    ),
    Case("silu", silu, lambda x: x * logistic(x)),
    Case("sigmoid", activation.sigmoid, logistic),
    Case("logsigmoid", logsigmoid, lambda x: np.log(logistic(x))),
    Case("softplus", softplus, lambda x: np.log1p(np.exp(x))),
    Case(
        "softplus(2, 3)",
        lambda x: softplus(x, beta=2, threshold=3),
        lambda x: np.where(2 * x > 3, x, np.log1p(np.exp(2 * x)) / 2),
        (1.5,),
    ),
    Case("hardtanh", hardtanh, lambda x: np.clip(x, -1, 1), (-1, 1)),
    Case("hardtanh(-2, 0.5)", lambda x: hardtanh(x, -2, 0.5), lambda x: np.clip(x, -2, 0.5), (-2, 0.5)),
]


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_values(case, layout):
    array = laid_out(layout, case.inputs())
    out = case.op(Tensor(array))
    assert out.dtype == np.float64 and out.shape == array.shape
    np.testing.assert_allclose(out.array, case.reference(array), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_float32_stays_float32_and_close(case):
    array = case.inputs().astype(np.float32)
    out = case.op(Tensor(array, requires_grad=True))
    (slope,) = grad(out.sum(), out.node.inputs[0])
    assert out.dtype == slope.dtype == np.float32
    np.testing.assert_allclose(out.detach().array, case.reference(array.astype(np.float64)), rtol=2e-6, atol=3e-7)
    exact = Tensor(array.astype(np.float64), requires_grad=True)
    (exact_slope,) = grad(case.op(exact).sum(), exact)
    np.testing.assert_allclose(slope.array, exact_slope.array, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("layout", ["0-d", "size 0", "C", "F", "broadcast"])
def test_gradients_of_both_orders(case, layout):
    check_gradients(case.op, laid_out(layout, case.inputs()))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_third_derivative(case):
    check_gradients(derivative_of(case.op), case.inputs(6))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_output_and_gradient_keep_the_memory_order(case):
    array = laid_out("channels-last", case.inputs())
    x = Tensor(array, requires_grad=True)
    out = case.op(x)
    (slope,) = grad(out, x, Tensor(np.ones_like(array)))
    assert out.detach().array.strides == slope.array.strides == array.strides


@pytest.mark.parametrize("case", CASES, ids=str)
def test_nan_and_integers(case):
    assert np.isnan(case.op(Tensor(np.array([np.nan, 1.0]))).array).tolist() == [True, False]
    out = case.op(Tensor(np.array([-1, 0, 2])))
    assert out.dtype == np.float32
    np.testing.assert_allclose(out.array, case.reference(np.array([-1.0, 0.0, 2.0])), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    ("op", "at", "slopes", "curvatures"),
    [
        (relu, [0.0, -0.0], [0, 0], [0, 0]),
        (leaky_relu, [0.0, -0.0], [0.01, 0.01], [0, 0]),
        (lambda x: elu(x, 2.0), [0.0, -0.0], [2, 2], [0, 0]),
        (hardtanh, [-1.0, 1.0], [0, 0], [0, 0]),
        (softplus, [21.0, 1e6], [1, 1], [0, 0]),
        (silu, [800.0, -800.0], [1, 0], [0, 0]),
        (gelu, [40.0, -40.0], [1, 0], [0, 0]),
        (logsigmoid, [800.0, -800.0], [0, 1], [0, 0]),
    ],
)
def test_kinks_and_tails_are_pytorchs(op, at, slopes, curvatures):
    x = Tensor(np.array(at), requires_grad=True)
    (first,) = grad(op(x).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    np.testing.assert_allclose(first.detach().array, slopes, atol=1e-300)
    np.testing.assert_allclose(second.array, curvatures, atol=1e-300)


def test_tails_are_finite_and_exact():
    x = Tensor(np.array([-1000.0, 1000.0]))
    assert logsigmoid(x).tolist() == [-1000, 0]
    assert softplus(x).tolist() == [0, 1000]
    assert activation.sigmoid(x).tolist() == [0, 1]
    assert silu(x).tolist() == [0, 1000]
    assert gelu(x).tolist() == gelu(x, "tanh").tolist() == [0, 1000]
    assert elu(x).tolist() == [-1, 1000]


def test_methods():
    x = Tensor(np.array([-1.0, 2.0]))
    for name in ("relu", "sigmoid", "silu"):
        assert getattr(x, name)().tolist() == getattr(activation, name)(x).tolist()


def test_arguments_are_checked():
    x = Tensor(np.ones(2))
    with pytest.raises(ArgumentError, match="gelu: unknown approximate 'sigmoid'; expected one of 'none', 'tanh'"):
        gelu(x, approximate="sigmoid")
    with pytest.raises(ArgumentError, match="hardtanh: min_val 1 must lie below max_val 1"):
        hardtanh(x, 1, 1)
    with pytest.raises(ArgumentError, match="softplus: beta is 0"):
        softplus(x, beta=0)
    with pytest.raises(DtypeError, match="relu: expected a Tensor, got list"):
        relu([1.0])


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "silu", "hardtanh"])
def test_inplace_is_accepted_and_the_input_stays(name):
    x = Tensor(np.array([-2.0, 3.0]))
    function = getattr(activation, name)
    np.testing.assert_array_equal(function(x, inplace=True).array, function(x).array)
    assert x.tolist() == [-2.0, 3.0]
