"""matmul and its kin, einsum, and the fused linear op."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.autodiff.numeric import check_gradients, rng
from tinygrad_mlp.autodiff.mode import no_grad
from tinygrad_mlp.autodiff.ops.einsum import einsum
from tinygrad_mlp.autodiff.ops.linear import ACTIVATIONS, bmm, dot, linear, matmul, mm, mv, outer
from tinygrad_mlp.autodiff.tensor import Tensor
from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError

SHAPES = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((5, 2, 3), (3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((2, 1, 2, 3), (1, 4, 3, 1)),
    ((1, 1), (1, 1)),
]
EMPTY = [
    ((0, 3), (3, 4)),
    ((2, 0), (0, 4)),
    ((2, 3), (3, 0)),
    ((0, 2, 3), (0, 3, 4)),
    ((0,), (0,)),
    ((2, 0, 3), (3, 4)),
]


def draw(*shape: int, dtype: type = np.float64, seed: int = 0) -> np.ndarray:
    return rng(seed, *shape).normal(size=shape).astype(dtype)


@pytest.mark.parametrize(("x_shape", "y_shape"), SHAPES + EMPTY)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_matmul_is_numpys(x_shape, y_shape, dtype):
    a, b = draw(*x_shape, dtype=dtype), draw(*y_shape, dtype=dtype, seed=1)
    out = Tensor(a) @ Tensor(b)
    assert out.dtype == dtype
    np.testing.assert_allclose(out.array, a @ b, rtol=1e-5 if dtype == np.float32 else 1e-13, atol=1e-6)


@pytest.mark.parametrize(("x_shape", "y_shape"), SHAPES)
def test_matmul_gradients(x_shape, y_shape):
    check_gradients(matmul, draw(*x_shape), draw(*y_shape, seed=1))


@pytest.mark.parametrize(("x_shape", "y_shape"), EMPTY)
def test_matmul_gradients_of_empty_operands(x_shape, y_shape):
    x, y = Tensor(draw(*x_shape), requires_grad=True), Tensor(draw(*y_shape), requires_grad=True)
    (x @ y).sum().backward()
    assert x.grad.shape == x_shape and y.grad.shape == y_shape
    assert not x.grad.array.any() and not y.grad.array.any()


def test_matmul_reads_any_memory_order():
    a, b = draw(4, 6), draw(6, 5, seed=1)
    for left in (a, np.asfortranarray(a), draw(8, 12)[::2, ::2]):
        for right in (b, np.asfortranarray(b), draw(5, 12)[:, ::2].T):
            np.testing.assert_allclose((Tensor(left) @ Tensor(right)).array, left @ right, rtol=1e-13)
    stacked = draw(2, 3, 6, 4).transpose(1, 0, 3, 2)
    np.testing.assert_allclose((Tensor(stacked) @ Tensor(b)).array, stacked @ b, rtol=1e-12, atol=1e-14)
    other = draw(2, 3, 5, 6).transpose(1, 0, 3, 2)
    np.testing.assert_allclose((Tensor(stacked) @ Tensor(other)).array, stacked @ other, rtol=1e-12, atol=1e-14)


def test_matmul_with_arrays_and_integers():
    x = Tensor(draw(2, 3, dtype=np.float32), requires_grad=True)
    counts = np.arange(6).reshape(3, 2)
    (x @ counts).sum().backward()
    np.testing.assert_allclose(x.grad.array, np.broadcast_to(counts.sum(1), (2, 3)))
    np.testing.assert_allclose((counts @ x.detach()).array, counts @ x.detach().array, rtol=1e-5)


def test_matmul_errors():
    with pytest.raises(ShapeError, match=r"last dimension of the first is 3, .* 4"):
        Tensor(draw(2, 3)) @ Tensor(draw(4, 2))
    with pytest.raises(ShapeError, match="leading dimensions"):
        Tensor(draw(2, 2, 3)) @ Tensor(draw(5, 3, 2))
    with pytest.raises(ShapeError, match="scalar"):
        Tensor(draw(2, 3)) @ 2.0
    with pytest.raises(DtypeError, match="float32 and float64"):
        Tensor(draw(2, 3)) @ Tensor(draw(3, 2, dtype=np.float32))
    with pytest.raises(DtypeError, match="int64"):
        Tensor(np.ones((2, 2), np.int64)) @ Tensor(np.ones((2, 2), np.int64))


def test_products_of_fixed_dimensions():
    m, v, s = Tensor(draw(3, 3)), Tensor(draw(3)), Tensor(draw(2, 3, 3))
    np.testing.assert_allclose(mm(m, m).array, m.array @ m.array)
    np.testing.assert_allclose(mv(m, v).array, m.array @ v.array)
    np.testing.assert_allclose(dot(v, v).array, v.array @ v.array)
    np.testing.assert_allclose(bmm(s, s).array, s.array @ s.array)
    np.testing.assert_allclose(outer(v, m[0]).array, np.outer(v.array, m.array[0]))
    check_gradients(outer, draw(3), draw(2))
    for function in (mm, mv, dot, outer):
        with pytest.raises(ShapeError, match=function.__name__):
            function(s, s)
    with pytest.raises(ShapeError, match="bmm"):
        bmm(m, m)
    with pytest.raises(ShapeError, match="batches"):
        bmm(s, s[:1])
    with pytest.raises(DtypeError, match="ndarray"):
        mm(m, m.array)


# linear


def stored(weight: np.ndarray) -> np.ndarray:
    """A logical (out, in) weight that lies (in, out) in memory, as nn.Linear stores it."""
    return np.asfortranarray(weight)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("order", [stored, np.ascontiguousarray])
@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 3, 4), (0, 4)])
def test_linear_is_numpys(activation, order, shape):
    reference = {
        None: lambda y: y,
        "relu": lambda y: np.maximum(y, 0),
        "tanh": np.tanh,
        "sigmoid": lambda y: 1 / (1 + np.exp(-y)),
    }[activation]
    x, weight, bias = draw(*shape), order(draw(3, 4)), draw(3)
    got = linear(Tensor(x), Tensor(weight), Tensor(bias), activation)
    np.testing.assert_allclose(got.array, reference(x @ weight.T + bias), rtol=1e-12, atol=1e-15)
    got = linear(Tensor(x), Tensor(weight), activation=activation)
    np.testing.assert_allclose(got.array, reference(x @ weight.T), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("shape", [(4,), (5, 4), (2, 3, 4)])
def test_linear_gradients(activation, shape):
    check_gradients(
        lambda x, weight, bias: linear(x, weight, bias, activation), draw(*shape), stored(draw(3, 4)), draw(3)
    )
    check_gradients(lambda x, weight: linear(x, weight, activation=activation), draw(*shape), draw(3, 4))


@pytest.mark.parametrize("wanted", [(1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1)])
def test_linear_computes_the_gradients_asked_for(wanted):
    arrays = draw(5, 4), stored(draw(3, 4)), draw(3)
    tensors = [Tensor(array, requires_grad=bool(flag)) for array, flag in zip(arrays, wanted, strict=True)]
    linear(*tensors).sum().backward()
    expected = (np.ones((5, 3)) @ arrays[1], np.ones((3, 5)) @ arrays[0], np.full(3, 5.0))
    for tensor, flag, value in zip(tensors, wanted, expected, strict=True):
        if flag:
            np.testing.assert_allclose(tensor.grad.array, value, rtol=1e-13)
        else:
            assert tensor.grad is None


@pytest.mark.parametrize("order", [stored, np.ascontiguousarray])
def test_weight_gradient_lies_in_memory_as_the_weight_does(order):
    weight = Tensor(order(draw(3, 4)), requires_grad=True)
    linear(Tensor(draw(5, 4)), weight, bias=Tensor(draw(3), requires_grad=True)).sum().backward()
    assert weight.grad.array.strides == weight.array.strides


def test_keyword_parameters_get_their_gradients():
    weight, bias = Tensor(draw(3, 4), requires_grad=True), Tensor(draw(3), requires_grad=True)
    linear(Tensor(draw(5, 4)), bias=bias, weight=weight).sum().backward()
    np.testing.assert_allclose(bias.grad.array, np.full(3, 5.0))
    assert weight.grad is not None


def test_linear_keeps_nan_and_float32():
    x = np.array([[np.nan, 1.0]], np.float32)
    out = linear(Tensor(x), Tensor(np.ones((2, 2), np.float32)), None, "relu")
    assert out.dtype == np.float32
    assert np.isnan(out.array).all()


def test_linear_errors():
    x, weight, bias = Tensor(draw(5, 4)), Tensor(draw(3, 4)), Tensor(draw(3))
    with pytest.raises(ShapeError, match=r"input has shape \(5, 4\), expected \(…, 7\).*\(3, 7\)"):
        linear(x, Tensor(draw(3, 7)))
    with pytest.raises(ShapeError, match=r"bias has shape \(4,\)"):
        linear(x, weight, Tensor(draw(4)))
    with pytest.raises(ShapeError, match=r"weight has shape \(4,\)"):
        linear(x, Tensor(draw(4)))
    with pytest.raises(ShapeError, match=r"input has shape \(\)"):
        linear(Tensor(np.array(1.0)), weight)
    with pytest.raises(DtypeError, match="input is float64, weight is float32"):
        linear(x, weight.float(), bias.float())
    with pytest.raises(DtypeError, match="input must be float32 or float64, got int64"):
        linear(Tensor(np.ones((5, 4), np.int64)), weight)
    with pytest.raises(DtypeError, match="Tensor, got ndarray"):
        linear(x.array, weight)
    with pytest.raises(ArgumentError, match="'swish'; expected one of None, 'relu', 'tanh', 'sigmoid'"):
        linear(x, weight, bias, "swish")


def test_linear_under_no_grad_records_nothing():
    with no_grad():
        out = linear(Tensor(draw(5, 4)), Tensor(draw(3, 4), requires_grad=True))
    assert not out.requires_grad and out.node is None


# einsum

EQUATIONS = [
    ("ij->ji", (2, 3)),
    ("ij", (2, 3)),
    ("ba", (2, 3)),
    ("ij->", (2, 3)),
    ("ii", (3, 3)),
    ("ii->i", (3, 3)),
    ("iji->j", (3, 2, 3)),
    ("iii->i", (2, 2, 2)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,kj->ik", (2, 3), (4, 3)),
    ("i,j->ij", (2,), (3,)),
    ("i,i->", (3,), (3,)),
    ("i,i->i", (3,), (3,)),
    (",ij->ij", (), (2, 3)),
    ("bij,bjk->bik", (2, 3, 4), (2, 4, 2)),
    ("bij,bkj->bki", (2, 3, 4), (2, 2, 4)),
    ("bhid,bhjd->bhij", (2, 2, 3, 2), (2, 2, 2, 2)),
    ("ij,ij->i", (2, 3), (2, 3)),
    ("ijk,l->ijl", (2, 2, 3), (2,)),
    ("ij,jk,kl->il", (2, 3), (3, 2), (2, 4)),
    ("i,ij,j->", (2,), (2, 3), (3,)),
    ("ijj,jk->ik", (2, 3, 3), (3, 2)),
    ("...ij,...jk->...ik", (2, 1, 2, 3), (3, 3, 2)),
    ("...ij,jk", (2, 2, 3), (3, 2)),
    ("...i->...", (2, 3)),
    ("i...,i->...", (3, 2), (3,)),
]


@pytest.mark.parametrize(("equation", "shapes"), [(row[0], row[1:]) for row in EQUATIONS])
def test_einsum_is_numpys(equation, shapes):
    arrays = [draw(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    got = einsum(equation, *map(Tensor, arrays))
    np.testing.assert_array_equal(einsum(equation, [Tensor(array) for array in arrays]).array, got.array)
    expected = np.einsum(equation, *arrays)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.array, expected, rtol=1e-12, atol=1e-14)
    check_gradients(lambda *tensors: einsum(equation, *tensors), *arrays, second=len(shapes) < 3)


@st.composite
def equations(draw_from):
    """Random equations over four labels, with their operands' shapes."""
    sizes = {label: draw_from(st.integers(0, 3)) for label in "abcd"}
    inputs = draw_from(st.lists(st.text("abcd", max_size=3), min_size=1, max_size=3))
    used = sorted(set("".join(inputs)))
    output = draw_from(st.permutations(used))[: draw_from(st.integers(0, len(used)))]
    return ",".join(inputs) + "->" + "".join(output), [tuple(sizes[label] for label in text) for text in inputs]


@settings(max_examples=60, deadline=None)
@given(equations())
def test_einsum_on_random_equations(case):
    equation, shapes = case
    arrays = [draw(*shape, seed=seed) for seed, shape in enumerate(shapes)]
    got = einsum(equation, *map(Tensor, arrays))
    np.testing.assert_allclose(got.array, np.einsum(equation, *arrays), rtol=1e-11, atol=1e-13)


def test_einsum_errors():
    x = Tensor(draw(2, 3))
    for equation, operands, error, text in [
        ("ij,jk", (x,), ArgumentError, "2 operands, got 1"),
        ("ij", (), ArgumentError, "got 0"),
        ("i1", (x,), ArgumentError, "cannot read"),
        ("ij->ik", (x,), ArgumentError, "must name labels"),
        ("ij->ii", (x,), ArgumentError, "each once"),
        ("ijk", (x,), ShapeError, "3 labels"),
        ("i", (x,), ShapeError, "1 labels"),
        ("ii", (x,), ShapeError, "sizes 2 and 3"),
        ("ij,ij", (x, Tensor(draw(2, 1))), ShapeError, "sizes 3 and 1"),
        ("...,...", (x, Tensor(draw(2))), ShapeError, "sizes 3 and 2"),
        ("ij", (Tensor(np.ones((2, 2), np.int64)),), DtypeError, "int64"),
    ]:
        with pytest.raises(error, match=text):
            einsum(equation, *operands)
