"""Matrix products with a fused bias and activation, and the gradients of a linear layer.

One kernel serves them all. The product is cut into blocks of 32 rows and 512 columns; a block is computed four rows at
a time in a small buffer (the tile) that stays in the first-level cache. Each pass over the tile adds four outer
products::

    tile[r, :] += a[r, k] * b[k, :] + … + a[r, k+3] * b[k+3, :]        four rows r, 512 columns

so that 16 multiply-adds stand against 8 loads and 4 stores, and the compiler turns the loop over columns into vector
code. Every output element is one chain of fused multiply-adds over k in rising order, started at zero. So its bits
depend neither on the blocks nor on the threads nor on the memory order of the operands.
"""

from __future__ import annotations

import numpy as np

from tinygrad_mlp.errors import ArgumentError, DtypeError, ShapeError
from tinygrad_mlp.kernels.approx import NONE, SIGMOID, activate
from tinygrad_mlp.kernels.launch import Array, device, kernel, launch, prange
from tinygrad_mlp.kernels.reduce import sum_axes

__all__ = ["batched_matmul", "matmul", "matmul_blocks", "weight_and_bias_gradient"]

_ROWS = 32  # of a block: what one thread takes at a time
_COLUMNS = 512  # of a block: four rows of the tile and four of b are 16 KB in float32
_LANES = 16  # b is copied to rows of a multiple of this many columns, so that vector loops have no remainder
_PACK_FROM = 8  # rows of the product that make such a copy of b worth its time
_ROW1, _ROW2, _ROW3 = np.uint64(_COLUMNS), np.uint64(2 * _COLUMNS), np.uint64(3 * _COLUMNS)  # starts of the tile's rows

_NO_BIAS = {np.dtype(dtype): np.empty(0, dtype) for dtype in (np.float32, np.float64)}


@device
def _pack(b: Array, transposed: bool, packed: Array) -> None:
    """Copy b (K, N; stored N, K if transposed) to `packed` (K, N rounded up to 16), padded with zeros."""
    k_size, width = packed.shape
    if transposed:
        for first in range(0, width, _LANES):  # 16 columns of the result: 16 rows of b, read side by side
            present = min(_LANES, b.shape[0] - first)
            for k in range(k_size):
                for lane in range(present):
                    packed[k, first + lane] = b[first + lane, k]
                for lane in range(present, _LANES):
                    packed[k, first + lane] = 0
    else:
        for k in range(k_size):
            for j in range(b.shape[1]):
                packed[k, j] = b[k, j]
            for j in range(b.shape[1], width):
                packed[k, j] = 0


@device
def _pack_four_rows(a: Array, transposed: bool, row: int, strip: Array) -> None:
    """Copy rows row … row+3 of a to `strip`, ordered (k, row); beyond the last row, repeat it, for unused results."""
    last = (a.shape[1] if transposed else a.shape[0]) - 1
    row1, row2, row3 = min(row + 1, last), min(row + 2, last), min(row + 3, last)
    for k in range(strip.size // 4):
        if transposed:
            strip[4 * k] = a[k, row]
            strip[4 * k + 1] = a[k, row1]
            strip[4 * k + 2] = a[k, row2]
            strip[4 * k + 3] = a[k, row3]
        else:
            strip[4 * k] = a[row, k]
            strip[4 * k + 1] = a[row1, k]
            strip[4 * k + 2] = a[row2, k]
            strip[4 * k + 3] = a[row3, k]


@device
def _multiply(strip: Array, b: Array, column_from: int, column_to: int, tile: Array) -> None:
    """Tile (4 rows) = a @ b[:, column_from:column_to], with a's four rows in `strip`, ordered (k, row).

    The factors are named one by one so that they stay in registers. Each sum is one chain, so that every addition fuses
    with its product in the same order wherever this is inlined. Offsets are unsigned: a signed index could be negative,
    and the test for that would keep the compiler from vectors.
    """
    flat, stride, k_size = b.reshape(-1), b.shape[1], b.shape[0]
    width = np.uint64(column_to - column_from)
    tile[:] = 0
    for k in range(0, k_size - 3, 4):
        first = k * stride + column_from
        at0, at1 = np.uint64(first), np.uint64(first + stride)
        at2, at3 = np.uint64(first + 2 * stride), np.uint64(first + 3 * stride)
        a = strip[4 * k : 4 * k + 16]
        a00, a10, a20, a30 = a[0], a[1], a[2], a[3]  # a[row, k]
        a01, a11, a21, a31 = a[4], a[5], a[6], a[7]  # a[row, k + 1]
        a02, a12, a22, a32 = a[8], a[9], a[10], a[11]
        a03, a13, a23, a33 = a[12], a[13], a[14], a[15]
        for j in range(width):
            b0, b1, b2, b3 = flat[at0 + j], flat[at1 + j], flat[at2 + j], flat[at3 + j]
            tile[j] = (((tile[j] + a00 * b0) + a01 * b1) + a02 * b2) + a03 * b3
            tile[_ROW1 + j] = (((tile[_ROW1 + j] + a10 * b0) + a11 * b1) + a12 * b2) + a13 * b3
            tile[_ROW2 + j] = (((tile[_ROW2 + j] + a20 * b0) + a21 * b1) + a22 * b2) + a23 * b3
            tile[_ROW3 + j] = (((tile[_ROW3 + j] + a30 * b0) + a31 * b1) + a32 * b2) + a33 * b3
    for k in range(k_size - k_size % 4, k_size):
        at0 = np.uint64(k * stride + column_from)
        a00, a10, a20, a30 = strip[4 * k], strip[4 * k + 1], strip[4 * k + 2], strip[4 * k + 3]
        for j in range(width):
            b0 = flat[at0 + j]
            tile[j] += a00 * b0
            tile[_ROW1 + j] += a10 * b0
            tile[_ROW2 + j] += a20 * b0
            tile[_ROW3 + j] += a30 * b0


@device
def _store_row(tile_row: Array, bias: Array, activation: int, out_row: Array) -> None:
    """Finish one row of a block: out = activation(tile + bias)."""
    if bias.size:
        for j in range(out_row.size):
            out_row[j] = tile_row[j] + bias[j]
    else:
        for j in range(out_row.size):
            out_row[j] = tile_row[j]
    if activation != NONE:
        for j in range(out_row.size):
            out_row[j] = activate(out_row[j], activation)


@device
def _block(
    a: Array, b: Array, bias: Array, out: Array, a_transposed: bool, row_from: int, column_from: int, activation: int
) -> None:
    """Compute one block of out (M, N) = a (M, K; stored K, M if transposed) @ b (K, N, or N rounded up if packed)."""
    k_size = b.shape[0]
    row_to = min(row_from + _ROWS, out.shape[0])
    column_to = min(column_from + _COLUMNS, out.shape[1])
    width_to = min(column_from + _COLUMNS, b.shape[1])
    block_bias = bias[column_from:column_to]
    buffer = np.empty(4 * _COLUMNS + 4 * k_size, out.dtype)
    tile, strip = buffer[: 4 * _COLUMNS], buffer[4 * _COLUMNS :]
    for row in range(row_from, row_to, 4):
        _pack_four_rows(a, a_transposed, row, strip)
        _multiply(strip, b, column_from, width_to, tile)
        for r in range(min(4, row_to - row)):
            tile_row = tile[r * _COLUMNS : (r + 1) * _COLUMNS]
            _store_row(tile_row, block_bias, activation, out[row + r, column_from:column_to])


@kernel(writes=("out",), parallel=True)
def matmul_blocks(
    a: Array, b: Array, bias: Array, out: Array, a_transposed: bool, b_transposed: bool, activation: int
) -> None:
    """Out (B, M, N) = activation(a (B, M, K) @ b (B, K, N) + bias (N,)); a and b may have batch 1, bias may be empty.

    A transposed operand is stored (B, K, M) or (B, N, K).
    """
    batch, rows, columns = out.shape
    k_size = a.shape[1] if a_transposed else a.shape[2]
    packed = b
    if b_transposed or (columns % _LANES and rows >= _PACK_FROM):
        width = (columns + _LANES - 1) // _LANES * _LANES
        packed = np.empty((b.shape[0], k_size, width), b.dtype)
        for item in range(b.shape[0]):
            _pack(b[item], b_transposed, packed[item])
    row_blocks = (rows + _ROWS - 1) // _ROWS
    column_blocks = (columns + _COLUMNS - 1) // _COLUMNS
    blocks = row_blocks * column_blocks
    for task in prange(batch * blocks):
        item, block = task // blocks, task % blocks
        _block(
            a[min(item, a.shape[0] - 1)],
            packed[min(item, packed.shape[0] - 1)],
            bias,
            out[item],
            a_transposed,
            block % row_blocks * _ROWS,
            block // row_blocks * _COLUMNS,
            activation,
        )


def _stored(operand: Array) -> tuple[Array, bool]:
    """The operand (…, M, K) as it lies in memory, and whether that is its transpose. Never copies."""
    if not operand.flags.c_contiguous:
        swapped = operand.swapaxes(-1, -2)
        if swapped.flags.c_contiguous:
            return swapped, True
    return operand, False


def _check(name: str, out: Array, *inputs: Array) -> None:
    for array in inputs:
        if array.dtype != out.dtype or out.dtype not in _NO_BIAS:
            raise DtypeError(
                f"{name}: got {', '.join(str(x.dtype) for x in inputs)} into {out.dtype}; "
                "expected all float32 or all float64: convert with .to() or .astype()"
            )


def matmul(a: Array, b: Array, out: Array, bias: Array | None = None, activation: int = NONE) -> None:
    """Compute out = activation(a @ b + bias).

    Parameters
    ----------
    a, b, out:
        (M, K), (K, N) and (M, N), all float32 or all float64. Inputs that are contiguous, or transposed views of
        contiguous arrays, are read as they lie; others are copied. `out` must be contiguous, or a transposed view if
        there is no bias. With K = 0 the product is zero.
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
        if not out.flags.c_contiguous and out.T.flags.c_contiguous:
            a, b, out = b.T, a.T, out.T  # (a @ b).T = b.T @ a.T
        bias = _NO_BIAS[out.dtype]
    else:
        _check("matmul", out, bias)
        if bias.shape != (out.shape[1],):
            raise ShapeError(f"matmul: got bias {bias.shape} for output {out.shape}; expected ({out.shape[1]},)")
    _launch(a[None], b[None], bias, out[None], activation)


def batched_matmul(a: Array, b: Array, out: Array) -> None:
    """Compute out[i] = a[i] @ b[i] for every i.

    Parameters
    ----------
    a, b, out:
        (B, M, K), (B, K, N) and (B, M, N), all float32 or all float64; a and b may have batch 1, or stride 0 along the
        batch, and may have their last two axes transposed. `out` must be contiguous.

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
    if a.strides[0] == 0:
        a = a[:1]
    if b.strides[0] == 0:
        b = b[:1]
    _launch(a, b, _NO_BIAS[out.dtype], out, NONE)


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
    matmul(x.T, grad, weight_grad)  # (in, M) @ (M, out) -> (in, out)
    if bias_grad is not None:
        sum_axes(grad, (0,), bias_grad)


def _launch(a: Array, b: Array, bias: Array, out: Array, activation: int) -> None:
    """Run the kernel on (B, M, K), (B, K, N), (N,), (B, M, N)."""
    if out.size == 0:
        return
    a, a_transposed = _stored(a)
    b, b_transposed = _stored(b)
    k_size = a.shape[1] if a_transposed else a.shape[2]
    launch(matmul_blocks, a, b, bias, out, a_transposed, b_transposed, activation, work=out.size * k_size)
