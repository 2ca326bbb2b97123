"""Sums over any axes of any layout, against NumPy in float64, and the exact reductions of NumPy itself."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_mlp.errors import DtypeError, ShapeError
from tinygrad_mlp.kernels.exact import accumulate_with, argmax_of, argmin_of, reduce_with
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.reduce import sum_axes, sum_reduce

DTYPES = [np.float32, np.float64]


def bound(x: Any, axis: Any) -> Any:
    """Greatest error of a pairwise sum: a term is rounded at most 12 + log2(n) times in NumPy's tree."""
    n = max(math.prod(x.shape[a] for a in np.atleast_1d(np.array(axis, int))), 2)
    return (12 + math.log2(n)) * np.finfo(x.dtype).eps / 2 * np.abs(x.astype(np.float64)).sum(axis)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)  # the first example compiles
@given(
    outer=st.integers(0, 5),
    n=st.one_of(st.integers(0, 40), st.integers(250, 1100)),
    inner=st.sampled_from([0, 1, 2, 7, 33]),
    seed=st.integers(0, 99),
)
def test_middle_dimension(dtype: Any, outer: int, n: int, inner: int, seed: int) -> None:
    x = (np.random.default_rng(seed).standard_normal((outer, n, inner)) + 1).astype(dtype)
    out = np.full((outer, inner), np.nan, dtype)
    launch(sum_reduce, x, out)
    assert out.dtype == dtype
    assert (np.abs(out - x.astype(np.float64).sum(1)) <= bound(x, 1)).all()


@pytest.mark.parametrize("shape", [(1, 1_000_000, 1), (1, 100_000, 3), (3, 70_001, 1)])
def test_long_sums_in_float32_lose_no_digits(shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).uniform(0.5, 1, shape).astype(np.float32)
    out = np.empty((shape[0], shape[2]), np.float32)
    launch(sum_reduce, x, out)
    np.testing.assert_allclose(out, x.astype(np.float64).sum(1), rtol=3e-7)


LAYOUTS = {
    "contiguous": lambda x: x.copy(),
    "channels-last": lambda x: np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    "reversed": np.asfortranarray,
    "strided": lambda x: np.repeat(x, 2, axis=-1)[..., ::2],
    "flipped": lambda x: x[::-1].copy()[::-1],
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
@pytest.mark.parametrize("shape", [(3, 4, 5, 6), (2, 1, 3, 1), (1, 5, 1, 4), (3, 0, 2, 2), (1, 1, 1, 1)])
def test_any_axes_of_any_layout(layout: str, shape: tuple[int, ...]) -> None:
    x = LAYOUTS[layout](np.random.default_rng(1).standard_normal(shape))
    for count in range(5):
        for axes in itertools.combinations(range(4), count):
            kept = [size for axis, size in enumerate(shape) if axis not in axes]
            for out in (np.full(kept, np.nan), np.full(kept[::-1], np.nan).T):
                sum_axes(x, axes, out)
                np.testing.assert_allclose(out, x.sum(axes), rtol=1e-12, atol=1e-13)


def test_repeated_elements_and_a_scalar() -> None:
    out = np.empty(3)
    sum_axes(np.broadcast_to(np.array([1.0, 2.0, 3.0]), (4, 3)), (0,), out)
    assert out.tolist() == [4, 8, 12]
    one = np.empty(())
    sum_axes(np.array(2.5), (), one)
    assert one == 2.5


def test_bits_do_not_depend_on_the_address() -> None:
    x = np.random.default_rng(2).standard_normal(3001).astype(np.float32)
    found = set()
    for shift in range(17):
        moved = np.empty(x.size + shift, np.float32)[shift:]
        moved[:] = x
        out = np.empty((), np.float32)
        sum_axes(moved, (0,), out)
        found.add(out.tobytes())
    assert len(found) == 1


@pytest.mark.parametrize("special", [[np.nan, 1.0], [np.inf, 1.0], [np.inf, -np.inf]])
def test_non_finite_numbers(special: list[float]) -> None:
    x = np.ones((600, 3), np.float32)
    x[[5, 590], 1] = special
    for array, axis in ((x, 0), (np.ascontiguousarray(x.T), 1)):
        out = np.empty(3, np.float32)
        sum_axes(array, (axis,), out)
        np.testing.assert_array_equal(out, [600, sum(special), 600])


@pytest.mark.parametrize("dtype", [np.int64, np.bool_, np.uint8])
def test_integers_and_bools_add_up_in_int64(dtype: Any) -> None:
    x = np.random.default_rng(3).integers(0, 200, (5, 6, 7)).astype(dtype)
    out = np.empty(6, np.int64)
    sum_axes(x, (0, 2), out)
    assert out.tolist() == x.astype(np.int64).sum((0, 2)).tolist()


def test_wrong_output() -> None:
    x = np.ones((2, 3), np.float32)
    with pytest.raises(ShapeError, match="axes that are left"):
        sum_axes(x, (0,), np.empty(2, np.float32))
    with pytest.raises(DtypeError, match="float64"):
        sum_axes(x, (0,), np.empty(3))


# The exact reductions: NumPy's own, so these tests hold its promises that the ops build on.


def test_nan_wins_extremes_and_their_indices() -> None:
    x = np.array([[1.0, np.nan, 3.0, np.nan], [2.0, 5.0, 5.0, -1.0]], np.float32)
    values, indices = np.empty(2, np.float32), np.empty(2, np.int64)
    for ufunc, kernel, expected_values, expected_indices in (
        (np.maximum, argmax_of, [np.nan, 5.0], [1, 1]),
        (np.minimum, argmin_of, [np.nan, -1.0], [1, 3]),
    ):
        launch(reduce_with, ufunc, x, (1,), values)
        np.testing.assert_array_equal(values, expected_values)
        launch(kernel, x, 1, indices)
        assert indices.tolist() == expected_indices


def test_products_running_sums_and_empty_reductions() -> None:
    x = np.arange(1.0, 7.0).reshape(2, 3)
    out = np.empty(3)
    launch(reduce_with, np.multiply, x, (0,), out)
    assert out.tolist() == [4, 10, 18]
    launch(reduce_with, np.multiply, np.empty((0, 3)), (0,), out)
    assert out.tolist() == [1, 1, 1]
    running = np.empty((2, 3))
    launch(accumulate_with, np.add, x, 1, running)
    assert running.tolist() == [[1, 3, 6], [4, 9, 15]]


def test_overflow_is_infinite_and_no_warning() -> None:
    out = np.empty((), np.float32)
    launch(reduce_with, np.multiply, np.full(3, 1e30, np.float32), (0,), out)
    assert out == np.inf
