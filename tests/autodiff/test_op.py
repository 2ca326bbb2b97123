"""Ops that users write in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_mlp as tg
from tinygrad_mlp.autodiff.op import OPS
from tinygrad_mlp.errors import DtypeError, NonFiniteError
from tinygrad_mlp.testing import OpCase, arrays, check_case


@tg.op
def total_of_squares(x):
    def backward(grad, out):
        return grad * 2.0 * x

    return (x.array**2).sum(), backward


def test_scalars_of_numpy_become_0d_tensors():
    check_case(OpCase("total_of_squares", total_of_squares, lambda x: (x**2).sum(), arrays(), ulps=8))
    out = total_of_squares(tg.tensor([3.0, 4.0]))
    assert isinstance(out.array, np.ndarray)
    assert out.dtype == np.float32
    with tg.anomaly_mode(), pytest.raises(NonFiniteError, match="op total_of_squares: its output holds inf"):
        total_of_squares(tg.tensor([float("inf")]))


def test_a_rule_that_returns_no_numbers_is_told_so():
    @tg.op
    def nothing(x):
        return None, lambda grad, out: grad

    with pytest.raises(DtypeError, match="dtype object is not supported"):
        nothing(tg.tensor([1.0]))


def test_ops_of_users_are_not_counted_among_those_of_the_package():
    assert "total_of_squares" not in OPS
    assert "relu" in OPS


def test_numpys_names_of_dims():
    x = tg.tensor([[1.0, 5.0], [4.0, 2.0]], requires_grad=True)
    assert x.sum(axis=0, keepdims=True).tolist() == [[5, 7]]
    assert tg.mean(x, axis=1).tolist() == [3, 3]
    assert x.argmax(axis=1, keepdims=True).tolist() == [[1], [0]]
    assert x.max(axis=0).values.tolist() == [4, 5]
    assert tg.cat([x, x], axis=1).shape == (2, 4)
    assert tg.stack([x, x], axis=2).shape == (2, 2, 2)
    assert x.softmax(axis=0).sum(axis=0).tolist() == pytest.approx([1, 1])
    assert x.std(axis=0, keepdims=True).shape == x[0].unsqueeze(axis=0).shape == (1, 2)
    assert x.sort(axis=0, descending=True)[0].tolist() == [[4, 5], [1, 2]]


def test_an_unknown_argument_is_named_with_its_op():
    x = tg.ones(2)
    with pytest.raises(
        TypeError, match="sum: got an unexpected keyword argument 'dims'; its arguments are input, dim, keepd"
    ):
        x.sum(dims=0)
    with pytest.raises(TypeError, match="cumsum: missing a required argument: 'dim'"):
        x.cumsum(axes=0)

    @tg.op
    def halved(x, axis):
        return x.array / 2, lambda grad, out: grad / 2

    assert halved(x, axis=0).tolist() == [0.5, 0.5]


def test_a_rule_that_forgets_its_way_back_raises_also_where_its_array_could_be_unpacked():
    @tg.op
    def forgotten(x):
        return x.array * 2

    with pytest.raises(TypeError, match=r"op forgotten: a rule returns its result .* got ndarray"):
        forgotten(tg.ones(2))
