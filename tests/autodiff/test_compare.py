"""Comparisons, logic, where, masked_fill, maximum, minimum, clamp."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autodiff.layouts import LAYOUTS, laid_out
from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.ops import compare
from tinygrad_mlp.autodiff.ops.compare import clamp, masked_fill, maximum, minimum, where
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

NAN, INF = np.nan, np.inf
ORDERS = {
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
}
SHAPES = [((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 4)), ((), (2, 2)), ((0, 3), (3,)), ((1,), (1,))]


def small_integers(*shape: int, key: int = 0) -> np.ndarray:
    """Few different numbers, so that ties are common."""
    return rng(4, key, *shape).integers(-2, 3, shape).astype(np.float64)


def reals(*shape: int, key: int = 0) -> np.ndarray:
    """No two numbers nearer than 0.01 to each other or to a multiple of 0.5 (for any two keys of 0 to 2)."""
    size = int(np.prod(shape, dtype=int))
    steps = rng(5, *shape).permutation(3 * size)[key * size : (key + 1) * size]
    return np.asarray(steps * 0.5 + 0.1 * (key + 1) - size * 0.75).reshape(shape)


def gradients(out: Tensor, *inputs: Tensor) -> list[list[float]]:
    found = grad(out, inputs, Tensor(np.ones(out.shape)))
    return [part.tolist() for part in found]


@pytest.mark.parametrize("name", ORDERS)
@pytest.mark.parametrize(("x_shape", "y_shape"), SHAPES)
def test_comparisons_are_numpys(name, x_shape, y_shape):
    a, b = small_integers(*x_shape), small_integers(*y_shape, key=1)
    expected = ORDERS[name](a, b)
    for out in (
        getattr(compare, name)(Tensor(a), Tensor(b)),
        getattr(Tensor(a), name)(Tensor(b)),
        ORDERS[name](Tensor(a), Tensor(b)),
        ORDERS[name](Tensor(a), b),
    ):
        assert out.dtype == np.bool_ and not out.requires_grad
        np.testing.assert_array_equal(out.array, expected)


@pytest.mark.parametrize("name", ORDERS)
def test_comparisons_with_numbers_on_either_side(name):
    a = np.array([-1.0, 0.5, NAN, INF])
    np.testing.assert_array_equal(ORDERS[name](Tensor(a), 0.5).array, ORDERS[name](a, 0.5))
    np.testing.assert_array_equal(ORDERS[name](0.5, Tensor(a)).array, ORDERS[name](0.5, a))
    np.testing.assert_array_equal(ORDERS[name](Tensor(np.arange(3)), 1).array, ORDERS[name](np.arange(3), 1))


def test_a_tensor_equals_nothing_that_is_no_operand():
    x = Tensor(np.ones(2))
    assert (x == None) is False  # noqa: E711
    assert (x != "text") is True
    assert x in [None, x]


def test_comparison_errors():
    with pytest.raises(ShapeError, match=r"lt: shapes \(2,\) and \(3,\) do not broadcast"):
        _ = Tensor(np.ones(2)) < Tensor(np.ones(3))
    with pytest.raises(DtypeError, match="gt: float32 and float64 do not mix"):
        _ = Tensor(np.ones(2)) > Tensor(np.ones(2, np.float32))
    with pytest.raises(DtypeError, match="le: expected a Tensor"):
        _ = Tensor(np.ones(2)) <= "text"


def test_kinds_of_numbers():
    x = Tensor(np.array([1.0, NAN, INF, -INF, 0.0]))
    assert compare.isfinite(x).tolist() == x.isfinite().tolist() == [True, False, False, False, True]
    assert compare.isnan(x).tolist() == x.isnan().tolist() == [False, True, False, False, False]
    assert compare.isinf(x).tolist() == x.isinf().tolist() == [False, False, True, True, False]
    assert Tensor(np.arange(2)).isfinite().tolist() == [True, True]


def test_logic():
    a, b = np.array([0.0, 0.0, 2.0, NAN]), np.array([0, 3, 0, 4])
    x, y = Tensor(a), Tensor(b)
    np.testing.assert_array_equal(compare.logical_not(x).array, np.logical_not(a))
    np.testing.assert_array_equal(compare.logical_and(x, y).array, np.logical_and(a, b))
    np.testing.assert_array_equal(compare.logical_or(x, y).array, np.logical_or(a, b))
    np.testing.assert_array_equal(compare.logical_xor(x, y).array, np.logical_xor(a, b))


def test_bitwise_operators():
    p, q = np.array([True, True, False, False]), np.array([True, False, True, False])
    x, y = Tensor(p), Tensor(q)
    for symbol in (operator.and_, operator.or_, operator.xor):
        np.testing.assert_array_equal(symbol(x, y).array, symbol(p, q))
        np.testing.assert_array_equal(symbol(p, y).array, symbol(p, q))
        np.testing.assert_array_equal(symbol(True, y).array, symbol(True, q))
        np.testing.assert_array_equal(symbol(Tensor(np.array([6, 5])), 3).array, symbol(np.array([6, 5]), 3))
    np.testing.assert_array_equal((~x).array, ~p)
    np.testing.assert_array_equal((~Tensor(np.array([6]))).array, [-7])
    with pytest.raises(DtypeError, match=r"&: expected bools or integers, got floating-point; compare first"):
        Tensor(np.ones(2)) & Tensor(p[:2])
    with pytest.raises(DtypeError, match="~: expected bools"):
        ~Tensor(np.ones(2))
    with pytest.raises(ShapeError, match="do not broadcast"):
        x | Tensor(np.array([True, False]))


@pytest.mark.parametrize("shapes", [((2, 3), (2, 3), (2, 3)), ((3,), (2, 1), ()), ((2, 1), (3,), (3,)), ((0,),) * 3])
def test_where(shapes):
    mask, a, b = small_integers(*shapes[0]) > 0, reals(*shapes[1]), reals(*shapes[2], key=1)
    np.testing.assert_array_equal(where(Tensor(mask), Tensor(a), Tensor(b)).array, np.where(mask, a, b))
    np.testing.assert_array_equal(Tensor(a).where(mask, Tensor(b)).array, np.where(mask, a, b))
    check_gradients(lambda x, y: where(Tensor(mask), x * x, y * y), a, b)


def test_where_with_numbers_and_other_dtypes():
    mask = Tensor(np.array([True, False]))
    x = Tensor(np.array([1, 2], np.float32))
    assert where(mask, x, 0.0).tolist() == [1, 0]
    assert where(mask, x, 0.0).dtype == np.float32
    assert where(mask, 7, x).tolist() == [7, 2]
    assert where(mask, 1, 0).dtype == np.int64
    assert where(mask, 1.5, 0).dtype == np.float32
    assert where(mask, Tensor(np.array([1, 2])), x).dtype == np.float32
    assert where(np.array(True), x, 0.0).tolist() == [1, 2]


@pytest.mark.parametrize(("x", "other"), [(1, 0.5), (0.5, 1), (True, 0.5), (np.int64(1), 0.5), (1.0, False)])
def test_two_numbers_of_which_one_is_a_float_meet_in_float32(x, other):
    mask = Tensor(np.array([True, False]))
    assert where(mask, x, other).dtype == np.float32
    assert where(mask, x, other).tolist() == [float(x), float(other)]
    assert maximum(x, other).dtype == np.float32


def test_where_does_not_let_nan_through_to_the_gradient_of_the_other_branch():
    x = Tensor(np.array([-1.0, 4.0]), requires_grad=True)
    safe = where(x > 0, x, 1.0)
    assert gradients(where(x > 0, safe.sqrt(), 0.0), x) == [[0.0, 0.25]]


def test_where_keeps_the_memory_order():
    array = laid_out("channels-last", np.arange(120.0))
    assert where(Tensor(array > 3), Tensor(array), 0.0).array.strides == array.strides
    assert where(Tensor(array > 3), 0.0, Tensor(array)).array.strides == array.strides


def test_where_errors():
    x = Tensor(np.ones((2, 3)))
    with pytest.raises(DtypeError, match=r"where: the condition must be bool, got int64; compare first"):
        where(Tensor(np.arange(3)), x, x)
    with pytest.raises(ShapeError, match=r"where: shapes \(2,\), \(2, 3\) and \(\) do not broadcast"):
        where(Tensor(np.array([True, False])), x, 0.0)
    with pytest.raises(DtypeError, match="where: float32 and float64"):
        where(x > 0, x, Tensor(np.ones(3, np.float32)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_masked_fill(layout):
    array = laid_out(layout, rng(6).normal(size=120))
    mask = Tensor(np.asarray(array > 0))
    out = Tensor(array).masked_fill(mask, -1.5)
    np.testing.assert_array_equal(out.array, np.where(array > 0, -1.5, array))
    if array.size and array.flags.writeable:
        check_gradients(lambda x: masked_fill(x * x, mask, 3.0), array)


def test_masked_fill_broadcasts_the_mask_and_takes_a_tensor_as_value():
    x, value = reals(2, 3), np.array(0.3)
    mask = Tensor(np.array([True, False, True]))
    check_gradients(lambda t, v: masked_fill(t * t, mask, v * v), x, value)
    found = gradients(masked_fill(Tensor(x, requires_grad=True), mask, v := Tensor(value, requires_grad=True)), v)
    assert found == [4.0]


def test_masked_fill_errors():
    x, mask = Tensor(np.ones((2, 3))), Tensor(np.array([True, False, True]))
    with pytest.raises(DtypeError, match="masked_fill: the condition must be bool, got float64"):
        masked_fill(x, x, 0.0)
    with pytest.raises(DtypeError, match=r"masked_fill: 0.5 does not fit into int64"):
        masked_fill(Tensor(np.arange(3)), mask, 0.5)
    with pytest.raises(ShapeError, match=r"masked_fill: the mask \(2,\) does not broadcast to \(2, 3\)"):
        masked_fill(x, Tensor(np.array([True, False])), 0.0)
    with pytest.raises(ShapeError, match=r"masked_fill: value must be a number or a 0-d tensor, got shape \(3,\)"):
        masked_fill(x, mask, Tensor(np.ones(3)))
    with pytest.raises(DtypeError, match="masked_fill: float32 and float64"):
        masked_fill(x, mask, Tensor(np.array(1, np.float32)))


@pytest.mark.parametrize(("name", "reference"), [("maximum", np.maximum), ("minimum", np.minimum)])
@pytest.mark.parametrize(("x_shape", "y_shape"), SHAPES)
def test_maximum_and_minimum(name, reference, x_shape, y_shape):
    a, b = reals(*x_shape), reals(*y_shape, key=1)
    function = getattr(compare, name)
    np.testing.assert_array_equal(function(Tensor(a), Tensor(b)).array, reference(a, b))
    np.testing.assert_array_equal(getattr(Tensor(a), name)(0.25).array, reference(a, 0.25))
    check_gradients(lambda x, y: function(x * x, y * y * y), a, b)


def test_ties_are_shared_and_nan_reaches_both():
    x, y = (Tensor(np.array(v), requires_grad=True) for v in ([1.0, 2.0, 3.0, NAN, 1.0], [1.0, 3.0, 2.0, 1.0, NAN]))
    np.testing.assert_array_equal(maximum(x, y).detach().array, [1, 3, 3, NAN, NAN])
    assert gradients(maximum(x, y), x, y) == [[0.5, 0, 1, 1, 1], [0.5, 1, 0, 1, 1]]
    np.testing.assert_array_equal(minimum(x, y).detach().array, [1, 2, 2, NAN, NAN])
    assert gradients(minimum(x, y), x, y) == [[0.5, 1, 0, 1, 1], [0.5, 0, 1, 1, 1]]


@pytest.mark.parametrize("limits", [(-1, 1), (-1.0, None), (None, 0.5), (2, -1), (-INF, INF)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_clamp_with_numbers(limits, layout):
    array = laid_out(layout, rng(7).normal(size=120))
    low, high = limits
    expected = np.minimum(np.maximum(array, -INF if low is None else low), INF if high is None else high)
    np.testing.assert_array_equal(Tensor(array).clamp(low, high).array, expected)
    check_gradients(lambda x: clamp(x * x * x, low, high), array)


def test_clamp_passes_the_gradient_at_the_limits_and_keeps_nan():
    x = Tensor(np.array([-2.0, -1.0, 0.0, 1.0, 2.0, NAN]), requires_grad=True)
    out = x.clamp(-1, 1)
    np.testing.assert_array_equal(out.detach().array, [-1, -1, 0, 1, 1, NAN])
    assert gradients(out, x) == [[0, 1, 1, 1, 0, 0]]
    low = Tensor(np.array(-1.0), requires_grad=True)
    assert gradients(x.clamp(min=low, max=1), x, low) == [[0, 1, 1, 1, 0, 1], 1]


@pytest.mark.parametrize(("x_shape", "y_shape"), SHAPES)
def test_clamp_with_tensors(x_shape, y_shape):
    a, low = reals(*x_shape), reals(*y_shape, key=1)
    high = np.asarray(low + 0.8 * rng(8).choice([1, -1], y_shape))  # some lie below `low`: there the result is `high`
    np.testing.assert_array_equal(
        clamp(Tensor(a), Tensor(low), Tensor(high)).array, np.minimum(np.maximum(a, low), high)
    )
    np.testing.assert_array_equal(clamp(Tensor(a), min=Tensor(low)).array, np.maximum(a, low))
    np.testing.assert_array_equal(clamp(Tensor(a), -1.0, Tensor(high)).array, np.minimum(np.maximum(a, -1), high))
    check_gradients(lambda x, y, z: clamp(x * 2.0, y * 2.0, z * 2.0), a, low, high)


def test_clamp_does_not_swallow_a_nan_limit():
    x = Tensor(np.array([1.0, 2.0]))
    np.testing.assert_array_equal(clamp(x, Tensor(np.array([NAN, 3.0]))).array, [NAN, 3])
    np.testing.assert_array_equal(clamp(x, max=Tensor(np.array([NAN, 1.0]))).array, [NAN, 1])
    with pytest.raises(ArgumentError, match="clamp: a limit is NaN: min=nan, max=3"):
        clamp(x, NAN, 3)


def test_clamp_of_integers():
    x = Tensor(np.arange(-2, 3))
    assert x.clamp(-1, 1).tolist() == [-1, -1, 0, 1, 1]
    assert x.clamp(-1, 1).dtype == np.int64
    assert x.clamp(max=0.5).tolist() == [-2, -1, 0, 0.5, 0.5]


def test_clamp_errors():
    with pytest.raises(ArgumentError, match="clamp: both limits are None; give min, max or both"):
        Tensor(np.ones(2)).clamp()
    with pytest.raises(DtypeError, match="clamp: expected a Tensor, got list"):
        clamp([1.0], 0, 1)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-4, 4), min_size=1, max_size=6), st.floats(-3, 3), st.floats(-3, 3))
def test_where_and_clamp_tell_the_same_story(values, low, high):
    x = Tensor(np.array(values), requires_grad=True)
    by_choice = where(x < low, low, x)
    by_choice = where(by_choice > high, high, by_choice)
    if low <= high:
        assert gradients(by_choice, x) == gradients(clamp(x, low, high), x)
    assert by_choice.tolist() == clamp(x, low, high).tolist()
