"""Views, copies and conversions; then cat, split, pad, flip, roll and their like."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.engine import grad
from tinygrad_mlp.autodiff.ops.arrange import (
    cat,
    chunk,
    diag,
    flip,
    meshgrid,
    roll,
    split,
    stack,
    tril,
    triu,
    unbind,
)
from tinygrad_mlp.autodiff.ops.pad import pad
from tinygrad_mlp.autodiff.ops.shape import broadcast_to
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

BASE = np.arange(24.0).reshape(2, 3, 4)
LAYOUTS = {
    "row-major": lambda a: a.copy(),
    "column-major": np.asfortranarray,
    "permuted": lambda a: np.ascontiguousarray(a.transpose(1, 2, 0)).transpose(2, 0, 1),
    "strided": lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
    "reversed": lambda a: a[:, ::-1].copy()[:, ::-1],
}


@pytest.fixture(params=LAYOUTS)
def layout(request):
    return LAYOUTS[request.param]


VIEWS = {
    "reshape": (lambda x: x.reshape(4, 6), lambda a: a.reshape(4, 6)),
    "reshape tuple": (lambda x: x.reshape((6, 4)), lambda a: a.reshape(6, 4)),
    "reshape -1": (lambda x: x.reshape(2, -1), lambda a: a.reshape(2, 12)),
    "view": (lambda x: x.view(3, 8), lambda a: a.reshape(3, 8)),
    "flatten": (lambda x: x.flatten(), lambda a: a.reshape(24)),
    "flatten 1": (lambda x: x.flatten(1), lambda a: a.reshape(2, 12)),
    "flatten 0 -2": (lambda x: x.flatten(0, -2), lambda a: a.reshape(6, 4)),
    "permute": (lambda x: x.permute(2, 0, 1), lambda a: a.transpose(2, 0, 1)),
    "permute tuple": (lambda x: x.permute((-1, 1, 0)), lambda a: a.transpose(2, 1, 0)),
    "transpose": (lambda x: x.transpose(0, -1), lambda a: a.swapaxes(0, 2)),
    "unsqueeze": (lambda x: x.unsqueeze(1), lambda a: a[:, None]),
    "unsqueeze -1": (lambda x: x.unsqueeze(-1), lambda a: a[..., None]),
    "squeeze": (lambda x: x.unsqueeze(0).unsqueeze(2).squeeze(), lambda a: a),
    "squeeze 0": (lambda x: x.unsqueeze(0).unsqueeze(2).squeeze(0), lambda a: a[:, None]),
    "squeeze (0, -3)": (lambda x: x.unsqueeze(0).unsqueeze(2).squeeze((0, -3)), lambda a: a),
    "expand": (lambda x: x.unsqueeze(1).expand(5, 2, 6, 3, -1), lambda a: np.broadcast_to(a[:, None], (5, 2, 6, 3, 4))),
    "broadcast_to": (lambda x: broadcast_to(x, (2, 2, 3, 4)), lambda a: np.broadcast_to(a, (2, 2, 3, 4))),
    "clone": (lambda x: x.clone(), lambda a: a),
    "contiguous": (lambda x: x.contiguous(), lambda a: a),
    "flip": (lambda x: x.flip((0, -1)), lambda a: a[::-1, :, ::-1]),
    "flip one": (lambda x: x.flip(1), lambda a: a[:, ::-1]),
    "roll": (lambda x: x.roll(2, -1), lambda a: np.roll(a, 2, -1)),
    "roll two": (lambda x: x.roll((-1, 5), (0, 1)), lambda a: np.roll(a, (-1, 5), (0, 1))),
    "roll flat": (lambda x: x.roll(7), lambda a: np.roll(a, 7)),
    "tril": (lambda x: x.tril(), np.tril),
    "triu": (lambda x: x.triu(-1), lambda a: np.triu(a, -1)),
    "split": (lambda x: x.split(2, dim=1)[1], lambda a: a[:, 2:]),
    "chunk": (lambda x: x.chunk(3, dim=-1)[1], lambda a: a[:, :, 2:4]),
    "unbind": (lambda x: x.unbind(1)[2], lambda a: a[:, 2]),
    "cat": (lambda x: cat([x, x[:1], x], dim=0), lambda a: np.concatenate([a, a[:1], a])),
    "stack": (lambda x: stack([x, x.flip(0)], dim=-1), lambda a: np.stack([a, a[::-1]], -1)),
    "pad": (
        lambda x: pad(x, (1, 2, 0, 3), value=7.0),
        lambda a: np.pad(a, ((0, 0), (0, 3), (1, 2)), constant_values=7),
    ),
    "pad negative": (lambda x: pad(x, (-1, 2)), lambda a: np.pad(a[:, :, 1:], ((0, 0), (0, 0), (0, 2)))),
    "pad reflect": (lambda x: pad(x, (3, 2), mode="reflect"), lambda a: np.pad(a, ((0, 0), (0, 0), (3, 2)), "reflect")),
    "pad replicate": (
        lambda x: pad(x, (5, 0, 1, 1), "replicate"),
        lambda a: np.pad(a, ((0, 0), (1, 1), (5, 0)), "edge"),
    ),
    "pad circular": (lambda x: pad(x, (2, 4), "circular"), lambda a: np.pad(a, ((0, 0), (0, 0), (2, 4)), "wrap")),
}


@pytest.mark.parametrize("case", VIEWS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
def test_values(case, dtype, layout):
    function, reference = VIEWS[case]
    array = layout(BASE.astype(dtype))
    out = function(Tensor(array))
    np.testing.assert_array_equal(out.array, reference(array))
    assert out.dtype == dtype


@pytest.mark.parametrize("case", VIEWS)
def test_gradients(case, layout):
    check_gradients(lambda x: VIEWS[case][0](x).sin(), layout(BASE / 10))


SHARING = ["reshape", "flatten", "permute", "transpose", "unsqueeze", "squeeze", "expand", "split", "chunk", "unbind"]


@pytest.mark.parametrize("case", SHARING)
def test_views_share_memory_and_version(case):
    x = Tensor(BASE.copy())
    out = VIEWS[case][0](x)
    assert np.shares_memory(out.array, x.array)
    x.mul_(2.0)
    assert out.version == x.version == 1


@pytest.mark.parametrize("case", ["clone", "flip", "roll", "cat", "stack", "pad", "tril"])
def test_copies_have_memory_and_a_version_of_their_own(case):
    x = Tensor(BASE.copy())
    out = VIEWS[case][0](x)
    assert not np.shares_memory(out.array, x.array)
    x.mul_(2.0)
    assert out.version == 0


def test_reshape_of_permuted_memory_is_a_copy_that_a_write_to_the_original_leaves_valid():
    x = Tensor(BASE.copy(), requires_grad=True)
    y = (x * 1.0).transpose(0, 2)
    flat = y.reshape(-1)
    assert not np.shares_memory(flat.array, y.array)
    assert flat.version == 0
    np.testing.assert_array_equal(flat.array, BASE.swapaxes(0, 2).reshape(-1))


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_order_is_kept(order):
    x = Tensor(np.array(BASE, order=order))
    for out in (x.clone(), x.flip(0), x.roll(1, 1), x.tril(), cat([x, x], 1), pad(x, (1, 1)), x.double(), x.float()):
        assert out.array.flags[f"{order}_CONTIGUOUS"]
    assert x.contiguous().array.flags.c_contiguous
    assert (x.contiguous() is x) == (order == "C")


def test_flattened_images_are_row_major_and_their_gradient_lies_as_they_do():
    images = Tensor(rng(1).normal(size=(2, 3, 5, 17)).transpose(0, 3, 1, 2), requires_grad=True)  # (2, 17, 3, 5)
    flat = (images * 1.0).flatten(1)
    np.testing.assert_array_equal(flat.array, images.array.reshape(2, -1))
    weights = rng(2).normal(size=flat.shape)
    (gradient,) = grad([flat], [images], [Tensor(weights)])
    np.testing.assert_array_equal(gradient.array, weights.reshape(images.shape))
    assert gradient.array.strides == images.array.strides


@pytest.mark.parametrize("shape", [(3, 1, 4, 5), (3, 6, 1, 1), (1, 1, 1, 1), (0, 3, 2, 2)])
def test_flattening_images_of_one_channel_or_pixel_shares_memory(shape):
    memory = np.zeros((shape[0], *shape[2:], shape[1]))
    images = Tensor(np.moveaxis(memory, -1, 1))
    assert np.shares_memory(images.flatten(1).array, memory) == (shape[0] > 0)


@given(st.lists(st.integers(0, 3), min_size=0, max_size=4), st.data())
@settings(max_examples=40)
def test_permute_and_back_is_the_identity(shape, data):
    dims = data.draw(st.permutations(range(len(shape))))
    array = rng(len(shape)).normal(size=shape)
    there = Tensor(array).permute(dims)
    back = there.permute([dims.index(dim) for dim in range(len(dims))])
    np.testing.assert_array_equal(there.array, array.transpose(dims))
    np.testing.assert_array_equal(back.array, array)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=3), st.integers(1, 5), st.data())
@settings(max_examples=40)
def test_split_and_cat_are_inverse(shape, size, data):
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    array = rng(size).normal(size=shape)
    parts = split(Tensor(array), size, dim)
    np.testing.assert_array_equal(cat(parts, dim).array, array)
    assert all(part.shape[dim] <= size for part in parts)
    assert len(chunk(Tensor(array), size, dim)) <= size
    if array.shape[dim]:
        np.testing.assert_array_equal(stack(unbind(Tensor(array), dim), dim).array, array)


def test_small_shapes():
    scalar, empty = Tensor(np.array(3.0)), Tensor(np.empty((0, 3)))
    assert scalar.flatten().shape == (1,)
    assert scalar.reshape(1, 1).squeeze().shape == ()
    assert scalar.reshape(()).item() == 3.0
    assert scalar.unsqueeze(0).shape == scalar.unsqueeze(-1).shape == (1,)
    assert scalar.expand(2, 2).tolist() == [[3.0, 3.0], [3.0, 3.0]]
    assert scalar.transpose(0, -1).shape == scalar.t().shape == scalar.T.shape == scalar.permute().shape == ()
    assert scalar.flip(0).item() == scalar.roll(1, 0).item() == 3.0
    assert stack([scalar, scalar]).shape == (2,)
    assert empty.reshape(3, -1).shape == (3, 0)
    assert empty.flatten().shape == (0,)
    assert empty.T.shape == (3, 0)
    assert [part.shape for part in empty.chunk(2)] == [(0, 3), (0, 3)]
    assert empty.split(0)[0].shape == (0, 3)
    assert cat([empty, empty]).shape == (0, 3)
    assert cat([Tensor(np.empty(0)), Tensor(np.ones((2, 3)))]).shape == (2, 3)
    assert cat([Tensor(np.empty(0)), Tensor(np.empty(0))]).shape == (0,)
    assert pad(empty, (1, 1, 2, 0)).tolist() == [[0.0] * 5] * 2
    assert empty.roll(1).shape == (0, 3)


def test_uneven_chunks_as_pytorch_divides_them():
    x = Tensor(np.arange(10))
    assert [len(part) for part in x.chunk(4)] == [3, 3, 3, 1]
    assert [len(part) for part in x.chunk(6)] == [2] * 5
    assert [part.tolist() for part in x.split([1, 0, 9])] == [[0], [], list(range(1, 10))]


def test_conversions():
    x = Tensor(np.array([0.0, -1.75, 2.5], np.float32))
    assert x.double().dtype == np.float64
    assert x.float() is x
    assert x.to(np.float32) is x
    assert x.to("float32", copy=True) is not x
    assert x.long().tolist() == [0, -1, 2]
    assert x.long().dtype == np.int64
    assert x.int().dtype == np.int32
    assert x.bool().tolist() == [False, True, True]
    assert x.to(Tensor(np.zeros(1))).dtype == np.float64
    assert x.to("cpu", dtype=np.float64).dtype == np.float64
    assert x.cpu() is x
    assert x.long().float().dtype == np.float32


def test_gradients_pass_through_a_conversion_in_the_dtype_of_the_input():
    x = Tensor(np.array([1.0, 2.0], np.float32), requires_grad=True)
    (x.double() * x.double()).sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == np.float32
    assert x.grad.tolist() == [2.0, 4.0]
    assert not x.long().requires_grad
    check_gradients(lambda x: x.to("float64", copy=True), np.array([0.5, 1.5]))


def test_joining_converts_integers_and_keeps_gradients():
    x, labels = Tensor(np.ones(2, np.float32), requires_grad=True), Tensor(np.array([3, 4]))
    out = cat([x, labels])
    assert out.dtype == np.float32
    out.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1.0, 1.0]
    assert cat([labels, Tensor(np.array([True]))]).tolist() == [3, 4, 1]


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_triangles_of_any_dtype(dtype):
    mask = Tensor(np.ones((3, 3), dtype))
    for function, reference in ((tril, np.tril), (triu, np.triu)):
        found = function(mask)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found.array, reference(mask.array))


def test_a_diagonal_beyond_the_matrix_is_empty_and_a_grid_may_come_as_a_list():
    assert diag(X, 3).shape == (0,)
    assert diag(X, -2).shape == (0,)
    first, second = meshgrid([X[0], X[:, 0]])
    assert first.shape == second.shape == (3, 2)


def test_what_is_repeated_has_memory_of_its_own():
    x = Tensor(np.ones((2, 3)))
    x.repeat(1, 1).add_(1.0)
    assert x.array.max() == 1.0


def test_tril_of_nan_is_zero_above():
    x = Tensor(np.full((2, 2), np.nan))
    assert tril(x).array[0, 1] == 0.0
    assert triu(x).array[1, 0] == 0.0


X = Tensor(np.zeros((2, 3)))
X3 = Tensor(np.zeros((2, 3, 4)))
SCALAR = Tensor(np.zeros(()))


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: X.reshape(4, 2), ShapeError, r"reshape: \(2, 3\) \(6 elements\) does not fit into \(4, 2\)"),
        (lambda: X.reshape(-1, -1), ShapeError, "does not fit"),
        (lambda: X.reshape(-1, 4), ShapeError, "does not fit"),
        (lambda: X.reshape(-2, -3), ShapeError, "does not fit"),
        (lambda: Tensor(np.zeros((0, 2))).reshape(-1, 0), ShapeError, "does not fit"),
        (lambda: X.reshape(2.0, 3), ArgumentError, "expected integers"),
        (lambda: X.permute(0), ArgumentError, "must name each of the 2 dimensions"),
        (lambda: X.permute(0, 0), ArgumentError, "must name each"),
        (lambda: X.permute(0, 2), ShapeError, "permute: dim 2"),
        (lambda: X.transpose(0, 2), ShapeError, "transpose: dim 2"),
        (X3.t, ShapeError, "at most 2 dimensions"),
        (lambda: X3.T, ShapeError, "at most 2 dimensions"),
        (lambda: X.squeeze(2), ShapeError, "squeeze: dim 2"),
        (lambda: X.unsqueeze(3), ShapeError, "unsqueeze: dim 3"),
        (lambda: X.flatten(1, 0), ShapeError, "start_dim 1 comes after end_dim 0"),
        (lambda: X.expand(4, 3), ShapeError, "cannot be repeated"),
        (lambda: X.expand(3), ShapeError, "cannot be repeated"),
        (lambda: X.expand(-1, 2, 3), ShapeError, "cannot be repeated"),
        (lambda: X.repeat(2), ShapeError, r"repeat: got \(2,\) for shape \(2, 3\)"),
        (lambda: X.repeat(2, -1), ShapeError, "a count of at least 0"),
        (X3.diag, ShapeError, "diag: expected a vector or a matrix"),
        (lambda: meshgrid(X[0], X), ShapeError, r"meshgrid: expected vectors, got shapes \[\(3,\), \(2, 3\)\]"),
        (lambda: meshgrid(X[0], indexing="yx"), ArgumentError, "expected one of 'ij', 'xy'"),
        (lambda: X.to("cuda"), ArgumentError, "to: there is no device 'cuda' here; this package computes on the CPU"),
        (lambda: X.to("cuda:0"), ArgumentError, "computes on the CPU"),
        (lambda: X.to("float16"), DtypeError, "to: dtype 'float16' is not supported"),
        (lambda: X.to("complex64"), DtypeError, "not supported"),
        (lambda: X.to("nonsense"), DtypeError, "not supported"),
        (lambda: X.flip(2), ShapeError, "flip: dim 2"),
        (lambda: X.flip((0, -2)), ArgumentError, "twice"),
        (lambda: X.roll((1, 2), 0), ArgumentError, "2 shifts for 1 dims"),
        (lambda: X.roll(1, 2), ShapeError, "roll: dim 2"),
        (lambda: tril(Tensor(np.zeros(3))), ShapeError, "at least 2 dimensions"),
        (lambda: cat([]), ArgumentError, "at least one"),
        (lambda: cat(X), DtypeError, "cat: expected a list or tuple of Tensors, got Tensor"),
        (lambda: cat([X, np.zeros((2, 3))]), DtypeError, "element 1 must be a Tensor, got ndarray"),
        (lambda: cat([X, X3]), ShapeError, r"tensor 1 has shape \(2, 3, 4\)"),
        (lambda: cat([X, X.T]), ShapeError, "differs from"),
        (lambda: cat([SCALAR, SCALAR]), ShapeError, "use stack"),
        (lambda: cat([X, X.float()]), DtypeError, "do not mix"),
        (lambda: stack([X, X.T]), ShapeError, r"tensor 1 has shape \(3, 2\), expected \(2, 3\)"),
        (lambda: X.split(0), ArgumentError, "at least 1"),
        (lambda: X.split([1, 2]), ShapeError, "add up to 2"),
        (lambda: X.split([3, -1]), ShapeError, "at least 0"),
        (lambda: X.chunk(0), ArgumentError, "at least 1"),
        (lambda: SCALAR.split(1), ShapeError, "0-d"),
        (SCALAR.unbind, ShapeError, "0-d"),
        (lambda: pad(X, (1,)), ArgumentError, "pairs"),
        (lambda: pad(X, (1,) * 6), ShapeError, "3 pairs"),
        (lambda: pad(X, (-2, -2)), ShapeError, "cut more off"),
        (lambda: pad(X, (3, 0), "reflect"), ShapeError, "cannot pad dim 1"),
        (lambda: pad(X, (4, 0), "circular"), ShapeError, "cannot pad dim 1"),
        (lambda: pad(Tensor(np.zeros((0,))), (1, 0), "replicate"), ShapeError, "cannot pad dim 0"),
        (lambda: pad(X, (1, 0), "replicate", 2.0), ArgumentError, "belongs to mode 'constant'"),
        (lambda: pad(X, (1, 0), "mirror"), ArgumentError, "'constant', 'reflect', 'replicate', 'circular'"),
    ],
)
def test_errors_name_op_and_shapes(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_functions_are_the_methods():
    x = Tensor(BASE.copy())
    for function, method in ((flip, x.flip), (roll, x.roll)):
        np.testing.assert_array_equal(function(x, 1).array, method(1).array)
