"""Rows of a table by index and back, against NumPy; bad indices are refused before anything is written."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels.index import gather_rows, scatter_add_rows
from tinygrad_mlp.kernels.launch import launch

DTYPES = [np.float32, np.float64]


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=40)  # the first example compiles
@given(rows=st.integers(1, 9), width=st.integers(0, 9), count=st.integers(0, 30), seed=st.integers(0, 99))
def test_rows_there_and_back(dtype: Any, rows: int, width: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table, indices = rng.standard_normal((rows, width)).astype(dtype), rng.integers(0, rows, count)
    out = np.full((count, width), np.nan, dtype)
    launch(gather_rows, table, indices, out)
    np.testing.assert_array_equal(out, table[indices])

    grad, summed = rng.standard_normal((count, width)).astype(dtype), np.full((rows, width), np.nan, dtype)
    for skip in (-1, 0):
        launch(scatter_add_rows, grad, indices, skip, summed)
        chosen = indices != skip
        exact, size = np.zeros((rows, width)), np.zeros((rows, width))
        np.add.at(exact, indices[chosen], grad[chosen].astype(np.float64))
        np.add.at(size, indices[chosen], np.abs(grad[chosen]).astype(np.float64))
        assert (np.abs(summed - exact) <= count * np.finfo(dtype).eps * size).all()


def test_transposed_table_and_sliced_indices() -> None:
    table = np.arange(12.0).reshape(3, 4).T  # (4, 3), the other memory order
    out = np.empty((2, 3))
    launch(gather_rows, table, np.array([3, 9, 1, 9])[::2], out)
    np.testing.assert_array_equal(out, table[[3, 1]])


@pytest.mark.parametrize("bad", [-1, 4, 2**40, -(2**63)])
def test_an_index_out_of_range_is_refused_before_anything_is_written(bad: int) -> None:
    indices = np.array([0, 3, bad])
    message = rf"index {bad} at position 2 is out of range; indices must lie in 0 to 3"
    for _ in range(2):  # the status word is clean again after an error
        out = np.full((3, 2), 7.0)
        with pytest.raises(IndexRangeError, match=f"gather_rows: {message}"):
            launch(gather_rows, np.zeros((4, 2)), indices, out)
        assert (out == 7).all()
        table_grad = np.full((4, 2), 7.0)
        with pytest.raises(IndexRangeError, match=f"scatter_add_rows: {message}"):
            launch(scatter_add_rows, np.zeros((3, 2)), indices, -1, table_grad)
        assert (table_grad == 7).all()


def test_an_empty_table_has_no_rows() -> None:
    with pytest.raises(IndexRangeError, match="index 0 at position 0"):
        launch(gather_rows, np.zeros((0, 2)), np.array([0]), np.empty((1, 2)))
