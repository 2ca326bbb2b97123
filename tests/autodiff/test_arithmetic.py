"""Whole quotients and remainders: signs, integers, division by 0. All else of arithmetic is in the case table."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_quotient_and_remainder_are_pythons(dtype):
    x, y = np.array([7, -7, 7, -7], dtype), np.array([2, 2, -2, -2], dtype)
    quotient, rest = Tensor(x) // Tensor(y), Tensor(x) % Tensor(y)
    assert quotient.tolist() == [a // b for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert rest.tolist() == [a % b for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    assert quotient.dtype == rest.dtype == dtype
    assert (7 // Tensor(y)).tolist() == [3, 3, -4, -4]
    assert (7 % Tensor(y)).tolist() == [1, 1, -1, -1]


def test_division_by_zero_raises_for_integers_alone():
    integers, floats = Tensor(np.array([5, 0])), Tensor(np.array([5.0, 0.0]))
    for divide in (lambda x: x // 0, lambda x: x % 0, lambda x: 1 // x):
        with pytest.raises(ArgumentError, match="division of integers by 0"):
            divide(integers)
    np.testing.assert_array_equal((floats // 0).array, [np.inf, np.nan])
    np.testing.assert_array_equal((floats % 0).array, [np.nan, np.nan])


def test_bools_are_no_numbers():
    flags = Tensor(np.array([True, False]))
    with pytest.raises(DtypeError, match=r"negative: got bool: .* use the `~` operator"):
        -flags
    with pytest.raises(DtypeError, match=r"subtract: got bool, bool: .* use the bitwise_xor"):
        flags - flags
    assert (flags + 1).tolist() == [2, 1]
