"""Rows by their numbers: any dtype, negative numbers, several chunks, numbers out of range."""

import numpy as np
import pytest

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.rows import copy_rows, take_rows
from tinygrad_mlp.kernels.threads import get_num_threads, set_num_threads


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8, np.bool_])
@pytest.mark.parametrize("shape", [(7, 1), (7, 65), (7, 3, 130), (7,)])
@pytest.mark.parametrize("count", [1, 31, 32, 33, 100])
def test_rows_of_any_dtype_and_shape(dtype, shape, count):
    rng = np.random.default_rng(count)
    x = rng.integers(0, 2 if dtype is np.bool_ else 100, shape).astype(dtype)
    index = rng.integers(-7, 7, count)
    taken = take_rows(x, index)
    assert taken.dtype == dtype and taken.shape == (count, *shape[1:])
    np.testing.assert_array_equal(taken, x[index])


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.uint8, np.int64])
def test_numbers_of_any_integer_dtype(kind):
    x = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(take_rows(x, np.array([3, 0, 2], kind)), x[[3, 0, 2]])


@pytest.mark.parametrize("bad", [5, -6, 1000, np.iinfo(np.int64).min, np.iinfo(np.int64).max])
def test_a_number_out_of_range_raises_and_writes_nothing(bad):
    x, out = np.zeros((5, 8), np.uint8), np.full((3, 8), 9, np.uint8)
    with pytest.raises(IndexRangeError, match=rf"copy_rows: index {bad} at position 1 .* 5 entries"):
        launch(copy_rows, x, np.array([0, bad, 1]), out)
    assert (out == 9).all()


def test_large_batches_are_split_over_threads():
    rng = np.random.default_rng(0)
    x, index = rng.standard_normal((1000, 784)), rng.integers(-1000, 1000, 700)
    threads = get_num_threads()
    try:
        for count in range(1, threads + 1):
            set_num_threads(count)
            np.testing.assert_array_equal(take_rows(x, index), x[index])
    finally:
        set_num_threads(threads)
