"""The strategies draw what they promise, and all kinds of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st

from tinygrad_mlp.testing import arrays, arrays_of, broadcastable_shapes, relaid, shapes


def finds(strategy, condition):
    return find(strategy, condition, settings=settings(max_examples=2000, suppress_health_check=list(HealthCheck)))


@pytest.mark.parametrize("wanted", [(), (0,), (1,), (0, 0), (1, 1, 1), (2, 0, 3), (4, 4, 4)])
def test_shapes_of_every_kind(wanted):
    assert finds(shapes(), lambda shape: shape == wanted) == wanted


@given(shapes(min_dims=1, max_dims=2, min_side=2, max_side=3))
def test_shapes_within_limits(shape):
    assert 1 <= len(shape) <= 2
    assert all(2 <= size <= 3 for size in shape)


@given(broadcastable_shapes(3))
def test_shapes_that_broadcast(drawn):
    assert len(drawn) == 3
    np.broadcast_shapes(*drawn)


@pytest.mark.parametrize(
    "condition",
    [
        lambda a, b: a == b,
        lambda a, b: len(a) > len(b) > 0,
        lambda a, b: len(a) < len(b),
        lambda a, b: a == () and b != (),
        lambda a, b: any(m == 1 and n > 1 for m, n in zip(a[::-1], b[::-1], strict=False)),
        lambda a, b: 0 in a and 1 in b,
    ],
)
def test_shapes_that_broadcast_in_every_way(condition):
    finds(broadcastable_shapes(), lambda drawn: condition(*drawn))


@given(arrays(low=-1.5, high=2, away_from=[0, 1]))
def test_numbers_lie_in_the_domain_and_away_from_kinks(array):
    assert array.dtype == np.float64
    assert ((array > -1.6) & (array < 2.1)).all()
    assert (np.abs(array) >= 0.0499).all()
    assert (np.abs(array - 1) >= 0.0499).all()
    np.testing.assert_array_equal(array, array.astype(np.float32))


@given(arrays_of(broadcastable_shapes(), distinct=True))
def test_distinct_numbers_are_so_among_all_arrays(drawn):
    numbers = np.sort(np.concatenate([array.reshape(-1) for array in drawn]))
    assert (np.diff(numbers) > 6 / max(numbers.size, 1) * 0.49).all()


@given(arrays(low=-2, high=3, dtype=np.int64), arrays(low=0, high=2, dtype=bool))
def test_other_dtypes(integers, bools):
    assert integers.dtype == np.int64
    assert ((integers >= -2) & (integers < 3)).all()
    assert bools.dtype == bool


@given(arrays(st.just((2, 3)), layouts=False))
def test_row_major_memory_on_demand(array):
    assert array.shape == (2, 3)
    assert array.flags.c_contiguous


@pytest.mark.parametrize(
    "condition",
    [
        lambda x: x.flags.c_contiguous,
        lambda x: x.flags.f_contiguous and not x.flags.c_contiguous,
        lambda x: any(stride < 0 for stride in x.strides),
        lambda x: min(x.strides) > x.itemsize,
        lambda x: x.strides[1] < x.strides[2] < x.strides[0],
        lambda x: x.strides[1] == x.itemsize and x.strides[0] > x.strides[2],  # channels last
    ],
)
def test_memory_layouts_of_every_kind(condition):
    finds(arrays((2, 3, 4)), condition)


@given(arrays(), st.sampled_from([np.float32, np.float64, np.int64]))
def test_relaid_keeps_numbers_and_layout(array, dtype):
    copy = relaid(array, dtype)
    np.testing.assert_array_equal(copy, array.astype(dtype))
    assert copy.dtype == dtype
    assert [stride // copy.itemsize for stride in copy.strides] == [
        stride // array.itemsize for stride in array.strides
    ]
    assert not np.shares_memory(copy, array)
    copy[...] = 0
    assert (copy == 0).all()


def test_gaps_in_memory_hold_nan():
    strided = relaid(np.ones((3, 2))[:, ::1])
    sparse = relaid(np.ones((4, 2))[::2])
    assert np.isfinite(strided.base).sum() == 6
    assert np.isnan(sparse.base).sum() > 0
    assert (sparse == 1).all()
