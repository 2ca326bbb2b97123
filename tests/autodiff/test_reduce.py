"""Reductions: values against NumPy, derivatives of both orders, ties, zeros, dims, dtypes, errors."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tinygrad_mlp as tg
from tests.autodiff.layouts import LAYOUTS, laid_out
from tests.autodiff.numeric import check_gradients, derivative_of, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

NAN, INF = np.nan, np.inf
REFERENCES = {
    "sum": np.sum,
    "mean": np.mean,
    "prod": np.prod,
    "amax": np.max,
    "amin": np.min,
    "var": lambda x, axis, keepdims: np.var(x, axis=axis, keepdims=keepdims, ddof=1),
    "std": lambda x, axis, keepdims: np.std(x, axis=axis, keepdims=keepdims, ddof=1),
    "norm": lambda x, axis, keepdims: np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims)),
}
DIMS = [None, 0, 1, -1, (0, 2), (-1, 0, 1), (1,), ()]


def distinct(size: int = 120, key: int = 0) -> np.ndarray:
    """Numbers of which no two are nearer than 0.02."""
    return (rng(20, key).permutation(size) - size / 2 + 0.3) * 0.02


def axes_of(dim) -> tuple[int, ...] | int | None:
    return None if dim == () else dim


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dim", DIMS)
@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("layout", ["C", "F", "channels-last", "strided", "reversed", "broadcast"])
def test_values(name, dim, keepdim, layout):
    array = laid_out(layout, distinct())
    expected = REFERENCES[name](array, axis=axes_of(dim), keepdims=keepdim)
    out = getattr(Tensor(array), name)(dim=dim, keepdim=keepdim)
    assert out.shape == np.shape(expected) and out.dtype == np.float64
    np.testing.assert_allclose(out.array, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("dim", DIMS)
def test_gradients_of_both_orders(name, dim):
    function = getattr(tg, name)
    check_gradients(lambda x: function(x, dim=dim), distinct()[:24].reshape(2, 3, 4) + 2)
    check_gradients(lambda x: function(x, dim=dim, keepdim=True), laid_out("channels-last", distinct()) + 2)


@pytest.mark.parametrize("name", ["prod", "var", "std", "norm"])
def test_third_derivatives(name):
    check_gradients(derivative_of(getattr(tg, name)), np.array([1.5, -0.5, 2.0, 0.7]))


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "amax", "amin", "norm"])
def test_0d_and_size_1(name):
    function = getattr(tg, name)
    for array in (np.array(2.5), np.array([2.5]), np.array([[[2.5]]])):
        for dim in (None, 0, -1):
            np.testing.assert_allclose(function(Tensor(array), dim=dim).array.reshape(-1), [2.5])
            check_gradients(lambda x, dim=dim: function(x, dim=dim), array, second=name != "norm")
    assert function(Tensor(np.array(2.5)), dim=0, keepdim=True).shape == ()


def test_nothing_to_add():
    x = Tensor(np.empty((0, 3)), requires_grad=True)
    assert tg.sum(x).item() == 0
    assert tg.sum(x, 0).tolist() == [0, 0, 0]
    assert tg.prod(x, 0).tolist() == [1, 1, 1]
    assert math.isnan(tg.mean(x).item())
    assert tg.norm(x, dim=0).tolist() == [0, 0, 0]
    assert tg.any(x).item() is False and tg.all(x).item() is True
    assert tg.sum(x, 1).shape == tg.amax(x, 1).shape == tg.argmax(x, 1).shape == (0,)
    for function in (tg.sum, tg.prod, tg.norm):
        (found,) = grad(function(x), x)
        assert found.shape == (0, 3)


@pytest.mark.parametrize("name", ["amax", "amin", "argmax", "argmin", "max", "min"])
def test_nothing_to_choose_from(name):
    with pytest.raises(ShapeError, match=r"arg|am"):
        getattr(tg, name)(Tensor(np.empty((0, 3))), dim=0)
    with pytest.raises(
        ShapeError, match=r"shape \(0, 3\) has no elements along dim \[0, 1\], so there is none to choose"
    ):
        getattr(tg, name)(Tensor(np.empty((0, 3))))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, np.bool_])
def test_integers_and_bools(dtype):
    array = np.array([[1, 0, 1], [1, 1, 1]]).astype(dtype)
    x = Tensor(array)
    for out, expected in [
        (x.sum(), 5),
        (x.sum(1), [2, 3]),
        (x.prod(1), [0, 1]),
        (x.cumsum(1), [[1, 1, 2], [1, 2, 3]]),
    ]:
        assert out.dtype == np.int64
        assert out.tolist() == expected
    assert x.amax(0).dtype == x.max(0).values.dtype == dtype
    assert x.amin(0).tolist() == array.min(0).tolist()
    assert x.argmin(1).tolist() == [1, 0]
    assert Tensor(np.full(100, 200, np.uint8)).sum().item() == 20_000


def test_float32_stays_float32_and_sums_are_accurate():
    array = rng(21).uniform(0, 1, (1000, 1000)).astype(np.float32)
    exact = array.astype(np.float64)
    x = Tensor(array)
    for dim in (None, 0, 1):
        for name in ("sum", "mean", "var", "std", "norm"):
            out = getattr(x, name)(dim=dim)
            assert out.dtype == np.float32
            expected = REFERENCES[name](exact, axis=dim, keepdims=False)
            np.testing.assert_allclose(out.array, expected, rtol=2e-6)
    assert (x * 0 + 1).cumsum(1).tolist()[0][-1] == 1000


def test_variance_does_not_cancel():
    x = Tensor(1e8 + np.array([1.0, 2.0, 3.0, 4.0]))
    assert x.var().item() == pytest.approx(5 / 3, rel=1e-12)
    assert x.var(correction=0).item() == x.var(unbiased=False).item() == pytest.approx(1.25, rel=1e-12)
    assert x.std(0, unbiased=True).item() == pytest.approx(math.sqrt(5 / 3), rel=1e-12)
    assert x.reshape(2, 2).var(1, 0).tolist() == [0.25, 0.25]
    assert math.isnan(x[:1].var().item())
    assert x.var(correction=4).item() == INF


@pytest.mark.parametrize("n", range(1, 10))
@pytest.mark.parametrize("zeros", [0, 1, 2, 3])
def test_gradient_of_a_product_with_zeros(n, zeros):
    values = rng(22, n).uniform(0.5, 1.5, n)
    values[rng(23, n, zeros).permutation(n)[:zeros]] = 0
    x = Tensor(values, requires_grad=True)
    (first,) = grad(x.prod(), x, create_graph=True)
    expected = [np.prod(np.delete(values, i)) for i in range(n)]
    np.testing.assert_allclose(first.detach().array, expected, rtol=1e-14)
    if n > 1:
        (second,) = grad(first.sum(), x)
        pairs = [sum(np.prod(np.delete(values, [i, j])) for j in range(n) if j != i) for i in range(n)]
        np.testing.assert_allclose(second.array, pairs, rtol=1e-14)


def test_gradient_of_products_along_dims_with_zeros():
    array = np.round(distinct()[:24].reshape(2, 3, 4), 0)
    assert (array == 0).sum() > 10
    for dim in DIMS:
        check_gradients(lambda x, dim=dim: tg.prod(x + 1.0, dim), array + rng(24).choice([-1.0, 0.0], array.shape))


def test_ties_share_the_gradient_of_amax_evenly_and_of_max_along_a_dim_not():
    x = Tensor(np.array([[1.0, 2.0, 2.0, 0.0], [3.0, 3.0, 3.0, 3.0]]), requires_grad=True)
    ones = Tensor(np.ones(2))
    assert grad(x.amax(1), x, ones)[0].tolist() == [[0, 0.5, 0.5, 0], [0.25] * 4]
    assert grad(x.max(), x)[0].tolist() == [[0, 0, 0, 0], [0.25] * 4]
    assert grad(-(-x).amin(1), x, ones)[0].tolist() == [[0, 0.5, 0.5, 0], [0.25] * 4]
    assert grad(x.max(1).values, x, ones)[0].tolist() == [[0, 1, 0, 0], [1, 0, 0, 0]]
    assert grad((-x).min(1).values, x, ones)[0].tolist() == [[0, -1, 0, 0], [-1, 0, 0, 0]]


@pytest.mark.parametrize("name", [*REFERENCES, "any"])
def test_result_keeps_the_memory_order(name):
    array = laid_out("channels-last", distinct())  # (N, C, H, W) that lies as (N, H, W, C)
    out = getattr(Tensor(array), name)(dim=0)
    assert out.array.transpose(1, 2, 0).flags.c_contiguous


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("keepdim", [False, True])
def test_extremes_along_a_dim(name, dim, keepdim):
    array = distinct()[:24].reshape(2, 3, 4)
    values, indices = getattr(Tensor(array), name)(dim, keepdim)
    np.testing.assert_array_equal(values.array, getattr(np, name)(array, axis=dim, keepdims=keepdim))
    np.testing.assert_array_equal(indices.array, getattr(np, "arg" + name)(array, axis=dim, keepdims=keepdim))
    assert indices.dtype == np.int64
    check_gradients(lambda x: getattr(tg, name)(x * x * x, dim, keepdim).values, array)


def test_max_of_two_tensors_and_of_a_0d_one():
    x, y = Tensor(np.array([1.0, 5.0])), Tensor(np.array([3.0, 2.0]))
    assert tg.max(x, y).tolist() == [3, 5]
    assert tg.min(x, y).tolist() == [1, 2]
    values, indices = Tensor(np.array(2.0)).max(0)
    assert (values.tolist(), indices.tolist()) == (2.0, 0)
    check_gradients(lambda t: tg.min(t, -1).values, np.array(2.0))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize(
    ("layout", "dim"), [("0-d", None), ("0-d", 0), *itertools.product(LAYOUTS[2:], [None, 0, 1, -1])]
)
def test_index_of_the_extreme(name, layout, dim):
    array = laid_out(layout, np.round(distinct(), 1))  # with ties: the first of them counts, in row-major order
    for keepdim in (False, True):
        out = getattr(Tensor(array), name)(dim, keepdim)
        expected = getattr(np, name)(array, axis=dim, keepdims=keepdim)
        assert out.dtype == np.int64 and out.shape == np.shape(expected)
        np.testing.assert_array_equal(out.array, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_is_never_lost(dtype):
    array = np.array([[1, NAN, 3, NAN], [1, 2, 3, 4]], dtype)
    x = Tensor(array)
    for name in ("sum", "mean", "prod", "amax", "amin", "var", "std", "norm"):
        assert np.isnan(getattr(x, name)(dim=1).array).tolist() == [True, False], name
        assert np.isnan(getattr(x, name)(dim=0).array).tolist() == [False, True, False, True], name
    assert x.argmax(1).tolist() == [1, 3] and x.argmin(1).tolist() == [1, 0]
    assert x.argmax(0).tolist() == [0, 0, 0, 0] and x.argmax().item() == 1
    values, indices = x.max(1)
    np.testing.assert_array_equal(values.array, [NAN, 4])
    assert indices.tolist() == [1, 3]
    np.testing.assert_array_equal(np.isnan(x.cumsum(1).array[0]), [False, True, True, True])


def test_infinities():
    x = Tensor(np.array([[INF, 1.0], [-INF, -INF], [INF, -INF]]))
    np.testing.assert_array_equal(x.amax(1).array, [INF, -INF, INF])
    np.testing.assert_array_equal(x.amin(1).array, [1, -INF, -INF])
    np.testing.assert_array_equal(x.sum(1).array, [INF, -INF, NAN])
    assert x.argmax(1).tolist() == [0, 0, 0]


@pytest.mark.parametrize("dim", [None, 0, -1, (0, 1), (1, 2)])
@pytest.mark.parametrize("keepdim", [False, True])
def test_any_and_all(dim, keepdim):
    for array in (rng(25).integers(0, 2, (2, 3, 4)) > 0, rng(26).integers(0, 2, (2, 3, 4)) * 1.5):
        for name in ("any", "all"):
            out = getattr(Tensor(array), name)(dim, keepdim)
            expected = getattr(np, name)(array, axis=dim, keepdims=keepdim)
            assert out.dtype == np.bool_ and out.shape == np.shape(expected)
            np.testing.assert_array_equal(out.array, expected)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cumsum(layout):
    array = laid_out(layout, distinct())
    for dim in range(-max(array.ndim, 1), max(array.ndim, 1)):
        expected = np.cumsum(array.reshape(array.shape or 1), axis=dim).reshape(array.shape)
        np.testing.assert_allclose(Tensor(array).cumsum(dim).array, expected, rtol=1e-12, atol=1e-15)
        check_gradients(lambda x, dim=dim: tg.cumsum(x * x, dim), array)


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 2.5, 3, 4, INF, -INF, -1, "fro"])
@pytest.mark.parametrize("dim", [None, 1, (0, 2)])
def test_norms(p, dim):
    array = distinct()[:24].reshape(2, 3, 4)
    axes = tuple(range(3)) if dim is None else (dim,) if isinstance(dim, int) else dim
    magnitude = np.abs(array)
    power = 2 if p == "fro" else p
    if power == 0:
        expected = (array != 0).sum(axes)
    elif math.isinf(power):
        expected = magnitude.max(axes) if power > 0 else magnitude.min(axes)
    else:
        expected = (magnitude**power).sum(axes) ** (1 / power)
    np.testing.assert_allclose(Tensor(array).norm(p, dim).array, expected, rtol=1e-12)
    check_gradients(lambda x: tg.norm(x, p, dim, keepdim=True), array * 10)


@pytest.mark.parametrize("p", [0, 0.5, 1, 1.5, 2, 3, INF, "fro"])
def test_gradient_of_a_norm_at_zero_is_zero(p):
    x = Tensor(np.array([[0.0, 0.0], [3.0, 0.0]]), requires_grad=True)
    (first,) = grad(x.norm(p, 1).sum(), x, create_graph=True)
    slope = 0 if p == 0 else 1
    np.testing.assert_allclose(first.detach().array, [[0, 0], [slope, 0]], rtol=1e-14)
    if first.requires_grad:
        (second,) = grad(first.sum(), x)
        assert np.isfinite(second.array).all()


def test_negative_norm_with_a_zero():
    assert Tensor(np.array([0.0, 2.0])).norm(-1).item() == 0
    assert Tensor(np.array([2.0, 2.0])).norm(-1).item() == 1


@pytest.mark.parametrize("unbiased", [True, False])
def test_a_bool_alone_says_whether_a_variance_is_unbiased(unbiased):
    x = Tensor(np.arange(6.0).reshape(2, 3))
    assert x.var(unbiased).item() == pytest.approx(np.var(x.array, ddof=int(unbiased)))
    assert x.std(unbiased).item() == pytest.approx(np.std(x.array, ddof=int(unbiased)))
    assert x.std(0, unbiased).tolist() == pytest.approx(np.std(x.array, 0, ddof=int(unbiased)))
    for call in (lambda: x.sum(unbiased), lambda: x.std(unbiased, unbiased=True), lambda: x.var([unbiased])):
        with pytest.raises(ArgumentError, match=f"dim must be an integer, got {unbiased}; give other arguments by"):
            call()


def test_gradient_of_std_where_all_agree_is_zero():
    x = Tensor(np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]), requires_grad=True)
    (found,) = grad(x.std(1).sum(), x)
    np.testing.assert_allclose(found.array, [[0, 0, 0], [-0.5, 0, 0.5]], atol=1e-15)


@pytest.mark.parametrize("name", [*REFERENCES, "argmax", "argmin", "max", "min", "any", "all", "cumsum"])
def test_errors(name):
    function = getattr(tg, name)
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(ShapeError, match=rf"{name}: dim 2 is out of range for shape \(2, 3\); expected -2 to 1"):
        function(x, dim=2)
    with pytest.raises(ArgumentError, match=rf"{name}: dim must be an integer, got 'rows'"):
        function(x, dim=("rows",) if name in [*REFERENCES, "any", "all"] else "rows")
    with pytest.raises(DtypeError, match=rf"{name}: (expected|input must be) a Tensor, got ndarray"):
        function(x.array, dim=0)
    if name in [*REFERENCES, "any", "all"]:
        with pytest.raises(ArgumentError, match=rf"{name}: dim \(0, -2\) names a dimension of shape \(2, 3\) twice"):
            function(x, dim=(0, -2))
    if name in ("mean", "var", "std", "norm"):
        with pytest.raises(DtypeError, match=rf"{name}: input must be float32 or float64, got int64; convert"):
            function(Tensor(np.arange(3)))


def test_norm_names_what_it_takes():
    for p in ("nuc", NAN):
        with pytest.raises(ArgumentError, match=r'norm: got p=.*, expected a number, inf, -inf or "fro"'):
            Tensor(np.ones(2)).norm(p)


@settings(deadline=None, max_examples=60)
@given(
    hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=4, min_side=1, max_side=4), elements=st.floats(-9, 9)),
    st.data(),
)
def test_any_shape_any_dims(array, data):
    dims = data.draw(st.lists(st.integers(0, array.ndim - 1), unique=True).map(tuple)) if array.ndim else ()
    axes = dims or None
    x = Tensor(array)
    np.testing.assert_allclose(x.sum(dims).array, array.sum(axes), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(x.mean(dims).array, array.mean(axes), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(x.prod(dims).array, array.prod(axes), rtol=1e-10, atol=1e-300)
    np.testing.assert_array_equal(x.amax(dims, keepdim=True).array, array.max(axes, keepdims=True))
    np.testing.assert_array_equal(x.amin(dims, keepdim=True).array, array.min(axes, keepdims=True))
    tensor = Tensor(array, requires_grad=True)
    (found,) = grad(tensor.mean(dims).sum(), tensor)
    np.testing.assert_allclose(found.array, np.ones(array.shape) * x.mean(dims).numel() / max(array.size, 1))
