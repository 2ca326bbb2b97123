"""Matrix products: every layout of the operands, edge sizes, fused epilogue, the same bits on any threads."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.approx import NONE, RELU, SIGMOID, TANH
from tinygrad_mlp.kernels.matmul import batched_matmul, matmul, weight_and_bias_gradient

DTYPES = [np.float32, np.float64]
ACTIVATIONS = {
    NONE: lambda x: x,
    RELU: lambda x: np.maximum(x, 0),
    TANH: np.tanh,
    SIGMOID: lambda x: 1 / (1 + np.exp(-x)),
}
LAYOUTS = ["contiguous", "transposed", "strided", "read-only"]


def laid_out(x: Any, layout: str) -> Any:
    """The same values in another memory order."""
    if layout == "transposed":
        return np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2)
    if layout == "strided":
        wide = np.full((*x.shape[:-1], 2 * x.shape[-1] + 1), np.nan, x.dtype)
        wide[..., 1::2] = x
        return wide[..., 1::2]
    x = x.copy()
    if layout == "read-only":
        x.flags.writeable = False
    return x


def error_bound(a: Any, b: Any) -> Any:
    """A chain of K fused multiply-adds rounds K times: |error| <= K u sum |a b| (Higham 2002, section 3.1)."""
    a, b = np.abs(a.astype(np.float64)), np.abs(b.astype(np.float64))
    return (a.shape[-1] + 1) * np.finfo(np.float32).eps / 2 * (a @ b)


@pytest.mark.parametrize("dtype", DTYPES)
@settings(deadline=None, max_examples=60)  # the first example compiles
@given(data=st.data())
def test_product_with_bias_and_activation(dtype: Any, data: st.DataObject) -> None:
    size = st.one_of(st.integers(0, 9), st.integers(10, 70))
    rows, inner, columns = data.draw(size), data.draw(size), data.draw(size)
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    a, b = rng.standard_normal((rows, inner)).astype(dtype), rng.standard_normal((inner, columns)).astype(dtype)
    bias = rng.standard_normal(columns).astype(dtype) if data.draw(st.booleans()) else None
    code = data.draw(st.sampled_from(sorted(ACTIVATIONS)))
    out = np.full((rows, columns), np.nan, dtype)
    layouts = st.sampled_from(LAYOUTS)
    matmul(laid_out(a, data.draw(layouts)), laid_out(b, data.draw(layouts)), out, bias, code)
    expected = ACTIVATIONS[code](
        a.astype(np.float64) @ b.astype(np.float64) + (0 if bias is None else bias.astype(np.float64))
    )
    eps = np.finfo(dtype).eps
    tolerance = (inner + 8) * eps * (1 + np.abs(a) @ np.abs(b) + (0 if bias is None else np.abs(bias)))
    assert out.dtype == dtype
    assert (np.abs(out - expected) <= tolerance).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (33, 5, 17), (64, 7, 513), (5, 784, 1030), (65, 31, 50), (1, 3, 600)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_error_stays_within_that_of_one_rounding_a_term(shape: tuple[int, int, int], dtype: Any) -> None:
    rows, inner, columns = shape
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((rows, inner)).astype(dtype), rng.standard_normal((inner, columns)).astype(dtype)
    out = np.full((rows, columns), np.nan, dtype)
    matmul(a, b, out)
    bound = error_bound(a, b) if dtype == np.float32 else 1e-12
    assert (np.abs(out - a.astype(np.float64) @ b.astype(np.float64)) <= bound).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_layout_or_neighbours(dtype: Any) -> None:
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((70, 31)).astype(dtype), rng.standard_normal((31, 530)).astype(dtype)
    expected = np.empty((70, 530), dtype)
    matmul(a, b, expected)
    for layout_a in LAYOUTS:
        for layout_b in LAYOUTS:
            out = np.empty_like(expected)
            matmul(laid_out(a, layout_a), laid_out(b, layout_b), out)
            assert out.tobytes() == expected.tobytes(), (layout_a, layout_b)
    one = np.empty((1, 3), dtype)
    matmul(a[69:], b[:, 520:523], one)  # another block, unpacked
    assert one.tobytes() == expected[69:, 520:523].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [17, 18, 19, 20, 34, 50, 100])
@pytest.mark.parametrize(("rows", "inner"), [(16, 0), (16, 1), (75, 64), (33, 77), (784, 600), (40, 9000)])
def test_columns_that_hardly_fill_a_vector_have_the_same_bits(dtype: Any, columns: int, rows: int, inner: int) -> None:
    """They are computed the other way round: in the output of a linear layer and in the gradient of its weight."""
    rng = np.random.default_rng(columns)
    a, b = rng.standard_normal((rows, inner)).astype(dtype), rng.standard_normal((inner, columns)).astype(dtype)
    bias = rng.standard_normal(columns).astype(dtype)
    wide = np.full((rows, 128), np.nan, dtype)  # columns that fill vectors: none is computed the other way round
    matmul(a, np.pad(b, ((0, 0), (0, 128 - columns))), wide)
    expected, out = np.ascontiguousarray(wide[:, :columns]), np.full((rows, columns), np.nan, dtype)
    matmul(a, b, out)
    assert out.tobytes() == expected.tobytes()
    for code in ACTIVATIONS:
        activated = np.full((rows, 128), np.nan, dtype)
        matmul(a, np.pad(b, ((0, 0), (0, 128 - columns))), activated, np.pad(bias, (0, 128 - columns)), code)
        matmul(a, b, out, bias, code)
        assert out.tobytes() == activated[:, :columns].tobytes()
    batch = np.full((2, rows, columns), np.nan, dtype)
    batched_matmul(np.stack([a, a])[:, ::-1], b[None], batch)
    assert batch[1, ::-1].tobytes() == expected.tobytes()
    matmul(laid_out(a, "transposed"), b, out)
    assert out.tobytes() == expected.tobytes()
    sums, ones = np.full(columns, np.nan, dtype), np.empty((1, columns), dtype)
    weight_and_bias_gradient(laid_out(a, "transposed").T, b, out, sums)
    matmul(np.ones((1, inner), dtype), b, ones)
    assert out.tobytes() == expected.tobytes()
    assert sums.tobytes() == ones.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_columns_that_hardly_fill_a_vector_keep_nan_and_infinity(dtype: Any) -> None:
    a, b = np.ones((17, 40), dtype), np.zeros((40, 18), dtype)
    b[0, 16], b[39, 17], a[3, 20] = np.inf, -np.inf, np.nan
    out = np.empty((17, 18), dtype)
    matmul(a, b, out, np.zeros(18, dtype), RELU)
    expected = np.tile(np.array([*[0.0] * 16, np.inf, 0.0], dtype), (17, 1))
    expected[3] = np.nan
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_long_sums_are_one_chain_however_they_are_cut(dtype: Any) -> None:
    """A sum of 1,300 terms, which the kernel adds in blocks, against the chain of a loop; with bias and activation."""
    rng = np.random.default_rng(6)
    a, b = rng.standard_normal((5, 1300)).astype(dtype), rng.standard_normal((1300, 37)).astype(dtype)
    bias = rng.standard_normal(37).astype(dtype)
    whole, part = np.empty((5, 37), dtype), np.zeros((5, 37), dtype)
    matmul(a, b, whole)
    for k in range(0, 1300, 100):  # [sums so far, terms] @ [one; terms] continues the chain: 1 * sum + 0 is exact
        one = np.empty_like(part)
        for i in range(5):
            left = np.concatenate([np.ones((1, 1), dtype), a[i : i + 1, k : k + 100]], axis=1)
            right = np.concatenate([part[i : i + 1], b[k : k + 100]])
            matmul(left, right, one[i : i + 1])
        part = one
    assert part.tobytes() == whole.tobytes()
    out = np.empty_like(whole)
    matmul(a, b, out, bias, RELU)
    assert out.tobytes() == np.maximum(whole + bias, 0).tobytes()


def test_transposed_output_without_bias() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((6, 5)), rng.standard_normal((5, 9))
    out = np.empty((9, 6)).T
    matmul(a, b, out)
    np.testing.assert_allclose(out, a @ b, rtol=1e-13)
    with pytest.raises(ArgumentError, match="output"):
        matmul(a, b, out, np.zeros(9))


@pytest.mark.parametrize("code", sorted(ACTIVATIONS))
def test_no_terms_give_activated_bias(code: int) -> None:
    bias = np.array([-1.0, 0.0, 2.0], np.float32)
    out = np.full((2, 3), np.nan, np.float32)
    matmul(np.empty((2, 0), np.float32), np.empty((0, 3), np.float32), out, bias, code)
    np.testing.assert_allclose(out, np.tile(ACTIVATIONS[code](bias), (2, 1)), rtol=1e-6)


def test_non_finite_numbers_reach_only_their_row_and_column() -> None:
    a, b = np.ones((9, 6), np.float32), np.ones((6, 21), np.float32)
    a[2, 1], b[5, 3] = np.nan, np.inf
    out = np.empty((9, 21), np.float32)
    matmul(a, b, out)
    expected = np.full((9, 21), 6, np.float32)
    expected[:, 3], expected[2] = np.inf, np.nan
    np.testing.assert_array_equal(out, expected)


@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_batched_product(data: st.DataObject) -> None:
    batch = data.draw(st.integers(0, 4))
    rows, inner, columns = (data.draw(st.integers(0, 20)) for _ in range(3))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    sizes = st.sampled_from(["whole", "one", "repeated"])

    def operand(shape: tuple[int, int], kind: str) -> Any:
        x = rng.standard_normal((batch if kind == "whole" else 1, *shape)).astype(np.float32)
        x = laid_out(x, data.draw(st.sampled_from(LAYOUTS)))
        return np.broadcast_to(x, (batch, *shape)) if kind == "repeated" else x

    a, b = operand((rows, inner), data.draw(sizes)), operand((inner, columns), data.draw(sizes))
    out = np.full((batch, rows, columns), np.nan, np.float32)
    batched_matmul(a, b, out)
    expected = np.broadcast_to(a.astype(np.float64) @ b.astype(np.float64), out.shape)
    assert (np.abs(out - expected) <= np.broadcast_to(error_bound(a, b), out.shape)).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 3, 4), (1, 1, 1), (37, 21, 10), (64, 50, 33)])
@pytest.mark.parametrize("stored_out_in", [False, True])
def test_gradients_of_weight_and_bias(dtype: Any, shape: tuple[int, int, int], stored_out_in: bool) -> None:
    rows, inputs, outputs = shape
    rng = np.random.default_rng(3)
    x, grad = rng.standard_normal((rows, inputs)).astype(dtype), rng.standard_normal((rows, outputs)).astype(dtype)
    weight_grad = np.empty((outputs, inputs), dtype).T if stored_out_in else np.empty((inputs, outputs), dtype)
    bias_grad = np.empty(outputs, dtype)
    weight_and_bias_gradient(x, grad, weight_grad, bias_grad)
    tolerance = (rows + 1) * np.finfo(dtype).eps
    exact_x, exact_grad = x.astype(np.float64), grad.astype(np.float64)
    assert (np.abs(weight_grad - exact_x.T @ exact_grad) <= tolerance * (np.abs(exact_x).T @ np.abs(exact_grad))).all()
    assert (np.abs(bias_grad - exact_grad.sum(0)) <= tolerance * np.abs(exact_grad).sum(0)).all()
    again = np.empty_like(weight_grad)
    weight_and_bias_gradient(x, grad, again, None)
    assert again.tobytes() == weight_grad.tobytes()


WRONG_SHAPES = [
    ((2, 3), (4, 5), (2, 5)),
    ((2, 3), (3, 5), (5, 2)),
    ((3,), (3, 5), (5,)),
    ((1, 2, 3), (3, 5), (2, 5)),
]


@pytest.mark.parametrize(("a", "b", "out"), WRONG_SHAPES)
def test_shapes_that_do_not_fit(a: Any, b: Any, out: Any) -> None:
    with pytest.raises(ShapeError, match="matmul: got"):
        matmul(np.ones(a), np.ones(b), np.ones(out))


@pytest.mark.parametrize(
    ("a", "b", "out"),
    [
        ((2, 3, 4), (3, 4, 5), (3, 3, 5)),
        ((2, 3, 4), (2, 4, 5), (1, 3, 5)),
        ((2, 3, 4), (2, 5, 4), (2, 3, 4)),
        ((3, 4), (2, 4, 5), (2, 3, 5)),
        ((2, 3, 4), (2, 4, 5), (3, 5)),
    ],
)
def test_batches_that_do_not_fit(a: Any, b: Any, out: Any) -> None:
    with pytest.raises(ShapeError, match="batched_matmul: got"):
        batched_matmul(np.ones(a), np.ones(b), np.ones(out))


def test_wrong_bias_gradient_dtype_and_activation() -> None:
    a, b, out = np.ones((2, 3)), np.ones((3, 4)), np.ones((2, 4))
    with pytest.raises(ShapeError, match="bias"):
        matmul(a, b, out, np.ones(3))
    with pytest.raises(DtypeError, match="float32"):
        matmul(a, b, out, np.ones(4, np.float32))
    with pytest.raises(DtypeError, match="float32"):
        matmul(a.astype(np.float32), b, out)
    with pytest.raises(DtypeError, match="int64"):
        matmul(np.ones((2, 3), np.int64), np.ones((3, 4), np.int64), np.ones((2, 4), np.int64))
    with pytest.raises(ArgumentError, match="activation code 4"):
        matmul(a, b, out, activation=4)
    with pytest.raises(ShapeError, match="bias_grad"):
        weight_and_bias_gradient(a, out, np.ones((3, 4)), np.ones(3))


def digest() -> str:
    """Hash of large products of every kind, enough work for several threads."""
    rng = np.random.default_rng(4)
    found = hashlib.sha256()
    for dtype in DTYPES:
        a, b = rng.standard_normal((230, 99)).astype(dtype), rng.standard_normal((99, 530)).astype(dtype)
        bias, out = rng.standard_normal(530).astype(dtype), np.empty((230, 530), dtype)
        for left in (a, laid_out(a, "transposed")):
            for right in (b, laid_out(b, "transposed")):
                matmul(left, right, out, bias, TANH)
                found.update(out.tobytes())
        stack, many = np.stack([a, 2 * a, -a]), np.empty((3, 230, 530), dtype)
        batched_matmul(stack, b[None], many)
        found.update(many.tobytes())
    return found.hexdigest()


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_matmul as tests\n"
        "from tinygrad_mlp.kernels.threads import set_num_threads\n"
        "for threads in (1, 2, 4):\n"
        "    set_num_threads(threads)\n"
        "    print(tests.digest())"
    )
    environment = {**os.environ, "NUMBA_NUM_THREADS": "4"}
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert result.stdout.split() == [digest()] * 3


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        (NONE, [np.nan, np.inf, -np.inf]),
        (RELU, [np.nan, np.inf, 0]),
        (TANH, [np.nan, 1, -1]),
        (SIGMOID, [np.nan, 1, 0]),
    ],
)
def test_fused_activation_of_nan_and_infinities(activation: int, expected: list[float], dtype: Any) -> None:
    a, b = np.array([[np.nan], [np.inf], [-np.inf]], dtype), np.ones((1, 40), dtype)
    out = np.empty((3, 40), dtype)
    matmul(a, b, out, activation=activation)
    np.testing.assert_array_equal(out, np.repeat(np.array(expected, dtype)[:, None], 40, 1))
