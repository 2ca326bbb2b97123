"""Copies between memory orders: which of them transpose matrices, and what they write."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import launch
from tinygrad_mlp.kernels.transpose import copy_across, transpose_matrices


def numbered(shape, order, dtype=np.float32):
    """Numbers in memory whose axes run in this order, from the slowest to the fastest."""
    stored = np.arange(np.prod(shape), dtype=dtype).reshape([shape[axis] for axis in order])
    return stored.transpose(np.argsort(order))


def launches(monkeypatch, source, out):
    """Names of the kernels that copy `source` to `out`."""
    names = []
    monkeypatch.setattr(
        "tinygrad_mlp.kernels.transpose.launch", lambda kernel, *args, work=0: names.append(kernel.name)
    )
    copy_across(source, out)
    return names


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rows", [16, 17, 31, 32, 49, 70])
@pytest.mark.parametrize("columns", [16, 33, 64])
def test_matrices_of_all_sizes(rows, columns, dtype):
    x = numbered((3, rows, columns), (0, 1, 2), dtype)
    out = np.full((3, columns, rows), np.nan, dtype)
    launch(transpose_matrices, x, out)
    np.testing.assert_array_equal(out, x.swapaxes(1, 2))


@pytest.mark.parametrize("shape", [(2, 16, 513), (1, 1600, 16), (2, 520, 520)])
def test_matrices_of_several_strips(shape):
    x, out = numbered(shape, (0, 1, 2)), np.empty((shape[0], *shape[:0:-1]), np.float32)
    launch(transpose_matrices, x, out)
    np.testing.assert_array_equal(out, x.swapaxes(1, 2))


@given(st.data())
@example(None)
def test_any_two_memory_orders(data):
    if data is None:
        shape, orders = (2, 16, 4, 5), ((0, 2, 3, 1), (0, 1, 2, 3))
    else:
        shape = tuple(data.draw(st.lists(st.sampled_from([0, 1, 2, 3, 4, 16, 17]), min_size=1, max_size=4)))
        orders = tuple(data.draw(st.permutations(range(len(shape)))) for _ in range(2))
    for dtype in (np.float32, np.float64, np.int64):
        source, out = numbered(shape, orders[0], dtype), -numbered(shape, orders[1], dtype)
        copy_across(source, out)
        np.testing.assert_array_equal(out, source)


@pytest.mark.parametrize(
    ("shape", "order"),
    [
        ((5, 16, 4, 4), (0, 2, 3, 1)),
        ((1, 16, 4, 4), (0, 2, 3, 1)),
        ((5, 16, 1, 16), (0, 2, 3, 1)),
        ((20, 30), (1, 0)),
        ((16, 4, 4), (1, 2, 0)),
    ],
)
def test_transposed_matrices_are_recognised(shape, order, monkeypatch):
    there, back = numbered(shape, order), np.empty(shape, np.float32)
    assert launches(monkeypatch, there, back) == ["transpose_matrices"]
    assert launches(monkeypatch, back, there) == ["transpose_matrices"]


@pytest.mark.parametrize(
    ("source", "out"),
    [
        (numbered((5, 3, 4, 4), (0, 2, 3, 1)), np.empty((5, 3, 4, 4), np.float32)),  # narrower than a vector
        (numbered((2, 16, 16, 16), (0, 3, 2, 1)), np.empty((2, 16, 16, 16), np.float32)),  # more than one exchange
        (numbered((40, 40), (1, 0))[:, ::2], np.empty((40, 20), np.float32)),
        (numbered((40, 40), (1, 0)), np.empty((40, 80), np.float32)[:, ::2]),
        (numbered((40, 40), (1, 0)), np.empty((40, 40), np.float64)),
        (numbered((40, 40), (1, 0), np.int64), np.empty((40, 40), np.int64)),
        (numbered((40, 40), (0, 1)), np.empty((40, 40), np.float32)),  # the same order
        (np.broadcast_to(np.float32(3), (40, 40)), np.empty((40, 40), np.float32)),
    ],
)
def test_all_else_is_copied(source, out, monkeypatch):
    assert launches(monkeypatch, source, out) == ["copy"]
    monkeypatch.undo()
    copy_across(source, out)
    expected = np.empty(out.shape, out.dtype)
    launch(copy, source, expected)
    np.testing.assert_array_equal(out, expected)
