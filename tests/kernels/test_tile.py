"""The multiply-add tile: every edge, nothing touched outside, and the vectors of other CPUs."""

import ctypes
import mmap
import os
import platform
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_mlp.kernels.approx import NONE, RELU
from tinygrad_mlp.kernels.launch import Array, kernel, launch
from tinygrad_mlp.kernels.matmul import batched_matmul, matmul, matmul_tiles, weight_and_bias_gradient
from tinygrad_mlp.kernels.simd import TARGET, Target, target_of
from tinygrad_mlp.kernels.tile import MAX_VECTORS, VECTOR_BYTES, WIDE_VECTORS, multiply_add_rows
from tinygrad_mlp.kernels.turned_tile import transpose_square

DTYPES = [np.float32, np.float64]
EDGES = range(71)
# NaN that stands on either side of every array: what is written outside shows there, what is read and used shows in the
# result. (Reads of no consequence: see the guard pages below.)
ZONE = 600
# What is sampled beside a dimension that goes through 0 to 70.
SOME_ROWS, SOME_TERMS, SOME_COLUMNS = (1, 2, 8, 13), (0, 1, 9), (3, 16, 50, 67)


@kernel(writes=("out",))
def tile_test_rows(
    vectors: int,
    rows: int,
    k_size: int,
    a: Array,
    a_at: int,
    a_row: int,
    a_step: int,
    b: Array,
    b_at: int,
    b_step: int,
    bias: Array,
    bias_at: int,
    has_bias: bool,
    floor: float,
    out: Array,
    out_at: int,
    out_row: int,
    continued: bool,
    columns: int,
) -> None:
    multiply_add_rows(
        vectors,
        rows,
        k_size,
        a,
        a_at,
        a_row,
        a_step,
        b,
        b_at,
        b_step,
        bias,
        bias_at,
        has_bias,
        out.dtype.type(floor),
        out,
        out_at,
        out_row,
        continued,
        columns,
    )


@kernel(writes=("target",))
def tile_test_transpose(
    source: Array,
    source_at: int,
    source_row: int,
    target: Array,
    target_at: int,
    target_row: int,
    present: int,
    columns: int,
) -> None:
    transpose_square(source, source_at, source_row, target, target_at, target_row, present, columns)


def in_red_zone(x: Any) -> tuple[Any, Any]:
    """A copy of x in the middle of NaN, and all of that memory."""
    memory = np.full(x.size + 2 * ZONE, np.nan, x.dtype)
    inner = memory[ZONE : ZONE + x.size].reshape(x.shape)
    inner[...] = x
    return inner, memory


def is_untouched(memory: Any) -> bool:
    return bool(np.isnan(memory[:ZONE]).all() and np.isnan(memory[-ZONE:]).all())


def whole_numbers(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    """Small integers: their products and sums are exact in any order."""
    return rng.integers(-8, 9, shape).astype(dtype)


def check_in_red_zones(rows: int, terms: int, columns: int, dtype: Any) -> None:
    """Products of all layouts with memory around every array that must not be read or written."""
    rng = np.random.default_rng([rows, terms, columns])
    a, b = whole_numbers(rng, (rows, terms), dtype), whole_numbers(rng, (terms, columns), dtype)
    bias = whole_numbers(rng, (columns,), dtype)
    product = a.astype(np.float64) @ b.astype(np.float64)
    for a_transposed in (False, True):
        for b_transposed in (False, True):
            left, left_memory = in_red_zone(a.T if a_transposed else a)
            right, right_memory = in_red_zone(b.T if b_transposed else b)
            shift, shift_memory = in_red_zone(bias)
            out, memory = in_red_zone(np.full((rows, columns), np.nan, dtype))
            left, right = left.T if a_transposed else left, right.T if b_transposed else right
            matmul(left, right, out, shift, RELU)
            np.testing.assert_array_equal(out, np.maximum(product + bias, 0))
            matmul(left, right, out)
            np.testing.assert_array_equal(out, product)
            assert all(map(is_untouched, (memory, left_memory, right_memory, shift_memory)))
    x, x_memory = in_red_zone(a.T)  # (terms, rows): the gradient of a layer with `terms` samples
    grad, grad_memory = in_red_zone(b)
    weight_grad, weight_memory = in_red_zone(np.full((rows, columns), np.nan, dtype))
    bias_grad, bias_memory = in_red_zone(np.full(columns, np.nan, dtype))
    weight_and_bias_gradient(x, grad, weight_grad, bias_grad)
    np.testing.assert_array_equal(weight_grad, product)
    np.testing.assert_array_equal(bias_grad, b.astype(np.float64).sum(0))
    assert all(map(is_untouched, (x_memory, grad_memory, weight_memory, bias_memory)))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_of_rows(dtype: Any) -> None:
    for rows in EDGES:
        for terms, columns in zip(SOME_TERMS, SOME_COLUMNS[1:], strict=True):
            check_in_red_zones(rows, terms, columns, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_of_terms(dtype: Any) -> None:
    for terms in EDGES:
        for rows, columns in zip(SOME_ROWS, SOME_COLUMNS, strict=True):
            check_in_red_zones(rows, terms, columns, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_number_of_columns(dtype: Any) -> None:
    for columns in EDGES:
        for rows, terms in ((1, 5), (9, 18), (16, 1)):
            check_in_red_zones(rows, terms, columns, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@given(data=st.data())
def test_any_strides_are_read_in_place(dtype: Any, data: st.DataObject) -> None:
    """Operands cut out of larger arrays that hold NaN elsewhere; backwards and repeated ones too."""
    size, step = st.integers(1, 40), st.sampled_from([1, 2, 3, -1])
    rows, terms, columns = data.draw(size), data.draw(size), data.draw(size)
    rng = np.random.default_rng(rows * columns)

    def cut_out(shape: tuple[int, int]) -> Any:
        steps = data.draw(step), data.draw(step)
        wide = np.full([abs(s) * n + 3 for s, n in zip(steps, shape, strict=True)], np.nan, dtype)
        wide = wide.T.copy().T if data.draw(st.booleans()) else wide
        window = wide[
            1 : 1 + abs(steps[0]) * shape[0] : abs(steps[0]), 2 : 2 + abs(steps[1]) * shape[1] : abs(steps[1])
        ]
        window[...] = whole_numbers(rng, shape, dtype)
        window = window[:: 1 if steps[0] > 0 else -1, :: 1 if steps[1] > 0 else -1]
        return np.broadcast_to(window[:1], shape) if data.draw(st.booleans()) else window

    a, b, out = cut_out((rows, terms)), cut_out((terms, columns)), np.full((rows, columns), np.nan, dtype)
    matmul(a, b, out)
    np.testing.assert_array_equal(out, a.astype(np.float64) @ b.astype(np.float64))
    batch = np.full((2, rows, columns), np.nan, dtype)
    batched_matmul(np.stack([a, a])[:, ::-1], b[None], batch)
    np.testing.assert_array_equal(batch, [out[::-1], out[::-1]])


def test_strided_operands_are_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reaches the kernel is the memory of the operands, from their first element to their last."""
    seen: list[Any] = []
    monkeypatch.setattr("tinygrad_mlp.kernels.matmul.launch", lambda kernel, *args, **options: seen.extend(args))
    wide = np.ones((30, 20), np.float32)
    a, b = wide[2:10, 3:8], wide[1:6, 4:19]
    matmul(a, b, np.empty((8, 15), np.float32))
    for array, stored in ((a, seen[4]), (b, seen[8])):
        assert stored.ctypes.data == array.ctypes.data
        assert stored.size == (array.shape[0] - 1) * 20 + array.shape[1]
    assert matmul_tiles.parallel  # the arguments above are its


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("vectors", range(1, MAX_VECTORS + 1))
def test_rows_of_a_panel(vectors: int, dtype: Any) -> None:
    """The device function itself: strides, offsets, floor and every number of columns that its vectors hold."""
    side = VECTOR_BYTES // np.dtype(dtype).itemsize
    rng = np.random.default_rng(vectors)
    for columns in range((vectors - 1) * side + 1, vectors * side + 1):
        for rows in (1, 5, 17):
            a, b = whole_numbers(rng, (7, rows), dtype), whole_numbers(rng, (7, columns + 2), dtype)
            bias = whole_numbers(rng, (columns + 1,), dtype)
            out = np.full((rows, columns + 3), np.nan, dtype)
            arguments: list[Any] = [vectors, rows, 7, a.reshape(-1), 0, 1, rows, b.reshape(-1), 1, columns + 2]
            arguments += [bias, 1, True, -5.0, out.reshape(-1), 2, columns + 3, False, columns]
            launch(tile_test_rows, *arguments)
            expected = np.maximum(a.T.astype(np.float64) @ b[:, 1:-1] + bias[1:], -5)
            np.testing.assert_array_equal(out[:, 2:-1], expected)
            arguments[12:14], arguments[17] = (False, -np.inf), True
            launch(tile_test_rows, *arguments)  # again, from what stands there, without the bias
            np.testing.assert_array_equal(out[:, 2:-1], expected + a.T.astype(np.float64) @ b[:, 1:-1])
            assert np.isnan(out[:, :2]).all()
            assert np.isnan(out[:, -1]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_single_row_of_wide_tiles(dtype: Any) -> None:
    side = VECTOR_BYTES // np.dtype(dtype).itemsize
    for columns in range(1, 3 * WIDE_VECTORS * side + 2):
        check_in_red_zones(1, 3, columns, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
def test_floor_keeps_nan_and_infinity(dtype: Any) -> None:
    a = np.array([[np.nan], [np.inf], [-np.inf], [-1]], dtype)
    out = np.empty((4, 1), dtype)
    matmul(a, np.ones((1, 1), dtype), out, np.zeros(1, dtype), RELU)
    np.testing.assert_array_equal(out, [[np.nan], [np.inf], [0], [0]])
    matmul(a, np.ones((1, 1), dtype), out, np.zeros(1, dtype), NONE)
    np.testing.assert_array_equal(out, a)


@pytest.mark.parametrize("dtype", DTYPES)
def test_transposed_squares(dtype: Any) -> None:
    side = VECTOR_BYTES // np.dtype(dtype).itemsize
    for present in range(1, side + 1):
        for columns in range(1, side + 1):
            source, _ = in_red_zone(np.arange(present * columns, dtype=dtype).reshape(present, columns))
            target, memory = in_red_zone(np.full((side, side + 1), np.nan, dtype))
            launch(
                tile_test_transpose, source.reshape(-1), 0, columns, target.reshape(-1), 0, side + 1, present, columns
            )
            np.testing.assert_array_equal(target[:columns, :present], source.T)
            assert not np.isnan(target[:, :side]).any()  # the rest repeats rows, and holds zeros: nothing from outside
            assert is_untouched(memory)
            assert np.isnan(target[:, side]).all()


X86, ARM = "x86_64-unknown-linux-gnu", "aarch64-apple-darwin"


@pytest.mark.parametrize(
    ("triple", "features", "expected"),
    [
        (X86, "+avx,+avx2,+avx512f,+sse2", Target(64, 32, True)),
        (X86, "+avx,+avx2,-avx512f,+sse2", Target(32, 16, True)),
        (X86, "-avx2,+sse2", Target(16, 16, False)),
        (X86, "", Target(16, 16, False)),
        (ARM, "+neon", Target(16, 32, False)),
        ("arm64-apple-darwin", "+neon", Target(16, 32, False)),
    ],
)
def test_vectors_of_a_cpu(triple: str, features: str, expected: Target) -> None:
    assert target_of(triple, features) == expected


def test_vectors_are_those_of_the_target_that_numba_compiles_for() -> None:
    triple, _, features = numba.core.registry.cpu_target.target_context.codegen().magic_tuple()  # type: ignore[attr-defined]
    assert target_of(triple, features) == TARGET


def guarded(x: Any, at_end: bool) -> Any:
    """A copy of x with a page beside it of which any touch ends the process: behind it, or in front of it."""
    page = mmap.PAGESIZE
    room = -(-max(x.nbytes, 1) // page) * page
    memory = mmap.mmap(-1, room + 2 * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    mprotect = ctypes.CDLL(None, use_errno=True).mprotect
    for offset in (0, page + room):
        if mprotect(ctypes.c_void_p(start + offset), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    copy = np.frombuffer(memory, x.dtype, x.size, page + (room - x.nbytes if at_end else 0)).reshape(x.shape)
    copy[...] = x
    return copy


def check_between_guards(rows: int, terms: int, columns: int, dtype: Any) -> None:
    rng = np.random.default_rng([rows, terms, columns])
    a, b = whole_numbers(rng, (rows, terms), dtype), whole_numbers(rng, (terms, columns), dtype)
    bias, product = whole_numbers(rng, (columns,), dtype), a.astype(np.float64) @ b
    for at_end in (False, True):
        here = partial(guarded, at_end=at_end)
        out, weight_grad, bias_grad = (
            here(np.zeros_like(product, dtype)),
            here(np.zeros_like(product, dtype)),
            here(bias),
        )
        for left in (here(a), here(a.T).T):
            for right in (here(b), here(b.T).T):
                matmul(left, right, out, here(bias))
                np.testing.assert_array_equal(out, product + bias)
        weight_and_bias_gradient(here(a.T), here(b), weight_grad, bias_grad)
        np.testing.assert_array_equal(weight_grad, product)
        np.testing.assert_array_equal(bias_grad, b.astype(np.float64).sum(0))


GUARDED_SHAPES = (
    *((1, 2, 3), (9, 1, 7), (13, 17, 5), (8, 9, 50), (7, 33, 21), (17, 16, 16), (3, 5, 33), (2, 40, 1)),
    *((17, 33, 18), (16, 16, 20), (40, 50, 17), (21, 7, 35)),  # columns that are computed the other way round
)

# For each CPU the features to add to its name and the vectors that follow. The first is the target of this process.
CPUS = {
    "": ("", TARGET),
    "generic": ("", Target(16, 16, False)),
    "haswell": ("+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+popcnt,+sse4.2,-avx512f", Target(32, 16, True)),
}


@pytest.mark.skipif(sys.platform != "linux", reason="makes pages that must not be touched as Linux does")
@pytest.mark.parametrize("cpu", CPUS)
def test_nothing_outside_is_touched_for_any_cpu(cpu: str) -> None:
    """Compiled for narrower vectors too; in processes of their own, which a touch of a guard page would end."""
    if cpu == "haswell" and " avx2 " not in Path("/proc/cpuinfo").read_text():
        pytest.skip("this CPU has no AVX2")
    if cpu and platform.machine() != "x86_64":
        pytest.skip("a CPU of another kind")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import test_tile as tests\n"
        "print(*tests.TARGET)\n"
        "for dtype in tests.DTYPES:\n"
        "    for shape in tests.GUARDED_SHAPES:\n"
        "        tests.check_between_guards(*shape, dtype)\n"
    )
    features, expected = CPUS[cpu]
    environment = {**os.environ, "NUMBA_CPU_NAME": cpu, "NUMBA_CPU_FEATURES": features} if cpu else dict(os.environ)
    command = [sys.executable, "-c", code, str(Path(__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == [str(field) for field in expected]
