"""Matrix products with a fused bias and activation, and the gradients of a linear layer.

One kernel serves them all. It cuts the columns of the product into panels of one to three vectors and its rows into
chunks, which threads share, and computes a chunk of a panel with the multiply-add tile (see `tile`). The tile reads `a`
in any memory order, but of `b` it loads vectors: a `b` that is stored transposed is first packed, which means copied
panel by panel in the order in which it is read.

Every output element is one chain of fused multiply-adds over k in rising order, started at zero. So its bits depend
neither on panels nor on threads nor on the memory order of the operands.
"""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.approx import NONE, RELU, SIGMOID, activate
from tinygrad_mlp.kernels.launch import Array, device, kernel, launch, prange
from tinygrad_mlp.kernels.tile import MAX_VECTORS, VECTOR_BYTES, multiply_add_rows, multiply_add_tile, transpose_square

__all__ = ["batched_matmul", "matmul", "matmul_tiles", "weight_and_bias_gradient"]

# Rows are cut into chunks for threads to share: 4 for each 256 rows, so of at most 64 rows, whose part of `a` stays in
# the cache from panel to panel; of a multiple of 8, the height of a tile. The cuts depend on the number of rows alone.
_CHUNKS, _GROUP_ROWS, _TILE_ROWS = 4, 256, 8
# Threads pay from four times the work on that other kernels need: the tile is that much faster than a loop.
_WORK = 4

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
    """The sums of the columns of x (rows, out.size): the product of a row of ones with it, a vector at a time."""
    side = VECTOR_BYTES // x.itemsize
    one = np.ones(1, x.dtype)
    for column in range(0, out.size, side):
        first = max(min(column, out.size - side), 0)
        width = min(side, out.size)
        no_floor = out.dtype.type(-np.inf)
        # fmt: off
        multiply_add_tile(1, 1, rows, one, 0, 0, 0, x, first, x_row, one[:0], 0, no_floor, out, first, 0, 1, width)
        # fmt: on


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

    Arrays are 1-d. The strides of a and b from item to item, row to row, k to k and column to column count elements;
    of b, b_column or b_step is 1. `bias` may be empty, and so may `b_sums`, which else gets the sums of the columns of
    b: that is for a batch of one with b_column = 1.
    """
    side = VECTOR_BYTES // out.itemsize
    vectors = (columns + side - 1) // side
    panels = (vectors + MAX_VECTORS - 1) // MAX_VECTORS
    source = b
    k_room = 0  # rows in a packed panel
    if b_column != 1:
        k_room = (k_size + side - 1) // side * side
        room = k_room * vectors * side
        items = batch if b_item else 1
        source = np.empty(items * room, b.dtype)
        for task in range(items * panels):
            item, panel = task // panels, task % panels
            first, last = panel * vectors // panels * side, min((panel + 1) * vectors // panels * side, columns)
            at = item * room + first * k_room
            _pack_panel(b, item * b_item + first * b_column, b_column, k_size, last - first, source, at)
        b_item = room if b_item else 0
    if b_sums.size:
        _sum_rows(b, b_step, k_size, b_sums)

    floor = out.dtype.type(0) if activation == RELU else out.dtype.type(-np.inf)
    wanted = (rows + _GROUP_ROWS - 1) // _GROUP_ROWS * _CHUNKS
    chunk_rows = (rows + wanted * _TILE_ROWS - 1) // (wanted * _TILE_ROWS) * _TILE_ROWS
    chunks = (rows + chunk_rows - 1) // chunk_rows
    for task in prange(batch * chunks):
        item, row = task // chunks, task % chunks * chunk_rows
        present = min(chunk_rows, rows - row)
        a_at, out_at = item * a_item + row * a_row, (item * rows + row) * columns
        for panel in range(panels):
            first, last = panel * vectors // panels, (panel + 1) * vectors // panels
            column = first * side
            width = min(last * side, columns) - column
            b_at = item * b_item + column * (k_room if k_room else 1)
            step = (last - first) * side if k_room else b_step
            # fmt: off
            multiply_add_rows(
                last - first, present, k_size, a, a_at, a_row, a_step, source, b_at, step, bias, column, floor,
                out, out_at + column, columns, width,
            )
            # fmt: on
        if activation > RELU:
            for i in range(out_at, out_at + present * columns):
                out[i] = activate(out[i], activation)


def _in_memory(x: Array) -> tuple[Array, int, int, int]:
    """An operand ([B,] M, N) as memory, 1-d, and its strides in elements: from item to item (0 if one), row, column.

    It is copied only if a stride is negative or not a number of elements.
    """
    rows, columns = x.shape[-2:]
    flags = x.flags
    if flags.c_contiguous:
        return x.reshape(-1), rows * columns if x.ndim == 3 and len(x) > 1 else 0, columns, 1
    if x.ndim == 2:
        if flags.f_contiguous:
            return x.T.reshape(-1), 0, 1, rows
        x = x[None]
    if x.size == 0 or any(stride < 0 or stride % x.itemsize for stride in x.strides):
        x = x.copy(order="C")
    item, row, column = (
        stride // x.itemsize if size > 1 else default
        for size, stride, default in zip(x.shape, x.strides, (0, columns, 1), strict=True)
    )
    reach = 1 + (x.shape[0] - 1) * item + (rows - 1) * row + (columns - 1) * column if x.size else 0
    return as_strided(x, (reach,), (x.itemsize,)), item, row, column


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
    _check("matmul", out, a, b)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0] or out.shape != (a.shape[0], b.shape[1]):
        raise ShapeError(f"matmul: got {a.shape} @ {b.shape} into {out.shape}; expected (M, K) @ (K, N) into (M, N)")
    if not NONE <= activation <= SIGMOID:
        raise ArgumentError(f"matmul: got activation code {activation}, expected {NONE} to {SIGMOID}")
    if bias is None:
        if not out.flags.c_contiguous and out.flags.f_contiguous:
            a, b, out = b.T, a.T, out.T  # (a @ b).T = b.T @ a.T
        bias = _NOTHING[out.dtype]
    else:
        _check("matmul", out, bias)
        if bias.shape != (out.shape[1],):
            raise ShapeError(f"matmul: got bias {bias.shape} for output {out.shape}; expected ({out.shape[1]},)")
    _launch(a, b, bias, activation, out, _NOTHING[out.dtype])


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
    batch = out.shape[0] if out.ndim == 3 else 1
    rows, columns = out.shape[-2:]
    k_size = a.shape[-1]
    a, a_item, a_row, a_step = _in_memory(a)
    memory, b_item, b_step, b_column = _in_memory(b)
    if 1 not in (b_step, b_column):
        memory, b_item, b_step, b_column = _in_memory(b.copy(order="C"))
    out = out.reshape(-1)
    # fmt: off
    launch(
        matmul_tiles, batch, rows, k_size, columns, a, a_item, a_row, a_step, memory, b_item, b_step, b_column,
        bias, activation, out, b_sums, work=out.size * k_size // _WORK,
    )
    # fmt: on
