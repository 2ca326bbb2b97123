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
