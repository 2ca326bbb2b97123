"""softmax, log_softmax and logsumexp over any dimension."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.autodiff.layouts import LAYOUTS, laid_out
from tests.autodiff.numeric import check_gradients, derivative_of, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.ops.softmax import log_softmax, logsumexp, softmax
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

INF, NAN = np.inf, np.nan


def reference_logsumexp(x: np.ndarray, dim, keepdim: bool = False) -> np.ndarray:
    dims = tuple(range(x.ndim)) if dim is None else dim
    return np.log(np.sum(np.exp(x), axis=dims, keepdims=keepdim))


def reference_softmax(x: np.ndarray, dim: int) -> np.ndarray:
    return np.exp(x) / np.sum(np.exp(x), axis=dim, keepdims=True)


@pytest.mark.parametrize(
    ("layout", "dim"), [("0-d", 0), ("0-d", -1), *itertools.product(LAYOUTS[1:], [0, 1, 2, -1, -3])]
)
def test_softmaxes(layout, dim):
    array = laid_out(layout, rng(10).normal(size=120))
    expected = reference_softmax(array.reshape(array.shape or 1), dim).reshape(array.shape)
    np.testing.assert_allclose(softmax(Tensor(array), dim).array, expected, rtol=1e-13)
    np.testing.assert_allclose(Tensor(array).log_softmax(dim).array, np.log(expected), rtol=1e-12, atol=1e-14)
    check_gradients(lambda x: softmax(x, dim), array)
    check_gradients(lambda x: log_softmax(x, dim), array)


@pytest.mark.parametrize("dim", [0, 1, -1, (0, 2), (-1, 0), (1,), None, ()])
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("layout", ["C", "channels-last", "strided"])
def test_logsumexp(dim, keepdim, layout):
    array = laid_out(layout, rng(11).normal(size=120))
    expected = reference_logsumexp(array, None if dim == () else dim, keepdim)
    out = Tensor(array).logsumexp(dim, keepdim)
    assert out.shape == np.shape(expected)
    np.testing.assert_allclose(out.array, expected, rtol=1e-13)
    check_gradients(lambda x: logsumexp(x, dim, keepdim), array)


def test_third_derivatives():
    x = rng(12).normal(size=(2, 3))
    weights = Tensor(rng(13).normal(size=(2, 3)))
    check_gradients(derivative_of(lambda t: softmax(t, 0) * weights), x)
    check_gradients(derivative_of(lambda t: log_softmax(t, 1) * weights), x)
    check_gradients(derivative_of(lambda t: logsumexp(t, 1)), x)


def test_edges_of_shape():
    zero_d = Tensor(np.array(3.0))
    assert softmax(zero_d, 0).tolist() == softmax(zero_d, -1).tolist() == 1.0
    assert log_softmax(zero_d, 0).tolist() == 0.0
    assert logsumexp(zero_d).tolist() == logsumexp(zero_d, 0).tolist() == 3.0
    assert logsumexp(Tensor(np.empty((0, 3))), 0).tolist() == [-INF] * 3
    assert logsumexp(Tensor(np.empty((0, 3))), 1).shape == (0,)
    check_gradients(logsumexp, np.array(3.0))
    check_gradients(lambda x: logsumexp(x, 1), np.empty((0, 3)))


def test_large_numbers_do_not_overflow():
    for dtype in (np.float32, np.float64):
        x = Tensor(np.array([[1e4, 1e4], [-1e4, 1e4]], dtype))
        np.testing.assert_allclose(softmax(x, 1).array, [[0.5, 0.5], [0, 1]])
        np.testing.assert_allclose(log_softmax(x, 1).array, [[-np.log(2)] * 2, [-2e4, 0]], rtol=1e-6)
        np.testing.assert_allclose(logsumexp(x, 1).array, [1e4 + np.log(2), 1e4], rtol=1e-6)


def test_infinities_as_in_pytorch():
    x = Tensor(np.array([[INF, 1], [-INF, 1], [-INF, -INF], [NAN, 1]]), requires_grad=True)
    np.testing.assert_array_equal(softmax(x, 1).detach().array, [[NAN, NAN], [0, 1], [NAN, NAN], [NAN, NAN]])
    np.testing.assert_array_equal(log_softmax(x, 1).detach().array, [[NAN, NAN], [-INF, 0], [NAN, NAN], [NAN, NAN]])
    np.testing.assert_array_equal(logsumexp(x, 1).detach().array, [INF, 1, -INF, NAN])
    (found,) = grad(logsumexp(x[1:2], 1), x)
    np.testing.assert_array_equal(found.array[1], [0, 1])


def test_memory_order_of_channels_last_images_is_kept():
    array = laid_out("channels-last", rng(14).normal(size=120))
    assert softmax(Tensor(array), 1).array.strides == array.strides
    assert log_softmax(Tensor(array), 1).array.strides == array.strides


def test_dtypes():
    x = rng(15).normal(size=(4, 6)).astype(np.float32)
    for function in (softmax, log_softmax, logsumexp):
        out = function(Tensor(x), 1)
        assert out.dtype == np.float32
        np.testing.assert_allclose(out.array, function(Tensor(x.astype(np.float64)), 1).array, rtol=1e-5, atol=1e-6)
        assert function(Tensor(np.arange(3)), 0).dtype == np.float32


def test_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=r"softmax: dim 2 is out of range for shape \(2, 3\); expected -2 to 1"):
        softmax(x, 2)
    with pytest.raises(ShapeError, match="log_softmax: dim -3 is out of range"):
        log_softmax(x, -3)
    with pytest.raises(ArgumentError, match=r"softmax: dim must be an integer, got 1\.5"):
        softmax(x, 1.5)
    with pytest.raises(ArgumentError, match=r"logsumexp: dim \(0, -2\) names a dimension of shape \(2, 3\) twice"):
        logsumexp(x, (0, -2))
    with pytest.raises(DtypeError, match="softmax: expected a Tensor, got ndarray"):
        softmax(x.array, 0)


@settings(deadline=None, max_examples=40)
@given(hnp.arrays(np.float64, hnp.array_shapes(max_dims=3, max_side=5), elements=st.floats(-50, 50)), st.data())
def test_rows_are_distributions(array, data):
    dim = data.draw(st.integers(-array.ndim, array.ndim - 1))
    x = Tensor(array)
    probabilities = softmax(x, dim)
    np.testing.assert_allclose(probabilities.array.sum(dim), 1.0, rtol=1e-12)
    np.testing.assert_allclose(log_softmax(x, dim).array, (x - logsumexp(x, dim, keepdim=True)).array, atol=1e-12)
    np.testing.assert_allclose(log_softmax(x, dim).exp().array, probabilities.array, atol=1e-12)


@pytest.mark.parametrize(("shape", "implicit"), [((3,), 0), ((2, 3), 1), ((2, 3, 4), 0), ((2, 3, 4, 5), 1)])
@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_without_a_dim_the_one_that_pytorch_guesses_is_named(function, shape, implicit):
    with pytest.raises(ArgumentError, match=rf"got no dim; .* is {implicit} for shape .*write dim={implicit}"):
        function(Tensor(np.zeros(shape)))
