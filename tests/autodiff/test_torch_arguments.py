"""Arguments that PyTorch's functions have beside their operands: alpha, rounding_mode, dtype, value, force, inplace."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mlp as tg
import tinygrad_mlp.nn.functional as F
from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, ShapeError


@pytest.mark.parametrize(("function", "sign"), [(tg.add, 1), (tg.sub, -1)])
def test_alpha(function, sign):
    a, b = rng(0).normal(size=(2, 3)), rng(1).normal(size=3)
    np.testing.assert_array_equal(function(Tensor(a), Tensor(b), alpha=2.5).array, a + sign * (b * 2.5))
    np.testing.assert_array_equal(function(Tensor(a), b, alpha=2.5).array, a + sign * (b * 2.5))
    check_gradients(lambda x, y: function(x, y, alpha=-0.5) * x, a, b)
    assert function(tg.tensor([1, 2]), tg.tensor([3, 4]), alpha=2).tolist() == [1 + sign * 6, 2 + sign * 8]


def test_alpha_of_a_number_takes_the_tensors_dtype():
    for dtype in (tg.float32, tg.float64):
        x = tg.ones(2, dtype=dtype)
        assert x.add(2, alpha=0.5).dtype == x.sub(2.0, alpha=3).dtype == x.add_(2.0, alpha=3).dtype == dtype
        assert x.tolist() == [7.0, 7.0]


A = np.array([-7, 7, -7, 7, -9, 0])
B = np.array([2, 2, -2, -2, 3, 5])


@pytest.mark.parametrize(("mode", "rounded"), [("floor", np.floor), ("trunc", np.trunc)])
def test_rounding_mode(mode, rounded):
    quotients = rounded(A / B)
    whole = tg.div(Tensor(A), Tensor(B), rounding_mode=mode)
    assert whole.dtype == tg.int64
    np.testing.assert_array_equal(whole.array, quotients)
    for a, b in ((A.astype(np.float64), B.astype(np.float64)), (A.astype(np.float32), B)):
        out = Tensor(a).div(Tensor(b), rounding_mode=mode)
        assert out.dtype == a.dtype
        np.testing.assert_array_equal(out.array, quotients)
        changed = Tensor(a.copy())
        assert changed.div_(Tensor(b), rounding_mode=mode) is changed
        np.testing.assert_array_equal(changed.array, quotients)
    np.testing.assert_array_equal(Tensor(A).div(4, rounding_mode=mode).array, rounded(A / 4))


def test_rounding_mode_at_the_edges():
    least = np.iinfo(np.int64).min
    assert tg.div(tg.tensor([least]), 2, rounding_mode="trunc").item() == least // 2
    assert tg.div(tg.tensor([1.0, -1.0]), 0.0, rounding_mode="trunc").tolist() == [np.inf, -np.inf]
    with pytest.raises(ArgumentError, match="div: division of integers by 0"):
        tg.div(tg.tensor([1]), 0, rounding_mode="trunc")
    with pytest.raises(ArgumentError, match="div: unknown rounding_mode 'up'; expected one of None, 'floor', 'trunc'"):
        tg.div(tg.tensor([1]), 2, rounding_mode="up")
    with pytest.raises(DtypeError, match="div_: the quotient does not fit into int64"):
        tg.tensor([1]).div_(2)


def test_rounding_mode_has_gradient_0():
    x, y = tg.tensor([5.0, -5.0], requires_grad=True), tg.tensor([2.0], requires_grad=True)
    (x.div(y, rounding_mode="trunc") + x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0]
    assert y.grad.tolist() == [0.0]


CONVERTED = {
    "sum": lambda x, dtype: x.sum(1, dtype=dtype),
    "mean": lambda x, dtype: x.mean(dim=1, dtype=dtype),
    "prod": lambda x, dtype: tg.prod(x, dim=1, dtype=dtype),
    "cumsum": lambda x, dtype: tg.cumsum(input=x, dim=1, dtype=dtype),
    "softmax": lambda x, dtype: F.softmax(x, dim=1, dtype=dtype),
    "log_softmax": lambda x, dtype: x.log_softmax(1, dtype=dtype),
}


@pytest.mark.parametrize("name", CONVERTED)
def test_dtype_converts_the_input_first(name):
    call = CONVERTED[name]
    x = Tensor(rng(0).normal(size=(3, 4)).astype(np.float32), requires_grad=True)
    wide = x.detach().double().requires_grad_()
    out, expected = call(x, tg.float64), call(wide, None)
    assert out.dtype == tg.float64
    np.testing.assert_array_equal(out.array, expected.array)
    weights = Tensor(rng(1).normal(size=out.shape))
    (out * weights).sum().backward()
    (expected * weights).sum().backward()
    assert x.grad.dtype == tg.float32
    np.testing.assert_array_equal(x.grad.array, wide.grad.array.astype(np.float32))
    assert call(tg.arange(6).reshape(2, 3), "float32").dtype == tg.float32
    assert call(x, tg.float32).dtype == tg.float32


def test_dtype_of_integers_ends_the_gradient():
    total = tg.tensor([1.75, 2.5], requires_grad=True).sum(dtype=tg.int64)
    assert (total.item(), total.requires_grad) == (3, False)
    with pytest.raises(DtypeError, match="mean: input must be float32 or float64, got int64"):
        tg.ones(2).mean(dtype=tg.int64)
    with pytest.raises(DtypeError, match="sum: dtype 'text' is not supported"):
        tg.ones(2).sum(dtype="text")
    with pytest.raises(DtypeError, match="sum: expected a Tensor, got list"):
        tg.sum([1.0], dtype=tg.float64)


def test_value_of_scatter():
    index = tg.tensor([[1], [2]])
    expected = [[0, 1, 0], [0, 0, 1]]
    assert tg.zeros(2, 3).scatter(1, index, value=1.0).tolist() == expected
    assert tg.zeros(2, 3).scatter_(1, index, value=1).tolist() == expected
    assert tg.scatter(input=tg.zeros(2, 3), dim=1, index=index, src=tg.ones(2, 1)).tolist() == expected
    for arguments in ({}, {"src": 1.0, "value": 1.0}):
        with pytest.raises(ArgumentError, match="scatter: give src, a tensor, or value, a number"):
            tg.zeros(2, 3).scatter(1, index, **arguments)
    with pytest.raises(DtypeError, match="scatter_: value is a Tensor"):
        tg.zeros(2, 3).scatter_(1, index, value=tg.ones(2, 1))


def test_numpy_by_force():
    x = tg.ones(2, requires_grad=True)
    assert x.numpy(force=True) is x.array
    assert (x * 2).numpy(force=True).tolist() == [2, 2]
    with pytest.raises(GradientError, match="numpy: this tensor requires grad"):
        x.numpy()


@pytest.mark.parametrize(
    ("dropout", "shape"), [(F.dropout, (4, 5)), (F.dropout1d, (2, 3, 4)), (F.dropout2d, (2, 3, 4, 5))]
)
def test_dropout_takes_its_arguments_in_pytorchs_order(dropout, shape):
    x = tg.ones(shape)
    assert dropout(x, 0.5, False, True) is x
    dropout(x, 0.5, True, True)
    assert x.tolist() == tg.ones(shape).tolist()  # inplace changes nothing
    with pytest.raises(TypeError):
        dropout(x, 0.5, True, False, tg.Generator(1))


def test_copies_and_draws_take_pytorchs_names():
    x = tg.zeros(2)
    assert x.copy_(src=tg.ones(2), non_blocking=True).tolist() == [1, 1]
    assert all(2 <= number < 3 for number in x.uniform_(2, to=3).tolist())
    assert all(0 <= number < 5 for number in tg.randint_like(x, high=5).tolist())


def test_flip_without_an_axis_of_that_number():
    with pytest.raises(ShapeError, match="flip: dim 2"):
        tg.ones(2, 2).flip(0, 2)
    assert tg.arange(3).flip(()).tolist() == [0, 1, 2]
