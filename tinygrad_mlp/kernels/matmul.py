"""Matrix products with a fused bias and activation, and the gradients of a linear layer.

One kernel serves them all. It cuts the columns of the product into panels of one to three vectors (eight for a single
row) and its rows into chunks, which threads share, and computes a chunk of a panel with the multiply-add tile (see
`tile`), for long sums a block of terms at a time. The tile reads `a` in any memory order, but of `b` it loads vectors:
a `b` that is stored transposed is first packed, which means copied panel by panel in the order in which it is read.

Every output element is one chain of fused multiply-adds over k in rising order, started at zero. So its bits depend
neither on panels nor on blocks nor on threads nor on the memory order of the operands.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.approx import NONE, RELU, SIGMOID, TANH, sigmoid, tanh
from tinygrad_mlp.kernels.copy import copy
from tinygrad_mlp.kernels.launch import Array, device, kernel, launch, prange
from tinygrad_mlp.kernels.tile import (
    MAX_VECTORS,
    VECTOR_BYTES,
    WIDE_VECTORS,
    add_products,
    multiply_add_rows,
    multiply_add_tile,
)
from tinygrad_mlp.kernels.turned_tile import MAX_TURNED, add_products_turned, transpose_square

__all__ = ["activate", "batched_matmul", "matmul", "matmul_tiles", "weight_and_bias_gradient"]

# A product is cut into tasks for threads to share, by its shape alone: into chunks of at most 64 rows, whose part of
# `a` stays in the cache from panel to panel; of a multiple of 8, the height of a tile; at least into 4 where threads
# could pay. But few rows and a `b` that the cache of a core does not keep are cut into 4 groups of panels instead, so
# that b is read once.
_CHUNKS, _CHUNK_ROWS, _TILE_ROWS = 4, 64, 8
_NEAR_BYTES, _SHARED_WORK = 512 * 1024, 1_000_000
# Of long sums, as many terms are added at a time: the parts of `a` and of a panel that they need stay in the cache.
_K_BLOCK = 512
# Columns that fill at most this part of a vector are computed the other way round.
_NARROW = 4
_WORK = 16  # multiply-adds that take as long as one element of other kernels

_NOTHING = {np.dtype(dtype): np.empty(0, dtype) for dtype in (np.float32, np.float64)}


@device
def _pack_panel(b: Array, b_at: int, b_column: int, k_size: int, columns: int, packed: Array, at: int) -> None:
    """Copy `columns` columns of b, contiguous and b_column apart, to rows of `packed`; both sizes are rounded up."""
    side = VECTOR_BYTES // b.itemsize
    width = (columns + side - 1) // side * side
    for c in range(0, columns, side):
        for k in range(0, k_size, side):
            here, there = b_at + c * b_column + k, at + k * width + c
            transpose_square(b, here, b_column, packed, there, width, min(side, columns - c), min(side, k_size - k))


@device
def _sum_rows(x: Array, x_row: int, rows: int, out: Array) -> None:
    """The sums of the columns of x (rows, out.size): the product of a row of ones with it."""
    side = VECTOR_BYTES // x.itemsize
    one, no_floor = np.ones(1, x.dtype), out.dtype.type(-np.inf)
    column = 0
    # fmt: off
    while column < out.size:
        width = min(WIDE_VECTORS * side, out.size - column)
        if width > MAX_VECTORS * side:
            multiply_add_tile(1, WIDE_VECTORS, rows, one, 0, 0, 0, x, column, x_row, one, 0, False, no_floor,
                              out, column, 0, False, 1, width)
        else:
            width = min(width, side)
            multiply_add_tile(1, 1, rows, one, 0, 0, 0, x, column, x_row, one, 0, False, no_floor,
                              out, column, 0, False, 1, width)
        column += width
    # fmt: on


@device
def activate(values: Array, activation: int) -> None:
    """Apply TANH or SIGMOID; a loop for each, as the choice inside of one would keep it from being vector code."""
    if activation == TANH:
        for i in range(values.size):
            values[i] = tanh(values[i])
    else:
        for i in range(values.size):
            values[i] = sigmoid(values[i])


@kernel(writes=("out", "b_sums"), parallel=True)
def matmul_tiles(
    batch: int,
    rows: int,
    k_size: int,
    columns: int,
    a: Array,
    a_item: int,
    a_row: int,
    a_step: int,
    b: Array,
    b_item: int,
    b_step: int,
    b_column: int,
    bias: Array,
    activation: int,
    out: Array,
    b_sums: Array,
) -> None:
    """Out (batch, rows, columns) = activation(a (batch, rows, k_size) @ b (batch, k_size, columns) + bias (columns,)).

    a, b and out are 2-d, of any shape: their memory counts. The strides of a and b from item to item, row to row, k to
    k and column to column count elements; of b, b_column or b_step is 1. `bias` may be empty, and so may `b_sums`,
    which else gets the sums of the columns of b: that is for a batch of one with b_column = 1.
    """
    a, b, out = a.reshape(-1), b.reshape(-1), out.reshape(-1)
    side = VECTOR_BYTES // out.itemsize
    # Of 50 columns the last two would take a vector, a quarter of the work. Such columns are computed the other way
    # round: rows of `a` fill the vectors, as they lie (in the gradient of a weight) or transposed in registers.
    narrow = columns % side
    lies_well = b_column == 1 and (a_row == 1 or a_step == 1)
    if not lies_well or rows < side or columns < side or narrow > min(side // _NARROW, MAX_TURNED):
        narrow = 0
    wide_columns = columns - narrow
    vectors = (wide_columns + side - 1) // side
    wide = WIDE_VECTORS if rows == 1 else MAX_VECTORS
    panels = (vectors + wide - 1) // wide
    source = b
    k_room = 0  # rows in a packed panel
    # Few rows use a panel once: each task then packs it where it is used, in the cache.
    packs_late = b_column != 1 and rows <= _CHUNK_ROWS and (b_item > 0 or batch == 1)
    if b_column != 1 and not packs_late:
        k_room = (k_size + side - 1) // side * side
        room = k_room * vectors * side
        items = batch if b_item else 1
        source = np.empty(items * room, b.dtype)
        for task in prange(items * panels):
            item, panel = task // panels, task % panels
            first, last = panel * vectors // panels * side, min((panel + 1) * vectors // panels * side, columns)
            at = item * room + first * k_room
            _pack_panel(b, item * b_item + first * b_column, b_column, k_size, last - first, source, at)
        b_item = room if b_item else 0
    if b_sums.size:
        _sum_rows(b, b_step, k_size, b_sums)

    floor = out.dtype.type(0) if activation == RELU else out.dtype.type(-np.inf)
    chunks, groups = 1, 1
    if rows >= _CHUNKS * _CHUNK_ROWS or k_size * columns * out.itemsize <= _NEAR_BYTES:
        least = _CHUNKS if rows * k_size * columns >= _SHARED_WORK else 1
        chunks = max((rows + _CHUNK_ROWS - 1) // _CHUNK_ROWS, least)
    else:
        chunks = (rows + _CHUNK_ROWS - 1) // _CHUNK_ROWS
        groups = min(panels, _CHUNKS)
    if chunks > _CHUNKS:  # of 13 chunks, one of two threads would wait for the other's seventh
        chunks = (chunks + _CHUNKS - 1) // _CHUNKS * _CHUNKS
    chunk_rows = (rows + chunks * _TILE_ROWS - 1) // (chunks * _TILE_ROWS) * _TILE_ROWS
    chunks = (rows + chunk_rows - 1) // chunk_rows
    for task in prange(batch * chunks * groups):
        item, row, group = task // (chunks * groups), task // groups % chunks * chunk_rows, task % groups
        present = min(chunk_rows, rows - row)
        a_at, out_at = item * a_item + row * a_row, (item * rows + row) * columns
        first_panel, last_panel = group * panels // groups, (group + 1) * panels // groups
        late = np.empty((min(k_size, _K_BLOCK) + side) * wide * side if packs_late else 0, b.dtype)
        turned = np.empty(narrow * present, out.dtype)
        for k in range(0, max(k_size, 1), _K_BLOCK):
            terms, is_last = min(_K_BLOCK, k_size - k), k + _K_BLOCK >= k_size
            lowest = floor if is_last else out.dtype.type(-np.inf)
            has_bias = is_last and bias.size > 0
            for panel in range(first_panel, last_panel):
                first, last = panel * vectors // panels, (panel + 1) * vectors // panels
                column = first * side
                width = min(last * side, wide_columns) - column
                step = (last - first) * side if b_column != 1 else b_step
                panel_source, b_at = source, item * b_item + column * (k_room if k_room else 1) + k * step
                if packs_late:
                    _pack_panel(b, item * b_item + column * b_column + k, b_column, terms, width, late, 0)
                    panel_source, b_at = late, 0
                # fmt: off
                multiply_add_rows(
                    last - first, present, terms, a, a_at + k * a_step, a_row, a_step, panel_source, b_at, step,
                    bias, column, has_bias, lowest, out, out_at + column, columns, k > 0, width,
                )
                # fmt: on
            if narrow and group == groups - 1:
                a_from, b_from = a_at + k * a_step, item * b_item + wide_columns + k * b_step
                # fmt: off
                if a_row == 1:
                    add_products(narrow, terms, b, b_from, 1, b_step, a, a_from, a_step, turned, 0, present, k > 0)
                else:
                    add_products_turned(narrow, terms, a, a_from, a_row, b, b_from, b_step, turned, present, k > 0)
                # fmt: on
        if narrow and group == groups - 1:
            for r in range(present):
                for c in range(wide_columns, columns):
                    value = turned[(c - wide_columns) * present + r]
                    if bias.size:
                        value += bias[c]
                    out[out_at + r * columns + c] = floor if floor > value else value
        if activation > RELU:
            first = first_panel * vectors // panels * side
            last = columns if group == groups - 1 else last_panel * vectors // panels * side
            if groups == 1:  # whole rows: one run of memory
                activate(out[out_at : out_at + present * columns], activation)
            else:
                for r in range(present):
                    activate(out[out_at + r * columns + first : out_at + r * columns + last], activation)


def _in_memory(x: Array) -> tuple[Array, int, int, int]:
    """An operand ([B,] M, N) as contiguous memory, 2-d, and its strides in elements: from item to item, row, column.

    It is copied only if it is read-only, or a stride is negative or not a number of elements. (The stride of one item
    is 0.)
    """
    if x.ndim == 2:
        transposed = x.T
        if transposed.flags.carray:
            return transposed, 0, 1, len(x)
        x = x[None]
    rows, columns = x.shape[-2:]
    if x.size == 0 or any(stride < 0 or stride % x.itemsize for stride in x.strides):
        x = _copied(x)
    item, row, column = (
        stride // x.itemsize if size > 1 else default
        for size, stride, default in zip(x.shape, x.strides, (0, columns, 1), strict=True)
    )
    reach = 1 + (x.shape[0] - 1) * item + (rows - 1) * row + (columns - 1) * column if x.size else 0
    return as_strided(x, (1, reach), (0, x.itemsize)), item, row, column


def _copied(x: Array) -> Array:
    """A C-contiguous copy, launched, as a replay has to make it anew."""
    out = np.empty(x.shape, x.dtype)
    launch(copy, x, out)
    return out


def _check(name: str, out: Array, *inputs: Array) -> None:
    for array in inputs:
        if array.dtype != out.dtype or out.dtype not in _NOTHING:
            raise DtypeError(
                f"{name}: got {', '.join(str(x.dtype) for x in inputs)} into {out.dtype}; "
                "expected all float32 or all float64: convert with .to() or .astype()"
            )


def matmul(a: Array, b: Array, out: Array, bias: Array | None = None, activation: int = NONE) -> None:
    """Compute out = activation(a @ b + bias).

    Parameters
    ----------
    a, b, out:
        (M, K), (K, N) and (M, N), all float32 or all float64. Inputs may have any strides; `a` is read as it lies, `b`
        too if its rows are contiguous, and else packed. `out` must be contiguous, or a transposed view if there is no
        bias. With K = 0 the product is zero.
    bias:
        (N,), added to each row.
    activation:
        One of NONE, RELU, TANH, SIGMOID of `kernels.approx`.

    Raises
    ------
    ShapeError, DtypeError, ArgumentError (unknown activation)

    Example
    -------
    >>> x, w, out = np.ones((2, 3), np.float32), np.ones((3, 4), np.float32), np.empty((2, 4), np.float32)
    >>> matmul(x, w, out)
    >>> float(out[0, 0])
    3.0
    """
    dtype, a_shape, b_shape = out.dtype, a.shape, b.shape
    if a.dtype is not dtype or b.dtype is not dtype or dtype not in _NOTHING:
        _check("matmul", out, a, b)
    if len(a_shape) != 2 or len(b_shape) != 2 or a_shape[1] != b_shape[0] or out.shape != (a_shape[0], b_shape[1]):
        raise ShapeError(f"matmul: got {a_shape} @ {b_shape} into {out.shape}; expected (M, K) @ (K, N) into (M, N)")
    if not NONE <= activation <= SIGMOID:
        raise ArgumentError(f"matmul: got activation code {activation}, expected {NONE} to {SIGMOID}")
    nothing = _NOTHING[dtype]
    if bias is None:
        bias = nothing
        if not out.flags.c_contiguous and out.flags.f_contiguous:
            a, b, out = b.T, a.T, out.T  # (a @ b).T = b.T @ a.T
    else:
        if bias.dtype is not dtype:
            _check("matmul", out, bias)
        if bias.shape != b_shape[1:]:
            raise ShapeError(f"matmul: got bias {bias.shape} for output {out.shape}; expected {b_shape[1:]}")
    _launch(a, b, bias, activation, out, nothing)


def batched_matmul(a: Array, b: Array, out: Array) -> None:
    """Compute out[i] = a[i] @ b[i] for every i.

    Parameters
    ----------
    a, b, out:
        (B, M, K), (B, K, N) and (B, M, N), all float32 or all float64; a and b may have batch 1, or stride 0 along the
        batch, and any strides besides (see `matmul`). `out` must be contiguous.

    Raises
    ------
    ShapeError, DtypeError
    """
    _check("batched_matmul", out, a, b)
    batch = out.shape[0] if out.ndim == 3 else -1
    fits = a.ndim == b.ndim == 3 and {a.shape[0], b.shape[0]} <= {1, batch} and a.shape[2] == b.shape[1]
    if not fits or out.shape[1:] != (a.shape[1], b.shape[2]):
        raise ShapeError(
            f"batched_matmul: got {a.shape} @ {b.shape} into {out.shape}; "
            "expected (B, M, K) @ (B, K, N) into (B, M, N), with B or 1 in the inputs"
        )
    nothing = _NOTHING[out.dtype]
    _launch(a, b, nothing, NONE, out, nothing)


def weight_and_bias_gradient(x: Array, grad: Array, weight_grad: Array, bias_grad: Array | None) -> None:
    """Gradients of a linear layer y = x @ weight + bias: weight_grad = x.T @ grad, bias_grad = grad summed over rows.

    Parameters
    ----------
    x, grad:
        (M, in) and (M, out), all float32 or all float64.
    weight_grad, bias_grad:
        (in, out), contiguous or transposed, and (out,); without `bias_grad` only the first is computed.

    Raises
    ------
    ShapeError, DtypeError
    """
    if bias_grad is None:
        matmul(x.T, grad, weight_grad)  # (in, M) @ (M, out) -> (in, out)
        return
    _check("weight_and_bias_gradient", weight_grad, x, grad, bias_grad)
    if x.ndim != 2 or weight_grad.shape != (x.shape[1], *bias_grad.shape) or grad.shape != (len(x), *bias_grad.shape):
        raise ShapeError(
            f"weight_and_bias_gradient: got x {x.shape}, grad {grad.shape}, weight_grad {weight_grad.shape}, bias_grad "
            f"{bias_grad.shape}; expected (M, in), (M, out), (in, out), (out,)"
        )
    if weight_grad.flags.c_contiguous and grad.flags.c_contiguous and weight_grad.size:
        _launch(x.T, grad, _NOTHING[grad.dtype], NONE, weight_grad, bias_grad)
    else:
        matmul(x.T, grad, weight_grad)
        matmul(np.ones((1, len(x)), x.dtype), grad, bias_grad[None])  # the same chains of additions


def _launch(a: Array, b: Array, bias: Array, activation: int, out: Array, b_sums: Array) -> None:
    """Run the kernel on ([B,] M, K), ([B,] K, N), (N,), ([B,] M, N), and (N,) for the sums of b's columns, or (0,)."""
    if not out.flags.c_contiguous:
        raise ArgumentError(
            f"matmul: output of shape {out.shape}, strides {out.strides} is not contiguous: pass an array from np.empty"
        )
    if out.size == 0:
        return
    batch = 1
    if out.ndim == 3:
        batch = len(out)
        out = out.reshape(-1, out.shape[2])  # (B, M, N) -> (B M, N)
    rows, columns = out.shape
    rows, k_size = rows // batch, a.shape[-1]
    a_item, a_row, a_step = 0, k_size, 1
    if not (a.flags.carray and a.ndim == 2):
        a, a_item, a_row, a_step = _in_memory(a)
    b_item, b_step, b_column = 0, columns, 1
    if not (b.flags.carray and b.ndim == 2):
        matrix, (b, b_item, b_step, b_column) = b, _in_memory(b)
        if b_column != 1 and b_step != 1:
            b, b_item, b_step, b_column = _in_memory(_copied(matrix))
    # fmt: off
    launch(
        matmul_tiles, batch, rows, k_size, columns, a, a_item, a_row, a_step, b, b_item, b_step, b_column,
        bias, activation, out, b_sums, work=batch * rows * k_size * columns // _WORK,
        multiply_adds=batch * rows * k_size * columns,
    )
    # fmt: on
