"""Pairwise sums: exact where they must be, accurate where adding in order is not, the same bits at any address."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from tinygrad_mlp.kernels import sums

pytestmark = pytest.mark.xdist_group("sums")  # all in one process: their loops are compiled once

FLAGS: dict[str, Any] = {"fastmath": {"contract"}, "error_model": "numpy"}  # as kernels are compiled
DTYPES = [np.float32, np.float64]


@njit(**FLAGS)
def row_sum(x: Any) -> Any:
    return sums.pairwise_sum(x)


@njit(**FLAGS)
def row_dot(x: Any, y: Any) -> Any:
    return sums.pairwise_dot(x, y)


@njit(**FLAGS)
def column_sums(x: Any) -> Any:
    stack = sums.column_stack(x, x.shape[1])
    for block in range(sums.column_blocks(x)):
        rows, totals = sums.block_rows(x, block), sums.start(stack)
        for i in range(rows.shape[0]):
            for c in range(totals.size):
                totals[c] += rows[i, c]
        sums.carry(stack, block)
    return sums.column_totals(stack, sums.column_blocks(x))


def tree_bound(terms: Any) -> float:
    """Greatest error of NumPy's pairwise sum: its tree rounds a term at most 12 + log2(n) times."""
    depth = 12 + math.log2(max(terms.size, 2))
    return float(depth * np.finfo(terms.dtype).eps / 2 * np.abs(terms.astype(np.float64)).sum())


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None)  # the first example compiles
@given(size=st.integers(0, 3000), seed=st.integers(0, 100))
def test_integers_add_up_exactly(dtype: Any, size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(-100, 100, size).astype(dtype)
    y = rng.integers(-10, 10, size).astype(dtype)
    assert row_sum(x) == x.astype(np.int64).sum()
    assert row_dot(x, y) == (x * y).astype(np.int64).sum()


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None)
@given(rows=st.integers(0, 300), columns=st.integers(0, 40), seed=st.integers(0, 100))
def test_columns_of_integers_add_up_exactly(dtype: Any, rows: int, columns: int, seed: int) -> None:
    x = np.random.default_rng(seed).integers(-100, 100, (rows, columns)).astype(dtype)
    assert np.array_equal(column_sums(x), x.astype(np.int64).sum(0))


@pytest.mark.parametrize("size", [1_000, 100_000, 1_048_577])
def test_error_is_no_greater_than_that_of_numpy_pairwise(size: int) -> None:
    """Equal terms are the hard case: added in order, 2**20 times 0.1 in float32 is wrong in the third digit."""
    x = np.full(size, 0.1, np.float32)
    exact = size * float(np.float32(0.1))
    bound = tree_bound(x)
    assert abs(float(row_sum(x)) - exact) <= bound
    assert abs(float(row_dot(x, np.ones_like(x))) - exact) <= bound
    assert abs(float(column_sums(x[:, None])[0]) - exact) <= bound


def test_sums_are_made_in_the_dtype() -> None:
    assert row_sum(np.array([2.0**24, 1.0], np.float32)) == 2.0**24
    assert row_sum(np.array([2.0**24, 1.0], np.float64)) == 2.0**24 + 1
    assert column_sums(np.ones((3, 2), np.float32)).dtype == np.float32


@pytest.mark.parametrize("size", [5, 63, 1000])
def test_same_bits_at_any_address(size: int) -> None:
    x = np.random.default_rng(0).normal(size=size).astype(np.float32)
    results = set[float]()
    for offset in range(16):
        buffer = np.empty(size + 16, np.float32)
        buffer[offset : offset + size] = x
        results.add(float(row_sum(buffer[offset : offset + size])))
    assert len(results) == 1
