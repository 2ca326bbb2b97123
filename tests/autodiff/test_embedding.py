"""Embedding: lookup, gradients with repeated and padded rows, refusals."""

from __future__ import annotations

import numpy as np
import pytest

from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.ops.embedding import embedding
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, GradientError, IndexRangeError, ShapeError


def table(rows: int = 4, features: int = 3) -> np.ndarray:
    return rng(rows, features).normal(size=(rows, features))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("indices", [2, [0, 3, 3], [[1, 2], [0, 0]], np.empty((0, 2), np.int64)])
def test_rows_are_looked_up(dtype, indices):
    weight, numbers = table().astype(dtype), np.asarray(indices)
    for layout in (np.ascontiguousarray, np.asfortranarray):
        got = embedding(Tensor(numbers), Tensor(layout(weight)))
        assert got.dtype == dtype
        np.testing.assert_array_equal(got.array, weight[numbers])


@pytest.mark.parametrize("kind", [np.uint8, np.int32])
def test_indices_of_any_integer_type(kind):
    got = embedding(Tensor(np.array([3, 0, 1, 0], kind)[::2]), Tensor(table()))
    np.testing.assert_array_equal(got.array, table()[[3, 1]])


@pytest.mark.parametrize("padding", [None, 0, -1])
def test_gradients(padding):
    numbers = np.array([[0, 3], [3, 3]])
    weight = Tensor(table(), requires_grad=True)
    embedding(Tensor(numbers), weight, padding).sum().backward()
    expected = np.array([1.0, 0.0, 0.0, 3.0])
    if padding is not None:
        expected[padding] = 0.0
    np.testing.assert_array_equal(weight.grad.array, np.repeat(expected[:, None], 3, 1))


def test_gradients_of_gradients():
    numbers = Tensor(np.array([[0, 3], [3, 1]]))
    check_gradients(lambda weight: embedding(numbers, weight).square(), table())
    # The padded row counts as a constant, so compare without it.
    weight = Tensor(table(), requires_grad=True)
    (first,) = grad((embedding(numbers, weight, 0) ** 3).sum(), weight, create_graph=True)
    (second,) = grad(first.sum(), weight)
    times = np.array([0.0, 1.0, 0.0, 2.0])[:, None]
    np.testing.assert_allclose(first.detach().array, times * 3 * table() ** 2)
    np.testing.assert_allclose(second.array, times * 6 * table())


def test_errors():
    weight = Tensor(table())
    for bad in (-1, 4):
        with pytest.raises(IndexRangeError, match=rf"embedding: .* index {bad} at position 2 .* 0 to 3"):
            embedding(Tensor(np.array([[0, 1], [bad, 0]])), weight)
    with pytest.raises(DtypeError, match=r"integers, got float64 \(2,\)"):
        embedding(Tensor(np.ones(2)), weight)
    with pytest.raises(DtypeError, match="weight must be float32"):
        embedding(Tensor(np.array([0])), Tensor(np.ones((2, 2), np.int64)))
    with pytest.raises(DtypeError, match="input must be a Tensor"):
        embedding([0, 1], weight)
    with pytest.raises(ShapeError, match=r"weight has shape \(3,\)"):
        embedding(Tensor(np.array([0])), weight[0])
    for padding in (4, -5):
        with pytest.raises(ArgumentError, match="padding_idx must lie in -4 to 3"):
            embedding(Tensor(np.array([0])), weight, padding)


def test_changing_the_indices_before_backward():
    numbers, weight = Tensor(np.array([0, 1])), Tensor(table(), requires_grad=True)
    out = embedding(numbers, weight)
    numbers.add_(1)
    with pytest.raises(GradientError, match="changed in place"):
        out.sum().backward()
