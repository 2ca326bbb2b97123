import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_mlp.errors import IndexRangeError
from tinygrad_mlp.kernels.batch import gather_standardize, take_numbers, take_rows
from tinygrad_mlp.kernels.launch import launch

SHAPES = {"one value": (1, 1), "per column": (1, 6), "per image": (5, 1)}


def _images(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (5, 6), dtype=np.uint8)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
@settings(deadline=None)  # the first call compiles
@given(indices=st.lists(st.integers(-5, 4), max_size=9), seed=st.integers(0, 100))
def test_gather_standardize_is_gather_minus_mean_times_inverse_std(dtype, shape, indices, seed):
    random = np.random.default_rng(seed)
    mean = random.uniform(0, 255, shape).astype(dtype)
    inverse_std = random.uniform(0.001, 1, shape).astype(dtype)
    images, rows = _images(seed), np.array(indices, np.int64)
    out = np.full((len(rows), 6), np.nan, dtype)
    launch(gather_standardize, images, rows, mean, inverse_std, out)
    expected = ((images.astype(dtype) - mean) * inverse_std)[rows]
    np.testing.assert_array_equal(out, expected)  # one subtraction, one product: the same bits
    assert out.dtype == dtype


@pytest.mark.parametrize(("position", "bad"), [(0, 5), (2, -6), (1, 2**62)])
def test_a_bad_index_raises_and_writes_nothing(position, bad):
    indices = np.zeros(3, np.int64)
    indices[position] = bad
    out = np.full((3, 6), 7, np.float32)
    one = np.ones((1, 1), np.float32)
    with pytest.raises(IndexRangeError, match=rf"gather_standardize: index {bad} at position {position} .* 5 entries"):
        launch(gather_standardize, _images(), indices, one, one, out)
    assert (out == 7).all()
    labels = np.full(3, 7)
    with pytest.raises(IndexRangeError, match=rf"take_rows: index {bad} at position {position} .* 5 entries"):
        launch(take_rows, np.arange(5), indices, labels)
    assert (labels == 7).all()
    with pytest.raises(IndexRangeError, match=rf"take_numbers: index {bad} at position {position} .* 5 entries"):
        launch(take_numbers, np.arange(5), indices, labels)
    assert (labels == 7).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int64, np.bool_])
def test_take_rows_gathers_any_dtype_and_strides(dtype):
    rows = np.arange(40).reshape(5, 4, 2).astype(dtype).transpose(0, 2, 1)
    indices = np.array([4, -1, 0, -5], np.int64)
    out = np.empty((4, 2, 4), dtype)
    launch(take_rows, rows, indices, out)
    np.testing.assert_array_equal(out, rows[indices])


@settings(deadline=None)
@given(indices=st.lists(st.integers(-5, 4), max_size=9))
def test_take_numbers_gathers(indices):
    numbers, rows = np.array([3, 1, 4, 1, 5]), np.array(indices, np.int64)
    out = np.full(rows.size, -1)
    launch(take_numbers, numbers, rows, out)
    np.testing.assert_array_equal(out, numbers[rows])


def test_no_indices_give_an_empty_result():
    out = np.empty((0, 6), np.float32)
    one = np.ones((1, 1), np.float32)
    launch(gather_standardize, _images(), np.empty(0, np.int64), one, one, out)
    assert out.shape == (0, 6)
